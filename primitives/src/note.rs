//! A short remark for people.

use crate::decode_checked;
use bounded_collections::{BoundedVec, ConstU32};
use codec::{Encode, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;

/// Bytes a note may have.
pub const MAX_LEN: u32 = 128;

/// UTF-8 text of at most [`MAX_LEN`] bytes without control characters, so that it can be shown in a terminal or a log line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Encode, MaxEncodedLen, TypeInfo)]
pub struct Note(BoundedVec<u8, ConstU32<MAX_LEN>>);

decode_checked!(Note, BoundedVec<u8, ConstU32<MAX_LEN>>, |bytes| {
	let text = core::str::from_utf8(&bytes).map_err(|_| "a note is UTF-8")?;
	if text.chars().any(char::is_control) {
		return Err("a note has no control characters");
	}
	Ok(Note(bytes))
});

impl Note {
	/// The longest allowed beginning of `text`, control characters left out.
	pub fn truncated(text: &str) -> Self {
		let mut bytes = alloc::vec::Vec::new();
		let mut buffer = [0; 4];
		for character in text.chars().filter(|c| !c.is_control()) {
			let encoded = character.encode_utf8(&mut buffer).as_bytes();
			if bytes.len().saturating_add(encoded.len()) > MAX_LEN as usize {
				break;
			}
			bytes.extend_from_slice(encoded);
		}
		Self(BoundedVec::truncate_from(bytes))
	}

	/// The text.
	pub fn as_str(&self) -> &str {
		// Both constructors let only UTF-8 in.
		core::str::from_utf8(&self.0).unwrap_or_default()
	}
}

impl fmt::Display for Note {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(self.as_str())
	}
}
