//! Far more HTTP requests to a web server at home than visitors send.
//!
//! A request comes over a connection, so who sends it is proven, and the sources that send most are named. A flow signature
//! would hit the visitors too: there is none. Requests that nobody proved are not counted.

use super::{
	flood::{self, Hosts, Kind},
	About, Detector, Seen, Setting, Values,
};
use crate::sketch::Secret;

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "http-flood",
	description:
		"far more HTTP requests to a web server at home than visitors send; names the sources that send most of them",
	false_positives: "a search engine or a backup that reads the whole site; many visitors behind one address",
	version: 1,
	settings: &[flood::rate(100), flood::network_rate(800), flood::FACTOR, SOURCE_RATE],
};

static KIND: Kind = Kind { burst: 5_000, hosts: Hosts::Only, ..Kind::new(&ABOUT, takes) };

/// Where web servers speak without TLS.
const PORTS: [u16; 3] = [80, 8_000, 8_080];
/// What a request begins with.
const METHODS: [&[u8]; 7] = [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"DELETE ", b"PATCH "];

const SOURCE_RATE: Setting = Setting {
	name: "source-rate",
	default: 20,
	least: 1,
	most: 1_000_000,
	meaning: "requests a second of one source from which on it is named while there is a flood",
};

fn takes(seen: &Seen<'_>) -> bool {
	let Some(tcp) = seen.packet.tcp() else { return false };
	seen.proven
		&& PORTS.contains(&tcp.destination)
		&& METHODS.iter().any(|method| seen.packet.payload.starts_with(method))
}

/// A detector, set as `values` say.
pub fn make(values: &Values<'_>, secret: &Secret) -> Box<dyn Detector> {
	KIND.make(values, secret)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::detect::trial::{forged, nothing, port, tcp, Trial, HOME};
	use ringfence_primitives::Indicator;

	const REQUEST: &[u8] = b"GET /?q=1 HTTP/1.1\r\nHost: home\r\n\r\n";

	#[test]
	fn who_sends_most_requests_is_named_and_visitors_are_not() {
		let mut trial = Trial::of(&ABOUT);
		for visitor in 0..100 {
			trial.connect((forged(visitor), 4_000), (HOME, 80));
		}
		// Four that send 150 a second each, amid a hundred that send two or so.
		trial.stream(800, 10_000, |number| {
			let source = if number % 4 < 3 { number / 4 % 4 } else { 4 + number / 4 % 96 };
			tcp((forged(source), 4_000), (HOME, 80), 0x18, (number, 5_001), REQUEST)
		});
		let mut named: Vec<_> = trial.findings.iter().map(|finding| finding.indicator.clone()).collect();
		named.sort();
		let mut bots: Vec<_> =
			(0..4).map(|bot| Indicator::Host(std::net::Ipv4Addr::from(forged(bot)).into())).collect();
		bots.sort();
		assert_eq!(named, bots);
		assert!(trial.findings.iter().all(|finding| !finding.spoofable && finding.samples.len() == 8));
	}

	#[test]
	fn requests_in_forged_names_name_nobody() {
		nothing(&ABOUT, |number| tcp((forged(number), port(number)), (HOME, 80), 0x18, (number, 1), REQUEST));
		nothing(&ABOUT, |number| tcp((forged(1), port(number)), (HOME, 80), 0x18, (number, 1), REQUEST));
	}

	#[test]
	fn a_burst_of_requests_is_a_visitor_s_page() {
		let mut trial = Trial::of(&ABOUT);
		trial.connect((forged(1), 4_000), (HOME, 80));
		trial.stream(300, 1_000, |number| tcp((forged(1), 4_000), (HOME, 80), 0x18, (number, 5_001), REQUEST));
		trial.wait(5_000);
		assert_eq!(trial.findings, []);
	}
}
