//! The table `inet ringfence` as messages for the kernel, and as the kernel tells of it.
//!
//! ```text
//! prerouting (raw)         output (raw)
//!   iif lo accept            oif lo accept
//!   jump from                jump to
//!   jump to
//!
//! from: looks at sources                           to: the same for destinations
//!   ip saddr & mask @protected_local_v4_8 return
//!   jump from_drop      ip saddr @drop_both_v4_32 counter name dropped_in drop
//!   jump from_limit     ip saddr @limit_in_v4_32 counter name limited_in drop    (while over the element's rate)
//!   jump from_watch     ip saddr . meta l4proto . th sport @watch_both_ep_v4 counter name watched_in
//! ```
//!
//! At priority raw a packet is judged before connection tracking and routing, so that established flows are cut and a
//! flood costs no more than the look-ups. A packet without a transport header, such as a later fragment, matches no
//! endpoint; where connection tracking is on, fragments are put together before they get here.
//!
//! Encodings follow what `nft --debug=mnl` sends; numbers without a name in `libc` are from `linux/netfilter/nf_tables.h`.

use super::netlink::{
	attribute, attribute_text, attribute_u32, attribute_u64, attributes, Attributes, Batch, APPEND, CREATE, EXCLUSIVE,
};
use crate::core::ruleset::{Address, Element, Family, Key, Kind, Network, PacketRate, Rule, Set, Shape, Side};

/// Name of the table.
pub const TABLE: &str = "ringfence";
/// Counted up whenever chains, rules or the shape of sets change, so that a newer program does not adopt an older table.
const LAYOUT: u32 = 1;

/// `NFT_TABLE_F_OWNER`: only the socket that owns the table can change it.
const OWNER: u32 = 0x2;
/// `NFT_TABLE_F_PERSIST`: the table outlives its owner. Linux 6.9. `nft` before 1.1 does not know it: while nobody owns
/// the table, it prints empty flags, and `nft -j list table` breaks off there.
pub const PERSIST: u32 = 0x4;
/// Both.
pub const OWNED: u32 = OWNER | PERSIST;
/// `NFT_MSG_DESTROYSETELEM`: a removal that tolerates a missing element. Linux 6.3.
const DESTROY_ELEMENTS: i32 = 30;

const SET_TIMEOUT: u32 = libc::NFT_SET_TIMEOUT as u32;
/// The default of one second costs a tenth of a core at a million elements; an element past its time does not match.
const GC_INTERVAL_MS: u32 = 60_000;
/// Elements a set may have: twice what it is measured for. The kernel reserves nothing for them.
const SET_SIZE: u32 = 1 << 21;
/// Elements in one message: 400 of the longest (116 bytes) stay below the 65,535 bytes of an attribute.
const ELEMENTS: usize = 400;
/// Bytes that one command can put into a batch, at the most: a set and its two rules (1.1 kB), a removal from nine sets
/// by the longer way (72 bytes each) and an addition (116), rounded up.
pub const COMMAND_BYTES: usize = 2048;

/// `NF_IP_PRI_RAW`.
const PRIORITY: i32 = -300;
const NF_ACCEPT: i32 = 1;
const NF_DROP: i32 = 0;
/// The loopback interface is the first in every network namespace.
const LOOPBACK: u32 = 1;
const REGISTER: u32 = libc::NFT_REG_1 as u32;
/// The 4-byte registers; the first four of them are what `REGISTER` is made of.
const REGISTER_32: u32 = libc::NFT_REG32_00 as u32;

/// Chains of the table: two with a hook, and for each side one and three below it.
const CHAINS: u32 = 10;
/// Rules that are there without any set.
pub const BASE_RULES: usize = 11;

/// Name of a counter: what happened, and on which side.
pub fn counter(kind: Kind, side: Side) -> &'static str {
	match (kind, side) {
		(Kind::Drop, Side::From) => "dropped_in",
		(Kind::Drop, Side::To) => "dropped_out",
		(Kind::Limit, Side::From) => "limited_in",
		(Kind::Limit, Side::To) => "limited_out",
		(Kind::Watch, Side::From) => "watched_in",
		(Kind::Watch, Side::To) => "watched_out",
	}
}

fn counters() -> impl Iterator<Item = (Kind, Side)> {
	Kind::ALL.into_iter().flat_map(|kind| Side::ALL.into_iter().map(move |side| (kind, side)))
}

const fn chain(side: Side) -> &'static str {
	match side {
		Side::From => "from",
		Side::To => "to",
	}
}

const fn subchain(side: Side, kind: Kind) -> &'static str {
	match (side, kind) {
		(Side::From, Kind::Drop) => "from_drop",
		(Side::From, Kind::Limit) => "from_limit",
		(Side::From, Kind::Watch) => "from_watch",
		(Side::To, Kind::Drop) => "to_drop",
		(Side::To, Kind::Limit) => "to_limit",
		(Side::To, Kind::Watch) => "to_watch",
	}
}

/// The comment that a table made under `token` carries.
pub fn comment(token: u64) -> String {
	format!("ringfence {token:016x} layout {LAYOUT}")
}

// Attribute types of nf_tables.h, by message.
mod table_attr {
	pub const NAME: u16 = 1;
	pub const FLAGS: u16 = 2;
	pub const USE: u16 = 3;
	pub const HANDLE: u16 = 4;
	pub const USERDATA: u16 = 6;
	/// Within the user data, as nft writes it: type, length, text with NUL.
	pub const USERDATA_COMMENT: u8 = 0;
}
mod chain_attr {
	pub const TABLE: u16 = 1;
	pub const NAME: u16 = 3;
	pub const HOOK: u16 = 4;
	pub const POLICY: u16 = 5;
	pub const TYPE: u16 = 7;
	pub const HOOK_NUMBER: u16 = 1;
	pub const HOOK_PRIORITY: u16 = 2;
}
mod rule_attr {
	pub const TABLE: u16 = 1;
	pub const CHAIN: u16 = 2;
	pub const EXPRESSIONS: u16 = 4;
}
mod set_attr {
	pub const TABLE: u16 = 1;
	pub const NAME: u16 = 2;
	pub const FLAGS: u16 = 3;
	pub const KEY_TYPE: u16 = 4;
	pub const KEY_LEN: u16 = 5;
	pub const DESCRIPTION: u16 = 9;
	pub const ID: u16 = 10;
	pub const GC_INTERVAL: u16 = 12;
	pub const DESCRIPTION_SIZE: u16 = 1;
}
mod elements_attr {
	pub const TABLE: u16 = 1;
	pub const SET: u16 = 2;
	pub const ELEMENTS: u16 = 3;
	pub const KEY: u16 = 1;
	pub const TIMEOUT: u16 = 4;
	pub const EXPRESSION: u16 = 7;
}
mod object_attr {
	pub const TABLE: u16 = 1;
	pub const NAME: u16 = 2;
	pub const TYPE: u16 = 3;
	pub const DATA: u16 = 4;
	pub const COUNTER: u32 = 1;
	pub const COUNTER_BYTES: u16 = 1;
	pub const COUNTER_PACKETS: u16 = 2;
}
/// `NFTA_LIST_ELEM`.
const ITEM: u16 = 1;
/// `NFTA_DATA_VALUE`.
const VALUE: u16 = 1;
/// `NFTA_GEN_ID`.
const GENERATION: u16 = 1;

// Questions.

/// Selects our table, in the requests about tables, chains, rules, sets, elements and objects alike.
pub fn ours(a: &mut Attributes) {
	a.text(table_attr::NAME, TABLE);
}

/// Selects the counter `name` of our table.
pub fn ours_counter(a: &mut Attributes, name: &str) {
	a.text(object_attr::TABLE, TABLE);
	a.text(object_attr::NAME, name);
	a.u32(object_attr::TYPE, object_attr::COUNTER);
}

/// Selects the elements of `set`.
pub fn ours_elements(a: &mut Attributes, set: &Set) {
	a.text(elements_attr::TABLE, TABLE);
	a.text(elements_attr::SET, &set.to_string());
}

// Answers.

/// What the kernel says of our table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
	/// Those of [`OWNED`] and others.
	pub flags: u32,
	/// Number that no other table of this namespace ever had or gets.
	pub handle: u64,
	/// Chains, sets and objects in it.
	pub uses: u32,
	/// Its comment.
	pub comment: Option<String>,
}

impl Header {
	/// Reads a `NFT_MSG_NEWTABLE`.
	pub fn read(bytes: &[u8]) -> Option<Self> {
		Some(Self {
			flags: attribute_u32(bytes, table_attr::FLAGS)?,
			handle: attribute_u64(bytes, table_attr::HANDLE)?,
			uses: attribute_u32(bytes, table_attr::USE)?,
			comment: attribute(bytes, table_attr::USERDATA).and_then(read_comment),
		})
	}
}

fn read_comment(mut data: &[u8]) -> Option<String> {
	loop {
		let (&[kind, len], rest) = data.split_first_chunk()?;
		let value = rest.get(..len.into())?;
		if kind == table_attr::USERDATA_COMMENT {
			return String::from_utf8(value.strip_suffix(&[0])?.to_vec()).ok();
		}
		data = rest.get(len.into()..)?;
	}
}

/// What [`Header::uses`] is while the table has `sets` sets.
pub fn uses(sets: usize) -> u32 {
	let fixed = CHAINS as usize + counters().count();
	u32::try_from(fixed.saturating_add(sets)).unwrap_or(u32::MAX)
}

/// Reads a `NFT_MSG_NEWSET`; none where the set is not one that [`create_set`] makes.
pub fn read_set(bytes: &[u8]) -> Option<Set> {
	let set: Set = attribute_text(bytes, set_attr::NAME)?.parse().ok()?;
	let flags = attribute_u32(bytes, set_attr::FLAGS).unwrap_or_default();
	let as_made = flags == set_flags(&set)
		&& attribute_u32(bytes, set_attr::KEY_TYPE)? == key_type(set.shape())
		&& attribute_u32(bytes, set_attr::KEY_LEN)? == u32::from(set.shape().key_len());
	as_made.then_some(set)
}

/// Reads the networks out of a `NFT_MSG_NEWSETELEM` of a set of networks.
pub fn read_networks<'a>(bytes: &'a [u8], set: &Set) -> impl Iterator<Item = Network> + 'a {
	let shape = set.shape();
	let items = attribute(bytes, elements_attr::ELEMENTS).unwrap_or_default();
	attributes(items).filter_map(move |(_, item)| {
		let key = attribute(attribute(item, elements_attr::KEY)?, VALUE)?;
		let address = match shape.family() {
			Family::V4 => Address::V4(key.try_into().ok()?),
			Family::V6 => Address::v6(key.try_into().ok()?).ok()?,
		};
		match shape {
			Shape::Network(_, prefix) => Network::new(address, prefix).ok(),
			Shape::Endpoint(_) => None,
		}
	})
}

/// Reads packets and bytes out of a `NFT_MSG_NEWOBJ` of a counter.
pub fn read_counter(bytes: &[u8]) -> Option<(u64, u64)> {
	let data = attribute(bytes, object_attr::DATA)?;
	Some((attribute_u64(data, object_attr::COUNTER_PACKETS)?, attribute_u64(data, object_attr::COUNTER_BYTES)?))
}

/// Reads the number out of a `NFT_MSG_NEWGEN`, which the kernel counts up with every change to any table.
pub fn read_generation(bytes: &[u8]) -> Option<u32> {
	attribute_u32(bytes, GENERATION)
}

/// What a message was about, for people: `add set drop_both_v4_32`.
pub fn describe(kind: u16, bytes: &[u8]) -> String {
	let text = |attribute| attribute_text(bytes, attribute).unwrap_or("?");
	match i32::from(kind) {
		libc::NFT_MSG_NEWTABLE => format!("create or adopt the table inet {}", text(table_attr::NAME)),
		libc::NFT_MSG_DELTABLE => format!("delete the table inet {}", text(table_attr::NAME)),
		libc::NFT_MSG_NEWCHAIN => format!("add chain {}", text(chain_attr::NAME)),
		libc::NFT_MSG_NEWOBJ => format!("add counter {}", text(object_attr::NAME)),
		libc::NFT_MSG_NEWSET => format!("add set {}", text(set_attr::NAME)),
		libc::NFT_MSG_NEWRULE => format!("add rule to chain {}", text(rule_attr::CHAIN)),
		libc::NFT_MSG_NEWSETELEM => format!("add elements to set {}", text(elements_attr::SET)),
		libc::NFT_MSG_DELSETELEM | DESTROY_ELEMENTS => format!("remove elements from set {}", text(elements_attr::SET)),
		other => format!("do operation {other}"),
	}
}

// Changes.

fn message(batch: &mut Batch, kind: i32, flags: u16, build: impl FnOnce(&mut Attributes)) {
	// The kinds of nf_tables are below 256.
	batch.message(kind as u16, flags, build);
}

/// Adopts the table: makes this socket its owner where `flags` say so.
pub fn adopt(batch: &mut Batch, flags: u32) {
	message(batch, libc::NFT_MSG_NEWTABLE, 0, |a| {
		ours(a);
		a.u32(table_attr::FLAGS, flags);
	});
}

/// Deletes the table with all that is in it.
pub fn delete(batch: &mut Batch) {
	message(batch, libc::NFT_MSG_DELTABLE, 0, ours);
}

/// Creates the table with its chains and counters, without sets.
pub fn create(batch: &mut Batch, flags: u32, comment: &str) {
	message(batch, libc::NFT_MSG_NEWTABLE, CREATE | EXCLUSIVE, |a| {
		ours(a);
		a.u32(table_attr::FLAGS, flags);
		let mut data = vec![table_attr::USERDATA_COMMENT];
		// A token makes 42 bytes; the field holds 255.
		data.push(u8::try_from(comment.len() + 1).unwrap_or(u8::MAX));
		data.extend(comment.as_bytes());
		data.push(0);
		a.bytes(table_attr::USERDATA, &data);
	});
	for (kind, side) in counters() {
		message(batch, libc::NFT_MSG_NEWOBJ, CREATE | EXCLUSIVE, |a| {
			ours_counter(a, counter(kind, side));
			a.nest(object_attr::DATA, |a| {
				a.u64(object_attr::COUNTER_BYTES, 0);
				a.u64(object_attr::COUNTER_PACKETS, 0);
			});
		});
	}
	for (name, hook) in [("prerouting", libc::NF_INET_PRE_ROUTING), ("output", libc::NF_INET_LOCAL_OUT)] {
		message(batch, libc::NFT_MSG_NEWCHAIN, CREATE | EXCLUSIVE, |a| {
			a.text(chain_attr::TABLE, TABLE);
			a.text(chain_attr::NAME, name);
			a.text(chain_attr::TYPE, "filter");
			a.u32(chain_attr::POLICY, NF_ACCEPT as u32);
			a.nest(chain_attr::HOOK, |a| {
				a.u32(chain_attr::HOOK_NUMBER, hook as u32);
				a.u32(chain_attr::HOOK_PRIORITY, PRIORITY as u32);
			});
		});
	}
	for side in Side::ALL {
		let names = [chain(side)].into_iter().chain(Kind::ALL.map(|kind| subchain(side, kind)));
		for name in names {
			message(batch, libc::NFT_MSG_NEWCHAIN, CREATE | EXCLUSIVE, |a| {
				a.text(chain_attr::TABLE, TABLE);
				a.text(chain_attr::NAME, name);
			});
		}
	}

	for (name, interface, sides) in
		[("prerouting", libc::NFT_META_IIF, &Side::ALL[..]), ("output", libc::NFT_META_OIF, &[Side::To][..])]
	{
		rule(batch, name, APPEND, |e| {
			e.meta(interface, REGISTER);
			e.equals(&LOOPBACK.to_ne_bytes());
			e.verdict(NF_ACCEPT, None);
		});
		for side in sides {
			rule(batch, name, APPEND, |e| e.verdict(libc::NFT_JUMP, Some(chain(*side))));
		}
	}
	for side in Side::ALL {
		for kind in Kind::ALL {
			rule(batch, chain(side), APPEND, |e| e.verdict(libc::NFT_JUMP, Some(subchain(side, kind))));
		}
	}
}

fn set_flags(set: &Set) -> u32 {
	match set {
		Set::Exempt { .. } => 0,
		Set::Block { .. } => SET_TIMEOUT,
	}
}

/// The type that nft shows: `ipv4_addr`, `ipv6_addr`, or either with `inet_proto` and `inet_service`, six bits each.
fn key_type(shape: Shape) -> u32 {
	const IPV4_ADDR: u32 = 7;
	const IPV6_ADDR: u32 = 8;
	const INET_PROTO: u32 = 12;
	const INET_SERVICE: u32 = 13;
	let address = match shape.family() {
		Family::V4 => IPV4_ADDR,
		Family::V6 => IPV6_ADDR,
	};
	match shape {
		Shape::Network(..) => address,
		Shape::Endpoint(_) => (address << 6 | INET_PROTO) << 6 | INET_SERVICE,
	}
}

/// Creates a set and the rules that read it. `id` is unique within the batch.
pub fn create_set(batch: &mut Batch, set: &Set, id: u32) {
	let name = set.to_string();
	message(batch, libc::NFT_MSG_NEWSET, CREATE | EXCLUSIVE, |a| {
		a.text(set_attr::TABLE, TABLE);
		a.text(set_attr::NAME, &name);
		a.u32(set_attr::FLAGS, set_flags(set));
		a.u32(set_attr::KEY_TYPE, key_type(set.shape()));
		a.u32(set_attr::KEY_LEN, u32::from(set.shape().key_len()));
		a.u32(set_attr::ID, id);
		if let Set::Block { .. } = set {
			a.nest(set_attr::DESCRIPTION, |a| a.u32(set_attr::DESCRIPTION_SIZE, SET_SIZE));
			a.u32(set_attr::GC_INTERVAL, GC_INTERVAL_MS);
		}
	});
	for Rule { set, side } in set.rules() {
		match set {
			// At the beginning of the side's chain, before the jumps.
			Set::Exempt { .. } => rule(batch, chain(side), 0, |e| {
				e.peer(side, set.shape(), &name);
				e.verdict(libc::NFT_RETURN, None);
			}),
			Set::Block { kind, .. } => rule(batch, subchain(side, kind), APPEND, |e| {
				e.peer(side, set.shape(), &name);
				e.count(counter(kind, side));
				match kind {
					Kind::Drop | Kind::Limit => e.verdict(NF_DROP, None),
					Kind::Watch => (),
				}
			}),
		}
	}
}

fn elements<T>(
	batch: &mut Batch,
	kind: i32,
	flags: u16,
	set: &Set,
	items: &[T],
	mut item: impl FnMut(&mut Attributes, &T),
) {
	for chunk in items.chunks(ELEMENTS) {
		message(batch, kind, flags, |a| {
			ours_elements(a, set);
			a.nest(elements_attr::ELEMENTS, |a| chunk.iter().for_each(|i| a.nest(ITEM, |a| item(a, i))));
		});
	}
}

fn key(a: &mut Attributes, key: &Key) {
	a.nest(elements_attr::KEY, |a| a.bytes(VALUE, key.as_slice()));
}

/// Adds elements that are not in `set`.
pub fn add_elements(batch: &mut Batch, set: &Set, items: &[Element]) {
	elements(batch, libc::NFT_MSG_NEWSETELEM, CREATE, set, items, |a, element| {
		key(a, &element.key);
		if let Some(timeout) = element.timeout_ms {
			a.u64(elements_attr::TIMEOUT, timeout);
		}
		if let Some(rate) = element.rate {
			a.nest(elements_attr::EXPRESSION, |a| limit(a, rate));
		}
	});
}

/// Removes elements, those that are in `set` of them. Kernels without `destroy` add them first, which they do not mind
/// for one that is there, and the removal then never misses.
pub fn remove_elements(batch: &mut Batch, set: &Set, keys: &[Key], destroy: bool) {
	if destroy {
		elements(batch, DESTROY_ELEMENTS, 0, set, keys, key);
	} else {
		elements(batch, libc::NFT_MSG_NEWSETELEM, CREATE, set, keys, key);
		elements(batch, libc::NFT_MSG_DELSETELEM, 0, set, keys, key);
	}
}

/// Removes all elements of `set`.
pub fn flush_set(batch: &mut Batch, set: &Set) {
	message(batch, libc::NFT_MSG_DELSETELEM, 0, |a| ours_elements(a, set));
}

/// A batch that always fails and so changes nothing: what fails besides its last message shows what the kernel lacks.
/// Message 1 creates an owned table, 2 destroys an element.
pub fn probe(batch: &mut Batch) {
	const NOBODY: &str = "ringfence_probe";
	message(batch, libc::NFT_MSG_NEWTABLE, CREATE | EXCLUSIVE, |a| {
		a.text(table_attr::NAME, NOBODY);
		a.u32(table_attr::FLAGS, OWNED);
	});
	message(batch, DESTROY_ELEMENTS, 0, |a| {
		a.text(elements_attr::TABLE, NOBODY);
		a.text(elements_attr::SET, "missing");
	});
	message(batch, libc::NFT_MSG_DELTABLE, 0, |a| a.text(table_attr::NAME, "ringfence_probe_missing"));
}

/// Over `rate` packets a second. The bucket holds a tenth of a second, so that an ordinary burst is not cut.
fn limit(a: &mut Attributes, rate: PacketRate) {
	const RATE: u16 = 1;
	const UNIT: u16 = 2;
	const BURST: u16 = 3;
	const TYPE: u16 = 4;
	const FLAGS: u16 = 5;
	const SECOND: u64 = 1;
	/// What nft takes for granted.
	const LEAST_BURST: u32 = 5;
	expression(a, "limit", |a| {
		a.u64(RATE, rate.get().into());
		a.u64(UNIT, SECOND);
		a.u32(BURST, (rate.get() / 10).max(LEAST_BURST));
		a.u32(TYPE, libc::NFT_LIMIT_PKTS as u32);
		a.u32(FLAGS, libc::NFT_LIMIT_F_INV as u32);
	});
}

fn expression(a: &mut Attributes, name: &str, build: impl FnOnce(&mut Attributes)) {
	const NAME: u16 = 1;
	const DATA: u16 = 2;
	a.text(NAME, name);
	a.nest(DATA, build);
}

fn rule(batch: &mut Batch, chain: &str, flags: u16, build: impl FnOnce(&mut Expressions)) {
	message(batch, libc::NFT_MSG_NEWRULE, CREATE | flags, |a| {
		a.text(rule_attr::TABLE, TABLE);
		a.text(rule_attr::CHAIN, chain);
		a.nest(rule_attr::EXPRESSIONS, |a| build(&mut Expressions(a)));
	});
}

/// Writes the expressions of a rule.
struct Expressions<'a, 'b>(&'a mut Attributes<'b>);

impl Expressions<'_, '_> {
	fn push(&mut self, name: &str, build: impl FnOnce(&mut Attributes)) {
		self.0.nest(ITEM, |a| expression(a, name, build));
	}

	/// Matches where the peer on this side is in the set `name`.
	fn peer(&mut self, side: Side, shape: Shape, name: &str) {
		let (nfproto, source, destination) = match shape.family() {
			Family::V4 => (libc::NFPROTO_IPV4, 12, 16),
			Family::V6 => (libc::NFPROTO_IPV6, 8, 24),
		};
		let (address, port) = match side {
			Side::From => (source, 0),
			Side::To => (destination, 2),
		};
		let octets = shape.family().octets();
		self.meta(libc::NFT_META_NFPROTO, REGISTER);
		self.equals(&[nfproto as u8]);
		self.payload(libc::NFT_PAYLOAD_NETWORK_HEADER, address, octets.into(), REGISTER);
		match shape {
			Shape::Network(family, prefix) if prefix < family.bits() => self.mask(family, prefix),
			Shape::Network(..) => (),
			Shape::Endpoint(_) => {
				let after = REGISTER_32 + u32::from(octets / 4);
				self.meta(libc::NFT_META_L4PROTO, after);
				self.payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, port, 2, after + 1);
			}
		}
		self.push("lookup", |a| {
			a.text(1, name);
			a.u32(2, REGISTER);
		});
	}

	fn meta(&mut self, key: i32, register: u32) {
		self.push("meta", |a| {
			a.u32(2, key as u32);
			a.u32(1, register);
		});
	}

	fn payload(&mut self, base: i32, offset: u32, len: u32, register: u32) {
		self.push("payload", |a| {
			a.u32(1, register);
			a.u32(2, base as u32);
			a.u32(3, offset);
			a.u32(4, len);
		});
	}

	/// Keeps the first `prefix` bits of the address in the register.
	fn mask(&mut self, family: Family, prefix: u8) {
		let (ones, zeros) = match family {
			Family::V4 => (Address::V4([0xff; 4]), Address::V4([0; 4])),
			Family::V6 => (Address::V6([0xff; 16]), Address::V6([0; 16])),
		};
		self.push("bitwise", |a| {
			a.u32(1, REGISTER);
			a.u32(2, REGISTER);
			a.u32(3, family.octets().into());
			a.nest(4, |a| a.bytes(VALUE, ones.masked(prefix).octets()));
			a.nest(5, |a| a.bytes(VALUE, zeros.octets()));
		});
	}

	fn equals(&mut self, value: &[u8]) {
		self.push("cmp", |a| {
			a.u32(1, REGISTER);
			a.u32(2, libc::NFT_CMP_EQ as u32);
			a.nest(3, |a| a.bytes(VALUE, value));
		});
	}

	fn count(&mut self, counter: &str) {
		self.push("objref", |a| {
			a.u32(1, object_attr::COUNTER);
			a.text(2, counter);
		});
	}

	/// Ends the rule: one of `NF_ACCEPT`, `NF_DROP`, `NFT_RETURN`, or `NFT_JUMP` to a chain.
	fn verdict(&mut self, code: i32, chain: Option<&str>) {
		const VERDICT: u16 = 2;
		self.push("immediate", |a| {
			a.u32(1, libc::NFT_REG_VERDICT as u32);
			a.nest(2, |a| {
				a.nest(VERDICT, |a| {
					a.u32(1, code as u32);
					if let Some(chain) = chain {
						a.text(2, chain);
					}
				});
			});
		});
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::core::ruleset::{Direction, Endpoint, Target};
	use proptest::prelude::*;
	use ringfence_primitives::Transport;

	#[test]
	fn the_comment_is_found_among_other_user_data() {
		assert_eq!(read_comment(b"\x00\x03ab\0"), Some("ab".into()));
		assert_eq!(read_comment(b"\x05\x01x\x00\x03ab\0"), Some("ab".into()));
		for broken in [&b""[..], b"\x00", b"\x00\x09ab\0", b"\x00\x02ab", b"\x05\x02ab", b"\x00\x00"] {
			assert_eq!(read_comment(broken), None, "{broken:?}");
		}
	}

	#[test]
	fn concatenated_types_are_six_bits_each() {
		// What nft 1.0.6 sends for `ipv4_addr . inet_proto . inet_service`.
		assert_eq!(key_type(Shape::Endpoint(Family::V4)), 0x730d);
	}

	#[test]
	fn what_is_in_the_table_without_sets_is_counted_right() {
		assert_eq!(uses(0), 16);
	}

	/// The constants that keep a batch within the send buffer and a list of elements within an attribute.
	#[test]
	fn the_largest_command_is_as_large_as_promised() {
		let shape = Shape::Endpoint(Family::V6);
		let target =
			Target::Endpoint(Endpoint { address: Address::V6([0xff; 16]), protocol: Transport::Sctp, port: u16::MAX });
		let element = Element { key: target.key(), timeout_ms: Some(1), rate: Some(PacketRate::MAX) };
		let mut batch = Batch::new(0);
		create_set(&mut batch, &Set::Block { kind: Kind::Limit, direction: Direction::Both, shape }, 1);
		let created = batch.size();
		// Headers are shared by many commands; here each stands alone.
		let alone = |add: &dyn Fn(&mut Batch, usize)| {
			let size = |count| {
				let mut batch = Batch::new(0);
				add(&mut batch, count);
				batch.size()
			};
			size(2) - size(1)
		};
		let set = shape.blocks().next().unwrap();
		let removed = alone(&|batch, count| remove_elements(batch, &set, &vec![target.key(); count], false));
		let added = alone(&|batch, count| add_elements(batch, &set, &vec![element; count]));
		assert_eq!((removed, added), (72, 116));
		assert!(created + 9 * removed + added <= COMMAND_BYTES, "{created}");
		let mut batch = Batch::new(0);
		add_elements(&mut batch, &set, &vec![element; ELEMENTS + 1]);
		assert!(!batch.is_malformed());
	}

	proptest! {
		#[test]
		fn garbage_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
			Header::read(&bytes);
			read_comment(&bytes);
			read_set(&bytes);
			read_counter(&bytes);
			let set = Set::exempt(crate::core::ruleset::Origin::Chain, &"192.0.2.0/24".parse().unwrap());
			read_networks(&bytes, &set).for_each(drop);
			describe(12, &bytes);
		}
	}
}
