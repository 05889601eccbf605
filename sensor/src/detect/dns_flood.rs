//! Far more DNS questions to a server at home than it usually gets, such as about random names of one domain.

use super::{
	flood::{self, Kind},
	About, Detector, Seen, Values,
};
use crate::{packet::Transport, sketch::Secret};

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "dns-flood",
	description:
		"far more DNS questions to a server at home than it usually gets, such as about random names of one domain",
	false_positives: "a name server at home that serves a popular domain",
	version: 1,
	settings: &[flood::rate(300), flood::network_rate(2_400), flood::FACTOR],
};

static KIND: Kind = Kind::new(&ABOUT, takes);

/// Whether it is a question to a DNS server at home.
pub(super) fn takes(seen: &Seen<'_>) -> bool {
	match seen.packet.transport {
		// The highest bit of the third octet makes it an answer; what was cut off may be a question.
		Transport::Udp { destination: 53, .. } => {
			!seen.solicited && seen.packet.payload.get(2).is_none_or(|flags| flags & 0x80 == 0)
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
	use crate::detect::trial::{below, flow, forged, nothing, port, udp, HOME};

	/// A question with a random name of any length.
	fn question(number: u32) -> Vec<u8> {
		let mut payload = vec![1; 30 + (number % 20) as usize];
		payload[2] = 1;
		udp((forged(number), port(number)), (HOME, 53), &payload)
	}

	#[test]
	fn questions_in_forged_names_are_told_by_what_they_look_like() {
		let flow = flow(&ABOUT, question);
		assert_eq!((flow.protocol, flow.source), (Some(17), None));
		assert!(flow.destination_ports.is_some_and(|ports| (ports.first(), ports.last()) == (53, 53)), "{flow}");
	}

	#[test]
	fn fewer_are_none_and_answers_are_no_questions() {
		below(&ABOUT, question);
		nothing(&ABOUT, |number| udp((forged(number), 53), (HOME, 53), &[0x81; 60]));
		nothing(&ABOUT, |number| match number % 2 {
			0 => udp((HOME, port(number)), (forged(0), 53), &[1; 40]),
			_ => udp((forged(0), 53), (HOME, port(number - 1)), &[0x81; 400]),
		});
	}
}
