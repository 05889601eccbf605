//! Who claims what about an indicator, and what follows from all of it.

use super::{EnforceError, Enforcement, CHUNK};
use crate::{
	core::{
		overrides::{Override, Overrides, Verdict},
		policy::{Decided, Policy},
		ruleset::{Action, Command, Direction},
	},
	daemon::store::Store,
};
use ringfence_primitives::{
	Confidence, Decision, Indicator, IndicatorId, Lifetime, Millis, Network, Severity, ThreatClass,
};
use std::collections::BTreeMap;

/// Milliseconds that the kernel keeps a block at the most; what is to last longer is renewed at half of it.
pub(super) const LONGEST: Millis = Lifetime::MAX.get() as Millis * 1_000;
/// Indicators that wait to be decided anew: more than there can be claims beside the chain's.
const MAX_AGAIN: usize = 20_000;

/// Everything that is claimed, and what follows.
pub(super) struct Judge<'a> {
	pub(super) policy: &'a Policy,
	pub(super) tier: &'a BTreeMap<IndicatorId, Decision>,
	pub(super) household: &'a Overrides,
	pub(super) now: Millis,
}

impl Judge<'_> {
	/// What follows for `indicator`, about which the chain has decided this.
	pub(super) fn settle(&self, indicator: &Indicator, chain: Option<Decision>) -> Decided {
		let mut claims: Vec<Decision> = chain.into_iter().collect();
		if !self.tier.is_empty() {
			claims.extend(self.tier.get(&indicator.id()).cloned());
		}
		let wish = network(indicator).and_then(|network| self.household.get(&network));
		let wish = wish.filter(|wish| wish.verdict == Verdict::Block && wish.in_force(self.now));
		claims.extend(wish.map(|wish| self.claim(wish, indicator)));
		let mut decided = self.policy.settle(indicator, &claims, self.now);
		// The kernel would forget it before its time.
		let horizon = self.now.saturating_add(LONGEST);
		if wish.is_some_and(|wish| wish.until.is_none_or(|until| until > horizon)) {
			let half = self.now.saturating_add(LONGEST / 2);
			decided.again_at = Some(decided.again_at.map_or(half, |at| at.min(half)));
		}
		decided
	}

	/// The household's wish in the form of a decision.
	fn claim(&self, wish: &Override, indicator: &Indicator) -> Decision {
		let horizon = self.now.saturating_add(LONGEST);
		Decision {
			indicator: indicator.clone(),
			direction: Direction::Both,
			action: Action::Drop,
			threat: ThreatClass::Other,
			severity: Severity::High,
			confidence: Confidence::MAX,
			expires_at: wish.until.map_or(horizon, |until| until.min(horizon)),
		}
	}
}

/// The network that an indicator is, if it is one.
fn network(indicator: &Indicator) -> Option<Network> {
	match indicator {
		Indicator::Host(address) => Some(Network::host(*address)),
		Indicator::Network(network) => Some(*network),
		Indicator::Endpoint(_) | Indicator::Flow(_) => None,
	}
}

pub(super) const fn is_block(command: &Command) -> bool {
	matches!(command, Command::Block { .. } | Command::BlockFlow { .. })
}

fn remember(again: &mut BTreeMap<(Millis, IndicatorId), Indicator>, indicator: &Indicator, decided: &Decided) {
	let Some(at) = decided.again_at else { return };
	again.insert((at, indicator.id()), indicator.clone());
	if again.len() > MAX_AGAIN {
		// The last ends last, and its end costs no more than that another claim takes effect late.
		again.pop_last();
	}
}

impl Enforcement {
	/// What follows for `indicator` from all that is claimed about it.
	pub(super) fn settle(&mut self, indicator: &Indicator) -> Result<Decided, EnforceError> {
		let chain = self.store.get(&indicator.id())?;
		let now = self.now();
		let judge = Judge { policy: &self.policy, tier: self.store.tier(), household: &self.household, now };
		let decided = judge.settle(indicator, chain);
		remember(&mut self.again, indicator, &decided);
		Ok(decided)
	}
}

/// Goes through everything that is claimed, and hands the commands that block to `take`, some thousands at a time, first
/// of all the networks that the chain protects. How many blocks there were. What has to be decided anew one day is added
/// to `again`.
pub(super) fn every(
	store: &Store,
	judge: &Judge,
	again: &mut BTreeMap<(Millis, IndicatorId), Indicator>,
	mut take: impl FnMut(&[Command]) -> Result<(), EnforceError>,
) -> Result<u64, EnforceError> {
	let mut batch: Vec<Command> = Vec::with_capacity(CHUNK);
	batch.extend(store.protected().iter().map(|network| Command::Protect(*network)));
	let mut blocks = 0;
	let mut settle = |batch: &mut Vec<Command>, indicator: &Indicator, chain: Option<Decision>| {
		let decided = judge.settle(indicator, chain);
		remember(again, indicator, &decided);
		if is_block(&decided.command) {
			batch.push(decided.command);
			blocks += 1;
		}
	};
	let mut walk = store.walk(None);
	while let Some(decision) = walk.next()? {
		let indicator = decision.indicator.clone();
		settle(&mut batch, &indicator, Some(decision));
		if batch.len() >= CHUNK {
			take(&batch)?;
			batch.clear();
		}
	}
	// What is claimed, but not by the chain.
	for (id, decision) in store.tier() {
		if store.get(id)?.is_none() {
			settle(&mut batch, &decision.indicator, None);
		}
	}
	for wish in judge.household.blocked(judge.now) {
		let indicator = Indicator::from(wish.network);
		let id = indicator.id();
		if !store.tier().contains_key(&id) && store.get(&id)?.is_none() {
			settle(&mut batch, &indicator, None);
		}
	}
	for chunk in batch.chunks(CHUNK) {
		take(chunk)?;
	}
	Ok(blocks)
}
