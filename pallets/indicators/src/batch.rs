//! Batches: many reports or votes in one call, each of which succeeds or fails by itself.

use crate::{
	lifecycle::{voted, Outcome},
	sitting::Sitting,
	Config, Deed, Error, Event, Head, Members, Pallet, WeightInfo,
};
use alloc::vec::Vec;
use frame_support::{dispatch::DispatchResultWithPostInfo, ensure, storage::with_storage_layer, weights::Weight};
use ringfence_primitives::{Ballot, Indicator, Terms};
use sp_runtime::DispatchError;

/// What became of the items of a batch.
#[derive(Default)]
struct Results {
	opened: u32,
	entered: u32,
	decided: u32,
	failed: u32,
}

impl Results {
	/// How many succeeded.
	const fn done(&self) -> u32 {
		self.opened.saturating_add(self.entered).saturating_add(self.decided)
	}

	/// What the batch has cost. An item that failed did no more than one that was entered.
	fn weight<T: Config>(&self) -> Weight {
		T::WeightInfo::report_batch(self.opened)
			.saturating_add(T::WeightInfo::cast_batch(self.entered.saturating_add(self.failed)))
			.saturating_add(deciding::<T>(self.decided))
	}
}

/// The weight of `items` votes that decide something, each of which the ledger hears of about everybody: each ISP, the
/// reporter, and who disputes.
fn deciding<T: Config>(items: u32) -> Weight {
	let isps = T::Members::isp_count();
	T::WeightInfo::vote_batch(items)
		.saturating_add(T::WeightInfo::deeds(items.saturating_mul(isps.saturating_add(2)), isps))
}

impl<T: Config> Pallet<T> {
	/// The most that a batch of `items` reports weighs.
	pub(crate) fn report_batch_weight(items: usize) -> Weight {
		T::WeightInfo::report_batch(items as u32).max(Self::vote_batch_weight(items))
	}

	/// The most that a batch of `items` votes weighs.
	pub(crate) fn vote_batch_weight(items: usize) -> Weight {
		deciding::<T>(items as u32)
	}

	pub(crate) fn do_report_batch(
		who: &T::AccountId,
		terms: Terms,
		indicators: Vec<Indicator>,
	) -> DispatchResultWithPostInfo {
		let (reporter, voice) = Self::reporter(who)?;
		let most = Self::report_batch_weight(indicators.len());
		let sitting = Sitting::for_batch();
		let results =
			Self::each(indicators, |indicator| Self::report_as(&sitting, &reporter, voice, indicator, terms.clone()))?;
		T::Members::note_times(&reporter, Deed::Reported, results.done());
		Ok(Some(results.weight::<T>().min(most)).into())
	}

	pub(crate) fn do_vote_batch(who: &T::AccountId, ballots: Vec<Ballot>) -> DispatchResultWithPostInfo {
		let isp = Self::voter(who)?;
		let most = Self::vote_batch_weight(ballots.len());
		let sitting = Sitting::for_batch();
		let mut sightings = 0u32;
		let results = Self::each(ballots, |ballot| {
			let outcome = Self::vote_as(&sitting, &isp, ballot)?;
			sightings = sightings.saturating_add(u32::from(voted(ballot.vote) == Deed::Sighted));
			Ok(outcome)
		})?;
		T::Members::note_times(&isp, Deed::Sighted, sightings);
		T::Members::note_times(&isp, Deed::Voted, results.done().saturating_sub(sightings));
		Ok(Some(results.weight::<T>().min(most)).into())
	}

	/// Carries out each item in a storage layer of its own, and says which failed.
	fn each<Item>(
		items: Vec<Item>,
		mut act: impl FnMut(Item) -> Result<Outcome, DispatchError>,
	) -> Result<Results, DispatchError> {
		ensure!(!items.is_empty(), Error::<T>::EmptyBatch);
		let mut results = Results::default();
		let before = Head::<T>::get().seq;
		for (index, item) in (0u32..).zip(items) {
			let count = match with_storage_layer(|| act(item)) {
				Ok(Outcome::Opened) => &mut results.opened,
				Ok(Outcome::Entered) => &mut results.entered,
				Ok(Outcome::Decided) => &mut results.decided,
				Err(error) => {
					Self::deposit_event(Event::ItemFailed { index, error });
					&mut results.failed
				}
			};
			*count = count.saturating_add(1);
		}
		let seq = Head::<T>::get().seq;
		if seq > before {
			Self::deposit_event(Event::Changed { seq });
		}
		Self::deposit_event(Event::BatchDone { done: results.done(), failed: results.failed });
		Ok(results)
	}
}
