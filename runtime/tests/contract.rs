//! The runtime is what enforcers and wallets take it for.

mod common;

use codec::Encode;
use common::*;
use frame_support::{traits::Contains, BoundedVec};
use pallet_indicators::{ChangeLog, Digest, Head, ProtectedNetworks};
use ringfence_primitives::{
	call,
	envelope::{ENVELOPE_LEN, MAX_SEALED_LEN},
	keys, Address, After, Ballot, Indicator, Vote,
};
use ringfence_runtime::*;
use sp_runtime::traits::TransactionExtension;

fn same(call: impl Into<RuntimeCall>, bytes: Vec<u8>) {
	let call: RuntimeCall = call.into();
	assert_eq!(call.encode(), bytes);
}

#[test]
fn enforcers_write_reports_and_votes_as_the_runtime_reads_them() {
	let indicator = Indicator::Host(Address::V4([198, 18, 0, 1]));
	let other = Indicator::Host(Address::V4([198, 18, 0, 2]));
	let (id, vote) = (indicator.id(), Vote::Sighting);
	same(IndicatorsCall::report { indicator: indicator.clone(), terms: terms() }, call::report(&indicator, &terms()));
	same(
		IndicatorsCall::report_provisionally { indicator: indicator.clone(), terms: terms() },
		call::report_provisionally(&indicator, &terms()),
	);
	let (ballot, after) = (Ballot { id, terms: [5; 32], vote }, Some(After { signer: [8; 32], nonce: 9 }));
	same(IndicatorsCall::vote { id, terms: [5; 32], vote, after }, call::vote(ballot, after));
	same(IndicatorsCall::withdraw { id }, call::withdraw(&id));
	same(IndicatorsCall::dispute { id }, call::dispute(&id));

	let indicators = vec![indicator, other];
	same(
		IndicatorsCall::report_batch { terms: terms(), indicators: BoundedVec::truncate_from(indicators.clone()) },
		call::report_batch(&terms(), &indicators),
	);
	let ballots = vec![ballot, Ballot { id: [6; 32], terms: [7; 32], vote: Vote::Reject }];
	same(
		IndicatorsCall::vote_batch { ballots: BoundedVec::truncate_from(ballots.clone()), after },
		call::vote_batch(&ballots, after),
	);
}

#[test]
fn enforcers_write_letters_as_the_runtime_reads_them() {
	let envelope = BoundedVec::truncate_from(vec![8; ENVELOPE_LEN as usize]);
	let sealed = BoundedVec::truncate_from(vec![9; MAX_SEALED_LEN as usize]);
	let (to, key) = (account("//Alice"), [4; 32]);
	same(TiersCall::set_envelope_key { key }, call::set_envelope_key(&key));
	same(EnvelopesCall::send { to: to.clone(), envelope: envelope.clone() }, call::send(&to.into(), &envelope));
	let answers = vec![([1; 32], [2; 32]), ([3; 32], [4; 32])];
	same(EnvelopesCall::answer { answers: BoundedVec::truncate_from(answers.clone()) }, call::answer(&answers));
	same(EnvelopesCall::set_whitelist { envelope: envelope.clone() }, call::set_whitelist(&envelope));
	same(EnvelopesCall::announce { sealed: sealed.clone() }, call::announce(&sealed));
}

#[test]
fn the_log_lies_where_enforcers_look() {
	assert_eq!(Head::<Runtime>::hashed_key(), keys::log_head());
	assert_eq!(Digest::<Runtime>::hashed_key(), keys::active_digest());
	assert_eq!(ProtectedNetworks::<Runtime>::hashed_key(), keys::protected_networks());
	for seq in [1, 255, u64::MAX] {
		assert_eq!(ChangeLog::<Runtime>::hashed_key_for(keys::LogNumber::from(seq)), keys::change(seq));
	}
}

#[test]
fn the_finality_authorities_lie_where_enforcers_look() {
	assert_eq!(pallet_grandpa::Authorities::<Runtime>::hashed_key(), keys::grandpa_authorities());
	assert_eq!(pallet_grandpa::CurrentSetId::<Runtime>::hashed_key(), keys::grandpa_set_id());
}

#[test]
fn an_owners_whitelist_lies_where_its_gateway_looks() {
	let owner = account("//Alice//home");
	let mailbox = Envelopes::mailbox(&owner);
	let key = pallet_envelopes::Whitelists::<Runtime>::hashed_key_for(mailbox);
	assert_eq!(key, keys::whitelist(&owner.into()));
}

#[test]
fn transactions_carry_the_extensions_that_enforcers_write() {
	let names: Vec<_> = TxExtension::metadata().into_iter().map(|extension| extension.identifier).collect();
	let expected = [
		"CheckNonZeroSender",
		"CheckSpecVersion",
		"CheckTxVersion",
		"CheckGenesis",
		"CheckMortality",
		"CheckMember",
		"CheckNonce",
		"CheckWeight",
	];
	assert_eq!(names, expected);
}

#[test]
fn members_have_only_the_calls_meant_for_them() {
	chain(presets::LOCAL).execute_with(|| {
		type Filter = <Runtime as frame_system::Config>::BaseCallFilter;
		let meant = |call: RuntimeCall| Filter::contains(&call);
		assert!(meant(TiersCall::enrol { account: [1; 32].into() }.into()));
		assert!(meant(IndicatorsCall::withdraw { id: [1; 32] }.into()));
		assert!(meant(EnvelopesCall::set_whitelist { envelope: BoundedVec::truncate_from(vec![]) }.into()));
		assert!(meant(SessionCall::purge_keys {}.into()));
		assert!(meant(SystemCall::apply_authorized_upgrade { code: vec![] }.into()));

		let revive = pallet_grandpa::Call::<Runtime>::note_stalled { delay: 1, best_finalized_block_number: 0 };
		assert!(!meant(revive.into()));
		assert!(!meant(SystemCall::set_heap_pages { pages: 1 }.into()));
		assert!(!meant(SystemCall::remark { remark: vec![] }.into()));
		assert!(!meant(SystemCall::authorize_upgrade { code_hash: Hash::zero() }.into()));
		assert!(!meant(SystemCall::kill_storage { keys: vec![] }.into()));
	});
}
