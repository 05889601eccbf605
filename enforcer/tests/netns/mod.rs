//! Network namespaces for tests: a [`Namespace`] is a thread that has unshared its network. What is run in it, child
//! processes included, sees that network, and sockets opened in it belong to that network wherever they are used
//! afterwards. When the thread ends the namespace is gone, whatever state the test left it in.
//!
//! Root and `nft` are needed: see [`needs_kernel!`].

#![allow(dead_code, reason = "no test needs all of it")]

use serde_json::Value;
use std::{process, sync::mpsc, thread};

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace, and the thread that keeps it.
pub struct Namespace {
	thread: i32,
	jobs: mpsc::Sender<Job>,
}

impl Namespace {
	pub fn new() -> Self {
		let (jobs, inbox) = mpsc::channel::<Job>();
		let (ready, started) = mpsc::channel();
		thread::spawn(move || {
			// SAFETY: no pointers are passed; only this thread's network changes.
			let entered = unsafe { libc::unshare(libc::CLONE_NEWNET) };
			assert_eq!(entered, 0, "unshare: {}", std::io::Error::last_os_error());
			// SAFETY: takes nothing and always succeeds.
			ready.send(unsafe { libc::gettid() }).unwrap();
			inbox.into_iter().for_each(|job| job());
		});
		let namespace = Self { thread: started.recv().expect("a namespace"), jobs };
		namespace.ip("link set lo up");
		namespace
	}

	/// Runs `work` in the namespace.
	pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
		let (done, result) = mpsc::channel();
		self.jobs.send(Box::new(move || drop(done.send(work())))).expect("the namespace's thread");
		result.recv().expect("the work in the namespace panicked")
	}

	pub fn output(&self, program: &'static str, arguments: &str) -> process::Output {
		let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
		self.run(move || process::Command::new(program).args(arguments).output().expect(program))
	}

	pub fn command(&self, program: &'static str, arguments: &str) -> String {
		let output = self.output(program, arguments);
		let words = String::from_utf8_lossy(&output.stderr);
		assert!(output.status.success(), "{program} {arguments}: {words}");
		assert!(words.is_empty(), "{program} {arguments} complains: {words}");
		String::from_utf8(output.stdout).unwrap()
	}

	pub fn ip(&self, arguments: &str) {
		self.command("ip", arguments);
	}

	pub fn nft(&self, arguments: &str) -> String {
		self.command("nft", arguments)
	}

	/// Objects of one kind (`set`, `rule`, `chain`, `counter`) of our table, as `nft -j` tells them.
	pub fn objects(&self, kind: &str) -> Vec<Value> {
		// nft before 1.1 knows no persistent tables and breaks off where it prints one that nobody owns: do not ask it
		// for the table itself where that can be helped.
		let text = match kind {
			"rule" => self.nft("-j list table inet ringfence"),
			_ => self.nft(&format!("-j list {kind}s inet")),
		};
		let all: Value = serde_json::from_str(&text).unwrap();
		let objects = all["nftables"].as_array().unwrap().iter().filter_map(|object| object.get(kind));
		objects.filter(|object| object["table"] == "ringfence").cloned().collect()
	}

	/// The sets that change; the others are always there.
	pub fn sets(&self) -> Vec<Value> {
		let fixed = |set: &Value| matches!(set["name"].as_str(), Some("contacts_v4" | "contacts_v6" | "uplinks"));
		self.objects("set").into_iter().filter(|set| !fixed(set)).collect()
	}

	/// The elements of our sets as `set element`, in order; sets that are empty are left out.
	pub fn elements(&self) -> Vec<String> {
		let mut all = Vec::new();
		for set in self.sets() {
			for element in set["elem"].as_array().unwrap_or(&Vec::new()) {
				let value = element.pointer("/elem/val").unwrap_or(element);
				let value = match &value["concat"] {
					Value::Array(fields) => {
						fields.iter().map(|f| f.to_string().replace('"', "")).collect::<Vec<_>>().join(" . ")
					}
					_ => value.as_str().unwrap().to_owned(),
				};
				all.push(format!("{} {value}", set["name"].as_str().unwrap()));
			}
		}
		all.sort();
		all
	}

	/// Seconds that our elements have left, in the order of [`Self::elements`] within one set.
	pub fn expiries(&self) -> Vec<u64> {
		let sets = self.sets();
		let elements = sets.iter().filter_map(|set| set["elem"].as_array()).flatten();
		elements.filter_map(|element| element.pointer("/elem/expires")?.as_u64()).collect()
	}

	/// Joins the two with a veth pair: device `device` here with `here`, and in `peer` with `there`.
	pub fn join(&self, device: &str, here: &[&str], peer: &Namespace, there: &[&str]) {
		let far = format!("{device}p");
		self.ip(&format!("link add {device} type veth peer name {far} netns {}", peer.thread));
		for (namespace, device, addresses) in [(self, device, here), (peer, far.as_str(), there)] {
			for address in addresses {
				namespace.ip(&format!(
					"address add {address} dev {device}{}",
					if address.contains(':') { " nodad" } else { "" }
				));
			}
			namespace.ip(&format!("link set {device} up"));
		}
	}
}

/// Whether namespaces can be made here.
pub fn usable() -> bool {
	// SAFETY: no pointers are passed; only the network of a thread that ends at once changes.
	let root = thread::spawn(|| unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0).join().unwrap();
	let nft = process::Command::new("nft").arg("--version").output().is_ok_and(|output| output.status.success());
	let missing = match (root, nft) {
		(true, true) => return true,
		(false, _) => "root",
		(true, false) => "nft",
	};
	let required = std::env::var("RINGFENCE_REQUIRE_ROOT_TESTS").is_ok_and(|value| value == "1");
	assert!(!required, "RINGFENCE_REQUIRE_ROOT_TESTS=1, but this needs {missing}");
	eprintln!("skipped: needs {missing}");
	false
}

/// Ends the test, with a word why, where it cannot be run.
macro_rules! needs_kernel {
	() => {
		if !$crate::netns::usable() {
			return;
		}
	};
}
