//! What an author builds on, and how long it takes for it.
//!
//! An author whose slot begins while the block of the slot before is still being executed would build beside that block
//! instead of on it. One of the two is then lost, with all the work that it was, and a validator that is short of time is
//! shorter of it from then on. So an author waits for a block that is being imported, and builds a smaller one in what is left
//! of its slot.
//!
//! And a block that is not done in time is thrown away. How long transactions may go on is known; how long the state's root
//! then takes depends on what else the machine does. So transactions end early, and the root has the rest.

use crate::service::Backend;
use futures::{future::MapOk, TryFutureExt};
use ringfence_runtime::{opaque::Block, BlockNumber, Hash, Header, SLOT_MILLIS};
use sc_client_api::Backend as _;
use sc_consensus::{BlockCheckParams, BlockImport, BlockImportParams, ImportResult, LongestChain};
use sp_blockchain::HeaderBackend;
use sp_consensus::{Environment, Error, ProposeArgs, Proposer, SelectChain};
use sp_runtime::traits::Header as _;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// Length of a slot.
const SLOT: Duration = Duration::from_millis(SLOT_MILLIS);

/// The part of a slot in which a block has to be done. The rest is for its way to the next author.
pub const PORTION: f32 = 2.0 / 3.0;

/// The part of that which a proposer is told of. It fills the block for two thirds of what it is told: 125 ms of the 333.
const TOLD: f32 = 9.0 / 16.0;

/// Imports blocks, and lets an author know of the one that is being imported.
#[derive(Clone)]
pub struct Announced<Import> {
	import: Import,
	coming: watch::Sender<Option<BlockNumber>>,
}

impl<Import> Announced<Import> {
	/// Imports through `import`.
	pub fn new(import: Import) -> Self {
		Self { import, coming: watch::Sender::new(None) }
	}

	/// The chain that an author is to build on.
	pub fn authors_chain(&self, backend: Arc<Backend>) -> AuthorsChain {
		AuthorsChain { longest: LongestChain::new(backend.clone()), backend, coming: self.coming.subscribe() }
	}
}

/// Takes back what was said of a block, however its import ends.
struct Coming<'a>(&'a watch::Sender<Option<BlockNumber>>);

impl Drop for Coming<'_> {
	fn drop(&mut self) {
		self.0.send_replace(None);
	}
}

#[async_trait::async_trait]
impl<Import: BlockImport<Block> + Send + Sync> BlockImport<Block> for Announced<Import> {
	type Error = Import::Error;

	async fn check_block(&self, block: BlockCheckParams<Block>) -> Result<ImportResult, Self::Error> {
		self.import.check_block(block).await
	}

	async fn import_block(&self, block: BlockImportParams<Block>) -> Result<ImportResult, Self::Error> {
		// The import queue has one block in hand at a time.
		self.coming.send_replace(Some(*block.header.number()));
		let _coming = Coming(&self.coming);
		self.import.import_block(block).await
	}
}

/// Waits until no block above the best is coming, for a slot at the most. Of blocks that do not make the chain longer, such as
/// invalid ones that somebody sends in a row, it waits for one.
async fn settled(best: impl Fn() -> BlockNumber, mut coming: watch::Receiver<Option<BlockNumber>>) {
	let imported = async {
		let mut height = best();
		while coming.borrow_and_update().is_some_and(|number| number > height) && coming.changed().await.is_ok() {
			let reached = best();
			if reached <= height {
				break;
			}
			height = reached;
		}
	};
	// Whether it came or not, what is best then is built on.
	timeout(SLOT, imported).await.unwrap_or(());
}

/// Selects the longest chain for an author: with the block that is being imported.
#[derive(Clone)]
pub struct AuthorsChain {
	longest: LongestChain<Backend, Block>,
	backend: Arc<Backend>,
	coming: watch::Receiver<Option<BlockNumber>>,
}

#[async_trait::async_trait]
impl SelectChain<Block> for AuthorsChain {
	async fn leaves(&self) -> Result<Vec<Hash>, Error> {
		self.longest.leaves().await
	}

	async fn best_chain(&self) -> Result<Header, Error> {
		settled(|| self.backend.blockchain().info().best_number, self.coming.clone()).await;
		self.longest.best_chain().await
	}
}

/// Makes proposers, or is one, that fill a block for a part of the time only.
pub struct Early<Inner>(pub Inner);

impl<Factory: Environment<Block>> Environment<Block> for Early<Factory> {
	type Proposer = Early<Factory::Proposer>;
	type CreateProposer = MapOk<Factory::CreateProposer, fn(Factory::Proposer) -> Self::Proposer>;
	type Error = Factory::Error;

	fn init(&mut self, parent: &Header) -> Self::CreateProposer {
		self.0.init(parent).map_ok(Early as fn(_) -> _)
	}
}

impl<Inner: Proposer<Block>> Proposer<Block> for Early<Inner> {
	type Error = Inner::Error;
	type Proposal = Inner::Proposal;

	fn propose(self, mut args: ProposeArgs<Block>) -> Self::Proposal {
		// After slots without a block Aura gives authors more time. A block that is larger for that would come too late for the
		// next author, who builds beside it, and so on.
		args.max_duration = args.max_duration.min(SLOT.mul_f32(PORTION)).mul_f32(TOLD);
		self.0.propose(args)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use futures::{
		future::{ready, Ready},
		FutureExt,
	};
	use sp_consensus::{BlockOrigin, Proposal};
	use std::cell::Cell;
	use tokio::time::{sleep, Instant};

	/// Takes a while to import a block.
	struct Slow;

	#[async_trait::async_trait]
	impl BlockImport<Block> for Slow {
		type Error = Error;

		async fn check_block(&self, _: BlockCheckParams<Block>) -> Result<ImportResult, Error> {
			Ok(ImportResult::AlreadyInChain)
		}

		async fn import_block(&self, _: BlockImportParams<Block>) -> Result<ImportResult, Error> {
			sleep(Duration::from_millis(10)).await;
			Ok(ImportResult::AlreadyInChain)
		}
	}

	fn block(number: BlockNumber) -> BlockImportParams<Block> {
		let hash = Hash::default();
		let header = Header::new(number, hash, hash, hash, sp_runtime::Digest::default());
		BlockImportParams::new(BlockOrigin::NetworkBroadcast, header)
	}

	#[tokio::test]
	async fn an_author_waits_for_the_block_that_is_being_imported() {
		let announced = Announced::new(Slow);
		let settled = |best| settled(move || best, announced.coming.subscribe());
		assert!(settled(7).now_or_never().is_some(), "there is none");
		let mut import = announced.import_block(block(8));
		assert!(import.as_mut().now_or_never().is_none());
		assert!(settled(8).now_or_never().is_some(), "it is a side branch");
		let mut waits = Box::pin(settled(7));
		assert!(waits.as_mut().now_or_never().is_none());
		import.await.unwrap();
		assert!(waits.now_or_never().is_some());
	}

	#[tokio::test]
	async fn an_author_waits_for_as_long_as_the_chain_grows() {
		let (announced, best) = (Announced::new(Slow), Cell::new(7));
		let mut waits = Box::pin(settled(|| best.get(), announced.coming.subscribe()));
		for (number, height) in [(8, 7), (9, 8)] {
			best.set(height);
			announced.coming.send_replace(Some(number));
			assert!(waits.as_mut().now_or_never().is_none());
		}
		// The one that comes to nothing, and another after it.
		announced.coming.send_replace(Some(9));
		assert!(waits.now_or_never().is_some());
	}

	#[tokio::test]
	async fn an_author_does_not_wait_for_ever() {
		let announced = Announced::new(Slow);
		announced.coming.send_replace(Some(8));
		let begun = Instant::now();
		settled(|| 7, announced.coming.subscribe()).await;
		assert!(begun.elapsed() >= SLOT);
	}

	#[tokio::test]
	async fn an_import_that_is_given_up_is_waited_for_no_longer() {
		let announced = Announced::new(Slow);
		assert!(announced.import_block(block(8)).now_or_never().is_none());
		assert_eq!(*announced.coming.borrow(), None);
	}

	/// Says how long it was given, as an error.
	struct Told;

	impl Proposer<Block> for Told {
		type Error = Error;
		type Proposal = Ready<Result<Proposal<Block>, Error>>;

		fn propose(self, args: ProposeArgs<Block>) -> Self::Proposal {
			ready(Err(Error::ClientImport(args.max_duration.as_millis().to_string())))
		}
	}

	#[tokio::test]
	async fn a_proposer_is_told_of_a_part_of_the_time() {
		for (given, expected) in [(160, 90), (320, 180), (2_000, 187)] {
			let args = ProposeArgs { max_duration: Duration::from_millis(given), ..ProposeArgs::default() };
			let told = match Early(Told).propose(args).await {
				Err(Error::ClientImport(told)) => told.parse::<u64>().unwrap(),
				_ => unreachable!("it says so as an error"),
			};
			// A factor need not come out even.
			assert!(told.abs_diff(expected) <= 1, "{told} of {given}");
		}
	}
}
