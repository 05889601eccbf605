//! What a node asks the runtime on behalf of those who write letters.

use alloc::vec::Vec;
use ringfence_primitives::{
	envelope::{EnvelopeRecord, Letter, WhitelistRecord},
	AccountBytes, Digest,
};

/// Letters that one [`EnvelopesApi::inbox`] returns at most.
pub const MAX_INBOX: u32 = 256;

sp_api::decl_runtime_apis! {
	/// Reading letters and what became of them. Members are named by their identity, whichever keys act for them.
	pub trait EnvelopesApi {
		/// Up to `limit` letters to `member` that are on record, answered or not, in the order of their names, those after
		/// `after`. `limit` is cut to [`MAX_INBOX`].
		fn inbox(member: AccountBytes, after: Option<Digest>, limit: u32) -> Vec<(Digest, EnvelopeRecord)>;

		/// The letter to `member` that is called `name`: [`Letter::name`].
		fn record(member: AccountBytes, name: Digest) -> Option<EnvelopeRecord>;

		/// The whitelist that the owner of `member` set last.
		fn whitelist(member: AccountBytes) -> Option<WhitelistRecord>;

		/// The letter that a signed transaction sends, if it sends one: a whitelist is a letter of its owner to itself.
		fn letter(extrinsic: Vec<u8>) -> Option<Letter>;
	}
}
