//! Blocks, time, which calls there are, and what an upgrade of the runtime brings along.

use super::governance;
use crate::{
	AccountId, Aura, Block, BlockNumber, Hash, Nonce, PalletInfo, Runtime, RuntimeCall, RuntimeEvent, RuntimeOrigin,
	RuntimeTask, SLOT_MILLIS, VERSION,
};
use frame_support::{
	derive_impl, parameter_types,
	traits::{ConstU16, ConstU32, ConstU64, Contains},
	weights::{
		constants::{WEIGHT_REF_TIME_PER_MICROS, WEIGHT_REF_TIME_PER_MILLIS},
		RuntimeDbWeight, Weight,
	},
};
use frame_system::limits::{BlockLength, BlockWeights};
use sp_runtime::{traits::AccountIdLookup, Perbill};
use sp_version::RuntimeVersion;

/// Members' transactions may take four fifths of a block; the rest is for what the chain does by itself.
const NORMAL: Perbill = Perbill::from_percent(80);

/// Bytes of one block.
const MAX_BLOCK_BYTES: u32 = 2 * 1024 * 1024;

parameter_types! {
	/// What a key costs beside the processor time of its call, for ParityDB with the state in memory. The SDK's figures are
	/// for states of many gigabytes. That of a write makes what full blocks weigh, the worst ones too, what they take to
	/// import: docs/development.md.
	pub const DbWeight: RuntimeDbWeight = RuntimeDbWeight {
		read: 3 * WEIGHT_REF_TIME_PER_MICROS,
		write: 25 * WEIGHT_REF_TIME_PER_MICROS,
	};
	pub const Version: RuntimeVersion = VERSION;
	/// Blocks whose hashes are kept: the longest a transaction can live.
	pub const BlockHashCount: BlockNumber = 2_400;
	/// A block may weigh three fifths of its slot: the rest is for the way to the next author. What full blocks really take
	/// is less for most, and little more for the worst: docs/development.md.
	pub Weights: BlockWeights = BlockWeights::with_sensible_defaults(
		Weight::from_parts(WEIGHT_REF_TIME_PER_MILLIS.saturating_mul(SLOT_MILLIS / 5 * 3), u64::MAX),
		NORMAL,
	);
	pub Length: BlockLength = BlockLength::builder()
		.max_length(MAX_BLOCK_BYTES)
		.modify_max_length_for_class(frame_support::dispatch::DispatchClass::Normal, |max| *max = NORMAL * MAX_BLOCK_BYTES)
		.build();
}

/// Calls that a transaction may make: whatever is not listed does not exist for members.
pub struct Calls;

impl Contains<RuntimeCall> for Calls {
	fn contains(call: &RuntimeCall) -> bool {
		match call {
			RuntimeCall::Tiers(_)
			| RuntimeCall::Indicators(_)
			| RuntimeCall::Envelopes(_)
			| RuntimeCall::Session(_)
			| RuntimeCall::Timestamp(_)
			| RuntimeCall::AuraOffences(_) => true,
			RuntimeCall::Council(call) => governance::is_in_order(call),
			RuntimeCall::System(call) => matches!(call, frame_system::Call::apply_authorized_upgrade { .. }),
			RuntimeCall::Grandpa(call) => matches!(
				call,
				pallet_grandpa::Call::report_equivocation { .. }
					| pallet_grandpa::Call::report_equivocation_unsigned { .. }
			),
		}
	}
}

/// What brings the state of the version before into the form of this one. Each part knows by itself whether it is due.
#[cfg(not(feature = "rehearsal"))]
type Migrations =
	(pallet_tiers::migrations::MigrateV1ToV2<Runtime>, pallet_indicators::migrations::MigrateV1ToV2<Runtime>);

/// The same, and the one that is rehearsed.
#[cfg(feature = "rehearsal")]
type Migrations = (
	pallet_tiers::migrations::MigrateV1ToV2<Runtime>,
	pallet_indicators::migrations::MigrateV1ToV2<Runtime>,
	crate::rehearsal::RestampScores,
);

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig)]
impl frame_system::Config for Runtime {
	type BaseCallFilter = Calls;
	type Block = Block;
	type BlockWeights = Weights;
	type BlockLength = Length;
	type AccountId = AccountId;
	type AccountData = ();
	type Nonce = Nonce;
	type Hash = Hash;
	type Lookup = AccountIdLookup<AccountId, ()>;
	type BlockHashCount = BlockHashCount;
	type DbWeight = DbWeight;
	type Version = Version;
	type SS58Prefix = ConstU16<42>;
	type MaxConsumers = ConstU32<16>;
	type SingleBlockMigrations = Migrations;
}

impl pallet_timestamp::Config for Runtime {
	type Moment = u64;
	type OnTimestampSet = Aura;
	type MinimumPeriod = ConstU64<{ SLOT_MILLIS / 2 }>;
	type WeightInfo = ();
}
