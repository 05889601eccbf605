//! Applies the change log to the firewall: frame in, policy, commands, kernel, cursor.
//!
//! The order is apply, then save: a crash in between repeats entries, and each is an upsert. The calls here block for
//! microseconds (a change) to milliseconds (a frame of a replay).

use super::{
	firewall::{Exempt, Firewall, FirewallError, Opened},
	now_ms,
	state::{Journal, StateError},
	status::Board,
	tier::Tier,
};
use crate::core::{
	blake2_256,
	frame::{Cursor, Frame, FrameError},
	hex,
	policy::{Decided, Policy},
	ruleset::Command,
};
use codec::Encode;
use ringfence_primitives::{envelope::TierChange, Change, ChangeKind, Millis, Network};
use std::{collections::BTreeSet, sync::Arc};
use tracing::{error, info, warn};

/// Why the log cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum EnforceError {
	/// The frame is not what comes next.
	#[error(transparent)]
	Frame(#[from] FrameError),
	/// The kernel.
	#[error(transparent)]
	Firewall(#[from] FirewallError),
}

/// Whether the subscription goes on where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Flow {
	/// It does.
	On,
	/// The table was built anew: the log is to be read again from the cursor.
	Again,
}

/// The firewall, and what decides about it.
pub struct Enforcement {
	/// None only between dropping a table that is gone and opening the next, and after a failure there.
	firewall: Option<Firewall>,
	policy: Policy,
	exempt: Exempt,
	/// Whose word for its own subscribers counts here.
	tier: Option<Tier>,
	board: Arc<Board>,
}

/// What follows from one entry of the log.
struct Entry {
	seq: u64,
	/// What it is about: the name of the indicator, or the network.
	id: String,
	verb: &'static str,
	decided: Decided,
}

impl Enforcement {
	/// Opens the firewall. The journal's cursor is reset if the table is new, or the owner's lists have changed since it
	/// was filled: what they kept out then must be looked at again.
	pub fn open(
		protected: &[Network],
		allowed: &[Network],
		tier: Option<Tier>,
		journal: &mut Journal,
		board: Arc<Board>,
	) -> Result<Self, EnforceError> {
		let exempt = Exempt { protected: protected.to_vec(), allowed: allowed.to_vec() };
		let lists = Some(blake2_256(&(protected, allowed).encode()));
		if journal.state.lists != lists {
			journal.state.restart(Cursor::START);
			journal.state.lists = lists;
		}
		// The mark is on disk before any table bears it.
		save(journal.save());
		let mut enforcement = Self { firewall: None, policy: Policy::default(), exempt, tier, board };
		let opened = enforcement.open_table(journal)?;
		info!(at = now_ms(), table = ?opened, seq = journal.state.seq, "firewall");
		Ok(enforcement)
	}

	fn open_table(&mut self, journal: &mut Journal) -> Result<Opened, FirewallError> {
		// A table has one owner: ours must let go of it first.
		self.firewall = None;
		let (mut firewall, opened) = Firewall::open(journal.state.token, &self.exempt)?;
		self.policy = Policy::new(self.exempt.protected.iter().copied(), self.exempt.allowed.iter().copied());
		match opened {
			Opened::Adopted => self.policy.learn(firewall.protected_by_chain()?),
			Opened::Rebuilt => {
				journal.state.set_cursor(Cursor::START);
				self.tier.iter_mut().for_each(Tier::forget);
			}
		}
		self.firewall = Some(firewall);
		let seq = journal.state.seq;
		self.board.update(|status| status.seq = seq);
		save(journal.save());
		Ok(opened)
	}

	/// Builds a new table and begins the log again at `cursor`.
	pub fn restart(&mut self, journal: &mut Journal, cursor: Cursor) -> Result<(), FirewallError> {
		journal.state.restart(cursor);
		save(journal.save());
		self.open_table(journal)?;
		journal.state.set_cursor(cursor);
		save(journal.save());
		Ok(())
	}

	/// Applies what is new in `frame`.
	pub fn apply(&mut self, journal: &mut Journal, frame: &Frame) -> Result<Flow, EnforceError> {
		let news = frame.news(&journal.state.cursor())?;
		let Some(last) = news.last() else { return Ok(Flow::On) };
		let now = now_ms();
		let entries: Vec<Entry> = news.iter().filter_map(|change| self.consider(change, now)).collect();
		let commands: Vec<Command> = entries.iter().flat_map(|entry| entry.decided.commands.iter().copied()).collect();
		let Some(firewall) = &mut self.firewall else { return self.rebuild(journal) };
		let mut failed = BTreeSet::new();
		if let Err(cause) = firewall.apply(&commands) {
			if !firewall.is_intact()? {
				return self.rebuild(journal);
			}
			// One change that the kernel will not have must not keep the others out.
			warn!(at = now_ms(), %cause, "applying changes one by one");
			for Entry { seq, id, decided, .. } in &entries {
				if let Err(cause) = firewall.apply(&decided.commands) {
					error!(at = now_ms(), seq, id, %cause, "not enforced");
					failed.insert(*seq);
				}
			}
		}
		let mut enforced = 0;
		for entry in entries.iter().filter(|entry| !failed.contains(&entry.seq)) {
			enforced += u64::from(entry.decided.refused.is_none());
			entry.tell(frame.block.number);
		}
		let failed = failed.len() as u64;
		let cursor = Cursor::after(last);
		journal.state.set_cursor(cursor);
		save(if cursor.seq == frame.head.seq { journal.save() } else { journal.save_lazily() });
		self.board.update(|status| {
			status.seq = cursor.seq;
			status.counts.enforced += enforced;
			status.counts.failed += failed;
			status.counts.passed_over += news.len() as u64 - enforced - failed;
		});
		Ok(Flow::On)
	}

	/// Looks whether the table is still there and whole, and builds it anew where it is not. To be called each second.
	pub fn inspect(&mut self, journal: &mut Journal) -> Result<Flow, EnforceError> {
		save(journal.save_lazily());
		let Some(firewall) = &mut self.firewall else { return self.rebuild(journal) };
		if !firewall.is_intact()? {
			return self.rebuild(journal);
		}
		let counters = firewall.counters()?;
		self.board.update(|status| status.firewall = Some(counters));
		self.catch_up();
		Ok(Flow::On)
	}

	/// Does what the provider's earlier entries say whose key has come since.
	fn catch_up(&mut self) {
		let Some(tier) = &mut self.tier else { return };
		for (seq, told) in tier.late() {
			let entry = Entry::of_tier(seq, &told, &self.policy, now_ms());
			let Some(firewall) = &mut self.firewall else { return };
			match firewall.apply(&entry.decided.commands) {
				Ok(()) => {
					entry.tell(0);
					self.board.update(|status| status.counts.enforced += u64::from(entry.decided.refused.is_none()));
				}
				Err(cause) => error!(at = now_ms(), seq, id = entry.id, %cause, "not enforced"),
			}
		}
	}

	/// None for what a provider tells subscribers of whom this is none, or cannot be opened yet.
	fn consider(&mut self, change: &Change, now: Millis) -> Option<Entry> {
		if let ChangeKind::Tier1(provider, sealed) = &change.kind {
			let told = self.tier.as_mut()?.open(change.seq, provider, sealed)?;
			return Some(Entry::of_tier(change.seq, &told, &self.policy, now));
		}
		let decided = self.policy.decide(change, now);
		Some(Entry { seq: change.seq, id: name(change), verb: verb(change), decided })
	}

	fn rebuild(&mut self, journal: &mut Journal) -> Result<Flow, EnforceError> {
		warn!(at = now_ms(), "the firewall's table is gone or changed: building it anew");
		self.restart(journal, Cursor::START)?;
		Ok(Flow::Again)
	}
}

impl Entry {
	fn of_tier(seq: u64, told: &TierChange, policy: &Policy, now: Millis) -> Self {
		let (id, verb) = match told {
			TierChange::Block(decision) => (decision.indicator.id(), "activated for the tier"),
			TierChange::Unblock(indicator) => (indicator.id(), "revoked for the tier"),
		};
		Self { seq, id: hex::encode(&id), verb, decided: policy.decide_tier1(told, now) }
	}

	/// Puts what became of it into the log. `block` is the one that it was read in; 0 if that is long ago.
	fn tell(&self, block: u32) {
		let Self { seq, id, verb: change, decided } = self;
		match decided.refused {
			None => info!(at = now_ms(), seq, id, change, block, "enforced"),
			Some(cause) => info!(at = now_ms(), seq, id, change, block, %cause, "passed over"),
		}
	}
}

/// A state that cannot be written costs a replay at the next start, no more.
fn save(saved: Result<(), StateError>) {
	if let Err(error) = saved {
		warn!(at = now_ms(), cause = %error, "state not written");
	}
}

fn verb(change: &Change) -> &'static str {
	match change.kind {
		ChangeKind::Activated(_) => "activated",
		ChangeKind::Extended(_) => "extended",
		ChangeKind::Revoked(_) => "revoked",
		ChangeKind::Expired(_) => "expired",
		ChangeKind::Protected(_) => "protected",
		ChangeKind::Unprotected(_) => "unprotected",
		ChangeKind::Tier1(..) => "sealed",
	}
}

/// What the change is about: the name of the indicator, or the network.
fn name(change: &Change) -> String {
	match &change.kind {
		ChangeKind::Activated(decision) | ChangeKind::Extended(decision) => hex::encode(&decision.indicator.id()),
		ChangeKind::Revoked(indicator) | ChangeKind::Expired(indicator) => hex::encode(&indicator.id()),
		ChangeKind::Protected(network) | ChangeKind::Unprotected(network) => network.to_string(),
		ChangeKind::Tier1(provider, _) => hex::encode(provider),
	}
}
