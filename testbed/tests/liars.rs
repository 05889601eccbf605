//! Nodes that lie and nodes that say nothing: they are left for the next, and silence shows.
//!
//! A relay stands before a real node and alters what it says. The enforcer runs without a firewall to touch, so none of this
//! takes root.

mod common;

use common::tell;
use ringfence_enforcer::{
	core::pulse::SLOT_MILLIS,
	daemon::status::{self, Status},
};
use ringfence_primitives::{
	call, Action, Ballot, Confidence, Direction, Indicator, Lifetime, Network, Note, Severity, Terms, ThreatClass, Tlp,
	Vote,
};
use ringfence_testbed::{
	chain::within,
	error::Context,
	loopback::{key, Loopback},
	now_ms,
	process::{self, binary, Process, WorkDir},
	relay::{Alteration, Liar, Lie},
	Result, Site, PATIENCE,
};
use serde_json::{json, Value};
use std::{fs, path::PathBuf, time::Duration};
use tokio::time::sleep;

/// One enforcer.
struct Enforcer {
	state: PathBuf,
	process: Process,
}

impl Enforcer {
	fn start(work: &WorkDir, name: &str, endpoints: &[&str]) -> Result<Self> {
		let state = work.folder(&format!("{name}/state"))?;
		let config = work.folder(name)?.join("ringfence.toml");
		let text = format!(
			"state-dir = \"{}\"\n\n[chain]\nendpoints = {endpoints:?}\nheartbeat = \"10s\"\nstale-after = \"15s\"\n\n\
			 [firewall]\nmode = \"dry-run\"\n",
			state.display(),
		);
		fs::write(&config, text).context(format!("writing {}", config.display()))?;
		let mut command = process::command(binary("ringfence-enforcer")?);
		command.args(["run", "--log-format", "json", "--config"]).arg(&config);
		Ok(Self { state, process: Process::start(name, command, work.log(name))? })
	}

	/// The first status that passes `test`. It is a file that is written once a second.
	async fn status(&self, what: &str, test: impl Fn(&Status) -> bool) -> Result<Status> {
		let path = status::path(&self.state);
		let look = async {
			loop {
				if let Some(status) = status::read(&path).ok().filter(|status| test(status)) {
					return Ok(status);
				}
				sleep(Duration::from_millis(100)).await;
			}
		};
		within(PATIENCE, what, look).await.map_err(|error| match error {
			ringfence_testbed::Error::Deadline { what, within, .. } => {
				ringfence_testbed::Error::Deadline { what, within, log: self.process.journal().tail() }
			}
			error => error,
		})
	}
}

/// Has an indicator blocked everywhere; the number of the change that says so, or a later one's.
async fn block(network: &Loopback, host: &str) -> Result<u64> {
	let indicator = Indicator::from(host.parse::<Network>().expect("an address"));
	let terms = Terms {
		threat: ThreatClass::Scan,
		severity: Severity::High,
		confidence: Confidence::new(90).expect("a percentage"),
		direction: Direction::Both,
		action: Action::Drop,
		tlp: Tlp::Green,
		lifetime: Lifetime::new(3_600).expect("an hour"),
		evidence: None,
		note: Note::truncated("seen by a test"),
	};
	network.call_encoded("a report", &key(&Site::A.isp_secret())?, &call::report(&indicator, &terms)).await?;
	let (id, hash) = (indicator.id(), terms.hash());
	let mut number = 0;
	for site in [Site::B, Site::C] {
		let vote = call::vote(Ballot { id, terms: hash, vote: Vote::Approve }, None);
		number = network.call_encoded("a vote", &key(&site.isp_secret())?, &vote).await?;
	}
	network.await_finality(number).await?;
	Ok(network.chain(Site::A).status().await?.log.seq)
}

/// The part of an item that is proven: of a frame all of it, of a snapshot its opening.
fn proven(item: &mut Value) -> Option<&mut Value> {
	let item = if item.get("opening").is_some() { &mut item["opening"] } else { item };
	item.get("justification").is_some().then_some(item)
}

/// Changes a digit in the middle of hexadecimal text.
fn alter(text: &mut Value) {
	let mut digits = text.as_str().expect("hexadecimal text").to_owned();
	let middle = digits.len() / 2;
	let other = if &digits[middle..=middle] == "0" { "1" } else { "0" };
	digits.replace_range(middle..=middle, other);
	*text = digits.into();
}

fn forged_votes(item: &mut Value) {
	if let Some(item) = proven(item) {
		alter(&mut item["justification"]);
	}
}

fn another_header(item: &mut Value) {
	if let Some(item) = proven(item) {
		alter(&mut item["header"]);
	}
}

fn another_head(item: &mut Value) {
	if let Some(item) = proven(item) {
		let seq = item["head"]["seq"].as_u64().expect("a number");
		item["head"]["seq"] = json!(seq + 1);
	}
}

fn half_a_proof(item: &mut Value) {
	if let Some(item) = proven(item) {
		item["proof"].as_array_mut().expect("a list").pop();
	}
}

fn surplus_proof(item: &mut Value) {
	if let Some(item) = proven(item) {
		item["proof"].as_array_mut().expect("a list").push("0x00010203".into());
	}
}

fn other_authorities(answer: &mut Value) {
	let is_genesis = answer.get("header").is_some() && answer.get("justification").is_none();
	if let Some(nodes) = answer.get_mut("proof").filter(|_| is_genesis).and_then(Value::as_array_mut) {
		nodes.iter_mut().for_each(alter);
	}
}

#[test]
fn a_node_that_lies_is_left_for_one_that_does_not() {
	tell(async {
		let network = Loopback::start().await?;
		let mut work = WorkDir::create()?;
		let liar = Liar::start(&network.nodes[0].url).await?;
		let honest = network.nodes[1].url.clone();
		let lies: [(&str, Alteration); 6] = [
			("votes-forged", forged_votes),
			("header-altered", another_header),
			("head-moved", another_head),
			("proof-cut", half_a_proof),
			("proof-padded", surplus_proof),
			("authorities-made-up", other_authorities),
		];
		for (number, (name, lie)) in lies.into_iter().enumerate() {
			println!("{name}");
			liar.tell(Lie::Alter(lie));
			let seq = block(&network, &format!("198.51.100.{}", number + 1)).await?;
			let enforcer = Enforcer::start(&work, name, &[&liar.url, &honest])?;
			let journal = enforcer.process.journal();
			let test =
				|line: &process::Line| line.is("the node lies") && line.get("endpoint") == Some(liar.url.as_str());
			journal.wait("the lie to be noticed", PATIENCE, test).await?;
			let status = enforcer.status("the next node to be followed", |status| status.seq >= seq).await?;
			assert_eq!(status.endpoint.as_ref(), Some(&honest));
			assert_eq!((status.counts.lies, status.endpoints[0].lies, status.endpoints[1].lies), (1, 1, 0));
			assert!(status.endpoints[0].retry_at.is_some_and(|at| at > now_ms() as u64 + 60_000), "{status:?}");
			assert_eq!(status.stale(now_ms() as u64), None);
		}
		work.finish();
		network.finish();
		Ok(())
	});
}

#[test]
fn a_node_that_begins_to_lie_in_the_middle_is_left_and_nothing_is_lost() {
	tell(async {
		let network = Loopback::start().await?;
		let mut work = WorkDir::create()?;
		let liar = Liar::start(&network.nodes[0].url).await?;
		let honest = network.nodes[1].url.clone();
		let enforcer = Enforcer::start(&work, "enforcer", &[&liar.url, &honest])?;
		let first = block(&network, "198.51.100.1").await?;
		let status = enforcer.status("the first change", |status| status.seq >= first).await?;
		assert_eq!(status.endpoint.as_ref(), Some(&liar.url), "it is the preferred one, and spoke the truth");
		liar.tell(Lie::Alter(forged_votes));
		let second = block(&network, "198.51.100.2").await?;
		let status = enforcer.status("the second change", |status| status.seq >= second).await?;
		assert_eq!((status.endpoint.as_ref(), status.counts.lies), (Some(&honest), 1));
		work.finish();
		network.finish();
		Ok(())
	});
}

#[test]
fn changes_that_a_node_keeps_back_come_from_the_next() {
	tell(async {
		let network = Loopback::start().await?;
		let mut work = WorkDir::create()?;
		let liar = Liar::start(&network.nodes[0].url).await?;
		let honest = network.nodes[1].url.clone();
		let enforcer = Enforcer::start(&work, "enforcer", &[&liar.url, &honest])?;
		let first = block(&network, "198.51.100.1").await?;
		enforcer.status("the first change", |status| status.seq >= first).await?;
		liar.tell(Lie::Withhold);
		let second = block(&network, "198.51.100.2").await?;
		let status = enforcer.status("the second change", |status| status.seq >= second).await?;
		assert_eq!((status.endpoint.as_ref(), status.counts.lies), (Some(&honest), 0), "what it proved is true");
		work.finish();
		network.finish();
		Ok(())
	});
}

#[test]
fn silence_shows_and_a_silent_node_is_left() {
	tell(async {
		let network = Loopback::start().await?;
		let mut work = WorkDir::create()?;
		let relay = Liar::start(&network.nodes[0].url).await?;
		let honest = network.nodes[1].url.clone();
		let alone = Enforcer::start(&work, "alone", &[&relay.url])?;
		let accompanied = Enforcer::start(&work, "accompanied", &[&relay.url, &honest])?;
		for enforcer in [&alone, &accompanied] {
			let status = enforcer.status("the relay to be followed", |status| status.proven.is_some()).await?;
			assert_eq!(status.endpoint.as_ref(), Some(&relay.url));
		}
		for (name, lie) in [("repeating what is known", Lie::Repeat), ("saying nothing at all", Lie::Silence)] {
			println!("{name}");
			relay.tell(lie);
			let status = alone.status("silence to show", |status| status.stale(now_ms() as u64).is_some()).await?;
			assert_eq!(status.counts.lies, 0, "silence is no lie");
			assert!(status.proven.is_some(), "what was proven stays known");
			let is_fresh =
				|status: &Status| status.endpoint.as_ref() == Some(&honest) && status.stale(now_ms() as u64).is_none();
			accompanied.status("the next node to be followed", is_fresh).await?;
			relay.tell(Lie::Truth);
			alone.status("the end of silence", |status| status.stale(now_ms() as u64).is_none()).await?;
		}
		work.finish();
		network.finish();
		Ok(())
	});
}

#[test]
fn the_enforcer_tells_the_age_of_a_block_by_the_slots_of_the_chain() {
	assert_eq!(SLOT_MILLIS, ringfence_runtime::SLOT_MILLIS);
}
