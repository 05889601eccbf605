//! Worms that spread as Mirai does: from outside to the home, and from a device of the home to the outside.
//!
//! Mirai's scanner gives each SYN the address that it goes to as its sequence number. No other sender does that but once in
//! four thousand million times. Descendants without the mark still knock at telnet's ports all over the Internet.

use super::{
	knock::{Step, What},
	trail::{Due, Told, Trail},
	About, Detector, Seen, Setting, Side, Values,
};
use crate::{
	finding::{Audience, Finding},
	learn::Background,
	packet::{Packet, Tcp},
	sketch::{Distinct, Secret, Table, Weighty},
};
use ringfence_primitives::{Address, Indicator, Millis, Severity, ThreatClass};

/// What there is to know about it.
pub const ABOUT: About = About {
	name: "mirai",
	description: "SYNs whose sequence number is the address they go to, to the home or from a device in it; a device that knocks at telnet (23, 2323) at many addresses outside",
	false_positives: "none known of the mark, which is not seen behind a NAT: capture on the uplink; of the rest, an owner who scans or administers many telnet devices outside",
	version: 1,
	settings: &[
		Setting { name: "knocks", default: 3, least: 1, most: 10_000, meaning: "SYNs with the mark from one source" },
		Setting {
			name: "destinations",
			default: 16,
			least: 3,
			most: 10_000,
			meaning: "different addresses outside at whose telnet ports one device knocks",
		},
		Setting { name: "window", default: 300, least: 1, most: 86_400, meaning: "seconds in which they are counted" },
	],
};

/// Sources outside that are watched: three quarters of a megabyte.
const BOTS: usize = 1_024;
/// Devices of the home that are watched.
const DEVICES: usize = 256;
/// Where it goes in. A handshake completed here, by a source that sent the mark, is the worm's own.
const TELNET: [u16; 2] = [23, 2_323];

/// What one source did within a window.
#[derive(Clone, Copy, Debug, Default)]
struct Bot {
	/// Its knocks.
	trail: Trail,
	/// SYNs with the mark, as they are counted.
	marked: u64,
	targets: Distinct,
	/// How often another target seemed to be a new one.
	news: u64,
	/// The last port that it knocked at.
	port: u16,
	/// It goes on to what it found by its knocks.
	proven: bool,
	told: Told,
}

impl Weighty for Bot {
	fn weight(&self) -> u64 {
		self.marked.saturating_add(self.news)
	}
}

impl Bot {
	/// Takes in a knock; whether it seems to be at a new target.
	fn knock(&mut self, seen: &Seen<'_>, tcp: &Tcp, marked: bool, window: Millis) -> bool {
		if seen.now.saturating_sub(self.trail.first) > window && !self.told.waits(seen.now) {
			*self = Self { told: self.told, ..Self::default() };
		}
		self.trail.add(seen);
		if marked {
			self.marked = self.marked.saturating_add(u64::from(seen.weight));
		}
		let before = self.targets;
		self.targets.insert(seen.destination);
		self.port = tcp.destination;
		let new = self.targets != before;
		self.news += u64::from(new);
		new
	}

	fn figures(&self) -> String {
		let (targets, seconds, port) = (self.targets.estimate(), self.trail.seconds(), self.port);
		let mark = if self.marked > 0 { " with Mirai's mark" } else { "" };
		format!("SYNs{mark} in {seconds} s, port {port}, different addresses: {targets}")
	}
}

/// The detector.
pub struct Mirai {
	knocks: u64,
	destinations: u64,
	window: Millis,
	bots: Table<Address, Bot>,
	devices: Table<Address, Bot>,
	due: Due<(Address, Side)>,
}

/// Makes one.
pub fn make(values: &Values<'_>, _: &Secret) -> Box<dyn Detector> {
	let window = values.get("window").saturating_mul(1_000);
	Box::new(Mirai {
		knocks: values.get("knocks"),
		destinations: values.get("destinations"),
		window,
		bots: Table::new(BOTS, window),
		devices: Table::new(DEVICES, window),
		due: Due::new(),
	})
}

/// Whether a SYN has the mark.
fn marked(packet: &Packet<'_>, tcp: &Tcp) -> bool {
	matches!(packet.destination, Address::V4(octets) if tcp.opens() && tcp.sequence == u32::from_be_bytes(octets))
}

impl Mirai {
	fn inbound(&mut self, seen: &Seen<'_>, tcp: &Tcp) {
		let (hash, peer) = (seen.source, seen.packet.source);
		let mark = marked(seen.packet, tcp);
		let telnet = TELNET.contains(&tcp.destination);
		let proof = telnet && matches!(seen.step, Some(Step { what: What::Proof, .. }));
		let known = proof && self.bots.get(hash, &peer).is_some();
		if !(mark || known) {
			return;
		}
		let Some(bot) = self.bots.touch(hash, peer, seen.now) else { return };
		if mark {
			bot.knock(seen, tcp, true, self.window);
		}
		bot.proven |= proof;
		let spoofable = !bot.proven;
		if bot.marked >= self.knocks
			&& bot.told.due(seen.now, spoofable)
			&& self.due.push(hash, (peer, Side::Inbound), seen.now)
		{
			bot.told.tell(seen.now, spoofable);
		}
	}

	fn outbound(&mut self, seen: &Seen<'_>, tcp: &Tcp) {
		let mark = marked(seen.packet, tcp);
		let telnet = tcp.opens() && TELNET.contains(&tcp.destination);
		if !(mark || telnet) {
			return;
		}
		let (hash, own) = (seen.source, seen.packet.source);
		let Some(device) = self.devices.touch(hash, own, seen.now) else { return };
		let new = device.knock(seen, tcp, mark, self.window);
		if !device.told.due(seen.now, true) {
			return;
		}
		let many = || device.targets.estimate() >= self.destinations;
		let enough = device.marked >= self.knocks || (new && many());
		if enough && self.due.push(hash, (own, Side::Outbound), seen.now) {
			device.told.tell(seen.now, true);
		}
	}
}

impl Detector for Mirai {
	fn about(&self) -> &'static About {
		&ABOUT
	}

	fn see(&mut self, seen: &Seen<'_>) {
		let Some(tcp) = seen.packet.tcp() else { return };
		match seen.side {
			Side::Inbound => self.inbound(seen, tcp),
			Side::Outbound => self.outbound(seen, tcp),
			Side::Within | Side::Past => {}
		}
	}

	fn tick(&mut self, now: Millis, _: &Background, findings: &mut Vec<Finding>) {
		let Self { bots, devices, due, .. } = self;
		due.take(now, |hash, (source, side)| {
			let table = if side == Side::Inbound { &*bots } else { &*devices };
			let Some(bot) = table.get(hash, &source) else { return };
			let (indicator, figures) = (Indicator::Host(source), bot.figures());
			if side == Side::Inbound {
				let finding = bot.trail.finding(&ABOUT, indicator, ThreatClass::Botnet, Severity::High, &figures);
				findings.push(Finding { spoofable: !bot.proven, ..finding });
			} else {
				let note = format!("{source}, in this home: {figures}");
				let finding = bot.trail.finding(&ABOUT, indicator, ThreatClass::Botnet, Severity::Critical, &note);
				findings.push(Finding { audience: Audience::Owner, ..finding });
			}
		});
	}
}
