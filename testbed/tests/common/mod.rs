//! What the tests on the testbed share. None of them uses all of it.
#![allow(dead_code)]

use ringfence_testbed::{netns, Result};
use std::{env, future::Future, time::Duration};

/// Says `why` a test is skipped; fails where skipping is not allowed.
pub fn skip(why: &str) {
	assert!(env::var("RINGFENCE_REQUIRE_ROOT_TESTS").as_deref() != Ok("1"), "cannot be skipped here: {why}");
	println!("skipped: {why}");
}

/// Runs a test on the testbed, where the machine allows it.
pub fn story(work: impl Future<Output = Result<()>>) {
	if let Err(error) = netns::check_machine() {
		return skip(&format!("needs root ({error})"));
	}
	tell(work);
}

/// Runs a test on nodes that share the loopback; it takes no root.
pub fn tell(work: impl Future<Output = Result<()>>) {
	// One thread: processes that it starts are bound to its life.
	let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
	if let Err(error) = runtime.block_on(work) {
		panic!("{error}");
	}
}

/// Prints a stage of the start.
pub fn step(what: &str, took: Duration, detail: String) {
	println!("  {what:<20} {:>6.1} s   {detail}", took.as_secs_f64());
}
