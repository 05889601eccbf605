//! Reports on their way to the chain: `reports.jsonl` in the state directory holds those that no block has yet.
//!
//! The worst goes first. While there is no node they wait, also through a restart; what has waited for an hour is dropped, since
//! what was true then may not be any more. A report is sealed, where it has to be, only when it is handed to the submitter, so
//! that no envelope is stale when it gets there.

use super::{
	now_ms,
	sense::Outlet,
	state::{self, StateError},
	status::Board,
	submit::{Job, Link, Submitter},
};
use crate::core::{hex, report::Report};
use codec::{DecodeAll, Encode};
use ringfence_primitives::{Digest, Indicator, Millis, Terms};
use serde::{Deserialize, Serialize};
use std::{
	collections::BTreeMap,
	path::{Path, PathBuf},
	sync::Arc,
	time::Duration,
};
use tokio::{
	sync::{mpsc, watch},
	task::{spawn_blocking, JoinSet},
	time::{sleep, timeout},
};
use tracing::{info, warn};

const FILE: &str = "reports.jsonl";
/// Reports that wait at most; of more, the mildest and oldest is dropped.
const CAPACITY: usize = 4_096;
/// Reports that are handed over before the first of them is in a block.
const IN_FLIGHT: usize = 64;
/// Reports that wait to be written down.
const QUEUE: usize = 1_024;
/// Milliseconds after which a report is dropped.
const STALE: Millis = 3_600_000;
/// Pause before a report is tried again that the submitter gave up, and how often that is done.
const PAUSE: Duration = Duration::from_secs(30);
const TRIES: u32 = 5;
/// How often what has waited too long is looked for.
const LOOK: Duration = Duration::from_secs(30);

/// A report that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Waiting {
	report: Report,
	/// When it was made.
	at: Millis,
	tries: u32,
}

/// Its line in the file: the indicator and the terms, SCALE-encoded in hexadecimal.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Line {
	at: Millis,
	report: String,
}

impl From<&Waiting> for Line {
	fn from(waiting: &Waiting) -> Self {
		let Report { indicator, terms, .. } = &waiting.report;
		Self { at: waiting.at, report: hex::encode(&(indicator, terms).encode()) }
	}
}

impl Line {
	/// None if it makes no sense.
	fn read(&self) -> Option<Waiting> {
		let bytes = hex::decode(&self.report).ok()?;
		let (indicator, terms) = <(Indicator, Terms)>::decode_all(&mut &bytes[..]).ok()?;
		let report = Report { id: indicator.id(), indicator, terms };
		Some(Waiting { report, at: self.at, tries: 0 })
	}
}

/// What waits, by indicator, and the file that says so.
#[derive(Debug)]
struct Shelf {
	path: PathBuf,
	waiting: BTreeMap<Digest, Waiting>,
	/// Those that were handed over.
	flying: BTreeMap<Digest, Waiting>,
}

impl Shelf {
	fn open(directory: &Path, now: Millis) -> Result<Self, StateError> {
		let path = directory.join(FILE);
		let lines: Vec<Line> = state::read_lines(&path)?;
		let fresh = lines.iter().filter_map(Line::read).filter(|waiting| now.saturating_sub(waiting.at) < STALE);
		let waiting = fresh.take(CAPACITY).map(|waiting| (waiting.report.id, waiting)).collect();
		Ok(Self { path, waiting, flying: BTreeMap::new() })
	}

	/// Takes a report in; one about the same indicator gives way. The one that found no room, if any.
	fn put(&mut self, waiting: Waiting) -> Option<Waiting> {
		self.waiting.insert(waiting.report.id, waiting);
		if self.waiting.len() + self.flying.len() <= CAPACITY {
			return None;
		}
		let rank = |waiting: &&Waiting| (waiting.report.terms.severity, waiting.at);
		let least = self.waiting.values().min_by_key(rank)?.report.id;
		self.waiting.remove(&least)
	}

	/// The next to hand over, and when it was made: the worst, of those the oldest.
	fn take(&mut self) -> Option<(Report, Millis)> {
		if self.flying.len() >= IN_FLIGHT {
			return None;
		}
		let rank = |waiting: &&Waiting| (std::cmp::Reverse(waiting.report.terms.severity), waiting.at);
		// What flies already is not sent a second time beside itself.
		let next =
			self.waiting.values().filter(|waiting| !self.flying.contains_key(&waiting.report.id)).min_by_key(rank)?;
		let id = next.report.id;
		let waiting = self.waiting.remove(&id)?;
		let taken = (waiting.report.clone(), waiting.at);
		self.flying.insert(id, waiting);
		Some(taken)
	}

	/// One that was handed over has arrived, or not. Whether it is given up.
	fn landed(&mut self, id: &Digest, arrived: bool) -> bool {
		let Some(mut waiting) = self.flying.remove(id) else { return false };
		waiting.tries += 1;
		if arrived || waiting.tries >= TRIES {
			return !arrived;
		}
		// A newer one about the same stands.
		self.waiting.entry(*id).or_insert(waiting);
		false
	}

	/// Drops what has waited too long; how many.
	fn expire(&mut self, now: Millis) -> usize {
		let before = self.waiting.len();
		self.waiting.retain(|_, waiting| now.saturating_sub(waiting.at) < STALE);
		before - self.waiting.len()
	}

	/// What the file is to say.
	fn text(&self) -> String {
		self.flying
			.values()
			.chain(self.waiting.values())
			.map(|waiting| state::line(&Line::from(waiting)) + "\n")
			.collect()
	}
}

/// Writes the file on a thread where nobody waits for the disk.
async fn write_down(path: PathBuf, text: String) {
	let write = move || state::replace(&path, text.as_bytes(), state::Durable::Yes);
	// It does nothing that could panic, and is not started any more only where the program ends.
	if let Ok(Err(cause)) = spawn_blocking(write).await {
		warn!(at = now_ms(), %cause, "reports that wait are not written down");
	}
}

/// Takes reports in.
#[derive(Clone, Debug)]
pub struct Reports {
	queue: mpsc::Sender<Report>,
	board: Arc<Board>,
}

impl Reports {
	/// A handle, and the task behind it. What an earlier run left is taken up.
	pub fn open(
		directory: &Path,
		outlet: Outlet,
		submitter: Submitter,
		links: watch::Receiver<Option<Link>>,
		board: Arc<Board>,
	) -> Result<(Self, impl std::future::Future<Output = ()>), StateError> {
		let shelf = Shelf::open(directory, now_ms())?;
		if !shelf.waiting.is_empty() {
			info!(at = now_ms(), count = shelf.waiting.len(), "reports of an earlier run go on");
		}
		board.update(|status| status.reports_waiting = shelf.waiting.len() as u64);
		let (queue, receiver) = mpsc::channel(QUEUE);
		let work = Work { shelf, outlet, submitter, board: board.clone(), flights: JoinSet::new() };
		Ok((Self { queue, board }, work.run(receiver, links)))
	}

	/// Hands a report over. Never waits: where too many wait to be written down it is refused, in the log.
	pub fn put(&self, report: Report) {
		if let Err(full) = self.queue.try_send(report) {
			warn!(at = now_ms(), id = hex::encode(&full.into_inner().id), cause = "the queue is full", "refused");
			self.board.update(|status| status.counts.refused += 1);
		}
	}
}

struct Work {
	shelf: Shelf,
	outlet: Outlet,
	submitter: Submitter,
	board: Arc<Board>,
	flights: JoinSet<(Digest, bool)>,
}

impl Work {
	async fn run(mut self, mut reports: mpsc::Receiver<Report>, mut links: watch::Receiver<Option<Link>>) {
		loop {
			let expired = self.shelf.expire(now_ms());
			if expired > 0 {
				warn!(at = now_ms(), count = expired, "reports that waited for an hour are dropped");
				self.board.update(|status| status.reports_waiting = self.shelf.waiting.len() as u64);
			}
			if links.borrow_and_update().is_some() {
				while let Some((report, at)) = self.shelf.take() {
					self.send(report, at);
				}
			}
			tokio::select! {
				report = reports.recv() => match report {
					Some(report) => {
						self.shelve(report);
						// Those that came meanwhile are written down with it.
						while let Ok(report) = reports.try_recv() {
							self.shelve(report);
						}
					}
					None => return,
				},
				Some(landed) = self.flights.join_next() => {
					// A flight does nothing that could panic.
					let Ok((id, arrived)) = landed else { continue };
					if self.shelf.landed(&id, arrived) {
						warn!(at = now_ms(), id = hex::encode(&id), "the report is given up");
					}
				}
				changed = links.changed() => match changed {
					Ok(()) => continue,
					Err(_) => return,
				},
				() = sleep(LOOK) => continue,
			}
			let (path, text) = (self.shelf.path.clone(), self.shelf.text());
			write_down(path, text).await;
			self.board.update(|status| status.reports_waiting = self.shelf.waiting.len() as u64);
		}
	}

	fn shelve(&mut self, report: Report) {
		let dropped = self.shelf.put(Waiting { report, at: now_ms(), tries: 0 });
		if let Some(dropped) = dropped {
			warn!(at = now_ms(), id = hex::encode(&dropped.report.id), "too many reports wait: the mildest is dropped");
			self.board.update(|status| status.counts.refused += 1);
		}
	}

	/// Hands over a report made at `at`. What the submitter could not be rid of before it is stale, it is told to let go.
	fn send(&mut self, report: Report, at: Millis) {
		let id = report.id;
		let left = Duration::from_millis(STALE.saturating_sub(now_ms().saturating_sub(at)));
		let call = match self.outlet.call(report) {
			Ok(call) => call,
			Err(cause) => {
				warn!(at = now_ms(), id = hex::encode(&id), cause, "refused");
				self.board.update(|status| status.counts.refused += 1);
				self.flights.spawn(async move {
					sleep(PAUSE).await;
					(id, false)
				});
				return;
			}
		};
		let arrived = self.submitter.submit_and_tell(Job { id, call });
		self.flights.spawn(async move {
			let arrived = match timeout(left, arrived).await {
				Ok(Ok(())) => true,
				Ok(Err(_)) => {
					sleep(PAUSE).await;
					false
				}
				// It is not tried again.
				Err(_) => false,
			};
			(id, arrived)
		});
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_primitives::{Action, Confidence, Direction, Lifetime, Note, Severity, ThreatClass, Tlp};
	use sp_core::{sr25519, Pair};
	use std::future::Future;

	fn waiting(host: u32, severity: Severity, at: Millis) -> Waiting {
		let indicator = Indicator::Host(std::net::Ipv4Addr::from(host).into());
		let terms = Terms {
			threat: ThreatClass::Scan,
			severity,
			confidence: Confidence::MAX,
			direction: Direction::Both,
			action: Action::Drop,
			tlp: Tlp::Green,
			lifetime: Lifetime::MIN,
			evidence: Some([3; 32]),
			note: Note::truncated("a scan"),
		};
		Waiting { report: Report { id: indicator.id(), indicator, terms }, at, tries: 0 }
	}

	fn save(shelf: &Shelf) {
		state::replace(&shelf.path, shelf.text().as_bytes(), state::Durable::Yes).unwrap();
	}

	fn shelf(directory: &Path) -> Shelf {
		Shelf::open(directory, 1_000).unwrap()
	}

	/// A handle, its task, and what has to be kept as long as no node is to come.
	fn open(directory: &Path, board: &Arc<Board>) -> (Reports, impl Future<Output = ()>, impl Sized) {
		let (links, link) = watch::channel(None);
		let (submitter, calls) = Submitter::new(sr25519::Pair::from_seed(&[1; 32]), link.clone(), board.clone());
		let outlet = Outlet::Open { provisional: false };
		let (reports, work) = Reports::open(directory, outlet, submitter, link, board.clone()).unwrap();
		(reports, work, (links, calls))
	}

	#[tokio::test]
	async fn without_a_node_reports_wait_on_the_disk_also_for_the_next_run() {
		let directory = tempfile::tempdir().unwrap();
		let board = Arc::new(Board::default());
		let (reports, work, _nobody) = open(directory.path(), &board);
		for (host, severity) in [(1, Severity::Low), (2, Severity::High), (1, Severity::Medium)] {
			reports.put(waiting(host, severity, 0).report);
		}
		// It ends when nobody can report any more, and has written down all that it was given.
		drop(reports);
		work.await;
		let status = board.snapshot();
		assert_eq!((status.reports_waiting, status.counts.refused), (2, 0), "the newer one about the same stands");
		let next = Arc::new(Board::default());
		let (_reports, _work, _nobody) = open(directory.path(), &next);
		assert_eq!(next.snapshot().reports_waiting, 2);
		let mut shelf = Shelf::open(directory.path(), now_ms()).unwrap();
		assert_eq!(shelf.take().unwrap().0, waiting(2, Severity::High, 0).report);
		assert_eq!(shelf.take().unwrap().0, waiting(1, Severity::Medium, 0).report);
		assert_eq!(shelf.take(), None);
	}

	#[tokio::test]
	async fn what_grew_stale_with_the_submitter_is_not_handed_over_after_all() {
		let directory = tempfile::tempdir().unwrap();
		let board = Arc::new(Board::default());
		let (_links, link) = watch::channel(None);
		let (submitter, _calls) = Submitter::new(sr25519::Pair::from_seed(&[1; 32]), link, board.clone());
		let mut shelf = shelf(directory.path());
		shelf.put(waiting(1, Severity::Low, now_ms() - STALE));
		let (report, at) = shelf.take().unwrap();
		let outlet = Outlet::Open { provisional: false };
		let mut work = Work { shelf, outlet, submitter, board, flights: JoinSet::new() };
		work.send(report.clone(), at);
		let (id, arrived) = work.flights.join_next().await.unwrap().unwrap();
		assert_eq!((id, arrived), (report.id, false));
		assert!(!work.shelf.landed(&id, arrived));
		assert_eq!(work.shelf.expire(at + STALE), 1);
	}

	#[tokio::test]
	async fn more_than_can_be_written_down_are_refused_and_counted() {
		let directory = tempfile::tempdir().unwrap();
		let board = Arc::new(Board::default());
		let (reports, _work, _nobody) = open(directory.path(), &board);
		for _ in 0..QUEUE + 2 {
			reports.put(waiting(1, Severity::Low, 0).report);
		}
		assert_eq!(board.snapshot().counts.refused, 2);
	}

	#[test]
	fn what_no_block_has_yet_outlives_a_crash() {
		let directory = tempfile::tempdir().unwrap();
		let mut first = shelf(directory.path());
		first.put(waiting(1, Severity::Low, 10));
		first.put(waiting(2, Severity::High, 20));
		let (sent, at) = first.take().unwrap();
		assert_eq!((&sent, at), (&waiting(2, Severity::High, 20).report, 20), "the worst first");
		save(&first);
		let second = shelf(directory.path());
		assert_eq!(second.waiting.len(), 2, "what was on its way is sent again");
		assert!(first.landed(&sent.id, true).eq(&false));
		save(&first);
		let third = shelf(directory.path());
		assert_eq!(third.waiting.values().cloned().collect::<Vec<_>>(), [waiting(1, Severity::Low, 10)]);
	}

	#[test]
	fn a_torn_or_foreign_line_spoils_no_other() {
		let directory = tempfile::tempdir().unwrap();
		let mut first = shelf(directory.path());
		first.put(waiting(1, Severity::Low, 10));
		save(&first);
		let path = directory.path().join(FILE);
		let text = std::fs::read_to_string(&path).unwrap();
		std::fs::write(&path, format!("{}\n{text}{{\"at\":5,\"report\":\"0x0102\"}}\n{}", "garbage", &text[..40]))
			.unwrap();
		assert_eq!(shelf(directory.path()).waiting.len(), 1);
		let broken = [&b"\xff\xfe\n"[..], text.as_bytes()].concat();
		std::fs::write(&path, broken).unwrap();
		assert_eq!(shelf(directory.path()).waiting.len(), 1);
	}

	#[test]
	fn what_waited_for_an_hour_is_dropped() {
		let directory = tempfile::tempdir().unwrap();
		let mut first = shelf(directory.path());
		first.put(waiting(1, Severity::Low, 10));
		first.put(waiting(2, Severity::Low, STALE));
		assert_eq!(first.expire(STALE + 9), 0);
		assert_eq!(first.expire(STALE + 10), 1);
		first.put(waiting(1, Severity::Low, 10));
		save(&first);
		assert_eq!(Shelf::open(directory.path(), STALE + 10).unwrap().waiting.len(), 1);
	}

	#[test]
	fn where_there_is_no_room_the_mildest_goes() {
		let directory = tempfile::tempdir().unwrap();
		let mut shelf = shelf(directory.path());
		assert_eq!(shelf.put(waiting(0, Severity::Low, 5)), None);
		for host in 1..u32::try_from(CAPACITY).unwrap() {
			assert_eq!(shelf.put(waiting(host, Severity::Medium, 1)), None);
		}
		assert_eq!(shelf.put(waiting(u32::MAX, Severity::High, 9)), Some(waiting(0, Severity::Low, 5)));
	}

	#[test]
	fn what_does_not_arrive_is_tried_again_but_not_for_ever() {
		let directory = tempfile::tempdir().unwrap();
		let mut shelf = shelf(directory.path());
		let id = waiting(1, Severity::Low, 10).report.id;
		shelf.put(waiting(1, Severity::Low, 10));
		for _ in 1..TRIES {
			assert!(shelf.take().is_some());
			assert!(shelf.take().is_none(), "it is on its way");
			assert!(!shelf.landed(&id, false));
		}
		assert!(shelf.take().is_some());
		assert!(shelf.landed(&id, false), "given up");
		assert!(shelf.take().is_none());
	}
}
