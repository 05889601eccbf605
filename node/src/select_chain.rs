//! The longest chain, and patience with finality votes while forks settle.
//!
//! When the wire between two halves of the validators is mended, votes reach the others before blocks do. A vote that
//! is cast at once names the tip of a fork which the other half does not have, and which it is in no hurry to fetch: a
//! voter waits 15 seconds for an unknown block before it asks for it, and finality waits with it. Two seconds later all
//! follow the same fork and name the same tip. So while finality lags far behind, a vote is cast that much later; as
//! long as finality keeps up, nothing is delayed.

use crate::service::Backend;
use ringfence_runtime::{opaque::Block, BlockNumber, Hash, Header};
use sc_client_api::Backend as _;
use sc_consensus::LongestChain;
use sp_blockchain::HeaderBackend;
use sp_consensus::{Error, SelectChain};
use std::{sync::Arc, time::Duration};

/// Blocks that finality lags behind before votes are cast late. In good health it is one or two.
const STALLED: BlockNumber = 8;

/// How much later: four slots, in which validators that hear one another again settle on one fork.
const PATIENCE: Duration = Duration::from_secs(2);

/// Selects the longest chain.
#[derive(Clone)]
pub struct PatientChain {
	longest: LongestChain<Backend, Block>,
	backend: Arc<Backend>,
}

impl PatientChain {
	/// Selects among the blocks of `backend`.
	pub fn new(backend: Arc<Backend>) -> Self {
		Self { longest: LongestChain::new(backend.clone()), backend }
	}
}

#[async_trait::async_trait]
impl SelectChain<Block> for PatientChain {
	async fn leaves(&self) -> Result<Vec<Hash>, Error> {
		self.longest.leaves().await
	}

	async fn best_chain(&self) -> Result<Header, Error> {
		self.longest.best_chain().await
	}

	async fn finality_target(&self, base: Hash, max: Option<BlockNumber>) -> Result<Hash, Error> {
		let info = self.backend.blockchain().info();
		if info.best_number.saturating_sub(info.finalized_number) > STALLED {
			tokio::time::sleep(PATIENCE).await;
		}
		self.longest.finality_target(base, max).await
	}
}
