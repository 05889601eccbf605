//! Who signs against itself is suspended, on evidence that proves itself.

mod common;

use codec::{Decode, Encode};
use common::*;
use frame_support::{assert_err, assert_ok, traits::KeyOwnerProofSystem};
use pallet_aura_offences::api::runtime_decl_for_aura_offences_api::AuraOffencesApi;
use pallet_tiers::{Event, Role, Status};
use ringfence_runtime::{presets, *};
use sp_consensus_aura::{digests::CompatibleDigestItem, sr25519, Slot};
use sp_consensus_grandpa::{localized_payload, runtime_decl_for_grandpa_api::GrandpaApi, Message, Prevote};
use sp_core::{
	crypto::key_types::{AURA, GRANDPA},
	offchain::{testing::TestTransactionPoolExt, TransactionPoolExt},
	Pair,
};
use sp_keystore::{testing::MemoryKeystore, KeystoreExt};
use sp_runtime::{
	generic::DigestItem,
	traits::{Dispatchable, Header as _},
	transaction_validity::{InvalidTransaction, TransactionSource},
	Digest, DispatchResult,
};

type GrandpaEvidence = sp_consensus_grandpa::EquivocationProof<Hash, BlockNumber>;
type AuraEvidence = pallet_aura_offences::Evidence<Runtime>;

/// The slot of the present block.
const SLOT: u64 = 3_600_000_000;

fn grandpa_pair(uri: &str) -> sp_consensus_grandpa::AuthorityPair {
	sp_consensus_grandpa::AuthorityPair::from_string(uri, None).unwrap()
}

fn aura_pair(uri: &str) -> sr25519::AuthorityPair {
	sr25519::AuthorityPair::from_string(uri, None).unwrap()
}

/// The prevotes of one validator for two blocks, in the round and set named.
fn prevotes(uri: &str, set: u64, round: u64, blocks: [u8; 2]) -> GrandpaEvidence {
	let pair = grandpa_pair(uri);
	let vote = |block: u8| {
		let prevote = Prevote::<Header> { target_hash: Hash::repeat_byte(block), target_number: 7 };
		let message = Message::<Header>::Prevote(prevote.clone());
		(prevote, pair.sign(&localized_payload(round, set, &message)))
	};
	// As it goes over the wire: the first kind of equivocation is that of prevotes.
	let wire = (set, 0u8, round, pair.public(), vote(blocks[0]), vote(blocks[1])).encode();
	GrandpaEvidence::decode(&mut &wire[..]).unwrap()
}

/// A header as its author seals it.
fn header(uri: &str, slot: u64, state: u8) -> Header {
	let pre_digest = <DigestItem as CompatibleDigestItem<sr25519::AuthoritySignature>>::aura_pre_digest(slot.into());
	let mut header = Header::new(
		7,
		Default::default(),
		Hash::repeat_byte(state),
		Default::default(),
		Digest { logs: vec![pre_digest] },
	);
	let seal = aura_pair(uri).sign(header.hash().as_ref());
	header.digest_mut().push(DigestItem::aura_seal(seal));
	header
}

fn two_headers(uri: &str, slot: u64) -> AuraEvidence {
	AuraEvidence {
		offender: aura_pair(uri).public(),
		slot: slot.into(),
		first_header: header(uri, slot, 1),
		second_header: header(uri, slot, 2),
	}
}

/// Reports to the chain as a block does: without signature.
fn report(report: impl Into<RuntimeCall>) -> DispatchResult {
	let report: RuntimeCall = report.into();
	report.dispatch(RuntimeOrigin::none()).map(|_| ()).map_err(|refused| refused.error)
}

fn report_prevotes(evidence: GrandpaEvidence) -> DispatchResult {
	let key_owner_proof = AuraOffences::prove((GRANDPA, evidence.offender())).expect("a key that is in use");
	report(pallet_grandpa::Call::<Runtime>::report_equivocation_unsigned {
		equivocation_proof: Box::new(evidence),
		key_owner_proof,
	})
}

fn report_headers(evidence: AuraEvidence) -> DispatchResult {
	let key_owner_proof = AuraOffences::prove((AURA, &evidence.offender)).expect("a key that is in use");
	report(pallet_aura_offences::Call::<Runtime>::report_equivocation { proof: Box::new(evidence), key_owner_proof })
}

fn status(uri: &str) -> Option<Status> {
	pallet_tiers::Members::<Runtime>::get(account(uri)).map(|member| member.status)
}

/// What the register said since the last look.
fn said() -> Vec<Event<Runtime>> {
	let said = System::events()
		.into_iter()
		.filter_map(|record| match record.event {
			RuntimeEvent::Tiers(event) => Some(event),
			_ => None,
		})
		.collect();
	System::reset_events();
	said
}

fn at_work(test: impl FnOnce()) {
	let mut chain = chain(presets::LOCAL);
	chain.register_extension(KeystoreExt::new(MemoryKeystore::new()));
	chain.execute_with(|| {
		System::set_block_number(1);
		pallet_aura::CurrentSlot::<Runtime>::put(Slot::from(SLOT));
		test();
	});
}

#[test]
fn two_votes_in_one_round_suspend_the_member_until_the_others_reinstate_it() {
	at_work(|| {
		assert_ok!(report_prevotes(prevotes("//Dave", 0, 3, [1, 2])));
		assert_eq!(status("//Dave"), Some(Status::Suspended));
		let account = account("//Dave");
		assert_eq!(
			said(),
			vec![Event::Equivocated { account: account.clone() }, Event::Suspended { account: account.clone() }]
		);
		assert!(!council().contains(&account));
		next_session();
		next_session();
		assert!(!Session::validators().contains(&account));

		assert_ok!(Tiers::reinstate(origin("//Alice"), account.clone()));
		assert_eq!(status("//Dave"), Some(Status::Active));
		assert_err!(
			report_prevotes(prevotes("//Dave", 0, 3, [1, 2])),
			pallet_grandpa::Error::<Runtime>::DuplicateOffenceReport
		);
		assert_eq!(status("//Dave"), Some(Status::Active), "what was forgiven is forgiven");
	});
}

#[test]
fn two_blocks_in_one_slot_suspend_the_member() {
	at_work(|| {
		assert_ok!(report_headers(two_headers("//Dave", SLOT - 1)));
		assert_eq!(status("//Dave"), Some(Status::Suspended));
		assert_err!(
			report_headers(two_headers("//Dave", SLOT - 1)),
			pallet_aura_offences::Error::<Runtime>::AlreadyReported
		);
	});
}

#[test]
fn what_proves_nothing_suspends_nobody() {
	at_work(|| {
		use pallet_grandpa::Error;
		let invalid = Error::<Runtime>::InvalidEquivocationProof;
		assert_err!(report_prevotes(prevotes("//Dave", 0, 3, [1, 1])), invalid);
		// A set that there has not been yet.
		let invalid = Error::<Runtime>::InvalidEquivocationProof;
		assert_err!(report_prevotes(prevotes("//Dave", 1, 3, [1, 2])), invalid);
		// Somebody else's key.
		let other = AuraOffences::prove((GRANDPA, grandpa_pair("//Charlie").public())).unwrap();
		let stranger = pallet_grandpa::Call::<Runtime>::report_equivocation_unsigned {
			equivocation_proof: Box::new(prevotes("//Eve", 0, 3, [1, 2])),
			key_owner_proof: other,
		};
		assert_err!(report(stranger), Error::<Runtime>::InvalidKeyOwnershipProof);

		let mut one_block = two_headers("//Dave", SLOT);
		one_block.second_header = one_block.first_header.clone();
		assert_err!(report_headers(one_block), pallet_aura_offences::Error::<Runtime>::NoOffence);
		for isp in ISPS {
			assert_eq!(status(isp), Some(Status::Active));
		}
	});
}

#[test]
fn new_keys_do_not_cover_for_what_was_done_with_the_old() {
	for grandpa in [true, false] {
		at_work(|| {
			let made = SessionKeys::generate(&account("//Dave").encode(), None);
			assert_ok!(call("//Dave", SessionCall::set_keys { keys: made.keys, proof: made.proof.encode() }));
			// The old keys are in use in this session and in the next.
			next_session();
			assert_ok!(if grandpa {
				report_prevotes(prevotes("//Dave", 0, 3, [1, 2]))
			} else {
				report_headers(two_headers("//Dave", SLOT))
			});
			assert_eq!(status("//Dave"), Some(Status::Suspended));
		});
	}
}

#[test]
fn a_member_answers_for_its_keys_whoever_owns_it() {
	at_work(|| {
		assert_ok!(call("//Dave", TiersCall::rotate { account: account("//Dave//new") }));
		assert_ok!(report_headers(two_headers("//Dave", SLOT)));
		assert_eq!(status("//Dave"), Some(Status::Suspended));
		assert_eq!(Tiers::active_role(&account("//Dave")), None);
	});
}

#[test]
fn whom_the_chain_cannot_spare_is_named_and_stays() {
	at_work(|| {
		assert_ok!(report_headers(two_headers("//Alice", SLOT)));
		assert_eq!(said(), vec![Event::Spared { account: account("//Alice") }]);
		assert_eq!(status("//Alice"), Some(Status::Active), "the leader");

		assert_ok!(report_headers(two_headers("//Dave", SLOT)));
		said();
		assert_ok!(report_prevotes(prevotes("//Charlie", 0, 3, [1, 2])));
		assert_eq!(said(), vec![Event::Spared { account: account("//Charlie") }], "a second of four");
		assert_eq!(Tiers::active_role(&account("//Charlie")), Some(Role::Isp));
	});
}

#[test]
fn a_node_reports_into_its_own_pool_and_strangers_into_none() {
	let mut chain = chain(presets::LOCAL);
	let (pool, state) = TestTransactionPoolExt::new();
	chain.register_extension(TransactionPoolExt::new(pool));
	chain.execute_with(|| {
		pallet_aura::CurrentSlot::<Runtime>::put(Slot::from(SLOT));
		let (votes, headers) = (prevotes("//Dave", 0, 3, [1, 2]), two_headers("//Dave", SLOT));
		let owner = <Runtime as GrandpaApi<Block>>::generate_key_ownership_proof(0, votes.offender().clone()).unwrap();
		assert_eq!(
			<Runtime as GrandpaApi<Block>>::submit_report_equivocation_unsigned_extrinsic(votes, owner),
			Some(())
		);
		let owner =
			<Runtime as AuraOffencesApi<Block>>::key_ownership_proof(headers.slot, headers.offender.clone()).unwrap();
		assert_eq!(<Runtime as AuraOffencesApi<Block>>::submit_report(headers, owner), Some(()));

		let submitted = state.read().transactions.clone();
		assert_eq!(submitted.len(), 2);
		for bytes in submitted {
			let transaction = UncheckedExtrinsic::decode(&mut &bytes[..]).unwrap();
			let door = |source| {
				System::set_block_number(0);
				Executive::validate_transaction(source, transaction.clone(), System::block_hash(0))
			};
			assert_eq!(door(TransactionSource::External), Err(InvalidTransaction::Call.into()));
			assert!(!door(TransactionSource::Local).unwrap().propagate);
			System::set_block_number(1);
			assert_ok!(transaction.function.dispatch(RuntimeOrigin::none()));
		}
		assert_eq!(status("//Dave"), Some(Status::Suspended));
	});
}
