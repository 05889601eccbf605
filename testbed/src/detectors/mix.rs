//! Frames of several sequences as one, in order of time, each with the truth about it.

use std::{cmp::Reverse, collections::BinaryHeap};

/// A frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
	/// When, in nanoseconds from the first on.
	pub at: u64,
	/// Its bytes.
	pub bytes: Vec<u8>,
	/// Whether it is part of an attack.
	pub hostile: bool,
}

struct Stream {
	frames: Box<dyn Iterator<Item = (u64, Vec<u8>)>>,
	/// Its next frame.
	head: Option<(u64, Vec<u8>)>,
	hostile: bool,
}

/// Sequences that each are in order of time, as one that is.
#[derive(Default)]
pub struct Mix {
	streams: Vec<Stream>,
	/// When the next frame of each comes.
	next: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Mix {
	/// Mixes one more in.
	pub fn add(&mut self, mut frames: impl Iterator<Item = (u64, Vec<u8>)> + 'static, hostile: bool) {
		let head = frames.next();
		if let Some((at, _)) = &head {
			self.next.push(Reverse((*at, self.streams.len())));
		}
		self.streams.push(Stream { frames: Box::new(frames), head, hostile });
	}
}

impl Iterator for Mix {
	type Item = Frame;

	fn next(&mut self) -> Option<Frame> {
		let Reverse((_, index)) = self.next.pop()?;
		let stream = self.streams.get_mut(index)?;
		let (at, bytes) = stream.head.take()?;
		stream.head = stream.frames.next();
		if let Some((at, _)) = &stream.head {
			self.next.push(Reverse((*at, index)));
		}
		Some(Frame { at, bytes, hostile: stream.hostile })
	}
}
