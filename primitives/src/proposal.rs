//! What awaits a vote.

use crate::{AccountBytes, Indicator, IndicatorId, Millis, Terms};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;

/// What an ISP says of a proposed indicator.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Vote {
	/// It should be acted on.
	#[codec(index = 0)]
	Approve,
	/// It should be acted on, and the voter saw it too.
	#[codec(index = 1)]
	Sighting,
	/// It should not be acted on.
	#[codec(index = 2)]
	Reject,
}

impl Vote {
	/// Whether the vote counts towards activation.
	pub const fn is_approval(self) -> bool {
		matches!(self, Self::Approve | Self::Sighting)
	}
}

impl fmt::Display for Vote {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.pad(match self {
			Self::Approve => "approve",
			Self::Sighting => "sighting",
			Self::Reject => "reject",
		})
	}
}

/// A report that awaits votes.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Proposal {
	/// The name of the indicator.
	pub id: IndicatorId,
	/// What is bad.
	pub indicator: Indicator,
	/// What is asked for.
	pub terms: Terms,
	/// Who reported it.
	pub reporter: AccountBytes,
	/// The reporter's ISP: itself, or that of a subscriber; none for a researcher.
	pub isp: Option<AccountBytes>,
	/// When it was reported.
	pub proposed_at: Millis,
}
