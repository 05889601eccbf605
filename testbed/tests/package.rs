//! The Debian packages, installed, upgraded, removed and purged for real.

mod common;

use common::skip;
use std::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/package-test");
/// What the script exits with where the machine does not allow it.
const NO_MACHINE: i32 = 77;

#[test]
fn protection_outlives_crash_upgrade_and_removal_and_ends_with_a_purge() {
	let output = Command::new(SCRIPT).output().expect("the script starts");
	let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
	println!("{told}\n{said}");
	match output.status.code() {
		Some(0) => {}
		Some(NO_MACHINE) => skip("no machine to install packages on"),
		_ => panic!("{}: {told}", output.status),
	}
}
