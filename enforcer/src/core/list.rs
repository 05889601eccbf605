//! Plain lists of what is bad: one address, one network or one service a line, as people and feeds write them.
//!
//! What follows a `#` or a `;`, and empty lines, are left out. A service is `tcp 192.0.2.1:23`, or `udp [2001:db8::1]:53`;
//! where a protocol is given for the whole list, lines may leave it out. A line that makes no sense is passed over with its
//! number and cause, and so is one about the reader's own networks: the rest of the list is good all the same.

use ringfence_primitives::{Address, AddressError, Endpoint, Indicator, Network, Transport};
use std::collections::BTreeSet;

/// Lines that a list may have: about what an ISP may report in a minute.
pub const MAX_LINES: usize = 100_000;
/// Bytes that a list may have.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Why a whole list is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ListError {
	/// It has more than [`MAX_LINES`].
	#[error("more than {MAX_LINES} lines")]
	TooManyLines,
	/// It has more than [`MAX_BYTES`].
	#[error("more than {MAX_BYTES} bytes")]
	TooLong,
}

/// Why a line is passed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LineError {
	/// It is no text.
	#[error("not UTF-8")]
	NotUtf8,
	/// It is no address and no network.
	#[error("{0}")]
	Address(#[from] AddressError),
	/// It has several words, the first of which is no protocol.
	#[error("neither an address, a network nor `protocol address:port`")]
	Words,
	/// What follows the protocol is no service.
	#[error("not `address:port`, or `[address]:port` for IPv6")]
	Service,
	/// A service without its protocol.
	#[error("a port needs its protocol: tcp, udp or sctp")]
	NoProtocol,
	/// A port that is none.
	#[error("a port is 1 to 65535")]
	Port,
	/// It is about a network that must not be blocked here.
	#[error("overlaps {0}, which [policy] keeps from being blocked")]
	Exempt(Network),
}

/// A line that was passed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Skipped {
	/// Its number, from 1.
	pub line: usize,
	/// What is wrong with it.
	pub cause: LineError,
}

/// What a list says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List {
	/// Each indicator once, in the list's order.
	pub indicators: Vec<Indicator>,
	/// Lines that say what an earlier one said.
	pub repeated: usize,
	/// The lines that were passed over, in order.
	pub skipped: Vec<Skipped>,
}

/// Reads a list. `protocol` is that of services that name none; what overlaps a network in `exempt` is passed over.
pub fn parse(text: &[u8], protocol: Option<Transport>, exempt: &[Network]) -> Result<List, ListError> {
	if text.len() > MAX_BYTES {
		return Err(ListError::TooLong);
	}
	// Some editors begin a file with a byte order mark.
	let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
	let text = text.strip_suffix(b"\n").unwrap_or(text);
	let mut list = List::default();
	let mut seen = BTreeSet::new();
	for (line, bytes) in (1..).zip(text.split(|&byte| byte == b'\n')) {
		if line > MAX_LINES {
			return Err(ListError::TooManyLines);
		}
		match read(bytes, protocol, exempt) {
			Ok(None) => {}
			Ok(Some(indicator)) if seen.insert(indicator.clone()) => list.indicators.push(indicator),
			Ok(Some(_)) => list.repeated += 1,
			Err(cause) => list.skipped.push(Skipped { line, cause }),
		}
	}
	Ok(list)
}

/// What one line says, if it says anything.
fn read(line: &[u8], protocol: Option<Transport>, exempt: &[Network]) -> Result<Option<Indicator>, LineError> {
	// A remark may be in whatever encoding.
	let said = line.split(|byte| matches!(byte, b'#' | b';')).next().unwrap_or_default().trim_ascii();
	if said.is_empty() {
		return Ok(None);
	}
	let indicator = indicator(std::str::from_utf8(said).map_err(|_| LineError::NotUtf8)?, protocol)?;
	match indicator.overlap(exempt) {
		Some(network) => Err(LineError::Exempt(network)),
		None => Ok(Some(indicator)),
	}
}

/// The indicator that `text` writes. `protocol` is that of a service that names none.
pub fn indicator(text: &str, protocol: Option<Transport>) -> Result<Indicator, LineError> {
	let mut words = text.split_whitespace();
	match (words.next(), words.next(), words.next()) {
		(Some(word), None, _) => match (word.parse::<Network>(), service(word)) {
			(Ok(network), _) => Ok(network.into()),
			(Err(_), Some(service)) => endpoint(protocol.ok_or(LineError::NoProtocol)?, service),
			(Err(cause), None) => Err(cause.into()),
		},
		(Some(name), Some(text), None) => {
			let protocol = transport(name).ok_or(LineError::Words)?;
			endpoint(protocol, service(text).ok_or(LineError::Service)?)
		}
		_ => Err(LineError::Words),
	}
}

/// The protocol of this name.
pub fn transport(name: &str) -> Option<Transport> {
	let protocols = [("tcp", Transport::Tcp), ("udp", Transport::Udp), ("sctp", Transport::Sctp)];
	protocols.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, protocol)| protocol)
}

/// An address, and what should be a port.
fn service(text: &str) -> Option<(Address, &str)> {
	let (host, port) = text.rsplit_once(':')?;
	// Without brackets, nobody can tell where an IPv6 address ends.
	let (host, bracketed) = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
		Some(host) => (host, true),
		None => (host, false),
	};
	let address: Address = host.parse().ok()?;
	(matches!(address, Address::V6(_)) == bracketed).then_some((address, port))
}

fn endpoint(protocol: Transport, (address, port): (Address, &str)) -> Result<Indicator, LineError> {
	let digits = port.bytes().all(|byte| byte.is_ascii_digit());
	let port = port.parse().ok().filter(|&port: &u16| digits && port > 0).ok_or(LineError::Port)?;
	Ok(Indicator::Endpoint(Endpoint { address, protocol, port }))
}

#[cfg(test)]
mod tests {
	use super::*;

	fn list(text: &str) -> List {
		parse(text.as_bytes(), None, &[]).unwrap()
	}

	fn said(text: &str) -> Vec<String> {
		list(text).indicators.iter().map(Indicator::to_string).collect()
	}

	fn cause(line: &str) -> LineError {
		let list = list(line);
		assert!(list.indicators.is_empty(), "{line:?}");
		assert_eq!(list.skipped.len(), 1, "{line:?}");
		list.skipped[0].cause
	}

	#[test]
	fn addresses_networks_and_services_are_read() {
		let text = "192.0.2.1\n198.51.100.0/24\n2001:db8::1\n2001:db8:66::/48\n\
			tcp 192.0.2.1:23\nUDP [2001:db8::1]:53\nsctp\t192.0.2.1:65535\n203.0.113.9/32\n";
		let expected = [
			"192.0.2.1",
			"198.51.100.0/24",
			"2001:db8::1",
			"2001:db8:66::/48",
			"tcp 192.0.2.1:23",
			"udp [2001:db8::1]:53",
			"sctp 192.0.2.1:65535",
			"203.0.113.9",
		];
		assert_eq!(said(text), expected);
		assert_eq!(list(text).skipped, []);
	}

	#[test]
	fn remarks_blanks_and_foreign_line_ends_are_left_out() {
		let text =
			b"\xef\xbb\xbf# caf\xe9\r\n\r\n  192.0.2.1 # gr\xfc\xdfe\r\n;old\n\t\n192.0.2.2;was 192.0.2.3\n192.0.2.4";
		let read = parse(text, None, &[]).unwrap();
		let said: Vec<_> = read.indicators.iter().map(Indicator::to_string).collect();
		assert_eq!(said, ["192.0.2.1", "192.0.2.2", "192.0.2.4"]);
		assert_eq!(read.skipped, []);
		for empty in ["", "\n", "\n\n", "#", ";\n"] {
			assert_eq!(list(empty), List::default(), "{empty:?}");
		}
	}

	#[test]
	fn what_makes_no_sense_is_passed_over_with_its_line_and_cause() {
		let skipped = list("192.0.2.1\n\nexample.net\n192.0.2.2\n192.0.2.3/24\n").skipped;
		let expected = [
			Skipped { line: 3, cause: LineError::Address(AddressError::Syntax) },
			Skipped { line: 5, cause: LineError::Address(AddressError::HostBits) },
		];
		assert_eq!(skipped, expected);
		for (line, expected) in [
			("192.0.2.1/33", LineError::Address(AddressError::PrefixTooLong)),
			("::ffff:192.0.2.1", LineError::Address(AddressError::MappedV4)),
			("192.0.2.256", LineError::Address(AddressError::Syntax)),
			("192.0.2.01", LineError::Address(AddressError::Syntax)),
			("http://192.0.2.1", LineError::Address(AddressError::Syntax)),
			("/bins/mirai.x86", LineError::Address(AddressError::Syntax)),
			("[2001:db8::1]", LineError::Address(AddressError::Syntax)),
			("192.0.2.1 10", LineError::Words),
			("192.0.2.1 - 192.0.2.9", LineError::Words),
			("icmp 192.0.2.1:1", LineError::Words),
			("tcp 192.0.2.1:23 24", LineError::Words),
			("tcp 192.0.2.1", LineError::Service),
			("tcp 192.0.2.0/24:23", LineError::Service),
			("tcp 2001:db8::1:23", LineError::Service),
			("tcp [192.0.2.1]:23", LineError::Service),
			("tcp [fe80::1%1]:23", LineError::Service),
			("192.0.2.1:23", LineError::NoProtocol),
			("[2001:db8::1]:23", LineError::NoProtocol),
			("tcp 192.0.2.1:", LineError::Port),
			("tcp 192.0.2.1:0", LineError::Port),
			("tcp 192.0.2.1:+23", LineError::Port),
			("tcp 192.0.2.1:65536", LineError::Port),
			("tcp 192.0.2.1:23/x", LineError::Port),
		] {
			assert_eq!(cause(line), expected, "{line:?}");
		}
		assert_eq!(parse(b"192.0.2.\xff", None, &[]).unwrap().skipped[0].cause, LineError::NotUtf8);
	}

	#[test]
	fn a_protocol_for_the_whole_list_is_that_of_services_that_name_none() {
		let text = b"192.0.2.1:23\nudp 192.0.2.1:53\n192.0.2.1\n";
		let list = parse(text, Some(Transport::Tcp), &[]).unwrap();
		let said: Vec<_> = list.indicators.iter().map(Indicator::to_string).collect();
		assert_eq!(said, ["tcp 192.0.2.1:23", "udp 192.0.2.1:53", "192.0.2.1"]);
	}

	#[test]
	fn what_is_said_twice_is_read_once() {
		let list = list("192.0.2.1\n192.0.2.1/32\n2001:DB8::1\n2001:db8:0::1\n192.0.2.1 # again\n");
		assert_eq!((list.indicators.len(), list.repeated), (2, 3));
	}

	#[test]
	fn own_networks_are_passed_over() {
		let own: [Network; 2] = ["192.0.2.0/24".parse().unwrap(), "2001:db8::1".parse().unwrap()];
		let list = parse(b"192.0.2.9\n192.0.0.0/16\ntcp [2001:db8::1]:23\n198.51.100.1\n", None, &own).unwrap();
		assert_eq!(list.indicators, [indicator("198.51.100.1", None).unwrap()]);
		let causes: Vec<_> = list.skipped.iter().map(|skipped| (skipped.line, skipped.cause)).collect();
		let expected = [own[0], own[0], own[1]].map(LineError::Exempt);
		assert_eq!(causes, [(1, expected[0]), (2, expected[1]), (3, expected[2])]);
	}

	#[test]
	fn lists_are_bounded() {
		let lines = |count: usize| "#\n".repeat(count).into_bytes();
		assert!(parse(&lines(MAX_LINES), None, &[]).is_ok());
		assert_eq!(parse(&lines(MAX_LINES + 1), None, &[]), Err(ListError::TooManyLines));
		assert!(parse(&vec![b'#'; MAX_BYTES], None, &[]).is_ok());
		assert_eq!(parse(&vec![b'#'; MAX_BYTES + 1], None, &[]), Err(ListError::TooLong));
	}
}
