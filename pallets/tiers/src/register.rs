//! The register of members: who enters, who leaves, who answers to whom.

use crate::{Config, Enrolments, Error, Isps, Leader, Members, Pallet, Spent};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
	ensure,
	traits::{EnsureOrigin, Get},
};
use frame_system::{ensure_signed, pallet_prelude::BlockNumberFor};
use scale_info::TypeInfo;
use sp_runtime::{DispatchError, DispatchResult};

/// What a member is.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Role<AccountId> {
	/// An internet provider: validates, reports, votes.
	Isp,
	/// A customer of one provider: reports to it.
	Subscriber {
		/// The provider.
		isp: AccountId,
	},
	/// Reports, and has no vote.
	Researcher,
}

/// Whether a member may act.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Status {
	/// It may.
	Active,
	/// It may not, until it is reinstated.
	Suspended,
}

/// An entry of the register.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Member<AccountId> {
	/// What it is.
	pub role: Role<AccountId>,
	/// Whether it may act.
	pub status: Status,
}

/// Transactions a member may have included in one window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Quotas {
	/// For an ISP.
	pub isp: u32,
	/// For a subscriber.
	pub subscriber: u32,
	/// For a researcher.
	pub researcher: u32,
}

impl Quotas {
	/// The quota of a role.
	pub const fn of<AccountId>(&self, role: &Role<AccountId>) -> u32 {
		match role {
			Role::Isp => self.isp,
			Role::Subscriber { .. } => self.subscriber,
			Role::Researcher => self.researcher,
		}
	}
}

impl<T: Config> Pallet<T> {
	/// The role in which `who` may act now: none for strangers, the suspended, and subscribers of an ISP that may not act.
	pub fn active_role(who: &T::AccountId) -> Option<Role<T::AccountId>> {
		let active = |who: &T::AccountId| Members::<T>::get(who).filter(|m| m.status == Status::Active);
		let role = active(who)?.role;
		if let Role::Subscriber { isp } = &role {
			active(isp).filter(|m| m.role == Role::Isp)?;
		}
		Some(role)
	}

	/// Transactions that `who` may still have included in the present window.
	pub fn quota_left(who: &T::AccountId, role: &Role<T::AccountId>) -> u32 {
		let (window, spent) = Spent::<T>::get(who);
		let quota = T::Quotas::get().of(role);
		if window == Self::window() {
			quota.saturating_sub(spent)
		} else {
			quota
		}
	}

	/// Counts one transaction of `who`. False where the quota is spent.
	pub(crate) fn debit(who: &T::AccountId, role: &Role<T::AccountId>) -> bool {
		let quota = T::Quotas::get().of(role);
		Spent::<T>::mutate(who, |(window, spent)| {
			if *window != Self::window() {
				*window = Self::window();
				*spent = 0;
			}
			let granted = *spent < quota;
			if granted {
				*spent = spent.saturating_add(1);
			}
			granted
		})
	}

	/// Windows are counted from 1, so that the default of [`Spent`] is never the present one.
	fn window() -> BlockNumberFor<T> {
		use sp_runtime::traits::{CheckedDiv, One, Saturating};
		let length = T::QuotaWindow::get();
		frame_system::Pallet::<T>::block_number().checked_div(&length).unwrap_or_default().saturating_add(One::one())
	}

	pub(crate) fn ensure_leader(origin: T::RuntimeOrigin) -> Result<T::AccountId, DispatchError> {
		let who = ensure_signed(origin)?;
		ensure!(Leader::<T>::get().as_ref() == Some(&who), Error::<T>::NotLeader);
		Ok(who)
	}

	/// ISPs and researchers answer to the leader, subscribers to their active ISP.
	pub(crate) fn ensure_superior(origin: T::RuntimeOrigin, account: &T::AccountId) -> DispatchResult {
		let who = ensure_signed(origin)?;
		let superior = match Members::<T>::get(account).ok_or(Error::<T>::NotMember)?.role {
			Role::Subscriber { isp } => Some(isp),
			Role::Isp | Role::Researcher => Leader::<T>::get(),
		};
		ensure!(superior.as_ref() == Some(&who), Error::<T>::NotYours);
		ensure!(Self::active_role(&who) == Some(Role::Isp), Error::<T>::NotIsp);
		Ok(())
	}

	pub(crate) fn insert(account: &T::AccountId, role: Role<T::AccountId>) -> DispatchResult {
		ensure!(!Members::<T>::contains_key(account), Error::<T>::AlreadyMember);
		if role == Role::Isp {
			Isps::<T>::try_append(account).map_err(|()| Error::<T>::TooManyIsps)?;
		}
		// An account without a provider has no nonce. The reference is never given back: see the crate's documentation.
		if frame_system::Pallet::<T>::providers(account) == 0 {
			frame_system::Pallet::<T>::inc_providers(account);
		}
		Members::<T>::insert(account, Member { role, status: Status::Active });
		Ok(())
	}

	pub(crate) fn do_enrol(isp: &T::AccountId, account: &T::AccountId) -> DispatchResult {
		ensure!(Self::active_role(isp) == Some(Role::Isp), Error::<T>::NotIsp);
		if let Some(Member { role: Role::Subscriber { isp: former }, .. }) = Members::<T>::get(account) {
			if !Members::<T>::contains_key(&former) {
				Members::<T>::remove(account);
			}
		}
		let enrolled = Enrolments::<T>::get(isp);
		ensure!(enrolled < T::MaxSubscribers::get(), Error::<T>::TooManySubscribers);
		Self::insert(account, Role::Subscriber { isp: isp.clone() })?;
		Enrolments::<T>::insert(isp, enrolled.saturating_add(1));
		Ok(())
	}

	pub(crate) fn do_suspend(account: &T::AccountId) -> DispatchResult {
		let mut member = Members::<T>::get(account).ok_or(Error::<T>::NotMember)?;
		ensure!(member.status == Status::Active, Error::<T>::AlreadySuspended);
		Self::leave_isps(account, &member)?;
		member.status = Status::Suspended;
		Members::<T>::insert(account, member);
		Ok(())
	}

	pub(crate) fn do_reinstate(account: &T::AccountId) -> DispatchResult {
		let mut member = Members::<T>::get(account).ok_or(Error::<T>::NotMember)?;
		ensure!(member.status == Status::Suspended, Error::<T>::NotSuspended);
		if member.role == Role::Isp {
			Isps::<T>::try_append(account).map_err(|()| Error::<T>::TooManyIsps)?;
		}
		member.status = Status::Active;
		Members::<T>::insert(account, member);
		Ok(())
	}

	pub(crate) fn do_remove(account: &T::AccountId) -> DispatchResult {
		let member = Members::<T>::get(account).ok_or(Error::<T>::NotMember)?;
		Self::leave_isps(account, &member)?;
		Members::<T>::remove(account);
		Ok(())
	}

	/// Takes an active ISP off the list; refuses where the chain would be left without leader or author.
	fn leave_isps(account: &T::AccountId, member: &Member<T::AccountId>) -> DispatchResult {
		if member.role != Role::Isp || member.status != Status::Active {
			return Ok(());
		}
		ensure!(Leader::<T>::get().as_ref() != Some(account), Error::<T>::IsLeader);
		Isps::<T>::try_mutate(|isps| {
			ensure!(isps.len() > 1, Error::<T>::LastIsp);
			isps.retain(|isp| isp != account);
			Ok(())
		})
	}

	/// The invariants of the register.
	#[cfg(any(feature = "try-runtime", test))]
	pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
		let isps = Isps::<T>::get();
		let mut active = 0usize;
		for (account, member) in Members::<T>::iter() {
			if member.role == Role::Isp && member.status == Status::Active {
				active = active.saturating_add(1);
				ensure!(isps.contains(&account), "an active ISP is not on the list");
			}
			if let Role::Subscriber { isp } = &member.role {
				ensure!(Enrolments::<T>::get(isp) > 0, "a subscriber was never counted");
			}
			ensure!(frame_system::Pallet::<T>::providers(&account) > 0, "a member's nonce is not kept");
		}
		ensure!(active == isps.len(), "the list of ISPs holds somebody who is not an active ISP");
		if let Some(leader) = Leader::<T>::get() {
			ensure!(isps.contains(&leader), "the leader is not an active ISP");
		}
		for (isp, count) in Enrolments::<T>::iter() {
			let mut enrolled = 0u32;
			for (_, member) in Members::<T>::iter() {
				if matches!(&member.role, Role::Subscriber { isp: of } if *of == isp) {
					enrolled = enrolled.saturating_add(1);
				}
			}
			ensure!(enrolled <= count && count <= T::MaxSubscribers::get(), "enrolments are miscounted");
		}
		Ok(())
	}
}

/// The leader, as an origin for other pallets.
pub struct EnsureLeader<T>(core::marker::PhantomData<T>);

impl<T: Config> EnsureOrigin<T::RuntimeOrigin> for EnsureLeader<T> {
	type Success = T::AccountId;

	fn try_origin(origin: T::RuntimeOrigin) -> Result<Self::Success, T::RuntimeOrigin> {
		Pallet::<T>::ensure_leader(origin.clone()).map_err(|_| origin)
	}

	#[cfg(feature = "runtime-benchmarks")]
	fn try_successful_origin() -> Result<T::RuntimeOrigin, ()> {
		let leader = frame_benchmarking::account::<T::AccountId>("leader", 0, 0);
		Leader::<T>::put(&leader);
		Ok(frame_system::RawOrigin::Signed(leader).into())
	}
}
