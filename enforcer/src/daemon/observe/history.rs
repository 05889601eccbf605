//! The last day: what was dropped, minute by minute, and the newest decisions with their reasons.
//!
//! The memory is fixed: a ring of 1,440 minutes and of [`EVENTS`] decisions. It is kept in `history.json` in the state
//! directory. Losing it, or a part of it, loses nothing but the picture: nothing is ever decided by it.
//!
//! # Security considerations
//!
//! Peers choose how many packets are counted; whoever reports chooses what decisions say. Both are bounded here: counts
//! saturate and texts are cut. The file belongs to the daemon; one that makes no sense is dropped.

use crate::daemon::{
	firewall::{Counters, Sides},
	now_ms,
	state::{self, Durable},
};
use ringfence_primitives::{envelope::TierChange, ChangeKind, Decision, Millis};
use serde::{Deserialize, Serialize};
use std::{
	collections::VecDeque,
	fs::File,
	io::{self, Read},
	path::{Path, PathBuf},
	sync::{Arc, Mutex, MutexGuard, PoisonError},
	time::Duration,
};
use tracing::warn;

/// The file in the state directory.
pub const FILE: &str = "history.json";
/// Decisions that are kept.
pub const EVENTS: usize = 200;
/// Minutes that are kept: a day.
const MINUTES: usize = 1_440;
const MINUTE: Millis = 60_000;
/// Minutes in one column of the plot.
const COLUMN: usize = 10;
/// Columns of the plot.
pub const COLUMNS: usize = MINUTES / COLUMN;
/// A clock that is set back by less is taken to stand still; by more, what was counted in what is now the future goes.
const SLACK: u64 = 5;
/// Time between two writes to the disk. Routers have flash memory: it wears off.
const SAVE_EVERY: Duration = Duration::from_secs(600);
/// Characters of a text.
const TEXT: usize = 160;
/// Octets of the file: more is not from here.
const LIMIT: u64 = 1024 * 1024;
const VERSION: u32 = 1;

/// What became of a decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
	/// The firewall does it.
	Enforced,
	/// The owner's rules, or its own end, keep it out, for this reason.
	PassedOver(String),
	/// The kernel refused it, for this reason.
	Failed(String),
}

/// Why something is blocked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reason {
	/// Name of the [threat class](ringfence_primitives::ThreatClass).
	pub threat: String,
	/// Name of the [severity](ringfence_primitives::Severity).
	pub severity: String,
	/// When the block ends by itself, Unix time in milliseconds.
	pub expires_at: Millis,
}

/// One decision that mattered here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Event {
	/// When it was acted on, Unix time in milliseconds.
	pub at: Millis,
	/// Its place in the chain's log; 0: it has none.
	pub seq: u64,
	/// What was decided: `activated`, `revoked` and so on.
	pub verb: String,
	/// About what, as a person reads it.
	pub what: String,
	/// Why.
	pub reason: Option<Reason>,
	/// What became of it.
	pub outcome: Outcome,
}

impl Event {
	/// The event for one entry of the chain's log. None for one that only a provider's subscribers can read.
	pub fn of(at: Millis, seq: u64, verb: &str, kind: &ChangeKind, outcome: Outcome) -> Option<Self> {
		let (what, reason) = match kind {
			ChangeKind::Activated(decision) | ChangeKind::Extended(decision) => about(decision),
			ChangeKind::Revoked(indicator) | ChangeKind::Expired(indicator) => (indicator.to_string(), None),
			ChangeKind::Protected(network) | ChangeKind::Unprotected(network) => (network.to_string(), None),
			ChangeKind::Tier1(..) => return None,
		};
		Some(Self { at, seq, verb: verb.into(), what, reason, outcome })
	}

	/// The event for what a provider told its subscribers.
	pub fn of_tier(at: Millis, seq: u64, verb: &str, told: &TierChange, outcome: Outcome) -> Self {
		let (what, reason) = match told {
			TierChange::Block(decision) => about(decision),
			TierChange::Unblock(indicator) => (indicator.to_string(), None),
		};
		Self { at, seq, verb: verb.into(), what, reason, outcome }
	}

	fn cut(mut self) -> Self {
		let texts = [&mut self.verb, &mut self.what];
		let reason = self.reason.iter_mut().flat_map(|reason| [&mut reason.threat, &mut reason.severity]);
		let cause = match &mut self.outcome {
			Outcome::Enforced => None,
			Outcome::PassedOver(cause) | Outcome::Failed(cause) => Some(cause),
		};
		for text in texts.into_iter().chain(reason).chain(cause) {
			if let Some((end, _)) = text.char_indices().nth(TEXT) {
				text.truncate(end);
			}
		}
		self
	}
}

fn about(decision: &Decision) -> (String, Option<Reason>) {
	let reason = Reason {
		threat: decision.threat.to_string(),
		severity: decision.severity.to_string(),
		expires_at: decision.expires_at,
	};
	(decision.indicator.to_string(), Some(reason))
}

/// Packets dropped on the way in and on the way out; in canary mode, those that would have been.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Dropped {
	/// From peers.
	pub inbound: u64,
	/// To peers.
	pub outbound: u64,
}

impl Dropped {
	/// What was dropped by a block, for its rate, or for not being on the owner's list, or was only spared that.
	fn of(counters: &Counters) -> Self {
		let kinds = [counters.dropped, counters.limited, counters.spared];
		let sum = |side: fn(&Sides) -> u64| kinds.iter().map(side).fold(0, u64::saturating_add);
		Self {
			inbound: sum(|sides| sides.inbound.packets).saturating_add(counters.barred.packets),
			outbound: sum(|sides| sides.outbound.packets),
		}
	}

	/// What came since `before`. A counter that fell is a new one: its table was built anew.
	fn since(self, before: Self) -> Self {
		let grown = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
		Self { inbound: grown(self.inbound, before.inbound), outbound: grown(self.outbound, before.outbound) }
	}
}

/// The last day as it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct View {
	/// When the first column begins, Unix time in milliseconds.
	pub from: Millis,
	/// Milliseconds in a column.
	pub step_ms: Millis,
	/// Packets dropped on the way in, by column: [`COLUMNS`] of them, the last one not yet over.
	pub inbound: Vec<u64>,
	/// Packets dropped on the way out.
	pub outbound: Vec<u64>,
	/// All of it together.
	pub dropped: Dropped,
	/// The newest decisions, newest first, at most [`EVENTS`].
	pub events: Vec<Event>,
}

/// What is on the disk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Kept {
	version: u32,
	/// Number of the newest minute since 1970.
	newest: u64,
	/// By minute modulo [`MINUTES`].
	inbound: Vec<u32>,
	outbound: Vec<u32>,
	/// What the counters stood at.
	last: Option<Dropped>,
	/// Oldest first.
	events: VecDeque<Event>,
}

impl Default for Kept {
	fn default() -> Self {
		Self {
			version: VERSION,
			newest: 0,
			inbound: vec![0; MINUTES],
			outbound: vec![0; MINUTES],
			last: None,
			events: VecDeque::with_capacity(EVENTS),
		}
	}
}

impl Kept {
	/// Moves to `minute`: what lies a day back, or has become the future, is forgotten.
	fn turn_to(&mut self, minute: u64) {
		let (from, to) = match minute.checked_sub(self.newest) {
			Some(0) => return,
			Some(_) => (self.newest + 1, minute),
			None if self.newest - minute <= SLACK => return,
			None => (minute + 1, self.newest),
		};
		// After a whole turn every minute has been forgotten.
		for gone in (from..=to).take(MINUTES) {
			let slot = Self::slot(gone);
			(self.inbound[slot], self.outbound[slot]) = (0, 0);
		}
		self.newest = minute;
	}

	fn slot(minute: u64) -> usize {
		// Less than 1,440.
		(minute % MINUTES as u64) as usize
	}

	fn add(&mut self, more: Dropped) {
		let slot = Self::slot(self.newest);
		let add = |count: &mut u32, more: u64| *count = count.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
		add(&mut self.inbound[slot], more.inbound);
		add(&mut self.outbound[slot], more.outbound);
	}

	fn note(&mut self, event: Event) {
		if self.events.len() >= EVENTS {
			self.events.pop_front();
		}
		self.events.push_back(event.cut());
	}

	/// Whole columns, so that one does not change its content as time goes on.
	fn columns(&self, counts: &[u32]) -> Vec<u64> {
		let first = self.first_minute();
		let mut columns = vec![0; COLUMNS];
		for minute in first..=self.newest {
			// At most 144 columns of ten minutes lie between the first and the newest.
			columns[((minute - first) / COLUMN as u64) as usize] += u64::from(counts[Self::slot(minute)]);
		}
		columns
	}

	/// The one that the first column begins with.
	fn first_minute(&self) -> u64 {
		let column = COLUMN as u64;
		((self.newest / column + 1) * column).saturating_sub(MINUTES as u64)
	}

	fn read(path: &Path) -> io::Result<Option<Self>> {
		let file = match File::open(path) {
			Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
			file => file?,
		};
		let mut text = Vec::new();
		file.take(LIMIT).read_to_end(&mut text)?;
		let mut kept: Self = serde_json::from_slice(&text)?;
		if kept.version != VERSION || kept.inbound.len() != MINUTES || kept.outbound.len() != MINUTES {
			return Err(io::Error::new(io::ErrorKind::InvalidData, "not a day of this version"));
		}
		// The furthest minute that a clock can show: sums with it do not overflow.
		kept.newest = kept.newest.min(Millis::MAX / MINUTE);
		kept.events = kept.events.into_iter().rev().take(EVENTS).map(Event::cut).collect();
		kept.events.make_contiguous().reverse();
		Ok(Some(kept))
	}
}

/// The last day. Shared by those who write it and those who show it.
#[derive(Debug)]
pub struct History {
	path: PathBuf,
	kept: Mutex<Kept>,
}

impl History {
	/// What is kept in `state_dir`, or nothing yet. A file that makes no sense is passed over, with a word in the log.
	pub fn open(state_dir: &Path) -> Arc<Self> {
		let path = state_dir.join(FILE);
		let kept = Kept::read(&path).unwrap_or_else(|cause| {
			warn!(at = now_ms(), path = %path.display(), %cause, "history not read: it begins anew");
			None
		});
		Arc::new(Self { path, kept: Mutex::new(kept.unwrap_or_default()) })
	}

	fn lock(&self) -> MutexGuard<'_, Kept> {
		// Every change leaves something that can be shown.
		self.kept.lock().unwrap_or_else(PoisonError::into_inner)
	}

	/// Takes in where the firewall's counters stand at `now`. To be called each second or so, never while another
	/// firewall's counters are passed as well.
	pub fn count(&self, now: Millis, counters: &Counters) {
		let mut kept = self.lock();
		kept.turn_to(now / MINUTE);
		let stand = Dropped::of(counters);
		// Of what was counted before the first look nobody knows when it was.
		let more = kept.last.map(|last| stand.since(last)).unwrap_or_default();
		kept.add(more);
		kept.last = Some(stand);
	}

	/// Keeps a decision.
	pub fn note(&self, event: Event) {
		self.lock().note(event);
	}

	/// The last day, seen from `now`.
	pub fn view(&self, now: Millis) -> View {
		let mut kept = self.lock();
		kept.turn_to(now / MINUTE);
		let (inbound, outbound) = (kept.columns(&kept.inbound), kept.columns(&kept.outbound));
		View {
			from: kept.first_minute() * MINUTE,
			step_ms: COLUMN as Millis * MINUTE,
			dropped: Dropped { inbound: inbound.iter().sum(), outbound: outbound.iter().sum() },
			inbound,
			outbound,
			events: kept.events.iter().rev().cloned().collect(),
		}
	}

	/// Writes it to the disk. A failure is only logged.
	pub fn save(&self) {
		let kept = self.lock().clone();
		// Numbers and text always serialize.
		let text = serde_json::to_vec(&kept).unwrap_or_default();
		if let Err(cause) = state::replace(&self.path, &text, Durable::No) {
			warn!(at = now_ms(), %cause, "history not written");
		}
	}

	/// Writes it to the disk every ten minutes, for ever.
	pub async fn keep_saved(self: Arc<Self>) {
		let mut interval = tokio::time::interval(SAVE_EVERY);
		// The first tick comes at once, and there is nothing new yet.
		interval.tick().await;
		loop {
			interval.tick().await;
			self.save();
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::daemon::firewall::Count;
	use proptest::prelude::*;

	const NOON: Millis = 1_700_000_000_000 / 600_000 * 600_000;

	fn history() -> (tempfile::TempDir, Arc<History>) {
		let directory = tempfile::tempdir().unwrap();
		let history = History::open(directory.path());
		(directory, history)
	}

	fn counters(inbound: u64, outbound: u64) -> Counters {
		let count = |packets| Count { packets, bytes: packets };
		Counters { dropped: Sides { inbound: count(inbound), outbound: count(outbound) }, ..Counters::default() }
	}

	fn event(seq: u64, what: &str) -> Event {
		Event { at: NOON, seq, verb: "activated".into(), what: what.into(), reason: None, outcome: Outcome::Enforced }
	}

	#[test]
	fn what_is_dropped_is_counted_in_its_minute() {
		let (_directory, history) = history();
		history.count(NOON, &counters(100, 10));
		history.count(NOON + 1_000, &counters(105, 10));
		history.count(NOON + 10 * MINUTE, &counters(106, 13));
		let view = history.view(NOON + 10 * MINUTE);
		assert_eq!(view.inbound[COLUMNS - 2..], [5, 1]);
		assert_eq!(view.outbound[COLUMNS - 2..], [0, 3]);
		assert_eq!(view.dropped, Dropped { inbound: 6, outbound: 3 });
		assert_eq!(view.from + COLUMNS as Millis * view.step_ms, NOON + 20 * MINUTE);
	}

	#[test]
	fn a_table_that_was_built_anew_counts_from_zero() {
		let (_directory, history) = history();
		history.count(NOON, &counters(0, 0));
		history.count(NOON, &counters(100, 0));
		history.count(NOON, &counters(7, 0));
		assert_eq!(history.view(NOON).dropped.inbound, 107);
	}

	#[test]
	fn a_day_later_it_is_forgotten() {
		let (_directory, history) = history();
		history.count(NOON, &counters(0, 0));
		history.count(NOON, &counters(9, 0));
		assert_eq!(history.view(NOON + 23 * 60 * MINUTE).dropped.inbound, 9);
		assert_eq!(history.view(NOON + 24 * 60 * MINUTE).dropped.inbound, 0);
	}

	#[test]
	fn a_clock_set_back_drops_the_future_and_no_more() {
		let (_directory, history) = history();
		history.count(NOON, &counters(0, 0));
		history.count(NOON, &counters(3, 0));
		history.count(NOON + 60 * MINUTE, &counters(5, 0));
		history.count(NOON + 58 * MINUTE, &counters(6, 0));
		assert_eq!(history.view(NOON + 60 * MINUTE).dropped.inbound, 6, "a small step is none");
		assert_eq!(history.view(NOON + 30 * MINUTE).dropped.inbound, 3);
		assert_eq!(history.view(0).dropped.inbound, 0);
	}

	#[test]
	fn only_the_newest_decisions_are_kept_and_texts_are_cut() {
		let (_directory, history) = history();
		for seq in 1..=EVENTS as u64 + 5 {
			history.note(event(seq, &"é".repeat(1_000)));
		}
		let view = history.view(NOON);
		assert_eq!(view.events.len(), EVENTS);
		assert_eq!((view.events[0].seq, view.events[EVENTS - 1].seq), (EVENTS as u64 + 5, 6));
		assert_eq!(view.events[0].what.chars().count(), TEXT);
	}

	#[test]
	fn it_is_read_as_it_was_written() {
		let (directory, history) = history();
		history.count(NOON, &counters(0, 0));
		history.count(NOON, &counters(4, 2));
		history.note(event(1, "203.0.113.9"));
		history.note(event(2, "203.0.113.10"));
		history.save();
		let again = History::open(directory.path());
		assert_eq!(again.view(NOON), history.view(NOON));
		// The firewall outlived the daemon: what it dropped meanwhile counts.
		again.count(NOON, &counters(6, 2));
		assert_eq!(again.view(NOON).dropped.inbound, 6);
	}

	#[test]
	fn nonsense_on_the_disk_begins_anew() {
		let directory = tempfile::tempdir().unwrap();
		for text in ["", "{", "{\"version\":1}", "[1,2]"] {
			std::fs::write(directory.path().join(FILE), text).unwrap();
			let history = History::open(directory.path());
			assert_eq!(history.view(NOON).dropped, Dropped::default());
			history.save();
			assert!(Kept::read(&directory.path().join(FILE)).unwrap().is_some());
		}
	}

	proptest! {
		#[test]
		fn no_clock_and_no_counter_breaks_it(looks in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..50)) {
			let (_directory, history) = history();
			for (now, inbound, outbound) in looks {
				history.count(now, &counters(inbound, outbound));
				prop_assert_eq!(history.view(now).inbound.len(), COLUMNS);
			}
		}

		#[test]
		fn within_a_day_nothing_is_lost(steps in prop::collection::vec((0..20_u64, 0..1_000_u64), 1..60)) {
			let (_directory, history) = history();
			history.count(NOON, &counters(0, 0));
			let (mut now, mut total) = (NOON, 0);
			for (minutes, packets) in steps {
				(now, total) = (now + minutes * MINUTE, total + packets);
				history.count(now, &counters(total, 0));
			}
			prop_assert_eq!(history.view(now).dropped.inbound, total);
		}
	}
}
