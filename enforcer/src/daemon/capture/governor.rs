//! How much of the traffic is looked at, so that a flood cannot take the gateway's processor.
//!
//! The reader says from time to time what it has used of a core. Above the limit, half as many frames are looked at as
//! before, and half of those again; well below it for a second, twice as many. Which frames, chance decides: neither
//! a pattern in the traffic nor its sender can choose them.

/// At most one frame in 1,024 is looked at: what it costs to skip the others does not become less by sampling.
const MAX_SHIFT: u32 = 10;
/// Nanoseconds of little use before more is looked at again.
const CALM: u64 = 1_000_000_000;

/// What the reader had used at some time.
#[derive(Clone, Copy)]
struct Mark {
	wall: u64,
	cpu: u64,
}

/// Decides, for one reader, which frames are looked at.
pub struct Governor {
	/// Percent of one core, at least 1.
	limit: u64,
	/// One frame in `1 << shift` is looked at.
	shift: u32,
	/// The state of the random numbers.
	state: u64,
	last: Option<Mark>,
	/// Nanoseconds for which the use has been so low that twice as many frames would stay under the limit.
	calm: u64,
}

impl Governor {
	/// One that looks at everything, until more than `percent` of a core is used; 0 counts as 1. `seed` is for chance.
	pub fn new(percent: u32, seed: u64) -> Self {
		Self { limit: u64::from(percent.max(1)), shift: 0, state: seed, last: None, calm: 0 }
	}

	/// Every how many frames one is looked at: 1, 2, 4, up to 1,024.
	pub fn sampling(&self) -> u32 {
		1 << self.shift
	}

	/// Whether the next frame is looked at.
	pub fn admits(&mut self) -> bool {
		if self.shift == 0 {
			return true;
		}
		// SplitMix64: every bit of the result is as good as any other.
		self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
		let mut mixed = self.state;
		mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
		mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
		mixed ^= mixed >> 31;
		mixed.trailing_zeros() >= self.shift
	}

	/// Takes in what has been used so far: nanoseconds on a clock that never goes back, and nanoseconds of processor
	/// time. Both from any beginning, the same at every call. A call in which no time has passed changes nothing.
	pub fn observe(&mut self, wall: u64, cpu: u64) {
		let Some(last) = self.last.replace(Mark { wall, cpu }) else { return };
		let (passed, used) = (wall.saturating_sub(last.wall), cpu.saturating_sub(last.cpu));
		if passed == 0 {
			self.last = Some(last);
			return;
		}
		// In u128, so that no clock is too long for it.
		let share = u64::try_from(u128::from(used) * 100 / u128::from(passed)).unwrap_or(u64::MAX);
		if share > self.limit {
			self.calm = 0;
			// Straight to where this traffic is below the limit.
			let times = share.div_ceil(self.limit).checked_next_power_of_two();
			let steps = times.map_or(MAX_SHIFT, u64::trailing_zeros);
			self.shift = self.shift.saturating_add(steps).min(MAX_SHIFT);
		} else if self.shift > 0 && share.saturating_mul(5) < self.limit.saturating_mul(2) {
			// Twice the work stays below four fifths of the limit: it will not be too much again at once.
			self.calm = self.calm.saturating_add(passed);
			if self.calm >= CALM {
				self.calm = 0;
				self.shift -= 1;
			}
		} else {
			self.calm = 0;
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	const STEP: u64 = 100_000_000;

	/// A reader whose use is `share` percent in each of `steps` tenths of a second.
	struct Reader {
		governor: Governor,
		wall: u64,
		cpu: u64,
	}

	impl Reader {
		fn new(limit: u32) -> Self {
			let mut governor = Governor::new(limit, 1);
			governor.observe(0, 0);
			Self { governor, wall: 0, cpu: 0 }
		}

		fn uses(&mut self, share: u64, steps: u32) -> u32 {
			for _ in 0..steps {
				self.wall += STEP;
				self.cpu += STEP / 100 * share;
				self.governor.observe(self.wall, self.cpu);
			}
			self.governor.sampling()
		}
	}

	#[test]
	fn everything_is_looked_at_up_to_the_limit() {
		let mut reader = Reader::new(50);
		assert_eq!(reader.uses(50, 100), 1);
		assert!((0..1_000).all(|_| reader.governor.admits()));
	}

	#[test]
	fn above_the_limit_only_half_is_looked_at_and_then_half_of_that() {
		let mut reader = Reader::new(50);
		assert_eq!(reader.uses(51, 1), 2);
		assert_eq!(reader.uses(51, 1), 4);
	}

	#[test]
	fn far_above_the_limit_one_step_is_enough() {
		assert_eq!(Reader::new(50).uses(100, 1), 2);
		assert_eq!(Reader::new(5).uses(100, 1), 32);
		assert_eq!(Reader::new(1).uses(100, 1), 128);
	}

	#[test]
	fn sampling_has_an_end() {
		assert_eq!(Reader::new(1).uses(100, 50), 1_024);
	}

	#[test]
	fn little_use_for_a_second_lets_more_be_looked_at() {
		let mut reader = Reader::new(50);
		reader.uses(51, 2);
		assert_eq!(reader.uses(10, 9), 4);
		assert_eq!(reader.uses(10, 1), 2);
		assert_eq!(reader.uses(10, 10), 1);
	}

	#[test]
	fn what_would_be_too_much_twice_is_left_as_it_is() {
		let mut reader = Reader::new(50);
		reader.uses(51, 1);
		assert_eq!(reader.uses(26, 1_000), 2);
	}

	#[test]
	fn a_burst_begins_the_second_anew() {
		let mut reader = Reader::new(50);
		reader.uses(51, 1);
		assert_eq!(reader.uses(10, 9), 2);
		assert_eq!(reader.uses(40, 1), 2);
		assert_eq!(reader.uses(10, 9), 2);
		assert_eq!(reader.uses(10, 1), 1);
	}

	#[test]
	fn a_clock_that_stands_or_goes_back_changes_nothing() {
		let mut reader = Reader::new(50);
		reader.uses(51, 1);
		reader.governor.observe(reader.wall, reader.cpu + STEP);
		reader.governor.observe(0, 0);
		assert_eq!(reader.governor.sampling(), 2);
	}

	#[test]
	fn the_share_that_is_looked_at_is_the_one_that_is_told() {
		for shift in 1..=MAX_SHIFT {
			let mut governor = Governor { shift, ..Governor::new(50, 7) };
			let frames = 4_000_000_u32;
			let admitted = (0..frames).filter(|_| governor.admits()).count() as f64;
			let expected = f64::from(frames / governor.sampling());
			// Six standard deviations: with this seed it is always the same number.
			assert!((admitted - expected).abs() < 6.0 * expected.sqrt(), "1 in {}: {admitted}", governor.sampling());
		}
	}

	proptest! {
		#[test]
		fn no_numbers_are_too_much(marks in proptest::collection::vec(any::<(u64, u64)>(), 0..50), limit in any::<u32>()) {
			let mut governor = Governor::new(limit, 0);
			for (wall, cpu) in marks {
				governor.observe(wall, cpu);
				prop_assert!(governor.sampling().is_power_of_two() && governor.sampling() <= 1 << MAX_SHIFT);
			}
		}
	}
}
