//! What this gatekeeper does about a decision of the chain: one [`Change`] in, commands for the firewall out.
//!
//! The owner's word goes before the chain's. Protected networks come first, the household's allow list second, blocks
//! last. The firewall holds the same order in its rules, so what is refused here could not have taken effect there;
//! refusing it here keeps dead elements out of the kernel and puts the reason into the log.
//!
//! What the household's own provider decided for its subscribers alone ([`TierChange`]) takes the same way. Where it is
//! about a peer that the chain decided on as well, the latest word counts.
//!
//! # Security considerations
//!
//! Nothing that the chain says can lift a protection that the local configuration gives, and no block outlives its
//! decision (see [`super::ruleset::TIMEOUT_MS`]), however wrong the local clock is.

use super::ruleset::{Command, Target};
use ringfence_primitives::{envelope::TierChange, Change, ChangeKind, Decision, Indicator, Network};
use std::collections::BTreeSet;

/// The owner's rules, and the protected networks learned from the chain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
	protected: BTreeSet<Network>,
	learned: BTreeSet<Network>,
	allowed: BTreeSet<Network>,
}

/// What follows from one change: either commands, or the reason why there are none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decided {
	/// For the firewall, in order. Empty exactly where `refused` says why.
	pub commands: Vec<Command>,
	/// Why nothing is enforced.
	pub refused: Option<Refusal>,
}

impl From<Result<Command, Refusal>> for Decided {
	fn from(decided: Result<Command, Refusal>) -> Self {
		match decided {
			Ok(command) => Self { commands: vec![command], refused: None },
			Err(refusal) => Self { commands: Vec::new(), refused: Some(refusal) },
		}
	}
}

/// Why a change is not enforced. None of these is a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
	/// It would block a part, or all, of a network that must never be blocked.
	#[error("overlaps the protected network {0}")]
	Protected(Network),
	/// All of it is on the local allow list.
	#[error("lies within the allowed network {0}")]
	Allowed(Network),
	/// Its time was up before it got here.
	#[error("expired already")]
	Expired,
	/// The firewall has no means to match flow signatures.
	#[error("flow signatures cannot be enforced here")]
	Unenforceable,
	/// Only the subscribers of a provider can read it. See [`Policy::decide_tier1`].
	#[error("sealed for a provider's subscribers")]
	Sealed,
}

impl Policy {
	/// A policy with the local lists, which has learned nothing from the chain yet.
	pub fn new(protected: impl IntoIterator<Item = Network>, allowed: impl IntoIterator<Item = Network>) -> Self {
		Self {
			protected: protected.into_iter().collect(),
			learned: BTreeSet::new(),
			allowed: allowed.into_iter().collect(),
		}
	}

	/// Takes over networks that the chain protected before this process began, such as
	/// [`Firewall::protected_by_chain`](crate::daemon::firewall::Firewall::protected_by_chain).
	pub fn learn(&mut self, networks: impl IntoIterator<Item = Network>) {
		self.learned.extend(networks);
	}

	/// Every network that must not be blocked, local ones first.
	pub fn protected(&self) -> impl Iterator<Item = &Network> {
		self.protected.iter().chain(&self.learned)
	}

	/// The first protected network that `indicator` overlaps, in either direction; else the first allowed network in
	/// which it lies wholly.
	///
	/// A wide block around an allowed host is fine: the firewall lets that host through before it looks at blocks.
	pub fn objection(&self, indicator: &Indicator) -> Option<Refusal> {
		if let Some(network) = indicator.overlap(self.protected()) {
			return Some(Refusal::Protected(network));
		}
		let within = |allowed: &&Network| {
			let mut networks = indicator.networks().peekable();
			networks.peek().is_some() && networks.all(|network| allowed.contains(&network))
		};
		self.allowed.iter().find(within).copied().map(Refusal::Allowed)
	}

	/// What follows from `change` at `now_ms`, milliseconds since the Unix epoch.
	pub fn decide(&mut self, change: &Change, now_ms: u64) -> Decided {
		let decided = match &change.kind {
			ChangeKind::Activated(decision) | ChangeKind::Extended(decision) => self.block(decision, now_ms),
			ChangeKind::Revoked(indicator) | ChangeKind::Expired(indicator) => {
				target(indicator).map(|target| Command::Unblock { target })
			}
			ChangeKind::Protected(network) => {
				self.learned.insert(*network);
				Ok(Command::Protect(*network))
			}
			ChangeKind::Unprotected(network) => {
				self.learned.remove(network);
				Ok(Command::Unprotect(*network))
			}
			ChangeKind::Tier1(..) => Err(Refusal::Sealed),
		};
		decided.into()
	}

	/// What follows from `change`, which the own provider sealed for its subscribers, at `now_ms`.
	pub fn decide_tier1(&self, change: &TierChange, now_ms: u64) -> Decided {
		let decided = match change {
			TierChange::Block(decision) => self.block(decision, now_ms),
			TierChange::Unblock(indicator) => target(indicator).map(|target| Command::Unblock { target }),
		};
		decided.into()
	}

	fn block(&self, decision: &Decision, now_ms: u64) -> Result<Command, Refusal> {
		let target = target(&decision.indicator)?;
		if let Some(refusal) = self.objection(&decision.indicator) {
			return Err(refusal);
		}
		match decision.expires_at.saturating_sub(now_ms) {
			0 => Err(Refusal::Expired),
			timeout_ms => {
				Ok(Command::Block { target, direction: decision.direction, action: decision.action, timeout_ms })
			}
		}
	}
}

fn target(indicator: &Indicator) -> Result<Target, Refusal> {
	match indicator {
		Indicator::Host(address) => Ok(Target::Network(Network::host(*address))),
		Indicator::Network(network) => Ok(Target::Network(*network)),
		Indicator::Endpoint(endpoint) => Ok(Target::Endpoint(*endpoint)),
		Indicator::Flow(_) => Err(Refusal::Unenforceable),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;
	use ringfence_primitives::{
		Action, Address, Confidence, Direction, Endpoint, FlowSignature, Severity, ThreatClass, Transport,
	};

	const NOW: u64 = 1_800_000_000_000;

	fn network(text: &str) -> Network {
		text.parse().unwrap()
	}

	fn decision(indicator: Indicator) -> Decision {
		Decision {
			indicator,
			direction: Direction::Both,
			action: Action::Drop,
			threat: ThreatClass::Botnet,
			severity: Severity::High,
			confidence: Confidence::MAX,
			expires_at: NOW + 60_000,
		}
	}

	fn change(kind: ChangeKind) -> Change {
		Change { seq: 1, at: NOW, previous: [0; 32], kind }
	}

	fn activated(text: &str) -> Change {
		change(ChangeKind::Activated(decision(network(text).into())))
	}

	fn policy() -> Policy {
		Policy::new([network("192.0.2.0/24")], [network("198.51.100.0/24"), network("203.0.113.7")])
	}

	fn refused(change: &Change) -> Option<Refusal> {
		policy().decide(change, NOW).refused
	}

	fn dns_flow() -> Indicator {
		let destination = Some(network("203.0.113.0/24"));
		Indicator::Flow(FlowSignature { protocol: Some(17), destination, ..Default::default() }.check().unwrap())
	}

	#[test]
	fn an_activation_blocks_for_the_time_that_is_left() {
		let decided = policy().decide(&activated("203.0.113.9"), NOW + 59_000);
		let expected = Command::Block {
			target: Target::Network(network("203.0.113.9")),
			direction: Direction::Both,
			action: Action::Drop,
			timeout_ms: 1_000,
		};
		assert_eq!(decided, Decided { commands: vec![expected], refused: None });
	}

	#[test]
	fn an_extension_is_a_block() {
		let extended = change(ChangeKind::Extended(decision(network("203.0.113.9").into())));
		assert_eq!(policy().decide(&extended, NOW), policy().decide(&activated("203.0.113.9"), NOW));
	}

	#[test]
	fn what_is_over_is_not_begun() {
		assert_eq!(policy().decide(&activated("203.0.113.9"), NOW + 60_000).refused, Some(Refusal::Expired));
		assert_eq!(policy().decide(&activated("203.0.113.9"), u64::MAX).refused, Some(Refusal::Expired));
	}

	#[test]
	fn revocation_and_expiry_unblock() {
		let indicator = Indicator::from(network("203.0.113.9"));
		for kind in [ChangeKind::Revoked(indicator.clone()), ChangeKind::Expired(indicator)] {
			let unblock = Command::Unblock { target: Target::Network(network("203.0.113.9")) };
			assert_eq!(policy().decide(&change(kind), NOW).commands, [unblock]);
		}
	}

	#[test]
	fn protected_networks_are_refused_in_both_directions_of_overlap() {
		let refusal = Some(Refusal::Protected(network("192.0.2.0/24")));
		for peer in ["192.0.2.1", "192.0.2.0/24", "192.0.0.0/16", "0.0.0.0/0"] {
			assert_eq!(refused(&activated(peer)), refusal, "{peer}");
		}
		for peer in ["192.0.3.1", "::/0"] {
			assert_eq!(refused(&activated(peer)), None, "{peer}");
		}
	}

	#[test]
	fn a_block_within_an_allowed_network_is_refused_and_a_wider_one_is_not() {
		let refusal = Some(Refusal::Allowed(network("198.51.100.0/24")));
		assert_eq!(refused(&activated("198.51.100.9")), refusal);
		assert_eq!(refused(&activated("198.51.100.0/24")), refusal);
		assert_eq!(refused(&activated("198.51.0.0/16")), None);
		assert_eq!(refused(&activated("203.0.113.0/24")), None);
	}

	#[test]
	fn an_endpoint_is_as_protected_as_its_host() {
		let endpoint = |address: &str| {
			let address: Address = address.parse().unwrap();
			change(ChangeKind::Activated(decision(Indicator::Endpoint(Endpoint {
				address,
				protocol: Transport::Tcp,
				port: 443,
			}))))
		};
		assert!(matches!(refused(&endpoint("192.0.2.1")), Some(Refusal::Protected(_))));
		assert!(matches!(refused(&endpoint("203.0.113.7")), Some(Refusal::Allowed(_))));
		assert_eq!(refused(&endpoint("203.0.113.9")), None);
	}

	#[test]
	fn protection_by_the_chain_counts_until_it_is_lifted() {
		let mut policy = policy();
		let shielded = network("203.0.113.0/24");
		let protect = policy.decide(&change(ChangeKind::Protected(shielded)), NOW);
		assert_eq!(protect.commands, [Command::Protect(shielded)]);
		let refusal = policy.decide(&activated("203.0.113.9"), NOW).refused;
		assert_eq!(refusal, Some(Refusal::Protected(shielded)));
		let lift = policy.decide(&change(ChangeKind::Unprotected(shielded)), NOW);
		assert_eq!(lift.commands, [Command::Unprotect(shielded)]);
		assert_eq!(policy.decide(&activated("203.0.113.9"), NOW).refused, None);
	}

	#[test]
	fn the_chain_cannot_lift_a_local_protection() {
		let mut policy = policy();
		policy.decide(&change(ChangeKind::Unprotected(network("192.0.2.0/24"))), NOW);
		assert!(policy.decide(&activated("192.0.2.1"), NOW).refused.is_some());
	}

	#[test]
	fn what_was_learned_before_a_restart_counts() {
		let mut policy = policy();
		policy.learn([network("203.0.113.0/24")]);
		assert!(policy.decide(&activated("203.0.113.9"), NOW).refused.is_some());
	}

	#[test]
	fn the_providers_own_decisions_take_the_same_way() {
		let block = |text: &str| TierChange::Block(decision(network(text).into()));
		let policy = policy();
		let own = policy.decide_tier1(&block("203.0.113.9"), NOW);
		assert_eq!(own, self::policy().decide(&activated("203.0.113.9"), NOW));
		assert!(matches!(policy.decide_tier1(&block("192.0.2.1"), NOW).refused, Some(Refusal::Protected(_))));
		assert!(matches!(policy.decide_tier1(&block("198.51.100.9"), NOW).refused, Some(Refusal::Allowed(_))));
		let later = policy.decide_tier1(&block("203.0.113.9"), NOW + 60_000);
		assert_eq!(later.refused, Some(Refusal::Expired));
		let unblock = policy.decide_tier1(&TierChange::Unblock(network("203.0.113.9").into()), NOW);
		assert_eq!(unblock.commands, [Command::Unblock { target: Target::Network(network("203.0.113.9")) }]);
	}

	#[test]
	fn what_is_sealed_says_nothing_to_others() {
		let sealed = change(ChangeKind::Tier1([1; 32], Default::default()));
		assert_eq!(refused(&sealed), Some(Refusal::Sealed));
	}

	#[test]
	fn flow_signatures_are_reported() {
		let flow = dns_flow();
		for kind in [ChangeKind::Activated(decision(flow.clone())), ChangeKind::Revoked(flow)] {
			assert_eq!(refused(&change(kind)), Some(Refusal::Unenforceable));
		}
	}

	/// Networks of few different bits, so that overlaps are common.
	fn any_network() -> impl Strategy<Value = Network> {
		let v4 = (any::<[bool; 4]>(), 0_u8..=32).prop_map(|(bits, prefix)| {
			let octets = bits.map(|bit| if bit { 0x80 } else { 0 });
			Network::new(Address::V4(octets).masked(prefix), prefix).unwrap()
		});
		let v6 = (any::<bool>(), 0_u8..=128).prop_map(|(bit, prefix)| {
			let address =
				Address::v6([0x20, 1, 0xd, 0xb8, u8::from(bit) << 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap();
			Network::new(address.masked(prefix), prefix).unwrap()
		});
		prop_oneof![v4, v6]
	}

	fn any_kind() -> impl Strategy<Value = ChangeKind> {
		let indicator = prop_oneof![
			any_network().prop_map(Indicator::from),
			any_network().prop_map(|n| Indicator::Endpoint(Endpoint {
				address: n.address(),
				protocol: Transport::Udp,
				port: 53
			})),
			Just(dns_flow()),
		];
		(indicator, any_network(), 0_u8..6, any::<i32>()).prop_map(|(indicator, network, verb, left)| {
			let expires_at = NOW.saturating_add_signed(left.into());
			match verb {
				0 => ChangeKind::Activated(Decision { expires_at, ..decision(indicator) }),
				1 => ChangeKind::Extended(Decision { expires_at, ..decision(indicator) }),
				2 => ChangeKind::Revoked(indicator),
				3 => ChangeKind::Expired(indicator),
				4 => ChangeKind::Protected(network),
				_ => ChangeKind::Unprotected(network),
			}
		})
	}

	proptest! {
		/// Whatever the chain said before, no block overlaps a protected network or lies within an allowed one.
		#[test]
		fn no_block_touches_what_is_exempt(
			local in proptest::collection::vec(any_network(), 0..3),
			allowed in proptest::collection::vec(any_network(), 0..3),
			kinds in proptest::collection::vec(any_kind(), 1..20),
		) {
			let mut policy = Policy::new(local.clone(), allowed.clone());
			for kind in kinds {
				let decided = policy.decide(&change(kind), NOW);
				prop_assert_eq!(decided.commands.is_empty(), decided.refused.is_some());
				for command in decided.commands {
					let Command::Block { target, timeout_ms, .. } = command else { continue };
					let peer = match target {
						Target::Network(network) => network,
						Target::Endpoint(endpoint) => Network::host(endpoint.address),
					};
					prop_assert!(timeout_ms > 0);
					prop_assert!(!policy.protected().any(|network| network.overlaps(&peer)));
					prop_assert!(local.iter().all(|network| policy.protected().any(|p| p == network)));
					prop_assert!(!allowed.iter().any(|network| network.contains(&peer)));
				}
			}
		}

		/// A refusal is never for nothing.
		#[test]
		fn an_unrelated_peer_is_blocked(peer in any_network()) {
			let mut policy = Policy::new([network("192.0.2.0/24")], []);
			let overlaps = peer.overlaps(&network("192.0.2.0/24"));
			let decided = policy.decide(&change(ChangeKind::Activated(decision(peer.into()))), NOW);
			prop_assert_eq!(decided.refused.is_some(), overlaps);
		}
	}
}
