//! The household's own word about a peer: let it through, or keep it out, for a while or until it says otherwise.
//!
//! There is one [`Override`] for a network, and the last word counts. An allowed network gets through even where a wider
//! one is blocked by whomever; a blocked one is blocked even where nobody else has decided so. They are kept in
//! [`FILE`], in the state directory.
//!
//! # Security considerations
//!
//! The file is written by the enforcer for the person at its control socket or with its page's token, and by nobody else;
//! it is checked as if it were not. Its size is bounded ([`MAX_OVERRIDES`]). What a person may not block, because the home
//! would be cut off, is not decided here: see [`super::own`].

use ringfence_primitives::{Address, Millis, Network};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// The file in the state directory.
pub const FILE: &str = "overrides.json";
/// Overrides at most. A household that needs more has a list to report.
pub const MAX_OVERRIDES: usize = 1_024;
/// Bytes of the file at most: what as many of the longest take, pretty-printed.
pub const MAX_BYTES: usize = 256 * MAX_OVERRIDES;

const VERSION: u32 = 1;

/// What the household wants of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
	/// Let it through, whatever others say.
	Allow,
	/// Keep it out, in both directions.
	Block,
}

impl fmt::Display for Verdict {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.pad(match self {
			Self::Allow => "allow",
			Self::Block => "block",
		})
	}
}

/// The household's word about one network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Override {
	/// Whom it is about.
	pub network: Network,
	/// What is wanted.
	pub verdict: Verdict,
	/// When it was said.
	pub since: Millis,
	/// When it ends by itself. None: never.
	pub until: Option<Millis>,
}

impl Override {
	/// Whether it counts at `now`.
	pub const fn in_force(&self, now: Millis) -> bool {
		match self.until {
			Some(until) => now < until,
			None => true,
		}
	}

	/// Milliseconds that it still counts at `now`: 0, it is over; None, it has no end.
	pub fn left_ms(&self, now: Millis) -> Option<u64> {
		self.until.map(|until| until.saturating_sub(now))
	}
}

/// Why overrides are refused.
#[derive(Debug, thiserror::Error)]
pub enum OverridesError {
	/// More than [`MAX_OVERRIDES`].
	#[error("there are {} overrides: forget one first", MAX_OVERRIDES)]
	Full,
	/// More bytes than [`MAX_BYTES`].
	#[error("longer than {} bytes", MAX_BYTES)]
	TooLong,
	/// Not JSON of the kind.
	#[error("{0}")]
	Syntax(#[from] serde_json::Error),
	/// Of another version.
	#[error("version {} is not {}", .0, VERSION)]
	Version(u32),
	/// Two about one network.
	#[error("{0} is named twice")]
	Twice(Network),
}

/// Everything that the household has said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Overrides(BTreeMap<Network, Override>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
	version: u32,
	overrides: Vec<Override>,
}

impl Overrides {
	/// Reads the content of [`FILE`].
	pub fn parse(bytes: &[u8]) -> Result<Self, OverridesError> {
		if bytes.len() > MAX_BYTES {
			return Err(OverridesError::TooLong);
		}
		let File { version, overrides } = serde_json::from_slice(bytes)?;
		if version != VERSION {
			return Err(OverridesError::Version(version));
		}
		let mut read = Self::default();
		for wish in overrides {
			if let Some(twice) = read.set(wish)? {
				return Err(OverridesError::Twice(twice.network));
			}
		}
		Ok(read)
	}

	/// The content of [`FILE`].
	pub fn encode(&self) -> Vec<u8> {
		let file = File { version: VERSION, overrides: self.0.values().copied().collect() };
		// Numbers and text always serialize.
		serde_json::to_vec_pretty(&file).unwrap_or_default()
	}

	/// Takes the household's word, and returns the earlier one that it replaces. Refused where there are too many already.
	pub fn set(&mut self, wish: Override) -> Result<Option<Override>, OverridesError> {
		if self.0.len() >= MAX_OVERRIDES && !self.0.contains_key(&wish.network) {
			return Err(OverridesError::Full);
		}
		Ok(self.0.insert(wish.network, wish))
	}

	/// Takes the word about `network` back, and returns it.
	pub fn forget(&mut self, network: &Network) -> Option<Override> {
		self.0.remove(network)
	}

	/// Takes out, and returns, what is over at `now`.
	pub fn expire(&mut self, now: Millis) -> Vec<Override> {
		let over: Vec<Override> = self.0.values().filter(|wish| !wish.in_force(now)).copied().collect();
		for wish in &over {
			self.0.remove(&wish.network);
		}
		over
	}

	/// The word about exactly this network.
	pub fn get(&self, network: &Network) -> Option<&Override> {
		self.0.get(network)
	}

	/// All, in the order of their networks.
	pub fn iter(&self) -> impl Iterator<Item = &Override> {
		self.0.values()
	}

	/// Those in force at `now` that let through.
	pub fn allowed(&self, now: Millis) -> impl Iterator<Item = &Override> {
		self.iter().filter(move |wish| wish.verdict == Verdict::Allow && wish.in_force(now))
	}

	/// Those in force at `now` that keep out.
	pub fn blocked(&self, now: Millis) -> impl Iterator<Item = &Override> {
		self.iter().filter(move |wish| wish.verdict == Verdict::Block && wish.in_force(now))
	}

	/// What counts for `address` at `now`: an allowed network that contains it, else a blocked one; of several the
	/// narrowest. The firewall looks in the same order.
	pub fn over(&self, address: &Address, now: Millis) -> Option<&Override> {
		let host = Network::host(*address);
		let within = |wish: &&Override| wish.network.contains(&host);
		let narrowest = |wish: &&Override| wish.network.prefix();
		let allowed = self.allowed(now).filter(within).max_by_key(narrowest);
		allowed.or_else(|| self.blocked(now).filter(within).max_by_key(narrowest))
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	const NOW: Millis = 1_800_000_000_000;

	fn wish(text: &str, verdict: Verdict, until: Option<Millis>) -> Override {
		Override { network: text.parse().unwrap(), verdict, since: NOW, until }
	}

	#[test]
	fn the_last_word_counts() {
		let mut overrides = Overrides::default();
		let (allow, block) = (wish("192.0.2.1", Verdict::Allow, None), wish("192.0.2.1", Verdict::Block, None));
		assert_eq!(overrides.set(allow).unwrap(), None);
		assert_eq!(overrides.set(block).unwrap(), Some(allow));
		assert_eq!(overrides.iter().collect::<Vec<_>>(), [&block]);
		assert_eq!(overrides.forget(&block.network), Some(block));
		assert_eq!(overrides.forget(&block.network), None);
	}

	#[test]
	fn a_word_ends_when_its_time_is_up() {
		let mut overrides = Overrides::default();
		let (short, long) = (wish("192.0.2.1", Verdict::Allow, Some(NOW + 5)), wish("192.0.2.2", Verdict::Allow, None));
		overrides.set(short).unwrap();
		overrides.set(long).unwrap();
		assert_eq!((short.left_ms(NOW), short.left_ms(NOW + 9), long.left_ms(NOW)), (Some(5), Some(0), None));
		assert!(overrides.expire(NOW + 4).is_empty());
		assert_eq!(overrides.allowed(NOW + 5).count(), 1, "also before anybody has cleared it away");
		assert_eq!(overrides.expire(NOW + 5), [short]);
		assert_eq!(overrides.iter().count(), 1);
	}

	#[test]
	fn allowed_goes_before_blocked_and_narrow_before_wide() {
		let mut overrides = Overrides::default();
		let over = |overrides: &Overrides, text: &str| {
			overrides.over(&text.parse().unwrap(), NOW).map(|wish| (wish.verdict, wish.network.prefix()))
		};
		for wish in [
			wish("192.0.2.0/24", Verdict::Block, None),
			wish("192.0.2.0/28", Verdict::Block, None),
			wish("192.0.2.0/26", Verdict::Allow, Some(NOW + 1)),
			wish("192.0.2.200", Verdict::Allow, Some(NOW)),
		] {
			overrides.set(wish).unwrap();
		}
		assert_eq!(over(&overrides, "192.0.2.1"), Some((Verdict::Allow, 26)));
		assert_eq!(over(&overrides, "192.0.2.200"), Some((Verdict::Block, 24)), "an allowance that is over is none");
		assert_eq!(over(&overrides, "192.0.3.1"), None);
		assert_eq!(over(&overrides, "::1"), None);
		overrides.forget(&"192.0.2.0/26".parse().unwrap());
		assert_eq!(over(&overrides, "192.0.2.1"), Some((Verdict::Block, 28)));
	}

	#[test]
	fn there_is_an_end_to_it() {
		let mut overrides = Overrides::default();
		let network = |i: usize| Network::host(Address::V4([10, 0, (i >> 8) as u8, i as u8]));
		let wish = |i| Override { network: network(i), verdict: Verdict::Block, since: NOW, until: Some(NOW + 1) };
		for i in 0..MAX_OVERRIDES {
			overrides.set(wish(i)).unwrap();
		}
		assert!(matches!(overrides.set(wish(MAX_OVERRIDES)), Err(OverridesError::Full)));
		assert!(overrides.set(wish(0)).unwrap().is_some(), "what is there can be changed");
		assert_eq!(Overrides::parse(&overrides.encode()).unwrap(), overrides);
	}

	#[test]
	fn a_full_file_of_the_longest_is_not_too_long() {
		let mut overrides = Overrides::default();
		for i in 0..MAX_OVERRIDES {
			let mut octets = [0xff; 16];
			octets[..2].copy_from_slice(&(i as u16).to_be_bytes());
			let network = Network::host(Address::v6(octets).unwrap());
			let (since, until) = (Millis::MAX, Some(Millis::MAX));
			overrides.set(Override { network, verdict: Verdict::Allow, since, until }).unwrap();
		}
		assert!(Overrides::parse(&overrides.encode()).is_ok());
	}

	#[test]
	fn what_makes_no_sense_is_refused() {
		let one = r#"{"network":"192.0.2.1/32","verdict":"allow","since":1,"until":null}"#;
		let file = |version: u32, overrides: &str| format!(r#"{{"version":{version},"overrides":[{overrides}]}}"#);
		let parse = |text: String| Overrides::parse(text.as_bytes());
		assert_eq!(parse(file(1, one)).unwrap().iter().count(), 1);
		assert!(matches!(parse(file(2, one)), Err(OverridesError::Version(2))));
		assert!(matches!(parse(file(1, &format!("{one},{one}"))), Err(OverridesError::Twice(_))));
		assert!(matches!(parse(file(1, "{}")), Err(OverridesError::Syntax(_))));
		assert!(matches!(parse(file(1, &one.replace("/32", "/31"))), Err(OverridesError::Syntax(_))));
		assert!(matches!(parse(file(1, &one.replace("since", "sinse"))), Err(OverridesError::Syntax(_))));
		assert!(matches!(parse(String::new()), Err(OverridesError::Syntax(_))));
		assert!(matches!(parse(" ".repeat(MAX_BYTES + 1)), Err(OverridesError::TooLong)));
	}

	fn any_wish() -> impl Strategy<Value = Override> {
		let network = (0_u8..4, 24_u8..=32)
			.prop_map(|(last, prefix)| Network::new(Address::V4([192, 0, 2, last]).masked(prefix), prefix).unwrap());
		let verdict = prop_oneof![Just(Verdict::Allow), Just(Verdict::Block)];
		let until = proptest::option::of(NOW..NOW + 100);
		(network, verdict, until).prop_map(|(network, verdict, until)| Override { network, verdict, since: NOW, until })
	}

	proptest! {
		/// Whatever was said in whatever order, the file holds it, and nothing that is over counts.
		#[test]
		fn what_is_kept_is_what_was_said(wishes in proptest::collection::vec(any_wish(), 0..30), now in NOW..NOW + 100) {
			let mut overrides = Overrides::default();
			for wish in &wishes {
				overrides.set(*wish).unwrap();
				prop_assert_eq!(overrides.get(&wish.network), Some(wish));
			}
			let mut read = Overrides::parse(&overrides.encode()).unwrap();
			prop_assert_eq!(&read, &overrides);
			let over = read.expire(now);
			prop_assert!(over.iter().all(|wish| !wish.in_force(now)));
			prop_assert!(read.iter().all(|wish| wish.in_force(now)));
			prop_assert_eq!(over.len() + read.iter().count(), overrides.iter().count());
			for last in 0..4 {
				let address = Address::V4([192, 0, 2, last]);
				prop_assert_eq!(overrides.over(&address, now), read.over(&address, now));
			}
		}
	}
}
