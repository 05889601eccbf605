//! What a recipient says to letters.

use crate::{mock::*, Answers, Error, Event};
use frame_support::{assert_noop, assert_ok, BoundedVec};
use ringfence_primitives::Digest;

type E = Error<Test>;

fn answers<const N: usize>(items: [(Digest, Digest); N]) -> Answers {
	BoundedVec::truncate_from(items.to_vec())
}

fn failed(index: u32, error: E) -> Event<Test> {
	Event::ItemFailed { index, error: error.into() }
}

#[test]
fn the_isp_answers_a_subscribers_letters() {
	on_chain(|| {
		assert_ok!(Envelopes::send(origin(11), 1, envelope(1)));
		assert_ok!(Envelopes::send(origin(12), 1, envelope(2)));
		let (first, second) = (named(11, 1, 1), named(12, 1, 2));
		System::reset_events();
		assert_ok!(Envelopes::answer(origin(2_001), answers([(first, [1; 32]), (second, [2; 32])])));
		assert_eq!(events(), [Event::Answered { hash: first }, Event::Answered { hash: second }]);
		assert_eq!(Envelopes::record(&1, &first).unwrap().answer, Some([1; 32]));
		assert_eq!(Envelopes::record(&1, &second).unwrap().answer, Some([2; 32]));
	});
}

#[test]
fn a_subscriber_answers_its_isps_letters() {
	on_chain(|| {
		assert_ok!(Envelopes::send(origin(1), 11, envelope(1)));
		let hash = named(1, 11, 1);
		assert_ok!(Envelopes::answer(origin(1_011), answers([(hash, [1; 32])])));
		assert_eq!(Envelopes::record(&11, &hash).unwrap().answer, Some([1; 32]));
	});
}

#[test]
fn an_item_that_fails_does_not_stop_the_others() {
	on_chain(|| {
		assert_ok!(Envelopes::send(origin(11), 1, envelope(1)));
		let hash = named(11, 1, 1);
		System::reset_events();
		let batch = answers([([9; 32], [1; 32]), (hash, [1; 32]), (hash, [2; 32])]);
		assert_ok!(Envelopes::answer(origin(1), batch));
		assert_eq!(events(), [failed(0, E::NotFound), Event::Answered { hash }, failed(2, E::AlreadyAnswered)]);
		assert_eq!(Envelopes::record(&1, &hash).unwrap().answer, Some([1; 32]), "an answer is final");
	});
}

#[test]
fn nobody_answers_letters_to_others() {
	on_chain(|| {
		assert_ok!(Envelopes::send(origin(11), 1, envelope(1)));
		let hash = named(11, 1, 1);
		System::reset_events();
		for stranger in [2, 11, 21] {
			assert_ok!(Envelopes::answer(origin(stranger), answers([(hash, [1; 32])])));
		}
		assert_eq!(events(), [failed(0, E::NotFound), failed(0, E::NotFound), failed(0, E::NotFound)]);
		for outsider in [RESEARCHER, 77, 1_001, 2_011] {
			assert_noop!(Envelopes::answer(origin(outsider), answers([(hash, [1; 32])])), E::NotCorrespondent);
		}
		assert_eq!(Envelopes::record(&1, &hash).unwrap().answer, None);
	});
}

#[test]
fn an_empty_batch_is_refused() {
	on_chain(|| {
		assert_noop!(Envelopes::answer(origin(1), answers([])), E::EmptyBatch);
	});
}

#[test]
fn an_answered_letter_stays_until_its_time_is_up() {
	on_chain(|| {
		assert_ok!(Envelopes::send(origin(11), 1, envelope(1)));
		let hash = named(11, 1, 1);
		assert_ok!(Envelopes::answer(origin(1), answers([(hash, [1; 32])])));
		assert_noop!(Envelopes::send(origin(11), 1, envelope(1)), E::AlreadySent);
		for _ in 0..4 {
			pass(LIFETIME);
		}
		assert_eq!(Envelopes::record(&1, &hash), None);
	});
}
