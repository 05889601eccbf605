//! Moves of the storage from one version to the next.
//!
//! Each is done in one block, so it takes time in proportion to the records: a chain that holds more than some ten thousand
//! misses slots while its nodes work, and then goes on.

use crate::{Config, Digest, Dispute, OpenCount, Pallet, Record, RecordOf, Records, Status};
use alloc::vec::Vec;
use codec::Decode;
use core::marker::PhantomData;
use frame_support::{
	migrations::VersionedMigration,
	traits::{Get, UncheckedOnRuntimeUpgrade},
	weights::Weight,
	BoundedVec,
};
use ringfence_primitives::{ActiveDigest, Indicator, Millis, Terms, Vote};

/// Version 1 to 2: provisional indicators, disputes and confidence in every record; the digest of the active set; records
/// by address; open reports by reporter. What a subscriber reported is its ISP's report from now on.
pub type MigrateV1ToV2<T> = VersionedMigration<1, 2, V1ToV2<T>, Pallet<T>, <T as frame_system::Config>::DbWeight>;

/// The work of [`MigrateV1ToV2`], without the look at the version.
pub struct V1ToV2<T>(PhantomData<T>);

impl<T: Config> UncheckedOnRuntimeUpgrade for V1ToV2<T> {
	fn on_runtime_upgrade() -> Weight {
		let mut digest = ActiveDigest::default();
		let mut records = 0u64;
		Records::<T>::translate::<v1::Record<T::AccountId>, _>(|id, old| {
			let record: RecordOf<T> = old.into();
			Pallet::<T>::index_named(&id, &record.indicator);
			if record.is_enforced() {
				digest.add(&record.decision());
			}
			if record.is_unconfirmed() {
				OpenCount::<T>::mutate(&record.reporter, |count| *count = count.saturating_add(1));
			}
			records = records.saturating_add(1);
			Some(record)
		});
		Digest::<T>::put(digest);
		// Each record is read and written, and so may be its reporter's count; its address is written.
		T::DbWeight::get().reads_writes(records.saturating_mul(2), records.saturating_mul(3).saturating_add(1))
	}

	#[cfg(feature = "try-runtime")]
	fn pre_upgrade() -> Result<Vec<u8>, sp_runtime::TryRuntimeError> {
		Ok(codec::Encode::encode(&(Records::<T>::count(), crate::ActiveCount::<T>::get())))
	}

	#[cfg(feature = "try-runtime")]
	fn post_upgrade(state: Vec<u8>) -> Result<(), sp_runtime::TryRuntimeError> {
		use frame_support::ensure;
		let (records, active) =
			<(u32, u32)>::decode(&mut &state[..]).map_err(|_| "the state before the migration is garbled")?;
		ensure!(Records::<T>::iter().count() as u32 == records, "a record could not be moved");
		ensure!(crate::ActiveCount::<T>::get() == active, "an active indicator was lost");
		Pallet::<T>::do_try_state()
	}
}

/// The storage of version 1.
mod v1 {
	use super::*;

	/// Where an indicator was in its life.
	#[derive(Decode)]
	pub enum Status {
		Proposed,
		Active { since: Millis },
		Rejected,
	}

	/// An indicator on record.
	#[derive(Decode)]
	pub struct Record<AccountId> {
		pub indicator: Indicator,
		pub terms: Terms,
		pub reporter: AccountId,
		pub isp: Option<AccountId>,
		pub status: Status,
		pub proposed_at: Millis,
		pub ends_at: Millis,
		pub votes: Vec<(AccountId, Vote)>,
	}
}

impl<AccountId, MaxVotes> From<v1::Record<AccountId>> for Record<AccountId, MaxVotes>
where
	AccountId: Clone + PartialEq + Eq + core::fmt::Debug,
	MaxVotes: Get<u32>,
{
	fn from(old: v1::Record<AccountId>) -> Self {
		Self {
			confidence: old.terms.confidence,
			indicator: old.indicator,
			terms: old.terms,
			reporter: old.isp.unwrap_or(old.reporter),
			status: match old.status {
				v1::Status::Proposed => Status::Proposed,
				v1::Status::Active { since } => Status::Active { since },
				v1::Status::Rejected => Status::Rejected,
			},
			proposed_at: old.proposed_at,
			ends_at: old.ends_at,
			// More ISPs may have been active than can be now; the votes of those that left do not count.
			votes: BoundedVec::truncate_from(old.votes),
			dispute: Dispute::None,
		}
	}
}
