//! How things look in JSON: addresses and indicators as people write them, accounts in SS58, hashes and keys in hex, times
//! in milliseconds since the Unix epoch.

use ringfence_primitives::{
	AccountBytes, Action, Contribution, Digest, Dossier, Indicator, MemberInfo, MemberRole, Proposal, Severity,
	Standing, Terms, ThreatClass, Tlp,
};
use ringfence_runtime::AccountId;
use serde::Serialize;
use sp_core::{
	crypto::{Ss58AddressFormat, Ss58Codec},
	Bytes,
};

/// The chain's SS58 prefix.
const SS58_PREFIX: u16 = 42;

/// An account.
pub fn account(bytes: AccountBytes) -> String {
	AccountId::from(bytes).to_ss58check_with_version(Ss58AddressFormat::custom(SS58_PREFIX))
}

/// A hash.
pub fn hex(digest: Digest) -> Bytes {
	digest.to_vec().into()
}

fn kind(indicator: &Indicator) -> &'static str {
	match indicator {
		Indicator::Host(_) => "host",
		Indicator::Network(_) => "network",
		Indicator::Endpoint(_) => "endpoint",
		Indicator::Flow(_) => "flow",
	}
}

/// [`Terms`].
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TermsForm {
	threat: ThreatClass,
	severity: Severity,
	/// In percent.
	confidence: u8,
	direction: &'static str,
	action: String,
	tlp: Tlp,
	/// In seconds, from activation.
	lifetime: u32,
	evidence: Option<Bytes>,
	note: String,
}

impl From<Terms> for TermsForm {
	fn from(terms: Terms) -> Self {
		Self {
			threat: terms.threat,
			severity: terms.severity,
			confidence: terms.confidence.get(),
			direction: terms.direction.name(),
			action: terms.action.to_string(),
			tlp: terms.tlp,
			lifetime: terms.lifetime.get(),
			evidence: terms.evidence.map(hex),
			note: terms.note.as_str().to_owned(),
		}
	}
}

/// [`Standing`].
#[derive(Clone, Serialize)]
#[serde(tag = "standing", rename_all = "camelCase")]
enum StandingForm {
	Proposed,
	Provisional {
		since: u64,
	},
	Active {
		since: u64,
	},
	#[serde(rename_all = "camelCase")]
	Disputed {
		since: u64,
		disputed_by: String,
		disputed_until: u64,
	},
	Rejected,
}

impl From<Standing> for StandingForm {
	fn from(standing: Standing) -> Self {
		match standing {
			Standing::Proposed => Self::Proposed,
			Standing::Provisional { since } => Self::Provisional { since },
			Standing::Active { since } => Self::Active { since },
			Standing::Disputed { since, by, until } => {
				Self::Disputed { since, disputed_by: account(by), disputed_until: until }
			}
			Standing::Rejected => Self::Rejected,
		}
	}
}

/// One ISP's vote.
#[derive(Clone, Serialize)]
struct VoteForm {
	isp: String,
	vote: String,
}

/// [`Dossier`]: all about one indicator.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DossierForm {
	id: Bytes,
	kind: &'static str,
	indicator: String,
	#[serde(flatten)]
	standing: StandingForm,
	terms: TermsForm,
	reporter: String,
	proposed_at: u64,
	ends_at: u64,
	votes: Vec<VoteForm>,
}

impl From<Dossier> for DossierForm {
	fn from(dossier: Dossier) -> Self {
		Self {
			id: hex(dossier.id),
			kind: kind(&dossier.indicator),
			indicator: dossier.indicator.to_string(),
			standing: dossier.standing.into(),
			terms: dossier.terms.into(),
			reporter: account(dossier.reporter),
			proposed_at: dossier.proposed_at,
			ends_at: dossier.ends_at,
			votes: dossier
				.votes
				.into_iter()
				.map(|(isp, vote)| VoteForm { isp: account(isp), vote: vote.to_string() })
				.collect(),
		}
	}
}

/// Whether the indicator is enforced now.
pub fn is_in_force(standing: &Standing) -> bool {
	matches!(standing, Standing::Provisional { .. } | Standing::Active { .. } | Standing::Disputed { .. })
}

/// Whether enforcers drop all packets of an address that the indicator names, one direction at least.
pub fn blocks(dossier: &Dossier) -> bool {
	is_in_force(&dossier.standing)
		&& dossier.terms.action == Action::Drop
		&& matches!(dossier.indicator, Indicator::Host(_) | Indicator::Network(_))
}

/// [`Proposal`]: what awaits a vote.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProposalForm {
	id: Bytes,
	kind: &'static str,
	indicator: String,
	/// What a vote names beside the id.
	terms_hash: Bytes,
	terms: TermsForm,
	reporter: String,
	proposed_at: u64,
	disputed: bool,
}

impl From<Proposal> for ProposalForm {
	fn from(proposal: Proposal) -> Self {
		Self {
			id: hex(proposal.id),
			kind: kind(&proposal.indicator),
			indicator: proposal.indicator.to_string(),
			terms_hash: hex(proposal.terms.hash()),
			terms: proposal.terms.into(),
			reporter: account(proposal.reporter),
			proposed_at: proposal.proposed_at,
			disputed: proposal.disputed,
		}
	}
}

/// [`Contribution`].
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct ContributionForm {
	reports: u32,
	confirmed: u32,
	rejected: u32,
	lapsed: u32,
	false_positives: u32,
	votes: u32,
	sightings: u32,
	misjudged: u32,
	disputes: u32,
	disputes_lost: u32,
}

impl From<Contribution> for ContributionForm {
	fn from(contribution: Contribution) -> Self {
		let Contribution {
			reports,
			confirmed,
			rejected,
			lapsed,
			false_positives,
			votes,
			sightings,
			misjudged,
			disputes,
			disputes_lost,
		} = contribution;
		Self {
			reports,
			confirmed,
			rejected,
			lapsed,
			false_positives,
			votes,
			sightings,
			misjudged,
			disputes,
			disputes_lost,
		}
	}
}

/// [`MemberInfo`].
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberForm {
	account: String,
	owner: String,
	role: &'static str,
	/// The provider of a subscriber.
	#[serde(skip_serializing_if = "Option::is_none")]
	isp: Option<String>,
	active: bool,
	/// 0 to 1,000.
	trust: u16,
	good_standing: bool,
	quota_left: u32,
	contribution: ContributionForm,
	envelope_key: Option<Bytes>,
}

impl From<MemberInfo> for MemberForm {
	fn from(member: MemberInfo) -> Self {
		let (role, isp) = match member.role {
			MemberRole::Isp => ("isp", None),
			MemberRole::Subscriber { isp } => ("subscriber", Some(account(isp))),
			MemberRole::Researcher => ("researcher", None),
		};
		Self {
			account: account(member.account),
			owner: account(member.owner),
			role,
			isp,
			active: member.active,
			trust: member.trust,
			good_standing: member.good_standing,
			quota_left: member.quota_left,
			contribution: member.contribution.into(),
			envelope_key: member.envelope_key.map(hex),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_primitives::{Confidence, Direction, Lifetime, Note, Vote};
	use serde_json::{json, to_value};

	fn terms(action: Action) -> Terms {
		Terms {
			threat: ThreatClass::BruteForce,
			severity: Severity::High,
			confidence: Confidence::new(80).unwrap(),
			direction: Direction::Inbound,
			action,
			tlp: Tlp::AmberStrict,
			lifetime: Lifetime::new(3_600).unwrap(),
			evidence: Some([7; 32]),
			note: Note::truncated("ssh"),
		}
	}

	fn dossier(indicator: Indicator, standing: Standing, action: Action) -> Dossier {
		Dossier {
			id: indicator.id(),
			indicator,
			terms: terms(action),
			standing,
			reporter: [0; 32],
			proposed_at: 1,
			ends_at: 2,
			votes: vec![([0; 32], Vote::Sighting)],
		}
	}

	fn host() -> Indicator {
		Indicator::Host("198.51.100.7".parse().unwrap())
	}

	/// The account of zeros with the prefix 42.
	const ZEROS: &str = "5C4hrfjw9DjXZTzV3MwzrrAr9P1MJhSrvWGWqi1eSuyUpnhM";

	#[test]
	fn accounts_are_ss58_with_the_prefix_of_the_chain() {
		assert_eq!(account([0; 32]), ZEROS);
	}

	#[test]
	fn a_dossier_reads_like_a_sentence() {
		let standing = Standing::Disputed { since: 5, by: [0; 32], until: 9 };
		let form = to_value(DossierForm::from(dossier(host(), standing, Action::Drop))).unwrap();
		let expected = json!({
			"id": to_value(hex(host().id())).unwrap(),
			"kind": "host",
			"indicator": "198.51.100.7",
			"standing": "disputed",
			"since": 5,
			"disputedBy": ZEROS,
			"disputedUntil": 9,
			"terms": {
				"threat": "brute-force",
				"severity": "high",
				"confidence": 80,
				"direction": "inbound",
				"action": "drop",
				"tlp": "amber+strict",
				"lifetime": 3_600,
				"evidence": format!("0x{}", "07".repeat(32)),
				"note": "ssh",
			},
			"reporter": ZEROS,
			"proposedAt": 1,
			"endsAt": 2,
			"votes": [{ "isp": ZEROS, "vote": "sighting" }],
		});
		assert_eq!(form, expected);
		let form = to_value(DossierForm::from(dossier(host(), Standing::Rejected, Action::Drop))).unwrap();
		assert_eq!((&form["standing"], form.get("since")), (&json!("rejected"), None));
	}

	#[test]
	fn an_address_is_blocked_by_what_drops_all_its_packets_now() {
		let active = Standing::Active { since: 0 };
		assert!(blocks(&dossier(host(), active, Action::Drop)));
		assert!(blocks(&dossier(host(), Standing::Provisional { since: 0 }, Action::Drop)));
		let network = Indicator::Network("198.51.100.0/24".parse().unwrap());
		assert!(blocks(&dossier(network, active, Action::Drop)));
		assert!(!blocks(&dossier(host(), Standing::Proposed, Action::Drop)));
		assert!(!blocks(&dossier(host(), Standing::Rejected, Action::Drop)));
		assert!(!blocks(&dossier(host(), active, Action::Watch)));
		let endpoint = Indicator::Endpoint(ringfence_primitives::Endpoint {
			address: "198.51.100.7".parse().unwrap(),
			protocol: ringfence_primitives::Transport::Tcp,
			port: 443,
		});
		assert!(!blocks(&dossier(endpoint, active, Action::Drop)), "one service of it");
	}

	#[test]
	fn a_proposal_names_what_a_vote_needs() {
		let terms = terms(Action::Drop);
		let form = to_value(ProposalForm::from(Proposal {
			id: host().id(),
			indicator: host(),
			terms: terms.clone(),
			reporter: [0; 32],
			proposed_at: 3,
			disputed: true,
		}))
		.unwrap();
		assert_eq!(form["termsHash"], to_value(hex(terms.hash())).unwrap());
		assert_eq!(form["disputed"], json!(true));
	}

	#[test]
	fn a_subscriber_is_shown_with_its_provider() {
		let member = |role| MemberInfo {
			account: [1; 32],
			owner: [2; 32],
			role,
			active: true,
			trust: 800,
			good_standing: false,
			quota_left: 60,
			contribution: Contribution { disputes_lost: 1, ..Default::default() },
			envelope_key: Some([3; 32]),
		};
		let form = to_value(MemberForm::from(member(MemberRole::Subscriber { isp: [0; 32] }))).unwrap();
		assert_eq!((&form["role"], &form["isp"]), (&json!("subscriber"), &json!(ZEROS)));
		assert_eq!((&form["goodStanding"], &form["quotaLeft"]), (&json!(false), &json!(60)));
		assert_eq!(form["contribution"]["disputesLost"], json!(1));
		assert_eq!(form["envelopeKey"], json!(format!("0x{}", "03".repeat(32))));
		let form = to_value(MemberForm::from(member(MemberRole::Isp))).unwrap();
		assert_eq!((&form["role"], form.get("isp")), (&json!("isp"), None));
	}
}
