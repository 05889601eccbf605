//! Applies the change log to the firewall: frame in, policy, commands, kernel, cursor.
//!
//! The order is apply, then save: a crash in between repeats entries, and each is an upsert. The calls here block for
//! microseconds (a change) to milliseconds (a frame of a replay).

use super::{
	firewall::{Exempt, Firewall, FirewallError, Opened},
	now_ms,
	state::{Journal, StateError},
	status::Board,
};
use crate::core::{
	blake2_256,
	frame::{Cursor, Frame, FrameError},
	hex,
	policy::Policy,
	ruleset::Command,
};
use codec::Encode;
use ringfence_primitives::{Change, ChangeKind, Network};
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
	board: Arc<Board>,
}

impl Enforcement {
	/// Opens the firewall. The journal's cursor is reset if the table is new, or the owner's lists have changed since it
	/// was filled: what they kept out then must be looked at again.
	pub fn open(
		protected: &[Network],
		allowed: &[Network],
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
		let mut enforcement = Self { firewall: None, policy: Policy::default(), exempt, board };
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
			Opened::Rebuilt => journal.state.set_cursor(Cursor::START),
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
		let decided: Vec<_> = news.iter().map(|change| (change, self.policy.decide(change, now))).collect();
		let commands: Vec<Command> = decided.iter().flat_map(|(_, decided)| decided.commands.iter().copied()).collect();
		let Some(firewall) = &mut self.firewall else { return self.rebuild(journal) };
		let mut failed = BTreeSet::new();
		if let Err(cause) = firewall.apply(&commands) {
			if !firewall.is_intact()? {
				return self.rebuild(journal);
			}
			// One change that the kernel will not have must not keep the others out.
			warn!(at = now_ms(), %cause, "applying changes one by one");
			for (change, decided) in &decided {
				if let Err(cause) = firewall.apply(&decided.commands) {
					error!(at = now_ms(), seq = change.seq, id = name(change), %cause, "not enforced");
					failed.insert(change.seq);
				}
			}
		}
		let at = now_ms();
		let mut enforced = 0;
		for (change, decided) in decided.iter().filter(|(change, _)| !failed.contains(&change.seq)) {
			let (seq, id, change, block) = (change.seq, name(change), verb(change), frame.block.number);
			match decided.refused {
				None => {
					enforced += 1;
					info!(at, seq, id, change, block, "enforced");
				}
				Some(cause) => info!(at, seq, id, change, block, %cause, "passed over"),
			}
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
		Ok(Flow::On)
	}

	fn rebuild(&mut self, journal: &mut Journal) -> Result<Flow, EnforceError> {
		warn!(at = now_ms(), "the firewall's table is gone or changed: building it anew");
		self.restart(journal, Cursor::START)?;
		Ok(Flow::Again)
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
	}
}

/// What the change is about: the name of the indicator, or the network.
fn name(change: &Change) -> String {
	match &change.kind {
		ChangeKind::Activated(decision) | ChangeKind::Extended(decision) => hex::encode(&decision.indicator.id()),
		ChangeKind::Revoked(indicator) | ChangeKind::Expired(indicator) => hex::encode(&indicator.id()),
		ChangeKind::Protected(network) | ChangeKind::Unprotected(network) => network.to_string(),
	}
}
