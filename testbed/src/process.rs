//! The processes of the testbed, what they log, and where their files lie.

use crate::{
	error::{Context, Error, Result},
	interrupted, now_ms,
};
use serde_json::Value;
use std::{
	env,
	ffi::OsStr,
	fs,
	io::{self, BufRead, BufReader, Write},
	os::unix::process::CommandExt,
	path::{Path, PathBuf},
	process::{Child, ChildStderr, Command, Stdio},
	sync::{Arc, Mutex, MutexGuard, PoisonError},
	thread::{self, JoinHandle},
	time::{Duration, Instant},
};
use tokio::{sync::watch, time::timeout};

/// Lines of a log that an error shows.
const TAIL: usize = 30;

/// The path of one of the workspace's binaries: in `RINGFENCE_BIN_DIR`, or beside the running program.
pub fn binary(name: &str) -> Result<PathBuf> {
	let beside = || {
		let running = env::current_exe().ok()?;
		// A test runs from `deps`, one folder below.
		running.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.exists())
	};
	match env::var_os("RINGFENCE_BIN_DIR") {
		Some(folder) => Some(Path::new(&folder).join(name)).filter(|path| path.exists()),
		None => beside(),
	}
	.ok_or_else(|| Error::NotBuilt(name.into()))
}

/// The raw chain specification that nodes start from.
pub fn chain_spec() -> Result<PathBuf> {
	let path = env::var_os("RINGFENCE_CHAIN_SPEC")
		.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../chain-specs/local.raw.json"), PathBuf::from);
	if path.exists() {
		Ok(path)
	} else {
		Err(Error::NoChainSpec(path))
	}
}

/// Has the process that calls this die with process `parent`, which started it. Between fork and exec.
pub(crate) fn die_with(parent: u32) -> io::Result<()> {
	// SAFETY: both calls take plain numbers and are safe between fork and exec.
	unsafe {
		if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) != 0 {
			return Err(io::Error::last_os_error());
		}
		// The parent may have died before the line above.
		if libc::getppid() as u32 != parent {
			return Err(io::ErrorKind::BrokenPipe.into());
		}
	}
	Ok(())
}

/// A command that will die with this process.
///
/// Start it from a thread that lives on: the kernel means the thread, not the process, by "parent".
pub fn command(program: impl AsRef<OsStr>) -> Command {
	let mut command = Command::new(program);
	let parent = std::process::id();
	// SAFETY: `die_with` makes system calls only; it neither allocates nor locks.
	unsafe { command.pre_exec(move || die_with(parent)) };
	command
}

/// The folder of one testbed. It goes when dropped, but for the logs when something failed.
pub struct WorkDir {
	path: PathBuf,
	finished: bool,
}

impl WorkDir {
	/// A fresh one below the system's temporary folder.
	pub fn create() -> Result<Self> {
		let folder = tempfile::Builder::new().prefix("ringfence-").tempdir().context("making a temporary folder")?;
		let this = Self { path: folder.keep(), finished: false };
		this.folder("logs")?;
		Ok(this)
	}

	/// Where it is.
	pub fn path(&self) -> &Path {
		&self.path
	}

	/// A folder within, made when missing.
	pub fn folder(&self, name: &str) -> Result<PathBuf> {
		let path = self.path.join(name);
		fs::create_dir_all(&path).context(format!("making {}", path.display()))?;
		Ok(path)
	}

	/// Where the process of this name logs.
	pub fn log(&self, name: &str) -> PathBuf {
		self.path.join("logs").join(format!("{name}.log"))
	}

	/// Says that all went well: nothing need be kept.
	pub fn finish(&mut self) {
		self.finished = true;
	}
}

impl Drop for WorkDir {
	fn drop(&mut self) {
		if self.finished || interrupted() {
			// What cannot be removed is left to the system's own care for temporary files.
			let _ = fs::remove_dir_all(&self.path);
			return;
		}
		for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
			if entry.file_name() != "logs" {
				let _ = fs::remove_dir_all(entry.path());
			}
		}
		eprintln!("the logs of every process are kept in {}", self.path.join("logs").display());
	}
}

/// One line of a log.
#[derive(Debug)]
pub struct Line {
	/// When, in Unix milliseconds: by its own word (`at`) if it has one, else when it was read.
	pub at: i64,
	/// As written.
	pub text: String,
	fields: Value,
}

impl Line {
	fn new(text: String) -> Self {
		let fields: Value = serde_json::from_str(&text).unwrap_or_default();
		let at = fields.get("at").and_then(Value::as_i64).unwrap_or_else(now_ms);
		Self { at, text, fields }
	}

	/// Whether it is a structured line with this message.
	pub fn is(&self, message: &str) -> bool {
		self.get("message") == Some(message)
	}

	/// A field that holds text.
	pub fn get(&self, field: &str) -> Option<&str> {
		self.fields.get(field)?.as_str()
	}

	/// A field that holds a number.
	pub fn number(&self, field: &str) -> Option<u64> {
		self.fields.get(field)?.as_u64()
	}

	/// Whether it is this message about this indicator.
	pub fn is_about(&self, message: &str, id: &str) -> bool {
		self.is(message) && self.get("id") == Some(id)
	}
}

#[derive(Clone, Copy)]
struct Extent {
	lines: usize,
	running: bool,
}

/// All that a process has logged so far, over its restarts.
pub struct Journal {
	name: String,
	lines: Mutex<Vec<Arc<Line>>>,
	extent: watch::Sender<Extent>,
}

impl Journal {
	fn new(name: &str) -> Self {
		let extent = watch::Sender::new(Extent { lines: 0, running: false });
		Self { name: name.to_owned(), lines: Mutex::default(), extent }
	}

	fn lock(&self) -> MutexGuard<'_, Vec<Arc<Line>>> {
		// Pushing a line cannot leave the list half-done.
		self.lines.lock().unwrap_or_else(PoisonError::into_inner)
	}

	/// The lines that pass `test`, so far.
	pub fn all(&self, test: impl Fn(&Line) -> bool) -> Vec<Arc<Line>> {
		self.lock().iter().filter(|line| test(line)).cloned().collect()
	}

	/// The first line that passes `test`, as soon as it is there. `what` says in an error what was awaited.
	pub async fn wait(&self, what: &str, within: Duration, test: impl Fn(&Line) -> bool) -> Result<Arc<Line>> {
		let mut extent = self.extent.subscribe();
		let search = async {
			let mut seen = 0;
			loop {
				let running = extent.borrow_and_update().running;
				{
					let lines = self.lock();
					if let Some(line) = lines.iter().skip(seen).find(|line| test(line)) {
						return Some(line.clone());
					}
					seen = lines.len();
				}
				// The sender is part of `self`, so `changed` fails no sooner than this ends.
				if !running || extent.changed().await.is_err() {
					return None;
				}
			}
		};
		match timeout(within, search).await {
			Ok(Some(line)) => Ok(line),
			Ok(None) => Err(Error::Ended { name: self.name.clone(), what: what.to_owned(), log: self.tail() }),
			Err(_) => Err(Error::Deadline { what: format!("{}: {what}", self.name), within, log: self.tail() }),
		}
	}

	/// Whether the process runs.
	pub fn is_running(&self) -> bool {
		self.extent.borrow().running
	}

	/// The last lines, for an error message.
	pub fn tail(&self) -> String {
		let lines = self.lock();
		let last = lines.iter().skip(lines.len().saturating_sub(TAIL)).map(|line| format!("  | {}", line.text));
		format!("\nthe last lines of {}:\n{}", self.name, last.collect::<Vec<_>>().join("\n"))
	}

	/// Takes in the lines of one run, as they come, and copies them to `log`.
	fn follow(&self, source: ChildStderr, mut log: fs::File) {
		let mut source = BufReader::new(source);
		let mut buffer = Vec::new();
		while source.read_until(b'\n', &mut buffer).is_ok_and(|length| length > 0) {
			// The log file is for people, afterwards; the testbed itself reads the journal.
			let _ = log.write_all(&buffer);
			let text = String::from_utf8_lossy(&buffer).trim_end().to_owned();
			buffer.clear();
			self.lock().push(Arc::new(Line::new(text)));
			self.extent.send_modify(|extent| extent.lines += 1);
		}
		self.extent.send_modify(|extent| extent.running = false);
	}
}

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
	/// The most that it has been.
	pub peak: u64,
	/// What it is.
	pub resident: u64,
	/// What of that is no file's: heap and stacks, and not the program itself.
	pub own: u64,
}

impl Memory {
	/// That of the process with this number; None when it is gone.
	pub fn of(pid: u32) -> Option<Self> {
		Self::parse(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
	}

	/// None for a process that has ended: it has no memory any more.
	fn parse(status: &str) -> Option<Self> {
		let bytes = |name: &str| {
			let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
			line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
		};
		Some(Self { peak: bytes("VmHWM")?, resident: bytes("VmRSS")?, own: bytes("RssAnon")? })
	}
}

/// A process of the testbed; killed when dropped.
pub struct Process {
	command: Command,
	log: PathBuf,
	journal: Arc<Journal>,
	running: Option<(Child, JoinHandle<()>)>,
	started: Instant,
}

impl Process {
	/// Starts `command`; its standard error goes to the journal and to the log file.
	pub fn start(name: &str, mut command: Command, log: PathBuf) -> Result<Self> {
		// In a process group of its own, so that Ctrl-C reaches the testbed only, which then stops all in order.
		command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
		let journal = Arc::new(Journal::new(name));
		let mut this = Self { command, log, journal, running: None, started: Instant::now() };
		this.restart()?;
		Ok(this)
	}

	/// Kills it where it runs, and starts it anew. The journal goes on.
	pub fn restart(&mut self) -> Result<()> {
		self.kill();
		let name = &self.journal.name;
		let log = fs::OpenOptions::new().create(true).append(true).open(&self.log).context(format!("log of {name}"))?;
		self.started = Instant::now();
		let mut child = self.command.spawn().context(format!("starting {name}"))?;
		let journal = self.journal.clone();
		journal.extent.send_modify(|extent| extent.running = true);
		let stderr = child.stderr.take();
		let follower = thread::spawn(move || {
			// Always there: it was asked for as a pipe.
			if let Some(stderr) = stderr {
				journal.follow(stderr, log);
			}
		});
		self.running = Some((child, follower));
		Ok(())
	}

	/// Kills it (SIGKILL) and waits until it is gone and its last line is in the journal.
	pub fn kill(&mut self) {
		if let Some((mut child, follower)) = self.running.take() {
			// Either fails only when the process is gone already.
			let _ = child.kill();
			let _ = child.wait();
			let _ = follower.join();
		}
	}

	/// What it has logged.
	pub fn journal(&self) -> &Journal {
		&self.journal
	}

	/// When it was started last.
	pub fn started(&self) -> Instant {
		self.started
	}

	/// Its memory; zero when it is gone.
	pub fn memory(&self) -> Memory {
		self.running.as_ref().and_then(|(child, _)| Memory::of(child.id())).unwrap_or_default()
	}

	/// Processor time used since it was started; zero when it is gone.
	pub fn cpu_time(&self) -> Duration {
		let ticks = || {
			let (child, _) = self.running.as_ref()?;
			let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
			// The name, in parentheses, may hold anything; utime and stime are the 12th and 13th fields after it.
			let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
			let mut next = || fields.next()?.parse::<u64>().ok();
			Some(next()? + next()?)
		};
		// SAFETY: sysconf has no preconditions.
		let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
		Duration::from_secs_f64(ticks().unwrap_or(0) as f64 / per_second)
	}
}

impl Drop for Process {
	fn drop(&mut self) {
		self.kill();
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	const SOON: Duration = Duration::from_secs(10);

	fn shell(script: &str, folder: &WorkDir) -> Process {
		let mut command = Command::new("sh");
		command.args(["-c", script]);
		Process::start("sh", command, folder.log("sh")).expect("sh starts")
	}

	#[tokio::test]
	async fn a_line_is_seen_when_it_comes_and_its_fields_are_read() {
		let mut folder = WorkDir::create().expect("a folder");
		let script = r#"echo plain >&2; echo '{"message":"enforced","id":"0x01","seq":7,"at":5}' >&2; exec sleep 60"#;
		let process = shell(script, &folder);
		let line =
			process.journal().wait("it", SOON, |line| line.is_about("enforced", "0x01")).await.expect("the line");
		assert_eq!((line.at, line.number("seq")), (5, Some(7)));
		assert_eq!(process.journal().all(|line| line.text == "plain").len(), 1);
		folder.finish();
	}

	#[tokio::test]
	async fn waiting_ends_with_the_process_or_the_deadline_and_shows_the_log() {
		let mut folder = WorkDir::create().expect("a folder");
		let ended = shell("echo last words >&2", &folder).journal().wait("it", SOON, |_| false).await;
		assert!(matches!(&ended, Err(Error::Ended { log, .. }) if log.contains("last words")), "{ended:?}");
		let late = shell("exec sleep 60", &folder).journal().wait("it", Duration::from_millis(20), |_| false).await;
		assert!(matches!(late, Err(Error::Deadline { .. })), "{late:?}");
		folder.finish();
	}

	#[test]
	fn memory_is_read_where_there_is_any() {
		let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nRssAnon:\t     512 kB\nThreads:\t1\n";
		let memory = Memory { peak: 2 << 20, resident: 1 << 20, own: 512 << 10 };
		assert_eq!(Memory::parse(status), Some(memory));
		assert_eq!(Memory::parse("Name:\tx\nState:\tZ (zombie)\n"), None);
		assert!(Memory::of(std::process::id()).is_some_and(|memory| memory.peak >= memory.own && memory.own > 0));
	}

	#[tokio::test]
	async fn the_journal_goes_on_over_a_restart() {
		let mut folder = WorkDir::create().expect("a folder");
		let mut process = shell("echo again >&2; exec sleep 60", &folder);
		process.journal().wait("again", SOON, |line| line.text == "again").await.expect("the first");
		process.restart().expect("it starts again");
		let both = async {
			while process.journal().all(|line| line.text == "again").len() < 2 {
				tokio::task::yield_now().await
			}
		};
		timeout(SOON, both).await.expect("the second");
		folder.finish();
	}
}
