//! Endings: proposals lapse, rejections are forgotten, active indicators expire, disputes are settled. An indicator whose
//! life ends before the dispute about it has had its time just expires: in its last seconds nobody could answer.
//!
//! Time is cut into stretches of [`STRETCH`]; a record is filed under the stretch in which it ends, and a stretch is
//! worked off once it is over. That makes an ending at most a stretch late on the chain, which nobody feels: enforcers
//! time elements by themselves, to the millisecond.

use crate::{files::Last, sitting::Sitting, Config, Deed, Event, NextEndings, Pallet, RecordOf, Records, Status};
use frame_support::traits::Get;
use ringfence_primitives::{ChangeKind, IndicatorId, Millis};

/// Length of a stretch, in milliseconds.
pub const STRETCH: Millis = 10_000;

/// Empty stretches and empty pages that one block may skip. A chain that stood still for a day catches up in 34 seconds of
/// 500 ms blocks. Where a thousand indicators a second are reported and decided, each stretch leaves some eighty empty pages.
pub(crate) const MAX_SKIPPED: u32 = 128;

/// Endings that a dispute's settlement counts for, since every ISP's vote is judged in it.
pub(crate) const PER_DISPUTE: u32 = 8;

/// What ended in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ended {
	/// Records, by time alone.
	pub(crate) records: u32,
	/// Disputes about indicators that outlived them, by the votes.
	pub(crate) disputes: u32,
	/// Pages that were read for that: those of the stretches that are over, and those that records moved to.
	pub(crate) pages: u32,
	/// Entries that it made in the ledger.
	pub(crate) deeds: u32,
}

/// The stretch that a time lies in.
pub(crate) const fn stretch(at: Millis) -> u64 {
	at / STRETCH
}

impl<T: Config> Pallet<T> {
	/// Ends what is due, within the bound of a block.
	pub(crate) fn end_due(now: Millis) -> Ended {
		let mut ended = Ended::default();
		let present = stretch(now);
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
		let mut sitting = Sitting::<T>::open();
		while next < present && room > 0 && skips > 0 {
			let id = match sitting.files.take_last(next) {
				Last::Name(id) => id,
				Last::EmptyPage => {
					skips = skips.saturating_sub(1);
					continue;
				}
				Last::Nothing => {
					next = next.saturating_add(1);
					skips = skips.saturating_sub(1);
					continue;
				}
			};
			match Records::<T>::get(id) {
				Some(record) if record.outlives_dispute() => {
					Self::conclude(&mut sitting, id, record);
					ended.disputes = ended.disputes.saturating_add(1);
					room = room.saturating_sub(PER_DISPUTE);
				}
				record => {
					// A name that is not on record cannot be; it counts as if it were.
					if let Some(record) = record {
						Self::end(&mut sitting, id, record);
					}
					ended.records = ended.records.saturating_add(1);
					room = room.saturating_sub(1);
				}
			}
		}
		(ended.pages, ended.deeds) = (sitting.files.pages(), sitting.deeds());
		sitting.close();
		NextEndings::<T>::put(next);
		ended
	}

	fn end(sitting: &mut Sitting<T>, id: IndicatorId, record: RecordOf<T>) {
		Self::forget(sitting, &id, &record);
		match record.status {
			Status::Proposed => {
				sitting.note(&record.reporter, Deed::Lapsed);
				sitting.tell(Event::Lapsed { id });
			}
			Status::Provisional { .. } => {
				sitting.note(&record.reporter, Deed::LapsedProvisional);
				Self::cease(sitting, &record, ChangeKind::Expired(record.indicator.clone()));
				sitting.tell(Event::Lapsed { id });
			}
			Status::Active { .. } => {
				let seq = Self::cease(sitting, &record, ChangeKind::Expired(record.indicator.clone()));
				sitting.tell(Event::Expired { id, seq });
			}
			Status::Rejected => {}
		}
	}
}
