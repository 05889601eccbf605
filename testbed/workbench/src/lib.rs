//! A chain without a node: the runtime's wasm over a state in memory, without network, consensus or database.
//!
//! It makes blocks as an author does and executes them as an importing node does: with the same executor, the same state
//! machine and the same trie, whose root is computed and compared for every block. It knows nothing of what the blocks say:
//! what goes in and comes out is encoded.
//!
//! A crate of its own, because the state machine is generic and compiled as part of who uses it: unlike the testbed, this
//! is optimised, and without that a block would take ten times as long as in a node.

use sc_executor::WasmExecutor;
use sp_core::{
	storage::{well_known_keys, StateVersion},
	traits::{CallContext, RuntimeCode, WrappedRuntimeCode},
	Blake2Hasher, Hasher, H256,
};
use sp_state_machine::{Backend, InMemoryBackend, OverlayedChanges, StateMachine, TrieBackend, TrieBackendBuilder};
use sp_trie::{
	cache::{CacheSize, LocalTrieCache, SharedTrieCache},
	PrefixedMemoryDB,
};
use std::{
	collections::BTreeMap,
	mem,
	time::{Duration, Instant},
};

/// Nodes and values of the trie that one block's execution may keep at hand: more than any block touches.
const CACHE: CacheSize = CacheSize::new(64 * 1024 * 1024);

/// The first byte of a refusal, in the runtime's answer to a transaction.
const REFUSED: u8 = 1;

/// Why the runtime could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// There is no code in the state.
	#[error("the state has no runtime in it")]
	NoCode,
	/// The runtime panicked, which for a block means that it is not valid, or does not have this call.
	#[error("{method}: {cause}")]
	Call {
		/// The runtime's function.
		method: &'static str,
		/// What the executor says.
		cause: String,
	},
	/// The trie is damaged.
	#[error("the state: {0}")]
	State(String),
}

type Nodes = PrefixedMemoryDB<Blake2Hasher>;
/// The state as one block's execution sees it, with a cache that is empty at first: that of a node which has just started.
type View<'a> = TrieBackend<&'a Nodes, Blake2Hasher, LocalTrieCache<Blake2Hasher>>;

/// The state after some block, and what executes the next.
#[derive(Clone)]
pub struct Chain {
	executor: WasmExecutor,
	code: Vec<u8>,
	code_hash: Vec<u8>,
	version: StateVersion,
	state: InMemoryBackend<Blake2Hasher>,
}

/// What a block changes in the state.
pub struct Changes {
	root: H256,
	nodes: Nodes,
}

impl Chain {
	/// A chain that begins with these keys and values, the runtime's wasm among them.
	pub fn new(genesis: BTreeMap<Vec<u8>, Vec<u8>>, version: StateVersion) -> Result<Self, Error> {
		let code = genesis.get(well_known_keys::CODE).cloned().ok_or(Error::NoCode)?;
		Ok(Self {
			// Compiled, with pooled instances: the default, here as in a node.
			executor: WasmExecutor::builder().build(),
			code_hash: Blake2Hasher::hash(&code).as_bytes().to_vec(),
			code,
			version,
			state: (genesis, version).into(),
		})
	}

	/// The root of the state.
	pub fn root(&self) -> H256 {
		*self.state.root()
	}

	/// Begins the block that has this encoded header.
	pub fn begin(&self, header: &[u8]) -> Result<Draft<'_>, Error> {
		let (backend, mut overlay) = (self.view(), OverlayedChanges::default());
		self.call(&backend, &mut overlay, "Core_initialize_block", header, false)?;
		Ok(Draft { chain: self, backend, overlay })
	}

	/// Executes an encoded block on this state, which it leaves as it is: how long that takes, from the call into the
	/// runtime until the changes are ready for a database. A block that is not valid, or does not lead to the root that its
	/// header says, is an error.
	pub fn import(&self, block: &[u8]) -> Result<Duration, Error> {
		let (backend, mut overlay) = (self.view(), OverlayedChanges::default());
		let start = Instant::now();
		self.call(&backend, &mut overlay, "Core_execute_block", block, true)?;
		let changes = overlay.drain_storage_changes(&backend, self.version).map_err(Error::State)?;
		let took = start.elapsed();
		drop(changes);
		Ok(took)
	}

	/// Goes on to the state after a block.
	pub fn commit(&mut self, changes: Changes) {
		let mut nodes = mem::take(&mut self.state).into_storage();
		nodes.consolidate(changes.nodes);
		// What no block refers to any more.
		nodes.purge();
		self.state = TrieBackendBuilder::new(nodes, changes.root).build();
	}

	fn view(&self) -> View<'_> {
		let cache = SharedTrieCache::new(CACHE, None).local_cache_trusted();
		TrieBackendBuilder::wrap(&self.state).with_cache(cache).build()
	}

	fn call(
		&self,
		backend: &View<'_>,
		overlay: &mut OverlayedChanges<Blake2Hasher>,
		method: &'static str,
		data: &[u8],
		import: bool,
	) -> Result<Vec<u8>, Error> {
		let fetcher = WrappedRuntimeCode(self.code.as_slice().into());
		let code = RuntimeCode { code_fetcher: &fetcher, heap_pages: None, hash: self.code_hash.clone() };
		let mut extensions = Default::default();
		let context = CallContext::Onchain { import };
		let answer = StateMachine::new(backend, overlay, &self.executor, method, data, &mut extensions, &code, context)
			.execute();
		answer.map_err(|cause| Error::Call { method, cause: cause.to_string() })
	}
}

/// A block in the making.
pub struct Draft<'a> {
	chain: &'a Chain,
	backend: View<'a>,
	overlay: OverlayedChanges<Blake2Hasher>,
}

impl Draft<'_> {
	/// Applies an encoded transaction: the runtime's answer. One that is refused changes nothing.
	pub fn apply(&mut self, transaction: &[u8]) -> Result<Vec<u8>, Error> {
		self.overlay.start_transaction();
		let method = "BlockBuilder_apply_extrinsic";
		let answer = self.chain.call(&self.backend, &mut self.overlay, method, transaction, false)?;
		let ended = if answer.first() == Some(&REFUSED) {
			self.overlay.rollback_transaction()
		} else {
			self.overlay.commit_transaction()
		};
		ended.map_err(|_| Error::State("no transaction is open".into()))?;
		Ok(answer)
	}

	/// What lies under `key` at this point of the block.
	pub fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
		match self.overlay.storage(key) {
			Some(value) => Ok(value.map(<[u8]>::to_vec)),
			None => self.backend.storage(key).map_err(Error::State),
		}
	}

	/// Ends the block: its encoded header, and what it changes.
	pub fn finish(mut self) -> Result<(Vec<u8>, Changes), Error> {
		let header = self.chain.call(&self.backend, &mut self.overlay, "BlockBuilder_finalize_block", &[], false)?;
		let changes = self.overlay.drain_storage_changes(&self.backend, self.chain.version).map_err(Error::State)?;
		Ok((header, Changes { root: changes.transaction_storage_root, nodes: changes.transaction }))
	}
}
