//! One value for the whole active set.
//!
//! LtHash16 (Lewi, Kim, Maykov and Weis, "Securing Update Propagation with Homomorphic Hashing", 2019): every element is
//! stretched to 1,024 numbers of 16 bits with the extendable output of BLAKE3, and a set is the sum of its elements,
//! number by number. So an element is added or removed without a look at the others, in any order, and two sets with the
//! same digest are the same set to about 200 bits of security. That holds for sets, not for multisets: the active set
//! has each indicator once.

use crate::{Decision, Digest};
use alloc::{boxed::Box, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode, EncodeLike, Error, Input, MaxEncodedLen, Output};
use core::fmt;
use scale_info::{build::Fields, Path, Type, TypeInfo};

/// Numbers of 16 bits in a digest.
const LANES: usize = 1_024;
/// Bytes of its encoding.
const BYTES: usize = 2 * LANES;

/// The digest of a set of [`Decision`]s. Its encoding is 2,048 bytes, the numbers in order, little end first.
#[derive(Clone, PartialEq, Eq)]
pub struct ActiveDigest(Box<[u16; LANES]>);

impl Default for ActiveDigest {
	/// That of the empty set.
	fn default() -> Self {
		Self(Box::new([0; LANES]))
	}
}

impl ActiveDigest {
	/// Adds a decision that is not in the set.
	pub fn add(&mut self, decision: &Decision) {
		self.combine(decision, u16::wrapping_add);
	}

	/// Removes a decision that is in the set.
	pub fn remove(&mut self, decision: &Decision) {
		self.combine(decision, u16::wrapping_sub);
	}

	/// BLAKE2b-256 of the encoding: short enough to be shown and compared by people.
	pub fn checksum(&self) -> Digest {
		sp_crypto_hashing::blake2_256(&self.encode())
	}

	fn combine(&mut self, decision: &Decision, operation: fn(u16, u16) -> u16) {
		let mut stretched = [0; BYTES];
		blake3::Hasher::new().update(&decision.encode()).finalize_xof().fill(&mut stretched);
		for (lane, bytes) in self.0.iter_mut().zip(stretched.chunks_exact(2)) {
			*lane = operation(*lane, u16::from_le_bytes([bytes[0], bytes[1]]));
		}
	}
}

impl<'a> FromIterator<&'a Decision> for ActiveDigest {
	fn from_iter<I: IntoIterator<Item = &'a Decision>>(decisions: I) -> Self {
		let mut digest = Self::default();
		decisions.into_iter().for_each(|decision| digest.add(decision));
		digest
	}
}

impl fmt::Debug for ActiveDigest {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str("ActiveDigest(0x")?;
		self.checksum().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
		f.write_str(")")
	}
}

impl Encode for ActiveDigest {
	fn size_hint(&self) -> usize {
		BYTES
	}

	fn encode_to<O: Output + ?Sized>(&self, output: &mut O) {
		let mut bytes = Vec::with_capacity(BYTES);
		self.0.iter().for_each(|lane| bytes.extend_from_slice(&lane.to_le_bytes()));
		output.write(&bytes);
	}
}

impl Decode for ActiveDigest {
	fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
		let mut bytes = [0; BYTES];
		input.read(&mut bytes)?;
		let mut digest = Self::default();
		for (lane, bytes) in digest.0.iter_mut().zip(bytes.chunks_exact(2)) {
			*lane = u16::from_le_bytes([bytes[0], bytes[1]]);
		}
		Ok(digest)
	}
}

impl EncodeLike for ActiveDigest {}

impl DecodeWithMemTracking for ActiveDigest {}

impl MaxEncodedLen for ActiveDigest {
	fn max_encoded_len() -> usize {
		BYTES
	}
}

impl TypeInfo for ActiveDigest {
	type Identity = Self;

	fn type_info() -> Type {
		Type::builder()
			.path(Path::new("ActiveDigest", module_path!()))
			.composite(Fields::unnamed().field(|field| field.ty::<[u8; BYTES]>()))
	}
}
