//! Who decides: the leader, until it hands over; then two thirds of the active ISPs, by motions of the council.
//!
//! Nobody is elected to the council: on it sit the keys that own the active ISPs, and the tiers pallet keeps it so.

use super::{
	consensus::{MaxIsps, MAX_ISPS},
	system::Weights,
};
use crate::{AccountId, BlockNumber, Runtime, RuntimeCall, RuntimeEvent, RuntimeOrigin};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
	ensure, parameter_types,
	traits::{Consideration, Contains, Get, MaybeConsideration},
	weights::Weight,
};
use frame_system::EnsureNever;
use pallet_collective::{Call, CostOf, EnsureProportionAtLeast, MemberCount, Members, Proposals, WeightInfo};
use scale_info::TypeInfo;
use sp_runtime::{DispatchError, Perbill};

/// The council, among the collectives that there could be.
pub type CouncilInstance = pallet_collective::Instance1;

/// Two thirds of the council.
pub type TwoThirds = EnsureProportionAtLeast<AccountId, CouncilInstance, 2, 3>;

/// What the council's calls cost: measured by the SDK, with this chain's database.
pub type CouncilWeights = pallet_collective::weights::SubstrateWeight<Runtime>;

/// Motions that one ISP may have open at once, so that nobody fills the table to keep the others from deciding.
pub const MOTIONS_EACH: u32 = 2;

parameter_types! {
	/// One day, after which who has not voted has voted no.
	pub const MotionDuration: BlockNumber = 172_800;
	pub const MaxMotions: u32 = MOTIONS_EACH * MAX_ISPS;
	/// Half of a block.
	pub MaxMotionWeight: Weight = Perbill::from_percent(50) * Weights::get().max_block;
}

impl pallet_collective::Config<CouncilInstance> for Runtime {
	type RuntimeOrigin = RuntimeOrigin;
	type Proposal = RuntimeCall;
	type RuntimeEvent = RuntimeEvent;
	type MotionDuration = MotionDuration;
	type MaxProposals = MaxMotions;
	type MaxMembers = MaxIsps;
	/// There is no prime member, so this comes down to no.
	type DefaultVote = pallet_collective::PrimeDefaultVote;
	type WeightInfo = CouncilWeights;
	type SetMembersOrigin = EnsureNever<()>;
	type MaxProposalWeight = MaxMotionWeight;
	type DisapproveOrigin = EnsureNever<()>;
	type KillOrigin = EnsureNever<()>;
	type Consideration = Motion;
}

/// Votes that carry a motion before a council of `seats`.
const fn two_thirds(seats: u32) -> MemberCount {
	seats.saturating_mul(2).div_ceil(3)
}

/// Whether a call to the council may be made at all: none before the leader has handed over, and no motion with another
/// threshold than two thirds. A motion is known by what it moves, so one that fewer, or all, must agree to would keep the
/// same motion from being put as it should be.
pub(super) fn is_in_order(call: &Call<Runtime, CouncilInstance>) -> bool {
	if pallet_tiers::Leader::<Runtime>::exists() {
		return false;
	}
	match call {
		Call::propose { threshold, .. } => *threshold == two_thirds(seats()),
		Call::vote { .. } | Call::close { .. } | Call::release_proposal_cost { .. } => true,
		_ => false,
	}
}

fn seats() -> u32 {
	Members::<Runtime, CouncilInstance>::decode_len().unwrap_or_default() as u32
}

/// What governance may do as the chain itself: let a runtime in, and call GRANDPA back to life.
pub struct Governed;

impl Contains<RuntimeCall> for Governed {
	fn contains(call: &RuntimeCall) -> bool {
		matches!(
			call,
			RuntimeCall::System(frame_system::Call::authorize_upgrade { .. })
				| RuntimeCall::Grandpa(pallet_grandpa::Call::note_stalled { .. })
		)
	}
}

/// What it costs to seat another council, with as many motions open as there can be.
pub struct SeatingWeight;

impl Get<Weight> for SeatingWeight {
	fn get() -> Weight {
		CouncilWeights::set_members(MaxIsps::get(), MaxIsps::get(), MaxMotions::get())
	}
}

/// What looking for an ISP's open motions costs.
pub(super) fn motions_weight() -> Weight {
	<Runtime as frame_system::Config>::DbWeight::get().reads(u64::from(MaxMotions::get()).saturating_add(2))
}

/// Who put an open motion. It costs nothing but one of the [`MOTIONS_EACH`] that an ISP may have open.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Motion {
	/// The ISP, whichever key of it moved.
	by: AccountId,
}

impl Consideration<AccountId, u32> for Motion {
	/// `open` motions come before this one. Costs of motions that are closed and not yet forgotten do not count.
	fn new(who: &AccountId, open: u32) -> Result<Self, DispatchError> {
		let (by, _) = pallet_tiers::Pallet::<Runtime>::owner_of(who).ok_or(DispatchError::BadOrigin)?;
		let own = Proposals::<Runtime, CouncilInstance>::get()
			.into_iter()
			.take(open as usize)
			.filter_map(CostOf::<Runtime, CouncilInstance>::get)
			.filter(|(_, motion)| motion.by == by)
			.count();
		ensure!(own < MOTIONS_EACH as usize, DispatchError::Exhausted);
		Ok(Self { by })
	}

	fn update(self, _: &AccountId, _: u32) -> Result<Self, DispatchError> {
		Ok(self)
	}

	fn drop(self, _: &AccountId) -> Result<(), DispatchError> {
		Ok(())
	}

	#[cfg(feature = "runtime-benchmarks")]
	fn ensure_successful(who: &AccountId, _: u32) {
		// Who owns a member already may put a motion.
		let _ = pallet_tiers::Pallet::<Runtime>::add_member(who, pallet_tiers::Role::Researcher);
	}
}

impl MaybeConsideration<AccountId, u32> for Motion {
	fn is_none(&self) -> bool {
		false
	}
}

#[cfg(test)]
mod tests {
	use super::two_thirds;

	#[test]
	fn two_thirds_are_never_less_than_two_thirds() {
		for (seats, votes) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (20, 14), (64, 43)] {
			assert_eq!(two_thirds(seats), votes, "of {seats}");
		}
	}
}
