//! What is final: a set of validators, their votes for a block, and how one set hands over to the next.
//!
//! Trust begins with the hash of the chain's first block and nothing else. [`AuthoritySet::genesis`] reads the first set
//! of authorities out of that block's state; [`AuthoritySet::advance`] follows a change of set, which the block that
//! names the next set proves, being final by the set before; [`AuthoritySet::verify`] tells whether a block is final.
//!
//! # Security considerations
//!
//! The hash is the owner's. Every other input comes from an RPC server. Votes are counted only with a valid signature of
//! a member of the set, under the set's own number, each member once; more than two thirds of the weight must have
//! voted for the block or for descendants that the justification itself connects with it. Nothing else may be in a
//! justification: no stranger, no second vote, no vote for another block, no header that connects nothing. The node
//! leaves such things out of what it hands on (`node/src/rpc/justification.rs`), so that a validator who votes twice
//! cannot have its honest fellows' servers taken for liars.
//!
//! The order of the checks keeps a liar's input cheap: sizes, members, signatures, and only then the way through the
//! headers. The rule of GRANDPA's own library is asked last, as a second opinion.
//!
//! Votes name no chain: validators must never use one finality key on two chains.

use super::{
	blake2_256,
	hex::{self, HexError},
	proof::{self, ProofError},
};
use codec::{Decode, DecodeAll};
use finality_grandpa::{voter_set::VoterSet, Chain, Message};
use ringfence_primitives::{keys, Digest};
use serde::{Deserialize, Serialize};
use sp_consensus_grandpa::{
	check_message_signature_with_buffer, AuthorityId, AuthorityList, ConsensusLog, GrandpaJustification,
	SignatureResult, GRANDPA_ENGINE_ID,
};
use sp_core::{ed25519, H256};
use sp_runtime::{generic, traits::BlakeTwo256};
use std::collections::{BTreeMap, BTreeSet};

/// A block's header.
pub type Header = generic::Header<u32, BlakeTwo256>;

/// Members of a set of authorities.
pub const MAX_AUTHORITIES: usize = 1_024;
/// Handoffs in one answer of the node's.
pub const MAX_HANDOFFS: usize = 64;
/// Bytes of a header. One that names [`MAX_AUTHORITIES`] has 41 KiB.
pub const MAX_HEADER: usize = 64 * 1024;
/// Bytes of a justification. One with [`MAX_AUTHORITIES`] votes has 132 KiB, and some more for what connects them.
pub const MAX_JUSTIFICATION: usize = 256 * 1024;

/// Why something is not known to be final.
#[derive(Debug, thiserror::Error)]
pub enum FinalityError {
	/// Not the JSON that the node sends.
	#[error("not what a node answers: {0}")]
	Json(#[from] serde_json::Error),
	/// A field that ought to be hexadecimal.
	#[error("{0}: {1}")]
	Hex(&'static str, #[source] HexError),
	/// More than [`MAX_HEADER`], [`MAX_JUSTIFICATION`], [`proof::MAX_NODES`] or [`MAX_HANDOFFS`].
	#[error("{0}: too long")]
	TooLong(&'static str),
	/// A part that does not decode, or not to its end.
	#[error("{0} does not decode: {1}")]
	Scale(&'static str, #[source] codec::Error),
	/// The header is not that of the chain's first block.
	#[error("this is the first block of another chain, {0}")]
	OtherChain(String),
	/// The proof of the first authorities.
	#[error("the first authorities: {0}")]
	Proof(#[from] ProofError),
	/// No members or more than [`MAX_AUTHORITIES`], a member without weight, or more weight than can be counted.
	#[error("no set of authorities that can be")]
	Authorities,
	/// The block belongs to the time of an earlier set. A node that lags says such things.
	#[error("block {number} is older than the set of authorities, which began after {since}")]
	OlderSet {
		/// The block.
		number: u32,
		/// The last block of the set before.
		since: u32,
	},
	/// The votes are for another block.
	#[error("the justification is one of another block")]
	OtherBlock,
	/// More votes than members.
	#[error("{0} votes are more than there are members")]
	SurplusVotes(usize),
	/// A vote of somebody who is no member.
	#[error("a vote of a stranger")]
	Stranger,
	/// A second vote of a member.
	#[error("a second vote of a member")]
	VotedTwice,
	/// A vote that the member did not sign, or not for this set.
	#[error("a vote that was not signed by its member for set {0}")]
	BadSignature(u64),
	/// A vote that was signed for the set before.
	#[error("a vote that was signed for the set before {0}")]
	OutdatedVote(u64),
	/// Not more than two thirds.
	#[error("votes of weight {weight} where {needed} is needed")]
	TooLight {
		/// The weight of the votes.
		weight: u64,
		/// What it takes.
		needed: u64,
	},
	/// A vote for a block that is not the one in question nor shown to descend from it.
	#[error("a vote that is not shown to be for the block or its descendants")]
	Unconnected,
	/// Headers that connect no vote with the block.
	#[error("headers that connect nothing")]
	SurplusHeaders,
	/// The library of GRANDPA's authors finds fault with what passed the checks above.
	#[error("the votes do not make the block final")]
	NoCommit,
	/// The block names no new set.
	#[error("block {0} names no next set of authorities")]
	NoChange(u32),
	/// The block names several.
	#[error("block {0} names several next sets of authorities")]
	SeveralChanges(u32),
	/// The change is not to hold at once, as it always does on this chain.
	#[error("the change of authorities is to wait for {0} blocks")]
	Delayed(u32),
	/// The chain was revived by force. That breaks the way from genesis: a person must decide whether to trust it again,
	/// and pin a new genesis.
	#[error("the authorities were replaced by force: nothing proves the new ones")]
	ForcedChange,
}

impl FinalityError {
	/// Whether the block could be final by a later set: its votes do not count in this one.
	pub fn wants_handoff(&self) -> bool {
		matches!(
			self,
			Self::SurplusVotes(_) | Self::Stranger | Self::BadSignature(_) | Self::TooLight { .. } | Self::NoCommit
		)
	}

	/// Whether a server that is merely behind would say this.
	pub fn is_behind(&self) -> bool {
		matches!(self, Self::OlderSet { .. } | Self::OutdatedVote(_))
	}
}

/// What `ringfence_genesis` answers: the chain's first header, and the first authorities in its state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GenesisProof {
	/// SCALE header of block 0.
	pub header: Vec<u8>,
	/// The trie nodes that prove authorities and the number of their set under the header's state root.
	pub proof: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
struct RawGenesisProof {
	header: String,
	proof: Vec<String>,
}

impl GenesisProof {
	/// Reads the node's answer.
	pub fn decode(answer: serde_json::Value) -> Result<Self, FinalityError> {
		let raw: RawGenesisProof = serde_json::from_value(answer)?;
		if raw.proof.len() > proof::MAX_NODES {
			return Err(FinalityError::TooLong("proof"));
		}
		let nodes = raw.proof.iter().map(|node| bytes("proof", node, proof::MAX_BYTES));
		Ok(Self { header: bytes("header", &raw.header, MAX_HEADER)?, proof: nodes.collect::<Result<_, _>>()? })
	}
}

/// The end of a set of authorities: the block that names the next one, and the votes of the old one for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handoff {
	/// SCALE header of the block.
	pub header: Vec<u8>,
	/// SCALE GRANDPA justification of it.
	pub justification: Vec<u8>,
}

/// What `ringfence_handoffs` answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handoffs {
	/// Consecutive handoffs, the first by the set that was asked for.
	pub handoffs: Vec<Handoff>,
	/// Whether the node knows of no more.
	pub complete: bool,
}

#[derive(Deserialize)]
struct RawHandoffs {
	handoffs: Vec<RawHandoff>,
	complete: bool,
}

#[derive(Deserialize)]
struct RawHandoff {
	header: String,
	justification: String,
}

impl Handoffs {
	/// Reads the node's answer.
	pub fn decode(answer: serde_json::Value) -> Result<Self, FinalityError> {
		let raw: RawHandoffs = serde_json::from_value(answer)?;
		if raw.handoffs.len() > MAX_HANDOFFS {
			return Err(FinalityError::TooLong("handoffs"));
		}
		let handoff = |raw: &RawHandoff| -> Result<_, FinalityError> {
			Ok(Handoff {
				header: bytes("header", &raw.header, MAX_HEADER)?,
				justification: bytes("justification", &raw.justification, MAX_JUSTIFICATION)?,
			})
		};
		let handoffs = raw.handoffs.iter().map(handoff).collect::<Result<_, _>>()?;
		Ok(Self { handoffs, complete: raw.complete })
	}
}

fn bytes(field: &'static str, text: &str, max: usize) -> Result<Vec<u8>, FinalityError> {
	hex::decode_up_to(text, max).map_err(|e| FinalityError::Hex(field, e))
}

fn scale<T: Decode>(what: &'static str, bytes: &[u8]) -> Result<T, FinalityError> {
	T::decode_all(&mut &bytes[..]).map_err(|e| FinalityError::Scale(what, e))
}

/// A header and its hash.
fn header(bytes: &[u8]) -> Result<(H256, Header), FinalityError> {
	if bytes.len() > MAX_HEADER {
		return Err(FinalityError::TooLong("header"));
	}
	Ok((H256(blake2_256(bytes)), scale("header", bytes)?))
}

/// Those who decide, for a while, what is final.
///
/// Written to the enforcer's state, and read back from there, as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "RawSet", into = "RawSet")]
pub struct AuthoritySet {
	id: u64,
	since: u32,
	authorities: AuthorityList,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawSet {
	id: u64,
	since: u32,
	authorities: Vec<(String, u64)>,
}

impl From<AuthoritySet> for RawSet {
	fn from(set: AuthoritySet) -> Self {
		let authorities = set.authorities.iter().map(|(id, weight)| (hex::encode(id.as_ref()), *weight));
		Self { id: set.id, since: set.since, authorities: authorities.collect() }
	}
}

impl TryFrom<RawSet> for AuthoritySet {
	type Error = FinalityError;

	fn try_from(raw: RawSet) -> Result<Self, FinalityError> {
		let authority = |(key, weight): &(String, u64)| -> Result<_, FinalityError> {
			let key = hex::digest(key).map_err(|e| FinalityError::Hex("authorities", e))?;
			Ok((AuthorityId::from(ed25519::Public::from_raw(key)), *weight))
		};
		if raw.authorities.len() > MAX_AUTHORITIES {
			return Err(FinalityError::Authorities);
		}
		let authorities = raw.authorities.iter().map(authority).collect::<Result<_, _>>()?;
		Self::new(raw.id, raw.since, authorities)
	}
}

impl AuthoritySet {
	fn new(id: u64, since: u32, authorities: AuthorityList) -> Result<Self, FinalityError> {
		let set = Self { id, since, authorities };
		if set.authorities.len() > MAX_AUTHORITIES || set.authorities.iter().any(|(_, weight)| *weight == 0) {
			return Err(FinalityError::Authorities);
		}
		set.voters().map(|_| set)
	}

	/// Fails where there are none, or their weights add up to more than a `u64`.
	fn voters(&self) -> Result<VoterSet<AuthorityId>, FinalityError> {
		VoterSet::new(self.authorities.iter().cloned()).ok_or(FinalityError::Authorities)
	}

	/// The first set of the chain whose first block has this hash.
	pub fn genesis(hash: &Digest, proof: &GenesisProof) -> Result<Self, FinalityError> {
		let (found, header) = header(&proof.header)?;
		if found.0 != *hash || header.number != 0 {
			return Err(FinalityError::OtherChain(hex::encode(&found.0)));
		}
		let wanted = [keys::grandpa_authorities(), keys::grandpa_set_id()];
		let values = proof::read(&header.state_root.0, &proof.proof, &wanted)?;
		let [Some(authorities), id] = &values[..] else { return Err(FinalityError::Authorities) };
		let id = id.as_ref().map_or(Ok(0), |id| scale("the number of the set", id))?;
		Self::new(id, 0, scale("the authorities", authorities)?)
	}

	/// The set after this one.
	pub fn advance(&self, handoff: &Handoff) -> Result<Self, FinalityError> {
		let header = self.verify(&handoff.header, &handoff.justification)?;
		let next = self.id.checked_add(1).ok_or(FinalityError::Authorities)?;
		Self::new(next, header.number, next_authorities(&header)?)
	}

	/// The block with this SCALE header, if this SCALE justification shows that the set made it final.
	pub fn verify(&self, encoded: &[u8], justification: &[u8]) -> Result<Header, FinalityError> {
		let (hash, header) = header(encoded)?;
		if header.number <= self.since {
			return Err(FinalityError::OlderSet { number: header.number, since: self.since });
		}
		if justification.len() > MAX_JUSTIFICATION {
			return Err(FinalityError::TooLong("justification"));
		}
		let justification: GrandpaJustification<Header> = scale("justification", justification)?;
		let commit = &justification.commit;
		if (commit.target_hash, commit.target_number) != (hash, header.number) {
			return Err(FinalityError::OtherBlock);
		}
		let voters = self.voters()?;
		self.count(&voters, &justification)?;
		let ancestry = Ancestry::connect(&justification)?;
		match finality_grandpa::validate_commit(commit, &voters, &ancestry) {
			Ok(result) if result.is_valid() => Ok(header),
			_ => Err(FinalityError::NoCommit),
		}
	}

	/// Whether the votes are members' own, one each, and enough. What they are for is looked at later.
	fn count(
		&self,
		voters: &VoterSet<AuthorityId>,
		justification: &GrandpaJustification<Header>,
	) -> Result<(), FinalityError> {
		let votes = &justification.commit.precommits;
		if votes.len() > self.authorities.len() {
			return Err(FinalityError::SurplusVotes(votes.len()));
		}
		let (mut voted, mut weight, mut buffer) = (BTreeSet::new(), 0u64, Vec::new());
		for vote in votes {
			let voter = voters.get(&vote.id).ok_or(FinalityError::Stranger)?;
			if !voted.insert(&vote.id) {
				return Err(FinalityError::VotedTwice);
			}
			// Members count once, and all of them together fit.
			weight = weight.saturating_add(voter.weight().get());
			let message = Message::Precommit(vote.precommit.clone());
			let (round, buffer) = (justification.round, &mut buffer);
			match check_message_signature_with_buffer(&message, &vote.id, &vote.signature, round, self.id, buffer) {
				SignatureResult::Valid => {}
				SignatureResult::Invalid => return Err(FinalityError::BadSignature(self.id)),
				SignatureResult::OutdatedSet => return Err(FinalityError::OutdatedVote(self.id)),
			}
		}
		match voters.threshold().get() {
			needed if weight < needed => Err(FinalityError::TooLight { weight, needed }),
			_ => Ok(()),
		}
	}

	/// The number of the set: what to ask `ringfence_handoffs` for.
	pub fn id(&self) -> u64 {
		self.id
	}

	/// The last block of the set before, which named this one; 0 for the first set. It decides about the blocks above.
	pub fn since(&self) -> u32 {
		self.since
	}

	/// Number of members, at least one.
	#[allow(clippy::len_without_is_empty)]
	pub fn len(&self) -> usize {
		self.authorities.len()
	}
}

/// The set that a block names.
fn next_authorities(header: &Header) -> Result<AuthorityList, FinalityError> {
	let mut next = None;
	for item in header.digest.logs() {
		let Some((GRANDPA_ENGINE_ID, log)) = item.as_consensus() else { continue };
		match scale::<ConsensusLog<u32>>("a finality log", log)? {
			ConsensusLog::ForcedChange(..) => return Err(FinalityError::ForcedChange),
			ConsensusLog::ScheduledChange(_) if next.is_some() => {
				return Err(FinalityError::SeveralChanges(header.number))
			}
			ConsensusLog::ScheduledChange(change) => next = Some(change),
			ConsensusLog::OnDisabled(_) | ConsensusLog::Pause(_) | ConsensusLog::Resume(_) => {}
		}
	}
	match next {
		None => Err(FinalityError::NoChange(header.number)),
		Some(change) if change.delay != 0 => Err(FinalityError::Delayed(change.delay)),
		Some(change) => Ok(change.next_authorities),
	}
}

/// The headers between a block and the descendants that were voted for, by their hashes.
struct Ancestry<'a>(BTreeMap<H256, &'a Header>);

impl<'a> Ancestry<'a> {
	/// Checks that every vote is for the block or a descendant, and that it takes every header to see that.
	fn connect(justification: &'a GrandpaJustification<Header>) -> Result<Self, FinalityError> {
		let commit = &justification.commit;
		let headers: BTreeMap<_, _> = justification.votes_ancestries.iter().map(|h| (h.hash(), h)).collect();
		let mut visited = BTreeSet::new();
		for vote in &commit.precommits {
			let (mut hash, mut number) = (vote.precommit.target_hash, vote.precommit.target_number);
			while hash != commit.target_hash {
				let header = headers.get(&hash).filter(|header| header.number == number);
				let header = header.ok_or(FinalityError::Unconnected)?;
				if !visited.insert(hash) {
					// Another vote has been this way.
					number = commit.target_number;
					break;
				}
				hash = header.parent_hash;
				number = number.checked_sub(1).ok_or(FinalityError::Unconnected)?;
			}
			if number != commit.target_number {
				return Err(FinalityError::Unconnected);
			}
		}
		// One that is there twice is one too many as well.
		if visited.len() != justification.votes_ancestries.len() {
			return Err(FinalityError::SurplusHeaders);
		}
		Ok(Self(headers))
	}
}

impl Chain<H256, u32> for Ancestry<'_> {
	fn ancestry(&self, base: H256, block: H256) -> Result<Vec<H256>, finality_grandpa::Error> {
		let (mut route, mut hash) = (Vec::new(), block);
		while hash != base {
			hash = self.0.get(&hash).ok_or(finality_grandpa::Error::NotDescendent)?.parent_hash;
			route.push(hash);
		}
		// The base itself is not asked for.
		route.pop();
		Ok(route)
	}
}
