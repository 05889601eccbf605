//! How sure the chain is of what it says.

use crate::mock::*;
use frame_support::assert_ok;
use ringfence_primitives::*;

fn told() -> u8 {
	match newest() {
		ChangeKind::Activated(decision) | ChangeKind::Extended(decision) => decision.confidence.get(),
		other => panic!("{other:?}"),
	}
}

fn propose() -> IndicatorId {
	assert_ok!(Indicators::report(origin(1), indicator("198.18.0.1"), terms()));
	indicator("198.18.0.1").id()
}

#[test]
fn approvals_leave_the_reporters_confidence_as_it_is() {
	on_chain(|| {
		activate("198.18.0.1");
		assert_eq!(told(), 80);
	});
}

#[test]
fn each_sighting_takes_it_half_way_to_certainty() {
	on_chain(|| {
		let id = propose();
		assert_ok!(vote(2, id, Vote::Sighting));
		assert_ok!(Indicators::report(origin(3), indicator("198.18.0.1"), terms()));
		assert_eq!(told(), 95);
	});
}

#[test]
fn the_reporter_is_no_witness_of_its_own() {
	on_chain(|| {
		let id = propose();
		assert_ok!(vote(1, id, Vote::Sighting));
		assert_ok!(vote(2, id, Vote::Approve));
		assert_ok!(vote(3, id, Vote::Approve));
		assert_eq!(told(), 80);
	});
}

#[test]
fn what_is_seen_later_is_told_with_the_next_extension() {
	on_chain(|| {
		let id = activate("198.18.0.1");
		let head = crate::Head::<Test>::get();
		assert_ok!(vote(4, id, Vote::Sighting));
		assert_eq!(crate::Head::<Test>::get(), head, "a sighting alone is no change");
		live(HOUR / 2);
		assert_ok!(Indicators::report(origin(2), indicator("198.18.0.1"), terms()));
		assert_eq!(told(), 90);
	});
}

#[test]
fn a_provisional_indicator_has_its_reporters_until_it_is_confirmed() {
	on_chain(|| {
		trust(&[1]);
		assert_ok!(Indicators::report_provisionally(origin(1), indicator("198.18.0.1"), terms()));
		assert_eq!(told(), 80);
		for isp in [2, 3] {
			assert_ok!(vote(isp, indicator("198.18.0.1").id(), Vote::Sighting));
		}
		assert_eq!(told(), 95);
	});
}
