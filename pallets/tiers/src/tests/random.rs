//! Random sequences of all calls keep every invariant, and refusals change nothing.

use crate::{mock::*, Deed, Isps, NodeId, Parameters, Quotas, Role};
use frame_support::{assert_storage_noop, storage::transactional::with_storage_layer, BoundedVec};
use proptest::prelude::*;
use sp_runtime::DispatchResult;

#[derive(Debug, Clone, Copy)]
enum Step {
	Admit(u64, u64, bool),
	Enrol(u64, u64),
	Suspend(u64, u64),
	Reinstate(u64, u64),
	Remove(u64, u64),
	HandOver(u64),
	Delegate(u64, u64, bool, bool),
	RevokeDelegate(u64, u64),
	Rotate(u64, u64),
	SetNodes(u64, usize),
	SetEnvelopeKey(u64, u8),
	SetParameters(u64, u32),
	Govern(u64, bool),
	Offence(u64),
	Note(u64, Deed),
	Pass(u64),
	Session,
	Blocks(u64),
}

/// Who makes a call: 0 is the council.
fn by(who: u64) -> RuntimeOrigin {
	if who == 0 {
		council()
	} else {
		origin(who)
	}
}

fn account() -> impl Strategy<Value = u64> {
	prop_oneof![1..6u64, 10..13u64, 20..23u64, 30..34u64, Just(90)]
}

fn caller() -> impl Strategy<Value = u64> {
	prop_oneof![2 => Just(0), 3 => Just(LEADER), 10 => account()]
}

fn deed() -> impl Strategy<Value = Deed> {
	use Deed::*;
	prop_oneof![
		Just(Reported),
		Just(Confirmed),
		Just(Rejected),
		Just(Lapsed),
		Just(LapsedProvisional),
		Just(FalsePositive),
		Just(Voted),
		Just(Sighted),
		Just(Misjudged),
		Just(Judged),
		Just(Disputed),
		Just(DisputeLost),
	]
}

fn membership() -> impl Strategy<Value = Step> {
	prop_oneof![
		6 => (caller(), account(), any::<bool>()).prop_map(|(o, a, isp)| Step::Admit(o, a, isp)),
		4 => (caller(), account()).prop_map(|(o, a)| Step::Enrol(o, a)),
		4 => (caller(), account()).prop_map(|(o, a)| Step::Suspend(o, a)),
		4 => (caller(), account()).prop_map(|(o, a)| Step::Reinstate(o, a)),
		4 => (caller(), account()).prop_map(|(o, a)| Step::Remove(o, a)),
		1 => caller().prop_map(Step::HandOver),
		2 => account().prop_map(Step::Offence),
		2 => Just(Step::Session),
	]
}

fn keys() -> impl Strategy<Value = Step> {
	prop_oneof![
		6 => (caller(), account(), any::<bool>(), any::<bool>()).prop_map(|(o, a, r, v)| Step::Delegate(o, a, r, v)),
		3 => (caller(), account()).prop_map(|(o, a)| Step::RevokeDelegate(o, a)),
		4 => (caller(), account()).prop_map(|(o, a)| Step::Rotate(o, a)),
		1 => (caller(), 0..3usize).prop_map(|(o, n)| Step::SetNodes(o, n)),
		1 => (caller(), 0..2u8).prop_map(|(o, k)| Step::SetEnvelopeKey(o, k)),
	]
}

fn rest() -> impl Strategy<Value = Step> {
	prop_oneof![
		1 => (caller(), 598..603u32).prop_map(|(o, isp)| Step::SetParameters(o, isp)),
		1 => (caller(), any::<bool>()).prop_map(|(o, fails)| Step::Govern(o, fails)),
		4 => (account(), deed()).prop_map(|(a, d)| Step::Note(a, d)),
		2 => account().prop_map(Step::Pass),
		1 => (1..1_500u64).prop_map(Step::Blocks),
	]
}

fn step() -> impl Strategy<Value = Step> {
	prop_oneof![4 => membership(), 3 => keys(), 2 => rest()]
}

fn take(step: Step) -> DispatchResult {
	match step {
		Step::Admit(o, a, isp) => Tiers::admit(by(o), a, if isp { Role::Isp } else { Role::Researcher }),
		Step::Enrol(o, a) => Tiers::enrol(by(o), a),
		Step::Suspend(o, a) => Tiers::suspend(by(o), a),
		Step::Reinstate(o, a) => Tiers::reinstate(by(o), a),
		Step::Remove(o, a) => Tiers::remove(by(o), a),
		Step::HandOver(o) => Tiers::hand_over(by(o)),
		Step::Delegate(o, a, report, vet) => Tiers::delegate(by(o), a, report, vet),
		Step::RevokeDelegate(o, a) => Tiers::revoke_delegate(by(o), a),
		Step::Rotate(o, a) => Tiers::rotate(by(o), a),
		Step::SetNodes(o, number) => {
			Tiers::set_nodes(by(o), BoundedVec::truncate_from(vec![NodeId::truncate_from(vec![1]); number]))
		}
		Step::SetEnvelopeKey(o, key) => Tiers::set_envelope_key(by(o), [key; 32]),
		Step::SetParameters(o, isp) => {
			Tiers::set_parameters(by(o), Parameters { quotas: Quotas { isp, subscriber: 10, researcher: 20 } })
		}
		Step::Govern(o, fails) => {
			let call = if fails {
				frame_system::Call::apply_authorized_upgrade { code: vec![] }
			} else {
				frame_system::Call::authorize_upgrade { code_hash: Default::default() }
			};
			Tiers::govern(by(o), Box::new(RuntimeCall::System(call))).map(|_| ()).map_err(|failed| failed.error)
		}
		Step::Offence(a) => {
			Tiers::suspend_for_offence(&a);
			Ok(())
		}
		Step::Note(a, deed) => {
			Tiers::note(&a, deed);
			Ok(())
		}
		Step::Pass(a) => {
			if let Some(pass) = Tiers::pass(&a, true) {
				assert!(pass.allowance >= 1);
				let before = Tiers::spent(&pass.member);
				let granted = Tiers::debit(&pass.member, 7, pass.allowance);
				assert_eq!(granted, before + 7 <= pass.allowance);
				assert_eq!(Tiers::spent(&pass.member), if granted { before + 7 } else { before });
			}
			Ok(())
		}
		Step::Session => {
			Validating::set(&Isps::<Test>::get().into_inner());
			Ok(())
		}
		Step::Blocks(number) => {
			System::set_block_number(System::block_number() + number);
			Ok(())
		}
	}
}

/// Who leaves takes no more than a third of the validators with it, unless there is but one to spare.
fn check_validators() {
	let (validators, isps) = (Validating::get(), Isps::<Test>::get());
	let departing = validators.iter().filter(|validator| !isps.contains(validator)).count();
	assert!(departing <= 1.max(validators.len().saturating_sub(1) / 3), "{departing} of {validators:?} are leaving");
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn any_sequence_keeps_the_invariants(steps in proptest::collection::vec(step(), 1..200)) {
		on_chain(|| {
			for step in steps {
				let run = || take(step);
				if with_storage_layer(run).is_err() {
					assert_storage_noop!(assert!(with_storage_layer(run).is_err()));
				}
				check();
				check_validators();
				for account in [1, 2, 3, 10, 20, 90] {
					let trust = Tiers::trust(&account);
					assert!(trust <= 1_000 && (trust >= 900 || !Tiers::in_good_standing(&account)));
				}
			}
		});
	}
}
