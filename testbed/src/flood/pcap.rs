//! Capture files, in the classic format that every tool reads.

use super::craft::MAX_FRAME;
use std::io::{self, Write};

/// The clock of a file stands here at its first frame, in Unix seconds, so that the same plan gives the same file.
const START: u64 = 1_700_000_000;
const ETHERNET: u32 = 1;

/// Writes frames with their times in nanoseconds, of which the format keeps microseconds; how many there were.
pub fn write(mut out: impl Write, frames: impl Iterator<Item = (u64, Vec<u8>)>) -> io::Result<u64> {
	// Magic, version 2.4, no zone, no accuracy, the longest frame, the link's type.
	let (version, longest) = ((4_u32 << 16) | 2, MAX_FRAME as u32);
	for word in [0xa1b2_c3d4, version, 0, 0, longest, ETHERNET] {
		out.write_all(&word.to_le_bytes())?;
	}
	let mut count = 0;
	for (at, frame) in frames {
		let length = frame.len() as u32;
		// Seconds of a file wrap in the year 2106, by its format.
		let (seconds, micros) = ((START + at / 1_000_000_000) as u32, (at % 1_000_000_000 / 1_000) as u32);
		for word in [seconds, micros, length, length] {
			out.write_all(&word.to_le_bytes())?;
		}
		out.write_all(&frame)?;
		count += 1;
	}
	out.flush()?;
	Ok(count)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_file_has_a_header_and_each_frame_with_its_time_and_length() {
		let mut file = Vec::new();
		let frames = [(0, vec![1, 2, 3]), (1_000_002_000, vec![4])];
		assert_eq!(write(&mut file, frames.into_iter()).expect("memory takes it"), 2);
		let words: Vec<u32> =
			file[..24].chunks(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes"))).collect();
		assert_eq!(words, [0xa1b2_c3d4, 0x0004_0002, 0, 0, 1_514, 1]);
		assert_eq!(file[24..43], [0, 0xf1, 0x53, 0x65, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3]);
		assert_eq!(file[43..], [1, 0xf1, 0x53, 0x65, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4]);
	}
}
