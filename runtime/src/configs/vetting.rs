//! Members and indicators.

use super::{
	consensus::{MaxIsps, Validating},
	governance::{motions_weight, Governed, SeatingWeight, TwoThirds},
};
use crate::{weights, AccountId, BlockNumber, Council, Indicators, Runtime, RuntimeCall, System, Timestamp};
use alloc::vec::Vec;
use codec::Encode;
use frame_support::{
	parameter_types,
	traits::{ConstU32, ConstU64},
	weights::Weight,
};
use pallet_indicators::{Call, Deed, Records, Voice};
use pallet_tiers::{EnsureGovernance, Isps, Pallet as Tiers, Quotas, Role, Screen};
use ringfence_primitives::{AccountBytes, After, Ballot, IndicatorId, Scope};
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionTag};

parameter_types! {
	/// One minute.
	pub const QuotaWindow: BlockNumber = 120;
	/// One week.
	pub const TrustHalfLife: BlockNumber = 1_209_600;
	/// Items a minute. An ISP brings lists of tens of thousands, and vets everybody else's beside; a household writes when
	/// it is attacked.
	pub const MemberParameters: pallet_tiers::Parameters =
		pallet_tiers::Parameters { quotas: Quotas { isp: 90_000, subscriber: 60, researcher: 600 } };
	/// One hour to vote, and ten minutes for what acts meanwhile. A list of tens of thousands may await votes at once.
	pub const VettingParameters: pallet_indicators::Parameters = pallet_indicators::Parameters {
		voting_period: 3_600_000,
		provisional_lifetime: 600_000,
		provisional_cap: 100,
		open_cap: 60_000,
	};
}

impl pallet_tiers::Config for Runtime {
	type RuntimeCall = RuntimeCall;
	type MaxIsps = MaxIsps;
	type MaxSubscribers = ConstU32<1_000_000>;
	type MaxDelegates = ConstU32<16>;
	/// A new key each week for twenty years.
	type MaxNamed = ConstU32<1_024>;
	type QuotaWindow = QuotaWindow;
	type TrustHalfLife = TrustHalfLife;
	type InitialParameters = MemberParameters;
	type Screen = Vetting;
	type Council = TwoThirds;
	type CouncilMembers = Council;
	type CouncilWeight = SeatingWeight;
	type Governed = Governed;
	type Validators = Validating;
	type WeightInfo = weights::pallet_tiers::WeightInfo<Runtime>;
}

impl pallet_indicators::Config for Runtime {
	type Members = Register;
	type Governance = EnsureGovernance<Runtime>;
	type Clock = Timestamp;
	type InitialParameters = VettingParameters;
	type MaxIsps = MaxIsps;
	type MaxRecords = ConstU32<2_000_000>;
	type MaxProtected = ConstU32<512>;
	type LogRetention = ConstU64<1_000_000>;
	type MaxEndingsPerBlock = ConstU32<512>;
	type WeightInfo = weights::pallet_indicators::WeightInfo<Runtime>;
}

/// `InvalidTransaction::Custom` for a report of what must not be blocked.
pub const UNBLOCKABLE: u8 = 16;

/// `InvalidTransaction::Custom` for a call to the council in the name of a member that does not sit on it.
pub const NOT_ON_COUNCIL: u8 = 17;

/// `InvalidTransaction::Custom` for votes on nothing that is on record, though what they were to come after is in a block.
pub const NOTHING_TO_VOTE_ON: u8 = 18;

/// Turns reports of what must not be blocked away at the door; dispatch checks again, since protection may grow
/// meanwhile. Lets votes wait in the pool for the report that they are about, so that both fit into one block; if something
/// else came in its place, they cost their ISP nothing.
pub struct Vetting;

impl Screen<AccountId, RuntimeCall> for Vetting {
	fn screen(member: &AccountId, call: &RuntimeCall) -> Result<Option<TransactionTag>, InvalidTransaction> {
		match call {
			RuntimeCall::Indicators(Call::report { indicator, .. } | Call::report_provisionally { indicator, .. }) => {
				Indicators::ensure_blockable(indicator).map_err(|_| InvalidTransaction::Custom(UNBLOCKABLE))?;
				Ok(None)
			}
			RuntimeCall::Indicators(
				call @ (Call::vote { after: Some(after), .. } | Call::vote_batch { after: Some(after), .. }),
			) => {
				let tag = awaited(*after);
				if tag.is_none() && !voted_on(call).any(Records::<Runtime>::contains_key) {
					return Err(InvalidTransaction::Custom(NOTHING_TO_VOTE_ON));
				}
				Ok(tag)
			}
			// The council's calls go before others', and into the part of a block that is kept for them.
			RuntimeCall::Council(_) if !Isps::<Runtime>::get().contains(member) => {
				Err(InvalidTransaction::Custom(NOT_ON_COUNCIL))
			}
			_ => Ok(None),
		}
	}

	fn cost(_: &AccountId, call: &RuntimeCall) -> u32 {
		match call {
			RuntimeCall::Indicators(Call::report_batch { indicators, .. }) => indicators.len() as u32,
			RuntimeCall::Indicators(Call::vote_batch { ballots, .. }) => ballots.len() as u32,
			RuntimeCall::Envelopes(pallet_envelopes::Call::answer { answers }) => answers.len() as u32,
			_ => 1,
		}
	}

	fn weight(call: &RuntimeCall) -> Weight {
		let reads = |reads| <Runtime as frame_system::Config>::DbWeight::get().reads(reads);
		match call {
			RuntimeCall::Indicators(Call::report { .. } | Call::report_provisionally { .. }) => {
				<<Runtime as pallet_indicators::Config>::WeightInfo as pallet_indicators::WeightInfo>::ensure_blockable(
				)
			}
			RuntimeCall::Indicators(
				call @ (Call::vote { after: Some(_), .. } | Call::vote_batch { after: Some(_), .. }),
			) => reads(1 + voted_on(call).count() as u64),
			// The filter looks at the leader and at the council, and the motion is counted among the ISP's own.
			RuntimeCall::Council(pallet_collective::Call::propose { .. }) => reads(3).saturating_add(motions_weight()),
			RuntimeCall::Council(_) => reads(2),
			_ => Weight::zero(),
		}
	}
}

/// What a call votes on.
fn voted_on(call: &Call<Runtime>) -> impl Iterator<Item = &IndicatorId> {
	let (one, many): (_, &[Ballot]) = match call {
		Call::vote { id, .. } => (Some(id), &[]),
		Call::vote_batch { ballots, .. } => (None, ballots),
		_ => (None, &[]),
	};
	one.into_iter().chain(many.iter().map(|ballot| &ballot.id))
}

/// The tag of the transaction, for as long as no block has it: the one that `CheckNonce` gives it.
fn awaited(After { signer, nonce }: After) -> Option<TransactionTag> {
	let signer = AccountId::from(signer);
	(System::account_nonce(&signer) <= nonce).then(|| (signer, nonce).encode())
}

/// The register of members, as the other pallets see it.
pub struct Register;

impl pallet_indicators::Members<AccountId> for Register {
	fn speaker(who: &AccountId, scope: Scope) -> Option<(AccountId, Voice)> {
		let (member, role) = Tiers::<Runtime>::speaker(who, scope)?;
		let voice = match role {
			Role::Isp => Voice::Isp,
			Role::Researcher => Voice::Researcher,
			Role::Subscriber { .. } => Voice::Subscriber,
		};
		Some((member, voice))
	}

	fn isps() -> Vec<AccountId> {
		Isps::<Runtime>::get().into_inner()
	}

	fn isp_count() -> u32 {
		Isps::<Runtime>::decode_len().unwrap_or_default() as u32
	}

	fn in_good_standing(member: &AccountId) -> bool {
		Tiers::<Runtime>::in_good_standing(member)
	}

	fn note_times(member: &AccountId, deed: Deed, times: u32) {
		Tiers::<Runtime>::note_times(member, deed, times);
	}

	fn bytes(member: &AccountId) -> AccountBytes {
		member.clone().into()
	}

	#[cfg(feature = "runtime-benchmarks")]
	fn add_isp(who: &AccountId) {
		// Benchmarks add ISPs until the register is full.
		let _ = Tiers::<Runtime>::add_member(who, Role::Isp);
	}
}
