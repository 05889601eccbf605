//! # Envelopes: what a household and its provider tell one another
//!
//! Tier 1 is private. A subscriber's report travels as a letter that only its ISP can open; the ISP dismisses it, acts
//! on it for its own subscribers, or reports the indicator to the other ISPs as its own. This pallet keeps of a letter its
//! name, where its bytes are, when it is forgotten and the recipient's answer, and nothing of what it says.
//!
//! ## Terms
//!
//! - **Envelope**: a sealed message of `ENVELOPE_LEN` bytes, always, so that the size tells nothing. The bytes stay in
//!   the block; the state never holds them.
//! - **Letter**: an envelope with its sender and its recipient. Its name is the hash of all three.
//! - **Mailbox**: the letters to one member. It is called by the hash of the member's account.
//! - **Answer**: a token that only the two ends of a letter can read.
//! - **Whitelist**: what an owner lets into the home, in an envelope to the owner's own gateway. The chain keeps its hash
//!   and its number.
//! - **Announcement**: a word of an ISP to its own subscribers, sealed with their tier's key, in the change log.
//!
//! ## Security considerations
//!
//! - Subscribers write to their own ISP only, ISPs to their own subscribers only: nobody reaches into another tier.
//! - Limits are those of one correspondence (what one member sends to one other in an hour) and of one mailbox, so that
//!   nobody uses up what belongs to somebody else.
//! - A letter's name covers its sender: who copies an envelope from the pool and sends it first gets another name.
//! - No event names a household, and no key or value of this pallet's state holds its account: mailboxes and
//!   correspondences are called by hashes. Whoever has a list of accounts can hash them, and a transaction names its
//!   signer, so the chain does tell *that* a household wrote to its ISP; it does not tell what, nor what came of it.
//! - Nothing grows without bound: mailboxes by `MaxOpen`, endings in one block by `MaxEndingsPerBlock`; correspondences,
//!   mailboxes and whitelists by the accounts that were ever enrolled.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod api;
#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod correspondence;
mod endings;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;
pub mod weights;

pub use correspondence::{Correspondents, Log};
pub use pallet::*;
pub use weights::WeightInfo;

#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use frame_support::{pallet_prelude::*, traits::Time};
	use frame_system::pallet_prelude::*;
	use ringfence_primitives::{
		call::MAX_ANSWERS,
		envelope::{AnswerToken, Envelope, EnvelopeRecord, Sealed, WhitelistRecord},
		Digest, Millis,
	};

	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	/// Names of letters, and what is said to them.
	pub type Answers = BoundedVec<(Digest, AnswerToken), ConstU32<MAX_ANSWERS>>;

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
		/// Who writes to whom.
		type Tiers: Correspondents<Self::AccountId>;

		/// Where announcements go.
		type Log: Log<Self::AccountId>;

		/// The chain's clock, in milliseconds since the Unix epoch.
		type Clock: Time<Moment = Millis>;

		/// Milliseconds for which a letter stays on record.
		#[pallet::constant]
		type Lifetime: Get<Millis>;

		/// Letters that one member may send to one other in an hour of the clock, and whitelists that an owner may set.
		#[pallet::constant]
		type SendsPerHour: Get<u32>;

		/// Announcements that an ISP may make in an hour of the clock.
		#[pallet::constant]
		type AnnouncementsPerHour: Get<u32>;

		/// Letters on record that one mailbox may hold.
		#[pallet::constant]
		type MaxOpen: Get<u32>;

		/// Letters that may be forgotten in one block. At least 1.
		#[pallet::constant]
		type MaxEndingsPerBlock: Get<u32>;

		/// Weights of the calls and of endings.
		type WeightInfo: WeightInfo;
	}

	/// Letters on record, by the recipient's mailbox and by name.
	#[pallet::storage]
	pub type Letters<T: Config> = StorageDoubleMap<_, Identity, Digest, Identity, Digest, EnvelopeRecord>;

	/// How many letters a mailbox holds.
	#[pallet::storage]
	pub type Open<T: Config> = StorageMap<_, Identity, Digest, u32, ValueQuery>;

	/// Which letter, in which mailbox, is forgotten in which stretch of time: see [`endings`].
	#[pallet::storage]
	pub type Endings<T: Config> = StorageDoubleMap<_, Twox64Concat, u64, Identity, Digest, Digest>;

	/// The stretch of time whose endings come next.
	#[pallet::storage]
	pub type NextEndings<T: Config> = StorageValue<_, u64, ValueQuery>;

	/// The newest hour in which one member sent to another, and how often, by the hash of both.
	#[pallet::storage]
	pub type Sends<T: Config> = StorageMap<_, Identity, Digest, (u64, u32), ValueQuery>;

	/// The newest hour in which an ISP announced something, and how often.
	#[pallet::storage]
	pub type Announcements<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, (u64, u32), ValueQuery>;

	/// Owners' whitelists, by the owner's mailbox.
	#[pallet::storage]
	pub type Whitelists<T: Config> = StorageMap<_, Identity, Digest, WhitelistRecord>;

	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// A letter is on record.
		Sent { hash: Digest },
		/// The recipient of a letter answered.
		Answered { hash: Digest },
		/// An item of a batch was refused.
		ItemFailed { index: u32, error: DispatchError },
		/// An owner set a whitelist.
		WhitelistSet { hash: Digest },
		/// An ISP told its subscribers something: entry `seq` of the change log.
		Announced { isp: T::AccountId, seq: u64 },
	}

	#[pallet::error]
	pub enum Error<T> {
		/// Only the keys of active subscribers and of active ISPs that are trusted with it exchange letters.
		NotCorrespondent,
		/// The recipient is neither the sender's own ISP nor one of its own active subscribers.
		NotYourTier,
		/// Only the owner's key of an active subscriber sets a whitelist.
		NotOwner,
		/// Only an active ISP's key that may vet announces.
		NotIsp,
		/// The bytes are fewer than a sealed message has.
		BadSize,
		/// The letter is on record, or the whitelist is the present one.
		AlreadySent,
		/// The sender has sent this recipient as much as it may in an hour.
		TooManySent,
		/// The mailbox holds as many letters as it can.
		MailboxFull,
		/// There is nothing in the batch.
		EmptyBatch,
		/// The caller's mailbox holds no such letter.
		NotFound,
		/// The letter was answered.
		AlreadyAnswered,
		/// The ISP has announced as much as it may in an hour.
		TooManyAnnounced,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn on_initialize(_: BlockNumberFor<T>) -> Weight {
			let ended = Self::end_due(T::Clock::now());
			T::WeightInfo::end_due(ended)
		}

		fn integrity_test() {
			assert!(T::MaxEndingsPerBlock::get() > 0, "something can end");
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Puts a letter to `to` on record, until it is forgotten after `Lifetime`.
		///
		/// Origin: a key of an active subscriber that may report, to its own ISP; or a key of an active ISP that may vet,
		/// to one of its own active subscribers. Errors: [`Error::NotCorrespondent`], [`Error::NotYourTier`],
		/// [`Error::BadSize`], [`Error::AlreadySent`], [`Error::TooManySent`], [`Error::MailboxFull`]. Event:
		/// [`Event::Sent`].
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::send())]
		pub fn send(origin: OriginFor<T>, to: T::AccountId, envelope: Envelope) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_send(who, to, envelope)
		}

		/// Answers letters to the caller's member. A letter that cannot be answered is reported in an event, with its place
		/// in the batch, and does not stop the others.
		///
		/// Origin: as of [`Self::send`]. Errors: [`Error::NotCorrespondent`], [`Error::EmptyBatch`]; of an item,
		/// [`Error::NotFound`], [`Error::AlreadyAnswered`]. Events: [`Event::Answered`] or [`Event::ItemFailed`] for each.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::answer(answers.len() as u32))]
		pub fn answer(origin: OriginFor<T>, answers: Answers) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_answer(who, answers)
		}

		/// Puts the hash of a new whitelist on record. The envelope is sealed to the owner's own gateway.
		///
		/// Origin: the owner's key of an active subscriber. Errors: [`Error::NotOwner`], [`Error::BadSize`],
		/// [`Error::AlreadySent`], [`Error::TooManySent`]. Event: [`Event::WhitelistSet`].
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::set_whitelist())]
		pub fn set_whitelist(origin: OriginFor<T>, envelope: Envelope) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_set_whitelist(who, envelope)
		}

		/// Tells all of an ISP's own subscribers something that only they can read.
		///
		/// Origin: a key of an active ISP that may vet. Errors: [`Error::NotIsp`], [`Error::BadSize`],
		/// [`Error::TooManyAnnounced`]. Event: [`Event::Announced`].
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::announce())]
		pub fn announce(origin: OriginFor<T>, sealed: Sealed) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_announce(who, sealed)
		}
	}
}
