//! `ringfence_subscribeProposals`: what awaits an ISP's vote, as early as can be.
//!
//! A report is shown when it enters the node's pool, so that votes can ride in the block that takes the report, and again
//! when a best block has it: vetting does not wait for finality. Whatever is still without this ISP's vote some blocks
//! later is shown once more, since votes can get lost with a fork or a full pool. A dispute is shown when a best block has
//! it.
//!
//! Each goes with what stands behind it ([`Backing`]), so that whoever vets by that need not ask back: the vote would miss
//! the report's block.

use super::{bytes32, internal};
use crate::service::{Client, Pool};
use codec::{Decode, DecodeAll, Encode};
use futures::StreamExt;
use jsonrpsee::{
	core::{async_trait, SubscriptionResult},
	proc_macros::rpc,
	PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink,
};
use pallet_indicators::{api::IndicatorsApi, Call, RecordOf, Records};
use pallet_tiers::api::TiersApi;
use ringfence_primitives::{
	call::MAX_BATCH, AccountBytes, After, Backing, Indicator, IndicatorId, MemberRole, Proposal, Shown, Terms, Vote,
};
use ringfence_runtime::{Hash, Runtime, RuntimeCall, UncheckedExtrinsic, VERSION};
use sc_client_api::{BlockchainEvents, StorageProvider};
use sc_transaction_pool_api::{InPoolTransaction, TransactionPool};
use sp_api::{Core, ProvideRuntimeApi};
use sp_blockchain::HeaderBackend;
use sp_core::{storage::StorageKey, Bytes};
use sp_runtime::{generic::Preamble, MultiAddress};
use std::{
	collections::{BTreeMap, BTreeSet, VecDeque},
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
	/// Sends proposals that `isp` (32 bytes) has not voted on, each a SCALE-encoded [`Shown`]: all that are pending, then
	/// each as it is reported. One can be sent several times.
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

	/// What a transaction in the pool reports, if it does, and what names the transaction: several indicators if it is a
	/// batch. The runtime that this node was built with reads it, so a node that is older or newer than the chain's runtime
	/// waits for blocks instead.
	fn reported_by(&self, transaction: &Hash) -> Option<(Vec<Proposal>, After)> {
		let encoded = self.pool.ready_transaction(transaction)?.data().encode();
		let transaction = UncheckedExtrinsic::decode(&mut &encoded[..]).ok()?;
		let Preamble::Signed(MultiAddress::Id(signer), _, extension) = transaction.preamble else { return None };
		let nonce = ringfence_runtime::nonce(&extension);
		let RuntimeCall::Indicators(call) = transaction.function else { return None };
		let (terms, indicators) = reported(call)?;
		// Last, because it runs the runtime: most transactions in the pool are votes, and get no further than this.
		let best = self.client.info().best_hash;
		let version = self.client.runtime_api().version(best).ok()?;
		if version.transaction_version != VERSION.transaction_version || version.spec_version != VERSION.spec_version {
			return None;
		}
		// The key that signed may be a delegate's.
		let signer: AccountBytes = signer.into();
		let reporter = self.client.runtime_api().member(best, signer).ok()??.account;
		let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
		let proposed_at = u64::try_from(now.as_millis()).unwrap_or_default();
		Some((proposals(terms, indicators, reporter, proposed_at), After { signer, nonce }))
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

/// Who voted what.
type Votes = Vec<(AccountBytes, Vote)>;

/// A member's trust, and whether it is an ISP.
#[derive(Clone, Copy, Default)]
struct Standing {
	trust: u16,
	is_isp: bool,
}

/// What stands behind the report of `reporter`, to all but `asks`. An ISP counts once.
fn backing(reporter: AccountBytes, standing: Standing, votes: &[(AccountBytes, Vote)], asks: &AccountBytes) -> Backing {
	let own = standing.is_isp.then_some(reporter);
	let count = |counts: fn(Vote) -> bool| {
		let voters = votes.iter().filter(|(_, vote)| counts(*vote)).map(|(isp, _)| *isp);
		let isps: BTreeSet<AccountBytes> = voters.chain(own).filter(|isp| isp != asks).collect();
		u32::try_from(isps.len()).unwrap_or(u32::MAX)
	};
	Backing {
		trust: standing.trust,
		witnesses: count(|vote| vote == Vote::Sighting),
		approvals: count(Vote::is_approval),
	}
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
	/// Sends proposals, which one transaction reports if they are in no block yet, with what stands behind them in the
	/// state of the block `at`.
	async fn send(&self, at: Hash, proposals: Vec<Proposal>, after: Option<After>) -> SubscriptionResult {
		if proposals.is_empty() {
			return Ok(());
		}
		let mut standings = BTreeMap::new();
		let mut items: Vec<Bytes> = Vec::with_capacity(proposals.len());
		for proposal in proposals {
			let reporter = proposal.reporter;
			let standing = *standings.entry(reporter).or_insert_with(|| self.standing(at, reporter));
			let backing = backing(reporter, standing, &self.votes(at, proposal.id), &self.isp);
			items.push(Shown { proposal, backing, after }.encode().into());
		}
		Ok(self.sink.send(SubscriptionMessage::from_json(&items)?).await?)
	}

	/// None to speak of, where the runtime does not answer: the proposal is worth showing all the same.
	fn standing(&self, at: Hash, member: AccountBytes) -> Standing {
		let info = self.client.runtime_api().member(at, member).ok().flatten().filter(|info| info.active);
		info.map(|info| Standing { trust: info.trust, is_isp: info.role == MemberRole::Isp }).unwrap_or_default()
	}

	/// The votes on record about what awaits some. Read from the state itself, for there are hundreds in a block of
	/// batches; a record of another runtime's layout is passed over.
	fn votes(&self, at: Hash, id: IndicatorId) -> Votes {
		let key = StorageKey(Records::<Runtime>::hashed_key_for(id));
		let Ok(Some(data)) = self.client.storage(at, &key) else { return Votes::new() };
		match RecordOf::<Runtime>::decode_all(&mut &data.0[..]) {
			Ok(record) if record.awaits_votes() => {
				record.votes.into_iter().map(|(isp, vote)| (isp.into(), vote)).collect()
			}
			_ => Votes::new(),
		}
	}

	/// Shows proposals, and remembers to ask again at `height` plus [`AGAIN_AFTER`].
	async fn show(
		&mut self,
		height: u32,
		at: Hash,
		proposals: Vec<Proposal>,
		after: Option<After>,
	) -> SubscriptionResult {
		self.shown.extend(proposals.iter().map(|proposal| (height, proposal.id)));
		let surplus = self.shown.len().saturating_sub(MAX_REMEMBERED);
		self.shown.drain(..surplus);
		self.send(at, proposals, after).await
	}

	async fn show_all_pending(&mut self, height: u32, at: Hash) -> SubscriptionResult {
		let mut after = None;
		loop {
			let (proposals, next) = self.client.runtime_api().pending(at, self.isp, after, PAGE).map_err(internal)?;
			self.show(height, at, proposals, None).await?;
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
			self.send(at, missed, None).await?;
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
					if let Some((mut reported, after)) = self.reported_by(&transaction) {
						reported.retain(|proposal| proposal.reporter != isp);
						session.show(height, best, reported, Some(after)).await?;
					}
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
				session.show(height, best, reported, None).await?;
			}
			session.show_again(height, best).await?;
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_primitives::{Action, Confidence, Direction, Lifetime, Note, Severity, ThreatClass, Tlp};

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
		let vote = Call::vote { id: host(1).id(), terms: terms().hash(), vote: Vote::Approve, after: None };
		assert_eq!(reported(vote), None);
		assert_eq!(reported(Call::withdraw { id: host(1).id() }), None);
	}

	#[test]
	fn who_reported_and_who_saw_it_stands_behind_it_once_and_the_one_that_asks_does_not_count() {
		let isp = Standing { trust: 930, is_isp: true };
		let votes = [
			([1; 32], Vote::Approve),
			([2; 32], Vote::Sighting),
			([3; 32], Vote::Approve),
			([4; 32], Vote::Reject),
			([9; 32], Vote::Sighting),
		];
		let expected = Backing { trust: 930, witnesses: 2, approvals: 3 };
		assert_eq!(backing([1; 32], isp, &votes, &[9; 32]), expected);
		let fresh = Backing { trust: 930, witnesses: 1, approvals: 1 };
		assert_eq!(backing([1; 32], isp, &[], &[9; 32]), fresh);
		let researcher = Standing { trust: 800, is_isp: false };
		assert_eq!(backing([5; 32], researcher, &[], &[9; 32]), Backing { trust: 800, ..Backing::default() });
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
