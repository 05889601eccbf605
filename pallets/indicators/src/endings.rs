//! Endings: proposals lapse, rejections are forgotten, active indicators expire.
//!
//! Time is cut into stretches of [`STRETCH`]; a record is filed under the stretch in which it ends, and a stretch is
//! worked off once it is over. That makes an ending at most a stretch late on the chain, which nobody feels: enforcers
//! time elements by themselves, to the millisecond.

use crate::{ActiveCount, Config, Endings, Event, NextEndings, Pallet, Records, Status};
use frame_support::traits::Get;
use ringfence_primitives::{ChangeKind, IndicatorId, Millis};

/// Length of a stretch, in milliseconds.
pub const STRETCH: Millis = 10_000;

/// Empty stretches that one block may skip. A chain that stood still for a day catches up in 68 seconds of 500 ms blocks.
const MAX_SKIPPED: u32 = 64;

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

	/// Ends what is due, within the bound of a block. Returns how many ended.
	pub(crate) fn end_due(now: Millis) -> u32 {
		let present = Self::stretch(now);
		let mut next = NextEndings::<T>::get();
		if next >= present {
			return 0;
		}
		if next == 0 {
			// The first block with a clock: nothing can have been filed for a time before it.
			next = present;
		}
		let mut room = T::MaxEndingsPerBlock::get();
		let mut skips = MAX_SKIPPED;
		while next < present && room > 0 && skips > 0 {
			match Endings::<T>::iter_key_prefix(next).next() {
				Some(id) => {
					Endings::<T>::remove(next, id);
					Self::end(id);
					room = room.saturating_sub(1);
				}
				None => {
					next = next.saturating_add(1);
					skips = skips.saturating_sub(1);
				}
			}
		}
		NextEndings::<T>::put(next);
		T::MaxEndingsPerBlock::get().saturating_sub(room)
	}

	fn end(id: IndicatorId) {
		let Some(record) = Records::<T>::take(id) else { return };
		match record.status {
			Status::Proposed => {
				Self::unlist(&id);
				Self::deposit_event(Event::Lapsed { id });
			}
			Status::Rejected => {}
			Status::Active { .. } => {
				ActiveCount::<T>::mutate(|count| *count = count.saturating_sub(1));
				// `append` fails only when 2^64 changes have been made.
				if let Ok(seq) = Self::append(ChangeKind::Expired(record.indicator)) {
					Self::deposit_event(Event::Expired { id, seq });
				}
			}
		}
	}
}
