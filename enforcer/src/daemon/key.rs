//! Reads the account's secret from a file that nobody else can read.

use crate::core::{blake2_256, envelope::Keypair};
use sp_core::{sr25519, Pair};
use std::{
	fs::OpenOptions,
	io::{self, Read},
	os::unix::fs::{MetadataExt, OpenOptionsExt},
	path::{Path, PathBuf},
};

/// Bytes that a key file may have: a phrase of 24 words with a long derivation path is far shorter.
const MAX_LEN: u64 = 4_096;

/// Why a key file was refused. Never says what is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
	/// The file could not be read.
	#[error("{}: {source}", .path.display())]
	Io {
		/// The file.
		path: PathBuf,
		/// Why.
		source: io::Error,
	},
	/// Not a regular file.
	#[error("{}: not a regular file", .0.display())]
	NotAFile(PathBuf),
	/// Somebody else may read or write it.
	#[error("{}: mode {mode:04o}, must be 0600 or 0400", .path.display())]
	Mode {
		/// The file.
		path: PathBuf,
		/// Its permission bits.
		mode: u32,
	},
	/// It belongs to somebody else.
	#[error("{}: belongs to user {owner}, must belong to user {expected}", .path.display())]
	Owner {
		/// The file.
		path: PathBuf,
		/// Whose it is.
		owner: u32,
		/// Who runs this process.
		expected: u32,
	},
	/// Not one line that holds a secret.
	#[error("{}: not one line with a secret phrase, a 0x seed or a derivation path", .0.display())]
	Content(PathBuf),
}

/// Everything that one secret gives.
#[derive(Clone)]
pub struct Keys {
	/// Signs transactions.
	pub account: sr25519::Pair,
	/// Opens envelopes.
	pub envelope: Keypair,
}

impl Keys {
	/// The keys of a secret phrase, 0x seed or derivation path (`//Alice`); None for any other text.
	pub fn of(secret: &str) -> Option<Self> {
		let (account, seed) = sr25519::Pair::from_string_with_seed(secret, None).ok()?;
		// A soft derivation (`/0`) leaves no seed: the half of the secret key that is no random nonce takes its place.
		let seed = seed.unwrap_or_else(|| blake2_256(account.to_raw_vec().get(..32).unwrap_or_default()));
		Some(Self { account, envelope: Keypair::from_seed(seed) })
	}
}

/// The key pair of the secret phrase, 0x seed or derivation path (`//Alice`) in the file.
pub fn load(path: &Path) -> Result<sr25519::Pair, KeyError> {
	load_all(path).map(|keys| keys.account)
}

/// All keys of the secret in the file.
///
/// The mode and owner are those of the file that was opened, wherever a link may point a moment later.
pub fn load_all(path: &Path) -> Result<Keys, KeyError> {
	let io_error = |source| KeyError::Io { path: path.into(), source };
	// Without O_NONBLOCK, opening a named pipe would wait for a writer.
	let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(io_error)?;
	let metadata = file.metadata().map_err(io_error)?;
	if !metadata.is_file() {
		return Err(KeyError::NotAFile(path.into()));
	}
	let mode = metadata.mode() & 0o7777;
	if mode != 0o600 && mode != 0o400 {
		return Err(KeyError::Mode { path: path.into(), mode });
	}
	// SAFETY: geteuid takes nothing and cannot fail.
	let expected = unsafe { libc::geteuid() };
	if metadata.uid() != expected {
		return Err(KeyError::Owner { path: path.into(), owner: metadata.uid(), expected });
	}
	let mut bytes = Vec::new();
	file.take(MAX_LEN).read_to_end(&mut bytes).map_err(io_error)?;
	let refused = || KeyError::Content(path.into());
	let secret = std::str::from_utf8(&bytes).map_err(|_| refused())?.trim();
	if secret.is_empty() || secret.contains('\n') {
		return Err(refused());
	}
	Keys::of(secret).ok_or_else(refused)
}
