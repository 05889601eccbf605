//! Flow signatures: what BGP FlowSpec (RFC 8955, RFC 8956) can match, in canonical form.

use crate::{decode_checked, Network};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;
/// Protocols whose headers begin with a source and a destination port: TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [u8; 5] = [TCP, 17, 33, 132, 136];

macro_rules! range {
	($(#[$doc:meta])* $name:ident) => {
		$(#[$doc])*
		#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, MaxEncodedLen, TypeInfo)]
		pub struct $name {
			first: u16,
			last: u16,
		}

		impl $name {
			/// The range from `first` to `last`, both included. None where it runs backwards or says nothing (0 to 65,535).
			pub const fn new(first: u16, last: u16) -> Option<Self> {
				if first > last || (first == 0 && last == u16::MAX) {
					None
				} else {
					Some(Self { first, last })
				}
			}

			/// The lowest value.
			pub const fn first(&self) -> u16 {
				self.first
			}

			/// The highest value.
			pub const fn last(&self) -> u16 {
				self.last
			}
		}

		impl fmt::Display for $name {
			fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
				if self.first == self.last {
					self.first.fmt(f)
				} else {
					write!(f, "{}-{}", self.first, self.last)
				}
			}
		}

		decode_checked!($name, (u16, u16), |(first, last)| $name::new(first, last)
			.ok_or("a range runs backwards or covers everything"));
	};
}

range!(
	/// A range of ports.
	PortRange
);
range!(
	/// A range of packet lengths in octets, IP header included.
	LengthRange
);

/// TCP flags: of the bits in `mask`, exactly those in `value` are set. Bits as in the header, FIN lowest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, MaxEncodedLen, TypeInfo)]
pub struct TcpFlags {
	mask: u8,
	value: u8,
}

impl TcpFlags {
	/// None where the mask is empty or the value asks for a bit outside it.
	pub const fn new(mask: u8, value: u8) -> Option<Self> {
		if mask == 0 || value & !mask != 0 {
			None
		} else {
			Some(Self { mask, value })
		}
	}

	/// The bits that are looked at.
	pub const fn mask(&self) -> u8 {
		self.mask
	}

	/// Those of them that must be set.
	pub const fn value(&self) -> u8 {
		self.value
	}
}

decode_checked!(TcpFlags, (u8, u8), |(mask, value)| TcpFlags::new(mask, value)
	.ok_or("TCP flags: empty mask, or a value outside it"));

/// An ICMP or ICMPv6 type, with a code where it matters.
#[derive(
	PartialOrd, Ord, Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct IcmpMatch {
	/// The type.
	pub kind: u8,
	/// The code; any where absent.
	pub code: Option<u8>,
}

/// A class of packets. Every field that is present must match. At least a source or a destination is named: a signature
/// without either would act on everybody's traffic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Encode, MaxEncodedLen, TypeInfo)]
pub struct FlowSignature {
	/// IP protocol number.
	pub protocol: Option<u8>,
	/// Source prefix.
	pub source: Option<Network>,
	/// Destination prefix.
	pub destination: Option<Network>,
	/// Source ports.
	pub source_ports: Option<PortRange>,
	/// Destination ports.
	pub destination_ports: Option<PortRange>,
	/// TCP flags.
	pub tcp_flags: Option<TcpFlags>,
	/// ICMP type and code.
	pub icmp: Option<IcmpMatch>,
	/// Packet length.
	pub packet_length: Option<LengthRange>,
}

impl FlowSignature {
	/// Refuses what no packet can match, and what names nobody.
	pub fn check(self) -> Result<Self, &'static str> {
		let bits = |network: &Option<Network>| network.map(|n| n.address().bits());
		let family = match (bits(&self.source), bits(&self.destination)) {
			(None, None) => return Err("a flow names a source or a destination"),
			(Some(a), Some(b)) if a != b => return Err("source and destination are of different families"),
			(a, b) => a.or(b),
		};
		if (self.source_ports.is_some() || self.destination_ports.is_some())
			&& !self.protocol.is_some_and(|p| WITH_PORTS.contains(&p))
		{
			return Err("ports need a protocol that has them");
		}
		if self.tcp_flags.is_some() && self.protocol != Some(TCP) {
			return Err("TCP flags need protocol 6");
		}
		let icmp = if family == Some(32) { ICMP } else { ICMPV6 };
		if self.icmp.is_some() && self.protocol != Some(icmp) {
			return Err("an ICMP type needs protocol 1 over IPv4, 58 over IPv6");
		}
		Ok(self)
	}
}

type RawFlow = (
	Option<u8>,
	Option<Network>,
	Option<Network>,
	Option<PortRange>,
	Option<PortRange>,
	Option<TcpFlags>,
	Option<IcmpMatch>,
	Option<LengthRange>,
);

decode_checked!(FlowSignature, RawFlow, |(
	protocol,
	source,
	destination,
	source_ports,
	destination_ports,
	tcp_flags,
	icmp,
	packet_length,
)| {
	FlowSignature { protocol, source, destination, source_ports, destination_ports, tcp_flags, icmp, packet_length }
		.check()
});

impl fmt::Display for FlowSignature {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str("flow")?;
		if let Some(protocol) = self.protocol {
			write!(f, " proto {protocol}")?;
		}
		if let Some(source) = self.source {
			write!(f, " from {source}")?;
		}
		if let Some(ports) = self.source_ports {
			write!(f, " sport {ports}")?;
		}
		if let Some(destination) = self.destination {
			write!(f, " to {destination}")?;
		}
		if let Some(ports) = self.destination_ports {
			write!(f, " dport {ports}")?;
		}
		if let Some(flags) = self.tcp_flags {
			write!(f, " flags {:#04x}/{:#04x}", flags.value, flags.mask)?;
		}
		if let Some(icmp) = self.icmp {
			write!(f, " icmp {}", icmp.kind)?;
			if let Some(code) = icmp.code {
				write!(f, "/{code}")?;
			}
		}
		if let Some(length) = self.packet_length {
			write!(f, " length {length}")?;
		}
		Ok(())
	}
}
