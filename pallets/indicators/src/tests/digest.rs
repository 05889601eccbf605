//! The digest is that of the active set, whatever happens to it.

use crate::{mock::*, Digest};
use frame_support::assert_ok;
use ringfence_primitives::*;

fn agrees() {
	assert_eq!(Digest::<Test>::get(), in_force().iter().collect::<ActiveDigest>());
}

#[test]
fn it_follows_activation_extension_and_expiry() {
	on_chain(|| {
		assert_eq!(Digest::<Test>::get(), ActiveDigest::default());
		activate("198.18.0.1");
		activate("198.18.0.2");
		agrees();
		let two = Digest::<Test>::get();
		live(HOUR / 2);
		assert_ok!(Indicators::report(origin(4), indicator("198.18.0.1"), terms()));
		assert_ne!(Digest::<Test>::get(), two, "an expiry is part of a decision");
		agrees();
		live(HOUR / 2 + 10_000);
		assert_eq!(in_force().len(), 1);
		agrees();
		live(HOUR);
		assert_eq!(Digest::<Test>::get(), ActiveDigest::default());
	});
}

#[test]
fn it_follows_provisional_activation_confirmation_veto_and_lapse() {
	on_chain(|| {
		trust(&[1]);
		for host in 1..=3 {
			let bad = indicator(&format!("198.18.0.{host}"));
			assert_ok!(Indicators::report_provisionally(origin(1), bad, terms()));
			agrees();
		}
		assert_eq!(in_force().len(), 3);
		for isp in [2, 3] {
			assert_ok!(vote(isp, indicator("198.18.0.1").id(), Vote::Sighting));
			assert_ok!(vote(isp, indicator("198.18.0.2").id(), Vote::Reject));
			agrees();
		}
		live(11 * MINUTE);
		assert_eq!(in_force().len(), 1);
		agrees();
	});
}

#[test]
fn it_follows_withdrawal_and_revocation() {
	on_chain(|| {
		let (one, two) = (activate("198.18.0.1"), activate("198.18.0.2"));
		assert_ok!(Indicators::withdraw(origin(1), one));
		agrees();
		assert_ok!(Indicators::dispute(origin(4), two));
		agrees();
		assert_ok!(vote(2, two, Vote::Reject));
		assert_ok!(vote(3, two, Vote::Reject));
		assert_eq!(Digest::<Test>::get(), ActiveDigest::default());
	});
}
