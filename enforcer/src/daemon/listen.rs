//! A socket that another program, such as Suricata, connects to and writes lines to: a stream (`filetype: unix_stream`) or
//! datagrams of a line each (`unix_dgram`).
//!
//! # Security considerations
//!
//! Whoever may write to the socket may raise alerts. It has its mode before it has its name, so nobody else can connect
//! in between, and it takes the place of a socket that nobody listens on any more, but of nothing else. Writers are bounded
//! ([`MAX_WRITERS`]), and so is what is kept of each: one line, of which too long a one is reported as such and skipped.

use super::{
	now_ms,
	tail::{directory_of, LineError, Lines},
};
use crate::core::alert::MAX_LINE;
use serde::Deserialize;
use std::{
	fs::{self, Permissions},
	io,
	os::unix::{
		fs::{FileTypeExt, PermissionsExt},
		net,
	},
	path::{Path, PathBuf},
	sync::Arc,
	time::Duration,
};
use tokio::{
	io::AsyncReadExt,
	net::{UnixDatagram, UnixListener, UnixStream},
	sync::Semaphore,
	task::block_in_place,
	time::sleep,
};
use tracing::{debug, info, warn};

/// Connections at a time; more wait.
pub const MAX_WRITERS: usize = 16;
/// Bytes read at once from a connection.
const BUFFER: usize = 16 * 1024;
/// Pause after the operating system refused something.
const PAUSE: Duration = Duration::from_secs(1);

/// What a socket carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
	/// Lines, one after another.
	#[default]
	Stream,
	/// A line each.
	Datagram,
}

/// Who may write to a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub enum Access {
	/// The enforcer's user and its group.
	#[default]
	#[serde(rename = "0660")]
	Group,
	/// The enforcer's user.
	#[serde(rename = "0600")]
	Owner,
}

impl Access {
	const fn mode(self) -> u32 {
		match self {
			Self::Group => 0o660,
			Self::Owner => 0o600,
		}
	}
}

/// Why a socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
	/// The operating system refused it.
	#[error("{}: {source}", .path.display())]
	Io {
		/// The socket.
		path: PathBuf,
		/// Why.
		source: io::Error,
	},
	/// A file or a directory has its name.
	#[error("{}: something else has this name", .0.display())]
	NotASocket(PathBuf),
	/// Another program listens there.
	#[error("{}: another program listens there", .0.display())]
	InUse(PathBuf),
}

/// A socket that listens.
#[derive(Debug)]
pub struct Socket {
	path: PathBuf,
	ear: Ear,
}

#[derive(Debug)]
enum Ear {
	Stream(UnixListener),
	Datagram(UnixDatagram),
}

impl Socket {
	/// Makes the socket, in place of one that nobody listens on any more. Its directory must exist. To be called in a
	/// runtime.
	pub fn bind(path: &Path, kind: Kind, access: Access) -> Result<Self, ListenError> {
		make_room(path)?;
		let ear = bind(path, kind, access).map_err(|source| ListenError::Io { path: path.into(), source })?;
		Ok(Self { path: path.into(), ear })
	}

	/// Hands every line that is written to `deliver`, which may wait for the disk. Never ends. Needs a runtime of several
	/// threads, so that nothing else waits with it.
	pub async fn serve<F>(self, deliver: F)
	where
		F: Fn(Result<&[u8], LineError>) + Send + Sync + 'static,
	{
		let path = self.path.display().to_string();
		match self.ear {
			Ear::Stream(listener) => serve_streams(&path, listener, Arc::new(deliver)).await,
			Ear::Datagram(socket) => serve_datagrams(&path, socket, deliver).await,
		}
	}
}

/// Refuses a name that is taken, unless by a socket that nobody listens on.
fn make_room(path: &Path) -> Result<(), ListenError> {
	let failed = |source| ListenError::Io { path: path.into(), source };
	match fs::symlink_metadata(path) {
		Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
		Err(error) => return Err(failed(error)),
		Ok(found) if !found.file_type().is_socket() => return Err(ListenError::NotASocket(path.into())),
		Ok(_) => {}
	}
	match net::UnixStream::connect(path) {
		Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
		// Somebody listens for datagrams.
		Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => Err(ListenError::InUse(path.into())),
		Err(error) => Err(failed(error)),
		Ok(_) => Err(ListenError::InUse(path.into())),
	}
}

fn bind(path: &Path, kind: Kind, access: Access) -> io::Result<Ear> {
	// In a directory that nobody else may enter, it gets its mode; then it moves out.
	let mut private = tempfile::Builder::new();
	let private = private.prefix(".rf").rand_bytes(4).permissions(Permissions::from_mode(0o700));
	let private = private.tempdir_in(directory_of(path))?;
	let unready = private.path().join("s");
	let ear = match kind {
		Kind::Stream => {
			let listener = net::UnixListener::bind(&unready)?;
			listener.set_nonblocking(true)?;
			Ear::Stream(UnixListener::from_std(listener)?)
		}
		Kind::Datagram => {
			let socket = net::UnixDatagram::bind(&unready)?;
			socket.set_nonblocking(true)?;
			Ear::Datagram(UnixDatagram::from_std(socket)?)
		}
	};
	fs::set_permissions(&unready, Permissions::from_mode(access.mode()))?;
	fs::rename(&unready, path)?;
	Ok(ear)
}

async fn serve_streams<F>(path: &str, listener: UnixListener, deliver: Arc<F>)
where
	F: Fn(Result<&[u8], LineError>) + Send + Sync + 'static,
{
	let places = Arc::new(Semaphore::new(MAX_WRITERS));
	// The semaphore is never closed, so there is always a place some time.
	while let Ok(place) = places.clone().acquire_owned().await {
		match listener.accept().await {
			Ok((stream, _)) => {
				info!(at = now_ms(), path, "a sensor connected");
				let (path, deliver) = (path.to_owned(), deliver.clone());
				tokio::spawn(async move {
					let ended = read_stream(stream, &*deliver).await;
					info!(
						at = now_ms(),
						path,
						cause = ended.err().map(|cause| cause.to_string()),
						"a sensor disconnected"
					);
					drop(place);
				});
			}
			Err(cause) => {
				warn!(at = now_ms(), path, %cause, "the sensor's socket");
				sleep(PAUSE).await;
			}
		}
	}
}

/// Reads one connection to its end.
async fn read_stream<F>(mut stream: UnixStream, deliver: &F) -> io::Result<()>
where
	F: Fn(Result<&[u8], LineError>) + Sync,
{
	let mut lines = Lines::default();
	let mut buffer = vec![0; BUFFER];
	let ended = loop {
		match stream.read(&mut buffer).await {
			Ok(0) => break Ok(()),
			Ok(read) => block_in_place(|| lines.push(&buffer[..read], &mut |line| deliver(line))),
			Err(cause) => break Err(cause),
		}
	};
	lines.cut_off(&mut |line| deliver(line));
	ended
}

async fn serve_datagrams<F>(path: &str, socket: UnixDatagram, deliver: F)
where
	F: Fn(Result<&[u8], LineError>) + Send + Sync,
{
	// The longest line and its newline; what fills one byte more is too long, and may have been cut.
	let mut buffer = vec![0; MAX_LINE + 2];
	loop {
		match socket.recv(&mut buffer).await {
			Ok(read) => {
				block_in_place(|| {
					let mut lines = Lines::default();
					lines.push(&buffer[..read], &mut |line| deliver(line));
					if !buffer[..read].ends_with(b"\n") {
						lines.push(b"\n", &mut |line| deliver(line));
					}
				});
			}
			Err(cause) => {
				debug!(path, %cause, "the sensor's socket");
				sleep(PAUSE).await;
			}
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::{io::Write, os::unix::fs::MetadataExt};
	use tempfile::TempDir;
	use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver};

	type Delivered = UnboundedReceiver<Result<String, LineError>>;

	/// A socket that is served, its path, and what it delivers.
	fn served(directory: &TempDir, kind: Kind) -> (PathBuf, Delivered) {
		let path = directory.path().join("eve.sock");
		let socket = Socket::bind(&path, kind, Access::Group).unwrap();
		let (sender, receiver) = unbounded_channel();
		tokio::spawn(socket.serve(move |line: Result<&[u8], LineError>| {
			let line = line.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
			// The test may have seen enough.
			let _ = sender.send(line);
		}));
		(path, receiver)
	}

	async fn next(delivered: &mut Delivered) -> Result<String, LineError> {
		delivered.recv().await.unwrap()
	}

	#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
	async fn several_writers_come_and_go() {
		let directory = tempfile::tempdir().unwrap();
		let (path, mut delivered) = served(&directory, Kind::Stream);
		let mut first = net::UnixStream::connect(&path).unwrap();
		first.write_all(b"one\nhal").unwrap();
		assert_eq!(next(&mut delivered).await, Ok("one".into()));
		let mut second = net::UnixStream::connect(&path).unwrap();
		second.write_all(b"two\n").unwrap();
		assert_eq!(next(&mut delivered).await, Ok("two".into()));
		first.write_all(b"f\n").unwrap();
		assert_eq!(next(&mut delivered).await, Ok("half".into()));
		second.write_all(b"broken off").unwrap();
		drop(second);
		assert_eq!(next(&mut delivered).await, Err(LineError::CutOff));
		drop(first);
		net::UnixStream::connect(&path).unwrap().write_all(b"again\n").unwrap();
		assert_eq!(next(&mut delivered).await, Ok("again".into()));
	}

	#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
	async fn a_writer_more_than_there_are_places_waits_for_one() {
		let directory = tempfile::tempdir().unwrap();
		let (path, mut delivered) = served(&directory, Kind::Stream);
		let mut writers: Vec<_> = (0..MAX_WRITERS).map(|_| net::UnixStream::connect(&path).unwrap()).collect();
		for writer in &mut writers {
			writer.write_all(b"here\n").unwrap();
			assert_eq!(next(&mut delivered).await, Ok("here".into()));
		}
		let mut late = net::UnixStream::connect(&path).unwrap();
		late.write_all(b"late\n").unwrap();
		writers[0].write_all(b"still here\n").unwrap();
		assert_eq!(next(&mut delivered).await, Ok("still here".into()));
		drop(writers.swap_remove(0));
		assert_eq!(next(&mut delivered).await, Ok("late".into()));
	}

	#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
	async fn a_line_that_takes_long_keeps_nothing_else_waiting() {
		let directory = tempfile::tempdir().unwrap();
		let path = directory.path().join("s");
		let socket = Socket::bind(&path, Kind::Stream, Access::Group).unwrap();
		let (begun, mut began) = unbounded_channel();
		let (go, gone) = std::sync::mpsc::channel::<()>();
		let gone = std::sync::Mutex::new(gone);
		tokio::spawn(socket.serve(move |_: Result<&[u8], LineError>| {
			begun.send(()).unwrap();
			// An error: the test is over.
			let _ = gone.lock().unwrap().recv();
		}));
		net::UnixStream::connect(&path).unwrap().write_all(b"one\n").unwrap();
		began.recv().await.unwrap();
		// There is one thread for tasks, and this is one.
		tokio::spawn(async {}).await.unwrap();
		drop(go);
	}

	#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
	async fn datagrams_are_lines_with_a_newline_or_without() {
		let directory = tempfile::tempdir().unwrap();
		let (path, mut delivered) = served(&directory, Kind::Datagram);
		let writer = net::UnixDatagram::unbound().unwrap();
		writer.send_to(b"one", &path).unwrap();
		writer.send_to(b"two\n", &path).unwrap();
		writer.send_to(b"three\nfour", &path).unwrap();
		for expected in ["one", "two", "three", "four"] {
			assert_eq!(next(&mut delivered).await, Ok(expected.into()));
		}
		for (length, ending, expected) in
			[(MAX_LINE, "\n", true), (MAX_LINE + 1, "", false), (MAX_LINE + 900, "\n", false)]
		{
			let line = "x".repeat(length);
			writer.send_to(format!("{line}{ending}").as_bytes(), &path).unwrap();
			let expected = if expected { Ok(line) } else { Err(LineError::TooLong) };
			assert!(next(&mut delivered).await == expected, "{length}");
		}
	}

	#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
	async fn an_endless_line_of_a_stream_is_reported_once() {
		let directory = tempfile::tempdir().unwrap();
		let (path, mut delivered) = served(&directory, Kind::Stream);
		let mut writer = UnixStream::connect(&path).await.unwrap();
		let long = vec![b'x'; 10 * MAX_LINE];
		tokio::io::AsyncWriteExt::write_all(&mut writer, &long).await.unwrap();
		tokio::io::AsyncWriteExt::write_all(&mut writer, b"\nshort\n").await.unwrap();
		assert_eq!(next(&mut delivered).await, Err(LineError::TooLong));
		assert_eq!(next(&mut delivered).await, Ok("short".into()));
	}

	#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
	async fn the_mode_is_what_was_asked_for_and_nothing_else_is_left_behind() {
		let directory = tempfile::tempdir().unwrap();
		for (access, mode) in [(Access::Group, 0o660), (Access::Owner, 0o600)] {
			for kind in [Kind::Stream, Kind::Datagram] {
				let path = directory.path().join("s");
				let _socket = Socket::bind(&path, kind, access).unwrap();
				assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
				assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
				fs::remove_file(&path).unwrap();
			}
		}
	}

	#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
	async fn only_a_socket_that_nobody_listens_on_is_replaced() {
		let directory = tempfile::tempdir().unwrap();
		let path = directory.path().join("s");
		for kind in [Kind::Stream, Kind::Datagram] {
			let first = Socket::bind(&path, kind, Access::Group).unwrap();
			for other in [Kind::Stream, Kind::Datagram] {
				assert!(
					matches!(Socket::bind(&path, other, Access::Group), Err(ListenError::InUse(_))),
					"{kind:?} {other:?}"
				);
			}
			drop(first);
			assert!(path.exists(), "a stale socket is left, as after a crash");
		}
		drop(Socket::bind(&path, Kind::Stream, Access::Group).unwrap());
		fs::remove_file(&path).unwrap();
		fs::write(&path, "precious").unwrap();
		assert!(matches!(Socket::bind(&path, Kind::Stream, Access::Group), Err(ListenError::NotASocket(_))));
		assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
		let missing = directory.path().join("missing/s");
		assert!(matches!(Socket::bind(&missing, Kind::Stream, Access::Group), Err(ListenError::Io { .. })));
	}
}
