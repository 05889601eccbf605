//! Each attack is found by its detector, alone and among innocent traffic; the innocent are left alone.

use super::{mix::Mix, *};
use crate::flood::{self, Generator, Kind, Plan};
use proptest::prelude::*;
use ringfence_enforcer::daemon::capture::pcap::{PcapError, Recording};
use ringfence_sensor::{detect, engine, Engine};

/// The table of `runs`, and of those that are wrong.
fn judged(runs: Vec<Run>, wrong: impl Fn(&Row) -> bool) -> (Vec<Row>, Vec<String>) {
	let rows: Vec<Row> = runs.iter().map(|run| judge(run).expect("a run that can be made")).collect();
	let names = rows.iter().filter(|row| wrong(row)).map(|row| row.name.clone()).collect();
	(rows, names)
}

/// Missed, said too soon, or told by a signature that lets too much through.
fn failed(row: &Row) -> bool {
	row.found.is_none()
		|| row.coverage.is_some_and(|coverage| !coverage.reaches(COVERAGE))
		|| row.others.iter().any(|other| other.contains("before"))
}

#[test]
fn every_detector_has_an_attack_and_every_attack_a_detector() {
	let attacks = attacks::all();
	for (about, _) in detect::ALL {
		assert!(attacks.iter().any(|attack| attack.detector == about.name), "no attack for {}", about.name);
	}
	for attack in attacks {
		assert!(
			detect::ALL.iter().any(|(about, _)| about.name == attack.detector),
			"{}: there is no detector {}",
			attack.name,
			attack.detector
		);
		let run = Run::alone(&attack);
		let mut frames = 0_u64;
		run.play(&mut |_, _, _, hostile| frames += u64::from(hostile)).expect("an attack that can be made");
		let expected = attack.rate * attack.seconds as f64;
		assert!((frames as f64 - expected).abs() < expected / 2.0, "{}: {frames} frames", attack.name);
	}
}

#[test]
fn every_attack_is_found_by_its_detector() {
	let (rows, wrong) = judged(attacks::all().iter().map(Run::alone).collect(), failed);
	assert!(wrong.is_empty(), "{wrong:?}:\n{}", table::text(&rows));
}

#[test]
fn an_attack_is_found_among_four_times_as_much_innocent_traffic() {
	let (rows, wrong) = judged(attacks::all().iter().map(|attack| Run::mixed(attack, 20)).collect(), |row| {
		// One innocent packet in a hundred is too many.
		failed(row) || row.collateral.is_some_and(|part| part.of * 100 > part.whole)
	});
	assert!(wrong.is_empty(), "{wrong:?}:\n{}", table::text(&rows));
	for row in &rows {
		assert!(row.share.of > 0 && !row.share.reaches(600), "{}: {}", row.name, row.share);
	}
}

#[test]
fn innocent_households_are_left_alone() {
	let runs = [innocent(1, 50, 300, 1), innocent(1, 500, 60, 2), innocent(30, 20, 60, 3)].map(Run::innocent);
	let (rows, wrong) = judged(runs.to_vec(), |row| !row.others.is_empty());
	assert!(wrong.is_empty(), "{wrong:?}:\n{}", table::text(&rows));
}

#[test]
fn real_recordings_reach_the_aims() {
	let Some(data) = env::var_os("RINGFENCE_DATA") else {
		eprintln!("SKIPPED: RINGFENCE_DATA is not set, no real recordings to read");
		return;
	};
	let runs = recordings(Path::new(&data)).expect("recordings");
	let known: Vec<Run> = runs.into_iter().filter(|run| run.truth != Truth::Unknown).collect();
	assert_eq!(known.len(), run::KNOWN.len());
	let (rows, _) = judged(known.clone(), |_| false);
	let aims = aims(&rows, &known).expect("recordings");
	assert!(aims.iter().all(|aim| aim.met), "{aims:#?}\n{}", table::text(&rows));
}

#[test]
fn what_is_mixed_comes_in_order_of_time_and_keeps_its_truth() {
	let frames = |times: &'static [u64], byte: u8| times.iter().map(move |at| (*at, vec![byte]));
	let mut mix = Mix::default();
	mix.add(frames(&[1, 4, 4, 9], 1), true);
	mix.add(frames(&[], 2), false);
	mix.add(frames(&[0, 2, 4, 10, 11], 3), false);
	let all: Vec<_> = mix.map(|frame| (frame.at, frame.bytes[0], frame.hostile)).collect();
	let (a, b) = (|at: u64| (at, 1_u8, true), |at: u64| (at, 3_u8, false));
	assert_eq!(all, [b(0), a(1), b(2), a(4), a(4), b(4), a(9), b(10), b(11)]);
}

fn row(truth: Truth, found: bool, others: &[&str]) -> Row {
	Row {
		name: "a run".into(),
		truth,
		share: Part { of: 1, whole: 3 },
		found: found.then_some((1_234, 56)),
		coverage: found.then_some(Part { of: 99_999, whole: 100_000 }),
		collateral: None,
		precision: None,
		recall: None,
		others: others.iter().map(|other| (*other).to_owned()).collect(),
		signatures: Default::default(),
	}
}

#[test]
fn a_run_counts_as_found_or_as_silent() {
	let rows = [
		row(Truth::Hostile("syn-flood"), true, &["horizontal-scan"]),
		row(Truth::Hostile("syn-flood"), false, &["udp-flood"]),
		row(Truth::Innocent, false, &[]),
		row(Truth::Innocent, false, &["udp-flood"]),
		row(Truth::Unknown, false, &["udp-flood"]),
	];
	let totals = Totals::of(&rows);
	assert_eq!(totals.recall, Part { of: 1, whole: 2 });
	assert_eq!(totals.precision, Part { of: 1, whole: 2 });
	assert_eq!(totals.silent, Part { of: 1, whole: 2 });
	let aims = aims(&rows, &[]).expect("no recordings to read");
	assert_eq!(aims.iter().map(|aim| aim.met).collect::<Vec<_>>(), [false, false]);
}

#[test]
fn columns_stand_below_their_heads_and_nothing_is_rounded_up() {
	let text = table::text(&[row(Truth::Hostile("syn-flood"), true, &[]), row(Truth::Innocent, false, &["mirai"])]);
	let lines: Vec<&str> = text.lines().collect();
	let [head, hostile, innocent] = lines.as_slice() else { panic!("{text}") };
	let end = |line: &str, cell: &str| line.find(cell).map(|at| at + cell.len());
	assert!(end(head, "found after").is_some());
	assert_eq!(end(head, "found after"), end(hostile, "1.23 s"));
	assert_eq!(end(head, "coverage"), end(hostile, "99.99 %"));
	assert_eq!(head.find("others"), innocent.find("mirai"));
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	/// That nothing grows meanwhile, the sensor's own tests show.
	#[test]
	fn a_recording_that_breaks_off_anywhere_and_frames_that_are_cut_harm_nobody(
		kind in 0..Kind::ALL.len(),
		packets in 1..300_u64,
		seed in any::<u64>(),
		kept in 0.0..=1.0_f64,
		longest in 0..1_600_usize,
	) {
		let plan = Plan { packets, ..Plan::new(Kind::ALL[kind], attacks::VICTIM) };
		let mut file = Vec::new();
		let generator = Generator::new(plan, seed).expect("a plan within limits");
		prop_assert_eq!(flood::pcap::write(&mut file, generator).expect("memory takes it"), packets);
		file.truncate((file.len() as f64 * kept) as usize);
		let settings = engine::Settings { home: vec![attacks::around(24)], ..engine::Settings::default() };
		let mut engine = Engine::new(&settings, seed, |_| true).expect("settings as they are");
		let mut findings = Vec::new();
		let mut recording = match Recording::new(file.as_slice()) {
			Ok(recording) => recording,
			Err(error) => {
				prop_assert!(matches!(error, PcapError::Format | PcapError::Truncated(_)), "{}", error);
				return Ok(());
			}
		};
		let mut read = 0;
		loop {
			match recording.next_frame() {
				Ok(Some((frame, link))) => {
					read += 1;
					let bytes = frame.bytes.get(..longest).unwrap_or(frame.bytes);
					let _ = engine.frame(link, bytes, frame.time, 1, &mut findings);
				}
				Ok(None) => break,
				Err(error) => {
					prop_assert!(matches!(error, PcapError::Truncated(_)), "{}", error);
					break;
				}
			}
		}
		prop_assert!(read <= packets);
		prop_assert_eq!(engine.counts().frames, read);
	}
}
