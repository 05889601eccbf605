//! Recorded packets: pcap and pcapng files, read one record at a time.
//!
//! Both byte orders, and times down to the nanosecond. Blocks of pcapng that are no packets are passed over, names and
//! secrets in them included.
//!
//! # Security considerations
//!
//! Whoever made the file controls everything in it. No more than one record is in memory, of at most [`MAX_RECORD`]
//! octets, and 24 octets for each of at most [`MAX_INTERFACES`] interfaces. A file that breaks off, or makes no sense,
//! ends with an error that says where; what was read before it holds.

use super::{Frame, Link};
use std::{
	fs::File,
	io::{self, BufReader, Read},
	path::Path,
};

/// Octets of a frame at most: what the tools that capture allow.
const MAX_FRAME: u32 = 262_144;
/// Octets of a record at most: a frame, and as much again of what pcapng says about it.
const MAX_RECORD: u32 = 2 * MAX_FRAME;
/// Interfaces of one section of a pcapng file at most.
const MAX_INTERFACES: usize = 1_024;

/// Types of pcapng's blocks.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const PACKET: u32 = 6;

/// Why a file cannot be read, or not further.
#[derive(Debug, thiserror::Error)]
pub enum PcapError {
	/// The operating system says so.
	#[error("{0}")]
	Read(#[from] io::Error),
	/// It begins like neither pcap nor pcapng.
	#[error("neither a pcap nor a pcapng file")]
	Format,
	/// It ends within a record.
	#[error("the file breaks off after {0} octets")]
	Truncated(u64),
	/// Frames of a kind that is not understood.
	#[error("link type {0} is not understood: Ethernet, raw IP, Linux cooked and BSD loopback are")]
	Link(u32),
	/// A record that makes no sense.
	#[error("record at octet {at}: {cause}")]
	Record {
		/// Where it begins.
		at: u64,
		/// What is wrong.
		cause: &'static str,
	},
}

/// The order in which the file's numbers are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
	Little,
	Big,
}

impl Order {
	fn half(self, bytes: &[u8], at: usize) -> Option<u16> {
		let half = *bytes.get(at..)?.first_chunk::<2>()?;
		Some(match self {
			Self::Little => u16::from_le_bytes(half),
			Self::Big => u16::from_be_bytes(half),
		})
	}

	fn word(self, bytes: &[u8], at: usize) -> Option<u32> {
		let word = *bytes.get(at..)?.first_chunk::<4>()?;
		Some(match self {
			Self::Little => u32::from_le_bytes(word),
			Self::Big => u32::from_be_bytes(word),
		})
	}

	fn long(self, bytes: &[u8], at: usize) -> Option<u64> {
		let long = *bytes.get(at..)?.first_chunk::<8>()?;
		Some(match self {
			Self::Little => u64::from_le_bytes(long),
			Self::Big => u64::from_be_bytes(long),
		})
	}

	/// The value of an option in the list that `options` begins with; None where there is none.
	fn option(self, mut options: &[u8], wanted: u16) -> Option<&[u8]> {
		loop {
			let (code, length) = (self.half(options, 0)?, usize::from(self.half(options, 2)?));
			let value = options.get(4..)?.get(..length)?;
			match code {
				0 => return None,
				_ if code == wanted => return Some(value),
				_ => options = options.get(4 + length.next_multiple_of(4)..)?,
			}
		}
	}
}

/// What a pcapng file says about an interface.
#[derive(Clone, Copy)]
struct Interface {
	link: Result<Link, u32>,
	/// Octets kept of a frame; 0 is no limit.
	snap_length: u32,
	/// Units of time: a negative power of ten, or of two with the highest bit set.
	resolution: u8,
	/// Seconds to add to every time.
	offset: i64,
}

impl Interface {
	/// Units of this interface as nanoseconds since 1970; 0 before, and the last there are where they are more.
	fn time(self, units: u64) -> u64 {
		const SECOND: u128 = 1_000_000_000;
		// 64 bits and 30 fit.
		let scaled = u128::from(units) * SECOND;
		let exponent = u32::from(self.resolution & 0x7f);
		let nanoseconds = match self.resolution & 0x80 {
			0 => 10_u128.checked_pow(exponent).map_or(0, |unit| scaled / unit),
			_ => scaled.checked_shr(exponent).unwrap_or(0),
		};
		let offset = u128::from(self.offset.unsigned_abs()) * SECOND;
		let time = match self.offset < 0 {
			true => nanoseconds.saturating_sub(offset),
			false => nanoseconds.saturating_add(offset),
		};
		u64::try_from(time).unwrap_or(u64::MAX)
	}
}

/// Which of the two formats, and what is known so far.
enum Format {
	Pcap {
		link: Link,
		/// Nanoseconds of the unit below the second.
		unit: u64,
	},
	Pcapng {
		interfaces: Vec<Interface>,
	},
}

/// What is known of a packet beside its bytes.
struct Head {
	/// Where in the record its bytes lie.
	from: usize,
	length: u32,
	wire_length: u32,
	time: u64,
	outgoing: bool,
	/// What it begins with; the number of the link type where that is not understood.
	link: Result<Link, u32>,
}

/// A file of recorded packets.
pub struct Recording<R> {
	source: R,
	order: Order,
	format: Format,
	/// The last record, without its header.
	record: Vec<u8>,
	/// Octets read so far.
	read: u64,
	/// The time of the last packet, for those that have none.
	time: u64,
}

/// Opens a file.
pub fn open(path: &Path) -> Result<Recording<BufReader<File>>, PcapError> {
	Recording::new(BufReader::with_capacity(1 << 16, File::open(path)?))
}

impl<R: Read> Recording<R> {
	/// Reads the beginning of a file. It is read in small pieces: buffer what costs a system call.
	pub fn new(source: R) -> Result<Self, PcapError> {
		let (order, format) = (Order::Little, Format::Pcapng { interfaces: Vec::new() });
		let mut this = Self { source, order, format, record: Vec::new(), read: 0, time: 0 };
		let mut magic = [0; 4];
		match this.fill(&mut magic) {
			Ok(true) => {}
			Ok(false) | Err(PcapError::Truncated(_)) => return Err(PcapError::Format),
			Err(error) => return Err(error),
		}
		let (order, unit) = match u32::from_be_bytes(magic) {
			SECTION => {
				this.section()?;
				return Ok(this);
			}
			0xa1b2_c3d4 => (Order::Big, 1_000),
			0xa1b2_3c4d => (Order::Big, 1),
			0xd4c3_b2a1 => (Order::Little, 1_000),
			0x4d3c_b2a1 => (Order::Little, 1),
			_ => return Err(PcapError::Format),
		};
		let mut header = [0; 20];
		this.must_fill(&mut header)?;
		let number = order.word(&header, 16).unwrap_or_default();
		this.order = order;
		// What stands above the number tells of checksums behind frames.
		this.format = Format::Pcap { link: link(number & 0x03ff_ffff).map_err(PcapError::Link)?, unit };
		Ok(this)
	}

	/// The next packet and what it begins with; None at the end. After an error there is nothing more.
	///
	/// Only pcapng and Linux cooked frames tell which way a packet went; the others count as not sent by this machine.
	pub fn next_frame(&mut self) -> Result<Option<(Frame<'_>, Link)>, PcapError> {
		let head = match self.format {
			Format::Pcap { link, unit } => self.pcap_record(link, unit)?,
			Format::Pcapng { .. } => self.pcapng_packet()?,
		};
		let Some(head) = head else { return Ok(None) };
		let link = head.link.map_err(PcapError::Link)?;
		self.time = head.time;
		let bytes = self.record.get(head.from..).and_then(|rest| rest.get(..head.length as usize));
		let bytes = bytes.ok_or(PcapError::Record { at: self.read, cause: "the packet is longer than its record" })?;
		let outgoing = head.outgoing || went_out(link, bytes);
		let wire_length = head.wire_length.max(head.length);
		Ok(Some((Frame { bytes, wire_length, time: head.time, vlan: None, outgoing }, link)))
	}

	fn pcap_record(&mut self, link: Link, unit: u64) -> Result<Option<Head>, PcapError> {
		let at = self.read;
		let mut header = [0; 16];
		if !self.fill(&mut header)? {
			return Ok(None);
		}
		// They all lie within the header.
		let word = |at| u64::from(self.order.word(&header, at).unwrap_or_default());
		let (seconds, part) = (word(0), word(4));
		let (length, wire_length) = (word(8) as u32, word(12) as u32);
		if length > MAX_FRAME {
			return Err(PcapError::Record { at, cause: "a packet of more than 262,144 octets" });
		}
		self.take(length)?;
		// 32 bits each, times 30 and 10: no more than 63 bits together.
		let time = seconds * 1_000_000_000 + part * unit;
		Ok(Some(Head { from: 0, length, wire_length, time, outgoing: false, link: Ok(link) }))
	}

	/// Reads blocks until one is a packet.
	fn pcapng_packet(&mut self) -> Result<Option<Head>, PcapError> {
		loop {
			let at = self.read;
			let mut kind = [0; 4];
			if !self.fill(&mut kind)? {
				return Ok(None);
			}
			let kind = self.order.word(&kind, 0).unwrap_or_default();
			// Reads the same in both orders, and the order begins anew with it.
			if kind == SECTION {
				self.section()?;
				continue;
			}
			let mut length = [0; 4];
			self.must_fill(&mut length)?;
			let length = self.order.word(&length, 0).unwrap_or_default();
			let wrong = |cause| PcapError::Record { at, cause };
			let body =
				length.checked_sub(12).filter(|_| length.is_multiple_of(4)).ok_or_else(|| wrong("a wrong length"))?;
			let head = match kind {
				INTERFACE | OLD_PACKET | SIMPLE_PACKET | PACKET => {
					if length > MAX_RECORD {
						return Err(wrong("a block of more than 524,288 octets"));
					}
					self.take(body)?;
					match kind {
						INTERFACE => {
							self.interface().ok_or_else(|| wrong("an interface that makes no sense"))?;
							None
						}
						_ => Some(self.head(kind).ok_or_else(|| wrong("a packet that makes no sense"))?),
					}
				}
				_ => {
					self.skip(u64::from(body))?;
					None
				}
			};
			let mut again = [0; 4];
			self.must_fill(&mut again)?;
			if self.order.word(&again, 0) != Some(length) {
				return Err(wrong("its length differs at its end"));
			}
			if head.is_some() {
				return Ok(head);
			}
		}
	}

	/// The rest of a section's header, after its type.
	fn section(&mut self) -> Result<(), PcapError> {
		let at = self.read.saturating_sub(4);
		let wrong = |cause| PcapError::Record { at, cause };
		let mut header = [0; 8];
		self.must_fill(&mut header)?;
		let [a, b, c, d, magic @ ..] = header;
		self.order = match u32::from_be_bytes(magic) {
			0x1a2b_3c4d => Order::Big,
			0x4d3c_2b1a => Order::Little,
			_ => return Err(wrong("a section in no byte order")),
		};
		let length = self.order.word(&[a, b, c, d], 0).unwrap_or_default();
		// Type, length, order and, at the end, the length again: what is between is not needed.
		let rest = length.checked_sub(16).filter(|rest| *rest >= 12).ok_or_else(|| wrong("a wrong length"))?;
		self.skip(u64::from(rest))?;
		let mut again = [0; 4];
		self.must_fill(&mut again)?;
		if self.order.word(&again, 0) != Some(length) {
			return Err(wrong("its length differs at its end"));
		}
		self.format = Format::Pcapng { interfaces: Vec::new() };
		Ok(())
	}

	/// Remembers the interface that the record describes; None where it makes no sense, or is one too many.
	fn interface(&mut self) -> Option<()> {
		let Format::Pcapng { interfaces } = &mut self.format else { return None };
		if interfaces.len() >= MAX_INTERFACES {
			return None;
		}
		let (order, record) = (self.order, &self.record);
		let options = record.get(8..)?;
		interfaces.push(Interface {
			link: link(u32::from(order.half(record, 0)?)),
			snap_length: order.word(record, 4)?,
			resolution: order.option(options, 9).and_then(|value| value.first().copied()).unwrap_or(6),
			offset: order.option(options, 14).and_then(|value| order.long(value, 0)).unwrap_or(0) as i64,
		});
		Some(())
	}

	/// The packet that the record is; None where it makes no sense, such as one of an interface that was not described.
	fn head(&self, kind: u32) -> Option<Head> {
		let Format::Pcapng { interfaces } = &self.format else { return None };
		let (order, record) = (self.order, &self.record);
		if kind == SIMPLE_PACKET {
			let interface = interfaces.first()?;
			let wire_length = order.word(record, 0)?;
			let kept = u32::try_from(record.len().checked_sub(4)?).ok()?;
			let limit = if interface.snap_length == 0 { kept } else { interface.snap_length.min(kept) };
			let (length, time, outgoing) = (wire_length.min(limit), self.time, false);
			return Some(Head { from: 4, length, wire_length, time, outgoing, link: interface.link });
		}
		let number = match kind {
			PACKET => order.word(record, 0)?,
			_ => u32::from(order.half(record, 0)?),
		};
		let interface = interfaces.get(number as usize)?;
		let units = (u64::from(order.word(record, 4)?) << 32) | u64::from(order.word(record, 8)?);
		let (length, wire_length) = (order.word(record, 12)?, order.word(record, 16)?);
		if length > MAX_FRAME {
			return None;
		}
		// Within `usize`: the length has just been bounded.
		let options = record.get(20 + (length as usize).next_multiple_of(4)..)?;
		// Its lowest two bits: 1 is inbound, 2 outbound.
		let flags = order.option(options, 2).and_then(|value| order.word(value, 0)).unwrap_or(0);
		let (time, outgoing) = (interface.time(units), flags & 3 == 2);
		Some(Head { from: 20, length, wire_length, time, outgoing, link: interface.link })
	}

	/// Fills `to`. False where the file has just ended.
	fn fill(&mut self, to: &mut [u8]) -> Result<bool, PcapError> {
		let mut filled = 0;
		while let Some(rest) = to.get_mut(filled..).filter(|rest| !rest.is_empty()) {
			match self.source.read(rest) {
				Ok(0) if filled == 0 => return Ok(false),
				Ok(0) => return Err(PcapError::Truncated(self.read)),
				Ok(read) => {
					filled += read;
					self.read = self.read.saturating_add(read as u64);
				}
				Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
				Err(error) => return Err(error.into()),
			}
		}
		Ok(true)
	}

	fn must_fill(&mut self, to: &mut [u8]) -> Result<(), PcapError> {
		match self.fill(to)? {
			true => Ok(()),
			false => Err(PcapError::Truncated(self.read)),
		}
	}

	/// Reads the next octets as the record; at most [`MAX_RECORD`].
	fn take(&mut self, length: u32) -> Result<(), PcapError> {
		self.record.clear();
		// Grows with what is there, not with what is claimed.
		let read = self.source.by_ref().take(u64::from(length)).read_to_end(&mut self.record)?;
		self.read = self.read.saturating_add(read as u64);
		match read == length as usize {
			true => Ok(()),
			false => Err(PcapError::Truncated(self.read)),
		}
	}

	fn skip(&mut self, length: u64) -> Result<(), PcapError> {
		let skipped = io::copy(&mut self.source.by_ref().take(length), &mut io::sink())?;
		self.read = self.read.saturating_add(skipped);
		match skipped == length {
			true => Ok(()),
			false => Err(PcapError::Truncated(self.read)),
		}
	}
}

/// What frames of this link type begin with; the number again where they are not understood.
fn link(number: u32) -> Result<Link, u32> {
	match number {
		0 | 108 => Ok(Link::Null),
		1 => Ok(Link::Ethernet),
		// 12 and 14: what some systems wrote before 101 was agreed on.
		12 | 14 | 101 | 228 | 229 => Ok(Link::Raw),
		113 => Ok(Link::Cooked),
		276 => Ok(Link::CookedV2),
		_ => Err(number),
	}
}

/// Whether a cooked header says that the machine which captured had sent the packet.
fn went_out(link: Link, bytes: &[u8]) -> bool {
	match link {
		Link::Cooked => bytes.get(1) == Some(&libc::PACKET_OUTGOING),
		Link::CookedV2 => bytes.get(10) == Some(&libc::PACKET_OUTGOING),
		_ => false,
	}
}
