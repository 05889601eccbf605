//! The testbed: the whole of Ringfence on one machine, in network namespaces.
//!
//! Four ISPs, each with a validator and an enforcer that vets; four home gateways, each with a sensor and an enforcer; an
//! attacker; and the wires between them ([`topology`]). The demo, the tests that tell the story from alert to dropped
//! packet, and the figures in the documentation all run on it, with the real programs and the real kernel.
//!
//! It needs root, touches nothing outside its own namespaces but for one veth end to each ISP, and leaves nothing behind:
//! processes die with it, namespaces go when it is dropped, and those of a testbed that was killed go when the next one
//! starts.
//!
//! What is about the chain alone, governance and throughput, runs on nodes that share the loopback, without root
//! ([`loopback`]). What is about the runtime alone, how long full blocks take, runs without nodes ([`blocks`]), and so does
//! what is about an enforcer alone ([`coldstart`]), and how well attacks are told from the rest ([`detectors`]).
//!
//! Attacks of every kind, and innocent traffic beside them, are made by [`flood`]; [`siege`] sends them from bots in the homes.

pub mod bench;
pub mod blocks;
pub mod chain;
pub mod coldstart;
pub mod demo;
pub mod detectors;
pub mod error;
pub mod flood;
pub mod gateways;
pub mod idle;
pub mod localnet;
pub mod loopback;
pub mod netns;
pub mod process;
pub mod relay;
pub mod siege;
pub mod tap;
pub mod throughput;
pub mod timeline;
pub mod topology;
pub mod traffic;
pub mod validators;

pub use error::{Error, Result};
pub use topology::Site;

use crate::{
	chain::{within, Chain},
	error::Context,
	gateways::Enforcer,
	netns::Namespace,
	process::WorkDir,
	timeline::Timeline,
	topology::Topology,
	traffic::Receiver,
	validators::Validator,
};
use futures::future::try_join_all;
use std::{
	sync::atomic::{AtomicBool, Ordering},
	time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How long anything may take that takes seconds: a busy machine is no failure, a minute of nothing is.
pub const PATIENCE: Duration = Duration::from_secs(60);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether the user asked to stop.
pub fn interrupted() -> bool {
	INTERRUPTED.load(Ordering::Relaxed)
}

/// Does `work` until it is done, or until SIGINT, SIGTERM or SIGHUP; then it is dropped, and with it all that it started.
pub async fn interruptible<T>(work: impl std::future::Future<Output = Result<T>>) -> Result<T> {
	use tokio::signal::unix::{signal, SignalKind};
	let listen = |kind: SignalKind| signal(kind).context("listening for signals");
	let mut interrupt = listen(SignalKind::interrupt())?;
	let mut terminate = listen(SignalKind::terminate())?;
	let mut hangup = listen(SignalKind::hangup())?;
	let stop = async {
		tokio::select! {
			_ = interrupt.recv() => (),
			_ = terminate.recv() => (),
			_ = hangup.recv() => (),
		}
		INTERRUPTED.store(true, Ordering::Relaxed);
	};
	tokio::select! {
		result = work => result,
		() = stop => Err(Error::Interrupted),
	}
}

/// Unix time in milliseconds, by the clock that the enforcers stamp their logs with.
pub fn now_ms() -> i64 {
	// A clock before 1970 only makes the numbers meaningless.
	SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// What a testbed has.
#[derive(Clone, Copy, Debug)]
pub struct Options {
	/// Validators, 1 to 4. Three of the four are needed for finality.
	pub validators: usize,
	/// An enforcer that votes at each ISP.
	pub vetting: bool,
	/// What the ISPs report acts before anybody has voted, as soon as they are in good standing.
	pub provisional: bool,
	/// A gateway and a home behind each ISP. Needs `vetting`, if anything is ever to be enforced.
	pub gateways: bool,
	/// GRANDPA's gossip duration in milliseconds; the node's own choice when none.
	pub gossip_duration: Option<u64>,
	/// How many of the validators, from the first on, use the libp2p network backend instead of the default, litep2p.
	pub libp2p: usize,
	/// The site whose gateway looks at the packets of its uplink itself.
	pub capture: Option<Site>,
}

impl Options {
	/// Everything, as in the demo.
	pub const FULL: Self = Self {
		validators: 4,
		vetting: true,
		provisional: false,
		gateways: true,
		gossip_duration: None,
		libp2p: 0,
		capture: None,
	};
}

/// A running testbed. All of it ends when it is dropped.
// The fields are dropped in this order: processes, sockets, namespaces, files.
pub struct Testbed {
	/// The nodes.
	pub validators: Vec<Validator>,
	/// The enforcers at the ISPs.
	pub vetters: Vec<Enforcer>,
	/// The enforcers at the gateways.
	pub gateways: Vec<Enforcer>,
	/// The homes.
	pub homes: Vec<Receiver>,
	/// RPC clients of the nodes.
	pub chains: Vec<Chain>,
	/// The namespaces.
	pub topology: Topology,
	/// The files.
	pub work: WorkDir,
	/// How long each node took from its start until its RPC answered.
	pub ready_after: Vec<Duration>,
	/// Whether the ISPs report provisionally.
	pub provisional: bool,
}

impl Testbed {
	/// Starts everything at once and waits until it works: RPC answers, blocks become final, every gateway is connected
	/// and has applied the change log so far. `step` is told of each stage: what it was, how long it took, a detail.
	pub async fn start(options: Options, step: &dyn Fn(&str, Duration, String)) -> Result<Self> {
		netns::check_machine()?;
		netns::remove_stale();
		let work = WorkDir::create()?;

		let start = Instant::now();
		let topology = Topology::build(options.validators, options.gateways)?;
		let parts = if options.gateways { "attacker, ISPs, gateways and homes" } else { "ISPs" };
		step("network namespaces", start.elapsed(), parts.into());

		let start = Instant::now();
		let validators =
			topology.places.iter().map(|place| Validator::start(place, &options, &work)).collect::<Result<Vec<_>>>()?;
		let connected = try_join_all(validators.iter().map(|validator| async move {
			let chain = validator.connect().await?;
			Ok::<_, Error>((chain, validator.process.started().elapsed()))
		}))
		.await?;
		let (chains, ready_after): (Vec<_>, Vec<_>) = connected.into_iter().unzip();
		let slowest = ready_after.iter().max().copied().unwrap_or_default();
		step(
			"validators",
			start.elapsed(),
			format!("{} nodes, RPC ready after {:.1} s", chains.len(), slowest.as_secs_f64()),
		);

		let places = || topology.places.iter();
		let vetters = places()
			.filter(|_| options.vetting)
			.map(|place| Enforcer::vetter(place, options.provisional, &work))
			.collect::<Result<Vec<_>>>()?;
		let (mut gateways, mut homes) = (Vec::new(), Vec::new());
		for place in places() {
			if let Some((gateway, home)) = &place.home {
				let captures = options.capture == Some(place.site);
				gateways.push(Enforcer::gateway(place, gateway, captures, &work)?);
				homes.push(Receiver::start(home, place.site.home_address())?);
			}
		}
		let provisional = options.provisional;
		let this = Self { validators, vetters, gateways, homes, chains, topology, work, ready_after, provisional };

		// Fewer than three of the four genesis validators make blocks, but no finality.
		if options.validators > 2 {
			let start = Instant::now();
			let block = this.await_finality(2).await?;
			step("finality", start.elapsed(), format!("block {block} is final"));
		}
		let start = Instant::now();
		let seq = this.await_enforcers().await?;
		if options.vetting {
			let enforcers = this.vetters.len() + this.gateways.len();
			step("enforcers", start.elapsed(), format!("{enforcers} connected, gateways at change {seq}"));
		}
		Ok(this)
	}

	/// The RPC of the first node.
	pub fn chain(&self) -> &Chain {
		// At least one validator was started.
		&self.chains[0]
	}

	/// The enforcer of this site's gateway. The testbed has gateways.
	pub fn gateway(&self, site: Site) -> &Enforcer {
		&self.gateways[site.index()]
	}

	/// The enforcer of this site's ISP. The testbed has them.
	pub fn vetter(&self, site: Site) -> &Enforcer {
		&self.vetters[site.index()]
	}

	/// The home of this site. The testbed has gateways.
	pub fn home(&self, site: Site) -> &Receiver {
		&self.homes[site.index()]
	}

	/// The namespace of this site's gateway. The testbed has gateways.
	pub fn gateway_namespace(&self, site: Site) -> &Namespace {
		// As above: one is made with the other.
		&self.topology.places[site.index()].home.as_ref().expect("the testbed has gateways").0
	}

	/// The namespace of this site's home. The testbed has gateways.
	pub fn home_namespace(&self, site: Site) -> &Namespace {
		// As above.
		&self.topology.places[site.index()].home.as_ref().expect("the testbed has gateways").1
	}

	/// Adds to `timeline` how and when each ISP voted on the indicator `id`.
	fn mark_votes(&self, timeline: &mut Timeline, id: &str) {
		for vetter in &self.vetters {
			for vote in vetter.process.journal().all(|line| line.is_about("vote", id)) {
				let verdict = vote.get("vote").unwrap_or("votes");
				timeline.mark(vote.at, "vote", format!("ISP {}: {verdict}", vetter.site.letter()));
			}
		}
	}

	/// Waits until block `number` or a later one is final at every node that runs; that number.
	pub async fn await_finality(&self, number: u32) -> Result<u32> {
		let running =
			|| self.validators.iter().zip(&self.chains).filter(|(node, _)| node.process.journal().is_running());
		let finals = running().map(|(node, chain)| async move {
			let name = format!("block {number} to be final at {}", node.site.letter());
			let result = within(PATIENCE, &name, chain.final_block(number)).await;
			result.map_err(|error| match error {
				Error::Deadline { what, within, .. } => {
					Error::Deadline { what, within, log: node.process.journal().tail() }
				}
				other => other,
			})
		});
		Ok(try_join_all(finals).await?.into_iter().min().unwrap_or(0))
	}

	/// Waits until every enforcer is connected, and every gateway has applied the change log so far; its length.
	async fn await_enforcers(&self) -> Result<u64> {
		let seq = self.chain().status().await?.log.seq;
		try_join_all(
			self.vetters.iter().chain(&self.gateways).map(|enforcer| {
				enforcer.process.journal().wait("\"connected\"", PATIENCE, |line| line.is("connected"))
			}),
		)
		.await?;
		try_join_all(self.gateways.iter().map(|gateway| async move {
			if seq > 0 {
				// What was decided before it came, a gateway takes over as a whole.
				let what = format!("change {seq} to be in force");
				let said =
					|line: &process::Line| line.is("enforced") || line.is("the active set is what the chain proves");
				let test = |line: &process::Line| said(line) && line.number("seq").is_some_and(|n| n >= seq);
				gateway.process.journal().wait(&what, PATIENCE, test).await?;
			}
			Ok::<_, Error>(())
		}))
		.await?;
		Ok(seq)
	}

	/// Ends all of it; nothing went wrong, so not even the logs are kept.
	pub fn finish(mut self) {
		self.work.finish();
	}
}
