//! The parsers of what other programs write, over whole files and over lines that nobody wrote. EVE has a file of its own.

mod mutation;

use mutation::{mutate, mutation};
use proptest::prelude::*;
use ringfence_enforcer::core::{
	alert::{
		judge::{Ignored, Judge},
		AlertError, Format, Seen, MAX_LINE,
	},
	report::Finding,
	rules::{Rule, Rules, Verdict},
};
use ringfence_primitives::{Address, Indicator, Lifetime, Severity, ThreatClass};
use std::path::Path;

const FAST: &str = include_str!("fixtures/fast.log");
const SNORT: &str = include_str!("fixtures/snort.json");
const FAIL2BAN: &str = include_str!("fixtures/fail2ban.log");
const CROWDSEC: &str = include_str!("fixtures/crowdsec.jsonl");

const FILES: [(Format, &str); 4] =
	[(Format::Fast, FAST), (Format::SnortJson, SNORT), (Format::Fail2ban, FAIL2BAN), (Format::Crowdsec, CROWDSEC)];

fn judge() -> Judge {
	Judge {
		home: vec!["203.0.113.32/27".parse().unwrap(), "2001:db8:65::/64".parse().unwrap()],
		exempt: Vec::new(),
		max_severity: 255,
		rules: Rules::default(),
	}
}

fn judged(judge: &Judge, seen: &Seen) -> Result<Finding, Ignored> {
	match seen {
		Seen::Alert(alert) => judge.judge(alert),
		Seen::Decision(decision) => judge.decide(decision),
	}
}

/// What becomes of each thing that a file tells of.
fn all(judge: &Judge, format: Format, text: &str) -> Vec<Result<Finding, Ignored>> {
	text.lines()
		.flat_map(|line| format.parse(line.as_bytes()))
		.filter_map(|seen| match seen {
			Ok(seen) => Some(judged(judge, &seen)),
			Err(cause) => {
				assert!(matches!(cause, AlertError::Scope), "{cause}");
				None
			}
		})
		.collect()
}

/// Who, what for, how bad, and whether it can be forged.
fn told(findings: Vec<Result<Finding, Ignored>>) -> Vec<Result<(String, ThreatClass, Severity, bool), Ignored>> {
	let each = |finding: Finding| (finding.indicator.to_string(), finding.threat, finding.severity, finding.spoofable);
	findings.into_iter().map(|finding| finding.map(each)).collect()
}

#[test]
fn fast_alerts_become_findings_that_can_be_forged() {
	let expected: [Result<_, Ignored>; 5] = [
		Ok(("198.18.66.66".to_owned(), ThreatClass::Exploit, Severity::High, true)),
		Ok(("198.18.66.66".to_owned(), ThreatClass::Amplification, Severity::Medium, true)),
		Ok(("2001:db8:66::66".to_owned(), ThreatClass::Scan, Severity::Low, true)),
		Ok(("2001:db8:66::66".to_owned(), ThreatClass::BruteForce, Severity::Medium, true)),
		Ok(("198.18.66.67".to_owned(), ThreatClass::Other, Severity::Low, true)),
	];
	assert_eq!(told(all(&judge(), Format::Fast, FAST)), expected);
}

#[test]
fn a_rule_says_which_signatures_need_a_handshake() {
	let verdict = Verdict { established: true, ..Verdict::default() };
	let rule = Rule { signature_ids: vec![9_000_001..=9_000_004], verdict: Some(verdict), ..Rule::default() };
	let ruled = Judge { rules: Rules(vec![rule]), ..judge() };
	let spoofable: Vec<_> =
		all(&ruled, Format::Fast, FAST).into_iter().map(|finding| finding.unwrap().spoofable).collect();
	assert_eq!(spoofable, [false, true, true, true, true], "of those that match, only the first is TCP");
}

#[test]
fn snorts_alerts_become_findings_whatever_fields_they_have() {
	let expected: [Result<_, Ignored>; 3] = [
		Ok(("198.18.66.66".to_owned(), ThreatClass::Other, Severity::Medium, true)),
		Ok(("2001:db8:66::66".to_owned(), ThreatClass::BruteForce, Severity::High, true)),
		Ok(("198.18.66.67".to_owned(), ThreatClass::Scan, Severity::Low, true)),
	];
	assert_eq!(told(all(&judge(), Format::SnortJson, SNORT)), expected);
}

#[test]
fn bans_of_fail2ban_become_findings_and_releases_do_not() {
	let brute = |host: &str| Ok((host.to_owned(), ThreatClass::BruteForce, Severity::Medium, true));
	let listed = |host: &str| Ok((host.to_owned(), ThreatClass::Other, Severity::Medium, true));
	let findings = all(&judge(), Format::Fail2ban, FAIL2BAN);
	assert_eq!(findings[3].as_ref().unwrap().lifetime, Lifetime::new(600));
	let expected = [
		brute("198.18.66.66"),
		brute("2001:db8:66::66"),
		Err(Ignored::Over),
		listed("198.18.66.67"),
		listed("198.18.66.68"),
		listed("198.18.66.69"),
	];
	assert_eq!(told(findings), expected);
}

#[test]
fn decisions_of_crowdsec_become_findings_where_they_were_made_here() {
	let findings = all(&judge(), Format::Crowdsec, CROWDSEC);
	assert_eq!(findings[0].as_ref().unwrap().lifetime, Lifetime::new(14_397));
	let expected = [
		Ok(("198.18.66.66".to_owned(), ThreatClass::BruteForce, Severity::Medium, true)),
		Err(Ignored::Hearsay),
		Err(Ignored::Over),
		Ok(("2001:db8:66::66".to_owned(), ThreatClass::BruteForce, Severity::Medium, true)),
		Err(Ignored::NoBan),
	];
	assert_eq!(told(findings), expected);
}

#[test]
fn lines_are_bounded_in_every_format() {
	let long = vec![b' '; MAX_LINE + 1];
	for format in Format::ALL {
		assert!(matches!(format.parse(&long)[..], [Err(AlertError::TooLong)]), "{format:?}");
		assert!(matches!(format.parse(b"\xff")[..], [Err(AlertError::NotUtf8)]), "{format:?}");
		assert!(format.parse(b" \r\n").is_empty(), "{format:?}");
	}
	for deep in ["[", "{\"new\":["] {
		assert!(matches!(Format::Crowdsec.parse(deep.repeat(MAX_LINE / 8).as_bytes())[..], [Err(AlertError::Json(_))]));
	}
}

#[test]
fn real_fast_alerts_are_understood() {
	let Some(data) = std::env::var_os("RINGFENCE_DATA") else {
		eprintln!("SKIPPED: RINGFENCE_DATA is not set, no real alerts to read");
		return;
	};
	let path = Path::new(&data).join("snort/crowdsec-hub-fast.log");
	let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
	let mut found = 0;
	for line in text.lines() {
		for seen in Format::Fast.parse(line.as_bytes()) {
			let Seen::Alert(alert) = seen.unwrap_or_else(|e| panic!("{line}: {e}")) else { panic!("{line}") };
			found += 1;
			assert!(alert.source_port.is_some() && alert.destination_port.is_some(), "{line}");
			let home = vec![ringfence_primitives::Network::host(alert.destination)];
			let finding = Judge { home, ..judge() }.judge(&alert).unwrap();
			assert_eq!(finding.indicator, Indicator::Host(alert.source));
			assert!(finding.spoofable, "the format does not tell");
		}
	}
	assert!(found > 0, "no alerts in {}", path.display());
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(4_000))]

	#[test]
	fn mutated_lines_never_panic(
		file in any::<prop::sample::Index>(),
		which in any::<prop::sample::Index>(),
		mutations in prop::collection::vec(mutation(), 1..6),
	) {
		let (format, text) = *file.get(&FILES);
		let lines: Vec<_> = text.lines().collect();
		let line = mutate(which.get(&lines).as_bytes().to_vec(), &mutations);
		for seen in format.parse(&line).into_iter().flatten() {
			if let Ok(finding) = judged(&judge(), &seen) {
				prop_assert!(finding.note.as_str().len() <= ringfence_primitives::note::MAX_LEN as usize);
				prop_assert!(finding.spoofable, "none of these formats proves an address");
			}
		}
	}

	#[test]
	fn any_bytes_never_panic(format in prop::sample::select(Format::ALL.to_vec()), bytes in prop::collection::vec(any::<u8>(), 0..400)) {
		let _ = format.parse(&bytes);
	}

	#[test]
	fn what_is_written_of_a_packet_is_read_of_it(
		source in any::<std::net::Ipv6Addr>(),
		destination in any::<std::net::Ipv6Addr>(),
		ports in any::<(u16, u16)>(),
		whole in any::<bool>(),
	) {
		let written = |address: std::net::Ipv6Addr| match whole {
			true => address.segments().map(|group| format!("{group:04x}")).join(":"),
			false => address.to_string(),
		};
		let packet = format!("{}:{} -> {}:{}", written(source), ports.0, written(destination), ports.1);
		let line = format!("03/01-12:00:00.123456 [**] [1:1:1] x [**] [Priority: 1] {{UDP}} {packet}");
		let mut seen = Format::Fast.parse(line.as_bytes());
		let Some(Ok(Seen::Alert(alert))) = seen.pop() else { panic!("{line}: {seen:?}") };
		prop_assert_eq!(alert.source, Address::from(std::net::IpAddr::from(source)));
		prop_assert_eq!(alert.destination, Address::from(std::net::IpAddr::from(destination)));
		prop_assert_eq!((alert.source_port, alert.destination_port), (Some(ports.0), Some(ports.1)));
	}
}
