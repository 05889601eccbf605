//! The command line.

use clap::Parser;
use std::time::Duration;

/// The Ringfence node.
#[derive(Debug, Parser)]
pub struct Cli {
	#[command(subcommand)]
	pub subcommand: Option<Subcommand>,

	#[command(flatten)]
	pub run: sc_cli::RunCmd,

	/// Milliseconds that a finality vote is expected to take to reach all validators. Shorter finalizes sooner and costs
	/// CPU; docs/development.md has the measurements behind the default. All validators should use the same.
	#[arg(long, value_name = "MS", default_value_t = 40, value_parser = clap::value_parser!(u64).range(5..=5_000))]
	gossip_duration: u64,
}

impl Cli {
	/// The gossip duration. At least 5 ms: GRANDPA's timers panic below 1 ms.
	pub fn gossip_duration(&self) -> Duration {
		Duration::from_millis(self.gossip_duration)
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
