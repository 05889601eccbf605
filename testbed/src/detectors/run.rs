//! What a sensor is shown: an attack, innocent households, both, or a recording.

use super::{
	attacks::{around, Attack, VICTIM},
	mix::Mix,
};
use crate::{
	error::{Error, Result},
	flood::{craft, Generator, Kind, Plan, MAX_PACKETS},
	interrupted,
};
use ringfence_enforcer::daemon::capture::pcap::{self, PcapError};
use ringfence_primitives::{Address, Network};
use ringfence_sensor::{Link, Packet};
use std::{
	collections::{BTreeMap, BTreeSet},
	net::Ipv4Addr,
	path::{Path, PathBuf},
};

const SECOND: u64 = 1_000_000_000;
/// Made frames begin here, in nanoseconds since 1970.
const START: u64 = 1_700_000_000 * SECOND;
/// Seconds of innocent traffic before an attack.
const LEAD: u64 = 3;
/// Most frames a second of a household beside an attack, as long as there are places for more of them.
const BUSY: f64 = 2_000.0;
/// Households that have a place in the network.
const PLACES: u8 = 200;
/// Seeds: an attack's, and the first household's.
const ATTACK_SEED: u64 = 7;
const HOUSEHOLD_SEED: u64 = 1_000;

/// The recordings whose truth is known, with the detector that is to find what is in them; none in innocent ones.
pub const KNOWN: [(&str, Option<&str>); 6] = [
	("stopddos-tcp-synflood-spoofed.pcap", Some("syn-flood")),
	("stopddos-udp-isakmp-amplification.pcap", Some("amplification")),
	("suricata-verify-syn-flood.pcap", Some("syn-flood")),
	("suricata-verify-dhcp-request-flood.pcap", Some("udp-flood")),
	("suricata-verify-telnet-benign.pcap", None),
	("suricata-verify-icmp-and-ssh-benign.pcap", None),
];

/// Innocent households, from [`VICTIM`] on.
#[derive(Clone, Copy, Debug)]
pub struct Households {
	/// How many, [`PLACES`] at most.
	pub count: u8,
	/// Frames a second of each.
	pub rate: u64,
	/// For how long.
	pub seconds: u64,
	/// The first one's seed; the others' follow.
	pub seed: u64,
}

/// Where frames come from.
#[derive(Clone, Debug)]
enum Traffic {
	Made { attack: Option<Box<Attack>>, households: Option<Households> },
	Recorded { path: PathBuf, hostile: bool },
}

/// The truth about a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Truth {
	/// There is an attack, for this detector to find.
	Hostile(&'static str),
	/// There is none.
	Innocent,
	/// Nobody knows.
	Unknown,
}

/// One run of a sensor.
#[derive(Clone, Debug)]
pub struct Run {
	/// What it is called.
	pub name: String,
	/// What is in it.
	pub truth: Truth,
	/// What is defended.
	pub home: Network,
	/// Who is known to be bad.
	pub bad: Option<Address>,
	/// Whether the attack comes from inside.
	pub outbound: bool,
	/// Whom a finding may name, where that is known.
	pub guilty: Option<BTreeSet<Address>>,
	traffic: Traffic,
}

/// Takes in a frame: what it begins with, its bytes, when it came in nanoseconds since 1970, whether it is an attack's.
pub type Each<'a> = dyn FnMut(Link, &[u8], u64, bool) + 'a;

impl Run {
	/// An attack and nothing else.
	pub fn alone(attack: &Attack) -> Self {
		Self::of(attack, attack.name.into(), None)
	}

	/// An attack among innocent households; it makes up `percent` of all frames, 1 to 99, as far as there are so few.
	pub fn mixed(attack: &Attack, percent: u32) -> Self {
		let percent = percent.clamp(1, 99);
		let seconds = LEAD + attack.seconds;
		let frames = attack.rate * attack.seconds as f64 * f64::from(100 - percent) / f64::from(percent);
		let rate = frames / seconds as f64;
		// Both lie within their types: by the clamp, and since an attack has thousands of frames a second at most.
		let count = (rate / BUSY).ceil().clamp(1.0, f64::from(PLACES)) as u8;
		let each = (rate / f64::from(count)).ceil().max(1.0) as u64;
		let households = Households { count, rate: each, seconds, seed: HOUSEHOLD_SEED };
		Self::of(attack, format!("{}, {percent} % of all", attack.name), Some(households))
	}

	fn of(attack: &Attack, name: String, households: Option<Households>) -> Self {
		Self {
			name,
			truth: Truth::Hostile(attack.detector),
			home: attack.home,
			bad: attack.bad,
			outbound: attack.outbound,
			guilty: Some(attack.guilty.clone()),
			traffic: Traffic::Made { attack: Some(Box::new(attack.clone())), households },
		}
	}

	/// Households alone.
	pub fn innocent(households: Households) -> Self {
		let Households { count, rate, seconds, seed } = households;
		let what = if count == 1 { "household" } else { "households" };
		Self {
			name: format!("{count} {what}, {rate}/s each, {seconds} s, seed {seed}"),
			truth: Truth::Innocent,
			home: around(24),
			bad: None,
			outbound: false,
			guilty: Some(BTreeSet::new()),
			traffic: Traffic::Made { attack: None, households: Some(households) },
		}
	}

	/// A recording. Whoever is spoken to most in it is the home.
	pub fn recorded(path: &Path) -> Result<Self> {
		let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
		let truth = match KNOWN.into_iter().find(|(known, _)| *known == name) {
			Some((_, Some(detector))) => Truth::Hostile(detector),
			Some((_, None)) => Truth::Innocent,
			None => Truth::Unknown,
		};
		let traffic = Traffic::Recorded { path: path.into(), hostile: matches!(truth, Truth::Hostile(_)) };
		let mut spoken = BTreeMap::<Address, u64>::new();
		let mut run = Self {
			name,
			truth,
			home: around(24),
			bad: None,
			outbound: false,
			guilty: (truth == Truth::Innocent).then(BTreeSet::new),
			traffic,
		};
		run.play(&mut |link, bytes, _, _| {
			if let Ok(packet) = Packet::parse(link, bytes) {
				*spoken.entry(packet.destination).or_default() += 1;
			}
		})?;
		let most = spoken.into_iter().max_by_key(|(_, count)| *count);
		run.home = most.map_or(run.home, |(address, _)| Network::host(address));
		Ok(run)
	}

	/// Hands out its frames, the same each time.
	pub fn play(&self, each: &mut Each<'_>) -> Result<()> {
		match &self.traffic {
			Traffic::Made { attack, households } => {
				for frame in mix(attack.as_deref(), *households)? {
					if interrupted() {
						return Err(Error::Interrupted);
					}
					each(Link::Ethernet, &frame.bytes, START.saturating_add(frame.at), frame.hostile);
				}
				Ok(())
			}
			Traffic::Recorded { path, hostile } => {
				let wrong =
					|error: PcapError| Error::Malformed { what: path.display().to_string(), cause: error.to_string() };
				let mut recording = pcap::open(path).map_err(wrong)?;
				while let Some((frame, link)) = recording.next_frame().map_err(wrong)? {
					if interrupted() {
						return Err(Error::Interrupted);
					}
					each(link, frame.bytes, frame.time, *hostile);
				}
				Ok(())
			}
		}
	}
}

/// The frames of an attack, of households, or of both.
fn mix(attack: Option<&Attack>, households: Option<Households>) -> Result<Mix> {
	let mut mix = Mix::default();
	let lead = if households.is_some() { LEAD * SECOND } else { 0 };
	if let Some(attack) = attack {
		let home = attack.home;
		let frames = Generator::new(attack.plan.clone(), ATTACK_SEED)?;
		let frames = frames.filter(move |(_, frame)| touches(home, frame));
		mix.add(frames.map(move |(at, frame)| (at.saturating_add(lead), frame)), true);
	}
	if let Some(Households { count, rate, seconds, seed }) = households {
		let end = seconds.saturating_mul(SECOND);
		let [a, b, c, first] = VICTIM.octets();
		for number in 0..count.min(PLACES) {
			// None comes twice: there are fewer than addresses.
			let household = Ipv4Addr::new(a, b, c, first.wrapping_add(number));
			let plan = Plan { rate, packets: MAX_PACKETS, ..Plan::new(Kind::Innocent, household) };
			let frames = Generator::new(plan, seed.saturating_add(number.into()))?;
			mix.add(frames.take_while(move |(at, _)| *at < end), false);
		}
	}
	Ok(mix)
}

/// Whether a frame that was made enters or leaves `home`.
fn touches(home: Network, frame: &[u8]) -> bool {
	let ends = [craft::source(frame), craft::destination(frame)];
	ends.into_iter().flatten().any(|end| home.contains(&Network::host(end.into())))
}
