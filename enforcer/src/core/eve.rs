//! Reads alerts from the lines of a Suricata EVE log and decides which side of one is the attacker.
//!
//! # Security considerations
//!
//! Whoever can send a packet past the sensor writes part of each line. Parsing is bounded ([`MAX_LINE`]), never panics,
//! and refuses with the cause.
//!
//! **An alert is a claim about an address, and addresses can be forged.** One UDP or ICMP packet, or one bare SYN, raises
//! an alert against whatever source it carries, so a member that reported such alerts at face value could be used to
//! have an innocent peer blocked everywhere. [`Finding::spoofable`] is false only where the address answered, which takes
//! a TCP handshake: Suricata counted packets in both directions or, in a record without counts, had read an application's
//! transaction from the stream. [`crate::core::report`] reports the others at a lower confidence, so that a vetting policy
//! leaves them to a person.

use super::report::Finding;
use ringfence_primitives::{Address, Digest, Indicator, Network, Note, Severity, ThreatClass};
use serde::Deserialize;
use std::net::IpAddr;

/// Bytes that a line may have. Suricata's own alerts with payload stay well under it.
pub const MAX_LINE: usize = 64 * 1024;

/// Why a line was not understood.
#[derive(Debug, thiserror::Error)]
pub enum EveError {
	/// More than [`MAX_LINE`] bytes.
	#[error("longer than 64 KiB")]
	TooLong,
	/// Bytes that are no text.
	#[error("not UTF-8")]
	NotUtf8,
	/// Not JSON, or an alert without what every alert has.
	#[error("not an EVE record: {0}")]
	Json(#[from] serde_json::Error),
	/// `src_ip` or `dest_ip` is no address.
	#[error("{0} is not an address")]
	Address(&'static str),
}

/// One alert: a signature matched a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alert {
	/// When, as Suricata wrote it.
	pub timestamp: String,
	/// Where the packet came from.
	pub source: Address,
	/// Its port, where the protocol has ports.
	pub source_port: Option<u16>,
	/// Where the packet went.
	pub destination: Address,
	/// Its port, where the protocol has ports.
	pub destination_port: Option<u16>,
	/// `TCP`, `UDP`, `ICMP`, …
	pub protocol: String,
	/// Whether both sides of the flow were heard.
	pub answered: bool,
	/// The number of the signature.
	pub signature_id: u64,
	/// Its title.
	pub signature: String,
	/// The text of its classtype.
	pub category: String,
	/// 1 (worst) to 255.
	pub severity: u8,
	/// What Suricata did: `allowed` or `blocked`.
	pub action: String,
	/// BLAKE2b-256 of the line, without its newline.
	pub evidence: Digest,
}

#[derive(Deserialize)]
struct Kind {
	event_type: String,
}

#[derive(Deserialize)]
struct RawEvent {
	timestamp: String,
	src_ip: String,
	src_port: Option<u16>,
	dest_ip: String,
	dest_port: Option<u16>,
	proto: String,
	flow: Option<RawFlow>,
	tx_id: Option<u64>,
	alert: RawAlert,
}

#[derive(Deserialize)]
struct RawFlow {
	#[serde(default)]
	pkts_toserver: u64,
	#[serde(default)]
	pkts_toclient: u64,
}

#[derive(Deserialize)]
struct RawAlert {
	signature_id: u64,
	#[serde(default)]
	signature: String,
	#[serde(default)]
	category: String,
	severity: u8,
	#[serde(default)]
	action: String,
}

/// Reads one line. None: an empty line, or an event of another type.
pub fn parse(line: &[u8]) -> Result<Option<Alert>, EveError> {
	if line.len() > MAX_LINE {
		return Err(EveError::TooLong);
	}
	let text = std::str::from_utf8(line).map_err(|_| EveError::NotUtf8)?.trim();
	// Other types share few fields with alerts, so the type is looked at first: the log is mostly flows and statistics.
	if text.is_empty() || serde_json::from_str::<Kind>(text)?.event_type != "alert" {
		return Ok(None);
	}
	let event: RawEvent = serde_json::from_str(text)?;
	let address = |field, text: &str| text.parse::<IpAddr>().map(Address::from).map_err(|_| EveError::Address(field));
	Ok(Some(Alert {
		source: address("src_ip", &event.src_ip)?,
		destination: address("dest_ip", &event.dest_ip)?,
		timestamp: event.timestamp,
		source_port: event.src_port,
		destination_port: event.dest_port,
		protocol: event.proto,
		answered: match event.flow {
			Some(flow) => flow.pkts_toserver > 0 && flow.pkts_toclient > 0,
			None => event.tx_id.is_some(),
		},
		signature_id: event.alert.signature_id,
		signature: event.alert.signature,
		category: event.alert.category,
		severity: event.alert.severity,
		action: event.alert.action,
		evidence: super::blake2_256(line),
	}))
}

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
}

/// What turns alerts into findings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judge {
	/// The networks that are defended: the other side of an alert is the attacker, whoever sent the packet.
	pub home: Vec<Network>,
	/// Peers that are never blocked here.
	pub exempt: Vec<Network>,
	/// The highest severity number (1 is the worst) that matters.
	pub max_severity: u8,
}

impl Judge {
	/// The finding in `alert`.
	pub fn judge(&self, alert: &Alert) -> Result<Finding, Ignored> {
		if alert.severity > self.max_severity {
			return Err(Ignored::Minor);
		}
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
		Ok(Finding {
			indicator: Indicator::Host(attacker),
			threat: classify(&alert.category, &alert.signature),
			severity: match alert.severity {
				0 | 1 => Severity::High,
				2 => Severity::Medium,
				_ => Severity::Low,
			},
			spoofable: !(alert.answered && alert.protocol.eq_ignore_ascii_case("tcp")),
			note: Note::truncated(&format!("{} {}", alert.signature_id, alert.signature)),
			evidence: alert.evidence,
		})
	}
}

/// What the title of a signature says more exactly than its classtype does.
const WORDS: &[(&str, ThreatClass)] = &[
	("brute force", ThreatClass::BruteForce),
	("bruteforce", ThreatClass::BruteForce),
	("phish", ThreatClass::Phishing),
	("amplification", ThreatClass::Amplification),
	("botnet", ThreatClass::Botnet),
	("mirai", ThreatClass::Botnet),
];

/// The texts of Suricata's `classification.config` that name a threat.
const CLASSTYPES: &[(&str, ThreatClass)] = &[
	("Attempted Information Leak", ThreatClass::Scan),
	("Information Leak", ThreatClass::Scan),
	("Large Scale Information Leak", ThreatClass::Scan),
	("Detection of a Network Scan", ThreatClass::Scan),
	("Decode of an RPC Query", ThreatClass::Scan),
	("An attempted login using a suspicious username was detected", ThreatClass::BruteForce),
	("Attempt to login by a default username and password", ThreatClass::BruteForce),
	("Attempted User Privilege Gain", ThreatClass::Exploit),
	("Unsuccessful User Privilege Gain", ThreatClass::Exploit),
	("Successful User Privilege Gain", ThreatClass::Exploit),
	("Attempted Administrator Privilege Gain", ThreatClass::Exploit),
	("Successful Administrator Privilege Gain", ThreatClass::Exploit),
	("Executable code was detected", ThreatClass::Exploit),
	("access to a potentially vulnerable web application", ThreatClass::Exploit),
	("Web Application Attack", ThreatClass::Exploit),
	("Misc Attack", ThreatClass::Exploit),
	("Exploit Kit Activity Detected", ThreatClass::Exploit),
	("Targeted Malicious Activity was Detected", ThreatClass::Exploit),
	("A Network Trojan was detected", ThreatClass::Malware),
	("A suspicious filename was detected", ThreatClass::Malware),
	("Possibly Unwanted Program Detected", ThreatClass::Malware),
	("Crypto Currency Mining Activity Detected", ThreatClass::Malware),
	("Malware Command and Control Activity Detected", ThreatClass::CommandAndControl),
	("Domain Observed Used for C2 Detected", ThreatClass::CommandAndControl),
	("Attempted Denial of Service", ThreatClass::DenialOfService),
	("Denial of Service", ThreatClass::DenialOfService),
	("Detection of a Denial of Service Attack", ThreatClass::DenialOfService),
	("Successful Credential Theft Detected", ThreatClass::Phishing),
	("Possible Social Engineering Attempted", ThreatClass::Phishing),
];

/// What an alert of this classtype and title is known for.
pub fn classify(category: &str, signature: &str) -> ThreatClass {
	let title = signature.to_ascii_lowercase();
	let by_word = WORDS.iter().find(|(word, _)| title.contains(word));
	let by_classtype = || CLASSTYPES.iter().find(|(text, _)| text.eq_ignore_ascii_case(category.trim()));
	by_word.or_else(by_classtype).map_or(ThreatClass::Other, |(_, threat)| *threat)
}

#[cfg(test)]
mod tests {
	use super::*;

	fn alert(source: &str, destination: &str) -> Alert {
		Alert {
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
}
