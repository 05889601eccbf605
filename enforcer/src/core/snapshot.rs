//! The whole active set at one finalized block: what proves it, and the pages that it comes in.
//!
//! # Security considerations
//!
//! Everything here comes from an RPC server. The opening is believed only when a GRANDPA justification and a read proof
//! tie it to finality ([`Opening::verify`]). The pages prove nothing by themselves: whoever takes them in compares the
//! digest of all of them with the proven one, before one of them counts, and refuses names that do not ascend, since the
//! digest is that of a set and would not tell what comes twice.

use super::{
	finality::AuthoritySet,
	frame::{self, BlockRef, FrameError},
	hex::{self, HexError},
	proof::{self, ProofError},
	pulse,
};
use codec::DecodeAll;
use ringfence_primitives::{keys, ActiveDigest, Decision, LogHead, Millis, Network};
use serde::Deserialize;
use serde_json::Value;

/// Decisions that a page may have; the node sends no more.
pub const MAX_PAGE: usize = 1_024;
/// Networks that the chain may protect: eight times what it allows itself today.
pub const MAX_PROTECTED: usize = 4_096;

/// Why an item was refused.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
	/// Not the JSON that the node sends.
	#[error("not an item of a snapshot: {0}")]
	Json(#[from] serde_json::Error),
	/// A field that ought to be hexadecimal.
	#[error("{0}: {1}")]
	Hex(&'static str, #[source] HexError),
	/// A page, or a value in the state, that does not decode.
	#[error("{0} does not decode: {1}")]
	Scale(&'static str, #[source] codec::Error),
	/// A page without decisions, or with more than [`MAX_PAGE`].
	#[error("a page of {0} decisions")]
	Page(usize),
	/// More protected networks than [`MAX_PROTECTED`].
	#[error("{0} protected networks are too many")]
	Protected(usize),
	/// The block is not proven final.
	#[error(transparent)]
	Block(#[from] FrameError),
	/// The state is not proven.
	#[error(transparent)]
	Proof(#[from] ProofError),
}

impl SnapshotError {
	/// Whether the block may be final by a later authority set than the one that was asked.
	pub fn wants_handoff(&self) -> bool {
		matches!(self, Self::Block(cause) if cause.wants_handoff())
	}

	/// Whether the server lags, which is no lie.
	pub fn is_behind(&self) -> bool {
		matches!(self, Self::Block(cause) if cause.is_behind())
	}
}

/// One item of the subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
	/// The first.
	Opening(Opening),
	/// Decisions in force, 1 to [`MAX_PAGE`].
	Page(Vec<Decision>),
	/// The last.
	End {
		/// Decisions in all pages, as the server says.
		count: u64,
	},
}

/// The block of a snapshot, and what ought to prove it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
	/// The block.
	pub block: BlockRef,
	header: Vec<u8>,
	justification: Vec<u8>,
	proof: Vec<Vec<u8>>,
}

/// What a finalized block says of the active set. Only [`Opening::verify`] makes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proven {
	block: BlockRef,
	made_at: Option<Millis>,
	head: LogHead,
	digest: ActiveDigest,
	protected: Vec<Network>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum RawItem {
	Opening(RawOpening),
	Page(String),
	End { count: u64 },
}

#[derive(Deserialize)]
struct RawOpening {
	block: BlockRef,
	header: String,
	justification: String,
	proof: Vec<String>,
}

impl Item {
	/// Decodes an item.
	pub fn decode(item: Value) -> Result<Self, SnapshotError> {
		let bytes = |field, text: &str| hex::decode(text).map_err(|e| SnapshotError::Hex(field, e));
		Ok(match serde_json::from_value(item)? {
			RawItem::Opening(RawOpening { block, header, justification, proof }) => Self::Opening(Opening {
				block,
				header: bytes("header", &header)?,
				justification: bytes("justification", &justification)?,
				proof: proof.iter().map(|node| bytes("proof", node)).collect::<Result<_, _>>()?,
			}),
			RawItem::Page(text) => {
				let encoded = bytes("page", &text)?;
				let decisions = Vec::<Decision>::decode_all(&mut &encoded[..])
					.map_err(|cause| SnapshotError::Scale("the page", cause))?;
				if decisions.is_empty() || decisions.len() > MAX_PAGE {
					return Err(SnapshotError::Page(decisions.len()));
				}
				Self::Page(decisions)
			}
			RawItem::End { count } => Self::End { count },
		})
	}
}

impl Opening {
	/// Checks that the block is final by `set`, not older than block `newest`, and reads from its state what the proof
	/// shows.
	pub fn verify(self, set: &AuthoritySet, newest: u32) -> Result<Proven, SnapshotError> {
		let header = frame::finalized(&self.block, &self.header, &self.justification, set, newest)?;
		let wanted = [keys::log_head(), keys::active_digest(), keys::protected_networks()];
		let values = proof::read(&header.state_root.0, &self.proof, &wanted)?;
		let [head, digest, protected] = <[Option<Vec<u8>>; 3]>::try_from(values).unwrap_or([const { None }; 3]);
		let protected: Vec<Network> = value("the list of protected networks", protected)?;
		if protected.len() > MAX_PROTECTED {
			return Err(SnapshotError::Protected(protected.len()));
		}
		Ok(Proven {
			block: self.block,
			made_at: pulse::made_at(&self.header),
			head: value("the head of the log", head)?,
			digest: value("the digest", digest)?,
			protected,
		})
	}
}

/// A value of the state; what is absent is what it is at first.
fn value<T: DecodeAll + Default>(what: &'static str, bytes: Option<Vec<u8>>) -> Result<T, SnapshotError> {
	let decode = |bytes: Vec<u8>| T::decode_all(&mut &bytes[..]).map_err(|cause| SnapshotError::Scale(what, cause));
	bytes.map_or_else(|| Ok(T::default()), decode)
}

impl Proven {
	/// The finalized block.
	pub const fn block(&self) -> BlockRef {
		self.block
	}

	/// When it was made, in Unix milliseconds; None if it does not say.
	pub const fn made_at(&self) -> Option<Millis> {
		self.made_at
	}

	/// Where the log stood in it.
	pub const fn head(&self) -> LogHead {
		self.head
	}

	/// The digest of the decisions in force.
	pub const fn digest(&self) -> &ActiveDigest {
		&self.digest
	}

	/// The networks that the chain protects.
	pub fn protected(&self) -> &[Network] {
		&self.protected
	}

	/// What a test says is proven.
	#[cfg(test)]
	pub(crate) fn for_test(head: LogHead, digest: ActiveDigest, protected: Vec<Network>) -> Self {
		Self { block: BlockRef { number: 1, hash: [0; 32] }, made_at: None, head, digest, protected }
	}

	/// The same of a block that was made then.
	#[cfg(test)]
	pub(crate) fn made(self, at: Millis) -> Self {
		Self { made_at: Some(at), ..self }
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use codec::Encode;
	use ringfence_primitives::{Action, Confidence, Direction, Severity, ThreatClass};
	use serde_json::json;

	fn decision() -> Decision {
		Decision {
			indicator: "198.51.100.7".parse::<Network>().unwrap().into(),
			direction: Direction::Both,
			action: Action::Drop,
			threat: ThreatClass::Scan,
			severity: Severity::Low,
			confidence: Confidence::MAX,
			expires_at: 7,
		}
	}

	fn page(decisions: &[Decision]) -> Value {
		json!({ "page": hex::encode(&decisions.encode()) })
	}

	#[test]
	fn items_are_read_as_the_node_writes_them() {
		let opening = json!({ "opening": {
			"block": { "number": 7, "hash": hex::encode(&[3; 32]) },
			"head": { "seq": 1, "hash": hex::encode(&[4; 32]), "oldest": 1 },
			"header": "0x01", "justification": "0x02", "proof": ["0x03"],
		}});
		let Item::Opening(opening) = Item::decode(opening).unwrap() else { panic!("an opening") };
		assert_eq!((opening.block.number, opening.header, opening.proof), (7, vec![1], vec![vec![3]]));
		assert_eq!(Item::decode(page(&[decision()])).unwrap(), Item::Page(vec![decision()]));
		assert_eq!(Item::decode(json!({ "end": { "count": 3 } })).unwrap(), Item::End { count: 3 });
	}

	#[test]
	fn what_is_no_item_is_refused() {
		assert!(matches!(Item::decode(page(&[])), Err(SnapshotError::Page(0))));
		let many = vec![decision(); MAX_PAGE + 1];
		assert!(matches!(Item::decode(page(&many)), Err(SnapshotError::Page(1_025))));
		assert!(matches!(Item::decode(json!({ "page": "0x04" })), Err(SnapshotError::Scale(..))));
		assert!(matches!(Item::decode(json!({ "page": "04" })), Err(SnapshotError::Hex("page", _))));
		for nonsense in [json!(null), json!({}), json!({ "begin": {} }), json!({ "opening": {} })] {
			assert!(matches!(Item::decode(nonsense), Err(SnapshotError::Json(_))));
		}
	}

	#[test]
	fn what_the_state_does_not_have_is_empty() {
		assert_eq!(value::<LogHead>("head", None).unwrap(), LogHead::default());
		assert!(value::<Vec<Network>>("networks", None).unwrap().is_empty());
		let trailing = [LogHead::default().encode(), vec![0]].concat();
		assert!(matches!(value::<LogHead>("head", Some(trailing)), Err(SnapshotError::Scale("head", _))));
	}
}
