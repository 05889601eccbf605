//! Turns findings into reports: what belongs together is merged, each is reported once in a while, and not too many are.
//!
//! A sensor under attack raises thousands of alerts about the same few peers, and whoever forges sources can make them
//! thousands of different ones. So all that is found about an indicator is one case ([`Reporter`]); a case is reported again
//! only after a while, or when it has become worse or certain; all reports together stay under a rate of which the mild ones
//! may not take everything ([`Bucket`]); and the memory for both is bounded.
//!
//! # Security considerations
//!
//! Where somebody else could have sent the packets, a peer is never to be dropped: at most its rate is limited, and the
//! confidence is one that no policy should approve. Nor may such findings take more of the rate than mild ones, however bad
//! what they tell of would be: whoever forges sources could otherwise keep what is proven from being reported. And what is
//! proven is reported as bad as the proven findings say: a visitor who did something mild cannot be made a criminal by
//! packets in its name.

use super::evidence::{Evidence, Record};
use ringfence_primitives::{
	Action, Confidence, Digest, Direction, FlowSignature, Indicator, IndicatorId, Lifetime, Millis, Note, PacketRate,
	Severity, Terms, ThreatClass, Tlp,
};
use std::collections::{HashMap, VecDeque};

/// Milliseconds by which a clock may be put back and nothing is remembered differently.
const PUT_BACK: Millis = 3_600_000;

/// Milliseconds since `then`. What seems to lie far ahead was noted by a clock that has been put back since: it is long ago.
/// Otherwise a clock that somebody set years ahead for a moment would silence the sensor for years.
pub fn since(then: Millis, now: Millis) -> Millis {
	match then.saturating_sub(now) > PUT_BACK {
		true => Millis::MAX,
		false => now.saturating_sub(then),
	}
}

/// What a peer whose address may be forged is limited to.
const SPOOFABLE_RATE: u32 = 100;

/// What a detector saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
	/// What is bad.
	pub indicator: Indicator,
	/// What it did.
	pub threat: ThreatClass,
	/// How bad that is.
	pub severity: Severity,
	/// What to do about it; None: what the settings say.
	pub action: Option<Action>,
	/// For how long; None: what the settings say.
	pub lifetime: Option<Lifetime>,
	/// Whether somebody else could have sent the packets in its name.
	pub spoofable: bool,
	/// A remark for those who vote.
	pub note: Note,
	/// What shows it.
	pub evidence: Evidence,
}

impl From<ringfence_sensor::Finding> for Finding {
	fn from(finding: ringfence_sensor::Finding) -> Self {
		Self {
			evidence: Evidence::from(&finding),
			indicator: finding.indicator,
			threat: finding.threat,
			severity: finding.severity,
			action: finding.action,
			lifetime: None,
			spoofable: finding.spoofable,
			note: finding.note,
		}
	}
}

impl Finding {
	/// Whether it proves that who is named took part: the address answered, or nobody is named but a shape of packets and
	/// whom they go to.
	pub fn is_proven(&self) -> bool {
		!self.spoofable || matches!(self.indicator, Indicator::Flow(FlowSignature { source: None, .. }))
	}
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

/// All that was found about one indicator lately.
#[derive(Debug)]
struct Case {
	evidence: Evidence,
	/// Of the worst finding.
	severity: Severity,
	/// Of the worst of those that prove the address, and when the last of them came.
	proven: Option<(Severity, Millis)>,
	/// When the last finding came.
	touched: Millis,
	/// When it was reported last, and how bad and how certain it was then.
	reported: Option<(Millis, Severity, bool)>,
}

/// Decides which findings become reports.
#[derive(Debug)]
pub struct Reporter {
	settings: Settings,
	cases: HashMap<IndicatorId, Case>,
	order: VecDeque<IndicatorId>,
	bucket: Bucket,
}

impl Reporter {
	/// Cases that are open at most, about 3 kB each: the oldest that are not proven are forgotten first.
	pub const CAPACITY: usize = 4_096;

	/// A reporter that has reported nothing yet.
	pub fn new(settings: Settings) -> Self {
		let bucket = Bucket::new(settings.per_minute);
		Self { settings, cases: HashMap::new(), order: VecDeque::new(), bucket }
	}

	/// The report for `finding` with the evidence that is to be kept, or why there is none. `now` is Unix time in
	/// milliseconds.
	pub fn consider(&mut self, finding: &Finding, now: Millis) -> Result<(Report, Record), Suppressed> {
		let id = finding.indicator.id();
		let evidence = finding.evidence.clone().dated(now);
		self.forget(now);
		let Settings { repeat_after, .. } = self.settings;
		let case = match self.cases.entry(id) {
			std::collections::hash_map::Entry::Occupied(known) => {
				let case = known.into_mut();
				if since(case.touched, now) >= repeat_after {
					// Another story.
					case.evidence = evidence;
					(case.severity, case.proven) = (finding.severity, None);
				} else {
					case.evidence.merge(&evidence);
				}
				case
			}
			std::collections::hash_map::Entry::Vacant(place) => {
				self.order.push_back(id);
				place.insert(Case { evidence, severity: finding.severity, proven: None, touched: now, reported: None })
			}
		};
		case.touched = now;
		case.severity = case.severity.max(finding.severity);
		// A proof lasts no longer than what would make another story.
		let before = case.proven.filter(|(_, at)| since(*at, now) < repeat_after).map(|(severity, _)| severity);
		case.proven = match finding.spoofable {
			true => before.and(case.proven),
			false => Some((before.map_or(finding.severity, |severity| severity.max(finding.severity)), now)),
		};
		let (bad, certain) = case.proven.map_or((case.severity, false), |(severity, _)| (severity, true));
		let due = case.reported.is_none_or(|(at, severity, proven)| {
			since(at, now) >= repeat_after || bad > severity || (certain && !proven)
		});
		// What may be forged has no say in what is certain.
		if !due || (certain && finding.spoofable) {
			return Err(Suppressed::Repeated);
		}
		// The token is taken before the report is remembered: what the rate held back may be reported later.
		let worth = if certain || finding.is_proven() { bad } else { Severity::Low };
		if !self.bucket.take_for(worth, now) {
			return Err(Suppressed::RateLimited);
		}
		case.reported = Some((now, bad, certain));
		let record = Record::new(&finding.indicator, &case.evidence, now);
		let terms = terms(&self.settings, finding, bad, certain, record.digest());
		Ok((Report { id, indicator: finding.indicator.clone(), terms }, record))
	}

	/// Closes cases that nothing was added to for long, and the oldest where there are too many: of those that are not proven,
	/// as long as there are any, so that forged sources push out only their like.
	fn forget(&mut self, now: Millis) {
		let repeat_after = self.settings.repeat_after;
		while let Some(oldest) = self.order.front() {
			if self.cases.get(oldest).is_some_and(|case| since(case.touched, now) < repeat_after) {
				break;
			}
			self.cases.remove(oldest);
			self.order.pop_front();
		}
		while self.order.len() >= Self::CAPACITY {
			let unproven = |id: &IndicatorId| self.cases.get(id).is_none_or(|case| case.proven.is_none());
			let place = self.order.iter().position(unproven).unwrap_or_default();
			let Some(id) = self.order.remove(place) else { return };
			self.cases.remove(&id);
		}
	}
}

fn terms(settings: &Settings, finding: &Finding, severity: Severity, proven: bool, evidence: Digest) -> Terms {
	let Settings { confidence, spoofable_confidence, lifetime, tlp, action, direction, .. } = *settings;
	let action = finding.action.unwrap_or(action);
	// A signature that names whom it defends keeps from them what looks like the attack, and hits nobody else, whoever sent it.
	let defends = matches!(&finding.indicator, Indicator::Flow(flow) if flow.destination.is_some());
	let sure = proven || defends;
	Terms {
		threat: finding.threat,
		severity,
		confidence: if sure { confidence } else { confidence.min(spoofable_confidence) },
		direction,
		action: match (action, PacketRate::new(SPOOFABLE_RATE)) {
			(Action::Drop, Some(rate)) if !sure => Action::RateLimit(rate),
			_ => action,
		},
		tlp,
		lifetime: finding.lifetime.unwrap_or(lifetime),
		evidence: Some(evidence),
		note: finding.note.clone(),
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
		self.inserted.get(name).is_some_and(|&at| since(at, now) < self.window)
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

	/// Takes one token, if there is one. A clock that jumps back refills nothing until it has caught up, or goes on from there
	/// where it jumped back by more than an hour.
	pub fn take(&mut self, now: Millis) -> bool {
		self.take_leaving(0, now)
	}

	/// Takes one token for something this bad, and leaves a part of the bucket to what is worse: half of it to all but mild
	/// things, a quarter to severe ones, a tenth to critical ones. A full bucket has one for everything.
	pub fn take_for(&mut self, severity: Severity, now: Millis) -> bool {
		let percent = match severity {
			Severity::Low => 50,
			Severity::Medium => 25,
			Severity::High => 10,
			Severity::Critical => 0,
		};
		let all_but_one = self.per_minute.saturating_sub(1).saturating_mul(Self::TOKEN);
		self.take_leaving((self.per_minute.saturating_mul(Self::TOKEN) / 100 * percent).min(all_but_one), now)
	}

	fn take_leaving(&mut self, rest: u64, now: Millis) -> bool {
		if self.refilled.saturating_sub(now) > PUT_BACK {
			self.refilled = now;
		}
		let elapsed = now.saturating_sub(self.refilled);
		self.refilled = self.refilled.max(now);
		self.level =
			self.level.saturating_add(elapsed.saturating_mul(self.per_minute)).min(self.per_minute * Self::TOKEN);
		let Some(level) = self.level.checked_sub(Self::TOKEN).filter(|level| *level >= rest) else { return false };
		self.level = level;
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
			severity: Severity::Critical,
			action: None,
			lifetime: None,
			spoofable: false,
			note: Note::default(),
			evidence: Evidence::of_line("suricata", "an alert", START),
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
	fn a_finding_is_proven_if_its_address_answered_or_it_names_none() {
		let destination = Some("192.0.2.0/24".parse().unwrap());
		let flow = |source| {
			Indicator::Flow(FlowSignature { protocol: Some(17), source, destination, ..FlowSignature::default() })
		};
		let forged = |indicator| Finding { indicator, spoofable: true, ..finding(1) };
		assert!(finding(1).is_proven());
		assert!(!forged(finding(1).indicator).is_proven());
		assert!(forged(flow(None)).is_proven());
		assert!(!forged(flow(Some("203.0.113.9".parse().unwrap()))).is_proven(), "whom it names may be innocent");
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
		assert!(!bucket.take(START - PUT_BACK));
		assert!(!bucket.take(START));
		assert!(bucket.take(START + 60_000));
	}

	#[test]
	fn a_clock_that_was_far_ahead_for_a_moment_silences_nobody() {
		let far = START + 50 * 365 * 86_400_000;
		let mut reporter = reporter(1, 600_000);
		assert!(reporter.consider(&finding(1), far).is_ok());
		assert_eq!(reporter.consider(&finding(1), START), Err(Suppressed::RateLimited), "nothing is refilled");
		assert!(reporter.consider(&finding(1), START + 60_000).is_ok());
		assert_eq!(reporter.consider(&finding(1), START + 120_000), Err(Suppressed::Repeated));
		let mut recent = Recent::new(600_000);
		recent.insert([1; 32], far);
		assert!(recent.contains(&[1; 32], far) && !recent.contains(&[1; 32], START));
	}

	#[test]
	fn forgeable_addresses_are_never_dropped_and_hardly_believed() {
		let mut reporter = reporter(30, 600_000);
		let (sure, record) = reporter.consider(&finding(1), START).unwrap();
		let (unsure, _) = reporter.consider(&Finding { spoofable: true, ..finding(2) }, START).unwrap();
		assert_eq!((sure.terms.confidence.get(), unsure.terms.confidence.get()), (80, 30));
		assert_eq!(sure.terms.action, Action::Drop);
		assert_eq!(unsure.terms.action, Action::RateLimit(PacketRate::new(SPOOFABLE_RATE).unwrap()));
		assert_eq!(sure.id, finding(1).indicator.id());
		assert_eq!(sure.terms.evidence, Some(record.digest()));
	}

	#[test]
	fn what_becomes_worse_or_certain_is_reported_at_once() {
		let mut reporter = reporter(60, 600_000);
		let seen = |at| Evidence::of_line("suricata", "an alert", at);
		let mild = Finding { severity: Severity::Low, spoofable: true, ..finding(1) };
		assert!(reporter.consider(&mild, START).is_ok());
		let again = Finding { evidence: seen(START + 1), ..mild.clone() };
		assert_eq!(reporter.consider(&again, START + 1), Err(Suppressed::Repeated));
		let worse = Finding { severity: Severity::High, evidence: seen(START + 2), ..mild.clone() };
		let (report, record) = reporter.consider(&worse, START + 2).unwrap();
		assert_eq!((report.terms.severity, report.terms.confidence.get()), (Severity::High, 30));
		assert_eq!(record.evidence.packets, 3, "all that was found counts");
		let (report, _) = reporter.consider(&Finding { spoofable: false, ..mild.clone() }, START + 3).unwrap();
		let mild_as_proven = (Severity::Low, 80);
		assert_eq!((report.terms.severity, report.terms.confidence.get()), mild_as_proven);
		assert_eq!(reporter.consider(&worse, START + 4), Err(Suppressed::Repeated));
		let (report, record) = reporter.consider(&mild, START + 700_000).unwrap();
		assert_eq!((report.terms.severity, record.evidence.packets), (Severity::Low, 1), "another story");
	}

	#[test]
	fn forged_packets_make_nothing_worse_that_is_proven() {
		let mut reporter = reporter(60, 600_000);
		let mild = Finding { severity: Severity::Low, ..finding(1) };
		let forged = Finding { spoofable: true, ..finding(1) };
		assert!(reporter.consider(&mild, START).is_ok());
		for minute in 1..10 {
			assert_eq!(reporter.consider(&forged, START + minute * 60_000), Err(Suppressed::Repeated));
		}
		// The proof is old by now, and the case goes on without it.
		let (report, _) = reporter.consider(&forged, START + 600_000).unwrap();
		assert_eq!((report.terms.severity, report.terms.confidence.get()), (Severity::Critical, 30));
		let (report, _) = reporter.consider(&mild, START + 600_001).unwrap();
		assert_eq!((report.terms.severity, report.terms.confidence.get()), (Severity::Low, 80));
	}

	#[test]
	fn what_a_finding_asks_for_goes_before_the_settings() {
		let mut reporter = reporter(30, 600_000);
		let lifetime = Lifetime::new(600).unwrap();
		let asking = Finding { action: Some(Action::Watch), lifetime: Some(lifetime), ..finding(1) };
		let (report, _) = reporter.consider(&asking, START).unwrap();
		assert_eq!((report.terms.action, report.terms.lifetime), (Action::Watch, lifetime));
	}

	#[test]
	fn mild_things_leave_room_for_what_is_worse() {
		let mut reporter = reporter(20, 600_000);
		let mut hosts = 0..;
		let counts = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical].map(|severity| {
			let taken = |host: &u32| reporter.consider(&Finding { severity, ..finding(*host) }, START).is_ok();
			hosts.by_ref().take_while(taken).count()
		});
		assert_eq!(counts, [10, 5, 3, 2]);
	}

	#[test]
	fn forged_sources_leave_room_for_what_is_proven() {
		let mut reporter = reporter(20, 600_000);
		let mut hosts = 0..;
		let taken = |host: &u32| reporter.consider(&Finding { spoofable: true, ..finding(*host) }, START).is_ok();
		assert_eq!(hosts.by_ref().take_while(taken).count(), 10, "critical as they are");
		assert!(reporter.consider(&finding(1_000), START).is_ok());
	}

	#[test]
	fn a_full_bucket_has_a_token_for_everything() {
		for severity in [Severity::Low, Severity::Medium, Severity::High, Severity::Critical] {
			let mut bucket = Bucket::new(1);
			assert!(bucket.take_for(severity, START), "{severity}");
			assert!(!bucket.take_for(Severity::Critical, START));
		}
	}

	#[test]
	fn forged_sources_push_no_proven_case_out() {
		let mut reporter = reporter(10_000, Millis::MAX);
		assert!(reporter.consider(&finding(0), START).is_ok());
		for host in 1..u32::try_from(Reporter::CAPACITY).unwrap() + 10 {
			let _ = reporter.consider(&Finding { spoofable: true, ..finding(host) }, START);
		}
		assert_eq!(reporter.cases.len(), Reporter::CAPACITY);
		assert_eq!(reporter.consider(&finding(0), START), Err(Suppressed::Repeated));
	}

	#[test]
	fn cases_are_bounded() {
		let mut reporter = reporter(10_000, Millis::MAX);
		for host in 0..u32::try_from(Reporter::CAPACITY).unwrap() + 10 {
			let _ = reporter.consider(&finding(host), START);
		}
		assert_eq!((reporter.cases.len(), reporter.order.len()), (Reporter::CAPACITY, Reporter::CAPACITY));
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
