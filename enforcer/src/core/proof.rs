//! Reading the chain's state from a proof: trie nodes that lead from a state root to the values asked for.
//!
//! # Security considerations
//!
//! The nodes come from an RPC server, the root from a header that is proven final. A node counts only under its own
//! hash, so nothing that the chain did not write is ever parsed as its state; a server can leave nodes out, which is
//! refused, or add some, which is refused as well: a proof is exactly what the question takes.

use ringfence_primitives::Digest;
use sp_core::{Blake2Hasher, H256};
use sp_trie::{HashDBT, LayoutV1, MemoryDB, Recorder, EMPTY_PREFIX};
use std::collections::BTreeSet;

/// Nodes that a proof may have. The largest that is asked for, 256 entries of the log with their head, takes about 1,200.
pub const MAX_NODES: usize = 8_192;
/// Bytes that they may have together.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Reads proofs of both state versions: they differ in how values are written, not in how they are read.
type Layout = LayoutV1<Blake2Hasher>;

/// Why a proof was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProofError {
	/// More than [`MAX_NODES`].
	#[error("a proof of {0} nodes is too large")]
	TooMany(usize),
	/// More than [`MAX_BYTES`].
	#[error("a proof of {0} bytes is too large")]
	TooLong(usize),
	/// A node is there twice.
	#[error("a node of the proof is there twice")]
	Duplicate,
	/// The proof does not lead from the root to the key with this place in the question, or to its absence.
	#[error("the proof does not lead to key {0}")]
	Incomplete(usize),
	/// Nodes that the question does not take.
	#[error("{0} nodes of the proof prove nothing that was asked for")]
	Surplus(usize),
}

/// The values under `keys`, in their order, in the state with this root; `None` for a key that is proven absent.
pub fn read<K: AsRef<[u8]>>(root: &Digest, nodes: &[Vec<u8>], keys: &[K]) -> Result<Vec<Option<Vec<u8>>>, ProofError> {
	if nodes.len() > MAX_NODES {
		return Err(ProofError::TooMany(nodes.len()));
	}
	let length: usize = nodes.iter().map(Vec::len).sum();
	if length > MAX_BYTES {
		return Err(ProofError::TooLong(length));
	}
	let mut trie = MemoryDB::<Blake2Hasher>::default();
	let mut surplus = BTreeSet::new();
	for node in nodes {
		if !surplus.insert(trie.insert(EMPTY_PREFIX, node)) {
			return Err(ProofError::Duplicate);
		}
	}
	let root = H256(*root);
	let mut values = Vec::with_capacity(keys.len());
	for (place, key) in keys.iter().enumerate() {
		// One recorder a key: it copies each node on the way.
		let mut visited = Recorder::<Layout>::new();
		let value = sp_trie::read_trie_value::<Layout, _>(&trie, &root, key.as_ref(), Some(&mut visited), None);
		values.push(value.map_err(|_| ProofError::Incomplete(place))?);
		for node in visited.drain() {
			surplus.remove(&node.hash);
		}
	}
	match surplus.len() {
		0 => Ok(values),
		surplus => Err(ProofError::Surplus(surplus)),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;
	use sp_trie::{generate_trie_proof, trie_types::TrieDBMutBuilderV1, TrieMut};
	use std::collections::BTreeMap;

	/// A state, its root, and what proves the keys.
	fn proven(state: &BTreeMap<Vec<u8>, Vec<u8>>, keys: &[Vec<u8>]) -> (Digest, Vec<Vec<u8>>) {
		let (mut trie, mut root) = (MemoryDB::<Blake2Hasher>::default(), H256::default());
		{
			let mut writer = TrieDBMutBuilderV1::<Blake2Hasher>::new(&mut trie, &mut root).build();
			for (key, value) in state {
				writer.insert(key, value).unwrap();
			}
		}
		// The state machine's proofs are those nodes that a lookup visits.
		let mut nodes = BTreeMap::new();
		for key in keys {
			let mut visited = Recorder::<Layout>::new();
			sp_trie::read_trie_value::<Layout, _>(&trie, &root, key, Some(&mut visited), None).unwrap();
			nodes.extend(visited.drain().into_iter().map(|node| (node.hash, node.data)));
		}
		(root.0, nodes.into_values().collect())
	}

	/// Short and long values: those of more than 32 bytes are nodes of their own.
	fn state() -> BTreeMap<Vec<u8>, Vec<u8>> {
		(0u8..40).map(|n| (crate::core::blake2_256(&[n]).to_vec(), vec![n; usize::from(n) * 2 + 1])).collect()
	}

	#[test]
	fn values_and_absence_are_read() {
		let state = state();
		let mut keys: Vec<_> = state.keys().take(5).cloned().collect();
		keys.push(vec![7; 32]);
		let (root, nodes) = proven(&state, &keys);
		let expected: Vec<_> = keys.iter().map(|key| state.get(key).cloned()).collect();
		assert_eq!(read(&root, &nodes, &keys), Ok(expected));
	}

	#[test]
	fn missing_nodes_and_other_roots_are_refused() {
		let state = state();
		let keys: Vec<_> = state.keys().take(3).cloned().collect();
		let (root, nodes) = proven(&state, &keys);
		for left_out in 0..nodes.len() {
			let mut fewer = nodes.clone();
			fewer.remove(left_out);
			assert!(matches!(read(&root, &fewer, &keys), Err(ProofError::Incomplete(_))), "without {left_out}");
		}
		assert_eq!(read(&[9; 32], &nodes, &keys), Err(ProofError::Incomplete(0)));
	}

	#[test]
	fn nodes_that_prove_nothing_are_refused() {
		let state = state();
		let keys: Vec<_> = state.keys().cloned().collect();
		let (root, nodes) = proven(&state, &keys);
		assert!(matches!(read(&root, &nodes, &keys[..1]), Err(ProofError::Surplus(_))));
		// The empty node is known to every trie, but not asked for here.
		let padded = [nodes.clone(), vec![vec![0]]].concat();
		assert_eq!(read(&root, &padded, &keys), Err(ProofError::Surplus(1)));
		let twice = [nodes.clone(), nodes[..1].to_vec()].concat();
		assert_eq!(read(&root, &twice, &keys), Err(ProofError::Duplicate));
	}

	#[test]
	fn proofs_have_bounds() {
		let many = vec![vec![1]; MAX_NODES + 1];
		assert_eq!(read(&[0; 32], &many, &[[0u8]]), Err(ProofError::TooMany(MAX_NODES + 1)));
		let long = vec![vec![1; MAX_BYTES], vec![2]];
		assert_eq!(read(&[0; 32], &long, &[[0u8]]), Err(ProofError::TooLong(MAX_BYTES + 1)));
	}

	#[test]
	fn a_compact_proof_is_another_thing() {
		let (state, key) = (state(), state().keys().next().unwrap().clone());
		let (mut trie, mut root) = (MemoryDB::<Blake2Hasher>::default(), H256::default());
		{
			let mut writer = TrieDBMutBuilderV1::<Blake2Hasher>::new(&mut trie, &mut root).build();
			for (key, value) in &state {
				writer.insert(key, value).unwrap();
			}
		}
		let compact = generate_trie_proof::<Layout, _, _, _>(&trie, root, [&key]).unwrap();
		assert!(read(&root.0, &compact, &[key]).is_err());
	}

	proptest! {
		/// Whatever bytes are changed, added or cut off: what is read is the truth, or nothing is.
		#[test]
		fn a_changed_proof_reads_the_truth_or_nothing(
			picks in proptest::collection::vec(0usize..40, 1..6), node in any::<prop::sample::Index>(),
			place in any::<prop::sample::Index>(), flip in 1u8..=255,
		) {
			let state = state();
			let all: Vec<_> = state.keys().cloned().collect();
			let keys: Vec<_> = picks.iter().map(|pick| all[*pick].clone()).collect();
			let (root, mut nodes) = proven(&state, &keys);
			let expected: Vec<_> = keys.iter().map(|key| state.get(key).cloned()).collect();
			prop_assert_eq!(read(&root, &nodes, &keys), Ok(expected));
			let node = node.index(nodes.len());
			let place = place.index(nodes[node].len());
			nodes[node][place] ^= flip;
			prop_assert!(read(&root, &nodes, &keys).is_err());
		}
	}
}
