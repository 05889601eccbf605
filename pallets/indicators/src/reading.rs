//! What those who vet, and those who ask, may read.

use crate::{
	protection::{WIDEST_V4, WIDEST_V6},
	Awaiting, Config, Dispute, Members, Named, Pallet, RecordOf, Records, Status,
};
use alloc::vec::Vec;
use ringfence_primitives::{Address, Decision, Dossier, Indicator, IndicatorId, Network, Proposal, Standing};

/// Records with their names.
type Found<T> = Vec<(IndicatorId, RecordOf<T>)>;

impl<T: Config> Pallet<T> {
	/// Looks through what awaits votes, page by page, beginning after the page `after`, until `limit` records or more were
	/// looked at: those that `isp` has not voted on, and where to go on; None at the end.
	pub fn pending(isp: &T::AccountId, after: Option<(u64, u32)>, limit: u32) -> (Found<T>, Option<(u64, u32)>) {
		let pages = match after {
			Some((stretch, number)) => Awaiting::<T>::iter_from(Awaiting::<T>::hashed_key_for(stretch, number)),
			None => Awaiting::<T>::iter(),
		};
		let (mut found, mut seen) = (Vec::new(), 0usize);
		for (stretch, number, page) in pages {
			seen = seen.saturating_add(page.len());
			let records = page.into_iter().filter_map(|id| Some((id, Records::<T>::get(id)?)));
			found.extend(records.filter(|(_, record)| !record.has_vote_of(isp)));
			if seen >= limit as usize {
				return (found, Some((stretch, number)));
			}
		}
		(found, None)
	}

	/// Those of `ids` that `isp` has not voted on and that await votes.
	pub fn awaiting(isp: &T::AccountId, ids: Vec<IndicatorId>) -> Vec<(IndicatorId, RecordOf<T>)> {
		ids.into_iter()
			.filter_map(|id| Some((id, Records::<T>::get(id)?)))
			.filter(|(_, record)| record.awaits_votes() && !record.has_vote_of(isp))
			.collect()
	}

	/// Up to `limit` records that are about `address`, the narrowest first: the host, its endpoints, networks that it lies
	/// in, and flows from any of these. Flows from anywhere are about no address.
	pub fn about(address: Address, limit: u32) -> Vec<(IndicatorId, RecordOf<T>)> {
		// Nothing wider can be on record.
		let widest = match address {
			Address::V4(_) => WIDEST_V4,
			Address::V6(_) => WIDEST_V6,
		};
		(widest..=address.bits())
			.rev()
			.filter_map(|prefix| Network::new(address.masked(prefix), prefix).ok())
			.flat_map(|network| {
				core::iter::once(Indicator::from(network).id()).chain(Named::<T>::iter_key_prefix(network))
			})
			.filter_map(|id| Some((id, Records::<T>::get(id)?)))
			.take(limit as usize)
			.collect()
	}

	/// Up to `limit` decisions in force, in the order of their indicators' names, those after `after`.
	///
	/// Reads every record on its way, enforced or not: there are as many of the others as members may have open.
	pub fn active(after: Option<IndicatorId>, limit: u32) -> Vec<Decision> {
		let records = match after {
			Some(id) => Records::<T>::iter_from(Records::<T>::hashed_key_for(id)),
			None => Records::<T>::iter(),
		};
		records
			.filter(|(_, record)| record.is_enforced())
			.map(|(_, record)| record.decision())
			.take(limit as usize)
			.collect()
	}

	/// A record, as those who vet read it.
	pub fn proposal((id, record): (IndicatorId, RecordOf<T>)) -> Proposal {
		Proposal {
			id,
			disputed: record.is_disputed(),
			indicator: record.indicator,
			terms: record.terms,
			reporter: T::Members::bytes(&record.reporter),
			proposed_at: record.proposed_at,
		}
	}

	/// A record, as those who ask read it.
	pub fn dossier((id, record): (IndicatorId, RecordOf<T>)) -> Dossier {
		let standing = match (record.status, &record.dispute) {
			(Status::Active { since }, Dispute::Open { by, until, .. }) => {
				Standing::Disputed { since, by: T::Members::bytes(by), until: *until }
			}
			(Status::Active { since }, _) => Standing::Active { since },
			(Status::Proposed, _) => Standing::Proposed,
			(Status::Provisional { since }, _) => Standing::Provisional { since },
			(Status::Rejected, _) => Standing::Rejected,
		};
		Dossier {
			id,
			standing,
			indicator: record.indicator,
			terms: record.terms,
			reporter: T::Members::bytes(&record.reporter),
			proposed_at: record.proposed_at,
			ends_at: record.ends_at,
			votes: record.votes.iter().map(|(isp, vote)| (T::Members::bytes(isp), *vote)).collect(),
		}
	}
}
