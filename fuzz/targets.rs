//! What is fuzzed: everything that reads what somebody else wrote. Each takes any bytes and tells whether they were
//! accepted; none may panic, hang or ask for much memory, and whoever finds bytes that are accepted, and that no key of
//! `forge` has signed, has found a hole.
//!
//! Included by path from the fuzzer's binaries and from `enforcer/tests/corpus.rs`, which replays what was found.

use crate::forge;
use codec::Decode;
use ringfence_enforcer::{
	core::{
		alert::{
			decisions::{self, Decision},
			eve, fast, snort, AlertError,
		},
		blake2_256,
		finality::{AuthoritySet, GenesisProof, Handoffs},
		frame::Frame,
		list::{self, Layout},
		proof,
	},
	daemon::{config::Config, control::Request},
};
use ringfence_primitives::{Digest, Network};
use ringfence_sensor::{engine::Settings, finding::MAX_SAMPLES, Engine, Link, Packet};
use std::sync::OnceLock;

/// The validators of the chain that is believed.
pub const VALIDATORS: [u8; 4] = [1, 2, 3, 4];

/// Reads foreign bytes; whether they were taken.
type Target = fn(&[u8]) -> bool;

/// All of them, under the names of their corpora.
#[allow(dead_code, reason = "a fuzzer's binary runs one")]
pub static ALL: [(&str, Target); 14] = [
	("frame", frame),
	("justification", justification),
	("handoffs", handoffs),
	("genesis", genesis),
	("proof", proof),
	("control-request", control_request),
	("config", config),
	("eve", eve),
	("fast", fast),
	("snort-json", snort_json),
	("decisions", decisions),
	("list", list),
	("packet", packet),
	("engine", engine),
];

fn set() -> &'static AuthoritySet {
	static SET: OnceLock<AuthoritySet> = OnceLock::new();
	SET.get_or_init(|| forge::first_set(&VALIDATORS))
}

fn json(data: &[u8]) -> Option<serde_json::Value> {
	serde_json::from_slice(data).ok()
}

/// An item of the subscription, or a heartbeat, as JSON.
pub fn frame(data: &[u8]) -> bool {
	let Some(frame) = json(data).and_then(|item| Frame::decode(item).ok()) else { return false };
	let changes = frame.clone().verify(set(), 0).is_ok();
	let plain = frame.clone().verify_heartbeat(set(), 0, false).is_ok();
	changes | plain | frame.verify_heartbeat(set(), 0, true).is_ok()
}

/// SCALE: a header's bytes and those of a justification.
pub fn justification(data: &[u8]) -> bool {
	let Ok((header, votes)) = <(Vec<u8>, Vec<u8>)>::decode(&mut &data[..]) else { return false };
	set().verify(&header, &votes).is_ok()
}

/// The answer of `ringfence_handoffs`, as JSON.
pub fn handoffs(data: &[u8]) -> bool {
	let Some(answer) = json(data).and_then(|answer| Handoffs::decode(answer).ok()) else { return false };
	answer.handoffs.iter().try_fold(set().clone(), |set, handoff| set.advance(handoff)).is_ok()
}

/// The answer of `ringfence_genesis`, as JSON; whatever it calls the first block is the one that is looked for.
pub fn genesis(data: &[u8]) -> bool {
	let Some(proof) = json(data).and_then(|answer| GenesisProof::decode(answer).ok()) else { return false };
	AuthoritySet::genesis(&blake2_256(&proof.header), &proof).is_ok()
}

/// SCALE: a state root, trie nodes, keys.
pub fn proof(data: &[u8]) -> bool {
	type Input = (Digest, Vec<Vec<u8>>, Vec<Vec<u8>>);
	let Ok((root, nodes, keys)) = Input::decode(&mut &data[..]) else { return false };
	proof::read(&root, &nodes, &keys).is_ok()
}

/// A line that somebody writes to the daemon's socket.
pub fn control_request(data: &[u8]) -> bool {
	Request::decode(data).is_ok()
}

/// The configuration file.
pub fn config(data: &[u8]) -> bool {
	std::str::from_utf8(data).is_ok_and(|text| Config::parse(text).is_ok())
}

/// A line of Suricata's EVE.
pub fn eve(data: &[u8]) -> bool {
	eve::parse(data).is_ok_and(|alert| alert.is_some())
}

/// A line of `alert_fast`.
pub fn fast(data: &[u8]) -> bool {
	fast::parse(data).is_ok_and(|alert| alert.is_some())
}

/// A line of Snort's `alert_json`.
pub fn snort_json(data: &[u8]) -> bool {
	snort::parse(data).is_ok_and(|alert| alert.is_some())
}

/// A line of fail2ban's, or a document or a line of CrowdSec's.
pub fn decisions(data: &[u8]) -> bool {
	type Read = Result<Vec<Result<Decision, AlertError>>, AlertError>;
	let any = |read: Read| read.is_ok_and(|all| all.iter().any(Result::is_ok));
	any(decisions::fail2ban(data)) | any(decisions::crowdsec(data))
}

/// A list, in every layout.
pub fn list(data: &[u8]) -> bool {
	let layouts = [
		Layout::Plain,
		Layout::Csv { column: None },
		Layout::Csv { column: Some("ip".into()) },
		Layout::Trails,
		Layout::Fail2ban,
		Layout::Crowdsec,
	];
	let read = |layout: &Layout| list::parse_as(layout, data, None, &[]).is_ok_and(|list| !list.indicators.is_empty());
	// All of them, whichever accept it.
	layouts.iter().filter(|&layout| read(layout)).count() > 0
}

/// One octet for the link, and a frame.
pub fn packet(data: &[u8]) -> bool {
	let Some((&first, frame)) = data.split_first() else { return false };
	Packet::parse(link(first), frame).is_ok_and(|packet| packet.payload.len() <= frame.len())
}

fn link(octet: u8) -> Link {
	match octet % 5 {
		0 => Link::Ethernet,
		1 => Link::Raw,
		2 => Link::Cooked,
		3 => Link::CookedV2,
		_ => Link::Null,
	}
}

/// Frames, each behind the milliseconds since the one before (two octets), its link, its weight, and its length (two octets).
/// Accepted if the last is whole and something went to or from 203.0.113.0/24.
pub fn engine(data: &[u8]) -> bool {
	let home = "203.0.113.0/24".parse::<Network>().into_iter().collect();
	let settings = Settings { home, ..Settings::default() };
	// One address in four is known to be bad.
	let Ok(mut engine) = Engine::new(&settings, 1, |address| address.octets().last().is_some_and(|last| last % 4 == 0))
	else {
		return false;
	};
	let (mut rest, mut findings, mut now) = (data, Vec::new(), 1_700_000_000_000);
	while let [later, sooner, first, weight, high, low, behind @ ..] = rest {
		now += u64::from(u16::from_be_bytes([*later, *sooner]));
		let length = usize::from(u16::from_be_bytes([*high, *low]));
		let Some((frame, next)) = behind.split_at_checked(length) else { return false };
		// What makes no sense is counted.
		let _ = engine.frame(link(*first), frame, now * 1_000_000, u32::from(*weight), &mut findings);
		rest = next;
	}
	engine.tick(now + 60_000, &mut findings);
	for finding in &findings {
		assert!(
			finding.first_seen <= finding.last_seen && finding.last_seen <= now && finding.packets > 0,
			"{finding:?}"
		);
		assert!(finding.samples.len() <= MAX_SAMPLES && finding.sampling > 0, "{finding:?}");
	}
	let counts = engine.counts();
	rest.is_empty() && counts.inbound + counts.outbound > 0
}
