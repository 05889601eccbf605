//! An indicator on record.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::fmt::Debug;
use frame_support::{traits::Get, BoundedVec, CloneNoBound, DebugNoBound, EqNoBound, PartialEqNoBound};
use ringfence_primitives::{Confidence, Decision, Indicator, Millis, Terms, Vote};
use scale_info::TypeInfo;

/// Where an indicator is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Status {
	/// It awaits votes.
	#[codec(index = 0)]
	Proposed,
	/// It awaits votes and is enforced meanwhile.
	#[codec(index = 1)]
	Provisional {
		/// Since when.
		since: Millis,
	},
	/// It is enforced.
	#[codec(index = 2)]
	Active {
		/// Since when.
		since: Millis,
	},
	/// It was voted down and may not be proposed again yet.
	#[codec(index = 3)]
	Rejected,
}

/// Whether somebody says that an active indicator should not be. There is one dispute in the life of an activation.
#[derive(
	CloneNoBound,
	PartialEqNoBound,
	EqNoBound,
	DebugNoBound,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[scale_info(skip_type_params(MaxVotes))]
#[codec(mel_bound(AccountId: MaxEncodedLen, MaxVotes: Get<u32>))]
pub enum Dispute<AccountId, MaxVotes>
where
	AccountId: Clone + PartialEq + Eq + Debug,
	MaxVotes: Get<u32>,
{
	/// Nobody has said so.
	#[codec(index = 0)]
	None,
	/// The vote is open again.
	#[codec(index = 1)]
	Open {
		/// Who disputes it.
		by: AccountId,
		/// When the votes settle it, or the indicator's own end if that comes first.
		until: Millis,
		/// What was voted before.
		before: BoundedVec<(AccountId, Vote), MaxVotes>,
	},
	/// It was disputed, and stayed.
	#[codec(index = 2)]
	Settled,
}

/// An indicator on record.
#[derive(
	CloneNoBound,
	PartialEqNoBound,
	EqNoBound,
	DebugNoBound,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[scale_info(skip_type_params(MaxVotes))]
#[codec(mel_bound(AccountId: MaxEncodedLen, MaxVotes: Get<u32>))]
pub struct Record<AccountId, MaxVotes>
where
	AccountId: Clone + PartialEq + Eq + Debug,
	MaxVotes: Get<u32>,
{
	/// What is bad.
	pub indicator: Indicator,
	/// What was asked for.
	pub terms: Terms,
	/// The member that reported it.
	pub reporter: AccountId,
	/// Where it is in its life.
	pub status: Status,
	/// When it was reported.
	pub proposed_at: Millis,
	/// When its present status ends by itself.
	pub ends_at: Millis,
	/// How sure the chain is of it: the reporter's confidence, raised by sightings when it was last activated or extended.
	pub confidence: Confidence,
	/// One vote an ISP; while a dispute is open, those cast in the dispute.
	pub votes: BoundedVec<(AccountId, Vote), MaxVotes>,
	/// Whether somebody says that it should not be active.
	pub dispute: Dispute<AccountId, MaxVotes>,
	/// The page of the file, of the stretch in which it is due, that it is on.
	pub page: u32,
}

impl<AccountId, MaxVotes> Record<AccountId, MaxVotes>
where
	AccountId: Clone + PartialEq + Eq + Debug,
	MaxVotes: Get<u32>,
{
	/// Whether enforcers act on it.
	pub const fn is_enforced(&self) -> bool {
		matches!(self.status, Status::Provisional { .. } | Status::Active { .. })
	}

	/// Whether its first vote is undecided.
	pub const fn is_unconfirmed(&self) -> bool {
		matches!(self.status, Status::Proposed | Status::Provisional { .. })
	}

	/// Whether a dispute about it is open.
	pub const fn is_disputed(&self) -> bool {
		matches!(self.dispute, Dispute::Open { .. })
	}

	/// Whether a dispute about it is open and ends first. One that lasts until the indicator's own end comes to no verdict.
	pub const fn outlives_dispute(&self) -> bool {
		matches!(self.dispute, Dispute::Open { until, .. } if until < self.ends_at)
	}

	/// What was voted before the dispute that is open.
	pub fn votes_before(&self) -> &[(AccountId, Vote)] {
		match &self.dispute {
			Dispute::Open { before, .. } => before.as_slice(),
			Dispute::None | Dispute::Settled => &[],
		}
	}

	/// Whether a decision depends on votes yet to be cast.
	pub const fn awaits_votes(&self) -> bool {
		self.is_unconfirmed() || self.is_disputed()
	}

	/// When time alone changes something next: the end of its status, or of the dispute if that is earlier.
	pub fn due_at(&self) -> Millis {
		match self.dispute {
			Dispute::Open { until, .. } => until.min(self.ends_at),
			Dispute::None | Dispute::Settled => self.ends_at,
		}
	}

	/// Whether `isp` has voted.
	pub fn has_vote_of(&self, isp: &AccountId) -> bool {
		self.votes.iter().any(|(voter, _)| voter == isp)
	}

	/// How many approve, and how many reject.
	pub fn tally(&self) -> (u32, u32) {
		self.votes.iter().fold((0, 0), |(approvals, rejections): (u32, u32), (_, vote)| {
			if vote.is_approval() {
				(approvals.saturating_add(1), rejections)
			} else {
				(approvals, rejections.saturating_add(1))
			}
		})
	}

	/// The reporter's confidence, raised half-way to certainty by each other ISP that saw the indicator too.
	pub fn raised_confidence(&self) -> Confidence {
		let certain = Confidence::MAX.get();
		let sightings = self.votes.iter().filter(|(voter, vote)| *vote == Vote::Sighting && *voter != self.reporter);
		let raised = sightings.fold(self.terms.confidence.get(), |confidence, _| {
			confidence.saturating_add(certain.saturating_sub(confidence) / 2)
		});
		Confidence::new(raised).unwrap_or(Confidence::MAX)
	}

	/// What the log says while it is enforced.
	pub fn decision(&self) -> Decision {
		Decision {
			indicator: self.indicator.clone(),
			direction: self.terms.direction,
			action: self.terms.action,
			threat: self.terms.threat,
			severity: self.terms.severity,
			confidence: self.confidence,
			expires_at: self.ends_at,
		}
	}
}
