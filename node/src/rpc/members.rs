//! `ringfence_members`, `ringfence_member`, `ringfence_ledger`: who belongs to the chain, and who contributes.

use super::{account, forms::MemberForm, internal};
use crate::service::Client;
use jsonrpsee::{core::RpcResult, proc_macros::rpc, types::ErrorObjectOwned};
use pallet_tiers::api::TiersApi;
use ringfence_primitives::{AccountBytes, MemberInfo, MemberRole};
use sp_api::ProvideRuntimeApi;
use sp_blockchain::HeaderBackend;
use std::sync::Arc;

/// Members that one answer holds unless fewer are asked for; the runtime returns no more.
const PAGE: u32 = 256;

/// Pages of the register that are read for one ledger.
const MAX_PAGES: usize = 256;

#[rpc(server, namespace = "ringfence")]
pub trait MembersApi {
	/// Up to `limit` members at the best block (at most 256, and as many where it is left out), those after the member
	/// `after`.
	#[method(name = "members", blocking)]
	fn members(&self, after: Option<String>, limit: Option<u32>) -> RpcResult<Vec<MemberForm>>;

	/// The member that `account` is or acts for, in SS58 or hex; null for a stranger.
	#[method(name = "member", blocking)]
	fn member(&self, account: String) -> RpcResult<Option<MemberForm>>;

	/// The ISPs and researchers with what they have contributed, the most trusted first. Subscribers contribute through
	/// their ISP. Reads the first 65,536 members of the register.
	#[method(name = "ledger", blocking)]
	fn ledger(&self) -> RpcResult<Vec<MemberForm>>;
}

pub struct Members {
	pub client: Arc<Client>,
}

impl Members {
	fn page(&self, after: Option<AccountBytes>, limit: u32) -> Result<Vec<MemberInfo>, ErrorObjectOwned> {
		self.client.runtime_api().members(self.client.info().best_hash, after, limit).map_err(internal)
	}
}

impl MembersApiServer for Members {
	fn members(&self, after: Option<String>, limit: Option<u32>) -> RpcResult<Vec<MemberForm>> {
		let after = after.as_deref().map(account).transpose()?;
		let page = self.page(after, limit.unwrap_or(PAGE).min(PAGE))?;
		Ok(page.into_iter().map(Into::into).collect())
	}

	fn member(&self, who: String) -> RpcResult<Option<MemberForm>> {
		let member =
			self.client.runtime_api().member(self.client.info().best_hash, account(&who)?).map_err(internal)?;
		Ok(member.map(Into::into))
	}

	fn ledger(&self) -> RpcResult<Vec<MemberForm>> {
		let mut ledger = Vec::new();
		let mut after = None;
		for _ in 0..MAX_PAGES {
			let page = self.page(after, PAGE)?;
			let Some(last) = page.last() else { break };
			after = Some(last.account);
			ledger.extend(page.into_iter().filter(contributes));
		}
		Ok(ranked(ledger).into_iter().map(Into::into).collect())
	}
}

fn contributes(member: &MemberInfo) -> bool {
	!matches!(member.role, MemberRole::Subscriber { .. })
}

/// The most trusted first; among equals, whoever had more confirmed.
fn ranked(mut ledger: Vec<MemberInfo>) -> Vec<MemberInfo> {
	ledger.sort_by(|a, b| {
		let rank = |member: &MemberInfo| (member.trust, member.contribution.confirmed, member.contribution.votes);
		rank(b).cmp(&rank(a)).then(a.account.cmp(&b.account))
	});
	ledger
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_primitives::Contribution;

	fn member(name: u8, role: MemberRole, trust: u16, confirmed: u32) -> MemberInfo {
		MemberInfo {
			account: [name; 32],
			owner: [name; 32],
			role,
			active: true,
			trust,
			good_standing: false,
			quota_left: 0,
			contribution: Contribution { confirmed, ..Default::default() },
			envelope_key: None,
		}
	}

	#[test]
	fn the_ledger_begins_with_the_most_trusted() {
		let isp = |name, trust, confirmed| member(name, MemberRole::Isp, trust, confirmed);
		let ranked = ranked(vec![isp(1, 800, 0), isp(2, 950, 3), isp(3, 950, 7), isp(4, 300, 90)]);
		assert_eq!(ranked.iter().map(|member| member.account[0]).collect::<Vec<_>>(), [3, 2, 1, 4]);
	}

	#[test]
	fn households_are_not_in_the_ledger() {
		assert!(contributes(&member(1, MemberRole::Isp, 0, 0)));
		assert!(contributes(&member(1, MemberRole::Researcher, 0, 0)));
		assert!(!contributes(&member(1, MemberRole::Subscriber { isp: [2; 32] }, 0, 0)));
	}
}
