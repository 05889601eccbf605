//! Files of recorded packets: what other tools write, and every way in which such a file can be wrong.

use proptest::prelude::*;
use ringfence_enforcer::daemon::capture::{
	pcap::{self, PcapError, Recording},
	Link,
};
use std::path::Path;

/// A frame out of a file: its bytes, its length on the wire, its time, whether it went out, and what it begins with.
type Seen = (Vec<u8>, u32, u64, bool, Link);

/// All frames, and the error that ended them.
fn read(file: &[u8]) -> (Vec<Seen>, Option<PcapError>) {
	let mut seen = Vec::new();
	let mut recording = match Recording::new(file) {
		Ok(recording) => recording,
		Err(error) => return (seen, Some(error)),
	};
	loop {
		match recording.next_frame() {
			Ok(Some((frame, link))) => {
				assert_eq!(frame.vlan, None);
				seen.push((frame.bytes.to_vec(), frame.wire_length, frame.time, frame.outgoing, link));
			}
			Ok(None) => return (seen, None),
			Err(error) => return (seen, Some(error)),
		}
	}
}

fn sound(file: &[u8]) -> Vec<Seen> {
	match read(file) {
		(seen, None) => seen,
		(_, Some(error)) => panic!("{error}"),
	}
}

fn refusal(file: &[u8]) -> PcapError {
	read(file).1.expect("the file is accepted")
}

/// Writes numbers in one of the two orders.
#[derive(Clone, Copy)]
struct Pen {
	big: bool,
}

const PENS: [Pen; 2] = [Pen { big: false }, Pen { big: true }];
const LITTLE: Pen = PENS[0];

impl Pen {
	fn half(self, number: u16) -> Vec<u8> {
		if self.big { number.to_be_bytes() } else { number.to_le_bytes() }.to_vec()
	}

	fn word(self, number: u32) -> Vec<u8> {
		if self.big { number.to_be_bytes() } else { number.to_le_bytes() }.to_vec()
	}

	fn words(self, numbers: &[u32]) -> Vec<u8> {
		numbers.iter().flat_map(|number| self.word(*number)).collect()
	}

	/// A pcap file's header.
	fn pcap(self, magic: u32, link: u32) -> Vec<u8> {
		let version = [self.half(2), self.half(4)].concat();
		[self.word(magic), version, self.words(&[0, 0, 65_535, link])].concat()
	}

	fn record(self, seconds: u32, part: u32, bytes: &[u8], wire_length: u32) -> Vec<u8> {
		[self.words(&[seconds, part, bytes.len() as u32, wire_length]), bytes.to_vec()].concat()
	}

	/// A pcapng block.
	fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
		let body = padded(body);
		let length = body.len() as u32 + 12;
		[self.words(&[kind, length]), body, self.word(length)].concat()
	}

	fn section(self) -> Vec<u8> {
		let version = [self.half(1), self.half(0)].concat();
		let body = [self.word(0x1a2b_3c4d), version, self.words(&[u32::MAX, u32::MAX])].concat();
		self.block(0x0a0d_0d0a, &body)
	}

	fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
		[self.half(code), self.half(value.len() as u16), padded(value)].concat()
	}

	fn interface(self, link: u16, snap_length: u32, options: &[u8]) -> Vec<u8> {
		self.block(1, &[self.half(link), self.half(0), self.word(snap_length), options.to_vec()].concat())
	}

	fn packet(self, interface: u32, time: u64, bytes: &[u8], wire_length: u32, options: &[u8]) -> Vec<u8> {
		let head = [interface, (time >> 32) as u32, time as u32, bytes.len() as u32, wire_length];
		self.block(6, &[self.words(&head), padded(bytes), options.to_vec()].concat())
	}
}

/// Filled up to a multiple of four.
fn padded(bytes: &[u8]) -> Vec<u8> {
	let mut bytes = bytes.to_vec();
	bytes.resize(bytes.len().next_multiple_of(4), 0);
	bytes
}

#[test]
fn pcap_is_read_in_both_orders_and_both_units() {
	for pen in PENS {
		for (magic, time) in [(0xa1b2_c3d4, 7_000_009_000), (0xa1b2_3c4d, 7_000_000_009)] {
			let file = [pen.pcap(magic, 1), pen.record(7, 9, b"frame", 5), pen.record(7, 9, b"cut", 1_500)].concat();
			let expected: [Seen; 2] = [
				(b"frame".to_vec(), 5, time, false, Link::Ethernet),
				(b"cut".to_vec(), 1_500, time, false, Link::Ethernet),
			];
			assert_eq!(sound(&file), expected);
		}
	}
}

#[test]
fn a_file_without_packets_is_one() {
	assert!(sound(&LITTLE.pcap(0xa1b2_c3d4, 1)).is_empty());
	assert!(sound(&LITTLE.section()).is_empty());
}

#[test]
fn what_frames_begin_with_is_told() {
	for (number, link) in [
		(0, Link::Null),
		(1, Link::Ethernet),
		(12, Link::Raw),
		(101, Link::Raw),
		(108, Link::Null),
		(113, Link::Cooked),
		(228, Link::Raw),
		(229, Link::Raw),
		(276, Link::CookedV2),
		// With a frame check sequence of four octets.
		(0x4400_0001, Link::Ethernet),
	] {
		let file = [LITTLE.pcap(0xa1b2_c3d4, number), LITTLE.record(0, 0, b"x", 1)].concat();
		assert_eq!(sound(&file)[0].4, link, "{number}");
	}
}

#[test]
fn a_link_type_that_is_not_understood_is_named() {
	let error = refusal(&LITTLE.pcap(0xa1b2_c3d4, 127));
	assert!(matches!(error, PcapError::Link(127)), "{error}");
	assert!(error.to_string().contains("127"));
	// In pcapng only where there is a packet of it.
	let file = [LITTLE.section(), LITTLE.interface(127, 0, &[]), LITTLE.interface(1, 0, &[])].concat();
	let (good, bad) = (LITTLE.packet(1, 0, b"x", 1, &[]), LITTLE.packet(0, 0, b"x", 1, &[]));
	assert_eq!(sound(&[&file[..], &good[..]].concat()).len(), 1);
	assert!(matches!(refusal(&[&file[..], &bad[..]].concat()), PcapError::Link(127)));
}

#[test]
fn a_cooked_frame_tells_which_way_it_went() {
	for (number, at) in [(113, 1), (276, 10)] {
		for kind in [0, 4] {
			let mut bytes = [0; 20];
			bytes[at] = kind;
			let file = [LITTLE.pcap(0xa1b2_c3d4, number), LITTLE.record(0, 0, &bytes, 20)].concat();
			assert_eq!(sound(&file)[0].3, kind == 4, "{number}");
		}
	}
}

#[test]
fn pcapng_is_read_in_both_orders() {
	for pen in PENS {
		let file = [
			pen.section(),
			pen.interface(1, 0, &[]),
			pen.block(4, b"names are passed over"),
			pen.packet(0, 7_000_009, b"frame", 5, &[]),
			pen.packet(0, 7_000_009, b"cut", 1_500, &pen.option(2, &pen.word(2))),
		]
		.concat();
		let expected: [Seen; 2] = [
			(b"frame".to_vec(), 5, 7_000_009_000, false, Link::Ethernet),
			(b"cut".to_vec(), 1_500, 7_000_009_000, true, Link::Ethernet),
		];
		assert_eq!(sound(&file), expected);
	}
}

#[test]
fn times_of_pcapng_are_in_the_units_of_their_interface() {
	let second = 1_000_000_000;
	for (resolution, offset, units, time) in [
		(9, 0, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
		(3, 0, 5, 5_000_000),
		(0, 0, 5, 5 * second),
		(0x80 | 10, 0, 1_536, 3 * second / 2),
		(6, 60, 1_000_000, 61 * second),
		(6, -60, 61_000_000, second),
		// What lies before 1970, or beyond all reckoning, is at the end that it is nearest to.
		(6, -60, 0, 0),
		(0, 0, u64::MAX, u64::MAX),
		(127, 0, u64::MAX, 0),
		(0xff, 0, u64::MAX, 0),
		(6, i64::MAX, u64::MAX, u64::MAX),
		(6, i64::MIN, u64::MAX, 0),
	] {
		for pen in PENS {
			let bytes: [u8; 8] = if pen.big { i64::to_be_bytes(offset) } else { i64::to_le_bytes(offset) };
			let options = [pen.option(2, b"eth0"), pen.option(9, &[resolution]), pen.option(14, &bytes)].concat();
			let interface = pen.interface(1, 0, &options);
			let file = [pen.section(), interface, pen.packet(0, units, b"x", 1, &[])].concat();
			assert_eq!(sound(&file)[0].2, time, "{resolution} {offset} {units}");
		}
	}
}

#[test]
fn simple_packets_have_the_time_of_the_one_before() {
	let simple = |bytes: &[u8], wire_length| LITTLE.block(3, &[LITTLE.word(wire_length), bytes.to_vec()].concat());
	let file = [
		LITTLE.section(),
		LITTLE.interface(1, 6, &[]),
		LITTLE.packet(0, 1, b"x", 1, &[]),
		simple(b"four!", 5),
		simple(b"longer", 1_500),
	]
	.concat();
	let seen = sound(&file);
	assert_eq!(seen[1], (b"four!".to_vec(), 5, 1_000, false, Link::Ethernet));
	assert_eq!(seen[2], (b"longer".to_vec(), 1_500, 1_000, false, Link::Ethernet));
}

#[test]
fn a_new_section_forgets_the_interfaces_and_the_order() {
	let [little, big] = PENS;
	let first = [little.section(), little.interface(1, 0, &[]), little.packet(0, 0, b"x", 1, &[])].concat();
	let second = [big.section(), big.interface(101, 0, &[]), big.packet(0, 0, b"y", 1, &[])].concat();
	let seen = sound(&[&first[..], &second[..]].concat());
	assert_eq!((seen[0].4, seen[1].4), (Link::Ethernet, Link::Raw));
	let stray = [big.section(), big.packet(0, 0, b"y", 1, &[])].concat();
	assert!(matches!(refusal(&[&first[..], &stray[..]].concat()), PcapError::Record { .. }));
}

#[test]
fn a_file_that_breaks_off_gives_what_was_whole() {
	let pcap = [LITTLE.pcap(0xa1b2_c3d4, 1), LITTLE.record(0, 0, b"frame", 5)].concat();
	let pcapng = [LITTLE.section(), LITTLE.interface(1, 0, &[]), LITTLE.packet(0, 0, b"frame", 5, &[])].concat();
	for (file, last) in [(&pcap, LITTLE.record(0, 0, b"second", 6)), (&pcapng, LITTLE.packet(0, 0, b"second", 6, &[]))]
	{
		for kept in 1..last.len() {
			let (seen, error) = read(&[&file[..], &last[..kept]].concat());
			assert_eq!(seen.len(), 1);
			let end = (file.len() + kept) as u64;
			assert!(matches!(error, Some(PcapError::Truncated(at)) if at == end), "{kept}: {error:?}");
		}
	}
}

#[test]
fn what_is_no_recording_is_told_from_one_that_breaks_off() {
	for file in [&b""[..], b"\xd4\xc3", b"GIF89a", &[0; 100]] {
		assert!(matches!(refusal(file), PcapError::Format), "{file:?}");
	}
	assert!(matches!(refusal(&LITTLE.pcap(0xa1b2_c3d4, 1)[..20]), PcapError::Truncated(20)));
	assert!(matches!(refusal(&LITTLE.section()[..20]), PcapError::Truncated(20)));
}

#[test]
fn records_that_make_no_sense_are_refused_with_their_place() {
	let header = LITTLE.pcap(0xa1b2_c3d4, 1);
	let long = [header, LITTLE.words(&[0, 0, 300_000, 300_000]), vec![0; 300_000]].concat();
	assert!(matches!(refusal(&long), PcapError::Record { at: 24, .. }));
	let begin = [LITTLE.section(), LITTLE.interface(1, 0, &[])].concat();
	let place = begin.len() as u64;
	let packet = LITTLE.packet(0, 0, b"frame", 5, &[]);
	let with = |at: usize, number: u32| {
		let mut packet = packet.clone();
		packet[at..at + 4].copy_from_slice(&number.to_le_bytes());
		[&begin[..], &packet[..]].concat()
	};
	for (what, file) in [
		("a length that is no multiple of four", with(4, 41)),
		("a length that is too short", with(4, 8)),
		("a block that is too long", with(4, 600_000)),
		("an interface that was not described", with(8, 1)),
		("a packet that is longer than its block", with(20, 5_000)),
		("another length at the end", with(packet.len() - 4, 44)),
	] {
		let error = refusal(&file);
		assert!(matches!(error, PcapError::Record { at, .. } if at == place), "{what}: {error}");
	}
	let many = [LITTLE.section(), LITTLE.interface(1, 0, &[]).repeat(1_025)].concat();
	assert!(matches!(refusal(&many), PcapError::Record { .. }));
}

#[test]
fn real_recordings_are_read_to_their_end() {
	let Some(data) = std::env::var_os("RINGFENCE_DATA") else {
		eprintln!("SKIPPED: RINGFENCE_DATA is not set, no real recordings to read");
		return;
	};
	let folder = Path::new(&data).join("pcap");
	let mut files = 0;
	for entry in std::fs::read_dir(&folder).unwrap() {
		let path = entry.unwrap().path();
		if path.extension().is_none_or(|extension| extension != "pcap") {
			continue;
		}
		let name = path.display();
		let mut recording = pcap::open(&path).unwrap();
		let (mut frames, mut octets) = (0_u64, 24);
		while let Some((frame, link)) = recording.next_frame().unwrap_or_else(|error| panic!("{name}: {error}")) {
			assert_eq!(link, Link::Ethernet, "{name}");
			assert!(frame.bytes.len() >= 14 && frame.wire_length as usize >= frame.bytes.len(), "{name}");
			// Between 1990 and 2040.
			assert!((631_152_000..2_208_988_800).contains(&(frame.time / 1_000_000_000)), "{name}: {}", frame.time);
			frames += 1;
			octets += 16 + frame.bytes.len() as u64;
		}
		assert_eq!(octets, path.metadata().unwrap().len(), "{name}");
		assert!(frames > 0, "{name}");
		files += 1;
	}
	assert!(files > 0, "no recordings in {}", folder.display());
	let missing = pcap::open(&folder.join("no-such-file"));
	assert!(matches!(missing.err(), Some(PcapError::Read(_))));
}

proptest! {
	#[test]
	fn nothing_in_a_file_is_too_much(
		pcapng in any::<bool>(),
		tail in proptest::collection::vec(any::<u8>(), 0..300),
		at in 0..200_usize,
	) {
		let mut file = match pcapng {
			true => [LITTLE.section(), LITTLE.interface(1, 0, &[]), LITTLE.packet(0, 1, b"frame", 5, &[])].concat(),
			false => [LITTLE.pcap(0xa1b2_c3d4, 1), LITTLE.record(0, 0, b"frame", 5)].concat(),
		};
		let length = file.len().min(at);
		file.truncate(file.len() - length);
		file.extend(tail);
		for (bytes, wire_length, ..) in read(&file).0 {
			prop_assert!(bytes.len() <= file.len() && wire_length as usize >= bytes.len());
		}
	}
}
