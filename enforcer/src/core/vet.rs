//! An ISP's vetting policy: which proposals it votes on by itself, and how.

use ringfence_primitives::{Address, Confidence, Indicator, Network, Proposal, Severity, Terms, Vote};

/// When to vote without asking a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VettingPolicy {
	/// The least confidence that is approved.
	pub approve_min_confidence: Confidence,
	/// The least severity that is approved.
	pub approve_min_severity: Severity,
	/// The shortest IPv4 prefix that is approved.
	pub widest_v4: u8,
	/// The shortest IPv6 prefix that is approved.
	pub widest_v6: u8,
	/// Whether what overlaps an own network is rejected; otherwise it is left to a person.
	pub reject_overlap: bool,
}

/// The vote on `proposal` and the reason for it, for the log. None: a person must decide.
///
/// `protected` and `allowed` are the ISP's own lists. An overlap in either direction is never approved. What was decided
/// already and is disputed is not approved again either: that it does harm cannot be read off its terms.
pub fn vet(
	policy: &VettingPolicy,
	proposal: &Proposal,
	protected: &[Network],
	allowed: &[Network],
) -> Option<(Vote, String)> {
	let opinion = weigh(policy, &proposal.indicator, &proposal.terms, protected, allowed);
	opinion.filter(|(vote, _)| !(proposal.disputed && vote.is_approval()))
}

/// What the policy thinks of blocking `indicator` under `terms`, and why; None: nothing by itself.
pub fn weigh(
	policy: &VettingPolicy,
	indicator: &Indicator,
	terms: &Terms,
	protected: &[Network],
	allowed: &[Network],
) -> Option<(Vote, String)> {
	for (kind, networks) in [("protected", protected), ("allowed", allowed)] {
		if let Some(network) = indicator.overlap(networks) {
			return policy.reject_overlap.then(|| (Vote::Reject, format!("overlaps the {kind} network {network}")));
		}
	}
	let sure = terms.confidence >= policy.approve_min_confidence && terms.severity >= policy.approve_min_severity;
	(sure && is_narrow(policy, indicator))
		.then(|| (Vote::Approve, format!("confidence {}, severity {}", terms.confidence.get(), terms.severity)))
}

/// Whether nothing wider than the policy allows is asked for. A flow that names no source can hit anybody.
fn is_narrow(policy: &VettingPolicy, indicator: &Indicator) -> bool {
	let narrow = |network: &Network| match network.address() {
		Address::V4(_) => network.prefix() >= policy.widest_v4,
		Address::V6(_) => network.prefix() >= policy.widest_v6,
	};
	match indicator {
		// The destination of a flow is who is defended: the source decides who is hit.
		Indicator::Flow(flow) => flow.source.as_ref().is_some_and(narrow),
		_ => indicator.networks().all(|network| narrow(&network)),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_primitives::{Action, Direction, Lifetime, Note, ThreatClass, Tlp};

	fn policy() -> VettingPolicy {
		VettingPolicy {
			approve_min_confidence: Confidence::new(50).unwrap(),
			approve_min_severity: Severity::Medium,
			widest_v4: 24,
			widest_v6: 48,
			reject_overlap: true,
		}
	}

	fn proposal(network: &str, confidence: u8, severity: Severity) -> Proposal {
		let indicator = Indicator::from(network.parse::<Network>().unwrap());
		Proposal {
			id: indicator.id(),
			indicator,
			terms: Terms {
				threat: ThreatClass::Scan,
				severity,
				confidence: Confidence::new(confidence).unwrap(),
				direction: Direction::Both,
				action: Action::Drop,
				tlp: Tlp::Green,
				lifetime: Lifetime::new(3_600).unwrap(),
				evidence: None,
				note: Note::default(),
			},
			reporter: [1; 32],
			proposed_at: 0,
			disputed: false,
		}
	}

	fn vote(policy: &VettingPolicy, proposal: &Proposal) -> Option<Vote> {
		let networks = |text: &str| [text.parse::<Network>().unwrap()];
		vet(policy, proposal, &networks("192.0.2.0/24"), &networks("198.51.100.7")).map(|(vote, _)| vote)
	}

	#[test]
	fn what_is_sure_and_narrow_is_approved() {
		for network in ["198.18.66.66", "198.18.66.0/24", "2001:db8::1", "2001:db8:66::/48"] {
			assert_eq!(vote(&policy(), &proposal(network, 50, Severity::Medium)), Some(Vote::Approve), "{network}");
		}
	}

	#[test]
	fn what_is_doubtful_or_wide_is_left_to_a_person() {
		assert_eq!(vote(&policy(), &proposal("198.18.66.66", 49, Severity::High)), None);
		assert_eq!(vote(&policy(), &proposal("198.18.66.66", 100, Severity::Low)), None);
		assert_eq!(vote(&policy(), &proposal("198.18.66.0/23", 100, Severity::High)), None);
		assert_eq!(vote(&policy(), &proposal("2001:db8::/47", 100, Severity::High)), None);
	}

	#[test]
	fn what_overlaps_an_own_network_is_rejected_in_both_directions() {
		for network in ["192.0.2.9", "192.0.0.0/16", "198.51.100.0/24", "198.51.100.7"] {
			let proposal = proposal(network, 100, Severity::Critical);
			assert_eq!(vote(&policy(), &proposal), Some(Vote::Reject), "{network}");
			let lenient = VettingPolicy { reject_overlap: false, ..policy() };
			assert_eq!(vote(&lenient, &proposal), None, "{network}");
		}
	}

	#[test]
	fn what_is_disputed_is_never_approved_again() {
		let disputed = |network| Proposal { disputed: true, ..proposal(network, 100, Severity::Critical) };
		assert_eq!(vote(&policy(), &disputed("198.18.66.66")), None);
		assert_eq!(vote(&policy(), &disputed("192.0.2.9")), Some(Vote::Reject), "an own network is cause enough");
	}
}
