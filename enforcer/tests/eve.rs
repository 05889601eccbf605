//! The EVE parser, over whole files and over lines that nobody wrote.

mod mutation;

use mutation::{mutate, mutation};
use proptest::prelude::*;
use ringfence_enforcer::core::{
	alert::{
		eve::parse,
		judge::{Ignored, Judge},
		Alert, AlertError, MAX_LINE,
	},
	rules::Rules,
};
use ringfence_primitives::{Severity, ThreatClass};
use std::path::Path;

const ALERTS: &str = include_str!("fixtures/alerts.json");
const MIXED: &str = include_str!("fixtures/mixed.json");

fn judge() -> Judge {
	Judge {
		home: vec!["203.0.113.32/27".parse().unwrap(), "2001:db8:65::/64".parse().unwrap()],
		exempt: Vec::new(),
		max_severity: 255,
		rules: Rules::default(),
	}
}

fn alerts(text: &str) -> Vec<Alert> {
	text.lines().filter_map(|line| parse(line.as_bytes()).unwrap()).collect()
}

#[test]
fn every_alert_of_a_file_becomes_a_finding() {
	let findings: Vec<_> = alerts(ALERTS)
		.iter()
		.map(|alert| {
			judge()
				.judge(alert)
				.map(|f| (f.indicator.to_string(), f.threat, f.severity, f.spoofable, f.note.to_string()))
		})
		.collect();
	let finding = |peer: &str, threat, severity, spoofable, note: &str| {
		Ok((peer.to_owned(), threat, severity, spoofable, note.to_owned()))
	};
	assert_eq!(
		findings,
		[
			finding(
				"198.18.66.66",
				ThreatClass::Exploit,
				Severity::High,
				false,
				"9000001 LOCAL WEB path traversal in request for a shell"
			),
			finding("198.18.66.66", ThreatClass::CommandAndControl, Severity::High, false, "9000002 LOCAL C2 check-in"),
			finding(
				"198.18.66.66",
				ThreatClass::Amplification,
				Severity::Medium,
				true,
				"9000003 LOCAL DNS amplification, large answers nobody asked for"
			),
			finding("2001:db8:66::66", ThreatClass::Scan, Severity::Low, true, "9000004 LOCAL ping sweep"),
			finding(
				"2001:db8:66::66",
				ThreatClass::BruteForce,
				Severity::Medium,
				false,
				"9000005 LOCAL SSH brute force — 20 logins in 60 s"
			),
			finding(
				"198.18.66.67",
				ThreatClass::Exploit,
				Severity::Medium,
				true,
				"9000006 LOCAL addresses as some capture methods write them"
			),
			Err(Ignored::BothHome),
		]
	);
}

#[test]
fn an_alert_keeps_what_suricata_wrote() {
	let alert = alerts(ALERTS).swap_remove(0);
	assert_eq!(alert.timestamp, "2026-03-01T12:00:00.123456+0000");
	assert_eq!((alert.source_port, alert.destination_port), (Some(40_112), Some(80)));
	assert_eq!((alert.protocol.as_str(), alert.action.as_str(), alert.severity), ("TCP", "allowed", 1));
	let line = ALERTS.lines().next().unwrap();
	assert_eq!(alert.evidence, ringfence_enforcer::core::blake2_256(line.as_bytes()));
}

#[test]
fn other_events_are_passed_over() {
	assert_eq!(alerts(MIXED).len(), 2);
	assert!(parse(b"").unwrap().is_none());
	assert!(parse(b" \r").unwrap().is_none());
	assert!(parse(br#"{"event_type":"alerts"}"#).unwrap().is_none());
}

#[test]
fn without_counts_a_transaction_tells_of_a_handshake() {
	let line = |extra: &str| {
		format!(
			r#"{{"timestamp":"t","event_type":"alert","src_ip":"198.18.66.66","dest_ip":"203.0.113.42","proto":"TCP",{extra}
			"alert":{{"signature_id":1,"severity":1}}}}"#
		)
	};
	let answered = |extra: &str| parse(line(extra).as_bytes()).unwrap().unwrap().answered;
	assert!(answered(r#""tx_id":0,"#));
	assert!(!answered(""));
	assert!(!answered(r#""tx_id":0,"flow":{"pkts_toserver":1,"pkts_toclient":0},"#));
}

/// A server answers a forged SYN too, several times.
#[test]
fn packets_in_both_directions_are_no_handshake() {
	let line = |extra: &str| {
		format!(
			r#"{{"timestamp":"t","event_type":"alert","src_ip":"198.18.66.66","dest_ip":"203.0.113.42","proto":"TCP",
			"flow":{{"pkts_toserver":3,"pkts_toclient":5}},{extra}"alert":{{"signature_id":1,"severity":1}}}}"#
		)
	};
	let answered = |extra: &str| parse(line(extra).as_bytes()).unwrap().unwrap().answered;
	assert!(!answered(""));
	assert!(answered(r#""app_proto":"failed","#) && answered(r#""app_proto":"http","#) && answered(r#""tx_id":0,"#));
}

#[test]
fn what_is_not_eve_is_refused_with_the_cause() {
	let refused = |line: &[u8]| parse(line).unwrap_err();
	assert!(matches!(refused(b"not json"), AlertError::Json(_)));
	assert!(matches!(refused(b"[1,2]"), AlertError::Json(_)));
	assert!(matches!(refused(b"{}"), AlertError::Json(_)));
	assert!(matches!(refused(b"\"\xff\""), AlertError::NotUtf8));
	assert!(matches!(refused(&vec![b' '; MAX_LINE + 1]), AlertError::TooLong));
	assert!(refused(br#"{"event_type":"alert"}"#).to_string().contains("timestamp"));
	let line = ALERTS.lines().next().unwrap();
	let wrong = |from: &str, to: &str| refused(line.replacen(from, to, 1).as_bytes());
	assert!(matches!(wrong("\"198.18.66.66\"", "\"example.net\""), AlertError::Address("src_ip")));
	assert!(matches!(wrong("\"198.18.66.66\"", "\"198.18.66.66/32\""), AlertError::Address("src_ip")));
	assert!(matches!(wrong("40112", "65536"), AlertError::Json(_)));
	assert!(matches!(wrong("\"severity\":1", "\"severity\":-1"), AlertError::Json(_)));
	let deep = "[".repeat(MAX_LINE - 1);
	assert!(matches!(refused(deep.as_bytes()), AlertError::Json(_)));
}

#[test]
fn real_logs_are_understood() {
	let Some(data) = std::env::var_os("RINGFENCE_DATA") else {
		eprintln!("SKIPPED: RINGFENCE_DATA is not set, no real EVE logs to read");
		return;
	};
	let directory = Path::new(&data).join("eve");
	let mut found = 0;
	for entry in std::fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display())) {
		let path = entry.unwrap().path();
		let text = std::fs::read_to_string(&path).unwrap();
		for (number, line) in text.lines().enumerate() {
			let alert = parse(line.as_bytes()).unwrap_or_else(|e| panic!("{}:{}: {e}", path.display(), number + 1));
			let Some(alert) = alert else { continue };
			found += 1;
			let home = vec![ringfence_primitives::Network::host(alert.destination)];
			let finding = Judge { home, ..judge() }.judge(&alert).unwrap();
			assert_eq!(finding.indicator, ringfence_primitives::Indicator::Host(alert.source));
		}
	}
	assert!(found > 0, "no alerts in {}", directory.display());
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(2_000))]

	#[test]
	fn mutated_lines_never_panic(
		which in any::<prop::sample::Index>(),
		mutations in prop::collection::vec(mutation(), 1..6),
	) {
		let lines: Vec<_> = ALERTS.lines().chain(MIXED.lines()).collect();
		let line = mutate(which.get(&lines).as_bytes().to_vec(), &mutations);
		if let Ok(Some(alert)) = parse(&line) {
			if let Ok(finding) = judge().judge(&alert) {
				prop_assert!(finding.note.as_str().len() <= ringfence_primitives::note::MAX_LEN as usize);
			}
		}
	}

	#[test]
	fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
		let _ = parse(&bytes);
	}
}
