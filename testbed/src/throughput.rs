//! Figures about lists: how many indicators a second the chain takes in batches, and what a single report feels of it.
//!
//! Four real nodes share the machine. Each ISP reports its quarter of the list in batches, one every slot, and approves
//! the others' as soon as they are in the pool. Once a second one more indicator is reported by itself, with keys of its
//! own, as an alert would be, and the other three ISPs vote just as soon.

use crate::{
	chain::{next, value_key, within, Chain},
	error::{Error, Result},
	loopback::{key, Loopback, Node},
	timeline::Spread,
	Site, PATIENCE,
};
use frame_support::{dispatch::DispatchClass, traits::Get};
use futures::{future::try_join_all, try_join};
use jsonrpsee::core::ClientError;
use ringfence_enforcer::core::extrinsic::{self, Anchor};
use ringfence_primitives::{
	call, Action, Address, After, Ballot, ChangeKind, Confidence, Direction, Indicator, IndicatorId, Lifetime, Note,
	Severity, Terms, ThreatClass, Tlp, Vote,
};
use ringfence_runtime::{Runtime, RuntimeCall, SLOT_MILLIS};
use serde_json::{json, Value};
use sp_core::{sr25519, Pair};
use std::{
	cell::{Cell, RefCell},
	collections::{BTreeMap, HashMap},
	convert::Infallible,
	rc::Rc,
	time::Duration,
};
use tokio::{
	sync::{mpsc, Mutex},
	time::{interval_at, Instant},
};

/// How often an ISP reports its share.
const SLOT: Duration = Duration::from_millis(SLOT_MILLIS);
/// How often a single indicator is reported.
const ALERT_EVERY: Duration = Duration::from_secs(1);
/// How long what is still under way at the end may take, before it counts as lost.
const DRAIN: Duration = Duration::from_secs(30);
/// Indicators a second that four nodes on two cores carry without effort.
const PACE: u64 = 700;
/// Seconds of one line of the table.
const ROW: u64 = 10;
/// First of the addresses that lists are made of; alerts are about those from [`ALERTS`] on. Any unprotected ones do.
const LISTS: u32 = 0x2000_0000;
const ALERTS: u32 = 0x3000_0000;

/// What the measurement is asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
	/// Seconds to report for; all of it has to fit into the life of one transaction's anchor
	#[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(10..=300))]
	pub seconds: u64,
	/// Indicators a second in batches, all four ISPs together
	#[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(4..=10_000))]
	pub rate: u64,
	/// Print one JSON object instead of text
	#[arg(long)]
	pub json: bool,
}

/// Best blocks after which a transaction that is due and in none of them is submitted anew: a pool can lose one to a fork.
const PATIENCE_BLOCKS: u32 = 8;
/// Transactions that are remembered after the best block knows of them: a fork that wins may not.
const FORKED: u32 = 64;

/// An account that makes one transaction after another at one node.
struct Signer<'a> {
	node: &'a Node,
	pair: sr25519::Pair,
	anchor: Anchor,
	/// The nonce of the next transaction.
	next: Mutex<u32>,
	/// The calls of the newest transactions, and for how many best blocks each has not been in the state.
	out: RefCell<BTreeMap<u32, (Vec<u8>, u32)>>,
	/// Bytes that it has submitted.
	bytes: Cell<u64>,
	/// Transactions that it had to submit anew.
	again: Cell<u64>,
}

impl<'a> Signer<'a> {
	async fn new(node: &'a Node, secret: &str, anchor: Anchor) -> Result<Self> {
		let pair = key(secret)?;
		let nonce = node.chain.nonce(&pair).await?;
		Ok(Self {
			node,
			pair,
			anchor,
			next: Mutex::new(nonce),
			out: RefCell::default(),
			bytes: Cell::new(0),
			again: Cell::new(0),
		})
	}

	/// Submits a call, one at a time. Returns what names the transaction.
	async fn submit(&self, call: Vec<u8>) -> Result<After> {
		let mut next = self.next.lock().await;
		let nonce = *next;
		self.send(&call, nonce).await?;
		self.out.borrow_mut().insert(nonce, (call, 0));
		*next += 1;
		Ok(After { signer: self.pair.public().0, nonce })
	}

	/// Hands a call to the pool. That it does not take it is no error: what counts is whether a block has it in the end.
	async fn send(&self, call: &[u8], nonce: u32) -> Result<()> {
		let transaction = extrinsic::sign(&self.pair, call, nonce, &self.anchor);
		self.bytes.set(self.bytes.get() + transaction.len() as u64);
		match self.node.chain.send(&transaction).await {
			Err(Error::Rpc { source, .. }) if matches!(*source, ClientError::Call(_)) => Ok(()),
			sent => sent,
		}
	}

	/// Follows the account's nonce for as long as it is polled, and submits anew what got lost.
	async fn keep(&self) -> Result<Infallible> {
		let mut heads = self.node.chain.best_heads().await?;
		loop {
			within(PATIENCE, "a new block", next(&mut heads)).await?;
			let known = self.node.chain.nonce(&self.pair).await?;
			let lost = {
				let mut out = self.out.borrow_mut();
				*out = out.split_off(&known.saturating_sub(FORKED));
				for (nonce, (_, blocks)) in out.iter_mut() {
					*blocks = if *nonce < known { 0 } else { *blocks + 1 };
				}
				let overdue = out.iter_mut().filter(|(_, (_, blocks))| *blocks > PATIENCE_BLOCKS);
				let renew = |(nonce, (call, blocks)): (&u32, &mut (Vec<u8>, u32))| {
					*blocks = 0;
					(*nonce, call.clone())
				};
				overdue.map(renew).collect::<Vec<_>>()
			};
			self.again.set(self.again.get() + lost.len() as u64);
			for (nonce, call) in lost {
				self.send(&call, nonce).await?;
			}
		}
	}
}

/// Votes to cast, and what they come after.
type Poll = (Rc<[Ballot]>, After);

/// What has happened so far; shared by all that goes on at once, on one thread.
#[derive(Default)]
struct Tally {
	/// Indicators reported, those of alerts among them.
	reported: Cell<u64>,
	/// Alerts whose indicator is not yet active in a final block, and since when they are under way.
	alerts: RefCell<HashMap<IndicatorId, Instant>>,
	/// When everything had been submitted.
	submitted: Cell<Option<Instant>>,
}

/// What was measured.
#[derive(Default)]
struct Figures {
	/// Activations, at the moment in which they were seen to be final.
	activated: Vec<(Instant, u64)>,
	/// Seconds from the submission of a single report to its activation in a final block.
	alerts: Spread,
	/// Hundredths of the weight that a block's transactions may have.
	fill: Spread,
}

/// Terms that every ISP of the testbed approves of.
pub(crate) fn terms(note: &str) -> Result<Terms> {
	let checked = || Some((Confidence::new(90)?, Lifetime::new(3_600)?));
	let (confidence, lifetime) = checked()
		.ok_or_else(|| Error::Malformed { what: "the terms of a report".into(), cause: "out of range".into() })?;
	Ok(Terms {
		threat: ThreatClass::Botnet,
		severity: Severity::High,
		confidence,
		direction: Direction::Both,
		action: Action::Drop,
		tlp: Tlp::Green,
		lifetime,
		evidence: None,
		note: Note::truncated(note),
	})
}

/// The host with this number for its address.
pub(crate) fn host(number: u32) -> Indicator {
	Indicator::Host(Address::V4(number.to_be_bytes()))
}

/// Measures it.
pub async fn throughput(settings: &Settings) -> Result<()> {
	let network = Loopback::start().await?;
	// A key of its own for alerts, so that they need not queue behind the lists.
	for site in Site::ALL {
		let account = key(&desk(site))?.public().0.into();
		let call = RuntimeCall::Tiers(pallet_tiers::Call::delegate { account, report: true, vet: true });
		network.call("naming a delegate", &key(&site.isp_secret())?, call).await?;
	}
	let anchor = network.chain(Site::A).anchor().await?;
	let desks = signers(&network, desk, anchor).await?;
	let summary = measure(&network, settings, &desks, anchor).await?;
	if settings.json {
		println!("{}", summary.json());
	} else {
		print!("{}", summary.render());
	}
	network.finish();
	Ok(())
}

/// Has about `count` hosts reported in batches and voted for, at a pace that the nodes keep, and waits until all of them
/// are active in a final block. 210,000 at the most.
pub(crate) async fn fill(network: &Loopback, count: u32) -> Result<()> {
	let count = u64::from(count);
	let seconds = count.div_ceil(PACE).max(10);
	let settings = Settings { seconds, rate: count.div_ceil(seconds).max(4), json: false };
	let anchor = network.chain(Site::A).anchor().await?;
	let summary = measure(network, &settings, &[], anchor).await?;
	match summary.activated() >= summary.reported {
		true => Ok(()),
		false => Err(Error::Deadline {
			what: format!("{} indicators to be active, of which {} are", summary.reported, summary.activated()),
			within: DRAIN,
			log: String::new(),
		}),
	}
}

/// One at each of the four ISPs' nodes, with the secret that the ISP has for it.
async fn signers<'a>(network: &'a Loopback, secret: fn(Site) -> String, anchor: Anchor) -> Result<Vec<Signer<'a>>> {
	let nodes = network.nodes.iter().zip(Site::ALL);
	try_join_all(nodes.map(move |(node, site)| async move { Signer::new(node, &secret(site), anchor).await })).await
}

/// Pushes lists through the nodes and, where there are `desks`, single reports beside.
async fn measure<'a>(
	network: &'a Loopback,
	settings: &Settings,
	desks: &[Signer<'a>],
	anchor: Anchor,
) -> Result<Summary> {
	let lists = signers(network, Site::isp_secret, anchor).await?;

	let cpu = || network.nodes.iter().map(|node| node.process.cpu_time()).collect::<Vec<_>>();
	let (tally, start, before) = (Tally::default(), Instant::now(), cpu());
	let (boxes, votes): (Vec<_>, Vec<_>) = lists.iter().map(|_| mpsc::unbounded_channel()).unzip();
	let reporters = lists.iter().enumerate().map(|(place, signer)| {
		// Everybody else votes.
		let others = boxes.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, sender)| sender.clone());
		report(signer, place, settings, start, others.collect(), &tally)
	});
	let reporters = try_join_all(reporters.collect::<Vec<_>>());
	// The voters end with the last of the reporters, who hold the other ends.
	drop(boxes);
	let voters = try_join_all(lists.iter().zip(votes).map(|(signer, ballots)| vote(signer, ballots)));
	let work = async {
		try_join!(reporters, voters, alert(desks, settings, start, &tally))?;
		tally.submitted.set(Some(Instant::now()));
		Ok::<_, Error>((start.elapsed(), cpu()))
	};
	let measured = async { try_join!(work, observe(network.chain(Site::A), &tally)) };
	let kept = try_join_all(lists.iter().chain(desks).map(Signer::keep));
	let ((took, after), figures) = tokio::select! {
		measured = measured => measured?,
		// Keeping an account goes on for ever: what ends it is an error.
		kept = kept => return Err(kept.err().unwrap_or(Error::Interrupted)),
	};

	let cores: Vec<f64> = after
		.iter()
		.zip(&before)
		.map(|(after, before)| after.saturating_sub(*before).as_secs_f64() / took.as_secs_f64())
		.collect();
	let bytes = lists.iter().chain(desks).map(|signer| signer.bytes.get()).sum::<u64>();
	let again = lists.iter().chain(desks).map(|signer| signer.again.get()).sum();
	Ok(Summary { figures, reported: tally.reported.get(), bytes, again, took, cores })
}

/// The secret with which an ISP handles alerts.
fn desk(site: Site) -> String {
	format!("{}//desk", site.isp_secret())
}

/// Reports one ISP's quarter of the list, in batches, and has the others vote on each as soon as it is in the pool.
async fn report(
	signer: &Signer<'_>,
	place: usize,
	settings: &Settings,
	start: Instant,
	others: Vec<mpsc::UnboundedSender<Poll>>,
	tally: &Tally,
) -> Result<()> {
	let (isps, length) = (Site::ALL.len() as u64, Duration::from_secs(settings.seconds));
	let terms = terms(&format!("list of ISP {}", place + 1))?;
	let hash = terms.hash();
	// Spread over the slot, so that the four do not all come at once.
	let mut ticks = interval_at(start + SLOT * place as u32 / isps as u32, SLOT);
	let (mut sent, mut running) = (0_u64, true);
	while running {
		ticks.tick().await;
		let elapsed = start.elapsed().min(length);
		running = elapsed < length;
		let due = settings.rate * elapsed.as_millis() as u64 / (1_000 * isps);
		while sent < due {
			let end = due.min(sent + call::GOOD_BATCH as u64);
			// Every fourth address: the ISPs' lists have nothing in common. Far fewer than 2^28.
			let indicators: Vec<_> = (sent..end).map(|n| host(LISTS + (n * isps) as u32 + place as u32)).collect();
			let after = signer.submit(call::report_batch(&terms, &indicators)).await?;
			tally.reported.set(tally.reported.get() + (end - sent));
			sent = end;
			let ballots: Rc<[Ballot]> = indicators
				.iter()
				.map(|indicator| Ballot { id: indicator.id(), terms: hash, vote: Vote::Approve })
				.collect();
			for other in &others {
				// A voter ends early only with an error, which ends everything.
				let _ = other.send((ballots.clone(), after));
			}
		}
	}
	Ok(())
}

/// Votes for one ISP on what comes in, once its node has it.
async fn vote(signer: &Signer<'_>, mut polls: mpsc::UnboundedReceiver<Poll>) -> Result<()> {
	while let Some((ballots, after)) = polls.recv().await {
		signer.node.chain.has(after).await?;
		signer.submit(call::vote_batch(&ballots, Some(after))).await?;
	}
	Ok(())
}

/// Reports a single indicator a second, by each ISP in turn, and has the other three vote at once.
async fn alert(desks: &[Signer<'_>], settings: &Settings, start: Instant, tally: &Tally) -> Result<()> {
	let terms = terms("alert")?;
	let hash = terms.hash();
	let mut ticks = interval_at(start, ALERT_EVERY);
	for (number, place) in (0..settings.seconds as u32).zip((0..desks.len()).cycle()) {
		ticks.tick().await;
		let indicator = host(ALERTS + number);
		let id = indicator.id();
		tally.alerts.borrow_mut().insert(id, Instant::now());
		let after = desks[place].submit(call::report(&indicator, &terms)).await?;
		tally.reported.set(tally.reported.get() + 1);
		let vote = call::vote(Ballot { id, terms: hash, vote: Vote::Approve }, Some(after));
		let others = desks.iter().enumerate().filter(|(other, _)| *other != place);
		let votes = others.map(|(_, desk)| async {
			desk.node.chain.has(after).await?;
			desk.submit(vote.clone()).await
		});
		try_join_all(votes).await?;
	}
	Ok(())
}

/// Counts what becomes active in final blocks, until everything is or nothing more can be hoped for.
async fn observe(chain: &Chain, tally: &Tally) -> Result<Figures> {
	let mut heads = chain.finalized_heads().await?;
	let mut last = next(&mut heads).await?.number;
	let mut figures = Figures::default();
	let (mut seq, mut total) = (chain.log_head().await?.seq, 0_u64);
	let limit = <<Runtime as frame_system::Config>::BlockWeights as Get<frame_system::limits::BlockWeights>>::get();
	let limit = limit.get(DispatchClass::Normal).max_total.map_or(u64::MAX, |limit| limit.ref_time()).max(1);
	loop {
		let head = within(PATIENCE, "a final block", next(&mut heads)).await?.number;
		let now = Instant::now();
		for number in last + 1..=head {
			let Some(hash) = chain.block_hash(number).await? else { continue };
			let key = value_key("System", "BlockWeight");
			let weight = chain.storage_at::<frame_system::ConsumedWeight>(&key, &hash);
			if let Some(weight) = weight.await? {
				let used = weight.get(DispatchClass::Normal).ref_time();
				figures.fill.add(100.0 * used as f64 / limit as f64);
			}
		}
		last = last.max(head);
		let Some(hash) = chain.block_hash(head).await? else { continue };
		let newest = chain.log_head_at(&hash).await?.seq;
		let mut count = 0;
		for change in chain.changes_at(seq + 1..=newest, &hash).await? {
			let ChangeKind::Activated(decision) = change.kind else { continue };
			count += 1;
			if let Some(since) = tally.alerts.borrow_mut().remove(&decision.indicator.id()) {
				figures.alerts.add((now - since).as_secs_f64());
			}
		}
		seq = seq.max(newest);
		total += count;
		if count > 0 {
			figures.activated.push((now, count));
		}
		if tally.submitted.get().is_some_and(|at| total >= tally.reported.get() || at.elapsed() > DRAIN) {
			return Ok(figures);
		}
	}
}

/// All that is told.
struct Summary {
	figures: Figures,
	reported: u64,
	bytes: u64,
	/// Transactions that had to be submitted anew.
	again: u64,
	took: Duration,
	/// Processor cores that each node kept busy.
	cores: Vec<f64>,
}

impl Summary {
	fn activated(&self) -> u64 {
		self.figures.activated.iter().map(|(_, count)| count).sum()
	}

	/// Activations a second from the first to the last that was seen to be final; those of the first moment do not count,
	/// for they took the time before it.
	fn sustained(&self) -> f64 {
		match self.figures.activated.as_slice() {
			[(first, early), .., (last, _)] => {
				(self.activated() - early) as f64 / (*last - *first).as_secs_f64().max(f64::EPSILON)
			}
			_ => 0.0,
		}
	}

	/// Activations a second, by stretches of [`ROW`] seconds from the first one.
	fn rows(&self) -> Vec<f64> {
		let Some((first, _)) = self.figures.activated.first() else { return Vec::new() };
		let mut rows = Vec::new();
		for (at, count) in self.figures.activated.iter().skip(1) {
			let row = ((*at - *first).as_secs() / ROW) as usize;
			if rows.len() <= row {
				rows.resize(row + 1, 0.0);
			}
			rows[row] += *count as f64 / ROW as f64;
		}
		rows
	}

	fn alerts(&self) -> [f64; 3] {
		[50, 99, 100].map(|percent| self.figures.alerts.percentile(percent))
	}

	fn fill(&self) -> [f64; 2] {
		[50, 100].map(|percent| self.figures.fill.percentile(percent))
	}

	fn block_bytes(&self) -> f64 {
		self.bytes as f64 / (self.took.as_secs_f64() / SLOT.as_secs_f64()).max(1.0)
	}

	fn render(&self) -> String {
		let mut text = format!("{:>12} {:>24}\n", "seconds", "activated and final /s");
		for (row, rate) in self.rows().iter().enumerate() {
			let from = row as u64 * ROW;
			text += &format!("{:>12} {rate:>24.0}\n", format!("{from} to {}", from + ROW));
		}
		let [median, most] = self.fill();
		let [p50, p99, max] = self.alerts();
		let each = self.cores.iter().map(|cores| format!("{cores:.2}")).collect::<Vec<_>>().join(", ");
		text += &format!(
			"\nsustained      {:.0} indicators a second; {} of {} reported are active\n\
			 blocks         {median:.0} % of the weight at the median, {most:.0} % at most; {:.0} kB of transactions a slot, {} submitted anew\n\
			 nodes          {each} cores, {:.2} together\n\
			 single report  p50 {p50:.2} s, p99 {p99:.2} s, max {max:.2} s from its submission to its final activation ({} of them)\n",
			self.sustained(),
			self.activated(),
			self.reported,
			self.block_bytes() / 1_000.0,
			self.again,
			self.cores.iter().sum::<f64>(),
			self.figures.alerts.count(),
		);
		text
	}

	fn json(&self) -> Value {
		let [median, most] = self.fill();
		let [p50, p99, max] = self.alerts();
		json!({
			"sustained": self.sustained(), "rows": self.rows(), "reported": self.reported, "activated": self.activated(),
			"fill": { "p50": median, "max": most }, "slotBytes": self.block_bytes(), "again": self.again, "cores": self.cores,
			"single": { "p50": p50, "p99": p99, "max": max, "count": self.figures.alerts.count() },
		})
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn the_rate_leaves_out_what_came_before_the_first_look() {
		let first = Instant::now();
		let at = |seconds| first + Duration::from_secs(seconds);
		let activated = vec![(at(0), 700), (at(5), 5_000), (at(12), 7_000)];
		let figures = Figures { activated, ..Figures::default() };
		let summary =
			Summary { figures, reported: 12_700, bytes: 0, again: 0, took: at(12) - first, cores: vec![0.5; 4] };
		assert_eq!(summary.activated(), 12_700);
		assert_eq!(summary.sustained(), 1_000.0);
		assert_eq!(summary.rows(), [500.0, 700.0]);
		assert!(summary.render().contains("1000 indicators a second; 12700 of 12700"));
	}

	#[test]
	fn lists_and_alerts_are_about_different_hosts() {
		let most = 10_000 * 300 + 4;
		assert!(LISTS + most < ALERTS);
		assert_ne!(host(LISTS).id(), host(LISTS + 1).id());
	}
}
