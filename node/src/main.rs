//! The Ringfence node: authors, finalizes, and tells enforcers what was decided.

mod chain_spec;
mod cli;
mod command;
mod links;
mod rpc;
mod service;

fn main() -> sc_cli::Result<()> {
	command::run()
}
