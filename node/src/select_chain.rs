//! Which chain the finality voter follows, and when it votes for it.
//!
//! A GRANDPA round begins as soon as the one before it is over, whether or not there is a block to vote for. Left alone,
//! four validators go through six rounds a second for two blocks, and a block that comes in the middle of a round waits for
//! the next. So a vote waits for a block that is not final yet: then a round is about one block, its timers have run out
//! before the block is there, and what remains of finality is a moment's pause and the way of two votes. The pause is for
//! blocks of the same height: what has lost to a final one is deleted, and whoever then asks its author for it, because it
//! was announced, takes that for a broken promise.
//!
//! When the wire between two halves of the validators is mended, votes reach the others before blocks do. A vote that
//! is cast at once names the tip of a fork which the other half does not have, and which it is in no hurry to fetch: a
//! voter waits 15 seconds for an unknown block before it asks for it, and finality waits with it. Two seconds later all
//! follow the same fork and name the same tip. So while finality lags far behind, a vote is cast that much later; as
//! long as finality keeps up, nothing is delayed.

use crate::service::{Backend, Client};
use futures::{Stream, StreamExt};
use ringfence_runtime::{opaque::Block, BlockNumber, Hash, Header};
use sc_client_api::BlockchainEvents;
use sc_consensus::LongestChain;
use sp_blockchain::HeaderBackend;
use sp_consensus::{Error, SelectChain};
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// Blocks that finality lags behind before votes are cast late. In good health it is one or two.
const STALLED: BlockNumber = 8;

/// How much later: four slots, in which validators that hear one another again settle on one fork.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long after a block a vote for it is cast: two gossip durations, as rounds would wait by themselves.
const PAUSE: Duration = Duration::from_millis(80);

/// How long a vote waits for something to vote for: two slots, so that one absent author changes nothing. Then it names what
/// is final already, and the round goes on.
const IDLE: Duration = Duration::from_secs(1);

/// Selects the longest chain for the voter.
#[derive(Clone)]
pub struct VotersChain {
	longest: LongestChain<Backend, Block>,
	client: Arc<Client>,
}

impl VotersChain {
	/// Selects among the blocks of `backend`, which `client` imports.
	pub fn new(backend: Arc<Backend>, client: Arc<Client>) -> Self {
		Self { longest: LongestChain::new(backend), client }
	}

	/// How many blocks finality lags behind.
	fn lag(&self) -> BlockNumber {
		let info = self.client.info();
		info.best_number.saturating_sub(info.finalized_number)
	}
}

/// Waits until `lag` is not zero, which it can become with each of `imports`, or for [`IDLE`].
async fn lagging(lag: impl Fn() -> BlockNumber, mut imports: impl Stream + Unpin) {
	let block = async { while lag() == 0 && imports.next().await.is_some() {} };
	// That nothing came in time is no error.
	timeout(IDLE, block).await.unwrap_or(());
}

#[async_trait::async_trait]
impl SelectChain<Block> for VotersChain {
	async fn leaves(&self) -> Result<Vec<Hash>, Error> {
		self.longest.leaves().await
	}

	async fn best_chain(&self) -> Result<Header, Error> {
		self.longest.best_chain().await
	}

	async fn finality_target(&self, base: Hash, max: Option<BlockNumber>) -> Result<Hash, Error> {
		match self.lag() {
			0 => {
				lagging(|| self.lag(), self.client.import_notification_stream()).await;
				sleep(PAUSE).await;
			}
			lag if lag > STALLED => sleep(PATIENCE).await,
			_ => {}
		}
		self.longest.finality_target(base, max).await
	}
}

#[cfg(test)]
mod tests {
	use super::{lagging, IDLE};
	use futures::{channel::mpsc, stream::pending, FutureExt};
	use std::cell::Cell;
	use tokio::time::Instant;

	#[tokio::test]
	async fn a_vote_waits_for_a_block_that_is_not_final_but_not_for_ever() {
		assert!(lagging(|| 1, pending::<()>()).now_or_never().is_some(), "there is one");
		let begun = Instant::now();
		lagging(|| 0, pending::<()>()).await;
		assert!(begun.elapsed() >= IDLE);
	}

	#[tokio::test]
	async fn a_vote_is_cast_with_the_import_of_a_block_that_is_not_final() {
		let (lag, (imports, imported)) = (Cell::new(0), mpsc::unbounded());
		let mut vote = Box::pin(lagging(|| lag.get(), imported));
		assert!(vote.as_mut().now_or_never().is_none());
		// A side branch, or a block that was final at once.
		imports.unbounded_send(()).unwrap();
		assert!(vote.as_mut().now_or_never().is_none());
		lag.set(1);
		imports.unbounded_send(()).unwrap();
		assert!(vote.as_mut().now_or_never().is_some());
	}
}
