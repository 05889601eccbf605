//! Nothing that the chain keeps says what a household and its provider told one another.

mod common;

use codec::{Decode, Encode};
use common::*;
use frame_support::{assert_ok, BoundedVec};
use pallet_envelopes::api::runtime_decl_for_envelopes_api::EnvelopesApi;
use ringfence_primitives::{
	envelope::{name, Envelope, Letter, Sealed, ENVELOPE_LEN, MAX_SEALED_LEN},
	Address, Indicator, Vote,
};
use ringfence_runtime::{presets, *};
use sp_io::hashing::twox_128;
use std::collections::BTreeMap;

/// A whole envelope. What is in it looks like noise to the chain.
fn envelope(seed: u8) -> Envelope {
	BoundedVec::truncate_from((0..ENVELOPE_LEN).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect())
}

/// Every key of the state, with its value.
fn state() -> BTreeMap<Vec<u8>, Vec<u8>> {
	let mut state = BTreeMap::new();
	let mut key = Vec::new();
	while let Some(next) = sp_io::storage::next_key(&key) {
		let value = sp_io::storage::get(&next).expect("a key that there is has a value");
		state.insert(next.clone(), value.to_vec());
		key = next;
	}
	state
}

fn holds(bytes: &[u8], sought: &[u8]) -> bool {
	bytes.windows(sought.len()).any(|window| window == sought)
}

/// Where an account may be found: its nonce, and its place in the register.
fn may_name_accounts(key: &[u8]) -> bool {
	let nonces = [twox_128(b"System"), twox_128(b"Account")].concat();
	key.starts_with(&nonces) || key.starts_with(&twox_128(b"Tiers"))
}

/// Where the state says too much of a household: its account outside of the register, or in one entry with a secret.
fn betrayals(household: &str, secrets: &[Vec<u8>]) -> Vec<String> {
	let household = account(household).encode();
	let found = |key: &[u8], value: &[u8]| holds(key, &household) || holds(value, &household);
	state()
		.iter()
		.filter(|(key, value)| found(key, value))
		.filter(|(key, value)| {
			!may_name_accounts(key) || secrets.iter().any(|secret| holds(key, secret) || holds(value, secret))
		})
		.map(|(key, _)| format!("{key:02x?}"))
		.collect()
}

/// A household finds `indicator`, tells its provider, and the provider reports it as its own.
#[test]
fn nothing_in_state_or_events_points_from_what_was_promoted_to_the_household() {
	chain(presets::LOCAL).execute_with(|| {
		let (home, provider) = ("//Alice//home", "//Alice");
		let indicator = Indicator::Host(Address::V4([203, 0, 113, 77]));
		let (id, terms) = (indicator.id(), terms());
		let secrets = [id.to_vec(), vec![203, 0, 113, 77], name(&envelope(1)).to_vec(), name(&envelope(3)).to_vec()];
		let named = Letter { from: account(home).into(), to: account(provider).into(), envelope: envelope(1) }.name();

		let innocent = |results: Vec<sp_runtime::ApplyExtrinsicResult>| {
			for result in results {
				assert_ok!(result.expect("it comes in"));
			}
			assert_eq!(betrayals(home, &secrets), Vec::<String>::new(), "block {}", System::block_number());
		};
		innocent(block(vec![signed(home, 0, EnvelopesCall::send { to: account(provider), envelope: envelope(1) })]));
		innocent(block(vec![signed(
			provider,
			0,
			IndicatorsCall::report { indicator: indicator.clone(), terms: terms.clone() },
		)]));
		let vote = IndicatorsCall::vote { id, terms: terms.hash(), vote: Vote::Approve, after: None };
		innocent(block(vec![signed("//Bob", 0, vote.clone()), signed("//Charlie", 0, vote)]));
		assert_eq!(pallet_indicators::ActiveCount::<Runtime>::get(), 1, "it was promoted");

		let answers = BoundedVec::truncate_from(vec![(named, [5; 32])]);
		let sealed: Sealed = BoundedVec::truncate_from(vec![6; MAX_SEALED_LEN as usize]);
		innocent(block(vec![
			signed(provider, 1, EnvelopesCall::answer { answers }),
			signed(provider, 2, EnvelopesCall::announce { sealed }),
			signed(provider, 3, EnvelopesCall::send { to: account(home), envelope: envelope(2) }),
			signed(home, 1, EnvelopesCall::set_whitelist { envelope: envelope(3) }),
		]));
		let record = <Runtime as EnvelopesApi<Block>>::record(account(provider).into(), named);
		assert_eq!(record.and_then(|record| record.answer), Some([5; 32]), "the household can read the answer");
		innocent(block(vec![]));
	});
}

/// The search would find what it looks for.
#[test]
fn an_open_report_does_point_to_its_reporter() {
	chain(presets::LOCAL).execute_with(|| {
		let indicator = Indicator::Host(Address::V4([203, 0, 113, 77]));
		let results = block(vec![signed("//Researcher", 0, IndicatorsCall::report { indicator, terms: terms() })]);
		assert_ok!(results[0].unwrap());
		assert!(!betrayals("//Researcher", &[]).is_empty());
	});
}

#[test]
fn a_household_that_reports_openly_is_sent_to_its_provider() {
	chain(presets::LOCAL).execute_with(|| {
		let indicator = Indicator::Host(Address::V4([203, 0, 113, 77]));
		let results = block(vec![signed("//Alice//home", 0, IndicatorsCall::report { indicator, terms: terms() })]);
		assert_eq!(results[0], Ok(Err(pallet_indicators::Error::<Runtime>::ReportToYourIsp.into())));
	});
}

#[test]
fn households_and_providers_stay_within_their_tier() {
	chain(presets::LOCAL).execute_with(|| {
		let send =
			|from: &str, to: &str| signed(from, 0, EnvelopesCall::send { to: account(to), envelope: envelope(1) });
		let results = block(vec![
			send("//Alice//home", "//Bob"),
			send("//Bob", "//Alice//home"),
			send("//Charlie//home", "//Dave//home"),
			send("//Researcher", "//Alice"),
		]);
		for result in &results[..3] {
			assert_eq!(*result, Ok(Err(pallet_envelopes::Error::<Runtime>::NotYourTier.into())));
		}
		assert_eq!(results[3], Ok(Err(pallet_envelopes::Error::<Runtime>::NotCorrespondent.into())));
	});
}

#[test]
fn a_node_reads_letters_out_of_transactions() {
	chain(presets::LOCAL).execute_with(|| {
		let letter = |transaction: UncheckedExtrinsic| <Runtime as EnvelopesApi<Block>>::letter(transaction.encode());
		let expected = |to: &str, seed: u8| Letter {
			from: account("//Alice//home").into(),
			to: account(to).into(),
			envelope: envelope(seed),
		};
		assert_ok!(call(
			"//Alice//home",
			TiersCall::delegate { account: account("//Alice//home//gateway"), report: true, vet: false }
		));
		let send = EnvelopesCall::send { to: account("//Alice"), envelope: envelope(1) };
		assert_eq!(letter(signed("//Alice//home", 0, send.clone())), Some(expected("//Alice", 1)));
		assert_eq!(
			letter(signed("//Alice//home//gateway", 0, send.clone())),
			Some(expected("//Alice", 1)),
			"in the member's name, whichever key signs"
		);
		let whitelist = EnvelopesCall::set_whitelist { envelope: envelope(2) };
		assert_eq!(letter(signed("//Alice//home", 0, whitelist)), Some(expected("//Alice//home", 2)));

		assert_eq!(letter(signed("//stranger", 0, send.clone())), None);
		assert_eq!(letter(signed("//Alice", 0, TiersCall::hand_over {})), None);
		assert_eq!(letter(UncheckedExtrinsic::new_bare(send.clone().into())), None);
		let mut bytes = signed("//Alice//home", 0, send).encode();
		assert!(UncheckedExtrinsic::decode(&mut &bytes[..]).is_ok());
		bytes.pop();
		assert_eq!(<Runtime as EnvelopesApi<Block>>::letter(bytes), None);
		assert_eq!(<Runtime as EnvelopesApi<Block>>::letter(vec![]), None);
	});
}
