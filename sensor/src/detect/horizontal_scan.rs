//! One source knocks at many addresses of the home: at one port, or at many.

use super::{
	scan::{self, Scans},
	About, Detector, Seen, Setting, Values,
};
use crate::{finding::Finding, learn::Background, sketch::Secret};
use ringfence_primitives::{Address, Millis};

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "horizontal-scan",
	description: "one source knocks (SYN, NULL, FIN, XMAS, bare ACK, UDP) at many addresses of the home, most of which stay shut",
	false_positives: "a peer-to-peer client that looks for many subscribers at once; a monitoring service; under sampling, missed answers",
	version: 1,
	settings: &[
		Setting {
			name: "addresses",
			default: 24,
			least: 3,
			most: 60_000,
			meaning: "different addresses of the home, at doors that stay shut",
		},
		scan::WINDOW,
		scan::HANDSHAKES,
	],
};

/// The detector.
pub struct HorizontalScan(Scans<Address>);

/// Makes one.
pub fn make(values: &Values<'_>, secret: &Secret) -> Box<dyn Detector> {
	let addresses = values.get("addresses");
	Box::new(HorizontalScan(Scans::new(addresses, addresses, values, secret)))
}

impl Detector for HorizontalScan {
	fn about(&self) -> &'static About {
		&ABOUT
	}

	fn see(&mut self, seen: &Seen<'_>) {
		self.0.see(seen, |_, step| (step.peer_hash, step.peer));
	}

	fn tick(&mut self, now: Millis, _: &Background, findings: &mut Vec<Finding>) {
		self.0.tick(now, |source, scan| {
			let ports = match scan.port() {
				Some(port) => format!("port {port}"),
				None => format!("{} doors", scan.doors()),
			};
			let (addresses, seconds) = (scan.addresses.estimate(), scan.trail.seconds());
			let figures = format!("{addresses} addresses of the home in {seconds} s, {ports}");
			findings.push(scan.finding(&ABOUT, source, &figures));
		});
	}
}
