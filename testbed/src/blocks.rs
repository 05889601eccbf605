//! Figures about full blocks: whether what the weights let into a block can be executed in time.
//!
//! The runtime of the chain spec runs on a workbench, without a node. For each kind of call a chain is prepared on which
//! it costs most, a block is filled with it until the runtime lets no more in, and that block is imported several times on
//! the state before it. Nothing here judges: how long is too long depends on the machine.

use crate::{
	chain::value_key,
	error::{Context, Error, Result},
	loopback::key,
	process::chain_spec,
	timeline::Spread,
	Site,
};
use codec::{Compact, Decode, Encode};
use frame_support::traits::Get;
use frame_system::{limits::BlockWeights, ConsumedWeight, EventRecord};
use ringfence_enforcer::core::{
	extrinsic::{self, Anchor},
	frame::BlockRef,
	hex,
};
use ringfence_primitives::{
	call,
	envelope::{Envelope, Letter, ENVELOPE_LEN},
	note, Action, Address, Ballot, Confidence, Digest, Direction, FlowSignature, Indicator, LengthRange, Lifetime,
	Millis, Network, Note, PacketRate, PortRange, Severity, TcpFlags, Terms, ThreatClass, Tlp, Vote,
};
use ringfence_runtime::{
	Hash, Header, Runtime, RuntimeCall, RuntimeEvent, UncheckedExtrinsic, SESSION_BLOCKS, SLOT_MILLIS, VERSION,
};
use ringfence_workbench::{Chain, Changes};
use serde::Deserialize;
use serde_json::json;
use sp_core::{sr25519, Pair};
use sp_crypto_hashing::blake2_256;
use sp_runtime::{
	traits::Header as _,
	transaction_validity::{InvalidTransaction, TransactionValidityError},
	ApplyExtrinsicResult, Digest as HeaderDigest, DigestItem,
};
use std::{
	collections::{BTreeMap, HashMap, VecDeque},
	fs,
	ops::{Range, RangeInclusive},
};

/// When the chain's first block is made.
const START: Millis = 1_800_000_000_000;
/// Who makes a slot's block stands in its header under this name.
const AURA: [u8; 4] = *b"aura";

/// ISPs: as many as there can be.
const ISPS: usize = 64;
/// Networks that are protected beside those of the preset: together almost as many as can be.
const PROTECTED: usize = 480;
/// Proposals on which all but one ISP have voted: as many as fit into a block that only enters votes.
const PROPOSALS: usize = 7 * call::MAX_BATCH as usize;
/// Active indicators: as many as may end in one block.
const ACTIVE: usize = 512;
/// First of the numbers of active indicators; proposals have those before it.
const ACTIVE_FROM: usize = 1_000_000;
/// Subscribers of the first ISP: as many as letters may be forgotten in one block.
const SUBSCRIBERS: usize = 512;
/// Letters of each of them: together as many as can be answered in one block.
const LETTERS_EACH: usize = 16;
/// More single transactions than fit into any block.
const SINGLES: usize = 1_024;

/// What indicators live for, in seconds: longer than the preparations and a dispute about them.
const LIFETIME: u32 = 7_200;
/// What a dispute lasts, in milliseconds, and what letters live for. A stretch of endings is over a minute later.
const DISPUTE: Millis = 3_600_000;
const LETTER: Millis = 86_400_000;
const STRETCH: Millis = 60_000;

/// Blocks that may go by until what is due ends: a block skips no more than so many empty stretches.
const IDLE_BLOCKS: u32 = SESSION_BLOCKS - 2;
/// A block without transactions that weighs so much more than one in which nothing happens, in picoseconds, has endings:
/// skipping empty stretches takes five milliseconds.
const ENDINGS_WEIGHT: u64 = 8_000_000_000;

/// What the measurement is asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
	/// How often each block is imported
	#[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
	pub repeats: u32,
	/// Print one JSON object a line instead of a table
	#[arg(long)]
	pub json: bool,
}

/// Measures it.
pub async fn blocks(settings: &Settings) -> Result<()> {
	let bench = Bench::new(settings);
	let isps = isps()?;
	let base = prepared(&isps).await?;
	bench.head();

	let (first, second, last) = (&isps[0], &isps[1], &isps[ISPS - 1]);
	bench.fill("reports, in batches", &base, vec![reports(first, 0..PROPOSALS)]).await?;
	let report = |n| call::report(&flow(n), &terms());
	bench.fill("single reports", &base, vec![singles(first, SINGLES, report)]).await?;

	let voted = voted(&base, &isps).await?;
	bench.fill("votes that decide, in batches", &voted, votes(&[last], 0..PROPOSALS, Vote::Approve)).await?;
	// It has approved before, which counts as much.
	bench.fill("votes that enter, in batches", &voted, votes(&[second], 0..PROPOSALS, Vote::Sighting)).await?;
	drop(voted);

	let active = active(&base, &isps).await?;
	let everything = ACTIVE_FROM..ACTIVE_FROM + ACTIVE;
	bench.fill("disputes", &active, vec![disputes(second)]).await?;
	bench.wait("endings of indicators", &active, Millis::from(LIFETIME) * 1_000).await?;

	let disputed = disputed(&active, &isps).await?;
	drop(active);
	bench.fill("votes that overturn, in batches", &disputed, votes(&[last], everything, Vote::Reject)).await?;
	let hash = terms().hash();
	let reject = |n| Ballot { id: flow(ACTIVE_FROM + n).id(), terms: hash, vote: Vote::Reject };
	let overturn = singles(last, ACTIVE, |n| call::vote(reject(n), None));
	bench.fill("single votes that overturn", &disputed, vec![overturn]).await?;
	bench.wait("endings of disputes", &disputed, DISPUTE).await?;
	drop(disputed);

	let households = (0..SUBSCRIBERS).map(|n| key(&format!("//household//{n}"))).collect::<Result<Vec<_>>>()?;
	let homes = households.as_slice();
	let tier = tier(&base, first, homes).await?;
	let send = move |count| singles(first, count, move |n| letter(first, &homes[n % SUBSCRIBERS], n).1);
	bench.fill("letters", &tier, vec![send(SINGLES)]).await?;
	let mut sent = tier.clone();
	sent.through(vec![send(SUBSCRIBERS)]).await?;
	bench.wait("endings of letters", &sent, LETTER).await?;
	drop(sent);
	let (filled, names) = mailbox(&tier, first, homes).await?;
	let answers = Task {
		signer: first,
		items: names.len(),
		at_once: call::MAX_ANSWERS as usize,
		call: Box::new(|range: Range<usize>| {
			call::answer(&names[range].iter().map(|name| (*name, [7; 32])).collect::<Vec<_>>())
		}),
	};
	bench.fill("answers, in batches", &filled, vec![answers]).await
}

/// Calls that one key makes one after another.
struct Task<'a> {
	signer: &'a sr25519::Pair,
	/// What there is to be said in all.
	items: usize,
	/// How much one call can say.
	at_once: usize,
	/// The call that says these.
	call: Box<dyn Fn(Range<usize>) -> Vec<u8> + 'a>,
}

fn batches<'a>(signer: &'a sr25519::Pair, items: usize, call: impl Fn(Range<usize>) -> Vec<u8> + 'a) -> Task<'a> {
	Task { signer, items, at_once: call::MAX_BATCH as usize, call: Box::new(call) }
}

fn singles<'a>(signer: &'a sr25519::Pair, items: usize, call: impl Fn(usize) -> Vec<u8> + 'a) -> Task<'a> {
	Task { signer, items, at_once: 1, call: Box::new(move |range: Range<usize>| call(range.start)) }
}

/// Each of these votes so on each of these indicators.
fn votes<'a>(voters: &[&'a sr25519::Pair], numbers: Range<usize>, vote: Vote) -> Vec<Task<'a>> {
	let (hash, first) = (terms().hash(), numbers.start);
	let vote = move |range: Range<usize>| {
		let ballot = |n: usize| Ballot { id: flow(first + n).id(), terms: hash, vote };
		call::vote_batch(&range.map(ballot).collect::<Vec<_>>(), None)
	};
	voters.iter().map(|&voter| batches(voter, numbers.len(), vote)).collect()
}

fn reports(signer: &sr25519::Pair, numbers: Range<usize>) -> Task<'_> {
	let first = numbers.start;
	batches(signer, numbers.len(), move |range| {
		call::report_batch(&terms(), &range.map(|n| flow(first + n)).collect::<Vec<_>>())
	})
}

fn disputes(signer: &sr25519::Pair) -> Task<'_> {
	singles(signer, ACTIVE, |n| call::dispute(&flow(ACTIVE_FROM + n).id()))
}

/// The letter number `n` from one to the other: its name, and the call that sends it.
fn letter(from: &sr25519::Pair, to: &sr25519::Pair, n: usize) -> (Digest, Vec<u8>) {
	let mut octets = vec![0; ENVELOPE_LEN as usize];
	octets[..8].copy_from_slice(&(n as u64).to_le_bytes());
	let (from, to) = (from.public().0, to.public().0);
	let letter = Letter { from, to, envelope: Envelope::truncate_from(octets) };
	(letter.name(), call::send(&to, &letter.envelope))
}

/// The largest indicator: a flow with every field, and wide, so that it takes two thirds of the ISPs to decide.
fn flow(number: usize) -> Indicator {
	let [.., a, b, c, d] = number.to_be_bytes();
	let prefix = Address::V6([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
	let host = Address::V6([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, a, b, c, d, 2]);
	Indicator::Flow(FlowSignature {
		protocol: Some(6),
		source: Some(Network::new(prefix, 32).expect("no bit of the address lies behind the prefix")),
		destination: Some(Network::host(host)),
		source_ports: PortRange::new(1, 2),
		destination_ports: PortRange::new(3, 4),
		tcp_flags: TcpFlags::new(0x12, 0x02),
		icmp: None,
		packet_length: LengthRange::new(40, 60),
	})
}

fn terms() -> Terms {
	Terms {
		threat: ThreatClass::DenialOfService,
		severity: Severity::Critical,
		confidence: Confidence::MAX,
		direction: Direction::Both,
		action: Action::RateLimit(PacketRate::MAX),
		tlp: Tlp::Amber,
		lifetime: Lifetime::new(LIFETIME).expect("two hours are within the bounds"),
		evidence: Some([1; 32]),
		note: Note::truncated(&"n".repeat(note::MAX_LEN as usize)),
	}
}

/// The keys of the ISPs: those of the preset, and as many more as there can be. The first is the leader.
fn isps() -> Result<Vec<sr25519::Pair>> {
	let preset = Site::ALL.iter().map(|site| site.isp_secret());
	preset.chain((Site::ALL.len()..ISPS).map(|n| format!("//isp//{n}"))).map(|secret| key(&secret)).collect()
}

fn isps_at(isps: &[sr25519::Pair], places: RangeInclusive<usize>) -> Vec<&sr25519::Pair> {
	isps[places].iter().collect()
}

/// A chain with every ISP and every protected network.
async fn prepared(isps: &[sr25519::Pair]) -> Result<Stage> {
	let mut stage = Stage::genesis()?;
	let newcomers = &isps[Site::ALL.len()..];
	let admit = singles(&isps[0], newcomers.len(), |n| {
		let account = newcomers[n].public().0.into();
		RuntimeCall::Tiers(pallet_tiers::Call::admit { account, role: pallet_tiers::Role::Isp }).encode()
	});
	let protect = singles(&isps[0], PROTECTED, |n| {
		let [.., high, low] = n.to_be_bytes();
		let network = Network::host(Address::V4([203, high, low, 1]));
		RuntimeCall::Indicators(pallet_indicators::Call::protect { network }).encode()
	});
	stage.through(vec![admit, protect]).await?;
	Ok(stage)
}

/// Proposals that all ISPs but the last have voted on: one more approval carries each, and one more rejection, too.
async fn voted(base: &Stage, isps: &[sr25519::Pair]) -> Result<Stage> {
	let quorum = (2 * ISPS).div_ceil(3);
	let mut stage = base.clone();
	let mut tasks = vec![reports(&isps[0], 0..PROPOSALS)];
	// The reporter has approved already.
	tasks.extend(votes(&isps_at(isps, 1..=quorum - 2), 0..PROPOSALS, Vote::Approve));
	tasks.extend(votes(&isps_at(isps, quorum - 1..=ISPS - 2), 0..PROPOSALS, Vote::Reject));
	stage.through(tasks).await?;
	Ok(stage)
}

/// Active indicators that all ISPs but the last have approved.
async fn active(base: &Stage, isps: &[sr25519::Pair]) -> Result<Stage> {
	let mut stage = base.clone();
	let mut tasks = vec![reports(&isps[0], ACTIVE_FROM..ACTIVE_FROM + ACTIVE)];
	tasks.extend(votes(&isps_at(isps, 1..=ISPS - 2), ACTIVE_FROM..ACTIVE_FROM + ACTIVE, Vote::Approve));
	stage.through(tasks).await?;
	Ok(stage)
}

/// The same, disputed: all but the last have voted anew, half of all ISPs against. One more rejection overturns each at
/// once, and their time being up does, too.
async fn disputed(active: &Stage, isps: &[sr25519::Pair]) -> Result<Stage> {
	let everything = || ACTIVE_FROM..ACTIVE_FROM + ACTIVE;
	let mut stage = active.clone();
	let mut tasks = vec![disputes(&isps[1])];
	// Who disputes has rejected already.
	tasks.extend(votes(&isps_at(isps, 2..=ISPS / 2), everything(), Vote::Reject));
	tasks.extend(votes(&isps_at(isps, 0..=0), everything(), Vote::Approve));
	tasks.extend(votes(&isps_at(isps, ISPS / 2 + 1..=ISPS - 2), everything(), Vote::Approve));
	stage.through(tasks).await?;
	Ok(stage)
}

/// Households that are subscribers of the ISP.
async fn tier(base: &Stage, isp: &sr25519::Pair, households: &[sr25519::Pair]) -> Result<Stage> {
	let mut stage = base.clone();
	let enrol = singles(isp, households.len(), |n| {
		RuntimeCall::Tiers(pallet_tiers::Call::enrol { account: households[n].public().0.into() }).encode()
	});
	stage.through(vec![enrol]).await?;
	Ok(stage)
}

/// The same, with letters in the ISP's mailbox, and their names.
async fn mailbox(tier: &Stage, isp: &sr25519::Pair, households: &[sr25519::Pair]) -> Result<(Stage, Vec<Digest>)> {
	let mut stage = tier.clone();
	let send = |household| singles(household, LETTERS_EACH, move |n| letter(household, isp, n).1);
	stage.through(households.iter().map(send).collect()).await?;
	let names = |household| (0..LETTERS_EACH).map(move |n| letter(household, isp, n).0);
	Ok((stage, households.iter().flat_map(names).collect()))
}

/// Calls that are still to be made.
struct Work<'a> {
	tasks: VecDeque<Task<'a>>,
	/// What of the first of them is done.
	done: usize,
}

impl<'a> Work<'a> {
	fn of(tasks: Vec<Task<'a>>) -> Self {
		Self { tasks: tasks.into(), done: 0 }
	}

	fn did(&mut self, items: usize) {
		self.done += items;
		if self.tasks.front().is_some_and(|task| self.done >= task.items) {
			self.tasks.pop_front();
			self.done = 0;
		}
	}
}

/// When a block is full.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Full {
	/// As soon as the next call does not fit.
	Soon,
	/// When not even one with a single item fits.
	Quite,
}

/// A block that was made.
struct Made {
	/// Header and transactions.
	block: Vec<u8>,
	changes: Changes,
	reference: BlockRef,
	slot: u64,
	nonces: HashMap<[u8; 32], u32>,
	/// Signed ones.
	transactions: u32,
	/// Items of them all.
	items: usize,
	/// Picoseconds, those of the chain's own work included.
	weight: u64,
}

/// A chain at some block.
#[derive(Clone)]
struct Stage {
	chain: Chain,
	genesis: Digest,
	best: BlockRef,
	slot: u64,
	/// How many transactions each key has made.
	nonces: HashMap<[u8; 32], u32>,
}

impl Stage {
	/// The chain of the spec, before its first block.
	fn genesis() -> Result<Self> {
		let path = chain_spec()?;
		let what = || format!("the chain specification {}", path.display());
		let malformed = |cause: String| Error::Malformed { what: what(), cause };
		let text = fs::read(&path).context(what())?;
		let spec: Spec = serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
		let octets = |text: &str| hex::decode(text).map_err(|error| malformed(error.to_string()));
		let state = spec.genesis.raw.top.iter().map(|(key, value)| -> Result<_> { Ok((octets(key)?, octets(value)?)) });
		let chain = Chain::new(state.collect::<Result<BTreeMap<_, _>>>()?, VERSION.state_version())?;
		let header = Header::new(0, Hash::zero(), chain.root(), Hash::zero(), HeaderDigest::default());
		// Any hash would do: the runtime takes it from the first block.
		let genesis = blake2_256(&header.encode());
		let best = BlockRef { number: 0, hash: genesis };
		Ok(Self { chain, genesis, best, slot: START / SLOT_MILLIS, nonces: HashMap::new() })
	}

	/// Whether the next block begins a session: it has no room for transactions.
	fn ends_session(&self) -> bool {
		(self.best.number + 1).is_multiple_of(SESSION_BLOCKS)
	}

	/// Lets time go by before the next block.
	fn sleep(&mut self, time: Millis) {
		self.slot += time / SLOT_MILLIS;
	}

	/// Makes blocks until all of this is done.
	async fn through(&mut self, tasks: Vec<Task<'_>>) -> Result<()> {
		let mut work = Work::of(tasks);
		while !work.tasks.is_empty() {
			let made = self.make(&mut work, Full::Soon)?;
			self.take(made);
			// So that Ctrl-C is heard.
			tokio::task::yield_now().await;
		}
		Ok(())
	}

	/// Makes a block without transactions.
	async fn idle(&mut self) -> Result<()> {
		let made = self.make(&mut Work::of(Vec::new()), Full::Soon)?;
		self.take(made);
		tokio::task::yield_now().await;
		Ok(())
	}

	fn take(&mut self, made: Made) {
		self.chain.commit(made.changes);
		(self.best, self.slot, self.nonces) = (made.reference, made.slot, made.nonces);
	}

	/// Makes the next block, of as much of the work as goes in, as an author does. The chain stays before it.
	fn make(&self, work: &mut Work<'_>, full: Full) -> Result<Made> {
		let (number, slot) = (self.best.number + 1, self.slot + 1);
		let digest = HeaderDigest { logs: vec![DigestItem::PreRuntime(AURA, slot.encode())] };
		let header = Header::new(number, Hash::zero(), Hash::zero(), self.best.hash.into(), digest);
		let mut draft = self.chain.begin(&header.encode())?;
		let time = pallet_timestamp::Call::<Runtime>::set { now: slot * SLOT_MILLIS };
		let mut body = vec![UncheckedExtrinsic::new_bare(RuntimeCall::Timestamp(time)).encode()];
		let refused = |result: ApplyExtrinsicResult| Error::Refused {
			what: format!("a transaction of block {number}"),
			cause: format!("{result:?}"),
		};
		match result(&draft.apply(&body[0])?)? {
			Ok(Ok(())) => (),
			other => return Err(refused(other)),
		}

		let anchor = Anchor {
			genesis: self.genesis,
			spec_version: VERSION.spec_version,
			transaction_version: VERSION.transaction_version,
			birth: self.best,
		};
		let mut nonces = self.nonces.clone();
		let (mut items, mut most) = (0, usize::MAX);
		while let Some(task) = work.tasks.front().filter(|_| !self.ends_session()) {
			let size = (task.items - work.done).min(task.at_once).min(most);
			let call = (task.call)(work.done..work.done + size);
			let nonce = nonces.entry(task.signer.public().0).or_default();
			let transaction = extrinsic::sign(task.signer, &call, *nonce, &anchor);
			match result(&draft.apply(&transaction)?)? {
				Ok(Ok(())) => {
					*nonce += 1;
					items += size;
					body.push(transaction);
					work.did(size);
				}
				Err(TransactionValidityError::Invalid(InvalidTransaction::ExhaustsResources))
					if size > 1 && (full == Full::Quite || items == 0) =>
				{
					most = size.div_ceil(2);
				}
				Err(TransactionValidityError::Invalid(InvalidTransaction::ExhaustsResources)) if items > 0 => break,
				other => return Err(refused(other)),
			}
		}

		let key = value_key("System", "BlockWeight");
		let weight: ConsumedWeight = decode("the weight of a block", draft.get(&key)?.as_deref())?;
		let key = value_key("System", "Events");
		let events: Vec<EventRecord<RuntimeEvent, Hash>> = decode("events", draft.get(&key)?.as_deref())?;
		if let Some(cause) = events.iter().find_map(|record| failure(&record.event)) {
			return Err(Error::Refused { what: format!("an item in block {number}"), cause });
		}
		let (header, changes) = draft.finish()?;
		let reference = BlockRef { number, hash: blake2_256(&header) };
		let mut block = header;
		// Transactions are encoded with their lengths in front already.
		Compact(body.len() as u32).encode_to(&mut block);
		block.extend(body.iter().flatten());
		let transactions = body.len() as u32 - 1;
		let weight = weight.total().ref_time();
		Ok(Made { block, changes, reference, slot, nonces, transactions, items, weight })
	}
}

/// The part of a raw chain specification that is used here.
#[derive(Deserialize)]
struct Spec {
	genesis: Genesis,
}

#[derive(Deserialize)]
struct Genesis {
	raw: Raw,
}

#[derive(Deserialize)]
struct Raw {
	top: BTreeMap<String, String>,
}

/// Decodes a value of the state; the default where there is none.
fn decode<T: Decode + Default>(what: &str, value: Option<&[u8]>) -> Result<T> {
	let Some(mut value) = value else { return Ok(T::default()) };
	T::decode(&mut value).map_err(|error| Error::Malformed { what: what.into(), cause: error.to_string() })
}

/// The runtime's answer to a transaction.
fn result(mut answer: &[u8]) -> Result<ApplyExtrinsicResult> {
	ApplyExtrinsicResult::decode(&mut answer)
		.map_err(|error| Error::Malformed { what: "the answer to a transaction".into(), cause: error.to_string() })
}

/// Why an item of a batch was refused, if it was: the block would have less to do than it seems.
fn failure(event: &RuntimeEvent) -> Option<String> {
	match event {
		RuntimeEvent::Indicators(pallet_indicators::Event::ItemFailed { error, .. })
		| RuntimeEvent::Envelopes(pallet_envelopes::Event::ItemFailed { error, .. }) => Some(format!("{error:?}")),
		_ => None,
	}
}

/// Imports blocks and prints how long that takes.
struct Bench<'a> {
	settings: &'a Settings,
	/// Picoseconds that a block may weigh.
	limit: u64,
}

impl<'a> Bench<'a> {
	fn new(settings: &'a Settings) -> Self {
		let limits = <<Runtime as frame_system::Config>::BlockWeights as Get<BlockWeights>>::get();
		Self { settings, limit: limits.max_block.ref_time() }
	}

	fn head(&self) {
		if !self.settings.json {
			let limit = self.limit / 1_000_000_000;
			println!("{ISPS} ISPs; a block may weigh {limit} ms of its slot of {SLOT_MILLIS} ms\n");
			println!(
				"{:<32} {:>12} {:>6} {:>7} {:>11} {:>9} {:>9} {:>8} {:>8}",
				"block full of", "transactions", "items", "weight", "estimate", "p50", "max", "measured", "of slot"
			);
		}
	}

	/// Measures a block full of these.
	async fn fill(&self, kind: &str, stage: &Stage, tasks: Vec<Task<'_>>) -> Result<()> {
		let mut stage = stage.clone();
		if stage.ends_session() {
			stage.idle().await?;
		}
		let made = stage.make(&mut Work::of(tasks), Full::Quite)?;
		self.measure(kind, &stage, &made).await
	}

	/// Measures the first block in which something ends, after so much time and a stretch of it more.
	async fn wait(&self, kind: &str, stage: &Stage, time: Millis) -> Result<()> {
		let mut stage = stage.clone();
		// The first block of a session weighs as much as a block can, so none of them may come between.
		while !stage.ends_session() {
			stage.idle().await?;
		}
		stage.idle().await?;
		let idle = stage.make(&mut Work::of(Vec::new()), Full::Soon)?.weight;
		stage.sleep(time + 2 * STRETCH);
		for _ in 0..IDLE_BLOCKS {
			let made = stage.make(&mut Work::of(Vec::new()), Full::Soon)?;
			if made.weight > idle.saturating_add(ENDINGS_WEIGHT) {
				return self.measure(kind, &stage, &made).await;
			}
			stage.take(made);
			tokio::task::yield_now().await;
		}
		Err(Error::Refused { what: kind.into(), cause: "nothing ended".into() })
	}

	async fn measure(&self, kind: &str, stage: &Stage, made: &Made) -> Result<()> {
		// The first time the executor may have to set something up.
		stage.chain.import(&made.block)?;
		let mut took = Spread::default();
		for _ in 0..self.settings.repeats {
			took.add(stage.chain.import(&made.block)?.as_secs_f64() * 1_000.0);
			tokio::task::yield_now().await;
		}
		let [p50, max] = [50, 100].map(|percent| took.percentile(percent));
		let estimate = made.weight as f64 / 1e9;
		let weight = 100.0 * made.weight as f64 / self.limit as f64;
		let (ratio, share) = (p50 / estimate, p50 / SLOT_MILLIS as f64);
		let Made { transactions, items, .. } = made;
		if self.settings.json {
			println!(
				"{}",
				json!({
					"kind": kind, "isps": ISPS, "transactions": transactions, "items": items, "weightPercent": weight,
					"estimateMs": estimate, "importMs": { "p50": p50, "max": max, "repeats": self.settings.repeats },
					"ratio": ratio, "slotShare": share,
				})
			);
		} else {
			let share = share * 100.0;
			println!(
				"{kind:<32} {transactions:>12} {items:>6} {weight:>5.0} % {estimate:>8.1} ms {p50:>6.1} ms {max:>6.1} ms {ratio:>8.2} {share:>6.0} %"
			);
		}
		Ok(())
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn there_are_as_many_isps_as_can_be() {
		assert_eq!(<ringfence_runtime::configs::MaxIsps as Get<u32>>::get() as usize, ISPS);
	}

	#[test]
	fn work_is_done_in_order_and_to_the_end() {
		let signer = key("//Alice").unwrap();
		let mut work = Work::of(vec![singles(&signer, 2, |_| Vec::new()), batches(&signer, 600, |_| Vec::new())]);
		for (did, left, done) in [(1, 2, 1), (1, 1, 0), (512, 1, 512), (88, 0, 0)] {
			work.did(did);
			assert_eq!((work.tasks.len(), work.done), (left, done));
		}
	}

	#[test]
	fn indicators_and_letters_are_told_apart() {
		assert_ne!(flow(0).id(), flow(1).id());
		const { assert!(PROPOSALS <= ACTIVE_FROM) };
		assert_ne!(flow(PROPOSALS - 1).id(), flow(ACTIVE_FROM).id());
		assert!(flow(0).is_wide());
		let [one, other] = ["//Alice", "//Bob"].map(|secret| key(secret).unwrap());
		assert_ne!(letter(&one, &other, 0).0, letter(&one, &other, 1).0);
		assert_ne!(letter(&one, &other, 0).0, letter(&other, &one, 0).0);
	}
}
