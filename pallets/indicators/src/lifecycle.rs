//! The life of an indicator: report, vote, withdrawal, and what follows from them.

use crate::{
	sitting::Sitting, Config, Deed, Dispute, Error, Event, Members, OpenCount, Pallet, Record, RecordOf, Records,
	Status, Voice,
};
use frame_support::{ensure, traits::Get, BoundedVec};
use ringfence_primitives::{Ballot, ChangeKind, Indicator, IndicatorId, Millis, Scope, Terms, Vote};
use sp_runtime::{DispatchError, DispatchResult};

/// What a report or a vote led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
	/// A record that was not there.
	Opened,
	/// A vote that decides nothing yet.
	Entered,
	/// An activation, an extension, a rejection, a revocation or the end of a dispute.
	Decided,
}

/// When a new report begins to act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Start {
	/// Once a quorum confirms it.
	Confirmed,
	/// At once.
	Provisional,
}

/// What a vote decided about a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
	/// It was confirmed.
	Upheld,
	/// It was stopped before it was confirmed.
	Refused,
	/// It was active, and should not have been.
	Overturned,
}

/// What the ledger calls a vote.
pub(crate) const fn voted(vote: Vote) -> Deed {
	match vote {
		Vote::Sighting => Deed::Sighted,
		Vote::Approve | Vote::Reject => Deed::Voted,
	}
}

impl<T: Config> Pallet<T> {
	/// The member in whose name `who` may report.
	pub(crate) fn reporter(who: &T::AccountId) -> Result<(T::AccountId, Voice), Error<T>> {
		match T::Members::speaker(who, Scope::Report) {
			None => Err(Error::<T>::NotMember),
			Some((_, Voice::Subscriber)) => Err(Error::<T>::ReportToYourIsp),
			Some(speaker) => Ok(speaker),
		}
	}

	/// The ISP in whose name `who` may vote.
	pub(crate) fn voter(who: &T::AccountId) -> Result<T::AccountId, Error<T>> {
		match T::Members::speaker(who, Scope::Vet) {
			Some((isp, Voice::Isp)) => Ok(isp),
			_ => Err(Error::<T>::NotIsp),
		}
	}

	pub(crate) fn do_report(who: &T::AccountId, indicator: Indicator, terms: Terms) -> DispatchResult {
		let (reporter, voice) = Self::reporter(who)?;
		Self::report_as(&Sitting::open(), &reporter, voice, indicator, terms)?;
		T::Members::note(&reporter, Deed::Reported);
		Ok(())
	}

	pub(crate) fn do_report_provisionally(who: &T::AccountId, indicator: Indicator, terms: Terms) -> DispatchResult {
		let (reporter, voice) = Self::reporter(who)?;
		ensure!(voice == Voice::Isp, Error::<T>::NotIsp);
		ensure!(T::Members::in_good_standing(&reporter), Error::<T>::NotInGoodStanding);
		ensure!(!indicator.is_wide(), Error::<T>::NotForWide);
		let sitting = Sitting::open();
		Self::ensure_outside(&indicator, &sitting.protected)?;
		let id = indicator.id();
		match Records::<T>::get(id).map(|record| record.status) {
			None => Self::propose(&sitting, id, &reporter, voice, indicator, terms, Start::Provisional)?,
			Some(Status::Proposed | Status::Provisional { .. }) => return Err(Error::<T>::AlreadyProposed.into()),
			Some(Status::Active { .. }) => return Err(Error::<T>::AlreadyActive.into()),
			Some(Status::Rejected) => return Err(Error::<T>::AlreadyRejected.into()),
		};
		T::Members::note(&reporter, Deed::Reported);
		Ok(())
	}

	pub(crate) fn do_vote(who: &T::AccountId, ballot: Ballot) -> DispatchResult {
		let isp = Self::voter(who)?;
		Self::vote_as(&Sitting::open(), &isp, ballot)?;
		T::Members::note(&isp, voted(ballot.vote));
		Ok(())
	}

	pub(crate) fn do_withdraw(who: &T::AccountId, id: IndicatorId) -> DispatchResult {
		let (member, _) = T::Members::speaker(who, Scope::Report).ok_or(Error::<T>::NotMember)?;
		let record = Records::<T>::get(id).ok_or(Error::<T>::NotFound)?;
		ensure!(record.reporter == member, Error::<T>::NotReporter);
		match record.status {
			Status::Rejected => return Err(Error::<T>::AlreadyRejected.into()),
			Status::Proposed => {
				Self::forget(&id, &record);
				Self::deposit_event(Event::Withdrawn { id });
				return Ok(());
			}
			// It has acted, and a withdrawal a moment before its end must not be cheaper than its lapse.
			Status::Provisional { .. } => T::Members::note(&member, Deed::LapsedProvisional),
			Status::Active { .. } if record.is_disputed() => {
				T::Members::note(&member, Deed::Rejected);
				Self::deposit_event(Event::DisputeSettled { id, revoked: true });
			}
			Status::Active { .. } => {}
		}
		Self::revoke(id, record)
	}

	/// Carries out a report. That it was made is for the caller to tell the ledger, once for all of a batch.
	pub(crate) fn report_as(
		sitting: &Sitting<T>,
		reporter: &T::AccountId,
		voice: Voice,
		indicator: Indicator,
		terms: Terms,
	) -> Result<Outcome, DispatchError> {
		Self::ensure_outside(&indicator, &sitting.protected)?;
		let id = indicator.id();
		let Some(record) = Records::<T>::get(id) else {
			return Self::propose(sitting, id, reporter, voice, indicator, terms, Start::Confirmed);
		};
		match record.status {
			Status::Rejected => Err(Error::<T>::AlreadyRejected.into()),
			Status::Active { .. } if voice == Voice::Isp => Self::extend(sitting, id, record, &terms),
			Status::Active { .. } => Err(Error::<T>::AlreadyActive.into()),
			_ if voice == Voice::Isp => Self::sight(sitting, id, record, reporter, &terms),
			_ => Err(Error::<T>::AlreadyProposed.into()),
		}
	}

	/// Carries out a vote. That it was cast is for the caller to tell the ledger.
	pub(crate) fn vote_as(sitting: &Sitting<T>, isp: &T::AccountId, ballot: Ballot) -> Result<Outcome, DispatchError> {
		let Ballot { id, terms, vote } = ballot;
		let record = Records::<T>::get(id).ok_or(Error::<T>::NotFound)?;
		ensure!(record.terms.hash() == terms, Error::<T>::OtherTerms);
		ensure!(record.status != Status::Rejected, Error::<T>::AlreadyRejected);
		if vote.is_approval() {
			// Protection may have grown since the report.
			Self::ensure_outside(&record.indicator, &sitting.protected)?;
		}
		Self::cast(sitting, id, record, isp, vote)
	}

	fn propose(
		sitting: &Sitting<T>,
		id: IndicatorId,
		reporter: &T::AccountId,
		voice: Voice,
		indicator: Indicator,
		terms: Terms,
		start: Start,
	) -> Result<Outcome, DispatchError> {
		ensure!(Records::<T>::count() < T::MaxRecords::get(), Error::<T>::TooManyRecords);
		ensure!(OpenCount::<T>::get(reporter) < sitting.settings.open_cap, Error::<T>::TooManyOpen);
		if start == Start::Provisional {
			Self::ensure_provisional_room(reporter, &sitting.settings)?;
		}
		let mut record = Record {
			confidence: terms.confidence,
			indicator,
			terms,
			reporter: reporter.clone(),
			status: Status::Proposed,
			proposed_at: sitting.now,
			ends_at: sitting.now.saturating_add(sitting.settings.voting_period),
			votes: BoundedVec::new(),
			dispute: Dispute::None,
		};
		Self::index_named(&id, &record.indicator);
		Self::deposit_event(Event::Reported { id, reporter: reporter.clone() });
		if voice == Voice::Isp {
			record.votes.try_push((reporter.clone(), Vote::Approve)).map_err(|_| Error::<T>::NotIsp)?;
			Self::tell_vote(sitting, id, reporter, Vote::Approve);
			if sitting.quorum(&record.indicator) <= 1 {
				return Self::activate(sitting, id, record);
			}
		}
		if start == Start::Provisional {
			record.status = Status::Provisional { since: sitting.now };
			record.ends_at =
				sitting.now.saturating_add(sitting.settings.provisional_lifetime.min(Self::millis(&record.terms)));
			let seq = Self::begin(sitting, &record.decision())?;
			Self::deposit_event(Event::ActivatedProvisionally { id, seq });
		}
		Self::enter(&id, record);
		Ok(Outcome::Opened)
	}

	/// Takes an ISP's report of what another has reported for its sighting: that it would have asked for as much itself is
	/// what the report says, so it must.
	fn sight(
		sitting: &Sitting<T>,
		id: IndicatorId,
		record: RecordOf<T>,
		isp: &T::AccountId,
		terms: &Terms,
	) -> Result<Outcome, DispatchError> {
		ensure!(record.reporter != *isp, Error::<T>::AlreadyVoted);
		ensure!(terms.cover(&record.terms), Error::<T>::OtherTerms);
		let outcome = Self::cast(sitting, id, record, isp, Vote::Sighting)?;
		T::Members::note(isp, Deed::Sighted);
		Ok(outcome)
	}

	/// The votes of a batch are in the records, and are not told one by one.
	fn tell_vote(sitting: &Sitting<T>, id: IndicatorId, isp: &T::AccountId, vote: Vote) {
		if !sitting.batch {
			Self::deposit_event(Event::Voted { id, isp: isp.clone(), vote });
		}
	}

	/// Enters a vote and does what it decides. Stores the record.
	pub(crate) fn cast(
		sitting: &Sitting<T>,
		id: IndicatorId,
		mut record: RecordOf<T>,
		isp: &T::AccountId,
		vote: Vote,
	) -> Result<Outcome, DispatchError> {
		sitting.dismiss_absent(&mut record);
		if let Some((_, cast)) = record.votes.iter_mut().find(|(voter, _)| voter == isp) {
			ensure!(*cast != vote, Error::<T>::AlreadyVoted);
			*cast = vote;
		} else {
			record.votes.try_push((isp.clone(), vote)).map_err(|_| Error::<T>::NotIsp)?;
		}
		Self::tell_vote(sitting, id, isp, vote);

		let (approvals, rejections) = record.tally();
		if record.is_unconfirmed() {
			if approvals >= sitting.quorum(&record.indicator) {
				Self::leave(&id, &record);
				return Self::activate(sitting, id, record);
			}
			if rejections >= sitting.veto() {
				return Self::reject(sitting, id, record);
			}
		} else if rejections >= sitting.majority() {
			Self::overturn(id, record)?;
			return Ok(Outcome::Decided);
		} else if record.is_disputed() && approvals >= sitting.quorum(&record.indicator) {
			Self::dismiss_dispute(sitting, id, record);
			return Ok(Outcome::Decided);
		}
		Records::<T>::insert(id, record);
		Ok(Outcome::Entered)
	}

	/// Activates what a quorum approved: a record that is new, or has left what it was filed under.
	fn activate(sitting: &Sitting<T>, id: IndicatorId, mut record: RecordOf<T>) -> Result<Outcome, DispatchError> {
		let provisional = record.is_enforced().then(|| record.decision());
		record.status = Status::Active { since: sitting.now };
		record.ends_at = sitting.now.saturating_add(Self::millis(&record.terms));
		record.confidence = record.raised_confidence();
		let seq = match provisional {
			Some(before) => Self::renew(sitting, &before, &record.decision())?,
			None => Self::begin(sitting, &record.decision())?,
		};
		Self::judge(&record, Verdict::Upheld);
		Self::enter(&id, record);
		Self::deposit_event(Event::Activated { id, seq });
		Ok(Outcome::Decided)
	}

	/// Lets an active indicator last longer, though never longer than the lifetime that was voted on. Gains of less than
	/// a tenth of that are refused, so that a repeated report does not become a change at every gateway.
	fn extend(
		sitting: &Sitting<T>,
		id: IndicatorId,
		mut record: RecordOf<T>,
		terms: &Terms,
	) -> Result<Outcome, DispatchError> {
		ensure!(!record.is_disputed(), Error::<T>::UnderDispute);
		let voted = Self::millis(&record.terms);
		let ends_at = sitting.now.saturating_add(Self::millis(terms).min(voted));
		ensure!(ends_at.saturating_sub(record.ends_at) >= voted / 10, Error::<T>::AlreadyActive);
		let before = record.decision();
		Self::leave(&id, &record);
		sitting.dismiss_absent(&mut record);
		record.ends_at = ends_at;
		record.confidence = record.raised_confidence();
		let seq = Self::renew(sitting, &before, &record.decision())?;
		Self::enter(&id, record);
		Self::deposit_event(Event::Extended { id, seq });
		Ok(Outcome::Decided)
	}

	fn reject(sitting: &Sitting<T>, id: IndicatorId, mut record: RecordOf<T>) -> Result<Outcome, DispatchError> {
		Self::leave(&id, &record);
		if record.is_enforced() {
			Self::cease(&record, ChangeKind::Revoked(record.indicator.clone()))?;
		}
		Self::judge(&record, Verdict::Refused);
		record.status = Status::Rejected;
		record.ends_at = sitting.now.saturating_add(sitting.settings.voting_period);
		Self::enter(&id, record);
		Self::deposit_event(Event::Rejected { id });
		Ok(Outcome::Decided)
	}

	/// Revokes an active indicator that the vote says was never bad.
	pub(crate) fn overturn(id: IndicatorId, record: RecordOf<T>) -> DispatchResult {
		Self::judge(&record, Verdict::Overturned);
		if record.is_disputed() {
			Self::deposit_event(Event::DisputeSettled { id, revoked: true });
		}
		Self::revoke(id, record)
	}

	fn revoke(id: IndicatorId, record: RecordOf<T>) -> DispatchResult {
		Self::forget(&id, &record);
		let seq = Self::cease(&record, ChangeKind::Revoked(record.indicator.clone()))?;
		Self::deposit_event(Event::Revoked { id, seq });
		Ok(())
	}

	/// Tells the ledger who was right. The reporter answers for its report, not for its vote. Whoever approved before a
	/// dispute is not excused by rejecting in it.
	fn judge(record: &RecordOf<T>, verdict: Verdict) {
		let reporter = &record.reporter;
		let (deed, approvers_erred) = match verdict {
			Verdict::Upheld => (Deed::Confirmed, false),
			Verdict::Refused => (Deed::Rejected, true),
			Verdict::Overturned => (Deed::FalsePositive, true),
		};
		T::Members::note(reporter, deed);
		let before = record.votes_before();
		let approved_before =
			|isp: &T::AccountId| before.iter().any(|(voter, vote)| voter == isp && vote.is_approval());
		for (voter, _) in before.iter().filter(|(voter, vote)| voter != reporter && vote.is_approval()) {
			T::Members::note(voter, Deed::Misjudged);
		}
		for (voter, vote) in record.votes.iter().filter(|(voter, _)| voter != reporter && !approved_before(voter)) {
			if vote.is_approval() == approvers_erred {
				T::Members::note(voter, Deed::Misjudged);
			} else if approvers_erred {
				T::Members::note(voter, Deed::Judged);
			}
		}
	}

	pub(crate) fn millis(terms: &Terms) -> Millis {
		Millis::from(terms.lifetime.get()).saturating_mul(1_000)
	}
}
