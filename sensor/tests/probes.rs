//! What comes before and after floods is found, and forged packets make nobody look guilty.

mod world;

use ringfence_primitives::{Endpoint, Indicator, Severity, ThreatClass, Transport};
use ringfence_sensor::{
	detect::ALL,
	finding::{Audience, MAX_SAMPLES},
	packet::tcp,
	Finding,
};
use std::net::Ipv4Addr;
use world::*;

/// Its figures are sound, and it is about this address.
fn sound(finding: &Finding, address: Ipv4Addr, threat: ThreatClass) {
	assert_eq!((&finding.indicator, finding.threat), (&Indicator::Host(address.into()), threat));
	assert!(finding.first_seen <= finding.last_seen && finding.packets > 0 && finding.bytes >= finding.packets * 28);
	assert!((1..=MAX_SAMPLES).contains(&finding.samples.len()));
	assert!(!finding.note.as_str().is_empty());
}

#[test]
fn every_detector_says_what_it_is() {
	assert!(ALL.is_sorted_by(|(one, _), (next, _)| one.name < next.name));
	for (about, _) in ALL {
		assert!(!about.description.is_empty() && !about.false_positives.is_empty() && about.version > 0);
		for setting in about.settings {
			assert!((setting.least..=setting.most).contains(&setting.default), "{} {}", about.name, setting.name);
			assert!(!setting.meaning.is_empty());
		}
	}
}

/// The first knock of a source only makes it known.
#[test]
fn a_horizontal_scan_is_found_and_could_be_forged() {
	let mut world = World::new();
	for number in 1..=60 {
		world.syn((peer(9), 40_000), (home(number), 23));
		world.wait(10);
	}
	let found = world.found("horizontal-scan");
	let [finding] = &found[..] else { panic!("{found:?}") };
	sound(finding, peer(9), ThreatClass::Scan);
	assert!(finding.spoofable);
	assert_eq!((finding.packets, finding.bytes, finding.sampling), (59, 59 * 40, 1));
	assert_eq!(finding.samples.len(), MAX_SAMPLES);
	assert_eq!((finding.samples[0].destination, finding.samples[0].destination_port), (home(2).into(), Some(23)));
	let note = finding.note.as_str();
	assert!(note.ends_with(" addresses of the home in 1 s, port 23 (SYN)"), "{note}");
	let addresses: u64 = note.split(' ').next().unwrap().parse().unwrap();
	assert!((45..=75).contains(&addresses), "{note}");
	assert_eq!(world.found("vertical-scan"), []);
}

/// Whoever answers the gateway's question for the time can set its clock.
#[test]
fn a_clock_that_was_far_ahead_for_a_moment_blinds_nobody() {
	let mut world = World::new();
	let begun = world.now;
	world.now += 50 * 365 * 86_400_000;
	world.syn((peer(8), 40_000), (home(1), 23));
	world.now = begun;
	for number in 1..=60 {
		world.syn((peer(9), 40_000), (home(number), 23));
		world.wait(10);
	}
	let found = world.found("horizontal-scan");
	assert_eq!(found.len(), 1);
	sound(&found[0], peer(9), ThreatClass::Scan);
	assert!((begun..begun + 60_000).contains(&found[0].last_seen), "{}", found[0].last_seen);
}

#[test]
fn many_ports_over_many_addresses_are_one_scan() {
	let mut world = World::new();
	for number in 1..=60 {
		world.syn((peer(9), 40_000), (home(number), 1_000 + u16::from(number)));
	}
	let found = world.found("horizontal-scan");
	assert_eq!(found.len(), 1);
	assert!(found[0].note.as_str().contains(" doors"), "{}", found[0].note);
}

#[test]
fn a_scanner_that_completes_handshakes_is_proven() {
	let mut world = World::new();
	for number in 1..=60 {
		match number % 5 {
			0 => world.connect((peer(9), 40_000), (home(number), 23)),
			_ => world.syn((peer(9), 40_000), (home(number), 23)),
		}
	}
	let found = world.found("horizontal-scan");
	assert!(!found.last().unwrap().spoofable);
	assert!(found.last().unwrap().note.as_str().contains(" handshakes)"));
}

/// Only half a minute later would the same be told again: the proof is worth telling at once.
#[test]
fn a_proof_that_comes_late_is_told_at_once() {
	let mut world = World::new();
	for number in 1..=60 {
		world.syn((peer(9), 40_000), (home(number), 23));
	}
	assert!(world.found("horizontal-scan")[0].spoofable);
	for number in 61..=66 {
		world.connect((peer(9), 40_001), (home(number), 23));
	}
	let found = world.found("horizontal-scan");
	assert_eq!(found.iter().map(|finding| finding.spoofable).collect::<Vec<_>>(), [true, false]);
}

/// The home talks to a server; somebody forges a scan in its name, also into the connection that is open.
#[test]
fn a_scan_forged_in_the_name_of_a_server_that_the_home_called_stays_spoofable() {
	let mut world = World::new();
	let (client, server) = ((home(9), 50_000), (peer(10), 443));
	world.connect(client, server);
	for port in 49_900..50_100 {
		world.syn(server, (home(9), port));
		match port {
			// The home confirms what it has of an open connection.
			50_000 => world.tcp(client, server, tcp::ACK, 78, 1_001),
			_ => world.tcp((home(9), port), server, tcp::RST | tcp::ACK, 0, 78),
		}
		// And the server goes on.
		world.tcp(server, client, tcp::ACK, 1_001, 78);
	}
	let found = world.found("vertical-scan");
	sound(&found[0], peer(10), ThreatClass::Scan);
	assert!(found.iter().all(|finding| finding.spoofable));
}

#[test]
fn a_scan_forged_in_the_name_of_a_visitor_stays_spoofable() {
	let mut world = World::new();
	for port in [80, 443] {
		world.connect((peer(10), 40_000 + port), (home(9), port));
	}
	for port in 1..=200 {
		world.syn((peer(10), 1_000), (home(9), port));
		world.wait(1);
	}
	let found = world.found("vertical-scan");
	assert!(!found.is_empty() && found.iter().all(|finding| finding.spoofable));
}

#[test]
fn forged_acknowledgements_prove_nothing() {
	let mut world = World::new();
	for number in 1..=100 {
		let (scanner, door) = ((peer(9), 40_000), (home(number), 22));
		world.syn(scanner, door);
		if number % 3 == 0 {
			world.welcome(door, scanner);
			world.tcp(scanner, door, tcp::ACK, 78, 4_711);
		}
	}
	let found = world.found("horizontal-scan");
	assert!(!found.is_empty() && found.iter().all(|finding| finding.spoofable));
	assert_eq!(world.found("brute-force"), []);
}

#[test]
fn vertical_scans_of_every_sort_are_found() {
	for (flags, name) in
		[(tcp::SYN, "SYN"), (0, "NULL"), (tcp::FIN, "FIN"), (tcp::FIN | tcp::PSH | tcp::URG, "XMAS"), (tcp::ACK, "ACK")]
	{
		let mut world = World::new();
		for port in 1..=100 {
			world.tcp((peer(9), 40_000), (home(9), port), flags, 5, 5);
		}
		let found = world.found("vertical-scan");
		assert_eq!(found.len(), 1, "{name}");
		sound(&found[0], peer(9), ThreatClass::Scan);
		assert!(found[0].spoofable);
		let note = found[0].note.as_str();
		assert!(note.contains(" ports of one address of the home in 1 s") && note.contains(name), "{note}");
		assert_eq!(world.found("horizontal-scan"), []);
	}
}

#[test]
fn udp_probes_are_found() {
	let mut world = World::new();
	for number in 1..=100 {
		world.udp((peer(9), 40_000), (home(number), 5_060));
		world.udp((peer(8), 40_000), (home(1), u16::from(number)));
	}
	for (detector, source) in [("horizontal-scan", peer(9)), ("vertical-scan", peer(8))] {
		let found = world.found(detector);
		assert_eq!(found.len(), 1);
		sound(&found[0], source, ThreatClass::Scan);
		assert!(found[0].spoofable && found[0].note.as_str().ends_with("(UDP)"));
	}
}

#[test]
fn a_scan_that_goes_on_is_told_every_half_minute_at_most() {
	let mut world = World::new();
	let begun = world.now;
	for number in 0..1_200_u16 {
		world.syn((peer(9), 40_000), (home((number % 250) as u8 + 1), 23));
		world.wait(100);
	}
	let found = world.found("horizontal-scan");
	assert!((2..=5).contains(&found.len()), "{} in {} s", found.len(), (world.now - begun) / 1_000);
}

#[test]
fn under_sampling_packets_are_multiplied_and_different_things_are_not() {
	let mut world = World::new();
	world.weight = 16;
	for number in 1..=60 {
		world.syn((peer(9), 40_000), (home(number), 23));
	}
	// A neighbour that was seen but five times is no scanner, whatever five stand for.
	for number in 1..=5 {
		world.syn((peer(8), 40_000), (home(number), 23));
	}
	let found = world.found("horizontal-scan");
	let [finding] = &found[..] else { panic!("{found:?}") };
	assert_eq!((finding.packets, finding.bytes, finding.sampling), (59 * 16, 59 * 16 * 40, 16));
	let addresses: u64 = finding.note.as_str().split(' ').next().unwrap().parse().unwrap();
	assert!((45..=75).contains(&addresses));
	// Connections are.
	world.weight = 64;
	for port in 0..4 {
		world.connect((peer(7), 40_000 + port), (home(9), 23));
	}
	assert_eq!(world.found("brute-force"), [], "a person, as far as one can tell");
	world.connect((peer(7), 40_004), (home(9), 23));
	let found = world.found("brute-force");
	assert!(found[0].note.as_str().starts_with("320 telnet connections"), "{}", found[0].note);
}

#[test]
fn passwords_that_are_guessed_are_found_and_proven() {
	for (port, attempts, name) in [(23, 8, "telnet"), (2_323, 8, "telnet"), (22, 20, "SSH")] {
		let mut world = World::new();
		for attempt in 0..attempts {
			world.connect((peer(9), 40_000 + attempt), (home(9), port));
			world.wait(2_000);
		}
		let found = world.found("brute-force");
		assert_eq!(found.len(), 1);
		sound(&found[0], peer(9), ThreatClass::BruteForce);
		assert_eq!((found[0].spoofable, found[0].packets), (false, u64::from(attempts)));
		assert!(found[0].note.as_str().starts_with(&format!("{attempts} {name} connections in ")), "{}", found[0].note);
	}
}

/// Somebody hits the ports of a session that a person had a minute ago, and guesses what the home says to that.
#[test]
fn an_old_session_does_not_prove_forged_ones() {
	let mut world = World::new();
	let (person, server) = ((peer(9), 40_000), (home(9), 22));
	world.connect(person, server);
	for guess in 0..100 {
		world.syn(person, server);
		world.welcome(server, person);
		world.tcp(person, server, tcp::ACK, 78, 5_000 + guess);
		world.wait(100);
	}
	assert_eq!(world.found("brute-force"), []);
}

/// A SYN of Mirai's scanner.
fn mark(world: &mut World, from: Door, to: Door) {
	world.tcp(from, to, tcp::SYN, u32::from(to.0), 0);
}

#[test]
fn mirai_is_known_by_its_mark_and_proven_by_what_it_does_next() {
	let mut world = World::new();
	for number in 1..=3 {
		mark(&mut world, (peer(9), 40_000), (home(number), 23));
	}
	let found = world.found("mirai");
	assert_eq!(found.len(), 1);
	sound(&found[0], peer(9), ThreatClass::Botnet);
	assert!(found[0].spoofable && found[0].note.as_str().contains("with Mirai's mark in 1 s, port 23"));
	// A telnet that answers is tried at once, by an ordinary connection.
	world.connect((peer(9), 40_001), (home(2), 23));
	let found = world.found("mirai");
	assert_eq!(found.len(), 2);
	assert!(!found[1].spoofable);
}

#[test]
fn a_mark_forged_in_the_name_of_a_web_sites_visitor_stays_spoofable() {
	let mut world = World::new();
	world.connect((peer(9), 40_000), (home(9), 443));
	for number in 1..=9 {
		mark(&mut world, (peer(9), 40_000), (home(number), 443));
		world.connect((peer(9), 40_100 + u16::from(number)), (home(9), 443));
	}
	assert!(world.found("mirai").iter().all(|finding| finding.spoofable));
}

#[test]
fn a_device_that_spreads_mirai_is_told_to_its_owner_only() {
	let mut marked = World::new();
	for number in 1..=3 {
		mark(&mut marked, (home(20), 40_000), (peer(number), 80));
	}
	let mut unmarked = World::new();
	for number in 1..=40 {
		unmarked.syn((home(20), 40_000), (peer(number), 2_323));
	}
	for world in [&mut marked, &mut unmarked] {
		let found = world.found("mirai");
		assert_eq!(found.len(), 1);
		sound(&found[0], home(20), ThreatClass::Botnet);
		assert_eq!((found[0].audience, found[0].severity), (Audience::Owner, Severity::Critical));
		assert!(found[0].note.as_str().starts_with("203.0.113.20, in this home: "), "{}", found[0].note);
	}
}

#[test]
fn calls_to_a_known_bad_address_are_counted_and_timed() {
	for answered in [false, true] {
		let mut world = World::new();
		for call in 0..6 {
			let (device, control) = ((home(20), 40_000 + call), (BAD, 6_667));
			match answered {
				true => world.connect(device, control),
				false => world.syn(device, control),
			}
			world.wait(60_000);
		}
		let found = world.found("beacon");
		let (owners, everybodys): (Vec<_>, Vec<_>) =
			found.into_iter().partition(|finding| finding.audience == Audience::Owner);
		let last = everybodys.last().unwrap();
		let endpoint = Endpoint { address: BAD.into(), protocol: Transport::Tcp, port: 6_667 };
		assert_eq!(last.indicator, Indicator::Endpoint(endpoint));
		assert_eq!((last.threat, last.spoofable), (ThreatClass::CommandAndControl, !answered));
		let note = last.note.as_str();
		assert!(note.starts_with("6 calls in 30") && note.ends_with(" every 60 s, variation 0.00, regular"), "{note}");
		assert!(!note.contains("203.0.113"), "it names no device");
		let own = owners.last().unwrap();
		sound(own, home(20), ThreatClass::CommandAndControl);
		assert_eq!((own.severity, own.spoofable), (Severity::Critical, !answered));
		assert!(own.note.as_str().starts_with("203.0.113.20, in this home, calls 198.51.100.66: "));
	}
}

#[test]
fn calls_by_udp_are_found_and_their_irregularity_noted() {
	let mut world = World::new();
	for pause in [7_000, 40_000, 300_000, 9_000, 100_000] {
		world.udp((home(20), 40_000), (BAD, 53));
		world.wait(100);
		world.udp((BAD, 53), (home(20), 40_000));
		world.wait(pause);
	}
	let found = world.found("beacon");
	let last = found.iter().rfind(|finding| finding.audience == Audience::Everybody).unwrap();
	let endpoint = Endpoint { address: BAD.into(), protocol: Transport::Udp, port: 53 };
	assert_eq!((&last.indicator, last.spoofable), (&Indicator::Endpoint(endpoint), false));
	assert!(!last.note.as_str().contains("regular"), "{}", last.note);
}
