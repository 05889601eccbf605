//! Finality votes as they are handed to enforcers: nothing in them but what makes the block final.
//!
//! GRANDPA's own rule puts up with more. A vote may be there twice, and when a validator votes for two blocks, both votes
//! are kept as evidence, wherever they point. Enforcers refuse such things: whatever they need not understand cannot be
//! used against them. So they are left out here, or one validator that votes twice could make every honest node look
//! like a liar.

use ringfence_runtime::{opaque::Block, Hash, Header};
use sc_consensus_grandpa::GrandpaJustification;
use std::collections::{HashMap, HashSet};

/// The same justification with one vote of each validator, each for the block or a descendant, and with no header but
/// those that connect them.
pub fn tidied(justification: &GrandpaJustification<Block>) -> GrandpaJustification<Block> {
	let mut tidy: sp_consensus_grandpa::GrandpaJustification<Header> = justification.clone().into();
	let headers: HashMap<Hash, Header> = tidy.votes_ancestries.iter().map(|h| (h.hash(), h.clone())).collect();
	let (target, mut voters, mut needed) = (tidy.commit.target_hash, HashSet::new(), HashSet::new());
	tidy.commit.precommits.retain(|vote| {
		let Some(route) = route(&headers, target, vote.precommit.target_hash) else { return false };
		let first = voters.insert(vote.id.clone());
		if first {
			needed.extend(route);
		}
		first
	});
	// Removes as it goes, for a header may be there twice, too.
	tidy.votes_ancestries.retain(|header| needed.remove(&header.hash()));
	tidy.into()
}

/// The blocks from `block` down to just above `target`, if it descends from there.
fn route(headers: &HashMap<Hash, Header>, target: Hash, mut block: Hash) -> Option<Vec<Hash>> {
	let mut route = Vec::new();
	while block != target {
		route.push(block);
		block = headers.get(&block)?.parent_hash;
	}
	Some(route)
}

#[cfg(test)]
#[path = "../../../enforcer/tests/forge/mod.rs"]
mod forge;

/// The enforcer's verifier against the one that this node itself uses.
#[cfg(test)]
mod tests {
	use super::{forge::*, *};
	use codec::Encode;
	use finality_grandpa::voter_set::VoterSet;
	use proptest::{collection::vec, option, prelude::*};
	use std::collections::BTreeSet;

	const FOUR: [u8; 4] = [1, 2, 3, 4];

	/// A small tree: the block in question, with two blocks before it, and two branches of two after it.
	fn tree() -> Vec<Header> {
		let first = header(5, Hash::repeat_byte(9), [0; 32], Vec::new());
		let before = child(&first, 1);
		let target = child(&before, 2);
		let (left, right) = (child(&target, 3), child(&target, 4));
		let (far_left, far_right) = (child(&left, 5), child(&right, 6));
		vec![first, before, target, left, right, far_left, far_right]
	}
	const TARGET: usize = 2;

	/// A vote: who, in which set, for which block of the tree, and whether its signature is spoiled.
	type Ballot = (u8, u64, usize, bool);

	fn ballots() -> impl Strategy<Value = Vec<Ballot>> {
		// Mostly sound, so that the interesting cases are reached: members, the right set, the block or one after it.
		let who = prop_oneof![20 => 1u8..=4, 1 => 5u8..=6];
		let set = prop_oneof![30 => Just(1u64), 1 => 0u64..=2];
		let block = prop_oneof![6 => Just(TARGET), 3 => TARGET..7, 1 => 0usize..7];
		vec((who, set, block, prop::bool::weighted(0.02)), 0..7)
	}

	fn cast(ballots: &[Ballot], tree: &[Header]) -> Vec<Vote> {
		let cast = |(who, set, block, spoiled): &Ballot| {
			let mut vote = vote(*who, *set, &tree[*block]);
			if *spoiled {
				vote.signature = super::forge::vote(*who, *set, &tree[0]).signature;
			}
			vote
		};
		ballots.iter().map(cast).collect()
	}

	/// Second set of [`FOUR`].
	fn ours(target: &Header, encoded: &[u8]) -> bool {
		let handed = handoff(&FOUR, 0, 1, vec![naming(&FOUR, 0)]);
		let set = first_set(&FOUR).advance(&handed).unwrap();
		set.verify(&target.encode(), encoded).is_ok()
	}

	fn theirs(target: &Header, encoded: &[u8]) -> bool {
		let voters = VoterSet::new(authorities(&FOUR)).unwrap();
		let target = (target.hash(), target.number);
		GrandpaJustification::<Block>::decode_and_verify_finalizes(encoded, target, 1, &voters).is_ok()
	}

	/// Nobody votes for two blocks, no stranger votes at all, and somebody votes for the block itself.
	fn orderly(ballots: &[Ballot]) -> bool {
		let votes: BTreeSet<_> = ballots.iter().map(|(who, _, block, _)| (who, block)).collect();
		let voters: BTreeSet<_> = votes.iter().map(|(who, _)| who).collect();
		let target = ballots.iter().any(|(_, _, block, _)| *block == TARGET);
		target && votes.len() == voters.len() && ballots.iter().all(|(who, ..)| FOUR.contains(who))
	}

	#[test]
	fn both_know_what_is_final() {
		let tree = tree();
		let target = &tree[TARGET];
		for (members, set, is_final) in
			[(&FOUR[..], 1, true), (&FOUR[..3], 1, true), (&FOUR[..2], 1, false), (&FOUR[..], 2, false)]
		{
			let encoded = voted(members, set, target).encode();
			assert_eq!((ours(target, &encoded), theirs(target, &encoded)), (is_final, is_final), "{members:?} {set}");
		}
	}

	#[test]
	fn what_is_in_order_is_handed_on_as_it_is() {
		let tree = tree();
		let votes = cast(&[(1, 1, 2, false), (2, 1, 5, false), (3, 1, 4, false)], &tree);
		let sound = justification(&tree[TARGET], votes, vec![tree[3].clone(), tree[5].clone(), tree[4].clone()]);
		let sound = GrandpaJustification::<Block>::from(sound);
		assert_eq!(tidied(&sound), sound);
	}

	#[test]
	fn a_validator_that_votes_twice_cannot_spoil_the_votes_of_the_others() {
		let tree = tree();
		let votes = [
			(1, 1, 2, false),
			(2, 1, 2, false),
			(3, 1, 2, false),
			(4, 1, 1, false),
			(4, 1, 3, false),
			(1, 1, 2, false),
		];
		let headers = vec![tree[2].clone(), tree[3].clone()];
		let evidence = justification(&tree[TARGET], cast(&votes, &tree), headers);
		assert!(!ours(&tree[TARGET], &evidence.encode()));
		assert!(theirs(&tree[TARGET], &evidence.encode()));
		let tidy = tidied(&evidence.into());
		assert_eq!(tidy.justification.commit.precommits.len(), 4);
		assert_eq!(tidy.justification.votes_ancestries, [tree[3].clone()]);
		assert!(ours(&tree[TARGET], &tidy.encode()) && theirs(&tree[TARGET], &tidy.encode()));
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(400))]

		/// The enforcer never takes for final what the node does not. What the node does, and hands on, the enforcer takes,
		/// unless somebody broke the rules.
		#[test]
		fn the_enforcer_agrees_with_the_node(
			ballots in ballots(), left_out in option::weighted(0.1, 0usize..7), padding in option::weighted(0.1, 0usize..7),
		) {
			let tree = tree();
			let target = &tree[TARGET];
			// What connects the votes with the lowest of them, as the node collects it.
			let base = ballots.iter().map(|(_, _, block, _)| &tree[*block]).min_by_key(|block| block.number);
			let mut headers = Vec::new();
			for (_, _, block, _) in &ballots {
				let mut at = &tree[*block];
				while base.is_some_and(|base| at.hash() != base.hash()) && !headers.contains(at) {
					headers.push(at.clone());
					match tree.iter().find(|block| block.hash() == at.parent_hash) {
						Some(parent) => at = parent,
						None => break,
					}
				}
			}
			if let Some(place) = left_out.filter(|place| *place < headers.len()) {
				headers.remove(place);
			}
			headers.extend(padding.map(|place| tree[place].clone()));
			let made = justification(target, cast(&ballots, &tree), headers);
			let (ours_raw, theirs_raw) = (ours(target, &made.encode()), theirs(target, &made.encode()));
			prop_assert!(theirs_raw || !ours_raw, "the enforcer takes what the node does not");
			let tidy = tidied(&made.into());
			let (ours_tidy, theirs_tidy) = (ours(target, &tidy.encode()), theirs(target, &tidy.encode()));
			prop_assert!(theirs_tidy || !ours_tidy, "the enforcer takes what the node does not, tidied");
			if theirs_raw && orderly(&ballots) {
				prop_assert!(ours_tidy, "the enforcer does not take what the node does");
			}
		}

		/// Whatever single byte is changed.
		#[test]
		fn both_refuse_a_changed_byte(place in any::<prop::sample::Index>(), flip in 1u8..=255) {
			let tree = tree();
			let target = &tree[TARGET];
			let votes = cast(&[(1, 1, 2, false), (2, 1, 3, false), (3, 1, 2, false)], &tree);
			let mut encoded = justification(target, votes, vec![tree[3].clone()]).encode();
			prop_assert!(ours(target, &encoded) && theirs(target, &encoded));
			let place = place.index(encoded.len());
			encoded[place] ^= flip;
			prop_assert!(!ours(target, &encoded) && !theirs(target, &encoded));
		}
	}
}
