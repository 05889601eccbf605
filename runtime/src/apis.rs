//! What a node may ask the runtime.

// The macro's expansion has arguments that it does not use.
#![allow(clippy::too_many_arguments)]

use crate::{
	configs::Validating, presets, AccountId, Aura, AuraOffences, Block, Envelopes, Executive, Grandpa, Indicators,
	InherentDataExt, Nonce, Runtime, RuntimeCall, RuntimeEvent, RuntimeGenesisConfig, SessionKeys, System, Tiers,
	UncheckedExtrinsic, VERSION,
};
use alloc::vec::Vec;
use codec::{DecodeLimit, Encode};
use frame_support::{
	genesis_builder_helper::{build_state, get_preset},
	traits::{Get, KeyOwnerProofSystem},
	MAX_EXTRINSIC_DEPTH,
};
use pallet_aura_offences::api::OpaqueKeyOwnershipProof;
use pallet_envelopes::api::MAX_INBOX;
use pallet_grandpa::AuthorityId as GrandpaId;
use pallet_indicators::{ActiveCount, ProposedCount, Records};
use pallet_tiers::{EnvelopeKeys, Isps, Leader, Ledger, Member, Members, Owners, Role};
use ringfence_primitives::{
	envelope::{EnvelopeRecord, Letter, WhitelistRecord},
	AccountBytes, ActiveDigest, Address, Decision, Digest, Dossier, IndicatorId, MemberInfo, MemberRole, Millis,
	Proposal,
};
use sp_api::impl_runtime_apis;
use sp_consensus_aura::{sr25519::AuthorityId as AuraId, Slot};
use sp_core::{
	crypto::{key_types, KeyTypeId},
	OpaqueMetadata,
};
use sp_runtime::{
	generic::Preamble,
	traits::{Block as BlockT, NumberFor, StaticLookup},
	transaction_validity::{TransactionSource, TransactionValidity},
	ApplyExtrinsicResult,
};
use sp_session::OpaqueGeneratedSessionKeys;
use sp_version::RuntimeVersion;

/// Proposals, dossiers or members that one answer may hold.
const MAX_ANSWER: u32 = 256;

/// Decisions that one answer may hold: these are small, and whoever begins with nothing asks for all of them.
const MAX_ACTIVE: u32 = 1_024;

fn member_info((account, Member { role, .. }): (AccountId, Member<AccountId>)) -> MemberInfo {
	let active = Tiers::active_role(&account).is_some();
	MemberInfo {
		owner: Owners::<Runtime>::get(&account).unwrap_or_else(|| account.clone()).into(),
		active,
		trust: Tiers::trust(&account),
		good_standing: Tiers::in_good_standing(&account),
		quota_left: if active { Tiers::quota_left(&account, &role) } else { 0 },
		contribution: Ledger::<Runtime>::get(&account).contribution,
		envelope_key: EnvelopeKeys::<Runtime>::get(&account),
		account: account.into(),
		role: match role {
			Role::Isp => MemberRole::Isp,
			Role::Subscriber { isp } => MemberRole::Subscriber { isp: isp.into() },
			Role::Researcher => MemberRole::Researcher,
		},
	}
}

/// The letter in a transaction whose signature has been checked, as that of every transaction in a block or in a pool has.
fn letter(extrinsic: &[u8]) -> Option<Letter> {
	let transaction = UncheckedExtrinsic::decode_all_with_depth_limit(MAX_EXTRINSIC_DEPTH, &mut &extrinsic[..]).ok()?;
	let Preamble::Signed(address, ..) = transaction.preamble else { return None };
	let who = <Runtime as frame_system::Config>::Lookup::lookup(address).ok()?;
	let from = Tiers::signer(&who)?.member;
	let (to, envelope) = match transaction.function {
		RuntimeCall::Envelopes(pallet_envelopes::Call::send { to, envelope }) => (to, envelope),
		RuntimeCall::Envelopes(pallet_envelopes::Call::set_whitelist { envelope }) => (from.clone(), envelope),
		_ => return None,
	};
	Some(Letter { from: from.into(), to: to.into(), envelope })
}

impl_runtime_apis! {
	impl sp_api::Core<Block> for Runtime {
		fn version() -> RuntimeVersion {
			VERSION
		}

		fn execute_block(block: <Block as BlockT>::LazyBlock) {
			Executive::execute_block(block);
		}

		fn initialize_block(header: &<Block as BlockT>::Header) -> sp_runtime::ExtrinsicInclusionMode {
			Executive::initialize_block(header)
		}
	}

	impl sp_api::Metadata<Block> for Runtime {
		fn metadata() -> OpaqueMetadata {
			OpaqueMetadata::new(Runtime::metadata().into())
		}

		fn metadata_at_version(version: u32) -> Option<OpaqueMetadata> {
			Runtime::metadata_at_version(version)
		}

		fn metadata_versions() -> Vec<u32> {
			Runtime::metadata_versions()
		}
	}

	impl sp_block_builder::BlockBuilder<Block> for Runtime {
		fn apply_extrinsic(extrinsic: <Block as BlockT>::Extrinsic) -> ApplyExtrinsicResult {
			Executive::apply_extrinsic(extrinsic)
		}

		fn finalize_block() -> <Block as BlockT>::Header {
			Executive::finalize_block()
		}

		fn inherent_extrinsics(data: sp_inherents::InherentData) -> Vec<<Block as BlockT>::Extrinsic> {
			data.create_extrinsics()
		}

		fn check_inherents(
			block: <Block as BlockT>::LazyBlock,
			data: sp_inherents::InherentData,
		) -> sp_inherents::CheckInherentsResult {
			data.check_extrinsics(&block)
		}
	}

	impl sp_transaction_pool::runtime_api::TaggedTransactionQueue<Block> for Runtime {
		fn validate_transaction(
			source: TransactionSource,
			tx: <Block as BlockT>::Extrinsic,
			block_hash: <Block as BlockT>::Hash,
		) -> TransactionValidity {
			Executive::validate_transaction(source, tx, block_hash)
		}
	}

	impl sp_offchain::OffchainWorkerApi<Block> for Runtime {
		fn offchain_worker(header: &<Block as BlockT>::Header) {
			Executive::offchain_worker(header)
		}
	}

	impl sp_consensus_aura::AuraApi<Block, AuraId> for Runtime {
		fn slot_duration() -> sp_consensus_aura::SlotDuration {
			sp_consensus_aura::SlotDuration::from_millis(Aura::slot_duration())
		}

		fn authorities() -> Vec<AuraId> {
			pallet_aura::Authorities::<Runtime>::get().into_inner()
		}
	}

	impl sp_session::SessionKeys<Block> for Runtime {
		fn generate_session_keys(owner: Vec<u8>, seed: Option<Vec<u8>>) -> OpaqueGeneratedSessionKeys {
			SessionKeys::generate(&owner, seed).into()
		}

		fn decode_session_keys(encoded: Vec<u8>) -> Option<Vec<(Vec<u8>, KeyTypeId)>> {
			SessionKeys::decode_into_raw_public_keys(&encoded)
		}
	}

	impl sp_consensus_grandpa::GrandpaApi<Block> for Runtime {
		fn grandpa_authorities() -> sp_consensus_grandpa::AuthorityList {
			Grandpa::grandpa_authorities()
		}

		fn current_set_id() -> sp_consensus_grandpa::SetId {
			pallet_grandpa::CurrentSetId::<Runtime>::get()
		}

		fn submit_report_equivocation_unsigned_extrinsic(
			equivocation_proof: sp_consensus_grandpa::EquivocationProof<<Block as BlockT>::Hash, NumberFor<Block>>,
			key_owner_proof: sp_consensus_grandpa::OpaqueKeyOwnershipProof,
		) -> Option<()> {
			Grandpa::submit_unsigned_equivocation_report(equivocation_proof, key_owner_proof.decode()?)
		}

		fn generate_key_ownership_proof(
			_: sp_consensus_grandpa::SetId,
			authority: GrandpaId,
		) -> Option<sp_consensus_grandpa::OpaqueKeyOwnershipProof> {
			let proof = AuraOffences::prove((key_types::GRANDPA, authority))?;
			Some(sp_consensus_grandpa::OpaqueKeyOwnershipProof::new(proof.encode()))
		}
	}

	impl pallet_aura_offences::api::AuraOffencesApi<Block> for Runtime {
		fn submit_report(
			proof: sp_consensus_slots::EquivocationProof<<Block as BlockT>::Header, AuraId>,
			key_owner_proof: OpaqueKeyOwnershipProof,
		) -> Option<()> {
			AuraOffences::submit_report(proof, key_owner_proof.decode()?)
		}

		fn key_ownership_proof(_: Slot, authority: AuraId) -> Option<OpaqueKeyOwnershipProof> {
			let proof = AuraOffences::prove((key_types::AURA, authority))?;
			Some(OpaqueKeyOwnershipProof::new(proof.encode()))
		}
	}

	impl frame_system_rpc_runtime_api::AccountNonceApi<Block, AccountId, Nonce> for Runtime {
		fn account_nonce(account: AccountId) -> Nonce {
			System::account_nonce(account)
		}
	}

	impl pallet_tiers::api::TiersApi<Block> for Runtime {
		fn members(after: Option<AccountBytes>, limit: u32) -> Vec<MemberInfo> {
			let members = match after {
				Some(account) => {
					Members::<Runtime>::iter_from(Members::<Runtime>::hashed_key_for(AccountId::from(account)))
				}
				None => Members::<Runtime>::iter(),
			};
			members.take(limit.min(MAX_ANSWER) as usize).map(member_info).collect()
		}

		fn member(account: AccountBytes) -> Option<MemberInfo> {
			let account = AccountId::from(account);
			// A key that acts for somebody names that member, even where it is one's own name otherwise.
			let member = Tiers::signer(&account).map_or(account, |signer| signer.member);
			let entry = Members::<Runtime>::get(&member)?;
			Some(member_info((member, entry)))
		}

		fn nodes() -> Vec<Vec<u8>> {
			let mut isps = Isps::<Runtime>::get().into_inner();
			isps.extend(Validating::get());
			isps.sort();
			isps.dedup();
			isps.iter().flat_map(Tiers::nodes_of).collect()
		}

		fn quotas() -> (u32, u32, u32) {
			let quotas = pallet_tiers::Settings::<Runtime>::get().quotas;
			(quotas.isp, quotas.subscriber, quotas.researcher)
		}

		fn leader() -> Option<AccountBytes> {
			Leader::<Runtime>::get().map(Into::into)
		}
	}

	impl pallet_indicators::api::IndicatorsApi<Block> for Runtime {
		fn reported() -> Vec<Proposal> {
			let mut ids: Vec<IndicatorId> = System::read_events_no_consensus()
				.flat_map(|record| match record.event {
					RuntimeEvent::Indicators(
						pallet_indicators::Event::Reported { id, .. } | pallet_indicators::Event::Disputed { id, .. },
					) => alloc::vec![id],
					RuntimeEvent::Indicators(pallet_indicators::Event::BatchDone { reported, .. }) => {
						reported.into_inner()
					}
					_ => Vec::new(),
				})
				.collect();
			ids.sort_unstable();
			ids.dedup();
			ids.into_iter()
				.filter_map(|id| Some((id, Records::<Runtime>::get(id)?)))
				.filter(|(_, record)| record.awaits_votes())
				.map(Indicators::proposal)
				.collect()
		}

		fn pending(isp: AccountBytes, after: Option<(u64, u32)>, limit: u32) -> (Vec<Proposal>, Option<(u64, u32)>) {
			let (found, next) = Indicators::pending(&isp.into(), after, limit.min(MAX_ANSWER));
			(found.into_iter().map(Indicators::proposal).collect(), next)
		}

		fn awaiting(isp: AccountBytes, mut ids: Vec<IndicatorId>) -> Vec<Proposal> {
			ids.truncate(MAX_ANSWER as usize);
			Indicators::awaiting(&isp.into(), ids).into_iter().map(Indicators::proposal).collect()
		}

		fn counts() -> (u32, u32) {
			(ActiveCount::<Runtime>::get(), ProposedCount::<Runtime>::get())
		}

		fn dossier(id: IndicatorId) -> Option<Dossier> {
			Some(Indicators::dossier((id, Records::<Runtime>::get(id)?)))
		}

		fn about(address: Address, limit: u32) -> Vec<Dossier> {
			Indicators::about(address, limit.min(MAX_ANSWER)).into_iter().map(Indicators::dossier).collect()
		}

		fn active(after: Option<IndicatorId>, limit: u32) -> Vec<Decision> {
			Indicators::active(after, limit.min(MAX_ACTIVE))
		}

		fn digest() -> ActiveDigest {
			pallet_indicators::Digest::<Runtime>::get()
		}

		fn parameters() -> (Millis, Millis, u32, u32) {
			let parameters = pallet_indicators::Settings::<Runtime>::get();
			(
				parameters.voting_period,
				parameters.provisional_lifetime,
				parameters.provisional_cap,
				parameters.open_cap,
			)
		}
	}

	impl pallet_envelopes::api::EnvelopesApi<Block> for Runtime {
		fn inbox(member: AccountBytes, after: Option<Digest>, limit: u32) -> Vec<(Digest, EnvelopeRecord)> {
			Envelopes::inbox(&member.into(), after, limit.min(MAX_INBOX))
		}

		fn record(member: AccountBytes, name: Digest) -> Option<EnvelopeRecord> {
			Envelopes::record(&member.into(), &name)
		}

		fn whitelist(member: AccountBytes) -> Option<WhitelistRecord> {
			Envelopes::whitelist(&member.into())
		}

		fn letter(extrinsic: Vec<u8>) -> Option<Letter> {
			letter(&extrinsic)
		}
	}

	#[cfg(feature = "runtime-benchmarks")]
	impl frame_benchmarking::Benchmark<Block> for Runtime {
		fn benchmark_metadata(
			extra: bool,
		) -> (Vec<frame_benchmarking::BenchmarkList>, Vec<frame_support::traits::StorageInfo>) {
			use crate::{benches::*, *};
			use frame_benchmarking::BenchmarkList;
			use frame_support::traits::StorageInfoTrait;

			let mut list = Vec::<BenchmarkList>::new();
			list_benchmarks!(list, extra);
			(list, AllPalletsWithSystem::storage_info())
		}

		fn dispatch_benchmark(
			config: frame_benchmarking::BenchmarkConfig,
		) -> Result<Vec<frame_benchmarking::BenchmarkBatch>, alloc::string::String> {
			use crate::{benches::*, *};
			use frame_benchmarking::BenchmarkBatch;
			use frame_support::traits::WhitelistedStorageKeys;

			let whitelist = AllPalletsWithSystem::whitelisted_storage_keys();
			let mut batches = Vec::<BenchmarkBatch>::new();
			let params = (&config, &whitelist);
			add_benchmarks!(params, batches);
			Ok(batches)
		}
	}

	#[cfg(feature = "try-runtime")]
	impl frame_try_runtime::TryRuntime<Block> for Runtime {
		fn on_runtime_upgrade(
			checks: frame_try_runtime::UpgradeCheckSelect,
		) -> (frame_support::weights::Weight, frame_support::weights::Weight) {
			// A failed check must stop the try-out with its backtrace: there is nobody to hand an error to.
			let weight = Executive::try_runtime_upgrade(checks).expect("a migration check failed");
			(weight, <Runtime as frame_system::Config>::BlockWeights::get().max_block)
		}

		fn execute_block(
			block: <Block as BlockT>::LazyBlock,
			state_root_check: bool,
			signature_check: bool,
			select: frame_try_runtime::TryStateSelect,
		) -> frame_support::weights::Weight {
			Executive::try_execute_block(block, state_root_check, signature_check, select).expect("a block failed its try-out")
		}
	}

	impl sp_genesis_builder::GenesisBuilder<Block> for Runtime {
		fn build_state(config: Vec<u8>) -> sp_genesis_builder::Result {
			build_state::<RuntimeGenesisConfig>(config)
		}

		fn get_preset(id: &Option<sp_genesis_builder::PresetId>) -> Option<Vec<u8>> {
			get_preset::<RuntimeGenesisConfig>(id, presets::get)
		}

		fn preset_names() -> Vec<sp_genesis_builder::PresetId> {
			presets::names()
		}
	}
}
