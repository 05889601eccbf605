//! Evidence of double authoring: what proves it, who may hand it in, and what follows.

use crate::{Call, Config, Error, Pallet};
use alloc::{boxed::Box, vec, vec::Vec};
use frame_support::{
	ensure,
	traits::{Get, KeyOwnerProofSystem},
};
use frame_system::{offchain::SubmitTransaction, pallet_prelude::HeaderFor};
use sp_application_crypto::RuntimeAppPublic;
use sp_consensus_aura::{
	digests::CompatibleDigestItem,
	sr25519::{AuthorityId, AuthoritySignature},
	Slot,
};
use sp_consensus_slots::EquivocationProof;
use sp_runtime::{
	traits::Header,
	transaction_validity::{
		InvalidTransaction, TransactionPriority, TransactionSource, TransactionValidity, TransactionValidityError,
		ValidTransaction,
	},
	DispatchResult, Perbill,
};
use sp_session::MembershipProof;
use sp_staking::{
	offence::{Kind, Offence, ReportOffence},
	SessionIndex,
};

/// Two headers of one author for one slot.
pub type Evidence<T> = EquivocationProof<HeaderFor<T>, AuthorityId>;

/// Blocks for which a report waits in the pool. The evidence has long been in a block by then, or is worth nothing.
const LONGEVITY: u64 = 240;

/// The offence of making two blocks for one slot.
pub struct DoubleAuthoring<AccountId> {
	/// The slot.
	pub slot: Slot,
	/// The session in which the key was in use.
	pub session: SessionIndex,
	/// Validators of that session.
	pub validators: u32,
	/// Who did it.
	pub offender: AccountId,
}

impl<AccountId: Clone> Offence<AccountId> for DoubleAuthoring<AccountId> {
	const ID: Kind = *b"aura:equivocatio";
	type Slot = Slot;

	fn offenders(&self) -> Vec<AccountId> {
		vec![self.offender.clone()]
	}

	fn session_index(&self) -> SessionIndex {
		self.session
	}

	fn validator_set_count(&self) -> u32 {
		self.validators
	}

	fn slot(&self) -> Slot {
		self.slot
	}

	/// Nothing is staked, so there is nothing to slash.
	fn slash_fraction(&self, _: u32) -> Perbill {
		Perbill::zero()
	}
}

/// Whether `proof` holds two different headers for its slot, both sealed with the offender's key.
pub fn is_double_authoring<H: Header>(proof: &EquivocationProof<H, AuthorityId>) -> bool {
	match (sealed_hash(proof, &proof.first_header), sealed_hash(proof, &proof.second_header)) {
		(Some(first), Some(second)) => first != second,
		_ => false,
	}
}

/// The hash that `header`'s seal signs: that of the header without the seal, so that one block sealed twice is one block.
/// None unless the header is for the slot, and sealed with the key, that `proof` names.
fn sealed_hash<H: Header>(proof: &EquivocationProof<H, AuthorityId>, header: &H) -> Option<H::Hash> {
	let mut header = header.clone();
	let seal = header.digest_mut().pop()?;
	let seal: AuthoritySignature = seal.as_aura_seal()?;
	let slot =
		header.digest().logs().iter().find_map(CompatibleDigestItem::<AuthoritySignature>::as_aura_pre_digest)?;
	let hash = header.hash();
	(slot == proof.slot && proof.offender.verify(&hash, &seal)).then_some(hash)
}

impl<T: Config> Pallet<T> {
	/// Hands evidence to the pool of the node that asks. None where the pool does not take it.
	pub fn submit_report(proof: Evidence<T>, key_owner_proof: MembershipProof) -> Option<()> {
		let call = Call::report_equivocation { proof: Box::new(proof), key_owner_proof };
		let transaction = T::create_bare(call.into());
		let submitted = SubmitTransaction::<T, Call<T>>::submit_transaction(transaction);
		if submitted.is_err() {
			log::error!(target: "runtime::aura-offences", "the pool refused evidence of double authoring");
		}
		submitted.ok()
	}

	pub(crate) fn do_report(proof: Evidence<T>, key_owner_proof: MembershipProof) -> DispatchResult {
		ensure!(!Self::is_too_old(proof.slot), Error::<T>::TooOld);
		ensure!(is_double_authoring(&proof), Error::<T>::NoOffence);
		let session = key_owner_proof.session;
		let validators = key_owner_proof.validator_count;
		let offender =
			Self::check_proof((AuthorityId::ID, proof.offender), key_owner_proof).ok_or(Error::<T>::NotOwner)?;
		T::Offences::report_offence(Vec::new(), DoubleAuthoring { slot: proof.slot, session, validators, offender })
			.map_err(|_| Error::<T>::AlreadyReported.into())
	}

	/// What costs little to check, and bars all but a validator of late.
	pub(crate) fn check_report(call: &Call<T>) -> Result<(), TransactionValidityError> {
		let Call::report_equivocation { proof, key_owner_proof } = call else {
			return Err(InvalidTransaction::Call.into());
		};
		if Self::is_too_old(proof.slot) {
			return Err(InvalidTransaction::Stale.into());
		}
		let offender = Self::check_proof((AuthorityId::ID, &proof.offender), key_owner_proof.clone())
			.ok_or(InvalidTransaction::BadProof)?;
		if T::Offences::is_known_offence(&[offender], &proof.slot) {
			return Err(InvalidTransaction::Stale.into());
		}
		Ok(())
	}

	pub(crate) fn validate_report(source: TransactionSource, call: &Call<T>) -> TransactionValidity {
		if !matches!(source, TransactionSource::Local | TransactionSource::InBlock) {
			return InvalidTransaction::Call.into();
		}
		Self::check_report(call)?;
		let Call::report_equivocation { proof, .. } = call else {
			return InvalidTransaction::Call.into();
		};
		ValidTransaction::with_tag_prefix("AuraEquivocation")
			.priority(TransactionPriority::MAX)
			// One report for one offender and slot.
			.and_provides((proof.offender.clone(), *proof.slot))
			.longevity(LONGEVITY)
			.propagate(false)
			.build()
	}

	fn is_too_old(slot: Slot) -> bool {
		slot.saturating_add(T::MaxAge::get()) < T::CurrentSlot::get()
	}
}
