//! The contribution ledger: what each member gave, and how far it is trusted for it.
//!
//! Trust weighs what turned out right against what turned out wrong, and forgets both in the same measure: a member is
//! what it has been lately. Counting alone is no merit: who reports much and is confirmed little loses.

use crate::{Config, Ledger, Pallet};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::traits::Get;
use frame_system::pallet_prelude::BlockNumberFor;
use ringfence_primitives::{Contribution, Deed};
use scale_info::TypeInfo;
use sp_runtime::traits::{CheckedDiv, Saturating, UniqueSaturatedInto, Zero};

/// What a deed adds to the good and to the bad, in hundredths of a confirmed report.
const fn worth(deed: Deed) -> (u32, u32) {
	match deed {
		Deed::Confirmed => (100, 0),
		Deed::Judged => (25, 0),
		Deed::Rejected | Deed::LapsedProvisional => (0, 100),
		// It cut somebody off: four confirmed reports make up for it.
		Deed::FalsePositive => (0, 400),
		Deed::Misjudged | Deed::DisputeLost => (0, 50),
		Deed::Reported | Deed::Lapsed | Deed::Voted | Deed::Sighted | Deed::Disputed => (0, 0),
	}
}

fn count(deed: Deed, contribution: &mut Contribution, times: u32) {
	let increase = |counter: &mut u32| *counter = counter.saturating_add(times);
	match deed {
		Deed::Reported => increase(&mut contribution.reports),
		Deed::Confirmed => increase(&mut contribution.confirmed),
		Deed::Rejected => increase(&mut contribution.rejected),
		Deed::Lapsed | Deed::LapsedProvisional => increase(&mut contribution.lapsed),
		Deed::FalsePositive => increase(&mut contribution.false_positives),
		Deed::Voted => increase(&mut contribution.votes),
		Deed::Sighted => {
			increase(&mut contribution.votes);
			increase(&mut contribution.sightings);
		}
		Deed::Misjudged => increase(&mut contribution.misjudged),
		Deed::Judged => {}
		Deed::Disputed => increase(&mut contribution.disputes),
		Deed::DisputeLost => increase(&mut contribution.disputes_lost),
	}
}

/// What turned out right and what turned out wrong, in hundredths of a confirmed report, as of [`Score::at`].
///
/// Both halve every half-life, evenly within each. What is added between two halvings is written as what it would have
/// been at the last one, so that the result does not depend on how often a score is written.
#[derive(
	Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Score<BlockNumber> {
	/// What turned out right.
	pub good: u32,
	/// What turned out wrong.
	pub bad: u32,
	/// The block of the last halving.
	pub at: BlockNumber,
}

/// A member's entry in the ledger.
#[derive(
	Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Entry<BlockNumber> {
	/// What it contributed.
	pub contribution: Contribution,
	/// How that turned out.
	pub score: Score<BlockNumber>,
}

/// What a newcomer has to its credit, and all that is weighed of it: together a trust of 800.
const CREDIT: (u64, u64) = (400, 500);

/// The trust from which on a member is in good standing.
pub const GOOD_STANDING: u16 = 900;

/// Confirmed reports without which no member is in good standing.
pub const GOOD_STANDING_REPORTS: u32 = 10;

impl<BlockNumber> Score<BlockNumber> {
	/// 0 to 1,000. The score must be of now.
	fn trust(&self) -> u16 {
		let (good, bad) = (u64::from(self.good), u64::from(self.bad));
		let (credit, all) = CREDIT;
		// `all` is above zero, and above `credit`, so the quotient is below 1,000.
		let trust = good.saturating_add(credit).saturating_mul(1_000) / good.saturating_add(bad).saturating_add(all);
		u16::try_from(trust).unwrap_or(1_000)
	}
}

/// Where a moment lies in the run of halvings.
struct Decay {
	/// Whole half-lives that have passed.
	halvings: u32,
	/// What part of the next one has: numerator and denominator.
	part: (u64, u64),
}

impl Decay {
	fn halve(&self, value: u32) -> u32 {
		value.checked_shr(self.halvings).unwrap_or(0)
	}

	/// What a value of the last halving has come down to: by a half at the end of the part, in a straight line.
	fn now(&self, value: u32) -> u32 {
		let (passed, whole) = (u128::from(self.part.0), u128::from(self.part.1.max(1)));
		let lost = u128::from(value).saturating_mul(passed) / whole.saturating_mul(2);
		value.saturating_sub(u32::try_from(lost).unwrap_or(value))
	}

	/// What a value of now would have been at the last halving: undoes [`Decay::now`].
	fn then(&self, value: u32) -> u32 {
		let (passed, twice) = (u128::from(self.part.0), u128::from(self.part.1.max(1)).saturating_mul(2));
		let then = u128::from(value).saturating_mul(twice) / twice.saturating_sub(passed).max(1);
		u32::try_from(then).unwrap_or(u32::MAX)
	}
}

impl<T: Config> Pallet<T> {
	/// Writes a deed into the ledger.
	pub fn note(member: &T::AccountId, deed: Deed) {
		Self::note_times(member, deed, 1);
	}

	/// Writes the same deed into the ledger several times.
	pub fn note_times(member: &T::AccountId, deed: Deed, times: u32) {
		if times == 0 {
			return;
		}
		Ledger::<T>::mutate(member, |entry| {
			count(deed, &mut entry.contribution, times);
			let (good, bad) = worth(deed);
			if good == 0 && bad == 0 {
				return;
			}
			let decay = Self::decay(&mut entry.score);
			entry.score.good = entry.score.good.saturating_add(decay.then(good.saturating_mul(times)));
			entry.score.bad = entry.score.bad.saturating_add(decay.then(bad.saturating_mul(times)));
		});
	}

	/// How far a member is trusted, 0 to 1,000. A newcomer has 800.
	pub fn trust(member: &T::AccountId) -> u16 {
		Self::present_trust(Ledger::<T>::get(member).score)
	}

	/// Whether the member's reports may act before they are confirmed.
	pub fn in_good_standing(member: &T::AccountId) -> bool {
		let entry = Ledger::<T>::get(member);
		entry.contribution.confirmed >= GOOD_STANDING_REPORTS
			&& Self::present_trust(entry.score) >= GOOD_STANDING
			&& Self::active_role(member).is_some()
	}

	fn present_trust(mut score: Score<BlockNumberFor<T>>) -> u16 {
		let decay = Self::decay(&mut score);
		score.good = decay.now(score.good);
		score.bad = decay.now(score.bad);
		score.trust()
	}

	/// Brings a score to the last halving before now.
	fn decay(score: &mut Score<BlockNumberFor<T>>) -> Decay {
		let half_life = T::TrustHalfLife::get();
		let passed = frame_system::Pallet::<T>::block_number().saturating_sub(score.at);
		let halvings = passed.checked_div(&half_life).unwrap_or_else(Zero::zero);
		let whole = halvings.saturating_mul(half_life);
		let decay = Decay {
			halvings: halvings.unique_saturated_into(),
			part: (passed.saturating_sub(whole).unique_saturated_into(), half_life.unique_saturated_into()),
		};
		score.at = score.at.saturating_add(whole);
		score.good = decay.halve(score.good);
		score.bad = decay.halve(score.bad);
		decay
	}
}
