//! Changes to lines that sensors wrote, for the tests of their parsers.

use proptest::prelude::*;

/// A change to a line: what to do, where, and with which byte.
#[derive(Clone, Debug)]
pub enum Mutation {
	Replace(usize, u8),
	Insert(usize, u8),
	Remove(usize),
	Truncate(usize),
	Repeat(usize, usize),
}

/// Any change, the more likely ones more often.
pub fn mutation() -> impl Strategy<Value = Mutation> {
	let place = 0_usize..1_200;
	prop_oneof![
		(place.clone(), any::<u8>()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
		(place.clone(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
		(place.clone(), prop_oneof![Just(b'"'), Just(b'{'), Just(b'-'), Just(b'9')])
			.prop_map(|(at, byte)| Mutation::Insert(at, byte)),
		place.clone().prop_map(Mutation::Remove),
		place.clone().prop_map(Mutation::Truncate),
		(place, 1_usize..100).prop_map(|(at, length)| Mutation::Repeat(at, length)),
	]
}

/// The line after these changes.
pub fn mutate(mut line: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
	for mutation in mutations {
		let last = line.len().saturating_sub(1);
		match *mutation {
			_ if line.is_empty() => {}
			Mutation::Replace(at, byte) => line[at.min(last)] = byte,
			Mutation::Insert(at, byte) => line.insert(at.min(last), byte),
			Mutation::Remove(at) => {
				line.remove(at.min(last));
			}
			Mutation::Truncate(at) => line.truncate(at),
			Mutation::Repeat(at, length) => {
				let start = at.min(last);
				let piece = line[start..(start + length).min(line.len())].to_vec();
				line.splice(start..start, piece);
			}
		}
	}
	line
}
