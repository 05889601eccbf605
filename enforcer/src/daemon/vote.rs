//! An ISP's votes: proposals in, the vetting policy, votes out.
//!
//! A vote on what is only in the pool names the report's transaction, comes after it, and can ride in its block. What one
//! transaction reports is voted on together.

use super::{
	chain::{ChainError, Connection},
	excerpt, now_ms,
	seen::Seen,
	status::Board,
	submit::{Call, Job, Submitter},
};
use crate::core::{
	hex,
	report::{Bucket, Recent},
	vet::{vet, Lists, Opinion, VettingPolicy},
};
use codec::DecodeAll;
use ringfence_primitives::{call::GOOD_BATCH, AccountBytes, After, Ballot, Millis, Shown};
use std::sync::Arc;
use tracing::{info, warn};

/// Time in which a proposal that is sent again (from the pool and then from its block, after a reconnection or a fork) is
/// not voted on again: the vote is on its way. The node asks again for what it still misses after ten blocks.
const ON_ITS_WAY: Millis = 4_000;
/// Lines about what is no proposal, a minute.
const COMPLAINTS: u32 = 60;

/// Votes for one ISP.
pub struct Voter {
	isp: AccountBytes,
	policy: VettingPolicy,
	lists: Arc<Lists>,
	sightings: Seen,
	submitter: Submitter,
	board: Arc<Board>,
	seen: Recent,
	complaints: Bucket,
}

impl Voter {
	/// A voter for the ISP `isp`, whichever of its keys the submitter signs with. `sightings` are what its sensors and its
	/// inbox saw.
	pub fn new(
		isp: AccountBytes,
		policy: VettingPolicy,
		lists: Arc<Lists>,
		sightings: Seen,
		submitter: Submitter,
		board: Arc<Board>,
	) -> Self {
		let (seen, complaints) = (Recent::new(ON_ITS_WAY), Bucket::new(COMPLAINTS));
		Self { isp, policy, lists, sightings, submitter, board, seen, complaints }
	}

	/// Votes on what the node proposes, for as long as the connection holds.
	pub async fn follow(&mut self, connection: &Connection) -> ChainError {
		loop {
			let mut proposals = match connection.proposals(&self.isp).await {
				Ok(proposals) => proposals,
				Err(error) => return error,
			};
			while let Some(item) = proposals.next().await {
				match item {
					Ok(texts) => self.consider(&texts),
					Err(cause) => self.complain("not a list of proposals", &cause.to_string()),
				}
			}
			// Everything pending is sent again to a new subscription.
			if !proposals.lagged() {
				return ChainError::Closed;
			}
		}
	}

	fn consider(&mut self, texts: &[String]) {
		let mut votes = Vec::new();
		for text in texts {
			let decoded = hex::decode(text).ok().and_then(|bytes| Shown::decode_all(&mut &bytes[..]).ok());
			match decoded.filter(|Shown { proposal, .. }| proposal.id == proposal.indicator.id()) {
				Some(shown) => votes.extend(self.consider_one(&shown).map(|ballot| (shown.after, ballot))),
				None => self.complain("not a proposal", text),
			}
		}
		for job in jobs(&votes) {
			self.submitter.submit(job);
		}
	}

	fn consider_one(&mut self, shown: &Shown) -> Option<Ballot> {
		let (now, proposal) = (now_ms(), &shown.proposal);
		if self.seen.contains(&proposal.id, now) {
			return None;
		}
		self.seen.insert(proposal.id, now);
		let id = hex::encode(&proposal.id);
		let Opinion { vote, why } = vet(&self.policy, &self.lists, shown, self.sightings.ago(&proposal.indicator, now));
		let Some(vote) = vote else {
			info!(at = now, id, indicator = %proposal.indicator, why, "undecided");
			self.board.update(|status| status.counts.undecided += 1);
			return None;
		};
		info!(at = now, id, %vote, why, "vote");
		self.board.update(|status| status.counts.votes += 1);
		Some(Ballot { id: proposal.id, terms: proposal.terms.hash(), vote })
	}

	fn complain(&mut self, message: &str, about: &str) {
		if self.complaints.take(now_ms()) {
			warn!(at = now_ms(), text = excerpt(about), "{message}");
		}
	}
}

/// Calls for votes, in batches that find room. Votes that come after different transactions go in different calls.
fn jobs(votes: &[(Option<After>, Ballot)]) -> Vec<Job> {
	let together = votes.chunk_by(|(one, _), (other, _)| one == other).flat_map(|votes| votes.chunks(GOOD_BATCH));
	let job = |votes: &[(Option<After>, Ballot)]| {
		let (after, first) = *votes.first()?;
		let ballots = votes.iter().map(|(_, ballot)| *ballot).collect();
		Some(Job { id: first.id, call: Call::Vote { ballots, after } })
	};
	together.filter_map(job).collect()
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_primitives::Vote;

	fn ballot(number: u16) -> Ballot {
		let mut id = [0; 32];
		id[..2].copy_from_slice(&number.to_be_bytes());
		Ballot { id, terms: [1; 32], vote: Vote::Approve }
	}

	/// What each call comes after, and how many votes are in it.
	fn calls(votes: &[(Option<After>, Ballot)]) -> Vec<(Option<u32>, usize)> {
		let call = |job: Job| match job.call {
			Call::Vote { ballots, after } => {
				assert_eq!(job.id, ballots[0].id);
				(after.map(|after| after.nonce), ballots.len())
			}
			other => panic!("{} is no vote", other.name()),
		};
		jobs(votes).into_iter().map(call).collect()
	}

	#[test]
	fn votes_on_what_one_transaction_reports_go_together_and_after_it() {
		let after = |nonce| Some(After { signer: [7; 32], nonce });
		assert_eq!(calls(&[]), []);
		let votes = [(after(3), ballot(1)), (after(3), ballot(2)), (after(4), ballot(3)), (None, ballot(4))];
		assert_eq!(calls(&votes), [(Some(3), 2), (Some(4), 1), (None, 1)]);
	}

	#[test]
	fn batches_find_room_in_a_block_beside_others() {
		let votes: Vec<_> = (0..2 * GOOD_BATCH as u16 + 6).map(|number| (None, ballot(number))).collect();
		assert_eq!(calls(&votes), [(None, GOOD_BATCH), (None, GOOD_BATCH), (None, 6)]);
	}
}
