//! The parts of a node, and how they are put together.

use crate::{
	authoring::{self, Announced, AuthorsChain, Early},
	links,
	network::{self, Guarded},
	offences, peers, rpc,
	select_chain::VotersChain,
};
use ringfence_runtime::{opaque::Block, Hash, RuntimeApi};
use sc_client_api::BlockBackend;
use sc_consensus_aura::{ImportQueueParams, SlotProportion, StartAuraParams};
use sc_consensus_grandpa::SharedVoterState;
use sc_service::{error::Error as ServiceError, Configuration, PruningMode, TaskManager};
use sc_transaction_pool_api::OffchainTransactionPoolFactory;
use sp_consensus_aura::sr25519::AuthorityPair as AuraPair;
use std::{sync::Arc, time::Duration};

/// The client of the chain.
pub type Client = sc_service::TFullClient<Block, RuntimeApi, sc_executor::WasmExecutor<sp_io::SubstrateHostFunctions>>;
/// Its database.
pub type Backend = sc_service::TFullBackend<Block>;
/// Its transaction pool.
pub type Pool = sc_transaction_pool::TransactionPoolHandle<Block, Client>;
type GrandpaImport = sc_consensus_grandpa::GrandpaBlockImport<Backend, Block, Client, VotersChain>;
type GrandpaLink = sc_consensus_grandpa::LinkHalf<Block, Client, VotersChain>;
type Partial = sc_service::PartialComponents<
	Client,
	Backend,
	AuthorsChain,
	sc_consensus::DefaultImportQueue<Block>,
	Pool,
	(GrandpaImport, GrandpaLink),
>;

/// Blocks between justifications that are stored. Subscribers get one at every finalization whatever this is.
const STORED_JUSTIFICATION_PERIOD: u32 = 512;

/// Blocks whose state is kept unless the operator says otherwise: two hours, so that an enforcer can be handed a proof
/// about any block that it may still be verifying.
const DEFAULT_STATE_PRUNING: u32 = 14_400;

/// What the operator chose for this chain's own parts.
#[derive(Clone, Copy, Debug)]
pub struct Options {
	/// How long a finality vote is expected to take to reach all validators.
	pub gossip_duration: Duration,
	/// Whether to talk only to nodes that the members have named, once they have: [`peers`].
	pub permissioned: bool,
}

/// The parts that commands on the database need, too.
pub fn new_partial(config: &Configuration) -> Result<Partial, ServiceError> {
	let executor = sc_service::new_wasm_executor::<sp_io::SubstrateHostFunctions>(&config.executor);
	let (client, backend, keystore_container, task_manager) =
		sc_service::new_full_parts::<Block, RuntimeApi, _>(config, None, executor, Vec::new())?;
	let client = Arc::new(client);
	let transaction_pool = Arc::from(
		sc_transaction_pool::Builder::new(
			task_manager.spawn_essential_handle(),
			client.clone(),
			config.role.is_authority().into(),
		)
		.with_options(config.transaction_pool.clone())
		.with_prometheus(config.prometheus_registry())
		.build(),
	);
	let (grandpa_import, grandpa_link) = sc_consensus_grandpa::block_import(
		client.clone(),
		STORED_JUSTIFICATION_PERIOD,
		&client,
		VotersChain::new(backend.clone(), client.clone()),
		None,
	)?;
	let announced = Announced::new(grandpa_import.clone());
	let select_chain = announced.authors_chain(backend.clone());
	let slots = client.clone();
	let import_queue = sc_consensus_aura::import_queue::<AuraPair, _, _, _, _, _>(ImportQueueParams {
		block_import: announced,
		justification_import: Some(Box::new(grandpa_import.clone())),
		client: client.clone(),
		create_inherent_data_providers: move |parent, ()| {
			let slots = slots.clone();
			async move {
				let slot_duration = sc_consensus_aura::standalone::slot_duration_at(&*slots, parent)?;
				Ok(inherents(slot_duration))
			}
		},
		spawner: &task_manager.spawn_essential_handle(),
		registry: config.prometheus_registry(),
		check_for_equivocation: Default::default(),
		telemetry: None,
		compatibility_mode: Default::default(),
	})?;

	Ok(sc_service::PartialComponents {
		client,
		backend,
		task_manager,
		import_queue,
		keystore_container,
		select_chain,
		transaction_pool,
		other: (grandpa_import, grandpa_link),
	})
}

fn inherents(
	slot_duration: sp_consensus_aura::SlotDuration,
) -> (sp_consensus_aura::inherents::InherentDataProvider, sp_timestamp::InherentDataProvider) {
	let timestamp = sp_timestamp::InherentDataProvider::from_system_time();
	let slot =
		sp_consensus_aura::inherents::InherentDataProvider::from_timestamp_and_slot_duration(*timestamp, slot_duration);
	(slot, timestamp)
}

/// Starts a node.
pub fn new_full<N: Guarded>(mut config: Configuration, options: Options) -> Result<TaskManager, ServiceError> {
	config.state_pruning.get_or_insert_with(|| PruningMode::blocks_pruning(DEFAULT_STATE_PRUNING));

	let sc_service::PartialComponents {
		client,
		backend,
		mut task_manager,
		import_queue,
		keystore_container,
		select_chain,
		transaction_pool,
		other: (grandpa_import, grandpa_link),
	} = new_partial(&config)?;

	let mut net_config = sc_network::config::FullNetworkConfiguration::<Block, Hash, N>::new(
		&config.network,
		config.prometheus_registry().cloned(),
	);
	let metrics = N::register_notification_metrics(config.prometheus_registry());
	let genesis =
		client.block_hash(0)?.ok_or_else(|| ServiceError::Other("the database has no genesis block".into()))?;
	let grandpa_protocol = sc_consensus_grandpa::protocol_standard_name(&genesis, &config.chain_spec);
	let (grandpa_protocol_config, grandpa_notifications) = sc_consensus_grandpa::grandpa_peers_set_config::<_, N>(
		grandpa_protocol.clone(),
		metrics.clone(),
		net_config.peer_store_handle(),
	);
	net_config.add_notification_protocol(grandpa_protocol_config);
	let warp_sync = Arc::new(sc_consensus_grandpa::warp_proof::NetworkProvider::new(
		backend.clone(),
		grandpa_link.shared_authority_set().clone(),
		Vec::new(),
	));

	let door = if options.permissioned { peers::Door::new(&client) } else { peers::Door::open() };
	let network = network::build(network::Parts {
		config: &config,
		net_config,
		client: client.clone(),
		transaction_pool: transaction_pool.clone(),
		task_manager: &task_manager,
		import_queue,
		warp_sync,
		metrics,
		door: door.clone(),
	})?;
	if options.permissioned {
		let keeper =
			peers::Keeper::new(&config.network, client.clone(), network.service.clone(), network.sync.clone(), door);
		task_manager.spawn_handle().spawn("peers", "networking", keeper.keep());
	} else {
		log::warn!(target: "ringfence", "--permissioned never: this node hands the chain to whoever asks");
	}

	let role = config.role;
	let force_authoring = config.force_authoring;
	let name = config.network.node_name.clone();
	let enable_grandpa = !config.disable_grandpa;
	let prometheus_registry = config.prometheus_registry().cloned();

	task_manager.spawn_handle().spawn("links", "networking", links::keep_responsive());

	let reports = OffchainTransactionPoolFactory::new(transaction_pool.clone());
	task_manager.spawn_handle().spawn(
		"offences",
		"ringfence",
		offences::Watcher::new(client.clone(), reports.clone()).watch(),
	);

	let log = rpc::log::FinalizedLog::new(client.clone());
	task_manager.spawn_handle().spawn(
		"change-log",
		"ringfence",
		log.clone().follow(grandpa_link.justification_stream()),
	);
	let rpc_builder = {
		let deps = rpc::Deps {
			client: client.clone(),
			pool: transaction_pool.clone(),
			sync: network.sync.clone(),
			log,
			genesis: rpc::authorities::Genesis::new(client.clone(), config.chain_spec.cloned_box()),
			sets: grandpa_link.shared_authority_set().clone(),
			chain: config.chain_spec.name().to_owned(),
			version: config.impl_version.clone(),
		};
		Box::new(move |_| rpc::build(deps.clone()).map_err(|cause| ServiceError::Application(Box::new(cause))))
	};

	sc_service::spawn_tasks(sc_service::SpawnTasksParams {
		network: network.service.clone(),
		client: client.clone(),
		keystore: keystore_container.keystore(),
		task_manager: &mut task_manager,
		transaction_pool: transaction_pool.clone(),
		rpc_builder,
		backend,
		system_rpc_tx: network.system_rpc_tx,
		tx_handler_controller: network.transactions,
		sync_service: network.sync.clone(),
		config,
		telemetry: None,
		tracing_execute_block: None,
	})?;

	if role.is_authority() {
		let proposers = sc_basic_authorship::ProposerFactory::new(
			task_manager.spawn_handle(),
			client.clone(),
			transaction_pool.clone(),
			prometheus_registry.as_ref(),
			None,
		);
		let slot_duration = sc_consensus_aura::slot_duration(&*client)?;
		let aura = sc_consensus_aura::start_aura::<AuraPair, _, _, _, _, _, _, _, _, _, _>(StartAuraParams {
			slot_duration,
			client,
			select_chain,
			block_import: grandpa_import,
			proposer_factory: Early(proposers),
			create_inherent_data_providers: move |_, ()| async move { Ok(inherents(slot_duration)) },
			force_authoring,
			backoff_authoring_blocks: None::<()>,
			keystore: keystore_container.keystore(),
			sync_oracle: network.sync.clone(),
			justification_sync_link: network.sync.clone(),
			block_proposal_slot_portion: SlotProportion::new(authoring::PORTION),
			max_block_proposal_slot_portion: None,
			telemetry: None,
			compatibility_mode: Default::default(),
		})?;
		// A validator that has stopped authoring must not pretend to be well: the node ends with this task.
		task_manager.spawn_essential_handle().spawn_blocking("aura", Some("block-authoring"), aura);
	}

	if enable_grandpa {
		let voter = sc_consensus_grandpa::run_grandpa_voter(sc_consensus_grandpa::GrandpaParams {
			config: sc_consensus_grandpa::Config {
				gossip_duration: options.gossip_duration,
				justification_generation_period: STORED_JUSTIFICATION_PERIOD,
				name: Some(name),
				observer_enabled: false,
				keystore: role.is_authority().then(|| keystore_container.keystore()),
				local_role: role,
				telemetry: None,
				protocol_name: grandpa_protocol,
			},
			link: grandpa_link,
			network: network.service,
			sync: network.sync,
			notification_service: grandpa_notifications,
			// Vote for the best block itself: the default rules hold back two blocks, a second of every decision.
			voting_rule: (),
			prometheus_registry,
			shared_voter_state: SharedVoterState::empty(),
			telemetry: None,
			offchain_tx_pool_factory: reports,
		})?;
		task_manager.spawn_essential_handle().spawn_blocking("grandpa-voter", None, voter);
	}

	Ok(task_manager)
}
