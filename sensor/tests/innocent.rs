//! Innocent traffic: no detector of scans, guessing, worms or beacons says a word.

mod world;

use ringfence_primitives::Address;
use ringfence_sensor::{engine::Settings, packet::tcp, Engine, Link};
use std::{
	env, fs,
	path::Path,
	sync::{
		atomic::{AtomicUsize, Ordering::Relaxed},
		Arc,
	},
};
use world::*;

#[test]
fn a_busy_client_behind_a_nat_is_innocent() {
	let mut world = World::new();
	for number in 0..3_000 {
		world.connect((peer(9), 10_000 + number), (home(80), [80, 443][usize::from(number % 2)]));
	}
	world.silent();
}

/// Whether it waits for each answer or asks everybody first.
#[test]
fn a_web_crawler_is_innocent() {
	let mut patient = World::new();
	for number in 1..=250 {
		patient.connect((peer(9), 40_000), (home(number), 443));
	}
	patient.silent();
	let mut eager = World::new();
	(1..=250).for_each(|number| eager.syn((peer(9), 40_000), (home(number), 443)));
	eager.wait(200);
	(1..=250).for_each(|number| eager.welcome((home(number), 443), (peer(9), 40_000)));
	(1..=250).for_each(|number| eager.complete((peer(9), 40_000), (home(number), 443)));
	eager.silent();
	let mut quick = World::new();
	for number in 1..=250 {
		quick.udp((peer(9), 40_000), (home(number), 443));
		quick.udp((home(number), 443), (peer(9), 40_000));
	}
	quick.silent();
}

#[test]
fn a_mail_servers_many_connections_are_innocent() {
	let mut world = World::new();
	for number in 0..1_000_u16 {
		let other = peer((number % 60) as u8);
		world.connect((other, 20_000 + number), (home(25), 25));
		world.connect((home(25), 20_000 + number), (other, 25));
	}
	world.silent();
}

#[test]
fn one_long_telnet_session_is_innocent() {
	let mut world = World::new();
	let (person, server) = ((peer(9), 40_000), (home(9), 23));
	world.connect(person, server);
	for typed in 0..5_000 {
		world.tcp(person, server, tcp::PSH | tcp::ACK, 78 + typed, 1_001);
		world.tcp(server, person, tcp::PSH | tcp::ACK, 1_001, 79 + typed);
		world.wait(200);
	}
	world.silent();
}

#[test]
fn a_few_wrong_passwords_are_innocent() {
	let mut world = World::new();
	for attempt in 0..6 {
		world.connect((peer(9), 40_000 + attempt), (home(9), 22));
		world.wait(5_000);
	}
	world.silent();
}

#[test]
fn a_peer_to_peer_node_that_many_reach_is_innocent() {
	let mut world = World::new();
	for number in 0..5_000_u16 {
		let other = peer((number % 60) as u8);
		world.udp((other, 6_881), (home(9), 51_413));
		world.syn((other, 20_000 + number), (home(9), 51_413));
		world.udp((home(9), 51_413), (other, 6_881));
	}
	world.silent();
}

/// As after the sensor's start: connections that were there before, in the middle of their traffic.
#[test]
fn connections_from_before_are_innocent() {
	let mut world = World::new();
	for number in 1..=200 {
		// A client's upload is acknowledged; a crawler acknowledges what it gets.
		world.tcp((peer(9), 443), (home(9), 50_000 + u16::from(number)), tcp::ACK, 1, 1);
		world.tcp((peer(9), 40_000), (home(number), 443), tcp::ACK, 1, 1);
		world.tcp((home(number), 443), (peer(9), 40_000), tcp::ACK, 1, 1);
	}
	world.silent();
}

/// Answers that come late, reflections, traceroute, and what is thrown back at forged sources.
#[test]
fn what_only_looks_like_knocks_is_innocent() {
	let mut world = World::new();
	for number in 1..=200 {
		world.udp((peer(53), 53), (home(number), 40_000 + u16::from(number)));
		world.udp((peer(53), 1_900), (home(9), 40_000 + u16::from(number)));
		world.udp((peer(9), 40_000), (home(9), 33_434 + u16::from(number % 100)));
		world.tcp((peer(80), 80), (home(number), 1_024 + u16::from(number)), tcp::SYN | tcp::ACK, 1, 78);
		world.tcp((peer(81), 80), (home(number), 1_024 + u16::from(number)), tcp::RST | tcp::ACK, 1, 78);
	}
	world.silent();
}

#[test]
fn a_server_that_a_bad_address_visits_is_no_infected_device() {
	let mut world = World::new();
	for visit in 0..10 {
		let (bad, server) = ((BAD, 40_000 + visit), (home(80), 80));
		world.connect(bad, server);
		world.tcp(server, bad, tcp::PSH | tcp::ACK, 1_001, 78);
		world.syn((BAD, 50_000), (home(80), 81));
		world.tcp((home(80), 81), (BAD, 50_000), tcp::RST | tcp::ACK, 0, 78);
		world.udp((BAD, 5_353), (home(80), 53));
		world.udp((home(80), 53), (BAD, 5_353));
		world.wait(20_000);
	}
	assert_eq!(world.found("beacon"), []);
}

/// Whoever forges sources could otherwise keep the enforcer from being asked about whom the home calls.
#[test]
fn nobody_is_asked_about_whom_the_home_only_answers() {
	let asked = Arc::new(AtomicUsize::new(0));
	let count = asked.clone();
	let settings = Settings { home: vec!["203.0.113.0/24".parse().unwrap()], ..Settings::default() };
	let ask = move |_: Address| {
		count.fetch_add(1, Relaxed);
		false
	};
	let mut world = World::new();
	world.engine = Engine::new(&settings, 7, ask).unwrap();
	for number in 1..=200 {
		let (forged, server) = ((peer(number), 40_000), (home(9), 53));
		world.syn(forged, server);
		world.welcome(server, forged);
		world.tcp(forged, server, tcp::ACK, 78, 4_711);
		world.tcp(server, forged, tcp::RST, 4_711, 0);
		world.udp(forged, server);
		world.udp(server, forged);
	}
	assert_eq!(asked.load(Relaxed), 0);
	world.udp((home(9), 50_000), (peer(1), 53));
	assert_eq!(asked.load(Relaxed), 1);
}

#[test]
fn one_call_and_its_retransmissions_are_no_beacon() {
	let mut world = World::new();
	for pause in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000] {
		world.syn((home(20), 40_000), (BAD, 80));
		world.wait(pause);
	}
	world.silent();
}

#[test]
fn calls_to_others_are_no_beacon() {
	let mut world = World::new();
	for call in 0..100 {
		world.connect((home(20), 40_000 + call), (peer(1), 443));
		world.wait(60_000);
	}
	world.silent();
}

/// The frames of a capture in the classic format, with their times in nanoseconds.
fn capture(path: &Path) -> Vec<(u64, Vec<u8>)> {
	let bytes = fs::read(path).unwrap();
	let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
	assert_eq!((number(0), number(20)), (0xa1b2_c3d4, 1), "microseconds, little-endian, Ethernet");
	let (mut frames, mut at) = (Vec::new(), 24);
	while at < bytes.len() {
		let (second, micro, length) = (number(at), number(at + 4), number(at + 8) as usize);
		let time = u64::from(second) * 1_000_000_000 + u64::from(micro) * 1_000;
		frames.push((time, bytes[at + 16..at + 16 + length].to_vec()));
		at += 16 + length;
	}
	frames
}

#[test]
fn real_sessions_are_innocent_from_both_ends() {
	let Some(data) = env::var_os("RINGFENCE_DATA") else {
		eprintln!("SKIPPED: RINGFENCE_DATA is not set, no real captures to read");
		return;
	};
	for (name, ends) in [
		("suricata-verify-telnet-benign.pcap", ["192.168.0.1/32", "192.168.0.2/32"]),
		("suricata-verify-icmp-and-ssh-benign.pcap", ["192.168.0.30/32", "192.168.0.123/32"]),
	] {
		let frames = capture(&Path::new(&data).join("pcap").join(name));
		for home in ends {
			let mut world = World::at(home);
			world.now = frames[0].0 / 1_000_000;
			for weight in [1, 64] {
				world.weight = weight;
				for (time, frame) in &frames {
					world.now = world.now.max(time / 1_000_000);
					world.frame(Link::Ethernet, frame);
				}
			}
			world.silent();
		}
	}
}
