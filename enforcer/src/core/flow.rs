//! Which flow signatures are in force, which wait, and what a packet must look like to match one.
//!
//! An address costs a packet the same look-up however many are blocked. A flow signature is a rule that every packet is
//! held against, so their number is bounded: the [`IN_FORCE`] most severe are in the firewall, the rest waits for one
//! of them to end.
//!
//! A flow's *peer* is its source; where it names none, its destination. As everywhere, packets of an exempt peer pass.
//! The direction of the decision adds nothing: a signature says itself where its packets come from and go to.
//!
//! One without a source asks for the defence of its destination. Where that is this gateway's own, it is exempt like all that
//! is own, and is not the peer: its packets are looked at by their source, so that those of exempt senders pass and
//! the rest of the flood does not.
//!
//! # Security considerations
//!
//! Signatures are what the chain decided. A table holds [`IN_FORCE`] and [`WAITING`] of them and no more, so a flood of
//! decisions can push out only milder ones.

use super::ruleset::{Action, Network, Side};
pub use ringfence_primitives::{FlowSignature, IcmpMatch, LengthRange, PortRange, Severity, TcpFlags};
use std::{cmp::Reverse, collections::BTreeMap};

/// Flows in force at once. At about 10 ns for each that a packet does not match, all of them stay near a microsecond.
pub const IN_FORCE: usize = 128;
/// Flows that wait.
pub const WAITING: usize = 896;

/// What is to be done about a class of packets, and until when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
	/// The packets.
	pub signature: FlowSignature,
	/// What to do with them.
	pub action: Action,
	/// What goes first where there is not room for all.
	pub severity: Severity,
	/// Whether it names no source and defends what is this gateway's own.
	pub home: bool,
	/// When it ends, in milliseconds on a clock of the caller's that never goes back.
	pub ends_ms: u64,
}

impl Flow {
	/// By which address of a packet an exempt peer is known: of what defends the own network, by the source.
	pub fn side(&self) -> Side {
		match peer(&self.signature) {
			Some((Side::To, _)) if !self.home => Side::To,
			_ => Side::From,
		}
	}
}

/// A place in the firewall, below [`IN_FORCE`]. A flow keeps its place as long as it is in force.
pub type Slot = u8;

/// What a packet must show, besides the flow's peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Match {
	/// This protocol number.
	Protocol(u8),
	/// This destination, beside a source that is the peer.
	Destination(Network),
	/// A source ([`Side::From`]) or destination port in this range.
	Ports(Side, PortRange),
	/// These TCP flags.
	TcpFlags(TcpFlags),
	/// This ICMP or ICMPv6 type.
	Icmp(IcmpMatch),
	/// A length in this range.
	Length(LengthRange),
}

/// The side and network of the peer; none where the signature names nobody, which the chain refuses.
pub fn peer(signature: &FlowSignature) -> Option<(Side, Network)> {
	match (signature.source, signature.destination) {
		(Some(source), _) => Some((Side::From, source)),
		(None, Some(destination)) => Some((Side::To, destination)),
		(None, None) => None,
	}
}

/// What a packet must show besides the peer: the network header first, then the transport's.
pub fn matches(signature: &FlowSignature) -> impl Iterator<Item = Match> {
	let destination = signature.destination.filter(|_| signature.source.is_some());
	[
		signature.protocol.map(Match::Protocol),
		destination.map(Match::Destination),
		signature.source_ports.map(|ports| Match::Ports(Side::From, ports)),
		signature.destination_ports.map(|ports| Match::Ports(Side::To, ports)),
		signature.tcp_flags.map(Match::TcpFlags),
		signature.icmp.map(Match::Icmp),
		signature.packet_length.map(Match::Length),
	]
	.into_iter()
	.flatten()
}

/// Most ports, and most octets of length, between which a range still says something of an attack.
const NARROW: (u16, u16) = (1_024, 512);
/// TCP flags of the packets that a connection consists of: ACK, and PSH with ACK.
const PLAIN: [u8; 2] = [0x10, 0x18];

/// Whether the signature singles some packets out of what a service lives on: it names a protocol, and an ICMP type,
/// TCP flags that a connection's plain packets do not have, or a narrow range of ports or lengths.
pub fn is_specific(signature: &FlowSignature) -> bool {
	let few = |ports: PortRange| ports.last().abs_diff(ports.first()) < NARROW.0;
	let alike = |length: LengthRange| length.last().abs_diff(length.first()) < NARROW.1;
	let odd = |flags: TcpFlags| PLAIN.iter().all(|plain| plain & flags.mask() != flags.value());
	signature.protocol.is_some()
		&& (signature.icmp.is_some()
			|| signature.source_ports.is_some_and(few)
			|| signature.destination_ports.is_some_and(few)
			|| signature.tcp_flags.is_some_and(odd)
			|| signature.packet_length.is_some_and(alike))
}

/// Whether every packet that matches `narrow` matches `wide`.
pub fn covers(wide: &FlowSignature, narrow: &FlowSignature) -> bool {
	fn within<T>(wide: Option<T>, narrow: Option<T>, holds: impl Fn(&T, &T) -> bool) -> bool {
		match (wide, narrow) {
			(None, _) => true,
			(Some(wide), Some(narrow)) => holds(&wide, &narrow),
			(Some(_), None) => false,
		}
	}
	let ports = |w: &PortRange, n: &PortRange| w.first() <= n.first() && n.last() <= w.last();
	within(wide.protocol, narrow.protocol, |w, n| w == n)
		&& within(wide.source, narrow.source, Network::contains)
		&& within(wide.destination, narrow.destination, Network::contains)
		&& within(wide.source_ports, narrow.source_ports, ports)
		&& within(wide.destination_ports, narrow.destination_ports, ports)
		&& within(wide.tcp_flags, narrow.tcp_flags, |w, n| {
			n.mask() & w.mask() == w.mask() && n.value() & w.mask() == w.value()
		}) && within(wide.icmp, narrow.icmp, |w, n| w.kind == n.kind && (w.code.is_none() || w.code == n.code))
		&& within(wide.packet_length, narrow.packet_length, |w, n| w.first() <= n.first() && n.last() <= w.last())
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
	flow: Flow,
	slot: Option<Slot>,
}

impl Entry {
	/// The most severe first, of those the one that lasts longest; the signature makes the order total.
	fn rank(&self) -> (Reverse<Severity>, Reverse<u64>, FlowSignature) {
		(Reverse(self.flow.severity), Reverse(self.flow.ends_ms), self.flow.signature)
	}
}

/// The flows in force and those that wait. A value: the firewall changes a copy, and keeps it once the kernel has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlowTable {
	entries: BTreeMap<FlowSignature, Entry>,
}

/// What differs between two tables, for the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlowDelta {
	/// Places whose flow is gone.
	pub ended: Vec<Slot>,
	/// Places that have a flow which was not there.
	pub begun: Vec<(Slot, Flow)>,
	/// Places whose flow ends at another time.
	pub renewed: Vec<(Slot, Flow)>,
	/// Whether the rules are to be written anew.
	pub rules: bool,
}

impl FlowDelta {
	/// Whether there is nothing to do.
	pub fn is_empty(&self) -> bool {
		*self == Self::default()
	}
}

impl FlowTable {
	/// A table in which `flows` have these places, as read back from the kernel. None where two claim one place, a place
	/// does not exist or a signature names nobody.
	pub fn restore(flows: impl IntoIterator<Item = (Slot, Flow)>) -> Option<Self> {
		let mut table = Self::default();
		let mut taken = [false; IN_FORCE];
		for (slot, flow) in flows {
			peer(&flow.signature)?;
			if std::mem::replace(taken.get_mut(usize::from(slot))?, true) {
				return None;
			}
			if table.entries.insert(flow.signature, Entry { flow, slot: Some(slot) }).is_some() {
				return None;
			}
		}
		Some(table)
	}

	/// Takes a flow up, or what is to be done about it anew. Returns the signature that found no room, if any: this one or
	/// a milder one that waited.
	#[must_use]
	pub fn put(&mut self, flow: Flow) -> Option<FlowSignature> {
		if peer(&flow.signature).is_none() {
			return Some(flow.signature);
		}
		let slot = self.entries.get(&flow.signature).and_then(|entry| entry.slot);
		self.entries.insert(flow.signature, Entry { flow, slot });
		if self.entries.len() <= IN_FORCE + WAITING {
			return None;
		}
		let least = self.entries.values().max_by_key(|entry| entry.rank())?.flow.signature;
		self.entries.remove(&least);
		Some(least)
	}

	/// Forgets a flow. A missing one is no error.
	pub fn remove(&mut self, signature: &FlowSignature) {
		self.entries.remove(signature);
	}

	/// Whether a flow is past its time.
	pub fn is_due(&self, now_ms: u64) -> bool {
		self.entries.values().any(|entry| entry.flow.ends_ms <= now_ms)
	}

	/// Forgets what is past its time.
	pub fn expire(&mut self, now_ms: u64) {
		self.entries.retain(|_, entry| entry.flow.ends_ms > now_ms);
	}

	/// Gives the places to the most severe. To be called after changes and before [`FlowTable::in_force`].
	pub fn settle(&mut self) {
		let mut ranked: Vec<&mut Entry> = self.entries.values_mut().collect();
		ranked.sort_by_cached_key(|entry| entry.rank());
		let room = IN_FORCE.min(ranked.len());
		let (chosen, waiting) = ranked.split_at_mut(room);
		waiting.iter_mut().for_each(|entry| entry.slot = None);
		let mut taken = [false; IN_FORCE];
		for slot in chosen.iter().filter_map(|entry| entry.slot) {
			taken[usize::from(slot)] = true;
		}
		// IN_FORCE fits into a slot.
		let mut free = (0..IN_FORCE as Slot).filter(|slot| !taken[usize::from(*slot)]);
		for entry in chosen.iter_mut().filter(|entry| entry.slot.is_none()) {
			entry.slot = free.next();
		}
	}

	/// The flows in force, the most severe first.
	pub fn in_force(&self) -> Vec<(Slot, Flow)> {
		let mut held: Vec<&Entry> = self.entries.values().filter(|entry| entry.slot.is_some()).collect();
		held.sort_by_cached_key(|entry| entry.rank());
		held.into_iter().filter_map(|entry| Some((entry.slot?, entry.flow))).collect()
	}

	/// Flows in force, and flows that wait.
	pub fn count(&self) -> (usize, usize) {
		let held = self.entries.values().filter(|entry| entry.slot.is_some()).count();
		(held, self.entries.len() - held)
	}

	/// Whether `signature` is there and waits.
	pub fn waits(&self, signature: &FlowSignature) -> bool {
		self.entries.get(signature).is_some_and(|entry| entry.slot.is_none())
	}

	/// What the kernel has to change to get from this table to `new`.
	pub fn delta(&self, new: &Self) -> FlowDelta {
		let (before, after) = (self.in_force(), new.in_force());
		let at = |flows: &[(Slot, Flow)]| flows.iter().copied().collect::<BTreeMap<Slot, Flow>>();
		let (old, next) = (at(&before), at(&after));
		let same = |slot: &Slot, flow: &Flow, others: &BTreeMap<Slot, Flow>| {
			others.get(slot).is_some_and(|other| other.signature == flow.signature)
		};
		let rule = |(slot, flow): &(Slot, Flow)| (*slot, flow.signature, flow.action, flow.severity, flow.home);
		FlowDelta {
			ended: old.iter().filter(|(slot, flow)| !same(slot, flow, &next)).map(|(slot, _)| *slot).collect(),
			begun: next.iter().filter(|(slot, flow)| !same(slot, flow, &old)).map(|(s, f)| (*s, *f)).collect(),
			renewed: next
				.iter()
				.filter(|(slot, flow)| {
					same(slot, flow, &old) && old.get(slot).is_some_and(|o| o.ends_ms != flow.ends_ms)
				})
				.map(|(slot, flow)| (*slot, *flow))
				.collect(),
			rules: !before.iter().map(rule).eq(after.iter().map(rule)),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;
	use std::collections::BTreeSet;

	fn signature(n: u16) -> FlowSignature {
		let source = Some("203.0.113.0/24".parse().unwrap());
		FlowSignature { protocol: Some(17), source, source_ports: PortRange::new(n, n), ..Default::default() }
	}

	fn flow(n: u16, severity: Severity, ends_ms: u64) -> Flow {
		Flow { signature: signature(n), action: Action::Drop, severity, home: false, ends_ms }
	}

	fn filled(count: u16, severity: Severity) -> FlowTable {
		let mut table = FlowTable::default();
		for n in 0..count {
			assert_eq!(table.put(flow(n, severity, 1_000 + u64::from(n))), None);
		}
		table.settle();
		table
	}

	#[test]
	fn the_peer_is_the_source_and_else_the_destination() {
		let (here, there) = ("192.0.2.0/24".parse().unwrap(), "203.0.113.0/24".parse().unwrap());
		let both = FlowSignature { source: Some(here), destination: Some(there), ..Default::default() };
		assert_eq!(peer(&both), Some((Side::From, here)));
		assert_eq!(matches(&both).collect::<Vec<_>>(), [Match::Destination(there)]);
		let to = FlowSignature { source: None, ..both };
		assert_eq!(peer(&to), Some((Side::To, there)));
		assert_eq!(matches(&to).count(), 0);
		assert_eq!(peer(&FlowSignature::default()), None);
	}

	#[test]
	fn what_defends_the_own_network_is_looked_at_by_its_source() {
		let to = FlowSignature { source: None, destination: signature(1).source, ..signature(1) };
		let elsewhere = Flow { signature: to, ..flow(1, Severity::High, 1) };
		assert_eq!(elsewhere.side(), Side::To);
		assert_eq!(Flow { home: true, ..elsewhere }.side(), Side::From);
		assert_eq!(flow(1, Severity::High, 1).side(), Side::From);
		let mut table = FlowTable::default();
		assert_eq!(table.put(elsewhere), None);
		table.settle();
		let mut moved = table.clone();
		assert_eq!(moved.put(Flow { home: true, ..elsewhere }), None);
		moved.settle();
		let delta = table.delta(&moved);
		assert!(delta.rules && delta.begun.is_empty() && delta.ended.is_empty(), "the rule stands elsewhere");
	}

	#[test]
	fn a_signature_is_specific_if_it_spares_most_of_what_a_service_lives_on() {
		let udp = FlowSignature { protocol: Some(17), destination: signature(1).source, ..Default::default() };
		let tcp = FlowSignature { protocol: Some(6), ..udp };
		let flags = |mask, value| FlowSignature { tcp_flags: TcpFlags::new(mask, value), ..tcp };
		for specific in [
			FlowSignature { source_ports: PortRange::new(53, 53), ..udp },
			FlowSignature { destination_ports: PortRange::new(1_000, 2_023), ..udp },
			FlowSignature { packet_length: LengthRange::new(1_000, 1_500), ..udp },
			FlowSignature { protocol: Some(1), icmp: Some(IcmpMatch { kind: 8, code: None }), ..udp },
			flags(0x12, 0x02),
			flags(0xff, 0x00),
		] {
			assert!(is_specific(&specific.check().unwrap()), "{specific}");
		}
		for vague in [
			udp,
			FlowSignature { protocol: None, packet_length: LengthRange::new(60, 60), ..udp },
			FlowSignature { source_ports: PortRange::new(1_024, 65_535), ..udp },
			FlowSignature { packet_length: LengthRange::new(0, 1_500), ..udp },
			flags(0x10, 0x10),
			flags(0x01, 0x00),
		] {
			assert!(!is_specific(&vague.check().unwrap()), "{vague}");
		}
	}

	#[test]
	fn a_signature_covers_what_asks_for_no_more() {
		let wide = FlowSignature { source_ports: PortRange::new(10, 20), ..signature(1) };
		assert!(covers(&wide, &wide) && covers(&wide, &signature(15)));
		assert!(covers(&wide, &FlowSignature { source: Some("203.0.113.9".parse().unwrap()), ..signature(10) }));
		assert!(covers(&wide, &FlowSignature { packet_length: LengthRange::new(1, 9), ..signature(10) }));
		for wider in [
			signature(21),
			FlowSignature { source_ports: None, ..wide },
			FlowSignature { protocol: Some(6), ..wide },
			FlowSignature { source: Some("203.0.112.0/23".parse().unwrap()), ..wide },
		] {
			assert!(!covers(&wide, &wider), "{wider}");
		}
		let flags = |mask, value| FlowSignature { protocol: Some(6), tcp_flags: TcpFlags::new(mask, value), ..wide };
		assert!(covers(&flags(0x02, 0x02), &flags(0x12, 0x02)) && !covers(&flags(0x12, 0x02), &flags(0x02, 0x02)));
	}

	#[test]
	fn a_flow_that_names_nobody_is_refused() {
		let nobody = Flow { signature: FlowSignature::default(), ..flow(1, Severity::Critical, 1) };
		let mut table = FlowTable::default();
		assert_eq!(table.put(nobody), Some(nobody.signature));
		assert_eq!(table, FlowTable::default());
		assert_eq!(FlowTable::restore([(0, nobody)]), None);
	}

	#[test]
	fn a_more_severe_flow_displaces_the_mildest_and_the_mildest_comes_back() {
		let mut table = filled(IN_FORCE as u16, Severity::Medium);
		assert_eq!(table.count(), (IN_FORCE, 0));
		assert_eq!(table.put(flow(500, Severity::High, 1)), None);
		table.settle();
		assert_eq!(table.count(), (IN_FORCE, 1));
		assert_eq!(table.in_force()[0].1.signature, signature(500), "the most severe comes first");
		// Of equals the one that ends first waits.
		assert!(table.waits(&signature(0)));
		table.expire(1);
		table.settle();
		assert!(!table.waits(&signature(0)));
		assert_eq!(table.count(), (IN_FORCE, 0));
	}

	#[test]
	fn a_milder_flow_waits() {
		let mut table = filled(IN_FORCE as u16, Severity::Medium);
		assert_eq!(table.put(flow(500, Severity::Low, 9_999)), None);
		table.settle();
		assert!(table.waits(&signature(500)));
	}

	#[test]
	fn what_does_not_even_fit_among_those_that_wait_is_refused() {
		let all = (IN_FORCE + WAITING) as u16;
		let mut table = filled(all, Severity::Medium);
		assert_eq!(table.put(flow(5_000, Severity::Low, 9_999)), Some(signature(5_000)));
		assert_eq!(table.put(flow(5_001, Severity::Critical, 1)), Some(signature(0)));
	}

	#[test]
	fn an_extension_keeps_the_place_and_a_new_action_rewrites_the_rule() {
		let before = filled(3, Severity::Medium);
		let mut after = before.clone();
		let extended = flow(1, Severity::Medium, 1_001 + 60_000);
		assert_eq!(after.put(extended), None);
		after.settle();
		let delta = before.delta(&after);
		assert!(delta.ended.is_empty() && delta.begun.is_empty());
		assert_eq!(delta.renewed.iter().map(|(_, flow)| *flow).collect::<Vec<_>>(), [extended]);
		let mut other = after.clone();
		assert_eq!(other.put(Flow { action: Action::Watch, ..extended }), None);
		other.settle();
		let delta = after.delta(&other);
		assert!(delta.rules && delta.begun.is_empty() && delta.renewed.is_empty());
		assert!(other.delta(&other).is_empty());
	}

	#[test]
	fn what_is_read_back_must_make_sense() {
		let one = flow(1, Severity::Low, 5);
		assert_eq!(FlowTable::restore([(7, one)]).unwrap().in_force(), [(7, one)]);
		assert_eq!(FlowTable::restore([(IN_FORCE as Slot, one)]), None);
		assert_eq!(FlowTable::restore([(1, one), (1, flow(2, Severity::Low, 5))]), None);
		assert_eq!(FlowTable::restore([(1, one), (2, one)]), None);
	}

	#[derive(Clone, Debug)]
	enum Step {
		Put(u16, usize, u64),
		Remove(u16),
		Expire(u64),
	}

	fn any_step() -> impl Strategy<Value = Step> {
		prop_oneof![
			6 => (0_u16..300, 0_usize..4, 1_u64..1_000).prop_map(|(n, severity, ends)| Step::Put(n, severity, ends)),
			2 => (0_u16..300).prop_map(Step::Remove),
			1 => (0_u64..100).prop_map(Step::Expire),
		]
	}

	proptest! {
		/// The most severe are in force, no place is used twice, and a delta leads from each table to the next.
		#[test]
		fn the_most_severe_are_in_force(steps in proptest::collection::vec(any_step(), 1..600)) {
			let mut table = FlowTable::default();
			let mut kernel: BTreeMap<Slot, (FlowSignature, u64)> = BTreeMap::new();
			for step in steps {
				let before = table.clone();
				match step {
					Step::Put(n, severity, ends) => prop_assert_eq!(table.put(flow(n, Severity::ALL[severity], ends)), None),
					Step::Remove(n) => table.remove(&signature(n)),
					Step::Expire(now) => table.expire(now),
				}
				table.settle();
				let held = table.in_force();
				let slots: BTreeSet<Slot> = held.iter().map(|(slot, _)| *slot).collect();
				prop_assert_eq!(slots.len(), held.len());
				let (in_force, waiting) = table.count();
				prop_assert!(in_force == IN_FORCE || waiting == 0);
				let mildest = held.iter().map(|(_, flow)| flow.severity).min();
				let waits = table.entries.values().filter(|entry| entry.slot.is_none()).map(|e| e.flow.severity).max();
				prop_assert!(waits.is_none() || waits <= mildest);

				let delta = before.delta(&table);
				for slot in &delta.ended {
					prop_assert!(kernel.remove(slot).is_some());
				}
				for (slot, flow) in &delta.begun {
					prop_assert_eq!(kernel.insert(*slot, (flow.signature, flow.ends_ms)), None);
				}
				for (slot, flow) in &delta.renewed {
					prop_assert!(kernel.insert(*slot, (flow.signature, flow.ends_ms)).is_some());
				}
				let expected: BTreeMap<_, _> = held.iter().map(|(s, f)| (*s, (f.signature, f.ends_ms))).collect();
				prop_assert_eq!(&kernel, &expected);
			}
		}
	}
}
