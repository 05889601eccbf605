//! Reports that act before they are confirmed.

use crate::{mock::*, ActiveCount, Deed, Error, Event, Records, Status};
use frame_support::{assert_noop, assert_ok};
use ringfence_primitives::*;

type E = Error<Test>;

/// Has ISP 1, in good standing, report `text` provisionally. Returns its name.
fn provisional(text: &str) -> IndicatorId {
	trust(&[1]);
	assert_ok!(Indicators::report_provisionally(origin(1), indicator(text), terms()));
	indicator(text).id()
}

#[test]
fn it_acts_at_once_for_ten_minutes() {
	on_chain(|| {
		let id = provisional("198.18.0.1");
		assert_eq!(status(id), Some(Status::Provisional { since: START }));
		let ChangeKind::Activated(decision) = newest() else { panic!("{:?}", newest()) };
		assert_eq!(decision.indicator, indicator("198.18.0.1"));
		assert_eq!(decision.expires_at, START + 10 * MINUTE);
		assert_eq!(ActiveCount::<Test>::get(), 1);
		let seq = crate::Head::<Test>::get().seq;
		System::assert_has_event(Event::Reported { id, reporter: 1 }.into());
		System::assert_has_event(Event::ActivatedProvisionally { id, seq }.into());
	});
}

#[test]
fn it_acts_no_longer_than_its_terms_ask_for() {
	on_chain(|| {
		trust(&[1]);
		assert_ok!(Indicators::report_provisionally(origin(1), indicator("198.18.0.1"), lasting(60)));
		let ChangeKind::Activated(decision) = newest() else { panic!("{:?}", newest()) };
		assert_eq!(decision.expires_at, START + MINUTE);
	});
}

#[test]
fn it_awaits_votes_meanwhile() {
	on_chain(|| {
		let id = provisional("198.18.0.1");
		assert_eq!(Indicators::pending(&2, None, 9).0.len(), 1);
		assert_eq!(Indicators::awaiting(&2, vec![id]).len(), 1);
		assert!(Indicators::pending(&1, None, 9).0.is_empty(), "the reporter has voted");
		assert_ok!(Indicators::report(origin(2), indicator("198.18.0.1"), terms()));
		System::assert_last_event(Event::Voted { id, isp: 2, vote: Vote::Sighting }.into());
	});
}

#[test]
fn only_isps_in_good_standing_are_believed_at_once() {
	on_chain(|| {
		trust(&[1, RESEARCHER]);
		let report = |who: u64| Indicators::report_provisionally(origin(who), indicator("198.18.0.1"), terms());
		assert_noop!(report(2), E::NotInGoodStanding);
		assert_noop!(report(RESEARCHER), E::NotIsp);
		assert_noop!(report(201), E::ReportToYourIsp);
		assert_noop!(report(77), E::NotMember);
		assert_noop!(report(vetting(1)), E::NotMember);
		assert_ok!(report(reporting(1)));
	});
}

#[test]
fn what_is_wide_or_protected_never_acts_unconfirmed() {
	on_chain(|| {
		trust(&[1]);
		let report = |indicator: Indicator| Indicators::report_provisionally(origin(1), indicator, terms());
		assert_noop!(report(indicator("198.18.0.0/23")), E::NotForWide);
		let from_anywhere =
			FlowSignature { destination: Some("198.18.0.1/32".parse().unwrap()), ..FlowSignature::default() };
		assert_noop!(report(Indicator::Flow(from_anywhere)), E::NotForWide);
		assert_noop!(report(indicator("10.1.2.3")), E::OverlapsProtected);
		assert_ok!(report(indicator("198.18.0.0/24")));
	});
}

#[test]
fn what_is_on_record_cannot_be_made_provisional() {
	on_chain(|| {
		let report = |text: &str| Indicators::report_provisionally(origin(1), indicator(text), terms());
		let id = provisional("198.18.0.1");
		assert_noop!(report("198.18.0.1"), E::AlreadyProposed);
		assert_ok!(Indicators::report(origin(1), indicator("198.18.0.2"), terms()));
		assert_noop!(report("198.18.0.2"), E::AlreadyProposed);
		assert_ok!(Indicators::report(origin(2), indicator("198.18.0.3"), terms()));
		assert_noop!(report("198.18.0.3"), E::AlreadyProposed);
		activate("198.18.0.4");
		assert_noop!(report("198.18.0.4"), E::AlreadyActive);
		for isp in [2, 3] {
			assert_ok!(vote(isp, id, Vote::Reject));
		}
		assert_noop!(report("198.18.0.1"), E::AlreadyRejected);
	});
}

#[test]
fn a_quorum_confirms_it_for_its_whole_lifetime() {
	on_chain(|| {
		let id = provisional("198.18.0.1");
		live(5 * MINUTE);
		assert_ok!(vote(2, id, Vote::Approve));
		assert_ok!(vote(3, id, Vote::Approve));
		assert_eq!(status(id), Some(Status::Active { since: START + 5 * MINUTE }));
		let ChangeKind::Extended(decision) = newest() else { panic!("{:?}", newest()) };
		assert_eq!(decision.expires_at, START + 5 * MINUTE + HOUR);
		let seq = crate::Head::<Test>::get().seq;
		System::assert_has_event(Event::Activated { id, seq }.into());
		assert_eq!(ActiveCount::<Test>::get(), 1);
		assert_eq!(deeds(1, Deed::Confirmed), GOOD + 1);
	});
}

#[test]
fn a_veto_ends_it_at_once() {
	on_chain(|| {
		let id = provisional("198.18.0.1");
		assert_ok!(vote(2, id, Vote::Reject));
		assert_ok!(vote(3, id, Vote::Reject));
		assert_eq!(status(id), Some(Status::Rejected));
		assert_eq!(newest(), ChangeKind::Revoked(indicator("198.18.0.1")));
		System::assert_has_event(Event::Rejected { id }.into());
		assert!(in_force().is_empty());
		assert_eq!(deeds(1, Deed::Rejected), 1);
		assert_eq!(deeds(1, Deed::LapsedProvisional), 0);
	});
}

#[test]
fn a_lapse_counts_against_the_reporter() {
	on_chain(|| {
		let id = provisional("198.18.0.1");
		assert_ok!(vote(2, id, Vote::Approve));
		live(10 * MINUTE);
		assert!(Records::<Test>::contains_key(id));
		pass(10_000);
		assert_eq!(status(id), None);
		assert_eq!(newest(), ChangeKind::Expired(indicator("198.18.0.1")));
		System::assert_has_event(Event::Lapsed { id }.into());
		assert_eq!(deeds(1, Deed::LapsedProvisional), 1);
		assert_eq!(deeds(1, Deed::Lapsed), 0);
	});
}

#[test]
fn a_withdrawal_costs_as_much_as_a_lapse() {
	on_chain(|| {
		let id = provisional("198.18.0.1");
		assert_ok!(Indicators::withdraw(origin(1), id));
		assert_eq!(newest(), ChangeKind::Revoked(indicator("198.18.0.1")));
		assert_eq!(status(id), None);
		assert_eq!(deeds(1, Deed::LapsedProvisional), 1);
	});
}

#[test]
fn an_isp_may_have_only_so_many_at_once() {
	on_chain(|| {
		trust(&[1, 2]);
		let report = |who: u64, host: u8| {
			Indicators::report_provisionally(origin(who), indicator(&format!("198.18.0.{host}")), terms())
		};
		for host in 1..=3 {
			assert_ok!(report(1, host));
		}
		assert_noop!(report(1, 4), E::TooManyProvisional);
		assert_ok!(report(2, 4));
		for isp in [2, 3] {
			assert_ok!(vote(isp, indicator("198.18.0.1").id(), Vote::Approve));
		}
		assert_ok!(report(1, 5));
		assert_noop!(report(1, 6), E::TooManyProvisional);
		live(10 * MINUTE + 20_000);
		assert_ok!(report(1, 6));
	});
}

#[test]
fn the_bound_of_open_reports_holds_for_it_too() {
	on_chain(|| {
		set(|parameters| parameters.open_cap = 1);
		provisional("198.18.0.1");
		assert_noop!(Indicators::report_provisionally(origin(1), indicator("198.18.0.2"), terms()), E::TooManyOpen);
	});
}

#[test]
fn a_lone_isps_is_confirmed_from_the_start() {
	on_chain(|| {
		Isps::set(&vec![1]);
		let id = provisional("198.18.0.1");
		assert_eq!(status(id), Some(Status::Active { since: START }));
		let ChangeKind::Activated(decision) = newest() else { panic!("{:?}", newest()) };
		assert_eq!(decision.expires_at, START + HOUR);
	});
}
