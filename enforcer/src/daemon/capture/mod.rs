//! Packets off the wire: one thread an interface, each with a [`ring`] of its own and a [`governor`] over what it may cost.
//! [`pcap`] reads the same frames from files.

pub mod governor;
pub mod pcap;
pub mod ring;

use super::{now_ms, random};
use governor::Governor;
use ring::Ring;
pub use ring::RingError;
pub use ringfence_sensor::Link;
use std::{
	io,
	sync::{
		atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
		Arc,
	},
	thread::{self, JoinHandle},
	time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tracing::{info, warn};

/// Interfaces at most: each has a thread and a ring.
pub const MAX_INTERFACES: usize = 8;
/// Time between two ticks. With the longest that one block takes, it stays under 100 ms.
const TICK: Duration = Duration::from_millis(50);
/// Ticks between two attempts to open a ring.
const RETRY: u32 = 10;

/// What is captured, and what that may cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
	/// The interfaces, [`MAX_INTERFACES`] at most.
	pub interfaces: Vec<String>,
	/// Octets of each interface's ring.
	pub memory: usize,
	/// Percent of one core that each interface may take before frames are left out.
	pub cpu_percent: u32,
	/// Octets that are kept of a frame.
	pub snap_length: u32,
}

/// A frame as it was captured. Whoever sent it controls its bytes and its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
	/// Its beginning, as much as was kept.
	pub bytes: &'a [u8],
	/// Octets that it had on the wire, less a VLAN tag that the kernel has taken off. Where the kernel joins the segments
	/// of a TCP connection before it shows them, that is the length of all of them.
	pub wire_length: u32,
	/// When it was captured, in nanoseconds since 1970.
	pub time: u64,
	/// The number of the outermost VLAN, where the kernel has taken its tag off. Other tags are among the bytes.
	pub vlan: Option<u16>,
	/// Whether this machine sent it.
	pub outgoing: bool,
}

/// Takes the frames of one interface, on that interface's thread.
pub trait Watcher: Send + 'static {
	/// A frame. One in `sampling` is looked at at the moment: 1, 2, 4, up to 1,024.
	fn frame(&mut self, frame: &Frame<'_>, link: Link, sampling: u32);

	/// The time, in nanoseconds since 1970, at least every 100 ms; also when nothing comes in. It is the system's clock,
	/// which somebody may set.
	fn tick(&mut self, now: u64);
}

/// Counts of one interface, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
	/// Frames that came in, whether they were looked at or not.
	pub frames: u64,
	/// Their octets on the wire.
	pub bytes: u64,
	/// Frames that were left out to save processor time.
	pub skipped: u64,
	/// Frames that the kernel had no room for; not among `frames`.
	pub dropped: u64,
	/// Every how many frames one is looked at right now.
	pub sampling: u32,
	/// Whether there is an interface that is listened to.
	pub listening: bool,
}

/// [`Counts`] while they are being counted.
#[derive(Default)]
struct Counters {
	frames: AtomicU64,
	bytes: AtomicU64,
	skipped: AtomicU64,
	dropped: AtomicU64,
	sampling: AtomicU32,
	listening: AtomicBool,
}

impl Counters {
	fn counts(&self) -> Counts {
		Counts {
			frames: self.frames.load(Relaxed),
			bytes: self.bytes.load(Relaxed),
			skipped: self.skipped.load(Relaxed),
			dropped: self.dropped.load(Relaxed),
			sampling: self.sampling.load(Relaxed),
			listening: self.listening.load(Relaxed),
		}
	}
}

/// Reads the counts of a capture, and can be handed around.
#[derive(Clone, Default)]
pub struct Gauges(Arc<[(String, Arc<Counters>)]>);

impl Gauges {
	/// The counts of every interface, in the order of the settings.
	pub fn read(&self) -> Vec<(String, Counts)> {
		self.0.iter().map(|(name, counters)| (name.clone(), counters.counts())).collect()
	}
}

/// A capture that runs. Dropping it ends it.
pub struct Capture {
	gauges: Gauges,
	stop: Arc<AtomicBool>,
	threads: Vec<JoinHandle<()>>,
}

impl Capture {
	/// Begins to capture on every interface of the settings, in the network namespace of the calling thread. `watcher` makes
	/// the one that takes an interface's frames.
	///
	/// An interface that is not there yet is waited for, and so is one that goes away. Everything else that keeps a ring from
	/// being opened is an error now, and a warning in the log later, when the interface comes back.
	pub fn start<W: Watcher>(settings: &Settings, mut watcher: impl FnMut(&str) -> W) -> Result<Self, RingError> {
		let stop = Arc::new(AtomicBool::new(false));
		let mut readers = Vec::new();
		for name in &settings.interfaces {
			let mut reader = Reader {
				name: name.clone(),
				memory: settings.memory,
				snap_length: settings.snap_length,
				governor: Governor::new(settings.cpu_percent, random()),
				begun: Instant::now(),
				watcher: watcher(name),
				counters: Arc::default(),
				stop: stop.clone(),
				ring: None,
				dropped_before: 0,
				ticks: 0,
				complaint: None,
			};
			match reader.open() {
				Ok(()) => {}
				Err(error @ RingError::Gone(_)) => reader.complain(&error),
				Err(error) => return Err(error),
			}
			readers.push(reader);
		}
		let gauges = Gauges(readers.iter().map(|reader| (reader.name.clone(), reader.counters.clone())).collect());
		// Whatever was started ends with it, should another thread not start.
		let mut capture = Self { gauges, stop, threads: Vec::new() };
		for reader in readers {
			let thread = thread::Builder::new().name(format!("capture {}", reader.name));
			let thread = thread.spawn(move || reader.run());
			capture.threads.push(thread.map_err(|source| RingError::Call { doing: "a thread for capturing", source })?);
		}
		Ok(capture)
	}

	/// What reads its counts.
	pub fn gauges(&self) -> Gauges {
		self.gauges.clone()
	}

	/// Whether all its threads are still there. One that panicked is not.
	pub fn is_sound(&self) -> bool {
		self.threads.iter().all(|thread| !thread.is_finished())
	}
}

impl Drop for Capture {
	fn drop(&mut self) {
		self.stop.store(true, Relaxed);
		for thread in self.threads.drain(..) {
			// It is over either way; a panic has been written to the standard error.
			let _ = thread.join();
		}
	}
}

/// One interface's thread.
struct Reader<W> {
	name: String,
	memory: usize,
	snap_length: u32,
	governor: Governor,
	begun: Instant,
	watcher: W,
	counters: Arc<Counters>,
	stop: Arc<AtomicBool>,
	ring: Option<Ring>,
	/// What the rings before this one dropped.
	dropped_before: u64,
	ticks: u32,
	/// What was wrong when the ring was last to be opened, so that the log tells it once.
	complaint: Option<String>,
}

impl<W: Watcher> Reader<W> {
	fn run(mut self) {
		let mut next = Instant::now();
		while !self.stop.load(Relaxed) {
			let left = next.saturating_duration_since(Instant::now());
			if left.is_zero() {
				self.tick();
				next = Instant::now() + TICK;
			} else {
				self.read(left);
			}
		}
	}

	/// Reads one block, or waits for one until `left` is over.
	fn read(&mut self, left: Duration) {
		let Self { ring, governor, watcher, counters, .. } = self;
		let Some(open) = ring else {
			thread::sleep(left);
			return;
		};
		let (link, sampling) = (open.link(), governor.sampling());
		let (mut frames, mut bytes, mut skipped) = (0, 0, 0);
		let outcome = open.read(left, &mut |frame| {
			frames += 1;
			bytes += u64::from(frame.wire_length);
			if governor.admits() {
				watcher.frame(&frame, link, sampling);
			} else {
				skipped += 1;
			}
		});
		counters.frames.fetch_add(frames, Relaxed);
		counters.bytes.fetch_add(bytes, Relaxed);
		counters.skipped.fetch_add(skipped, Relaxed);
		if let Err(error) = outcome {
			self.close(&error);
		}
	}

	fn tick(&mut self) {
		self.ticks = self.ticks.wrapping_add(1);
		match self.ring.as_mut().map(Ring::dropped) {
			Some(Ok(dropped)) => self.counters.dropped.store(self.dropped_before.saturating_add(dropped), Relaxed),
			Some(Err(error)) => self.close(&error),
			None if self.ticks.is_multiple_of(RETRY) => match self.open() {
				Ok(()) => info!(at = now_ms(), interface = self.name, "packets are captured"),
				Err(error) => self.complain(&error),
			},
			None => {}
		}
		self.govern();
		let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
		self.watcher.tick(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
	}

	fn govern(&mut self) {
		let before = self.governor.sampling();
		let wall = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
		// A kernel without this clock would not have started the enforcer; then nothing would be left out.
		self.governor.observe(wall, thread_time().unwrap_or_default());
		let after = self.governor.sampling();
		self.counters.sampling.store(after, Relaxed);
		if before == 1 && after > 1 {
			warn!(at = now_ms(), interface = self.name, sampling = after, "not every packet is looked at");
		} else if before > 1 && after == 1 {
			info!(at = now_ms(), interface = self.name, "every packet is looked at again");
		}
	}

	fn open(&mut self) -> Result<(), RingError> {
		self.ring = Some(Ring::open(&self.name, self.memory, self.snap_length)?);
		self.complaint = None;
		self.counters.sampling.store(self.governor.sampling(), Relaxed);
		self.counters.listening.store(true, Relaxed);
		Ok(())
	}

	fn close(&mut self, error: &RingError) {
		self.dropped_before = self.counters.dropped.load(Relaxed);
		self.ring = None;
		self.counters.listening.store(false, Relaxed);
		self.complain(error);
	}

	fn complain(&mut self, error: &RingError) {
		let cause = error.to_string();
		if self.complaint.as_ref() != Some(&cause) {
			warn!(at = now_ms(), interface = self.name, cause, "packets are not captured");
			self.complaint = Some(cause);
		}
	}
}

/// Processor time that the calling thread has used, in nanoseconds.
pub fn thread_time() -> io::Result<u64> {
	let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
	// SAFETY: the pointer is to a value that outlives the call.
	if unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0 {
		return Err(io::Error::last_os_error());
	}
	// Neither is ever negative.
	Ok((time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64))
}
