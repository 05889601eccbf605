//! A chain of System and this pallet: ISPs 1 (the leader), 2 and 3; 10 is a subscriber of 1, 20 of 2; 90 is a researcher.

use crate::{self as pallet_tiers, Quotas};
use frame_support::{
	derive_impl, parameter_types,
	traits::{ConstU32, ConstU64},
	weights::Weight,
};
use sp_runtime::{transaction_validity::InvalidTransaction, BuildStorage};

#[frame_support::runtime]
mod runtime {
	#[runtime::runtime]
	#[runtime::derive(RuntimeCall, RuntimeEvent, RuntimeError, RuntimeOrigin, RuntimeTask)]
	pub struct Test;

	#[runtime::pallet_index(0)]
	pub type System = frame_system;

	#[runtime::pallet_index(1)]
	pub type Tiers = pallet_tiers;
}

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
	type Block = frame_system::mocking::MockBlock<Test>;
}

parameter_types! {
	pub const MemberQuotas: Quotas = Quotas { isp: 3, subscriber: 1, researcher: 2 };
}

impl crate::Config for Test {
	type MaxIsps = ConstU32<4>;
	type MaxSubscribers = ConstU32<3>;
	type QuotaWindow = ConstU64<10>;
	type Quotas = MemberQuotas;
	type Screen = NoRemarks;
	type WeightInfo = ();
}

/// Refuses remarks that say something.
pub struct NoRemarks;

impl crate::Screen<u64, RuntimeCall> for NoRemarks {
	fn screen(_: &u64, call: &RuntimeCall) -> Result<crate::Order, InvalidTransaction> {
		match call {
			RuntimeCall::System(frame_system::Call::remark { remark }) if !remark.is_empty() => {
				Err(InvalidTransaction::Custom(16))
			}
			_ => Ok(crate::Order { provides: Some(vec![1]), requires: Some(vec![2]) }),
		}
	}

	fn weight(_: &RuntimeCall) -> Weight {
		Weight::from_parts(5, 0)
	}
}

pub const LEADER: u64 = 1;

/// Runs `test` on a new chain, then checks every invariant.
pub fn on_chain(test: impl FnOnce()) {
	let storage = RuntimeGenesisConfig {
		tiers: crate::GenesisConfig {
			isps: vec![LEADER, 2, 3],
			subscribers: vec![(1, 10), (2, 20)],
			researchers: vec![90],
		},
		..Default::default()
	}
	.build_storage()
	.unwrap();
	let mut chain = sp_io::TestExternalities::new(storage);
	chain.execute_with(|| {
		System::set_block_number(1);
		test();
		Tiers::do_try_state().unwrap();
	});
}
