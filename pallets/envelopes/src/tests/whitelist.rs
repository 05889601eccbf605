//! What an owner lets into the home.

use crate::{mock::*, Error, Event};
use frame_support::{assert_noop, assert_ok, BoundedVec};
use ringfence_primitives::envelope::{name, WhitelistRecord};

type E = Error<Test>;

#[test]
fn each_list_of_an_owner_has_the_next_number() {
	on_chain(|| {
		System::set_extrinsic_index(5);
		assert_ok!(Envelopes::set_whitelist(origin(11), envelope(1)));
		let hash = name(&envelope(1));
		System::assert_last_event(Event::WhitelistSet { hash }.into());
		let record = WhitelistRecord { hash, number: 1, block: System::block_number() as u32, index: 5 };
		assert_eq!(Envelopes::whitelist(&11), Some(record));

		assert_ok!(Envelopes::set_whitelist(origin(11), envelope(2)));
		let record = Envelopes::whitelist(&11).unwrap();
		assert_eq!((record.hash, record.number), (name(&envelope(2)), 2));
		assert_eq!(Envelopes::whitelist(&12), None, "each has its own");
	});
}

#[test]
fn only_the_owner_of_a_subscriber_sets_one() {
	on_chain(|| {
		for who in [1, 1_011, 2_011, RESEARCHER, 77] {
			assert_noop!(Envelopes::set_whitelist(origin(who), envelope(1)), E::NotOwner);
		}
		Gone::set(&vec![1]);
		assert_noop!(Envelopes::set_whitelist(origin(11), envelope(1)), E::NotOwner);
	});
}

#[test]
fn it_has_the_size_of_an_envelope() {
	on_chain(|| {
		let short = BoundedVec::truncate_from(vec![7; 1_023]);
		assert_noop!(Envelopes::set_whitelist(origin(11), short), E::BadSize);
	});
}

#[test]
fn the_present_one_is_not_set_again() {
	on_chain(|| {
		assert_ok!(Envelopes::set_whitelist(origin(11), envelope(1)));
		assert_noop!(Envelopes::set_whitelist(origin(11), envelope(1)), E::AlreadySent);
	});
}

#[test]
fn an_owner_sets_so_many_an_hour_and_may_write_to_its_isp_still() {
	on_chain(|| {
		for seed in 0..3 {
			assert_ok!(Envelopes::set_whitelist(origin(11), envelope(seed)));
		}
		assert_noop!(Envelopes::set_whitelist(origin(11), envelope(9)), E::TooManySent);
		assert_ok!(Envelopes::send(origin(11), 1, envelope(9)));
		pass(HOUR);
		assert_ok!(Envelopes::set_whitelist(origin(11), envelope(9)));
		assert_eq!(Envelopes::whitelist(&11).unwrap().number, 4);
	});
}
