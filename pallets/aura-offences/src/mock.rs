//! A chain of System and this pallet, at slot 1,000. Offences are written down.

use crate as pallet_aura_offences;
use crate::DoubleAuthoring;
use frame_support::{
	derive_impl, parameter_types,
	traits::{ConstU32, ConstU64},
};
use frame_system::{mocking::MockUncheckedExtrinsic, offchain};
use sp_consensus_aura::{sr25519::AuthorityId, Slot};
use sp_runtime::{impl_opaque_keys, BoundToRuntimeAppPublic, BuildStorage};
use sp_staking::offence::{OffenceError, ReportOffence};

#[frame_support::runtime]
mod runtime {
	#[runtime::runtime]
	#[runtime::derive(RuntimeCall, RuntimeEvent, RuntimeError, RuntimeOrigin, RuntimeTask)]
	pub struct Test;

	#[runtime::pallet_index(0)]
	pub type System = frame_system;

	#[runtime::pallet_index(1)]
	pub type AuraOffences = pallet_aura_offences;
}

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
	type Block = frame_system::mocking::MockBlock<Test>;
}

impl<C> offchain::CreateTransactionBase<C> for Test
where
	RuntimeCall: From<C>,
{
	type Extrinsic = MockUncheckedExtrinsic<Test>;
	type RuntimeCall = RuntimeCall;
}

impl<C> offchain::CreateBare<C> for Test
where
	RuntimeCall: From<C>,
{
	fn create_bare(call: RuntimeCall) -> Self::Extrinsic {
		MockUncheckedExtrinsic::<Test>::new_bare(call)
	}
}

/// Where the Aura key goes.
pub struct Authoring;

impl BoundToRuntimeAppPublic for Authoring {
	type Public = AuthorityId;
}

impl_opaque_keys! {
	#[derive(codec::MaxEncodedLen)]
	pub struct Keys {
		pub aura: Authoring,
	}
}

parameter_types! {
	pub PresentSlot: Slot = Slot::from(1_000);
	/// Slots and offenders of the offences reported.
	pub static Offences: Vec<(u64, u64)> = Vec::new();
}

/// Writes offences down.
pub struct Book;

impl ReportOffence<u64, u64, DoubleAuthoring<u64>> for Book {
	fn report_offence(_: Vec<u64>, offence: DoubleAuthoring<u64>) -> Result<(), OffenceError> {
		if Self::is_known_offence(&[offence.offender], &offence.slot) {
			return Err(OffenceError::DuplicateReport);
		}
		Offences::mutate(|offences| offences.push((*offence.slot, offence.offender)));
		Ok(())
	}

	fn is_known_offence(offenders: &[u64], slot: &Slot) -> bool {
		offenders.iter().all(|offender| Offences::get().contains(&(**slot, *offender)))
	}
}

impl crate::Config for Test {
	type Keys = Keys;
	type MaxValidators = ConstU32<4>;
	type KeptSessions = ConstU32<3>;
	type MaxAge = ConstU64<100>;
	type CurrentSlot = PresentSlot;
	type Offences = Book;
	type WeightInfo = ();
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = Book;
}

#[cfg(feature = "runtime-benchmarks")]
impl crate::BenchmarkHelper<u64, Keys> for Book {
	fn validator(index: u32, aura: AuthorityId) -> (u64, Keys) {
		(index.into(), Keys { aura })
	}
}

/// A new chain.
pub fn chain() -> sp_io::TestExternalities {
	Offences::take();
	let mut chain = sp_io::TestExternalities::new(RuntimeGenesisConfig::default().build_storage().unwrap());
	chain.execute_with(|| System::set_block_number(1));
	chain
}

/// Runs `test` on a new chain, then checks every invariant.
pub fn on_chain(test: impl FnOnce()) {
	chain().execute_with(|| {
		test();
		AuraOffences::do_try_state().unwrap();
	});
}
