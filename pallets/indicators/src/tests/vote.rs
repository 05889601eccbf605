//! Quorum, veto, change of mind, revocation.

use crate::{mock::*, Error, Event, Records, Status};
use frame_support::{assert_noop, assert_ok};
use ringfence_primitives::*;

type E = Error<Test>;

fn propose(who: u64, text: &str) -> IndicatorId {
	assert_ok!(Indicators::report(origin(who), indicator(text), terms()));
	indicator(text).id()
}

#[test]
fn more_than_half_of_the_isps_activate() {
	on_chain(|| {
		let id = propose(1, "198.18.0.1");
		assert_ok!(vote(2, id, Vote::Approve));
		assert_eq!(status(id), Some(Status::Proposed), "two of four are not more than half");
		assert_ok!(vote(3, id, Vote::Sighting));
		assert_eq!(status(id), Some(Status::Active { since: START }));
		let ChangeKind::Activated(decision) = newest() else { panic!("{:?}", newest()) };
		assert_eq!(decision.indicator, indicator("198.18.0.1"));
		assert_eq!(decision.expires_at, START + HOUR);
		let seq = crate::Head::<Test>::get().seq;
		System::assert_has_event(Event::Activated { id, seq }.into());
		System::assert_last_event(Event::Changed { seq }.into());
	});
}

#[test]
fn wherever_there_are_two_isps_the_reporters_own_cannot_promote_alone() {
	on_chain(|| {
		Isps::set(&vec![1, 2]);
		let id = propose(1, "198.18.0.1");
		assert_eq!(status(id), Some(Status::Proposed));
		assert_ok!(vote(2, id, Vote::Approve));
		assert!(matches!(status(id), Some(Status::Active { .. })));
	});
}

#[test]
fn wide_networks_need_two_thirds() {
	on_chain(|| {
		Isps::set(&(1..=9).collect::<Vec<u64>>());
		let (narrow, wide) = (propose(1, "198.18.1.0/24"), propose(1, "198.18.2.0/23"));
		for isp in 2..=5 {
			assert_ok!(vote(isp, narrow, Vote::Approve));
			assert_ok!(vote(isp, wide, Vote::Approve));
		}
		assert!(matches!(status(narrow), Some(Status::Active { .. })), "five of nine");
		assert_eq!(status(wide), Some(Status::Proposed));
		assert_ok!(vote(6, wide, Vote::Approve));
		assert!(matches!(status(wide), Some(Status::Active { .. })), "six of nine");
	});
}

#[test]
fn one_third_of_rejections_stops_a_proposal_for_its_time() {
	on_chain(|| {
		let id = propose(1, "198.18.0.1");
		assert_ok!(vote(2, id, Vote::Reject));
		assert_eq!(status(id), Some(Status::Proposed), "one of four is less than a third");
		assert_ok!(vote(3, id, Vote::Reject));
		System::assert_last_event(Event::Rejected { id }.into());
		assert_eq!(status(id), Some(Status::Rejected));
		assert_noop!(vote(4, id, Vote::Approve), E::AlreadyRejected);
		assert_noop!(Indicators::report(origin(1), indicator("198.18.0.1"), terms()), E::AlreadyRejected);
		assert_noop!(Indicators::withdraw(origin(1), id), E::AlreadyRejected);
		live(HOUR + 20_000);
		assert_eq!(status(id), None);
		propose(1, "198.18.0.1");
	});
}

#[test]
fn only_active_isps_vote_and_only_once_the_same() {
	on_chain(|| {
		let id = propose(1, "198.18.0.1");
		for who in [77, 201, RESEARCHER, reporting(2)] {
			assert_noop!(vote(who, id, Vote::Approve), E::NotIsp);
		}
		assert_noop!(vote(1, id, Vote::Approve), E::AlreadyVoted);
		assert_ok!(vote(2, id, Vote::Reject));
		assert_noop!(vote(2, id, Vote::Reject), E::AlreadyVoted);
		assert_noop!(vote(2, [9; 32], Vote::Approve), E::NotFound);
	});
}

#[test]
fn votes_do_not_follow_a_report_that_comes_back_with_other_terms() {
	on_chain(|| {
		let id = propose(1, "198.18.0.1");
		let seen = terms().hash();
		assert_ok!(Indicators::withdraw(origin(1), id));
		assert_ok!(Indicators::report(origin(1), indicator("198.18.0.1"), lasting(2_592_000)));
		assert_noop!(Indicators::vote(origin(2), id, seen, Vote::Approve, None), E::OtherTerms);
		assert_ok!(Indicators::vote(origin(2), id, lasting(2_592_000).hash(), Vote::Approve, None));
	});
}

#[test]
fn a_delegate_that_may_vet_votes_in_its_isps_name() {
	on_chain(|| {
		let id = propose(1, "198.18.0.1");
		assert_ok!(vote(vetting(2), id, Vote::Approve));
		System::assert_last_event(Event::Voted { id, isp: 2, vote: Vote::Approve }.into());
		assert_noop!(vote(2, id, Vote::Approve), E::AlreadyVoted);
	});
}

#[test]
fn an_isp_may_change_its_mind() {
	on_chain(|| {
		let id = propose(1, "198.18.0.1");
		assert_ok!(vote(2, id, Vote::Reject));
		assert_ok!(vote(2, id, Vote::Approve));
		assert_ok!(vote(3, id, Vote::Approve));
		assert!(matches!(status(id), Some(Status::Active { .. })));
		assert_eq!(Records::<Test>::get(id).unwrap().votes.len(), 3);
	});
}

#[test]
fn votes_of_isps_that_left_count_no_more() {
	on_chain(|| {
		let id = propose(1, "198.18.0.1");
		assert_ok!(vote(2, id, Vote::Approve));
		Isps::set(&vec![1, 3, 4]);
		assert_ok!(vote(3, id, Vote::Approve));
		assert!(matches!(status(id), Some(Status::Active { .. })), "two of three");

		let other = propose(1, "198.18.0.2");
		Isps::set(&vec![2, 3, 4]);
		assert_ok!(vote(2, other, Vote::Approve));
		assert_eq!(status(other), Some(Status::Proposed), "the reporter left: one of three");
	});
}

#[test]
fn a_majority_of_rejections_revokes_what_is_active() {
	on_chain(|| {
		let id = activate("198.18.0.1");
		assert_ok!(vote(2, id, Vote::Reject));
		assert_ok!(vote(4, id, Vote::Reject));
		assert!(matches!(status(id), Some(Status::Active { .. })));
		assert_ok!(vote(3, id, Vote::Reject));
		assert_eq!(status(id), None);
		assert_eq!(newest(), ChangeKind::Revoked(indicator("198.18.0.1")));
	});
}

#[test]
fn what_awaits_a_vote_is_listed_page_by_page() {
	on_chain(|| {
		let ids: Vec<IndicatorId> = (1..=5).map(|host| propose(RESEARCHER, &format!("198.18.0.{host}"))).collect();
		live(20_000);
		let later = propose(RESEARCHER, "198.18.1.1");
		assert_ok!(vote(3, ids[2], Vote::Approve));
		let names = |isp| {
			let (mut after, mut names, mut pages) = (None, Vec::new(), 0);
			loop {
				// So few that each page is one answer.
				let (found, next) = Indicators::pending(&isp, after, 1);
				names.extend(found.into_iter().map(|(id, _)| id));
				pages += 1;
				match next {
					Some(_) => after = next,
					None => break,
				}
			}
			names.sort();
			(names, pages)
		};
		let all = |which: &[IndicatorId]| {
			let mut all = [which, &[later]].concat();
			all.sort();
			all
		};
		assert_eq!(names(2), (all(&ids), 3), "two pages, and the end");
		assert_eq!(names(3).0, all(&[&ids[..2], &ids[3..]].concat()));
		let (found, next) = Indicators::pending(&2, None, 99);
		assert_eq!((found.len(), next), (6, None));

		let awaiting = Indicators::awaiting(&3, vec![ids[1], ids[2], [9; 32]]);
		assert_eq!(awaiting.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), [ids[1]]);
	});
}
