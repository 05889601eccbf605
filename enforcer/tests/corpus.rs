//! Replays what the fuzzer starts from, and what it once found, through the very functions that it calls.

mod forge;
#[path = "../../fuzz/targets.rs"]
mod targets;

use codec::Encode;
use forge::*;
use ringfence_enforcer::core::hex;
use ringfence_primitives::{keys, ActiveDigest};
use serde_json::json;
use std::{fs, path::PathBuf};
use targets::{ALL, VALIDATORS};

fn corpus(target: &str) -> PathBuf {
	PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

/// Sound inputs, under their targets and names, without which a fuzzer would never get past the first check.
fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
	let log = log(3);
	let block = header(7, Default::default(), [5; 32], Vec::new());
	let next = child(&block, 1);
	let votes = vec![vote(1, 0, &block), vote(2, 0, &next), vote(3, 0, &block)];
	let branched = justification(&block, votes, vec![next]);
	let (_, first) = genesis(&VALIDATORS);
	let handoff = handoff(&VALIDATORS, 0, 9, vec![naming(&VALIDATORS, 0)]);
	let (state, _) = state(&log, ActiveDigest::default().encode());
	let wanted = vec![keys::log_head().to_vec(), keys::change(2).to_vec(), keys::change(9).to_vec()];
	let handed = json!({
		"handoffs": [{ "header": hex::encode(&handoff.header), "justification": hex::encode(&handoff.justification) }],
		"complete": true,
	});
	let begun = json!({
		"header": hex::encode(&first.header),
		"proof": first.proof.iter().map(|node| hex::encode(node)).collect::<Vec<_>>(),
	});
	let digest = Some(ActiveDigest::default().encode());
	vec![
		("frame", "valid-changes", frame(&VALIDATORS, 0, 7, &log, 1).to_string().into_bytes()),
		("frame", "valid-heartbeat", heartbeat(&VALIDATORS, 0, 7, &log, None).to_string().into_bytes()),
		("frame", "valid-digest", heartbeat(&VALIDATORS, 0, 7, &log, digest).to_string().into_bytes()),
		("justification", "valid-plain", (block.encode(), voted(&VALIDATORS, 0, &block).encode()).encode()),
		("justification", "valid-branched", (block.encode(), branched.encode()).encode()),
		("handoffs", "valid-one", handed.to_string().into_bytes()),
		("genesis", "valid-four", begun.to_string().into_bytes()),
		("proof", "valid-log", (state.root(), state.proof(&wanted), wanted).encode()),
		("packet", "valid-tagged", [&[0_u8][..], &tagged(&opening(1, 23))].concat()),
		("packet", "valid-raw", [&[1_u8][..], &opening(1, 23)].concat()),
		("engine", "valid-scan", recorded((1..=60).map(|number| opening(number, 23)))),
		("engine", "valid-flood", recorded((1..=60).map(|_| opening(9, 443)))),
	]
}

/// A SYN from 198.51.100.4 to an address of 203.0.113.0/24, with Mirai's mark.
fn opening(number: u8, port: u16) -> Vec<u8> {
	let home = [203, 0, 113, number];
	let mut bytes = vec![0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 198, 51, 100, 4];
	bytes.extend(home);
	bytes.extend(40_000_u16.to_be_bytes());
	bytes.extend(port.to_be_bytes());
	bytes.extend(home);
	bytes.extend([0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
	bytes
}

/// The same in an Ethernet frame with a VLAN tag.
fn tagged(packet: &[u8]) -> Vec<u8> {
	[&[2_u8; 12][..], &[0x81, 0, 0, 5, 8, 0], packet].concat()
}

/// Packets ten milliseconds apart, as the engine's target reads them.
fn recorded(packets: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
	let record = |packet: Vec<u8>| {
		let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
		[&[0_u8, 10, 1, 1][..], &length, &packet].concat()
	};
	packets.flat_map(record).collect()
}

/// With `RINGFENCE_WRITE_CORPUS` set, also writes them down.
#[test]
fn the_seeds_are_sound() {
	for (target, name, bytes) in seeds() {
		let (_, run) = ALL.iter().find(|(known, _)| *known == target).unwrap();
		assert!(run(&bytes), "{target}/{name}");
		if std::env::var_os("RINGFENCE_WRITE_CORPUS").is_some() {
			fs::create_dir_all(corpus(target)).unwrap();
			fs::write(corpus(target).join(name), &bytes).unwrap();
		}
	}
}

/// What is called `valid-…` is accepted, what is called `refused-…` is not, and nothing else matters of the others but
/// that they come to an end.
#[test]
fn the_corpus_is_replayed() {
	for (target, run) in ALL {
		let mut files: Vec<_> = fs::read_dir(corpus(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
		files.sort();
		assert!(!files.is_empty(), "{target} has no corpus");
		for file in files {
			let name = file.file_name().unwrap().to_string_lossy().into_owned();
			// Shown when the next line panics.
			println!("{target}/{name}");
			let accepted = run(&fs::read(&file).unwrap());
			assert!(accepted || !name.starts_with("valid-"), "{target}/{name} is sound");
			assert!(!accepted || !name.starts_with("refused-"), "{target}/{name} is not");
		}
	}
}

/// No beginning of a sound input, and none with a byte changed here and there, does any harm.
#[test]
fn mutilated_seeds_do_no_harm() {
	for (target, _, bytes) in seeds() {
		let (_, run) = ALL.iter().find(|(known, _)| *known == target).unwrap();
		let step = bytes.len() / 64 + 1;
		for place in (0..bytes.len()).step_by(step) {
			run(&bytes[..place]);
			let mut changed = bytes.clone();
			changed[place] ^= 0x55;
			run(&changed);
		}
	}
}
