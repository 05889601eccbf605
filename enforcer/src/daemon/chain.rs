//! The connection to a node: the calls that the enforcer makes, and what the answers look like.
//!
//! # Security considerations
//!
//! The node controls every answer. What is enforced is verified by [`crate::core::frame`] and [`crate::core::snapshot`];
//! the rest (nonces, dossiers, proposals) is taken as the node's word. Each answer is decoded whole or refused, is at most
//! [`MAX_MESSAGE`](super::dial::MAX_MESSAGE) long, and is waited for no longer than [`TIMEOUT`](super::dial::TIMEOUT).

use super::{
	dial::{DialError, Dialer, Window},
	now_ms,
};
use crate::core::{
	extrinsic::Anchor,
	frame::BlockRef,
	hex::{self, HexError},
};
use codec::{DecodeAll, Encode};
use jsonrpsee::{
	core::{
		client::{self, Client, ClientT, Error as RpcError, SubscriptionClientT, SubscriptionCloseReason},
		params::ArrayParams,
	},
	rpc_params,
};
use ringfence_primitives::{envelope::EnvelopeRecord, AccountBytes, Digest, Dossier, IndicatorId, LogHead, MemberInfo};
use serde::{
	de::{DeserializeOwned, IgnoredAny},
	Deserialize,
};
use serde_json::Value;
use std::{
	sync::{Arc, Mutex, MutexGuard, PoisonError},
	time::Duration,
};
use tokio::time::{sleep, Instant};
use tracing::error;

/// `ringfence_subscribeChanges` asked for entries that the node no longer keeps.
const PRUNED: i32 = 7001;
/// For how long transactions are anchored in the same block: 360 blocks of 500 ms, a third of
/// [`ERA_PERIOD`](crate::core::extrinsic::ERA_PERIOD).
const ANCHOR_AGE: Duration = Duration::from_secs(180);
/// Pause after a node refused what it may grant later.
const PAUSE: Duration = Duration::from_secs(60);

/// Why a call or a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
	/// The node said no.
	#[error("{0}")]
	Refused(Refusal),
	/// The connection, or an answer that is not what was asked for.
	#[error(transparent)]
	Rpc(RpcError),
	/// There is no way to the node.
	#[error(transparent)]
	Dial(#[from] DialError),
	/// A hash that is none.
	#[error("{0}: {1}")]
	Hash(&'static str, #[source] HexError),
	/// The node serves another chain.
	#[error("the chain is {found}, not {expected}")]
	WrongChain {
		/// The genesis hash that is accepted.
		expected: String,
		/// The node's.
		found: String,
	},
	/// An answer of the runtime's that does not decode.
	#[error("{0}: {1}")]
	Answer(&'static str, #[source] codec::Error),
	/// The log's beginning is no longer kept: this is the oldest entry left.
	#[error("the node keeps the log from entry {0} on")]
	Pruned(u64),
	/// The subscription ended.
	#[error("the subscription was closed")]
	Closed,
}

/// A node's refusal of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
	/// The JSON-RPC error code.
	pub code: i32,
	/// What the node says, with its details.
	pub message: String,
}

impl std::fmt::Display for Refusal {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		write!(f, "{} ({})", self.message, self.code)
	}
}

#[derive(Deserialize)]
struct Pruned {
	oldest: u64,
}

impl From<RpcError> for ChainError {
	fn from(error: RpcError) -> Self {
		let RpcError::Call(refusal) = error else { return Self::Rpc(error) };
		let data = refusal.data().map(|data| data.get());
		if refusal.code() == PRUNED {
			if let Some(Pruned { oldest }) = data.and_then(|data| serde_json::from_str(data).ok()) {
				return Self::Pruned(oldest);
			}
		}
		let details = data.map(|data| serde_json::from_str::<String>(data).unwrap_or_else(|_| data.into()));
		let message = match details {
			Some(details) => format!("{}: {details}", refusal.message()),
			None => refusal.message().into(),
		};
		Self::Refused(Refusal { code: refusal.code(), message: super::excerpt(&message) })
	}
}

/// `ringfence_status`, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct NodeStatus {
	/// The newest finalized block.
	pub finalized: BlockRef,
	/// The log in that block.
	#[serde(deserialize_with = "log_head")]
	pub log: LogHead,
}

fn log_head<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<LogHead, D::Error> {
	#[derive(Deserialize)]
	struct Raw {
		seq: u64,
		#[serde(with = "hex::serde_digest")]
		hash: Digest,
		oldest: u64,
	}
	let Raw { seq, hash, oldest } = Raw::deserialize(deserializer)?;
	Ok(LogHead { seq, hash, oldest })
}

/// The versions that a transaction is signed for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeVersion {
	/// Changes with every upgrade.
	pub spec_version: u32,
	/// Changes with the format of transactions.
	pub transaction_version: u32,
}

/// What becomes of a submitted transaction.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TransactionStatus {
	/// It waits for one with a lower nonce.
	Future,
	/// It waits for a block.
	Ready,
	/// Other nodes have it.
	Broadcast(IgnoredAny),
	/// It is in the block of this hash.
	InBlock(String),
	/// That block is not part of the chain any more.
	Retracted(IgnoredAny),
	/// The node stopped watching.
	FinalityTimeout(IgnoredAny),
	/// It is final.
	Finalized(IgnoredAny),
	/// Another one with the same nonce took its place.
	Usurped(IgnoredAny),
	/// The pool is full.
	Dropped,
	/// It is not valid any more.
	Invalid,
}

/// Items that a node sends one after another.
#[derive(Debug)]
pub struct Subscription<T> {
	items: client::Subscription<T>,
	window: Arc<Window>,
}

impl<T: DeserializeOwned> Subscription<T> {
	/// The next item; None when there will be none.
	pub async fn next(&mut self) -> Option<Result<T, serde_json::Error>> {
		let item = self.items.next().await;
		self.window.open();
		item
	}

	/// Whether it ended because this side was too slow, and not because the connection broke.
	pub fn lagged(&self) -> bool {
		matches!(self.items.close_reason(), Some(SubscriptionCloseReason::Lagged))
	}
}

/// An open connection to a node of the right chain.
#[derive(Debug)]
pub struct Connection {
	/// Where it leads.
	pub endpoint: String,
	/// Hash of block 0.
	pub genesis: Digest,
	client: Client,
	window: Arc<Window>,
	ground: Mutex<Ground>,
}

/// What transactions can be anchored in without asking the node.
#[derive(Debug, Default)]
struct Ground {
	version: Option<RuntimeVersion>,
	block: Option<(Instant, BlockRef)>,
}

impl Connection {
	/// Connects to `endpoint` by `dialer`. A chain other than `expected` is refused.
	pub async fn open(dialer: &Dialer, endpoint: &str, expected: Option<Digest>) -> Result<Self, ChainError> {
		let (client, window) = dialer.dial(endpoint).await?;
		let mut this = Self { endpoint: endpoint.into(), genesis: [0; 32], client, window, ground: Mutex::default() };
		let text: String = this.request("chain_getBlockHash", rpc_params![0]).await?;
		this.genesis = hex::digest(&text).map_err(|e| ChainError::Hash("chain_getBlockHash", e))?;
		match expected {
			Some(expected) if expected != this.genesis => {
				Err(ChainError::WrongChain { expected: hex::encode(&expected), found: hex::encode(&this.genesis) })
			}
			_ => Ok(this),
		}
	}

	async fn request<T: DeserializeOwned>(&self, method: &str, params: ArrayParams) -> Result<T, ChainError> {
		let answer = self.client.request(method, params).await;
		self.window.open();
		Ok(answer?)
	}

	async fn subscribe<T: DeserializeOwned>(
		&self,
		method: &str,
		params: ArrayParams,
		undo: &str,
	) -> Result<Subscription<T>, ChainError> {
		let items = self.client.subscribe(method, params, undo).await?;
		Ok(Subscription { items, window: self.window.clone() })
	}

	/// The same, again and again while the node refuses: that is no reason to stop enforcing.
	async fn subscribe_anyhow<T: DeserializeOwned>(
		&self,
		method: &str,
		params: ArrayParams,
		undo: &str,
	) -> Result<Subscription<T>, ChainError> {
		loop {
			match self.subscribe(method, params.clone(), undo).await {
				Err(ChainError::Refused(refusal)) => {
					error!(at = now_ms(), method, cause = %refusal, "the node refuses");
					sleep(PAUSE).await;
				}
				subscribed => return subscribed,
			}
		}
	}

	fn ground(&self) -> MutexGuard<'_, Ground> {
		// Each field is set in one step.
		self.ground.lock().unwrap_or_else(PoisonError::into_inner)
	}

	/// Waits for the connection to break, and says why it did.
	pub async fn broken(&self) -> ChainError {
		self.client.on_disconnect().await;
		ChainError::Rpc(self.client.disconnect_reason().await)
	}

	/// Where the node stands.
	pub async fn status(&self) -> Result<NodeStatus, ChainError> {
		self.request("ringfence_status", rpc_params![]).await
	}

	/// What transactions are to be anchored in: the node is asked only for what is not known, or too old.
	pub async fn anchor(&self) -> Result<Anchor, ChainError> {
		let (version, block) = {
			let ground = self.ground();
			(ground.version, ground.block.filter(|(at, _)| at.elapsed() < ANCHOR_AGE))
		};
		let version = match version {
			Some(version) => version,
			None => {
				let version = self.request("state_getRuntimeVersion", rpc_params![]).await?;
				self.ground().version = Some(version);
				version
			}
		};
		let birth = match block {
			Some((_, block)) => block,
			None => {
				let block = self.status().await?.finalized;
				self.found(block);
				block
			}
		};
		let RuntimeVersion { spec_version, transaction_version } = version;
		Ok(Anchor { genesis: self.genesis, spec_version, transaction_version, birth })
	}

	/// The same after a failure, when nothing is taken for granted: the runtime may have been upgraded, the block
	/// forgotten.
	pub async fn anchor_anew(&self) -> Result<Anchor, ChainError> {
		*self.ground() = Ground::default();
		self.anchor().await
	}

	/// `block` is final.
	pub fn found(&self, block: BlockRef) {
		self.ground().block = Some((Instant::now(), block));
	}

	/// Keeps the runtime's version at hand for as long as the connection holds, so that an alert need not wait for it. The
	/// node sends it at once, and then only when it changes.
	pub async fn keep_version(&self) -> ChainError {
		let (name, undo) = ("state_subscribeRuntimeVersion", "state_unsubscribeRuntimeVersion");
		let mut versions = match self.subscribe::<RuntimeVersion>(name, rpc_params![], undo).await {
			Ok(versions) => versions,
			Err(error) => return error,
		};
		while let Some(Ok(version)) = versions.next().await {
			self.ground().version = Some(version);
		}
		self.ground().version = None;
		ChainError::Closed
	}

	/// Header and authorities of block 0, for [`crate::core::finality::GenesisProof::decode`].
	pub async fn genesis_proof(&self) -> Result<Value, ChainError> {
		self.request("ringfence_genesis", rpc_params![]).await
	}

	/// The changes of the authority set from set `from` on, for [`crate::core::finality::Handoffs::decode`].
	pub async fn handoffs(&self, from: u64) -> Result<Value, ChainError> {
		self.request("ringfence_handoffs", rpc_params![from]).await
	}

	/// Proof of where the log stands now, and of the active set's digest where that is wanted, for
	/// [`crate::core::frame::Frame::decode`].
	pub async fn heartbeat(&self, digest: bool) -> Result<Value, ChainError> {
		self.request("ringfence_heartbeat", rpc_params![digest]).await
	}

	/// The active set, for [`crate::core::snapshot::Item::decode`].
	pub async fn snapshot(&self) -> Result<Subscription<Value>, ChainError> {
		let (name, undo) = ("ringfence_subscribeSnapshot", "ringfence_unsubscribeSnapshot");
		self.subscribe(name, rpc_params![], undo).await
	}

	/// Entries of the change log from number `from` on, for [`crate::core::frame::Frame::decode`].
	pub async fn changes(&self, from: u64) -> Result<Subscription<Value>, ChainError> {
		let (name, undo) = ("ringfence_subscribeChanges", "ringfence_unsubscribeChanges");
		self.subscribe(name, rpc_params![from], undo).await
	}

	/// SCALE-encoded proposals that `isp` has not voted on.
	pub async fn proposals(&self, isp: &AccountBytes) -> Result<Subscription<Vec<String>>, ChainError> {
		let (name, undo) = ("ringfence_subscribeProposals", "ringfence_unsubscribeProposals");
		self.subscribe_anyhow(name, rpc_params![hex::encode(isp)], undo).await
	}

	/// SCALE-encoded letters to `member` that it has not answered.
	pub async fn letters(&self, member: &AccountBytes) -> Result<Subscription<Vec<String>>, ChainError> {
		let (name, undo) = ("ringfence_subscribeEnvelopes", "ringfence_unsubscribeEnvelopes");
		self.subscribe_anyhow(name, rpc_params![hex::encode(member)], undo).await
	}

	/// Asks the runtime, in the best block.
	async fn call(&self, method: &'static str, arguments: &[u8]) -> Result<Vec<u8>, ChainError> {
		let text: String = self.request("state_call", rpc_params![method, hex::encode(arguments)]).await?;
		hex::decode(&text).map_err(|e| ChainError::Hash(method, e))
	}

	async fn ask<T: DecodeAll>(&self, method: &'static str, arguments: impl Encode) -> Result<T, ChainError> {
		let answer = self.call(method, &arguments.encode()).await?;
		T::decode_all(&mut &answer[..]).map_err(|e| ChainError::Answer(method, e))
	}

	/// The letter to `member` of this name, while the chain keeps it.
	pub async fn letter(&self, member: &AccountBytes, name: &Digest) -> Result<Option<EnvelopeRecord>, ChainError> {
		self.ask("EnvelopesApi_record", (member, name)).await
	}

	/// Proof of which whitelist of its owner is on record, for [`crate::core::record::RecordProof::decode`].
	pub async fn whitelist(&self, member: &AccountBytes) -> Result<Value, ChainError> {
		self.request("ringfence_whitelist", rpc_params![hex::encode(member)]).await
	}

	/// The member that `account`, its name or one of its keys, belongs to.
	pub async fn member(&self, account: &AccountBytes) -> Result<Option<MemberInfo>, ChainError> {
		self.ask("TiersApi_member", account).await
	}

	/// What is on record about an indicator.
	pub async fn dossier(&self, id: &IndicatorId) -> Result<Option<Dossier>, ChainError> {
		self.ask("IndicatorsApi_dossier", id).await
	}

	/// Has the node try a transaction in its best block, without effect. The beginning of its answer suffices:
	/// [`crate::core::extrinsic::dispatch_error`].
	pub async fn try_out(&self, transaction: &[u8]) -> Result<Vec<u8>, ChainError> {
		self.call("BlockBuilder_apply_extrinsic", transaction).await
	}

	/// The next nonce of an account, counting transactions in the node's pool.
	pub async fn next_nonce(&self, ss58: &str) -> Result<u32, ChainError> {
		self.request("system_accountNextIndex", rpc_params![ss58]).await
	}

	/// Submits a transaction. Answers when it is in the node's pool, and then with what becomes of it.
	pub async fn submit(&self, transaction: &[u8]) -> Result<Subscription<TransactionStatus>, ChainError> {
		let (name, undo) = ("author_submitAndWatchExtrinsic", "author_unwatchExtrinsic");
		self.subscribe(name, rpc_params![hex::encode(transaction)], undo).await
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use jsonrpsee::types::ErrorObject;

	#[test]
	fn refusals_are_told_apart() {
		let error = |code, message: &str, data: Option<Value>| {
			ChainError::from(RpcError::Call(ErrorObject::owned(code, message, data)))
		};
		let pruned = error(7001, "pruned", Some(serde_json::json!({ "oldest": 12 })));
		assert!(matches!(pruned, ChainError::Pruned(12)));
		let refused = error(1010, "Invalid Transaction", Some("Custom error: 3".into()));
		assert_eq!(refused.to_string(), "Invalid Transaction: Custom error: 3 (1010)");
		assert_eq!(error(-32601, "Method not found", None).to_string(), "Method not found (-32601)");
	}

	#[test]
	fn transaction_statuses_are_read_as_the_node_writes_them() {
		let read = |text: &str| serde_json::from_str::<TransactionStatus>(text).unwrap();
		assert!(matches!(read("\"ready\""), TransactionStatus::Ready));
		assert!(matches!(read("\"invalid\""), TransactionStatus::Invalid));
		assert!(matches!(read(r#"{"broadcast":["peer"]}"#), TransactionStatus::Broadcast(_)));
		assert!(matches!(read(r#"{"inBlock":"0x01"}"#), TransactionStatus::InBlock(hash) if hash == "0x01"));
		assert!(matches!(read(r#"{"usurped":"0x01"}"#), TransactionStatus::Usurped(_)));
		assert!(matches!(read(r#"{"finalityTimeout":"0x01"}"#), TransactionStatus::FinalityTimeout(_)));
	}
}
