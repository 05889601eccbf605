//! Far more ICMP to one address than anybody's ping sends.

use super::{
	flood::{self, Kind},
	About, Detector, Seen, Values,
};
use crate::{
	packet::{protocol, Transport},
	sketch::Secret,
};

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "icmp-flood",
	description: "far more ICMP to one address than anybody's ping sends",
	false_positives:
		"somebody who measures the line with a flood ping; errors about packets that others send in the home's name",
	version: 1,
	settings: &[flood::rate(500), flood::network_rate(4_000), flood::FACTOR],
};

static KIND: Kind = Kind::new(&ABOUT, takes);

fn takes(seen: &Seen<'_>) -> bool {
	match seen.packet.transport {
		// Neighbours and multicast groups are found by ICMPv6 types 130 to 143, on the link alone.
		Transport::Icmp { kind, .. } => {
			let neighbours = seen.packet.protocol == protocol::ICMPV6 && (130..=143).contains(&kind);
			!(seen.solicited || neighbours)
		}
		_ => false,
	}
}

/// A detector, set as `values` say.
pub fn make(values: &Values<'_>, secret: &Secret) -> Box<dyn Detector> {
	KIND.make(values, secret)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::detect::trial::{below, flow, forged, icmp, nothing, HOME, PEER};

	#[test]
	fn pings_in_forged_names_are_told_by_what_they_look_like() {
		let flow = flow(&ABOUT, |number| icmp(forged(number), HOME, 8));
		assert_eq!((flow.protocol, flow.source), (Some(1), None));
		assert!(flow.icmp.is_some_and(|icmp| icmp.kind == 8), "{flow}");
	}

	#[test]
	fn fewer_are_none_and_answers_to_own_pings_are_no_flood() {
		below(&ABOUT, |number| icmp(forged(number), HOME, 8));
		nothing(&ABOUT, |number| match number % 2 {
			0 => icmp(HOME, PEER, 8),
			_ => icmp(PEER, HOME, 0),
		});
	}
}
