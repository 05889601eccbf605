//! What a node asks the runtime on behalf of those who vet.

use alloc::vec::Vec;
use ringfence_primitives::{AccountBytes, IndicatorId, Proposal};

sp_api::decl_runtime_apis! {
	/// Reading the state of vetting.
	pub trait IndicatorsApi {
		/// What was reported in the block at which this is asked and awaits votes still.
		fn reported() -> Vec<Proposal>;

		/// Up to `limit` proposals that `isp` has not voted on, in the order of their names, those after `after`.
		/// `limit` is cut to 256.
		fn pending(isp: AccountBytes, after: Option<IndicatorId>, limit: u32) -> Vec<Proposal>;

		/// Those of `ids` (256 at most) that await votes and that `isp` has not voted on.
		fn awaiting(isp: AccountBytes, ids: Vec<IndicatorId>) -> Vec<Proposal>;

		/// How many indicators are active, and how many await votes.
		fn counts() -> (u32, u32);
	}
}
