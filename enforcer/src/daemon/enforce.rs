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

use super::{
	config::Mode,
	control::{self, Agreement, Answer, Exempt, Request, Source, Why},
	firewall::{self, Allowed, Applied, Conntrack, Firewall, FirewallError, Local, Opened, Peers},
	now_ms,
	observe::history::{Event, History, Outcome},
	state::{self, Durable, Memory, State, StateError},
	status::Board,
	store::{self, Builder, Store, StoreError},
	tier::Tier,
};
use crate::core::{
	blake2_256,
	frame::{Cursor, Frame, FrameError, Heartbeat, Verified},
	hex,
	overrides::{self, Override, Overrides, Verdict},
	own::Own,
	policy::{Decided, Policy, Refusal},
	ruleset::{Action, Command, Direction, Target},
	snapshot::Proven,
};
use codec::Encode;
use ringfence_primitives::{
	envelope::TierChange, Address, Change, ChangeKind, Confidence, Decision, Digest, Indicator, IndicatorId, Lifetime,
	Millis, Network, Severity, ThreatClass,
};
use std::{
	collections::{BTreeMap, BTreeSet},
	future::{pending, Future},
	path::PathBuf,
	sync::Arc,
	time::{Duration, Instant},
};
use tokio::{
	sync::{mpsc, oneshot, watch},
	task::block_in_place,
	time::{interval, MissedTickBehavior},
};
use tracing::{error, info, warn};

/// Orders that wait.
const QUEUE: usize = 64;
/// How often the kernel and the clock are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Looks in a row that may fail before the daemon stops, so that whoever watches it starts it anew.
const MAX_FAILURES: u32 = 10;
/// Commands that are handed to the kernel at once while it is filled.
const CHUNK: usize = 4_096;
/// Indicators that wait to be decided anew: more than there can be claims beside the chain's.
const MAX_AGAIN: usize = 20_000;
/// How long a verification waits for a node to prove the chain's digest.
const PATIENCE: Duration = Duration::from_secs(8);
/// Verifications at a time.
const MAX_VERIFYING: usize = 8;
/// Pause after the files of the store could not be merged: that writes the whole set.
const COMPACT_PAUSE: Duration = Duration::from_secs(60);
/// Pause before the kernel is given everything anew, after it did not take a change.
const MEND_PAUSE: Duration = Duration::from_secs(10);
/// What the kernel forgets within this many milliseconds is not missed.
const SOON: Millis = 5_000;
/// Milliseconds that the kernel keeps a block at the most; what is to last longer is renewed at half of it.
const LONGEST: Millis = Lifetime::MAX.get() as Millis * 1_000;

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

enum Order {
	Due(oneshot::Sender<Due>),
	Cursor(oneshot::Sender<Cursor>),
	Apply(Box<Frame>, oneshot::Sender<Result<Flow, EnforceError>>),
	Heartbeat(Box<Heartbeat>, oneshot::Sender<Result<Flow, EnforceError>>),
	Pruned(oneshot::Sender<()>),
	Begin(Box<Proven>, oneshot::Sender<Result<(), EnforceError>>),
	Page(Vec<Decision>, oneshot::Sender<Result<(), EnforceError>>),
	End(u64, oneshot::Sender<Result<(), EnforceError>>),
	Abandon(oneshot::Sender<()>),
	Person(Request, oneshot::Sender<Answer>),
}

/// Where orders are given. Each method waits until its order is carried out.
#[derive(Clone, Debug)]
pub struct Enforcer {
	orders: mpsc::Sender<Order>,
	wanted: watch::Receiver<u64>,
}

impl Enforcer {
	/// None: the actor is gone.
	async fn put<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
		let (reply, answer) = oneshot::channel();
		self.orders.send(order(reply)).await.ok()?;
		answer.await.ok()
	}

	async fn put_result<T>(
		&self,
		order: impl FnOnce(oneshot::Sender<Result<T, EnforceError>>) -> Order,
	) -> Result<T, EnforceError> {
		self.put(order).await.unwrap_or(Err(EnforceError::Stopped))
	}

	/// What is to be fetched next. Never comes back once the actor is gone.
	pub async fn due(&self) -> Due {
		match self.put(Order::Due).await {
			Some(due) => due,
			None => pending().await,
		}
	}

	/// How far the change log was applied. Never comes back once the actor is gone.
	pub async fn cursor(&self) -> Cursor {
		match self.put(Order::Cursor).await {
			Some(cursor) => cursor,
			None => pending().await,
		}
	}

	/// Applies what is new in `frame`.
	pub async fn apply(&self, frame: Verified<Frame>) -> Result<Flow, EnforceError> {
		self.put_result(|reply| Order::Apply(Box::new(frame.into_inner()), reply)).await
	}

	/// Compares the digest, if there is one and both are at the same entry.
	pub async fn heartbeat(&self, heartbeat: Verified<Heartbeat>) -> Result<Flow, EnforceError> {
		self.put_result(|reply| Order::Heartbeat(Box::new(heartbeat.into_inner()), reply)).await
	}

	/// The log no longer reaches back to the entry that is due.
	pub async fn pruned(&self) {
		self.put(Order::Pruned).await;
	}

	/// Begins a snapshot. One that was begun before is given up.
	pub async fn begin(&self, proven: Proven) -> Result<(), EnforceError> {
		self.put_result(|reply| Order::Begin(Box::new(proven), reply)).await
	}

	/// Takes in its next page.
	pub async fn page(&self, decisions: Vec<Decision>) -> Result<(), EnforceError> {
		self.put_result(|reply| Order::Page(decisions, reply)).await
	}

	/// Compares it, of which the server says that it has `count` decisions, with what the chain proves, and puts it in
	/// force. After an error everything is as it was before.
	pub async fn end(&self, count: u64) -> Result<(), EnforceError> {
		self.put_result(|reply| Order::End(count, reply)).await
	}

	/// Gives the snapshot up, if one was begun.
	pub async fn abandon(&self) {
		self.put(Order::Abandon).await;
	}

	/// Answers a person.
	pub async fn ask(&self, request: Request) -> Answer {
		let stopped = || Answer::Failed { cause: EnforceError::Stopped.to_string() };
		self.put(|reply| Order::Person(request, reply)).await.unwrap_or_else(stopped)
	}

	/// Changes each time when a heartbeat with digest is wanted at once.
	pub fn wanted(&self) -> watch::Receiver<u64> {
		self.wanted.clone()
	}
}

/// A person who waits for the chain's digest.
struct Verifying {
	until: Instant,
	reply: oneshot::Sender<Answer>,
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

/// Who tells something.
enum Told<'a> {
	Chain(&'a ChangeKind),
	Tier(TierChange),
}

/// What follows from one thing that was told.
struct Entry<'a> {
	seq: u64,
	/// What it is about: the name of the indicator, or the network.
	id: String,
	verb: &'static str,
	told: Told<'a>,
	command: Command,
	refused: Option<Refusal>,
}

/// Everything that is claimed, and what follows.
struct Judge<'a> {
	policy: &'a Policy,
	tier: &'a BTreeMap<IndicatorId, Decision>,
	household: &'a Overrides,
	now: Millis,
}

impl Judge<'_> {
	/// What follows for `indicator`, about which the chain has decided this.
	fn settle(&self, indicator: &Indicator, chain: Option<Decision>) -> Decided {
		let mut claims: Vec<Decision> = chain.into_iter().collect();
		if !self.tier.is_empty() {
			claims.extend(self.tier.get(&indicator.id()).cloned());
		}
		let wish = network(indicator).and_then(|network| self.household.get(&network));
		let wish = wish.filter(|wish| wish.verdict == Verdict::Block && wish.in_force(self.now));
		claims.extend(wish.map(|wish| self.claim(wish, indicator)));
		let mut decided = self.policy.settle(indicator, &claims, self.now);
		// The kernel would forget it before its time.
		let horizon = self.now.saturating_add(LONGEST);
		if wish.is_some_and(|wish| wish.until.is_none_or(|until| until > horizon)) {
			let half = self.now.saturating_add(LONGEST / 2);
			decided.again_at = Some(decided.again_at.map_or(half, |at| at.min(half)));
		}
		decided
	}

	/// The household's wish in the form of a decision.
	fn claim(&self, wish: &Override, indicator: &Indicator) -> Decision {
		let horizon = self.now.saturating_add(LONGEST);
		Decision {
			indicator: indicator.clone(),
			direction: Direction::Both,
			action: Action::Drop,
			threat: ThreatClass::Other,
			severity: Severity::High,
			confidence: Confidence::MAX,
			expires_at: wish.until.map_or(horizon, |until| until.min(horizon)),
		}
	}
}

/// The network that an indicator is, if it is one.
fn network(indicator: &Indicator) -> Option<Network> {
	match indicator {
		Indicator::Host(address) => Some(Network::host(*address)),
		Indicator::Network(network) => Some(*network),
		Indicator::Endpoint(_) | Indicator::Flow(_) => None,
	}
}

const fn is_block(command: &Command) -> bool {
	matches!(command, Command::Block { .. } | Command::BlockFlow { .. })
}

fn remember(again: &mut BTreeMap<(Millis, IndicatorId), Indicator>, indicator: &Indicator, decided: &Decided) {
	let Some(at) = decided.again_at else { return };
	again.insert((at, indicator.id()), indicator.clone());
	if again.len() > MAX_AGAIN {
		// The last ends last, and its end costs no more than that another claim takes effect late.
		again.pop_last();
	}
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

	/// What the owner wants of the firewall.
	fn local(&mut self) -> Local {
		let now = self.now();
		let household = self.household.allowed(now);
		let household = household.map(|wish| Allowed { network: wish.network, timeout_ms: wish.left_ms(now) });
		// The configuration's goes last: it has no end.
		let allowed = household.chain(self.setup.allowed.iter().copied().map(Allowed::from));
		let allowed: BTreeMap<Network, Allowed> = allowed.map(|allowed| (allowed.network, allowed)).collect();
		Local {
			protected: self.policy.owners().iter().copied().collect(),
			allowed: allowed.into_values().collect(),
			mode: match self.setup.mode {
				Mode::Enforce => crate::core::ruleset::Mode::Enforce,
				Mode::Canary | Mode::DryRun => crate::core::ruleset::Mode::Canary,
			},
			uplinks: self.setup.uplink.clone(),
			whitelist: self.setup.whitelist.as_mut().and_then(|list| list.borrow_and_update().clone()),
		}
	}

	/// What distinguishes a table that was filled under other lists: what these kept out is not in it, nor what the
	/// household has wanted blocked since.
	fn lists(&self) -> Digest {
		let wishes = self.household.iter().filter(|wish| wish.verdict == Verdict::Block);
		let wishes: Vec<(Network, Option<Millis>)> = wishes.map(|wish| (wish.network, wish.until)).collect();
		blake2_256(&(self.policy.owners(), wishes).encode())
	}

	/// Remembers that the table follows from the lists of now, where it does: else the next start fills it anew.
	fn remember_lists(&self) {
		let follows = self.firewall.is_some() && !self.blind && self.mend_at.is_none();
		let lists = follows.then(|| self.lists());
		self.memorize(|state| state.lists = lists);
	}

	/// What failed may be in the store and not in the kernel: that is given everything anew soon, or at the next start.
	fn mind<T>(&mut self, result: Result<T, EnforceError>) -> Result<T, EnforceError> {
		if let Err(EnforceError::Firewall(_) | EnforceError::Store(StoreError::Io { .. })) = &result {
			self.mend_at.get_or_insert_with(|| Instant::now() + MEND_PAUSE);
			self.memorize(|state| state.lists = None);
		}
		result
	}

	/// Remembers something. A state that cannot be written costs that the table is filled anew at the next start.
	fn memorize(&self, change: impl FnOnce(&mut State)) {
		if let Err(cause) = self.setup.memory.change(change) {
			warn!(at = now_ms(), %cause, "state not written");
		}
	}

	fn open_table(&mut self) -> Result<(), EnforceError> {
		if self.setup.mode == Mode::DryRun {
			// A table that an earlier process left does not follow what is decided from now on.
			self.memorize(|state| state.lists = None);
			return Ok(());
		}
		// A table has one owner: ours must let go of it first. And its mark is on disk before any table bears it.
		self.firewall = None;
		self.memorize(|_| ());
		let (token, lists) = self.setup.memory.read(|state| (state.token, state.lists));
		let (firewall, opened) = Firewall::open(token, &self.local())?;
		self.firewall = Some(firewall);
		info!(at = now_ms(), table = ?opened, seq = self.store.cursor().seq, "firewall");
		match opened {
			Opened::Adopted if lists == Some(self.lists()) => self.review(),
			_ => self.fill(),
		}
	}

	/// Whether the table is there and whole, or none is wanted.
	fn is_intact(&mut self) -> Result<bool, EnforceError> {
		match &mut self.firewall {
			Some(firewall) => Ok(firewall.is_intact()?),
			None => Ok(self.setup.mode == Mode::DryRun),
		}
	}

	/// Builds a new table, and fills it from the store.
	fn rebuild(&mut self) -> Result<(), EnforceError> {
		warn!(at = now_ms(), "the firewall's table is gone or changed: building it anew");
		self.memorize(State::remark);
		self.open_table()
	}

	/// Fills the firewall from the store, beside what it holds, and swaps. Then it holds what it should and nothing else, and
	/// the established connections of those who are dropped are ended.
	fn fill(&mut self) -> Result<(), EnforceError> {
		let (now, began) = (self.now(), Instant::now());
		let mut peers = self.peers();
		self.blind = now_ms() < self.store.clock();
		self.again.clear();
		let Self { firewall: Some(firewall), store, policy, household, again, .. } = self else { return Ok(()) };
		let judge = Judge { policy, tier: store.tier(), household, now };
		let mut loading = firewall.loading()?;
		let loaded = every(store, &judge, again, |commands| {
			commands.iter().for_each(|command| peers.note(command));
			tell_flows(&firewall.load(&mut loading, commands)?);
			Ok(())
		});
		let blocks = match loaded {
			Ok(blocks) => blocks,
			Err(error) => {
				// The error in hand says more than that of tidying up after it.
				let _ = firewall.abandon(loading);
				return Err(error);
			}
		};
		firewall.swap(loading)?;
		self.remember_lists();
		self.end_connections(&peers.dropped());
		let took_ms = began.elapsed().as_millis() as u64;
		info!(at = now_ms(), blocks, took_ms, seq = self.store.cursor().seq, "filled from the store");
		Ok(())
	}

	/// After a table was adopted: finds out what has to be decided anew one day, and tells the firewall the flows that it
	/// had no room for and so forgot.
	fn review(&mut self) -> Result<(), EnforceError> {
		let now = self.now();
		self.blind = now_ms() < self.store.clock();
		self.again.clear();
		let Self { firewall: Some(firewall), store, policy, household, again, .. } = self else { return Ok(()) };
		let judge = Judge { policy, tier: store.tier(), household, now };
		every(store, &judge, again, |commands| {
			let flows = commands.iter().filter(|command| matches!(command, Command::BlockFlow { .. }));
			let flows: Vec<Command> = flows.copied().collect();
			if !flows.is_empty() {
				tell_flows(&firewall.apply(&flows)?);
			}
			Ok(())
		})?;
		Ok(())
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

	/// Applies what is new in `frame`, which was verified.
	pub fn apply(&mut self, frame: &Frame) -> Result<Flow, EnforceError> {
		let applied = self.take_in(frame);
		self.mind(applied)
	}

	fn take_in(&mut self, frame: &Frame) -> Result<Flow, EnforceError> {
		let news = match frame.news(&self.store.cursor()) {
			Ok(news) => news,
			// The frame is proven: it is the store that tells another story.
			Err(FrameError::Forked(_)) => return Err(self.store.disowned().into()),
			Err(error) => return Err(error.into()),
		};
		let mut entries = self.look_back(frame)?;
		let (mut networks, mut sealed, mut failure) = (Vec::new(), 0_u64, None);
		for change in news {
			match self.consider(change, &mut networks) {
				Ok(Some(entry)) => entries.push(entry),
				Ok(None) => sealed += 1,
				// What went before is in the store, and is enforced whatever comes.
				Err(error) => {
					failure = Some(error);
					break;
				}
			}
		}
		self.enforce(&entries, frame.block.number)?;
		self.board(|status| status.counts.passed_over += sealed);
		self.reconsider(&networks)?;
		if let Some(error) = failure {
			return Err(error);
		}
		let at_head = self.store.cursor().seq >= frame.head.seq;
		if !news.is_empty() || at_head {
			self.keep(if at_head { Durable::Yes } else { Durable::No });
		}
		self.show();
		Ok(Flow::On)
	}

	/// After a snapshot: what the provider says in entries before it.
	fn look_back<'a>(&mut self, frame: &'a Frame) -> Result<Vec<Entry<'a>>, EnforceError> {
		let Some(from) = self.store.backfill() else { return Ok(Vec::new()) };
		if let Some(first) = frame.changes.first().filter(|first| first.seq > from) {
			// A node that left them out could keep the provider's word back.
			return Err(FrameError::Gap { due: from, found: first.seq }.into());
		}
		let until = self.store.cursor().seq;
		let mut entries = Vec::new();
		for change in frame.changes.iter().filter(|change| (from..=until).contains(&change.seq)) {
			entries.extend(self.consider_sealed(change)?);
		}
		let next = frame.changes.last().map_or(from, |last| last.seq.saturating_add(1).max(from));
		self.store.set_backfill(Some(next).filter(|next| *next <= until));
		Ok(entries)
	}

	/// Takes `change` into the store, and says what follows. Networks that are protected from now on, or no longer, are
	/// added to `networks`: what overlaps them is to be reconsidered.
	fn consider<'a>(
		&mut self,
		change: &'a Change,
		networks: &mut Vec<Network>,
	) -> Result<Option<Entry<'a>>, EnforceError> {
		self.store.record(change)?;
		let indicator = match &change.kind {
			ChangeKind::Activated(decision) | ChangeKind::Extended(decision) => &decision.indicator,
			ChangeKind::Revoked(indicator) | ChangeKind::Expired(indicator) => indicator,
			ChangeKind::Protected(network) | ChangeKind::Unprotected(network) => {
				let command = match change.kind {
					ChangeKind::Protected(_) => {
						self.policy.learn(*network);
						Command::Protect(*network)
					}
					_ => {
						self.policy.unlearn(network);
						Command::Unprotect(*network)
					}
				};
				networks.push(*network);
				return Ok(Some(Entry {
					seq: change.seq,
					id: network.to_string(),
					verb: verb(&change.kind),
					told: Told::Chain(&change.kind),
					command,
					refused: None,
				}));
			}
			ChangeKind::Tier1(..) => return self.consider_sealed(change),
		};
		let decided = self.settle(indicator)?;
		Ok(Some(Entry {
			seq: change.seq,
			id: hex::encode(&indicator.id()),
			verb: verb(&change.kind),
			told: Told::Chain(&change.kind),
			command: decided.command,
			refused: decided.refused,
		}))
	}

	/// None for what a provider tells subscribers of whom this is none, or cannot be opened yet.
	fn consider_sealed<'a>(&mut self, change: &'a Change) -> Result<Option<Entry<'a>>, EnforceError> {
		let ChangeKind::Tier1(provider, sealed) = &change.kind else { return Ok(None) };
		let Some(tier) = &mut self.setup.tier else { return Ok(None) };
		match tier.open(change.seq, provider, sealed) {
			Some(told) => self.consider_tier(change.seq, told),
			None => Ok(None),
		}
	}

	/// None for what there is no room for: the provider's surplus must not keep the chain's word out.
	fn consider_tier<'a>(&mut self, seq: u64, told: TierChange) -> Result<Option<Entry<'a>>, EnforceError> {
		let (indicator, verb) = match &told {
			TierChange::Block(decision) => (decision.indicator.clone(), "activated for the tier"),
			TierChange::Unblock(indicator) => (indicator.clone(), "revoked for the tier"),
		};
		match &told {
			TierChange::Block(decision) => {
				if let Err(cause) = self.store.put_tier(decision.clone()) {
					error!(at = now_ms(), seq, %indicator, %cause, "not enforced");
					return Ok(None);
				}
			}
			TierChange::Unblock(indicator) => self.store.remove_tier(&indicator.id()),
		}
		let Decided { command, refused, .. } = self.settle(&indicator)?;
		Ok(Some(Entry { seq, id: hex::encode(&indicator.id()), verb, told: Told::Tier(told), command, refused }))
	}

	/// What follows for `indicator` from all that is claimed about it.
	fn settle(&mut self, indicator: &Indicator) -> Result<Decided, EnforceError> {
		let chain = self.store.get(&indicator.id())?;
		let now = self.now();
		let judge = Judge { policy: &self.policy, tier: self.store.tier(), household: &self.household, now };
		let decided = judge.settle(indicator, chain);
		remember(&mut self.again, indicator, &decided);
		Ok(decided)
	}

	/// Carries entries out, and tells what became of them. `block` is the one that they were read in; 0 if that is long ago.
	fn enforce(&mut self, entries: &[Entry], block: u32) -> Result<(), EnforceError> {
		if entries.is_empty() {
			return Ok(());
		}
		let commands: Vec<Command> = entries.iter().map(|entry| entry.command).collect();
		let failed = self.command(&commands)?;
		let (mut enforced, mut passed_over) = (0_u64, 0_u64);
		for (index, entry) in entries.iter().enumerate() {
			let failure = failed.get(&index);
			match (failure, entry.refused) {
				(None, None) => enforced += 1,
				(None, Some(_)) => passed_over += 1,
				(Some(_), _) => {}
			}
			entry.tell(block, failure.map(String::as_str), &self.setup.history);
		}
		let failed = failed.len() as u64;
		self.board(|status| {
			status.counts.enforced += enforced;
			status.counts.passed_over += passed_over;
			status.counts.failed += failed;
		});
		Ok(())
	}

	/// Hands commands to the kernel. Those that it will not have do not keep the others out: they come back, by their
	/// place. What the commands follow from is in the store already, so a table that is gone is simply filled anew.
	fn command(&mut self, commands: &[Command]) -> Result<BTreeMap<usize, String>, EnforceError> {
		let mut failed = BTreeMap::new();
		if self.setup.mode == Mode::DryRun || commands.is_empty() {
			return Ok(failed);
		}
		let Some(firewall) = &mut self.firewall else {
			self.rebuild()?;
			return Ok(failed);
		};
		match firewall.apply(commands) {
			Ok(applied) => tell_flows(&applied),
			Err(cause) => {
				if !firewall.is_intact()? {
					self.rebuild()?;
					return Ok(failed);
				}
				warn!(at = now_ms(), %cause, "applying changes one by one");
				for (index, command) in commands.iter().enumerate() {
					match firewall.apply(std::slice::from_ref(command)) {
						Ok(applied) => tell_flows(&applied),
						Err(cause) => drop(failed.insert(index, cause.to_string())),
					}
				}
			}
		}
		self.cut(commands);
		Ok(failed)
	}

	/// Who has connections now.
	fn peers(&mut self) -> Peers {
		let Some(conntrack) = &mut self.conntrack else { return Peers::default() };
		conntrack.peers().unwrap_or_else(|cause| {
			warn!(at = now_ms(), %cause, "established connections cannot be read");
			Peers::default()
		})
	}

	/// Ends the established connections of peers that are dropped from now on.
	fn cut(&mut self, commands: &[Command]) {
		let targets = commands.iter().filter_map(|command| match command {
			Command::Block { target, action: Action::Drop, .. } => Some(*target),
			_ => None,
		});
		let targets: Vec<Target> = targets.collect();
		self.end_connections(&targets);
	}

	fn end_connections(&mut self, targets: &[Target]) {
		let Some(conntrack) = &mut self.conntrack else { return };
		if targets.is_empty() {
			return;
		}
		let now = store::now(&self.store);
		let allowed = self.household.allowed(now).map(|wish| wish.network);
		let spared = self.policy.protected().copied().chain(self.setup.allowed.iter().copied()).chain(allowed);
		let spared: Vec<Network> = spared.collect();
		match conntrack.cut(targets, &spared) {
			Ok(0) => {}
			Ok(connections) => info!(at = now_ms(), connections, "cut"),
			Err(cause) => warn!(at = now_ms(), %cause, "established connections were not cut"),
		}
	}

	/// Decides anew about all that overlaps one of `networks`, which are protected from now on, or no longer. Goes through
	/// the set once, however many they are.
	fn reconsider(&mut self, networks: &[Network]) -> Result<(), EnforceError> {
		if networks.is_empty() {
			return Ok(());
		}
		let overlaps = |indicator: &Indicator| {
			indicator.networks().any(|other| networks.iter().any(|network| other.overlaps(network)))
		};
		let mut found: Vec<Indicator> = Vec::new();
		let now = self.now();
		let household = self.household.blocked(now).map(|wish| Indicator::from(wish.network));
		let tier = self.store.tier().values().map(|decision| decision.indicator.clone());
		found.extend(household.chain(tier).filter(|indicator| overlaps(indicator)));
		let mut after = None;
		// In portions, so that a wide network does not need the set in memory.
		loop {
			let mut more = false;
			{
				let mut walk = self.store.walk(after);
				while let Some(decision) = walk.next()? {
					if overlaps(&decision.indicator) {
						let id = decision.indicator.id();
						after = Some(u64::from_be_bytes(std::array::from_fn(|index| id[index])));
						found.push(decision.indicator);
						if found.len() >= CHUNK {
							more = true;
							break;
						}
					}
				}
			}
			let mut commands = Vec::with_capacity(found.len());
			for indicator in found.drain(..) {
				commands.push(self.settle(&indicator)?.command);
			}
			self.command(&commands)?;
			if !more {
				return Ok(());
			}
		}
	}

	/// Compares digests.
	pub fn heartbeat(&mut self, heartbeat: &Heartbeat) -> Flow {
		let Some(digest) = &heartbeat.digest else { return Flow::On };
		let cursor = self.store.cursor();
		if heartbeat.head.seq != cursor.seq || self.fetch {
			// One of the two has seen more than the other.
			return Flow::On;
		}
		let same = digest == self.store.digest() && cursor.hash.is_none_or(|hash| hash == heartbeat.head.hash);
		if !same {
			error!(
				at = now_ms(),
				seq = cursor.seq,
				here = hex::encode(&self.store.digest().checksum()),
				chain = hex::encode(&digest.checksum()),
				"the active set differs from the chain's: it is fetched anew"
			);
			self.fetch = true;
		}
		let agreement = if same { Agreement::Same } else { Agreement::Differs };
		let waiting = std::mem::take(&mut self.verifying);
		self.tell_verified(waiting, agreement);
		if same {
			Flow::On
		} else {
			Flow::Again
		}
	}

	/// Begins a snapshot.
	pub fn begin(&mut self, proven: Proven) -> Result<(), EnforceError> {
		// Both would write to the same file.
		self.replacement = None;
		let (head, cursor) = (proven.head(), self.store.cursor());
		if head.seq < cursor.seq {
			return Err(EnforceError::Behind { found: head.seq, have: cursor.seq });
		}
		let unread = self.store.backfill().unwrap_or_else(|| cursor.due()).max(head.oldest.max(1));
		let backfill = self.setup.tier.is_some().then_some(unread).filter(|from| *from <= head.seq);
		let cursor = Cursor { seq: head.seq, hash: Some(head.hash) };
		// A clock that stands before the block is wrong: nothing is to last longer for that.
		self.store.tell_time(proven.made_at().unwrap_or_default());
		let builder = self.store.replacement(cursor, backfill, proven.digest(), proven.protected())?;
		self.replacement = Some((proven, builder));
		Ok(())
	}

	/// Takes in a page.
	pub fn page(&mut self, decisions: &[Decision]) -> Result<(), EnforceError> {
		let Some((_, builder)) = &mut self.replacement else { return Err(EnforceError::NotBegun) };
		let pushed = decisions.iter().try_for_each(|decision| builder.push(decision));
		if pushed.is_err() {
			self.replacement = None;
		}
		Ok(pushed?)
	}

	/// Puts the snapshot in force, if it is what the chain proves.
	pub fn end(&mut self, count: u64) -> Result<(), EnforceError> {
		let Some((proven, builder)) = self.replacement.take() else { return Err(EnforceError::NotBegun) };
		if builder.count() != count || builder.digest() != Some(proven.digest()) {
			return Err(EnforceError::Unproven(builder.count()));
		}
		// Should this process die before the firewall is filled, the next one fills it.
		self.memorize(|state| state.lists = None);
		self.store.install(builder)?;
		self.policy.set_learned(self.store.protected().iter().copied());
		self.fetch = false;
		self.keep(Durable::Yes);
		let (block, seq) = (proven.block().number, self.store.cursor().seq);
		info!(at = now_ms(), block, seq, decisions = count, "the active set is what the chain proves");
		let filled = self.fill_or_rebuild();
		self.mind(filled)?;
		self.show();
		Ok(())
	}

	fn fill_or_rebuild(&mut self) -> Result<(), EnforceError> {
		if let Err(error) = self.fill() {
			if self.is_intact()? {
				return Err(error);
			}
			self.rebuild()?;
		}
		Ok(())
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

	/// Whether to go on.
	fn tick(&mut self) -> bool {
		let looked = self.look_after().map(|()| Flow::On);
		let looked = self.mind(looked);
		match self.or_anew(looked) {
			Ok(_) => self.failures = 0,
			Err(cause) => {
				self.failures += 1;
				error!(at = now_ms(), %cause, failures = self.failures, "the firewall cannot be looked after");
			}
		}
		self.failures < MAX_FAILURES
	}

	/// What is to be done once a second.
	pub fn look_after(&mut self) -> Result<(), EnforceError> {
		if self.store.is_unsaved() {
			self.keep(Durable::Yes);
		}
		// While a snapshot is being written its file is taken.
		if self.store.is_grown() && self.replacement.is_none() && Instant::now() >= self.compact_at {
			if let Err(cause) = self.store.compact() {
				self.compact_at = Instant::now() + COMPACT_PAUSE;
				self.complain(Some(cause.to_string()));
			}
		}
		self.inspect()?;
		self.follow_owner()?;
		self.end_claims()?;
		self.catch_up()?;
		let now = Instant::now();
		let (late, waiting) = std::mem::take(&mut self.verifying).into_iter().partition(|v| v.until <= now);
		self.verifying = waiting;
		self.tell_verified(late, Agreement::Unknown);
		Ok(())
	}

	/// Looks whether the table is still there and whole, and builds it anew where it is not.
	fn inspect(&mut self) -> Result<(), EnforceError> {
		if self.setup.mode == Mode::DryRun {
			return Ok(());
		}
		let Some(firewall) = &mut self.firewall else { return self.open_table() };
		if !firewall.is_intact()? {
			return self.rebuild();
		}
		firewall.tend()?;
		let counters = firewall.counters()?;
		self.setup.history.count(now_ms(), &counters);
		self.board(|status| status.firewall = Some(counters));
		if self.blind && now_ms() >= self.store.clock() {
			info!(at = now_ms(), "the clock has been put right");
			self.fill()?;
		}
		if self.mend_at.is_some_and(|at| at <= Instant::now()) {
			warn!(at = now_ms(), "the kernel did not take a change: it is given everything anew");
			self.mend_at = None;
			self.reconfigure()?;
			self.fill()?;
		}
		Ok(())
	}

	/// Follows what the gateway needs for itself, and who alone may come in.
	fn follow_owner(&mut self) -> Result<(), EnforceError> {
		let moved = self.setup.own.as_ref().is_some_and(|own| own.has_changed().unwrap_or(false));
		let listed = self.setup.whitelist.as_ref().is_some_and(|list| list.has_changed().unwrap_or(false));
		if !moved && !listed {
			return Ok(());
		}
		let networks = protected_by_owner(&mut self.setup);
		let changed = self.policy.set_protected(networks);
		self.reconfigure()?;
		for network in &changed {
			info!(at = now_ms(), %network, protected = self.policy.owners().contains(network), "own network");
		}
		self.reconsider(&changed)?;
		if !changed.is_empty() {
			self.remember_lists();
		}
		Ok(())
	}

	/// Tells the firewall the owner's word anew.
	fn reconfigure(&mut self) -> Result<(), EnforceError> {
		let local = self.local();
		let Some(firewall) = &mut self.firewall else { return Ok(()) };
		if let Err(error) = firewall.reconfigure(&local) {
			if firewall.is_intact()? {
				return Err(error.into());
			}
			self.rebuild()?;
		}
		Ok(())
	}

	/// Does what the end of the household's and the provider's words, and of one of several claims, asks for.
	fn end_claims(&mut self) -> Result<(), EnforceError> {
		let now = self.now();
		let mut indicators = self.store.expire_tier(now);
		let over = self.household.expire(now);
		if !over.is_empty() {
			if let Err(cause) = self.write_household() {
				// What is over is over, whether the file says so or not.
				warn!(at = now_ms(), %cause, "the household's word was not written");
			}
			if over.iter().any(|wish| wish.verdict == Verdict::Allow) {
				self.reconfigure()?;
			}
			indicators.extend(over.iter().map(|wish| Indicator::from(wish.network)));
		}
		while let Some(((at, _), _)) = self.again.first_key_value() {
			if *at > now || indicators.len() >= CHUNK {
				break;
			}
			indicators.extend(self.again.pop_first().map(|(_, indicator)| indicator));
		}
		let mut commands = Vec::with_capacity(indicators.len());
		for indicator in &indicators {
			commands.push(self.settle(indicator)?.command);
		}
		self.command(&commands)?;
		if over.iter().any(|wish| wish.verdict == Verdict::Block) {
			self.remember_lists();
		}
		Ok(())
	}

	/// Does what the provider's earlier entries say whose key has come since.
	fn catch_up(&mut self) -> Result<(), EnforceError> {
		let Some(tier) = &mut self.setup.tier else { return Ok(()) };
		let mut entries = Vec::new();
		for (seq, told) in tier.late() {
			entries.extend(self.consider_tier(seq, told)?);
		}
		self.enforce(&entries, 0)
	}

	fn begin_verifying(&mut self, reply: oneshot::Sender<Answer>) {
		if self.verifying.len() >= MAX_VERIFYING {
			let _ = reply.send(Answer::Refused { cause: "others are verifying already".into() });
			return;
		}
		self.verifying.push(Verifying { until: Instant::now() + PATIENCE, reply });
		self.wanted.send_modify(|times| *times = times.wrapping_add(1));
	}

	fn tell_verified(&mut self, waiting: Vec<Verifying>, digest: Agreement) {
		if waiting.is_empty() {
			return;
		}
		let answer = self.verified(digest);
		for Verifying { reply, .. } in waiting {
			// Who does not wait any more does not need it.
			let _ = reply.send(answer.clone());
		}
	}

	/// Looks whether the kernel has all that the store has, and gives it everything anew.
	fn verified(&mut self, digest: Agreement) -> Answer {
		let compared = self.compare();
		match self.mind(compared) {
			Ok(missing) => Answer::Verified(control::Verified {
				seq: self.store.cursor().seq,
				entries: self.store.count() + self.store.tier().len() as u64,
				digest,
				missing,
				healed: missing,
			}),
			Err(cause) => Answer::Failed { cause: cause.to_string() },
		}
	}

	/// How many blocks the kernel had not. Now it has them, and nothing beside.
	///
	/// What it has too much only a list of everything would show, and the kernel takes a minute to list a million elements.
	/// So the owner's lists are set anew, and all blocks filled anew beside those in force: a second, for as many.
	fn compare(&mut self) -> Result<u64, EnforceError> {
		if !self.is_intact()? {
			self.rebuild()?;
		}
		let missing = self.missing()?;
		if missing > 0 {
			warn!(at = now_ms(), missing, "the kernel lacked blocks");
		}
		self.reconfigure()?;
		self.fill_or_rebuild()?;
		Ok(missing)
	}

	/// How many blocks the kernel has not that it should have.
	fn missing(&mut self) -> Result<u64, EnforceError> {
		let now = self.now();
		let Self { firewall: Some(firewall), store, policy, household, .. } = self else { return Ok(0) };
		let judge = Judge { policy, tier: store.tier(), household, now };
		let (mut missing, mut aside) = (0_u64, BTreeMap::new());
		every(store, &judge, &mut aside, |commands| {
			let lasting = commands.iter().filter_map(|command| match *command {
				Command::Block { target, direction, action, timeout_ms } if timeout_ms > SOON => {
					Some((target, direction, action))
				}
				_ => None,
			});
			let lasting: Vec<(Target, Direction, Action)> = lasting.collect();
			missing += firewall.missing(&lasting)?.len() as u64;
			Ok(())
		})?;
		Ok(missing)
	}

	/// Answers a person.
	pub fn answer(&mut self, request: Request) -> Answer {
		let failed = |cause: EnforceError| Answer::Failed { cause: cause.to_string() };
		match request {
			Request::Why { address } => self.why(&address).map_or_else(failed, Answer::Why),
			Request::List { after, limit, filter } => {
				let page = self.store.list(&self.household, after, limit, &filter, self.now());
				page.map_or_else(|cause| failed(cause.into()), Answer::List)
			}
			Request::Allow { network, for_ms, .. } => self.say(network, Verdict::Allow, for_ms),
			Request::Block { network, for_ms } => match self.protector(&network) {
				Some(Exempt { network, what, .. }) => {
					Answer::Refused { cause: format!("it overlaps {network}, {what}") }
				}
				None => self.say(network, Verdict::Block, for_ms),
			},
			Request::Forget { network } => self.unsay(network).unwrap_or_else(failed),
			Request::Overrides => Answer::Overrides(self.household.iter().copied().collect()),
			Request::Verify => self.verified(Agreement::Unknown),
			Request::Contacts => self.contacts().map_or_else(failed, Answer::Contacts),
			Request::History | Request::Metrics => Answer::Failed { cause: "not a matter of the firewall".into() },
		}
	}

	/// The first protected network that `network` overlaps, in words.
	fn protector(&self, network: &Network) -> Option<Exempt> {
		let exempt = |network: &Network, source, what: String| Exempt { network: *network, source, what };
		let configured = self.setup.protected.iter().filter(|other| other.overlaps(network));
		let own = self.setup.own.as_ref().and_then(|own| {
			let own = own.borrow();
			let found = own.iter().find(|own| own.network.overlaps(network));
			found.map(|own| exempt(&own.network, Source::Owner, own.what.to_string()))
		});
		let mut learned = self.store.protected().iter().filter(|other| other.overlaps(network));
		let mut configured =
			configured.map(|other| exempt(other, Source::Owner, "protected by the configuration".into()));
		own.or_else(|| configured.next())
			.or_else(|| learned.next().map(|other| exempt(other, Source::Chain, "protected by the chain".into())))
	}

	fn why(&self, address: &Address) -> Result<Why, EnforceError> {
		let (now, host) = (self.now(), Network::host(*address));
		let household = self.household.blocked(now).filter(|wish| wish.network.contains(&host));
		let mut blocks: Vec<control::Block> = household.map(control::Block::of_override).collect();
		blocks.truncate(control::MAX_REASONS);
		let (more, clipped) = self.store.about(address, now, control::MAX_REASONS - blocks.len())?;
		blocks.extend(more);
		let exempt = |network, source, what: &str| Exempt { network, source, what: what.into() };
		let allowed = || {
			let wish = self.household.allowed(now).find(|wish| wish.network.contains(&host));
			let wish = wish.map(|wish| exempt(wish.network, Source::Household, "allowed by the household"));
			let configured = || self.setup.allowed.iter().find(|network| network.contains(&host));
			wish.or_else(|| configured().map(|n| exempt(*n, Source::Owner, "allowed by the configuration")))
		};
		let (state, exempt) = match (self.protector(&host), allowed()) {
			(Some(protected), _) => (control::State::Protected, Some(protected)),
			(None, Some(allowed)) => (control::State::Allowed, Some(allowed)),
			(None, None) => {
				// A wide block that overlaps something protected is not in force.
				let effective = |block: &control::Block| {
					let overlaps = |network: Network| self.policy.protected().any(|other| other.overlaps(&network));
					!block.network.is_some_and(overlaps)
				};
				let listed = self.setup.whitelist.as_ref().and_then(|list| list.borrow().clone());
				let off_list = listed.is_some_and(|list| !list.iter().any(|network| network.contains(&host)));
				let state = match (blocks.iter().any(effective), off_list) {
					(true, _) => control::State::Blocked,
					(false, true) => control::State::OffList,
					(false, false) => control::State::Free,
				};
				(state, None)
			}
		};
		let enforced = self.setup.mode == Mode::Enforce && self.firewall.is_some();
		Ok(Why { address: *address, state, exempt, blocks, clipped, enforced })
	}

	fn write_household(&self) -> Result<(), StateError> {
		let path = self.setup.directory.join(overrides::FILE);
		state::replace(&path, &self.household.encode(), Durable::Yes)
	}

	/// Takes the household's word, writes it down, and does it.
	fn say(&mut self, network: Network, verdict: Verdict, for_ms: Option<Millis>) -> Answer {
		let now = self.now();
		let set = Override { network, verdict, since: now, until: for_ms.map(|ms| now.saturating_add(ms)) };
		let before = self.household.clone();
		let replaced = match self.household.set(set) {
			Ok(replaced) => replaced,
			Err(cause) => return Answer::Refused { cause: cause.to_string() },
		};
		if let Err(cause) = self.write_household() {
			self.household = before;
			return Answer::Failed { cause: cause.to_string() };
		}
		info!(at = now_ms(), %network, %verdict, for_ms, "the household's word");
		let followed = self.follow_household(&[Some(set), replaced]);
		match self.mind(followed) {
			Ok(()) => Answer::Set { set, replaced, disputed: Vec::new() },
			Err(cause) => Answer::Failed { cause: cause.to_string() },
		}
	}

	fn unsay(&mut self, network: Network) -> Result<Answer, EnforceError> {
		let before = self.household.clone();
		let was = self.household.forget(&network);
		if was.is_some() {
			if let Err(cause) = self.write_household() {
				self.household = before;
				return Err(cause.into());
			}
			info!(at = now_ms(), %network, "the household's word is taken back");
			let followed = self.follow_household(&[was]);
			self.mind(followed)?;
		}
		Ok(Answer::Forgotten { network, was })
	}

	/// Brings the firewall in line after these words came or went.
	fn follow_household(&mut self, wishes: &[Option<Override>]) -> Result<(), EnforceError> {
		let wishes = || wishes.iter().flatten();
		if wishes().any(|wish| wish.verdict == Verdict::Allow) {
			self.reconfigure()?;
		}
		if let Some(wish) = wishes().find(|wish| wish.verdict == Verdict::Block) {
			let decided = self.settle(&Indicator::from(wish.network))?;
			if let Some(cause) = self.command(&[decided.command])?.remove(&0) {
				error!(at = now_ms(), network = %wish.network, cause, "not enforced");
			}
			self.remember_lists();
		}
		Ok(())
	}

	fn contacts(&mut self) -> Result<Vec<control::Contact>, EnforceError> {
		let Some(firewall) = &mut self.firewall else { return Ok(Vec::new()) };
		let now = now_ms();
		let contact = |contact: firewall::Contact| control::Contact {
			device: contact.device,
			peer: contact.peer,
			last: now.saturating_sub(contact.last_ms_ago),
		};
		Ok(firewall.contacts()?.into_iter().map(contact).collect())
	}
}

/// Goes through everything that is claimed, and hands the commands that block to `take`, some thousands at a time, first
/// of all the networks that the chain protects. How many blocks there were. What has to be decided anew one day is added
/// to `again`.
fn every(
	store: &Store,
	judge: &Judge,
	again: &mut BTreeMap<(Millis, IndicatorId), Indicator>,
	mut take: impl FnMut(&[Command]) -> Result<(), EnforceError>,
) -> Result<u64, EnforceError> {
	let mut batch: Vec<Command> = Vec::with_capacity(CHUNK);
	batch.extend(store.protected().iter().map(|network| Command::Protect(*network)));
	let mut blocks = 0;
	let mut settle = |batch: &mut Vec<Command>, indicator: &Indicator, chain: Option<Decision>| {
		let decided = judge.settle(indicator, chain);
		remember(again, indicator, &decided);
		if is_block(&decided.command) {
			batch.push(decided.command);
			blocks += 1;
		}
	};
	let mut walk = store.walk(None);
	while let Some(decision) = walk.next()? {
		let indicator = decision.indicator.clone();
		settle(&mut batch, &indicator, Some(decision));
		if batch.len() >= CHUNK {
			take(&batch)?;
			batch.clear();
		}
	}
	// What is claimed, but not by the chain.
	for (id, decision) in store.tier() {
		if store.get(id)?.is_none() {
			settle(&mut batch, &decision.indicator, None);
		}
	}
	for wish in judge.household.blocked(judge.now) {
		let indicator = Indicator::from(wish.network);
		let id = indicator.id();
		if !store.tier().contains_key(&id) && store.get(&id)?.is_none() {
			settle(&mut batch, &indicator, None);
		}
	}
	for chunk in batch.chunks(CHUNK) {
		take(chunk)?;
	}
	Ok(blocks)
}

/// The owner's protected networks: those of the configuration, and what the gateway needs for itself.
fn protected_by_owner(setup: &mut Setup) -> BTreeSet<Network> {
	let mut networks: BTreeSet<Network> = setup.protected.iter().copied().collect();
	if let Some(own) = &mut setup.own {
		networks.extend(own.borrow_and_update().iter().map(|own| own.network));
	}
	networks
}

/// The household's own word. A file that makes no sense is put aside.
fn open_household(directory: &std::path::Path) -> Result<Overrides, EnforceError> {
	match store::read_overrides(directory) {
		Err(cause @ StoreError::Corrupt { .. }) => {
			error!(at = now_ms(), %cause, "put aside");
			let path = directory.join(overrides::FILE);
			let aside = path.with_extension("json.corrupt");
			std::fs::rename(&path, aside).map_err(|source| StoreError::Io { path, source })?;
			Ok(Overrides::default())
		}
		household => Ok(household?),
	}
}

fn tell_flows(applied: &Applied) {
	for flow in &applied.waiting {
		warn!(at = now_ms(), %flow, "there is no room for this flow yet");
	}
	for flow in &applied.refused {
		error!(at = now_ms(), %flow, "there is no room for this flow");
	}
}

impl Entry<'_> {
	/// Puts what became of it into the log and the history.
	fn tell(&self, block: u32, failure: Option<&str>, history: &History) {
		let Self { seq, id, verb: change, refused, .. } = self;
		let outcome = match (failure, refused) {
			(Some(cause), _) => {
				error!(at = now_ms(), seq, id, change, cause, "not enforced");
				Outcome::Failed(cause.to_owned())
			}
			(None, Some(cause)) => {
				info!(at = now_ms(), seq, id, change, block, %cause, "passed over");
				Outcome::PassedOver(cause.to_string())
			}
			(None, None) => {
				info!(at = now_ms(), seq, id, change, block, "enforced");
				Outcome::Enforced
			}
		};
		let event = match &self.told {
			Told::Chain(kind) => Event::of(now_ms(), *seq, change, kind, outcome),
			Told::Tier(told) => Some(Event::of_tier(now_ms(), *seq, change, told, outcome)),
		};
		event.into_iter().for_each(|event| history.note(event));
	}
}

fn verb(kind: &ChangeKind) -> &'static str {
	match kind {
		ChangeKind::Activated(_) => "activated",
		ChangeKind::Extended(_) => "extended",
		ChangeKind::Revoked(_) => "revoked",
		ChangeKind::Expired(_) => "expired",
		ChangeKind::Protected(_) => "protected",
		ChangeKind::Unprotected(_) => "unprotected",
		ChangeKind::Tier1(..) => "sealed",
	}
}

#[cfg(test)]
mod tests;
