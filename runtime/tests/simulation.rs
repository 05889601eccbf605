//! Forty ISPs share indicators for half a day, some of them against the others: what the votes and the ledger make of it.
//!
//! A round is twelve minutes of the chain's clock. In each, members report something new, and every minute those who get
//! round to it vote on what is open. What an indicator really is, the simulation knows; the runtime does not.
//!
//! - **Honest** members report what is bad and judge rightly, sooner or later.
//! - **Lazy** ones judge rightly, too, though they seldom look.
//! - **Careless** ones report what is bad and approve whatever is reported.
//! - **Malicious** ones report innocent and protected addresses, and vote against the truth, each for itself.
//! - **Colluding** ones first work honestly until they are in good standing. Then they report innocent addresses that act
//!   at once, vote as one and before everybody else, and dispute what is active.
//!
//! `./scripts/test -E 'binary(simulation)' --no-capture` prints the table of docs/vetting.md. The dice are always the same.

use frame_support::{assert_ok, traits::Hooks, BoundedVec};
use pallet_indicators::{Call, ChangeLog, Error, Head, Records, Status};
use ringfence_primitives::{
	keys::LogNumber, Action, ActiveDigest, Address, Ballot, ChangeKind, Confidence, Decision, Digest, Direction,
	Indicator, IndicatorId, Lifetime, Millis, Network, Note, Severity, Terms, ThreatClass, Tlp, Vote,
};
use ringfence_runtime::{
	presets, AccountId, Indicators, Runtime, RuntimeCall, RuntimeGenesisConfig, RuntimeOrigin, System,
};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{traits::Dispatchable, BuildStorage, DispatchError};
use std::{
	collections::{BTreeMap, BTreeSet},
	fmt, thread,
};

/// With forty, 33 % are thirteen: one short of the fourteen that a veto takes.
const ISPS: usize = 40;
const MINUTE: Millis = 60_000;
const MINUTES_PER_ROUND: u32 = 12;
const BLOCKS_PER_MINUTE: u32 = 120;
/// Rounds in which those who collude earn their good standing.
const WARM_UP: u32 = 10;
/// Rounds of attack.
const ATTACK: u32 = 20;
/// The chain's clock at the start.
const START: Millis = 1_800_000_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
	Honest,
	Lazy,
	Careless,
	Malicious,
	Colluding,
}

/// Whether an indicator is on record and a decision about it depends on votes.
fn awaits_votes(id: IndicatorId) -> bool {
	Records::<Runtime>::get(id).is_some_and(|record| record.awaits_votes())
}

impl Kind {
	const fn is_hostile(self) -> bool {
		matches!(self, Self::Malicious | Self::Colluding)
	}

	/// Chance in a thousand that it gets round to an open indicator in one minute.
	const fn pace(self) -> u64 {
		match self {
			Self::Honest | Self::Careless | Self::Malicious => 500,
			Self::Lazy => 20,
			Self::Colluding => 1_000,
		}
	}

	/// Chance in a thousand that it reports something in one round.
	const fn eagerness(self, attack: bool) -> u64 {
		match self {
			Self::Lazy => 50,
			_ if attack => 400,
			_ => 1_000,
		}
	}

	/// What it says of an indicator that is bad, or is not.
	const fn verdict(self, bad: bool, attack: bool) -> Vote {
		let approves = match self {
			Self::Honest | Self::Lazy => bad,
			Self::Careless => true,
			Self::Malicious => !bad,
			Self::Colluding => bad != attack,
		};
		if approves {
			Vote::Approve
		} else {
			Vote::Reject
		}
	}
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
	fn roll(&mut self) -> u64 {
		self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
		let mut mixed = self.0;
		mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
		mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
		mixed ^ (mixed >> 31)
	}

	fn chance(&mut self, in_a_thousand: u64) -> bool {
		self.roll() % 1_000 < in_a_thousand
	}

	fn shuffle<T>(&mut self, items: &mut [T]) {
		for last in (1..items.len()).rev() {
			items.swap(last, (self.roll() % (last as u64 + 1)) as usize);
		}
	}
}

/// Where the simulation last saw an indicator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
	/// It can be voted on.
	Open,
	/// A quorum confirmed it.
	Active,
	/// It is gone, or rejected.
	Over,
}

/// An indicator that somebody reported.
struct Case {
	id: IndicatorId,
	indicator: Indicator,
	terms: Digest,
	bad: bool,
	reporter: usize,
	stage: Stage,
	confirmed: bool,
	disputed: bool,
	/// Minutes for which it acted without being confirmed.
	unconfirmed_minutes: u32,
	/// Who has voted since it was opened.
	voted: [bool; ISPS],
}

/// What came of one run.
#[derive(Default)]
struct Outcome {
	protected_tried: u32,
	protected_active: u32,
	bad: u32,
	bad_lost: u32,
	innocent: u32,
	/// Innocent addresses that a quorum made active.
	innocent_active: u32,
	/// Innocent addresses that acted before anybody had voted, and for how long at most.
	innocent_unconfirmed: u32,
	longest_unconfirmed: u32,
	/// The round of the attack after which none of the hostile was in good standing any more.
	standing_lost: Option<u32>,
	/// The round of the attack after which none of the hostile had a trust of 500.
	distrusted: Option<u32>,
	/// Least and greatest trust at the end.
	honest: (u16, u16),
	lazy: (u16, u16),
	careless: (u16, u16),
	hostile: (u16, u16),
}

struct Simulation {
	kinds: [Kind; ISPS],
	accounts: Vec<AccountId>,
	dice: Dice,
	/// How many indicators were reported so far.
	reported: u32,
	/// Those that are not over.
	cases: Vec<Case>,
	/// What an enforcer would have in force: the change log, played.
	told: BTreeMap<Indicator, Decision>,
	heard: u64,
	outcome: Outcome,
}

/// The `local` preset with 36 more ISPs.
fn chain(isps: &[AccountId]) -> sp_io::TestExternalities {
	let mut config = serde_json::to_value(RuntimeGenesisConfig::default()).unwrap();
	let mut patch: serde_json::Value =
		serde_json::from_slice(&presets::get(&presets::LOCAL.into()).expect("a preset")).unwrap();
	patch["tiers"]["isps"] = serde_json::to_value(isps).unwrap();
	merge(&mut config, patch);
	let config: RuntimeGenesisConfig = serde_json::from_value(config).unwrap();
	config.build_storage().unwrap().into()
}

fn merge(into: &mut serde_json::Value, patch: serde_json::Value) {
	match (into, patch) {
		(serde_json::Value::Object(into), serde_json::Value::Object(patch)) => {
			for (key, value) in patch {
				merge(into.entry(key).or_insert(serde_json::Value::Null), value);
			}
		}
		(into, patch) => *into = patch,
	}
}

fn terms() -> Terms {
	Terms {
		threat: ThreatClass::Botnet,
		severity: Severity::High,
		confidence: Confidence::new(80).unwrap(),
		direction: Direction::Both,
		action: Action::Drop,
		tlp: Tlp::Green,
		lifetime: Lifetime::new(7_200).unwrap(),
		evidence: None,
		note: Note::truncated(""),
	}
}

fn trust(account: &AccountId) -> u16 {
	pallet_tiers::Pallet::<Runtime>::trust(account)
}

fn in_good_standing(account: &AccountId) -> bool {
	pallet_tiers::Pallet::<Runtime>::in_good_standing(account)
}

impl Simulation {
	/// Of those who are not hostile, every seventh is lazy and every seventh careless.
	fn new(hostile: usize, kind: Kind) -> Self {
		let kinds = std::array::from_fn(|isp| match isp.checked_sub(hostile) {
			None => kind,
			Some(other) => match other % 7 {
				2 => Kind::Lazy,
				5 => Kind::Careless,
				_ => Kind::Honest,
			},
		});
		let keyed = [Sr25519Keyring::Alice, Sr25519Keyring::Bob, Sr25519Keyring::Charlie, Sr25519Keyring::Dave];
		let accounts = keyed
			.into_iter()
			.map(|key| key.to_account_id())
			.chain((1..=ISPS - keyed.len()).map(|number| AccountId::from([number as u8; 32])))
			.collect();
		Self {
			kinds,
			accounts,
			dice: Dice(3),
			reported: 0,
			cases: Vec::new(),
			told: BTreeMap::new(),
			heard: 0,
			outcome: Outcome::default(),
		}
	}

	fn run(hostile: usize, kind: Kind) -> Outcome {
		let mut simulation = Self::new(hostile, kind);
		chain(&simulation.accounts).execute_with(|| {
			System::set_block_number(1);
			pallet_timestamp::Now::<Runtime>::put(START);
			Indicators::on_initialize(1);
			simulation.play(kind);
		});
		simulation.outcome
	}

	fn play(&mut self, kind: Kind) {
		if kind == Kind::Colluding {
			for _ in 0..WARM_UP {
				self.round(false);
			}
			assert!(self.hostile().all(in_good_standing), "they have earned their standing");
		}
		for round in 1..=ATTACK {
			self.round(true);
			if !self.hostile().any(in_good_standing) {
				self.outcome.standing_lost.get_or_insert(round);
			}
			if self.hostile().all(|account| trust(account) < 500) {
				self.outcome.distrusted.get_or_insert(round);
			}
		}
		// Until the last vote is in, or its time is up.
		for _ in 0..65 {
			self.minute(true);
		}
		assert!(self.cases.iter().all(|case| case.stage == Stage::Active), "nothing stays open for ever");
		assert_eq!(self.told.values().collect::<ActiveDigest>(), pallet_indicators::Digest::<Runtime>::get());
		self.outcome.honest = self.trust_of(|kind| kind == Kind::Honest);
		self.outcome.lazy = self.trust_of(|kind| kind == Kind::Lazy);
		self.outcome.careless = self.trust_of(|kind| kind == Kind::Careless);
		self.outcome.hostile = self.trust_of(Kind::is_hostile);
	}

	fn hostile(&self) -> impl Iterator<Item = &AccountId> {
		self.accounts.iter().zip(self.kinds).filter(|(_, kind)| kind.is_hostile()).map(|(account, _)| account)
	}

	fn trust_of(&self, which: impl Fn(Kind) -> bool) -> (u16, u16) {
		let of_kind = self.accounts.iter().zip(self.kinds).filter(|(_, kind)| which(*kind));
		let trust: Vec<u16> = of_kind.map(|(account, _)| trust(account)).collect();
		(trust.iter().copied().min().unwrap_or_default(), trust.iter().copied().max().unwrap_or_default())
	}

	fn act(&self, isp: usize, call: Call<Runtime>) -> Result<(), DispatchError> {
		System::reset_events();
		RuntimeCall::Indicators(call)
			.dispatch(RuntimeOrigin::signed(self.accounts[isp].clone()))
			.map(|_| ())
			.map_err(|refusal| refusal.error)
	}

	fn round(&mut self, attack: bool) {
		for isp in 0..ISPS {
			let kind = self.kinds[isp];
			let hostile = kind == Kind::Malicious || (kind == Kind::Colluding && attack);
			if hostile {
				self.try_protected(isp);
			}
			if kind == Kind::Colluding && attack {
				self.dispute_something_bad(isp);
			}
			if self.dice.chance(kind.eagerness(attack)) {
				self.report(isp, !hostile);
			}
		}
		for _ in 0..MINUTES_PER_ROUND {
			self.minute(attack);
		}
	}

	/// Something that nobody has reported yet: bad in 45.0.0.0/8, innocent in 46.0.0.0/8. Who is in good standing and
	/// up to no good has it act at once.
	fn report(&mut self, isp: usize, bad: bool) {
		self.reported += 1;
		let [_, a, b, c] = self.reported.to_be_bytes();
		let indicator = Indicator::Host(Address::V4([if bad { 45 } else { 46 }, a, b, c]));
		let call = if !bad && in_good_standing(&self.accounts[isp]) {
			Call::report_provisionally { indicator: indicator.clone(), terms: terms() }
		} else {
			Call::report { indicator: indicator.clone(), terms: terms() }
		};
		assert_ok!(self.act(isp, call));
		*(if bad { &mut self.outcome.bad } else { &mut self.outcome.innocent }) += 1;
		let mut voted = [false; ISPS];
		voted[isp] = true;
		self.cases.push(Case {
			id: indicator.id(),
			terms: terms().hash(),
			indicator,
			bad,
			reporter: isp,
			stage: Stage::Open,
			confirmed: false,
			disputed: false,
			unconfirmed_minutes: 0,
			voted,
		});
	}

	/// A private address, and a network with shared addresses within.
	fn try_protected(&mut self, isp: usize) {
		let inside = Indicator::Host(Address::V4([10, 0, 0, isp as u8]));
		let around = Indicator::Network(Network::new(Address::V4([100, 0, 0, 0]), 8).unwrap());
		for indicator in [inside, around] {
			let calls = [
				Call::report { indicator: indicator.clone(), terms: terms() },
				Call::report_provisionally { indicator, terms: terms() },
			];
			for call in calls {
				self.outcome.protected_tried += 1;
				assert!(self.act(isp, call).is_err());
			}
		}
		let indicator = Indicator::Host(Address::V4([10, 0, 0, isp as u8]));
		assert_eq!(
			self.act(isp, Call::report { indicator, terms: terms() }),
			Err(Error::<Runtime>::OverlapsProtected.into())
		);
	}

	fn dispute_something_bad(&mut self, isp: usize) {
		let candidates: Vec<usize> = (0..self.cases.len())
			.filter(|index| {
				let case = &self.cases[*index];
				case.bad && case.stage == Stage::Active && !case.disputed && case.reporter != isp
			})
			.collect();
		if !candidates.is_empty() && self.dice.chance(300) {
			let index = candidates[(self.dice.roll() % candidates.len() as u64) as usize];
			self.dispute(isp, index);
		}
	}

	fn dispute(&mut self, isp: usize, index: usize) {
		assert_ok!(self.act(isp, Call::dispute { id: self.cases[index].id }));
		let case = &mut self.cases[index];
		case.stage = Stage::Open;
		case.disputed = true;
		case.voted = [false; ISPS];
		case.voted[isp] = true;
	}

	fn minute(&mut self, attack: bool) {
		let block = System::block_number() + BLOCKS_PER_MINUTE;
		System::reset_events();
		System::set_block_number(block);
		pallet_timestamp::Now::<Runtime>::mutate(|now| *now += MINUTE);
		Indicators::on_initialize(block);
		self.observe();
		self.count_unconfirmed();

		let mut order: [usize; ISPS] = std::array::from_fn(|isp| isp);
		self.dice.shuffle(&mut order);
		// Those who collude have a program that waits for what the others report.
		order.sort_by_key(|isp| self.kinds[*isp] != Kind::Colluding);
		for isp in order {
			self.vote(isp, attack);
		}
		self.observe();

		// Whoever is honest disputes what should not be active.
		let wrong: Vec<usize> = (0..self.cases.len())
			.filter(|index| {
				let case = &self.cases[*index];
				!case.bad && case.stage == Stage::Active && !case.disputed
			})
			.collect();
		let honest = self.kinds.iter().position(|kind| *kind == Kind::Honest).expect("somebody is honest");
		for index in wrong {
			self.dispute(honest, index);
		}
	}

	/// One batch with all that it gets round to.
	fn vote(&mut self, isp: usize, attack: bool) {
		let kind = self.kinds[isp];
		let mut ballots = Vec::new();
		for case in self.cases.iter_mut().filter(|case| case.stage == Stage::Open && !case.voted[isp]) {
			if self.dice.chance(kind.pace()) && awaits_votes(case.id) {
				case.voted[isp] = true;
				ballots.push(Ballot { id: case.id, terms: case.terms, vote: kind.verdict(case.bad, attack) });
			}
		}
		if !ballots.is_empty() {
			assert_ok!(
				self.act(isp, Call::vote_batch { ballots: BoundedVec::try_from(ballots).expect("a few"), after: None })
			);
		}
	}

	/// Reads the change log as an enforcer does, and looks what became of what was open.
	fn observe(&mut self) {
		let mut expired = BTreeSet::new();
		let head = Head::<Runtime>::get().seq;
		for seq in self.heard + 1..=head {
			match ChangeLog::<Runtime>::get(LogNumber::from(seq)).expect("the log keeps a million entries").kind {
				ChangeKind::Activated(decision) => {
					if Indicators::ensure_blockable(&decision.indicator).is_err() {
						self.outcome.protected_active += 1;
					}
					self.told.insert(decision.indicator.clone(), decision);
				}
				ChangeKind::Extended(decision) => drop(self.told.insert(decision.indicator.clone(), decision)),
				ChangeKind::Revoked(indicator) => drop(self.told.remove(&indicator)),
				ChangeKind::Expired(indicator) => {
					self.told.remove(&indicator);
					expired.insert(indicator);
				}
				ChangeKind::Protected(_) | ChangeKind::Unprotected(_) | ChangeKind::Tier1(..) => {}
			}
		}
		self.heard = head;

		for case in &mut self.cases {
			if case.stage == Stage::Active && self.told.contains_key(&case.indicator) {
				continue;
			}
			case.stage = match Records::<Runtime>::get(case.id).map(|record| record.status) {
				Some(Status::Active { .. }) if !awaits_votes(case.id) => Stage::Active,
				Some(Status::Proposed | Status::Provisional { .. } | Status::Active { .. }) => Stage::Open,
				Some(Status::Rejected) | None => Stage::Over,
			};
			if case.stage == Stage::Active && !case.confirmed {
				case.confirmed = true;
				self.outcome.innocent_active += u32::from(!case.bad);
			}
			if case.stage == Stage::Over && case.bad && !(case.confirmed && expired.contains(&case.indicator)) {
				self.outcome.bad_lost += 1;
			}
		}
		self.cases.retain(|case| case.stage != Stage::Over);
	}

	/// Counts the minutes for which innocent addresses have acted without being confirmed.
	fn count_unconfirmed(&mut self) {
		for case in self.cases.iter_mut().filter(|case| !case.bad && !case.confirmed) {
			if self.told.contains_key(&case.indicator) {
				self.outcome.innocent_unconfirmed += u32::from(case.unconfirmed_minutes == 0);
				case.unconfirmed_minutes += 1;
				self.outcome.longest_unconfirmed = self.outcome.longest_unconfirmed.max(case.unconfirmed_minutes);
			}
		}
	}
}

/// One line of the table.
struct Row<'a> {
	share: u32,
	kind: Kind,
	outcome: &'a Outcome,
}

impl Row<'_> {
	const HEAD: &'static str = "\
| hostile | how | rounds until none is in good standing | rounds until all are under 500 \
| protected: active / tried | innocent: voted active / reported | innocent: acted unconfirmed, for at most \
| bad: lost / reported | trust at the end: honest | lazy | careless | hostile |
|---|---|---|---|---|---|---|---|---|---|---|---|";
}

impl fmt::Display for Row<'_> {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		let Outcome {
			protected_tried,
			protected_active,
			bad,
			bad_lost,
			innocent,
			innocent_active,
			innocent_unconfirmed,
			..
		} = self.outcome;
		let rounds = |rounds: Option<u32>| rounds.map_or("never".to_string(), |rounds| rounds.to_string());
		let range = |(least, greatest): (u16, u16)| format!("{least}-{greatest}");
		let how = match self.kind {
			Kind::Colluding => "together",
			_ => "each for itself",
		};
		let unconfirmed = match innocent_unconfirmed {
			0 => "0".to_string(),
			some => format!("{some}, {} min", self.outcome.longest_unconfirmed),
		};
		write!(
			f,
			"| {} % | {how} | {} | {} | {protected_active} / {protected_tried} | {innocent_active} / {innocent} \
			 | {unconfirmed} | {bad_lost} / {bad} | {} | {} | {} | {} |",
			self.share,
			rounds(self.outcome.standing_lost),
			rounds(self.outcome.distrusted),
			range(self.outcome.honest),
			range(self.outcome.lazy),
			range(self.outcome.careless),
			range(self.outcome.hostile),
		)
	}
}

#[test]
fn a_minority_blocks_nothing_innocent_stops_nothing_true_and_loses_its_standing() {
	let plays: Vec<(u32, Kind)> =
		[10, 25, 33, 40].into_iter().flat_map(|share| [(share, Kind::Malicious), (share, Kind::Colluding)]).collect();
	let outcomes: Vec<Outcome> = thread::scope(|scope| {
		let running: Vec<_> = plays
			.iter()
			.map(|(share, kind)| scope.spawn(move || Simulation::run(ISPS * *share as usize / 100, *kind)))
			.collect();
		running.into_iter().map(|run| run.join().expect("a run ends")).collect()
	});

	println!("{}", Row::HEAD);
	for ((share, kind), outcome) in plays.iter().zip(&outcomes) {
		println!("{}", Row { share: *share, kind: *kind, outcome });
	}
	for ((share, kind), outcome) in plays.iter().zip(&outcomes) {
		let who = format!("{share} % {kind:?}");
		assert!(outcome.protected_tried > 0 && outcome.innocent > 0 && outcome.bad > 0, "{who}: something was tried");
		assert_eq!(outcome.protected_active, 0, "{who}: nothing protected is ever active");
		assert_eq!(outcome.innocent_active, 0, "{who}: nothing innocent has a majority");
		if *share < 34 {
			assert_eq!(outcome.bad_lost, 0, "{who}: nothing true is lost");
			assert!(outcome.longest_unconfirmed <= 10, "{who}: what nobody confirmed ends within ten minutes");
			assert!(outcome.standing_lost.is_some() && outcome.distrusted.is_some(), "{who}: they are found out");
			assert!(
				outcome.hostile.1 < outcome.honest.0.min(outcome.lazy.0),
				"{who}: every hostile member ends below every honest one"
			);
		}
	}
}
