//! Recorded packets through the detectors, without a chain or a firewall: what would have been found, and when.

use super::{
	capture::pcap::{self, PcapError},
	random,
};
use ringfence_primitives::{Action, Network};
use ringfence_sensor::{
	detect::SettingError,
	engine::{self, Counts},
	finding::Audience,
	Engine, Finding,
};
use serde_json::{json, Value};
use std::{
	path::{Path, PathBuf},
	time::{Duration, Instant},
};

const NANOS_PER_MILLI: u64 = 1_000_000;
/// Milliseconds for which time goes on after the last packet, so that what it completed is told.
const AFTERWARDS: u64 = 1_500;

/// Why a recording is not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
	/// The file.
	#[error("{}: {source}", .path.display())]
	Pcap {
		/// The file.
		path: PathBuf,
		/// What is wrong with it.
		source: PcapError,
	},
	/// The detectors' settings.
	#[error(transparent)]
	Setting(#[from] SettingError),
	/// There is no home.
	#[error("which networks are the home? Name them with --home, or in [sensor] of the configuration")]
	NoHome,
}

/// A finding, and where in the recording it was made.
#[derive(Clone, Debug)]
pub struct Found {
	/// What was found.
	pub finding: Finding,
	/// Packets up to then, from the first of the recording.
	pub packets: u64,
	/// Time up to then, from the first packet on.
	pub after: Duration,
}

/// What came of a recording.
#[derive(Clone, Debug, Default)]
pub struct Replay {
	/// What was found, in order.
	pub found: Vec<Found>,
	/// What was looked at.
	pub counts: Counts,
	/// From the first packet to the last.
	pub length: Duration,
	/// Time that it took.
	pub took: Duration,
}

/// Replays the file.
pub fn replay(path: &Path, settings: &engine::Settings) -> Result<Replay, ReplayError> {
	if settings.home.is_empty() {
		return Err(ReplayError::NoHome);
	}
	let at = |source| ReplayError::Pcap { path: path.into(), source };
	let mut recording = pcap::open(path).map_err(at)?;
	let mut engine = Engine::new(settings, random(), |_| false)?;
	let (mut replay, mut found, mut first, mut last) = (Replay::default(), Vec::new(), None, 0);
	let begun = Instant::now();
	while let Some((frame, link)) = recording.next_frame().map_err(at)? {
		let from = *first.get_or_insert(frame.time);
		last = frame.time.max(last);
		// What makes no sense is counted by the engine.
		let _ = engine.frame(link, frame.bytes, frame.time, 1, &mut found);
		take(&mut replay.found, &mut found, engine.counts().frames, frame.time.saturating_sub(from));
	}
	let from = first.unwrap_or_default();
	for step in (0..=AFTERWARDS).step_by(usize::try_from(engine::TICK).unwrap_or(100)) {
		let now = last / NANOS_PER_MILLI + step;
		engine.tick(now, &mut found);
		take(&mut replay.found, &mut found, engine.counts().frames, (now * NANOS_PER_MILLI).saturating_sub(from));
	}
	replay.counts = engine.counts();
	replay.length = Duration::from_nanos(last.saturating_sub(from));
	replay.took = begun.elapsed();
	Ok(replay)
}

fn take(into: &mut Vec<Found>, found: &mut Vec<Finding>, packets: u64, nanos: u64) {
	let after = Duration::from_nanos(nanos);
	into.extend(found.drain(..).map(|finding| Found { finding, packets, after }));
}

impl Replay {
	/// For programs.
	pub fn json(&self) -> Value {
		let findings: Vec<_> = self.found.iter().map(Found::json).collect();
		let Counts { frames, not_ip, malformed, inbound, outbound, .. } = self.counts;
		json!({
			"frames": frames,
			"not-ip": not_ip,
			"malformed": malformed,
			"inbound": inbound,
			"outbound": outbound,
			"seconds": self.length.as_secs_f64(),
			"findings": findings,
		})
	}

	/// For people.
	pub fn text(&self) -> String {
		let Counts { frames, malformed, inbound, outbound, .. } = self.counts;
		let length = self.length.as_secs_f64();
		let mut text = format!(
			"{frames} frames in {length:.1} s, {inbound} to the home, {outbound} from it, {malformed} malformed; looked at in {:.2} s\n",
			self.took.as_secs_f64(),
		);
		for Found { finding, packets, after } in &self.found {
			let action = finding.action.map_or("as configured".into(), action);
			let doubt = if finding.spoofable { ", may be forged" } else { "" };
			let audience = if finding.audience == Audience::Owner { ", for the owner" } else { "" };
			text += &format!(
				"{:>8.3} s  {} ({}{doubt}{audience})  {}\n            {action}: {}\n            after {packets} packets; {}\n",
				after.as_secs_f64(),
				finding.detector,
				finding.severity,
				finding.threat,
				finding.indicator,
				finding.note,
			);
			if let Some(fit) = finding.fit {
				text += &format!(
					"            covers {} of {} packets of the attack, would hit {} of {} from before it\n",
					fit.covered, fit.attack, fit.hit, fit.innocent
				);
			}
			for sample in finding.samples.iter().take(3) {
				text += &format!("            {sample}\n");
			}
		}
		if self.found.is_empty() {
			text += "nothing was found\n";
		}
		text.truncate(text.trim_end().len());
		text
	}
}

fn action(action: Action) -> String {
	action.to_string()
}

impl Found {
	fn json(&self) -> Value {
		let Self { finding, packets, after } = self;
		json!({
			"after-seconds": after.as_secs_f64(),
			"after-packets": packets,
			"detector": finding.detector,
			"version": finding.version,
			"indicator": finding.indicator.to_string(),
			"threat": finding.threat,
			"severity": finding.severity,
			"action": finding.action.map(action),
			"spoofable": finding.spoofable,
			"for-the-owner": finding.audience == Audience::Owner,
			"note": finding.note.as_str(),
			"packets": finding.packets,
			"bytes": finding.bytes,
			"coverage-permille": finding.fit.map(|fit| fit.coverage_permille()),
			"collateral-permille": finding.fit.map(|fit| fit.collateral_permille()),
			"hop-limit": finding.fit.and_then(|fit| fit.hop_limit),
			"samples": finding.samples.iter().map(ToString::to_string).collect::<Vec<_>>(),
		})
	}
}

/// The networks given on the command line, else those of the configuration.
pub fn home(given: &[Network], configured: &[Network]) -> Vec<Network> {
	if given.is_empty() { configured } else { given }.to_vec()
}
