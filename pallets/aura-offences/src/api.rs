//! What a node that has seen double authoring asks the runtime.

use sp_consensus_aura::{sr25519::AuthorityId, Slot};
use sp_consensus_slots::EquivocationProof;
use sp_runtime::OpaqueValue;

/// A proof of whose key it was, as bytes.
pub type OpaqueKeyOwnershipProof = OpaqueValue;

sp_api::decl_runtime_apis! {
	/// Reporting of double authoring.
	pub trait AuraOffencesApi {
		/// Hands evidence to the pool of the asking node. None where the pool does not take it.
		fn submit_report(
			proof: EquivocationProof<Block::Header, AuthorityId>,
			key_owner_proof: OpaqueKeyOwnershipProof,
		) -> Option<()>;

		/// Whose key it was, of the newest session in which it was in use. None for a key that no validator used of late.
		fn key_ownership_proof(slot: Slot, authority: AuthorityId) -> Option<OpaqueKeyOwnershipProof>;
	}
}
