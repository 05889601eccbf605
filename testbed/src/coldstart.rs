//! What an enforcer costs with many indicators: the time from nothing to enforced, its memory, and its work at rest.
//!
//! The real daemon runs as a process of its own, in a network namespace of its own. It finds the indicators on its disk and
//! has no network at all, as a gateway after a power cut; or it fetches them from a real node, to which they were reported
//! in batches. Beside it, in the same run, `nft -f` loads the same list into a table like it.

use crate::{
	error::{Context, Error, Result},
	loopback::Loopback,
	netns::{self, Namespace, Tag},
	process::{self, binary, Memory, Process, WorkDir},
	relay::Counter,
	throughput::{self, host},
	timeline::Spread,
	Site,
};
use ringfence_enforcer::{
	core::frame::Cursor,
	daemon::{
		control::{self, Agreement, Answer, Request},
		now_ms,
		store::{Store, StoreError},
	},
};
use ringfence_primitives::{
	Action, ActiveDigest, Address, Confidence, Decision, Direction, Endpoint, Indicator, IndicatorId, Millis, Network,
	Severity, ThreatClass, Transport,
};
use std::{
	collections::BTreeMap,
	fmt::Write,
	fs::{self, File},
	io,
	os::fd::AsRawFd,
	path::{Path, PathBuf},
	process::{Command, Stdio},
	time::Duration,
};
use tokio::time::{sleep, Instant};

/// Where nobody is: a namespace without a network has no way there.
const NOWHERE: &str = "ws://192.0.2.1:9944";
/// What every chain protects from its beginning on, as the runtime's own presets do.
const PROTECTED: [&str; 16] = [
	"0.0.0.0/8",
	"10.0.0.0/8",
	"100.64.0.0/10",
	"127.0.0.0/8",
	"169.254.0.0/16",
	"172.16.0.0/12",
	"192.0.0.0/24",
	"192.88.99.0/24",
	"192.168.0.0/16",
	"224.0.0.0/4",
	"240.0.0.0/4",
	"::/96",
	"64:ff9b::/96",
	"fc00::/7",
	"fe80::/10",
	"ff00::/8",
];
/// First of the addresses of each kind. Any unprotected ones do, if the kinds have none in common.
const HOSTS: u32 = 0x2000_0000;
const WIDE: u32 = 0x4000_0000;
const NARROW: u32 = 0x6000_0000;
/// First of the addresses that the household blocks.
const WISHES: u32 = 0x3400_0000;
/// How often the household changes its mind.
const CHANGES: u32 = 25;
/// How long an indicator lasts: long enough for every measurement, and for the kernel's own timers to have work.
const LIFE_MS: Millis = 7 * 86_400_000;
/// Indicators that a real node is given at the most: more take longer than the life of a transaction's anchor.
const MOST_BY_NODE: u32 = 200_000;
/// Pause before rest is measured, and after a large table was deleted, which the kernel does in its own time.
const SETTLE: Duration = Duration::from_secs(3);
/// How often the memory of a program that ends by itself is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// How long a load may take.
const LONGEST: Duration = Duration::from_secs(180);

/// What the measurement is asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
	/// How many indicators; several are measured one after the other. 100000 and 1000000 where none is given, and 100000
	/// with --node
	#[arg(value_name = "INDICATORS", value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
	pub indicators: Vec<u32>,
	/// Seconds of rest to measure
	#[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
	pub seconds: u64,
	/// Have the enforcer fetch them from a real node, and follow that at rest; hosts only, 200000 at most
	#[arg(long)]
	pub node: bool,
	/// Print one JSON object a line instead of text
	#[arg(long)]
	pub json: bool,
}

/// What was measured.
struct Measured {
	/// Indicators in force.
	count: u64,
	/// From the start of the process until everything was in force, in seconds.
	start: f64,
	/// What of that went into reading the store and filling the firewall, in seconds.
	fill: f64,
	/// The memory of the process when everything was in force, and at rest.
	begun: Memory,
	rest: Memory,
	/// Bytes in its state directory.
	disk: u64,
	/// From the household's wish to the answer that it is in force, in milliseconds.
	change: Spread,
	/// Hundredths of a processor core that it kept busy at rest.
	percent: f64,
	/// Bytes that it fetched, where it did.
	fetched: Option<u64>,
	/// Seconds and peak memory of `nft -f`.
	nft: (f64, u64),
}

/// Measures it.
pub async fn coldstart(settings: &Settings) -> Result<()> {
	netns::check_machine()?;
	netns::remove_stale();
	let mut counts = settings.indicators.clone();
	if counts.is_empty() {
		counts = if settings.node { vec![100_000] } else { vec![100_000, 1_000_000] };
	}
	if settings.node && counts.iter().any(|count| *count > MOST_BY_NODE) {
		return Err(malformed("--node", format!("{MOST_BY_NODE} indicators at most")));
	}
	for count in counts {
		let measured = match settings.node {
			true => fetched(count, settings).await?,
			false => kept(count, settings).await?,
		};
		match settings.json {
			true => println!("{}", measured.json()),
			false => println!("{}", measured.render(settings.seconds)),
		}
		sleep(SETTLE).await;
	}
	Ok(())
}

/// An enforcer that finds everything on its disk, and has no network.
async fn kept(count: u32, settings: &Settings) -> Result<Measured> {
	let mut work = WorkDir::create()?;
	let namespace = Namespace::create(&Tag::next().name("gw"), true)?;
	let directory = work.folder("gateway/state")?;
	prepare(&directory, count)?;
	let measured = measure(&namespace, &work, NOWHERE, count.into(), Agreement::Unknown, settings).await?;
	let nft = nft(&work, (0..count).map(indicator)).await?;
	work.finish();
	Ok(Measured { nft, ..measured })
}

/// An enforcer that fetches everything from a node.
async fn fetched(count: u32, settings: &Settings) -> Result<Measured> {
	let network = Loopback::start().await?;
	throughput::fill(&network, count).await?;
	let node = &network.nodes[Site::A.index()];
	let count = node.chain.status().await?.active;
	let mut work = WorkDir::create()?;
	let namespace = Namespace::create(&Tag::next().name("gw"), true)?;
	let counter = Counter::within(&namespace, node.url.trim_start_matches("ws://"))?;
	let measured = measure(&namespace, &work, &counter.url, count.into(), Agreement::Same, settings).await?;
	let bytes = counter.bytes().total();
	drop(counter);
	network.finish();
	// As many hosts as were reported.
	let nft = nft(&work, (0..count).map(|number| host(HOSTS + number))).await?;
	work.finish();
	Ok(Measured { fetched: Some(bytes), nft, ..measured })
}

/// Starts an enforcer, and lets it come to rest. `agreement` is what its digest and the chain's are to be found.
async fn measure(
	namespace: &Namespace,
	work: &WorkDir,
	endpoint: &str,
	count: u64,
	agreement: Agreement,
	settings: &Settings,
) -> Result<Measured> {
	let directory = work.folder("gateway/state")?;
	let config = work.path().join("gateway/ringfence.toml");
	let text = format!("state-dir = \"{}\"\n\n[chain]\nendpoints = [\"{endpoint}\"]\n", directory.display());
	fs::write(&config, text).context(format!("writing {}", config.display()))?;
	let mut command = namespace.command(binary("ringfence-enforcer")?);
	command.args(["run", "--log-format", "json", "--config"]).arg(&config);

	let started_at = now_ms();
	let process = Process::start("gateway", command, work.log("gateway"))?;
	let journal = process.journal();
	let what = format!("{count} indicators to be in force");
	let filled = |line: &process::Line| line.is("filled from the store") && line.number("blocks") == Some(count);
	let line = journal.wait(&what, LONGEST, filled).await?;
	let begun = process.memory();
	let start = u64::try_from(line.at).unwrap_or_default().saturating_sub(started_at) as f64 / 1_000.0;
	let fill = line.number("took_ms").unwrap_or_default() as f64 / 1_000.0;

	let change = change(&directory).await?;
	verify(&directory, count, agreement).await?;
	sleep(SETTLE).await;
	let (since, cpu) = (Instant::now(), process.cpu_time());
	sleep(Duration::from_secs(settings.seconds)).await;
	let cpu = process.cpu_time().saturating_sub(cpu).as_secs_f64();
	let percent = 100.0 * cpu / since.elapsed().as_secs_f64();
	let rest = process.memory();
	if !journal.is_running() {
		let what = "the measurement to end".to_owned();
		return Err(Error::Ended { name: "gateway".into(), what, log: journal.tail() });
	}
	let disk = size(&directory)?;
	Ok(Measured { count, start, fill, begun, rest, disk, change, percent, fetched: None, nft: (0.0, 0) })
}

/// Has the household block a host and think better of it, again and again, each time until the answer that it is done.
async fn change(directory: &Path) -> Result<Spread> {
	let mut spread = Spread::default();
	for number in 0..CHANGES {
		let network = Network::host(Address::V4((WISHES + number).to_be_bytes()));
		for request in [Request::Block { network, for_ms: None }, Request::Forget { network }] {
			let since = Instant::now();
			match ask(directory, request).await? {
				Answer::Set { .. } | Answer::Forgotten { was: Some(_), .. } => {}
				other => return Err(malformed("the enforcer's answer", format!("{other:?}"))),
			}
			spread.add(since.elapsed().as_secs_f64() * 1_000.0);
		}
	}
	Ok(spread)
}

/// Has the enforcer ask the kernel for every one of its blocks.
async fn verify(directory: &Path, count: u64, agreement: Agreement) -> Result<()> {
	match ask(directory, Request::Verify).await? {
		Answer::Verified(found) if found.missing == 0 && found.entries == count && found.digest == agreement => Ok(()),
		other => Err(malformed("what the kernel has", format!("{other:?}"))),
	}
}

/// Asks the enforcer on `directory`. On another thread, since this one may have a relay to serve meanwhile.
async fn ask(directory: &Path, request: Request) -> Result<Answer> {
	let directory = directory.to_owned();
	let cause = match tokio::task::spawn_blocking(move || control::ask(&directory, &request)).await {
		Ok(Ok(Some(answer))) => return Ok(answer),
		Ok(Ok(None)) => "it does not listen".to_owned(),
		Ok(Err(cause)) => cause.to_string(),
		Err(cause) => cause.to_string(),
	};
	Err(malformed("the enforcer's answer", cause))
}

fn malformed(what: &str, cause: String) -> Error {
	Error::Malformed { what: what.into(), cause }
}

/// Indicator number `i` of a mixed list: of sixteen, eight IPv4 hosts, three IPv6 hosts, three networks, two endpoints.
/// Numbers are below two million.
fn indicator(i: u32) -> Indicator {
	let v4 = Address::V4((HOSTS + i).to_be_bytes());
	let mut octets = [0x26, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
	octets[4..8].copy_from_slice(&i.to_be_bytes());
	let v6 = Address::V6(octets);
	// The masked address has no bits behind the prefix, and the prefixes fit.
	let network = |address: Address, prefix| {
		Indicator::from(Network::new(address.masked(prefix), prefix).unwrap_or(Network::host(address)))
	};
	match i % 16 {
		0..=7 => Indicator::Host(v4),
		8..=10 => Indicator::Host(v6),
		11 => network(v6, 64),
		12 => network(Address::V4((WIDE + (i / 16) * 256).to_be_bytes()), 24),
		13 => network(Address::V4((NARROW + (i / 16) * 16).to_be_bytes()), 28),
		14 => Indicator::Endpoint(Endpoint { address: v4, protocol: Transport::Tcp, port: 443 }),
		_ => Indicator::Endpoint(Endpoint { address: v6, protocol: Transport::Udp, port: 53 }),
	}
}

fn decision(i: u32, expires_at: Millis) -> Decision {
	Decision {
		indicator: indicator(i),
		direction: Direction::Both,
		action: Action::Drop,
		threat: ThreatClass::Botnet,
		severity: Severity::High,
		confidence: Confidence::MAX,
		expires_at,
	}
}

/// Writes what an enforcer keeps that has fetched `count` indicators, and has the system forget that it knows the file.
fn prepare(directory: &Path, count: u32) -> Result<()> {
	let failed = |cause: StoreError| malformed("the store", cause.to_string());
	let expires_at = now_ms().saturating_add(LIFE_MS);
	let mut names: Vec<(IndicatorId, u32)> = (0..count).map(|i| (indicator(i).id(), i)).collect();
	names.sort_unstable();
	let mut digest = ActiveDigest::default();
	names.iter().for_each(|(_, i)| digest.add(&decision(*i, expires_at)));
	let protected: Vec<Network> = PROTECTED.iter().filter_map(|network| network.parse().ok()).collect();
	let (mut store, _) = Store::open(directory).map_err(failed)?;
	let cursor = Cursor { seq: count.into(), hash: Some([1; 32]) };
	let mut builder = store.replacement(cursor, None, &digest, &protected).map_err(failed)?;
	names.iter().try_for_each(|(_, i)| builder.push(&decision(*i, expires_at))).map_err(failed)?;
	store.install(builder).map_err(failed)?;
	files(directory)?.iter().try_for_each(|path| {
		let file = File::open(path).context(format!("opening {}", path.display()))?;
		// SAFETY: the descriptor is open, and the rest are plain numbers. It is advice: what it answers changes nothing.
		unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
		Ok(())
	})
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
	let read = || {
		let mut files = Vec::new();
		for entry in fs::read_dir(directory)? {
			let entry = entry?;
			if entry.file_type()?.is_file() {
				files.push(entry.path());
			}
		}
		Ok::<_, io::Error>(files)
	};
	read().context(format!("reading {}", directory.display()))
}

/// Bytes of its files.
fn size(directory: &Path) -> Result<u64> {
	// One that is replaced at this moment does not count.
	Ok(files(directory)?.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum())
}

/// A set of the peer's table.
#[derive(Default)]
struct Set {
	elements: String,
	count: u32,
}

/// The same list as `nft` reads it: one hash set for each length of prefix, as the enforcer's own table has, whose elements
/// end by themselves, and the rules that look packets up.
fn script(indicators: impl Iterator<Item = Indicator>) -> String {
	let mut sets: BTreeMap<(&str, bool, u8), Set> = BTreeMap::new();
	for indicator in indicators {
		let (key, element) = match indicator {
			Indicator::Host(address) => (("net", is_v4(&address), address.bits()), address.to_string()),
			Indicator::Network(network) => {
				let address = network.address();
				(("net", is_v4(&address), network.prefix()), address.to_string())
			}
			Indicator::Endpoint(Endpoint { address, protocol, port }) => {
				(("ep", is_v4(&address), address.bits()), format!("{address} . {protocol} . {port}"))
			}
			// A class of packets is a rule and no element.
			Indicator::Flow(_) => continue,
		};
		let set = sets.entry(key).or_default();
		let comma = if set.count == 0 { "" } else { ",\n" };
		// Writing to a String cannot fail.
		let _ = write!(set.elements, "{comma}{element} timeout {}s", LIFE_MS / 1_000);
		set.count += 1;
	}
	let mut text = String::from(
		"add table inet peer\nadd chain inet peer look { type filter hook prerouting priority raw; policy accept; }\n",
	);
	for ((kind, is_v4, prefix), Set { elements, count }) in sets {
		let (ip, address) = if is_v4 { ("ip", "ipv4_addr") } else { ("ip6", "ipv6_addr") };
		let name = format!("{kind}_{ip}_{prefix}");
		let whole = if is_v4 { 32 } else { 128 };
		let (types, lookup) = match kind {
			"ep" => (format!("{address} . inet_proto . inet_service"), " . meta l4proto . th sport".to_owned()),
			_ if prefix == whole => (address.to_owned(), String::new()),
			_ => (address.to_owned(), format!(" & {}", mask(is_v4, prefix))),
		};
		let size = count.max(65_536);
		let _ = writeln!(
			text,
			"add set inet peer {name} {{ type {types}; flags timeout; gc-interval 60s; size {size}; }}\n\
			 add rule inet peer look {ip} saddr{lookup} @{name} drop\n\
			 add element inet peer {name} {{ {elements} }}"
		);
	}
	text
}

const fn is_v4(address: &Address) -> bool {
	matches!(address, Address::V4(_))
}

/// An address of which the first `prefix` bits are set.
fn mask(is_v4: bool, prefix: u8) -> Address {
	match is_v4 {
		true => Address::V4([0xff; 4]).masked(prefix),
		false => Address::V6([0xff; 16]).masked(prefix),
	}
}

/// Seconds and peak memory that `nft -f` takes for this list, in a namespace of its own.
async fn nft(work: &WorkDir, indicators: impl Iterator<Item = Indicator>) -> Result<(f64, u64)> {
	let path = work.path().join("peer.nft");
	fs::write(&path, script(indicators)).context(format!("writing {}", path.display()))?;
	let namespace = Namespace::create(&Tag::next().name("nft"), false)?;
	let mut command = namespace.command("nft");
	command.arg("-f").arg(&path);
	cost(command).await
}

/// Seconds and peak memory of a program that ends by itself.
// Its memory is looked at while it runs. What the system tells afterwards would include this process's own, as a child has
// before it becomes another program.
async fn cost(mut command: Command) -> Result<(f64, u64)> {
	let name = format!("{command:?}").replace('"', "");
	let since = Instant::now();
	let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context(name.clone())?;
	let mut peak = 0;
	let status = loop {
		if let Some(status) = child.try_wait().context(name.clone())? {
			break status;
		}
		if since.elapsed() > LONGEST {
			// It ends with this process at the latest.
			let _ = child.kill().and_then(|()| child.wait());
			return Err(Error::Deadline { what: name, within: LONGEST, log: String::new() });
		}
		peak = Memory::of(child.id()).map_or(peak, |memory| memory.peak.max(peak));
		sleep(LOOK).await;
	};
	let took = since.elapsed().as_secs_f64();
	match status.success() {
		true => Ok((took, peak)),
		false => Err(Error::Command { command: name, stderr: status.to_string() }),
	}
}

fn megabytes(bytes: u64) -> f64 {
	bytes as f64 / 1e6
}

impl Measured {
	/// How many times as long, and as much memory, `nft -f` takes.
	fn ratios(&self) -> (f64, f64) {
		let (seconds, peak) = self.nft;
		(seconds / self.start.max(f64::EPSILON), peak as f64 / self.begun.peak.max(1) as f64)
	}

	fn render(&self, seconds: u64) -> String {
		let (longer, more) = self.ratios();
		let source = match self.fetched {
			Some(bytes) => format!("fetched from a node, {:.1} MB", megabytes(bytes)),
			None => "found on the disk, without a network".to_owned(),
		};
		format!(
			"{} indicators, {source}; every one of them is in the kernel\n\
			 from nothing to enforced  {:>9.2} s, of which store and firewall {:.2} s\n\
			 memory at its peak        {:>9.1} MB\n\
			 memory at rest            {:>9.1} MB, of which {:.1} MB heap and stacks\n\
			 processor at rest         {:>9.2} % of a core, over {seconds} s\n\
			 on the disk               {:>9.1} MB\n\
			 one change, as asked for  {:>9.1} ms p50, {:.1} ms p99, the household's file and the state's included\n\
			 nft -f, the same list     {:>9.2} s, {:.1} MB: {longer:.1} times as long, {more:.1} times as much\n",
			self.count,
			self.start,
			self.fill,
			megabytes(self.begun.peak),
			megabytes(self.rest.resident),
			megabytes(self.rest.own),
			self.percent,
			megabytes(self.disk),
			self.change.percentile(50),
			self.change.percentile(99),
			self.nft.0,
			megabytes(self.nft.1),
		)
	}

	fn json(&self) -> serde_json::Value {
		let (longer, more) = self.ratios();
		serde_json::json!({
			"indicators": self.count, "fetchedBytes": self.fetched, "start": self.start, "fill": self.fill,
			"peakBytes": self.begun.peak, "restBytes": self.rest.resident, "restOwnBytes": self.rest.own,
			"cpuPercent": self.percent, "diskBytes": self.disk,
			"changeMs": { "p50": self.change.percentile(50), "p99": self.change.percentile(99) },
			"nft": { "seconds": self.nft.0, "peakBytes": self.nft.1, "timesAsLong": longer, "timesAsMuch": more },
		})
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::collections::BTreeSet;

	fn protected() -> Vec<Network> {
		PROTECTED.map(|network| network.parse().expect("a network")).to_vec()
	}

	#[test]
	fn no_indicator_comes_twice_or_is_protected() {
		let protected = protected();
		let mut seen = BTreeSet::new();
		for i in (0..64).chain(1_999_936..2_000_000) {
			let indicator = indicator(i);
			assert_eq!(indicator.overlap(&protected), None, "{indicator}");
			assert!(seen.insert(indicator.id()), "{indicator}");
		}
	}

	#[test]
	fn the_household_blocks_what_nobody_else_does() {
		let wishes = WISHES..WISHES + CHANGES;
		for first in [HOSTS, WIDE, NARROW] {
			// A /24 for every sixteenth is what reaches furthest.
			let last = first + 2_000_000 / 16 * 256;
			assert!(last <= wishes.start || first >= wishes.end);
		}
	}

	#[test]
	fn the_store_is_one_that_the_enforcer_reads() {
		let directory = tempfile::tempdir().expect("a folder");
		prepare(directory.path(), 1_000).expect("a store");
		let (store, damage) = Store::open(directory.path()).expect("a store");
		assert!(damage.is_none());
		assert_eq!((store.count(), store.cursor().seq, store.protected().len()), (1_000, 1_000, PROTECTED.len()));
		let mut walk = store.walk(None);
		let mut digest = ActiveDigest::default();
		while let Some(decision) = walk.next().expect("a decision") {
			digest.add(&decision);
		}
		assert_eq!(store.digest(), &digest);
		assert!(size(directory.path()).expect("a size") > 1_000 * 20);
	}

	#[test]
	fn the_peer_gets_the_same_list() {
		let text = script((0..16).map(indicator));
		for line in [
			"add rule inet peer look ip saddr @net_ip_32 drop",
			"add rule inet peer look ip saddr & 255.255.255.0 @net_ip_24 drop",
			"add rule inet peer look ip6 saddr & ffff:ffff:ffff:ffff:: @net_ip6_64 drop",
			"add rule inet peer look ip6 saddr . meta l4proto . th sport @ep_ip6_128 drop",
		] {
			assert!(text.contains(line), "{line} is not in:\n{text}");
		}
		assert_eq!(text.matches(" timeout 604800s").count(), 16);
		assert!(text.contains("32.0.0.14 . tcp . 443 timeout 604800s"));
	}
}
