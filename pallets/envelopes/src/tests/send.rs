//! Letters between a household and its provider.

use crate::{mock::*, Error, Event, Letters, Open};
use frame_support::{assert_noop, assert_ok, BoundedVec};
use ringfence_primitives::envelope::{EnvelopeRecord, ENVELOPE_LEN};

type E = Error<Test>;

#[test]
fn a_subscriber_writes_to_its_isp() {
	on_chain(|| {
		System::set_extrinsic_index(3);
		assert_ok!(Envelopes::send(origin(11), 1, envelope(7)));
		let hash = named(11, 1, 7);
		System::assert_last_event(Event::Sent { hash }.into());
		let record = EnvelopeRecord {
			block: System::block_number() as u32,
			index: 3,
			expires_at: START + LIFETIME,
			answer: None,
		};
		assert_eq!(Envelopes::record(&1, &hash), Some(record));
		assert_eq!(Open::<Test>::get(Envelopes::mailbox(&1)), 1);
	});
}

#[test]
fn an_isp_writes_to_its_own_subscriber() {
	on_chain(|| {
		assert_ok!(Envelopes::send(origin(1), 12, envelope(7)));
		assert!(Envelopes::record(&12, &named(1, 12, 7)).is_some());
	});
}

#[test]
fn delegates_write_as_far_as_they_are_trusted() {
	on_chain(|| {
		assert_ok!(Envelopes::send(origin(1_011), 1, envelope(7)));
		assert!(Envelopes::record(&1, &named(11, 1, 7)).is_some(), "the letter is from the member, not from the key");
		assert_ok!(Envelopes::send(origin(2_001), 11, envelope(7)));
		assert!(Envelopes::record(&11, &named(1, 11, 7)).is_some());
		assert_noop!(Envelopes::send(origin(2_011), 1, envelope(8)), E::NotCorrespondent);
		assert_noop!(Envelopes::send(origin(1_001), 11, envelope(8)), E::NotCorrespondent);
	});
}

#[test]
fn nobody_writes_into_another_tier() {
	on_chain(|| {
		assert_noop!(Envelopes::send(origin(11), 2, envelope(7)), E::NotYourTier);
		assert_noop!(Envelopes::send(origin(11), 12, envelope(7)), E::NotYourTier);
		assert_noop!(Envelopes::send(origin(11), 11, envelope(7)), E::NotYourTier);
		assert_noop!(Envelopes::send(origin(1), 21, envelope(7)), E::NotYourTier);
		assert_noop!(Envelopes::send(origin(1), 2, envelope(7)), E::NotYourTier);
		assert_noop!(Envelopes::send(origin(1), RESEARCHER, envelope(7)), E::NotYourTier);
		assert_noop!(Envelopes::send(origin(RESEARCHER), 1, envelope(7)), E::NotCorrespondent);
		assert_noop!(Envelopes::send(origin(77), 1, envelope(7)), E::NotCorrespondent);
		assert_noop!(Envelopes::send(RuntimeOrigin::root(), 1, envelope(7)), sp_runtime::DispatchError::BadOrigin);
	});
}

#[test]
fn who_is_not_active_neither_writes_nor_is_written_to() {
	on_chain(|| {
		Gone::set(&vec![11]);
		assert_noop!(Envelopes::send(origin(11), 1, envelope(7)), E::NotCorrespondent);
		assert_noop!(Envelopes::send(origin(1), 11, envelope(7)), E::NotYourTier);
		Gone::set(&vec![1]);
		assert_noop!(Envelopes::send(origin(11), 1, envelope(7)), E::NotCorrespondent);
		assert_noop!(Envelopes::send(origin(1), 11, envelope(7)), E::NotCorrespondent);
	});
}

#[test]
fn an_envelope_has_one_size() {
	on_chain(|| {
		for len in [0, 1, ENVELOPE_LEN - 1] {
			let short = BoundedVec::truncate_from(vec![7; len as usize]);
			assert_noop!(Envelopes::send(origin(11), 1, short), E::BadSize);
		}
	});
}

#[test]
fn a_letter_is_sent_once() {
	on_chain(|| {
		assert_ok!(Envelopes::send(origin(11), 1, envelope(7)));
		assert_noop!(Envelopes::send(origin(11), 1, envelope(7)), E::AlreadySent);
		assert_noop!(Envelopes::send(origin(1_011), 1, envelope(7)), E::AlreadySent);
	});
}

#[test]
fn a_copy_sent_first_does_not_stand_in_the_way() {
	on_chain(|| {
		assert_ok!(Envelopes::send(origin(12), 1, envelope(7)));
		assert_ok!(Envelopes::send(origin(21), 2, envelope(7)));
		assert_ok!(Envelopes::send(origin(11), 1, envelope(7)));
		assert_eq!(Letters::<Test>::iter().count(), 3);
	});
}

#[test]
fn a_subscriber_sends_so_many_an_hour_and_uses_up_nobody_elses() {
	on_chain(|| {
		for seed in 0..3 {
			assert_ok!(Envelopes::send(origin(11), 1, envelope(seed)));
		}
		assert_noop!(Envelopes::send(origin(11), 1, envelope(9)), E::TooManySent);
		assert_noop!(Envelopes::send(origin(1_011), 1, envelope(9)), E::TooManySent);
		assert_ok!(Envelopes::send(origin(12), 1, envelope(9)));
		assert_ok!(Envelopes::send(origin(21), 2, envelope(9)));
		assert_ok!(Envelopes::send(origin(1), 11, envelope(9)));
		pass(HOUR - 1);
		assert_noop!(Envelopes::send(origin(11), 1, envelope(9)), E::TooManySent);
		pass(1);
		assert_ok!(Envelopes::send(origin(11), 1, envelope(9)));
	});
}

#[test]
fn a_mailbox_holds_so_many() {
	on_chain(|| {
		for seed in 0..3 {
			assert_ok!(Envelopes::send(origin(11), 1, envelope(seed)));
		}
		for seed in 3..5 {
			assert_ok!(Envelopes::send(origin(12), 1, envelope(seed)));
		}
		assert_noop!(Envelopes::send(origin(12), 1, envelope(5)), E::MailboxFull);
		assert_ok!(Envelopes::send(origin(21), 2, envelope(5)));
	});
}

#[test]
fn no_event_and_no_state_holds_the_account_of_a_household() {
	on_chain(|| {
		use codec::Encode;
		assert_ok!(Envelopes::send(origin(11), 1, envelope(7)));
		assert_ok!(Envelopes::send(origin(1), 11, envelope(8)));
		assert_ok!(Envelopes::set_whitelist(origin(11), envelope(9)));
		let mut seen = events().encode();
		let prefix = frame_support::storage::storage_prefix(b"Envelopes", b"")[..16].to_vec();
		let mut key = prefix.clone();
		while let Some(next) = sp_io::storage::next_key(&key).filter(|next| next.starts_with(&prefix)) {
			seen.extend(&next);
			seen.extend(frame_support::storage::unhashed::get_raw(&next).unwrap_or_default());
			key = next;
		}
		let bytes = <Register as crate::Correspondents<u64>>::bytes(&11);
		let holds = |needle: &[u8]| seen.windows(needle.len()).any(|window| window == needle);
		assert!(holds(&named(11, 1, 7)), "the search reads what was written");
		assert!(!holds(&bytes));
		assert!(!holds(&11_u64.encode()));
	});
}
