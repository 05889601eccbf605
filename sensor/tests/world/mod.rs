//! A home, the Internet, and a sensor between them.

#![allow(dead_code, reason = "each test uses a part")]

use ringfence_primitives::{Address, Millis};
use ringfence_sensor::{engine::Settings, packet::tcp, Engine, Finding, Link};
use std::net::Ipv4Addr;

/// The detectors of what comes before and after floods.
pub const PROBES: [&str; 5] = ["beacon", "brute-force", "horizontal-scan", "mirai", "vertical-scan"];

/// The only address that is known to be bad.
pub const BAD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);

/// Address and port.
pub type Door = (Ipv4Addr, u16);

/// One of the home's addresses.
pub fn home(number: u8) -> Ipv4Addr {
	Ipv4Addr::new(203, 0, 113, number)
}

/// One of the Internet's.
pub fn peer(number: u8) -> Ipv4Addr {
	Ipv4Addr::new(198, 51, 100, number)
}

/// An IPv4 packet.
pub fn ipv4(protocol: u8, source: Ipv4Addr, destination: Ipv4Addr, body: &[u8]) -> Vec<u8> {
	let length = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
	let mut bytes = vec![0x45, 0, length[0], length[1], 0, 1, 0, 0, 64, protocol, 0, 0];
	bytes.extend(source.octets());
	bytes.extend(destination.octets());
	bytes.extend(body);
	bytes
}

/// A TCP packet without payload.
pub fn segment(from: Door, to: Door, flags: u8, sequence: u32, acknowledgement: u32) -> Vec<u8> {
	let mut body = Vec::new();
	body.extend(from.1.to_be_bytes());
	body.extend(to.1.to_be_bytes());
	body.extend(sequence.to_be_bytes());
	body.extend(acknowledgement.to_be_bytes());
	body.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
	ipv4(6, from.0, to.0, &body)
}

pub struct World {
	pub engine: Engine,
	/// Unix time in milliseconds.
	pub now: Millis,
	/// Packets that each stands for.
	pub weight: u32,
	findings: Vec<Finding>,
}

impl World {
	/// 203.0.113.0/24 is home.
	pub fn new() -> Self {
		Self::at("203.0.113.0/24")
	}

	pub fn at(home: &str) -> Self {
		let settings = Settings { home: vec![home.parse().unwrap()], ..Settings::default() };
		let engine = Engine::new(&settings, 7, |address| address == Address::from(BAD)).unwrap();
		Self { engine, now: 1_700_000_000_000, weight: 1, findings: Vec::new() }
	}

	/// Shows the sensor a frame, now.
	pub fn frame(&mut self, link: Link, bytes: &[u8]) {
		self.engine.frame(link, bytes, self.now * 1_000_000, self.weight, &mut self.findings).unwrap();
	}

	pub fn tcp(&mut self, from: Door, to: Door, flags: u8, sequence: u32, acknowledgement: u32) {
		self.frame(Link::Raw, &segment(from, to, flags, sequence, acknowledgement));
	}

	pub fn syn(&mut self, from: Door, to: Door) {
		self.tcp(from, to, tcp::SYN, 77, 0);
	}

	pub fn udp(&mut self, from: Door, to: Door) {
		let mut body = Vec::new();
		body.extend(from.1.to_be_bytes());
		body.extend(to.1.to_be_bytes());
		body.extend([0, 20, 0, 0]);
		body.extend([0xaa; 12]);
		self.frame(Link::Raw, &ipv4(17, from.0, to.0, &body));
	}

	/// What `server` says to a SYN.
	pub fn welcome(&mut self, server: Door, client: Door) {
		self.tcp(server, client, tcp::SYN | tcp::ACK, 1_000, 78);
	}

	/// What `client` says to that.
	pub fn complete(&mut self, client: Door, server: Door) {
		self.tcp(client, server, tcp::ACK, 78, 1_001);
	}

	/// A whole handshake, ten milliseconds a packet.
	pub fn connect(&mut self, client: Door, server: Door) {
		self.syn(client, server);
		self.wait(10);
		self.welcome(server, client);
		self.wait(10);
		self.complete(client, server);
		self.wait(10);
	}

	/// Lets time pass.
	pub fn wait(&mut self, time: Millis) {
		let end = self.now + time;
		while self.now < end {
			self.now = end.min(self.now + 100);
			self.engine.tick(self.now, &mut self.findings);
		}
	}

	/// What `detector` has found so far, after the second that it may take.
	pub fn found(&mut self, detector: &str) -> Vec<Finding> {
		self.wait(1_000);
		self.findings.iter().filter(|finding| finding.detector == detector).cloned().collect()
	}

	/// None of [`PROBES`] has found anything.
	pub fn silent(&mut self) {
		for detector in PROBES {
			assert_eq!(self.found(detector), []);
		}
	}
}
