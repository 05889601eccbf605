//! The gateway's own eyes: captured packets in, findings out. One [`Engine`] an interface, on that interface's thread.
//!
//! # Security considerations
//!
//! What the packets hold is anybody's. Nothing that is written here grows with them: the engine's memory is taken at the
//! start, of addresses that the home calls [`REMEMBERED`] are kept, and questions about them that find no room are not asked.
//!
//! A thread that captures waits for nothing else: neither for the disk that evidence is kept on, nor for what other sensors
//! have to say. [`FOUND`] findings wait for both; of more, the newest are lost.

use super::{
	capture::{Capture, Counts, Frame, Link, RingError, Settings, Watcher},
	control::{Answer, Request, State},
	enforce::Enforcer,
	lock, now_ms, random,
	sense::{self, Sensor},
	status::{Board, SensorStatus},
};
use ringfence_primitives::{Address, Millis};
use ringfence_sensor::{
	detect::SettingError,
	engine::{self, NANOS_PER_MILLI},
	Engine, Finding,
};
use std::{
	collections::HashMap,
	sync::{
		mpsc::{sync_channel, SyncSender},
		Arc, Mutex,
	},
	thread::{self, JoinHandle},
	time::Duration,
};
use tokio::{
	sync::mpsc,
	time::{interval, MissedTickBehavior},
};
use tracing::warn;

/// Addresses of which it is remembered whether they are blocked.
const REMEMBERED: usize = 4_096;
/// Questions about addresses that wait.
const QUESTIONS: usize = 64;
/// Milliseconds for which an answer holds.
const HOLDS: Millis = 60_000;
/// Findings that wait to be handled.
const FOUND: usize = 1_024;
/// How often the counts are brought up to date.
const COUNTED: Duration = Duration::from_secs(1);

/// Which addresses are blocked, as far as anybody asked.
#[derive(Clone)]
struct KnownBad {
	known: Arc<Mutex<HashMap<Address, (bool, Millis)>>>,
	questions: mpsc::Sender<Address>,
}

impl KnownBad {
	/// A memory that asks `enforcer`, and the task that does so.
	fn new(enforcer: Option<Enforcer>) -> (Self, impl std::future::Future<Output = ()>) {
		let (questions, mut asked) = mpsc::channel(QUESTIONS);
		let known = Arc::new(Mutex::new(HashMap::new()));
		let answers = known.clone();
		let work = async move {
			while let Some(address) = asked.recv().await {
				let bad = match &enforcer {
					Some(enforcer) => {
						let answer = enforcer.ask(Request::Why { address }).await;
						matches!(answer, Answer::Why(why) if why.state == State::Blocked)
					}
					None => false,
				};
				remember(&mut lock(&answers), address, bad, now_ms());
			}
			// Whoever asks is gone, and with it the reason to end.
			std::future::pending::<()>().await;
		};
		(Self { known, questions }, work)
	}

	/// Whether the address is blocked; false as long as that is not known. An address that is called again will be known.
	fn ask(&self, address: Address) -> bool {
		let known = lock(&self.known).get(&address).copied();
		let fresh = known.filter(|(_, at)| now_ms().saturating_sub(*at) < HOLDS);
		if fresh.is_none() {
			// Where there is no room, it is asked another time.
			let _ = self.questions.try_send(address);
		}
		known.is_some_and(|(bad, _)| bad)
	}
}

fn remember(known: &mut HashMap<Address, (bool, Millis)>, address: Address, bad: bool, now: Millis) {
	if known.len() >= REMEMBERED && !known.contains_key(&address) {
		known.retain(|_, (bad, at)| *bad && now.saturating_sub(*at) < HOLDS);
		if known.len() >= REMEMBERED {
			known.clear();
		}
	}
	known.insert(address, (bad, now));
}

/// Watches one interface.
struct Eye {
	engine: Engine,
	found: Vec<Finding>,
	findings: SyncSender<Finding>,
	counts: Arc<Mutex<engine::Counts>>,
}

impl Eye {
	fn hand_over(&mut self) {
		for finding in self.found.drain(..) {
			if self.findings.try_send(finding).is_err() {
				warn!(at = now_ms(), "a finding is lost: too many wait");
			}
		}
	}
}

impl Watcher for Eye {
	fn frame(&mut self, frame: &Frame<'_>, link: Link, sampling: u32) {
		// What makes no sense is counted by the engine.
		let _ = self.engine.frame(link, frame.bytes, frame.time, sampling, &mut self.found);
		self.hand_over();
	}

	fn tick(&mut self, now: u64) {
		self.engine.tick(now / NANOS_PER_MILLI, &mut self.found);
		self.hand_over();
		*lock(&self.counts) = self.engine.counts();
	}
}

/// Why nothing is watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
	/// The detectors' settings.
	#[error(transparent)]
	Setting(#[from] SettingError),
	/// The interface.
	#[error(transparent)]
	Ring(#[from] RingError),
}

/// Watches until it is dropped.
pub struct Watch {
	capture: Capture,
	counts: Vec<Arc<Mutex<engine::Counts>>>,
	/// Handles what is found.
	hearer: JoinHandle<()>,
}

impl Watch {
	/// Begins to watch. Findings go to `sensor`; `enforcer` is asked which peers are blocked. The second is a task that has to
	/// run meanwhile.
	pub fn start(
		capture: &Settings,
		detectors: &engine::Settings,
		enforcer: Option<Enforcer>,
		sensor: &Arc<Mutex<Sensor>>,
	) -> Result<(Self, impl std::future::Future<Output = ()>), WatchError> {
		let (known, work) = KnownBad::new(enforcer);
		let (findings, found) = sync_channel::<Finding>(FOUND);
		let heard = sensor.clone();
		// It ends with the last eye.
		let hear = move || found.into_iter().for_each(|finding| sense::found(&heard, finding));
		let thread = thread::Builder::new().name("findings".into()).spawn(hear);
		let hearer = thread.map_err(|source| RingError::Call { doing: "a thread for findings", source })?;
		let mut eyes = Vec::new();
		for _ in &capture.interfaces {
			let asked = known.clone();
			let engine = Engine::new(detectors, random(), move |address| asked.ask(address))?;
			eyes.push(Eye { engine, found: Vec::new(), findings: findings.clone(), counts: Arc::default() });
		}
		let counts = eyes.iter().map(|eye| eye.counts.clone()).collect();
		let mut eyes = eyes.into_iter();
		// There are as many eyes as interfaces.
		let capture = Capture::start(capture, |_| eyes.next().expect("one was made for each interface"))?;
		Ok((Self { capture, counts, hearer }, work))
	}

	/// Keeps the board up to date. Ends only if a thread of the capture has died, or the one that handles what is found.
	pub async fn keep_counted(self, board: Arc<Board>) {
		let mut interval = interval(COUNTED);
		interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
		let gauges = self.capture.gauges();
		while self.capture.is_sound() && !self.hearer.is_finished() {
			interval.tick().await;
			let before = board.snapshot().sensors;
			let sensors = sensors(gauges.read(), &self.counts, &before);
			board.update(|status| status.sensors = sensors);
		}
	}
}

/// The counts of every interface, and how they grew since `before`, which was a second ago.
fn sensors(
	captured: Vec<(String, Counts)>,
	counts: &[Arc<Mutex<engine::Counts>>],
	before: &[SensorStatus],
) -> Vec<SensorStatus> {
	let read = captured.into_iter().zip(counts);
	let sensor = |((interface, captured), looked): ((String, Counts), &Arc<Mutex<engine::Counts>>)| {
		let looked = *lock(looked);
		let then = before.iter().find(|sensor| sensor.interface == interface);
		SensorStatus {
			packets_per_second: captured.frames.saturating_sub(then.map_or(0, |then| then.frames)),
			bits_per_second: captured.bytes.saturating_sub(then.map_or(0, |then| then.bytes)).saturating_mul(8),
			interface,
			listening: captured.listening,
			frames: captured.frames,
			bytes: captured.bytes,
			skipped: captured.skipped,
			dropped: captured.dropped,
			sampling: captured.sampling,
			malformed: looked.malformed,
			inbound: looked.inbound,
			outbound: looked.outbound,
			findings: looked.findings,
		}
	};
	read.map(sensor).collect()
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::daemon::sense::tests::beacon;
	use ringfence_sensor::finding::Audience;
	use std::sync::mpsc::Receiver;

	#[test]
	fn what_is_known_of_addresses_has_a_bound_and_the_bad_ones_stay() {
		let mut known = HashMap::new();
		let address = |number: u32| Address::from(std::net::Ipv4Addr::from(number));
		remember(&mut known, address(0), true, 1_000);
		for number in 1..3 * REMEMBERED as u32 {
			remember(&mut known, address(number), false, 1_000);
		}
		assert!(known.len() <= REMEMBERED);
		assert_eq!(known.get(&address(0)), Some(&(true, 1_000)));
	}

	/// A datagram from outside to the home, on a line that carries bare IP.
	const DATAGRAM: [u8; 28] =
		[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 198, 51, 100, 1, 203, 0, 113, 9, 0x9c, 0x40, 0, 53, 0, 8, 0, 0];

	fn frame(bytes: &[u8]) -> Frame<'_> {
		Frame { bytes, wire_length: 28, time: 5_000 * NANOS_PER_MILLI, vlan: None, outgoing: false }
	}

	/// An eye, and its findings, of which one can wait.
	fn eye() -> (Eye, Receiver<Finding>) {
		let settings =
			engine::Settings { home: vec!["203.0.113.0/24".parse().unwrap()], ..engine::Settings::default() };
		let (findings, found) = sync_channel(1);
		let engine = Engine::new(&settings, 1, |_| false).unwrap();
		(Eye { engine, found: Vec::new(), findings, counts: Arc::default() }, found)
	}

	#[test]
	fn an_eye_waits_for_nobody() {
		let (mut eye, found) = eye();
		eye.found = vec![beacon("198.18.66.66", Audience::Everybody), beacon("198.18.66.67", Audience::Everybody)];
		eye.hand_over();
		assert_eq!(found.try_iter().collect::<Vec<_>>(), [beacon("198.18.66.66", Audience::Everybody)]);
		eye.found = vec![beacon("198.18.66.68", Audience::Everybody)];
		eye.hand_over();
		assert_eq!(found.try_iter().count(), 1);
	}

	#[test]
	fn what_an_eye_sees_is_counted_at_the_next_tick() {
		let (mut eye, found) = eye();
		eye.frame(&frame(&DATAGRAM), Link::Raw, 1);
		eye.frame(&frame(&DATAGRAM[..20]), Link::Raw, 1);
		eye.frame(&frame(b"garbage"), Link::Raw, 1);
		assert_eq!(*lock(&eye.counts), engine::Counts::default());
		eye.tick(5_100 * NANOS_PER_MILLI);
		let counts = *lock(&eye.counts);
		assert_eq!((counts.frames, counts.malformed, counts.inbound, counts.findings), (3, 1, 2, 0));
		assert_eq!(found.try_iter().count(), 0);
	}

	#[test]
	fn rates_are_what_counts_have_grown_by() {
		let captured = |frames, bytes| Counts { frames, bytes, sampling: 2, listening: true, ..Counts::default() };
		let looked = [Arc::new(Mutex::new(engine::Counts { inbound: 7, findings: 1, ..engine::Counts::default() }))];
		let told = |frames, bytes, before: &[SensorStatus]| {
			sensors(vec![("eth0".into(), captured(frames, bytes))], &looked, before).remove(0)
		};
		let first = told(100, 6_000, &[]);
		assert_eq!((first.frames, first.inbound, first.findings), (100, 7, 1));
		assert!(first.listening && first.sampling == 2);
		let second = told(350, 31_000, &[first]);
		assert_eq!((second.packets_per_second, second.bits_per_second), (250, 200_000));
		let none = told(350, 31_000, &[second]);
		assert_eq!((none.packets_per_second, none.bits_per_second), (0, 0));
	}

	#[tokio::test]
	async fn an_address_that_nobody_can_ask_about_is_not_bad() {
		let (known, work) = KnownBad::new(None);
		let address = Address::from(std::net::Ipv4Addr::LOCALHOST);
		assert!(!known.ask(address));
		tokio::select! {
			() = work => {}
			() = async { while !lock(&known.known).contains_key(&address) { tokio::task::yield_now().await } } => {}
		}
		assert!(!known.ask(address));
	}
}
