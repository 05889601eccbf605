//! What the own provider tells its subscribers in the change log, opened with the keys of the tier.

use super::{keyring::Keyring, now_ms};
use crate::core::envelope::{open_tier, TierError};
use ringfence_primitives::{
	envelope::{Sealed, TierChange},
	AccountBytes, Millis,
};
use std::collections::VecDeque;
use tracing::{info, warn};

/// Entries that wait for their key at most, the oldest being given up first.
const MAX_WAITING: usize = 64;
/// Milliseconds for which they do: a key that was sent before an entry is here by then.
const PATIENCE: Millis = 600_000;

struct Waiting {
	seq: u64,
	sealed: Sealed,
	since: Millis,
}

/// The own provider's tier.
pub struct Tier {
	provider: AccountBytes,
	keyring: Keyring,
	waiting: VecDeque<Waiting>,
}

impl Tier {
	/// The tier of `provider`, opened with the keys in `keyring`.
	pub fn new(provider: AccountBytes, keyring: Keyring) -> Self {
		Self { provider, keyring, waiting: VecDeque::new() }
	}

	/// What entry `seq` says, if `provider` is the own one and the key is here. One that is sealed with a key yet to come
	/// is kept for [`Self::late`].
	pub fn open(&mut self, seq: u64, provider: &AccountBytes, sealed: &Sealed) -> Option<TierChange> {
		if *provider != self.provider {
			return None;
		}
		match self.try_open(sealed) {
			Ok(change) => return Some(change),
			Err(TierError::UnknownKey(number)) => {
				info!(at = now_ms(), seq, number, "sealed with a tier key that is not here");
				if self.waiting.len() >= MAX_WAITING {
					self.waiting.pop_front();
				}
				self.waiting.push_back(Waiting { seq, sealed: sealed.clone(), since: now_ms() });
			}
			Err(cause) => warn!(at = now_ms(), seq, %cause, "the provider's entry cannot be opened"),
		}
		None
	}

	fn try_open(&mut self, sealed: &Sealed) -> Result<TierChange, TierError> {
		match open_tier(self.keyring.keys(), &self.provider, sealed) {
			Err(TierError::UnknownKey(_)) if self.refresh() => open_tier(self.keyring.keys(), &self.provider, sealed),
			opened => opened,
		}
	}

	/// Whether there are new keys.
	fn refresh(&mut self) -> bool {
		self.keyring.refresh().unwrap_or_else(|cause| {
			warn!(at = now_ms(), %cause, "no tier keys");
			false
		})
	}

	/// What earlier entries say whose key has come since, in their order.
	pub fn late(&mut self) -> Vec<(u64, TierChange)> {
		let now = now_ms();
		self.waiting.retain(|waiting| now.saturating_sub(waiting.since) < PATIENCE);
		if self.waiting.is_empty() || !self.refresh() {
			return Vec::new();
		}
		let mut opened = Vec::new();
		self.waiting.retain(|waiting| match open_tier(self.keyring.keys(), &self.provider, &waiting.sealed) {
			Ok(change) => {
				opened.push((waiting.seq, change));
				false
			}
			Err(cause) => matches!(cause, TierError::UnknownKey(_)),
		});
		opened
	}

	/// The log is read again from its beginning.
	pub fn forget(&mut self) {
		self.waiting.clear();
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{core::envelope::seal_tier, daemon::secrets};
	use ringfence_primitives::{envelope::TierKey, Indicator, Network};
	use std::path::Path;

	const PROVIDER: AccountBytes = [1; 32];

	fn key(number: u32) -> TierKey {
		TierKey { number, secret: [number as u8; 32] }
	}

	fn unblock() -> TierChange {
		TierChange::Unblock(Indicator::from("203.0.113.9".parse::<Network>().unwrap()))
	}

	fn sealed(number: u32) -> Sealed {
		seal_tier(&key(number), &PROVIDER, &unblock(), &mut secrets()).unwrap()
	}

	fn tier(directory: &Path) -> Tier {
		Tier::new(PROVIDER, Keyring::open(directory).unwrap())
	}

	#[test]
	fn only_the_own_provider_is_listened_to() {
		let directory = tempfile::tempdir().unwrap();
		Keyring::open(directory.path()).unwrap().add(key(1)).unwrap();
		let mut tier = tier(directory.path());
		assert_eq!(tier.open(1, &PROVIDER, &sealed(1)), Some(unblock()));
		assert_eq!(tier.open(2, &[2; 32], &sealed(1)), None);
		assert!(tier.waiting.is_empty());
	}

	#[test]
	fn a_key_that_comes_late_opens_what_came_before_it() {
		let directory = tempfile::tempdir().unwrap();
		let mut tier = tier(directory.path());
		assert_eq!(tier.open(7, &PROVIDER, &sealed(1)), None);
		assert!(tier.late().is_empty());
		Keyring::open(directory.path()).unwrap().add(key(1)).unwrap();
		assert_eq!(tier.late(), [(7, unblock())]);
		assert!(tier.late().is_empty(), "once");
	}

	#[test]
	fn what_is_no_entry_or_never_gets_its_key_fills_no_memory() {
		let directory = tempfile::tempdir().unwrap();
		let mut tier = tier(directory.path());
		assert_eq!(tier.open(1, &PROVIDER, &Sealed::default()), None);
		assert!(tier.waiting.is_empty());
		for seq in 0..100 {
			tier.open(seq, &PROVIDER, &sealed(9));
		}
		assert_eq!(tier.waiting.len(), MAX_WAITING);
	}
}
