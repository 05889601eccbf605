//! An ISP's votes: proposals in, the vetting policy, votes out.

use super::{
	chain::{ChainError, Connection},
	excerpt, now_ms,
	status::Board,
	submit::{Call, Job, Submitter},
};
use crate::core::{
	hex,
	report::Recent,
	vet::{vet, VettingPolicy},
};
use codec::DecodeAll;
use jsonrpsee::core::client::SubscriptionCloseReason;
use ringfence_primitives::{AccountBytes, Millis, Network, Proposal};
use std::{sync::Arc, time::Duration};
use tracing::{error, info, warn};

/// Time in which a proposal that is sent again (from the pool and then from its block, after a reconnection or a fork) is
/// not voted on again: the vote is on its way. The node asks again for what it still misses after ten blocks.
const ON_ITS_WAY: Millis = 4_000;
/// Pause after the node refused to say what is proposed. That is no reason to stop enforcing.
const PAUSE: Duration = Duration::from_secs(60);

/// Votes for one ISP.
pub struct Voter {
	isp: AccountBytes,
	policy: VettingPolicy,
	protected: Vec<Network>,
	allowed: Vec<Network>,
	submitter: Submitter,
	board: Arc<Board>,
	seen: Recent,
}

impl Voter {
	/// A voter for the ISP that the submitter signs for.
	pub fn new(
		isp: AccountBytes,
		policy: VettingPolicy,
		protected: Vec<Network>,
		allowed: Vec<Network>,
		submitter: Submitter,
		board: Arc<Board>,
	) -> Self {
		Self { isp, policy, protected, allowed, submitter, board, seen: Recent::new(ON_ITS_WAY) }
	}

	/// Votes on what the node proposes, for as long as the connection holds.
	pub async fn follow(&mut self, connection: &Connection) -> ChainError {
		loop {
			let mut proposals = match connection.proposals(&self.isp).await {
				Ok(proposals) => proposals,
				Err(ChainError::Refused(refusal)) => {
					error!(at = now_ms(), cause = %refusal, "cannot vote");
					tokio::time::sleep(PAUSE).await;
					continue;
				}
				Err(error) => return error,
			};
			while let Some(item) = proposals.next().await {
				match item {
					Ok(texts) => texts.iter().for_each(|text| self.consider(text)),
					Err(cause) => warn!(at = now_ms(), cause = excerpt(&cause.to_string()), "not a list of proposals"),
				}
			}
			// Everything pending is sent again to a new subscription.
			let Some(SubscriptionCloseReason::Lagged) = proposals.close_reason() else { return ChainError::Closed };
		}
	}

	fn consider(&mut self, text: &str) {
		let decoded = hex::decode(text).ok().and_then(|bytes| Proposal::decode_all(&mut &bytes[..]).ok());
		let Some(proposal) = decoded.filter(|proposal| proposal.id == proposal.indicator.id()) else {
			warn!(at = now_ms(), proposal = excerpt(text), "not a proposal");
			return;
		};
		let now = now_ms();
		if self.seen.contains(&proposal.id, now) {
			return;
		}
		self.seen.insert(proposal.id, now);
		let id = hex::encode(&proposal.id);
		match vet(&self.policy, &proposal, &self.protected, &self.allowed) {
			Some((vote, why)) => {
				info!(at = now, id, %vote, why, "vote");
				self.submitter.submit(Job { id: proposal.id, call: Call::Vote { terms: proposal.terms.hash(), vote } });
				self.board.update(|status| status.counts.votes += 1);
			}
			None => {
				info!(at = now, id, indicator = %proposal.indicator, "undecided");
				self.board.update(|status| status.counts.undecided += 1);
			}
		}
	}
}
