//! Taking a report back.

use crate::{mock::*, Error, Event, Records};
use frame_support::{assert_noop, assert_ok};
use ringfence_primitives::ChangeKind;

type E = Error<Test>;

#[test]
fn the_reporter_drops_its_proposal() {
	on_chain(|| {
		let bad = indicator("198.18.0.1");
		assert_ok!(Indicators::report(origin(RESEARCHER), bad.clone(), terms()));
		assert_noop!(Indicators::withdraw(origin(201), bad.id()), E::NotReporter);
		assert_noop!(Indicators::withdraw(origin(1), bad.id()), E::NotReporter);
		assert_noop!(Indicators::withdraw(origin(77), bad.id()), E::NotMember);
		assert_noop!(Indicators::withdraw(origin(RESEARCHER), [9; 32]), E::NotFound);
		assert_ok!(Indicators::withdraw(origin(RESEARCHER), bad.id()));
		System::assert_last_event(Event::Withdrawn { id: bad.id() }.into());
		assert!(!Records::<Test>::contains_key(bad.id()));
		assert_eq!(crate::Head::<Test>::get().seq, 2, "no enforcer ever heard of it");
	});
}

#[test]
fn a_delegate_that_may_report_may_withdraw() {
	on_chain(|| {
		let bad = indicator("198.18.0.1");
		assert_ok!(Indicators::report(origin(1), bad.clone(), terms()));
		assert_noop!(Indicators::withdraw(origin(vetting(1)), bad.id()), E::NotMember);
		assert_ok!(Indicators::withdraw(origin(reporting(1)), bad.id()));
	});
}

#[test]
fn withdrawing_what_is_active_revokes_it() {
	on_chain(|| {
		let id = activate("198.18.0.1");
		assert_noop!(Indicators::withdraw(origin(2), id), E::NotReporter);
		assert_ok!(Indicators::withdraw(origin(1), id));
		assert_eq!(newest(), ChangeKind::Revoked(indicator("198.18.0.1")));
		let seq = crate::Head::<Test>::get().seq;
		System::assert_has_event(Event::Revoked { id, seq }.into());
		assert_noop!(Indicators::withdraw(origin(1), id), E::NotFound);
		activate("198.18.0.1");
	});
}
