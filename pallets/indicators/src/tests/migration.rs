//! From version 1 of the storage, byte by byte as it was, to the present one.

use crate::{
	migrations::{v1, MigrateV1ToV2},
	mock::*,
	ActiveCount, Digest, Dispute, OpenCount, ProposedCount, RecordCount, Records, Status,
};
use codec::Encode;
use frame_support::{
	assert_storage_noop,
	storage::unhashed,
	traits::{GetStorageVersion, OnRuntimeUpgrade, StorageVersion},
};
use ringfence_primitives::{keys, ActiveDigest, Indicator, Vote};

/// `Status` as it was.
#[derive(Encode)]
enum Was {
	Proposed,
	Active { since: u64 },
	Rejected,
}

/// Stores a record as version 1 did.
fn put(indicator: &Indicator, reporter: u64, isp: Option<u64>, was: Was, ends_at: u64, votes: Vec<(u64, Vote)>) {
	let id = indicator.id();
	v1::Endings::<Test>::insert(ends_at / 10_000, id, ());
	match was {
		Was::Proposed => {
			v1::Proposed::<Test>::insert(id, ());
			ProposedCount::<Test>::mutate(|count| *count += 1);
		}
		Was::Active { .. } => ActiveCount::<Test>::mutate(|count| *count += 1),
		Was::Rejected => {}
	}
	let record = (indicator, terms(), reporter, isp, was, START - 1_000, ends_at, votes).encode();
	unhashed::put_raw(&Records::<Test>::hashed_key_for(id), &record);
	v1::CounterForRecords::<Test>::mutate(|count| *count += 1);
}

/// A chain of version 1 with a record of each status and kind of reporter.
fn put_version_1() {
	let since = START - 500;
	let approved = vec![(1, Vote::Approve), (2, Vote::Sighting), (3, Vote::Approve)];
	put(&indicator("198.18.0.1"), 1, Some(1), Was::Active { since }, START + HOUR, approved.clone());
	put(&endpoint("198.18.0.2"), RESEARCHER, None, Was::Active { since }, START + HOUR, approved);
	put(&flow("198.18.0.0/24"), 201, Some(2), Was::Proposed, START + HOUR / 2, vec![]);
	put(&indicator("198.18.0.3"), 2, Some(2), Was::Proposed, START + HOUR / 2, vec![(2, Vote::Approve)]);
	let rejected = vec![(3, Vote::Reject), (4, Vote::Reject)];
	put(&indicator("198.18.0.4"), 1, Some(1), Was::Rejected, START + HOUR / 4, rejected);
	// The mock's chain begins with two entries.
	for seq in 1..=2 {
		let change = crate::ChangeLog::<Test>::take(keys::LogNumber::from(seq)).unwrap();
		v1::ChangeLog::<Test>::insert(seq, change);
	}
	StorageVersion::new(1).put::<Indicators>();
}

#[test]
fn every_record_is_moved_and_what_is_derived_from_it_is_made() {
	on_chain(|| {
		put_version_1();
		MigrateV1ToV2::<Test>::on_runtime_upgrade();
		assert_eq!(Indicators::on_chain_storage_version(), 2);
		Indicators::do_try_state().unwrap();
		assert_eq!(v1::Endings::<Test>::iter().count() + v1::Proposed::<Test>::iter().count(), 0);
		assert!(!v1::CounterForRecords::<Test>::exists());

		let active = Records::<Test>::get(indicator("198.18.0.1").id()).unwrap();
		assert_eq!(active.status, Status::Active { since: START - 500 });
		assert_eq!((active.reporter, active.ends_at, active.votes.len()), (1, START + HOUR, 3));
		assert_eq!(active.confidence, terms().confidence, "as the log said when it was activated");
		assert_eq!(active.dispute, Dispute::None);
		assert_eq!(in_force().len(), 2);
		assert_eq!(Digest::<Test>::get(), in_force().iter().collect::<ActiveDigest>());
		assert_eq!(status(indicator("198.18.0.4").id()), Some(Status::Rejected));
		assert_eq!(Indicators::about("198.18.0.2".parse().unwrap(), 9).len(), 2);
	});
}

#[test]
fn a_households_report_becomes_its_isps() {
	on_chain(|| {
		put_version_1();
		MigrateV1ToV2::<Test>::on_runtime_upgrade();
		assert_eq!(Records::<Test>::get(flow("198.18.0.0/24").id()).unwrap().reporter, 2);
		assert_eq!((OpenCount::<Test>::get(2), OpenCount::<Test>::get(201)), (2, 0));
	});
}

#[test]
fn vetting_goes_on_where_it_was() {
	on_chain(|| {
		put_version_1();
		MigrateV1ToV2::<Test>::on_runtime_upgrade();
		let id = indicator("198.18.0.3").id();
		vote(1, id, Vote::Approve).unwrap();
		vote(3, id, Vote::Approve).unwrap();
		assert!(matches!(status(id), Some(Status::Active { .. })));
		live(HOUR + 20_000);
		assert_eq!(RecordCount::<Test>::get(), 0);
	});
}

#[test]
fn it_is_done_once() {
	on_chain(|| {
		put_version_1();
		MigrateV1ToV2::<Test>::on_runtime_upgrade();
		assert_storage_noop!({
			MigrateV1ToV2::<Test>::on_runtime_upgrade();
		});
	});
}

#[cfg(feature = "try-runtime")]
#[test]
fn the_checks_around_it_pass() {
	on_chain(|| {
		put_version_1();
		MigrateV1ToV2::<Test>::try_on_runtime_upgrade(true).unwrap();
	});
}
