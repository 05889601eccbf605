//! The life of an indicator: report, vote, withdrawal, and what follows from them.

use crate::{
	sitting::Sitting, Config, Deed, Dispute, Error, Event, Members, Pallet, Record, RecordOf, Records, Status, Voice,
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
	/// An activation, an extension, a rejection or the end of a dispute.
	Decided,
	/// A revocation, for which all are judged that ever voted.
	Overturned,
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
const fn voted(vote: Vote) -> Deed {
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
		let mut sitting = Sitting::open();
		Self::report_as(&mut sitting, &reporter, voice, indicator, terms)?;
		sitting.close();
		Ok(())
	}

	pub(crate) fn do_report_provisionally(who: &T::AccountId, indicator: Indicator, terms: Terms) -> DispatchResult {
		let (reporter, voice) = Self::reporter(who)?;
		ensure!(voice == Voice::Isp, Error::<T>::NotIsp);
		ensure!(T::Members::in_good_standing(&reporter), Error::<T>::NotInGoodStanding);
		ensure!(!indicator.is_wide(), Error::<T>::NotForWide);
		let mut sitting = Sitting::open();
		Self::ensure_outside(&mut sitting, &indicator)?;
		let id = indicator.id();
		match Records::<T>::get(id).map(|record| record.status) {
			None => Self::propose(&mut sitting, id, &reporter, voice, indicator, terms, Start::Provisional)?,
			Some(Status::Proposed | Status::Provisional { .. }) => return Err(Error::<T>::AlreadyProposed.into()),
			Some(Status::Active { .. }) => return Err(Error::<T>::AlreadyActive.into()),
			Some(Status::Rejected) => return Err(Error::<T>::AlreadyRejected.into()),
		};
		sitting.close();
		Ok(())
	}

	pub(crate) fn do_vote(who: &T::AccountId, ballot: Ballot) -> DispatchResult {
		let isp = Self::voter(who)?;
		let mut sitting = Sitting::open();
		Self::vote_as(&mut sitting, &isp, ballot)?;
		sitting.close();
		Ok(())
	}

	pub(crate) fn do_withdraw(who: &T::AccountId, id: IndicatorId) -> DispatchResult {
		let (member, _) = T::Members::speaker(who, Scope::Report).ok_or(Error::<T>::NotMember)?;
		let record = Records::<T>::get(id).ok_or(Error::<T>::NotFound)?;
		ensure!(record.reporter == member, Error::<T>::NotReporter);
		ensure!(record.status != Status::Rejected, Error::<T>::AlreadyRejected);
		let mut sitting = Sitting::open();
		if record.status == Status::Proposed {
			Self::forget(&mut sitting, &id, &record);
			sitting.tell(Event::Withdrawn { id });
		} else {
			if record.is_unconfirmed() {
				// It has acted, and a withdrawal a moment before its end must not be cheaper than its lapse.
				sitting.note(&member, Deed::LapsedProvisional);
			} else if record.is_disputed() {
				sitting.note(&member, Deed::Rejected);
				sitting.tell(Event::DisputeSettled { id, revoked: true });
			}
			Self::revoke(&mut sitting, id, record);
		}
		sitting.close();
		Ok(())
	}

	/// Carries out a report. One that fails has changed nothing.
	pub(crate) fn report_as(
		sitting: &mut Sitting<T>,
		reporter: &T::AccountId,
		voice: Voice,
		indicator: Indicator,
		terms: Terms,
	) -> Result<Outcome, DispatchError> {
		Self::ensure_outside(sitting, &indicator)?;
		let id = indicator.id();
		let Some(record) = Records::<T>::get(id) else {
			return Self::propose(sitting, id, reporter, voice, indicator, terms, Start::Confirmed);
		};
		let outcome = match record.status {
			Status::Rejected => return Err(Error::<T>::AlreadyRejected.into()),
			Status::Active { .. } if voice == Voice::Isp => Self::extend(sitting, id, record, &terms)?,
			Status::Active { .. } => return Err(Error::<T>::AlreadyActive.into()),
			_ if voice == Voice::Isp => Self::sight(sitting, id, record, reporter, &terms)?,
			_ => return Err(Error::<T>::AlreadyProposed.into()),
		};
		sitting.note(reporter, Deed::Reported);
		Ok(outcome)
	}

	/// Carries out a vote. One that fails has changed nothing.
	pub(crate) fn vote_as(
		sitting: &mut Sitting<T>,
		isp: &T::AccountId,
		ballot: Ballot,
	) -> Result<Outcome, DispatchError> {
		let Ballot { id, terms, vote } = ballot;
		let record = Records::<T>::get(id).ok_or(Error::<T>::NotFound)?;
		ensure!(record.terms.hash() == terms, Error::<T>::OtherTerms);
		ensure!(record.status != Status::Rejected, Error::<T>::AlreadyRejected);
		if vote.is_approval() {
			// Protection may have grown since the report.
			Self::ensure_outside(sitting, &record.indicator)?;
		}
		let outcome = Self::cast(sitting, id, record, isp, vote)?;
		sitting.note(isp, voted(vote));
		Ok(outcome)
	}

	fn propose(
		sitting: &mut Sitting<T>,
		id: IndicatorId,
		reporter: &T::AccountId,
		voice: Voice,
		indicator: Indicator,
		terms: Terms,
		start: Start,
	) -> Result<Outcome, DispatchError> {
		ensure!(*sitting.records.get() < T::MaxRecords::get(), Error::<T>::TooManyRecords);
		ensure!(sitting.open.get(reporter) < sitting.settings.open_cap, Error::<T>::TooManyOpen);
		if start == Start::Provisional {
			Self::ensure_provisional_room(sitting, reporter)?;
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
			page: 0,
		};
		if voice == Voice::Isp {
			record.votes.try_push((reporter.clone(), Vote::Approve)).map_err(|_| Error::<T>::NotIsp)?;
		}
		sitting.records.one_more();
		Self::index_named(&id, &record.indicator);
		sitting.note(reporter, Deed::Reported);
		sitting.opened.push(id);
		sitting.tell(Event::Reported { id, reporter: reporter.clone() });
		if voice == Voice::Isp {
			sitting.tell(Event::Voted { id, isp: reporter.clone(), vote: Vote::Approve });
			if sitting.quorum(&record.indicator) <= 1 {
				return Ok(Self::activate(sitting, id, record));
			}
		}
		if start == Start::Provisional {
			record.status = Status::Provisional { since: sitting.now };
			record.ends_at =
				sitting.now.saturating_add(sitting.settings.provisional_lifetime.min(Self::millis(&record.terms)));
			let seq = Self::begin(sitting, &record.decision());
			sitting.tell(Event::ActivatedProvisionally { id, seq });
		}
		Self::enter(sitting, &id, record);
		Ok(Outcome::Opened)
	}

	/// Takes an ISP's report of what another has reported for its sighting: that it would have asked for as much itself is
	/// what the report says, so it must.
	fn sight(
		sitting: &mut Sitting<T>,
		id: IndicatorId,
		record: RecordOf<T>,
		isp: &T::AccountId,
		terms: &Terms,
	) -> Result<Outcome, DispatchError> {
		ensure!(record.reporter != *isp, Error::<T>::AlreadyVoted);
		ensure!(terms.cover(&record.terms), Error::<T>::OtherTerms);
		let outcome = Self::cast(sitting, id, record, isp, Vote::Sighting)?;
		sitting.note(isp, Deed::Sighted);
		Ok(outcome)
	}

	/// Enters a vote and does what it decides. Stores the record.
	pub(crate) fn cast(
		sitting: &mut Sitting<T>,
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
		sitting.tell(Event::Voted { id, isp: isp.clone(), vote });

		let (approvals, rejections) = record.tally();
		if record.is_unconfirmed() {
			if approvals >= sitting.quorum(&record.indicator) {
				Self::leave(sitting, &id, &record);
				return Ok(Self::activate(sitting, id, record));
			}
			if rejections >= sitting.veto() {
				Self::reject(sitting, id, record);
				return Ok(Outcome::Decided);
			}
		} else if rejections >= sitting.majority() {
			Self::overturn(sitting, id, record);
			return Ok(Outcome::Overturned);
		} else if record.is_disputed() && approvals >= sitting.quorum(&record.indicator) {
			Self::dismiss_dispute(sitting, id, record);
			return Ok(Outcome::Decided);
		}
		Records::<T>::insert(id, record);
		Ok(Outcome::Entered)
	}

	/// Activates what a quorum approved: a record that is new, or has left what it was filed under.
	fn activate(sitting: &mut Sitting<T>, id: IndicatorId, mut record: RecordOf<T>) -> Outcome {
		let provisional = record.is_enforced().then(|| record.decision());
		record.status = Status::Active { since: sitting.now };
		record.ends_at = sitting.now.saturating_add(Self::millis(&record.terms));
		record.confidence = record.raised_confidence();
		let seq = match provisional {
			Some(before) => Self::renew(sitting, &before, &record.decision()),
			None => Self::begin(sitting, &record.decision()),
		};
		Self::judge(sitting, &record, Verdict::Upheld);
		Self::enter(sitting, &id, record);
		sitting.tell(Event::Activated { id, seq });
		Outcome::Decided
	}

	/// Lets an active indicator last longer, though never longer than the lifetime that was voted on. Gains of less than
	/// a tenth of that are refused, so that a repeated report does not become a change at every gateway.
	fn extend(
		sitting: &mut Sitting<T>,
		id: IndicatorId,
		mut record: RecordOf<T>,
		terms: &Terms,
	) -> Result<Outcome, DispatchError> {
		ensure!(!record.is_disputed(), Error::<T>::UnderDispute);
		let voted = Self::millis(&record.terms);
		let ends_at = sitting.now.saturating_add(Self::millis(terms).min(voted));
		ensure!(ends_at.saturating_sub(record.ends_at) >= voted / 10, Error::<T>::AlreadyActive);
		let before = record.decision();
		Self::leave(sitting, &id, &record);
		sitting.dismiss_absent(&mut record);
		record.ends_at = ends_at;
		record.confidence = record.raised_confidence();
		let seq = Self::renew(sitting, &before, &record.decision());
		Self::enter(sitting, &id, record);
		sitting.tell(Event::Extended { id, seq });
		Ok(Outcome::Decided)
	}

	fn reject(sitting: &mut Sitting<T>, id: IndicatorId, mut record: RecordOf<T>) {
		Self::leave(sitting, &id, &record);
		if record.is_enforced() {
			Self::cease(sitting, &record, ChangeKind::Revoked(record.indicator.clone()));
		}
		Self::judge(sitting, &record, Verdict::Refused);
		record.status = Status::Rejected;
		record.ends_at = sitting.now.saturating_add(sitting.settings.voting_period);
		Self::enter(sitting, &id, record);
		sitting.tell(Event::Rejected { id });
	}

	/// Revokes an active indicator that the vote says was never bad.
	pub(crate) fn overturn(sitting: &mut Sitting<T>, id: IndicatorId, record: RecordOf<T>) {
		Self::judge(sitting, &record, Verdict::Overturned);
		if record.is_disputed() {
			sitting.tell(Event::DisputeSettled { id, revoked: true });
		}
		Self::revoke(sitting, id, record);
	}

	fn revoke(sitting: &mut Sitting<T>, id: IndicatorId, record: RecordOf<T>) {
		Self::forget(sitting, &id, &record);
		let seq = Self::cease(sitting, &record, ChangeKind::Revoked(record.indicator.clone()));
		sitting.tell(Event::Revoked { id, seq });
	}

	/// Tells the ledger who was right. The reporter answers for its report, not for its vote. Whoever approved before a
	/// dispute is not excused by rejecting in it.
	fn judge(sitting: &mut Sitting<T>, record: &RecordOf<T>, verdict: Verdict) {
		let reporter = &record.reporter;
		let (deed, approvers_erred) = match verdict {
			Verdict::Upheld => (Deed::Confirmed, false),
			Verdict::Refused => (Deed::Rejected, true),
			Verdict::Overturned => (Deed::FalsePositive, true),
		};
		sitting.note(reporter, deed);
		let before = record.votes_before();
		let approved_before =
			|isp: &T::AccountId| before.iter().any(|(voter, vote)| voter == isp && vote.is_approval());
		for (voter, _) in before.iter().filter(|(voter, vote)| voter != reporter && vote.is_approval()) {
			sitting.note(voter, Deed::Misjudged);
		}
		for (voter, vote) in record.votes.iter().filter(|(voter, _)| voter != reporter && !approved_before(voter)) {
			if vote.is_approval() == approvers_erred {
				sitting.note(voter, Deed::Misjudged);
			} else if approvers_erred {
				sitting.note(voter, Deed::Judged);
			}
		}
	}

	pub(crate) fn millis(terms: &Terms) -> Millis {
		Millis::from(terms.lifetime.get()).saturating_mul(1_000)
	}
}
