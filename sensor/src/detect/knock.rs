//! Knocks at the home's doors (a door is an address and a port), the home's answers, and the proof that who knocked is
//! who it says.
//!
//! # Security considerations
//!
//! A proof counts for who came by itself, not for whom the home called: otherwise anybody could forge a scan in the name of a
//! server that the home talks to, and have it blocked. The home sends a SYN with ACK to none but who knocked, and never on a
//! connection that is open already, whatever is forged into it. Where the memory of a knock is lost, so is the proof.

use super::{Seen, Side};
use crate::{
	packet::{tcp, Transport},
	sketch::Secret,
};
use ringfence_primitives::Address;
use std::fmt;

/// Connections that are remembered: half a megabyte.
const CONNECTIONS: usize = 65_536;
/// FIN, PSH and URG lit up like a tree.
const XMAS: u8 = tcp::FIN | tcp::PSH | tcp::URG;
/// All flags that are told apart.
const FLAGS: u8 = XMAS | tcp::SYN | tcp::RST | tcp::ACK;
/// Ports below are no client's: what comes to them belongs to no connection that the home opened.
const SERVICES: u16 = 1_024;
/// Octets that a bare ACK has at most, all options of TCP and an IPv6 header counted.
const BARE: u16 = 100;
/// UDP ports above [`SERVICES`] from which floods are reflected: what comes from there is an answer, wanted or not.
const REFLECTORS: [u16; 8] = [1_900, 3_702, 5_353, 5_683, 10_001, 11_211, 27_015, 37_810];
/// UDP ports that traceroute counts through.
const TRACEROUTE: std::ops::RangeInclusive<u16> = 33_434..=33_534;

/// How a packet knocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Kind {
	/// A SYN.
	#[default]
	Syn,
	/// TCP without any flag.
	Null,
	/// A FIN that ends nothing.
	Fin,
	/// FIN, PSH and URG.
	Xmas,
	/// A bare ACK to a service with which nobody spoke.
	Ack,
	/// UDP that nobody asked for.
	Udp,
}

impl fmt::Display for Kind {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::Syn => "SYN",
			Self::Null => "NULL",
			Self::Fin => "FIN",
			Self::Xmas => "XMAS",
			Self::Ack => "ACK",
			Self::Udp => "UDP",
		})
	}
}

/// What a packet means to a door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
	/// Somebody knocks.
	Knock(Kind),
	/// The home answers, and does not refuse. Once a connection.
	Answer,
	/// Who knocked received the answer: its address is its own. Once a connection.
	Proof,
}

/// A packet at a door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
	/// What it means.
	pub what: What,
	/// Who knocked.
	pub peer: Address,
	/// Its hash.
	pub peer_hash: u64,
	/// The address of the door.
	pub home: Address,
	/// Its hash.
	pub home_hash: u64,
	/// The port of the door.
	pub port: u16,
}

/// What is remembered of connections: 30 bits of a hash with one of the states below, and the number that completes the
/// handshake.
pub struct Doors {
	secret: Secret,
	slots: Box<[(u32, u32)]>,
}

const KNOCKED: u32 = 1;
const ANSWERED: u32 = 2;
const DONE: u32 = 3;
const STATE: u32 = 0b11;

impl Doors {
	/// Nobody knocked yet.
	pub fn new(secret: &Secret) -> Self {
		Self { secret: secret.clone(), slots: vec![(0, 0); CONNECTIONS].into_boxed_slice() }
	}

	/// What this packet means. None: nothing.
	pub fn see(&mut self, seen: &Seen<'_>) -> Option<Step> {
		let packet = seen.packet;
		let (from, to) = packet.ports()?;
		let (step, peer_port) = match seen.side {
			Side::Inbound => {
				let what = if seen.proven { What::Proof } else { What::Knock(kind(seen)?) };
				let step = Step {
					what,
					peer: packet.source,
					peer_hash: seen.source,
					home: packet.destination,
					home_hash: seen.destination,
					port: to,
				};
				(step, from)
			}
			Side::Outbound => {
				let step = Step {
					what: What::Answer,
					peer: packet.destination,
					peer_hash: seen.destination,
					home: packet.source,
					home_hash: seen.source,
					port: from,
				};
				(step, to)
			}
			Side::Within | Side::Past => return None,
		};
		let hash = self.secret.hash((step.home_hash, step.peer_hash, step.port, peer_port, packet.protocol));
		// The low bits say where, the high ones who.
		let slot = self.slots.get_mut(hash as usize % CONNECTIONS)?;
		let tag = (hash >> 32) as u32 & !STATE;
		let state = if slot.0 & !STATE == tag { slot.0 & STATE } else { 0 };
		let (flags, number) = match packet.tcp() {
			Some(tcp) if seen.side == Side::Outbound => (tcp.flags, tcp.sequence.wrapping_add(1)),
			Some(tcp) => (tcp.flags, tcp.acknowledgement),
			None => (0, 0),
		};
		let next = match step.what {
			// What goes on after an answer is a dialogue; a SYN begins a new one.
			What::Knock(kind) if state > KNOCKED && kind != Kind::Syn => return None,
			What::Knock(_) => KNOCKED,
			What::Answer if state == KNOCKED && flags & tcp::RST == 0 => {
				let welcome = tcp::SYN | tcp::ACK;
				if flags & welcome == welcome {
					ANSWERED
				} else {
					DONE
				}
			}
			// The number of this very handshake: a connection of the same name that was proven before does not do.
			What::Proof if state == ANSWERED && number == slot.1 => DONE,
			What::Answer | What::Proof => return None,
		};
		*slot = (tag | next, number);
		Some(step)
	}
}

/// How an inbound packet knocks. None: it does not.
fn kind(seen: &Seen<'_>) -> Option<Kind> {
	let packet = seen.packet;
	if seen.solicited || packet.fragment.is_some() {
		return None;
	}
	match packet.transport {
		Transport::Tcp(tcp) if tcp.opens() => Some(Kind::Syn),
		Transport::Tcp(tcp) => match tcp.flags & FLAGS {
			0 => Some(Kind::Null),
			tcp::FIN => Some(Kind::Fin),
			XMAS => Some(Kind::Xmas),
			tcp::ACK if tcp.destination < SERVICES && packet.payload.is_empty() && packet.length <= BARE => {
				Some(Kind::Ack)
			}
			_ => None,
		},
		Transport::Udp { source, destination } => {
			let answers = source < SERVICES || REFLECTORS.contains(&source);
			(!answers && !TRACEROUTE.contains(&destination)).then_some(Kind::Udp)
		}
		_ => None,
	}
}
