//! Frames, byte by byte: Ethernet, IPv4, and what is in it. Lengths and checksums are right, whatever the rest is.

use pnet_packet::{
	ip::{IpNextHeaderProtocol, IpNextHeaderProtocols},
	util,
};
use std::net::Ipv4Addr;

/// What an Ethernet and an IPv4 header take; nothing here has IPv4 options.
pub const HEADERS: usize = ETHERNET + IPV4;
/// The largest frame: an MTU of 1,500 bytes, and the Ethernet header.
pub const MAX_FRAME: usize = ETHERNET + 1_500;
/// The most that fits behind the longest headers made here: outer and inner IPv4, GRE, inner Ethernet, UDP.
pub const MAX_PAYLOAD: usize = 1_400;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const TYPE_IPV4: u16 = 0x0800;
const TYPE_BRIDGED: u16 = 0x6558;

/// The SYN flag.
pub const SYN: u8 = 0x02;
/// The ACK flag.
pub const ACK: u8 = 0x10;
/// The PSH flag.
pub const PSH: u8 = 0x08;
/// The FIN flag.
pub const FIN: u8 = 0x01;

/// "Don't fragment", in the field of the fragment offset.
pub const WHOLE: u16 = 0x4000;
/// "More fragments", in the same field.
pub const MORE: u16 = 0x2000;

/// The Ethernet addresses of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
	/// Whose it is.
	pub source: [u8; 6],
	/// The next hop's.
	pub destination: [u8; 6],
}

impl Link {
	/// Of the documentation, for files.
	pub const PAPER: Self =
		Self { source: [0x02, 0, 0x5e, 0, 0x53, 0x01], destination: [0x02, 0, 0x5e, 0, 0x53, 0x02] };

	/// For a frame that goes the other way.
	pub const fn reversed(self) -> Self {
		Self { source: self.destination, destination: self.source }
	}
}

/// What varies in an IPv4 header.
#[derive(Clone, Copy, Debug)]
pub struct Ip {
	/// From.
	pub source: Ipv4Addr,
	/// To.
	pub destination: Ipv4Addr,
	/// Hops left.
	pub ttl: u8,
	/// Identification.
	pub id: u16,
	/// [`WHOLE`], [`MORE`], and the offset in units of 8 bytes.
	pub fragment: u16,
}

impl Ip {
	/// For an answer to this packet.
	pub const fn reversed(self) -> Self {
		Self { source: self.destination, destination: self.source, ..self }
	}
}

/// What varies in a TCP header.
#[derive(Clone, Copy, Debug, Default)]
pub struct Segment<'a> {
	/// From and to.
	pub ports: (u16, u16),
	/// Sequence number.
	pub seq: u32,
	/// Acknowledgement number.
	pub ack: u32,
	/// Of [`SYN`], [`ACK`], [`PSH`], [`FIN`].
	pub flags: u8,
	/// Window.
	pub window: u16,
	/// Options; a multiple of four bytes, at most 40.
	pub options: &'a [u8],
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
	// Every caller has made the room.
	if let Some(field) = bytes.get_mut(at..at + 2) {
		field.copy_from_slice(&value.to_be_bytes());
	}
}

/// A length field; nothing made here comes near its limit.
fn length(bytes: usize) -> u16 {
	u16::try_from(bytes).unwrap_or(u16::MAX)
}

fn ethernet(link: Link, kind: u16, payload: &[u8]) -> Vec<u8> {
	let mut frame = Vec::with_capacity(ETHERNET + payload.len());
	frame.extend_from_slice(&link.destination);
	frame.extend_from_slice(&link.source);
	frame.extend_from_slice(&kind.to_be_bytes());
	frame.extend_from_slice(payload);
	frame
}

fn ipv4(ip: Ip, protocol: IpNextHeaderProtocol, payload: &[u8]) -> Vec<u8> {
	let mut packet = Vec::with_capacity(IPV4 + payload.len());
	packet.extend_from_slice(&[0x45, 0]);
	packet.extend_from_slice(&length(IPV4 + payload.len()).to_be_bytes());
	packet.extend_from_slice(&ip.id.to_be_bytes());
	packet.extend_from_slice(&ip.fragment.to_be_bytes());
	packet.extend_from_slice(&[ip.ttl, protocol.0, 0, 0]);
	packet.extend_from_slice(&ip.source.octets());
	packet.extend_from_slice(&ip.destination.octets());
	let sum = util::checksum(&packet, 5);
	put(&mut packet, 10, sum);
	packet.extend_from_slice(payload);
	packet
}

fn udp_packet(ip: Ip, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
	let mut datagram = Vec::with_capacity(8 + payload.len());
	datagram.extend_from_slice(&ports.0.to_be_bytes());
	datagram.extend_from_slice(&ports.1.to_be_bytes());
	datagram.extend_from_slice(&length(8 + payload.len()).to_be_bytes());
	datagram.extend_from_slice(&[0, 0]);
	datagram.extend_from_slice(payload);
	let sum = util::ipv4_checksum(&datagram, 3, &[], &ip.source, &ip.destination, IpNextHeaderProtocols::Udp);
	// Zero would say that there is none.
	put(&mut datagram, 6, if sum == 0 { u16::MAX } else { sum });
	ipv4(ip, IpNextHeaderProtocols::Udp, &datagram)
}

/// A UDP datagram.
pub fn udp(link: Link, ip: Ip, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
	ethernet(link, TYPE_IPV4, &udp_packet(ip, ports, payload))
}

/// A TCP segment.
pub fn tcp(link: Link, ip: Ip, segment: Segment<'_>, payload: &[u8]) -> Vec<u8> {
	let header = 20 + segment.options.len();
	let mut bytes = Vec::with_capacity(header + payload.len());
	bytes.extend_from_slice(&segment.ports.0.to_be_bytes());
	bytes.extend_from_slice(&segment.ports.1.to_be_bytes());
	bytes.extend_from_slice(&segment.seq.to_be_bytes());
	bytes.extend_from_slice(&segment.ack.to_be_bytes());
	// The header's length in words is the upper half of its byte.
	bytes.push(((header / 4) << 4) as u8);
	bytes.push(segment.flags);
	bytes.extend_from_slice(&segment.window.to_be_bytes());
	bytes.extend_from_slice(&[0; 4]);
	bytes.extend_from_slice(segment.options);
	bytes.extend_from_slice(payload);
	let sum = util::ipv4_checksum(&bytes, 8, &[], &ip.source, &ip.destination, IpNextHeaderProtocols::Tcp);
	put(&mut bytes, 16, sum);
	ethernet(link, TYPE_IPV4, &ipv4(ip, IpNextHeaderProtocols::Tcp, &bytes))
}

/// An ICMP echo request, or the reply to one.
pub fn echo(link: Link, ip: Ip, reply: bool, id: u16, seq: u16, payload: &[u8]) -> Vec<u8> {
	let mut message = Vec::with_capacity(8 + payload.len());
	message.extend_from_slice(&[if reply { 0 } else { 8 }, 0, 0, 0]);
	message.extend_from_slice(&id.to_be_bytes());
	message.extend_from_slice(&seq.to_be_bytes());
	message.extend_from_slice(payload);
	let sum = util::checksum(&message, 1);
	put(&mut message, 2, sum);
	ethernet(link, TYPE_IPV4, &ipv4(ip, IpNextHeaderProtocols::Icmp, &message))
}

/// A UDP datagram in GRE; as an IPv4 packet, or as an Ethernet frame where `inner_link` is given.
pub fn gre(link: Link, ip: Ip, inner_link: Option<Link>, inner: Ip, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
	let inside = udp_packet(inner, ports, payload);
	let (kind, inside) = match inner_link {
		None => (TYPE_IPV4, inside),
		Some(inner) => (TYPE_BRIDGED, ethernet(inner, TYPE_IPV4, &inside)),
	};
	let mut tunnel = vec![0, 0];
	tunnel.extend_from_slice(&kind.to_be_bytes());
	tunnel.extend_from_slice(&inside);
	ethernet(link, TYPE_IPV4, &ipv4(ip, IpNextHeaderProtocols::Gre, &tunnel))
}

/// A piece of a UDP datagram, by the offset in `ip.fragment`; the first begins with a header that promises `whole` bytes.
pub fn fragment(link: Link, ip: Ip, ports: (u16, u16), whole: u16, payload: &[u8]) -> Vec<u8> {
	let mut piece = Vec::with_capacity(8 + payload.len());
	if ip.fragment & 0x1fff == 0 {
		piece.extend_from_slice(&ports.0.to_be_bytes());
		piece.extend_from_slice(&ports.1.to_be_bytes());
		piece.extend_from_slice(&whole.to_be_bytes());
		// No checksum: the rest never comes.
		piece.extend_from_slice(&[0, 0]);
	}
	piece.extend_from_slice(payload);
	ethernet(link, TYPE_IPV4, &ipv4(ip, IpNextHeaderProtocols::Udp, &piece))
}

/// Where a frame made here goes.
pub fn destination(frame: &[u8]) -> Option<Ipv4Addr> {
	let octets: [u8; 4] = frame.get(HEADERS - 4..HEADERS)?.try_into().ok()?;
	Some(octets.into())
}

/// Where a frame made here says that it comes from.
pub fn source(frame: &[u8]) -> Option<Ipv4Addr> {
	let octets: [u8; 4] = frame.get(HEADERS - 8..HEADERS - 4)?.try_into().ok()?;
	Some(octets.into())
}
