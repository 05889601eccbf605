//! Capturing with the kernel's own ring: what is sent on one end of a pair of interfaces comes in at the other.
//!
//! Every test works in a network namespace of its own: that of a thread that has unshared its network, and is gone with it.
//!
//! Root is needed. Without it each test says so and passes, unless `RINGFENCE_REQUIRE_ROOT_TESTS=1`.

use ringfence_enforcer::daemon::capture::{
	ring::{Ring, RingError},
	Capture, Counts, Frame, Link, Settings, Watcher,
};
use std::{
	fs::File,
	io::{self, Write},
	os::fd::FromRawFd,
	process::Command,
	sync::mpsc::{channel, Receiver, Sender},
	thread,
	time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// For what must happen. Nothing waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// The protocol for experiments: nothing else sends it.
const PROTOCOL: [u8; 2] = [0x88, 0xb5];
const MEMORY: usize = 1 << 20;
/// Who cares about the length of what is kept says so.
const WHOLE: u32 = 65_535;

fn ip(arguments: &str) {
	let output = Command::new("ip").args(arguments.split(' ')).output().expect("ip");
	assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Waits until what is sent out of `name` is no longer thrown away, which is a little after both ends are up.
fn await_up(name: &str) {
	let start = Instant::now();
	loop {
		let output = Command::new("ip").args(["-o", "link", "show", "dev", name]).output().expect("ip");
		let line = String::from_utf8_lossy(&output.stdout);
		if line.contains("state UP") {
			return;
		}
		assert!(start.elapsed() < PATIENCE, "{name} does not come up: {line}");
	}
}

/// Makes the two interfaces, `near` and `far`.
fn connect() {
	ip("link add near type veth peer name far");
	ip("link set near up");
	ip("link set far up");
	await_up("near");
}

/// Does `work` in a network namespace of its own, in which `near` and `far` are connected.
fn isolated(work: impl FnOnce() + Send + 'static) {
	// SAFETY: takes nothing and always succeeds.
	if unsafe { libc::geteuid() } != 0 {
		let required = std::env::var("RINGFENCE_REQUIRE_ROOT_TESTS").is_ok_and(|value| value == "1");
		assert!(!required, "RINGFENCE_REQUIRE_ROOT_TESTS=1, but this needs root");
		eprintln!("skipped: needs root");
		return;
	}
	let thread = thread::spawn(move || {
		// SAFETY: no pointers are passed; only this thread's network changes.
		let entered = unsafe { libc::unshare(libc::CLONE_NEWNET) };
		assert_eq!(entered, 0, "unshare: {}", io::Error::last_os_error());
		connect();
		work();
	});
	if let Err(panic) = thread.join() {
		std::panic::resume_unwind(panic);
	}
}

/// What sends frames as they are, out of `near`.
fn sender() -> File {
	// SAFETY: the name ends with a zero.
	let index = unsafe { libc::if_nametoindex(c"near".as_ptr()) };
	assert_ne!(index, 0, "near is not there");
	// SAFETY: takes no pointers.
	let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
	assert!(socket >= 0, "{}", io::Error::last_os_error());
	// SAFETY: the kernel has just handed it out. A file, since that is what has a plain `write`.
	let file = unsafe { File::from_raw_fd(socket) };
	let address = libc::sockaddr_ll {
		sll_family: libc::AF_PACKET as u16,
		sll_protocol: 0,
		sll_ifindex: index as i32,
		sll_hatype: 0,
		sll_pkttype: 0,
		sll_halen: 0,
		sll_addr: [0; 8],
	};
	let length = std::mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
	// SAFETY: the pointer is to an address of that length, which outlives the call.
	let bound = unsafe { libc::bind(socket, (&raw const address).cast(), length) };
	assert_eq!(bound, 0, "{}", io::Error::last_os_error());
	file
}

/// A frame of `length` octets, with `tag` in front of its protocol.
fn frame(number: u8, tag: &[u8], length: usize) -> Vec<u8> {
	let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, number];
	frame.extend(tag);
	frame.extend(PROTOCOL);
	frame.resize(length, number);
	frame
}

/// A [`Frame`] that lasts.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
	bytes: Vec<u8>,
	wire_length: u32,
	time: u64,
	vlan: Option<u16>,
	outgoing: bool,
}

impl Seen {
	/// None of what the system itself sends.
	fn of(frame: &Frame<'_>) -> Option<Self> {
		let &Frame { bytes, wire_length, time, vlan, outgoing } = frame;
		(bytes.get(12..14)? == PROTOCOL).then(|| Self { bytes: bytes.to_vec(), wire_length, time, vlan, outgoing })
	}
}

/// Reads until `count` frames of ours have come.
fn read(ring: &mut Ring, count: usize) -> Vec<Seen> {
	let (mut seen, start) = (Vec::new(), Instant::now());
	while seen.len() < count {
		assert!(start.elapsed() < PATIENCE, "only {seen:?}");
		ring.read(Duration::from_millis(100), &mut |frame| seen.extend(Seen::of(&frame))).unwrap();
	}
	seen
}

fn open(name: &str, snap_length: u32) -> Ring {
	Ring::open(name, MEMORY, snap_length).unwrap()
}

fn now() -> u64 {
	SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

#[test]
fn what_is_sent_comes_in_as_it_is() {
	isolated(|| {
		let (mut ring, mut sender) = (open("far", WHOLE), sender());
		assert_eq!(ring.link(), Link::Ethernet);
		let frames: Vec<_> = (0..100).map(|number| frame(number, &[], 60 + usize::from(number) * 14)).collect();
		let before = now();
		for frame in &frames {
			sender.write_all(frame).unwrap();
		}
		let seen = read(&mut ring, frames.len());
		let after = now();
		assert!(seen.iter().map(|seen| &seen.bytes).eq(&frames));
		for seen in &seen {
			assert_eq!(seen.wire_length as usize, seen.bytes.len());
			assert_eq!((seen.vlan, seen.outgoing), (None, false));
			assert!((before..=after).contains(&seen.time), "{} is not between {before} and {after}", seen.time);
		}
		assert_eq!(ring.dropped().unwrap(), 0);
	});
}

#[test]
fn what_this_machine_sends_is_seen_as_such() {
	isolated(|| {
		let (mut ring, mut sender) = (open("near", WHOLE), sender());
		sender.write_all(&frame(1, &[], 60)).unwrap();
		let seen = read(&mut ring, 1);
		assert!(seen[0].outgoing);
		assert_eq!(seen[0].bytes, frame(1, &[], 60));
	});
}

#[test]
fn a_tag_that_the_kernel_took_off_is_told() {
	isolated(|| {
		let (mut ring, mut sender) = (open("far", WHOLE), sender());
		// Priority 3, network 42.
		sender.write_all(&frame(1, &[0x81, 0, 0x60, 42], 64)).unwrap();
		let seen = read(&mut ring, 1);
		assert_eq!(seen[0].vlan, Some(42));
		assert_eq!(seen[0].bytes, frame(1, &[], 60));
	});
}

#[test]
fn only_the_beginning_of_a_long_frame_is_kept() {
	isolated(|| {
		let (mut ring, mut sender) = (open("far", 96), sender());
		sender.write_all(&frame(1, &[], 1_000)).unwrap();
		sender.write_all(&frame(2, &[], 60)).unwrap();
		let seen = read(&mut ring, 2);
		assert_eq!(seen[0].bytes, frame(1, &[], 1_000)[..96]);
		assert_eq!((seen[0].wire_length, seen[1].wire_length), (1_000, 60));
	});
}

#[test]
fn what_the_ring_has_no_room_for_is_counted() {
	isolated(|| {
		let (mut ring, mut sender) = (open("far", WHOLE), sender());
		// Three times what fits.
		let frame = frame(1, &[], 1_024);
		for _ in 0..3 * MEMORY / frame.len() {
			sender.write_all(&frame).unwrap();
		}
		let dropped = ring.dropped().unwrap();
		assert!(dropped >= 1_000, "only {dropped}");
		assert_eq!(ring.dropped().unwrap(), dropped, "what was dropped stays counted");
		assert!(read(&mut ring, 500).iter().all(|seen| seen.bytes == frame));
	});
}

#[test]
fn an_interface_that_is_down_is_waited_for() {
	isolated(|| {
		ip("link set far down");
		let mut ring = open("far", WHOLE);
		assert_eq!(ring.read(Duration::ZERO, &mut |_| {}).unwrap(), 0);
		ip("link set far up");
		await_up("near");
		sender().write_all(&frame(1, &[], 60)).unwrap();
		assert_eq!(read(&mut ring, 1)[0].bytes, frame(1, &[], 60));
	});
}

#[test]
fn an_interface_that_is_not_there_is_named() {
	isolated(|| {
		let mut ring = open("far", WHOLE);
		ip("link delete far");
		let start = Instant::now();
		let error = loop {
			match ring.read(Duration::from_millis(10), &mut |_| {}) {
				Ok(_) => assert!(start.elapsed() < PATIENCE, "a deleted interface is still read"),
				Err(error) => break error,
			}
		};
		assert!(matches!(&error, RingError::Gone(name) if name == "far"), "{error}");
		assert!(matches!(Ring::open("far", MEMORY, WHOLE), Err(RingError::Gone(name)) if name == "far"));
	});
}

#[test]
fn who_may_not_capture_is_told_what_it_takes() {
	isolated(|| {
		// SAFETY: takes no pointers. Directly, so that it is this thread alone that becomes somebody else.
		let changed = unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) };
		assert_eq!(changed, 0, "{}", io::Error::last_os_error());
		let error = Ring::open("far", MEMORY, WHOLE).err().expect("nobody may not capture");
		assert!(matches!(error, RingError::Permission), "{error}");
		assert!(error.to_string().contains("CAP_NET_RAW"));
	});
}

/// What a capture's thread tells.
enum Word {
	Frame(Seen, u32),
	Tick,
}

struct Teller(Sender<Word>);

impl Watcher for Teller {
	fn frame(&mut self, frame: &Frame<'_>, link: Link, sampling: u32) {
		assert_eq!(link, Link::Ethernet);
		if let Some(seen) = Seen::of(frame) {
			// The test may be over.
			let _ = self.0.send(Word::Frame(seen, sampling));
		}
	}

	fn tick(&mut self, _now: u64) {
		let _ = self.0.send(Word::Tick);
	}
}

fn capture(name: &str) -> (Capture, Receiver<Word>) {
	let (sender, words) = channel();
	let interfaces = vec![name.to_owned()];
	let settings = Settings { interfaces, memory: MEMORY, cpu_percent: 100, snap_length: WHOLE };
	(Capture::start(&settings, |_| Teller(sender.clone())).unwrap(), words)
}

fn next_frame(words: &Receiver<Word>) -> (Seen, u32) {
	let start = Instant::now();
	while start.elapsed() < PATIENCE {
		if let Word::Frame(seen, sampling) = words.recv_timeout(PATIENCE).expect("the capture's thread ended") {
			return (seen, sampling);
		}
	}
	panic!("no frame");
}

/// Waits, tick by tick, until the counts are as they should be.
fn wait(capture: &Capture, words: &Receiver<Word>, wanted: impl Fn(&Counts) -> bool) -> Counts {
	let (gauges, start) = (capture.gauges(), Instant::now());
	loop {
		let (_, counts) = gauges.read().remove(0);
		if wanted(&counts) {
			return counts;
		}
		assert!(start.elapsed() < PATIENCE, "still {counts:?}");
		words.recv_timeout(PATIENCE).expect("the capture's thread ended");
	}
}

#[test]
fn an_interface_that_comes_back_is_captured_again() {
	isolated(|| {
		let (capture, words) = capture("far");
		assert_eq!(capture.gauges().read()[0].0, "far");
		wait(&capture, &words, |counts| counts.listening);
		sender().write_all(&frame(1, &[], 60)).unwrap();
		assert_eq!(next_frame(&words).0.bytes, frame(1, &[], 60));
		ip("link delete far");
		wait(&capture, &words, |counts| !counts.listening);
		connect();
		wait(&capture, &words, |counts| counts.listening);
		sender().write_all(&frame(2, &[], 70)).unwrap();
		let (seen, sampling) = next_frame(&words);
		assert_eq!((seen.bytes, sampling), (frame(2, &[], 70), 1));
		let counts = wait(&capture, &words, |counts| counts.frames >= 2);
		assert!(counts.bytes >= 130 && counts.skipped == 0 && counts.sampling == 1, "{counts:?}");
		assert!(capture.is_sound());
	});
}

#[test]
fn an_interface_that_comes_late_is_captured() {
	isolated(|| {
		ip("link delete far");
		let (capture, words) = capture("far");
		wait(&capture, &words, |counts| !counts.listening);
		connect();
		wait(&capture, &words, |counts| counts.listening);
		sender().write_all(&frame(1, &[], 60)).unwrap();
		assert_eq!(next_frame(&words).0.bytes, frame(1, &[], 60));
	});
}

#[test]
fn time_goes_on_where_nothing_comes_in() {
	isolated(|| {
		ip("link set near down");
		let (capture, words) = capture("far");
		for _ in 0..3 {
			assert!(matches!(words.recv_timeout(PATIENCE), Ok(Word::Tick)));
		}
		drop(capture);
		assert!(words.iter().all(|word| matches!(word, Word::Tick)), "and the capture ends when it is dropped");
	});
}
