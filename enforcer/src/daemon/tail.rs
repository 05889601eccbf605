//! Follows a log file: whole lines, as they are written, through rotation and truncation.
//!
//! Following starts at the end of the file, because alerts from before the start are old news; a file that appears
//! later is read from its beginning. A renamed file is read on until its successor has something in it, which is when
//! the writer has moved over, so that no line is lost whichever of them logrotate makes first. Truncation in place
//! (`copytruncate`) is noticed when the file is shorter than what was read of it; a writer that fills it up again
//! before anybody looks hides it, which is why logrotate's manual warns of lost data there.
//!
//! Memory is bounded: a line of more than [`MAX_LINE`] bytes is reported as such and skipped to its end.

use crate::core::alert::MAX_LINE;
use inotify::{EventMask, Inotify, WatchMask};
use std::{
	fs::{File, Metadata, OpenOptions},
	io::{self, Read, Seek, SeekFrom},
	os::unix::fs::{MetadataExt, OpenOptionsExt},
	path::{Path, PathBuf},
};

/// Bytes read at once.
const BUFFER: usize = 64 * 1024;

/// Why a file cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
	/// The file or its directory.
	#[error("{}: {source}", .path.display())]
	Io {
		/// Which.
		path: PathBuf,
		/// Why.
		source: io::Error,
	},
	/// A pipe or a directory, say.
	#[error("{}: not a regular file", .0.display())]
	NotAFile(PathBuf),
	/// The directory was removed or renamed.
	#[error("{}: the directory is gone", .0.display())]
	Gone(PathBuf),
}

/// Why a line is not delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LineError {
	/// More than [`MAX_LINE`] bytes.
	#[error("longer than 64 KiB")]
	TooLong,
	/// The file ended before the line did, by rotation or truncation, or the connection.
	#[error("cut off before its end")]
	CutOff,
}

/// Receives each line without its newline, or why there is none.
pub type Sink<'a> = &'a mut dyn FnMut(Result<&[u8], LineError>);

/// A file that is followed.
#[derive(Debug)]
pub struct Tail {
	path: PathBuf,
	directory: PathBuf,
	inotify: Inotify,
	file: Option<Followed>,
	lines: Lines,
	buffer: Vec<u8>,
}

#[derive(Debug)]
struct Followed {
	file: File,
	/// Device and inode: the name may come to mean another file.
	identity: (u64, u64),
	offset: u64,
}

fn identity(metadata: &Metadata) -> (u64, u64) {
	(metadata.dev(), metadata.ino())
}

impl Tail {
	/// Follows `path` from its end, or from its beginning if it does not exist yet. Its directory must exist.
	pub fn open(path: &Path) -> Result<Self, TailError> {
		let directory = directory_of(path);
		let inotify = watch(&directory).map_err(|source| TailError::Io { path: directory.clone(), source })?;
		let mut tail = Self {
			path: path.into(),
			directory,
			inotify,
			file: None,
			lines: Lines::default(),
			buffer: vec![0; BUFFER],
		};
		// The watch is set before the file is opened, so nothing written in between goes unnoticed.
		tail.file = tail.open_file()?;
		if let Some(followed) = &mut tail.file {
			let io_error = |source| TailError::Io { path: path.into(), source };
			(followed.offset, tail.lines.skipping) = last_line_start(&mut followed.file).map_err(io_error)?;
		}
		Ok(tail)
	}

	/// Blocks until something happened in the file's directory.
	pub fn wait(&mut self) -> Result<(), TailError> {
		let mut buffer = [0; 4_096];
		let gone = match self.inotify.read_events_blocking(&mut buffer) {
			Ok(mut events) => {
				let gone = EventMask::IGNORED | EventMask::UNMOUNT | EventMask::MOVE_SELF | EventMask::DELETE_SELF;
				events.any(|event| event.mask.intersects(gone))
			}
			Err(e) if e.kind() == io::ErrorKind::Interrupted => false,
			Err(source) => return Err(TailError::Io { path: self.directory.clone(), source }),
		};
		if gone {
			return Err(TailError::Gone(self.directory.clone()));
		}
		Ok(())
	}

	/// Hands everything that was written since the last time to `sink`.
	pub fn read(&mut self, sink: Sink<'_>) -> Result<(), TailError> {
		loop {
			self.drain(sink)?;
			let Some(next) = self.successor()? else { return Ok(()) };
			// The writer may have added to the old file between the two looks; now it has moved over for good.
			self.drain(sink)?;
			self.lines.cut_off(sink);
			self.file = Some(next);
		}
	}

	/// Reads the current file to its end.
	fn drain(&mut self, sink: Sink<'_>) -> Result<(), TailError> {
		let Some(followed) = &mut self.file else { return Ok(()) };
		let io_error = |source| TailError::Io { path: self.path.clone(), source };
		loop {
			if followed.file.metadata().map_err(io_error)?.len() < followed.offset {
				self.lines.cut_off(sink);
				followed.offset = 0;
			}
			followed.file.seek(SeekFrom::Start(followed.offset)).map_err(io_error)?;
			match followed.file.read(&mut self.buffer) {
				Ok(0) => return Ok(()),
				Ok(read) => {
					followed.offset += read as u64;
					self.lines.push(&self.buffer[..read], sink);
				}
				Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
				Err(source) => return Err(io_error(source)),
			}
		}
	}

	/// The file that took the place of the current one and is in use.
	fn successor(&self) -> Result<Option<Followed>, TailError> {
		let Some(current) = &self.file else { return self.open_file() };
		match std::fs::metadata(&self.path) {
			Ok(metadata) if identity(&metadata) != current.identity && metadata.len() > 0 => self.open_file(),
			Err(source) if source.kind() != io::ErrorKind::NotFound => {
				Err(TailError::Io { path: self.path.clone(), source })
			}
			_ => Ok(None),
		}
	}

	fn open_file(&self) -> Result<Option<Followed>, TailError> {
		let io_error = |source| TailError::Io { path: self.path.clone(), source };
		// Without O_NONBLOCK, opening a named pipe would wait for a writer.
		let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&self.path) {
			Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
			file => file.map_err(io_error)?,
		};
		let metadata = file.metadata().map_err(io_error)?;
		if !metadata.is_file() {
			return Err(TailError::NotAFile(self.path.clone()));
		}
		Ok(Some(Followed { file, identity: identity(&metadata), offset: 0 }))
	}
}

/// The directory that `path` lies in.
pub fn directory_of(path: &Path) -> PathBuf {
	path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).into()
}

fn watch(directory: &Path) -> io::Result<Inotify> {
	let inotify = Inotify::init()?;
	let appears = WatchMask::CREATE | WatchMask::MOVED_TO;
	let gone = WatchMask::DELETE_SELF | WatchMask::MOVE_SELF;
	inotify.watches().add(directory, WatchMask::MODIFY | appears | gone | WatchMask::ONLYDIR)?;
	Ok(inotify)
}

/// Where the last line of `file` begins: at its end, or where a line begins that is being written just now. True with
/// the end of a line that is longer than allowed, whose rest is to be skipped.
fn last_line_start(file: &mut File) -> io::Result<(u64, bool)> {
	let end = file.metadata()?.len();
	let look_back = end.min(MAX_LINE as u64);
	file.seek(SeekFrom::Start(end - look_back))?;
	let mut bytes = Vec::new();
	file.take(look_back).read_to_end(&mut bytes)?;
	Ok(match bytes.iter().rposition(|&byte| byte == b'\n') {
		Some(newline) => (end - look_back + newline as u64 + 1, false),
		None if look_back == end => (0, false),
		None => (end, true),
	})
}

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
	/// The beginning of a line whose end has not come.
	pending: Vec<u8>,
	/// Whether the bytes up to the next newline belong to a line that was given up.
	skipping: bool,
}

impl Lines {
	pub(super) fn push(&mut self, mut bytes: &[u8], sink: Sink<'_>) {
		while let Some(newline) = bytes.iter().position(|&byte| byte == b'\n') {
			let line = &bytes[..newline];
			bytes = &bytes[newline + 1..];
			if std::mem::take(&mut self.skipping) {
				continue;
			}
			if self.pending.len() + line.len() > MAX_LINE {
				sink(Err(LineError::TooLong));
			} else if self.pending.is_empty() {
				sink(Ok(line));
			} else {
				self.pending.extend_from_slice(line);
				sink(Ok(&self.pending[..]));
			}
			self.pending.clear();
		}
		if self.skipping {
			return;
		}
		if self.pending.len() + bytes.len() > MAX_LINE {
			self.pending.clear();
			self.skipping = true;
			sink(Err(LineError::TooLong));
		} else {
			self.pending.extend_from_slice(bytes);
		}
	}

	/// What is pending will never be completed.
	pub(super) fn cut_off(&mut self, sink: Sink<'_>) {
		if !self.pending.is_empty() {
			sink(Err(LineError::CutOff));
		}
		*self = Self::default();
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn cut(pieces: &[&[u8]]) -> (Vec<Result<Vec<u8>, LineError>>, Lines) {
		let (mut lines, mut seen) = (Lines::default(), Vec::new());
		for piece in pieces {
			lines.push(piece, &mut |line| seen.push(line.map(<[u8]>::to_vec)));
		}
		(seen, lines)
	}

	#[test]
	fn the_limit_is_exact() {
		let just = vec![b'a'; MAX_LINE];
		let over = vec![b'a'; MAX_LINE + 1];
		assert_eq!(cut(&[&just, b"\n"]).0, [Ok(just.clone())]);
		assert_eq!(cut(&[&over, b"\nb\n"]).0, [Err(LineError::TooLong), Ok(b"b".to_vec())]);
		let whole = [&over[..], b"\nb\n"].concat();
		assert_eq!(cut(&[&whole]).0, [Err(LineError::TooLong), Ok(b"b".to_vec())]);
	}

	#[test]
	fn an_endless_line_takes_no_memory_and_is_reported_once() {
		let block = vec![b'a'; BUFFER];
		let (seen, lines) = cut(&[&block[..]; 100]);
		assert_eq!(seen, [Err(LineError::TooLong)]);
		assert!(lines.pending.capacity() <= 2 * MAX_LINE);
	}

	proptest! {
		#[test]
		fn lines_do_not_depend_on_where_reads_end(
			bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
			cuts in proptest::collection::vec(0_usize..200, 0..5),
		) {
			let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
			cuts.sort_unstable();
			let pieces: Vec<_> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
			let mut expected: Vec<_> = bytes.split(|&byte| byte == b'\n').map(|line| Ok(line.to_vec())).collect();
			let rest = expected.pop().unwrap_or(Ok(Vec::new()));
			let (seen, lines) = cut(&pieces);
			prop_assert_eq!(seen, expected);
			prop_assert_eq!(Ok(lines.pending), rest);
		}
	}
}
