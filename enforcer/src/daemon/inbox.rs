//! A provider's side of tier 1: its subscribers' letters in, own reports, answers and work for a person out.
//!
//! A promotion goes out at once; so that answers do not betray which letter it came from, they go out together, at a pace
//! of their own and sorted by name.
//!
//! # Security considerations
//!
//! Subscribers write what they like, and the node says who wrote it: the chain lets nobody send in another's name, but a
//! node that lies can, so an inbox belongs beside a node of the provider's own. Each letter is decided on once; one
//! household's letters are held to a rate of their own, below that of all; and all memory is bounded.

use super::{
	chain::{ChainError, Connection},
	excerpt,
	household::LETTER_AGE,
	letter, now_ms,
	seen::Seen,
	sense::open_call,
	status::Board,
	submit::{Call, Job, Submitter},
	tray::{Answer, Item, Tray, TrayError},
};
use crate::core::{
	envelope::{self, AnswerKey, Context, Keypair, Sender},
	hex,
	inbox::{InboxPolicy, Verdict},
	report::{Bucket, Recent, Report, Settings},
	vet::Lists,
};
use ringfence_primitives::{
	call::MAX_ANSWERS,
	envelope::{AnswerToken, Letter, Outcome},
	AccountBytes, Digest, Millis,
};
use std::{
	collections::{HashMap, VecDeque},
	sync::Arc,
	time::Duration,
};
use tokio::time::{sleep_until, Instant};
use tracing::{debug, info, warn};

/// Answers that are remembered, in case the chain does not get them.
const REMEMBERED: usize = 65_536;
/// Answers that wait to be sent at most: others are given when their letters are shown again.
const MAX_ANSWERS_WAITING: usize = 16_384;
/// Milliseconds, beyond two batches of answers, after which an answer that the chain has not got is given again.
const AGAIN: Millis = 60_000;
/// Milliseconds before a letter that could not be opened is tried again.
const UNREADABLE_AGAIN: Millis = 600_000;
/// Households whose rates are kept apart at a time.
const MAX_HOUSEHOLDS: usize = 10_000;
/// Lines about letters that are none, a minute.
const COMPLAINTS: u32 = 60;

/// How a provider deals with letters.
pub struct Rules {
	/// When a report becomes the provider's own.
	pub policy: InboxPolicy,
	/// What its own reports ask for.
	pub settings: Settings,
	/// Whether they are to be acted on before they are confirmed.
	pub provisional: bool,
	/// Its lists.
	pub lists: Arc<Lists>,
	/// Where what was accepted counts as seen, for its votes.
	pub seen: Seen,
}

/// Holds promotions to their rates.
struct Valve {
	all: Bucket,
	per_household: u32,
	households: HashMap<AccountBytes, Bucket>,
	recent: Recent,
}

/// Whether a promotion goes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Passage {
	/// It does.
	Free,
	/// The provider has reported the same a short while ago.
	Repeated,
	/// There were too many.
	Held,
}

impl Valve {
	fn new(policy: &InboxPolicy, repeat_after: Millis) -> Self {
		Self {
			all: Bucket::new(policy.per_minute),
			per_household: policy.per_household,
			households: HashMap::new(),
			recent: Recent::new(repeat_after),
		}
	}

	fn pass(&mut self, household: AccountBytes, id: Digest, now: Millis) -> Passage {
		if self.recent.contains(&id, now) {
			return Passage::Repeated;
		}
		if self.households.len() >= MAX_HOUSEHOLDS && !self.households.contains_key(&household) {
			// A bucket is full again after a minute at most, so forgetting them all gives little away.
			self.households.clear();
		}
		let own = self.households.entry(household).or_insert_with(|| Bucket::new(self.per_household));
		if !own.take(now) || !self.all.take(now) {
			return Passage::Held;
		}
		self.recent.insert(id, now);
		Passage::Free
	}
}

/// The answers given, oldest first, and those that wait to be sent.
#[derive(Default)]
struct Answers {
	given: HashMap<Digest, (AnswerToken, Millis)>,
	order: VecDeque<Digest>,
	waiting: Vec<(Digest, AnswerToken)>,
}

impl Answers {
	fn give(&mut self, Answer { letter, token }: Answer, now: Millis) {
		if self.given.insert(letter, (token, now)).is_none() {
			self.order.push_back(letter);
		}
		while self.order.len() > REMEMBERED {
			if let Some(oldest) = self.order.pop_front() {
				self.given.remove(&oldest);
			}
		}
		self.queue(letter, token);
	}

	fn queue(&mut self, letter: Digest, token: AnswerToken) {
		if self.waiting.len() < MAX_ANSWERS_WAITING {
			self.waiting.push((letter, token));
		}
	}

	/// Whether the letter was answered already. If that is more than `patience` ago and it is shown all the same, the
	/// chain has not got the answer: it is given again.
	fn knows(&mut self, letter: &Digest, now: Millis, patience: Millis) -> bool {
		let Some((token, at)) = self.given.get_mut(letter) else { return false };
		if now.saturating_sub(*at) > patience {
			*at = now;
			let token = *token;
			self.queue(*letter, token);
		}
		true
	}

	/// What waits to be sent, sorted so that the order tells nothing, in batches that a call can hold.
	fn take(&mut self) -> Vec<Vec<(Digest, AnswerToken)>> {
		let mut waiting = std::mem::take(&mut self.waiting);
		waiting.sort_unstable();
		waiting.chunks(MAX_ANSWERS as usize).map(<[_]>::to_vec).collect()
	}
}

/// A provider's inbox.
pub struct Inbox {
	member: AccountBytes,
	keypair: Keypair,
	rules: Rules,
	tray: Tray,
	submitter: Submitter,
	board: Arc<Board>,
	valve: Valve,
	answers: Answers,
	unreadable: Recent,
	complaints: Bucket,
	/// When answers are sent next.
	next: Instant,
}

impl Inbox {
	/// The inbox of `member`, whichever of its keys the submitter signs with. Letters are opened with `keypair`.
	pub fn new(
		member: AccountBytes,
		keypair: Keypair,
		rules: Rules,
		tray: Tray,
		submitter: Submitter,
		board: Arc<Board>,
	) -> Self {
		let valve = Valve::new(&rules.policy, rules.settings.repeat_after);
		let mut inbox = Self {
			member,
			keypair,
			rules,
			tray,
			submitter,
			board,
			valve,
			answers: Answers::default(),
			unreadable: Recent::new(UNREADABLE_AGAIN),
			complaints: Bucket::new(COMPLAINTS),
			next: Instant::now(),
		};
		inbox.schedule();
		inbox
	}

	fn schedule(&mut self) {
		self.next = Instant::now() + Duration::from_millis(self.rules.policy.answer_every);
	}

	/// Deals with letters for as long as the connection holds.
	pub async fn follow(&mut self, connection: &Connection) -> ChainError {
		loop {
			let mut letters = match connection.letters(&self.member).await {
				Ok(letters) => letters,
				Err(error) => return error,
			};
			loop {
				tokio::select! {
					item = letters.next() => match item {
						Some(Ok(texts)) => texts.iter().for_each(|text| self.receive(text, connection.genesis)),
						Some(Err(cause)) => self.complain("not a list of letters", &cause.to_string()),
						None => break,
					},
					() = sleep_until(self.next) => {
						self.send_answers();
						self.schedule();
					}
				}
			}
			// What is not answered is sent again to a new subscription.
			if !letters.lagged() {
				return ChainError::Closed;
			}
		}
	}

	fn receive(&mut self, text: &str, genesis: Digest) {
		let Some(letter) = letter(text, &self.member) else { return self.complain("not a letter", text) };
		let (name, now) = (letter.name(), now_ms());
		let patience = AGAIN.saturating_add(self.rules.policy.answer_every.saturating_mul(2));
		if self.tray.holds(&name) || self.unreadable.contains(&name, now) || self.answers.knows(&name, now, patience) {
			return;
		}
		let Letter { from, to, envelope } = letter;
		let context = Context { genesis, from, to };
		match envelope::open(&self.keypair, Sender::Signed, &context, &envelope, now, LETTER_AGE) {
			Ok((message, key)) => {
				let Rules { policy, settings, lists, .. } = &self.rules;
				let verdict = policy.judge(&message.body, &from, settings, lists);
				let item = Item { letter: name, from, at: now, body: message.body, answer_key: key.to_bytes() };
				self.act(verdict, item, &key, now);
			}
			Err(cause) => {
				self.unreadable.insert(name, now);
				self.board.update(|status| status.counts.unreadable += 1);
				self.complain(&cause.to_string(), &hex::encode(&name));
			}
		}
	}

	fn act(&mut self, verdict: Verdict, item: Item, key: &AnswerKey, now: Millis) {
		let id = hex::encode(&item.letter);
		let outcome = match verdict {
			Verdict::Dismiss(why) => {
				info!(at = now, id, why, "dismissed");
				Outcome::Dismissed
			}
			Verdict::Promote(report) => match self.valve.pass(item.from, report.id, now) {
				Passage::Free => {
					self.rules.seen.saw(&report.indicator, now);
					self.promote(*report, now);
					Outcome::Promoted
				}
				Passage::Repeated => {
					self.rules.seen.saw(&report.indicator, now);
					Outcome::Promoted
				}
				// The node shows it again, perhaps in a quieter minute.
				Passage::Held => {
					debug!(id, "too many promotions a minute");
					return self.board.update(|status| status.counts.suppressed += 1);
				}
			},
			Verdict::Leave => {
				match self.tray.add(&item) {
					Ok(()) => {
						info!(at = now, id, "left to a person");
						self.board.update(|status| {
							status.counts.letters += 1;
							status.counts.left += 1;
						});
					}
					Err(TrayError::Full) => self.complain("too many letters wait for a person", &id),
					Err(cause) => self.complain("not kept for a person", &cause.to_string()),
				}
				return;
			}
		};
		self.board.update(|status| status.counts.letters += 1);
		self.answers.give(Answer { letter: item.letter, token: key.token(outcome) }, now);
	}

	fn promote(&mut self, Report { id, indicator, terms }: Report, now: Millis) {
		info!(at = now, id = hex::encode(&id), %indicator, "promoted");
		self.board.update(|status| status.counts.promoted += 1);
		self.submitter.submit(Job { id, call: open_call(self.rules.provisional, indicator, terms) });
	}

	fn send_answers(&mut self) {
		match self.tray.take_answers() {
			Ok(answers) => answers.into_iter().for_each(|answer| self.answers.give(answer, now_ms())),
			Err(cause) => warn!(at = now_ms(), %cause, "what a person answered cannot be read"),
		}
		for batch in self.answers.take() {
			let Some((id, _)) = batch.first().copied() else { continue };
			self.board.update(|status| status.counts.answered += batch.len() as u64);
			self.submitter.submit(Job { id, call: Call::Answer(batch) });
		}
	}

	fn complain(&mut self, cause: &str, about: &str) {
		if self.complaints.take(now_ms()) {
			warn!(at = now_ms(), cause = excerpt(cause), about = excerpt(about), "letter passed over");
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::daemon::{secrets, submit::QUEUE};
	use codec::Encode;
	use ringfence_primitives::{
		envelope::{Body, Message},
		Action, Confidence, Direction, Indicator, Lifetime, Network, Note, Severity, Terms, ThreatClass, Tlp,
	};
	use sp_core::Pair;
	use tokio::sync::watch;

	const GENESIS: Digest = [7; 32];
	const PROVIDER: AccountBytes = [2; 32];

	struct Fixture {
		inbox: Inbox,
		// The queue is open as long as its task is.
		_task: Box<dyn std::any::Any>,
		directory: tempfile::TempDir,
	}

	fn fixture() -> Fixture {
		let directory = tempfile::tempdir().unwrap();
		let board = Arc::new(Board::default());
		let (_links, receiver) = watch::channel(None);
		let (submitter, task) = Submitter::new(sp_core::sr25519::Pair::from_seed(&[1; 32]), receiver, board.clone());
		let rules = Rules {
			policy: InboxPolicy {
				promote_min_confidence: Confidence::new(50).unwrap(),
				promote_min_severity: Severity::Medium,
				per_minute: 3,
				per_household: 2,
				answer_every: 60_000,
				defended: Vec::new(),
			},
			settings: Settings {
				confidence: Confidence::new(80).unwrap(),
				spoofable_confidence: Confidence::new(30).unwrap(),
				lifetime: Lifetime::new(3_600).unwrap(),
				tlp: Tlp::Green,
				action: Action::Drop,
				direction: Direction::Both,
				per_minute: 30,
				repeat_after: 600_000,
			},
			provisional: false,
			lists: Arc::new(Lists { protected: vec!["192.0.2.0/24".parse().unwrap()], ..Lists::default() }),
			seen: Seen::default(),
		};
		let tray = Tray::open(directory.path()).unwrap();
		let inbox = Inbox::new(PROVIDER, Keypair::from_seed([9; 32]), rules, tray, submitter, board);
		Fixture { inbox, _task: Box::new(task), directory }
	}

	/// A household's report of `peer`, as the node writes it.
	fn letter_about(household: u8, peer: &str, confidence: u8) -> String {
		let terms = Terms {
			threat: ThreatClass::Botnet,
			severity: Severity::High,
			confidence: Confidence::new(confidence).unwrap(),
			direction: Direction::Both,
			action: Action::Drop,
			tlp: Tlp::Green,
			lifetime: Lifetime::new(60).unwrap(),
			evidence: None,
			note: Note::default(),
		};
		letter_that_says(household, Body::Report(peer.parse::<Network>().unwrap().into(), terms))
	}

	/// A household's letter, as the node writes it.
	fn letter_that_says(household: u8, body: Body) -> String {
		let context = Context { genesis: GENESIS, from: [household; 32], to: PROVIDER };
		let message = Message { at: now_ms(), body };
		let key = Keypair::from_seed([9; 32]).public();
		let (envelope, _) = envelope::seal(&mut secrets(), &key, Sender::Signed, &context, &message).unwrap();
		hex::encode(&Letter { from: context.from, to: PROVIDER, envelope }.encode())
	}

	impl Fixture {
		fn receive(&mut self, text: &str) {
			self.inbox.receive(text, GENESIS);
		}

		/// Promoted, left to a person, not opened, held back; and answers that wait.
		fn counts(&self) -> ([u64; 4], usize) {
			let counts = self.inbox.board.snapshot().counts;
			let counts = [counts.promoted, counts.left, counts.unreadable, counts.suppressed];
			(counts, self.inbox.answers.waiting.len())
		}
	}

	#[test]
	fn each_letter_is_decided_on_once() {
		let mut fixture = fixture();
		let (sure, doubtful) = (letter_about(3, "203.0.113.9", 80), letter_about(3, "203.0.113.10", 30));
		for _ in 0..3 {
			fixture.receive(&sure);
			fixture.receive(&doubtful);
		}
		assert_eq!(fixture.counts(), ([1, 1, 0, 0], 1));
	}

	#[test]
	fn a_dispute_is_left_to_a_person() {
		let mut fixture = fixture();
		fixture.receive(&letter_that_says(3, Body::Dispute([5; 32])));
		assert_eq!(fixture.counts(), ([0, 1, 0, 0], 0));
		let items = fixture.inbox.tray.items().unwrap();
		assert_eq!(items.iter().map(|item| &item.body).collect::<Vec<_>>(), [&Body::Dispute([5; 32])]);
	}

	#[test]
	fn what_two_households_see_is_promoted_once_and_answered_twice() {
		let mut fixture = fixture();
		fixture.receive(&letter_about(3, "203.0.113.9", 80));
		fixture.receive(&letter_about(4, "203.0.113.9", 90));
		assert_eq!(fixture.counts(), ([1, 0, 0, 0], 2));
	}

	#[test]
	fn what_was_accepted_counts_as_seen_and_nothing_else() {
		let mut fixture = fixture();
		for (peer, confidence) in [("203.0.113.9", 80), ("203.0.113.10", 30), ("192.0.2.9", 80)] {
			fixture.receive(&letter_about(3, peer, confidence));
		}
		let seen = |peer: &str| {
			let indicator = Indicator::from(peer.parse::<Network>().unwrap());
			fixture.inbox.rules.seen.ago(&indicator, now_ms()).is_some()
		};
		assert!(seen("203.0.113.9") && !seen("203.0.113.10") && !seen("192.0.2.9"));
	}

	#[test]
	fn one_household_cannot_take_up_what_all_may_promote() {
		let mut fixture = fixture();
		for host in 1..=5 {
			fixture.receive(&letter_about(3, &format!("203.0.113.{host}"), 80));
		}
		assert_eq!(fixture.counts(), ([2, 0, 0, 3], 2));
		fixture.receive(&letter_about(4, "203.0.113.9", 80));
		assert_eq!(fixture.counts(), ([3, 0, 0, 3], 3));
	}

	#[test]
	fn what_is_not_for_this_inbox_changes_nothing() {
		let mut fixture = fixture();
		let mut forged = hex::decode(&letter_about(3, "203.0.113.9", 80)).unwrap();
		forged[0] ^= 1;
		for text in ["", "0x", "0x00", "letter", &hex::encode(&forged), &hex::encode(&forged)] {
			fixture.receive(text);
		}
		assert_eq!(fixture.counts(), ([0, 0, 1, 0], 0), "another sender is noticed, once");
	}

	#[test]
	fn what_overlaps_an_own_network_is_dismissed() {
		let mut fixture = fixture();
		fixture.receive(&letter_about(3, "192.0.2.9", 100));
		assert_eq!(fixture.counts(), ([0, 0, 0, 0], 1));
	}

	#[test]
	fn answers_go_out_together_and_sorted() {
		let mut answers = Answers::default();
		for number in (0..300_u16).rev() {
			let mut letter = [0; 32];
			letter[..2].copy_from_slice(&number.to_be_bytes());
			answers.give(Answer { letter, token: [1; 32] }, 0);
		}
		let batches = answers.take();
		assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [256, 44]);
		assert!(batches.concat().is_sorted());
		assert!(answers.take().is_empty());
	}

	#[test]
	fn an_answer_that_the_chain_has_not_got_is_given_again() {
		let mut answers = Answers::default();
		answers.give(Answer { letter: [1; 32], token: [2; 32] }, 1_000);
		answers.take();
		assert!(answers.knows(&[1; 32], 2_000, 5_000));
		assert!(answers.take().is_empty());
		assert!(answers.knows(&[1; 32], 6_001, 5_000));
		assert_eq!(answers.take(), [vec![([1; 32], [2; 32])]]);
		assert!(!answers.knows(&[3; 32], 6_001, 5_000));
	}

	#[test]
	fn what_a_person_settled_is_answered_with_the_rest() {
		let mut fixture = fixture();
		fixture.receive(&letter_about(3, "203.0.113.10", 30));
		let item = fixture.inbox.tray.items().unwrap().remove(0);
		Tray::open(fixture.directory.path()).unwrap().settle(&item.letter, Outcome::Dismissed).unwrap();
		assert_eq!(fixture.counts().1, 0);
		fixture.inbox.send_answers();
		let counts = fixture.inbox.board.snapshot().counts;
		assert_eq!((counts.answered, counts.refused), (1, 0), "there is room for {QUEUE} calls");
	}
}
