//! Network namespaces: made, entered, deleted.

use crate::{
	error::{Context, Error, Result},
	process::die_with,
};
use std::{
	fs::{self, File},
	io::{self, Write},
	os::{
		fd::{AsRawFd, RawFd},
		unix::process::CommandExt,
	},
	path::Path,
	process::{Command, Stdio},
	sync::atomic::{AtomicU32, Ordering},
	thread,
};

/// Where `ip netns` keeps them.
pub(crate) const DIRECTORY: &str = "/run/netns";

/// Whether this kernel has IPv6; without it the testbed is IPv4 only.
pub fn has_v6() -> bool {
	Path::new("/proc/sys/net/ipv6").exists()
}

/// Refuses, with what to do about it, where namespaces cannot be made.
pub fn check_machine() -> Result<()> {
	// SAFETY: geteuid has no preconditions.
	if unsafe { libc::geteuid() } != 0 {
		return Err(Error::NotRoot);
	}
	for (tool, version) in [("ip", "-V"), ("nft", "--version")] {
		run(Command::new(tool).arg(version), "").map_err(|error| match error {
			Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Error::Missing(tool),
			other => other,
		})?;
	}
	Ok(())
}

/// Runs a command to its end with `input`; what it wrote to its standard output, or its complaint as an error.
pub fn run(command: &mut Command, input: &str) -> Result<String> {
	let name = format!("{command:?}").replace('"', "");
	let mut child =
		command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context(name.clone())?;
	if let Some(mut stdin) = child.stdin.take() {
		// A command that ends without reading all says why on its standard error.
		let _ = stdin.write_all(input.as_bytes());
	}
	let output = child.wait_with_output().context(name.clone())?;
	if !output.status.success() {
		let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
		return Err(Error::Command { command: name, stderr });
	}
	Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn enter(namespace: RawFd) -> io::Result<()> {
	// SAFETY: setns only reads the descriptor's number, and says so when it is not a namespace.
	if unsafe { libc::setns(namespace, libc::CLONE_NEWNET) } != 0 {
		return Err(io::Error::last_os_error());
	}
	Ok(())
}

/// A network namespace; deleted when dropped.
pub struct Namespace {
	name: String,
	file: File,
}

impl Namespace {
	/// Makes it, with its loopback up. A `router` forwards; reverse-path filters are off everywhere.
	pub fn create(name: &str, router: bool) -> Result<Self> {
		run(Command::new("ip").args(["netns", "add", name]), "")?;
		let file = File::open(Path::new(DIRECTORY).join(name)).context(format!("opening namespace {name}"))?;
		let this = Self { name: name.to_owned(), file };
		let forward = if router { "1" } else { "0" };
		this.within(|| {
			let mut settings = vec![
				("ipv4/ip_forward", forward),
				("ipv4/conf/all/rp_filter", "0"),
				("ipv4/conf/default/rp_filter", "0"),
			];
			if has_v6() {
				settings.extend([("ipv6/conf/all/forwarding", forward), ("ipv6/conf/default/accept_dad", "0")]);
			}
			settings.into_iter().try_for_each(|(key, value)| fs::write(Path::new("/proc/sys/net").join(key), value))
		})?
		.context(format!("settings of namespace {name}"))?;
		this.ip(["link set lo up"])?;
		Ok(this)
	}

	/// Its name, as `ip netns` knows it.
	pub fn name(&self) -> &str {
		&self.name
	}

	/// Runs `ip` commands inside, in one batch. Those about IPv6 are left out where the kernel has none.
	pub fn ip<S: AsRef<str>>(&self, lines: impl IntoIterator<Item = S>) -> Result<()> {
		let v6 = has_v6();
		let batch: String = lines
			.into_iter()
			.filter(|line| v6 || !line.as_ref().contains("2001:db8:"))
			.map(|line| format!("{}\n", line.as_ref()))
			.collect();
		run(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), &batch)?;
		Ok(())
	}

	/// A command that will run inside, and dies with this process.
	///
	/// Start it from a thread that lives on: the kernel means the thread, not the process, by "parent".
	pub fn command(&self, program: impl AsRef<Path>) -> Command {
		let mut command = Command::new(program.as_ref());
		let namespace = self.file.as_raw_fd();
		let parent = std::process::id();
		let prepare = move || {
			enter(namespace)?;
			die_with(parent)
		};
		// SAFETY: `prepare` makes system calls only; it neither allocates nor locks.
		unsafe { command.pre_exec(prepare) };
		command
	}

	/// Runs a short command inside to its end.
	pub fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<String> {
		run(self.command(program).args(arguments), input)
	}

	/// Does `work` on a thread of its own that has entered the namespace, and returns what it returned.
	pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
		within(&self.file, &self.name, work)
	}
}

/// Does `work` on a thread of its own that has entered the namespace of this name; threads that it starts are there too.
pub(crate) fn within<T: Send>(namespace: &File, name: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
	let namespace = namespace.as_raw_fd();
	thread::scope(|scope| {
		let worker = scope.spawn(move || enter(namespace).map(|()| work()));
		worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
	})
	.context(format!("entering namespace {name}"))
}

impl Drop for Namespace {
	fn drop(&mut self) {
		if let Err(error) = run(Command::new("ip").args(["netns", "del", &self.name]), "") {
			eprintln!("{error}");
		}
	}
}

/// Names the namespaces of one testbed, so that two can run at once and those of dead ones can be told.
#[derive(Clone, Copy)]
pub struct Tag {
	pid: u32,
	count: u32,
}

impl Tag {
	/// The next one of this process.
	pub fn next() -> Self {
		static COUNT: AtomicU32 = AtomicU32::new(0);
		Self { pid: std::process::id(), count: COUNT.fetch_add(1, Ordering::Relaxed) }
	}

	/// The name of the namespace or interface for `part`.
	pub fn name(self, part: &str) -> String {
		let pid = base36(self.pid);
		match self.count {
			0 => format!("rf{pid}-{part}"),
			count => format!("rf{pid}.{count}-{part}"),
		}
	}

	/// A number below `modulus` that differs between testbeds which run side by side, more often than not.
	pub fn slot(self, modulus: u32) -> u32 {
		self.pid.wrapping_add(self.count) % modulus
	}
}

/// Deletes namespaces that testbeds left behind which no longer run.
pub fn remove_stale() {
	let Ok(entries) = fs::read_dir(DIRECTORY) else { return };
	for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
		if owner(&name).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
			// Another testbed that starts right now may be faster.
			let _ = run(Command::new("ip").args(["netns", "del", &name]), "");
		}
	}
}

/// The process that made a namespace of this name; none where no testbed did.
pub(crate) fn owner(name: &str) -> Option<u32> {
	let (tag, _) = name.strip_prefix("rf")?.split_once('-')?;
	let pid = tag.split_once('.').map_or(tag, |(pid, _)| pid);
	u32::from_str_radix(pid, 36).ok()
}

fn base36(mut number: u32) -> String {
	let mut digits = Vec::new();
	loop {
		digits.extend(char::from_digit(number % 36, 36));
		number /= 36;
		if number == 0 {
			return digits.into_iter().rev().collect();
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_namespace_names_the_process_that_made_it() {
		for pid in [0, 1, 35, 36, 4_194_304, u32::MAX] {
			assert_eq!(owner(&Tag { pid, count: 0 }.name("gwA")), Some(pid));
			assert_eq!(owner(&Tag { pid, count: 3 }.name("net")), Some(pid));
		}
	}

	#[test]
	fn foreign_namespaces_have_no_owner() {
		for name in ["rf", "rfkill", "rf-net", "red-1", "rf_x-net", "rfüü-net"] {
			assert_eq!(owner(name), None, "{name}");
		}
	}

	#[test]
	fn names_fit_an_interface() {
		assert!(Tag { pid: 4_194_304, count: 9 }.name("A").len() <= 15);
	}
}
