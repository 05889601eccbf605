//! Endings: proposals lapse, rejections are forgotten, active indicators expire, disputes are settled. An indicator whose
//! life ends before the dispute about it has had its time just expires: in its last seconds nobody could answer.
//!
//! Time is cut into stretches of [`STRETCH`]; a record is filed under the stretch in which it ends, and a stretch is
//! worked off once it is over. That makes an ending at most a stretch late on the chain, which nobody feels: enforcers
//! time elements by themselves, to the millisecond.

use crate::{sitting::Sitting, Config, Deed, Endings, Event, Members, NextEndings, Pallet, RecordOf, Records, Status};
use core::cell::OnceCell;
use frame_support::traits::Get;
use ringfence_primitives::{ChangeKind, IndicatorId, Millis};

/// Length of a stretch, in milliseconds.
pub const STRETCH: Millis = 10_000;

/// Empty stretches that one block may skip. A chain that stood still for a day catches up in 68 seconds of 500 ms blocks.
const MAX_SKIPPED: u32 = 64;

/// Endings that a dispute's settlement counts for, since every ISP's vote is judged in it.
pub(crate) const PER_DISPUTE: u32 = 8;

/// What ended in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ended {
	/// Records, by time alone.
	pub(crate) records: u32,
	/// Disputes about indicators that outlived them, by the votes.
	pub(crate) disputes: u32,
}

impl<T: Config> Pallet<T> {
	/// Files `id` to end at `at`. Never under a stretch that was worked off already.
	pub(crate) fn file_ending(id: &IndicatorId, at: Millis) {
		Endings::<T>::insert(Self::stretch(at), id, ());
	}

	/// Undoes [`Self::file_ending`].
	pub(crate) fn unfile_ending(id: &IndicatorId, at: Millis) {
		Endings::<T>::remove(Self::stretch(at), id);
	}

	const fn stretch(at: Millis) -> u64 {
		at / STRETCH
	}

	/// Ends what is due, within the bound of a block.
	pub(crate) fn end_due(now: Millis) -> Ended {
		let mut ended = Ended::default();
		let present = Self::stretch(now);
		let mut next = NextEndings::<T>::get();
		if next >= present {
			return ended;
		}
		if next == 0 {
			// The first block with a clock: nothing can have been filed for a time before it.
			next = present;
		}
		let mut room = T::MaxEndingsPerBlock::get();
		let mut skips = MAX_SKIPPED;
		let sitting = OnceCell::new();
		while next < present && room > 0 && skips > 0 {
			let Some(id) = Endings::<T>::iter_key_prefix(next).next() else {
				next = next.saturating_add(1);
				skips = skips.saturating_sub(1);
				continue;
			};
			Endings::<T>::remove(next, id);
			match Records::<T>::get(id) {
				Some(record) if record.outlives_dispute() => {
					// Fails only when the log is full: see `end`.
					let _ = Self::conclude(sitting.get_or_init(Sitting::open), id, record);
					ended.disputes = ended.disputes.saturating_add(1);
					room = room.saturating_sub(PER_DISPUTE);
				}
				record => {
					if let Some(record) = record {
						Self::end(id, record);
					}
					ended.records = ended.records.saturating_add(1);
					room = room.saturating_sub(1);
				}
			}
		}
		NextEndings::<T>::put(next);
		ended
	}

	fn end(id: IndicatorId, record: RecordOf<T>) {
		Self::forget(&id, &record);
		// `cease` fails only when 2^64 changes have been made.
		match record.status {
			Status::Proposed => {
				T::Members::note(&record.reporter, Deed::Lapsed);
				Self::deposit_event(Event::Lapsed { id });
			}
			Status::Provisional { .. } => {
				T::Members::note(&record.reporter, Deed::LapsedProvisional);
				if Self::cease(&record, ChangeKind::Expired(record.indicator.clone())).is_ok() {
					Self::deposit_event(Event::Lapsed { id });
				}
			}
			Status::Active { .. } => {
				if let Ok(seq) = Self::cease(&record, ChangeKind::Expired(record.indicator.clone())) {
					Self::deposit_event(Event::Expired { id, seq });
				}
			}
			Status::Rejected => {}
		}
	}
}
