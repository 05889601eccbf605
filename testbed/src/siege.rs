//! A flood in forged names: bots in three homes send to the fourth, whose gateway sees it, and what becomes of it.
//!
//! The demo and the tests tell the same story with the same [`Siege`].

use crate::{
	chain::{final_find, within},
	error::{Error, Result},
	flood::{send::send_while, Exit, Kind, Plan},
	interrupted, now_ms,
	process::Line,
	tap::{Arrived, Tap},
	timeline::Timeline,
	traffic::{Server, Transport, Visitor},
	Options, Site, Testbed, PATIENCE,
};
use futures::{future::try_join_all, try_join};
use ringfence_primitives::{Change, ChangeKind, Decision, FlowSignature, Indicator, Network};
use std::{
	cell::Cell,
	io::IsTerminal,
	net::Ipv4Addr,
	sync::{
		atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
		Arc,
	},
	thread::{self, JoinHandle},
	time::{Duration, Instant},
};
use tokio::time::sleep;

/// Packets a second of one bot.
pub const RATE: u64 = 4_000;
/// Bots: one in every home but the one that they flood.
pub const BOTS: u64 = Site::ALL.len() as u64 - 1;
/// The port of the service that honest visitors use, and that is flooded with connection requests.
pub const SERVICE: u16 = 80;
/// Frames that a bot makes ahead: 10 seconds' worth. Then it makes others.
const ROUND: u64 = 10 * RATE;
/// The longest that a bot sends, should nobody stop it.
const LONGEST: Duration = Duration::from_secs(180);
/// So many packets sent of which none arrives, a second's worth, are a block and not a hiccup.
const MISSED: u64 = BOTS * RATE;
/// What is due before the bots begin goes out at once: a flood begins with a wave. One that crept up, by the chances of a busy
/// machine, would at first be a part of what the gateway takes for usual.
const WAVE: Duration = Duration::from_millis(50);
/// How often it is looked whether the bots are ready, or packets stay away: neither is an event.
const LOOK: Duration = Duration::from_millis(5);

/// Requests a second of an honest visitor.
const REQUESTS: u64 = 50;
/// Requests after which a gateway has seen enough of a quiet time to tell a flood from it.
const QUIET: u64 = 100;

/// A kind of flood, and who sees it.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
	/// What is sent.
	pub kind: Kind,
	/// The detector that finds it.
	pub detector: &'static str,
	/// Its IP protocol.
	pub protocol: u8,
}

/// The floods of the story.
pub const FLOODS: [Flood; 3] = [
	Flood { kind: Kind::Icmp, detector: "icmp-flood", protocol: 1 },
	Flood { kind: Kind::Syn, detector: "syn-flood", protocol: 6 },
	Flood { kind: Kind::Udp, detector: "udp-flood", protocol: 17 },
];

/// Honest visitors of the service in home A, until dropped: over TCP from a home where a bot is as well, over UDP from the
/// middle of the network.
pub struct Guests {
	/// Over TCP, and over UDP.
	pub visitors: [Visitor; 2],
	_server: Server,
}

impl Guests {
	/// Where they come from.
	pub const ADDRESSES: [Ipv4Addr; 2] = [Site::B.home_address(), Site::A.net_address()];

	/// Opens the service and lets them in; returns when they have been there for a while.
	pub async fn start(testbed: &Testbed) -> Result<Self> {
		let service = (Site::A.home_address(), SERVICE);
		let server = Server::start(testbed.home_namespace(Site::A), service.0, service.1)?;
		let [neighbour, stranger] = Self::ADDRESSES;
		let home = testbed.home_namespace(Site::B);
		let visitors = [
			Visitor::start(home, neighbour, service, Transport::Tcp, REQUESTS)?,
			Visitor::start(&testbed.topology.net, stranger, service, Transport::Udp, REQUESTS)?,
		];
		let this = Self { visitors, _server: server };
		this.served(QUIET).await?;
		Ok(this)
	}

	/// Waits until each of them has been answered so many times more.
	pub async fn served(&self, more: u64) -> Result<()> {
		try_join_all(self.visitors.iter().map(|visitor| visitor.served(more, PATIENCE))).await.map(drop)
	}
}

/// What the bots and their master know of each other.
#[derive(Default)]
struct Shared {
	stop: AtomicBool,
	/// Bots that have made their frames.
	ready: AtomicU64,
	/// Unix milliseconds; 0: not yet.
	begun: AtomicI64,
	sent: AtomicU64,
}

impl Shared {
	/// A bot's work: sends until it is told to stop.
	fn send(&self, exit: &Exit, plan: &Plan, mut seed: u64) -> Result<()> {
		let start = Instant::now();
		let goes_on = || !self.stop.load(Ordering::Relaxed);
		let fresh = Cell::new(true);
		while goes_on() && !interrupted() && start.elapsed() < LONGEST {
			let counted = Cell::new(0);
			send_while(exit, plan, seed, LONGEST, |packets| {
				// The frames are made, and none is sent.
				if fresh.replace(false) {
					self.gather();
				}
				self.count(packets - counted.replace(packets));
				goes_on()
			})?;
			// What no other bot has had.
			seed += BOTS;
		}
		Ok(())
	}

	/// Waits for the other bots, and for the wave.
	fn gather(&self) {
		self.ready.fetch_add(1, Ordering::Relaxed);
		while self.ready.load(Ordering::Relaxed) < BOTS && !self.stop.load(Ordering::Relaxed) {
			thread::sleep(LOOK);
		}
		thread::sleep(WAVE);
	}

	fn count(&self, packets: u64) {
		if packets > 0 && self.sent.fetch_add(packets, Ordering::Relaxed) == 0 {
			self.begun.store(now_ms(), Ordering::Relaxed);
		}
	}
}

/// A flood that goes on until this is dropped.
pub struct Siege {
	/// What is sent.
	pub flood: Flood,
	/// Whom to.
	pub victim: Site,
	/// What of it arrives at the victim's line, before the gateway.
	pub line: Tap,
	/// What of it arrives in the victim's home, behind the gateway.
	pub inside: Tap,
	/// The first entry of the change log that may be about it.
	from: u64,
	shared: Arc<Shared>,
	bots: Vec<JoinHandle<()>>,
}

/// What the logs tell of it, in order.
struct Told {
	found: Arc<Line>,
	alert: Arc<Line>,
	sent: Arc<Line>,
	promoted: Arc<Line>,
	included: Arc<Line>,
	enforced: Vec<Arc<Line>>,
}

/// How it was stopped.
pub struct Defence {
	/// When what happened, from the first packet on.
	pub timeline: Timeline,
	/// What the chain decided.
	pub decision: Decision,
}

impl Siege {
	/// Begins; returns when the first packets have been sent. What [`Guests`] send is not counted.
	pub async fn start(testbed: &Testbed, flood: Flood, victim: Site) -> Result<Self> {
		let (target, honest) = (victim.home_address(), &Guests::ADDRESSES);
		// What is answered to forged names is lost out there, and nobody tells the victim of each packet that it was.
		testbed.topology.net.ip(["route replace blackhole default"])?;
		let others = Site::ALL.into_iter().filter(|site| *site != victim);
		let exits = others
			.map(|site| Exit::open(testbed.home_namespace(site).name(), "lan", target))
			.collect::<Result<Vec<_>>>()?;
		let line = Tap::start(testbed.gateway_namespace(victim), "wan", target, flood.protocol, honest)?;
		let inside = Tap::start(testbed.home_namespace(victim), "lan", target, flood.protocol, honest)?;
		let from = testbed.chain().log_head().await?.seq + 1;

		let plan = Plan { rate: RATE, packets: ROUND, ..Plan::new(flood.kind, target) };
		let shared = Arc::new(Shared::default());
		let mut bots = Vec::new();
		for (exit, seed) in exits.into_iter().zip(1..) {
			let (shared, plan) = (shared.clone(), plan.clone());
			bots.push(thread::spawn(move || {
				if let Err(error) = shared.send(&exit, &plan, seed) {
					eprintln!("a bot cannot send: {error}");
				}
			}));
		}
		let this = Self { flood, victim, line, inside, from, shared, bots };
		this.until("the flood to begin", || this.begun() > 0).await?;
		Ok(this)
	}

	/// When the first packet was sent, in Unix milliseconds.
	pub fn begun(&self) -> i64 {
		self.shared.begun.load(Ordering::Relaxed)
	}

	/// Packets that all bots have sent so far.
	pub fn sent(&self) -> u64 {
		self.shared.sent.load(Ordering::Relaxed)
	}

	/// Waits until all bots together have sent so many packets since they began.
	pub async fn sends(&self, packets: u64) -> Result<()> {
		self.until("packets to be sent", || self.sent() >= packets).await
	}

	/// Waits until `done`.
	async fn until(&self, what: &str, mut done: impl FnMut() -> bool) -> Result<()> {
		let start = Instant::now();
		while !done() {
			if start.elapsed() > PATIENCE {
				let what = format!(
					"{what} ({} sent, {} on the line, {} in the home)",
					self.sent(),
					self.line.arrived().packets,
					self.inside.arrived().packets
				);
				return Err(Error::Deadline { what, within: PATIENCE, log: String::new() });
			}
			sleep(LOOK).await;
		}
		Ok(())
	}

	/// Waits until the bots send and nothing of it arrives at `tap` any more: what had until then.
	async fn kept_from(&self, tap: &Tap) -> Result<Arrived> {
		let (mut sent, mut arrived) = (self.sent(), tap.arrived());
		let quiet = || {
			let now = tap.arrived();
			if now != arrived {
				(sent, arrived) = (self.sent(), now);
			}
			self.sent() >= sent + MISSED
		};
		self.until("the flood to stay away", quiet).await?;
		Ok(arrived)
	}

	/// What the change decides, if that is to stop such packets to the victim.
	fn answer<'a>(&self, change: &'a Change) -> Option<&'a Decision> {
		let victim = Network::host(self.victim.home_address().into());
		let ChangeKind::Activated(decision) = &change.kind else { return None };
		let Indicator::Flow(FlowSignature { protocol, destination, .. }) = &decision.indicator else { return None };
		(*protocol == Some(self.flood.protocol) && *destination == Some(victim)).then_some(decision)
	}

	/// Follows it from gateway to gateway through the logs.
	async fn told(&self, testbed: &Testbed) -> Result<Told> {
		let (household, provider) = (testbed.gateway(self.victim), testbed.vetter(self.victim));
		let journal = household.process.journal();
		let detector = self.flood.detector;
		let begun = self.begun();
		let by_it = |line: &Line| line.is("found") && line.get("detector") == Some(detector) && line.at >= begun;
		let found = journal.wait(&format!("\"found\" by {detector}"), PATIENCE, by_it).await?;
		let indicator = found.get("indicator").unwrap_or_default();
		let about_it = |line: &Line| line.is("alert") && line.get("indicator") == Some(indicator);
		let alert = journal.wait(&format!("\"alert\" about {indicator}"), PATIENCE, about_it).await?;
		let id = alert.get("id").unwrap_or_default();
		let enforced = Site::ALL.iter().map(|site| testbed.gateway(*site).wait_enforced("activated", id, PATIENCE));
		let (sent, promoted, included, enforced) = try_join!(
			household.wait_call("submitted", "send", id, PATIENCE),
			provider.wait("promoted", id, PATIENCE),
			provider.wait_call("included", "report", id, PATIENCE),
			try_join_all(enforced),
		)?;
		Ok(Told { found: found.clone(), alert: alert.clone(), sent, promoted, included, enforced })
	}

	/// Follows it until every gateway stops it, and nothing of it arrives at the victim's line any more though the bots go on.
	/// To be called at once.
	pub async fn follow(&self, testbed: &Testbed) -> Result<Defence> {
		let chain = testbed.chain();
		let mut heads = chain.best_heads().await?;
		let mut pushes = chain.changes(self.from).await?;
		let active = chain.best_change(&mut heads, self.from, |change| self.answer(change).is_some());
		let last = final_find(&mut pushes, |change| self.answer(change).cloned());
		let (told, best, (last, decision)) = try_join!(
			self.told(testbed),
			within(PATIENCE, "the flow to become active", active),
			within(PATIENCE, "the activation to become final", last),
		)?;
		let (line, inside) = try_join!(self.kept_from(&self.line), self.kept_from(&self.inside))?;

		let (letter, indicator) = (self.victim.letter(), decision.indicator.to_string());
		let mut timeline = Timeline::new(self.begun());
		let pace = BOTS * RATE;
		timeline.mark(self.begun(), "flood begins", format!("{BOTS} homes, {pace} packets a second to home {letter}"));
		timeline.mark(told.found.at, "found", format!("gateway {letter}: {}", self.flood.detector));
		timeline.mark(told.alert.at, "signature", indicator);
		timeline.mark(told.sent.at, "sealed and sent", format!("gateway {letter}, to ISP {letter}"));
		timeline.mark(told.promoted.at, "opened and promoted", format!("ISP {letter}, as its own"));
		timeline.mark(told.included.at, "report in block", String::new());
		testbed.mark_votes(&mut timeline, told.alert.get("id").unwrap_or_default());
		timeline.mark(best.at, "activated", format!("block {}", best.block));
		timeline.mark(last.at, "finalized", format!("block {}", last.block));
		for (site, enforced) in Site::ALL.into_iter().zip(&told.enforced) {
			timeline.mark(enforced.at, "enforced", format!("gateway {}", site.letter()));
		}
		for (tap, what, place) in [(inside, "last packet inside", "home"), (line, "last packet at all", "gateway")] {
			if tap.packets > 0 {
				timeline.mark(tap.last_at, what, format!("{place} {letter}, after {}", tap.packets));
			}
		}
		Ok(Defence { timeline, decision })
	}
}

impl Drop for Siege {
	fn drop(&mut self) {
		self.shared.stop.store(true, Ordering::Relaxed);
		for bot in self.bots.drain(..) {
			// A panic of the bot has been printed already.
			let _ = bot.join();
		}
	}
}

/// Shows each flood being stopped.
pub async fn demo(gossip_duration: Option<u64>) -> Result<()> {
	let color = std::io::stdout().is_terminal();
	let step = |what: &str, took: Duration, detail: String| {
		println!("  {what:<20} {:>6.1} s   {detail}", took.as_secs_f64());
	};
	println!("\nRingfence: three homes flood the fourth, and their own gateways stop them\n");
	let options = Options { gossip_duration, capture: Some(Site::A), ..Options::FULL };
	let testbed = Testbed::start(options, &step).await?;
	let start = Instant::now();
	let guests = Guests::start(&testbed).await?;
	step("honest visitors", start.elapsed(), format!("{REQUESTS} requests a second of each"));
	for flood in FLOODS {
		println!("\n{}\n", flood.detector);
		let siege = Siege::start(&testbed, flood, Site::A).await?;
		println!("{}", siege.follow(&testbed).await?.timeline.render(color));
	}
	drop(guests);
	testbed.finish();
	Ok(())
}
