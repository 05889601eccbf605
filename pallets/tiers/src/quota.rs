//! How much a member may say, by its role and its trust.

use crate::{Config, Members, Pallet, Power, Role, Settings, Signer, Signers, Spent};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::traits::Get;
use frame_system::pallet_prelude::BlockNumberFor;
use scale_info::TypeInfo;
use sp_runtime::traits::{CheckedDiv, One, Saturating};

/// What governance may set about members.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Parameters {
	/// How much each role may say.
	pub quotas: Quotas,
}

impl Parameters {
	/// The least quota of an ISP: who may not vote cannot undo the parameters that keep it from voting.
	pub const MIN_ISP_QUOTA: u32 = 600;

	/// Whether every member could act under these.
	pub const fn are_sound(&self) -> bool {
		self.quotas.isp >= Self::MIN_ISP_QUOTA && self.quotas.subscriber >= 1 && self.quotas.researcher >= 1
	}
}

/// Items that a member with full trust may have included in one window. A call is one item, a batch as many as it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Quotas {
	/// For an ISP.
	pub isp: u32,
	/// For a subscriber.
	pub subscriber: u32,
	/// For a researcher.
	pub researcher: u32,
}

impl Quotas {
	/// The quota of a role.
	pub const fn of<AccountId>(&self, role: &Role<AccountId>) -> u32 {
		match role {
			Role::Isp => self.isp,
			Role::Subscriber { .. } => self.subscriber,
			Role::Researcher => self.researcher,
		}
	}
}

/// From this trust on a member has its whole quota; a newcomer has more.
const FULL_TRUST: u16 = 700;
/// From this trust down it has a tenth: enough to show that it has changed.
const LEAST_TRUST: u16 = 200;

/// What part of each quota only the owner's key may spend, so that a stolen delegate cannot keep the owner from revoking
/// it.
const OWNERS_SHARE: u32 = 10;

/// Items that the owner of a member which may not act has for securing its keys.
const SECURING: u32 = 10;

/// The quota of a member with that trust: all of `base` from 700 on, a tenth up to 200, in a straight line between.
fn scaled(base: u32, trust: u16) -> u32 {
	let span = u64::from(FULL_TRUST - LEAST_TRUST);
	let above = u64::from(trust.clamp(LEAST_TRUST, FULL_TRUST) - LEAST_TRUST);
	// At most `base`, so it fits.
	let scaled = u64::from(base).saturating_mul(span.saturating_add(above.saturating_mul(9))) / (span * 10);
	u32::try_from(scaled).unwrap_or(base).max(1)
}

/// In whose name somebody comes through the door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pass<AccountId> {
	/// The member.
	pub member: AccountId,
	/// Its role.
	pub role: Role<AccountId>,
	/// Items that the member may have spent in this window once this key has acted. At least 1.
	pub allowance: u32,
}

impl<T: Config> Pallet<T> {
	/// The pass of a key. A member that may not act gets one only for `securing` its keys, and only by its owner.
	pub(crate) fn pass(who: &T::AccountId, securing: bool) -> Option<Pass<T::AccountId>> {
		let Signer { member, power } = Signers::<T>::get(who)?;
		let active = Self::active_role(&member);
		let barred = active.is_none();
		let role = match active {
			Some(role) => role,
			None if securing && power == Power::Owner => Members::<T>::get(&member)?.role,
			None => return None,
		};
		let quota = Self::quota(&member, &role);
		let allowance = match power {
			Power::Owner if barred => quota.min(SECURING),
			Power::Owner => quota,
			Power::Delegate { .. } => quota.saturating_sub(quota / OWNERS_SHARE),
		};
		Some(Pass { member, role, allowance })
	}

	/// Items that the member may have included in one window.
	pub fn quota(member: &T::AccountId, role: &Role<T::AccountId>) -> u32 {
		scaled(Settings::<T>::get().quotas.of(role), Self::trust(member))
	}

	/// Items that the member has had included in the present window.
	pub fn spent(member: &T::AccountId) -> u32 {
		let (window, spent) = Spent::<T>::get(member);
		if window == Self::window() {
			spent
		} else {
			0
		}
	}

	/// Items that the member may still have included in the present window.
	pub fn quota_left(member: &T::AccountId, role: &Role<T::AccountId>) -> u32 {
		Self::quota(member, role).saturating_sub(Self::spent(member))
	}

	/// Counts `cost` items of the member. False, and nothing is counted, where that would exceed `allowance`.
	pub(crate) fn debit(member: &T::AccountId, cost: u32, allowance: u32) -> bool {
		let spent = Self::spent(member).saturating_add(cost);
		let granted = spent <= allowance;
		if granted {
			Spent::<T>::insert(member, (Self::window(), spent));
		}
		granted
	}

	/// Windows are counted from 1, so that the default of [`Spent`] is never the present one.
	fn window() -> BlockNumberFor<T> {
		let length = T::QuotaWindow::get();
		frame_system::Pallet::<T>::block_number().checked_div(&length).unwrap_or_default().saturating_add(One::one())
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_quota_follows_trust_between_a_tenth_and_the_whole() {
		for (trust, quota) in [(0, 60), (200, 60), (450, 330), (699, 598), (700, 600), (800, 600), (1_000, 600)] {
			assert_eq!(scaled(600, trust), quota, "trust {trust}");
		}
		assert_eq!(scaled(1, 0), 1, "nobody is silenced altogether");
		assert_eq!(scaled(u32::MAX, 1_000), u32::MAX);
	}
}
