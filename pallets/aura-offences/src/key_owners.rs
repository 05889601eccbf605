//! The record of who validated in which session, with which keys.

use crate::{Config, KeysInUse, Newest, Pallet};
use alloc::vec::Vec;
use frame_support::{
	traits::{Get, KeyOwnerProofSystem},
	BoundedVec,
};
use sp_runtime::{traits::OpaqueKeys, KeyTypeId};
use sp_session::MembershipProof;
use sp_staking::SessionIndex;

impl<T: Config> Pallet<T> {
	/// Records with which keys a session begins, and forgets the session that has grown too old. To be called at the
	/// start of every session, in order.
	pub fn note_session(index: SessionIndex, keys: Vec<(T::AccountId, T::Keys)>) {
		KeysInUse::<T>::insert(index, BoundedVec::truncate_from(keys));
		Newest::<T>::put(index);
		if let Some(forgotten) = index.checked_sub(T::KeptSessions::get()) {
			KeysInUse::<T>::remove(forgotten);
		}
	}

	/// The validator that used the key in the session, and how many validated in it.
	fn owner(session: SessionIndex, kind: KeyTypeId, key: &[u8]) -> Option<(T::AccountId, u32)> {
		let validators = KeysInUse::<T>::get(session);
		let count = validators.len() as u32;
		// A kind of key that there is not reads as no bytes.
		let (owner, _) = validators.into_iter().find(|(_, keys)| !key.is_empty() && keys.get_raw(kind) == key)?;
		Some((owner, count))
	}

	/// The invariants of the record.
	#[cfg(any(feature = "try-runtime", test))]
	pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
		let newest = Newest::<T>::get();
		for session in KeysInUse::<T>::iter_keys() {
			frame_support::ensure!(session <= newest, "a session to come is on record");
			frame_support::ensure!(
				newest.saturating_sub(session) < T::KeptSessions::get(),
				"a session ought to have been forgotten"
			);
		}
		Ok(())
	}
}

/// A proof names the session; the record is on the chain, so nothing more is needed.
impl<T: Config, Key: AsRef<[u8]>> KeyOwnerProofSystem<(KeyTypeId, Key)> for Pallet<T> {
	type Proof = MembershipProof;
	type IdentificationTuple = T::AccountId;

	/// For the newest session on record in which the key was in use.
	fn prove((kind, key): (KeyTypeId, Key)) -> Option<MembershipProof> {
		let newest = Newest::<T>::get();
		let oldest = newest.saturating_sub(T::KeptSessions::get().saturating_sub(1));
		(oldest..=newest).rev().find_map(|session| {
			let (_, validator_count) = Self::owner(session, kind, key.as_ref())?;
			Some(MembershipProof { session, trie_nodes: Vec::new(), validator_count })
		})
	}

	fn check_proof((kind, key): (KeyTypeId, Key), proof: MembershipProof) -> Option<T::AccountId> {
		let (owner, count) = Self::owner(proof.session, kind, key.as_ref())?;
		(proof.trie_nodes.is_empty() && proof.validator_count == count).then_some(owner)
	}
}
