//! Disputes: an active indicator is voted on once more.

use crate::{mock::*, Deed, Dispute, Error, Event, Members, Records, Status};
use frame_support::{assert_noop, assert_ok};
use ringfence_primitives::*;

type E = Error<Test>;

/// Has ISPs 1, 2 and 3 activate 198.18.0.1 for a day. Returns its name.
fn active() -> IndicatorId {
	let bad = indicator("198.18.0.1");
	assert_ok!(Indicators::report(origin(1), bad.clone(), lasting(86_400)));
	assert_ok!(vote(2, bad.id(), Vote::Approve));
	assert_ok!(vote(3, bad.id(), Vote::Approve));
	bad.id()
}

fn votes(id: IndicatorId) -> Vec<(u64, Vote)> {
	Records::<Test>::get(id).unwrap().votes.into_inner()
}

fn dispute(id: IndicatorId) -> Dispute<u64, <Test as crate::Config>::MaxIsps> {
	Records::<Test>::get(id).unwrap().dispute
}

#[test]
fn the_vote_begins_anew_and_the_indicator_stays_active_meanwhile() {
	on_chain(|| {
		let id = active();
		let head = crate::Head::<Test>::get();
		assert_ok!(Indicators::dispute(origin(RESEARCHER), id));
		System::assert_last_event(Event::Disputed { id, by: RESEARCHER }.into());
		assert_eq!(status(id), Some(Status::Active { since: START }));
		assert_eq!(crate::Head::<Test>::get(), head, "enforcers hear nothing");
		assert!(votes(id).is_empty());
		let Dispute::Open { by, until, before } = dispute(id) else { panic!("{:?}", dispute(id)) };
		assert_eq!((by, until, before.len()), (RESEARCHER, START + HOUR, 3));
		assert_eq!(Indicators::pending(&2, None, 9).0.len(), 1, "it awaits votes, of those who voted too");
		assert_eq!(Indicators::awaiting(&2, vec![id]).len(), 1);
		assert_eq!(deeds(RESEARCHER, Deed::Disputed), 1);
	});
}

#[test]
fn an_isps_dispute_is_its_rejection() {
	on_chain(|| {
		let id = active();
		assert_ok!(Indicators::dispute(origin(reporting(4)), id));
		assert_eq!(votes(id), vec![(4, Vote::Reject)]);
		System::assert_last_event(Event::Voted { id, isp: 4, vote: Vote::Reject }.into());
		assert_noop!(vote(4, id, Vote::Reject), E::AlreadyVoted);
	});
}

#[test]
fn not_everybody_disputes_and_not_everything() {
	on_chain(|| {
		let id = active();
		assert_noop!(Indicators::dispute(origin(201), id), E::ReportToYourIsp);
		assert_noop!(Indicators::dispute(origin(77), id), E::NotMember);
		assert_noop!(Indicators::dispute(origin(vetting(4)), id), E::NotMember);
		assert_noop!(Indicators::dispute(origin(1), id), E::OwnReport);
		assert_noop!(Indicators::dispute(origin(4), [9; 32]), E::NotFound);

		assert_ok!(Indicators::report(origin(1), indicator("198.18.0.2"), terms()));
		assert_noop!(Indicators::dispute(origin(4), indicator("198.18.0.2").id()), E::NotActive);
		trust(&[1]);
		assert_ok!(Indicators::report_provisionally(origin(1), indicator("198.18.0.3"), terms()));
		assert_noop!(Indicators::dispute(origin(4), indicator("198.18.0.3").id()), E::NotActive);
	});
}

#[test]
fn a_majority_of_rejections_revokes_and_those_who_approved_answer_for_it() {
	on_chain(|| {
		let id = active();
		assert_ok!(Indicators::dispute(origin(4), id));
		assert_ok!(vote(2, id, Vote::Reject));
		assert!(status(id).is_some());
		assert_ok!(vote(3, id, Vote::Reject));
		assert_eq!(status(id), None);
		assert_eq!(newest(), ChangeKind::Revoked(indicator("198.18.0.1")));
		System::assert_has_event(Event::DisputeSettled { id, revoked: true }.into());
		assert_eq!(deeds(1, Deed::FalsePositive), 1);
		for (isp, misjudged, judged) in [(1, 0, 0), (2, 1, 0), (3, 1, 0), (4, 0, 1)] {
			assert_eq!((deeds(isp, Deed::Misjudged), deeds(isp, Deed::Judged)), (misjudged, judged), "ISP {isp}");
		}
		assert_eq!(deeds(4, Deed::DisputeLost), 0);
	});
}

#[test]
fn a_quorum_of_approvals_ends_it_and_the_disputer_has_lost() {
	on_chain(|| {
		let id = active();
		assert_ok!(Indicators::dispute(origin(4), id));
		for isp in 1..=3 {
			assert_ok!(vote(isp, id, Vote::Approve));
		}
		System::assert_has_event(Event::DisputeSettled { id, revoked: false }.into());
		assert_eq!(dispute(id), Dispute::Settled);
		assert_eq!(deeds(4, Deed::DisputeLost), 1);
		assert!(Indicators::pending(&4, None, 9).0.is_empty());
		assert_noop!(Indicators::dispute(origin(RESEARCHER), id), E::AlreadyDisputed);
		live(23 * HOUR);
		assert!(status(id).is_some(), "it lives out its time");
		live(HOUR + 20_000);
		assert_eq!(newest(), ChangeKind::Expired(indicator("198.18.0.1")));
	});
}

#[test]
fn there_is_one_dispute_at_a_time() {
	on_chain(|| {
		let id = active();
		assert_ok!(Indicators::dispute(origin(4), id));
		assert_noop!(Indicators::dispute(origin(RESEARCHER), id), E::AlreadyDisputed);
	});
}

#[test]
fn an_indicator_that_comes_back_may_be_disputed_again() {
	on_chain(|| {
		let id = active();
		assert_ok!(Indicators::dispute(origin(4), id));
		assert_ok!(vote(2, id, Vote::Reject));
		assert_ok!(vote(3, id, Vote::Reject));
		assert_eq!(active(), id);
		assert_ok!(Indicators::dispute(origin(4), id));
	});
}

#[test]
fn a_dispute_that_nobody_answers_changes_nothing_and_costs_nobody() {
	on_chain(|| {
		let id = active();
		assert_ok!(Indicators::dispute(origin(4), id));
		live(HOUR);
		assert!(Records::<Test>::get(id).unwrap().is_disputed());
		pass(10_000);
		assert_eq!(dispute(id), Dispute::Settled);
		System::assert_has_event(Event::DisputeSettled { id, revoked: false }.into());
		assert_eq!(votes(id), vec![(4, Vote::Reject), (1, Vote::Approve), (2, Vote::Approve), (3, Vote::Approve)]);
		assert_eq!((deeds(4, Deed::DisputeLost), deeds(1, Deed::FalsePositive)), (0, 0));
	});
}

#[test]
fn once_time_is_up_more_rejections_than_all_approvals_revoke() {
	on_chain(|| {
		let id = active();
		assert_ok!(Indicators::dispute(origin(4), id));
		Isps::set(&vec![1, 4, 5, 6]);
		assert_ok!(vote(5, id, Vote::Reject));
		live(HOUR);
		assert!(status(id).is_some());
		pass(10_000);
		assert_eq!(status(id), None, "4 and 5 against 1, which keeps silent; 2 and 3 left");
		assert_eq!(newest(), ChangeKind::Revoked(indicator("198.18.0.1")));
		System::assert_has_event(Event::DisputeSettled { id, revoked: true }.into());
		assert_eq!(deeds(1, Deed::FalsePositive), 1);
		for (isp, misjudged, judged) in [(1, 0, 0), (2, 1, 0), (3, 1, 0), (4, 0, 1), (5, 0, 1), (6, 0, 0)] {
			assert_eq!((deeds(isp, Deed::Misjudged), deeds(isp, Deed::Judged)), (misjudged, judged), "ISP {isp}");
		}
	});
}

#[test]
fn who_approved_before_and_rejects_now_counts_once_and_against() {
	on_chain(|| {
		let id = active();
		assert_ok!(Indicators::dispute(origin(3), id));
		Isps::set(&vec![1, 3, 4, 5]);
		assert_ok!(vote(4, id, Vote::Reject));
		live(HOUR + 10_000);
		assert_eq!(status(id), None, "3 and 4 against 1, which keeps silent");
	});
}

#[test]
fn a_rejection_from_before_has_to_be_repeated() {
	on_chain(|| {
		let id = active();
		assert_ok!(vote(4, id, Vote::Reject));
		assert_ok!(Indicators::dispute(origin(RESEARCHER), id));
		Isps::set(&vec![4, 5]);
		live(HOUR + 10_000);
		assert_eq!(dispute(id), Dispute::Settled);
		assert!(votes(id).is_empty());
	});
}

#[test]
fn once_time_is_up_a_tie_changes_nothing_and_costs_nobody() {
	on_chain(|| {
		let id = active();
		assert_ok!(Indicators::dispute(origin(4), id));
		Isps::set(&vec![2, 4, 5]);
		assert_ok!(vote(2, id, Vote::Approve));
		live(HOUR + 10_000);
		assert_eq!(dispute(id), Dispute::Settled);
		System::assert_has_event(Event::DisputeSettled { id, revoked: false }.into());
		assert_eq!((deeds(4, Deed::DisputeLost), deeds(1, Deed::FalsePositive)), (0, 0));
		assert_noop!(Indicators::dispute(origin(RESEARCHER), id), E::AlreadyDisputed);
	});
}

#[test]
fn once_time_is_up_more_new_approvals_than_rejections_cost_the_disputer() {
	on_chain(|| {
		let id = active();
		assert_ok!(Indicators::dispute(origin(RESEARCHER), id));
		assert_ok!(vote(2, id, Vote::Approve));
		live(HOUR + 10_000);
		assert_eq!(dispute(id), Dispute::Settled);
		assert_eq!(deeds(RESEARCHER, Deed::DisputeLost), 1);
	});
}

#[test]
fn approvals_of_those_who_kept_silent_stand_again() {
	on_chain(|| {
		let id = active();
		assert_ok!(vote(4, id, Vote::Reject));
		assert_ok!(Indicators::dispute(origin(RESEARCHER), id));
		assert_ok!(vote(3, id, Vote::Sighting));
		Isps::set(&vec![1, 3, 4, 5]);
		live(HOUR + 10_000);
		assert_eq!(votes(id), vec![(3, Vote::Sighting), (1, Vote::Approve)], "2 left; 4 has to reject again");
	});
}

#[test]
fn the_indicators_own_end_comes_to_no_verdict() {
	on_chain(|| {
		let id = activate("198.18.0.1");
		live(HOUR / 2);
		assert_ok!(Indicators::dispute(origin(4), id));
		let Dispute::Open { until, .. } = dispute(id) else { panic!("{:?}", dispute(id)) };
		assert_eq!(until, START + HOUR);
		// Two against one that keeps silent.
		Isps::set(&vec![1, 4, 5, 6]);
		assert_ok!(vote(5, id, Vote::Reject));
		let ledger = Ledger::get();
		live(HOUR / 2);
		System::reset_events();
		pass(10_000);
		assert_eq!(status(id), None);
		assert_eq!(newest(), ChangeKind::Expired(indicator("198.18.0.1")));
		let settled = |record: &frame_system::EventRecord<RuntimeEvent, _>| {
			matches!(record.event, RuntimeEvent::Indicators(Event::DisputeSettled { .. }))
		};
		assert!(!System::events().iter().any(settled));
		assert_eq!(Ledger::get(), ledger);
		assert!(Indicators::pending(&1, None, 9).0.is_empty());
	});
}

#[test]
fn approvals_in_the_last_minutes_of_a_life_cost_the_disputer_only_as_a_quorum() {
	on_chain(|| {
		let (one, two) = (activate("198.18.0.1"), activate("198.18.0.2"));
		live(HOUR / 2);
		for id in [one, two] {
			assert_ok!(Indicators::dispute(origin(RESEARCHER), id));
			assert_ok!(vote(1, id, Vote::Approve));
			assert_ok!(vote(2, id, Vote::Approve));
		}
		assert_ok!(vote(3, two, Vote::Approve));
		assert_eq!(dispute(two), Dispute::Settled);
		live(HOUR / 2 + 20_000);
		assert_eq!((status(one), status(two)), (None, None));
		assert_eq!(deeds(RESEARCHER, Deed::DisputeLost), 1);
	});
}

#[test]
fn a_majority_revokes_in_the_last_minutes_of_a_life_too() {
	on_chain(|| {
		let id = activate("198.18.0.1");
		live(HOUR / 2);
		assert_ok!(Indicators::dispute(origin(4), id));
		assert_ok!(vote(2, id, Vote::Reject));
		assert_ok!(vote(3, id, Vote::Reject));
		assert_eq!(newest(), ChangeKind::Revoked(indicator("198.18.0.1")));
	});
}

#[test]
fn a_disputed_indicator_is_not_extended_before_it_is_settled() {
	on_chain(|| {
		let id = active();
		let bad = indicator("198.18.0.1");
		live(4 * HOUR);
		assert_ok!(Indicators::dispute(origin(RESEARCHER), id));
		assert_noop!(Indicators::report(origin(2), bad.clone(), lasting(86_400)), E::UnderDispute);
		live(HOUR + 10_000);
		assert_ok!(Indicators::report(origin(2), bad, lasting(86_400)));
	});
}

#[test]
fn who_gives_in_loses_less_than_who_is_voted_down() {
	on_chain(|| {
		let id = active();
		assert_ok!(Indicators::dispute(origin(4), id));
		assert_ok!(Indicators::withdraw(origin(1), id));
		assert_eq!(newest(), ChangeKind::Revoked(indicator("198.18.0.1")));
		assert!(Indicators::pending(&2, None, 9).0.is_empty());
		assert_eq!((deeds(1, Deed::Rejected), deeds(1, Deed::FalsePositive)), (1, 0));
	});
}

#[test]
fn votes_of_isps_that_left_count_no_more() {
	on_chain(|| {
		let id = active();
		assert_ok!(Indicators::dispute(origin(4), id));
		Isps::set(&vec![5, 6]);
		live(HOUR + 10_000);
		assert_eq!(dispute(id), Dispute::Settled, "neither the rejection of 4 nor the approvals of 1, 2 and 3");
		assert!(votes(id).is_empty());
	});
}

#[test]
fn what_became_protected_is_not_approved_again() {
	on_chain(|| {
		let id = active();
		assert_ok!(Indicators::protect(origin(1), "198.18.0.0/24".parse().unwrap()));
		assert_ok!(Indicators::dispute(origin(4), id));
		assert_noop!(vote(2, id, Vote::Approve), E::OverlapsProtected);
		assert_ok!(vote(2, id, Vote::Reject));
	});
}

#[test]
fn where_one_isp_is_a_majority_its_dispute_revokes() {
	on_chain(|| {
		let bad = indicator("198.18.0.1");
		Isps::set(&vec![2]);
		assert_ok!(Indicators::report(origin(RESEARCHER), bad.clone(), terms()));
		assert_ok!(vote(2, bad.id(), Vote::Approve));
		assert_ok!(Indicators::dispute(origin(2), bad.id()));
		assert_eq!(status(bad.id()), None);
		assert_eq!(newest(), ChangeKind::Revoked(bad));
	});
}

#[test]
fn those_who_ask_are_told() {
	on_chain(|| {
		let id = active();
		assert_ok!(Indicators::dispute(origin(4), id));
		let record = Records::<Test>::get(id).unwrap();
		assert!(Indicators::proposal((id, record.clone())).disputed);
		assert_eq!(
			Indicators::dossier((id, record)).standing,
			Standing::Disputed { since: START, by: Register::bytes(&4), until: START + HOUR }
		);
	});
}
