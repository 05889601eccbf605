//! Moves of the storage from one version to the next.
//!
//! Each is done in one block, so it takes time in proportion to the records: a chain that holds more than some ten thousand
//! misses slots while its nodes work, and then goes on.

use crate::{sitting::Sitting, ChangeLog, Config, Dispute, Head, Pallet, ProposedCount, Record, RecordOf, Status};
use alloc::vec::Vec;
use codec::Decode;
use core::marker::PhantomData;
use frame_support::{
	migrations::VersionedMigration,
	traits::{Get, UncheckedOnRuntimeUpgrade},
	weights::Weight,
	BoundedVec,
};
use ringfence_primitives::{keys::LogNumber, Change, Indicator, IndicatorId, Millis, Terms, Vote};

/// Version 1 to 2: provisional indicators, disputes and confidence in every record; the digest of the active set; records
/// by address; open reports by reporter; endings in pages; the log in the order of its numbers. What a subscriber reported
/// is its ISP's report from now on.
pub type MigrateV1ToV2<T> = VersionedMigration<1, 2, V1ToV2<T>, Pallet<T>, <T as frame_system::Config>::DbWeight>;

/// The work of [`MigrateV1ToV2`], without the look at the version.
pub struct V1ToV2<T>(PhantomData<T>);

impl<T: Config> UncheckedOnRuntimeUpgrade for V1ToV2<T> {
	fn on_runtime_upgrade() -> Weight {
		let _ = v1::Proposed::<T>::clear(u32::MAX, None);
		let _ = v1::Endings::<T>::clear(u32::MAX, None);
		v1::CounterForRecords::<T>::kill();
		ProposedCount::<T>::kill();
		// One by one: a list of them all could be larger than anything that a runtime may allocate.
		let mut entries = 0u64;
		let head = Head::<T>::get();
		for seq in head.oldest.max(1)..=head.seq {
			if let Some(change) = v1::ChangeLog::<T>::take(seq) {
				ChangeLog::<T>::insert(LogNumber::from(seq), change);
				entries = entries.saturating_add(1);
			}
		}
		let mut records = 0u64;
		let mut sitting = Sitting::<T>::open();
		// Each is stored anew under the key that it has, which is the only change that a walk over a map allows.
		for (id, old) in v1::Records::<T>::iter() {
			records = records.saturating_add(1);
			let record: RecordOf<T> = old.into();
			Pallet::<T>::index_named(&id, &record.indicator);
			if record.is_enforced() {
				sitting.digest.change().add(&record.decision());
			}
			sitting.records.one_more();
			Pallet::<T>::enter(&mut sitting, &id, record);
		}
		sitting.close();
		// Each record is read and written; so may be its reporter's count, its address and its pages, and what lists were
		// kept of it before. Each entry of the log is read, removed and written.
		T::DbWeight::get().reads_writes(
			records.saturating_mul(4).saturating_add(entries),
			records.saturating_mul(6).saturating_add(entries.saturating_mul(2)).saturating_add(4),
		)
	}

	#[cfg(feature = "try-runtime")]
	fn pre_upgrade() -> Result<Vec<u8>, sp_runtime::TryRuntimeError> {
		Ok(codec::Encode::encode(&(v1::Records::<T>::iter_keys().count() as u32, crate::ActiveCount::<T>::get())))
	}

	#[cfg(feature = "try-runtime")]
	fn post_upgrade(state: Vec<u8>) -> Result<(), sp_runtime::TryRuntimeError> {
		use frame_support::ensure;
		let (records, active) =
			<(u32, u32)>::decode(&mut &state[..]).map_err(|_| "the state before the migration is garbled")?;
		ensure!(crate::Records::<T>::iter().count() as u32 == records, "a record could not be moved");
		ensure!(crate::ActiveCount::<T>::get() == active, "an active indicator was lost");
		Pallet::<T>::do_try_state()
	}
}

/// The storage of version 1.
pub(crate) mod v1 {
	use super::*;
	use frame_support::{pallet_prelude::*, storage_alias};

	#[storage_alias]
	pub type Records<T: Config> =
		StorageMap<Pallet<T>, Identity, IndicatorId, Record<<T as frame_system::Config>::AccountId>>;
	#[storage_alias]
	pub type ChangeLog<T: Config> = StorageMap<Pallet<T>, Twox64Concat, u64, Change>;
	#[storage_alias]
	pub type CounterForRecords<T: Config> = StorageValue<Pallet<T>, u32, ValueQuery>;
	#[storage_alias]
	pub type Proposed<T: Config> = StorageMap<Pallet<T>, Identity, IndicatorId, ()>;
	#[storage_alias]
	pub type Endings<T: Config> = StorageDoubleMap<Pallet<T>, Twox64Concat, u64, Identity, IndicatorId, ()>;

	/// Where an indicator was in its life.
	#[derive(Encode, Decode)]
	pub enum Status {
		Proposed,
		Active { since: Millis },
		Rejected,
	}

	/// An indicator on record.
	#[derive(Encode, Decode)]
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
			page: 0,
		}
	}
}
