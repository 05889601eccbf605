//! The firewall against the real kernel, read back with the real `nft`, and with real packets.
//!
//! Every test works in network namespaces of its own. A [`Namespace`] is a thread that has unshared its network: what is
//! run in it, child processes included, sees that network, and sockets opened in it belong to that network wherever they
//! are used afterwards. When the thread ends the namespace is gone, whatever state the test left it in.
//!
//! Root and `nft` are needed. Without them each test says so and passes, unless `RINGFENCE_REQUIRE_ROOT_TESTS=1`.

use ringfence_enforcer::{
	core::ruleset::{Action, Command, Direction, Endpoint, Network, PacketRate, Target},
	daemon::firewall::{Count, Exempt, Features, Firewall, FirewallError, Opened},
};
use ringfence_primitives::{Address, Transport};
use serde_json::Value;
use std::{
	io::{ErrorKind, Read, Write},
	net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
	process,
	sync::{
		atomic::{AtomicU64, Ordering},
		mpsc,
	},
	thread,
	time::{Duration, Instant},
};

const TOKEN: u64 = 0x0123_4567_89ab_cdef;
const HOUR: u64 = 3_600_000;
/// For what must happen. Nothing waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace, and the thread that keeps it.
struct Namespace {
	thread: i32,
	jobs: mpsc::Sender<Job>,
}

impl Namespace {
	fn new() -> Self {
		let (jobs, inbox) = mpsc::channel::<Job>();
		let (ready, started) = mpsc::channel();
		thread::spawn(move || {
			// SAFETY: no pointers are passed; only this thread's network changes.
			let entered = unsafe { libc::unshare(libc::CLONE_NEWNET) };
			assert_eq!(entered, 0, "unshare: {}", std::io::Error::last_os_error());
			// SAFETY: takes nothing and always succeeds.
			ready.send(unsafe { libc::gettid() }).unwrap();
			inbox.into_iter().for_each(|job| job());
		});
		let namespace = Self { thread: started.recv().expect("a namespace"), jobs };
		namespace.ip("link set lo up");
		namespace
	}

	/// Runs `work` in the namespace.
	fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
		let (done, result) = mpsc::channel();
		self.jobs.send(Box::new(move || drop(done.send(work())))).expect("the namespace's thread");
		result.recv().expect("the work in the namespace panicked")
	}

	fn output(&self, program: &'static str, arguments: &str) -> process::Output {
		let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
		self.run(move || process::Command::new(program).args(arguments).output().expect(program))
	}

	fn command(&self, program: &'static str, arguments: &str) -> String {
		let output = self.output(program, arguments);
		let words = String::from_utf8_lossy(&output.stderr);
		assert!(output.status.success(), "{program} {arguments}: {words}");
		assert!(words.is_empty(), "{program} {arguments} complains: {words}");
		String::from_utf8(output.stdout).unwrap()
	}

	fn ip(&self, arguments: &str) {
		self.command("ip", arguments);
	}

	fn nft(&self, arguments: &str) -> String {
		self.command("nft", arguments)
	}

	/// Objects of one kind (`set`, `rule`, `chain`, `counter`) of our table, as `nft -j` tells them.
	fn objects(&self, kind: &str) -> Vec<Value> {
		// nft before 1.1 knows no persistent tables and breaks off where it prints one that nobody owns: do not ask it
		// for the table itself where that can be helped.
		let text = match kind {
			"rule" => self.nft("-j list table inet ringfence"),
			_ => self.nft(&format!("-j list {kind}s inet")),
		};
		let all: Value = serde_json::from_str(&text).unwrap();
		let objects = all["nftables"].as_array().unwrap().iter().filter_map(|object| object.get(kind));
		objects.filter(|object| object["table"] == "ringfence").cloned().collect()
	}

	/// The elements of our sets as `set element`, in order; sets that are empty are left out.
	fn elements(&self) -> Vec<String> {
		let mut all = Vec::new();
		for set in self.objects("set") {
			for element in set["elem"].as_array().unwrap_or(&Vec::new()) {
				let value = element.pointer("/elem/val").unwrap_or(element);
				let value = match &value["concat"] {
					Value::Array(fields) => {
						fields.iter().map(|f| f.to_string().replace('"', "")).collect::<Vec<_>>().join(" . ")
					}
					_ => value.as_str().unwrap().to_owned(),
				};
				all.push(format!("{} {value}", set["name"].as_str().unwrap()));
			}
		}
		all.sort();
		all
	}

	/// Seconds that our elements have left, in the order of [`Self::elements`] within one set.
	fn expiries(&self) -> Vec<u64> {
		let sets = self.objects("set");
		let elements = sets.iter().filter_map(|set| set["elem"].as_array()).flatten();
		elements.filter_map(|element| element.pointer("/elem/expires")?.as_u64()).collect()
	}

	fn open(&self, token: u64, exempt: Exempt) -> Result<(Firewall, Opened), FirewallError> {
		self.run(move || Firewall::open(token, &exempt))
	}

	fn firewall(&self) -> Firewall {
		let (firewall, opened) = self.open(TOKEN, Exempt::default()).expect("a firewall");
		assert_eq!(opened, Opened::Rebuilt);
		firewall
	}

	/// Joins the two with a veth pair: device `device` here with `here`, and in `peer` with `there`.
	fn join(&self, device: &str, here: &[&str], peer: &Namespace, there: &[&str]) {
		let far = format!("{device}p");
		self.ip(&format!("link add {device} type veth peer name {far} netns {}", peer.thread));
		for (namespace, device, addresses) in [(self, device, here), (peer, far.as_str(), there)] {
			for address in addresses {
				namespace.ip(&format!(
					"address add {address} dev {device}{}",
					if address.contains(':') { " nodad" } else { "" }
				));
			}
			namespace.ip(&format!("link set {device} up"));
		}
	}
}

fn usable() -> bool {
	// SAFETY: no pointers are passed; only the network of a thread that ends at once changes.
	let root = thread::spawn(|| unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0).join().unwrap();
	let nft = process::Command::new("nft").arg("--version").output().is_ok_and(|output| output.status.success());
	let missing = match (root, nft) {
		(true, true) => return true,
		(false, _) => "root",
		(true, false) => "nft",
	};
	let required = std::env::var("RINGFENCE_REQUIRE_ROOT_TESTS").is_ok_and(|value| value == "1");
	assert!(!required, "RINGFENCE_REQUIRE_ROOT_TESTS=1, but this needs {missing}");
	eprintln!("skipped: needs {missing}");
	false
}

/// Ends the test, with a word why, where it cannot be run.
macro_rules! needs_kernel {
	() => {
		if !usable() {
			return;
		}
	};
}

fn network(text: &str) -> Network {
	text.parse().unwrap()
}

fn peer(text: &str) -> Target {
	Target::Network(network(text))
}

fn service(address: &str, protocol: Transport, port: u16) -> Target {
	Target::Endpoint(Endpoint { address: address.parse().unwrap(), protocol, port })
}

fn act(target: Target, direction: Direction, action: Action) -> Command {
	Command::Block { target, direction, action, timeout_ms: HOUR }
}

fn block(target: Target) -> Command {
	act(target, Direction::Both, Action::Drop)
}

fn limit(packets: u32) -> Action {
	Action::RateLimit(PacketRate::new(packets).unwrap())
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
	let start = Instant::now();
	while !condition() {
		assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
		thread::yield_now();
	}
}

/// A gateway with an attacker on one side: addresses `bad` and `good` of each family are the attacker's.
struct Wire {
	gateway: Namespace,
	attacker: Namespace,
}

const GATEWAY: &str = "198.18.0.1";
const BAD: &str = "198.18.0.66";
const GOOD: &str = "198.18.0.7";
const GATEWAY6: &str = "2001:db8::1";
const BAD6: &str = "2001:db8::66";
const GOOD6: &str = "2001:db8::7";

impl Wire {
	fn new() -> Self {
		pin();
		let (gateway, attacker) = (Namespace::new(), Namespace::new());
		gateway.join(
			"wan",
			&["198.18.0.1/24", "2001:db8::1/64"],
			&attacker,
			&["198.18.0.66/24", "198.18.0.7/24", "2001:db8::66/64", "2001:db8::7/64"],
		);
		// A block of an on-link IPv6 peer stops its neighbour discovery too: let nobody depend on that here.
		let mac = |namespace: &Namespace, device: &str| {
			let json: Value =
				serde_json::from_str(&namespace.command("ip", &format!("-j link show {device}"))).unwrap();
			json[0]["address"].as_str().unwrap().to_owned()
		};
		let (near, far) = (mac(&gateway, "wan"), mac(&attacker, "wanp"));
		for address in [BAD, GOOD, BAD6, GOOD6] {
			gateway.ip(&format!("neighbour replace {address} lladdr {far} dev wan"));
		}
		for address in [GATEWAY, GATEWAY6] {
			attacker.ip(&format!("neighbour replace {address} lladdr {near} dev wanp"));
		}
		Self { gateway, attacker }
	}
}

/// Keeps this thread on one processor: packets over veth then arrive in the order in which they were sent.
fn pin() {
	// SAFETY: an empty set is a valid value; the pointers are to it, with its size, and outlive the calls.
	unsafe {
		let mut set: libc::cpu_set_t = std::mem::zeroed();
		libc::CPU_SET(usize::try_from(libc::sched_getcpu()).unwrap_or_default(), &mut set);
		libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &raw const set);
	}
}

fn socket(namespace: &Namespace, address: &str, port: u16) -> UdpSocket {
	let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
	let socket = namespace.run(move || UdpSocket::bind(address)).expect("a socket");
	socket.set_read_timeout(Some(PATIENCE)).unwrap();
	socket
}

/// Whether a packet from `suspect` reaches `receiver`. One from `witness`, sent after it, tells when to stop waiting.
fn arrives(suspect: &UdpSocket, witness: &UdpSocket, receiver: &UdpSocket) -> bool {
	static NUMBER: AtomicU64 = AtomicU64::new(0);
	let (first, second) = (NUMBER.fetch_add(1, Ordering::Relaxed), NUMBER.fetch_add(1, Ordering::Relaxed));
	let to = receiver.local_addr().unwrap();
	suspect.send_to(&first.to_be_bytes(), to).unwrap();
	witness.send_to(&second.to_be_bytes(), to).unwrap();
	let mut seen = false;
	loop {
		let mut buffer = [0; 8];
		receiver.recv(&mut buffer).expect("the witness's packet");
		match u64::from_be_bytes(buffer) {
			number if number == first => seen = true,
			number if number == second => return seen,
			_ => (),
		}
	}
}

/// Whether a packet may leave for `to`: one dropped in the output hook fails with EPERM.
fn leaves(from: &UdpSocket, to: &UdpSocket) -> bool {
	match from.send_to(b"out", to.local_addr().unwrap()) {
		Ok(_) => true,
		Err(error) if error.kind() == ErrorKind::PermissionDenied => false,
		Err(error) => panic!("{error}"),
	}
}

// Opening.

#[test]
fn a_new_table_has_its_chains_counters_and_comment() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	let names = |kind| {
		let mut names: Vec<_> =
			namespace.objects(kind).iter().map(|o| o["name"].as_str().unwrap().to_owned()).collect();
		names.sort();
		names
	};
	let chains = "from from_drop from_limit from_watch output prerouting to to_drop to_limit to_watch";
	assert_eq!(names("chain").join(" "), chains);
	assert_eq!(names("counter").join(" "), "dropped_in dropped_out limited_in limited_out watched_in watched_out");
	assert!(namespace.objects("set").is_empty());
	for base in namespace.objects("chain").iter().filter(|chain| chain.get("hook").is_some()) {
		assert_eq!((&base["prio"], &base["policy"]), (&Value::from(-300), &Value::from("accept")));
	}
	let text = namespace.nft("list table inet ringfence");
	assert!(text.contains("comment \"ringfence 0123456789abcdef layout 1\""), "{text}");
	assert!(text.contains("iif \"lo\" accept") && text.contains("oif \"lo\" accept"), "{text}");
	assert!(firewall.is_intact().unwrap());
}

#[test]
fn a_table_is_adopted_after_its_owner_is_gone() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	firewall.apply(&[block(peer("192.0.2.1")), Command::Protect(network("192.0.2.0/30"))]).unwrap();
	let before = namespace.elements();
	drop(firewall);
	assert_eq!(namespace.elements(), before, "the table survives its owner");
	let (mut firewall, opened) = namespace.open(TOKEN, Exempt::default()).unwrap();
	assert_eq!(opened, Opened::Adopted);
	assert_eq!(namespace.elements(), before);
	assert_eq!(firewall.protected_by_chain().unwrap(), [network("192.0.2.0/30")]);
	firewall.apply(&[Command::Unblock { target: peer("192.0.2.1") }, block(peer("192.0.2.9"))]).unwrap();
	assert_eq!(namespace.elements(), ["drop_both_v4_32 192.0.2.9", "protected_chain_v4_30 192.0.2.0"]);
	assert!(firewall.is_intact().unwrap());
}

#[test]
fn a_table_under_another_token_is_rebuilt() {
	needs_kernel!();
	let namespace = Namespace::new();
	namespace.firewall().apply(&[block(peer("192.0.2.1"))]).unwrap();
	let (mut firewall, opened) = namespace.open(TOKEN + 1, Exempt::default()).unwrap();
	assert_eq!(opened, Opened::Rebuilt);
	assert!(namespace.elements().is_empty());
	assert!(firewall.is_intact().unwrap());
}

#[test]
fn a_table_of_the_same_name_that_is_not_ours_is_rebuilt() {
	needs_kernel!();
	let namespace = Namespace::new();
	namespace.nft("add table inet ringfence");
	namespace.nft("add set inet ringfence mine { type ipv4_addr; }");
	namespace.firewall();
	assert!(namespace.objects("set").is_empty());
}

#[test]
fn a_table_that_was_tampered_with_is_rebuilt() {
	needs_kernel!();
	for damage in [
		"flush chain inet ringfence from",
		"add set inet ringfence mine { type ipv4_addr; }",
		"add chain inet ringfence mine",
		"add rule inet ringfence to accept",
	] {
		let namespace = Namespace::new();
		let mut firewall = namespace.firewall();
		firewall.apply(&[block(peer("192.0.2.1"))]).unwrap();
		drop(firewall);
		namespace.nft(damage);
		let (_firewall, opened) = namespace.open(TOKEN, Exempt::default()).unwrap();
		assert_eq!(opened, Opened::Rebuilt, "{damage}");
	}
}

#[test]
fn the_table_of_a_living_process_is_left_alone() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	if !firewall.features().owner {
		return eprintln!("skipped: this kernel has no owned tables");
	}
	for token in [TOKEN, TOKEN + 1] {
		assert!(matches!(namespace.open(token, Exempt::default()), Err(FirewallError::Owned)));
	}
	assert!(!namespace.output("nft", "delete table inet ringfence").status.success());
	namespace.nft("flush ruleset");
	assert!(firewall.is_intact().unwrap());
}

#[test]
fn local_lists_are_set_anew_at_each_opening() {
	needs_kernel!();
	let namespace = Namespace::new();
	let lists = |protected: &[&str], allowed: &[&str]| Exempt {
		protected: protected.iter().map(|n| network(n)).collect(),
		allowed: allowed.iter().map(|n| network(n)).collect(),
	};
	// Twice the same is no mistake.
	let (mut firewall, _) = namespace.open(TOKEN, lists(&["10.0.0.0/8", "10.0.0.0/8"], &["192.0.2.7"])).unwrap();
	firewall.apply(&[Command::Protect(network("172.16.0.0/12")), Command::Unprotect(network("10.0.0.0/8"))]).unwrap();
	let chain = "protected_chain_v4_12 172.16.0.0";
	assert_eq!(namespace.elements(), ["allowed_v4_32 192.0.2.7", chain, "protected_local_v4_8 10.0.0.0"]);
	drop(firewall);
	let (_firewall, opened) = namespace.open(TOKEN, lists(&["2001:db8::/32"], &["192.0.2.8"])).unwrap();
	assert_eq!(opened, Opened::Adopted);
	assert_eq!(namespace.elements(), ["allowed_v4_32 192.0.2.8", chain, "protected_local_v6_32 2001:db8::"]);
}

#[test]
fn removal_leaves_nothing() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	firewall.apply(&[block(peer("192.0.2.1"))]).unwrap();
	firewall.remove().unwrap();
	assert_eq!(namespace.nft("list ruleset"), "");
}

#[test]
fn everybody_elses_tables_stay_as_they_are() {
	needs_kernel!();
	let namespace = Namespace::new();
	namespace.nft("add table ip ringfence");
	namespace.nft("add table inet filter");
	namespace.nft("add chain inet filter input { type filter hook input priority 0; policy drop; }");
	namespace.nft("add set inet filter drop_both_v4_32 { type ipv4_addr; elements = { 192.0.2.99 } }");
	let before = namespace.nft("list ruleset");
	let mut firewall = namespace.firewall();
	firewall.apply(&[block(peer("192.0.2.1")), Command::Unblock { target: peer("192.0.2.99") }]).unwrap();
	drop(firewall);
	let (firewall, _) = namespace.open(TOKEN + 1, Exempt::default()).unwrap();
	firewall.remove().unwrap();
	assert_eq!(namespace.nft("list ruleset"), before);
}

#[test]
fn without_rights_the_refusal_says_so() {
	needs_kernel!();
	let namespace = Namespace::new();
	let error = namespace.run(|| {
		// SAFETY: a plain system call, so that only this thread changes its user, and with it loses its rights.
		assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) }, 0);
		Firewall::open(TOKEN, &Exempt::default()).err().map(|error| error.to_string())
	});
	assert_eq!(error.as_deref(), Some("cannot use nf_tables: Operation not permitted (os error 1)"));
}

// Elements.

#[test]
fn every_kind_of_target_has_its_set() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	let targets = [
		peer("192.0.2.1"),
		peer("192.0.2.0/24"),
		peer("192.0.2.0/31"),
		peer("192.0.0.0/16"),
		peer("0.0.0.0/0"),
		peer("2001:db8::1"),
		peer("2001:db8::/64"),
		peer("2001:db8::/33"),
		peer("::/0"),
		service("192.0.2.1", Transport::Tcp, 443),
		service("2001:db8::1", Transport::Sctp, 9),
	];
	firewall.apply(&targets.map(block)).unwrap();
	assert_eq!(
		namespace.elements(),
		[
			"drop_both_ep_v4 192.0.2.1 . tcp . 443",
			"drop_both_ep_v6 2001:db8::1 . sctp . 9",
			"drop_both_v4_0 0.0.0.0",
			"drop_both_v4_16 192.0.0.0",
			"drop_both_v4_24 192.0.2.0",
			"drop_both_v4_31 192.0.2.0",
			"drop_both_v4_32 192.0.2.1",
			"drop_both_v6_0 ::",
			"drop_both_v6_128 2001:db8::1",
			"drop_both_v6_33 2001:db8::",
			"drop_both_v6_64 2001:db8::",
		]
	);
	firewall.apply(&targets.map(|target| Command::Unblock { target })).unwrap();
	assert!(namespace.elements().is_empty());
	assert!(firewall.is_intact().unwrap());
}

#[test]
fn rules_read_as_a_person_would_write_them() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	let service = service("2001:db8::1", Transport::Udp, 53);
	firewall
		.apply(&[
			block(peer("192.0.2.0/23")),
			act(peer("2001:db8::1"), Direction::Inbound, limit(1000)),
			act(service, Direction::Outbound, Action::Watch),
			Command::Protect(network("2001:db8::/32")),
		])
		.unwrap();
	let text = namespace.nft("list table inet ringfence");
	for rule in [
		"ip saddr & 255.255.254.0 == @drop_both_v4_23 counter name \"dropped_in\" drop",
		"ip daddr & 255.255.254.0 == @drop_both_v4_23 counter name \"dropped_out\" drop",
		"ip6 saddr @limit_in_v6_128 counter name \"limited_in\" drop",
		"ip6 daddr . meta l4proto . th dport @watch_out_ep_v6 counter name \"watched_out\"\n",
		"ip6 saddr & ffff:ffff:: == @protected_chain_v6_32 return",
		"limit rate over 1000/second burst 100 packets",
		"type ipv6_addr . inet_proto . inet_service",
		"gc-interval 1m",
	] {
		assert!(text.contains(rule), "{rule} is not in\n{text}");
	}
	for rule in ["ip6 daddr @limit_in_v6_128", "th sport @watch_out_ep_v6"] {
		assert!(!text.contains(rule), "{rule} is in\n{text}");
	}
	// Exempt peers come before everything else on their side.
	let from: Vec<_> = namespace.objects("rule").into_iter().filter(|rule| rule["chain"] == "from").collect();
	assert!(from[0].to_string().contains("@protected_chain_v6_32"));
	assert_eq!(from.len(), 4);
}

#[test]
fn a_new_direction_or_action_replaces_the_old() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	for target in [peer("192.0.2.1"), peer("2001:db8::/48"), service("192.0.2.1", Transport::Udp, 53)] {
		for (direction, action, set) in [
			(Direction::Both, Action::Drop, "drop_both"),
			(Direction::Inbound, Action::Drop, "drop_in"),
			(Direction::Outbound, limit(10), "limit_out"),
			(Direction::Both, limit(20), "limit_both"),
			(Direction::Both, Action::Watch, "watch_both"),
			(Direction::Both, Action::Drop, "drop_both"),
		] {
			firewall.apply(&[act(target, direction, action)]).unwrap();
			let elements = namespace.elements();
			assert!(elements.len() == 1 && elements[0].starts_with(set), "{elements:?}");
		}
		firewall.apply(&[Command::Unblock { target }]).unwrap();
	}
}

#[test]
fn a_repeated_block_takes_the_new_timeout() {
	needs_kernel!();
	for features in [None, Some(Features { owner: false, destroy: false })] {
		let namespace = Namespace::new();
		let (mut firewall, _) = namespace
			.run(move || match features {
				Some(features) => Firewall::open_with(TOKEN, &Exempt::default(), features),
				None => Firewall::open(TOKEN, &Exempt::default()),
			})
			.unwrap();
		let target = peer("192.0.2.1");
		for seconds in [100, 10_000, 1_000] {
			let (direction, action) = (Direction::Both, Action::Drop);
			firewall.apply(&[Command::Block { target, direction, action, timeout_ms: seconds * 1000 }]).unwrap();
			let left = namespace.expiries();
			assert!(left.len() == 1 && (seconds - 60..=seconds).contains(&left[0]), "{left:?}");
		}
	}
}

#[test]
fn a_block_ends_by_itself() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	let (target, direction, action) = (peer("192.0.2.1"), Direction::Both, Action::Drop);
	// Less than the kernel can measure must not become for ever.
	firewall.apply(&[Command::Block { target, direction, action, timeout_ms: 0 }]).unwrap();
	wait_until("the end of the block", || namespace.elements().is_empty());
}

#[test]
fn unblocking_what_is_not_blocked_is_no_error() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	let missing = [peer("192.0.2.1"), peer("192.0.2.0/24"), service("192.0.2.1", Transport::Tcp, 1)]
		.map(|target| Command::Unblock { target });
	firewall.apply(&missing).unwrap();
	firewall.apply(&[block(peer("192.0.2.9")), block(peer("192.0.3.0/24"))]).unwrap();
	firewall.apply(&missing).unwrap();
	firewall.apply(&[Command::Unprotect(network("192.0.2.0/24"))]).unwrap();
	assert_eq!(namespace.elements().len(), 2);
}

#[test]
fn ten_thousand_at_once() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	let target = |i: u16| Target::Network(Network::host(Address::V4([10, 1, (i >> 8) as u8, i as u8])));
	let blocks: Vec<_> = (0..10_000).map(|i| block(target(i))).collect();
	assert!(firewall.atomic_commands() >= blocks.len());
	firewall.apply(&blocks).unwrap();
	assert_eq!(namespace.elements().len(), 10_000);
	firewall.apply(&blocks).unwrap();
	assert_eq!(namespace.elements().len(), 10_000);
	let changed: Vec<_> = (0..10_000).map(|i| act(target(i), Direction::Inbound, limit(5))).collect();
	firewall.apply(&changed).unwrap();
	let elements = namespace.elements();
	assert!(elements.len() == 10_000 && elements.iter().all(|e| e.starts_with("limit_in_v4_32")));
	assert!(firewall.is_intact().unwrap());
}

#[test]
fn more_than_one_batch_holds_is_carried_out_too() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	let count = firewall.atomic_commands() + 1;
	let target = |i: usize| {
		let [.., a, b, c] = i.to_be_bytes();
		Target::Network(Network::host(Address::V4([10, a, b, c])))
	};
	firewall.apply(&(0..count).map(|i| block(target(i))).collect::<Vec<_>>()).unwrap();
	let set = namespace.nft("-j list set inet ringfence drop_both_v4_32");
	assert_eq!(set.matches("\"val\"").count(), count);
}

// Faults.

#[test]
fn a_batch_that_is_refused_leaves_nothing_behind() {
	needs_kernel!();
	let namespace = Namespace::new();
	let (mut firewall, _) = namespace
		.run(|| Firewall::open_with(TOKEN, &Exempt::default(), Features { owner: false, destroy: true }))
		.unwrap();
	firewall.apply(&[block(peer("192.0.2.1"))]).unwrap();
	// Somebody else makes a set where ours would come: creating ours is refused.
	namespace.nft("add set inet ringfence drop_both_v4_24 { type ipv6_addr; }");
	let before = namespace.nft("list table inet ringfence").replace(char::is_numeric, "");
	let batch = [
		block(peer("192.0.2.2")),
		block(peer("2001:db8::/64")),
		Command::Unblock { target: peer("192.0.2.1") },
		block(peer("192.0.2.0/24")),
	];
	let error = firewall.apply(&batch).unwrap_err();
	assert!(matches!(error, FirewallError::Refused { .. }), "{error}");
	assert_eq!(error.to_string(), "cannot add set drop_both_v4_24: File exists (os error 17)");
	assert_eq!(namespace.nft("list table inet ringfence").replace(char::is_numeric, ""), before);
	// The cause removed, the same batch goes through.
	namespace.nft("delete set inet ringfence drop_both_v4_24");
	firewall.apply(&batch).unwrap();
	let expected = ["drop_both_v4_24 192.0.2.0", "drop_both_v4_32 192.0.2.2", "drop_both_v6_64 2001:db8::"];
	assert_eq!(namespace.elements(), expected);
}

#[test]
fn a_table_that_vanished_is_noticed() {
	needs_kernel!();
	let namespace = Namespace::new();
	let older = Features { owner: false, destroy: true };
	let (mut firewall, _) = namespace.run(move || Firewall::open_with(TOKEN, &Exempt::default(), older)).unwrap();
	firewall.apply(&[block(peer("192.0.2.1"))]).unwrap();
	namespace.nft("add table inet unrelated");
	assert!(firewall.is_intact().unwrap(), "somebody else's change is none");
	namespace.nft("flush ruleset");
	assert!(!firewall.is_intact().unwrap());
	assert!(matches!(firewall.counters(), Err(FirewallError::Gone)));
	assert!(firewall.apply(&[block(peer("192.0.2.2"))]).is_err());
	let (mut firewall, opened) = namespace.run(move || Firewall::open_with(TOKEN, &Exempt::default(), older)).unwrap();
	assert_eq!(opened, Opened::Rebuilt);
	assert!(firewall.is_intact().unwrap());
}

#[test]
fn a_table_without_its_rules_or_made_again_is_noticed() {
	needs_kernel!();
	let damages = [&["flush chain inet ringfence to_drop"][..], &["flush ruleset", "add table inet ringfence"]];
	for damage in damages {
		let namespace = Namespace::new();
		let older = Features { owner: false, destroy: true };
		let (mut firewall, _) = namespace.run(move || Firewall::open_with(TOKEN, &Exempt::default(), older)).unwrap();
		firewall.apply(&[block(peer("192.0.2.1"))]).unwrap();
		damage.iter().for_each(|command| drop(namespace.nft(command)));
		assert!(!firewall.is_intact().unwrap(), "{damage:?}");
	}
}

#[test]
fn an_older_kernel_does_as_well() {
	needs_kernel!();
	let namespace = Namespace::new();
	let older = Features { owner: false, destroy: false };
	let (mut firewall, _) = namespace.run(move || Firewall::open_with(TOKEN, &Exempt::default(), older)).unwrap();
	let targets = [peer("192.0.2.1"), peer("2001:db8::/64"), service("192.0.2.1", Transport::Tcp, 443)];
	for direction in [Direction::Both, Direction::Inbound] {
		for action in [Action::Drop, limit(10), Action::Watch] {
			firewall.apply(&targets.map(|target| act(target, direction, action))).unwrap();
			assert_eq!(namespace.elements().len(), targets.len());
		}
	}
	firewall.apply(&[Command::Protect(network("10.0.0.0/8"))]).unwrap();
	firewall.apply(&[Command::Unprotect(network("10.0.0.0/8"))]).unwrap();
	firewall.apply(&targets.map(|target| Command::Unblock { target })).unwrap();
	firewall.apply(&targets.map(|target| Command::Unblock { target })).unwrap();
	assert!(namespace.elements().is_empty());
	drop(firewall);
	let (_, opened) = namespace.run(move || Firewall::open_with(TOKEN, &Exempt::default(), older)).unwrap();
	assert_eq!(opened, Opened::Adopted);
}

// Packets.

#[test]
fn a_blocked_peers_packets_are_dropped_and_flow_again() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	for (gateway, bad, good, wider) in
		[(GATEWAY, BAD, GOOD, "198.18.0.64/28"), (GATEWAY6, BAD6, GOOD6, "2001:db8::60/123")]
	{
		let here = socket(&wire.gateway, gateway, 5000);
		let (suspect, witness) = (socket(&wire.attacker, bad, 6000), socket(&wire.attacker, good, 6000));
		assert!(arrives(&suspect, &witness, &here) && leaves(&here, &suspect));
		for target in [peer(bad), peer(wider), service(bad, Transport::Udp, 6000)] {
			for (direction, inbound, outbound) in
				[(Direction::Both, false, false), (Direction::Inbound, false, true), (Direction::Outbound, true, false)]
			{
				let before = firewall.counters().unwrap().dropped;
				firewall.apply(&[act(target, direction, Action::Drop)]).unwrap();
				assert_eq!(arrives(&suspect, &witness, &here), inbound, "{target} {direction}");
				assert_eq!(leaves(&here, &suspect), outbound, "{target} {direction}");
				let after = firewall.counters().unwrap().dropped;
				assert_eq!(after.inbound.packets - before.inbound.packets, u64::from(!inbound));
				assert_eq!(after.outbound.packets - before.outbound.packets, u64::from(!outbound));
			}
			firewall.apply(&[Command::Unblock { target }]).unwrap();
			assert!(arrives(&suspect, &witness, &here) && leaves(&here, &suspect));
		}
		// Another service of the same host goes on.
		firewall
			.apply(&[block(service(bad, Transport::Udp, 6001)), block(service(bad, Transport::Tcp, 6000))])
			.unwrap();
		assert!(arrives(&suspect, &witness, &here) && leaves(&here, &suspect));
	}
}

#[test]
fn forwarded_packets_are_dropped_in_both_directions() {
	needs_kernel!();
	let wire = Wire::new();
	let home = Namespace::new();
	wire.gateway.join("lan", &["203.0.113.1/27"], &home, &["203.0.113.10/27"]);
	home.ip("route add default via 203.0.113.1");
	wire.attacker.ip("route add 203.0.113.0/27 via 198.18.0.1");
	// What is below /proc/sys/net is that of the thread which opens it.
	wire.gateway.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap();
	// The household itself is exempt, as a peer; its packets are not.
	let exempt = Exempt { protected: vec![network("203.0.113.0/24")], allowed: Vec::new() };
	let (mut firewall, _) = wire.gateway.open(TOKEN, exempt).unwrap();
	let inside = socket(&home, "203.0.113.10", 5000);
	let (bad, good) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	let reaches = |to: &UdpSocket, witness: &UdpSocket| {
		inside.send_to(b"to", to.local_addr().unwrap()).unwrap();
		inside.send_to(b"to", witness.local_addr().unwrap()).unwrap();
		witness.recv(&mut [0; 8]).expect("the witness's packet");
		to.set_nonblocking(true).unwrap();
		let seen = to.recv(&mut [0; 8]).is_ok();
		to.set_nonblocking(false).unwrap();
		seen
	};
	assert!(arrives(&bad, &good, &inside) && reaches(&bad, &good));
	firewall.apply(&[block(peer(BAD))]).unwrap();
	assert!(!arrives(&bad, &good, &inside));
	assert!(!reaches(&bad, &good));
	let dropped = firewall.counters().unwrap().dropped;
	assert_eq!((dropped.inbound.packets, dropped.outbound.packets), (1, 1));
	assert_eq!(dropped.inbound.bytes, 20 + 8 + 8);
	firewall.apply(&[Command::Unblock { target: peer(BAD) }]).unwrap();
	assert!(arrives(&bad, &good, &inside) && reaches(&bad, &good));
}

#[test]
fn an_established_connection_is_cut() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	let listener = wire.gateway.run(|| TcpListener::bind((GATEWAY, 5000))).unwrap();
	let connect = || TcpStream::connect((GATEWAY, 5000));
	// The attacker's first address is the one it connects from.
	let mut client = wire.attacker.run(connect).unwrap();
	let (mut server, from) = listener.accept().unwrap();
	assert_eq!(from.ip().to_string(), BAD);
	client.write_all(b"one").unwrap();
	let mut buffer = [0; 3];
	server.read_exact(&mut buffer).unwrap();
	firewall.apply(&[block(peer(BAD))]).unwrap();
	client.write_all(b"two").unwrap();
	wait_until("a dropped segment", || firewall.counters().unwrap().dropped.inbound.packets > 0);
	server.set_nonblocking(true).unwrap();
	assert_eq!(server.read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
	firewall.apply(&[Command::Unblock { target: peer(BAD) }]).unwrap();
	server.set_nonblocking(false).unwrap();
	server.set_read_timeout(Some(PATIENCE)).unwrap();
	server.read_exact(&mut buffer).expect("what was sent again");
	assert_eq!(&buffer, b"two");
}

#[test]
fn exempt_peers_get_through_whatever_is_blocked() {
	needs_kernel!();
	let wire = Wire::new();
	let here = socket(&wire.gateway, GATEWAY, 5000);
	let (suspect, witness) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	// As wide as the block, wider, and a host within it.
	for shield in ["198.18.0.64/28", "198.18.0.0/17", "198.18.0.66"] {
		for blocked in ["198.18.0.66", "198.18.0.64/28", "198.18.0.64/26"] {
			let (mut firewall, _) = wire.gateway.open(TOKEN, Exempt::default()).unwrap();
			let target = peer(blocked);
			firewall.apply(&[block(target), block(service(BAD, Transport::Udp, 6000))]).unwrap();
			assert!(!arrives(&suspect, &witness, &here) && !leaves(&here, &suspect));
			firewall.apply(&[Command::Protect(network(shield))]).unwrap();
			assert!(arrives(&suspect, &witness, &here) && leaves(&here, &suspect), "{shield} {blocked}");
			firewall.apply(&[Command::Unprotect(network(shield))]).unwrap();
			assert!(!arrives(&suspect, &witness, &here) && !leaves(&here, &suspect));
			drop(firewall);
			for allowed in [true, false] {
				let (mut lists, list) = (Exempt::default(), vec![network(shield)]);
				*(if allowed { &mut lists.allowed } else { &mut lists.protected }) = list;
				let (firewall, opened) = wire.gateway.open(TOKEN, lists).unwrap();
				assert_eq!(opened, Opened::Adopted);
				assert!(arrives(&suspect, &witness, &here) && leaves(&here, &suspect), "{shield} {blocked}");
				drop(firewall);
			}
			let (firewall, _) = wire.gateway.open(TOKEN, Exempt::default()).unwrap();
			assert!(!arrives(&suspect, &witness, &here) && !leaves(&here, &suspect));
			firewall.remove().unwrap();
		}
	}
}

#[test]
fn loopback_is_never_filtered() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	firewall.apply(&["127.0.0.0/8", "198.18.0.0/24", "0.0.0.0/0", "::/0"].map(|n| block(peer(n)))).unwrap();
	for address in ["127.0.0.1", GATEWAY, "::1", GATEWAY6] {
		let (one, two) = (socket(&wire.gateway, address, 0), socket(&wire.gateway, address, 0));
		one.send_to(b"hi", two.local_addr().unwrap()).unwrap();
		assert_eq!(two.recv(&mut [0; 8]).unwrap(), 2);
	}
}

#[test]
fn a_rate_limit_passes_some_and_drops_the_rest() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	let here = socket(&wire.gateway, GATEWAY, 5000);
	let (suspect, witness) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	firewall.apply(&[act(peer(BAD), Direction::Inbound, limit(1))]).unwrap();
	let start = Instant::now();
	let passed = (0..100).filter(|_| arrives(&suspect, &witness, &here)).count();
	let limited = firewall.counters().unwrap().limited.inbound.packets;
	// Five at once, then one a second.
	let most = 6 + start.elapsed().as_secs() as usize;
	assert!((5..=most).contains(&passed), "{passed}");
	assert_eq!(limited, 100 - passed as u64);
	assert_eq!(firewall.counters().unwrap().dropped.inbound, Count::default());
	// A generous one lets all of it through.
	firewall.apply(&[act(peer(BAD), Direction::Inbound, limit(1_000_000))]).unwrap();
	assert_eq!((0..100).filter(|_| arrives(&suspect, &witness, &here)).count(), 100);
}

#[test]
fn watching_counts_and_drops_nothing() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	let here = socket(&wire.gateway, GATEWAY, 5000);
	let (suspect, witness) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	firewall.apply(&[act(peer(BAD), Direction::Both, Action::Watch)]).unwrap();
	for _ in 0..10 {
		assert!(arrives(&suspect, &witness, &here));
	}
	assert!(leaves(&here, &suspect));
	let counters = firewall.counters().unwrap();
	assert_eq!((counters.watched.inbound.packets, counters.watched.outbound.packets), (10, 1));
	assert_eq!(counters.dropped, Default::default());
}
