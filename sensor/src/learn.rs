//! Learns the narrowest flow signature that covers an attack, from headers of its packets and of those that came before.

use crate::{finding::{Fit, Sample}, sketch::Secret};
use ringfence_primitives::{Action, FlowSignature, Millis, Network};

/// Milliseconds that one page of the background covers.
const EPOCH: Millis = 5_000;
/// Pages that are kept: a minute.
const EPOCHS: usize = 12;
/// Headers that a page holds.
const PAGE: usize = 512;

/// A fair sample of what came to the home in the last minute, in pages of five seconds.
pub struct Background {
	pages: Vec<Page>,
	random: u64,
}

#[derive(Default)]
struct Page {
	/// When it was begun; 0: it is empty.
	begun: Millis,
	/// Packets of its time.
	seen: u64,
	samples: Vec<Sample>,
}

impl Background {
	/// Nothing was seen yet.
	pub fn new(secret: &Secret) -> Self {
		let page = || Page { samples: Vec::with_capacity(PAGE), ..Page::default() };
		// Xorshift must not begin with 0.
		Self { pages: (0..EPOCHS).map(|_| page()).collect(), random: secret.hash("background") | 1 }
	}

	/// Takes in a packet; `sample` is only asked for where it is kept.
	pub fn see(&mut self, sample: impl FnOnce() -> Sample, now: Millis) {
		let epoch = now / EPOCH;
		// A remainder is below the number of pages.
		let index = usize::try_from(epoch % EPOCHS as u64).unwrap_or_default();
		let Some(page) = self.pages.get_mut(index) else { return };
		if page.begun != epoch * EPOCH {
			page.begun = epoch * EPOCH;
			page.seen = 0;
			page.samples.clear();
		}
		page.seen += 1;
		if page.samples.len() < PAGE {
			return page.samples.push(sample());
		}
		self.random ^= self.random << 13;
		self.random ^= self.random >> 7;
		self.random ^= self.random << 17;
		// Each packet of the page has the same chance to be in it.
		let place = usize::try_from(self.random % page.seen).unwrap_or(PAGE);
		if let Some(kept) = page.samples.get_mut(place) {
			*kept = sample();
		}
	}

	/// The headers of packets that came before `time`, at most a minute before `now`.
	pub fn before(&self, time: Millis, now: Millis) -> impl Iterator<Item = &Sample> {
		let oldest = now.saturating_sub(EPOCH * EPOCHS as u64);
		self.pages.iter().flat_map(|page| &page.samples).filter(move |sample| sample.at >= oldest && sample.at < time)
	}
}

/// A signature, and how well it fits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Learned {
	/// What covers the attack.
	pub signature: FlowSignature,
	/// How well.
	pub fit: Fit,
	/// What can be done about it: a drop where nothing innocent was hit, else a limit.
	pub action: Action,
}

/// The narrowest signature that covers at least 99 % of `attack`, headers of packets to `victim`. `innocent` are headers of
/// packets from before it. `usual` is how many packets a second the victim gets in quiet times, which a rate limit leaves it.
/// None where there is nothing to learn from.
pub fn learn<'a>(
	victim: Network,
	attack: &[Sample],
	innocent: impl Iterator<Item = &'a Sample>,
	usual: u32,
) -> Option<Learned> {
	let _ = (victim, attack, innocent, usual);
	None
}
