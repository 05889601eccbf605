//! The runtime is what enforcers and wallets take it for.

use codec::Encode;
use pallet_indicators::{ChangeLog, Head};
use ringfence_primitives::{call, keys, *};
use ringfence_runtime::*;
use sp_runtime::traits::TransactionExtension;

fn terms() -> Terms {
	Terms {
		threat: ThreatClass::Scan,
		severity: Severity::High,
		confidence: Confidence::new(80).unwrap(),
		direction: Direction::Both,
		action: Action::Drop,
		tlp: Tlp::Green,
		lifetime: Lifetime::new(3_600).unwrap(),
		evidence: Some([3; 32]),
		note: Note::truncated("note"),
	}
}

#[test]
fn enforcers_write_calls_as_the_runtime_reads_them() {
	let indicator = Indicator::Host(Address::V4([198, 18, 0, 1]));
	let id = indicator.id();
	let same = |call: pallet_indicators::Call<Runtime>, bytes: Vec<u8>| {
		assert_eq!(RuntimeCall::Indicators(call).encode(), bytes);
	};
	same(
		pallet_indicators::Call::report { indicator: indicator.clone(), terms: terms() },
		call::report(&indicator, &terms()),
	);
	same(
		pallet_indicators::Call::vote { id, terms: [5; 32], vote: Vote::Sighting },
		call::vote(&id, &[5; 32], Vote::Sighting),
	);
	same(pallet_indicators::Call::withdraw { id }, call::withdraw(&id));
}

#[test]
fn the_log_lies_where_enforcers_look() {
	assert_eq!(Head::<Runtime>::hashed_key(), keys::log_head());
	for seq in [1, 255, u64::MAX] {
		assert_eq!(ChangeLog::<Runtime>::hashed_key_for(seq), keys::change(seq));
	}
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
	use frame_support::traits::Contains;
	type Filter = <Runtime as frame_system::Config>::BaseCallFilter;
	assert!(Filter::contains(&RuntimeCall::Tiers(pallet_tiers::Call::enrol { account: [1; 32].into() })));
	assert!(!Filter::contains(&RuntimeCall::System(frame_system::Call::set_heap_pages { pages: 1 })));
	assert!(!Filter::contains(&RuntimeCall::System(frame_system::Call::remark { remark: vec![] })));
}
