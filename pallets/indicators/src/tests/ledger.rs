//! What the ledger is told.

use crate::{mock::*, Deed};
use frame_support::assert_ok;
use ringfence_primitives::*;

/// All that the ledger was told of a member.
fn account(member: u64) -> Vec<(Deed, u32)> {
	Ledger::get().into_iter().filter(|((who, _), _)| *who == member).map(|((_, deed), times)| (deed, times)).collect()
}

fn propose(who: u64) -> IndicatorId {
	assert_ok!(Indicators::report(origin(who), indicator("198.18.0.1"), terms()));
	indicator("198.18.0.1").id()
}

#[test]
fn a_confirmed_report_does_its_reporter_credit_and_those_who_rejected_none() {
	on_chain(|| {
		let id = propose(1);
		assert_ok!(vote(4, id, Vote::Reject));
		assert_ok!(vote(2, id, Vote::Approve));
		assert_ok!(vote(3, id, Vote::Sighting));
		assert_eq!(account(1), [(Deed::Reported, 1), (Deed::Confirmed, 1)]);
		assert_eq!(account(2), [(Deed::Voted, 1)]);
		assert_eq!(account(3), [(Deed::Sighted, 1)]);
		assert_eq!(account(4), [(Deed::Voted, 1), (Deed::Misjudged, 1)]);
	});
}

#[test]
fn a_rejected_report_falls_back_on_its_reporter_and_on_those_who_approved() {
	on_chain(|| {
		let id = propose(1);
		assert_ok!(vote(2, id, Vote::Approve));
		assert_ok!(vote(3, id, Vote::Reject));
		assert_ok!(vote(4, id, Vote::Reject));
		assert_eq!(account(1), [(Deed::Reported, 1), (Deed::Rejected, 1)]);
		assert_eq!(account(2), [(Deed::Voted, 1), (Deed::Misjudged, 1)]);
		assert_eq!(account(3), [(Deed::Voted, 1), (Deed::Judged, 1)]);
		assert_eq!(account(4), [(Deed::Voted, 1), (Deed::Judged, 1)]);
	});
}

#[test]
fn a_revocation_is_a_false_positive() {
	on_chain(|| {
		Isps::set(&(1..=5).collect::<Vec<u64>>());
		let id = propose(RESEARCHER);
		for isp in [1, 2, 3] {
			assert_ok!(vote(isp, id, Vote::Approve));
		}
		for isp in [3, 4, 5] {
			assert_ok!(vote(isp, id, Vote::Reject));
		}
		assert_eq!(account(RESEARCHER), [(Deed::Reported, 1), (Deed::Confirmed, 1), (Deed::FalsePositive, 1)]);
		for isp in [1, 2] {
			assert_eq!(account(isp), [(Deed::Voted, 1), (Deed::Misjudged, 1)]);
		}
		assert_eq!(account(3), [(Deed::Voted, 2), (Deed::Judged, 1)], "it corrected itself in time");
		assert_eq!(account(4), [(Deed::Voted, 1), (Deed::Judged, 1)]);
	});
}

#[test]
fn the_reporter_answers_for_its_report_and_not_for_its_vote() {
	on_chain(|| {
		let id = propose(1);
		assert_ok!(vote(1, id, Vote::Reject));
		assert_ok!(vote(2, id, Vote::Reject));
		assert_eq!(account(1), [(Deed::Reported, 1), (Deed::Rejected, 1), (Deed::Voted, 1)]);
	});
}

#[test]
fn a_lapse_is_told_and_so_is_every_repeated_report() {
	on_chain(|| {
		propose(1);
		live(HOUR + 10_000);
		assert_eq!(account(1), [(Deed::Reported, 1), (Deed::Lapsed, 1)]);

		activate("198.18.0.2");
		live(HOUR / 2);
		assert_ok!(Indicators::report(origin(4), indicator("198.18.0.2"), terms()));
		assert_eq!(account(4), [(Deed::Reported, 1)]);
		propose(2);
		assert_ok!(Indicators::report(origin(4), indicator("198.18.0.1"), terms()));
		assert_eq!(account(4), [(Deed::Reported, 2), (Deed::Sighted, 1)]);
	});
}

#[test]
fn taking_an_undisputed_indicator_back_costs_nothing() {
	on_chain(|| {
		let id = activate("198.18.0.1");
		assert_ok!(Indicators::withdraw(origin(1), id));
		assert_eq!(account(1), [(Deed::Reported, 1), (Deed::Confirmed, 1)]);
	});
}
