//! What a node reads for members.

use crate::mock::*;
use frame_support::assert_ok;

#[test]
fn an_inbox_is_read_page_by_page() {
	on_chain(|| {
		for seed in 0..3 {
			assert_ok!(Envelopes::send(origin(11), 1, envelope(seed)));
		}
		assert_ok!(Envelopes::send(origin(12), 1, envelope(0)));
		assert_ok!(Envelopes::send(origin(21), 2, envelope(0)));
		let mut names = [named(11, 1, 0), named(11, 1, 1), named(11, 1, 2), named(12, 1, 0)];
		names.sort();

		let all: Vec<_> = Envelopes::inbox(&1, None, 10).into_iter().map(|(name, _)| name).collect();
		assert_eq!(all, names, "nobody else's letters, in the order of their names");
		let first: Vec<_> = Envelopes::inbox(&1, None, 3).into_iter().map(|(name, _)| name).collect();
		assert_eq!(first, names[..3]);
		let rest: Vec<_> = Envelopes::inbox(&1, Some(names[2]), 3).into_iter().map(|(name, _)| name).collect();
		assert_eq!(rest, names[3..]);
		assert!(Envelopes::inbox(&1, Some(names[3]), 3).is_empty());
		assert!(Envelopes::inbox(&11, None, 3).is_empty());
	});
}
