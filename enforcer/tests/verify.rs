//! What an enforcer believes: what the authorities that the genesis hash names, and those that they named, made final.

mod forge;

use codec::Encode;
use forge::*;
use proptest::prelude::*;
use ringfence_enforcer::core::{
	finality::{
		AuthoritySet, FinalityError, GenesisProof, Handoffs, Header, MAX_AUTHORITIES, MAX_HANDOFFS, MAX_JUSTIFICATION,
	},
	frame::{Cursor, Frame, FrameError},
	hex,
	proof::ProofError,
	record::RecordProof,
};
use ringfence_primitives::{
	envelope::WhitelistRecord, Action, ActiveDigest, Address, Confidence, Decision, Direction, Indicator, Severity,
	ThreatClass,
};
use serde_json::{json, Value};
use sp_core::H256;

/// Four validators, three of whom suffice.
const FOUR: [u8; 4] = [1, 2, 3, 4];
const THREE: [u8; 3] = [1, 2, 3];

fn block(number: u32) -> Header {
	header(number, H256::repeat_byte(9), [5; 32], Vec::new())
}

fn verdict(set: &AuthoritySet, block: &Header, justification: &Justification) -> Result<Header, FinalityError> {
	set.verify(&block.encode(), &justification.encode())
}

mod genesis_of_trust {
	use super::*;

	#[test]
	fn the_first_authorities_are_read_from_the_first_block() {
		let (hash, proof) = genesis(&FOUR);
		let set = AuthoritySet::genesis(&hash, &proof).unwrap();
		assert_eq!((set.id(), set.since(), set.len()), (0, 0, 4));
		let answer = json!({
			"header": hex::encode(&proof.header),
			"proof": proof.proof.iter().map(|node| hex::encode(node)).collect::<Vec<_>>(),
		});
		assert_eq!(GenesisProof::decode(answer).unwrap(), proof);
	}

	#[test]
	fn another_chain_is_refused() {
		let (hash, _) = genesis(&FOUR);
		let (_, proof) = genesis(&[5, 6, 7, 8]);
		assert!(matches!(AuthoritySet::genesis(&hash, &proof), Err(FinalityError::OtherChain(_))));
	}

	#[test]
	fn other_authorities_cannot_be_slipped_in() {
		let (hash, honest) = genesis(&FOUR);
		let (_, other) = genesis(&[5, 6, 7, 8]);
		let forged = GenesisProof { proof: other.proof, ..honest.clone() };
		assert!(matches!(AuthoritySet::genesis(&hash, &forged), Err(FinalityError::Proof(ProofError::Incomplete(0)))));
		let mut truncated = honest.clone();
		truncated.proof.pop();
		assert!(AuthoritySet::genesis(&hash, &truncated).is_err());
		let mut padded = honest;
		padded.proof.push(vec![1, 2, 3]);
		assert!(matches!(AuthoritySet::genesis(&hash, &padded), Err(FinalityError::Proof(ProofError::Surplus(1)))));
	}

	#[test]
	fn a_later_block_is_no_beginning() {
		let block = block(1).encode();
		let proof = GenesisProof { header: block.clone(), proof: Vec::new() };
		let hash = ringfence_enforcer::core::blake2_256(&block);
		assert!(matches!(AuthoritySet::genesis(&hash, &proof), Err(FinalityError::OtherChain(_))));
	}

	#[test]
	fn a_chain_without_authorities_is_refused() {
		let (hash, proof) = genesis(&[]);
		assert!(matches!(AuthoritySet::genesis(&hash, &proof), Err(FinalityError::Authorities)));
	}

	#[test]
	fn what_the_node_does_not_answer_is_refused() {
		assert!(matches!(GenesisProof::decode(json!({ "header": "0x00" })), Err(FinalityError::Json(_))));
		let odd = json!({ "header": "0x0", "proof": [] });
		assert!(matches!(GenesisProof::decode(odd), Err(FinalityError::Hex("header", _))));
		let many = json!({ "header": "0x00", "proof": vec!["0x"; 10_000] });
		assert!(matches!(GenesisProof::decode(many), Err(FinalityError::TooLong("proof"))));
	}
}

mod votes {
	use super::*;
	use sp_core::Pair;

	#[test]
	fn more_than_two_thirds_make_a_block_final() {
		let (set, block) = (first_set(&FOUR), block(7));
		assert_eq!(verdict(&set, &block, &voted(&THREE, 0, &block)).unwrap(), block);
		assert_eq!(verdict(&set, &block, &voted(&FOUR, 0, &block)).unwrap(), block);
	}

	#[test]
	fn half_of_them_do_not() {
		let (set, block) = (first_set(&FOUR), block(7));
		let two = verdict(&set, &block, &voted(&[1, 2], 0, &block));
		assert!(matches!(two, Err(FinalityError::TooLight { weight: 2, needed: 3 })));
		assert!(matches!(verdict(&set, &block, &voted(&[], 0, &block)), Err(FinalityError::TooLight { .. })));
	}

	#[test]
	fn votes_for_descendants_count() {
		let (set, target) = (first_set(&FOUR), block(7));
		let next = child(&target, 1);
		let (left, right) = (child(&next, 2), child(&next, 3));
		let votes = vec![vote(1, 0, &target), vote(2, 0, &left), vote(3, 0, &right), vote(4, 0, &target)];
		let sound = justification(&target, votes, vec![next, left, right]);
		assert!(verdict(&set, &target, &sound).is_ok());
	}

	#[test]
	fn votes_that_nothing_connects_are_refused() {
		let (set, target) = (first_set(&FOUR), block(7));
		let (next, elsewhere) = (child(&target, 1), block(8));
		let last = child(&next, 2);
		let with = |block: &Header, headers| {
			let votes = vec![vote(1, 0, &target), vote(2, 0, &target), vote(3, 0, &target), vote(4, 0, block)];
			verdict(&set, &target, &justification(&target, votes, headers))
		};
		assert!(with(&last, vec![next.clone(), last.clone()]).is_ok());
		assert!(matches!(with(&last, vec![last.clone()]), Err(FinalityError::Unconnected)));
		assert!(matches!(with(&last, vec![next.clone()]), Err(FinalityError::Unconnected)));
		assert!(matches!(with(&elsewhere, vec![elsewhere.clone()]), Err(FinalityError::Unconnected)));
		assert!(matches!(with(&block(6), vec![]), Err(FinalityError::Unconnected)));
		let misnumbered = Header { number: 9, ..next.clone() };
		assert!(matches!(with(&misnumbered, vec![misnumbered.clone()]), Err(FinalityError::Unconnected)));
	}

	#[test]
	fn headers_that_connect_nothing_are_refused() {
		let (set, target) = (first_set(&FOUR), block(7));
		let next = child(&target, 1);
		for surplus in [vec![next.clone()], vec![target.clone()]] {
			let votes = FOUR.iter().map(|n| vote(*n, 0, &target)).collect();
			let padded = justification(&target, votes, surplus);
			assert!(matches!(verdict(&set, &target, &padded), Err(FinalityError::SurplusHeaders)));
		}
		let votes = vec![vote(1, 0, &target), vote(2, 0, &target), vote(3, 0, &target), vote(4, 0, &next)];
		let twice = justification(&target, votes, vec![next.clone(), next]);
		assert!(matches!(verdict(&set, &target, &twice), Err(FinalityError::SurplusHeaders)));
	}

	#[test]
	fn a_forged_vote_is_refused() {
		let (set, block) = (first_set(&FOUR), block(7));
		let mut forged = voted(&THREE, 0, &block);
		forged.commit.precommits[2].signature = vote(4, 0, &block).signature;
		assert!(matches!(verdict(&set, &block, &forged), Err(FinalityError::BadSignature(0))));
		let mut other_round = voted(&THREE, 0, &block);
		other_round.round += 1;
		assert!(matches!(verdict(&set, &block, &other_round), Err(FinalityError::BadSignature(0))));
	}

	#[test]
	fn a_strangers_vote_is_refused() {
		let (set, block) = (first_set(&FOUR), block(7));
		assert!(matches!(verdict(&set, &block, &voted(&[1, 2, 9], 0, &block)), Err(FinalityError::Stranger)));
		// Also where it is not needed.
		assert!(matches!(verdict(&set, &block, &voted(&[1, 2, 3, 9], 0, &block)), Err(FinalityError::Stranger)));
	}

	#[test]
	fn nobody_votes_twice() {
		let (set, target) = (first_set(&FOUR), block(7));
		assert!(matches!(verdict(&set, &target, &voted(&[1, 2, 2], 0, &target)), Err(FinalityError::VotedTwice)));
		let next = child(&target, 1);
		let votes = vec![vote(1, 0, &target), vote(2, 0, &target), vote(3, 0, &target), vote(3, 0, &next)];
		let both = justification(&target, votes, vec![next]);
		assert!(matches!(verdict(&set, &target, &both), Err(FinalityError::VotedTwice)));
	}

	#[test]
	fn more_votes_than_members_are_refused() {
		let (set, block) = (first_set(&FOUR), block(7));
		let surplus = voted(&[1, 2, 3, 4, 9], 0, &block);
		assert!(matches!(verdict(&set, &block, &surplus), Err(FinalityError::SurplusVotes(5))));
	}

	#[test]
	fn votes_for_another_block_are_refused() {
		let (set, ours, other) = (first_set(&FOUR), block(7), block(8));
		assert!(matches!(verdict(&set, &ours, &voted(&FOUR, 0, &other)), Err(FinalityError::OtherBlock)));
		let mut misnumbered = voted(&FOUR, 0, &ours);
		misnumbered.commit.target_number = 8;
		assert!(matches!(verdict(&set, &ours, &misnumbered), Err(FinalityError::OtherBlock)));
	}

	#[test]
	fn what_does_not_decode_to_its_end_is_refused() {
		let (set, block) = (first_set(&FOUR), block(7));
		let (header, sound) = (block.encode(), voted(&FOUR, 0, &block).encode());
		for length in [0, 1, 8, 60, sound.len() - 1] {
			let truncated = set.verify(&header, &sound[..length]);
			assert!(matches!(truncated, Err(FinalityError::Scale("justification", _))), "{length}");
		}
		let padded = [&sound[..], &[0]].concat();
		assert!(matches!(set.verify(&header, &padded), Err(FinalityError::Scale("justification", _))));
		let short = set.verify(&header[..header.len() - 1], &sound);
		assert!(matches!(short, Err(FinalityError::Scale("header", _))));
		let long = vec![0; MAX_JUSTIFICATION + 1];
		assert!(matches!(set.verify(&header, &long), Err(FinalityError::TooLong("justification"))));
	}

	#[test]
	fn weights_count() {
		let raw = |weights: [u64; 3]| {
			let list: Vec<_> =
				THREE.iter().zip(weights).map(|(n, weight)| (hex::encode(&key(*n).public().0), weight)).collect();
			serde_json::from_value::<AuthoritySet>(json!({ "id": 0, "since": 0, "authorities": list }))
		};
		let (set, block) = (raw([10, 1, 1]).unwrap(), block(7));
		assert!(verdict(&set, &block, &voted(&[1], 0, &block)).is_ok());
		assert!(matches!(
			verdict(&set, &block, &voted(&[2, 3], 0, &block)),
			Err(FinalityError::TooLight { weight: 2, needed: 9 })
		));
		assert!(raw([1, 0, 1]).is_err(), "a member without weight");
		assert!(raw([u64::MAX, 1, 1]).is_err(), "more than can be counted");
	}
}

mod sets {
	use super::*;

	#[test]
	fn a_set_hands_over_to_the_next() {
		let first = first_set(&FOUR);
		let second = first.advance(&handoff(&THREE, 0, 100, vec![naming(&[5, 6, 7], 0)])).unwrap();
		assert_eq!((second.id(), second.since(), second.len()), (1, 100, 3));
		let block = block(101);
		assert!(verdict(&second, &block, &voted(&[5, 6, 7], 1, &block)).is_ok());
		assert!(matches!(verdict(&second, &block, &voted(&FOUR, 0, &block)), Err(FinalityError::SurplusVotes(4))));
		let old = verdict(&first, &block, &voted(&[5, 6, 7], 1, &block)).unwrap_err();
		assert!(old.wants_handoff() && !old.is_behind(), "{old}");
	}

	#[test]
	fn a_month_of_changes_is_followed() {
		let members = |id: u64| [0, 1, 2].map(|n| ((id + n) % 200) as u8);
		let mut set = first_set(&members(0));
		for id in 0..300 {
			let number = (id as u32 + 1) * 10;
			set = set.advance(&handoff(&members(id), id, number, vec![naming(&members(id + 1), 0)])).unwrap();
		}
		assert_eq!((set.id(), set.since()), (300, 3_000));
	}

	#[test]
	fn the_same_members_in_another_set_do_not_count() {
		let first = first_set(&FOUR);
		let second = first.advance(&handoff(&FOUR, 0, 100, vec![naming(&FOUR, 0)])).unwrap();
		let block = block(101);
		let early = verdict(&first, &block, &voted(&FOUR, 1, &block)).unwrap_err();
		assert!(matches!(early, FinalityError::BadSignature(0)) && early.wants_handoff());
		let late = verdict(&second, &block, &voted(&FOUR, 0, &block)).unwrap_err();
		assert!(matches!(late, FinalityError::OutdatedVote(1)) && late.is_behind());
	}

	#[test]
	fn a_block_of_an_earlier_set_is_told_apart_from_a_lie() {
		let second = first_set(&FOUR).advance(&handoff(&FOUR, 0, 100, vec![naming(&FOUR, 0)])).unwrap();
		let block = block(100);
		let old = verdict(&second, &block, &voted(&FOUR, 1, &block)).unwrap_err();
		assert!(matches!(old, FinalityError::OlderSet { number: 100, since: 100 }) && old.is_behind());
	}

	#[test]
	fn a_handoff_is_not_replayed() {
		let handed = handoff(&FOUR, 0, 100, vec![naming(&FOUR, 0)]);
		let second = first_set(&FOUR).advance(&handed).unwrap();
		assert!(matches!(second.advance(&handed), Err(FinalityError::OlderSet { .. })));
	}

	#[test]
	fn only_the_set_itself_hands_over() {
		let forged = handoff(&[5, 6, 7], 0, 100, vec![naming(&[5, 6, 7], 0)]);
		assert!(matches!(first_set(&FOUR).advance(&forged), Err(FinalityError::Stranger)));
	}

	#[test]
	fn a_handoff_names_one_next_set_that_holds_at_once() {
		let with = |logs| first_set(&FOUR).advance(&handoff(&FOUR, 0, 100, logs));
		assert!(matches!(with(vec![]), Err(FinalityError::NoChange(100))));
		let several = vec![naming(&[5], 0), naming(&[6], 0)];
		assert!(matches!(with(several), Err(FinalityError::SeveralChanges(100))));
		assert!(matches!(with(vec![naming(&[5], 2)]), Err(FinalityError::Delayed(2))));
		assert!(matches!(with(vec![naming(&[], 0)]), Err(FinalityError::Authorities)));
		let garbage = sp_runtime::DigestItem::Consensus(*b"FRNK", vec![1, 2, 3]);
		assert!(matches!(with(vec![garbage]), Err(FinalityError::Scale("a finality log", _))));
		let others = sp_runtime::DigestItem::Consensus(*b"aura", vec![1, 2, 3]);
		assert_eq!(with(vec![others, naming(&[5], 0)]).unwrap().len(), 1);
	}

	#[test]
	fn validators_replaced_by_force_are_left_to_a_person() {
		let with = |logs| first_set(&FOUR).advance(&handoff(&FOUR, 0, 100, logs));
		assert!(matches!(with(vec![forcing(&[5])]), Err(FinalityError::ForcedChange)));
		assert!(matches!(with(vec![naming(&[5], 0), forcing(&[5])]), Err(FinalityError::ForcedChange)));
	}

	#[test]
	fn a_set_is_what_it_was_after_it_was_written_down() {
		let set = first_set(&FOUR).advance(&handoff(&FOUR, 0, 100, vec![naming(&THREE, 0)])).unwrap();
		let text = serde_json::to_string(&set).unwrap();
		assert_eq!(serde_json::from_str::<AuthoritySet>(&text).unwrap(), set);
	}

	#[test]
	fn a_set_that_cannot_be_is_not_read() {
		let read = |authorities: Value| {
			serde_json::from_value::<AuthoritySet>(json!({ "id": 1, "since": 2, "authorities": authorities }))
		};
		let member = json!([hex::encode(&[1; 32]), 1]);
		assert!(read(json!([member])).is_ok());
		assert!(read(json!([])).is_err());
		assert!(read(json!([["0x01", 1]])).is_err());
		assert!(read(Value::Array(vec![member; MAX_AUTHORITIES + 1])).is_err());
	}

	#[test]
	fn handoffs_are_read_as_the_node_answers() {
		let handed = handoff(&FOUR, 0, 100, vec![naming(&FOUR, 0)]);
		let form = json!({
			"header": hex::encode(&handed.header), "justification": hex::encode(&handed.justification),
		});
		let answer = Handoffs::decode(json!({ "handoffs": [form], "complete": true })).unwrap();
		assert_eq!(answer, Handoffs { handoffs: vec![handed], complete: true });
		let many = json!({ "handoffs": vec![form; MAX_HANDOFFS + 1], "complete": false });
		assert!(matches!(Handoffs::decode(many), Err(FinalityError::TooLong("handoffs"))));
		assert!(matches!(Handoffs::decode(json!({})), Err(FinalityError::Json(_))));
	}
}

mod frames {
	use super::*;

	fn decoded(item: Value) -> Frame {
		Frame::decode(item).unwrap()
	}

	fn digest() -> ActiveDigest {
		let decision = Decision {
			indicator: Indicator::Host(Address::V4([198, 18, 66, 66])),
			direction: Direction::Both,
			action: Action::Drop,
			threat: ThreatClass::Exploit,
			severity: Severity::High,
			confidence: Confidence::new(80).unwrap(),
			expires_at: 1_700_000_086_400,
		};
		[&decision].into_iter().collect()
	}

	#[test]
	fn entries_of_a_final_block_are_believed() {
		let (set, log) = (first_set(&FOUR), log(40));
		let frame = decoded(frame(&THREE, 0, 7, &log, 11)).verify(&set, 0).unwrap();
		assert_eq!(frame.changes, log[10..]);
		assert_eq!(frame.news(&Cursor::after(&log[9])).unwrap(), &log[10..]);
		assert_eq!(frame.into_inner().head.seq, 40);
	}

	#[test]
	fn a_heartbeat_tells_where_the_log_stands_and_what_is_in_force() {
		let (set, log) = (first_set(&FOUR), log(5));
		let plain = decoded(heartbeat(&FOUR, 0, 7, &log, None)).verify_heartbeat(&set, 0, false).unwrap();
		assert_eq!((plain.block.number, plain.head.seq, &plain.digest), (7, 5, &None));
		let item = heartbeat(&FOUR, 0, 7, &log, Some(digest().encode()));
		let full = decoded(item).verify_heartbeat(&set, 0, true).unwrap();
		assert_eq!(full.digest, Some(digest()));
	}

	#[test]
	fn a_heartbeat_of_an_empty_log_is_believed() {
		let item = heartbeat(&FOUR, 0, 7, &[], None);
		let beat = decoded(item).verify_heartbeat(&first_set(&FOUR), 0, false).unwrap();
		assert_eq!(beat.head, Default::default());
	}

	#[test]
	fn a_heartbeat_proves_what_was_asked_for() {
		let (set, log) = (first_set(&FOUR), log(5));
		let plain = decoded(heartbeat(&FOUR, 0, 7, &log, None));
		let full = decoded(heartbeat(&FOUR, 0, 7, &log, Some(digest().encode())));
		assert!(matches!(plain.verify_heartbeat(&set, 0, true), Err(FrameError::Proof(7, ProofError::Incomplete(1)))));
		assert!(matches!(full.verify_heartbeat(&set, 0, false), Err(FrameError::Proof(7, ProofError::Surplus(_)))));
		let broken = decoded(heartbeat(&FOUR, 0, 7, &log, Some(vec![1, 2, 3])));
		assert!(matches!(broken.verify_heartbeat(&set, 0, true), Err(FrameError::Digest(_))));
		let entries = decoded(frame(&FOUR, 0, 7, &log, 1));
		assert!(matches!(entries.verify_heartbeat(&set, 0, false), Err(FrameError::Unasked(5))));
	}

	#[test]
	fn a_stale_frame_is_refused_and_the_same_block_is_not() {
		let (set, log) = (first_set(&FOUR), log(5));
		let again = |newest| decoded(frame(&FOUR, 0, 7, &log, 1)).verify(&set, newest);
		assert!(again(6).is_ok() && again(7).is_ok());
		let stale = again(8).unwrap_err();
		assert!(matches!(stale, FrameError::Stale { number: 7, newest: 8 }) && stale.is_behind());
	}

	#[test]
	fn a_frame_of_another_set_asks_for_the_handoff() {
		let log = log(5);
		let next = first_set(&FOUR).advance(&handoff(&FOUR, 0, 6, vec![naming(&[5, 6, 7], 0)])).unwrap();
		let ahead = decoded(frame(&[5, 6, 7], 1, 7, &log, 1));
		let cause = ahead.clone().verify(&first_set(&FOUR), 0).unwrap_err();
		assert!(cause.wants_handoff() && !cause.is_behind(), "{cause}");
		assert!(ahead.verify(&next, 0).is_ok());
	}

	#[test]
	fn lies_about_the_log_are_refused() {
		let (set, log) = (first_set(&FOUR), log(5));
		let sound = || decoded(frame(&FOUR, 0, 7, &log, 1));
		assert!(sound().verify(&set, 0).is_ok());

		let mut altered = sound();
		altered.changes[4].at += 1;
		assert!(matches!(altered.verify(&set, 0), Err(FrameError::Unproven(5))));
		let mut earlier = sound();
		earlier.head.seq = 4;
		assert!(matches!(earlier.verify(&set, 0), Err(FrameError::HeadUnproven(7))));
		let mut shorter = sound();
		shorter.changes.pop();
		assert!(matches!(shorter.verify(&set, 0), Err(FrameError::Proof(7, ProofError::Surplus(_)))));
		let mut invented = sound();
		invented.changes.push(ringfence_primitives::Change { seq: 6, ..log[4].clone() });
		assert!(invented.verify(&set, 0).is_err());
	}

	#[test]
	fn lies_about_the_block_are_refused() {
		let (set, log) = (first_set(&FOUR), log(5));
		let sound = || decoded(frame(&FOUR, 0, 7, &log, 1));
		let mut renumbered = sound();
		renumbered.block.number = 8;
		assert!(matches!(renumbered.verify(&set, 0), Err(FrameError::OtherHeader(8))));
		let mut renamed = sound();
		renamed.block.hash = [1; 32];
		assert!(matches!(renamed.verify(&set, 0), Err(FrameError::OtherHeader(7))));
		// A whole chain of its own: only the votes are missing.
		let cause = decoded(frame(&[5, 6, 7], 0, 7, &log, 1)).verify(&set, 0).unwrap_err();
		assert!(matches!(cause, FrameError::Finality(7, FinalityError::Stranger)));
	}

	/// Where a frame can be changed.
	fn bytes_of(frame: &mut Frame) -> Vec<&mut Vec<u8>> {
		let mut all = vec![&mut frame.header, &mut frame.justification];
		all.extend(frame.proof.iter_mut());
		all
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(128))]

		/// No byte of a frame can be changed, left out or added.
		#[test]
		fn any_change_is_noticed(
			part in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), flip in 1u8..=255, how in 0u8..3,
		) {
			let (set, log) = (first_set(&FOUR), log(5));
			let mut frame = decoded(frame(&FOUR, 0, 7, &log, 1));
			{
				let mut parts = bytes_of(&mut frame);
				let part = part.index(parts.len());
				let place = place.index(parts[part].len());
				match how {
					0 => parts[part][place] ^= flip,
					1 => parts[part].truncate(place),
					_ => parts[part].insert(place, flip),
				}
			}
			prop_assert!(frame.verify(&set, 0).is_err());
		}
	}
}

mod whitelists {
	use super::*;

	const OWNER: [u8; 32] = [7; 32];
	const RECORD: WhitelistRecord = WhitelistRecord { hash: [8; 32], number: 3, block: 5, index: 1 };

	/// What a gateway makes of an answer about its own owner.
	fn read(answer: Value, newest: u32) -> Result<Option<WhitelistRecord>, FrameError> {
		RecordProof::decode(answer)?.verify(&OWNER, &first_set(&FOUR), newest)
	}

	#[test]
	fn the_record_is_proven_and_so_is_that_there_is_none() {
		assert_eq!(read(whitelist(&THREE, 0, 9, &OWNER, &RECORD, &OWNER), 0).unwrap(), Some(RECORD));
		let (other, answer) = ([9; 32], |owner| whitelist(&THREE, 0, 9, owner, &RECORD, &OWNER));
		assert_eq!(read(answer(&other), 0).unwrap(), None);
	}

	#[test]
	fn what_the_node_says_beside_the_proof_does_not_count() {
		let mut answer = whitelist(&THREE, 0, 9, &OWNER, &RECORD, &OWNER);
		answer["record"] = json!({ "hash": hex::encode(&[1; 32]), "number": 4, "block": 6, "index": 0 });
		assert_eq!(read(answer, 0).unwrap(), Some(RECORD));
	}

	#[test]
	fn a_record_that_is_not_final_old_or_another_owners_is_refused() {
		let few = whitelist(&[1, 2], 0, 9, &OWNER, &RECORD, &OWNER);
		assert!(matches!(read(few, 0), Err(FrameError::Finality(9, _))));
		let old = read(whitelist(&THREE, 0, 9, &OWNER, &RECORD, &OWNER), 10).unwrap_err();
		assert!(matches!(old, FrameError::Stale { number: 9, newest: 10 }) && old.is_behind());
		let later = read(whitelist(&THREE, 1, 9, &OWNER, &RECORD, &OWNER), 0).unwrap_err();
		assert!(later.wants_handoff());
		// The proof of the way to another owner's, of the same block.
		let elsewhere = whitelist(&THREE, 0, 9, &OWNER, &RECORD, &[9; 32]);
		let refused = read(elsewhere, 0);
		assert!(matches!(refused, Err(FrameError::Proof(9, _))), "{refused:?}");
	}

	#[test]
	fn nothing_can_be_left_out_changed_or_added() {
		let sound = whitelist(&THREE, 0, 9, &OWNER, &RECORD, &OWNER);
		let with = |change: &dyn Fn(&mut Vec<Value>)| {
			let mut answer = sound.clone();
			change(answer["proof"].as_array_mut().unwrap());
			read(answer, 0)
		};
		let last = sound["proof"].as_array().unwrap().len() - 1;
		assert!(with(&|proof| drop(proof.remove(last))).is_err());
		assert!(with(&|proof| proof.push(json!("0x00"))).is_err());
		assert!(with(&|proof| proof[last] = json!("0x0102")).is_err());
		assert!(matches!(RecordProof::decode(json!(null)), Err(FrameError::Json(_))));
		let many = with(&|proof| *proof = vec![json!("0x"); 10_000]);
		assert!(matches!(many, Err(FrameError::ProofTooLong(10_000))));
	}
}
