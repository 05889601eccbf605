//! The change log: append, prune, nothing else.

use crate::{ChangeLog, Config, Event, Head, Members, Pallet};
use frame_support::traits::{Get, Time};
use ringfence_primitives::{envelope::Sealed, keys::LogNumber, Change, ChangeKind, LogHead, Millis};

impl<T: Config> Pallet<T> {
	/// Puts into the log what a provider tells its own subscribers. Returns the number of the change. How often a provider
	/// may is up to the caller.
	pub fn append_tier1(isp: &T::AccountId, sealed: Sealed) -> u64 {
		Self::append(ChangeKind::Tier1(T::Members::bytes(isp), sealed))
	}

	/// Appends a change, and says so. Returns its number. Not while a sitting is open, which has the head in hand.
	pub(crate) fn append(kind: ChangeKind) -> u64 {
		let mut head = Head::<T>::get();
		let seq = Self::enter_change(&mut head, T::Clock::now(), kind);
		Head::<T>::put(head);
		Self::deposit_event(Event::Changed { seq });
		seq
	}

	/// Writes the entry that follows `head` and forgets the oldest beyond the retention bound. Returns its number, with which
	/// `head` goes on. At a million a second the numbers last for half a million years; then the newest is overwritten.
	pub(crate) fn enter_change(head: &mut LogHead, at: Millis, kind: ChangeKind) -> u64 {
		let seq = head.seq.saturating_add(1);
		let change = Change { seq, at, previous: head.hash, kind };
		head.seq = seq;
		head.hash = change.hash();
		head.oldest = head.oldest.max(1);
		ChangeLog::<T>::insert(LogNumber::from(seq), change);
		if seq.saturating_sub(head.oldest) >= T::LogRetention::get() {
			ChangeLog::<T>::remove(LogNumber::from(head.oldest));
			head.oldest = head.oldest.saturating_add(1);
		}
		seq
	}

	/// The log is an unbroken chain from the oldest entry to the head, and no longer than the retention bound.
	#[cfg(any(feature = "try-runtime", test))]
	pub(crate) fn try_state_log() -> Result<(), sp_runtime::TryRuntimeError> {
		use frame_support::ensure;
		let head = Head::<T>::get();
		let mut kept = 0u64;
		let mut previous: Option<Change> = None;
		for seq in head.oldest.max(1)..=head.seq {
			let change = ChangeLog::<T>::get(LogNumber::from(seq)).ok_or("an entry of the log is missing")?;
			ensure!(change.seq == seq, "an entry of the log is misnumbered");
			if let Some(previous) = previous {
				ensure!(change.previous == previous.hash(), "the log's chain is broken");
			}
			kept = kept.saturating_add(1);
			previous = Some(change);
		}
		ensure!(previous.map_or([0; 32], |last| last.hash()) == head.hash, "the head does not name the newest entry");
		ensure!(kept <= T::LogRetention::get(), "the log is longer than its bound");
		ensure!(
			ChangeLog::<T>::iter_keys().count() as u64 == kept,
			"the log holds entries that it ought to have forgotten"
		);
		Ok(())
	}
}
