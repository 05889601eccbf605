//! What the node answers: the standard methods for transactions and wallets, and Ringfence's own.

pub mod changes;
pub mod log;
pub mod proposals;
pub mod status;

use crate::service::{Client, Pool};
use jsonrpsee::{core::RegisterMethodError, types::ErrorObjectOwned, RpcModule};
use log::FinalizedLog;
use ringfence_runtime::{opaque::Block, AccountId, Hash, Nonce};
use sc_network_sync::SyncingService;
use std::sync::Arc;
use substrate_frame_rpc_system::{System, SystemApiServer};

/// What the methods need.
#[derive(Clone)]
pub struct Deps {
	pub client: Arc<Client>,
	pub pool: Arc<Pool>,
	pub sync: Arc<SyncingService<Block>>,
	pub log: Arc<FinalizedLog>,
	pub chain: String,
	pub version: String,
}

/// All methods.
pub fn build(deps: Deps) -> Result<RpcModule<()>, RegisterMethodError> {
	use changes::{Changes, ChangesApiServer};
	use proposals::{Proposals, ProposalsApiServer};
	use status::{Status, StatusApiServer};

	let mut module = RpcModule::new(());
	module.merge(SystemApiServer::<Hash, AccountId, Nonce>::into_rpc(System::new(
		deps.client.clone(),
		deps.pool.clone(),
	)))?;
	module.merge(Changes::new(deps.log.clone()).into_rpc())?;
	module.merge(Proposals::new(deps.client.clone(), deps.pool).into_rpc())?;
	module.merge(
		Status { client: deps.client, sync: deps.sync, log: deps.log, chain: deps.chain, version: deps.version }
			.into_rpc(),
	)?;
	Ok(module)
}

/// The log was pruned beyond the entry that was asked for; `data` names the oldest.
pub const PRUNED: i32 = 7001;
/// An argument is not of the right form.
pub const BAD_ARGUMENT: i32 = 7002;
/// The node could not read its own database or ask the runtime.
pub const INTERNAL: i32 = 7003;

fn internal(cause: impl std::fmt::Display) -> ErrorObjectOwned {
	ErrorObjectOwned::owned(INTERNAL, format!("the node could not read the chain: {cause}"), None::<()>)
}
