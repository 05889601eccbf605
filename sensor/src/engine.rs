//! Hands each packet to every detector, with what is known about it: which side of the home it is on, and whether its sender
//! is who it says.

use crate::{
	detect::{knock::Doors, Detector, Seen, SettingError, Side, Values, ALL},
	dialogue::Dialogues,
	finding::{Finding, Sample},
	handshake::Handshakes,
	learn::Background,
	packet::{Link, Malformed, Packet},
	sketch::Secret,
};
use ringfence_primitives::{Address, Millis, Network};
use std::collections::BTreeMap;

/// How often detectors are asked, in milliseconds.
pub const TICK: Millis = 100;
/// Nanoseconds, in which frames are timed, in a millisecond.
pub const NANOS_PER_MILLI: u64 = 1_000_000;
/// Milliseconds by which packets may be late; a time that is earlier than that is that of a clock that was set back.
const LATE: Millis = 60_000;

/// How one detector is set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DetectorSettings {
	/// Whether it looks at all.
	pub enabled: bool,
	/// Its numbers, by name.
	pub values: BTreeMap<String, u64>,
}

impl Default for DetectorSettings {
	fn default() -> Self {
		Self { enabled: true, values: BTreeMap::new() }
	}
}

/// How a sensor is set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
	/// The networks that are defended.
	pub home: Vec<Network>,
	/// Detectors that are not set as they are by themselves, by name.
	pub detectors: BTreeMap<String, DetectorSettings>,
}

impl Settings {
	/// Refuses what names no detector, and numbers out of bounds.
	pub fn check(&self) -> Result<(), SettingError> {
		for (name, settings) in &self.detectors {
			let Some((about, _)) = ALL.iter().find(|(about, _)| about.name == name) else {
				return Err(SettingError::Detector(name.clone()));
			};
			Values::new(about, &settings.values)?;
		}
		Ok(())
	}
}

/// What was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
	/// Frames.
	pub frames: u64,
	/// Those that are no IP.
	pub not_ip: u64,
	/// Those that made no sense.
	pub malformed: u64,
	/// Packets to the home.
	pub inbound: u64,
	/// Packets from it.
	pub outbound: u64,
	/// Findings.
	pub findings: u64,
}

/// The networks that are defended, as bits and masks: every packet is held against them twice.
struct Home {
	v4: Vec<(u32, u32)>,
	v6: Vec<(u128, u128)>,
}

impl Home {
	fn new(networks: &[Network]) -> Self {
		let mut home = Self { v4: Vec::new(), v6: Vec::new() };
		for network in networks {
			let prefix = u32::from(network.prefix());
			// A prefix is no longer than its address; one of no bits has no mask.
			match network.address() {
				Address::V4(octets) => {
					let mask = u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0);
					home.v4.push((u32::from_be_bytes(octets) & mask, mask));
				}
				Address::V6(octets) => {
					let mask = u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0);
					home.v6.push((u128::from_be_bytes(octets) & mask, mask));
				}
			}
		}
		home
	}

	fn holds(&self, address: Address) -> bool {
		match address {
			Address::V4(octets) => {
				let bits = u32::from_be_bytes(octets);
				self.v4.iter().any(|(network, mask)| bits & mask == *network)
			}
			Address::V6(octets) => {
				let bits = u128::from_be_bytes(octets);
				self.v6.iter().any(|(network, mask)| bits & mask == *network)
			}
		}
	}
}

/// One sensor. Its memory is taken at the start.
pub struct Engine {
	home: Home,
	secret: Secret,
	known_bad: Box<dyn Fn(Address) -> bool + Send>,
	handshakes: Handshakes,
	doors: Doors,
	dialogues: Dialogues,
	background: Background,
	detectors: Vec<Box<dyn Detector>>,
	counts: Counts,
	/// The present time, which never goes back.
	now: Millis,
	/// Milliseconds by which that is ahead of the clock, since it was set back.
	ahead: Millis,
	ticked: Millis,
}

impl Engine {
	/// A sensor that hashes with `key`, which nobody outside may know, and asks `known_bad` of single addresses.
	pub fn new(
		settings: &Settings,
		key: u64,
		known_bad: impl Fn(Address) -> bool + Send + 'static,
	) -> Result<Self, SettingError> {
		settings.check()?;
		let secret = Secret::new(key);
		let mut detectors = Vec::new();
		for (about, make) in ALL {
			let default = DetectorSettings::default();
			let settings = settings.detectors.get(about.name).unwrap_or(&default);
			if settings.enabled {
				detectors.push(make(&Values::new(about, &settings.values)?, &secret));
			}
		}
		Ok(Self {
			home: Home::new(&settings.home),
			background: Background::new(&secret),
			doors: Doors::new(&secret),
			secret,
			known_bad: Box::new(known_bad),
			handshakes: Handshakes::new(),
			dialogues: Dialogues::new(),
			detectors,
			counts: Counts::default(),
			now: 0,
			ahead: 0,
			ticked: 0,
		})
	}

	/// Takes in a frame that was seen at `time`, in nanoseconds since 1970, and stands for `weight` of them. What was found
	/// comes out of it about every [`TICK`].
	pub fn frame(
		&mut self,
		link: Link,
		frame: &[u8],
		time: u64,
		weight: u32,
		findings: &mut Vec<Finding>,
	) -> Result<(), Malformed> {
		self.tick(time / NANOS_PER_MILLI, findings);
		self.counts.frames += 1;
		let packet = Packet::parse(link, frame).inspect_err(|cause| match cause {
			Malformed::NotIp => self.counts.not_ip += 1,
			_ => self.counts.malformed += 1,
		})?;
		self.packet(&packet, weight);
		Ok(())
	}

	/// Takes in a packet at the present time.
	fn packet(&mut self, packet: &Packet<'_>, weight: u32) {
		let now = self.now;
		let side = match (self.home.holds(packet.source), self.home.holds(packet.destination)) {
			(false, true) => Side::Inbound,
			(true, false) => Side::Outbound,
			(true, true) => Side::Within,
			(false, false) => Side::Past,
		};
		let (mut proven, mut solicited, mut answers) = (false, false, false);
		match side {
			Side::Inbound => {
				self.counts.inbound += 1;
				proven = self.handshakes.incoming(&self.secret, packet, now);
				solicited = proven || (packet.tcp().is_none() && self.dialogues.incoming(&self.secret, packet, now));
				self.background.see(|| Sample::of(packet, now), now);
			}
			Side::Outbound => {
				self.counts.outbound += 1;
				match packet.tcp() {
					Some(_) => self.handshakes.outgoing(&self.secret, packet),
					None => answers = self.dialogues.outgoing(&self.secret, packet, now),
				}
			}
			Side::Within | Side::Past => {}
		}
		let mut seen = Seen {
			packet,
			now,
			side,
			proven,
			solicited,
			answers,
			weight: weight.max(1),
			step: None,
			source: self.secret.hash(packet.source),
			destination: self.secret.hash(packet.destination),
			known_bad: &self.known_bad,
		};
		seen.step = self.doors.see(&seen);
		for detector in &mut self.detectors {
			detector.see(&seen);
		}
	}

	/// Lets time pass, also where no packets come. `now` is Unix time in milliseconds. A little late it changes nothing; where
	/// it goes back by more than a minute, time goes on from where it was, so that a clock that somebody set far ahead for a
	/// moment does not blind the sensor for as long.
	pub fn tick(&mut self, now: Millis, findings: &mut Vec<Finding>) {
		let behind = self.now.saturating_sub(now.saturating_add(self.ahead));
		if behind > LATE {
			self.ahead = self.ahead.saturating_add(behind);
		}
		self.now = self.now.max(now.saturating_add(self.ahead));
		if self.now.saturating_sub(self.ticked) < TICK {
			return;
		}
		self.ticked = self.now;
		let before = findings.len();
		for detector in &mut self.detectors {
			detector.tick(self.now, &self.background, findings);
		}
		for finding in findings.iter_mut().skip(before) {
			// In the clock's time.
			let times = [&mut finding.first_seen, &mut finding.last_seen];
			let samples = finding.samples.iter_mut().map(|sample| &mut sample.at);
			times.into_iter().chain(samples).for_each(|time| *time = time.saturating_sub(self.ahead));
		}
		let found = findings.len().saturating_sub(before);
		self.counts.findings = self.counts.findings.saturating_add(found as u64);
	}

	/// What was looked at so far.
	pub fn counts(&self) -> Counts {
		self.counts
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	proptest! {
		#[test]
		fn the_home_is_what_its_networks_hold(address: u32, wide: u128, prefix in 0_u8..=32, six in 0_u8..=128, other: u32, wider: u128) {
			let (v4, v6) = (Address::V4(address.to_be_bytes()), Address::V6((wide | 1 << 127).to_be_bytes()));
			let networks = [
				Network::new(v4.masked(prefix), prefix).unwrap(),
				Network::new(v6.masked(six), six).unwrap(),
			];
			let home = Home::new(&networks);
			for address in [v4, v6, Address::V4(other.to_be_bytes()), Address::V6((wider | 1 << 127).to_be_bytes())] {
				let expected = networks.iter().any(|network| network.contains(&Network::host(address)));
				prop_assert_eq!(home.holds(address), expected);
			}
		}
	}
}
