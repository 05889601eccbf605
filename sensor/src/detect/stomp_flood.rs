//! Far more messages to one address's STOMP port than a message broker gets.

use super::{
	flood::{self, Kind},
	About, Detector, Seen, Values,
};
use crate::sketch::Secret;

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "stomp-flood",
	description: "far more messages to one address's STOMP port than a message broker gets",
	false_positives: "a message broker at home whose clients are that busy",
	version: 1,
	settings: &[flood::rate(1_000), flood::network_rate(8_000), flood::FACTOR],
};

static KIND: Kind = Kind::new(&ABOUT, takes);

/// The port of STOMP, a protocol between programs and message brokers.
const PORT: u16 = 61_613;

/// Whether it is data for a STOMP broker.
pub(super) fn takes(seen: &Seen<'_>) -> bool {
	seen.packet.tcp().is_some_and(|tcp| tcp.destination == PORT && !tcp.opens()) && !seen.packet.payload.is_empty()
}

/// A detector, set as `values` say.
pub fn make(values: &Values<'_>, secret: &Secret) -> Box<dyn Detector> {
	KIND.make(values, secret)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::detect::trial::{below, flow, forged, nothing, port, tcp, Trial, HOME};
	use ringfence_primitives::Indicator;

	fn message(number: u32) -> Vec<u8> {
		tcp((forged(number), port(number)), (HOME, PORT), 0x18, (number, number), &[7; 768])
	}

	#[test]
	fn messages_in_forged_names_are_told_by_what_they_look_like() {
		let flow = flow(&ABOUT, message);
		assert_eq!((flow.protocol, flow.source), (Some(6), None));
		assert!(flow.destination_ports.is_some_and(|ports| (ports.first(), ports.last()) == (PORT, PORT)), "{flow}");
	}

	#[test]
	fn few_senders_that_are_proven_are_named() {
		let mut trial = Trial::of(&ABOUT);
		for bot in 0..5 {
			trial.connect((forged(bot), 4_000), (HOME, PORT));
		}
		trial.stream(20_000, 2_000, |number| {
			tcp((forged(number % 5), 4_000), (HOME, PORT), 0x18, (number, 5_001), &[7; 768])
		});
		let mut named: Vec<_> = trial.findings.iter().map(|finding| finding.indicator.clone()).collect();
		named.sort();
		let mut bots: Vec<_> =
			(0..5).map(|bot| Indicator::Host(std::net::Ipv4Addr::from(forged(bot)).into())).collect();
		bots.sort();
		assert_eq!(named, bots);
		assert!(trial.findings.iter().all(|finding| !finding.spoofable && finding.fit.is_none()));
	}

	#[test]
	fn whose_address_is_forged_is_not_named_though_it_is_connected() {
		let mut trial = Trial::of(&ABOUT);
		trial.connect((forged(1), 4_000), (HOME, PORT));
		trial.stream(20_000, 2_000, |number| {
			tcp((forged(1), 5_000 + (number % 50_000) as u16), (HOME, PORT), 0x18, (number, 77), &[7; 768])
		});
		assert_eq!(trial.findings.len(), 1);
		assert!(matches!(trial.findings[0].indicator, Indicator::Flow(_)) && trial.findings[0].spoofable);
	}

	#[test]
	fn fewer_are_none_and_what_says_nothing_is_no_message() {
		below(&ABOUT, message);
		nothing(&ABOUT, |number| tcp((forged(number), port(number)), (HOME, PORT), 0x10, (number, number), &[]));
		nothing(&ABOUT, |number| tcp((forged(number), port(number)), (HOME, 443), 0x18, (number, number), &[7; 768]));
	}
}
