//! Random sequences of all calls, with time passing and ISPs coming and going: the invariants hold after every step,
//! refusals change nothing, and replaying the log gives exactly the active set.

use crate::{mock::*, ChangeLog, Head, Records, Status};
use frame_support::{assert_storage_noop, storage::transactional::with_storage_layer};
use proptest::prelude::*;
use ringfence_primitives::*;
use std::collections::BTreeSet;

#[derive(Debug, Clone)]
enum Step {
	Report(u64, u8, u32),
	Vote(u64, u8, u8),
	Withdraw(u64, u8),
	Protect(u64, u8, bool),
	Pass(u64),
	Isps(Vec<u64>),
}

fn who() -> impl Strategy<Value = u64> {
	prop_oneof![4 => 1..6u64, 1 => Just(201), 1 => Just(RESEARCHER), 1 => Just(77)]
}

fn step() -> impl Strategy<Value = Step> {
	prop_oneof![
		4 => (who(), 0..6u8, 60..7_200u32).prop_map(|(o, i, l)| Step::Report(o, i, l)),
		8 => (who(), 0..6u8, 0..3u8).prop_map(|(o, i, v)| Step::Vote(o, i, v)),
		1 => (who(), 0..6u8).prop_map(|(o, i)| Step::Withdraw(o, i)),
		1 => (1..3u64, 0..6u8, any::<bool>()).prop_map(|(o, i, p)| Step::Protect(o, i, p)),
		2 => (1..HOUR).prop_map(Step::Pass),
		1 => proptest::sample::subsequence(vec![1, 2, 3, 4, 5], 1..=5).prop_map(Step::Isps),
	]
}

/// Hosts and networks that overlap one another.
fn subject(index: u8) -> Indicator {
	indicator(
		["198.18.0.1", "198.18.0.0/24", "198.18.0.0/16", "2001:db8::1", "2001:db8::/48", "198.19.0.7"][index as usize],
	)
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn any_sequence_keeps_the_invariants_and_the_log_tells_the_active_set(
		steps in proptest::collection::vec(step(), 1..200),
	) {
		on_chain(|| {
			let mut heard = 0;
			let mut told: BTreeSet<Indicator> = BTreeSet::new();
			for step in steps {
				let run = || match &step {
					Step::Report(o, i, l) => Indicators::report(origin(*o), subject(*i), lasting(*l)),
					Step::Vote(o, i, v) => {
						vote(*o, subject(*i).id(), [Vote::Approve, Vote::Sighting, Vote::Reject][*v as usize])
					},
					Step::Withdraw(o, i) => Indicators::withdraw(origin(*o), subject(*i).id()),
					Step::Protect(o, i, protect) => {
						let network = subject(*i).networks().next().unwrap();
						if *protect {
							Indicators::protect(origin(*o), network)
						} else {
							Indicators::unprotect(origin(*o), network)
						}
					},
					Step::Pass(_) | Step::Isps(_) => Ok(()),
				};
				match &step {
					Step::Pass(millis) => {
						// A chain whose blocks come in time: no stretch is ever overdue.
						for _ in 0..8 {
							pass(millis / 8);
							(0..64).for_each(|_| pass(0));
						}
					},
					Step::Isps(isps) => Isps::set(isps),
					_ => if with_storage_layer(run).is_err() {
						assert_storage_noop!(assert!(with_storage_layer(run).is_err()));
					},
				}
				Indicators::do_try_state().unwrap();

				// An enforcer that listens must know exactly what is active.
				let head = Head::<Test>::get();
				for seq in heard + 1..=head.seq {
					let Some(change) = ChangeLog::<Test>::get(seq) else { continue };
					match change.kind {
						ChangeKind::Activated(d) | ChangeKind::Extended(d) => drop(told.insert(d.indicator)),
						ChangeKind::Revoked(i) | ChangeKind::Expired(i) => assert!(told.remove(&i), "ended what was not active"),
						ChangeKind::Protected(_) | ChangeKind::Unprotected(_) => {},
					}
				}
				heard = head.seq;
				let active: BTreeSet<Indicator> = Records::<Test>::iter()
					.filter(|(_, record)| matches!(record.status, Status::Active { .. }))
					.map(|(_, record)| record.indicator)
					.collect();
				assert_eq!(told, active);
			}
		});
	}
}
