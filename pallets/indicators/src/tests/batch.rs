//! Batches: each item succeeds or fails by itself.

use crate::{mock::*, Error, Event, OpenCount, RecordCount};
use frame_support::{assert_noop, assert_ok, dispatch::DispatchResultWithPostInfo};
use ringfence_primitives::*;

type E = Error<Test>;

fn hosts(range: std::ops::RangeInclusive<u8>) -> Vec<Indicator> {
	range.map(|last| indicator(&format!("198.18.0.{last}"))).collect()
}

fn report(who: u64, indicators: Vec<Indicator>) -> DispatchResultWithPostInfo {
	Indicators::report_batch(origin(who), terms(), indicators.try_into().unwrap())
}

fn cast(who: u64, ballots: Vec<Ballot>) -> DispatchResultWithPostInfo {
	Indicators::vote_batch(origin(who), ballots.try_into().unwrap(), None)
}

/// What a batch says that it has put on record.
fn done(reported: &[Indicator], done: u32, failed: u32) -> RuntimeEvent {
	let reported = reported.iter().map(Indicator::id).collect::<Vec<_>>().try_into().unwrap();
	Event::BatchDone { reported, done, failed }.into()
}

fn approvals(indicators: &[Indicator]) -> Vec<Ballot> {
	indicators.iter().map(|i| Ballot { id: i.id(), terms: terms().hash(), vote: Vote::Approve }).collect()
}

#[test]
fn a_list_is_reported_and_activated_in_three_calls() {
	on_chain(|| {
		let list = hosts(1..=8);
		assert_ok!(report(1, list.clone()));
		System::assert_last_event(done(&list, 8, 0));
		assert_eq!(OpenCount::<Test>::get(1), 8);
		for isp in [2, 3] {
			assert_ok!(cast(isp, approvals(&list)));
		}
		assert_eq!(in_force().len(), 8);
		let seq = crate::Head::<Test>::get().seq;
		System::assert_has_event(Event::Changed { seq }.into());
		let rings =
			System::events().into_iter().filter(|e| matches!(e.event, RuntimeEvent::Indicators(Event::Changed { .. })));
		assert_eq!(rings.count(), 1, "the doorbell rings once for all of them");
		assert_eq!(OpenCount::<Test>::get(1), 0);
	});
}

#[test]
fn an_item_that_fails_is_named_and_the_others_go_through() {
	on_chain(|| {
		let list =
			vec![indicator("198.18.0.1"), indicator("10.0.0.1"), indicator("198.18.0.1"), indicator("198.18.0.2")];
		assert_ok!(report(1, list));
		System::assert_has_event(Event::ItemFailed { index: 1, error: E::OverlapsProtected.into() }.into());
		System::assert_has_event(Event::ItemFailed { index: 2, error: E::AlreadyVoted.into() }.into());
		System::assert_last_event(done(&[indicator("198.18.0.1"), indicator("198.18.0.2")], 2, 2));
		assert_eq!(RecordCount::<Test>::get(), 2);
	});
}

#[test]
fn a_vote_that_fails_is_named_and_the_others_go_through() {
	on_chain(|| {
		assert_ok!(report(1, hosts(1..=2)));
		let mut ballots = approvals(&hosts(1..=3));
		ballots[0].terms = [9; 32];
		assert_ok!(cast(2, ballots));
		System::assert_has_event(Event::ItemFailed { index: 0, error: E::OtherTerms.into() }.into());
		System::assert_has_event(Event::ItemFailed { index: 2, error: E::NotFound.into() }.into());
		System::assert_last_event(done(&[], 1, 2));
	});
}

#[test]
fn who_may_not_report_or_vote_is_refused_as_a_whole() {
	on_chain(|| {
		let list = hosts(1..=2);
		assert_noop!(report(77, list.clone()), E::NotMember);
		assert_noop!(report(201, list.clone()), E::ReportToYourIsp);
		assert_noop!(report(vetting(1), list.clone()), E::NotMember);
		assert_noop!(cast(RESEARCHER, approvals(&list)), E::NotIsp);
		assert_noop!(cast(reporting(1), approvals(&list)), E::NotIsp);
		assert_ok!(report(RESEARCHER, list.clone()));
		assert_ok!(cast(vetting(1), approvals(&list)));
	});
}

#[test]
fn an_empty_batch_is_refused() {
	on_chain(|| {
		assert_noop!(report(1, vec![]), E::EmptyBatch);
		assert_noop!(cast(1, vec![]), E::EmptyBatch);
	});
}

#[test]
fn what_is_full_in_the_midst_of_a_batch_stops_the_rest_of_it() {
	on_chain(|| {
		set(|parameters| parameters.open_cap = 2);
		assert_ok!(report(1, hosts(1..=3)));
		System::assert_has_event(Event::ItemFailed { index: 2, error: E::TooManyOpen.into() }.into());
		assert_eq!(RecordCount::<Test>::get(), 2);
	});
}

#[test]
fn a_batch_repeats_what_single_reports_do() {
	on_chain(|| {
		assert_ok!(report(1, hosts(1..=2)));
		assert_ok!(report(2, hosts(1..=2)));
		assert_ok!(report(3, hosts(1..=2)));
		assert_eq!(in_force().len(), 2, "the second and third are sightings");
		assert!(in_force().iter().all(|decision| decision.confidence.get() == 95));
	});
}
