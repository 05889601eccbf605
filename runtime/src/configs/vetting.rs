//! Members and indicators.

use super::consensus::MaxIsps;
use crate::{weights, AccountId, BlockNumber, Indicators, Runtime, RuntimeCall, Timestamp};
use alloc::vec::Vec;
use codec::Encode;
use frame_support::{
	parameter_types,
	traits::{ConstU32, ConstU64},
	weights::Weight,
};
use pallet_indicators::{Call, Records, Voice};
use pallet_tiers::{Order, Quotas, Role, Screen};
use ringfence_primitives::{Digest, IndicatorId};
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionTag};

parameter_types! {
	/// One minute.
	pub const QuotaWindow: BlockNumber = 120;
	/// Transactions a minute. An ISP vets everybody's reports beside making its own.
	pub const MemberQuotas: Quotas = Quotas { isp: 6_000, subscriber: 60, researcher: 120 };
}

impl pallet_tiers::Config for Runtime {
	type MaxIsps = MaxIsps;
	type MaxSubscribers = ConstU32<1_000_000>;
	type QuotaWindow = QuotaWindow;
	type Quotas = MemberQuotas;
	type Screen = Vetting;
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

/// Turns reports of what must not be blocked away at the door; dispatch checks again, since protection may grow
/// meanwhile. Lets a vote wait in the pool for the report that it is about, so that both fit into one block.
pub struct Vetting;

impl Screen<AccountId, RuntimeCall> for Vetting {
	fn screen(_: &AccountId, call: &RuntimeCall) -> Result<Order, InvalidTransaction> {
		match call {
			RuntimeCall::Indicators(Call::report { indicator, terms }) => {
				Indicators::ensure_blockable(indicator).map_err(|_| InvalidTransaction::Custom(UNBLOCKABLE))?;
				Ok(Order { provides: Some(tag(&indicator.id(), &terms.hash())), requires: None })
			}
			RuntimeCall::Indicators(Call::vote { id, terms, .. }) if !Records::<Runtime>::contains_key(id) => {
				Ok(Order { provides: None, requires: Some(tag(id, terms)) })
			}
			_ => Ok(Order::default()),
		}
	}

	fn weight(call: &RuntimeCall) -> Weight {
		match call {
			RuntimeCall::Indicators(Call::report { .. }) => {
				<<Runtime as pallet_indicators::Config>::WeightInfo as pallet_indicators::WeightInfo>::ensure_blockable(
				)
			}
			RuntimeCall::Indicators(Call::vote { .. }) => <Runtime as frame_system::Config>::DbWeight::get().reads(1),
			_ => Weight::zero(),
		}
	}
}

/// Names a report in the pool: the indicator and the terms, so that a vote comes after just the report that it is about.
fn tag(id: &IndicatorId, terms: &Digest) -> TransactionTag {
	(b"report", id, terms).encode()
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

	fn isps() -> Vec<AccountId> {
		pallet_tiers::Isps::<Runtime>::get().into_inner()
	}

	#[cfg(feature = "runtime-benchmarks")]
	fn add_isp(who: &AccountId) {
		if pallet_tiers::Isps::<Runtime>::try_append(who).is_ok() {
			let member = pallet_tiers::Member { role: Role::Isp, status: pallet_tiers::Status::Active };
			pallet_tiers::Members::<Runtime>::insert(who, member);
		}
	}
}
