//! The keys of a tier, which a provider shares with its subscribers: `tier-keys.json` in the state directory, mode 0600.
//!
//! The newest key seals; the one before it still opens what was sealed just before the change.

use super::state::{self, StateError};
use crate::core::hex;
use ringfence_primitives::envelope::TierKey;
use serde::{Deserialize, Serialize};
use std::{
	path::{Path, PathBuf},
	time::SystemTime,
};

const FILE: &str = "tier-keys.json";
/// Keys that are kept.
const KEPT: usize = 2;

/// Why the keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
	/// The file.
	#[error(transparent)]
	State(#[from] StateError),
	/// What is in it. Does not say what.
	#[error("{}: not a list of tier keys", .0.display())]
	Content(PathBuf),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Entry {
	number: u32,
	#[serde(with = "hex::serde_digest")]
	secret: [u8; 32],
}

/// The keys that are known.
#[derive(Debug)]
pub struct Keyring {
	path: PathBuf,
	/// Oldest first.
	keys: Vec<TierKey>,
	/// The file's time when it was read.
	read: Option<SystemTime>,
}

impl Keyring {
	/// No keys yet, to be kept in `directory`.
	pub fn empty(directory: &Path) -> Self {
		Self { path: directory.join(FILE), keys: Vec::new(), read: None }
	}

	/// The keys kept in `directory`.
	pub fn open(directory: &Path) -> Result<Self, KeyringError> {
		let mut keyring = Self::empty(directory);
		keyring.refresh()?;
		Ok(keyring)
	}

	/// Reads the file again, if it was written since. Whether it was.
	pub fn refresh(&mut self) -> Result<bool, KeyringError> {
		let modified = self.modified();
		if modified.is_none() || modified == self.read {
			return Ok(false);
		}
		let text = std::fs::read(&self.path).map_err(state::at(&self.path))?;
		let entries: Vec<Entry> =
			serde_json::from_slice(&text).map_err(|_| KeyringError::Content(self.path.clone()))?;
		self.keys = entries.into_iter().map(|Entry { number, secret }| TierKey { number, secret }).collect();
		self.read = modified;
		Ok(true)
	}

	fn modified(&self) -> Option<SystemTime> {
		std::fs::metadata(&self.path).and_then(|metadata| metadata.modified()).ok()
	}

	/// The keys, oldest first.
	pub fn keys(&self) -> &[TierKey] {
		&self.keys
	}

	/// The key that seals.
	pub fn newest(&self) -> Option<&TierKey> {
		self.keys.last()
	}

	/// Keeps a key with a higher number than all before it. Whether it is one of those that are kept now: an older one,
	/// which somebody sends once more, is not taken back.
	pub fn add(&mut self, key: TierKey) -> Result<bool, KeyringError> {
		if self.newest().is_some_and(|newest| newest.number >= key.number) {
			return Ok(self.keys.contains(&key));
		}
		let mut keys = self.keys.clone();
		keys.push(key);
		let surplus = keys.len().saturating_sub(KEPT);
		keys.drain(..surplus);
		let entries: Vec<_> = keys.iter().map(|key| Entry { number: key.number, secret: key.secret }).collect();
		// Numbers and text always serialize.
		let text = serde_json::to_vec_pretty(&entries).unwrap_or_default();
		state::replace(&self.path, &text, state::Durable::Yes)?;
		self.keys = keys;
		self.read = self.modified();
		Ok(true)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::os::unix::fs::PermissionsExt;

	fn key(number: u32) -> TierKey {
		TierKey { number, secret: [number as u8; 32] }
	}

	#[test]
	fn the_last_two_keys_are_kept_for_the_owner_alone() {
		let directory = tempfile::tempdir().unwrap();
		let mut keyring = Keyring::open(directory.path()).unwrap();
		assert!(keyring.newest().is_none());
		for number in 1..=3 {
			assert!(keyring.add(key(number)).unwrap());
		}
		assert_eq!(keyring.keys(), [key(2), key(3)]);
		let again = Keyring::open(directory.path()).unwrap();
		assert_eq!(again.keys(), [key(2), key(3)]);
		let mode = std::fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
		assert_eq!(mode & 0o777, 0o600);
	}

	#[test]
	fn a_key_that_is_sent_again_is_known_and_an_older_one_is_not_taken_back() {
		let directory = tempfile::tempdir().unwrap();
		let mut keyring = Keyring::open(directory.path()).unwrap();
		for number in [1, 2, 5] {
			keyring.add(key(number)).unwrap();
		}
		assert!(keyring.add(key(5)).unwrap());
		assert!(!keyring.add(key(1)).unwrap());
		assert!(!keyring.add(TierKey { number: 5, secret: [9; 32] }).unwrap(), "one number is one key");
		assert_eq!(keyring.keys(), [key(2), key(5)]);
	}

	#[test]
	fn what_another_process_wrote_is_read_once() {
		let directory = tempfile::tempdir().unwrap();
		let mut reader = Keyring::open(directory.path()).unwrap();
		assert!(!reader.refresh().unwrap());
		Keyring::open(directory.path()).unwrap().add(key(1)).unwrap();
		assert!(reader.refresh().unwrap());
		assert!(!reader.refresh().unwrap());
		assert_eq!(reader.newest(), Some(&key(1)));
	}

	#[test]
	fn a_file_that_makes_no_sense_is_refused_without_telling_it() {
		let directory = tempfile::tempdir().unwrap();
		std::fs::write(directory.path().join(FILE), "[{\"number\":1,\"secret\":\"0xsecret\"}]").unwrap();
		let error = Keyring::open(directory.path()).unwrap_err();
		assert!(matches!(error, KeyringError::Content(_)));
		assert!(!error.to_string().contains("0x"));
	}
}
