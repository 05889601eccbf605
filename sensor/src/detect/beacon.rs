//! A device of the home keeps calling an address that is known to be bad.
//!
//! What the home only answers is no call: a bad peer's visit to a server here is not held against the server.
//!
//! # Security considerations
//!
//! The peer's answer proves that the two talk. Until it comes, another device of the home may have made the call up, and the
//! finding is spoofable. The finding about the peer does not name the device; the one for the owner does.
//!
//! Whether an address is bad is asked only of those that the home calls, and that answer: whoever forges sources could
//! otherwise ask so much that nobody finds out about the others.

use super::{
	trail::{Due, Told, Trail},
	About, Detector, Seen, Setting, Side, Values,
};
use crate::{
	finding::{Audience, Finding},
	learn::Background,
	packet::{protocol, tcp, Transport},
	sketch::{Secret, Table, Weighty},
};
use ringfence_primitives::{Address, Endpoint, Indicator, Millis, Severity, ThreatClass};

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "beacon",
	description: "a device of the home keeps calling an address that is known to be bad",
	false_positives: "an address that was listed wrongly, or changed hands; a page in a browser that is left open",
	version: 1,
	settings: &[
		Setting {
			name: "contacts",
			default: 3,
			least: 2,
			most: 1_000,
			meaning: "calls of one device at one endpoint, five seconds of silence before each",
		},
		Setting { name: "window", default: 3_600, least: 10, most: 86_400, meaning: "seconds of silence that end it" },
	],
};

/// Devices and endpoints that are watched together.
const CALLS: usize = 512;
/// Silence, in milliseconds, after which a packet is another call.
const QUIET: Millis = 5_000;
/// Addresses that are remembered as not bad, and for how many seconds.
const INNOCENT: usize = 4_096;
const INNOCENCE: u32 = 5;
/// A variation below this, and so many contacts, are a clock's work and not a person's.
const REGULAR: (f64, u64) = (0.2, 5);

/// Device, peer, protocol, and the peer's port: 0 where there is none.
type Key = (Address, Address, u8, u16);

/// What one device has to do with one endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Call {
	/// Packets of the device.
	trail: Trail,
	contacts: u64,
	/// When the last contact began.
	contact: Millis,
	/// The intervals' mean in milliseconds, and the sum of their squared distances from it.
	mean: f64,
	squares: f64,
	/// The device's port of the last SYN: the same again is a retransmission.
	opened: Option<u16>,
	/// The peer answered.
	answered: bool,
	told: Told,
}

impl Weighty for Call {
	fn weight(&self) -> u64 {
		self.contacts
	}
}

impl Call {
	fn contact(&mut self, now: Millis) {
		if self.contacts > 0 {
			let interval = now.saturating_sub(self.contact) as f64;
			let before = interval - self.mean;
			self.mean += before / self.contacts as f64;
			self.squares += before * (interval - self.mean);
		}
		self.contacts = self.contacts.saturating_add(1);
		self.contact = now;
	}

	/// The intervals' deviation, in parts of their mean.
	fn variation(&self) -> f64 {
		let intervals = self.contacts.saturating_sub(1).max(1) as f64;
		(self.squares / intervals).sqrt() / self.mean.max(1.0)
	}

	fn figures(&self) -> String {
		let (contacts, seconds, every) = (self.contacts, self.trail.seconds(), self.mean / 1_000.0);
		let variation = self.variation();
		let (most, least) = REGULAR;
		let regular = if variation <= most && contacts >= least { ", regular" } else { "" };
		format!("{contacts} calls in {seconds} s, every {every:.0} s, variation {variation:.2}{regular}")
	}
}

/// The detector.
pub struct Beacon {
	contacts: u64,
	window: Millis,
	secret: Secret,
	/// By address: 32 bits of its hash, and the second in which it was not known to be bad.
	innocent: Box<[(u32, u32)]>,
	calls: Table<Key, Call>,
	due: Due<Key>,
}

/// Makes one.
pub fn make(values: &Values<'_>, secret: &Secret) -> Box<dyn Detector> {
	let window = values.get("window").saturating_mul(1_000);
	Box::new(Beacon {
		contacts: values.get("contacts"),
		window,
		secret: secret.clone(),
		innocent: vec![(0, 0); INNOCENT].into_boxed_slice(),
		calls: Table::new(CALLS, window),
		due: Due::new(),
	})
}

impl Beacon {
	/// Whether `peer` is known to be bad, asked again only after a while.
	fn bad(&mut self, hash: u64, peer: Address, seen: &Seen<'_>) -> bool {
		let second = u32::try_from(seen.now / 1_000).unwrap_or(u32::MAX).max(1);
		// The low bits say where, the high ones who.
		let Some(slot) = self.innocent.get_mut(hash as usize % INNOCENT) else { return false };
		let tag = (hash >> 32) as u32;
		if slot.0 == tag && slot.1 != 0 && second.saturating_sub(slot.1) < INNOCENCE {
			return false;
		}
		let bad = (seen.known_bad)(peer);
		if !bad {
			*slot = (tag, second);
		}
		bad
	}

	fn outbound(&mut self, seen: &Seen<'_>, hash: u64, key: Key) {
		let (packet, now) = (seen.packet, seen.now);
		let own = packet.ports().map(|(own, _)| own);
		let (begins, opens) = match packet.transport {
			Transport::Tcp(header) => (header.opens(), header.opens()),
			_ => (true, false),
		};
		if !begins && self.calls.get(hash, &key).is_none() {
			return;
		}
		let Some(call) = self.calls.touch(hash, key, now) else { return };
		let silence = now.saturating_sub(call.trail.last);
		if silence > self.window && !call.told.waits(now) {
			*call = Call { told: call.told, ..Call::default() };
		}
		let retransmitted = opens && call.opened == own;
		if opens {
			call.opened = own;
		}
		call.trail.add(seen);
		if silence >= QUIET && !retransmitted {
			call.contact(now);
		}
		let spoofable = !call.answered;
		if call.contacts >= self.contacts && call.told.due(now, spoofable) && self.due.push(hash, key, now) {
			call.told.tell(now, spoofable);
		}
	}

	fn inbound(&mut self, seen: &Seen<'_>, hash: u64, key: Key) {
		if self.calls.get(hash, &key).is_some() {
			if let Some(call) = self.calls.touch(hash, key, seen.now) {
				call.answered = true;
			}
		}
	}
}

/// Whether it is a packet of somebody who calls, and not of one who is called.
fn calls(seen: &Seen<'_>) -> bool {
	match seen.packet.transport {
		// No refusal, nor the answer to a SYN.
		Transport::Tcp(header) => {
			header.flags & tcp::RST == 0 && header.flags & (tcp::SYN | tcp::ACK) != tcp::SYN | tcp::ACK
		}
		Transport::Udp { .. } => !seen.answers,
		// The echo requests of both versions.
		Transport::Icmp { kind: 8 | 128, .. } => true,
		_ => false,
	}
}

impl Detector for Beacon {
	fn about(&self) -> &'static About {
		&ABOUT
	}

	fn see(&mut self, seen: &Seen<'_>) {
		let packet = seen.packet;
		let (from, to) = packet.ports().unwrap_or_default();
		let (device, peer, peer_hash, port) = match seen.side {
			Side::Outbound if calls(seen) => (packet.source, packet.destination, seen.destination, to),
			Side::Inbound if seen.solicited => (packet.destination, packet.source, seen.source, from),
			_ => return,
		};
		if !self.bad(peer_hash, peer, seen) {
			return;
		}
		let key = (device, peer, packet.protocol, port);
		let hash = self.secret.hash(key);
		match seen.side {
			Side::Outbound => self.outbound(seen, hash, key),
			_ => self.inbound(seen, hash, key),
		}
	}

	fn tick(&mut self, now: Millis, _: &Background, findings: &mut Vec<Finding>) {
		let Self { calls, due, .. } = self;
		due.take(now, |hash, key| {
			let Some(call) = calls.get(hash, &key) else { return };
			let (device, peer, number, port) = key;
			let transport = match number {
				protocol::TCP => Some(ringfence_primitives::Transport::Tcp),
				protocol::UDP => Some(ringfence_primitives::Transport::Udp),
				_ => None,
			};
			let indicator = match transport {
				Some(protocol) if port > 0 => Indicator::Endpoint(Endpoint { address: peer, protocol, port }),
				_ => Indicator::Host(peer),
			};
			let (threat, figures) = (ThreatClass::CommandAndControl, call.figures());
			let spoofable = !call.answered;
			let finding = call.trail.finding(&ABOUT, indicator, threat, Severity::High, &figures);
			findings.push(Finding { spoofable, ..finding });
			let note = format!("{device}, in this home, calls {peer}: {figures}");
			let finding = call.trail.finding(&ABOUT, Indicator::Host(device), threat, Severity::Critical, &note);
			findings.push(Finding { spoofable, audience: Audience::Owner, ..finding });
		});
	}
}
