//! What members contributed, and how far they are trusted for it.

use crate::{mock::*, Deed, Entry, Ledger, Role};
use frame_support::assert_ok;
use ringfence_primitives::Contribution;
use Deed::*;

fn note(member: u64, deed: Deed, times: usize) {
	for _ in 0..times {
		Tiers::note(&member, deed);
	}
}

#[test]
fn every_deed_is_counted() {
	on_chain(|| {
		let deeds = [
			(Reported, 9),
			(Confirmed, 8),
			(Rejected, 7),
			(Lapsed, 6),
			(LapsedProvisional, 5),
			(FalsePositive, 4),
			(Voted, 3),
			(Sighted, 2),
			(Misjudged, 1),
			(Judged, 9),
			(Disputed, 8),
			(DisputeLost, 7),
		];
		for (deed, times) in deeds {
			note(2, deed, times);
		}
		let Entry { contribution, score } = Ledger::<Test>::get(2);
		assert_eq!(
			contribution,
			Contribution {
				reports: 9,
				confirmed: 8,
				rejected: 7,
				lapsed: 11,
				false_positives: 4,
				votes: 5,
				sightings: 2,
				misjudged: 1,
				disputes: 8,
				disputes_lost: 7,
			}
		);
		assert_eq!(score.good, 8 * 100 + 9 * 25);
		assert_eq!(score.bad, 7 * 100 + 5 * 100 + 4 * 400 + 50 + 7 * 50);
		assert_eq!(Ledger::<Test>::get(3), Entry::default(), "nobody else's");
	});
}

#[test]
fn counters_stay_at_their_greatest() {
	on_chain(|| {
		Ledger::<Test>::mutate(2, |entry| {
			entry.contribution.confirmed = u32::MAX;
			entry.score.good = u32::MAX;
		});
		note(2, Confirmed, 2);
		let entry = Ledger::<Test>::get(2);
		assert_eq!((entry.contribution.confirmed, entry.score.good), (u32::MAX, u32::MAX));
		assert_eq!(Tiers::trust(&2), 999);
	});
}

#[test]
fn a_newcomer_is_trusted_with_its_whole_quota() {
	on_chain(|| {
		for member in [2, 20, 90, 77] {
			assert_eq!(Tiers::trust(&member), 800);
		}
		assert_eq!(Tiers::quota(&2, &Role::Isp), 600);
	});
}

#[test]
fn trust_follows_what_turned_out_right_or_wrong() {
	on_chain(|| {
		note(2, Confirmed, 10);
		assert_eq!(Tiers::trust(&2), 933);
		note(3, Rejected, 10);
		assert_eq!(Tiers::trust(&3), 266);
		note(90, Reported, 1_000);
		note(90, Voted, 1_000);
		note(90, Lapsed, 1_000);
		assert_eq!(Tiers::trust(&90), 800, "counting alone is no merit");
	});
}

#[test]
fn quotas_follow_trust() {
	on_chain(|| {
		note(2, FalsePositive, 1);
		assert_eq!(Tiers::trust(&2), 444);
		assert_eq!(Tiers::quota(&2, &Role::Isp), 323);
		note(2, FalsePositive, 10);
		assert_eq!(Tiers::quota(&2, &Role::Isp), 60, "a tenth is left to everybody");
		note(2, Confirmed, 200);
		assert_eq!(Tiers::quota(&2, &Role::Isp), 600);
	});
}

#[test]
fn good_standing_takes_ten_confirmed_reports_and_is_lost_with_one_false_positive() {
	on_chain(|| {
		assert!(!Tiers::in_good_standing(&2));
		note(2, Confirmed, 9);
		assert!(!Tiers::in_good_standing(&2));
		note(2, Confirmed, 1);
		assert!(Tiers::in_good_standing(&2));
		assert_ok!(Tiers::suspend(origin(LEADER), 2));
		assert!(!Tiers::in_good_standing(&2));
		assert_ok!(Tiers::reinstate(origin(LEADER), 2));
		assert!(Tiers::in_good_standing(&2));
		note(2, FalsePositive, 1);
		assert!(!Tiers::in_good_standing(&2));
	});
}

#[test]
fn what_is_long_past_weighs_little() {
	on_chain(|| {
		note(2, FalsePositive, 1);
		for (block, trust) in [(1, 444), (500, 500), (1_000, 571), (2_000, 666), (64_000, 800)] {
			System::set_block_number(block);
			assert_eq!(Tiers::trust(&2), trust, "block {block}");
		}
	});
}

#[test]
fn decay_does_not_depend_on_how_often_a_score_is_written() {
	on_chain(|| {
		for member in [2, 3] {
			note(member, FalsePositive, 1);
		}
		for block in 2..2_500 {
			System::set_block_number(block);
			note(2, Judged, 1);
		}
		note(3, Judged, 1);
		let (often, once) = (Ledger::<Test>::get(2).score, Ledger::<Test>::get(3).score);
		assert_eq!((often.bad, often.at), (once.bad, once.at));
		assert_eq!((often.bad, often.at), (100, 2_000));
	});
}

#[test]
fn a_deed_weighs_the_same_whenever_it_is_done() {
	on_chain(|| {
		for block in [1, 250, 500, 999, 1_000, 123_456] {
			System::set_block_number(block);
			Ledger::<Test>::remove(2);
			note(2, Confirmed, 10);
			let trust = Tiers::trust(&2);
			assert!((932..=933).contains(&trust), "trust {trust} at block {block}");
		}
	});
}

#[test]
fn a_ledger_outlives_the_membership() {
	on_chain(|| {
		note(2, FalsePositive, 2);
		let trust = Tiers::trust(&2);
		assert_ok!(Tiers::remove(origin(LEADER), 2));
		assert_ok!(Tiers::admit(origin(LEADER), 2, Role::Isp));
		assert_eq!(Tiers::trust(&2), trust, "nobody sheds its past by leaving");
	});
}
