//! Who leaves the validators, of its own fault or not, and how many at once.

use crate::{mock::*, Error, Event, Members, Role, Status};
use frame_support::{assert_noop, assert_ok};

type E = Error<Test>;

/// Seven ISPs, who all validate.
fn with_seven() {
	for isp in 4..8 {
		assert_ok!(Tiers::admit(origin(LEADER), isp, Role::Isp));
	}
	Validating::set(&(1..8).collect());
}

#[test]
fn no_more_may_leave_at_once_than_finality_can_spare() {
	on_chain(|| {
		with_seven();
		assert_ok!(Tiers::suspend(origin(LEADER), 2));
		assert_ok!(Tiers::remove(origin(LEADER), 3));
		for call in [Tiers::suspend, Tiers::remove] {
			assert_noop!(call(origin(LEADER), 4), E::TooManyLeaving);
		}
		// The next sessions begin without the two.
		Validating::set(&vec![1, 4, 5, 6, 7]);
		assert_ok!(Tiers::suspend(origin(LEADER), 4));
		assert_noop!(Tiers::remove(origin(LEADER), 5), E::TooManyLeaving);
		assert_ok!(Tiers::reinstate(origin(LEADER), 4));
		assert_ok!(Tiers::remove(origin(LEADER), 5));
	});
}

#[test]
fn one_may_always_leave() {
	on_chain(|| {
		Validating::set(&vec![1, 2, 3]);
		assert_ok!(Tiers::remove(origin(LEADER), 2));
		assert_noop!(Tiers::remove(origin(LEADER), 3), E::TooManyLeaving);
		Validating::set(&vec![1, 3]);
		assert_ok!(Tiers::remove(origin(LEADER), 3));
	});
}

#[test]
fn who_does_not_validate_may_leave_at_any_time() {
	on_chain(|| {
		Validating::set(&vec![1, 2, 3]);
		assert_ok!(Tiers::admit(origin(LEADER), 4, Role::Isp));
		assert_ok!(Tiers::suspend(origin(LEADER), 2));
		assert_ok!(Tiers::suspend(origin(LEADER), 4));
		assert_ok!(Tiers::remove(origin(LEADER), 2));
		assert_ok!(Tiers::remove(origin(LEADER), 90));
	});
}

#[test]
fn who_signs_against_itself_is_suspended_until_the_others_reinstate_it() {
	on_chain(|| {
		with_seven();
		System::reset_events();
		assert!(Tiers::suspend_for_offence(&2));
		assert_eq!(events(), vec![Event::Equivocated { account: 2 }, Event::Suspended { account: 2 }]);
		assert_eq!(Members::<Test>::get(2).unwrap().status, Status::Suspended);
		assert_eq!(Tiers::active_role(&2), None);
		assert_ok!(Tiers::reinstate(origin(LEADER), 2));
		assert_eq!(Tiers::active_role(&2), Some(Role::Isp));
	});
}

#[test]
fn an_offender_without_whom_the_chain_would_stop_is_spared() {
	on_chain(|| {
		with_seven();
		assert!(!Tiers::suspend_for_offence(&LEADER));
		System::assert_last_event(Event::Spared { account: LEADER }.into());
		assert!(Tiers::suspend_for_offence(&2));
		assert!(Tiers::suspend_for_offence(&3));
		assert!(!Tiers::suspend_for_offence(&4));
		System::assert_last_event(Event::Spared { account: 4 }.into());
		assert_eq!(Tiers::active_role(&4), Some(Role::Isp));
	});
}

#[test]
fn who_is_no_active_isp_commits_no_offence() {
	on_chain(|| {
		assert_ok!(Tiers::suspend(origin(LEADER), 2));
		System::reset_events();
		for account in [2, 20, 90, 77] {
			assert!(!Tiers::suspend_for_offence(&account));
		}
		assert!(events().is_empty());
	});
}
