//! The validators: one node at each ISP.

use crate::{
	chain::Chain,
	error::{Context, Error, Result},
	process::{binary, chain_spec, Process, WorkDir},
	topology::{Place, Site},
	Options,
};
use sp_core::{ed25519, sr25519, Pair};
use std::{path::Path, time::Duration};

/// How long a node may take until its RPC answers, on a machine that is busy with other things.
pub(crate) const READY: Duration = Duration::from_secs(120);

/// The peer ids of the nodes whose network keys are 1, 2 and so on.
const PEERS: [&str; 4] = [
	"12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
	"12D3KooWHdiAxVd8uMQR1hGWXccidmfCwLqcMpGwR6QcTP6QRMuD",
	"12D3KooWSCufgHzV4fCwRijfH2k3abrpAJxTKxEvN1FDuRXA2U9x",
	"12D3KooWSsChzF81YDUKpe9Uk5AHV5oqAaXAcWNSPYgoLauUk4st",
];

/// The network key of node `number`, from 1, as `--node-key` takes it.
pub(crate) fn node_key(number: usize) -> String {
	format!("{number:064x}")
}

/// The peer id of node `number`, as the chain keeps it: the multihash of its public key, spelled out since it is short.
pub(crate) fn peer_id(number: usize) -> Vec<u8> {
	let mut seed = [0; 32];
	seed[24..].copy_from_slice(&(number as u64).to_be_bytes());
	let public = ed25519::Pair::from_seed(&seed).public();
	[&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20][..], &public.0[..]].concat()
}

/// Makes a keystore with the well-known session keys of a site's ISP. They are stored as seeds: a node derives the key
/// for each signature anew, and with the phrases that the SDK's `--alice` brings it would spend a tenth of its time on that.
pub(crate) fn session_keys(site: Site, folder: &Path) -> Result<()> {
	let secret = site.isp_secret();
	let write = |kind: &[u8], public: &[u8], seed: &[u8]| {
		let hex = |bytes: &[u8]| sp_core::bytes::to_hex(bytes, false).split_off(2);
		let name = hex(kind) + &hex(public);
		std::fs::write(folder.join(name), format!("\"0x{}\"", hex(seed))).context("writing a session key")
	};
	let malformed = |cause: sp_core::crypto::SecretStringError| Error::Malformed {
		what: format!("the secret {secret}"),
		cause: format!("{cause:?}"),
	};
	// Both kinds of keys have a seed where the whole path is hard.
	let (aura, seed) = sr25519::Pair::from_string_with_seed(&secret, None).map_err(malformed)?;
	write(b"aura", &aura.public().0, &seed.unwrap_or_default())?;
	let (grandpa, seed) = ed25519::Pair::from_string_with_seed(&secret, None).map_err(malformed)?;
	write(b"gran", &grandpa.public().0, &seed.unwrap_or_default())
}

/// The address of an ISP's node that listens at `address`, with the peer id that it must prove to have.
pub(crate) fn with_peer(site: Site, address: &str) -> String {
	format!("{address}/p2p/{}", PEERS[site.index()])
}

fn listen_address(site: Site) -> String {
	format!("/ip4/{}/tcp/30333", site.isp_address())
}

/// One validator.
pub struct Validator {
	/// Whose it is.
	pub site: Site,
	/// The node.
	pub process: Process,
	/// Where its RPC is reached from the host.
	pub url: String,
}

impl Validator {
	/// Starts the node in the ISP's namespace. Every other one is a reserved peer: the mesh is full at once, and mends
	/// itself after a cut.
	pub fn start(place: &Place, options: &Options, work: &WorkDir) -> Result<Self> {
		let site = place.site;
		let name = format!("validator-{}", site.letter());
		let keys = work.folder(&format!("{name}-keys"))?;
		session_keys(site, &keys)?;
		let mut command = place.isp.command(binary("ringfence-node")?);
		command
			.arg("--chain")
			.arg(chain_spec()?)
			.args(["--validator", "--name", &name])
			.arg("--keystore-path")
			.arg(&keys)
			.arg("--base-path")
			.arg(work.folder(&name)?)
			.args(["--listen-addr", &listen_address(site), "--allow-private-ip", "--no-mdns", "--no-telemetry"])
			.args(["--node-key", &node_key(site.index() + 1)])
			.args(["--rpc-port", "9944", "--unsafe-rpc-external", "--rpc-cors", "all", "--rpc-methods", "safe"]);
		for other in Site::ALL.into_iter().filter(|other| *other != site) {
			command.arg("--reserved-nodes").arg(with_peer(other, &listen_address(other)));
		}
		if let Some(duration) = options.gossip_duration {
			command.arg("--gossip-duration").arg(duration.to_string());
		}
		if site.index() < options.libp2p {
			command.args(["--network-backend", "libp2p"]);
		}
		Ok(Self { site, process: Process::start(&name, command, work.log(&name))?, url: place.rpc_url() })
	}

	/// Connects to its RPC, as soon as that answers.
	pub async fn connect(&self) -> Result<Chain> {
		Chain::connect(&self.url, self.process.journal(), READY).await
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn peer_ids_are_those_of_the_network_keys() {
		// The text of a peer id is the same bytes in base 58, so the two tables are about the same nodes.
		let known = "0024080112204cb5abf6ad79fbf5abbccafcc269d85cd2651ed4b885b5869f241aedf0a5ba29";
		assert_eq!(sp_core::bytes::to_hex(&peer_id(1), false), format!("0x{known}"));
		assert_eq!(base58(&peer_id(1)), PEERS[0]);
		assert_eq!(base58(&peer_id(4)), PEERS[3]);
	}

	/// Bytes that begin with one zero, in the alphabet of Bitcoin.
	fn base58(bytes: &[u8]) -> String {
		const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
		let mut digits: Vec<u32> = Vec::new();
		for byte in bytes {
			let mut carry = u32::from(*byte);
			for digit in &mut digits {
				carry += *digit << 8;
				*digit = carry % 58;
				carry /= 58;
			}
			while carry > 0 {
				digits.push(carry % 58);
				carry /= 58;
			}
		}
		let leading = bytes.iter().take_while(|byte| **byte == 0).map(|_| '1');
		leading.chain(digits.iter().rev().map(|digit| char::from(ALPHABET[*digit as usize]))).collect()
	}
}
