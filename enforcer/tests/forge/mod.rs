//! A chain in memory, whose validators vote for whatever a test likes: for tests of what makes a block final and what a
//! proof proves. Included by path from other crates, too.

#![allow(dead_code, reason = "no test needs all of it")]

use codec::Encode;
use finality_grandpa::{Commit, Message, Precommit, SignedPrecommit};
use ringfence_enforcer::core::{
	blake2_256,
	finality::{AuthoritySet, GenesisProof, Handoff, Header},
	hex,
};
use ringfence_primitives::{
	envelope::WhitelistRecord, keys, AccountBytes, ActiveDigest, Address, Change, ChangeKind, Digest, Indicator,
	LogHead,
};
use serde_json::{json, Value};
use sp_consensus_grandpa::{
	localized_payload, AuthorityId, AuthorityList, AuthoritySignature, ConsensusLog, GrandpaJustification,
	ScheduledChange, GRANDPA_ENGINE_ID,
};
use sp_core::{ed25519, Blake2Hasher, Pair, H256};
use sp_runtime::{generic, DigestItem};
use sp_trie::{trie_types::TrieDBMutBuilderV1, LayoutV1, MemoryDB, Recorder, TrieMut};
use std::collections::BTreeMap;

pub type Justification = GrandpaJustification<Header>;
pub type Vote = SignedPrecommit<H256, u32, AuthoritySignature, AuthorityId>;

/// The round that all vote in.
pub const ROUND: u64 = 3;

/// The key of validator `n`.
pub fn key(n: u8) -> ed25519::Pair {
	ed25519::Pair::from_seed(&[n; 32])
}

/// The name of validator `n`.
pub fn id(n: u8) -> AuthorityId {
	AuthorityId::from(key(n).public())
}

/// A set of validators with a weight of one each.
pub fn authorities(members: &[u8]) -> AuthorityList {
	members.iter().map(|n| (id(*n), 1)).collect()
}

/// A block without extrinsics.
pub fn header(number: u32, parent: H256, state_root: Digest, logs: Vec<DigestItem>) -> Header {
	Header {
		parent_hash: parent,
		number,
		state_root: H256(state_root),
		extrinsics_root: H256::zero(),
		digest: generic::Digest { logs },
	}
}

/// A block with `salt` that makes it another one than its twins.
pub fn child(parent: &Header, salt: u8) -> Header {
	header(parent.number + 1, parent.hash(), [salt; 32], Vec::new())
}

/// The vote of validator `n`, in set `set`, for a block.
pub fn vote(n: u8, set: u64, block: &Header) -> Vote {
	let precommit = Precommit::new(block.hash(), block.number);
	let payload = localized_payload(ROUND, set, &Message::Precommit(precommit.clone()));
	SignedPrecommit { precommit, signature: key(n).sign(&payload).into(), id: id(n) }
}

/// Votes for a block, with the headers that connect them.
pub fn justification(target: &Header, precommits: Vec<Vote>, votes_ancestries: Vec<Header>) -> Justification {
	let commit = Commit { target_hash: target.hash(), target_number: target.number, precommits };
	GrandpaJustification { round: ROUND, commit, votes_ancestries }
}

/// Votes of `members`, in set `set`, for a block.
pub fn voted(members: &[u8], set: u64, block: &Header) -> Justification {
	justification(block, members.iter().map(|n| vote(*n, set, block)).collect(), Vec::new())
}

/// What a block says that names the next validators.
pub fn naming(members: &[u8], delay: u32) -> DigestItem {
	let change = ScheduledChange { next_authorities: authorities(members), delay };
	DigestItem::Consensus(GRANDPA_ENGINE_ID, ConsensusLog::ScheduledChange(change).encode())
}

/// What a block says that replaces the validators by force.
pub fn forcing(members: &[u8]) -> DigestItem {
	let change = ScheduledChange { next_authorities: authorities(members), delay: 0u32 };
	DigestItem::Consensus(GRANDPA_ENGINE_ID, ConsensusLog::ForcedChange(0u32, change).encode())
}

/// `members` of set `set` agree on a block that says `logs`.
pub fn handoff(members: &[u8], set: u64, number: u32, logs: Vec<DigestItem>) -> Handoff {
	let block = header(number, H256::zero(), [0; 32], logs);
	Handoff { header: block.encode(), justification: voted(members, set, &block).encode() }
}

/// A block's state.
#[derive(Clone, Default)]
pub struct State(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl State {
	fn trie(&self) -> (MemoryDB<Blake2Hasher>, H256) {
		let (mut trie, mut root) = (MemoryDB::<Blake2Hasher>::default(), H256::default());
		{
			let mut writer = TrieDBMutBuilderV1::<Blake2Hasher>::new(&mut trie, &mut root).build();
			for (key, value) in &self.0 {
				writer.insert(key, value).expect("the trie is in memory");
			}
		}
		(trie, root)
	}

	pub fn root(&self) -> Digest {
		self.trie().1 .0
	}

	/// The nodes that a lookup of `wanted` visits.
	pub fn proof(&self, wanted: &[Vec<u8>]) -> Vec<Vec<u8>> {
		let (trie, root) = self.trie();
		let mut nodes = BTreeMap::new();
		for key in wanted {
			let mut visited = Recorder::<LayoutV1<Blake2Hasher>>::new();
			sp_trie::read_trie_value::<LayoutV1<Blake2Hasher>, _>(&trie, &root, key, Some(&mut visited), None)
				.expect("the trie is whole");
			nodes.extend(visited.drain().into_iter().map(|node| (node.hash, node.data)));
		}
		nodes.into_values().collect()
	}
}

/// The first block of a chain of `members`, and its hash.
pub fn genesis(members: &[u8]) -> (Digest, GenesisProof) {
	let mut state = State::default();
	state.0.insert(keys::grandpa_authorities().to_vec(), authorities(members).encode());
	state.0.insert(keys::grandpa_set_id().to_vec(), 0u64.encode());
	state.0.insert(b":code".to_vec(), vec![7; 2_000]);
	let header = header(0, H256::zero(), state.root(), Vec::new()).encode();
	let proof = state.proof(&[keys::grandpa_authorities().to_vec(), keys::grandpa_set_id().to_vec()]);
	(blake2_256(&header), GenesisProof { header, proof })
}

/// The first set of a chain of `members`.
pub fn first_set(members: &[u8]) -> AuthoritySet {
	let (hash, proof) = genesis(members);
	AuthoritySet::genesis(&hash, &proof).expect("the genesis is sound")
}

/// The first `n` entries of a log.
pub fn log(n: u64) -> Vec<Change> {
	let mut previous = [0; 32];
	(1..=n)
		.map(|seq| {
			let host = Address::V4([198, 18, 0, seq as u8]);
			let change = Change { seq, at: seq * 500, previous, kind: ChangeKind::Revoked(Indicator::Host(host)) };
			previous = change.hash();
			change
		})
		.collect()
}

/// The state of a chain that has this log, and `digest` in force.
pub fn state(log: &[Change], digest: Vec<u8>) -> (State, LogHead) {
	let mut state = State::default();
	let mut head = LogHead::default();
	for change in log {
		state.0.insert(keys::change(change.seq).to_vec(), change.encode());
		head = LogHead { seq: change.seq, hash: change.hash(), oldest: 1 };
	}
	if head.seq > 0 {
		state.0.insert(keys::log_head().to_vec(), head.encode());
	}
	state.0.insert(keys::active_digest().to_vec(), digest);
	state.0.insert(b":code".to_vec(), vec![7; 2_000]);
	(state, head)
}

/// What the node sends at block `number`, final by `members` as set `set`: entries `from` to the last of `log`.
pub fn frame(members: &[u8], set: u64, number: u32, log: &[Change], from: u64) -> Value {
	let (state, head) = state(log, ActiveDigest::default().encode());
	let changes = &log[from as usize - 1..];
	let mut wanted = vec![keys::log_head().to_vec()];
	wanted.extend(changes.iter().map(|change| keys::change(change.seq).to_vec()));
	item(members, set, number, &state, head, from, changes, &wanted)
}

/// The answer to a heartbeat.
pub fn heartbeat(members: &[u8], set: u64, number: u32, log: &[Change], digest: Option<Vec<u8>>) -> Value {
	let mut wanted = vec![keys::log_head().to_vec()];
	wanted.extend(digest.is_some().then(|| keys::active_digest().to_vec()));
	let (state, head) = state(log, digest.unwrap_or_else(|| ActiveDigest::default().encode()));
	item(members, set, number, &state, head, head.seq + 1, &[], &wanted)
}

/// The first item of a snapshot at block `number`, by which `digest` is in force and nothing is protected.
pub fn opening(members: &[u8], set: u64, number: u32, log: &[Change], digest: Vec<u8>) -> Value {
	let (state, head) = state(log, digest);
	let wanted = [keys::log_head(), keys::active_digest(), keys::protected_networks()].map(|key| key.to_vec());
	json!({ "opening": item(members, set, number, &state, head, head.seq + 1, &[], &wanted) })
}

/// The answer to who asks for the whitelist of `asked`, where that of `owner` is on record.
pub fn whitelist(
	members: &[u8],
	set: u64,
	number: u32,
	owner: &AccountBytes,
	record: &WhitelistRecord,
	asked: &AccountBytes,
) -> Value {
	let (mut state, _) = state(&log(3), ActiveDigest::default().encode());
	state.0.insert(keys::whitelist(owner).to_vec(), record.encode());
	let block = header(number, H256::zero(), state.root(), Vec::new());
	let proof = state.proof(&[keys::whitelist(asked).to_vec()]);
	json!({
		"block": { "number": number, "hash": hex::encode(&block.hash().0) },
		"record": null,
		"header": hex::encode(&block.encode()),
		"justification": hex::encode(&voted(members, set, &block).encode()),
		"proof": proof.iter().map(|node| hex::encode(node)).collect::<Vec<_>>(),
	})
}

#[allow(clippy::too_many_arguments)]
fn item(
	members: &[u8],
	set: u64,
	number: u32,
	state: &State,
	head: LogHead,
	from: u64,
	changes: &[Change],
	wanted: &[Vec<u8>],
) -> Value {
	let block = header(number, H256::zero(), state.root(), Vec::new());
	json!({
		"block": { "number": number, "hash": hex::encode(&block.hash().0) },
		"head": { "seq": head.seq, "hash": hex::encode(&head.hash), "oldest": head.oldest },
		"from": from,
		"changes": changes.iter().map(|change| hex::encode(&change.encode())).collect::<Vec<_>>(),
		"header": hex::encode(&block.encode()),
		"justification": hex::encode(&voted(members, set, &block).encode()),
		"proof": state.proof(wanted).iter().map(|node| hex::encode(node)).collect::<Vec<_>>(),
	})
}
