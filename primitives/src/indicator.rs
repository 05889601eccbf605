//! What is bad: the indicator of compromise itself.

use crate::{decode_checked, flow::FlowSignature, Address, Digest, Network};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;

/// The name of an indicator on the chain: BLAKE2b-256 of its encoding.
pub type IndicatorId = Digest;

/// A transport protocol that has ports. The discriminants are the IANA protocol numbers.
#[derive(
	PartialOrd,
	Ord,
	Hash,
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Transport {
	/// TCP.
	#[codec(index = 6)]
	Tcp,
	/// UDP.
	#[codec(index = 17)]
	Udp,
	/// SCTP.
	#[codec(index = 132)]
	Sctp,
}

impl Transport {
	/// The IANA protocol number, as in the IP header.
	pub const fn number(self) -> u8 {
		match self {
			Self::Tcp => 6,
			Self::Udp => 17,
			Self::Sctp => 132,
		}
	}
}

impl fmt::Display for Transport {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::Tcp => "tcp",
			Self::Udp => "udp",
			Self::Sctp => "sctp",
		})
	}
}

/// One service on one host, such as a command-and-control server. Port 0 is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, MaxEncodedLen, TypeInfo)]
pub struct Endpoint {
	/// The host.
	pub address: Address,
	/// The transport.
	pub protocol: Transport,
	/// The port, 1 to 65,535.
	pub port: u16,
}

decode_checked!(Endpoint, (Address, Transport, u16), |(address, protocol, port)| {
	if port == 0 {
		return Err("an endpoint has a port");
	}
	Ok(Endpoint { address, protocol, port })
});

/// An indicator of compromise that a firewall can act on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, MaxEncodedLen, TypeInfo)]
pub enum Indicator {
	/// One address.
	#[codec(index = 0)]
	Host(Address),
	/// A network wider than one address.
	#[codec(index = 1)]
	Network(Network),
	/// One service on one host.
	#[codec(index = 2)]
	Endpoint(Endpoint),
	/// A class of packets, by what their headers look like.
	#[codec(index = 3)]
	Flow(FlowSignature),
}

#[derive(Decode)]
enum RawIndicator {
	#[codec(index = 0)]
	Host(Address),
	#[codec(index = 1)]
	Network(Network),
	#[codec(index = 2)]
	Endpoint(Endpoint),
	#[codec(index = 3)]
	Flow(FlowSignature),
}

decode_checked!(Indicator, RawIndicator, |raw| match raw {
	RawIndicator::Host(address) => Ok(Indicator::Host(address)),
	RawIndicator::Network(network) if network.prefix() == network.address().bits() =>
		Err("a network of one address is a host"),
	RawIndicator::Network(network) => Ok(Indicator::Network(network)),
	RawIndicator::Endpoint(endpoint) => Ok(Indicator::Endpoint(endpoint)),
	RawIndicator::Flow(flow) => Ok(Indicator::Flow(flow)),
});

impl From<Network> for Indicator {
	/// The canonical indicator for a network: a full-length one becomes a host.
	fn from(network: Network) -> Self {
		if network.prefix() == network.address().bits() {
			Self::Host(network.address())
		} else {
			Self::Network(network)
		}
	}
}

impl Indicator {
	/// The name on the chain.
	pub fn id(&self) -> IndicatorId {
		sp_crypto_hashing::blake2_256(&self.encode())
	}

	/// The networks whose traffic the indicator touches: its peer, or the source and destination of a flow.
	pub fn networks(&self) -> impl Iterator<Item = Network> {
		let (first, second) = match self {
			Self::Host(address) => (Some(Network::host(*address)), None),
			Self::Network(network) => (Some(*network), None),
			Self::Endpoint(endpoint) => (Some(Network::host(endpoint.address)), None),
			Self::Flow(flow) => (flow.source, flow.destination),
		};
		first.into_iter().chain(second)
	}

	/// The first of `protected` that the indicator overlaps, in either direction.
	pub fn overlap<'a>(&self, protected: impl IntoIterator<Item = &'a Network>) -> Option<Network> {
		protected.into_iter().find(|p| self.networks().any(|n| n.overlaps(p))).copied()
	}

	/// Whether the indicator covers more than a /24 or a /48, or is a flow that names no source.
	pub fn is_wide(&self) -> bool {
		let wide = |n: &Network| match n.address() {
			Address::V4(_) => n.prefix() < 24,
			Address::V6(_) => n.prefix() < 48,
		};
		match self {
			Self::Flow(flow) => flow.source.as_ref().is_none_or(wide),
			_ => self.networks().any(|n| wide(&n)),
		}
	}
}

impl fmt::Display for Indicator {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Host(address) => address.fmt(f),
			Self::Network(network) => network.fmt(f),
			Self::Endpoint(Endpoint { address: address @ Address::V6(_), protocol, port }) => {
				write!(f, "{protocol} [{address}]:{port}")
			}
			Self::Endpoint(Endpoint { address, protocol, port }) => write!(f, "{protocol} {address}:{port}"),
			Self::Flow(flow) => flow.fmt(f),
		}
	}
}
