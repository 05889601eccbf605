//! What the enforcer is doing, for the person who looks: one snapshot, written to `status.json` in the state directory.

use super::{firewall::Counters, now_ms, state};
use crate::core::hex;
use ringfence_primitives::{Digest, Millis};
use serde::{Deserialize, Serialize};
use std::{
	fmt, io,
	path::{Path, PathBuf},
	sync::{Arc, Mutex, MutexGuard, PoisonError},
	time::Duration,
};
use tracing::warn;

/// The file in the state directory.
const FILE: &str = "status.json";
/// Least time between two writes.
const EVERY: Duration = Duration::from_secs(1);
/// Writes that pass over a change of nothing but the firewall's counters: under attack these change all the time.
const COUNTERS_EVERY: u32 = 10;

/// What has happened since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
	/// Lines of the sensor's log that were not understood.
	pub skipped: u64,
	/// Alerts that are nothing to report.
	pub ignored: u64,
	/// Findings held back because they repeat, or there were too many.
	pub suppressed: u64,
	/// Findings to be reported.
	pub alerts: u64,
	/// Transactions that a node took.
	pub submitted: u64,
	/// Transactions that got into a block.
	pub included: u64,
	/// Calls that were given up.
	pub refused: u64,
	/// Votes cast.
	pub votes: u64,
	/// Proposals left to a person.
	pub undecided: u64,
	/// Letters opened.
	pub letters: u64,
	/// Letters that could not be opened.
	pub unreadable: u64,
	/// Subscribers' reports that were made the provider's own.
	pub promoted: u64,
	/// Letters left to a person.
	pub left: u64,
	/// Answers sent.
	pub answered: u64,
	/// Changes that the firewall took.
	pub enforced: u64,
	/// Changes that the owner's rules, or their own end, kept out.
	pub passed_over: u64,
	/// Changes that the kernel refused.
	pub failed: u64,
	/// Proofs that were asked for and verified.
	#[serde(default)]
	pub heartbeats: u64,
	/// Changes of the chain's authority set that were followed.
	#[serde(default)]
	pub handoffs: u64,
	/// Times that a node told something that is proven wrong.
	#[serde(default)]
	pub lies: u64,
}

/// The newest block that was proven final.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Proven {
	/// Its number.
	pub number: u32,
	/// When this enforcer verified it, by its own clock.
	pub at: Millis,
	/// When it was made, by the chain's; None: it does not say.
	pub chain_at: Option<Millis>,
	/// The newest change in it.
	pub log_seq: u64,
	/// The number of the authority set that made it final.
	pub set: u64,
}

/// A node of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Endpoint {
	/// Its address.
	pub url: String,
	/// Times that it could not be reached, broke off or was silent, since the start.
	pub failures: u64,
	/// Times that it told something that is proven wrong, since the start.
	pub lies: u64,
	/// It is not tried before this time; None: it may be.
	pub retry_at: Option<Millis>,
	/// Why it failed last; None: it served since.
	pub cause: Option<String>,
}

/// Bytes that went over the connections to nodes since the start, TLS included, the headers of TCP and IP not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Traffic {
	/// From nodes.
	pub received: u64,
	/// To nodes.
	pub sent: u64,
}

/// What is captured on one interface, and how much of it there was since the start.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SensorStatus {
	/// The interface.
	pub interface: String,
	/// Whether it is there.
	pub listening: bool,
	/// Packets in the last second.
	pub packets_per_second: u64,
	/// Bits in the last second.
	pub bits_per_second: u64,
	/// Frames that came.
	pub frames: u64,
	/// Their octets.
	pub bytes: u64,
	/// Frames that were left out to save processor time.
	pub skipped: u64,
	/// Frames that the kernel had no room for.
	pub dropped: u64,
	/// One packet in so many is looked at.
	pub sampling: u32,
	/// Frames that made no sense.
	pub malformed: u64,
	/// Packets to the home.
	pub inbound: u64,
	/// Packets from it.
	pub outbound: u64,
	/// Findings.
	pub findings: u64,
}

/// A device of the home that does harm, as a sensor found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Suspect {
	/// The device, or what it does.
	pub what: String,
	/// Which detector says so.
	pub detector: String,
	/// Its remark.
	pub note: String,
	/// When it was last seen.
	pub at: Millis,
}

/// Suspects that are shown at most.
const MAX_SUSPECTS: usize = 16;

/// Milliseconds for which changes that are proven to exist may be on their way.
const CATCHING_UP: Millis = 60_000;

/// One snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
	/// Version of the enforcer.
	pub version: String,
	/// Its process.
	pub pid: u32,
	/// When it started.
	pub started_at: Millis,
	/// Whether it programs the firewall.
	pub enforcing: bool,
	/// The account that reports and votes: its own, or one that acts for a member.
	pub account: Option<String>,
	/// The node that it is connected to.
	pub endpoint: Option<String>,
	/// The chain.
	#[serde(default, with = "hex::serde_optional_digest")]
	pub genesis: Option<Digest>,
	/// What is captured, by interface.
	#[serde(default)]
	pub sensors: Vec<SensorStatus>,
	/// Devices of the home that do harm, the newest last.
	#[serde(default)]
	pub suspects: Vec<Suspect>,
	/// Reports that wait for a node.
	#[serde(default)]
	pub reports_waiting: u64,
	/// The last change that was applied.
	pub seq: u64,
	/// The newest block that was proven final.
	#[serde(default)]
	pub proven: Option<Proven>,
	/// Since when changes are proven to exist that were not applied yet; None: there are none.
	#[serde(default)]
	pub behind_since: Option<Millis>,
	/// Milliseconds between two proofs that are asked for.
	#[serde(default)]
	pub heartbeat: Millis,
	/// Milliseconds without a newer block after which protection may be out of date.
	#[serde(default)]
	pub stale_after: Millis,
	/// The nodes, in the order of the configuration.
	#[serde(default)]
	pub endpoints: Vec<Endpoint>,
	/// What went over the connections to them.
	#[serde(default)]
	pub traffic: Traffic,
	/// Blocks in force: the chain's, and those of the own provider. None: nothing is enforced.
	#[serde(default)]
	pub active: Option<u64>,
	/// Why they cannot be written to the disk; None: they can.
	#[serde(default)]
	pub store: Option<String>,
	/// What has happened.
	pub counts: Counts,
	/// What the firewall's rules have done since its table was built.
	pub firewall: Option<Counters>,
}

impl Status {
	/// Why protection may be out of date at `now`; None: it is not.
	pub fn stale(&self, now: Millis) -> Option<&'static str> {
		let Some(proven) = self.proven else {
			return Some(match self.endpoint {
				None => "not connected to any node",
				Some(_) => "nothing was proven final yet",
			});
		};
		if self.endpoint.is_none() {
			return Some("not connected to any node");
		}
		if now.saturating_sub(proven.at) > self.stale_after {
			return Some("the node is silent, or the chain stands still");
		}
		// An answer may come just before the next is due, and a block is final a moment after it was made.
		if proven.chain_at.is_some_and(|made| proven.at.saturating_sub(made) > self.stale_after) {
			return Some("the node lags behind the chain, or this machine's clock is wrong");
		}
		if self.behind_since.is_some_and(|since| now.saturating_sub(since) > CATCHING_UP) {
			return Some("there are changes that did not get here yet: they are many, or the node keeps them back");
		}
		None
	}

	/// Notes at `now` whether what is applied is what is proven to exist.
	fn compare(&mut self, now: Millis) {
		// Without anything in force nothing is applied.
		let is_behind = self.active.is_some() && self.proven.is_some_and(|proven| proven.log_seq > self.seq);
		self.behind_since = is_behind.then(|| self.behind_since.unwrap_or(now));
	}
}

impl Status {
	/// Notes a device that does harm; what is said of it already is brought up to date.
	pub fn suspect(&mut self, suspect: Suspect) {
		self.suspects.retain(|known| (&known.what, &known.detector) != (&suspect.what, &suspect.detector));
		self.suspects.push(suspect);
		let over = self.suspects.len().saturating_sub(MAX_SUSPECTS);
		self.suspects.drain(..over);
	}
}

impl fmt::Display for Status {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		let none = "none";
		writeln!(f, "version    {}, process {}", self.version, self.pid)?;
		writeln!(f, "node       {}", self.endpoint.as_deref().unwrap_or(none))?;
		writeln!(f, "chain      {}", self.genesis.map_or(none.into(), |genesis| hex::encode(&genesis)))?;
		if let Some(Proven { number, at, log_seq, set, .. }) = self.proven {
			let age = now_ms().saturating_sub(at) / 1_000;
			writeln!(f, "proven     block {number} final by authority set {set}, {age} s ago, with change {log_seq}")?;
		}
		for Endpoint { url, failures, lies, cause, .. } in &self.endpoints {
			let Some(cause) = cause else { continue };
			writeln!(f, "left       {url}: {cause} ({failures} failures, {lies} lies)")?;
		}
		writeln!(f, "account    {}", self.account.as_deref().unwrap_or(none))?;
		match self.enforcing {
			true => writeln!(f, "applied    up to change {}", self.seq)?,
			false => writeln!(f, "applied    nothing: enforcing is off")?,
		}
		let counts = &self.counts;
		writeln!(
			f,
			"changes    {} enforced, {} passed over, {} failed",
			counts.enforced, counts.passed_over, counts.failed
		)?;
		writeln!(
			f,
			"alerts     {} reported, {} suppressed, {} ignored, {} lines skipped",
			counts.alerts, counts.suppressed, counts.ignored, counts.skipped
		)?;
		writeln!(f, "votes      {} cast, {} left to a person", counts.votes, counts.undecided)?;
		writeln!(
			f,
			"letters    {} opened, {} unreadable, {} promoted, {} left to a person, {} answered",
			counts.letters, counts.unreadable, counts.promoted, counts.left, counts.answered
		)?;
		writeln!(
			f,
			"calls      {} submitted, {} included, {} refused",
			counts.submitted, counts.included, counts.refused
		)?;
		if self.reports_waiting > 0 {
			writeln!(f, "waiting    {} reports for a node", self.reports_waiting)?;
		}
		for SensorStatus { interface, listening, packets_per_second, sampling, findings, .. } in &self.sensors {
			match listening {
				true => {
					let sampled = if *sampling > 1 { format!(", one in {sampling} looked at") } else { String::new() };
					writeln!(
						f,
						"sensor     {interface}: {packets_per_second} packets a second{sampled}, {findings} findings"
					)?;
				}
				false => writeln!(f, "sensor     {interface}: the interface is not there")?,
			}
		}
		for Suspect { what, detector, note, at } in &self.suspects {
			let age = now_ms().saturating_sub(*at) / 1_000;
			writeln!(f, "suspect    {what}: {detector}, {note}, {age} s ago")?;
		}
		let Traffic { received, sent } = self.traffic;
		writeln!(f, "traffic    {received} bytes from nodes, {sent} bytes to them")?;
		let Some(firewall) = &self.firewall else { return Ok(()) };
		for (name, sides) in
			[("dropped", firewall.dropped), ("limited", firewall.limited), ("watched", firewall.watched)]
		{
			let (inbound, outbound) = (sides.inbound, sides.outbound);
			writeln!(
				f,
				"{name}    {} packets ({} bytes) inbound, {} packets ({} bytes) outbound",
				inbound.packets, inbound.bytes, outbound.packets, outbound.bytes
			)?;
		}
		Ok(())
	}
}

/// Where the tasks write what they did.
#[derive(Debug, Default)]
pub struct Board(Mutex<Status>);

impl Board {
	/// A board that begins with `status`.
	pub fn new(status: Status) -> Arc<Self> {
		Arc::new(Self(Mutex::new(status)))
	}

	fn lock(&self) -> MutexGuard<'_, Status> {
		// Every update leaves a snapshot that makes sense, so one that panicked did as well.
		self.0.lock().unwrap_or_else(PoisonError::into_inner)
	}

	/// Changes the snapshot.
	pub fn update(&self, change: impl FnOnce(&mut Status)) {
		let mut status = self.lock();
		change(&mut status);
		status.compare(now_ms());
	}

	/// The snapshot.
	pub fn snapshot(&self) -> Status {
		self.lock().clone()
	}
}

/// Where the snapshot of the enforcer on `state_dir` is.
pub fn path(state_dir: &Path) -> PathBuf {
	state_dir.join(FILE)
}

/// Writes the snapshot to the disk whenever it has changed, at most once a second.
pub async fn keep_written(board: Arc<Board>, path: PathBuf) {
	let mut interval = tokio::time::interval(EVERY);
	let mut written = Status::default();
	let mut passed_over = 0;
	loop {
		interval.tick().await;
		let status = board.snapshot();
		if status == written {
			continue;
		}
		let (firewall, sensors) = (written.firewall, written.sensors.clone());
		let only_counters = Status { firewall, sensors, ..status.clone() } == written;
		if only_counters && passed_over < COUNTERS_EVERY {
			passed_over += 1;
			continue;
		}
		passed_over = 0;
		write(&status, &path);
		written = status;
	}
}

/// Writes the snapshot. A failure is only logged: protection goes on.
pub fn write(status: &Status, path: &Path) {
	// Numbers and text always serialize.
	let text = serde_json::to_vec_pretty(status).unwrap_or_default();
	if let Err(error) = state::replace(path, &text, state::Durable::No) {
		warn!(at = now_ms(), cause = %error, "status not written");
	}
}

/// Why there is no snapshot to show.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
	/// The file could not be read.
	#[error("{}: {source}", .path.display())]
	Read {
		/// The file.
		path: PathBuf,
		/// Why.
		source: io::Error,
	},
	/// It is no snapshot of this version.
	#[error("{}: {source}", .path.display())]
	Syntax {
		/// The file.
		path: PathBuf,
		/// Why.
		source: serde_json::Error,
	},
}

/// The last snapshot written.
pub fn read(path: &Path) -> Result<Status, StatusError> {
	let text = std::fs::read(path).map_err(|source| StatusError::Read { path: path.into(), source })?;
	serde_json::from_slice(&text).map_err(|source| StatusError::Syntax { path: path.into(), source })
}

#[cfg(test)]
mod tests {
	use super::*;

	fn proven() -> Proven {
		Proven { number: 1, at: 1_000_000, chain_at: Some(999_000), log_seq: 0, set: 0 }
	}

	#[test]
	fn staleness_has_a_reason() {
		let mut status = Status { stale_after: 50_000, ..Status::default() };
		assert_eq!(status.stale(0), Some("not connected to any node"));
		status.endpoint = Some("ws://127.0.0.1:9944".into());
		assert_eq!(status.stale(0), Some("nothing was proven final yet"));
		status.proven = Some(proven());
		assert_eq!(status.stale(1_050_000), None);
		assert_eq!(status.stale(1_050_001), Some("the node is silent, or the chain stands still"));
		status.endpoint = None;
		assert_eq!(status.stale(1_000_000), Some("not connected to any node"));
	}

	#[test]
	fn a_node_that_tells_yesterdays_news_is_noticed() {
		let told = |chain_at| Status {
			stale_after: 50_000,
			endpoint: Some("ws://127.0.0.1:9944".into()),
			proven: Some(Proven { chain_at, ..proven() }),
			..Status::default()
		};
		assert_eq!(told(Some(950_000)).stale(1_000_000), None);
		let lags = Some("the node lags behind the chain, or this machine's clock is wrong");
		assert_eq!(told(Some(949_999)).stale(1_000_000), lags);
		assert_eq!(told(Some(2_000_000)).stale(1_000_000), None, "a clock that lags itself is no harm");
		assert_eq!(told(None).stale(1_000_000), None);
	}

	#[test]
	fn a_node_that_proves_changes_and_keeps_them_back_does_not_go_unnoticed() {
		let mut status = Status {
			stale_after: 500_000,
			endpoint: Some("ws://127.0.0.1:9944".into()),
			active: Some(0),
			proven: Some(Proven { log_seq: 7, ..proven() }),
			..Status::default()
		};
		status.compare(1_000_000);
		assert_eq!(status.stale(1_060_000), None, "they are on their way");
		// Newer and newer blocks do not make up for it, nor does a part of the changes.
		(status.seq, status.proven) = (6, Some(Proven { at: 1_060_000, log_seq: 7, ..proven() }));
		status.compare(1_060_000);
		assert!(status.stale(1_060_001).is_some_and(|cause| cause.contains("keeps them back")));
		status.seq = 7;
		status.compare(1_060_001);
		assert_eq!(status.stale(1_060_001), None);
		let mut idle = Status { active: None, seq: 0, ..status };
		idle.compare(1_060_001);
		assert_eq!(idle.behind_since, None, "who enforces nothing applies nothing");
	}

	#[test]
	fn a_snapshot_is_read_as_it_was_written() {
		let directory = tempfile::tempdir().unwrap();
		let path = path(directory.path());
		assert!(matches!(read(&path), Err(StatusError::Read { .. })));
		let status = Status {
			pid: 7,
			genesis: Some([1; 32]),
			proven: Some(proven()),
			endpoints: vec![Endpoint { url: "ws://127.0.0.1:9944".into(), lies: 1, ..Endpoint::default() }],
			firewall: Some(Counters::default()),
			..Status::default()
		};
		write(&status, &path);
		assert_eq!(read(&path).unwrap(), status);
		std::fs::write(&path, "{").unwrap();
		assert!(matches!(read(&path), Err(StatusError::Syntax { .. })));
	}
}
