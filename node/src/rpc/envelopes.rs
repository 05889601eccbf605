//! `ringfence_subscribeEnvelopes`: the letters to a member, as early as can be; and what the chain keeps of them.
//!
//! A letter is shown when it enters the node's pool, and otherwise when a best block has it. One that stays unanswered is
//! shown again, since a reader may have been away or too busy, after pauses that grow: a letter that waits for a person
//! may wait for hours. The state of the chain keeps a letter's name, and where its bytes are; the node reads them from
//! there.

use super::{
	bytes32, internal,
	log::{BlockId, FinalizedLog},
	not_final,
};
use crate::service::{Client, Pool};
use codec::Encode;
use futures::StreamExt;
use jsonrpsee::{
	core::{async_trait, RpcResult, SubscriptionResult},
	proc_macros::rpc,
	PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink,
};
use pallet_envelopes::api::EnvelopesApi;
use ringfence_primitives::{
	envelope::{self, EnvelopeRecord, Letter, WhitelistRecord, ENVELOPE_LEN},
	keys, AccountBytes, Digest,
};
use ringfence_runtime::{opaque::OpaqueExtrinsic, Hash};
use sc_client_api::{BlockBackend, BlockchainEvents};
use sc_transaction_pool_api::{InPoolTransaction, TransactionPool};
use serde::Serialize;
use sp_api::ProvideRuntimeApi;
use sp_blockchain::HeaderBackend;
use sp_core::Bytes;
use std::{
	collections::{BTreeSet, HashMap},
	sync::Arc,
};

/// Letters that one message holds: 64 KiB of them.
const PAGE: u32 = 64;

/// New best blocks that are searched one by one; beyond that, the inbox is read again.
const MAX_ROUTE: usize = 64;

/// Blocks after which a letter is shown for the second time if it is unanswered. The pause doubles each time.
const AGAIN_AFTER: u32 = 20;

/// The longest pause: an hour.
const LONGEST_PAUSE: u32 = 7_200;

/// Letters that are remembered for that, and so as not to be shown twice.
const MAX_REMEMBERED: usize = 4_096;

/// Bytes of a transaction that sends a letter, beside the letter: a signature, its extensions, the recipient. Twice what
/// they have today; whatever is longer or shorter cannot be one, and the runtime need not be asked.
const MAX_OVERHEAD: usize = 512;

/// [`EnvelopeRecord`] in JSON.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordForm {
	block: u32,
	index: u32,
	/// In milliseconds since the Unix epoch.
	expires_at: u64,
	/// Which only the sender can read.
	answer: Option<Bytes>,
}

impl From<EnvelopeRecord> for RecordForm {
	fn from(record: EnvelopeRecord) -> Self {
		Self {
			block: record.block,
			index: record.index,
			expires_at: record.expires_at,
			answer: record.answer.map(|answer| answer.to_vec().into()),
		}
	}
}

/// [`WhitelistRecord`] in JSON.
#[derive(Clone, Serialize)]
pub struct WhitelistForm {
	hash: Bytes,
	number: u32,
	block: u32,
	index: u32,
}

impl From<WhitelistRecord> for WhitelistForm {
	fn from(record: WhitelistRecord) -> Self {
		Self { hash: record.hash.to_vec().into(), number: record.number, block: record.block, index: record.index }
	}
}

/// Which whitelist is on record, and all that it takes to check that.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WhitelistProof {
	/// The finalized block whose state has it.
	block: BlockId,
	/// What it is; null if there is none.
	record: Option<WhitelistForm>,
	/// The block's header, SCALE-encoded.
	header: Bytes,
	/// A GRANDPA justification of the block, SCALE-encoded.
	justification: Bytes,
	/// Trie nodes that prove the record, or that there is none, under the header's state root.
	proof: Vec<Bytes>,
}

#[rpc(server, namespace = "ringfence")]
pub trait EnvelopesRpcApi {
	/// Sends the letters to `member` (32 bytes, the name under which it was admitted): its newest whitelist and all that
	/// are unanswered, then each as it is sent. An item is a SCALE-encoded `Letter`. One can be sent several times.
	#[subscription(name = "subscribeEnvelopes" => "envelopes", unsubscribe = "unsubscribeEnvelopes", item = Vec<Bytes>)]
	async fn subscribe_envelopes(&self, member: Bytes) -> SubscriptionResult;

	/// What the best block's state keeps of the letter to `member` that is called `hash`; null if nothing.
	#[method(name = "envelope", blocking)]
	fn envelope(&self, member: Bytes, hash: Bytes) -> RpcResult<Option<RecordForm>>;

	/// The whitelist that the owner of `member` had set last at the newest final block, with proof. Fails with
	/// [`super::NOT_FINAL`] before the first finalization.
	#[method(name = "whitelist", blocking)]
	fn whitelist(&self, member: Bytes) -> RpcResult<WhitelistProof>;
}

pub struct Envelopes {
	client: Arc<Client>,
	pool: Arc<Pool>,
	log: Arc<FinalizedLog>,
}

impl Envelopes {
	pub fn new(client: Arc<Client>, pool: Arc<Pool>, log: Arc<FinalizedLog>) -> Self {
		Self { client, pool, log }
	}

	/// The letter that a transaction in the pool sends, if it does.
	fn in_pool(&self, transaction: &Hash) -> Option<Letter> {
		let transaction = self.pool.ready_transaction(transaction)?;
		letter(&self.client, &[self.client.info().best_hash], transaction.data())
	}

	/// The letters that wait in the pool.
	fn pooled(&self) -> Vec<Letter> {
		let best = self.client.info().best_hash;
		self.pool.ready().filter_map(|transaction| letter(&self.client, &[best], transaction.data())).collect()
	}
}

/// Whether a transaction of this length can be one that sends a letter.
fn may_send(length: usize) -> bool {
	length.checked_sub(ENVELOPE_LEN as usize).is_some_and(|overhead| overhead <= MAX_OVERHEAD)
}

/// The letter that a transaction sends, if it does: by the first of `states` at which the chain knows the sender.
fn letter(client: &Client, states: &[Hash], transaction: &OpaqueExtrinsic) -> Option<Letter> {
	if !may_send(transaction.inner().len()) {
		return None;
	}
	let encoded = transaction.encode();
	states.iter().find_map(|state| client.runtime_api().letter(*state, encoded.clone()).ok().flatten())
}

/// What was shown, and when it is shown again.
#[derive(Default)]
struct Shown {
	/// When, and after which pause.
	letters: HashMap<Digest, (u32, u32)>,
	/// The same by height.
	due: BTreeSet<(u32, Digest)>,
}

impl Shown {
	/// Remembers a letter that is shown at `height` for `pause` blocks; not if there are too many, and then it may be shown
	/// twice. False where it is remembered already.
	fn remember(&mut self, name: Digest, height: u32, pause: u32) -> bool {
		if self.letters.contains_key(&name) {
			return false;
		}
		if self.letters.len() < MAX_REMEMBERED {
			let due = height.saturating_add(pause);
			self.letters.insert(name, (due, pause));
			self.due.insert((due, name));
		}
		true
	}

	/// Forgets up to `limit` letters whose pause is over, and returns each with the pause that comes next.
	fn take_due(&mut self, height: u32, limit: usize) -> Vec<(Digest, u32)> {
		let due: Vec<(u32, Digest)> =
			self.due.iter().take(limit).take_while(|(due, _)| *due <= height).copied().collect();
		due.into_iter()
			.map(|item| {
				self.due.remove(&item);
				let pause = self.letters.remove(&item.1).map_or(AGAIN_AFTER, |(_, pause)| pause);
				(item.1, pause.saturating_mul(2).min(LONGEST_PAUSE))
			})
			.collect()
	}
}

/// One member's subscription.
struct Session<'a> {
	client: &'a Client,
	sink: SubscriptionSink,
	member: AccountBytes,
	shown: Shown,
	/// The block that was read last: letters of one block are read together.
	block: Option<(Hash, Vec<OpaqueExtrinsic>)>,
}

impl Session<'_> {
	async fn send(&self, letters: &[Letter]) -> SubscriptionResult {
		for page in letters.chunks(PAGE as usize) {
			let items: Vec<Bytes> = page.iter().map(|letter| letter.encode().into()).collect();
			self.sink.send(SubscriptionMessage::from_json(&items)?).await?;
		}
		Ok(())
	}

	/// Shows those letters that are for this member and were not shown of late.
	async fn show(&mut self, height: u32, mut letters: Vec<Letter>) -> SubscriptionResult {
		letters.retain(|letter| letter.to == self.member && self.shown.remember(letter.name(), height, AGAIN_AFTER));
		self.send(&letters).await
	}

	/// The transactions of a block; none where it was pruned.
	fn body(&mut self, block: Hash) -> Result<&[OpaqueExtrinsic], sp_blockchain::Error> {
		if self.block.as_ref().is_none_or(|(hash, _)| *hash != block) {
			self.block = Some((block, self.client.block_body(block)?.unwrap_or_default()));
		}
		Ok(self.block.as_ref().map(|(_, body)| body.as_slice()).unwrap_or_default())
	}

	/// The letters that a block holds.
	fn letters_in(&mut self, block: Hash) -> Result<Vec<Letter>, sp_blockchain::Error> {
		let client = self.client;
		Ok(self.body(block)?.iter().filter_map(|transaction| letter(client, &[block], transaction)).collect())
	}

	/// The letter to this member that transaction `index` of block `number` sent. `best` resolves its sender where the
	/// block's own state is pruned.
	fn letter_at(&mut self, best: Hash, number: u32, index: u32) -> Option<Letter> {
		let (client, member) = (self.client, self.member);
		let block = client.hash(number).ok()??;
		let transaction = self.body(block).ok()?.get(index as usize)?;
		letter(client, &[block, best], transaction).filter(|letter| letter.to == member)
	}

	/// The letter of which the chain keeps `record` under `name`.
	fn sent_as(&mut self, best: Hash, record: &EnvelopeRecord, name: Digest) -> Option<Letter> {
		self.letter_at(best, record.block, record.index).filter(|letter| letter.name() == name)
	}

	/// Shows the whitelist and all that is unanswered.
	async fn show_inbox(&mut self, height: u32, at: Hash) -> SubscriptionResult {
		let whitelist = self.client.runtime_api().whitelist(at, self.member).map_err(internal)?;
		// The chain calls it by its envelope alone.
		let whitelist = whitelist.and_then(|record| {
			let letter = self.letter_at(at, record.block, record.index)?;
			(envelope::name(&letter.envelope) == record.hash).then_some(letter)
		});
		self.show(height, whitelist.into_iter().collect()).await?;
		let mut after: Option<Digest> = None;
		loop {
			let mut page = self.client.runtime_api().inbox(at, self.member, after, PAGE).map_err(internal)?;
			let Some((last, _)) = page.last() else { return Ok(()) };
			after = Some(*last);
			page.retain(|(_, record)| record.answer.is_none());
			page.sort_by_key(|(_, record)| (record.block, record.index));
			let letters = page.into_iter().filter_map(|(name, record)| self.sent_as(at, &record, name)).collect();
			self.show(height, letters).await?;
		}
	}

	/// Shows once more what was shown a pause ago and is still unanswered.
	async fn show_again(&mut self, height: u32, at: Hash) -> SubscriptionResult {
		let mut missed = Vec::new();
		for (name, pause) in self.shown.take_due(height, PAGE as usize) {
			// Not on record: a whitelist, or one that expired or never got into a block. If it does, it is shown then.
			let record = self.client.runtime_api().record(at, self.member, name).map_err(internal)?;
			let Some(record) = record.filter(|record| record.answer.is_none()) else { continue };
			let Some(letter) = self.sent_as(at, &record, name) else { continue };
			self.shown.remember(name, height, pause);
			missed.push(letter);
		}
		self.send(&missed).await
	}
}

#[async_trait]
impl EnvelopesRpcApiServer for Envelopes {
	async fn subscribe_envelopes(&self, pending: PendingSubscriptionSink, member: Bytes) -> SubscriptionResult {
		let member = match bytes32(&member) {
			Ok(member) => member,
			Err(cause) => {
				pending.reject(cause).await;
				return Ok(());
			}
		};
		let mut entering = self.pool.import_notification_stream();
		let mut imports = self.client.import_notification_stream().filter(|n| futures::future::ready(n.is_new_best));
		let info = self.client.info();
		let (mut best, mut height) = (info.best_hash, info.best_number);
		let sink = pending.accept().await?;
		let mut session = Session { client: &self.client, sink, member, shown: Shown::default(), block: None };
		session.show_inbox(height, best).await?;
		session.show(height, self.pooled()).await?;
		loop {
			let new = tokio::select! {
				() = session.sink.closed() => return Ok(()),
				transaction = entering.next() => {
					let Some(transaction) = transaction else { return Ok(()) };
					session.show(height, self.in_pool(&transaction).into_iter().collect()).await?;
					continue;
				},
				import = imports.next() => match import {
					Some(import) => import,
					None => return Ok(()),
				},
			};
			let route = sp_blockchain::tree_route(&*self.client, best, new.hash)?;
			(best, height) = (new.hash, new.header.number);
			if route.enacted().len() > MAX_ROUTE {
				session.show_inbox(height, best).await?;
				continue;
			}
			for block in route.enacted() {
				let letters = session.letters_in(block.hash)?;
				session.show(height, letters).await?;
			}
			session.show_again(height, best).await?;
		}
	}

	fn envelope(&self, member: Bytes, hash: Bytes) -> RpcResult<Option<RecordForm>> {
		let best = self.client.info().best_hash;
		let record = self.client.runtime_api().record(best, bytes32(&member)?, bytes32(&hash)?).map_err(internal)?;
		Ok(record.map(Into::into))
	}

	fn whitelist(&self, member: Bytes) -> RpcResult<WhitelistProof> {
		let member = bytes32(&member)?;
		let at = self.log.watch().borrow().clone().ok_or_else(not_final)?;
		let record = self.client.runtime_api().whitelist(at.hash, member).map_err(internal)?;
		let key = keys::whitelist(&member);
		Ok(WhitelistProof {
			block: BlockId { number: at.header.number, hash: at.hash },
			record: record.map(Into::into),
			header: at.header.encode().into(),
			justification: at.justification.clone().into(),
			proof: self.log.prove(&at, [&key[..]]).map_err(internal)?,
		})
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn name(n: usize) -> Digest {
		let mut name = [0; 32];
		name[..8].copy_from_slice(&(n as u64).to_le_bytes());
		name
	}

	#[test]
	fn a_letter_is_shown_once_and_after_a_pause_again() {
		let mut shown = Shown::default();
		assert!(shown.remember(name(1), 100, AGAIN_AFTER));
		assert!(!shown.remember(name(1), 101, AGAIN_AFTER), "the block brings what the pool brought");
		assert!(shown.take_due(119, 64).is_empty());
		assert_eq!(shown.take_due(120, 64), [(name(1), 2 * AGAIN_AFTER)]);
		assert!(shown.take_due(1_000, 64).is_empty(), "it is asked about once");
	}

	#[test]
	fn the_pauses_grow_up_to_an_hour() {
		let mut shown = Shown::default();
		let (mut height, mut pause) = (0, AGAIN_AFTER);
		let mut pauses = Vec::new();
		for _ in 0..12 {
			assert!(shown.remember(name(1), height, pause));
			height += pause;
			pauses.push(pause);
			pause = shown.take_due(height, 64)[0].1;
		}
		assert_eq!(pauses[..4], [20, 40, 80, 160]);
		assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
	}

	#[test]
	fn a_full_memory_shows_twice_rather_than_not_at_all() {
		let mut shown = Shown::default();
		for n in 0..MAX_REMEMBERED + 10 {
			assert!(shown.remember(name(n), 0, AGAIN_AFTER));
		}
		assert_eq!((shown.letters.len(), shown.due.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
		assert!(shown.remember(name(MAX_REMEMBERED + 1), 0, AGAIN_AFTER));
		assert!(!shown.remember(name(1), 0, AGAIN_AFTER));
	}

	#[test]
	fn few_are_asked_about_at_once_and_none_is_left_out() {
		let mut shown = Shown::default();
		for n in 0..100 {
			shown.remember(name(n), 0, AGAIN_AFTER);
		}
		let first = shown.take_due(AGAIN_AFTER, 64);
		let second = shown.take_due(AGAIN_AFTER + 1, 64);
		assert_eq!((first.len(), second.len()), (64, 36));
		assert!(shown.letters.is_empty() && shown.due.is_empty());
	}

	#[test]
	fn only_transactions_of_the_right_length_are_looked_into() {
		let envelope = ENVELOPE_LEN as usize;
		assert!(!may_send(0) && !may_send(envelope - 1));
		assert!(may_send(envelope) && may_send(envelope + MAX_OVERHEAD));
		assert!(!may_send(envelope + MAX_OVERHEAD + 1));
	}
}
