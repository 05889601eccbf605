//! What this pallet has to know of the register of members, and what it tells it.

use alloc::vec::Vec;
use ringfence_primitives::{AccountBytes, Deed, Scope};

/// What a member is, to those who vet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Voice {
	/// An internet provider: reports, votes and disputes.
	Isp,
	/// A researcher: reports and disputes.
	Researcher,
	/// A subscriber: speaks to its own provider, in an envelope.
	Subscriber,
}

/// The register of members. A member is named by its identity, the account that was admitted, whichever key signed.
pub trait Members<AccountId> {
	/// In whose name the key `who` may act now where that takes `scope`, and what that member is. None if the key belongs to
	/// no active member, or to a delegate without the scope.
	fn speaker(who: &AccountId, scope: Scope) -> Option<(AccountId, Voice)>;

	/// The ISPs that are active.
	fn isps() -> Vec<AccountId>;

	/// How many of them there are.
	fn isp_count() -> u32;

	/// Whether the member's reports may act before they are confirmed.
	fn in_good_standing(member: &AccountId) -> bool;

	/// Enters a deed into the ledger. The member may have left.
	fn note(member: &AccountId, deed: Deed) {
		Self::note_times(member, deed, 1);
	}

	/// Enters the same deed several times.
	fn note_times(member: &AccountId, deed: Deed, times: u32);

	/// The identity, for those who know nothing of the chain's accounts.
	fn bytes(member: &AccountId) -> AccountBytes;

	/// Adds an active ISP, for benchmarks.
	#[cfg(feature = "runtime-benchmarks")]
	fn add_isp(who: &AccountId);
}
