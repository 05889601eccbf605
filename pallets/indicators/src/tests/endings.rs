//! Lapse and expiry.

use crate::{endings::STRETCH, mock::*, Decided, Event, Pages, ProposedCount, RecordCount, Records};
use frame_support::assert_ok;
use ringfence_primitives::*;

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
		System::assert_has_event(Event::Expired { id, seq }.into());
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
			assert_eq!(RecordCount::<Test>::get(), left);
			assert_eq!(Decided::<Test>::iter().map(|(_, _, page)| page.len() as u32).sum::<u32>(), left);
		}
	});
}

#[test]
fn a_list_is_filed_in_pages_and_leaves_none_behind() {
	on_chain(|| {
		MaxRecords::set(&1_000);
		set(|parameters| parameters.open_cap = 1_000);
		let list: Vec<_> =
			(0..300u32).map(|host| Indicator::Host(Address::V4((0xc612_0000 + host).to_be_bytes()))).collect();
		assert_ok!(Indicators::report_batch(origin(1), terms(), list.clone().try_into().unwrap()));
		let counts = |file: &dyn Fn(crate::PageCounts) -> u32| Pages::<Test>::iter().map(|(_, c)| file(c)).sum::<u32>();
		assert_eq!((counts(&|c| c.awaiting), counts(&|c| c.decided)), (3, 0));
		assert_ok!(Indicators::withdraw(origin(1), list[5].id()));
		for isp in [2, 3] {
			let ballots: Vec<_> =
				list.iter().map(|i| Ballot { id: i.id(), terms: terms().hash(), vote: Vote::Approve }).collect();
			assert_ok!(Indicators::vote_batch(origin(isp), ballots.try_into().unwrap(), None));
		}
		assert_eq!(crate::Awaiting::<Test>::iter().count(), 0);
		assert_eq!(
			(counts(&|c| c.awaiting), counts(&|c| c.decided)),
			(3, 3),
			"empty pages are counted until the stretch is over"
		);
		live(2 * HOUR);
		assert_eq!(RecordCount::<Test>::get(), 0);
		assert_eq!((Decided::<Test>::iter().count(), Pages::<Test>::iter().count()), (0, 0));
	});
}

#[test]
fn a_chain_that_stood_still_catches_up() {
	on_chain(|| {
		activate("198.18.0.1");
		pass(24 * HOUR);
		let mut blocks = 1;
		while RecordCount::<Test>::get() > 0 {
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

#[test]
fn a_block_skips_only_so_many_empty_pages_and_the_next_goes_on() {
	on_chain(|| {
		let id = activate("198.18.0.1");
		let due = (START + HOUR) / STRETCH;
		// As if long lists had been reported for the same ending, and withdrawn.
		Pages::<Test>::mutate(due, |counts| counts.awaiting = 300);
		live(HOUR);
		pass(STRETCH);
		for left in [172, 44] {
			assert_eq!(Pages::<Test>::get(due).awaiting, left);
			assert!(Records::<Test>::contains_key(id));
			Indicators::do_try_state().unwrap();
			pass(0);
		}
		assert!(!Records::<Test>::contains_key(id));
		assert!(!Pages::<Test>::contains_key(due));
	});
}

#[test]
fn names_on_pages_of_their_own_all_end() {
	on_chain(|| {
		MaxRecords::set(&1_000);
		set(|parameters| parameters.open_cap = 1_000);
		let list: Vec<_> =
			(0..500u32).map(|host| Indicator::Host(Address::V4((0xc612_0000 + host).to_be_bytes()))).collect();
		assert_ok!(Indicators::report_batch(origin(1), terms(), list.clone().try_into().unwrap()));
		for (_, withdrawn) in list.iter().enumerate().filter(|(place, _)| place % 128 != 7) {
			assert_ok!(Indicators::withdraw(origin(1), withdrawn.id()));
		}
		assert_eq!(crate::Awaiting::<Test>::iter().count(), 4);
		live(HOUR);
		for left in [1, 0] {
			pass(STRETCH);
			assert_eq!(RecordCount::<Test>::get(), left);
			Indicators::do_try_state().unwrap();
		}
		assert_eq!(Pages::<Test>::iter().count(), 0);
	});
}

#[test]
fn what_is_disputed_while_its_stretch_is_worked_off_expires_with_the_others() {
	on_chain(|| {
		let ids: Vec<_> = (0..8).map(|host| activate(&format!("198.18.0.{host}"))).collect();
		live(HOUR);
		pass(STRETCH);
		assert_eq!(RecordCount::<Test>::get(), 5);
		let late = ids.iter().find(|id| Records::<Test>::contains_key(id)).unwrap();
		assert_ok!(Indicators::dispute(origin(4), *late));
		for left in [2, 0] {
			Indicators::do_try_state().unwrap();
			pass(0);
			assert_eq!(RecordCount::<Test>::get(), left);
		}
		assert!(!Records::<Test>::contains_key(late));
	});
}
