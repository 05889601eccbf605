//! An ISP's vetting policy: which proposals it votes on by itself, and how.
//!
//! What a report says of itself costs its author nothing, so its terms alone approve nothing. The grounds, each of which
//! stands in the log line of the vote:
//!
//! | ground | weight |
//! |---|---|
//! | the own sensors saw it ([`super::sighting`]) | enough by itself; the vote is a sighting |
//! | its terms are sure enough | needs one of the next two |
//! | its reporter is trusted enough, by the chain's ledger | |
//! | enough other ISPs reported or saw it | |
//!
//! Before any ground counts, what only a person may approve is left to one ([`VettingPolicy`], [`Lists`]).
//!
//! **A flow without a source** hits whoever sends such packets to its destination. As in BGP FlowSpec (RFC 8955, section
//! 6), only who originates the destination may ask for that, so it is weighed only where the destination lies in
//! networks that the operator has configured as its reporter's; where it lies in another member's, it is rejected.
//!
//! # Security considerations
//!
//! Members control the proposal, the own node says what stands behind it, and strangers choose what sensors see. So low
//! stated confidence, which marks what can be forged, is outweighed by nothing but a proven sight of one's own; two
//! members that were shown the same forged packets are no corroboration. Approvals that are no sightings count for
//! nothing: policies would otherwise follow each other.

use super::{flow, popular::Popular};
use ringfence_primitives::{
	AccountBytes, Action, Address, Confidence, FlowSignature, Indicator, Millis, Network, Proposal, Severity, Shown,
	Terms, Vote,
};

/// What is believed of a claim by its terms, whoever makes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
	/// The least confidence.
	pub min_confidence: Confidence,
	/// The least severity.
	pub min_severity: Severity,
	/// The shortest IPv4 prefix.
	pub widest_v4: u8,
	/// The shortest IPv6 prefix.
	pub widest_v6: u8,
	/// Whether what overlaps an own network is rejected; otherwise it is left to a person.
	pub reject_overlap: bool,
}

/// The networks that a member originates, as the operator knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
	/// Its identity.
	pub member: AccountBytes,
	/// No network is named for two members.
	pub networks: Vec<Network>,
}

/// When to vote without asking a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VettingPolicy {
	/// What terms must say.
	pub bounds: Bounds,
	/// The trust, 0 to 1,000, from which on a reporter is believed.
	pub min_trust: u16,
	/// Other ISPs that must have reported or seen what a less trusted member reports.
	pub min_witnesses: u32,
	/// Milliseconds for which what the own sensors saw counts.
	pub seen_within: Millis,
	/// The shortest IPv4 prefix of the destination of a flow without a source.
	pub destination_v4: u8,
	/// The same for IPv6.
	pub destination_v6: u8,
	/// Who may ask for such a flow, and where to.
	pub origins: Vec<Origin>,
}

/// The ISP's own lists.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lists {
	/// Never blocked.
	pub protected: Vec<Network>,
	/// Let through.
	pub allowed: Vec<Network>,
	/// What many depend on: blocked by a person or nobody.
	pub popular: Popular,
}

/// What a policy thinks, and why, for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opinion {
	/// None: a person must decide.
	pub vote: Option<Vote>,
	/// In one line.
	pub why: String,
}

impl Opinion {
	fn vote(vote: Vote, why: String) -> Self {
		Self { vote: Some(vote), why }
	}

	fn leave(why: impl Into<String>) -> Self {
		Self { vote: None, why: why.into() }
	}
}

/// What the policy thinks of a proposal. `seen_ago`: milliseconds since the own sensors saw all of it, if they did.
pub fn vet(policy: &VettingPolicy, lists: &Lists, shown: &Shown, seen_ago: Option<Millis>) -> Opinion {
	let Shown { proposal: Proposal { indicator, terms, reporter, disputed, .. }, backing, .. } = shown;
	let scope = || match indicator {
		Indicator::Flow(flow) if flow.source.is_none() => {
			undue(&policy.origins, policy.widest_destination(), flow, terms, reporter)
		}
		_ => too_wide(&policy.bounds, indicator),
	};
	if let Some(barred) = lists.bar(&policy.bounds, indicator).or_else(scope) {
		return barred;
	}
	// That it does harm cannot be read off its terms, nor be seen from here.
	if *disputed {
		return Opinion::leave("disputed");
	}
	if terms.severity < policy.bounds.min_severity {
		return Opinion::leave(format!("severity {}", terms.severity));
	}
	let seen = seen_ago.filter(|ago| *ago <= policy.seen_within);
	let sure = terms.confidence >= policy.bounds.min_confidence;
	let backed = backing.trust >= policy.min_trust || backing.witnesses >= policy.min_witnesses;
	let own = seen.map(|ago| format!("own sensors saw it {} s ago; ", ago / 1_000)).unwrap_or_default();
	let facts = format!(
		"{own}{} other ISPs reported or saw it; trust {}; confidence {}, severity {}",
		backing.witnesses,
		backing.trust,
		terms.confidence.get(),
		terms.severity,
	);
	match (seen, sure, backed) {
		(Some(_), ..) => Opinion::vote(Vote::Sighting, facts),
		(None, true, true) => Opinion::vote(Vote::Approve, facts),
		(None, false, _) => Opinion::leave(format!("not sure enough: {facts}")),
		(None, true, false) => Opinion::leave(format!("nothing but its terms speaks for it: {facts}")),
	}
}

/// What is to be thought of blocking `indicator` under `terms`, where whoever says so is to be believed.
pub fn weigh(bounds: &Bounds, lists: &Lists, indicator: &Indicator, terms: &Terms) -> Opinion {
	if let Some(barred) = lists.bar(bounds, indicator).or_else(|| too_wide(bounds, indicator)) {
		return barred;
	}
	believe(bounds, terms)
}

/// What is thought of dropping what `flow` describes, which names no source, on the word of `reporter` alone: a subscriber
/// whose networks `origins` name.
pub fn weigh_flow(
	bounds: &Bounds,
	lists: &Lists,
	origins: &[Origin],
	flow: &FlowSignature,
	terms: &Terms,
	reporter: &AccountBytes,
) -> Opinion {
	let barred = lists.bar(bounds, &Indicator::Flow(*flow));
	let widest = (bounds.widest_v4, bounds.widest_v6);
	if let Some(barred) = barred.or_else(|| undue(origins, widest, flow, terms, reporter)) {
		return barred;
	}
	believe(bounds, terms)
}

/// Whether the terms alone are enough.
fn believe(bounds: &Bounds, terms: &Terms) -> Opinion {
	let facts = format!("confidence {}, severity {}", terms.confidence.get(), terms.severity);
	match terms.confidence >= bounds.min_confidence && terms.severity >= bounds.min_severity {
		true => Opinion::vote(Vote::Approve, facts),
		false => Opinion::leave(facts),
	}
}

impl Lists {
	/// What follows for `indicator` from the lists alone. An overlap in either direction is never approved.
	fn bar(&self, bounds: &Bounds, indicator: &Indicator) -> Option<Opinion> {
		for (kind, networks) in [("protected", &self.protected), ("allowed", &self.allowed)] {
			if let Some(network) = indicator.overlap(networks) {
				let why = format!("overlaps the {kind} network {network}");
				let vote = bounds.reject_overlap.then_some(Vote::Reject);
				return Some(Opinion { vote, why });
			}
		}
		let (network, list) = self.popular.touched(indicator)?;
		Some(Opinion::leave(format!("overlaps {network}, which many depend on ({list})")))
	}
}

/// Whether `network` is no wider than these prefixes.
fn is_narrow(network: &Network, widest_v4: u8, widest_v6: u8) -> bool {
	match network.address() {
		Address::V4(_) => network.prefix() >= widest_v4,
		Address::V6(_) => network.prefix() >= widest_v6,
	}
}

/// Where more is asked for than the bounds allow. A flow that names no source can hit anybody; of another, the destination
/// is who is defended, and the source decides who is hit.
fn too_wide(bounds: &Bounds, indicator: &Indicator) -> Option<Opinion> {
	let narrow = |network: &Network| is_narrow(network, bounds.widest_v4, bounds.widest_v6);
	let fine = match indicator {
		Indicator::Flow(flow) => flow.source.as_ref().is_some_and(narrow),
		_ => indicator.networks().all(|network| narrow(&network)),
	};
	(!fine).then(|| Opinion::leave("wider than a policy may approve"))
}

impl VettingPolicy {
	fn widest_destination(&self) -> (u8, u8) {
		(self.destination_v4, self.destination_v6)
	}
}

/// Why `flow`, which names no source, is not for `reporter` to ask for, or not for a policy to approve. `origins` says whose
/// its destination may be, `widest` how short that destination's prefix.
fn undue(
	origins: &[Origin],
	widest: (u8, u8),
	flow: &FlowSignature,
	terms: &Terms,
	reporter: &AccountBytes,
) -> Option<Opinion> {
	let Some(destination) = flow.destination else { return Some(Opinion::leave("names nobody")) };
	let networks = origins.iter().flat_map(|origin| origin.networks.iter().map(move |n| (&origin.member, n)));
	let touched = networks.filter(|(_, network)| network.overlaps(&destination));
	// The narrowest around it says whose it is, and what lies in it must not be another's either.
	let (around, inside): (Vec<_>, Vec<_>) = touched.partition(|(_, network)| network.contains(&destination));
	let home = around.into_iter().max_by_key(|(_, network)| network.prefix());
	let foreign = home.into_iter().chain(inside).find(|(member, _)| *member != reporter);
	if let Some((_, network)) = foreign {
		return Some(Opinion::vote(Vote::Reject, format!("goes to {network}, which is not its reporter's")));
	}
	if home.is_none() {
		return Some(Opinion::leave(format!("{destination} is not known to be its reporter's")));
	}
	if !is_narrow(&destination, widest.0, widest.1) {
		return Some(Opinion::leave(format!("{destination} is wider than a policy may approve")));
	}
	if !flow::is_specific(flow) {
		return Some(Opinion::leave("says too little of the packets: it would cut its destination off"));
	}
	(terms.action == Action::Watch).then(|| Opinion::leave("a flow to be watched stops nothing"))
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;
	use ringfence_primitives::{
		Backing, Direction, Endpoint, Lifetime, Note, PacketRate, PortRange, ThreatClass, Tlp, Transport,
	};

	const REPORTER: AccountBytes = [1; 32];
	const OTHER: AccountBytes = [2; 32];

	fn network(text: &str) -> Network {
		text.parse().unwrap()
	}

	fn policy() -> VettingPolicy {
		VettingPolicy {
			bounds: Bounds {
				min_confidence: Confidence::new(50).unwrap(),
				min_severity: Severity::Medium,
				widest_v4: 24,
				widest_v6: 48,
				reject_overlap: true,
			},
			min_trust: 700,
			min_witnesses: 2,
			seen_within: 3_600_000,
			destination_v4: 24,
			destination_v6: 48,
			origins: vec![
				Origin { member: REPORTER, networks: vec![network("203.0.112.0/20"), network("2001:db8::/32")] },
				Origin { member: OTHER, networks: vec![network("203.0.115.0/24"), network("198.18.0.0/15")] },
			],
		}
	}

	fn lists() -> Lists {
		let mut popular = Popular::default();
		let list = r#"{"name":"clouds","type":"cidr","list":["104.16.0.0/13","9.9.9.9","203.0.116.0/25"]}"#;
		popular.add(list).unwrap();
		Lists { protected: vec![network("192.0.2.0/24")], allowed: vec![network("198.51.100.7")], popular }
	}

	fn shown(indicator: Indicator, confidence: u8, severity: Severity) -> Shown {
		let proposal = Proposal {
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
			reporter: REPORTER,
			proposed_at: 0,
			disputed: false,
		};
		Shown { proposal, backing: Backing { trust: 800, witnesses: 1, approvals: 1 }, after: None }
	}

	fn peer(text: &str, confidence: u8, severity: Severity) -> Shown {
		shown(network(text).into(), confidence, severity)
	}

	fn vote(shown: &Shown) -> Option<Vote> {
		vet(&policy(), &lists(), shown, None).vote
	}

	/// DNS answers to `destination`, as a victim of amplification would have them stopped.
	fn answers(destination: &str) -> FlowSignature {
		FlowSignature {
			protocol: Some(17),
			destination: Some(network(destination)),
			source_ports: PortRange::new(53, 53),
			..Default::default()
		}
	}

	fn flow(signature: FlowSignature) -> Shown {
		shown(Indicator::Flow(signature.check().unwrap()), 80, Severity::High)
	}

	#[test]
	fn what_is_sure_and_narrow_is_approved() {
		for text in ["198.18.66.66", "198.18.66.0/24", "2001:db8::1", "2001:db8:66::/48"] {
			assert_eq!(vote(&peer(text, 50, Severity::Medium)), Some(Vote::Approve), "{text}");
		}
	}

	#[test]
	fn what_is_doubtful_or_wide_is_left_to_a_person() {
		assert_eq!(vote(&peer("198.18.66.66", 49, Severity::High)), None);
		assert_eq!(vote(&peer("198.18.66.66", 100, Severity::Low)), None);
		assert_eq!(vote(&peer("198.18.66.0/23", 100, Severity::High)), None);
		assert_eq!(vote(&peer("2001:db8::/47", 100, Severity::High)), None);
	}

	#[test]
	fn terms_need_a_trusted_reporter_or_other_isps_that_saw_it() {
		let with = |trust, witnesses| {
			let backing = Backing { trust, witnesses, approvals: 40 };
			vote(&Shown { backing, ..peer("198.18.66.66", 80, Severity::High) })
		};
		assert_eq!(with(700, 0), Some(Vote::Approve));
		assert_eq!(with(0, 2), Some(Vote::Approve));
		assert_eq!(with(699, 1), None, "approvals are no sightings");
	}

	#[test]
	fn nothing_outweighs_doubtful_terms_but_an_own_sight() {
		let backing = Backing { trust: 1_000, witnesses: 40, approvals: 40 };
		let forged = Shown { backing, ..peer("198.18.66.66", 30, Severity::High) };
		assert_eq!(vote(&forged), None);
		assert_eq!(vet(&policy(), &lists(), &forged, Some(12_000)).vote, Some(Vote::Sighting));
	}

	#[test]
	fn what_the_own_sensors_saw_a_while_ago_is_sighted() {
		let unknown = Shown { backing: Backing::default(), ..peer("198.18.66.66", 0, Severity::Medium) };
		let seen = |ago| vet(&policy(), &lists(), &unknown, Some(ago)).vote;
		assert_eq!((seen(0), seen(3_600_000)), (Some(Vote::Sighting), Some(Vote::Sighting)));
		assert_eq!(seen(3_600_001), None);
		let mild = peer("198.18.66.66", 100, Severity::Low);
		assert_eq!(vet(&policy(), &lists(), &mild, Some(0)).vote, None, "how bad it is, is another matter");
	}

	#[test]
	fn every_vote_says_why() {
		let shown = Shown {
			backing: Backing { trust: 930, witnesses: 2, approvals: 2 },
			..peer("198.18.66.66", 80, Severity::High)
		};
		assert_eq!(
			vet(&policy(), &lists(), &shown, Some(12_345)).why,
			"own sensors saw it 12 s ago; 2 other ISPs reported or saw it; trust 930; confidence 80, severity high"
		);
		assert_eq!(
			vet(&policy(), &lists(), &peer("104.17.0.1", 80, Severity::High), None).why,
			"overlaps 104.16.0.0/13, which many depend on (clouds)"
		);
		assert_eq!(
			vet(&policy(), &lists(), &flow(answers("198.18.0.0/24")), None).why,
			"goes to 198.18.0.0/15, which is not its reporter's"
		);
	}

	#[test]
	fn what_overlaps_an_own_network_is_rejected_in_both_directions() {
		for text in ["192.0.2.9", "192.0.0.0/16", "198.51.100.0/24", "198.51.100.7"] {
			let shown = peer(text, 100, Severity::Critical);
			assert_eq!(vote(&shown), Some(Vote::Reject), "{text}");
			let mut lenient = policy();
			lenient.bounds.reject_overlap = false;
			assert_eq!(vet(&lenient, &lists(), &shown, Some(0)).vote, None, "{text}");
		}
	}

	#[test]
	fn what_is_disputed_is_never_approved_again() {
		let disputed = |text| {
			let mut shown = peer(text, 100, Severity::Critical);
			shown.proposal.disputed = true;
			vet(&policy(), &lists(), &shown, Some(0)).vote
		};
		assert_eq!(disputed("198.18.66.66"), None);
		assert_eq!(disputed("192.0.2.9"), Some(Vote::Reject), "an own network is cause enough");
	}

	#[test]
	fn a_victim_has_traffic_to_itself_stopped() {
		for destination in ["203.0.113.0/24", "203.0.113.9", "2001:db8:1::/48"] {
			assert_eq!(vote(&flow(answers(destination))), Some(Vote::Approve), "{destination}");
		}
		let mut limited = flow(answers("203.0.113.9"));
		limited.proposal.terms.action = Action::RateLimit(PacketRate::MIN);
		assert_eq!(vote(&limited), Some(Vote::Approve));
		let backing = Backing { trust: 0, witnesses: 1, approvals: 1 };
		assert_eq!(vote(&Shown { backing, ..flow(answers("203.0.113.9")) }), None, "who asks must be believed");
	}

	#[test]
	fn a_flow_to_somebody_else_is_rejected_and_one_to_nobody_known_is_left() {
		for destination in ["198.18.0.9", "203.0.115.0/24", "203.0.115.9", "203.0.114.0/23"] {
			assert_eq!(vote(&flow(answers(destination))), Some(Vote::Reject), "{destination}");
		}
		for destination in ["198.51.101.0/24", "203.0.0.0/16", "2001:db9::/48"] {
			let vote = vote(&flow(answers(destination)));
			assert!(!vote.is_some_and(Vote::is_approval), "{destination}");
		}
		assert_eq!(vote(&flow(answers("198.51.101.0/24"))), None);
	}

	#[test]
	fn a_flow_that_is_wide_vague_or_only_watched_is_left_to_a_person() {
		let fine = answers("203.0.113.9");
		let vague = FlowSignature { source_ports: None, ..fine };
		let bare = FlowSignature { protocol: None, ..vague };
		let broad = FlowSignature { source_ports: PortRange::new(1, 65_535), ..fine };
		for signature in [vague, bare, broad, answers("203.0.112.0/23"), answers("2001:db8::/47")] {
			assert_eq!(vet(&policy(), &lists(), &flow(signature), Some(0)).vote, None, "{signature}");
		}
		let mut watched = flow(fine);
		watched.proposal.terms.action = Action::Watch;
		assert_eq!(vote(&watched), None);
	}

	#[test]
	fn a_flow_from_a_narrow_source_is_weighed_by_that() {
		let from = |source| FlowSignature { source: Some(network(source)), ..answers("198.18.0.9") };
		assert_eq!(vote(&flow(from("198.51.101.9"))), Some(Vote::Approve), "whoever it goes to");
		assert_eq!(vote(&flow(from("198.52.0.0/16"))), None);
	}

	fn any_network(texts: &'static [&'static str]) -> impl Strategy<Value = Network> {
		proptest::sample::select(texts).prop_map(network)
	}

	/// What a person alone may approve, in every shape.
	fn any_barred() -> impl Strategy<Value = Indicator> {
		let barred = any_network(&[
			"192.0.2.9",
			"192.0.2.0/24",
			"198.51.100.7",
			"198.51.100.0/24",
			"9.9.9.9",
			"104.17.1.0/24",
			"104.16.0.1",
			"203.0.112.0/20",
			"8.0.0.0/8",
			"198.0.0.0/15",
		]);
		let peer = (barred, 0_u8..3, 1_u16..).prop_map(|(network, shape, port)| match shape {
			0 => network.into(),
			1 if network.prefix() == 32 => {
				Indicator::Endpoint(Endpoint { address: network.address(), protocol: Transport::Tcp, port })
			}
			_ => Indicator::Flow(FlowSignature {
				protocol: Some(17),
				source: Some(network),
				destination_ports: PortRange::new(port, port),
				..Default::default()
			}),
		});
		// Another's, nobody's, an own one that is protected or popular, or too wide.
		let victim = any_network(&[
			"198.18.0.9",
			"203.0.115.0/24",
			"203.0.115.9",
			"203.0.114.0/23",
			"198.51.101.0/24",
			"192.0.2.9",
			"198.51.100.7",
			"203.0.116.1",
			"203.0.116.0/24",
			"203.0.112.0/20",
			"9.9.9.9",
			"128.0.0.0/8",
		]);
		let flow = (victim, any::<bool>(), 1_u16..).prop_map(|(destination, ports, port)| {
			Indicator::Flow(FlowSignature {
				protocol: Some(17),
				destination: Some(destination),
				source_ports: PortRange::new(port, port).filter(|_| ports),
				..Default::default()
			})
		});
		prop_oneof![peer, flow]
	}

	fn any_terms() -> impl Strategy<Value = Terms> {
		(0_u8..=100, 0_usize..4, 0_u8..3, 60_u32..86_400, 0_u8..3).prop_map(
			|(confidence, severity, action, lifetime, direction)| Terms {
				threat: ThreatClass::Botnet,
				severity: Severity::ALL[severity],
				confidence: Confidence::new(confidence).unwrap(),
				direction: [Direction::Inbound, Direction::Outbound, Direction::Both][usize::from(direction)],
				action: [Action::Drop, Action::RateLimit(PacketRate::MIN), Action::Watch][usize::from(action)],
				tlp: Tlp::Clear,
				lifetime: Lifetime::new(lifetime).unwrap(),
				evidence: Some([7; 32]),
				note: Note::truncated("trust me"),
			},
		)
	}

	fn any_backing() -> impl Strategy<Value = Backing> {
		(0_u16..=1_000, 0_u32..64, 0_u32..64).prop_map(|(trust, witnesses, approvals)| Backing {
			trust,
			witnesses,
			approvals,
		})
	}

	proptest! {
		/// Whatever the terms say and whoever stands behind it, even what was seen here: popular, protected, wide and foreign
		/// stays a person's matter.
		#[test]
		fn nothing_gets_what_is_barred_approved(
			indicator in any_barred(),
			terms in any_terms(),
			backing in any_backing(),
			seen_ago in proptest::option::of(0_u64..7_200_000),
			disputed: bool,
		) {
			let mut shown = shown(indicator, 0, Severity::Low);
			shown.backing = backing;
			shown.proposal.terms = terms;
			shown.proposal.disputed = disputed;
			let opinion = vet(&policy(), &lists(), &shown, seen_ago);
			prop_assert!(!opinion.vote.is_some_and(Vote::is_approval), "{}", opinion.why);
			prop_assert!(!opinion.why.is_empty());
		}

		/// No terms approve by themselves, not even of the most harmless indicator.
		#[test]
		fn terms_alone_approve_nothing(terms in any_terms(), trust in 0_u16..700, witnesses in 0_u32..2) {
			let mut shown = peer("198.18.66.66", 0, Severity::Low);
			shown.backing = Backing { trust, witnesses, approvals: 64 };
			shown.proposal.terms = terms;
			prop_assert_eq!(vote(&shown), None);
		}
	}
}
