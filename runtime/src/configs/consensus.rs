//! Who authors and finalizes: the active ISPs that have set session keys. And who is caught signing against itself.

use crate::{
	AccountId, Aura, AuraOffences, Offences, Runtime, RuntimeCall, RuntimeEvent, Session, SessionKeys,
	UncheckedExtrinsic, SESSION_BLOCKS, SLOT_MILLIS,
};
use alloc::vec::Vec;
use frame_support::{
	parameter_types,
	traits::{
		fungible,
		tokens::{DepositConsequence, Fortitude, Precision, Preservation, Provenance, WithdrawConsequence},
		ConstBool, ConstU32, ConstU64, Get,
	},
	weights::Weight,
};
use frame_system::offchain::{CreateBare, CreateTransactionBase};
use pallet_tiers::{Isps, Member, Role, Status};
use sp_consensus_aura::{sr25519::AuthorityId as AuraId, Slot};
use sp_runtime::{traits::OpaqueKeys, DispatchError, DispatchResult, Perbill};
use sp_staking::{
	offence::{OffenceDetails, OnOffenceHandler},
	SessionIndex,
};

/// ISPs that may be active, and so validators that may be, at once.
pub const MAX_ISPS: u32 = 64;

/// [`MAX_ISPS`], as a type.
pub type MaxIsps = ConstU32<MAX_ISPS>;

/// Sessions whose keys are kept, and for which offences are punished: two hours. Who signs against itself is found out
/// within seconds, and a member that was reinstated is not to be suspended again for what was forgiven.
pub const KEPT_SESSIONS: u32 = 120;

/// The blocks, and so at least the slots, of [`KEPT_SESSIONS`].
const KEPT_BLOCKS: u64 = KEPT_SESSIONS as u64 * SESSION_BLOCKS as u64;

impl pallet_aura::Config for Runtime {
	type AuthorityId = AuraId;
	type DisabledValidators = ();
	type MaxAuthorities = MaxIsps;
	type AllowMultipleBlocksPerSlot = ConstBool<false>;
	type SlotDuration = ConstU64<SLOT_MILLIS>;
}

impl pallet_authorship::Config for Runtime {
	type FindAuthor = pallet_session::FindAccountFromAuthorIndex<Runtime, Aura>;
	type EventHandler = ();
}

impl pallet_grandpa::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type WeightInfo = ();
	type MaxAuthorities = MaxIsps;
	type MaxNominators = ConstU32<0>;
	// A session begins one set at most.
	type MaxSetIdSessionEntries = ConstU64<{ KEPT_SESSIONS as u64 }>;
	type KeyOwnerProof = sp_session::MembershipProof;
	type EquivocationReportSystem =
		pallet_grandpa::EquivocationReportSystem<Runtime, Offences, AuraOffences, ConstU64<KEPT_BLOCKS>>;
}

impl pallet_offences::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type IdentificationTuple = AccountId;
	type OnOffenceHandler = Suspension;
}

impl pallet_aura_offences::Config for Runtime {
	type Keys = SessionKeys;
	type MaxValidators = MaxIsps;
	type KeptSessions = ConstU32<KEPT_SESSIONS>;
	type MaxAge = ConstU64<KEPT_BLOCKS>;
	type CurrentSlot = PresentSlot;
	type Offences = Offences;
	type WeightInfo = crate::weights::pallet_aura_offences::WeightInfo<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = Suspension;
}

/// The slot of the present block.
pub struct PresentSlot;

impl Get<Slot> for PresentSlot {
	fn get() -> Slot {
		pallet_aura::CurrentSlot::<Runtime>::get()
	}
}

/// Who signs against itself is suspended, unless the chain could not go on without it.
pub struct Suspension;

impl OnOffenceHandler<AccountId, AccountId, Weight> for Suspension {
	fn on_offence(offenders: &[OffenceDetails<AccountId, AccountId>], _: &[Perbill], _: SessionIndex) -> Weight {
		for OffenceDetails { offender, .. } in offenders {
			pallet_tiers::Pallet::<Runtime>::suspend_for_offence(offender);
		}
		// Part of what the report weighs.
		Weight::zero()
	}
}

#[cfg(feature = "runtime-benchmarks")]
impl pallet_aura_offences::BenchmarkHelper<AccountId, SessionKeys> for Suspension {
	fn validator(index: u32, aura: AuraId) -> (AccountId, SessionKeys) {
		let account: AccountId = frame_benchmarking::account("validator", index, 0);
		if index == 0 {
			// Those of the genesis would take the last ones' places.
			Isps::<Runtime>::kill();
		}
		let added = pallet_tiers::Pallet::<Runtime>::add_member(&account, Role::Isp);
		debug_assert!(added.is_ok(), "there is room for as many ISPs as validators");
		let grandpa = sp_core::ed25519::Public::from_raw(account.clone().into()).into();
		(account, SessionKeys { aura, grandpa })
	}
}

impl<C> CreateTransactionBase<C> for Runtime
where
	RuntimeCall: From<C>,
{
	type Extrinsic = UncheckedExtrinsic;
	type RuntimeCall = RuntimeCall;
}

impl<C> CreateBare<C> for Runtime
where
	RuntimeCall: From<C>,
{
	fn create_bare(call: RuntimeCall) -> UncheckedExtrinsic {
		UncheckedExtrinsic::new_bare(call)
	}
}

parameter_types! {
	pub const Period: u32 = SESSION_BLOCKS;
	pub const Offset: u32 = 0;
	pub const NoDeposit: u64 = 0;
}

impl pallet_session::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type ValidatorId = AccountId;
	type ValidatorIdOf = OwnedIsp;
	type ShouldEndSession = pallet_session::PeriodicSessions<Period, Offset>;
	type NextSessionRotation = pallet_session::PeriodicSessions<Period, Offset>;
	type SessionManager = IspValidators;
	type SessionHandler = <SessionKeys as OpaqueKeys>::KeyTypeIdProviders;
	type Keys = SessionKeys;
	type DisablingStrategy = ();
	type WeightInfo = ();
	type Currency = NoCurrency;
	type KeyDeposit = NoDeposit;
}

/// Only the owner of an active ISP may set its session keys. The ISP validates under its own name, whoever owns it.
pub struct OwnedIsp;

impl sp_runtime::traits::Convert<AccountId, Option<AccountId>> for OwnedIsp {
	fn convert(account: AccountId) -> Option<AccountId> {
		let (member, entry) = pallet_tiers::Pallet::<Runtime>::owner_of(&account)?;
		(entry == Member { role: Role::Isp, status: Status::Active }).then_some(member)
	}
}

/// Plans each session with the ISPs that are active then and have keys.
pub struct IspValidators;

impl pallet_session::SessionManager<AccountId> for IspValidators {
	/// None where nothing changes: any answer, even the same set, would begin a new GRANDPA authority set. Never an empty
	/// set: the chain would stop.
	fn new_session(_: SessionIndex) -> Option<Vec<AccountId>> {
		let planned: Vec<AccountId> = Isps::<Runtime>::get()
			.into_iter()
			.filter(|isp| pallet_session::NextKeys::<Runtime>::contains_key(isp))
			.collect();
		(!planned.is_empty() && planned != Session::validators()).then_some(planned)
	}

	/// The keys queued now are those of the session that begins: the next are queued only after this.
	fn start_session(index: SessionIndex) {
		AuraOffences::note_session(index, Session::queued_keys());
	}

	fn end_session(_: SessionIndex) {}
}

/// The members that validate now, or will with the next session.
pub struct Validating;

impl Get<Vec<AccountId>> for Validating {
	fn get() -> Vec<AccountId> {
		let mut validators = Session::validators();
		for (validator, _) in Session::queued_keys() {
			if !validators.contains(&validator) {
				validators.push(validator);
			}
		}
		validators
	}
}

/// A currency in which nobody has anything and nothing costs anything: session keys need no deposit.
pub struct NoCurrency;

impl fungible::Inspect<AccountId> for NoCurrency {
	type Balance = u64;
	fn total_issuance() -> u64 {
		0
	}
	fn minimum_balance() -> u64 {
		0
	}
	fn total_balance(_: &AccountId) -> u64 {
		0
	}
	fn balance(_: &AccountId) -> u64 {
		0
	}
	fn reducible_balance(_: &AccountId, _: Preservation, _: Fortitude) -> u64 {
		0
	}
	fn can_deposit(_: &AccountId, _: u64, _: Provenance) -> DepositConsequence {
		DepositConsequence::UnknownAsset
	}
	fn can_withdraw(_: &AccountId, amount: u64) -> WithdrawConsequence<u64> {
		if amount == 0 {
			WithdrawConsequence::Success
		} else {
			WithdrawConsequence::UnknownAsset
		}
	}
}

impl fungible::Unbalanced<AccountId> for NoCurrency {
	fn handle_dust(_: fungible::Dust<AccountId, Self>) {}
	fn write_balance(_: &AccountId, _: u64) -> Result<Option<u64>, DispatchError> {
		Err(DispatchError::Unavailable)
	}
	fn set_total_issuance(_: u64) {}
}

impl fungible::Mutate<AccountId> for NoCurrency {}

impl fungible::InspectHold<AccountId> for NoCurrency {
	type Reason = crate::RuntimeHoldReason;
	fn total_balance_on_hold(_: &AccountId) -> u64 {
		0
	}
	fn balance_on_hold(_: &Self::Reason, _: &AccountId) -> u64 {
		0
	}
}

impl fungible::UnbalancedHold<AccountId> for NoCurrency {
	fn set_balance_on_hold(_: &Self::Reason, _: &AccountId, amount: u64) -> DispatchResult {
		if amount == 0 {
			Ok(())
		} else {
			Err(DispatchError::Unavailable)
		}
	}
}

impl fungible::MutateHold<AccountId> for NoCurrency {
	// The default goes through the total issuance, of which there is none.
	fn hold(_: &Self::Reason, _: &AccountId, amount: u64) -> DispatchResult {
		if amount == 0 {
			Ok(())
		} else {
			Err(DispatchError::Unavailable)
		}
	}
	fn release(_: &Self::Reason, _: &AccountId, _: u64, _: Precision) -> Result<u64, DispatchError> {
		Ok(0)
	}
}
