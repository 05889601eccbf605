//! `ringfence_subscribeSnapshot`: the whole active set at one finalized block, for those who begin with nothing or whom
//! the log no longer reaches.
//!
//! # Security considerations
//!
//! Anybody may ask. A snapshot is read page by page as fast as its reader takes it, so it costs no memory, and a few at
//! once are served at most: others wait, so that readers cannot starve consensus of the CPU. A reader that takes nothing
//! for [`PATIENCE`] loses its place.

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
use tokio::{sync::Semaphore, time::timeout};

/// Decisions in one page; the runtime returns no more.
const PAGE: u32 = 1_024;

/// Snapshots that are sent at once.
const MAX_READERS: usize = 4;

/// How long a reader may take for one page.
const PATIENCE: Duration = Duration::from_secs(30);

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
		if !sent(sink, &Item::Opening(self.opening(at).map_err(|cause| internal(cause).message().to_owned())?)).await? {
			return Ok(());
		}
		let (mut after, mut count) = (None, 0);
		loop {
			let page = self.page(at, after).await.map_err(|cause| cause.message().to_owned())?;
			let Some(last) = page.last() else { break };
			after = Some(last.indicator.id());
			count += page.len() as u64;
			if !sent(sink, &Item::Page(page.encode().into())).await? {
				return Ok(());
			}
		}
		sent(sink, &Item::End { count }).await?;
		Ok(())
	}
}

/// Whether the reader took the item in time.
async fn sent(sink: &SubscriptionSink, item: &Item) -> Result<bool, serde_json::Error> {
	let message = SubscriptionMessage::from_json(item)?;
	Ok(matches!(timeout(PATIENCE, sink.send(message)).await, Ok(Ok(()))))
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
