//! A chain of System and this pallet. ISP 1 has the subscribers 11 and 12, ISP 2 has 21; 90 is a researcher. 1,000 + x is
//! a delegate of x that may report, 2,000 + x one that may vet. The clock is set by hand.

use crate::{self as pallet_envelopes, Correspondents, Log};
use frame_support::{
	derive_impl, parameter_types,
	traits::{ConstU32, ConstU64, Hooks, Time},
	BoundedVec,
};
use ringfence_primitives::{
	envelope::{Envelope, Letter, Sealed, ENVELOPE_LEN, MAX_SEALED_LEN},
	AccountBytes, Digest, Scope,
};
use sp_runtime::{BuildStorage, DispatchError};

#[frame_support::runtime]
mod runtime {
	#[runtime::runtime]
	#[runtime::derive(RuntimeCall, RuntimeEvent, RuntimeError, RuntimeOrigin, RuntimeTask)]
	pub struct Test;

	#[runtime::pallet_index(0)]
	pub type System = frame_system;

	#[runtime::pallet_index(1)]
	pub type Envelopes = pallet_envelopes;
}

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
	type Block = frame_system::mocking::MockBlock<Test>;
}

parameter_types! {
	/// Subscribers and their ISPs.
	pub storage Enrolled: Vec<(u64, u64)> = vec![(1, 11), (1, 12), (2, 21)];
	/// Members that are not active.
	pub storage Gone: Vec<u64> = vec![];
	/// What was announced.
	pub storage Heard: Vec<(u64, Sealed)> = vec![];
	pub storage Now: u64 = START;
}

/// On the hour.
pub const START: u64 = 1_000 * HOUR;
pub const RESEARCHER: u64 = 90;
pub const MINUTE: u64 = 60_000;
pub const HOUR: u64 = 60 * MINUTE;
/// For which a letter stays on record.
pub const LIFETIME: u64 = 2 * HOUR;

pub struct Register;

impl Register {
	fn is_active(member: u64) -> bool {
		let known = member == RESEARCHER || Enrolled::get().iter().any(|(i, s)| *i == member || *s == member);
		known && !Gone::get().contains(&member)
	}
}

impl Correspondents<u64> for Register {
	fn speaker(who: &u64, scope: Scope) -> Option<u64> {
		let member = match who / 1_000 {
			0 => *who,
			1 if scope == Scope::Report => who - 1_000,
			2 if scope == Scope::Vet => who - 2_000,
			_ => return None,
		};
		Self::is_active(member).then_some(member)
	}

	fn owner(who: &u64) -> Option<u64> {
		Self::is_active(*who).then_some(*who)
	}

	fn isp_of(member: &u64) -> Option<u64> {
		let (isp, _) = Enrolled::get().into_iter().find(|(_, subscriber)| subscriber == member)?;
		(Self::is_active(*member) && Self::is_active(isp)).then_some(isp)
	}

	fn is_isp(member: &u64) -> bool {
		Self::is_active(*member) && Enrolled::get().iter().any(|(isp, _)| isp == member)
	}

	fn bytes(account: &u64) -> AccountBytes {
		let mut bytes = [0xaa; 32];
		bytes[..8].copy_from_slice(&account.to_le_bytes());
		bytes
	}

	#[cfg(feature = "runtime-benchmarks")]
	fn add_tier(isp: &u64, subscriber: &u64) {
		Enrolled::set(&[Enrolled::get(), vec![(*isp, *subscriber)]].concat());
	}
}

pub struct Changes;

impl Log<u64> for Changes {
	fn announce(isp: &u64, sealed: Sealed) -> Result<u64, DispatchError> {
		Heard::set(&[Heard::get(), vec![(*isp, sealed)]].concat());
		Ok(Heard::get().len() as u64)
	}

	#[cfg(feature = "runtime-benchmarks")]
	fn fill() {}
}

pub struct Clock;

impl Time for Clock {
	type Moment = u64;
	fn now() -> u64 {
		Now::get()
	}
}

impl crate::Config for Test {
	type Tiers = Register;
	type Log = Changes;
	type Clock = Clock;
	type Lifetime = ConstU64<LIFETIME>;
	type SendsPerHour = ConstU32<3>;
	type AnnouncementsPerHour = ConstU32<2>;
	type MaxOpen = ConstU32<5>;
	type MaxEndingsPerBlock = ConstU32<2>;
	type WeightInfo = ();
}

/// Runs `test` on a new chain, then checks every invariant.
pub fn on_chain(test: impl FnOnce()) {
	let storage = RuntimeGenesisConfig::default().build_storage().unwrap();
	let mut chain = sp_io::TestExternalities::new(storage);
	chain.execute_with(|| {
		// The first block that begins with a clock.
		pass(0);
		test();
		Envelopes::do_try_state().unwrap();
	});
}

pub fn origin(who: u64) -> RuntimeOrigin {
	RuntimeOrigin::signed(who)
}

/// Moves the clock and begins a block.
pub fn pass(millis: u64) {
	Now::set(&(Now::get() + millis));
	System::set_block_number(System::block_number() + 1);
	Envelopes::on_initialize(System::block_number());
}

/// An envelope like no other: what is sealed looks like noise, to this pallet as well.
pub fn envelope(seed: u8) -> Envelope {
	BoundedVec::truncate_from(vec![seed; ENVELOPE_LEN as usize])
}

pub fn sealed(seed: u8) -> Sealed {
	BoundedVec::truncate_from(vec![seed; MAX_SEALED_LEN as usize])
}

/// The name of the letter that [`envelope`] is when `from` sends it to `to`.
pub fn named(from: u64, to: u64, seed: u8) -> Digest {
	Letter { from: Register::bytes(&from), to: Register::bytes(&to), envelope: envelope(seed) }.name()
}

/// The events of this pallet so far.
pub fn events() -> Vec<crate::Event<Test>> {
	System::events()
		.into_iter()
		.filter_map(|record| match record.event {
			RuntimeEvent::Envelopes(event) => Some(event),
			_ => None,
		})
		.collect()
}
