//! The validators: one node at each ISP.

use crate::{
	chain::Chain,
	error::Result,
	process::{binary, chain_spec, Process, WorkDir},
	topology::{Place, Site},
	Options,
};
use std::time::Duration;

/// How long a node may take until its RPC answers, on a machine that is busy with other things.
const READY: Duration = Duration::from_secs(120);

/// The nodes' network keys and the peer ids that belong to them, in the order of the sites.
const IDENTITIES: [(&str, &str); 4] = [
	(
		"0000000000000000000000000000000000000000000000000000000000000001",
		"12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
	),
	(
		"0000000000000000000000000000000000000000000000000000000000000002",
		"12D3KooWHdiAxVd8uMQR1hGWXccidmfCwLqcMpGwR6QcTP6QRMuD",
	),
	(
		"0000000000000000000000000000000000000000000000000000000000000003",
		"12D3KooWSCufgHzV4fCwRijfH2k3abrpAJxTKxEvN1FDuRXA2U9x",
	),
	(
		"0000000000000000000000000000000000000000000000000000000000000004",
		"12D3KooWSsChzF81YDUKpe9Uk5AHV5oqAaXAcWNSPYgoLauUk4st",
	),
];

fn listen_address(site: Site) -> String {
	format!("/ip4/{}/tcp/30333", site.isp_address())
}

fn peer_address(site: Site) -> String {
	format!("{}/p2p/{}", listen_address(site), IDENTITIES[site.index()].1)
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
		let mut command = place.isp.command(binary("ringfence-node")?);
		command
			.arg("--chain")
			.arg(chain_spec()?)
			.arg(format!("--{}", site.person().to_lowercase()))
			.arg("--base-path")
			.arg(work.folder(&name)?)
			.args(["--listen-addr", &listen_address(site), "--allow-private-ip", "--no-mdns", "--no-telemetry"])
			.args(["--node-key", IDENTITIES[site.index()].0])
			.args(["--rpc-port", "9944", "--unsafe-rpc-external", "--rpc-cors", "all", "--rpc-methods", "safe"]);
		for other in Site::ALL.into_iter().filter(|other| *other != site) {
			command.arg("--reserved-nodes").arg(peer_address(other));
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
