//! # Tiers: who belongs, as what, who governs, and how much each may say
//!
//! Internet providers (ISPs) form tier 2 and govern the chain; each enrols subscribers, who form its tier 1; researchers
//! belong to no provider. This pallet keeps the register of members, their keys and the ledger of what each contributed,
//! and is the door of the chain: [`CheckMember`] lets in only what a member in good standing signed, within the quota of
//! its role and its trust.
//!
//! ## Terms
//!
//! - **Member**: an account that was admitted or enrolled. It names the member for good, whichever keys it has now.
//! - **Owner**: the one key that may do everything in a member's name; at first the member's own account. It is replaced
//!   by [`Pallet::rotate`].
//! - **Delegate**: a key with a scope: to report, to vet, or both.
//! - **Leader**: the ISP that governs until it hands over.
//! - **Council**: the owners of the active ISPs, who govern from then on.
//! - **Standing**: a member is active unless suspended; a subscriber is active only while its ISP is.
//! - **Quota**: items a member may have included in one window of blocks.
//! - **Trust**: 0 to 1,000, from the ledger of contributions.
//!
//! ## Security considerations
//!
//! - There is no token, so a member costs nothing but its place in the register. Registers are bounded: ISPs by
//!   `MaxIsps`, the accounts that one ISP may ever enrol by `MaxSubscribers`, the keys that a member may ever bring by
//!   `MaxNamed`.
//! - Removing a member, revoking a delegate and rotating an owner keep the account's provider reference, so its nonce
//!   stays and no transaction that it ever signed can be replayed, should it come back. [`MortalOnly`] bounds the life
//!   of those not yet included.
//! - The leader cannot be suspended or removed, the last active ISP cannot leave, and no more validators may be leaving
//!   at once than finality can spare: the chain would stop.
//! - After [`Pallet::hand_over`] nothing is left that the former leader may do alone: every governed call asks
//!   [`EnsureGovernance`], which asks the council as soon as there is no leader.
//! - A stolen delegate can do what its scope says until its owner revokes it, and cannot keep the owner from that: a tenth
//!   of the quota is the owner's alone. A stolen owner key is as good as the member: governance removes it.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod api;
#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod extension;
mod governance;
#[cfg(any(feature = "try-runtime", test))]
mod invariants;
mod keys;
mod ledger;
pub mod migrations;
#[cfg(test)]
mod mock;
mod quota;
mod register;
#[cfg(test)]
mod tests;
pub mod weights;

pub use extension::{CheckMember, MortalOnly, Refusal, Screen};
pub use governance::EnsureGovernance;
pub use keys::{Power, Signer};
pub use ledger::{Entry, Score, GOOD_STANDING, GOOD_STANDING_REPORTS};
pub use pallet::*;
pub use quota::{Parameters, Pass, Quotas};
pub use register::{Member, NodeId, Role, Status, MAX_NODES};
pub use ringfence_primitives::Deed;
pub use weights::WeightInfo;

#[frame_support::pallet]
pub mod pallet {
	use super::{register::Member, *};
	use alloc::{boxed::Box, vec::Vec};
	use frame_support::{
		dispatch::{GetDispatchInfo, PostDispatchInfo},
		pallet_prelude::*,
		traits::{ChangeMembers, Contains, InitializeMembers},
	};
	use frame_system::pallet_prelude::*;
	use ringfence_primitives::envelope::EnvelopeKey;
	use sp_runtime::traits::Dispatchable;

	const STORAGE_VERSION: StorageVersion = StorageVersion::new(2);

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
		/// The calls of the runtime, for [`Pallet::govern`].
		type RuntimeCall: Parameter
			+ Dispatchable<RuntimeOrigin = Self::RuntimeOrigin, PostInfo = PostDispatchInfo>
			+ GetDispatchInfo
			+ From<frame_system::Call<Self>>;

		/// ISPs that may be active at once.
		#[pallet::constant]
		type MaxIsps: Get<u32>;

		/// Accounts that one ISP may ever enrol. Removed ones count, because their nonces are kept.
		#[pallet::constant]
		type MaxSubscribers: Get<u32>;

		/// Delegates that one member may have at once. At least 1.
		#[pallet::constant]
		type MaxDelegates: Get<u32>;

		/// New accounts that one member may ever name as delegates or owners. Former ones count, because their nonces are
		/// kept.
		#[pallet::constant]
		type MaxNamed: Get<u32>;

		/// Length of a quota window, in blocks. At least 1.
		#[pallet::constant]
		type QuotaWindow: Get<BlockNumberFor<Self>>;

		/// Blocks in which what a member did loses half of its weight for its trust. At least 1.
		#[pallet::constant]
		type TrustHalfLife: Get<BlockNumberFor<Self>>;

		/// What holds until governance sets something else.
		#[pallet::constant]
		type InitialParameters: Get<Parameters>;

		/// A look at each call before it comes in.
		type Screen: Screen<Self::AccountId, <Self as frame_system::Config>::RuntimeCall>;

		/// Who governs once the leader has handed over: two thirds of the active ISPs.
		type Council: EnsureOrigin<Self::RuntimeOrigin>;

		/// Where the council's members are kept: told of every change of the active ISPs and of their owners.
		type CouncilMembers: ChangeMembers<Self::AccountId> + InitializeMembers<Self::AccountId>;

		/// What it costs at most to tell the council of a change. Open motions may have to be gone through.
		type CouncilWeight: Get<Weight>;

		/// What governance may call as the chain itself.
		type Governed: Contains<<Self as Config>::RuntimeCall>;

		/// The members that validate now, or will with the next session.
		type Validators: Get<Vec<Self::AccountId>>;

		/// Weights of the calls and of the door.
		type WeightInfo: WeightInfo;
	}

	/// The register of members.
	#[pallet::storage]
	pub type Members<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, Member<T::AccountId>>;

	/// The keys that act for members.
	#[pallet::storage]
	pub type Signers<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, Signer<T::AccountId>>;

	/// The key that owns each member.
	#[pallet::storage]
	pub type Owners<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, T::AccountId>;

	/// The delegates of each member that has any.
	#[pallet::storage]
	pub type Delegates<T: Config> =
		StorageMap<_, Blake2_128Concat, T::AccountId, BoundedVec<T::AccountId, T::MaxDelegates>, ValueQuery>;

	/// New accounts that a member ever named as delegates or owners.
	#[pallet::storage]
	pub type Named<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, u32, ValueQuery>;

	/// The leader, until it has handed over.
	#[pallet::storage]
	pub type Leader<T: Config> = StorageValue<_, T::AccountId>;

	/// The active ISPs, oldest admission first.
	#[pallet::storage]
	pub type Isps<T: Config> = StorageValue<_, BoundedVec<T::AccountId, T::MaxIsps>, ValueQuery>;

	/// Accounts that an ISP ever enrolled.
	#[pallet::storage]
	pub type Enrolments<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, u32, ValueQuery>;

	/// The newest window in which a member had something included, and how many items.
	#[pallet::storage]
	pub type Spent<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, (BlockNumberFor<T>, u32), ValueQuery>;

	/// What each member contributed. Kept when it leaves: who comes back is who it was.
	#[pallet::storage]
	pub type Ledger<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, Entry<BlockNumberFor<T>>, ValueQuery>;

	/// What governance has set.
	#[pallet::storage]
	pub type Settings<T: Config> = StorageValue<_, Parameters, ValueQuery, T::InitialParameters>;

	/// The nodes of each ISP that has named any.
	#[pallet::storage]
	pub type Nodes<T: Config> =
		StorageMap<_, Blake2_128Concat, T::AccountId, BoundedVec<NodeId, ConstU32<MAX_NODES>>, ValueQuery>;

	/// The keys that envelopes to a member are sealed to.
	#[pallet::storage]
	pub type EnvelopeKeys<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, EnvelopeKey>;

	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// An ISP or a researcher was admitted.
		Admitted { account: T::AccountId, role: Role<T::AccountId> },
		/// An ISP enrolled a subscriber.
		Enrolled { isp: T::AccountId, account: T::AccountId },
		/// A member may not act until it is reinstated.
		Suspended { account: T::AccountId },
		/// A suspended member may act again.
		Reinstated { account: T::AccountId },
		/// An account is a member no longer.
		Removed { account: T::AccountId },
		/// The leader governs no more; the council does.
		HandedOver { leader: T::AccountId },
		/// A key may act for a member within these scopes.
		Delegated { member: T::AccountId, account: T::AccountId, report: bool, vet: bool },
		/// A key may act for a member no longer.
		DelegateRevoked { member: T::AccountId, account: T::AccountId },
		/// A member is owned by another key.
		Rotated { member: T::AccountId, account: T::AccountId },
		/// An ISP named its nodes.
		NodesSet { isp: T::AccountId },
		/// Envelopes to a member are sealed to another key from now on.
		EnvelopeKeySet { member: T::AccountId },
		/// Governance set the parameters.
		ParametersSet { parameters: Parameters },
		/// A validator was caught signing against itself. It is suspended.
		Equivocated { account: T::AccountId },
		/// A validator was caught signing against itself, and the chain could not go on without it.
		Spared { account: T::AccountId },
	}

	#[pallet::error]
	pub enum Error<T> {
		/// Only the leader may do this.
		NotLeader,
		/// Only an active ISP's owner may do this.
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
		/// Only the leader, or the council once the leader has handed over, may do this.
		NotGovernance,
		/// There is no other active ISP that could govern.
		NobodyToHandTo,
		/// As many validators are leaving as finality can spare. More may leave with the next sessions.
		TooManyLeaving,
		/// Only the owner of a member may do this.
		NotOwner,
		/// The member may not act.
		NotActive,
		/// The account is a member, or acts for one.
		KeyInUse,
		/// The account is not a delegate of the member.
		NotDelegate,
		/// A delegate needs a scope.
		NoScope,
		/// The member has as many delegates as it may have at once.
		TooManyDelegates,
		/// The member has named as many new accounts as it ever may.
		TooManyNamed,
		/// A node id is empty.
		BadNode,
		/// No secret fits this key.
		BadEnvelopeKey,
		/// Under these parameters somebody could not act.
		BadParameters,
		/// Governance may not make this call.
		NotGoverned,
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
			T::CouncilMembers::initialize_members(&Pallet::<T>::council());
		}
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn integrity_test() {
			assert!(T::MaxIsps::get() > 0, "a chain has at least one ISP");
			assert!(T::MaxDelegates::get() > 0, "a member may have a delegate");
			assert!(T::QuotaWindow::get() > 0u32.into(), "a quota window has at least one block");
			assert!(T::TrustHalfLife::get() > 0u32.into(), "trust takes at least one block to decay");
			assert!(T::InitialParameters::get().are_sound(), "every member can act under the initial parameters");
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
		/// Origin: governance. Errors: [`Error::NotGovernance`], [`Error::AlreadyMember`], [`Error::KeyInUse`],
		/// [`Error::EnrolInstead`] for a subscriber, [`Error::TooManyIsps`]. Event: [`Event::Admitted`].
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::admit().saturating_add(T::CouncilWeight::get()))]
		pub fn admit(origin: OriginFor<T>, account: T::AccountId, role: Role<T::AccountId>) -> DispatchResult {
			Self::ensure_governance(origin)?;
			Self::do_admit(&account, role.clone())?;
			Self::deposit_event(Event::Admitted { account, role });
			Ok(())
		}

		/// Makes `account` a subscriber of the caller. A subscriber whose former ISP is an ISP no more may be taken over;
		/// it keeps its keys.
		///
		/// Origin: the owner of an active ISP. Errors: [`Error::NotIsp`], [`Error::AlreadyMember`], [`Error::KeyInUse`],
		/// [`Error::TooManySubscribers`]. Event: [`Event::Enrolled`].
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::enrol())]
		pub fn enrol(origin: OriginFor<T>, account: T::AccountId) -> DispatchResult {
			let isp = Self::ensure_isp_owner(origin)?;
			Self::do_enrol(&isp, &account)?;
			Self::deposit_event(Event::Enrolled { isp, account });
			Ok(())
		}

		/// Bars a member from acting until it is reinstated. A suspended ISP's subscribers are barred with it.
		///
		/// Origin: governance for ISPs and researchers, the owner of its active ISP for a subscriber. Errors:
		/// [`Error::NotMember`], [`Error::NotGovernance`], [`Error::NotYours`], [`Error::NotIsp`],
		/// [`Error::AlreadySuspended`], [`Error::IsLeader`], [`Error::LastIsp`], [`Error::TooManyLeaving`]. Event:
		/// [`Event::Suspended`].
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::suspend().saturating_add(T::CouncilWeight::get()))]
		pub fn suspend(origin: OriginFor<T>, account: T::AccountId) -> DispatchResult {
			Self::ensure_superior(origin, &account)?;
			Self::do_suspend(&account)?;
			Self::deposit_event(Event::Suspended { account });
			Ok(())
		}

		/// Lets a suspended member act again.
		///
		/// Origin: as for [`Pallet::suspend`]. Errors: [`Error::NotMember`], [`Error::NotGovernance`],
		/// [`Error::NotYours`], [`Error::NotIsp`], [`Error::NotSuspended`], [`Error::TooManyIsps`]. Event:
		/// [`Event::Reinstated`].
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::reinstate().saturating_add(T::CouncilWeight::get()))]
		pub fn reinstate(origin: OriginFor<T>, account: T::AccountId) -> DispatchResult {
			Self::ensure_superior(origin, &account)?;
			Self::do_reinstate(&account)?;
			Self::deposit_event(Event::Reinstated { account });
			Ok(())
		}

		/// Ends a membership; its keys act for nobody from now on. Their nonces, and the member's ledger, are kept for
		/// good.
		///
		/// Origin: as for [`Pallet::suspend`]. Errors: [`Error::NotMember`], [`Error::NotGovernance`],
		/// [`Error::NotYours`], [`Error::NotIsp`], [`Error::IsLeader`], [`Error::LastIsp`], [`Error::TooManyLeaving`].
		/// Event: [`Event::Removed`].
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::remove().saturating_add(T::CouncilWeight::get()))]
		pub fn remove(origin: OriginFor<T>, account: T::AccountId) -> DispatchResult {
			Self::ensure_superior(origin, &account)?;
			Self::do_remove(&account)?;
			Self::deposit_event(Event::Removed { account });
			Ok(())
		}

		/// Ends the leader's rule: from now on the council governs. Nobody can take this back.
		///
		/// Origin: the owner of the leader. Errors: [`Error::NotLeader`], [`Error::NobodyToHandTo`]. Event:
		/// [`Event::HandedOver`].
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::hand_over())]
		pub fn hand_over(origin: OriginFor<T>) -> DispatchResult {
			let leader = Self::do_hand_over(origin)?;
			Self::deposit_event(Event::HandedOver { leader });
			Ok(())
		}

		/// Lets the key `account` report, vet, or both, in the member's name. Named again, it has the new scopes only.
		///
		/// Origin: the owner of an active member. Errors: [`Error::NotOwner`], [`Error::NotActive`], [`Error::NoScope`],
		/// [`Error::KeyInUse`], [`Error::TooManyDelegates`], [`Error::TooManyNamed`]. Event: [`Event::Delegated`].
		#[pallet::call_index(6)]
		#[pallet::weight(T::WeightInfo::delegate())]
		pub fn delegate(origin: OriginFor<T>, account: T::AccountId, report: bool, vet: bool) -> DispatchResult {
			let (member, _) = Self::ensure_active_owner(origin)?;
			Self::do_delegate(&member, &account, report, vet)?;
			Self::deposit_event(Event::Delegated { member, account, report, vet });
			Ok(())
		}

		/// Takes every scope from a delegate, at once.
		///
		/// Origin: the owner of a member, also of one that may not act. Errors: [`Error::NotOwner`],
		/// [`Error::NotDelegate`]. Event: [`Event::DelegateRevoked`].
		#[pallet::call_index(7)]
		#[pallet::weight(T::WeightInfo::revoke_delegate())]
		pub fn revoke_delegate(origin: OriginFor<T>, account: T::AccountId) -> DispatchResult {
			let (member, _) = Self::ensure_owner(origin)?;
			Self::do_revoke_delegate(&member, &account)?;
			Self::deposit_event(Event::DelegateRevoked { member, account });
			Ok(())
		}

		/// Makes the key `account` the owner in the caller's place. The caller's key acts for nobody from now on. The
		/// member keeps its name, its delegates, its votes and its ledger.
		///
		/// Origin: the owner of a member, also of one that may not act. Errors: [`Error::NotOwner`],
		/// [`Error::KeyInUse`], [`Error::TooManyNamed`]. Event: [`Event::Rotated`].
		#[pallet::call_index(8)]
		#[pallet::weight(T::WeightInfo::rotate().saturating_add(T::CouncilWeight::get()))]
		pub fn rotate(origin: OriginFor<T>, account: T::AccountId) -> DispatchResult {
			let (member, entry) = Self::ensure_owner(origin)?;
			Self::do_rotate(&member, &entry, &account)?;
			Self::deposit_event(Event::Rotated { member, account });
			Ok(())
		}

		/// Names the caller's nodes by their peer ids, in place of those named before: peers talk to no other nodes.
		///
		/// Origin: the owner of an active ISP. Errors: [`Error::NotIsp`], [`Error::BadNode`]. Event:
		/// [`Event::NodesSet`].
		#[pallet::call_index(9)]
		#[pallet::weight(T::WeightInfo::set_nodes())]
		pub fn set_nodes(origin: OriginFor<T>, nodes: BoundedVec<NodeId, ConstU32<MAX_NODES>>) -> DispatchResult {
			let isp = Self::ensure_isp_owner(origin)?;
			Self::do_set_nodes(&isp, nodes)?;
			Self::deposit_event(Event::NodesSet { isp });
			Ok(())
		}

		/// Sets the X25519 key that envelopes to the member are sealed to.
		///
		/// Origin: the owner of an active member. Errors: [`Error::NotOwner`], [`Error::NotActive`],
		/// [`Error::BadEnvelopeKey`] for zeros. Event: [`Event::EnvelopeKeySet`].
		#[pallet::call_index(10)]
		#[pallet::weight(T::WeightInfo::set_envelope_key())]
		pub fn set_envelope_key(origin: OriginFor<T>, key: EnvelopeKey) -> DispatchResult {
			let (member, _) = Self::ensure_active_owner(origin)?;
			ensure!(key != [0; 32], Error::<T>::BadEnvelopeKey);
			EnvelopeKeys::<T>::insert(&member, key);
			Self::deposit_event(Event::EnvelopeKeySet { member });
			Ok(())
		}

		/// Sets the parameters.
		///
		/// Origin: governance. Errors: [`Error::NotGovernance`], [`Error::BadParameters`] for a quota of 0, or of less
		/// than [`Parameters::MIN_ISP_QUOTA`] for ISPs. Event: [`Event::ParametersSet`].
		#[pallet::call_index(11)]
		#[pallet::weight(T::WeightInfo::set_parameters())]
		pub fn set_parameters(origin: OriginFor<T>, parameters: Parameters) -> DispatchResult {
			Self::ensure_governance(origin)?;
			ensure!(parameters.are_sound(), Error::<T>::BadParameters);
			Settings::<T>::put(parameters);
			Self::deposit_event(Event::ParametersSet { parameters });
			Ok(())
		}

		/// Makes `call` as the chain itself. Only what [`Config::Governed`] contains can be called so.
		///
		/// Origin: governance. Errors: [`Error::NotGovernance`], [`Error::NotGoverned`], and those of the call. Event:
		/// that of the call.
		#[pallet::call_index(12)]
		#[pallet::weight(T::WeightInfo::govern().saturating_add(call.get_dispatch_info().call_weight))]
		pub fn govern(origin: OriginFor<T>, call: Box<<T as Config>::RuntimeCall>) -> DispatchResultWithPostInfo {
			Self::ensure_governance(origin)?;
			Self::do_govern(call, T::WeightInfo::govern())
		}
	}
}
