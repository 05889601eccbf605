//! `ringfence-testbed flood`: the options, those of BoNeSi among them.

use super::{
	connect::connect, pcap, send::send, Exit, Generator, Kind, Plan, Reflector, Refusal, Sources, MAX_DURATION,
	MAX_PACKETS, MAX_RATE, MAX_SOURCES, MAX_TALK_RATE,
};
use crate::error::{Context, Error, Result};
use std::{
	fs::{self, File},
	io::BufWriter,
	net::Ipv4Addr,
	path::{Path, PathBuf},
	time::Duration,
};

/// Most bytes of a list of addresses, paths or browsers.
const MAX_LIST: u64 = 64 << 20;

/// How long is sent where nobody says.
const DURATION: Duration = Duration::from_secs(10);

/// BoNeSi's choice of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
	/// Echo requests
	Icmp,
	/// Datagrams
	Udp,
	/// HTTP requests
	Tcp,
}

/// Where to, and to which port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
	host: Ipv4Addr,
	port: Option<u16>,
}

/// Reads `HOST` or `HOST:PORT`; port 0 is none.
fn destination(text: &str) -> Result<Destination, String> {
	let (host, port) = match text.split_once(':') {
		Some((host, port)) => (host, port.parse::<u16>().map_err(|error| format!("the port: {error}"))?),
		None => (text, 0),
	};
	let host = host.parse().map_err(|error| format!("the host: {error}"))?;
	Ok(Destination { host, port: Some(port).filter(|port| *port != 0) })
}

/// Reads an address, or a network.
fn sources(text: &str) -> Result<Sources, String> {
	let (first, length) = text.split_once('/').unwrap_or((text, "32"));
	let first = first.parse().map_err(|error| format!("the address: {error}"))?;
	let length = length.parse().map_err(|error| format!("the prefix: {error}"))?;
	if length > 32 {
		return Err("a prefix has at most 32 bits".into());
	}
	Ok(Sources::Network(first, length))
}

/// What to make, and where to send it. There is no default target.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
	/// Who suffers
	#[arg(value_name = "DST[:PORT]", value_parser = destination)]
	target: Destination,
	/// What to make
	#[arg(long, value_name = "KIND", conflicts_with = "protocol")]
	kind: Option<Kind>,
	/// The same, in BoNeSi's words; udp when neither is given
	#[arg(short, long)]
	protocol: Option<Protocol>,
	/// A network namespace that a testbed made, to send in
	#[arg(long, value_name = "NAME", requires = "device", required_unless_present_any = ["loopback", "pcap"])]
	netns: Option<String>,
	/// The interface there, to send through
	#[arg(short, long, value_name = "NAME", requires = "netns")]
	device: Option<String>,
	/// Send through the loopback, from and to 127.0.0.0/8
	#[arg(long, conflicts_with_all = ["device", "netns", "pcap"])]
	loopback: bool,
	/// Send nothing: write a capture file
	#[arg(long, value_name = "FILE", conflicts_with = "netns")]
	pcap: Option<PathBuf>,
	/// The addresses that packets come from, one a line
	#[arg(short, long, value_name = "FILE")]
	ips: Option<PathBuf>,
	/// The address or the network that packets come from; without this and without a list, from anywhere
	#[arg(long, value_name = "ADDRESS[/LENGTH]", value_parser = sources, conflicts_with = "ips")]
	source: Option<Sources>,
	/// Random hosts in the /24 of each address of the list, instead of that address: so many of them
	#[arg(short = 't', long, alias = "max_bots", value_name = "N", requires = "ips", value_parser = clap::value_parser!(u16).range(1..=256))]
	max_bots: Option<u16>,
	/// Packets a second, or connections; 0: as fast as it goes
	#[arg(short = 'r', long = "rate", visible_alias = "send-rate", alias = "send_rate", value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(0..=MAX_RATE))]
	rate: u64,
	/// Bytes of payload, where the kind leaves a choice; the kind's own when not given
	#[arg(short = 's', long, alias = "payload_size", value_name = "BYTES")]
	payload_size: Option<usize>,
	/// Packets, or connections; 0: as many as one run may have
	#[arg(short = 'c', long = "packets", visible_alias = "max-packets", alias = "max_packets", value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(0..=MAX_PACKETS))]
	packets: u64,
	/// How long at most; 10 seconds when not given, but for a file, which is as long as its packets take
	#[arg(long, visible_alias = "max-period", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_DURATION.as_secs()))]
	seconds: Option<u64>,
	/// The path to ask for, over HTTP
	#[arg(short, long, value_name = "URL", conflicts_with = "url_list")]
	url: Option<String>,
	/// Paths to ask for, one a line
	#[arg(short = 'l', long, alias = "url_list", value_name = "FILE")]
	url_list: Option<PathBuf>,
	/// Browsers that say they ask, one a line
	#[arg(short = 'b', long, alias = "useragent_list", value_name = "FILE")]
	useragent_list: Option<PathBuf>,
	/// The same seed gives the same packets
	#[arg(long, value_name = "N", default_value_t = 1)]
	seed: u64,
	/// The domain below which names are asked for that do not exist
	#[arg(long, value_name = "NAME", default_value = "example.org")]
	domain: String,
	/// From one beacon to the next, give or take a tenth
	#[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
	interval: Duration,
	/// The kind of servers that reflect; all of them when not given
	#[arg(long, value_name = "KIND")]
	reflector: Option<Reflector>,
	/// Tell what will be done
	#[arg(short, long)]
	verbose: bool,
}

impl Settings {
	/// Reads the lists.
	fn plan(&self) -> Result<Plan> {
		let kind = self.kind.unwrap_or(match self.protocol {
			Some(Protocol::Icmp) => Kind::Icmp,
			Some(Protocol::Tcp) => Kind::Http,
			Some(Protocol::Udp) | None => Kind::Udp,
		});
		let fresh = Plan::new(kind, self.target.host);
		let sources = match (&self.ips, &self.source) {
			(Some(path), _) => Sources::Listed(
				bots(&read(path)?, self.max_bots)
					.map_err(|cause| Error::Malformed { what: path.display().to_string(), cause })?,
			),
			(None, Some(sources)) => sources.clone(),
			(None, None) if self.loopback => Sources::Network(Ipv4Addr::LOCALHOST, 8),
			(None, None) => Sources::Anywhere,
		};
		let lines = |path: &Path| -> Result<Vec<String>> {
			Ok(read(path)?.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
		};
		let paths = match (&self.url_list, &self.url) {
			(Some(file), _) => lines(file)?.iter().map(|url| path(url)).collect(),
			(None, Some(url)) => vec![path(url)],
			(None, None) => fresh.paths,
		};
		let agents = self.useragent_list.as_deref().map_or(Ok(fresh.agents), lines)?;
		let most = if kind.talks() { MAX_TALK_RATE } else { MAX_RATE };
		Ok(Plan {
			port: self.target.port,
			sources,
			// What nobody asked for in so many words is no reason to refuse.
			rate: self.rate.min(most),
			payload: self.payload_size,
			packets: if self.packets == 0 { MAX_PACKETS } else { self.packets },
			domain: self.domain.clone(),
			interval: self.interval,
			reflector: self.reflector,
			paths,
			agents,
			kind,
			target: fresh.target,
			link: fresh.link,
		})
	}

	/// Does it; what is to be printed.
	fn carry_out(&self) -> Result<String> {
		if let Some(path) = &self.pcap {
			let plan = self.plan()?;
			let nanoseconds = self.seconds.map_or(u64::MAX, |seconds| seconds.saturating_mul(super::SECOND));
			let frames = Generator::new(plan, self.seed)?.take_while(|(at, _)| *at < nanoseconds);
			let writing = || format!("writing {}", path.display());
			let file = File::create(path).context(writing())?;
			let count = pcap::write(BufWriter::new(file), frames).context(writing())?;
			return Ok(serde_json::json!({ "packets": count, "file": path.display().to_string() }).to_string());
		}
		// Whether it may be sent comes before what.
		let exit = match (&self.netns, &self.device) {
			(Some(namespace), Some(device)) => Exit::open(namespace, device, self.target.host)?,
			_ => Exit::loopback(self.target.host)?,
		};
		let plan = self.plan()?;
		let duration = self.seconds.map_or(DURATION, Duration::from_secs);
		if self.verbose {
			eprintln!(
				"{:?} to {} for {} s at most, {} at most",
				plan.kind,
				plan.target,
				duration.as_secs(),
				plan.packets
			);
		}
		let told = if plan.kind.connects() {
			serde_json::to_string(&connect(&exit, &plan, self.seed, duration)?)
		} else {
			serde_json::to_string(&send(&exit, &plan, self.seed, duration)?)
		};
		told.map_err(|error| Error::Malformed { what: "what was sent".into(), cause: error.to_string() })
	}
}

/// Does what the settings say, and prints one line of JSON.
pub async fn run(settings: Settings) -> Result<()> {
	// It blocks. A request to stop is seen by it as well.
	let done = tokio::task::spawn_blocking(move || settings.carry_out()).await;
	let line = done.map_err(std::io::Error::other).context("sending")??;
	println!("{line}");
	Ok(())
}

fn read(path: &Path) -> Result<String> {
	let what = || format!("reading {}", path.display());
	let given = fs::metadata(path).context(what())?.len();
	if given > MAX_LIST {
		return Err(Refusal::Limit { what: "bytes of a list", given, most: MAX_LIST }.into());
	}
	fs::read_to_string(path).context(what())
}

/// The addresses of a list, one a line; or, with `spread`, so many spread over the /24 of each.
fn bots(text: &str, spread: Option<u16>) -> Result<Vec<Ipv4Addr>, String> {
	let mut all = Vec::new();
	for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
		let bot: Ipv4Addr = line.trim().parse().map_err(|error| format!("line {}: {error}", number + 1))?;
		match spread {
			None => all.push(bot),
			Some(count) => {
				let [a, b, c, d] = bot.octets();
				// An odd stride meets each of the 256 once, and begins elsewhere in each network.
				all.extend((0..count).map(|n| Ipv4Addr::new(a, b, c, d.wrapping_add((n as u8).wrapping_mul(77)))));
			}
		}
		if all.len() > MAX_SOURCES {
			return Err(format!("more than {MAX_SOURCES} addresses"));
		}
	}
	if all.is_empty() {
		return Err("it names no address".into());
	}
	Ok(all)
}

/// The path of a URL; a path itself is taken as it is.
fn path(url: &str) -> String {
	let rest = url.split_once("://").map_or(url, |(_, rest)| rest.find('/').map_or("/", |at| rest.split_at(at).1));
	let rest = rest.replace(|letter: char| letter.is_whitespace() || letter.is_control(), "%20");
	if rest.starts_with('/') {
		rest
	} else {
		format!("/{rest}")
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use clap::Parser;

	#[derive(Parser)]
	struct Cli {
		#[command(flatten)]
		settings: Settings,
	}

	fn parse(line: &str) -> Result<Settings, clap::Error> {
		Cli::try_parse_from(["flood"].into_iter().chain(line.split_whitespace())).map(|cli| cli.settings)
	}

	#[test]
	fn bonesis_options_are_understood() {
		let line = "-p icmp -r 150000 -s 32 -c 0 -d net --netns rf1-attacker -v 203.0.113.42:80";
		let settings = parse(line).unwrap_or_else(|error| panic!("{error}"));
		let plan = settings.plan().expect("a plan");
		assert_eq!((plan.kind, plan.rate, plan.payload), (Kind::Icmp, 150_000, Some(32)));
		assert_eq!((plan.packets, plan.port), (MAX_PACKETS, Some(80)));
		for (word, kind) in [("icmp", Kind::Icmp), ("udp", Kind::Udp), ("tcp", Kind::Http)] {
			let line = format!("--protocol={word} --send_rate=5 --payload_size=9 --max_packets=7 --loopback 127.0.0.1");
			let plan = parse(&line).expect("options").plan().expect("a plan");
			assert_eq!((plan.kind, plan.rate, plan.payload, plan.packets), (kind, 5, Some(9), 7));
		}
		assert_eq!(parse("--loopback 127.0.0.1:0").expect("options").plan().expect("a plan").kind, Kind::Udp);
	}

	#[test]
	fn without_a_target_a_place_or_within_limits_nothing_is_done() {
		for line in [
			"",
			"--loopback",
			"203.0.113.42:80",
			"--netns rf1-attacker 203.0.113.42",
			"-d eth0 203.0.113.42",
			"-d eth0 --loopback 127.0.0.1",
			"--netns rf1-a -d net --loopback 127.0.0.1",
			"--loopback --rate 2000001 127.0.0.1",
			"--loopback --packets 50000001 127.0.0.1",
			"--loopback --seconds 601 127.0.0.1",
			"--loopback --seconds 0 127.0.0.1",
			"--loopback example.org:80",
			"--loopback 127.0.0.1:99999",
		] {
			assert!(parse(line).is_err(), "{line}");
		}
	}

	#[test]
	fn a_list_of_bots_has_an_address_a_line() {
		assert_eq!(
			bots("192.0.2.1\n\n 192.0.2.9 \n", None),
			Ok(vec![Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 9)])
		);
		let spread = bots("192.0.2.200\n", Some(256)).expect("bots");
		assert_eq!(spread.iter().collect::<std::collections::HashSet<_>>().len(), 256);
		assert!(spread.iter().all(|bot| bot.octets()[..3] == [192, 0, 2]));
		assert_eq!(bots("\n", None), Err("it names no address".into()));
		let error = bots("192.0.2.1\nexample.org\n", None).expect_err("a name is no address");
		assert!(error.starts_with("line 2:"), "{error}");
	}

	#[test]
	fn the_path_of_a_url_is_asked_for() {
		for (url, asked) in [
			("/a/b?c", "/a/b?c"),
			("a", "/a"),
			("http://www.example.org/a", "/a"),
			("http://www.example.org", "/"),
			("/a b\u{7}", "/a%20b%20"),
		] {
			assert_eq!(path(url), asked);
		}
	}

	#[test]
	fn the_same_seed_writes_the_same_file() {
		let folder = tempfile::tempdir().expect("a folder");
		let file = |name: &str, seed: u64| {
			let path = folder.path().join(name);
			let line = format!("--kind syn --seed {seed} -c 50 --pcap {} 203.0.113.42:80", path.display());
			let said = parse(&line).expect("options").carry_out().expect("a file");
			assert!(said.contains("\"packets\":50"), "{said}");
			fs::read(path).expect("what was written")
		};
		assert_eq!(file("a", 1), file("b", 1));
		assert_ne!(file("a", 1), file("c", 2));
	}
}
