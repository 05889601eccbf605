//! Addresses that many depend on, from MISP's warning lists: content networks, resolvers, certificate authorities. Blocking
//! one hits more people than its attacker, so no policy approves it; a person may.
//!
//! # Security considerations
//!
//! The lists are the owner's files, which others write. A wrong entry can only leave a vote to a person. Reading is
//! bounded ([`MAX_FILE`], [`MAX_NETWORKS`]), and networks too wide to mean anything are passed over, since one would
//! leave every vote to a person.

use ringfence_primitives::{Address, Indicator, Network};
use serde::Deserialize;
use std::{
	collections::{BTreeMap, BTreeSet},
	net::IpAddr,
	sync::Arc,
};

/// Octets that one list may have: the longest that MISP publishes has a tenth.
pub const MAX_FILE: u64 = 64 << 20;
/// Networks in all: about 40 MB.
pub const MAX_NETWORKS: usize = 500_000;
/// The widest networks that count, in leading bits: an operator's, not a registry's.
const WIDEST: (u8, u8) = (6, 16);
/// Characters of a list's name that are kept.
const NAME: usize = 80;

/// Why a list is refused.
#[derive(Debug, thiserror::Error)]
pub enum PopularError {
	/// Not JSON, or not a warning list.
	#[error("not a MISP warning list: {0}")]
	Json(#[from] serde_json::Error),
	/// All lists together have too many networks.
	#[error("more than {} networks with those of the lists before", MAX_NETWORKS)]
	TooMany,
}

#[derive(Deserialize)]
struct RawList {
	name: String,
	#[serde(rename = "type")]
	kind: String,
	list: Vec<String>,
}

/// What was read of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
	/// Entries that are networks or addresses.
	pub read: usize,
	/// Entries that are none, such as names, or that are too wide.
	pub skipped: usize,
}

/// The networks of all lists, with the first list that has each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Popular {
	networks: BTreeMap<Network, Arc<str>>,
	prefixes: BTreeSet<u8>,
}

impl Popular {
	/// Takes the networks of one more list in. `text` is a file of MISP's warning lists: of type `cidr`, or `string` with
	/// addresses in it; others have none.
	pub fn add(&mut self, text: &str) -> Result<Counts, PopularError> {
		let RawList { name, kind, list } = serde_json::from_str(text)?;
		let name: Arc<str> = name.chars().filter(|c| !c.is_control()).take(NAME).collect::<String>().into();
		let mut counts = Counts::default();
		for entry in &list {
			let network = Some(entry).filter(|_| matches!(kind.as_str(), "cidr" | "string")).and_then(|e| network(e));
			let Some(network) = network else {
				counts.skipped = counts.skipped.saturating_add(1);
				continue;
			};
			counts.read = counts.read.saturating_add(1);
			self.prefixes.insert(network.prefix());
			self.networks.entry(network).or_insert_with(|| name.clone());
			if self.networks.len() > MAX_NETWORKS {
				return Err(PopularError::TooMany);
			}
		}
		Ok(counts)
	}

	/// Networks that are popular.
	pub fn len(&self) -> usize {
		self.networks.len()
	}

	/// Whether there are none.
	pub fn is_empty(&self) -> bool {
		self.networks.is_empty()
	}

	/// A popular network that `network` overlaps, in either direction, and the list that has it.
	pub fn overlap(&self, network: &Network) -> Option<(Network, &str)> {
		let around = self.prefixes.range(..network.prefix()).find_map(|prefix| {
			let wider = Network::new(network.address().masked(*prefix), *prefix).ok()?;
			self.networks.get_key_value(&wider)
		});
		// Networks are ordered by address, then length: what lies in one follows it without a gap.
		let inside = || self.networks.range(*network..).next().filter(|(first, _)| network.contains(first));
		around.or_else(inside).map(|(network, list)| (*network, &**list))
	}

	/// The same of any network that `indicator` names, the destination of a flow among them.
	pub fn touched(&self, indicator: &Indicator) -> Option<(Network, &str)> {
		indicator.networks().find_map(|network| self.overlap(&network))
	}
}

/// An entry as a network; bits behind the prefix are passed over, as MISP does.
fn network(entry: &str) -> Option<Network> {
	let (address, prefix) = match entry.trim().split_once('/') {
		Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
		None => (entry.trim(), None),
	};
	let address: Address = match address.parse::<IpAddr>().ok()? {
		IpAddr::V4(v4) => Address::V4(v4.octets()),
		IpAddr::V6(v6) => Address::v6(v6.octets()).ok()?,
	};
	let prefix = prefix.unwrap_or(address.bits());
	let widest = match address {
		Address::V4(_) => WIDEST.0,
		Address::V6(_) => WIDEST.1,
	};
	Network::new(address.masked(prefix), prefix).ok().filter(|network| network.prefix() >= widest)
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn list(kind: &str, entries: &[&str]) -> String {
		serde_json::json!({ "name": "List of\u{7} clouds", "type": kind, "list": entries, "version": 1 }).to_string()
	}

	fn of(text: &str) -> Network {
		text.parse().unwrap()
	}

	#[test]
	fn networks_and_addresses_are_read_and_the_rest_is_counted() {
		let mut popular = Popular::default();
		let cidr =
			list("cidr", &["104.16.0.0/13", "203.0.113.77/24", "FE80::/10", "0.0.0.0/0", "::ffff:1.2.3.4", "x/8"]);
		assert_eq!(popular.add(&cidr).unwrap(), Counts { read: 2, skipped: 4 });
		let string = list("string", &["9.9.9.9", "2620:fe::fe", "dns.example.net", "2400:cb00::/32"]);
		assert_eq!(popular.add(&string).unwrap(), Counts { read: 3, skipped: 1 });
		let names = list("hostname", &["192.0.2.1", "example.net"]);
		assert_eq!(popular.add(&names).unwrap(), Counts { read: 0, skipped: 2 });
		assert_eq!(popular.len(), 5);
		assert_eq!(popular.overlap(&of("203.0.113.1")), Some((of("203.0.113.0/24"), "List of clouds")));
	}

	#[test]
	fn what_is_no_list_is_refused() {
		for text in ["", "[]", "{\"name\":\"a\",\"type\":\"cidr\"}", "{\"name\":\"a\",\"type\":\"cidr\",\"list\":[1]}"]
		{
			assert!(matches!(Popular::default().add(text), Err(PopularError::Json(_))), "{text}");
		}
	}

	#[test]
	fn overlaps_count_in_both_directions() {
		let mut popular = Popular::default();
		popular.add(&list("cidr", &["104.16.0.0/13", "9.9.9.9", "2400:cb00::/32"])).unwrap();
		for text in
			["104.16.0.1", "104.16.0.0/13", "104.0.0.0/8", "9.9.9.9", "9.9.9.0/24", "2400:cb00:1::1", "2400::/16"]
		{
			assert!(popular.overlap(&of(text)).is_some(), "{text}");
		}
		for text in ["104.24.0.0/14", "104.15.255.255", "9.9.9.8", "9.9.9.10/31", "2400:cb01::/32", "::/128"] {
			assert!(popular.overlap(&of(text)).is_none(), "{text}");
		}
		assert!(Popular::default().is_empty() && Popular::default().overlap(&of("9.9.9.9")).is_none());
	}

	/// Networks of few different bits, so that overlaps are common.
	fn any_network() -> impl Strategy<Value = Network> {
		(any::<[bool; 4]>(), WIDEST.0..=32_u8).prop_map(|(bits, prefix)| {
			let octets = bits.map(|bit| if bit { 0x81 } else { 0 });
			Network::new(Address::V4(octets).masked(prefix), prefix).unwrap()
		})
	}

	proptest! {
		#[test]
		fn the_table_finds_what_looking_at_each_finds(
			networks in proptest::collection::vec(any_network(), 0..12),
			asked in any_network(),
		) {
			let texts: Vec<String> = networks.iter().map(Network::to_string).collect();
			let mut popular = Popular::default();
			popular.add(&list("cidr", &texts.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
			let found = popular.overlap(&asked).map(|(network, _)| network);
			prop_assert_eq!(found.is_some(), networks.iter().any(|network| network.overlaps(&asked)));
			prop_assert!(found.is_none_or(|network| network.overlaps(&asked)));
		}
	}
}
