//! What a person does by command: settle what the inbox left, hand out keys, set a whitelist.
//!
//! Each command that needs the chain connects by itself, makes its calls one after the other, and says what became of each.
//! It may run beside the daemon; where both use the same account at the same moment, one of them tries again.

use super::{
	chain::{ChainError, Connection},
	config::Config,
	dial::{Dialer, TlsError},
	household::Whitelist,
	key::{self, KeyError, Keys},
	keyring::{Keyring, KeyringError},
	now_ms, secrets,
	sense::open_call,
	state::{self, StateError},
	submit::{once, Call, Job, OnceError, Remedy, PATIENCE_QUOTA, PAUSE_QUOTA, RETRIES},
	tray::{Item, Tray, TrayError},
};
use crate::core::{
	blake2_256,
	envelope::{seal, seal_tier, tier_key, Context, SealError, Sender},
	hex::{self, HexError},
	inbox::{own_decision, own_report},
	list::{self, Layout, LineError, List, ListError},
	report::Report,
};
use ringfence_primitives::{
	call::GOOD_BATCH,
	envelope::{Body, EnvelopeKey, Letter, Message, Outcome, TierChange, TierKey, MAX_WHITELIST},
	AccountBytes, Digest, Dossier, Indicator, IndicatorId, Millis, Network, Standing, Terms, Transport,
};
use sp_core::Pair;
use std::{
	fs::File,
	io::{self, Read},
	path::Path,
	str::FromStr,
	sync::Arc,
	time::Duration,
};
use tokio::{
	runtime,
	task::JoinSet,
	time::{sleep, Instant},
};

/// Skipped lines of a list that are told one by one.
const TOLD: usize = 20;
/// Indicators that are looked up at a time.
const LOOKS: usize = 32;
/// Pause before a batch that was lost is sent again: two blocks.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a command did not do what it says.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
	/// There is no account.
	#[error("account: needed for this")]
	NoAccount,
	/// There is no inbox.
	#[error("inbox: only an ISP with [inbox] has one")]
	NoInbox,
	/// There is no provider.
	#[error("subscriber: only a household with [subscriber] has a whitelist")]
	NoSubscriber,
	/// The certificates that nodes are checked against.
	#[error("chain.roots: {0}")]
	Tls(#[from] TlsError),
	/// The account's key.
	#[error("account.key-file: {0}")]
	Key(#[from] KeyError),
	/// The state directory.
	#[error("state-dir: {0}")]
	State(#[from] StateError),
	/// What is left to a person.
	#[error("inbox: {0}")]
	Tray(#[from] TrayError),
	/// The keys of the tier.
	#[error("tier keys: {0}")]
	Keyring(#[from] KeyringError),
	/// No key of the tier.
	#[error("there is no tier key yet: `tier-key new` makes one")]
	NoTierKey,
	/// A key with a number that was used before.
	#[error("tier key {0} is not newer than the newest")]
	OldNumber(u32),
	/// The operating system.
	#[error("{0}")]
	System(#[from] io::Error),
	/// No node of the right chain.
	#[error("chain.endpoints: {0}")]
	Unreachable(ChainError),
	/// The node does not answer.
	#[error(transparent)]
	Chain(#[from] ChainError),
	/// A call did not get through.
	#[error(transparent)]
	Once(#[from] OnceError),
	/// Nothing can be sealed.
	#[error(transparent)]
	Seal(#[from] SealError),
	/// The member has no envelope key on the chain.
	#[error("{} has set no envelope key", hex::encode(.0))]
	NoEnvelopeKey(AccountBytes),
	/// The letter says nothing that can be done.
	#[error("the letter asks for nothing of the kind")]
	Senseless,
	/// The chain knows no such indicator.
	#[error("the chain knows no indicator {}", hex::encode(.0))]
	NoIndicator(IndicatorId),
	/// A file with networks.
	#[error("{path}: line {line}: {cause}")]
	Networks {
		/// The file.
		path: String,
		/// Where in it.
		line: usize,
		/// What is wrong.
		cause: String,
	},
	/// A household's account.
	#[error("subscriber: a list is reported in the open, by ISPs and researchers; a household tells its ISP")]
	Household,
	/// A list that cannot be read.
	#[error("{path}: {source}")]
	Unreadable {
		/// The file.
		path: String,
		/// Why.
		source: io::Error,
	},
	/// A list that is refused.
	#[error("{path}: {source}")]
	List {
		/// The file.
		path: String,
		/// Why.
		source: ListError,
	},
	/// A list without an indicator.
	#[error("{0}: nothing in it to report")]
	EmptyList(String),
	/// An indicator that the member cannot dispute.
	#[error("{}: {cause}", hex::encode(.id))]
	Undisputable {
		/// Its name.
		id: IndicatorId,
		/// Why not.
		cause: &'static str,
	},
	/// Some of several calls, or of their items, did not get through; the others did.
	#[error("{text}\n{failed} of {all} did not get through")]
	Partly {
		/// What became of each.
		text: String,
		/// How many did not.
		failed: usize,
		/// Of how many.
		all: usize,
	},
}

type Result<T> = std::result::Result<T, ActionError>;

/// A member of the tier to send a key to: `0xMEMBER`, or `0xMEMBER:0xKEY` to trust nobody for the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recipient {
	/// The member.
	pub member: AccountBytes,
	/// Its envelope key, if the chain is not to be asked for it.
	pub key: Option<EnvelopeKey>,
}

impl FromStr for Recipient {
	type Err = HexError;

	fn from_str(text: &str) -> std::result::Result<Self, HexError> {
		let (member, key) = match text.split_once(':') {
			Some((member, key)) => (member, Some(hex::digest(key)?)),
			None => (text, None),
		};
		Ok(Self { member: hex::digest(member)?, key })
	}
}

/// What a dispute is about: `0xID`, or the indicator itself as a list has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
	/// The indicator of this name.
	Id(IndicatorId),
	/// The indicator.
	Indicator(Indicator),
}

/// Why a text is no [`Subject`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubjectError {
	/// It begins like a name.
	#[error(transparent)]
	Id(#[from] HexError),
	/// It does not.
	#[error(transparent)]
	Indicator(#[from] LineError),
}

impl FromStr for Subject {
	type Err = SubjectError;

	fn from_str(text: &str) -> std::result::Result<Self, SubjectError> {
		Ok(match text.starts_with("0x") {
			true => Self::Id(hex::digest(text)?),
			false => Self::Indicator(list::indicator(text, None)?),
		})
	}
}

impl Subject {
	/// The name of the indicator.
	pub fn id(&self) -> IndicatorId {
		match self {
			Self::Id(id) => *id,
			Self::Indicator(indicator) => indicator.id(),
		}
	}
}

/// A connection, and who speaks over it.
struct Session {
	connection: Arc<Connection>,
	keys: Keys,
	member: AccountBytes,
}

impl Session {
	async fn open(config: &Config) -> Result<Self> {
		let (keys, member) = identity(config)?;
		let genesis = match config.genesis {
			Some(genesis) => Some(genesis),
			None => state::genesis(&config.state_dir)?,
		};
		let dialer = Dialer::new(config.roots.as_deref(), config.pin)?;
		let mut failure = ChainError::Closed;
		for endpoint in &config.endpoints {
			match Connection::open(&dialer, endpoint, genesis).await {
				Ok(connection) => return Ok(Self { connection: Arc::new(connection), keys, member }),
				Err(error) => failure = error,
			}
		}
		Err(ActionError::Unreachable(failure))
	}

	async fn call(&self, id: Digest, call: Call) -> Result<String> {
		let name = call.name();
		let block = once(&self.connection, &self.keys.account, &Job { id, call }).await?;
		Ok(format!("{name}: in block {block}"))
	}

	fn context(&self, to: AccountBytes) -> Context {
		Context { genesis: self.connection.genesis, from: self.member, to }
	}

	/// The key that letters to `member` are sealed to, by the chain's word as the node tells it.
	async fn envelope_key(&self, member: &AccountBytes) -> Result<EnvelopeKey> {
		let info = self.connection.member(member).await?;
		info.and_then(|info| info.envelope_key).ok_or(ActionError::NoEnvelopeKey(*member))
	}

	/// The indicator called `id`.
	async fn indicator(&self, id: &IndicatorId) -> Result<Indicator> {
		let dossier = self.connection.dossier(id).await?;
		// A name is the hash of what it names, so the node cannot pass another indicator off.
		let indicator = dossier.map(|dossier| dossier.indicator).filter(|indicator| indicator.id() == *id);
		indicator.ok_or(ActionError::NoIndicator(*id))
	}

	/// Disputes the indicator called `id`, in the open.
	async fn dispute(&self, id: IndicatorId) -> Result<String> {
		let dossier = self.connection.dossier(&id).await?.ok_or(ActionError::NoIndicator(id))?;
		match undisputable(&dossier, &self.member) {
			Some(cause) => Err(ActionError::Undisputable { id, cause }),
			None => self.call(id, Call::Dispute).await,
		}
	}

	/// Reports `indicators`, a batch after the other: how many are in blocks, and what kept the rest from it.
	async fn report_all(
		&self,
		indicators: &[Indicator],
		terms: &Terms,
		tell: &mut dyn FnMut(&str),
	) -> (usize, Option<OnceError>) {
		let (mut sent, mut size) = (0, GOOD_BATCH);
		let (mut since, mut tries) = (Instant::now(), 0);
		while let Some(first) = indicators.get(sent) {
			let batch = &indicators[sent..indicators.len().min(sent + size)];
			let job = Job { id: first.id(), call: Call::ReportBatch(Box::new((terms.clone(), batch.to_vec()))) };
			let cause = match once(&self.connection, &self.keys.account, &job).await {
				Ok(block) => {
					sent += batch.len();
					(since, tries) = (Instant::now(), 0);
					tell(&format!("{sent} of {}: in block {block}", indicators.len()));
					continue;
				}
				Err(cause) => cause,
			};
			match cause.remedy() {
				Remedy::Fewer if batch.len() > 1 => size = batch.len() / 2,
				Remedy::Wait if since.elapsed() < PATIENCE_QUOTA => sleep(PAUSE_QUOTA).await,
				Remedy::Again if tries < RETRIES => {
					tries += 1;
					sleep(PAUSE).await;
				}
				_ => return (sent, Some(cause)),
			}
		}
		(sent, None)
	}

	/// Those of `indicators` that the chain has not taken, each with the cause as far as it can be told, in their order.
	async fn not_taken(&self, indicators: &[Indicator]) -> Result<Vec<(Indicator, &'static str)>> {
		let mut looks = JoinSet::new();
		let mut rest = (0..).zip(indicators.iter().cloned());
		let mut found: Vec<(usize, Indicator, &'static str)> = Vec::new();
		loop {
			while looks.len() < LOOKS {
				let Some((place, indicator)) = rest.next() else { break };
				let connection = self.connection.clone();
				looks.spawn(async move {
					let dossier = connection.dossier(&indicator.id()).await;
					(place, indicator, dossier)
				});
			}
			let Some(look) = looks.join_next().await else { break };
			// None was cancelled, so it panicked, and so does this.
			let (place, indicator, dossier) = look.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
			if let Some(cause) = refusal(dossier?.as_ref()) {
				found.push((place, indicator, cause));
			}
		}
		found.sort_unstable_by_key(|(place, ..)| *place);
		Ok(found.into_iter().map(|(_, indicator, cause)| (indicator, cause)).collect())
	}

	async fn send_tier_key(&self, key: &TierKey, recipients: &[(AccountBytes, EnvelopeKey)]) -> Result<String> {
		let mut lines = Vec::new();
		let mut failed = 0;
		for (member, public) in recipients {
			let message = Message { at: now_ms(), body: Body::TierKey(key.clone()) };
			// Subscribers pin this account's key, and open nothing else.
			let sender = Sender::Known(&self.keys.envelope);
			let (envelope, _) = seal(&mut secrets(), public, sender, &self.context(*member), &message)?;
			let id = Letter { from: self.member, to: *member, envelope: envelope.clone() }.name();
			let said = match self.call(id, Call::Send { to: *member, envelope }).await {
				Ok(said) => said,
				Err(error) => {
					failed += 1;
					error.to_string()
				}
			};
			lines.push(format!("{}  {said}", hex::encode(member)));
		}
		let text = lines.join("\n");
		match failed {
			0 => Ok(text),
			_ => Err(ActionError::Partly { text, failed, all: recipients.len() }),
		}
	}

	async fn keys_of(&self, recipients: &[Recipient]) -> Result<Vec<(AccountBytes, EnvelopeKey)>> {
		let mut keys = Vec::new();
		for Recipient { member, key } in recipients {
			let key = match key {
				Some(key) => *key,
				None => self.envelope_key(member).await?,
			};
			keys.push((*member, key));
		}
		Ok(keys)
	}
}

/// The account's keys, and the member that it acts for.
fn identity(config: &Config) -> Result<(Keys, AccountBytes)> {
	let keys = key::load_all(config.key_file.as_deref().ok_or(ActionError::NoAccount)?)?;
	let member = config.member.unwrap_or(keys.account.public().0);
	Ok((keys, member))
}

/// Why `member` cannot dispute an indicator, if it cannot.
fn undisputable(dossier: &Dossier, member: &AccountBytes) -> Option<&'static str> {
	if dossier.reporter == *member {
		return Some("reported by this member, who takes it back with `indicators.withdraw(id)`");
	}
	match dossier.standing {
		Standing::Active { .. } => None,
		Standing::Disputed { .. } => Some("disputed already: an ISP can vote on it"),
		Standing::Proposed | Standing::Provisional { .. } => Some("not confirmed yet: an ISP can vote on it"),
		Standing::Rejected => Some("voted down, and so not active"),
	}
}

/// Why a report came to nothing, from what is on record afterwards; None if it came to something.
fn refusal(dossier: Option<&Dossier>) -> Option<&'static str> {
	match dossier.map(|dossier| dossier.standing) {
		None => Some("not on record"),
		Some(Standing::Rejected) => Some("voted down, and not to be reported again yet"),
		Some(_) => None,
	}
}

fn on_chain<T>(work: impl std::future::Future<Output = Result<T>>) -> Result<T> {
	runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn tray(config: &Config) -> Result<Tray> {
	if config.inbox.is_none() {
		return Err(ActionError::NoInbox);
	}
	state::make(&config.state_dir)?;
	Ok(Tray::open(&config.state_dir)?)
}

/// What is left to a person, one line a letter.
pub fn inbox_list(config: &Config) -> Result<String> {
	let now = now_ms();
	let items = tray(config)?.items()?;
	let lines: Vec<_> = items.iter().map(|item| describe(item, now)).collect();
	Ok(if lines.is_empty() { "nothing is left to a person".into() } else { lines.join("\n") })
}

fn describe(Item { letter, from, at, body, .. }: &Item, now: Millis) -> String {
	let says = match body {
		Body::Report(indicator, terms) => format!(
			"report {indicator}: {}, severity {}, confidence {}, {:?}",
			terms.threat,
			terms.severity,
			terms.confidence.get(),
			terms.note.as_str(),
		),
		Body::Dispute(id) => format!("dispute {}", hex::encode(id)),
		// The inbox leaves neither to a person.
		Body::TierKey(_) | Body::Whitelist(_) => "nothing".into(),
	};
	let minutes = now.saturating_sub(*at) / 60_000;
	format!("{}  {minutes} min ago, from {}\n    {says}", hex::encode(letter), hex::encode(from))
}

/// Does nothing about a letter, and has the household told so.
pub fn inbox_dismiss(config: &Config, letter: &Digest) -> Result<String> {
	tray(config)?.settle(letter, Outcome::Dismissed)?;
	Ok("dismissed; the answer goes with the next ones".into())
}

/// Does what a letter asks for, for the own subscribers only.
pub fn inbox_act(config: &Config, letter: &Digest) -> Result<String> {
	let mut tray = tray(config)?;
	let item = tray.find(letter)?;
	let keyring = Keyring::open(&config.state_dir)?;
	let key = keyring.newest().ok_or(ActionError::NoTierKey)?;
	let said = on_chain(async {
		let session = Session::open(config).await?;
		let change = match &item.body {
			Body::Report(indicator, terms) => {
				TierChange::Block(own_decision(&config.reporting, indicator, terms, now_ms()))
			}
			Body::Dispute(id) => TierChange::Unblock(session.indicator(id).await?),
			Body::TierKey(_) | Body::Whitelist(_) => return Err(ActionError::Senseless),
		};
		let sealed = seal_tier(key, &session.member, &change, &mut secrets())?;
		session.call(blake2_256(&sealed), Call::Announce(sealed)).await
	})?;
	tray.settle(letter, Outcome::Tier1)?;
	Ok(said)
}

/// Says what a letter says to all ISPs, as the own word.
pub fn inbox_promote(config: &Config, letter: &Digest) -> Result<String> {
	let mut tray = tray(config)?;
	let item = tray.find(letter)?;
	let said = on_chain(async {
		let session = Session::open(config).await?;
		match &item.body {
			Body::Report(indicator, terms) => {
				let Report { id, indicator, terms } = own_report(&config.reporting, indicator, terms);
				session.call(id, open_call(config.provisional, indicator, terms)).await
			}
			Body::Dispute(id) => session.dispute(*id).await,
			Body::TierKey(_) | Body::Whitelist(_) => Err(ActionError::Senseless),
		}
	})?;
	tray.settle(letter, Outcome::Promoted)?;
	Ok(said)
}

/// Reports everything on a list under `terms`, in the open; `-` is the standard input. `protocol` is that of services that
/// name none. What is passed over, and how far it is, goes to `tell` at once.
pub fn report_list(
	config: &Config,
	file: &Path,
	layout: &Layout,
	protocol: Option<Transport>,
	terms: &Terms,
	tell: &mut dyn FnMut(&str),
) -> Result<String> {
	if config.subscriber.is_some() {
		return Err(ActionError::Household);
	}
	let path = file.display().to_string();
	let text = read_list(file).map_err(|source| ActionError::Unreadable { path: path.clone(), source })?;
	// What this enforcer would not block is not what to tell others to block.
	let exempt: Vec<_> = config.protected.iter().chain(&config.allow).copied().collect();
	let list = list::parse_as(layout, &text, protocol, &exempt)
		.map_err(|source| ActionError::List { path: path.clone(), source })?;
	told(&path, &list).iter().for_each(|line| tell(line));
	let List { indicators, .. } = list;
	if indicators.is_empty() {
		return Err(ActionError::EmptyList(path));
	}
	on_chain(async {
		let session = Session::open(config).await?;
		let all = indicators.len();
		let (sent, cause) = session.report_all(&indicators, terms, tell).await;
		let mut lines = Vec::new();
		let mut failed = all - sent;
		if let Some(cause) = cause {
			lines.push(format!("{failed} were not reported: {cause}"));
		}
		match session.not_taken(&indicators[..sent]).await {
			Ok(found) => {
				failed += found.len();
				lines.extend(found.iter().map(|(indicator, cause)| format!("{indicator}: {cause}")));
			}
			Err(cause) => {
				failed = all;
				lines.push(format!("{sent} were reported, but what became of them is not known: {cause}"));
			}
		}
		match failed {
			0 => Ok(format!("all {all} are on record")),
			_ => {
				lines.push(format!("{} are on record", all - failed));
				Err(ActionError::Partly { text: lines.join("\n"), failed, all })
			}
		}
	})
}

/// The bytes of a list, though no more than one too many.
fn read_list(file: &Path) -> io::Result<Vec<u8>> {
	let source: Box<dyn Read> = match file == Path::new("-") {
		true => Box::new(io::stdin()),
		false => Box::new(File::open(file)?),
	};
	let mut text = Vec::new();
	source.take(list::MAX_BYTES as u64 + 1).read_to_end(&mut text)?;
	Ok(text)
}

/// What a person should know of a list, in bounded length.
fn told(path: &str, list: &List) -> Vec<String> {
	let each = |list::Skipped { line, cause }: &list::Skipped| format!("{path}: line {line}: {cause}");
	let mut lines: Vec<_> = list.skipped.iter().take(TOLD).map(each).collect();
	if list.skipped.len() > TOLD {
		lines.push(format!("{path}: … and {} more lines", list.skipped.len() - TOLD));
	}
	let (read, skipped, repeated) = (list.indicators.len(), list.skipped.len(), list.repeated);
	lines.push(format!("{path}: {read} to report, {skipped} lines skipped, {repeated} repeated"));
	lines
}

/// Says that an indicator should not be active: a household to its provider, sealed, everybody else in the open.
pub fn dispute(config: &Config, subject: &Subject) -> Result<String> {
	let id = subject.id();
	on_chain(async {
		let session = Session::open(config).await?;
		let Some(provider) = config.subscriber else { return session.dispute(id).await };
		// Nothing is asked about the indicator: the node need not know what the letter is about.
		let message = Message { at: now_ms(), body: Body::Dispute(id) };
		let context = session.context(provider.account);
		let (envelope, _) = seal(&mut secrets(), &provider.key, Sender::Signed, &context, &message)?;
		session.call(id, Call::Send { to: provider.account, envelope }).await
	})
}

/// The public key that belongs to the account's secret.
pub fn envelope_key(config: &Config) -> Result<String> {
	Ok(hex::encode(&identity(config)?.0.envelope.public()))
}

/// Names the member's envelope key on the chain: `key`, or the own one. Needs the owner's key.
pub fn set_envelope_key(config: &Config, key: Option<EnvelopeKey>) -> Result<String> {
	on_chain(async {
		let session = Session::open(config).await?;
		let key = key.unwrap_or_else(|| session.keys.envelope.public());
		session.call(key, Call::SetEnvelopeKey(key)).await
	})
}

/// Makes a new key of the tier and sends it to `recipients`: whoever is left out reads nothing more.
pub fn tier_key_new(config: &Config, number: Option<u32>, recipients: &[Recipient]) -> Result<String> {
	if config.inbox.is_none() {
		return Err(ActionError::NoInbox);
	}
	state::make(&config.state_dir)?;
	let mut keyring = Keyring::open(&config.state_dir)?;
	let newest = keyring.newest().map_or(0, |key| key.number);
	let number = number.unwrap_or(newest.saturating_add(1));
	if number <= newest {
		return Err(ActionError::OldNumber(number));
	}
	on_chain(async {
		let session = Session::open(config).await?;
		// Nothing is changed before it is clear to whom the key can go.
		let recipients = session.keys_of(recipients).await?;
		let key = tier_key(number, &mut secrets());
		keyring.add(key.clone())?;
		session.send_tier_key(&key, &recipients).await
	})
}

/// Sends the newest key of the tier to `recipients`, such as a new subscriber.
pub fn tier_key_send(config: &Config, recipients: &[Recipient]) -> Result<String> {
	if config.inbox.is_none() {
		return Err(ActionError::NoInbox);
	}
	let keyring = Keyring::open(&config.state_dir)?;
	let key = keyring.newest().ok_or(ActionError::NoTierKey)?;
	on_chain(async {
		let session = Session::open(config).await?;
		let recipients = session.keys_of(recipients).await?;
		session.send_tier_key(key, &recipients).await
	})
}

/// Tells the own gateway, whose envelope key is `gateway` or else the one on the chain, which networks may come in. Needs
/// the owner's key.
pub fn whitelist_set(config: &Config, file: &Path, gateway: Option<EnvelopeKey>) -> Result<String> {
	let networks = networks(&file.display().to_string(), &std::fs::read_to_string(file)?)?;
	let count = networks.len();
	let body = Body::Whitelist(networks.try_into().map_err(|_| SealError::TooLong)?);
	on_chain(async {
		let session = Session::open(config).await?;
		let key = match gateway {
			Some(key) => key,
			None => session.envelope_key(&session.member).await?,
		};
		let message = Message { at: now_ms(), body };
		// The record of it on the chain is what the gateway goes by.
		let context = session.context(session.member);
		let (envelope, _) = seal(&mut secrets(), &key, Sender::Signed, &context, &message)?;
		let id = ringfence_primitives::envelope::name(&envelope);
		let said = session.call(id, Call::SetWhitelist(envelope)).await?;
		Ok(format!("{said}, {count} networks"))
	})
}

/// The whitelist that this gateway keeps.
pub fn whitelist_show(config: &Config) -> Result<String> {
	if config.subscriber.is_none() {
		return Err(ActionError::NoSubscriber);
	}
	Ok(match Whitelist::load(&config.state_dir)? {
		None => "the owner has set no whitelist".into(),
		Some(Whitelist { number, networks, .. }) => {
			let networks: Vec<_> = networks.iter().map(Network::to_string).collect();
			format!("whitelist {number}\n{}", networks.join("\n"))
		}
	})
}

/// One network a line; what follows a `#`, and empty lines, are left out.
fn networks(path: &str, text: &str) -> Result<Vec<Network>> {
	let mut networks = Vec::new();
	for (number, line) in (1..).zip(text.lines()) {
		let line = line.split('#').next().unwrap_or_default().trim();
		if line.is_empty() {
			continue;
		}
		let fault = |cause: String| ActionError::Networks { path: path.into(), line: number, cause };
		networks.push(line.parse().map_err(|cause: <Network as FromStr>::Err| fault(cause.to_string()))?);
		if networks.len() > MAX_WHITELIST as usize {
			return Err(fault(format!("more than {MAX_WHITELIST} networks")));
		}
	}
	Ok(networks)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn recipients_are_members_with_or_without_their_key() {
		let digest = |pair: &str| format!("0x{}", pair.repeat(32));
		let member: Recipient = digest("01").parse().unwrap();
		assert_eq!(member, Recipient { member: [1; 32], key: None });
		let pinned: Recipient = format!("{}:{}", digest("01"), digest("02")).parse().unwrap();
		assert_eq!(pinned, Recipient { member: [1; 32], key: Some([2; 32]) });
		for text in ["", "0x01", &format!("{}:", digest("01")), &format!(":{}", digest("01"))] {
			assert!(text.parse::<Recipient>().is_err(), "{text:?}");
		}
	}

	#[test]
	fn disputes_are_about_names_or_indicators() {
		let id = [5; 32];
		assert_eq!(hex::encode(&id).parse::<Subject>(), Ok(Subject::Id(id)));
		let host: Subject = "203.0.113.9".parse().unwrap();
		assert_eq!(host.id(), Indicator::from("203.0.113.9".parse::<Network>().unwrap()).id());
		for text in ["203.0.113.0/24", "tcp 203.0.113.9:23", "2001:db8::1"] {
			assert!(matches!(text.parse::<Subject>(), Ok(Subject::Indicator(_))), "{text}");
		}
		for text in ["", "0x05", "0x203.0.113.9", "example.net", "203.0.113.9:23"] {
			assert!(text.parse::<Subject>().is_err(), "{text:?}");
		}
	}

	fn dossier(standing: Standing) -> Dossier {
		use ringfence_primitives::{Action, Confidence, Direction, Lifetime, Note, Severity, ThreatClass, Tlp};
		let indicator: Indicator = "203.0.113.9".parse::<Network>().unwrap().into();
		let terms = Terms {
			threat: ThreatClass::Other,
			severity: Severity::Low,
			confidence: Confidence::MIN,
			direction: Direction::Both,
			action: Action::Drop,
			tlp: Tlp::Green,
			lifetime: Lifetime::MIN,
			evidence: None,
			note: Note::default(),
		};
		let id = indicator.id();
		Dossier { id, indicator, terms, standing, reporter: [1; 32], proposed_at: 0, ends_at: 1, votes: Vec::new() }
	}

	#[test]
	fn only_what_is_active_and_another_members_can_be_disputed() {
		let (active, disputed) =
			(Standing::Active { since: 0 }, Standing::Disputed { since: 0, by: [3; 32], until: 1 });
		assert_eq!(undisputable(&dossier(active), &[2; 32]), None);
		assert!(undisputable(&dossier(active), &[1; 32]).is_some_and(|cause| cause.contains("withdraw")));
		for standing in [disputed, Standing::Proposed, Standing::Provisional { since: 0 }, Standing::Rejected] {
			assert!(undisputable(&dossier(standing), &[2; 32]).is_some(), "{standing:?}");
		}
	}

	#[test]
	fn a_report_came_to_something_if_it_is_on_record_and_not_voted_down() {
		assert_eq!(refusal(None), Some("not on record"));
		assert!(refusal(Some(&dossier(Standing::Rejected))).is_some());
		for standing in [Standing::Proposed, Standing::Provisional { since: 0 }, Standing::Active { since: 0 }] {
			assert_eq!(refusal(Some(&dossier(standing))), None, "{standing:?}");
		}
	}

	#[test]
	fn of_a_bad_list_only_the_first_faults_are_told_one_by_one() {
		let text = "192.0.2.1\n192.0.2.1\n".to_owned() + &"example.net\n".repeat(TOLD + 5);
		let lines = told("list", &list::parse(text.as_bytes(), None, &[]).unwrap());
		assert_eq!(lines.len(), TOLD + 2);
		assert_eq!(lines[0], "list: line 3: not an address or network");
		assert_eq!(lines[TOLD], "list: … and 5 more lines");
		assert_eq!(lines[TOLD + 1], "list: 1 to report, 25 lines skipped, 1 repeated");
	}

	#[test]
	fn lists_are_not_for_households_and_are_read_before_anything_is_signed() {
		let directory = tempfile::tempdir().unwrap();
		let text = format!(
			"state-dir = {:?}\nchain.endpoints = [\"ws://[::1]:1\"]\npolicy.allow = [\"192.0.2.1\"]\n",
			directory.path()
		);
		let file = directory.path().join("list");
		let report = |text: &str| {
			let mut lines = Vec::new();
			let terms = dossier(Standing::Proposed).terms;
			let mut tell = |line: &str| lines.push(line.to_owned());
			let result = report_list(&Config::parse(text).unwrap(), &file, &Layout::Plain, None, &terms, &mut tell);
			(result.unwrap_err(), lines)
		};
		let household = format!(
			"{text}account.key-file = \"key\"\nsubscriber = {{ provider = \"0x{}\", provider-key = \"0x{}\" }}\n",
			"01".repeat(32),
			"02".repeat(32)
		);
		assert!(matches!(report(&household), (ActionError::Household, lines) if lines.is_empty()));
		assert!(matches!(report(&text).0, ActionError::Unreadable { .. }));
		std::fs::write(&file, "192.0.2.1\nexample.net\n").unwrap();
		let (error, lines) = report(&text);
		assert!(matches!(error, ActionError::EmptyList(_)), "{error}");
		assert!(
			lines[0].ends_with("line 1: overlaps 192.0.2.1/32, which [policy] keeps from being blocked"),
			"{lines:?}"
		);
		std::fs::write(&file, "#\n".repeat(list::MAX_LINES + 1)).unwrap();
		assert!(matches!(report(&text), (ActionError::List { .. }, lines) if lines.is_empty()));
		std::fs::write(&file, "192.0.2.2\n").unwrap();
		assert!(matches!(report(&text).0, ActionError::NoAccount));
	}

	#[test]
	fn whitelists_are_read_line_by_line() {
		let text = "# friends\n192.0.2.0/24\n\n  2001:db8::1 # the office\n";
		let expected: [Network; 2] = ["192.0.2.0/24".parse().unwrap(), "2001:db8::1".parse().unwrap()];
		assert_eq!(networks("list", text).unwrap(), expected);
		let error = networks("list", "192.0.2.0/24\nexample.net\n").unwrap_err().to_string();
		assert!(error.starts_with("list: line 2: "), "{error}");
		let long = "192.0.2.1\n".repeat(MAX_WHITELIST as usize + 1);
		assert!(networks("list", &long).unwrap_err().to_string().contains("more than 48"));
	}

	#[test]
	fn commands_that_do_not_fit_the_configuration_say_so() {
		let directory = tempfile::tempdir().unwrap();
		let text = format!("state-dir = {:?}\nchain.endpoints = [\"ws://[::1]:1\"]\n", directory.path());
		let config = Config::parse(&text).unwrap();
		assert!(matches!(inbox_list(&config), Err(ActionError::NoInbox)));
		assert!(matches!(tier_key_new(&config, None, &[]), Err(ActionError::NoInbox)));
		assert!(matches!(whitelist_show(&config), Err(ActionError::NoSubscriber)));
		assert!(matches!(envelope_key(&config), Err(ActionError::NoAccount)));
	}
}
