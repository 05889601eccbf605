//! Who may report what, and what a repeated report does.

use crate::{mock::*, Error, Event, Records, Status};
use frame_support::{assert_noop, assert_ok};
use ringfence_primitives::*;

type E = Error<Test>;

#[test]
fn an_isps_report_awaits_votes_with_its_own_approval() {
	on_chain(|| {
		let bad = indicator("198.18.0.1");
		assert_ok!(Indicators::report(origin(1), bad.clone(), terms()));
		let record = Records::<Test>::get(bad.id()).unwrap();
		assert_eq!(record.status, Status::Proposed);
		assert_eq!(record.reporter, 1);
		assert_eq!(record.votes.into_inner(), vec![(1, Vote::Approve)]);
		System::assert_has_event(Event::Reported { id: bad.id(), reporter: 1 }.into());
	});
}

#[test]
fn researchers_report_without_a_vote() {
	on_chain(|| {
		let bad = indicator("198.18.0.1");
		assert_ok!(Indicators::report(origin(RESEARCHER), bad.clone(), terms()));
		let record = Records::<Test>::get(bad.id()).unwrap();
		assert_eq!(record.reporter, RESEARCHER);
		assert!(record.votes.is_empty());
	});
}

#[test]
fn subscribers_report_to_their_isp() {
	on_chain(|| {
		assert_noop!(Indicators::report(origin(201), indicator("198.18.0.1"), terms()), E::ReportToYourIsp);
	});
}

#[test]
fn a_delegate_that_may_report_does_so_in_its_members_name() {
	on_chain(|| {
		let bad = indicator("198.18.0.1");
		assert_noop!(Indicators::report(origin(vetting(1)), bad.clone(), terms()), E::NotMember);
		assert_ok!(Indicators::report(origin(reporting(1)), bad.clone(), terms()));
		let record = Records::<Test>::get(bad.id()).unwrap();
		assert_eq!(record.reporter, 1);
		assert_eq!(record.votes.into_inner(), vec![(1, Vote::Approve)]);
	});
}

#[test]
fn strangers_report_nothing() {
	on_chain(|| {
		assert_noop!(Indicators::report(origin(77), indicator("198.18.0.1"), terms()), E::NotMember);
		assert_noop!(Indicators::report(origin(7_701), indicator("198.18.0.1"), terms()), E::NotMember);
		assert_noop!(
			Indicators::report(RuntimeOrigin::root(), indicator("198.18.0.1"), terms()),
			sp_runtime::DispatchError::BadOrigin
		);
	});
}

#[test]
fn a_lone_isp_decides_alone() {
	on_chain(|| {
		Isps::set(&vec![1]);
		assert_ok!(Indicators::report(origin(1), indicator("198.18.0.1"), terms()));
		assert!(matches!(newest(), ChangeKind::Activated(_)));
	});
}

#[test]
fn a_second_isps_report_is_a_sighting_if_it_asks_for_no_less() {
	on_chain(|| {
		let bad = indicator("198.18.0.1");
		assert_ok!(Indicators::report(origin(1), bad.clone(), terms()));
		assert_noop!(Indicators::report(origin(2), bad.clone(), lasting(600)), E::OtherTerms);
		let watch = Terms { action: Action::Watch, ..terms() };
		assert_noop!(Indicators::report(origin(2), bad.clone(), watch), E::OtherTerms);
		let inbound = Terms { direction: Direction::Inbound, ..terms() };
		assert_noop!(Indicators::report(origin(2), bad.clone(), inbound), E::OtherTerms);
		assert_ok!(Indicators::report(origin(2), bad.clone(), lasting(86_400)));
		System::assert_last_event(Event::Voted { id: bad.id(), isp: 2, vote: Vote::Sighting }.into());
		assert_noop!(Indicators::report(origin(2), bad.clone(), terms()), E::AlreadyVoted);
		assert_eq!(Records::<Test>::get(bad.id()).unwrap().terms, terms(), "what was voted on stays what is voted on");
	});
}

#[test]
fn nobody_sees_its_own_report_again_and_a_researchers_second_one_is_refused() {
	on_chain(|| {
		let bad = indicator("198.18.0.1");
		assert_ok!(Indicators::report(origin(1), bad.clone(), terms()));
		assert_noop!(Indicators::report(origin(1), bad.clone(), terms()), E::AlreadyVoted);
		assert_noop!(Indicators::report(origin(RESEARCHER), bad.clone(), terms()), E::AlreadyProposed);
	});
}

#[test]
fn an_isp_that_approved_may_report_that_it_saw_it_too() {
	on_chain(|| {
		let bad = indicator("198.18.0.1");
		assert_ok!(Indicators::report(origin(RESEARCHER), bad.clone(), terms()));
		assert_ok!(vote(2, bad.id(), Vote::Approve));
		assert_ok!(Indicators::report(origin(2), bad.clone(), terms()));
		assert_eq!(Records::<Test>::get(bad.id()).unwrap().votes.into_inner(), vec![(2, Vote::Sighting)]);
	});
}

#[test]
fn an_isps_report_extends_an_active_indicator_but_never_beyond_the_lifetime_voted_on() {
	on_chain(|| {
		let id = activate("198.18.0.1");
		let bad = indicator("198.18.0.1");
		assert_noop!(Indicators::report(origin(2), bad.clone(), terms()), E::AlreadyActive);
		live(HOUR / 2);
		assert_noop!(Indicators::report(origin(RESEARCHER), bad.clone(), terms()), E::AlreadyActive);
		assert_noop!(Indicators::report(origin(2), bad.clone(), lasting(60)), E::AlreadyActive);
		assert_ok!(Indicators::report(origin(2), bad.clone(), lasting(2_592_000)));
		let ends_at = START + HOUR / 2 + HOUR;
		assert_eq!(Records::<Test>::get(id).unwrap().ends_at, ends_at);
		let ChangeKind::Extended(decision) = newest() else { panic!("{:?}", newest()) };
		assert_eq!(decision.expires_at, ends_at);
		live(HOUR / 2 + 20_000);
		assert!(Records::<Test>::contains_key(id), "it outlives its first end");
	});
}

#[test]
fn what_is_too_wide_is_refused() {
	on_chain(|| {
		assert_noop!(Indicators::report(origin(1), indicator("96.0.0.0/7"), terms()), E::TooWide);
		assert_noop!(Indicators::report(origin(1), indicator("2600::/19"), terms()), E::TooWide);
		assert_ok!(Indicators::report(origin(1), indicator("96.0.0.0/8"), terms()));
	});
}

#[test]
fn records_are_bounded() {
	on_chain(|| {
		for host in 0..20 {
			assert_ok!(Indicators::report(origin(1), indicator(&format!("198.18.0.{host}")), terms()));
		}
		assert_noop!(Indicators::report(origin(1), indicator("198.18.1.1"), terms()), E::TooManyRecords);
	});
}

#[test]
fn reports_of_one_member_that_await_votes_are_bounded() {
	on_chain(|| {
		set(|parameters| parameters.open_cap = 2);
		let host = |host: u8| indicator(&format!("198.18.0.{host}"));
		assert_ok!(Indicators::report(origin(1), host(1), terms()));
		assert_ok!(Indicators::report(origin(1), host(2), terms()));
		assert_noop!(Indicators::report(origin(1), host(3), terms()), E::TooManyOpen);
		assert_ok!(Indicators::report(origin(2), host(3), terms()));
		assert_ok!(Indicators::report(origin(1), host(3), terms()));
		for isp in [2, 3] {
			assert_ok!(vote(isp, host(1).id(), Vote::Approve));
		}
		assert_ok!(Indicators::report(origin(1), host(4), terms()));
		assert_ok!(Indicators::withdraw(origin(1), host(2).id()));
		assert_ok!(Indicators::report(origin(1), host(5), terms()));
		assert_noop!(Indicators::report(origin(1), host(6), terms()), E::TooManyOpen);
	});
}
