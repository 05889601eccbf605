//! The digest of the active set: the same for the same set, whatever the way to it.

use codec::{Decode, Encode};
use proptest::prelude::*;
use ringfence_primitives::*;

fn decision(host: [u8; 4], expires_at: Millis) -> Decision {
	Decision {
		indicator: Indicator::Host(Address::V4(host)),
		direction: Direction::Both,
		action: Action::Drop,
		threat: ThreatClass::Scan,
		severity: Severity::High,
		confidence: Confidence::new(80).unwrap(),
		expires_at,
	}
}

proptest! {
	#[test]
	fn what_counts_is_the_set_and_not_the_way_to_it(
		hosts in proptest::collection::btree_set(any::<[u8; 4]>(), 1..30),
		shuffled in any::<prop::sample::Index>(),
	) {
		let set: Vec<Decision> = hosts.into_iter().map(|host| decision(host, 1)).collect();
		let digest: ActiveDigest = set.iter().collect();

		let mut turned = set.clone();
		turned.rotate_left(shuffled.index(set.len()));
		prop_assert_eq!(&turned.iter().collect::<ActiveDigest>(), &digest);

		let mut passing = digest.clone();
		passing.add(&decision([203, 0, 113, 1], 2));
		prop_assert_ne!(&passing, &digest);
		passing.remove(&decision([203, 0, 113, 1], 2));
		prop_assert_eq!(&passing, &digest);

		set.iter().for_each(|decision| passing.remove(decision));
		prop_assert_eq!(passing, ActiveDigest::default());
		prop_assert_eq!(ActiveDigest::decode(&mut &digest.encode()[..]).unwrap(), digest);
	}
}

#[test]
fn every_part_of_a_decision_counts() {
	let of = |decision: &Decision| [decision].into_iter().collect::<ActiveDigest>();
	let known = decision([198, 18, 0, 1], 1);
	let others = [
		decision([198, 18, 0, 2], 1),
		decision([198, 18, 0, 1], 2),
		Decision { action: Action::Watch, ..known.clone() },
		Decision { confidence: Confidence::MAX, ..known.clone() },
	];
	for other in &others {
		assert_ne!(of(other), of(&known), "{other:?}");
	}
}

#[test]
fn half_a_digest_is_none() {
	let encoded = ActiveDigest::default().encode();
	assert_eq!(encoded.len(), 2_048);
	assert!(ActiveDigest::decode(&mut &encoded[1..]).is_err());
	assert_eq!(format!("{:?}", ActiveDigest::default()).len(), "ActiveDigest(0x)".len() + 64);
}
