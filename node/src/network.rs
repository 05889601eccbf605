//! The network: what `sc_service::build_network` puts together, with a door in front of whatever hands out the chain.
//!
//! The SDK's reserved peers govern the protocols that push (block announcements and, through them, transactions and
//! finality votes). The protocols that answer (blocks, state, warp proofs, light clients) serve whoever can open a
//! connection, in both backends: a request is only ever refused to a peer that was banned before. So the queue of each
//! answering protocol is replaced by one of ours, and a task between the two lets through what comes from a peer that
//! [`Door`] admits. The light client protocol, which reads any state and runs any runtime call for the asker, has no user
//! here: it is not offered at all, and neither is Bitswap.

use crate::{
	peers::Door,
	service::{Client, Pool},
};
use futures::StreamExt;
use ringfence_runtime::{opaque::Block, Hash};
use sc_client_api::{BlockBackend, BlockchainEvents};
use sc_consensus::{DefaultImportQueue, ImportQueue};
use sc_network::{
	config::{FullNetworkConfiguration, Params, SyncMode},
	request_responses::IncomingRequest,
	service::traits::{NetworkService, PeerStore, RequestResponseConfig},
	Litep2pNetworkBackend, NetworkBackend, NetworkBlock, NetworkWorker, NotificationMetrics, Roles,
};
use sc_network_sync::{
	block_relay_protocol::BlockRelayParams,
	block_request_handler::BlockRequestHandler,
	engine::SyncingEngine,
	service::network::NetworkServiceProvider,
	state_request_handler::StateRequestHandler,
	strategy::{
		polkadot::{PolkadotSyncingStrategy, PolkadotSyncingStrategyConfig},
		warp::WarpSyncProvider,
	},
	warp_request_handler::RequestHandler as WarpSyncRequestHandler,
	SyncingService, WarpSyncConfig,
};
use sc_network_transactions::{TransactionsHandlerController, TransactionsHandlerPrototype};
use sc_service::{
	build_system_rpc_future, default_gap_sync_body_policy, error::Error, Configuration, SpawnTaskHandle, TaskManager,
	TransactionPoolAdapter,
};
use sc_utils::mpsc::{tracing_unbounded, TracingUnboundedSender};
use sp_blockchain::HeaderBackend;
use sp_consensus::block_validation::DefaultBlockAnnounceValidator;
use std::sync::Arc;

/// The group that the tasks are counted under.
const GROUP: Option<&str> = Some("networking");

/// Questions about the node that may wait for an answer.
const MAX_SYSTEM_REQUESTS: usize = 10_000;

/// Where a protocol's requests wait for the one who answers them.
type Requests = async_channel::Sender<IncomingRequest>;

/// How a backend describes a protocol that answers.
type ProtocolConfig<N> = <N as NetworkBackend<Block, Hash>>::RequestResponseProtocolConfig;

/// A network backend in front of whose protocols a door can be put.
pub trait Guarded: NetworkBackend<Block, Hash> + Sized {
	/// Where the requests of a protocol go.
	fn requests(config: &mut ProtocolConfig<Self>) -> &mut Option<Requests>;
}

impl Guarded for NetworkWorker<Block, Hash> {
	fn requests(config: &mut ProtocolConfig<Self>) -> &mut Option<Requests> {
		&mut config.inbound_queue
	}
}

impl Guarded for Litep2pNetworkBackend {
	fn requests(config: &mut ProtocolConfig<Self>) -> &mut Option<Requests> {
		&mut config.inbound_queue
	}
}

/// What the network is made of.
pub struct Parts<'a, N: Guarded> {
	pub config: &'a Configuration,
	/// With the protocols that others have added.
	pub net_config: FullNetworkConfiguration<Block, Hash, N>,
	pub client: Arc<Client>,
	pub transaction_pool: Arc<Pool>,
	pub task_manager: &'a TaskManager,
	pub import_queue: DefaultImportQueue<Block>,
	pub warp_sync: Arc<dyn WarpSyncProvider<Block>>,
	pub metrics: NotificationMetrics,
	/// Whose requests are answered.
	pub door: Arc<Door>,
}

/// The running network.
pub struct Network {
	pub service: Arc<dyn NetworkService>,
	pub sync: Arc<SyncingService<Block>>,
	pub system_rpc_tx: TracingUnboundedSender<sc_rpc::system::Request<Block>>,
	pub transactions: TransactionsHandlerController<Hash>,
}

/// Starts the network.
pub fn build<N: Guarded>(parts: Parts<'_, N>) -> Result<Network, Error> {
	let Parts {
		config,
		mut net_config,
		client,
		transaction_pool,
		task_manager,
		import_queue,
		warp_sync,
		metrics,
		door,
	} = parts;
	let tasks = task_manager.spawn_handle();
	let essential = task_manager.spawn_essential_handle();
	let registry = config.prometheus_registry();
	let protocol_id = config.protocol_id();
	let fork_id = config.chain_spec.fork_id();
	let genesis = client.info().genesis_hash;
	let peers_set = &config.network.default_peers_set;
	let provider = NetworkServiceProvider::new();

	if client.requires_full_sync() && !matches!(config.network.sync_mode, SyncMode::Full) {
		return Err("a node that keeps all states has to sync all blocks: --sync full".into());
	}

	// Blocks.
	let BlockRelayParams { mut server, downloader, request_response_config: mut blocks } =
		BlockRequestHandler::<Block, Client>::new::<N>(
			provider.handle(),
			&protocol_id,
			fork_id,
			client.clone(),
			peers_set.in_peers.saturating_add(peers_set.out_peers) as usize,
		);
	tasks.spawn("block-request-handler", GROUP, async move { server.run().await });
	guard::<N>(&mut blocks, &door, &tasks);
	net_config.add_request_response_protocol(blocks);

	// State.
	let (handler, mut state) = StateRequestHandler::<Block, Client>::new::<N>(
		&protocol_id,
		fork_id,
		client.clone(),
		(config.network.default_peers_set_num_full as usize).saturating_add(peers_set.reserved_nodes.len()),
	);
	let state_protocol = state.protocol_name().clone();
	tasks.spawn("state-request-handler", GROUP, handler.run());
	guard::<N>(&mut state, &door, &tasks);
	net_config.add_request_response_protocol(state);

	// Warp proofs.
	let (handler, mut warp) =
		WarpSyncRequestHandler::<Block>::new::<_, N>(protocol_id.clone(), genesis, fork_id, warp_sync.clone());
	let warp_protocol = warp.protocol_name().clone();
	tasks.spawn("warp-sync-request-handler", GROUP, handler.run());
	guard::<N>(&mut warp, &door, &tasks);
	net_config.add_request_response_protocol(warp);

	let strategy = PolkadotSyncingStrategy::new(
		PolkadotSyncingStrategyConfig {
			mode: config.network.sync_mode,
			max_parallel_downloads: config.network.max_parallel_downloads,
			max_blocks_per_request: config.network.max_blocks_per_request,
			min_peers_to_start_warp_sync: config.network.min_peers_to_start_warp_sync,
			metrics_registry: registry.cloned(),
			state_request_protocol_name: state_protocol,
			block_downloader: downloader,
			gap_sync_body_policy: default_gap_sync_body_policy(config.blocks_pruning),
		},
		client.clone(),
		Some(WarpSyncConfig::WithProvider(warp_sync)),
		Some(warp_protocol),
	)?;
	let (engine, sync, block_announce_config) = SyncingEngine::new(
		Roles::from(&config.role),
		client.clone(),
		registry,
		metrics.clone(),
		&net_config,
		protocol_id.clone(),
		fork_id,
		Box::new(DefaultBlockAnnounceValidator),
		Box::new(strategy),
		provider.handle(),
		import_queue.service(),
		net_config.peer_store_handle(),
	)?;
	let sync = Arc::new(sync);
	// A node that cannot sync any more is better shut down than kept running; so is one without a network, below.
	essential.spawn_blocking("syncing", None, engine.run());

	let (transactions_prototype, transactions_config) = TransactionsHandlerPrototype::new::<_, Block, N>(
		protocol_id.clone(),
		genesis,
		fork_id,
		metrics.clone(),
		net_config.peer_store_handle(),
	);
	net_config.add_notification_protocol(transactions_config);

	let peer_store = net_config.take_peer_store();
	tasks.spawn("peer-store", GROUP, peer_store.run());

	let executor = tasks.clone();
	let network = N::new(Params {
		role: config.role,
		executor: Box::new(move |task| executor.spawn("libp2p-node", GROUP, task)),
		network_config: net_config,
		genesis_hash: genesis,
		protocol_id,
		fork_id: fork_id.map(ToOwned::to_owned),
		metrics_registry: registry.cloned(),
		block_announce_config,
		ipfs_config: None,
		notification_metrics: metrics,
	})?;
	let service = network.network_service();

	let (handler, transactions) = transactions_prototype.build(
		service.clone(),
		sync.clone(),
		Arc::new(TransactionPoolAdapter::new(transaction_pool, client.clone())),
		registry,
	)?;
	tasks.spawn_blocking("network-transactions-handler", GROUP, handler.run());
	tasks.spawn_blocking("chain-sync-network-service-provider", GROUP, provider.run(Arc::new(service.clone())));
	tasks.spawn("import-queue", None, {
		let sync = sync.clone();
		async move { import_queue.run(sync.as_ref()).await }
	});

	let (system_rpc_tx, system_rpc_rx) = tracing_unbounded("mpsc_system_rpc", MAX_SYSTEM_REQUESTS);
	tasks.spawn(
		"system-rpc-handler",
		GROUP,
		build_system_rpc_future::<Block, Client, Hash>(
			config.role,
			service.clone(),
			sync.clone(),
			client.clone(),
			system_rpc_rx,
			!config.network.boot_nodes.is_empty(),
		),
	);

	// It can be busy for long: a thread of its own.
	essential.spawn_blocking("network-worker", GROUP, run(network, client, sync.clone(), config.announce_block));
	Ok(Network { service, sync, system_rpc_tx, transactions })
}

/// Puts the door in front of a protocol.
fn guard<N: Guarded>(config: &mut ProtocolConfig<N>, door: &Arc<Door>, tasks: &SpawnTaskHandle) {
	let Some(queue) = N::requests(config) else { return };
	let (outside, arriving) = async_channel::bounded(queue.capacity().unwrap_or(1));
	let inside = std::mem::replace(queue, outside);
	tasks.spawn("door", GROUP, watch(door.clone(), arriving, inside));
}

/// Lets requests through for as long as the protocol is offered. One that is dropped is refused by the backend.
async fn watch(door: Arc<Door>, arriving: async_channel::Receiver<IncomingRequest>, inside: Requests) {
	while let Ok(request) = arriving.recv().await {
		if !door.admits(&request.peer) {
			log::debug!(target: "ringfence", "A stranger's request goes unanswered: {}", request.peer);
			continue;
		}
		// A full queue refuses, as it does without a door.
		let _ = inside.try_send(request);
	}
}

/// Drives the network, and tells it of new blocks.
async fn run<N: Guarded>(network: N, client: Arc<Client>, sync: Arc<SyncingService<Block>>, announce: bool) {
	let mut imported = client.import_notification_stream();
	let mut finalized = client.finality_notification_stream();
	let mut running = network.run();
	loop {
		tokio::select! {
			block = imported.next() => {
				// The client is gone, and the node with it.
				let Some(block) = block else { return };
				if announce {
					sync.announce_block(block.hash, None);
				}
				if block.is_new_best {
					sync.new_best_block_imported(block.hash, block.header.number);
				}
			},
			Some(block) = finalized.next() => sync.on_block_finalized(block.hash, block.header),
			() = &mut running => {
				log::warn!(target: "ringfence", "The network has ended. Ignore this if the node is stopping.");
				return;
			},
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use futures::channel::oneshot;
	use sc_network::{config::OutgoingResponse, PeerId};

	fn request(peer: PeerId) -> (IncomingRequest, oneshot::Receiver<OutgoingResponse>) {
		let (pending_response, answer) = oneshot::channel();
		(IncomingRequest { peer, payload: vec![1], pending_response }, answer)
	}

	#[tokio::test]
	async fn a_strangers_request_is_refused_and_a_members_goes_through() {
		let (member, stranger) = (PeerId::random(), PeerId::random());
		let (outside, arriving) = async_channel::bounded(4);
		let (inside, handled) = async_channel::bounded(4);
		let watching = tokio::spawn(watch(Door::for_only([member]), arriving, inside));

		let (asked, refused) = request(stranger);
		outside.send(asked).await.unwrap();
		let (asked, _) = request(member);
		outside.send(asked).await.unwrap();

		assert_eq!(handled.recv().await.unwrap().peer, member);
		assert!(refused.await.is_err(), "the backend sees that nobody will answer");
		assert!(handled.is_empty());
		drop(outside);
		watching.await.unwrap();
	}

	#[tokio::test]
	async fn whoever_asks_is_answered_while_nobody_is_named() {
		let (outside, arriving) = async_channel::bounded(4);
		let (inside, handled) = async_channel::bounded(4);
		tokio::spawn(watch(Door::open(), arriving, inside));
		let (asked, _) = request(PeerId::random());
		outside.send(asked).await.unwrap();
		assert!(handled.recv().await.is_ok());
	}

	#[tokio::test]
	async fn a_flood_of_requests_fills_the_queue_and_no_more() {
		let (outside, arriving) = async_channel::bounded(4);
		let (inside, handled) = async_channel::bounded(1);
		let watching = tokio::spawn(watch(Door::open(), arriving, inside));
		let (first, _) = request(PeerId::random());
		let (second, refused) = request(PeerId::random());
		outside.send(first).await.unwrap();
		outside.send(second).await.unwrap();
		assert!(refused.await.is_err());
		assert_eq!(handled.len(), 1);
		drop(outside);
		watching.await.unwrap();
	}
}
