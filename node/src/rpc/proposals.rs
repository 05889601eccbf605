//! `ringfence_subscribeProposals`: what awaits an ISP's vote, on best blocks, because vetting does not wait for finality.

use super::{internal, BAD_ARGUMENT};
use crate::service::Client;
use codec::Encode;
use futures::StreamExt;
use jsonrpsee::{
	core::{async_trait, SubscriptionResult},
	proc_macros::rpc,
	types::ErrorObjectOwned,
	PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink,
};
use pallet_indicators::api::IndicatorsApi;
use ringfence_primitives::{AccountBytes, IndicatorId, Proposal};
use ringfence_runtime::Hash;
use sc_client_api::BlockchainEvents;
use sp_api::ProvideRuntimeApi;
use sp_blockchain::HeaderBackend;
use sp_core::Bytes;
use std::sync::Arc;

/// Proposals that one answer of the runtime may hold.
const PAGE: u32 = 256;

/// New best blocks that are asked one by one; beyond that, everything pending is sent again.
const MAX_ROUTE: usize = 64;

#[rpc(server, namespace = "ringfence")]
pub trait ProposalsApi {
	/// Sends proposals that `isp` (32 bytes) has not voted on: all that are pending, then those of each new best block.
	#[subscription(name = "subscribeProposals" => "proposals", unsubscribe = "unsubscribeProposals", item = Vec<Bytes>)]
	async fn subscribe_proposals(&self, isp: Bytes) -> SubscriptionResult;
}

pub struct Proposals {
	client: Arc<Client>,
}

impl Proposals {
	pub fn new(client: Arc<Client>) -> Self {
		Self { client }
	}

	async fn send_pending(&self, sink: &SubscriptionSink, isp: AccountBytes, at: Hash) -> SubscriptionResult {
		let mut after: Option<IndicatorId> = None;
		loop {
			let page = self.client.runtime_api().pending(at, isp, after, PAGE).map_err(internal)?;
			let complete = page.len() < PAGE as usize;
			after = page.last().map(|proposal| proposal.id);
			send(sink, page).await?;
			if complete {
				return Ok(());
			}
		}
	}
}

async fn send(sink: &SubscriptionSink, proposals: Vec<Proposal>) -> SubscriptionResult {
	if proposals.is_empty() {
		return Ok(());
	}
	let items: Vec<Bytes> = proposals.iter().map(|proposal| proposal.encode().into()).collect();
	Ok(sink.send(SubscriptionMessage::from_json(&items)?).await?)
}

#[async_trait]
impl ProposalsApiServer for Proposals {
	async fn subscribe_proposals(&self, pending: PendingSubscriptionSink, isp: Bytes) -> SubscriptionResult {
		let Ok(isp) = AccountBytes::try_from(&isp.0[..]) else {
			let cause = format!("an account has 32 bytes, not {}", isp.0.len());
			pending.reject(ErrorObjectOwned::owned(BAD_ARGUMENT, cause, None::<()>)).await;
			return Ok(());
		};
		let mut imports = self.client.import_notification_stream().filter(|n| futures::future::ready(n.is_new_best));
		let mut best = self.client.info().best_hash;
		let sink = pending.accept().await?;
		self.send_pending(&sink, isp, best).await?;
		loop {
			let new = tokio::select! {
				() = sink.closed() => return Ok(()),
				import = imports.next() => match import {
					Some(import) => import.hash,
					None => return Ok(()),
				},
			};
			let route = sp_blockchain::tree_route(&*self.client, best, new)?;
			best = new;
			if route.enacted().len() > MAX_ROUTE {
				self.send_pending(&sink, isp, best).await?;
				continue;
			}
			for block in route.enacted() {
				let mut reported = self.client.runtime_api().reported(block.hash).map_err(internal)?;
				// An ISP's own report is its approval already.
				reported.retain(|proposal| proposal.reporter != isp);
				send(&sink, reported).await?;
			}
		}
	}
}
