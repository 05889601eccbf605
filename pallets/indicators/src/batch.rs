//! Batches: many reports or votes in one call, each of which succeeds or fails by itself.

use crate::{lifecycle::Outcome, sitting::Sitting, Config, Error, Event, Members, Pallet, WeightInfo};
use alloc::vec::Vec;
use frame_support::{dispatch::DispatchResultWithPostInfo, ensure, weights::Weight, BoundedVec};
use ringfence_primitives::{Ballot, Indicator, Terms};
use sp_runtime::DispatchError;

/// What became of the items of a batch.
#[derive(Default)]
struct Results {
	opened: u32,
	entered: u32,
	decided: u32,
	overturned: u32,
	failed: u32,
	/// Pages that the batch's records were on, or are, and counts of them.
	pages: u32,
	/// Entries that it made in the ledger.
	deeds: u32,
}

impl Results {
	/// How many succeeded.
	const fn done(&self) -> u32 {
		self.opened.saturating_add(self.entered).saturating_add(self.decided).saturating_add(self.overturned)
	}

	/// What the batch has cost. An item that failed did no more than one that was entered.
	fn weight<T: Config>(&self) -> Weight {
		type Weigh = fn(u32) -> Weight;
		let items: [(u32, Weigh); 4] = [
			(self.opened, T::WeightInfo::report_batch),
			(self.entered.saturating_add(self.failed), T::WeightInfo::cast_batch),
			(self.decided, T::WeightInfo::vote_batch),
			(self.overturned, T::WeightInfo::overturn_batch),
		];
		items
			.into_iter()
			.filter(|(count, _)| *count > 0)
			.fold(Weight::zero(), |sum, (count, weight)| sum.saturating_add(weight(count)))
			.saturating_add(T::WeightInfo::pages(self.pages))
			.saturating_add(T::WeightInfo::deeds(self.deeds, self.deeds))
	}
}

/// The most that the pages and the deeds of a batch weigh: each record is on a page of its own and moves to another, of a
/// stretch whose pages are counted; each has a reporter of its own, and somebody else who disputes it; and each ISP was
/// right in one and wrong in the next.
fn most_around<T: Config>(items: u32) -> Weight {
	let members = items.saturating_mul(2).saturating_add(T::Members::isp_count());
	let deeds = members.saturating_add(T::Members::isp_count());
	T::WeightInfo::pages(items.saturating_mul(3).saturating_add(1)).saturating_add(T::WeightInfo::deeds(deeds, members))
}

impl<T: Config> Pallet<T> {
	/// The most that a batch of `items` reports weighs.
	pub(crate) fn report_batch_weight(items: usize) -> Weight {
		let items = items as u32;
		T::WeightInfo::report_batch(items)
			.saturating_add(most_around::<T>(items))
			.max(Self::vote_batch_weight(items as usize))
	}

	/// The most that a batch of `items` votes weighs.
	pub(crate) fn vote_batch_weight(items: usize) -> Weight {
		let items = items as u32;
		T::WeightInfo::vote_batch(items)
			.max(T::WeightInfo::overturn_batch(items))
			.saturating_add(most_around::<T>(items))
	}

	pub(crate) fn do_report_batch(
		who: &T::AccountId,
		terms: Terms,
		indicators: Vec<Indicator>,
	) -> DispatchResultWithPostInfo {
		let (reporter, voice) = Self::reporter(who)?;
		let most = Self::report_batch_weight(indicators.len());
		let results = Self::each(indicators, |sitting, indicator| {
			Self::report_as(sitting, &reporter, voice, indicator, terms.clone())
		})?;
		Ok(Some(results.weight::<T>().min(most)).into())
	}

	pub(crate) fn do_vote_batch(who: &T::AccountId, ballots: Vec<Ballot>) -> DispatchResultWithPostInfo {
		let isp = Self::voter(who)?;
		let most = Self::vote_batch_weight(ballots.len());
		let results = Self::each(ballots, |sitting, ballot| Self::vote_as(sitting, &isp, ballot))?;
		Ok(Some(results.weight::<T>().min(most)).into())
	}

	/// Carries out each item, and says which failed.
	fn each<Item>(
		items: Vec<Item>,
		act: impl Fn(&mut Sitting<T>, Item) -> Result<Outcome, DispatchError>,
	) -> Result<Results, DispatchError> {
		ensure!(!items.is_empty(), Error::<T>::EmptyBatch);
		let mut results = Results::default();
		let mut sitting = Sitting::for_batch();
		for (index, item) in (0u32..).zip(items) {
			let count = match act(&mut sitting, item) {
				Ok(Outcome::Opened) => &mut results.opened,
				Ok(Outcome::Entered) => &mut results.entered,
				Ok(Outcome::Decided) => &mut results.decided,
				Ok(Outcome::Overturned) => &mut results.overturned,
				Err(error) => {
					Self::deposit_event(Event::ItemFailed { index, error });
					&mut results.failed
				}
			};
			*count = count.saturating_add(1);
		}
		// No more than the batch has items.
		let reported = BoundedVec::truncate_from(core::mem::take(&mut sitting.opened));
		(results.pages, results.deeds) = (sitting.files.pages(), sitting.deeds());
		sitting.close();
		Self::deposit_event(Event::BatchDone { reported, done: results.done(), failed: results.failed });
		Ok(results)
	}
}
