//! Who may sign in a member's name.

use crate::{Config, Delegates, Error, Member, Members, Named, Owners, Pallet, Role, Signers, Status};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{ensure, traits::Get};
use frame_system::ensure_signed;
use ringfence_primitives::Scope;
use scale_info::TypeInfo;
use sp_runtime::{DispatchError, DispatchResult};

/// What a key may do in its member's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Power {
	/// Everything.
	Owner,
	/// What its scopes say, and nothing in this pallet.
	Delegate {
		/// [`Scope::Report`].
		report: bool,
		/// [`Scope::Vet`].
		vet: bool,
	},
}

impl Power {
	/// Whether the key may do what `scope` names.
	pub const fn reaches(self, scope: Scope) -> bool {
		match self {
			Self::Owner => true,
			Self::Delegate { report, vet } => match scope {
				Scope::Report => report,
				Scope::Vet => vet,
			},
		}
	}
}

/// A key that acts for a member.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Signer<AccountId> {
	/// The member: the account that was admitted.
	pub member: AccountId,
	/// What the key may do in its name.
	pub power: Power,
}

impl<T: Config> Pallet<T> {
	/// For whom `who` signs, if for anybody.
	pub fn signer(who: &T::AccountId) -> Option<Signer<T::AccountId>> {
		Signers::<T>::get(who)
	}

	/// The active member in whose name `who` may do what `scope` names, and its role.
	pub fn speaker(who: &T::AccountId, scope: Scope) -> Option<(T::AccountId, Role<T::AccountId>)> {
		let Signer { member, power } = Signers::<T>::get(who)?;
		if !power.reaches(scope) {
			return None;
		}
		let role = Self::active_role(&member)?;
		Some((member, role))
	}

	/// The member that `who` owns, whether it may act or not.
	pub fn owner_of(who: &T::AccountId) -> Option<(T::AccountId, Member<T::AccountId>)> {
		let Signer { member, power } = Signers::<T>::get(who)?;
		if power != Power::Owner {
			return None;
		}
		let entry = Members::<T>::get(&member)?;
		Some((member, entry))
	}

	pub(crate) fn ensure_owner(
		origin: T::RuntimeOrigin,
	) -> Result<(T::AccountId, Member<T::AccountId>), DispatchError> {
		let who = ensure_signed(origin)?;
		Ok(Self::owner_of(&who).ok_or(Error::<T>::NotOwner)?)
	}

	pub(crate) fn ensure_active_owner(
		origin: T::RuntimeOrigin,
	) -> Result<(T::AccountId, Role<T::AccountId>), DispatchError> {
		let (member, _) = Self::ensure_owner(origin)?;
		let role = Self::active_role(&member).ok_or(Error::<T>::NotActive)?;
		Ok((member, role))
	}

	pub(crate) fn ensure_isp_owner(origin: T::RuntimeOrigin) -> Result<T::AccountId, DispatchError> {
		let who = ensure_signed(origin)?;
		let (member, _) = Self::owner_of(&who).ok_or(Error::<T>::NotIsp)?;
		ensure!(Self::active_role(&member) == Some(Role::Isp), Error::<T>::NotIsp);
		Ok(member)
	}

	pub(crate) fn do_delegate(
		member: &T::AccountId,
		account: &T::AccountId,
		report: bool,
		vet: bool,
	) -> DispatchResult {
		ensure!(report || vet, Error::<T>::NoScope);
		let power = Power::Delegate { report, vet };
		let mut delegates = Delegates::<T>::get(member);
		if !delegates.contains(account) {
			Self::ensure_fresh(account)?;
			delegates.try_push(account.clone()).map_err(|_| Error::<T>::TooManyDelegates)?;
			Self::adopt(member, account)?;
			Delegates::<T>::insert(member, delegates);
		}
		Signers::<T>::insert(account, Signer { member: member.clone(), power });
		Ok(())
	}

	pub(crate) fn do_revoke_delegate(member: &T::AccountId, account: &T::AccountId) -> DispatchResult {
		let mut delegates = Delegates::<T>::get(member);
		let position = delegates.iter().position(|delegate| delegate == account).ok_or(Error::<T>::NotDelegate)?;
		delegates.remove(position);
		if delegates.is_empty() {
			Delegates::<T>::remove(member);
		} else {
			Delegates::<T>::insert(member, delegates);
		}
		Signers::<T>::remove(account);
		Ok(())
	}

	pub(crate) fn do_rotate(
		member: &T::AccountId,
		entry: &Member<T::AccountId>,
		account: &T::AccountId,
	) -> DispatchResult {
		let rotate = || -> DispatchResult {
			Self::ensure_fresh(account)?;
			Self::adopt(member, account)?;
			if let Some(old) = Owners::<T>::get(member) {
				Signers::<T>::remove(old);
			}
			Owners::<T>::insert(member, account);
			Signers::<T>::insert(account, Signer { member: member.clone(), power: Power::Owner });
			Ok(())
		};
		if entry.role == Role::Isp && entry.status == Status::Active {
			Self::in_step(rotate)
		} else {
			rotate()
		}
	}

	/// One key acts for one member. A member's name, too, is no key but its own: once replaced it is dead for good.
	fn ensure_fresh(account: &T::AccountId) -> DispatchResult {
		ensure!(!Signers::<T>::contains_key(account) && !Members::<T>::contains_key(account), Error::<T>::KeyInUse);
		Ok(())
	}

	/// Keeps the nonce of a member's new key for good, and counts the key where the chain had none.
	fn adopt(member: &T::AccountId, account: &T::AccountId) -> DispatchResult {
		if !Self::has_nonce(account) {
			let named = Named::<T>::get(member);
			ensure!(named < T::MaxNamed::get(), Error::<T>::TooManyNamed);
			Named::<T>::insert(member, named.saturating_add(1));
			Self::keep_nonce(account);
		}
		Ok(())
	}
}
