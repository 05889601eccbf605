//! Builds signed transactions (extrinsic format 4) for the Ringfence runtime, without its metadata.
//!
//! The runtime's transaction extensions, in order, and what each adds to the transaction and to what is signed:
//!
//! | extension | in the transaction | signed as well |
//! |---|---|---|
//! | `CheckNonZeroSender` | | |
//! | `CheckSpecVersion` | | spec version, u32 |
//! | `CheckTxVersion` | | transaction version, u32 |
//! | `CheckGenesis` | | genesis hash |
//! | `CheckMortality` | era, 2 bytes | hash of the block in which the era begins |
//! | `CheckMember` | | |
//! | `CheckNonce` | nonce, compact u32 | |
//! | `CheckWeight` | | |

use super::frame::BlockRef;
use codec::{Compact, Encode};
use ringfence_primitives::Digest;
use sp_core::{sr25519, Pair};

/// Blocks for which a transaction is valid, counted from the finalized block it is anchored in: eight and a half minutes
/// of 500 ms, so that an anchor may be minutes old. A power of two, and less than the 2,400 block hashes that the chain
/// keeps. How long a transaction waits for a block is another matter: 64 blocks, says the chain.
pub const ERA_PERIOD: u64 = 1_024;

/// Extrinsic format 4, signed.
const SIGNED_V4: u8 = 0x84;
/// `MultiAddress::Id`.
const ADDRESS_ID: u8 = 0;
/// `MultiSignature::Sr25519`.
const SIGNATURE_SR25519: u8 = 1;
/// Longer payloads are hashed before they are signed.
const MAX_SIGNED_PLAIN: usize = 256;

/// What ties a transaction to one chain, one runtime and a span of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Anchor {
	/// The chain.
	pub genesis: Digest,
	/// The version of the runtime.
	pub spec_version: u32,
	/// The version of its transaction format.
	pub transaction_version: u32,
	/// A recent finalized block: the transaction is valid for [`ERA_PERIOD`] blocks from it.
	pub birth: BlockRef,
}

/// The mortal era of `period` blocks (a power of two, 4 to 65,536) that begins at block `number` or, for periods over
/// 4,096, at the last multiple of `period / 4096` before it.
pub fn mortal_era(period: u64, number: u64) -> [u8; 2] {
	let quantize_factor = (period >> 12).max(1);
	let phase = (number % period) / quantize_factor;
	// At most 15 | 4095 << 4, which is 16 bits.
	let encoded = u64::from(period.trailing_zeros().saturating_sub(1).clamp(1, 15)) | (phase << 4);
	(encoded as u16).to_le_bytes()
}

/// `call`, signed by `pair` with `nonce`, ready for submission.
pub fn sign(pair: &sr25519::Pair, call: &[u8], nonce: u32, anchor: &Anchor) -> Vec<u8> {
	let extra = (mortal_era(ERA_PERIOD, anchor.birth.number.into()), Compact(nonce)).encode();
	let implicit = (anchor.spec_version, anchor.transaction_version, anchor.genesis, anchor.birth.hash).encode();
	let payload = [call, &extra, &implicit].concat();
	let signature =
		if payload.len() > MAX_SIGNED_PLAIN { pair.sign(&super::blake2_256(&payload)) } else { pair.sign(&payload) };
	let mut body = vec![SIGNED_V4, ADDRESS_ID];
	body.extend_from_slice(&pair.public().0);
	body.push(SIGNATURE_SR25519);
	body.extend_from_slice(&signature.0);
	body.extend_from_slice(&extra);
	body.extend_from_slice(call);
	// A byte vector is encoded with its length in front, which is the form that travels.
	body.encode()
}

/// Why a call fails, from the runtime's answer to `BlockBuilder_apply_extrinsic`; None if it does not, or if the
/// transaction was not tried at all.
pub fn dispatch_error(answer: &[u8]) -> Option<String> {
	const APPLIED: u8 = 0;
	const FAILED: u8 = 1;
	const BAD_ORIGIN: u8 = 2;
	const MODULE: u8 = 3;
	match answer {
		[APPLIED, FAILED, MODULE, pallet, error, ..] => Some(format!("error {error} of pallet {pallet}")),
		[APPLIED, FAILED, BAD_ORIGIN, ..] => Some("this account may not do that".into()),
		[APPLIED, FAILED, other, ..] => Some(format!("dispatch error {other}")),
		_ => None,
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use codec::Decode;

	fn anchor() -> Anchor {
		Anchor {
			genesis: [1; 32],
			spec_version: 100,
			transaction_version: 2,
			birth: BlockRef { number: 170, hash: [2; 32] },
		}
	}

	#[test]
	fn eras_are_encoded_as_the_sdk_does() {
		// The vectors of the SDK's own tests.
		assert_eq!(mortal_era(64, 42), [5 + 42 % 16 * 16, 42 / 16]);
		assert_eq!(mortal_era(32_768, 20_000), (14_u16 + 2_500 * 16).to_le_bytes());
		assert_eq!(mortal_era(64, 42 + 64 * 7), mortal_era(64, 42));
		assert_eq!(mortal_era(4, 3), [1 + 3 * 16, 0]);
		assert_eq!(mortal_era(65_536, 65_535), [0xff, 0xff]);
	}

	/// Takes a signed transaction apart and checks every byte and the signature.
	fn check(call: &[u8]) {
		let pair = sr25519::Pair::from_seed(&[7; 32]);
		let transaction = sign(&pair, call, 70, &anchor());
		let body = Vec::<u8>::decode(&mut &transaction[..]).unwrap();
		assert_eq!(body[..2], [0x84, 0]);
		assert_eq!(body[2..34], pair.public().0);
		assert_eq!(body[34], 1);
		let (signature, rest) = body[35..].split_at(64);
		let extra = [mortal_era(ERA_PERIOD, 170).to_vec(), Compact(70_u32).encode()].concat();
		assert_eq!(rest, [&extra[..], call].concat());
		let implicit = (100_u32, 2_u32, [1_u8; 32], [2_u8; 32]).encode();
		let mut payload = [call, &extra, &implicit].concat();
		if payload.len() > 256 {
			payload = crate::core::blake2_256(&payload).to_vec();
		}
		let signature = sr25519::Signature::try_from(signature).unwrap();
		assert!(sr25519::Pair::verify(&signature, &payload, &pair.public()));
	}

	#[test]
	fn short_and_long_calls_are_signed() {
		check(&[11, 1, 2, 3]);
		// 76 bytes come after the call: the longest that is signed plain, and the shortest that is hashed.
		check(&[9; 180]);
		check(&[9; 181]);
		check(&[9; 1_000]);
	}

	#[test]
	fn failures_are_read_from_the_runtimes_answer() {
		assert_eq!(dispatch_error(&[0, 0]), None, "applied, and fine");
		assert_eq!(dispatch_error(&[0, 1, 3, 11, 4, 0, 0, 0]).as_deref(), Some("error 4 of pallet 11"));
		assert_eq!(dispatch_error(&[0, 1, 2]).as_deref(), Some("this account may not do that"));
		assert_eq!(dispatch_error(&[0, 1, 8, 0]).as_deref(), Some("dispatch error 8"));
		for untried in [&[][..], &[1, 0, 3], &[0]] {
			assert_eq!(dispatch_error(untried), None);
		}
	}
}
