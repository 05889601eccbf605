//! Lists of what is bad, as people and feeds write them: one address, one network or one service a line, and a few other
//! [`Layout`]s.
//!
//! What follows a `#` or a `;`, and empty lines, are left out. A service is `tcp 192.0.2.1:23`, or `udp [2001:db8::1]:53`;
//! where a protocol is given for the whole list, lines may leave it out. A line that makes no sense is passed over with its
//! number and cause, and so is one about the reader's own networks: the rest of the list is good all the same. Which layout
//! a list has is said, never guessed: the second column of one feed is the victim in another.

use super::{
	alert::{
		decisions::{self, Decision, BAN},
		AlertError,
	},
	csv,
};
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
	/// It has no header, or one without the column.
	#[error("no column of this name in its first line")]
	NoColumn,
}

/// How a list is written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Layout {
	/// One indicator a line.
	#[default]
	Plain,
	/// Comma-separated values; only lines that begin with `#` are remarks. The indicator is in the column that the header
	/// calls so, or in the first field that looks like one.
	Csv {
		/// The column's name, whatever its case.
		column: Option<String>,
	},
	/// Trails of malware, mixed: addresses, services (of TCP where nothing else is said), URLs, and names and paths, which
	/// are passed over. Remarks begin with `#`. A URL on an address is taken for the service behind it.
	Trails,
	/// fail2ban's log, or what `fail2ban-client get JAIL banip` prints: who is banned at its end.
	Fail2ban,
	/// CrowdSec's decisions: one JSON document, one a line, or CSV.
	Crowdsec,
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
	/// A domain name: a firewall knows addresses only.
	#[error("a name, not an address")]
	Name,
	/// The path of a URL, on whatever host.
	#[error("a path without a host")]
	Path,
	/// None of its fields looks like an address.
	#[error("no field is an address, a network or a service")]
	NoField,
	/// It ends before the column.
	#[error("too few fields")]
	FewFields,
	/// It is no decision of the program that the list is of.
	#[error("not a decision that this program writes")]
	NoDecision,
	/// A decision about a country or a user, say.
	#[error("about neither an address nor a range")]
	Scope,
	/// A decision that keeps nobody out, or that is only tried out.
	#[error("a decision, but no ban")]
	NoBan,
	/// It is about a network that must not be blocked here.
	#[error("overlaps {0}, which [policy] keeps from being blocked")]
	Exempt(Network),
}

/// A line that was passed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Skipped {
	/// Its number, from 1; in a JSON document that of the decision.
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

/// Reads a list of one indicator a line. `protocol` is that of services that name none; what overlaps a network in
/// `exempt` is passed over.
pub fn parse(text: &[u8], protocol: Option<Transport>, exempt: &[Network]) -> Result<List, ListError> {
	parse_as(&Layout::Plain, text, protocol, exempt)
}

/// Reads a list of any layout.
pub fn parse_as(
	layout: &Layout,
	text: &[u8],
	protocol: Option<Transport>,
	exempt: &[Network],
) -> Result<List, ListError> {
	if text.len() > MAX_BYTES {
		return Err(ListError::TooLong);
	}
	// Some editors begin a file with a byte order mark.
	let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
	let mut reader = Reader { list: List::default(), seen: BTreeSet::new(), exempt };
	if *layout == Layout::Crowdsec {
		let whole = std::str::from_utf8(text).ok().map(str::trim);
		// The digest is for reports, which a list makes without.
		if let Some(Ok(all)) =
			whole.filter(|said| said.starts_with(['{', '['])).map(|said| decisions::documents(said, [0; 32]))
		{
			(1..).zip(all).for_each(|(number, decision)| reader.decided(number, decision));
			return reader.finish();
		}
	}
	let text = text.strip_suffix(b"\n").unwrap_or(text);
	let mut columns = Columns::default();
	for (line, bytes) in (1..).zip(text.split(|&byte| byte == b'\n')) {
		if line > MAX_LINES {
			return Err(ListError::TooManyLines);
		}
		match layout {
			Layout::Plain => reader.said(line, plain(bytes, protocol)),
			Layout::Trails => reader.said(line, trails(bytes, protocol)),
			Layout::Csv { column } => {
				let said = columns.read(column.as_deref(), bytes, protocol)?;
				reader.said(line, said);
			}
			Layout::Fail2ban => reader.all(line, decisions::fail2ban(bytes)),
			Layout::Crowdsec => reader.all(line, decisions::crowdsec(bytes)),
		}
	}
	reader.finish()
}

/// What was read so far.
struct Reader<'a> {
	list: List,
	seen: BTreeSet<Indicator>,
	exempt: &'a [Network],
}

/// What a line says, if it says anything.
type Said = Result<Option<Indicator>, LineError>;

impl Reader<'_> {
	fn said(&mut self, line: usize, said: Said) {
		let said = said.and_then(|said| match said.as_ref().and_then(|indicator| indicator.overlap(self.exempt)) {
			Some(network) => Err(LineError::Exempt(network)),
			None => Ok(said),
		});
		match said {
			Ok(None) => {}
			Ok(Some(indicator)) if self.seen.insert(indicator.clone()) => self.list.indicators.push(indicator),
			Ok(Some(_)) => self.list.repeated += 1,
			Err(cause) => self.list.skipped.push(Skipped { line, cause }),
		}
	}

	fn all(&mut self, line: usize, read: Result<Vec<Result<Decision, AlertError>>, AlertError>) {
		match read {
			Ok(decisions) => decisions.into_iter().for_each(|decision| self.decided(line, decision)),
			Err(cause) => self.said(line, Err(cause.into())),
		}
	}

	fn decided(&mut self, line: usize, decision: Result<Decision, AlertError>) {
		match decision {
			Ok(decision) if decision.over => {
				self.seen.remove(&Indicator::from(decision.network));
			}
			Ok(decision) if decision.simulated || decision.remedy != BAN => self.said(line, Err(LineError::NoBan)),
			Ok(decision) => self.said(line, Ok(Some(decision.network.into()))),
			Err(cause) => self.said(line, Err(cause.into())),
		}
	}

	fn finish(mut self) -> Result<List, ListError> {
		// Without what was lifted again, and once where it was banned anew.
		self.list.indicators.retain(|indicator| self.seen.remove(indicator));
		// Some layouts have several on a line.
		if self.list.indicators.len() > MAX_LINES {
			return Err(ListError::TooManyLines);
		}
		Ok(self.list)
	}
}

impl From<AlertError> for LineError {
	fn from(cause: AlertError) -> Self {
		match cause {
			AlertError::Scope => Self::Scope,
			AlertError::Address(_) => Self::Address(AddressError::Syntax),
			AlertError::NotUtf8 => Self::NotUtf8,
			_ => Self::NoDecision,
		}
	}
}

/// What a line of a plain list says.
fn plain(line: &[u8], protocol: Option<Transport>) -> Said {
	match remark_off(line, b"#;")? {
		"" => Ok(None),
		said => indicator(said, protocol).map(Some),
	}
}

/// What a line says before its remark. A remark may be in whatever encoding.
fn remark_off<'a>(line: &'a [u8], marks: &[u8]) -> Result<&'a str, LineError> {
	let said = line.split(|byte| marks.contains(byte)).next().unwrap_or_default().trim_ascii();
	std::str::from_utf8(said).map_err(|_| LineError::NotUtf8)
}

/// What a line of trails says.
fn trails(line: &[u8], protocol: Option<Transport>) -> Said {
	let said = remark_off(line, b"#")?;
	if said.is_empty() {
		return Ok(None);
	}
	trail(said, protocol.unwrap_or(Transport::Tcp)).map(Some)
}

/// The indicator in an address, a service, or a URL. `protocol` is that of a service that names none.
fn trail(said: &str, protocol: Transport) -> Result<Indicator, LineError> {
	if let Some((scheme, rest)) = said.split_once("://") {
		let usual = if scheme.eq_ignore_ascii_case("https") { "443" } else { "80" };
		return on_host(rest, usual);
	}
	if said.starts_with('/') {
		return Err(LineError::Path);
	}
	match indicator(said, Some(protocol)) {
		// An address with a path behind it, or a name.
		Err(LineError::Address(AddressError::Syntax) | LineError::Port | LineError::Words) => on_host(said, "80"),
		said => said,
	}
}

/// The service of `HOST[:PORT][/PATH]`, where the host is an address.
fn on_host(text: &str, usual: &str) -> Result<Indicator, LineError> {
	let host = text.split(['/', '?']).next().unwrap_or_default();
	let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
	let service = bare.parse::<Address>().ok().map(|address| (address, usual)).or_else(|| service(host));
	endpoint(Transport::Tcp, service.ok_or(LineError::Name)?)
}

/// Where the indicators are in comma-separated values.
#[derive(Default)]
struct Columns {
	/// The number of the named column, once the header was read.
	found: Option<usize>,
}

impl Columns {
	/// What a line says. An error of the whole list: the first line that is no remark does not name the column.
	fn read(&mut self, column: Option<&str>, line: &[u8], protocol: Option<Transport>) -> Result<Said, ListError> {
		let Ok(text) = std::str::from_utf8(line) else { return Ok(Err(LineError::NotUtf8)) };
		let text = text.trim();
		let remark = text.strip_prefix('#');
		if text.is_empty() {
			return Ok(Ok(None));
		}
		let Some(name) = column else {
			return Ok(if remark.is_some() { Ok(None) } else { first_field(text, protocol).map(Some) });
		};
		let Some(found) = self.found else {
			// Some feeds make a remark of their header.
			let header = csv::fields(remark.unwrap_or(text));
			self.found = header.iter().position(|field| field.eq_ignore_ascii_case(name));
			return if self.found.is_some() || remark.is_some() { Ok(Ok(None)) } else { Err(ListError::NoColumn) };
		};
		if remark.is_some() {
			return Ok(Ok(None));
		}
		let said = csv::fields(text).into_iter().nth(found).ok_or(LineError::FewFields);
		Ok(said.and_then(|said| field(&said, protocol)).map(Some))
	}
}

/// What a field says that is known to say something.
fn field(said: &str, protocol: Option<Transport>) -> Result<Indicator, LineError> {
	if said.contains("://") {
		return trail(said, Transport::Tcp);
	}
	indicator(said, protocol)
}

/// What the first field says that looks like an address, a network or a service.
fn first_field(line: &str, protocol: Option<Transport>) -> Result<Indicator, LineError> {
	let other = |said: &Result<Indicator, LineError>| {
		matches!(said, Err(LineError::Address(AddressError::Syntax) | LineError::Words | LineError::Service))
	};
	let mut said = csv::fields(line).into_iter().map(|field| indicator(&field, protocol));
	said.find(|said| !other(said)).unwrap_or(Err(LineError::NoField))
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

	fn read_as(layout: &Layout, text: &str) -> (Vec<String>, Vec<(usize, LineError)>) {
		let list = parse_as(layout, text.as_bytes(), None, &[]).unwrap();
		let skipped = list.skipped.iter().map(|skipped| (skipped.line, skipped.cause)).collect();
		(list.indicators.iter().map(Indicator::to_string).collect(), skipped)
	}

	#[test]
	fn trails_are_services_and_hosts_and_the_rest_is_named() {
		let text = "# Reference: https://192.0.2.99/ignored\n\n192.0.2.1\n192.0.2.2:4554 # a bot\n\
			http://192.0.2.3:8080/bins/mirai.x86\nhttps://192.0.2.4\nhttp://[2001:db8::1]/x\n192.0.2.5/bins.sh\n\
			192.0.2.6:81/a;b\n198.51.100.0/24\nudp 192.0.2.7:53\n/bins/mirai.x86\nexample.net\nhttp://example.net:80/\n\
			example.net/bins\n192.0.2.8:0\n/shell?cd+/tmp;rm\n";
		let (said, skipped) = read_as(&Layout::Trails, text);
		let expected = [
			"192.0.2.1",
			"tcp 192.0.2.2:4554",
			"tcp 192.0.2.3:8080",
			"tcp 192.0.2.4:443",
			"tcp [2001:db8::1]:80",
			"tcp 192.0.2.5:80",
			"tcp 192.0.2.6:81",
			"198.51.100.0/24",
			"udp 192.0.2.7:53",
		];
		assert_eq!(said, expected);
		let expected = [
			(12, LineError::Path),
			(13, LineError::Name),
			(14, LineError::Name),
			(15, LineError::Name),
			(16, LineError::Port),
			(17, LineError::Path),
		];
		assert_eq!(skipped, expected);
		let udp = parse_as(&Layout::Trails, b"192.0.2.2:4554", Some(Transport::Udp), &[]).unwrap();
		assert_eq!(udp.indicators[0].to_string(), "udp 192.0.2.2:4554");
	}

	#[test]
	fn the_first_field_of_a_record_that_looks_like_an_address_counts() {
		let text = "first seen,host,port\n# a remark\n2026-03-01,192.0.2.1,23\n\"ACME, Inc\",\"198.51.100.0/24\"\n\
			x,192.0.2.3/24,192.0.2.4\nx,192.0.2.5:23\nx,tcp 192.0.2.6:23\n";
		let (said, skipped) = read_as(&Layout::Csv { column: None }, text);
		assert_eq!(said, ["192.0.2.1", "198.51.100.0/24", "tcp 192.0.2.6:23"]);
		let expected =
			[(1, LineError::NoField), (5, LineError::Address(AddressError::HostBits)), (6, LineError::NoProtocol)];
		assert_eq!(skipped, expected);
	}

	#[test]
	fn the_column_that_the_header_names_counts() {
		let layout = Layout::Csv { column: Some("Dst_IP".into()) };
		let text = "# a feed\n\n\"seen\",\"src_ip\",\"dst_ip\"\nx,203.0.113.9,192.0.2.1\nx,203.0.113.9\nx,203.0.113.9,name\n# end\n";
		let expected = [(5, LineError::FewFields), (6, LineError::Address(AddressError::Syntax))];
		assert_eq!(read_as(&layout, text), (vec!["192.0.2.1".to_owned()], expected.to_vec()));
		let (said, _) = read_as(&layout, "# id,dst_ip\n1,http://192.0.2.2:8080/x\n");
		assert_eq!(said, ["tcp 192.0.2.2:8080"], "a header in a remark, and a URL");
		let refused = |text: &str| parse_as(&layout, text.as_bytes(), None, &[]);
		assert_eq!(refused("seen,src_ip\nx,203.0.113.9\n"), Err(ListError::NoColumn));
		assert_eq!(refused("192.0.2.1\n"), Err(ListError::NoColumn));
	}

	#[test]
	fn who_was_let_go_again_is_not_on_the_list() {
		let line = |deed: &str| format!("2026-03-01 12:00:00,351 fail2ban.actions [1]: NOTICE [sshd] {deed}\n");
		let text =
			["Ban 192.0.2.1", "Ban 192.0.2.2", "Unban 192.0.2.1", "Ban somebody", "Unban 192.0.2.2", "Ban 192.0.2.2"];
		let (said, skipped) = read_as(&Layout::Fail2ban, &text.map(line).concat());
		assert_eq!(said, ["192.0.2.2"]);
		assert_eq!(skipped, [(4, LineError::Address(AddressError::Syntax))]);
		assert_eq!(read_as(&Layout::Fail2ban, "192.0.2.1 192.0.2.2\n").0, ["192.0.2.1", "192.0.2.2"]);
	}

	#[test]
	fn decisions_of_crowdsec_are_read_as_document_as_lines_and_as_csv() {
		let decision = |scope: &str, value: &str, remedy: &str| {
			format!(
				r#"{{"duration":"4h","origin":"crowdsec","scenario":"s","scope":"{scope}","type":"{remedy}","value":"{value}"}}"#
			)
		};
		let all = [
			decision("Ip", "192.0.2.1", "ban"),
			decision("Country", "ZZ", "ban"),
			decision("Ip", "192.0.2.2", "captcha"),
		];
		let document = format!("[\n {{\n  \"decisions\": [{}]\n }}\n]\n", all.join(",\n"));
		let expected = (vec!["192.0.2.1".to_owned()], vec![(2, LineError::Scope), (3, LineError::NoBan)]);
		assert_eq!(read_as(&Layout::Crowdsec, &document), expected);
		assert_eq!(read_as(&Layout::Crowdsec, &all.join("\n")), expected);
		let csv = "id,source,ip,reason,action,country,as,events_count,expiration,simulated,alert_id\n\
			1,crowdsec,Range:198.51.100.0/24,s,ban,ZZ,,5,3h,false,1\nnonsense\n";
		let expected = (vec!["198.51.100.0/24".to_owned()], vec![(3, LineError::NoDecision)]);
		assert_eq!(read_as(&Layout::Crowdsec, csv), expected);
	}
}
