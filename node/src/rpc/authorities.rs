//! `ringfence_genesis`, `ringfence_handoffs`, `ringfence_heartbeat`: what an enforcer needs in order to trust nobody but
//! the hash of the first block.

use super::{
	internal,
	justification::tidied,
	log::{FinalizedLog, Frame},
	not_final,
};
use crate::service::Client;
use codec::{DecodeAll, Encode};
use jsonrpsee::{
	core::{async_trait, RpcResult},
	proc_macros::rpc,
};
use ringfence_primitives::keys;
use ringfence_runtime::{opaque::Block, Hash};
use sc_client_api::BlockBackend;
use sc_consensus_grandpa::{GrandpaJustification, SharedAuthoritySet, GRANDPA_ENGINE_ID};
use sc_service::ChainSpec;
use serde::Serialize;
use sp_core::{storage::Storage, Blake2Hasher, Bytes};
use sp_runtime::StateVersion;
use sp_state_machine::{prove_read, InMemoryBackend};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Handoffs in one answer.
const MAX_HANDOFFS: usize = 64;
/// Bytes of handoffs after which no further one is added: an answer stays well under what clients take in one message.
const MAX_HANDOFF_BYTES: usize = 2 * 1024 * 1024;

/// The first block, and who decides about the next ones.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GenesisProof {
	/// SCALE header of the first block.
	header: Bytes,
	/// Trie nodes that prove the finality authorities and the number of their set under the header's state root.
	proof: Vec<Bytes>,
}

/// The end of a set of authorities.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Handoff {
	/// SCALE header of the block that named the next set.
	header: Bytes,
	/// SCALE GRANDPA justification of it, by the set that ended.
	justification: Bytes,
}

/// Consecutive changes of the set of authorities.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Handoffs {
	/// In order.
	handoffs: Vec<Handoff>,
	/// Whether these are all up to now.
	complete: bool,
}

#[rpc(server, namespace = "ringfence")]
pub trait AuthoritiesApi {
	/// The first header, with a proof of the authorities in its state.
	#[method(name = "genesis", blocking)]
	fn genesis(&self) -> RpcResult<GenesisProof>;

	/// Every change of the set of authorities from the one that ended set `from_set` on: 64 at most.
	#[method(name = "handoffs", blocking)]
	fn handoffs(&self, from_set: u64) -> RpcResult<Handoffs>;

	/// A frame without entries, as proof of where the log stands at the newest final block; with `digest` also of the
	/// digest of the active set. Fails with [`super::NOT_FINAL`] before the first finalization.
	#[method(name = "heartbeat")]
	async fn heartbeat(&self, digest: bool) -> RpcResult<Frame>;
}

/// Why an answer cannot be given.
#[derive(Debug, thiserror::Error)]
enum AuthoritiesError {
	#[error(transparent)]
	Client(#[from] sp_blockchain::Error),
	#[error("block {0} is not in the database")]
	NoBlock(u32),
	#[error("the chain spec does not build: {0}")]
	Spec(String),
	#[error("the chain spec is not that of the first block")]
	OtherSpec,
	#[error("no proof: {0}")]
	Proof(String),
	#[error("this node does not know the history of the authorities")]
	NoHistory,
	#[error("no votes are stored for block {0}, which ended a set")]
	NoJustification(u32),
	#[error("the votes for block {0} do not decode: {1}")]
	Malformed(u32, codec::Error),
}

/// The first state. Nodes forget it soon, so it is built once more from the chain spec, when somebody first asks.
pub struct Genesis {
	client: Arc<Client>,
	/// Until it is built.
	spec: Mutex<Option<Box<dyn ChainSpec>>>,
	proven: OnceLock<Result<GenesisProof, String>>,
}

impl Genesis {
	/// That of `spec`, which `client` was started with.
	pub fn new(client: Arc<Client>, spec: Box<dyn ChainSpec>) -> Arc<Self> {
		Arc::new(Self { client, spec: Mutex::new(Some(spec)), proven: OnceLock::new() })
	}

	/// Whoever asks meanwhile waits. What fails once fails always.
	fn proven(&self) -> Result<GenesisProof, String> {
		let build = || self.build().map_err(|cause| cause.to_string());
		self.proven.get_or_init(build).clone()
	}

	fn build(&self) -> Result<GenesisProof, AuthoritiesError> {
		let spec = self.spec.lock().unwrap_or_else(PoisonError::into_inner).take();
		let spec = spec.ok_or_else(|| AuthoritiesError::Spec("an earlier attempt died".into()))?;
		let storage = spec.as_storage_builder().build_storage().map_err(AuthoritiesError::Spec)?;
		let hash = self.client.block_hash(0)?.ok_or(AuthoritiesError::NoBlock(0))?;
		let header = self.client.header(hash)?.ok_or(AuthoritiesError::NoBlock(0))?;
		let proof = prove(storage, header.state_root)?;
		Ok(GenesisProof { header: header.encode().into(), proof })
	}
}

/// Proves the authorities in the state that `storage` is, if its root is `root`.
fn prove(storage: Storage, root: Hash) -> Result<Vec<Bytes>, AuthoritiesError> {
	// The runtime says which version its state has. To ask it would take running it; the root tells as much.
	for version in [StateVersion::V1, StateVersion::V0] {
		let state = InMemoryBackend::<Blake2Hasher>::from((storage.clone(), version));
		if *state.root() == root {
			let wanted = [keys::grandpa_authorities(), keys::grandpa_set_id()];
			let proof = prove_read(state, wanted).map_err(|cause| AuthoritiesError::Proof(cause.to_string()))?;
			return Ok(proof.into_iter_nodes().map(Bytes).collect());
		}
	}
	Err(AuthoritiesError::OtherSpec)
}

pub struct Authorities {
	pub client: Arc<Client>,
	pub log: Arc<FinalizedLog>,
	pub genesis: Arc<Genesis>,
	pub sets: SharedAuthoritySet<Hash, u32>,
}

impl Authorities {
	fn handoffs_from(&self, from_set: u64) -> Result<Handoffs, AuthoritiesError> {
		let changes = self.sets.authority_set_changes();
		let changes = changes.iter_from(0).ok_or(AuthoritiesError::NoHistory)?;
		let (mut handoffs, mut length) = (Vec::new(), 0);
		// A set and the block that ended it.
		for (_, last) in changes.filter(|(set, _)| *set >= from_set) {
			if handoffs.len() == MAX_HANDOFFS || length >= MAX_HANDOFF_BYTES {
				return Ok(Handoffs { handoffs, complete: false });
			}
			let handoff = self.handoff(*last)?;
			length += handoff.header.len() + handoff.justification.len();
			handoffs.push(handoff);
		}
		Ok(Handoffs { handoffs, complete: true })
	}

	fn handoff(&self, last: u32) -> Result<Handoff, AuthoritiesError> {
		let hash = self.client.block_hash(last)?.ok_or(AuthoritiesError::NoBlock(last))?;
		let header = self.client.header(hash)?.ok_or(AuthoritiesError::NoBlock(last))?;
		let stored = self.client.justifications(hash)?.and_then(|all| all.into_justification(GRANDPA_ENGINE_ID));
		let stored = stored.ok_or(AuthoritiesError::NoJustification(last))?;
		let justification = GrandpaJustification::<Block>::decode_all(&mut &stored[..])
			.map_err(|cause| AuthoritiesError::Malformed(last, cause))?;
		Ok(Handoff { header: header.encode().into(), justification: tidied(&justification).encode().into() })
	}
}

#[async_trait]
impl AuthoritiesApiServer for Authorities {
	fn genesis(&self) -> RpcResult<GenesisProof> {
		self.genesis.proven().map_err(internal)
	}

	fn handoffs(&self, from_set: u64) -> RpcResult<Handoffs> {
		self.handoffs_from(from_set).map_err(internal)
	}

	async fn heartbeat(&self, digest: bool) -> RpcResult<Frame> {
		let newest = self.log.watch().borrow().clone().ok_or_else(not_final)?;
		self.log.heartbeat(newest, digest).await.map_err(internal)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_enforcer::core::proof;

	fn storage() -> Storage {
		let mut storage = Storage::default();
		storage.top.insert(keys::grandpa_authorities().to_vec(), vec![4; 41]);
		storage.top.insert(keys::log_head().to_vec(), vec![5; 48]);
		storage.top.insert(b":code".to_vec(), vec![6; 1_000]);
		storage
	}

	#[test]
	fn an_enforcer_reads_the_first_authorities_whatever_the_version_of_the_state() {
		for version in [StateVersion::V0, StateVersion::V1] {
			let root = *InMemoryBackend::<Blake2Hasher>::from((storage(), version)).root();
			let nodes: Vec<Vec<u8>> = prove(storage(), root).unwrap().into_iter().map(|node| node.0).collect();
			let read = proof::read(&root.0, &nodes, &[keys::grandpa_authorities(), keys::grandpa_set_id()]);
			assert_eq!(read, Ok(vec![Some(vec![4; 41]), None]));
		}
	}

	#[test]
	fn a_spec_of_another_chain_proves_nothing() {
		assert!(matches!(prove(storage(), Hash::zero()), Err(AuthoritiesError::OtherSpec)));
	}
}
