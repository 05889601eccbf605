//! Far more TCP packets to one address that belong to no connection of its own: ACKs, but answers and refusals to
//! connections that others opened in its name as well.

use super::{
	flood::{self, Kind},
	stomp_flood, About, Detector, Seen, Values,
};
use crate::{
	packet::{tcp, Packet},
	sketch::Secret,
};

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "ack-flood",
	description: "far more TCP packets to one address that belong to no connection of its own",
	false_positives: "many long connections at once just after the sensor started, which has not seen them begin",
	version: 1,
	settings: &[flood::rate(1_000), flood::network_rate(8_000), flood::FACTOR],
};

static KIND: Kind = Kind { answers: Some(answers), ..Kind::new(&ABOUT, takes) };

fn takes(seen: &Seen<'_>) -> bool {
	seen.packet.tcp().is_some_and(|tcp| !tcp.opens()) && !seen.proven && !stomp_flood::takes(seen)
}

/// A home that refuses is in no conversation.
fn answers(packet: &Packet<'_>) -> bool {
	packet.tcp().is_some_and(|tcp| tcp.flags & (tcp::RST | tcp::SYN) == 0)
}

/// A detector, set as `values` say.
pub fn make(values: &Values<'_>, secret: &Secret) -> Box<dyn Detector> {
	KIND.make(values, secret)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::detect::trial::{below, flow, forged, nothing, port, tcp, Trial, HOME, PEER};

	fn stray(number: u32) -> Vec<u8> {
		tcp((forged(number), port(number)), (HOME, port(number / 7)), tcp::ACK, (number, number), &[0; 512])
	}

	#[test]
	fn packets_of_no_connection_are_told_by_what_they_look_like() {
		let flow = flow(&ABOUT, stray);
		assert_eq!((flow.protocol, flow.source), (Some(6), None));
		assert!(flow.packet_length.is_some_and(|length| (length.first(), length.last()) == (552, 552)), "{flow}");
	}

	#[test]
	fn fewer_are_none_and_openings_are_somebody_else_s() {
		below(&ABOUT, stray);
		nothing(&ABOUT, |number| tcp((forged(number), port(number)), (HOME, 80), tcp::SYN, (number, 0), &[]));
	}

	#[test]
	fn a_connection_that_began_before_the_sensor_is_none() {
		let mut trial = Trial::of(&ABOUT);
		let (server, client) = ((PEER, 443), (HOME, 50_000));
		trial.stream(20_000, 3_000, |number| match number % 10 {
			0 => tcp(client, server, tcp::ACK, (1, number), &[]),
			_ => tcp(server, client, tcp::ACK, (number, 1), &[0; 1_400]),
		});
		trial.wait(2_000);
		assert_eq!(trial.findings, []);
	}

	#[test]
	fn a_home_that_refuses_is_flooded_all_the_same() {
		let mut trial = Trial::of(&ABOUT);
		let (attacker, home) = ((PEER, 4_000), (HOME, 443));
		trial.stream(20_000, 2_000, |number| match number % 2 {
			0 => tcp(attacker, home, tcp::ACK, (number, 1), &[]),
			_ => tcp(home, attacker, tcp::RST, (1, 0), &[]),
		});
		assert_eq!(trial.findings.len(), 1);
		assert!(matches!(trial.findings[0].indicator, ringfence_primitives::Indicator::Flow(_)));
	}
}
