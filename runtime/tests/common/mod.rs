//! A chain from a preset, sessions, motions, and blocks of signed transactions.

// Each test file uses a part of this.
#![allow(dead_code)]

use codec::Encode;
use frame_support::{dispatch::GetDispatchInfo, traits::Hooks};
use ringfence_primitives::*;
use ringfence_runtime::{configs::CouncilInstance, presets, *};
use sp_consensus_aura::{digests::CompatibleDigestItem, sr25519::AuthoritySignature, Slot};
use sp_core::{sr25519, Pair};
use sp_runtime::{
	generic::{DigestItem, Era, SignedPayload},
	traits::{BlakeTwo256, Dispatchable, Hash as _, Header as _, IdentifyAccount},
	ApplyExtrinsicResult, BuildStorage, Digest as HeaderDigest, DispatchResult, MultiAddress, MultiSignature,
};

pub type TiersCall = pallet_tiers::Call<Runtime>;
pub type IndicatorsCall = pallet_indicators::Call<Runtime>;
pub type EnvelopesCall = pallet_envelopes::Call<Runtime>;
pub type SessionCall = pallet_session::Call<Runtime>;
pub type SystemCall = frame_system::Call<Runtime>;
pub type CouncilCall = pallet_collective::Call<Runtime, CouncilInstance>;

/// The ISPs of the `local` preset; the first is the leader.
pub const ISPS: [&str; 4] = ["//Alice", "//Bob", "//Charlie", "//Dave"];

/// When the chain's first block is made.
pub const START: Millis = 1_800_000_000_000;

/// A new chain of the preset.
pub fn chain(preset: &str) -> sp_io::TestExternalities {
	let patch = presets::get(&preset.into()).expect("a preset");
	let mut config = serde_json::to_value(RuntimeGenesisConfig::default()).unwrap();
	merge(&mut config, serde_json::from_slice(&patch).unwrap());
	let config: RuntimeGenesisConfig = serde_json::from_value(config).unwrap();
	config.build_storage().unwrap().into()
}

fn merge(into: &mut serde_json::Value, patch: serde_json::Value) {
	match (into, patch) {
		(serde_json::Value::Object(into), serde_json::Value::Object(patch)) => {
			for (key, value) in patch {
				merge(into.entry(key).or_insert(serde_json::Value::Null), value);
			}
		}
		(into, patch) => *into = patch,
	}
}

pub fn pair(uri: &str) -> sr25519::Pair {
	sr25519::Pair::from_string(uri, None).unwrap()
}

pub fn account(uri: &str) -> AccountId {
	sp_runtime::MultiSigner::from(pair(uri).public()).into_account()
}

pub fn origin(uri: &str) -> RuntimeOrigin {
	RuntimeOrigin::signed(account(uri))
}

/// Makes a call past the filter that transactions pass.
pub fn call(uri: &str, call: impl Into<RuntimeCall>) -> DispatchResult {
	let call: RuntimeCall = call.into();
	call.dispatch(origin(uri)).map(|_| ()).map_err(|refused| refused.error)
}

/// Begins blocks until the next session has begun.
pub fn next_session() {
	let end = (System::block_number() / SESSION_BLOCKS + 1) * SESSION_BLOCKS;
	System::set_block_number(end);
	Session::on_initialize(end);
	Grandpa::on_finalize(end);
}

/// The council, as the collective has it.
pub fn council() -> Vec<AccountId> {
	pallet_collective::Members::<Runtime, CouncilInstance>::get()
}

/// A motion of the council.
#[derive(Debug)]
pub struct Motion {
	pub hash: Hash,
	pub index: u32,
	moved: RuntimeCall,
}

impl Motion {
	/// Puts a motion that two thirds have to agree to.
	pub fn put(mover: &str, moved: impl Into<RuntimeCall>) -> Result<Self, sp_runtime::DispatchError> {
		let threshold = (council().len() as u32 * 2).div_ceil(3);
		Self::put_with_threshold(mover, threshold, moved)
	}

	pub fn put_with_threshold(
		mover: &str,
		threshold: u32,
		moved: impl Into<RuntimeCall>,
	) -> Result<Self, sp_runtime::DispatchError> {
		let moved = moved.into();
		let index = pallet_collective::ProposalCount::<Runtime, CouncilInstance>::get();
		let length_bound = moved.encoded_size() as u32;
		let proposal = Box::new(moved.clone());
		call(mover, CouncilCall::propose { threshold, proposal, length_bound })?;
		Ok(Self { hash: BlakeTwo256::hash_of(&moved), index, moved })
	}

	pub fn vote(&self, voter: &str, approve: bool) -> DispatchResult {
		call(voter, CouncilCall::vote { proposal: self.hash, index: self.index, approve })
	}

	/// Closes the motion; what came of it if it was carried.
	pub fn close(&self, closer: &str) -> Result<Option<DispatchResult>, sp_runtime::DispatchError> {
		System::reset_events();
		call(
			closer,
			CouncilCall::close {
				proposal_hash: self.hash,
				index: self.index,
				proposal_weight_bound: self.moved.get_dispatch_info().call_weight,
				// Of a motion in storage, the length of its length counts as well.
				length_bound: self.moved.encoded_size() as u32 + 4,
			},
		)?;
		Ok(System::events().into_iter().find_map(|record| match record.event {
			RuntimeEvent::Council(pallet_collective::Event::Executed { result, .. }) => Some(result),
			_ => None,
		}))
	}
}

/// Has `ayes` carry a motion: what came of it.
pub fn decide(ayes: &[&str], moved: impl Into<RuntimeCall>) -> DispatchResult {
	let motion = Motion::put(ayes[0], moved).expect("an ISP may put a motion");
	for aye in ayes {
		motion.vote(aye, true).expect("an ISP votes once");
	}
	motion.close(ayes[0]).expect("there are votes enough").expect("a motion that is carried is executed")
}

/// A transaction as a wallet signs it.
pub fn signed(uri: &str, nonce: Nonce, call: impl Into<RuntimeCall>) -> UncheckedExtrinsic {
	let call = call.into();
	let extension: TxExtension = (
		frame_system::CheckNonZeroSender::new(),
		frame_system::CheckSpecVersion::new(),
		frame_system::CheckTxVersion::new(),
		frame_system::CheckGenesis::new(),
		pallet_tiers::MortalOnly::from(Era::mortal(64, 0)),
		pallet_tiers::CheckMember::default(),
		frame_system::CheckNonce::from(nonce),
		frame_system::CheckWeight::new(),
	);
	let payload = SignedPayload::new(call.clone(), extension.clone()).unwrap();
	let signature = payload.using_encoded(|payload| pair(uri).sign(payload));
	UncheckedExtrinsic::new_signed(call, MultiAddress::Id(account(uri)), MultiSignature::Sr25519(signature), extension)
}

/// Makes the next block, with these transactions: what came of each.
pub fn block(transactions: Vec<UncheckedExtrinsic>) -> Vec<ApplyExtrinsicResult> {
	let number = System::block_number() + 1;
	let now = START + Millis::from(number) * SLOT_MILLIS;
	let slot = Slot::from(now / SLOT_MILLIS);
	let pre_digest = <DigestItem as CompatibleDigestItem<AuthoritySignature>>::aura_pre_digest(slot);
	let parent = if number == 1 { System::block_hash(0) } else { Hash::repeat_byte(number as u8) };
	let digest = HeaderDigest { logs: vec![pre_digest] };
	Executive::initialize_block(&Header::new(number, Default::default(), Default::default(), parent, digest));
	let time = UncheckedExtrinsic::new_bare(pallet_timestamp::Call::<Runtime>::set { now }.into());
	Executive::apply_extrinsic(time).unwrap().unwrap();
	let results = transactions.into_iter().map(Executive::apply_extrinsic).collect();
	Executive::finalize_block();
	results
}

pub fn terms() -> Terms {
	Terms {
		threat: ThreatClass::Scan,
		severity: Severity::High,
		confidence: Confidence::new(80).unwrap(),
		direction: Direction::Both,
		action: Action::Drop,
		tlp: Tlp::Green,
		lifetime: Lifetime::new(3_600).unwrap(),
		evidence: Some([3; 32]),
		note: Note::truncated("note"),
	}
}
