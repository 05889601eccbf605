//! What the chain knows of an indicator, or of a member, for those who ask.

use crate::{AccountBytes, Indicator, IndicatorId, Millis, Terms, Vote};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// Where an indicator is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum Standing {
	/// It awaits votes.
	Proposed,
	/// It acts before it is confirmed, and ends soon unless it is.
	Provisional {
		/// Since when.
		since: Millis,
	},
	/// It is enforced.
	Active {
		/// Since when.
		since: Millis,
	},
	/// It is enforced, and a member says that it should not be.
	Disputed {
		/// Since when it is active.
		since: Millis,
		/// Who disputes it.
		by: AccountBytes,
		/// When the votes settle the dispute, or the indicator's own end if that comes first.
		until: Millis,
	},
	/// It was voted down.
	Rejected,
}

/// All about one indicator: why it is blocked, who says so, until when.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Dossier {
	/// Its name.
	pub id: IndicatorId,
	/// What is bad.
	pub indicator: Indicator,
	/// What was asked for.
	pub terms: Terms,
	/// Where it is in its life.
	pub standing: Standing,
	/// Who reported it.
	pub reporter: AccountBytes,
	/// When.
	pub proposed_at: Millis,
	/// When its present standing ends by itself.
	pub ends_at: Millis,
	/// Who voted what.
	pub votes: Vec<(AccountBytes, Vote)>,
}

/// What a member has contributed. Numbers stay at their greatest value once they have reached it.
#[derive(
	Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Contribution {
	/// Indicators reported, first or again.
	pub reports: u32,
	/// Own reports that a quorum confirmed.
	pub confirmed: u32,
	/// Own reports that were voted down.
	pub rejected: u32,
	/// Own reports that nobody carried in time, provisional ones among them.
	pub lapsed: u32,
	/// Own reports that were active and then voted out.
	pub false_positives: u32,
	/// Votes cast.
	pub votes: u32,
	/// Sightings among them.
	pub sightings: u32,
	/// Votes that a quorum decided against.
	pub misjudged: u32,
	/// Disputes opened.
	pub disputes: u32,
	/// Own disputes that the vote dismissed.
	pub disputes_lost: u32,
}

/// What a member did, or what became of it: the entries of the ledger that [`Contribution`] and trust are counted from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
pub enum Deed {
	/// It reported an indicator, first or again.
	Reported,
	/// A quorum confirmed its report.
	Confirmed,
	/// Its report was voted down, or it took back what was active while that was disputed.
	Rejected,
	/// Nobody carried its report in time.
	Lapsed,
	/// Its report acted before it was confirmed, and nobody confirmed it in time.
	LapsedProvisional,
	/// Its report was active and then voted out.
	FalsePositive,
	/// It voted.
	Voted,
	/// It voted, and said that it saw the indicator too.
	Sighted,
	/// A quorum decided against its vote.
	Misjudged,
	/// It stood with those who stopped what others had asked for.
	Judged,
	/// It disputed an active indicator.
	Disputed,
	/// Its dispute was dismissed.
	DisputeLost,
}

/// What a member is.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum MemberRole {
	/// An internet provider.
	Isp,
	/// A customer of one.
	Subscriber {
		/// The provider.
		isp: AccountBytes,
	},
	/// A researcher.
	Researcher,
}

/// All about one member.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct MemberInfo {
	/// Its name: the account that was admitted, whichever keys it has now.
	pub account: AccountBytes,
	/// The key that may do everything in its name.
	pub owner: AccountBytes,
	/// What it is.
	pub role: MemberRole,
	/// Whether it may act now.
	pub active: bool,
	/// Its trust, 0 to 1,000.
	pub trust: u16,
	/// Whether its reports may act before they are confirmed.
	pub good_standing: bool,
	/// Items that it may still have included in the present window.
	pub quota_left: u32,
	/// What it has contributed.
	pub contribution: Contribution,
	/// The X25519 key that envelopes to it are sealed to, if it has set one.
	pub envelope_key: Option<[u8; 32]>,
}
