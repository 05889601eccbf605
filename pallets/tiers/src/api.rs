//! What a node asks the runtime about members.

use alloc::vec::Vec;
use ringfence_primitives::{AccountBytes, MemberInfo};

sp_api::decl_runtime_apis! {
	/// Reading the register of members.
	pub trait TiersApi {
		/// Up to `limit` members, those that follow `after` in the register. Its order means nothing. `limit` is cut to
		/// 256.
		fn members(after: Option<AccountBytes>, limit: u32) -> Vec<MemberInfo>;

		/// The member whose name `account` is, or for which that key acts.
		fn member(account: AccountBytes) -> Option<MemberInfo>;

		/// The peer ids of the nodes that belong to the network: those of the active ISPs, and of ISPs that validate
		/// still.
		fn nodes() -> Vec<Vec<u8>>;

		/// Items a window: of an ISP, of a subscriber and of a researcher with full trust.
		fn quotas() -> (u32, u32, u32);

		/// The leader, until it has handed over.
		fn leader() -> Option<AccountBytes>;
	}
}
