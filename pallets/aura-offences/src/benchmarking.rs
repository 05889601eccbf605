//! Benchmarks of the worst case of the call.

use super::*;
use alloc::{boxed::Box, vec::Vec};
use frame_benchmarking::v2::*;
use frame_support::traits::{Get, KeyOwnerProofSystem};
use frame_system::{pallet_prelude::HeaderFor, RawOrigin};
use sp_application_crypto::RuntimeAppPublic;
use sp_consensus_aura::{
	digests::CompatibleDigestItem,
	sr25519::{AuthorityId, AuthoritySignature},
	Slot,
};
use sp_consensus_slots::EquivocationProof;
use sp_runtime::{generic::DigestItem, traits::Header, Digest};

/// A header for `slot`, sealed with `key`, unlike that of any other `number`.
fn sealed<T: Config>(key: &AuthorityId, slot: Slot, number: u32) -> HeaderFor<T> {
	let pre_digest = <DigestItem as CompatibleDigestItem<AuthoritySignature>>::aura_pre_digest(slot);
	let mut header = HeaderFor::<T>::new(
		number.into(),
		Default::default(),
		Default::default(),
		Default::default(),
		Digest { logs: [pre_digest].into() },
	);
	let seal = key.sign(&header.hash()).expect("the key was generated into the keystore");
	header.digest_mut().push(DigestItem::aura_seal(seal));
	header
}

#[benchmarks]
mod benches {
	use super::*;

	#[benchmark]
	fn report_equivocation() {
		// The offender is the last of as many validators as there can be.
		let keys: Vec<AuthorityId> = (0..T::MaxValidators::get()).map(|_| AuthorityId::generate_pair(None)).collect();
		let offender = keys.last().expect("there is a validator").clone();
		let validators = (0u32..).zip(keys).map(|(index, key)| T::BenchmarkHelper::validator(index, key)).collect();
		Pallet::<T>::note_session(1, validators);
		let slot = T::CurrentSlot::get();
		let proof = EquivocationProof {
			offender: offender.clone(),
			slot,
			first_header: sealed::<T>(&offender, slot, 1),
			second_header: sealed::<T>(&offender, slot, 2),
		};
		let owner = Pallet::<T>::prove((AuthorityId::ID, &offender)).expect("the key is on record");

		#[extrinsic_call]
		_(RawOrigin::None, Box::new(proof), owner);
	}
}
