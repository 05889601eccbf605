//! A chain of System and this pallet. Accounts 1 to 99 are ISPs as long as they are among `ISPS`; 100 x + n is a subscriber
//! of ISP x; 9,000 is a researcher. 50,000 + m is a delegate of member m that may report, 60,000 + m one that may vet. An ISP
//! is in good standing once ten of its reports were confirmed. 1 governs. The clock is set by hand.

use crate::{self as pallet_indicators, Deed, Members, Parameters, Voice};
use frame_support::{
	derive_impl, parameter_types,
	traits::{ConstU32, ConstU64, EnsureOrigin, Time},
};
use ringfence_primitives::*;
use sp_runtime::BuildStorage;
use std::collections::BTreeMap;

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

pub const START: u64 = 1_000_000_000;
pub const RESEARCHER: u64 = 9_000;
pub const HOUR: u64 = 3_600_000;
pub const MINUTE: u64 = 60_000;
/// Confirmed reports that good standing takes.
pub const GOOD: u32 = 10;

/// What a delegate of `member` that may report signs with.
pub const fn reporting(member: u64) -> u64 {
	50_000 + member
}

/// What a delegate of `member` that may vet signs with.
pub const fn vetting(member: u64) -> u64 {
	60_000 + member
}

parameter_types! {
	pub storage Isps: Vec<u64> = vec![1, 2, 3, 4];
	pub storage Now: u64 = START;
	pub storage MaxRecords: u32 = 20;
	pub storage Ledger: BTreeMap<(u64, Deed), u32> = BTreeMap::new();
	pub const Initial: Parameters =
		Parameters { voting_period: HOUR, provisional_lifetime: 10 * MINUTE, provisional_cap: 3, open_cap: 100 };
}

pub struct Register;

impl Members<u64> for Register {
	fn speaker(who: &u64, scope: Scope) -> Option<(u64, Voice)> {
		let member = match (*who, scope) {
			(50_000..60_000, Scope::Report) => who - 50_000,
			(60_000..70_000, Scope::Vet) => who - 60_000,
			_ => *who,
		};
		let isp = |who: u64| Isps::get().contains(&who);
		let voice = match member {
			RESEARCHER => Voice::Researcher,
			member if isp(member) => Voice::Isp,
			member if isp(member / 100) => Voice::Subscriber,
			_ => return None,
		};
		Some((member, voice))
	}

	fn isps() -> Vec<u64> {
		Isps::get()
	}

	fn isp_count() -> u32 {
		Isps::get().len() as u32
	}

	fn in_good_standing(member: &u64) -> bool {
		deeds(*member, Deed::Confirmed) >= GOOD
	}

	fn note_times(member: &u64, deed: Deed, times: u32) {
		if times > 0 {
			let mut ledger = Ledger::get();
			*ledger.entry((*member, deed)).or_default() += times;
			Ledger::set(&ledger);
		}
	}

	fn bytes(member: &u64) -> AccountBytes {
		let mut bytes = [0; 32];
		bytes[..8].copy_from_slice(&member.to_be_bytes());
		bytes
	}

	#[cfg(feature = "runtime-benchmarks")]
	fn add_isp(who: &u64) {
		Isps::set(&[Isps::get(), vec![*who]].concat());
	}
}

/// How often the ledger was told so.
pub fn deeds(member: u64, deed: Deed) -> u32 {
	Ledger::get().get(&(member, deed)).copied().unwrap_or_default()
}

/// Makes ISPs that are in good standing.
pub fn trust(members: &[u64]) {
	let mut ledger = Ledger::get();
	ledger.extend(members.iter().map(|member| ((*member, Deed::Confirmed), GOOD)));
	Ledger::set(&ledger);
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
	type MaxRecords = MaxRecords;
	type MaxProtected = ConstU32<4>;
	type LogRetention = ConstU64<8>;
	type MaxEndingsPerBlock = ConstU32<3>;
	type InitialParameters = Initial;
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

/// A flow from `source`.
pub fn flow(source: &str) -> Indicator {
	Indicator::Flow(FlowSignature {
		protocol: Some(17),
		source: Some(source.parse().unwrap()),
		..FlowSignature::default()
	})
}

/// A service on a host.
pub fn endpoint(address: &str) -> Indicator {
	Indicator::Endpoint(Endpoint { address: address.parse().unwrap(), protocol: Transport::Tcp, port: 23 })
}

/// Votes on what is on record.
pub fn vote(isp: u64, id: IndicatorId, vote: Vote) -> sp_runtime::DispatchResult {
	let terms = crate::Records::<Test>::get(id).map_or([0; 32], |record| record.terms.hash());
	Indicators::vote(origin(isp), id, terms, vote, None)
}

/// Reports `text` by ISP 1 and has ISPs 2 and 3 approve. Returns its name.
pub fn activate(text: &str) -> IndicatorId {
	let id = indicator(text).id();
	Indicators::report(origin(1), indicator(text), terms()).unwrap();
	vote(2, id, Vote::Approve).unwrap();
	vote(3, id, Vote::Approve).unwrap();
	id
}

/// Sets the parameters of the chain, but for what `change` does to them.
pub fn set(change: impl FnOnce(&mut Parameters)) {
	let mut parameters = crate::Settings::<Test>::get();
	change(&mut parameters);
	Indicators::set_parameters(origin(1), parameters).unwrap();
}

pub fn status(id: IndicatorId) -> Option<crate::Status> {
	crate::Records::<Test>::get(id).map(|record| record.status)
}

/// What the active indicators' decisions are, by the records.
pub fn in_force() -> Vec<Decision> {
	crate::Records::<Test>::iter_values()
		.filter(|record| record.is_enforced())
		.map(|record| record.decision())
		.collect()
}

/// Entry `seq` of the change log, if it is kept.
pub fn entry(seq: u64) -> Option<Change> {
	crate::ChangeLog::<Test>::get(keys::LogNumber::from(seq))
}

/// The newest change.
pub fn newest() -> ChangeKind {
	entry(crate::Head::<Test>::get().seq).unwrap().kind
}
