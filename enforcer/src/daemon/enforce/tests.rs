//! Dry runs: everything but the kernel. What the kernel does is told by `tests/firewall.rs` and `tests/actor.rs`.

use super::{
	claims::{is_block, LONGEST},
	*,
};
use crate::{
	core::{
		frame::{BlockRef, Frame, Heartbeat},
		overrides,
		ruleset::{Action, Direction},
	},
	daemon::{
		control::{self, Agreement, Answer, Why},
		keyring::Keyring,
		secrets,
		state::Journal,
	},
};
use ringfence_primitives::{
	envelope::{Sealed, TierChange, TierKey},
	ActiveDigest, Change, ChangeKind, Confidence, Decision, LogHead, Severity, ThreatClass,
};
use std::path::Path;
use tokio::sync::oneshot;

const PROVIDER: [u8; 32] = [1; 32];
const HOUR: Millis = 3_600_000;

fn network(text: &str) -> Network {
	text.parse().unwrap()
}

fn decision(text: &str, lasts: Millis) -> Decision {
	Decision {
		indicator: network(text).into(),
		direction: Direction::Both,
		action: Action::Drop,
		threat: ThreatClass::Botnet,
		severity: Severity::High,
		confidence: Confidence::MAX,
		expires_at: now_ms() + lasts,
	}
}

fn open(directory: &Path, tier: Option<Tier>) -> Enforcement {
	Enforcement::open(Setup {
		mode: Mode::DryRun,
		protected: vec![network("192.0.2.0/24")],
		home: Vec::new(),
		allowed: vec![network("203.0.113.7")],
		uplink: Vec::new(),
		tier,
		own: None,
		whitelist: None,
		memory: Memory::new(Journal::open(directory).unwrap()),
		directory: directory.into(),
		board: Board::new(Default::default()),
		history: History::open(directory),
	})
	.unwrap()
}

/// The chain, as far as an enforcer sees it.
#[derive(Default)]
struct Chain {
	log: Vec<Change>,
	digest: ActiveDigest,
}

impl Chain {
	fn tell(&mut self, kind: ChangeKind) {
		if let ChangeKind::Activated(decision) = &kind {
			self.digest.add(decision);
		}
		let previous = self.log.last().map_or([0; 32], Change::hash);
		self.log.push(Change { seq: self.log.len() as u64 + 1, at: now_ms(), previous, kind });
	}

	fn head(&self) -> LogHead {
		let hash = self.log.last().map_or([0; 32], Change::hash);
		LogHead { seq: self.log.len() as u64, hash, oldest: 1 }
	}

	/// Everything from entry `from` on.
	fn frame(&self, from: usize) -> Frame {
		Frame {
			block: BlockRef { number: 7, hash: [3; 32] },
			head: self.head(),
			changes: self.log[from - 1..].to_vec(),
			header: Vec::new(),
			justification: Vec::new(),
			proof: Vec::new(),
		}
	}

	fn heartbeat(&self) -> Heartbeat {
		let block = BlockRef { number: 8, hash: [4; 32] };
		Heartbeat { block, head: self.head(), digest: Some(self.digest.clone()) }
	}

	fn proven(&self) -> Proven {
		Proven::for_test(self.head(), self.digest.clone(), vec![network("198.51.100.0/24")])
	}
}

fn apply(enforcement: &mut Enforcement, frame: &Frame) {
	assert_eq!(enforcement.apply(frame).unwrap(), Flow::On);
}

fn why(enforcement: &mut Enforcement, address: &str) -> Why {
	match enforcement.answer(Request::Why { address: address.parse().unwrap() }) {
		Answer::Why(why) => why,
		other => panic!("{other:?}"),
	}
}

fn state(enforcement: &mut Enforcement, address: &str) -> control::State {
	why(enforcement, address).state
}

fn snapshot(enforcement: &mut Enforcement, proven: Proven, decisions: &[Decision]) -> Result<(), EnforceError> {
	let mut decisions = decisions.to_vec();
	decisions.sort_by_key(|decision| decision.indicator.id());
	enforcement.begin(proven)?;
	enforcement.page(&decisions)?;
	enforcement.end(decisions.len() as u64)
}

#[test]
fn what_was_applied_is_known_after_a_restart_without_any_node() {
	let directory = tempfile::tempdir().unwrap();
	let mut chain = Chain::default();
	chain.tell(ChangeKind::Activated(decision("203.0.113.9", HOUR)));
	let mut enforcement = open(directory.path(), None);
	assert_eq!(enforcement.due(), Due::Snapshot, "nothing is known yet");
	apply(&mut enforcement, &chain.frame(1));
	assert_eq!(enforcement.cursor().seq, 1);
	drop(enforcement);
	let mut enforcement = open(directory.path(), None);
	assert_eq!(state(&mut enforcement, "203.0.113.9"), control::State::Blocked);
	assert_eq!(enforcement.due(), Due::Changes { from: 2 });
}

#[test]
fn a_snapshot_counts_only_if_it_is_what_the_chain_proves() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	let set = [decision("203.0.113.9", HOUR), decision("203.0.113.10", HOUR)];
	let mut chain = Chain::default();
	set.iter().for_each(|decision| chain.tell(ChangeKind::Activated(decision.clone())));

	for lie in [vec![set[0].clone()], vec![set[0].clone(), decision("203.0.113.11", HOUR)]] {
		let refused = snapshot(&mut enforcement, chain.proven(), &lie).unwrap_err();
		assert!(matches!(refused, EnforceError::Unproven(_)) && refused.is_lie());
		assert_eq!((enforcement.cursor(), enforcement.due()), (Cursor::START, Due::Snapshot));
		assert_eq!(state(&mut enforcement, "203.0.113.9"), control::State::Free);
	}
	assert!(matches!(enforcement.end(2), Err(EnforceError::NotBegun)));

	snapshot(&mut enforcement, chain.proven(), &set).unwrap();
	assert_eq!(enforcement.due(), Due::Changes { from: 3 });
	assert_eq!(state(&mut enforcement, "203.0.113.9"), control::State::Blocked);
	assert_eq!(state(&mut enforcement, "198.51.100.1"), control::State::Protected);
	assert_eq!(enforcement.heartbeat(&chain.heartbeat()), Flow::On);
	// An older one takes nothing back.
	let older = Chain::default().proven();
	assert!(matches!(enforcement.begin(older), Err(EnforceError::Behind { found: 0, have: 2 })));
}

#[test]
fn a_set_that_differs_from_the_chains_is_fetched_anew() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	let mut chain = Chain::default();
	snapshot(&mut enforcement, chain.proven(), &[]).unwrap();
	chain.tell(ChangeKind::Activated(decision("203.0.113.9", HOUR)));
	assert_eq!(enforcement.heartbeat(&chain.heartbeat()), Flow::On, "not there yet");
	apply(&mut enforcement, &chain.frame(1));
	assert_eq!(enforcement.heartbeat(&chain.heartbeat()), Flow::On);
	chain.digest.add(&decision("203.0.113.10", HOUR));
	assert_eq!(enforcement.heartbeat(&chain.heartbeat()), Flow::Again);
	assert_eq!(enforcement.due(), Due::Snapshot);
}

#[test]
fn a_verification_waits_for_the_chain_and_not_for_ever() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	let chain = Chain::default();
	snapshot(&mut enforcement, chain.proven(), &[]).unwrap();
	let wanted = enforcement.wanted.subscribe();
	let (reply, mut answer) = oneshot::channel();
	enforcement.begin_verifying(reply);
	assert!(wanted.has_changed().unwrap());
	assert!(answer.try_recv().is_err());
	let _ = enforcement.heartbeat(&chain.heartbeat());
	let same = matches!(answer.try_recv(), Ok(Answer::Verified(verified)) if verified.digest == Agreement::Same);
	assert!(same);

	let (reply, mut answer) = oneshot::channel();
	enforcement.begin_verifying(reply);
	enforcement.verifying[0].until = Instant::now();
	enforcement.look_after().unwrap();
	let unknown = matches!(answer.try_recv(), Ok(Answer::Verified(verified)) if verified.digest == Agreement::Unknown);
	assert!(unknown);
}

#[test]
fn the_household_has_its_word_and_it_lasts() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	let mut chain = Chain::default();
	chain.tell(ChangeKind::Activated(decision("203.0.113.0/24", HOUR)));
	apply(&mut enforcement, &chain.frame(1));
	assert_eq!(state(&mut enforcement, "203.0.113.9"), control::State::Blocked);
	assert_eq!(state(&mut enforcement, "203.0.113.7"), control::State::Allowed, "by the configuration");

	let allow = Request::Allow { network: network("203.0.113.9"), for_ms: None, dispute: false };
	assert!(matches!(enforcement.answer(allow), Answer::Set { replaced: None, .. }));
	let block = |text: &str| Request::Block { network: network(text), for_ms: Some(HOUR) };
	assert!(matches!(enforcement.answer(block("198.18.0.1")), Answer::Set { .. }));
	for protected in ["192.0.2.1", "192.0.0.0/16"] {
		assert!(matches!(enforcement.answer(block(protected)), Answer::Refused { .. }), "{protected}");
	}
	for _ in 0..2 {
		assert_eq!(state(&mut enforcement, "203.0.113.9"), control::State::Allowed);
		assert_eq!(state(&mut enforcement, "198.18.0.1"), control::State::Blocked);
		drop(enforcement);
		enforcement = open(directory.path(), None);
	}
	let forget = Request::Forget { network: network("203.0.113.9") };
	assert!(matches!(enforcement.answer(forget), Answer::Forgotten { was: Some(_), .. }));
	assert_eq!(state(&mut enforcement, "203.0.113.9"), control::State::Blocked);
}

#[test]
fn the_end_of_one_claim_leaves_the_other() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	let mut chain = Chain::default();
	let peer = Indicator::from(network("203.0.113.9"));
	chain.tell(ChangeKind::Activated(decision("203.0.113.9", HOUR)));
	apply(&mut enforcement, &chain.frame(1));
	enforcement.answer(Request::Block { network: network("203.0.113.9"), for_ms: Some(2 * HOUR) });
	chain.tell(ChangeKind::Revoked(peer.clone()));
	apply(&mut enforcement, &chain.frame(2));
	assert!(is_block(&enforcement.settle(&peer).unwrap().command));
	enforcement.answer(Request::Forget { network: network("203.0.113.9") });
	assert!(!is_block(&enforcement.settle(&peer).unwrap().command));
}

#[test]
fn a_block_without_an_end_is_renewed_before_the_kernel_forgets_it() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	enforcement.answer(Request::Block { network: network("203.0.113.9"), for_ms: None });
	let (at, _) = enforcement.again.keys().next().copied().unwrap();
	assert!(at > now_ms() && at < now_ms() + LONGEST);
}

#[test]
fn a_protection_that_is_lifted_lets_the_block_through_that_it_kept_out() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	let mut chain = Chain::default();
	chain.tell(ChangeKind::Protected(network("203.0.113.0/24")));
	chain.tell(ChangeKind::Activated(decision("203.0.113.9", HOUR)));
	apply(&mut enforcement, &chain.frame(1));
	assert_eq!(state(&mut enforcement, "203.0.113.9"), control::State::Protected);
	chain.tell(ChangeKind::Unprotected(network("203.0.113.0/24")));
	apply(&mut enforcement, &chain.frame(3));
	assert_eq!(state(&mut enforcement, "203.0.113.9"), control::State::Blocked);
}

/// A log in which the provider blocks 203.0.113.20 for its tier, and then all of them 203.0.113.9.
fn provider_and_chain(directory: &Path) -> (Chain, Decision, Tier) {
	let key = TierKey { number: 1, secret: [1; 32] };
	Keyring::open(directory).unwrap().add(key.clone()).unwrap();
	let told = TierChange::Block(decision("203.0.113.20", HOUR));
	let sealed: Sealed = crate::core::envelope::seal_tier(&key, &PROVIDER, &told, &mut secrets()).unwrap();
	let (mut chain, active) = (Chain::default(), decision("203.0.113.9", HOUR));
	chain.tell(ChangeKind::Tier1(PROVIDER, sealed));
	chain.tell(ChangeKind::Activated(active.clone()));
	(chain, active, Tier::new(PROVIDER, Keyring::open(directory).unwrap()))
}

#[test]
fn after_a_snapshot_the_log_is_read_again_for_what_the_provider_says() {
	let directory = tempfile::tempdir().unwrap();
	let (chain, active, tier) = provider_and_chain(directory.path());
	let mut enforcement = open(directory.path(), Some(tier));
	snapshot(&mut enforcement, chain.proven(), &[active]).unwrap();
	assert_eq!(enforcement.due(), Due::Changes { from: 1 });
	let gap = enforcement.apply(&chain.frame(2));
	let left_out = matches!(gap, Err(EnforceError::Frame(FrameError::Gap { due: 1, found: 2 })));
	assert!(left_out, "a node cannot leave the provider's word out");
	assert_eq!(enforcement.due(), Due::Changes { from: 1 });
	assert_eq!(state(&mut enforcement, "203.0.113.20"), control::State::Free);
	apply(&mut enforcement, &chain.frame(1));
	assert_eq!(state(&mut enforcement, "203.0.113.20"), control::State::Blocked);
	assert_eq!(enforcement.due(), Due::Changes { from: 3 });
	assert_eq!(enforcement.heartbeat(&chain.heartbeat()), Flow::On, "the provider's word is not the chain's");
}

#[test]
fn a_clock_that_stands_before_the_chains_gives_no_block_more_time() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	let mut chain = Chain::default();
	chain.tell(ChangeKind::Activated(decision("203.0.113.9", HOUR)));
	// The chain is two hours ahead of this clock.
	chain.log[0].at += 2 * HOUR;
	apply(&mut enforcement, &chain.frame(1));
	assert!(enforcement.now() >= now_ms() + HOUR);
	assert_eq!(state(&mut enforcement, "203.0.113.9"), control::State::Free, "it is over by the chain's clock");
}

#[test]
fn a_household_file_that_makes_no_sense_is_put_aside() {
	let directory = tempfile::tempdir().unwrap();
	std::fs::write(directory.path().join(overrides::FILE), "{").unwrap();
	let mut enforcement = open(directory.path(), None);
	assert!(matches!(enforcement.answer(Request::Overrides), Answer::Overrides(list) if list.is_empty()));
	assert!(directory.path().join("overrides.json.corrupt").exists());
}

#[test]
fn a_store_of_another_history_is_dropped() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	let (mut one, mut other) = (Chain::default(), Chain::default());
	one.tell(ChangeKind::Activated(decision("203.0.113.9", HOUR)));
	other.tell(ChangeKind::Activated(decision("203.0.113.10", HOUR)));
	apply(&mut enforcement, &one.frame(1));
	let forked = enforcement.apply(&other.frame(1));
	assert_eq!(enforcement.or_anew(forked).unwrap(), Flow::Again);
	assert_eq!((enforcement.cursor(), enforcement.due()), (Cursor::START, Due::Snapshot));
}

#[test]
fn what_a_provider_says_beyond_its_bound_does_not_keep_the_chains_word_out() {
	let directory = tempfile::tempdir().unwrap();
	let (chain, _, tier) = provider_and_chain(directory.path());
	let mut enforcement = open(directory.path(), Some(tier));
	for n in 0..store::MAX_TIER {
		let [.., a, b] = (n as u32).to_be_bytes();
		enforcement.store.put_tier(decision(&format!("198.18.{a}.{b}"), HOUR)).unwrap();
	}
	apply(&mut enforcement, &chain.frame(1));
	assert_eq!(enforcement.cursor().seq, 2);
	assert_eq!(state(&mut enforcement, "203.0.113.20"), control::State::Free, "there is no room for it");
	assert_eq!(state(&mut enforcement, "203.0.113.9"), control::State::Blocked);
}

#[test]
fn a_clock_that_stands_before_a_snapshots_block_gives_no_block_more_time() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	let (mut chain, active) = (Chain::default(), decision("203.0.113.9", HOUR));
	chain.tell(ChangeKind::Activated(active.clone()));
	snapshot(&mut enforcement, chain.proven().made(now_ms() + 2 * HOUR), &[active]).unwrap();
	for _ in 0..2 {
		assert!(enforcement.store.clock() > now_ms() + HOUR);
		assert_eq!(state(&mut enforcement, "203.0.113.9"), control::State::Free, "it is over by the chain's clock");
		drop(enforcement);
		enforcement = open(directory.path(), None);
	}
}

#[test]
fn what_the_kernel_did_not_take_is_given_to_it_anew() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	enforcement.memorize(|state| state.lists = Some([1; 32]));
	let refused: Result<(), _> = enforcement.mind(Err(FrameError::BrokenChain(7).into()));
	assert!(refused.is_err() && enforcement.mend_at.is_none(), "nothing of it was taken in");
	let failed: Result<(), _> = enforcement.mind(Err(FirewallError::Gone.into()));
	assert!(failed.is_err() && enforcement.mend_at.is_some());
	let lists = enforcement.setup.memory.read(|state| state.lists);
	assert_eq!(lists, None, "should this process die before, the next one does it");
}

#[test]
fn what_the_kernel_holds_outlives_a_damaged_store_and_a_restart() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	enforcement.memorize(|state| state.lists = Some([1; 32]));
	let damaged = Err(enforcement.store.disowned().into());
	assert_eq!(enforcement.or_anew(damaged).unwrap(), Flow::Again);
	let lists = enforcement.setup.memory.read(|state| state.lists);
	assert_eq!(lists, Some([1; 32]), "else an empty store would be put in its place");
	assert_eq!(enforcement.due(), Due::Snapshot);
}

#[test]
fn after_a_dry_run_the_table_that_was_left_before_it_is_filled_anew() {
	let directory = tempfile::tempdir().unwrap();
	let memory = Memory::new(Journal::open(directory.path()).unwrap());
	memory.change(|state| state.lists = Some([1; 32])).unwrap();
	drop(memory);
	let enforcement = open(directory.path(), None);
	assert_eq!(enforcement.setup.memory.read(|state| state.lists), None);
}

#[test]
fn a_table_that_was_filled_before_the_household_spoke_is_not_taken_for_what_it_wants() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	let before = enforcement.lists();
	enforcement.answer(Request::Allow { network: network("203.0.113.9"), for_ms: None, dispute: false });
	assert_eq!(enforcement.lists(), before, "the allowed are set at each start");
	enforcement.answer(Request::Block { network: network("203.0.113.9"), for_ms: None });
	assert_ne!(enforcement.lists(), before);
	enforcement.answer(Request::Forget { network: network("203.0.113.9") });
	assert_eq!(enforcement.lists(), before);
}

#[test]
fn several_protections_at_once_each_keep_out_what_they_overlap() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	let mut chain = Chain::default();
	for peer in ["203.0.113.9", "198.18.0.9", "198.19.0.9"] {
		chain.tell(ChangeKind::Activated(decision(peer, HOUR)));
	}
	for shielded in ["203.0.113.0/24", "198.18.0.0/24"] {
		chain.tell(ChangeKind::Protected(network(shielded)));
	}
	apply(&mut enforcement, &chain.frame(1));
	assert_eq!(state(&mut enforcement, "203.0.113.9"), control::State::Protected);
	assert_eq!(state(&mut enforcement, "198.18.0.9"), control::State::Protected);
	assert_eq!(state(&mut enforcement, "198.19.0.9"), control::State::Blocked);
}

#[test]
fn who_does_not_wait_for_the_answer_changes_nothing() {
	let directory = tempfile::tempdir().unwrap();
	let mut enforcement = open(directory.path(), None);
	let (reply, answer) = oneshot::channel();
	drop(answer);
	enforcement.carry_out(Order::Person(Request::Block { network: network("203.0.113.9"), for_ms: None }, reply));
	assert!(matches!(enforcement.answer(Request::Overrides), Answer::Overrides(list) if list.is_empty()));
}
