//! The sensor: what other programs say in, reports out. A household's reports go to its provider, sealed; everybody else's to
//! all ISPs, openly.

use super::{
	evidence::Archive,
	excerpt,
	household::Sealer,
	lock, now_ms,
	reports::Reports,
	seen,
	status::{Board, Suspect},
	submit::Call,
	tail::{LineError, Tail, TailError},
};
use crate::core::{
	alert::{
		judge::{Ignored, Judge},
		Format, Seen,
	},
	hex,
	report::{Bucket, Finding, Report, Reporter},
};
use ringfence_primitives::{envelope::Body, Indicator, Severity, Terms};
use ringfence_sensor::finding::Audience;
use std::{
	path::Path,
	sync::{Arc, Mutex},
	time::Duration,
};
use tracing::{debug, error, info, warn};

/// Lines about bad lines, a minute: a file full of garbage must not fill the log as well.
const COMPLAINTS: u32 = 60;
/// Pause before the file is opened again after it could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// Where reports go.
pub enum Outlet {
	/// To the ISPs, openly.
	Open {
		/// Whether they are to be acted on before they are confirmed.
		provisional: bool,
	},
	/// To the household's provider, sealed.
	Sealed(Box<Sealer>),
}

impl Outlet {
	/// The call that makes `report`; why there is none.
	pub(super) fn call(&self, report: Report) -> Result<Call, String> {
		let Report { id, indicator, terms } = report;
		match self {
			Self::Open { provisional } => Ok(open_call(*provisional, indicator, terms)),
			Self::Sealed(sealer) => sealer.seal(id, Body::Report(indicator, terms)).map_err(|cause| cause.to_string()),
		}
	}
}

/// The least confidence, in percent, that is acted on before it is confirmed. What may be forged has less.
const SURE: u8 = 50;

/// The call that reports openly. What the chain calls wide waits for its votes in any case, and so does what is not sure: one
/// forged packet would have an innocent peer limited everywhere.
pub(super) fn open_call(provisional: bool, indicator: Indicator, terms: Terms) -> Call {
	let provisional = provisional && !indicator.is_wide() && terms.confidence.get() >= SURE;
	let report = Box::new((indicator, terms));
	if provisional {
		Call::Provisional(report)
	} else {
		Call::Report(report)
	}
}

/// What becomes of each line, whichever program wrote it.
pub struct Sensor {
	judge: Judge,
	reporter: Reporter,
	seen: seen::Seen,
	archive: Archive,
	reports: Reports,
	board: Arc<Board>,
	complaints: Bucket,
}

impl Sensor {
	/// A sensor that keeps its evidence in `archive`, hands its reports to `reports`, and tells `seen` what is proven.
	pub fn new(
		judge: Judge,
		reporter: Reporter,
		seen: seen::Seen,
		archive: Archive,
		reports: Reports,
		board: Arc<Board>,
	) -> Self {
		Self { judge, reporter, seen, archive, reports, board, complaints: Bucket::new(COMPLAINTS) }
	}

	/// Handles one line that is written in `format`.
	pub fn line(&mut self, format: Format, line: Result<&[u8], LineError>) {
		let line = match line {
			Ok(line) => line,
			Err(cause) => return self.skip("", &cause),
		};
		for seen in format.parse(line) {
			match seen {
				Ok(Seen::Alert(alert)) => self.judged(self.judge.judge(&alert), Some(alert.signature_id)),
				Ok(Seen::Decision(decision)) => self.judged(self.judge.decide(&decision), None),
				Err(cause) => self.skip(&String::from_utf8_lossy(line), &cause),
			}
		}
	}

	fn judged(&mut self, finding: Result<Finding, Ignored>, signature: Option<u64>) {
		match finding {
			Ok(finding) => self.finding(&finding, signature),
			Err(cause) => {
				debug!(signature, %cause, "ignored");
				self.board.update(|status| status.counts.ignored += 1);
			}
		}
	}

	/// Reports a finding, unless it was reported a short while ago or there are too many.
	pub fn finding(&mut self, finding: &Finding, signature: Option<u64>) {
		let now = now_ms();
		// Something mild is no ground to vote for whatever others say of the same peer, which may be forged.
		if finding.is_proven() && finding.severity > Severity::Low {
			self.seen.saw(&finding.indicator, now);
		}
		let (report, record) = match self.reporter.consider(finding, now) {
			Ok(report) => report,
			Err(cause) => {
				debug!(indicator = %finding.indicator, %cause, "suppressed");
				return self.board.update(|status| status.counts.suppressed += 1);
			}
		};
		let id = report.id;
		let indicator = report.indicator.to_string();
		info!(at = now, id = hex::encode(&id), indicator, signature, "alert");
		self.board.update(|status| status.counts.alerts += 1);
		if let Err(cause) = self.archive.keep(&record) {
			// The report counts without it, too.
			warn!(at = now, id = hex::encode(&id), %cause, "the evidence is not kept");
		}
		self.reports.put(report);
	}

	/// What an own detector has found: it is reported, or only told to the owner.
	fn found(&mut self, found: ringfence_sensor::Finding) {
		let now = now_ms();
		let (detector, note) = (found.detector, found.note.clone());
		if found.audience == Audience::Owner {
			let what = found.indicator.to_string();
			warn!(at = now, what, detector, %note, "a device of the home does harm");
			let (detector, note) = (detector.into(), note.as_str().into());
			return self.board.update(|status| status.suspect(Suspect { what, detector, note, at: now }));
		}
		info!(at = now, indicator = %found.indicator, detector, %note, sampling = found.sampling, "found");
		self.judged(self.judge.found(found), None);
	}

	fn skip(&mut self, line: &str, cause: &dyn std::fmt::Display) {
		self.board.update(|status| status.counts.skipped += 1);
		let now = now_ms();
		if self.complaints.take(now) {
			warn!(at = now, line = excerpt(line), cause = excerpt(&cause.to_string()), "skipped");
		}
	}
}

/// Hands a line of one source to the sensor that all of them share.
pub fn deliver(sensor: &Mutex<Sensor>, format: Format, line: Result<&[u8], LineError>) {
	// A line that made the sensor panic leaves nothing half-done that the next one could stumble over.
	lock(sensor).line(format, line);
}

/// Hands what an own detector found to the sensor that all of them share.
pub fn found(sensor: &Mutex<Sensor>, finding: ringfence_sensor::Finding) {
	lock(sensor).found(finding);
}

/// Follows a file from where `tail` stands. Blocks its thread for ever.
///
/// A file that cannot be read, because its directory was removed, say, is opened again and again: what the sensor
/// cannot see is no reason to stop enforcing.
pub fn follow(sensor: &Mutex<Sensor>, format: Format, path: &Path, mut tail: Tail) {
	loop {
		let cause = follow_until_error(sensor, format, &mut tail);
		error!(at = now_ms(), %cause, "the sensor's log cannot be read");
		tail = loop {
			std::thread::sleep(PAUSE);
			match Tail::open(path) {
				Ok(tail) => break tail,
				Err(cause) => debug!(%cause, "the sensor's log cannot be opened"),
			}
		};
		info!(at = now_ms(), path = %path.display(), "the sensor's log can be read again");
	}
}

fn follow_until_error(sensor: &Mutex<Sensor>, format: Format, tail: &mut Tail) -> TailError {
	loop {
		if let Err(error) = tail.read(&mut |line| deliver(sensor, format, line)).and_then(|()| tail.wait()) {
			return error;
		}
	}
}

#[cfg(test)]
pub(super) mod tests {
	use super::*;
	use crate::{
		core::{report::Settings, rules::Rules},
		daemon::submit::Submitter,
	};
	use ringfence_primitives::{Action, Confidence, Direction, Lifetime, Network, Note, ThreatClass, Tlp};
	use sp_core::{sr25519, Pair};
	use tokio::sync::watch;

	/// A sensor at 203.0.113.0/24 that keeps everything in `directory`, and where it says what it did. Its reports wait for
	/// as long as the last is kept.
	fn sensor(directory: &Path) -> (Sensor, Arc<Board>, impl Sized) {
		let board = Arc::new(Board::default());
		let (links, link) = watch::channel(None);
		let (submitter, calls) = Submitter::new(sr25519::Pair::from_seed(&[1; 32]), link.clone(), board.clone());
		let outlet = Outlet::Open { provisional: false };
		let (reports, work) = Reports::open(directory, outlet, submitter, link, board.clone()).unwrap();
		let judge = Judge {
			home: vec!["203.0.113.0/24".parse().unwrap()],
			exempt: Vec::new(),
			max_severity: 2,
			rules: Rules::default(),
		};
		let reporter = Reporter::new(Settings {
			confidence: Confidence::new(80).unwrap(),
			spoofable_confidence: Confidence::new(30).unwrap(),
			lifetime: Lifetime::MIN,
			tlp: Tlp::Green,
			action: Action::Drop,
			direction: Direction::Both,
			per_minute: 30,
			repeat_after: 600_000,
		});
		let archive = Archive::new(directory);
		let sensor = Sensor::new(judge, reporter, seen::Seen::default(), archive, reports, board.clone());
		(sensor, board, (links, calls, work))
	}

	pub(crate) fn beacon(host: &str, audience: Audience) -> ringfence_sensor::Finding {
		ringfence_sensor::Finding {
			detector: "beacon",
			version: 1,
			indicator: Indicator::Host(host.parse().unwrap()),
			threat: ThreatClass::CommandAndControl,
			severity: Severity::High,
			action: None,
			spoofable: true,
			audience,
			note: Note::truncated("3 calls"),
			first_seen: 1_000,
			last_seen: 2_000,
			packets: 3,
			bytes: 180,
			sampling: 1,
			fit: None,
			samples: Vec::new(),
		}
	}

	#[test]
	fn what_a_device_at_home_does_is_told_to_the_owner_and_to_nobody_else() {
		let directory = tempfile::tempdir().unwrap();
		let (mut sensor, board, _work) = sensor(directory.path());
		sensor.found(beacon("203.0.113.7", Audience::Owner));
		sensor.found(beacon("203.0.113.7", Audience::Owner));
		let status = board.snapshot();
		let told: Vec<_> = status.suspects.iter().map(|s| (s.what.as_str(), s.detector.as_str())).collect();
		assert_eq!(told, [("203.0.113.7", "beacon")], "once, brought up to date");
		assert_eq!(status.suspects[0].note, "3 calls");
		assert_eq!((status.counts.alerts, status.counts.suppressed, status.counts.ignored), (0, 0, 0));
		assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "no evidence is kept, no report waits");
	}

	#[test]
	fn what_a_detector_finds_outside_is_reported_once_with_its_evidence() {
		let directory = tempfile::tempdir().unwrap();
		let (mut sensor, board, _work) = sensor(directory.path());
		sensor.found(beacon("198.18.66.66", Audience::Everybody));
		sensor.found(beacon("198.18.66.66", Audience::Everybody));
		sensor.found(beacon("203.0.113.7", Audience::Everybody));
		let status = board.snapshot();
		assert_eq!((status.counts.alerts, status.counts.suppressed, status.counts.ignored), (1, 1, 1));
		assert_eq!((status.suspects.len(), status.counts.refused), (0, 0));
		let kept = std::fs::read_to_string(directory.path().join("evidence.jsonl")).unwrap();
		assert_eq!(kept.lines().count(), 1);
		let record: crate::core::evidence::Record = serde_json::from_str(kept.trim_end()).unwrap();
		assert_eq!((record.indicator.as_str(), record.evidence.packets), ("198.18.66.66", 3));
		assert_eq!(record.evidence.sources, ["beacon 1"]);
		let kept_as = Archive::new(directory.path()).find(&record.digest()).unwrap();
		assert_eq!(kept_as.as_deref(), Some(kept.trim_end()), "by the hash that the report names");
	}

	#[test]
	fn what_is_proven_and_not_mild_counts_as_seen_when_the_isp_votes() {
		let directory = tempfile::tempdir().unwrap();
		let (mut sensor, _board, _work) = sensor(directory.path());
		let beacon = |spoofable, severity| ringfence_sensor::Finding {
			spoofable,
			severity,
			..beacon("198.18.66.66", Audience::Everybody)
		};
		let seen =
			|sensor: &Sensor| sensor.seen.ago(&Indicator::Host("198.18.66.66".parse().unwrap()), now_ms()).is_some();
		sensor.found(beacon(true, Severity::Critical));
		sensor.found(beacon(false, Severity::Low));
		assert!(!seen(&sensor));
		sensor.found(beacon(false, Severity::Medium));
		assert!(seen(&sensor));
	}

	fn call(provisional: bool, network: &str, confidence: u8) -> Call {
		let terms = Terms {
			threat: ThreatClass::Scan,
			severity: Severity::High,
			confidence: Confidence::new(confidence).unwrap(),
			direction: Direction::Both,
			action: Action::Drop,
			tlp: Tlp::Green,
			lifetime: Lifetime::MIN,
			evidence: None,
			note: Note::default(),
		};
		open_call(provisional, network.parse::<Network>().unwrap().into(), terms)
	}

	#[test]
	fn only_narrow_and_sure_reports_are_made_provisionally_and_only_on_request() {
		assert_eq!(call(true, "203.0.113.9", 50).name(), "report_provisionally");
		assert_eq!(call(true, "203.0.113.9", 49).name(), "report", "it may be forged");
		assert_eq!(call(true, "203.0.112.0/23", 100).name(), "report");
		assert_eq!(call(false, "203.0.113.9", 100).name(), "report");
	}
}
