//! The life of an indicator: report, vote, withdrawal, and what follows from them.

use crate::{ActiveCount, Config, Error, Event, Pallet, Proposed, ProposedCount, RecordOf, Records};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
	ensure,
	traits::{Get, Time},
	BoundedVec, CloneNoBound, DebugNoBound, EqNoBound, PartialEqNoBound,
};
use ringfence_primitives::{ChangeKind, Decision, Digest, Indicator, IndicatorId, Millis, Terms, Vote};
use scale_info::TypeInfo;
use sp_runtime::DispatchResult;

/// For whom a member speaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Voice<AccountId> {
	/// It is an ISP.
	Isp,
	/// It is a subscriber of this ISP.
	SubscriberOf(AccountId),
	/// It is a researcher.
	Researcher,
}

/// What this pallet has to know of the register of members.
pub trait Members<AccountId> {
	/// For whom `who` may speak now; none if it is not an active member.
	fn voice(who: &AccountId) -> Option<Voice<AccountId>>;

	/// The ISPs that are active.
	fn isps() -> Vec<AccountId>;

	/// Adds an active ISP, for benchmarks.
	#[cfg(feature = "runtime-benchmarks")]
	fn add_isp(who: &AccountId);
}

/// Where an indicator is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Status {
	/// It awaits votes.
	Proposed,
	/// It is enforced.
	Active {
		/// Since when.
		since: Millis,
	},
	/// It was voted down and may not be proposed again yet.
	Rejected,
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
	AccountId: Clone + PartialEq + Eq + core::fmt::Debug,
	MaxVotes: Get<u32>,
{
	/// What is bad.
	pub indicator: Indicator,
	/// What was asked for.
	pub terms: Terms,
	/// Who reported it.
	pub reporter: AccountId,
	/// The reporter's ISP: itself, or that of a subscriber; none for a researcher.
	pub isp: Option<AccountId>,
	/// Where it is in its life.
	pub status: Status,
	/// When it was reported.
	pub proposed_at: Millis,
	/// When its present status ends by itself.
	pub ends_at: Millis,
	/// One vote an ISP.
	pub votes: BoundedVec<(AccountId, Vote), MaxVotes>,
}

/// How many of `isps` approvals activate.
fn quorum(isps: u32, wide: bool) -> u32 {
	if wide {
		isps.saturating_mul(2).div_ceil(3).max(majority(isps))
	} else {
		majority(isps)
	}
}

/// More than half of `isps`.
const fn majority(isps: u32) -> u32 {
	(isps / 2).saturating_add(1)
}

/// How many rejections stop a proposal: one third of `isps`, and at least one.
fn veto(isps: u32) -> u32 {
	isps.div_ceil(3).max(1)
}

impl<T: Config> Pallet<T> {
	pub(crate) fn do_report(who: T::AccountId, indicator: Indicator, terms: Terms) -> DispatchResult {
		let voice = T::Members::voice(&who).ok_or(Error::<T>::NotMember)?;
		Self::ensure_blockable(&indicator)?;
		let id = indicator.id();
		let Some(record) = Records::<T>::get(id) else {
			return Self::propose(id, who, voice, indicator, terms);
		};
		match record.status {
			Status::Proposed if voice == Voice::Isp => Self::cast(id, record, who, Vote::Sighting),
			Status::Proposed => Err(Error::<T>::AlreadyProposed.into()),
			Status::Active { .. } if voice == Voice::Isp => Self::extend(id, record, &terms),
			Status::Active { .. } => Err(Error::<T>::AlreadyActive.into()),
			Status::Rejected => Err(Error::<T>::AlreadyRejected.into()),
		}
	}

	pub(crate) fn do_vote(who: T::AccountId, id: IndicatorId, terms: Digest, vote: Vote) -> DispatchResult {
		ensure!(T::Members::voice(&who) == Some(Voice::Isp), Error::<T>::NotIsp);
		let record = Records::<T>::get(id).ok_or(Error::<T>::NotFound)?;
		ensure!(record.terms.hash() == terms, Error::<T>::OtherTerms);
		ensure!(record.status != Status::Rejected, Error::<T>::AlreadyRejected);
		if vote.is_approval() {
			// Protection may have grown since the report.
			Self::ensure_blockable(&record.indicator)?;
		}
		Self::cast(id, record, who, vote)
	}

	pub(crate) fn do_withdraw(who: T::AccountId, id: IndicatorId) -> DispatchResult {
		ensure!(T::Members::voice(&who).is_some(), Error::<T>::NotMember);
		let record = Records::<T>::get(id).ok_or(Error::<T>::NotFound)?;
		ensure!(record.reporter == who || record.isp.as_ref() == Some(&who), Error::<T>::NotReporter);
		match record.status {
			Status::Proposed => {
				Self::unfile_ending(&id, record.ends_at);
				Self::unlist(&id);
				Records::<T>::remove(id);
				Self::deposit_event(Event::Withdrawn { id });
				Ok(())
			}
			Status::Active { .. } => Self::revoke(id, record),
			Status::Rejected => Err(Error::<T>::AlreadyRejected.into()),
		}
	}

	fn propose(
		id: IndicatorId,
		reporter: T::AccountId,
		voice: Voice<T::AccountId>,
		indicator: Indicator,
		terms: Terms,
	) -> DispatchResult {
		ensure!(Records::<T>::count() < T::MaxRecords::get(), Error::<T>::TooManyRecords);
		let isp = match &voice {
			Voice::Isp => Some(reporter.clone()),
			Voice::SubscriberOf(isp) => Some(isp.clone()),
			Voice::Researcher => None,
		};
		let now = T::Clock::now();
		let ends_at = now.saturating_add(T::VotingPeriod::get());
		let record = Record {
			indicator,
			terms,
			reporter: reporter.clone(),
			isp,
			status: Status::Proposed,
			proposed_at: now,
			ends_at,
			votes: BoundedVec::new(),
		};
		Self::file_ending(&id, ends_at);
		Self::list(&id);
		Self::deposit_event(Event::Reported { id, reporter: reporter.clone() });
		if voice == Voice::Isp {
			Self::cast(id, record, reporter, Vote::Approve)
		} else {
			Records::<T>::insert(id, record);
			Ok(())
		}
	}

	/// Enters a vote and does what it decides. Stores the record.
	fn cast(id: IndicatorId, mut record: RecordOf<T>, isp: T::AccountId, vote: Vote) -> DispatchResult {
		let isps = T::Members::isps();
		// Votes of ISPs that have left count no more; without them there is room for every active one.
		record.votes.retain(|(voter, _)| isps.contains(voter));
		if let Some((_, cast)) = record.votes.iter_mut().find(|(voter, _)| *voter == isp) {
			ensure!(*cast != vote, Error::<T>::AlreadyVoted);
			*cast = vote;
		} else {
			record.votes.try_push((isp.clone(), vote)).map_err(|_| Error::<T>::NotIsp)?;
		}
		Self::deposit_event(Event::Voted { id, isp, vote });

		let isps = isps.len() as u32;
		let rejections = record.votes.iter().filter(|(_, vote)| !vote.is_approval()).count() as u32;
		let approvals = (record.votes.len() as u32).saturating_sub(rejections);
		match record.status {
			Status::Proposed if approvals >= quorum(isps, record.indicator.is_wide()) => Self::activate(id, record),
			Status::Proposed if rejections >= veto(isps) => Self::reject(id, record),
			Status::Active { .. } if rejections >= majority(isps) => Self::revoke(id, record),
			_ => {
				Records::<T>::insert(id, record);
				Ok(())
			}
		}
	}

	fn activate(id: IndicatorId, mut record: RecordOf<T>) -> DispatchResult {
		let now = T::Clock::now();
		Self::unfile_ending(&id, record.ends_at);
		record.status = Status::Active { since: now };
		record.ends_at = now.saturating_add(Self::millis(&record.terms));
		Self::file_ending(&id, record.ends_at);
		Self::unlist(&id);
		ActiveCount::<T>::mutate(|count| *count = count.saturating_add(1));
		let seq = Self::append(ChangeKind::Activated(Self::decision(&record)))?;
		Records::<T>::insert(id, record);
		Self::deposit_event(Event::Activated { id, seq });
		Ok(())
	}

	/// Lets an active indicator last longer, though never longer than the lifetime that was voted on. Gains of less than
	/// a tenth of that are refused, so that a repeated report does not become a change at every gateway.
	fn extend(id: IndicatorId, mut record: RecordOf<T>, terms: &Terms) -> DispatchResult {
		let voted = Self::millis(&record.terms);
		let ends_at = T::Clock::now().saturating_add(Self::millis(terms).min(voted));
		ensure!(ends_at.saturating_sub(record.ends_at) >= voted / 10, Error::<T>::AlreadyActive);
		Self::unfile_ending(&id, record.ends_at);
		record.ends_at = ends_at;
		Self::file_ending(&id, ends_at);
		let seq = Self::append(ChangeKind::Extended(Self::decision(&record)))?;
		Records::<T>::insert(id, record);
		Self::deposit_event(Event::Extended { id, seq });
		Ok(())
	}

	fn reject(id: IndicatorId, mut record: RecordOf<T>) -> DispatchResult {
		Self::unfile_ending(&id, record.ends_at);
		record.status = Status::Rejected;
		record.ends_at = T::Clock::now().saturating_add(T::VotingPeriod::get());
		Self::file_ending(&id, record.ends_at);
		Self::unlist(&id);
		Records::<T>::insert(id, record);
		Self::deposit_event(Event::Rejected { id });
		Ok(())
	}

	fn revoke(id: IndicatorId, record: RecordOf<T>) -> DispatchResult {
		Self::unfile_ending(&id, record.ends_at);
		Records::<T>::remove(id);
		ActiveCount::<T>::mutate(|count| *count = count.saturating_sub(1));
		let seq = Self::append(ChangeKind::Revoked(record.indicator))?;
		Self::deposit_event(Event::Revoked { id, seq });
		Ok(())
	}

	fn list(id: &IndicatorId) {
		Proposed::<T>::insert(id, ());
		ProposedCount::<T>::mutate(|count| *count = count.saturating_add(1));
	}

	pub(crate) fn unlist(id: &IndicatorId) {
		Proposed::<T>::remove(id);
		ProposedCount::<T>::mutate(|count| *count = count.saturating_sub(1));
	}

	fn millis(terms: &Terms) -> Millis {
		Millis::from(terms.lifetime.get()).saturating_mul(1_000)
	}

	fn decision(record: &RecordOf<T>) -> Decision {
		Decision {
			indicator: record.indicator.clone(),
			direction: record.terms.direction,
			action: record.terms.action,
			threat: record.terms.threat,
			severity: record.terms.severity,
			confidence: record.terms.confidence,
			expires_at: record.ends_at,
		}
	}

	/// Up to `limit` proposals that `isp` has not voted on, in the order of their names, those after `after`.
	pub fn pending(isp: &T::AccountId, after: Option<IndicatorId>, limit: u32) -> Vec<(IndicatorId, RecordOf<T>)> {
		let keys = match after {
			Some(id) => Proposed::<T>::iter_keys_from(Proposed::<T>::hashed_key_for(id)),
			None => Proposed::<T>::iter_keys(),
		};
		keys.filter_map(|id| Some((id, Records::<T>::get(id)?)))
			.filter(|(_, record)| !record.votes.iter().any(|(voter, _)| voter == isp))
			.take(limit as usize)
			.collect()
	}

	/// Those of `ids` that `isp` has not voted on and that await votes.
	pub fn awaiting(isp: &T::AccountId, ids: Vec<IndicatorId>) -> Vec<(IndicatorId, RecordOf<T>)> {
		ids.into_iter()
			.filter_map(|id| Some((id, Records::<T>::get(id)?)))
			.filter(|(_, record)| record.status == Status::Proposed)
			.filter(|(_, record)| !record.votes.iter().any(|(voter, _)| voter == isp))
			.collect()
	}

	/// Every invariant of this pallet.
	#[cfg(any(feature = "try-runtime", test))]
	pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
		use crate::{Endings, NextEndings};
		let (mut active, mut proposed, mut total) = (0u32, 0u32, 0u32);
		for (id, record) in Records::<T>::iter() {
			total = total.saturating_add(1);
			ensure!(record.indicator.id() == id, "a record is filed under another name");
			let stretch = record.ends_at / crate::endings::STRETCH;
			ensure!(Endings::<T>::contains_key(stretch, id), "a record would never end");
			ensure!(stretch >= NextEndings::<T>::get(), "a record ought to have ended");
			for (index, (voter, _)) in record.votes.iter().enumerate() {
				ensure!(
					!record.votes.iter().skip(index.saturating_add(1)).any(|(v, _)| v == voter),
					"an ISP voted twice"
				);
			}
			match record.status {
				Status::Proposed => {
					proposed = proposed.saturating_add(1);
					ensure!(Proposed::<T>::contains_key(id), "a proposal is not listed");
				}
				Status::Active { .. } => active = active.saturating_add(1),
				Status::Rejected => {}
			}
		}
		ensure!(total == Records::<T>::count() && total <= T::MaxRecords::get(), "records are miscounted");
		ensure!(active == ActiveCount::<T>::get(), "active indicators are miscounted");
		ensure!(proposed == ProposedCount::<T>::get(), "proposals are miscounted");
		ensure!(Proposed::<T>::iter_keys().count() as u32 == proposed, "something that is no proposal is listed");
		ensure!(Endings::<T>::iter_keys().count() as u32 == total, "something ends that is not on record");
		Self::try_state_log()
	}
}
