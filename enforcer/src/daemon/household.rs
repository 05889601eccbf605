//! A household's side of tier 1: findings go to its provider in envelopes, and what the provider and the owner seal for the
//! gateway comes in.
//!
//! # Security considerations
//!
//! The provider's key is pinned in the configuration, so no node can put another in its place. What the provider tells is
//! opened against that key: a node that lies, or whoever else seals to the gateway, cannot make a tier key up. It can only
//! keep letters back. The owner's whitelist is taken only as a final block proves it to be on record, and never an older one
//! than came in before; a node that does not hand over the one on record is left. Letters are opened once, what cannot be
//! opened costs one line in the log, and all memory is bounded.
//!
//! Losing `whitelist.json` opens nothing: the state remembers that a list came in. Until the chain was asked for it again,
//! a gateway in whitelist mode then lets in nobody who is not exempt.

use super::{
	chain::{ChainError, Connection},
	excerpt,
	keyring::Keyring,
	letter, now_ms, secrets,
	state::{self, Listed, Memory, StateError},
	status::Board,
	submit::{Call, Job, Submitter},
};
use crate::core::{
	envelope::{self, is_on_record, AnswerKey, Context, Keypair, OpenError, SealError, Seen, Sender},
	finality::{FinalityError, Handoffs},
	frame::FrameError,
	hex,
	pulse::OVERTAKEN,
	record::RecordProof,
	report::Bucket,
};
use ringfence_primitives::{
	envelope::{Body, EnvelopeKey, Letter, Message, Outcome, WhitelistRecord},
	AccountBytes, Digest, Millis, Network,
};
use serde::{Deserialize, Serialize};
use std::{
	collections::VecDeque,
	path::{Path, PathBuf},
	sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
	time::Duration,
};
use tokio::{
	sync::watch,
	task::block_in_place,
	time::{interval, Instant, MissedTickBehavior},
};
use tracing::{error, info, warn};

/// For how long the chain keeps a letter, and so how old one may be.
pub const LETTER_AGE: Millis = 86_400_000;

const WHITELIST: &str = "whitelist.json";
/// Letters that are remembered as opened.
const REMEMBERED: usize = 4_096;
/// Envelopes whose answer is waited for at most: the oldest are forgotten first.
const MAX_WAITING: usize = 1_024;
/// Milliseconds before the first look for an answer, and between two looks.
const LOOK_AFTER: Millis = 120_000;
/// How often answers are looked for: nothing is asked while none is due.
const LOOK: Duration = Duration::from_secs(30);
/// Answers that are looked for at a time.
const LOOKS: usize = 16;
/// Times that a whitelist is looked up before it is given up.
const WHITELIST_LOOKS: u32 = 20;
/// How long a node may take at first to hand over the whitelist on record, and how often that is looked at from then on.
/// Each look costs a proof.
const HANDED_OVER: Duration = Duration::from_secs(45);
const HANDED_OVER_EVERY: Duration = Duration::from_secs(6 * 3_600);
/// Lines about letters that are none, a minute.
const COMPLAINTS: u32 = 20;

/// The provider that a household belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Provider {
	/// Its name on the chain.
	pub account: AccountBytes,
	/// What envelopes to it are sealed with, and those from it opened against.
	pub key: EnvelopeKey,
}

impl Provider {
	/// Opens what this provider, and nobody else, sealed for `keypair`.
	fn open(
		&self,
		keypair: &Keypair,
		genesis: Digest,
		letter: &Letter,
		now: Millis,
	) -> Result<(Message, AnswerKey), OpenError> {
		let context = Context { genesis, from: self.account, to: letter.to };
		envelope::open(keypair, Sender::Known(&self.key), &context, &letter.envelope, now, LETTER_AGE)
	}
}

/// An envelope whose answer is waited for.
struct Waiting {
	about: Digest,
	name: Digest,
	key: AnswerKey,
	sent: Millis,
	looked: Millis,
}

#[derive(Default)]
struct Outbox(Mutex<VecDeque<Waiting>>);

impl Outbox {
	fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
		// Every change leaves a list that makes sense.
		self.0.lock().unwrap_or_else(PoisonError::into_inner)
	}

	fn push(&self, waiting: Waiting) {
		let mut list = self.lock();
		if list.len() >= MAX_WAITING {
			list.pop_front();
		}
		list.push_back(waiting);
	}

	/// Up to [`LOOKS`] that are due, taken out.
	fn due(&self, now: Millis) -> Vec<Waiting> {
		let mut list = self.lock();
		let is_due = |waiting: &Waiting| now.saturating_sub(waiting.looked) >= LOOK_AFTER;
		// What was looked for goes to the end, so those that are due are in front.
		let count = list.iter().take(LOOKS).take_while(|waiting| is_due(waiting)).count();
		list.drain(..count).collect()
	}
}

/// Why a finding does not get into an envelope.
#[derive(Debug, thiserror::Error)]
pub enum SealerError {
	/// An envelope is sealed for one chain, and none was seen yet.
	#[error("the chain is not known yet")]
	NoChain,
	/// The envelope.
	#[error(transparent)]
	Seal(#[from] SealError),
}

/// Seals what the household tells its provider.
#[derive(Clone)]
pub struct Sealer {
	member: AccountBytes,
	provider: Provider,
	genesis: Arc<OnceLock<Digest>>,
	outbox: Arc<Outbox>,
}

impl Sealer {
	/// Seals what `member` tells its provider. `genesis` is to be set as soon as the chain is known.
	pub fn new(member: AccountBytes, provider: Provider, genesis: Arc<OnceLock<Digest>>) -> Self {
		Self { member, provider, genesis, outbox: Arc::default() }
	}

	/// The call that tells the provider `body`, which is about the indicator `about`.
	pub fn seal(&self, about: Digest, body: Body) -> Result<Call, SealerError> {
		let genesis = *self.genesis.get().ok_or(SealerError::NoChain)?;
		let Provider { account: to, key } = self.provider;
		let context = Context { genesis, from: self.member, to };
		let now = now_ms();
		let message = Message { at: now, body };
		// The provider may not know a key of this member's, so the chain's word has to do.
		let (envelope, answer) = envelope::seal(&mut secrets(), &key, Sender::Signed, &context, &message)?;
		let name = Letter { from: self.member, to, envelope: envelope.clone() }.name();
		self.outbox.push(Waiting { about, name, key: answer, sent: now, looked: now });
		Ok(Call::Send { to, envelope })
	}
}

/// The owner's whitelist, as the gateway keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Whitelist {
	/// Which of the owner's lists it is, from 1.
	pub number: u32,
	/// The envelope that it came in.
	#[serde(with = "hex::serde_digest")]
	pub envelope: Digest,
	/// Who may come in.
	pub networks: Vec<Network>,
}

impl Whitelist {
	/// The list kept in `directory`, if there is one.
	pub fn load(directory: &Path) -> Result<Option<Self>, StateError> {
		let path = directory.join(WHITELIST);
		match std::fs::read(&path) {
			Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
			text => serde_json::from_slice(&text.map_err(state::at(&path))?)
				.map(Some)
				.map_err(|e| state::at(&path)(e.into())),
		}
	}

	fn save(&self, directory: &Path) -> Result<(), StateError> {
		// Numbers and text always serialize.
		let text = serde_json::to_vec_pretty(self).unwrap_or_default();
		state::replace(&directory.join(WHITELIST), &text, state::Durable::Yes)
	}
}

/// Who may come in; none before the owner has said so.
type Guests = Option<Vec<Network>>;

/// The list of `member`'s owner as it is kept in `directory`, and from then on every new one. None: the owner has set none
/// yet.
///
/// Where the list is lost, because the file is gone, makes no sense or is an older one than `memory` knows to have come in,
/// it is empty until the chain has shown it again: what it said is not known, and it must not open the door.
pub fn whitelists(
	directory: &Path,
	memory: &Memory,
	member: &AccountBytes,
) -> (watch::Sender<Guests>, watch::Receiver<Guests>) {
	watch::channel(guests(directory, memory, member))
}

fn guests(directory: &Path, memory: &Memory, member: &AccountBytes) -> Guests {
	let newest = memory.read(|state| state.newest_list(member));
	let cause = match Whitelist::load(directory) {
		Ok(Some(list)) if list.number >= newest => {
			remember(memory, member, list.number);
			return Some(list.networks);
		}
		Ok(None) if newest == 0 => return None,
		Ok(Some(list)) => format!("it is list {}, and list {newest} came in", list.number),
		Ok(None) => format!("{WHITELIST} is gone, and list {newest} came in"),
		Err(cause) => cause.to_string(),
	};
	error!(at = now_ms(), cause, "the whitelist is lost: until the chain has shown it again, it lets nobody in");
	Some(Vec::new())
}

/// From now on losing the file does not open the door.
fn remember(memory: &Memory, member: &AccountBytes, number: u32) {
	if let Err(cause) = memory.change(|state| state.listed = Some(Listed { member: *member, number })) {
		warn!(at = now_ms(), %cause, "state not written");
	}
}

/// Why a household's part of a session with a node ended.
#[derive(Debug, thiserror::Error)]
pub enum HouseholdError {
	/// The connection, or the node's refusal.
	#[error(transparent)]
	Chain(#[from] ChainError),
	/// What is on record is not proven.
	#[error("whitelist: {0}")]
	Record(#[from] FrameError),
	/// A change of the authorities is not.
	#[error(transparent)]
	Authorities(#[from] FinalityError),
	/// The letter whose hash is on record did not come.
	#[error("it proves that whitelist {0} is on record, and does not hand it over")]
	Withheld(u32),
}

impl HouseholdError {
	/// Whether the node said something that is proven wrong.
	pub fn is_lie(&self) -> bool {
		match self {
			Self::Record(cause) => !cause.is_behind(),
			Self::Authorities(cause) => !cause.is_behind() && !matches!(cause, FinalityError::ForcedChange),
			Self::Chain(_) | Self::Withheld(_) => false,
		}
	}
}

/// What a household is made of.
pub struct Setup {
	/// What seals for it.
	pub sealer: Sealer,
	/// What letters to it are opened with.
	pub keypair: Keypair,
	/// Where the keys of the tier are kept.
	pub keyring: Keyring,
	/// The state directory.
	pub directory: PathBuf,
	/// What is remembered there.
	pub memory: Memory,
	/// Who sees its answers into a block.
	pub submitter: Submitter,
	/// Where what came in is counted.
	pub board: Arc<Board>,
	/// Whoever holds the other end is told of a new list.
	pub whitelists: watch::Sender<Guests>,
}

/// Receives what is sealed for the gateway.
pub struct Household {
	sealer: Sealer,
	keypair: Keypair,
	keyring: Keyring,
	directory: PathBuf,
	memory: Memory,
	whitelists: watch::Sender<Guests>,
	submitter: Submitter,
	board: Arc<Board>,
	seen: Seen,
	complaints: Bucket,
	/// The last whitelist on record that was handed over, whatever is in it.
	handed_over: Option<Digest>,
	/// The last whitelist that was not on record yet, and how often that was looked up.
	unrecorded: Option<(Letter, u32)>,
}

impl Household {
	/// What `setup` says.
	pub fn new(setup: Setup) -> Self {
		let Setup { sealer, keypair, keyring, directory, memory, submitter, board, whitelists } = setup;
		let (seen, complaints) = (Seen::new(REMEMBERED, LETTER_AGE), Bucket::new(COMPLAINTS));
		Self {
			sealer,
			keypair,
			keyring,
			directory,
			memory,
			whitelists,
			submitter,
			board,
			seen,
			complaints,
			handed_over: None,
			unrecorded: None,
		}
	}

	/// Receives letters for as long as the connection holds.
	pub async fn follow(&mut self, connection: &Connection) -> HouseholdError {
		match self.receive_all(connection).await {
			Ok(()) => ChainError::Closed.into(),
			Err(error) => error,
		}
	}

	async fn receive_all(&mut self, connection: &Connection) -> Result<(), HouseholdError> {
		let mut looks = interval(LOOK);
		looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
		let mut ask_at = Instant::now() + HANDED_OVER;
		loop {
			let mut letters = connection.letters(&self.sealer.member).await?;
			loop {
				let item = tokio::select! {
					item = letters.next() => item,
					_ = looks.tick() => {
						self.look_for_answers(connection).await;
						if let Some((letter, looks)) = self.unrecorded.take() {
							self.take_whitelist(connection, letter, looks).await?;
						}
						// Whatever else it sends meanwhile.
						if Instant::now() >= ask_at {
							ask_at = Instant::now() + HANDED_OVER_EVERY;
							self.miss_whitelist(connection).await?;
						}
						continue;
					}
				};
				match item {
					Some(Ok(texts)) => {
						for text in texts {
							self.receive(connection, &text).await?;
						}
					}
					Some(Err(cause)) => self.complain("not a list of letters", &cause.to_string()),
					None => break,
				}
			}
			// What is not answered is sent again to a new subscription.
			if !letters.lagged() {
				return Ok(());
			}
		}
	}

	async fn receive(&mut self, connection: &Connection, text: &str) -> Result<(), HouseholdError> {
		let Some(letter) = letter(text, &self.sealer.member) else {
			self.complain("not a letter", text);
			return Ok(());
		};
		if letter.from == letter.to {
			return self.take_whitelist(connection, letter, 0).await;
		}
		let (name, now) = (letter.name(), now_ms());
		if letter.from != self.sealer.provider.account {
			self.complain("a letter from a stranger", &hex::encode(&letter.from));
		} else if self.seen.first(name, now) {
			match self.sealer.provider.open(&self.keypair, connection.genesis, &letter, now) {
				Ok((message, answer)) => self.obey(name, message, &answer),
				Err(cause) => self.unreadable(&name, cause),
			}
		}
		Ok(())
	}

	/// Does what the provider says. An answer keeps the node from handing the letter over again.
	fn obey(&mut self, name: Digest, message: Message, answer: &AnswerKey) {
		let outcome = match message.body {
			Body::TierKey(key) => {
				let number = key.number;
				match self.keyring.add(key) {
					Ok(true) => {
						info!(at = now_ms(), number, "tier key");
						Outcome::Tier1
					}
					Ok(false) => {
						self.complain("a tier key that is older than the newest", &number.to_string());
						Outcome::Dismissed
					}
					Err(cause) => return error!(at = now_ms(), %cause, "tier key not kept"),
				}
			}
			Body::Report(..) | Body::Dispute(_) | Body::Whitelist(_) => {
				self.complain("nothing that a provider tells", &hex::encode(&name));
				Outcome::Dismissed
			}
		};
		self.board.update(|status| status.counts.letters += 1);
		self.submitter.submit(Job { id: name, call: Call::Answer(vec![(name, answer.token(outcome))]) });
	}

	/// The owner's whitelist on record, as the node proves it. None: there is none, or the node is behind, or cannot tell.
	async fn record(&self, connection: &Connection) -> Result<Option<WhitelistRecord>, HouseholdError> {
		let member = self.sealer.member;
		let answer = match connection.whitelist(&member).await {
			Err(ChainError::Refused(_)) => return Ok(None),
			answer => answer?,
		};
		let proof = RecordProof::decode(answer)?;
		let oldest = self.board.snapshot().proven.map_or(0, |proven| proven.number.saturating_sub(OVERTAKEN));
		let Some(mut set) = self.memory.read(|state| state.authorities.clone()) else { return Ok(None) };
		let record = loop {
			match block_in_place(|| proof.verify(&member, &set, oldest)) {
				// Whoever follows the log takes note of it: here it is only followed.
				Err(cause) if cause.wants_handoff() => {
					let handoffs = Handoffs::decode(connection.handoffs(set.id()).await?)?.handoffs;
					if handoffs.is_empty() {
						return Err(cause.into());
					}
					for handoff in &handoffs {
						set = block_in_place(|| set.advance(handoff))?;
					}
				}
				Err(cause) if cause.is_behind() => return Ok(None),
				record => break record?,
			}
		};
		let newest = self.memory.read(|state| state.newest_list(&member));
		// An older block is no lie, but an older list is none that counts.
		Ok(record.filter(|record| record.number >= newest))
	}

	/// Fails if the whitelist on record was not handed over: it may say less than the one at hand.
	async fn miss_whitelist(&self, connection: &Connection) -> Result<(), HouseholdError> {
		match self.record(connection).await? {
			Some(record) if self.handed_over != Some(record.hash) => Err(HouseholdError::Withheld(record.number)),
			_ => Ok(()),
		}
	}

	/// Takes the owner's whitelist in, if it is the one on record. It may come before its block is final: then it is looked
	/// up again.
	async fn take_whitelist(
		&mut self,
		connection: &Connection,
		letter: Letter,
		looks: u32,
	) -> Result<(), HouseholdError> {
		match self.record(connection).await? {
			Some(record) if is_on_record(&record, &letter.envelope) => {
				self.handed_over = Some(record.hash);
				self.open_whitelist(connection.genesis, &letter, &record);
			}
			_ if looks < WHITELIST_LOOKS => self.unrecorded = Some((letter, looks + 1)),
			_ => self.complain("a whitelist that is not the one on record", &hex::encode(&letter.name())),
		}
		Ok(())
	}

	/// Opens the whitelist that is on record, unless it is in force.
	fn open_whitelist(&mut self, genesis: Digest, letter: &Letter, record: &WhitelistRecord) {
		if let Ok(Some(kept)) = Whitelist::load(&self.directory) {
			let in_force = self.whitelists.borrow().as_ref() == Some(&kept.networks);
			if kept.envelope == record.hash && in_force {
				return;
			}
		}
		let context = Context { genesis, from: letter.from, to: letter.to };
		// By the record it is the owner's, and the newest, however old it is.
		match envelope::open(&self.keypair, Sender::Signed, &context, &letter.envelope, now_ms(), Millis::MAX) {
			Ok((Message { body: Body::Whitelist(networks), .. }, _)) => {
				let (number, networks) = (record.number, networks.into_iter().collect());
				let list = Whitelist { number, envelope: record.hash, networks };
				self.board.update(|status| status.counts.letters += 1);
				info!(at = now_ms(), number, networks = list.networks.len(), "whitelist");
				if let Err(cause) = list.save(&self.directory) {
					error!(at = now_ms(), %cause, "whitelist not kept");
				}
				remember(&self.memory, &self.sealer.member, number);
				// Nobody listens where the list is only kept.
				self.whitelists.send_replace(Some(list.networks));
			}
			Ok(_) => self.complain("nothing that an owner tells", &hex::encode(&letter.name())),
			Err(cause) => self.unreadable(&letter.name(), cause),
		}
	}

	/// What has become of the household's envelopes.
	async fn look_for_answers(&mut self, connection: &Connection) {
		let now = now_ms();
		for mut waiting in self.sealer.outbox.due(now) {
			let id = hex::encode(&waiting.about);
			match connection.letter(&self.sealer.provider.account, &waiting.name).await {
				Ok(Some(record)) => match record.answer.map(|token| waiting.key.read(&token)) {
					Some(Some(outcome)) => info!(at = now, id, ?outcome, "answered"),
					Some(None) => warn!(at = now, id, "answered, but not by who could open it"),
					None => {
						waiting.looked = now;
						self.sealer.outbox.push(waiting);
					}
				},
				Ok(None) if now.saturating_sub(waiting.sent) < LETTER_AGE => {
					warn!(at = now, id, "the chain has not got the envelope");
				}
				Ok(None) => info!(at = now, id, "never answered"),
				Err(_) => {
					waiting.looked = now;
					self.sealer.outbox.push(waiting);
				}
			}
		}
	}

	fn unreadable(&mut self, name: &Digest, cause: OpenError) {
		self.board.update(|status| status.counts.unreadable += 1);
		self.complain(&cause.to_string(), &hex::encode(name));
	}

	fn complain(&mut self, cause: &str, about: &str) {
		if self.complaints.take(now_ms()) {
			warn!(at = now_ms(), cause = excerpt(cause), about = excerpt(about), "letter passed over");
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_primitives::envelope::TierKey;

	fn sealer(genesis: Option<Digest>) -> Sealer {
		let key = Keypair::from_seed([9; 32]).public();
		let cell = OnceLock::new();
		genesis.into_iter().for_each(|genesis| cell.set(genesis).unwrap());
		Sealer::new([1; 32], Provider { account: [2; 32], key }, Arc::new(cell))
	}

	#[test]
	fn only_the_provider_can_open_what_a_household_seals() {
		let sealer = sealer(Some([7; 32]));
		let Call::Send { to, envelope } = sealer.seal([3; 32], Body::Dispute([3; 32])).unwrap() else {
			panic!("not sent")
		};
		assert_eq!(to, [2; 32]);
		let context = Context { genesis: [7; 32], from: [1; 32], to };
		let open = |seed| {
			let keypair = Keypair::from_seed([seed; 32]);
			envelope::open(&keypair, Sender::Signed, &context, &envelope, now_ms(), LETTER_AGE)
		};
		assert_eq!(open(9).unwrap().0.body, Body::Dispute([3; 32]));
		assert_eq!(open(8), Err(OpenError::WrongKey));
	}

	#[test]
	fn a_tier_key_is_the_pinned_providers_or_none() {
		let gateway = Keypair::from_seed([4; 32]);
		let (provider, other) = (Keypair::from_seed([9; 32]), Keypair::from_seed([8; 32]));
		let pinned = Provider { account: [2; 32], key: provider.public() };
		let body = Body::TierKey(TierKey { number: u32::MAX, secret: [6; 32] });
		let message = Message { at: now_ms(), body };
		let open = |by, from| {
			let context = Context { genesis: [7; 32], from, to: [1; 32] };
			let (envelope, _) = envelope::seal(&mut secrets(), &gateway.public(), by, &context, &message).unwrap();
			let letter = Letter { from: [2; 32], to: [1; 32], envelope };
			pinned.open(&gateway, [7; 32], &letter, now_ms()).map(|(message, _)| message)
		};
		assert_eq!(open(Sender::Known(&provider), [2; 32]), Ok(message.clone()));
		assert_eq!(open(Sender::Known(&provider), [3; 32]), Err(OpenError::WrongKey), "as another account");
		assert_eq!(open(Sender::Known(&other), [2; 32]), Err(OpenError::WrongKey), "somebody else's");
		assert_eq!(open(Sender::Known(&gateway), [2; 32]), Err(OpenError::WrongKey), "the household's own");
		assert_eq!(open(Sender::Signed, [2; 32]), Err(OpenError::WrongKey), "nobody's in particular");
	}

	#[test]
	fn nothing_is_sealed_for_no_chain() {
		assert!(matches!(sealer(None).seal([3; 32], Body::Dispute([3; 32])), Err(SealerError::NoChain)));
	}

	#[test]
	fn answers_are_looked_for_after_a_while_and_for_so_many_envelopes_only() {
		let sealer = sealer(Some([7; 32]));
		for _ in 0..MAX_WAITING + 3 {
			sealer.seal([3; 32], Body::Dispute([3; 32])).unwrap();
		}
		assert_eq!(sealer.outbox.lock().len(), MAX_WAITING);
		let now = now_ms();
		assert!(sealer.outbox.due(now).is_empty());
		assert_eq!(sealer.outbox.due(now + LOOK_AFTER).len(), LOOKS);
		assert_eq!(sealer.outbox.lock().len(), MAX_WAITING - LOOKS);
	}

	#[test]
	fn the_whitelist_is_kept_as_it_came() {
		let directory = tempfile::tempdir().unwrap();
		assert_eq!(Whitelist::load(directory.path()).unwrap(), None);
		let list = Whitelist {
			number: 2,
			envelope: [5; 32],
			networks: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::1".parse().unwrap()],
		};
		list.save(directory.path()).unwrap();
		assert_eq!(Whitelist::load(directory.path()).unwrap(), Some(list));
		std::fs::write(directory.path().join(WHITELIST), "{").unwrap();
		assert!(Whitelist::load(directory.path()).is_err());
	}

	/// A state directory, and what is remembered there.
	fn state() -> (tempfile::TempDir, Memory) {
		let directory = tempfile::tempdir().unwrap();
		let memory = Memory::new(state::Journal::open(directory.path()).unwrap());
		(directory, memory)
	}

	fn list(number: u32) -> Whitelist {
		Whitelist { number, envelope: [5; 32], networks: vec!["192.0.2.0/24".parse().unwrap()] }
	}

	#[test]
	fn before_a_first_list_everybody_may_come_in() {
		let (directory, memory) = state();
		assert_eq!(guests(directory.path(), &memory, &[1; 32]), None);
	}

	#[test]
	fn a_list_that_is_lost_lets_nobody_in() {
		let (directory, memory) = state();
		let file = directory.path().join(WHITELIST);
		list(2).save(directory.path()).unwrap();
		let guests = |member: u8| guests(directory.path(), &memory, &[member; 32]);
		assert_eq!(guests(1), Some(list(2).networks));
		std::fs::remove_file(&file).unwrap();
		assert_eq!(guests(1), Some(Vec::new()), "it is gone");
		assert_eq!(guests(2), None, "it was another owner's");
		std::fs::write(&file, "{").unwrap();
		assert_eq!(guests(1), Some(Vec::new()), "it makes no sense");
		list(1).save(directory.path()).unwrap();
		assert_eq!(guests(1), Some(Vec::new()), "it is an older one");
		list(3).save(directory.path()).unwrap();
		assert_eq!(guests(1), Some(list(3).networks));
		assert_eq!(memory.read(|state| state.newest_list(&[1; 32])), 3);
	}

	#[test]
	fn a_node_that_keeps_a_list_back_is_left_and_one_that_cannot_prove_it_lies() {
		assert!(!HouseholdError::Withheld(2).is_lie());
		assert!(!HouseholdError::from(ChainError::Closed).is_lie());
		assert!(!HouseholdError::from(FrameError::Stale { number: 1, newest: 2 }).is_lie());
		assert!(!HouseholdError::from(FinalityError::ForcedChange).is_lie());
		assert!(HouseholdError::from(FrameError::OtherHeader(7)).is_lie());
		assert!(HouseholdError::from(FinalityError::NoCommit).is_lie());
	}
}
