//! What the owner knows better than the sensors: rules about what they see, in order, of which the first that matches
//! counts.
//!
//! A sensor calls a thing by the name that its makers gave it. How bad that is here, what is to be done and for how long,
//! and whether it can be forged at all, only the owner of the network knows.

use super::{alert::Format, report::Finding};
use ringfence_primitives::{Action, Lifetime, Severity, ThreatClass};
use std::ops::RangeInclusive;

/// What the rules are asked about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
	/// The program that saw it; none for the enforcer's own detectors.
	pub source: Option<Format>,
	/// The detector that saw it; none for other programs.
	pub detector: Option<&'a str>,
	/// A classtype, a scenario or a jail; empty for detectors.
	pub category: &'a str,
	/// The number of the signature, where there is one.
	pub signature_id: Option<u64>,
	/// Whether a handshake can have proved the address: TCP, or a service's own log.
	pub handshake: bool,
}

/// One rule. What is empty or none matches everything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rule {
	/// The category, whatever its case.
	pub category: Option<String>,
	/// Numbers of signatures.
	pub signature_ids: Vec<RangeInclusive<u64>>,
	/// Names of detectors.
	pub detectors: Vec<String>,
	/// The program.
	pub source: Option<Format>,
	/// The least severity by the sensor's own word.
	pub min_severity: Option<Severity>,
	/// What is said of it; none: it is ignored.
	pub verdict: Option<Verdict>,
}

/// What a rule says. What is none is left as the sensor said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
	/// What it is known for.
	pub threat: Option<ThreatClass>,
	/// How bad it is.
	pub severity: Option<Severity>,
	/// What is to be done.
	pub action: Option<Action>,
	/// For how long.
	pub lifetime: Option<Lifetime>,
	/// It is only ever seen behind a completed handshake, so that nobody can have forged the address.
	pub established: bool,
}

impl Rule {
	fn matches(&self, subject: &Subject<'_>, severity: Severity) -> bool {
		let ids = &self.signature_ids;
		self.category.as_ref().is_none_or(|text| text.trim().eq_ignore_ascii_case(subject.category.trim()))
			&& (ids.is_empty() || subject.signature_id.is_some_and(|id| ids.iter().any(|range| range.contains(&id))))
			&& (self.detectors.is_empty()
				|| subject.detector.is_some_and(|name| self.detectors.iter().any(|known| known == name)))
			&& (self.source.is_none() || self.source == subject.source)
			&& self.min_severity.is_none_or(|least| severity >= least)
	}
}

/// All rules, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules(pub Vec<Rule>);

impl Rules {
	fn first(&self, subject: &Subject<'_>, severity: Severity) -> Option<&Rule> {
		self.0.iter().find(|rule| rule.matches(subject, severity))
	}

	/// What the first rule that matches says; none where no rule does, or one says to ignore it. `severity` is the sensor's
	/// own word.
	pub fn verdict(&self, subject: &Subject<'_>, severity: Severity) -> Option<Verdict> {
		self.first(subject, severity).and_then(|rule| rule.verdict)
	}

	/// `finding` as the first rule that matches has it; none where it is to be ignored.
	pub fn settle(&self, subject: &Subject<'_>, finding: Finding) -> Option<Finding> {
		let Some(rule) = self.first(subject, finding.severity) else { return Some(finding) };
		let verdict = rule.verdict?;
		Some(Finding {
			threat: verdict.threat.unwrap_or(finding.threat),
			severity: verdict.severity.unwrap_or(finding.severity),
			action: verdict.action.or(finding.action),
			lifetime: verdict.lifetime.or(finding.lifetime),
			spoofable: finding.spoofable && !(verdict.established && subject.handshake),
			..finding
		})
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::core::evidence::Evidence;
	use ringfence_primitives::{Indicator, Note, PacketRate};

	const SUBJECT: Subject<'static> = Subject {
		source: Some(Format::Fast),
		detector: None,
		category: "Attempted Information Leak",
		signature_id: Some(2_008_578),
		handshake: true,
	};

	fn finding() -> Finding {
		Finding {
			indicator: Indicator::Host("198.18.66.66".parse().unwrap()),
			threat: ThreatClass::Scan,
			severity: Severity::Medium,
			spoofable: true,
			action: None,
			lifetime: Lifetime::new(60),
			note: Note::default(),
			evidence: Evidence::default(),
		}
	}

	fn matches(rule: Rule) -> bool {
		rule.matches(&SUBJECT, Severity::Medium)
	}

	#[test]
	fn a_rule_matches_where_everything_in_it_does() {
		let any = Rule::default;
		assert!(matches(any()));
		assert!(matches(Rule { category: Some("attempted information leak ".into()), ..any() }));
		assert!(!matches(Rule { category: Some("Attempted".into()), ..any() }));
		assert!(matches(Rule { signature_ids: vec![1..=1, 2_000_000..=2_099_999], ..any() }));
		assert!(!matches(Rule { signature_ids: vec![2_008_579..=u64::MAX], ..any() }));
		assert!(matches(Rule { source: Some(Format::Fast), ..any() }));
		assert!(!matches(Rule { source: Some(Format::Eve), ..any() }));
		assert!(!matches(Rule { detectors: vec!["syn-flood".into()], ..any() }));
		assert!(matches(Rule { min_severity: Some(Severity::Medium), ..any() }));
		assert!(!matches(Rule { min_severity: Some(Severity::High), ..any() }));
		assert!(!matches(Rule { source: Some(Format::Fast), category: Some("other".into()), ..any() }));
		let detected =
			Subject { source: None, detector: Some("syn-flood"), category: "", signature_id: None, handshake: false };
		let rule = Rule { detectors: vec!["scan".into(), "syn-flood".into()], ..any() };
		assert!(rule.matches(&detected, Severity::Low));
		assert!(!Rule { signature_ids: vec![0..=u64::MAX], ..any() }.matches(&detected, Severity::Low));
		assert!(!Rule { source: Some(Format::Eve), ..any() }.matches(&detected, Severity::Low));
	}

	#[test]
	fn the_first_rule_that_matches_counts() {
		let by = |severity| Rule {
			verdict: Some(Verdict { severity: Some(severity), ..Verdict::default() }),
			..Rule::default()
		};
		let elsewhere = Rule { source: Some(Format::Eve), ..by(Severity::Low) };
		let rules = Rules(vec![elsewhere, by(Severity::High), by(Severity::Critical)]);
		assert_eq!(rules.settle(&SUBJECT, finding()).unwrap().severity, Severity::High);
		assert_eq!(rules.verdict(&SUBJECT, Severity::Medium).unwrap().severity, Some(Severity::High));
		let ignoring = Rules(vec![Rule::default(), by(Severity::High)]);
		assert_eq!(ignoring.settle(&SUBJECT, finding()), None);
		assert_eq!(ignoring.verdict(&SUBJECT, Severity::Medium), None);
		assert_eq!(Rules::default().settle(&SUBJECT, finding()), Some(finding()));
	}

	#[test]
	fn what_a_rule_does_not_say_stays() {
		let settle = |verdict| {
			let rule = Rule { verdict: Some(verdict), ..Rule::default() };
			Rules(vec![rule]).settle(&SUBJECT, finding()).unwrap()
		};
		assert_eq!(settle(Verdict::default()), finding());
		let action = PacketRate::new(100).map(Action::RateLimit);
		let all = settle(Verdict {
			threat: Some(ThreatClass::Botnet),
			severity: Some(Severity::Low),
			action,
			lifetime: Lifetime::new(3_600),
			established: true,
		});
		assert_eq!((all.threat, all.severity, all.spoofable), (ThreatClass::Botnet, Severity::Low, false));
		assert_eq!((all.action, all.lifetime), (action, Lifetime::new(3_600)));
	}

	#[test]
	fn nothing_proves_an_address_without_a_handshake() {
		let rule = Rule { verdict: Some(Verdict { established: true, ..Verdict::default() }), ..Rule::default() };
		let subject = Subject { handshake: false, ..SUBJECT };
		assert!(Rules(vec![rule]).settle(&subject, finding()).unwrap().spoofable);
	}
}
