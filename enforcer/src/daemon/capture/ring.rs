//! The kernel's receive ring (AF_PACKET, TPACKET_V3) on one interface.
//!
//! The kernel copies every frame of the interface, in both directions, into blocks of memory that it shares with this
//! process, and hands over one block at a time: when it is full, or [`RETIRE_MS`] after its first frame. Memory is what was
//! asked for, whatever the traffic; what does not fit is dropped and counted. The interface is not made promiscuous.
//!
//! # Security considerations
//!
//! Whoever can send a frame past the interface writes every byte of it; the kernel alone writes the headers around it.
//! All the same a block is read with checked arithmetic, like any other bytes, so that only the system calls and the
//! sharing of memory are unsafe here.

use super::{Frame, Link};
use std::{
	ffi::CString,
	io,
	mem::{offset_of, size_of},
	os::fd::{AsRawFd, FromRawFd, OwnedFd},
	ptr::{self, NonNull},
	sync::atomic::{AtomicU32, Ordering},
	time::Duration,
};

/// Octets of a block. A frame, the longest of 65,535 octets included, lies in one block.
const BLOCK: u32 = 128 * 1_024;
/// Octets of a frame in the kernel's arithmetic; frames of the third version take what they need.
const SLOT: u32 = 2_048;
/// Milliseconds after which a block with frames in it is handed over though there is room left.
const RETIRE_MS: u32 = 10;
/// Where a block's status lies in it. Written by the kernel and by us in turn.
const STATUS: usize = offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, block_status);
/// Where a block says how many frames are in it, and where the first begins.
const COUNT: usize = offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, num_pkts);
const FIRST: usize = offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt);
/// Octets of a frame's header: the ring's own, which is a multiple of the alignment, and the address after it.
const HEADER: usize = ADDRESS + size_of::<libc::sockaddr_ll>();
const ADDRESS: usize = size_of::<libc::tpacket3_hdr>();

/// Why a ring cannot be had, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
	/// The process may not capture.
	#[error("capturing packets takes the capability CAP_NET_RAW")]
	Permission,
	/// No interface has the name, or no longer the one it had.
	#[error("there is no interface {0}")]
	Gone(String),
	/// The interface carries something else than Ethernet or IP.
	#[error("interface {name} has frames of a kind that is not understood (ARPHRD {kind})")]
	Kind {
		/// The interface.
		name: String,
		/// The kernel's number of the kind.
		kind: u16,
	},
	/// A system call failed.
	#[error("{doing}: {source}")]
	Call {
		/// What was attempted.
		doing: &'static str,
		/// What the kernel said.
		source: io::Error,
	},
}

/// The error of the system call that has just failed.
fn failed(doing: &'static str) -> RingError {
	RingError::Call { doing, source: io::Error::last_os_error() }
}

fn set<T>(socket: &OwnedFd, level: i32, option: i32, value: &T, doing: &'static str) -> Result<(), RingError> {
	let length = size_of::<T>() as libc::socklen_t;
	// SAFETY: `value` is a plain value of that length, and lives longer than the call, which only reads it.
	match unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, ptr::from_ref(value).cast(), length) } {
		0 => Ok(()),
		_ => Err(failed(doing)),
	}
}

/// The number of the interface with this name.
fn index(name: &str) -> Option<i32> {
	let name = CString::new(name).ok()?;
	// SAFETY: the name ends with a zero and lives longer than the call.
	let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
	i32::try_from(index).ok().filter(|index| *index != 0)
}

/// What frames begin with on an interface of this kind.
fn link(kind: u16) -> Option<Link> {
	match kind {
		libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Some(Link::Ethernet),
		// PPP too: the kernel keeps its header to itself.
		libc::ARPHRD_NONE | libc::ARPHRD_PPP | libc::ARPHRD_TUNNEL | libc::ARPHRD_TUNNEL6 | libc::ARPHRD_SIT => {
			Some(Link::Raw)
		}
		_ => None,
	}
}

/// The memory that is shared with the kernel.
struct Map {
	start: NonNull<u8>,
	length: usize,
}

// SAFETY: the memory belongs to the process, not to a thread, and whoever owns the `Map` is the only one to use it.
unsafe impl Send for Map {}

impl Map {
	fn new(socket: &OwnedFd, length: usize) -> Result<Self, RingError> {
		let access = libc::PROT_READ | libc::PROT_WRITE;
		// SAFETY: the kernel chooses a place that nothing else has.
		let start = unsafe { libc::mmap(ptr::null_mut(), length, access, libc::MAP_SHARED, socket.as_raw_fd(), 0) };
		if start == libc::MAP_FAILED {
			return Err(failed("mapping the receive ring"));
		}
		let start = NonNull::new(start.cast()).ok_or_else(|| failed("mapping the receive ring"))?;
		Ok(Self { start, length })
	}

	/// The status of the block that begins at `offset`: one that [`Ring::next`] has been, which are the blocks' beginnings.
	fn status(&self, offset: usize) -> &AtomicU32 {
		assert!(offset.is_multiple_of(BLOCK as usize) && offset < self.length, "not a block");
		// SAFETY: the block lies in the mapping, as just checked, and its beginning is aligned to a page. Both sides only
		// ever touch this word atomically.
		unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(offset + STATUS).cast()) }
	}

	/// The block that begins at `offset`.
	///
	/// # Safety
	///
	/// The block must be ours, as its status says, for as long as the slice is used.
	unsafe fn block(&self, offset: usize) -> &[u8] {
		assert!(offset.is_multiple_of(BLOCK as usize) && offset < self.length, "not a block");
		// SAFETY: the mapping is a whole number of blocks, and the kernel leaves one alone that is ours.
		unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(offset), BLOCK as usize) }
	}
}

impl Drop for Map {
	fn drop(&mut self) {
		// SAFETY: it was mapped with this length, and nothing refers to it any more.
		unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
	}
}

/// A receive ring.
pub struct Ring {
	name: String,
	index: i32,
	link: Link,
	map: Map,
	/// Where the block begins that is handed over next.
	next: usize,
	dropped: u64,
	// Last, so that it is closed after the memory is given back.
	socket: OwnedFd,
}

impl Ring {
	/// Opens one on the interface `name`, of `memory` octets rounded down to blocks of 128 KiB, two at least. Of a frame no
	/// more than the first `snap_length` octets are kept. The interface may be down.
	pub fn open(name: &str, memory: usize, snap_length: u32) -> Result<Self, RingError> {
		// Before the name is looked up, so that who may not capture is told so first. No protocol yet: nothing comes in
		// before the interface is chosen.
		// SAFETY: takes no pointers.
		let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
		if socket < 0 {
			let source = io::Error::last_os_error();
			return Err(match source.kind() {
				io::ErrorKind::PermissionDenied => RingError::Permission,
				_ => RingError::Call { doing: "a packet socket", source },
			});
		}
		// SAFETY: the kernel has just handed it out, and nobody else has it.
		let socket = unsafe { OwnedFd::from_raw_fd(socket) };
		let index = index(name).ok_or_else(|| RingError::Gone(name.to_owned()))?;
		let version = libc::tpacket_versions::TPACKET_V3 as i32;
		set(&socket, libc::SOL_PACKET, libc::PACKET_VERSION, &version, "TPACKET_V3")?;
		truncate(&socket, snap_length)?;
		// 4 GiB less a block at most, which fits.
		let blocks = (memory / BLOCK as usize).clamp(2, (u32::MAX / BLOCK) as usize) as u32;
		let request = libc::tpacket_req3 {
			tp_block_size: BLOCK,
			tp_block_nr: blocks,
			tp_frame_size: SLOT,
			tp_frame_nr: blocks.saturating_mul(BLOCK / SLOT),
			tp_retire_blk_tov: RETIRE_MS,
			tp_sizeof_priv: 0,
			tp_feature_req_word: 0,
		};
		set(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request, "the memory of the receive ring")?;
		let map = Map::new(&socket, blocks as usize * BLOCK as usize)?;
		let kind = bind(&socket, index).map_err(|error| match error {
			RingError::Call { source, .. } if source.raw_os_error() == Some(libc::ENODEV) => {
				RingError::Gone(name.to_owned())
			}
			other => other,
		})?;
		let link = link(kind).ok_or_else(|| RingError::Kind { name: name.to_owned(), kind })?;
		Ok(Self { name: name.to_owned(), index, link, map, next: 0, dropped: 0, socket })
	}

	/// What its frames begin with.
	pub fn link(&self) -> Link {
		self.link
	}

	/// Waits for the next block, `timeout` at most, and hands over its frames in the order in which they came. Returns
	/// how many they were; 0 also where a signal came or the interface went down, which may come up again.
	///
	/// After an error the ring is of no more use: open another one.
	pub fn read(&mut self, timeout: Duration, each: &mut dyn FnMut(Frame<'_>)) -> Result<usize, RingError> {
		if !self.is_ours() && !self.wait(timeout)? {
			return Ok(0);
		}
		// SAFETY: the status says that it is ours, and the slice is gone when the status is changed below.
		let frames = walk(unsafe { self.map.block(self.next) }, each);
		self.map.status(self.next).store(libc::TP_STATUS_KERNEL, Ordering::Release);
		self.next = (self.next + BLOCK as usize) % self.map.length;
		Ok(frames)
	}

	/// Frames that the kernel had no room for, since the ring was opened.
	pub fn dropped(&mut self) -> Result<u64, RingError> {
		let mut statistics = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
		let mut length = size_of::<libc::tpacket_stats_v3>() as libc::socklen_t;
		let (socket, option) = (self.socket.as_raw_fd(), libc::PACKET_STATISTICS);
		let to = (&raw mut statistics).cast();
		// SAFETY: both pointers are to values that outlive the call, and the length is the first one's.
		if unsafe { libc::getsockopt(socket, libc::SOL_PACKET, option, to, &raw mut length) } != 0 {
			return Err(failed("the ring's statistics"));
		}
		// The kernel begins at 0 again with every question.
		self.dropped = self.dropped.saturating_add(u64::from(statistics.tp_drops));
		Ok(self.dropped)
	}

	/// Whether the next block has been handed over. What the kernel wrote before that is seen after it.
	fn is_ours(&self) -> bool {
		self.map.status(self.next).load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
	}

	/// Whether the next block has been handed over within `timeout`.
	fn wait(&self, timeout: Duration) -> Result<bool, RingError> {
		let mut question =
			libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN | libc::POLLERR, revents: 0 };
		// Upwards, so that a rest of less than a millisecond is not spent in circles.
		let timeout = i32::try_from(timeout.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX);
		// SAFETY: the pointer is to one entry, which outlives the call.
		match unsafe { libc::poll(&raw mut question, 1, timeout) } {
			0 => {}
			1.. => {
				if question.revents & libc::POLLERR != 0 {
					self.take_error()?;
				}
			}
			_ => {
				let source = io::Error::last_os_error();
				if source.kind() != io::ErrorKind::Interrupted {
					return Err(RingError::Call { doing: "waiting for packets", source });
				}
			}
		}
		if self.is_ours() {
			return Ok(true);
		}
		// Silence is also what remains of an interface that was deleted, and the name can be another one's by now.
		match index(&self.name) == Some(self.index) {
			true => Ok(false),
			false => Err(RingError::Gone(self.name.clone())),
		}
	}

	/// Clears the socket's error. An interface that is down is none: the kernel goes on when it is up.
	fn take_error(&self) -> Result<(), RingError> {
		let mut error: i32 = 0;
		let mut length = size_of::<i32>() as libc::socklen_t;
		let to = (&raw mut error).cast();
		// SAFETY: both pointers are to values that outlive the call, and the length is the first one's.
		let asked =
			unsafe { libc::getsockopt(self.socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ERROR, to, &raw mut length) };
		match (asked, error) {
			(0, 0 | libc::ENETDOWN) => Ok(()),
			(0, error) => {
				Err(RingError::Call { doing: "receiving packets", source: io::Error::from_raw_os_error(error) })
			}
			_ => Err(failed("the packet socket's error")),
		}
	}
}

/// Has the kernel keep only the beginning of frames: a filter of one instruction, which lets everything through.
fn truncate(socket: &OwnedFd, snap_length: u32) -> Result<(), RingError> {
	// A small number.
	let code = libc::BPF_RET as u16;
	// 0 would mean that nothing is let through.
	let mut filter = [libc::sock_filter { code, jt: 0, jf: 0, k: snap_length.max(1) }];
	let program = libc::sock_fprog { len: 1, filter: filter.as_mut_ptr() };
	set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program, "the length of what is kept of a packet")
}

/// Begins to receive everything on the interface; what kind of interface it is.
fn bind(socket: &OwnedFd, index: i32) -> Result<u16, RingError> {
	let mut address = libc::sockaddr_ll {
		sll_family: libc::AF_PACKET as u16,
		sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
		sll_ifindex: index,
		sll_hatype: 0,
		sll_pkttype: 0,
		sll_halen: 0,
		sll_addr: [0; 8],
	};
	let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
	// SAFETY: the pointer is to an address of that length, which outlives the call.
	if unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } != 0 {
		return Err(failed("listening on the interface"));
	}
	// SAFETY: both pointers are to values that outlive the call, and the length is the first one's.
	if unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &raw mut length) } != 0 {
		return Err(failed("the kind of the interface"));
	}
	Ok(address.sll_hatype)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
	bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

/// Hands over the frames of a block; how many they were. What does not fit into the block ends it.
fn walk(block: &[u8], each: &mut dyn FnMut(Frame<'_>)) -> usize {
	let (Some(count), Some(first)) = (word(block, COUNT), word(block, FIRST)) else { return 0 };
	let mut at = first as usize;
	for seen in 0..count as usize {
		let Some((frame, next)) = frame(block, at) else { return seen };
		each(frame);
		// In u32 on both sides, so that it cannot overflow where numbers have 64 bits; elsewhere it ends the block.
		at = at.saturating_add(next as usize);
	}
	count as usize
}

/// The frame whose header is at `at`, and how far from there the next one's is.
#[inline]
fn frame(block: &[u8], at: usize) -> Option<(Frame<'_>, u32)> {
	let rest = block.get(at..)?;
	// All indices below are offsets of fields that lie in it.
	let header: &[u8; HEADER] = rest.first_chunk()?;
	let word = |at: usize| {
		let [a, b, c, d] = [header[at], header[at + 1], header[at + 2], header[at + 3]];
		u32::from_ne_bytes([a, b, c, d])
	};
	let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
	let from = usize::from(half(offset_of!(libc::tpacket3_hdr, tp_mac)));
	let kept = word(offset_of!(libc::tpacket3_hdr, tp_snaplen)) as usize;
	let bytes = rest.get(from..)?.get(..kept)?;
	let tagged = word(offset_of!(libc::tpacket3_hdr, tp_status)) & libc::TP_STATUS_VLAN_VALID != 0;
	let tag = offset_of!(libc::tpacket3_hdr, hv1) + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tci);
	let seconds = u64::from(word(offset_of!(libc::tpacket3_hdr, tp_sec)));
	let frame = Frame {
		bytes,
		wire_length: word(offset_of!(libc::tpacket3_hdr, tp_len)),
		// 32 bits of seconds and of nanoseconds: no more than 63 bits together.
		time: seconds * 1_000_000_000 + u64::from(word(offset_of!(libc::tpacket3_hdr, tp_nsec))),
		// The lower 12 bits are the number, whatever the priority.
		vlan: tagged.then(|| (word(tag) & 0xfff) as u16),
		outgoing: header[ADDRESS + offset_of!(libc::sockaddr_ll, sll_pkttype)] == libc::PACKET_OUTGOING,
	};
	Some((frame, word(offset_of!(libc::tpacket3_hdr, tp_next_offset))))
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
		block[at..at + bytes.len()].copy_from_slice(bytes);
	}

	/// A block as the kernel would write it, with these frames.
	fn block(frames: &[&[u8]]) -> Vec<u8> {
		const BEGIN: usize = 48;
		const STRIDE: usize = 256;
		let mut block = vec![0; 4_096];
		put(&mut block, COUNT, &(frames.len() as u32).to_ne_bytes());
		put(&mut block, FIRST, &(BEGIN as u32).to_ne_bytes());
		for (number, frame) in frames.iter().enumerate() {
			let at = BEGIN + number * STRIDE;
			let next = if number + 1 == frames.len() { 0 } else { STRIDE as u32 };
			put(&mut block, at, &next.to_ne_bytes());
			put(&mut block, at + 4, &7_u32.to_ne_bytes());
			put(&mut block, at + 8, &(number as u32).to_ne_bytes());
			put(&mut block, at + 12, &(frame.len() as u32).to_ne_bytes());
			put(&mut block, at + 16, &1_500_u32.to_ne_bytes());
			put(&mut block, at + 20, &(libc::TP_STATUS_USER | libc::TP_STATUS_VLAN_VALID).to_ne_bytes());
			put(&mut block, at + 24, &82_u16.to_ne_bytes());
			put(&mut block, at + 32, &0x2005_u32.to_ne_bytes());
			block[at + 58] = libc::PACKET_OUTGOING;
			put(&mut block, at + 82, frame);
		}
		block
	}

	#[test]
	fn a_block_is_read_as_the_kernel_writes_it() {
		let mut seen = Vec::new();
		let block = block(&[b"one", b"another"]);
		let count = walk(&block, &mut |frame| {
			assert_eq!((frame.wire_length, frame.vlan, frame.outgoing), (1_500, Some(5), true));
			seen.push((frame.bytes.to_vec(), frame.time));
		});
		assert_eq!(count, 2);
		assert_eq!(seen, [(b"one".to_vec(), 7_000_000_000), (b"another".to_vec(), 7_000_000_001)]);
	}

	#[test]
	fn what_does_not_fit_ends_the_block() {
		let mut seen = 0;
		let mut wrong = block(&[b"one", b"two", b"three"]);
		put(&mut wrong, 48 + 256 + 12, &4_096_u32.to_ne_bytes());
		assert_eq!(walk(&wrong, &mut |_| seen += 1), 1);
		assert_eq!(seen, 1);
		assert_eq!(walk(&[], &mut |_| panic!("nothing is there")), 0);
	}

	#[test]
	fn who_captures_where_nothing_is_is_told_so() {
		match Ring::open("no-such-device", 1 << 20, 256) {
			Err(RingError::Gone(name)) => assert_eq!(name, "no-such-device"),
			Err(RingError::Permission) => {}
			_ => panic!("there is no such interface"),
		}
	}

	proptest! {
		#[test]
		fn no_block_is_read_beyond_its_end(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), count in 0..64_u32) {
			if bytes.len() >= 32 {
				put(&mut bytes, COUNT, &count.to_ne_bytes());
				put(&mut bytes, FIRST, &32_u32.to_ne_bytes());
			}
			let length = bytes.len();
			walk(&bytes, &mut |frame| assert!(frame.bytes.len() <= length));
		}
	}
}
