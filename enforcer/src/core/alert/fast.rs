//! The lines of `alert_fast`, which Suricata and Snort share:
//!
//! ```text
//! 07/11/2022-10:29:32.251216  [**] [1:2008578:4] TITLE [**] [Classification: TEXT] [Priority: 2] {UDP} SOURCE:PORT -> DESTINATION:PORT
//! ```
//!
//! Suricata writes a year, Snort does only on request. `[Drop]` or `[wDrop]` (would drop) may come before the first `[**]`.
//! Neither puts brackets around IPv6. Suricata writes out all eight groups and always something behind them, which for ICMP is
//! type and code; Snort shortens addresses and leaves ports out where there are none. So whether the last group is a port
//! follows from the protocol, and from the other side where only one reading makes sense. A TCP fragment over IPv6 is the
//! one case that stays ambiguous (Snort leaves the port out); it is read as if it had ports.

use super::{address, severity, text, verdict, Alert, AlertError, Format};
use crate::core::blake2_256;
use ringfence_primitives::Address;

/// Between the parts of a line.
const MARK: &str = "[**]";

/// Reads one line. None: an empty line, or an alert about a packet without addresses.
pub fn parse(line: &[u8]) -> Result<Option<Alert>, AlertError> {
	let text = text(line)?;
	if text.is_empty() {
		return Ok(None);
	}
	let (timestamp, rest) = text.split_once(char::is_whitespace).ok_or(AlertError::Missing("what follows the time"))?;
	if !is_timestamp(timestamp) {
		return Err(AlertError::Malformed("the time"));
	}
	let (marker, rest) = rest.split_once(MARK).ok_or(AlertError::Missing("the first [**]"))?;
	let action = match (marker.trim(), bracketed(marker.trim())) {
		("", _) => verdict(""),
		(_, Some((word, ""))) => verdict(word),
		_ => return Err(AlertError::Malformed("what stands before the first [**]")),
	};
	let (signature, rest) = bracketed(rest).ok_or(AlertError::Missing("the signature's number"))?;
	let signature_id = signature_id(signature).ok_or(AlertError::Malformed("the signature's number"))?;
	let (title, mut rest) = rest.split_once(MARK).ok_or(AlertError::Missing("the second [**]"))?;

	let (mut category, mut priority) = ("", None);
	while let Some((tag, behind)) = bracketed(rest) {
		rest = behind;
		if let Some(text) = tag.strip_prefix("Classification:") {
			category = Some(text.trim()).filter(|text| *text != "(null)").unwrap_or_default();
		} else if let Some(number) = tag.strip_prefix("Priority:") {
			priority = Some(number.trim().parse::<u64>().map_err(|_| AlertError::Malformed("the priority"))?);
		} else if tag == "**" {
			// Suricata on what it could not decode: the packet's bytes instead of addresses.
			return Ok(None);
		}
	}
	let rest = rest.trim_start().strip_prefix('{').ok_or(AlertError::Missing("the protocol"))?;
	let (protocol, rest) = rest.split_once('}').ok_or(AlertError::Malformed("the protocol"))?;
	let (source, rest) = rest.split_once("->").ok_or(AlertError::Missing("the addresses"))?;
	// Something may follow, such as the number of a packet in a file.
	let destination = rest.split_whitespace().next().unwrap_or_default();
	let ((source, source_port), (destination, destination_port)) = ends(source.trim(), destination, protocol)?;
	Ok(Some(Alert {
		format: Format::Fast,
		timestamp: timestamp.to_owned(),
		source,
		source_port,
		destination,
		destination_port,
		protocol: protocol.to_owned(),
		answered: false,
		signature_id,
		signature: title.trim().trim_matches('"').to_owned(),
		category: category.to_owned(),
		severity: severity(priority),
		action: action.to_owned(),
		evidence: blake2_256(line),
	}))
}

/// `07/16-09:23:39.153899`, with a year before or behind the day or without one.
fn is_timestamp(text: &str) -> bool {
	let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
	text.split_once('-').is_some_and(|(day, time)| {
		let (day, time): (Vec<_>, Vec<_>) = (day.split('/').collect(), time.split([':', '.']).collect());
		matches!(day.len(), 2 | 3) && time.len() == 4 && day.into_iter().chain(time).all(digits)
	})
}

/// What is in the brackets that `text` begins with, and what follows them.
fn bracketed(text: &str) -> Option<(&str, &str)> {
	text.trim_start().strip_prefix('[')?.split_once(']')
}

/// The second of the numbers in `generator:signature:revision`.
fn signature_id(text: &str) -> Option<u64> {
	let mut numbers = text.split(':').map(|number| number.parse::<u64>().ok());
	match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
		(Some(Some(_)), Some(Some(signature)), Some(Some(_)), None) => Some(signature),
		_ => None,
	}
}

/// One side of a packet.
type End = (Address, Option<u16>);

fn ends(source: &str, destination: &str, protocol: &str) -> Result<(End, End), AlertError> {
	let ported = ["TCP", "UDP", "SCTP"].iter().any(|known| protocol.eq_ignore_ascii_case(known));
	let with = with_port(source).zip(with_port(destination));
	let without =
		address(source).zip(address(destination)).map(|(source, destination)| ((source, None), (destination, None)));
	if ported {
		return with.or(without).ok_or(AlertError::Address("a side of the packet"));
	}
	// What looks like ports is ICMP's type and code.
	let typed = with.map(|((source, _), (destination, _))| ((source, None), (destination, None)));
	without.or(typed).ok_or(AlertError::Address("a side of the packet"))
}

fn with_port(text: &str) -> Option<End> {
	let (host, port) = text.rsplit_once(':')?;
	let digits = port.bytes().all(|byte| byte.is_ascii_digit());
	Some((address(host)?, Some(port.parse::<u16>().ok().filter(|_| digits)?)))
}

#[cfg(test)]
mod tests {
	use super::*;

	fn read(line: &str) -> Alert {
		parse(line.as_bytes()).unwrap().unwrap()
	}

	fn refused(line: &str) -> String {
		parse(line.as_bytes()).unwrap_err().to_string()
	}

	/// A line with this protocol and these addresses.
	fn line(packet: &str) -> String {
		format!("07/16-09:23:39.153899  [**] [1:1000001:0] LOCAL [**] [Priority: 0] {packet}")
	}

	/// Both sides of such a line, as text.
	fn sides(packet: &str) -> [(String, Option<u16>); 2] {
		let alert = read(&line(packet));
		[(alert.source.to_string(), alert.source_port), (alert.destination.to_string(), alert.destination_port)]
	}

	#[test]
	fn suricatas_line_is_read_whole() {
		let alert = read(
			"03/01/2026-12:00:00.123456  [**] [1:9000001:4] LOCAL WEB path traversal [**] \
			[Classification: Attempted Administrator Privilege Gain] [Priority: 1] {TCP} 198.18.66.66:40112 -> 203.0.113.42:80",
		);
		assert_eq!(alert.timestamp, "03/01/2026-12:00:00.123456");
		assert_eq!((alert.source.to_string().as_str(), alert.source_port), ("198.18.66.66", Some(40_112)));
		assert_eq!((alert.destination.to_string().as_str(), alert.destination_port), ("203.0.113.42", Some(80)));
		assert_eq!((alert.signature_id, alert.signature.as_str()), (9_000_001, "LOCAL WEB path traversal"));
		assert_eq!((alert.category.as_str(), alert.severity), ("Attempted Administrator Privilege Gain", 1));
		assert_eq!((alert.protocol.as_str(), alert.action.as_str(), alert.answered), ("TCP", "allowed", false));
	}

	#[test]
	fn snorts_line_is_read_without_year_and_classification() {
		let alert = read(
			"07/16-09:23:39.153899 [drop] [**] [1:1000000:0] \"LOCAL\" [**] [Priority: 0] [AppID: SSH] {TCP} \
			192.0.2.2:50284 -> 203.0.113.3:22",
		);
		assert_eq!((alert.category.as_str(), alert.severity, alert.action.as_str()), ("", 2, "blocked"));
		assert_eq!(alert.signature, "LOCAL");
		assert!(parse(
			b"26/07/16-09:23:39.153899 [**] [1:1:1] x [**] [Priority: 1] {UDP} 192.0.2.2:1 -> 203.0.113.3:2"
		)
		.is_ok());
	}

	#[test]
	fn markers_tell_what_was_done() {
		let action = |marker: &str| {
			read(&line("{TCP} 192.0.2.2:1 -> 203.0.113.3:2").replacen("[**]", &format!("{marker}[**]"), 1)).action
		};
		assert_eq!(
			["", "[Drop] ", "[wDrop] ", "[would_drop] "].map(action),
			["allowed", "blocked", "allowed", "allowed"]
		);
	}

	#[test]
	fn a_classification_that_is_none_is_empty() {
		let text =
			line("{TCP} 192.0.2.2:1 -> 203.0.113.3:2").replace("[Priority", "[Classification: (null)] [Priority");
		assert_eq!(read(&text).category, "");
	}

	#[test]
	fn addresses_are_read_with_and_without_ports() {
		let side = |address: &str, port| (address.to_owned(), port);
		let [one, other] = ["2001:db8::1", "2001:db8::2"];
		assert_eq!(
			sides("{TCP} 2001:0db8:0000:0000:0000:0000:0000:0001:40000 -> 2001:0db8:0000:0000:0000:0000:0000:0002:80"),
			[side(one, Some(40_000)), side(other, Some(80))],
			"Suricata over IPv6"
		);
		assert_eq!(
			sides("{UDP} 2001:db8::1:40000 -> 2001:db8::2:53"),
			[side(one, Some(40_000)), side(other, Some(53))],
			"Snort over IPv6"
		);
		assert_eq!(sides("{IPV6-ICMP} 2001:db8::1 -> 2001:db8::2"), [side(one, None), side(other, None)]);
		assert_eq!(
			sides(
				"{IPv6-ICMP} 2001:0db8:0000:0000:0000:0000:0000:0001:128 -> 2001:0db8:0000:0000:0000:0000:0000:0002:0"
			),
			[side(one, None), side(other, None)],
			"type and code"
		);
		assert_eq!(sides("{ICMP} 192.0.2.1:8 -> 192.0.2.2:0"), [side("192.0.2.1", None), side("192.0.2.2", None)]);
		assert_eq!(sides("{ICMP} 192.0.2.1 -> 192.0.2.2"), [side("192.0.2.1", None), side("192.0.2.2", None)]);
		assert_eq!(
			sides("{TCP} 192.0.2.1 -> 192.0.2.2"),
			[side("192.0.2.1", None), side("192.0.2.2", None)],
			"fragments"
		);
	}

	#[test]
	fn packets_without_addresses_are_no_alerts() {
		let text = "03/01/2026-12:00:00.123456  [**] [1:2200000:2] SURICATA IPv4 packet too small [**] \
			[Classification: Generic Protocol Command Decode] [Priority: 3] [**] [Raw pkt: 00 00 ]";
		assert_eq!(parse(text.as_bytes()).unwrap(), None);
		assert_eq!(parse(b"  ").unwrap(), None);
	}

	#[test]
	fn what_is_no_such_line_is_refused_with_the_cause() {
		let good = line("{TCP} 192.0.2.2:1 -> 203.0.113.3:2");
		for (from, to, cause) in [
			("07/16-09:23:39.153899", "yesterday", "the time"),
			("07/16-", "07/-", "the time"),
			("[**] [1", "[1", "before the first [**]"),
			("  [**]", " what? [**]", "before the first [**]"),
			("[1:1000001:0]", "", "the signature's number"),
			("1:1000001:0", "1:1000001", "the signature's number"),
			("1:1000001:0", "1:one:0", "the signature's number"),
			("LOCAL [**]", "LOCAL", "the second [**]"),
			("Priority: 0", "Priority: high", "the priority"),
			("{TCP}", "", "the protocol"),
			("{TCP}", "{TCP", "the protocol"),
			("->", "to", "the addresses"),
			("192.0.2.2:1", "192.0.2.256:1", "a side of the packet"),
			("192.0.2.2:1", "192.0.2.2:65536", "a side of the packet"),
			("203.0.113.3:2", "example.net:2", "a side of the packet"),
			(" 203.0.113.3:2", "", "a side of the packet"),
		] {
			assert!(good.contains(from), "{from}");
			let message = refused(&good.replacen(from, to, 1));
			assert!(message.contains(cause), "{from} → {to}: {message}");
		}
		assert!(refused("word").contains("what follows the time"));
	}
}
