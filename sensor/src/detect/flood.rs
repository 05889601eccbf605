//! What the flood detectors share: who is flooded, since when and how hard, and what the flood looks like.
//!
//! Each address that matching packets go to has a leaky bucket. What it gets beyond a rate fills it, and where half a second's
//! worth stands in it, headers are collected until there is enough to learn a flow signature from. The rate is the one that is
//! set, or some times what the address usually gets. So that a flood spread over a whole network is seen too, the network
//! (/24, /64) has a bucket of its own, into which no address puts more than what it may get itself.
//!
//! # Security considerations
//!
//! Sources are forged unless a handshake says otherwise: they are counted, and named only where the packets that were
//! collected are proven to be theirs. Who floods slowly at first can raise what is usual, so that counts up to [`MOST`] times
//! the set rate only. Victims, collections and conversations have fixed places; a victim is kept before one that gets less.

use super::{About, Detector, Seen, Setting, Side, Values};
use crate::{
	finding::{Audience, Finding, Sample, MAX_SAMPLES},
	learn::{learn, matches, Background, Learned},
	packet::{protocol, Packet},
	sketch::{Distinct, Secret, Table, Weighty},
};
use ringfence_primitives::{Address, FlowSignature, Indicator, Millis, Network, Note, Severity, ThreatClass};
use std::{cmp::Reverse, collections::BTreeMap};

/// Addresses and networks that are watched at once.
const VICTIMS: usize = 512;
/// Milliseconds after which a victim that gets nothing may be forgotten.
const MEMORY: Millis = 120_000;
/// How many times the set rate the usual one can make of it.
const MOST: u64 = 16;
/// Milliseconds over which the usual rate is averaged.
const USUAL: Millis = 60_000;
/// Milliseconds before a flood whose packets count for neither side: it may have begun with less.
const HEAD_START: Millis = 1_000;
/// Milliseconds over which a rate is measured.
const WINDOW: Millis = 1_000;
/// Packets that are looked at, at the least, before anything is called a flood: under sampling each stands for many.
const LEAST_PACKETS: u64 = 8;

/// Victims of which headers are collected at the same time.
const COLLECTIONS: usize = 4;
/// Headers that are collected at most.
const COLLECTED: usize = 1_024;
/// Headers that are enough to learn from.
const ENOUGH: usize = 512;
/// Headers below which it was a burst, and is over.
const LEAST_SAMPLES: usize = 16;
/// Milliseconds after which fewer have to be enough.
const PATIENCE: Millis = 1_000;
/// Milliseconds after which a collection is given up whose victim was forgotten.
const ABANDONED: Millis = 5_000;

/// Milliseconds from one finding to the next about the same flood.
const REPEAT: Millis = 30_000;
/// Milliseconds below half of the rate after which a flood is over.
const CALM: Millis = 10_000;
/// How many times its rate makes a flood critical.
const CRITICAL: u64 = 10;
/// Sources that are few.
const FEW: usize = 16;
/// Sources that are named at most at one time.
const MOST_HOSTS: usize = 64;
/// Proven packets of a source without which it is not named.
const LEAST_PROVEN: usize = 8;

/// Conversations that are remembered.
const CONVERSATIONS: usize = 4_096;
/// Answers that make a conversation.
const ANSWERS: u32 = 8;
/// Packets of one side that one answer of the other is enough for.
const PATIENT: u32 = 256;
/// Seconds of silence after which a conversation is over.
const IDLE: u32 = 30;

/// The setting for the packets a second that one address may get.
pub(super) const fn rate(default: u64) -> Setting {
	Setting {
		name: "rate",
		default,
		least: 10,
		most: 10_000_000,
		meaning: "packets a second to one address that are no flood yet",
	}
}

/// The setting for the packets a second that the addresses of one network may get together.
pub(super) const fn network_rate(default: u64) -> Setting {
	Setting {
		name: "network-rate",
		default,
		least: 10,
		most: 10_000_000,
		meaning: "packets a second to all addresses of a /24 or /64 that are no flood yet",
	}
}

/// The setting for how far above the usual a flood is.
pub(super) const FACTOR: Setting = Setting {
	name: "factor",
	default: 4,
	least: 1,
	most: 100,
	meaning: "times the usual rate that are no flood yet, where that is more than the rate set",
};

/// Whether a packet is UDP.
pub(super) fn is_udp(packet: &Packet<'_>) -> bool {
	packet.protocol == protocol::UDP
}

/// Whether a packet is GRE.
pub(super) fn is_gre(packet: &Packet<'_>) -> bool {
	packet.protocol == protocol::GRE
}

/// Whom packets are counted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Subject {
	/// Who at home they go to.
	Destination,
	/// The device at home that they come from.
	Source,
}

/// When sources are named, of those that are proven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hosts {
	/// Where few of them make up the flood, instead of a flow signature.
	Few,
	/// Those that send more than a rate of their own, and there is never a flow signature.
	Only,
}

/// What makes one flood detector different from the others.
pub(super) struct Kind {
	/// What there is to know about it.
	pub about: &'static About,
	/// What it finds.
	pub threat: ThreatClass,
	/// Whom packets are counted for.
	pub subject: Subject,
	/// Whether a packet is one that it counts. Called for each that goes the subject's way.
	pub takes: fn(&Seen<'_>) -> bool,
	/// Whether a packet that goes the other way shows that both sides talk with each other. What belongs to such a
	/// conversation is not counted.
	pub answers: Option<fn(&Packet<'_>) -> bool>,
	/// Whether a conversation is one of ports, or of addresses.
	pub with_ports: bool,
	/// Milliseconds of the rate that may come on top of it in a burst.
	pub burst: Millis,
	/// When sources are named.
	pub hosts: Hosts,
	/// Whether each source port is a flood of its own.
	pub by_source_port: bool,
}

impl Kind {
	/// A flood of packets to an address at home, each counted.
	pub const fn new(about: &'static About, takes: fn(&Seen<'_>) -> bool) -> Self {
		Self {
			about,
			threat: ThreatClass::DenialOfService,
			subject: Subject::Destination,
			takes,
			answers: None,
			with_ports: true,
			burst: 500,
			hosts: Hosts::Few,
			by_source_port: false,
		}
	}

	/// A detector of this kind.
	pub fn make(&'static self, values: &Values<'_>, secret: &Secret) -> Box<dyn Detector> {
		Box::new(Flood::new(self, values, secret))
	}
}

struct Limits {
	rate: u64,
	network_rate: u64,
	factor: u64,
	source_rate: u64,
	burst: Millis,
}

impl Limits {
	/// Packets a second that `key` may get.
	fn of(&self, key: Network, usual: u64) -> u64 {
		let set = if is_host(key) { self.rate } else { self.network_rate };
		(usual / 1_000).saturating_mul(self.factor).clamp(set, set.saturating_mul(MOST))
	}
}

fn is_host(network: Network) -> bool {
	network.prefix() == network.address().bits()
}

/// The /24 or /64 around an address.
fn neighbourhood(address: Address) -> Network {
	let prefix = match address {
		Address::V4(_) => 24,
		Address::V6(_) => 64,
	};
	// Neither refusal can happen: the prefix fits, and no bits are set behind it.
	Network::new(address.masked(prefix), prefix).unwrap_or(Network::host(address))
}

/// The narrowest network that all `samples` go to; None where there are none, or of both families.
fn common(samples: &[Sample]) -> Option<Network> {
	let first = samples.first()?.destination;
	let mut network = Network::host(first);
	for sample in samples {
		let host = Network::host(sample.destination);
		while !network.contains(&host) {
			let prefix = network.prefix().checked_sub(1)?;
			network = Network::new(first.masked(prefix), prefix).ok()?;
		}
	}
	Some(network)
}

/// The part of `whole` that `part` is of `all`.
fn share(whole: u64, part: usize, all: usize) -> u64 {
	let share = u128::from(whole) * part as u128 / all.max(1) as u128;
	// A part is no more than its whole.
	u64::try_from(share).unwrap_or(whole)
}

/// How far a flood has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
	/// There is none.
	#[default]
	Quiet,
	/// Headers are wanted, and no collection is free.
	Waiting,
	/// Headers are collected.
	Collecting,
	/// It was looked at, and goes on.
	Reported,
}

/// What an address or a network gets.
#[derive(Default)]
struct Victim {
	/// What stands in the bucket, in thousandths of a packet.
	level: u64,
	/// When the bucket last leaked.
	leaked: Millis,
	/// When the bucket was last empty: a flood's first packet.
	risen: Millis,
	/// Packets since then, their octets, and the hashes of who is on the other side.
	packets: u64,
	bytes: u64,
	peers: Distinct,
	last_seen: Millis,
	sampling: u32,
	/// Packets of the window, and when it began.
	window: u64,
	window_begun: Millis,
	/// Packets a second in the last whole window.
	rate: u64,
	/// The same in quiet times, slowly averaged, in thousandths.
	usual: u64,
	state: State,
	/// When something was last said about it; 0: never.
	reported: Millis,
	calm_since: Option<Millis>,
	learned: Vec<Learned>,
}

impl Weighty for Victim {
	fn weight(&self) -> u64 {
		match self.state {
			State::Quiet => self.window.saturating_add(self.rate).saturating_add(self.level / 1_000),
			_ => u64::MAX,
		}
	}
}

impl Victim {
	fn leak(&mut self, now: Millis, limit: u64) {
		// A packet a second is a thousandth of a packet a millisecond.
		self.level = self.level.saturating_sub(now.saturating_sub(self.leaked).saturating_mul(limit));
		self.leaked = now;
	}

	/// Takes in a packet, and where it is one to `count` fills the bucket. Whether there was room in it.
	fn take(&mut self, seen: &Seen<'_>, peer: u64, limit: u64, burst: Millis, count: bool) -> bool {
		let weight = u64::from(seen.weight);
		self.leak(seen.now, limit);
		if self.level == 0 && self.state == State::Quiet {
			self.risen = seen.now;
			(self.packets, self.bytes, self.sampling) = (0, 0, 1);
			self.peers.clear();
		}
		if self.window_begun == 0 {
			self.window_begun = seen.now;
		}
		self.window = self.window.saturating_add(weight);
		self.packets = self.packets.saturating_add(weight);
		self.bytes = self.bytes.saturating_add(weight.saturating_mul(u64::from(seen.packet.length)));
		self.peers.insert(peer);
		self.last_seen = seen.now;
		self.sampling = self.sampling.max(seen.weight);
		if !count {
			return true;
		}
		let full = limit.saturating_mul(burst).max(weight.saturating_mul(1_000 * LEAST_PACKETS));
		let level = self.level.saturating_add(weight.saturating_mul(1_000));
		self.level = level.min(full);
		if level > full && self.state == State::Quiet {
			self.state = State::Waiting;
		}
		level <= full
	}

	/// Lets time pass.
	fn settle(&mut self, now: Millis, limit: u64) {
		self.leak(now, limit);
		let elapsed = now.saturating_sub(self.window_begun);
		if elapsed < WINDOW {
			return;
		}
		self.rate = self.window.saturating_mul(1_000) / elapsed;
		(self.window, self.window_begun) = (0, now);
		if self.state == State::Quiet {
			// What is above the limit is not usual, though it is not yet known for a flood.
			let (new, part) = (self.rate.min(limit).saturating_mul(1_000), elapsed.min(USUAL));
			let old = self.usual.saturating_mul(USUAL - part);
			self.usual = old.saturating_add(new.saturating_mul(part)) / USUAL;
		} else if self.rate.saturating_mul(2) < limit {
			self.calm_since.get_or_insert(now);
		} else {
			self.calm_since = None;
		}
	}

	/// Packets a second of the flood: of all of it at first, later of the last second.
	fn pace(&self) -> u64 {
		match self.reported {
			0 => self.packets.saturating_mul(1_000) / self.last_seen.saturating_sub(self.risen).max(100),
			_ => self.rate,
		}
	}

	/// Forgets the flood; what is usual stays.
	fn end(&mut self) {
		(self.state, self.level, self.reported, self.calm_since) = (State::Quiet, 0, 0, None);
		self.learned.clear();
	}
}

/// Headers of packets to one victim.
struct Collection {
	/// Whose; None: free.
	key: Option<Network>,
	begun: Millis,
	samples: Vec<Sample>,
	/// For each header whether its source is proven.
	proven: Vec<bool>,
}

impl Collection {
	fn new() -> Self {
		Self { key: None, begun: 0, samples: Vec::with_capacity(COLLECTED), proven: Vec::with_capacity(COLLECTED) }
	}

	fn begin(&mut self, key: Network, now: Millis) {
		self.free();
		(self.key, self.begun) = (Some(key), now);
	}

	fn free(&mut self) {
		self.key = None;
		self.samples.clear();
		self.proven.clear();
	}

	fn push(&mut self, seen: &Seen<'_>) {
		if self.samples.len() < COLLECTED {
			self.samples.push(Sample::of(seen.packet, seen.now));
			self.proven.push(seen.proven);
		}
	}

	fn is_complete(&self, now: Millis) -> bool {
		self.samples.len() >= ENOUGH || now.saturating_sub(self.begun) >= PATIENCE
	}
}

/// Who talks with whom: both sides send, so neither floods the other. Newer ones take the place of older ones.
struct Conversations(Box<[Conversation]>);

#[derive(Clone, Copy, Default)]
struct Conversation {
	/// 32 bits of the hash.
	tag: u32,
	/// Second of the last answer; 0: never.
	second: u32,
	answers: u32,
	asked: u32,
}

impl Conversations {
	fn new() -> Self {
		Self(vec![Conversation::default(); CONVERSATIONS].into_boxed_slice())
	}

	/// The hash of who talks: of keyed hashes, so nobody outside can aim at it.
	fn hash(seen: &Seen<'_>, with_ports: bool) -> u64 {
		let (source, destination) = match seen.packet.ports() {
			Some(ports) if with_ports => ports,
			_ => (0, 0),
		};
		let (home, peer, home_port, peer_port) = match seen.side {
			Side::Outbound => (seen.source, seen.destination, source, destination),
			_ => (seen.destination, seen.source, destination, source),
		};
		let ports = (u64::from(home_port) << 16) | u64::from(peer_port);
		// Any odd number with bits all over it spreads the ports.
		home ^ peer.rotate_left(32) ^ ports.wrapping_mul(0x9e37_79b9_7f4a_7c15)
	}

	fn place(hash: u64, now: Millis) -> (usize, u32, u32) {
		// The low bits say where, the high ones who. Seconds fit until the year 2106.
		(hash as usize % CONVERSATIONS, (hash >> 32) as u32, u32::try_from(now / 1_000).unwrap_or(u32::MAX).max(1))
	}

	fn answered(&mut self, hash: u64, now: Millis) {
		let (place, tag, second) = Self::place(hash, now);
		let Some(slot) = self.0.get_mut(place) else { return };
		if slot.tag != tag || slot.second == 0 || second.saturating_sub(slot.second) > IDLE {
			*slot = Conversation { tag, ..Conversation::default() };
		}
		slot.second = second;
		slot.answers = slot.answers.saturating_add(1);
		// What was long ago counts less and less.
		if slot.answers >= ANSWERS * PATIENT {
			(slot.answers, slot.asked) = (slot.answers / 2, slot.asked / 2);
		}
	}

	/// Takes in a packet that may be a flood's: whether it belongs to a conversation.
	fn asked(&mut self, hash: u64, now: Millis) -> bool {
		let (place, tag, second) = Self::place(hash, now);
		let Some(slot) = self.0.get_mut(place) else { return false };
		if slot.tag != tag || slot.answers < ANSWERS || second.saturating_sub(slot.second) > IDLE {
			return false;
		}
		if slot.asked > slot.answers.saturating_mul(PATIENT) {
			return false;
		}
		slot.asked = slot.asked.saturating_add(1);
		true
	}
}

/// A flood detector of any kind.
struct Flood {
	kind: &'static Kind,
	limits: Limits,
	secret: Secret,
	victims: Table<Network, Victim>,
	collections: Vec<Collection>,
	conversations: Option<Conversations>,
}

impl Flood {
	fn new(kind: &'static Kind, values: &Values<'_>, secret: &Secret) -> Self {
		Self {
			kind,
			limits: Limits {
				rate: values.get("rate"),
				network_rate: values.get("network-rate"),
				factor: values.get("factor"),
				source_rate: values.get("source-rate"),
				burst: kind.burst,
			},
			secret: secret.clone(),
			victims: Table::new(VICTIMS, MEMORY),
			collections: (0..COLLECTIONS).map(|_| Collection::new()).collect(),
			conversations: kind.answers.map(|_| Conversations::new()),
		}
	}

	fn count(&mut self, seen: &Seen<'_>) {
		// A SYN begins a conversation, and is no part of one.
		let opens = seen.packet.tcp().is_some_and(|tcp| tcp.opens());
		if let Some(conversations) = self.conversations.as_mut().filter(|_| !opens) {
			if conversations.asked(Conversations::hash(seen, self.kind.with_ports), seen.now) {
				return;
			}
		}
		let (subject, hash, peer) = match self.kind.subject {
			Subject::Destination => (seen.packet.destination, seen.destination, seen.source),
			Subject::Source => (seen.packet.source, seen.source, seen.destination),
		};
		let fits = self.fill(seen, Network::host(subject), hash, peer, true);
		if self.kind.subject == Subject::Destination {
			let network = neighbourhood(subject);
			let hash = self.secret.hash(network);
			self.fill(seen, network, hash, peer, fits);
		}
	}

	/// Counts a packet for `key`. Whether there was room in its bucket.
	fn fill(&mut self, seen: &Seen<'_>, key: Network, hash: u64, peer: u64, count: bool) -> bool {
		let Some(victim) = self.victims.touch(hash, key, seen.now) else { return true };
		let limit = self.limits.of(key, victim.usual);
		let fits = victim.take(seen, peer, limit, self.limits.burst, count);
		if victim.state == State::Waiting {
			if let Some(free) = self.collections.iter_mut().find(|collection| collection.key.is_none()) {
				free.begin(key, seen.now);
				victim.state = State::Collecting;
			}
		}
		if victim.state == State::Collecting {
			if let Some(own) = self.collections.iter_mut().find(|collection| collection.key == Some(key)) {
				own.push(seen);
			}
		}
		fits
	}
}

impl Detector for Flood {
	fn about(&self) -> &'static About {
		self.kind.about
	}

	fn see(&mut self, seen: &Seen<'_>) {
		let (own, other) = match self.kind.subject {
			Subject::Destination => (Side::Inbound, Side::Outbound),
			Subject::Source => (Side::Outbound, Side::Inbound),
		};
		if seen.side == own {
			if (self.kind.takes)(seen) {
				self.count(seen);
			}
		} else if seen.side == other {
			let (Some(answers), Some(conversations)) = (self.kind.answers, &mut self.conversations) else { return };
			if answers(seen.packet) {
				conversations.answered(Conversations::hash(seen, self.kind.with_ports), seen.now);
			}
		}
	}

	fn tick(&mut self, now: Millis, background: &Background, findings: &mut Vec<Finding>) {
		let kind = self.kind;
		let flooded = |(key, victim): (Network, &mut Victim)| {
			(!is_host(key) && matches!(victim.state, State::Collecting | State::Reported)).then_some(key)
		};
		let networks: Vec<Network> = self.victims.iter_mut(now).filter_map(flooded).collect();
		for (key, victim) in self.victims.iter_mut(now) {
			let limit = self.limits.of(key, victim.usual);
			victim.settle(now, limit);
			if victim.state == State::Reported
				&& victim.calm_since.is_none()
				&& now.saturating_sub(victim.reported) >= REPEAT
			{
				victim.state = State::Waiting;
			}
			if victim.state == State::Collecting {
				match self.collections.iter_mut().find(|collection| collection.key == Some(key)) {
					None => victim.state = State::Waiting,
					Some(collection) if collection.is_complete(now) => {
						// Its network says it for all of its addresses.
						let said = is_host(key) && networks.iter().any(|network| network.contains(&key));
						let few = collection.samples.len() < LEAST_SAMPLES;
						if few && victim.reported == 0 {
							victim.end();
						} else {
							if !few && !said {
								let case = Case { kind, key, limit, victim, collection, now };
								victim.learned = case.report(self.limits.source_rate, background, findings);
							}
							(victim.state, victim.reported) = (State::Reported, now);
						}
						collection.free();
					}
					Some(_) => {}
				}
			}
			if victim.calm_since.is_some_and(|since| now.saturating_sub(since) >= CALM) {
				victim.end();
			}
		}
		for collection in &mut self.collections {
			if collection.key.is_some() && now.saturating_sub(collection.begun) >= ABANDONED {
				collection.free();
			}
		}
	}
}

/// A flood, and the headers that were collected of it.
struct Case<'a> {
	kind: &'static Kind,
	key: Network,
	limit: u64,
	victim: &'a Victim,
	collection: &'a Collection,
	now: Millis,
}

impl Case<'_> {
	/// Says what was found. What its flows were learned to be is for the next time.
	fn report(&self, source_rate: u64, background: &Background, findings: &mut Vec<Finding>) -> Vec<Learned> {
		if self.kind.subject == Subject::Source {
			self.device(findings);
			return Vec::new();
		}
		let hosts = self.hosts(source_rate);
		if self.kind.hosts == Hosts::Only || !hosts.is_empty() {
			for (host, packets) in hosts {
				let pace = share(self.victim.pace(), packets, self.collection.samples.len());
				let note = format!("{} {pace}/s from {host}, proven by a handshake", self.kind.about.name);
				findings.push(self.finding(Indicator::Host(host), &note, |sample| sample.source == host));
			}
			return Vec::new();
		}
		let flows = self.flows(background);
		for flow in &flows {
			let finding =
				self.finding(Indicator::Flow(flow.signature), &self.note(flow), |s| matches(&flow.signature, s));
			// Without a source it says nothing about anybody.
			let spoofable = flow.signature.source.is_some();
			findings.push(Finding { fit: Some(flow.fit), action: Some(flow.action), spoofable, ..finding });
		}
		flows
	}

	/// The sources to name, with how many proven packets of theirs were collected; only packets that are proven count.
	fn hosts(&self, source_rate: u64) -> Vec<(Address, usize)> {
		let Collection { samples, proven, .. } = self.collection;
		let mut counts = BTreeMap::<Address, usize>::new();
		for (sample, _) in samples.iter().zip(proven).filter(|(_, proven)| **proven) {
			*counts.entry(sample.source).or_default() += 1;
		}
		let mut hosts: Vec<_> = counts.into_iter().filter(|(_, packets)| *packets >= LEAST_PROVEN).collect();
		hosts.sort_by_key(|(_, packets)| Reverse(*packets));
		match self.kind.hosts {
			Hosts::Only => {
				hosts.retain(|(_, packets)| share(self.victim.pace(), *packets, samples.len()) >= source_rate);
				hosts.truncate(MOST_HOSTS);
			}
			Hosts::Few => {
				hosts.truncate(FEW);
				let theirs: usize = hosts.iter().map(|(_, packets)| packets).sum();
				// Four of five packets.
				if theirs.saturating_mul(5) < samples.len().saturating_mul(4) {
					hosts.clear();
				}
			}
		}
		hosts
	}

	/// The signatures of the flood: the known ones as long as they cover it, else new ones.
	fn flows(&self, background: &Background) -> Vec<Learned> {
		let samples = self.collection.samples.as_slice();
		let known = &self.victim.learned;
		let covered = samples.iter().filter(|sample| known.iter().any(|flow| matches(&flow.signature, sample))).count();
		if covered.saturating_mul(10) >= samples.len().saturating_mul(9) {
			return known.clone();
		}
		let victim = if is_host(self.key) { self.key } else { common(samples).unwrap_or(self.key) };
		let usual = u32::try_from(self.victim.usual / 1_000).unwrap_or(u32::MAX);
		// A flood may have begun with a few packets that rose above nothing.
		let before = self.victim.risen.saturating_sub(HEAD_START);
		let learn = |samples: &[Sample]| learn(victim, samples, background.before(before, self.now), usual);
		if !self.kind.by_source_port {
			return learn(samples).into_iter().collect();
		}
		let mut ports = BTreeMap::<Option<u16>, Vec<Sample>>::new();
		for sample in samples {
			ports.entry(sample.source_port).or_default().push(*sample);
		}
		// A tenth is a flood of its own.
		let many = ports.values().filter(|group| group.len().saturating_mul(10) >= samples.len());
		many.filter_map(|group| learn(group)).collect()
	}

	/// Tells the owner which of the own devices floods others, and whom, where it is one.
	fn device(&self, findings: &mut Vec<Finding>) {
		let samples = self.collection.samples.as_slice();
		let device = self.key.address();
		let (pace, peers) = (self.victim.pace(), self.victim.peers.estimate());
		let note = format!("{} {pace}/s from {device} to about {peers} addresses", self.kind.about.name);
		// Other devices at home could have sent them in its name.
		let own = |finding: Finding| Finding { audience: Audience::Owner, spoofable: true, ..finding };
		findings.push(own(self.finding(Indicator::Host(device), &note, |_| true)));
		let mut targets = BTreeMap::<Address, Vec<Sample>>::new();
		for sample in samples {
			targets.entry(sample.destination).or_default().push(*sample);
		}
		let Some((target, attack)) = targets.into_iter().max_by_key(|(_, attack)| attack.len()) else { return };
		if attack.len().saturating_mul(10) < samples.len().saturating_mul(9) {
			return;
		}
		let Some(flow) = learn(Network::host(target), &attack, std::iter::empty(), 0) else { return };
		let signature = FlowSignature { source: Some(self.key), ..flow.signature };
		if signature.check().is_err() {
			return;
		}
		let finding = self.finding(Indicator::Flow(signature), &self.note(&flow), |sample| matches(&signature, sample));
		findings.push(own(Finding { fit: Some(flow.fit), action: Some(flow.action), ..finding }));
	}

	fn note(&self, flow: &Learned) -> String {
		let (pace, permille) = (self.victim.pace(), flow.fit.coverage_permille());
		let sources = match self.kind.subject {
			Subject::Destination => self.victim.peers.estimate(),
			Subject::Source => 1,
		};
		format!(
			"{} {pace}/s from about {sources} sources, {}.{} % covered, {} hit",
			self.kind.about.name,
			permille / 10,
			permille % 10,
			flow.fit.hit
		)
	}

	/// A finding about the part of the flood whose headers are of it.
	fn finding(&self, indicator: Indicator, note: &str, is_of_it: impl Fn(&Sample) -> bool) -> Finding {
		let all = self.collection.samples.len();
		let own: Vec<Sample> = self.collection.samples.iter().filter(|sample| is_of_it(sample)).copied().collect();
		let severe = self.victim.pace() >= self.limit.saturating_mul(CRITICAL);
		Finding {
			detector: self.kind.about.name,
			version: self.kind.about.version,
			indicator,
			threat: self.kind.threat,
			severity: if severe { Severity::Critical } else { Severity::High },
			action: None,
			spoofable: false,
			audience: Audience::Everybody,
			note: Note::truncated(note),
			first_seen: self.victim.risen,
			last_seen: self.victim.last_seen,
			packets: share(self.victim.packets, own.len(), all),
			bytes: share(self.victim.bytes, own.len(), all),
			sampling: self.victim.sampling.max(1),
			fit: None,
			// From all over it, not only its beginning.
			samples: own.iter().step_by(own.len().div_ceil(MAX_SAMPLES).max(1)).copied().collect(),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{
		detect::{
			syn_flood,
			trial::{forged, port, tcp, udp, whole, Trial, HOME, PEER},
			udp_flood,
		},
		packet::Link,
	};

	fn opening(number: u32) -> Vec<u8> {
		tcp((forged(number), port(number)), (HOME, 443), 0x02, (number, 0), &[])
	}

	#[test]
	fn while_a_flood_lasts_it_is_said_again_and_when_it_is_over_no_more() {
		let mut trial = Trial::of(&syn_flood::ABOUT);
		trial.stream(4_000, 65_000, opening);
		assert_eq!(trial.findings.len(), 3);
		let first = trial.findings[0].clone();
		for pair in trial.findings.windows(2) {
			assert_eq!(pair[0].indicator, pair[1].indicator, "one signature as long as it fits");
			assert_eq!(pair[0].first_seen, pair[1].first_seen);
			assert!(pair[1].packets >= pair[0].packets + 100_000 && pair[1].last_seen >= pair[0].last_seen + REPEAT);
		}
		trial.wait(60_000);
		assert_eq!(trial.findings.len(), 3);
		trial.stream(4_000, 2_000, opening);
		assert_eq!(trial.findings.len(), 4);
		assert!(trial.findings[3].first_seen > first.last_seen, "another one");
	}

	#[test]
	fn a_flood_that_changes_is_learned_anew() {
		let mut trial = Trial::of(&syn_flood::ABOUT);
		trial.stream(4_000, 20_000, opening);
		trial.stream(4_000, 20_000, |number| tcp((forged(number), port(number)), (HOME, 22), 0x02, (number, 0), &[]));
		let flows: Vec<_> = trial.findings.iter().map(|finding| whole(&syn_flood::ABOUT, finding)).collect();
		let ports: Vec<_> = flows.iter().map(|flow| flow.destination_ports.unwrap().first()).collect();
		assert_eq!(ports, [443, 22]);
	}

	#[test]
	fn what_an_address_usually_gets_is_no_flood() {
		let mut trial = Trial::of(&syn_flood::ABOUT);
		trial.stream(500, 5_000, opening);
		assert_eq!(trial.findings.len(), 1, "a stranger to it");
		let mut trial = Trial::of(&syn_flood::ABOUT);
		trial.stream(150, 300_000, opening);
		trial.stream(500, 5_000, opening);
		assert_eq!(trial.findings, []);
	}

	#[test]
	fn what_is_usual_rises_to_a_bound_only() {
		let limits = Limits { rate: 200, network_rate: 1_600, factor: 4, source_rate: 0, burst: 500 };
		let host = Network::host(HOME_ADDRESS);
		assert_eq!([0, 50_000, 100_000, u64::MAX].map(|usual| limits.of(host, usual)), [200, 200, 400, 3_200]);
		assert_eq!(limits.of(neighbourhood(HOME_ADDRESS), 0), 1_600);
	}

	const HOME_ADDRESS: Address = Address::V4(HOME);

	#[test]
	fn a_burst_is_no_flood() {
		let mut trial = Trial::of(&syn_flood::ABOUT);
		for number in 0..95 {
			trial.send(&opening(number));
		}
		trial.wait(20_000);
		assert_eq!(trial.findings, []);
	}

	#[test]
	fn a_flood_spread_over_a_network_is_one_flood() {
		let mut trial = Trial::of(&syn_flood::ABOUT);
		trial.stream(20_000, 3_000, |number| {
			let home = [203, 0, 113, (number % 256) as u8];
			tcp((forged(number), port(number)), (home, 443), 0x02, (number, 0), &[])
		});
		assert_eq!(trial.findings.len(), 1);
		let flow = whole(&syn_flood::ABOUT, &trial.findings[0]);
		assert_eq!(flow.destination.map(|network| network.to_string()).as_deref(), Some("203.0.113.0/24"));
	}

	#[test]
	fn a_flood_of_one_address_is_none_of_its_network() {
		let mut trial = Trial::of(&syn_flood::ABOUT);
		trial.stream(50_000, 3_000, |number| match number % 50 {
			// A little for everybody else.
			0 => tcp((forged(number), 9), ([203, 0, 113, (number / 50 % 256) as u8], 443), 0x02, (number, 0), &[]),
			_ => opening(number),
		});
		let flows: Vec<_> = trial.findings.iter().map(|finding| whole(&syn_flood::ABOUT, finding)).collect();
		assert_eq!(flows.len(), 1);
		assert_eq!(flows[0].destination, Some(Network::host(HOME_ADDRESS)));
	}

	#[test]
	fn under_sampling_each_packet_counts_for_many() {
		let mut trial = Trial::of(&udp_flood::ABOUT);
		trial.weight = 100;
		trial.stream(500, 3_000, |number| udp((forged(number), port(number)), (HOME, 4_444), &[0; 300]));
		let [finding] = trial.findings.as_slice() else { panic!("{:?}", trial.findings) };
		assert_eq!(finding.sampling, 100);
		assert!(finding.packets >= 40_000, "{finding:?}");
		let mut trial = Trial::of(&udp_flood::ABOUT);
		trial.weight = 10_000;
		trial.stream(1, 5_000, |number| udp((forged(number), port(number)), (HOME, 4_444), &[0; 300]));
		trial.wait(15_000);
		assert_eq!(trial.findings, [], "few packets tell nothing");
	}

	#[test]
	fn networks_are_those_around_an_address() {
		assert_eq!(neighbourhood("203.0.113.9".parse().unwrap()).to_string(), "203.0.113.0/24");
		assert_eq!(neighbourhood("2001:db8:1:2:3::4".parse().unwrap()).to_string(), "2001:db8:1:2::/64");
		let sample = |destination: &str| {
			let bytes = udp((PEER, 1), (HOME, 2), &[]);
			let packet = Packet::parse(Link::Raw, &bytes).unwrap();
			Sample { destination: destination.parse().unwrap(), ..Sample::of(&packet, 1) }
		};
		let common = |all: &[&str]| common(&all.iter().copied().map(sample).collect::<Vec<_>>());
		assert_eq!(common(&["203.0.113.8", "203.0.113.11"]).unwrap().to_string(), "203.0.113.8/30");
		assert_eq!(common(&["203.0.113.8"]), Some(Network::host("203.0.113.8".parse().unwrap())));
		assert_eq!(common(&["203.0.113.8", "2001:db8::1"]), None);
		assert_eq!(common(&[]), None);
	}

	#[test]
	fn no_flood_makes_the_memory_grow() {
		static KIND: Kind = Kind { answers: Some(is_udp), ..Kind::new(&udp_flood::ABOUT, |_| true) };
		let given = BTreeMap::new();
		let values = Values::new(&udp_flood::ABOUT, &given).unwrap();
		let secret = Secret::new(3);
		let mut flood = Flood::new(&KIND, &values, &secret);
		let sizes = |flood: &Flood| {
			let collections = flood.collections.iter();
			collections.map(|own| (own.samples.capacity(), own.proven.capacity())).collect::<Vec<_>>()
		};
		let (before, background) = (sizes(&flood), Background::new(&secret));
		let mut findings = Vec::new();
		for number in 0..300_000_u32 {
			let [.., low] = number.to_be_bytes();
			let home = [203, 0, if number % 2 == 0 { 113 } else { low }, low % 5];
			let bytes = udp((forged(number), port(number)), (home, 9), &[]);
			let packet = Packet::parse(Link::Raw, &bytes).unwrap();
			let now = 1_000 + Millis::from(number / 100);
			flood.see(&Seen {
				packet: &packet,
				now,
				side: if number % 7 == 0 { Side::Outbound } else { Side::Inbound },
				proven: false,
				solicited: false,
				answers: false,
				weight: 1,
				step: None,
				source: secret.hash(packet.source),
				destination: secret.hash(packet.destination),
				known_bad: &|_| false,
			});
			if number % 10_000 == 0 {
				flood.tick(now, &background, &mut findings);
			}
		}
		assert_eq!(sizes(&flood), before);
		assert!(!findings.is_empty());
	}
}
