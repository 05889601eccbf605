//! What an ISP has seen for itself, for as long as that counts when it votes.
//!
//! Sensors see one attacker thousands of times; here each is remembered once, with when it was seen last. An ISP has seen
//! what is proposed if what it saw covers it: the host that it saw, an endpoint of that host, a flow from it; but not the
//! network around it, nor all of a host of which it saw one endpoint.
//!
//! # Security considerations
//!
//! Strangers choose what a sensor sees, and a household what it writes. So only proven findings belong here
//! ([`super::report::Finding::is_proven`]), and letters that the inbox accepted; and the memory is bounded: who floods
//! it makes it forget what was seen longest ago, and a vote is left to a person that could have been cast.

use super::flow;
use ringfence_primitives::{FlowSignature, Indicator, Millis, Network};
use std::collections::{BTreeMap, BTreeSet};

/// Hosts, networks and endpoints remembered at most: about 4 MB.
pub const MAX_PEERS: usize = 16_384;
/// Flow signatures remembered at most: each is held against every flow that is proposed.
pub const MAX_FLOWS: usize = 512;

/// Names with the time when they were last seen; the oldest are forgotten first.
#[derive(Debug)]
struct Memory<K> {
	capacity: usize,
	times: BTreeMap<K, Millis>,
	order: BTreeSet<(Millis, K)>,
}

impl<K: Ord + Clone> Memory<K> {
	const fn new(capacity: usize) -> Self {
		Self { capacity, times: BTreeMap::new(), order: BTreeSet::new() }
	}

	fn insert(&mut self, key: &K, now: Millis) {
		if let Some(before) = self.times.insert(key.clone(), now) {
			self.order.remove(&(before, key.clone()));
		}
		self.order.insert((now, key.clone()));
		while self.times.len() > self.capacity {
			let Some((_, oldest)) = self.order.pop_first() else { break };
			self.times.remove(&oldest);
		}
	}
}

/// What an ISP has seen for itself.
#[derive(Debug)]
pub struct Sightings {
	peers: Memory<Indicator>,
	flows: Memory<FlowSignature>,
}

impl Default for Sightings {
	fn default() -> Self {
		Self { peers: Memory::new(MAX_PEERS), flows: Memory::new(MAX_FLOWS) }
	}
}

impl Sightings {
	/// `indicator` was seen, at `now`.
	pub fn saw(&mut self, indicator: &Indicator, now: Millis) {
		match indicator {
			Indicator::Flow(flow) => self.flows.insert(flow, now),
			peer => self.peers.insert(peer, now),
		}
	}

	/// When all that `indicator` names was last seen, by itself or within something wider.
	pub fn last(&self, indicator: &Indicator) -> Option<Millis> {
		let within = match indicator {
			Indicator::Host(address) => Some(Network::host(*address)),
			Indicator::Network(network) => Some(*network),
			Indicator::Endpoint(endpoint) => Some(Network::host(endpoint.address)),
			Indicator::Flow(flow) => flow.source,
		};
		let around = within.into_iter().flat_map(|network| {
			let wider = move |prefix| Network::new(network.address().masked(prefix), prefix).ok();
			(0..=network.prefix()).filter_map(wider)
		});
		let around = around.filter_map(|network| self.peers.times.get(&Indicator::from(network)));
		let alike: Option<&Millis> = match indicator {
			Indicator::Flow(flow) => {
				let seen = self.flows.times.iter().filter(|(seen, _)| flow::covers(seen, flow));
				seen.map(|(_, at)| at).max()
			}
			peer => self.peers.times.get(peer),
		};
		around.chain(alike).max().copied()
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_primitives::{Endpoint, PortRange, Transport};

	fn peer(text: &str) -> Indicator {
		text.parse::<Network>().unwrap().into()
	}

	fn endpoint(address: &str, port: u16) -> Indicator {
		Indicator::Endpoint(Endpoint { address: address.parse().unwrap(), protocol: Transport::Tcp, port })
	}

	fn flow(source: Option<&str>, ports: Option<PortRange>) -> Indicator {
		Indicator::Flow(FlowSignature {
			protocol: Some(17),
			source: source.map(|text| text.parse().unwrap()),
			destination: Some("192.0.2.0/24".parse().unwrap()),
			source_ports: ports,
			..Default::default()
		})
	}

	#[test]
	fn what_lies_within_what_was_seen_was_seen() {
		let mut seen = Sightings::default();
		seen.saw(&peer("203.0.113.9"), 5);
		seen.saw(&peer("198.51.100.0/24"), 6);
		seen.saw(&endpoint("203.0.113.66", 23), 7);
		for (indicator, at) in [
			(peer("203.0.113.9"), 5),
			(endpoint("203.0.113.9", 23), 5),
			(flow(Some("203.0.113.9"), None), 5),
			(peer("198.51.100.77"), 6),
			(peer("198.51.100.64/26"), 6),
			(endpoint("203.0.113.66", 23), 7),
		] {
			assert_eq!(seen.last(&indicator), Some(at), "{indicator}");
		}
		for unseen in [
			peer("203.0.113.0/24"),
			peer("203.0.113.10"),
			peer("203.0.113.66"),
			endpoint("203.0.113.66", 22),
			peer("198.51.0.0/16"),
			flow(None, None),
		] {
			assert_eq!(seen.last(&unseen), None, "{unseen}");
		}
	}

	#[test]
	fn a_flow_was_seen_if_a_signature_that_covers_it_was() {
		let mut seen = Sightings::default();
		seen.saw(&flow(None, PortRange::new(50, 60)), 5);
		assert_eq!(seen.last(&flow(None, PortRange::new(53, 53))), Some(5));
		assert_eq!(seen.last(&flow(None, PortRange::new(53, 70))), None);
		assert_eq!(seen.last(&flow(None, None)), None);
	}

	#[test]
	fn the_newest_time_counts() {
		let mut seen = Sightings::default();
		seen.saw(&peer("203.0.113.0/24"), 9);
		seen.saw(&peer("203.0.113.9"), 5);
		seen.saw(&peer("203.0.113.9"), 7);
		assert_eq!(seen.last(&peer("203.0.113.9")), Some(9));
		seen.saw(&peer("203.0.113.9"), 11);
		assert_eq!(seen.last(&peer("203.0.113.9")), Some(11));
	}

	#[test]
	fn the_oldest_are_forgotten_first_and_memory_is_bounded() {
		let mut seen = Sightings::default();
		let host = |number: usize| {
			let [_, a, b, c] = u32::try_from(number).unwrap().to_be_bytes();
			Indicator::Host(ringfence_primitives::Address::V4([198, a, b, c]))
		};
		for number in 0..MAX_PEERS {
			seen.saw(&host(number), number as Millis);
		}
		seen.saw(&host(0), 1_000_000);
		seen.saw(&host(MAX_PEERS), 1_000_001);
		assert_eq!((seen.peers.times.len(), seen.peers.order.len()), (MAX_PEERS, MAX_PEERS));
		assert_eq!(seen.last(&host(1)), None);
		assert_eq!(seen.last(&host(0)), Some(1_000_000), "seen again since");
		for port in 0..=MAX_FLOWS as u16 {
			seen.saw(&flow(None, PortRange::new(port, port)), 1);
		}
		assert_eq!(seen.flows.times.len(), MAX_FLOWS);
	}
}
