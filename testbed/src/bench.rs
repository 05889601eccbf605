//! Figures about the chain alone: how far finality lags, what the nodes cost, how soon they are ready.

use crate::{chain::next, error::Result, now_ms, timeline::Spread, Options, Testbed};
use std::{
	collections::BTreeMap,
	time::{Duration, Instant},
};

/// What the measurement is asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
	/// GRANDPA's gossip duration in milliseconds; several, separated by commas, are measured one after the other
	#[arg(long, value_name = "MS", value_delimiter = ',')]
	pub gossip_duration: Vec<u64>,
	/// Seconds to measure each, from the first final blocks on
	#[arg(long, value_name = "SECONDS", default_value_t = 60)]
	pub seconds: u64,
	/// Print one JSON object a line instead of a table
	#[arg(long)]
	pub json: bool,
}

/// Measures four validators that do nothing else.
pub async fn finality(settings: &Settings) -> Result<()> {
	let mut durations: Vec<_> = settings.gossip_duration.iter().copied().map(Some).collect();
	if durations.is_empty() {
		durations.push(None);
	}
	if !settings.json {
		println!(
			"{:>10} {:>9} {:>9} {:>9} {:>9} {:>10} {:>9} {:>10}",
			"gossip", "lag p50", "lag p90", "lag p99", "lag max", "block time", "CPU", "RPC ready"
		);
	}
	for gossip_duration in durations {
		let options = Options { vetting: false, gateways: false, gossip_duration, ..Options::FULL };
		let testbed = Testbed::start(options, &|_, _, _| ()).await?;
		let Measured { lag, blocks, took, cpu } = measure(&testbed, Duration::from_secs(settings.seconds)).await?;
		let ready = testbed.ready_after.iter().max().copied().unwrap_or_default().as_secs_f64();
		let block_time = took.as_secs_f64() / f64::from(blocks.max(1));
		let cores = cpu.as_secs_f64() / took.as_secs_f64();
		let [p50, p90, p99, max] = [50, 90, 99, 100].map(|percent| lag.percentile(percent) / 1000.0);
		if settings.json {
			println!(
				"{}",
				serde_json::json!({
					"gossipMs": gossip_duration, "lag": { "p50": p50, "p90": p90, "p99": p99, "max": max },
					"blocks": blocks, "blockTime": block_time, "cores": cores, "rpcReady": ready,
				})
			);
		} else {
			let gossip = gossip_duration.map_or("default".to_owned(), |duration| format!("{duration} ms"));
			println!(
				"{gossip:>10} {p50:>7.2} s {p90:>7.2} s {p99:>7.2} s {max:>7.2} s {block_time:>8.2} s {cores:>4.2} core {ready:>8.2} s"
			);
		}
		testbed.finish();
	}
	Ok(())
}

struct Measured {
	/// Milliseconds from when the first node took a block for its best to when it took that height for final.
	lag: Spread,
	blocks: u32,
	took: Duration,
	cpu: Duration,
}

async fn measure(testbed: &Testbed, length: Duration) -> Result<Measured> {
	let cpu = || testbed.validators.iter().map(|validator| validator.process.cpu_time()).sum::<Duration>();
	let mut best = testbed.chain().best_heads().await?;
	let mut finalized = testbed.chain().finalized_heads().await?;
	// Each subscription begins with where the chain stands, which is no event.
	let mut newest = next(&mut best).await?.number;
	next(&mut finalized).await?;

	let (start, cpu_before, mut lag, mut blocks) = (Instant::now(), cpu(), Spread::default(), 0);
	let end = tokio::time::sleep(length);
	tokio::pin!(end);
	let mut pending = BTreeMap::new();
	loop {
		tokio::select! {
			() = &mut end => break,
			head = next(&mut best) => {
				let number = head?.number;
				// A height is counted once, though a reorganisation may bring it again.
				if number > newest {
					blocks += number - newest;
					newest = number;
				}
				pending.entry(number).or_insert_with(now_ms);
			},
			head = next(&mut finalized) => {
				let (number, now) = (head?.number, now_ms());
				let later = pending.split_off(&(number + 1));
				for since in std::mem::replace(&mut pending, later).into_values() {
					lag.add((now - since) as f64);
				}
			},
		}
	}
	Ok(Measured { lag, blocks, took: start.elapsed(), cpu: cpu() - cpu_before })
}
