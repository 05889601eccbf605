//! What happened when, and how to show it.

use serde_json::{json, Value};
use std::fmt::Write;

/// Columns of the bar.
const BAR: usize = 32;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Mark {
	/// Milliseconds after the origin.
	pub ms: i64,
	/// What.
	pub what: &'static str,
	/// Where, or any other detail.
	pub detail: String,
}

/// A sequence of events, in milliseconds after the first.
#[derive(Clone, Debug)]
pub struct Timeline {
	origin: i64,
	marks: Vec<Mark>,
}

impl Timeline {
	/// Begins at `origin`, in Unix milliseconds.
	pub fn new(origin: i64) -> Self {
		Self { origin, marks: Vec::new() }
	}

	/// The origin, in Unix milliseconds.
	pub fn origin(&self) -> i64 {
		self.origin
	}

	/// Adds what happened `at`, in Unix milliseconds.
	pub fn mark(&mut self, at: i64, what: &'static str, detail: impl Into<String>) {
		let mark = Mark { ms: at - self.origin, what, detail: detail.into() };
		let position = self.marks.partition_point(|other| other.ms <= mark.ms);
		self.marks.insert(position, mark);
	}

	/// When the last of these happened, in milliseconds after the origin; zero if none did.
	pub fn last(&self, what: &str) -> i64 {
		self.marks.iter().filter(|mark| mark.what == what).map(|mark| mark.ms).max().unwrap_or(0)
	}

	/// For a terminal.
	pub fn render(&self, color: bool) -> String {
		let (dim, bright, off) = if color { ("\x1b[2m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
		let end = self.marks.last().map_or(1, |mark| mark.ms.max(1));
		let mut text = String::new();
		for Mark { ms, what, detail } in &self.marks {
			// Clocks of one machine: a mark before the origin is at most a rounding.
			let column = usize::try_from(ms.max(&0) * (BAR as i64 - 1) / end).unwrap_or(0).min(BAR - 1);
			let (before, after) = ("─".repeat(column), " ".repeat(BAR - 1 - column));
			// Writing to a String cannot fail.
			let _ =
				writeln!(text, "{ms:>8} ms  {dim}{before}{off}{bright}●{off}{after}  {what:<20} {dim}{detail}{off}");
		}
		text
	}

	/// For programs.
	pub fn json(&self) -> Value {
		let marks = self.marks.iter().map(|mark| json!({ "ms": mark.ms, "what": mark.what, "detail": mark.detail }));
		marks.collect()
	}
}

/// How a measure is spread over many rounds.
#[derive(Clone, Debug, Default)]
pub struct Spread(Vec<f64>);

impl Spread {
	/// Adds a measure.
	pub fn add(&mut self, value: f64) {
		let position = self.0.partition_point(|other| *other <= value);
		self.0.insert(position, value);
	}

	/// How many there are.
	pub fn count(&self) -> usize {
		self.0.len()
	}

	/// The least value that `percent` of all do not exceed (nearest rank); zero without any.
	pub fn percentile(&self, percent: usize) -> f64 {
		let rank = (self.0.len() * percent).div_ceil(100).max(1);
		self.0.get(rank - 1).copied().unwrap_or(0.0)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn percentiles_are_the_nearest_rank() {
		let mut spread = Spread::default();
		assert_eq!(spread.percentile(50), 0.0);
		(1..=20).rev().for_each(|n| spread.add(f64::from(n)));
		assert_eq!([50, 95, 99, 100].map(|p| spread.percentile(p)), [10.0, 19.0, 20.0, 20.0]);
	}

	#[test]
	fn marks_are_shown_in_order_and_in_scale() {
		let mut timeline = Timeline::new(1000);
		timeline.mark(1800, "enforced", "gateway B");
		timeline.mark(1000, "alert written", "gateway A");
		timeline.mark(1400, "activated", "block 7");
		timeline.mark(1790, "enforced", "gateway A");
		let text = timeline.render(false);
		let lines: Vec<_> = text.lines().collect();
		assert!(lines[0].starts_with("       0 ms  ●") && lines[0].contains("alert written"));
		assert_eq!(lines[1].matches('─').count(), 15);
		assert_eq!(lines[3].matches('─').count(), BAR - 1);
		assert_eq!(timeline.last("enforced"), 800);
	}
}
