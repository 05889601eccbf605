//! Entries of the change log, taken into the store and carried out.

use super::{EnforceError, Enforcement, Flow, CHUNK};
use crate::{
	core::{
		frame::{Frame, FrameError},
		hex,
		policy::{Decided, Refusal},
		ruleset::Command,
	},
	daemon::{
		now_ms,
		observe::history::{Event, History, Outcome},
		state::Durable,
	},
};
use ringfence_primitives::{envelope::TierChange, Change, ChangeKind, Indicator, Network};
use tracing::{error, info};

/// Who tells something.
enum Told<'a> {
	Chain(&'a ChangeKind),
	Tier(TierChange),
}

/// What follows from one thing that was told.
pub(super) struct Entry<'a> {
	seq: u64,
	/// What it is about: the name of the indicator, or the network.
	id: String,
	verb: &'static str,
	told: Told<'a>,
	command: Command,
	refused: Option<Refusal>,
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

impl Enforcement {
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
	pub(super) fn consider_tier<'a>(&mut self, seq: u64, told: TierChange) -> Result<Option<Entry<'a>>, EnforceError> {
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

	/// Carries entries out, and tells what became of them. `block` is the one that they were read in; 0 if that is long ago.
	pub(super) fn enforce(&mut self, entries: &[Entry], block: u32) -> Result<(), EnforceError> {
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

	/// Decides anew about all that overlaps one of `networks`, which are protected from now on, or no longer. Goes through
	/// the set once, however many they are.
	pub(super) fn reconsider(&mut self, networks: &[Network]) -> Result<(), EnforceError> {
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
}
