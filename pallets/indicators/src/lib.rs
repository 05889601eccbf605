//! # Indicators: from a report to a decision
//!
//! Members report indicators of compromise, ISPs vote on them, and what a quorum of distinct ISPs approves becomes active
//! until it expires or is revoked. Every such decision is one entry of the change log, which enforcers follow.
//!
//! ## Terms
//!
//! - **Report**: a member's claim about an indicator. An ISP's report counts as its approval.
//! - **Vote**: an ISP's approval, sighting (an approval that says "I saw it too") or rejection. An ISP may change its mind.
//! - **Quorum**: more than half of the active ISPs; two thirds where the indicator is wide. So wherever there are two
//!   ISPs, the reporter's own cannot promote alone. One third of rejections stops a proposal; a majority of rejections
//!   revokes what is active.
//! - **Change**: one entry of the hash-chained change log. The event [`Event::Changed`] is the doorbell, the log the letter.
//! - **Protected network**: never blocked. An indicator that overlaps one, in either direction, is refused when it is
//!   reported and again when it is approved.
//!
//! ```text
//!                 quorum                    time is up
//!  report → Proposed ──────────→ Active ───────────────→ Expired
//!              │ │                  │ withdrawn, or a majority rejects
//!              │ │ time is up       └──────────────────→ Revoked
//!              │ └─────────→ Lapsed
//!              │ one third rejects
//!              └─────────→ Rejected (stays so until its time is up, so that it cannot be pressed again at once)
//! ```
//!
//! ## Security considerations
//!
//! - Every argument is decoded from what a member sent; `ringfence_primitives` refuses what is not canonical.
//! - Nothing grows without bound: records by `MaxRecords`, votes by the number of ISPs, the log by `LogRetention`,
//!   endings in one block by `MaxEndingsPerBlock`.
//! - An extension never lives longer than the lifetime that was voted on.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod api;
#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod change_log;
mod endings;
mod lifecycle;
#[cfg(test)]
mod mock;
mod protection;
#[cfg(test)]
mod tests;
pub mod weights;

pub use lifecycle::{Members, Record, Status, Voice};
pub use pallet::*;
pub use weights::WeightInfo;

#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use alloc::vec::Vec;
	use frame_support::{pallet_prelude::*, traits::Time};
	use frame_system::pallet_prelude::*;
	use ringfence_primitives::{Change, Digest, Indicator, IndicatorId, LogHead, Millis, Network, Terms, Vote};

	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	/// A record of this chain.
	pub type RecordOf<T> = Record<<T as frame_system::Config>::AccountId, <T as Config>::MaxIsps>;

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
		/// Who may report and vote.
		type Members: Members<Self::AccountId>;

		/// Who decides on protected networks.
		type Governance: EnsureOrigin<Self::RuntimeOrigin>;

		/// The chain's clock, in milliseconds since the Unix epoch.
		type Clock: Time<Moment = Millis>;

		/// ISPs that may be active at once.
		#[pallet::constant]
		type MaxIsps: Get<u32>;

		/// Indicators that may be proposed, active or rejected at once.
		#[pallet::constant]
		type MaxRecords: Get<u32>;

		/// Networks that may be protected.
		#[pallet::constant]
		type MaxProtected: Get<u32>;

		/// Entries that the change log keeps. At least 1.
		#[pallet::constant]
		type LogRetention: Get<u64>;

		/// Records that may lapse or expire in one block. At least 1.
		#[pallet::constant]
		type MaxEndingsPerBlock: Get<u32>;

		/// Milliseconds for which a proposal waits for votes, and for which a rejected one may not be proposed again.
		#[pallet::constant]
		type VotingPeriod: Get<Millis>;

		/// Weights of the calls and of endings.
		type WeightInfo: WeightInfo;
	}

	/// Proposed, active and rejected indicators, by the hash of the indicator.
	#[pallet::storage]
	pub type Records<T: Config> = CountedStorageMap<_, Identity, IndicatorId, RecordOf<T>>;

	/// Those that await votes.
	#[pallet::storage]
	pub type Proposed<T: Config> = StorageMap<_, Identity, IndicatorId, ()>;

	/// How many of them there are.
	#[pallet::storage]
	pub type ProposedCount<T: Config> = StorageValue<_, u32, ValueQuery>;

	/// How many are active.
	#[pallet::storage]
	pub type ActiveCount<T: Config> = StorageValue<_, u32, ValueQuery>;

	/// What ends in which stretch of time: see [`endings`].
	#[pallet::storage]
	pub type Endings<T: Config> = StorageDoubleMap<_, Twox64Concat, u64, Identity, IndicatorId, ()>;

	/// The stretch of time whose endings come next.
	#[pallet::storage]
	pub type NextEndings<T: Config> = StorageValue<_, u64, ValueQuery>;

	/// Networks that are never blocked.
	#[pallet::storage]
	pub type ProtectedNetworks<T: Config> = StorageValue<_, BoundedVec<Network, T::MaxProtected>, ValueQuery>;

	/// The change log. Its key is part of the contract with enforcers: `ringfence_primitives::keys`.
	#[pallet::storage]
	pub type ChangeLog<T: Config> = StorageMap<_, Twox64Concat, u64, Change>;

	/// Where the change log stands. Its key is part of the contract with enforcers, too.
	#[pallet::storage]
	pub type Head<T: Config> = StorageValue<_, LogHead, ValueQuery>;

	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// A new indicator awaits votes.
		Reported { id: IndicatorId, reporter: T::AccountId },
		/// An ISP voted.
		Voted { id: IndicatorId, isp: T::AccountId, vote: Vote },
		/// A quorum approved: entry `seq` of the change log.
		Activated { id: IndicatorId, seq: u64 },
		/// An active indicator was reported again and lasts longer.
		Extended { id: IndicatorId, seq: u64 },
		/// A third of the ISPs rejected a proposal.
		Rejected { id: IndicatorId },
		/// A proposal was taken back.
		Withdrawn { id: IndicatorId },
		/// Nobody carried a proposal in time.
		Lapsed { id: IndicatorId },
		/// An active indicator was withdrawn, or a majority rejected it.
		Revoked { id: IndicatorId, seq: u64 },
		/// An active indicator's time was up.
		Expired { id: IndicatorId, seq: u64 },
		/// A network must never be blocked from now on.
		Protected { network: Network, seq: u64 },
		/// A network may be blocked again.
		Unprotected { network: Network, seq: u64 },
		/// The change log grew to `seq`.
		Changed { seq: u64 },
	}

	#[pallet::error]
	pub enum Error<T> {
		/// The caller is not an active member.
		NotMember,
		/// Only an active ISP may vote.
		NotIsp,
		/// There is no such indicator.
		NotFound,
		/// The vote is about other terms than those on record.
		OtherTerms,
		/// The indicator overlaps a protected network.
		OverlapsProtected,
		/// The network is wider than any indicator may be.
		TooWide,
		/// The indicator awaits votes already.
		AlreadyProposed,
		/// The indicator is active, and this report would not extend it noticeably.
		AlreadyActive,
		/// The indicator was rejected and may not be proposed again yet.
		AlreadyRejected,
		/// The ISP has voted just so.
		AlreadyVoted,
		/// Only the reporter and its ISP may withdraw.
		NotReporter,
		/// As many indicators are recorded as the chain can hold.
		TooManyRecords,
		/// The network is protected already.
		AlreadyProtected,
		/// The network is not protected.
		NotProtected,
		/// As many networks are protected as can be.
		TooManyProtected,
	}

	#[pallet::genesis_config]
	#[derive(frame_support::DefaultNoBound)]
	pub struct GenesisConfig<T: Config> {
		/// Networks that are protected from the start.
		pub protected: Vec<Network>,
		#[serde(skip)]
		pub _phantom: PhantomData<T>,
	}

	#[pallet::genesis_build]
	impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
		fn build(&self) {
			for network in &self.protected {
				// A chain that cannot be built as described must not start: genesis is the one place that panics.
				Pallet::<T>::do_protect(*network).expect("genesis networks are distinct and fit MaxProtected");
			}
		}
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn on_initialize(_: BlockNumberFor<T>) -> Weight {
			let ended = Self::end_due(T::Clock::now());
			T::WeightInfo::end_due(ended)
		}

		fn integrity_test() {
			assert!(T::LogRetention::get() > 0, "the log keeps at least one entry");
			assert!(T::MaxEndingsPerBlock::get() > 0, "something can end");
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Claims that `indicator` is bad. A new one awaits votes; an ISP's claim counts as its approval (as its sighting,
		/// where somebody else reported it before); an active one is extended by an ISP's claim.
		///
		/// Origin: an active member. Errors: [`Error::NotMember`], [`Error::OverlapsProtected`], [`Error::TooWide`],
		/// [`Error::TooManyRecords`], [`Error::AlreadyProposed`], [`Error::AlreadyActive`], [`Error::AlreadyRejected`],
		/// [`Error::AlreadyVoted`]. Events: [`Event::Reported`], [`Event::Voted`], [`Event::Activated`] or
		/// [`Event::Extended`].
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::report().saturating_add(T::WeightInfo::vote()))]
		pub fn report(origin: OriginFor<T>, indicator: Indicator, terms: Terms) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_report(who, indicator, terms)
		}

		/// Says what an ISP thinks of a proposed or active indicator under the terms whose hash is `terms`: whoever takes a
		/// report back and makes it again with other terms does not keep the votes.
		///
		/// Origin: an active ISP. Errors: [`Error::NotIsp`], [`Error::NotFound`], [`Error::OtherTerms`],
		/// [`Error::AlreadyVoted`], [`Error::AlreadyRejected`], [`Error::OverlapsProtected`] for an approval. Events:
		/// [`Event::Voted`], and [`Event::Activated`], [`Event::Rejected`] or [`Event::Revoked`] where the vote decides.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::vote())]
		pub fn vote(origin: OriginFor<T>, id: IndicatorId, terms: Digest, vote: Vote) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_vote(who, id, terms, vote)
		}

		/// Takes a report back: a proposal is dropped, an active indicator revoked.
		///
		/// Origin: the reporter or its ISP, active. Errors: [`Error::NotMember`], [`Error::NotFound`],
		/// [`Error::NotReporter`], [`Error::AlreadyRejected`]. Event: [`Event::Withdrawn`] or [`Event::Revoked`].
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::withdraw())]
		pub fn withdraw(origin: OriginFor<T>, id: IndicatorId) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_withdraw(who, id)
		}

		/// Declares that a network must never be blocked. Indicators that are active stay on record, and enforcers exempt
		/// the network from them at once.
		///
		/// Origin: governance. Errors: [`Error::AlreadyProtected`], [`Error::TooManyProtected`]. Event:
		/// [`Event::Protected`].
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::protect())]
		pub fn protect(origin: OriginFor<T>, network: Network) -> DispatchResult {
			T::Governance::ensure_origin(origin)?;
			let seq = Self::do_protect(network)?;
			Self::deposit_event(Event::Protected { network, seq });
			Ok(())
		}

		/// Declares that a network may be blocked again.
		///
		/// Origin: governance. Error: [`Error::NotProtected`]. Event: [`Event::Unprotected`].
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::unprotect())]
		pub fn unprotect(origin: OriginFor<T>, network: Network) -> DispatchResult {
			T::Governance::ensure_origin(origin)?;
			let seq = Self::do_unprotect(network)?;
			Self::deposit_event(Event::Unprotected { network, seq });
			Ok(())
		}
	}
}
