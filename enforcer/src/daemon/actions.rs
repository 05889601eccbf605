//! What a person does by command: settle what the inbox left, hand out keys, set a whitelist.
//!
//! Each command that needs the chain connects by itself, makes its calls one after the other, and says what became of each.
//! It may run beside the daemon; where both use the same account at the same moment, one of them tries again.

use super::{
	chain::{ChainError, Connection},
	config::Config,
	household::Whitelist,
	key::{self, KeyError, Keys},
	keyring::{Keyring, KeyringError},
	now_ms, secrets,
	sense::open_call,
	state::{self, StateError},
	submit::{once, Call, Job, OnceError},
	tray::{Item, Tray, TrayError},
};
use crate::core::{
	blake2_256,
	envelope::{seal, seal_tier, tier_key, Context, SealError, Sender},
	hex::{self, HexError},
	inbox::{own_decision, own_report},
	report::Report,
};
use ringfence_primitives::{
	envelope::{Body, EnvelopeKey, Letter, Message, Outcome, TierChange, TierKey, MAX_WHITELIST},
	AccountBytes, Digest, Indicator, IndicatorId, Millis, Network,
};
use sp_core::Pair;
use std::{io, path::Path, str::FromStr};
use tokio::runtime;

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
	/// Some of several calls did not get through; the others did.
	#[error("{text}\n{failed} of {all} were not told")]
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

/// A connection, and who speaks over it.
struct Session {
	connection: Connection,
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
		let mut failure = ChainError::Closed;
		for endpoint in &config.endpoints {
			match Connection::open(endpoint, genesis).await {
				Ok(connection) => return Ok(Self { connection, keys, member }),
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
	let (id, call) = match &item.body {
		Body::Report(indicator, terms) => {
			let Report { id, indicator, terms } = own_report(&config.reporting, indicator, terms);
			(id, open_call(config.provisional, indicator, terms))
		}
		Body::Dispute(id) => (*id, Call::Dispute),
		Body::TierKey(_) | Body::Whitelist(_) => return Err(ActionError::Senseless),
	};
	let said = on_chain(async { Session::open(config).await?.call(id, call).await })?;
	tray.settle(letter, Outcome::Promoted)?;
	Ok(said)
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
