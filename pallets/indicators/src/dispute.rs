//! Disputes: a member says that an active indicator should not be, and the ISPs vote on it once more.
//!
//! An ISP that approved before and keeps silent in the dispute stands by its word. What a quorum carried is therefore not
//! undone by a few who reject while nobody looks.

use crate::{sitting::Sitting, Config, Deed, Dispute, Error, Event, Pallet, RecordOf, Records, Status, Voice};
use alloc::vec::Vec;
use core::mem;
use frame_support::ensure;
use ringfence_primitives::{IndicatorId, Vote};
use sp_runtime::DispatchResult;

impl<T: Config> Pallet<T> {
	pub(crate) fn do_dispute(who: &T::AccountId, id: IndicatorId) -> DispatchResult {
		let (by, voice) = Self::reporter(who)?;
		let mut record = Records::<T>::get(id).ok_or(Error::<T>::NotFound)?;
		ensure!(record.reporter != by, Error::<T>::OwnReport);
		ensure!(matches!(record.status, Status::Active { .. }), Error::<T>::NotActive);
		ensure!(record.dispute == Dispute::None, Error::<T>::AlreadyDisputed);
		let mut sitting = Sitting::open();
		Self::leave(&mut sitting, &id, &record);
		record.dispute = Dispute::Open {
			by: by.clone(),
			until: sitting.now.saturating_add(sitting.settings.voting_period).min(record.ends_at),
			before: mem::take(&mut record.votes),
		};
		Self::enter(&mut sitting, &id, record);
		sitting.note(&by, Deed::Disputed);
		sitting.tell(Event::Disputed { id, by: by.clone() });
		if voice == Voice::Isp {
			// As it was just filed.
			let record = Records::<T>::get(id).ok_or(Error::<T>::NotFound)?;
			Self::cast(&mut sitting, id, record, &by, Vote::Reject)?;
		}
		sitting.close();
		Ok(())
	}

	/// Ends a dispute whose time is up: by the votes cast in it, and the approvals that stand from before. It is lost only
	/// where the votes cast in it say so: silence upholds the indicator, and counts against nobody.
	pub(crate) fn conclude(sitting: &mut Sitting<T>, id: IndicatorId, mut record: RecordOf<T>) {
		sitting.dismiss_absent(&mut record);
		let (approvals, rejections) = record.tally();
		let silent = Self::silent_approvals(sitting, &record).count() as u32;
		if rejections > approvals.saturating_add(silent) {
			return Self::overturn(sitting, id, record);
		}
		if approvals > rejections {
			Self::note_lost(sitting, &record);
		}
		Self::settle(sitting, id, record);
	}

	/// Ends a dispute that a quorum voted down.
	pub(crate) fn dismiss_dispute(sitting: &mut Sitting<T>, id: IndicatorId, record: RecordOf<T>) {
		Self::note_lost(sitting, &record);
		Self::settle(sitting, id, record);
	}

	fn note_lost(sitting: &mut Sitting<T>, record: &RecordOf<T>) {
		if let Dispute::Open { by, .. } = &record.dispute {
			sitting.note(by, Deed::DisputeLost);
		}
	}

	/// Approvals from before the dispute, of active ISPs that have kept silent in it.
	fn silent_approvals<'a>(
		sitting: &'a Sitting<T>,
		record: &'a RecordOf<T>,
	) -> impl Iterator<Item = &'a (T::AccountId, Vote)> + 'a {
		record
			.votes_before()
			.iter()
			.filter(move |(voter, vote)| vote.is_approval() && sitting.seats(voter) && !record.has_vote_of(voter))
	}

	/// The indicator stays active. Approvals that stand from before the dispute are votes again, so that nobody is rid of
	/// them by a dispute that leads to nothing; a rejection has to be repeated.
	fn settle(sitting: &mut Sitting<T>, id: IndicatorId, mut record: RecordOf<T>) {
		Self::leave(sitting, &id, &record);
		let silent: Vec<_> = Self::silent_approvals(sitting, &record).cloned().collect();
		for approval in silent {
			// Distinct active ISPs always fit.
			let _ = record.votes.try_push(approval);
		}
		record.dispute = Dispute::Settled;
		Self::enter(sitting, &id, record);
		sitting.tell(Event::DisputeSettled { id, revoked: false });
	}
}
