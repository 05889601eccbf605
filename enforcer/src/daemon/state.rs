//! What the enforcer remembers across restarts: one small JSON file, beside a lock that keeps a second one out.
//!
//! The state directory holds:
//!
//! - `lock` and `state.json` ([`State`]), which is put aside as `state.json.corrupt` when it makes no sense;
//! - `active.base` and `active.log`, and `active.new` while a base is being written ([`super::store`]);
//! - `overrides.json` ([`crate::core::overrides`]), which is put aside likewise;
//! - `status.json` ([`super::status`]) and `history.json` ([`super::observe::history`]);
//! - `reports.jsonl` ([`super::reports`]), `evidence.jsonl` and `evidence.old.jsonl` ([`super::evidence`]);
//! - `control.sock` ([`super::control`]) and, where there is a page, `page-token` ([`super::observe::page`]);
//! - where tier 1 is in use, `tier-keys.json` ([`super::keyring`]), `whitelist.json` ([`super::household`]), and at a
//!   provider `inbox.jsonl`, `answers.jsonl` and `inbox.lock` ([`super::tray`]).
//!
//! Files are replaced whole, but for the store's, the inbox's and the evidence, which are appended to: after a crash there is the
//! old one or the new one. Losing `state.json` costs a new table, filled from the store, and a way from genesis to the
//! authorities of today.

use super::store;
use crate::core::{finality::AuthoritySet, hex};
use ringfence_primitives::{AccountBytes, Digest};
use serde::{de::DeserializeOwned, Deserialize, Serialize};
use std::{
	fs::{DirBuilder, File, OpenOptions, TryLockError},
	io::{self, Write},
	os::unix::fs::{DirBuilderExt, OpenOptionsExt},
	path::{Path, PathBuf},
	sync::{Arc, Mutex, MutexGuard, PoisonError},
	time::Duration,
};

const LOCK: &str = "lock";
const STATE: &str = "state.json";
const CORRUPT: &str = "state.json.corrupt";
const VERSION: u32 = 2;
const LOCK_ATTEMPTS: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
	/// A file or directory in it.
	#[error("{}: {source}", .path.display())]
	Io {
		/// The file.
		path: PathBuf,
		/// Why.
		source: io::Error,
	},
	/// Another enforcer uses it.
	#[error("{}: another enforcer is running", .0.display())]
	Locked(PathBuf),
	/// The active set in it.
	#[error(transparent)]
	Store(#[from] store::StoreError),
}

/// The newest of an owner's whitelists that came in here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
	/// The member whose owner set it.
	#[serde(with = "hex::serde_digest")]
	pub member: AccountBytes,
	/// Which of the owner's lists it is.
	pub number: u32,
}

/// What is remembered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
	version: u32,
	/// The chain that the store belongs to, once one was seen.
	#[serde(default, with = "hex::serde_optional_digest")]
	pub genesis: Option<Digest>,
	/// Who finalizes that chain's blocks, as far as it was followed.
	#[serde(default)]
	pub authorities: Option<AuthoritySet>,
	/// BLAKE2b-256 of the owner's lists under which the firewall was filled: what they kept out is not in it. None: it is
	/// to be filled anew, whatever it holds.
	#[serde(default, with = "hex::serde_optional_digest")]
	pub lists: Option<Digest>,
	/// The owner's whitelist that is in `whitelist.json`, unless that was lost since.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub listed: Option<Listed>,
	/// What the firewall's table is marked with: another mark is another enforcer's, or an older state's.
	#[serde(with = "token")]
	pub token: u64,
}

/// Sixteen hexadecimal digits, as in the comment of the table.
mod token {
	use serde::{de::Error, Deserialize, Deserializer, Serializer};

	pub fn serialize<S: Serializer>(token: &u64, serializer: S) -> Result<S::Ok, S::Error> {
		serializer.collect_str(&format_args!("{token:016x}"))
	}

	pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
		u64::from_str_radix(&String::deserialize(deserializer)?, 16).map_err(D::Error::custom)
	}
}

impl State {
	/// No chain seen, a new mark.
	pub fn fresh() -> Self {
		Self { version: VERSION, genesis: None, authorities: None, lists: None, listed: None, token: super::random() }
	}

	/// The number of the newest whitelist of `member`'s owner that came in; 0: none.
	pub fn newest_list(&self, member: &AccountBytes) -> u32 {
		self.listed.filter(|listed| listed.member == *member).map_or(0, |listed| listed.number)
	}

	/// Makes up a new mark, for a table that is to be filled.
	pub fn remark(&mut self) {
		self.token = super::random();
		self.lists = None;
	}
}

/// The locked state directory and the state in it.
#[derive(Debug)]
pub struct Journal {
	/// What is to be remembered from the next [`Journal::save`] on.
	pub state: State,
	/// Why the state file was put aside, if it was.
	pub corrupt: Option<String>,
	directory: PathBuf,
	written: Option<State>,
	_lock: File,
}

impl Journal {
	/// Locks `directory`, which is made (mode 0700) where it is missing, and reads the state in it.
	///
	/// A state file that makes no sense is renamed to `state.json.corrupt` and a fresh state takes its place.
	pub fn open(directory: &Path) -> Result<Self, StateError> {
		make(directory)?;
		let lock = lock(directory)?;
		let path = directory.join(STATE);
		let (state, corrupt) = match read(directory)? {
			None => (None, None),
			Some(Ok(state)) => (Some(state), None),
			Some(Err(cause)) => {
				std::fs::rename(&path, directory.join(CORRUPT)).map_err(at(&path))?;
				(None, Some(cause))
			}
		};
		Ok(Self {
			state: state.clone().unwrap_or_else(State::fresh),
			corrupt,
			directory: directory.into(),
			written: state,
			_lock: lock,
		})
	}

	/// Writes the state, if it changed.
	pub fn save(&mut self) -> Result<(), StateError> {
		if self.written.as_ref() == Some(&self.state) {
			return Ok(());
		}
		// The state is numbers and text: it always serializes.
		let text = serde_json::to_vec_pretty(&self.state).unwrap_or_default();
		replace(&self.directory.join(STATE), &text, Durable::Yes)?;
		self.written = Some(self.state.clone());
		Ok(())
	}

	/// Forgets everything but the household's own word, on disk as well.
	pub fn forget(mut self) -> Result<(), StateError> {
		let path = self.directory.join(STATE);
		self.state = State::fresh();
		store::remove(&self.directory)?;
		match std::fs::remove_file(&path) {
			Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(&path)(e)),
			_ => Ok(()),
		}
	}
}

/// The state, for the tasks that share it. The lock on the directory is held as long as one of them has it.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Mutex<Journal>>);

impl Memory {
	/// Shares `journal`.
	pub fn new(journal: Journal) -> Self {
		Self(Arc::new(Mutex::new(journal)))
	}

	fn lock(&self) -> MutexGuard<'_, Journal> {
		// Every change leaves a state that makes sense, so one that panicked did as well.
		self.0.lock().unwrap_or_else(PoisonError::into_inner)
	}

	/// Looks at the state.
	pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
		look(&self.lock().state)
	}

	/// Changes the state and writes it, if that makes a difference. After an error it is changed in memory, and written
	/// with the next change.
	pub fn change(&self, change: impl FnOnce(&mut State)) -> Result<(), StateError> {
		let mut journal = self.lock();
		change(&mut journal.state);
		journal.save()
	}
}

/// Makes the directory, for its owner alone, where it is missing.
pub fn make(directory: &Path) -> Result<(), StateError> {
	DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(at(directory))
}

/// The chain that the enforcer on `directory` belongs to, as far as it has seen one.
pub fn genesis(directory: &Path) -> Result<Option<Digest>, StateError> {
	Ok(read(directory)?.and_then(Result::ok).and_then(|state| state.genesis))
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> StateError {
	let path = path.to_owned();
	move |source| StateError::Io { path, source }
}

/// The state in `directory`; None where there is none; the cause where it makes no sense.
fn read(directory: &Path) -> Result<Option<Result<State, String>>, StateError> {
	let path = directory.join(STATE);
	let text = match std::fs::read(&path) {
		Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
		text => text.map_err(at(&path))?,
	};
	Ok(Some(match serde_json::from_slice::<State>(&text) {
		Ok(state) if state.version == VERSION => Ok(state),
		Ok(state) => Err(format!("version {} is not {VERSION}", state.version)),
		Err(cause) => Err(cause.to_string()),
	}))
}

fn lock(directory: &Path) -> Result<File, StateError> {
	let path = directory.join(LOCK);
	let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(at(&path))?;
	// `status` holds the lock for a moment when it looks whether anybody has it: that is no reason to give up.
	for attempt in 1.. {
		match file.try_lock() {
			Ok(()) => break,
			Err(TryLockError::WouldBlock) if attempt < LOCK_ATTEMPTS => std::thread::sleep(LOCK_PAUSE),
			Err(TryLockError::WouldBlock) => return Err(StateError::Locked(directory.into())),
			Err(TryLockError::Error(source)) => return Err(at(&path)(source)),
		}
	}
	Ok(file)
}

/// Whether an enforcer runs on `directory`.
pub fn is_running(directory: &Path) -> Result<bool, StateError> {
	let path = directory.join(LOCK);
	let file = match File::open(&path) {
		Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
		file => file.map_err(at(&path))?,
	};
	match file.try_lock_shared() {
		Ok(()) => Ok(false),
		Err(TryLockError::WouldBlock) => Ok(true),
		Err(TryLockError::Error(source)) => Err(at(&path)(source)),
	}
}

/// Whether a file must survive a power cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durable {
	/// It is synchronised to the disk.
	Yes,
	/// It is only whole.
	No,
}

/// Puts `content` into place at `path` in one step. Mode 0600.
pub fn replace(path: &Path, content: &[u8], durable: Durable) -> Result<(), StateError> {
	let error = || at(path);
	let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
	let mut file = tempfile::NamedTempFile::new_in(directory).map_err(error())?;
	file.write_all(content).map_err(error())?;
	if durable == Durable::Yes {
		file.as_file().sync_all().map_err(error())?;
	}
	file.persist(path).map_err(|e| error()(e.error))?;
	if durable == Durable::Yes {
		File::open(directory).and_then(|d| d.sync_all()).map_err(error())?;
	}
	Ok(())
}

/// What is in a file of one JSON item a line, but for lines that make no sense, such as one that was cut short by a power cut;
/// nothing where there is no file.
pub(super) fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, StateError> {
	let bytes = match std::fs::read(path) {
		Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
		bytes => bytes.map_err(at(path))?,
	};
	// What a broken disk made of it must not keep anything from starting.
	Ok(String::from_utf8_lossy(&bytes).lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Puts these items into a file, one a line, in place of what is there. Mode 0600.
pub(super) fn replace_lines<T: Serialize>(path: &Path, items: impl IntoIterator<Item = T>) -> Result<(), StateError> {
	let text: String = items.into_iter().map(|item| line(&item) + "\n").collect();
	replace(path, text.as_bytes(), Durable::Yes)
}

/// The line of an item.
pub(super) fn line<T: Serialize>(item: &T) -> String {
	// Numbers and text always serialize.
	serde_json::to_string(item).unwrap_or_default()
}

/// Adds a line to a file, which is made (mode 0600) where there is none.
pub(super) fn append(path: &Path, line: &str) -> Result<(), StateError> {
	let append = || {
		let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
		// In one piece, so that at worst one line is cut short.
		file.write_all(format!("{line}\n").as_bytes())
	};
	append().map_err(at(path))
}
