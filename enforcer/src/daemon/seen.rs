//! What the ISP's sensors and its inbox tell its voter.

use crate::core::{report::since, sighting::Sightings};
use ringfence_primitives::{Indicator, Millis};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle to what was seen: as many as are needed, and one memory.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<Sightings>>);

impl Seen {
	fn lock(&self) -> MutexGuard<'_, Sightings> {
		// Each insertion leaves a memory that makes sense, so a panic elsewhere is no reason to forget it.
		self.0.lock().unwrap_or_else(PoisonError::into_inner)
	}

	/// `indicator` was seen at `now`. Only for findings that are proven
	/// ([`crate::core::report::Finding::is_proven`]).
	pub fn saw(&self, indicator: &Indicator, now: Millis) {
		self.lock().saw(indicator, now);
	}

	/// Milliseconds since all of `indicator` was seen, if it was.
	pub fn ago(&self, indicator: &Indicator, now: Millis) -> Option<Millis> {
		self.lock().last(indicator).map(|at| since(at, now))
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn what_was_seen_under_a_clock_that_was_put_back_since_is_long_ago() {
		let (seen, indicator) = (Seen::default(), Indicator::Host("198.18.66.66".parse().unwrap()));
		assert_eq!(seen.ago(&indicator, 5), None);
		seen.saw(&indicator, 86_400_000);
		assert_eq!(seen.ago(&indicator, 86_400_007), Some(7));
		assert_eq!(seen.ago(&indicator, 86_399_000), Some(0));
		assert_eq!(seen.ago(&indicator, 1_000), Some(Millis::MAX));
	}
}
