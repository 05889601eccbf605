//! What governance may set.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::ops::RangeInclusive;
use ringfence_primitives::Millis;
use scale_info::TypeInfo;

/// Milliseconds for which votes may be awaited: a minute, so that a vote can be cast at all, to a week.
const VOTING_PERIODS: RangeInclusive<Millis> = 60_000..=604_800_000;
/// Milliseconds for which an unconfirmed report may act: at most ten minutes.
const PROVISIONAL_LIFETIMES: RangeInclusive<Millis> = 60_000..=600_000;
/// Records that one member may have awaiting votes.
const CAPS: RangeInclusive<u32> = 1..=100_000;

/// How long votes are awaited, and of how many reports. Changes hold for what is reported, rejected or disputed from then on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Parameters {
	/// Milliseconds for which a proposal or a dispute awaits votes, and for which a rejected indicator may not be proposed
	/// again: 60,000 to 604,800,000.
	pub voting_period: Millis,
	/// Milliseconds for which a provisional indicator acts unless it is confirmed: 60,000 to 600,000.
	pub provisional_lifetime: Millis,
	/// Provisional indicators that one ISP may have at once: 1 to 100,000.
	pub provisional_cap: u32,
	/// Own reports that one member may have awaiting votes at once, provisional ones among them: 1 to 100,000.
	pub open_cap: u32,
}

impl Parameters {
	/// Whether every number is within its bounds.
	pub fn are_valid(&self) -> bool {
		VOTING_PERIODS.contains(&self.voting_period)
			&& PROVISIONAL_LIFETIMES.contains(&self.provisional_lifetime)
			&& CAPS.contains(&self.provisional_cap)
			&& CAPS.contains(&self.open_cap)
	}
}
