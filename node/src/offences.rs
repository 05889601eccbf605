//! Notices a validator that authors two blocks in one slot, and reports it.
//!
//! One of the two wins and the chain goes on, but a validator that does this splits the others for a slot, and its keys
//! are likely in two places. The runtime gets both headers as evidence and suspends the member
//! (`pallet-aura-offences`); nobody has to believe this node. Finality votes are watched by GRANDPA itself.

use crate::service::Client;
use futures::StreamExt;
use pallet_aura_offences::api::AuraOffencesApi;
use ringfence_runtime::{opaque::Block, Hash, Header};
use sc_client_api::BlockchainEvents;
use sc_consensus_aura::standalone::slot_author;
use sc_transaction_pool_api::OffchainTransactionPoolFactory;
use sp_api::{ApiExt, ProvideRuntimeApi};
use sp_blockchain::HeaderBackend;
use sp_consensus_aura::{
	digests::CompatibleDigestItem,
	sr25519::{AuthorityId, AuthorityPair, AuthoritySignature},
	AuraApi, Slot,
};
use sp_consensus_slots::EquivocationProof;
use sp_runtime::DigestItem;
use std::{
	collections::{BTreeMap, HashMap},
	sync::Arc,
};

/// Slots whose headers are remembered: somewhat more than a quarter of an hour. A fork that appears later is not
/// noticed; it has long lost.
const REMEMBERED: u64 = 2_000;

/// Headers that are remembered for one slot. Two make an offence, and forks on both sides of a change of validators are
/// by different authors.
const MAX_HEADERS: usize = 4;

/// Slots between two reports about one author: it is suspended for the first.
const REPORT_AGAIN_AFTER: u64 = 120;

/// The slot that the block was authored in. None for the first block of a chain.
pub fn slot_of(header: &Header) -> Option<Slot> {
	header.digest.logs.iter().find_map(<DigestItem as CompatibleDigestItem<AuthoritySignature>>::as_aura_pre_digest)
}

/// The headers of the newest slots.
#[derive(Default)]
struct Seen(BTreeMap<Slot, Vec<Header>>);

impl Seen {
	/// Remembers a header. Returns the others of its slot that came before.
	fn note(&mut self, slot: Slot, header: &Header) -> Vec<Header> {
		let newest = self.0.last_key_value().map_or(slot, |(newest, _)| slot.max(*newest));
		let oldest = Slot::from((*newest).saturating_sub(REMEMBERED));
		if slot < oldest {
			return Vec::new();
		}
		self.0 = self.0.split_off(&oldest);
		let known = self.0.entry(slot).or_default();
		if known.contains(header) {
			return Vec::new();
		}
		let others = known.clone();
		if known.len() < MAX_HEADERS {
			known.push(header.clone());
		}
		others
	}
}

/// Why an offence was not reported.
#[derive(Debug, thiserror::Error)]
enum ReportError {
	#[error("the runtime does not answer: {0}")]
	Api(#[from] sp_api::ApiError),
	#[error("the chain does not know whose key it was")]
	NoOwner,
	#[error("the pool does not take the report")]
	Refused,
}

/// Watches the blocks that arrive.
pub struct Watcher {
	client: Arc<Client>,
	pool: OffchainTransactionPoolFactory<Block>,
	seen: Seen,
	/// The slot of the newest report about each author.
	reported: HashMap<AuthorityId, Slot>,
}

impl Watcher {
	/// A watcher that hands its reports to `pool`.
	pub fn new(client: Arc<Client>, pool: OffchainTransactionPoolFactory<Block>) -> Self {
		Self { client, pool, seen: Seen::default(), reported: HashMap::new() }
	}

	/// Watches for as long as the node runs.
	pub async fn watch(mut self) {
		let mut imported = self.client.every_import_notification_stream();
		while let Some(block) = imported.next().await {
			let Some(slot) = slot_of(&block.header) else { continue };
			for other in self.seen.note(slot, &block.header) {
				self.compare(slot, other, block.header.clone());
			}
		}
	}

	/// Two blocks of one slot are an offence if one validator authored both.
	fn compare(&mut self, slot: Slot, first: Header, second: Header) {
		let offender = match (self.author(slot, first.parent_hash), self.author(slot, second.parent_hash)) {
			(Ok(one), Ok(other)) if one == other => one,
			(Ok(_), Ok(_)) => return,
			(Err(cause), _) | (_, Err(cause)) => {
				log::debug!(target: "ringfence", "Nobody knows who authored the forks in slot {}: {cause}", *slot);
				return;
			}
		};
		let Some(offender) = offender else { return };
		if self.reported.get(&offender).is_some_and(|last| slot < *last + REPORT_AGAIN_AFTER) {
			return;
		}
		log::error!(
			target: "ringfence",
			"Double authoring: the validator with the key {offender} authored {} and {} in slot {}",
			first.hash(),
			second.hash(),
			*slot,
		);
		match self.report(EquivocationProof {
			offender: offender.clone(),
			slot,
			first_header: first,
			second_header: second,
		}) {
			Ok(()) => {
				self.reported.retain(|_, last| *last + REMEMBERED > slot);
				self.reported.insert(offender, slot);
			}
			Err(cause) => log::warn!(target: "ringfence", "The double authoring is not reported: {cause}"),
		}
	}

	/// Who may author in `slot` on top of `parent`.
	fn author(&self, slot: Slot, parent: Hash) -> Result<Option<AuthorityId>, sp_api::ApiError> {
		let authorities: Vec<AuthorityId> = self.client.runtime_api().authorities(parent)?;
		Ok(slot_author::<AuthorityPair>(slot, &authorities).cloned())
	}

	fn report(&self, proof: EquivocationProof<Header, AuthorityId>) -> Result<(), ReportError> {
		let best = self.client.info().best_hash;
		let mut api = self.client.runtime_api();
		let owner = api.key_ownership_proof(best, proof.slot, proof.offender.clone())?.ok_or(ReportError::NoOwner)?;
		api.register_extension(self.pool.offchain_transaction_pool(best));
		api.submit_report(best, proof, owner)?.ok_or(ReportError::Refused)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use sp_runtime::Digest;

	fn header(slot: u64, fork: u8) -> Header {
		let item = <DigestItem as CompatibleDigestItem<AuthoritySignature>>::aura_pre_digest(Slot::from(slot));
		Header {
			parent_hash: Hash::zero(),
			number: 1,
			state_root: Hash::repeat_byte(fork),
			extrinsics_root: Hash::zero(),
			digest: Digest { logs: vec![item] },
		}
	}

	fn note(seen: &mut Seen, slot: u64, fork: u8) -> Vec<Header> {
		let header = header(slot, fork);
		seen.note(slot_of(&header).unwrap(), &header)
	}

	#[test]
	fn one_block_a_slot_is_no_offence() {
		let mut seen = Seen::default();
		for slot in 1..100 {
			assert!(note(&mut seen, slot, 0).is_empty());
		}
	}

	#[test]
	fn a_block_that_arrives_twice_is_no_offence() {
		let mut seen = Seen::default();
		assert!(note(&mut seen, 7, 0).is_empty());
		assert!(note(&mut seen, 7, 0).is_empty());
	}

	#[test]
	fn a_second_block_in_a_slot_is_noticed_in_either_order() {
		let mut seen = Seen::default();
		note(&mut seen, 7, 0);
		note(&mut seen, 8, 0);
		assert_eq!(note(&mut seen, 7, 1), [header(7, 0)]);
		assert_eq!(note(&mut seen, 8, 1), [header(8, 0)]);
	}

	#[test]
	fn memory_is_bounded() {
		let mut seen = Seen::default();
		for slot in 0..3 * REMEMBERED {
			note(&mut seen, slot, 0);
		}
		assert!(seen.0.len() as u64 <= REMEMBERED + 1);
		assert!(note(&mut seen, 1, 1).is_empty(), "too long ago");
		assert_eq!(seen.0.keys().next(), Some(&Slot::from(2 * REMEMBERED - 1)));
		for fork in 1..=200 {
			note(&mut seen, 3 * REMEMBERED - 1, fork);
		}
		assert_eq!(seen.0[&Slot::from(3 * REMEMBERED - 1)].len(), MAX_HEADERS);
	}

	#[test]
	fn the_first_block_has_no_slot() {
		let genesis = Header { digest: Digest::default(), ..header(0, 0) };
		assert_eq!(slot_of(&genesis), None);
	}
}
