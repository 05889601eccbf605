//! Real nodes that share this machine's loopback: no namespaces, no root, no enforcers.

use crate::{
	chain::{within, Chain},
	error::{Context, Error, Result},
	process::{self, binary, chain_spec, Process, WorkDir},
	validators::{node_key, peer_id, session_keys, with_peer, READY},
	Site, PATIENCE,
};
use codec::Encode;
use futures::future::try_join_all;
use ringfence_runtime::RuntimeCall;
use sp_core::{sr25519, Pair};
use std::{
	net::{Ipv4Addr, TcpListener},
	sync::atomic::{AtomicU32, Ordering},
};

/// What a node is to the chain.
#[derive(Clone, Copy, Debug)]
pub enum Part {
	/// A validator with the well-known keys of this site's ISP.
	Validator(Site),
	/// A validator that has no keys yet.
	Newcomer,
	/// A node that only wants to have the chain.
	Guest,
}

/// One node.
pub struct Node {
	/// Its name, for logs and errors.
	pub name: String,
	/// The process.
	pub process: Process,
	/// Its RPC, every method allowed.
	pub chain: Chain,
	/// Where that is.
	pub url: String,
	/// Its peer id, as the chain keeps it.
	pub peer: Vec<u8>,
}

/// Nodes of one chain. All of it ends when it is dropped.
// The fields are dropped in this order: processes and sockets, files.
pub struct Loopback {
	/// The nodes: those of the four genesis ISPs, in order, and then whatever was added.
	pub nodes: Vec<Node>,
	addresses: Vec<String>,
	work: WorkDir,
}

impl Loopback {
	/// Starts the nodes of the four ISPs, and waits until they make blocks final.
	pub async fn start() -> Result<Self> {
		let addresses = Site::ALL
			.into_iter()
			.map(|site| Ok(with_peer(site, &listen_address(free_port()?))))
			.collect::<Result<Vec<_>>>()?;
		let mut this = Self { nodes: Vec::new(), addresses, work: WorkDir::create()? };
		let started = Site::ALL
			.into_iter()
			.map(|site| this.launch(&format!("isp-{}", site.letter()), site.index() + 1, Part::Validator(site)))
			.collect::<Result<Vec<_>>>()?;
		this.nodes = try_join_all(started.into_iter().map(Launched::ready)).await?;
		this.await_finality(2).await?;
		Ok(this)
	}

	/// Starts one more node, which knows where the four are; its place among [`Self::nodes`].
	pub async fn add(&mut self, name: &str, part: Part) -> Result<usize> {
		let place = self.nodes.len();
		let launched = self.launch(name, place + 1, part)?;
		self.nodes.push(launched.ready().await?);
		Ok(place)
	}

	/// The peer id of the node that [`Self::add`] will start next, as the chain keeps it.
	pub fn next_peer(&self) -> Vec<u8> {
		peer_id(self.nodes.len() + 1)
	}

	fn launch(&self, name: &str, number: usize, part: Part) -> Result<Launched> {
		let rpc = free_port()?;
		let mut command = process::command(binary("ringfence-node")?);
		command
			.arg("--chain")
			.arg(chain_spec()?)
			.arg("--base-path")
			.arg(self.work.folder(name)?)
			.args(["--allow-private-ip", "--no-mdns", "--no-telemetry", "--no-prometheus"])
			.args(["--node-key", &node_key(number)])
			// The loopback reaches nobody else; new session keys take an unsafe method, and a relay calls itself otherwise.
			.args(["--rpc-port", &rpc.to_string(), "--rpc-methods", "unsafe", "--rpc-cors", "all"]);
		match self.addresses.get(number - 1).and_then(|address| address.split("/p2p/").next()) {
			Some(own) => command.args(["--listen-addr", own]),
			None => command.args(["--listen-addr", &listen_address(free_port()?)]),
		};
		match part {
			Part::Validator(site) => {
				let keys = self.work.folder(&format!("{name}-keys"))?;
				session_keys(site, &keys)?;
				command.args(["--validator", "--name", name]).arg("--keystore-path").arg(keys)
			}
			Part::Newcomer => command.args(["--validator", "--name", name]),
			Part::Guest => command.args(["--name", name]),
		};
		for (_, address) in self.addresses.iter().enumerate().filter(|(place, _)| place + 1 != number) {
			command.args(["--reserved-nodes", address]);
		}
		Ok(Launched {
			name: name.to_owned(),
			process: Process::start(name, command, self.work.log(name))?,
			url: format!("ws://127.0.0.1:{rpc}"),
			peer: peer_id(number),
		})
	}

	/// The RPC of this ISP's node.
	pub fn chain(&self, site: Site) -> &Chain {
		// One was started for every site.
		&self.nodes[site.index()].chain
	}

	/// Waits until block `number` or a later one is final at the four; the least that is final anywhere.
	pub async fn await_finality(&self, number: u32) -> Result<u32> {
		let finals = self.nodes.iter().take(Site::ALL.len()).map(|node| async move {
			let what = format!("block {number} to be final at {}", node.name);
			within(PATIENCE, &what, node.chain.final_block(number)).await.map_err(|error| node.explain(error))
		});
		Ok(try_join_all(finals).await?.into_iter().min().unwrap_or(0))
	}

	/// Waits until so many more blocks are final at the four.
	pub async fn await_progress(&self, blocks: u32) -> Result<u32> {
		let now = self.chain(Site::A).status().await?.best.number;
		self.await_finality(now + blocks).await
	}

	/// Makes a call as `signer`, through the first node, and waits until a block has it; the number of that. A call that
	/// fails is an error.
	pub async fn call(&self, what: &str, signer: &sr25519::Pair, call: RuntimeCall) -> Result<u32> {
		self.call_encoded(what, signer, &call.encode()).await
	}

	/// The same for a call that is encoded already.
	pub async fn call_encoded(&self, what: &str, signer: &sr25519::Pair, call: &[u8]) -> Result<u32> {
		let chain = self.chain(Site::A);
		let hash = within(PATIENCE, what, chain.submit(what, signer, call)).await?;
		match chain.failure_in(&hash).await? {
			Some(cause) => Err(Error::Refused { what: what.into(), cause }),
			None => Ok(chain.block_number(&hash).await?.unwrap_or_default()),
		}
	}

	/// Ends all of it; nothing went wrong, so not even the logs are kept.
	pub fn finish(mut self) {
		self.work.finish();
	}
}

impl Node {
	/// Adds the last lines of the log to a deadline that passed.
	pub fn explain(&self, error: Error) -> Error {
		match error {
			Error::Deadline { what, within, .. } => {
				Error::Deadline { what, within, log: self.process.journal().tail() }
			}
			other => other,
		}
	}
}

/// A node whose RPC may not answer yet.
struct Launched {
	name: String,
	process: Process,
	url: String,
	peer: Vec<u8>,
}

impl Launched {
	async fn ready(self) -> Result<Node> {
		let Self { name, process, url, peer } = self;
		let chain = Chain::connect(&url, process.journal(), READY).await?;
		Ok(Node { name, process, chain, url, peer })
	}
}

/// The key pair of a development account.
pub fn key(secret: &str) -> Result<sr25519::Pair> {
	sr25519::Pair::from_string(secret, None)
		.map_err(|error| Error::Malformed { what: format!("the secret {secret}"), cause: error.to_string() })
}

fn listen_address(port: u16) -> String {
	format!("/ip4/127.0.0.1/tcp/{port}")
}

/// A port on which nobody listens, below those that the kernel gives to clients: where two runs side by side look first
/// differs, and none is given twice.
fn free_port() -> Result<u16> {
	static TRIED: AtomicU32 = AtomicU32::new(0);
	const FIRST: u32 = 10_000;
	const COUNT: u32 = 20_000;
	let offset = std::process::id().wrapping_mul(64);
	for _ in 0..COUNT {
		let tried = TRIED.fetch_add(1, Ordering::Relaxed);
		// Below 30,000.
		let port = (FIRST + offset.wrapping_add(tried) % COUNT) as u16;
		if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
			return Ok(port);
		}
	}
	Err(std::io::Error::from(std::io::ErrorKind::AddrInUse)).context("looking for a free port")
}
