//! `ringfence_subscribeSnapshot`: the whole active set at one finalized block, for those who begin with nothing or whom
//! the log no longer reaches.
//!
//! # Security considerations
//!
//! Anybody may ask. A snapshot is read page by page as fast as its reader takes it, so it costs no memory, and a few at
//! once are served at most: others wait, in the order in which they came, so that readers cannot starve consensus of the
//! CPU. A reader that takes nothing for 30 seconds, or is slower than [`PACE`] for long, loses its place: few slow ones
//! cannot keep everybody else waiting for ever.

use super::{
	internal,
	log::{BlockId, Finalized, FinalizedLog, Head, LogError},
	NOT_FINAL,
};
use crate::service::Client;
use codec::Encode;
use jsonrpsee::{
	core::{async_trait, SubscriptionResult},
	proc_macros::rpc,
	types::ErrorObjectOwned,
	PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink,
};
use pallet_indicators::api::IndicatorsApi;
use ringfence_primitives::{keys, Decision, IndicatorId};
use sc_client_api::ProofProvider;
use serde::Serialize;
use sp_api::ProvideRuntimeApi;
use sp_core::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::{
	sync::Semaphore,
	time::{timeout, Instant},
};

/// Decisions in one page; the runtime returns no more.
const PAGE: u32 = 1_024;

/// Snapshots that are sent at once.
const MAX_READERS: usize = 4;

/// How long a reader may lag behind [`PACE`], and so take for one item at the most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time that each item gives a reader: a page takes up to 100 KB, so 400 kbit/s keep pace. A million decisions are through
/// after 34 minutes at the latest, and who has no place waits no longer for one of them.
const PACE: Duration = Duration::from_secs(2);

/// What a reader is sent: one opening, pages, one end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Item {
	/// The block, and what its state says of the set.
	Opening(Opening),
	/// A SCALE-encoded vector of 1 to 1,024 decisions, in the order of their indicators' names over all pages.
	Page(Bytes),
	/// That was all.
	End {
		/// Decisions in all pages.
		count: u64,
	},
}

/// The first item.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Opening {
	/// The finalized block at which the set is read.
	block: BlockId,
	/// Where the log stands at it.
	head: Head,
	/// The block's header, SCALE-encoded.
	header: Bytes,
	/// A GRANDPA justification of the block, SCALE-encoded.
	justification: Bytes,
	/// Trie nodes that prove head, digest and protected networks under the header's state root.
	proof: Vec<Bytes>,
}

#[rpc(server, namespace = "ringfence")]
pub trait SnapshotsApi {
	/// Sends the active set at the newest finalized block, and ends. Fails with [`NOT_FINAL`] before the first one.
	#[subscription(name = "subscribeSnapshot" => "snapshot", unsubscribe = "unsubscribeSnapshot", item = Item)]
	async fn subscribe_snapshot(&self) -> SubscriptionResult;
}

pub struct Snapshots {
	client: Arc<Client>,
	log: Arc<FinalizedLog>,
	readers: Semaphore,
}

impl Snapshots {
	pub fn new(client: Arc<Client>, log: Arc<FinalizedLog>) -> Self {
		Self { client, log, readers: Semaphore::new(MAX_READERS) }
	}

	fn opening(&self, at: &Finalized) -> Result<Opening, LogError> {
		let keys = [keys::log_head(), keys::active_digest(), keys::protected_networks()];
		let mut wanted = keys.iter().map(|key| &key[..]);
		let proof = self.client.read_proof(at.hash, &mut wanted)?;
		Ok(Opening {
			block: BlockId { number: at.header.number, hash: at.hash },
			head: at.head.into(),
			header: at.header.encode().into(),
			justification: at.justification.clone().into(),
			proof: proof.into_iter_nodes().map(Bytes).collect(),
		})
	}

	/// The next page, off the threads that serve everybody else.
	async fn page(&self, at: &Finalized, after: Option<IndicatorId>) -> Result<Vec<Decision>, ErrorObjectOwned> {
		let (client, hash) = (self.client.clone(), at.hash);
		tokio::task::spawn_blocking(move || client.runtime_api().active(hash, after, PAGE))
			.await
			.map_err(internal)?
			.map_err(internal)
	}

	async fn send(&self, sink: &SubscriptionSink, at: &Finalized) -> SubscriptionResult {
		let mut patience = Patience::default();
		let opening = self.opening(at).map_err(|cause| internal(cause).message().to_owned())?;
		if !patience.sent(sink, &Item::Opening(opening)).await? {
			return Ok(());
		}
		let (mut after, mut count) = (None, 0);
		loop {
			let page = self.page(at, after).await.map_err(|cause| cause.message().to_owned())?;
			let Some(last) = page.last() else { break };
			after = Some(last.indicator.id());
			count += page.len() as u64;
			if !patience.sent(sink, &Item::Page(page.encode().into())).await? {
				return Ok(());
			}
		}
		patience.sent(sink, &Item::End { count }).await?;
		Ok(())
	}
}

/// How much longer a reader may take. The time that the node needs to read a page is not the reader's.
struct Patience(Duration);

impl Default for Patience {
	fn default() -> Self {
		Self(PATIENCE)
	}
}

impl Patience {
	/// Whether the reader took the item in time.
	async fn sent(&mut self, sink: &SubscriptionSink, item: &Item) -> Result<bool, serde_json::Error> {
		let message = SubscriptionMessage::from_json(item)?;
		let began = Instant::now();
		let taken = matches!(timeout(self.0, sink.send(message)).await, Ok(Ok(())));
		self.spend(began.elapsed());
		Ok(taken)
	}

	/// An item took this long.
	fn spend(&mut self, took: Duration) {
		self.0 = self.0.saturating_sub(took).saturating_add(PACE).min(PATIENCE);
	}
}

#[async_trait]
impl SnapshotsApiServer for Snapshots {
	async fn subscribe_snapshot(&self, pending: PendingSubscriptionSink) -> SubscriptionResult {
		let newest = self.log.watch().borrow().clone();
		let Some(at) = newest else {
			let message = "no block is final yet";
			pending.reject(ErrorObjectOwned::owned(NOT_FINAL, message, None::<()>)).await;
			return Ok(());
		};
		let sink = pending.accept().await?;
		// The semaphore is never closed; should that ever change, sending without a permit is still correct. Who waits
		// long reads at an older block, whose state is kept for hours.
		let permit = tokio::select! {
			permit = self.readers.acquire() => permit.ok(),
			() = sink.closed() => return Ok(()),
		};
		let result = self.send(&sink, &at).await;
		drop(permit);
		if let Err(cause) = &result {
			log::warn!(target: "ringfence", "A reader of the active set is cut off: {cause:?}");
		}
		result
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	/// Items that a reader gets which takes each after `pause`, up to `limit`.
	fn taken(pause: Duration, limit: usize) -> usize {
		let mut patience = Patience::default();
		(0..limit)
			.take_while(|_| {
				let in_time = pause <= patience.0;
				patience.spend(pause);
				in_time
			})
			.count()
	}

	#[test]
	fn who_keeps_pace_gets_all() {
		assert_eq!(taken(Duration::ZERO, 10_000), 10_000);
		assert_eq!(taken(PACE, 10_000), 10_000);
	}

	#[test]
	fn who_takes_an_item_just_before_it_would_be_cut_off_is_soon_cut_off() {
		assert_eq!(taken(PATIENCE + Duration::from_millis(1), 10), 0);
		assert_eq!(taken(Duration::from_secs(29), 10), 1);
		assert_eq!(taken(Duration::from_secs(3), 10_000), 28);
	}

	#[test]
	fn a_pause_is_forgiven_to_who_is_fast_otherwise() {
		let mut patience = Patience::default();
		patience.spend(PATIENCE);
		(0..100).for_each(|_| patience.spend(Duration::from_millis(10)));
		assert_eq!(patience.0, PATIENCE);
	}
}
