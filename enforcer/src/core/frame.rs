//! One item of the change subscription: decoded, and checked to go on where the enforcer stands.
//!
//! # Security considerations
//!
//! Everything here comes from an RPC server. A frame is decoded whole or refused, and its entries are applied only when
//! they are numbered without a gap and chained by hash to the last one applied, so a server cannot leave out, repeat,
//! reorder or alter an entry of a log it has begun to tell. Header, justification and proof, which tie the log to
//! finality, are carried along undecoded.

use super::hex::{self, HexError};
use codec::DecodeAll;
use ringfence_primitives::{Change, Digest, LogHead};
use serde::Deserialize;

/// Entries that a frame may have; the node sends no more.
pub const MAX_CHANGES: usize = 256;

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
		let bytes = |field, text: &String| hex::decode(text).map_err(|e| FrameError::Hex(field, e));
		let mut changes = Vec::<Change>::with_capacity(raw.changes.len());
		let mut hash: Option<Digest> = None;
		for (index, text) in raw.changes.iter().enumerate() {
			let expected = raw.from.saturating_add(index as u64);
			let encoded = bytes("changes", text)?;
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
			header: bytes("header", &raw.header)?,
			justification: bytes("justification", &raw.justification)?,
			proof: raw.proof.iter().map(|node| bytes("proof", node)).collect::<Result<_, _>>()?,
		})
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
