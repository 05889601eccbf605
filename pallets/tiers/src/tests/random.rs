//! Random sequences of all calls keep every invariant, and refusals change nothing.

use crate::{mock::*, Role};
use frame_support::{assert_storage_noop, storage::transactional::with_storage_layer};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
	Admit(u64, u64, bool),
	Enrol(u64, u64),
	Suspend(u64, u64),
	Reinstate(u64, u64),
	Remove(u64, u64),
}

fn account() -> impl Strategy<Value = u64> {
	prop_oneof![1..6u64, 10..13u64, 20..23u64, Just(90)]
}

fn step() -> impl Strategy<Value = Step> {
	prop_oneof![
		(account(), account(), any::<bool>()).prop_map(|(o, a, isp)| Step::Admit(o, a, isp)),
		(account(), account()).prop_map(|(o, a)| Step::Enrol(o, a)),
		(account(), account()).prop_map(|(o, a)| Step::Suspend(o, a)),
		(account(), account()).prop_map(|(o, a)| Step::Reinstate(o, a)),
		(account(), account()).prop_map(|(o, a)| Step::Remove(o, a)),
	]
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn any_sequence_keeps_the_invariants(steps in proptest::collection::vec(step(), 1..200)) {
		on_chain(|| {
			for step in steps {
				let run = || match step {
					Step::Admit(o, a, isp) =>
						Tiers::admit(RuntimeOrigin::signed(o), a, if isp { Role::Isp } else { Role::Researcher }),
					Step::Enrol(o, a) => Tiers::enrol(RuntimeOrigin::signed(o), a),
					Step::Suspend(o, a) => Tiers::suspend(RuntimeOrigin::signed(o), a),
					Step::Reinstate(o, a) => Tiers::reinstate(RuntimeOrigin::signed(o), a),
					Step::Remove(o, a) => Tiers::remove(RuntimeOrigin::signed(o), a),
				};
				if with_storage_layer(run).is_err() {
					assert_storage_noop!(assert!(with_storage_layer(run).is_err()));
				}
				Tiers::do_try_state().unwrap();
			}
		});
	}
}
