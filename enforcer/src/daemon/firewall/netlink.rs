//! A small codec and socket for nfnetlink: batches out, acknowledgements and replies in.
//!
//! # Terms
//!
//! A *message* is a header, the family and a list of attributes (type, length, value; nested where the kernel says so;
//! numbers big-endian). A *batch* is a list of messages between two markers which the kernel carries out wholly or not
//! at all, provided that it arrives in one `sendmsg`. What fits into one is therefore bounded by the send buffer:
//! [`Socket::batch_limit`].
//!
//! # Security considerations
//!
//! The socket is connected to the kernel, so no other process can send to it. Replies are bounds-checked all the same;
//! what does not parse is skipped or an error, never a panic. Netfilter answers within `sendmsg` (and continues a dump
//! within `recvmsg`), so this module never waits and needs no timeouts.

use std::{
	io,
	os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

const HEADER: usize = 16;
/// `struct nfgenmsg`: family, version, resource.
const FAMILY: usize = 4;
const ERRNO: usize = 4;
/// `NFPROTO_INET`: a table for IPv4 and IPv6 alike.
const INET: u8 = 1;
const NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
/// Asked of the kernel, which doubles it; memory is used only while a batch is under way.
const SEND_BUFFER: libc::c_int = 32 << 20;
/// Room for the errors of a batch of which every message fails.
const RECEIVE_BUFFER: libc::c_int = 4 << 20;
/// The kernel builds dumps in pieces of at most 32 KiB.
const DATAGRAM: usize = 64 << 10;
/// `netlink_sendmsg` keeps this much of the send buffer to itself.
const SEND_RESERVE: usize = 32;
/// Each attempt that meets another process's change to the rule set is a new one; nobody changes it without pause.
const ATTEMPTS: usize = 16;

/// Creates the object where it is missing.
pub const CREATE: u16 = libc::NLM_F_CREATE as u16;
/// Refuses where the object exists.
pub const EXCLUSIVE: u16 = libc::NLM_F_EXCL as u16;
/// Puts a rule at the end of its chain instead of the beginning.
pub const APPEND: u16 = libc::NLM_F_APPEND as u16;
const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const ACK: u16 = libc::NLM_F_ACK as u16;
const DUMP: u16 = libc::NLM_F_DUMP as u16;
const DUMP_INTERRUPTED: u16 = libc::NLM_F_DUMP_INTR as u16;
const BEGIN: u16 = libc::NFNL_MSG_BATCH_BEGIN as u16;
const END: u16 = libc::NFNL_MSG_BATCH_END as u16;
const NF_TABLES: u16 = libc::NFNL_SUBSYS_NFTABLES as u16;

/// Whom in the kernel a request is for: the subsystem, and the family of addresses that it is about.
#[derive(Clone, Copy)]
pub struct Service {
	subsystem: u16,
	family: u8,
}

impl Service {
	/// nf_tables, family `inet`.
	const TABLES: Self = Self { subsystem: NF_TABLES, family: INET };
	/// Connection tracking: IPv4.
	pub const CONNECTIONS_V4: Self =
		Self { subsystem: libc::NFNL_SUBSYS_CTNETLINK as u16, family: libc::AF_INET as u8 };
	/// Connection tracking: IPv6.
	pub const CONNECTIONS_V6: Self =
		Self { subsystem: libc::NFNL_SUBSYS_CTNETLINK as u16, family: libc::AF_INET6 as u8 };

	const fn kind(self, kind: i32) -> u16 {
		// Kinds within a subsystem are below 256.
		self.subsystem << 8 | kind as u16
	}
}

/// Why an exchange with the kernel failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
	/// A system call failed.
	#[error("{call}: {source}")]
	Call {
		/// Which.
		call: &'static str,
		/// How.
		source: io::Error,
	},
	/// The kernel refused messages; nothing of their batch took effect. At least one.
	#[error("{}", .0.first().map_or_else(String::new, Refusal::to_string))]
	Refused(Vec<Refusal>),
	/// Other processes kept changing the rule set while it was read.
	#[error("the rule set kept changing while it was read")]
	Restless,
	/// An answer is missing or makes no sense.
	#[error("unexpected answer of the kernel: {0}")]
	Unexpected(&'static str),
	/// The batch does not fit into one message to the kernel.
	#[error("a batch of {bytes} bytes, of which {limit} fit into the send buffer")]
	TooLarge {
		/// Its length.
		bytes: usize,
		/// The bound.
		limit: usize,
	},
}

impl NetlinkError {
	/// The kernel's error number, where it gave one.
	pub fn errno(&self) -> Option<i32> {
		match self {
			Self::Refused(refusals) => refusals.first().map(|refusal| refusal.errno),
			_ => None,
		}
	}
}

fn failed(call: &'static str) -> NetlinkError {
	NetlinkError::Call { call, source: io::Error::last_os_error() }
}

/// What the kernel said about one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
	/// Number of the message in its batch, from 1; 0 is the batch as a whole.
	pub message: usize,
	/// Error number.
	pub errno: i32,
	/// The kernel's own words, where it had any.
	pub words: Option<String>,
}

impl std::fmt::Display for Refusal {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		let error = io::Error::from_raw_os_error(self.errno);
		match &self.words {
			Some(words) => write!(f, "{words} ({error})"),
			None => error.fmt(f),
		}
	}
}

/// Bytes of messages being written.
#[derive(Default)]
struct Writer {
	bytes: Vec<u8>,
	/// An attribute was longer than its length field can say; the bytes must not be sent.
	overflow: bool,
}

impl Writer {
	fn message(&mut self, kind: u16, flags: u16, sequence: u32, family: [u8; 4], build: impl FnOnce(&mut Attributes)) {
		let start = self.bytes.len();
		self.bytes.extend(0_u32.to_ne_bytes());
		self.bytes.extend(kind.to_ne_bytes());
		self.bytes.extend(flags.to_ne_bytes());
		self.bytes.extend(sequence.to_ne_bytes());
		self.bytes.extend(0_u32.to_ne_bytes());
		self.bytes.extend(family);
		build(&mut Attributes(self));
		match u32::try_from(self.bytes.len() - start) {
			Ok(len) => self.bytes[start..start + 4].copy_from_slice(&len.to_ne_bytes()),
			Err(_) => self.overflow = true,
		}
	}
}

/// Writes the attributes of one message, or of one nest in it.
pub struct Attributes<'a>(&'a mut Writer);

impl Attributes<'_> {
	/// Raw bytes.
	pub fn bytes(&mut self, kind: u16, value: &[u8]) {
		self.framed(kind, |writer| writer.bytes.extend_from_slice(value));
	}

	/// A number, big-endian.
	pub fn u32(&mut self, kind: u16, value: u32) {
		self.bytes(kind, &value.to_be_bytes());
	}

	/// A number, big-endian.
	pub fn u64(&mut self, kind: u16, value: u64) {
		self.bytes(kind, &value.to_be_bytes());
	}

	/// Text, with the NUL that the kernel expects.
	pub fn text(&mut self, kind: u16, value: &str) {
		self.framed(kind, |writer| {
			writer.bytes.extend_from_slice(value.as_bytes());
			writer.bytes.push(0);
		});
	}

	/// Attributes within an attribute.
	pub fn nest(&mut self, kind: u16, build: impl FnOnce(&mut Attributes)) {
		self.framed(kind | NESTED, |writer| build(&mut Attributes(writer)));
	}

	/// Attributes within an attribute, as they came from the kernel.
	pub fn nested(&mut self, kind: u16, value: &[u8]) {
		self.bytes(kind | NESTED, value);
	}

	fn framed(&mut self, kind: u16, build: impl FnOnce(&mut Writer)) {
		let writer = &mut *self.0;
		let start = writer.bytes.len();
		writer.bytes.extend([0; 2]);
		writer.bytes.extend(kind.to_ne_bytes());
		build(writer);
		match u16::try_from(writer.bytes.len() - start) {
			Ok(len) => writer.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes()),
			Err(_) => writer.overflow = true,
		}
		// Every message and attribute begins on a multiple of four.
		writer.bytes.resize(writer.bytes.len().next_multiple_of(4), 0);
	}
}

/// Messages that take effect together. Made by [`Socket::batch`].
pub struct Batch {
	writer: Writer,
	first: u32,
	count: u32,
	last: usize,
}

impl Batch {
	pub(super) fn new(first: u32) -> Self {
		let mut batch = Self { writer: Writer::default(), first, count: 0, last: 0 };
		batch.marker(BEGIN, first);
		batch
	}

	fn marker(&mut self, kind: u16, sequence: u32) {
		let [high, low] = NF_TABLES.to_be_bytes();
		self.writer.message(kind, REQUEST, sequence, [0, 0, high, low], |_| ());
	}

	/// Adds a message of nf_tables about the family `inet`. `kind` is one of `NFT_MSG_*`.
	pub fn message(&mut self, kind: u16, flags: u16, build: impl FnOnce(&mut Attributes)) {
		self.count = self.count.wrapping_add(1);
		self.last = self.writer.bytes.len();
		let sequence = self.first.wrapping_add(self.count);
		self.writer.message(nf_tables(kind), flags | REQUEST, sequence, [INET, 0, 0, 0], build);
	}

	/// Whether there are no messages.
	pub fn is_empty(&self) -> bool {
		self.count == 0
	}

	/// Its length in bytes.
	pub fn size(&self) -> usize {
		self.writer.bytes.len()
	}

	/// Whether an attribute was longer than 65,535 bytes; such a batch is refused.
	pub fn is_malformed(&self) -> bool {
		self.writer.overflow
	}

	/// Kind (`NFT_MSG_*`) and attributes of message `number`, counted from 1, for error messages.
	pub fn describe(&self, number: usize) -> Option<(u16, &[u8])> {
		let message = messages(&self.writer.bytes).nth(number)?;
		Some((message.kind & 0xff, message.payload.get(FAMILY..)?))
	}

	/// Asks for an acknowledgement of the last message only (the kernel sends errors unasked), and closes the batch.
	fn seal(&mut self) {
		let flags = self.last + 6..self.last + 8;
		// `last` is where `message` began to write a header of 16 bytes.
		let mut acknowledged = [self.writer.bytes[flags.start], self.writer.bytes[flags.start + 1]];
		acknowledged = (u16::from_ne_bytes(acknowledged) | ACK).to_ne_bytes();
		self.writer.bytes[flags].copy_from_slice(&acknowledged);
		self.marker(END, self.first.wrapping_add(self.count).wrapping_add(1));
	}
}

const fn nf_tables(kind: u16) -> u16 {
	NF_TABLES << 8 | kind
}

/// A message of the kernel.
#[derive(Clone, Copy, Debug)]
struct Message<'a> {
	kind: u16,
	flags: u16,
	sequence: u32,
	payload: &'a [u8],
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
	Some(u16::from_ne_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
	Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The messages in a datagram, up to the first that is cut off or lies about its length.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
	std::iter::from_fn(move || {
		let len = usize::try_from(u32_at(bytes, 0)?).ok()?;
		let message = Message {
			kind: u16_at(bytes, 4)?,
			flags: u16_at(bytes, 6)?,
			sequence: u32_at(bytes, 8)?,
			payload: bytes.get(HEADER..len)?,
		};
		bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
		Some(message)
	})
}

/// The attributes in `bytes`, type and value, up to the first that is cut off or lies about its length.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
	std::iter::from_fn(move || {
		let len = usize::from(u16_at(bytes, 0)?);
		let attribute = (u16_at(bytes, 2)? & TYPE_MASK, bytes.get(4..len)?);
		bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
		Some(attribute)
	})
}

/// The value of the attribute `kind`.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
	attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// The attribute `kind` as a big-endian number of four bytes.
pub fn attribute_u32(bytes: &[u8], kind: u16) -> Option<u32> {
	attribute(bytes, kind)?.try_into().ok().map(u32::from_be_bytes)
}

/// The attribute `kind` as a big-endian number of eight bytes.
pub fn attribute_u64(bytes: &[u8], kind: u16) -> Option<u64> {
	attribute(bytes, kind)?.try_into().ok().map(u64::from_be_bytes)
}

/// The attribute `kind` as text, up to a NUL.
pub fn attribute_text(bytes: &[u8], kind: u16) -> Option<&str> {
	std::str::from_utf8(attribute(bytes, kind)?.split(|byte| *byte == 0).next()?).ok()
}

/// Error number (0 for success) and the kernel's words, out of an `NLMSG_ERROR`.
fn verdict(message: &Message<'_>) -> Option<(i32, Option<String>)> {
	let errno = i32::from_ne_bytes(message.payload.get(..ERRNO)?.try_into().ok()?).checked_neg()?;
	let words = || {
		if message.flags & NLM_F_ACK_TLVS == 0 {
			return None;
		}
		let quoted = match message.flags & NLM_F_CAPPED {
			0 => usize::try_from(u32_at(message.payload, ERRNO)?).ok()?.checked_next_multiple_of(4)?,
			_ => HEADER,
		};
		attribute_text(message.payload.get(ERRNO.checked_add(quoted)?..)?, NLMSGERR_ATTR_MSG).map(str::to_owned)
	};
	Some((errno, words()))
}

/// A netfilter socket, bound to the network namespace of the thread that opened it.
pub struct Socket {
	fd: OwnedFd,
	sequence: u32,
	limit: usize,
	buffer: Vec<u8>,
}

impl Socket {
	/// Opens and connects it.
	pub fn open() -> Result<Self, NetlinkError> {
		let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
		// SAFETY: no pointers are passed.
		let raw = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_NETFILTER) };
		if raw < 0 {
			return Err(failed("socket"));
		}
		// SAFETY: `raw` is an open descriptor that nobody else has.
		let fd = unsafe { OwnedFd::from_raw_fd(raw) };

		// SAFETY: zero is a valid value of every field; port 0 is the kernel.
		let mut kernel: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
		kernel.nl_family = libc::AF_NETLINK as libc::sa_family_t;
		let len = std::mem::size_of::<libc::sockaddr_nl>() as libc::socklen_t;
		// SAFETY: the pointer is to a `sockaddr_nl` of `len` bytes that outlives the call.
		if unsafe { libc::connect(fd.as_raw_fd(), (&raw const kernel).cast(), len) } < 0 {
			return Err(failed("connect"));
		}

		let mut socket = Self { fd, sequence: 1, limit: 0, buffer: vec![0; DATAGRAM] };
		// Without these two an error is a number without words, and repeats the message: worse to read, still right.
		let _ = socket.set(libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1);
		let _ = socket.set(libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1);
		// The forced kind needs CAP_NET_ADMIN, as all of this does; kernels before 5.16 want it outside the container.
		for (forced, asked, size) in [
			(libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, SEND_BUFFER),
			(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER),
		] {
			socket
				.set(libc::SOL_SOCKET, forced, size)
				.or_else(|_| socket.set(libc::SOL_SOCKET, asked, size))
				.map_err(|source| NetlinkError::Call { call: "setsockopt", source })?;
		}
		socket.limit = socket.send_buffer()?.saturating_sub(SEND_RESERVE);
		Ok(socket)
	}

	fn set(&self, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
		let len = std::mem::size_of::<libc::c_int>() as libc::socklen_t;
		// SAFETY: the pointer is to an int of `len` bytes that outlives the call.
		match unsafe { libc::setsockopt(self.fd.as_raw_fd(), level, option, (&raw const value).cast(), len) } {
			0 => Ok(()),
			_ => Err(io::Error::last_os_error()),
		}
	}

	fn send_buffer(&self) -> Result<usize, NetlinkError> {
		let (mut size, mut len): (libc::c_int, _) = (0, std::mem::size_of::<libc::c_int>() as libc::socklen_t);
		let (level, option) = (libc::SOL_SOCKET, libc::SO_SNDBUF);
		// SAFETY: the pointers are to an int of `len` bytes and to `len`, and outlive the call.
		match unsafe { libc::getsockopt(self.fd.as_raw_fd(), level, option, (&raw mut size).cast(), &raw mut len) } {
			0 => Ok(usize::try_from(size).unwrap_or_default()),
			_ => Err(failed("getsockopt")),
		}
	}

	/// Bytes that a batch may have.
	pub fn batch_limit(&self) -> usize {
		self.limit
	}

	/// An empty batch.
	pub fn batch(&self) -> Batch {
		Batch::new(self.sequence)
	}

	/// Carries out a batch, wholly or not at all. On [`NetlinkError::Refused`], [`Batch::describe`] still tells what the
	/// refused messages were.
	pub fn commit(&mut self, batch: &mut Batch) -> Result<(), NetlinkError> {
		if batch.is_empty() {
			return Ok(());
		}
		batch.seal();
		self.sequence = batch.first.wrapping_add(batch.count).wrapping_add(2);
		let bytes = batch.size();
		if batch.is_malformed() || bytes > self.limit {
			return Err(NetlinkError::TooLarge { bytes, limit: self.limit });
		}
		for _ in 0..ATTEMPTS {
			let (mut acknowledged, mut refusals) = (false, Vec::new());
			self.exchange(&batch.writer.bytes, |message| {
				let number = message.sequence.wrapping_sub(batch.first);
				if i32::from(message.kind) != libc::NLMSG_ERROR || number > batch.count {
					return;
				}
				match verdict(&message) {
					Some((0, _)) => acknowledged |= number == batch.count,
					// `number` is at most the number of messages in memory.
					Some((errno, words)) => refusals.push(Refusal { message: number as usize, errno, words }),
					None => (),
				}
			})?;
			match refusals.first() {
				Some(Refusal { errno: libc::EAGAIN | libc::EINTR | libc::ERESTART, .. }) => (),
				Some(_) => return Err(NetlinkError::Refused(refusals)),
				None if acknowledged => return Ok(()),
				None => return Err(NetlinkError::Unexpected("no acknowledgement")),
			}
		}
		Err(NetlinkError::Restless)
	}

	/// Asks for one object; `kind` is one of `NFT_MSG_GET*`. Returns its attributes, or none where it does not exist.
	pub fn get(&mut self, kind: i32, build: impl FnOnce(&mut Attributes)) -> Result<Option<Vec<u8>>, NetlinkError> {
		let mut reply = None;
		match self.request(Service::TABLES, kind, 0, build, |bytes| reply = Some(bytes.to_vec())) {
			Ok(_) if reply.is_none() => Err(NetlinkError::Unexpected("no reply")),
			Ok(_) => Ok(reply),
			Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
			Err(error) => Err(error),
		}
	}

	/// Asks for several objects in one request, and returns how many the kernel found before the first that does not
	/// exist, or before the end.
	pub fn found(&mut self, kind: i32, build: impl FnOnce(&mut Attributes)) -> Result<usize, NetlinkError> {
		let mut found = 0_usize;
		match self.request(Service::TABLES, kind, 0, build, |_| found = found.saturating_add(1)) {
			Ok(_) => Ok(found),
			Err(error) if error.errno() == Some(libc::ENOENT) => Ok(found),
			Err(error) => Err(error),
		}
	}

	/// Asks for all objects that the attributes select, and returns the attributes of each.
	pub fn dump(&mut self, kind: i32, build: impl Fn(&mut Attributes)) -> Result<Vec<Vec<u8>>, NetlinkError> {
		for _ in 0..ATTEMPTS {
			let mut replies = Vec::new();
			match self.request(Service::TABLES, kind, DUMP, &build, |bytes| replies.push(bytes.to_vec())) {
				Ok(true) => return Ok(replies),
				Ok(false) => (),
				Err(error) if matches!(error.errno(), Some(libc::EINTR | libc::EAGAIN)) => (),
				Err(error) => return Err(error),
			}
		}
		Err(NetlinkError::Restless)
	}

	/// Asks `service` for one object or, where `all`, for every one that the attributes select, and shows `each` as it
	/// comes. What changes meanwhile may be seen or not.
	pub fn stream(
		&mut self,
		service: Service,
		kind: i32,
		all: bool,
		build: impl FnOnce(&mut Attributes),
		each: impl FnMut(&[u8]),
	) -> Result<(), NetlinkError> {
		self.request(service, kind, if all { DUMP } else { 0 }, build, each).map(drop)
	}

	/// Sends `service` one message for each of `items`; each takes effect by itself. Returns the refusals.
	pub fn tell<T>(
		&mut self,
		service: Service,
		kind: i32,
		items: &[T],
		build: impl Fn(&mut Attributes, &T),
	) -> Result<Vec<Refusal>, NetlinkError> {
		let first = self.sequence;
		let mut writer = Writer::default();
		let mut next = first;
		for item in items {
			writer.message(service.kind(kind), REQUEST | ACK, next, [service.family, 0, 0, 0], |a| build(a, item));
			next = next.wrapping_add(1);
		}
		self.sequence = next;
		if writer.overflow || writer.bytes.len() > self.limit {
			return Err(NetlinkError::TooLarge { bytes: writer.bytes.len(), limit: self.limit });
		}
		let mut refusals = Vec::new();
		self.exchange(&writer.bytes, |message| {
			let number = message.sequence.wrapping_sub(first) as usize;
			if i32::from(message.kind) != libc::NLMSG_ERROR || number >= items.len() {
				return;
			}
			if let Some((errno, words)) = verdict(&message).filter(|(errno, _)| *errno != 0) {
				refusals.push(Refusal { message: number.saturating_add(1), errno, words });
			}
		})?;
		Ok(refusals)
	}

	/// Shows `each` reply to a request; returns whether they are of one piece.
	fn request(
		&mut self,
		service: Service,
		kind: i32,
		flags: u16,
		build: impl FnOnce(&mut Attributes),
		mut each: impl FnMut(&[u8]),
	) -> Result<bool, NetlinkError> {
		let sequence = self.sequence;
		self.sequence = sequence.wrapping_add(1);
		let mut writer = Writer::default();
		writer.message(service.kind(kind), flags | REQUEST, sequence, [service.family, 0, 0, 0], build);
		let (mut consistent, mut refusal) = (true, None);
		self.exchange(&writer.bytes, |message| {
			if message.sequence != sequence {
				return;
			}
			consistent &= message.flags & DUMP_INTERRUPTED == 0;
			match i32::from(message.kind) {
				// The end of a dump carries an error number as well.
				libc::NLMSG_ERROR | libc::NLMSG_DONE => match verdict(&message) {
					Some((errno, words)) if errno != 0 => refusal = Some(Refusal { message: 1, errno, words }),
					_ => (),
				},
				_ => message.payload.get(FAMILY..).into_iter().for_each(&mut each),
			}
		})?;
		match refusal {
			Some(refusal) => Err(NetlinkError::Refused(vec![refusal])),
			None => Ok(consistent),
		}
	}

	/// Sends a datagram and shows `each` message that comes back, until nothing is left to read.
	fn exchange(&mut self, datagram: &[u8], mut each: impl FnMut(Message<'_>)) -> Result<(), NetlinkError> {
		let fd = self.fd.as_raw_fd();
		loop {
			// SAFETY: the pointer is to `len` bytes that outlive the call.
			let sent = unsafe { libc::send(fd, datagram.as_ptr().cast(), datagram.len(), 0) };
			if sent >= 0 {
				break;
			}
			let error = failed("send");
			if !matches!(&error, NetlinkError::Call { source, .. } if source.kind() == io::ErrorKind::Interrupted) {
				return Err(error);
			}
		}
		let mut lost = false;
		loop {
			// With MSG_TRUNC the true length is returned, so that a cut is noticed.
			// SAFETY: the pointer is to `len` writable bytes that outlive the call.
			let received =
				unsafe { libc::recv(fd, self.buffer.as_mut_ptr().cast(), self.buffer.len(), libc::MSG_TRUNC) };
			match usize::try_from(received) {
				Ok(len) => match self.buffer.get(..len) {
					Some(datagram) => messages(datagram).for_each(&mut each),
					None => lost = true,
				},
				Err(_) => {
					let source = io::Error::last_os_error();
					match source.raw_os_error() {
						Some(libc::EAGAIN) => break,
						Some(libc::EINTR) => (),
						Some(libc::ENOBUFS) => lost = true,
						_ => return Err(NetlinkError::Call { call: "recv", source }),
					}
				}
			}
		}
		match lost {
			true => Err(NetlinkError::Unexpected("more than the receive buffer holds")),
			false => Ok(()),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn sample() -> Batch {
		let mut batch = Batch::new(7);
		batch.message(12, CREATE, |a| {
			a.text(1, "ringfence");
			a.nest(3, |a| a.nest(1, |a| a.u64(4, 60_000)));
			a.bytes(5, &[1, 2, 3]);
		});
		batch
	}

	#[test]
	fn what_is_written_reads_back() {
		let mut batch = sample();
		batch.seal();
		let read: Vec<_> = messages(&batch.writer.bytes).collect();
		assert_eq!(read.iter().map(|m| m.kind).collect::<Vec<_>>(), [BEGIN, nf_tables(12), END]);
		assert_eq!(read.iter().map(|m| m.sequence).collect::<Vec<_>>(), [7, 8, 9]);
		assert_eq!(read[1].flags, REQUEST | CREATE | ACK);
		let body = &read[1].payload[FAMILY..];
		assert_eq!(attribute_text(body, 1), Some("ringfence"));
		let inner = attribute(attribute(body, 3).unwrap(), 1).unwrap();
		assert_eq!(attribute_u64(inner, 4), Some(60_000));
		assert_eq!(attribute(body, 5), Some(&[1_u8, 2, 3][..]));
		assert_eq!(attribute(body, 6), None);
		assert_eq!(attribute_u32(body, 5), None);
		assert_eq!(batch.describe(1).map(|(kind, _)| kind), Some(12));
		assert!(batch.describe(9).is_none());
	}

	#[test]
	fn an_attribute_that_is_too_long_is_noticed() {
		let mut batch = Batch::new(1);
		batch.message(12, 0, |a| a.bytes(1, &[0; 70_000]));
		assert!(batch.is_malformed());
	}

	#[test]
	fn errors_carry_the_words_of_the_kernel() {
		let mut payload = (-libc::EINVAL).to_ne_bytes().to_vec();
		let mut quoted = Writer::default();
		quoted.message(nf_tables(9), REQUEST, 8, [INET, 0, 0, 0], |a| a.u32(1, 1));
		let mut words = Writer::default();
		Attributes(&mut words).text(NLMSGERR_ATTR_MSG, "no such thing");
		let error =
			|payload: &[u8], flags| verdict(&Message { kind: libc::NLMSG_ERROR as u16, flags, sequence: 8, payload });
		assert_eq!(error(&payload, 0), Some((libc::EINVAL, None)));
		payload.extend(&quoted.bytes);
		payload.extend(&words.bytes);
		assert_eq!(error(&payload, NLM_F_ACK_TLVS), Some((libc::EINVAL, Some("no such thing".into()))));
		payload.drain(ERRNO + HEADER..ERRNO + quoted.bytes.len());
		let capped = NLM_F_ACK_TLVS | NLM_F_CAPPED;
		assert_eq!(error(&payload, capped), Some((libc::EINVAL, Some("no such thing".into()))));
		assert_eq!(error(&[1, 2], capped), None);
	}

	proptest! {
		/// Whatever arrives, reading it ends, and without a panic.
		#[test]
		fn garbage_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), flags: u16) {
			for message in messages(&bytes) {
				verdict(&message);
				attributes(message.payload).for_each(|(kind, value)| {
					attribute_text(value, kind);
				});
			}
			verdict(&Message { kind: 2, flags, sequence: 0, payload: &bytes });
			attributes(&bytes).for_each(drop);
		}

		/// The same for something that begins like a message and is then damaged.
		#[test]
		fn damage_is_survived(at in 0_usize..100, value: u8) {
			let mut bytes = sample().writer.bytes;
			let at = at % bytes.len();
			bytes[at] = value;
			for message in messages(&bytes) {
				attributes(message.payload.get(FAMILY..).unwrap_or_default()).for_each(|(_, nest)| {
					attributes(nest).for_each(drop);
				});
			}
		}
	}
}
