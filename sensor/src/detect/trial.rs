//! What the tests of detectors share: a home, packets to and from it, a clock, and what every flood has to show.

use super::{About, ALL};
use crate::{
	engine::{DetectorSettings, Engine, Settings},
	finding::{Audience, Finding, MAX_SAMPLES},
	packet::{protocol, tcp as flags, Link},
};
use proptest::prelude::*;
use ringfence_primitives::{Action, FlowSignature, Indicator, Network, Severity};
use std::collections::BTreeMap;

/// An address and a port.
pub type Peer = ([u8; 4], u16);

/// Who is flooded.
pub const HOME: [u8; 4] = [203, 0, 113, 9];
/// Somebody outside.
pub const PEER: [u8; 4] = [198, 51, 100, 7];

/// An IPv4 packet; `fragment` as in the header.
pub fn ip(from: [u8; 4], to: [u8; 4], protocol: u8, fragment: u16, body: &[u8]) -> Vec<u8> {
	let length = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
	let mut bytes = vec![0x45, 0, length[0], length[1], 0, 1];
	bytes.extend(fragment.to_be_bytes());
	bytes.extend([57, protocol, 0, 0]);
	bytes.extend(from);
	bytes.extend(to);
	bytes.extend(body);
	bytes
}

/// A UDP packet.
pub fn udp(from: Peer, to: Peer, payload: &[u8]) -> Vec<u8> {
	let length = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
	let mut body = [from.1.to_be_bytes(), to.1.to_be_bytes(), length, [0, 0]].concat();
	body.extend(payload);
	ip(from.0, to.0, protocol::UDP, 0, &body)
}

/// A TCP packet with this sequence and acknowledgement number.
pub fn tcp(from: Peer, to: Peer, flags: u8, numbers: (u32, u32), payload: &[u8]) -> Vec<u8> {
	let mut body = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
	body.extend(numbers.0.to_be_bytes());
	body.extend(numbers.1.to_be_bytes());
	body.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
	body.extend(payload);
	ip(from.0, to.0, protocol::TCP, 0, &body)
}

/// An ICMP packet of 64 octets behind the IP header.
pub fn icmp(from: [u8; 4], to: [u8; 4], kind: u8) -> Vec<u8> {
	let mut body = vec![0; 64];
	body[0] = kind;
	ip(from, to, protocol::ICMP, 0, &body)
}

/// A GRE packet with 100 octets inside.
pub fn gre(from: [u8; 4], to: [u8; 4], inner: u16) -> Vec<u8> {
	let mut body = vec![0; 104];
	body[2..4].copy_from_slice(&inner.to_be_bytes());
	ip(from, to, protocol::GRE, 0, &body)
}

/// A source that nobody at home ever heard of: another one for nearly each number.
pub fn forged(number: u32) -> [u8; 4] {
	let [a, b, c, d] = number.wrapping_add(1).wrapping_mul(2_654_435_761).to_be_bytes();
	[1 + a % 100, b, c, d]
}

/// A port above 1,023.
pub fn port(number: u32) -> u16 {
	1_024 + (number.wrapping_mul(40_503) % 64_000) as u16
}

/// Detectors, and what they found up to now.
pub struct Trial {
	engine: Engine,
	nanos: u64,
	/// What each packet stands for.
	pub weight: u32,
	/// What was found.
	pub findings: Vec<Finding>,
}

impl Trial {
	/// One detector by itself.
	pub fn of(about: &About) -> Self {
		let others = ALL.iter().filter(|(other, _)| other.name != about.name);
		let off = DetectorSettings { enabled: false, values: BTreeMap::new() };
		Self::with(others.map(|(other, _)| (other.name.to_string(), off.clone())).collect())
	}

	/// All of them.
	pub fn of_all() -> Self {
		Self::with(BTreeMap::new())
	}

	fn with(detectors: BTreeMap<String, DetectorSettings>) -> Self {
		let settings = Settings { home: vec!["203.0.113.0/24".parse().unwrap()], detectors };
		let engine = Engine::new(&settings, 7, |_| false).unwrap();
		Self { engine, nanos: 1_700_000_000_000_000_000, weight: 1, findings: Vec::new() }
	}

	/// Lets a packet pass.
	pub fn send(&mut self, packet: &[u8]) {
		self.engine.frame(Link::Raw, packet, self.nanos, self.weight, &mut self.findings).unwrap();
	}

	/// Lets time pass.
	pub fn wait(&mut self, millis: u64) {
		for _ in 0..millis.div_ceil(100) {
			self.nanos += 100_000_000;
			self.engine.tick(self.nanos / 1_000_000, &mut self.findings);
		}
	}

	/// Lets `rate` packets a second pass for a time, each made from its number.
	pub fn stream(&mut self, rate: u32, millis: u32, make: impl Fn(u32) -> Vec<u8>) {
		for number in 0..rate * millis / 1_000 {
			self.nanos += 1_000_000_000 / u64::from(rate);
			self.send(&make(number));
		}
	}

	/// Lets `client`, who is outside, connect with `server`; what follows acknowledges 5,001.
	pub fn connect(&mut self, client: Peer, server: Peer) {
		self.send(&tcp(client, server, flags::SYN, (1_000, 0), &[]));
		self.send(&tcp(server, client, flags::SYN | flags::ACK, (5_000, 1_001), &[]));
		self.send(&tcp(client, server, flags::ACK, (1_001, 5_001), &[]));
	}

	/// Ordinary life: a video, a download, a tunnel that was opened from outside, names, pings, visitors of a web server,
	/// file sharing, an upload.
	pub fn innocence(&mut self, seconds: u32) {
		let (video, cdn, mail) = (([192, 0, 2, 1], 443), ([192, 0, 2, 2], 443), ([192, 0, 2, 3], 443));
		let (player, browser, camera) = ((HOME, 50_000), (HOME, 50_001), ([203, 0, 113, 20], 50_002));
		let (road, tunnel) = ((PEER, 40_000), (HOME, 51_820));
		let data = vec![0; 1_200];
		self.send(&udp(player, video, &data));
		self.send(&tcp(browser, cdn, flags::SYN, (99, 0), &[]));
		self.send(&tcp(cdn, browser, flags::SYN | flags::ACK, (500, 100), &[]));
		for millisecond in 0..seconds * 1_000 {
			self.nanos += 1_000_000;
			let every = |period: u32| millisecond % period == 0;
			for _ in 0..3 {
				self.send(&udp(video, player, &data));
				self.send(&udp(road, tunnel, &data));
				self.send(&tcp(cdn, browser, flags::ACK, (501, 100), &data));
				self.send(&udp(camera, mail, &data));
			}
			self.send(&tcp(browser, cdn, flags::ACK, (100, 501), &[]));
			if every(10) {
				self.send(&udp(player, video, &[0; 30]));
				self.send(&udp(tunnel, road, &data));
				self.send(&udp(mail, camera, &[0; 30]));
				let stranger = (forged(millisecond), port(millisecond));
				self.send(&udp(stranger, (HOME, 6_881), &[0; 100]));
				self.send(&udp((HOME, 6_881), stranger, &[0; 300]));
			}
			if every(50) {
				let (asks, resolver) = ((HOME, port(millisecond)), ([192, 0, 2, 53], 53));
				self.send(&udp(asks, resolver, &[0; 40]));
				self.send(&udp(resolver, asks, &[0x80; 400]));
				let (visitor, server) = ((forged(millisecond), port(millisecond)), (HOME, 80));
				self.connect(visitor, server);
				self.send(&tcp(visitor, server, flags::PSH | flags::ACK, (1_001, 5_001), b"GET / HTTP/1.1\r\n\r\n"));
				self.send(&tcp(server, visitor, flags::PSH | flags::ACK, (5_001, 1_019), &data));
				self.send(&tcp(visitor, server, flags::FIN | flags::ACK, (1_019, 6_201), &[]));
			}
			if every(200) {
				self.send(&icmp(PEER, HOME, 8));
				self.send(&icmp(HOME, PEER, 0));
				self.send(&ip(video.0, HOME, protocol::UDP, 0x2000, &data));
				self.send(&ip(video.0, HOME, protocol::UDP, 150, &data));
			}
		}
	}
}

fn set_rate(about: &About) -> u32 {
	about.settings.iter().find(|setting| setting.name == "rate").unwrap().default as u32
}

/// A flood at twenty times the detector's rate amid ordinary life, and the one signature that it is told by.
pub fn flow(about: &About, make: impl Fn(u32) -> Vec<u8>) -> FlowSignature {
	let mut trial = Trial::of(about);
	trial.innocence(3);
	assert_eq!(trial.findings, []);
	trial.stream(20 * set_rate(about), 2_000, make);
	trial.wait(2_000);
	let [finding] = trial.findings.as_slice() else { panic!("{:?}", trial.findings) };
	whole(about, finding)
}

/// Checks what each finding about a flood of forged sources has to show: it names no host. Its signature.
pub fn whole(about: &About, finding: &Finding) -> FlowSignature {
	let Indicator::Flow(flow) = finding.indicator else { panic!("{finding:?}") };
	assert_eq!((finding.detector, finding.version), (about.name, about.version));
	assert_eq!((finding.severity, finding.audience), (Severity::Critical, Audience::Everybody), "{finding:?}");
	assert_eq!(finding.spoofable, flow.source.is_some(), "{finding:?}");
	assert!(finding.action.is_some_and(|action| action != Action::Watch), "{finding:?}");
	assert!(finding.fit.unwrap().coverage_permille() >= 990, "{finding:?}");
	assert!(finding.note.as_str().starts_with(&format!("{} ", about.name)), "{finding:?}");
	assert!(finding.note.as_str().ends_with(" hit"), "{finding:?}");
	assert!((1..=MAX_SAMPLES).contains(&finding.samples.len()));
	assert!(finding.first_seen < finding.last_seen && finding.packets >= 100 && finding.bytes >= 20 * finding.packets);
	let home: Network = "203.0.113.0/24".parse().unwrap();
	assert!(flow.destination.is_some_and(|destination| home.contains(&destination)), "{flow}");
	flow
}

/// What comes at three quarters of the detector's rate is no flood.
pub fn below(about: &About, make: impl Fn(u32) -> Vec<u8>) {
	let mut trial = Trial::of(about);
	trial.stream(set_rate(about) / 4 * 3, 5_000, make);
	trial.wait(15_000);
	assert_eq!(trial.findings, []);
}

/// What comes at twenty times the detector's rate is none of its business.
pub fn nothing(about: &About, make: impl Fn(u32) -> Vec<u8>) {
	let mut trial = Trial::of(about);
	trial.stream(20 * set_rate(about), 2_000, make);
	trial.wait(2_000);
	assert_eq!(trial.findings, []);
}

#[test]
fn ordinary_life_shows_nothing() {
	let mut trial = Trial::of_all();
	trial.innocence(15);
	trial.wait(15_000);
	let floods = |finding: &&Finding| finding.detector.contains("flood") || finding.fit.is_some();
	assert_eq!(trial.findings.iter().find(floods), None);
}

#[test]
fn each_detector_has_a_name_of_its_own_and_settings_within_their_bounds() {
	assert!(ALL.windows(2).all(|pair| pair[0].0.name < pair[1].0.name), "in order");
	for (about, _) in ALL {
		assert!(about.version > 0 && !about.description.is_empty() && !about.false_positives.is_empty());
		for setting in about.settings {
			assert!((setting.least..=setting.most).contains(&setting.default), "{} {}", about.name, setting.name);
			assert!(!setting.meaning.is_empty());
		}
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(32))]

	#[test]
	fn no_sequence_of_packets_panics(
		packets in proptest::collection::vec(
			(0_u8..8, 0_u8..=255, 0_u32..4, any::<u16>(), any::<u8>(), any::<u32>(), 0_u64..3_000, 1_u32..2_000),
			1..60,
		),
	) {
		let mut trial = Trial::of_all();
		for (kind, host, source, number, byte, weight, pause, times) in packets {
			let (home, outside) = ([203, 0, 113, host], forged(source));
			let (from, to) = if byte & 0x80 == 0 { (outside, home) } else { (home, outside) };
			trial.weight = weight;
			for time in 0..times {
				let ports = (number, number.wrapping_add(time as u16));
				trial.send(&match kind {
					0 => tcp((from, ports.0), (to, ports.1), byte, (time, 5_001), b"GET "),
					1 => tcp((from, ports.1), (to, 80), flags::ACK, (time, 5_001), b"GET "),
					2 => udp((from, 53), (to, ports.0), &[0; 200]),
					3 => udp((from, ports.0), (to, ports.1), &[0; 8]),
					4 => icmp(from, to, byte),
					5 => gre(from, to, 0x6558),
					6 => ip(from, to, byte, number, &[byte; 30]),
					_ => tcp((from, ports.1), (to, ports.0), flags::SYN, (time, 0), &[]),
				});
			}
			trial.wait(pause);
		}
		prop_assert!(trial.findings.iter().all(|finding| finding.samples.len() <= MAX_SAMPLES));
	}
}
