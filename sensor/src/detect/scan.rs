//! Scans: who knocks at many doors, most of which stay shut.
//!
//! Doors that open are no sign of a scan, whoever comes to many of them: so a crawler, a mail server or a busy client is not
//! mistaken for one. Different doors are estimated from what was looked at; under sampling that is a lower bound.
//!
//! # Security considerations
//!
//! A source is watched from its second knock on: a flood of forged sources, none of which comes twice, takes nobody's place.

use super::{
	knock::{Kind, Step, What},
	trail::{Due, Told, Trail},
	About, Seen, Setting, Values,
};
use crate::{
	finding::Finding,
	sketch::{Distinct, Secret, Table, Weighty},
};
use ringfence_primitives::{Address, Indicator, Millis, Severity, ThreatClass};

/// The setting for the time of a scan.
pub const WINDOW: Setting =
	Setting { name: "window", default: 60, least: 1, most: 3_600, meaning: "seconds in which they are counted" };
/// The setting for what proves who scans.
pub const HANDSHAKES: Setting = Setting {
	name: "handshakes",
	default: 3,
	least: 1,
	most: 1_000,
	meaning: "doors of the scan whose handshake a source must complete to count as proven",
};

/// Sources that are watched: two megabytes.
const SOURCES: usize = 2_048;
/// Milliseconds that the home has to answer before a door counts as shut.
const GRACE: Millis = 500;
/// Sources whose first knock is remembered: a quarter of a megabyte.
const ONCE: usize = 65_536;

/// When knocks are a scan.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
	/// Different addresses that were knocked at.
	pub addresses: u64,
	/// Different doors that stayed shut.
	pub doors: u64,
	/// Different doors whose handshake the source must have completed to be proven.
	pub proofs: u64,
	/// Milliseconds in which all of it happened.
	pub window: Millis,
}

/// What one source did within a window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
	/// Its knocks.
	pub trail: Trail,
	/// Different addresses that it knocked at.
	pub addresses: Distinct,
	/// Different doors that it knocked at, that the home opened, and whose handshake it completed.
	doors: Distinct,
	opened: Distinct,
	proofs: Distinct,
	/// How often another door seemed to be a new one.
	news: u64,
	/// The last port that it knocked at, and whether there were others.
	port: u16,
	ports_differ: bool,
	kind: Kind,
	kinds_differ: bool,
	/// Its knocks were a scan when last judged.
	found: bool,
	/// It waits to be judged.
	suspect: bool,
	proven: bool,
	told: Told,
}

impl Weighty for Scan {
	fn weight(&self) -> u64 {
		self.news
	}
}

impl Scan {
	fn enough(&self, limits: &Limits) -> bool {
		if self.trail.looked < limits.doors || self.addresses.estimate() < limits.addresses {
			return false;
		}
		let (doors, opened) = (self.doors.estimate(), self.opened.estimate());
		let shut = doors.saturating_sub(opened);
		shut >= limits.doors && shut >= opened
	}

	/// Different doors that it knocked at.
	pub fn doors(&self) -> u64 {
		self.doors.estimate()
	}

	/// The port, if there is but one.
	pub fn port(&self) -> Option<u16> {
		(!self.ports_differ).then_some(self.port)
	}

	/// The finding, with figures in front of how the source knocked.
	pub fn finding(&self, about: &About, source: Address, figures: &str) -> Finding {
		let kinds = if self.kinds_differ { String::from("several sorts") } else { self.kind.to_string() };
		let proofs = match self.proofs.estimate() {
			0 => String::new(),
			proofs => format!(", {proofs} handshakes"),
		};
		let note = format!("{figures} ({kinds}{proofs})");
		let finding = self.trail.finding(about, Indicator::Host(source), ThreatClass::Scan, Severity::Medium, &note);
		Finding { spoofable: !self.proven, ..finding }
	}
}

/// All scans of one sort: `K` is what is counted apart.
pub struct Scans<K> {
	limits: Limits,
	secret: Secret,
	/// 32 bits of the hash of who knocked once.
	once: Box<[u32]>,
	sources: Table<K, Scan>,
	due: Due<K>,
}

impl<K: Copy + Eq> Scans<K> {
	/// Nobody scans yet. `addresses` and `doors` as in [`Limits`]; the rest is set.
	pub fn new(addresses: u64, doors: u64, values: &Values<'_>, secret: &Secret) -> Self {
		let window = values.get("window").saturating_mul(1_000);
		let limits = Limits { addresses, doors, proofs: values.get("handshakes"), window };
		let secret = secret.clone();
		let once = vec![0; ONCE].into_boxed_slice();
		Self { limits, secret, once, sources: Table::new(SOURCES, window), due: Due::new() }
	}

	/// Takes in a packet; `key` names what it is counted under, and its hash.
	pub fn see(&mut self, seen: &Seen<'_>, key: impl Fn(&Secret, &Step) -> (u64, K)) {
		let Some(step) = seen.step else { return };
		let (hash, key) = key(&self.secret, &step);
		if self.sources.get(hash, &key).is_none() && !(matches!(step.what, What::Knock(_)) && self.again(hash)) {
			return;
		}
		let Some(scan) = self.sources.touch(hash, key, seen.now) else { return };
		if seen.now.saturating_sub(scan.trail.first) > self.limits.window && !scan.suspect {
			*scan = Scan { told: scan.told, ..Scan::default() };
		}
		let door = self.secret.hash((step.home_hash, step.port));
		let mut judge = scan.found;
		match step.what {
			What::Knock(kind) => {
				let before = scan.doors;
				let first = scan.trail.looked == 0;
				scan.trail.add(seen);
				scan.addresses.insert(step.home_hash);
				scan.doors.insert(door);
				if scan.doors != before {
					scan.news += 1;
					judge = true;
				}
				scan.ports_differ |= !first && scan.port != step.port;
				scan.kinds_differ |= !first && scan.kind != kind;
				(scan.port, scan.kind) = (step.port, kind);
			}
			What::Answer => scan.opened.insert(door),
			What::Proof => {
				scan.proofs.insert(door);
				scan.proven = scan.proofs.estimate() >= self.limits.proofs;
			}
		}
		// The dearest question comes last.
		if judge && !scan.suspect && scan.told.due(seen.now, !scan.proven) {
			scan.found = scan.enough(&self.limits);
			scan.suspect = scan.found && self.due.push(hash, key, seen.now.saturating_add(GRACE));
		}
	}

	/// Whether this one knocked before; from now on it did.
	fn again(&mut self, hash: u64) -> bool {
		// The low bits say where, the high ones who.
		let Some(slot) = self.once.get_mut(hash as usize % ONCE) else { return false };
		let tag = (hash >> 32) as u32;
		std::mem::replace(slot, tag) == tag
	}

	/// Judges whom the home had the time to answer.
	pub fn tick(&mut self, now: Millis, mut found: impl FnMut(K, &Scan)) {
		let Self { limits, sources, due, .. } = self;
		due.take(now, |hash, key| {
			if sources.get(hash, &key).is_none() {
				return;
			}
			// Time 0: being judged does not keep it.
			let Some(scan) = sources.touch(hash, key, 0).filter(|scan| scan.suspect) else { return };
			scan.suspect = false;
			scan.found = scan.enough(limits);
			if scan.found {
				scan.told.tell(now, !scan.proven);
				found(key, scan);
			}
		});
	}
}
