//! Whether a TCP peer is who it says: it has acknowledged a number that was sent to it alone.
//!
//! When the home sends a SYN, or answers one, it names a first sequence number; only who receives that packet can
//! acknowledge the number after it. From then on the packets of that connection are their sender's own that acknowledge about
//! what the home last sent, until a SYN or a RST of either side ends it.
//!
//! # Security considerations
//!
//! Both memories are arrays of a fixed size in which newer connections take the place of older ones. A flood can make the
//! sensor forget a handshake, and a forged SYN or RST can end one, which makes a peer unproven, never the other way round: to
//! be taken for somebody else, a sender has to guess a number of 32 bits, or all four of addresses and ports of a connection
//! that is proven already and, to one part in two thousand, what the home last sent there. Only the home moves that number.

use crate::{
	packet::{tcp, Packet, Tcp},
	sketch::Secret,
};
use ringfence_primitives::{Address, Millis};

/// Connections that are remembered of each kind: a megabyte and a quarter together.
const CONNECTIONS: usize = 65_536;
/// Seconds for which a connection stays proven after its last packet.
const IDLE: u32 = 600;
/// Octets by which an acknowledgement may differ from what the home last sent: what is on its way or, under sampling, was
/// not seen. Who is further off for a moment is not proven for that moment.
const WINDOW: u32 = 1 << 20;

/// What is remembered of handshakes.
pub struct Handshakes {
	/// By connection: 32 bits of its hash, and the number that its peer has to acknowledge.
	awaited: Box<[(u32, u32)]>,
	/// By connection: what is known of one that is proven.
	proven: Box<[Proven]>,
}

#[derive(Clone, Copy, Default)]
struct Proven {
	/// 32 bits of the connection's hash.
	tag: u32,
	/// The second of its peer's last packet; 0: there is none.
	second: u32,
	/// The sequence number that the home sent last.
	sent: u32,
}

impl Proven {
	/// Whether a packet that acknowledges `number` in this second belongs to the connection.
	fn holds(&self, tag: u32, second: u32, number: u32) -> bool {
		let near = number.wrapping_sub(self.sent).min(self.sent.wrapping_sub(number)) <= WINDOW;
		self.tag == tag && self.second != 0 && second.saturating_sub(self.second) <= IDLE && near
	}
}

/// The connection as the home sees it, hashed.
fn connection(secret: &Secret, home: (Address, u16), peer: (Address, u16)) -> u64 {
	secret.hash((home, peer))
}

impl Handshakes {
	/// Nothing is known yet.
	pub fn new() -> Self {
		let awaited = vec![(0, 0); CONNECTIONS].into_boxed_slice();
		Self { awaited, proven: vec![Proven::default(); CONNECTIONS].into_boxed_slice() }
	}

	fn place(hash: u64) -> (usize, u32) {
		// The low bits say where, the high ones who.
		(hash as usize % CONNECTIONS, (hash >> 32) as u32)
	}

	/// Takes in a packet that leaves the home.
	pub fn outgoing(&mut self, secret: &Secret, packet: &Packet<'_>) {
		let Some(tcp) = packet.tcp() else { return };
		let hash = connection(secret, (packet.source, tcp.source), (packet.destination, tcp.destination));
		let (place, tag) = Self::place(hash);
		let (Some(awaited), Some(proven)) = (self.awaited.get_mut(place), self.proven.get_mut(place)) else { return };
		let known = proven.tag == tag;
		match tcp.flags & (tcp::SYN | tcp::RST) {
			0 if known => proven.sent = tcp.sequence,
			0 => {}
			tcp::SYN => {
				*awaited = (tag, tcp.sequence.wrapping_add(1));
				if known {
					*proven = Proven::default();
				}
			}
			_ if known => *proven = Proven::default(),
			_ => {}
		}
	}

	/// Takes in a packet that comes to the home: whether its sender is proven to be its source.
	pub fn incoming(&mut self, secret: &Secret, packet: &Packet<'_>, now: Millis) -> bool {
		let Some(tcp) = packet.tcp() else { return false };
		let Tcp { flags, acknowledgement, .. } = *tcp;
		let hash = connection(secret, (packet.destination, tcp.destination), (packet.source, tcp.source));
		let (place, tag) = Self::place(hash);
		// Seconds fit until the year 2106.
		let second = u32::try_from(now / 1_000).unwrap_or(u32::MAX);
		let (Some(awaited), Some(proven)) = (self.awaited.get(place), self.proven.get_mut(place)) else { return false };
		let acknowledges = flags & tcp::ACK != 0;
		let holds = acknowledges && proven.holds(tag, second, acknowledgement);
		let completes = acknowledges && *awaited == (tag, acknowledgement);
		if tcp.opens() || flags & tcp::RST != 0 {
			// Whoever sent it, the connection that was is over, or may be.
			if proven.tag == tag {
				*proven = Proven::default();
			}
		} else if holds {
			proven.second = second.max(1);
		} else if completes {
			*proven = Proven { tag, second: second.max(1), sent: acknowledgement };
		}
		holds || completes
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

	/// A server, and a client whose handshake with it is complete: the server's first number is 900.
	fn connected() -> (Secret, Handshakes) {
		let (secret, mut handshakes) = (Secret::new(3), Handshakes::new());
		handshakes.outgoing(&secret, &packet(SERVER, CLIENT, tcp::SYN | tcp::ACK, 900, 6));
		assert!(handshakes.incoming(&secret, &packet(CLIENT, SERVER, tcp::ACK, 6, 901), 1_000));
		(secret, handshakes)
	}

	#[test]
	fn a_new_opening_or_an_end_ends_the_proof() {
		let data = packet(CLIENT, SERVER, tcp::PSH | tcp::ACK, 6, 1_000);
		for (flags, outgoing) in
			[(tcp::SYN, false), (tcp::RST, false), (tcp::RST | tcp::ACK, true), (tcp::SYN | tcp::ACK, true)]
		{
			let (secret, mut handshakes) = connected();
			assert!(handshakes.incoming(&secret, &data, 1_000));
			match outgoing {
				true => handshakes.outgoing(&secret, &packet(SERVER, CLIENT, flags, 70_000, 7)),
				false => assert!(!handshakes.incoming(&secret, &packet(CLIENT, SERVER, flags, 5, 1_000), 1_000)),
			}
			assert!(!handshakes.incoming(&secret, &data, 1_000), "{flags:#x}");
		}
	}

	#[test]
	fn who_knows_the_connection_but_not_what_the_home_said_is_not_proven() {
		let (secret, mut handshakes) = connected();
		let data = |acknowledgement| packet(CLIENT, SERVER, tcp::PSH | tcp::ACK, 6, acknowledgement);
		for forged in [0x8000_0000, 901 + WINDOW + 1, 901_u32.wrapping_sub(WINDOW + 1)] {
			assert!(!handshakes.incoming(&secret, &data(forged), 1_000), "{forged}");
		}
		assert!(handshakes.incoming(&secret, &data(901 + WINDOW), 1_000));
		assert!(!handshakes.incoming(&secret, &data(901 + WINDOW + 1), 1_000), "the peer does not move it");
		assert!(!handshakes.incoming(&secret, &packet(CLIENT, SERVER, tcp::FIN, 6, 901), 1_000), "no acknowledgement");
		handshakes.outgoing(&secret, &packet(SERVER, CLIENT, tcp::ACK, 0x8000_0000, 7));
		assert!(handshakes.incoming(&secret, &data(0x8000_0000), 1_000), "the home does");
		assert!(!handshakes.incoming(&secret, &data(902), 1_000));
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
