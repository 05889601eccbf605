//! What the node answers: the standard methods for transactions and wallets, and Ringfence's own.

pub mod authorities;
pub mod changes;
pub mod envelopes;
mod forms;
pub mod indicators;
pub mod justification;
pub mod log;
pub mod members;
pub mod proposals;
pub mod snapshot;
pub mod status;

use crate::service::{Client, Pool};
use authorities::Genesis;
use jsonrpsee::{core::RegisterMethodError, types::ErrorObjectOwned, RpcModule};
use log::FinalizedLog;
use ringfence_primitives::AccountBytes;
use ringfence_runtime::{opaque::Block, AccountId, Hash, Nonce};
use sc_consensus_grandpa::SharedAuthoritySet;
use sc_network_sync::SyncingService;
use sp_core::Bytes;
use std::sync::Arc;
use substrate_frame_rpc_system::{System, SystemApiServer};

/// What the methods need.
#[derive(Clone)]
pub struct Deps {
	pub client: Arc<Client>,
	pub pool: Arc<Pool>,
	pub sync: Arc<SyncingService<Block>>,
	pub log: Arc<FinalizedLog>,
	pub genesis: Arc<Genesis>,
	pub sets: SharedAuthoritySet<Hash, u32>,
	pub chain: String,
	pub version: String,
}

/// All methods.
pub fn build(deps: Deps) -> Result<RpcModule<()>, RegisterMethodError> {
	use authorities::{Authorities, AuthoritiesApiServer};
	use changes::{Changes, ChangesApiServer};
	use envelopes::{Envelopes, EnvelopesRpcApiServer};
	use indicators::{Indicators, IndicatorsRpcApiServer};
	use members::{Members, MembersApiServer};
	use proposals::{Proposals, ProposalsApiServer};
	use snapshot::{Snapshots, SnapshotsApiServer};
	use status::{Status, StatusApiServer};

	let mut module = RpcModule::new(());
	module.merge(SystemApiServer::<Hash, AccountId, Nonce>::into_rpc(System::new(
		deps.client.clone(),
		deps.pool.clone(),
	)))?;
	module.merge(Changes::new(deps.log.clone()).into_rpc())?;
	module.merge(
		Authorities { client: deps.client.clone(), log: deps.log.clone(), genesis: deps.genesis, sets: deps.sets }
			.into_rpc(),
	)?;
	module.merge(Snapshots::new(deps.client.clone(), deps.log.clone()).into_rpc())?;
	module.merge(Proposals::new(deps.client.clone(), deps.pool.clone()).into_rpc())?;
	module.merge(Envelopes::new(deps.client.clone(), deps.pool, deps.log.clone()).into_rpc())?;
	module.merge(Indicators { client: deps.client.clone() }.into_rpc())?;
	module.merge(Members { client: deps.client.clone() }.into_rpc())?;
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
/// Nothing is final yet.
pub const NOT_FINAL: i32 = 7004;

fn internal(cause: impl std::fmt::Display) -> ErrorObjectOwned {
	ErrorObjectOwned::owned(INTERNAL, format!("the node could not read the chain: {cause}"), None::<()>)
}

fn not_final() -> ErrorObjectOwned {
	ErrorObjectOwned::owned(NOT_FINAL, "no block is final yet", None::<()>)
}

fn bad_argument(cause: impl Into<String>) -> ErrorObjectOwned {
	ErrorObjectOwned::owned(BAD_ARGUMENT, cause, None::<()>)
}

/// An account as people write it: SS58, or 32 bytes in hex.
fn account(text: &str) -> Result<AccountBytes, ErrorObjectOwned> {
	text.parse::<AccountId>().map(Into::into).map_err(|cause| bad_argument(format!("{text:?}: {cause}")))
}

/// An account or a hash as bytes.
fn bytes32(bytes: &Bytes) -> Result<[u8; 32], ErrorObjectOwned> {
	<[u8; 32]>::try_from(&bytes.0[..]).map_err(|_| bad_argument(format!("32 bytes are needed, not {}", bytes.0.len())))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn accounts_are_read_in_ss58_and_in_hex() {
		let zeros = "5C4hrfjw9DjXZTzV3MwzrrAr9P1MJhSrvWGWqi1eSuyUpnhM";
		assert_eq!(account(zeros), Ok([0; 32]));
		assert_eq!(account(&format!("0x{}", "00".repeat(32))), Ok([0; 32]));
		for nonsense in ["", "0x", "0x00", &zeros[1..], "somebody"] {
			assert_eq!(account(nonsense).map_err(|cause| cause.code()), Err(BAD_ARGUMENT), "{nonsense}");
		}
	}

	#[test]
	fn an_account_has_32_bytes() {
		assert_eq!(bytes32(&vec![7u8; 32].into()), Ok([7; 32]));
		assert!(bytes32(&vec![7u8; 31].into()).is_err());
		assert!(bytes32(&vec![7u8; 33].into()).is_err());
	}
}
