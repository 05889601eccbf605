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
		assert_eq!((record.reporter, record.isp), (1, Some(1)));
		assert_eq!(record.votes.into_inner(), vec![(1, Vote::Approve)]);
		System::assert_has_event(Event::Reported { id: bad.id(), reporter: 1 }.into());
	});
}

#[test]
fn subscribers_and_researchers_report_without_a_vote() {
	on_chain(|| {
		for (who, isp, text) in [(201, Some(2), "198.18.0.1"), (RESEARCHER, None, "198.18.0.2")] {
			assert_ok!(Indicators::report(origin(who), indicator(text), terms()));
			let record = Records::<Test>::get(indicator(text).id()).unwrap();
			assert_eq!((record.reporter, record.isp), (who, isp));
			assert!(record.votes.is_empty());
		}
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
fn a_second_isps_report_is_a_sighting_and_a_households_is_refused() {
	on_chain(|| {
		let bad = indicator("198.18.0.1");
		assert_ok!(Indicators::report(origin(1), bad.clone(), terms()));
		assert_noop!(Indicators::report(origin(201), bad.clone(), terms()), E::AlreadyProposed);
		assert_ok!(Indicators::report(origin(1), bad.clone(), terms()));
		assert_noop!(Indicators::report(origin(1), bad.clone(), terms()), E::AlreadyVoted);
		assert_ok!(Indicators::report(origin(2), bad.clone(), lasting(86_400)));
		System::assert_last_event(Event::Voted { id: bad.id(), isp: 2, vote: Vote::Sighting }.into());
		assert_eq!(Records::<Test>::get(bad.id()).unwrap().terms, terms(), "what was voted on stays what is voted on");
	});
}

#[test]
fn an_isps_report_extends_an_active_indicator_but_never_beyond_the_lifetime_voted_on() {
	on_chain(|| {
		let id = activate("198.18.0.1");
		let bad = indicator("198.18.0.1");
		assert_noop!(Indicators::report(origin(2), bad.clone(), terms()), E::AlreadyActive);
		live(HOUR / 2);
		assert_noop!(Indicators::report(origin(201), bad.clone(), terms()), E::AlreadyActive);
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
