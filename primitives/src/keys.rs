//! Where the change log lies in the chain's state.
//!
//! These keys are part of the contract between the chain and its enforcers: a read proof is checked against them. They
//! are pinned by tests here and compared with the real storage by a test of the runtime.

use codec::Encode;
use sp_crypto_hashing::{twox_128, twox_64};

/// The pallet's name in the runtime.
pub const PALLET: &str = "Indicators";

fn item(name: &str) -> [u8; 32] {
	let mut key = [0; 32];
	key[..16].copy_from_slice(&twox_128(PALLET.as_bytes()));
	key[16..].copy_from_slice(&twox_128(name.as_bytes()));
	key
}

/// Key of the [`crate::LogHead`].
pub fn log_head() -> [u8; 32] {
	item("Head")
}

/// Key of the [`crate::Change`] numbered `seq`.
pub fn change(seq: u64) -> [u8; 48] {
	let mut key = [0; 48];
	let encoded = seq.encode();
	key[..32].copy_from_slice(&item("ChangeLog"));
	key[32..40].copy_from_slice(&twox_64(&encoded));
	key[40..].copy_from_slice(&encoded);
	key
}

/// Key of the [`crate::ActiveDigest`].
pub fn active_digest() -> [u8; 32] {
	item("Digest")
}
