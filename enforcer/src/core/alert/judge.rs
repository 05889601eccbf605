//! Decides which side of an alert is the attacker, and what it is known for.

use super::{
	decisions::{Decision, BAN},
	Alert,
};
use crate::core::{
	report::Finding,
	rules::{Rules, Subject},
};
use ringfence_primitives::{Indicator, Lifetime, Network, Note, Severity, ThreatClass};

/// Why an alert is nothing to report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Ignored {
	/// Its severity number is above the limit.
	#[error("not severe enough")]
	Minor,
	/// Nobody outside took part.
	#[error("both sides are home")]
	BothHome,
	/// It is not about this network.
	#[error("neither side is home")]
	NeitherHome,
	/// The other side would never be blocked here, so asking others to block it makes no sense.
	#[error("the other side is protected or allowed")]
	Exempt,
	/// The owner's rules say so.
	#[error("a rule says to ignore it")]
	Ruled,
	/// A decision that was lifted or has expired: what the chain decided meanwhile is not this program's to take back.
	#[error("it is over")]
	Over,
	/// A decision that is only tried out, or that does not keep anybody out.
	#[error("no ban")]
	NoBan,
	/// A decision that came from a list or a community, not from what was seen here.
	#[error("not seen here")]
	Hearsay,
}

/// What turns alerts and decisions into findings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judge {
	/// The networks that are defended: the other side of an alert is the attacker, whoever sent the packet.
	pub home: Vec<Network>,
	/// Peers that are never blocked here.
	pub exempt: Vec<Network>,
	/// The highest severity number (1 is the worst) that matters, where no rule says how severe something is.
	pub max_severity: u8,
	/// What the owner knows better.
	pub rules: Rules,
}

/// The severity number of decisions: those who decide do not rate.
const DECIDED: u8 = 2;

impl Judge {
	/// The finding in `alert`.
	pub fn judge(&self, alert: &Alert) -> Result<Finding, Ignored> {
		let within = |networks: &[Network], address| networks.iter().any(|n| n.contains(&Network::host(address)));
		let attacker = match (within(&self.home, alert.source), within(&self.home, alert.destination)) {
			(false, true) => alert.source,
			(true, false) => alert.destination,
			(true, true) => return Err(Ignored::BothHome),
			(false, false) => return Err(Ignored::NeitherHome),
		};
		if within(&self.exempt, attacker) {
			return Err(Ignored::Exempt);
		}
		let tcp = alert.protocol.eq_ignore_ascii_case("tcp");
		let finding = Finding {
			indicator: Indicator::Host(attacker),
			threat: classify(&alert.category, &alert.signature),
			severity: severity(alert.severity),
			spoofable: !(alert.answered && tcp),
			action: None,
			lifetime: None,
			note: Note::truncated(&format!("{} {}", alert.signature_id, alert.signature)),
			evidence: alert.evidence(),
		};
		let subject = Subject {
			source: Some(alert.format),
			detector: None,
			category: &alert.category,
			signature_id: Some(alert.signature_id),
			handshake: tcp,
		};
		self.settle(&subject, alert.severity, finding)
	}

	/// The finding in `decision`. Whom it is about has not been seen to answer, and it lasts as long as the decision.
	pub fn decide(&self, decision: &Decision) -> Result<Finding, Ignored> {
		if decision.over {
			return Err(Ignored::Over);
		}
		if decision.simulated || decision.remedy != BAN {
			return Err(Ignored::NoBan);
		}
		if HEARSAY.iter().any(|origin| decision.origin.to_ascii_lowercase().starts_with(origin)) {
			return Err(Ignored::Hearsay);
		}
		let indicator = Indicator::from(decision.network);
		if indicator.overlap(&self.home).is_some() {
			return Err(Ignored::BothHome);
		}
		if indicator.overlap(&self.exempt).is_some() {
			return Err(Ignored::Exempt);
		}
		let lifetime = |seconds: u64| {
			let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
			Lifetime::new(seconds.clamp(Lifetime::MIN.get(), Lifetime::MAX.get()))
		};
		let finding = Finding {
			indicator,
			threat: scenario(&decision.scenario),
			severity: severity(DECIDED),
			spoofable: true,
			action: None,
			lifetime: decision.duration.and_then(lifetime),
			note: Note::truncated(&format!("{} {}", decision.origin, decision.scenario)),
			evidence: decision.evidence(),
		};
		let subject = Subject {
			source: Some(decision.format),
			detector: None,
			category: &decision.scenario,
			signature_id: None,
			handshake: true,
		};
		self.settle(&subject, DECIDED, finding)
	}

	/// What an own detector found. A class of packets is held against the lists by its source alone: its destination is who
	/// is defended.
	pub fn found(&self, found: ringfence_sensor::Finding) -> Result<Finding, Ignored> {
		let peers: Vec<Network> = match &found.indicator {
			Indicator::Flow(flow) => flow.source.into_iter().collect(),
			indicator => indicator.networks().collect(),
		};
		let overlaps = |networks: &[Network]| peers.iter().any(|peer| networks.iter().any(|n| n.overlaps(peer)));
		if overlaps(&self.home) {
			return Err(Ignored::BothHome);
		}
		if overlaps(&self.exempt) {
			return Err(Ignored::Exempt);
		}
		let detector = found.detector;
		let subject = Subject {
			source: None,
			detector: Some(detector),
			category: "",
			signature_id: None,
			// A detector knows better than any rule whether there was a handshake.
			handshake: false,
		};
		self.rules.settle(&subject, Finding::from(found)).ok_or(Ignored::Ruled)
	}

	/// What the rules make of `finding`. The limit on severity is for what no rule rates.
	fn settle(&self, subject: &Subject<'_>, number: u8, finding: Finding) -> Result<Finding, Ignored> {
		let rated = self.rules.verdict(subject, finding.severity).is_some_and(|verdict| verdict.severity.is_some());
		let finding = self.rules.settle(subject, finding).ok_or(Ignored::Ruled)?;
		if !rated && number > self.max_severity {
			return Err(Ignored::Minor);
		}
		Ok(finding)
	}
}

/// The severity of Suricata's number.
fn severity(number: u8) -> Severity {
	match number {
		0 | 1 => Severity::High,
		2 => Severity::Medium,
		_ => Severity::Low,
	}
}

/// The beginnings of the origins of decisions that others made: CrowdSec's community and subscribed lists.
const HEARSAY: [&str; 2] = ["capi", "lists"];

/// What the title of a signature says more exactly than its classtype does.
const WORDS: &[(&str, ThreatClass)] = &[
	("brute force", ThreatClass::BruteForce),
	("bruteforce", ThreatClass::BruteForce),
	("phish", ThreatClass::Phishing),
	("amplification", ThreatClass::Amplification),
	("botnet", ThreatClass::Botnet),
	("mirai", ThreatClass::Botnet),
];

/// The classtypes that name a threat: names, which Snort writes, and texts, which Suricata writes.
const CLASSTYPES: &[(&str, &str, ThreatClass)] = &[
	("attempted-recon", "Attempted Information Leak", ThreatClass::Scan),
	("successful-recon-limited", "Information Leak", ThreatClass::Scan),
	("successful-recon-largescale", "Large Scale Information Leak", ThreatClass::Scan),
	("network-scan", "Detection of a Network Scan", ThreatClass::Scan),
	("rpc-portmap-decode", "Decode of an RPC Query", ThreatClass::Scan),
	("suspicious-login", "An attempted login using a suspicious username was detected", ThreatClass::BruteForce),
	("default-login-attempt", "Attempt to login by a default username and password", ThreatClass::BruteForce),
	("attempted-user", "Attempted User Privilege Gain", ThreatClass::Exploit),
	("unsuccessful-user", "Unsuccessful User Privilege Gain", ThreatClass::Exploit),
	("successful-user", "Successful User Privilege Gain", ThreatClass::Exploit),
	("attempted-admin", "Attempted Administrator Privilege Gain", ThreatClass::Exploit),
	("successful-admin", "Successful Administrator Privilege Gain", ThreatClass::Exploit),
	("shellcode-detect", "Executable code was detected", ThreatClass::Exploit),
	("web-application-activity", "access to a potentially vulnerable web application", ThreatClass::Exploit),
	("web-application-attack", "Web Application Attack", ThreatClass::Exploit),
	("misc-attack", "Misc Attack", ThreatClass::Exploit),
	("exploit-kit", "Exploit Kit Activity Detected", ThreatClass::Exploit),
	("targeted-activity", "Targeted Malicious Activity was Detected", ThreatClass::Exploit),
	("trojan-activity", "A Network Trojan was detected", ThreatClass::Malware),
	("suspicious-filename-detect", "A suspicious filename was detected", ThreatClass::Malware),
	("pup-activity", "Possibly Unwanted Program Detected", ThreatClass::Malware),
	("coin-mining", "Crypto Currency Mining Activity Detected", ThreatClass::Malware),
	("command-and-control", "Malware Command and Control Activity Detected", ThreatClass::CommandAndControl),
	("domain-c2", "Domain Observed Used for C2 Detected", ThreatClass::CommandAndControl),
	("attempted-dos", "Attempted Denial of Service", ThreatClass::DenialOfService),
	("successful-dos", "Denial of Service", ThreatClass::DenialOfService),
	("denial-of-service", "Detection of a Denial of Service Attack", ThreatClass::DenialOfService),
	("credential-theft", "Successful Credential Theft Detected", ThreatClass::Phishing),
	("social-engineering", "Possible Social Engineering Attempted", ThreatClass::Phishing),
];

/// What an alert of this classtype and title is known for.
pub fn classify(category: &str, signature: &str) -> ThreatClass {
	let title = signature.to_ascii_lowercase();
	let by_word = WORDS.iter().find(|(word, _)| title.contains(word));
	let category = category.trim();
	let is = |known: &str| known.eq_ignore_ascii_case(category);
	let by_classtype = || CLASSTYPES.iter().find(|(name, text, _)| is(name) || is(text)).map(|(_, _, threat)| *threat);
	by_word.map(|(_, threat)| *threat).or_else(by_classtype).unwrap_or(ThreatClass::Other)
}

/// What the names of scenarios and jails are made of, the more exact first.
const SCENARIOS: &[(&str, ThreatClass)] = &[
	("cve", ThreatClass::Exploit),
	("backdoor", ThreatClass::Exploit),
	("sqli", ThreatClass::Exploit),
	("xss", ThreatClass::Exploit),
	("exploit", ThreatClass::Exploit),
	("ddos", ThreatClass::DenialOfService),
	("spam", ThreatClass::Spam),
	("scan", ThreatClass::Scan),
	("prob", ThreatClass::Scan),
	("crawl", ThreatClass::Scan),
	("-bf", ThreatClass::BruteForce),
	("brute", ThreatClass::BruteForce),
	("auth", ThreatClass::BruteForce),
	("ssh", ThreatClass::BruteForce),
	("login", ThreatClass::BruteForce),
	("sasl", ThreatClass::BruteForce),
];

/// What somebody was banned for by this scenario or jail.
pub fn scenario(name: &str) -> ThreatClass {
	let name = name.to_ascii_lowercase();
	SCENARIOS.iter().find(|(part, _)| name.contains(part)).map_or(ThreatClass::Other, |(_, threat)| *threat)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::core::{
		alert::Format,
		rules::{Rule, Verdict},
	};

	fn alert(source: &str, destination: &str) -> Alert {
		Alert {
			format: Format::Eve,
			timestamp: "2026-01-01T00:00:00.000000+0000".into(),
			source: source.parse().unwrap(),
			source_port: Some(40_000),
			destination: destination.parse().unwrap(),
			destination_port: Some(80),
			protocol: "TCP".into(),
			answered: true,
			signature_id: 1,
			signature: "LOCAL test".into(),
			category: "Web Application Attack".into(),
			severity: 1,
			action: "allowed".into(),
			evidence: [7; 32],
		}
	}

	fn judge() -> Judge {
		Judge {
			home: vec!["203.0.113.0/24".parse().unwrap(), "2001:db8:65::/64".parse().unwrap()],
			exempt: vec!["198.51.100.7".parse().unwrap()],
			max_severity: 2,
			rules: Rules::default(),
		}
	}

	/// A judge with one rule about signature 1, or about decisions.
	fn ruled(verdict: Option<Verdict>) -> Judge {
		let rule = Rule { signature_ids: vec![1..=1], verdict, ..Rule::default() };
		Judge { rules: Rules(vec![rule]), ..judge() }
	}

	fn decision(network: &str) -> Decision {
		Decision {
			format: Format::Crowdsec,
			network: network.parse().unwrap(),
			origin: "crowdsec".into(),
			scenario: "crowdsecurity/ssh-bf".into(),
			remedy: BAN.into(),
			duration: Some(14_400),
			over: false,
			simulated: false,
			evidence: [7; 32],
		}
	}

	fn attacker(finding: Result<Finding, Ignored>) -> Result<String, Ignored> {
		finding.map(|f| f.indicator.to_string())
	}

	#[test]
	fn the_side_that_is_not_home_is_the_attacker() {
		let judged = |from, to| attacker(judge().judge(&alert(from, to)));
		assert_eq!(judged("198.18.66.66", "203.0.113.9"), Ok("198.18.66.66".into()));
		assert_eq!(judged("203.0.113.9", "198.18.66.66"), Ok("198.18.66.66".into()));
		assert_eq!(judged("2001:db8:66::66", "2001:db8:65::10"), Ok("2001:db8:66::66".into()));
		assert_eq!(judged("203.0.113.9", "203.0.113.10"), Err(Ignored::BothHome));
		assert_eq!(judged("198.18.66.66", "198.18.66.67"), Err(Ignored::NeitherHome));
		assert_eq!(judged("198.51.100.7", "203.0.113.9"), Err(Ignored::Exempt));
	}

	#[test]
	fn severity_is_mapped_and_limited() {
		let judged = |severity| judge().judge(&Alert { severity, ..alert("198.18.66.66", "203.0.113.9") });
		assert_eq!(judged(1).unwrap().severity, Severity::High);
		assert_eq!(judged(2).unwrap().severity, Severity::Medium);
		assert_eq!(judged(3), Err(Ignored::Minor));
	}

	#[test]
	fn only_an_answered_tcp_flow_proves_the_address() {
		let spoofable = |protocol: &str, answered| {
			let alert = Alert { protocol: protocol.into(), answered, ..alert("198.18.66.66", "203.0.113.9") };
			judge().judge(&alert).unwrap().spoofable
		};
		assert!(!spoofable("TCP", true));
		assert!(spoofable("TCP", false));
		assert!(spoofable("UDP", true));
		assert!(spoofable("ICMP", true));
	}

	#[test]
	fn classtypes_and_titles_name_the_threat() {
		assert_eq!(classify("Attempted Administrator Privilege Gain", ""), ThreatClass::Exploit);
		assert_eq!(classify("A Network Trojan was detected", ""), ThreatClass::Malware);
		assert_eq!(classify("Malware Command and Control Activity Detected", ""), ThreatClass::CommandAndControl);
		assert_eq!(classify("Detection of a Denial of Service Attack", ""), ThreatClass::DenialOfService);
		assert_eq!(classify("Detection of a Network Scan", ""), ThreatClass::Scan);
		assert_eq!(classify("Attempted Information Leak", "ET SCAN SSH Brute Force"), ThreatClass::BruteForce);
		assert_eq!(classify("Misc activity", "something"), ThreatClass::Other);
		assert_eq!(classify("", ""), ThreatClass::Other);
	}

	#[test]
	fn the_title_is_cut_to_a_note() {
		let long = Alert { signature: "é".repeat(500), ..alert("198.18.66.66", "203.0.113.9") };
		assert!(judge().judge(&long).unwrap().note.as_str().len() <= ringfence_primitives::note::MAX_LEN as usize);
	}

	#[test]
	fn the_owners_rules_go_before_what_is_known_of_alerts() {
		let about = |verdict| ruled(verdict).judge(&Alert { severity: 3, ..alert("198.18.66.66", "203.0.113.9") });
		assert_eq!(about(None), Err(Ignored::Ruled));
		assert_eq!(about(Some(Verdict::default())), Err(Ignored::Minor), "no rule rates it");
		let rated = about(Some(Verdict { severity: Some(Severity::Critical), ..Verdict::default() })).unwrap();
		assert_eq!((rated.severity, rated.threat), (Severity::Critical, ThreatClass::Exploit));
	}

	#[test]
	fn a_signature_that_needs_a_handshake_proves_a_tcp_address_only() {
		let spoofable = |protocol: &str| {
			let alert = Alert {
				format: Format::Fast,
				protocol: protocol.into(),
				answered: false,
				..alert("198.18.66.66", "203.0.113.9")
			};
			let established = Verdict { established: true, ..Verdict::default() };
			assert!(judge().judge(&alert).unwrap().spoofable);
			ruled(Some(established)).judge(&alert).unwrap().spoofable
		};
		assert!(!spoofable("TCP"));
		assert!(spoofable("UDP"));
	}

	#[test]
	fn a_ban_becomes_a_finding_that_lasts_as_long() {
		let finding = judge().decide(&decision("198.18.66.66")).unwrap();
		assert_eq!(finding.indicator.to_string(), "198.18.66.66");
		assert_eq!(
			(finding.threat, finding.severity, finding.spoofable),
			(ThreatClass::BruteForce, Severity::Medium, true)
		);
		assert_eq!((finding.lifetime, finding.note.as_str()), (Lifetime::new(14_400), "crowdsec crowdsecurity/ssh-bf"));
		let lasting = |duration| judge().decide(&Decision { duration, ..decision("198.18.66.66") }).unwrap().lifetime;
		assert_eq!(lasting(None), None);
		assert_eq!(lasting(Some(1)), Some(Lifetime::MIN));
		assert_eq!(lasting(Some(u64::MAX)), Some(Lifetime::MAX));
	}

	#[test]
	fn decisions_that_are_not_ours_to_spread_are_ignored() {
		let decided = |decision: Decision| judge().decide(&decision).unwrap_err();
		let ban = || decision("198.18.66.66");
		assert_eq!(decided(Decision { over: true, ..ban() }), Ignored::Over);
		assert_eq!(decided(Decision { simulated: true, ..ban() }), Ignored::NoBan);
		assert_eq!(decided(Decision { remedy: "captcha".into(), ..ban() }), Ignored::NoBan);
		assert_eq!(decided(Decision { origin: "CAPI".into(), ..ban() }), Ignored::Hearsay);
		assert_eq!(decided(Decision { origin: "lists:firehol".into(), ..ban() }), Ignored::Hearsay);
		assert_eq!(decided(decision("203.0.112.0/23")), Ignored::BothHome);
		assert_eq!(decided(decision("198.51.100.0/24")), Ignored::Exempt);
		let strict = Judge { max_severity: 1, ..judge() };
		assert_eq!(strict.decide(&ban()), Err(Ignored::Minor));
	}

	#[test]
	fn scenarios_and_jails_name_the_threat() {
		for (name, threat) in [
			("crowdsecurity/telnet-bf", ThreatClass::BruteForce),
			("sshd", ThreatClass::BruteForce),
			("postfix-sasl", ThreatClass::BruteForce),
			("crowdsecurity/http-probing", ThreatClass::Scan),
			("crowdsecurity/iptables-scan-multi_ports", ThreatClass::Scan),
			("crowdsecurity/http-cve-2021-41773", ThreatClass::Exploit),
			("recidive", ThreatClass::Other),
			("", ThreatClass::Other),
		] {
			assert_eq!(scenario(name), threat, "{name}");
		}
	}

	#[test]
	fn classtypes_are_known_by_name_as_well() {
		assert_eq!(classify("attempted-admin", ""), ThreatClass::Exploit);
		assert_eq!(classify("Network-Scan", ""), ThreatClass::Scan);
	}
}
