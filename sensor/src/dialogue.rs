//! Whether the home asked for a packet that is not TCP's: it spoke to this peer, from this port to that, before the peer did.
//!
//! # Security considerations
//!
//! As with [`crate::handshake`], memories are arrays in which newer entries take the place of older ones. Who speaks first is
//! kept for both sides apart: a server's answers to forged questions make nobody a peer that was asked, and a flood cannot
//! push out whom the home did ask.

use crate::{packet::Packet, sketch::Secret};
use ringfence_primitives::{Address, Millis};

/// Dialogues that are remembered of each kind: half a megabyte.
const DIALOGUES: usize = 65_536;
/// Seconds of silence after which a dialogue is over.
const IDLE: u32 = 120;

/// What is remembered of dialogues: 32 bits of a hash, and the second of the last packet.
pub struct Dialogues {
	by_home: Box<[(u32, u32)]>,
	by_peer: Box<[(u32, u32)]>,
}

fn hash(secret: &Secret, packet: &Packet<'_>, home: Address, peer: Address, home_port: u16, peer_port: u16) -> u64 {
	secret.hash((home, peer, home_port, peer_port, packet.protocol))
}

fn known(slot: (u32, u32), tag: u32, second: u32) -> bool {
	slot.0 == tag && slot.1 != 0 && second.saturating_sub(slot.1) <= IDLE
}

impl Dialogues {
	/// Nothing is known yet.
	pub fn new() -> Self {
		let memory = || vec![(0, 0); DIALOGUES].into_boxed_slice();
		Self { by_home: memory(), by_peer: memory() }
	}

	/// Takes in a packet that leaves the home: whether it answers a peer that spoke first.
	pub fn outgoing(&mut self, secret: &Secret, packet: &Packet<'_>, now: Millis) -> bool {
		let (home_port, peer_port) = packet.ports().unwrap_or_default();
		let hash = hash(secret, packet, packet.source, packet.destination, home_port, peer_port);
		let (place, tag, second) = place(hash, now);
		let (Some(own), Some(theirs)) = (self.by_home.get_mut(place), self.by_peer.get(place)) else { return false };
		let answers = known(*theirs, tag, second);
		if !answers {
			*own = (tag, second);
		}
		answers
	}

	/// Takes in a packet that comes to the home: whether the home had asked for it.
	pub fn incoming(&mut self, secret: &Secret, packet: &Packet<'_>, now: Millis) -> bool {
		let (peer_port, home_port) = packet.ports().unwrap_or_default();
		let hash = hash(secret, packet, packet.destination, packet.source, home_port, peer_port);
		let (place, tag, second) = place(hash, now);
		let (Some(own), Some(theirs)) = (self.by_home.get_mut(place), self.by_peer.get_mut(place)) else {
			return false;
		};
		let asked = known(*own, tag, second);
		if asked {
			own.1 = second;
		} else {
			*theirs = (tag, second);
		}
		asked
	}
}

fn place(hash: u64, now: Millis) -> (usize, u32, u32) {
	// The low bits say where, the high ones who. Seconds fit until the year 2106.
	(hash as usize % DIALOGUES, (hash >> 32) as u32, u32::try_from(now / 1_000).unwrap_or(u32::MAX).max(1))
}

impl Default for Dialogues {
	fn default() -> Self {
		Self::new()
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::packet::Transport;

	fn udp(source: (&str, u16), destination: (&str, u16)) -> Packet<'static> {
		Packet {
			source: source.0.parse().unwrap(),
			destination: destination.0.parse().unwrap(),
			protocol: 17,
			hop_limit: 64,
			length: 60,
			fragment: None,
			transport: Transport::Udp { source: source.1, destination: destination.1 },
			payload: &[],
		}
	}

	const HOME: (&str, u16) = ("203.0.113.9", 50_000);
	const RESOLVER: (&str, u16) = ("198.51.100.53", 53);

	#[test]
	fn answers_were_asked_for_and_nothing_else_was() {
		let (secret, mut dialogues) = (Secret::new(1), Dialogues::new());
		assert!(!dialogues.incoming(&secret, &udp(RESOLVER, (HOME.0, 50_001)), 1_000));
		assert!(!dialogues.outgoing(&secret, &udp(HOME, RESOLVER), 1_000));
		assert!(dialogues.incoming(&secret, &udp(RESOLVER, HOME), 1_100));
		assert!(!dialogues.incoming(&secret, &udp((RESOLVER.0, 54), HOME), 1_100));
		assert!(dialogues.incoming(&secret, &udp(RESOLVER, HOME), 100_000), "it goes on");
		assert!(!dialogues.incoming(&secret, &udp(RESOLVER, HOME), 300_000), "it is over");
	}

	#[test]
	fn who_is_only_answered_was_not_asked() {
		let (secret, mut dialogues) = (Secret::new(1), Dialogues::new());
		for now in (1_000..5_000).step_by(100) {
			assert!(!dialogues.incoming(&secret, &udp(RESOLVER, HOME), now));
			assert!(dialogues.outgoing(&secret, &udp(HOME, RESOLVER), now));
		}
	}
}
