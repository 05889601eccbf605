//! The lines of Snort 3's `alert_json`.
//!
//! Which fields there are is up to Snort's configuration. Needed are the addresses (`src_addr` and `dst_addr`, or `src_ap`
//! and `dst_ap`, which are among the defaults) and the signature (`rule`, a default, or `sid`); `msg`, `class` and `priority`
//! make a better report: without a priority an alert counts as medium.

use super::{address, severity, text, verdict, Alert, AlertError, Format};
use crate::core::blake2_256;
use ringfence_primitives::Address;
use serde::Deserialize;

#[derive(Deserialize)]
struct RawAlert {
	timestamp: Option<String>,
	proto: Option<String>,
	src_addr: Option<String>,
	src_port: Option<u16>,
	src_ap: Option<String>,
	dst_addr: Option<String>,
	dst_port: Option<u16>,
	dst_ap: Option<String>,
	rule: Option<String>,
	sid: Option<u64>,
	msg: Option<String>,
	class: Option<String>,
	priority: Option<u64>,
	action: Option<String>,
}

/// Reads one line. None: an empty line, or an alert about a packet without addresses.
pub fn parse(line: &[u8]) -> Result<Option<Alert>, AlertError> {
	let text = text(line)?;
	if text.is_empty() {
		return Ok(None);
	}
	let alert: RawAlert = serde_json::from_str(text)?;
	let source = end("src_ap or src_addr", alert.src_addr, alert.src_port, alert.src_ap)?;
	let destination = end("dst_ap or dst_addr", alert.dst_addr, alert.dst_port, alert.dst_ap)?;
	let (Some((source, source_port)), Some((destination, destination_port))) = (source, destination) else {
		return Ok(None);
	};
	let by_rule = || -> Result<u64, AlertError> {
		let rule = alert.rule.as_deref().ok_or(AlertError::Missing("rule or sid"))?;
		rule.split(':').nth(1).and_then(|sid| sid.parse().ok()).ok_or(AlertError::Malformed("rule"))
	};
	Ok(Some(Alert {
		format: Format::SnortJson,
		timestamp: alert.timestamp.unwrap_or_default(),
		source,
		source_port,
		destination,
		destination_port,
		protocol: alert.proto.unwrap_or_default(),
		answered: false,
		signature_id: alert.sid.map_or_else(by_rule, Ok)?,
		signature: alert.msg.unwrap_or_default(),
		category: alert.class.filter(|name| name != "none").unwrap_or_default(),
		severity: severity(alert.priority),
		action: verdict(&alert.action.unwrap_or_default()).to_owned(),
		evidence: blake2_256(line),
	}))
}

/// One side of a packet. None: one without addresses, which Snort writes as `:0`.
fn end(
	field: &'static str,
	host: Option<String>,
	port: Option<u16>,
	both: Option<String>,
) -> Result<Option<(Address, Option<u16>)>, AlertError> {
	let some_port = |port: u16| Some(port).filter(|&port| port > 0);
	if let Some(host) = host {
		let address = address(&host).ok_or(AlertError::Address(field))?;
		return Ok(Some((address, port.and_then(some_port))));
	}
	let both = both.ok_or(AlertError::Missing(field))?;
	// There is always a port, 0 where the protocol has none, and there are never brackets.
	let (host, port) = both.rsplit_once(':').ok_or(AlertError::Address(field))?;
	if host.is_empty() {
		return Ok(None);
	}
	let port = port.parse().map_err(|_| AlertError::Address(field))?;
	Ok(Some((address(host).ok_or(AlertError::Address(field))?, some_port(port))))
}

#[cfg(test)]
mod tests {
	use super::*;

	const DEFAULTS: &str = r#"{ "timestamp" : "07/16-09:23:39.153899", "pkt_num" : 5, "proto" : "TCP", "pkt_gen" : "stream_tcp", "pkt_len" : 97, "dir" : "C2S", "src_ap" : "198.18.66.66:50284", "dst_ap" : "203.0.113.42:80", "rule" : "1:9000001:2", "action" : "would_drop" }"#;

	fn read(line: &str) -> Alert {
		parse(line.as_bytes()).unwrap().unwrap()
	}

	fn refused(line: &str) -> String {
		parse(line.as_bytes()).unwrap_err().to_string()
	}

	#[test]
	fn snorts_own_choice_of_fields_is_enough() {
		let alert = read(DEFAULTS);
		assert_eq!((alert.source.to_string().as_str(), alert.source_port), ("198.18.66.66", Some(50_284)));
		assert_eq!((alert.destination.to_string().as_str(), alert.destination_port), ("203.0.113.42", Some(80)));
		assert_eq!((alert.signature_id, alert.severity, alert.action.as_str()), (9_000_001, 2, "allowed"));
		assert_eq!((alert.protocol.as_str(), alert.timestamp.as_str()), ("TCP", "07/16-09:23:39.153899"));
		assert_eq!((alert.signature.as_str(), alert.category.as_str(), alert.answered), ("", "", false));
	}

	#[test]
	fn single_fields_say_the_same() {
		let alert = read(
			r#"{"src_addr":"2001:db8:66::66","src_port":40200,"dst_addr":"2001:db8:65::10","dst_port":22,"gid":1,"sid":9000005,
			"rev":3,"msg":"LOCAL SSH brute force","class":"attempted-admin","priority":1,"proto":"TCP","action":"block"}"#,
		);
		assert_eq!((alert.source.to_string().as_str(), alert.source_port), ("2001:db8:66::66", Some(40_200)));
		assert_eq!((alert.signature_id, alert.signature.as_str()), (9_000_005, "LOCAL SSH brute force"));
		assert_eq!((alert.category.as_str(), alert.severity, alert.action.as_str()), ("attempted-admin", 1, "blocked"));
		assert_eq!(alert.timestamp, "");
	}

	#[test]
	fn port_0_is_none() {
		let alert =
			read(&DEFAULTS.replace("198.18.66.66:50284", "2001:db8::1:0").replace("203.0.113.42:80", "2001:db8::2:0"));
		assert_eq!((alert.source.to_string().as_str(), alert.source_port), ("2001:db8::1", None));
	}

	#[test]
	fn packets_without_addresses_are_no_alerts() {
		let arp = DEFAULTS.replace("198.18.66.66:50284", ":0").replace("203.0.113.42:80", ":0");
		assert_eq!(parse(arp.as_bytes()).unwrap(), None);
		assert_eq!(parse(b"\n").unwrap(), None);
	}

	#[test]
	fn what_lacks_its_fields_is_refused_by_their_names() {
		for (from, to, cause) in [
			("src_ap", "src", "src_ap or src_addr is missing"),
			("dst_ap", "dst", "dst_ap or dst_addr is missing"),
			("\"rule\"", "\"rules\"", "rule or sid is missing"),
			("1:9000001:2", "9000001", "rule makes no sense"),
			("1:9000001:2", "1:one:2", "rule makes no sense"),
			("198.18.66.66:50284", "198.18.66.66", "src_ap or src_addr is not an address"),
			("198.18.66.66:50284", "198.18.66.666:1", "src_ap or src_addr is not an address"),
			("203.0.113.42:80", "203.0.113.42:80000", "dst_ap or dst_addr is not an address"),
		] {
			assert!(DEFAULTS.contains(from), "{from}");
			assert_eq!(refused(&DEFAULTS.replacen(from, to, 1)), cause, "{from} → {to}");
		}
		assert!(refused("{").contains("not a record of this format"));
		assert!(refused("[]").contains("not a record of this format"));
	}
}
