//! The Ringfence node: authors, finalizes, and tells enforcers what was decided.

// The SDK's errors are large, and all of these functions run once.
#![allow(clippy::result_large_err)]

mod authoring;
mod chain_spec;
mod cli;
mod command;
mod links;
mod network;
mod offences;
mod peers;
mod rpc;
mod select_chain;
mod service;

/// Blocks are made of many small, short-lived values, with which the C library's allocator spends a quarter of the time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> sc_cli::Result<()> {
	command::run()
}
