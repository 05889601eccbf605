//! The table `inet ringfence` as messages for the kernel, and as the kernel tells of it.
//!
//! ```text
//! prerouting (raw)         output (raw)          newcomers (prerouting, after connection tracking)
//!   iif lo accept            oif lo accept         only while a whitelist is in force
//!   jump from                jump to               iifname != @uplinks accept
//!   jump to                                        ct state established,related accept
//!                                                  neighbour discovery and DHCP accept
//!                                                  jump door
//!
//! from: looks at sources                           to: the same for destinations
//!   ip saddr & mask @protected_local_v4_8 return
//!   jump from_drop      ip saddr @drop_both_v4_32 goto dropped_in
//!   jump from_limit     ip saddr @limit_in_v4_32 goto limited_in      (while over the element's rate)
//!   jump from_watch     ip saddr . meta l4proto . th sport @watch_both_ep_v4 counter name watched_in
//!   jump from_flow      meta l4proto 17 udp sport 53 ip saddr & mask @flow_0 goto dropped_in
//!                       (ip daddr where it names no source and defends the own network)
//!
//! door                                             contact: where to_drop goes
//!   ip saddr @protected_chain_v4_32 return           iifname != @uplinks update @contacts_v4 { ip saddr . ip daddr }
//!   ip saddr @listed_v4_32 return                    goto dropped_out
//!   goto barred
//!
//! dropped_in, dropped_out, limited_in, limited_out, barred: what becomes of a packet
//!   counter name dropped_in drop                   or, as a canary: counter name spared_in accept
//! ```
//!
//! At priority raw a packet is judged before connection tracking and routing, so that established flows are cut and a
//! flood costs no more than the look-ups. A packet without a transport header, such as a later fragment, matches no
//! endpoint; where connection tracking is on, fragments are put together before they get here.
//!
//! A rule has no timeout. A flow's rule looks its peer up in a set of its own, `flow_0` to `flow_127`, whose only element
//! has one: when that is gone the rule matches nothing any more. The kernel's clock of elements neither jumps nor needs
//! to be set, as that of `meta time` does.
//!
//! Encodings follow what `nft --debug=mnl` sends; numbers without a name in `libc` are from `linux/netfilter/nf_tables.h`.

use super::netlink::{
	attribute, attribute_text, attribute_u32, attribute_u64, attributes, Attributes, Batch, APPEND, CREATE, EXCLUSIVE,
};
use crate::core::{
	flow::{self, Flow, FlowSignature, Match, PortRange, Severity, Slot, IN_FORCE},
	ruleset::{
		Action, Address, Element, Family, Key, Kind, Mode, Origin, PacketRate, Place, Rule, Set, Shape, Side, Target,
	},
};
use codec::{DecodeAll, Encode};

/// Name of the table.
pub const TABLE: &str = "ringfence";
/// Counted up whenever chains, rules or the shape of sets change, so that a newer program does not adopt an older table.
const LAYOUT: u32 = 2;

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
/// Bytes that one command can put into a batch, at the most: a set and its rules (1.3 kB), a removal from nine sets by
/// the longer way (72 bytes each) and an addition (116), rounded up.
pub const COMMAND_BYTES: usize = 2560;
/// Bytes that a change of all flows can put into a batch, at the most: for each a removal and a new set with its element
/// (400 bytes) and its rule (1.6 kB).
pub const FLOW_BYTES: usize = IN_FORCE * 2048;

/// `NF_IP_PRI_RAW`.
const PRIORITY: i32 = -300;
/// After connection tracking (-200), before addresses are translated (-100).
const DOOR_PRIORITY: i32 = -150;
const NF_ACCEPT: i32 = 1;
const NF_DROP: i32 = 0;
/// The loopback interface is the first in every network namespace.
const LOOPBACK: u32 = 1;
const REGISTER: u32 = libc::NFT_REG_1 as u32;
/// The 4-byte registers; the first four of them are what `REGISTER` is made of.
const REGISTER_32: u32 = libc::NFT_REG32_00 as u32;

/// The chain that lets nobody in who is not listed. There only while a whitelist is in force, because looking at a
/// connection's state makes the kernel track all of them.
const NEWCOMERS: &str = "newcomers";
/// Rules of [`NEWCOMERS`].
pub const DOOR_RULES: usize = 7;
/// The regular chains that are neither a side's nor below it: [`JUDGES`], `contact` and `door`.
const CONTACT: &str = "contact";
const DOOR: &str = "door";
/// What becomes of a packet: the chain, the counter where it is dropped, and where it is spared.
const JUDGES: [(&str, &str, &str); 5] = [
	("dropped_in", "dropped_in", "spared_in"),
	("dropped_out", "dropped_out", "spared_out"),
	("limited_in", "limited_in", "spared_in"),
	("limited_out", "limited_out", "spared_out"),
	(BARRED, BARRED, "spared_in"),
];
/// The counter of packets that a whitelist kept out, and their chain.
pub const BARRED: &str = "barred";

/// Chains of the table without [`NEWCOMERS`]: two with a hook, five for each side, and those above.
const CHAINS: usize = 2 + 2 * 5 + JUDGES.len() + 2;
/// Rules that are there without any set: five at the hooks, four jumps a side and one for neighbour discovery, the judges',
/// three of `contact` and one of `door`.
pub const BASE_RULES: usize = 5 + 2 * 5 + JUDGES.len() + 3 + 1;

/// Sets that are always there, with flags, type and octets of a key. `contacts_*`: device and peer; `uplinks`: names of
/// interfaces.
const FIXED_SETS: [(&str, u32, u32, u32); 3] = [
	("contacts_v4", SET_TIMEOUT | SET_EVAL, IPV4_ADDR << 6 | IPV4_ADDR, 8),
	("contacts_v6", SET_TIMEOUT | SET_EVAL, IPV6_ADDR << 6 | IPV6_ADDR, 32),
	(UPLINKS, 0, IFNAME, INTERFACE_NAME),
];
const UPLINKS: &str = "uplinks";
const SET_EVAL: u32 = libc::NFT_SET_EVAL as u32;
/// `IFNAMSIZ`.
const INTERFACE_NAME: u32 = 16;
/// Contacts remembered of each family.
const CONTACTS: u32 = 2048;
/// How long a contact is remembered: a day.
pub const CONTACT_MS: u64 = 86_400_000;

// Types of keys, as nft shows them; six bits each where several make a key.
const IPV4_ADDR: u32 = 7;
const IPV6_ADDR: u32 = 8;
const INET_PROTO: u32 = 12;
const INET_SERVICE: u32 = 13;
const IFNAME: u32 = 41;

// Numbers of sets within a batch begin at 1 for those of the rule set, and here for the others.
const FLOW_IDS: u32 = 1 << 20;
const FIXED_IDS: u32 = 1 << 21;

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

/// Name of the counter of packets that were let through as a canary's.
pub const fn spared(side: Side) -> &'static str {
	match side {
		Side::From => "spared_in",
		Side::To => "spared_out",
	}
}

fn counters() -> impl Iterator<Item = &'static str> {
	let acted = Kind::ALL.into_iter().flat_map(|kind| Side::ALL.into_iter().map(move |side| counter(kind, side)));
	acted.chain(Side::ALL.into_iter().map(spared)).chain([BARRED])
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

const fn flow_chain(side: Side) -> &'static str {
	match side {
		Side::From => "from_flow",
		Side::To => "to_flow",
	}
}

const fn place_chain(place: Place) -> &'static str {
	match place {
		Place::Peer(side) => chain(side),
		Place::Door => DOOR,
	}
}

/// Name of the set that holds a flow's peer as long as the flow lives.
pub fn flow_set(slot: Slot) -> String {
	format!("flow_{slot}")
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
	pub const USERDATA: u16 = 7;
	/// Within the user data: what nft shows, and what this program reads back.
	pub const USERDATA_COMMENT: u8 = 0;
	pub const USERDATA_FLOW: u8 = 0xf1;
}
mod set_attr {
	pub const TABLE: u16 = 1;
	pub const NAME: u16 = 2;
	pub const FLAGS: u16 = 3;
	pub const KEY_TYPE: u16 = 4;
	pub const KEY_LEN: u16 = 5;
	pub const DESCRIPTION: u16 = 9;
	pub const ID: u16 = 10;
	pub const TIMEOUT: u16 = 11;
	pub const GC_INTERVAL: u16 = 12;
	pub const USERDATA: u16 = 13;
	pub const DESCRIPTION_SIZE: u16 = 1;
}
mod elements_attr {
	pub const TABLE: u16 = 1;
	pub const SET: u16 = 2;
	pub const ELEMENTS: u16 = 3;
	pub const KEY: u16 = 1;
	pub const TIMEOUT: u16 = 4;
	pub const EXPIRATION: u16 = 5;
	pub const EXPRESSION: u16 = 7;
}
mod expression_attr {
	pub const NAME: u16 = 1;
	pub const DATA: u16 = 2;
	pub const LOOKUP_SET: u16 = 1;
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

/// Selects the elements of the set `name`.
pub fn ours_elements(a: &mut Attributes, name: &str) {
	a.text(elements_attr::TABLE, TABLE);
	a.text(elements_attr::SET, name);
}

/// Selects those elements of the set `name` that have these keys.
pub fn ours_keys(a: &mut Attributes, name: &str, keys: &[Key]) {
	ours_elements(a, name);
	a.nest(elements_attr::ELEMENTS, |a| keys.iter().for_each(|k| a.nest(ITEM, |a| key(a, k))));
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

/// The records of user data, kind and value, up to the first that is cut off.
fn user_data(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
	std::iter::from_fn(move || {
		let (&[kind, len], rest) = data.split_first_chunk()?;
		let (value, rest) = rest.split_at_checked(len.into())?;
		data = rest;
		Some((kind, value))
	})
}

/// Adds a record to user data; `value` is cut to the 255 bytes that one may have.
fn add_user_data(data: &mut Vec<u8>, kind: u8, value: &[u8]) {
	let len = u8::try_from(value.len()).unwrap_or(u8::MAX);
	data.extend([kind, len]);
	data.extend(value.iter().take(len.into()));
}

fn read_comment(data: &[u8]) -> Option<String> {
	let (_, value) = user_data(data).find(|(kind, _)| *kind == table_attr::USERDATA_COMMENT)?;
	String::from_utf8(value.strip_suffix(&[0])?.to_vec()).ok()
}

/// What [`Header::uses`] is while the table has `sets` sets besides those that are always there, and a chain for
/// newcomers or not.
pub fn uses(sets: usize, door: bool) -> u32 {
	let fixed = CHAINS + counters().count() + FIXED_SETS.len() + usize::from(door);
	u32::try_from(fixed.saturating_add(sets)).unwrap_or(u32::MAX)
}

/// A set as the kernel tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
	/// One of the rule set.
	Set(Set),
	/// One that is always there.
	Fixed,
	/// A flow's, with the shape of its peer.
	Flow(Slot, Shape),
}

/// Reads a `NFT_MSG_NEWSET`; none where the set is not one that this module makes.
pub fn read_set(bytes: &[u8]) -> Option<Seen> {
	let name = attribute_text(bytes, set_attr::NAME)?;
	let flags = attribute_u32(bytes, set_attr::FLAGS).unwrap_or_default();
	let kind = attribute_u32(bytes, set_attr::KEY_TYPE)?;
	let octets = attribute_u32(bytes, set_attr::KEY_LEN)?;
	if FIXED_SETS.contains(&(name, flags, kind, octets)) {
		return Some(Seen::Fixed);
	}
	let is = |shape: Shape| kind == key_type(shape) && octets == u32::from(shape.key_len());
	if let Some(slot) = name.strip_prefix("flow_") {
		let slot: Slot = slot.parse().ok().filter(|slot| usize::from(*slot) < IN_FORCE && flow_set(*slot) == name)?;
		// The length of the network is the rule's.
		let shape =
			[Family::V4, Family::V6].map(|family| Shape::Network(family, family.bits())).into_iter().find(|s| is(*s));
		return shape.filter(|_| flags == SET_TIMEOUT).map(|shape| Seen::Flow(slot, shape));
	}
	let set: Set = name.parse().ok()?;
	(flags == set_flags(&set) && is(set.shape())).then_some(Seen::Set(set))
}

/// What a rule of ours is about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RuleSeen {
	/// Whether it stands among those for newcomers.
	pub newcomer: bool,
	/// The first set of the rule set that it reads.
	pub set: Option<Set>,
	/// The flow that it matches, without its end.
	pub flow: Option<(Slot, Flow)>,
}

/// Reads a `NFT_MSG_NEWRULE`; none where it stands among the flows and does not say which it is.
pub fn read_rule(bytes: &[u8]) -> Option<RuleSeen> {
	let chain = attribute_text(bytes, rule_attr::CHAIN)?;
	let expressions = attribute(bytes, rule_attr::EXPRESSIONS).unwrap_or_default();
	let set = attributes(expressions).find_map(|(_, item)| {
		let name = attribute_text(item, expression_attr::NAME)?;
		let data = attribute(item, expression_attr::DATA).filter(|_| name == "lookup")?;
		attribute_text(data, expression_attr::LOOKUP_SET)?.parse().ok()
	});
	let flow = match Side::ALL.into_iter().find(|side| flow_chain(*side) == chain) {
		Some(side) => {
			let data = attribute(bytes, rule_attr::USERDATA)?;
			let record = user_data(data).find(|(kind, _)| *kind == rule_attr::USERDATA_FLOW)?.1;
			let (slot, signature, action, severity) =
				<(Slot, FlowSignature, Action, Severity)>::decode_all(&mut &record[..]).ok()?;
			// What defends the own network stands where sources are looked at.
			let home = signature.source.is_none() && side == Side::From;
			Some((slot, Flow { signature, action, severity, home, ends_ms: 0 }))
		}
		None => None,
	};
	Some(RuleSeen { newcomer: chain == NEWCOMERS, set, flow })
}

/// Reads what the first element of a `NFT_MSG_NEWSETELEM` has left, in milliseconds.
pub fn read_left(bytes: &[u8]) -> Option<u64> {
	let (_, item) = attributes(attribute(bytes, elements_attr::ELEMENTS)?).next()?;
	attribute_u64(item, elements_attr::EXPIRATION)
}

/// Names of the sets of contacts.
pub const CONTACT_SETS: [(Family, &str); 2] = [(Family::V4, "contacts_v4"), (Family::V6, "contacts_v6")];

/// Reads device, peer and milliseconds left out of a `NFT_MSG_NEWSETELEM` of a set of contacts.
pub fn read_contacts(bytes: &[u8], family: Family) -> impl Iterator<Item = (Address, Address, u64)> + '_ {
	let items = attribute(bytes, elements_attr::ELEMENTS).unwrap_or_default();
	attributes(items).filter_map(move |(_, item)| {
		let key = attribute(attribute(item, elements_attr::KEY)?, VALUE)?;
		let address = |octets: &[u8]| match family {
			Family::V4 => octets.try_into().ok().map(Address::V4),
			Family::V6 => Address::v6(octets.try_into().ok()?).ok(),
		};
		let (device, peer) = key.split_at_checked(family.octets().into())?;
		Some((address(device)?, address(peer)?, attribute_u64(item, elements_attr::EXPIRATION)?))
	})
}

/// Reads packets and bytes out of a `NFT_MSG_NEWOBJ` of a counter.
pub fn read_counter(bytes: &[u8]) -> Option<(u64, u64)> {
	let data = attribute(bytes, object_attr::DATA)?;
	Some((attribute_u64(data, object_attr::COUNTER_PACKETS)?, attribute_u64(data, object_attr::COUNTER_BYTES)?))
}

/// Reads the number out of a `NFT_MSG_NEWGEN`, which the kernel counts up with every change to any table.
pub fn read_revision(bytes: &[u8]) -> Option<u32> {
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
		libc::NFT_MSG_DELCHAIN => format!("delete chain {}", text(chain_attr::NAME)),
		libc::NFT_MSG_NEWSET => format!("add set {}", text(set_attr::NAME)),
		libc::NFT_MSG_DELSET => format!("delete set {}", text(set_attr::NAME)),
		libc::NFT_MSG_DELRULE => format!("remove the rules of chain {}", text(rule_attr::CHAIN)),
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

fn add_chain(batch: &mut Batch, name: &str, hook: Option<(i32, i32)>) {
	message(batch, libc::NFT_MSG_NEWCHAIN, CREATE | EXCLUSIVE, |a| {
		a.text(chain_attr::TABLE, TABLE);
		a.text(chain_attr::NAME, name);
		if let Some((hook, priority)) = hook {
			a.text(chain_attr::TYPE, "filter");
			a.u32(chain_attr::POLICY, NF_ACCEPT as u32);
			a.nest(chain_attr::HOOK, |a| {
				a.u32(chain_attr::HOOK_NUMBER, hook as u32);
				a.u32(chain_attr::HOOK_PRIORITY, priority as u32);
			});
		}
	});
}

/// Removes all rules of a chain.
fn flush_chain(batch: &mut Batch, name: &str) {
	message(batch, libc::NFT_MSG_DELRULE, 0, |a| {
		a.text(rule_attr::TABLE, TABLE);
		a.text(rule_attr::CHAIN, name);
	});
}

/// Creates the table with its chains, counters and the sets that are always there. What becomes of packets is left to
/// [`judge`].
pub fn create(batch: &mut Batch, flags: u32, comment: &str) {
	message(batch, libc::NFT_MSG_NEWTABLE, CREATE | EXCLUSIVE, |a| {
		ours(a);
		a.u32(table_attr::FLAGS, flags);
		let mut data = Vec::new();
		add_user_data(&mut data, table_attr::USERDATA_COMMENT, format!("{comment}\0").as_bytes());
		a.bytes(table_attr::USERDATA, &data);
	});
	for name in counters() {
		message(batch, libc::NFT_MSG_NEWOBJ, CREATE | EXCLUSIVE, |a| {
			ours_counter(a, name);
			a.nest(object_attr::DATA, |a| {
				a.u64(object_attr::COUNTER_BYTES, 0);
				a.u64(object_attr::COUNTER_PACKETS, 0);
			});
		});
	}
	for (id, (name, flags, kind, octets)) in (FIXED_IDS..).zip(FIXED_SETS) {
		message(batch, libc::NFT_MSG_NEWSET, CREATE | EXCLUSIVE, |a| {
			a.text(set_attr::TABLE, TABLE);
			a.text(set_attr::NAME, name);
			a.u32(set_attr::FLAGS, flags);
			a.u32(set_attr::KEY_TYPE, kind);
			a.u32(set_attr::KEY_LEN, octets);
			a.u32(set_attr::ID, id);
			if flags & SET_TIMEOUT != 0 {
				a.nest(set_attr::DESCRIPTION, |a| a.u32(set_attr::DESCRIPTION_SIZE, CONTACTS));
				a.u64(set_attr::TIMEOUT, CONTACT_MS);
				a.u32(set_attr::GC_INTERVAL, GC_INTERVAL_MS);
			}
			if kind == IFNAME {
				// The order of bytes in which nft is to show names: the host's, which is how the kernel keeps them.
				let mut data = Vec::new();
				add_user_data(&mut data, 0, &1_u32.to_ne_bytes());
				a.bytes(set_attr::USERDATA, &data);
			}
		});
	}
	for (name, hook) in [("prerouting", libc::NF_INET_PRE_ROUTING), ("output", libc::NF_INET_LOCAL_OUT)] {
		add_chain(batch, name, Some((hook, PRIORITY)));
	}
	for side in Side::ALL {
		let below = Kind::ALL.into_iter().map(|kind| subchain(side, kind));
		[chain(side), flow_chain(side)].into_iter().chain(below).for_each(|name| add_chain(batch, name, None));
	}
	let others = JUDGES.into_iter().map(|(name, ..)| name).chain([CONTACT, DOOR]);
	others.for_each(|name| add_chain(batch, name, None));

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
		let jump = |batch: &mut Batch, name| {
			rule(batch, chain(side), APPEND, |e| e.verdict(libc::NFT_JUMP, Some(name)));
		};
		Kind::ALL.into_iter().for_each(|kind| jump(batch, subchain(side, kind)));
		// A flow that is told by little more than its length must not cut the home off from its own link.
		rule(batch, chain(side), APPEND, |e| {
			e.neighbour_discovery(133, 137);
			e.verdict(libc::NFT_RETURN, None);
		});
		jump(batch, flow_chain(side));
	}
	for (family, name) in CONTACT_SETS {
		rule(batch, CONTACT, APPEND, |e| {
			e.not_from_uplink();
			e.contact(family, name);
		});
	}
	rule(batch, CONTACT, APPEND, |e| e.verdict(libc::NFT_GOTO, Some(counter(Kind::Drop, Side::To))));
	rule(batch, DOOR, APPEND, |e| e.verdict(libc::NFT_GOTO, Some(BARRED)));
}

/// Sets what becomes of packets that are to be dropped.
pub fn judge(batch: &mut Batch, mode: Mode) {
	for (chain, dropped, spared) in JUDGES {
		flush_chain(batch, chain);
		rule(batch, chain, APPEND, |e| match mode {
			Mode::Enforce => {
				e.count(dropped);
				e.verdict(NF_DROP, None);
			}
			Mode::Canary => {
				e.count(spared);
				e.verdict(NF_ACCEPT, None);
			}
		});
	}
}

/// Sets which interfaces lead to the internet. Names are of 1 to 15 bytes.
pub fn uplinks(batch: &mut Batch, names: &[String]) {
	flush_elements(batch, UPLINKS);
	if names.is_empty() {
		return;
	}
	message(batch, libc::NFT_MSG_NEWSETELEM, CREATE, |a| {
		ours_elements(a, UPLINKS);
		a.nest(elements_attr::ELEMENTS, |a| {
			for name in names {
				let mut padded = [0; INTERFACE_NAME as usize];
				padded.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
				a.nest(ITEM, |a| a.nest(elements_attr::KEY, |a| a.bytes(VALUE, &padded)));
			}
		});
	});
}

/// From now on only what is exempt or listed may begin a flow from an uplink.
pub fn close_door(batch: &mut Batch) {
	add_chain(batch, NEWCOMERS, Some((libc::NF_INET_PRE_ROUTING, DOOR_PRIORITY)));
	rule(batch, NEWCOMERS, APPEND, |e| {
		e.not_from_uplink();
		e.verdict(NF_ACCEPT, None);
	});
	rule(batch, NEWCOMERS, APPEND, |e| {
		e.connection_goes_on();
		e.verdict(NF_ACCEPT, None);
	});
	// Multicast listener discovery (130 to 132 and 143), routers and neighbours (133 to 137).
	for (first, last) in [(130_u8, 137_u8), (143, 143)] {
		rule(batch, NEWCOMERS, APPEND, |e| {
			e.neighbour_discovery(first, last);
			e.verdict(NF_ACCEPT, None);
		});
	}
	// What a DHCP server answers: source and destination port. The question went to everybody, so no state knows it.
	for (family, from, to) in [(Family::V4, 67_u16, 68_u16), (Family::V6, 547, 546)] {
		rule(batch, NEWCOMERS, APPEND, |e| {
			e.family(family);
			e.protocol(17);
			e.payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, 0, 4, REGISTER);
			e.equals(&[from.to_be_bytes(), to.to_be_bytes()].concat());
			e.verdict(NF_ACCEPT, None);
		});
	}
	rule(batch, NEWCOMERS, APPEND, |e| e.verdict(libc::NFT_JUMP, Some(DOOR)));
}

/// Everybody may come in again who is not blocked.
pub fn open_door(batch: &mut Batch) {
	flush_chain(batch, NEWCOMERS);
	message(batch, libc::NFT_MSG_DELCHAIN, 0, |a| {
		a.text(chain_attr::TABLE, TABLE);
		a.text(chain_attr::NAME, NEWCOMERS);
	});
}

fn set_flags(set: &Set) -> u32 {
	match set {
		Set::Exempt { origin: Origin::Allowed, .. } | Set::Block { .. } => SET_TIMEOUT,
		Set::Exempt { .. } => 0,
	}
}

/// The type that nft shows: `ipv4_addr`, `ipv6_addr`, or either with `inet_proto` and `inet_service`.
fn key_type(shape: Shape) -> u32 {
	let address = match shape.family() {
		Family::V4 => IPV4_ADDR,
		Family::V6 => IPV6_ADDR,
	};
	match shape {
		Shape::Network(..) => address,
		Shape::Endpoint(_) => (address << 6 | INET_PROTO) << 6 | INET_SERVICE,
	}
}

fn add_set(batch: &mut Batch, name: &str, flags: u32, shape: Shape, id: u32) {
	message(batch, libc::NFT_MSG_NEWSET, CREATE | EXCLUSIVE, |a| {
		a.text(set_attr::TABLE, TABLE);
		a.text(set_attr::NAME, name);
		a.u32(set_attr::FLAGS, flags);
		a.u32(set_attr::KEY_TYPE, key_type(shape));
		a.u32(set_attr::KEY_LEN, u32::from(shape.key_len()));
		a.u32(set_attr::ID, id);
		if flags & SET_TIMEOUT != 0 {
			a.nest(set_attr::DESCRIPTION, |a| a.u32(set_attr::DESCRIPTION_SIZE, SET_SIZE));
			a.u32(set_attr::GC_INTERVAL, GC_INTERVAL_MS);
		}
	});
}

fn delete_named(batch: &mut Batch, name: &str) {
	message(batch, libc::NFT_MSG_DELSET, 0, |a| {
		a.text(set_attr::TABLE, TABLE);
		a.text(set_attr::NAME, name);
	});
}

/// Creates a set that no rule reads yet. `id` is unique within the batch, and below a million.
pub fn create_set(batch: &mut Batch, set: &Set, id: u32) {
	add_set(batch, &set.to_string(), set_flags(set), set.shape(), id);
}

/// Deletes a set that no rule reads any more.
pub fn delete_set(batch: &mut Batch, set: &Set) {
	delete_named(batch, &set.to_string());
}

/// Adds the rules that read a set.
pub fn add_rules(batch: &mut Batch, set: &Set) {
	let name = set.to_string();
	for Rule { set, place } in set.rules() {
		let side = place.side();
		match set {
			// At the beginning of the chain, before the jumps.
			Set::Exempt { .. } => rule(batch, place_chain(place), 0, |e| {
				e.peer(side, set.shape(), &name);
				e.verdict(libc::NFT_RETURN, None);
			}),
			Set::Block { kind, .. } => rule(batch, subchain(side, kind), APPEND, |e| {
				e.peer(side, set.shape(), &name);
				match (kind, side) {
					(Kind::Drop, Side::To) => e.verdict(libc::NFT_GOTO, Some(CONTACT)),
					(Kind::Drop | Kind::Limit, _) => e.verdict(libc::NFT_GOTO, Some(counter(kind, side))),
					(Kind::Watch, _) => e.count(counter(kind, side)),
				}
			}),
		}
	}
}

/// Removes the rules that read sets of blocks, all of them.
pub fn flush_blocks(batch: &mut Batch) {
	for side in Side::ALL {
		Kind::ALL.into_iter().for_each(|kind| flush_chain(batch, subchain(side, kind)));
	}
}

fn alive(flow: &Flow, timeout_ms: u64) -> Option<Element> {
	let (_, network) = flow::peer(&flow.signature)?;
	Some(Element { key: Target::Network(network).key(), timeout_ms: Some(timeout_ms), rate: None })
}

/// Creates the set that keeps a flow alive for `timeout_ms`.
pub fn begin_flow(batch: &mut Batch, slot: Slot, flow: &Flow, timeout_ms: u64) {
	// Only a flow that names nobody has no peer, and there is none such in a table of flows.
	let Some((_, network)) = flow::peer(&flow.signature) else { return };
	add_set(batch, &flow_set(slot), SET_TIMEOUT, Shape::network(&network), FLOW_IDS + u32::from(slot));
	renew_flow(batch, slot, flow, timeout_ms, None);
}

/// Lets a flow live for `timeout_ms` from now; `destroy` says how to remove what it had before, if it had anything.
pub fn renew_flow(batch: &mut Batch, slot: Slot, flow: &Flow, timeout_ms: u64, destroy: Option<bool>) {
	let Some(element) = alive(flow, timeout_ms) else { return };
	let name = flow_set(slot);
	if let Some(destroy) = destroy {
		remove_named(batch, &name, &[element.key], destroy);
	}
	add_named(batch, &name, &[element]);
}

/// Deletes the set of a flow whose rule is gone.
pub fn end_flow(batch: &mut Batch, slot: Slot) {
	delete_named(batch, &flow_set(slot));
}

/// Removes the rules of all flows.
pub fn flush_flows(batch: &mut Batch) {
	Side::ALL.into_iter().for_each(|side| flush_chain(batch, flow_chain(side)));
}

/// Adds the rule of a flow behind those that are there.
pub fn add_flow(batch: &mut Batch, slot: Slot, flow: &Flow) {
	/// What nft shows of a comment.
	const COMMENT: usize = 127;
	let Some((looked_up, network)) = flow::peer(&flow.signature) else { return };
	let (side, shape) = (flow.side(), Shape::network(&network));
	// A signature's text is ASCII.
	let mut comment: Vec<u8> = flow.signature.to_string().bytes().take(COMMENT).collect();
	comment.push(0);
	let mut data = Vec::new();
	add_user_data(&mut data, rule_attr::USERDATA_COMMENT, &comment);
	let record = (slot, flow.signature, flow.action, flow.severity).encode();
	add_user_data(&mut data, rule_attr::USERDATA_FLOW, &record);
	message(batch, libc::NFT_MSG_NEWRULE, CREATE | APPEND, |a| {
		a.text(rule_attr::TABLE, TABLE);
		a.text(rule_attr::CHAIN, flow_chain(side));
		a.nest(rule_attr::EXPRESSIONS, |a| {
			let mut e = Expressions(a);
			e.family(shape.family());
			flow::matches(&flow.signature).for_each(|found| e.matches(found));
			e.address(looked_up, shape);
			e.is_in(&flow_set(slot));
			match flow.action {
				Action::Drop => e.verdict(libc::NFT_GOTO, Some(counter(Kind::Drop, side))),
				Action::RateLimit(rate) => {
					e.over(rate);
					e.verdict(libc::NFT_GOTO, Some(counter(Kind::Limit, side)));
				}
				Action::Watch => e.count(counter(Kind::Watch, side)),
			}
		});
		a.bytes(rule_attr::USERDATA, &data);
	});
}

fn elements<T>(
	batch: &mut Batch,
	kind: i32,
	flags: u16,
	name: &str,
	items: &[T],
	mut item: impl FnMut(&mut Attributes, &T),
) {
	for chunk in items.chunks(ELEMENTS) {
		message(batch, kind, flags, |a| {
			ours_elements(a, name);
			a.nest(elements_attr::ELEMENTS, |a| chunk.iter().for_each(|i| a.nest(ITEM, |a| item(a, i))));
		});
	}
}

fn key(a: &mut Attributes, key: &Key) {
	a.nest(elements_attr::KEY, |a| a.bytes(VALUE, key.as_slice()));
}

/// Adds elements that are not in `set`.
pub fn add_elements(batch: &mut Batch, set: &Set, items: &[Element]) {
	add_named(batch, &set.to_string(), items);
}

fn add_named(batch: &mut Batch, name: &str, items: &[Element]) {
	elements(batch, libc::NFT_MSG_NEWSETELEM, CREATE, name, items, |a, element| {
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
	remove_named(batch, &set.to_string(), keys, destroy);
}

fn remove_named(batch: &mut Batch, name: &str, keys: &[Key], destroy: bool) {
	if destroy {
		elements(batch, DESTROY_ELEMENTS, 0, name, keys, key);
	} else {
		elements(batch, libc::NFT_MSG_NEWSETELEM, CREATE, name, keys, key);
		elements(batch, libc::NFT_MSG_DELSETELEM, 0, name, keys, key);
	}
}

/// Removes all elements of `set`.
pub fn flush_set(batch: &mut Batch, set: &Set) {
	flush_elements(batch, &set.to_string());
}

fn flush_elements(batch: &mut Batch, name: &str) {
	message(batch, libc::NFT_MSG_DELSETELEM, 0, |a| ours_elements(a, name));
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
	a.text(expression_attr::NAME, name);
	a.nest(expression_attr::DATA, build);
}

fn rule(batch: &mut Batch, chain: &str, flags: u16, build: impl FnOnce(&mut Expressions)) {
	message(batch, libc::NFT_MSG_NEWRULE, CREATE | flags, |a| {
		a.text(rule_attr::TABLE, TABLE);
		a.text(rule_attr::CHAIN, chain);
		a.nest(rule_attr::EXPRESSIONS, |a| build(&mut Expressions(a)));
	});
}

/// Where an address is in the network header.
const fn address_offset(side: Side, family: Family) -> u32 {
	match (family, side) {
		(Family::V4, Side::From) => 12,
		(Family::V4, Side::To) => 16,
		(Family::V6, Side::From) => 8,
		(Family::V6, Side::To) => 24,
	}
}

/// Where a port is in the transport header.
const fn port_offset(side: Side) -> u32 {
	match side {
		Side::From => 0,
		Side::To => 2,
	}
}

/// Writes the expressions of a rule.
struct Expressions<'a, 'b>(&'a mut Attributes<'b>);

impl Expressions<'_, '_> {
	fn push(&mut self, name: &str, build: impl FnOnce(&mut Attributes)) {
		self.0.nest(ITEM, |a| expression(a, name, build));
	}

	/// Matches where the peer on this side is in the set `name`.
	fn peer(&mut self, side: Side, shape: Shape, name: &str) {
		self.family(shape.family());
		self.address(side, shape);
		self.is_in(name);
	}

	/// Matches packets of this family.
	fn family(&mut self, family: Family) {
		let nfproto = match family {
			Family::V4 => libc::NFPROTO_IPV4,
			Family::V6 => libc::NFPROTO_IPV6,
		};
		self.meta(libc::NFT_META_NFPROTO, REGISTER);
		self.equals(&[nfproto as u8]);
	}

	/// Loads the key that the peer on this side has in a set of this shape. The family is to be matched before.
	fn address(&mut self, side: Side, shape: Shape) {
		let octets = shape.family().octets();
		self.payload(libc::NFT_PAYLOAD_NETWORK_HEADER, address_offset(side, shape.family()), octets.into(), REGISTER);
		match shape {
			Shape::Network(family, prefix) if prefix < family.bits() => self.mask(family, prefix),
			Shape::Network(..) => (),
			Shape::Endpoint(_) => {
				let after = REGISTER_32 + u32::from(octets / 4);
				self.meta(libc::NFT_META_L4PROTO, after);
				self.payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, port_offset(side), 2, after + 1);
			}
		}
	}

	/// Matches where the set `name` has the key in the register.
	fn is_in(&mut self, name: &str) {
		self.push("lookup", |a| {
			a.text(expression_attr::LOOKUP_SET, name);
			a.u32(2, REGISTER);
		});
	}

	/// Matches what did not come in over an uplink.
	fn not_from_uplink(&mut self) {
		self.meta(libc::NFT_META_IIFNAME, REGISTER);
		self.push("lookup", |a| {
			a.text(expression_attr::LOOKUP_SET, UPLINKS);
			a.u32(2, REGISTER);
			a.u32(5, libc::NFT_LOOKUP_F_INV as u32);
		});
	}

	/// Remembers source and destination of a packet of this family, and that it was seen now.
	fn contact(&mut self, family: Family, name: &str) {
		let octets = family.octets();
		let second = REGISTER_32 + u32::from(octets / 4);
		self.family(family);
		for (side, register) in [(Side::From, REGISTER), (Side::To, second)] {
			let offset = address_offset(side, family);
			self.payload(libc::NFT_PAYLOAD_NETWORK_HEADER, offset, octets.into(), register);
		}
		self.push("dynset", |a| {
			a.text(1, name);
			a.u32(3, libc::NFT_DYNSET_OP_UPDATE as u32);
			a.u32(4, REGISTER);
			a.u64(6, CONTACT_MS);
		});
	}

	/// Matches ICMPv6 messages of these types.
	fn neighbour_discovery(&mut self, first: u8, last: u8) {
		self.family(Family::V6);
		self.protocol(58);
		self.payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, REGISTER);
		self.between(&[first], &[last]);
	}

	/// Matches packets of a connection that goes on, or that another has announced.
	fn connection_goes_on(&mut self) {
		const ESTABLISHED: u32 = 1 << 1;
		const RELATED: u32 = 1 << 2;
		self.push("ct", |a| {
			a.u32(2, libc::NFT_CT_STATE as u32);
			a.u32(1, REGISTER);
		});
		self.bits(&(ESTABLISHED | RELATED).to_ne_bytes());
		self.compare(libc::NFT_CMP_NEQ, &0_u32.to_ne_bytes());
	}

	/// Matches this protocol above IP.
	fn protocol(&mut self, number: u8) {
		self.meta(libc::NFT_META_L4PROTO, REGISTER);
		self.equals(&[number]);
	}

	/// Matches what a flow asks for besides its peer. The family is to be matched before.
	fn matches(&mut self, found: Match) {
		const TCP_FLAGS: u32 = 13;
		match found {
			Match::Protocol(number) => self.protocol(number),
			Match::Destination(network) => {
				self.address(Side::To, Shape::network(&network));
				self.equals(network.address().octets());
			}
			Match::Ports(side, ports) => {
				self.payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, port_offset(side), 2, REGISTER);
				self.range(ports);
			}
			Match::TcpFlags(flags) => {
				self.payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS, 1, REGISTER);
				self.bits(&[flags.mask()]);
				self.equals(&[flags.value()]);
			}
			Match::Icmp(icmp) => match icmp.code {
				Some(code) => {
					self.payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, REGISTER);
					self.equals(&[icmp.kind, code]);
				}
				None => {
					self.payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, REGISTER);
					self.equals(&[icmp.kind]);
				}
			},
			Match::Length(length) => {
				// Of the whole packet, as the kernel holds it: what it has joined from several counts as one.
				self.meta(libc::NFT_META_LEN, REGISTER);
				self.push("byteorder", |a| {
					a.u32(1, REGISTER);
					a.u32(2, REGISTER);
					a.u32(3, libc::NFT_BYTEORDER_HTON as u32);
					a.u32(4, 4);
					a.u32(5, 4);
				});
				self.between(&u32::from(length.first()).to_be_bytes(), &u32::from(length.last()).to_be_bytes());
			}
		}
	}

	fn range(&mut self, ports: PortRange) {
		self.between(&ports.first().to_be_bytes(), &ports.last().to_be_bytes());
	}

	/// Matches where the register holds a value from `first` to `last`, big end first.
	fn between(&mut self, first: &[u8], last: &[u8]) {
		if first == last {
			return self.equals(first);
		}
		self.compare(libc::NFT_CMP_GTE, first);
		self.compare(libc::NFT_CMP_LTE, last);
	}

	/// Matches what exceeds `rate`.
	fn over(&mut self, rate: PacketRate) {
		self.0.nest(ITEM, |a| limit(a, rate));
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
		let ones = match family {
			Family::V4 => Address::V4([0xff; 4]),
			Family::V6 => Address::V6([0xff; 16]),
		};
		self.bits(ones.masked(prefix).octets());
	}

	/// Keeps these bits of the register, of 16 octets at the most.
	fn bits(&mut self, mask: &[u8]) {
		// A mask is at most as long as an address.
		let zeros = [0; 16];
		self.push("bitwise", |a| {
			a.u32(1, REGISTER);
			a.u32(2, REGISTER);
			a.u32(3, mask.len() as u32);
			a.nest(4, |a| a.bytes(VALUE, mask));
			a.nest(5, |a| a.bytes(VALUE, &zeros[..mask.len()]));
		});
	}

	fn equals(&mut self, value: &[u8]) {
		self.compare(libc::NFT_CMP_EQ, value);
	}

	fn compare(&mut self, how: i32, value: &[u8]) {
		self.push("cmp", |a| {
			a.u32(1, REGISTER);
			a.u32(2, how as u32);
			a.nest(3, |a| a.bytes(VALUE, value));
		});
	}

	fn count(&mut self, counter: &str) {
		self.push("objref", |a| {
			a.u32(1, object_attr::COUNTER);
			a.text(2, counter);
		});
	}

	/// Ends the rule: one of `NF_ACCEPT`, `NF_DROP`, `NFT_RETURN`, or `NFT_JUMP` or `NFT_GOTO` to a chain.
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
	use crate::core::ruleset::{Direction, Endpoint, Generation, Network};
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
		let (mut batch, names) = (Batch::new(0), |batch: &Batch, kind: i32| {
			(1..).map_while(|n| batch.describe(n)).filter(|(k, _)| i32::from(*k) == kind).count()
		});
		create(&mut batch, OWNED, &comment(1));
		judge(&mut batch, Mode::Canary);
		let held = [libc::NFT_MSG_NEWCHAIN, libc::NFT_MSG_NEWOBJ, libc::NFT_MSG_NEWSET].map(|kind| names(&batch, kind));
		assert_eq!(uses(0, false) as usize, held.iter().sum::<usize>());
		assert_eq!(BASE_RULES, names(&batch, libc::NFT_MSG_NEWRULE));
		let mut door = Batch::new(0);
		close_door(&mut door);
		assert_eq!(DOOR_RULES, names(&door, libc::NFT_MSG_NEWRULE));
		assert_eq!(uses(3, true), uses(0, false) + 4);
	}

	/// The constants that keep a batch within the send buffer and a list of elements within an attribute.
	#[test]
	fn the_largest_command_is_as_large_as_promised() {
		let shape = Shape::Endpoint(Family::V6);
		let target =
			Target::Endpoint(Endpoint { address: Address::V6([0xff; 16]), protocol: Transport::Sctp, port: u16::MAX });
		let element = Element { key: target.key(), timeout_ms: Some(1), rate: Some(PacketRate::MAX) };
		let generation = Generation::Odd;
		let block = Set::Block { kind: Kind::Limit, direction: Direction::Both, shape, generation };
		let wide: Network = "2001:db8::/120".parse().unwrap();
		let created = [block, Set::exempt(Origin::Local, &wide)].map(|set| {
			let mut batch = Batch::new(0);
			create_set(&mut batch, &set, 1);
			add_rules(&mut batch, &set);
			batch.size()
		});
		let created = created.into_iter().max().unwrap();
		// Headers are shared by many commands; here each stands alone.
		let alone = |add: &dyn Fn(&mut Batch, usize)| {
			let size = |count| {
				let mut batch = Batch::new(0);
				add(&mut batch, count);
				batch.size()
			};
			size(2) - size(1)
		};
		let set = shape.blocks(generation).next().unwrap();
		let removed = alone(&|batch, count| remove_elements(batch, &set, &vec![target.key(); count], false));
		let added = alone(&|batch, count| add_elements(batch, &set, &vec![element; count]));
		assert_eq!((removed, added), (72, 116));
		assert!(created + 9 * removed + added <= COMMAND_BYTES, "{created}");
		let mut batch = Batch::new(0);
		add_elements(&mut batch, &set, &vec![element; ELEMENTS + 1]);
		assert!(!batch.is_malformed());
	}

	/// A signature with everything in it, as no packet has it.
	fn largest_flow() -> Flow {
		let network: Network = "2001:db8:ffff:ffff:ffff:ffff:ffff:fff0/124".parse().unwrap();
		let signature = FlowSignature {
			protocol: Some(6),
			source: Some(network),
			destination: Some(network),
			source_ports: PortRange::new(10_000, 65_535),
			destination_ports: PortRange::new(10_000, 65_534),
			tcp_flags: flow::TcpFlags::new(0xff, 0xfe),
			icmp: Some(flow::IcmpMatch { kind: 128, code: Some(1) }),
			packet_length: flow::LengthRange::new(10_000, 65_534),
		};
		Flow {
			signature,
			action: Action::RateLimit(PacketRate::MAX),
			severity: Severity::Critical,
			home: false,
			ends_ms: 0,
		}
	}

	#[test]
	fn the_largest_flow_is_as_large_as_promised_and_reads_back() {
		let (flow, slot) = (largest_flow(), IN_FORCE as Slot - 1);
		let mut batch = Batch::new(0);
		end_flow(&mut batch, slot);
		begin_flow(&mut batch, slot, &flow, 1);
		add_flow(&mut batch, slot, &flow);
		assert!(batch.size() * IN_FORCE <= FLOW_BYTES, "{}", batch.size());
		// One that can be: what is read is checked.
		let flow = Flow { signature: FlowSignature { icmp: None, ..flow.signature }, ..flow };
		let mut batch = Batch::new(0);
		add_flow(&mut batch, slot, &flow);
		let (_, bytes) = batch.describe(1).unwrap();
		// Longer user data the kernel does not take.
		assert!(attribute(bytes, rule_attr::USERDATA).unwrap().len() <= 256);
		assert_eq!(read_rule(bytes).unwrap().flow, Some((slot, flow)));
	}

	proptest! {
		#[test]
		fn garbage_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
			Header::read(&bytes);
			read_comment(&bytes);
			read_set(&bytes);
			read_counter(&bytes);
			read_rule(&bytes);
			read_left(&bytes);
			for (family, _) in CONTACT_SETS {
				read_contacts(&bytes, family).for_each(drop);
			}
			describe(12, &bytes);
		}
	}
}
