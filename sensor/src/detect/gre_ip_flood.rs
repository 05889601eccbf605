//! Far more IP packets wrapped in GRE to one address than its tunnels carry.

use super::{
	flood::{self, Kind},
	About, Detector, Seen, Values,
};
use crate::{packet::Transport, sketch::Secret};

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "gre-ip-flood",
	description: "far more IP packets wrapped in GRE to one address than its tunnels carry",
	false_positives: "a tunnel whose other end sends and is never answered",
	version: 1,
	settings: &[flood::rate(1_000), flood::network_rate(8_000), flood::FACTOR],
};

static KIND: Kind = Kind { answers: Some(flood::is_gre), ..Kind::new(&ABOUT, takes) };

fn takes(seen: &Seen<'_>) -> bool {
	// IPv4 or IPv6 inside.
	matches!(seen.packet.transport, Transport::Gre { inner: 0x0800 | 0x86dd }) && !seen.solicited
}

/// A detector, set as `values` say.
pub fn make(values: &Values<'_>, secret: &Secret) -> Box<dyn Detector> {
	KIND.make(values, secret)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::detect::trial::{below, flow, forged, gre, nothing, HOME, PEER};

	#[test]
	fn packets_in_forged_names_are_told_by_what_they_look_like() {
		let flow = flow(&ABOUT, |number| gre(forged(number), HOME, 0x0800));
		assert_eq!((flow.protocol, flow.source), (Some(47), None));
	}

	#[test]
	fn fewer_are_none_and_tunnels_are_no_flood() {
		below(&ABOUT, |number| gre(forged(number), HOME, 0x0800));
		nothing(&ABOUT, |number| gre(forged(number), HOME, 0x6558));
		nothing(&ABOUT, |number| match number % 20 {
			19 => gre(HOME, PEER, 0x0800),
			_ => gre(PEER, HOME, 0x0800),
		});
	}
}
