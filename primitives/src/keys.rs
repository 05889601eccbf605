//! Where the change log, and what vouches for it, lies in the chain's state.
//!
//! These keys are part of the contract between the chain and its enforcers: a read proof is checked against them. They
//! are pinned by tests here and compared with the real storage by a test of the runtime.

use crate::{envelope, AccountBytes};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_crypto_hashing::twox_128;

/// The name, in the runtime, of the pallet that keeps the log.
pub const PALLET: &str = "Indicators";
/// The name, in the runtime, of the pallet that keeps the finality authorities.
pub const FINALITY_PALLET: &str = "Grandpa";
/// The name, in the runtime, of the pallet that keeps what is on record of letters.
pub const ENVELOPES_PALLET: &str = "Envelopes";

/// The number of an entry of the log, as its key in the map: big end first, and not hashed. So neighbours in the log are
/// neighbours in the trie: appending touches few nodes, and a proof of several entries is hardly larger than one of a
/// single entry.
#[derive(
	Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct LogNumber([u8; 8]);

impl From<u64> for LogNumber {
	fn from(seq: u64) -> Self {
		Self(seq.to_be_bytes())
	}
}

fn item(name: &str) -> [u8; 32] {
	item_of(PALLET, name)
}

fn item_of(pallet: &str, name: &str) -> [u8; 32] {
	let mut key = [0; 32];
	key[..16].copy_from_slice(&twox_128(pallet.as_bytes()));
	key[16..].copy_from_slice(&twox_128(name.as_bytes()));
	key
}

/// Key of the [`crate::LogHead`].
pub fn log_head() -> [u8; 32] {
	item("Head")
}

/// Key of the [`crate::Change`] numbered `seq`.
pub fn change(seq: u64) -> [u8; 40] {
	let mut key = [0; 40];
	key[..32].copy_from_slice(&item("ChangeLog"));
	key[32..].copy_from_slice(&LogNumber::from(seq).0);
	key
}

/// Key of the [`crate::ActiveDigest`].
pub fn active_digest() -> [u8; 32] {
	item("Digest")
}

/// Key of the finality authorities: a SCALE list of ed25519 public keys and weights (`u64`).
pub fn grandpa_authorities() -> [u8; 32] {
	item_of(FINALITY_PALLET, "Authorities")
}

/// Key of the number of the set of authorities (`u64`).
pub fn grandpa_set_id() -> [u8; 32] {
	item_of(FINALITY_PALLET, "CurrentSetId")
}

/// Key of the list of protected networks.
pub fn protected_networks() -> [u8; 32] {
	item("ProtectedNetworks")
}

/// Key of the [`envelope::WhitelistRecord`] of the owner of `member`: filed under the member's mailbox, a hash, so that no
/// key of the state holds a household's account.
pub fn whitelist(member: &AccountBytes) -> [u8; 64] {
	let mut key = [0; 64];
	key[..32].copy_from_slice(&item_of(ENVELOPES_PALLET, "Whitelists"));
	key[32..].copy_from_slice(&envelope::name(member));
	key
}
