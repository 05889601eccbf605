//! Members, sessions and presets on the whole runtime.

use codec::Encode;
use frame_support::{assert_noop, assert_ok, traits::Hooks};
use ringfence_primitives::Network;
use ringfence_runtime::{presets, *};
use sp_core::{sr25519, Pair};
use sp_keyring::Sr25519Keyring;
use sp_keystore::{testing::MemoryKeystore, KeystoreExt};
use sp_runtime::{traits::IdentifyAccount, BuildStorage, DispatchError};

fn chain(preset: &str) -> sp_io::TestExternalities {
	let patch = presets::get(&preset.into()).expect("a preset");
	let mut config = serde_json::to_value(RuntimeGenesisConfig::default()).unwrap();
	merge(&mut config, serde_json::from_slice(&patch).unwrap());
	let config: RuntimeGenesisConfig = serde_json::from_value(config).unwrap();
	config.build_storage().unwrap().into()
}

fn merge(into: &mut serde_json::Value, patch: serde_json::Value) {
	match (into, patch) {
		(serde_json::Value::Object(into), serde_json::Value::Object(patch)) => {
			for (key, value) in patch {
				merge(into.entry(key).or_insert(serde_json::Value::Null), value);
			}
		}
		(into, patch) => *into = patch,
	}
}

fn account(uri: &str) -> AccountId {
	sp_runtime::MultiSigner::from(sr25519::Pair::from_string(uri, None).unwrap().public()).into_account()
}

/// Begins blocks until the next session has begun.
fn next_session() {
	let end = (System::block_number() / SESSION_BLOCKS + 1) * SESSION_BLOCKS;
	System::set_block_number(end);
	Session::on_initialize(end);
}

fn origin(ring: Sr25519Keyring) -> RuntimeOrigin {
	RuntimeOrigin::signed(ring.to_account_id())
}

#[test]
fn the_local_preset_is_the_testbed_of_the_documentation() {
	chain(presets::LOCAL).execute_with(|| {
		use pallet_tiers::Role;
		let role = |uri: &str| pallet_tiers::Pallet::<Runtime>::active_role(&account(uri));
		assert_eq!(pallet_tiers::Leader::<Runtime>::get(), Some(account("//Alice")));
		for isp in ["//Alice", "//Bob", "//Charlie", "//Dave"] {
			assert_eq!(role(isp), Some(Role::Isp));
			assert_eq!(role(&format!("{isp}//home")), Some(Role::Subscriber { isp: account(isp) }));
		}
		assert_eq!(role("//Researcher"), Some(Role::Researcher));
		assert_eq!(Session::validators().len(), 4);
		assert_eq!(pallet_aura::Authorities::<Runtime>::get().len(), 4);
		assert_eq!(Grandpa::grandpa_authorities().len(), 4);

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
	let mut chain = chain(presets::LOCAL);
	chain.register_extension(KeystoreExt::new(MemoryKeystore::new()));
	chain.execute_with(|| {
		let eve = Sr25519Keyring::Eve;
		let set_keys = |owner: &AccountId| {
			let made = SessionKeys::generate(&owner.encode(), None);
			Session::set_keys(origin(eve), made.keys, made.proof.encode())
		};
		assert!(set_keys(&eve.to_account_id()).is_err(), "not an ISP yet");
		assert_ok!(Tiers::admit(origin(Sr25519Keyring::Alice), eve.to_account_id(), pallet_tiers::Role::Isp));
		next_session();
		assert_eq!(Session::validators().len(), 4, "no keys, no seat");

		assert!(set_keys(&account("//Bob")).is_err(), "keys made for somebody else");
		assert_ok!(set_keys(&eve.to_account_id()));
		next_session();
		next_session();
		assert!(Session::validators().contains(&eve.to_account_id()));
		assert_eq!(pallet_aura::Authorities::<Runtime>::get().len(), 5);

		assert_ok!(Tiers::suspend(origin(Sr25519Keyring::Alice), eve.to_account_id()));
		next_session();
		next_session();
		assert!(!Session::validators().contains(&eve.to_account_id()));
		assert_eq!(pallet_aura::Authorities::<Runtime>::get().len(), 4);
	});
}

#[test]
fn a_session_without_news_changes_no_authority_set() {
	chain(presets::LOCAL).execute_with(|| {
		for _ in 0..5 {
			next_session();
			Grandpa::on_finalize(System::block_number());
		}
		assert_eq!(pallet_grandpa::CurrentSetId::<Runtime>::get(), 0);
	});
}

#[test]
fn nobody_but_the_leader_governs() {
	chain(presets::LOCAL).execute_with(|| {
		let network: Network = "198.51.100.0/24".parse().unwrap();
		assert_noop!(Indicators::protect(origin(Sr25519Keyring::Bob), network), DispatchError::BadOrigin);
		assert_noop!(Indicators::protect(RuntimeOrigin::root(), network), DispatchError::BadOrigin);
		assert_ok!(Indicators::protect(origin(Sr25519Keyring::Alice), network));
	});
}
