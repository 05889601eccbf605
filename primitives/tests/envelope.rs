//! Messages are padded to one length, and unpadded only if nothing was hidden in the padding.

use proptest::prelude::*;
use ringfence_primitives::envelope::{pad, unpad};

proptest! {
	#[test]
	fn what_was_padded_comes_back(message in proptest::collection::vec(any::<u8>(), 0..200), room in 0..100usize) {
		let padded = pad(&message, message.len() + 2 + room).unwrap();
		prop_assert_eq!(padded.len(), message.len() + 2 + room);
		prop_assert_eq!(unpad(&padded), Some(&message[..]));
	}

	#[test]
	fn no_bytes_make_unpadding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
		let _ = unpad(&bytes);
	}
}

#[test]
fn what_does_not_fit_is_not_padded() {
	assert!(pad(&[1; 9], 10).is_none());
	assert!(pad(&[1; 8], 10).is_some());
	assert!(pad(&[0; 70_000], 80_000).is_none(), "longer than the length can say");
}

#[test]
fn nothing_hides_in_the_padding() {
	assert_eq!(unpad(&[1, 0, 7, 0, 0]), Some(&[7][..]));
	assert_eq!(unpad(&[1, 0, 7, 0, 1]), None);
	assert_eq!(unpad(&[9, 0, 7]), None, "the length runs over");
	assert_eq!(unpad(&[1]), None);
}
