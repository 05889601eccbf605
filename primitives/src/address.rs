//! Addresses and networks, IPv4 and IPv6.

use crate::decode_checked;
use codec::{Encode, MaxEncodedLen};
use core::{
	fmt,
	net::{IpAddr, Ipv4Addr, Ipv6Addr},
	str::FromStr,
};
use scale_info::TypeInfo;

/// One address. IPv4-mapped IPv6 (`::ffff:0:0/96`) is refused: it never appears on a wire and would name an IPv4 peer twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, MaxEncodedLen, TypeInfo)]
pub enum Address {
	/// IPv4, in network byte order.
	#[codec(index = 4)]
	V4([u8; 4]),
	/// IPv6, in network byte order.
	#[codec(index = 6)]
	V6([u8; 16]),
}

#[derive(codec::Decode)]
enum RawAddress {
	#[codec(index = 4)]
	V4([u8; 4]),
	#[codec(index = 6)]
	V6([u8; 16]),
}

decode_checked!(Address, RawAddress, |raw| match raw {
	RawAddress::V4(octets) => Ok(Address::V4(octets)),
	RawAddress::V6(octets) => Address::v6(octets).map_err(AddressError::as_str),
});

/// Why an address or network was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressError {
	/// Not an address, or not `address/length`.
	Syntax,
	/// An IPv4 address in IPv6 clothes.
	MappedV4,
	/// The prefix is longer than the address.
	PrefixTooLong,
	/// Bits are set behind the prefix.
	HostBits,
}

impl AddressError {
	/// The cause, for people.
	pub const fn as_str(self) -> &'static str {
		match self {
			Self::Syntax => "not an address or network",
			Self::MappedV4 => "IPv4-mapped IPv6 address: write it as IPv4",
			Self::PrefixTooLong => "prefix longer than the address",
			Self::HostBits => "bits set behind the prefix",
		}
	}
}

impl fmt::Display for AddressError {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(self.as_str())
	}
}

#[cfg(feature = "std")]
impl std::error::Error for AddressError {}

impl Address {
	/// An IPv6 address, refused where it is IPv4-mapped.
	pub const fn v6(octets: [u8; 16]) -> Result<Self, AddressError> {
		let mut i = 0;
		let mut mapped = true;
		while i < 12 {
			let expected = if i < 10 { 0 } else { 0xff };
			mapped &= octets[i] == expected;
			i += 1;
		}
		if mapped {
			Err(AddressError::MappedV4)
		} else {
			Ok(Self::V6(octets))
		}
	}

	/// Number of bits: 32 or 128.
	pub const fn bits(&self) -> u8 {
		match self {
			Self::V4(_) => 32,
			Self::V6(_) => 128,
		}
	}

	/// The octets, in network byte order.
	pub fn octets(&self) -> &[u8] {
		match self {
			Self::V4(o) => o,
			Self::V6(o) => o,
		}
	}

	/// The address with every bit behind `prefix` cleared.
	#[must_use]
	pub fn masked(mut self, prefix: u8) -> Self {
		let octets: &mut [u8] = match &mut self {
			Self::V4(o) => o,
			Self::V6(o) => o,
		};
		for (index, octet) in octets.iter_mut().enumerate() {
			let kept = usize::from(prefix).saturating_sub(index.saturating_mul(8)).min(8);
			// `kept` is at most 8, so the shift is within the 16 bits and the cast keeps the low octet.
			*octet &= ((0xff00_u16 >> kept) & 0xff) as u8;
		}
		self
	}
}

impl From<Ipv4Addr> for Address {
	fn from(address: Ipv4Addr) -> Self {
		Self::V4(address.octets())
	}
}

/// IPv4-mapped addresses become IPv4: this is how a parser that met one on the way in makes it canonical.
impl From<IpAddr> for Address {
	fn from(address: IpAddr) -> Self {
		match address.to_canonical() {
			IpAddr::V4(v4) => Self::V4(v4.octets()),
			IpAddr::V6(v6) => Self::V6(v6.octets()),
		}
	}
}

impl From<Address> for IpAddr {
	fn from(address: Address) -> Self {
		match address {
			Address::V4(octets) => Self::V4(Ipv4Addr::from(octets)),
			Address::V6(octets) => Self::V6(Ipv6Addr::from(octets)),
		}
	}
}

impl fmt::Display for Address {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		IpAddr::from(*self).fmt(f)
	}
}

impl FromStr for Address {
	type Err = AddressError;
	fn from_str(text: &str) -> Result<Self, Self::Err> {
		match text.parse::<IpAddr>().map_err(|_| AddressError::Syntax)? {
			IpAddr::V4(v4) => Ok(Self::V4(v4.octets())),
			IpAddr::V6(v6) => Self::v6(v6.octets()),
		}
	}
}

/// A network in CIDR notation. Always canonical: no bits are set behind the prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, MaxEncodedLen, TypeInfo)]
pub struct Network {
	address: Address,
	prefix: u8,
}

decode_checked!(Network, (Address, u8), |(address, prefix)| Network::new(address, prefix)
	.map_err(AddressError::as_str));

impl Network {
	/// A network of `prefix` leading bits. Refuses a prefix longer than the address and bits behind it.
	pub fn new(address: Address, prefix: u8) -> Result<Self, AddressError> {
		if prefix > address.bits() {
			return Err(AddressError::PrefixTooLong);
		}
		if address.masked(prefix) != address {
			return Err(AddressError::HostBits);
		}
		Ok(Self { address, prefix })
	}

	/// The network of one address.
	pub const fn host(address: Address) -> Self {
		Self { address, prefix: address.bits() }
	}

	/// The first address.
	pub const fn address(&self) -> Address {
		self.address
	}

	/// Number of leading bits.
	pub const fn prefix(&self) -> u8 {
		self.prefix
	}

	/// Whether `other` lies wholly within this network.
	pub fn contains(&self, other: &Self) -> bool {
		self.prefix <= other.prefix
			&& self.address.bits() == other.address.bits()
			&& other.address.masked(self.prefix) == self.address
	}

	/// Whether the two share an address: CIDR networks are nested or disjoint, so one contains the other.
	pub fn overlaps(&self, other: &Self) -> bool {
		self.contains(other) || other.contains(self)
	}
}

impl fmt::Display for Network {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "{}/{}", self.address, self.prefix)
	}
}

/// Reads `address/length`; a bare address is the network of that one address.
impl FromStr for Network {
	type Err = AddressError;
	fn from_str(text: &str) -> Result<Self, Self::Err> {
		let Some((address, prefix)) = text.split_once('/') else { return text.parse().map(Self::host) };
		if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|b| b.is_ascii_digit()) {
			return Err(AddressError::Syntax);
		}
		Self::new(address.parse()?, prefix.parse().map_err(|_| AddressError::PrefixTooLong)?)
	}
}

macro_rules! serde_as_text {
	($type:ty) => {
		impl serde::Serialize for $type {
			fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
				serializer.collect_str(self)
			}
		}
		impl<'de> serde::Deserialize<'de> for $type {
			fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
				let text = <alloc::string::String as serde::Deserialize>::deserialize(deserializer)?;
				text.parse().map_err(|cause| serde::de::Error::custom(alloc::format!("{text:?}: {cause}")))
			}
		}
	};
}
serde_as_text!(Address);
serde_as_text!(Network);
