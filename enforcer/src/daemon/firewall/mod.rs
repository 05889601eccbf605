//! The kernel's side: one nftables table of our own, changed by atomic batches over netlink.
//!
//! The kernel holds what is blocked; this module remembers which sets exist, and the few flows. Elements carry timeouts,
//! so a block ends even when this process is dead.
//!
//! # Terms
//!
//! A *generation* is a whole list of blocks. While one is in force the next can be loaded beside it
//! ([`Firewall::loading`]) and then takes its place in one small transaction ([`Firewall::swap`]), at no moment without
//! protection. What was never swapped in is deleted when the table is next adopted.
//!
//! A *contact* is a packet of one of the household's devices to a peer to which packets are dropped.
//!
//! # Ownership
//!
//! Where the kernel can (Linux 6.9), the table is *owned* by this socket and *persists* after it: other processes get
//! EPERM, `nft flush ruleset` leaves it alone, and after a restart the table is still there and in force. It is then
//! adopted when its comment carries the token that the state file remembers. On older kernels nothing keeps others
//! from deleting or changing it, so [`Firewall::is_intact`] is to be asked regularly, and the table rebuilt when it is
//! not. What it cannot see there is another process emptying a set.
//!
//! # Security considerations
//!
//! Only `inet ringfence` is read or changed. CAP_NET_ADMIN is needed, in the user namespace of the network namespace.
//! What the kernel answers is bounds-checked; a table that is not exactly as this program makes it is built anew.
//!
//! Commands come from the chain and from the household, [`Local`] from the owner. What packets can add by themselves is
//! contacts: 2,048 of each family, for a day. Whoever can send from made-up addresses behind the gateway can fill that
//! list, and so hide from it; it blocks nobody.

mod conntrack;
mod netlink;
mod table;

pub use conntrack::{Conntrack, Peers};
pub use netlink::{NetlinkError, Refusal};

pub use crate::core::ruleset::Mode;

use crate::core::{
	flow::{Flow, FlowSignature, FlowTable, Slot},
	ruleset::{
		timeout, Action, Address, Command, Delta, Direction, Generation, Key, Kind, Network, Origin, Set, Side, Target,
	},
};
use netlink::{Batch, Socket};
use serde::{Deserialize, Serialize};
use std::{
	collections::{BTreeMap, BTreeSet},
	time::Instant,
};
use table::{Header, Seen};

/// Commands of one batch at the most, so that an enormous list does not need its size again in memory.
const BATCH_COMMANDS: usize = 16_384;

/// Keys of one question, so that the answers fit into the receive buffer many times over.
const QUESTION_KEYS: usize = 100;
/// Names of uplinks at the most.
const UPLINKS: usize = 16;

/// Why the firewall could not be read or changed. A change that fails leaves everything as it was.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
	/// Netlink itself failed, or the caller lacks CAP_NET_ADMIN.
	#[error("cannot {operation}: {source}")]
	Netlink {
		/// What was being done.
		operation: &'static str,
		/// What happened, in the kernel's words where it had any.
		source: NetlinkError,
	},
	/// The kernel refused a part of a batch, and so all of it.
	#[error("cannot {operation}: {refusal}")]
	Refused {
		/// Which part: `add elements to set drop_both_v4_32`.
		operation: String,
		/// Error number and the kernel's words.
		refusal: Refusal,
	},
	/// Another process, alive, owns the table: most likely another enforcer in this network namespace.
	#[error("the table inet ringfence belongs to another process that is running")]
	Owned,
	/// The table, or a part of it, is gone: open the firewall again and replay.
	#[error("the table inet ringfence is gone or incomplete")]
	Gone,
	/// A whitelist is about what comes in over an uplink, so at least one must be named.
	#[error("a whitelist needs to know which interfaces are uplinks")]
	NoUplink,
	/// No interface can be called so, or there are more than 16.
	#[error("not the name of an interface, or one too many: {0:?}")]
	Interface(String),
	/// Another loading began after this one, and took its place.
	#[error("another loading took the place of this one")]
	Superseded,
}

/// How [`Firewall::open`] found the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
	/// As this program left it: what was blocked still is.
	Adopted,
	/// Missing, foreign or damaged: it is new, and nothing is blocked.
	Rebuilt,
}

/// The owner's word: what no block touches, and how the firewall is to act.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Local {
	/// Never blocked, and blocks that overlap them are refused.
	pub protected: Vec<Network>,
	/// Never blocked, some of them until a set time.
	pub allowed: Vec<Allowed>,
	/// Whether what is to be dropped is dropped.
	pub mode: Mode,
	/// Interfaces that lead to the internet, such as `eth0`: at most 16 names of 1 to 15 bytes. They need not exist.
	pub uplinks: Vec<String>,
	/// Where there is one: the only networks, besides the protected and the allowed, that may begin a flow from an uplink.
	/// Answers, neighbour discovery and DHCP pass. Needs an uplink, and a kernel that tracks connections.
	pub whitelist: Option<Vec<Network>>,
}

/// A network that the household lets pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowed {
	/// The peers.
	pub network: Network,
	/// For how long from now, in milliseconds; for good where absent.
	pub timeout_ms: Option<u64>,
}

impl From<Network> for Allowed {
	fn from(network: Network) -> Self {
		Self { network, timeout_ms: None }
	}
}

impl Local {
	fn check(&self) -> Result<(), FirewallError> {
		if self.whitelist.is_some() && self.uplinks.is_empty() {
			return Err(FirewallError::NoUplink);
		}
		let fits = |name: &str| {
			(1..=15).contains(&name.len()) && !name.contains(['/', '\0']) && !name.contains(char::is_whitespace)
		};
		match self.uplinks.iter().enumerate().find(|(index, name)| *index >= UPLINKS || !fits(name)) {
			Some((_, name)) => Err(FirewallError::Interface(name.clone())),
			None => Ok(()),
		}
	}

	fn lists(&self) -> impl Iterator<Item = (Origin, Network, Option<u64>)> + '_ {
		let protected = self.protected.iter().map(|network| (Origin::Local, *network, None));
		let allowed = self.allowed.iter().map(|allowed| (Origin::Allowed, allowed.network, allowed.timeout_ms));
		let listed = self.whitelist.iter().flatten().map(|network| (Origin::Listed, *network, None));
		protected.chain(allowed).chain(listed)
	}
}

/// What did not become of commands, although nothing failed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
	/// Flows for which there is no room even to wait: they are forgotten.
	pub refused: Vec<FlowSignature>,
	/// Flows that wait, and are in force as soon as a more severe one ends.
	pub waiting: Vec<FlowSignature>,
}

impl Applied {
	fn extend(&mut self, other: Self) {
		self.refused.extend(other.refused);
		self.waiting.extend(other.waiting);
	}
}

/// A list on its way into the kernel beside the one in force. Made by [`Firewall::loading`].
#[derive(Debug)]
#[must_use = "a loading is to be swapped in or abandoned"]
pub struct Loading {
	number: u64,
	protected: BTreeSet<Network>,
	flows: FlowTable,
}

/// How a target is blocked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
	/// The way of acting.
	pub kind: Kind,
	/// The packets meant.
	pub direction: Direction,
	/// Milliseconds until the kernel forgets it.
	pub left_ms: u64,
}

/// A device that sent packets to a blocked peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Contact {
	/// The device.
	pub device: Address,
	/// The peer.
	pub peer: Address,
	/// Milliseconds since the last such packet.
	pub last_ms_ago: u64,
}

/// What the kernel can do; see [`Features::detect`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
	/// Tables with the flags owner and persist (Linux 6.9).
	pub owner: bool,
	/// Removal that tolerates missing elements (Linux 6.3).
	pub destroy: bool,
}

/// Packets and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Count {
	/// Packets.
	pub packets: u64,
	/// Bytes, IP headers included.
	pub bytes: u64,
}

/// Packets from and to peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sides {
	/// From the peer.
	pub inbound: Count,
	/// To the peer.
	pub outbound: Count,
}

/// What the rules have done since the table was built.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
	/// Dropped.
	pub dropped: Sides,
	/// Dropped because they exceeded a rate.
	pub limited: Sides,
	/// Only counted.
	pub watched: Sides,
	/// Let through as a canary's, and else dropped.
	pub spared: Sides,
	/// Kept out by the whitelist.
	pub barred: Count,
}

/// The table `inet ringfence` of the network namespace in which it was opened. May be used from any thread.
pub struct Firewall {
	socket: Socket,
	features: Features,
	handle: u64,
	/// The sets that rules read.
	sets: BTreeSet<Set>,
	/// Which of them are the list in force.
	generation: Generation,
	/// The sets of the other generation, which no rule reads.
	loaded: BTreeSet<Set>,
	/// Counted up with each loading.
	loadings: u64,
	flows: FlowTable,
	/// What the ends of flows are counted from.
	start: Instant,
	/// Whether a whitelist is in force.
	door: bool,
	/// The rule set's revision when the table was last seen whole, counted on with each batch of ours.
	revision: u32,
}

/// A table as it was found.
#[derive(Default)]
struct Found {
	sets: BTreeSet<Set>,
	generation: Generation,
	/// Sets of a list that was never swapped in.
	leftovers: BTreeSet<Set>,
	flows: FlowTable,
	door: bool,
}

impl Features {
	/// Finds out what the kernel can do, without changing anything.
	pub fn detect() -> Result<Self, FirewallError> {
		Self::probe(&mut open_socket()?)
	}

	fn probe(socket: &mut Socket) -> Result<Self, FirewallError> {
		let mut batch = socket.batch();
		table::probe(&mut batch);
		match socket.commit(&mut batch) {
			Err(NetlinkError::Refused(refusals)) if refusals.iter().all(|refusal| refusal.message > 0) => {
				let refused = |message, errnos: &[i32]| {
					refusals.iter().any(|refusal| refusal.message == message && errnos.contains(&refusal.errno))
				};
				Ok(Self {
					owner: !refused(1, &[libc::EINVAL, libc::EOPNOTSUPP]),
					destroy: !refused(2, &[libc::EINVAL, libc::EOPNOTSUPP]),
				})
			}
			Err(source) => Err(FirewallError::Netlink { operation: "use nf_tables", source }),
			Ok(()) => Err(FirewallError::Netlink {
				operation: "use nf_tables",
				source: NetlinkError::Unexpected("a table that does not exist was deleted"),
			}),
		}
	}

	fn table_flags(self) -> u32 {
		match self.owner {
			true => table::OWNED,
			false => 0,
		}
	}
}

fn open_socket() -> Result<Socket, FirewallError> {
	Socket::open().map_err(|source| FirewallError::Netlink { operation: "open a netfilter socket", source })
}

fn reading(operation: &'static str) -> impl Fn(NetlinkError) -> FirewallError {
	move |source| match source.errno() {
		Some(libc::ENOENT) => FirewallError::Gone,
		_ => FirewallError::Netlink { operation, source },
	}
}

impl Firewall {
	/// Opens the table in the calling thread's network namespace.
	///
	/// Adopts it where it exists, is well-formed and was made under `token`; else builds it anew, empty, under `token`.
	/// Either way `local` replaces the owner's word that it had. Fails where another process owns it, and where `local`
	/// cannot be: see [`Local`].
	pub fn open(token: u64, local: &Local) -> Result<(Self, Opened), FirewallError> {
		Self::open_with(token, local, Features::detect()?)
	}

	/// Like [`Firewall::open`], as on a kernel that can do no more than `features`.
	pub fn open_with(token: u64, local: &Local, features: Features) -> Result<(Self, Opened), FirewallError> {
		local.check()?;
		let mut firewall = Self {
			socket: open_socket()?,
			features,
			handle: 0,
			sets: BTreeSet::new(),
			generation: Generation::default(),
			loaded: BTreeSet::new(),
			loadings: 0,
			flows: FlowTable::default(),
			start: Instant::now(),
			door: false,
			revision: 0,
		};
		let header = firewall.header()?;
		if let Some(found) = firewall.adoptable(header.as_ref(), &table::comment(token))? {
			match firewall.adopt(found, local) {
				Ok(()) => return firewall.settled(Opened::Adopted),
				// Someone changed or deleted it since it was looked at, or the kernel cannot adopt it.
				Err(FirewallError::Refused { .. }) => (),
				Err(error) => return Err(error),
			}
		}
		firewall.build(token, local)?;
		firewall.settled(Opened::Rebuilt)
	}

	fn settled(mut self, opened: Opened) -> Result<(Self, Opened), FirewallError> {
		self.revision = self.read_revision()?;
		self.handle = self.header()?.ok_or(FirewallError::Gone)?.handle;
		match self.is_whole()? {
			true => Ok((self, opened)),
			false => Err(FirewallError::Gone),
		}
	}

	/// What is in the table, where it is one that this program made under `comment`.
	fn adoptable(&mut self, header: Option<&Header>, comment: &str) -> Result<Option<Found>, FirewallError> {
		// Persistence cannot be given to a table that was made without, nor taken from one that has it.
		let ours = |header: &&Header| {
			header.comment.as_deref() == Some(comment)
				&& header.flags & table::PERSIST == self.features.table_flags() & table::PERSIST
		};
		let Some(header) = header.filter(ours) else { return Ok(None) };
		let mut list = |kind, operation| match self.socket.dump(kind, table::ours) {
			Ok(dumped) => Ok(Some(dumped)),
			Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
			Err(source) => Err(FirewallError::Netlink { operation, source }),
		};
		let Some(sets) = list(libc::NFT_MSG_GETSET, "list the sets")? else { return Ok(None) };
		let Some(rules) = list(libc::NFT_MSG_GETRULE, "list the rules")? else { return Ok(None) };
		let Some(sets) = sets.iter().map(|reply| table::read_set(reply)).collect::<Option<Vec<_>>>() else {
			return Ok(None);
		};
		let Some(rules) = rules.iter().map(|reply| table::read_rule(reply)).collect::<Option<Vec<_>>>() else {
			return Ok(None);
		};

		let mut found = Found { door: rules.iter().any(|rule| rule.newcomer), ..Found::default() };
		let read: BTreeSet<Generation> = rules.iter().filter_map(|rule| rule.set?.generation()).collect();
		if read.len() > 1 {
			return Ok(None);
		}
		let in_force = read.first().copied();
		found.generation = in_force.unwrap_or_default();
		let mut slots = BTreeSet::new();
		for seen in sets {
			match seen {
				Seen::Set(set) if set.generation().is_none() || set.generation() == in_force => {
					found.sets.insert(set);
				}
				Seen::Set(set) => {
					found.leftovers.insert(set);
				}
				Seen::Flow(slot, shape) => {
					slots.insert((slot, shape.family()));
				}
				Seen::Fixed => (),
			}
		}
		let mut flows = Vec::new();
		let mut claimed = BTreeSet::new();
		let now = self.now();
		for (slot, flow) in rules.iter().filter_map(|rule| rule.flow) {
			let Some((_, peer)) = crate::core::flow::peer(&flow.signature) else { return Ok(None) };
			claimed.insert((slot, Target::Network(peer).shape().family()));
			// What has ended meanwhile is cleared away at the next occasion.
			flows.push((slot, Flow { ends_ms: now.saturating_add(self.flow_left(slot)?), ..flow }));
		}
		let Some(flows) = FlowTable::restore(flows).filter(|_| claimed == slots) else { return Ok(None) };
		found.flows = flows;
		let total = found.sets.len() + found.leftovers.len() + slots.len();
		let whole = header.uses == table::uses(total, found.door)
			&& rules.len() == expected_rules(&found.sets, &found.flows, found.door);
		Ok(whole.then_some(found))
	}

	/// Milliseconds that a flow has left; 0 if it is over.
	fn flow_left(&mut self, slot: Slot) -> Result<u64, FirewallError> {
		let name = table::flow_set(slot);
		let dumped = self.socket.dump(libc::NFT_MSG_GETSETELEM, |a| table::ours_elements(a, &name));
		let replies = dumped.map_err(reading("read a flow"))?;
		Ok(replies.first().and_then(|reply| table::read_left(reply)).unwrap_or_default())
	}

	fn adopt(&mut self, found: Found, local: &Local) -> Result<(), FirewallError> {
		let mut batch = self.socket.batch();
		table::adopt(&mut batch, self.features.table_flags());
		found.leftovers.iter().for_each(|set| table::delete_set(&mut batch, set));
		(self.sets, self.generation, self.flows, self.door) = (found.sets, found.generation, found.flows, found.door);
		self.commit_local(batch, local)
	}

	fn build(&mut self, token: u64, local: &Local) -> Result<(), FirewallError> {
		(self.sets, self.generation, self.flows, self.door) = Default::default();
		let mut batch = self.socket.batch();
		if self.header()?.is_some() {
			table::delete(&mut batch);
		}
		table::create(&mut batch, self.features.table_flags(), &table::comment(token));
		self.commit_local(batch, local)
	}

	fn commit_local(&mut self, mut batch: Batch, local: &Local) -> Result<(), FirewallError> {
		for set in &self.sets {
			if matches!(set, Set::Exempt { origin: Origin::Local | Origin::Allowed | Origin::Listed, .. }) {
				table::flush_set(&mut batch, set);
			}
		}
		let delta = Delta::lists(local.lists(), &self.sets);
		self.render(&mut batch, &delta);
		table::judge(&mut batch, local.mode);
		table::uplinks(&mut batch, &local.uplinks);
		let door = local.whitelist.is_some();
		match (self.door, door) {
			(false, true) => table::close_door(&mut batch),
			(true, false) => table::open_door(&mut batch),
			_ => (),
		}
		self.commit(batch)?;
		self.sets.extend(delta.create);
		self.door = door;
		Ok(())
	}

	/// Replaces the owner's word, what [`Command::Allow`] added to it included, in one step.
	pub fn reconfigure(&mut self, local: &Local) -> Result<(), FirewallError> {
		local.check()?;
		let batch = self.socket.batch();
		self.commit_local(batch, local)
	}

	/// Carries out `commands`, all or nothing: after an error everything is as it was.
	///
	/// Lists of up to [`Firewall::atomic_commands`] are one batch. A longer one becomes several, each whole commands;
	/// since every command is an upsert, doing the list again after an error in the middle is all that is needed.
	pub fn apply(&mut self, commands: &[Command]) -> Result<Applied, FirewallError> {
		let mut applied = Applied::default();
		for chunk in commands.chunks(self.atomic_commands()) {
			let delta = Delta::new(chunk, &self.sets, self.generation);
			let revised = revise(&self.flows, chunk, self.now());
			let mut batch = self.socket.batch();
			self.render(&mut batch, &delta);
			if let Some((flows, _)) = &revised {
				self.render_flows(&mut batch, flows);
			}
			self.commit(batch)?;
			self.sets.extend(delta.create);
			if let Some((flows, told)) = revised {
				self.flows = flows;
				applied.extend(told);
			}
		}
		Ok(applied)
	}

	/// Lets flows that wait take the place of those that have ended. To be called about once a second; costs next to
	/// nothing while no flow ends.
	pub fn tend(&mut self) -> Result<(), FirewallError> {
		let now = self.now();
		if !self.flows.is_due(now) {
			return Ok(());
		}
		let mut flows = self.flows.clone();
		flows.expire(now);
		flows.settle();
		let mut batch = self.socket.batch();
		self.render_flows(&mut batch, &flows);
		self.commit(batch)?;
		self.flows = flows;
		Ok(())
	}

	/// Flows in force, and flows that wait.
	pub fn flows(&self) -> (usize, usize) {
		self.flows.count()
	}

	/// Begins a new list beside the one in force. What an earlier loading left is deleted.
	pub fn loading(&mut self) -> Result<Loading, FirewallError> {
		self.drop_loaded()?;
		self.loadings = self.loadings.wrapping_add(1);
		Ok(Loading { number: self.loadings, protected: BTreeSet::new(), flows: FlowTable::default() })
	}

	/// Adds to a list. A target may come once in all of it. What the household lets pass ([`Command::Allow`],
	/// [`Command::Disallow`]) is no part of a list and takes effect at once.
	///
	/// After an error the list is incomplete, and only good to be abandoned.
	pub fn load(&mut self, loading: &mut Loading, commands: &[Command]) -> Result<Applied, FirewallError> {
		self.is_latest(loading)?;
		let mut applied = Applied::default();
		for chunk in commands.chunks(self.atomic_commands()) {
			let delta = Delta::fill(chunk, &self.loaded, self.generation.other());
			let mut batch = self.socket.batch();
			self.render_sets(&mut batch, &delta);
			self.commit(batch)?;
			self.loaded.extend(delta.create);
			let mut others = Vec::new();
			let mut unblocked = Vec::new();
			for command in chunk {
				match *command {
					Command::Protect(network) => {
						loading.protected.insert(network);
					}
					Command::Unprotect(network) => {
						loading.protected.remove(&network);
					}
					Command::Unblock { .. } => unblocked.push(*command),
					Command::Allow { .. } | Command::Disallow(_) => others.push(*command),
					Command::Block { .. } | Command::BlockFlow { .. } | Command::UnblockFlow { .. } => (),
				}
			}
			if !unblocked.is_empty() {
				let delta = Delta::new(&unblocked, &self.loaded, self.generation.other());
				let mut batch = self.socket.batch();
				self.render_sets(&mut batch, &delta);
				self.commit(batch)?;
			}
			if !others.is_empty() {
				self.apply(&others)?;
			}
			if let Some((flows, told)) = revise(&loading.flows, chunk, self.now()) {
				loading.flows = flows;
				applied.extend(told);
			}
		}
		Ok(applied)
	}

	/// Puts a list in force: from then on exactly its blocks, flows and protected networks count. One small transaction,
	/// however long the list; after an error the old one is in force still.
	pub fn swap(&mut self, loading: Loading) -> Result<(), FirewallError> {
		self.is_latest(&loading)?;
		let mut batch = self.socket.batch();
		table::flush_blocks(&mut batch);
		for set in &self.sets {
			match set {
				Set::Block { .. } => table::delete_set(&mut batch, set),
				Set::Exempt { origin: Origin::Chain, .. } => table::flush_set(&mut batch, set),
				Set::Exempt { .. } => (),
			}
		}
		self.loaded.iter().for_each(|set| table::add_rules(&mut batch, set));
		let protected = loading.protected.iter().map(|network| (Origin::Chain, *network, None));
		let delta = Delta::lists(protected, &self.sets);
		self.render(&mut batch, &delta);
		self.render_flows(&mut batch, &loading.flows);
		self.commit(batch)?;
		self.sets.retain(|set| set.generation().is_none());
		self.sets.append(&mut self.loaded);
		self.sets.extend(delta.create);
		self.generation = self.generation.other();
		self.flows = loading.flows;
		Ok(())
	}

	/// Deletes a list that is not to be put in force.
	pub fn abandon(&mut self, loading: Loading) -> Result<(), FirewallError> {
		match loading.number == self.loadings {
			true => self.drop_loaded(),
			false => Ok(()),
		}
	}

	fn is_latest(&self, loading: &Loading) -> Result<(), FirewallError> {
		match loading.number == self.loadings {
			true => Ok(()),
			false => Err(FirewallError::Superseded),
		}
	}

	fn drop_loaded(&mut self) -> Result<(), FirewallError> {
		let mut batch = self.socket.batch();
		self.loaded.iter().for_each(|set| table::delete_set(&mut batch, set));
		self.commit(batch)?;
		self.loaded.clear();
		Ok(())
	}

	/// Those of `expected` that are not blocked in just this way; the rate of a limit is not looked at. Asks for these
	/// alone, 100 at a time, so that the cost does not depend on how much is blocked.
	pub fn missing(&mut self, expected: &[(Target, Direction, Action)]) -> Result<Vec<Target>, FirewallError> {
		let mut missing = Vec::new();
		let mut by_set: BTreeMap<Set, Vec<Target>> = BTreeMap::new();
		for (target, direction, action) in expected {
			let (kind, shape, generation) = (Kind::of(action), target.shape(), self.generation);
			let set = Set::Block { kind, direction: *direction, shape, generation };
			match self.sets.contains(&set) {
				true => by_set.entry(set).or_default().push(*target),
				false => missing.push(*target),
			}
		}
		for (set, targets) in by_set {
			let name = set.to_string();
			for chunk in targets.chunks(QUESTION_KEYS) {
				let mut rest = chunk;
				while !rest.is_empty() {
					let keys: Vec<Key> = rest.iter().map(Target::key).collect();
					// The kernel stops at the first that it does not have.
					let found = self
						.socket
						.found(libc::NFT_MSG_GETSETELEM, |a| table::ours_keys(a, &name, &keys))
						.map_err(reading("look elements up"))?;
					missing.extend(rest.get(found));
					rest = rest.get(found.saturating_add(1)..).unwrap_or_default();
				}
			}
		}
		Ok(missing)
	}

	/// How a target is blocked: this very target, not what contains it.
	pub fn holds(&mut self, target: &Target) -> Result<Option<Held>, FirewallError> {
		for set in target.shape().blocks(self.generation).filter(|set| self.sets.contains(set)).collect::<Vec<_>>() {
			let Set::Block { kind, direction, .. } = set else { continue };
			let name = set.to_string();
			let reply = self
				.socket
				.get(libc::NFT_MSG_GETSETELEM, |a| table::ours_keys(a, &name, &[target.key()]))
				.map_err(reading("look an element up"))?;
			if let Some(left_ms) = reply.and_then(|reply| table::read_left(&reply)) {
				return Ok(Some(Held { kind, direction, left_ms }));
			}
		}
		Ok(None)
	}

	/// Which devices sent packets to blocked peers in the last day, the latest first: 2,048 of each family at the most.
	/// Those that came in over an uplink do not count.
	pub fn contacts(&mut self) -> Result<Vec<Contact>, FirewallError> {
		let mut contacts = Vec::new();
		for (family, name) in table::CONTACT_SETS {
			let dumped = self.socket.dump(libc::NFT_MSG_GETSETELEM, |a| table::ours_elements(a, name));
			for reply in dumped.map_err(reading("list the contacts"))? {
				contacts.extend(table::read_contacts(&reply, family).map(|(device, peer, left_ms)| Contact {
					device,
					peer,
					last_ms_ago: table::CONTACT_MS.saturating_sub(left_ms),
				}));
			}
		}
		contacts.sort_by_key(|contact| contact.last_ms_ago);
		Ok(contacts)
	}

	/// Commands that [`Firewall::apply`] carries out in one batch: 16,384, or as many as fit into the send buffer where
	/// the kernel did not let it be raised.
	pub fn atomic_commands(&self) -> usize {
		(self.socket.batch_limit().saturating_sub(table::FLOW_BYTES) / table::COMMAND_BYTES).clamp(1, BATCH_COMMANDS)
	}

	/// Whether the table is still there, ours and whole. Costs microseconds while nobody else changes any rule set.
	pub fn is_intact(&mut self) -> Result<bool, FirewallError> {
		let revision = self.read_revision()?;
		if revision == self.revision {
			return Ok(true);
		}
		let whole = self.is_whole()?;
		if whole {
			self.revision = revision;
		}
		Ok(whole)
	}

	/// What the rules have done since the table was built.
	pub fn counters(&mut self) -> Result<Counters, FirewallError> {
		let mut sides = |name: &dyn Fn(Side) -> &'static str| -> Result<Sides, FirewallError> {
			Ok(Sides { inbound: self.counter(name(Side::From))?, outbound: self.counter(name(Side::To))? })
		};
		Ok(Counters {
			dropped: sides(&|side| table::counter(Kind::Drop, side))?,
			limited: sides(&|side| table::counter(Kind::Limit, side))?,
			watched: sides(&|side| table::counter(Kind::Watch, side))?,
			spared: sides(&table::spared)?,
			barred: self.counter(table::BARRED)?,
		})
	}

	/// What the kernel can do.
	pub fn features(&self) -> Features {
		self.features
	}

	/// Deletes the table: from then on nothing is blocked.
	pub fn remove(mut self) -> Result<(), FirewallError> {
		let mut batch = self.socket.batch();
		table::delete(&mut batch);
		self.commit(batch)
	}

	/// Puts what `delta` changes into a batch, with the rules of new sets.
	fn render(&self, batch: &mut Batch, delta: &Delta) {
		self.render_sets(batch, delta);
		delta.create.iter().for_each(|set| table::add_rules(batch, set));
	}

	/// The same without the rules.
	fn render_sets(&self, batch: &mut Batch, delta: &Delta) {
		for (id, set) in (1_u32..).zip(&delta.create) {
			table::create_set(batch, set, id);
		}
		for (set, keys) in &delta.remove {
			table::remove_elements(batch, set, keys, self.features.destroy);
		}
		for (set, elements) in &delta.add {
			table::add_elements(batch, set, elements);
		}
	}

	/// Puts what leads from the flows in force to `new` into a batch.
	fn render_flows(&self, batch: &mut Batch, new: &FlowTable) {
		let (delta, now) = (self.flows.delta(new), self.now());
		let left = |flow: &Flow| timeout(flow.ends_ms.saturating_sub(now));
		if delta.rules {
			table::flush_flows(batch);
		}
		delta.ended.iter().for_each(|slot| table::end_flow(batch, *slot));
		delta.begun.iter().for_each(|(slot, flow)| table::begin_flow(batch, *slot, flow, left(flow)));
		for (slot, flow) in &delta.renewed {
			table::renew_flow(batch, *slot, flow, left(flow), Some(self.features.destroy));
		}
		if delta.rules {
			new.in_force().iter().for_each(|(slot, flow)| table::add_flow(batch, *slot, flow));
		}
	}

	/// Milliseconds since this was opened.
	fn now(&self) -> u64 {
		u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
	}

	fn commit(&mut self, mut batch: Batch) -> Result<(), FirewallError> {
		if batch.is_empty() {
			return Ok(());
		}
		match self.socket.commit(&mut batch) {
			Ok(()) => {
				// As the kernel counts. Where somebody else's change came between, the guess is wrong, and the next
				// `is_intact` looks closely.
				self.revision = self.revision.wrapping_add(1).max(1);
				Ok(())
			}
			Err(NetlinkError::Refused(mut refusals)) => {
				let refusal = refusals.swap_remove(0);
				match batch.describe(refusal.message).filter(|_| refusal.message > 0) {
					// The kernel looks at the caller's rights before the first message.
					Some(_) if refusal.errno == libc::EPERM => Err(FirewallError::Owned),
					Some((kind, bytes)) => {
						Err(FirewallError::Refused { operation: table::describe(kind, bytes), refusal })
					}
					None => Err(FirewallError::Netlink {
						operation: "change the table",
						source: NetlinkError::Refused(vec![refusal]),
					}),
				}
			}
			Err(source) => Err(FirewallError::Netlink { operation: "change the table", source }),
		}
	}

	fn header(&mut self) -> Result<Option<Header>, FirewallError> {
		let reply = self
			.socket
			.get(libc::NFT_MSG_GETTABLE, table::ours)
			.map_err(|source| FirewallError::Netlink { operation: "read the table", source })?;
		match reply.map(|reply| Header::read(&reply)) {
			Some(None) => Err(FirewallError::Netlink {
				operation: "read the table",
				source: NetlinkError::Unexpected("a table without flags or handle"),
			}),
			header => Ok(header.flatten()),
		}
	}

	fn is_whole(&mut self) -> Result<bool, FirewallError> {
		let Some(header) = self.header()? else { return Ok(false) };
		if header.handle != self.handle
			|| header.uses != table::uses(self.sets.len() + self.loaded.len() + self.flows.count().0, self.door)
			|| header.flags & table::OWNED != self.features.table_flags()
		{
			return Ok(false);
		}
		match self.rules() {
			Ok(rules) => Ok(rules == expected_rules(&self.sets, &self.flows, self.door)),
			Err(FirewallError::Gone) => Ok(false),
			Err(error) => Err(error),
		}
	}

	fn rules(&mut self) -> Result<usize, FirewallError> {
		let dumped = self.socket.dump(libc::NFT_MSG_GETRULE, table::ours);
		dumped.map(|replies| replies.len()).map_err(reading("list the rules"))
	}

	fn read_revision(&mut self) -> Result<u32, FirewallError> {
		let reply = self.socket.get(libc::NFT_MSG_GETGEN, |_| ()).map_err(reading("read the revision"))?;
		reply.as_deref().and_then(table::read_revision).ok_or(FirewallError::Netlink {
			operation: "read the revision",
			source: NetlinkError::Unexpected("no revision"),
		})
	}

	fn counter(&mut self, name: &'static str) -> Result<Count, FirewallError> {
		let reply = self
			.socket
			.get(libc::NFT_MSG_GETOBJ, |a| table::ours_counter(a, name))
			.map_err(reading("read a counter"))?
			.ok_or(FirewallError::Gone)?;
		let (packets, bytes) = table::read_counter(&reply).ok_or(FirewallError::Netlink {
			operation: "read a counter",
			source: NetlinkError::Unexpected("a counter without numbers"),
		})?;
		Ok(Count { packets, bytes })
	}
}

fn expected_rules(sets: &BTreeSet<Set>, flows: &FlowTable, door: bool) -> usize {
	let read: usize = sets.iter().map(|set| set.rules().count()).sum();
	table::BASE_RULES + read + flows.count().0 + if door { table::DOOR_RULES } else { 0 }
}

/// The flows of `table` after `commands`, and what did not find a place; none where no command is about a flow.
fn revise(table: &FlowTable, commands: &[Command], now: u64) -> Option<(FlowTable, Applied)> {
	let mut revised: Option<FlowTable> = None;
	let (mut told, mut touched) = (Applied::default(), BTreeSet::new());
	let begin = || {
		let mut table = table.clone();
		table.expire(now);
		table
	};
	for command in commands {
		match *command {
			Command::BlockFlow { flow: signature, action, severity, home, timeout_ms } => {
				let ends_ms = now.saturating_add(timeout(timeout_ms));
				told.refused.extend(revised.get_or_insert_with(begin).put(Flow {
					signature,
					action,
					severity,
					home,
					ends_ms,
				}));
				touched.insert(signature);
			}
			Command::UnblockFlow { flow } => revised.get_or_insert_with(begin).remove(&flow),
			_ => (),
		}
	}
	let mut revised = revised?;
	revised.settle();
	touched.extend(table.in_force().into_iter().map(|(_, flow)| flow.signature));
	told.waiting.extend(touched.iter().filter(|signature| revised.waits(signature)).copied());
	Some((revised, told))
}
