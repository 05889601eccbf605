//! The actor on a real kernel, fed with what four validators made final: whatever happens to kernel, disk and process, the
//! chain's set, the store's and the kernel's are the same afterwards.
//!
//! Every test works in a network namespace and a state directory of its own. Root and `nft` are needed. Without them each
//! test says so and passes, unless `RINGFENCE_REQUIRE_ROOT_TESTS=1`.

mod forge;
#[macro_use]
mod netns;

use codec::Encode;
use netns::Namespace;
use ringfence_enforcer::{
	core::{
		frame::{Frame, Heartbeat, Verified},
		snapshot::{Item, Proven},
	},
	daemon::{
		config::Mode,
		control::{Answer, Request},
		enforce::{Due, EnforceError, Enforcement, Flow, Setup},
		firewall::Conntrack,
		now_ms,
		observe::history::History,
		state::{Journal, Memory},
		status::{Board, Status},
	},
};
use ringfence_primitives::{
	Action, ActiveDigest, Change, ChangeKind, Confidence, Decision, Direction, IndicatorId, Millis, Network, Severity,
	ThreatClass,
};
use std::{collections::BTreeMap, fs, net::UdpSocket, path::Path};
use tempfile::TempDir;

const FOUR: [u8; 4] = [1, 2, 3, 4];
const HOUR: Millis = 3_600_000;

fn network(text: &str) -> Network {
	text.parse().unwrap()
}

/// The chain, as a node tells of it.
#[derive(Default)]
struct Chain {
	log: Vec<Change>,
	active: BTreeMap<IndicatorId, Decision>,
}

impl Chain {
	/// A chain on which this peer is blocked.
	fn blocking(peer: &str) -> Self {
		let mut chain = Self::default();
		chain.block(peer);
		chain
	}

	fn tell(&mut self, at: Millis, kind: ChangeKind) {
		match &kind {
			ChangeKind::Activated(decision) => {
				self.active.insert(decision.indicator.id(), decision.clone());
			}
			ChangeKind::Revoked(indicator) | ChangeKind::Expired(indicator) => {
				self.active.remove(&indicator.id());
			}
			_ => (),
		}
		let previous = self.log.last().map_or([0; 32], Change::hash);
		self.log.push(Change { seq: self.seq() + 1, at, previous, kind });
	}

	/// Blocks a peer from `at` on, for `lasts`.
	fn block_at(&mut self, peer: &str, at: Millis, lasts: Millis) {
		let decision = Decision {
			indicator: network(peer).into(),
			direction: Direction::Both,
			action: Action::Drop,
			threat: ThreatClass::Botnet,
			severity: Severity::High,
			confidence: Confidence::MAX,
			expires_at: at + lasts,
		};
		self.tell(at, ChangeKind::Activated(decision));
	}

	fn block(&mut self, peer: &str) {
		self.block_at(peer, now_ms(), HOUR);
	}

	fn revoke(&mut self, peer: &str) {
		self.tell(now_ms(), ChangeKind::Revoked(network(peer).into()));
	}

	fn seq(&self) -> u64 {
		self.log.len() as u64
	}

	/// The block that all of it is in.
	fn height(&self) -> u32 {
		self.log.len() as u32 + 1
	}

	fn digest(&self) -> Vec<u8> {
		self.active.values().collect::<ActiveDigest>().encode()
	}

	/// Everything from entry `from` on.
	fn frame(&self, from: u64) -> Verified<Frame> {
		let item = forge::frame(&FOUR, 0, self.height(), &self.log, from);
		Frame::decode(item).unwrap().verify(&forge::first_set(&FOUR), 0).unwrap()
	}

	fn heartbeat(&self) -> Verified<Heartbeat> {
		let item = forge::heartbeat(&FOUR, 0, self.height(), &self.log, Some(self.digest()));
		Frame::decode(item).unwrap().verify_heartbeat(&forge::first_set(&FOUR), 0, true).unwrap()
	}

	fn proven(&self) -> Proven {
		let item = forge::opening(&FOUR, 0, self.height(), &self.log, self.digest());
		let Item::Opening(opening) = Item::decode(item).unwrap() else { panic!("not an opening") };
		opening.verify(&forge::first_set(&FOUR), 0).unwrap()
	}
}

fn open(directory: &Path, mode: Mode) -> Enforcement {
	Enforcement::open(Setup {
		mode,
		protected: Vec::new(),
		home: Vec::new(),
		allowed: Vec::new(),
		uplink: Vec::new(),
		tier: None,
		own: None,
		whitelist: None,
		memory: Memory::new(Journal::open(directory).unwrap()),
		directory: directory.into(),
		board: Board::new(Status::default()),
		history: History::open(directory),
	})
	.unwrap()
}

/// A gateway: its network, its disk, and the actor while it lives.
struct Gateway {
	namespace: Namespace,
	directory: TempDir,
	actor: Option<Enforcement>,
}

impl Gateway {
	/// One that has fetched the chain's set.
	fn new(chain: &Chain) -> Self {
		let directory = tempfile::tempdir().unwrap();
		let mut gateway = Self { namespace: Namespace::new(), directory, actor: None };
		gateway.start(Mode::Enforce);
		gateway.fetch(chain);
		gateway
	}

	fn start(&mut self, mode: Mode) {
		let directory = self.directory.path().to_owned();
		self.actor = Some(self.namespace.run(move || open(&directory, mode)));
	}

	/// What is in memory is gone.
	fn kill(&mut self) {
		self.actor = None;
	}

	/// The disk as it is now.
	fn disk(&self) -> TempDir {
		let copy = tempfile::tempdir().unwrap();
		for entry in fs::read_dir(self.directory.path()).unwrap() {
			let entry = entry.unwrap();
			fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
		}
		copy
	}

	/// Has the actor do something: in its namespace, for it may open the firewall anew.
	fn with<T: Send + 'static>(&mut self, work: impl FnOnce(&mut Enforcement) -> T + Send + 'static) -> T {
		let mut actor = self.actor.take().expect("an actor that lives");
		let (actor, done) = self.namespace.run(move || {
			let done = work(&mut actor);
			(actor, done)
		});
		self.actor = Some(actor);
		done
	}

	/// Takes in the chain's whole set.
	fn fetch(&mut self, chain: &Chain) {
		let (proven, decisions) = (chain.proven(), chain.active.values().cloned().collect::<Vec<_>>());
		let done = self.with(move |actor| -> Result<(), EnforceError> {
			actor.begin(proven)?;
			actor.page(&decisions)?;
			actor.end(decisions.len() as u64)
		});
		done.unwrap();
	}

	/// Takes in what is new on the chain.
	fn follow(&mut self, chain: &Chain) {
		let from = self.with(|actor| actor.cursor().due());
		let frame = chain.frame(from);
		assert_eq!(self.with(move |actor| actor.apply(&frame)).unwrap(), Flow::On);
	}

	/// What a verification says that the kernel lacked.
	fn lacked(&mut self) -> u64 {
		match self.with(|actor| actor.answer(Request::Verify)) {
			Answer::Verified(verified) => verified.missing,
			other => panic!("{other:?}"),
		}
	}

	/// The set that the kernel keeps hosts in which are dropped.
	fn set(&self) -> String {
		let elements = self.namespace.elements();
		let set = elements.iter().find_map(|element| element.split(' ').next().filter(|set| set.starts_with("drop_")));
		set.expect("a peer that is dropped").to_owned()
	}

	/// Whom the kernel drops.
	fn dropped(&self) -> Vec<String> {
		let elements = self.namespace.elements();
		let dropped = elements.iter().filter(|element| element.starts_with("drop_"));
		let mut peers: Vec<String> =
			dropped.filter_map(|element| element.split(' ').nth(1)).map(str::to_owned).collect();
		peers.sort();
		peers
	}

	/// The store has what the chain has, the kernel has that and nothing else, and nothing lacks.
	fn agrees(&mut self, chain: &Chain) {
		let heartbeat = chain.heartbeat();
		let next = self.with(move |actor| {
			let flow = actor.heartbeat(&heartbeat);
			(flow, actor.due())
		});
		assert_eq!(next, (Flow::On, Due::Changes { from: chain.seq() + 1 }), "the store is not the chain's set");
		let hosts = chain.active.values().flat_map(|decision| decision.indicator.networks());
		let mut wanted: Vec<String> = hosts.map(|host| host.address().to_string()).collect();
		wanted.sort();
		assert_eq!(self.dropped(), wanted);
		assert_eq!(self.lacked(), 0);
		assert_eq!(self.dropped(), wanted);
		self.with(Enforcement::look_after).unwrap();
		assert_eq!(self.dropped(), wanted);
	}
}

#[test]
fn what_the_chain_says_is_what_store_and_kernel_hold() {
	needs_kernel!();
	let mut chain = Chain::blocking("203.0.113.9");
	let mut gateway = Gateway::new(&chain);
	gateway.agrees(&chain);
	chain.block("2001:db8::9");
	chain.block("203.0.113.10");
	chain.revoke("203.0.113.9");
	gateway.follow(&chain);
	gateway.agrees(&chain);
}

#[test]
fn what_the_kernel_took_and_the_disk_did_not_is_taken_in_again() {
	needs_kernel!();
	let mut chain = Chain::blocking("203.0.113.9");
	let mut gateway = Gateway::new(&chain);
	let before = gateway.disk();
	chain.block("203.0.113.10");
	chain.revoke("203.0.113.9");
	gateway.follow(&chain);
	gateway.kill();
	gateway.directory = before;
	gateway.start(Mode::Enforce);
	assert_eq!(gateway.dropped(), ["203.0.113.10"], "the table was adopted");
	gateway.follow(&chain);
	gateway.agrees(&chain);
}

#[test]
fn what_the_disk_took_and_the_kernel_did_not_is_in_force_after_the_next_start() {
	needs_kernel!();
	let mut chain = Chain::blocking("203.0.113.9");
	let mut gateway = Gateway::new(&chain);
	gateway.kill();
	chain.block("203.0.113.10");
	chain.revoke("203.0.113.9");
	// One that leaves the kernel alone comes as far as one that dies in the middle.
	gateway.start(Mode::DryRun);
	gateway.fetch(&chain);
	gateway.kill();
	gateway.start(Mode::Enforce);
	gateway.agrees(&chain);
}

#[test]
fn a_table_that_was_flushed_or_deleted_while_nobody_owned_it_is_filled_from_the_store() {
	needs_kernel!();
	let chain = Chain::blocking("203.0.113.9");
	let mut gateway = Gateway::new(&chain);
	for damage in ["flush ruleset", "delete table inet ringfence", "flush table inet ringfence"] {
		gateway.kill();
		gateway.namespace.nft(damage);
		gateway.start(Mode::Enforce);
		gateway.agrees(&chain);
	}
}

#[test]
fn a_table_that_is_deleted_under_the_actor_is_there_again_after_its_next_look() {
	needs_kernel!();
	let chain = Chain::blocking("203.0.113.9");
	let mut gateway = Gateway::new(&chain);
	// Where the kernel knows owners, it refuses.
	gateway.namespace.output("nft", "delete table inet ringfence");
	gateway.with(Enforcement::look_after).unwrap();
	gateway.agrees(&chain);
}

#[test]
fn a_verification_finds_what_lacks_and_removes_what_somebody_added() {
	needs_kernel!();
	let mut chain = Chain::blocking("203.0.113.9");
	chain.block("203.0.113.10");
	let mut gateway = Gateway::new(&chain);
	let set = gateway.set();
	gateway.kill();
	gateway.namespace.nft(&format!("delete element inet ringfence {set} {{ 203.0.113.9 }}"));
	gateway.namespace.nft(&format!("add element inet ringfence {set} {{ 198.51.100.66 timeout 1h }}"));
	gateway.start(Mode::Enforce);
	assert_eq!(gateway.dropped(), ["198.51.100.66", "203.0.113.10"], "the table was adopted");
	assert_eq!(gateway.lacked(), 1);
	gateway.agrees(&chain);
}

#[test]
fn a_clock_that_jumps_gives_no_block_more_time() {
	needs_kernel!();
	let mut chain = Chain::blocking("203.0.113.9");
	let mut gateway = Gateway::new(&chain);
	// By the chain it is two hours later, and the first block is over.
	chain.block_at("203.0.113.10", now_ms() + 2 * HOUR, HOUR);
	gateway.follow(&chain);
	for _ in 0..2 {
		let left = gateway.namespace.expiries();
		assert!(!left.is_empty() && left.iter().all(|seconds| *seconds <= HOUR / 1_000), "{left:?}");
		gateway.kill();
		gateway.start(Mode::Enforce);
	}
	assert_eq!(gateway.lacked(), 0);
	for _ in 0..2 {
		assert_eq!(gateway.dropped(), ["203.0.113.10"], "filled by the chain's clock");
		gateway.kill();
		gateway.start(Mode::Enforce);
	}
	chain.tell(now_ms() + 2 * HOUR, ChangeKind::Expired(network("203.0.113.9").into()));
	gateway.follow(&chain);
	gateway.agrees(&chain);
}

#[test]
fn a_snapshot_ends_the_connections_of_whom_it_drops_and_of_nobody_else() {
	needs_kernel!();
	let mut chain = Chain::blocking("203.0.113.9");
	let mut gateway = Gateway::new(&chain);
	let Some(mut conntrack) = gateway.namespace.run(Conntrack::open).unwrap() else {
		return eprintln!("skipped: this kernel tracks no connections");
	};
	gateway.namespace.nft("add table inet tracking");
	gateway.namespace.nft("add chain inet tracking in { type filter hook prerouting priority 0; }");
	gateway.namespace.nft("add rule inet tracking in ct state new accept");
	let begin = || {
		let bind = |address: &str| UdpSocket::bind((address, 0)).unwrap();
		let (here, bad, good) = (bind("127.0.0.1"), bind("127.0.0.3"), bind("127.0.0.4"));
		for there in [bad, good] {
			here.send_to(b"hello", there.local_addr().unwrap()).unwrap();
		}
	};
	gateway.namespace.run(begin);
	chain.block("127.0.0.3");
	gateway.fetch(&chain);
	let mut cut = |peer: &str| {
		let target = ringfence_enforcer::core::ruleset::Target::Network(network(peer));
		conntrack.cut(&[target], &[]).unwrap()
	};
	assert_eq!(cut("127.0.0.3"), 0, "it was ended");
	assert_eq!(cut("127.0.0.4"), 1, "it goes on");
	gateway.agrees(&chain);
}
