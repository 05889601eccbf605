//! Signs and submits what the enforcer has to say, in order, for one account.
//!
//! One task owns the account and its nonce. What a transaction needs is at hand before there is anything to submit: the
//! nonce is kept locally, and the connection keeps the runtime's version and the newest block that was proven final. Only
//! where that is minutes old, one more round trip asks for a newer one: a gateway at rest asks for nothing. Each
//! transaction is watched in a task of its own until a block has it; one that the pool or the chain lost is tried again with
//! everything fetched anew, at most [`RETRIES`] times.
//!
//! "Included" says that a block has the transaction, not that the call succeeded: an indicator that somebody else
//! reported a moment earlier, say, is included and refused by the pallet. A report that was not taken as a provisional
//! one, because the member is not in good standing, say, is made once more as an ordinary one.

use super::{
	chain::{ChainError, Connection, Refusal, Subscription, TransactionStatus},
	now_ms,
	status::Board,
};
use crate::core::{extrinsic, hex};
use ringfence_primitives::{
	call,
	envelope::{AnswerToken, Envelope, EnvelopeKey, Sealed},
	AccountBytes, After, Ballot, Digest, Indicator, Terms,
};
use sp_core::{
	crypto::{Ss58AddressFormat, Ss58Codec},
	sr25519, Pair,
};
use std::{sync::Arc, time::Duration};
use tokio::{
	sync::{mpsc, oneshot, watch},
	time::{sleep, timeout_at, Instant},
};
use tracing::{debug, info, warn};

/// Calls that wait at most, such as while no node can be reached.
pub const QUEUE: usize = 1_024;
/// Times that a call is tried again.
pub const RETRIES: u32 = 4;
/// The prefix of addresses on this chain, for the only call that wants one.
const SS58_PREFIX: u16 = 42;
/// Time for a transaction to get into a block: longer than the 64 blocks for which the chain lets it wait.
const PATIENCE: Duration = Duration::from_secs(45);
/// Time for which a call waits for quota: two windows of the chain's.
pub const PATIENCE_QUOTA: Duration = Duration::from_secs(120);
/// How often it is tried meanwhile.
pub const PAUSE_QUOTA: Duration = Duration::from_secs(5);
/// Time for one that waits for a lower nonce: it will hardly come.
const PATIENCE_FUTURE: Duration = Duration::from_secs(6);

/// What to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
	/// Report the indicator.
	Report(Box<(Indicator, Terms)>),
	/// Report the indicator, and have it acted on before it is confirmed.
	Provisional(Box<(Indicator, Terms)>),
	/// Report several indicators under the same terms: [`call::MAX_BATCH`] at most.
	ReportBatch(Box<(Terms, Vec<Indicator>)>),
	/// Vote on indicators: [`call::MAX_BATCH`] at most.
	Vote {
		/// What is said of each.
		ballots: Vec<Ballot>,
		/// What they come after.
		after: Option<After>,
	},
	/// Take the own report back.
	Withdraw,
	/// Say that the indicator should not be active.
	Dispute,
	/// Send an envelope to a member of the own tier.
	Send {
		/// Who can open it.
		to: AccountBytes,
		/// The envelope.
		envelope: Envelope,
	},
	/// Answer letters, by their names: [`call::MAX_ANSWERS`] at most.
	Answer(Vec<(Digest, AnswerToken)>),
	/// Tell the own subscribers something that only they can read.
	Announce(Sealed),
	/// Name the key that envelopes to this member are sealed to.
	SetEnvelopeKey(EnvelopeKey),
	/// Set the owner's whitelist.
	SetWhitelist(Envelope),
}

impl Call {
	/// Its name in the log.
	pub const fn name(&self) -> &'static str {
		match self {
			Self::Report(_) => "report",
			Self::Provisional(_) => "report_provisionally",
			Self::ReportBatch(_) => "report_batch",
			Self::Vote { .. } => "vote",
			Self::Withdraw => "withdraw",
			Self::Dispute => "dispute",
			Self::Send { .. } => "send",
			Self::Answer(_) => "answer",
			Self::Announce(_) => "announce",
			Self::SetEnvelopeKey(_) => "set_envelope_key",
			Self::SetWhitelist(_) => "set_whitelist",
		}
	}

	fn encode(&self, id: &Digest) -> Vec<u8> {
		match self {
			Self::Report(report) => call::report(&report.0, &report.1),
			Self::Provisional(report) => call::report_provisionally(&report.0, &report.1),
			Self::ReportBatch(reports) => call::report_batch(&reports.0, &reports.1),
			Self::Vote { ballots, after } => match ballots[..] {
				[ballot] => call::vote(ballot, *after),
				_ => call::vote_batch(ballots, *after),
			},
			Self::Withdraw => call::withdraw(id),
			Self::Dispute => call::dispute(id),
			Self::Send { to, envelope } => call::send(to, envelope),
			Self::Answer(answers) => call::answer(answers),
			Self::Announce(sealed) => call::announce(sealed),
			Self::SetEnvelopeKey(key) => call::set_envelope_key(key),
			Self::SetWhitelist(envelope) => call::set_whitelist(envelope),
		}
	}
}

/// One call, and what it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
	/// The name of the indicator, also of one that goes in an envelope; of a batch, that of its first item; of anything
	/// else, that of the envelope. By it the log's lines about one thing are found.
	pub id: Digest,
	/// What to say about it.
	pub call: Call,
}

#[derive(Debug)]
struct Attempt {
	job: Job,
	/// Attempts that failed before this one.
	made: u32,
	/// When it was queued.
	since: Instant,
	/// Who is told once a block has it; dropped where it is given up.
	told: Option<oneshot::Sender<()>>,
}

impl Attempt {
	/// Whether it is still to be made: who would be told has not stopped listening.
	fn is_wanted(&self) -> bool {
		self.told.as_ref().is_none_or(|told| !told.is_closed())
	}
}

/// A node to submit to.
#[derive(Clone, Debug)]
pub struct Link {
	/// The connection.
	pub connection: Arc<Connection>,
}

/// Puts calls into the queue.
#[derive(Clone, Debug)]
pub struct Submitter {
	queue: mpsc::Sender<Attempt>,
	board: Arc<Board>,
}

impl Submitter {
	/// A handle, and the task behind it, which runs until the last handle is gone.
	pub fn new(
		pair: sr25519::Pair,
		links: watch::Receiver<Option<Link>>,
		board: Arc<Board>,
	) -> (Self, impl std::future::Future<Output = ()>) {
		let (queue, attempts) = mpsc::channel(QUEUE);
		let submitter = Self { queue, board };
		let account = Account { address: address(&pair), pair, nonce: None };
		let task = serve(account, attempts, submitter.queue.downgrade(), links, submitter.board.clone());
		(submitter, task)
	}

	/// Queues a call. Never waits: where the queue is full the call is refused, in the log.
	pub fn submit(&self, job: Job) {
		self.queue(job, None);
	}

	/// Queues a call, and tells once a block has it. An error: it was given up. Who drops the receiver takes the call back, as
	/// long as it has not been submitted.
	pub fn submit_and_tell(&self, job: Job) -> oneshot::Receiver<()> {
		let (told, arrived) = oneshot::channel();
		self.queue(job, Some(told));
		arrived
	}

	fn queue(&self, job: Job, told: Option<oneshot::Sender<()>>) {
		if let Err(full) = self.queue.try_send(Attempt { job, made: 0, since: Instant::now(), told }) {
			refuse(&self.board, &full.into_inner().job, "the queue is full");
		}
	}
}

/// An account's address, as nodes and wallets write it.
pub fn address(pair: &sr25519::Pair) -> String {
	pair.public().to_ss58check_with_version(Ss58AddressFormat::custom(SS58_PREFIX))
}

struct Account {
	pair: sr25519::Pair,
	address: String,
	/// The next nonce at the node that was asked last; None after any doubt.
	nonce: Option<u32>,
}

type Watched = Subscription<TransactionStatus>;

async fn serve(
	mut account: Account,
	mut attempts: mpsc::Receiver<Attempt>,
	queue: mpsc::WeakSender<Attempt>,
	mut links: watch::Receiver<Option<Link>>,
	board: Arc<Board>,
) {
	let mut known: Option<Arc<Connection>> = None;
	loop {
		// Another node knows another pool, and so perhaps another nonce. It is fetched now, not when there is a call.
		let link = links.borrow_and_update().clone();
		let new = link.filter(|link| known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &link.connection)));
		if let Some(link) = new {
			account.nonce = link.connection.next_nonce(&account.address).await.ok();
			known = Some(link.connection);
			continue;
		}
		// A call stays in the queue while there is no node to submit it to.
		let connected = links.borrow().is_some();
		let attempt = tokio::select! {
			changed = links.changed() => match changed {
				Ok(()) => continue,
				Err(_) => return,
			},
			attempt = attempts.recv(), if connected => attempt,
		};
		let Some(attempt) = attempt else { return };
		if !attempt.is_wanted() {
			debug!(id = hex::encode(&attempt.job.id), call = attempt.job.call.name(), "taken back");
			continue;
		}
		let Some(link) = links.borrow().clone() else {
			again(&queue, &board, attempt, "not connected".into());
			continue;
		};
		match account.submit(&link, &attempt).await {
			Ok(watched) => {
				let (id, call) = (hex::encode(&attempt.job.id), attempt.job.call.name());
				info!(at = now_ms(), id, call, "submitted");
				board.update(|status| status.counts.submitted += 1);
				tokio::spawn(watch_one(link.connection, watched, attempt, queue.clone(), board.clone()));
			}
			Err(error) => {
				account.nonce = None;
				match error {
					ChainError::Refused(refusal) if is_final(&refusal) => {
						refuse(&board, &attempt.job, &refusal.to_string())
					}
					ChainError::Refused(refusal) if is_quota(&refusal) => {
						if attempt.since.elapsed() < PATIENCE_QUOTA {
							later(&queue, &board, attempt, PAUSE_QUOTA, refusal.to_string());
						} else {
							refuse(&board, &attempt.job, "the quota is spent");
						}
					}
					error => again(&queue, &board, attempt, error.to_string()),
				}
			}
		}
	}
}

impl Account {
	async fn submit(&mut self, link: &Link, attempt: &Attempt) -> Result<Watched, ChainError> {
		let Link { connection } = link;
		let anchor = if attempt.made == 0 { connection.anchor().await? } else { connection.anchor_anew().await? };
		let nonce = match self.nonce {
			Some(nonce) if attempt.made == 0 => nonce,
			_ => connection.next_nonce(&self.address).await?,
		};
		let call = attempt.job.call.encode(&attempt.job.id);
		let watched = connection.submit(&extrinsic::sign(&self.pair, &call, nonce, &anchor)).await?;
		self.nonce = nonce.checked_add(1);
		Ok(watched)
	}
}

/// Why a single call did not get through.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
	/// The node, or the way to it.
	#[error(transparent)]
	Chain(#[from] ChainError),
	/// The runtime refuses the call.
	#[error("the chain refuses it: {0}")]
	Refused(String),
	/// No block took the transaction.
	#[error("{0}")]
	Lost(&'static str),
}

/// What may get a call through that did not get through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remedy {
	/// Fewer items in one call: these are more than the account's whole quota.
	Fewer,
	/// The next window's quota.
	Wait,
	/// Another attempt.
	Again,
	/// Nothing.
	Nothing,
}

impl OnceError {
	/// What may help.
	pub fn remedy(&self) -> Remedy {
		match self {
			Self::Chain(ChainError::Refused(refusal)) if is_too_much(refusal) => Remedy::Fewer,
			Self::Chain(ChainError::Refused(refusal)) if is_quota(refusal) => Remedy::Wait,
			Self::Chain(ChainError::Refused(refusal)) if is_final(refusal) => Remedy::Nothing,
			Self::Chain(ChainError::Refused(_)) | Self::Lost(_) => Remedy::Again,
			Self::Chain(_) | Self::Refused(_) => Remedy::Nothing,
		}
	}
}

/// Makes one call and waits for the block that takes it; its hash. What the runtime would refuse is not submitted.
pub async fn once(connection: &Connection, pair: &sr25519::Pair, job: &Job) -> Result<String, OnceError> {
	let anchor = connection.anchor().await?;
	let nonce = connection.next_nonce(&address(pair)).await?;
	let transaction = extrinsic::sign(pair, &job.call.encode(&job.id), nonce, &anchor);
	// A node that will not try it out is no reason not to try.
	let answer = connection.try_out(&transaction).await.unwrap_or_default();
	if let Some(cause) = extrinsic::dispatch_error(&answer) {
		return Err(OnceError::Refused(cause));
	}
	match outcome(&mut connection.submit(&transaction).await?).await {
		Outcome::Included(block) => Ok(block),
		Outcome::Lost(cause) => Err(OnceError::Lost(cause)),
	}
}

/// Whether trying again is pointless: the runtime does not let this account make this call.
fn is_final(refusal: &Refusal) -> bool {
	/// The node's code for transactions that are invalid.
	const INVALID: i32 = 1010;
	const REASONS: [&str; 3] = ["Custom error", "Invalid signing address", "call is not expected"];
	refusal.code == INVALID && REASONS.iter().any(|reason| refusal.message.contains(reason))
}

/// Whether the call alone is more than the account's quota ever is: the door's refusal 4.
fn is_too_much(refusal: &Refusal) -> bool {
	refusal.message.split_once("Custom error: ").is_some_and(|(_, code)| code.trim() == "4")
}

/// Whether the account has used up its quota, which the next window gives anew.
fn is_quota(refusal: &Refusal) -> bool {
	refusal.message.contains("exhaust the block limits")
}

/// How watching a transaction ended.
#[derive(Debug)]
enum Outcome {
	/// It is in the block of this hash.
	Included(String),
	/// It will not get into a block; why.
	Lost(&'static str),
}

async fn watch_one(
	connection: Arc<Connection>,
	mut watched: Watched,
	attempt: Attempt,
	queue: mpsc::WeakSender<Attempt>,
	board: Arc<Board>,
) {
	match outcome(&mut watched).await {
		Outcome::Included(block) => {
			let (id, call) = (hex::encode(&attempt.job.id), attempt.job.call.name());
			info!(at = now_ms(), id, call, block, "included");
			board.update(|status| status.counts.included += 1);
			let mut told = attempt.told;
			if let Call::Provisional(report) = attempt.job.call {
				if let Ok(None) = connection.dossier(&attempt.job.id).await {
					let job = Job { id: attempt.job.id, call: Call::Report(report) };
					let cause = "not taken as a provisional one".to_owned();
					// It has not arrived before that one has.
					let again = Attempt { job, made: 0, since: Instant::now(), told: told.take() };
					later(&queue, &board, again, Duration::ZERO, cause);
				}
			}
			if let Some(told) = told {
				// Who does not listen any more need not know.
				let _ = told.send(());
			}
		}
		Outcome::Lost(cause) => again(&queue, &board, attempt, cause.into()),
	}
}

async fn outcome(watched: &mut Watched) -> Outcome {
	let mut deadline = Instant::now() + PATIENCE;
	loop {
		let status = match timeout_at(deadline, watched.next()).await {
			Err(_) => return Outcome::Lost("no block took it in time"),
			Ok(None) => return Outcome::Lost("the connection was lost"),
			Ok(Some(Err(error))) => {
				debug!(%error, "unknown transaction status");
				continue;
			}
			Ok(Some(Ok(status))) => status,
		};
		match status {
			TransactionStatus::InBlock(block) => return Outcome::Included(block),
			TransactionStatus::Future => deadline = deadline.min(Instant::now() + PATIENCE_FUTURE),
			TransactionStatus::Ready => deadline = Instant::now() + PATIENCE,
			TransactionStatus::Usurped(_) => return Outcome::Lost("another transaction took its nonce"),
			TransactionStatus::Dropped => return Outcome::Lost("the node's pool is full"),
			TransactionStatus::Invalid => return Outcome::Lost("not valid any more"),
			TransactionStatus::Broadcast(_)
			| TransactionStatus::Retracted(_)
			| TransactionStatus::FinalityTimeout(_)
			| TransactionStatus::Finalized(_) => {}
		}
	}
}

/// Tries a call again in a while, or gives it up.
fn again(queue: &mpsc::WeakSender<Attempt>, board: &Arc<Board>, attempt: Attempt, cause: String) {
	if attempt.made >= RETRIES {
		return refuse(board, &attempt.job, &cause);
	}
	// At once, for a nonce that somebody else used; then 0.25 s, 1 s, 4 s: the next block, the next seconds, a last one.
	let pause = attempt.made.checked_sub(1).map_or(Duration::ZERO, |steps| Duration::from_millis(250 << (2 * steps)));
	later(queue, board, Attempt { made: attempt.made + 1, ..attempt }, pause, cause);
}

fn later(queue: &mpsc::WeakSender<Attempt>, board: &Arc<Board>, attempt: Attempt, pause: Duration, cause: String) {
	debug!(id = hex::encode(&attempt.job.id), call = attempt.job.call.name(), cause, "trying again");
	let (queue, board) = (queue.clone(), board.clone());
	tokio::spawn(async move {
		sleep(pause).await;
		// Without a handle left, the enforcer is stopping.
		let Some(queue) = queue.upgrade() else { return };
		if let Err(full) = queue.try_send(attempt) {
			refuse(&board, &full.into_inner().job, &cause);
		}
	});
}

fn refuse(board: &Board, job: &Job, cause: &str) {
	warn!(at = now_ms(), id = hex::encode(&job.id), call = job.call.name(), cause, "refused");
	board.update(|status| status.counts.refused += 1);
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_primitives::Vote;

	#[test]
	fn addresses_are_those_of_the_wallets() {
		let alice = sr25519::Pair::from_string("//Alice", None).unwrap();
		assert_eq!(address(&alice), "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
	}

	#[test]
	fn a_call_whose_receiver_is_dropped_is_taken_back() {
		let attempt = |told| Attempt {
			job: Job { id: [1; 32], call: Call::Answer(Vec::new()) },
			made: 0,
			since: Instant::now(),
			told,
		};
		let (told, arrived) = oneshot::channel();
		let with_receiver = attempt(Some(told));
		assert!(attempt(None).is_wanted() && with_receiver.is_wanted());
		drop(arrived);
		assert!(!with_receiver.is_wanted());
	}

	#[test]
	fn only_the_doors_own_refusals_are_final() {
		let refusal = |code, message: &str| is_final(&Refusal { code, message: message.into() });
		assert!(refusal(1010, "Invalid Transaction: Custom error: 3"));
		assert!(refusal(1010, "Invalid Transaction: Invalid signing address"));
		assert!(!refusal(1010, "Invalid Transaction: Transaction is outdated"));
		assert!(!refusal(1010, "Invalid Transaction: Transaction would exhaust the block limits"));
		assert!(is_quota(&Refusal {
			code: 1010,
			message: "Invalid Transaction: Transaction would exhaust the block limits".into()
		}));
		assert!(!refusal(1010, "Invalid Transaction: Transaction has a bad signature"));
		assert!(!refusal(1014, "Priority is too low: (1 vs 1)"));
		assert!(!refusal(1016, "Immediately Dropped"));
	}

	#[test]
	fn what_did_not_get_through_may_get_through_otherwise() {
		let refused =
			|message: &str| OnceError::Chain(ChainError::Refused(Refusal { code: 1010, message: message.into() }));
		for (error, remedy) in [
			(refused("Invalid Transaction: Custom error: 4"), Remedy::Fewer),
			(refused("Invalid Transaction: Custom error: 40"), Remedy::Nothing),
			(refused("Invalid Transaction: Custom error: 1"), Remedy::Nothing),
			(refused("Invalid Transaction: Transaction would exhaust the block limits"), Remedy::Wait),
			(refused("Invalid Transaction: Transaction is outdated"), Remedy::Again),
			(OnceError::Lost("no block took it in time"), Remedy::Again),
			(OnceError::Refused("error 2 of pallet 11".into()), Remedy::Nothing),
			(OnceError::Chain(ChainError::Closed), Remedy::Nothing),
		] {
			assert_eq!(error.remedy(), remedy, "{error}");
		}
	}

	#[test]
	fn every_call_goes_to_its_own_pallet() {
		let envelope = Envelope::default();
		for (call, place) in [
			(Call::Withdraw, [11, 2]),
			(Call::Dispute, [11, 6]),
			(
				Call::Vote { ballots: vec![Ballot { id: [2; 32], terms: [3; 32], vote: Vote::Reject }], after: None },
				[11, 1],
			),
			(Call::Vote { ballots: Vec::new(), after: None }, [11, 8]),
			(Call::Send { to: [1; 32], envelope: envelope.clone() }, [12, 0]),
			(Call::Answer(Vec::new()), [12, 1]),
			(Call::SetWhitelist(envelope), [12, 2]),
			(Call::Announce(Sealed::default()), [12, 3]),
			(Call::SetEnvelopeKey([1; 32]), [10, 10]),
		] {
			assert_eq!(call.encode(&[2; 32])[..2], place, "{}", call.name());
		}
	}

	#[tokio::test]
	async fn a_full_queue_refuses_and_counts() {
		let board = Arc::new(Board::default());
		let (_links, receiver) = watch::channel(None);
		let pair = sr25519::Pair::from_seed(&[1; 32]);
		let (submitter, _task) = Submitter::new(pair, receiver, board.clone());
		for _ in 0..QUEUE + 2 {
			submitter.submit(Job { id: [1; 32], call: Call::Withdraw });
		}
		assert_eq!(board.snapshot().counts.refused, 2);
	}
}
