//! Where people ask: a unix socket in the state directory, and behind it the [`Desk`], at which the page asks as well.
//!
//! One connection is one question and one answer, each a line of JSON. What can be asked is [`Request`], what comes back
//! [`Answer`]. The desk does by itself what needs no firewall, such as sending a dispute; the rest is answered by the
//! [`Enforcer`].
//!
//! # Security considerations
//!
//! Only the enforcer's own user, and root, can connect: the socket has mode 0600 in a directory of mode 0700, and is bound
//! under another name until it has. Whoever can may say anything: requests are bounded in size ([`MAX_REQUEST`]), number
//! ([`MAX_CONNECTIONS`], [`AT_ONCE`]) and time, their numbers and networks are checked, and none of them lifts a
//! protection. Answers are read by the command line with a bound too ([`MAX_ANSWER`]).

use super::{
	enforce::Enforcer,
	household::Sealer,
	lock, now_ms,
	observe::{
		history::{History, View},
		metrics,
	},
	status::{Board, SensorStatus, Status, Suspect},
	submit::{Call, Job, Submitter},
};
use crate::core::{
	hex,
	overrides::{Override, Verdict},
	report::Bucket,
};
use ringfence_primitives::{
	envelope::Body, Address, Decision, Digest, Direction, Indicator, Millis, Network, Severity, ThreatClass,
};
use serde::{Deserialize, Serialize};
use std::{
	io::{self, Read, Write},
	os::unix::{fs::PermissionsExt, net},
	path::{Path, PathBuf},
	sync::{Arc, Mutex},
	time::Duration,
};
use tokio::{
	io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
	net::{UnixListener, UnixStream},
	sync::Semaphore,
	time::{sleep, timeout},
};
use tracing::{debug, info, warn};

/// The socket in the state directory.
const SOCKET: &str = "control.sock";
/// Its name before it has its mode.
const UNREADY: &str = ".control.sock";
/// Bytes of a request at most.
pub const MAX_REQUEST: usize = 4_096;
/// Bytes of an answer at most.
pub const MAX_ANSWER: usize = 4 << 20;
/// Connections at a time; more wait.
pub const MAX_CONNECTIONS: usize = 16;
/// Requests at a time, those of the page included; more are refused.
pub const AT_ONCE: usize = 32;
/// Blocks on a page of [`Request::List`] at most.
pub const MAX_PAGE: u16 = 500;
/// Blocks that [`Why`] names at most.
pub const MAX_REASONS: usize = 64;
/// The shortest and the longest time of an override that ends by itself: 1 second and 10 years.
pub const OVERRIDE_MS: std::ops::RangeInclusive<Millis> = 1_000..=3_650 * 86_400_000;
/// The widest network of an override. Wider is a matter of the configuration.
pub const WIDEST_V4: u8 = 8;
/// The same for IPv6.
pub const WIDEST_V6: u8 = 20;
/// Disputes a minute.
const DISPUTES: u32 = 30;
/// Disputes that follow from one request: a peer's host, endpoint and networks.
const MAX_DISPUTED: usize = 8;
/// Time to say what is wanted.
const PATIENCE_READ: Duration = Duration::from_secs(5);
/// Time to take the answer.
const PATIENCE_WRITE: Duration = Duration::from_secs(10);
/// Time for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time for the answer to [`Request::Verify`], which asks the chain and looks at every block.
const PATIENCE_VERIFY: Duration = Duration::from_secs(60);
/// Pause after a connection could not be taken.
const PAUSE: Duration = Duration::from_secs(1);

/// What can be asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Request {
	/// What happens to this address' packets, and why.
	Why {
		/// The peer.
		address: Address,
	},
	/// What is blocked, a page at a time.
	List {
		/// [`Page::next`] of the page before.
		#[serde(default)]
		after: Option<u64>,
		/// Blocks wanted, 1 to [`MAX_PAGE`].
		limit: u16,
		/// Which of them.
		#[serde(default)]
		filter: Filter,
	},
	/// Let a peer through, whatever others say.
	Allow {
		/// The peer.
		network: Network,
		/// For how long, see [`OVERRIDE_MS`]. None: until it is forgotten.
		#[serde(default)]
		for_ms: Option<Millis>,
		/// Whether to tell those who decided that they are wrong. For one address only.
		#[serde(default)]
		dispute: bool,
	},
	/// Keep a peer out. Refused where that would hit something protected.
	Block {
		/// The peer.
		network: Network,
		/// For how long, see [`OVERRIDE_MS`]. None: until it is forgotten.
		#[serde(default)]
		for_ms: Option<Millis>,
	},
	/// Take back what was said about exactly this network.
	Forget {
		/// The peer.
		network: Network,
	},
	/// What the household has said.
	Overrides,
	/// Compare the store with the chain, and the kernel with the store, and mend what differs.
	Verify,
	/// Which device tried to reach a blocked peer.
	Contacts,
	/// The last day.
	History,
	/// The metrics, in Prometheus' words.
	Metrics,
	/// What is captured, and which devices of the home do harm.
	Sensors,
}

/// Why a request is refused before anybody looks at it.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
	/// No request that is known.
	#[error("{0}")]
	Syntax(#[from] serde_json::Error),
	/// Too many bytes.
	#[error("a request has {} bytes at most", MAX_REQUEST)]
	TooLong,
	/// A page of another size.
	#[error("a page has 1 to {} blocks", MAX_PAGE)]
	Limit,
	/// A time out of its bounds.
	#[error("an override that ends lasts 1 second to 10 years")]
	Time,
	/// A network out of its bounds.
	#[error("wider than /{} (/{} for IPv6): that is a matter of the configuration", WIDEST_V4, WIDEST_V6)]
	Wide,
	/// A dispute of more than one address.
	#[error("a dispute is about one address")]
	WideDispute,
}

impl Request {
	/// Reads one line, and checks it.
	pub fn decode(line: &[u8]) -> Result<Self, RequestError> {
		if line.len() > MAX_REQUEST {
			return Err(RequestError::TooLong);
		}
		let request: Self = serde_json::from_slice(line)?;
		request.check()?;
		Ok(request)
	}

	/// Checks numbers and networks.
	pub fn check(&self) -> Result<(), RequestError> {
		let (network, for_ms, dispute) = match self {
			Self::List { limit, .. } if !(1..=MAX_PAGE).contains(limit) => return Err(RequestError::Limit),
			Self::Allow { network, for_ms, dispute } => (network, for_ms, *dispute),
			Self::Block { network, for_ms } => (network, for_ms, false),
			_ => return Ok(()),
		};
		let widest = match network.address() {
			Address::V4(_) => WIDEST_V4,
			Address::V6(_) => WIDEST_V6,
		};
		if network.prefix() < widest {
			return Err(RequestError::Wide);
		}
		if dispute && network.prefix() != network.address().bits() {
			return Err(RequestError::WideDispute);
		}
		match for_ms {
			Some(for_ms) if !OVERRIDE_MS.contains(for_ms) => Err(RequestError::Time),
			_ => Ok(()),
		}
	}
}

/// Which blocks are wanted. What is left out does not matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Filter {
	/// Those that overlap this network.
	pub within: Option<Network>,
	/// Those of this origin.
	pub source: Option<Source>,
}

impl Filter {
	/// Whether `block` is wanted.
	pub fn takes(&self, block: &Block) -> bool {
		let overlaps = |within: Network| block.network.is_some_and(|network| network.overlaps(&within));
		self.source.is_none_or(|source| source == block.source) && self.within.is_none_or(overlaps)
	}
}

/// Who decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
	/// All providers together.
	Chain,
	/// The own provider, for its subscribers.
	Tier,
	/// The household, by command or on its page.
	Household,
	/// The owner, in the configuration.
	Owner,
}

impl Source {
	/// The name in JSON and on the command line.
	pub const fn name(self) -> &'static str {
		match self {
			Self::Chain => "chain",
			Self::Tier => "tier",
			Self::Household => "household",
			Self::Owner => "owner",
		}
	}
}

/// One block.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Block {
	/// What is blocked: an address, a network, a service or a class of packets.
	pub target: String,
	/// The name of that indicator.
	#[serde(with = "hex::serde_digest")]
	pub id: Digest,
	/// The peer. None: a class of packets.
	pub network: Option<Network>,
	/// Who decided.
	pub source: Source,
	/// Which packets.
	pub direction: Direction,
	/// What becomes of them.
	pub action: String,
	/// What the peer is known for.
	pub threat: Option<ThreatClass>,
	/// How bad that is.
	pub severity: Option<Severity>,
	/// How sure those are who decided, in percent.
	pub confidence: Option<u8>,
	/// When it ends by itself. None: never.
	pub expires_at: Option<Millis>,
}

impl Block {
	/// What `source` decided.
	pub fn of(decision: &Decision, source: Source) -> Self {
		let network = match &decision.indicator {
			Indicator::Flow(_) => None,
			indicator => indicator.networks().next(),
		};
		Self {
			target: decision.indicator.to_string(),
			id: decision.indicator.id(),
			network,
			source,
			direction: decision.direction,
			action: decision.action.to_string(),
			threat: Some(decision.threat),
			severity: Some(decision.severity),
			confidence: Some(decision.confidence.get()),
			expires_at: Some(decision.expires_at),
		}
	}

	/// What the household wants blocked.
	pub fn of_override(wish: &Override) -> Self {
		let indicator = Indicator::from(wish.network);
		Self {
			target: indicator.to_string(),
			id: indicator.id(),
			network: Some(wish.network),
			source: Source::Household,
			direction: Direction::Both,
			action: "drop".into(),
			threat: None,
			severity: None,
			confidence: None,
			expires_at: wish.until,
		}
	}
}

/// What happens to the packets of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
	/// Some or all of them are kept out, or limited.
	Blocked,
	/// The household lets them through.
	Allowed,
	/// They must never be blocked.
	Protected,
	/// Nobody has anything against them.
	Free,
	/// Nobody has, but only who is on the owner's list may come in.
	OffList,
}

/// Why the packets of an address get through, or do not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Why {
	/// The address.
	pub address: Address,
	/// What happens.
	pub state: State,
	/// What exempts it, if anything does.
	pub exempt: Option<Exempt>,
	/// What blocks it, or would if it were not exempt: [`MAX_REASONS`] at most.
	pub blocks: Vec<Block>,
	/// Whether there are more.
	pub clipped: bool,
	/// Whether the kernel is told at all, and drops: not so in canary mode and dry runs.
	pub enforced: bool,
}

/// A network that gets through.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exempt {
	/// The network.
	pub network: Network,
	/// Who says so.
	pub source: Source,
	/// What it is, in words.
	pub what: String,
}

/// Some of what is blocked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Page {
	/// The blocks.
	pub blocks: Vec<Block>,
	/// Where the next page begins. None: there is none.
	pub next: Option<u64>,
	/// How many are blocked in all, whatever was asked for.
	pub total: u64,
}

/// Whether two digests are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
	/// They are.
	Same,
	/// They are not: the active set is fetched anew.
	Differs,
	/// No node has proved the chain's in time.
	Unknown,
}

/// What a comparison found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verified {
	/// The last change that was applied.
	pub seq: u64,
	/// Blocks in the store.
	pub entries: u64,
	/// The store's digest and the chain's.
	pub digest: Agreement,
	/// Blocks that the kernel did not have.
	pub missing: u64,
	/// Those of them that it has now.
	pub healed: u64,
}

/// A device of the home that tried to reach a blocked peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Contact {
	/// The device.
	pub device: Address,
	/// The peer.
	pub peer: Address,
	/// When it tried last.
	pub last: Millis,
}

/// What comes back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Answer {
	/// To [`Request::Why`].
	Why(Why),
	/// To [`Request::List`].
	List(Page),
	/// To [`Request::Allow`] and [`Request::Block`]: done.
	Set {
		/// What is in force now.
		set: Override,
		/// What was in force about the same network.
		replaced: Option<Override>,
		/// The indicators that are being disputed.
		disputed: Vec<Disputed>,
	},
	/// To [`Request::Forget`]: done.
	Forgotten {
		/// The network.
		network: Network,
		/// What was in force about it.
		was: Option<Override>,
	},
	/// To [`Request::Overrides`].
	Overrides(Vec<Override>),
	/// To [`Request::Verify`].
	Verified(Verified),
	/// To [`Request::Contacts`]: newest first.
	Contacts(Vec<Contact>),
	/// To [`Request::History`].
	History(Box<View>),
	/// To [`Request::Metrics`].
	Metrics(String),
	/// To [`Request::Sensors`].
	Sensors {
		/// By interface.
		interfaces: Vec<SensorStatus>,
		/// The newest last.
		suspects: Vec<Suspect>,
	},
	/// It cannot be done, and the person must do otherwise.
	Refused {
		/// Why.
		cause: String,
	},
	/// It should have been done.
	Failed {
		/// Why it was not.
		cause: String,
	},
}

impl Answer {
	fn refused(cause: impl ToString) -> Self {
		Self::Refused { cause: cause.to_string() }
	}

	fn failed(cause: impl ToString) -> Self {
		Self::Failed { cause: cause.to_string() }
	}
}

/// An indicator of which those who decided are told that it is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Disputed {
	/// What was blocked.
	pub target: String,
	/// The name of that indicator.
	#[serde(with = "hex::serde_digest")]
	pub id: Digest,
}

/// How to say that a decision is wrong.
#[derive(Clone)]
pub enum Disputes {
	/// To all, as the member's own dispute.
	Open(Submitter),
	/// To the own provider, sealed.
	Sealed(Box<Sealer>, Submitter),
}

impl Disputes {
	/// Whose decisions can be disputed this way.
	fn reach(&self, source: Source) -> bool {
		match self {
			Self::Open(_) => source == Source::Chain,
			Self::Sealed(..) => matches!(source, Source::Chain | Source::Tier),
		}
	}

	/// Says it, or says why it is not said.
	fn send(&self, id: Digest) -> Result<(), String> {
		let (submitter, call) = match self {
			Self::Open(submitter) => (submitter, Call::Dispute),
			Self::Sealed(sealer, submitter) => {
				(submitter, sealer.seal(id, Body::Dispute(id)).map_err(|cause| cause.to_string())?)
			}
		};
		submitter.submit(Job { id, call });
		Ok(())
	}
}

struct Inner {
	enforcer: Option<Enforcer>,
	board: Arc<Board>,
	disputes: Option<Disputes>,
	history: Arc<History>,
	places: Semaphore,
	disputed: Mutex<Bucket>,
}

/// Where people ask, at the socket or on the page.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

impl Desk {
	/// A desk. `enforcer`: None where nothing is enforced. `disputes`: None where there is no account to speak for.
	pub fn new(
		enforcer: Option<Enforcer>,
		board: Arc<Board>,
		disputes: Option<Disputes>,
		history: Arc<History>,
	) -> Self {
		let (places, disputed) = (Semaphore::new(AT_ONCE), Mutex::new(Bucket::new(DISPUTES)));
		Self(Arc::new(Inner { enforcer, board, disputes, history, places, disputed }))
	}

	/// Answers, within [`PATIENCE_VERIFY`].
	pub async fn ask(&self, request: Request) -> Answer {
		if let Err(cause) = request.check() {
			return Answer::refused(cause);
		}
		let Ok(_place) = self.0.places.try_acquire() else { return Answer::failed("too many ask at once") };
		match request {
			Request::History => Answer::History(Box::new(self.0.history.view(now_ms()))),
			Request::Metrics => Answer::Metrics(metrics::render(&self.0.board.snapshot(), now_ms())),
			Request::Sensors => {
				let Status { sensors: interfaces, suspects, .. } = self.0.board.snapshot();
				Answer::Sensors { interfaces, suspects }
			}
			Request::Allow { network, for_ms, dispute: true } => self.allow_and_dispute(network, for_ms).await,
			request => {
				let answer = self.forward(request).await;
				tell(&answer);
				answer
			}
		}
	}

	async fn forward(&self, request: Request) -> Answer {
		let Some(enforcer) = &self.0.enforcer else {
			return Answer::refused("nothing is enforced here: see [firewall] in the configuration");
		};
		let patience = match request {
			Request::Verify => PATIENCE_VERIFY,
			_ => PATIENCE,
		};
		match timeout(patience, enforcer.ask(request)).await {
			Ok(answer) => answer,
			Err(_) => Answer::failed("the firewall is busy: try again"),
		}
	}

	/// Lets a single address through, and disputes what blocks it.
	async fn allow_and_dispute(&self, network: Network, for_ms: Option<Millis>) -> Answer {
		let Some(disputes) = &self.0.disputes else {
			return Answer::refused("a dispute is signed: needs [account]; without it, allow it without a dispute");
		};
		// What blocks it is asked first: the person comes before the network, so nothing is left out afterwards either.
		let why = match self.forward(Request::Why { address: network.address() }).await {
			Answer::Why(why) => why,
			other => return other,
		};
		let answer = self.forward(Request::Allow { network, for_ms, dispute: false }).await;
		tell(&answer);
		let (set, replaced, mut disputed) = match answer {
			Answer::Set { set, replaced, disputed } => (set, replaced, disputed),
			other => return other,
		};
		for block in why.blocks.into_iter().filter(|block| disputes.reach(block.source)).take(MAX_DISPUTED) {
			let Block { id, target, .. } = block;
			// Taking a token leaves a bucket that makes sense.
			let sent = match lock(&self.0.disputed).take(now_ms()) {
				true => disputes.send(id),
				false => Err("too many disputes a minute".into()),
			};
			match sent {
				Ok(()) => disputed.push(Disputed { target, id }),
				Err(cause) => warn!(at = now_ms(), id = hex::encode(&id), cause, "not disputed"),
			}
		}
		Answer::Set { set, replaced, disputed }
	}
}

/// Puts what the household has changed into the log.
fn tell(answer: &Answer) {
	match answer {
		Answer::Set { set: Override { network, verdict, until, .. }, .. } => {
			let verb = match verdict {
				Verdict::Allow => "allowed by the household",
				Verdict::Block => "blocked by the household",
			};
			info!(at = now_ms(), %network, until, "{verb}");
		}
		Answer::Forgotten { network, was: Some(_) } => info!(at = now_ms(), %network, "left to the others again"),
		_ => {}
	}
}

/// Why the socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
	/// It cannot be bound, connected, read or written.
	#[error("{}: {source}", .path.display())]
	Io {
		/// The socket.
		path: PathBuf,
		/// Why.
		source: io::Error,
	},
	/// The answer is longer than [`MAX_ANSWER`].
	#[error("the enforcer's answer has no end")]
	TooLong,
	/// The answer makes no sense, as from another version.
	#[error("the enforcer's answer makes no sense: {0}")]
	Syntax(#[from] serde_json::Error),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ControlError + '_ {
	move |source| ControlError::Io { path: path.into(), source }
}

/// The bound socket.
#[derive(Debug)]
pub struct Control(UnixListener);

impl Control {
	/// Binds the socket in `state_dir`, in place of one that is left from earlier. To be called in a runtime, with the lock
	/// on the directory held.
	pub fn bind(state_dir: &Path) -> Result<Self, ControlError> {
		let (path, unready) = (state_dir.join(SOCKET), state_dir.join(UNREADY));
		match std::fs::remove_file(&unready) {
			Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&unready)(error)),
			_ => {}
		}
		let bind = || -> io::Result<UnixListener> {
			let listener = net::UnixListener::bind(&unready)?;
			listener.set_nonblocking(true)?;
			std::fs::set_permissions(&unready, std::fs::Permissions::from_mode(0o600))?;
			std::fs::rename(&unready, &path)?;
			UnixListener::from_std(listener)
		};
		bind().map(Self).map_err(at(&path))
	}

	/// Answers whoever asks. Never ends.
	pub async fn serve(self, desk: Desk) {
		let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
		// The semaphore is never closed, so there is always a place some time.
		while let Ok(place) = places.clone().acquire_owned().await {
			match self.0.accept().await {
				Ok((stream, _)) => {
					let desk = desk.clone();
					tokio::spawn(async move {
						if let Err(cause) = converse(stream, &desk).await {
							debug!(%cause, "a question without an answer");
						}
						drop(place);
					});
				}
				Err(cause) => {
					warn!(at = now_ms(), %cause, "control socket");
					sleep(PAUSE).await;
				}
			}
		}
	}
}

/// One question, one answer.
async fn converse(mut stream: UnixStream, desk: &Desk) -> io::Result<()> {
	let (reader, mut writer) = stream.split();
	let mut line = Vec::new();
	// One byte more than is taken shows that there are too many.
	let mut reader = BufReader::new(reader.take(MAX_REQUEST as u64 + 1));
	timeout(PATIENCE_READ, reader.read_until(b'\n', &mut line)).await??;
	let answer = match Request::decode(line.trim_ascii_end()) {
		Ok(request) => desk.ask(request).await,
		Err(cause) => Answer::refused(cause),
	};
	// Numbers and text always serialize.
	let mut text = serde_json::to_vec(&answer).unwrap_or_default();
	text.push(b'\n');
	timeout(PATIENCE_WRITE, writer.write_all(&text)).await??;
	writer.shutdown().await
}

/// Asks the enforcer that runs on `state_dir`, and waits. None: none listens there.
pub fn ask(state_dir: &Path, request: &Request) -> Result<Option<Answer>, ControlError> {
	let path = state_dir.join(SOCKET);
	let mut stream = match net::UnixStream::connect(&path) {
		Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
			return Ok(None)
		}
		stream => stream.map_err(at(&path))?,
	};
	// Numbers and text always serialize.
	let mut line = serde_json::to_vec(request).unwrap_or_default();
	line.push(b'\n');
	let mut converse = || -> io::Result<Vec<u8>> {
		stream.set_write_timeout(Some(PATIENCE_READ))?;
		stream.set_read_timeout(Some(PATIENCE_VERIFY + PATIENCE))?;
		stream.write_all(&line)?;
		let mut text = Vec::new();
		(&mut stream).take(MAX_ANSWER as u64 + 1).read_to_end(&mut text)?;
		Ok(text)
	};
	let text = converse().map_err(at(&path))?;
	if text.len() > MAX_ANSWER {
		return Err(ControlError::TooLong);
	}
	Ok(Some(serde_json::from_slice(&text)?))
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::daemon::status::Status;
	use proptest::prelude::*;
	use std::fs;

	fn decode(text: &str) -> Result<Request, RequestError> {
		Request::decode(text.as_bytes())
	}

	fn desk(directory: &Path) -> Desk {
		Desk::new(None, Board::new(Status::default()), None, History::open(directory))
	}

	#[test]
	fn requests_are_words_and_objects() {
		let peer: Network = "203.0.113.9".parse().unwrap();
		for (text, expected) in [
			(r#""overrides""#, Request::Overrides),
			(r#"{"why":{"address":"203.0.113.9"}}"#, Request::Why { address: peer.address() }),
			(r#"{"list":{"limit":1}}"#, Request::List { after: None, limit: 1, filter: Filter::default() }),
			(
				r#"{"list":{"after":7,"limit":500,"filter":{"source":"tier"}}}"#,
				Request::List {
					after: Some(7),
					limit: 500,
					filter: Filter { source: Some(Source::Tier), within: None },
				},
			),
			(
				r#"{"allow":{"network":"203.0.113.9","for-ms":1000,"dispute":true}}"#,
				Request::Allow { network: peer, for_ms: Some(1_000), dispute: true },
			),
			(r#"{"block":{"network":"203.0.113.9/32"}}"#, Request::Block { network: peer, for_ms: None }),
		] {
			assert_eq!(decode(text).unwrap(), expected, "{text}");
			assert_eq!(decode(&serde_json::to_string(&expected).unwrap()).unwrap(), expected, "{text}");
		}
	}

	#[test]
	fn requests_out_of_their_bounds_are_refused() {
		for (text, cause) in [
			(r#"{"list":{"limit":0}}"#, "1 to 500"),
			(r#"{"list":{"limit":501}}"#, "1 to 500"),
			(r#"{"allow":{"network":"0.0.0.0/7"}}"#, "wider"),
			(r#"{"block":{"network":"2001::/19"}}"#, "wider"),
			(r#"{"block":{"network":"192.0.2.1","for-ms":999}}"#, "1 second"),
			(r#"{"block":{"network":"192.0.2.1","for-ms":18446744073709551615}}"#, "1 second"),
			(r#"{"allow":{"network":"192.0.2.0/24","dispute":true}}"#, "one address"),
			(r#"{"block":{"network":"192.0.2.1","dispute":true}}"#, "unknown field"),
			(r#"{"why":{"address":"192.0.2.0/24"}}"#, "not an address"),
			(r#"{"reboot":{}}"#, "unknown variant"),
			("", "EOF"),
		] {
			let message = decode(text).unwrap_err().to_string();
			assert!(message.contains(cause), "{text}: {message}");
		}
		assert!(matches!(Request::decode(&[b' '; MAX_REQUEST + 1]), Err(RequestError::TooLong)));
	}

	#[test]
	fn blocks_are_filtered_by_origin_and_place() {
		let network: Network = "203.0.113.0/24".parse().unwrap();
		let wish = Override { network, verdict: Verdict::Block, since: 1, until: None };
		let block = Block::of_override(&wish);
		let within = |text: &str| Filter { within: Some(text.parse().unwrap()), source: None }.takes(&block);
		assert!(Filter::default().takes(&block));
		assert!(within("203.0.113.9") && within("203.0.0.0/16") && !within("203.0.114.0/24") && !within("::/0"));
		let source = |source| Filter { within: None, source: Some(source) }.takes(&block);
		assert!(source(Source::Household) && !source(Source::Chain));
		assert!(!Filter { within: Some(network), source: None }.takes(&Block { network: None, ..block.clone() }));
	}

	#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
	async fn whoever_asks_gets_one_answer() {
		let directory = tempfile::tempdir().unwrap();
		let path = directory.path();
		assert_eq!(ask(path, &Request::Overrides).unwrap(), None, "nobody listens");
		fs::write(path.join(SOCKET), "left from earlier").unwrap();
		let control = Control::bind(path).unwrap();
		assert_eq!(fs::metadata(path.join(SOCKET)).unwrap().permissions().mode() & 0o777, 0o600);
		let server = tokio::spawn(control.serve(desk(path)));
		let asked = |request: Request| {
			let path = path.to_owned();
			tokio::task::spawn_blocking(move || ask(&path, &request).unwrap())
		};
		let answer = asked(Request::Overrides).await.unwrap();
		assert!(matches!(answer, Some(Answer::Refused { cause }) if cause.contains("[firewall]")));
		let answer = asked(Request::List { after: None, limit: 0, filter: Filter::default() }).await.unwrap();
		assert!(matches!(answer, Some(Answer::Refused { cause }) if cause.contains("1 to 500")));
		assert!(
			matches!(asked(Request::Metrics).await.unwrap(), Some(Answer::Metrics(text)) if text.contains("# TYPE"))
		);
		assert!(matches!(asked(Request::History).await.unwrap(), Some(Answer::History(_))));
		server.abort();
		assert!(server.await.unwrap_err().is_cancelled());
		assert_eq!(asked(Request::Overrides).await.unwrap(), None, "a socket without a listener is nobody");
	}

	#[tokio::test]
	async fn a_flood_of_bytes_is_one_refusal() {
		let directory = tempfile::tempdir().unwrap();
		let (mut client, server) = UnixStream::pair().unwrap();
		let desk = desk(directory.path());
		let server = tokio::spawn(async move { converse(server, &desk).await });
		client.write_all(&[b'x'; MAX_REQUEST + 1]).await.unwrap();
		let mut text = String::new();
		client.read_to_string(&mut text).await.unwrap();
		assert!(text.contains("4096 bytes at most"), "{text}");
		server.await.unwrap().unwrap();
	}

	proptest! {
		/// Nothing that a line may hold breaks the reader, and what it takes is within bounds.
		#[test]
		fn no_line_is_too_odd(line in proptest::collection::vec(any::<u8>(), 0..200)) {
			if let Ok(request) = Request::decode(&line) {
				prop_assert!(request.check().is_ok());
			}
		}
	}
}
