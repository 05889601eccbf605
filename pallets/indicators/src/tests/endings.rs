//! Lapse and expiry.

use crate::{mock::*, Endings, Event, ProposedCount, Records};
use frame_support::assert_ok;
use ringfence_primitives::ChangeKind;

#[test]
fn a_proposal_that_nobody_carries_lapses() {
	on_chain(|| {
		let bad = indicator("198.18.0.1");
		assert_ok!(Indicators::report(origin(1), bad.clone(), terms()));
		live(HOUR);
		assert!(Records::<Test>::contains_key(bad.id()), "not before its time is over");
		pass(10_000);
		System::assert_last_event(Event::Lapsed { id: bad.id() }.into());
		assert!(!Records::<Test>::contains_key(bad.id()));
	});
}

#[test]
fn an_active_indicator_expires() {
	on_chain(|| {
		let id = activate("198.18.0.1");
		live(HOUR + 10_000);
		assert_eq!(newest(), ChangeKind::Expired(indicator("198.18.0.1")));
		let seq = crate::Head::<Test>::get().seq;
		System::assert_last_event(Event::Expired { id, seq }.into());
	});
}

#[test]
fn a_block_ends_no_more_than_its_bound_and_the_next_goes_on() {
	on_chain(|| {
		for host in 0..8 {
			activate(&format!("198.18.0.{host}"));
		}
		live(HOUR);
		for left in [5, 2, 0, 0] {
			pass(10_000);
			assert_eq!(Records::<Test>::count(), left);
			assert_eq!(Endings::<Test>::iter().count() as u32, left);
		}
	});
}

#[test]
fn a_chain_that_stood_still_catches_up() {
	on_chain(|| {
		activate("198.18.0.1");
		pass(24 * HOUR);
		let mut blocks = 1;
		while Records::<Test>::count() > 0 {
			pass(500);
			blocks += 1;
			assert!(blocks < 200, "a day is caught up within two minutes");
		}
	});
}

#[test]
fn more_disputes_than_a_block_may_settle_are_settled_by_the_next() {
	on_chain(|| {
		let ids: Vec<_> = (0..3).map(|host| activate(&format!("198.18.0.{host}"))).collect();
		set(|parameters| parameters.voting_period = 10 * MINUTE);
		for id in &ids {
			assert_ok!(Indicators::dispute(origin(4), *id));
		}
		live(10 * MINUTE);
		for left in [2, 1, 0, 0] {
			pass(10_000);
			assert_eq!(ProposedCount::<Test>::get(), left, "a dispute takes the room of several endings");
		}
	});
}
