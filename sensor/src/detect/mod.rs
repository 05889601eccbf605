//! The detectors, one file each: what it looks for, what false positives look like, how it is set.
//!
//! A detector is pure: packets and time in, findings out. All of its memory is taken when it is made.

mod ack_flood;
mod amplification;
mod beacon;
mod brute_force;
mod dns_flood;
mod flood;
mod fragments;
mod gre_ethernet_flood;
mod gre_ip_flood;
mod horizontal_scan;
mod http_flood;
mod icmp_flood;
pub(crate) mod knock;
mod mirai;
mod outbound_flood;
mod scan;
mod stomp_flood;
mod syn_flood;
mod trail;
#[cfg(test)]
mod trial;
mod udp_flood;
mod vertical_scan;
mod vse_flood;

use crate::{finding::Finding, learn::Background, packet::Packet, sketch::Secret};
pub use knock::{Kind, Step, What};
use ringfence_primitives::{Address, Millis};
use std::collections::BTreeMap;

/// What there is to know about a detector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct About {
	/// Its name, in configuration, findings and tables.
	pub name: &'static str,
	/// What it looks for, in a sentence.
	pub description: &'static str,
	/// What innocent traffic could look like it.
	pub false_positives: &'static str,
	/// Grows with each change of what it finds.
	pub version: u16,
	/// What can be set.
	pub settings: &'static [Setting],
}

/// A number of a detector that can be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
	/// Its key.
	pub name: &'static str,
	/// What it is unless somebody sets it.
	pub default: u64,
	/// The least that makes sense.
	pub least: u64,
	/// The most that makes sense.
	pub most: u64,
	/// What it means, with its unit.
	pub meaning: &'static str,
}

/// Why settings are refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SettingError {
	/// No detector of this name.
	#[error("there is no detector {0:?}")]
	Detector(String),
	/// The detector has no such number.
	#[error("{detector} has no setting {name:?}")]
	Name {
		/// The detector.
		detector: &'static str,
		/// What was set.
		name: String,
	},
	/// Out of bounds.
	#[error("{detector}: {name} is {least} to {most}")]
	Bounds {
		/// The detector.
		detector: &'static str,
		/// What was set.
		name: &'static str,
		/// The least that makes sense.
		least: u64,
		/// The most that makes sense.
		most: u64,
	},
}

/// The numbers of one detector.
#[derive(Clone, Debug)]
pub struct Values<'a> {
	about: &'static About,
	given: &'a BTreeMap<String, u64>,
}

impl<'a> Values<'a> {
	/// The defaults with what is `given` in their place, if it is in its bounds.
	pub fn new(about: &'static About, given: &'a BTreeMap<String, u64>) -> Result<Self, SettingError> {
		let detector = about.name;
		for (name, value) in given {
			let Some(setting) = about.settings.iter().find(|setting| setting.name == name) else {
				return Err(SettingError::Name { detector, name: name.clone() });
			};
			let Setting { name, least, most, .. } = *setting;
			if !(least..=most).contains(value) {
				return Err(SettingError::Bounds { detector, name, least, most });
			}
		}
		Ok(Self { about, given })
	}

	/// The number called `name`; 0 for one that the detector does not declare, which its tests would show.
	pub fn get(&self, name: &str) -> u64 {
		let default = || self.about.settings.iter().find(|setting| setting.name == name).map(|setting| setting.default);
		self.given.get(name).copied().or_else(default).unwrap_or_default()
	}
}

/// Which way a packet goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
	/// From outside to the home.
	Inbound,
	/// From the home to the outside.
	Outbound,
	/// Within the home.
	Within,
	/// Past it: neither side is home.
	Past,
}

/// One packet, and what is known about it.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
	/// Its headers.
	pub packet: &'a Packet<'a>,
	/// When, Unix time in milliseconds. Never goes back.
	pub now: Millis,
	/// Which way it goes.
	pub side: Side,
	/// Whether its source is proven by a TCP handshake. Only of inbound packets.
	pub proven: bool,
	/// Whether the home asked for it: it spoke to this peer and port first. Always of proven ones; never of what is not inbound.
	pub solicited: bool,
	/// Whether the home answers a peer that spoke first. Only of outbound packets that are not TCP's.
	pub answers: bool,
	/// Packets that it stands for: more than one under sampling.
	pub weight: u32,
	/// What it means to the door that it comes to, or comes from. None: nothing.
	pub step: Option<Step>,
	/// The hash of its source address.
	pub source: u64,
	/// The hash of its destination address.
	pub destination: u64,
	/// Whether an address is known to be bad.
	pub known_bad: &'a dyn Fn(Address) -> bool,
}

/// Looks for one thing.
pub trait Detector: Send {
	/// What there is to know about it.
	fn about(&self) -> &'static About;

	/// Takes in one packet. Called for each: what a detector does not care about it leaves within nanoseconds.
	fn see(&mut self, seen: &Seen<'_>);

	/// Says what it found. Called every 100 ms. `background` is what was seen before.
	fn tick(&mut self, now: Millis, background: &Background, findings: &mut Vec<Finding>);
}

/// How a detector is made: its numbers, and the key to hash with.
pub type Make = fn(&Values<'_>, &Secret) -> Box<dyn Detector>;

/// Every detector.
pub const ALL: &[(&About, Make)] = &[
	(&ack_flood::ABOUT, ack_flood::make),
	(&amplification::ABOUT, amplification::make),
	(&beacon::ABOUT, beacon::make),
	(&brute_force::ABOUT, brute_force::make),
	(&dns_flood::ABOUT, dns_flood::make),
	(&fragments::ABOUT, fragments::make),
	(&gre_ethernet_flood::ABOUT, gre_ethernet_flood::make),
	(&gre_ip_flood::ABOUT, gre_ip_flood::make),
	(&horizontal_scan::ABOUT, horizontal_scan::make),
	(&http_flood::ABOUT, http_flood::make),
	(&icmp_flood::ABOUT, icmp_flood::make),
	(&mirai::ABOUT, mirai::make),
	(&outbound_flood::ABOUT, outbound_flood::make),
	(&stomp_flood::ABOUT, stomp_flood::make),
	(&syn_flood::ABOUT, syn_flood::make),
	(&udp_flood::ABOUT, udp_flood::make),
	(&vertical_scan::ABOUT, vertical_scan::make),
	(&vse_flood::ABOUT, vse_flood::make),
];
