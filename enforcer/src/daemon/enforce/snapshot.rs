//! The chain's whole set, taken in page by page, and put in force if it is what the chain proves.

use super::{EnforceError, Enforcement};
use crate::{
	core::{frame::Cursor, snapshot::Proven},
	daemon::{now_ms, state::Durable},
};
use ringfence_primitives::Decision;
use tracing::info;

impl Enforcement {
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
}
