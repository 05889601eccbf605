//! What findings are made of, gathered packet by packet in fixed memory, and when they are due.

use super::{About, Seen};
use crate::{
	engine::TICK,
	finding::{Audience, Finding, Sample, MAX_SAMPLES},
};
use ringfence_primitives::{Indicator, Millis, Note, Severity, ThreatClass};

/// Milliseconds before the same is told again.
const REPEAT: Millis = 30_000;
/// Findings that can be due at once. Whose turn does not come tries again with its next packet.
const PLACES: usize = 64;

/// The packets behind one finding.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trail {
	/// When the first came.
	pub first: Millis,
	/// When the last came.
	pub last: Millis,
	/// Those that were looked at.
	pub looked: u64,
	packets: u64,
	bytes: u64,
	sampling: u32,
	samples: [Option<Sample>; MAX_SAMPLES],
}

impl Trail {
	/// Takes in a packet. The first ones are kept as samples.
	pub fn add(&mut self, seen: &Seen<'_>) {
		if self.looked == 0 {
			self.first = seen.now;
		}
		self.last = seen.now;
		let weight = u64::from(seen.weight);
		self.packets = self.packets.saturating_add(weight);
		self.bytes = self.bytes.saturating_add(weight.saturating_mul(u64::from(seen.packet.length)));
		self.sampling = self.sampling.max(seen.weight);
		let place = usize::try_from(self.looked).unwrap_or(MAX_SAMPLES);
		if let Some(sample) = self.samples.get_mut(place) {
			*sample = Some(Sample::of(seen.packet, seen.now));
		}
		self.looked = self.looked.saturating_add(1);
	}

	/// How long it took, in seconds: at least one.
	pub fn seconds(&self) -> u64 {
		self.last.saturating_sub(self.first).div_ceil(1_000).max(1)
	}

	/// A finding about these packets, spoofable and for everybody unless the caller knows better.
	pub fn finding(
		&self,
		about: &About,
		indicator: Indicator,
		threat: ThreatClass,
		severity: Severity,
		note: &str,
	) -> Finding {
		Finding {
			detector: about.name,
			version: about.version,
			indicator,
			threat,
			severity,
			action: None,
			spoofable: true,
			audience: Audience::Everybody,
			note: Note::truncated(note),
			first_seen: self.first,
			last_seen: self.last,
			packets: self.packets,
			bytes: self.bytes,
			sampling: self.sampling,
			fit: None,
			samples: self.samples.iter().flatten().copied().collect(),
		}
	}
}

/// When something was last told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
	at: Option<Millis>,
	spoofable: bool,
}

impl Told {
	/// Whether it is time: it never was told, or long ago, or its source is proven now and was not then.
	pub fn due(&self, now: Millis, spoofable: bool) -> bool {
		self.at.is_none_or(|at| now.saturating_sub(at) >= REPEAT || (self.spoofable && !spoofable))
	}

	/// It is told now, or at the next tick.
	pub fn tell(&mut self, now: Millis, spoofable: bool) {
		*self = Self { at: Some(now), spoofable };
	}

	/// Whether it may still wait for its tick: what it is about must not be forgotten before.
	pub fn waits(&self, now: Millis) -> bool {
		self.at.is_some_and(|at| now.saturating_sub(at) <= TICK)
	}
}

/// What is to be told at a tick: hashes and keys of a table's entries. Never grows.
#[derive(Debug)]
pub struct Due<K>(Vec<(u64, K, Millis)>);

impl<K: Copy> Due<K> {
	/// Nothing is due.
	pub fn new() -> Self {
		Self(Vec::with_capacity(PLACES))
	}

	/// Makes it due at `at`; whether there was room.
	pub fn push(&mut self, hash: u64, key: K, at: Millis) -> bool {
		let room = self.0.len() < PLACES;
		if room {
			self.0.push((hash, key, at));
		}
		room
	}

	/// Hands out what is due by `now`.
	pub fn take(&mut self, now: Millis, mut each: impl FnMut(u64, K)) {
		self.0.retain(|&(hash, key, at)| {
			let ripe = at <= now;
			if ripe {
				each(hash, key);
			}
			!ripe
		});
	}
}
