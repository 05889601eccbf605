//! Who authors and finalizes: the active ISPs that have set session keys.

use crate::{AccountId, Runtime, RuntimeEvent, Session, SessionKeys, SESSION_BLOCKS, SLOT_MILLIS};
use alloc::vec::Vec;
use frame_support::{
	parameter_types,
	traits::{
		fungible,
		tokens::{DepositConsequence, Fortitude, Precision, Preservation, Provenance, WithdrawConsequence},
		ConstBool, ConstU32, ConstU64,
	},
};
use sp_consensus_aura::sr25519::AuthorityId as AuraId;
use sp_runtime::{traits::OpaqueKeys, DispatchError, DispatchResult};
use sp_staking::SessionIndex;

/// ISPs that may be active, and so validators that may be, at once.
pub type MaxIsps = ConstU32<100>;

impl pallet_aura::Config for Runtime {
	type AuthorityId = AuraId;
	type DisabledValidators = ();
	type MaxAuthorities = MaxIsps;
	type AllowMultipleBlocksPerSlot = ConstBool<false>;
	type SlotDuration = ConstU64<SLOT_MILLIS>;
}

impl pallet_grandpa::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type WeightInfo = ();
	type MaxAuthorities = MaxIsps;
	type MaxNominators = ConstU32<0>;
	type MaxSetIdSessionEntries = ConstU64<0>;
	type KeyOwnerProof = sp_core::Void;
	type EquivocationReportSystem = ();
}

parameter_types! {
	pub const Period: u32 = SESSION_BLOCKS;
	pub const Offset: u32 = 0;
	pub const NoDeposit: u64 = 0;
}

impl pallet_session::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type ValidatorId = AccountId;
	type ValidatorIdOf = ActiveIsp;
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

/// Only an active ISP may set session keys.
pub struct ActiveIsp;

impl sp_runtime::traits::Convert<AccountId, Option<AccountId>> for ActiveIsp {
	fn convert(account: AccountId) -> Option<AccountId> {
		(pallet_tiers::Pallet::<Runtime>::active_role(&account) == Some(pallet_tiers::Role::Isp)).then_some(account)
	}
}

/// Plans each session with the ISPs that are active then and have keys.
pub struct IspValidators;

impl pallet_session::SessionManager<AccountId> for IspValidators {
	/// None where nothing changes: any answer, even the same set, would begin a new GRANDPA authority set. Never an empty
	/// set: the chain would stop.
	fn new_session(_: SessionIndex) -> Option<Vec<AccountId>> {
		let planned: Vec<AccountId> = pallet_tiers::Isps::<Runtime>::get()
			.into_iter()
			.filter(|isp| pallet_session::NextKeys::<Runtime>::contains_key(isp))
			.collect();
		(!planned.is_empty() && planned != Session::validators()).then_some(planned)
	}

	fn start_session(_: SessionIndex) {}

	fn end_session(_: SessionIndex) {}
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
