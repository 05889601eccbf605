//! Where a record is filed: under its ending, on its reporter's account, and by address.

use crate::{endings::stretch, files::File, sitting::Sitting, Config, Error, Named, Pallet, RecordOf, Records, Status};
use frame_support::ensure;
use ringfence_primitives::{Indicator, IndicatorId, Network};

impl<T: Config> Pallet<T> {
	/// Stores a record and files it by its present status.
	pub(crate) fn enter(sitting: &mut Sitting<T>, id: &IndicatorId, mut record: RecordOf<T>) {
		record.page = sitting.files.add(file(&record), stretch(record.due_at()), *id);
		if record.awaits_votes() {
			sitting.awaiting.one_more();
		}
		if record.is_unconfirmed() {
			sitting.open.one_more(&record.reporter);
		}
		if matches!(record.status, Status::Provisional { .. }) {
			sitting.provisional.one_more(&record.reporter);
		}
		Records::<T>::insert(id, record);
	}

	/// Undoes the filing of [`Self::enter`], before the record changes. The record itself stays in storage.
	pub(crate) fn leave(sitting: &mut Sitting<T>, id: &IndicatorId, record: &RecordOf<T>) {
		sitting.files.take(file(record), stretch(record.due_at()), record.page, id);
		if record.awaits_votes() {
			sitting.awaiting.one_less();
		}
		if record.is_unconfirmed() {
			sitting.open.one_less(&record.reporter);
		}
		if matches!(record.status, Status::Provisional { .. }) {
			sitting.provisional.one_less(&record.reporter);
		}
	}

	/// Takes a record off the chain.
	pub(crate) fn forget(sitting: &mut Sitting<T>, id: &IndicatorId, record: &RecordOf<T>) {
		Self::leave(sitting, id, record);
		if let Some(network) = peer(&record.indicator) {
			Named::<T>::remove(network, id);
		}
		Records::<T>::remove(id);
		sitting.records.one_less();
	}

	pub(crate) fn ensure_provisional_room(sitting: &mut Sitting<T>, reporter: &T::AccountId) -> Result<(), Error<T>> {
		let room = sitting.provisional.get(reporter) < sitting.settings.provisional_cap;
		ensure!(room, Error::<T>::TooManyProvisional);
		Ok(())
	}

	/// Files a new record by the address that it is about, where its name does not tell that.
	pub(crate) fn index_named(id: &IndicatorId, indicator: &Indicator) {
		if let Some(network) = peer(indicator) {
			Named::<T>::insert(network, id, ());
		}
	}
}

/// The file that a record is in.
pub(crate) const fn file<AccountId, MaxVotes>(record: &crate::Record<AccountId, MaxVotes>) -> File
where
	AccountId: Clone + PartialEq + Eq + core::fmt::Debug,
	MaxVotes: frame_support::traits::Get<u32>,
{
	if record.awaits_votes() {
		File::Awaiting
	} else {
		File::Decided
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
