//! The active set: how many decisions are in force, their digest, and the changes that say so.

use crate::{sitting::Sitting, ActiveCount, Config, Digest, Pallet, RecordOf};
use ringfence_primitives::{ChangeKind, Decision};
use sp_runtime::DispatchError;

impl<T: Config> Pallet<T> {
	/// A decision comes into force. Returns the number of the change.
	pub(crate) fn begin(sitting: &Sitting<T>, decision: &Decision) -> Result<u64, DispatchError> {
		ActiveCount::<T>::mutate(|count| *count = count.saturating_add(1));
		Digest::<T>::mutate(|digest| digest.add(decision));
		Self::tell(sitting, ChangeKind::Activated(decision.clone()))
	}

	/// A decision takes the place of another about the same indicator. Returns the number of the change.
	pub(crate) fn renew(sitting: &Sitting<T>, before: &Decision, decision: &Decision) -> Result<u64, DispatchError> {
		Digest::<T>::mutate(|digest| {
			digest.remove(before);
			digest.add(decision);
		});
		Self::tell(sitting, ChangeKind::Extended(decision.clone()))
	}

	/// The decision of a record is in force no longer; `kind` says why. Returns the number of the change.
	pub(crate) fn cease(record: &RecordOf<T>, kind: ChangeKind) -> Result<u64, DispatchError> {
		ActiveCount::<T>::mutate(|count| *count = count.saturating_sub(1));
		Digest::<T>::mutate(|digest| digest.remove(&record.decision()));
		Self::append(kind)
	}

	/// Appends a change. A batch rings the doorbell once, for its last.
	fn tell(sitting: &Sitting<T>, kind: ChangeKind) -> Result<u64, DispatchError> {
		if sitting.batch {
			Self::append_quietly(kind)
		} else {
			Self::append(kind)
		}
	}
}
