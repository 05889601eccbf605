//! One source knocks at many ports of one address of the home.

use super::{
	scan::{self, Scans},
	About, Detector, Seen, Setting, Values,
};
use crate::{finding::Finding, learn::Background, sketch::Secret};
use ringfence_primitives::{Address, Millis};

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "vertical-scan",
	description: "one source knocks (SYN, NULL, FIN, XMAS, bare ACK, UDP) at many ports of one home address, most of which stay shut",
	false_positives: "a check that the owner ordered from outside; a flood at random ports from one source is found as well",
	version: 1,
	settings: &[
		Setting { name: "ports", default: 24, least: 3, most: 60_000, meaning: "different ports that stay shut" },
		scan::WINDOW,
		scan::HANDSHAKES,
	],
};

/// The detector. A scan is that of a source at one address.
pub struct VerticalScan(Scans<(Address, Address)>);

/// Makes one.
pub fn make(values: &Values<'_>, secret: &Secret) -> Box<dyn Detector> {
	Box::new(VerticalScan(Scans::new(1, values.get("ports"), values, secret)))
}

impl Detector for VerticalScan {
	fn about(&self) -> &'static About {
		&ABOUT
	}

	fn see(&mut self, seen: &Seen<'_>) {
		self.0.see(seen, |secret, step| (secret.hash((step.peer_hash, step.home_hash)), (step.peer, step.home)));
	}

	fn tick(&mut self, now: Millis, _: &Background, findings: &mut Vec<Finding>) {
		self.0.tick(now, |(source, _), scan| {
			let (ports, seconds) = (scan.doors(), scan.trail.seconds());
			let figures = format!("{ports} ports of one address of the home in {seconds} s");
			findings.push(scan.finding(&ABOUT, source, &figures));
		});
	}
}
