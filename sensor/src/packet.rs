//! Reads a frame's headers: Ethernet with VLAN tags, IPv4, IPv6 with extension headers, fragments, TCP, UDP, ICMP, GRE.
//!
//! # Security considerations
//!
//! Whoever can send a packet writes every byte. No field is believed before the bytes are there: what a header claims about
//! lengths is compared with what was captured. Nothing is reassembled, so fragments cost no memory.

use pnet_packet::{
	ethernet::EthernetPacket, gre::GrePacket, icmp::IcmpPacket, ipv4::Ipv4Packet, ipv6::Ipv6Packet, tcp::TcpPacket,
	udp::UdpPacket, vlan::VlanPacket,
};
use ringfence_primitives::Address;

/// IP protocol numbers that are told apart.
pub mod protocol {
	/// ICMP.
	pub const ICMP: u8 = 1;
	/// TCP.
	pub const TCP: u8 = 6;
	/// UDP.
	pub const UDP: u8 = 17;
	/// GRE.
	pub const GRE: u8 = 47;
	/// ICMPv6.
	pub const ICMPV6: u8 = 58;
}

/// TCP flags, bits as in the header.
pub mod tcp {
	/// FIN.
	pub const FIN: u8 = 0x01;
	/// SYN.
	pub const SYN: u8 = 0x02;
	/// RST.
	pub const RST: u8 = 0x04;
	/// PSH.
	pub const PSH: u8 = 0x08;
	/// ACK.
	pub const ACK: u8 = 0x10;
	/// URG.
	pub const URG: u8 = 0x20;
}

/// VLAN tags that are looked through at most.
const MAX_TAGS: usize = 4;
/// IPv6 extension headers that are looked through at most.
const MAX_EXTENSIONS: usize = 8;

/// What a frame begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
	/// An Ethernet header.
	Ethernet,
	/// An IP header.
	Raw,
	/// The header of Linux's "any" interface, first form: 16 octets, the protocol at the end.
	Cooked,
	/// The same, second form: 20 octets, the protocol in front.
	CookedV2,
	/// Four octets of an address family, as on BSD's loopback.
	Null,
}

/// Why a frame is no packet to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
	/// It is neither IPv4 nor IPv6: ARP, say. Nothing is wrong with it.
	#[error("not IP")]
	NotIp,
	/// It ends within the header of this layer.
	#[error("ends within its {0} header")]
	Short(&'static str),
	/// The version in the IP header is neither 4 nor 6, or not what the frame announces.
	#[error("a wrong IP version")]
	Version,
	/// A length that cannot be: a header shorter than its least, or longer than its packet.
	#[error("a wrong length in its {0} header")]
	Length(&'static str),
	/// An IPv4 address in IPv6 clothes, which never appears on a wire.
	#[error("an IPv4-mapped IPv6 address")]
	Mapped,
	/// More VLAN tags or extension headers than anybody needs.
	#[error("too many headers")]
	TooManyHeaders,
}

/// A fragment of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment {
	/// Where it belongs, in octets.
	pub offset: u16,
	/// Whether more follow.
	pub more: bool,
}

/// What a TCP header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tcp {
	/// Source port.
	pub source: u16,
	/// Destination port.
	pub destination: u16,
	/// Flags, bits as in the header.
	pub flags: u8,
	/// Sequence number.
	pub sequence: u32,
	/// Acknowledgement number.
	pub acknowledgement: u32,
	/// Window.
	pub window: u16,
}

impl Tcp {
	/// Whether all of `flags` are set, and none of SYN, FIN and RST besides.
	pub fn is(&self, flags: u8) -> bool {
		self.flags & (flags | tcp::SYN | tcp::FIN | tcp::RST) == flags
	}

	/// SYN without ACK: the wish to talk.
	pub fn opens(&self) -> bool {
		self.flags & (tcp::SYN | tcp::ACK | tcp::RST | tcp::FIN) == tcp::SYN
	}
}

/// What follows the IP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
	/// TCP.
	Tcp(Tcp),
	/// UDP.
	Udp {
		/// Source port.
		source: u16,
		/// Destination port.
		destination: u16,
	},
	/// ICMP or ICMPv6.
	Icmp {
		/// Type.
		kind: u8,
		/// Code.
		code: u8,
	},
	/// GRE.
	Gre {
		/// The EtherType of what is inside: 0x0800 IPv4, 0x86dd IPv6, 0x6558 Ethernet.
		inner: u16,
	},
	/// Another protocol.
	Other,
	/// Not there: a later fragment, or cut off.
	Absent,
}

/// A packet's headers, and as much of its payload as was captured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
	/// Where it says that it comes from.
	pub source: Address,
	/// Where it goes.
	pub destination: Address,
	/// The protocol behind IP and its extension headers.
	pub protocol: u8,
	/// Hop limit (TTL).
	pub hop_limit: u8,
	/// Length in octets, IP header on, as the header says; longer ones count as 65,535.
	pub length: u16,
	/// Whether it is a fragment, and which.
	pub fragment: Option<Fragment>,
	/// What follows the IP header.
	pub transport: Transport,
	/// What follows the transport header, as far as it was captured.
	pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
	/// Reads a frame. Fields of transport headers that were cut off are [`Transport::Absent`]; no other part may be missing.
	pub fn parse(link: Link, frame: &'a [u8]) -> Result<Self, Malformed> {
		match link {
			Link::Ethernet => {
				let ethernet = EthernetPacket::new(frame).ok_or(Malformed::Short("Ethernet"))?;
				untagged(ethernet.get_ethertype().0, rest(frame, 14))
			}
			Link::Raw => ip(frame),
			Link::Null => ip(frame.get(4..).ok_or(Malformed::Short("loopback"))?),
			Link::Cooked => cooked(frame, 14, 16),
			Link::CookedV2 => cooked(frame, 0, 20),
		}
	}

	/// Source and destination port, where there are any.
	pub fn ports(&self) -> Option<(u16, u16)> {
		match self.transport {
			Transport::Tcp(tcp) => Some((tcp.source, tcp.destination)),
			Transport::Udp { source, destination } => Some((source, destination)),
			_ => None,
		}
	}

	/// The TCP header, where there is one.
	pub fn tcp(&self) -> Option<&Tcp> {
		match &self.transport {
			Transport::Tcp(tcp) => Some(tcp),
			_ => None,
		}
	}
}

/// What follows the first `length` octets; nothing where there are fewer.
fn rest(bytes: &[u8], length: usize) -> &[u8] {
	bytes.get(length..).unwrap_or_default()
}

fn cooked(frame: &[u8], protocol: usize, length: usize) -> Result<Packet<'_>, Malformed> {
	let short = Malformed::Short("cooked");
	let (high, low) = frame.get(protocol).zip(frame.get(protocol + 1)).ok_or(short)?;
	untagged(u16::from_be_bytes([*high, *low]), frame.get(length..).ok_or(short)?)
}

fn untagged(mut ethertype: u16, mut bytes: &[u8]) -> Result<Packet<'_>, Malformed> {
	for _ in 0..=MAX_TAGS {
		match ethertype {
			0x0800 => return ipv4(bytes),
			0x86dd => return ipv6(bytes),
			0x8100 | 0x88a8 | 0x9100 => {
				ethertype = VlanPacket::new(bytes).ok_or(Malformed::Short("VLAN"))?.get_ethertype().0;
				bytes = rest(bytes, 4);
			}
			_ => return Err(Malformed::NotIp),
		}
	}
	Err(Malformed::TooManyHeaders)
}

fn ip(bytes: &[u8]) -> Result<Packet<'_>, Malformed> {
	match bytes.first().ok_or(Malformed::Short("IP"))? >> 4 {
		4 => ipv4(bytes),
		6 => ipv6(bytes),
		_ => Err(Malformed::Version),
	}
}

fn ipv4(bytes: &[u8]) -> Result<Packet<'_>, Malformed> {
	let header = Ipv4Packet::new(bytes).ok_or(Malformed::Short("IPv4"))?;
	if header.get_version() != 4 {
		return Err(Malformed::Version);
	}
	let (length, header_length) = (header.get_total_length(), usize::from(header.get_header_length()) * 4);
	if header_length < 20 || usize::from(length) < header_length {
		return Err(Malformed::Length("IPv4"));
	}
	// What an Ethernet frame is padded with is no payload.
	let packet = bytes.get(..usize::from(length)).unwrap_or(bytes);
	let body = packet.get(header_length..).ok_or(Malformed::Short("IPv4"))?;
	let (offset, more) = (header.get_fragment_offset() << 3, header.get_flags() & 0b001 != 0);
	let protocol = header.get_next_level_protocol().0;
	let fragment = (offset > 0 || more).then_some(Fragment { offset, more });
	let (transport, payload) = transport(protocol, fragment, body);
	Ok(Packet {
		source: header.get_source().into(),
		destination: header.get_destination().into(),
		protocol,
		hop_limit: header.get_ttl(),
		length,
		fragment,
		transport,
		payload,
	})
}

fn ipv6(bytes: &[u8]) -> Result<Packet<'_>, Malformed> {
	let header = Ipv6Packet::new(bytes).ok_or(Malformed::Short("IPv6"))?;
	if header.get_version() != 6 {
		return Err(Malformed::Version);
	}
	let length = usize::from(header.get_payload_length()) + 40;
	let packet = bytes.get(..length).unwrap_or(bytes);
	let (mut next, mut body) = (header.get_next_header().0, rest(packet, 40));
	let mut fragment: Option<Fragment> = None;
	let mut extensions = 0;
	// The headers of a later fragment are in the first one.
	while fragment.is_none_or(|fragment| fragment.offset == 0) {
		let skip = match (next, body) {
			// Hop-by-hop options, routing, destination options.
			(0 | 43 | 60, &[following, length, ..]) => {
				next = following;
				(usize::from(length) + 1) * 8
			}
			// Authentication counts in words of four.
			(51, &[following, length, ..]) => {
				next = following;
				(usize::from(length) + 2) * 4
			}
			(44, &[following, _, high, low, ..]) => {
				let field = u16::from_be_bytes([high, low]);
				next = following;
				fragment = Some(Fragment { offset: field & !0b111, more: field & 1 != 0 });
				8
			}
			(0 | 43 | 44 | 51 | 60, _) => return Err(Malformed::Short("IPv6 extension")),
			_ => break,
		};
		body = body.get(skip..).ok_or(Malformed::Short("IPv6 extension"))?;
		extensions += 1;
		if extensions > MAX_EXTENSIONS {
			return Err(Malformed::TooManyHeaders);
		}
	}
	let address = |octets| Address::v6(octets).map_err(|_| Malformed::Mapped);
	let (transport, payload) = transport(next, fragment, body);
	Ok(Packet {
		source: address(header.get_source().octets())?,
		destination: address(header.get_destination().octets())?,
		protocol: next,
		hop_limit: header.get_hop_limit(),
		length: u16::try_from(length).unwrap_or(u16::MAX),
		fragment,
		transport,
		payload,
	})
}

fn transport(number: u8, fragment: Option<Fragment>, bytes: &[u8]) -> (Transport, &[u8]) {
	if fragment.is_some_and(|fragment| fragment.offset > 0) {
		return (Transport::Absent, bytes);
	}
	let absent = (Transport::Absent, &[][..]);
	match number {
		protocol::TCP => {
			let Some(header) = TcpPacket::new(bytes) else { return absent };
			let tcp = Tcp {
				source: header.get_source(),
				destination: header.get_destination(),
				// The octet itself: the library's field has a ninth bit in older versions.
				flags: bytes.get(13).copied().unwrap_or_default(),
				sequence: header.get_sequence(),
				acknowledgement: header.get_acknowledgement(),
				window: header.get_window(),
			};
			(Transport::Tcp(tcp), rest(bytes, usize::from(header.get_data_offset()).max(5) * 4))
		}
		protocol::UDP => match UdpPacket::new(bytes) {
			Some(header) => {
				let ports = Transport::Udp { source: header.get_source(), destination: header.get_destination() };
				(ports, rest(bytes, 8))
			}
			None => absent,
		},
		protocol::ICMP | protocol::ICMPV6 => match IcmpPacket::new(bytes) {
			Some(header) => {
				let (kind, code) = (header.get_icmp_type().0, header.get_icmp_code().0);
				(Transport::Icmp { kind, code }, rest(bytes, 4))
			}
			None => absent,
		},
		protocol::GRE => match GrePacket::new(bytes) {
			Some(header) => {
				// Checksum, key and sequence number are each there if their bit is set.
				let flags = bytes.first().copied().unwrap_or_default();
				let optional = (flags & 0b1011_0000).count_ones() as usize * 4;
				(Transport::Gre { inner: header.get_protocol_type() }, rest(bytes, 4 + optional))
			}
			None => absent,
		},
		_ => (Transport::Other, bytes),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	/// An IPv4 header of 20 octets in front of `body`.
	fn v4(protocol: u8, fragment: u16, body: &[u8]) -> Vec<u8> {
		let length = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
		let mut bytes = vec![0x45, 0, length[0], length[1], 0, 1];
		bytes.extend(fragment.to_be_bytes());
		bytes.extend([64, protocol, 0, 0, 198, 51, 100, 1, 203, 0, 113, 9]);
		bytes.extend(body);
		bytes
	}

	fn v6(next: u8, body: &[u8]) -> Vec<u8> {
		let length = u16::try_from(body.len()).unwrap().to_be_bytes();
		let mut bytes = vec![0x60, 0, 0, 0, length[0], length[1], next, 57];
		bytes.extend("2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
		bytes.extend("2001:db8::2".parse::<std::net::Ipv6Addr>().unwrap().octets());
		bytes.extend(body);
		bytes
	}

	fn ethernet(ethertype: u16, body: &[u8]) -> Vec<u8> {
		let mut bytes = vec![2; 12];
		bytes.extend(ethertype.to_be_bytes());
		bytes.extend(body);
		bytes
	}

	const SYN: [u8; 20] = [0x9c, 0x40, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, tcp::SYN, 0xff, 0xff, 0, 0, 0, 0];

	#[test]
	fn a_syn_is_read_behind_ethernet_and_tags() {
		let expected =
			Tcp { source: 40_000, destination: 80, flags: tcp::SYN, sequence: 7, acknowledgement: 0, window: 0xffff };
		let ip = v4(protocol::TCP, 0, &SYN);
		let mut tagged = vec![0, 5, 0x08, 0];
		tagged.extend(&ip);
		let mut twice = vec![0, 5, 0x81, 0];
		twice.extend(&tagged);
		for frame in [ethernet(0x0800, &ip), ethernet(0x8100, &tagged), ethernet(0x88a8, &twice)] {
			let packet = Packet::parse(Link::Ethernet, &frame).unwrap();
			assert_eq!(packet.tcp(), Some(&expected));
			assert_eq!(
				(packet.source.to_string(), packet.destination.to_string()),
				("198.51.100.1".into(), "203.0.113.9".into())
			);
			assert_eq!((packet.length, packet.hop_limit, packet.fragment), (40, 64, None));
			assert!(packet.tcp().unwrap().opens());
		}
	}

	#[test]
	fn other_links_lead_to_the_same_packet() {
		let ip = v4(protocol::UDP, 0, &[0, 53, 0x30, 0x39, 0, 9, 0, 0, 0xaa]);
		let expected = Packet::parse(Link::Raw, &ip).unwrap();
		assert_eq!(expected.payload, [0xaa]);
		let with = |head: &[u8]| [head, &ip].concat();
		let mut cooked = [0; 16];
		cooked[14] = 8;
		let mut cooked2 = [0; 20];
		cooked2[0] = 8;
		assert_eq!(Packet::parse(Link::Null, &with(&[2, 0, 0, 0])), Ok(expected));
		assert_eq!(Packet::parse(Link::Cooked, &with(&cooked)), Ok(expected));
		assert_eq!(Packet::parse(Link::CookedV2, &with(&cooked2)), Ok(expected));
	}

	#[test]
	fn padding_is_no_payload() {
		let mut frame = ethernet(0x0800, &v4(protocol::UDP, 0, &[0, 1, 0, 2, 0, 8, 0, 0]));
		frame.resize(60, 0);
		assert_eq!(Packet::parse(Link::Ethernet, &frame).unwrap().payload, b"");
	}

	#[test]
	fn fragments_are_told() {
		let first = v4(protocol::UDP, 0x2000, &[0, 1, 0, 2, 0, 8, 0, 0]);
		let packet = Packet::parse(Link::Raw, &first).unwrap();
		assert_eq!(packet.fragment, Some(Fragment { offset: 0, more: true }));
		assert_eq!(packet.ports(), Some((1, 2)));
		let later = v4(protocol::UDP, 185, &[0xff; 16]);
		let packet = Packet::parse(Link::Raw, &later).unwrap();
		assert_eq!(packet.fragment, Some(Fragment { offset: 1_480, more: false }));
		assert_eq!((packet.transport, packet.payload.len()), (Transport::Absent, 16));
		let six = v6(44, &[protocol::UDP, 0, 0, 0b1001, 0, 0, 0, 1, 1, 2, 3]);
		let packet = Packet::parse(Link::Raw, &six).unwrap();
		assert_eq!(packet.fragment, Some(Fragment { offset: 8, more: true }));
		assert_eq!((packet.protocol, packet.transport), (protocol::UDP, Transport::Absent));
	}

	#[test]
	fn extension_headers_are_looked_through() {
		let bytes = v6(0, &[60, 0, 0, 0, 0, 0, 0, 0, protocol::UDP, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 8, 0, 0]);
		let packet = Packet::parse(Link::Raw, &bytes).unwrap();
		assert_eq!((packet.protocol, packet.ports()), (protocol::UDP, Some((1, 2))));
		let endless: Vec<u8> = [0, 0, 0, 0, 0, 0, 0, 0].repeat(20);
		assert_eq!(Packet::parse(Link::Raw, &v6(0, &endless)), Err(Malformed::TooManyHeaders));
		assert_eq!(Packet::parse(Link::Raw, &v6(0, &[17, 9, 0])), Err(Malformed::Short("IPv6 extension")));
	}

	#[test]
	fn gre_names_what_is_inside() {
		let gre = v4(protocol::GRE, 0, &[0x20, 0, 0x65, 0x58, 0, 0, 0, 1, 0xbb]);
		let packet = Packet::parse(Link::Raw, &gre).unwrap();
		assert_eq!((packet.transport, packet.payload), (Transport::Gre { inner: 0x6558 }, &[0xbb][..]));
	}

	#[test]
	fn what_makes_no_sense_is_refused_with_its_cause() {
		let good = v4(protocol::TCP, 0, &SYN);
		let with = |index: usize, value: u8| {
			let mut bytes = good.clone();
			bytes[index] = value;
			Packet::parse(Link::Raw, &bytes).map(|_| ())
		};
		assert_eq!(with(0, 0x44), Err(Malformed::Length("IPv4")));
		assert_eq!(with(0, 0x75), Err(Malformed::Version));
		assert_eq!(with(3, 19), Err(Malformed::Length("IPv4")));
		assert_eq!(Packet::parse(Link::Raw, &good[..19]), Err(Malformed::Short("IPv4")));
		assert_eq!(Packet::parse(Link::Raw, &good[..39]).unwrap().transport, Transport::Absent, "cut off");
		assert_eq!(Packet::parse(Link::Raw, &[]), Err(Malformed::Short("IP")));
		assert_eq!(Packet::parse(Link::Ethernet, &[0; 13]), Err(Malformed::Short("Ethernet")));
		assert_eq!(Packet::parse(Link::Ethernet, &ethernet(0x0806, &[0; 28])), Err(Malformed::NotIp));
		assert_eq!(Packet::parse(Link::Ethernet, &ethernet(0x8100, &[0])), Err(Malformed::Short("VLAN")));
		let mut mapped = v6(59, &[]);
		mapped[8..24].copy_from_slice(&"::ffff:192.0.2.1".parse::<std::net::Ipv6Addr>().unwrap().octets());
		assert_eq!(Packet::parse(Link::Raw, &mapped), Err(Malformed::Mapped));
	}

	proptest! {
		#[test]
		fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
			for link in [Link::Ethernet, Link::Raw, Link::Cooked, Link::CookedV2, Link::Null] {
				let _ = Packet::parse(link, &bytes);
			}
		}

		#[test]
		fn no_change_to_a_packet_panics(index in 0_usize..64, value: u8, length in 0_usize..=80) {
			for mut frame in [
				ethernet(0x0800, &v4(protocol::TCP, 0, &SYN)),
				ethernet(0x0800, &v4(protocol::GRE, 0, &[0xb0, 0, 8, 0, 0, 0, 0, 1])),
				ethernet(0x86dd, &v6(0, &[44, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4])),
			] {
				let last = frame.len() - 1;
				frame[index.min(last)] = value;
				frame.truncate(length.min(last + 1));
				if let Ok(packet) = Packet::parse(Link::Ethernet, &frame) {
					prop_assert!(packet.payload.len() <= frame.len());
				}
			}
		}
	}
}
