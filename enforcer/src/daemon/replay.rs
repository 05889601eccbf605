//! Recorded packets through the detectors, without a chain or a firewall: what would have been found, and when.

use super::{
	capture::pcap::{self, PcapError},
	random,
};
use ringfence_primitives::Network;
use ringfence_sensor::{
	detect::SettingError,
	engine::{self, Counts, NANOS_PER_MILLI},
	finding::Audience,
	Engine, Finding,
};
use serde_json::{json, Value};
use std::{
	path::{Path, PathBuf},
	time::{Duration, Instant},
};

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
#[derive(Debug, Default)]
pub struct Replay {
	/// What was found, in order.
	pub found: Vec<Found>,
	/// What was looked at.
	pub counts: Counts,
	/// From the first packet to the last.
	pub length: Duration,
	/// Time that it took.
	pub took: Duration,
	/// Why it was not looked at to the end.
	pub broken: Option<ReplayError>,
}

/// Replays the file. What was found before a place from which on it cannot be read is told: see [`Replay::broken`].
pub fn replay(path: &Path, settings: &engine::Settings) -> Result<Replay, ReplayError> {
	if settings.home.is_empty() {
		return Err(ReplayError::NoHome);
	}
	let at = |source| ReplayError::Pcap { path: path.into(), source };
	let mut recording = pcap::open(path).map_err(at)?;
	let mut engine = Engine::new(settings, random(), |_| false)?;
	let (mut replay, mut found, mut first, mut last) = (Replay::default(), Vec::new(), None, 0);
	let begun = Instant::now();
	replay.broken = loop {
		let (frame, link) = match recording.next_frame() {
			Ok(Some(next)) => next,
			Ok(None) => break None,
			Err(source) => break Some(at(source)),
		};
		let from = *first.get_or_insert(frame.time);
		last = frame.time.max(last);
		// What makes no sense is counted by the engine.
		let _ = engine.frame(link, frame.bytes, frame.time, 1, &mut found);
		take(&mut replay.found, &mut found, engine.counts().frames, frame.time.saturating_sub(from));
	};
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
			"broken": self.broken.as_ref().map(ToString::to_string),
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
			let action = finding.action.map_or("as configured".into(), |action| action.to_string());
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
			"action": finding.action.map(|action| action.to_string()),
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

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_primitives::{Indicator, Note, Severity, ThreatClass};
	use ringfence_sensor::finding::Fit;

	/// A UDP datagram without anything in it, as it is on a line that carries bare IP.
	fn datagram(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
		let head: [u8; 12] = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
		[&head[..], &source, &destination, &[0x9c, 0x40, 0, 53, 0, 8, 0, 0]].concat()
	}

	/// A pcap file of such packets, each with its time in milliseconds.
	fn recording(packets: &[(u32, Vec<u8>)]) -> Vec<u8> {
		let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
		// Version 2.4; bare IP.
		let mut file = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 101]);
		for (time, bytes) in packets {
			let length = u32::try_from(bytes.len()).unwrap();
			file.extend(words(&[time / 1_000, time % 1_000 * 1_000, length, length]));
			file.extend(bytes);
		}
		file
	}

	fn settings() -> engine::Settings {
		engine::Settings { home: vec!["203.0.113.0/24".parse().unwrap()], ..engine::Settings::default() }
	}

	fn replayed(file: &[u8], settings: &engine::Settings) -> Result<Replay, ReplayError> {
		let directory = tempfile::tempdir().unwrap();
		let path = directory.path().join("recording.pcap");
		std::fs::write(&path, file).unwrap();
		replay(&path, settings)
	}

	#[test]
	fn what_is_in_a_recording_is_counted_and_innocent_packets_are_no_finding() {
		let (peer, home) = ([198, 51, 100, 1], [203, 0, 113, 9]);
		let file = recording(&[
			(10_000, datagram(home, peer)),
			(10_500, datagram(peer, home)),
			(11_000, vec![0x95; 28]),
			(12_000, datagram(peer, [192, 0, 2, 1])),
		]);
		let replay = replayed(&file, &settings()).unwrap();
		let Counts { frames, not_ip, malformed, inbound, outbound, findings } = replay.counts;
		assert_eq!((frames, not_ip, malformed, inbound, outbound, findings), (4, 0, 1, 1, 1, 0));
		assert_eq!((replay.found.len(), replay.length), (0, Duration::from_secs(2)));
		let text = replay.text();
		assert!(text.starts_with("4 frames in 2.0 s, 1 to the home, 1 from it, 1 malformed; looked at in "), "{text}");
		assert!(text.ends_with("\nnothing was found"), "{text}");
		let json = replay.json();
		assert_eq!((&json["frames"], &json["malformed"], &json["not-ip"]), (&json!(4), &json!(1), &json!(0)));
		assert_eq!((&json["seconds"], &json["findings"]), (&json!(2.0), &json!([])));
	}

	#[test]
	fn a_recording_without_packets_has_nothing_in_it() {
		let replay = replayed(&recording(&[]), &settings()).unwrap();
		assert_eq!((replay.counts, replay.length, replay.found.len()), (Counts::default(), Duration::ZERO, 0));
	}

	#[test]
	fn without_a_home_nobody_is_attacked() {
		let homeless = replayed(&recording(&[]), &engine::Settings::default());
		assert!(matches!(homeless, Err(ReplayError::NoHome)));
		let network = |text: &str| text.parse::<Network>().unwrap();
		let (given, configured) = ([network("192.0.2.0/24")], [network("203.0.113.0/24")]);
		assert_eq!(home(&given, &configured), given, "the command line goes first");
		assert_eq!(home(&[], &configured), configured);
	}

	#[test]
	fn what_cannot_be_replayed_is_refused_with_its_cause() {
		let refusal = |file: &[u8], settings: &engine::Settings| replayed(file, settings).unwrap_err().to_string();
		let foreign = refusal(b"neither", &settings());
		assert!(foreign.contains("recording.pcap: ") && foreign.contains("neither a pcap nor a pcapng"), "{foreign}");
		let missing = replay(Path::new("/nowhere/recording.pcap"), &settings()).unwrap_err();
		assert!(missing.to_string().starts_with("/nowhere/recording.pcap: "), "{missing}");
		let mut unknown = settings();
		unknown.detectors.insert("telepathy".into(), engine::DetectorSettings::default());
		assert_eq!(refusal(&recording(&[]), &unknown), "there is no detector \"telepathy\"");
	}

	#[test]
	fn what_came_before_the_place_at_which_a_recording_breaks_off_is_told() {
		let packet = datagram([198, 51, 100, 1], [203, 0, 113, 9]);
		let mut file = recording(&[(1_000, packet.clone()), (2_000, packet)]);
		file.pop();
		let replay = replayed(&file, &settings()).unwrap();
		assert_eq!((replay.counts.frames, replay.counts.inbound), (1, 1));
		let cause = replay.broken.as_ref().unwrap().to_string();
		assert!(cause.contains("recording.pcap: ") && cause.contains("breaks off after"), "{cause}");
		assert_eq!(replay.json()["broken"], json!(cause));
	}

	#[test]
	fn a_finding_is_told_with_what_it_takes_to_believe_it() {
		let finding = Finding {
			detector: "syn-flood",
			version: 1,
			indicator: Indicator::Host("198.51.100.1".parse().unwrap()),
			threat: ThreatClass::DenialOfService,
			severity: Severity::High,
			action: None,
			spoofable: true,
			audience: Audience::Owner,
			note: Note::truncated("a flood"),
			first_seen: 10_000,
			last_seen: 10_800,
			packets: 900,
			bytes: 54_000,
			sampling: 1,
			fit: Some(Fit { attack: 1_000, covered: 990, innocent: 200, hit: 1, hop_limit: Some(64) }),
			samples: Vec::new(),
		};
		let found = vec![Found { finding, packets: 950, after: Duration::from_millis(800) }];
		let replay = Replay { found, ..Replay::default() };
		let text = replay.text();
		for told in [
			"0.800 s  syn-flood (",
			", may be forged, for the owner)  ",
			"as configured: 198.51.100.1",
			"after 950 packets; a flood",
			"covers 990 of 1000 packets of the attack, would hit 1 of 200 from before it",
		] {
			assert!(text.contains(told), "{told}: {text}");
		}
		assert!(!text.contains("nothing was found"), "{text}");
		let json = &replay.json()["findings"][0];
		assert_eq!((&json["indicator"], &json["after-packets"]), (&json!("198.51.100.1"), &json!(950)));
		assert_eq!((&json["spoofable"], &json["for-the-owner"]), (&json!(true), &json!(true)));
		assert_eq!((&json["coverage-permille"], &json["collateral-permille"]), (&json!(990), &json!(5)));
	}
}
