//! What each kind of attack sends.

use super::{
	craft::{self, Ip, Segment, ACK, MORE, PSH, SYN, WHOLE},
	innocent::{Conversation, ROUND_TRIP},
	Generator, Kind, Reflector,
};
use std::net::Ipv4Addr;

/// What a server of the Source engine is asked for its state with.
pub(super) const SOURCE_QUERY: &[u8] = b"\xff\xff\xff\xffTSource Engine Query\0";
/// One maximum segment size, selective acknowledgements, a window scale: what ordinary systems ask for.
pub(super) const SYN_OPTIONS: &[u8] = &[2, 4, 5, 0xb4, 4, 2, 1, 1, 1, 3, 3, 7];
/// Each datagram in pieces claims to have this many bytes.
const WHOLE_DATAGRAM: u16 = 8_008;
/// A walk through all ports but 0 that looks like chance: this has no factor in common with their number.
const PORT_STRIDE: u64 = 32_771;
/// The second of the three packets that open a connection.
const ANSWER: u8 = SYN | ACK;
/// Mirai tries this port once in ten times, and otherwise port 23.
const MIRAI_SECOND_PORT: u16 = 2_323;

impl Generator {
	/// The IPv4 header of an attack's next packet from `source`.
	fn header(&mut self, source: Ipv4Addr, destination: Ipv4Addr) -> Ip {
		let ttl = 40 + self.chance.below(216) as u8;
		Ip { source, destination, ttl, id: self.chance.half(), fragment: WHOLE }
	}

	/// An attack's next event: a frame, or two that belong together.
	pub(super) fn attack(&mut self, at: u64) {
		let (link, target, kind) = (self.plan.link, self.plan.target, self.plan.kind);
		let source = match kind {
			Kind::Amplification => self.chance.pick(&self.servers).copied().unwrap_or(self.host),
			kind if kind.has_one_source() => self.host,
			_ => self.chance.source(&self.plan.sources),
		};
		let ip = self.header(source, target);
		let size = self.plan.payload.unwrap_or(kind.payload());
		let ports = (self.chance.port(), self.port);
		let random_port = self.plan.port.unwrap_or_else(|| self.chance.port());
		let frame = match kind {
			Kind::Icmp => {
				let payload = self.chance.junk(size);
				craft::echo(link, ip, false, self.chance.half(), self.chance.half(), &payload)
			}
			// Without a port of its own, each datagram goes to another one.
			Kind::Udp => craft::udp(link, ip, (ports.0, random_port), &self.chance.junk(size)),
			Kind::Syn => self.request(ip, ports, None),
			Kind::Ack => {
				let (seq, ack, window) = (self.chance.word(), self.chance.word(), self.chance.half());
				let segment = Segment { ports, seq, ack, flags: ACK, window, options: &[] };
				craft::tcp(link, ip, segment, &self.chance.junk(size))
			}
			Kind::Stomp => {
				let mut payload = format!("SEND\ndestination:/queue/{:08x}\n\n", self.chance.word()).into_bytes();
				payload.extend(self.chance.junk(size.saturating_sub(payload.len() + 1)));
				payload.push(0);
				let (seq, ack, window) = (self.chance.word(), self.chance.word(), self.chance.half());
				craft::tcp(link, ip, Segment { ports, seq, ack, flags: PSH | ACK, window, options: &[] }, &payload)
			}
			Kind::Dns => {
				let query = self.torture();
				craft::udp(link, ip, ports, &query)
			}
			Kind::Vse => craft::udp(link, ip, ports, SOURCE_QUERY),
			Kind::GreIp | Kind::GreEthernet => {
				let (from, to) = (self.chance.anywhere(), self.chance.anywhere());
				let inner = self.header(from, to);
				let inner_link = (kind == Kind::GreEthernet).then(|| {
					let mut address = || {
						let [a, b, c, d] = self.chance.word().to_be_bytes();
						[2, 0, a, b, c, d]
					};
					craft::Link { source: address(), destination: address() }
				});
				let payload = self.chance.junk(size);
				craft::gre(link, ip, inner_link, inner, (ports.0, random_port), &payload)
			}
			Kind::Amplification => {
				let turn = self.events as usize % Reflector::ALL.len();
				// The remainder is within the list.
				let reflector = self.plan.reflector.unwrap_or(Reflector::ALL[turn]);
				let answer = self.reflected(reflector, size);
				craft::udp(link, ip, (reflector.port(), self.port), &answer)
			}
			Kind::Fragments => {
				// A first piece, and a later one with a hole before and nothing after.
				let size = size / 8 * 8;
				let hole = 1 + self.chance.below(4) as u16 + (size as u16 + 8) / 8;
				let (first, later) = (Ip { fragment: MORE, ..ip }, Ip { fragment: MORE | hole, ..ip });
				let payload = self.chance.junk(size);
				let piece = craft::fragment(link, first, ports, WHOLE_DATAGRAM, &payload);
				self.fresh.push_back((at, piece));
				craft::fragment(link, later, ports, WHOLE_DATAGRAM, &payload)
			}
			Kind::HorizontalScan => {
				let [a, b, ..] = target.octets();
				let host = u32::from(target).wrapping_add(self.events as u32) & 0xffff;
				let destination = Ipv4Addr::from(u32::from(Ipv4Addr::new(a, b, 0, 0)) | host);
				self.request(Ip { destination, ..ip }, ports, None)
			}
			Kind::VerticalScan => {
				// At most 65,535.
				let port = 1 + (self.events % 65_535 * PORT_STRIDE % 65_535) as u16;
				self.request(ip, (ports.0, port), None)
			}
			Kind::Mirai => {
				let destination = self.chance.anywhere();
				let port = if self.events.is_multiple_of(10) { MIRAI_SECOND_PORT } else { 23 };
				let ip = Ip { destination, ttl: 64, fragment: 0, ..ip };
				self.request(ip, (ports.0, port), Some(u32::from(destination)))
			}
			Kind::BeaconTcp => {
				// One connection, at the same source port always, and on it two bytes, and an acknowledgement without any.
				let ports = (self.beacon_port(), self.port);
				let mut at = at;
				if self.events == 0 {
					let opening: [(u8, u32, u32, &[u8]); 3] =
						[(SYN, 0, 0, SYN_OPTIONS), (ANSWER, 0, 1, SYN_OPTIONS), (ACK, 1, 1, &[])];
					for (flags, seq, ack, options) in opening {
						let (link, ip, ports) = match flags {
							ANSWER => (link.reversed(), ip.reversed(), (ports.1, ports.0)),
							_ => (link, ip, ports),
						};
						let segment = Segment { ports, seq, ack, flags, window: 64_240, options };
						self.fresh.push_back((at, craft::tcp(link, ip, segment, &[])));
						at = at.saturating_add(ROUND_TRIP / 2);
					}
				}
				let sent = (self.events as u32).wrapping_mul(2);
				let (seq, ack) = (sent.wrapping_add(1), 1);
				let beat = Segment { ports, seq, ack, flags: PSH | ACK, window: 502, options: &[] };
				let heard = seq.wrapping_add(2);
				let answer =
					Segment { ports: (ports.1, ports.0), seq: ack, ack: heard, flags: ACK, window: 509, options: &[] };
				self.fresh.push_back((at, craft::tcp(link, ip, beat, &[0, 0])));
				self.fresh.push_back((
					at.saturating_add(ROUND_TRIP),
					craft::tcp(link.reversed(), ip.reversed(), answer, &[]),
				));
				return;
			}
			Kind::BeaconUdp => {
				let payload = self.chance.junk(4);
				craft::udp(link, ip, (self.beacon_port(), self.port), &payload)
			}
			// Not attacks of single packets: `visit` and `innocent` make these.
			Kind::Http | Kind::Telnet | Kind::Ssh | Kind::Innocent => return,
		};
		self.fresh.push_back((at, frame));
	}

	/// A connection request, with the options of an ordinary system unless it is crafted by hand, with its `seq` chosen.
	fn request(&mut self, ip: Ip, ports: (u16, u16), seq: Option<u32>) -> Vec<u8> {
		let options: &[u8] = if seq.is_some() { &[] } else { SYN_OPTIONS };
		let seq = seq.unwrap_or_else(|| self.chance.word());
		let window = self.chance.half();
		craft::tcp(self.plan.link, ip, Segment { ports, seq, ack: 0, flags: SYN, window, options }, &[])
	}

	fn beacon_port(&self) -> u16 {
		let [.., last] = self.host.octets();
		49_152 + u16::from(last)
	}

	/// A query for twelve random letters below the domain.
	fn torture(&mut self) -> Vec<u8> {
		let label: String = (0..12)
			// The alphabet has as many letters as it is asked for.
			.map(|_| char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[self.chance.index(36)]))
			.collect();
		let name = format!("{label}.{}", self.plan.domain);
		query(self.chance.half(), &name, 1)
	}

	/// An answer of `size` bytes that begins like one of such a server's.
	fn reflected(&mut self, reflector: Reflector, size: usize) -> Vec<u8> {
		let id = self.chance.half();
		let mut answer = match reflector {
			Reflector::Dns => answered(query(id, &self.plan.domain, 255), 16),
			// An answer to MON_GETLIST_1: six records of 72 bytes.
			Reflector::Ntp => vec![0xd7, 0, 3, 0x2a, 0, 6, 0, 72],
			// A response with the community "public".
			Reflector::Snmp => b"\x30\x82\x05\x70\x02\x01\x01\x04\x06public\xa2\x82\x05\x61".to_vec(),
			Reflector::Ssdp => {
				b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\nST: upnp:rootdevice\r\nUSN: uuid:".to_vec()
			}
			Reflector::Memcached => {
				let mut bytes = id.to_be_bytes().to_vec();
				bytes.extend_from_slice(b"\0\0\0\x01\0\0VALUE a 0 1048576\r\n");
				bytes
			}
			// A search result entry for the root.
			Reflector::Cldap => b"\x30\x84\x00\x00\x05\x60\x02\x01\x07\x64\x84\x00\x00\x05\x57\x04\x00".to_vec(),
			Reflector::Isakmp | Reflector::IsakmpNat => {
				// Behind NAT, four zeros say that it is no ESP. Then two cookies, a security association, version 1, main mode.
				let mut bytes = if reflector == Reflector::IsakmpNat { vec![0; 4] } else { Vec::new() };
				bytes.extend(self.chance.junk(16));
				bytes.extend_from_slice(&[1, 0x10, 2, 0, 0, 0, 0, 0]);
				bytes
			}
		};
		let size = if reflector == Reflector::Ntp { size.min(440) } else { size };
		answer.extend(self.chance.junk(size.saturating_sub(answer.len())));
		answer.truncate(size.max(8));
		answer
	}

	/// A conversation that a bot begins: a request over HTTP, or an attempt to log in.
	pub(super) fn visit(&mut self, at: u64) {
		let (client, port) = match self.plan.kind.has_one_source() {
			// One host takes its ports in turn, as its system does: no two connections that overlap have the same.
			true => (self.host, 32_768 + (self.events % 28_232) as u16),
			false => (self.chance.source(&self.plan.sources), self.chance.port()),
		};
		let ports = (port, self.port);
		let seqs = [self.chance.word(), self.chance.word()];
		let attempt = self.events;
		let mut talk = Conversation::new(self.plan.link, (client, self.plan.target), ports, seqs, at);
		talk.open();
		match self.plan.kind {
			Kind::Http => {
				let request = self.http_request();
				talk.say(true, &request);
				talk.say(false, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
			}
			Kind::Telnet => {
				talk.say(false, b"\xff\xfd\x01\xff\xfd\x1flogin: ");
				talk.say(true, format!("user{attempt}\r\n").as_bytes());
				talk.say(false, b"Password: ");
				talk.say(true, format!("word{attempt}\r\n").as_bytes());
				talk.say(false, b"\r\nLogin incorrect\r\n");
			}
			_ => {
				talk.say(false, b"SSH-2.0-dropbear\r\n");
				talk.say(true, b"SSH-2.0-Go\r\n");
				// Key exchange, and one password; all of it looks like chance.
				for (from_client, length) in
					[(true, 720), (false, 640), (true, 48), (false, 420), (true, 148), (false, 80)]
				{
					let bytes = self.chance.junk(length);
					talk.say(from_client, &bytes);
				}
			}
		}
		talk.close();
		self.fresh.extend(talk.frames);
	}

	/// A request for one of the paths, by one of the browsers.
	pub(super) fn http_request(&mut self) -> Vec<u8> {
		// A plan is checked: neither list is empty.
		let path = self.chance.pick(&self.plan.paths).map_or("/", String::as_str);
		let agent = self.chance.pick(&self.plan.agents).map_or("", String::as_str);
		let host = self.plan.target;
		format!(
			"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
		)
		.into_bytes()
	}
}

/// A DNS query, recursion desired. Parts of the name are at most 63 bytes long, by the plan's check.
pub(super) fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
	let mut bytes = id.to_be_bytes().to_vec();
	bytes.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
	for label in name.split('.').filter(|label| !label.is_empty()) {
		bytes.push(label.len() as u8);
		bytes.extend_from_slice(label.as_bytes());
	}
	bytes.push(0);
	bytes.extend_from_slice(&kind.to_be_bytes());
	bytes.extend_from_slice(&[0, 1]);
	bytes
}

/// The query as an answer, recursion available, that says to have this many records.
pub(super) fn answered(mut query: Vec<u8>, records: u8) -> Vec<u8> {
	if let Some(head) = query.get_mut(2..8) {
		head.copy_from_slice(&[0x81, 0x80, 0, 1, 0, records]);
	}
	query
}
