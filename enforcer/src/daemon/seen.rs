//! What the ISP's sensors and its inbox tell its voter.

use crate::core::sighting::Sightings;
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
		self.lock().last(indicator).map(|at| now.saturating_sub(at))
	}
}
