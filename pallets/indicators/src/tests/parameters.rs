//! What governance may set, and within which bounds.

use crate::{mock::*, Error, Event, Parameters, Records, Settings};
use frame_support::{assert_noop, assert_ok};

type E = Error<Test>;

#[test]
fn the_initial_ones_hold_until_governance_sets_others() {
	on_chain(|| {
		assert_eq!(Settings::<Test>::get(), Initial::get());
		let parameters = Parameters { voting_period: 2 * HOUR, ..Initial::get() };
		assert_noop!(Indicators::set_parameters(origin(2), parameters), sp_runtime::DispatchError::BadOrigin);
		assert_ok!(Indicators::set_parameters(origin(1), parameters));
		assert_eq!(Settings::<Test>::get(), parameters);
		System::assert_last_event(Event::ParametersSet { parameters }.into());
	});
}

#[test]
fn what_is_out_of_bounds_is_refused() {
	on_chain(|| {
		let good = Initial::get();
		for bad in [
			Parameters { voting_period: 59_999, ..good },
			Parameters { voting_period: 604_800_001, ..good },
			Parameters { provisional_lifetime: 59_999, ..good },
			Parameters { provisional_lifetime: 600_001, ..good },
			Parameters { provisional_cap: 0, ..good },
			Parameters { provisional_cap: 100_001, ..good },
			Parameters { open_cap: 0, ..good },
			Parameters { open_cap: 100_001, ..good },
		] {
			assert_noop!(Indicators::set_parameters(origin(1), bad), E::BadParameters);
		}
	});
}

#[test]
fn they_hold_for_what_comes_after() {
	on_chain(|| {
		assert_ok!(Indicators::report(origin(1), indicator("198.18.0.1"), terms()));
		set(|parameters| {
			parameters.voting_period = MINUTE;
			parameters.provisional_lifetime = 2 * MINUTE;
		});
		assert_ok!(Indicators::report(origin(1), indicator("198.18.0.2"), terms()));
		trust(&[1]);
		assert_ok!(Indicators::report_provisionally(origin(1), indicator("198.18.0.3"), terms()));
		let ends = |text: &str| Records::<Test>::get(indicator(text).id()).unwrap().ends_at;
		assert_eq!(ends("198.18.0.1"), START + HOUR);
		assert_eq!(ends("198.18.0.2"), START + MINUTE);
		assert_eq!(ends("198.18.0.3"), START + 2 * MINUTE);
	});
}
