//! Whoever sends packets cannot make the sensor grow.

mod world;

use std::{
	alloc::{GlobalAlloc, Layout, System},
	cell::Cell,
	net::Ipv4Addr,
};
use world::*;

thread_local! {
	/// Bytes that this thread holds, and how often it asked for some.
	static HELD: Cell<(isize, u64)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(bytes: isize) {
	// A thread that ends has nothing to count any more.
	let _ = HELD.try_with(|held| {
		let (sum, times) = held.get();
		held.set((sum + bytes, times + u64::from(bytes > 0)));
	});
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
	unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
		count(layout.size() as isize);
		// SAFETY: the caller's promises are handed on.
		unsafe { System.alloc(layout) }
	}

	unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
		count(-(layout.size() as isize));
		// SAFETY: as above.
		unsafe { System.dealloc(pointer, layout) }
	}
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn random_sources_take_no_memory() {
	let mut world = World::new();
	let mut random = 88_172_645_463_325_252_u64;
	let mut next = || {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		random
	};
	let mut findings = Vec::new();
	let mut held = None;
	for round in 0..400_000_u64 {
		let (word, ports) = (next(), next());
		let source = Ipv4Addr::from(word as u32 & 0x7fff_ffff);
		let (from, to) = ((source, ports as u16), (home((word >> 32) as u8), (ports >> 16) as u16 % 100));
		let bytes = segment(from, to, (ports >> 40) as u8 & 0x3f, word as u32, next() as u32);
		let back = segment(to, from, (ports >> 48) as u8 & 0x3f, ports as u32, word as u32);
		// A millisecond each ten packets: what is kept is given up in the meantime, too.
		let time = (world.now + round / 10) * 1_000_000;
		let _ = world.engine.frame(ringfence_sensor::Link::Raw, &bytes, time, 1, &mut findings);
		let _ = world.engine.frame(ringfence_sensor::Link::Raw, &back, time, 1, &mut findings);
		findings = Vec::new();
		// What is taken once, by the first packets, is taken.
		if round == 100_000 {
			held = Some(HELD.get().0);
		}
	}
	let grown = HELD.get().0 - held.unwrap();
	assert!(grown < 65_536, "{grown} bytes more");
}

/// Between ticks nothing is asked for, not even for a moment.
#[test]
fn packets_are_looked_at_without_allocating() {
	let mut world = World::new();
	let frames: Vec<_> = (0..20_000_u32)
		.map(|number| {
			let from = (Ipv4Addr::from(0x0505_0000 + number % 300), (number % 7) as u16 + 2_000);
			segment(from, (home(number as u8), [22, 23, 80][number as usize % 3]), 2, number, 0)
		})
		.collect();
	let mut findings = Vec::new();
	let mut look = |world: &mut World| {
		let time = world.now * 1_000_000;
		for frame in &frames {
			world.engine.frame(ringfence_sensor::Link::Raw, frame, time, 1, &mut findings).unwrap();
		}
	};
	look(&mut world);
	let asked = HELD.get().1;
	look(&mut world);
	assert_eq!(HELD.get().1, asked);
}
