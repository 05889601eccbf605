//! Rows as a table for people, and for programs.

use super::{
	judge::{Part, Row},
	run::Truth,
};
use serde_json::{json, Value};
use std::{collections::BTreeSet, fmt};

const HEAD: [&str; 10] = [
	"run",
	"detector",
	"attack's share",
	"found after",
	"packets",
	"coverage",
	"collateral",
	"precision",
	"recall",
	"others that spoke",
];
/// The columns that are words; the others are numbers.
const WORDS: [usize; 3] = [0, 1, 9];
const NOTHING: &str = "-";

/// In percent, rounded down: nothing that is missing shows as all.
struct Percent(Part);

impl fmt::Display for Percent {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		let Part { of, whole } = self.0;
		let hundredths = u128::from(of) * 10_000 / u128::from(whole.max(1));
		write!(f, "{}.{:02} %", hundredths / 100, hundredths % 100)
	}
}

impl fmt::Display for Part {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "{}/{}", self.of, self.whole)
	}
}

fn words(set: &BTreeSet<String>) -> String {
	set.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn cells(row: &Row) -> [String; 10] {
	let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.into());
	let whole = |part: Option<Part>| or_nothing(part.map(|part| part.to_string()));
	let (detector, missed) = match row.truth {
		Truth::Hostile(detector) => (detector, "no"),
		Truth::Innocent => ("none", NOTHING),
		Truth::Unknown => ("unknown", NOTHING),
	};
	let (after, packets) = match row.found {
		Some((after, packets)) => (format!("{}.{:02} s", after / 1_000, after % 1_000 / 10), packets.to_string()),
		None => (missed.into(), NOTHING.into()),
	};
	[
		row.name.clone(),
		detector.into(),
		Percent(row.share).to_string(),
		after,
		packets,
		or_nothing(row.coverage.map(|part| Percent(part).to_string())),
		whole(row.collateral),
		whole(row.precision),
		whole(row.recall),
		if row.others.is_empty() { NOTHING.into() } else { words(&row.others) },
	]
}

/// Aligned, a line each.
pub fn text(rows: &[Row]) -> String {
	let mut lines = vec![HEAD.map(String::from)];
	lines.extend(rows.iter().map(cells));
	let width = |column: usize| {
		let of = |line: &[String; 10]| line.get(column).map_or(0, |cell| cell.chars().count());
		lines.iter().map(of).max().unwrap_or(0)
	};
	let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
	let mut text = String::new();
	for line in &lines {
		let mut written = String::new();
		for (column, (cell, width)) in line.iter().zip(widths.iter().copied()).enumerate() {
			let cell = match WORDS.contains(&column) {
				true => format!("{cell:<width$}  "),
				false => format!("{cell:>width$}  "),
			};
			written.push_str(&cell);
		}
		text.push_str(written.trim_end());
		text.push('\n');
	}
	text
}

/// For programs.
pub fn json(row: &Row) -> Value {
	let part = |part: Option<Part>| part.map(|Part { of, whole }| json!({ "of": of, "whole": whole }));
	json!({
		"run": row.name,
		"hostile": match row.truth {
			Truth::Hostile(_) => Some(true),
			Truth::Innocent => Some(false),
			Truth::Unknown => None,
		},
		"detector": if let Truth::Hostile(detector) = row.truth { Some(detector) } else { None },
		"packets": row.share.whole,
		"attack-packets": row.share.of,
		"found": row.found.is_some(),
		"found-after-ms": row.found.map(|(after, _)| after),
		"found-after-packets": row.found.map(|(_, packets)| packets),
		"coverage": part(row.coverage),
		"collateral": part(row.collateral),
		"precision": part(row.precision),
		"recall": part(row.recall),
		"others": row.others,
		"signatures": row.signatures.iter().map(ToString::to_string).collect::<Vec<_>>(),
	})
}
