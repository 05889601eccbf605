//! What counts as evidence, from whom, about whom, and for how long.

use crate::{mock::*, Call, Error, Evidence, KeysInUse};
use codec::Encode;
use frame_support::{assert_noop, assert_ok, traits::KeyOwnerProofSystem};
use frame_system::mocking::MockUncheckedExtrinsic;
use sp_application_crypto::key_types::{AURA, GRANDPA};
use sp_consensus_aura::{
	digests::CompatibleDigestItem,
	sr25519::{AuthorityId, AuthorityPair, AuthoritySignature},
	Slot,
};
use sp_core::{
	offchain::{testing::TestTransactionPoolExt, TransactionPoolExt},
	Pair,
};
#[allow(deprecated)]
use sp_runtime::traits::ValidateUnsigned;
use sp_runtime::{
	generic::DigestItem,
	traits::Header,
	transaction_validity::{InvalidTransaction, TransactionSource},
	Digest, DispatchError,
};
use sp_session::MembershipProof;

type HeaderOf = frame_system::pallet_prelude::HeaderFor<Test>;

const SLOT: u64 = 999;

fn pair(name: &str) -> AuthorityPair {
	AuthorityPair::from_string(&format!("//{name}"), None).unwrap()
}

fn id(name: &str) -> AuthorityId {
	pair(name).public()
}

/// Validators 1 and 2, who author with `first` and `second`.
fn session(index: u32, first: &str, second: &str) {
	AuraOffences::note_session(index, vec![(1, Keys { aura: id(first) }), (2, Keys { aura: id(second) })]);
}

/// A header as an author seals it.
fn header(author: &str, slot: u64, number: u64) -> HeaderOf {
	let pre_digest = <DigestItem as CompatibleDigestItem<AuthoritySignature>>::aura_pre_digest(Slot::from(slot));
	let mut header = HeaderOf::new(
		number,
		Default::default(),
		Default::default(),
		Default::default(),
		Digest { logs: vec![pre_digest] },
	);
	let seal = pair(author).sign(header.hash().as_ref());
	header.digest_mut().push(DigestItem::aura_seal(seal));
	header
}

/// Proof that `author` made the blocks 1 and 2 for `slot`.
fn evidence(author: &str, slot: u64) -> Evidence<Test> {
	Evidence::<Test> {
		offender: id(author),
		slot: Slot::from(slot),
		first_header: header(author, slot, 1),
		second_header: header(author, slot, 2),
	}
}

fn owner(author: &str) -> MembershipProof {
	AuraOffences::prove((AURA, id(author))).expect("the key is in use")
}

fn report(evidence: Evidence<Test>, owner: MembershipProof) -> sp_runtime::DispatchResult {
	AuraOffences::report_equivocation(RuntimeOrigin::none(), Box::new(evidence), owner)
}

fn door(
	source: TransactionSource,
	evidence: &Evidence<Test>,
	key_owner_proof: MembershipProof,
) -> Option<InvalidTransaction> {
	let call = Call::<Test>::report_equivocation { proof: Box::new(evidence.clone()), key_owner_proof };
	#[allow(deprecated)]
	let validity = <AuraOffences as ValidateUnsigned>::validate_unsigned(source, &call);
	validity.err().map(|error| match error {
		sp_runtime::transaction_validity::TransactionValidityError::Invalid(error) => error,
		other => panic!("{other:?}"),
	})
}

#[test]
fn two_sealed_headers_for_one_slot_convict_the_owner_of_the_key() {
	on_chain(|| {
		session(1, "first", "second");
		assert_ok!(report(evidence("second", SLOT), owner("second")));
		assert_eq!(Offences::get(), vec![(SLOT, 2)]);
	});
}

#[test]
fn one_offence_is_reported_once() {
	on_chain(|| {
		session(1, "first", "second");
		assert_ok!(report(evidence("second", SLOT), owner("second")));
		assert_noop!(report(evidence("second", SLOT), owner("second")), Error::<Test>::AlreadyReported);
		assert_eq!(
			door(TransactionSource::Local, &evidence("second", SLOT), owner("second")),
			Some(InvalidTransaction::Stale)
		);
		assert_ok!(report(evidence("second", SLOT - 1), owner("second")));
	});
}

#[test]
fn headers_that_prove_nothing_are_refused() {
	on_chain(|| {
		session(1, "first", "second");
		let refused = |change: fn(&mut Evidence<Test>)| {
			let mut evidence = evidence("first", SLOT);
			change(&mut evidence);
			assert_noop!(report(evidence, owner("first")), Error::<Test>::NoOffence);
		};
		// One block twice, and one block sealed twice.
		refused(|evidence| evidence.second_header = evidence.first_header.clone());
		refused(|evidence| evidence.second_header = header("first", SLOT, 1));
		// Another slot, another author, another block than was sealed, no seal at all.
		refused(|evidence| evidence.second_header = header("first", SLOT - 1, 2));
		refused(|evidence| evidence.slot = Slot::from(SLOT - 1));
		refused(|evidence| evidence.second_header = header("second", SLOT, 2));
		refused(|evidence| evidence.second_header.number = 3);
		refused(|evidence| evidence.second_header.digest_mut().logs.clear());
		refused(|evidence| {
			evidence.second_header.digest_mut().pop();
		});
	});
}

#[test]
fn nobody_answers_for_a_key_that_is_not_theirs() {
	on_chain(|| {
		session(1, "first", "second");
		assert_eq!(AuraOffences::prove((AURA, id("stranger"))), None);
		assert_eq!(AuraOffences::prove((GRANDPA, id("first"))), None);
		assert_eq!(AuraOffences::prove((GRANDPA, [0u8; 0])), None);
		assert_noop!(report(evidence("stranger", SLOT), owner("first")), Error::<Test>::NotOwner);

		let honest = owner("first");
		let refused = |owner: MembershipProof| {
			assert_noop!(report(evidence("first", SLOT), owner.clone()), Error::<Test>::NotOwner);
			assert_eq!(
				door(TransactionSource::Local, &evidence("first", SLOT), owner),
				Some(InvalidTransaction::BadProof)
			);
		};
		refused(MembershipProof { session: 2, ..honest.clone() });
		refused(MembershipProof { validator_count: 1, ..honest.clone() });
		refused(MembershipProof { trie_nodes: vec![vec![]], ..honest });
	});
}

#[test]
fn new_keys_do_not_cover_for_the_old() {
	on_chain(|| {
		session(1, "first", "second");
		session(2, "first", "new");
		assert_eq!(owner("second").session, 1);
		assert_eq!(owner("first").session, 2, "the newest session in which a key was in use");
		assert_ok!(report(evidence("second", SLOT), owner("second")));
		assert_eq!(Offences::get(), vec![(SLOT, 2)]);
	});
}

#[test]
fn evidence_ages() {
	on_chain(|| {
		session(1, "first", "second");
		assert_ok!(report(evidence("first", 900), owner("first")));
		assert_noop!(report(evidence("first", 899), owner("first")), Error::<Test>::TooOld);
		assert_eq!(
			door(TransactionSource::Local, &evidence("first", 899), owner("first")),
			Some(InvalidTransaction::Stale)
		);

		let old = owner("second");
		for index in 2..=4 {
			session(index, "first", "new");
		}
		assert_noop!(report(evidence("second", SLOT), old), Error::<Test>::NotOwner);
		assert_eq!(AuraOffences::prove((AURA, id("second"))), None);
		assert_eq!(KeysInUse::<Test>::iter_keys().count(), 3);
	});
}

#[test]
fn reports_come_from_the_own_node_or_a_block_and_carry_no_signature() {
	on_chain(|| {
		session(1, "first", "second");
		let (evidence, owner) = (evidence("first", SLOT), owner("first"));
		assert_eq!(door(TransactionSource::Local, &evidence, owner.clone()), None);
		assert_eq!(door(TransactionSource::InBlock, &evidence, owner.clone()), None);
		assert_eq!(door(TransactionSource::External, &evidence, owner.clone()), Some(InvalidTransaction::Call));
		assert_noop!(
			AuraOffences::report_equivocation(RuntimeOrigin::signed(1), Box::new(evidence), owner),
			DispatchError::BadOrigin
		);
	});
}

#[test]
fn a_node_hands_its_evidence_to_its_own_pool() {
	let mut chain = chain();
	let (pool, state) = TestTransactionPoolExt::new();
	chain.register_extension(TransactionPoolExt::new(pool));
	let proof = evidence("first", SLOT);
	chain.execute_with(|| {
		session(1, "first", "second");
		assert_eq!(AuraOffences::submit_report(proof.clone(), owner("first")), Some(()));
	});
	let call = RuntimeCall::AuraOffences(Call::report_equivocation {
		proof: Box::new(proof),
		key_owner_proof: MembershipProof { session: 1, trie_nodes: vec![], validator_count: 2 },
	});
	assert_eq!(state.read().transactions, vec![MockUncheckedExtrinsic::<Test>::new_bare(call).encode()]);
}
