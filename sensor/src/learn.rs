//! Learns the narrowest flow signature that covers an attack, from headers of its packets and of those that came before.

use crate::{
	finding::{Fit, Sample},
	packet::protocol,
	sketch::Secret,
};
use ringfence_primitives::{
	Action, Address, FlowSignature, IcmpMatch, LengthRange, Millis, Network, PacketRate, PortRange, TcpFlags,
};
use std::collections::BTreeMap;

/// Milliseconds that one page of the background covers.
const EPOCH: Millis = 5_000;
/// Pages that are kept: a minute.
const EPOCHS: usize = 12;
/// Headers that a page holds.
const PAGE: usize = 512;

/// A fair sample of what came to the home in the last minute, in pages of five seconds.
pub struct Background {
	pages: Vec<Page>,
	random: u64,
}

#[derive(Default)]
struct Page {
	/// When it was begun; 0: it is empty.
	begun: Millis,
	/// Packets of its time.
	seen: u64,
	samples: Vec<Sample>,
}

impl Background {
	/// Nothing was seen yet.
	pub fn new(secret: &Secret) -> Self {
		let page = || Page { samples: Vec::with_capacity(PAGE), ..Page::default() };
		// Xorshift must not begin with 0.
		Self { pages: (0..EPOCHS).map(|_| page()).collect(), random: secret.hash("background") | 1 }
	}

	/// Takes in a packet; `sample` is only asked for where it is kept.
	pub fn see(&mut self, sample: impl FnOnce() -> Sample, now: Millis) {
		let epoch = now / EPOCH;
		// A remainder is below the number of pages.
		let index = usize::try_from(epoch % EPOCHS as u64).unwrap_or_default();
		let Some(page) = self.pages.get_mut(index) else { return };
		if page.begun != epoch * EPOCH {
			page.begun = epoch * EPOCH;
			page.seen = 0;
			page.samples.clear();
		}
		page.seen += 1;
		if page.samples.len() < PAGE {
			return page.samples.push(sample());
		}
		self.random ^= self.random << 13;
		self.random ^= self.random >> 7;
		self.random ^= self.random << 17;
		// Each packet of the page has the same chance to be in it.
		let place = usize::try_from(self.random % page.seen).unwrap_or(PAGE);
		if let Some(kept) = page.samples.get_mut(place) {
			*kept = sample();
		}
	}

	/// The headers of packets that came before `time`, at most a minute before `now`.
	pub fn before(&self, time: Millis, now: Millis) -> impl Iterator<Item = &Sample> {
		let oldest = now.saturating_sub(EPOCH * EPOCHS as u64);
		self.pages.iter().flat_map(|page| &page.samples).filter(move |sample| sample.at >= oldest && sample.at < time)
	}
}

/// A signature, and how well it fits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Learned {
	/// What covers the attack.
	pub signature: FlowSignature,
	/// How well, measured on packets that it was not learned from.
	pub fit: Fit,
	/// What can be done about it: a drop where it is known to hit nothing innocent, else a limit.
	pub action: Action,
}

/// The least coverage of a signature, in parts of a thousand.
const COVERAGE: usize = 990;
/// What a single field must hold for to come into question, in parts of a thousand.
const AGREEMENT: usize = 997;
/// Innocent packets without which nobody can say that none is hit.
const ENOUGH: u32 = 32;
/// Packets a second that a rate limit lets through at the least.
const LEAST_RATE: u32 = 100;
/// The widest range of ports that says something: a quarter of them.
const WIDEST_PORTS: u16 = 16_384;
/// The widest source prefixes that are named: wider ones say where forged addresses were drawn from, if anything.
const WIDEST_SOURCE: (u8, u8) = (24, 48);
/// FIN, SYN, RST, PSH, ACK, URG: those that [`FlowSignature`]s of floods are about.
const FLAGS: u8 = 0x3f;

/// One field of a signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
	Source(Network),
	SourcePorts(PortRange),
	DestinationPorts(PortRange),
	TcpFlags(TcpFlags),
	Icmp(IcmpMatch),
	Length(LengthRange),
}

impl Field {
	fn put(self, signature: &mut FlowSignature) {
		match self {
			Self::Source(network) => signature.source = Some(network),
			Self::SourcePorts(ports) => signature.source_ports = Some(ports),
			Self::DestinationPorts(ports) => signature.destination_ports = Some(ports),
			Self::TcpFlags(flags) => signature.tcp_flags = Some(flags),
			Self::Icmp(icmp) => signature.icmp = Some(icmp),
			Self::Length(length) => signature.packet_length = Some(length),
		}
	}
}

/// The narrowest signature that covers at least 99 % of `attack`, headers of packets to `victim`. `innocent` are headers of
/// packets from before it. `usual` is how many packets a second the victim gets in quiet times, which a rate limit leaves it.
/// None where there is nothing to learn from, or no protocol that all of the attack has.
///
/// Half of the attack is learned from, and the other half says how well it went. The hop limit is no part of the signature
/// though all packets of a flood may share it: at another gateway, the same packets have another one.
pub fn learn<'a>(
	victim: Network,
	attack: &[Sample],
	innocent: impl Iterator<Item = &'a Sample>,
	usual: u32,
) -> Option<Learned> {
	let learned: Vec<&Sample> = attack.iter().step_by(2).collect();
	let held_out: Vec<&Sample> =
		if attack.len() < 2 { learned.clone() } else { attack.iter().skip(1).step_by(2).collect() };
	let protocol = u8::try_from(agreed(learned.iter().map(|sample| Some(sample.protocol.into())))?).ok()?;
	let build = |fields: &[Field]| {
		let mut signature =
			FlowSignature { protocol: Some(protocol), destination: Some(victim), ..FlowSignature::default() };
		fields.iter().for_each(|field| field.put(&mut signature));
		signature
	};
	let covered = |signature: &FlowSignature| held_out.iter().filter(|sample| matches(signature, sample)).count();
	let enough = |covered: usize| covered * 1_000 >= held_out.len() * COVERAGE;

	let mut fields = candidates(&learned, protocol, victim);
	// Each field holds for nearly all; where together they miss too many, the one goes that costs most.
	while !enough(covered(&build(&fields))) && !fields.is_empty() {
		let without = |index: &usize| {
			let rest: Vec<Field> =
				fields.iter().enumerate().filter(|(at, _)| at != index).map(|(_, field)| *field).collect();
			covered(&build(&rest))
		};
		let costly = (0..fields.len()).max_by_key(without)?;
		fields.remove(costly);
	}
	let signature = build(&fields).check().ok()?;
	let covered = covered(&signature);
	if !enough(covered) {
		return None;
	}
	let (mut innocents, mut hit) = (0_u32, 0_u32);
	for sample in innocent {
		innocents = innocents.saturating_add(1);
		hit = hit.saturating_add(u32::from(matches(&signature, sample)));
	}
	let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
	let hop_limit = agreed(attack.iter().map(|sample| Some(sample.hop_limit.into())));
	let fit = Fit {
		attack: count(held_out.len()),
		covered: count(covered),
		innocent: innocents,
		hit,
		hop_limit: hop_limit.and_then(|limit| u8::try_from(limit).ok()),
	};
	// A whole protocol to somebody is never dropped: that would finish what the attacker began.
	let safe = hit == 0 && innocents >= ENOUGH && !fields.is_empty();
	let rate = PacketRate::new(usual.saturating_mul(2).max(LEAST_RATE)).unwrap_or(PacketRate::MAX);
	Some(Learned { signature, fit, action: if safe { Action::Drop } else { Action::RateLimit(rate) } })
}

/// Whether a packet with this header is one of those that `signature` means.
pub fn matches(signature: &FlowSignature, sample: &Sample) -> bool {
	let within =
		|network: &Option<Network>, address| network.is_none_or(|network| network.contains(&Network::host(address)));
	// What a packet does not have never matches.
	let port = |range: &Option<PortRange>, port: Option<u16>| {
		range.is_none_or(|range| port.is_some_and(|port| (range.first()..=range.last()).contains(&port)))
	};
	signature.protocol.is_none_or(|protocol| protocol == sample.protocol)
		&& within(&signature.source, sample.source)
		&& within(&signature.destination, sample.destination)
		&& port(&signature.source_ports, sample.source_port)
		&& port(&signature.destination_ports, sample.destination_port)
		&& signature
			.tcp_flags
			.is_none_or(|flags| sample.tcp_flags.is_some_and(|seen| seen & flags.mask() == flags.value()))
		&& signature.icmp.is_none_or(|icmp| {
			sample.icmp.is_some_and(|(kind, code)| kind == icmp.kind && icmp.code.is_none_or(|wanted| wanted == code))
		}) && signature.packet_length.is_none_or(|range| (range.first()..=range.last()).contains(&sample.length))
}

/// Every field that nearly all of the packets agree on.
fn candidates(samples: &[&Sample], protocol: u8, victim: Network) -> Vec<Field> {
	let ports = |of: fn(&Sample) -> Option<u16>| {
		let (first, last) = range(samples.iter().map(|sample| of(sample)))?;
		PortRange::new(first, last).filter(|_| last - first < WIDEST_PORTS)
	};
	let length = range(samples.iter().map(|sample| Some(sample.length)));
	let icmp = |of: fn((u8, u8)) -> u8| {
		let values = samples.iter().map(|sample| sample.icmp.map(|icmp| of(icmp).into()));
		agreed(values).and_then(|value| u8::try_from(value).ok())
	};
	[
		ports(|sample| sample.destination_port).map(Field::DestinationPorts),
		ports(|sample| sample.source_port).map(Field::SourcePorts),
		flags(samples).filter(|_| protocol == protocol::TCP).map(Field::TcpFlags),
		icmp(|(kind, _)| kind).map(|kind| Field::Icmp(IcmpMatch { kind, code: icmp(|(_, code)| code) })),
		length.and_then(|(first, last)| LengthRange::new(first, last)).map(Field::Length),
		source(samples, victim).map(Field::Source),
	]
	.into_iter()
	.flatten()
	.collect()
}

/// Whether a part of the samples is nearly all of them.
fn nearly_all(part: usize, whole: usize) -> bool {
	whole > 0 && part * 1_000 >= whole * AGREEMENT
}

/// The value that nearly all have.
fn agreed(values: impl Iterator<Item = Option<u16>>) -> Option<u16> {
	let mut counts = BTreeMap::<u16, usize>::new();
	let mut all = 0;
	for value in values {
		all += 1;
		if let Some(value) = value {
			*counts.entry(value).or_default() += 1;
		}
	}
	let (value, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
	nearly_all(count, all).then_some(value)
}

/// From where to where nearly all values lie: a single value where they agree, else a little wider than they were seen, since
/// the outermost were hardly seen.
fn range(values: impl Iterator<Item = Option<u16>>) -> Option<(u16, u16)> {
	let (mut there, mut all) = (Vec::new(), 0);
	for value in values {
		all += 1;
		there.extend(value);
	}
	if !nearly_all(there.len(), all) {
		return None;
	}
	there.sort_unstable();
	if let Some(value) = agreed(there.iter().map(|value| Some(*value))) {
		return Some((value, value));
	}
	let (first, last) = (*there.first()?, *there.last()?);
	let slack = (last - first) / 64 + 1;
	Some((first.saturating_sub(slack), last.saturating_add(slack)))
}

/// The TCP flags that nearly all packets have, and those that nearly none has.
fn flags(samples: &[&Sample]) -> Option<TcpFlags> {
	let (mut mask, mut value) = (0, 0);
	for bit in (0..8).map(|shift| 1_u8 << shift).filter(|bit| FLAGS & bit != 0) {
		let set = samples.iter().filter(|sample| sample.tcp_flags.is_some_and(|flags| flags & bit != 0)).count();
		let clear = samples.iter().filter(|sample| sample.tcp_flags.is_some_and(|flags| flags & bit == 0)).count();
		if nearly_all(set, samples.len()) {
			(mask, value) = (mask | bit, value | bit);
		} else if nearly_all(clear, samples.len()) {
			mask |= bit;
		}
	}
	TcpFlags::new(mask, value)
}

/// The longest prefix that nearly all sources share.
fn source(samples: &[&Sample], victim: Network) -> Option<Network> {
	let bits = victim.address().bits();
	let widest = if bits == 32 { WIDEST_SOURCE.0 } else { WIDEST_SOURCE.1 };
	let mut sources: Vec<Address> =
		samples.iter().map(|sample| sample.source).filter(|source| source.bits() == bits).collect();
	sources.sort_unstable();
	// Sorted, the one in the middle is within any network that holds nearly all.
	let middle = *sources.get(sources.len() / 2)?;
	(widest..=bits).rev().find_map(|prefix| {
		let network = Network::new(middle.masked(prefix), prefix).ok()?;
		let inside = sources.iter().filter(|source| network.contains(&Network::host(**source))).count();
		nearly_all(inside, samples.len()).then_some(network)
	})
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::net::Ipv4Addr;

	const VICTIM: &str = "203.0.113.9";

	fn victim() -> Network {
		VICTIM.parse().unwrap()
	}

	/// Something that looks random and is the same each time.
	fn noise(number: u32) -> u32 {
		let mixed = number.wrapping_add(0x9e37_79b9).wrapping_mul(0x85eb_ca6b);
		(mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35).rotate_left(15)
	}

	fn tcp(number: u32, flags: u8, destination_port: u16, length: u16) -> Sample {
		Sample {
			at: 60_000 + Millis::from(number),
			source: Ipv4Addr::from(noise(number)).into(),
			destination: VICTIM.parse().unwrap(),
			protocol: 6,
			hop_limit: 51,
			length,
			fragment: false,
			source_port: Some((noise(number.wrapping_mul(7)) % 60_000) as u16 + 1_024),
			destination_port: Some(destination_port),
			tcp_flags: Some(flags),
			icmp: None,
		}
	}

	fn web(count: u32) -> Vec<Sample> {
		(0..count)
			.map(|number| tcp(number, if number % 10 == 0 { 0x02 } else { 0x10 }, 443, 60 + (number % 1_400) as u16))
			.collect()
	}

	#[test]
	fn a_spoofed_flood_is_told_by_what_its_packets_look_like() {
		let attack: Vec<_> = (0..1_000).map(|number| tcp(number, 0x02, 80, 40)).collect();
		let before = web(500);
		let learned = learn(victim(), &attack, before.iter(), 50).unwrap();
		let expected = FlowSignature {
			protocol: Some(6),
			destination: Some(victim()),
			destination_ports: PortRange::new(80, 80),
			tcp_flags: TcpFlags::new(0x3f, 0x02),
			packet_length: LengthRange::new(40, 40),
			..FlowSignature::default()
		};
		assert_eq!(learned.signature, expected);
		assert_eq!((learned.fit.attack, learned.fit.covered, learned.fit.hit), (500, 500, 0));
		assert_eq!((learned.fit.coverage_permille(), learned.fit.collateral_permille()), (1_000, 0));
		assert_eq!((learned.fit.hop_limit, learned.action), (Some(51), Action::Drop));
	}

	#[test]
	fn what_would_hit_the_innocent_is_limited_and_not_dropped() {
		let attack: Vec<_> =
			(0..1_000).map(|number| tcp(number, 0x10, 443, 60 + (noise(number) % 1_400) as u16)).collect();
		let before = web(500);
		let learned = learn(victim(), &attack, before.iter(), 400).unwrap();
		assert!(learned.fit.hit > 400 && learned.fit.collateral_permille() > 800);
		assert_eq!(learned.action, Action::RateLimit(PacketRate::new(800).unwrap()));
	}

	#[test]
	fn without_a_past_nobody_knows_what_is_innocent() {
		let attack: Vec<_> = (0..1_000).map(|number| tcp(number, 0x02, 80, 40)).collect();
		let learned = learn(victim(), &attack, [].iter(), 0).unwrap();
		assert_eq!(learned.action, Action::RateLimit(PacketRate::new(100).unwrap()));
	}

	#[test]
	fn noise_in_the_samples_does_not_widen_the_signature() {
		let mut attack: Vec<_> = (0..1_000).map(|number| tcp(number, 0x02, 80, 40)).collect();
		attack[500] = tcp(1, 0x10, 8_080, 1_400);
		let learned = learn(victim(), &attack, web(100).iter(), 0).unwrap();
		assert_eq!(learned.signature.destination_ports, PortRange::new(80, 80));
		assert!(learned.fit.coverage_permille() >= 990);
	}

	#[test]
	fn sizes_and_ports_become_ranges_and_common_sources_a_prefix() {
		let attack: Vec<_> = (0..1_000)
			.map(|number| Sample {
				source: Ipv4Addr::from(0xc633_6400 | (noise(number) % 256)).into(),
				protocol: 17,
				source_port: Some(1_024 + (noise(number) % 1_000) as u16),
				tcp_flags: None,
				..tcp(number, 0, (noise(number * 3) % 65_000) as u16 + 1, 500 + (noise(number * 5) % 100) as u16)
			})
			.collect();
		let learned = learn(victim(), &attack, [].iter(), 0).unwrap();
		let signature = learned.signature;
		assert_eq!(signature.source.map(|source| source.to_string()), Some("198.51.100.0/24".into()));
		assert_eq!(signature.destination_ports, None, "any port");
		let ports = signature.source_ports.unwrap();
		assert!(
			ports.first() <= 1_024 && ports.first() > 900 && ports.last() >= 2_023 && ports.last() < 2_100,
			"{ports}"
		);
		let length = signature.packet_length.unwrap();
		assert!(length.first() <= 500 && length.last() >= 599, "{length}");
		assert!(learned.fit.coverage_permille() >= 990);
	}

	#[test]
	fn icmp_has_a_type_and_fragments_have_no_ports() {
		let echo = |number| Sample {
			protocol: 1,
			source_port: None,
			destination_port: None,
			tcp_flags: None,
			icmp: Some((8, 0)),
			..tcp(number, 0, 0, 1_028)
		};
		let attack: Vec<_> = (0..600).map(echo).collect();
		let signature = learn(victim(), &attack, [].iter(), 0).unwrap().signature;
		assert_eq!(signature.icmp, Some(IcmpMatch { kind: 8, code: Some(0) }));
		let fragments: Vec<_> =
			attack.iter().map(|sample| Sample { protocol: 17, icmp: None, fragment: true, ..*sample }).collect();
		let signature = learn(victim(), &fragments, [].iter(), 0).unwrap().signature;
		assert_eq!((signature.source_ports, signature.destination_ports), (None, None));
	}

	#[test]
	fn there_is_nothing_in_what_does_not_agree() {
		let mixed: Vec<_> =
			(0..100).map(|number| Sample { protocol: number as u8 % 50, ..tcp(number, 2, 80, 40) }).collect();
		assert_eq!(learn(victim(), &mixed, [].iter(), 0), None);
		assert_eq!(learn(victim(), &[], [].iter(), 0), None);
		let elsewhere = "192.0.2.1".parse().unwrap();
		let attack: Vec<_> = (0..100).map(|number| tcp(number, 2, 80, 40)).collect();
		assert_eq!(learn(elsewhere, &attack, [].iter(), 0), None);
	}

	#[test]
	fn the_background_is_a_fair_sample_of_the_last_minute() {
		let mut background = Background::new(&Secret::new(5));
		for number in 0..200_000_u32 {
			let at = 1_000_000 + Millis::from(number) / 2;
			background.see(|| Sample { at, ..tcp(number, 2, 80, 40) }, at);
		}
		let now = 1_099_999;
		let kept = background.before(now - 10_000, now).count();
		assert!((4_000..=12 * PAGE).contains(&kept), "{kept}");
		assert!(background.before(u64::MAX, now).all(|sample| sample.at + 60_000 >= now));
		assert_eq!(background.before(1_000, now).count(), 0);
	}
}
