//! `ringfence-testbed`: the demo, a local network, and figures.

use clap::{Parser, Subcommand};
use ringfence_testbed::{
	bench, blocks, coldstart, demo, detectors, flood, idle, interruptible, localnet, throughput, Error,
};
use std::process::ExitCode;

/// Ringfence on one machine, in network namespaces. Needs root, but for the throughput, the blocks, the detectors and the traffic at rest.
#[derive(Parser)]
#[command(version)]
struct Cli {
	#[command(subcommand)]
	command: Command,
}

#[derive(Subcommand)]
enum Command {
	/// One alert at one home, and the attacker's packets are dropped at four
	Demo(demo::Settings),
	/// Validators to develop against, until Ctrl-C
	Localnet {
		/// How many; three or more of the four make blocks final
		#[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=4))]
		validators: u8,
	},
	/// Make an attack, or innocent traffic: into a namespace of a testbed, to the loopback, or as a file
	Flood(Box<flood::Settings>),
	/// Measure
	#[command(subcommand)]
	Bench(Bench),
}

#[derive(Subcommand)]
enum Bench {
	/// How far finality lags behind, and what four validators cost
	Finality(bench::Settings),
	/// How many indicators a second go through four validators, in batches, and how long a single report takes meanwhile
	Throughput(throughput::Settings),
	/// How many bytes a day go between a node and an enforcer that has nothing to do
	Idle(idle::Settings),
	/// How long an enforcer takes from nothing to enforced, and what it costs at rest, beside `nft -f`
	Enforcer(coldstart::Settings),
	/// How long the worst full blocks take to import, beside what their weight says
	Blocks(blocks::Settings),
	/// What the detectors find in attacks, in innocent traffic and in recordings; without root
	Detectors(detectors::Settings),
}

// One thread: processes that it starts are bound to its life, and it lives to the end.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
	let work = async {
		match Cli::parse().command {
			Command::Demo(settings) => demo::run(&settings).await,
			Command::Localnet { validators } => localnet::run(validators.into()).await,
			Command::Flood(settings) => flood::cli::run(*settings).await,
			Command::Bench(Bench::Finality(settings)) => bench::finality(&settings).await,
			Command::Bench(Bench::Throughput(settings)) => throughput::throughput(&settings).await,
			Command::Bench(Bench::Idle(settings)) => idle::idle(&settings).await,
			Command::Bench(Bench::Enforcer(settings)) => coldstart::coldstart(&settings).await,
			Command::Bench(Bench::Blocks(settings)) => blocks::blocks(&settings).await,
			Command::Bench(Bench::Detectors(settings)) => detectors::detectors(settings).await,
		}
	};
	match interruptible(work).await {
		Ok(()) => ExitCode::SUCCESS,
		Err(Error::Interrupted) => {
			eprintln!("\nstopped; everything is cleaned up");
			ExitCode::from(130)
		}
		Err(error) => {
			eprintln!("ringfence-testbed: {error}");
			ExitCode::FAILURE
		}
	}
}
