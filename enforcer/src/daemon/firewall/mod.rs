//! The kernel's side: one nftables table of our own, changed by atomic batches over netlink.
//!
//! The kernel is the only copy of what is blocked; this module remembers nothing but which sets exist. Elements carry
//! timeouts, so a block ends even when this process is dead.
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

mod netlink;
mod table;

pub use netlink::{NetlinkError, Refusal};

use crate::core::ruleset::{Command, Delta, Kind, Network, Origin, Set, Side};
use netlink::{Batch, Socket};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use table::Header;

/// Commands of one batch at the most, so that an enormous list does not need its size again in memory.
const BATCH_COMMANDS: usize = 16_384;

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
}

/// How [`Firewall::open`] found the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
	/// As this program left it: what was blocked still is.
	Adopted,
	/// Missing, foreign or damaged: it is new, and nothing is blocked.
	Rebuilt,
}

/// Networks that no block touches, by the owner's word.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Exempt {
	/// Never blocked, and blocks that overlap them are refused.
	pub protected: Vec<Network>,
	/// Never blocked.
	pub allowed: Vec<Network>,
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
pub struct Counters {
	/// Dropped.
	pub dropped: Sides,
	/// Dropped because they exceeded a rate.
	pub limited: Sides,
	/// Only counted.
	pub watched: Sides,
}

/// The table `inet ringfence` of the network namespace in which it was opened. May be used from any thread.
pub struct Firewall {
	socket: Socket,
	features: Features,
	handle: u64,
	sets: BTreeSet<Set>,
	/// The rule set's generation when the table was last seen whole, counted on with each batch of ours.
	generation: u32,
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
	/// Either way `exempt` replaces the local lists that it had. Fails where another process owns it.
	pub fn open(token: u64, exempt: &Exempt) -> Result<(Self, Opened), FirewallError> {
		Self::open_with(token, exempt, Features::detect()?)
	}

	/// Like [`Firewall::open`], as on a kernel that can do no more than `features`.
	pub fn open_with(token: u64, exempt: &Exempt, features: Features) -> Result<(Self, Opened), FirewallError> {
		let mut firewall = Self { socket: open_socket()?, features, handle: 0, sets: BTreeSet::new(), generation: 0 };
		let header = firewall.header()?;
		if let Some(sets) = firewall.adoptable(header.as_ref(), &table::comment(token))? {
			firewall.sets = sets;
			match firewall.adopt(exempt) {
				Ok(()) => return firewall.settled(Opened::Adopted),
				// Someone changed or deleted it since it was looked at, or the kernel cannot adopt it.
				Err(FirewallError::Refused { .. }) => (),
				Err(error) => return Err(error),
			}
		}
		firewall.build(token, exempt)?;
		firewall.settled(Opened::Rebuilt)
	}

	fn settled(mut self, opened: Opened) -> Result<(Self, Opened), FirewallError> {
		self.generation = self.read_generation()?;
		self.handle = self.header()?.ok_or(FirewallError::Gone)?.handle;
		match self.is_whole()? {
			true => Ok((self, opened)),
			false => Err(FirewallError::Gone),
		}
	}

	/// The sets of the table, where it is one that this program made under `comment`.
	fn adoptable(&mut self, header: Option<&Header>, comment: &str) -> Result<Option<BTreeSet<Set>>, FirewallError> {
		// Persistence cannot be given to a table that was made without, nor taken from one that has it.
		let ours = |header: &&Header| {
			header.comment.as_deref() == Some(comment)
				&& header.flags & table::PERSIST == self.features.table_flags() & table::PERSIST
		};
		let Some(header) = header.filter(ours) else { return Ok(None) };
		let dumped = match self.socket.dump(libc::NFT_MSG_GETSET, table::ours) {
			Ok(dumped) => dumped,
			Err(error) if error.errno() == Some(libc::ENOENT) => return Ok(None),
			Err(source) => return Err(FirewallError::Netlink { operation: "list the sets", source }),
		};
		let sets: Option<BTreeSet<Set>> = dumped.iter().map(|reply| table::read_set(reply)).collect();
		let Some(sets) = sets else { return Ok(None) };
		let whole = header.uses == table::uses(sets.len()) && self.rules()? == expected_rules(&sets);
		Ok(whole.then_some(sets))
	}

	fn adopt(&mut self, exempt: &Exempt) -> Result<(), FirewallError> {
		let mut batch = self.socket.batch();
		table::adopt(&mut batch, self.features.table_flags());
		for set in &self.sets {
			if matches!(set, Set::Exempt { origin: Origin::Local | Origin::Allowed, .. }) {
				table::flush_set(&mut batch, set);
			}
		}
		self.commit_exempt(batch, exempt)
	}

	fn build(&mut self, token: u64, exempt: &Exempt) -> Result<(), FirewallError> {
		self.sets.clear();
		let mut batch = self.socket.batch();
		if self.header()?.is_some() {
			table::delete(&mut batch);
		}
		table::create(&mut batch, self.features.table_flags(), &table::comment(token));
		self.commit_exempt(batch, exempt)
	}

	fn commit_exempt(&mut self, mut batch: Batch, exempt: &Exempt) -> Result<(), FirewallError> {
		let mut sets = self.sets.clone();
		for (origin, networks) in [(Origin::Local, &exempt.protected), (Origin::Allowed, &exempt.allowed)] {
			let delta = Delta::exempt(origin, networks, &sets);
			self.render(&mut batch, &delta, sets.len());
			sets.extend(delta.create);
		}
		self.commit(batch)?;
		self.sets = sets;
		Ok(())
	}

	/// Carries out `commands`, all or nothing: after an error everything is as it was.
	///
	/// Lists of up to [`Firewall::atomic_commands`] are one batch. A longer one becomes several, each whole commands;
	/// since every command is an upsert, doing the list again after an error in the middle is all that is needed.
	pub fn apply(&mut self, commands: &[Command]) -> Result<(), FirewallError> {
		for chunk in commands.chunks(self.atomic_commands()) {
			let delta = Delta::new(chunk, &self.sets);
			if delta.is_empty() {
				continue;
			}
			let mut batch = self.socket.batch();
			self.render(&mut batch, &delta, self.sets.len());
			self.commit(batch)?;
			self.sets.extend(delta.create);
		}
		Ok(())
	}

	/// Commands that [`Firewall::apply`] carries out in one batch: 16,384, or as many as fit into the send buffer where
	/// the kernel did not let it be raised.
	pub fn atomic_commands(&self) -> usize {
		(self.socket.batch_limit() / table::COMMAND_BYTES).clamp(1, BATCH_COMMANDS)
	}

	/// Whether the table is still there, ours and whole. Costs microseconds while nobody else changes any rule set.
	pub fn is_intact(&mut self) -> Result<bool, FirewallError> {
		let generation = self.read_generation()?;
		if generation == self.generation {
			return Ok(true);
		}
		let whole = self.is_whole()?;
		if whole {
			self.generation = generation;
		}
		Ok(whole)
	}

	/// What the rules have done since the table was built.
	pub fn counters(&mut self) -> Result<Counters, FirewallError> {
		let mut sides =
			|kind| Ok(Sides { inbound: self.counter(kind, Side::From)?, outbound: self.counter(kind, Side::To)? });
		Ok(Counters { dropped: sides(Kind::Drop)?, limited: sides(Kind::Limit)?, watched: sides(Kind::Watch)? })
	}

	/// The networks that the chain protects, as the table has them: what a policy has to know again after a restart with
	/// an adopted table.
	pub fn protected_by_chain(&mut self) -> Result<Vec<Network>, FirewallError> {
		let mut networks = Vec::new();
		for set in &self.sets {
			let Set::Exempt { origin: Origin::Chain, .. } = set else { continue };
			let replies = self
				.socket
				.dump(libc::NFT_MSG_GETSETELEM, |a| table::ours_elements(a, set))
				.map_err(reading("list the protected networks"))?;
			networks.extend(replies.iter().flat_map(|reply| table::read_networks(reply, set)));
		}
		Ok(networks)
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

	fn render(&self, batch: &mut Batch, delta: &Delta, sets: usize) {
		// A set's number has to be unique within its batch only, and from 1; there are 1,942 possible sets.
		for (id, set) in (1_u32..).zip(&delta.create) {
			table::create_set(batch, set, id.saturating_add(sets as u32));
		}
		for (set, keys) in &delta.remove {
			table::remove_elements(batch, set, keys, self.features.destroy);
		}
		for (set, elements) in &delta.add {
			table::add_elements(batch, set, elements);
		}
	}

	fn commit(&mut self, mut batch: Batch) -> Result<(), FirewallError> {
		match self.socket.commit(&mut batch) {
			Ok(()) => {
				// As the kernel counts. Where somebody else's change came between, the guess is wrong, and the next
				// `is_intact` looks closely.
				self.generation = self.generation.wrapping_add(1).max(1);
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
			|| header.uses != table::uses(self.sets.len())
			|| header.flags & table::OWNED != self.features.table_flags()
		{
			return Ok(false);
		}
		match self.rules() {
			Ok(rules) => Ok(rules == expected_rules(&self.sets)),
			Err(FirewallError::Gone) => Ok(false),
			Err(error) => Err(error),
		}
	}

	fn rules(&mut self) -> Result<usize, FirewallError> {
		let dumped = self.socket.dump(libc::NFT_MSG_GETRULE, table::ours);
		dumped.map(|replies| replies.len()).map_err(reading("list the rules"))
	}

	fn read_generation(&mut self) -> Result<u32, FirewallError> {
		let reply = self.socket.get(libc::NFT_MSG_GETGEN, |_| ()).map_err(reading("read the generation"))?;
		reply.as_deref().and_then(table::read_generation).ok_or(FirewallError::Netlink {
			operation: "read the generation",
			source: NetlinkError::Unexpected("no generation"),
		})
	}

	fn counter(&mut self, kind: Kind, side: Side) -> Result<Count, FirewallError> {
		let name = table::counter(kind, side);
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

fn expected_rules(sets: &BTreeSet<Set>) -> usize {
	table::BASE_RULES + sets.iter().map(|set| set.rules().count()).sum::<usize>()
}
