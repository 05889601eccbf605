//! The register of members: who enters, who leaves, who answers to whom.

use crate::{
	Config, Delegates, Enrolments, EnvelopeKeys, Error, Event, Isps, Leader, Members, Nodes, Owners, Pallet, Power,
	Signer, Signers,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
	ensure,
	traits::{ConstU32, Get},
	BoundedVec,
};
use frame_system::ensure_signed;
use scale_info::TypeInfo;
use sp_runtime::DispatchResult;

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

/// The name of a node in the network: the bytes of its libp2p peer id. Of today's key types the longest has 42.
pub type NodeId = BoundedVec<u8, ConstU32<64>>;

/// Nodes that one ISP may have: a few validators to switch between, and the nodes that serve its customers.
pub const MAX_NODES: u32 = 8;

impl<T: Config> Pallet<T> {
	/// The role in which the member may act now: none for strangers, the suspended, and subscribers of an ISP that may
	/// not act.
	pub fn active_role(member: &T::AccountId) -> Option<Role<T::AccountId>> {
		let active = |member: &T::AccountId| Members::<T>::get(member).filter(|m| m.status == Status::Active);
		let role = active(member)?.role;
		if let Role::Subscriber { isp } = &role {
			active(isp).filter(|m| m.role == Role::Isp)?;
		}
		Some(role)
	}

	/// ISPs and researchers answer to [`crate::EnsureGovernance`], subscribers to the owner of their active ISP.
	pub(crate) fn ensure_superior(origin: T::RuntimeOrigin, account: &T::AccountId) -> DispatchResult {
		let Role::Subscriber { isp } = Members::<T>::get(account).ok_or(Error::<T>::NotMember)?.role else {
			return Self::ensure_governance(origin);
		};
		let who = ensure_signed(origin)?;
		ensure!(Owners::<T>::get(&isp).as_ref() == Some(&who), Error::<T>::NotYours);
		ensure!(Self::active_role(&isp) == Some(Role::Isp), Error::<T>::NotIsp);
		Ok(())
	}

	pub(crate) fn do_admit(account: &T::AccountId, role: Role<T::AccountId>) -> DispatchResult {
		ensure!(!matches!(role, Role::Subscriber { .. }), Error::<T>::EnrolInstead);
		if role == Role::Isp {
			Self::in_step(|| Self::insert(account, role))
		} else {
			Self::insert(account, role)
		}
	}

	/// Makes an account a member that is its own owner.
	pub(crate) fn insert(account: &T::AccountId, role: Role<T::AccountId>) -> DispatchResult {
		ensure!(!Members::<T>::contains_key(account), Error::<T>::AlreadyMember);
		ensure!(!Signers::<T>::contains_key(account), Error::<T>::KeyInUse);
		if role == Role::Isp {
			Isps::<T>::try_append(account).map_err(|()| Error::<T>::TooManyIsps)?;
		}
		Self::keep_nonce(account);
		Members::<T>::insert(account, Member { role, status: Status::Active });
		Signers::<T>::insert(account, Signer { member: account.clone(), power: Power::Owner });
		Owners::<T>::insert(account, account);
		Ok(())
	}

	pub(crate) fn do_enrol(isp: &T::AccountId, account: &T::AccountId) -> DispatchResult {
		ensure!(Self::active_role(isp) == Some(Role::Isp), Error::<T>::NotIsp);
		let enrolled = Enrolments::<T>::get(isp);
		ensure!(enrolled < T::MaxSubscribers::get(), Error::<T>::TooManySubscribers);
		let role = Role::Subscriber { isp: isp.clone() };
		if Self::is_orphan(account) {
			// It stays the member that it was, so its keys stay too: one that it has replaced must not come back to life.
			Members::<T>::insert(account, Member { role, status: Status::Active });
		} else {
			Self::insert(account, role)?;
		}
		Enrolments::<T>::insert(isp, enrolled.saturating_add(1));
		Ok(())
	}

	/// Whether the account is a subscriber of somebody who is no ISP any more.
	fn is_orphan(account: &T::AccountId) -> bool {
		match Members::<T>::get(account) {
			Some(Member { role: Role::Subscriber { isp }, .. }) => {
				Members::<T>::get(isp).is_none_or(|former| former.role != Role::Isp)
			}
			_ => false,
		}
	}

	pub(crate) fn do_suspend(account: &T::AccountId) -> DispatchResult {
		let mut member = Members::<T>::get(account).ok_or(Error::<T>::NotMember)?;
		ensure!(member.status == Status::Active, Error::<T>::AlreadySuspended);
		let isp = member.role == Role::Isp;
		member.status = Status::Suspended;
		let suspend = || -> DispatchResult {
			if isp {
				Self::leave_isps(account)?;
			}
			Members::<T>::insert(account, member);
			Ok(())
		};
		if isp {
			Self::in_step(suspend)
		} else {
			suspend()
		}
	}

	pub(crate) fn do_reinstate(account: &T::AccountId) -> DispatchResult {
		let mut member = Members::<T>::get(account).ok_or(Error::<T>::NotMember)?;
		ensure!(member.status == Status::Suspended, Error::<T>::NotSuspended);
		member.status = Status::Active;
		if member.role == Role::Isp {
			Self::in_step(|| {
				Isps::<T>::try_append(account).map_err(|()| Error::<T>::TooManyIsps)?;
				Members::<T>::insert(account, member);
				Ok(())
			})
		} else {
			Members::<T>::insert(account, member);
			Ok(())
		}
	}

	pub(crate) fn do_remove(account: &T::AccountId) -> DispatchResult {
		let member = Members::<T>::get(account).ok_or(Error::<T>::NotMember)?;
		if member.role == Role::Isp && member.status == Status::Active {
			Self::in_step(|| {
				Self::leave_isps(account)?;
				Self::forget(account);
				Ok(())
			})
		} else {
			Self::forget(account);
			Ok(())
		}
	}

	/// Deletes a member and its keys. What it did, whom it enrolled and what it spent stay on record.
	pub(crate) fn forget(account: &T::AccountId) {
		if let Some(owner) = Owners::<T>::take(account) {
			Signers::<T>::remove(owner);
		}
		for delegate in Delegates::<T>::take(account) {
			Signers::<T>::remove(delegate);
		}
		EnvelopeKeys::<T>::remove(account);
		Nodes::<T>::remove(account);
		Members::<T>::remove(account);
	}

	/// Takes an active ISP off the list; refuses where the chain would be left without leader, author or finality.
	fn leave_isps(account: &T::AccountId) -> DispatchResult {
		ensure!(Leader::<T>::get().as_ref() != Some(account), Error::<T>::IsLeader);
		let mut isps = Isps::<T>::get();
		ensure!(isps.len() > 1, Error::<T>::LastIsp);
		isps.retain(|isp| isp != account);
		let validators = T::Validators::get();
		// An ISP that does not validate takes nothing with it.
		if validators.contains(account) {
			let departing = validators.iter().filter(|validator| !isps.contains(validator)).count();
			let dispensable = validators.len().saturating_sub(1).checked_div(3).unwrap_or_default().max(1);
			ensure!(departing <= dispensable, Error::<T>::TooManyLeaving);
		}
		Isps::<T>::put(isps);
		Ok(())
	}

	/// Suspends an active ISP that was caught signing against itself, unless the chain could not go on without it.
	/// Whether it was suspended.
	pub fn suspend_for_offence(member: &T::AccountId) -> bool {
		if Self::active_role(member) != Some(Role::Isp) {
			return false;
		}
		let account = member.clone();
		if Self::do_suspend(member).is_err() {
			Self::deposit_event(Event::Spared { account });
			return false;
		}
		Self::deposit_event(Event::Equivocated { account: account.clone() });
		Self::deposit_event(Event::Suspended { account });
		true
	}

	pub(crate) fn do_set_nodes(isp: &T::AccountId, nodes: BoundedVec<NodeId, ConstU32<MAX_NODES>>) -> DispatchResult {
		ensure!(nodes.iter().all(|node| !node.is_empty()), Error::<T>::BadNode);
		if nodes.is_empty() {
			Nodes::<T>::remove(isp);
		} else {
			Nodes::<T>::insert(isp, nodes);
		}
		Ok(())
	}

	/// The peer ids of an ISP's nodes, suspended or not.
	pub fn nodes_of(isp: &T::AccountId) -> Vec<Vec<u8>> {
		Nodes::<T>::get(isp).into_iter().map(NodeId::into_inner).collect()
	}

	/// An account without a provider has no nonce. The reference is never given back: see the crate's documentation.
	pub(crate) fn keep_nonce(account: &T::AccountId) {
		if !Self::has_nonce(account) {
			frame_system::Pallet::<T>::inc_providers(account);
		}
	}

	pub(crate) fn has_nonce(account: &T::AccountId) -> bool {
		frame_system::Pallet::<T>::providers(account) > 0
	}

	/// Makes an account a member, for benchmarks of pallets that need one. Nobody else is told of it.
	#[cfg(feature = "runtime-benchmarks")]
	pub fn add_member(account: &T::AccountId, role: Role<T::AccountId>) -> DispatchResult {
		Self::insert(account, role)
	}
}
