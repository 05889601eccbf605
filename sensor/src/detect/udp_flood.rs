//! Far more UDP to one address than it asked for or answers, of no kind that has a detector of its own.

use super::{
	amplification, dns_flood,
	flood::{self, Kind},
	vse_flood, About, Detector, Seen, Values,
};
use crate::{packet::Transport, sketch::Secret};

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "udp-flood",
	description: "far more UDP to one address than it asked for or answers",
	false_positives: "a server at home that takes in one-way streams; a file-sharing client that has just been closed",
	version: 1,
	settings: &[flood::rate(2_000), flood::network_rate(16_000), flood::FACTOR],
};

static KIND: Kind = Kind { answers: Some(flood::is_udp), ..Kind::new(&ABOUT, takes) };

fn takes(seen: &Seen<'_>) -> bool {
	match seen.packet.transport {
		Transport::Udp { .. } => {
			!seen.solicited
				&& seen.packet.fragment.is_none()
				&& !amplification::takes(seen)
				&& !dns_flood::takes(seen)
				&& !vse_flood::takes(seen)
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
	use crate::detect::trial::{below, flow, forged, nothing, port, udp, HOME, PEER};

	fn packet(number: u32) -> Vec<u8> {
		udp((forged(number), port(number)), (HOME, port(number / 3)), &[0; 512])
	}

	#[test]
	fn packets_in_forged_names_are_told_by_what_they_look_like() {
		let flow = flow(&ABOUT, packet);
		assert_eq!((flow.protocol, flow.source), (Some(17), None));
		assert!(flow.packet_length.is_some_and(|length| (length.first(), length.last()) == (540, 540)), "{flow}");
	}

	#[test]
	fn fewer_are_none_and_what_has_a_detector_of_its_own_is_left_to_it() {
		below(&ABOUT, packet);
		nothing(&ABOUT, |number| udp((forged(number), 123), (HOME, port(number)), &[0; 440]));
		nothing(&ABOUT, |number| udp((forged(number), port(number)), (HOME, 53), &[0; 40]));
	}

	#[test]
	fn who_was_asked_or_is_answered_does_not_flood() {
		let (server, tunnel) = ((PEER, 4_433), (HOME, 51_820));
		let asked = |number: u32| match number {
			0 => udp(tunnel, server, &[0; 30]),
			_ => udp(server, tunnel, &[0; 1_200]),
		};
		nothing(&ABOUT, asked);
		let answered = |number: u32| match number % 20 {
			19 => udp(tunnel, server, &[0; 30]),
			_ => udp(server, tunnel, &[0; 1_200]),
		};
		nothing(&ABOUT, answered);
	}
}
