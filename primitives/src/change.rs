//! The change log: what the chain decided, in order.

use crate::{
	envelope::Sealed, AccountBytes, Action, Confidence, Digest, Direction, Indicator, Millis, Network, Severity,
	ThreatClass,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// What holds while an indicator is active: all that an enforcer needs.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Decision {
	/// What is bad.
	pub indicator: Indicator,
	/// Which packets are meant.
	pub direction: Direction,
	/// What to do with them.
	pub action: Action,
	/// What it is known for.
	pub threat: ThreatClass,
	/// How bad it is.
	pub severity: Severity,
	/// How sure the reporter was.
	pub confidence: Confidence,
	/// When it ends by itself.
	pub expires_at: Millis,
}

/// What changed.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum ChangeKind {
	/// The indicator became active.
	#[codec(index = 0)]
	Activated(Decision),
	/// The indicator was active and goes on under these terms.
	#[codec(index = 1)]
	Extended(Decision),
	/// The indicator was withdrawn or voted out.
	#[codec(index = 2)]
	Revoked(Indicator),
	/// The indicator's time was up.
	#[codec(index = 3)]
	Expired(Indicator),
	/// The network must never be blocked from now on.
	#[codec(index = 4)]
	Protected(Network),
	/// The network may be blocked again.
	#[codec(index = 5)]
	Unprotected(Network),
	/// A provider tells its own subscribers something that only they can read: [`crate::envelope::TierChange`].
	#[codec(index = 6)]
	Tier1(AccountBytes, Sealed),
}

/// One entry of the change log.
///
/// Entries are chained: each names the hash of the one before, so the newest hash vouches for all of them.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Change {
	/// Position in the log, from 1.
	pub seq: u64,
	/// When, by the chain's clock.
	pub at: Millis,
	/// [`Change::hash`] of the entry before; zeros for the first.
	pub previous: Digest,
	/// What changed.
	pub kind: ChangeKind,
}

impl Change {
	/// BLAKE2b-256 of the encoding.
	pub fn hash(&self) -> Digest {
		sp_crypto_hashing::blake2_256(&self.encode())
	}
}

/// Where the change log stands.
#[derive(
	Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct LogHead {
	/// The newest entry; 0 while the log is empty.
	pub seq: u64,
	/// Its hash; zeros while the log is empty.
	pub hash: Digest,
	/// The oldest entry that is still kept; 0 while the log is empty.
	pub oldest: u64,
}
