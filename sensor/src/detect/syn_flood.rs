//! Far more wishes for a TCP connection to one address than its services ever get.

use super::{
	flood::{self, Kind},
	About, Detector, Seen, Values,
};
use crate::sketch::Secret;

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "syn-flood",
	description: "far more wishes for a TCP connection to one address than its services ever get",
	false_positives: "a service that suddenly everybody wants; a fast scan of one address's ports",
	version: 1,
	settings: &[flood::rate(200), flood::network_rate(1_600), flood::FACTOR],
};

static KIND: Kind = Kind::new(&ABOUT, takes);

fn takes(seen: &Seen<'_>) -> bool {
	seen.packet.tcp().is_some_and(|tcp| tcp.opens())
}

/// A detector, set as `values` say.
pub fn make(values: &Values<'_>, secret: &Secret) -> Box<dyn Detector> {
	KIND.make(values, secret)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::detect::trial::{below, flow, forged, nothing, port, tcp, HOME};

	fn opening(number: u32) -> Vec<u8> {
		tcp((forged(number), port(number)), (HOME, 443), 0x02, (number, 0), &[])
	}

	#[test]
	fn openings_in_forged_names_are_told_by_what_they_look_like() {
		let flow = flow(&ABOUT, opening);
		assert_eq!((flow.protocol, flow.source), (Some(6), None));
		assert!(flow.destination_ports.is_some_and(|ports| (ports.first(), ports.last()) == (443, 443)), "{flow}");
		assert!(
			flow.tcp_flags.is_some_and(|flags| flags.mask() & 0x12 == 0x12 && flags.value() & 0x12 == 0x02),
			"{flow}"
		);
	}

	#[test]
	fn fewer_are_none_and_answers_are_no_openings() {
		below(&ABOUT, opening);
		nothing(&ABOUT, |number| tcp((forged(number), 443), (HOME, port(number)), 0x12, (number, 1), &[]));
		nothing(&ABOUT, |number| tcp((HOME, port(number)), (forged(number), 443), 0x02, (number, 1), &[]));
	}
}
