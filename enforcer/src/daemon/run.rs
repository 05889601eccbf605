//! The daemon: one session with a node after another, and the tasks that outlive them.

use super::{
	chain::{Backoff, ChainError, Connection, RuntimeVersion},
	config::{Config, Eve},
	enforce::{EnforceError, Enforcement, Flow},
	excerpt,
	household::{Household, Sealer},
	inbox::{Inbox, Rules},
	key::{self, Keys},
	keyring::Keyring,
	now_ms, random,
	sense::{Outlet, Sensor},
	state::{Journal, StateError},
	status::{self, Board, Finalized, Status},
	submit::{self, Link, Submitter},
	tail::{Tail, TailError},
	tier::Tier,
	tray::{Tray, TrayError},
	vote::Voter,
};
use crate::core::{
	frame::{Cursor, Frame, FrameError},
	report::Reporter,
};
use jsonrpsee::core::client::SubscriptionCloseReason;
use ringfence_primitives::{Digest, Millis};
use sp_core::Pair;
use std::{
	future::pending,
	io,
	path::Path,
	sync::{Arc, OnceLock},
	time::Duration,
};
use tokio::{
	runtime,
	signal::unix::{signal, SignalKind},
	sync::watch,
	task::{block_in_place, JoinError, JoinSet},
	time::{interval, sleep, Instant, MissedTickBehavior},
};
use tracing::{error, info, warn};

/// How often the table is looked at.
const INSPECT: Duration = Duration::from_secs(1);
/// How often the node is looked at, to notice one that stands still and to anchor transactions in what is seen: they
/// live for [`extrinsic::ERA_PERIOD`] blocks from there.
///
/// [`extrinsic::ERA_PERIOD`]: crate::core::extrinsic::ERA_PERIOD
const LOOK: Duration = Duration::from_secs(60);
/// A session of this length was a good one: the next attempt comes soon again.
const GOOD_SESSION: Duration = Duration::from_secs(10);

/// Why the daemon cannot start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
	/// The state directory.
	#[error("state-dir: {0}")]
	State(#[from] StateError),
	/// The account's key.
	#[error("account.key-file: {0}")]
	Key(#[from] key::KeyError),
	/// The firewall.
	#[error("firewall: {0}")]
	Enforce(#[from] EnforceError),
	/// What is left to a person.
	#[error("state-dir: {0}")]
	Tray(#[from] TrayError),
	/// The sensor's log.
	#[error("eve.path: {0}")]
	Tail(#[from] TailError),
	/// What was applied so far belongs to another chain than the configuration names.
	#[error("chain.genesis: the state is that of another chain; `flush` forgets it")]
	OtherChain,
	/// The operating system.
	#[error("{0}: {1}")]
	System(&'static str, #[source] io::Error),
	/// A task of the daemon panicked.
	#[error("a task died: {0}")]
	Task(#[from] JoinError),
}

/// Why a session with a node ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
	#[error(transparent)]
	Chain(#[from] ChainError),
	#[error(transparent)]
	Enforce(#[from] EnforceError),
	#[error(transparent)]
	Frame(#[from] FrameError),
	#[error("not JSON that is expected: {0}")]
	Json(#[from] serde_json::Error),
}

/// Runs until SIGTERM or SIGINT, or until a task dies. Either way the firewall stays in force.
pub fn run(config: Config) -> Result<(), RunError> {
	let runtime = runtime::Builder::new_multi_thread()
		.worker_threads(2)
		.enable_all()
		.build()
		.map_err(|e| RunError::System("cannot start threads", e))?;
	let result = runtime.block_on(daemon(config));
	// The sensor's thread waits for its file to change and cannot be asked to stop.
	runtime.shutdown_background();
	result
}

async fn daemon(config: Config) -> Result<(), RunError> {
	let mut stop = signals().map_err(|e| RunError::System("cannot handle signals", e))?;
	let mut journal = Journal::open(&config.state_dir)?;
	if let Some(cause) = &journal.corrupt {
		error!(at = now_ms(), cause, "state.json makes no sense: moved to state.json.corrupt, starting from zero");
	}
	if let (Some(configured), Some(known)) = (config.genesis, journal.state.genesis) {
		if configured != known {
			return Err(RunError::OtherChain);
		}
	}
	let keys = config.key_file.as_deref().map(key::load_all).transpose()?;
	let speaks =
		config.eve.is_some() || config.vetting.is_some() || config.inbox.is_some() || config.subscriber.is_some();
	// Whoever has no key has no member either: the configuration gives it nothing to say.
	let member = config.member.or_else(|| keys.as_ref().map(|keys| keys.account.public().0)).unwrap_or_default();
	let genesis = config.genesis.or(journal.state.genesis);
	let board = Board::new(Status {
		version: env!("CARGO_PKG_VERSION").into(),
		pid: std::process::id(),
		started_at: now_ms(),
		enforcing: config.enforce,
		account: keys.as_ref().map(|keys| submit::address(&keys.account)),
		seq: journal.state.seq,
		look_every: LOOK.as_millis() as Millis,
		..Status::default()
	});
	// An ISP's own gatekeeper enforces for its tier as well.
	let provider = config.subscriber.map(|provider| provider.account).or(config.inbox.map(|_| member));
	let enforcement = match config.enforce {
		true => {
			let tier = provider.map(|provider| Tier::new(provider, keyring(&config.state_dir)));
			Some(Enforcement::open(&config.protected, &config.allow, tier, &mut journal, board.clone())?)
		}
		false => None,
	};

	// Tasks that outlive sessions. None of them ends by itself.
	let mut tasks = JoinSet::new();
	let status_file = status::path(&config.state_dir);
	tasks.spawn(status::keep_written(board.clone(), status_file.clone()));
	let (links, link) = watch::channel(None);
	let chain = Arc::new(OnceLock::new());
	if let Some(genesis) = genesis {
		// The cell is new.
		let _ = chain.set(genesis);
	}
	let (mut voter, mut inbox, mut household) = (None, None, None);
	if let Some(Keys { account, envelope }) = keys.filter(|_| speaks) {
		let (submitter, task) = Submitter::new(account, link, board.clone());
		tasks.spawn(task);
		voter = config.vetting.map(|policy| {
			let (protected, allowed) = (config.protected.clone(), config.allow.clone());
			Voter::new(member, policy, protected, allowed, submitter.clone(), board.clone())
		});
		if let Some(policy) = config.inbox {
			let rules = Rules {
				policy,
				settings: config.reporting.clone(),
				provisional: config.provisional,
				protected: config.protected.clone(),
				allowed: config.allow.clone(),
			};
			let tray = Tray::open(&config.state_dir)?;
			inbox = Some(Inbox::new(member, envelope.clone(), rules, tray, submitter.clone(), board.clone()));
		}
		let mut outlet = Outlet::Open { provisional: config.provisional };
		if let Some(provider) = config.subscriber {
			let sealer = Sealer::new(member, provider, chain.clone());
			outlet = Outlet::Sealed(Box::new(sealer.clone()));
			let (keyring, directory) = (keyring(&config.state_dir), config.state_dir.clone());
			household = Some(Household::new(sealer, envelope, keyring, directory, submitter.clone(), board.clone()));
		}
		if let Some(Eve { path, judge }) = config.eve {
			let tail = Tail::open(&path)?;
			let sensor = Sensor::new(judge, Reporter::new(config.reporting), outlet, submitter, board.clone());
			tasks.spawn_blocking(move || sensor.follow(&path, tail));
		}
	}

	let mut sessions = Sessions {
		endpoints: config.endpoints,
		genesis,
		chain,
		journal,
		enforcement,
		voter,
		inbox,
		household,
		links: speaks.then_some(links),
		board: board.clone(),
	};
	let result = tokio::select! {
		() = sessions.run() => Ok(()),
		received = stop.recv() => {
			info!(at = now_ms(), signal = received, "stopping; the firewall stays in force");
			Ok(())
		},
		Some(died) = tasks.join_next() => died.map_err(RunError::from),
	};
	board.update(|status| status.endpoint = None);
	status::write(&board.snapshot(), &status_file);
	sessions.journal.save()?;
	result
}

/// The keys of the tier. Without them nothing but the tier's own entries stays closed.
fn keyring(directory: &Path) -> Keyring {
	Keyring::open(directory).unwrap_or_else(|cause| {
		error!(at = now_ms(), %cause, "no tier keys");
		Keyring::empty(directory)
	})
}

struct Stop {
	terminate: tokio::signal::unix::Signal,
	interrupt: tokio::signal::unix::Signal,
}

fn signals() -> io::Result<Stop> {
	Ok(Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
}

impl Stop {
	async fn recv(&mut self) -> &'static str {
		tokio::select! {
			_ = self.terminate.recv() => "SIGTERM",
			_ = self.interrupt.recv() => "SIGINT",
		}
	}
}

/// One session with a node after another.
struct Sessions {
	endpoints: Vec<String>,
	/// The only chain that is accepted, once it is known.
	genesis: Option<Digest>,
	/// The same for those who seal.
	chain: Arc<OnceLock<Digest>>,
	journal: Journal,
	enforcement: Option<Enforcement>,
	voter: Option<Voter>,
	inbox: Option<Inbox>,
	household: Option<Household>,
	links: Option<watch::Sender<Option<Link>>>,
	board: Arc<Board>,
}

impl Sessions {
	/// Never ends.
	async fn run(&mut self) {
		let mut backoff = Backoff::default();
		for turn in 0_usize.. {
			// The config has at least one endpoint; without any there would be nothing to do but wait.
			let Some(endpoint) = self.endpoints.get(turn % self.endpoints.len().max(1)).cloned() else { break };
			let began = Instant::now();
			let cause = match Connection::open(&endpoint, self.genesis).await {
				Ok(connection) => self.session(connection).await,
				Err(error) => error.into(),
			};
			if let Some(links) = &self.links {
				links.send_replace(None);
			}
			self.board.update(|status| status.endpoint = None);
			warn!(at = now_ms(), endpoint, cause = excerpt(&cause.to_string()), "disconnected");
			if began.elapsed() > GOOD_SESSION {
				backoff.reset();
			}
			sleep(backoff.next(random())).await;
		}
		pending().await
	}

	async fn session(&mut self, connection: Connection) -> SessionError {
		let Self { genesis, chain, journal, enforcement, voter, inbox, household, links, board, .. } = self;
		*genesis = Some(connection.genesis);
		// After the first session it is set, to the same.
		chain.get_or_init(|| connection.genesis);
		journal.state.genesis = *genesis;
		board.update(|status| {
			status.endpoint = Some(connection.endpoint.clone());
			status.genesis = Some(connection.genesis);
		});
		info!(at = now_ms(), endpoint = connection.endpoint, "connected");
		let connection = Arc::new(connection);
		let enforce = async {
			match enforcement {
				Some(enforcement) => follow(&connection, enforcement, journal).await,
				None => pending().await,
			}
		};
		let vote = async {
			match voter {
				Some(voter) => voter.follow(&connection).await,
				None => pending().await,
			}
		};
		let correspond = async {
			match (inbox, household) {
				(Some(inbox), _) => inbox.follow(&connection).await,
				(None, Some(household)) => household.follow(&connection).await,
				(None, None) => pending().await,
			}
		};
		// The last branch always matches, so there is always one left.
		tokio::select! {
			Err(error) = enforce => error,
			error = vote => error.into(),
			error = correspond => error.into(),
			Err(error) = look(&connection, links.as_ref(), board) => error,
			error = connection.broken() => error.into(),
		}
	}
}

/// Applies the change log for as long as the connection holds.
async fn follow(
	connection: &Connection,
	enforcement: &mut Enforcement,
	journal: &mut Journal,
) -> Result<(), SessionError> {
	let mut inspections = interval(INSPECT);
	inspections.set_missed_tick_behavior(MissedTickBehavior::Delay);
	loop {
		let mut changes = match connection.changes(journal.state.cursor().due()).await {
			Ok(changes) => changes,
			Err(ChainError::Pruned(oldest)) => {
				// What was revoked in between is not known any more, so nothing that is blocked can be trusted.
				warn!(at = now_ms(), oldest, "the log no longer reaches back to here: beginning anew");
				block_in_place(|| enforcement.restart(journal, Cursor::before(oldest))).map_err(EnforceError::from)?;
				continue;
			}
			Err(error) => return Err(error.into()),
		};
		loop {
			let flow = tokio::select! {
				item = changes.next() => match item {
					Some(item) => {
						let frame = Frame::decode(item?)?;
						block_in_place(|| enforcement.apply(journal, &frame))?
					},
					None => match changes.close_reason() {
						// This side was too slow, as in a long replay: what is missing is sent again.
						Some(SubscriptionCloseReason::Lagged) => break,
						_ => return Err(ChainError::Closed.into()),
					},
				},
				_ = inspections.tick() => block_in_place(|| enforcement.inspect(journal))?,
			};
			if flow == Flow::Again {
				break;
			}
		}
	}
}

/// Looks at the node: is it alive, where does finality stand, and what are transactions to be anchored in.
async fn look(
	connection: &Arc<Connection>,
	links: Option<&watch::Sender<Option<Link>>>,
	board: &Board,
) -> Result<(), SessionError> {
	let mut versions = connection.runtime_versions().await?;
	let mut version: Option<RuntimeVersion> = None;
	let mut looks = interval(LOOK);
	looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
	let mut finalized = None;
	loop {
		tokio::select! {
			next = versions.next() => version = Some(next.ok_or(ChainError::Closed)??),
			_ = looks.tick() => {
				let status = connection.status().await?;
				finalized = Some(status.finalized);
				let (number, log_seq) = (status.finalized.number, status.log.seq);
				board.update(|status| {
					let seen = status.finalized.filter(|seen| seen.number == number);
					let seen_at = seen.map_or_else(now_ms, |seen| seen.seen_at);
					status.finalized = Some(Finalized { number, seen_at, log_seq });
				});
			},
		}
		if let (Some(links), Some(version), Some(finalized)) = (links, version, finalized) {
			let anchor = connection.anchor_in(version, finalized);
			links.send_replace(Some(Link { connection: connection.clone(), anchor }));
		}
	}
}
