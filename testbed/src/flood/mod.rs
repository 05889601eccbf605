//! The attack generator: floods, scans, brute force, beacons, and innocent traffic to tell them from.
//!
//! One [`Plan`] and one seed give one sequence of frames, the same on every machine ([`Generator`]). It is written to a
//! file ([`pcap`]), given to detectors in tests, or sent at a rate into a namespace of the testbed ([`send`]). What takes a
//! real conversation, HTTP and logins, is also had with ordinary sockets ([`connect`]).
//!
//! **Nothing leaves the machine.** [`guard`] decides where frames may be sent before one is made: into a network namespace
//! that a testbed made and that is not the machine's own, through an interface that does not lead to the machine's own
//! either, or to the loopback. There is no other way to an [`Exit`], no default target, and a limit to every number.
//!
//! IPv4 only, like the lists of bots that it reads.

pub mod cli;
pub mod connect;
pub mod craft;
pub mod guard;
mod innocent;
mod kinds;
pub mod pcap;
pub mod send;

pub use cli::Settings;
pub use craft::Link;
pub use guard::{Exit, Refusal};

use craft::MAX_PAYLOAD;
use rand_chacha::{
	rand_core::{RngCore, SeedableRng},
	ChaCha8Rng,
};
use std::{
	cmp::Reverse,
	collections::{BinaryHeap, VecDeque},
	net::Ipv4Addr,
	time::Duration,
};

/// Most packets of one run.
pub const MAX_PACKETS: u64 = 50_000_000;
/// Longest run.
pub const MAX_DURATION: Duration = Duration::from_secs(600);
/// Highest rate, in packets a second. Also what time passes at in a sequence that has no rate.
pub const MAX_RATE: u64 = 2_000_000;
/// Highest rate of what consists of conversations: those that overlap are kept in memory.
pub const MAX_TALK_RATE: u64 = 20_000;
/// Most sources that a list may have.
pub const MAX_SOURCES: usize = 1_000_000;

const SECOND: u64 = 1_000_000_000;
/// Servers that reflect, and servers that are visited.
const SERVERS: usize = 1_024;

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
	/// ICMP echo requests
	Icmp,
	/// UDP datagrams of junk
	Udp,
	/// TCP connection requests
	Syn,
	/// TCP segments that belong to no connection
	Ack,
	/// Junk that looks like the message protocol STOMP, on PSH and ACK
	Stomp,
	/// DNS queries for names that do not exist, each another one below the same domain ("water torture")
	Dns,
	/// Queries to servers of the Source game engine
	Vse,
	/// IPv4 with UDP in GRE
	GreIp,
	/// Ethernet with UDP in GRE
	GreEthernet,
	/// HTTP requests; sent over real connections, from the address of the namespace
	Http,
	/// Large answers that nobody asked for, of servers that reflect
	Amplification,
	/// IPv4 fragments that never become whole
	Fragments,
	/// One port of many hosts: those of the target's /16, from the target on
	HorizontalScan,
	/// Many ports of one host
	VerticalScan,
	/// Logins over telnet; sent over real connections
	Telnet,
	/// Logins over SSH; sent over real connections
	Ssh,
	/// How Mirai looks for hosts: telnet ports of random ones, the destination as the sequence number
	Mirai,
	/// A bot that tells its master over one TCP connection that it lives
	BeaconTcp,
	/// The same, over UDP
	BeaconUdp,
	/// What a household does all day, both directions; the target is the household
	Innocent,
}

impl Kind {
	/// All of them.
	pub const ALL: [Self; 20] = [
		Self::Icmp,
		Self::Udp,
		Self::Syn,
		Self::Ack,
		Self::Stomp,
		Self::Dns,
		Self::Vse,
		Self::GreIp,
		Self::GreEthernet,
		Self::Http,
		Self::Amplification,
		Self::Fragments,
		Self::HorizontalScan,
		Self::VerticalScan,
		Self::Telnet,
		Self::Ssh,
		Self::Mirai,
		Self::BeaconTcp,
		Self::BeaconUdp,
		Self::Innocent,
	];

	/// Whether it consists of conversations, whose frames go both ways.
	pub const fn talks(self) -> bool {
		matches!(self, Self::Http | Self::Telnet | Self::Ssh | Self::Innocent)
	}

	/// Whether it is sent over real connections, by [`connect`].
	pub const fn connects(self) -> bool {
		matches!(self, Self::Http | Self::Telnet | Self::Ssh)
	}

	/// Whether all of it comes from one host.
	pub const fn has_one_source(self) -> bool {
		matches!(
			self,
			Self::HorizontalScan
				| Self::VerticalScan
				| Self::Telnet
				| Self::Ssh | Self::Mirai
				| Self::BeaconTcp
				| Self::BeaconUdp
		)
	}

	/// The port that it goes to unless another is asked for; none where it has no port, or where chance decides.
	pub const fn port(self) -> Option<u16> {
		match self {
			Self::Syn | Self::Ack | Self::Http => Some(80),
			Self::Stomp => Some(61_613),
			Self::Dns => Some(53),
			Self::Vse => Some(27_015),
			Self::HorizontalScan | Self::Telnet | Self::BeaconTcp => Some(23),
			Self::Ssh => Some(22),
			Self::BeaconUdp => Some(6_881),
			_ => None,
		}
	}

	/// Bytes of payload unless another number is asked for, where there is a choice. The floods' are Mirai's.
	pub const fn payload(self) -> usize {
		match self {
			Self::Icmp => 56,
			Self::Udp | Self::GreIp | Self::GreEthernet => 512,
			Self::Stomp => 768,
			Self::Amplification => MAX_PAYLOAD,
			Self::Fragments => 1_184,
			_ => 0,
		}
	}
}

/// Where packets say that they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sources {
	/// Anywhere on the public internet.
	Anywhere,
	/// Any address of a network: its first address and the length of its prefix.
	Network(Ipv4Addr, u8),
	/// One of these, at random. Not empty.
	Listed(Vec<Ipv4Addr>),
}

impl From<Ipv4Addr> for Sources {
	fn from(host: Ipv4Addr) -> Self {
		Self::Network(host, 32)
	}
}

/// A kind of server that answers with more than it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Reflector {
	/// Answers to ANY
	Dns,
	/// Lists of recent clients
	Ntp,
	/// Bulk answers
	Snmp,
	/// Answers to searches
	Ssdp,
	/// Values
	Memcached,
	/// Answers to root searches
	Cldap,
	/// Key exchange, port 500
	Isakmp,
	/// Key exchange behind NAT, port 4500
	IsakmpNat,
}

impl Reflector {
	/// All of them.
	pub const ALL: [Self; 8] =
		[Self::Dns, Self::Ntp, Self::Snmp, Self::Ssdp, Self::Memcached, Self::Cldap, Self::Isakmp, Self::IsakmpNat];

	/// The port that it answers from.
	pub const fn port(self) -> u16 {
		match self {
			Self::Dns => 53,
			Self::Ntp => 123,
			Self::Snmp => 161,
			Self::Ssdp => 1_900,
			Self::Memcached => 11_211,
			Self::Cldap => 389,
			Self::Isakmp => 500,
			Self::IsakmpNat => 4_500,
		}
	}
}

/// All that a sequence of frames follows from, beside its seed.
#[derive(Clone, Debug)]
pub struct Plan {
	/// What.
	pub kind: Kind,
	/// Who suffers; for a beacon the master, for a scan of many hosts the first, for innocent traffic the household.
	/// Mirai's own scan goes anywhere.
	pub target: Ipv4Addr,
	/// To which port; the kind's own when none.
	pub port: Option<u16>,
	/// From where.
	pub sources: Sources,
	/// Packets a second, at most [`MAX_RATE`], or [`MAX_TALK_RATE`] for what talks; 0: the most. Beacons have their own pace.
	pub rate: u64,
	/// Bytes of payload, at most [`craft::MAX_PAYLOAD`], where the kind leaves a choice; the kind's own when none.
	pub payload: Option<usize>,
	/// Frames, at most [`MAX_PACKETS`].
	pub packets: u64,
	/// The domain whose servers are asked for names that do not exist.
	pub domain: String,
	/// From one beacon to the next, give or take a tenth.
	pub interval: Duration,
	/// Who reflects; all kinds of servers in turn when none.
	pub reflector: Option<Reflector>,
	/// The paths that are asked for, by HTTP. Not empty.
	pub paths: Vec<String>,
	/// The browsers that say they ask. Not empty.
	pub agents: Vec<String>,
	/// The frames' Ethernet addresses.
	pub link: Link,
}

impl Plan {
	/// Of this kind, against this target, from anywhere, a thousand frames at a thousand a second.
	pub fn new(kind: Kind, target: Ipv4Addr) -> Self {
		Self {
			kind,
			target,
			port: None,
			sources: Sources::Anywhere,
			rate: 1_000,
			payload: None,
			packets: 1_000,
			domain: "example.org".into(),
			interval: Duration::from_secs(60),
			reflector: None,
			paths: vec!["/".into()],
			agents: vec!["Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0".into()],
			link: Link::PAPER,
		}
	}

	/// Refuses what no run may exceed and what cannot be made.
	pub fn check(&self) -> Result<(), Refusal> {
		let most = if self.kind.talks() { MAX_TALK_RATE } else { MAX_RATE };
		let prefix = if let Sources::Network(_, length) = self.sources { length } else { 0 };
		for (what, given, most) in [
			("packets a second", self.rate, most),
			("packets", self.packets, MAX_PACKETS),
			("bytes of payload", self.payload.unwrap_or(0) as u64, MAX_PAYLOAD as u64),
			("bits of the sources' prefix", prefix.into(), 32),
			(
				"bytes of the longest part of the domain",
				self.domain.split('.').map(str::len).max().unwrap_or(0) as u64,
				63,
			),
			("bytes of domain", self.domain.len() as u64, 200),
			("bytes of a path", self.paths.iter().map(String::len).max().unwrap_or(0) as u64, 512),
			("bytes of a browser's name", self.agents.iter().map(String::len).max().unwrap_or(0) as u64, 512),
			("seconds between beacons", self.interval.as_secs(), 86_400),
		] {
			if given > most {
				return Err(Refusal::Limit { what, given, most });
			}
		}
		let empty = matches!(&self.sources, Sources::Listed(list) if list.is_empty());
		for (what, missing) in [
			("sources", empty),
			("paths", self.paths.is_empty()),
			("browsers", self.agents.is_empty()),
			("packets", self.packets == 0),
			("whole second between beacons", self.interval.as_secs() == 0),
		] {
			if missing {
				return Err(Refusal::Nothing(what));
			}
		}
		Ok(())
	}

	/// Nanoseconds from one frame to the next, on average.
	fn gap(&self) -> u64 {
		let most = if self.kind.talks() { MAX_TALK_RATE } else { MAX_RATE };
		SECOND / if self.rate == 0 { most } else { self.rate.min(most) }
	}
}

/// Chance, the same for the same seed.
struct Chance(ChaCha8Rng);

impl Chance {
	/// A number below `end`, which is not 0.
	fn below(&mut self, end: u32) -> u32 {
		((u64::from(self.0.next_u32()) * u64::from(end)) >> 32) as u32
	}

	fn index(&mut self, length: usize) -> usize {
		self.below(u32::try_from(length).unwrap_or(u32::MAX)) as usize
	}

	fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
		list.get(self.index(list.len()))
	}

	fn word(&mut self) -> u32 {
		self.0.next_u32()
	}

	fn half(&mut self) -> u16 {
		(self.0.next_u32() >> 16) as u16
	}

	fn port(&mut self) -> u16 {
		1_024 + self.below(64_512) as u16
	}

	fn junk(&mut self, length: usize) -> Vec<u8> {
		let mut bytes = vec![0; length];
		self.0.fill_bytes(&mut bytes);
		bytes
	}

	/// An address that a host on the public internet may have.
	fn anywhere(&mut self) -> Ipv4Addr {
		loop {
			let address = Ipv4Addr::from(self.word());
			if is_public(address) {
				return address;
			}
		}
	}

	fn source(&mut self, sources: &Sources) -> Ipv4Addr {
		match sources {
			Sources::Anywhere => self.anywhere(),
			Sources::Network(first, length) => {
				let host = u32::MAX.checked_shr(u32::from(*length)).unwrap_or(0);
				Ipv4Addr::from((u32::from(*first) & !host) | (self.word() & host))
			}
			// A plan is checked: the list is not empty.
			Sources::Listed(list) => self.pick(list).copied().unwrap_or(Ipv4Addr::LOCALHOST),
		}
	}
}

/// Whether a host on the public internet may have this address; the ranges of benchmarks and documentation may be drawn too.
fn is_public(address: Ipv4Addr) -> bool {
	let [a, b, ..] = address.octets();
	!(matches!(a, 0 | 127 | 224..=255)
		|| address.is_private()
		|| address.is_link_local()
		|| (a == 100 && b & 0xc0 == 64))
}

/// A frame that waits for its time: when, which one, and its bytes.
type Waiting = Reverse<(u64, u64, Vec<u8>)>;

/// The frames of a plan, each with its time in nanoseconds from the first on, in order of time.
pub struct Generator {
	plan: Plan,
	chance: Chance,
	/// The one source of a kind that has one.
	host: Ipv4Addr,
	/// The port that reflected answers go to.
	port: u16,
	servers: Vec<Ipv4Addr>,
	/// Events so far, and frames made and handed out.
	events: u64,
	made: u64,
	given: u64,
	/// When the next event is.
	next: u64,
	/// Frames of conversations that overlap.
	waiting: BinaryHeap<Waiting>,
	/// What the newest event made, in order of time.
	fresh: VecDeque<(u64, Vec<u8>)>,
}

impl Generator {
	/// Refuses a plan beyond the limits.
	pub fn new(plan: Plan, seed: u64) -> Result<Self, Refusal> {
		plan.check()?;
		let mut chance = Chance(ChaCha8Rng::seed_from_u64(seed));
		let host = chance.source(&plan.sources);
		let port = plan.port.or(plan.kind.port()).unwrap_or_else(|| chance.port());
		let servers = (0..SERVERS).map(|_| chance.source(&plan.sources)).collect();
		Ok(Self {
			plan,
			chance,
			host,
			port,
			servers,
			events: 0,
			made: 0,
			given: 0,
			next: 0,
			waiting: BinaryHeap::new(),
			fresh: VecDeque::new(),
		})
	}

	/// Makes what happens next, and moves the time of the event after it.
	fn step(&mut self) {
		let at = self.next;
		let before = self.fresh.len();
		match self.plan.kind {
			Kind::Innocent => self.innocent(at),
			Kind::Http | Kind::Telnet | Kind::Ssh => self.visit(at),
			_ => self.attack(at),
		}
		let frames = (self.fresh.len() - before).max(1) as u64;
		self.events += 1;
		let pause = match self.plan.kind {
			Kind::BeaconTcp | Kind::BeaconUdp => {
				let interval = u64::try_from(self.plan.interval.as_nanos()).unwrap_or(u64::MAX);
				interval / 10 * 9 + interval / 1_000 * u64::from(self.chance.below(201))
			}
			_ => self.plan.gap().saturating_mul(frames),
		};
		self.next = self.next.saturating_add(pause);
		if self.plan.kind.talks() {
			for (at, frame) in self.fresh.drain(..) {
				self.waiting.push(Reverse((at, self.made, frame)));
				self.made += 1;
			}
		}
	}
}

impl Iterator for Generator {
	type Item = (u64, Vec<u8>);

	fn next(&mut self) -> Option<Self::Item> {
		if self.given >= self.plan.packets {
			return None;
		}
		self.given += 1;
		if self.plan.kind.talks() {
			// Nothing that is still to come is earlier than the next event.
			while self.waiting.peek().is_none_or(|Reverse((at, ..))| *at > self.next) {
				self.step();
			}
			return self.waiting.pop().map(|Reverse((at, _, frame))| (at, frame));
		}
		while self.fresh.is_empty() {
			self.step();
		}
		self.fresh.pop_front()
	}
}

#[cfg(test)]
mod tests;
