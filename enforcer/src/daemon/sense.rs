//! The sensor: lines of an EVE file in, reports out.

use super::{
	excerpt, now_ms,
	status::Board,
	submit::{Call, Job, Submitter},
	tail::{LineError, Tail, TailError},
};
use crate::core::{
	eve::{self, Judge},
	hex,
	report::{Bucket, Reporter},
};
use std::{path::Path, sync::Arc, time::Duration};
use tracing::{debug, error, info, warn};

/// Lines about bad lines, a minute: a file full of garbage must not fill the log as well.
const COMPLAINTS: u32 = 60;
/// Pause before the file is opened again after it could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// What becomes of each line.
pub struct Sensor {
	judge: Judge,
	reporter: Reporter,
	submitter: Submitter,
	board: Arc<Board>,
	complaints: Bucket,
}

impl Sensor {
	/// A sensor that hands its reports to `submitter`.
	pub fn new(judge: Judge, reporter: Reporter, submitter: Submitter, board: Arc<Board>) -> Self {
		Self { judge, reporter, submitter, board, complaints: Bucket::new(COMPLAINTS) }
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
		let report = match self.reporter.consider(&finding, now) {
			Ok(report) => report,
			Err(cause) => {
				debug!(indicator = %finding.indicator, %cause, "suppressed");
				return self.board.update(|status| status.counts.suppressed += 1);
			}
		};
		let (id, indicator) = (hex::encode(&report.id), report.indicator.to_string());
		info!(at = now, id, indicator, signature = alert.signature_id, "alert");
		let call = Call::Report(Box::new((report.indicator, report.terms)));
		self.submitter.submit(Job { id: report.id, call });
		self.board.update(|status| status.counts.alerts += 1);
	}

	fn skip(&mut self, line: &str, cause: &dyn std::fmt::Display) {
		self.board.update(|status| status.counts.skipped += 1);
		let now = now_ms();
		if self.complaints.take(now) {
			warn!(at = now, line = excerpt(line), cause = excerpt(&cause.to_string()), "skipped");
		}
	}
}
