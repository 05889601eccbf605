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
