//! The connection to a node: which node, when to try again, and the calls that the enforcer makes.

use crate::core::{
	extrinsic::Anchor,
	frame::BlockRef,
	hex::{self, HexError},
};
use codec::{DecodeAll, Encode};
use jsonrpsee::{
	core::client::{Client, ClientT, Error as RpcError, Subscription, SubscriptionClientT},
	rpc_params,
	ws_client::{PingConfig, WsClientBuilder},
};
use ringfence_primitives::{
	envelope::{EnvelopeRecord, WhitelistRecord},
	AccountBytes, Digest, Dossier, IndicatorId, LogHead, MemberInfo,
};
use serde::{de::IgnoredAny, Deserialize};
use serde_json::Value;
use std::time::Duration;

/// A node answers within milliseconds; one that does not within this long is as good as gone.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Notices a link that died silently. Each ping costs a few hundred bytes on the wire.
const PING: Duration = Duration::from_secs(30);
/// 256 changes with their justification and proof, as hexadecimal JSON, stay well under it.
const MAX_MESSAGE: u32 = 16 * 1024 * 1024;
/// Items that wait unread in each subscription. An enforcer that falls further behind, as in a long replay, loses the
/// subscription and takes up a new one where it stands: that bounds its memory and leaves nothing out.
const BUFFER: usize = 32;
/// `ringfence_subscribeChanges` asked for entries that the node no longer keeps.
const PRUNED: i32 = 7001;

/// Why a call or a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
	/// The node said no.
	#[error("{0}")]
	Refused(Refusal),
	/// The connection, or an answer that is not what was asked for.
	#[error(transparent)]
	Rpc(RpcError),
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

/// An open connection to a node of the right chain.
#[derive(Debug)]
pub struct Connection {
	/// Where it leads.
	pub endpoint: String,
	/// Hash of block 0.
	pub genesis: Digest,
	client: Client,
}

impl Connection {
	/// Connects to `endpoint`. A chain other than `expected` is refused.
	pub async fn open(endpoint: &str, expected: Option<Digest>) -> Result<Self, ChainError> {
		let client = WsClientBuilder::new()
			.connection_timeout(TIMEOUT)
			.request_timeout(TIMEOUT)
			.enable_ws_ping(PingConfig::new().ping_interval(PING).inactive_limit(PING + TIMEOUT))
			.max_response_size(MAX_MESSAGE)
			.max_buffer_capacity_per_subscription(BUFFER)
			.build(endpoint)
			.await?;
		let text: String = client.request("chain_getBlockHash", rpc_params![0]).await?;
		let genesis = hex::digest(&text).map_err(|e| ChainError::Hash("chain_getBlockHash", e))?;
		match expected {
			Some(expected) if expected != genesis => {
				Err(ChainError::WrongChain { expected: hex::encode(&expected), found: text })
			}
			_ => Ok(Self { endpoint: endpoint.into(), genesis, client }),
		}
	}

	/// Waits for the connection to break, and says why it did.
	pub async fn broken(&self) -> ChainError {
		self.client.on_disconnect().await;
		ChainError::Rpc(self.client.disconnect_reason().await)
	}

	/// Where the node stands.
	pub async fn status(&self) -> Result<NodeStatus, ChainError> {
		Ok(self.client.request("ringfence_status", rpc_params![]).await?)
	}

	/// What transactions are to be anchored in now.
	pub async fn anchor(&self) -> Result<Anchor, ChainError> {
		let version: RuntimeVersion = self.client.request("state_getRuntimeVersion", rpc_params![]).await?;
		Ok(self.anchor_in(version, self.status().await?.finalized))
	}

	/// The same for a version and a finalized block that are known.
	pub const fn anchor_in(&self, version: RuntimeVersion, birth: BlockRef) -> Anchor {
		Anchor {
			genesis: self.genesis,
			spec_version: version.spec_version,
			transaction_version: version.transaction_version,
			birth,
		}
	}

	/// The versions now, and each time they change.
	pub async fn runtime_versions(&self) -> Result<Subscription<RuntimeVersion>, ChainError> {
		let (name, undo) = ("state_subscribeRuntimeVersion", "state_unsubscribeRuntimeVersion");
		Ok(self.client.subscribe(name, rpc_params![], undo).await?)
	}

	/// Entries of the change log from number `from` on, for [`crate::core::frame::Frame::decode`].
	pub async fn changes(&self, from: u64) -> Result<Subscription<Value>, ChainError> {
		let (name, undo) = ("ringfence_subscribeChanges", "ringfence_unsubscribeChanges");
		Ok(self.client.subscribe(name, rpc_params![from], undo).await?)
	}

	/// SCALE-encoded proposals that `isp` has not voted on.
	pub async fn proposals(&self, isp: &AccountBytes) -> Result<Subscription<Vec<String>>, ChainError> {
		let (name, undo) = ("ringfence_subscribeProposals", "ringfence_unsubscribeProposals");
		Ok(self.client.subscribe(name, rpc_params![hex::encode(isp)], undo).await?)
	}

	/// SCALE-encoded letters to `member` that it has not answered.
	pub async fn letters(&self, member: &AccountBytes) -> Result<Subscription<Vec<String>>, ChainError> {
		let (name, undo) = ("ringfence_subscribeEnvelopes", "ringfence_unsubscribeEnvelopes");
		Ok(self.client.subscribe(name, rpc_params![hex::encode(member)], undo).await?)
	}

	/// Asks the runtime, in the best block.
	async fn call(&self, method: &'static str, arguments: &[u8]) -> Result<Vec<u8>, ChainError> {
		let text: String = self.client.request("state_call", rpc_params![method, hex::encode(arguments)]).await?;
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

	/// The owner's whitelist on record.
	pub async fn whitelist(&self, member: &AccountBytes) -> Result<Option<WhitelistRecord>, ChainError> {
		self.ask("EnvelopesApi_whitelist", member).await
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
		Ok(self.client.request("system_accountNextIndex", rpc_params![ss58]).await?)
	}

	/// Submits a transaction. Answers when it is in the node's pool, and then with what becomes of it.
	pub async fn submit(&self, transaction: &[u8]) -> Result<Subscription<TransactionStatus>, ChainError> {
		let (name, undo) = ("author_submitAndWatchExtrinsic", "author_unwatchExtrinsic");
		Ok(self.client.subscribe(name, rpc_params![hex::encode(transaction)], undo).await?)
	}
}

/// When to try again: after 0.25 s, doubling to 15 s, each up to a quarter sooner, so that a thousand gateways do not
/// come back to a restarted node at once.
#[derive(Debug)]
pub struct Backoff {
	pause: Duration,
}

impl Default for Backoff {
	fn default() -> Self {
		Self { pause: Self::FIRST }
	}
}

impl Backoff {
	const FIRST: Duration = Duration::from_millis(250);
	const LONGEST: Duration = Duration::from_secs(15);

	/// How long to wait before the next attempt. Any number makes a good `dice`.
	pub fn next(&mut self, dice: u64) -> Duration {
		let pause = self.pause;
		self.pause = (pause * 2).min(Self::LONGEST);
		// The remainder is under 256, so this takes off less than a quarter.
		pause - pause / 1_024 * (dice % 256) as u32
	}

	/// The last attempt went well.
	pub fn reset(&mut self) {
		self.pause = Self::FIRST;
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use jsonrpsee::types::ErrorObject;

	#[test]
	fn pauses_grow_to_a_bound_and_begin_again() {
		let mut backoff = Backoff::default();
		let pauses: Vec<_> = (0..8).map(|_| backoff.next(0).as_millis()).collect();
		assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
		for dice in [1, 255, 256, u64::MAX] {
			let pause = backoff.next(dice);
			assert!(pause <= Backoff::LONGEST && pause > Backoff::LONGEST * 3 / 4, "{pause:?}");
		}
		backoff.reset();
		assert_eq!(backoff.next(0), Backoff::FIRST);
	}

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
