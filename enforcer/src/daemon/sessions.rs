//! One session with a node after another: what it says is verified, what is verified goes to the actor that owns the
//! firewall, and a node that lies, breaks off or says nothing new is left for the next.
//!
//! # Security considerations
//!
//! The node controls every item. Nothing reaches the firewall that is not [`Verified`]: the way leads from the genesis hash
//! (configured, or that of the first node ever seen) through every change of the authority set to the justification of the
//! block, and from its state root to the entries. A node can still say nothing: so it is asked for a proof at a steady pace,
//! only a block above all earlier ones counts, and the age of what it proves shows in the status. What is asked of it is under
//! a time-out, what it sends is bounded ([`super::dial`]), and a lie costs it minutes to hours in which others are asked.

use super::{
	chain::{ChainError, Connection, Subscription},
	dial::{Dialer, Meter, TIMEOUT},
	enforce::{Due, EnforceError, Enforcer, Flow},
	excerpt,
	household::{Household, HouseholdError},
	inbox::Inbox,
	millis, now_ms, random,
	state::{Memory, State},
	status::{Board, Endpoint, Proven, Traffic},
	submit::Link,
	vote::Voter,
};
use crate::core::{
	finality::{AuthoritySet, FinalityError, GenesisProof, Handoffs},
	frame::{BlockRef, Frame, FrameError, Heartbeat, Verified},
	hex,
	pulse::{made_at, Pulse, OVERTAKEN},
	roster::{Roster, LONGEST_PENANCE},
	snapshot::{self, Item, Opening, SnapshotError},
};
use ringfence_primitives::{Digest, Millis};
use serde_json::Value;
use std::{
	convert::Infallible,
	future::pending,
	sync::{Arc, OnceLock},
	time::Duration,
};
use tokio::{
	sync::watch,
	task::block_in_place,
	time::{sleep, sleep_until, timeout_at, Instant},
};
use tracing::{debug, error, info, warn};

/// A session of this length was a good one: the next attempt comes soon again.
const GOOD_SESSION: Duration = Duration::from_secs(10);
/// A session of this length without a lie makes up for earlier ones.
const FORGIVEN: Duration = Duration::from_millis(LONGEST_PENANCE);
/// How long a node is kept before one that stands further up in the configuration is tried again.
const RETURN: Duration = Duration::from_secs(600);
/// How long a node may take to send the next of the changes that it has proven to exist.
const OWED: Duration = Duration::from_secs(30);
/// How soon a node is asked again that has no final block yet.
const EARLY: Duration = Duration::from_secs(1);
/// Time for a whole snapshot: a million decisions over a slow line. A node that sends page after page proves nothing until
/// the last.
const LONGEST_SNAPSHOT: Duration = Duration::from_secs(1_800);
/// The longest sleep while every node rests: a machine that slept looks again.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// The node has no final block yet.
const NOT_FINAL: i32 = 7004;

/// Why a session with a node ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
	#[error(transparent)]
	Chain(#[from] ChainError),
	#[error(transparent)]
	Enforce(#[from] EnforceError),
	#[error(transparent)]
	Frame(#[from] FrameError),
	#[error(transparent)]
	Finality(#[from] FinalityError),
	#[error(transparent)]
	Snapshot(#[from] SnapshotError),
	#[error(transparent)]
	Household(#[from] HouseholdError),
	#[error("not JSON that is expected: {0}")]
	Json(#[from] serde_json::Error),
	#[error("no newer block was proven final for too long")]
	Silent,
	#[error("it proves that there are changes, and does not send them")]
	Withheld,
	#[error("{0} is back")]
	Better(String),
}

/// What the end of a session says about the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
	/// Nothing: it was left for a better one.
	None,
	/// It is of no use now.
	Failure,
	/// It told something that is proven wrong.
	Lie,
}

impl SessionError {
	fn fault(&self) -> Fault {
		let is_lie = match self {
			Self::Better(_) => return Fault::None,
			Self::Frame(error) => !error.is_behind(),
			Self::Snapshot(error) => !error.is_behind(),
			// That the authorities were replaced by force may well be true. It takes a person to believe it.
			Self::Finality(error) => !error.is_behind() && !matches!(error, FinalityError::ForcedChange),
			Self::Enforce(error) => error.is_lie(),
			Self::Household(error) => error.is_lie(),
			Self::Chain(_) | Self::Json(_) | Self::Silent | Self::Withheld => false,
		};
		match is_lie {
			true => Fault::Lie,
			false => Fault::Failure,
		}
	}

	/// Whether the node only has no final block yet.
	fn is_early(&self) -> bool {
		matches!(self, Self::Chain(ChainError::Refused(refusal)) if refusal.code == NOT_FINAL)
	}
}

/// How the chain is followed.
pub struct Following {
	/// The nodes, best first.
	pub endpoints: Vec<String>,
	/// The way to them.
	pub dialer: Dialer,
	/// The only chain that is accepted, once it is known.
	pub genesis: Option<Digest>,
	/// The same for those who seal.
	pub chain: Arc<OnceLock<Digest>>,
	/// How often a proof is asked for.
	pub heartbeat: Duration,
	/// How long a node may prove nothing new.
	pub stale_after: Duration,
}

/// Who has something to do with a node, beside those who only submit.
#[derive(Default)]
pub struct Parts {
	/// What the log is applied by.
	pub enforcer: Option<Enforcer>,
	/// Who votes.
	pub voter: Option<Voter>,
	/// Who receives letters as a provider.
	pub inbox: Option<Inbox>,
	/// Who receives letters as a household; only where there is no inbox.
	pub household: Option<Household>,
	/// Where those who submit learn of the connection.
	pub links: Option<watch::Sender<Option<Link>>>,
}

/// One session with a node after another.
pub struct Sessions {
	roster: Roster,
	dialer: Dialer,
	genesis: Option<Digest>,
	chain: Arc<OnceLock<Digest>>,
	witness: Witness,
	parts: Parts,
	board: Arc<Board>,
}

impl Sessions {
	/// Sessions that are still to be run.
	pub fn new(following: Following, parts: Parts, memory: Memory, board: Arc<Board>) -> Self {
		let Following { endpoints, dialer, genesis, chain, heartbeat, stale_after } = following;
		let (heartbeat, stale_after) = (millis(heartbeat), millis(stale_after));
		board.update(|status| (status.heartbeat, status.stale_after) = (heartbeat, stale_after));
		let witness = Witness {
			pulse: Pulse::new(heartbeat, stale_after, 0),
			set: memory.read(|state| state.authorities.clone()),
			wanted: parts.enforcer.as_ref().map(Enforcer::wanted),
			meter: dialer.meter(),
			began: Instant::now(),
			memory,
			board: board.clone(),
		};
		let this = Self { roster: Roster::new(endpoints), dialer, genesis, chain, witness, parts, board };
		this.show(None);
		this
	}

	/// Never ends.
	pub async fn run(&mut self) {
		loop {
			let now = self.witness.now();
			let place = match self.roster.pick(now) {
				// The configuration has at least one; without any there would be nothing to do but wait.
				None => return pending().await,
				Some(Ok(place)) => place,
				Some(Err(wait)) => {
					sleep(Duration::from_millis(wait).min(LONGEST_SLEEP)).await;
					continue;
				}
			};
			let endpoint = self.roster.seats()[place].url.clone();
			let (began, newest) = (Instant::now(), self.witness.pulse.newest());
			let cause = match Connection::open(&self.dialer, &endpoint, self.genesis).await {
				Ok(connection) => self.session(place, connection).await,
				Err(error) => error.into(),
			};
			if let Some(links) = &self.parts.links {
				links.send_replace(None);
			}
			if let Some(enforcer) = &self.parts.enforcer {
				// Half a snapshot is worth nothing.
				enforcer.abandon().await;
			}
			self.judge(place, &cause, began.elapsed(), self.witness.pulse.newest() > newest);
			let cause = excerpt(&cause.to_string());
			self.board.update(|status| status.endpoint = None);
			self.show(None);
			warn!(at = now_ms(), endpoint, cause, "disconnected");
		}
	}

	/// Draws the conclusions from a session of this length that ended by `cause`. `proved`: something new.
	fn judge(&mut self, place: usize, cause: &SessionError, length: Duration, proved: bool) {
		if proved && length > GOOD_SESSION {
			self.roster.served(place);
		}
		if length > FORGIVEN {
			self.roster.forgive(place);
		}
		let (now, text) = (self.witness.now(), excerpt(&cause.to_string()));
		match cause.fault() {
			Fault::None => {}
			Fault::Failure => self.roster.failed(place, now, random(), text),
			Fault::Lie => {
				error!(at = now_ms(), endpoint = self.roster.seats()[place].url, cause = text, "the node lies");
				self.roster.lied(place, now, random(), text);
				self.board.update(|status| status.counts.lies += 1);
			}
		}
	}

	/// Puts what is known of the nodes on the board. `current`: the one that is connected.
	fn show(&self, current: Option<usize>) {
		self.witness.show(&self.roster, current);
	}

	async fn session(&mut self, place: usize, connection: Connection) -> SessionError {
		if let Err(error) = self.witness.begin(&connection).await {
			return error;
		}
		let Self { roster, dialer, genesis, chain, witness, parts, board } = self;
		*genesis = Some(connection.genesis);
		// After the first session it is set, to the same.
		chain.get_or_init(|| connection.genesis);
		board.update(|status| {
			status.endpoint = Some(connection.endpoint.clone());
			status.genesis = Some(connection.genesis);
		});
		witness.show(roster, Some(place));
		info!(at = now_ms(), endpoint = connection.endpoint, "connected");
		let connection = Arc::new(connection);
		let Parts { enforcer, voter, inbox, household, links } = parts;
		if let Some(links) = links {
			links.send_replace(Some(Link { connection: connection.clone() }));
		}
		let better = roster.seats().iter().take(place).map(|seat| (seat.url.clone(), seat.rests_until)).collect();
		let (memory, began) = (witness.memory.clone(), witness.began);
		let mut follower = Follower { connection: &connection, witness, beat: Instant::now(), debt: Debt::default() };
		let follow = async {
			let Err(error) = match enforcer {
				Some(enforcer) => follower.enforce(enforcer).await,
				None => follower.watch().await,
			};
			error
		};
		let vote = async {
			match voter {
				Some(voter) => voter.follow(&connection).await,
				None => pending().await,
			}
		};
		let correspond = async {
			match (inbox, household) {
				(Some(inbox), _) => SessionError::from(inbox.follow(&connection).await),
				(None, Some(household)) => household.follow(&connection).await.into(),
				(None, None) => pending().await,
			}
		};
		let version = async {
			match links {
				Some(_) => connection.keep_version().await,
				None => pending().await,
			}
		};
		tokio::select! {
			error = follow => error,
			error = look_back(dialer, &memory, board, connection.genesis, better, began) => error,
			error = vote => error.into(),
			error = correspond => error,
			error = version => error.into(),
			error = connection.broken() => error.into(),
		}
	}
}

/// What was proven so far, and by whom a block is made final.
struct Witness {
	/// None until the first node showed the authorities of genesis.
	set: Option<AuthoritySet>,
	pulse: Pulse,
	/// Changes when somebody wants the digest to be proven now.
	wanted: Option<watch::Receiver<u64>>,
	meter: Arc<Meter>,
	/// When the clock of pulse and roster began.
	began: Instant,
	memory: Memory,
	board: Arc<Board>,
}

impl Witness {
	fn now(&self) -> Millis {
		millis(self.began.elapsed())
	}

	/// A new node is at hand. With the first one ever the authorities of genesis are found out.
	async fn begin(&mut self, connection: &Connection) -> Result<(), SessionError> {
		let now = self.now();
		self.pulse.turn(now);
		if self.set.is_none() {
			let proof = GenesisProof::decode(connection.genesis_proof().await?)?;
			let set = block_in_place(|| AuthoritySet::genesis(&connection.genesis, &proof))?;
			let genesis = hex::encode(&connection.genesis);
			info!(at = now_ms(), genesis, authorities = set.len(), "the chain's first authorities are proven");
			self.set = Some(set);
		}
		let (set, genesis) = (self.set.clone(), connection.genesis);
		self.remember(|state| (state.genesis, state.authorities) = (Some(genesis), set));
		Ok(())
	}

	/// A state that cannot be written costs a few questions at the next start, no more.
	fn remember(&self, change: impl FnOnce(&mut State)) {
		if let Err(cause) = block_in_place(|| self.memory.change(change)) {
			warn!(at = now_ms(), %cause, "state not written");
		}
	}

	/// The set that blocks are made final by.
	fn set(&self) -> Result<&AuthoritySet, SessionError> {
		// `begin` has found it out before anything else.
		self.set.as_ref().ok_or(SessionError::Silent)
	}

	/// Follows changes of the set from the one at hand on. `cause`: why the block is not final by that one; it stands where
	/// there are none.
	async fn advance(&mut self, connection: &Connection, cause: impl Into<SessionError>) -> Result<(), SessionError> {
		let mut set = self.set()?.clone();
		let handoffs = Handoffs::decode(connection.handoffs(set.id()).await?)?.handoffs;
		if handoffs.is_empty() {
			return Err(cause.into());
		}
		for handoff in &handoffs {
			set = block_in_place(|| set.advance(handoff)).inspect_err(|cause| {
				if matches!(cause, FinalityError::ForcedChange) {
					error!(
						at = now_ms(),
						"the chain's authorities were replaced by force: pin its genesis anew, or leave it"
					);
				}
			})?;
		}
		info!(at = now_ms(), set = set.id(), authorities = set.len(), "the chain's authorities changed");
		self.board.update(|status| status.counts.handoffs += handoffs.len() as u64);
		self.set = Some(set.clone());
		self.remember(|state| state.authorities = Some(set));
		Ok(())
	}

	/// Verifies an item of the change subscription.
	async fn frame(&mut self, connection: &Connection, item: Value) -> Result<Verified<Frame>, SessionError> {
		let frame = Frame::decode(item)?;
		let verified = loop {
			let (set, oldest) = (self.set()?, self.pulse.oldest());
			let verified = block_in_place(|| frame.clone().verify(set, oldest));
			match verified {
				Err(cause) if cause.wants_handoff() => self.advance(connection, cause).await?,
				verified => break verified?,
			}
		};
		self.note(connection, verified.block, &verified.header, verified.head.seq);
		Ok(verified)
	}

	/// Asks for a proof and verifies it. None: the node has no final block yet.
	async fn beat(
		&mut self,
		connection: &Connection,
		digest: bool,
	) -> Result<Option<Verified<Heartbeat>>, SessionError> {
		let now = self.now();
		self.pulse.asked(now);
		let answer = match connection.heartbeat(digest).await.map_err(SessionError::from) {
			Err(error) if error.is_early() => return Ok(None),
			answer => answer?,
		};
		let frame = Frame::decode(answer)?;
		let verified = loop {
			let (set, oldest) = (self.set()?, self.pulse.oldest());
			let verified = block_in_place(|| frame.clone().verify_heartbeat(set, oldest, digest));
			match verified {
				Err(cause) if cause.wants_handoff() => self.advance(connection, cause).await?,
				verified => break verified?,
			}
		};
		self.board.update(|status| status.counts.heartbeats += 1);
		self.note(connection, verified.block, &frame.header, verified.head.seq);
		Ok(Some(verified))
	}

	/// Verifies the opening of a snapshot.
	async fn opening(&mut self, connection: &Connection, opening: Opening) -> Result<snapshot::Proven, SessionError> {
		loop {
			let (set, oldest) = (self.set()?, self.pulse.oldest());
			let proven = block_in_place(|| opening.clone().verify(set, oldest));
			match proven {
				Err(cause) if cause.wants_handoff() => self.advance(connection, cause).await?,
				proven => return Ok(proven?),
			}
		}
	}

	/// `block`, whose header this is, was proven final, with the log at `log_seq`.
	fn note(&mut self, connection: &Connection, block: BlockRef, header: &[u8], log_seq: u64) {
		connection.found(block);
		let now = self.now();
		if !self.pulse.proven(&block, now) {
			return;
		}
		let set = self.set.as_ref().map_or(0, AuthoritySet::id);
		let proven = Proven { number: block.number, at: now_ms(), chain_at: made_at(header), log_seq, set };
		let traffic = self.traffic();
		self.board.update(|status| {
			status.proven = Some(proven);
			status.traffic = traffic;
		});
	}

	fn traffic(&self) -> Traffic {
		Traffic { received: self.meter.received(), sent: self.meter.sent() }
	}

	/// When the next proof is to be asked for.
	fn next_beat(&self) -> Instant {
		Instant::now() + Duration::from_millis(self.pulse.due_in(self.now()))
	}

	fn show(&self, roster: &Roster, current: Option<usize>) {
		let (now, wall, traffic) = (self.now(), now_ms(), self.traffic());
		let endpoints = roster.seats().iter().enumerate().map(|(place, seat)| {
			let serves = current == Some(place);
			let rests = seat.rests_until.saturating_sub(now);
			Endpoint {
				url: seat.url.clone(),
				failures: seat.failures,
				lies: seat.lies,
				retry_at: (rests > 0 && !serves).then_some(wall.saturating_add(rests)),
				cause: seat.cause.clone().filter(|_| !serves),
			}
		});
		let endpoints = endpoints.collect();
		self.board.update(|status| (status.endpoints, status.traffic) = (endpoints, traffic));
	}
}

/// One session's share of [`Sessions`].
struct Follower<'a> {
	connection: &'a Connection,
	witness: &'a mut Witness,
	/// When the next proof is due.
	beat: Instant,
	debt: Debt,
}

/// What a node owes: changes that it has proven to exist, and not sent. Its proofs alone keep nobody up to date.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Debt(Option<(u64, Instant)>);

impl Debt {
	/// The log is proven to reach up to entry `head`, and is to be read from entry `from` on.
	fn reckon(&mut self, head: u64, from: u64, now: Instant) {
		self.0 = match self.0 {
			_ if from > head => None,
			Some((due, since)) if due == from => Some((due, since)),
			_ => Some((from, now)),
		};
	}

	/// When it has lasted too long.
	fn limit(&self) -> Option<Instant> {
		self.0.map(|(_, since)| since + OWED)
	}
}

impl Follower<'_> {
	/// Applies the change log for as long as the connection holds and the node proves what it says.
	async fn enforce(&mut self, enforcer: &Enforcer) -> Result<Infallible, SessionError> {
		// Whatever it changes about what is due is asked next.
		let _ = self.prove(Some(enforcer), false).await?;
		loop {
			match enforcer.due().await {
				Due::Snapshot => match self.snapshot(enforcer).await {
					Err(error) if error.is_early() => {
						if self.witness.pulse.patience(self.witness.now()) == 0 {
							return Err(SessionError::Silent);
						}
						sleep(EARLY).await;
					}
					done => done?,
				},
				Due::Changes { from } => match self.connection.changes(from).await {
					Ok(changes) => self.changes(enforcer, changes).await?,
					Err(ChainError::Pruned(oldest)) => {
						warn!(at = now_ms(), oldest, "the log no longer reaches back to here: fetching the active set");
						enforcer.pruned().await;
					}
					Err(error) => return Err(error.into()),
				},
			}
		}
	}

	/// Follows the chain without enforcing anything, so that silence shows.
	async fn watch(&mut self) -> Result<Infallible, SessionError> {
		loop {
			// Nobody applies anything, so nothing is taken up anew.
			let _ = self.prove(None, false).await?;
			self.idle().await?;
		}
	}

	/// Applies what `changes` brings, until it is to be taken up anew.
	async fn changes(&mut self, enforcer: &Enforcer, mut changes: Subscription<Value>) -> Result<(), SessionError> {
		loop {
			let flow = tokio::select! {
				item = changes.next() => match item {
					Some(item) => {
						let frame = self.witness.frame(self.connection, item?).await?;
						self.beat = self.witness.next_beat();
						let head = frame.head.seq;
						let flow = enforcer.apply(frame).await?;
						self.reckon(enforcer, head).await;
						flow
					}
					// This side was too slow, as in a long replay: what is missing is sent again.
					None if changes.lagged() => Flow::Again,
					None => return Err(ChainError::Closed.into()),
				},
				wanted = self.idle() => self.prove(Some(enforcer), wanted?).await?,
			};
			if flow == Flow::Again {
				return Ok(());
			}
		}
	}

	/// Takes in the whole active set.
	async fn snapshot(&mut self, enforcer: &Enforcer) -> Result<(), SessionError> {
		let mut items = self.connection.snapshot().await?;
		let deadline = Instant::now() + LONGEST_SNAPSHOT;
		loop {
			let limit = deadline.min(Instant::now() + TIMEOUT);
			let item = timeout_at(limit, items.next()).await.map_err(|_| SessionError::Silent)?;
			match Item::decode(item.ok_or(ChainError::Closed)??)? {
				Item::Opening(opening) => {
					let proven = self.witness.opening(self.connection, opening).await?;
					enforcer.begin(proven).await?;
				}
				Item::Page(decisions) => enforcer.page(decisions).await?,
				Item::End { count } => return Ok(enforcer.end(count).await?),
			}
		}
	}

	/// The log is proven to reach up to entry `head`.
	async fn reckon(&mut self, enforcer: &Enforcer, head: u64) {
		match enforcer.due().await {
			Due::Changes { from } => self.debt.reckon(head, from, Instant::now()),
			// Pages have a time-out of their own.
			Due::Snapshot => self.debt = Debt::default(),
		}
	}

	/// Waits until a proof is due, or somebody wants one: then with the digest. Fails when the node has been silent, or has
	/// kept changes back, for too long.
	async fn idle(&mut self) -> Result<bool, SessionError> {
		let patience = Duration::from_millis(self.witness.pulse.patience(self.witness.now()));
		let owed = self.debt.limit();
		let withheld = async {
			match owed {
				Some(limit) => sleep_until(limit).await,
				None => pending().await,
			}
		};
		tokio::select! {
			() = withheld => Err(SessionError::Withheld),
			() = wanted(&mut self.witness.wanted) => Ok(true),
			() = sleep_until(self.beat) => Ok(false),
			() = sleep(patience) => Err(SessionError::Silent),
		}
	}

	/// Has the node prove where the chain stands, with the digest where that is `wanted`, or was not compared for long.
	async fn prove(&mut self, enforcer: Option<&Enforcer>, wanted: bool) -> Result<Flow, SessionError> {
		let now = self.witness.now();
		let digest = wanted || (enforcer.is_some() && self.witness.pulse.wants_digest(now));
		let Some(heartbeat) = self.witness.beat(self.connection, digest).await? else {
			self.beat = Instant::now() + EARLY;
			return Ok(Flow::On);
		};
		self.beat = self.witness.next_beat();
		let Some(enforcer) = enforcer else { return Ok(Flow::On) };
		self.reckon(enforcer, heartbeat.head.seq).await;
		// Only digests of the same moment can be compared.
		if digest && enforcer.cursor().await.seq == heartbeat.head.seq {
			self.witness.pulse.compared(now);
		}
		Ok(enforcer.heartbeat(heartbeat).await?)
	}
}

/// Waits until somebody wants the digest to be proven now.
async fn wanted(wanted: &mut Option<watch::Receiver<u64>>) {
	if let Some(wanted) = wanted {
		if wanted.changed().await.is_ok() {
			return;
		}
	}
	// Nobody is there to want it, or the actor is gone, and the daemon ends with it.
	pending().await
}

/// Looks every [`RETURN`] whether one of `better`, each with the time until which it rests on the clock that began at
/// `began`, proves that the chain goes on. Ends when one does.
async fn look_back(
	dialer: &Dialer,
	memory: &Memory,
	board: &Board,
	genesis: Digest,
	better: Vec<(String, Millis)>,
	began: Instant,
) -> SessionError {
	if better.is_empty() {
		return pending().await;
	}
	loop {
		sleep(RETURN).await;
		let now = millis(began.elapsed());
		for (endpoint, _) in better.iter().filter(|(_, rests_until)| *rests_until <= now) {
			match is_back(dialer, memory, board, genesis, endpoint).await {
				Ok(()) => return SessionError::Better(endpoint.clone()),
				Err(cause) => debug!(at = now_ms(), endpoint, %cause, "not back yet"),
			}
		}
	}
}

/// Whether the node at `endpoint` can prove a block that is as new as what is known.
async fn is_back(
	dialer: &Dialer,
	memory: &Memory,
	board: &Board,
	genesis: Digest,
	endpoint: &str,
) -> Result<(), SessionError> {
	let connection = Connection::open(dialer, endpoint, Some(genesis)).await?;
	let frame = Frame::decode(connection.heartbeat(false).await?)?;
	let oldest = board.snapshot().proven.map_or(0, |proven| proven.number.saturating_sub(OVERTAKEN));
	let set = memory.read(|state| state.authorities.clone()).ok_or(SessionError::Silent)?;
	block_in_place(|| frame.verify_heartbeat(&set, oldest, false))?;
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::daemon::chain::Refusal;
	use tokio::time::timeout;

	fn refused(code: i32) -> SessionError {
		ChainError::Refused(Refusal { code, message: "no".into() }).into()
	}

	#[test]
	fn only_what_is_proven_wrong_is_a_lie() {
		for (error, fault) in [
			(SessionError::from(FrameError::BrokenChain(7)), Fault::Lie),
			(SessionError::from(FinalityError::NoCommit), Fault::Lie),
			(SessionError::from(FinalityError::VotedTwice), Fault::Lie),
			(SessionError::from(FinalityError::OlderSet { number: 1, since: 2 }), Fault::Failure),
			(SessionError::from(FinalityError::ForcedChange), Fault::Failure),
			(SessionError::from(ChainError::Closed), Fault::Failure),
			(refused(NOT_FINAL), Fault::Failure),
			(SessionError::Silent, Fault::Failure),
			(SessionError::Better("ws://127.0.0.1:9944".into()), Fault::None),
		] {
			assert_eq!(error.fault(), fault, "{error}");
		}
	}

	#[test]
	fn a_node_that_proves_changes_and_keeps_them_back_is_left() {
		let (mut debt, start) = (Debt::default(), Instant::now());
		let later = |seconds| start + Duration::from_secs(seconds);
		debt.reckon(7, 8, start);
		assert_eq!(debt.limit(), None, "all was sent");
		debt.reckon(9, 8, later(1));
		debt.reckon(12, 8, later(20));
		assert_eq!(debt.limit(), Some(later(1) + OWED), "more proofs are no changes");
		debt.reckon(12, 10, later(21));
		assert_eq!(debt.limit(), Some(later(21) + OWED), "a part of them came");
		debt.reckon(12, 13, later(22));
		assert_eq!(debt.limit(), None);
		assert_eq!(SessionError::Withheld.fault(), Fault::Failure);
	}

	#[test]
	fn a_node_without_a_final_block_is_early() {
		assert!(refused(NOT_FINAL).is_early());
		assert!(!refused(7001).is_early());
		assert!(!SessionError::Silent.is_early());
	}

	#[tokio::test]
	async fn a_wish_for_a_proof_is_heard_even_if_nobody_listened_at_that_moment() {
		let (sender, receiver) = watch::channel(0);
		let mut receiver = Some(receiver);
		sender.send_replace(1);
		wanted(&mut receiver).await;
		drop(sender);
		assert!(timeout(Duration::from_millis(20), wanted(&mut receiver)).await.is_err());
		assert!(timeout(Duration::from_millis(20), wanted(&mut None)).await.is_err());
	}
}
