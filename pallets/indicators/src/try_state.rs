//! Every invariant of this pallet.

use crate::{
	endings::stretch,
	files::{File, PageCounts},
	filing::{file, peer},
	ActiveCount, Awaiting, Config, Decided, Digest, Dispute, Named, NextEndings, OpenCount, Page, Pages, Pallet,
	ProposedCount, ProvisionalCount, RecordCount, RecordOf, Records, Settings, Status,
};
use alloc::{collections::BTreeMap, vec::Vec};
use frame_support::{ensure, traits::Get};
use ringfence_primitives::{ActiveDigest, IndicatorId, Vote};
use sp_runtime::TryRuntimeError;

/// What the records say that the counters and lists ought to.
struct Census<T: Config> {
	total: u32,
	active: u32,
	listed: u32,
	named: u32,
	open: BTreeMap<T::AccountId, u32>,
	provisional: BTreeMap<T::AccountId, u32>,
	digest: ActiveDigest,
}

impl<T: Config> Census<T> {
	fn count(&mut self, record: &RecordOf<T>) {
		self.total = self.total.saturating_add(1);
		if record.is_enforced() {
			self.active = self.active.saturating_add(1);
			self.digest.add(&record.decision());
		}
		if record.awaits_votes() {
			self.listed = self.listed.saturating_add(1);
		}
		if record.is_unconfirmed() {
			let open = self.open.entry(record.reporter.clone()).or_default();
			*open = open.saturating_add(1);
		}
		if matches!(record.status, Status::Provisional { .. }) {
			let provisional = self.provisional.entry(record.reporter.clone()).or_default();
			*provisional = provisional.saturating_add(1);
		}
		if peer(&record.indicator).is_some() {
			self.named = self.named.saturating_add(1);
		}
	}
}

impl<T: Config> Pallet<T> {
	/// Checks every invariant of this pallet.
	pub fn do_try_state() -> Result<(), TryRuntimeError> {
		ensure!(Settings::<T>::get().are_valid(), "a parameter is out of bounds");
		let mut census = Census::<T> {
			total: 0,
			active: 0,
			listed: 0,
			named: 0,
			open: BTreeMap::new(),
			provisional: BTreeMap::new(),
			digest: ActiveDigest::default(),
		};
		for (id, record) in Records::<T>::iter() {
			Self::try_state_record(&id, &record)?;
			census.count(&record);
		}
		let Census { total, active, listed, named, open, provisional, digest } = census;
		ensure!(total == RecordCount::<T>::get() && total <= T::MaxRecords::get(), "records are miscounted");
		ensure!(active == ActiveCount::<T>::get(), "active indicators are miscounted");
		ensure!(listed == ProposedCount::<T>::get(), "what awaits votes is miscounted");
		let names = |pages: &[(u64, u32, Page)]| pages.iter().map(|(_, _, page)| page.len() as u32).sum::<u32>();
		let (awaiting, decided): (Vec<_>, Vec<_>) = (Awaiting::<T>::iter().collect(), Decided::<T>::iter().collect());
		ensure!(names(&awaiting) == listed, "something is listed that awaits no votes");
		ensure!(names(&decided) == total.saturating_sub(listed), "something ends that is not on record");
		for (stretch, number, page) in awaiting {
			ensure!(!page.is_empty() && number < Pages::<T>::get(stretch).awaiting, "a page is lost");
		}
		for (stretch, number, page) in decided {
			ensure!(!page.is_empty() && number < Pages::<T>::get(stretch).decided, "a page is lost");
		}
		for (stretch, counts) in Pages::<T>::iter() {
			ensure!(counts != PageCounts::default(), "a stretch without pages is counted");
			ensure!(stretch >= NextEndings::<T>::get(), "a stretch that is over is counted");
		}
		ensure!(Named::<T>::iter_keys().count() as u32 == named, "an address names what is not on record");
		ensure!(OpenCount::<T>::iter().collect::<BTreeMap<_, _>>() == open, "open reports are miscounted");
		ensure!(
			ProvisionalCount::<T>::iter().collect::<BTreeMap<_, _>>() == provisional,
			"provisional indicators are miscounted"
		);
		ensure!(digest == Digest::<T>::get(), "the digest is not that of the active set");
		Self::try_state_log()
	}

	fn try_state_record(id: &IndicatorId, record: &RecordOf<T>) -> Result<(), TryRuntimeError> {
		ensure!(record.indicator.id() == *id, "a record is filed under another name");
		let stretch = stretch(record.due_at());
		let page = match file(record) {
			File::Awaiting => Awaiting::<T>::get(stretch, record.page),
			File::Decided => Decided::<T>::get(stretch, record.page),
		};
		ensure!(page.iter().filter(|filed| *filed == id).count() == 1, "a record would never end");
		ensure!(stretch >= NextEndings::<T>::get(), "a record ought to have ended");
		if let Some(network) = peer(&record.indicator) {
			ensure!(Named::<T>::contains_key(network, id), "a record cannot be found by its address");
		}
		ensure!(distinct(&record.votes), "an ISP voted twice");
		if let Dispute::Open { by, until, before } = &record.dispute {
			ensure!(*by != record.reporter, "a reporter disputes its own report");
			ensure!(*until <= record.ends_at, "a dispute outlives what it is about");
			ensure!(distinct(before), "an ISP had voted twice");
		}
		ensure!(
			record.dispute == Dispute::None || matches!(record.status, Status::Active { .. }),
			"what is not active is disputed"
		);
		Ok(())
	}
}

fn distinct<AccountId: PartialEq>(votes: &[(AccountId, Vote)]) -> bool {
	let mut rest = votes;
	while let Some(((voter, _), others)) = rest.split_first() {
		if others.iter().any(|(other, _)| other == voter) {
			return false;
		}
		rest = others;
	}
	true
}
