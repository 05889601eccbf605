//! What it costs to look at a packet: nanoseconds for reading its headers, and for the engine with all of its detectors, over
//! a mixed load and over a flood of random sources; and how much memory ten million such sources take.
//!
//! `bench-detectors [PACKETS]` (10,000,000 where not given).

use ringfence_primitives::Network;
use ringfence_sensor::{engine::Settings, Engine, Link, Packet};
use std::{error::Error, fs, hint::black_box, time::Instant};

/// Frames of a load, gone through over and over.
const FRAMES: usize = 8_192;
/// Packets a second: what ten gigabits carry of packets of 1,250 octets.
const RATE: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000_000_000;
const HOME: [u8; 4] = [203, 0, 113, 9];

type Outcome<T> = Result<T, Box<dyn Error>>;
type Peer = ([u8; 4], u16);

/// Resident memory, in kilobytes.
fn resident_kb() -> u64 {
	let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
	let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
	line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Something that looks random and is the same each time.
fn noise(number: u32) -> u32 {
	let mixed = number.wrapping_add(0x9e37_79b9).wrapping_mul(0x85eb_ca6b);
	(mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35).rotate_left(15)
}

/// An Ethernet frame around an IPv4 packet of this length.
fn frame(from: Peer, to: Peer, protocol: u8, length: u16) -> Vec<u8> {
	let mut frame = vec![2; 12];
	frame.extend([0x08, 0, 0x45, 0]);
	frame.extend(length.to_be_bytes());
	frame.extend([0, 1, 0, 0, 57, protocol, 0, 0]);
	frame.extend(from.0);
	frame.extend(to.0);
	frame.extend(from.1.to_be_bytes());
	frame.extend(to.1.to_be_bytes());
	frame.resize(14 + usize::from(length), 0);
	frame
}

fn tcp(from: Peer, to: Peer, flags: u8, length: u16) -> Vec<u8> {
	let mut frame = frame(from, to, 6, length);
	// Behind 14 octets of Ethernet and 20 of IP.
	frame[46] = 0x50;
	frame[47] = flags;
	frame
}

/// A download and a video with what the home sends to them, and now and then everything else: nothing of it is a flood.
fn mixed() -> Vec<Vec<u8>> {
	let (web, video, resolver, home) =
		(([192, 0, 2, 1], 443), ([192, 0, 2, 2], 443), ([192, 0, 2, 53], 53), (HOME, 50_000));
	let one = |number: u32| {
		let stranger = (noise(number).to_be_bytes(), 1_024 + (noise(number) % 60_000) as u16);
		match (number, number % 1_024, number % 16) {
			(0, ..) => tcp(home, web, 0x02, 60),
			(1, ..) => {
				let mut answer = tcp(web, home, 0x12, 60);
				// It acknowledges the first packet's sequence number, which is 0.
				answer[42..46].copy_from_slice(&1_u32.to_be_bytes());
				answer
			}
			(2, ..) => frame(home, resolver, 17, 70),
			(3, ..) => tcp(stranger, (HOME, 80), 0x02, 60),
			// Whoever speaks first is who asks.
			(4, ..) => frame(home, video, 17, 60),
			(_, 5, _) => frame(stranger, (HOME, 6_881), 17, 130),
			(.., 0..=5) => tcp(web, home, 0x10, 1_400),
			(.., 6 | 7) => tcp(home, web, 0x10, 40),
			(.., 8..=12) => frame(video, home, 17, 1_250),
			(.., 13) => frame(home, video, 17, 60),
			_ => frame(resolver, home, 17, 200),
		}
	};
	(0..FRAMES as u32).map(one).collect()
}

/// Nanoseconds that each frame takes to be read.
fn parsing(frames: &[Vec<u8>], packets: u64) -> f64 {
	let begun = Instant::now();
	for frame in frames.iter().cycle().take(packets as usize) {
		let _ = black_box(Packet::parse(Link::Ethernet, black_box(frame)));
	}
	begun.elapsed().as_nanos() as f64 / packets as f64
}

fn engine() -> Outcome<Engine> {
	let home: Network = "203.0.113.0/24".parse().map_err(|_| "the home is no network")?;
	Ok(Engine::new(&Settings { home: vec![home], ..Settings::default() }, 0x5eed, |_| false)?)
}

/// Lets the engine look at packets and prints what each takes, reading it included; `change` makes the next of a frame.
fn looking(mut frames: Vec<Vec<u8>>, packets: u64, change: impl Fn(&mut [u8], u32)) -> Outcome<()> {
	let (mut engine, mut findings) = (engine()?, Vec::new());
	let (before, begun) = (resident_kb(), Instant::now());
	for number in 0..packets {
		let time = START + number * 1_000_000_000 / RATE;
		// The remainder is below the number of frames.
		let frame = &mut frames[number as usize % FRAMES];
		change(frame, number as u32);
		engine.frame(Link::Ethernet, frame, time, 1, &mut findings)?;
		findings.clear();
	}
	let nanos = begun.elapsed().as_nanos() as f64 / packets as f64;
	println!("  all detectors, reading included: {nanos:.1} ns, {} findings", engine.counts().findings);
	println!("  resident memory: {before} kB before, {} kB after", resident_kb());
	Ok(())
}

fn main() -> Outcome<()> {
	let packets = match std::env::args().nth(1) {
		Some(packets) => packets.parse::<u64>()?.max(1),
		None => 10_000_000,
	};
	println!("{packets} packets each");
	println!("reading headers: {:.1} ns", parsing(&mixed(), packets));
	println!("openings from random sources");
	let openings = vec![tcp(([198, 51, 100, 1], 4_000), (HOME, 80), 0x02, 40); FRAMES];
	looking(openings, packets, |frame, number| {
		// Source address and port, behind 14 octets of Ethernet and 12 of IP.
		frame[26..30].copy_from_slice(&noise(number).to_be_bytes());
		frame[34..36].copy_from_slice(&(noise(number) as u16 | 0x400).to_be_bytes());
	})?;
	println!("a mixed load");
	looking(mixed(), packets, |_, _| {})
}
