//! The actor that owns firewall, policy and store: what the chain, the provider and the household say in, commands for
//! the kernel out.
//!
//! It runs with or without a node. At the start the firewall is filled from the store, so that a gatekeeper enforces
//! before it has any network. From then on it takes one order after the other: verified frames and snapshots from a
//! session with a node, requests of people, and once a second its own look at the kernel and at the clock.
//!
//! What the kernel is to hold follows from the store, the household's word, the protected networks and the time alone
//! ([`Policy::settle`]). A change is taken into the store's memory, carried out in the kernel, and only then written to
//! the disk: a crash in between repeats it, which does no harm. Whatever happens to the kernel's table, it is filled anew
//! from the store.
//!
//! # Time
//!
//! Blocks end by the wall clock, or by the chain's where that is later: what the chain tells says how late it is at
//! least. What the kernel holds runs by its own timers: a clock that jumps while it does neither lengthens nor drops it.
//! If the clock was behind the chain's when the firewall was filled, as on a router without a battery, it is filled once
//! more when the clock has been put right.
//!
//! # Security considerations
//!
//! Frames and snapshots are proven before they get here; that is in their types. People are authenticated by the socket
//! or the page. The queue of orders is bounded, and so is whatever one of them may hold.

mod claims;
mod entries;
mod look;
mod orders;
mod people;
mod snapshot;
mod table;
mod verify;

pub use orders::Enforcer;

use super::{
	config::Mode,
	control::Request,
	firewall::{Conntrack, Firewall, FirewallError},
	now_ms,
	observe::history::History,
	state::{Durable, Memory, State, StateError},
	status::Board,
	store::{self, Builder, Store, StoreError},
	tier::Tier,
};
use crate::core::{
	frame::{Cursor, FrameError},
	overrides::Overrides,
	own::Own,
	policy::Policy,
	snapshot::Proven,
};
use orders::Order;
use people::open_household;
use ringfence_primitives::{Indicator, IndicatorId, Millis, Network};
use std::{
	collections::{BTreeMap, BTreeSet},
	future::Future,
	path::PathBuf,
	sync::Arc,
	time::{Duration, Instant},
};
use table::{behind, protected_by_owner};
use tokio::{
	sync::{mpsc, watch},
	task::block_in_place,
	time::{interval, MissedTickBehavior},
};
use tracing::{error, warn};
use verify::Verifying;

/// Orders that wait.
const QUEUE: usize = 64;
/// How often the kernel and the clock are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Commands that are handed to the kernel at once while it is filled.
const CHUNK: usize = 4_096;
/// Pause before the kernel is given everything anew, after it did not take a change.
const MEND_PAUSE: Duration = Duration::from_secs(10);

/// Why an order cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum EnforceError {
	/// The frame is not what comes next.
	#[error(transparent)]
	Frame(#[from] FrameError),
	/// The kernel.
	#[error(transparent)]
	Firewall(#[from] FirewallError),
	/// The active set on disk.
	#[error("store: {0}")]
	Store(#[from] StoreError),
	/// The state directory.
	#[error("state-dir: {0}")]
	State(#[from] StateError),
	/// The snapshot is older than what is here.
	#[error("the snapshot ends with entry {found}, entry {have} was applied")]
	Behind {
		/// The last entry in it.
		found: u64,
		/// The last entry here.
		have: u64,
	},
	/// The decisions of a snapshot are not those that the chain proves.
	#[error("the snapshot's {0} decisions are not what the chain proves")]
	Unproven(u64),
	/// A page or an end without a beginning.
	#[error("no snapshot was begun")]
	NotBegun,
	/// The actor is gone: the daemon is stopping.
	#[error("the enforcer has stopped")]
	Stopped,
}

impl EnforceError {
	/// Whether the server has said something that cannot be true, and is to be left.
	pub fn is_lie(&self) -> bool {
		match self {
			Self::Frame(FrameError::Gap { .. }) => false,
			Self::Frame(cause) => !cause.is_behind(),
			Self::Unproven(_) | Self::Store(StoreError::Order(_)) => true,
			_ => false,
		}
	}
}

/// Whether the subscription goes on where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Flow {
	/// It does.
	On,
	/// Something else is due now: see [`Enforcer::due`].
	Again,
}

/// What a session is to fetch next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
	/// The change log.
	Changes {
		/// The first entry that is wanted. Earlier than the one after the cursor where the log is looked through for what
		/// the provider says.
		from: u64,
	},
	/// The whole active set.
	Snapshot,
}

/// What the actor is made of.
pub struct Setup {
	/// What the kernel is told.
	pub mode: Mode,
	/// Networks that must never be blocked, by the configuration.
	pub protected: Vec<Network>,
	/// Own networks, by the configuration: what is protected within them may be defended by a flow to it.
	pub home: Vec<Network>,
	/// Networks that get through, by the configuration.
	pub allowed: Vec<Network>,
	/// Interfaces towards the Internet.
	pub uplink: Vec<String>,
	/// Whose word for its own subscribers counts here.
	pub tier: Option<Tier>,
	/// What the gateway itself needs.
	pub own: Option<watch::Receiver<Arc<BTreeSet<Own>>>>,
	/// Who alone may come in. None: everybody.
	pub whitelist: Option<watch::Receiver<Option<Vec<Network>>>>,
	/// What is remembered beside the active set.
	pub memory: Memory,
	/// The state directory.
	pub directory: PathBuf,
	/// Where what is done is shown.
	pub board: Arc<Board>,
	/// And remembered for a day.
	pub history: Arc<History>,
}

/// Firewall, policy and store.
pub struct Enforcement {
	/// None in a dry run; else only after a failure to open it, until the next look.
	firewall: Option<Firewall>,
	conntrack: Option<Conntrack>,
	setup: Setup,
	policy: Policy,
	store: Store,
	household: Overrides,
	/// What has to be decided anew, and when.
	again: BTreeMap<(Millis, IndicatorId), Indicator>,
	/// A snapshot that is being taken in.
	replacement: Option<(Proven, Builder)>,
	/// Whether a snapshot is due.
	fetch: bool,
	/// Whether the clock was behind the chain's when the firewall was filled.
	blind: bool,
	/// When the kernel is given everything anew: it did not take a change that the store has.
	mend_at: Option<Instant>,
	failures: u32,
	compact_at: Instant,
	verifying: Vec<Verifying>,
	wanted: watch::Sender<u64>,
}

impl Enforcement {
	/// Opens store and firewall, and fills the firewall from the store: what that has is in force when this returns. A
	/// table that was left in force by an earlier process is adopted. Takes up to 1.5 s with a million decisions.
	pub fn open(mut setup: Setup) -> Result<Self, EnforceError> {
		let (store, damage) = Store::open(&setup.directory)?;
		if let Some(cause) = damage {
			error!(at = now_ms(), %cause, "the active set on disk is damaged: it is fetched anew");
		}
		let household = open_household(&setup.directory)?;
		let mut policy = Policy::new(protected_by_owner(&mut setup));
		policy.set_home(behind(&setup));
		policy.set_learned(store.protected().iter().copied());
		let conntrack = match setup.mode {
			Mode::Enforce => Conntrack::open().unwrap_or_else(|cause| {
				warn!(at = now_ms(), %cause, "established connections cannot be cut");
				None
			}),
			Mode::Canary | Mode::DryRun => None,
		};
		let mut this = Self {
			firewall: None,
			conntrack,
			policy,
			fetch: store.cursor() == Cursor::START,
			store,
			household,
			again: BTreeMap::new(),
			replacement: None,
			blind: false,
			mend_at: None,
			failures: 0,
			compact_at: Instant::now(),
			verifying: Vec::new(),
			wanted: watch::Sender::new(0),
			setup,
		};
		this.open_table()?;
		this.show();
		Ok(this)
	}

	/// The handle, and the task that carries orders out. It ends when no handle is left, or the kernel cannot be
	/// programmed any more.
	pub fn start(self) -> (Enforcer, impl Future<Output = ()> + Send) {
		let (orders, queue) = mpsc::channel(QUEUE);
		let wanted = self.wanted.subscribe();
		(Enforcer { orders, wanted }, self.run(queue))
	}

	async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
		let mut ticks = interval(TICK);
		ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
		loop {
			tokio::select! {
				order = orders.recv() => match order {
					Some(order) => block_in_place(|| self.carry_out(order)),
					None => return,
				},
				_ = ticks.tick() => if !block_in_place(|| self.tick()) {
					return;
				},
			}
		}
	}

	/// Whoever asked may have gone: then nobody hears the answer, and that is no error.
	fn carry_out(&mut self, order: Order) {
		match order {
			Order::Due(reply) => {
				let _ = reply.send(self.due());
			}
			Order::Cursor(reply) => {
				let _ = reply.send(self.store.cursor());
			}
			Order::Apply(frame, reply) => {
				let applied = self.apply(&frame);
				let _ = reply.send(self.or_anew(applied));
			}
			Order::Heartbeat(heartbeat, reply) => {
				let _ = reply.send(Ok(self.heartbeat(&heartbeat)));
			}
			Order::Pruned(reply) => {
				self.fetch = true;
				let _ = reply.send(());
			}
			Order::Begin(proven, reply) => {
				let _ = reply.send(self.begin(*proven));
			}
			Order::Page(decisions, reply) => {
				let _ = reply.send(self.page(&decisions));
			}
			Order::End(count, reply) => {
				let _ = reply.send(self.end(count));
			}
			Order::Abandon(reply) => {
				self.replacement = None;
				let _ = reply.send(());
			}
			// Who does not wait any more was told that it is not done, and must not keep the chain waiting.
			Order::Person(_, reply) if reply.is_closed() => {}
			Order::Person(Request::Verify, reply) => self.begin_verifying(reply),
			Order::Person(request, reply) => {
				let _ = reply.send(self.answer(request));
			}
		}
	}

	/// What is to be fetched next.
	pub fn due(&mut self) -> Due {
		// Whoever asks does not go on with a snapshot.
		self.replacement = None;
		match self.fetch {
			true => Due::Snapshot,
			false => Due::Changes { from: self.store.backfill().unwrap_or_else(|| self.store.cursor().due()) },
		}
	}

	/// How far the change log was applied.
	pub const fn cursor(&self) -> Cursor {
		self.store.cursor()
	}

	fn now(&self) -> Millis {
		store::now(&self.store)
	}

	/// What failed may be in the store and not in the kernel: that is given everything anew soon, or at the next start.
	fn mind<T>(&mut self, result: Result<T, EnforceError>) -> Result<T, EnforceError> {
		if let Err(EnforceError::Firewall(_) | EnforceError::Store(StoreError::Io { .. })) = &result {
			self.mend_at.get_or_insert_with(|| Instant::now() + MEND_PAUSE);
			self.memorize(|state| state.lists = None);
		}
		result
	}

	/// The store is damaged: it is dropped, and fetched again. What the kernel holds stays until then, over a restart as
	/// well: the lists that it was filled under are not forgotten.
	fn or_anew(&mut self, result: Result<Flow, EnforceError>) -> Result<Flow, EnforceError> {
		let cause = match result {
			Err(EnforceError::Store(cause @ StoreError::Corrupt { .. })) => cause,
			other => return other,
		};
		error!(at = now_ms(), %cause, "the active set on disk is damaged: it is fetched anew");
		self.replacement = None;
		self.store.reset()?;
		self.setup.tier.iter_mut().for_each(Tier::forget);
		self.fetch = true;
		Ok(Flow::Again)
	}

	/// Remembers something. A state that cannot be written costs that the table is filled anew at the next start.
	fn memorize(&self, change: impl FnOnce(&mut State)) {
		if let Err(cause) = self.setup.memory.change(change) {
			warn!(at = now_ms(), %cause, "state not written");
		}
	}

	/// Writes what changed. What the disk does not take is kept in memory, and tried again.
	fn keep(&mut self, durable: Durable) {
		let failure = self.store.commit(durable).err().map(|cause| cause.to_string());
		self.complain(failure);
	}

	/// Shows that the store cannot be written, and says so once.
	fn complain(&self, failure: Option<String>) {
		let mut news = None;
		self.board(|status| {
			if status.store != failure {
				news.clone_from(&failure);
				status.store = failure;
			}
		});
		if let Some(cause) = news {
			error!(at = now_ms(), cause, "the active set cannot be written: what changes is kept in memory");
		}
	}

	fn board(&self, change: impl FnOnce(&mut super::status::Status)) {
		self.setup.board.update(change);
	}

	fn show(&self) {
		let (seq, active) = (self.store.cursor().seq, self.store.count() + self.store.tier().len() as u64);
		self.board(|status| {
			status.seq = seq;
			status.active = Some(active);
		});
	}
}

#[cfg(test)]
mod tests;
