//! What is decided: values and time in, values out. Nothing here touches a socket, a file or a clock.

pub mod alert;
pub mod csv;
pub mod envelope;
pub mod evidence;
pub mod extrinsic;
pub mod finality;
pub mod flow;
pub mod frame;
pub mod hex;
pub mod inbox;
pub mod list;
pub mod overrides;
pub mod own;
pub mod policy;
pub mod popular;
pub mod proof;
pub mod pulse;
pub mod record;
pub mod report;
pub mod roster;
pub mod rules;
pub mod ruleset;
pub mod sighting;
pub mod snapshot;
pub mod vet;

use ringfence_primitives::Digest;
use sp_core::{Blake2Hasher, Hasher};

/// BLAKE2b-256.
pub fn blake2_256(bytes: &[u8]) -> Digest {
	Blake2Hasher::hash(bytes).0
}
