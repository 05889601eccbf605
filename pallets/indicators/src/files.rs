//! Where records are filed for their endings: in pages of names, by the stretch of time in which they end; those that await
//! votes apart from the others. A page costs the state as little as a single name would, and a list fills few of them.

use crate::{Awaiting, Config, Decided, Page, Pages};
use alloc::collections::BTreeMap;
use codec::{Decode, Encode, MaxEncodedLen};
use core::marker::PhantomData;
use ringfence_primitives::IndicatorId;
use scale_info::TypeInfo;

/// The two files of a stretch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum File {
	/// What awaits votes: proposed, provisional and disputed indicators.
	Awaiting,
	/// Active ones that nobody disputes, and rejected ones.
	Decided,
}

/// How many pages the files of a stretch have: some may be empty, for a file grows by full pages and becomes shorter only
/// when its stretch is worked off, from the last page to the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct PageCounts {
	/// Of what awaits votes.
	pub awaiting: u32,
	/// Of what is decided.
	pub decided: u32,
}

impl PageCounts {
	const fn of(&self, file: File) -> u32 {
		match file {
			File::Awaiting => self.awaiting,
			File::Decided => self.decided,
		}
	}

	fn of_mut(&mut self, file: File) -> &mut u32 {
		match file {
			File::Awaiting => &mut self.awaiting,
			File::Decided => &mut self.decided,
		}
	}
}

/// What the end of a stretch's files shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Last {
	/// A name, which is off its page now.
	Name(IndicatorId),
	/// An empty page, by which its file is shorter now.
	EmptyPage,
	/// No page is left: the stretch is done with.
	Nothing,
}

/// The pages that a sitting has in hand: read when they are first needed, and written at the end if they were changed.
pub(crate) struct Files<T: Config> {
	pages: BTreeMap<(File, u64, u32), (Page, bool)>,
	counts: BTreeMap<u64, (PageCounts, bool)>,
	config: PhantomData<T>,
}

impl<T: Config> Default for Files<T> {
	fn default() -> Self {
		Self { pages: BTreeMap::new(), counts: BTreeMap::new(), config: PhantomData }
	}
}

impl<T: Config> Files<T> {
	fn counts(&mut self, stretch: u64) -> &mut (PageCounts, bool) {
		self.counts.entry(stretch).or_insert_with(|| (Pages::<T>::get(stretch), false))
	}

	fn page(&mut self, file: File, stretch: u64, number: u32) -> &mut (Page, bool) {
		self.pages.entry((file, stretch, number)).or_insert_with(|| {
			let page = match file {
				File::Awaiting => Awaiting::<T>::get(stretch, number),
				File::Decided => Decided::<T>::get(stretch, number),
			};
			(page, false)
		})
	}

	/// Puts a name on the last page, or on a new one if that is full. Returns the page's number.
	pub(crate) fn add(&mut self, file: File, stretch: u64, id: IndicatorId) -> u32 {
		let count = self.counts(stretch).0.of(file);
		if let Some(last) = count.checked_sub(1) {
			let (page, changed) = self.page(file, stretch, last);
			if page.try_push(id).is_ok() {
				*changed = true;
				return last;
			}
		}
		let (counts, changed) = self.counts(stretch);
		*counts.of_mut(file) = count.saturating_add(1);
		*changed = true;
		let (page, changed) = self.page(file, stretch, count);
		// A new page has room.
		let _ = page.try_push(id);
		*changed = true;
		count
	}

	/// Takes a name off its page. Nothing happens if it is not there.
	pub(crate) fn take(&mut self, file: File, stretch: u64, number: u32, id: &IndicatorId) {
		let (page, changed) = self.page(file, stretch, number);
		if let Some(position) = page.iter().position(|filed| filed == id) {
			page.swap_remove(position);
			*changed = true;
		}
	}

	/// Takes the last name, or the last page if that is empty, off the files of a stretch that is over; what awaits votes
	/// first. Each look leaves less to look at, so that a later block need not look at the same again.
	pub(crate) fn take_last(&mut self, stretch: u64) -> Last {
		let counts = self.counts(stretch).0;
		let (file, last) = match (counts.awaiting.checked_sub(1), counts.decided.checked_sub(1)) {
			(Some(last), _) => (File::Awaiting, last),
			(None, Some(last)) => (File::Decided, last),
			(None, None) => return Last::Nothing,
		};
		let (page, changed) = self.page(file, stretch, last);
		if let Some(id) = page.pop() {
			*changed = true;
			return Last::Name(id);
		}
		let (counts, changed) = self.counts(stretch);
		*counts.of_mut(file) = last;
		*changed = true;
		Last::EmptyPage
	}

	/// How many pages, and counts of pages, are in hand.
	pub(crate) fn pages(&self) -> u32 {
		self.pages.len().saturating_add(self.counts.len()) as u32
	}

	pub(crate) fn close(self) {
		for ((file, stretch, number), (page, _)) in self.pages.into_iter().filter(|(_, (_, changed))| *changed) {
			match (file, page.is_empty()) {
				(File::Awaiting, true) => Awaiting::<T>::remove(stretch, number),
				(File::Awaiting, false) => Awaiting::<T>::insert(stretch, number, page),
				(File::Decided, true) => Decided::<T>::remove(stretch, number),
				(File::Decided, false) => Decided::<T>::insert(stretch, number, page),
			}
		}
		for (stretch, (counts, _)) in self.counts.into_iter().filter(|(_, (_, changed))| *changed) {
			if counts == PageCounts::default() {
				Pages::<T>::remove(stretch);
			} else {
				Pages::<T>::insert(stretch, counts);
			}
		}
	}
}
