//! Tells the service manager that started this process how it is doing, in the way of `sd_notify(3)`: datagrams to a
//! socket that the environment names. systemd restarts a daemon that says nothing for the time of its watchdog.
//!
//! # Security considerations
//!
//! `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` are set by whoever starts the process. Nothing is read from the
//! socket, and a write never waits. The status line is cut and freed of line breaks, so that no part of it is taken for
//! another assignment.

use super::{
	now_ms,
	status::{Board, Status},
};
use ringfence_primitives::Millis;
use std::{
	env,
	ffi::OsStr,
	future::{pending, Future},
	io,
	os::{
		linux::net::SocketAddrExt,
		unix::{
			ffi::OsStrExt,
			net::{SocketAddr, UnixDatagram},
		},
	},
	sync::Arc,
	time::Duration,
};
use tokio::time::{interval, timeout, MissedTickBehavior};
use tracing::{debug, warn};

/// Characters that a status line may have.
const MAX_STATUS: usize = 200;
/// How often the status line follows the board where no watchdog sets the pace.
const PACE: Duration = Duration::from_secs(10);
/// A watchdog's time holds this many signs of life, so that one may be late.
const SIGNS: u32 = 3;

/// The service manager, if it wants to be told. Without one every call does nothing.
#[derive(Debug, Default)]
pub struct Supervisor {
	line: Option<(UnixDatagram, SocketAddr)>,
	/// The time after which it takes a silent process for dead.
	watchdog: Option<Duration>,
}

impl Supervisor {
	/// The one that the environment names. A variable that makes no sense is logged and ignored.
	pub fn from_env() -> Self {
		let Some(address) = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
			return Self::default();
		};
		let watchdog = watchdog(
			env::var("WATCHDOG_USEC").ok().as_deref(),
			env::var("WATCHDOG_PID").ok().as_deref(),
			std::process::id(),
		);
		Self::at(&address, watchdog).unwrap_or_else(|cause| {
			warn!(at = now_ms(), %cause, "NOTIFY_SOCKET cannot be used: the service manager is told nothing");
			Self::default()
		})
	}

	/// The one that listens at `address`: a path, or `@` and a name in the abstract namespace.
	fn at(address: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
		let address = match address.as_bytes() {
			[b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
			[b'/', ..] => SocketAddr::from_pathname(address)?,
			_ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor @name")),
		};
		let socket = UnixDatagram::unbound()?;
		socket.set_nonblocking(true)?;
		Ok(Self { line: Some((socket, address)), watchdog })
	}

	/// Says that protection is in force: the firewall holds what was last known. No node is needed for that.
	pub fn ready(&self) {
		self.send("READY=1");
	}

	/// Says that the process is about to end.
	pub fn stopping(&self) {
		self.send("STOPPING=1");
	}

	/// Shows `text` to whoever asks the service manager, as one line of at most [`MAX_STATUS`] characters.
	pub fn status(&self, text: &str) {
		self.send(&format!("STATUS={}", line(text)));
	}

	/// Signs of life, for as long as `probe` answers true within a third of the watchdog's time, and the board's summary
	/// whenever it changed. Never ends.
	///
	/// What the probe asks must be what a dead daemon would not answer: the actor that owns the firewall.
	pub async fn keep_told<P, F>(self: Arc<Self>, board: Arc<Board>, mut probe: P)
	where
		P: FnMut() -> F,
		F: Future<Output = bool>,
	{
		if self.line.is_none() {
			return pending().await;
		}
		let pace = self.watchdog.map_or(PACE, |watchdog| watchdog / SIGNS);
		let mut ticks = interval(pace);
		ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
		let mut shown = None;
		loop {
			ticks.tick().await;
			let summary = summary(&board.snapshot(), now_ms());
			if shown.as_ref() != Some(&summary) {
				self.status(&summary);
				shown = Some(summary);
			}
			if self.watchdog.is_none() {
				continue;
			}
			match timeout(pace, probe()).await {
				Ok(true) => self.send("WATCHDOG=1"),
				_ => warn!(
					at = now_ms(),
					"no answer from the firewall's task; the service manager is not told that all is well"
				),
			}
		}
	}

	fn send(&self, message: &str) {
		let Some((socket, address)) = &self.line else { return };
		// A manager that does not read loses a line; protection goes on.
		if let Err(cause) = socket.send_to_addr(message.as_bytes(), address) {
			debug!(at = now_ms(), %cause, "service manager not told");
		}
	}
}

/// The watchdog's time, if it is meant for the process `own`.
fn watchdog(micros: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
	if pid.is_some_and(|pid| pid.parse() != Ok(own)) {
		return None;
	}
	// Zero would have no pace; a time under a millisecond is nobody's wish.
	micros?.parse().ok().map(Duration::from_micros).filter(|time| *time >= Duration::from_millis(1))
}

/// `text` as one bounded line.
fn line(text: &str) -> String {
	text.chars().take(MAX_STATUS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The state of protection at `now`, in a sentence.
fn summary(status: &Status, now: Millis) -> String {
	let seq = status.seq;
	match (status.stale(now), &status.endpoint) {
		(Some(reason), _) if status.enforcing => {
			format!("Stale at change {seq}: {reason}. What is blocked stays blocked")
		}
		(Some(reason), _) => format!("Stale: {reason}"),
		(None, Some(endpoint)) if status.enforcing => format!("Up to date at change {seq}, by {endpoint}"),
		(None, endpoint) => format!("Connected to {}; enforces nothing", endpoint.as_deref().unwrap_or("no node")),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::{
		future::ready,
		path::Path,
		sync::atomic::{AtomicU32, Ordering},
	};

	/// A service manager in `directory`, and the line to it.
	fn manager(directory: &Path, watchdog: Option<Duration>) -> (tokio::net::UnixDatagram, Arc<Supervisor>) {
		let path = directory.join("notify");
		let manager = tokio::net::UnixDatagram::bind(&path).unwrap();
		(manager, Arc::new(Supervisor::at(path.as_os_str(), watchdog).unwrap()))
	}

	async fn heard(manager: &tokio::net::UnixDatagram) -> String {
		let mut buffer = [0; 1_024];
		let received = timeout(Duration::from_secs(10), manager.recv(&mut buffer)).await;
		let length = received.expect("something is said in time").unwrap();
		String::from_utf8(buffer[..length].to_vec()).unwrap()
	}

	#[tokio::test]
	async fn the_manager_hears_of_start_and_end() {
		let directory = tempfile::tempdir().unwrap();
		let (manager, supervisor) = manager(directory.path(), None);
		supervisor.ready();
		supervisor.status("fine\nWATCHDOG=1");
		supervisor.stopping();
		assert_eq!(heard(&manager).await, "READY=1");
		assert_eq!(heard(&manager).await, "STATUS=fine WATCHDOG=1", "a status cannot say anything else");
		assert_eq!(heard(&manager).await, "STOPPING=1");
	}

	#[tokio::test]
	async fn a_task_that_hangs_is_not_vouched_for() {
		let directory = tempfile::tempdir().unwrap();
		let (manager, supervisor) = manager(directory.path(), Some(Duration::from_millis(60)));
		let asked = Arc::new(AtomicU32::new(0));
		let count = asked.clone();
		// It hangs at first, then denies that all is well, then answers.
		let probe = move || {
			let turn = count.fetch_add(1, Ordering::SeqCst);
			async move {
				match turn {
					0 => pending().await,
					1 => false,
					_ => true,
				}
			}
		};
		let told = tokio::spawn(supervisor.keep_told(Board::new(Status::default()), probe));
		assert_eq!(heard(&manager).await, "STATUS=Stale: not connected to any node");
		assert_eq!(heard(&manager).await, "WATCHDOG=1");
		assert!(asked.load(Ordering::SeqCst) >= 3, "neither silence nor no is a sign of life");
		assert_eq!(heard(&manager).await, "WATCHDOG=1", "and the status is not repeated");
		told.abort();
	}

	#[tokio::test]
	async fn without_a_manager_nothing_happens() {
		let supervisor = Arc::new(Supervisor::default());
		supervisor.ready();
		supervisor.stopping();
		let told = supervisor.keep_told(Board::new(Status::default()), || ready(true));
		assert!(timeout(Duration::from_millis(10), told).await.is_err(), "it waits for ever, as the others do");
	}

	#[test]
	fn a_manager_that_is_gone_does_no_harm() {
		let directory = tempfile::tempdir().unwrap();
		let supervisor = Supervisor::at(directory.path().join("nobody").as_os_str(), None).unwrap();
		supervisor.ready();
	}

	#[test]
	fn addresses_are_paths_or_abstract_names() {
		assert!(Supervisor::at(OsStr::new("/run/systemd/notify"), None).is_ok());
		assert!(Supervisor::at(OsStr::new("@manager"), None).is_ok());
		for refused in ["run/notify", "vsock:2:1234", &format!("/{}", "long".repeat(40))] {
			assert!(Supervisor::at(OsStr::new(refused), None).is_err(), "{refused}");
		}
	}

	#[test]
	fn the_watchdog_is_the_one_of_this_process() {
		let minute = Some(Duration::from_secs(60));
		assert_eq!(watchdog(Some("60000000"), Some("7"), 7), minute);
		assert_eq!(watchdog(Some("60000000"), None, 7), minute);
		assert_eq!(watchdog(Some("60000000"), Some("8"), 7), None);
		for nonsense in ["", "0", "999", "-1", "soon", "99999999999999999999"] {
			assert_eq!(watchdog(Some(nonsense), Some("7"), 7), None, "{nonsense}");
		}
		assert_eq!(watchdog(None, Some("7"), 7), None);
	}

	#[test]
	fn a_status_line_is_cut() {
		assert_eq!(line("é\u{7}\r\nx"), "é   x");
		assert_eq!(line(&"é".repeat(1_000)).chars().count(), MAX_STATUS);
	}
}
