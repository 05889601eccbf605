//! The kernel's table: opened, filled, kept in line with the owner's word, and changed by commands.

use super::{
	claims::{every, Judge},
	EnforceError, Enforcement, Setup,
};
use crate::{
	core::{
		blake2_256,
		overrides::Verdict,
		ruleset::{Action, Command, Target},
	},
	daemon::{
		config::Mode,
		firewall::{Allowed, Applied, Firewall, Local, Opened, Peers},
		now_ms,
		state::State,
		store,
	},
};
use codec::Encode;
use ringfence_primitives::{Digest, Millis, Network};
use std::{
	collections::{BTreeMap, BTreeSet},
	panic::resume_unwind,
	sync::mpsc::sync_channel,
	thread,
	time::Instant,
};
use tracing::{error, info, warn};

/// Chunks of commands that may wait for the kernel.
const AHEAD: usize = 2;

impl Enforcement {
	/// What the owner wants of the firewall.
	fn local(&mut self) -> Local {
		let now = self.now();
		let household = self.household.allowed(now);
		let household = household.map(|wish| Allowed { network: wish.network, timeout_ms: wish.left_ms(now) });
		// The configuration's goes last: it has no end.
		let allowed = household.chain(self.setup.allowed.iter().copied().map(Allowed::from));
		let allowed: BTreeMap<Network, Allowed> = allowed.map(|allowed| (allowed.network, allowed)).collect();
		Local {
			protected: self.policy.owners().iter().copied().collect(),
			allowed: allowed.into_values().collect(),
			mode: match self.setup.mode {
				Mode::Enforce => crate::core::ruleset::Mode::Enforce,
				Mode::Canary | Mode::DryRun => crate::core::ruleset::Mode::Canary,
			},
			uplinks: self.setup.uplink.clone(),
			whitelist: self.setup.whitelist.as_mut().and_then(|list| list.borrow_and_update().clone()),
		}
	}

	/// What distinguishes a table that was filled under other lists: what these kept out is not in it, nor what the
	/// household has wanted blocked since.
	pub(super) fn lists(&self) -> Digest {
		let wishes = self.household.iter().filter(|wish| wish.verdict == Verdict::Block);
		let wishes: Vec<(Network, Option<Millis>)> = wishes.map(|wish| (wish.network, wish.until)).collect();
		blake2_256(&(self.policy.owners(), self.policy.home(), wishes).encode())
	}

	/// Remembers that the table follows from the lists of now, where it does: else the next start fills it anew.
	pub(super) fn remember_lists(&self) {
		let follows = self.firewall.is_some() && !self.blind && self.mend_at.is_none();
		let lists = follows.then(|| self.lists());
		self.memorize(|state| state.lists = lists);
	}

	pub(super) fn open_table(&mut self) -> Result<(), EnforceError> {
		if self.setup.mode == Mode::DryRun {
			// A table that an earlier process left does not follow what is decided from now on.
			self.memorize(|state| state.lists = None);
			return Ok(());
		}
		// A table has one owner: ours must let go of it first. And its mark is on disk before any table bears it.
		self.firewall = None;
		self.memorize(|_| ());
		let (token, lists) = self.setup.memory.read(|state| (state.token, state.lists));
		let (firewall, opened) = Firewall::open(token, &self.local())?;
		self.firewall = Some(firewall);
		info!(at = now_ms(), table = ?opened, seq = self.store.cursor().seq, "firewall");
		match opened {
			Opened::Adopted if lists == Some(self.lists()) => self.review(),
			_ => self.fill(),
		}
	}

	/// Whether the table is there and whole, or none is wanted.
	pub(super) fn is_intact(&mut self) -> Result<bool, EnforceError> {
		match &mut self.firewall {
			Some(firewall) => Ok(firewall.is_intact()?),
			None => Ok(self.setup.mode == Mode::DryRun),
		}
	}

	/// Builds a new table, and fills it from the store.
	pub(super) fn rebuild(&mut self) -> Result<(), EnforceError> {
		warn!(at = now_ms(), "the firewall's table is gone or changed: building it anew");
		self.memorize(State::remark);
		self.open_table()
	}

	/// Fills the firewall from the store, beside what it holds, and swaps. Then it holds what it should and nothing else, and
	/// the established connections of those who are dropped are ended.
	pub(super) fn fill(&mut self) -> Result<(), EnforceError> {
		let (now, began) = (self.now(), Instant::now());
		let mut peers = self.peers();
		self.blind = now_ms() < self.store.clock();
		self.again.clear();
		let Self { firewall: Some(firewall), store, policy, household, again, .. } = self else { return Ok(()) };
		let store = &*store;
		let judge = Judge { policy, tier: store.tier(), household, now };
		let mut loading = firewall.loading()?;
		// One thread reads and decides while this one hands what was decided to the kernel.
		let loaded = thread::scope(|scope| {
			let (hand, decided) = sync_channel::<Vec<Command>>(AHEAD);
			let reader = scope.spawn(move || {
				// Nobody takes them any more where the kernel refused some: that is the error that counts.
				every(store, &judge, again, |commands| hand.send(commands.to_vec()).map_err(|_| EnforceError::Stopped))
			});
			let load = |commands: Vec<Command>| -> Result<(), EnforceError> {
				commands.iter().for_each(|command| peers.note(command));
				tell_flows(&firewall.load(&mut loading, &commands)?);
				Ok(())
			};
			let handed = decided.into_iter().try_for_each(load);
			// What panicked there goes on here.
			let read = reader.join().unwrap_or_else(|panic| resume_unwind(panic));
			handed.and(read)
		});
		let blocks = match loaded {
			Ok(blocks) => blocks,
			Err(error) => {
				// The error in hand says more than that of tidying up after it.
				let _ = firewall.abandon(loading);
				return Err(error);
			}
		};
		firewall.swap(loading)?;
		self.remember_lists();
		self.end_connections(&peers.dropped());
		let took_ms = began.elapsed().as_millis() as u64;
		info!(at = now_ms(), blocks, took_ms, seq = self.store.cursor().seq, "filled from the store");
		Ok(())
	}

	/// After a table was adopted: finds out what has to be decided anew one day, and tells the firewall the flows that it
	/// had no room for and so forgot.
	fn review(&mut self) -> Result<(), EnforceError> {
		let now = self.now();
		self.blind = now_ms() < self.store.clock();
		self.again.clear();
		let Self { firewall: Some(firewall), store, policy, household, again, .. } = self else { return Ok(()) };
		let judge = Judge { policy, tier: store.tier(), household, now };
		every(store, &judge, again, |commands| {
			let flows = commands.iter().filter(|command| matches!(command, Command::BlockFlow { .. }));
			let flows: Vec<Command> = flows.copied().collect();
			if !flows.is_empty() {
				tell_flows(&firewall.apply(&flows)?);
			}
			Ok(())
		})?;
		Ok(())
	}

	pub(super) fn fill_or_rebuild(&mut self) -> Result<(), EnforceError> {
		if let Err(error) = self.fill() {
			if self.is_intact()? {
				return Err(error);
			}
			self.rebuild()?;
		}
		Ok(())
	}

	/// Tells the firewall the owner's word anew.
	pub(super) fn reconfigure(&mut self) -> Result<(), EnforceError> {
		let local = self.local();
		let Some(firewall) = &mut self.firewall else { return Ok(()) };
		if let Err(error) = firewall.reconfigure(&local) {
			if firewall.is_intact()? {
				return Err(error.into());
			}
			self.rebuild()?;
		}
		Ok(())
	}

	/// Hands commands to the kernel. Those that it will not have do not keep the others out: they come back, by their
	/// place. What the commands follow from is in the store already, so a table that is gone is simply filled anew.
	pub(super) fn command(&mut self, commands: &[Command]) -> Result<BTreeMap<usize, String>, EnforceError> {
		let mut failed = BTreeMap::new();
		if self.setup.mode == Mode::DryRun || commands.is_empty() {
			return Ok(failed);
		}
		let Some(firewall) = &mut self.firewall else {
			self.rebuild()?;
			return Ok(failed);
		};
		match firewall.apply(commands) {
			Ok(applied) => tell_flows(&applied),
			Err(cause) => {
				if !firewall.is_intact()? {
					self.rebuild()?;
					return Ok(failed);
				}
				warn!(at = now_ms(), %cause, "applying changes one by one");
				for (index, command) in commands.iter().enumerate() {
					match firewall.apply(std::slice::from_ref(command)) {
						Ok(applied) => tell_flows(&applied),
						Err(cause) => drop(failed.insert(index, cause.to_string())),
					}
				}
			}
		}
		self.cut(commands);
		Ok(failed)
	}

	/// Who has connections now.
	fn peers(&mut self) -> Peers {
		let Some(conntrack) = &mut self.conntrack else { return Peers::default() };
		conntrack.peers().unwrap_or_else(|cause| {
			warn!(at = now_ms(), %cause, "established connections cannot be read");
			Peers::default()
		})
	}

	/// Ends the established connections of peers that are dropped from now on.
	fn cut(&mut self, commands: &[Command]) {
		let targets = commands.iter().filter_map(|command| match command {
			Command::Block { target, action: Action::Drop, .. } => Some(*target),
			_ => None,
		});
		let targets: Vec<Target> = targets.collect();
		self.end_connections(&targets);
	}

	fn end_connections(&mut self, targets: &[Target]) {
		let Some(conntrack) = &mut self.conntrack else { return };
		if targets.is_empty() {
			return;
		}
		let now = store::now(&self.store);
		let allowed = self.household.allowed(now).map(|wish| wish.network);
		let spared = self.policy.protected().copied().chain(self.setup.allowed.iter().copied()).chain(allowed);
		let spared: Vec<Network> = spared.collect();
		match conntrack.cut(targets, &spared) {
			Ok(0) => {}
			Ok(connections) => info!(at = now_ms(), connections, "cut"),
			Err(cause) => warn!(at = now_ms(), %cause, "established connections were not cut"),
		}
	}
}

/// The owner's protected networks: those of the configuration, and what the gateway needs for itself.
pub(super) fn protected_by_owner(setup: &mut Setup) -> BTreeSet<Network> {
	let mut networks: BTreeSet<Network> = setup.protected.iter().copied().collect();
	if let Some(own) = &mut setup.own {
		networks.extend(own.borrow_and_update().iter().map(|own| own.network));
	}
	networks
}

/// What is behind the gateway, or the gateway itself.
pub(super) fn behind(setup: &Setup) -> BTreeSet<Network> {
	let mut networks: BTreeSet<Network> = setup.home.iter().copied().collect();
	if let Some(own) = &setup.own {
		let own = own.borrow();
		networks.extend(own.iter().filter(|own| own.what.is_home()).map(|own| own.network));
	}
	networks
}

fn tell_flows(applied: &Applied) {
	for flow in &applied.waiting {
		warn!(at = now_ms(), %flow, "there is no room for this flow yet");
	}
	for flow in &applied.refused {
		error!(at = now_ms(), %flow, "there is no room for this flow");
	}
}
