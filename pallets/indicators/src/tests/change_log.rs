//! The log is an unbroken, bounded chain.

use crate::{mock::*, ChangeLog, Head};
use codec::{Decode, Encode};
use ringfence_primitives::*;

#[test]
fn genesis_begins_the_log_with_the_protected_networks() {
	on_chain(|| {
		let head = Head::<Test>::get();
		assert_eq!((head.seq, head.oldest), (2, 1));
		let first = entry(1).unwrap();
		assert_eq!(first.previous, [0; 32]);
		assert_eq!(first.kind, ChangeKind::Protected("10.0.0.0/8".parse().unwrap()));
	});
}

#[test]
fn each_entry_names_the_one_before() {
	on_chain(|| {
		activate("198.18.0.1");
		activate("198.18.0.2");
		let head = Head::<Test>::get();
		for seq in 2..=head.seq {
			let (this, before) = (entry(seq).unwrap(), entry(seq - 1).unwrap());
			assert_eq!(this.previous, before.hash());
			assert_eq!(Change::decode(&mut &this.encode()[..]).unwrap(), this);
		}
		assert_eq!(entry(head.seq).unwrap().hash(), head.hash);
	});
}

#[test]
fn the_log_forgets_beyond_its_bound() {
	on_chain(|| {
		for host in 0..12 {
			activate(&format!("198.18.0.{host}"));
		}
		let head = Head::<Test>::get();
		assert_eq!((head.seq, head.oldest), (14, 7));
		assert!(entry(6).is_none());
		assert!(entry(7).is_some());
	});
}

#[test]
fn enforcers_find_the_log_where_the_contract_says() {
	on_chain(|| {
		assert_eq!(Head::<Test>::hashed_key(), keys::log_head());
		assert_eq!(ChangeLog::<Test>::hashed_key_for(keys::LogNumber::from(7)), keys::change(7));
		assert_eq!(crate::Digest::<Test>::hashed_key(), keys::active_digest());
	});
}

#[test]
fn a_providers_word_to_its_subscribers_is_an_entry_like_any_other() {
	on_chain(|| {
		let sealed = envelope::Sealed::truncate_from(vec![7; 100]);
		let seq = Indicators::append_tier1(&3, sealed.clone());
		assert_eq!(seq, Head::<Test>::get().seq);
		assert_eq!(newest(), ChangeKind::Tier1(<Register as crate::Members<u64>>::bytes(&3), sealed));
		System::assert_last_event(crate::Event::Changed { seq }.into());
	});
}
