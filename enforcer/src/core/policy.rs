//! What this gatekeeper does about an indicator: all that is claimed about it in, one command for the firewall out.
//!
//! An indicator may be claimed by several at once: by the chain, by the own provider for its subscribers
//! ([`ringfence_primitives::envelope::TierChange`]) and by the household. They do not take turns: as long as one of them
//! claims it, it is blocked, as the strictest of them says. So what the firewall holds depends on nothing but the
//! claims, the protected networks and the time, and not on the order in which they came.
//!
//! The owner's word goes before all of them: what overlaps a protected network, in either direction, is not blocked at
//! all. What the household lets through is another matter: the firewall looks at that before it looks at blocks, so
//! a block around an allowed host does its work for the others, and once a peer is allowed no longer it is blocked at once.
//!
//! The destination of a flow signature is who is defended. Where that is the home itself ([`Policy::set_home`]), its
//! protection does not keep the flow off: its packets are looked at by their source. But it must either name one, or
//! single out so few packets that the home is not cut off. What else is protected, a name server elsewhere above all, is
//! a peer whichever way packets go, and so is what the chain protects: nobody has traffic to it stopped.
//!
//! # Security considerations
//!
//! Nothing that the chain says can lift a protection that the local configuration gives, and no block outlives its
//! claims (see [`super::ruleset::TIMEOUT_MS`]), however wrong the local clock is.

use super::{
	flow,
	ruleset::{Command, Target},
};
use ringfence_primitives::{Action, Decision, Direction, FlowSignature, Indicator, Millis, Network};
use std::{
	cmp::{Ordering, Reverse},
	collections::BTreeSet,
};

/// Milliseconds before its end at which a claim makes room for one that lasts longer: by then the kernel still has the
/// element, so that there is no gap.
pub const LEAD: Millis = 3_000;

/// The owner's protected networks, and those learned from the chain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
	protected: BTreeSet<Network>,
	home: BTreeSet<Network>,
	learned: BTreeSet<Network>,
}

/// What follows for one indicator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decided {
	/// For the firewall: block it, or leave it alone.
	pub command: Command,
	/// Why it is left alone although somebody claims it.
	pub refused: Option<Refusal>,
	/// When it has to be decided anew by itself, in milliseconds since the Unix epoch: one of several claims ends first.
	pub again_at: Option<Millis>,
}

/// Why a claim is not enforced. None of these is a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
	/// It would block a part, or all, of a network that must never be blocked.
	#[error("overlaps the protected network {0}")]
	Protected(Network),
	/// It is meant to defend what is this gateway's own, and would cut it off.
	#[error("would cut off {0}, which is to be defended")]
	CutsOff(Network),
	/// Its time was up before it got here.
	#[error("expired already")]
	Expired,
}

impl Policy {
	/// A policy with the owner's protected networks, which has learned nothing from the chain yet.
	pub fn new(protected: impl IntoIterator<Item = Network>) -> Self {
		Self { protected: protected.into_iter().collect(), ..Self::default() }
	}

	/// Puts other protected networks in the place of the owner's. What was not protected before, or is no longer.
	pub fn set_protected(&mut self, networks: impl IntoIterator<Item = Network>) -> Vec<Network> {
		let before = std::mem::replace(&mut self.protected, networks.into_iter().collect());
		self.protected.symmetric_difference(&before).copied().collect()
	}

	/// Says which networks are behind this gateway, or it: what is protected within them is defended by a flow to it, not
	/// blocked. Those that were not among them before, or are no longer.
	pub fn set_home(&mut self, networks: impl IntoIterator<Item = Network>) -> Vec<Network> {
		let before = std::mem::replace(&mut self.home, networks.into_iter().collect());
		self.home.symmetric_difference(&before).copied().collect()
	}

	/// What is behind this gateway.
	pub const fn home(&self) -> &BTreeSet<Network> {
		&self.home
	}

	/// Puts other networks in the place of those that the chain protects.
	pub fn set_learned(&mut self, networks: impl IntoIterator<Item = Network>) {
		self.learned = networks.into_iter().collect();
	}

	/// The chain protects `network`.
	pub fn learn(&mut self, network: Network) {
		self.learned.insert(network);
	}

	/// The chain protects `network` no longer. What the owner protects stays so.
	pub fn unlearn(&mut self, network: &Network) {
		self.learned.remove(network);
	}

	/// Every network that must not be blocked, the owner's first.
	pub fn protected(&self) -> impl Iterator<Item = &Network> {
		self.protected.iter().chain(&self.learned)
	}

	/// The owner's protected networks.
	pub const fn owners(&self) -> &BTreeSet<Network> {
		&self.protected
	}

	/// Why `indicator` must not be blocked: the first protected network that it overlaps, in either direction.
	///
	/// A destination may overlap what the owner protects within the home. What the chain protects it may not: that is
	/// protected for everybody, also from those who would stop traffic to it.
	pub fn objection(&self, indicator: &Indicator) -> Option<Refusal> {
		let Indicator::Flow(flow) = indicator else {
			return indicator.overlap(self.protected()).map(Refusal::Protected);
		};
		let source = flow.source.and_then(|source| self.protected().find(|network| network.overlaps(&source)));
		let barred = || {
			let destination = flow.destination?;
			self.protected().find(|network| {
				network.overlaps(&destination) && (self.learned.contains(*network) || !self.is_home(network))
			})
		};
		source.or_else(barred).copied().map(Refusal::Protected).or_else(|| {
			let defended = self.defended(indicator)?;
			let narrow = !Indicator::from(flow.destination?).is_wide();
			(!narrow || !flow::is_specific(flow)).then_some(Refusal::CutsOff(defended))
		})
	}

	fn is_home(&self, network: &Network) -> bool {
		self.home.iter().any(|home| home.contains(network))
	}

	/// What `indicator` asks to defend here: it is a flow without a source, to what the owner protects or is at home.
	fn defended(&self, indicator: &Indicator) -> Option<Network> {
		let Indicator::Flow(FlowSignature { source: None, destination: Some(destination), .. }) = indicator else {
			return None;
		};
		self.protected.iter().chain(&self.home).find(|network| network.overlaps(destination)).copied()
	}

	/// What follows for `indicator` from all that is claimed about it, at `now`, milliseconds since the Unix epoch.
	pub fn settle(&self, indicator: &Indicator, claims: &[Decision], now: Millis) -> Decided {
		let alone = |refused| Decided { command: unblock(indicator), refused, again_at: None };
		match (self.objection(indicator), combine(claims, now)) {
			(Some(refusal), Some(_)) => alone(Some(refusal)),
			(_, None) => alone((!claims.is_empty()).then_some(Refusal::Expired)),
			(None, Some((claim, again_at))) => {
				let home = self.defended(indicator).is_some();
				Decided { command: block(&claim, home, now), refused: None, again_at }
			}
		}
	}
}

/// The one claim that says what all of them say at `now`, and when it no longer does; None: all are over.
fn combine(claims: &[Decision], now: Millis) -> Option<(Decision, Option<Millis>)> {
	let last = claims.iter().map(|claim| claim.expires_at).max().filter(|last| *last > now)?;
	let counts = |claim: &&Decision| claim.expires_at == last || claim.expires_at > now.saturating_add(LEAD);
	let mut counting = claims.iter().filter(counts);
	let mut whole = counting.next()?.clone();
	for claim in counting {
		let severity = whole.severity.max(claim.severity);
		match strictness(&claim.action).cmp(&strictness(&whole.action)) {
			Ordering::Less => {}
			Ordering::Greater => whole = claim.clone(),
			Ordering::Equal => {
				let covers = |one: &Decision, other: &Decision| {
					(one.direction == Direction::Both || one.direction == other.direction)
						&& one.expires_at >= other.expires_at
				};
				if covers(claim, &whole) {
					whole = claim.clone();
				} else if !covers(&whole, claim) {
					whole.direction = Direction::Both;
					whole.expires_at = whole.expires_at.min(claim.expires_at);
				}
			}
		}
		whole.severity = severity;
	}
	let again_at = (whole.expires_at < last).then(|| whole.expires_at.saturating_sub(LEAD));
	Some((whole, again_at))
}

/// Orders ways of acting: drop, then the lower rate, then watch.
fn strictness(action: &Action) -> (u8, Reverse<u32>) {
	match action {
		Action::Drop => (2, Reverse(0)),
		Action::RateLimit(rate) => (1, Reverse(rate.get())),
		Action::Watch => (0, Reverse(0)),
	}
}

/// What the firewall calls an indicator.
enum Peer {
	Target(Target),
	Flow(FlowSignature),
}

fn peer(indicator: &Indicator) -> Peer {
	match indicator {
		Indicator::Host(address) => Peer::Target(Target::Network(Network::host(*address))),
		Indicator::Network(network) => Peer::Target(Target::Network(*network)),
		Indicator::Endpoint(endpoint) => Peer::Target(Target::Endpoint(*endpoint)),
		Indicator::Flow(flow) => Peer::Flow(*flow),
	}
}

fn block(claim: &Decision, home: bool, now: Millis) -> Command {
	let timeout_ms = claim.expires_at.saturating_sub(now);
	let Decision { direction, action, severity, .. } = *claim;
	match peer(&claim.indicator) {
		Peer::Target(target) => Command::Block { target, direction, action, timeout_ms },
		Peer::Flow(flow) => Command::BlockFlow { flow, action, severity, home, timeout_ms },
	}
}

fn unblock(indicator: &Indicator) -> Command {
	match peer(indicator) {
		Peer::Target(target) => Command::Unblock { target },
		Peer::Flow(flow) => Command::UnblockFlow { flow },
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;
	use ringfence_primitives::{
		Address, Confidence, Endpoint, PacketRate, PortRange, Severity, ThreatClass, Transport,
	};

	const NOW: Millis = 1_800_000_000_000;

	fn network(text: &str) -> Network {
		text.parse().unwrap()
	}

	fn indicator(text: &str) -> Indicator {
		network(text).into()
	}

	fn claim(indicator: &Indicator) -> Decision {
		Decision {
			indicator: indicator.clone(),
			direction: Direction::Both,
			action: Action::Drop,
			threat: ThreatClass::Botnet,
			severity: Severity::High,
			confidence: Confidence::MAX,
			expires_at: NOW + 60_000,
		}
	}

	fn policy() -> Policy {
		Policy::new([network("192.0.2.0/24")])
	}

	fn settled(text: &str) -> Decided {
		policy().settle(&indicator(text), &[claim(&indicator(text))], NOW)
	}

	/// What the firewall is told about 203.0.113.9, and when to look again.
	fn together(claims: &[Decision], now: Millis) -> (Option<(Direction, Action, Millis)>, Option<Millis>) {
		let decided = policy().settle(&indicator("203.0.113.9"), claims, now);
		match decided.command {
			Command::Block { direction, action, timeout_ms, .. } => {
				(Some((direction, action, now + timeout_ms)), decided.again_at)
			}
			Command::Unblock { .. } => (None, decided.again_at),
			other => panic!("{other:?}"),
		}
	}

	fn dns_flow() -> Indicator {
		let destination = Some(network("203.0.113.0/24"));
		Indicator::Flow(FlowSignature { protocol: Some(17), destination, ..Default::default() }.check().unwrap())
	}

	#[test]
	fn a_claim_blocks_for_the_time_that_is_left() {
		let peer = indicator("203.0.113.9");
		let decided = policy().settle(&peer, &[claim(&peer)], NOW + 59_000);
		let command = Command::Block {
			target: Target::Network(network("203.0.113.9")),
			direction: Direction::Both,
			action: Action::Drop,
			timeout_ms: 1_000,
		};
		assert_eq!(decided, Decided { command, refused: None, again_at: None });
	}

	#[test]
	fn what_is_over_is_not_begun() {
		let peer = indicator("203.0.113.9");
		for now in [NOW + 60_000, Millis::MAX] {
			let decided = policy().settle(&peer, &[claim(&peer)], now);
			assert_eq!(decided.refused, Some(Refusal::Expired));
			assert_eq!(decided.command, Command::Unblock { target: Target::Network(network("203.0.113.9")) });
		}
	}

	#[test]
	fn what_nobody_claims_is_left_alone() {
		let decided = policy().settle(&indicator("203.0.113.9"), &[], NOW);
		assert_eq!(decided.command, Command::Unblock { target: Target::Network(network("203.0.113.9")) });
		assert_eq!((decided.refused, decided.again_at), (None, None));
	}

	#[test]
	fn flows_are_blocked_as_flows() {
		let flow = dns_flow();
		let decided = policy().settle(&flow, &[claim(&flow)], NOW);
		let Command::BlockFlow { severity, timeout_ms, .. } = decided.command else { panic!("a flow") };
		assert_eq!((severity, timeout_ms), (Severity::High, 60_000));
		assert!(matches!(policy().settle(&flow, &[], NOW).command, Command::UnblockFlow { .. }));
	}

	/// A policy of a gateway whose home is 192.0.2.0/24, with a name server elsewhere.
	fn at_home() -> Policy {
		let mut policy = Policy::new([network("192.0.2.0/24"), network("198.51.100.53")]);
		assert_eq!(policy.set_home([network("192.0.2.0/24")]), [network("192.0.2.0/24")]);
		policy
	}

	/// DNS answers to `destination`, from anywhere or from `source`.
	fn answers(source: Option<&str>, destination: &str) -> FlowSignature {
		FlowSignature {
			protocol: Some(17),
			source: source.map(network),
			destination: Some(network(destination)),
			source_ports: PortRange::new(53, 53),
			..Default::default()
		}
	}

	fn home_of(policy: &Policy, flow: FlowSignature) -> Result<bool, Option<Refusal>> {
		let flow = Indicator::Flow(flow.check().unwrap());
		let decided = policy.settle(&flow, &[claim(&flow)], NOW);
		match decided.command {
			Command::BlockFlow { home, .. } => Ok(home),
			_ => Err(decided.refused),
		}
	}

	#[test]
	fn a_flow_to_the_home_defends_it_here_and_everywhere() {
		let policy = at_home();
		for destination in ["192.0.2.0/24", "192.0.2.9"] {
			assert_eq!(home_of(&policy, answers(None, destination)), Ok(true), "{destination}");
			assert_eq!(
				home_of(&policy, answers(Some("203.0.113.9"), destination)),
				Ok(false),
				"the source is the peer"
			);
		}
		assert_eq!(home_of(&policy, answers(None, "203.0.113.0/24")), Ok(false), "somebody else's");
	}

	#[test]
	fn a_flow_that_would_cut_the_home_off_is_refused() {
		let policy = at_home();
		let whole = FlowSignature { source_ports: None, ..answers(None, "192.0.2.9") };
		let vague = FlowSignature { source_ports: PortRange::new(1_024, 65_535), ..whole };
		let wide = answers(None, "192.0.0.0/16");
		let bare = FlowSignature { protocol: None, ..whole };
		for flow in [whole, vague, wide, bare] {
			assert_eq!(home_of(&policy, flow), Err(Some(Refusal::CutsOff(network("192.0.2.0/24")))), "{flow}");
		}
		let elsewhere = FlowSignature { destination: Some(network("203.0.113.0/24")), ..whole };
		assert_eq!(home_of(&policy, elsewhere), Ok(false), "what the chain decided about others is its own affair");
	}

	#[test]
	fn protected_peers_stay_protected_from_flows_as_source_and_as_destination() {
		let mut policy = at_home();
		policy.learn(network("203.0.113.53"));
		let refused = |flow, by: &str| {
			assert_eq!(home_of(&policy, flow), Err(Some(Refusal::Protected(network(by)))), "{flow}");
		};
		refused(answers(Some("198.51.100.53"), "192.0.2.9"), "198.51.100.53");
		refused(answers(Some("203.0.113.0/24"), "192.0.2.9"), "203.0.113.53");
		refused(answers(Some("192.0.2.9"), "203.0.113.9"), "192.0.2.0/24");
		refused(answers(None, "198.51.100.0/24"), "198.51.100.53");
		refused(answers(None, "203.0.113.53"), "203.0.113.53");
		refused(answers(Some("203.0.113.9"), "203.0.113.53"), "203.0.113.53");
		policy.learn(network("192.0.2.1"));
		let by_the_chain = Err(Some(Refusal::Protected(network("192.0.2.1"))));
		assert_eq!(home_of(&policy, answers(None, "192.0.2.0/24")), by_the_chain, "protected for everybody");
	}

	#[test]
	fn protected_networks_are_refused_in_both_directions_of_overlap() {
		let refusal = Some(Refusal::Protected(network("192.0.2.0/24")));
		for peer in ["192.0.2.1", "192.0.2.0/24", "192.0.0.0/16", "0.0.0.0/0"] {
			assert_eq!(settled(peer).refused, refusal, "{peer}");
			assert!(matches!(settled(peer).command, Command::Unblock { .. }), "{peer}");
		}
		for peer in ["192.0.3.1", "::/0"] {
			assert_eq!(settled(peer).refused, None, "{peer}");
		}
	}

	#[test]
	fn an_endpoint_is_as_protected_as_its_host() {
		let refused = |address: &str| {
			let address: Address = address.parse().unwrap();
			let peer = Indicator::Endpoint(Endpoint { address, protocol: Transport::Tcp, port: 443 });
			policy().settle(&peer, &[claim(&peer)], NOW).refused
		};
		assert!(matches!(refused("192.0.2.1"), Some(Refusal::Protected(_))));
		assert_eq!(refused("203.0.113.9"), None);
	}

	#[test]
	fn protection_by_the_chain_counts_until_it_is_lifted() {
		let mut policy = policy();
		let (shielded, peer) = (network("203.0.113.0/24"), indicator("203.0.113.9"));
		policy.learn(shielded);
		let refused = |policy: &Policy| policy.settle(&peer, &[claim(&peer)], NOW).refused;
		assert_eq!(refused(&policy), Some(Refusal::Protected(shielded)));
		policy.unlearn(&shielded);
		assert_eq!(refused(&policy), None);
	}

	#[test]
	fn the_chain_cannot_lift_a_local_protection() {
		let mut policy = policy();
		policy.unlearn(&network("192.0.2.0/24"));
		policy.set_learned([]);
		let peer = indicator("192.0.2.1");
		assert!(policy.settle(&peer, &[claim(&peer)], NOW).refused.is_some());
	}

	#[test]
	fn what_changed_is_told_when_the_owners_list_is_replaced() {
		let mut policy = policy();
		let other = network("198.51.100.0/24");
		assert_eq!(policy.set_protected([other]), [network("192.0.2.0/24"), other]);
		assert!(policy.set_protected([other]).is_empty());
	}

	#[test]
	fn the_first_end_of_several_claims_does_not_unblock() {
		let peer = indicator("203.0.113.9");
		let (short, long) = (claim(&peer), Decision { expires_at: NOW + 90_000, ..claim(&peer) });
		for claims in [[short.clone(), long.clone()], [long.clone(), short.clone()]] {
			let expected = (Direction::Both, Action::Drop, NOW + 90_000);
			assert_eq!(together(&claims, NOW), (Some(expected), None));
			assert_eq!(together(&claims, NOW + 70_000), (Some(expected), None));
		}
	}

	#[test]
	fn the_strictest_claim_counts_and_makes_room_before_the_kernel_forgets_it() {
		let peer = indicator("203.0.113.9");
		let drop = claim(&peer);
		let watch = Decision { action: Action::Watch, expires_at: NOW + 90_000, ..claim(&peer) };
		let slow = Decision { action: Action::RateLimit(PacketRate::MIN), ..watch.clone() };
		let fast = Decision { action: Action::RateLimit(PacketRate::MAX), ..watch.clone() };
		let dropped = (Direction::Both, Action::Drop, NOW + 60_000);
		let again = NOW + 60_000 - LEAD;
		assert_eq!(together(&[watch.clone(), drop.clone()], NOW), (Some(dropped), Some(again)));
		let watched = (Direction::Both, Action::Watch, NOW + 90_000);
		assert_eq!(together(&[watch.clone(), drop], again), (Some(watched), None));
		let limited = (Direction::Both, slow.action, NOW + 90_000);
		assert_eq!(together(&[watch, fast, slow], NOW), (Some(limited), None));
	}

	#[test]
	fn two_directions_make_both_for_as_long_as_both_are_claimed() {
		let peer = indicator("203.0.113.9");
		let inbound = Decision { direction: Direction::Inbound, ..claim(&peer) };
		let outbound = Decision { direction: Direction::Outbound, expires_at: NOW + 90_000, ..claim(&peer) };
		let again = NOW + 60_000 - LEAD;
		let both = (Direction::Both, Action::Drop, NOW + 60_000);
		assert_eq!(together(&[inbound.clone(), outbound.clone()], NOW), (Some(both), Some(again)));
		let one = (Direction::Outbound, Action::Drop, NOW + 90_000);
		assert_eq!(together(&[inbound, outbound], again), (Some(one), None));
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

	fn any_claim() -> impl Strategy<Value = Decision> {
		(0_u8..3, 0_u8..3, 1_u64..200).prop_map(|(direction, action, seconds)| Decision {
			direction: [Direction::Inbound, Direction::Outbound, Direction::Both][usize::from(direction)],
			action: [Action::Drop, Action::RateLimit(PacketRate::MIN), Action::Watch][usize::from(action)],
			expires_at: NOW + seconds * 1_000,
			..claim(&indicator("203.0.113.9"))
		})
	}

	proptest! {
		/// No block overlaps a protected network, and a refusal is never for nothing.
		#[test]
		fn blocks_and_protections_do_not_overlap(
			local in proptest::collection::vec(any_network(), 0..3),
			learned in proptest::collection::vec(any_network(), 0..3),
			peer in any_network(),
		) {
			let mut policy = Policy::new(local.clone());
			policy.set_learned(learned.clone());
			let peer_indicator = Indicator::from(peer);
			let decided = policy.settle(&peer_indicator, &[claim(&peer_indicator)], NOW);
			let overlaps = local.iter().chain(&learned).any(|network| network.overlaps(&peer));
			prop_assert_eq!(decided.refused.is_some(), overlaps);
			prop_assert_eq!(matches!(decided.command, Command::Block { .. }), !overlaps);
		}

		/// However many claims there are: looked at again whenever it says so, the peer is blocked until the last of them
		/// ends, without a gap, and never longer.
		#[test]
		fn a_peer_is_blocked_exactly_as_long_as_anybody_claims_it(
			claims in proptest::collection::vec(any_claim(), 1..5),
		) {
			let last = claims.iter().map(|claim| claim.expires_at).max().unwrap();
			let mut now = NOW;
			for _ in 0..10 {
				let (held, again) = together(&claims, now);
				let (_, action, until) = held.unwrap();
				prop_assert!(until <= last && until > now);
				let counting = claims.iter().filter(|c| c.expires_at == last || c.expires_at > now + LEAD);
				let strictest = counting.max_by_key(|c| strictness(&c.action)).unwrap();
				prop_assert_eq!(action, strictest.action);
				match again {
					None => {
						prop_assert_eq!(until, last);
						break;
					}
					Some(again) => {
						prop_assert!(again >= now && again < until);
						now = again;
					}
				}
			}
			prop_assert_eq!(together(&claims, last).0, None);
		}
	}
}
