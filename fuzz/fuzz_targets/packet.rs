#![no_main]

#[path = "../../enforcer/tests/forge/mod.rs"]
mod forge;
#[allow(dead_code)]
#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
	targets::packet(data);
});
