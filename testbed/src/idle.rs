//! What an enforcer costs its line while nothing happens: the bytes between it and its node, by a relay that counts them.

use crate::{
	error::{Context, Error, Result},
	loopback::Loopback,
	process::{self, binary, Process, WorkDir},
	relay::{Bytes, Counter},
	Site, PATIENCE,
};
use ringfence_enforcer::{
	core::hex,
	daemon::{config::HEARTBEAT, key::Keys},
};
use sp_core::Pair;
use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};
use tokio::time::{sleep, Instant};

/// What an enforcer may cost in a day.
const BUDGET_MB: f64 = 0.2;
const DAY: f64 = 86_400.0;

/// What the measurement is asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
	/// How many heartbeats to measure for, after half a pause from one to the next
	#[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
	pub heartbeats: u32,
	/// The pace at which proofs are asked for, as in [chain] heartbeat
	#[arg(long, value_name = "TIME", default_value_t = HEARTBEAT.into())]
	pub heartbeat: humantime::Duration,
	/// Print one JSON object instead of text
	#[arg(long)]
	pub json: bool,
}

/// Measures a household's gateway that has nothing to do.
pub async fn idle(settings: &Settings) -> Result<()> {
	let network = Loopback::start().await?;
	let mut work = WorkDir::create()?;
	let node = &network.nodes[Site::A.index()];
	let counter = Counter::start(node.url.trim_start_matches("ws://")).await?;
	let enforcer = Process::start("gateway", gateway(&work, &counter.url, settings)?, work.log("gateway"))?;
	let journal = enforcer.journal();
	journal.wait("\"connected\"", PATIENCE, |line| line.is("connected")).await?;
	// The beginning is not rest: what was decided so far is fetched, and proven. From the middle between two heartbeats on,
	// whole ones are counted.
	let pace = Duration::from(settings.heartbeat);
	sleep(pace / 2).await;
	let (begun, start, cpu) = (counter.bytes(), Instant::now(), enforcer.cpu_time());
	sleep(pace * settings.heartbeats).await;
	let (took, end, cpu) = (start.elapsed().as_secs_f64(), counter.bytes(), enforcer.cpu_time() - cpu);
	if !journal.is_running() {
		let what = "the measurement to end".to_owned();
		return Err(Error::Ended { name: "gateway".into(), what, log: journal.tail() });
	}
	let bytes = Bytes { up: end.up - begun.up, down: end.down - begun.down };
	let (up, down) = (bytes.up as f64 / took * DAY / 1e6, bytes.down as f64 / took * DAY / 1e6);
	let percent = cpu.as_secs_f64() / took * 100.0;
	if settings.json {
		let report = serde_json::json!({
			"seconds": took, "begin": begun.total(), "up": bytes.up, "down": bytes.down,
			"mbADay": { "up": up, "down": down, "total": up + down }, "budgetMbADay": BUDGET_MB, "cpuPercent": percent,
		});
		println!("{report}");
	} else {
		println!("to begin with   {:>9} bytes", begun.total());
		println!("in {took:>5.0} s      {:>9} bytes to the node, {} bytes from it", bytes.up, bytes.down);
		println!(
			"in a day        {:>9.3} MB (to the node {up:.3}, from it {down:.3}); the aim is {BUDGET_MB} MB",
			up + down
		);
		println!("processor       {percent:>9.2} % of a core");
	}
	drop(enforcer);
	work.finish();
	network.finish();
	Ok(())
}

/// The enforcer of the first home, without a firewall to touch and without a sensor.
fn gateway(work: &WorkDir, endpoint: &str, settings: &Settings) -> Result<std::process::Command> {
	let folder = work.folder("gateway")?;
	let (key, config) = (folder.join("key"), folder.join("ringfence.toml"));
	let secret = Site::A.isp_secret();
	let provider = Keys::of(&secret)
		.ok_or_else(|| Error::Malformed { what: format!("the secret {secret}"), cause: "no key".into() })?;
	let heartbeat = settings.heartbeat;
	let text = format!(
		"state-dir = \"{}\"\n\n[chain]\nendpoints = [\"{endpoint}\"]\nheartbeat = \"{heartbeat}\"\n\n[firewall]\nmode = \"dry-run\"\n\n\
		 [account]\nkey-file = \"{}\"\n\n[subscriber]\nprovider = \"{}\"\nprovider-key = \"{}\"\n",
		work.folder("gateway/state")?.display(),
		key.display(),
		hex::encode(&provider.account.public().0),
		hex::encode(&provider.envelope.public()),
	);
	let write = |path: &Path, text: &str| {
		fs::write(path, text)
			.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
			.context(format!("writing {}", path.display()))
	};
	write(&key, &Site::A.home_secret())?;
	write(&config, &text)?;
	let mut command = process::command(binary("ringfence-enforcer")?);
	command.args(["run", "--log-format", "json", "--config"]).arg(&config);
	Ok(command)
}
