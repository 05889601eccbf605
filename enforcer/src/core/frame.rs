//! One item of the change subscription, or a heartbeat: decoded, proven, and checked to go on where the enforcer stands.
//!
//! # Security considerations
//!
//! Everything here comes from an RPC server. A frame is decoded whole or refused. [`Frame::verify`] ties it to finality:
//! the authorities made its block final, and the block's state holds this very head and these very entries. Only what
//! has passed is a [`Verified`], and only a `Verified` can be applied. [`Frame::news`] then sees to it that entries are
//! numbered without a gap and chained by hash to the last one applied.
//!
//! A server can still be silent, or tell what was true a while ago: a frame that is older than the newest verified block
//! is refused, and that of a server which stands still is noticed by a heartbeat that does not come.

use super::{
	blake2_256,
	finality::{AuthoritySet, FinalityError, Header, MAX_HEADER, MAX_JUSTIFICATION},
	hex::{self, HexError},
	proof::{self, ProofError},
};
use codec::{DecodeAll, Encode};
use ringfence_primitives::{keys, ActiveDigest, Change, Digest, LogHead};
use serde::Deserialize;
use std::ops::Deref;

/// Entries that a frame may have; the node sends no more.
pub const MAX_CHANGES: usize = 256;
/// Bytes of an entry. The longest, a provider's word to its subscribers, has less than half of it.
const MAX_CHANGE: usize = 2 * 1024;

/// Why a frame was refused.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
	/// Not the JSON that the node sends.
	#[error("not a frame: {0}")]
	Json(#[from] serde_json::Error),
	/// A field that ought to be hexadecimal.
	#[error("{0}: {1}")]
	Hex(&'static str, #[source] HexError),
	/// Entry number n of the frame does not decode.
	#[error("entry {0} of the frame does not decode: {1}")]
	Scale(usize, #[source] codec::Error),
	/// More than [`MAX_CHANGES`].
	#[error("{0} entries are too many")]
	TooMany(usize),
	/// An entry has another number than its place in the frame says.
	#[error("entry {expected} calls itself {found}")]
	Misnumbered {
		/// The number by its place.
		expected: u64,
		/// The number it has.
		found: u64,
	},
	/// The frame begins after the entry that is due.
	#[error("entry {due} is due, the frame begins with {found}")]
	Gap {
		/// The next entry to apply.
		due: u64,
		/// The first of the frame.
		found: u64,
	},
	/// An entry does not name the hash of the one before.
	#[error("entry {0} does not follow from the one before it")]
	BrokenChain(u64),
	/// The entry that was applied last is another one here: this server tells another story.
	#[error("entry {0} is not the one that was applied")]
	Forked(u64),
	/// The head contradicts the entries.
	#[error("the head contradicts entry {0}")]
	Head(u64),
	/// More trie nodes than [`proof::MAX_NODES`].
	#[error("a proof of {0} nodes is too large")]
	ProofTooLong(usize),
	/// The block is older than the newest one that is known to be final.
	#[error("block {number} is older than block {newest}, which is final")]
	Stale {
		/// The block.
		number: u32,
		/// The newest.
		newest: u32,
	},
	/// The header is not that of the block that the item names.
	#[error("the header is not that of block {0}")]
	OtherHeader(u32),
	/// The block is not known to be final.
	#[error("block {0}: {1}")]
	Finality(u32, #[source] FinalityError),
	/// The proof does not prove what it should.
	#[error("block {0}: {1}")]
	Proof(u32, #[source] ProofError),
	/// The log stands elsewhere in the block's state.
	#[error("the log does not stand there in block {0}")]
	HeadUnproven(u32),
	/// Another entry, or none, is in the block's state under this number.
	#[error("entry {0} is not in the log of the block")]
	Unproven(u64),
	/// The digest of the active set, in the block's state, does not decode.
	#[error("the digest of the active set does not decode: {0}")]
	Digest(#[source] codec::Error),
	/// The whitelist on record, in the block's state, does not decode.
	#[error("the whitelist on record does not decode: {0}")]
	Record(#[source] codec::Error),
	/// Entries in a heartbeat.
	#[error("{0} entries where none were asked for")]
	Unasked(usize),
}

impl FrameError {
	/// Whether the block could be final by a later set of authorities: ask `ringfence_handoffs`, advance, and verify once
	/// more.
	pub fn wants_handoff(&self) -> bool {
		matches!(self, Self::Finality(_, cause) if cause.wants_handoff())
	}

	/// Whether a server that is merely behind would say this. Whatever is neither this nor cured by a handoff is a lie.
	pub fn is_behind(&self) -> bool {
		match self {
			Self::Stale { .. } => true,
			Self::Finality(_, cause) => cause.is_behind(),
			_ => false,
		}
	}
}

/// What is proven to be in the state of a final block. Made by verification only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
	/// What is proven.
	pub fn into_inner(self) -> T {
		self.0
	}
}

impl<T> Deref for Verified<T> {
	type Target = T;

	fn deref(&self) -> &T {
		&self.0
	}
}

/// The header of `block`, if `set` made the block final and it is no older than block `newest`.
pub fn finalized(
	block: &BlockRef,
	header: &[u8],
	justification: &[u8],
	set: &AuthoritySet,
	newest: u32,
) -> Result<Header, FrameError> {
	if block.number < newest {
		return Err(FrameError::Stale { number: block.number, newest });
	}
	if blake2_256(header) != block.hash {
		return Err(FrameError::OtherHeader(block.number));
	}
	let header = set.verify(header, justification).map_err(|e| FrameError::Finality(block.number, e))?;
	match header.number {
		number if number == block.number => Ok(header),
		_ => Err(FrameError::OtherHeader(block.number)),
	}
}

/// Where the log stood in a final block, and what was in force by it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heartbeat {
	/// The block.
	pub block: BlockRef,
	/// Where the log stood.
	pub head: LogHead,
	/// The digest of the active set, if it was asked for.
	pub digest: Option<ActiveDigest>,
}

/// A finalized block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct BlockRef {
	/// Its number.
	pub number: u32,
	/// Its hash.
	#[serde(with = "hex::serde_digest")]
	pub hash: Digest,
}

/// What a subscription item says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
	/// The finalized block whose state the entries were read from.
	pub block: BlockRef,
	/// Where the log stood in that block.
	pub head: LogHead,
	/// The entries, numbered without a gap and chained among themselves.
	pub changes: Vec<Change>,
	/// SCALE header of `block`.
	pub header: Vec<u8>,
	/// SCALE GRANDPA justification that covers `block`.
	pub justification: Vec<u8>,
	/// The trie nodes that prove head and entries against the header's state root.
	pub proof: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
struct RawFrame {
	block: BlockRef,
	head: RawHead,
	from: u64,
	changes: Vec<String>,
	header: String,
	justification: String,
	proof: Vec<String>,
}

#[derive(Deserialize)]
struct RawHead {
	seq: u64,
	#[serde(with = "hex::serde_digest")]
	hash: Digest,
	oldest: u64,
}

/// How far an enforcer has applied the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
	/// The last entry applied; 0 before the first.
	pub seq: u64,
	/// Its hash. None where the log is taken up in the middle, because the node no longer keeps its beginning.
	pub hash: Option<Digest>,
}

impl Cursor {
	/// Before the first entry of the log.
	pub const START: Self = Self { seq: 0, hash: Some([0; 32]) };

	/// Just before `oldest`, taking on trust what it names as its predecessor.
	pub const fn before(oldest: u64) -> Self {
		match oldest {
			0 | 1 => Self::START,
			_ => Self { seq: oldest - 1, hash: None },
		}
	}

	/// Just after `change`.
	pub fn after(change: &Change) -> Self {
		Self { seq: change.seq, hash: Some(change.hash()) }
	}

	/// The entry that is due.
	pub const fn due(&self) -> u64 {
		self.seq.saturating_add(1)
	}
}

impl Frame {
	/// Decodes an item and checks that its entries are numbered without a gap, chained, and as its head says.
	pub fn decode(item: serde_json::Value) -> Result<Self, FrameError> {
		let raw: RawFrame = serde_json::from_value(item)?;
		if raw.changes.len() > MAX_CHANGES {
			return Err(FrameError::TooMany(raw.changes.len()));
		}
		if raw.proof.len() > proof::MAX_NODES {
			return Err(FrameError::ProofTooLong(raw.proof.len()));
		}
		let bytes = |field, text: &String, max| hex::decode_up_to(text, max).map_err(|e| FrameError::Hex(field, e));
		let mut changes = Vec::<Change>::with_capacity(raw.changes.len());
		let mut hash: Option<Digest> = None;
		for (index, text) in raw.changes.iter().enumerate() {
			let expected = raw.from.saturating_add(index as u64);
			let encoded = bytes("changes", text, MAX_CHANGE)?;
			let change = Change::decode_all(&mut &encoded[..]).map_err(|e| FrameError::Scale(index, e))?;
			if change.seq != expected {
				return Err(FrameError::Misnumbered { expected, found: change.seq });
			}
			if hash.is_some_and(|hash| hash != change.previous) {
				return Err(FrameError::BrokenChain(change.seq));
			}
			// Decoding refuses what is not canonical, so this is what `Change::hash` would compute.
			hash = Some(super::blake2_256(&encoded));
			changes.push(change);
		}
		let head = LogHead { seq: raw.head.seq, hash: raw.head.hash, oldest: raw.head.oldest };
		if let (Some(last), Some(hash)) = (changes.last(), hash) {
			if last.seq > head.seq || (last.seq == head.seq && hash != head.hash) {
				return Err(FrameError::Head(last.seq));
			}
		}
		Ok(Self {
			block: raw.block,
			head,
			changes,
			header: bytes("header", &raw.header, MAX_HEADER)?,
			justification: bytes("justification", &raw.justification, MAX_JUSTIFICATION)?,
			proof: raw.proof.iter().map(|node| bytes("proof", node, proof::MAX_BYTES)).collect::<Result<_, _>>()?,
		})
	}

	/// Proves it: that `set` made the block final, and that head and entries are in the block's state.
	///
	/// `newest` is the number of the newest block that is known to be final, 0 at first: an older frame is refused, one of
	/// the same block is not.
	pub fn verify(self, set: &AuthoritySet, newest: u32) -> Result<Verified<Self>, FrameError> {
		let wanted = self.changes.iter().map(|change| keys::change(change.seq).to_vec());
		let mut values = self.proven_beside_head(set, newest, wanted)?.into_iter();
		for change in &self.changes {
			if values.next().flatten().is_none_or(|proven| proven != change.encode()) {
				return Err(FrameError::Unproven(change.seq));
			}
		}
		Ok(Verified(self))
	}

	/// Proves the answer of `ringfence_heartbeat(digest)`: a frame without entries.
	pub fn verify_heartbeat(
		self,
		set: &AuthoritySet,
		newest: u32,
		digest: bool,
	) -> Result<Verified<Heartbeat>, FrameError> {
		if !self.changes.is_empty() {
			return Err(FrameError::Unasked(self.changes.len()));
		}
		let wanted = digest.then(|| keys::active_digest().to_vec());
		let values = self.proven_beside_head(set, newest, wanted.into_iter())?;
		let digest = values.into_iter().next().map(|value| match value {
			Some(value) => ActiveDigest::decode_all(&mut &value[..]).map_err(FrameError::Digest),
			// The chain has never had anything in force.
			None => Ok(ActiveDigest::default()),
		});
		Ok(Verified(Heartbeat { block: self.block, head: self.head, digest: digest.transpose()? }))
	}

	/// Proves the block and the head, and reads what else the proof is for.
	fn proven_beside_head(
		&self,
		set: &AuthoritySet,
		newest: u32,
		wanted: impl Iterator<Item = Vec<u8>>,
	) -> Result<Vec<Option<Vec<u8>>>, FrameError> {
		let header = finalized(&self.block, &self.header, &self.justification, set, newest)?;
		let keys: Vec<Vec<u8>> = std::iter::once(keys::log_head().to_vec()).chain(wanted).collect();
		let mut values = proof::read(&header.state_root.0, &self.proof, &keys)
			.map_err(|e| FrameError::Proof(self.block.number, e))?;
		// The first key is that of the head. The chain writes it with the first entry.
		let head = match values.remove(0) {
			Some(value) => LogHead::decode_all(&mut &value[..]).ok(),
			None => Some(LogHead::default()),
		};
		match head {
			Some(head) if head == self.head => Ok(values),
			_ => Err(FrameError::HeadUnproven(self.block.number)),
		}
	}

	/// The entries that are still to be applied, checked to follow from `cursor`.
	///
	/// A frame may begin earlier: what was applied already is left out, after checking that it is the same log.
	pub fn news(&self, cursor: &Cursor) -> Result<&[Change], FrameError> {
		let Some(first) = self.changes.first() else { return Ok(&[]) };
		if first.seq > cursor.due() {
			return Err(FrameError::Gap { due: cursor.due(), found: first.seq });
		}
		let (applied, news) = self.changes.split_at(self.changes.partition_point(|c| c.seq <= cursor.seq));
		if let Some(last) = applied.last().filter(|last| last.seq == cursor.seq) {
			if cursor.hash.is_some_and(|hash| hash != last.hash()) {
				return Err(FrameError::Forked(last.seq));
			}
		} else if let Some(next) = news.first() {
			if cursor.hash.is_some_and(|hash| hash != next.previous) {
				return Err(FrameError::Forked(cursor.seq));
			}
		}
		Ok(news)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use codec::Encode;
	use ringfence_primitives::{Address, ChangeKind, Indicator};
	use serde_json::{json, Value};

	/// The first `n` entries of a log.
	fn log(n: u64) -> Vec<Change> {
		let mut previous = [0; 32];
		(1..=n)
			.map(|seq| {
				let host = Address::V4([198, 18, 0, u8::try_from(seq).unwrap()]);
				let change = Change { seq, at: seq * 500, previous, kind: ChangeKind::Revoked(Indicator::Host(host)) };
				previous = change.hash();
				change
			})
			.collect()
	}

	fn item(changes: &[Change], head: &Change) -> Value {
		json!({
			"block": { "number": 7, "hash": hex::encode(&[3; 32]) },
			"head": { "seq": head.seq, "hash": hex::encode(&head.hash()), "oldest": 1 },
			"from": changes.first().map_or(1, |c| c.seq),
			"changes": changes.iter().map(|c| hex::encode(&c.encode())).collect::<Vec<_>>(),
			"header": "0x01", "justification": "0x02", "proof": ["0x03", "0x04"],
		})
	}

	fn frame(changes: &[Change], head: &Change) -> Frame {
		Frame::decode(item(changes, head)).unwrap()
	}

	#[test]
	fn a_frame_is_decoded_whole() {
		let log = log(3);
		let frame = frame(&log, &log[2]);
		assert_eq!((frame.block.number, frame.block.hash), (7, [3; 32]));
		assert_eq!((frame.head.seq, frame.head.oldest), (3, 1));
		assert_eq!(frame.changes, log);
		assert_eq!((frame.header, frame.justification, frame.proof), (vec![1], vec![2], vec![vec![3], vec![4]]));
	}

	#[test]
	fn entries_follow_from_the_cursor_and_known_ones_are_skipped() {
		let log = log(5);
		assert_eq!(frame(&log[..2], &log[4]).news(&Cursor::START).unwrap(), &log[..2]);
		assert_eq!(frame(&log[2..], &log[4]).news(&Cursor::after(&log[1])).unwrap(), &log[2..]);
		assert_eq!(frame(&log, &log[4]).news(&Cursor::after(&log[2])).unwrap(), &log[3..]);
		assert!(frame(&log[..3], &log[4]).news(&Cursor::after(&log[4])).unwrap().is_empty());
		assert_eq!(frame(&log[3..], &log[4]).news(&Cursor::before(4)).unwrap(), &log[3..]);
		assert!(frame(&[], &log[4]).news(&Cursor::START).unwrap().is_empty());
	}

	#[test]
	fn gaps_and_other_histories_are_refused() {
		let log = log(5);
		let late = frame(&log[2..], &log[4]);
		assert!(matches!(late.news(&Cursor::after(&log[0])), Err(FrameError::Gap { due: 2, found: 3 })));
		let elsewhere = Cursor { seq: 2, hash: Some([9; 32]) };
		assert!(matches!(late.news(&elsewhere), Err(FrameError::Forked(2))));
		assert!(matches!(frame(&log, &log[4]).news(&elsewhere), Err(FrameError::Forked(2))));
	}

	#[test]
	fn frames_that_contradict_themselves_are_refused() {
		let log = log(4);
		let decoded = |changes: &[Change]| Frame::decode(item(changes, &log[3]));
		let missing = [log[0].clone(), log[2].clone()];
		assert!(matches!(decoded(&missing), Err(FrameError::Misnumbered { expected: 2, found: 3 })));
		let altered = [log[0].clone(), Change { previous: [9; 32], ..log[1].clone() }];
		assert!(matches!(decoded(&altered), Err(FrameError::BrokenChain(2))));
		let other_last = [Change { at: 1, ..log[3].clone() }];
		assert!(matches!(decoded(&other_last), Err(FrameError::Head(4))));
		assert!(matches!(Frame::decode(item(&log, &log[2])), Err(FrameError::Head(4))));
	}

	#[test]
	fn what_does_not_decode_is_refused() {
		let log = log(1);
		let with = |field: &str, value: Value| {
			let mut item = item(&log, &log[0]);
			item[field] = value;
			Frame::decode(item)
		};
		assert!(matches!(Frame::decode(json!(null)), Err(FrameError::Json(_))));
		assert!(matches!(with("from", json!(-1)), Err(FrameError::Json(_))));
		assert!(matches!(with("header", json!("01")), Err(FrameError::Hex("header", HexError::NoPrefix))));
		assert!(matches!(with("changes", json!(["0x00"])), Err(FrameError::Scale(0, _))));
		let trailing = hex::encode(&[log[0].encode(), vec![0]].concat());
		assert!(matches!(with("changes", json!([trailing])), Err(FrameError::Scale(0, _))));
		let many = vec!["0x"; MAX_CHANGES + 1];
		assert!(matches!(with("changes", json!(many)), Err(FrameError::TooMany(257))));
	}
}
