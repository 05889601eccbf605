//! What an ISP tells all of its subscribers.

use crate::{mock::*, Error, Event};
use frame_support::{assert_noop, assert_ok, BoundedVec};

type E = Error<Test>;

#[test]
fn an_announcement_enters_the_change_log() {
	on_chain(|| {
		assert_ok!(Envelopes::announce(origin(1), sealed(1)));
		System::assert_last_event(Event::Announced { isp: 1, seq: 1 }.into());
		assert_ok!(Envelopes::announce(origin(2_002), sealed(2)));
		System::assert_last_event(Event::Announced { isp: 2, seq: 2 }.into());
		assert_eq!(Heard::get(), [(1, sealed(1)), (2, sealed(2))]);
	});
}

#[test]
fn only_who_vets_for_an_active_isp_announces() {
	on_chain(|| {
		for who in [11, 1_001, 2_011, RESEARCHER, 77] {
			assert_noop!(Envelopes::announce(origin(who), sealed(1)), E::NotIsp);
		}
		Gone::set(&vec![1]);
		assert_noop!(Envelopes::announce(origin(1), sealed(1)), E::NotIsp);
	});
}

#[test]
fn it_has_one_size() {
	on_chain(|| {
		for len in [0, 511] {
			assert_noop!(Envelopes::announce(origin(1), BoundedVec::truncate_from(vec![1; len])), E::BadSize);
		}
	});
}

#[test]
fn an_isp_announces_so_much_an_hour_and_uses_up_nobody_elses() {
	on_chain(|| {
		for seed in 0..2 {
			assert_ok!(Envelopes::announce(origin(1), sealed(seed)));
		}
		assert_noop!(Envelopes::announce(origin(1), sealed(2)), E::TooManyAnnounced);
		assert_noop!(Envelopes::announce(origin(2_001), sealed(2)), E::TooManyAnnounced);
		assert_ok!(Envelopes::announce(origin(2), sealed(2)));
		pass(HOUR);
		assert_ok!(Envelopes::announce(origin(1), sealed(2)));
	});
}
