//! The leader's rule, its end, and the council's.

use crate::{
	mock::*, EnsureGovernance, Error, Event, Isps, Leader, Parameters, Quotas, Role, Settings, WeightInfo as _,
};
use frame_support::{assert_noop, assert_ok, dispatch::GetDispatchInfo, traits::EnsureOrigin};
use sp_runtime::{traits::Dispatchable, DispatchError};

type E = Error<Test>;

const GENEROUS: Parameters = Parameters { quotas: Quotas { isp: 6_000, subscriber: 60, researcher: 120 } };

fn upgrade() -> Box<RuntimeCall> {
	Box::new(RuntimeCall::System(frame_system::Call::authorize_upgrade { code_hash: Default::default() }))
}

fn govern(by: RuntimeOrigin, call: Box<RuntimeCall>) -> Result<(), DispatchError> {
	Tiers::govern(by, call).map(|_| ()).map_err(|failed| failed.error)
}

#[test]
fn until_the_hand_over_the_leader_governs_alone() {
	on_chain(|| {
		for other in [origin(2), origin(90), origin(77), council(), RuntimeOrigin::none()] {
			assert_noop!(Tiers::admit(other.clone(), 4, Role::Isp), E::NotGovernance);
			assert_noop!(Tiers::suspend(other.clone(), 3), E::NotGovernance);
			assert_noop!(Tiers::remove(other.clone(), 90), E::NotGovernance);
			assert_noop!(Tiers::set_parameters(other.clone(), GENEROUS), E::NotGovernance);
			assert_noop!(govern(other.clone(), upgrade()), E::NotGovernance);
			assert!(EnsureGovernance::<Test>::try_origin(other).is_err());
		}
		assert_ok!(EnsureGovernance::<Test>::ensure_origin(origin(LEADER)));
	});
}

#[test]
fn only_the_leader_hands_over_and_only_to_somebody() {
	on_chain(|| {
		assert_noop!(Tiers::hand_over(origin(2)), E::NotLeader);
		assert_noop!(Tiers::hand_over(origin(77)), E::NotLeader);
		assert_noop!(Tiers::hand_over(council()), DispatchError::BadOrigin);
		for isp in [2, 3] {
			assert_ok!(Tiers::suspend(origin(LEADER), isp));
		}
		assert_noop!(Tiers::hand_over(origin(LEADER)), E::NobodyToHandTo);
		assert_ok!(Tiers::reinstate(origin(LEADER), 2));
		assert_ok!(Tiers::hand_over(origin(LEADER)));
		System::assert_last_event(Event::HandedOver { leader: LEADER }.into());
		assert_eq!(Leader::<Test>::get(), None);
	});
}

#[test]
fn after_the_hand_over_nothing_is_left_for_the_leader() {
	on_chain(|| {
		assert_ok!(Tiers::suspend(origin(LEADER), 3));
		assert_ok!(Tiers::hand_over(origin(LEADER)));

		assert_noop!(Tiers::admit(origin(LEADER), 4, Role::Isp), E::NotGovernance);
		assert_noop!(Tiers::admit(origin(LEADER), 91, Role::Researcher), E::NotGovernance);
		assert_noop!(Tiers::suspend(origin(LEADER), 2), E::NotGovernance);
		assert_noop!(Tiers::suspend(origin(LEADER), 90), E::NotGovernance);
		assert_noop!(Tiers::reinstate(origin(LEADER), 3), E::NotGovernance);
		assert_noop!(Tiers::remove(origin(LEADER), 2), E::NotGovernance);
		assert_noop!(Tiers::remove(origin(LEADER), 90), E::NotGovernance);
		assert_noop!(Tiers::set_parameters(origin(LEADER), GENEROUS), E::NotGovernance);
		assert_noop!(govern(origin(LEADER), upgrade()), E::NotGovernance);
		assert_noop!(Tiers::hand_over(origin(LEADER)), E::NotLeader);
		assert!(EnsureGovernance::<Test>::try_origin(origin(LEADER)).is_err());
		// What is left is what every ISP may do.
		assert_ok!(Tiers::enrol(origin(LEADER), 11));
	});
}

#[test]
fn after_the_hand_over_the_council_governs() {
	on_chain(|| {
		assert_ok!(Tiers::hand_over(origin(LEADER)));
		assert_ok!(EnsureGovernance::<Test>::ensure_origin(council()));
		assert_ok!(Tiers::admit(council(), 4, Role::Isp));
		assert_ok!(Tiers::suspend(council(), LEADER));
		assert_ok!(Tiers::reinstate(council(), LEADER));
		assert_ok!(Tiers::remove(council(), LEADER));
		assert_ok!(Tiers::remove(council(), 90));
		assert_ok!(Tiers::set_parameters(council(), GENEROUS));
		assert_ok!(govern(council(), upgrade()));
		assert_eq!(Isps::<Test>::get().into_inner(), vec![2, 3, 4]);
		assert_noop!(Tiers::suspend(council(), 20), DispatchError::BadOrigin);
	});
}

#[test]
fn a_leader_that_rotated_governs_with_its_new_key() {
	on_chain(|| {
		assert_ok!(Tiers::rotate(origin(LEADER), 101));
		assert_noop!(Tiers::admit(origin(LEADER), 4, Role::Isp), E::NotGovernance);
		assert_ok!(Tiers::admit(origin(101), 4, Role::Isp));
		assert_noop!(Tiers::suspend(origin(101), LEADER), E::IsLeader);
		assert_noop!(Tiers::hand_over(origin(LEADER)), E::NotLeader);
		assert_ok!(Tiers::hand_over(origin(101)));
		System::assert_last_event(Event::HandedOver { leader: LEADER }.into());
	});
}

#[test]
fn the_council_is_the_owners_of_the_active_isps() {
	on_chain(|| {
		assert_ok!(Tiers::admit(origin(LEADER), 4, Role::Isp));
		assert_eq!(Seats::get(), vec![1, 2, 3, 4]);
		assert_ok!(Tiers::rotate(origin(2), 102));
		assert_eq!(Seats::get(), vec![1, 3, 4, 102]);
		assert_ok!(Tiers::suspend(origin(LEADER), 3));
		assert_eq!(Seats::get(), vec![1, 4, 102]);
		assert_ok!(Tiers::reinstate(origin(LEADER), 3));
		assert_eq!(Seats::get(), vec![1, 3, 4, 102]);
		assert_ok!(Tiers::remove(origin(LEADER), 2));
		assert_eq!(Seats::get(), vec![1, 3, 4]);
		assert_ok!(Tiers::admit(origin(LEADER), 91, Role::Researcher));
		assert_ok!(Tiers::rotate(origin(91), 191));
		assert_ok!(Tiers::delegate(origin(3), 33, true, true));
		assert_eq!(Seats::get(), vec![1, 3, 4], "nobody else sits on it");
		assert!(Tiers::suspend_for_offence(&4));
		assert_eq!(Seats::get(), vec![1, 3]);
	});
}

#[test]
fn governance_sets_parameters_under_which_everybody_can_act() {
	on_chain(|| {
		assert_ok!(Tiers::set_parameters(origin(LEADER), GENEROUS));
		System::assert_last_event(Event::ParametersSet { parameters: GENEROUS }.into());
		assert_eq!(Settings::<Test>::get(), GENEROUS);
		assert_eq!(Tiers::quota_left(&2, &Role::Isp), 6_000);

		for quotas in [
			Quotas { isp: 599, ..GENEROUS.quotas },
			Quotas { subscriber: 0, ..GENEROUS.quotas },
			Quotas { researcher: 0, ..GENEROUS.quotas },
		] {
			assert_noop!(Tiers::set_parameters(origin(LEADER), Parameters { quotas }), E::BadParameters);
		}
		assert_ok!(Tiers::set_parameters(
			origin(LEADER),
			Parameters { quotas: Quotas { isp: 600, subscriber: 1, researcher: 1 } }
		));
	});
}

#[test]
fn governance_calls_as_the_chain_what_it_may_and_nothing_else() {
	on_chain(|| {
		assert_ok!(govern(origin(LEADER), upgrade()));
		assert!(System::authorized_upgrade().is_some());

		let storage = RuntimeCall::System(frame_system::Call::set_storage { items: vec![(vec![1], vec![1])] });
		assert_noop!(govern(origin(LEADER), Box::new(storage)), E::NotGoverned);
		let nested = RuntimeCall::Tiers(crate::Call::govern { call: upgrade() });
		assert_noop!(govern(origin(LEADER), Box::new(nested)), E::NotGoverned);
	});
}

#[test]
fn a_governed_call_that_fails_says_why() {
	on_chain(|| {
		let nothing = RuntimeCall::System(frame_system::Call::apply_authorized_upgrade { code: vec![] });
		let why = govern(origin(LEADER), Box::new(nothing));
		assert_eq!(why, Err(frame_system::Error::<Test>::NothingAuthorized.into()));
	});
}

#[test]
fn calls_weigh_what_they_make_happen() {
	on_chain(|| {
		let inner = upgrade().get_dispatch_info().call_weight;
		let govern = RuntimeCall::Tiers(crate::Call::govern { call: upgrade() });
		assert_eq!(govern.get_dispatch_info().call_weight, inner + <()>::govern());
		assert_ok!(govern.dispatch(origin(LEADER)));

		let rotate = RuntimeCall::Tiers(crate::Call::rotate { account: 102 });
		assert_eq!(rotate.get_dispatch_info().call_weight, Motions::get());
	});
}
