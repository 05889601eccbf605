//! `ringfence_subscribeChanges`: the change log, replayed and then followed.

use super::{internal, log::FinalizedLog, PRUNED};
use jsonrpsee::{
	core::{async_trait, SubscriptionResult},
	proc_macros::rpc,
	types::ErrorObjectOwned,
	PendingSubscriptionSink, SubscriptionMessage,
};
use std::sync::Arc;

#[rpc(server, namespace = "ringfence")]
pub trait ChangesApi {
	/// Sends every finalized change numbered `from` or later, in order, and nothing while nothing changes. 0 means 1.
	///
	/// Each subscriber is fed from the log at the pace at which it reads: one that is slow gets larger frames later, and
	/// none is left out. Fails with [`PRUNED`] where the log does not reach back to `from`.
	#[subscription(name = "subscribeChanges" => "changes", unsubscribe = "unsubscribeChanges", item = super::log::Frame)]
	async fn subscribe_changes(&self, from: u64) -> SubscriptionResult;
}

pub struct Changes {
	log: Arc<FinalizedLog>,
}

impl Changes {
	pub fn new(log: Arc<FinalizedLog>) -> Self {
		Self { log }
	}
}

fn pruned(oldest: u64) -> ErrorObjectOwned {
	let data = serde_json::json!({ "oldest": oldest });
	ErrorObjectOwned::owned(PRUNED, format!("the log is kept from entry {oldest} on"), Some(data))
}

#[async_trait]
impl ChangesApiServer for Changes {
	async fn subscribe_changes(&self, pending: PendingSubscriptionSink, from: u64) -> SubscriptionResult {
		let mut next = from.max(1);
		let mut newest = self.log.watch();
		let oldest = newest.borrow().as_ref().map_or(0, |finalized| finalized.head.oldest);
		if next < oldest {
			pending.reject(pruned(oldest)).await;
			return Ok(());
		}
		let sink = pending.accept().await?;
		loop {
			let at = newest.borrow_and_update().clone();
			if let Some(at) = at.filter(|at| at.head.seq >= next) {
				// The log may have been pruned past a reader that is too slow for it: say so, rather than leave a gap.
				if next < at.head.oldest {
					return Err(pruned(at.head.oldest).message().into());
				}
				let frame = self.log.frame(at, next).await.map_err(|cause| {
					log::warn!(target: "ringfence", "A subscriber of changes is cut off at {next}: {cause}");
					internal(cause).message().to_owned()
				})?;
				if sink.send(SubscriptionMessage::from_json(&*frame)?).await.is_err() {
					return Ok(());
				}
				next = next.saturating_add(frame.changes.len() as u64);
				continue;
			}
			tokio::select! {
				() = sink.closed() => return Ok(()),
				changed = newest.changed() => if changed.is_err() { return Ok(()) },
			}
		}
	}
}
