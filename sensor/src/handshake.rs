//! Whether a TCP peer is who it says: it has acknowledged a number that was sent to it alone.
//!
//! When the home sends a SYN, or answers one, it names a first sequence number; only who receives that packet can
//! acknowledge the number after it. From then on the packets of that connection are their sender's own.
//!
//! # Security considerations
//!
//! Both memories are arrays of a fixed size in which newer connections take the place of older ones. A flood can make the
//! sensor forget a handshake, which makes a peer unproven, never the other way round: to be taken for somebody else, a sender
//! has to guess a number of 32 bits, or all four of addresses and ports of a connection that is proven already.

use crate::{
	packet::{tcp, Packet, Tcp},
	sketch::Secret,
};
use ringfence_primitives::{Address, Millis};

/// Connections that are remembered of each kind: half a megabyte.
const CONNECTIONS: usize = 65_536;
/// Seconds for which a connection stays proven after its last packet.
const IDLE: u32 = 600;

/// What is remembered of handshakes.
pub struct Handshakes {
	/// By connection: 32 bits of its hash, and the number that its peer has to acknowledge.
	awaited: Box<[(u32, u32)]>,
	/// By connection: 32 other bits of its hash, and the second of its last packet.
	proven: Box<[(u32, u32)]>,
}

/// The connection as the home sees it, hashed.
fn connection(secret: &Secret, home: (Address, u16), peer: (Address, u16)) -> u64 {
	secret.hash((home, peer))
}

impl Handshakes {
	/// Nothing is known yet.
	pub fn new() -> Self {
		let memory = || vec![(0, 0); CONNECTIONS].into_boxed_slice();
		Self { awaited: memory(), proven: memory() }
	}

	fn place(hash: u64) -> (usize, u32) {
		// The low bits say where, the high ones who.
		(hash as usize % CONNECTIONS, (hash >> 32) as u32)
	}

	/// Takes in a packet that leaves the home.
	pub fn outgoing(&mut self, secret: &Secret, packet: &Packet<'_>) {
		let Some(tcp) = packet.tcp().filter(|tcp| tcp.flags & (tcp::SYN | tcp::RST) == tcp::SYN) else { return };
		let hash = connection(secret, (packet.source, tcp.source), (packet.destination, tcp.destination));
		let (place, tag) = Self::place(hash);
		if let Some(slot) = self.awaited.get_mut(place) {
			*slot = (tag, tcp.sequence.wrapping_add(1));
		}
	}

	/// Takes in a packet that comes to the home: whether its sender is proven to be its source.
	pub fn incoming(&mut self, secret: &Secret, packet: &Packet<'_>, now: Millis) -> bool {
		let Some(tcp) = packet.tcp().filter(|tcp| !tcp.opens()) else { return false };
		let Tcp { flags, acknowledgement, .. } = *tcp;
		let hash = connection(secret, (packet.destination, tcp.destination), (packet.source, tcp.source));
		let (place, tag) = Self::place(hash);
		// Seconds fit until the year 2106.
		let second = u32::try_from(now / 1_000).unwrap_or(u32::MAX);
		let (Some(awaited), Some(proven)) = (self.awaited.get(place), self.proven.get_mut(place)) else { return false };
		let known = proven.0 == tag && second.saturating_sub(proven.1) <= IDLE && proven.1 != 0;
		let completes = flags & tcp::ACK != 0 && *awaited == (tag, acknowledgement);
		if known || completes {
			*proven = (tag, second.max(1));
		}
		known || completes
	}
}

impl Default for Handshakes {
	fn default() -> Self {
		Self::new()
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::packet::Transport;

	const HOME: &str = "203.0.113.9";
	const PEER: &str = "198.51.100.1";

	fn packet(from: (&str, u16), to: (&str, u16), flags: u8, sequence: u32, acknowledgement: u32) -> Packet<'static> {
		Packet {
			source: from.0.parse().unwrap(),
			destination: to.0.parse().unwrap(),
			protocol: 6,
			hop_limit: 64,
			length: 40,
			fragment: None,
			transport: Transport::Tcp(Tcp {
				source: from.1,
				destination: to.1,
				flags,
				sequence,
				acknowledgement,
				window: 1_000,
			}),
			payload: &[],
		}
	}

	const SERVER: (&str, u16) = (HOME, 80);
	const CLIENT: (&str, u16) = (PEER, 40_000);

	#[test]
	fn who_acknowledges_what_only_it_was_sent_is_proven() {
		let (secret, mut handshakes) = (Secret::new(3), Handshakes::new());
		assert!(!handshakes.incoming(&secret, &packet(CLIENT, SERVER, tcp::SYN, 5, 0), 1_000));
		handshakes.outgoing(&secret, &packet(SERVER, CLIENT, tcp::SYN | tcp::ACK, 900, 6));
		assert!(!handshakes.incoming(&secret, &packet(CLIENT, SERVER, tcp::ACK, 6, 900), 1_000), "a wrong number");
		assert!(handshakes.incoming(&secret, &packet(CLIENT, SERVER, tcp::ACK, 6, 901), 1_000));
		assert!(handshakes.incoming(&secret, &packet(CLIENT, SERVER, tcp::PSH | tcp::ACK, 6, 1_500), 2_000));
		assert!(!handshakes.incoming(&secret, &packet((PEER, 40_001), SERVER, tcp::ACK, 6, 901), 2_000), "another one");
		assert!(!handshakes.incoming(&secret, &packet(CLIENT, SERVER, tcp::SYN, 6, 901), 2_000), "a SYN never is");
		assert!(!handshakes.incoming(&secret, &packet(CLIENT, SERVER, tcp::ACK, 6, 77), 700_000), "long ago");
	}

	#[test]
	fn who_answers_the_home_is_proven() {
		let (secret, mut handshakes) = (Secret::new(3), Handshakes::new());
		handshakes.outgoing(&secret, &packet((HOME, 50_000), (PEER, 443), tcp::SYN, u32::MAX, 0));
		let answer = packet((PEER, 443), (HOME, 50_000), tcp::SYN | tcp::ACK, 5, 0);
		assert!(handshakes.incoming(&secret, &answer, 1_000));
	}

	#[test]
	fn a_flood_of_forged_openings_proves_nobody() {
		let (secret, mut handshakes) = (Secret::new(3), Handshakes::new());
		for number in 0..200_000_u32 {
			let source = std::net::Ipv4Addr::from(number.wrapping_mul(2_654_435_761)).to_string();
			let forged = (source.as_str(), 1_024 + (number % 60_000) as u16);
			assert!(!handshakes.incoming(&secret, &packet(forged, SERVER, tcp::SYN, number, 0), 1_000));
			handshakes.outgoing(&secret, &packet(SERVER, forged, tcp::SYN | tcp::ACK, number ^ 0x5555, number + 1));
			// Not what was sent to that address, which a forger never sees.
			let guess = (number ^ 0x5555).wrapping_add(2);
			assert!(!handshakes.incoming(&secret, &packet(forged, SERVER, tcp::ACK, number, guess), 1_000));
		}
	}
}
