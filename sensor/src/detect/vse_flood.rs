//! Far more queries to a Source engine game server than players send.

use super::{
	flood::{self, Kind},
	About, Detector, Seen, Values,
};
use crate::{packet::Transport, sketch::Secret};

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "vse-flood",
	description: "far more queries to a Source engine game server than players send",
	false_positives: "a game server that has just come to the top of a public list",
	version: 1,
	settings: &[flood::rate(300), flood::network_rate(2_400), flood::FACTOR],
};

static KIND: Kind = Kind::new(&ABOUT, takes);

/// What every such query begins with.
const QUERY: &[u8] = b"\xff\xff\xff\xffTSource Engine Query";

/// Whether it asks a game server about itself. Most listen on port 27015, but any port will do.
pub(super) fn takes(seen: &Seen<'_>) -> bool {
	match seen.packet.transport {
		Transport::Udp { .. } => seen.packet.payload.starts_with(QUERY),
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

	const WHOLE: &[u8] = b"\xff\xff\xff\xffTSource Engine Query\0";

	fn query(number: u32) -> Vec<u8> {
		udp((forged(number), port(number)), (HOME, 27_015), WHOLE)
	}

	#[test]
	fn queries_in_forged_names_are_told_by_what_they_look_like() {
		let flow = flow(&ABOUT, query);
		assert_eq!((flow.protocol, flow.source), (Some(17), None));
		assert!(
			flow.destination_ports.is_some_and(|ports| (ports.first(), ports.last()) == (27_015, 27_015)),
			"{flow}"
		);
	}

	#[test]
	fn fewer_are_none_and_play_is_no_query() {
		below(&ABOUT, query);
		nothing(&ABOUT, |number| udp((forged(number), port(number)), (HOME, 27_015), &[0xff; 60]));
	}
}
