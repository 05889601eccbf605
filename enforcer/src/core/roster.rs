//! Which node to turn to: the first in the order of the configuration that is not to be left alone for a while.
//!
//! Each failure makes the pause before the next attempt longer, up to [`LONGEST`]; a lie costs [`PENANCE`] and more. A node
//! that proved something begins anew. Time is milliseconds on a clock that never jumps.

use ringfence_primitives::Millis;

/// The pause after the first failure, each further one doubling it.
pub const FIRST: Millis = 250;
/// The longest pause after failures.
pub const LONGEST: Millis = 15_000;
/// The pause after a lie, each further one doubling it, up to [`LONGEST_PENANCE`].
pub const PENANCE: Millis = 600_000;
/// The longest pause after lies: a day.
pub const LONGEST_PENANCE: Millis = 86_400_000;

/// What is known of one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seat {
	/// Its endpoint.
	pub url: String,
	/// Failures in all.
	pub failures: u64,
	/// Lies in all.
	pub lies: u64,
	/// Not to be tried before this time.
	pub rests_until: Millis,
	/// Why it failed last; None once it served again.
	pub cause: Option<String>,
	/// Failures since it served last.
	row: u32,
	/// Lies that are not yet forgiven.
	sins: u32,
}

/// The nodes, best first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Roster {
	seats: Vec<Seat>,
}

impl Roster {
	/// Nodes that nothing is known of, best first.
	pub fn new(urls: impl IntoIterator<Item = String>) -> Self {
		let seat = |url| Seat { url, failures: 0, lies: 0, rests_until: 0, cause: None, row: 0, sins: 0 };
		Self { seats: urls.into_iter().map(seat).collect() }
	}

	/// What is known of them, best first.
	pub fn seats(&self) -> &[Seat] {
		&self.seats
	}

	/// The place of the best one that may be tried at `now`, or how long to wait for one. None: there are no nodes.
	pub fn pick(&self, now: Millis) -> Option<Result<usize, Millis>> {
		let soonest = self.seats.iter().map(|seat| seat.rests_until).min()?;
		let free = self.seats.iter().position(|seat| seat.rests_until <= now);
		Some(free.ok_or(soonest.saturating_sub(now)))
	}

	/// The place of one better than `place` that may be tried at `now`.
	pub fn better(&self, place: usize, now: Millis) -> Option<usize> {
		self.seats.iter().take(place).position(|seat| seat.rests_until <= now)
	}

	/// The node at `place` could not be reached, broke off, or said nothing new. Any number makes a good `dice`: a thousand
	/// gateways do not come back to a restarted node at once.
	pub fn failed(&mut self, place: usize, now: Millis, dice: u64, cause: String) {
		let Some(seat) = self.seats.get_mut(place) else { return };
		seat.failures = seat.failures.saturating_add(1);
		let pause = doubled(FIRST, seat.row, LONGEST);
		seat.row = seat.row.saturating_add(1);
		seat.rest(pause, now, dice, cause);
	}

	/// The node at `place` told something that is proven wrong.
	pub fn lied(&mut self, place: usize, now: Millis, dice: u64, cause: String) {
		let Some(seat) = self.seats.get_mut(place) else { return };
		seat.lies = seat.lies.saturating_add(1);
		let pause = doubled(PENANCE, seat.sins, LONGEST_PENANCE);
		seat.sins = seat.sins.saturating_add(1);
		seat.rest(pause, now, dice, cause);
	}

	/// The node at `place` proved something new: its failures are forgiven. Lies are not, since who lies mixes them with
	/// truths; they are forgiven with [`Self::forgive`].
	pub fn served(&mut self, place: usize) {
		let Some(seat) = self.seats.get_mut(place) else { return };
		seat.row = 0;
		seat.rests_until = 0;
		seat.cause = None;
	}

	/// The node at `place` has served without a lie for as long as its longest penance.
	pub fn forgive(&mut self, place: usize) {
		if let Some(seat) = self.seats.get_mut(place) {
			seat.sins = 0;
		}
	}
}

impl Seat {
	fn rest(&mut self, pause: Millis, now: Millis, dice: u64, cause: String) {
		// Up to a quarter sooner: the remainder is under 256.
		let pause = pause - pause / 1_024 * (dice % 256);
		self.rests_until = now.saturating_add(pause);
		self.cause = Some(cause);
	}
}

fn doubled(first: Millis, times: u32, longest: Millis) -> Millis {
	// 20 doublings of any `first` are beyond any `longest` here, and no overflow.
	first.saturating_mul(1 << times.min(20)).min(longest)
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn three() -> Roster {
		Roster::new(["a", "b", "c"].map(String::from))
	}

	#[test]
	fn the_first_that_works_in_the_order_of_the_configuration_is_taken() {
		let mut roster = three();
		assert_eq!(roster.pick(0), Some(Ok(0)));
		roster.failed(0, 0, 0, "refused".into());
		assert_eq!(roster.pick(0), Some(Ok(1)));
		roster.lied(1, 0, 0, "a forged frame".into());
		assert_eq!(roster.pick(0), Some(Ok(2)));
		roster.failed(2, 100, 0, "refused".into());
		assert_eq!(roster.pick(100), Some(Err(FIRST - 100)), "the first is the first to be tried again");
		assert_eq!(roster.pick(FIRST), Some(Ok(0)));
		assert_eq!(Roster::new([]).pick(0), None);
	}

	#[test]
	fn a_better_one_is_worth_another_look_once_it_has_rested() {
		let mut roster = three();
		roster.failed(0, 0, 0, "refused".into());
		assert_eq!(roster.better(1, 0), None);
		assert_eq!(roster.better(2, 0), Some(1));
		assert_eq!(roster.better(1, FIRST), Some(0));
		assert_eq!(roster.better(0, FIRST), None);
	}

	#[test]
	fn pauses_grow_to_a_bound_and_begin_again() {
		let mut roster = three();
		let pause = |roster: &mut Roster| {
			roster.failed(0, 0, 0, "refused".into());
			roster.seats()[0].rests_until
		};
		let pauses: Vec<_> = (0..8).map(|_| pause(&mut roster)).collect();
		assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
		roster.served(0);
		assert_eq!((roster.seats()[0].rests_until, roster.seats()[0].cause.as_deref()), (0, None));
		assert_eq!(pause(&mut roster), FIRST);
		assert_eq!(roster.seats()[0].failures, 9);
	}

	#[test]
	fn lies_weigh_more_and_truths_between_them_do_not_make_up_for_them() {
		let mut roster = three();
		let mut pauses = Vec::new();
		for _ in 0..9 {
			roster.lied(0, 0, 0, "a forged frame".into());
			pauses.push(roster.seats()[0].rests_until / PENANCE);
			roster.served(0);
		}
		assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 144]);
		roster.forgive(0);
		roster.lied(0, 0, 0, "a forged frame".into());
		assert_eq!((roster.seats()[0].rests_until, roster.seats()[0].lies), (PENANCE, 10));
	}

	proptest! {
		#[test]
		fn pauses_stay_within_their_bounds(steps in prop::collection::vec((any::<bool>(), any::<u64>()), 1..60)) {
			let mut roster = three();
			for (lie, dice) in steps {
				match lie {
					true => roster.lied(0, 0, dice, "a lie".into()),
					false => roster.failed(0, 0, dice, "refused".into()),
				}
				let pause = roster.seats()[0].rests_until;
				let (least, most) = if lie { (PENANCE, LONGEST_PENANCE) } else { (FIRST, LONGEST) };
				prop_assert!(pause > least * 3 / 4 - 1 && pause <= most, "{pause}");
				prop_assert_eq!(roster.pick(0), Some(Ok(1)));
			}
		}
	}
}
