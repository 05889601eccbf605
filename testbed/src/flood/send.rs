//! Sends frames at a rate.

use super::{
	craft::{destination, source},
	Exit, Generator, Kind, Plan, Refusal, MAX_DURATION,
};
use crate::{
	error::{Error, Result},
	interrupted,
};
use serde::Serialize;
use std::{
	io,
	os::fd::AsRawFd,
	thread,
	time::{Duration, Instant},
};

/// Frames that are made ahead. Where more are sent, these come again, in the same order.
pub const AHEAD: usize = 1 << 18;
/// Bytes of frames that are made ahead.
const AHEAD_BYTES: usize = 256 << 20;
/// Frames of one system call.
const BATCH: usize = 256;
/// How long the interface gets to make room.
const BREATH: Duration = Duration::from_micros(20);
/// The longest sleep while nothing is due, so that a request to stop is seen.
const NAP: Duration = Duration::from_millis(50);

/// What was sent.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
	/// What, as it is named on the command line.
	pub kind: String,
	/// Frames.
	pub packets: u64,
	/// Bytes, with Ethernet headers.
	pub bytes: u64,
	/// How many different frames there were.
	pub distinct: u64,
	/// How often the interface had no room, and was asked again.
	pub busy: u64,
	/// From the first frame to the last.
	pub seconds: f64,
	/// Frames a second.
	pub rate: f64,
}

/// The name of a kind on the command line.
pub(super) fn name(kind: Kind) -> String {
	// Every kind has one.
	clap::ValueEnum::to_possible_value(&kind).map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Sends a plan's frames, each when it is due, or as fast as it goes where the plan's rate is 0; at most `duration`, of
/// which [`MAX_DURATION`] is the limit. All are made, and looked at, before the first is sent.
///
/// Of innocent traffic only what goes to the household is sent: the rest is its own to say.
pub fn send(exit: &Exit, plan: &Plan, seed: u64, duration: Duration) -> Result<Sent> {
	send_while(exit, plan, seed, duration, |_| true)
}

/// The same, and no longer than `go_on` says: it is told how many frames were sent, before the first and after each batch.
pub fn send_while(
	exit: &Exit,
	plan: &Plan,
	seed: u64,
	duration: Duration,
	go_on: impl Fn(u64) -> bool,
) -> Result<Sent> {
	if duration > MAX_DURATION {
		let (given, most) = (duration.as_secs(), MAX_DURATION.as_secs());
		return Err(Refusal::Limit { what: "seconds", given, most }.into());
	}
	let plan = Plan { link: exit.link(), ..plan.clone() };
	let frames = Frames::make(&plan, seed, exit.is_loopback())?;
	let mut queue = Queue::new(&frames, exit.device());
	let mut sent = Sent {
		kind: name(plan.kind),
		packets: 0,
		bytes: 0,
		distinct: frames.times.len() as u64,
		busy: 0,
		seconds: 0.0,
		rate: 0.0,
	};
	let paced = plan.rate != 0 || matches!(plan.kind, Kind::BeaconTcp | Kind::BeaconUdp);
	// Where in the frames, and when this round of them began.
	let (mut position, mut round) = (0, 0_u64);
	let start = Instant::now();
	while go_on(sent.packets) && sent.packets < plan.packets && !interrupted() {
		let elapsed = start.elapsed();
		if elapsed >= duration {
			break;
		}
		let now = nanoseconds(elapsed);
		let left = usize::try_from(plan.packets - sent.packets).unwrap_or(usize::MAX);
		let batch = frames.times.iter().skip(position).take(left.min(BATCH));
		let due = if paced { batch.take_while(|at| round.saturating_add(**at) <= now).count() } else { batch.count() };
		if due == 0 {
			let next = frames.times.get(position).map_or(now, |at| round.saturating_add(*at));
			let wait = Duration::from_nanos(next.saturating_sub(now)).min(NAP).min(duration - elapsed);
			thread::sleep(wait);
			continue;
		}
		match queue.send(exit.socket().as_raw_fd(), position, due) {
			Ok(gone) => {
				sent.packets += gone as u64;
				sent.bytes +=
					frames.bounds.iter().skip(position).take(gone).map(|(_, length)| *length as u64).sum::<u64>();
				sent.seconds = start.elapsed().as_secs_f64();
				position += gone;
				if position >= frames.times.len() {
					position = 0;
					round = round.saturating_add(frames.round);
				}
			}
			Err(error) if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EAGAIN | libc::EINTR)) => {
				sent.busy += 1;
				thread::sleep(BREATH);
			}
			Err(source) => return Err(Error::Io { what: "sending frames".into(), source }),
		}
	}
	sent.rate = sent.packets as f64 / sent.seconds.max(1e-6);
	Ok(sent)
}

fn nanoseconds(time: Duration) -> u64 {
	u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Frames, one after the other.
struct Frames {
	bytes: Vec<u8>,
	/// Where each begins, and how long it is.
	bounds: Vec<(usize, usize)>,
	/// When each is due, in nanoseconds.
	times: Vec<u64>,
	/// How long all of them take.
	round: u64,
}

impl Frames {
	fn make(plan: &Plan, seed: u64, loopback: bool) -> Result<Self> {
		let mut this = Self { bytes: Vec::new(), bounds: Vec::new(), times: Vec::new(), round: 0 };
		for (at, frame) in Generator::new(plan.clone(), seed)? {
			let (from, to) = (source(&frame), destination(&frame));
			if loopback {
				// Those of a tunnel's inside stay in it: nothing on this machine opens one that it did not make.
				for address in [from, to].into_iter().flatten() {
					if !address.is_loopback() {
						return Err(Refusal::NotLoopback(address).into());
					}
				}
			}
			if plan.kind == Kind::Innocent && to != Some(plan.target) {
				continue;
			}
			this.bounds.push((this.bytes.len(), frame.len()));
			this.times.push(at);
			this.bytes.extend_from_slice(&frame);
			if this.times.len() >= AHEAD || this.bytes.len() >= AHEAD_BYTES {
				break;
			}
		}
		match this.times.last() {
			Some(last) => this.round = last.saturating_add(plan.gap()),
			None => return Err(Refusal::Nothing("frames for the household").into()),
		}
		Ok(this)
	}
}

/// The frames as the kernel takes them. It points into `frames`, and into itself by way of the heap.
struct Queue<'a> {
	messages: Vec<libc::mmsghdr>,
	_vectors: Vec<libc::iovec>,
	_address: Vec<libc::sockaddr_ll>,
	_frames: &'a Frames,
}

impl<'a> Queue<'a> {
	fn new(frames: &'a Frames, device: i32) -> Self {
		// SAFETY: a socket address is plain numbers, for which zero is a value.
		let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
		address.sll_family = libc::AF_PACKET as libc::c_ushort;
		address.sll_protocol = (libc::ETH_P_IP as u16).to_be();
		address.sll_ifindex = device;
		let mut vectors: Vec<libc::iovec> = frames
			.bounds
			.iter()
			// The kernel only reads what it sends. Each frame lies within the bytes.
			.map(|(start, length)| libc::iovec {
				iov_base: frames.bytes.as_ptr().wrapping_add(*start).cast_mut().cast(),
				iov_len: *length,
			})
			.collect();
		let mut address = vec![address];
		let name = address.as_mut_ptr();
		let messages = vectors
			.iter_mut()
			.map(|vector| {
				// SAFETY: a message header is numbers and pointers, for which zero and null are values.
				let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
				message.msg_hdr.msg_name = name.cast();
				message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
				message.msg_hdr.msg_iov = vector;
				message.msg_hdr.msg_iovlen = 1;
				message
			})
			.collect();
		Self { messages, _vectors: vectors, _address: address, _frames: frames }
	}

	/// Sends `count` frames from `position` on; how many went.
	fn send(&mut self, socket: i32, position: usize, count: usize) -> io::Result<usize> {
		let messages = self.messages.get_mut(position..position + count).unwrap_or_default();
		// SAFETY: the headers are as many as is said, and what they point to lives as long as this does and stays where it is.
		let gone = unsafe { libc::sendmmsg(socket, messages.as_mut_ptr(), messages.len() as libc::c_uint, 0) };
		usize::try_from(gone).map_err(|_| io::Error::last_os_error())
	}
}
