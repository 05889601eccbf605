//! The sensor: lines of an EVE file in, reports out. A household's reports go to its provider, sealed; everybody else's to
//! all ISPs, openly.

use super::{
	excerpt,
	household::Sealer,
	now_ms,
	seen::Seen,
	status::Board,
	submit::{Call, Job, Submitter},
	tail::{LineError, Tail, TailError},
};
use crate::core::{
	eve::{self, Judge},
	hex,
	report::{Bucket, Report, Reporter},
};
use ringfence_primitives::{envelope::Body, Indicator, Terms};
use std::{path::Path, sync::Arc, time::Duration};
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
	fn call(&self, report: Report) -> Result<Call, String> {
		let Report { id, indicator, terms } = report;
		match self {
			Self::Open { provisional } => Ok(open_call(*provisional, indicator, terms)),
			Self::Sealed(sealer) => sealer.seal(id, Body::Report(indicator, terms)).map_err(|cause| cause.to_string()),
		}
	}
}

/// The call that reports openly. What the chain calls wide waits for its votes in any case.
pub(super) fn open_call(provisional: bool, indicator: Indicator, terms: Terms) -> Call {
	let provisional = provisional && !indicator.is_wide();
	let report = Box::new((indicator, terms));
	if provisional {
		Call::Provisional(report)
	} else {
		Call::Report(report)
	}
}

/// What becomes of each line.
pub struct Sensor {
	judge: Judge,
	reporter: Reporter,
	outlet: Outlet,
	seen: Seen,
	submitter: Submitter,
	board: Arc<Board>,
	complaints: Bucket,
}

impl Sensor {
	/// A sensor that hands its reports to `submitter`, and tells `seen` what is proven.
	pub fn new(
		judge: Judge,
		reporter: Reporter,
		outlet: Outlet,
		seen: Seen,
		submitter: Submitter,
		board: Arc<Board>,
	) -> Self {
		Self { judge, reporter, outlet, seen, submitter, board, complaints: Bucket::new(COMPLAINTS) }
	}

	/// Follows the file from where `tail` stands. Blocks its thread for ever.
	///
	/// A file that cannot be read, because its directory was removed, say, is opened again and again: what the sensor
	/// cannot see is no reason to stop enforcing.
	pub fn follow(mut self, path: &Path, mut tail: Tail) {
		loop {
			let cause = self.follow_until_error(&mut tail);
			error!(at = now_ms(), %cause, "the sensor's log cannot be read");
			tail = loop {
				std::thread::sleep(PAUSE);
				match Tail::open(path) {
					Ok(tail) => break tail,
					Err(cause) => debug!(%cause, "the sensor's log cannot be opened"),
				}
			};
			info!(at = now_ms(), "the sensor's log can be read again");
		}
	}

	fn follow_until_error(&mut self, tail: &mut Tail) -> TailError {
		loop {
			if let Err(error) = tail.read(&mut |line| self.line(line)).and_then(|()| tail.wait()) {
				return error;
			}
		}
	}

	/// Handles one line.
	pub fn line(&mut self, line: Result<&[u8], LineError>) {
		let alert = match line.map(eve::parse) {
			Ok(Ok(Some(alert))) => alert,
			Ok(Ok(None)) => return,
			Ok(Err(cause)) => return self.skip(&String::from_utf8_lossy(line.unwrap_or_default()), &cause),
			Err(cause) => return self.skip("", &cause),
		};
		let finding = match self.judge.judge(&alert) {
			Ok(finding) => finding,
			Err(cause) => {
				debug!(signature = alert.signature_id, %cause, "ignored");
				return self.board.update(|status| status.counts.ignored += 1);
			}
		};
		let now = now_ms();
		if finding.is_proven() {
			self.seen.saw(&finding.indicator, now);
		}
		let report = match self.reporter.consider(&finding, now) {
			Ok(report) => report,
			Err(cause) => {
				debug!(indicator = %finding.indicator, %cause, "suppressed");
				return self.board.update(|status| status.counts.suppressed += 1);
			}
		};
		let id = report.id;
		let indicator = report.indicator.to_string();
		info!(at = now, id = hex::encode(&id), indicator, signature = alert.signature_id, "alert");
		self.board.update(|status| status.counts.alerts += 1);
		match self.outlet.call(report) {
			Ok(call) => self.submitter.submit(Job { id, call }),
			Err(cause) => {
				warn!(at = now, id = hex::encode(&id), cause, "refused");
				self.board.update(|status| status.counts.refused += 1);
			}
		}
	}

	fn skip(&mut self, line: &str, cause: &dyn std::fmt::Display) {
		self.board.update(|status| status.counts.skipped += 1);
		let now = now_ms();
		if self.complaints.take(now) {
			warn!(at = now, line = excerpt(line), cause = excerpt(&cause.to_string()), "skipped");
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_primitives::{Action, Confidence, Direction, Lifetime, Network, Note, Severity, ThreatClass, Tlp};

	fn call(provisional: bool, network: &str) -> Call {
		let terms = Terms {
			threat: ThreatClass::Scan,
			severity: Severity::High,
			confidence: Confidence::MAX,
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
	fn only_narrow_reports_are_made_provisionally_and_only_on_request() {
		assert_eq!(call(true, "203.0.113.9").name(), "report_provisionally");
		assert_eq!(call(true, "203.0.112.0/23").name(), "report");
		assert_eq!(call(false, "203.0.113.9").name(), "report");
	}
}
