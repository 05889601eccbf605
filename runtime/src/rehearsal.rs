//! The migration of the rehearsed upgrade, and the worked example of one.
//!
//! An upgrade of the runtime that changes what is in the state brings a migration, which runs once, in the first block of
//! the new version, before anything else. This one lets the ledger's scores count in full again, as if all had happened
//! now. A real one differs in its `Inner` alone: the pallet's storage version says whether it is due, so that it can stay
//! in the list for good, and running it twice does nothing. One that touches more than a block can hold has to be split:
//! here one entry a member is touched.
//!
//! It is rehearsed on a network of four nodes: see docs/governance.md.

use crate::{BlockNumber, Runtime, System, Tiers};
use frame_support::{migrations::VersionedMigration, traits::UncheckedOnRuntimeUpgrade, weights::Weight};
use pallet_tiers::{Entry, Ledger};

/// Storage version 2 to 3 of the tiers pallet.
pub type RestampScores = VersionedMigration<2, 3, Restamp, Tiers, <Runtime as frame_system::Config>::DbWeight>;

/// What [`RestampScores`] does when it is due.
pub struct Restamp;

impl UncheckedOnRuntimeUpgrade for Restamp {
	fn on_runtime_upgrade() -> Weight {
		let now = System::block_number();
		let mut entries = 0u64;
		Ledger::<Runtime>::translate_values(|mut entry: Entry<BlockNumber>| {
			entries = entries.saturating_add(1);
			entry.score.at = now;
			Some(entry)
		});
		<Runtime as frame_system::Config>::DbWeight::get().reads_writes(entries, entries)
	}

	#[cfg(feature = "try-runtime")]
	fn pre_upgrade() -> Result<alloc::vec::Vec<u8>, sp_runtime::TryRuntimeError> {
		Ok(codec::Encode::encode(&(Ledger::<Runtime>::iter_keys().count() as u64)))
	}

	#[cfg(feature = "try-runtime")]
	fn post_upgrade(before: alloc::vec::Vec<u8>) -> Result<(), sp_runtime::TryRuntimeError> {
		use codec::Decode;
		let before = u64::decode(&mut &before[..]).map_err(|_| "what was noted before cannot be read")?;
		let now = System::block_number();
		frame_support::ensure!(Ledger::<Runtime>::iter_keys().count() as u64 == before, "an entry was lost");
		frame_support::ensure!(
			Ledger::<Runtime>::iter_values().all(|entry| entry.score.at == now),
			"a score was not stamped again"
		);
		Ok(())
	}
}
