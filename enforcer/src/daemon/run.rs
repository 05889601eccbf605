//! The daemon: who runs in it, and who tells whom.
//!
//! The actor that owns the firewall runs with or without a node; [`Sessions`] feed it what nodes prove, the [`Desk`] what
//! people want. Sensor, submitter, voter and letters stand beside them.

use super::{
	config::{Config, Place},
	control::{Control, ControlError, Desk, Disputes},
	dial::{Dialer, TlsError},
	enforce::{EnforceError, Enforcement, Setup},
	evidence::Archive,
	household::{self, Household, Sealer},
	inbox::{Inbox, Rules},
	key::{self, Keys},
	keyring::Keyring,
	listen::{ListenError, Socket},
	notify::Supervisor,
	now_ms,
	observe::{self, History},
	own, popular,
	reports::Reports,
	seen::Seen,
	sense::{self, Outlet, Sensor},
	sessions::{Following, Parts, Sessions},
	state::{Journal, Memory, StateError},
	status::{self, Board, Status},
	submit::{self, Submitter},
	tail::{Tail, TailError},
	tier::Tier,
	tray::{Tray, TrayError},
	vote::Voter,
	watch::{Watch, WatchError},
};
use crate::core::{report::Reporter, vet::Lists};
use sp_core::Pair;
use std::{
	future::pending,
	io,
	path::Path,
	sync::{Arc, Mutex, OnceLock},
};
use tokio::{
	runtime,
	signal::unix::{signal, SignalKind},
	sync::watch::channel,
	task::{block_in_place, JoinError, JoinSet},
};
use tracing::{error, info};

/// Why the daemon cannot start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
	/// The state directory.
	#[error("state-dir: {0}")]
	State(#[from] StateError),
	/// The account's key.
	#[error("account.key-file: {0}")]
	Key(#[from] key::KeyError),
	/// The firewall, or the active set on the disk.
	#[error("firewall: {0}")]
	Enforce(#[from] EnforceError),
	/// The certificates that nodes are checked against.
	#[error("chain.roots: {0}")]
	Tls(#[from] TlsError),
	/// The socket for people's requests.
	#[error("state-dir: {0}")]
	Control(#[from] ControlError),
	/// What is left to a person.
	#[error("state-dir: {0}")]
	Tray(#[from] TrayError),
	/// The lists of what many depend on.
	#[error("vetting.popular: {0}")]
	Popular(#[from] popular::ListsError),
	/// The log of another program.
	#[error("alerts.path: {0}")]
	Tail(#[from] TailError),
	/// The socket for another program.
	#[error("alerts.socket: {0}")]
	Listen(#[from] ListenError),
	/// What was applied so far belongs to another chain than the configuration names.
	#[error("chain.genesis: the state is that of another chain; `flush` forgets it")]
	OtherChain,
	/// The operating system.
	#[error("{0}: {1}")]
	System(&'static str, #[source] io::Error),
	/// The actor that owns the firewall gave up; the log says why.
	#[error("firewall: it cannot be programmed any more")]
	Stopped,
	/// Captured packets cannot be looked at.
	#[error("capture: {0}")]
	Watch(#[from] WatchError),
	/// A thread that looks at packets died; the standard error says why.
	#[error("capture: packets are not looked at any more")]
	Blind,
	/// A task of the daemon panicked.
	#[error("a task died: {0}")]
	Task(#[from] JoinError),
}

/// Has memory that is needed for a moment, for a page of a snapshot, say, go back to the system. By itself glibc keeps a
/// heap for each thread, and up to 64 MB of what was freed once something large was.
#[cfg(target_env = "gnu")]
fn hold_little_memory() {
	/// From so many bytes on a piece has pages of its own, and so many may lie idle.
	const LARGE: libc::c_int = 128 * 1024;
	let parameters = [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TRIM_THRESHOLD, LARGE)];
	for (parameter, value) in parameters {
		// SAFETY: it takes plain numbers. One that it does not take leaves everything as it was.
		unsafe { libc::mallopt(parameter, value) };
	}
}

/// Other allocators keep little.
#[cfg(not(target_env = "gnu"))]
const fn hold_little_memory() {}

/// Runs until SIGTERM or SIGINT, or until a task dies. Either way the firewall stays in force.
pub fn run(config: Config) -> Result<(), RunError> {
	hold_little_memory();
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
	let supervisor = Arc::new(Supervisor::from_env());
	let journal = Journal::open(&config.state_dir)?;
	if let Some(cause) = &journal.corrupt {
		error!(at = now_ms(), cause, "state.json makes no sense: moved to state.json.corrupt, starting from zero");
	}
	let memory = Memory::new(journal);
	let known = memory.read(|state| state.genesis);
	if let (Some(configured), Some(known)) = (config.genesis, known) {
		if configured != known {
			return Err(RunError::OtherChain);
		}
	}
	let genesis = config.genesis.or(known);
	let dialer = Dialer::new(config.roots.as_deref(), config.pin)?;
	let keys = config.key_file.as_deref().map(key::load_all).transpose()?;
	// Whoever has no key has no member either: the configuration gives it nothing to say.
	let member = config.member.or_else(|| keys.as_ref().map(|keys| keys.account.public().0)).unwrap_or_default();
	let board = Board::new(Status {
		version: env!("CARGO_PKG_VERSION").into(),
		pid: std::process::id(),
		started_at: now_ms(),
		enforcing: config.enforce,
		account: keys.as_ref().map(|keys| submit::address(&keys.account)),
		genesis,
		..Status::default()
	});
	let history = History::open(&config.state_dir);
	let control = Control::bind(&config.state_dir)?;
	let (whitelists, whitelist) = household::whitelists(&config.state_dir, &memory, &member);

	// Tasks that outlive sessions. None of them ends by itself.
	let mut tasks = JoinSet::new();
	let status_file = status::path(&config.state_dir);
	tasks.spawn(status::keep_written(board.clone(), status_file.clone()));
	tasks.spawn(history.clone().keep_saved());

	// First of all what was decided before is in force again, whether or not there is a network.
	let mut parts = Parts::default();
	let mut actor = JoinSet::new();
	let mut eyes = JoinSet::new();
	if config.enforce {
		let (own, lookout) = own::watch(config.endpoints.clone(), config.uplink.clone());
		tasks.spawn(lookout);
		// An ISP's own gatekeeper enforces for its tier as well.
		let provider = config.subscriber.map(|provider| provider.account).or(config.inbox.as_ref().map(|_| member));
		let setup = Setup {
			mode: config.mode,
			protected: config.protected.clone(),
			home: config.sensor.as_ref().map(|judge| judge.home.clone()).unwrap_or_default(),
			allowed: config.allow.clone(),
			uplink: config.uplink.clone(),
			tier: provider.map(|provider| Tier::new(provider, keyring(&config.state_dir))),
			own: Some(own),
			whitelist: config.whitelist_mode.then_some(whitelist),
			memory: memory.clone(),
			directory: config.state_dir.clone(),
			board: board.clone(),
			history: history.clone(),
		};
		let (enforcer, work) = block_in_place(|| Enforcement::open(setup))?.start();
		actor.spawn(work);
		parts.enforcer = Some(enforcer);
	}
	supervisor.ready();
	let probed = parts.enforcer.clone();
	tasks.spawn(supervisor.clone().keep_told(board.clone(), move || {
		let enforcer = probed.clone();
		async move {
			if let Some(enforcer) = enforcer {
				// The answer of one that hangs does not come; that it came is the answer.
				let _ = enforcer.cursor().await;
			}
			true
		}
	}));

	let (links, link) = channel(None);
	let chain = Arc::new(OnceLock::new());
	if let Some(genesis) = genesis {
		// The cell is new.
		let _ = chain.set(genesis);
	}
	let mut disputes = None;
	if let Some(Keys { account, envelope }) = keys {
		let (submitter, task) = Submitter::new(account, link.clone(), board.clone());
		tasks.spawn(task);
		parts.links = Some(links);
		disputes = Some(Disputes::Open(submitter.clone()));
		let (seen, popular) = (Seen::default(), popular::read(&config.popular)?);
		let lists = Lists { protected: config.protected.clone(), allowed: config.allow.clone(), popular };
		let lists = Arc::new(lists);
		parts.voter = config
			.vetting
			.map(|policy| Voter::new(member, policy, lists.clone(), seen.clone(), submitter.clone(), board.clone()));
		if let Some(policy) = config.inbox {
			let rules = Rules {
				policy,
				settings: config.reporting.clone(),
				provisional: config.provisional,
				lists,
				seen: seen.clone(),
			};
			let tray = Tray::open(&config.state_dir)?;
			parts.inbox = Some(Inbox::new(member, envelope.clone(), rules, tray, submitter.clone(), board.clone()));
		}
		let mut outlet = Outlet::Open { provisional: config.provisional };
		if let Some(provider) = config.subscriber {
			let sealer = Sealer::new(member, provider, chain.clone());
			outlet = Outlet::Sealed(Box::new(sealer.clone()));
			disputes = Some(Disputes::Sealed(Box::new(sealer.clone()), submitter.clone()));
			let (keyring, directory) = (keyring(&config.state_dir), config.state_dir.clone());
			let (submitter, board) = (submitter.clone(), board.clone());
			parts.household = Some(Household::new(household::Setup {
				sealer,
				keypair: envelope,
				keyring,
				directory,
				memory: memory.clone(),
				submitter,
				board,
				whitelists,
			}));
		}
		if let Some(judge) = config.sensor {
			let directory = &config.state_dir;
			let (reports, work) = Reports::open(directory, outlet, submitter, link, board.clone())?;
			tasks.spawn(work);
			let reporter = Reporter::new(config.reporting);
			let sensor = Sensor::new(judge, reporter, seen, Archive::new(directory), reports, board.clone());
			let sensor = Arc::new(Mutex::new(sensor));
			for source in config.alerts {
				let (sensor, format) = (sensor.clone(), source.format);
				match source.place {
					Place::File(path) => {
						let tail = Tail::open(&path)?;
						tasks.spawn_blocking(move || sense::follow(&sensor, format, &path, tail));
					}
					Place::Socket(path, kind, mode) => {
						let socket = Socket::bind(&path, kind, mode)?;
						tasks.spawn(socket.serve(move |line| sense::deliver(&sensor, format, line)));
					}
				}
			}
			if let Some(capture) = &config.capture {
				let (watch, answers) = Watch::start(capture, &config.detectors, parts.enforcer.clone(), &sensor)?;
				tasks.spawn(answers);
				let board = board.clone();
				eyes.spawn(watch.keep_counted(board));
			}
		}
	}

	let desk = Desk::new(parts.enforcer.clone(), board.clone(), disputes, history.clone());
	let settings = observe::Settings {
		metrics: config.metrics,
		page: config.page,
		mode: config.mode,
		state_dir: config.state_dir,
	};
	tasks.spawn(observe::serve(settings, board.clone(), history.clone(), desk.clone()));
	tasks.spawn(control.serve(desk));

	let following = Following {
		endpoints: config.endpoints,
		dialer,
		genesis,
		chain,
		heartbeat: config.heartbeat,
		stale_after: config.stale_after,
	};
	let mut sessions = Sessions::new(following, parts, memory.clone(), board.clone());
	let ended = async {
		match actor.join_next().await {
			Some(ended) => ended,
			// Nothing is enforced.
			None => pending().await,
		}
	};
	let blind = async {
		match eyes.join_next().await {
			Some(ended) => ended,
			// Nothing is captured.
			None => pending().await,
		}
	};
	let result = tokio::select! {
		() = sessions.run() => Ok(()),
		received = stop.recv() => {
			info!(at = now_ms(), signal = received, "stopping; the firewall stays in force");
			Ok(())
		},
		ended = ended => Err(ended.map_or_else(RunError::from, |()| RunError::Stopped)),
		blind = blind => Err(blind.map_or_else(RunError::from, |()| RunError::Blind)),
		Some(died) = tasks.join_next() => died.map_err(RunError::from),
	};
	supervisor.stopping();
	board.update(|status| status.endpoint = None);
	status::write(&board.snapshot(), &status_file);
	history.save();
	// Writes what could not be written when it changed.
	memory.change(|_| ())?;
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
