//! What awaits a vote.

use crate::{AccountBytes, Digest, Indicator, IndicatorId, Millis, Terms};
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

/// One vote of a batch: about an indicator under the terms whose hash is `terms`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Ballot {
	/// The name of the indicator.
	pub id: IndicatorId,
	/// [`Terms::hash`].
	pub terms: Digest,
	/// What the ISP says of it.
	pub vote: Vote,
}

/// The transaction that a vote is to come after: that of the report which the voter saw in the pool.
///
/// Until a block has it, the vote waits in the pool, so both fit into one block, in the right order. Where its account
/// gives the nonce to something else, the vote is about nothing, and is turned away at no cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct After {
	/// The account that signed it.
	pub signer: AccountBytes,
	/// Its nonce.
	pub nonce: u32,
}

/// What a member's delegate may be trusted with. The member's own key may do everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Scope {
	/// To report and to dispute.
	#[codec(index = 0)]
	Report,
	/// To vote and to open envelopes.
	#[codec(index = 1)]
	Vet,
}

/// A report, provisional or not, or a dispute, that awaits votes.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Proposal {
	/// The name of the indicator.
	pub id: IndicatorId,
	/// What is bad.
	pub indicator: Indicator,
	/// What is asked for.
	pub terms: Terms,
	/// Who reported it: the member, whichever key signed.
	pub reporter: AccountBytes,
	/// When it was reported.
	pub proposed_at: Millis,
	/// Whether it is active already, and somebody says that it should not be.
	pub disputed: bool,
}

/// What stands behind a proposal besides its terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode)]
pub struct Backing {
	/// The reporter's trust, 0 to 1,000; 0 where it is no active member.
	pub trust: u16,
	/// ISPs that reported it or said that they saw it too, the one that asks not counted.
	pub witnesses: u32,
	/// ISPs that approve it by now, witnesses among them, the one that asks not counted.
	pub approvals: u32,
}

/// A proposal as a node shows it to an ISP. The proposal is the chain's or a pool's; the backing is the node's word.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Shown {
	/// What awaits the vote.
	pub proposal: Proposal,
	/// What stands behind it.
	pub backing: Backing,
	/// The transaction that reports it, where that is known from the pool only.
	pub after: Option<After>,
}
