//! Who governs: the leader alone, and once it has handed over, the ISPs together.

use crate::{Config, Error, Isps, Leader, Owners, Pallet};
use alloc::{boxed::Box, vec::Vec};
use frame_support::{
	dispatch::PostDispatchInfo,
	ensure,
	traits::{ChangeMembers, Contains, EnsureOrigin},
	weights::Weight,
};
use frame_system::{ensure_signed, RawOrigin};
use sp_runtime::{
	traits::Dispatchable, DispatchError, DispatchErrorWithPostInfo, DispatchResult, DispatchResultWithInfo,
};

/// Governance: the owner of the leader while there is one, and nobody else; then [`Config::Council`], and nobody else.
pub struct EnsureGovernance<T>(core::marker::PhantomData<T>);

impl<T: Config> EnsureOrigin<T::RuntimeOrigin> for EnsureGovernance<T> {
	type Success = ();

	fn try_origin(origin: T::RuntimeOrigin) -> Result<Self::Success, T::RuntimeOrigin> {
		match Leader::<T>::get() {
			Some(leader) => match ensure_signed(origin.clone()) {
				Ok(who) if Owners::<T>::get(leader).as_ref() == Some(&who) => Ok(()),
				_ => Err(origin),
			},
			None => T::Council::try_origin(origin).map(|_| ()),
		}
	}

	#[cfg(feature = "runtime-benchmarks")]
	fn try_successful_origin() -> Result<T::RuntimeOrigin, ()> {
		let leader = Leader::<T>::get().unwrap_or_else(|| {
			let leader = frame_benchmarking::account::<T::AccountId>("leader", 0, 0);
			Leader::<T>::put(&leader);
			Owners::<T>::insert(&leader, &leader);
			leader
		});
		Ok(RawOrigin::Signed(Owners::<T>::get(leader).ok_or(())?).into())
	}
}

impl<T: Config> Pallet<T> {
	pub(crate) fn ensure_governance(origin: T::RuntimeOrigin) -> DispatchResult {
		Ok(EnsureGovernance::<T>::ensure_origin(origin).map_err(|_| Error::<T>::NotGovernance)?)
	}

	/// Returns who was the leader.
	pub(crate) fn do_hand_over(origin: T::RuntimeOrigin) -> Result<T::AccountId, DispatchError> {
		let who = ensure_signed(origin)?;
		let leader = Leader::<T>::get().ok_or(Error::<T>::NotLeader)?;
		ensure!(Owners::<T>::get(&leader).as_ref() == Some(&who), Error::<T>::NotLeader);
		ensure!(Isps::<T>::get().len() > 1, Error::<T>::NobodyToHandTo);
		Leader::<T>::kill();
		Ok(leader)
	}

	/// Makes a call as the chain itself. `own` is what the way to it weighs.
	pub(crate) fn do_govern(
		call: Box<<T as Config>::RuntimeCall>,
		own: Weight,
	) -> DispatchResultWithInfo<PostDispatchInfo> {
		ensure!(T::Governed::contains(&call), Error::<T>::NotGoverned);
		let with_own = |post: PostDispatchInfo| PostDispatchInfo {
			actual_weight: post.actual_weight.map(|weight| weight.saturating_add(own)),
			..post
		};
		(*call)
			.dispatch(RawOrigin::Root.into())
			.map(with_own)
			.map_err(|failed| DispatchErrorWithPostInfo { post_info: with_own(failed.post_info), error: failed.error })
	}

	/// Who sits on the council: the keys that own the active ISPs, sorted.
	pub fn council() -> Vec<T::AccountId> {
		let mut council: Vec<_> = Isps::<T>::get().iter().filter_map(Owners::<T>::get).collect();
		council.sort();
		council
	}

	/// Makes a change to the ISPs or to their owners, and tells the council who sits on it from now on.
	pub(crate) fn in_step(change: impl FnOnce() -> DispatchResult) -> DispatchResult {
		let before = Self::council();
		change()?;
		let after = Self::council();
		if after != before {
			T::CouncilMembers::set_members_sorted(&after, &before);
		}
		Ok(())
	}
}
