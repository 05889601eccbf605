//! What capturing packets costs, and how many a second get through.
//!
//! `bench-capture [PACKETS]` (5,000,000 where not given), as root, in a network namespace of this process alone. One thread
//! sends TCP SYN packets from ever new sources through a pair of interfaces, as fast as it can; this one reads them with the
//! enforcer's own ring: first only counting them, then reading the headers of each, then with every detector.

use ringfence_enforcer::daemon::capture::{ring::Ring, thread_time, Frame, Link};
use ringfence_sensor::{engine::Settings, Engine, Packet};
use std::{
	error::Error,
	fs, io,
	os::fd::{AsRawFd, FromRawFd, OwnedFd},
	process::Command,
	sync::atomic::{AtomicBool, Ordering},
	thread,
	time::{Duration, Instant},
};

/// The ring as it is configured where nothing else is said.
const MEMORY: usize = 4 << 20;
const SNAP_LENGTH: u32 = 512;
/// Octets of a frame: the shortest that Ethernet has.
const LENGTH: usize = 60;
/// Frames that are made beforehand; their sources change with every round.
const FRAMES: usize = 4_096;
/// Frames that one system call sends.
const BATCH: usize = 64;
/// For what is still on its way when the last one has been sent.
const REST: Duration = Duration::from_millis(200);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Reads the headers of a packet.
fn parse(frame: &Frame<'_>, link: Link) {
	// It is a flood of sound packets; what is measured is the reading.
	let _ = std::hint::black_box(Packet::parse(link, frame.bytes));
}

/// A sensor that defends the machine which is not there, with every detector.
fn engine() -> Outcome<Engine> {
	let settings = Settings { home: vec!["198.51.100.0/24".parse()?], ..Settings::default() };
	Ok(Engine::new(&settings, 1, |_| false)?)
}

/// An IPv4 packet with SYN set, to a machine that is not there.
fn frame(source: u32) -> [u8; LENGTH] {
	let mut frame = [0; LENGTH];
	frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0]);
	frame[14..26].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
	frame[26..30].copy_from_slice(&source.to_be_bytes());
	frame[30..34].copy_from_slice(&[198, 51, 100, 7]);
	frame[34..38].copy_from_slice(&[0x80, 0, 0, 80]);
	frame[46..50].copy_from_slice(&[0x50, 2, 0xfa, 0xf0]);
	frame
}

/// What sends frames as they are, out of `name`, past the queues.
fn sender(name: &std::ffi::CStr) -> io::Result<OwnedFd> {
	// SAFETY: the name ends with a zero and outlives the call.
	let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
	// SAFETY: takes no pointers.
	let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
	if socket < 0 {
		return Err(io::Error::last_os_error());
	}
	// SAFETY: the kernel has just handed it out.
	let socket = unsafe { OwnedFd::from_raw_fd(socket) };
	let bypass: i32 = 1;
	let length = std::mem::size_of::<i32>() as libc::socklen_t;
	let (level, option) = (libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS);
	// SAFETY: the pointer is to a number of that length, which outlives the call.
	if unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const bypass).cast(), length) } != 0 {
		return Err(io::Error::last_os_error());
	}
	let address = libc::sockaddr_ll {
		sll_family: libc::AF_PACKET as u16,
		sll_protocol: (libc::ETH_P_IP as u16).to_be(),
		sll_ifindex: index as i32,
		sll_hatype: 0,
		sll_pkttype: 0,
		sll_halen: 0,
		sll_addr: [0; 8],
	};
	let length = std::mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
	// SAFETY: the pointer is to an address of that length, which outlives the call.
	match unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } {
		0 => Ok(socket),
		_ => Err(io::Error::last_os_error()),
	}
}

/// Sends so many packets; how many the kernel took.
fn flood(socket: &OwnedFd, packets: u64) -> io::Result<u64> {
	let (mut sent, mut source) = (0, 1_u32);
	let mut frames = vec![[0; LENGTH]; FRAMES];
	while sent < packets {
		for place in &mut frames {
			// Every source once, in an order that looks like none: the factor is odd.
			source = source.wrapping_add(1);
			*place = frame(source.wrapping_mul(0x9e37_79b1));
		}
		for batch in frames.chunks_mut(BATCH) {
			sent += send(socket, batch)?;
		}
	}
	Ok(sent)
}

/// Sends a batch, as much of it as the kernel takes.
fn send(socket: &OwnedFd, frames: &mut [[u8; LENGTH]]) -> io::Result<u64> {
	let mut parts: Vec<libc::iovec> =
		frames.iter_mut().map(|frame| libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: LENGTH }).collect();
	let mut messages: Vec<libc::mmsghdr> = parts
		.iter_mut()
		.map(|part| {
			// SAFETY: zero is a valid value of every field: no address, nothing to send.
			let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
			message.msg_hdr.msg_iov = part;
			message.msg_hdr.msg_iovlen = 1;
			message
		})
		.collect();
	let (list, count) = (messages.as_mut_ptr(), messages.len() as libc::c_uint);
	// SAFETY: the messages, their parts and the frames behind those all outlive the call, and are as many and as long as said.
	let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), list, count, 0) };
	if sent >= 0 {
		return Ok(sent as u64);
	}
	let error = io::Error::last_os_error();
	match error.raw_os_error() {
		// No room at the moment.
		Some(libc::ENOBUFS | libc::EAGAIN | libc::EINTR) => Ok(0),
		_ => Err(error),
	}
}

/// Resident memory of this process, in kilobytes. The ring's pages are among it.
fn resident_kb() -> u64 {
	let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
	let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
	line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// One round: so many packets through the ring, each handed to `each`.
fn measure(what: &str, packets: u64, each: &mut dyn FnMut(&Frame<'_>, Link)) -> Outcome<()> {
	let before = resident_kb();
	let mut ring = Ring::open("far", MEMORY, SNAP_LENGTH)?;
	let (link, done) = (ring.link(), AtomicBool::new(false));
	let socket = sender(c"near")?;
	let (start, cpu) = (Instant::now(), thread_time()?);
	let (mut received, mut last) = (0_u64, Instant::now());
	let sent = thread::scope(|scope| -> Outcome<u64> {
		let flooding = scope.spawn(|| {
			let sent = flood(&socket, packets);
			done.store(true, Ordering::Release);
			sent.map(|sent| (sent, start.elapsed()))
		});
		loop {
			let read = ring.read(Duration::from_millis(20), &mut |frame| each(&frame, link));
			match read {
				Ok(0) if done.load(Ordering::Acquire) && last.elapsed() > REST => break,
				Ok(0) => {}
				Ok(frames) => {
					received += frames as u64;
					last = Instant::now();
				}
				Err(error) => return Err(error.into()),
			}
		}
		let (sent, took) = flooding.join().map_err(|_| "the sender panicked")??;
		println!("{what}");
		println!("  {:<34} {:>12.0}", "sent, a second", sent as f64 / took.as_secs_f64());
		Ok(sent)
	})?;
	let cpu = thread_time()?.saturating_sub(cpu);
	let (took, dropped) = (last.duration_since(start), ring.dropped()?);
	println!("  {:<34} {:>12.0}", "received, a second", received as f64 / took.as_secs_f64());
	println!("  {:<34} {received:>12} of {sent}", "received");
	println!("  {:<34} {dropped:>12}", "lost for want of room in the ring");
	println!("  {:<34} {:>12.1}", "ns of the reader's time, a packet", cpu as f64 / received.max(1) as f64);
	println!("  {:<34} {before:>12} kB, then {} kB", "resident memory", resident_kb());
	Ok(())
}

fn ip(arguments: &str) -> Outcome<()> {
	match Command::new("ip").args(arguments.split(' ')).status()?.success() {
		true => Ok(()),
		false => Err(format!("ip {arguments} failed").into()),
	}
}

fn main() -> Outcome<()> {
	let packets = std::env::args().nth(1).map_or(Ok(5_000_000), |text| text.parse::<u64>())?;
	// SAFETY: no pointers are passed; this process has one thread, whose network it replaces.
	if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
		return Err(format!("a network namespace: {}", io::Error::last_os_error()).into());
	}
	for arguments in ["link add near type veth peer name far", "link set near up", "link set far up"] {
		ip(arguments)?;
	}
	let mut octets = 0;
	measure("capture alone", packets, &mut |frame, _| octets += u64::from(frame.wire_length))?;
	println!("  {:<34} {octets:>12}", "octets");
	measure("capture and parsing", packets, &mut parse)?;
	let (mut engine, mut findings) = (engine()?, Vec::new());
	measure("capture, parsing, all detectors", packets, &mut |frame, link| {
		// What makes no sense is counted by the engine.
		let _ = engine.frame(link, frame.bytes, frame.time, 1, &mut findings);
	})?;
	for finding in &findings {
		println!("  found: {} {}", finding.indicator, finding.note);
	}
	Ok(())
}
