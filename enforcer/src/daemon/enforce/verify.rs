//! Whether the chain, the store and the kernel have the same.

use super::{
	claims::{every, Judge},
	EnforceError, Enforcement, Flow,
};
use crate::{
	core::{
		frame::Heartbeat,
		hex,
		ruleset::{Action, Command, Direction, Target},
	},
	daemon::{
		control::{self, Agreement, Answer},
		now_ms,
	},
};
use ringfence_primitives::Millis;
use std::{
	collections::BTreeMap,
	time::{Duration, Instant},
};
use tokio::sync::oneshot;
use tracing::{error, warn};

/// How long a verification waits for a node to prove the chain's digest.
const PATIENCE: Duration = Duration::from_secs(8);
/// Verifications at a time.
const MAX_VERIFYING: usize = 8;
/// What the kernel forgets within this many milliseconds is not missed.
const SOON: Millis = 5_000;

/// A person who waits for the chain's digest.
pub(super) struct Verifying {
	pub(super) until: Instant,
	pub(super) reply: oneshot::Sender<Answer>,
}

impl Enforcement {
	/// Compares digests.
	pub fn heartbeat(&mut self, heartbeat: &Heartbeat) -> Flow {
		let Some(digest) = &heartbeat.digest else { return Flow::On };
		let cursor = self.store.cursor();
		if heartbeat.head.seq != cursor.seq || self.fetch {
			// One of the two has seen more than the other.
			return Flow::On;
		}
		let same = digest == self.store.digest() && cursor.hash.is_none_or(|hash| hash == heartbeat.head.hash);
		if !same {
			error!(
				at = now_ms(),
				seq = cursor.seq,
				here = hex::encode(&self.store.digest().checksum()),
				chain = hex::encode(&digest.checksum()),
				"the active set differs from the chain's: it is fetched anew"
			);
			self.fetch = true;
		}
		let agreement = if same { Agreement::Same } else { Agreement::Differs };
		let waiting = std::mem::take(&mut self.verifying);
		self.tell_verified(waiting, agreement);
		if same {
			Flow::On
		} else {
			Flow::Again
		}
	}

	pub(super) fn begin_verifying(&mut self, reply: oneshot::Sender<Answer>) {
		if self.verifying.len() >= MAX_VERIFYING {
			let _ = reply.send(Answer::Refused { cause: "others are verifying already".into() });
			return;
		}
		self.verifying.push(Verifying { until: Instant::now() + PATIENCE, reply });
		self.wanted.send_modify(|times| *times = times.wrapping_add(1));
	}

	pub(super) fn tell_verified(&mut self, waiting: Vec<Verifying>, digest: Agreement) {
		if waiting.is_empty() {
			return;
		}
		let answer = self.verified(digest);
		for Verifying { reply, .. } in waiting {
			// Who does not wait any more does not need it.
			let _ = reply.send(answer.clone());
		}
	}

	/// Looks whether the kernel has all that the store has, and gives it everything anew.
	pub(super) fn verified(&mut self, digest: Agreement) -> Answer {
		let compared = self.compare();
		match self.mind(compared) {
			Ok(missing) => Answer::Verified(control::Verified {
				seq: self.store.cursor().seq,
				entries: self.store.count() + self.store.tier().len() as u64,
				digest,
				missing,
				healed: missing,
			}),
			Err(cause) => Answer::Failed { cause: cause.to_string() },
		}
	}

	/// How many blocks the kernel had not. Now it has them, and nothing beside.
	///
	/// What it has too much only a list of everything would show, and the kernel takes a minute to list a million elements.
	/// So the owner's lists are set anew, and all blocks filled anew beside those in force: a second, for as many.
	fn compare(&mut self) -> Result<u64, EnforceError> {
		if !self.is_intact()? {
			self.rebuild()?;
		}
		let missing = self.missing()?;
		if missing > 0 {
			warn!(at = now_ms(), missing, "the kernel lacked blocks");
		}
		self.reconfigure()?;
		self.fill_or_rebuild()?;
		Ok(missing)
	}

	/// How many blocks the kernel has not that it should have.
	fn missing(&mut self) -> Result<u64, EnforceError> {
		let now = self.now();
		let Self { firewall: Some(firewall), store, policy, household, .. } = self else { return Ok(0) };
		let judge = Judge { policy, tier: store.tier(), household, now };
		let (mut missing, mut aside) = (0_u64, BTreeMap::new());
		every(store, &judge, &mut aside, |commands| {
			let lasting = commands.iter().filter_map(|command| match *command {
				Command::Block { target, direction, action, timeout_ms } if timeout_ms > SOON => {
					Some((target, direction, action))
				}
				_ => None,
			});
			let lasting: Vec<(Target, Direction, Action)> = lasting.collect();
			missing += firewall.missing(&lasting)?.len() as u64;
			Ok(())
		})?;
		Ok(missing)
	}
}
