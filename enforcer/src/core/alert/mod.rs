//! What other programs say: alerts of Suricata and Snort, decisions of fail2ban and CrowdSec. One file a format, and
//! [`judge`], which decides which side of an alert is the attacker.
//!
//! # Security considerations
//!
//! Whoever can send a packet past a sensor writes part of each line. Parsing is bounded ([`MAX_LINE`]), never panics,
//! and refuses with the cause.
//!
//! **An alert is a claim about an address, and addresses can be forged.** One UDP or ICMP packet, or one bare SYN, raises
//! an alert against whatever source it carries, so a member that reported such alerts at face value could be used to
//! have an innocent peer blocked everywhere. [`Finding::spoofable`](super::report::Finding::spoofable) is false only where
//! the address answered, which takes a TCP handshake: EVE says so ([`Alert::answered`]), or the owner's rules say that
//! this signature needs one ([`super::rules`]). [`super::report`] reports the others at a lower confidence, so that a
//! vetting policy leaves them to a person.

pub mod decisions;
pub mod eve;
pub mod fast;
pub mod judge;
pub mod snort;

use super::{evidence::Evidence, hex};
use decisions::Decision;
use ringfence_primitives::{Address, Digest};
use serde::Deserialize;
use std::net::IpAddr;

/// Bytes that a line may have. Suricata's own alerts with payload stay well under it.
pub const MAX_LINE: usize = 64 * 1024;

/// Why a line was not understood.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
	/// More than [`MAX_LINE`] bytes.
	#[error("longer than 64 KiB")]
	TooLong,
	/// Bytes that are no text.
	#[error("not UTF-8")]
	NotUtf8,
	/// Not JSON, or a record without what every one has.
	#[error("not a record of this format: {0}")]
	Json(#[from] serde_json::Error),
	/// What should be an address is none.
	#[error("{0} is not an address")]
	Address(&'static str),
	/// What every record needs is not there.
	#[error("{0} is missing")]
	Missing(&'static str),
	/// A part of the line makes no sense.
	#[error("{0} makes no sense")]
	Malformed(&'static str),
	/// A decision about a country or a user, say: nothing that a firewall can act on.
	#[error("about neither an address nor a range")]
	Scope,
}

/// How a program writes what it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
	/// Suricata's EVE: one JSON record a line.
	Eve,
	/// `alert_fast` of Suricata and Snort.
	Fast,
	/// `alert_json` of Snort 3.
	SnortJson,
	/// fail2ban's log, or what `fail2ban-client get JAIL banip` prints.
	Fail2ban,
	/// CrowdSec's decisions, as JSON or CSV.
	Crowdsec,
}

impl Format {
	/// Every value, in order.
	pub const ALL: [Self; 5] = [Self::Eve, Self::Fast, Self::SnortJson, Self::Fail2ban, Self::Crowdsec];

	/// The name in the configuration.
	pub const fn name(self) -> &'static str {
		match self {
			Self::Eve => "eve",
			Self::Fast => "fast",
			Self::SnortJson => "snort-json",
			Self::Fail2ban => "fail2ban",
			Self::Crowdsec => "crowdsec",
		}
	}

	/// What one line says: nothing, an alert, or any number of decisions, each of which may be refused by itself.
	pub fn parse(self, line: &[u8]) -> Vec<Result<Seen, AlertError>> {
		let alert = match self {
			Self::Eve => eve::parse(line),
			Self::Fast => fast::parse(line),
			Self::SnortJson => snort::parse(line),
			Self::Fail2ban => return decided(decisions::fail2ban(line)),
			Self::Crowdsec => return decided(decisions::crowdsec(line)),
		};
		alert.map(|alert| alert.map(Seen::Alert)).transpose().into_iter().collect()
	}
}

fn decided(read: Result<Vec<Result<Decision, AlertError>>, AlertError>) -> Vec<Result<Seen, AlertError>> {
	match read {
		Ok(decisions) => decisions.into_iter().map(|decision| decision.map(Seen::Decision)).collect(),
		Err(cause) => vec![Err(cause)],
	}
}

/// What a line told of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
	/// A packet, and what is wrong with it.
	Alert(Alert),
	/// Somebody, and that they are to be kept out.
	Decision(Decision),
}

/// One alert: a signature matched a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alert {
	/// Who wrote it.
	pub format: Format,
	/// When, as the sensor wrote it. May be empty.
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
	/// Whether both sides of the flow were heard, and of TCP the handshake. False where the format does not tell.
	pub answered: bool,
	/// The number of the signature.
	pub signature_id: u64,
	/// Its title.
	pub signature: String,
	/// The text or the name of its classtype.
	pub category: String,
	/// 1 (worst) to 255.
	pub severity: u8,
	/// What the sensor did: `allowed` or `blocked`.
	pub action: String,
	/// BLAKE2b-256 of the line, without its newline.
	pub evidence: Digest,
}

impl Alert {
	/// What shows it: what was seen, and the hash of the line in the sensor's own log.
	pub fn evidence(&self) -> Evidence {
		let port = |port: Option<u16>| port.map(|port| format!(" port {port}")).unwrap_or_default();
		let text = format!(
			"{} {} {}{} > {}{} [{}] {} (line {})",
			self.timestamp,
			self.protocol,
			self.source,
			port(self.source_port),
			self.destination,
			port(self.destination_port),
			self.signature_id,
			self.signature,
			hex::encode(&self.evidence),
		);
		Evidence::of_line(self.format.name(), &text, 0)
	}
}

/// The severity of what has no priority of its own: a rule that was written without a classtype.
const UNRATED: u8 = 2;

/// A line as text, without the white space around it.
fn text(line: &[u8]) -> Result<&str, AlertError> {
	if line.len() > MAX_LINE {
		return Err(AlertError::TooLong);
	}
	Ok(std::str::from_utf8(line).map_err(|_| AlertError::NotUtf8)?.trim())
}

/// An address as sensors write them: IPv6 with all its zeros, or mapped IPv4.
fn address(text: &str) -> Option<Address> {
	text.parse::<IpAddr>().ok().map(Address::from)
}

/// A Snort priority as a severity. 0 is that of rules without one.
fn severity(priority: Option<u64>) -> u8 {
	match priority {
		None | Some(0) => UNRATED,
		Some(priority) => u8::try_from(priority).unwrap_or(u8::MAX),
	}
}

/// What EVE would call the verdict that Suricata or Snort wrote.
fn verdict(word: &str) -> &'static str {
	const KEPT_OUT: [&str; 4] = ["drop", "block", "reset", "reject"];
	if KEPT_OUT.iter().any(|known| word.eq_ignore_ascii_case(known)) {
		"blocked"
	} else {
		"allowed"
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn formats_are_named_as_the_configuration_writes_them() {
		for format in Format::ALL {
			let named: Format = serde_json::from_value(format.name().into()).unwrap();
			assert_eq!(named, format);
		}
	}

	#[test]
	fn only_what_was_kept_out_counts_as_blocked() {
		for word in ["drop", "Drop", "block", "reset"] {
			assert_eq!(verdict(word), "blocked", "{word}");
		}
		for word in ["", "allow", "wDrop", "would_drop", "cant_drop", "rewrite"] {
			assert_eq!(verdict(word), "allowed", "{word}");
		}
	}

	#[test]
	fn a_priority_that_nobody_set_is_medium() {
		assert_eq!([None, Some(0), Some(1), Some(3), Some(1_000)].map(severity), [2, 2, 1, 3, 255]);
	}
}
