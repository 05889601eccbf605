//! Where a record is filed: under its ending, among what awaits votes, on its reporter's account, and by address.

use crate::{
	Config, Error, Named, OpenCount, Pallet, Parameters, Proposed, ProposedCount, ProvisionalCount, RecordOf, Records,
	Status,
};
use frame_support::ensure;
use ringfence_primitives::{Indicator, IndicatorId, Network};

impl<T: Config> Pallet<T> {
	/// Stores a record and files it by its present status.
	pub(crate) fn enter(id: &IndicatorId, record: RecordOf<T>) {
		Self::file_ending(id, record.due_at());
		if record.awaits_votes() {
			Proposed::<T>::insert(id, ());
			ProposedCount::<T>::mutate(|count| *count = count.saturating_add(1));
		}
		if record.is_unconfirmed() {
			OpenCount::<T>::mutate(&record.reporter, |count| *count = count.saturating_add(1));
		}
		if matches!(record.status, Status::Provisional { .. }) {
			ProvisionalCount::<T>::mutate(&record.reporter, |count| *count = count.saturating_add(1));
		}
		Records::<T>::insert(id, record);
	}

	/// Undoes the filing of [`Self::enter`], before the record changes. The record itself stays in storage.
	pub(crate) fn leave(id: &IndicatorId, record: &RecordOf<T>) {
		Self::unfile_ending(id, record.due_at());
		if record.awaits_votes() {
			Proposed::<T>::remove(id);
			ProposedCount::<T>::mutate(|count| *count = count.saturating_sub(1));
		}
		if record.is_unconfirmed() {
			OpenCount::<T>::mutate_exists(&record.reporter, one_less);
		}
		if matches!(record.status, Status::Provisional { .. }) {
			ProvisionalCount::<T>::mutate_exists(&record.reporter, one_less);
		}
	}

	/// Takes a record off the chain.
	pub(crate) fn forget(id: &IndicatorId, record: &RecordOf<T>) {
		Self::leave(id, record);
		Self::unindex_named(id, &record.indicator);
		Records::<T>::remove(id);
	}

	pub(crate) fn ensure_provisional_room(reporter: &T::AccountId, settings: &Parameters) -> Result<(), Error<T>> {
		ensure!(ProvisionalCount::<T>::get(reporter) < settings.provisional_cap, Error::<T>::TooManyProvisional);
		Ok(())
	}

	/// Files a new record by the address that it is about, where its name does not tell that.
	pub(crate) fn index_named(id: &IndicatorId, indicator: &Indicator) {
		if let Some(network) = peer(indicator) {
			Named::<T>::insert(network, id, ());
		}
	}

	fn unindex_named(id: &IndicatorId, indicator: &Indicator) {
		if let Some(network) = peer(indicator) {
			Named::<T>::remove(network, id);
		}
	}
}

/// The network under which [`Named`] files an indicator: the host of an endpoint, the source of a flow. Hosts and networks
/// need no filing: who knows the address knows their names.
pub(crate) fn peer(indicator: &Indicator) -> Option<Network> {
	match indicator {
		Indicator::Host(_) | Indicator::Network(_) => None,
		Indicator::Endpoint(endpoint) => Some(Network::host(endpoint.address)),
		Indicator::Flow(flow) => flow.source,
	}
}

/// Counts down; zero is not stored.
fn one_less(count: &mut Option<u32>) {
	*count = count.and_then(|count| count.checked_sub(1)).filter(|count| *count > 0);
}
