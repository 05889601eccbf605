//! What the decisions of one call depend on, how many votes decide, and what comes of them.
//!
//! A sitting is a unit of work. It reads what all items of a call share once, keeps what they change of it, and writes that
//! at the end: so a list of hundreds costs little more than its records. What an item changes it changes after its last
//! check, so one that is refused has changed nothing.

use crate::{
	files::Files, ActiveCount, Config, Deed, Digest, Event, Head, Members, OpenCount, Pallet, Parameters,
	ProposedCount, ProtectedNetworks, ProvisionalCount, RecordCount, RecordOf, Settings,
};
use alloc::{collections::BTreeMap, vec::Vec};
use frame_support::{storage::StorageMap, traits::Time, StorageValue};
use ringfence_primitives::{ActiveDigest, Indicator, IndicatorId, LogHead, Millis, Network};

/// What the decisions of one call depend on, and what they change beside records and the log's entries.
#[must_use = "nothing is written before it is closed"]
pub(crate) struct Sitting<T: Config> {
	pub(crate) now: Millis,
	pub(crate) settings: Parameters,
	/// Those that lie in no other, in order; None before they are first needed, for much is done without.
	protected: Option<Vec<Network>>,
	/// In order.
	isps: Vec<T::AccountId>,
	/// Whether the call has many items: then they are told of together, at its end.
	quiet: bool,
	/// What a call of many items opened.
	pub(crate) opened: Vec<IndicatorId>,
	pub(crate) head: LogHead,
	/// Where the log stood before.
	before: u64,
	pub(crate) files: Files<T>,
	pub(crate) records: Held<RecordCount<T>, u32>,
	pub(crate) awaiting: Held<ProposedCount<T>, u32>,
	pub(crate) active: Held<ActiveCount<T>, u32>,
	pub(crate) digest: Held<Digest<T>, ActiveDigest>,
	pub(crate) open: Tallies<OpenCount<T>, T::AccountId>,
	pub(crate) provisional: Tallies<ProvisionalCount<T>, T::AccountId>,
	deeds: BTreeMap<(T::AccountId, Deed), u32>,
}

impl<T: Config> Sitting<T> {
	pub(crate) fn open() -> Self {
		Self::with(false)
	}

	/// One for a call of many items.
	pub(crate) fn for_batch() -> Self {
		Self::with(true)
	}

	fn with(quiet: bool) -> Self {
		let mut isps = T::Members::isps();
		isps.sort_unstable();
		let head = Head::<T>::get();
		Self {
			now: T::Clock::now(),
			settings: Settings::<T>::get(),
			protected: None,
			isps,
			quiet,
			opened: Vec::new(),
			before: head.seq,
			head,
			files: Files::default(),
			records: Held::default(),
			awaiting: Held::default(),
			active: Held::default(),
			digest: Held::default(),
			open: Tallies::default(),
			provisional: Tallies::default(),
			deeds: BTreeMap::new(),
		}
	}

	/// Writes what was changed, and rings the doorbell if the log grew.
	pub(crate) fn close(self) {
		self.files.close();
		self.records.close();
		self.awaiting.close();
		self.active.close();
		self.digest.close();
		self.open.close();
		self.provisional.close();
		for ((member, deed), times) in self.deeds {
			T::Members::note_times(&member, deed, times);
		}
		if self.head.seq > self.before {
			Head::<T>::put(self.head);
			Pallet::<T>::deposit_event(Event::Changed { seq: self.head.seq });
		}
	}

	/// Enters a deed into the ledger.
	pub(crate) fn note(&mut self, member: &T::AccountId, deed: Deed) {
		let times = self.deeds.entry((member.clone(), deed)).or_default();
		*times = times.saturating_add(1);
	}

	/// How many entries the ledger will get.
	pub(crate) fn deeds(&self) -> u32 {
		self.deeds.len() as u32
	}

	/// Says what happened to an item; not where there are many, which are told of together.
	pub(crate) fn tell(&self, event: Event<T>) {
		if !self.quiet {
			Pallet::<T>::deposit_event(event);
		}
	}

	/// Whether the indicator names an address of a protected network, or a protected network lies in what it names.
	pub(crate) fn protects(&mut self, indicator: &Indicator) -> bool {
		let protected = self.protected.get_or_insert_with(|| widest(ProtectedNetworks::<T>::get().into_inner()));
		indicator.networks().any(|network| overlaps(protected, &network))
	}

	/// How many ISPs are active.
	pub(crate) fn isps(&self) -> u32 {
		self.isps.len() as u32
	}

	/// Whether `isp` is active.
	pub(crate) fn seats(&self, isp: &T::AccountId) -> bool {
		self.isps.binary_search(isp).is_ok()
	}

	/// Drops the votes of ISPs that have left: they count no more, and without them there is room for every active one.
	pub(crate) fn dismiss_absent(&self, record: &mut RecordOf<T>) {
		record.votes.retain(|(voter, _)| self.seats(voter));
	}

	/// How many approvals activate: more than half of the ISPs; two thirds where the indicator is wide.
	pub(crate) fn quorum(&self, indicator: &Indicator) -> u32 {
		if indicator.is_wide() {
			self.isps().saturating_mul(2).div_ceil(3).max(self.majority())
		} else {
			self.majority()
		}
	}

	/// More than half of the ISPs.
	pub(crate) fn majority(&self) -> u32 {
		(self.isps() / 2).saturating_add(1)
	}

	/// How many rejections stop what is not confirmed: one third of the ISPs, and at least one.
	pub(crate) fn veto(&self) -> u32 {
		self.isps().div_ceil(3).max(1)
	}
}

/// Those of `networks` that lie in no other, in order. Networks nest or are disjoint, so these are disjoint.
fn widest(mut networks: Vec<Network>) -> Vec<Network> {
	networks.sort_unstable();
	networks.dedup_by(|next, kept| kept.contains(next));
	networks
}

/// Whether `network` overlaps one of `disjoint`: the last that begins before it, or the first that does not.
fn overlaps(disjoint: &[Network], network: &Network) -> bool {
	let (before, after) = disjoint.split_at(disjoint.partition_point(|other| other < network));
	before.last().is_some_and(|other| other.overlaps(network))
		|| after.first().is_some_and(|other| other.overlaps(network))
}

/// A value of the state: read when it is first needed, and written at the end if it was changed.
pub(crate) struct Held<S, V> {
	value: Option<V>,
	changed: bool,
	storage: core::marker::PhantomData<S>,
}

impl<S, V> Default for Held<S, V> {
	fn default() -> Self {
		Self { value: None, changed: false, storage: core::marker::PhantomData }
	}
}

impl<S: StorageValue<V, Query = V>, V: codec::FullCodec> Held<S, V> {
	pub(crate) fn get(&mut self) -> &V {
		self.value.get_or_insert_with(S::get)
	}

	pub(crate) fn change(&mut self) -> &mut V {
		self.changed = true;
		self.value.get_or_insert_with(S::get)
	}

	fn close(self) {
		if let Some(value) = self.value.filter(|_| self.changed) {
			S::put(value);
		}
	}
}

impl<S: StorageValue<u32, Query = u32>> Held<S, u32> {
	pub(crate) fn one_more(&mut self) {
		let count = self.change();
		*count = count.saturating_add(1);
	}

	pub(crate) fn one_less(&mut self) {
		let count = self.change();
		*count = count.saturating_sub(1);
	}
}

/// A count of each member, likewise. Zero is not stored.
pub(crate) struct Tallies<S, AccountId> {
	counts: BTreeMap<AccountId, u32>,
	storage: core::marker::PhantomData<S>,
}

impl<S, AccountId> Default for Tallies<S, AccountId> {
	fn default() -> Self {
		Self { counts: BTreeMap::new(), storage: core::marker::PhantomData }
	}
}

impl<S: StorageMap<AccountId, u32, Query = u32>, AccountId: Ord + Clone + codec::FullCodec> Tallies<S, AccountId> {
	fn of(&mut self, member: &AccountId) -> &mut u32 {
		self.counts.entry(member.clone()).or_insert_with(|| S::get(member))
	}

	pub(crate) fn get(&mut self, member: &AccountId) -> u32 {
		*self.of(member)
	}

	pub(crate) fn one_more(&mut self, member: &AccountId) {
		let count = self.of(member);
		*count = count.saturating_add(1);
	}

	pub(crate) fn one_less(&mut self, member: &AccountId) {
		let count = self.of(member);
		*count = count.saturating_sub(1);
	}

	fn close(self) {
		for (member, count) in self.counts {
			match count {
				0 => S::remove(member),
				count => S::insert(member, count),
			}
		}
	}
}

#[cfg(test)]
mod tests {
	use super::{overlaps, widest};
	use proptest::prelude::*;
	use ringfence_primitives::{Address, Network};

	/// Networks of few different bits, so that overlaps are common.
	fn any_network() -> impl Strategy<Value = Network> {
		(any::<[bool; 4]>(), any::<bool>(), 0_u8..=32).prop_map(|(bits, v6, prefix)| {
			let octets = bits.map(|bit| if bit { 0x88 } else { 0 });
			let address = match v6 {
				false => Address::V4(octets),
				true => {
					let mut wide = [0; 16];
					wide[..2].copy_from_slice(&[0x20, 1]);
					wide[4..8].copy_from_slice(&octets);
					Address::v6(wide).unwrap()
				}
			};
			Network::new(address.masked(prefix), prefix).unwrap()
		})
	}

	proptest! {
		#[test]
		fn a_sorted_search_finds_what_a_look_at_each_would(
			protected in proptest::collection::vec(any_network(), 0..12),
			network in any_network(),
		) {
			let each = protected.iter().any(|other| other.overlaps(&network));
			prop_assert_eq!(overlaps(&widest(protected), &network), each);
		}
	}
}
