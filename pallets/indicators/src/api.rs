//! What a node asks the runtime on behalf of those who vet, and of anybody who wants to know why something is blocked.

use alloc::vec::Vec;
use ringfence_primitives::{AccountBytes, ActiveDigest, Address, Decision, Dossier, IndicatorId, Millis, Proposal};

sp_api::decl_runtime_apis! {
	/// Reading the state of vetting.
	pub trait IndicatorsApi {
		/// What was reported or disputed in the block at which this is asked and awaits votes still.
		fn reported() -> Vec<Proposal>;

		/// Looks through what awaits votes, page by page (128 at most), beginning after the page `after`, until `limit`
		/// proposals and disputes or more were looked at: those that `isp` has not voted on, and where to go on; None at the
		/// end. `limit` is cut to 256.
		fn pending(isp: AccountBytes, after: Option<(u64, u32)>, limit: u32) -> (Vec<Proposal>, Option<(u64, u32)>);

		/// Those of `ids` (256 at most) that await votes and that `isp` has not voted on.
		fn awaiting(isp: AccountBytes, ids: Vec<IndicatorId>) -> Vec<Proposal>;

		/// How many indicators are active, provisional ones among them, and how many await votes, disputes among them.
		fn counts() -> (u32, u32);

		/// All about one indicator, while it is on record.
		fn dossier(id: IndicatorId) -> Option<Dossier>;

		/// All about up to `limit` indicators that the address, or a network that it lies in, is named by, the narrowest
		/// first. `limit` is cut to 256.
		fn about(address: Address, limit: u32) -> Vec<Dossier>;

		/// Up to `limit` decisions in force, in the order of their indicators' names, those after `after`. `limit` is cut
		/// to 1,024. Fewer than asked for: there are no more.
		fn active(after: Option<IndicatorId>, limit: u32) -> Vec<Decision>;

		/// The digest of the decisions in force.
		fn digest() -> ActiveDigest;

		/// The voting period and the lifetime of provisional indicators, in milliseconds; how many provisional ones an ISP
		/// may have, and how many reports a member may have awaiting votes.
		fn parameters() -> (Millis, Millis, u32, u32);
	}
}
