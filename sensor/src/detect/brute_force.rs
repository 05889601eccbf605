//! One source makes many telnet or SSH connections to the home: it guesses passwords.
//!
//! Connections are counted, each once, when its handshake completes: a long session is one of them, however much is typed,
//! and nobody can be made to look guilty by forged packets.

use super::{
	knock::{Step, What},
	trail::{Due, Told, Trail},
	About, Detector, Seen, Setting, Side, Values,
};
use crate::{
	finding::Finding,
	learn::Background,
	sketch::{Distinct, Secret, Table, Weighty},
};
use ringfence_primitives::{Address, Indicator, Millis, Severity, ThreatClass};

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "brute-force",
	description: "one source completes many telnet (23, 2323) or SSH (22) connections to the home",
	false_positives:
		"automation over SSH, such as backups or a repository that is polled; many people behind one address",
	version: 1,
	settings: &[
		Setting {
			name: "telnet",
			default: 8,
			least: LEAST,
			most: 100_000,
			meaning: "telnet connections of one source",
		},
		Setting { name: "ssh", default: 20, least: LEAST, most: 100_000, meaning: "SSH connections of one source" },
		Setting { name: "window", default: 300, least: 1, most: 86_400, meaning: "seconds in which they are counted" },
	],
};

/// Connections that are really seen before anything is said: under sampling, a few would stand for many.
const LEAST: u64 = 5;
/// Sources that are watched: a megabyte. Each has completed a handshake, so it takes real addresses to fill it.
const SOURCES: usize = 1_024;
const SSH: u16 = 22;

/// What one source did within a window.
#[derive(Clone, Copy, Debug, Default)]
struct Guesser {
	/// The packets that completed handshakes.
	trail: Trail,
	homes: Distinct,
	telnet: u64,
	ssh: u64,
	told: Told,
}

impl Weighty for Guesser {
	fn weight(&self) -> u64 {
		self.trail.looked
	}
}

/// The detector.
pub struct BruteForce {
	telnet: u64,
	ssh: u64,
	window: Millis,
	sources: Table<Address, Guesser>,
	due: Due<Address>,
}

/// Makes one.
pub fn make(values: &Values<'_>, _: &Secret) -> Box<dyn Detector> {
	let window = values.get("window").saturating_mul(1_000);
	Box::new(BruteForce {
		telnet: values.get("telnet"),
		ssh: values.get("ssh"),
		window,
		sources: Table::new(SOURCES, window),
		due: Due::new(),
	})
}

impl Detector for BruteForce {
	fn about(&self) -> &'static About {
		&ABOUT
	}

	fn see(&mut self, seen: &Seen<'_>) {
		let Some(tcp) = seen.packet.tcp() else { return };
		let port = if seen.side == Side::Inbound { tcp.destination } else { tcp.source };
		if !matches!(port, SSH | 23 | 2_323) {
			return;
		}
		let Some(Step { what: What::Proof, peer, peer_hash, home_hash, .. }) = seen.step else { return };
		let Some(source) = self.sources.touch(peer_hash, peer, seen.now) else { return };
		if seen.now.saturating_sub(source.trail.first) > self.window && !source.told.waits(seen.now) {
			*source = Guesser { told: source.told, ..Guesser::default() };
		}
		source.trail.add(seen);
		source.homes.insert(home_hash);
		let counted = if port == SSH { &mut source.ssh } else { &mut source.telnet };
		*counted = counted.saturating_add(u64::from(seen.weight));
		let enough = source.telnet >= self.telnet || source.ssh >= self.ssh;
		if enough
			&& source.trail.looked >= LEAST
			&& source.told.due(seen.now, false)
			&& self.due.push(peer_hash, peer, seen.now)
		{
			source.told.tell(seen.now, false);
		}
	}

	fn tick(&mut self, now: Millis, _: &Background, findings: &mut Vec<Finding>) {
		let Self { sources, due, .. } = self;
		due.take(now, |hash, peer| {
			let Some(source) = sources.get(hash, &peer) else { return };
			let (telnet, ssh, seconds) = (source.telnet, source.ssh, source.trail.seconds());
			let made = match (telnet, ssh) {
				(telnet, 0) => format!("{telnet} telnet"),
				(0, ssh) => format!("{ssh} SSH"),
				(telnet, ssh) => format!("{telnet} telnet and {ssh} SSH"),
			};
			let homes = source.homes.estimate();
			let note = format!("{made} connections in {seconds} s, addresses of the home: {homes}");
			let (indicator, threat) = (Indicator::Host(peer), ThreatClass::BruteForce);
			let finding = source.trail.finding(&ABOUT, indicator, threat, Severity::High, &note);
			findings.push(Finding { spoofable: false, ..finding });
		});
	}
}
