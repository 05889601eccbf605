//! What is done once a second: the kernel, the clock and the owner are looked at.

use super::{
	table::{behind, protected_by_owner},
	EnforceError, Enforcement, Flow, CHUNK,
};
use crate::{
	core::overrides::Verdict,
	daemon::{config::Mode, control::Agreement, now_ms, state::Durable},
};
use ringfence_primitives::Indicator;
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// Pause after the files of the store could not be merged: that writes the whole set.
const COMPACT_PAUSE: Duration = Duration::from_secs(60);
/// Looks in a row that may fail before the daemon stops, so that whoever watches it starts it anew.
const MAX_FAILURES: u32 = 10;

impl Enforcement {
	/// Whether to go on.
	pub(super) fn tick(&mut self) -> bool {
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
		let mut changed = self.policy.set_protected(networks);
		self.reconfigure()?;
		for network in &changed {
			info!(at = now_ms(), %network, protected = self.policy.owners().contains(network), "own network");
		}
		changed.extend(self.policy.set_home(behind(&self.setup)));
		self.reconsider(&changed)?;
		if !changed.is_empty() {
			self.remember_lists();
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
}
