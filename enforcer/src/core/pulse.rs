//! How sure it is that nothing was missed: what was proven final last, when the next proof is due, and when the silence has
//! lasted too long.
//!
//! # Security considerations
//!
//! A server that lies is refused; all that is left to it is to say nothing new: to repeat what was proven before, to tell
//! what is old, or to be silent. So only a block above all that were proven before counts as a sign of life, and its age
//! is read from itself. Time is milliseconds on a clock that never jumps, but for ages, where the wall clock is compared
//! with the slot that a block was made in: a gateway whose clock is wrong is told so together with one that lags.

use super::{finality::Header, frame::BlockRef};
use codec::Decode;
use ringfence_primitives::Millis;
use sp_runtime::DigestItem;

/// Milliseconds of one slot of the chain, as its runtime says (`ringfence_runtime::SLOT_MILLIS`).
pub const SLOT_MILLIS: Millis = 500;
/// Aura's mark in the header of a block.
const AURA: [u8; 4] = *b"aura";
/// Blocks by which what a node says may be older than what was proven already: a minute.
pub const OVERTAKEN: u32 = 120;
/// Milliseconds between two proofs that carry the digest of the whole active set, which is as large as all the rest.
pub const DIGEST_EVERY: Millis = 86_400_000;

/// When the block with this SCALE header was made, in Unix milliseconds; None if it does not say. Not read from what is not
/// proven.
pub fn made_at(header: &[u8]) -> Option<Millis> {
	let header = Header::decode(&mut &header[..]).ok()?;
	let slot = header.digest.logs.iter().find_map(|item| match item {
		DigestItem::PreRuntime(AURA, slot) => u64::decode(&mut &slot[..]).ok(),
		_ => None,
	})?;
	Some(slot.saturating_mul(SLOT_MILLIS))
}

/// The signs of life of the chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pulse {
	heartbeat: Millis,
	stale_after: Millis,
	/// The newest block that was proven final.
	newest: u32,
	/// When it was, or when the clock began.
	since: Millis,
	/// When the node at hand was asked last; None: not yet.
	asked: Option<Millis>,
	/// When a digest was compared last; None: not yet.
	compared: Option<Millis>,
}

impl Pulse {
	/// Proofs are due every `heartbeat` milliseconds; `stale_after` without a newer block is too long. The clock begins at
	/// `now`.
	pub const fn new(heartbeat: Millis, stale_after: Millis, now: Millis) -> Self {
		Self { heartbeat, stale_after, newest: 0, since: now, asked: None, compared: None }
	}

	/// The newest block that was proven final; 0 before the first.
	pub const fn newest(&self) -> u32 {
		self.newest
	}

	/// The oldest block that a node may still speak of. Its answers overtake each other, and the next node hears of a block a
	/// moment later: neither is to be left for that. What is older than a minute is.
	pub const fn oldest(&self) -> u32 {
		self.newest.saturating_sub(OVERTAKEN)
	}

	/// `block` was proven final. Whether it is newer than all before.
	pub fn proven(&mut self, block: &BlockRef, now: Millis) -> bool {
		let newer = block.number > self.newest;
		if newer {
			(self.newest, self.since) = (block.number, now);
		}
		newer
	}

	/// The active set's digest was proven.
	pub fn compared(&mut self, now: Millis) {
		self.compared = Some(now);
	}

	/// A new node is at hand: it has to prove at once that it is alive.
	pub fn turn(&mut self, now: Millis) {
		self.asked = None;
		// Silence of the node before is not held against this one; that of the chain shows in the status all the while.
		self.since = now;
	}

	/// The node at hand is asked for a proof.
	pub fn asked(&mut self, now: Millis) {
		self.asked = Some(now);
	}

	/// Milliseconds until the next proof is to be asked for. A change that came with its proof spares one.
	pub fn due_in(&self, now: Millis) -> Millis {
		let Some(asked) = self.asked else { return 0 };
		self.since.max(asked).saturating_add(self.heartbeat).saturating_sub(now)
	}

	/// Whether that one is to carry the digest.
	pub fn wants_digest(&self, now: Millis) -> bool {
		self.compared.is_none_or(|compared| now.saturating_sub(compared) >= DIGEST_EVERY.max(self.heartbeat))
	}

	/// Milliseconds until the node at hand has been silent for too long.
	pub const fn patience(&self, now: Millis) -> Millis {
		self.since.saturating_add(self.stale_after).saturating_sub(now)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use codec::Encode;
	use proptest::prelude::*;
	use sp_runtime::Digest as Logs;

	const HEARTBEAT: Millis = 900_000;
	const STALE: Millis = 1_860_000;

	fn pulse() -> Pulse {
		Pulse::new(HEARTBEAT, STALE, 0)
	}

	fn block(number: u32) -> BlockRef {
		BlockRef { number, hash: [0; 32] }
	}

	fn header(logs: Vec<DigestItem>) -> Vec<u8> {
		let zero = Default::default();
		Header { parent_hash: zero, number: 7, state_root: zero, extrinsics_root: zero, digest: Logs { logs } }.encode()
	}

	#[test]
	fn a_block_says_when_it_was_made() {
		let aura = DigestItem::PreRuntime(AURA, 3_400_000_000_u64.encode());
		let other = DigestItem::Consensus(*b"FRNK", vec![1]);
		assert_eq!(made_at(&header(vec![other.clone(), aura])), Some(1_700_000_000_000));
		assert_eq!(made_at(&header(vec![other])), None);
		assert_eq!(made_at(&header(vec![DigestItem::PreRuntime(AURA, vec![1])])), None);
		assert_eq!(made_at(&[1, 2, 3]), None);
	}

	#[test]
	fn a_node_is_asked_at_once_and_then_at_the_pace_that_is_set() {
		let mut pulse = pulse();
		assert_eq!(pulse.due_in(5), 0);
		pulse.asked(10);
		pulse.proven(&block(5), 20);
		assert_eq!(pulse.due_in(20), HEARTBEAT);
		pulse.proven(&block(6), 1_020);
		assert_eq!(pulse.due_in(1_020), HEARTBEAT, "a change spares a heartbeat");
		pulse.asked(1_020 + HEARTBEAT);
		assert_eq!(
			pulse.due_in(1_020 + HEARTBEAT),
			HEARTBEAT,
			"an answer that is no news is not asked for again and again"
		);
		pulse.turn(2_000_000);
		assert_eq!(pulse.due_in(2_000_000), 0, "another node is asked at once");
	}

	#[test]
	fn repeating_what_is_known_is_silence() {
		let mut pulse = pulse();
		assert!(pulse.proven(&block(5), 1_000));
		assert!(!pulse.proven(&block(5), 500_000));
		assert!(!pulse.proven(&block(4), 600_000));
		assert_eq!((pulse.newest(), pulse.oldest()), (5, 0));
		assert_eq!(pulse.patience(600_000), STALE - 599_000);
		assert_eq!(pulse.patience(1_000 + STALE), 0);
		assert!(pulse.proven(&block(6), 1_000 + STALE));
		assert_eq!(pulse.patience(1_000 + STALE), STALE);
	}

	#[test]
	fn the_digest_is_asked_for_once_a_day() {
		let mut pulse = pulse();
		assert!(pulse.wants_digest(0));
		pulse.compared(0);
		assert!(!pulse.wants_digest(DIGEST_EVERY - 1));
		assert!(pulse.wants_digest(DIGEST_EVERY));
	}

	proptest! {
		/// Whatever is proven when, the newest never falls, and nothing waits longer than it is said to.
		#[test]
		fn the_pulse_never_goes_back(steps in prop::collection::vec((any::<u32>(), 0..10_000_u64), 0..50)) {
			let mut pulse = pulse();
			let (mut now, mut newest) = (0, 0);
			for (number, later) in steps {
				now += later;
				pulse.asked(now);
				prop_assert_eq!(pulse.proven(&block(number), now), number > newest);
				newest = newest.max(number);
				prop_assert_eq!((pulse.newest(), pulse.oldest()), (newest, newest.saturating_sub(OVERTAKEN)));
				prop_assert!(pulse.due_in(now) <= HEARTBEAT && pulse.patience(now) <= STALE);
			}
		}
	}
}
