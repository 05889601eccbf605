//! Turns findings into reports: once each, and not too many.
//!
//! A sensor under attack raises thousands of alerts about the same few peers, and whoever forges sources can make them
//! thousands of different ones. So a peer is reported again only after a while ([`Recent`]), all reports together stay
//! under a rate ([`Bucket`]), and the memory for both is bounded.

use ringfence_primitives::{
	Action, Confidence, Digest, Direction, Indicator, IndicatorId, Lifetime, Millis, Note, Severity, Terms,
	ThreatClass, Tlp,
};
use std::collections::{HashMap, VecDeque};

/// What a detector saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
	/// What is bad.
	pub indicator: Indicator,
	/// What it did.
	pub threat: ThreatClass,
	/// How bad that is.
	pub severity: Severity,
	/// Whether somebody else could have sent the packets in its name.
	pub spoofable: bool,
	/// What is to be done, where that differs from the settings.
	pub action: Option<Action>,
	/// For how long, where that differs from the settings.
	pub lifetime: Option<Lifetime>,
	/// A remark for those who vote.
	pub note: Note,
	/// BLAKE2b-256 of what proves it.
	pub evidence: Digest,
}

/// How findings are reported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
	/// Confidence in findings whose address is proven.
	pub confidence: Confidence,
	/// Confidence in findings whose address may be forged; never more than `confidence`.
	pub spoofable_confidence: Confidence,
	/// For how long the indicator is to be active.
	pub lifetime: Lifetime,
	/// Who may be told.
	pub tlp: Tlp,
	/// What is to be done.
	pub action: Action,
	/// Which packets are meant.
	pub direction: Direction,
	/// Reports a minute, and at once after a quiet minute.
	pub per_minute: u32,
	/// Milliseconds before the same indicator is reported again.
	pub repeat_after: Millis,
}

/// A report to submit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
	/// The name of the indicator.
	pub id: IndicatorId,
	/// What is bad.
	pub indicator: Indicator,
	/// What is asked for.
	pub terms: Terms,
}

/// Why a finding is not reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Suppressed {
	/// The indicator was reported a short while ago.
	#[error("reported a short while ago")]
	Repeated,
	/// There were too many reports in the last minute.
	#[error("too many reports a minute")]
	RateLimited,
}

/// Decides which findings become reports.
#[derive(Debug)]
pub struct Reporter {
	settings: Settings,
	recent: Recent,
	bucket: Bucket,
}

impl Reporter {
	/// A reporter that has reported nothing yet.
	pub fn new(settings: Settings) -> Self {
		let (recent, bucket) = (Recent::new(settings.repeat_after), Bucket::new(settings.per_minute));
		Self { settings, recent, bucket }
	}

	/// The report for `finding`, or why there is none. `now` is Unix time in milliseconds.
	pub fn consider(&mut self, finding: &Finding, now: Millis) -> Result<Report, Suppressed> {
		let id = finding.indicator.id();
		if self.recent.contains(&id, now) {
			return Err(Suppressed::Repeated);
		}
		// The token is taken before the indicator is remembered: what the rate held back may be reported later.
		if !self.bucket.take(now) {
			return Err(Suppressed::RateLimited);
		}
		self.recent.insert(id, now);
		let Settings { confidence, spoofable_confidence, lifetime, tlp, action, direction, .. } = self.settings;
		let terms = Terms {
			threat: finding.threat,
			severity: finding.severity,
			confidence: if finding.spoofable { confidence.min(spoofable_confidence) } else { confidence },
			direction,
			action: finding.action.unwrap_or(action),
			tlp,
			lifetime: finding.lifetime.unwrap_or(lifetime),
			evidence: Some(finding.evidence),
			note: finding.note.clone(),
		};
		Ok(Report { id, indicator: finding.indicator.clone(), terms })
	}
}

/// Remembers names for a while, at most [`Recent::CAPACITY`] of them: the oldest are forgotten first.
#[derive(Debug)]
pub struct Recent {
	window: Millis,
	inserted: HashMap<Digest, Millis>,
	order: VecDeque<Digest>,
}

impl Recent {
	/// Names remembered at most: about 7 MB.
	pub const CAPACITY: usize = 65_536;

	/// A memory of `window` milliseconds.
	pub fn new(window: Millis) -> Self {
		Self { window, inserted: HashMap::new(), order: VecDeque::new() }
	}

	/// Whether `name` was inserted less than the window ago.
	pub fn contains(&self, name: &Digest, now: Millis) -> bool {
		self.inserted.get(name).is_some_and(|&at| now.saturating_sub(at) < self.window)
	}

	/// Remembers `name` from now on.
	pub fn insert(&mut self, name: Digest, now: Millis) {
		while let Some(oldest) = self.order.front() {
			if self.contains(oldest, now) && self.order.len() < Self::CAPACITY {
				break;
			}
			self.inserted.remove(oldest);
			self.order.pop_front();
		}
		if self.inserted.insert(name, now).is_none() {
			self.order.push_back(name);
		}
	}
}

/// A token bucket: `per_minute` at once after a quiet minute, and `per_minute` in the long run.
#[derive(Debug)]
pub struct Bucket {
	per_minute: u64,
	/// In tokens times [`Self::TOKEN`], so that refilling is exact in whole milliseconds.
	level: u64,
	refilled: Millis,
}

impl Bucket {
	const TOKEN: u64 = 60_000;

	/// A full bucket.
	pub fn new(per_minute: u32) -> Self {
		let per_minute = u64::from(per_minute);
		Self { per_minute, level: per_minute * Self::TOKEN, refilled: 0 }
	}

	/// Takes one token, if there is one. A clock that jumps back refills nothing until it has caught up.
	pub fn take(&mut self, now: Millis) -> bool {
		let elapsed = now.saturating_sub(self.refilled);
		self.refilled = self.refilled.max(now);
		self.level =
			self.level.saturating_add(elapsed.saturating_mul(self.per_minute)).min(self.per_minute * Self::TOKEN);
		let Some(rest) = self.level.checked_sub(Self::TOKEN) else { return false };
		self.level = rest;
		true
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	const START: Millis = 1_700_000_000_000;

	fn finding(host: u32) -> Finding {
		Finding {
			indicator: Indicator::Host(std::net::Ipv4Addr::from(host).into()),
			threat: ThreatClass::Exploit,
			severity: Severity::High,
			spoofable: false,
			action: None,
			lifetime: None,
			note: Note::default(),
			evidence: [1; 32],
		}
	}

	fn reporter(per_minute: u32, repeat_after: Millis) -> Reporter {
		Reporter::new(Settings {
			confidence: Confidence::new(80).unwrap(),
			spoofable_confidence: Confidence::new(30).unwrap(),
			lifetime: Lifetime::new(3_600).unwrap(),
			tlp: Tlp::Green,
			action: Action::Drop,
			direction: Direction::Both,
			per_minute,
			repeat_after,
		})
	}

	#[test]
	fn the_same_indicator_waits_its_turn() {
		let mut reporter = reporter(30, 600_000);
		assert!(reporter.consider(&finding(1), START).is_ok());
		assert_eq!(reporter.consider(&finding(1), START + 599_999), Err(Suppressed::Repeated));
		assert!(reporter.consider(&finding(2), START + 599_999).is_ok());
		assert!(reporter.consider(&finding(1), START + 600_000).is_ok());
	}

	#[test]
	fn all_together_stay_under_the_rate() {
		let mut reporter = reporter(3, 600_000);
		for host in 1..=3 {
			assert!(reporter.consider(&finding(host), START).is_ok());
		}
		assert_eq!(reporter.consider(&finding(4), START + 19_999), Err(Suppressed::RateLimited));
		assert!(reporter.consider(&finding(4), START + 20_000).is_ok(), "what was held back may come later");
		assert_eq!(reporter.consider(&finding(5), START + 20_001), Err(Suppressed::RateLimited));
	}

	#[test]
	fn a_clock_that_jumps_back_opens_no_flood_gate() {
		let mut bucket = Bucket::new(1);
		assert!(bucket.take(START));
		assert!(!bucket.take(0));
		assert!(!bucket.take(START));
		assert!(bucket.take(START + 60_000));
	}

	#[test]
	fn forgeable_addresses_are_reported_with_less_confidence() {
		let mut reporter = reporter(30, 600_000);
		let sure = reporter.consider(&finding(1), START).unwrap();
		let unsure = reporter.consider(&Finding { spoofable: true, ..finding(2) }, START).unwrap();
		assert_eq!((sure.terms.confidence.get(), unsure.terms.confidence.get()), (80, 30));
		assert_eq!(sure.id, finding(1).indicator.id());
		assert_eq!(sure.terms.evidence, Some([1; 32]));
	}

	#[test]
	fn what_a_finding_asks_for_goes_before_the_settings() {
		let own = Finding { action: Some(Action::Watch), lifetime: Lifetime::new(60), ..finding(1) };
		let mut reporter = reporter(30, 600_000);
		let (own, plain) = (reporter.consider(&own, START).unwrap(), reporter.consider(&finding(2), START).unwrap());
		assert_eq!((own.terms.action, own.terms.lifetime.get()), (Action::Watch, 60));
		assert_eq!((plain.terms.action, plain.terms.lifetime.get()), (Action::Drop, 3_600));
	}

	#[test]
	fn memory_is_bounded_and_the_oldest_go_first() {
		let mut recent = Recent::new(Millis::MAX);
		let name = |n: u32| {
			let mut name = [0; 32];
			name[..4].copy_from_slice(&n.to_le_bytes());
			name
		};
		let capacity = u32::try_from(Recent::CAPACITY).unwrap();
		for n in 0..capacity + 10 {
			recent.insert(name(n), START);
		}
		assert_eq!(recent.order.len(), Recent::CAPACITY);
		assert_eq!(recent.inserted.len(), Recent::CAPACITY);
		assert!(!recent.contains(&name(9), START));
		assert!(recent.contains(&name(10), START) && recent.contains(&name(capacity + 9), START));
	}
}
