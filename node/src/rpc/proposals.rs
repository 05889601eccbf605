//! `ringfence_subscribeProposals`: what awaits an ISP's vote, as early as can be.
//!
//! A report is shown when it enters the node's pool, so that votes can ride in the block that takes the report, and again
//! when a best block has it: vetting does not wait for finality. Whatever is still without this ISP's vote some blocks
//! later is shown once more, since votes can get lost with a fork or a full pool. A dispute is shown when a best block has
//! it.

use super::{bytes32, internal};
use crate::service::{Client, Pool};
use codec::{Decode, Encode};
use futures::StreamExt;
use jsonrpsee::{
	core::{async_trait, SubscriptionResult},
	proc_macros::rpc,
	PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink,
};
use pallet_indicators::{api::IndicatorsApi, Call};
use pallet_tiers::api::TiersApi;
use ringfence_primitives::{call::MAX_BATCH, AccountBytes, Indicator, IndicatorId, Proposal, Terms};
use ringfence_runtime::{AccountId, Hash, Runtime, RuntimeCall, UncheckedExtrinsic, VERSION};
use sc_client_api::BlockchainEvents;
use sc_transaction_pool_api::{InPoolTransaction, TransactionPool};
use sp_api::{Core, ProvideRuntimeApi};
use sp_blockchain::HeaderBackend;
use sp_core::Bytes;
use sp_runtime::{generic::Preamble, MultiAddress};
use std::{
	collections::VecDeque,
	sync::Arc,
	time::{SystemTime, UNIX_EPOCH},
};

/// Proposals that one answer of the runtime may hold.
const PAGE: u32 = 256;

/// New best blocks that are asked one by one; beyond that, everything pending is sent again.
const MAX_ROUTE: usize = 64;

/// Blocks after which a proposal is shown again if it still lacks the vote.
const AGAIN_AFTER: u32 = 10;

/// Proposals that are remembered for that: what full blocks of batches bring in this time. The oldest are forgotten first:
/// a new subscription shows them.
const MAX_REMEMBERED: usize = 16_384;

/// Questions to the runtime, of [`PAGE`] proposals each, that showing again may take at one block.
const MAX_QUESTIONS: usize = 4;

#[rpc(server, namespace = "ringfence")]
pub trait ProposalsApi {
	/// Sends proposals that `isp` (32 bytes) has not voted on: all that are pending, then each as it is reported. One can
	/// be sent several times.
	#[subscription(name = "subscribeProposals" => "proposals", unsubscribe = "unsubscribeProposals", item = Vec<Bytes>)]
	async fn subscribe_proposals(&self, isp: Bytes) -> SubscriptionResult;
}

pub struct Proposals {
	client: Arc<Client>,
	pool: Arc<Pool>,
}

impl Proposals {
	pub fn new(client: Arc<Client>, pool: Arc<Pool>) -> Self {
		Self { client, pool }
	}

	/// What a transaction in the pool reports, if it does: several indicators if it is a batch. The runtime that this node
	/// was built with reads it, so a node that is older or newer than the chain's runtime waits for blocks instead.
	fn reported_by(&self, transaction: &Hash) -> Vec<Proposal> {
		self.read(transaction).unwrap_or_default()
	}

	fn read(&self, transaction: &Hash) -> Option<Vec<Proposal>> {
		let encoded = self.pool.ready_transaction(transaction)?.data().encode();
		let transaction = UncheckedExtrinsic::decode(&mut &encoded[..]).ok()?;
		let Preamble::Signed(MultiAddress::Id(signer), ..) = transaction.preamble else { return None };
		let RuntimeCall::Indicators(call) = transaction.function else { return None };
		let (terms, indicators) = reported(call)?;
		// Last, because it runs the runtime: most transactions in the pool are votes, and get no further than this.
		let best = self.client.info().best_hash;
		let version = self.client.runtime_api().version(best).ok()?;
		if version.transaction_version != VERSION.transaction_version || version.spec_version != VERSION.spec_version {
			return None;
		}
		// The key that signed may be a delegate's.
		let reporter = self.client.runtime_api().member(best, AccountId::into(signer)).ok()??.account;
		let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
		let proposed_at = u64::try_from(now.as_millis()).unwrap_or_default();
		Some(proposals(terms, indicators, reporter, proposed_at))
	}
}

/// What a call reports, if it does.
fn reported(call: Call<Runtime>) -> Option<(Terms, Vec<Indicator>)> {
	match call {
		Call::report { indicator, terms } | Call::report_provisionally { indicator, terms } => {
			Some((terms, vec![indicator]))
		}
		Call::report_batch { terms, indicators } => Some((terms, indicators.into_inner())),
		_ => None,
	}
}

fn proposals(terms: Terms, indicators: Vec<Indicator>, reporter: AccountBytes, proposed_at: u64) -> Vec<Proposal> {
	indicators
		.into_iter()
		.take(MAX_BATCH as usize)
		.map(|indicator| Proposal {
			id: indicator.id(),
			indicator,
			terms: terms.clone(),
			reporter,
			proposed_at,
			disputed: false,
		})
		.collect()
}

/// One ISP's subscription.
struct Session<'a> {
	client: &'a Client,
	sink: SubscriptionSink,
	isp: AccountBytes,
	/// What was shown, and at which height, oldest first.
	shown: VecDeque<(u32, IndicatorId)>,
}

impl Session<'_> {
	async fn send(&self, proposals: &[Proposal]) -> SubscriptionResult {
		if proposals.is_empty() {
			return Ok(());
		}
		let items: Vec<Bytes> = proposals.iter().map(|proposal| proposal.encode().into()).collect();
		Ok(self.sink.send(SubscriptionMessage::from_json(&items)?).await?)
	}

	/// Shows proposals, and remembers to ask again at `height` plus [`AGAIN_AFTER`].
	async fn show(&mut self, height: u32, proposals: Vec<Proposal>) -> SubscriptionResult {
		self.shown.extend(proposals.iter().map(|proposal| (height, proposal.id)));
		let surplus = self.shown.len().saturating_sub(MAX_REMEMBERED);
		self.shown.drain(..surplus);
		self.send(&proposals).await
	}

	async fn show_all_pending(&mut self, height: u32, at: Hash) -> SubscriptionResult {
		let mut after = None;
		loop {
			let (proposals, next) = self.client.runtime_api().pending(at, self.isp, after, PAGE).map_err(internal)?;
			self.show(height, proposals).await?;
			if next.is_none() {
				return Ok(());
			}
			after = next;
		}
	}

	/// Shows once more what was shown [`AGAIN_AFTER`] blocks ago and still lacks the vote.
	async fn show_again(&mut self, height: u32, at: Hash) -> SubscriptionResult {
		let due = |(shown, _): &(u32, IndicatorId)| shown.saturating_add(AGAIN_AFTER) <= height;
		for _ in 0..MAX_QUESTIONS {
			let ids: Vec<IndicatorId> =
				self.shown.iter().take(PAGE as usize).take_while(|item| due(item)).map(|(_, id)| *id).collect();
			if ids.is_empty() {
				break;
			}
			self.shown.drain(..ids.len());
			let missed = self.client.runtime_api().awaiting(at, self.isp, ids).map_err(internal)?;
			self.send(&missed).await?;
		}
		Ok(())
	}
}

#[async_trait]
impl ProposalsApiServer for Proposals {
	async fn subscribe_proposals(&self, pending: PendingSubscriptionSink, isp: Bytes) -> SubscriptionResult {
		let isp = match bytes32(&isp) {
			Ok(isp) => isp,
			Err(cause) => {
				pending.reject(cause).await;
				return Ok(());
			}
		};
		let mut entering = self.pool.import_notification_stream();
		let mut imports = self.client.import_notification_stream().filter(|n| futures::future::ready(n.is_new_best));
		let info = self.client.info();
		let (mut best, mut height) = (info.best_hash, info.best_number);
		let mut session = Session { client: &self.client, sink: pending.accept().await?, isp, shown: VecDeque::new() };
		session.show_all_pending(height, best).await?;
		loop {
			let new = tokio::select! {
				() = session.sink.closed() => return Ok(()),
				transaction = entering.next() => {
					let Some(transaction) = transaction else { return Ok(()) };
					let mut reported = self.reported_by(&transaction);
					reported.retain(|proposal| proposal.reporter != isp);
					session.show(height, reported).await?;
					continue;
				},
				import = imports.next() => match import {
					Some(import) => import,
					None => return Ok(()),
				},
			};
			let route = sp_blockchain::tree_route(&*self.client, best, new.hash)?;
			(best, height) = (new.hash, new.header.number);
			if route.enacted().len() > MAX_ROUTE {
				session.show_all_pending(height, best).await?;
				continue;
			}
			for block in route.enacted() {
				let mut reported = self.client.runtime_api().reported(block.hash).map_err(internal)?;
				// An ISP's own report is its approval already; that somebody disputes it is worth knowing.
				reported.retain(|proposal| proposal.reporter != isp || proposal.disputed);
				session.show(height, reported).await?;
			}
			session.show_again(height, best).await?;
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_primitives::{Action, Confidence, Direction, Lifetime, Note, Severity, ThreatClass, Tlp, Vote};

	fn terms() -> Terms {
		Terms {
			threat: ThreatClass::Scan,
			severity: Severity::Medium,
			confidence: Confidence::new(50).unwrap(),
			direction: Direction::Both,
			action: Action::Drop,
			tlp: Tlp::Green,
			lifetime: Lifetime::new(60).unwrap(),
			evidence: None,
			note: Note::default(),
		}
	}

	fn host(last: u8) -> Indicator {
		Indicator::Host(ringfence_primitives::Address::V4([198, 51, 100, last]))
	}

	#[test]
	fn every_kind_of_report_is_shown() {
		let one = Some((terms(), vec![host(1)]));
		assert_eq!(reported(Call::report { indicator: host(1), terms: terms() }), one);
		assert_eq!(reported(Call::report_provisionally { indicator: host(1), terms: terms() }), one);
		let indicators = vec![host(1), host(2)].try_into().unwrap();
		assert_eq!(
			reported(Call::report_batch { terms: terms(), indicators }),
			Some((terms(), vec![host(1), host(2)]))
		);
	}

	#[test]
	fn other_calls_are_not() {
		let vote = Call::vote { id: host(1).id(), terms: terms().hash(), vote: Vote::Approve };
		assert_eq!(reported(vote), None);
		assert_eq!(reported(Call::withdraw { id: host(1).id() }), None);
	}

	#[test]
	fn a_batch_is_a_proposal_an_item() {
		let shown = proposals(terms(), vec![host(1), host(2)], [7; 32], 9);
		assert_eq!(shown.iter().map(|proposal| proposal.id).collect::<Vec<_>>(), [host(1).id(), host(2).id()]);
		assert!(shown.iter().all(|p| p.reporter == [7; 32] && p.terms == terms() && p.proposed_at == 9 && !p.disputed));
		let many = vec![host(1); MAX_BATCH as usize + 1];
		assert_eq!(proposals(terms(), many, [7; 32], 9).len(), MAX_BATCH as usize);
	}
}
