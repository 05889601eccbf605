//! Letters are forgotten.

use crate::{endings::STRETCH, mock::*, Endings, Letters, NextEndings, Open};
use frame_support::assert_ok;

#[test]
fn a_letter_is_forgotten_and_can_be_sent_again() {
	on_chain(|| {
		assert_ok!(Envelopes::send(origin(11), 1, envelope(1)));
		for _ in 0..LIFETIME / STRETCH {
			pass(STRETCH);
		}
		assert!(Envelopes::record(&1, &named(11, 1, 1)).is_some(), "not before its time is over");
		pass(STRETCH);
		assert_eq!(Envelopes::record(&1, &named(11, 1, 1)), None);
		assert!(!Open::<Test>::contains_key(Envelopes::mailbox(&1)), "an empty mailbox leaves nothing behind");
		assert_eq!(Endings::<Test>::iter().count(), 0);
		assert_ok!(Envelopes::send(origin(11), 1, envelope(1)));
	});
}

#[test]
fn what_is_forgotten_makes_room_in_its_own_mailbox() {
	on_chain(|| {
		for seed in 0..3 {
			assert_ok!(Envelopes::send(origin(11), 1, envelope(seed)));
			assert_ok!(Envelopes::send(origin(21), 2, envelope(seed)));
		}
		pass(LIFETIME - HOUR);
		for seed in 3..5 {
			assert_ok!(Envelopes::send(origin(11), 1, envelope(seed)));
		}
		// The first three are due, and a block skips so many stretches.
		pass(HOUR + STRETCH);
		(0..8).for_each(|_| pass(0));
		assert_eq!(Open::<Test>::get(Envelopes::mailbox(&1)), 2);
		assert_eq!(Open::<Test>::get(Envelopes::mailbox(&2)), 0);
	});
}

#[test]
fn a_block_forgets_no_more_than_its_bound_and_the_next_goes_on() {
	on_chain(|| {
		for seed in 0..3 {
			assert_ok!(Envelopes::send(origin(11), 1, envelope(seed)));
			assert_ok!(Envelopes::send(origin(21), 2, envelope(seed)));
		}
		for _ in 0..LIFETIME / STRETCH {
			pass(STRETCH);
		}
		for left in [4, 2, 0, 0] {
			pass(STRETCH);
			assert_eq!(Letters::<Test>::iter().count(), left);
			assert_eq!(Endings::<Test>::iter().count(), left);
		}
	});
}

#[test]
fn a_chain_that_stood_still_catches_up() {
	on_chain(|| {
		assert_ok!(Envelopes::send(origin(11), 1, envelope(1)));
		pass(24 * HOUR);
		let mut blocks = 1;
		while NextEndings::<Test>::get() < Now::get() / STRETCH {
			pass(500);
			blocks += 1;
			assert!(blocks < 30, "a day is caught up within 15 seconds");
		}
		assert_eq!(Letters::<Test>::iter().count(), 0);
	});
}
