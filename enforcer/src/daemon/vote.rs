//! An ISP's votes: proposals in, the vetting policy, votes out.
//!
//! A report that is shown alone is voted on alone and at once: the vote can ride in the report's own block. Proposals that
//! are shown together, as out of a batch, are voted on together. Nothing ties a batch of votes to the block of the
//! reports, and in front of them it would be lost, so it waits until the node shows them again, out of a block.

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
use ringfence_primitives::{call::GOOD_BATCH, AccountBytes, Ballot, IndicatorId, Millis, Shown};
use std::{
	collections::BTreeMap,
	future::pending,
	sync::Arc,
	time::{Duration, Instant},
};
use tokio::time::sleep_until;
use tracing::{info, warn};

/// Time in which a proposal that is sent again (from the pool and then from its block, after a reconnection or a fork) is
/// not voted on again: the vote is on its way. The node asks again for what it still misses after ten blocks.
const ON_ITS_WAY: Millis = 4_000;
/// Time for which a proposal is known to be on chain once it was shown a second time.
const KNOWN: Millis = 60_000;
/// Time in which votes that go together are gathered.
const GATHER: Duration = Duration::from_millis(5);
/// Time for which votes on what came together wait to see it in a block: two slots.
const HOLD: Duration = Duration::from_secs(1);
/// Votes that wait at most. Beyond that they go out as they come.
const MAX_HELD: usize = 32 * GOOD_BATCH;
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
	shown: Recent,
	complaints: Bucket,
	polls: Polls,
}

/// Votes on what came together, until they are cast.
#[derive(Debug, Default)]
struct Polls {
	/// They wait for their block, since then.
	held: BTreeMap<IndicatorId, Ballot>,
	held_since: Option<Instant>,
	/// They wait for company, since then.
	ready: Vec<Ballot>,
	ready_since: Option<Instant>,
}

impl Polls {
	/// Takes a vote in; `on_chain` says whether it need not wait for the block.
	fn add(&mut self, ballot: Ballot, on_chain: bool, now: Instant) {
		if on_chain || self.held.len() >= MAX_HELD {
			self.ready.push(ballot);
			self.ready_since.get_or_insert(now);
		} else {
			self.held.insert(ballot.id, ballot);
			self.held_since.get_or_insert(now);
		}
	}

	/// Forgets a vote that waits for its block. Whether there was one.
	fn release(&mut self, id: &IndicatorId) -> bool {
		let held = self.held.remove(id).is_some();
		if self.held.is_empty() {
			self.held_since = None;
		}
		held
	}

	/// When [`Self::cast`] is to be called next.
	fn due(&self) -> Option<Instant> {
		let times = [self.held_since.map(|since| since + HOLD), self.ready_since.map(|since| since + GATHER)];
		times.into_iter().flatten().min()
	}

	/// The votes that are due at `now`, in batches that find room.
	fn cast(&mut self, now: Instant) -> Vec<Vec<Ballot>> {
		if self.held_since.is_some_and(|since| since + HOLD <= now) {
			self.ready.extend(std::mem::take(&mut self.held).into_values());
			self.held_since = None;
			self.ready_since.get_or_insert(now.checked_sub(GATHER).unwrap_or(now));
		}
		let full = self.ready.len() >= GOOD_BATCH;
		if !full && self.ready_since.is_none_or(|since| since + GATHER > now) {
			return Vec::new();
		}
		self.ready_since = None;
		std::mem::take(&mut self.ready).chunks(GOOD_BATCH).map(<[Ballot]>::to_vec).collect()
	}
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
		let (seen, shown, complaints) = (Recent::new(ON_ITS_WAY), Recent::new(KNOWN), Bucket::new(COMPLAINTS));
		let polls = Polls::default();
		Self { isp, policy, lists, sightings, submitter, board, seen, shown, complaints, polls }
	}

	/// Votes on what the node proposes, for as long as the connection holds.
	pub async fn follow(&mut self, connection: &Connection) -> ChainError {
		loop {
			let mut proposals = match connection.proposals(&self.isp).await {
				Ok(proposals) => proposals,
				Err(error) => return error,
			};
			loop {
				tokio::select! {
					item = proposals.next() => match item {
						Some(Ok(texts)) => self.consider(&texts),
						Some(Err(cause)) => self.complain("not a list of proposals", &cause.to_string()),
						None => break,
					},
					() = until(self.polls.due()) => {}
				}
				self.cast();
			}
			// Everything pending is sent again to a new subscription.
			if !proposals.lagged() {
				return ChainError::Closed;
			}
		}
	}

	fn consider(&mut self, texts: &[String]) {
		let together = texts.len() > 1;
		for text in texts {
			let decoded = hex::decode(text).ok().and_then(|bytes| Shown::decode_all(&mut &bytes[..]).ok());
			match decoded.filter(|Shown { proposal, .. }| proposal.id == proposal.indicator.id()) {
				Some(shown) => self.consider_one(&shown, together),
				None => self.complain("not a proposal", text),
			}
		}
	}

	fn consider_one(&mut self, shown: &Shown, together: bool) {
		let (now, proposal) = (now_ms(), &shown.proposal);
		// A vote that waits is decided on anew: the block may hold other terms than the pool did.
		let held = self.polls.release(&proposal.id);
		if !held && self.seen.contains(&proposal.id, now) {
			return;
		}
		let on_chain = self.shown.contains(&proposal.id, now);
		self.seen.insert(proposal.id, now);
		self.shown.insert(proposal.id, now);
		let id = hex::encode(&proposal.id);
		let Opinion { vote, why } = vet(&self.policy, &self.lists, shown, self.sightings.ago(&proposal.indicator, now));
		let Some(vote) = vote else {
			info!(at = now, id, indicator = %proposal.indicator, why, "undecided");
			return self.board.update(|status| status.counts.undecided += 1);
		};
		if !held {
			info!(at = now, id, %vote, why, "vote");
			self.board.update(|status| status.counts.votes += 1);
		}
		let ballot = Ballot { id: proposal.id, terms: proposal.terms.hash(), vote };
		match together {
			true => self.polls.add(ballot, on_chain, Instant::now()),
			false => self.submitter.submit(single(ballot)),
		}
	}

	fn cast(&mut self) {
		for ballots in self.polls.cast(Instant::now()) {
			let Some(first) = ballots.first().copied() else { continue };
			self.submitter.submit(match ballots.len() {
				1 => single(first),
				_ => Job { id: first.id, call: Call::VoteBatch(ballots) },
			});
		}
	}

	fn complain(&mut self, message: &str, about: &str) {
		if self.complaints.take(now_ms()) {
			warn!(at = now_ms(), text = excerpt(about), "{message}");
		}
	}
}

fn single(Ballot { id, terms, vote }: Ballot) -> Job {
	Job { id, call: Call::Vote { terms, vote } }
}

/// Waits until then; without a time, for ever.
async fn until(time: Option<Instant>) {
	match time {
		Some(time) => sleep_until(time.into()).await,
		None => pending().await,
	}
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

	#[test]
	fn what_is_on_chain_is_voted_on_together_after_a_moment() {
		let (mut polls, start) = (Polls::default(), Instant::now());
		polls.add(ballot(1), true, start);
		polls.add(ballot(2), true, start + GATHER / 2);
		assert_eq!(polls.due(), Some(start + GATHER));
		assert!(polls.cast(start + GATHER / 2).is_empty());
		assert_eq!(polls.cast(start + GATHER), [vec![ballot(1), ballot(2)]]);
		assert_eq!(polls.due(), None);
		assert!(polls.cast(start + HOLD).is_empty());
	}

	#[test]
	fn what_is_in_the_pool_waits_for_its_block_but_not_for_ever() {
		let (mut polls, start) = (Polls::default(), Instant::now());
		polls.add(ballot(1), false, start);
		polls.add(ballot(2), false, start);
		assert!(polls.cast(start + GATHER).is_empty());
		assert!(polls.release(&ballot(1).id), "the block shows it");
		assert!(!polls.release(&ballot(1).id));
		polls.add(ballot(1), true, start + GATHER);
		assert_eq!(polls.cast(start + 2 * GATHER), [vec![ballot(1)]]);
		assert_eq!(polls.due(), Some(start + HOLD));
		assert_eq!(polls.cast(start + HOLD), [vec![ballot(2)]]);
		assert_eq!(polls.due(), None);
	}

	#[test]
	fn batches_find_room_in_a_block_beside_others() {
		let (mut polls, start) = (Polls::default(), Instant::now());
		for number in 0..2 * GOOD_BATCH as u16 + 6 {
			polls.add(ballot(number), true, start);
		}
		let lengths: Vec<_> = polls.cast(start).iter().map(Vec::len).collect();
		assert_eq!(lengths, [GOOD_BATCH, GOOD_BATCH, 6], "a full batch waits for nothing");
	}

	#[test]
	fn no_flood_is_held_back_in_memory() {
		let (mut polls, start) = (Polls::default(), Instant::now());
		for number in 0..u16::try_from(MAX_HELD).unwrap() + 10 {
			polls.add(ballot(number), false, start);
		}
		assert_eq!((polls.held.len(), polls.ready.len()), (MAX_HELD, 10));
	}
}
