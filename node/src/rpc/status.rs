//! `ringfence_status`: one look at the node.

use super::{
	internal,
	log::{BlockId, FinalizedLog, Head},
};
use crate::service::Client;
use jsonrpsee::{core::RpcResult, proc_macros::rpc};
use pallet_indicators::api::IndicatorsApi;
use ringfence_runtime::{opaque::Block, Hash};
use sc_network_sync::SyncingService;
use serde::Serialize;
use sp_api::ProvideRuntimeApi;
use sp_blockchain::HeaderBackend;
use sp_consensus::SyncOracle;
use std::sync::Arc;

/// How a node is.
#[derive(Clone, Serialize)]
pub struct NodeStatus {
	/// Name of the chain.
	chain: String,
	/// Hash of its first block.
	genesis: Hash,
	/// The best block.
	best: BlockId,
	/// The newest finalized block.
	finalized: BlockId,
	/// Where the change log stands at it.
	log: Head,
	/// Active indicators at the best block.
	active: u32,
	/// Indicators that await votes at the best block.
	proposed: u32,
	/// Connected peers.
	peers: usize,
	/// Whether the node is catching up.
	syncing: bool,
	/// Version of the node.
	version: String,
}

#[rpc(server, namespace = "ringfence")]
pub trait StatusApi {
	/// One look at the node.
	#[method(name = "status", blocking)]
	fn status(&self) -> RpcResult<NodeStatus>;
}

pub struct Status {
	pub client: Arc<Client>,
	pub sync: Arc<SyncingService<Block>>,
	pub log: Arc<FinalizedLog>,
	pub chain: String,
	pub version: String,
}

impl StatusApiServer for Status {
	fn status(&self) -> RpcResult<NodeStatus> {
		let info = self.client.info();
		let (active, proposed) = self.client.runtime_api().counts(info.best_hash).map_err(internal)?;
		let log = self.log.watch().borrow().as_ref().map(|newest| newest.head).unwrap_or_default();
		Ok(NodeStatus {
			chain: self.chain.clone(),
			genesis: info.genesis_hash,
			best: BlockId { number: info.best_number, hash: info.best_hash },
			finalized: BlockId { number: info.finalized_number, hash: info.finalized_hash },
			log: log.into(),
			active,
			proposed,
			peers: self.sync.num_connected_peers(),
			syncing: self.sync.is_major_syncing(),
			version: self.version.clone(),
		})
	}
}
