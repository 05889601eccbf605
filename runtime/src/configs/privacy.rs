//! Letters between households and their providers.

use super::vetting::Register;
use crate::{weights, AccountId, Runtime, Timestamp};
use frame_support::traits::{ConstU32, ConstU64};
use pallet_tiers::{Pallet as Tiers, Role};
use ringfence_primitives::{envelope::Sealed, AccountBytes, Scope};
use sp_runtime::DispatchError;

impl pallet_envelopes::Config for Runtime {
	type Tiers = Register;
	type Log = Announcements;
	type Clock = Timestamp;
	/// One day: a provider that has not looked by then will not.
	type Lifetime = ConstU64<86_400_000>;
	/// One a minute, for hours on end. A provider sends a household a key now and then.
	type SendsPerHour = ConstU32<60>;
	/// What every gateway has to read, once each minute.
	type AnnouncementsPerHour = ConstU32<60>;
	/// What a thousand households send in an hour in which they are all under attack.
	type MaxOpen = ConstU32<65_536>;
	type MaxEndingsPerBlock = ConstU32<512>;
	type WeightInfo = weights::pallet_envelopes::WeightInfo<Runtime>;
}

impl pallet_envelopes::Correspondents<AccountId> for Register {
	fn speaker(who: &AccountId, scope: Scope) -> Option<AccountId> {
		Tiers::<Runtime>::speaker(who, scope).map(|(member, _)| member)
	}

	fn owner(who: &AccountId) -> Option<AccountId> {
		let (member, _) = Tiers::<Runtime>::owner_of(who)?;
		Tiers::<Runtime>::active_role(&member).map(|_| member)
	}

	fn isp_of(member: &AccountId) -> Option<AccountId> {
		match Tiers::<Runtime>::active_role(member)? {
			Role::Subscriber { isp } => Some(isp),
			Role::Isp | Role::Researcher => None,
		}
	}

	fn is_isp(member: &AccountId) -> bool {
		Tiers::<Runtime>::active_role(member) == Some(Role::Isp)
	}

	fn bytes(account: &AccountId) -> AccountBytes {
		account.clone().into()
	}

	#[cfg(feature = "runtime-benchmarks")]
	fn add_tier(isp: &AccountId, subscriber: &AccountId) {
		let added = Tiers::<Runtime>::add_member(isp, Role::Isp)
			.and_then(|()| Tiers::<Runtime>::add_member(subscriber, Role::Subscriber { isp: isp.clone() }));
		debug_assert!(added.is_ok(), "the register of a benchmark has room for two");
	}
}

/// Announcements go into the change log, which every gateway reads anyway.
pub struct Announcements;

impl pallet_envelopes::Log<AccountId> for Announcements {
	fn announce(isp: &AccountId, sealed: Sealed) -> Result<u64, DispatchError> {
		Ok(pallet_indicators::Pallet::<Runtime>::append_tier1(isp, sealed))
	}

	#[cfg(feature = "runtime-benchmarks")]
	fn fill() {
		use frame_support::traits::Get;
		use ringfence_primitives::{keys::LogNumber, Address, Change, ChangeKind, Indicator, LogHead};
		let oldest = 1;
		let kind = ChangeKind::Revoked(Indicator::Host(Address::V4([0; 4])));
		let entry = Change { seq: oldest, at: 0, previous: [0; 32], kind };
		pallet_indicators::ChangeLog::<Runtime>::insert(LogNumber::from(oldest), entry);
		let seq = <Runtime as pallet_indicators::Config>::LogRetention::get();
		pallet_indicators::Head::<Runtime>::put(LogHead { seq, hash: [1; 32], oldest });
	}
}
