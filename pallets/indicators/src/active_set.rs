//! The active set: how many decisions are in force, their digest, and the changes that say so.

use crate::{ActiveCount, Config, Digest, Pallet, RecordOf};
use ringfence_primitives::{ChangeKind, Decision};
use sp_runtime::DispatchError;

impl<T: Config> Pallet<T> {
	/// A decision comes into force. Returns the number of the change.
	pub(crate) fn begin(decision: &Decision) -> Result<u64, DispatchError> {
		ActiveCount::<T>::mutate(|count| *count = count.saturating_add(1));
		Digest::<T>::mutate(|digest| digest.add(decision));
		Self::append(ChangeKind::Activated(decision.clone()))
	}

	/// A decision takes the place of another about the same indicator. Returns the number of the change.
	pub(crate) fn renew(before: &Decision, decision: &Decision) -> Result<u64, DispatchError> {
		Digest::<T>::mutate(|digest| {
			digest.remove(before);
			digest.add(decision);
		});
		Self::append(ChangeKind::Extended(decision.clone()))
	}

	/// The decision of a record is in force no longer; `kind` says why. Returns the number of the change.
	pub(crate) fn cease(record: &RecordOf<T>, kind: ChangeKind) -> Result<u64, DispatchError> {
		ActiveCount::<T>::mutate(|count| *count = count.saturating_sub(1));
		Digest::<T>::mutate(|digest| digest.remove(&record.decision()));
		Self::append(kind)
	}
}
