//! The active set: how many decisions are in force, their digest, and the changes that say so.

use crate::{sitting::Sitting, Config, Pallet, RecordOf};
use ringfence_primitives::{ChangeKind, Decision};

impl<T: Config> Pallet<T> {
	/// A decision comes into force. Returns the number of the change.
	pub(crate) fn begin(sitting: &mut Sitting<T>, decision: &Decision) -> u64 {
		sitting.active.one_more();
		sitting.digest.change().add(decision);
		Self::tell_enforcers(sitting, ChangeKind::Activated(decision.clone()))
	}

	/// A decision takes the place of another about the same indicator. Returns the number of the change.
	pub(crate) fn renew(sitting: &mut Sitting<T>, before: &Decision, decision: &Decision) -> u64 {
		let digest = sitting.digest.change();
		digest.remove(before);
		digest.add(decision);
		Self::tell_enforcers(sitting, ChangeKind::Extended(decision.clone()))
	}

	/// The decision of a record is in force no longer; `kind` says why. Returns the number of the change.
	pub(crate) fn cease(sitting: &mut Sitting<T>, record: &RecordOf<T>, kind: ChangeKind) -> u64 {
		sitting.active.one_less();
		sitting.digest.change().remove(&record.decision());
		Self::tell_enforcers(sitting, kind)
	}

	fn tell_enforcers(sitting: &mut Sitting<T>, kind: ChangeKind) -> u64 {
		Self::enter_change(&mut sitting.head, sitting.now, kind)
	}
}
