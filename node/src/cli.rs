//! The command line.

use crate::service::Options;
use clap::{Parser, ValueEnum};
use std::time::Duration;

/// The Ringfence node.
// The SDK's default pool keeps a view for every fork, which costs half of the throughput here: forks last a block or two.
#[derive(Debug, Parser)]
#[command(mut_arg("pool_type", |argument| argument.default_value("single-state")))]
pub struct Cli {
	#[command(subcommand)]
	pub subcommand: Option<Subcommand>,

	#[command(flatten)]
	pub run: sc_cli::RunCmd,

	/// Milliseconds that a finality vote is expected to take to reach all validators. Shorter finalizes sooner and costs
	/// CPU; docs/development.md has the measurements behind the default. All validators should use the same.
	#[arg(long, value_name = "MS", default_value_t = 40, value_parser = clap::value_parser!(u64).range(5..=5_000))]
	gossip_duration: u64,

	/// Whether to talk only to the nodes that the members have named on the chain. A node's own id, for its ISP to name
	/// with `tiers.setNodes`, is what `ringfence-node key inspect-node-key --file FILE` prints, and what the running node
	/// answers to `system_localPeerId`.
	#[arg(long, value_enum, value_name = "WHEN", default_value_t = Permissioned::Auto)]
	permissioned: Permissioned,
}

/// Whether a node talks only to nodes that are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Permissioned {
	/// Once more than two thirds of the validators have named theirs.
	Auto,
	/// Never. For the repair of a chain whose members have named wrong ids, and for nothing else.
	Never,
}

impl Cli {
	/// What the service is started with.
	pub fn options(&self) -> Options {
		Options {
			// At least 5 ms: GRANDPA's timers panic below 1 ms.
			gossip_duration: Duration::from_millis(self.gossip_duration),
			permissioned: self.permissioned == Permissioned::Auto,
		}
	}
}

#[derive(Debug, clap::Subcommand)]
pub enum Subcommand {
	/// Key management.
	#[command(subcommand)]
	Key(sc_cli::KeySubcommand),

	/// Print a chain spec, raw if asked.
	ExportChainSpec(sc_cli::ExportChainSpecCmd),

	/// Validate a block.
	CheckBlock(sc_cli::CheckBlockCmd),

	/// Export blocks.
	ExportBlocks(sc_cli::ExportBlocksCmd),

	/// Import blocks.
	ImportBlocks(sc_cli::ImportBlocksCmd),

	/// Export the state of a block as a chain spec.
	ExportState(sc_cli::ExportStateCmd),

	/// Remove the whole chain.
	PurgeChain(sc_cli::PurgeChainCmd),

	/// Revert the chain to an earlier state.
	Revert(sc_cli::RevertCmd),

	/// Show what the database holds.
	ChainInfo(sc_cli::ChainInfoCmd),
}

#[cfg(test)]
mod tests {
	use super::*;
	use clap::CommandFactory;

	#[test]
	fn the_command_line_is_sound() {
		Cli::command().debug_assert();
	}

	#[test]
	fn a_node_is_permissioned_unless_told_otherwise() {
		let options = |arguments: &[&str]| Cli::parse_from([&["ringfence-node"][..], arguments].concat()).options();
		assert!(options(&[]).permissioned);
		assert!(options(&["--permissioned", "auto"]).permissioned);
		assert!(!options(&["--permissioned", "never"]).permissioned);
		assert!(Cli::try_parse_from(["ringfence-node", "--permissioned", "sometimes"]).is_err());
	}

	#[test]
	fn a_gossip_duration_that_grandpa_cannot_bear_is_refused() {
		assert_eq!(Cli::parse_from(["ringfence-node"]).options().gossip_duration, Duration::from_millis(40));
		assert!(Cli::try_parse_from(["ringfence-node", "--gossip-duration", "4"]).is_err());
		assert!(Cli::try_parse_from(["ringfence-node", "--gossip-duration", "5"]).is_ok());
	}
}
