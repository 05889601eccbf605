//! The Ringfence runtime: members, indicators, and the consensus that carries them. No token, no fees, no sudo.

#![cfg_attr(not(feature = "std"), no_std)]
#![recursion_limit = "256"]

#[cfg(feature = "std")]
include!(concat!(env!("OUT_DIR"), "/wasm_binary.rs"));

#[cfg(feature = "std")]
#[allow(dead_code)]
mod rehearsal_binary {
	include!(concat!(env!("OUT_DIR"), "/wasm_binary_rehearsal.rs"));
}

extern crate alloc;

pub mod apis;
pub mod configs;
pub mod presets;
#[cfg(feature = "rehearsal")]
mod rehearsal;
pub mod weights;

use alloc::vec::Vec;
use sp_runtime::{
	generic, impl_opaque_keys,
	traits::{BlakeTwo256, IdentifyAccount, Verify},
	MultiAddress, MultiSignature,
};
use sp_version::RuntimeVersion;

pub use apis::RuntimeApi;

/// Milliseconds of one slot. Measured: see docs/development.md.
pub const SLOT_MILLIS: u64 = 500;

/// Blocks of one session, after which a changed set of validators takes over: one minute.
pub const SESSION_BLOCKS: u32 = 120;

/// Signature of a transaction.
pub type Signature = MultiSignature;
/// Account of a member.
pub type AccountId = <<Signature as Verify>::Signer as IdentifyAccount>::AccountId;
/// Number of a block.
pub type BlockNumber = u32;
/// Hash of a block.
pub type Hash = sp_core::H256;
/// Transactions that an account has made.
pub type Nonce = u32;
/// Header of a block.
pub type Header = generic::Header<BlockNumber, BlakeTwo256>;
/// Extensions that every signed transaction carries, in order. `ringfence-enforcer` writes them by hand.
pub type TxExtension = (
	frame_system::CheckNonZeroSender<Runtime>,
	frame_system::CheckSpecVersion<Runtime>,
	frame_system::CheckTxVersion<Runtime>,
	frame_system::CheckGenesis<Runtime>,
	pallet_tiers::MortalOnly<Runtime>,
	// Before the nonce: a stranger is to hear that it is not a member, not that its account does not exist.
	pallet_tiers::CheckMember<Runtime>,
	frame_system::CheckNonce<Runtime>,
	frame_system::CheckWeight<Runtime>,
);
/// The nonce that is in it.
pub fn nonce((.., frame_system::CheckNonce(nonce), _): &TxExtension) -> Nonce {
	*nonce
}
/// A transaction.
pub type UncheckedExtrinsic =
	generic::UncheckedExtrinsic<MultiAddress<AccountId, ()>, RuntimeCall, Signature, TxExtension>;
/// A block.
pub type Block = generic::Block<Header, UncheckedExtrinsic>;

/// Dispatches transactions to pallets.
pub type Executive =
	frame_executive::Executive<Runtime, Block, frame_system::ChainContext<Runtime>, Runtime, AllPalletsWithSystem>;

/// Types for a node that does not look into transactions.
pub mod opaque {
	use super::*;
	pub use sp_runtime::OpaqueExtrinsic;

	/// A block whose transactions are bytes.
	pub type Block = generic::Block<Header, OpaqueExtrinsic>;
}

impl_opaque_keys! {
	/// What a validator signs with.
	#[derive(codec::MaxEncodedLen)]
	pub struct SessionKeys {
		/// Block authoring.
		pub aura: Aura,
		/// Finality.
		pub grandpa: Grandpa,
	}
}

/// Version of the runtime.
#[cfg(not(feature = "rehearsal"))]
#[sp_version::runtime_version]
pub const VERSION: RuntimeVersion = RuntimeVersion {
	spec_name: alloc::borrow::Cow::Borrowed("ringfence"),
	impl_name: alloc::borrow::Cow::Borrowed("ringfence"),
	authoring_version: 1,
	spec_version: 2,
	impl_version: 1,
	apis: apis::RUNTIME_API_VERSIONS,
	transaction_version: 3,
	// Values lie in the leaves of the state's trie: they are small, and a node for each would be one more to write.
	system_version: 0,
};

/// Version of the runtime that a rehearsed upgrade brings. The attribute takes nothing but plain numbers.
#[cfg(feature = "rehearsal")]
#[sp_version::runtime_version]
pub const VERSION: RuntimeVersion = RuntimeVersion {
	spec_name: alloc::borrow::Cow::Borrowed("ringfence"),
	impl_name: alloc::borrow::Cow::Borrowed("ringfence"),
	authoring_version: 1,
	spec_version: 3,
	impl_version: 1,
	apis: apis::RUNTIME_API_VERSIONS,
	transaction_version: 3,
	system_version: 0,
};

/// The wasm of the next version, with which an upgrade is rehearsed: spec version 3 and one more migration. None unless
/// this was built with `RINGFENCE_REHEARSAL` set.
#[cfg(feature = "std")]
pub const fn rehearsal_wasm() -> Option<&'static [u8]> {
	rehearsal_binary::WASM_BINARY
}

#[frame_support::runtime]
mod runtime {
	#[runtime::runtime]
	#[runtime::derive(
		RuntimeCall,
		RuntimeEvent,
		RuntimeError,
		RuntimeOrigin,
		RuntimeFreezeReason,
		RuntimeHoldReason,
		RuntimeSlashReason,
		RuntimeLockId,
		RuntimeTask,
		RuntimeViewFunction
	)]
	pub struct Runtime;

	#[runtime::pallet_index(0)]
	pub type System = frame_system;

	#[runtime::pallet_index(1)]
	pub type Timestamp = pallet_timestamp;

	#[runtime::pallet_index(2)]
	pub type Aura = pallet_aura;

	// Authorship comes before Session in every block: the author is one of the session that ends with it.
	#[runtime::pallet_index(6)]
	pub type Authorship = pallet_authorship;

	#[runtime::pallet_index(3)]
	pub type Grandpa = pallet_grandpa;

	// Tiers comes before Session in genesis order: the first session asks who the ISPs are.
	#[runtime::pallet_index(10)]
	pub type Tiers = pallet_tiers;

	#[runtime::pallet_index(4)]
	pub type Session = pallet_session;

	#[runtime::pallet_index(7)]
	pub type Offences = pallet_offences;

	#[runtime::pallet_index(8)]
	pub type AuraOffences = pallet_aura_offences;

	#[runtime::pallet_index(11)]
	pub type Indicators = pallet_indicators;

	#[runtime::pallet_index(12)]
	pub type Envelopes = pallet_envelopes;

	#[runtime::pallet_index(13)]
	pub type Council = pallet_collective<Instance1>;
}

#[cfg(feature = "runtime-benchmarks")]
mod benches {
	frame_benchmarking::define_benchmarks!(
		[pallet_tiers, Tiers]
		[pallet_indicators, Indicators]
		[pallet_envelopes, Envelopes]
		[pallet_aura_offences, AuraOffences]
	);
}
