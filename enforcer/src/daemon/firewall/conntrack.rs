//! Established flows of newly blocked peers, deleted from the kernel's connection tracking.
//!
//! The firewall drops a blocked peer's packets before connection tracking sees them. What this adds: flows that the
//! kernel forwards past all hooks (flow offload) end with their entry, and what is unblocked later begins anew.
//!
//! # Security considerations
//!
//! The table's contents are made by whoever sends packets. Entries are read one datagram at a time, those that match are
//! deleted in groups, and one cut deletes 65,536 at the most; of [`Peers`] four times as many are remembered. An entry is named by its tuple and its number, so another
//! flow that took its place meanwhile is left alone.

use super::netlink::{attribute, attributes, Attributes, NetlinkError, Service, Socket};
use crate::core::ruleset::{Action, Address, Command, Endpoint, Family, Network, Target};
use std::collections::{BTreeSet, HashSet};

/// Entries that one cut deletes at the most; a household's whole table.
const MOST: usize = 65_536;
/// Ends of connections that are remembered at the most: each entry has up to four different ones.
const MOST_ENDS: usize = 4 * MOST;
/// Entries deleted in one exchange.
const GROUP: usize = 100;
/// Up to so many hosts the kernel is asked for each of them, which spares copying the whole table; else for all.
const ASKED_SINGLY: usize = 4;

// Kinds of messages and attributes of nfnetlink_conntrack.h, which are not in `libc`.
const GET: i32 = 1;
const DELETE: i32 = 2;
const GET_STATS: i32 = 5;
const STATS_ENTRIES: u16 = 1;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
const FILTER_ORIGINAL: u16 = 1;
const FILTER_REPLY: u16 = 2;
const FILTER_SOURCE: u32 = 1;
const FILTER_DESTINATION: u32 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const PROTO_NUMBER: u16 = 1;
const PROTO_SOURCE: u16 = 2;
const PROTO_DESTINATION: u16 = 3;

const fn address_attributes(family: Family) -> [u16; 2] {
	match family {
		Family::V4 => [1, 2],
		Family::V6 => [3, 4],
	}
}

const fn service(family: Family) -> Service {
	match family {
		Family::V4 => Service::CONNECTIONS_V4,
		Family::V6 => Service::CONNECTIONS_V6,
	}
}

/// The connections that the kernel tracks in the network namespace in which this was opened.
pub struct Conntrack {
	socket: Socket,
}

/// The peers of the connections that are tracked, so that a list of whatever length can be held against them while it goes
/// by. At most 262,144, which take 10 MB.
#[derive(Default)]
pub struct Peers {
	/// Address, protocol and port of those that nothing drops so far.
	ends: BTreeSet<(Address, u8, u16)>,
	dropped: BTreeSet<Target>,
}

impl Peers {
	/// Looks whom `command` drops.
	pub fn note(&mut self, command: &Command) {
		let Command::Block { target, action: Action::Drop, .. } = *command else { return };
		match target {
			Target::Network(network) => {
				// Addresses are in order, so those of a network are neighbours.
				let from = self.ends.range((network.address(), 0, 0)..);
				let within = from.take_while(|(address, ..)| network.contains(&Network::host(*address)));
				let within: Vec<(Address, u8, u16)> = within.copied().collect();
				for end in within {
					self.ends.remove(&end);
					self.dropped.insert(Target::Network(Network::host(end.0)));
				}
			}
			Target::Endpoint(Endpoint { address, protocol, port }) => {
				if self.ends.remove(&(address, protocol.number(), port)) {
					self.dropped.insert(target);
				}
			}
		}
	}

	/// Those whom the commands drop, for [`Conntrack::cut`].
	pub fn dropped(self) -> Vec<Target> {
		self.dropped.into_iter().collect()
	}
}

/// One address of a tuple, and what it can be an endpoint with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct End {
	address: Address,
	protocol: u8,
	port: u16,
}

/// What names an entry to the kernel.
struct Entry {
	tuple: Vec<u8>,
	id: Vec<u8>,
	zone: Option<Vec<u8>>,
}

impl Conntrack {
	/// Opens it. None where the kernel tracks no connections, or does not tell of them.
	pub fn open() -> Result<Option<Self>, NetlinkError> {
		let mut conntrack = Self { socket: Socket::open()? };
		match conntrack.entries() {
			Ok(_) => Ok(Some(conntrack)),
			Err(error) if matches!(error.errno(), Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOENT)) => Ok(None),
			Err(error) => Err(error),
		}
	}

	/// Connections that are tracked, of both families.
	fn entries(&mut self) -> Result<u32, NetlinkError> {
		let mut entries = 0;
		self.socket.stream(
			Service::CONNECTIONS_V4,
			GET_STATS,
			false,
			|_| (),
			|bytes| {
				let count = attribute(bytes, STATS_ENTRIES).and_then(|value| value.try_into().ok());
				entries = count.map_or(0, u32::from_be_bytes);
			},
		)?;
		Ok(entries)
	}

	/// Both ends of the connections that are tracked. Blocks like [`Self::cut`].
	pub fn peers(&mut self) -> Result<Peers, NetlinkError> {
		let mut peers = Peers::default();
		if self.entries()? == 0 {
			return Ok(peers);
		}
		for family in [Family::V4, Family::V6] {
			self.socket.stream(
				service(family),
				GET,
				true,
				|_| (),
				|bytes| {
					for End { address, protocol, port } in ends(bytes, family) {
						if peers.ends.len() < MOST_ENDS {
							peers.ends.insert((address, protocol, port));
						}
					}
				},
			)?;
		}
		Ok(peers)
	}

	/// Deletes the connections with any of `targets`, whichever side began them, except where that peer lies in one of
	/// `spared`. Returns how many. Blocks for as long as the kernel walks its table: about 50 ms for 100,000 entries.
	pub fn cut(&mut self, targets: &[Target], spared: &[Network]) -> Result<usize, NetlinkError> {
		if targets.is_empty() || self.entries()? == 0 {
			return Ok(0);
		}
		let wanted = Wanted::new(targets, spared);
		let mut cut = 0_usize;
		for family in [Family::V4, Family::V6] {
			let entries = self.find(&wanted, family)?;
			for group in entries.chunks(GROUP) {
				let refused = self.socket.tell(service(family), DELETE, group, |a, entry| {
					a.nested(TUPLE_ORIGINAL, &entry.tuple);
					a.bytes(ID, &entry.id);
					entry.zone.iter().for_each(|zone| a.bytes(ZONE, zone));
				})?;
				// What ended by itself meanwhile is no fault.
				if let Some(refusal) = refused.iter().find(|refusal| refusal.errno != libc::ENOENT) {
					return Err(NetlinkError::Refused(vec![refusal.clone()]));
				}
				cut = cut.saturating_add(group.len().saturating_sub(refused.len()));
			}
		}
		Ok(cut)
	}

	fn find(&mut self, wanted: &Wanted<'_>, family: Family) -> Result<Vec<Entry>, NetlinkError> {
		let mut found = Vec::new();
		let mut look = |socket: &mut Socket, filter: Option<(Address, u32)>| {
			let build = |a: &mut Attributes<'_>| {
				if let Some((address, flags)) = filter {
					select(a, &address, flags);
				}
			};
			socket.stream(service(family), GET, true, build, |bytes| {
				if found.len() < MOST && ends(bytes, family).iter().any(|end| wanted.contains(end)) {
					found.extend(Entry::read(bytes));
				}
			})
		};
		match wanted.hosts(family) {
			Asked::Nobody => (),
			// Kernels before 5.8 pass the filter over and send everything.
			Asked::Singly(hosts) => {
				for host in hosts {
					look(&mut self.socket, Some((host, FILTER_SOURCE)))?;
					look(&mut self.socket, Some((host, FILTER_DESTINATION)))?;
				}
			}
			Asked::All => look(&mut self.socket, None)?,
		}
		Ok(found)
	}
}

/// Asks for the entries whose original source or destination is `address`.
fn select(a: &mut Attributes<'_>, address: &Address, flags: u32) {
	let [source, destination] = address_attributes(Family::of(address));
	let kind = if flags == FILTER_SOURCE { source } else { destination };
	a.nest(TUPLE_ORIGINAL, |a| a.nest(TUPLE_IP, |a| a.bytes(kind, address.octets())));
	// Unlike everything else here, flags are in the host's order.
	a.nest(FILTER, |a| {
		a.bytes(FILTER_ORIGINAL, &flags.to_ne_bytes());
		a.bytes(FILTER_REPLY, &0_u32.to_ne_bytes());
	});
}

impl Entry {
	fn read(bytes: &[u8]) -> Option<Self> {
		Some(Self {
			tuple: attribute(bytes, TUPLE_ORIGINAL)?.to_vec(),
			id: attribute(bytes, ID)?.to_vec(),
			zone: attribute(bytes, ZONE).map(<[u8]>::to_vec),
		})
	}
}

/// Source and destination of both tuples of an entry: with address translation they are up to four different ones.
fn ends(bytes: &[u8], family: Family) -> Vec<End> {
	let [source, destination] = address_attributes(family);
	let address = |octets: &[u8]| match family {
		Family::V4 => octets.try_into().ok().map(Address::V4),
		Family::V6 => Address::v6(octets.try_into().ok()?).ok(),
	};
	let mut ends = Vec::with_capacity(4);
	for (_, tuple) in attributes(bytes).filter(|(kind, _)| matches!(*kind, TUPLE_ORIGINAL | TUPLE_REPLY)) {
		let ip = attribute(tuple, TUPLE_IP).unwrap_or_default();
		let proto = attribute(tuple, TUPLE_PROTO).unwrap_or_default();
		let protocol = attribute(proto, PROTO_NUMBER).and_then(<[u8]>::first).copied().unwrap_or_default();
		for (kind, port) in [(source, PROTO_SOURCE), (destination, PROTO_DESTINATION)] {
			let Some(address) = attribute(ip, kind).and_then(address) else { continue };
			let port = attribute(proto, port).and_then(|value| value.try_into().ok()).map_or(0, u16::from_be_bytes);
			ends.push(End { address, protocol, port });
		}
	}
	ends
}

/// Whose connections are to be cut.
struct Wanted<'a> {
	networks: HashSet<Network>,
	/// The lengths of `networks`, with the number of bits of the family.
	lengths: BTreeSet<(u8, u8)>,
	endpoints: HashSet<(Address, u8, u16)>,
	spared: &'a [Network],
}

/// How to ask the kernel.
#[derive(PartialEq, Eq, Debug)]
enum Asked {
	/// No target is of this family.
	Nobody,
	/// For each of these hosts.
	Singly(BTreeSet<Address>),
	/// For everything.
	All,
}

impl<'a> Wanted<'a> {
	fn new(targets: &[Target], spared: &'a [Network]) -> Self {
		let mut wanted = Self { networks: HashSet::new(), lengths: BTreeSet::new(), endpoints: HashSet::new(), spared };
		for target in targets {
			match *target {
				Target::Network(network) => {
					wanted.lengths.insert((network.address().bits(), network.prefix()));
					wanted.networks.insert(network);
				}
				Target::Endpoint(Endpoint { address, protocol, port }) => {
					wanted.endpoints.insert((address, protocol.number(), port));
				}
			}
		}
		wanted
	}

	fn contains(&self, end: &End) -> bool {
		let End { address, protocol, port } = *end;
		let within = |&(bits, prefix): &(u8, u8)| {
			bits == address.bits()
				&& Network::new(address.masked(prefix), prefix).is_ok_and(|network| self.networks.contains(&network))
		};
		let peer = self.endpoints.contains(&(address, protocol, port)) || self.lengths.iter().any(within);
		let host = Network::host(address);
		peer && !self.spared.iter().any(|network| network.contains(&host))
	}

	fn hosts(&self, family: Family) -> Asked {
		let of_family = |address: &Address| Family::of(address) == family;
		let mut hosts: BTreeSet<Address> = BTreeSet::new();
		for network in self.networks.iter().filter(|network| of_family(&network.address())) {
			if network.prefix() < family.bits() {
				return Asked::All;
			}
			hosts.insert(network.address());
		}
		hosts.extend(self.endpoints.iter().map(|(address, ..)| *address).filter(of_family));
		match hosts.len() {
			0 => Asked::Nobody,
			1..=ASKED_SINGLY => Asked::Singly(hosts),
			_ => Asked::All,
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::core::ruleset::Direction;
	use proptest::prelude::*;
	use ringfence_primitives::Transport;

	/// What Linux 6.18 tells of a UDP flow from 127.0.0.1 port 5000 to 127.0.0.3 port 6000, without what is not read.
	const ENTRY: &str = "34000180 14000180 080001007f000001 080002007f000003 \
	                     1c000280 0500010011000000 0600020013880000 0600030017700000 \
	                     34000280 14000180 080001007f000003 080002007f000001 \
	                     1c000280 0500010011000000 0600020017700000 0600030013880000 08000c00de4c9a29";

	fn entry() -> Vec<u8> {
		let digits: Vec<u8> = ENTRY.bytes().filter(u8::is_ascii_hexdigit).collect();
		digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
	}

	fn end(address: &str, port: u16) -> End {
		End { address: address.parse().unwrap(), protocol: 17, port }
	}

	#[test]
	fn an_entry_is_read() {
		let there = [end("127.0.0.1", 5000), end("127.0.0.3", 6000)];
		assert_eq!(ends(&entry(), Family::V4), [there[0], there[1], there[1], there[0]]);
		let read = Entry::read(&entry()).unwrap();
		assert_eq!((read.id, read.zone), (vec![0xde, 0x4c, 0x9a, 0x29], None));
	}

	#[test]
	fn peers_are_found_by_host_network_and_endpoint() {
		let network = |text: &str| Target::Network(text.parse().unwrap());
		let service =
			|protocol, port| Target::Endpoint(Endpoint { address: "127.0.0.3".parse().unwrap(), protocol, port });
		for target in
			[network("127.0.0.3"), network("127.0.0.2/31"), network("0.0.0.0/0"), service(Transport::Udp, 6000)]
		{
			assert!(Wanted::new(&[target], &[]).contains(&end("127.0.0.3", 6000)), "{target}");
		}
		for target in
			[network("127.0.0.4"), network("::/0"), service(Transport::Udp, 6001), service(Transport::Tcp, 6000)]
		{
			assert!(!Wanted::new(&[target], &[]).contains(&end("127.0.0.3", 6000)), "{target}");
		}
	}

	#[test]
	fn what_is_spared_is_not_cut() {
		let spared = ["127.0.0.3".parse().unwrap()];
		let wanted = Wanted::new(&[Target::Network("127.0.0.0/8".parse().unwrap())], &spared);
		assert!(!wanted.contains(&end("127.0.0.3", 1)));
		assert!(wanted.contains(&end("127.0.0.4", 1)));
	}

	#[test]
	fn a_list_is_held_against_the_peers_that_there_are() {
		let ends = [
			end("127.0.0.3", 6000),
			end("127.0.0.3", 6001),
			end("127.0.1.4", 1),
			end("192.0.2.1", 53),
			end("192.0.2.2", 53),
			end("2001:db8::1", 53),
		];
		let ends = ends.iter().map(|end| (end.address, end.protocol, end.port)).collect();
		let mut peers = Peers { ends, dropped: BTreeSet::new() };
		let network = |text: &str| Target::Network(text.parse().unwrap());
		let service =
			|text: &str, protocol| Target::Endpoint(Endpoint { address: text.parse().unwrap(), protocol, port: 53 });
		let mut act = |target, action| {
			peers.note(&Command::Block { target, direction: Direction::Both, action, timeout_ms: 1 });
		};
		act(network("0.0.0.0/0"), Action::Watch);
		for target in [
			network("198.51.100.0/24"),
			network("127.0.0.0/24"),
			network("127.0.0.3"),
			network("2001:db8::/32"),
			service("192.0.2.1", Transport::Udp),
			service("192.0.2.2", Transport::Tcp),
		] {
			act(target, Action::Drop);
		}
		let dropped = [network("127.0.0.3"), network("2001:db8::1"), service("192.0.2.1", Transport::Udp)];
		assert_eq!(peers.dropped(), dropped);
	}

	#[test]
	fn a_few_hosts_are_asked_for_singly() {
		let hosts = |count: u8| -> Vec<Target> {
			(0..count).map(|last| Target::Network(Network::host(Address::V4([192, 0, 2, last])))).collect()
		};
		assert_eq!(Wanted::new(&[], &[]).hosts(Family::V4), Asked::Nobody);
		assert_eq!(Wanted::new(&hosts(4), &[]).hosts(Family::V6), Asked::Nobody);
		assert!(matches!(Wanted::new(&hosts(4), &[]).hosts(Family::V4), Asked::Singly(hosts) if hosts.len() == 4));
		assert_eq!(Wanted::new(&hosts(5), &[]).hosts(Family::V4), Asked::All);
		let wide = [Target::Network("192.0.2.0/24".parse().unwrap())];
		assert_eq!(Wanted::new(&wide, &[]).hosts(Family::V4), Asked::All);
	}

	proptest! {
		#[test]
		fn garbage_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
			for family in [Family::V4, Family::V6] {
				ends(&bytes, family);
			}
			Entry::read(&bytes);
		}
	}
}
