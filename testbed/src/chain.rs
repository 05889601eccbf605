//! A client of one node's RPC: what the testbed asks and sends.

use crate::{
	error::{Context, Error, Result},
	now_ms,
	process::Journal,
	PATIENCE,
};
use codec::Decode;
use jsonrpsee::{
	core::{
		client::{ClientT, Subscription, SubscriptionClientT},
		params::ArrayParams,
		ClientError, DeserializeOwned,
	},
	rpc_params,
	ws_client::{WsClient, WsClientBuilder},
};
use ringfence_enforcer::core::{
	extrinsic::{self, Anchor},
	frame::{BlockRef, Frame},
	hex,
};
use ringfence_primitives::{keys, AccountBytes, After, Change, ChangeKind, IndicatorId, LogHead};
use ringfence_runtime::{AccountId, Hash, Runtime, RuntimeEvent};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use sp_core::{crypto::Ss58Codec, sr25519, Pair};
use sp_crypto_hashing::twox_128;
use std::{ops::RangeInclusive, time::Duration};
use tokio::time::{sleep, timeout, Instant};

/// Between two looks at what a node knows.
const GLANCE: Duration = Duration::from_millis(10);

/// Where the change log stands; as in `ringfence_status`.
#[derive(Clone, Debug, Deserialize)]
pub struct Log {
	/// The newest entry.
	pub seq: u64,
}

/// The answer to `ringfence_status`.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
	/// The chain's name.
	pub chain: String,
	/// The newest block.
	pub best: BlockRef,
	/// The newest final block.
	pub finalized: BlockRef,
	/// The change log.
	pub log: Log,
	/// Active indicators.
	pub active: u32,
	/// Indicators that await votes.
	pub proposed: u32,
	/// Connected nodes.
	pub peers: usize,
}

/// A block's header; of its fields, those used here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
	/// The block's number.
	#[serde(deserialize_with = "hex_number")]
	pub number: u32,
	/// The hash of the block before it.
	pub parent_hash: String,
	/// What consensus says about it.
	pub digest: HeaderDigest,
}

/// What consensus says about a block.
#[derive(Clone, Debug, Deserialize)]
pub struct HeaderDigest {
	/// SCALE-encoded items.
	pub logs: Vec<String>,
}

impl Header {
	/// The slot in which the block was made.
	pub fn slot(&self) -> Option<u64> {
		// A pre-runtime item (6) of Aura, with 8 octets: the slot, little end first.
		let item = self.digest.logs.iter().find_map(|log| log.strip_prefix("0x066175726120"))?;
		let octets = hex::decode(&format!("0x{item}")).ok()?;
		Some(u64::from_le_bytes(octets.try_into().ok()?))
	}
}

fn hex_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
	let text = String::deserialize(deserializer)?;
	u32::from_str_radix(text.trim_start_matches("0x"), 16).map_err(serde::de::Error::custom)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
	spec_version: u32,
	transaction_version: u32,
}

#[derive(Deserialize)]
struct RotatedKeys {
	keys: String,
	proof: Option<String>,
}

#[derive(Deserialize)]
struct StorageChanges {
	changes: Vec<(String, Option<String>)>,
}

/// Keys that are asked for at once.
const MAX_KEYS: u64 = 512;

/// The key of a value in a pallet's storage.
pub fn value_key(pallet: &str, item: &str) -> Vec<u8> {
	[twox_128(pallet.as_bytes()), twox_128(item.as_bytes())].concat()
}

fn malformed(what: &str) -> impl Fn(String) -> Error + '_ {
	move |cause| Error::Malformed { what: what.into(), cause }
}

fn bytes(what: &str, text: &str) -> Result<Vec<u8>> {
	hex::decode(text).map_err(|error| malformed(what)(error.to_string()))
}

fn decode<T: Decode>(what: &str, text: &str) -> Result<T> {
	T::decode(&mut &bytes(what, text)?[..]).map_err(|error| malformed(what)(error.to_string()))
}

/// Something that was seen to happen in a block.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
	/// When, in Unix milliseconds.
	pub at: i64,
	/// In which block.
	pub block: u32,
}

/// A connection to one node.
pub struct Chain {
	client: WsClient,
}

impl Chain {
	/// Connects as soon as the node answers `ringfence_status`, which is what "ready" means here.
	pub async fn connect(url: &str, node: &Journal, within: Duration) -> Result<Self> {
		let deadline = Instant::now() + within;
		loop {
			let attempt = async {
				let client = WsClientBuilder::default().connection_timeout(Duration::from_secs(2)).build(url).await?;
				let this = Self { client };
				this.client.request::<Value, _>("ringfence_status", rpc_params![]).await?;
				Ok::<_, jsonrpsee::core::client::Error>(this)
			};
			match attempt.await {
				Ok(this) => return Ok(this),
				Err(error) if Instant::now() > deadline => {
					return Err(Error::Deadline { what: format!("RPC at {url} ({error})"), within, log: node.tail() });
				}
				Err(_) if !node.is_running() => {
					return Err(Error::Ended { name: "node".into(), what: format!("RPC at {url}"), log: node.tail() });
				}
				// A port that does not listen yet gives no event to wait for.
				Err(_) => sleep(Duration::from_millis(20)).await,
			}
		}
	}

	async fn ask<T: DeserializeOwned>(&self, method: &str, parameters: ArrayParams) -> Result<T> {
		self.client.request(method, parameters).await.context(method)
	}

	/// What the node says of itself.
	pub async fn status(&self) -> Result<Status> {
		self.ask("ringfence_status", rpc_params![]).await
	}

	/// The hash of the block numbered so on the node's best chain; none where there is no such block.
	pub async fn block_hash(&self, number: u32) -> Result<Option<String>> {
		self.ask("chain_getBlockHash", rpc_params![number]).await
	}

	/// The number of the block with this hash; none where the node does not know it.
	pub async fn block_number(&self, hash: &str) -> Result<Option<u32>> {
		Ok(self.header(hash).await?.map(|header| header.number))
	}

	/// The header of the block with this hash; none where the node does not know it.
	pub async fn header(&self, hash: &str) -> Result<Option<Header>> {
		self.ask("chain_getHeader", rpc_params![hash]).await
	}

	async fn storage<T: Decode>(&self, key: &[u8]) -> Result<Option<T>> {
		let value: Option<String> = self.ask("state_getStorage", rpc_params![hex::encode(key)]).await?;
		value.map(|value| decode("a storage item", &value)).transpose()
	}

	/// What lies under `key` in the state of the block with this hash.
	pub async fn storage_at<T: Decode>(&self, key: &[u8], hash: &str) -> Result<Option<T>> {
		let value: Option<String> = self.ask("state_getStorage", rpc_params![hex::encode(key), hash]).await?;
		value.map(|value| decode("a storage item", &value)).transpose()
	}

	/// The entries of the change log with these numbers, in the state of the block with this hash; those that it lacks
	/// are left out.
	pub async fn changes_at(&self, numbers: RangeInclusive<u64>, hash: &str) -> Result<Vec<Change>> {
		let (mut from, last) = numbers.into_inner();
		let mut changes = Vec::new();
		while from <= last {
			let until = last.min(from + MAX_KEYS - 1);
			let keys: Vec<_> = (from..=until).map(|seq| hex::encode(&keys::change(seq))).collect();
			let sets: Vec<StorageChanges> = self.ask("state_queryStorageAt", rpc_params![keys, hash]).await?;
			for (_, value) in sets.iter().flat_map(|set| &set.changes) {
				changes.extend(value.as_deref().map(|value| decode::<Change>("a change", value)).transpose()?);
			}
			from = until + 1;
		}
		Ok(changes)
	}

	/// The key that authored the block: its slot's turn among the authorities that its parent names.
	pub async fn author(&self, header: &Header) -> Result<Option<[u8; 32]>> {
		let key = value_key("Aura", "Authorities");
		let authorities: Vec<[u8; 32]> = self.storage_at(&key, &header.parent_hash).await?.unwrap_or_default();
		let turn = |slot: u64| authorities.get(usize::try_from(slot % authorities.len().max(1) as u64).ok()?).copied();
		Ok(header.slot().and_then(turn))
	}

	/// The keys that take turns in authoring, as of the best block.
	pub async fn authorities(&self) -> Result<Vec<[u8; 32]>> {
		Ok(self.storage(&value_key("Aura", "Authorities")).await?.unwrap_or_default())
	}

	/// What the node says of the member that `account` is, or signs for.
	pub async fn member(&self, account: &AccountBytes) -> Result<Value> {
		self.ask("ringfence_member", rpc_params![hex::encode(account)]).await
	}

	/// What the node says of an indicator.
	pub async fn indicator(&self, id: &IndicatorId) -> Result<Value> {
		self.ask("ringfence_indicator", rpc_params![hex::encode(id)]).await
	}

	/// What the chain keeps of the letter to `member` with this name.
	pub async fn letter(&self, member: &AccountBytes, name: &str) -> Result<Value> {
		self.ask("ringfence_envelope", rpc_params![hex::encode(member), name]).await
	}

	/// The version of the runtime at the best block.
	pub async fn spec_version(&self) -> Result<u32> {
		Ok(self.version().await?.spec_version)
	}

	async fn version(&self) -> Result<Version> {
		self.ask("state_getRuntimeVersion", rpc_params![]).await
	}

	/// Has the node make new session keys for `owner`: the keys, and the proof that it holds them.
	pub async fn rotate_keys(&self, owner: &AccountBytes) -> Result<(Vec<u8>, Vec<u8>)> {
		let method = "author_rotateKeysWithOwner";
		let made: RotatedKeys = self.ask(method, rpc_params![hex::encode(owner)]).await?;
		Ok((bytes(method, &made.keys)?, bytes(method, made.proof.as_deref().unwrap_or("0x"))?))
	}

	/// The head of the change log at the best block.
	pub async fn log_head(&self) -> Result<LogHead> {
		Ok(self.storage(&keys::log_head()).await?.unwrap_or_default())
	}

	/// The head of the change log in the state of the block with this hash.
	pub async fn log_head_at(&self, hash: &str) -> Result<LogHead> {
		Ok(self.storage_at(&keys::log_head(), hash).await?.unwrap_or_default())
	}

	/// New best blocks.
	pub async fn best_heads(&self) -> Result<Subscription<Header>> {
		self.subscribe("chain_subscribeNewHeads", rpc_params![], "chain_unsubscribeNewHeads").await
	}

	/// New final blocks.
	pub async fn finalized_heads(&self) -> Result<Subscription<Header>> {
		self.subscribe("chain_subscribeFinalizedHeads", rpc_params![], "chain_unsubscribeFinalizedHeads").await
	}

	/// Waits until block `number` or a later one is final; that number.
	pub async fn final_block(&self, number: u32) -> Result<u32> {
		let mut heads = self.finalized_heads().await?;
		loop {
			// The node may have it already: the subscription begins with the newest.
			let head = next(&mut heads).await?.number;
			if head >= number {
				return Ok(head);
			}
		}
	}

	/// Final changes from number `from` on.
	pub async fn changes(&self, from: u64) -> Result<Subscription<Value>> {
		self.subscribe("ringfence_subscribeChanges", rpc_params![from], "ringfence_unsubscribeChanges").await
	}

	async fn subscribe<T: DeserializeOwned>(
		&self,
		subscribe: &str,
		parameters: ArrayParams,
		unsubscribe: &str,
	) -> Result<Subscription<T>> {
		self.client.subscribe(subscribe, parameters, unsubscribe).await.context(subscribe)
	}

	/// When the best chain gets a change, numbered `from` or later, that `wanted` accepts.
	pub async fn best_change(
		&self,
		heads: &mut Subscription<Header>,
		mut from: u64,
		wanted: impl Fn(&Change) -> bool,
	) -> Result<Seen> {
		loop {
			let block = next(heads).await?.number;
			let at = now_ms();
			let head = self.log_head().await?.seq;
			while from <= head {
				if self.storage::<Change>(&keys::change(from)).await?.is_some_and(|change| wanted(&change)) {
					return Ok(Seen { at, block });
				}
				from += 1;
			}
		}
	}

	/// What transactions are to be anchored in now.
	pub async fn anchor(&self) -> Result<Anchor> {
		let genesis: String = self.ask("chain_getBlockHash", rpc_params![0]).await?;
		let Version { spec_version, transaction_version } = self.version().await?;
		Ok(Anchor {
			genesis: hex::digest(&genesis).map_err(|error| malformed("the genesis hash")(error.to_string()))?,
			spec_version,
			transaction_version,
			birth: self.status().await?.finalized,
		})
	}

	/// The nonce of the account's next transaction, those in the node's pool counted.
	pub async fn next_nonce(&self, signer: &sr25519::Pair) -> Result<u32> {
		self.next_index(&signer.public()).await
	}

	async fn next_index(&self, account: &sr25519::Public) -> Result<u32> {
		self.ask("system_accountNextIndex", rpc_params![account.to_ss58check()]).await
	}

	/// Waits until the node's pool has the transaction, or a block. A vote that is submitted earlier waits in the pool, and is
	/// not passed on at once when its time has come.
	pub async fn has(&self, After { signer, nonce }: After) -> Result<()> {
		let account = sr25519::Public::from_raw(signer);
		let known = async {
			loop {
				match self.next_index(&account).await {
					Ok(next) if next > nonce => return Ok(()),
					// The state of a block that has just lost against another is gone.
					Err(Error::Rpc { source, .. }) if matches!(*source, ClientError::Call(_)) => {}
					answer => drop(answer?),
				}
				sleep(GLANCE).await;
			}
		};
		within(PATIENCE, "a transaction to reach the pool", known).await
	}

	/// The nonce of the first transaction of `signer` that the best block's state does not know of.
	pub async fn nonce(&self, signer: &sr25519::Pair) -> Result<u32> {
		let key = frame_system::Account::<Runtime>::hashed_key_for(AccountId::from(signer.public().0));
		let account: Option<String> = self.ask("state_getStorage", rpc_params![hex::encode(&key)]).await?;
		let account =
			account.map(|value| decode::<frame_system::AccountInfo<u32, ()>>("an account", &value)).transpose()?;
		Ok(account.map_or(0, |account| account.nonce))
	}

	/// Hands a signed transaction to the node.
	pub async fn send(&self, transaction: &[u8]) -> Result<()> {
		let hash: String = self.ask("author_submitExtrinsic", rpc_params![hex::encode(transaction)]).await?;
		drop(hash);
		Ok(())
	}

	/// Hands a signed transaction to the node; what becomes of it.
	pub async fn watch(&self, transaction: &[u8]) -> Result<Subscription<Value>> {
		let parameters = rpc_params![hex::encode(transaction)];
		self.subscribe("author_submitAndWatchExtrinsic", parameters, "author_unwatchExtrinsic").await
	}

	/// Signs and submits a call, and waits until it is in a block: the hash of that. It says nothing of the call's success.
	pub async fn submit(&self, what: &str, signer: &sr25519::Pair, call: &[u8]) -> Result<String> {
		let anchor = self.anchor().await?;
		let mut updates = loop {
			let nonce = self.next_nonce(signer).await?;
			match self.watch(&extrinsic::sign(signer, call, nonce, &anchor)).await {
				// The ISP's enforcer uses the same account, and its vote came between: ask for the nonce anew.
				Err(error) if error.to_string().contains("outdated") => (),
				watched => break watched?,
			}
		};
		included(what, &mut updates).await
	}

	/// Why a call failed in the block with this hash, or a motion of the council that was carried; none where all went well.
	pub async fn failure_in(&self, hash: &str) -> Result<Option<String>> {
		type Records = Vec<frame_system::EventRecord<RuntimeEvent, Hash>>;
		let records: Records = self.storage_at(&value_key("System", "Events"), hash).await?.unwrap_or_default();
		Ok(records.into_iter().find_map(|record| match record.event {
			RuntimeEvent::System(frame_system::Event::ExtrinsicFailed { dispatch_error, .. }) => {
				Some(format!("{dispatch_error:?}"))
			}
			RuntimeEvent::Council(pallet_collective::Event::Executed { result: Err(error), .. }) => {
				Some(format!("the motion was carried and failed: {error:?}"))
			}
			_ => None,
		}))
	}
}

/// Waits until the transaction is in a block; the hash of that.
pub async fn included(what: &str, updates: &mut Subscription<Value>) -> Result<String> {
	loop {
		let update = next(updates).await?;
		if let Some(hash) = update.get("inBlock").or(update.get("finalized")).and_then(Value::as_str) {
			return Ok(hash.to_owned());
		}
		if ["invalid", "dropped", "usurped"].iter().any(|end| update == *end || update.get(end).is_some()) {
			return Err(Error::Refused { what: what.into(), cause: update.to_string() });
		}
	}
}

/// When a final change that `wanted` accepts is pushed.
pub async fn final_change(pushes: &mut Subscription<Value>, wanted: impl Fn(&Change) -> bool) -> Result<Seen> {
	final_find(pushes, |change| wanted(change).then_some(())).await.map(|(seen, ())| seen)
}

/// When a final change is pushed in which `find` finds something, and that.
pub async fn final_find<T>(pushes: &mut Subscription<Value>, find: impl Fn(&Change) -> Option<T>) -> Result<(Seen, T)> {
	loop {
		let item = next(pushes).await?;
		let at = now_ms();
		let frame = Frame::decode(item)
			.map_err(|error| Error::Malformed { what: "a push of changes".into(), cause: error.to_string() })?;
		if let Some(found) = frame.changes.iter().find_map(&find) {
			return Ok((Seen { at, block: frame.block.number }, found));
		}
	}
}

/// Whether `change` makes the indicator active.
pub fn activates(change: &Change, id: &IndicatorId) -> bool {
	matches!(&change.kind, ChangeKind::Activated(decision) if decision.indicator.id() == *id)
}

/// Whether `change` takes the indicator back.
pub fn revokes(change: &Change, id: &IndicatorId) -> bool {
	matches!(&change.kind, ChangeKind::Revoked(indicator) if indicator.id() == *id)
}

/// The next item; that the subscription ended is an error.
pub async fn next<T: DeserializeOwned>(subscription: &mut Subscription<T>) -> Result<T> {
	let what = "a subscription";
	match subscription.next().await {
		Some(Ok(item)) => Ok(item),
		Some(Err(error)) => Err(Error::Malformed { what: what.into(), cause: error.to_string() }),
		None => Err(Error::Malformed { what: what.into(), cause: "the node closed it".into() }),
	}
}

/// Gives `work` so long, and says what was awaited when it takes longer.
pub async fn within<T>(limit: Duration, what: &str, work: impl std::future::Future<Output = Result<T>>) -> Result<T> {
	let late = |_| Error::Deadline { what: what.into(), within: limit, log: String::new() };
	timeout(limit, work).await.map_err(late)?
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn the_slot_is_read_from_a_header() {
		let header = |log: &str| Header {
			number: 1,
			parent_hash: String::new(),
			digest: HeaderDigest { logs: vec!["0x0561757261010100".into(), log.into()] },
		};
		assert_eq!(header("0x0661757261200201000000000000").slot(), Some(258));
		assert_eq!(header("0x06617572612002").slot(), None);
		assert_eq!(header("0x0642414245200201000000000000").slot(), None);
	}
}
