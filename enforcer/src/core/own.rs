//! What the gateway itself cannot do without: its addresses, its LAN, its way out, its resolvers, clocks and nodes.
//!
//! All of it is found by looking ([`crate::daemon::own`]) and becomes protected by itself, so that neither the chain nor a
//! person's slip can lock the home out. Here the operating system's files are read: texts in, networks out.
//!
//! # Security considerations
//!
//! Whoever can protect a network can keep it from being blocked. The addresses of interfaces come from the owner and, by
//! DHCP or router advertisements, from whoever runs the uplink; so do gateways and resolvers. Names of time servers and
//! nodes are the owner's, but a resolver says where they are. So each source yields single addresses, with one exception:
//! the networks of interfaces, of which only those count that are private, or are not towards the Internet, and no wider
//! than [`WIDEST_V4`] and [`WIDEST_V6`]. All of it is bounded by [`MAX_OWN`].

use ringfence_primitives::{Address, Network};
use serde::{Deserialize, Serialize};
use std::{
	collections::BTreeSet,
	fmt,
	net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Networks at most. What is found first counts: addresses before names.
pub const MAX_OWN: usize = 512;
/// Names of time servers that are looked up at most.
pub const MAX_NAMES: usize = 32;
/// The widest IPv4 network of an interface that counts: 10.0.0.0/8 is one, a tunnel to everywhere none.
pub const WIDEST_V4: u8 = 8;
/// The widest IPv6 network of an interface that counts.
pub const WIDEST_V6: u8 = 32;
/// `RTF_UP` and `RTF_GATEWAY`: the route is in use, and goes through another router.
const VIA: u32 = 0x1 | 0x2;
const RTF_UP: u32 = 0x1;

/// What something is to the gateway.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
	/// One of its own addresses.
	Address,
	/// A network behind one of its interfaces.
	Lan,
	/// A router that it sends through.
	Gateway,
	/// A name server.
	Resolver,
	/// A time server.
	Time,
	/// A node of the chain.
	Node,
}

impl Kind {
	/// Whether it is the gateway, or behind it: what a flow to it defends.
	pub const fn is_home(self) -> bool {
		matches!(self, Self::Address | Self::Lan)
	}
}

impl fmt::Display for Kind {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.pad(match self {
			Self::Address => "an address of this gateway",
			Self::Lan => "the local network",
			Self::Gateway => "the router to the Internet",
			Self::Resolver => "a name server of this gateway",
			Self::Time => "a time server of this gateway",
			Self::Node => "a node of the chain",
		})
	}
}

/// Something that must not be blocked, and why.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Own {
	/// What it is to the gateway.
	pub what: Kind,
	/// Where it is.
	pub network: Network,
}

impl Own {
	/// A single address.
	pub const fn host(what: Kind, address: Address) -> Self {
		Self { what, network: Network::host(address) }
	}
}

impl fmt::Display for Own {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "{}, {}", self.network, self.what)
	}
}

/// The address as one that packets on a wire can have: neither unspecified, loopback nor multicast.
pub fn routable(address: IpAddr) -> Option<Address> {
	let address = address.to_canonical();
	let odd = address.is_unspecified() || address.is_loopback() || address.is_multicast();
	(!odd).then(|| address.into())
}

/// What follows from an interface that has `address` in a network of `prefix` bits. `uplink`: it leads to the Internet.
pub fn interface(address: IpAddr, prefix: u8, uplink: bool) -> impl Iterator<Item = Own> {
	let routable = routable(address);
	let host = routable.map(|address| Own::host(Kind::Address, address));
	let lan = routable.filter(|_| !uplink || is_private(address)).and_then(|address| {
		let widest = match address {
			Address::V4(_) => WIDEST_V4,
			Address::V6(_) => WIDEST_V6,
		};
		// A full-length one is the address itself.
		let network = Network::new(address.masked(prefix), prefix).ok()?;
		(widest..address.bits()).contains(&prefix).then_some(Own { what: Kind::Lan, network })
	});
	host.into_iter().chain(lan)
}

/// Whether nobody on the Internet has this address.
fn is_private(address: IpAddr) -> bool {
	match address.to_canonical() {
		IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
		IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
	}
}

/// A route to everywhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DefaultRoute {
	/// The interface that it goes out by.
	pub interface: String,
	/// The router that it goes through, if there is one.
	pub gateway: Option<Address>,
}

/// The default routes in `/proc/net/route`. Lines that make no sense are passed over.
pub fn routes_v4(text: &str) -> impl Iterator<Item = DefaultRoute> + '_ {
	text.lines().skip(1).filter_map(|line| {
		let mut fields = line.split_ascii_whitespace();
		let interface = fields.next()?;
		let [destination, gateway, flags] = [word(fields.next())?, word(fields.next())?, word(fields.next())?];
		// After reference count, use and metric.
		let mask = word(fields.nth(3))?;
		if destination != 0 || mask != 0 || flags & RTF_UP == 0 {
			return None;
		}
		// The kernel prints the number whose bytes in memory are the address.
		let address = Ipv4Addr::from(gateway.to_ne_bytes());
		let gateway = (flags & VIA == VIA).then_some(()).and_then(|()| routable(address.into()));
		Some(DefaultRoute { interface: interface.into(), gateway })
	})
}

/// The default routes in `/proc/net/ipv6_route`. Lines that make no sense are passed over.
pub fn routes_v6(text: &str) -> impl Iterator<Item = DefaultRoute> + '_ {
	const ANY: &str = "00000000000000000000000000000000";
	text.lines().filter_map(|line| {
		let fields: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
		let [destination, prefix, _, _, gateway, _, _, _, flags, interface] = fields[..] else { return None };
		let flags = word(Some(flags))?;
		// The kernel's own entry that refuses everything is a default route on the loopback interface.
		if destination != ANY || prefix != "00" || flags & RTF_UP == 0 || interface == "lo" {
			return None;
		}
		let address = Ipv6Addr::from(u128::from_str_radix(gateway, 16).ok().filter(|_| gateway.len() == 32)?);
		let gateway = (flags & VIA == VIA).then_some(()).and_then(|()| routable(address.into()));
		Some(DefaultRoute { interface: interface.into(), gateway })
	})
}

fn word(field: Option<&str>) -> Option<u32> {
	u32::from_str_radix(field?, 16).ok()
}

/// The name servers in a `resolv.conf`, without those on this machine.
pub fn resolvers(text: &str) -> impl Iterator<Item = Address> + '_ {
	text.lines().filter_map(|line| {
		let mut words = line.split_ascii_whitespace();
		if words.next()? != "nameserver" {
			return None;
		}
		// A link-local one names its interface as well.
		let address = words.next()?.split('%').next()?;
		routable(address.parse().ok()?)
	})
}

/// How a program that keeps the clock names its servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeFile {
	/// `NTP=one two` and `FallbackNTP=…`: systemd-timesyncd.
	Timesyncd,
	/// `server one …`, `pool …` or `peer …`: chrony, ntpd, ntpsec, openntpd.
	Ntp,
	/// `list server 'one'`: OpenWrt.
	Uci,
}

/// The names or addresses of time servers in the configuration `text` of `file`.
pub fn time_servers(file: TimeFile, text: &str) -> BTreeSet<&str> {
	let lines = text.lines().map(str::trim);
	let names: BTreeSet<&str> = match file {
		TimeFile::Timesyncd => lines
			.filter_map(|line| line.strip_prefix("NTP=").or_else(|| line.strip_prefix("FallbackNTP=")))
			.flat_map(str::split_ascii_whitespace)
			.collect(),
		TimeFile::Ntp => lines
			.filter_map(|line| {
				let mut words = line.split_ascii_whitespace();
				let verb = words.next()?;
				let is_one = matches!(verb, "server" | "servers" | "pool" | "peer");
				// ntpd knows options before the name: -4, -6.
				words.find(|word| !word.starts_with('-')).filter(|_| is_one)
			})
			.collect(),
		TimeFile::Uci => lines
			.filter_map(|line| line.strip_prefix("list"))
			.filter_map(|line| line.trim_start().strip_prefix("server"))
			.map(|name| name.trim().trim_matches(['\'', '"']))
			.collect(),
	};
	names.into_iter().filter(|name| is_host(name)).take(MAX_NAMES).collect()
}

/// Whether a text may be the name, or the address, of a host.
fn is_host(text: &str) -> bool {
	let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
	(1..=253).contains(&text.len()) && text.chars().all(fine)
}

/// The host in `ws://host:port/path`, and the port: that of the scheme where none is named.
pub fn host_of(endpoint: &str) -> Option<(&str, u16)> {
	let (rest, default) = match (endpoint.strip_prefix("ws://"), endpoint.strip_prefix("wss://")) {
		(Some(rest), _) => (rest, 80),
		(None, Some(rest)) => (rest, 443),
		(None, None) => return None,
	};
	let authority = rest.split(['/', '?', '#']).next()?;
	let authority = authority.rsplit('@').next()?;
	let (host, port) = match authority.strip_prefix('[') {
		Some(bracketed) => {
			let (host, rest) = bracketed.split_once(']')?;
			(host, rest.strip_prefix(':'))
		}
		None => match authority.split_once(':') {
			Some((host, port)) => (host, Some(port)),
			None => (authority, None),
		},
	};
	let port = match port {
		Some(port) => port.parse().ok()?,
		None => default,
	};
	is_host(host).then_some((host, port))
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn address(text: &str) -> Address {
		text.parse().unwrap()
	}

	fn found(text: &str, prefix: u8, uplink: bool) -> Vec<String> {
		interface(text.parse().unwrap(), prefix, uplink).map(|own| own.to_string()).collect()
	}

	#[test]
	fn an_interface_is_its_address_and_its_lan() {
		let lan = ["192.168.1.7/32, an address of this gateway", "192.168.1.0/24, the local network"];
		assert_eq!(found("192.168.1.7", 24, false), lan);
		assert_eq!(found("192.168.1.7", 24, true), lan, "behind another router the uplink is a LAN as well");
		assert_eq!(found("2001:db8:1::1", 64, false).len(), 2);
		assert_eq!(found("fe80::1", 64, true).len(), 2);
	}

	#[test]
	fn neighbours_on_the_uplink_can_be_blocked() {
		assert_eq!(found("203.0.113.9", 24, true), ["203.0.113.9/32, an address of this gateway"]);
		assert_eq!(found("2001:db8:1::1", 64, true).len(), 1);
	}

	#[test]
	fn no_interface_protects_half_the_internet() {
		assert_eq!(found("203.0.113.9", 1, false).len(), 1);
		assert_eq!(found("10.1.2.3", 7, false).len(), 1);
		assert_eq!(found("10.1.2.3", 8, false).len(), 2);
		assert_eq!(found("2001:db8::1", 31, false).len(), 1);
		assert_eq!(found("203.0.113.9", 32, false).len(), 1, "a point-to-point link is no network");
		assert_eq!(found("203.0.113.9", 200, false).len(), 1);
	}

	#[test]
	fn what_never_is_on_a_wire_is_left_out() {
		for text in ["127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1"] {
			assert!(found(text, 8, false).is_empty(), "{text}");
		}
	}

	/// As a machine with the bytes of a number in this one's order prints it.
	fn printed(text: &str) -> String {
		let address: Ipv4Addr = text.parse().unwrap();
		format!("{:08X}", u32::from_ne_bytes(address.octets()))
	}

	#[test]
	fn default_routes_name_their_router() {
		let zero = "00000000";
		let gateway = printed("192.0.2.1");
		let text = format!(
			"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
			eth0\t{zero}\t{gateway}\t0003\t0\t0\t100\t{zero}\t0\t0\t0\n\
			ppp0\t{zero}\t{zero}\t0001\t0\t0\t0\t{zero}\t0\t0\t0\n\
			eth1\t{zero}\t{gateway}\t0002\t0\t0\t0\t{zero}\t0\t0\t0\n\
			tun0\t{zero}\t{gateway}\t0003\t0\t0\t0\t{}\t0\t0\t0\n\
			eth0\t{}\t{zero}\t0001\t0\t0\t0\t{}\t0\t0\t0\n\
			eth0\n\
			eth0\tx\ty\tz\n",
			printed("128.0.0.0"),
			printed("192.0.2.0"),
			printed("255.255.255.0"),
		);
		let routes: Vec<_> = routes_v4(&text).map(|route| (route.interface, route.gateway)).collect();
		assert_eq!(routes, [("eth0".into(), Some(address("192.0.2.1"))), ("ppp0".into(), None)]);
	}

	#[test]
	fn default_routes_of_ipv6_name_their_router() {
		let zeros = "0".repeat(32);
		let router = "fe800000000000000000000000000001";
		let text = format!(
			"{zeros} 00 {zeros} 00 {router} 00000400 00000001 00000000 00000003     eth0\n\
			{zeros} 00 {zeros} 00 {zeros} 00000400 00000001 00000000 00000001     ppp0\n\
			{zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200       lo\n\
			20010db8000000000000000000000000 40 {zeros} 00 {zeros} 00000100 00000001 00000000 00000001     eth0\n\
			{zeros} 00 {zeros}\n",
		);
		let routes: Vec<_> = routes_v6(&text).map(|route| (route.interface, route.gateway)).collect();
		assert_eq!(routes, [("eth0".into(), Some(address("fe80::1"))), ("ppp0".into(), None)]);
	}

	#[test]
	fn resolvers_on_this_machine_are_none() {
		let text = "# nameserver 192.0.2.9\nsearch lan\nnameserver 192.0.2.53\n nameserver\t2001:db8::53\n\
			nameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver\nnameserver example.net\n";
		let expected = ["192.0.2.53", "2001:db8::53", "fe80::1"].map(address);
		assert_eq!(resolvers(text).collect::<Vec<_>>(), expected);
	}

	#[test]
	fn time_servers_are_found_in_each_programs_words() {
		let timesyncd = "[Time]\n#NTP=old.example\nNTP=a.example 192.0.2.1\nFallbackNTP=b.example\n";
		let names = |file, text| time_servers(file, text).into_iter().collect::<Vec<_>>();
		assert_eq!(names(TimeFile::Timesyncd, timesyncd), ["192.0.2.1", "a.example", "b.example"]);
		let ntp = "# server no.example\ndriftfile /var/lib/x\npool a.example iburst\nserver -6 2001:db8::1\npeer\n";
		assert_eq!(names(TimeFile::Ntp, ntp), ["2001:db8::1", "a.example"]);
		let uci = "config timeserver 'ntp'\n\tlist server 'a.example'\n\tlist server b.example\n\tlist listen 'x'\n";
		assert_eq!(names(TimeFile::Uci, uci), ["a.example", "b.example"]);
		let many: String = (0..MAX_NAMES + 9).map(|i| format!("server s{i}.example\n")).collect();
		assert_eq!(time_servers(TimeFile::Ntp, &many).len(), MAX_NAMES);
		assert!(time_servers(TimeFile::Ntp, "server $(reboot)\nserver a\"b\n").is_empty());
	}

	#[test]
	fn an_endpoint_has_a_host_and_a_port() {
		for (endpoint, expected) in [
			("ws://192.0.2.1:9944", Some(("192.0.2.1", 9944))),
			("wss://node.example/path", Some(("node.example", 443))),
			("ws://[2001:db8::1]:9944/", Some(("2001:db8::1", 9944))),
			("ws://[2001:db8::1]", Some(("2001:db8::1", 80))),
			("wss://me:secret@node.example:1", Some(("node.example", 1))),
			("http://node.example", None),
			("ws://", None),
			("ws://a:b", None),
			("ws://[::1", None),
		] {
			assert_eq!(host_of(endpoint), expected, "{endpoint}");
		}
	}

	proptest! {
		/// Files that anybody may have written break nothing.
		#[test]
		fn no_text_is_too_odd(text in "[\\x00-\\x7f]{0,300}") {
			routes_v4(&text).chain(routes_v6(&text)).for_each(drop);
			resolvers(&text).for_each(drop);
			for file in [TimeFile::Timesyncd, TimeFile::Ntp, TimeFile::Uci] {
				prop_assert!(time_servers(file, &text).len() <= MAX_NAMES);
			}
			host_of(&text);
		}

		/// An interface's own address is always protected, and nothing wider than the bounds is.
		#[test]
		fn an_own_address_is_always_protected(bits: u32, prefix in 0_u8..=40, uplink: bool) {
			let ip = IpAddr::V4(bits.into());
			let own: Vec<Own> = interface(ip, prefix, uplink).collect();
			prop_assert_eq!(own.is_empty(), routable(ip).is_none());
			prop_assert!(own.iter().all(|own| own.network.prefix() >= WIDEST_V4));
			prop_assert!(own.iter().all(|own| own.network.contains(&Network::host(ip.into()))));
		}
	}
}
