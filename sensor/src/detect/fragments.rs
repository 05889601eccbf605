//! Far more fragments to one address than come from those it talks with.

use super::{
	flood::{self, Kind},
	About, Detector, Seen, Values,
};
use crate::{packet::Packet, sketch::Secret};

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "fragments",
	description: "far more fragments to one address than come from those it talks with",
	false_positives: "a tunnel with a wrong packet size whose other end is never answered",
	version: 1,
	settings: &[flood::rate(500), flood::network_rate(4_000), flood::FACTOR],
};

static KIND: Kind = Kind { answers: Some(answers), with_ports: false, ..Kind::new(&ABOUT, takes) };

fn takes(seen: &Seen<'_>) -> bool {
	seen.packet.fragment.is_some()
}

/// Later fragments have no ports, so a conversation is one of addresses.
fn answers(packet: &Packet<'_>) -> bool {
	packet.tcp().is_none()
}

/// A detector, set as `values` say.
pub fn make(values: &Values<'_>, secret: &Secret) -> Box<dyn Detector> {
	KIND.make(values, secret)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::detect::trial::{below, flow, forged, ip, nothing, udp, HOME, PEER};

	fn fragment(number: u32) -> Vec<u8> {
		ip(forged(number), HOME, 17, 0x2000 | (number % 90) as u16, &[0; 600])
	}

	#[test]
	fn fragments_in_forged_names_are_told_by_what_they_look_like() {
		let flow = flow(&ABOUT, fragment);
		assert_eq!((flow.protocol, flow.source), (Some(17), None));
		assert!(flow.packet_length.is_some_and(|length| (length.first(), length.last()) == (620, 620)), "{flow}");
	}

	#[test]
	fn fewer_are_none_and_those_of_a_tunnel_are_no_flood() {
		below(&ABOUT, fragment);
		nothing(&ABOUT, |number| udp((forged(number), 9), (HOME, 9), &[0; 600]));
		nothing(&ABOUT, |number| match number % 20 {
			19 => udp((HOME, 4_500), (PEER, 4_500), &[0; 600]),
			_ => ip(PEER, HOME, 17, 0x2000 | (number % 90) as u16, &[0; 600]),
		});
	}
}
