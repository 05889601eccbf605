//! What an upgrade makes of the state that it finds.

use crate::{Config, Isps, Members, Owners, Pallet, Power, Signer, Signers};
use frame_support::{
	migrations::VersionedMigration,
	traits::{ChangeMembers, Get, UncheckedOnRuntimeUpgrade},
	weights::Weight,
};

/// Version 1 knew no keys but the members' own, and no council. Each member becomes its own owner, and the council hears
/// who sits on it.
///
/// It goes through the whole register in one block: registers of that time have some thousands of members at most.
pub type MigrateV1ToV2<T> =
	VersionedMigration<1, 2, unchecked::NameOwners<T>, Pallet<T>, <T as frame_system::Config>::DbWeight>;

/// Migrations that do not look at the storage version: only [`VersionedMigration`] may run them.
mod unchecked {
	use super::*;

	pub struct NameOwners<T>(core::marker::PhantomData<T>);

	impl<T: Config> UncheckedOnRuntimeUpgrade for NameOwners<T> {
		fn on_runtime_upgrade() -> Weight {
			let mut members = 0u64;
			for member in Members::<T>::iter_keys() {
				members = members.saturating_add(1);
				Signers::<T>::insert(&member, Signer { member: member.clone(), power: Power::Owner });
				Owners::<T>::insert(&member, &member);
			}
			let council = Pallet::<T>::council();
			// Not `initialize_members`, which panics where there is a council already: an upgrade must not.
			T::CouncilMembers::change_members_sorted(&council, &[], &council);
			let isps = Isps::<T>::decode_len().unwrap_or(0) as u64;
			T::DbWeight::get()
				.reads_writes(members.saturating_add(isps).saturating_add(2), members.saturating_mul(2))
				.saturating_add(T::CouncilWeight::get())
		}

		#[cfg(feature = "try-runtime")]
		fn pre_upgrade() -> Result<alloc::vec::Vec<u8>, sp_runtime::TryRuntimeError> {
			Ok(codec::Encode::encode(&(Members::<T>::iter_keys().count() as u64)))
		}

		#[cfg(feature = "try-runtime")]
		fn post_upgrade(state: alloc::vec::Vec<u8>) -> Result<(), sp_runtime::TryRuntimeError> {
			let members: u64 =
				codec::Decode::decode(&mut &state[..]).map_err(|_| "the number of members was not handed over")?;
			frame_support::ensure!(Members::<T>::iter_keys().count() as u64 == members, "a member was lost");
			frame_support::ensure!(Owners::<T>::iter_keys().count() as u64 == members, "a member has no owner");
			Pallet::<T>::do_try_state()
		}
	}
}
