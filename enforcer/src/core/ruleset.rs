//! What the firewall's table looks like, as values: which sets there are, what they are called, which key a target has
//! in them, which rules read them, and what a list of [`Command`]s changes.
//!
//! There is one hash set for each way of acting (`drop`, `limit`, `watch`), direction (`both`, `in`, `out`) and
//! [`Shape`] of target (address family and prefix length, or endpoint). A network is stored as its first address; the
//! rule masks the packet's address to the set's length before it looks it up. So networks may overlap freely, and a
//! change costs the same however many there are. Further groups of sets hold the networks that are exempt, and those
//! that may come in where a whitelist is in force.
//!
//! A set and its rules are created together, when the first target needs them, and stay until the table is rebuilt or
//! the next [`Generation`] takes over: a whole new list is loaded into sets that no rule reads yet, and takes the place
//! of the old one in a single step.
//!
//! Targets are independent of each other. A host within a blocked network is an element of its own with an end of its
//! own, so that the end of one leaves the other in force.

use super::flow::{FlowSignature, Severity};
pub use ringfence_primitives::{Action, Address, Direction, Endpoint, Network, PacketRate};
use serde::{Deserialize, Serialize};
use std::{
	collections::{BTreeMap, BTreeSet, HashMap},
	fmt,
	str::FromStr,
};

/// One change to the firewall, derived from one entry of the change log. Each is an upsert: doing it twice, or after a
/// restart, leaves the same state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
	/// Act on `target` in exactly this way from now on; replaces any earlier way.
	Block {
		/// The peer.
		target: Target,
		/// Packets from it, to it, or both.
		direction: Direction,
		/// What to do with them.
		action: Action,
		/// When the kernel forgets it by itself, in milliseconds from now. See [`timeout`] for the bounds.
		timeout_ms: u64,
	},
	/// Remove whatever holds for `target`. A missing one is no error.
	Unblock {
		/// The peer.
		target: Target,
	},
	/// Never act on this network, by the chain's word.
	Protect(Network),
	/// The chain no longer protects this network. What the local configuration exempts stays exempt.
	Unprotect(Network),
	/// Let this network pass, by the household's word: whatever blocks it, or a part or all of what holds it.
	Allow {
		/// The peers.
		network: Network,
		/// When the kernel forgets it by itself, in milliseconds from now; never where absent.
		timeout_ms: Option<u64>,
	},
	/// The household no longer lets this network pass.
	Disallow(Network),
	/// Act on a class of packets from now on; replaces any earlier way. See [`super::flow`].
	BlockFlow {
		/// The packets.
		flow: FlowSignature,
		/// What to do with them.
		action: Action,
		/// What goes first where there is not room for all.
		severity: Severity,
		/// Whether they name no source and go to what is this gateway's own. See [`super::flow::Flow::home`].
		home: bool,
		/// When the kernel forgets it by itself, in milliseconds from now. See [`timeout`] for the bounds.
		timeout_ms: u64,
	},
	/// Leave a class of packets alone. A missing one is no error.
	UnblockFlow {
		/// The packets.
		flow: FlowSignature,
	},
}

/// Whether what is to be dropped is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
	/// It is.
	#[default]
	Enforce,
	/// It is counted, and let through.
	Canary,
}

impl fmt::Display for Mode {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.pad(match self {
			Self::Enforce => "enforce",
			Self::Canary => "canary",
		})
	}
}

/// Which of two lists of blocks a set belongs to: the one in force, or the one being loaded. They take turns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Generation {
	/// Its sets have no suffix.
	#[default]
	Even,
	/// Its sets are called `..._odd`.
	Odd,
}

/// What the names of a generation's sets end in.
const ODD: &str = "_odd";

impl Generation {
	/// The other one.
	#[must_use]
	pub const fn other(self) -> Self {
		match self {
			Self::Even => Self::Odd,
			Self::Odd => Self::Even,
		}
	}

	const fn suffix(self) -> &'static str {
		match self {
			Self::Even => "",
			Self::Odd => ODD,
		}
	}
}

/// The peer that a block is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Target {
	/// All addresses of a network; one address is a network of full length.
	Network(Network),
	/// One service on one host.
	Endpoint(Endpoint),
}

impl fmt::Display for Target {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Network(network) => network.fmt(f),
			Self::Endpoint(endpoint) => ringfence_primitives::Indicator::Endpoint(*endpoint).fmt(f),
		}
	}
}

impl Target {
	/// The shape of the sets that it may be in.
	pub const fn shape(&self) -> Shape {
		match self {
			Self::Network(network) => Shape::network(network),
			Self::Endpoint(endpoint) => Shape::Endpoint(Family::of(&endpoint.address)),
		}
	}

	/// Its key in those sets.
	pub fn key(&self) -> Key {
		match self {
			Self::Network(network) => Key::concat(&[network.address().octets()]),
			Self::Endpoint(Endpoint { address, protocol, port }) => {
				Key::concat(&[address.octets(), &[protocol.number()], &port.to_be_bytes()])
			}
		}
	}
}

/// Address family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Family {
	/// IPv4.
	V4,
	/// IPv6.
	V6,
}

impl Family {
	/// The family of `address`.
	pub const fn of(address: &Address) -> Self {
		match address {
			Address::V4(_) => Self::V4,
			Address::V6(_) => Self::V6,
		}
	}

	/// Bits of an address.
	pub const fn bits(self) -> u8 {
		match self {
			Self::V4 => 32,
			Self::V6 => 128,
		}
	}

	/// Octets of an address.
	pub const fn octets(self) -> u8 {
		self.bits() / 8
	}

	const fn name(self) -> &'static str {
		match self {
			Self::V4 => "v4",
			Self::V6 => "v6",
		}
	}
}

/// What the elements of a set look like.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Shape {
	/// Networks of one length: `ipv4_addr` or `ipv6_addr`.
	Network(Family, u8),
	/// Endpoints: address, `inet_proto`, `inet_service`.
	Endpoint(Family),
}

impl Shape {
	/// The shape of `network`.
	pub const fn network(network: &Network) -> Self {
		Self::Network(Family::of(&network.address()), network.prefix())
	}

	/// Address family.
	pub const fn family(self) -> Family {
		match self {
			Self::Network(family, _) | Self::Endpoint(family) => family,
		}
	}

	/// Octets of a key: fields of a concatenation are padded to four each.
	pub const fn key_len(self) -> u8 {
		match self {
			Self::Network(family, _) => family.octets(),
			Self::Endpoint(family) => family.octets() + 8,
		}
	}

	/// The nine sets of a generation in which a target of this shape may be.
	pub fn blocks(self, generation: Generation) -> impl Iterator<Item = Set> {
		Kind::ALL.into_iter().flat_map(move |kind| {
			Direction::ALL.iter().map(move |&direction| Set::Block { kind, direction, shape: self, generation })
		})
	}
}

impl fmt::Display for Shape {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Network(family, prefix) => write!(f, "{}_{prefix}", family.name()),
			Self::Endpoint(family) => write!(f, "ep_{}", family.name()),
		}
	}
}

/// The key of an element: at most an IPv6 endpoint, 24 octets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
	octets: [u8; Self::MAX],
	len: u8,
}

impl Key {
	/// Octets of the longest key.
	pub const MAX: usize = 24;

	/// The concatenation of `fields`, each padded to a multiple of four octets, as nftables lays out its registers.
	fn concat(fields: &[&[u8]]) -> Self {
		let mut key = Self { octets: [0; Self::MAX], len: 0 };
		for field in fields {
			let start = usize::from(key.len);
			// An address, a protocol and a port make at most 16 + 4 + 4 octets: the slice and the sum are in range.
			key.octets[start..start + field.len()].copy_from_slice(field);
			key.len += field.len().next_multiple_of(4) as u8;
		}
		key
	}

	/// The octets, as the kernel wants them.
	pub fn as_slice(&self) -> &[u8] {
		&self.octets[..usize::from(self.len)]
	}
}

/// A way of acting, without the rate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
	/// Drop.
	Drop,
	/// Drop what exceeds the element's rate.
	Limit,
	/// Count.
	Watch,
}

impl Kind {
	/// Every kind, in the order in which the rules apply them.
	pub const ALL: [Self; 3] = [Self::Drop, Self::Limit, Self::Watch];

	/// The kind of `action`.
	pub const fn of(action: &Action) -> Self {
		match action {
			Action::Drop => Self::Drop,
			Action::RateLimit(_) => Self::Limit,
			Action::Watch => Self::Watch,
		}
	}

	const fn name(self) -> &'static str {
		match self {
			Self::Drop => "drop",
			Self::Limit => "limit",
			Self::Watch => "watch",
		}
	}
}

/// Which address of a packet is the peer's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
	/// The source: inbound packets.
	From,
	/// The destination: outbound packets.
	To,
}

impl Side {
	/// Both sides.
	pub const ALL: [Self; 2] = [Self::From, Self::To];

	/// The other one.
	#[must_use]
	pub const fn other(self) -> Self {
		match self {
			Self::From => Self::To,
			Self::To => Self::From,
		}
	}

	const fn sees(self, direction: Direction) -> bool {
		matches!(
			(self, direction),
			(_, Direction::Both) | (Self::From, Direction::Inbound) | (Self::To, Direction::Outbound)
		)
	}
}

/// Where a set is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
	/// Where blocks are looked up by a packet's source or destination.
	Peer(Side),
	/// Where a whitelist is in force: among packets that begin a flow and come in over an uplink, by their source.
	Door,
}

impl Place {
	/// Every place.
	pub const ALL: [Self; 3] = [Self::Peer(Side::From), Self::Peer(Side::To), Self::Door];

	/// Which address is looked up there.
	pub const fn side(self) -> Side {
		match self {
			Self::Peer(side) => side,
			Self::Door => Side::From,
		}
	}
}

/// Why a network is exempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
	/// Protected by the local configuration.
	Local,
	/// Protected by the chain.
	Chain,
	/// On the local allow list, or let pass by the household.
	Allowed,
	/// On the whitelist: exempt from that alone.
	Listed,
}

impl Origin {
	/// Every origin.
	pub const ALL: [Self; 4] = [Self::Local, Self::Chain, Self::Allowed, Self::Listed];

	const fn name(self) -> &'static str {
		match self {
			Self::Local => "protected_local",
			Self::Chain => "protected_chain",
			Self::Allowed => "allowed",
			Self::Listed => "listed",
		}
	}
}

/// A set of the table. `Display` is its name in the kernel, `FromStr` reads that name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Set {
	/// Networks that no block touches. Elements have no timeout, except that [`Origin::Allowed`] may have one.
	Exempt {
		/// Why.
		origin: Origin,
		/// Address family.
		family: Family,
		/// Prefix length.
		prefix: u8,
	},
	/// Targets. Every element has a timeout.
	Block {
		/// The way of acting.
		kind: Kind,
		/// The packets meant.
		direction: Direction,
		/// What its elements look like.
		shape: Shape,
		/// Which list it is a part of.
		generation: Generation,
	},
}

impl Set {
	/// The set of networks like `network` that are exempt for this reason.
	pub const fn exempt(origin: Origin, network: &Network) -> Self {
		Self::Exempt { origin, family: Family::of(&network.address()), prefix: network.prefix() }
	}

	/// What its elements look like.
	pub const fn shape(&self) -> Shape {
		match *self {
			Self::Exempt { family, prefix, .. } => Shape::Network(family, prefix),
			Self::Block { shape, .. } => shape,
		}
	}

	/// The list that it is a part of; none for what outlives a list.
	pub const fn generation(&self) -> Option<Generation> {
		match *self {
			Self::Block { generation, .. } => Some(generation),
			Self::Exempt { .. } => None,
		}
	}

	/// The rules that read it.
	pub fn rules(&self) -> impl Iterator<Item = Rule> {
		let set = *self;
		Place::ALL
			.into_iter()
			.filter(move |place| match (set, place) {
				(Set::Exempt { origin: Origin::Listed, .. }, place) => *place == Place::Door,
				(Set::Exempt { .. }, _) => true,
				(Set::Block { direction, .. }, Place::Peer(side)) => side.sees(direction),
				(Set::Block { .. }, Place::Door) => false,
			})
			.map(move |place| Rule { set, place })
	}
}

/// A rule that looks a packet's peer up in a set, and acts when it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
	/// The set.
	pub set: Set,
	/// Where it stands.
	pub place: Place,
}

/// Longest and shortest life of an element, in milliseconds.
///
/// The longest is that of an indicator on the chain, so a clock that is far behind cannot make a block outlive it. The
/// shortest is a tick of the slowest kernel (100 Hz): kernels before 6.12 round less down to zero, which means for ever.
pub const TIMEOUT_MS: std::ops::RangeInclusive<u64> =
	10..=(ringfence_primitives::Lifetime::MAX.get() as u64).saturating_mul(1000);

/// `ms` within [`TIMEOUT_MS`].
pub fn timeout(ms: u64) -> u64 {
	ms.clamp(*TIMEOUT_MS.start(), *TIMEOUT_MS.end())
}

/// Longest life of what the household lets pass until a set time: ten years. Longer ones are cut to it.
pub const ALLOWED_MS: u64 = 10 * 366 * 86_400_000;

fn allowance(ms: u64) -> u64 {
	ms.clamp(*TIMEOUT_MS.start(), ALLOWED_MS)
}

const fn direction_name(direction: Direction) -> &'static str {
	match direction {
		Direction::Inbound => "in",
		Direction::Outbound => "out",
		Direction::Both => "both",
	}
}

impl fmt::Display for Set {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Exempt { origin, .. } => write!(f, "{}_{}", origin.name(), self.shape()),
			Self::Block { kind, direction, shape, generation } => {
				write!(f, "{}_{}_{shape}{}", kind.name(), direction_name(*direction), generation.suffix())
			}
		}
	}
}

/// The name is not one of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not the name of a set of ours")]
pub struct NotOurs;

impl FromStr for Set {
	type Err = NotOurs;

	fn from_str(name: &str) -> Result<Self, NotOurs> {
		let after = |text: &'_ str, word: &str| text.strip_prefix(word)?.strip_prefix('_').map(str::to_owned);
		let shape = |text: &str| -> Option<Shape> {
			let family = |text: &str| [Family::V4, Family::V6].into_iter().find(|f| f.name() == text);
			let (first, second) = text.split_once('_')?;
			if first == "ep" {
				return family(second).map(Shape::Endpoint);
			}
			let family = family(first)?;
			let prefix = second.parse().ok().filter(|prefix| *prefix <= family.bits())?;
			Some(Shape::Network(family, prefix))
		};
		let exempt = |origin: Origin| match shape(&after(name, origin.name())?)? {
			Shape::Network(family, prefix) => Some(Self::Exempt { origin, family, prefix }),
			Shape::Endpoint(_) => None,
		};
		let block = |kind: Kind, direction: Direction| {
			let rest = after(&after(name, kind.name())?, direction_name(direction))?;
			let (rest, generation) = match rest.strip_suffix(ODD) {
				Some(rest) => (rest, Generation::Odd),
				None => (rest.as_str(), Generation::Even),
			};
			Some(Self::Block { kind, direction, shape: shape(rest)?, generation })
		};
		Origin::ALL
			.into_iter()
			.find_map(exempt)
			.or_else(|| Kind::ALL.into_iter().find_map(|k| Direction::ALL.iter().find_map(|&d| block(k, d))))
			// One name for one set: `v4_024` is somebody else's.
			.filter(|set| set.to_string() == name)
			.ok_or(NotOurs)
	}
}

/// An element to be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Element {
	/// Its key.
	pub key: Key,
	/// Its life in milliseconds; none for networks that are exempt for good.
	pub timeout_ms: Option<u64>,
	/// Packets a second that it lets through, where its set limits.
	pub rate: Option<PacketRate>,
}

/// What a list of commands changes: first `create`, then `remove`, then `add`.
///
/// `remove` names targets in every existing set of their shape, present or not, so that nobody has to remember where a
/// target was. What is added is removed first, so that its timeout starts anew on every kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Delta {
	/// Sets that do not exist yet, in an order in which they can be created.
	pub create: BTreeSet<Set>,
	/// Keys to be removed.
	pub remove: BTreeMap<Set, Vec<Key>>,
	/// Elements to be added.
	pub add: BTreeMap<Set, Vec<Element>>,
}

impl Delta {
	/// What `commands` change in a table that has the sets `known`, of which those of `generation` are in force. The last
	/// command for a target wins. Flows are not a matter of sets: see [`super::flow::FlowTable`].
	pub fn new(commands: &[Command], known: &BTreeSet<Set>, generation: Generation) -> Self {
		let mut targets = HashMap::with_capacity(commands.len());
		let mut exempt = BTreeMap::new();
		for command in commands {
			match *command {
				Command::Block { target, direction, action, timeout_ms } => {
					targets.insert(target, Some((direction, action, timeout_ms)));
				}
				Command::Unblock { target } => {
					targets.insert(target, None);
				}
				Command::Protect(network) => {
					exempt.insert((Origin::Chain, network), Some(None));
				}
				Command::Unprotect(network) => {
					exempt.insert((Origin::Chain, network), None);
				}
				Command::Allow { network, timeout_ms } => {
					exempt.insert((Origin::Allowed, network), Some(timeout_ms));
				}
				Command::Disallow(network) => {
					exempt.insert((Origin::Allowed, network), None);
				}
				Command::BlockFlow { .. } | Command::UnblockFlow { .. } => (),
			}
		}

		let mut delta = Self::default();
		for ((origin, network), exempt) in exempt {
			delta.remove_from(Set::exempt(origin, &network), Target::Network(network).key(), known);
			if let Some(timeout_ms) = exempt {
				delta.exempt(origin, network, timeout_ms, known);
			}
		}
		for (target, block) in targets {
			let key = target.key();
			for set in target.shape().blocks(generation) {
				delta.remove_from(set, key, known);
			}
			if let Some((direction, action, timeout_ms)) = block {
				delta.block(target, direction, action, timeout_ms, generation, known);
			}
		}
		delta
	}

	/// The blocks among `commands`, for a list of which `known` is what has been loaded already: as [`Delta::new`], but
	/// without looking for where a target was before. A target must not come twice in a list.
	pub fn fill(commands: &[Command], known: &BTreeSet<Set>, generation: Generation) -> Self {
		let mut delta = Self::default();
		for command in commands {
			if let Command::Block { target, direction, action, timeout_ms } = *command {
				delta.block(target, direction, action, timeout_ms, generation, known);
			}
		}
		delta
	}

	/// Lists of exempt networks with their lives, in a table that has the sets `known`; what these held before is to be
	/// flushed first. Of two lives of one network the longer counts.
	pub fn lists(lists: impl IntoIterator<Item = (Origin, Network, Option<u64>)>, known: &BTreeSet<Set>) -> Self {
		let mut longest: BTreeMap<(Origin, Network), Option<u64>> = BTreeMap::new();
		for (origin, network, life) in lists {
			longest
				.entry((origin, network))
				// None lasts longer than any number.
				.and_modify(|held| *held = held.zip(life).map(|(a, b)| a.max(b)))
				.or_insert(life);
		}
		let mut delta = Self::default();
		for ((origin, network), life) in longest {
			delta.exempt(origin, network, life, known);
		}
		delta
	}

	fn exempt(&mut self, origin: Origin, network: Network, timeout_ms: Option<u64>, known: &BTreeSet<Set>) {
		// Only what the household lets pass has an end.
		let timeout_ms = timeout_ms.filter(|_| origin == Origin::Allowed).map(allowance);
		let element = Element { key: Target::Network(network).key(), timeout_ms, rate: None };
		self.add_to(Set::exempt(origin, &network), element, known);
	}

	fn block(
		&mut self,
		target: Target,
		direction: Direction,
		action: Action,
		timeout_ms: u64,
		generation: Generation,
		known: &BTreeSet<Set>,
	) {
		let rate = match action {
			Action::RateLimit(rate) => Some(rate),
			Action::Drop | Action::Watch => None,
		};
		let element = Element { key: target.key(), timeout_ms: Some(timeout(timeout_ms)), rate };
		let set = Set::Block { kind: Kind::of(&action), direction, shape: target.shape(), generation };
		self.add_to(set, element, known);
	}

	/// Whether there is nothing to do.
	pub fn is_empty(&self) -> bool {
		self.create.is_empty() && self.remove.is_empty() && self.add.is_empty()
	}

	fn remove_from(&mut self, set: Set, key: Key, known: &BTreeSet<Set>) {
		if known.contains(&set) {
			self.remove.entry(set).or_default().push(key);
		}
	}

	fn add_to(&mut self, set: Set, element: Element, known: &BTreeSet<Set>) {
		if !known.contains(&set) {
			self.create.insert(set);
		}
		self.add.entry(set).or_default().push(element);
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;
	use ringfence_primitives::Transport;

	fn network(text: &str) -> Target {
		Target::Network(text.parse().unwrap())
	}

	fn endpoint(address: &str, protocol: Transport, port: u16) -> Target {
		Target::Endpoint(Endpoint { address: address.parse().unwrap(), protocol, port })
	}

	fn block(target: Target, direction: Direction, action: Action) -> Command {
		Command::Block { target, direction, action, timeout_ms: 60_000 }
	}

	fn plan(commands: &[Command], known: &BTreeSet<Set>) -> Delta {
		Delta::new(commands, known, Generation::Even)
	}

	fn every_set() -> Vec<Set> {
		let shapes = [Family::V4, Family::V6].into_iter().flat_map(|family| {
			(0..=family.bits()).map(move |prefix| Shape::Network(family, prefix)).chain([Shape::Endpoint(family)])
		});
		shapes
			.flat_map(|shape| {
				let exempt = Origin::ALL.into_iter().filter_map(move |origin| match shape {
					Shape::Network(family, prefix) => Some(Set::Exempt { origin, family, prefix }),
					Shape::Endpoint(_) => None,
				});
				shape.blocks(Generation::Even).chain(shape.blocks(Generation::Odd)).chain(exempt)
			})
			.collect()
	}

	#[test]
	fn names_are_pinned() {
		let named = |target: Target, kind, direction| {
			Set::Block { kind, direction, shape: target.shape(), generation: Generation::Even }.to_string()
		};
		assert_eq!(named(network("192.0.2.1"), Kind::Drop, Direction::Both), "drop_both_v4_32");
		assert_eq!(named(network("2001:db8::/64"), Kind::Drop, Direction::Inbound), "drop_in_v6_64");
		assert_eq!(named(network("0.0.0.0/0"), Kind::Watch, Direction::Outbound), "watch_out_v4_0");
		let service = endpoint("192.0.2.1", Transport::Tcp, 443);
		assert_eq!(named(service, Kind::Limit, Direction::Both), "limit_both_ep_v4");
		let origins = Origin::ALL.map(|origin| Set::exempt(origin, &"10.0.0.0/8".parse().unwrap()).to_string());
		assert_eq!(origins, ["protected_local_v4_8", "protected_chain_v4_8", "allowed_v4_8", "listed_v4_8"]);
		let next = Set::Block {
			kind: Kind::Drop,
			direction: Direction::Both,
			shape: network("192.0.2.1").shape(),
			generation: Generation::Odd,
		};
		assert_eq!(next.to_string(), "drop_both_v4_32_odd");
	}

	#[test]
	fn names_are_distinct_and_read_back() {
		let sets = every_set();
		let names: BTreeSet<_> = sets.iter().map(Set::to_string).collect();
		assert_eq!(names.len(), sets.len());
		for set in sets {
			assert_eq!(set.to_string().parse(), Ok(set));
		}
	}

	#[test]
	fn foreign_names_are_refused() {
		for name in [
			"",
			"drop",
			"drop_both_v4_33",
			"drop_both_v4_+8",
			"drop_both_v4_08",
			"drop_both_v4",
			"allowed_ep_v4",
			"allowed_v4_8_odd",
			"drop_both_v4_32_even",
			"drop_both_v4_32_odd_odd",
			"mine",
		] {
			assert_eq!(name.parse::<Set>(), Err(NotOurs), "{name}");
		}
	}

	#[test]
	fn keys_are_padded_concatenations() {
		assert_eq!(network("192.0.2.0/24").key().as_slice(), [192, 0, 2, 0]);
		assert_eq!(
			endpoint("192.0.2.1", Transport::Tcp, 443).key().as_slice(),
			[192, 0, 2, 1, 6, 0, 0, 0, 1, 187, 0, 0]
		);
		let key = endpoint("2001:db8::1", Transport::Udp, 53).key();
		assert_eq!(&key.as_slice()[16..], [17, 0, 0, 0, 0, 53, 0, 0]);
		assert_eq!(key.as_slice().len(), Key::MAX);
	}

	#[test]
	fn a_set_is_read_on_the_sides_its_direction_means() {
		let sides = |direction| {
			let (shape, generation) = (Shape::Endpoint(Family::V4), Generation::Even);
			let set = Set::Block { kind: Kind::Drop, direction, shape, generation };
			set.rules().map(|rule| rule.place).collect::<Vec<_>>()
		};
		let (from, to) = (Place::Peer(Side::From), Place::Peer(Side::To));
		assert_eq!(sides(Direction::Both), [from, to]);
		assert_eq!(sides(Direction::Inbound), [from]);
		assert_eq!(sides(Direction::Outbound), [to]);
	}

	#[test]
	fn what_is_exempt_is_so_everywhere_and_what_is_listed_only_at_the_door() {
		let places = |origin| {
			let set = Set::exempt(origin, &"192.0.2.0/24".parse().unwrap());
			set.rules().map(|rule| rule.place).collect::<Vec<_>>()
		};
		for origin in [Origin::Local, Origin::Chain, Origin::Allowed] {
			assert_eq!(places(origin), Place::ALL);
		}
		assert_eq!(places(Origin::Listed), [Place::Door]);
	}

	#[test]
	fn a_first_block_creates_its_set_and_removes_nothing() {
		let delta = plan(&[block(network("192.0.2.1"), Direction::Both, Action::Drop)], &BTreeSet::new());
		assert_eq!(delta.create.len(), 1);
		assert!(delta.remove.is_empty());
		assert_eq!(delta.add.values().map(Vec::len).sum::<usize>(), 1);
	}

	#[test]
	fn a_later_block_leaves_every_other_set_of_its_shape() {
		let target = network("192.0.2.1");
		let known: BTreeSet<Set> = target.shape().blocks(Generation::Even).collect();
		let delta = plan(&[block(target, Direction::Inbound, Action::Watch)], &known);
		assert!(delta.create.is_empty());
		assert_eq!(delta.remove.keys().copied().collect::<BTreeSet<_>>(), known);
		assert_eq!(delta.add.keys().map(Set::to_string).collect::<Vec<_>>(), ["watch_in_v4_32"]);
	}

	#[test]
	fn the_last_word_on_a_target_wins() {
		let target = network("192.0.2.0/24");
		let known: BTreeSet<Set> = target.shape().blocks(Generation::Even).collect();
		let blocked = block(target, Direction::Both, Action::Drop);
		assert!(plan(&[blocked, Command::Unblock { target }], &known).add.is_empty());
		assert_eq!(plan(&[Command::Unblock { target }, blocked], &known).add.len(), 1);
	}

	#[test]
	fn unblocking_in_an_empty_table_is_nothing_to_do() {
		let target = endpoint("192.0.2.1", Transport::Sctp, 1);
		assert!(plan(&[Command::Unblock { target }], &BTreeSet::new()).is_empty());
	}

	#[test]
	fn protection_by_the_chain_stays_out_of_the_local_sets() {
		let shielded: Network = "192.0.2.0/24".parse().unwrap();
		let known: BTreeSet<Set> = Origin::ALL.into_iter().map(|origin| Set::exempt(origin, &shielded)).collect();
		for command in [Command::Protect(shielded), Command::Unprotect(shielded)] {
			let delta = plan(&[command], &known);
			assert_eq!(delta.remove.keys().map(Set::to_string).collect::<Vec<_>>(), ["protected_chain_v4_24"]);
		}
	}

	#[test]
	fn what_the_household_lets_pass_may_end() {
		let home: Network = "192.0.2.0/24".parse().unwrap();
		let known = BTreeSet::from([Set::exempt(Origin::Allowed, &home)]);
		let life = |timeout_ms| {
			let delta = plan(&[Command::Allow { network: home, timeout_ms }], &known);
			assert_eq!(delta.remove.len(), 1, "its time begins anew");
			delta.add.values().flatten().next().unwrap().timeout_ms
		};
		assert_eq!(life(None), None);
		assert_eq!(life(Some(0)), Some(10));
		assert_eq!(life(Some(60_000)), Some(60_000));
		assert_eq!(life(Some(u64::MAX)), Some(ALLOWED_MS));
		assert!(plan(&[Command::Disallow(home)], &known).add.is_empty());
		let twice =
			[(Origin::Allowed, home, Some(5_000)), (Origin::Allowed, home, None), (Origin::Allowed, home, Some(9_000))];
		let delta = Delta::lists(twice, &BTreeSet::new());
		assert_eq!(delta.add.values().flatten().map(|e| e.timeout_ms).collect::<Vec<_>>(), [None]);
		let delta = Delta::lists([twice[0], twice[2]], &BTreeSet::new());
		assert_eq!(delta.add.values().flatten().map(|e| e.timeout_ms).collect::<Vec<_>>(), [Some(9_000)]);
	}

	#[test]
	fn a_list_is_filled_without_looking_back() {
		let target = network("192.0.2.1");
		let known: BTreeSet<Set> = target.shape().blocks(Generation::Odd).collect();
		let commands =
			[block(target, Direction::Both, Action::Drop), Command::Unblock { target: network("192.0.2.2") }];
		let delta = Delta::fill(&commands, &known, Generation::Odd);
		assert!(delta.create.is_empty() && delta.remove.is_empty());
		assert_eq!(delta.add.keys().map(Set::to_string).collect::<Vec<_>>(), ["drop_both_v4_32_odd"]);
	}

	#[test]
	fn timeouts_stay_within_what_the_chain_grants() {
		assert_eq!(timeout(0), 10);
		assert_eq!(timeout(60_000), 60_000);
		assert_eq!(timeout(u64::MAX), 2_592_000_000);
	}

	fn any_command() -> impl Strategy<Value = Command> {
		let address = prop_oneof![
			(0_u8..4).prop_map(|last| Address::V4([192, 0, 2, last])),
			(0_u8..4).prop_map(|last| Address::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last])),
		];
		let target = (address, any::<bool>(), 0_u8..=128).prop_map(|(address, service, prefix)| {
			let prefix = prefix.min(address.bits());
			match service {
				true => Target::Endpoint(Endpoint { address, protocol: Transport::Tcp, port: 80 }),
				false => Target::Network(Network::new(address.masked(prefix), prefix).unwrap()),
			}
		});
		let direction = proptest::sample::select(Direction::ALL);
		let action = prop_oneof![
			Just(Action::Drop),
			Just(Action::Watch),
			(1_u32..100).prop_map(|rate| Action::RateLimit(PacketRate::new(rate).unwrap())),
		];
		(target, direction, action, any::<u64>(), 0_u8..6).prop_map(|(target, direction, action, timeout_ms, verb)| {
			match (verb, target) {
				(0, _) => Command::Unblock { target },
				(1, Target::Network(network)) => Command::Protect(network),
				(2, Target::Network(network)) => Command::Unprotect(network),
				(3, Target::Network(network)) => Command::Allow { network, timeout_ms: Some(timeout_ms) },
				(4, Target::Network(network)) => Command::Disallow(network),
				_ => Command::Block { target, direction, action, timeout_ms },
			}
		})
	}

	type Held = (Option<u64>, Option<PacketRate>);

	/// A firewall of plain maps, as a yardstick: what each key of a set holds, and which sets there are.
	#[derive(Default, Debug, PartialEq)]
	struct Model(BTreeMap<(Set, Vec<u8>), Held>, BTreeSet<Set>);

	impl Model {
		fn apply(&mut self, commands: &[Command]) {
			let delta = plan(commands, &self.1);
			self.1.extend(&delta.create);
			for (set, keys) in &delta.remove {
				assert!(self.1.contains(set), "{set} is not there");
				for key in keys {
					self.0.remove(&(*set, key.as_slice().to_vec()));
				}
			}
			for (set, elements) in &delta.add {
				assert!(self.1.contains(set), "{set} is not there");
				for Element { key, timeout_ms, rate } in elements {
					let before = self.0.insert((*set, key.as_slice().to_vec()), (*timeout_ms, *rate));
					assert_eq!(before, None, "added twice");
					assert_eq!(key.as_slice().len(), usize::from(set.shape().key_len()));
				}
			}
		}
	}

	proptest! {
		/// Batches are a matter of speed: one by one, all at once, and twice over all end in the same state.
		#[test]
		fn batching_and_repeating_change_nothing(commands in proptest::collection::vec(any_command(), 0..40)) {
			let (mut whole, mut single, mut twice) = (Model::default(), Model::default(), Model::default());
			whole.apply(&commands);
			commands.iter().for_each(|command| single.apply(std::slice::from_ref(command)));
			twice.apply(&commands);
			twice.apply(&commands);
			prop_assert_eq!(&whole.0, &single.0);
			prop_assert_eq!(&whole.0, &twice.0);
		}

		/// No target is in two sets at once.
		#[test]
		fn a_target_is_in_one_set(commands in proptest::collection::vec(any_command(), 0..40)) {
			let mut model = Model::default();
			model.apply(&commands);
			let mut seen = BTreeSet::new();
			for (set, key) in model.0.keys() {
				if matches!(set, Set::Block { .. }) {
					prop_assert!(seen.insert((set.shape(), key.clone())));
				}
			}
		}

		#[test]
		fn reading_a_name_never_panics(name in "[a-z_0-9]{0,24}") {
			if let Ok(set) = name.parse::<Set>() {
				prop_assert_eq!(set.to_string(), name);
			}
		}
	}
}
