//! A device at home that sends far more to the outside than anybody answers: it has been taken over, most likely. Told to
//! the owner alone, with what it attacks if that is one address.

use super::{
	flood::{self, Kind, Subject},
	About, Detector, Seen, Setting, Values,
};
use crate::{
	packet::{protocol, tcp, Packet, Tcp, Transport},
	sketch::Secret,
};
use ringfence_primitives::Address;

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "outbound-flood",
	description: "a device at home that sends far more to the outside than anybody answers",
	false_positives: "a camera that sends a fast one-way stream; a server that answers a flood of forged questions",
	version: 1,
	settings: &[RATE, flood::FACTOR],
};

const RATE: Setting =
	Setting { meaning: "unanswered packets a second from one device that are no flood yet", ..flood::rate(1_000) };

static KIND: Kind =
	Kind { subject: Subject::Source, answers: Some(answers), with_ports: false, ..Kind::new(&ABOUT, takes) };

const SYN_ACK: u8 = tcp::SYN | tcp::ACK;

fn takes(seen: &Seen<'_>) -> bool {
	// Who is flooded answers and refuses in the names that were forged.
	let reply = match seen.packet.transport {
		Transport::Tcp(Tcp { flags, .. }) => flags & tcp::RST != 0 || flags & SYN_ACK == SYN_ACK,
		Transport::Icmp { kind, .. } if seen.packet.protocol == protocol::ICMP => matches!(kind, 0 | 3 | 11),
		Transport::Icmp { kind, .. } => matches!(kind, 1 | 3 | 129),
		_ => false,
	};
	// To a group, such as a television's, nobody answers.
	let group = match seen.packet.destination {
		Address::V4([first, ..]) => first >= 224,
		Address::V6([first, ..]) => first == 0xff,
	};
	!reply && !group
}

/// What shows that the other side wants it: no refusal, no ping, and no offer of a connection, which a flood gets as well.
fn answers(packet: &Packet<'_>) -> bool {
	match packet.transport {
		Transport::Tcp(tcp) => tcp.flags & (tcp::RST | tcp::SYN) == 0,
		Transport::Icmp { .. } => false,
		_ => true,
	}
}

/// A detector, set as `values` say.
pub fn make(values: &Values<'_>, secret: &Secret) -> Box<dyn Detector> {
	KIND.make(values, secret)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{
		detect::trial::{below, forged, nothing, port, tcp, udp, Trial, HOME, PEER},
		finding::Audience,
	};
	use ringfence_primitives::{Indicator, Network};
	use std::net::Ipv4Addr;

	#[test]
	fn the_owner_is_told_which_device_floods_whom() {
		let floods: [fn(u32) -> Vec<u8>; 3] = [
			|number| udp((HOME, port(number)), (PEER, 80), &[0; 512]),
			|number| tcp((HOME, port(number)), (PEER, 80), tcp::SYN, (number, 0), &[]),
			|number| tcp((HOME, port(number)), (PEER, 80), tcp::ACK, (number, 1), &[0; 512]),
		];
		for make in floods {
			let mut trial = Trial::of(&ABOUT);
			trial.stream(20_000, 2_000, make);
			let [device, attack] = trial.findings.as_slice() else { panic!("{:?}", trial.findings) };
			assert_eq!(device.indicator, Indicator::Host(Ipv4Addr::from(HOME).into()));
			assert!(trial.findings.iter().all(|finding| finding.audience == Audience::Owner && finding.spoofable));
			let Indicator::Flow(flow) = attack.indicator else { panic!("{attack:?}") };
			let only = |address: [u8; 4]| Some(Network::host(Ipv4Addr::from(address).into()));
			assert_eq!((flow.source, flow.destination), (only(HOME), only(PEER)));
		}
	}

	#[test]
	fn a_flood_of_many_names_the_device_alone() {
		let mut trial = Trial::of(&ABOUT);
		trial.stream(20_000, 2_000, |number| {
			tcp((HOME, port(number)), (forged(number), 23), tcp::SYN, (number, 0), &[])
		});
		assert_eq!(trial.findings.len(), 1);
		assert_eq!(trial.findings[0].indicator, Indicator::Host(Ipv4Addr::from(HOME).into()));
	}

	#[test]
	fn an_upload_a_group_and_answers_to_a_flood_are_none() {
		below(&ABOUT, |number| udp((HOME, port(number)), (PEER, 80), &[0; 512]));
		nothing(&ABOUT, |number| match number % 20 {
			19 => tcp((PEER, 443), (HOME, 50_000), tcp::ACK, (1, number), &[]),
			_ => tcp((HOME, 50_000), (PEER, 443), tcp::ACK, (number, 1), &[0; 1_400]),
		});
		nothing(&ABOUT, |_| udp((HOME, 5_004), ([239, 1, 1, 1], 5_004), &[0; 1_316]));
		nothing(&ABOUT, |number| {
			tcp((HOME, 80), (forged(number), port(number)), tcp::SYN | tcp::ACK, (number, 1), &[])
		});
		nothing(&ABOUT, |number| tcp((HOME, 80), (forged(number), port(number)), tcp::RST, (number, 1), &[]));
	}
}
