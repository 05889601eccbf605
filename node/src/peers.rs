//! Who this node talks to: the nodes that the members have named on the chain, once they have.
//!
//! Every ISP names the ids of its own nodes (`Tiers::set_nodes`). A task reads the names at each finalized block and
//! keeps two things in step with them, without a restart:
//!
//! - the **reserved peers** of the SDK, in reserved-only mode: block announcements, and with them transactions and
//!   finality votes, go to and come from named nodes only;
//! - the **door** ([`Door`]) in front of everything that answers requests: blocks, state and warp proofs
//!   ([`crate::network`] says why that takes a door of our own).
//!
//! # When it closes, and when it opens
//!
//! A chain on which nobody has named a node is open: otherwise no chain could begin. It closes when more than two thirds
//! of the validators have named theirs: those can finalize without the rest, so one ISP that names its nodes before the
//! others cuts nobody off. It opens again only when nobody is named any more, so that no minority can open it.
//!
//! The names are read at finalized blocks, and at the best block when the node starts. The door follows at once. The
//! reserved peers follow if the block is less than [`RECENT`] old: a node that has been away for long might know none of
//! today's names, and has to be able to find somebody to learn them from.
//!
//! # What is hidden, and what is not
//!
//! A stranger gets no block, header, state, proof, transaction or vote, pushed or asked for. A stranger who reaches the
//! port can still open an encrypted connection, and learns that a node of this chain listens there: its peer id, its
//! version, the names of its protocols (the chain's genesis hash is one part of them), and from the address book (DHT)
//! the ids and addresses of other nodes. None of that is on the way to a block. Who must hide it, too, needs a packet
//! filter in front of the port. What members know they can pass on: the door keeps the chain from strangers, it does not
//! keep members from talking.
//!
//! # If the names are wrong
//!
//! Should more than a third of the validators have named ids that are not those of their nodes, votes do not get through
//! any more, and no correction becomes final. Then start nodes with `--permissioned never`, which leaves them open,
//! correct the names, and start them again without.

use crate::{offences::slot_of, service::Client};
use codec::Decode;
use futures::{FutureExt, StreamExt};
use pallet_tiers::api::TiersApi;
use ringfence_runtime::{opaque::Block, AccountId, Hash, Header, Runtime, SLOT_MILLIS};
use sc_client_api::{BlockchainEvents, StorageProvider};
use sc_network::{
	config::NetworkConfiguration, service::traits::NetworkService, NetworkPeers, NetworkStateInfo, PeerId,
};
use sc_network_sync::SyncingService;
use sp_api::ProvideRuntimeApi;
use sp_blockchain::HeaderBackend;
use sp_core::storage::StorageKey;
use std::{
	collections::HashSet,
	sync::{Arc, PoisonError, RwLock},
	time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How old the block may be whose names decide who is dialled and who may stay.
const RECENT: Duration = Duration::from_secs(24 * 60 * 60);

/// Ids of nodes. Shared, since every request is compared with them.
type Names = Arc<HashSet<PeerId>>;

/// Whose requests are answered: those of named nodes, or everybody's.
pub struct Door(RwLock<Option<Names>>);

impl Door {
	/// One that lets everybody in.
	pub fn open() -> Arc<Self> {
		Arc::new(Self(RwLock::new(None)))
	}

	/// One that lets in whom the best block names.
	pub fn new(client: &Client) -> Arc<Self> {
		let door = Self::open();
		if let Ok(roster) = Roster::read(client, client.info().best_hash) {
			door.set(roster.names(false));
		}
		door
	}

	#[cfg(test)]
	pub fn for_only<const N: usize>(names: [PeerId; N]) -> Arc<Self> {
		Arc::new(Self(RwLock::new(Some(Arc::new(names.into())))))
	}

	/// Whether requests of this peer are answered.
	pub fn admits(&self, peer: &PeerId) -> bool {
		self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref().is_none_or(|names| names.contains(peer))
	}

	fn is_closed(&self) -> bool {
		self.0.read().unwrap_or_else(PoisonError::into_inner).is_some()
	}

	fn set(&self, names: Option<Names>) {
		*self.0.write().unwrap_or_else(PoisonError::into_inner) = names;
	}
}

/// Why the names could not be read.
#[derive(Debug, thiserror::Error)]
enum RosterError {
	#[error(transparent)]
	Client(#[from] sp_blockchain::Error),
	#[error("the runtime does not say: {0}")]
	Api(#[from] sp_api::ApiError),
	#[error("the list of validators is malformed")]
	Malformed,
}

/// Who has named what, at one block.
#[derive(Debug, Default, PartialEq, Eq)]
struct Roster {
	/// The nodes of active ISPs, and of those that validate still.
	nodes: HashSet<PeerId>,
	/// How many validate.
	validators: usize,
	/// How many of them have named a node.
	named: usize,
}

impl Roster {
	fn read(client: &Client, at: Hash) -> Result<Self, RosterError> {
		let nodes = client.runtime_api().nodes(at)?.iter().filter_map(|name| peer_id(name)).collect();
		let validators =
			match client.storage(at, &StorageKey(pallet_session::Validators::<Runtime>::hashed_key().into()))? {
				Some(data) => Vec::<AccountId>::decode(&mut &data.0[..]).map_err(|_| RosterError::Malformed)?,
				None => Vec::new(),
			};
		let mut named = 0;
		for validator in &validators {
			let stored = client.storage(at, &StorageKey(pallet_tiers::Nodes::<Runtime>::hashed_key_for(validator)))?;
			let names = stored.and_then(|data| Vec::<Vec<u8>>::decode(&mut &data.0[..]).ok()).unwrap_or_default();
			named += usize::from(!names.is_empty());
		}
		Ok(Self { nodes, validators: validators.len(), named })
	}

	/// Whom to talk to, None for everybody. `closed` is whether it was limited before.
	fn names(self, closed: bool) -> Option<Names> {
		let enough = self.named.saturating_mul(3) > self.validators.saturating_mul(2);
		(!self.nodes.is_empty() && (closed || enough)).then(|| Arc::new(self.nodes))
	}
}

/// The id that a member named: its bytes, or the text that people copy.
fn peer_id(name: &[u8]) -> Option<PeerId> {
	PeerId::from_bytes(name).ok().or_else(|| std::str::from_utf8(name).ok()?.parse().ok())
}

/// Whether the block is less than [`RECENT`] old. The first block of a chain has no time, and names nobody.
fn is_recent(header: &Header, now: Duration) -> bool {
	slot_of(header).is_some_and(|slot| Duration::from_millis((*slot).saturating_mul(SLOT_MILLIS)) + RECENT > now)
}

/// What the operator's log was told last.
#[derive(Debug, PartialEq, Eq)]
enum Told {
	Nobody,
	Some { named: usize, validators: usize },
	Closed { nodes: usize, own: bool },
}

impl Told {
	fn of(roster: &Roster, closed: bool, own: &PeerId) -> Self {
		let Roster { nodes, validators, named } = roster;
		match (nodes.is_empty(), closed) {
			(true, _) => Self::Nobody,
			(false, false) => Self::Some { named: *named, validators: *validators },
			(false, true) => Self::Closed { nodes: nodes.len(), own: nodes.contains(own) },
		}
	}

	fn tell(&self, own: &PeerId) {
		match self {
			Self::Nobody => {
				log::info!(target: "ringfence", "The chain names no nodes: this node talks to whoever comes")
			}
			Self::Some { named, validators } => log::info!(
				target: "ringfence",
				"{named} of {validators} validators have named their nodes: this node talks to whoever comes until more \
				than two thirds have",
			),
			Self::Closed { nodes, own: true } => {
				log::info!(target: "ringfence", "This node talks to the {nodes} nodes that the chain names, itself among them");
			}
			Self::Closed { .. } => log::warn!(
				target: "ringfence",
				"The chain names nodes, and not this one: they will not talk to it. Its ISP has to name {own} with \
				tiers.setNodes",
			),
		}
	}
}

/// Keeps the reserved peers and the door in step with the chain.
pub struct Keeper {
	client: Arc<Client>,
	network: Arc<dyn NetworkService>,
	sync: Arc<SyncingService<Block>>,
	door: Arc<Door>,
	own: PeerId,
	/// Peers that the operator reserved: they hold while the network is open.
	reserved: HashSet<PeerId>,
	/// Whether the operator wants no others even then.
	reserved_only: bool,
	/// The names that the network has been given; None while it is as the operator set it.
	applied: Option<Names>,
	told: Option<Told>,
}

impl Keeper {
	/// A keeper that has looked at the best block. [`Self::keep`] goes on from there.
	pub fn new(
		config: &NetworkConfiguration,
		client: Arc<Client>,
		network: Arc<dyn NetworkService>,
		sync: Arc<SyncingService<Block>>,
		door: Arc<Door>,
	) -> Self {
		let own = network.local_peer_id();
		let peers = &config.default_peers_set;
		let mut keeper = Self {
			client,
			sync,
			door,
			own,
			reserved: peers.reserved_nodes.iter().map(|node| node.peer_id).filter(|id| *id != own).collect(),
			reserved_only: peers.non_reserved_mode.is_reserved_only(),
			applied: None,
			told: None,
			network,
		};
		let best = keeper.client.info().best_hash;
		match keeper.client.header(best) {
			Ok(Some(header)) => keeper.look(best, &header),
			Ok(None) => {}
			Err(cause) => log::warn!(target: "ringfence", "The best block cannot be read: {cause}"),
		}
		keeper
	}

	/// Follows finality for as long as the node runs.
	pub async fn keep(mut self) {
		let mut finalized = self.client.finality_notification_stream();
		while let Some(mut newest) = finalized.next().await {
			// While a node catches up, blocks become final faster than they need to be looked at.
			while let Some(Some(newer)) = finalized.next().now_or_never() {
				newest = newer;
			}
			self.look(newest.hash, &newest.header);
		}
	}

	fn look(&mut self, at: Hash, header: &Header) {
		let roster = match Roster::read(&self.client, at) {
			Ok(roster) => roster,
			// A runtime from before there were names, or a state that a warp sync has skipped: what holds goes on.
			Err(cause) => {
				log::debug!(target: "ringfence", "No names at block {}: {cause}", header.number);
				return;
			}
		};
		let was_closed = self.door.is_closed();
		let mut told = Told::of(&roster, was_closed, &self.own);
		let names = roster.names(was_closed);
		if let (Some(names), Told::Some { .. }) = (&names, &told) {
			told = Told::Closed { nodes: names.len(), own: names.contains(&self.own) };
		}
		self.door.set(names.clone());
		if self.told.as_ref() != Some(&told) {
			told.tell(&self.own);
			self.told = Some(told);
		}
		let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
		if names != self.applied && is_recent(header, now) {
			self.apply(names);
		}
	}

	fn apply(&mut self, names: Option<Names>) {
		match &names {
			Some(names) => {
				let others: HashSet<PeerId> = names.iter().filter(|id| **id != self.own).copied().collect();
				if self.applied.is_none() {
					// All connections are closed, and those to named nodes are made anew: a few seconds, once in the life
					// of a chain. In the other order, litep2p's peer set believes of the reserved peers that it has that
					// they are being closed, and would not let go of one that is removed later.
					self.network.set_authorized_peers(HashSet::new());
					self.network.set_authorized_only(true);
				}
				// Named nodes do not compete for the slots of `--in-peers`.
				self.sync.set_no_slot_peers(others.clone());
				self.network.set_authorized_peers(others);
			}
			None => {
				self.sync.set_no_slot_peers(HashSet::new());
				self.network.set_authorized_only(self.reserved_only);
				self.network.set_authorized_peers(self.reserved.clone());
			}
		}
		self.applied = names;
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use sp_consensus_aura::{digests::CompatibleDigestItem, sr25519::AuthoritySignature, Slot};
	use sp_runtime::{Digest, DigestItem};

	fn roster(nodes: usize, validators: usize, named: usize) -> Roster {
		Roster { nodes: (0..nodes).map(|_| PeerId::random()).collect(), validators, named }
	}

	#[test]
	fn a_chain_that_names_nobody_is_open() {
		assert_eq!(roster(0, 4, 0).names(false), None);
		assert_eq!(roster(0, 0, 0).names(false), None);
	}

	#[test]
	fn one_isp_that_names_its_nodes_first_cuts_nobody_off() {
		assert_eq!(roster(8, 4, 1).names(false), None);
		assert_eq!(roster(8, 4, 2).names(false), None);
		assert_eq!(roster(8, 3, 2).names(false), None, "two of three cannot finalize");
	}

	#[test]
	fn it_closes_when_those_who_named_can_finalize() {
		for (validators, named) in [(1, 1), (3, 3), (4, 3), (4, 4), (7, 5), (64, 43)] {
			assert!(roster(4, validators, named).names(false).is_some(), "{named} of {validators}");
		}
	}

	#[test]
	fn it_stays_closed_until_nobody_is_named() {
		assert!(roster(1, 4, 1).names(true).is_some());
		assert!(roster(1, 4, 0).names(true).is_some(), "the nodes of an ISP that does not validate");
		assert_eq!(roster(0, 4, 0).names(true), None);
	}

	#[test]
	fn the_door_admits_whom_it_names() {
		let (member, stranger) = (PeerId::random(), PeerId::random());
		let door = Door::for_only([member]);
		assert!(door.admits(&member) && !door.admits(&stranger) && door.is_closed());
		door.set(Some(Arc::new([stranger].into())));
		assert!(!door.admits(&member) && door.admits(&stranger));
		door.set(None);
		assert!(door.admits(&member) && door.admits(&stranger) && !door.is_closed());
	}

	#[test]
	fn ids_are_read_as_bytes_and_as_text() {
		let id = PeerId::random();
		assert_eq!(peer_id(&id.to_bytes()), Some(id));
		let text = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
		assert_eq!(peer_id(text.as_bytes()), text.parse().ok());
		assert!(peer_id(text.as_bytes()).is_some());
		for nonsense in [&b""[..], b"\0", b"12D3KooW", &[0xff; 64]] {
			assert_eq!(peer_id(nonsense), None);
		}
	}

	fn header(slot: Option<u64>) -> Header {
		let item = |slot| <DigestItem as CompatibleDigestItem<AuthoritySignature>>::aura_pre_digest(Slot::from(slot));
		Header {
			parent_hash: Hash::zero(),
			number: 1,
			state_root: Hash::zero(),
			extrinsics_root: Hash::zero(),
			digest: Digest { logs: slot.map(item).into_iter().collect() },
		}
	}

	#[test]
	fn names_of_long_ago_do_not_choose_the_peers() {
		let now = Duration::from_secs(1_800_000_000);
		let slot = |at: Duration| Some(at.as_millis() as u64 / SLOT_MILLIS);
		assert!(is_recent(&header(slot(now)), now));
		assert!(is_recent(&header(slot(now - RECENT / 2)), now));
		assert!(!is_recent(&header(slot(now - RECENT)), now));
		assert!(!is_recent(&header(None), now));
		assert!(is_recent(&header(Some(u64::MAX)), now), "no overflow");
	}

	#[test]
	fn the_operator_hears_what_holds() {
		let own = PeerId::random();
		assert_eq!(Told::of(&roster(0, 4, 0), false, &own), Told::Nobody);
		assert_eq!(Told::of(&roster(2, 4, 1), false, &own), Told::Some { named: 1, validators: 4 });
		assert_eq!(Told::of(&roster(2, 4, 4), true, &own), Told::Closed { nodes: 2, own: false });
	}
}
