//! What the detectors say about real captures: floods are told by a signature, ordinary life says nothing.

use ringfence_primitives::{FlowSignature, Indicator, ThreatClass};
use ringfence_sensor::{engine::Settings, Engine, Finding, Link};
use std::path::Path;

/// What a capture shows a sensor that defends `home`, up to half a minute after its end. None where there is no such file.
fn findings(name: &str, home: &str) -> Option<Vec<Finding>> {
	let Some(data) = std::env::var_os("RINGFENCE_DATA") else {
		eprintln!("SKIPPED: RINGFENCE_DATA is not set, no real captures to read");
		return None;
	};
	let path = Path::new(&data).join("pcap").join(name);
	let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
	let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
	assert_eq!((number(0), number(20)), (0xa1b2_c3d4, 1), "microseconds, Ethernet");
	let settings = Settings { home: vec![home.parse().unwrap()], ..Settings::default() };
	let mut engine = Engine::new(&settings, 11, |_| false).unwrap();
	let (mut found, mut at, mut time) = (Vec::new(), 24, 0);
	while at < bytes.len() {
		time = u64::from(number(at)) * 1_000_000_000 + u64::from(number(at + 4)) * 1_000;
		let length = number(at + 8) as usize;
		at += 16;
		let _ = engine.frame(Link::Ethernet, &bytes[at..at + length], time, 1, &mut found);
		at += length;
	}
	for after in (0..30_000).step_by(100) {
		engine.tick(time / 1_000_000 + after, &mut found);
	}
	Some(found)
}

/// The signature by which `detector` tells a flood, which covers at least 99 % of it.
fn flow(finding: &Finding, detector: &str) -> FlowSignature {
	assert_eq!(finding.detector, detector, "{finding:?}");
	assert!(finding.fit.unwrap().coverage_permille() >= 990, "{finding:?}");
	let Indicator::Flow(flow) = finding.indicator else { panic!("{finding:?}") };
	flow
}

fn floods(found: Vec<Finding>) -> Vec<Finding> {
	found.into_iter().filter(|finding| finding.fit.is_some()).collect()
}

#[test]
fn a_spoofed_syn_flood_is_told_by_what_its_packets_share() {
	let Some(found) = findings("stopddos-tcp-synflood-spoofed.pcap", "10.10.10.10/32") else { return };
	assert!(found.iter().all(|finding| matches!(finding.indicator, Indicator::Flow(_))), "nobody is named: {found:?}");
	let floods = floods(found);
	assert!(!floods.is_empty());
	for finding in &floods {
		let flow = flow(finding, "syn-flood");
		assert_eq!((flow.protocol, flow.source, finding.spoofable), (Some(6), None, false), "{flow}");
		assert_eq!(flow.destination, Some("10.10.10.10/32".parse().unwrap()));
		assert!(
			flow.destination_ports.is_some_and(|ports| (ports.first(), ports.last()) == (25_565, 25_565)),
			"{flow}"
		);
	}
}

#[test]
fn an_amplified_flood_is_told_by_its_source_port() {
	let Some(found) = findings("stopddos-udp-isakmp-amplification.pcap", "10.10.10.10/32") else { return };
	let floods = floods(found);
	let [finding] = floods.as_slice() else { panic!("{floods:?}") };
	let flow = flow(finding, "amplification");
	assert_eq!((flow.protocol, flow.source, finding.threat), (Some(17), None, ThreatClass::Amplification), "{flow}");
	assert!(flow.source_ports.is_some_and(|ports| (ports.first(), ports.last()) == (4_500, 4_500)), "{flow}");
}

/// Two hundred openings within a fifth of a second, all from one address that shakes no hand: few, but enough.
#[test]
fn a_small_syn_flood_from_one_address_is_found() {
	let Some(found) = findings("suricata-verify-syn-flood.pcap", "198.51.100.5/32") else { return };
	let floods = floods(found);
	let [finding] = floods.as_slice() else { panic!("{floods:?}") };
	let flow = flow(finding, "syn-flood");
	assert!(flow.destination_ports.is_some_and(|ports| (ports.first(), ports.last()) == (443, 443)), "{flow}");
	assert_eq!(finding.spoofable, flow.source.is_some(), "its source may be forged");
}

/// Ten thousand requests in one instant, from 0.0.0.0 to everybody.
#[test]
fn a_flood_of_dhcp_requests_is_found() {
	let Some(found) = findings("suricata-verify-dhcp-request-flood.pcap", "255.255.255.255/32") else { return };
	let floods = floods(found);
	let [finding] = floods.as_slice() else { panic!("{floods:?}") };
	let flow = flow(finding, "udp-flood");
	assert!(flow.destination_ports.is_some_and(|ports| (ports.first(), ports.last()) == (67, 67)), "{flow}");
}

#[test]
fn ordinary_sessions_show_nothing() {
	for (name, home) in [
		("suricata-verify-telnet-benign.pcap", "192.168.0.1/32"),
		("suricata-verify-telnet-benign.pcap", "192.168.0.2/32"),
		("suricata-verify-icmp-and-ssh-benign.pcap", "192.168.0.30/32"),
		("suricata-verify-icmp-and-ssh-benign.pcap", "192.168.0.123/32"),
	] {
		let Some(found) = findings(name, home) else { return };
		assert_eq!(found, [], "{name}");
	}
}
