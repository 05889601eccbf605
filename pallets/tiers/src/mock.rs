//! A chain of System and this pallet: ISPs 1 (the leader), 2 and 3; 10 is a subscriber of 1, 20 of 2; 90 is a researcher.
//! Root stands for the council's motions.

use crate::{self as pallet_tiers, Parameters, Quotas};
use frame_support::{
	derive_impl, parameter_types,
	traits::{ChangeMembers, ConstU32, ConstU64, Contains, InitializeMembers},
	weights::Weight,
};
use frame_system::EnsureRoot;
use sp_runtime::{
	transaction_validity::{InvalidTransaction, TransactionTag},
	BuildStorage,
};

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
	pub const Initial: Parameters = Parameters { quotas: Quotas { isp: 600, subscriber: 10, researcher: 20 } };
	pub const Motions: Weight = Weight::from_parts(7, 0);
	/// Whom the council thinks its members are.
	pub storage Seats: Vec<u64> = vec![];
	/// Who validates.
	pub storage Validating: Vec<u64> = vec![];
}

impl crate::Config for Test {
	type RuntimeCall = RuntimeCall;
	type MaxIsps = ConstU32<7>;
	type MaxSubscribers = ConstU32<3>;
	type MaxDelegates = ConstU32<2>;
	type MaxNamed = ConstU32<4>;
	type QuotaWindow = ConstU64<10>;
	type TrustHalfLife = ConstU64<1_000>;
	type InitialParameters = Initial;
	type Screen = NoRemarks;
	type Council = EnsureRoot<u64>;
	type CouncilMembers = Council;
	type CouncilWeight = Motions;
	type Governed = Upgrades;
	type Validators = Validating;
	type WeightInfo = ();
}

/// Believes only what fits with what it was told before.
pub struct Council;

impl ChangeMembers<u64> for Council {
	fn change_members_sorted(incoming: &[u64], outgoing: &[u64], new: &[u64]) {
		assert!(new.is_sorted());
		let difference = Self::compute_members_diff_sorted(new, &Seats::get());
		assert_eq!((incoming, outgoing), (&difference.0[..], &difference.1[..]));
		Seats::set(&new.to_vec());
	}
}

impl InitializeMembers<u64> for Council {
	fn initialize_members(members: &[u64]) {
		assert!(members.is_sorted() && Seats::get().is_empty());
		Seats::set(&members.to_vec());
	}
}

/// Governance may upgrade the runtime.
pub struct Upgrades;

impl Contains<RuntimeCall> for Upgrades {
	fn contains(call: &RuntimeCall) -> bool {
		use frame_system::Call;
		matches!(call, RuntimeCall::System(Call::authorize_upgrade { .. } | Call::apply_authorized_upgrade { .. }))
	}
}

/// Refuses remarks that say something. A remark with an event is a batch of as many items as it has bytes; heap pages have to
/// come after something else.
pub struct NoRemarks;

impl crate::Screen<u64, RuntimeCall> for NoRemarks {
	fn screen(_: &u64, call: &RuntimeCall) -> Result<Option<TransactionTag>, InvalidTransaction> {
		match call {
			RuntimeCall::System(frame_system::Call::remark { remark }) if !remark.is_empty() => {
				Err(InvalidTransaction::Custom(16))
			}
			RuntimeCall::System(frame_system::Call::set_heap_pages { .. }) => Ok(Some(vec![2])),
			_ => Ok(None),
		}
	}

	fn cost(_: &u64, call: &RuntimeCall) -> u32 {
		match call {
			RuntimeCall::System(frame_system::Call::remark_with_event { remark }) => remark.len() as u32,
			_ => 1,
		}
	}

	fn weight(_: &RuntimeCall) -> Weight {
		Weight::from_parts(5, 0)
	}
}

pub const LEADER: u64 = 1;

pub fn origin(who: u64) -> RuntimeOrigin {
	RuntimeOrigin::signed(who)
}

/// What two thirds of the council carried.
pub fn council() -> RuntimeOrigin {
	RuntimeOrigin::root()
}

/// What this pallet said since the start of the test.
pub fn events() -> Vec<crate::Event<Test>> {
	System::events()
		.into_iter()
		.filter_map(|record| match record.event {
			RuntimeEvent::Tiers(event) => Some(event),
			_ => None,
		})
		.collect()
}

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
		check();
	});
}

/// Checks every invariant, and that the council knows who sits on it.
pub fn check() {
	Tiers::do_try_state().unwrap();
	assert_eq!(Seats::get(), Tiers::council());
}
