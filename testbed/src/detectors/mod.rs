//! How well the detectors do, in one table: what each finds of its attack and how soon, what its signatures cover and whom
//! they would hit, and whether it leaves the innocent alone.
//!
//! [`attacks`] says which attacks there are and who is to find each. They are made by [`crate::flood`], alone and in the
//! middle of innocent households' traffic ([`mix`]), or come from recordings ([`run`]); [`judge()`] shows each run to a sensor as
//! it is by itself, and then holds what it said against the truth, frame by frame. Nothing is sent, no clock is asked, every
//! seed and key is fixed: the same table comes out each time.

pub mod attacks;
pub mod judge;
pub mod mix;
pub mod run;
pub mod table;

use crate::error::{Context, Result};
use judge::{hits, judge, Part, Row};
use run::{Households, Run, Truth};
use serde_json::{json, Value};
use std::{
	env, fs, io,
	path::{Path, PathBuf},
};

/// The attack's share of all packets in mixed runs, in percent.
const SHARES: [u32; 3] = [20, 5, 1];
/// Innocent traffic: how many households, frames a second of each, seconds, seed.
const INNOCENT: [Households; 8] = [
	innocent(1, 50, 600, 1),
	innocent(1, 50, 600, 2),
	innocent(1, 50, 600, 3),
	innocent(1, 1_000, 300, 4),
	innocent(1, 1_000, 300, 5),
	innocent(30, 100, 180, 100),
	innocent(30, 100, 180, 200),
	innocent(200, 100, 120, 300),
];
/// What is asked of a signature at the least, in a thousand parts of the attack.
const COVERAGE: u64 = 990;
const SYN_FLOOD: &str = "stopddos-tcp-synflood-spoofed.pcap";
const AMPLIFICATION: &str = "stopddos-udp-isakmp-amplification.pcap";

const fn innocent(count: u8, rate: u64, seconds: u64, seed: u64) -> Households {
	Households { count, rate, seconds, seed }
}

/// What the table is asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
	/// The folder whose `pcap` holds recordings; RINGFENCE_DATA when not given
	#[arg(long, value_name = "DIR")]
	data: Option<PathBuf>,
	/// Print one JSON object instead of a table
	#[arg(long)]
	json: bool,
}

/// Shows everything to the detectors, and prints what they made of it.
pub async fn detectors(settings: Settings) -> Result<()> {
	// It takes minutes of computing. A request to stop is seen by it as well.
	let done = tokio::task::spawn_blocking(move || settings.carry_out()).await;
	let text = done.map_err(io::Error::other).context("looking at the detectors")??;
	println!("{}", text.trim_end());
	Ok(())
}

impl Settings {
	/// What is to be printed.
	fn carry_out(&self) -> Result<String> {
		let attacks = attacks::all();
		let mut runs: Vec<Run> = attacks.iter().map(Run::alone).collect();
		runs.extend(SHARES.iter().flat_map(|percent| attacks.iter().map(move |attack| Run::mixed(attack, *percent))));
		runs.extend(INNOCENT.map(Run::innocent));
		let data = self.data.clone().or_else(|| env::var_os("RINGFENCE_DATA").map(PathBuf::from));
		let recorded = match data {
			Some(data) => recordings(&data)?,
			None => {
				eprintln!("no recordings: neither --data nor RINGFENCE_DATA names a folder");
				Vec::new()
			}
		};
		let mut rows = Vec::new();
		for (number, run) in runs.iter().chain(&recorded).enumerate() {
			eprintln!("{}/{} {}", number + 1, runs.len() + recorded.len(), run.name);
			rows.push(judge(run)?);
		}
		let (totals, aims) = (Totals::of(&rows), aims(&rows, &recorded)?);
		if self.json {
			let rows: Vec<Value> = rows.iter().map(table::json).collect();
			let aims: Vec<Value> = aims.iter().map(|aim| json!({ "aim": aim.what, "met": aim.met })).collect();
			return Ok(json!({ "runs": rows, "totals": totals.json(), "aims": aims }).to_string());
		}
		let mut text = format!("{}\n{}\n\n", table::text(&rows), totals.text());
		for Aim { what, met } in &aims {
			text += &format!("{} {what}\n", if *met { "met:   " } else { "missed:" });
		}
		Ok(text)
	}
}

/// The recordings in `data`, by name.
pub fn recordings(data: &Path) -> Result<Vec<Run>> {
	let folder = data.join("pcap");
	let what = || format!("listing {}", folder.display());
	let mut paths = Vec::new();
	for entry in fs::read_dir(&folder).context(what())? {
		let path = entry.context(what())?.path();
		if path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng") {
			paths.push(path);
		}
	}
	paths.sort();
	paths.iter().map(|path| Run::recorded(path)).collect()
}

/// What all runs together say of finding attacks, a run being one of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
	/// Attacks found by the detector that is to find them, of all attacks.
	pub recall: Part,
	/// The same, of these and the innocent runs in which anything was found.
	pub precision: Part,
	/// Innocent runs in which nothing was found, of all innocent ones.
	pub silent: Part,
}

impl Totals {
	/// Counts these.
	pub fn of(rows: &[Row]) -> Self {
		let mut totals = Self::default();
		for row in rows {
			match row.truth {
				Truth::Hostile(_) => {
					let found = u64::from(row.found.is_some());
					totals.recall.of += found;
					totals.recall.whole += 1;
					totals.precision.of += found;
					totals.precision.whole += found;
				}
				Truth::Innocent => {
					let silent = u64::from(row.others.is_empty());
					totals.silent.of += silent;
					totals.silent.whole += 1;
					totals.precision.whole += 1 - silent;
				}
				Truth::Unknown => {}
			}
		}
		totals
	}

	fn text(&self) -> String {
		let Self { recall, precision, silent } = self;
		format!("precision {precision}, recall {recall}; nothing was found in {silent} innocent runs")
	}

	fn json(&self) -> Value {
		let part = |Part { of, whole }: Part| json!({ "of": of, "whole": whole });
		json!({ "precision": part(self.precision), "recall": part(self.recall), "silent": part(self.silent) })
	}
}

/// Something that is asked of the detectors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aim {
	/// What.
	pub what: String,
	/// Whether it is so.
	pub met: bool,
}

/// What is asked of them, as far as `rows` tell. `recorded` are the recordings among the runs.
pub fn aims(rows: &[Row], recorded: &[Run]) -> Result<Vec<Aim>> {
	let mut aims = Vec::new();
	let Totals { recall, silent, .. } = Totals::of(rows);
	if recall.whole > 0 {
		let what = format!("every attack is found by its detector: {recall}");
		aims.push(Aim { what, met: recall.of == recall.whole });
	}
	if silent.whole > 0 {
		let what = format!("nothing is found in innocent traffic: {silent}");
		aims.push(Aim { what, met: silent.of == silent.whole });
	}
	let row = |name: &str| rows.iter().find(|row| row.name == name);
	for name in [SYN_FLOOD, AMPLIFICATION] {
		if let Some(row) = row(name) {
			let part = row.coverage.unwrap_or_default();
			let what = format!("signatures cover 99 % of {name}: {part}");
			aims.push(Aim { what, met: row.coverage.is_some_and(|part| part.reaches(COVERAGE)) });
		}
	}
	if let Some(row) = row(SYN_FLOOD) {
		for run in recorded.iter().filter(|run| run.truth == Truth::Innocent) {
			let part = hits(&row.signatures, run)?;
			let what = format!("what {SYN_FLOOD} teaches, for any destination, hits nothing in {}: {part}", run.name);
			aims.push(Aim { what, met: part.of == 0 && !row.signatures.is_empty() });
		}
	}
	Ok(aims)
}

#[cfg(test)]
mod tests;
