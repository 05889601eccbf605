//! A client of one node's RPC: what the testbed asks and sends.

use crate::{
	error::{Context, Error, Result},
	now_ms,
	process::Journal,
};
use codec::Decode;
use jsonrpsee::{
	core::{
		client::{ClientT, Subscription, SubscriptionClientT},
		params::ArrayParams,
		DeserializeOwned,
	},
	rpc_params,
	ws_client::{WsClient, WsClientBuilder},
};
use ringfence_enforcer::core::{
	extrinsic::{self, Anchor},
	frame::{BlockRef, Frame},
	hex,
};
use ringfence_primitives::{keys, Change, ChangeKind, IndicatorId, LogHead};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use sp_core::{crypto::Ss58Codec, sr25519, Pair};
use std::time::Duration;
use tokio::time::{sleep, timeout, Instant};

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

/// A block's header; of its fields, the one used here.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Header {
	/// The block's number.
	#[serde(deserialize_with = "hex_number")]
	pub number: u32,
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
		let header: Option<Header> = self.ask("chain_getHeader", rpc_params![hash]).await?;
		Ok(header.map(|header| header.number))
	}

	async fn storage<T: Decode>(&self, key: &[u8]) -> Result<Option<T>> {
		let value: Option<String> = self.ask("state_getStorage", rpc_params![hex::encode(key)]).await?;
		let malformed = |cause: String| Error::Malformed { what: "a storage item".into(), cause };
		let Some(value) = value else { return Ok(None) };
		let bytes = hex::decode(&value).map_err(|error| malformed(error.to_string()))?;
		T::decode(&mut &bytes[..]).map(Some).map_err(|error| malformed(error.to_string()))
	}

	/// The head of the change log at the best block.
	pub async fn log_head(&self) -> Result<LogHead> {
		Ok(self.storage(&keys::log_head()).await?.unwrap_or_default())
	}

	/// New best blocks.
	pub async fn best_heads(&self) -> Result<Subscription<Header>> {
		self.subscribe("chain_subscribeNewHeads", rpc_params![], "chain_unsubscribeNewHeads").await
	}

	/// New final blocks.
	pub async fn finalized_heads(&self) -> Result<Subscription<Header>> {
		self.subscribe("chain_subscribeFinalizedHeads", rpc_params![], "chain_unsubscribeFinalizedHeads").await
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

	/// Signs and submits a call, and waits until it is in a block. That says nothing of the call's success.
	pub async fn submit(&self, what: &str, signer: &sr25519::Pair, call: Vec<u8>) -> Result<()> {
		let account = signer.public().to_ss58check();
		let genesis: String = self.ask("chain_getBlockHash", rpc_params![0]).await?;
		let version: Version = self.ask("state_getRuntimeVersion", rpc_params![]).await?;
		let anchor = Anchor {
			genesis: hex::digest(&genesis)
				.map_err(|error| Error::Malformed { what: "the genesis hash".into(), cause: error.to_string() })?,
			spec_version: version.spec_version,
			transaction_version: version.transaction_version,
			birth: self.status().await?.finalized,
		};
		let mut updates: Subscription<Value> = loop {
			let nonce: u32 = self.ask("system_accountNextIndex", rpc_params![&account]).await?;
			let parameters = rpc_params![hex::encode(&extrinsic::sign(signer, &call, nonce, &anchor))];
			let watched = self.subscribe("author_submitAndWatchExtrinsic", parameters, "author_unwatchExtrinsic").await;
			match watched {
				// The ISP's enforcer uses the same account, and its vote came between: ask for the nonce anew.
				Err(error) if error.to_string().contains("outdated") => (),
				watched => break watched?,
			}
		};
		loop {
			let update = next(&mut updates).await?;
			if update.get("inBlock").is_some() || update.get("finalized").is_some() {
				return Ok(());
			}
			if ["invalid", "dropped", "usurped"].iter().any(|end| update == *end || update.get(end).is_some()) {
				return Err(Error::Refused { what: what.into(), cause: update.to_string() });
			}
		}
	}
}

/// When a final change that `wanted` accepts is pushed.
pub async fn final_change(pushes: &mut Subscription<Value>, wanted: impl Fn(&Change) -> bool) -> Result<Seen> {
	loop {
		let item = next(pushes).await?;
		let at = now_ms();
		let frame = Frame::decode(item)
			.map_err(|error| Error::Malformed { what: "a push of changes".into(), cause: error.to_string() })?;
		if frame.changes.iter().any(&wanted) {
			return Ok(Seen { at, block: frame.block.number });
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
