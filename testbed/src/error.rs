//! What can go wrong in the testbed, told with the last lines of the log that explains it.

use std::{io, path::PathBuf, time::Duration};

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the testbed gave up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// Not run as root.
	#[error("network namespaces need root: run this again as root or with sudo")]
	NotRoot,
	/// A tool is not on the path.
	#[error("`{0}` is not installed; scripts/setup installs it")]
	Missing(&'static str),
	/// A binary of the workspace is not there.
	#[error("{0} is not there: build the workspace first (cargo build --release), or set RINGFENCE_BIN_DIR")]
	NotBuilt(PathBuf),
	/// The raw chain specification is not there.
	#[error("no chain specification at {0}: scripts/chain-spec makes it; RINGFENCE_CHAIN_SPEC names another")]
	NoChainSpec(PathBuf),
	/// A file, socket or namespace failed.
	#[error("{what}: {source}")]
	Io {
		/// What was tried.
		what: String,
		/// The cause.
		source: io::Error,
	},
	/// A tool said no.
	#[error("`{command}` failed: {stderr}")]
	Command {
		/// The command line.
		command: String,
		/// What it wrote.
		stderr: String,
	},
	/// A node's RPC failed.
	#[error("{what}: {source}")]
	Rpc {
		/// What was asked.
		what: String,
		/// The cause.
		source: Box<jsonrpsee::core::client::Error>,
	},
	/// The runtime could not be used, or did not take a block.
	#[error(transparent)]
	Workbench(#[from] ringfence_workbench::Error),
	/// The attack generator sends nothing there, or not so much.
	#[error("nothing was sent: {0}")]
	Flood(#[from] crate::flood::Refusal),
	/// Something that ought to be well-formed was not.
	#[error("{what}: {cause}")]
	Malformed {
		/// What was read.
		what: String,
		/// The cause.
		cause: String,
	},
	/// The chain did not take a transaction.
	#[error("{what} was refused: {cause}")]
	Refused {
		/// The transaction.
		what: String,
		/// The cause.
		cause: String,
	},
	/// Something did not happen in time.
	#[error("waited {} s for {what}{log}", .within.as_secs_f32())]
	Deadline {
		/// What was awaited.
		what: String,
		/// For how long.
		within: Duration,
		/// The last lines of the log concerned; may be empty.
		log: String,
	},
	/// A process ended that was needed.
	#[error("{name} ended while this was awaited: {what}{log}")]
	Ended {
		/// The process.
		name: String,
		/// What was awaited of it.
		what: String,
		/// The last lines of its log.
		log: String,
	},
	/// Ctrl-C, or another request to stop.
	#[error("interrupted")]
	Interrupted,
}

/// Says what was tried.
pub trait Context<T> {
	/// Wraps the cause.
	fn context(self, what: impl Into<String>) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
	fn context(self, what: impl Into<String>) -> Result<T> {
		self.map_err(|source| Error::Io { what: what.into(), source })
	}
}

impl<T> Context<T> for Result<T, jsonrpsee::core::client::Error> {
	fn context(self, what: impl Into<String>) -> Result<T> {
		self.map_err(|source| Error::Rpc { what: what.into(), source: Box::new(source) })
	}
}
