//! The finalized change log, as the node knows it: the newest justified block, and frames cut from the log at it.

use super::justification::tidied;
use crate::service::Client;
use codec::{Decode, Encode};
use futures::StreamExt;
use ringfence_primitives::{keys, LogHead};
use ringfence_runtime::{opaque::Block, Hash, Header};
use sc_client_api::{ProofProvider, StorageProvider};
use sc_consensus_grandpa::{GrandpaJustification, GrandpaJustificationStream};
use serde::Serialize;
use sp_core::{storage::StorageKey, Bytes};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{watch, Semaphore};

/// Changes in one frame.
pub const MAX_CHANGES: u64 = 256;

/// Frames that may be cut at once, so that many subscribers who replay cannot starve consensus of the CPU.
const MAX_CUTTERS: usize = 2;

/// A finalized block, what proves that it is final, and where the log stands at it.
#[derive(Clone)]
pub struct Finalized {
	pub hash: Hash,
	pub header: Header,
	pub justification: Vec<u8>,
	pub head: LogHead,
}

/// What a subscriber of changes is sent: entries of the log, and all that it takes to check them.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Frame {
	/// The finalized block at which the log was read.
	pub block: BlockId,
	/// Where the log stands at it.
	pub head: Head,
	/// Number of the first entry in `changes`.
	pub from: u64,
	/// Consecutive entries of the log, SCALE-encoded.
	pub changes: Vec<Bytes>,
	/// The block's header, SCALE-encoded.
	pub header: Bytes,
	/// A GRANDPA justification of the block, SCALE-encoded.
	pub justification: Bytes,
	/// Trie nodes that prove the entries and the head under the header's state root.
	pub proof: Vec<Bytes>,
}

/// A block.
#[derive(Clone, Serialize)]
pub struct BlockId {
	pub number: u32,
	pub hash: Hash,
}

/// A [`LogHead`] in JSON.
#[derive(Clone, Serialize)]
pub struct Head {
	pub seq: u64,
	pub hash: Bytes,
	pub oldest: u64,
}

impl From<LogHead> for Head {
	fn from(head: LogHead) -> Self {
		Self { seq: head.seq, hash: head.hash.to_vec().into(), oldest: head.oldest }
	}
}

/// Why a frame could not be cut.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
	#[error(transparent)]
	Client(#[from] sp_blockchain::Error),
	#[error("block {0} is finalized but not in the database")]
	NoHeader(Hash),
	#[error("the entry or head at {0} is missing or malformed")]
	Malformed(u64),
	#[error("the task that reads the log died: {0}")]
	Task(#[from] tokio::task::JoinError),
}

/// The finalized change log.
pub struct FinalizedLog {
	client: Arc<Client>,
	newest: watch::Sender<Option<Arc<Finalized>>>,
	cutters: Semaphore,
	/// The frame that was cut last: at the head of the log all subscribers ask for the same one.
	last: Mutex<Option<(Hash, u64, Arc<Frame>)>>,
}

impl FinalizedLog {
	/// A log that knows what the database knows. [`Self::follow`] keeps it up to date.
	pub fn new(client: Arc<Client>) -> Arc<Self> {
		let log = Self {
			newest: watch::Sender::new(None),
			cutters: Semaphore::new(MAX_CUTTERS),
			last: Mutex::new(None),
			client,
		};
		match sc_consensus_grandpa::best_justification::<_, Block>(&*log.client) {
			Ok(Some(justification)) => log.note(&justification),
			Ok(None) => {}
			Err(cause) => log::warn!(target: "ringfence", "The newest stored justification cannot be read: {cause}"),
		}
		Arc::new(log)
	}

	/// Follows finality for as long as the node runs.
	pub async fn follow(self: Arc<Self>, justifications: GrandpaJustificationStream<Block>) {
		let mut stream = justifications.subscribe(1_000);
		while let Some(justification) = stream.next().await {
			self.note(&justification);
		}
	}

	fn note(&self, justification: &GrandpaJustification<Block>) {
		let (number, hash) = justification.target();
		if self.newest.borrow().as_ref().is_some_and(|newest| newest.header.number >= number) {
			return;
		}
		match self.finalized(hash, tidied(justification).encode()) {
			Ok(finalized) => drop(self.newest.send_replace(Some(Arc::new(finalized)))),
			// Subscribers are served at the next block; a state that is pruned already is one that nobody needs.
			Err(cause) => log::debug!(target: "ringfence", "Block {number} is final but cannot be read: {cause}"),
		}
	}

	fn finalized(&self, hash: Hash, justification: Vec<u8>) -> Result<Finalized, LogError> {
		let header = self.client.header(hash)?.ok_or(LogError::NoHeader(hash))?;
		let head = match self.client.storage(hash, &StorageKey(keys::log_head().to_vec()))? {
			Some(data) => LogHead::decode(&mut &data.0[..]).map_err(|_| LogError::Malformed(0))?,
			None => LogHead::default(),
		};
		Ok(Finalized { hash, header, justification, head })
	}

	/// The newest finalized block, and the wish to hear of the next.
	pub fn watch(&self) -> watch::Receiver<Option<Arc<Finalized>>> {
		self.newest.subscribe()
	}

	/// The frame that begins at `from`, read at `at`. `from` lies between the oldest entry and the head.
	pub async fn frame(self: &Arc<Self>, at: Arc<Finalized>, from: u64) -> Result<Arc<Frame>, LogError> {
		// The semaphore is never closed; should that ever change, cutting without a permit is still correct.
		let _permit = self.cutters.acquire().await.ok();
		if let Some((hash, first, frame)) = &*self.last.lock().unwrap_or_else(PoisonError::into_inner) {
			if (*hash, *first) == (at.hash, from) {
				return Ok(frame.clone());
			}
		}
		let this = self.clone();
		tokio::task::spawn_blocking(move || {
			let frame = Arc::new(this.cut(&at, from)?);
			*this.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((at.hash, from, frame.clone()));
			Ok(frame)
		})
		.await?
	}

	fn cut(&self, at: &Finalized, from: u64) -> Result<Frame, LogError> {
		let last = at.head.seq.min(from.saturating_add(MAX_CHANGES - 1));
		let changes = (from..=last)
			.map(|seq| match self.client.storage(at.hash, &StorageKey(keys::change(seq).to_vec()))? {
				Some(data) => Ok(Bytes(data.0)),
				None => Err(LogError::Malformed(seq)),
			})
			.collect::<Result<Vec<_>, LogError>>()?;
		let head = keys::log_head();
		let entries: Vec<[u8; 40]> = (from..=last).map(keys::change).collect();
		let proof = self.prove(at, std::iter::once(&head[..]).chain(entries.iter().map(|key| &key[..])))?;
		Ok(Self::framed(at, from, changes, proof))
	}

	/// A frame without entries that proves where the log stands at `at` and, if asked to, the digest of the active set.
	pub async fn heartbeat(self: &Arc<Self>, at: Arc<Finalized>, digest: bool) -> Result<Frame, LogError> {
		let _permit = self.cutters.acquire().await.ok();
		let this = self.clone();
		tokio::task::spawn_blocking(move || {
			let keys = [keys::log_head(), keys::active_digest()];
			let wanted = if digest { &keys[..] } else { &keys[..1] };
			let proof = this.prove(&at, wanted.iter().map(|key| &key[..]))?;
			Ok(Self::framed(&at, at.head.seq.saturating_add(1), Vec::new(), proof))
		})
		.await?
	}

	/// The trie nodes that prove what is, or is not, under `keys` in the state of `at`.
	pub fn prove<'a>(&self, at: &Finalized, keys: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Bytes>, LogError> {
		let proof = self.client.read_proof(at.hash, &mut keys.into_iter())?;
		Ok(proof.into_iter_nodes().map(Bytes).collect())
	}

	fn framed(at: &Finalized, from: u64, changes: Vec<Bytes>, proof: Vec<Bytes>) -> Frame {
		Frame {
			block: BlockId { number: at.header.number, hash: at.hash },
			head: at.head.into(),
			from,
			changes,
			header: at.header.encode().into(),
			justification: at.justification.clone().into(),
			proof,
		}
	}
}
