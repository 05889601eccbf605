//! The answer of `ringfence_whitelist`: which of the owner's lists is on record, decoded and proven.
//!
//! # Security considerations
//!
//! The answer comes from an RPC server. It counts only as proof: of a block that the authorities made final, and of what
//! is, or is not, in its state. A server can still show an older final block: one that is older than a minute is refused,
//! and whoever asks compares the number of the list with the newest that it has seen.

use super::{
	finality::{AuthoritySet, MAX_HEADER, MAX_JUSTIFICATION},
	frame::{finalized, BlockRef, FrameError},
	hex, proof,
};
use codec::DecodeAll;
use ringfence_primitives::{envelope::WhitelistRecord, keys, AccountBytes};
use serde::Deserialize;
use serde_json::Value;

/// A finalized block, and what ought to prove which list is on record in its state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordProof {
	block: BlockRef,
	header: Vec<u8>,
	justification: Vec<u8>,
	proof: Vec<Vec<u8>>,
}

/// The node also says what it proves, for people. Only what is proven is read.
#[derive(Deserialize)]
struct RawProof {
	block: BlockRef,
	header: String,
	justification: String,
	proof: Vec<String>,
}

impl RecordProof {
	/// Decodes an answer.
	pub fn decode(answer: Value) -> Result<Self, FrameError> {
		let raw: RawProof = serde_json::from_value(answer)?;
		if raw.proof.len() > proof::MAX_NODES {
			return Err(FrameError::ProofTooLong(raw.proof.len()));
		}
		let bytes = |field, text: &String, max| hex::decode_up_to(text, max).map_err(|e| FrameError::Hex(field, e));
		Ok(Self {
			block: raw.block,
			header: bytes("header", &raw.header, MAX_HEADER)?,
			justification: bytes("justification", &raw.justification, MAX_JUSTIFICATION)?,
			proof: raw.proof.iter().map(|node| bytes("proof", node, proof::MAX_BYTES)).collect::<Result<_, _>>()?,
		})
	}

	/// The list of the owner of `member` that is on record, None where there is none: proven by a block that `set` made
	/// final and that is no older than block `newest`.
	pub fn verify(
		&self,
		member: &AccountBytes,
		set: &AuthoritySet,
		newest: u32,
	) -> Result<Option<WhitelistRecord>, FrameError> {
		let header = finalized(&self.block, &self.header, &self.justification, set, newest)?;
		let mut values = proof::read(&header.state_root.0, &self.proof, &[keys::whitelist(member)])
			.map_err(|e| FrameError::Proof(self.block.number, e))?;
		let record = values.pop().flatten();
		record.map(|record| WhitelistRecord::decode_all(&mut &record[..]).map_err(FrameError::Record)).transpose()
	}
}
