//! A chain of System and this pallet. Accounts 1 to 99 are ISPs as long as they are among `ISPS`; 100 x + n is a subscriber
//! of ISP x; 9,000 is a researcher; 1 governs. The clock is set by hand.

use crate::{self as pallet_indicators, Members, Voice};
use frame_support::{
	derive_impl, parameter_types,
	traits::{ConstU32, ConstU64, EnsureOrigin, Time},
};
use ringfence_primitives::*;
use sp_runtime::BuildStorage;

#[frame_support::runtime]
mod runtime {
	#[runtime::runtime]
	#[runtime::derive(RuntimeCall, RuntimeEvent, RuntimeError, RuntimeOrigin, RuntimeTask)]
	pub struct Test;

	#[runtime::pallet_index(0)]
	pub type System = frame_system;

	#[runtime::pallet_index(1)]
	pub type Indicators = pallet_indicators;
}

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
	type Block = frame_system::mocking::MockBlock<Test>;
}

parameter_types! {
	pub storage Isps: Vec<u64> = vec![1, 2, 3, 4];
	pub storage Now: u64 = START;
}

pub const START: u64 = 1_000_000_000;
pub const RESEARCHER: u64 = 9_000;
pub const HOUR: u64 = 3_600_000;

pub struct Register;

impl Members<u64> for Register {
	fn voice(who: &u64) -> Option<Voice<u64>> {
		let isp = |who: &u64| Isps::get().contains(who);
		match who {
			&RESEARCHER => Some(Voice::Researcher),
			who if isp(who) => Some(Voice::Isp),
			who if isp(&(who / 100)) => Some(Voice::SubscriberOf(who / 100)),
			_ => None,
		}
	}

	fn isps() -> Vec<u64> {
		Isps::get()
	}

	#[cfg(feature = "runtime-benchmarks")]
	fn add_isp(who: &u64) {
		Isps::set(&[Isps::get(), vec![*who]].concat());
	}
}

pub struct Clock;

impl Time for Clock {
	type Moment = u64;
	fn now() -> u64 {
		Now::get()
	}
}

pub struct One;

impl EnsureOrigin<RuntimeOrigin> for One {
	type Success = ();
	fn try_origin(origin: RuntimeOrigin) -> Result<(), RuntimeOrigin> {
		match frame_system::ensure_signed(origin.clone()) {
			Ok(1) => Ok(()),
			_ => Err(origin),
		}
	}
	#[cfg(feature = "runtime-benchmarks")]
	fn try_successful_origin() -> Result<RuntimeOrigin, ()> {
		Ok(RuntimeOrigin::signed(1))
	}
}

impl crate::Config for Test {
	type Members = Register;
	type Governance = One;
	type Clock = Clock;
	type MaxIsps = ConstU32<10>;
	type MaxRecords = ConstU32<20>;
	type MaxProtected = ConstU32<4>;
	type LogRetention = ConstU64<8>;
	type MaxEndingsPerBlock = ConstU32<3>;
	type VotingPeriod = ConstU64<HOUR>;
	type WeightInfo = ();
}

/// Runs `test` on a new chain on which 10.0.0.0/8 and 2001:db8:5::/48 are protected, then checks every invariant.
pub fn on_chain(test: impl FnOnce()) {
	let storage = RuntimeGenesisConfig {
		indicators: crate::GenesisConfig {
			protected: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:5::/48".parse().unwrap()],
			..Default::default()
		},
		..Default::default()
	}
	.build_storage()
	.unwrap();
	let mut chain = sp_io::TestExternalities::new(storage);
	chain.execute_with(|| {
		// The first block that begins with a clock.
		pass(0);
		test();
		Indicators::do_try_state().unwrap();
	});
}

pub fn origin(who: u64) -> RuntimeOrigin {
	RuntimeOrigin::signed(who)
}

/// Moves the clock and begins a block.
pub fn pass(millis: u64) {
	use frame_support::traits::Hooks;
	Now::set(&(Now::get() + millis));
	System::set_block_number(System::block_number() + 1);
	Indicators::on_initialize(System::block_number());
}

/// Lets time pass in blocks of ten seconds.
pub fn live(millis: u64) {
	for _ in 0..millis / 10_000 {
		pass(10_000);
	}
}

pub fn indicator(text: &str) -> Indicator {
	text.parse::<Network>().unwrap().into()
}

/// An hour's drop in both directions.
pub fn terms() -> Terms {
	Terms {
		threat: ThreatClass::Scan,
		severity: Severity::High,
		confidence: Confidence::new(80).unwrap(),
		direction: Direction::Both,
		action: Action::Drop,
		tlp: Tlp::Green,
		lifetime: Lifetime::new(3_600).unwrap(),
		evidence: None,
		note: Note::truncated("seen at the gateway"),
	}
}

pub fn lasting(seconds: u32) -> Terms {
	Terms { lifetime: Lifetime::new(seconds).unwrap(), ..terms() }
}

/// Votes on what is on record.
pub fn vote(isp: u64, id: IndicatorId, vote: Vote) -> sp_runtime::DispatchResult {
	let terms = crate::Records::<Test>::get(id).map_or([0; 32], |record| record.terms.hash());
	Indicators::vote(origin(isp), id, terms, vote)
}

/// Reports `text` by ISP 1 and has ISPs 2 and 3 approve. Returns its name.
pub fn activate(text: &str) -> IndicatorId {
	let id = indicator(text).id();
	Indicators::report(origin(1), indicator(text), terms()).unwrap();
	vote(2, id, Vote::Approve).unwrap();
	vote(3, id, Vote::Approve).unwrap();
	id
}

/// The newest change.
pub fn newest() -> ChangeKind {
	crate::ChangeLog::<Test>::get(crate::Head::<Test>::get().seq).unwrap().kind
}
