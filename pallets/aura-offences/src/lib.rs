//! # Aura offences: who made two blocks for one slot
//!
//! A validator that seals two different blocks for one slot splits the chain for a moment, on purpose or because its key
//! runs on two machines. Its two headers prove it to anybody. This pallet takes that proof, checks it, and hands the
//! offence to whoever deals with offences. Aura itself looks away.
//!
//! Whose key it was is answered from a record of this pallet's own: who validated in each recent session, with which keys.
//! Evidence of GRANDPA equivocations is checked against the same record.
//!
//! ## Terms
//!
//! - **Double authoring**: two different headers for one slot, both sealed with one key.
//! - **Keys in use**: the session keys with which a session began, other than those that its validators have set for later.
//!
//! ## Security considerations
//!
//! - A report carries no signature: the evidence speaks for itself. So that nobody floods the pool with worthless ones,
//!   they are taken only from a validator's own node and from blocks, as the SDK does for GRANDPA.
//! - The record is of the keys in use. `pallet_session::historical` proves ownership in the present session from the
//!   keys set for later ones, so whoever sets new keys first could offend with the old ones unpunished.
//! - Evidence ages: after [`Config::KeptSessions`] sessions, or [`Config::MaxAge`] slots, it is worth nothing, so that a
//!   member that was reinstated need not fear what was forgiven.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod api;
#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod evidence;
mod key_owners;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;
pub mod weights;

pub use evidence::{is_double_authoring, DoubleAuthoring, Evidence};
pub use pallet::*;
pub use weights::WeightInfo;

/// Makes validators for the benchmarks.
#[cfg(feature = "runtime-benchmarks")]
pub trait BenchmarkHelper<AccountId, Keys> {
	/// A validator that authors with `key` and may be punished. Another account for each `index`.
	fn validator(index: u32, key: sp_consensus_aura::sr25519::AuthorityId) -> (AccountId, Keys);
}

#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use alloc::boxed::Box;
	use frame_support::pallet_prelude::*;
	use frame_system::{offchain::CreateBare, pallet_prelude::*};
	use sp_consensus_aura::{sr25519::AuthorityId, Slot};
	use sp_consensus_slots::EquivocationProof;
	use sp_runtime::traits::OpaqueKeys;
	use sp_session::MembershipProof;
	use sp_staking::{offence::ReportOffence, SessionIndex};

	#[pallet::pallet]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config: frame_system::Config + CreateBare<Call<Self>> {
		/// Session keys, an Aura key among them.
		type Keys: OpaqueKeys + Parameter + MaxEncodedLen;

		/// Validators of one session.
		#[pallet::constant]
		type MaxValidators: Get<u32>;

		/// Sessions whose keys are kept, the present one included. At least 1.
		#[pallet::constant]
		type KeptSessions: Get<SessionIndex>;

		/// Slots after which evidence is too old.
		#[pallet::constant]
		type MaxAge: Get<u64>;

		/// The slot of the present block.
		type CurrentSlot: Get<Slot>;

		/// Who deals with offences.
		type Offences: ReportOffence<Self::AccountId, Self::AccountId, DoubleAuthoring<Self::AccountId>>;

		/// Weights of the calls.
		type WeightInfo: WeightInfo;

		/// Makes validators for the benchmarks.
		#[cfg(feature = "runtime-benchmarks")]
		type BenchmarkHelper: BenchmarkHelper<Self::AccountId, Self::Keys>;
	}

	/// Who validated in a session, with which keys.
	#[pallet::storage]
	pub type KeysInUse<T: Config> =
		StorageMap<_, Twox64Concat, SessionIndex, BoundedVec<(T::AccountId, T::Keys), T::MaxValidators>, ValueQuery>;

	/// The newest session on record.
	#[pallet::storage]
	pub type Newest<T: Config> = StorageValue<_, SessionIndex, ValueQuery>;

	#[pallet::error]
	pub enum Error<T> {
		/// The key did not belong to a validator of that session, or the session is forgotten.
		NotOwner,
		/// The headers do not prove what they are said to prove.
		NoOffence,
		/// It happened too long ago.
		TooOld,
		/// The offence is known already.
		AlreadyReported,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn integrity_test() {
			assert!(T::KeptSessions::get() > 0, "at least the present session's keys are kept");
			assert!(
				T::Keys::key_ids().contains(&sp_application_crypto::key_types::AURA),
				"the session keys hold an Aura key"
			);
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Reports that a validator made two blocks for one slot.
		///
		/// Origin: none, from a validator's own node or in a block. Errors: [`Error::TooOld`], [`Error::NoOffence`],
		/// [`Error::NotOwner`], [`Error::AlreadyReported`]. The event is that of whoever deals with offences.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::report_equivocation())]
		pub fn report_equivocation(
			origin: OriginFor<T>,
			proof: Box<EquivocationProof<HeaderFor<T>, AuthorityId>>,
			key_owner_proof: MembershipProof,
		) -> DispatchResult {
			ensure_none(origin)?;
			Self::do_report(*proof, key_owner_proof)
		}
	}

	#[allow(deprecated)]
	#[pallet::validate_unsigned]
	impl<T: Config> ValidateUnsigned for Pallet<T> {
		type Call = Call<T>;

		fn validate_unsigned(source: TransactionSource, call: &Self::Call) -> TransactionValidity {
			Self::validate_report(source, call)
		}

		fn pre_dispatch(call: &Self::Call) -> Result<(), TransactionValidityError> {
			Self::check_report(call)
		}
	}
}
