//! Members, sessions and presets on the whole runtime.

mod common;

use codec::Encode;
use common::*;
use frame_support::{
	assert_noop, assert_ok,
	storage::{with_transaction, TransactionOutcome},
	traits::KeyOwnerProofSystem,
	BoundedVec,
};
use pallet_tiers::{api::runtime_decl_for_tiers_api::TiersApi, Role};
use ringfence_primitives::{Address, After, Ballot, Indicator, MemberRole, Network, Vote};
use ringfence_runtime::{presets, *};
use sp_core::crypto::key_types::AURA;
use sp_keystore::{testing::MemoryKeystore, KeystoreExt};
use sp_runtime::{
	transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidity, ValidTransaction},
	DispatchError,
};

/// A chain of the `local` preset whose node has a keystore.
fn chain_with_keystore() -> sp_io::TestExternalities {
	let mut chain = chain(presets::LOCAL);
	chain.register_extension(KeystoreExt::new(MemoryKeystore::new()));
	chain
}

/// Has the node make session keys for `owner`, and `uri` set them.
fn set_keys(uri: &str, owner: &str) -> sp_runtime::DispatchResult {
	let made = SessionKeys::generate(&account(owner).encode(), None);
	call(uri, SessionCall::set_keys { keys: made.keys, proof: made.proof.encode() })
}

#[test]
fn the_local_preset_is_the_testbed_of_the_documentation() {
	chain(presets::LOCAL).execute_with(|| {
		let role = |uri: &str| Tiers::active_role(&account(uri));
		assert_eq!(pallet_tiers::Leader::<Runtime>::get(), Some(account("//Alice")));
		for isp in ISPS {
			assert_eq!(role(isp), Some(Role::Isp));
			assert_eq!(role(&format!("{isp}//home")), Some(Role::Subscriber { isp: account(isp) }));
			assert!(council().contains(&account(isp)));
		}
		assert_eq!(role("//Researcher"), Some(Role::Researcher));
		assert_eq!(Session::validators().len(), 4);
		assert_eq!(pallet_aura::Authorities::<Runtime>::get().len(), 4);
		assert_eq!(Grandpa::grandpa_authorities().len(), 4);
		assert_eq!(council().len(), 4);

		let protected = pallet_indicators::ProtectedNetworks::<Runtime>::get();
		for test in ["198.18.0.0/15", "203.0.113.0/24", "2001:db8::/32"] {
			let test: Network = test.parse().unwrap();
			assert!(!protected.iter().any(|network| network.overlaps(&test)), "{test} is for the testbed");
		}
	});
}

#[test]
fn the_dev_preset_is_one_isp() {
	chain(presets::DEV).execute_with(|| {
		assert_eq!(pallet_tiers::Isps::<Runtime>::get().into_inner(), vec![account("//Alice")]);
		assert_eq!(Session::validators(), vec![account("//Alice")]);
	});
}

#[test]
fn an_isp_that_joins_and_sets_keys_validates_two_sessions_later_and_leaves_the_same_way() {
	chain_with_keystore().execute_with(|| {
		assert!(set_keys("//Eve", "//Eve").is_err(), "not an ISP yet");
		assert_ok!(Tiers::admit(origin("//Alice"), account("//Eve"), Role::Isp));
		next_session();
		assert_eq!(Session::validators().len(), 4, "no keys, no seat");

		assert!(set_keys("//Eve", "//Bob").is_err(), "keys made for somebody else");
		assert_ok!(set_keys("//Eve", "//Eve"));
		next_session();
		next_session();
		assert!(Session::validators().contains(&account("//Eve")));
		assert_eq!(pallet_aura::Authorities::<Runtime>::get().len(), 5);
		assert_eq!(Grandpa::grandpa_authorities().len(), 5);

		assert_ok!(Tiers::suspend(origin("//Alice"), account("//Eve")));
		next_session();
		next_session();
		assert!(!Session::validators().contains(&account("//Eve")));
		assert_eq!(pallet_aura::Authorities::<Runtime>::get().len(), 4);
		assert_eq!(Grandpa::grandpa_authorities().len(), 4);
	});
}

#[test]
fn an_isp_whose_owner_changes_validates_on_and_only_its_new_owner_sets_its_keys() {
	chain_with_keystore().execute_with(|| {
		let (bob, before) = (account("//Bob"), Session::queued_keys());
		assert_ok!(call("//Bob", TiersCall::rotate { account: account("//Bob//new") }));
		next_session();
		next_session();
		assert_eq!(Session::queued_keys(), before, "the same validators with the same keys");

		assert!(set_keys("//Bob", "//Bob").is_err(), "the old owner is nobody");
		let hot = account("//Bob//hot");
		assert_ok!(call("//Bob//new", TiersCall::delegate { account: hot, report: true, vet: true }));
		assert!(set_keys("//Bob//hot", "//Bob//hot").is_err(), "a delegate does not validate");
		assert_ok!(set_keys("//Bob//new", "//Bob//new"));
		next_session();
		next_session();
		assert!(Session::validators().contains(&bob));
		assert_ne!(Session::queued_keys(), before);
		assert_eq!(Session::validators().len(), 4);
	});
}

#[test]
fn a_session_without_news_changes_no_authority_set() {
	chain(presets::LOCAL).execute_with(|| {
		for _ in 0..5 {
			next_session();
		}
		assert_eq!(pallet_grandpa::CurrentSetId::<Runtime>::get(), 0);
	});
}

#[test]
fn keys_are_on_record_from_the_first_session_on() {
	chain_with_keystore().execute_with(|| {
		let key = pallet_aura::Authorities::<Runtime>::get()[3].clone();
		let owner = || AuraOffences::check_proof((AURA, &key), AuraOffences::prove((AURA, &key))?);
		assert_eq!(owner(), Some(account("//Dave")));
		assert_ok!(set_keys("//Dave", "//Dave"));
		assert_eq!(owner(), Some(account("//Dave")), "the new keys are not in use yet");
		for _ in 0..configs::KEPT_SESSIONS {
			next_session();
			assert_eq!(owner(), Some(account("//Dave")), "forgotten too early");
		}
		next_session();
		next_session();
		assert_eq!(owner(), None, "kept for ever");
	});
}

#[test]
fn a_node_knows_whom_to_let_in() {
	chain_with_keystore().execute_with(|| {
		let nodes = || <Runtime as TiersApi<Block>>::nodes();
		assert!(nodes().is_empty());
		let named = |name: &str| BoundedVec::truncate_from(name.as_bytes().to_vec());
		for isp in ISPS {
			let nodes = BoundedVec::truncate_from(vec![named(isp)]);
			assert_ok!(call(isp, TiersCall::set_nodes { nodes }));
		}
		assert_eq!(nodes().len(), 4);

		assert_ok!(Tiers::suspend(origin("//Alice"), account("//Dave")));
		assert_eq!(nodes().len(), 4, "it finalizes still");
		next_session();
		next_session();
		let mut rest: Vec<Vec<u8>> = ISPS[..3].iter().map(|isp| isp.as_bytes().to_vec()).collect();
		let mut left = nodes();
		rest.sort();
		left.sort();
		assert_eq!(left, rest);
	});
}

#[test]
fn the_register_is_read_by_name_and_by_key() {
	chain(presets::LOCAL).execute_with(|| {
		let member = |uri: &str| <Runtime as TiersApi<Block>>::member(account(uri).into());
		assert_ok!(call("//Bob", TiersCall::rotate { account: account("//Bob//new") }));
		let hot = account("//Bob//hot");
		assert_ok!(call("//Bob//new", TiersCall::delegate { account: hot, report: false, vet: true }));
		let bob = member("//Bob").unwrap();
		assert_eq!((bob.account, bob.owner), (account("//Bob").into(), account("//Bob//new").into()));
		assert_eq!((bob.role.clone(), bob.active, bob.trust, bob.good_standing), (MemberRole::Isp, true, 800, false));
		assert_eq!(bob.quota_left, 90_000);
		assert_eq!(member("//Bob//new"), Some(bob.clone()));
		assert_eq!(member("//Bob//hot"), Some(bob));
		assert_eq!(member("//Eve"), None);

		let home = member("//Bob//home").unwrap();
		assert_eq!(home.role, MemberRole::Subscriber { isp: account("//Bob").into() });
		assert_ok!(Tiers::suspend(origin("//Alice"), account("//Bob")));
		assert!(!member("//Bob//home").unwrap().active, "its provider may not act");
		assert_eq!(member("//Bob").unwrap().quota_left, 0);

		let page = |after, limit| <Runtime as TiersApi<Block>>::members(after, limit);
		let all = page(None, 256);
		assert_eq!(all.len(), 9);
		assert_eq!(page(None, 4), all[..4]);
		assert_eq!(page(Some(all[3].account), 256), all[4..]);
	});
}

#[test]
fn nobody_but_the_leader_governs() {
	chain(presets::LOCAL).execute_with(|| {
		let network: Network = "198.51.100.0/24".parse().unwrap();
		assert_noop!(Indicators::protect(origin("//Bob"), network), DispatchError::BadOrigin);
		assert_noop!(Indicators::protect(RuntimeOrigin::root(), network), DispatchError::BadOrigin);
		assert_ok!(Indicators::protect(origin("//Alice"), network));
	});
}

#[test]
fn a_block_of_signed_transactions_is_made_and_strangers_are_not_in_it() {
	chain(presets::LOCAL).execute_with(|| {
		let enrol = |home: &str| TiersCall::enrol { account: account(home) };
		let results = block(vec![
			signed("//Alice", 0, enrol("//first")),
			signed("//Eve", 0, enrol("//second")),
			signed("//Alice", 1, enrol("//first")),
		]);
		assert_ok!(results[0].unwrap());
		assert!(results[1].is_err(), "a stranger's transaction is not applied");
		assert!(results[2].unwrap().is_err(), "a member's is, and fails");
		assert_eq!(Tiers::active_role(&account("//first")), Some(Role::Subscriber { isp: account("//Alice") }));
	});
}

/// What a pool makes of a transaction.
fn pooled(transaction: UncheckedExtrinsic) -> TransactionValidity {
	with_transaction(|| {
		let hash = System::parent_hash();
		let validity = Executive::validate_transaction(TransactionSource::External, transaction, hash);
		TransactionOutcome::Rollback(Ok::<_, DispatchError>(validity))
	})
	.unwrap()
}

#[test]
fn votes_wait_for_the_report_that_they_come_after_and_cost_nothing_where_there_is_none() {
	chain(presets::LOCAL).execute_with(|| {
		let host = |last| Indicator::Host(Address::V4([198, 18, 0, last]));
		let ballot = |last| Ballot { id: host(last).id(), terms: terms().hash(), vote: Vote::Approve };
		let batch = |items: &[u8], after| IndicatorsCall::vote_batch {
			ballots: BoundedVec::truncate_from(items.iter().map(|item| ballot(*item)).collect()),
			after,
		};
		let single = |last, after| {
			let Ballot { id, terms, vote } = ballot(last);
			IndicatorsCall::vote { id, terms, vote, after }
		};
		let report = IndicatorsCall::report_batch {
			terms: terms(),
			indicators: BoundedVec::truncate_from(vec![host(1), host(2)]),
		};
		let report = signed("//Alice", 0, report);
		let after = |nonce| Some(After { signer: account("//Alice").into(), nonce });
		let tag = pooled(report.clone()).unwrap().provides;
		for vote in [batch(&[1, 2], after(0)), single(1, after(0))] {
			assert_eq!(pooled(signed("//Bob", 0, vote)).unwrap().requires, tag);
		}
		assert_eq!(pooled(signed("//Bob", 0, single(1, None))).unwrap().requires, [] as [Vec<u8>; 0]);

		// Both fit into one block, in this order only.
		let premature = block(vec![signed("//Bob", 0, batch(&[1, 2], after(0)))]);
		assert_eq!(premature, [Err(InvalidTransaction::Future.into())]);
		let results = block(vec![report, signed("//Bob", 0, batch(&[1, 2], after(0)))]);
		assert!(results.iter().all(|result| matches!(result, Ok(Ok(())))), "{results:?}");
		for item in [1, 2] {
			assert_eq!(pallet_indicators::Records::<Runtime>::get(host(item).id()).unwrap().votes.len(), 2);
		}

		// What came in the place of a report is none: votes on it are not taken, so they spend neither nonce nor quota.
		let other = TiersCall::enrol { account: account("//first") };
		assert_eq!(block(vec![signed("//Alice", 1, other)]), [Ok(Ok(()))]);
		let refused = Err(InvalidTransaction::Custom(configs::NOTHING_TO_VOTE_ON).into());
		for vote in [batch(&[3, 4], after(1)), single(3, after(1))] {
			assert_eq!(pooled(signed("//Bob", 1, vote.clone())), refused);
			assert_eq!(block(vec![signed("//Bob", 1, vote)]), [refused.clone().map(|_: ValidTransaction| Ok(()))]);
		}
		// One that is on record is enough: each item of a batch succeeds or fails by itself.
		assert!(pooled(signed("//Charlie", 0, batch(&[3, 2], after(1)))).unwrap().requires.is_empty());
	});
}
