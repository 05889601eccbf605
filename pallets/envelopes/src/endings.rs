//! Endings: letters are forgotten.
//!
//! Time is cut into stretches of [`STRETCH`]; a letter is filed under the stretch in which its time is up, and a stretch
//! is worked off once it is over. So a letter stays on record for at most a stretch longer than it says, which harms
//! nobody.

use crate::{Config, Endings, Letters, NextEndings, Open, Pallet};
use frame_support::traits::Get;
use ringfence_primitives::{Digest, Millis};

/// Length of a stretch, in milliseconds.
pub const STRETCH: Millis = 60_000;

/// Empty stretches that one block may skip. A chain that stood still for a day catches up in 12 seconds of 500 ms blocks.
const MAX_SKIPPED: u32 = 64;

impl<T: Config> Pallet<T> {
	/// Files a letter to be forgotten at `at`. Never under a stretch that was worked off already.
	pub(crate) fn file_ending(mailbox: Digest, hash: Digest, at: Millis) {
		Endings::<T>::insert(at / STRETCH, hash, mailbox);
	}

	/// Forgets what is due, within the bound of a block. Returns how many were forgotten.
	pub(crate) fn end_due(now: Millis) -> u32 {
		let present = now / STRETCH;
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
			match Endings::<T>::iter_prefix(next).next() {
				Some((hash, mailbox)) => {
					Endings::<T>::remove(next, hash);
					Self::forget(mailbox, hash);
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

	fn forget(mailbox: Digest, hash: Digest) {
		Letters::<T>::remove(mailbox, hash);
		Open::<T>::mutate_exists(mailbox, |open| {
			// An empty mailbox leaves nothing behind.
			*open = open.and_then(|count| count.checked_sub(1)).filter(|count| *count > 0);
		});
	}
}
