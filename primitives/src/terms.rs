//! What a report asks for: how bad it is, what to do, in which direction, for how long, and who may be told.

use crate::{decode_checked, note::Note, Digest};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;

/// Implements `Display` and serde by kebab-case names, for config files and logs.
macro_rules! named {
	($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
		impl $type {
			/// Every value, in order.
			pub const ALL: &'static [Self] = &[$(Self::$variant),+];

			/// The name in config files, logs and tables.
			pub const fn name(&self) -> &'static str {
				match self { $(Self::$variant => $name),+ }
			}
		}
		impl fmt::Display for $type {
			fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
				f.pad(self.name())
			}
		}
		impl serde::Serialize for $type {
			fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
				serializer.serialize_str(self.name())
			}
		}
		impl<'de> serde::Deserialize<'de> for $type {
			fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
				let text = <alloc::string::String as serde::Deserialize>::deserialize(deserializer)?;
				match text.as_str() {
					$($name => Ok(Self::$variant),)+
					_ => Err(serde::de::Error::unknown_variant(&text, &[$($name),+])),
				}
			}
		}
	};
}

/// Which packets of the peer are meant.
#[derive(
	PartialOrd, Ord, Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Direction {
	/// Packets from the indicator.
	Inbound,
	/// Packets to the indicator.
	Outbound,
	/// Both.
	Both,
}
named!(Direction { Inbound = "inbound", Outbound = "outbound", Both = "both" });

/// What an indicator is known for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum ThreatClass {
	/// Probing for hosts or services.
	Scan,
	/// Guessing credentials.
	BruteForce,
	/// Attempts to exploit a weakness.
	Exploit,
	/// Serving or spreading malware.
	Malware,
	/// A member of a botnet.
	Botnet,
	/// A command-and-control server.
	CommandAndControl,
	/// Flooding.
	DenialOfService,
	/// A reflector that amplifies floods.
	Amplification,
	/// Phishing.
	Phishing,
	/// Unsolicited mail.
	Spam,
	/// Anything else.
	Other,
}
named!(ThreatClass {
	Scan = "scan",
	BruteForce = "brute-force",
	Exploit = "exploit",
	Malware = "malware",
	Botnet = "botnet",
	CommandAndControl = "command-and-control",
	DenialOfService = "denial-of-service",
	Amplification = "amplification",
	Phishing = "phishing",
	Spam = "spam",
	Other = "other",
});

/// How bad it is, in rising order.
#[derive(
	PartialOrd, Ord, Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Severity {
	/// A nuisance.
	Low,
	/// Worth acting on.
	Medium,
	/// Harm is likely.
	High,
	/// Harm is under way.
	Critical,
}
named!(Severity { Low = "low", Medium = "medium", High = "high", Critical = "critical" });

/// Traffic Light Protocol 2.0: who may be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Tlp {
	/// Everybody.
	Clear,
	/// The community.
	Green,
	/// The members and their customers.
	Amber,
	/// The members.
	AmberStrict,
}
named!(Tlp { Clear = "clear", Green = "green", Amber = "amber", AmberStrict = "amber+strict" });

/// What an enforcer does with a matching packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Action {
	/// Drop it.
	Drop,
	/// Drop what exceeds this rate, for each host or endpoint named.
	RateLimit(PacketRate),
	/// Count it.
	Watch,
}

impl fmt::Display for Action {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Drop => f.pad("drop"),
			Self::RateLimit(rate) => write!(f, "rate-limit {}/s", rate.get()),
			Self::Watch => f.pad("watch"),
		}
	}
}

/// Declares a number with bounds.
macro_rules! bounded_number {
	($(#[$doc:meta])* $name:ident($inner:ty), $min:expr, $max:expr, $refusal:literal) => {
		$(#[$doc])*
		#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, MaxEncodedLen, TypeInfo)]
		pub struct $name($inner);

		impl $name {
			/// The least value.
			pub const MIN: Self = Self($min);
			/// The greatest value.
			pub const MAX: Self = Self($max);

			/// None outside [`Self::MIN`] to [`Self::MAX`].
			pub const fn new(value: $inner) -> Option<Self> {
				#[allow(unused_comparisons, clippy::absurd_extreme_comparisons)]
				if value < $min || value > $max { None } else { Some(Self(value)) }
			}

			/// The number.
			pub const fn get(self) -> $inner {
				self.0
			}
		}

		decode_checked!($name, $inner, |value| $name::new(value).ok_or($refusal));
	};
}

bounded_number!(
	/// Packets a second, 1 to 10,000,000 (what a 10 Gbit/s line carries at its worst is 14.9 million).
	PacketRate(u32), 1, 10_000_000, "a rate is 1 to 10,000,000 packets a second"
);
bounded_number!(
	/// How sure the reporter is, in percent, as in STIX 2.1.
	Confidence(u8), 0, 100, "confidence is 0 to 100"
);
bounded_number!(
	/// Seconds that an indicator stays active, one minute to thirty days. There are no permanent blocks: addresses change hands.
	Lifetime(u32), 60, 2_592_000, "a lifetime is 60 to 2,592,000 seconds"
);

/// What a report asks for.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Terms {
	/// What it is known for.
	pub threat: ThreatClass,
	/// How bad it is.
	pub severity: Severity,
	/// How sure the reporter is.
	pub confidence: Confidence,
	/// Which packets are meant.
	pub direction: Direction,
	/// What to do with them.
	pub action: Action,
	/// Who may be told.
	pub tlp: Tlp,
	/// For how long, counted from activation.
	pub lifetime: Lifetime,
	/// BLAKE2b-256 of evidence that the reporter keeps.
	pub evidence: Option<Digest>,
	/// A remark for those who vote.
	pub note: Note,
}

impl Terms {
	/// BLAKE2b-256 of the encoding: what a vote says it is about.
	pub fn hash(&self) -> Digest {
		sp_crypto_hashing::blake2_256(&self.encode())
	}

	/// Whether who asks for these terms agrees to `others` as well: they drop no packet and last no second that these
	/// would not.
	pub fn cover(&self, others: &Self) -> bool {
		let direction = self.direction == Direction::Both || self.direction == others.direction;
		let action = match (self.action, others.action) {
			(Action::Drop, _) | (_, Action::Watch) => true,
			(Action::RateLimit(own), Action::RateLimit(other)) => own <= other,
			(Action::RateLimit(_), Action::Drop) | (Action::Watch, _) => false,
		};
		direction && action && self.lifetime >= others.lifetime
	}
}
