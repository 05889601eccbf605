//! The command line as a person meets it: what it says where no enforcer runs, and the exit codes that scripts go by.

use std::{
	fs,
	path::{Path, PathBuf},
	process::{Command, Output},
};
use tempfile::TempDir;

struct Home {
	directory: TempDir,
}

impl Home {
	fn new() -> Self {
		let directory = tempfile::tempdir().unwrap();
		let state = directory.path().join("state");
		fs::create_dir(&state).unwrap();
		let text = format!(
			"state-dir = {state:?}\n[chain]\nendpoints = [\"ws://203.0.113.77:9944\"]\n\
			[policy]\nprotected = [\"198.51.100.0/24\"]\n"
		);
		fs::write(directory.path().join("ringfence.toml"), text).unwrap();
		Self { directory }
	}

	fn state(&self) -> PathBuf {
		self.directory.path().join("state")
	}

	/// The household says so, as an enforcer would have written it down.
	fn wish(&self, network: &str, verdict: &str) {
		let text = format!(
			r#"{{"version":1,"overrides":[{{"network":"{network}","verdict":"{verdict}","since":1,"until":null}}]}}"#
		);
		fs::write(self.state().join("overrides.json"), text).unwrap();
	}

	fn run(&self, words: &str) -> Output {
		let config = self.directory.path().join("ringfence.toml");
		run(words.split(' ').chain(["--config", config.to_str().unwrap()]))
	}
}

fn run<'a>(words: impl IntoIterator<Item = &'a str>) -> Output {
	Command::new(env!("CARGO_BIN_EXE_ringfence-enforcer")).args(words).output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
	let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
	(output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn without_an_enforcer_why_answers_from_what_the_last_one_left() {
	let home = Home::new();
	home.wish("203.0.113.0/26", "block");
	let (code, text, note) = said(&home.run("why 203.0.113.9"));
	assert_eq!(code, Some(10), "{text}{note}");
	assert!(text.starts_with("203.0.113.9 is blocked\n") && text.contains("203.0.113.0/26"), "{text}");
	assert!(note.contains("not running"), "{note}");
	let (code, text, _) = said(&home.run("why 203.0.114.9"));
	assert_eq!((code, text.as_str()), (Some(0), "203.0.114.9 is not blocked\n"));
	home.wish("203.0.113.0/24", "block");
	let (code, text, _) = said(&home.run("why 203.0.113.9"));
	assert_eq!(code, Some(0), "a node of the chain lies in it, so it is not in force: {text}");
	home.wish("203.0.113.0/26", "allow");
	let (code, text, _) = said(&home.run("why 203.0.113.9 --json"));
	let why: serde_json::Value = serde_json::from_str(&text).unwrap();
	assert_eq!((code, &why["state"]), (Some(0), &"allowed".into()));
}

#[test]
fn what_the_home_needs_is_never_blocked() {
	let home = Home::new();
	home.wish("203.0.113.0/24", "block");
	for (peer, because) in [("203.0.113.77", "a node of the chain"), ("198.51.100.9", "protected by the configuration")]
	{
		let (code, text, _) = said(&home.run(&format!("why {peer}")));
		assert_eq!(code, Some(0), "{text}");
		assert!(text.contains("is never blocked") && text.contains(because), "{text}");
	}
}

#[test]
fn lists_are_tables_or_lines_of_json() {
	let home = Home::new();
	assert_eq!(said(&home.run("list")).1, "nothing\n");
	assert_eq!(said(&home.run("list --json")).1, "");
	home.wish("203.0.113.9/32", "block");
	let (code, text, _) = said(&home.run("list"));
	assert_eq!((code, text.lines().count()), (Some(0), 2), "{text}");
	assert!(text.starts_with("WHAT") && text.contains("\n203.0.113.9  you"), "{text}");
	let (_, text, _) = said(&home.run("list --json"));
	let block: serde_json::Value = serde_json::from_str(&text).unwrap();
	assert_eq!((&block["target"], &block["source"]), (&"203.0.113.9".into(), &"household".into()));
	assert_eq!(said(&home.run("list --source chain")).1, "nothing\n");
	assert_eq!(said(&home.run("list --within 198.51.100.0/24")).1, "nothing\n");
	let (_, text, _) = said(&home.run("overrides"));
	assert!(text.contains("203.0.113.9  block  for good"), "{text}");
}

#[test]
fn what_needs_an_enforcer_says_so() {
	let home = Home::new();
	for words in
		["verify", "contacts", "history", "metrics", "block 203.0.113.9", "allow 203.0.113.9", "forget 203.0.113.9"]
	{
		let (code, text, cause) = said(&home.run(words));
		assert_eq!((code, text.as_str()), (Some(3), ""), "{words}");
		assert!(cause.contains("not running"), "{words}: {cause}");
	}
	assert_eq!(fs::read_dir(home.state()).unwrap().count(), 0, "asking changes nothing");
}

#[test]
fn slips_of_the_pen_have_a_code_of_their_own() {
	let home = Home::new();
	for words in
		["why example.net", "block 203.0.113.9/24", "allow 203.0.113.9 --for never", "list --source mars", "replace"]
	{
		assert_eq!(said(&home.run(words)).0, Some(2), "{words}");
	}
	let missing = Path::new("/nonexistent/ringfence.toml");
	assert_eq!(said(&run(["verify", "--config", missing.to_str().unwrap()])).0, Some(1));
}

#[test]
fn the_manual_and_the_completions_need_no_configuration() {
	let (code, page, _) = said(&run(["man"]));
	assert_eq!(code, Some(0));
	for heading in [".SH NAME", ".SH COMMANDS", ".SS ringfence\\-enforcer why", ".SH EXIT STATUS"] {
		assert!(page.contains(heading), "{heading}");
	}
	for shell in ["bash", "zsh", "fish"] {
		let (code, script, _) = said(&run(["completions", shell]));
		assert_eq!(code, Some(0));
		assert!(script.contains("overrides"), "{shell}");
	}
}
