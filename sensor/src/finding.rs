//! What a sensor saw, and what shows it.

use crate::packet::{Packet, Transport};
use ringfence_primitives::{Action, Address, Indicator, Millis, Note, Severity, ThreatClass};
use std::fmt;

/// Samples that a finding carries at most.
pub const MAX_SAMPLES: usize = 8;

/// What a detector saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
	/// Which detector, by its name.
	pub detector: &'static str,
	/// The detector's version.
	pub version: u16,
	/// What is bad.
	pub indicator: Indicator,
	/// What it did.
	pub threat: ThreatClass,
	/// How bad that is.
	pub severity: Severity,
	/// What would help. None: what the configuration says.
	pub action: Option<Action>,
	/// Whether somebody else could have sent the packets in its name. Never of a flow signature without a source.
	pub spoofable: bool,
	/// Who may be told.
	pub audience: Audience,
	/// A remark for those who vote.
	pub note: Note,
	/// When the first packet of it was seen, Unix time in milliseconds.
	pub first_seen: Millis,
	/// When the last one was.
	pub last_seen: Millis,
	/// Packets of it, as they were counted: under sampling, an estimate.
	pub packets: u64,
	/// Their length in octets, IP header on.
	pub bytes: u64,
	/// One packet in so many was looked at.
	pub sampling: u32,
	/// How well a learned signature fits.
	pub fit: Option<Fit>,
	/// Headers of some of the packets, [`MAX_SAMPLES`] at most.
	pub samples: Vec<Sample>,
}

/// Whom a finding is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Audience {
	/// It is to be reported.
	#[default]
	Everybody,
	/// It is about the own home, such as a device that attacks others: shown to the owner, and told to nobody else.
	Owner,
}

/// How well a signature fits what it was learned from, in packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fit {
	/// Packets of the attack that were held against it.
	pub attack: u32,
	/// Those that it covers.
	pub covered: u32,
	/// Packets from before the attack that were held against it.
	pub innocent: u32,
	/// Those that it would have hit.
	pub hit: u32,
	/// The hop limit that most packets of the attack had here. It is no part of the signature: it differs from gateway to gateway.
	pub hop_limit: Option<u8>,
}

impl Fit {
	/// Parts in a thousand of the attack that are covered.
	pub fn coverage_permille(&self) -> u32 {
		permille(self.covered, self.attack)
	}

	/// Parts in a thousand of the innocent packets that would be hit.
	pub fn collateral_permille(&self) -> u32 {
		// A single packet counts: rounded up.
		match (self.hit, self.innocent) {
			(0, _) | (_, 0) => 0,
			(hit, innocent) => permille(hit, innocent).max(1),
		}
	}
}

fn permille(part: u32, whole: u32) -> u32 {
	let permille = u64::from(part) * 1_000 / u64::from(whole.max(1));
	// A part is no more than its whole.
	u32::try_from(permille).unwrap_or(1_000)
}

/// The header of one packet: no payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
	/// When it was seen, Unix time in milliseconds.
	pub at: Millis,
	/// Where it says that it comes from.
	pub source: Address,
	/// Where it goes.
	pub destination: Address,
	/// IP protocol number.
	pub protocol: u8,
	/// Hop limit (TTL).
	pub hop_limit: u8,
	/// Length in octets, IP header on.
	pub length: u16,
	/// Whether it is a fragment.
	pub fragment: bool,
	/// Source port, where there is one.
	pub source_port: Option<u16>,
	/// Destination port, where there is one.
	pub destination_port: Option<u16>,
	/// TCP flags as in the header.
	pub tcp_flags: Option<u8>,
	/// ICMP type and code.
	pub icmp: Option<(u8, u8)>,
}

impl Sample {
	/// The header of `packet`.
	pub fn of(packet: &Packet<'_>, at: Millis) -> Self {
		let (source_port, destination_port) = packet.ports().unzip();
		let (tcp_flags, icmp) = match packet.transport {
			Transport::Tcp(tcp) => (Some(tcp.flags), None),
			Transport::Icmp { kind, code } => (None, Some((kind, code))),
			_ => (None, None),
		};
		Self {
			at,
			source: packet.source,
			destination: packet.destination,
			protocol: packet.protocol,
			hop_limit: packet.hop_limit,
			length: packet.length,
			fragment: packet.fragment.is_some(),
			source_port,
			destination_port,
			tcp_flags,
			icmp,
		}
	}
}

impl fmt::Display for Sample {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "proto {} {}", self.protocol, self.source)?;
		if let Some(port) = self.source_port {
			write!(f, " port {port}")?;
		}
		write!(f, " > {}", self.destination)?;
		if let Some(port) = self.destination_port {
			write!(f, " port {port}")?;
		}
		if let Some(flags) = self.tcp_flags {
			write!(f, " flags {flags:#04x}")?;
		}
		if let Some((kind, code)) = self.icmp {
			write!(f, " icmp {kind}/{code}")?;
		}
		if self.fragment {
			f.write_str(" fragment")?;
		}
		write!(f, " length {} ttl {}", self.length, self.hop_limit)
	}
}
