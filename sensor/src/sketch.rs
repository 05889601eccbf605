//! Counting many things in fixed memory: a table that keeps the heaviest, and an estimate of how many different ones there were.
//!
//! # Security considerations
//!
//! Whoever sends packets chooses what is counted. [`Secret`] hashes under a key that nobody outside knows, so no choice of
//! addresses and ports fills one bucket, or makes an estimate lie. Memory is taken when a table is made.

use ahash::RandomState;
use ringfence_primitives::Millis;
use std::hash::Hash;

/// A keyed hash.
#[derive(Clone, Debug)]
pub struct Secret(RandomState);

impl Secret {
	/// The hash of this key. Nobody outside may know it; tests give a fixed one, so that they repeat.
	pub fn new(key: u64) -> Self {
		// Any four numbers that differ: the library mixes them with constants of its own.
		Self(RandomState::with_seeds(key, key.rotate_left(16) ^ 1, key.rotate_left(32) ^ 2, key.rotate_left(48) ^ 3))
	}

	/// The hash of `value`.
	pub fn hash<T: Hash>(&self, value: T) -> u64 {
		self.0.hash_one(value)
	}
}

/// An estimate of how many different things were seen, in 64 octets: HyperLogLog with 64 registers, about 13 % off, and near to
/// exact below 50.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Distinct([u8; Self::REGISTERS]);

impl Distinct {
	const REGISTERS: usize = 64;
	const BITS: u32 = 6;

	/// Takes in the hash of a thing.
	pub fn insert(&mut self, hash: u64) {
		// The highest six bits choose the register, the zeros after them are what it keeps.
		let register = (hash >> (u64::BITS - Self::BITS)) as usize;
		let zeros = ((hash << Self::BITS) | (1 << (Self::BITS - 1))).leading_zeros() + 1;
		if let Some(register) = self.0.get_mut(register) {
			// At most 64 - 6 + 1.
			*register = (*register).max(zeros as u8);
		}
	}

	/// How many different ones there were.
	pub fn estimate(&self) -> u64 {
		let registers = Self::REGISTERS as f64;
		let harmonic: f64 = self.0.iter().map(|&zeros| 2f64.powi(-i32::from(zeros))).sum();
		// The constant is the published one for 64 registers.
		let raw = 0.709 * registers * registers / harmonic;
		let empty = self.0.iter().filter(|&&zeros| zeros == 0).count();
		// Few of them: the empty registers tell more.
		let estimate =
			if raw <= 2.5 * registers && empty > 0 { registers * (registers / empty as f64).ln() } else { raw };
		// Not negative, and far from the bound.
		estimate.round() as u64
	}

	/// Forgets everything.
	pub fn clear(&mut self) {
		*self = Self::default();
	}
}

impl Default for Distinct {
	fn default() -> Self {
		Self([0; Self::REGISTERS])
	}
}

/// What a [`Table`] keeps: the least weighty goes first where there is no room.
pub trait Weighty {
	/// How much there is to lose.
	fn weight(&self) -> u64;
}

impl Weighty for u64 {
	fn weight(&self) -> u64 {
		*self
	}
}

#[derive(Clone, Debug)]
struct Slot<K, V> {
	key: K,
	touched: Millis,
	value: V,
}

/// A table of fixed size. Each key has eight places where it may stand; where all are taken, one goes that was not touched
/// for as long as the table remembers, else the least weighty. So a flood of keys that come once pushes out only others like
/// itself, and what comes often stays.
#[derive(Clone, Debug)]
pub struct Table<K, V> {
	slots: Box<[Option<Slot<K, V>>]>,
	memory: Millis,
}

/// Places that a key may stand in.
const WAYS: usize = 8;

impl<K: Copy + Eq, V: Default + Weighty> Table<K, V> {
	/// A table of at least `slots` places, whose entries may go `memory` milliseconds after they were last touched.
	pub fn new(slots: usize, memory: Millis) -> Self {
		let slots = slots.max(WAYS).next_power_of_two();
		Self { slots: (0..slots).map(|_| None).collect(), memory }
	}

	fn bucket(&self, hash: u64) -> usize {
		let buckets = self.slots.len() / WAYS;
		// The remainder is below the number of buckets, which is a power of two and at least one.
		(hash as usize & (buckets - 1)) * WAYS
	}

	/// The value of `key`, if there is one.
	pub fn get(&self, hash: u64, key: &K) -> Option<&V> {
		let bucket = self.bucket(hash);
		let slots = self.slots.get(bucket..bucket + WAYS)?;
		slots.iter().flatten().find(|slot| slot.key == *key).map(|slot| &slot.value)
	}

	/// The value of `key`, a new one where there was none. None: the place was too precious to give away.
	pub fn touch(&mut self, hash: u64, key: K, now: Millis) -> Option<&mut V> {
		let (bucket, memory) = (self.bucket(hash), self.memory);
		let slots = self.slots.get_mut(bucket..bucket + WAYS)?;
		let mut place = 0;
		let mut least = (2, u64::MAX);
		for (index, slot) in slots.iter().enumerate() {
			let rank = match slot {
				Some(slot) if slot.key == key => {
					place = index;
					break;
				}
				None => (0, 0),
				Some(slot) if now.saturating_sub(slot.touched) > memory => (1, 0),
				Some(slot) => (2, slot.value.weight()),
			};
			if rank < least {
				(least, place) = (rank, index);
			}
		}
		let slot = slots.get_mut(place)?;
		match slot {
			Some(slot) if slot.key == key => slot.touched = slot.touched.max(now),
			_ => *slot = Some(Slot { key, touched: now, value: V::default() }),
		}
		slot.as_mut().map(|slot| &mut slot.value)
	}

	/// Every entry that was touched within the table's memory.
	pub fn iter_mut(&mut self, now: Millis) -> impl Iterator<Item = (K, &mut V)> {
		let memory = self.memory;
		let fresh = move |slot: &&mut Slot<K, V>| now.saturating_sub(slot.touched) <= memory;
		self.slots.iter_mut().flatten().filter(fresh).map(|slot| (slot.key, &mut slot.value))
	}

	/// Forgets `key`.
	pub fn remove(&mut self, hash: u64, key: &K) {
		let bucket = self.bucket(hash);
		for slot in self.slots.iter_mut().skip(bucket).take(WAYS) {
			if slot.as_ref().is_some_and(|slot| slot.key == *key) {
				*slot = None;
			}
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	#[test]
	fn the_number_of_different_things_is_estimated() {
		let secret = Secret::new(7);
		for count in [0_u64, 1, 10, 50, 1_000, 100_000] {
			let mut distinct = Distinct::default();
			for _ in 0..2 {
				(0..count).for_each(|thing| distinct.insert(secret.hash(thing)));
			}
			let estimate = distinct.estimate();
			let slack = if count <= 50 { count / 5 + 1 } else { count * 2 / 5 };
			assert!(estimate.abs_diff(count) <= slack, "{count}: {estimate}");
		}
	}

	#[test]
	fn what_comes_often_outlives_a_flood_of_what_comes_once() {
		let secret = Secret::new(7);
		let mut table = Table::<u64, u64>::new(1_024, 10_000);
		for round in 0..100_000 {
			*table.touch(secret.hash(round), round, 0).unwrap() += 1;
			let heavy = u64::MAX - round % 4;
			*table.touch(secret.hash(heavy), heavy, 0).unwrap() += 1;
		}
		for heavy in (0..4).map(|number| u64::MAX - number) {
			assert!(*table.get(secret.hash(heavy), &heavy).unwrap() > 24_000);
		}
		assert_eq!(table.slots.len(), 1_024);
	}

	#[test]
	fn what_is_long_gone_gives_its_place_up() {
		let mut table = Table::<u64, u64>::new(8, 1_000);
		for key in 0..8 {
			*table.touch(0, key, 0).unwrap() = 100;
		}
		*table.touch(0, 8, 1_001).unwrap() += 1;
		assert_eq!(table.get(0, &8), Some(&1));
		assert_eq!(table.iter_mut(1_001).count(), 1);
		table.remove(0, &8);
		assert_eq!(table.get(0, &8), None);
	}

	proptest! {
		#[test]
		fn a_value_is_never_that_of_another_key(keys in proptest::collection::vec(0_u64..64, 1..500)) {
			let secret = Secret::new(1);
			#[derive(Default)]
			struct Named(u64, u64);
			impl Weighty for Named {
				fn weight(&self) -> u64 {
					self.1
				}
			}
			let mut table = Table::<u64, Named>::new(16, 100);
			for (now, key) in (0..).zip(keys) {
				let value = table.touch(secret.hash(key), key, now).unwrap();
				prop_assert!(value.1 == 0 || value.0 == key);
				*value = Named(key, value.1 + 1);
			}
		}
	}
}
