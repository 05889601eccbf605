//! # Tiers: who belongs, as what, and how much they may say
//!
//! Internet providers (ISPs) form tier 2 and govern the chain; each enrols subscribers, who form its tier 1; researchers
//! belong to no provider. This pallet keeps the register of members and is the door of the chain: [`CheckMember`] lets
//! in only what a member in good standing signed, within the quota of its role.
//!
//! ## Terms
//!
//! - **Leader**: the ISP that admits, suspends and removes ISPs and researchers.
//! - **Standing**: a member is active unless suspended; a subscriber is active only while its ISP is.
//! - **Quota**: transactions a member may have included in one window of blocks.
//!
//! ## Security considerations
//!
//! - There is no token, so a member costs nothing but its place in the register. Registers are bounded: ISPs by
//!   `MaxIsps`, the accounts that one ISP may ever enrol by `MaxSubscribers`.
//! - Removing a member keeps its account's provider reference, so its nonce stays and no transaction that it ever
//!   signed can be replayed, should it be admitted again. [`MortalOnly`] bounds the life of those not yet included.
//! - The leader cannot be suspended or removed, and the last active ISP cannot leave: the chain would have no author.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod extension;
#[cfg(test)]
mod mock;
mod register;
#[cfg(test)]
mod tests;
pub mod weights;

pub use extension::{CheckMember, MortalOnly, Order, Refusal, Screen};
pub use pallet::*;
pub use register::{EnsureLeader, Member, Quotas, Role, Status};
pub use weights::WeightInfo;

#[frame_support::pallet]
pub mod pallet {
	use super::{register::Member, *};
	use alloc::vec::Vec;
	use frame_support::pallet_prelude::*;
	use frame_system::pallet_prelude::*;

	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
		/// ISPs that may be active at once.
		#[pallet::constant]
		type MaxIsps: Get<u32>;

		/// Accounts that one ISP may ever enrol. Removed ones count, because their nonces are kept.
		#[pallet::constant]
		type MaxSubscribers: Get<u32>;

		/// Length of a quota window, in blocks. At least 1.
		#[pallet::constant]
		type QuotaWindow: Get<BlockNumberFor<Self>>;

		/// Transactions a member may have included in one window, by role.
		#[pallet::constant]
		type Quotas: Get<Quotas>;

		/// A look at each call before it comes in.
		type Screen: Screen<Self::AccountId, Self::RuntimeCall>;

		/// Weights of the calls and of the door.
		type WeightInfo: WeightInfo;
	}

	/// The register of members.
	#[pallet::storage]
	pub type Members<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, Member<T::AccountId>>;

	/// The leader.
	#[pallet::storage]
	pub type Leader<T: Config> = StorageValue<_, T::AccountId>;

	/// The active ISPs, oldest admission first.
	#[pallet::storage]
	pub type Isps<T: Config> = StorageValue<_, BoundedVec<T::AccountId, T::MaxIsps>, ValueQuery>;

	/// Accounts that an ISP ever enrolled.
	#[pallet::storage]
	pub type Enrolments<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, u32, ValueQuery>;

	/// The newest window in which a member had a transaction included, and how many.
	#[pallet::storage]
	pub type Spent<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, (BlockNumberFor<T>, u32), ValueQuery>;

	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// The leader admitted an ISP or a researcher.
		Admitted { account: T::AccountId, role: Role<T::AccountId> },
		/// An ISP enrolled a subscriber.
		Enrolled { isp: T::AccountId, account: T::AccountId },
		/// A member may not act until it is reinstated.
		Suspended { account: T::AccountId },
		/// A suspended member may act again.
		Reinstated { account: T::AccountId },
		/// An account is a member no longer.
		Removed { account: T::AccountId },
	}

	#[pallet::error]
	pub enum Error<T> {
		/// Only the leader may do this.
		NotLeader,
		/// Only an active ISP may do this.
		NotIsp,
		/// The account is not a member.
		NotMember,
		/// The account is a member already.
		AlreadyMember,
		/// The member answers to somebody else.
		NotYours,
		/// Subscribers are enrolled by their ISP, not admitted.
		EnrolInstead,
		/// The member is suspended already.
		AlreadySuspended,
		/// The member is not suspended.
		NotSuspended,
		/// The leader cannot be suspended or removed.
		IsLeader,
		/// The last active ISP cannot be suspended or removed.
		LastIsp,
		/// As many ISPs are active as the chain can have.
		TooManyIsps,
		/// The ISP has enrolled as many accounts as it ever may.
		TooManySubscribers,
	}

	#[pallet::genesis_config]
	#[derive(frame_support::DefaultNoBound)]
	pub struct GenesisConfig<T: Config> {
		/// The ISPs; the first is the leader.
		pub isps: Vec<T::AccountId>,
		/// Subscribers: ISP and account.
		pub subscribers: Vec<(T::AccountId, T::AccountId)>,
		/// Researchers.
		pub researchers: Vec<T::AccountId>,
	}

	#[pallet::genesis_build]
	impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
		fn build(&self) {
			// A chain that cannot be built as described must not start: genesis is the one place that panics.
			Leader::<T>::set(self.isps.first().cloned());
			for isp in &self.isps {
				Pallet::<T>::insert(isp, Role::Isp).expect("genesis ISPs are distinct and fit MaxIsps");
			}
			for (isp, account) in &self.subscribers {
				Pallet::<T>::do_enrol(isp, account).expect("genesis subscribers are distinct and of a genesis ISP");
			}
			for account in &self.researchers {
				Pallet::<T>::insert(account, Role::Researcher).expect("genesis researchers are distinct");
			}
		}
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn integrity_test() {
			assert!(T::MaxIsps::get() > 0, "a chain has at least one ISP");
			assert!(T::QuotaWindow::get() > 0u32.into(), "a quota window has at least one block");
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Makes `account` an ISP or a researcher.
		///
		/// Origin: the leader. Errors: [`Error::NotLeader`], [`Error::AlreadyMember`], [`Error::EnrolInstead`] for a
		/// subscriber, [`Error::TooManyIsps`]. Event: [`Event::Admitted`].
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::admit())]
		pub fn admit(origin: OriginFor<T>, account: T::AccountId, role: Role<T::AccountId>) -> DispatchResult {
			Self::ensure_leader(origin)?;
			ensure!(!matches!(role, Role::Subscriber { .. }), Error::<T>::EnrolInstead);
			Self::insert(&account, role.clone())?;
			Self::deposit_event(Event::Admitted { account, role });
			Ok(())
		}

		/// Makes `account` a subscriber of the caller. An account whose former ISP is no member any more may be taken over.
		///
		/// Origin: an active ISP. Errors: [`Error::NotIsp`], [`Error::AlreadyMember`], [`Error::TooManySubscribers`].
		/// Event: [`Event::Enrolled`].
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::enrol())]
		pub fn enrol(origin: OriginFor<T>, account: T::AccountId) -> DispatchResult {
			let isp = ensure_signed(origin)?;
			Self::do_enrol(&isp, &account)?;
			Self::deposit_event(Event::Enrolled { isp, account });
			Ok(())
		}

		/// Bars a member from acting until it is reinstated. A suspended ISP's subscribers are barred with it.
		///
		/// Origin: the leader for ISPs and researchers, its ISP for a subscriber. Errors: [`Error::NotMember`],
		/// [`Error::NotYours`], [`Error::AlreadySuspended`], [`Error::IsLeader`], [`Error::LastIsp`]. Event:
		/// [`Event::Suspended`].
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::suspend())]
		pub fn suspend(origin: OriginFor<T>, account: T::AccountId) -> DispatchResult {
			Self::ensure_superior(origin, &account)?;
			Self::do_suspend(&account)?;
			Self::deposit_event(Event::Suspended { account });
			Ok(())
		}

		/// Lets a suspended member act again.
		///
		/// Origin: as for [`Pallet::suspend`]. Errors: [`Error::NotMember`], [`Error::NotYours`],
		/// [`Error::NotSuspended`], [`Error::TooManyIsps`]. Event: [`Event::Reinstated`].
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::reinstate())]
		pub fn reinstate(origin: OriginFor<T>, account: T::AccountId) -> DispatchResult {
			Self::ensure_superior(origin, &account)?;
			Self::do_reinstate(&account)?;
			Self::deposit_event(Event::Reinstated { account });
			Ok(())
		}

		/// Ends a membership. The nonce of the account is kept for good.
		///
		/// Origin: as for [`Pallet::suspend`]. Errors: [`Error::NotMember`], [`Error::NotYours`], [`Error::IsLeader`],
		/// [`Error::LastIsp`]. Event: [`Event::Removed`].
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::remove())]
		pub fn remove(origin: OriginFor<T>, account: T::AccountId) -> DispatchResult {
			Self::ensure_superior(origin, &account)?;
			Self::do_remove(&account)?;
			Self::deposit_event(Event::Removed { account });
			Ok(())
		}
	}
}
