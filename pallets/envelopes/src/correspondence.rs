//! Letters, answers, whitelists and announcements.

use crate::{Announcements, Answers, Config, Error, Event, Letters, Open, Pallet, Sends, Whitelists};
use alloc::vec::Vec;
use codec::Encode;
use frame_support::{
	ensure,
	traits::{Get, Time},
};
use ringfence_primitives::{
	envelope::{
		name, AnswerToken, Envelope, EnvelopeRecord, Letter, Sealed, WhitelistRecord, ENVELOPE_LEN, MAX_SEALED_LEN,
	},
	AccountBytes, Digest, Millis, Scope,
};
use sp_runtime::{ArithmeticError, DispatchError, DispatchResult, SaturatedConversion};

/// Milliseconds of an hour.
const HOUR: Millis = 3_600_000;

/// What this pallet has to know of the register of members.
pub trait Correspondents<AccountId> {
	/// The active member in whose name `who` may do what `scope` says.
	fn speaker(who: &AccountId, scope: Scope) -> Option<AccountId>;

	/// The active member whose owner's key is `who`.
	fn owner(who: &AccountId) -> Option<AccountId>;

	/// The ISP of an active subscriber, active itself; none for any other member.
	fn isp_of(member: &AccountId) -> Option<AccountId>;

	/// Whether the member is an active ISP.
	fn is_isp(member: &AccountId) -> bool;

	/// The account as the enforcers know it.
	fn bytes(account: &AccountId) -> AccountBytes;

	/// Adds an active ISP and an active subscriber of it, for benchmarks.
	#[cfg(feature = "runtime-benchmarks")]
	fn add_tier(isp: &AccountId, subscriber: &AccountId);
}

/// Where announcements go: the change log.
pub trait Log<AccountId> {
	/// Enters what `isp` tells its subscribers. Returns the number of the entry.
	fn announce(isp: &AccountId, sealed: Sealed) -> Result<u64, DispatchError>;

	/// Makes the log as long as it gets, for benchmarks: the next entry makes it forget one.
	#[cfg(feature = "runtime-benchmarks")]
	fn fill();
}

impl<T: Config> Pallet<T> {
	pub(crate) fn do_send(who: T::AccountId, to: T::AccountId, envelope: Envelope) -> DispatchResult {
		let from = Self::correspondent(&who)?;
		let own_tier = T::Tiers::isp_of(&from).as_ref() == Some(&to) || T::Tiers::isp_of(&to).as_ref() == Some(&from);
		ensure!(own_tier, Error::<T>::NotYourTier);
		ensure!(envelope.len() == ENVELOPE_LEN as usize, Error::<T>::BadSize);
		let mailbox = Self::mailbox(&to);
		let hash = Letter { from: T::Tiers::bytes(&from), to: T::Tiers::bytes(&to), envelope }.name();
		ensure!(!Letters::<T>::contains_key(mailbox, hash), Error::<T>::AlreadySent);
		Self::spend_send(&from, &to)?;
		Open::<T>::try_mutate(mailbox, |open| {
			ensure!(*open < T::MaxOpen::get(), Error::<T>::MailboxFull);
			*open = open.saturating_add(1);
			Ok::<(), DispatchError>(())
		})?;
		let expires_at = T::Clock::now().saturating_add(T::Lifetime::get());
		let (block, index) = Self::place();
		Letters::<T>::insert(mailbox, hash, EnvelopeRecord { block, index, expires_at, answer: None });
		Self::file_ending(mailbox, hash, expires_at);
		Self::deposit_event(Event::Sent { hash });
		Ok(())
	}

	pub(crate) fn do_answer(who: T::AccountId, answers: Answers) -> DispatchResult {
		let member = Self::correspondent(&who)?;
		ensure!(!answers.is_empty(), Error::<T>::EmptyBatch);
		let mailbox = Self::mailbox(&member);
		for (index, (hash, token)) in (0u32..).zip(answers) {
			Self::deposit_event(match Self::answer_one(&mailbox, &hash, token) {
				Ok(()) => Event::Answered { hash },
				Err(error) => Event::ItemFailed { index, error },
			});
		}
		Ok(())
	}

	fn answer_one(mailbox: &Digest, hash: &Digest, token: AnswerToken) -> DispatchResult {
		Letters::<T>::try_mutate(mailbox, hash, |record| {
			let record = record.as_mut().ok_or(Error::<T>::NotFound)?;
			ensure!(record.answer.is_none(), Error::<T>::AlreadyAnswered);
			record.answer = Some(token);
			Ok(())
		})
	}

	pub(crate) fn do_set_whitelist(who: T::AccountId, envelope: Envelope) -> DispatchResult {
		let owner =
			T::Tiers::owner(&who).filter(|member| T::Tiers::isp_of(member).is_some()).ok_or(Error::<T>::NotOwner)?;
		ensure!(envelope.len() == ENVELOPE_LEN as usize, Error::<T>::BadSize);
		let hash = name(&envelope);
		let mailbox = Self::mailbox(&owner);
		let previous = Whitelists::<T>::get(mailbox);
		ensure!(previous.is_none_or(|previous| previous.hash != hash), Error::<T>::AlreadySent);
		Self::spend_send(&owner, &owner)?;
		let number = previous.map_or(0, |previous| previous.number).checked_add(1).ok_or(ArithmeticError::Overflow)?;
		let (block, index) = Self::place();
		Whitelists::<T>::insert(mailbox, WhitelistRecord { hash, number, block, index });
		Self::deposit_event(Event::WhitelistSet { hash });
		Ok(())
	}

	pub(crate) fn do_announce(who: T::AccountId, sealed: Sealed) -> DispatchResult {
		let isp = T::Tiers::speaker(&who, Scope::Vet).filter(T::Tiers::is_isp).ok_or(Error::<T>::NotIsp)?;
		ensure!(sealed.len() == MAX_SEALED_LEN as usize, Error::<T>::BadSize);
		Announcements::<T>::try_mutate(&isp, |spent| {
			Self::spend(spent, T::AnnouncementsPerHour::get()).ok_or(Error::<T>::TooManyAnnounced)
		})?;
		let seq = T::Log::announce(&isp, sealed)?;
		Self::deposit_event(Event::Announced { isp, seq });
		Ok(())
	}

	/// The subscriber or ISP in whose name `who` exchanges letters.
	fn correspondent(who: &T::AccountId) -> Result<T::AccountId, DispatchError> {
		T::Tiers::speaker(who, Scope::Report)
			.filter(|member| T::Tiers::isp_of(member).is_some())
			.or_else(|| T::Tiers::speaker(who, Scope::Vet).filter(T::Tiers::is_isp))
			.ok_or_else(|| Error::<T>::NotCorrespondent.into())
	}

	/// What the letters to `member` are filed under.
	pub fn mailbox(member: &T::AccountId) -> Digest {
		name(&T::Tiers::bytes(member))
	}

	fn spend_send(from: &T::AccountId, to: &T::AccountId) -> DispatchResult {
		let both = name(&(T::Tiers::bytes(from), T::Tiers::bytes(to)).encode());
		Sends::<T>::try_mutate(both, |spent| {
			Self::spend(spent, T::SendsPerHour::get()).ok_or_else(|| Error::<T>::TooManySent.into())
		})
	}

	/// Counts one more within this hour; none if that is more than `limit`.
	fn spend((hour, count): &mut (u64, u32), limit: u32) -> Option<()> {
		let present = T::Clock::now() / HOUR;
		if *hour != present {
			(*hour, *count) = (present, 0);
		}
		*count = count.checked_add(1).filter(|count| *count <= limit)?;
		Some(())
	}

	/// The block that is being made and the transaction that is being applied.
	fn place() -> (u32, u32) {
		let block = frame_system::Pallet::<T>::block_number().saturated_into();
		// Calls come by transactions, each of which has an index.
		(block, frame_system::Pallet::<T>::extrinsic_index().unwrap_or_default())
	}

	/// Up to `limit` letters to `member`, answered or not, in the order of their names, those after `after`.
	pub fn inbox(member: &T::AccountId, after: Option<Digest>, limit: u32) -> Vec<(Digest, EnvelopeRecord)> {
		let mailbox = Self::mailbox(member);
		let letters = match after {
			Some(hash) => Letters::<T>::iter_prefix_from(mailbox, Letters::<T>::hashed_key_for(mailbox, hash)),
			None => Letters::<T>::iter_prefix(mailbox),
		};
		letters.take(limit as usize).collect()
	}

	/// The letter to `member` called `hash`.
	pub fn record(member: &T::AccountId, hash: &Digest) -> Option<EnvelopeRecord> {
		Letters::<T>::get(Self::mailbox(member), hash)
	}

	/// The whitelist that `member` set last.
	pub fn whitelist(member: &T::AccountId) -> Option<WhitelistRecord> {
		Whitelists::<T>::get(Self::mailbox(member))
	}

	/// Every invariant of this pallet.
	#[cfg(any(feature = "try-runtime", test))]
	pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
		use crate::{endings::STRETCH, Endings, NextEndings};
		use alloc::collections::BTreeMap;
		let mut open = BTreeMap::<Digest, u32>::new();
		let mut total = 0usize;
		for (mailbox, hash, record) in Letters::<T>::iter() {
			let count = open.entry(mailbox).or_default();
			*count = count.saturating_add(1);
			total = total.saturating_add(1);
			let stretch = record.expires_at / STRETCH;
			ensure!(Endings::<T>::get(stretch, hash) == Some(mailbox), "a letter would never be forgotten");
			ensure!(stretch >= NextEndings::<T>::get(), "a letter ought to have been forgotten");
		}
		ensure!(Endings::<T>::iter_keys().count() == total, "something ends that is not on record");
		ensure!(open.values().all(|count| *count <= T::MaxOpen::get()), "a mailbox holds more than it can");
		ensure!(Open::<T>::iter().collect::<BTreeMap<_, _>>() == open, "letters are miscounted");
		let within = |limit: u32| move |(_, count): (u64, u32)| (1..=limit).contains(&count);
		ensure!(Sends::<T>::iter_values().all(within(T::SendsPerHour::get())), "a member sent more than it may");
		ensure!(
			Announcements::<T>::iter_values().all(within(T::AnnouncementsPerHour::get())),
			"an ISP announced more than it may"
		);
		ensure!(Whitelists::<T>::iter_values().all(|record| record.number >= 1), "a whitelist has no number");
		Ok(())
	}
}
