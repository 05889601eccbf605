//! The firewall against the real kernel, read back with the real `nft`, and with real packets.
//!
//! Every test works in network namespaces of its own. Root and `nft` are needed. Without them each test says so and
//! passes, unless `RINGFENCE_REQUIRE_ROOT_TESTS=1`.

#[macro_use]
mod netns;

use netns::Namespace;
use ringfence_enforcer::{
	core::{
		flow::{FlowSignature, IcmpMatch, LengthRange, PortRange, Severity, TcpFlags, IN_FORCE},
		ruleset::{Action, Command, Direction, Endpoint, Kind, Network, PacketRate, Target},
	},
	daemon::firewall::{Conntrack, Count, Features, Firewall, FirewallError, Local, Mode, Opened},
};
use ringfence_primitives::{Address, Transport};
use serde_json::Value;
use std::{
	io::{ErrorKind, Read, Write},
	net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
	sync::atomic::{AtomicU64, Ordering},
	thread,
	time::{Duration, Instant},
};

const TOKEN: u64 = 0x0123_4567_89ab_cdef;
const HOUR: u64 = 3_600_000;
/// For what must happen. Nothing waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

impl Namespace {
	fn open(&self, token: u64, local: Local) -> Result<(Firewall, Opened), FirewallError> {
		self.run(move || Firewall::open(token, &local))
	}

	fn firewall(&self) -> Firewall {
		let (firewall, opened) = self.open(TOKEN, Local::default()).expect("a firewall");
		assert_eq!(opened, Opened::Rebuilt);
		firewall
	}
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
	let chains =
		"barred contact door dropped_in dropped_out from from_drop from_flow from_limit from_watch limited_in \
	              limited_out output prerouting to to_drop to_flow to_limit to_watch";
	assert_eq!(names("chain").join(" "), chains);
	let counters = "barred dropped_in dropped_out limited_in limited_out spared_in spared_out watched_in watched_out";
	assert_eq!(names("counter").join(" "), counters);
	assert_eq!(names("set").join(" "), "contacts_v4 contacts_v6 uplinks");
	for base in namespace.objects("chain").iter().filter(|chain| chain.get("hook").is_some()) {
		assert_eq!((&base["prio"], &base["policy"]), (&Value::from(-300), &Value::from("accept")));
	}
	let text = namespace.nft("list table inet ringfence");
	assert!(text.contains("comment \"ringfence 0123456789abcdef layout 2\""), "{text}");
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
	let (mut firewall, opened) = namespace.open(TOKEN, Local::default()).unwrap();
	assert_eq!(opened, Opened::Adopted);
	assert_eq!(namespace.elements(), before);
	firewall.apply(&[Command::Unblock { target: peer("192.0.2.1") }, block(peer("192.0.2.9"))]).unwrap();
	assert_eq!(namespace.elements(), ["drop_both_v4_32 192.0.2.9", "protected_chain_v4_30 192.0.2.0"]);
	assert!(firewall.is_intact().unwrap());
}

#[test]
fn a_table_under_another_token_is_rebuilt() {
	needs_kernel!();
	let namespace = Namespace::new();
	namespace.firewall().apply(&[block(peer("192.0.2.1"))]).unwrap();
	let (mut firewall, opened) = namespace.open(TOKEN + 1, Local::default()).unwrap();
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
	assert!(namespace.sets().is_empty());
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
		let (_firewall, opened) = namespace.open(TOKEN, Local::default()).unwrap();
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
		assert!(matches!(namespace.open(token, Local::default()), Err(FirewallError::Owned)));
	}
	assert!(!namespace.output("nft", "delete table inet ringfence").status.success());
	namespace.nft("flush ruleset");
	assert!(firewall.is_intact().unwrap());
}

#[test]
fn local_lists_are_set_anew_at_each_opening() {
	needs_kernel!();
	let namespace = Namespace::new();
	let lists = |protected: &[&str], allowed: &[&str]| Local {
		protected: protected.iter().map(|n| network(n)).collect(),
		allowed: allowed.iter().map(|n| network(n).into()).collect(),
		..Local::default()
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
	let (firewall, _) = namespace.open(TOKEN + 1, Local::default()).unwrap();
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
		Firewall::open(TOKEN, &Local::default()).err().map(|error| error.to_string())
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
		"ip saddr & 255.255.254.0 == @drop_both_v4_23 goto dropped_in",
		"ip daddr & 255.255.254.0 == @drop_both_v4_23 goto contact",
		"iifname != @uplinks update @contacts_v4 { ip saddr . ip daddr timeout 1d }",
		"counter name \"dropped_in\" drop",
		"counter name \"dropped_out\" drop",
		"ip6 saddr @limit_in_v6_128 goto limited_in",
		"counter name \"limited_in\" drop",
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
	assert_eq!(from.len(), 6);
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
				Some(features) => Firewall::open_with(TOKEN, &Local::default(), features),
				None => Firewall::open(TOKEN, &Local::default()),
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
		.run(|| Firewall::open_with(TOKEN, &Local::default(), Features { owner: false, destroy: true }))
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
	let (mut firewall, _) = namespace.run(move || Firewall::open_with(TOKEN, &Local::default(), older)).unwrap();
	firewall.apply(&[block(peer("192.0.2.1"))]).unwrap();
	namespace.nft("add table inet unrelated");
	assert!(firewall.is_intact().unwrap(), "somebody else's change is none");
	namespace.nft("flush ruleset");
	assert!(!firewall.is_intact().unwrap());
	assert!(matches!(firewall.counters(), Err(FirewallError::Gone)));
	assert!(firewall.apply(&[block(peer("192.0.2.2"))]).is_err());
	let (mut firewall, opened) = namespace.run(move || Firewall::open_with(TOKEN, &Local::default(), older)).unwrap();
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
		let (mut firewall, _) = namespace.run(move || Firewall::open_with(TOKEN, &Local::default(), older)).unwrap();
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
	let (mut firewall, _) = namespace.run(move || Firewall::open_with(TOKEN, &Local::default(), older)).unwrap();
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
	let (_, opened) = namespace.run(move || Firewall::open_with(TOKEN, &Local::default(), older)).unwrap();
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
	let local = Local { protected: vec![network("203.0.113.0/24")], ..Local::default() };
	let (mut firewall, _) = wire.gateway.open(TOKEN, local).unwrap();
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
			let (mut firewall, _) = wire.gateway.open(TOKEN, Local::default()).unwrap();
			let target = peer(blocked);
			firewall.apply(&[block(target), block(service(BAD, Transport::Udp, 6000))]).unwrap();
			assert!(!arrives(&suspect, &witness, &here) && !leaves(&here, &suspect));
			firewall.apply(&[Command::Protect(network(shield))]).unwrap();
			assert!(arrives(&suspect, &witness, &here) && leaves(&here, &suspect), "{shield} {blocked}");
			firewall.apply(&[Command::Unprotect(network(shield))]).unwrap();
			assert!(!arrives(&suspect, &witness, &here) && !leaves(&here, &suspect));
			drop(firewall);
			for allowed in [true, false] {
				let mut lists = Local::default();
				match allowed {
					true => lists.allowed.push(network(shield).into()),
					false => lists.protected.push(network(shield)),
				}
				let (firewall, opened) = wire.gateway.open(TOKEN, lists).unwrap();
				assert_eq!(opened, Opened::Adopted);
				assert!(arrives(&suspect, &witness, &here) && leaves(&here, &suspect), "{shield} {blocked}");
				drop(firewall);
			}
			let (firewall, _) = wire.gateway.open(TOKEN, Local::default()).unwrap();
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

// Whole lists.

#[test]
fn a_list_takes_the_place_of_the_one_in_force() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	let keep = Command::Allow { network: network("198.51.100.7"), timeout_ms: None };
	firewall.apply(&[block(peer("192.0.2.1")), Command::Protect(network("10.0.0.0/8")), keep]).unwrap();
	let before = namespace.elements();
	for round in 0..3 {
		let mut loading = firewall.loading().unwrap();
		firewall.load(&mut loading, &[block(peer("192.0.2.2")), block(peer("2001:db8::/32"))]).unwrap();
		firewall.load(&mut loading, &[block(peer("192.0.2.3")), block(peer("192.0.2.4"))]).unwrap();
		let last = [Command::Unblock { target: peer("192.0.2.4") }, Command::Protect(network("172.16.0.0/12"))];
		firewall.load(&mut loading, &last).unwrap();
		assert!(firewall.is_intact().unwrap(), "a list beside the one in force is no damage");
		if round == 0 {
			assert!(before.iter().all(|element| namespace.elements().contains(element)));
		}
		firewall.swap(loading).unwrap();
		let odd = if round % 2 == 0 { "_odd" } else { "" };
		let mut expected = vec![
			"allowed_v4_32 198.51.100.7".to_owned(),
			format!("drop_both_v4_32{odd} 192.0.2.2"),
			format!("drop_both_v4_32{odd} 192.0.2.3"),
			format!("drop_both_v6_32{odd} 2001:db8::"),
			"protected_chain_v4_12 172.16.0.0".to_owned(),
		];
		expected.sort();
		assert_eq!(namespace.elements(), expected);
		assert!(firewall.is_intact().unwrap());
	}
	// Life goes on in the new list, and a restart knows it.
	firewall.apply(&[Command::Unblock { target: peer("192.0.2.2") }, block(peer("192.0.2.5"))]).unwrap();
	let now = namespace.elements();
	drop(firewall);
	let allowed = vec![network("198.51.100.7").into()];
	let (mut firewall, opened) = namespace.open(TOKEN, Local { allowed, ..Local::default() }).unwrap();
	assert_eq!((opened, namespace.elements()), (Opened::Adopted, now));
	firewall.apply(&[Command::Unblock { target: peer("192.0.2.5") }]).unwrap();
	assert_eq!(firewall.holds(&peer("192.0.2.5")).unwrap(), None);
}

#[test]
fn a_list_that_is_not_put_in_force_leaves_nothing() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	firewall.apply(&[block(peer("192.0.2.1"))]).unwrap();
	let before = namespace.elements();
	let mut loading = firewall.loading().unwrap();
	firewall.load(&mut loading, &[block(peer("192.0.2.2")), block(peer("2001:db8::/32"))]).unwrap();
	firewall.abandon(loading).unwrap();
	assert_eq!(namespace.elements(), before);
	// A later loading deletes what an earlier one left, and that one is over.
	let mut first = firewall.loading().unwrap();
	firewall.load(&mut first, &[block(peer("192.0.2.2"))]).unwrap();
	let second = firewall.loading().unwrap();
	assert_eq!(namespace.elements(), before);
	assert!(matches!(firewall.load(&mut first, &[]), Err(FirewallError::Superseded)));
	assert!(matches!(firewall.swap(first), Err(FirewallError::Superseded)));
	firewall.abandon(second).unwrap();
	// So does the next start, after an end in the middle.
	let mut loading = firewall.loading().unwrap();
	firewall.load(&mut loading, &[block(peer("192.0.2.2"))]).unwrap();
	drop(firewall);
	assert_ne!(namespace.elements(), before);
	let (mut firewall, opened) = namespace.open(TOKEN, Local::default()).unwrap();
	assert_eq!((opened, namespace.elements()), (Opened::Adopted, before));
	assert!(firewall.is_intact().unwrap());
}

#[test]
fn packets_are_dropped_throughout_a_change_of_lists() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	let here = socket(&wire.gateway, GATEWAY, 5000);
	let (suspect, witness) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	firewall.apply(&[block(peer(BAD))]).unwrap();
	for _ in 0..3 {
		let mut loading = firewall.loading().unwrap();
		firewall.load(&mut loading, &[block(peer(BAD))]).unwrap();
		assert!(!arrives(&suspect, &witness, &here));
		firewall.swap(loading).unwrap();
		assert!(!arrives(&suspect, &witness, &here));
	}
	let empty = firewall.loading().unwrap();
	firewall.swap(empty).unwrap();
	assert!(arrives(&suspect, &witness, &here));
}

// Looking things up.

#[test]
fn what_is_missing_is_found_among_much_that_is_not() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	let host = |i: u16| Target::Network(Network::host(Address::V4([10, 1, (i >> 8) as u8, i as u8])));
	let lost = [0_u16, 1, 99, 100, 101, 299];
	let blocks: Vec<_> = (0..300).filter(|i| !lost.contains(i)).map(|i| block(host(i))).collect();
	firewall.apply(&blocks).unwrap();
	let expected: Vec<_> = (0..300).map(|i| (host(i), Direction::Both, Action::Drop)).collect();
	assert_eq!(firewall.missing(&expected).unwrap(), lost.map(host));
	// Blocked in another way counts as missing, as does what no set is for.
	let other = [
		(host(2), Direction::Inbound, Action::Drop),
		(host(2), Direction::Both, Action::Watch),
		(peer("2001:db8::/32"), Direction::Both, Action::Drop),
	];
	assert_eq!(firewall.missing(&other).unwrap().len(), 3);
	assert!(firewall.missing(&[]).unwrap().is_empty());
}

#[test]
fn a_target_tells_how_it_is_held() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	let endpoint = service("2001:db8::1", Transport::Tcp, 443);
	firewall.apply(&[block(peer("192.0.2.0/24")), act(endpoint, Direction::Outbound, limit(5))]).unwrap();
	let held = firewall.holds(&endpoint).unwrap().unwrap();
	assert_eq!((held.kind, held.direction), (Kind::Limit, Direction::Outbound));
	assert!((HOUR - 60_000..=HOUR).contains(&held.left_ms));
	assert!(firewall.holds(&peer("192.0.2.0/24")).unwrap().is_some());
	assert_eq!(firewall.holds(&peer("192.0.2.1")).unwrap(), None, "only the very target");
}

// What people complain about elsewhere.

#[test]
fn a_range_is_blocked_as_a_range() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	let here = socket(&wire.gateway, GATEWAY, 5000);
	let (suspect, other) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	firewall.apply(&[block(peer("198.18.0.64/26"))]).unwrap();
	assert!(!arrives(&suspect, &other, &here), "an address in the middle of the range");
}

#[test]
fn the_end_of_a_host_within_a_range_does_not_end_the_range() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	let here = socket(&wire.gateway, GATEWAY, 5000);
	let (suspect, witness) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	let (direction, action) = (Direction::Both, Action::Drop);
	let short = Command::Block { target: peer(BAD), direction, action, timeout_ms: 0 };
	firewall.apply(&[block(peer("198.18.0.64/26")), short]).unwrap();
	wait_until("the end of the shorter block", || firewall.holds(&peer(BAD)).unwrap().is_none());
	assert!(!arrives(&suspect, &witness, &here));
	firewall.apply(&[block(peer(BAD)), Command::Unblock { target: peer("198.18.0.64/26") }]).unwrap();
	assert!(!arrives(&suspect, &witness, &here), "and the other way round");
}

#[test]
fn a_lifetime_runs_when_nobody_is_there() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	let here = socket(&wire.gateway, GATEWAY, 5000);
	let (suspect, witness) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	let (direction, action) = (Direction::Both, Action::Drop);
	firewall.apply(&[Command::Block { target: peer(BAD), direction, action, timeout_ms: 300 }]).unwrap();
	drop(firewall);
	assert!(!arrives(&suspect, &witness, &here), "in force without its owner");
	wait_until("the end of the block", || arrives(&suspect, &witness, &here));
}

#[test]
fn what_the_household_allows_beats_what_is_blocked_already_until_its_time_is_over() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	let here = socket(&wire.gateway, GATEWAY, 5000);
	let (suspect, witness) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	firewall
		.apply(&[block(peer(BAD)), block(peer("198.18.0.64/26")), block(service(BAD, Transport::Udp, 6000))])
		.unwrap();
	for allowed in [BAD, "198.18.0.64/28", "198.18.0.0/24"].map(network) {
		assert!(!arrives(&suspect, &witness, &here) && !leaves(&here, &suspect));
		firewall.apply(&[Command::Allow { network: allowed, timeout_ms: None }]).unwrap();
		assert!(arrives(&suspect, &witness, &here) && leaves(&here, &suspect), "{allowed}");
		firewall.apply(&[Command::Disallow(allowed)]).unwrap();
	}
	firewall.apply(&[Command::Allow { network: network(BAD), timeout_ms: Some(300) }]).unwrap();
	assert!(arrives(&suspect, &witness, &here));
	drop(firewall);
	wait_until("the end of the allowance", || !arrives(&suspect, &witness, &here));
}

#[test]
fn protection_outlives_a_reload_of_everybodys_rules() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	if !firewall.features().owner {
		return eprintln!("skipped: this kernel has no owned tables");
	}
	let here = socket(&wire.gateway, GATEWAY, 5000);
	let (suspect, witness) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	firewall.apply(&[block(peer(BAD))]).unwrap();
	wire.gateway.nft("flush ruleset");
	assert!(!arrives(&suspect, &witness, &here));
}

#[test]
fn connections_of_a_blocked_peer_are_forgotten() {
	needs_kernel!();
	let wire = Wire::new();
	let Some(mut conntrack) = wire.gateway.run(Conntrack::open).unwrap() else {
		return eprintln!("skipped: this kernel tracks no connections");
	};
	// Nobody asked for tracking yet.
	assert_eq!(conntrack.cut(&[peer(BAD)], &[]).unwrap(), 0);
	wire.gateway.nft("add table inet tracking");
	wire.gateway.nft("add chain inet tracking in { type filter hook prerouting priority 0; }");
	wire.gateway.nft("add rule inet tracking in ct state new accept");
	for (gateway, bad, good, wider) in
		[(GATEWAY, BAD, GOOD, "198.18.0.64/28"), (GATEWAY6, BAD6, GOOD6, "2001:db8::60/123")]
	{
		let here = socket(&wire.gateway, gateway, 5000);
		let (suspect, witness) = (socket(&wire.attacker, bad, 6000), socket(&wire.attacker, good, 6000));
		let many: Vec<_> = (1..9).map(|port| service(bad, Transport::Tcp, port)).chain([peer(bad)]).collect();
		for targets in [&[peer(bad)][..], &[peer(wider)], &[service(bad, Transport::Udp, 6000)], &many] {
			assert!(arrives(&suspect, &witness, &here));
			let elsewhere = [peer("192.0.2.0/24"), peer("2001:db8:1::1"), service(bad, Transport::Udp, 6001)];
			assert_eq!(conntrack.cut(&elsewhere, &[]).unwrap(), 0);
			assert_eq!(conntrack.cut(targets, &[network(bad)]).unwrap(), 0, "spared");
			assert_eq!(conntrack.cut(targets, &[]).unwrap(), 1, "{targets:?}");
			assert_eq!(conntrack.cut(targets, &[]).unwrap(), 0);
		}
		assert_eq!(conntrack.cut(&[peer(good)], &[]).unwrap(), 1, "others went on");
		// Begun from this side, the peer is the destination.
		assert!(leaves(&here, &suspect));
		assert_eq!(conntrack.cut(&[peer(bad)], &[]).unwrap(), 1);
	}
}

#[test]
fn who_tried_to_reach_a_blocked_peer_is_remembered() {
	needs_kernel!();
	let wire = Wire::new();
	let home = Namespace::new();
	wire.gateway.join("lan", &["203.0.113.1/27"], &home, &["203.0.113.10/27"]);
	home.ip("route add default via 203.0.113.1");
	wire.gateway.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap();
	let uplinks = vec!["wan".to_owned()];
	let (mut firewall, _) = wire.gateway.open(TOKEN, Local { uplinks, ..Local::default() }).unwrap();
	firewall.apply(&[block(peer(BAD)), block(peer(BAD6)), act(peer(GOOD), Direction::Both, Action::Watch)]).unwrap();
	let inside = socket(&home, "203.0.113.10", 5000);
	for to in [BAD, GOOD] {
		inside.send_to(b"hello", (to, 6000)).unwrap();
	}
	// The gateway itself is a device as well.
	let (bad, here) = (socket(&wire.attacker, BAD6, 6000), socket(&wire.gateway, GATEWAY6, 5000));
	assert!(!leaves(&here, &bad));
	wait_until("two contacts", || firewall.contacts().unwrap().len() == 2);
	let contacts = firewall.contacts().unwrap();
	let mut pairs: Vec<_> = contacts.iter().map(|c| (c.device.to_string(), c.peer.to_string())).collect();
	pairs.sort();
	let pair = |device: &str, peer: &str| (device.to_owned(), peer.to_owned());
	assert_eq!(pairs, [pair("2001:db8::1", BAD6), pair("203.0.113.10", BAD)]);
	assert!(contacts.iter().all(|contact| contact.last_ms_ago < 60_000));
	assert!(contacts[0].last_ms_ago <= contacts[1].last_ms_ago, "the latest comes first");
	// What a blocked peer sends is no contact, wherever it is for.
	let attacker = socket(&wire.attacker, GOOD, 6000);
	wire.attacker.ip("route add 198.18.1.0/24 via 198.18.0.1");
	firewall.apply(&[block(peer("198.18.1.0/24"))]).unwrap();
	let before = firewall.counters().unwrap().dropped.outbound.packets;
	attacker.send_to(b"hello", ("198.18.1.1", 6000)).unwrap();
	wait_until("a dropped packet", || firewall.counters().unwrap().dropped.outbound.packets > before);
	assert_eq!(firewall.contacts().unwrap().len(), 2);
	assert!(firewall.is_intact().unwrap());
}

// Modes.

#[test]
fn a_canary_counts_and_lets_through_and_can_be_switched_at_any_time() {
	needs_kernel!();
	let wire = Wire::new();
	let canary = Local { mode: Mode::Canary, ..Local::default() };
	let (mut firewall, _) = wire.gateway.open(TOKEN, canary.clone()).unwrap();
	let here = socket(&wire.gateway, GATEWAY, 5000);
	let (suspect, witness) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	firewall.apply(&[block(peer(BAD))]).unwrap();
	assert!(arrives(&suspect, &witness, &here) && leaves(&here, &suspect));
	let counters = firewall.counters().unwrap();
	assert_eq!((counters.spared.inbound.packets, counters.spared.outbound.packets), (1, 1));
	assert_eq!(counters.dropped, Default::default());
	firewall.reconfigure(&Local::default()).unwrap();
	assert!(!arrives(&suspect, &witness, &here) && !leaves(&here, &suspect));
	assert_eq!(firewall.counters().unwrap().spared, counters.spared);
	assert!(firewall.is_intact().unwrap());
	firewall.reconfigure(&canary).unwrap();
	assert!(arrives(&suspect, &witness, &here));
	// An adopted table does as it is told now, not as it was before.
	drop(firewall);
	let (_firewall, opened) = wire.gateway.open(TOKEN, Local::default()).unwrap();
	assert_eq!(opened, Opened::Adopted);
	assert!(!arrives(&suspect, &witness, &here));
}

#[test]
fn a_whitelist_lets_in_who_is_listed_and_every_answer() {
	needs_kernel!();
	let wire = Wire::new();
	let listing = |networks: &[&str]| Local {
		uplinks: vec!["wan".to_owned()],
		whitelist: Some(networks.iter().map(|n| network(n)).collect()),
		..Local::default()
	};
	let (mut firewall, _) = wire.gateway.open(TOKEN, listing(&[GOOD, GOOD6])).unwrap();
	assert!(firewall.is_intact().unwrap());
	let mut barred = 0;
	for (gateway, bad, good) in [(GATEWAY, BAD, GOOD), (GATEWAY6, BAD6, GOOD6)] {
		let here = socket(&wire.gateway, gateway, 5000);
		let (suspect, witness) = (socket(&wire.attacker, bad, 6000), socket(&wire.attacker, good, 6000));
		assert!(!arrives(&suspect, &witness, &here));
		barred += 1;
		assert_eq!(firewall.counters().unwrap().barred.packets, barred);
		// What was asked for comes back.
		let asking = socket(&wire.gateway, gateway, 5001);
		assert!(leaves(&asking, &suspect));
		suspect.recv(&mut [0; 8]).unwrap();
		suspect.send_to(b"answer", asking.local_addr().unwrap()).unwrap();
		assert_eq!(asking.recv(&mut [0; 8]).unwrap(), 6);
		// Who is protected or allowed gets in unlisted, who is blocked does not get in although listed.
		let lists = listing(&[good]);
		firewall.reconfigure(&Local { protected: vec![network(bad)], ..lists.clone() }).unwrap();
		assert!(arrives(&suspect, &witness, &here));
		firewall.reconfigure(&Local { allowed: vec![network(bad).into()], ..lists.clone() }).unwrap();
		assert!(arrives(&suspect, &witness, &here));
		firewall.reconfigure(&listing(&[good, bad])).unwrap();
		assert!(arrives(&suspect, &witness, &here));
		firewall.apply(&[block(peer(bad))]).unwrap();
		assert!(!arrives(&suspect, &witness, &here));
		firewall.apply(&[Command::Unblock { target: peer(bad) }]).unwrap();
		// Which has its own connections now: those of another port are not.
		let late = socket(&wire.attacker, bad, 6002);
		firewall.reconfigure(&listing(&[GOOD, GOOD6])).unwrap();
		assert!(!arrives(&late, &witness, &here));
		barred += 1;
	}
	drop(firewall);
	let (mut firewall, opened) = wire.gateway.open(TOKEN, listing(&[])).unwrap();
	assert_eq!(opened, Opened::Adopted);
	assert!(firewall.is_intact().unwrap());
	firewall.reconfigure(&Local::default()).unwrap();
	assert!(firewall.is_intact().unwrap());
	let here = socket(&wire.gateway, GATEWAY, 5003);
	assert!(arrives(&socket(&wire.attacker, BAD, 6003), &socket(&wire.attacker, GOOD, 6003), &here));
}

#[test]
fn a_whitelist_leaves_the_other_side_of_the_house_alone() {
	needs_kernel!();
	let wire = Wire::new();
	let local = Local { uplinks: vec!["ppp0".to_owned()], whitelist: Some(Vec::new()), ..Local::default() };
	let (_firewall, _) = wire.gateway.open(TOKEN, local).unwrap();
	let here = socket(&wire.gateway, GATEWAY, 5000);
	assert!(arrives(&socket(&wire.attacker, BAD, 6000), &socket(&wire.attacker, GOOD, 6000), &here));
}

#[test]
fn words_of_the_owner_that_cannot_be_are_refused() {
	needs_kernel!();
	let namespace = Namespace::new();
	let whitelist = Local { whitelist: Some(Vec::new()), ..Local::default() };
	assert!(matches!(namespace.open(TOKEN, whitelist.clone()), Err(FirewallError::NoUplink)));
	for name in ["", "sixteen-letters-", "a b", "a/b"] {
		let local = Local { uplinks: vec![name.to_owned()], ..Local::default() };
		assert!(matches!(namespace.open(TOKEN, local), Err(FirewallError::Interface(_))), "{name}");
	}
	let many = Local { uplinks: (0..17).map(|i| format!("eth{i}")).collect(), ..Local::default() };
	assert!(matches!(namespace.open(TOKEN, many), Err(FirewallError::Interface(_))));
	let mut firewall = namespace.firewall();
	assert!(matches!(firewall.reconfigure(&whitelist), Err(FirewallError::NoUplink)));
	assert!(firewall.is_intact().unwrap());
}

// Flows.

fn flow_of(signature: FlowSignature, severity: Severity, action: Action) -> Command {
	let flow = signature.check().unwrap();
	Command::BlockFlow { flow, action, severity, home: false, timeout_ms: HOUR }
}

#[test]
fn a_flow_is_dropped_and_what_differs_in_one_thing_is_not() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	for (gateway, bad, good, absent, wider, length) in [
		(GATEWAY, BAD, GOOD, "198.18.0.9", "198.18.0.64/28", 36),
		(GATEWAY6, BAD6, GOOD6, "2001:db8::9", "2001:db8::60/123", 56),
	] {
		let here = socket(&wire.gateway, gateway, 5000);
		let (suspect, witness) = (socket(&wire.attacker, bad, 6000), socket(&wire.attacker, good, 6000));
		let whole = FlowSignature {
			protocol: Some(17),
			source: Some(network(wider)),
			destination: Some(network(gateway)),
			source_ports: PortRange::new(5_999, 6_001),
			destination_ports: PortRange::new(5_000, 5_000),
			packet_length: LengthRange::new(length, length),
			..FlowSignature::default()
		};
		let fitting = [
			whole,
			FlowSignature { destination: None, ..whole },
			FlowSignature { source: Some(network(wider)), ..FlowSignature::default() },
		];
		for signature in fitting {
			firewall.apply(&[flow_of(signature, Severity::High, Action::Drop)]).unwrap();
			assert!(!arrives(&suspect, &witness, &here), "{signature}");
			assert!(firewall.is_intact().unwrap());
			firewall.apply(&[Command::UnblockFlow { flow: signature }]).unwrap();
			assert!(arrives(&suspect, &witness, &here), "{signature}");
		}
		let other = [
			FlowSignature { protocol: Some(6), ..whole },
			FlowSignature { source: Some(network(absent)), ..whole },
			FlowSignature { destination: Some(network(good)), ..whole },
			FlowSignature { source_ports: PortRange::new(0, 5_999), ..whole },
			FlowSignature { destination_ports: PortRange::new(5_001, 65_535), ..whole },
			FlowSignature { packet_length: LengthRange::new(length + 1, 1_500), ..whole },
			FlowSignature { packet_length: LengthRange::new(0, length - 1), ..whole },
		];
		let flows = other.map(|signature| flow_of(signature, Severity::High, Action::Drop));
		firewall.apply(&flows).unwrap();
		assert_eq!(firewall.flows(), (flows.len(), 0));
		assert!(arrives(&suspect, &witness, &here));
		firewall.apply(&other.map(|flow| Command::UnblockFlow { flow })).unwrap();
		// By destination alone: what leaves for the peer.
		let to = FlowSignature { protocol: Some(17), destination: Some(network(bad)), ..FlowSignature::default() };
		firewall.apply(&[flow_of(to, Severity::High, Action::Drop)]).unwrap();
		assert!(!leaves(&here, &suspect) && arrives(&suspect, &witness, &here));
		firewall.apply(&[Command::UnblockFlow { flow: to }]).unwrap();
		assert_eq!(firewall.flows(), (0, 0));
	}
}

#[test]
fn a_flow_to_what_is_protected_here_is_dropped_but_for_protected_senders() {
	needs_kernel!();
	let wire = Wire::new();
	let local = || Local { protected: vec![network(GATEWAY), network(GOOD)], ..Local::default() };
	let (mut firewall, _) = wire.gateway.open(TOKEN, local()).unwrap();
	let here = socket(&wire.gateway, GATEWAY, 5000);
	let (suspect, witness) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	let flow = FlowSignature {
		protocol: Some(17),
		destination: Some(network(GATEWAY)),
		destination_ports: PortRange::new(5_000, 5_000),
		..FlowSignature::default()
	};
	let defence =
		|home| Command::BlockFlow { flow, action: Action::Drop, severity: Severity::High, home, timeout_ms: HOUR };
	firewall.apply(&[defence(false)]).unwrap();
	assert!(arrives(&suspect, &witness, &here), "elsewhere an exempt destination is an exempt peer");
	firewall.apply(&[defence(true)]).unwrap();
	assert!(!arrives(&suspect, &witness, &here) && firewall.is_intact().unwrap());
	drop(firewall);
	let (mut firewall, opened) = wire.gateway.open(TOKEN, local()).unwrap();
	assert_eq!((opened, firewall.flows()), (Opened::Adopted, (1, 0)));
	firewall.apply(&[defence(true)]).unwrap();
	assert!(!arrives(&suspect, &witness, &here) && firewall.is_intact().unwrap());
	firewall.apply(&[Command::UnblockFlow { flow }]).unwrap();
	assert!(arrives(&suspect, &witness, &here));
}

#[test]
fn a_flow_of_tcp_flags_keeps_connections_from_being_opened() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	let listener = wire.gateway.run(|| TcpListener::bind((GATEWAY, 5000))).unwrap();
	let address = listener.local_addr().unwrap();
	let open = || wire.attacker.run(move || TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_ok());
	let syn = FlowSignature {
		protocol: Some(6),
		source: Some(network("198.18.0.0/24")),
		tcp_flags: TcpFlags::new(0x12, 0x02),
		..FlowSignature::default()
	};
	assert!(open());
	firewall.apply(&[flow_of(syn, Severity::High, Action::Drop)]).unwrap();
	assert!(!open());
	let answers = FlowSignature { tcp_flags: TcpFlags::new(0x12, 0x12), ..syn };
	firewall.apply(&[Command::UnblockFlow { flow: syn }, flow_of(answers, Severity::High, Action::Drop)]).unwrap();
	assert!(open());
	let ping =
		FlowSignature { protocol: Some(1), tcp_flags: None, icmp: Some(IcmpMatch { kind: 8, code: Some(0) }), ..syn };
	let any_ping = FlowSignature { icmp: Some(IcmpMatch { kind: 8, code: None }), ..ping };
	firewall.apply(&[ping, any_ping].map(|flow| flow_of(flow, Severity::Low, Action::Drop))).unwrap();
	let text = wire.gateway.nft("list chain inet ringfence from_flow");
	assert!(text.contains("comment \"flow proto 1 from 198.18.0.0/24 icmp 8/0\""), "{text}");
}

#[test]
fn a_flow_can_be_limited_or_watched() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	let here = socket(&wire.gateway, GATEWAY, 5000);
	let (suspect, witness) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	let signature = FlowSignature { protocol: Some(17), source: Some(network(BAD)), ..FlowSignature::default() };
	firewall.apply(&[flow_of(signature, Severity::High, Action::Watch)]).unwrap();
	assert!(arrives(&suspect, &witness, &here));
	assert_eq!(firewall.counters().unwrap().watched.inbound.packets, 1);
	firewall.apply(&[flow_of(signature, Severity::High, limit(1))]).unwrap();
	let start = Instant::now();
	let passed = (0..100).filter(|_| arrives(&suspect, &witness, &here)).count();
	let most = 6 + start.elapsed().as_secs() as usize;
	assert!((5..=most).contains(&passed), "{passed}");
	assert_eq!(firewall.counters().unwrap().limited.inbound.packets, 100 - passed as u64);
}

#[test]
fn a_flow_ends_by_itself_and_is_known_after_a_restart() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	let here = socket(&wire.gateway, GATEWAY, 5000);
	let (suspect, witness) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	let flow = FlowSignature { protocol: Some(17), source: Some(network(BAD)), ..FlowSignature::default() };
	let lasting = FlowSignature { protocol: Some(6), ..flow };
	let (action, severity) = (Action::Drop, Severity::High);
	let brief = Command::BlockFlow { flow, action, severity, home: false, timeout_ms: 500 };
	firewall.apply(&[brief, flow_of(lasting, severity, action)]).unwrap();
	assert!(!arrives(&suspect, &witness, &here));
	drop(firewall);
	wait_until("the end of the flow", || arrives(&suspect, &witness, &here));
	let (mut firewall, opened) = wire.gateway.open(TOKEN, Local::default()).unwrap();
	assert_eq!((opened, firewall.flows()), (Opened::Adopted, (2, 0)));
	wait_until("the flow to be cleared away", || {
		firewall.tend().unwrap();
		firewall.flows() == (1, 0)
	});
	assert!(firewall.is_intact().unwrap());
	// Begun again, and longer than before, after which it is adopted as it was.
	firewall.apply(&[flow_of(flow, severity, action)]).unwrap();
	firewall.apply(&[flow_of(flow, severity, action)]).unwrap();
	drop(firewall);
	let (mut firewall, _) = wire.gateway.open(TOKEN, Local::default()).unwrap();
	assert_eq!(firewall.flows(), (2, 0));
	assert!(!arrives(&suspect, &witness, &here));
	firewall.apply(&[flow, lasting].map(|flow| Command::UnblockFlow { flow })).unwrap();
	assert!(namespace_is_without_flows(&wire.gateway));
}

fn namespace_is_without_flows(namespace: &Namespace) -> bool {
	namespace.sets().iter().all(|set| !set["name"].as_str().unwrap().starts_with("flow_"))
}

#[test]
fn no_more_flows_than_can_be_afforded_and_the_most_severe_first() {
	needs_kernel!();
	let namespace = Namespace::new();
	let mut firewall = namespace.firewall();
	let signature = |n: u16| FlowSignature {
		protocol: Some(17),
		source: Some(network("203.0.113.0/24")),
		source_ports: PortRange::new(n, n),
		..FlowSignature::default()
	};
	let full: Vec<_> = (0..IN_FORCE as u16).map(|n| flow_of(signature(n), Severity::Medium, Action::Drop)).collect();
	assert_eq!(firewall.apply(&full).unwrap(), Default::default());
	assert_eq!(firewall.flows(), (IN_FORCE, 0));
	let told = firewall.apply(&[flow_of(signature(1_000), Severity::Low, Action::Drop)]).unwrap();
	assert_eq!((told.refused, told.waiting), (vec![], vec![signature(1_000)]));
	let told = firewall.apply(&[flow_of(signature(1_001), Severity::Critical, Action::Drop)]).unwrap();
	assert_eq!(told.waiting.len(), 1, "a milder one made room");
	assert_eq!(firewall.flows(), (IN_FORCE, 2));
	let rules = namespace.objects("rule");
	let flows: Vec<_> = rules.iter().filter(|rule| rule["chain"] == "from_flow").collect();
	assert_eq!(flows.len(), IN_FORCE);
	assert!(flows[0]["comment"].as_str().unwrap().contains("sport 1001"));
	assert!(firewall.is_intact().unwrap());
	// One goes, the one that waits comes.
	firewall.apply(&[Command::UnblockFlow { flow: signature(1_001) }]).unwrap();
	assert_eq!(firewall.flows(), (IN_FORCE, 1));
	// A list has its own flows.
	let mut loading = firewall.loading().unwrap();
	firewall.load(&mut loading, &[flow_of(signature(2_000), Severity::Low, Action::Drop)]).unwrap();
	firewall.swap(loading).unwrap();
	assert_eq!(firewall.flows(), (1, 0));
	assert!(firewall.is_intact().unwrap());
}

#[test]
fn a_flow_spares_who_is_exempt() {
	needs_kernel!();
	let wire = Wire::new();
	let mut firewall = wire.gateway.firewall();
	let here = socket(&wire.gateway, GATEWAY, 5000);
	let (suspect, witness) = (socket(&wire.attacker, BAD, 6000), socket(&wire.attacker, GOOD, 6000));
	let wide =
		FlowSignature { protocol: Some(17), source: Some(network("198.18.0.64/26")), ..FlowSignature::default() };
	firewall.apply(&[flow_of(wide, Severity::Critical, Action::Drop)]).unwrap();
	assert!(!arrives(&suspect, &witness, &here));
	firewall.apply(&[Command::Allow { network: network(BAD), timeout_ms: None }]).unwrap();
	assert!(arrives(&suspect, &witness, &here));
}
