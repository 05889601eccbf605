//! Members and indicators.

use super::consensus::MaxIsps;
use crate::{weights, AccountId, BlockNumber, Indicators, Runtime, RuntimeCall, Timestamp};
use frame_support::{
	parameter_types,
	traits::{ConstU32, ConstU64},
	weights::Weight,
};
use pallet_indicators::Voice;
use pallet_tiers::{Quotas, Role, Screen};
use sp_runtime::transaction_validity::InvalidTransaction;

parameter_types! {
	/// One minute.
	pub const QuotaWindow: BlockNumber = 120;
	/// Transactions a minute. An ISP vets everybody's reports beside making its own.
	pub const MemberQuotas: Quotas = Quotas { isp: 6_000, subscriber: 30, researcher: 120 };
}

impl pallet_tiers::Config for Runtime {
	type MaxIsps = MaxIsps;
	type MaxSubscribers = ConstU32<1_000_000>;
	type QuotaWindow = QuotaWindow;
	type Quotas = MemberQuotas;
	type Screen = Blockable;
	type WeightInfo = weights::pallet_tiers::WeightInfo<Runtime>;
}

impl pallet_indicators::Config for Runtime {
	type Members = Register;
	type Governance = pallet_tiers::EnsureLeader<Runtime>;
	type Clock = Timestamp;
	type MaxIsps = MaxIsps;
	type MaxRecords = ConstU32<2_000_000>;
	type MaxProtected = ConstU32<512>;
	type LogRetention = ConstU64<1_000_000>;
	type MaxEndingsPerBlock = ConstU32<512>;
	/// One hour.
	type VotingPeriod = ConstU64<3_600_000>;
	type WeightInfo = weights::pallet_indicators::WeightInfo<Runtime>;
}

/// `InvalidTransaction::Custom` for a report of what must not be blocked.
pub const UNBLOCKABLE: u8 = 16;

/// Turns reports of what must not be blocked away at the door. Dispatch checks again: protection may grow meanwhile.
pub struct Blockable;

impl Screen<AccountId, RuntimeCall> for Blockable {
	fn screen(_: &AccountId, call: &RuntimeCall) -> Result<(), InvalidTransaction> {
		match call {
			RuntimeCall::Indicators(pallet_indicators::Call::report { indicator, .. }) => {
				Indicators::ensure_blockable(indicator).map_err(|_| InvalidTransaction::Custom(UNBLOCKABLE))
			}
			_ => Ok(()),
		}
	}

	fn weight(call: &RuntimeCall) -> Weight {
		match call {
			RuntimeCall::Indicators(pallet_indicators::Call::report { .. }) => {
				<<Runtime as pallet_indicators::Config>::WeightInfo as pallet_indicators::WeightInfo>::ensure_blockable(
				)
			}
			_ => Weight::zero(),
		}
	}
}

/// The register of members, as the indicators pallet sees it.
pub struct Register;

impl pallet_indicators::Members<AccountId> for Register {
	fn voice(who: &AccountId) -> Option<Voice<AccountId>> {
		pallet_tiers::Pallet::<Runtime>::active_role(who).map(|role| match role {
			Role::Isp => Voice::Isp,
			Role::Subscriber { isp } => Voice::SubscriberOf(isp),
			Role::Researcher => Voice::Researcher,
		})
	}

	fn isps() -> u32 {
		pallet_tiers::Isps::<Runtime>::decode_len().unwrap_or(0) as u32
	}

	#[cfg(feature = "runtime-benchmarks")]
	fn add_isp(who: &AccountId) {
		pallet_tiers::Members::<Runtime>::insert(
			who,
			pallet_tiers::Member { role: Role::Isp, status: pallet_tiers::Status::Active },
		);
		pallet_tiers::Isps::<Runtime>::mutate(|isps| {
			let _ = isps.try_push(who.clone());
		});
	}
}
