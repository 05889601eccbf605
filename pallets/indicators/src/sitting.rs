//! What the decisions of one call depend on, and how many votes decide.

use crate::{Config, Members, Parameters, ProtectedNetworks, RecordOf, Settings};
use alloc::vec::Vec;
use frame_support::{traits::Time, BoundedVec};
use ringfence_primitives::{Indicator, Millis, Network};

/// What the decisions of one call depend on, read once however many items the call has.
pub(crate) struct Sitting<T: Config> {
	pub(crate) now: Millis,
	pub(crate) settings: Parameters,
	pub(crate) protected: BoundedVec<Network, T::MaxProtected>,
	/// In order.
	isps: Vec<T::AccountId>,
	/// Whether the call has many items: then what is the same for all of them is told once, and not for each.
	pub(crate) batch: bool,
}

impl<T: Config> Sitting<T> {
	pub(crate) fn open() -> Self {
		Self::with(false)
	}

	/// One for a call of many items.
	pub(crate) fn for_batch() -> Self {
		Self::with(true)
	}

	fn with(batch: bool) -> Self {
		let mut isps = T::Members::isps();
		isps.sort_unstable();
		Self {
			now: T::Clock::now(),
			settings: Settings::<T>::get(),
			protected: ProtectedNetworks::<T>::get(),
			isps,
			batch,
		}
	}

	/// How many ISPs are active.
	pub(crate) fn isps(&self) -> u32 {
		self.isps.len() as u32
	}

	/// Whether `isp` is active.
	pub(crate) fn seats(&self, isp: &T::AccountId) -> bool {
		self.isps.binary_search(isp).is_ok()
	}

	/// Drops the votes of ISPs that have left: they count no more, and without them there is room for every active one.
	pub(crate) fn dismiss_absent(&self, record: &mut RecordOf<T>) {
		record.votes.retain(|(voter, _)| self.seats(voter));
	}

	/// How many approvals activate: more than half of the ISPs; two thirds where the indicator is wide.
	pub(crate) fn quorum(&self, indicator: &Indicator) -> u32 {
		if indicator.is_wide() {
			self.isps().saturating_mul(2).div_ceil(3).max(self.majority())
		} else {
			self.majority()
		}
	}

	/// More than half of the ISPs.
	pub(crate) fn majority(&self) -> u32 {
		(self.isps() / 2).saturating_add(1)
	}

	/// How many rejections stop what is not confirmed: one third of the ISPs, and at least one.
	pub(crate) fn veto(&self) -> u32 {
		self.isps().div_ceil(3).max(1)
	}
}
