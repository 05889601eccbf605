//! Owners and delegates: who may sign for whom, and for how long.

use crate::{mock::*, Delegates, EnvelopeKeys, Error, Event, Members, Named, Owners, Power, Role, Signer, Status};
use frame_support::{assert_noop, assert_ok};
use ringfence_primitives::Scope::{Report, Vet};

type E = Error<Test>;

#[test]
fn an_owner_may_do_everything_in_its_members_name() {
	on_chain(|| {
		assert_eq!(Tiers::signer(&2), Some(Signer { member: 2, power: Power::Owner }));
		for scope in [Report, Vet] {
			assert_eq!(Tiers::speaker(&2, scope), Some((2, Role::Isp)));
		}
		assert_eq!(Tiers::owner_of(&2).map(|(member, _)| member), Some(2));
		assert_eq!(Tiers::signer(&77), None);
		assert_eq!(Tiers::speaker(&77, Report), None);
	});
}

#[test]
fn a_delegate_may_do_what_its_scope_says() {
	on_chain(|| {
		assert_ok!(Tiers::delegate(origin(2), 25, true, false));
		System::assert_last_event(Event::Delegated { member: 2, account: 25, report: true, vet: false }.into());
		assert_eq!(Tiers::speaker(&25, Report), Some((2, Role::Isp)));
		assert_eq!(Tiers::speaker(&25, Vet), None);
		assert_eq!(Tiers::owner_of(&25), None);

		assert_ok!(Tiers::delegate(origin(2), 25, false, true));
		assert_eq!(Tiers::speaker(&25, Report), None, "the new scopes replace the old");
		assert_eq!(Tiers::speaker(&25, Vet), Some((2, Role::Isp)));
		assert_eq!(Delegates::<Test>::get(2).into_inner(), vec![25]);
	});
}

#[test]
fn a_delegate_may_do_nothing_that_is_the_owners() {
	on_chain(|| {
		assert_ok!(Tiers::delegate(origin(LEADER), 15, true, true));
		assert_noop!(Tiers::admit(origin(15), 4, Role::Isp), E::NotGovernance);
		assert_noop!(Tiers::suspend(origin(15), 2), E::NotGovernance);
		assert_noop!(Tiers::hand_over(origin(15)), E::NotLeader);
		assert_noop!(Tiers::enrol(origin(15), 11), E::NotIsp);
		assert_noop!(Tiers::suspend(origin(15), 10), E::NotYours);
		assert_noop!(Tiers::delegate(origin(15), 16, true, true), E::NotOwner);
		assert_noop!(Tiers::revoke_delegate(origin(15), 15), E::NotOwner);
		assert_noop!(Tiers::rotate(origin(15), 16), E::NotOwner);
		assert_noop!(Tiers::set_nodes(origin(15), Default::default()), E::NotIsp);
		assert_noop!(Tiers::set_envelope_key(origin(15), [1; 32]), E::NotOwner);
	});
}

#[test]
fn a_key_acts_for_one_member_only() {
	on_chain(|| {
		assert_ok!(Tiers::delegate(origin(2), 25, true, true));
		for taken in [2, 3, 20, 90] {
			assert_noop!(Tiers::delegate(origin(2), taken, true, true), E::KeyInUse);
			assert_noop!(Tiers::rotate(origin(2), taken), E::KeyInUse);
		}
		assert_noop!(Tiers::delegate(origin(3), 25, true, true), E::KeyInUse);
		assert_noop!(Tiers::rotate(origin(2), 25), E::KeyInUse);
		assert_noop!(Tiers::admit(origin(LEADER), 25, Role::Isp), E::KeyInUse);
		assert_noop!(Tiers::enrol(origin(3), 25), E::KeyInUse);
	});
}

#[test]
fn delegates_need_a_scope_and_an_active_owner() {
	on_chain(|| {
		assert_noop!(Tiers::delegate(origin(2), 25, false, false), E::NoScope);
		assert_noop!(Tiers::delegate(origin(77), 25, true, true), E::NotOwner);
		assert_ok!(Tiers::suspend(origin(LEADER), 2));
		assert_noop!(Tiers::delegate(origin(2), 25, true, true), E::NotActive);
		assert_noop!(Tiers::delegate(origin(20), 25, true, true), E::NotActive);
	});
}

#[test]
fn delegates_and_keys_ever_named_are_bounded() {
	on_chain(|| {
		assert_ok!(Tiers::delegate(origin(2), 25, true, true));
		assert_ok!(Tiers::delegate(origin(2), 26, true, true));
		assert_noop!(Tiers::delegate(origin(2), 27, true, true), E::TooManyDelegates);
		assert_ok!(Tiers::revoke_delegate(origin(2), 26));
		assert_ok!(Tiers::delegate(origin(2), 27, true, true));
		assert_ok!(Tiers::rotate(origin(2), 28));
		assert_eq!(Named::<Test>::get(2), 4);

		assert_ok!(Tiers::revoke_delegate(origin(28), 27));
		assert_noop!(Tiers::delegate(origin(28), 29, true, true), E::TooManyNamed);
		assert_noop!(Tiers::rotate(origin(28), 29), E::TooManyNamed);
		assert_ok!(Tiers::delegate(origin(28), 26, true, true));
		assert_eq!(Named::<Test>::get(2), 4, "a nonce that is kept already costs nothing more");
	});
}

#[test]
fn a_revoked_delegate_is_nobody_at_once_and_its_nonce_is_kept() {
	on_chain(|| {
		assert_ok!(Tiers::delegate(origin(2), 25, true, true));
		System::inc_account_nonce(25);
		assert_noop!(Tiers::revoke_delegate(origin(3), 25), E::NotDelegate);
		assert_noop!(Tiers::revoke_delegate(origin(2), 2), E::NotDelegate);
		assert_noop!(Tiers::revoke_delegate(origin(77), 25), E::NotOwner);

		assert_ok!(Tiers::revoke_delegate(origin(2), 25));
		System::assert_last_event(Event::DelegateRevoked { member: 2, account: 25 }.into());
		assert_eq!(Tiers::signer(&25), None);
		assert_eq!(System::account_nonce(25), 1);
		assert_eq!(System::providers(&25), 1);
		assert_noop!(Tiers::revoke_delegate(origin(2), 25), E::NotDelegate);
	});
}

#[test]
fn members_of_every_role_rotate_their_owner() {
	on_chain(|| {
		for (member, role) in [(2, Role::Isp), (20, Role::Subscriber { isp: 2 }), (90, Role::Researcher)] {
			let new = member + 100;
			assert_ok!(Tiers::rotate(origin(member), new));
			System::assert_last_event(Event::Rotated { member, account: new }.into());
			assert_eq!(Tiers::speaker(&new, Report), Some((member, role.clone())));
			assert_eq!(Tiers::active_role(&member), Some(role), "the member keeps its name");
			assert_eq!(Tiers::signer(&member), None, "the old key is dead");
			assert_noop!(Tiers::rotate(origin(member), 77), E::NotOwner);
			assert_noop!(Tiers::rotate(origin(new), member), E::KeyInUse);
		}
		assert_eq!(Seats::get(), vec![1, 3, 102]);
		assert_noop!(Tiers::enrol(origin(2), 21), E::NotIsp);
		assert_ok!(Tiers::enrol(origin(102), 21));
		assert_ok!(Tiers::suspend(origin(102), 20));
	});
}

#[test]
fn delegates_outlive_a_rotation() {
	on_chain(|| {
		assert_ok!(Tiers::delegate(origin(2), 25, true, true));
		assert_ok!(Tiers::rotate(origin(2), 102));
		assert_eq!(Tiers::speaker(&25, Vet), Some((2, Role::Isp)));
		assert_ok!(Tiers::revoke_delegate(origin(102), 25));
	});
}

#[test]
fn a_suspended_member_may_still_secure_its_keys() {
	on_chain(|| {
		assert_ok!(Tiers::delegate(origin(2), 25, true, true));
		assert_ok!(Tiers::suspend(origin(LEADER), 2));
		assert_eq!(Tiers::speaker(&25, Report), None);
		assert_ok!(Tiers::revoke_delegate(origin(2), 25));
		assert_ok!(Tiers::rotate(origin(2), 102));
		assert_ok!(Tiers::rotate(origin(20), 120));
		assert_noop!(Tiers::set_envelope_key(origin(102), [1; 32]), E::NotActive);
		assert_eq!(Seats::get(), vec![1, 3]);
		assert_ok!(Tiers::reinstate(origin(LEADER), 2));
		assert_eq!(Seats::get(), vec![1, 3, 102]);
	});
}

#[test]
fn removal_leaves_no_key_that_acts() {
	on_chain(|| {
		assert_ok!(Tiers::rotate(origin(2), 102));
		assert_ok!(Tiers::delegate(origin(102), 25, true, true));
		assert_ok!(Tiers::set_envelope_key(origin(102), [1; 32]));
		assert_ok!(Tiers::remove(origin(LEADER), 2));
		for key in [2, 102, 25] {
			assert_eq!(Tiers::signer(&key), None);
		}
		assert_eq!(Owners::<Test>::get(2), None);
		assert_eq!(EnvelopeKeys::<Test>::get(2), None);

		assert_ok!(Tiers::admit(origin(LEADER), 2, Role::Isp));
		assert_eq!(Tiers::owner_of(&2).map(|(member, _)| member), Some(2), "who comes back begins with its own key");
		assert_eq!(Named::<Test>::get(2), 2, "and has named what it has named");
	});
}

#[test]
fn an_orphan_that_is_taken_over_keeps_its_keys() {
	on_chain(|| {
		assert_ok!(Tiers::rotate(origin(20), 120));
		assert_ok!(Tiers::delegate(origin(120), 25, true, false));
		assert_ok!(Tiers::remove(origin(LEADER), 2));
		assert_eq!(Tiers::speaker(&25, Report), None);
		assert_ok!(Tiers::enrol(origin(3), 20));
		assert_eq!(Tiers::signer(&20), None, "a key that was replaced stays dead");
		assert_eq!(Tiers::speaker(&25, Report), Some((20, Role::Subscriber { isp: 3 })));
		assert_eq!(Members::<Test>::get(20).unwrap().status, Status::Active);
		assert_ok!(Tiers::revoke_delegate(origin(120), 25));
	});
}

#[test]
fn members_say_what_envelopes_are_sealed_to() {
	on_chain(|| {
		for member in [2, 20] {
			assert_ok!(Tiers::set_envelope_key(origin(member), [7; 32]));
			System::assert_last_event(Event::EnvelopeKeySet { member }.into());
			assert_eq!(EnvelopeKeys::<Test>::get(member), Some([7; 32]));
		}
		assert_noop!(Tiers::set_envelope_key(origin(2), [0; 32]), E::BadEnvelopeKey);
		assert_noop!(Tiers::set_envelope_key(origin(77), [1; 32]), E::NotOwner);
	});
}
