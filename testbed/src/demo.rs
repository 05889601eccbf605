//! The demo: one alert at one home, and the attacker's packets are dropped at every home.
//!
//! The tests tell the same story with the same [`Attack`].

use crate::{
	chain::{activates, final_change, next, revokes, within},
	error::{Error, Result},
	gateways::{counters, Counter},
	localnet::attach,
	loopback::key,
	now_ms, siege,
	throughput::{host, terms},
	timeline::{Spread, Timeline},
	topology::attacker,
	traffic::{Sender, RATE},
	Options, Site, Testbed, PATIENCE,
};
use futures::{future::try_join_all, try_join};
use ringfence_enforcer::core::hex;
use ringfence_primitives::{call, Change, Indicator, IndicatorId};
use serde_json::{json, Value};
use sp_core::Pair;
use std::{
	env, fs,
	io::IsTerminal,
	net::Ipv4Addr,
	path::Path,
	time::{Instant, SystemTime},
};

/// Where the real alerts lie in `RINGFENCE_DATA`.
const REAL_ALERTS: &str = "eve/crowdsec-hub-eve-detect.json";
/// Marks of the timelines that figures are made of.
const ENFORCED: &str = "enforced";
const LAST_PACKET: &str = "last packet through";
const FLOWING: &str = "packets flow again";
/// Reports of an ISP that the others confirm before it reports provisionally: ten are needed, and one report that lapses
/// is not to spoil it.
const LIST: u32 = 50;
/// First of the addresses that these are about.
const LISTS: u32 = 0x3800_0000;

/// What the demo is asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
	/// Leave everything running afterwards, until Ctrl-C, and say how to look at it
	#[arg(long)]
	pub keep: bool,
	/// Attack so many times, each time from a fresh address, and print percentiles; a home may send 60 envelopes an hour
	#[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=240))]
	pub repeat: u16,
	/// Have the ISPs report provisionally: gateways act at once, and the votes confirm it
	#[arg(long)]
	pub provisional: bool,
	/// Flood a home from the three others, in forged names, instead: its gateway learns what the packets look like, and the
	/// others' gateways stop them
	#[arg(long, conflicts_with_all = ["keep", "repeat", "provisional", "json"])]
	pub flood: bool,
	/// GRANDPA's gossip duration at every validator, in milliseconds
	#[arg(long, value_name = "MS")]
	pub gossip_duration: Option<u64>,
	/// Print one JSON object instead of text (progress goes to the standard error)
	#[arg(long)]
	pub json: bool,
}

/// A Suricata alert, ready to be appended to an EVE file.
pub struct Alert {
	/// The line.
	pub line: String,
	/// The title of the signature.
	pub title: String,
}

impl Alert {
	/// A real alert line where `RINGFENCE_DATA` has them, else the testbed's own, rewritten to be about `attacker` and
	/// `home`, now.
	pub fn about(attacker: Ipv4Addr, home: Ipv4Addr) -> Result<Self> {
		let real = env::var_os("RINGFENCE_DATA")
			.and_then(|folder| fs::read_to_string(Path::new(&folder).join(REAL_ALERTS)).ok());
		let own = include_str!("../fixtures/eve-alert.json");
		let alerts = real.as_deref().unwrap_or_default().lines().chain(own.lines());
		// One that proves the address: TCP whose stream was read, and severe enough for the default limits.
		let proven = |event: &Value| {
			event["event_type"] == "alert"
				&& event["proto"] == "TCP"
				&& event["alert"]["severity"].as_u64().is_some_and(|severity| severity <= 2)
				&& event["flow"]["pkts_toclient"].as_u64().is_some_and(|packets| packets > 0)
				&& event["app_proto"].is_string()
		};
		let mut event = alerts
			.filter_map(|line| serde_json::from_str::<Value>(line).ok())
			.find(proven)
			.ok_or_else(|| Error::Malformed { what: "the alert fixture".into(), cause: "no alert in it".into() })?;
		// As Suricata writes it: microseconds, and a numeric zone.
		let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string().replace('Z', "+0000");
		event["timestamp"] = now.into();
		event["src_ip"] = attacker.to_string().into();
		event["dest_ip"] = home.to_string().into();
		let title = event["alert"]["signature"].as_str().unwrap_or_default().to_owned();
		Ok(Self { line: event.to_string(), title })
	}

	/// The same, had the attacker never been answered: then anybody may have sent the packets in its name.
	pub fn unproven(self) -> Self {
		// It was made from JSON a moment ago.
		let mut event: Value = serde_json::from_str(&self.line).unwrap_or_default();
		event["flow"]["pkts_toclient"] = 0.into();
		Self { line: event.to_string(), ..self }
	}
}

/// An attacker's stream of packets to every home, and what is done about it.
pub struct Attack {
	/// Where it comes from.
	pub source: Ipv4Addr,
	/// Its name on the chain.
	pub id: IndicatorId,
	/// The same, as the logs write it.
	pub id_hex: String,
	/// The home whose sensor sees it.
	pub seen_at: Site,
	/// The stream.
	pub sender: Sender,
}

impl Attack {
	/// Attack number `number`, from an address of its own, which the sensor at `seen_at` will see; returns when its packets
	/// arrive at every one of `homes`.
	pub async fn start(testbed: &Testbed, number: u16, seen_at: Site, homes: &[Site]) -> Result<Self> {
		let source = attacker(number);
		let targets: Vec<_> = homes.iter().map(|site| site.home_address()).collect();
		let sender = Sender::start(&testbed.topology.attacker, source, &targets)?;
		try_join_all(homes.iter().map(|site| testbed.home(*site).flowing(&sender, PATIENCE))).await?;
		let id = Indicator::Host(source.into()).id();
		Ok(Self { source, id, id_hex: hex::encode(&id), seen_at, sender })
	}

	/// Raises an alert about it at its gateway, which seals it for its ISP, which reports it as its own; follows that until
	/// the packets have stopped at every one of `homes`.
	pub async fn alert(&self, testbed: &Testbed, homes: &[Site]) -> Result<Timeline> {
		let (chain, id) = (testbed.chain(), self.id_hex.as_str());
		let (household, provider) = (testbed.gateway(self.seen_at), testbed.vetter(self.seen_at));
		let alert = Alert::about(self.source, self.seen_at.home_address())?;
		let from = chain.log_head().await?.seq + 1;
		let mut heads = chain.best_heads().await?;
		let mut pushes = chain.changes(from).await?;
		let activated = |change: &Change| activates(change, &self.id);
		let report = if testbed.provisional { "report_provisionally" } else { "report" };

		let mut timeline = Timeline::new(now_ms());
		household.alert(&alert.line)?;
		let (seen, sent, promoted, included, best, last, enforced) = try_join!(
			household.wait("alert", id, PATIENCE),
			household.wait_call("submitted", "send", id, PATIENCE),
			provider.wait_call("submitted", report, id, PATIENCE),
			provider.wait_call("included", report, id, PATIENCE),
			within(PATIENCE, "the indicator to become active", chain.best_change(&mut heads, from, activated)),
			within(PATIENCE, "the activation to become final", final_change(&mut pushes, activated)),
			try_join_all(homes.iter().map(|site| testbed.gateway(*site).wait_enforced("activated", id, PATIENCE))),
		)?;
		let flows = try_join_all(homes.iter().map(|site| testbed.home(*site).blocked(&self.sender, PATIENCE))).await?;

		let reported = match included.get("block") {
			Some(hash) => chain.block_number(hash).await?,
			None => None,
		};
		let letter = self.seen_at.letter();
		timeline.mark(timeline.origin(), "alert written", format!("gateway {letter}'s EVE file"));
		timeline.mark(seen.at, "alert seen", format!("gateway {letter}"));
		timeline.mark(sent.at, "sealed and sent", format!("gateway {letter}, to ISP {letter}"));
		timeline.mark(promoted.at, "opened and reported", format!("ISP {letter}, as its own"));
		timeline.mark(
			included.at,
			"report in block",
			reported.map_or_else(String::new, |number| format!("block {number}")),
		);
		testbed.mark_votes(&mut timeline, id);
		timeline.mark(best.at, "activated", format!("block {}", best.block));
		timeline.mark(last.at, "finalized", format!("block {}", last.block));
		for (site, line) in homes.iter().zip(enforced) {
			timeline.mark(line.at, ENFORCED, format!("gateway {}", site.letter()));
		}
		for (site, flow) in homes.iter().zip(flows) {
			timeline.mark(flow.last_at, LAST_PACKET, format!("home {}, after {}", site.letter(), flow.packets));
		}
		Ok(timeline)
	}

	/// Waits until the votes have confirmed at every one of `homes` what acts provisionally: who withdraws it before loses
	/// its good standing.
	pub async fn confirmed(&self, testbed: &Testbed, homes: &[Site]) -> Result<()> {
		let confirmed =
			homes.iter().map(|site| testbed.gateway(*site).wait_enforced("extended", &self.id_hex, PATIENCE));
		try_join_all(confirmed).await.map(drop)
	}

	/// Withdraws the indicator as the ISP that reported it, and follows that until packets arrive again at every one of
	/// `homes`.
	pub async fn withdraw(&self, testbed: &Testbed, homes: &[Site]) -> Result<Timeline> {
		let (chain, id) = (testbed.chain(), self.id_hex.as_str());
		let signer = key(&self.seen_at.isp_secret())?;
		let from = chain.log_head().await?.seq + 1;
		let mut heads = chain.best_heads().await?;
		let mut pushes = chain.changes(from).await?;
		let revoked = |change: &Change| revokes(change, &self.id);

		let origin = now_ms();
		let withdrawal = call::withdraw(&self.id);
		let submit = chain.submit("the withdrawal", &signer, &withdrawal);
		let (_, best, last, enforced, resumed) = try_join!(
			within(PATIENCE, "the withdrawal to be in a block", submit),
			within(PATIENCE, "the indicator to be revoked", chain.best_change(&mut heads, from, revoked)),
			within(PATIENCE, "the revocation to become final", final_change(&mut pushes, revoked)),
			try_join_all(homes.iter().map(|site| testbed.gateway(*site).wait_enforced("revoked", id, PATIENCE))),
			try_join_all(homes.iter().map(|site| testbed.home(*site).resumed(&self.sender, origin, PATIENCE))),
		)?;

		let mut timeline = Timeline::new(origin);
		timeline.mark(origin, "withdrawal submitted", format!("ISP {}", self.seen_at.letter()));
		timeline.mark(best.at, "revoked", format!("block {}", best.block));
		timeline.mark(last.at, "finalized", format!("block {}", last.block));
		for (site, line) in homes.iter().zip(enforced) {
			timeline.mark(line.at, ENFORCED, format!("gateway {}", site.letter()));
		}
		for (site, at) in homes.iter().zip(resumed) {
			timeline.mark(at, FLOWING, format!("home {}", site.letter()));
		}
		Ok(timeline)
	}
}

/// Gives every ISP the good standing without which it cannot report provisionally: each reports a list, and the others
/// confirm it.
async fn earn_standing(testbed: &Testbed) -> Result<()> {
	let (chain, terms) = (testbed.chain(), terms("list")?);
	let mut heads = chain.best_heads().await?;
	for site in Site::ALL {
		let signer = key(&site.isp_secret())?;
		let first = LISTS + LIST * site.index() as u32;
		let indicators: Vec<Indicator> = (first..first + LIST).map(host).collect();
		let list = call::report_batch(&terms, &indicators);
		let report = chain.submit("a list", &signer, &list);
		within(PATIENCE, "a list to be in a block", report).await?;
		let account = signer.public().0;
		let standing = async {
			while chain.member(&account).await?["goodStanding"] != true {
				next(&mut heads).await?;
			}
			Ok::<_, Error>(())
		};
		within(PATIENCE, &format!("ISP {} to be in good standing", site.letter()), standing).await?;
	}
	Ok(())
}

/// The spreads of what is measured in each round.
#[derive(Default)]
struct Figures {
	enforced: Spread,
	last_packet: Spread,
	flowing: Spread,
}

impl Figures {
	fn add(&mut self, attack: &Timeline, withdrawal: &Timeline) {
		self.enforced.add(attack.last(ENFORCED) as f64);
		self.last_packet.add(attack.last(LAST_PACKET) as f64);
		self.flowing.add(withdrawal.last(FLOWING) as f64);
	}

	fn rows(&self) -> [(&'static str, &Spread); 3] {
		[
			("alert → enforced everywhere", &self.enforced),
			("alert → last packet anywhere", &self.last_packet),
			("withdrawal → flowing everywhere", &self.flowing),
		]
	}

	fn render(&self) -> String {
		let mut text = format!("  {:<34}{:>8}{:>8}{:>8}{:>8}\n", "milliseconds", "p50", "p95", "p99", "max");
		for (name, spread) in self.rows() {
			let cells = [50, 95, 99, 100].map(|percent| format!("{:>8.0}", spread.percentile(percent)));
			text += &format!("  {name:<34}{}\n", cells.concat());
		}
		text
	}

	fn json(&self) -> Value {
		let [enforced, last_packet, flowing] = self.rows().map(|(_, spread)| {
			json!({
				"p50": spread.percentile(50), "p95": spread.percentile(95), "p99": spread.percentile(99), "max": spread.percentile(100),
			})
		});
		json!({ "rounds": self.enforced.count(), "enforced": enforced, "lastPacket": last_packet, "flowing": flowing })
	}
}

/// Shows it all. Returns early only on a failure; with `keep`, returns never.
pub async fn run(settings: &Settings) -> Result<()> {
	if settings.flood {
		return siege::demo(settings.gossip_duration).await;
	}
	let say = |text: &str| if settings.json { eprintln!("{text}") } else { println!("{text}") };
	let color = std::io::stdout().is_terminal() && !settings.json;
	let (bold, green, off) = if color { ("\x1b[1m", "\x1b[32m", "\x1b[0m") } else { ("", "", "") };
	let step = |what: &str, took: std::time::Duration, detail: String| {
		say(&format!("  {green}✓{off} {what:<20}{:>6.1} s   {detail}", took.as_secs_f64()));
	};
	let heading = |text: &str| say(&format!("\n{bold}{text}{off}\n"));

	heading("Ringfence: one alert at one home, packets dropped at four");
	let Settings { provisional, gossip_duration, .. } = *settings;
	let testbed = Testbed::start(Options { provisional, gossip_duration, ..Options::FULL }, &step).await?;
	if provisional {
		let start = Instant::now();
		earn_standing(&testbed).await?;
		step("good standing", start.elapsed(), format!("{LIST} reports of each ISP confirmed"));
	}

	let mut figures = Figures::default();
	let mut rounds = Vec::new();
	for number in 0..settings.repeat {
		let start = Instant::now();
		// By turns, since each home has a quota of its own.
		let seen_at = Site::ALL[usize::from(number) % Site::ALL.len()];
		let attack = Attack::start(&testbed, number, seen_at, &Site::ALL).await?;
		let single = settings.repeat == 1;
		if single {
			step("traffic flows", start.elapsed(), format!("{} → each home, {RATE} packets a second", attack.source));
			let title = Alert::about(attack.source, Site::A.home_address())?.title;
			heading(&format!("Gateway A's sensor raises an alert about {}: {title}", attack.source));
		} else if number == 0 {
			heading(&format!("{} attacks, each from an address of its own", settings.repeat));
		}
		let alert = attack.alert(&testbed, &Site::ALL).await?;
		if single {
			say(&alert.render(color));
		}
		let counted: Vec<(char, Vec<Counter>)> = Site::ALL
			.into_iter()
			.map(|site| Ok((site.letter(), counters(testbed.gateway_namespace(site))?)))
			.collect::<Result<_>>()?;
		if single {
			heading("Firewall counters, read by nft");
			for (letter, counters) in &counted {
				let used = counters.iter().filter(|counter| counter.packets > 0);
				let cells =
					used.map(|c| format!("{} {} packets, {} bytes", c.name, c.packets, c.bytes)).collect::<Vec<_>>();
				say(&format!("  gateway {letter}   {}", cells.join("; ")));
			}
			heading("ISP A withdraws the indicator");
		}
		if provisional {
			attack.confirmed(&testbed, &Site::ALL).await?;
		}
		let withdrawal = attack.withdraw(&testbed, &Site::ALL).await?;
		figures.add(&alert, &withdrawal);
		if single {
			say(&withdrawal.render(color));
		} else {
			say(&format!(
				"  {:>4}   {:<15} enforced everywhere {:>5} ms   last packet {:>5} ms   flowing again {:>5} ms",
				number + 1,
				attack.source.to_string(),
				alert.last(ENFORCED),
				alert.last(LAST_PACKET),
				withdrawal.last(FLOWING)
			));
		}
		let counted = counted.iter().map(|(letter, counters)| {
			let counters = counters.iter().map(|c| (c.name.clone(), json!({ "packets": c.packets, "bytes": c.bytes })));
			(letter.to_string(), counters.collect::<Value>())
		});
		rounds.push(json!({
			"source": attack.source.to_string(),
			"attack": alert.json(),
			"counters": counted.collect::<Value>(),
			"withdrawal": withdrawal.json(),
		}));
	}
	heading(&format!("{} round{}", settings.repeat, if settings.repeat == 1 { "" } else { "s" }));
	say(&figures.render());
	if settings.json {
		println!("{}", json!({ "summary": figures.json(), "rounds": rounds }));
	}
	if settings.keep {
		heading("It is left running. Ctrl-C ends it and cleans up.");
		say(&attach(&testbed));
		say("\nWhat each gateway's enforcer says of itself:\n");
		let program = crate::process::binary("ringfence-enforcer")?;
		for gateway in &testbed.gateways {
			let namespace = testbed.gateway_namespace(gateway.site).name();
			say(&format!(
				"  ip netns exec {namespace} {} status --config {}",
				program.display(),
				gateway.config.display()
			));
		}
		say(&format!("\nLogs: {}", testbed.work.path().join("logs").display()));
		std::future::pending::<()>().await;
	}
	testbed.finish();
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_enforcer::core::alert::eve;

	#[test]
	fn the_alert_is_one_that_the_sensor_understands() {
		let alert = Alert::about(attacker(7), Site::B.home_address()).expect("an alert");
		let parsed = eve::parse(alert.line.as_bytes()).expect("an EVE line").expect("of type alert");
		assert_eq!(parsed.source.to_string(), attacker(7).to_string());
		assert_eq!(parsed.destination.to_string(), Site::B.home_address().to_string());
		assert!(parsed.answered && parsed.severity <= 2 && parsed.timestamp.ends_with("+0000"));
		let unproven = eve::parse(alert.unproven().line.as_bytes()).expect("an EVE line").expect("of type alert");
		assert!(!unproven.answered);
	}
}
