//! Reads the account's secret from a file that nobody else can read.

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

/// The key pair of the secret phrase, 0x seed or derivation path (`//Alice`) in the file.
///
/// The mode and owner are those of the file that was opened, wherever a link may point a moment later.
pub fn load(path: &Path) -> Result<sr25519::Pair, KeyError> {
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
	sr25519::Pair::from_string(secret, None).map_err(|_| refused())
}
