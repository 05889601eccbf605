//! Who may change the register, and what it refuses.

use crate::{mock::*, Error, Event, Isps, Leader, Members, NodeId, Owners, Role, Status, MAX_NODES};
use frame_support::{assert_noop, assert_ok, traits::ConstU32, BoundedVec};

type E = Error<Test>;

#[test]
fn genesis_makes_the_first_isp_leader() {
	on_chain(|| {
		assert_eq!(Leader::<Test>::get(), Some(LEADER));
		assert_eq!(Isps::<Test>::get().into_inner(), vec![1, 2, 3]);
		assert_eq!(Tiers::active_role(&20), Some(Role::Subscriber { isp: 2 }));
		assert_eq!(Tiers::active_role(&90), Some(Role::Researcher));
		assert_eq!(Tiers::active_role(&77), None);
		assert_eq!(Seats::get(), vec![1, 2, 3]);
		for member in [1, 2, 3, 10, 20, 90] {
			assert_eq!(Owners::<Test>::get(member), Some(member));
		}
	});
}

#[test]
fn the_leader_admits_isps_and_researchers() {
	on_chain(|| {
		assert_ok!(Tiers::admit(origin(LEADER), 4, Role::Isp));
		System::assert_last_event(Event::Admitted { account: 4, role: Role::Isp }.into());
		assert_eq!(Isps::<Test>::get().into_inner(), vec![1, 2, 3, 4]);
		assert_ok!(Tiers::admit(origin(LEADER), 91, Role::Researcher));

		assert_noop!(Tiers::admit(origin(2), 5, Role::Isp), E::NotGovernance);
		assert_noop!(Tiers::admit(origin(77), 5, Role::Isp), E::NotGovernance);
		assert_noop!(Tiers::admit(RuntimeOrigin::none(), 5, Role::Isp), E::NotGovernance);
		assert_noop!(Tiers::admit(origin(LEADER), 2, Role::Isp), E::AlreadyMember);
		assert_noop!(Tiers::admit(origin(LEADER), 10, Role::Researcher), E::AlreadyMember);
		assert_noop!(Tiers::admit(origin(LEADER), 5, Role::Subscriber { isp: 1 }), E::EnrolInstead);
		for account in 5..8 {
			assert_ok!(Tiers::admit(origin(LEADER), account, Role::Isp));
		}
		assert_noop!(Tiers::admit(origin(LEADER), 8, Role::Isp), E::TooManyIsps);
	});
}

#[test]
fn an_isp_enrols_its_own_subscribers() {
	on_chain(|| {
		assert_ok!(Tiers::enrol(origin(2), 21));
		System::assert_last_event(Event::Enrolled { isp: 2, account: 21 }.into());
		assert_eq!(Tiers::active_role(&21), Some(Role::Subscriber { isp: 2 }));

		assert_noop!(Tiers::enrol(origin(10), 22), E::NotIsp);
		assert_noop!(Tiers::enrol(origin(77), 22), E::NotIsp);
		assert_noop!(Tiers::enrol(origin(2), 10), E::AlreadyMember);
		assert_noop!(Tiers::enrol(origin(2), 3), E::AlreadyMember);
	});
}

#[test]
fn accounts_that_an_isp_enrolled_and_removed_count_for_ever() {
	on_chain(|| {
		for account in [21, 22] {
			assert_ok!(Tiers::enrol(origin(2), account));
			assert_ok!(Tiers::remove(origin(2), account));
		}
		assert_noop!(Tiers::enrol(origin(2), 23), E::TooManySubscribers);
	});
}

#[test]
fn nobody_touches_a_foreign_subscriber() {
	on_chain(|| {
		for call in [Tiers::suspend, Tiers::remove] {
			assert_noop!(call(origin(1), 20), E::NotYours);
			assert_noop!(call(origin(20), 20), E::NotYours);
			assert_noop!(call(origin(77), 20), E::NotYours);
			assert_noop!(call(origin(2), 3), E::NotGovernance);
			assert_noop!(call(origin(2), 77), E::NotMember);
		}
		assert_ok!(Tiers::suspend(origin(2), 20));
		assert_noop!(Tiers::reinstate(origin(1), 20), E::NotYours);
		assert_ok!(Tiers::reinstate(origin(2), 20));
	});
}

#[test]
fn a_suspended_member_may_not_act_until_it_is_reinstated() {
	on_chain(|| {
		assert_ok!(Tiers::suspend(origin(LEADER), 2));
		System::assert_last_event(Event::Suspended { account: 2 }.into());
		assert_eq!(Isps::<Test>::get().into_inner(), vec![1, 3]);
		assert_eq!(Tiers::active_role(&2), None);
		assert_eq!(Tiers::active_role(&20), None, "its subscribers are barred with it");
		assert_noop!(Tiers::enrol(origin(2), 21), E::NotIsp);
		assert_noop!(Tiers::suspend(origin(2), 20), E::NotIsp);
		assert_noop!(Tiers::suspend(origin(LEADER), 2), E::AlreadySuspended);

		assert_ok!(Tiers::reinstate(origin(LEADER), 2));
		System::assert_last_event(Event::Reinstated { account: 2 }.into());
		assert_eq!(Isps::<Test>::get().into_inner(), vec![1, 3, 2]);
		assert_eq!(Tiers::active_role(&20), Some(Role::Subscriber { isp: 2 }));
		assert_noop!(Tiers::reinstate(origin(LEADER), 2), E::NotSuspended);
	});
}

#[test]
fn reinstatement_needs_a_free_place() {
	on_chain(|| {
		assert_ok!(Tiers::suspend(origin(LEADER), 2));
		for account in 4..9 {
			assert_ok!(Tiers::admit(origin(LEADER), account, Role::Isp));
		}
		assert_noop!(Tiers::reinstate(origin(LEADER), 2), E::TooManyIsps);
	});
}

#[test]
fn the_chain_keeps_its_leader() {
	on_chain(|| {
		for call in [Tiers::suspend, Tiers::remove] {
			assert_noop!(call(origin(LEADER), LEADER), E::IsLeader);
		}
		assert_ok!(Tiers::remove(origin(LEADER), 2));
		assert_ok!(Tiers::remove(origin(LEADER), 3));
		assert_eq!(Isps::<Test>::get().into_inner(), vec![LEADER]);
	});
}

#[test]
fn the_last_isp_stays() {
	on_chain(|| {
		assert_ok!(Tiers::hand_over(origin(LEADER)));
		assert_ok!(Tiers::remove(council(), 1));
		assert_ok!(Tiers::suspend(council(), 2));
		for call in [Tiers::suspend, Tiers::remove] {
			assert_noop!(call(council(), 3), E::LastIsp);
		}
	});
}

#[test]
fn a_removed_isp_orphans_its_subscribers_and_another_may_take_them_over() {
	on_chain(|| {
		assert_noop!(Tiers::enrol(origin(3), 20), E::AlreadyMember);
		assert_ok!(Tiers::remove(origin(LEADER), 2));
		System::assert_last_event(Event::Removed { account: 2 }.into());
		assert!(!Members::<Test>::contains_key(2));
		assert_eq!(Tiers::active_role(&20), None);
		assert_ok!(Tiers::enrol(origin(3), 20));
		assert_eq!(Tiers::active_role(&20), Some(Role::Subscriber { isp: 3 }));
		assert_eq!(Members::<Test>::get(20).unwrap().status, Status::Active);
	});
}

#[test]
fn a_former_isp_that_came_back_as_a_researcher_keeps_no_subscribers() {
	on_chain(|| {
		assert_ok!(Tiers::remove(origin(LEADER), 2));
		assert_ok!(Tiers::admit(origin(LEADER), 2, Role::Researcher));
		assert_eq!(Tiers::active_role(&20), None);
		assert_noop!(Tiers::remove(origin(2), 20), E::NotIsp);
		assert_ok!(Tiers::enrol(origin(3), 20));
	});
}

#[test]
fn a_removed_members_nonce_is_kept() {
	on_chain(|| {
		System::inc_account_nonce(20);
		System::inc_account_nonce(20);
		assert_ok!(Tiers::remove(origin(2), 20));
		assert_eq!(System::account_nonce(20), 2);
		assert_eq!(System::providers(&20), 1);
		assert_ok!(Tiers::enrol(origin(2), 20));
		assert_eq!(System::account_nonce(20), 2);
		assert_eq!(System::providers(&20), 1, "re-admission takes no second reference");
	});
}

fn nodes(ids: &[&[u8]]) -> BoundedVec<NodeId, ConstU32<MAX_NODES>> {
	BoundedVec::truncate_from(ids.iter().map(|id| NodeId::truncate_from(id.to_vec())).collect())
}

#[test]
fn an_isp_names_its_nodes() {
	on_chain(|| {
		assert_ok!(Tiers::set_nodes(origin(2), nodes(&[b"one", b"two"])));
		System::assert_last_event(Event::NodesSet { isp: 2 }.into());
		assert_eq!(Tiers::nodes_of(&2), vec![b"one".to_vec(), b"two".to_vec()]);
		assert_ok!(Tiers::set_nodes(origin(2), nodes(&[b"three"])));
		assert_eq!(Tiers::nodes_of(&2), vec![b"three".to_vec()], "the list replaces the one before");

		assert_noop!(Tiers::set_nodes(origin(2), nodes(&[b"one", b""])), E::BadNode);
		assert_noop!(Tiers::set_nodes(origin(20), nodes(&[b"one"])), E::NotIsp);
		assert_noop!(Tiers::set_nodes(origin(90), nodes(&[b"one"])), E::NotIsp);
		assert_noop!(Tiers::set_nodes(origin(77), nodes(&[b"one"])), E::NotIsp);
		assert_ok!(Tiers::suspend(origin(LEADER), 2));
		assert_noop!(Tiers::set_nodes(origin(2), nodes(&[b"one"])), E::NotIsp);
		assert_ok!(Tiers::remove(origin(LEADER), 2));
		assert!(Tiers::nodes_of(&2).is_empty(), "a removed ISP has no nodes");
	});
}
