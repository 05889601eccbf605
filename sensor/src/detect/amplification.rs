//! Large answers from many servers to questions that the home never asked.

use super::{
	flood::{self, Kind},
	About, Detector, Seen, Values,
};
use crate::{packet::Transport, sketch::Secret};
use ringfence_primitives::ThreatClass;

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "amplification",
	description: "large answers from many servers to questions that the home never asked",
	false_positives: "a server at home that is spoken to from one of these ports, and does not answer",
	version: 1,
	settings: &[flood::rate(500), flood::network_rate(4_000), flood::FACTOR],
};

static KIND: Kind = Kind {
	threat: ThreatClass::Amplification,
	answers: Some(flood::is_udp),
	by_source_port: true,
	..Kind::new(&ABOUT, takes)
};

/// Ports of services that answer anybody over UDP with more than they were asked: QOTD, chargen, DNS, TFTP, portmapper, NTP,
/// NetBIOS, SNMP, CLDAP, ISAKMP, RIP, MS SQL, SSDP, Apple's remote desktop, WS-Discovery, ISAKMP behind NAT, SIP, mDNS, CoAP,
/// memcached.
const REFLECTORS: [u16; 20] =
	[17, 19, 53, 69, 111, 123, 137, 161, 389, 500, 520, 1_434, 1_900, 3_283, 3_702, 4_500, 5_060, 5_353, 5_683, 11_211];
/// Octets below which nothing was amplified.
const LARGE: u16 = 100;

/// Whether it is a reflector's answer to a question of somebody else.
pub(super) fn takes(seen: &Seen<'_>) -> bool {
	match seen.packet.transport {
		Transport::Udp { source, .. } => !seen.solicited && seen.packet.length >= LARGE && REFLECTORS.contains(&source),
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
	use crate::detect::trial::{below, flow, forged, nothing, port, udp, whole, Trial, HOME};

	fn answer(number: u32) -> Vec<u8> {
		udp((forged(number), 123), (HOME, port(number)), &[0; 440])
	}

	#[test]
	fn answers_that_nobody_asked_for_are_told_by_their_source_port() {
		let flow = flow(&ABOUT, answer);
		assert_eq!((flow.protocol, flow.source), (Some(17), None));
		assert!(flow.source_ports.is_some_and(|ports| (ports.first(), ports.last()) == (123, 123)), "{flow}");
	}

	#[test]
	fn each_kind_of_reflector_is_told_apart() {
		let mut trial = Trial::of(&ABOUT);
		let ports = [53, 1_900, 11_211];
		trial.stream(10_000, 2_000, |number| {
			udp((forged(number), ports[number as usize % 3]), (HOME, port(number)), &[0; 1_000])
		});
		let flows = trial.findings.iter().map(|finding| whole(&ABOUT, finding));
		let mut found: Vec<u16> = flows.map(|flow| flow.source_ports.unwrap().first()).collect();
		found.sort_unstable();
		assert_eq!(found, ports);
		assert!(trial.findings.iter().all(|finding| finding.threat == ThreatClass::Amplification));
	}

	#[test]
	fn fewer_are_none_and_small_or_wanted_ones_are_no_amplification() {
		below(&ABOUT, answer);
		nothing(&ABOUT, |number| udp((forged(number), 123), (HOME, port(number)), &[0; 48]));
		nothing(&ABOUT, |number| udp((forged(number), 443), (HOME, port(number)), &[0; 1_000]));
		nothing(&ABOUT, |number| match number % 2 {
			0 => udp((HOME, port(number)), (forged(number / 2 % 3), 53), &[1; 40]),
			_ => udp((forged(number / 2 % 3), 53), (HOME, port(number - 1)), &[0x81; 1_000]),
		});
	}
}
