//! What a household does all day. Nothing of it may ever be taken for an attack.

use super::{
	craft::{self, Ip, Link, Segment, ACK, FIN, PSH, SYN, WHOLE},
	kinds::{answered, query, SYN_OPTIONS},
	Generator, SECOND,
};
use std::net::Ipv4Addr;

/// From a packet to its answer, in nanoseconds.
pub(super) const ROUND_TRIP: u64 = 20 * MILLI;
const MILLI: u64 = SECOND / 1_000;
/// From one segment to the next of the same side.
const SPACING: u64 = 500_000;
/// What fits into one segment.
const SEGMENT: usize = 1_400;

/// One TCP connection, both ways, without losses.
pub(super) struct Conversation {
	link: Link,
	hosts: (Ipv4Addr, Ipv4Addr),
	ports: (u16, u16),
	/// The next sequence numbers of client and server.
	seqs: [u32; 2],
	/// Who spoke last, and when.
	client_last: bool,
	at: u64,
	id: u16,
	/// Made so far, in order of time.
	pub(super) frames: Vec<(u64, Vec<u8>)>,
}

impl Conversation {
	/// Between `hosts`, client and server. `link` is the client's.
	pub(super) fn new(link: Link, hosts: (Ipv4Addr, Ipv4Addr), ports: (u16, u16), seqs: [u32; 2], at: u64) -> Self {
		Self { link, hosts, ports, seqs, client_last: true, at, id: seqs[0] as u16, frames: Vec::new() }
	}

	fn segment(&mut self, client: bool, flags: u8, payload: &[u8]) {
		if !self.frames.is_empty() {
			self.at += if client == self.client_last { SPACING } else { ROUND_TRIP / 2 };
		}
		self.client_last = client;
		self.id = self.id.wrapping_add(1);
		let [own, other] = if client { self.seqs } else { [self.seqs[1], self.seqs[0]] };
		let options: &[u8] = if flags & SYN == 0 { &[] } else { SYN_OPTIONS };
		let ack = if flags & ACK == 0 { 0 } else { other };
		let ip = Ip { source: self.hosts.0, destination: self.hosts.1, ttl: 57, id: self.id, fragment: WHOLE };
		let (link, ip, ports) = match client {
			true => (self.link, ip, self.ports),
			false => (self.link.reversed(), ip.reversed(), (self.ports.1, self.ports.0)),
		};
		let segment = Segment { ports, seq: own, ack, flags, window: 64_240, options };
		self.frames.push((self.at, craft::tcp(link, ip, segment, payload)));
		let taken = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
		let seq = &mut self.seqs[usize::from(!client)];
		*seq = seq.wrapping_add(taken);
	}

	/// The three-way handshake.
	pub(super) fn open(&mut self) {
		self.segment(true, SYN, &[]);
		self.segment(false, SYN | ACK, &[]);
		self.segment(true, ACK, &[]);
	}

	/// Bytes of one side, in as many segments as it takes, and the other's acknowledgement.
	pub(super) fn say(&mut self, client: bool, bytes: &[u8]) {
		for piece in bytes.chunks(SEGMENT) {
			self.segment(client, PSH | ACK, piece);
		}
		self.segment(!client, ACK, &[]);
	}

	/// The client closes, then the server.
	pub(super) fn close(&mut self) {
		self.segment(true, FIN | ACK, &[]);
		self.segment(false, FIN | ACK, &[]);
		self.segment(true, ACK, &[]);
	}
}

impl Generator {
	/// The next thing that the household does, or that is done with it.
	pub(super) fn innocent(&mut self, at: u64) {
		let server = self.chance.pick(&self.servers).copied().unwrap_or(self.host);
		match self.chance.below(100) {
			0..30 => self.lookup(at),
			30..55 => self.session(at, server, 443),
			55..65 => self.session(at, server, 80),
			65..72 => self.time(at, server),
			72..80 => self.ping(at, server),
			80..90 => self.video(at, server),
			_ => self.guest(at, server),
		}
	}

	/// Frames of the household leave by the way its answers come.
	fn outbound(&self) -> Link {
		self.plan.link.reversed()
	}

	fn leaving(&mut self, destination: Ipv4Addr) -> Ip {
		Ip { source: self.plan.target, destination, ttl: 64, id: self.chance.half(), fragment: WHOLE }
	}

	/// A request by UDP, and its answer.
	fn exchange(&mut self, at: u64, server: Ipv4Addr, ports: (u16, u16), request: &[u8], answer: &[u8]) {
		let (out, ip) = (self.outbound(), self.leaving(server));
		self.fresh.push_back((at, craft::udp(out, ip, ports, request)));
		let back = craft::udp(out.reversed(), ip.reversed(), (ports.1, ports.0), answer);
		self.fresh.push_back((at + ROUND_TRIP, back));
	}

	fn lookup(&mut self, at: u64) {
		let name = format!("www{}.example.net", self.chance.below(500));
		let request = query(self.chance.half(), &name, 1);
		// One record: for the name asked, an address, for five minutes.
		let mut answer = answered(request.clone(), 1);
		answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
		answer.extend_from_slice(&self.chance.anywhere().octets());
		let ports = (self.chance.port(), 53);
		// One resolver, always the same.
		let resolver = self.host;
		self.exchange(at, resolver, ports, &request, &answer);
	}

	fn time(&mut self, at: u64, server: Ipv4Addr) {
		let (mut request, mut answer) = (vec![0x23, 0, 6, 0xec], vec![0x24, 2, 6, 0xe9]);
		request.extend(self.chance.junk(44));
		answer.extend(self.chance.junk(44));
		let port = self.chance.port();
		self.exchange(at, server, (port, 123), &request, &answer);
	}

	fn ping(&mut self, at: u64, server: Ipv4Addr) {
		let (out, ip, id, payload) = (self.outbound(), self.leaving(server), self.chance.half(), self.chance.junk(56));
		for seq in 1..=4_u16 {
			let at = at + u64::from(seq) * SECOND / 4;
			self.fresh.push_back((at, craft::echo(out, ip, false, id, seq, &payload)));
			let reply = craft::echo(out.reversed(), ip.reversed(), true, id, seq, &payload);
			self.fresh.push_back((at + ROUND_TRIP, reply));
		}
	}

	/// A page over TCP; over TLS where the port is 443.
	fn talk(&mut self, talk: &mut Conversation, port: u16) {
		talk.open();
		if port == 443 {
			// Records: a greeting, the other's with its certificates, the end of the handshake, and data.
			for (client, kind, length) in [(true, 22, 512), (false, 22, 3_200), (true, 20, 64), (true, 23, 420)] {
				let record = self.record(kind, length);
				talk.say(client, &record);
			}
			let length = 500 + self.chance.index(12_000);
			let page = self.record(23, length);
			talk.say(false, &page);
		} else {
			let request = self.http_request();
			talk.say(true, &request);
			let length = 200 + self.chance.index(8_000);
			let mut page = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
			page.extend(self.chance.junk(length));
			talk.say(false, &page);
		}
		talk.close();
	}

	fn record(&mut self, kind: u8, length: usize) -> Vec<u8> {
		let mut record = vec![kind, 3, 3];
		// None is longer than a record may be, 16 KiB.
		record.extend_from_slice(&(length as u16).to_be_bytes());
		record.extend(self.chance.junk(length));
		record
	}

	/// The household visits a server.
	fn session(&mut self, at: u64, server: Ipv4Addr, port: u16) {
		let (ports, seqs) = ((self.chance.port(), port), [self.chance.word(), self.chance.word()]);
		let mut talk = Conversation::new(self.outbound(), (self.plan.target, server), ports, seqs, at);
		self.talk(&mut talk, port);
		self.fresh.extend(talk.frames);
	}

	/// Somebody visits the household: it has a camera, or a web page.
	fn guest(&mut self, at: u64, guest: Ipv4Addr) {
		let port = self.plan.port.unwrap_or(443);
		let (ports, seqs) = ((self.chance.port(), port), [self.chance.word(), self.chance.word()]);
		let mut talk = Conversation::new(self.plan.link, (guest, self.plan.target), ports, seqs, at);
		self.talk(&mut talk, port);
		self.fresh.extend(talk.frames);
	}

	/// A piece of a film, as QUIC brings it: bursts of full packets one way, now and then a small one the other.
	fn video(&mut self, at: u64, server: Ipv4Addr) {
		let (out, ports) = (self.outbound(), (self.chance.port(), 443));
		let ip = self.leaving(server);
		let packets = 40 + self.chance.below(120);
		let mut time = at;
		for n in 0..packets {
			let (size, upstream) = if n == 0 { (1_200, true) } else { (1_250, false) };
			let mut payload = self.chance.junk(size);
			// A long header opens the connection, short ones follow.
			if let Some(first) = payload.first_mut() {
				*first = if n < 2 { 0xc0 | (*first & 0x0f) } else { 0x40 | (*first & 0x3f) };
			}
			let frame = match upstream {
				true => craft::udp(out, ip, ports, &payload),
				false => craft::udp(out.reversed(), ip.reversed(), (ports.1, ports.0), &payload),
			};
			self.fresh.push_back((time, frame));
			time += if n == 0 { ROUND_TRIP } else { 2 * MILLI };
			if n % 10 == 9 {
				let mut payload = self.chance.junk(35);
				if let Some(first) = payload.first_mut() {
					*first = 0x40 | (*first & 0x3f);
				}
				self.fresh.push_back((time, craft::udp(out, ip, ports, &payload)));
				time += MILLI;
			}
		}
	}
}
