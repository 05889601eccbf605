//! # Indicators: from a report to a decision
//!
//! Members report indicators of compromise, ISPs vote on them, and what a quorum of distinct ISPs approves becomes active
//! until it expires or is revoked. Every such decision is one entry of the change log, which enforcers follow.
//!
//! ## Terms
//!
//! - **Report**: a member's claim about an indicator. An ISP's report counts as its approval, or as its sighting where
//!   another reported the indicator before.
//! - **Vote**: an ISP's approval, sighting (an approval that says "I saw it too") or rejection. An ISP may change its mind.
//! - **Quorum**: more than half of the active ISPs; two thirds where the indicator is wide. So wherever there are two
//!   ISPs, the reporter's own cannot promote alone. One third of rejections stops what is not confirmed; a majority of
//!   rejections revokes what is active.
//! - **Provisional**: enforced from the report on, for minutes, unless the vote confirms it. Open to ISPs in good standing.
//! - **Dispute**: a member's claim that an active indicator should not be. The vote begins anew, and the indicator stays
//!   active meanwhile. Who approved before and is silent now stands by it.
//! - **Confidence**: the reporter's, raised half-way to certainty by each sighting at the time of activation.
//! - **Deed**: what the register's ledger is told about a member: see [`Deed`].
//! - **Change**: one entry of the hash-chained change log. The event [`Event::Changed`] is the doorbell, the log the letter.
//! - **Digest**: one value that stands for the whole active set, provisional indicators included.
//! - **Protected network**: never blocked. An indicator that overlaps one, in either direction, is refused when it is
//!   reported and again when it is approved.
//!
//! ```text
//!  report     report_provisionally
//!    ↓                 ↓
//! Proposed    Provisional (enforced)
//!    └────────┬────────┘
//!             ├─ one third rejects → Rejected, until its time is up: it cannot be pressed again at once
//!             ├─ time is up → Lapsed
//!             └─ quorum → Active (enforced)
//!                           ├─ time is up → Expired
//!                           ├─ withdrawn, or a majority rejects → Revoked
//!                           └─ dispute → Disputed (enforced)
//!                                          ├─ a majority rejects, or at its deadline more than approve → Revoked
//!                                          ├─ its own end comes first → Expired
//!                                          └─ otherwise → Active, not to be disputed again
//! ```
//!
//! ## Security considerations
//!
//! - Every argument is decoded from what a member sent; `ringfence_primitives` refuses what is not canonical.
//! - Nothing grows without bound: records by `MaxRecords` and, for each member, by [`Parameters::open_cap`]; votes by the
//!   number of ISPs, the log by `LogRetention`, endings in one block by `MaxEndingsPerBlock`, batches by
//!   [`ringfence_primitives::call::MAX_BATCH`].
//! - An extension never lives longer than the lifetime that was voted on.
//! - Nobody gets rid of a penalty by an early retreat: withdrawing a provisional indicator counts as its lapse, and
//!   withdrawing one that is under dispute as its rejection.
//! - Nobody undoes by a dispute that goes unanswered what a quorum carried: at its deadline silence upholds.
//! - A household cannot be named by a record: subscribers report to their ISP, which reports for them.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod active_set;
pub mod api;
mod batch;
#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod change_log;
mod dispute;
mod endings;
mod files;
mod filing;
mod lifecycle;
mod members;
pub mod migrations;
#[cfg(test)]
mod mock;
mod parameters;
mod protection;
mod reading;
mod record;
mod sitting;
#[cfg(test)]
mod tests;
#[cfg(any(feature = "try-runtime", test))]
mod try_state;
pub mod weights;

pub use files::PageCounts;
pub use members::{Members, Voice};
pub use pallet::*;
pub use parameters::Parameters;
pub use record::{Dispute, Record, Status};
pub use ringfence_primitives::Deed;
pub use weights::WeightInfo;

#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use alloc::vec::Vec;
	use frame_support::{pallet_prelude::*, traits::Time};
	use frame_system::pallet_prelude::*;
	use ringfence_primitives::{
		call::MAX_BATCH, keys::LogNumber, ActiveDigest, After, Ballot, Change, Indicator, IndicatorId, LogHead, Millis,
		Network, Terms, Vote,
	};

	const STORAGE_VERSION: StorageVersion = StorageVersion::new(2);

	/// A record of this chain.
	pub type RecordOf<T> = Record<<T as frame_system::Config>::AccountId, <T as Config>::MaxIsps>;

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
		/// Who may report and vote, and who keeps the ledger.
		type Members: Members<Self::AccountId>;

		/// Who decides on protected networks and parameters.
		type Governance: EnsureOrigin<Self::RuntimeOrigin>;

		/// The chain's clock, in milliseconds since the Unix epoch.
		type Clock: Time<Moment = Millis>;

		/// ISPs that may be active at once.
		#[pallet::constant]
		type MaxIsps: Get<u32>;

		/// Indicators that may be on record at once: proposed, active or rejected.
		#[pallet::constant]
		type MaxRecords: Get<u32>;

		/// Networks that may be protected.
		#[pallet::constant]
		type MaxProtected: Get<u32>;

		/// Entries that the change log keeps. At least 1.
		#[pallet::constant]
		type LogRetention: Get<u64>;

		/// Records that may lapse or expire in one block. At least 1. A dispute that is settled counts as eight.
		#[pallet::constant]
		type MaxEndingsPerBlock: Get<u32>;

		/// What holds until governance sets something else.
		#[pallet::constant]
		type InitialParameters: Get<Parameters>;

		/// Weights of the calls and of endings.
		type WeightInfo: WeightInfo;
	}

	/// Names that a page holds.
	pub const PAGE: u32 = 128;

	/// One page of a file: see [`files`].
	pub type Page = BoundedVec<IndicatorId, ConstU32<PAGE>>;

	/// Proposed, provisional, active and rejected indicators, by the hash of the indicator.
	#[pallet::storage]
	pub type Records<T: Config> = StorageMap<_, Identity, IndicatorId, RecordOf<T>>;

	/// How many of them there are.
	#[pallet::storage]
	pub type RecordCount<T: Config> = StorageValue<_, u32, ValueQuery>;

	/// Those that await votes, by the stretch of time in which they end and the number of the page.
	#[pallet::storage]
	pub type Awaiting<T: Config> = StorageDoubleMap<_, Twox64Concat, u64, Twox64Concat, u32, Page, ValueQuery>;

	/// The others, likewise.
	#[pallet::storage]
	pub type Decided<T: Config> = StorageDoubleMap<_, Twox64Concat, u64, Twox64Concat, u32, Page, ValueQuery>;

	/// How many pages a stretch has, empty ones that were full among them.
	#[pallet::storage]
	pub type Pages<T: Config> = StorageMap<_, Twox64Concat, u64, PageCounts, ValueQuery>;

	/// How many await votes: proposed, provisional and disputed ones.
	#[pallet::storage]
	pub type ProposedCount<T: Config> = StorageValue<_, u32, ValueQuery>;

	/// How many are enforced: active and provisional ones.
	#[pallet::storage]
	pub type ActiveCount<T: Config> = StorageValue<_, u32, ValueQuery>;

	/// The digest of the decisions that are enforced. Its key is part of the contract with enforcers:
	/// `ringfence_primitives::keys`.
	#[pallet::storage]
	pub type Digest<T: Config> = StorageValue<_, ActiveDigest, ValueQuery>;

	/// How many of a member's reports are proposed or provisional.
	#[pallet::storage]
	pub type OpenCount<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, u32, ValueQuery>;

	/// How many of a member's reports are provisional.
	#[pallet::storage]
	pub type ProvisionalCount<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, u32, ValueQuery>;

	/// Records about endpoints, by the host, and about flows, by the source.
	#[pallet::storage]
	pub type Named<T: Config> = StorageDoubleMap<_, Blake2_128Concat, Network, Identity, IndicatorId, ()>;

	/// What governance has set.
	#[pallet::storage]
	pub type Settings<T: Config> = StorageValue<_, Parameters, ValueQuery, T::InitialParameters>;

	/// The stretch of time whose endings come next.
	#[pallet::storage]
	pub type NextEndings<T: Config> = StorageValue<_, u64, ValueQuery>;

	/// Networks that are never blocked.
	#[pallet::storage]
	pub type ProtectedNetworks<T: Config> = StorageValue<_, BoundedVec<Network, T::MaxProtected>, ValueQuery>;

	/// The change log. Its key is part of the contract with enforcers: `ringfence_primitives::keys`.
	#[pallet::storage]
	pub type ChangeLog<T: Config> = StorageMap<_, Identity, LogNumber, Change>;

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
		/// An indicator is enforced before it is confirmed: entry `seq` of the change log.
		ActivatedProvisionally { id: IndicatorId, seq: u64 },
		/// A quorum approved: entry `seq` of the change log.
		Activated { id: IndicatorId, seq: u64 },
		/// An active indicator was reported again and lasts longer.
		Extended { id: IndicatorId, seq: u64 },
		/// A third of the ISPs rejected a proposal. If it was provisional, it is enforced no longer.
		Rejected { id: IndicatorId },
		/// A proposal was taken back.
		Withdrawn { id: IndicatorId },
		/// Nobody carried a proposal in time. If it was provisional, it is enforced no longer.
		Lapsed { id: IndicatorId },
		/// An active indicator was withdrawn, or the vote went against it; or a provisional one was withdrawn.
		Revoked { id: IndicatorId, seq: u64 },
		/// An active indicator's time was up.
		Expired { id: IndicatorId, seq: u64 },
		/// A member says that an active indicator should not be: it awaits votes.
		Disputed { id: IndicatorId, by: T::AccountId },
		/// A dispute is over. Of one that its indicator's own end cuts short only [`Event::Expired`] tells.
		DisputeSettled { id: IndicatorId, revoked: bool },
		/// The item of a batch, counted from 0, was refused. The others are not touched by that.
		ItemFailed { index: u32, error: DispatchError },
		/// A batch was worked off. What became of its items is told here, and not one by one.
		BatchDone {
			/// New indicators that await votes, or are active at once.
			reported: BoundedVec<IndicatorId, ConstU32<MAX_BATCH>>,
			/// Items that succeeded.
			done: u32,
			/// Items that were refused.
			failed: u32,
		},
		/// A network must never be blocked from now on.
		Protected { network: Network, seq: u64 },
		/// A network may be blocked again.
		Unprotected { network: Network, seq: u64 },
		/// Governance set the parameters.
		ParametersSet { parameters: Parameters },
		/// The change log grew to `seq`: once for all of a call, or of the endings of a block.
		Changed { seq: u64 },
	}

	#[pallet::error]
	pub enum Error<T> {
		/// The caller is not an active member, nor a delegate that may do this for one.
		NotMember,
		/// Only an active ISP may do this, or a delegate of one.
		NotIsp,
		/// A subscriber speaks to its ISP, in an envelope.
		ReportToYourIsp,
		/// There is no such indicator.
		NotFound,
		/// The vote is about other terms than those on record, or the report asks for less than these.
		OtherTerms,
		/// The indicator overlaps a protected network.
		OverlapsProtected,
		/// The network is wider than any indicator may be.
		TooWide,
		/// What is wider than a /24 or a /48, or names no source, cannot act before it is confirmed.
		NotForWide,
		/// The ISP's reports act only once they are confirmed.
		NotInGoodStanding,
		/// The indicator awaits votes already.
		AlreadyProposed,
		/// The indicator is active, and this report would not extend it noticeably.
		AlreadyActive,
		/// The indicator was rejected and may not be proposed again yet.
		AlreadyRejected,
		/// The ISP has voted just so, or the report is its own.
		AlreadyVoted,
		/// Only the reporter may withdraw.
		NotReporter,
		/// Only what is active, and confirmed, can be disputed.
		NotActive,
		/// The indicator was disputed before. ISPs may vote on it still.
		AlreadyDisputed,
		/// Who reported an indicator withdraws it instead.
		OwnReport,
		/// The indicator is not extended before the dispute about it is over.
		UnderDispute,
		/// As many indicators are recorded as the chain can hold.
		TooManyRecords,
		/// As many of the member's reports await votes as may.
		TooManyOpen,
		/// As many of the ISP's reports are provisional as may be.
		TooManyProvisional,
		/// The batch has no item.
		EmptyBatch,
		/// The network is protected already.
		AlreadyProtected,
		/// The network is not protected.
		NotProtected,
		/// As many networks are protected as can be.
		TooManyProtected,
		/// A parameter is out of its bounds.
		BadParameters,
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
			let weight = T::WeightInfo::end_due(ended.records)
				.saturating_add(T::WeightInfo::pages(ended.pages))
				.saturating_add(T::WeightInfo::deeds(ended.deeds, ended.deeds));
			if ended.disputes == 0 {
				weight
			} else {
				weight.saturating_add(T::WeightInfo::settle_due(ended.disputes))
			}
		}

		fn integrity_test() {
			assert!(T::LogRetention::get() > 0, "the log keeps at least one entry");
			assert!(T::MaxEndingsPerBlock::get() > 0, "something can end");
			assert!(T::InitialParameters::get().are_valid(), "the initial parameters are within their bounds");
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Claims that `indicator` is bad. A new one awaits votes. An ISP's claim counts as its approval; as its sighting
		/// where somebody else reported the indicator before, if `terms` ask for no less than the terms on record; an active
		/// one is extended by an ISP's claim.
		///
		/// Origin: an active ISP or researcher, or a delegate that may report for it. Errors: [`Error::NotMember`],
		/// [`Error::ReportToYourIsp`], [`Error::OverlapsProtected`], [`Error::TooWide`], [`Error::TooManyRecords`],
		/// [`Error::TooManyOpen`], [`Error::AlreadyProposed`], [`Error::AlreadyActive`], [`Error::AlreadyRejected`],
		/// [`Error::AlreadyVoted`], [`Error::OtherTerms`], [`Error::UnderDispute`]. Events: [`Event::Reported`],
		/// [`Event::Voted`], [`Event::Activated`] or [`Event::Extended`].
		#[pallet::call_index(0)]
		#[pallet::weight({
			let isps = T::Members::isp_count();
			T::WeightInfo::report(isps).max(T::WeightInfo::vote(isps))
		})]
		pub fn report(origin: OriginFor<T>, indicator: Indicator, terms: Terms) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_report(&who, indicator, terms)
		}

		/// Says what an ISP thinks of a proposed or active indicator under the terms whose hash is `terms`: whoever takes a
		/// report back and makes it again with other terms does not keep the votes. `after` names the transaction that
		/// reports it, where that may not be in a block yet.
		///
		/// Origin: an active ISP, or a delegate that may vet for it. Errors: [`Error::NotIsp`], [`Error::NotFound`],
		/// [`Error::OtherTerms`], [`Error::AlreadyVoted`], [`Error::AlreadyRejected`], [`Error::OverlapsProtected`] for an
		/// approval. Events: [`Event::Voted`], and [`Event::Activated`], [`Event::Rejected`], [`Event::Revoked`] or
		/// [`Event::DisputeSettled`] where the vote decides.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::vote(T::Members::isp_count()))]
		pub fn vote(
			origin: OriginFor<T>,
			id: IndicatorId,
			terms: ringfence_primitives::Digest,
			vote: Vote,
			after: Option<After>,
		) -> DispatchResult {
			let who = ensure_signed(origin)?;
			// The order in the pool is the door's business.
			let _ = after;
			Self::do_vote(&who, Ballot { id, terms, vote })
		}

		/// Takes a report back: a proposal is dropped, an active or provisional indicator revoked.
		///
		/// Origin: the reporter, active, or a delegate that may report for it. Errors: [`Error::NotMember`],
		/// [`Error::NotFound`], [`Error::NotReporter`], [`Error::AlreadyRejected`]. Event: [`Event::Withdrawn`] or
		/// [`Event::Revoked`].
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::withdraw())]
		pub fn withdraw(origin: OriginFor<T>, id: IndicatorId) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_withdraw(&who, id)
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

		/// Claims that a new `indicator` is bad, and has it enforced at once: until it is confirmed or voted down, for
		/// [`Parameters::provisional_lifetime`] at most, and no longer than `terms` ask for.
		///
		/// Origin: an active ISP in good standing, or a delegate that may report for it. Errors: [`Error::NotMember`],
		/// [`Error::ReportToYourIsp`], [`Error::NotIsp`], [`Error::NotInGoodStanding`], [`Error::NotForWide`],
		/// [`Error::OverlapsProtected`], [`Error::TooWide`], [`Error::TooManyRecords`], [`Error::TooManyOpen`],
		/// [`Error::TooManyProvisional`], [`Error::AlreadyProposed`], [`Error::AlreadyActive`],
		/// [`Error::AlreadyRejected`]. Events: [`Event::Reported`], [`Event::Voted`], and
		/// [`Event::ActivatedProvisionally`], or [`Event::Activated`] where the reporter alone is a quorum.
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::report_provisionally(T::Members::isp_count()))]
		pub fn report_provisionally(origin: OriginFor<T>, indicator: Indicator, terms: Terms) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_report_provisionally(&who, indicator, terms)
		}

		/// Says that an active indicator should not be. It stays active while the ISPs vote anew, for
		/// [`Parameters::voting_period`] at most; an ISP's dispute counts as its rejection. A majority of rejections
		/// revokes, a quorum of approvals ends the dispute. Once time is up, more rejections than approvals revoke, where an
		/// approval from before counts unless its ISP has voted since or left. An indicator whose own end comes first just
		/// expires.
		///
		/// Origin: an active ISP or researcher, or a delegate that may report for it. Errors: [`Error::NotMember`],
		/// [`Error::ReportToYourIsp`], [`Error::NotFound`], [`Error::OwnReport`], [`Error::NotActive`],
		/// [`Error::AlreadyDisputed`]. Events: [`Event::Disputed`], [`Event::Voted`], and [`Event::DisputeSettled`] where
		/// that decides.
		#[pallet::call_index(6)]
		#[pallet::weight({
			let isps = T::Members::isp_count();
			T::WeightInfo::dispute(isps).max(T::WeightInfo::vote(isps))
		})]
		pub fn dispute(origin: OriginFor<T>, id: IndicatorId) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_dispute(&who, id)
		}

		/// Makes many reports, as [`Self::report`] does, on the same terms. Each succeeds or fails by itself.
		///
		/// Origin: as for [`Self::report`]. Errors: [`Error::NotMember`], [`Error::ReportToYourIsp`],
		/// [`Error::EmptyBatch`]. Events: [`Event::ItemFailed`] for each refused one, and [`Event::BatchDone`].
		#[pallet::call_index(7)]
		#[pallet::weight(Pallet::<T>::report_batch_weight(indicators.len()))]
		pub fn report_batch(
			origin: OriginFor<T>,
			terms: Terms,
			indicators: BoundedVec<Indicator, ConstU32<MAX_BATCH>>,
		) -> DispatchResultWithPostInfo {
			let who = ensure_signed(origin)?;
			Self::do_report_batch(&who, terms, indicators.into_inner())
		}

		/// Casts many votes, as [`Self::vote`] does. Each succeeds or fails by itself.
		///
		/// Origin: as for [`Self::vote`]. Errors: [`Error::NotIsp`], [`Error::EmptyBatch`]. Events: [`Event::ItemFailed`] for
		/// each refused one, and [`Event::BatchDone`].
		#[pallet::call_index(8)]
		#[pallet::weight(Pallet::<T>::vote_batch_weight(ballots.len()))]
		pub fn vote_batch(
			origin: OriginFor<T>,
			ballots: BoundedVec<Ballot, ConstU32<MAX_BATCH>>,
			after: Option<After>,
		) -> DispatchResultWithPostInfo {
			let who = ensure_signed(origin)?;
			let _ = after;
			Self::do_vote_batch(&who, ballots.into_inner())
		}

		/// Sets the parameters of vetting.
		///
		/// Origin: governance. Error: [`Error::BadParameters`]. Event: [`Event::ParametersSet`].
		#[pallet::call_index(9)]
		#[pallet::weight(T::WeightInfo::set_parameters())]
		pub fn set_parameters(origin: OriginFor<T>, parameters: Parameters) -> DispatchResult {
			T::Governance::ensure_origin(origin)?;
			ensure!(parameters.are_valid(), Error::<T>::BadParameters);
			Settings::<T>::put(parameters);
			Self::deposit_event(Event::ParametersSet { parameters });
			Ok(())
		}
	}
}
