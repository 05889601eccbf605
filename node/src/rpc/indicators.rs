//! What the chain says of indicators: by id, by address, and what awaits a vote.

use super::{
	account, bad_argument, bytes32,
	forms::{self, DossierForm, ProposalForm},
	internal,
	log::BlockId,
};
use crate::service::Client;
use codec::Decode;
use jsonrpsee::{core::RpcResult, proc_macros::rpc};
use pallet_indicators::api::IndicatorsApi;
use pallet_tiers::api::TiersApi;
use ringfence_primitives::{keys, Address, LogHead};
use ringfence_runtime::Hash;
use sc_client_api::StorageProvider;
use serde::Serialize;
use sp_api::ProvideRuntimeApi;
use sp_blockchain::HeaderBackend;
use sp_core::{storage::StorageKey, Bytes};
use std::sync::Arc;

/// Indicators that one answer about an address holds.
const MAX_ABOUT: u32 = 256;

/// Proposals that the runtime looks at for one answer.
const PAGE: u32 = 256;

/// How often it is asked to go on for an answer with something in it.
const MAX_PAGES: usize = 64;

/// What is known of an address.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AboutForm {
	address: Address,
	/// Whether enforcers drop all of its packets now, one direction at least. What concerns one service of it, or a class
	/// of packets, does not count here.
	blocked: bool,
	/// All indicators on record that touch it, enforced or not.
	indicators: Vec<DossierForm>,
}

/// Items a window.
#[derive(Clone, Serialize)]
pub struct QuotasForm {
	isp: u32,
	subscriber: u32,
	researcher: u32,
}

/// What governance has set.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParametersForm {
	/// In milliseconds.
	voting_period: u64,
	/// In milliseconds.
	provisional_lifetime: u64,
	/// Provisional indicators that one ISP may have at once.
	provisional_cap: u32,
	/// Indicators awaiting votes that one member may have at once.
	open_cap: u32,
	/// Of members with full trust.
	quotas: QuotasForm,
	/// Null once it has handed over to all ISPs.
	leader: Option<String>,
}

/// The digest of the active set.
#[derive(Clone, Serialize)]
pub struct DigestForm {
	block: BlockId,
	/// The newest entry of the change log at that block.
	seq: u64,
	/// BLAKE2b-256 of the digest.
	checksum: Bytes,
}

/// Some of what awaits a vote.
#[derive(Clone, Serialize)]
pub struct PendingForm {
	proposals: Vec<ProposalForm>,
	/// Where the next question is to go on: stretch of time, and page. Null at the end.
	next: Option<(u64, u32)>,
}

#[rpc(server, namespace = "ringfence")]
pub trait IndicatorsRpcApi {
	/// All about the indicator called `id` (32 bytes), at the best block; null if it is not on record.
	#[method(name = "indicator", blocking)]
	fn indicator(&self, id: Bytes) -> RpcResult<Option<DossierForm>>;

	/// Whether an address is blocked, why, who reported it, who voted, until when. At the best block.
	#[method(name = "about", blocking)]
	fn about(&self, address: String) -> RpcResult<AboutForm>;

	/// Some of the proposals that an ISP has not voted on, and where to go on: `after` of the next question; null at the
	/// end. At the best block.
	#[method(name = "pending", blocking)]
	fn pending(&self, isp: String, after: Option<(u64, u32)>) -> RpcResult<PendingForm>;

	/// What governance has set, at the best block.
	#[method(name = "parameters", blocking)]
	fn parameters(&self) -> RpcResult<ParametersForm>;

	/// The digest of the active set at a block, the newest finalized one if none is named.
	#[method(name = "digest", blocking)]
	fn digest(&self, at: Option<Hash>) -> RpcResult<DigestForm>;
}

pub struct Indicators {
	pub client: Arc<Client>,
}

impl Indicators {
	fn best(&self) -> Hash {
		self.client.info().best_hash
	}
}

impl IndicatorsRpcApiServer for Indicators {
	fn indicator(&self, id: Bytes) -> RpcResult<Option<DossierForm>> {
		let dossier = self.client.runtime_api().dossier(self.best(), bytes32(&id)?).map_err(internal)?;
		Ok(dossier.map(Into::into))
	}

	fn about(&self, address: String) -> RpcResult<AboutForm> {
		let address: Address = address.parse().map_err(|cause| bad_argument(format!("{address:?}: {cause}")))?;
		let dossiers = self.client.runtime_api().about(self.best(), address, MAX_ABOUT).map_err(internal)?;
		Ok(AboutForm {
			address,
			blocked: dossiers.iter().any(forms::blocks),
			indicators: dossiers.into_iter().map(Into::into).collect(),
		})
	}

	fn pending(&self, isp: String, mut after: Option<(u64, u32)>) -> RpcResult<PendingForm> {
		let isp = account(&isp)?;
		let mut proposals = Vec::new();
		for _ in 0..MAX_PAGES {
			let (page, next) = self.client.runtime_api().pending(self.best(), isp, after, PAGE).map_err(internal)?;
			proposals.extend(page.into_iter().map(Into::into));
			after = next;
			if after.is_none() || !proposals.is_empty() {
				break;
			}
		}
		Ok(PendingForm { proposals, next: after })
	}

	fn parameters(&self) -> RpcResult<ParametersForm> {
		let (api, best) = (self.client.runtime_api(), self.best());
		let (voting_period, provisional_lifetime, provisional_cap, open_cap) =
			api.parameters(best).map_err(internal)?;
		let (isp, subscriber, researcher) = api.quotas(best).map_err(internal)?;
		Ok(ParametersForm {
			voting_period,
			provisional_lifetime,
			provisional_cap,
			open_cap,
			quotas: QuotasForm { isp, subscriber, researcher },
			leader: api.leader(best).map_err(internal)?.map(forms::account),
		})
	}

	fn digest(&self, at: Option<Hash>) -> RpcResult<DigestForm> {
		let hash = at.unwrap_or_else(|| self.client.info().finalized_hash);
		let header = self.client.header(hash).map_err(internal)?;
		let header = header.ok_or_else(|| bad_argument(format!("this node does not have the block {hash:?}")))?;
		let head = match self.client.storage(hash, &StorageKey(keys::log_head().to_vec())).map_err(internal)? {
			Some(data) => LogHead::decode(&mut &data.0[..]).map_err(internal)?,
			None => LogHead::default(),
		};
		let digest = self.client.runtime_api().digest(hash).map_err(internal)?;
		Ok(DigestForm {
			block: BlockId { number: header.number, hash },
			seq: head.seq,
			checksum: forms::hex(digest.checksum()),
		})
	}
}
