//! How long the firewall takes to load many blocks and to change one, beside the other ways to do it.
//!
//! `bench-firewall [BLOCKS]...` (10,000, 100,000 and 1,000,000 where not given), as root, in a network namespace of this
//! process alone. For each number it loads a mixed list (addresses and networks of both families, endpoints) as a new
//! generation and swaps it in; then as many IPv4 addresses through `nft -f`, `nft -j -f` and, where they are installed,
//! ipset, crowdsec-firewall-bouncer and fail2ban. The ratios say how many times longer the other takes, and how many times
//! the memory: figures depend on the machine, the ratios hardly do. At last it sends packets to itself through a full
//! chain of flows.

use ringfence_enforcer::{
	core::{
		flow::{FlowSignature, PortRange, Severity, IN_FORCE},
		ruleset::{Action, Address, Command, Direction, Endpoint, Network, Target},
	},
	daemon::firewall::{Firewall, Local},
};
use ringfence_primitives::Transport;
use std::{
	error::Error,
	fmt::Write as _,
	fs, io,
	net::UdpSocket,
	path::Path,
	process, thread,
	time::{Duration, Instant},
};

const HOUR: u64 = 3_600_000;
/// One change of ours is over in microseconds, so its median is taken over many; one of a process takes milliseconds.
const CHANGES: u32 = 1_000;
const PROCESS_CHANGES: u32 = 10;
/// Blocks of one call, as the daemon reads them from its store.
const PAGE: u32 = 16_384;
/// fail2ban starts a shell for each ban: more than so many take longer than anybody would wait.
const FAIL2BAN: u32 = 500;
/// Bans of one `fail2ban-client`, which waits for the answer no longer than 30 s.
const FAIL2BAN_CALL: usize = 50;
/// How often the memory of a program that ends by itself is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// After this time a program that has loaded everything has come to rest.
const SETTLE: Duration = Duration::from_secs(3);
const PACKETS: u32 = 200_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Block number `i` of a mixed list: of sixteen, eight IPv4 hosts, three IPv6 hosts, three networks, two endpoints.
fn target(i: u32) -> Target {
	let v4 = Address::V4((0x0a00_0000 | i).to_be_bytes());
	let mut octets = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
	octets[4..8].copy_from_slice(&i.to_be_bytes());
	let v6 = Address::V6(octets);
	// The masked address has no bits behind the prefix, and the prefixes fit.
	let network =
		|address: Address, prefix| Network::new(address.masked(prefix), prefix).unwrap_or(Network::host(address));
	match i % 16 {
		0..=7 => Target::Network(Network::host(v4)),
		8..=10 => Target::Network(Network::host(v6)),
		11 => Target::Network(network(v6, 64)),
		12 => Target::Network(network(v4, 31)),
		13 => Target::Network(network(v4, 28)),
		14 => Target::Endpoint(Endpoint { address: v4, protocol: Transport::Tcp, port: 443 }),
		_ => Target::Endpoint(Endpoint { address: v6, protocol: Transport::Udp, port: 53 }),
	}
}

fn block(i: u32) -> Command {
	Command::Block { target: target(i), direction: Direction::Both, action: Action::Drop, timeout_ms: HOUR }
}

fn dotted(i: u32) -> String {
	std::net::Ipv4Addr::from(0x0a00_0000 | i).to_string()
}

fn median(mut times: Vec<Duration>) -> Duration {
	times.sort();
	times[times.len() / 2]
}

/// Resident memory of a process in kilobytes: `VmHWM`, its peak, or `VmRSS`. None when it has ended.
fn memory_kb(process: &str, what: &str) -> Option<u64> {
	let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
	let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'))?;
	line.split_whitespace().next()?.parse().ok()
}

/// Peak of this process's resident memory, in kilobytes.
fn peak_kb() -> u64 {
	memory_kb("self", "VmHWM").unwrap_or_default()
}

fn reset_peak() {
	// Where this cannot be written the peak is that of the whole run, which is no less.
	let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Time and peak memory; 0 where that says nothing.
#[derive(Clone, Copy)]
struct Cost {
	took: Duration,
	peak_kb: u64,
}

impl From<Duration> for Cost {
	fn from(took: Duration) -> Self {
		Self { took, peak_kb: 0 }
	}
}

/// Runs a program with `input` on its standard input, out of a file, so that this process's time is not measured.
// Its memory is looked at while it runs. What the system tells afterwards would include this process's own, as a child has
// before it becomes another program.
fn run(program: &str, arguments: &[&str], input: &str) -> Outcome<Cost> {
	let path = std::env::temp_dir().join(format!("bench-firewall-{}", process::id()));
	fs::write(&path, input)?;
	let stdin = fs::File::open(&path)?;
	fs::remove_file(&path)?;
	let start = Instant::now();
	let mut command = process::Command::new(program);
	let mut child = command.args(arguments).stdin(stdin).stdout(process::Stdio::null()).spawn()?;
	let pid = child.id().to_string();
	let look = thread::spawn(move || {
		let mut peak_kb = 0;
		while let Some(now) = memory_kb(&pid, "VmHWM") {
			peak_kb = now.max(peak_kb);
			thread::sleep(LOOK);
		}
		peak_kb
	});
	let status = child.wait()?;
	let took = start.elapsed();
	let peak_kb = look.join().unwrap_or_default();
	match status.success() {
		true => Ok(Cost { took, peak_kb }),
		false => Err(format!("{program} {}: {status}", arguments.first().unwrap_or(&"")).into()),
	}
}

fn installed(program: &str) -> bool {
	let path = std::env::var_os("PATH").unwrap_or_default();
	std::env::split_paths(&path).chain([Path::new("/usr/sbin").into()]).any(|folder| folder.join(program).exists())
}

fn row(what: &str, cost: Cost, ours: Cost) {
	let longer = cost.took.as_secs_f64() / ours.took.as_secs_f64();
	let (memory, more) = match (cost.peak_kb, ours.peak_kb) {
		(0, _) | (_, 0) => (String::new(), String::new()),
		(theirs, ours) => (format!("{:.1} MB", theirs as f64 / 1024.0), format!("{:.1}", theirs as f64 / ours as f64)),
	};
	println!("  {what:<34} {:>12.1?} {longer:>8.1} {memory:>12} {more:>8}", cost.took);
}

/// Loads `count` blocks as the daemon does, and changes one. Returns both costs.
fn ours(count: u32) -> Outcome<(Cost, Cost)> {
	let (mut firewall, _) = Firewall::open(0, &Local::default())?;
	reset_peak();
	let start = Instant::now();
	let mut loading = firewall.loading()?;
	for first in (0..count).step_by(PAGE as usize) {
		let page: Vec<Command> = (first..count.min(first.saturating_add(PAGE))).map(block).collect();
		firewall.load(&mut loading, &page)?;
	}
	let before = Instant::now();
	firewall.swap(loading)?;
	let (swap, took) = (before.elapsed(), start.elapsed());
	let cost = Cost { took, peak_kb: peak_kb() };
	let (mut blocks, mut unblocks) = (Vec::new(), Vec::new());
	for i in 0..CHANGES {
		let start = Instant::now();
		firewall.apply(&[Command::Unblock { target: target(i % count) }])?;
		unblocks.push(start.elapsed());
		let start = Instant::now();
		firewall.apply(&[block(i % count)])?;
		blocks.push(start.elapsed());
	}
	let expected: Vec<_> = (0..count.min(1_000)).map(|i| (target(i), Direction::Both, Action::Drop)).collect();
	let start = Instant::now();
	let missing = firewall.missing(&expected)?.len();
	let look = start.elapsed();
	let change = median(blocks);
	row("ringfence: load", cost, cost);
	println!("  {:<34} {swap:>12.1?}", "  of which the swap");
	println!("  {:<34} {change:>12.1?}", "ringfence: block one");
	println!("  {:<34} {:>12.1?}", "ringfence: unblock one", median(unblocks));
	println!("  {:<34} {look:>12.1?}  {missing} missing", format!("ringfence: verify {}", expected.len()));
	firewall.remove()?;
	Ok((cost, change.into()))
}

fn nft(count: u32, load: Cost, change: Cost) -> Outcome<()> {
	const TABLE: &str = "add table inet x\nadd set inet x s { type ipv4_addr; flags timeout; gc-interval 60s; }\n";
	run("nft", &["-f", "-"], TABLE)?;
	let list: Vec<_> = (0..count).map(|i| format!("{} timeout 1h", dotted(i))).collect();
	row("nft -f: load", run("nft", &["-f", "-"], &format!("add element inet x s {{ {} }}\n", list.join(", ")))?, load);
	let mut times = Vec::new();
	for i in 0..PROCESS_CHANGES {
		let peer = dotted(i);
		let remove = run("nft", &["-f", "-"], &format!("delete element inet x s {{ {peer} }}\n"))?;
		let add = run("nft", &["-f", "-"], &format!("add element inet x s {{ {peer} timeout 1h }}\n"))?;
		times.push((remove.took + add.took) / 2);
	}
	row("nft -f: change one", median(times).into(), change);
	run("nft", &["-f", "-"], &format!("delete table inet x\n{TABLE}"))?;
	let mut json = String::from(
		"{\"nftables\":[{\"add\":{\"element\":{\"family\":\"inet\",\"table\":\"x\",\"name\":\"s\",\"elem\":[",
	);
	for i in 0..count {
		let comma = if i == 0 { "" } else { "," };
		write!(json, "{comma}{{\"elem\":{{\"val\":\"{}\",\"timeout\":3600}}}}", dotted(i))?;
	}
	json.push_str("]}}}]}");
	row("nft -j -f: load", run("nft", &["-j", "-f", "-"], &json)?, load);
	run("nft", &["-f", "-"], "delete table inet x\n")?;
	Ok(())
}

fn ipset(count: u32, load: Cost, change: Cost) -> Outcome<()> {
	let mut list = format!("create x hash:ip maxelem {} timeout 3600\n", count.max(65_536));
	(0..count).try_for_each(|i| writeln!(list, "add x {}", dotted(i)))?;
	row("ipset restore: load", run("ipset", &["restore"], &list)?, load);
	let mut times = Vec::new();
	for i in 0..PROCESS_CHANGES {
		let remove = run("ipset", &["del", "x", &dotted(i)], "")?;
		times.push((remove.took + run("ipset", &["add", "x", &dotted(i)], "")?.took) / 2);
	}
	row("ipset: change one", median(times).into(), change);
	run("ipset", &["destroy", "x"], "")?;
	Ok(())
}

/// The bouncer wants a local API to ask for decisions. This is the one page of it that it reads, served by ourselves.
fn crowdsec(count: u32, load: Cost) -> Outcome<()> {
	use std::io::{BufRead, BufReader, Write};
	let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
	let port = listener.local_addr()?.port();
	let mut json = String::from("{\"deleted\":[],\"new\":[");
	for i in 0..count {
		let comma = if i == 0 { "" } else { "," };
		let value = dotted(i);
		write!(
			json,
			"{comma}{{\"id\":{i},\"duration\":\"1h0m0s\",\"origin\":\"x\",\"scenario\":\"x\",\"scope\":\"Ip\",\"type\":\"ban\",\"value\":\"{value}\"}}"
		)?;
	}
	json.push_str("]}");
	thread::spawn(move || -> io::Result<()> {
		let mut whole = Some(json);
		loop {
			let (mut stream, _) = listener.accept()?;
			let mut reader = BufReader::new(stream.try_clone()?);
			let (mut line, mut wants_all) = (String::new(), false);
			while reader.read_line(&mut line)? > 2 {
				wants_all |= line.contains("startup=true");
				line.clear();
			}
			let body = whole.take_if(|_| wants_all).unwrap_or_else(|| "{\"deleted\":[],\"new\":[]}".into());
			let head = format!(
				"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
				body.len()
			);
			stream.write_all(head.as_bytes())?;
			stream.write_all(body.as_bytes())?;
		}
	});
	let folder = std::env::temp_dir().join(format!("bench-bouncer-{}", process::id()));
	fs::create_dir(&folder)?;
	let config = folder.join("bouncer.yaml");
	fs::write(
		&config,
		format!(
			"mode: nftables\nupdate_frequency: 1s\nlog_mode: file\nlog_dir: {0}\nlog_level: info\napi_url: http://127.0.0.1:{port}/\n\
			 api_key: x\ndisable_ipv6: true\nnftables:\n  ipv4:\n    enabled: true\n    set-only: false\n    table: crowdsec\n    chain: crowdsec-chain\n  \
			 ipv6:\n    enabled: false\n",
			folder.display()
		),
	)?;
	// It is done when the last address' packets no longer arrive: asking `nft` for an element of a large set takes minutes.
	let last = dotted(count.saturating_sub(1));
	run("ip", &["address", "replace", &format!("{last}/32"), "dev", "lo"], "")?;
	let (from, to) = (UdpSocket::bind((last.as_str(), 0))?, UdpSocket::bind("127.0.0.1:0")?);
	let target = to.local_addr()?;
	to.set_read_timeout(Some(Duration::from_millis(20)))?;
	let start = Instant::now();
	let mut child = process::Command::new("crowdsec-firewall-bouncer").arg("-c").arg(&config).spawn()?;
	let mut took = None;
	while took.is_none() && start.elapsed() < Duration::from_secs(600) && child.try_wait()?.is_none() {
		thread::sleep(Duration::from_millis(5));
		let sent = start.elapsed();
		from.send_to(b"x", target)?;
		took = to.recv(&mut [0; 1]).is_err().then_some(sent);
	}
	thread::sleep(SETTLE);
	let memory = |what| memory_kb(&child.id().to_string(), what).unwrap_or_default();
	let (peak_kb, rest_kb) = (memory("VmHWM"), memory("VmRSS"));
	child.kill()?;
	child.wait()?;
	fs::remove_dir_all(&folder)?;
	// Where it made none, that is said below.
	let _ = run("nft", &["-f", "-"], "delete table ip crowdsec\n");
	match took {
		Some(took) => {
			row("crowdsec-firewall-bouncer: load", Cost { took, peak_kb }, load);
			println!("  {:<34} {:>31.1} MB", "crowdsec-firewall-bouncer: at rest", rest_kb as f64 / 1024.0);
		}
		None => println!("  {:<34} did not load the list", "crowdsec-firewall-bouncer"),
	}
	Ok(())
}

/// Bans by its client, extrapolated from [`FAIL2BAN`]. It has a configuration of its own, without a jail but ours.
fn fail2ban(count: u32, load: Cost, change: Cost) -> Outcome<()> {
	let folder = std::env::temp_dir().join(format!("bench-fail2ban-{}", process::id()));
	fs::create_dir(&folder)?;
	let at = |name: &str| folder.join(name).display().to_string();
	let (socket, pid, log) = (at("socket"), at("pid"), at("log"));
	let text = format!(
		"[Definition]\nloglevel = INFO\nlogtarget = {log}\nsyslogsocket = auto\nsocket = {socket}\npidfile = {pid}\n\
		 dbfile = None\ndbpurgeage = 86400\ndbmaxmatches = 10\n"
	);
	fs::write(folder.join("fail2ban.conf"), text)?;
	fs::write(folder.join("jail.conf"), "[DEFAULT]\nbantime = 1h\n")?;
	let folder_name = folder.display().to_string();
	let client = ["-c", &folder_name, "-s", &socket, "-p", &pid];
	let ask = |arguments: &[&str]| run("fail2ban-client", &[&client[..], arguments].concat(), "");
	ask(&["start"])?;
	let measure = || -> Outcome<(Duration, u64)> {
		ask(&["add", "x", "polling"])?;
		ask(&["set", "x", "addaction", "nftables"])?;
		ask(&["set", "x", "action", "nftables", "actionban", "nft add element inet f2b x { <ip> }"])?;
		run("nft", &["-f", "-"], "add table inet f2b\nadd set inet f2b x { type ipv4_addr; }\n")?;
		ask(&["start", "x"])?;
		let bans: Vec<String> = (0..count.min(FAIL2BAN)).map(dotted).collect();
		let start = Instant::now();
		for some in bans.chunks(FAIL2BAN_CALL) {
			let words: Vec<&str> = ["set", "x", "banip"].into_iter().chain(some.iter().map(String::as_str)).collect();
			ask(&words)?;
		}
		let took = start.elapsed();
		// Fails where the last one is not there.
		let last = format!("{{ {} }}", bans.last().map_or("", String::as_str));
		run("nft", &["get", "element", "inet", "f2b", "x", &last], "")?;
		let server = fs::read_to_string(&pid)?;
		let peak_kb = memory_kb(server.trim(), "VmHWM").unwrap_or_default();
		Ok((took.div_f64(bans.len() as f64), peak_kb))
	};
	let measured = measure();
	let stopped = ask(&["stop"]);
	fs::remove_dir_all(&folder)?;
	let (each, peak_kb) = measured?;
	row("fail2ban: load (extrapolated)", Cost { took: each * count, peak_kb }, load);
	row("fail2ban: ban one", each.into(), change);
	run("nft", &["-f", "-"], "delete table inet f2b\n")?;
	stopped.map(drop)
}

/// Nanoseconds that it takes to send a packet into nowhere with `flows` flows in force.
fn packet_cost(flows: u16) -> Outcome<f64> {
	let (mut firewall, _) = Firewall::open(0, &Local::default())?;
	// Of each rule everything but the port fits, as in a flood of which many signatures are known.
	let commands: Vec<Command> = (0..flows)
		.map(|n| Command::BlockFlow {
			flow: FlowSignature {
				protocol: Some(17),
				destination: Network::new(Address::V4([198, 18, 0, 0]), 15).ok(),
				destination_ports: PortRange::new(n, n),
				..FlowSignature::default()
			},
			action: Action::Drop,
			severity: Severity::High,
			home: false,
			timeout_ms: HOUR,
		})
		.collect();
	firewall.apply(&commands)?;
	let socket = UdpSocket::bind("198.18.0.1:0")?;
	let mut runs = Vec::new();
	for _ in 0..5 {
		let start = Instant::now();
		for _ in 0..PACKETS {
			socket.send_to(b"x", "198.18.0.2:60000")?;
		}
		runs.push(start.elapsed());
	}
	firewall.remove()?;
	Ok(median(runs).as_secs_f64() * 1e9 / f64::from(PACKETS))
}

fn flows() -> Outcome<()> {
	for arguments in [
		// A pair, since not every kernel has dummies; what arrives at the other end is thrown away.
		"link add out type veth peer name away",
		"link set away up",
		"address add 198.18.0.1/24 dev out",
		"link set out up",
		"neighbour add 198.18.0.2 lladdr 02:00:00:00:00:02 dev out",
	] {
		run("ip", &arguments.split(' ').collect::<Vec<_>>(), "")?;
	}
	let none = packet_cost(0)?;
	println!("\n{:<36} {:>12} {:>12}", "a packet sent, by flows in force", "ns", "ns a flow");
	println!("{:<36} {none:>12.0}", 0);
	for count in [16, IN_FORCE as u16] {
		let cost = packet_cost(count)?;
		println!("{count:<36} {cost:>12.0} {:>12.1}", (cost - none) / f64::from(count));
	}
	Ok(())
}

/// Says why something was left out, and goes on: the others are worth measuring.
fn try_out(program: &str, measure: impl FnOnce() -> Outcome<()>) {
	match installed(program) {
		true => measure().unwrap_or_else(|cause| println!("  {program:<34} {cause}")),
		false => println!("  {program:<34} is not installed"),
	}
}

fn main() -> Outcome<()> {
	let mut counts = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<Vec<u32>, _>>()?;
	if counts.is_empty() {
		counts = vec![10_000, 100_000, 1_000_000];
	}
	if counts.iter().any(|count| *count == 0 || *count >= 1 << 21) {
		return Err("1 to 2,097,151 blocks".into());
	}
	// SAFETY: no pointers are passed; this process has one thread so far, whose network it replaces.
	if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
		return Err(format!("a network namespace: {}", io::Error::last_os_error()).into());
	}
	run("ip", &["link", "set", "lo", "up"], "")?;
	for count in counts {
		println!(
			"{:<36} {:>12} {:>8} {:>12} {:>8}",
			format!("{count} blocks"),
			"time",
			"ratio",
			"peak memory",
			"ratio"
		);
		let (load, change) = ours(count)?;
		try_out("nft", || nft(count, load, change));
		try_out("ipset", || ipset(count, load, change));
		try_out("crowdsec-firewall-bouncer", || crowdsec(count, load));
		try_out("fail2ban-client", || fail2ban(count, load, change));
	}
	flows()
}
