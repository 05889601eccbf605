//! What a provider does with what its subscribers send it: dismiss it, report it to the other providers as its own, or
//! leave it to a person.
//!
//! # Security considerations
//!
//! What is promoted must not lead back to the household. So nothing that could carry its mark goes along: no remark, no
//! evidence, and action, direction, marking and lifetime are the provider's own. Only what the others need to judge it
//! stays: the indicator, the threat, its severity, and how sure the household was, no more exactly than in tens.

use super::{
	report::{Report, Settings},
	vet::{weigh, weigh_flow, Bounds, Lists, Opinion, Origin},
};
use ringfence_primitives::{
	envelope::Body, AccountBytes, Action, Confidence, Decision, Indicator, Millis, Note, PacketRate, Severity, Terms,
	Vote,
};

/// The widest networks that are promoted without a person: those that the chain calls wide are not.
const WIDEST: (u8, u8) = (24, 48);

/// When a subscriber's report becomes the provider's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InboxPolicy {
	/// The least confidence that is promoted.
	pub promote_min_confidence: Confidence,
	/// The least severity that is promoted.
	pub promote_min_severity: Severity,
	/// Promotions a minute, and at once after a quiet minute.
	pub per_minute: u32,
	/// Those of one household among them.
	pub per_household: u32,
	/// Milliseconds between two batches of answers.
	pub answer_every: Millis,
	/// Subscribers that may have the others stop floods to their own networks, and these networks. Such a report names the
	/// address under attack.
	pub defended: Vec<Origin>,
}

/// What becomes of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
	/// Nothing; why, for the log.
	Dismiss(String),
	/// The provider reports it as its own.
	Promote(Box<Report>),
	/// A person must decide.
	Leave,
}

impl InboxPolicy {
	/// What becomes of `body`, which the subscriber `from` sent. `settings` are those of the provider's own reports; `lists`
	/// are its own.
	pub fn judge(&self, body: &Body, from: &AccountBytes, settings: &Settings, lists: &Lists) -> Verdict {
		let bounds = Bounds {
			min_confidence: self.promote_min_confidence,
			min_severity: self.promote_min_severity,
			widest_v4: WIDEST.0,
			widest_v6: WIDEST.1,
			reject_overlap: true,
		};
		match body {
			Body::Report(indicator, terms) => {
				let opinion = match indicator {
					Indicator::Flow(flow) if flow.source.is_none() => {
						weigh_flow(&bounds, lists, &self.defended, flow, terms, from)
					}
					_ => weigh(&bounds, lists, indicator, terms),
				};
				match opinion {
					Opinion { vote: Some(Vote::Reject), why } => Verdict::Dismiss(why),
					Opinion { vote: Some(_), .. } => Verdict::Promote(Box::new(own_report(settings, indicator, terms))),
					Opinion { vote: None, .. } => Verdict::Leave,
				}
			}
			// Whether an indicator does harm cannot be read off its name.
			Body::Dispute(_) => Verdict::Leave,
			Body::TierKey(_) | Body::Whitelist(_) => Verdict::Dismiss("nothing that a subscriber tells".into()),
		}
	}
}

/// The provider's own report of what a household reported under `terms`.
pub fn own_report(settings: &Settings, indicator: &Indicator, terms: &Terms) -> Report {
	let confidence = match terms.confidence >= settings.confidence {
		true => settings.confidence,
		// At most 100, so there always is one.
		false => Confidence::new(terms.confidence.get() / 10 * 10).unwrap_or(Confidence::MIN),
	};
	let terms = Terms {
		threat: terms.threat,
		severity: terms.severity,
		confidence,
		direction: settings.direction,
		action: action(settings, indicator, terms),
		tlp: settings.tlp,
		lifetime: settings.lifetime,
		evidence: None,
		note: Note::default(),
	};
	Report { id: indicator.id(), indicator: indicator.clone(), terms }
}

/// The provider's own action; where a household under a flood asks for a limit, since a drop would hit what is innocent, that
/// limit, rounded up to a power of two so that it tells little.
fn action(settings: &Settings, indicator: &Indicator, terms: &Terms) -> Action {
	match (indicator, settings.action, terms.action) {
		(Indicator::Flow(_), Action::Drop, Action::RateLimit(rate)) => {
			Action::RateLimit(rate.get().checked_next_power_of_two().and_then(PacketRate::new).unwrap_or(rate))
		}
		_ => settings.action,
	}
}

/// The same for the provider's own subscribers only, from `now` on.
pub fn own_decision(settings: &Settings, indicator: &Indicator, terms: &Terms, now: Millis) -> Decision {
	let Report { indicator, terms, .. } = own_report(settings, indicator, terms);
	Decision {
		indicator,
		direction: terms.direction,
		action: terms.action,
		threat: terms.threat,
		severity: terms.severity,
		confidence: terms.confidence,
		expires_at: now.saturating_add(Millis::from(terms.lifetime.get()) * 1_000),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_primitives::{envelope::TierKey, Action, Direction, Lifetime, Network, ThreatClass, Tlp};

	fn network(text: &str) -> Network {
		text.parse().unwrap()
	}

	fn policy() -> InboxPolicy {
		InboxPolicy {
			promote_min_confidence: Confidence::new(50).unwrap(),
			promote_min_severity: Severity::Medium,
			per_minute: 600,
			per_household: 30,
			answer_every: 60_000,
			defended: Vec::new(),
		}
	}

	fn settings() -> Settings {
		Settings {
			confidence: Confidence::new(85).unwrap(),
			spoofable_confidence: Confidence::new(30).unwrap(),
			lifetime: Lifetime::new(3_600).unwrap(),
			tlp: Tlp::Amber,
			action: Action::Drop,
			direction: Direction::Both,
			per_minute: 30,
			repeat_after: 600_000,
		}
	}

	/// Terms with the household's mark on everything that could bear one.
	fn marked(confidence: u8, severity: Severity) -> Terms {
		Terms {
			threat: ThreatClass::Botnet,
			severity,
			confidence: Confidence::new(confidence).unwrap(),
			direction: Direction::Inbound,
			action: Action::Watch,
			tlp: Tlp::Clear,
			lifetime: Lifetime::new(61).unwrap(),
			evidence: Some([7; 32]),
			note: Note::truncated("from the Smiths"),
		}
	}

	fn lists() -> Lists {
		let mut lists = Lists {
			protected: vec![network("192.0.2.0/24")],
			allowed: vec![network("198.51.100.7")],
			..Lists::default()
		};
		lists.popular.add(r#"{"name":"clouds","type":"cidr","list":["104.16.0.0/13"]}"#).unwrap();
		lists
	}

	fn judge(peer: &str, confidence: u8, severity: Severity) -> Verdict {
		let body = Body::Report(network(peer).into(), marked(confidence, severity));
		policy().judge(&body, &[7; 32], &settings(), &lists())
	}

	#[test]
	fn what_is_sure_bad_and_narrow_is_promoted() {
		for peer in ["203.0.113.9", "203.0.113.0/24", "2001:db8::1", "2001:db8:66::/48"] {
			assert!(matches!(judge(peer, 50, Severity::Medium), Verdict::Promote(_)), "{peer}");
		}
	}

	#[test]
	fn what_is_doubtful_mild_wide_or_popular_is_left_to_a_person() {
		assert_eq!(judge("104.16.1.1", 100, Severity::Critical), Verdict::Leave);
		assert_eq!(judge("203.0.113.9", 49, Severity::High), Verdict::Leave);
		assert_eq!(judge("203.0.113.9", 100, Severity::Low), Verdict::Leave);
		assert_eq!(judge("203.0.112.0/23", 100, Severity::High), Verdict::Leave);
		let dispute = policy().judge(&Body::Dispute([1; 32]), &[7; 32], &settings(), &lists());
		assert_eq!(dispute, Verdict::Leave);
	}

	#[test]
	fn a_flood_to_the_households_own_network_is_stopped_and_to_nobody_elses() {
		use ringfence_primitives::{FlowSignature, PortRange};
		let defended = vec![
			Origin { member: [7; 32], networks: vec![network("203.0.113.32/27")] },
			Origin { member: [8; 32], networks: vec![network("203.0.113.64/27")] },
		];
		let policy = InboxPolicy { defended, ..policy() };
		let judge = |destination: &str, ports, action| {
			let flow = FlowSignature {
				protocol: Some(17),
				destination: Some(network(destination)),
				destination_ports: ports,
				..FlowSignature::default()
			};
			let body = Body::Report(Indicator::Flow(flow), Terms { action, ..marked(80, Severity::High) });
			policy.judge(&body, &[7; 32], &settings(), &lists())
		};
		let port = PortRange::new(53, 53);
		let promoted = |verdict| match verdict {
			Verdict::Promote(report) => Some(report.terms.action),
			_ => None,
		};
		let limit = |rate| Action::RateLimit(PacketRate::new(rate).unwrap());
		assert_eq!(promoted(judge("203.0.113.42", port, Action::Drop)), Some(Action::Drop));
		assert_eq!(promoted(judge("203.0.113.42", port, limit(300))), Some(limit(512)));
		assert!(matches!(judge("203.0.113.74", port, Action::Drop), Verdict::Dismiss(_)), "a neighbour's");
		assert_eq!(judge("198.51.100.1", port, Action::Drop), Verdict::Leave, "nobody's");
		assert_eq!(judge("203.0.113.42", None, Action::Drop), Verdict::Leave, "it would be cut off");
	}

	#[test]
	fn what_touches_an_own_network_or_makes_no_sense_is_dismissed() {
		for peer in ["192.0.2.9", "192.0.0.0/16", "198.51.100.0/24"] {
			assert!(matches!(judge(peer, 100, Severity::Critical), Verdict::Dismiss(_)), "{peer}");
		}
		let key = Body::TierKey(TierKey { number: 1, secret: [1; 32] });
		assert!(matches!(policy().judge(&key, &[7; 32], &settings(), &lists()), Verdict::Dismiss(_)));
	}

	#[test]
	fn nothing_of_the_household_is_in_what_is_promoted() {
		let Verdict::Promote(report) = judge("203.0.113.9", 100, Severity::High) else { panic!("not promoted") };
		let own = Terms {
			threat: ThreatClass::Botnet,
			severity: Severity::High,
			confidence: settings().confidence,
			direction: Direction::Both,
			action: Action::Drop,
			tlp: Tlp::Amber,
			lifetime: settings().lifetime,
			evidence: None,
			note: Note::default(),
		};
		assert_eq!((report.id, report.terms), (report.indicator.id(), own));
	}

	#[test]
	fn confidence_is_the_providers_own_or_less_in_tens() {
		let confidence = |claimed: u8| {
			let report = own_report(&settings(), &network("203.0.113.9").into(), &marked(claimed, Severity::High));
			report.terms.confidence.get()
		};
		assert_eq!([100, 85, 84, 73, 70, 9].map(confidence), [85, 85, 80, 70, 70, 0]);
	}

	#[test]
	fn a_decision_for_own_subscribers_lasts_as_long_as_an_own_report() {
		let decision = own_decision(&settings(), &network("203.0.113.9").into(), &marked(90, Severity::High), 1_000);
		assert_eq!(decision.expires_at, 1_000 + 3_600_000);
		assert_eq!((decision.action, decision.direction), (Action::Drop, Direction::Both));
	}
}
