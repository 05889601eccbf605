//! What enforcers in the field rely on: these bytes never change.

use codec::{Decode, Encode};
use hex_literal::hex;
use ringfence_primitives::*;

#[test]
fn the_log_lies_where_it_lay() {
	assert_eq!(keys::log_head(), hex!("5c167074b9c5ac1672a3a6ea617b08da05fe52c2045750c3c492ccdcf62e2b9c"));
	assert_eq!(
		keys::change(1),
		hex!("5c167074b9c5ac1672a3a6ea617b08da8f01e3d712a422e1db8058ea19710f4c0000000000000001")
	);
	assert_eq!(
		keys::change(0x0102_0304_0506_0708),
		hex!("5c167074b9c5ac1672a3a6ea617b08da8f01e3d712a422e1db8058ea19710f4c0102030405060708")
	);
}

#[test]
fn a_change_reads_as_it_read() {
	let change = Change {
		seq: 17,
		at: 1_700_000_000_000,
		previous: [0xab; 32],
		kind: ChangeKind::Activated(Decision {
			indicator: Indicator::Host(Address::V4([198, 18, 66, 66])),
			direction: Direction::Both,
			action: Action::Drop,
			threat: ThreatClass::Exploit,
			severity: Severity::High,
			confidence: Confidence::new(80).unwrap(),
			expires_at: 1_700_000_086_400,
		}),
	};
	let bytes = hex!("11000000000000000068e5cf8b010000abababababababababababababababababababababababababababababababab000004c6124242020002025080b9e6cf8b010000");
	assert_eq!(change.encode(), bytes);
	assert_eq!(Change::decode(&mut &bytes[..]).unwrap(), change);
}

#[test]
fn an_indicator_has_the_name_it_had() {
	assert_eq!(
		Indicator::Host(Address::V4([198, 18, 66, 66])).id(),
		hex!("3b065258487736ed3e307169a7ca12ffcdeddac9acf71a7e011ea0a49b48434c")
	);
}

#[test]
fn the_digest_of_the_active_set_lies_where_it_lay() {
	assert_eq!(keys::active_digest(), hex!("5c167074b9c5ac1672a3a6ea617b08da99e7f93fc6a98f0874fd057f111c4d2d"));
}

#[test]
fn the_finality_authorities_lie_where_they_lay() {
	assert_eq!(keys::grandpa_authorities(), hex!("5f9cc45b7a00c5899361e1c6099678dc5e0621c4869aa60c02be9adcc98a0d1d"));
	assert_eq!(keys::grandpa_set_id(), hex!("5f9cc45b7a00c5899361e1c6099678dc8a2d09463effcc78a22d75b9cb87dffc"));
}

#[test]
fn an_owners_whitelist_lies_where_it_lay() {
	assert_eq!(
		keys::whitelist(&[7; 32]),
		hex!("6b0bf8589d02fc06fe482e077cdeac9bdec0685d4408b2208918a77ec5e63bdc17cdc7bca3f2a0bda60c6de5b96f82a36239b44bde397a3862d529ba8b3d7c62")
	);
}

#[test]
fn a_digest_is_what_it_was() {
	let decision = Decision {
		indicator: Indicator::Host(Address::V4([198, 18, 66, 66])),
		direction: Direction::Both,
		action: Action::Drop,
		threat: ThreatClass::Exploit,
		severity: Severity::High,
		confidence: Confidence::new(80).unwrap(),
		expires_at: 1_700_000_086_400,
	};
	assert_eq!(
		[&decision].into_iter().collect::<ActiveDigest>().checksum(),
		hex!("ce819c2bedbf2f384d72515cae1a144c5c7f3a34438f7157fe8ede4d96ac730b")
	);
}

#[test]
fn a_word_to_ones_own_subscribers_reads_as_it_read() {
	let change = ChangeKind::Tier1([7; 32], vec![1, 2, 3].try_into().unwrap());
	let mut bytes = vec![6];
	bytes.extend([7; 32]);
	bytes.extend([12, 1, 2, 3]);
	assert_eq!(change.encode(), bytes);
	assert_eq!(ChangeKind::decode(&mut &bytes[..]).unwrap(), change);
}
