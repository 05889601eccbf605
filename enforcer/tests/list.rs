//! Lists as they are found: real ones, and whatever else may be in a file.

use proptest::prelude::*;
use ringfence_enforcer::core::list::{indicator, parse, parse_as, Layout, LineError, List, ListError};
use ringfence_primitives::{AddressError, Indicator, Transport};
use std::path::Path;

/// A real list and what is read of it; None where there is none.
fn real(name: &str, protocol: Option<Transport>) -> Option<(String, List)> {
	let Some(data) = std::env::var_os("RINGFENCE_DATA") else {
		eprintln!("SKIPPED: RINGFENCE_DATA is not set, no real lists to read");
		return None;
	};
	let path = Path::new(&data).join("lists").join(name);
	let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
	let list = parse(text.as_bytes(), protocol, &[]).unwrap();
	Some((text, list))
}

#[test]
fn every_line_of_a_tidy_list_is_read() {
	for name in ["ipsum-level3.txt", "ipsum-level5.txt"] {
		let Some((text, list)) = real(name, None) else { return };
		let lines: Vec<_> = text.lines().collect();
		let said: Vec<_> = list.indicators.iter().map(Indicator::to_string).collect();
		assert_eq!(said, lines, "{name}");
	}
}

#[test]
fn what_is_no_address_in_a_generated_list_is_left_out_and_named() {
	let Some((text, list)) = real("bonesi-50k-bots.txt", None) else { return };
	let (fine, wrong): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.parse::<std::net::Ipv4Addr>().is_ok());
	let said: Vec<_> = list.indicators.iter().map(Indicator::to_string).collect();
	assert_eq!((said.len(), list.skipped.len()), (fine.len(), wrong.len()), "octets of 256");
	assert!(said == fine);
}

#[test]
fn the_services_in_a_messy_list_are_read_and_the_rest_is_accounted_for() {
	let Some((text, list)) = real("maltrail-elf_mirai.txt", Some(Transport::Tcp)) else { return };
	assert!(list.indicators.len() > 10_000, "{}", list.indicators.len());
	assert!(list.indicators.iter().all(|indicator| matches!(indicator, Indicator::Endpoint(_))));
	let silent = |line: &str| line.split(['#', ';']).next().unwrap_or_default().trim().is_empty();
	let silent = text.lines().filter(|line| silent(line)).count();
	let read = list.indicators.len() + list.repeated + list.skipped.len();
	assert_eq!(read + silent, text.lines().count());
	// Names and paths: nothing that a firewall can act on.
	let lines: Vec<_> = text.lines().collect();
	for skipped in &list.skipped {
		let line = lines[skipped.line - 1];
		assert!(line.contains(|c: char| c.is_alphabetic() || c == '/'), "line {}: {line:?}", skipped.line);
	}
}

#[test]
fn services_without_their_protocol_are_named_as_such() {
	let Some((_, list)) = real("maltrail-elf_mirai.txt", None) else { return };
	assert_eq!(list.indicators, []);
	let count = |cause| list.skipped.iter().filter(|skipped| skipped.cause == cause).count();
	assert!(count(LineError::NoProtocol) > 10_000);
	assert!(count(LineError::Address(AddressError::Syntax)) > 10_000);
}

#[test]
fn hosts_services_and_urls_in_a_messy_list_are_read_as_trails() {
	let Some((text, plain)) = real("maltrail-elf_mirai.txt", Some(Transport::Tcp)) else { return };
	let list = parse_as(&Layout::Trails, text.as_bytes(), None, &[]).unwrap();
	let named: std::collections::BTreeSet<_> = list.indicators.iter().collect();
	assert!(plain.indicators.iter().all(|indicator| named.contains(indicator)), "no less than as a plain list");
	let lines: Vec<_> = text.lines().collect();
	for skipped in &list.skipped {
		let line = lines[skipped.line - 1];
		match skipped.cause {
			LineError::Path => assert!(line.trim().starts_with('/'), "{line:?}"),
			LineError::Name => assert!(line.contains(|c: char| c.is_ascii_alphabetic()), "{line:?}"),
			cause => assert!(matches!(cause, LineError::Port | LineError::Address(_)), "{line:?}: {cause}"),
		}
	}
}

fn layout() -> impl Strategy<Value = Layout> {
	prop_oneof![
		Just(Layout::Plain),
		Just(Layout::Csv { column: None }),
		Just(Layout::Csv { column: Some("ip".into()) }),
		Just(Layout::Trails),
		Just(Layout::Fail2ban),
		Just(Layout::Crowdsec),
	]
}

proptest! {
	#[test]
	fn anything_can_be_in_a_list_of_any_layout(layout in layout(), text in prop::collection::vec(any::<u8>(), 0..400)) {
		let read = parse_as(&layout, &text, None, &[]);
		prop_assert!(matches!(read, Ok(_) | Err(ListError::NoColumn)));
	}

	#[test]
	fn almost_lists_do_no_harm(layout in layout(), text in "(ip,|#|/|http://|\\[|\\{|\"|,|;|tcp |[0-9]{1,3}\\.|[a-f:]{1,4}|\n){0,40}") {
		let _ = parse_as(&layout, text.as_bytes(), None, &[]);
	}

	#[test]
	fn anything_can_be_in_a_list(text in prop::collection::vec(any::<u8>(), 0..400)) {
		let list = parse(&text, Some(Transport::Udp), &[]).unwrap();
		let lines = text.split(|&byte| byte == b'\n').count();
		prop_assert!(list.indicators.len() + list.repeated + list.skipped.len() <= lines);
	}

	#[test]
	fn almost_indicators_are_read_as_they_are_written_or_not_at_all(text in "(tcp |udp )?[0-9a-f.:/\\[\\]]{1,24}") {
		if let Ok(said) = indicator(&text, None) {
			prop_assert_eq!(indicator(&said.to_string(), None), Ok(said));
		}
	}
}
