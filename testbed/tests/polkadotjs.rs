//! The polkadot.js scripts against real nodes, as a researcher would run them.

mod common;

use common::{skip, step, story};
use ringfence_primitives::{Address, Indicator};
use ringfence_testbed::{
	chain::{activates, final_change, within},
	Options, Result, Testbed, PATIENCE,
};
use serde_json::Value;
use std::{
	path::Path,
	process::{Command, Output},
};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/polkadotjs");

struct Scripts {
	url: String,
}

impl Scripts {
	/// Runs a script; the node, of polkadot.js that is, is gone when this returns.
	async fn run(&self, script: &str, arguments: &[&str]) -> Output {
		let mut command = Command::new("node");
		command.current_dir(SCRIPTS).arg(script).args(["--url", &self.url]).args(arguments);
		let run = tokio::task::spawn_blocking(move || command.output());
		let output = run.await.expect("no panic").expect("node starts");
		println!("{script} {}\n{}", arguments.join(" "), text(&output.stdout));
		output
	}

	async fn succeed(&self, script: &str, arguments: &[&str]) -> String {
		let output = self.run(script, arguments).await;
		assert!(output.status.success(), "{script} {arguments:?}: {}", text(&output.stderr));
		text(&output.stdout)
	}

	/// Runs a script that has to fail, saying `cause` on its standard error, without a stack trace.
	async fn fail(&self, script: &str, arguments: &[&str], cause: &str) {
		let output = self.run(script, arguments).await;
		let said = text(&output.stderr);
		assert_eq!(output.status.code(), Some(1), "{script} {arguments:?}: {said}");
		assert!(said.contains(cause), "{script} {arguments:?} ought to say {cause:?}: {said}");
		assert!(!said.contains("    at "), "{script} {arguments:?} shows a stack trace: {said}");
	}
}

fn text(bytes: &[u8]) -> String {
	String::from_utf8_lossy(bytes).into_owned()
}

fn json(text: &str) -> Value {
	serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[test]
fn a_researcher_reports_and_lists_and_a_stranger_is_refused() {
	if Command::new("node").arg("--version").output().is_err() {
		return skip("needs Node.js; scripts/setup installs it");
	}
	if !Path::new(SCRIPTS).join("node_modules/@polkadot/api").exists() {
		return skip("needs polkadot.js: npm ci in scripts/polkadotjs");
	}
	story(tell());
}

async fn tell() -> Result<()> {
	let testbed = Testbed::start(Options { gateways: false, ..Options::FULL }, &step).await?;
	let scripts = Scripts { url: testbed.validators[0].url.clone() };
	let from = testbed.chain().log_head().await?.seq + 1;
	let mut pushes = testbed.chain().changes(from).await?;

	let report =
		json(&scripts.succeed("report.mjs", &["--json", "--uri", "//Researcher", "--host", "198.18.77.7"]).await);
	assert_eq!(report["accepted"], true, "{report}");
	assert_eq!(report["indicator"], "198.18.77.7", "{report}");
	let events = report["events"].as_array().expect("events");
	assert!(events.iter().any(|event| event["name"] == "indicators.Reported"), "{report}");

	// The ISPs vote for it, and then the list shows it.
	let address: Address = "198.18.77.7".parse().expect("an address");
	let id = Indicator::Host(address).id();
	within(PATIENCE, "the activation", final_change(&mut pushes, |change| activates(change, &id))).await?;
	let list = json(&scripts.succeed("list.mjs", &["--json"]).await);
	let count = |role: &str| list["members"].as_array().expect("members").iter().filter(|m| m["role"] == role).count();
	assert_eq!(["isp", "subscriber", "researcher"].map(count), [4, 4, 1], "{list}");
	let indicators = list["indicators"].as_array().expect("indicators");
	assert_eq!(indicators.len(), 1, "{list}");
	assert_eq!(indicators[0]["indicator"], "198.18.77.7", "{list}");
	assert_eq!(indicators[0]["status"], "active", "{list}");
	let shown = scripts.succeed("list.mjs", &[]).await;
	assert!(shown.contains("isp, leader") && shown.contains("198.18.77.7"), "{shown}");
	let told = scripts.succeed("report.mjs", &["--endpoint", "udp:[2001:db8:77::7]:53"]).await;
	assert!(told.contains("final in block #"), "{told}");

	scripts.fail("report.mjs", &["--uri", "//Stranger", "--host", "198.18.77.8"], "not an active member").await;
	scripts.fail("report.mjs", &["--uri", "//Bob//home", "--host", "198.18.77.8"], "ReportToYourIsp").await;
	scripts.fail("report.mjs", &["--host", "10.1.2.3"], "overlaps a protected network").await;
	scripts.fail("report.mjs", &["--host", "198.18.77.7"], "AlreadyActive").await;
	scripts.fail("report.mjs", &["--network", "198.18.7.1/24"], "bits set").await;
	scripts.fail("list.mjs", &["--nonsense"], "nonsense").await;
	testbed.finish();
	Ok(())
}
