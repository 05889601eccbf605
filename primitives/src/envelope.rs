//! Tier 1: what a household and its provider tell one another, sealed.
//!
//! The chain sees bytes, and keeps a hash, a status and an expiry; this module says what is in them. Sealing and opening
//! (HPKE, RFC 9180: X25519, HKDF-SHA256, ChaCha20-Poly1305) belong to those who hold keys: `ringfence-enforcer`.

use crate::{AccountBytes, Decision, Digest, Indicator, IndicatorId, Millis, Network, Terms};
use alloc::vec::Vec;
use bounded_collections::{BoundedVec, ConstU32};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// Bytes of every envelope: messages are padded, so that the size tells nothing.
pub const ENVELOPE_LEN: u32 = 1_024;

/// Bytes that a sealed word to a provider's own subscribers may have.
pub const MAX_SEALED_LEN: u32 = 512;

/// Networks that an owner's whitelist may have.
pub const MAX_WHITELIST: u32 = 48;

/// An X25519 public key.
pub type EnvelopeKey = [u8; 32];

/// A sealed message.
pub type Envelope = BoundedVec<u8, ConstU32<ENVELOPE_LEN>>;

/// What a provider tells its own subscribers, sealed with its tier's key.
pub type Sealed = BoundedVec<u8, ConstU32<MAX_SEALED_LEN>>;

/// What a recipient's node hands over.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Letter {
	/// Who sent it: the member, whichever key signed.
	pub from: AccountBytes,
	/// For whom it is.
	pub to: AccountBytes,
	/// The envelope itself.
	pub envelope: Envelope,
}

impl Letter {
	/// Its name on the chain: BLAKE2b-256 of the encoding. It covers both ends, so that nobody can take a name away from
	/// the sender by sending a copy of its envelope first.
	pub fn name(&self) -> Digest {
		sp_crypto_hashing::blake2_256(&self.encode())
	}
}

/// What is in an envelope, before it is padded.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking)]
pub struct Message {
	/// When it was sealed, by the sender's clock.
	pub at: Millis,
	/// What it says.
	pub body: Body,
}

/// What a message says.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking)]
pub enum Body {
	/// A subscriber to its provider: this is bad.
	#[codec(index = 0)]
	Report(Indicator, Terms),
	/// A subscriber to its provider: this is blocked, and should not be.
	#[codec(index = 1)]
	Dispute(IndicatorId),
	/// A provider to a subscriber: the tier's key from now on.
	#[codec(index = 2)]
	TierKey(TierKey),
	/// An owner to its own gateway: who may come in.
	#[codec(index = 3)]
	Whitelist(BoundedVec<Network, ConstU32<MAX_WHITELIST>>),
}

/// The secret that a provider shares with its subscribers.
#[derive(Clone, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking)]
pub struct TierKey {
	/// Which key of the provider's it is, from 1: it is changed whenever a subscriber leaves.
	pub number: u32,
	/// The secret, for ChaCha20-Poly1305.
	pub secret: [u8; 32],
}

impl core::fmt::Debug for TierKey {
	fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
		write!(f, "TierKey({})", self.number)
	}
}

/// What a provider tells all of its subscribers at once.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking)]
pub enum TierChange {
	/// The decision holds for the provider's own subscribers.
	#[codec(index = 0)]
	Block(Decision),
	/// It does no longer.
	#[codec(index = 1)]
	Unblock(Indicator),
}

/// What a provider did with an envelope.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking)]
pub enum Outcome {
	/// Nothing.
	#[codec(index = 0)]
	Dismissed,
	/// It acts on it for its own subscribers.
	#[codec(index = 1)]
	Tier1,
	/// It reported it to the other providers as its own.
	#[codec(index = 2)]
	Promoted,
}

/// An answer, as the chain keeps it: only the sender of the envelope, who shares a secret with the recipient, can tell
/// which [`Outcome`] it stands for.
pub type AnswerToken = Digest;

/// An envelope on record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct EnvelopeRecord {
	/// The block that holds it.
	pub block: u32,
	/// Which transaction of that block.
	pub index: u32,
	/// When the chain forgets it.
	pub expires_at: Millis,
	/// The recipient's answer, once there is one.
	pub answer: Option<AnswerToken>,
}

/// An owner's whitelist on record. The list itself is in an envelope to the owner's gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct WhitelistRecord {
	/// BLAKE2b-256 of the envelope.
	pub hash: Digest,
	/// Which of the owner's lists it is, from 1.
	pub number: u32,
	/// The block that holds it.
	pub block: u32,
	/// Which transaction of that block.
	pub index: u32,
}

/// BLAKE2b-256 of an envelope, as the record of a whitelist has it. A letter is called by [`Letter::name`].
pub fn name(envelope: &[u8]) -> Digest {
	sp_crypto_hashing::blake2_256(envelope)
}

/// Pads an encoded message with a length in front; None if it is longer than `len` less the two octets of the length.
pub fn pad(message: &[u8], len: usize) -> Option<Vec<u8>> {
	let length = u16::try_from(message.len()).ok()?;
	let mut padded = Vec::with_capacity(len);
	padded.extend_from_slice(&length.to_le_bytes());
	padded.extend_from_slice(message);
	(padded.len() <= len).then(|| {
		padded.resize(len, 0);
		padded
	})
}

/// Undoes [`pad`]; None where the length runs over, or anything but zeros follows.
pub fn unpad(padded: &[u8]) -> Option<&[u8]> {
	let (length, rest) = padded.split_first_chunk::<2>()?;
	let (message, padding) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
	padding.iter().all(|octet| *octet == 0).then_some(message)
}
