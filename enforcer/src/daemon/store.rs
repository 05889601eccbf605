//! The active set on disk: what is to be blocked, kept so that a gatekeeper which starts without a network, or finds its
//! table gone, enforces at once.
//!
//! # Files
//!
//! `active.base` holds the decisions of the chain in the order of their indicators' names, in blocks of about
//! [`BLOCK`] bytes. `active.log` is appended to: one transaction for each frame of the change log, with the place in that
//! log that it leads to. When the log has grown, both are merged into a new base, one block at a time. So memory holds a
//! name for each block, what changed since the last merge, and what the own provider decided for its subscribers (at most
//! [`MAX_TIER`]); never the set.
//!
//! # Crashes
//!
//! Every block and every transaction ends with a checksum that covers its place as well. A base is written whole, brought
//! to the disk and then renamed over the old one; it has a number of its own, and a log belongs to the base whose number it
//! bears: one that is left over from an older base is part of the new one already. A transaction that is torn, by a power cut or a
//! full disk, is cut off, with all that follow: what is left is the set as it was at an earlier place in the change log,
//! and that log goes on from there. A base that is damaged is dropped, and the set fetched again.
//!
//! # Security considerations
//!
//! What is in the files was verified before it was written, and they lie in a directory that only this program's user
//! may enter. They are still read as if anybody had written them: bounded, and refused where they make no sense. The
//! checksums are against accidents, not against somebody who may write there.

use super::{
	control::{Block, Filter, Page, Source, MAX_REASONS},
	now_ms, random, state,
};
use crate::core::{
	frame::Cursor,
	overrides::{self, Overrides},
};
use codec::{Decode, DecodeAll, Encode};
use ringfence_primitives::{
	ActiveDigest, Address, Change, ChangeKind, Decision, Digest, Indicator, IndicatorId, Millis, Network,
};
use std::{
	collections::{btree_map, BTreeMap, BTreeSet},
	fs::{File, OpenOptions},
	io::{self, BufWriter, Write},
	iter::Peekable,
	ops::Bound,
	os::unix::fs::{FileExt, OpenOptionsExt},
	path::{Path, PathBuf},
};

const BASE: &str = "active.base";
const LOG: &str = "active.log";
/// A base that is being written.
const NEW: &str = "active.new";
const BASE_MAGIC: &[u8; 8] = b"RFBASE01";
const LOG_MAGIC: &[u8; 8] = b"RFLOG001";
/// Magic and number.
const PREAMBLE: usize = 16;
/// Length before, and checksum behind, each block and transaction.
const LENGTH: usize = 4;
const CHECK: usize = 8;

/// Bytes of decisions in one block: one read from the disk.
const BLOCK: usize = 4_096;
/// Bytes that a block or a transaction may have. The largest is the first block of a base with a full tier.
const MAX_FRAME: usize = 8 * 1024 * 1024;
/// Decisions of the chain, at the most: what its runtime allows on record.
pub const MAX_DECISIONS: u64 = 2_000_000;
/// Decisions of the own provider, at the most.
pub const MAX_TIER: usize = 16_384;
/// Changes since the last merge that ask for another one: at least so many, else a sixteenth of the set, at the most
/// [`MANY_CHANGES`].
const FEW_CHANGES: u64 = 4_096;
const MANY_CHANGES: u64 = 32_768;
/// Changes that are held in memory at the most, should merging fail again and again: 30 MB.
const MAX_CHANGES: usize = 262_144;
/// Bytes of the log that ask for a merge.
const LONG_LOG: u64 = 16 * 1024 * 1024;
/// Changes in one transaction at the most.
const MAX_PENDING: usize = 32_768;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
	/// A file of it.
	#[error("{}: {source}", .path.display())]
	Io {
		/// The file.
		path: PathBuf,
		/// Why.
		source: io::Error,
	},
	/// A file of it is damaged: the set has to be fetched again.
	#[error("{}: {cause}", .path.display())]
	Corrupt {
		/// The file.
		path: PathBuf,
		/// In what way.
		cause: &'static str,
	},
	/// Decisions do not come in the order of their indicators' names, or one comes twice.
	#[error("decision {0} does not follow the one before it")]
	Order(u64),
	/// More than [`MAX_DECISIONS`], or more changes than memory may hold while the disk takes nothing.
	#[error("{0} are too many")]
	Full(&'static str),
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
	move |source| StoreError::Io { path: path.into(), source }
}

/// Where the store stands in the change log.
#[derive(Clone, PartialEq, Eq, Debug, Default, Encode, Decode)]
struct Mark {
	seq: u64,
	/// None only where an older version of this program wrote it.
	hash: Option<Digest>,
	/// The latest time that the chain has told.
	clock: Millis,
	/// From where the log has to be looked through for what the provider says, after a snapshot.
	backfill: Option<u64>,
	/// Decisions of the chain.
	count: u64,
	/// Of these.
	digest: ActiveDigest,
}

impl Mark {
	fn start() -> Self {
		Self { hash: Cursor::START.hash, ..Self::default() }
	}
}

/// What a transaction changes.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
enum Op {
	#[codec(index = 0)]
	Put(Decision),
	#[codec(index = 1)]
	Remove(IndicatorId),
	#[codec(index = 2)]
	PutTier(Decision),
	#[codec(index = 3)]
	RemoveTier(IndicatorId),
	#[codec(index = 4)]
	Protect(Network),
	#[codec(index = 5)]
	Unprotect(Network),
}

/// The first block of a base.
#[derive(Clone, Debug, Default, Encode, Decode)]
struct Head {
	mark: Mark,
	protected: Vec<Network>,
	tier: Vec<Decision>,
}

/// What a block of a base is.
const HEAD: u8 = 0;
const DECISIONS: u8 = 1;
const END: u8 = 2;

/// The first eight octets of a name, as a number: it orders as names do.
fn prefix(id: &IndicatorId) -> u64 {
	u64::from_be_bytes([id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7]])
}

/// Eight octets of BLAKE3 over the file's number, the place in it, and what lies there.
fn check(number: u64, offset: u64, payload: &[u8]) -> [u8; CHECK] {
	let mut hasher = blake3::Hasher::new();
	hasher.update(&number.to_le_bytes()).update(&offset.to_le_bytes()).update(payload);
	let mut check = [0; CHECK];
	check.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK]);
	check
}

fn frame(number: u64, offset: u64, payload: &[u8]) -> Vec<u8> {
	let mut frame = Vec::with_capacity(LENGTH + payload.len() + CHECK);
	// A payload is at most `MAX_FRAME`, well within 32 bits.
	frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
	frame.extend_from_slice(payload);
	frame.extend_from_slice(&check(number, offset, payload));
	frame
}

/// What lies at `offset` of a file with `len` bytes, into `buffer`; the offset behind it. None where it is torn or damaged.
fn read_frame(file: &File, number: u64, offset: u64, len: u64, buffer: &mut Vec<u8>) -> io::Result<Option<u64>> {
	let rest = len.saturating_sub(offset);
	if rest < (LENGTH + CHECK) as u64 {
		return Ok(None);
	}
	let mut length = [0; LENGTH];
	file.read_exact_at(&mut length, offset)?;
	let length = u32::from_le_bytes(length) as usize;
	if length > MAX_FRAME || rest < (LENGTH + length + CHECK) as u64 {
		return Ok(None);
	}
	buffer.resize(length + CHECK, 0);
	file.read_exact_at(buffer, offset + LENGTH as u64)?;
	let claimed = buffer.split_off(length);
	Ok((claimed == check(number, offset, buffer)).then_some(offset + (LENGTH + length + CHECK) as u64))
}

fn preamble(magic: &[u8; 8], number: u64) -> [u8; PREAMBLE] {
	let mut preamble = [0; PREAMBLE];
	preamble[..8].copy_from_slice(magic);
	preamble[8..].copy_from_slice(&number.to_le_bytes());
	preamble
}

/// The number of a file with this magic and `len` bytes; None where it is another kind of file.
fn read_preamble(file: &File, magic: &[u8; 8], len: u64) -> io::Result<Option<u64>> {
	let mut found = [0; PREAMBLE];
	if len < PREAMBLE as u64 {
		return Ok(None);
	}
	file.read_exact_at(&mut found, 0)?;
	let (kind, number) = found.split_at(8);
	let number = number.try_into().map(u64::from_le_bytes).unwrap_or_default();
	Ok((kind == magic).then_some(number))
}

/// Where a block begins, and with which name.
#[derive(Clone, Copy, Debug)]
struct Place {
	prefix: u64,
	offset: u64,
}

/// The sorted file.
#[derive(Debug)]
struct Base {
	/// None: the empty base, number 0, that needs no file.
	file: Option<File>,
	path: PathBuf,
	number: u64,
	len: u64,
	blocks: Vec<Place>,
}

impl Base {
	fn empty(directory: &Path) -> Self {
		Self { file: None, path: directory.join(BASE), number: 0, len: 0, blocks: Vec::new() }
	}

	fn corrupt(&self, cause: &'static str) -> StoreError {
		StoreError::Corrupt { path: self.path.clone(), cause }
	}

	/// Reads the file through, once.
	fn open(directory: &Path) -> Result<(Self, Head), StoreError> {
		let mut base = Self::empty(directory);
		let path = base.path.clone();
		let file = match File::open(&path) {
			Err(e) if e.kind() == io::ErrorKind::NotFound => {
				return Ok((base, Head { mark: Mark::start(), ..Head::default() }));
			}
			file => file.map_err(io_error(&path))?,
		};
		base.len = file.metadata().map_err(io_error(&path))?.len();
		base.number = read_preamble(&file, BASE_MAGIC, base.len)
			.map_err(io_error(&path))?
			.ok_or_else(|| base.corrupt("not a store that this version can read"))?;
		let (mut offset, mut buffer) = (PREAMBLE as u64, Vec::new());
		let (mut head, mut count, mut last) = (None::<Head>, 0_u64, None::<u64>);
		loop {
			let next = read_frame(&file, base.number, offset, base.len, &mut buffer)
				.map_err(io_error(&path))?
				.ok_or_else(|| base.corrupt("a block is damaged"))?;
			let (kind, mut payload) = buffer.split_first().ok_or_else(|| base.corrupt("an empty block"))?;
			match *kind {
				HEAD if head.is_none() => {
					head = Some(Head::decode_all(&mut payload).map_err(|_| base.corrupt("its head makes no sense"))?);
				}
				DECISIONS if head.is_some() => {
					let mut records = Records(payload);
					let mut first = None;
					while let Some((prefix, _)) = records.next().ok_or_else(|| base.corrupt("a broken record"))? {
						if last.is_some_and(|last| last > prefix) {
							return Err(base.corrupt("decisions out of order"));
						}
						last = Some(prefix);
						first = first.or(last);
						count += 1;
					}
					let prefix = first.ok_or_else(|| base.corrupt("a block without decisions"))?;
					base.blocks.push(Place { prefix, offset });
				}
				END if head.is_some() => {
					if payload != count.to_le_bytes() || next != base.len || count > MAX_DECISIONS {
						return Err(base.corrupt("its end is missing"));
					}
					break;
				}
				_ => return Err(base.corrupt("a block out of place")),
			}
			offset = next;
		}
		base.file = Some(file);
		base.blocks.shrink_to_fit();
		// The loop is left only behind the end, which follows the head.
		let mut head = head.unwrap_or_default();
		head.mark.count = count;
		Ok((base, head))
	}

	/// Block number `index`, without its kind, into `buffer`. An empty buffer: there is none.
	fn read(&self, index: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
		let (Some(file), Some(place)) = (&self.file, self.blocks.get(index)) else {
			buffer.clear();
			return Ok(());
		};
		read_frame(file, self.number, place.offset, self.len, buffer)
			.map_err(io_error(&self.path))?
			.ok_or_else(|| self.corrupt("a block is damaged"))?;
		Ok(())
	}

	/// The first block in which a name that begins with `prefix` may be.
	fn seek(&self, prefix: u64) -> usize {
		self.blocks.partition_point(|place| place.prefix < prefix).saturating_sub(1)
	}

	fn get(&self, id: &IndicatorId) -> Result<Option<Decision>, StoreError> {
		let wanted = prefix(id);
		let mut buffer = Vec::new();
		// Names that begin alike may lie on both sides of a border.
		for index in self.seek(wanted)..self.blocks.len() {
			if self.blocks[index].prefix > wanted {
				break;
			}
			self.read(index, &mut buffer)?;
			let mut records = Records(buffer.get(1..).unwrap_or_default());
			while let Some((found, bytes)) = records.next().ok_or_else(|| self.corrupt("a broken record"))? {
				if found == wanted {
					let decision = self.decode(bytes)?;
					if decision.indicator.id() == *id {
						return Ok(Some(decision));
					}
				}
			}
		}
		Ok(None)
	}

	fn decode(&self, mut bytes: &[u8]) -> Result<Decision, StoreError> {
		Decision::decode_all(&mut bytes).map_err(|_| self.corrupt("a decision makes no sense"))
	}
}

/// The records of a block: the beginning of a name, a length, a decision.
struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
	/// The next one; `Some(None)` behind the last; None: broken.
	#[allow(clippy::type_complexity)]
	fn next(&mut self) -> Option<Option<(u64, &'a [u8])>> {
		if self.0.is_empty() {
			return Some(None);
		}
		let (prefix, rest) = self.0.split_first_chunk::<8>()?;
		let (length, rest) = rest.split_first_chunk::<2>()?;
		let (bytes, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
		self.0 = rest;
		Some(Some((u64::from_be_bytes(*prefix), bytes)))
	}
}

/// A base that is being written. Dropped before [`Store::install`], it leaves nothing.
#[derive(Debug)]
pub struct Builder {
	directory: PathBuf,
	file: Option<BufWriter<File>>,
	number: u64,
	offset: u64,
	block: Vec<u8>,
	first: u64,
	blocks: Vec<Place>,
	last: Option<IndicatorId>,
	count: u64,
	digest: Option<ActiveDigest>,
	head: Head,
}

impl Builder {
	fn new(directory: &Path, head: Head, digest: Option<ActiveDigest>) -> Result<Self, StoreError> {
		let path = directory.join(NEW);
		let file = OpenOptions::new()
			.create(true)
			.truncate(true)
			.read(true)
			.write(true)
			.mode(0o600)
			.open(&path)
			.map_err(io_error(&path))?;
		// 0 is the number of the base without a file.
		let number = random().max(1);
		let mut builder = Self {
			directory: directory.into(),
			file: Some(BufWriter::with_capacity(64 * 1024, file)),
			number,
			offset: 0,
			block: vec![DECISIONS],
			first: 0,
			blocks: Vec::new(),
			last: None,
			count: 0,
			digest,
			head,
		};
		builder.write(&preamble(BASE_MAGIC, number))?;
		let head = [vec![HEAD], builder.head.encode()].concat();
		builder.put(&head)?;
		Ok(builder)
	}

	fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
		let path = self.directory.join(NEW);
		if let Some(file) = &mut self.file {
			file.write_all(bytes).map_err(io_error(&path))?;
		}
		self.offset += bytes.len() as u64;
		Ok(())
	}

	fn put(&mut self, payload: &[u8]) -> Result<(), StoreError> {
		let frame = frame(self.number, self.offset, payload);
		self.write(&frame)
	}

	/// Adds a decision. Names must ascend.
	pub fn push(&mut self, decision: &Decision) -> Result<(), StoreError> {
		let id = decision.indicator.id();
		if self.last.is_some_and(|last| last >= id) {
			return Err(StoreError::Order(self.count));
		}
		if self.count >= MAX_DECISIONS {
			return Err(StoreError::Full("decisions of the chain"));
		}
		if let Some(digest) = &mut self.digest {
			digest.add(decision);
		}
		let bytes = decision.encode();
		if self.block.len() + bytes.len() + 10 > BLOCK {
			self.flush_block()?;
		}
		if self.block.len() == 1 {
			self.first = prefix(&id);
		}
		self.block.extend_from_slice(&prefix(&id).to_be_bytes());
		// A decision is at most some 150 bytes.
		self.block.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
		self.block.extend_from_slice(&bytes);
		self.last = Some(id);
		self.count += 1;
		Ok(())
	}

	fn flush_block(&mut self) -> Result<(), StoreError> {
		if self.block.len() == 1 {
			return Ok(());
		}
		self.blocks.push(Place { prefix: self.first, offset: self.offset });
		let block = std::mem::replace(&mut self.block, vec![DECISIONS]);
		self.put(&block)
	}

	/// Decisions so far.
	pub const fn count(&self) -> u64 {
		self.count
	}

	/// The digest of the decisions so far.
	pub const fn digest(&self) -> Option<&ActiveDigest> {
		self.digest.as_ref()
	}

	/// Brings the file to the disk and puts it in place.
	fn finish(&mut self) -> Result<(Base, Head), StoreError> {
		self.flush_block()?;
		let end = [&[END][..], &self.count.to_le_bytes()].concat();
		self.put(&end)?;
		let (new, path) = (self.directory.join(NEW), self.directory.join(BASE));
		// There is a file until here.
		let Some(mut writer) = self.file.take() else { return Err(StoreError::Full("ends of a base")) };
		let written = writer.flush().and_then(|()| writer.get_ref().sync_all());
		written.map_err(io_error(&new))?;
		std::fs::rename(&new, &path).map_err(io_error(&new))?;
		sync_directory(&self.directory)?;
		let file = File::open(&path).map_err(io_error(&path))?;
		let mut head = std::mem::take(&mut self.head);
		head.mark.count = self.count;
		let blocks = std::mem::take(&mut self.blocks);
		Ok((Base { file: Some(file), path, number: self.number, len: self.offset, blocks }, head))
	}
}

impl Drop for Builder {
	fn drop(&mut self) {
		if self.file.take().is_some() {
			// What is left is written over by the next one, and removed at the next start.
			let _ = std::fs::remove_file(self.directory.join(NEW));
		}
	}
}

fn sync_directory(directory: &Path) -> Result<(), StoreError> {
	File::open(directory).and_then(|d| d.sync_all()).map_err(io_error(directory))
}

/// Whether a file may be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Access {
	Write,
	Read,
}

/// The active set: what the chain and the own provider decided, and the networks that the chain protects.
///
/// Changes count at once in memory; [`Store::commit`] brings them to the disk.
#[derive(Debug)]
pub struct Store {
	directory: PathBuf,
	base: Base,
	/// The file to append to, once there is one for this base.
	log: Option<File>,
	/// Bytes of it that are good.
	log_len: u64,
	/// What changed since the base, encoded; None: gone.
	changed: BTreeMap<IndicatorId, Option<Box<[u8]>>>,
	tier: BTreeMap<IndicatorId, Decision>,
	protected: BTreeSet<Network>,
	mark: Mark,
	/// What is not in the log yet.
	pending: Vec<Op>,
	/// The mark in the log differs from the one here, though nothing is pending.
	moved: bool,
	/// Written, but perhaps not on the disk.
	unsynced: bool,
}

impl Store {
	/// Opens the store in `directory`, or begins an empty one. Says so where a damaged one had to be dropped: what it held
	/// has to be fetched again.
	pub fn open(directory: &Path) -> Result<(Self, Option<StoreError>), StoreError> {
		match std::fs::remove_file(directory.join(NEW)) {
			Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_error(&directory.join(NEW))(e)),
			_ => {}
		}
		match Self::read(directory, Access::Write) {
			Err(damage @ StoreError::Corrupt { .. }) => {
				forget(directory)?;
				Ok((Self::read(directory, Access::Write)?, Some(damage)))
			}
			store => store.map(|store| (store, None)),
		}
	}

	fn read(directory: &Path, access: Access) -> Result<Self, StoreError> {
		let (base, head) = Base::open(directory)?;
		let mut store = Self {
			directory: directory.into(),
			base,
			log: None,
			log_len: 0,
			changed: BTreeMap::new(),
			tier: head.tier.into_iter().map(|decision| (decision.indicator.id(), decision)).collect(),
			protected: head.protected.into_iter().collect(),
			mark: head.mark,
			pending: Vec::new(),
			moved: false,
			unsynced: false,
		};
		store.read_log(access)?;
		Ok(store)
	}

	fn read_log(&mut self, access: Access) -> Result<(), StoreError> {
		let path = self.directory.join(LOG);
		let file = match OpenOptions::new().read(true).write(access == Access::Write).open(&path) {
			Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
			file => file.map_err(io_error(&path))?,
		};
		let len = file.metadata().map_err(io_error(&path))?.len();
		if read_preamble(&file, LOG_MAGIC, len).map_err(io_error(&path))? != Some(self.base.number) {
			// Of an older base, which has it all; or torn when it was begun.
			return Ok(());
		}
		let (mut offset, mut buffer) = (PREAMBLE as u64, Vec::new());
		while let Some(next) = read_frame(&file, self.base.number, offset, len, &mut buffer).map_err(io_error(&path))? {
			let Ok((ops, mark)) = <(Vec<Op>, Mark)>::decode_all(&mut &buffer[..]) else { break };
			ops.into_iter().for_each(|op| self.carry_out(op));
			self.mark = mark;
			offset = next;
		}
		if access == Access::Write {
			if offset < len {
				file.set_len(offset).map_err(io_error(&path))?;
			}
			self.log = Some(file);
			self.log_len = offset;
		}
		Ok(())
	}

	fn carry_out(&mut self, op: Op) {
		match op {
			Op::Put(decision) => {
				let encoded = decision.encode().into_boxed_slice();
				self.changed.insert(decision.indicator.id(), Some(encoded));
			}
			Op::Remove(id) => {
				self.changed.insert(id, None);
			}
			Op::PutTier(decision) => {
				self.tier.insert(decision.indicator.id(), decision);
			}
			Op::RemoveTier(id) => {
				self.tier.remove(&id);
			}
			Op::Protect(network) => {
				self.protected.insert(network);
			}
			Op::Unprotect(network) => {
				self.protected.remove(&network);
			}
		}
	}

	fn note(&mut self, op: Op) {
		self.carry_out(op.clone());
		self.pending.push(op);
	}

	/// The last entry of the change log that the set includes.
	pub const fn cursor(&self) -> Cursor {
		Cursor { seq: self.mark.seq, hash: self.mark.hash }
	}

	/// The latest time that the chain has told: it is at least that late.
	pub const fn clock(&self) -> Millis {
		self.mark.clock
	}

	/// The chain has told that it is at least this late.
	pub fn tell_time(&mut self, at: Millis) {
		if at > self.mark.clock {
			self.mark.clock = at;
			self.moved = true;
		}
	}

	/// The chain has another entry where this set says that it is.
	pub fn disowned(&self) -> StoreError {
		self.base.corrupt("not of this change log")
	}

	/// Decisions of the chain.
	pub const fn count(&self) -> u64 {
		self.mark.count
	}

	/// The digest of the chain's decisions.
	pub const fn digest(&self) -> &ActiveDigest {
		&self.mark.digest
	}

	/// The entry from which on the log has to be looked through for what the provider says; None: it was.
	pub const fn backfill(&self) -> Option<u64> {
		self.mark.backfill
	}

	/// The networks that the chain protects.
	pub const fn protected(&self) -> &BTreeSet<Network> {
		&self.protected
	}

	/// What the own provider decided for its subscribers.
	pub const fn tier(&self) -> &BTreeMap<IndicatorId, Decision> {
		&self.tier
	}

	/// What the chain decided about the indicator of this name.
	pub fn get(&self, id: &IndicatorId) -> Result<Option<Decision>, StoreError> {
		match self.changed.get(id) {
			Some(Some(encoded)) => self.base.decode(encoded).map(Some),
			Some(None) => Ok(None),
			None => self.base.get(id),
		}
	}

	/// Takes in what `change` says, and moves on to it. What a provider sealed only moves on.
	pub fn record(&mut self, change: &Change) -> Result<(), StoreError> {
		if self.pending.len() >= MAX_PENDING || self.changed.len() >= MAX_CHANGES {
			return Err(StoreError::Full("changes that the disk does not take"));
		}
		match &change.kind {
			ChangeKind::Activated(decision) | ChangeKind::Extended(decision) => {
				let before = self.get(&decision.indicator.id())?;
				if before.is_none() && self.mark.count >= MAX_DECISIONS {
					return Err(StoreError::Full("decisions of the chain"));
				}
				match before {
					Some(before) => self.mark.digest.remove(&before),
					None => self.mark.count += 1,
				}
				self.mark.digest.add(decision);
				self.note(Op::Put(decision.clone()));
			}
			ChangeKind::Revoked(indicator) | ChangeKind::Expired(indicator) => {
				let id = indicator.id();
				if let Some(before) = self.get(&id)? {
					self.mark.digest.remove(&before);
					self.mark.count = self.mark.count.saturating_sub(1);
					self.note(Op::Remove(id));
				}
			}
			ChangeKind::Protected(network) => self.note(Op::Protect(*network)),
			ChangeKind::Unprotected(network) => self.note(Op::Unprotect(*network)),
			ChangeKind::Tier1(..) => {}
		}
		let Cursor { seq, hash } = Cursor::after(change);
		(self.mark.seq, self.mark.hash) = (seq, hash);
		self.mark.clock = self.mark.clock.max(change.at);
		self.moved = true;
		Ok(())
	}

	/// Takes in a decision of the own provider's, in place of an earlier one about the same.
	pub fn put_tier(&mut self, decision: Decision) -> Result<(), StoreError> {
		if self.tier.len() >= MAX_TIER && !self.tier.contains_key(&decision.indicator.id()) {
			return Err(StoreError::Full("decisions of the provider"));
		}
		self.note(Op::PutTier(decision));
		Ok(())
	}

	/// The own provider takes it back.
	pub fn remove_tier(&mut self, id: &IndicatorId) {
		if self.tier.contains_key(id) {
			self.note(Op::RemoveTier(*id));
		}
	}

	/// Forgets those decisions of the provider's that are over: nobody else says so. These are they.
	pub fn expire_tier(&mut self, now: Millis) -> Vec<Indicator> {
		let over = self.tier.values().filter(|decision| decision.expires_at <= now);
		let over: Vec<Indicator> = over.map(|decision| decision.indicator.clone()).collect();
		over.iter().for_each(|indicator| self.note(Op::RemoveTier(indicator.id())));
		over
	}

	/// The log is to be looked through from this entry on; None: no more.
	pub fn set_backfill(&mut self, from: Option<u64>) {
		if self.mark.backfill != from {
			self.mark.backfill = from;
			self.moved = true;
		}
	}

	/// Whether something is in memory only.
	pub fn is_unsaved(&self) -> bool {
		!self.pending.is_empty() || self.moved || self.unsynced
	}

	/// Writes what changed into the log and, if it is to be `durable`, waits for the disk. What could not be written is
	/// written with the next commit.
	pub fn commit(&mut self, durable: state::Durable) -> Result<(), StoreError> {
		if !self.pending.is_empty() || self.moved {
			self.append()?;
		}
		if durable == state::Durable::Yes && self.unsynced {
			if let Some(log) = &self.log {
				log.sync_data().map_err(io_error(&self.directory.join(LOG)))?;
			}
			self.unsynced = false;
		}
		Ok(())
	}

	fn append(&mut self) -> Result<(), StoreError> {
		let path = self.directory.join(LOG);
		if self.log.is_none() {
			let preamble = preamble(LOG_MAGIC, self.base.number);
			state::replace(&path, &preamble, state::Durable::Yes).map_err(|error| match error {
				state::StateError::Io { path, source } => StoreError::Io { path, source },
				state::StateError::Store(error) => error,
				state::StateError::Locked(path) => StoreError::Corrupt { path, cause: "locked" },
			})?;
			let file = OpenOptions::new().read(true).write(true).open(&path).map_err(io_error(&path))?;
			self.log = Some(file);
			self.log_len = PREAMBLE as u64;
		}
		let payload = (&self.pending, &self.mark).encode();
		let frame = frame(self.base.number, self.log_len, &payload);
		let Some(log) = &self.log else { return Ok(()) };
		if let Err(source) = log.write_all_at(&frame, self.log_len) {
			// Half a transaction is no harm, since it is cut off at the next start; but it fills a disk that is full.
			let _ = log.set_len(self.log_len);
			return Err(StoreError::Io { path, source });
		}
		self.log_len += frame.len() as u64;
		// With its memory: after a long absence that is megabytes.
		self.pending = Vec::new();
		self.moved = false;
		self.unsynced = true;
		Ok(())
	}

	/// Whether it is time for [`Store::compact`].
	pub fn is_grown(&self) -> bool {
		let bound = (self.mark.count / 16).clamp(FEW_CHANGES, MANY_CHANGES);
		self.changed.len() as u64 > bound || self.log_len > LONG_LOG
	}

	/// Merges log and base into a new base. Reads and writes the whole set, block by block: about 0.3 s for a million on
	/// a good disk.
	pub fn compact(&mut self) -> Result<(), StoreError> {
		let mut builder = Builder::new(&self.directory, self.head(), None)?;
		let mut walk = self.walk(None);
		while let Some(decision) = walk.next()? {
			builder.push(&decision)?;
		}
		self.install_base(&mut builder)
	}

	fn head(&self) -> Head {
		Head {
			mark: self.mark.clone(),
			protected: self.protected.iter().copied().collect(),
			tier: self.tier.values().cloned().collect(),
		}
	}

	/// Begins a new base for a set that is to be as the finalized block says: at this place of the log, with this digest
	/// and these protected networks. What the provider decided stays.
	pub fn replacement(
		&self,
		cursor: Cursor,
		backfill: Option<u64>,
		digest: &ActiveDigest,
		protected: &[Network],
	) -> Result<Builder, StoreError> {
		let head = Head {
			mark: Mark {
				seq: cursor.seq,
				hash: cursor.hash,
				clock: self.mark.clock,
				backfill,
				count: 0,
				digest: digest.clone(),
			},
			protected: protected.to_vec(),
			..self.head()
		};
		Builder::new(&self.directory, head, Some(ActiveDigest::default()))
	}

	/// Puts a complete replacement in place. Whether it is what it ought to be is for the caller to compare before. After
	/// an error the store is what it was.
	pub fn install(&mut self, mut builder: Builder) -> Result<(), StoreError> {
		let tier = std::mem::take(&mut builder.head.tier);
		let written: BTreeMap<_, _> = tier.into_iter().map(|decision| (decision.indicator.id(), decision)).collect();
		self.install_base(&mut builder)?;
		// What the provider decided while the replacement was being written is in memory, and not in the new base.
		let late = self.tier.iter().filter(|(id, decision)| written.get(*id) != Some(decision));
		self.pending.extend(late.map(|(_, decision)| Op::PutTier(decision.clone())));
		let gone = written.into_keys().filter(|id| !self.tier.contains_key(id));
		self.pending.extend(gone.map(Op::RemoveTier));
		Ok(())
	}

	fn install_base(&mut self, builder: &mut Builder) -> Result<(), StoreError> {
		let (base, head) = builder.finish()?;
		self.base = base;
		self.mark = head.mark;
		self.protected = head.protected.into_iter().collect();
		self.changed = BTreeMap::new();
		self.pending.clear();
		(self.moved, self.unsynced) = (false, false);
		// The log of the base before stays until it is replaced: it does not bear the new number.
		(self.log, self.log_len) = (None, 0);
		Ok(())
	}

	/// Forgets everything, on disk as well.
	pub fn reset(&mut self) -> Result<(), StoreError> {
		forget(&self.directory)?;
		*self = Self::read(&self.directory, Access::Write)?;
		Ok(())
	}

	/// The chain's decisions in the order of their names, from the first, or the first whose name begins with more than
	/// `after`.
	pub fn walk(&self, after: Option<u64>) -> Walk<'_> {
		let lowest = match after.map(|after| after.checked_add(1)) {
			None => Bound::Unbounded,
			Some(Some(first)) => {
				let mut id = [0; 32];
				id[..8].copy_from_slice(&first.to_be_bytes());
				Bound::Included(id)
			}
			// Nothing comes after the last.
			Some(None) => Bound::Excluded([u8::MAX; 32]),
		};
		Walk {
			base: &self.base,
			block: after.map_or(0, |after| self.base.seek(after)),
			buffer: Vec::new(),
			at: 0,
			after,
			ahead: None,
			changed: self.changed.range((lowest, Bound::Unbounded)).peekable(),
		}
	}

	/// Up to `limit` blocks that name `address`, or a network that it lies in, and are in force at `now`; flows from or to
	/// it among them. And whether there are more. Reads the whole set.
	pub fn about(&self, address: &Address, now: Millis, limit: usize) -> Result<(Vec<Block>, bool), StoreError> {
		let host = Network::host(*address);
		let is_about = |decision: &Decision| {
			decision.expires_at > now && decision.indicator.networks().any(|network| network.contains(&host))
		};
		let tier = self.tier.values().filter(|decision| is_about(decision));
		let mut blocks: Vec<Block> = tier.take(limit + 1).map(|decision| Block::of(decision, Source::Tier)).collect();
		let mut walk = self.walk(None);
		while let Some(decision) = walk.next()? {
			if blocks.len() > limit {
				break;
			}
			if is_about(&decision) {
				blocks.push(Block::of(&decision, Source::Chain));
			}
		}
		let more = blocks.len() > limit;
		blocks.truncate(limit);
		Ok((blocks, more))
	}

	/// A page of what is in force at `now`: first, on the first page, what `household` says and what the provider decided;
	/// then the chain's, in the order of their names. `after` is `next` of the page before.
	pub fn list(
		&self,
		household: &Overrides,
		after: Option<u64>,
		limit: u16,
		filter: &Filter,
		now: Millis,
	) -> Result<Page, StoreError> {
		let mut blocks = Vec::new();
		if after.is_none() {
			let household = household.blocked(now).map(Block::of_override);
			let tier = self.tier.values().filter(|decision| decision.expires_at > now);
			let tier = tier.map(|decision| Block::of(decision, Source::Tier));
			blocks.extend(household.chain(tier).filter(|block| filter.takes(block)));
		}
		let total = self.mark.count + (self.tier.len() + household.blocked(now).count()) as u64;
		let (mut walk, mut found, mut next) = (self.walk(after), 0, None);
		while let Some(decision) = walk.next()? {
			if decision.expires_at <= now {
				continue;
			}
			let block = Block::of(&decision, Source::Chain);
			if !filter.takes(&block) {
				continue;
			}
			if found == limit {
				break;
			}
			next = Some(prefix(&block.id));
			blocks.push(block);
			found += 1;
		}
		// Without a full page there is nothing left to ask for.
		let next = next.filter(|_| found == limit);
		Ok(Page { blocks, next, total })
	}
}

/// Removes the files.
fn forget(directory: &Path) -> Result<(), StoreError> {
	// The log first: alone it would be one of the base without a file, if that is what it was begun for.
	for name in [LOG, BASE, NEW] {
		let path = directory.join(name);
		match std::fs::remove_file(&path) {
			Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_error(&path)(e)),
			_ => {}
		}
	}
	Ok(())
}

/// Removes the store of the enforcer on `directory`, which must not be running.
pub fn remove(directory: &Path) -> Result<(), StoreError> {
	forget(directory)
}

/// Goes through the chain's decisions. Not an iterator, since each step may fail to read.
pub struct Walk<'a> {
	base: &'a Base,
	/// The block in `buffer`, plus one; or the one to begin with.
	block: usize,
	buffer: Vec<u8>,
	/// Where in `buffer` the next record begins; 0: a block is to be read.
	at: usize,
	after: Option<u64>,
	ahead: Option<(u64, Decision)>,
	changed: Peekable<btree_map::Range<'a, IndicatorId, Option<Box<[u8]>>>>,
}

impl Walk<'_> {
	/// The next decision of the base.
	fn step(&mut self) -> Result<Option<(u64, Decision)>, StoreError> {
		loop {
			if self.at == 0 {
				self.base.read(self.block, &mut self.buffer)?;
				if self.buffer.is_empty() {
					return Ok(None);
				}
				self.block += 1;
				// Behind the block's kind.
				self.at = 1;
			}
			let rest = self.buffer.get(self.at..).unwrap_or_default();
			let mut records = Records(rest);
			let Some((prefix, bytes)) = records.next().ok_or_else(|| self.base.corrupt("a broken record"))? else {
				self.at = 0;
				continue;
			};
			self.at += rest.len() - records.0.len();
			if self.after.is_some_and(|after| prefix <= after) {
				continue;
			}
			let decision = self.base.decode(bytes)?;
			return Ok(Some((prefix, decision)));
		}
	}

	/// The next decision.
	#[allow(clippy::should_implement_trait)]
	pub fn next(&mut self) -> Result<Option<Decision>, StoreError> {
		loop {
			if self.ahead.is_none() {
				self.ahead = self.step()?;
			}
			let Some((id, change)) = self.changed.peek().copied() else {
				return Ok(self.ahead.take().map(|(_, decision)| decision));
			};
			// Names are worked out only where their beginnings leave it open.
			let order = match &self.ahead {
				None => std::cmp::Ordering::Greater,
				Some((first, decision)) => first.cmp(&prefix(id)).then_with(|| decision.indicator.id().cmp(id)),
			};
			match order {
				std::cmp::Ordering::Less => return Ok(self.ahead.take().map(|(_, decision)| decision)),
				std::cmp::Ordering::Equal => self.ahead = None,
				std::cmp::Ordering::Greater => {}
			}
			self.changed.next();
			if let Some(encoded) = change {
				return self.base.decode(encoded).map(Some);
			}
		}
	}
}

/// The store and the household's own word, for who only looks while no enforcer runs.
#[derive(Debug)]
pub struct Reader {
	store: Store,
	household: Overrides,
}

/// Opens the store in `directory` without changing anything. An enforcer that runs would change it underneath: ask that
/// one instead.
pub fn read_only(directory: &Path) -> Result<Reader, StoreError> {
	let household = read_overrides(directory)?;
	Ok(Reader { store: Store::read(directory, Access::Read)?, household })
}

impl Reader {
	/// What is in force about `address` at `now`, at most [`MAX_REASONS`].
	pub fn why(&self, address: &Address, now: Millis) -> Result<Vec<Block>, StoreError> {
		let host = Network::host(*address);
		let household = self.household.blocked(now).filter(|block| block.network.contains(&host));
		let mut blocks: Vec<Block> = household.map(Block::of_override).collect();
		blocks.truncate(MAX_REASONS);
		blocks.extend(self.store.about(address, now, MAX_REASONS - blocks.len())?.0);
		Ok(blocks)
	}

	/// As [`Store::list`].
	pub fn list(&self, after: Option<u64>, limit: u16, filter: &Filter, now: Millis) -> Result<Page, StoreError> {
		self.store.list(&self.household, after, limit, filter, now)
	}

	/// How far the set is.
	pub const fn cursor(&self) -> Cursor {
		self.store.cursor()
	}

	/// The household's own word.
	pub const fn household(&self) -> &Overrides {
		&self.household
	}

	/// The networks that the chain protects.
	pub const fn protected(&self) -> &BTreeSet<Network> {
		self.store.protected()
	}

	/// How late it is, as [`now`].
	pub fn now(&self) -> Millis {
		now(&self.store)
	}
}

/// The household's own word; empty where there is no file.
pub fn read_overrides(directory: &Path) -> Result<Overrides, StoreError> {
	let path = directory.join(overrides::FILE);
	match std::fs::read(&path) {
		Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Overrides::default()),
		text => Overrides::parse(&text.map_err(io_error(&path))?)
			.map_err(|_| StoreError::Corrupt { path, cause: "not the household's own allowed and blocked networks" }),
	}
}

/// The latest of the local clock and the chain's: the chain's says how late it is at least, so that a clock which stands
/// before that does not give a block more time than it has.
pub fn now(store: &Store) -> Millis {
	now_ms().max(store.clock())
}
