//! The attacks that are to be found, and by whom.

use crate::flood::{Kind, Plan, Sources};
use ringfence_primitives::{Address, Network};
use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

/// Who is attacked; in attacks from inside, the device that attacks.
pub const VICTIM: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 42);
/// Who attacks alone.
const BOT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 66);
/// Whom a device at home attacks.
const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);
/// Whom a device at home reports to.
const MASTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 23);

/// An attack, who is to find it, and what is known of it that no sensor is told.
#[derive(Clone, Debug)]
pub struct Attack {
	/// Its name.
	pub name: &'static str,
	/// The detector that is to find it.
	pub detector: &'static str,
	/// How it is made.
	pub plan: Plan,
	/// What is defended.
	pub home: Network,
	/// Whether it comes from inside.
	pub outbound: bool,
	/// Who is known to be bad.
	pub bad: Option<Address>,
	/// Whom a finding may name: none where all sources are forged.
	pub guilty: BTreeSet<Address>,
	/// Frames a second that enter or leave the home, about.
	pub rate: f64,
	/// How long it lasts.
	pub seconds: u64,
}

/// The network of `prefix` bits around [`VICTIM`].
pub fn around(prefix: u8) -> Network {
	// Never refused: the prefix fits, and no bits are set behind it.
	let victim = Address::from(VICTIM);
	Network::new(victim.masked(prefix), prefix).unwrap_or(Network::host(victim))
}

impl Attack {
	/// Of one kind on [`VICTIM`], `rate` frames a second from forged sources, in a /24.
	fn new(name: &'static str, detector: &'static str, kind: Kind, rate: u64, seconds: u64) -> Self {
		Self {
			name,
			detector,
			plan: Plan { rate, packets: rate.saturating_mul(seconds), ..Plan::new(kind, VICTIM) },
			home: around(24),
			outbound: false,
			bad: None,
			guilty: BTreeSet::new(),
			rate: rate as f64,
			seconds,
		}
	}

	/// By these, who are who they say.
	fn by(mut self, hosts: &[Ipv4Addr]) -> Self {
		self.plan.sources = Sources::Listed(hosts.to_vec());
		self.guilty = hosts.iter().copied().map(Address::from).collect();
		self
	}

	/// By [`VICTIM`] on somebody outside.
	fn outwards(mut self, target: Ipv4Addr) -> Self {
		self.plan.target = target;
		self.outbound = true;
		self.by(&[VICTIM])
	}

	/// A device's calls at its master, a minute from one to the next.
	fn beacon(name: &'static str, kind: Kind, packets: u64) -> Self {
		let seconds = 480;
		let mut attack = Self::new(name, "beacon", kind, 1, seconds).outwards(MASTER);
		(attack.plan.packets, attack.plan.interval) = (packets, Duration::from_secs(60));
		attack.rate = packets as f64 / seconds as f64;
		attack.bad = Some(MASTER.into());
		attack.guilty.insert(MASTER.into());
		attack
	}
}

/// All of them: each detector finds one at least. The rates are a few times what a detector takes for a flood by itself.
pub fn all() -> Vec<Attack> {
	let web: Vec<Ipv4Addr> = (1..=10).map(|number| Ipv4Addr::new(192, 0, 2, number)).collect();
	vec![
		Attack::new("icmp", "icmp-flood", Kind::Icmp, 1_500, 4),
		Attack::new("udp", "udp-flood", Kind::Udp, 4_000, 4),
		Attack::new("syn", "syn-flood", Kind::Syn, 1_000, 4),
		Attack::new("ack", "ack-flood", Kind::Ack, 2_000, 4),
		Attack::new("stomp", "stomp-flood", Kind::Stomp, 2_000, 4),
		Attack::new("dns", "dns-flood", Kind::Dns, 1_000, 4),
		Attack::new("vse", "vse-flood", Kind::Vse, 1_000, 4),
		Attack::new("gre-ip", "gre-ip-flood", Kind::GreIp, 2_000, 4),
		Attack::new("gre-ethernet", "gre-ethernet-flood", Kind::GreEthernet, 2_000, 4),
		// Ten frames a request.
		Attack::new("http", "http-flood", Kind::Http, 4_000, 6).by(&web),
		Attack::new("amplification", "amplification", Kind::Amplification, 2_000, 4),
		Attack::new("fragments", "fragments", Kind::Fragments, 1_500, 4),
		Attack::new("udp from inside", "outbound-flood", Kind::Udp, 2_000, 4).outwards(FAR),
		Attack { home: around(16), ..Attack::new("horizontal-scan", "horizontal-scan", Kind::HorizontalScan, 50, 6) }
			.by(&[BOT]),
		Attack::new("vertical-scan", "vertical-scan", Kind::VerticalScan, 100, 6).by(&[BOT]),
		// Two logins a second.
		Attack::new("telnet", "brute-force", Kind::Telnet, 32, 10).by(&[BOT]),
		Attack::new("ssh", "brute-force", Kind::Ssh, 44, 20).by(&[BOT]),
		// Of what goes anywhere, one frame in about 220 comes to a /8.
		Attack { home: around(8), rate: 4.5, ..Attack::new("mirai", "mirai", Kind::Mirai, 1_000, 10) }.by(&[BOT]),
		Attack::new("mirai from inside", "mirai", Kind::Mirai, 160, 4).outwards(FAR),
		Attack::beacon("beacon-tcp", Kind::BeaconTcp, 19),
		Attack::beacon("beacon-udp", Kind::BeaconUdp, 8),
	]
}
