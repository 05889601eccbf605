//! The network of the testbed: who is wired to whom, under which addresses.
//!
//! ```text
//!                        attacker
//!                           |
//!              +------+----net----+------+
//!              |      |           |      |
//!   host --- ispA   ispB        ispC   ispD      a validator and a vetting enforcer each
//!              |      |           |      |
//!             gwA    gwB         gwC    gwD      a home gateway each: sensor and enforcer
//!              |      |           |      |
//!            homeA  homeB       homeC  homeD
//! ```
//!
//! Every box is a network namespace, every line a veth pair. The host, that is the namespace the testbed was started in, has
//! a line to each ISP, for RPC only.

use crate::{
	error::Result,
	netns::{run, Namespace, Tag},
};
use std::{net::Ipv4Addr, process::Command};

/// One ISP with its home gateway and home, by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Site(u8);

impl Site {
	/// All four.
	pub const ALL: [Self; 4] = [Self(1), Self(2), Self(3), Self(4)];
	/// The one where the alert is raised.
	pub const A: Self = Self(1);
	/// The second.
	pub const B: Self = Self(2);
	/// The third.
	pub const C: Self = Self(3);
	/// The fourth.
	pub const D: Self = Self(4);

	/// Position in [`Self::ALL`].
	pub const fn index(self) -> usize {
		self.0 as usize - 1
	}

	/// A to D.
	pub const fn letter(self) -> char {
		(b'A' + self.0 - 1) as char
	}

	/// The well-known development name of the ISP.
	pub const fn person(self) -> &'static str {
		["Alice", "Bob", "Charlie", "Dave"][self.index()]
	}

	/// The ISP's secret.
	pub fn isp_secret(self) -> String {
		format!("//{}", self.person())
	}

	/// The home gateway's secret.
	pub fn home_secret(self) -> String {
		format!("//{}//home", self.person())
	}

	/// The middle's address towards the ISP.
	pub const fn net_address(self) -> Ipv4Addr {
		Ipv4Addr::new(198, 18, self.0, 1)
	}

	/// The ISP's address towards the middle, where its validator listens.
	pub const fn isp_address(self) -> Ipv4Addr {
		Ipv4Addr::new(198, 18, self.0, 2)
	}

	/// The ISP's address towards its subscriber.
	pub const fn isp_subscriber_address(self) -> Ipv4Addr {
		Ipv4Addr::new(198, 18, 10 + self.0, 1)
	}

	/// The gateway's address towards its ISP.
	pub const fn gateway_address(self) -> Ipv4Addr {
		Ipv4Addr::new(198, 18, 10 + self.0, 2)
	}

	const fn lan(self, host: u8) -> Ipv4Addr {
		Ipv4Addr::new(203, 0, 113, 32 * self.0 + host)
	}

	/// The gateway's address towards the home.
	pub const fn gateway_lan_address(self) -> Ipv4Addr {
		self.lan(1)
	}

	/// The host in the home.
	pub const fn home_address(self) -> Ipv4Addr {
		self.lan(10)
	}

	/// The home's networks, IPv4 and IPv6.
	pub fn home_networks(self) -> [String; 2] {
		[format!("{}/27", self.lan(0)), format!("2001:db8:10{}::/64", self.0)]
	}
}

/// The attacker's own address.
pub const ATTACKER: Ipv4Addr = Ipv4Addr::new(198, 18, 66, 66);
/// A network whose every address the attacker may send from.
const ATTACKER_POOL: &str = "198.18.72.0/21";

/// The attacker's address number `n`: its own, and then up to 2,047 others.
pub fn attacker(n: u16) -> Ipv4Addr {
	match n {
		0 => ATTACKER,
		n => Ipv4Addr::new(198, 18, 72 + (n >> 8) as u8 % 8, n as u8),
	}
}

/// The namespaces of one site.
pub struct Place {
	/// Which one.
	pub site: Site,
	/// The ISP.
	pub isp: Namespace,
	/// The gateway and the home, where the testbed has them.
	pub home: Option<(Namespace, Namespace)>,
	rpc: Ipv4Addr,
}

impl Place {
	/// Where the validator's RPC is reached from the host.
	pub fn rpc_url(&self) -> String {
		format!("ws://{}:9944", self.rpc)
	}
}

/// All namespaces; deleted when dropped.
pub struct Topology {
	_host_links: Vec<HostLink>,
	/// The sites, in order.
	pub places: Vec<Place>,
	/// Where attacks come from.
	pub attacker: Namespace,
	/// The middle.
	pub net: Namespace,
}

impl Topology {
	/// Builds the first `sites` sites, with gateways and homes or without.
	pub fn build(sites: usize, homes: bool) -> Result<Self> {
		let tag = Tag::next();
		let net = Namespace::create(&tag.name("net"), true)?;
		let attacker = Namespace::create(&tag.name("attacker"), false)?;
		wire(
			&net,
			"attacker",
			&["198.18.66.1/18", "2001:db8:66::1/64"],
			&attacker,
			"net",
			&["198.18.66.66/18", "2001:db8:66::66/64"],
		)?;
		attacker.ip(["route add default via 198.18.66.1", "route add default via 2001:db8:66::1"])?;
		attacker.ip([format!("route add local {ATTACKER_POOL} dev lo")])?;

		let mut places = Vec::new();
		let mut host_links = Vec::new();
		for &site in Site::ALL.iter().take(sites) {
			let (i, letter) = (site.0, site.letter());
			let isp = Namespace::create(&tag.name(&format!("isp{letter}")), true)?;
			wire(
				&net,
				&format!("isp{letter}"),
				&[&format!("{}/30", site.net_address()), &format!("2001:db8:{i}::1/64")],
				&isp,
				"net",
				&[&format!("{}/30", site.isp_address()), &format!("2001:db8:{i}::2/64")],
			)?;
			isp.ip([
				format!("route add default via {}", site.net_address()),
				format!("route add default via 2001:db8:{i}::1"),
			])?;

			// Sixteen testbeds fit side by side.
			let last = (16 * tag.slot(16)) as u8 + 4 * (i - 1);
			let rpc = Ipv4Addr::new(198, 18, 250, last + 2);
			host_links.push(HostLink::add(
				tag.name(&letter.to_string()),
				Ipv4Addr::new(198, 18, 250, last + 1),
				&isp,
				rpc,
			)?);

			let home = if homes { Some(Self::home(tag, site, &net, &isp)?) } else { None };
			places.push(Place { site, isp, home, rpc });
		}
		Ok(Self { _host_links: host_links, places, attacker, net })
	}

	fn home(tag: Tag, site: Site, net: &Namespace, isp: &Namespace) -> Result<(Namespace, Namespace)> {
		let (i, letter) = (site.0, site.letter());
		let gateway = Namespace::create(&tag.name(&format!("gw{letter}")), true)?;
		let home = Namespace::create(&tag.name(&format!("home{letter}")), false)?;
		wire(
			isp,
			"gw",
			&[&format!("{}/30", site.isp_subscriber_address()), &format!("2001:db8:1{i}::1/64")],
			&gateway,
			"wan",
			&[&format!("{}/30", site.gateway_address()), &format!("2001:db8:1{i}::2/64")],
		)?;
		wire(
			&gateway,
			"lan",
			&[&format!("{}/27", site.gateway_lan_address()), &format!("2001:db8:10{i}::1/64")],
			&home,
			"lan",
			&[&format!("{}/27", site.home_address()), &format!("2001:db8:10{i}::10/64")],
		)?;
		let [lan_v4, lan_v6] = site.home_networks();
		home.ip([
			format!("route add default via {}", site.gateway_lan_address()),
			format!("route add default via 2001:db8:10{i}::1"),
		])?;
		gateway.ip([
			format!("route add default via {}", site.isp_subscriber_address()),
			format!("route add default via 2001:db8:1{i}::1"),
		])?;
		isp.ip([
			format!("route add {lan_v4} via {}", site.gateway_address()),
			format!("route add {lan_v6} via 2001:db8:1{i}::2"),
		])?;
		net.ip([
			format!("route add {lan_v4} via {}", site.isp_address()),
			format!("route add 198.18.1{i}.0/30 via {}", site.isp_address()),
			format!("route add {lan_v6} via 2001:db8:{i}::2"),
			format!("route add 2001:db8:1{i}::/64 via 2001:db8:{i}::2"),
		])?;
		Ok((gateway, home))
	}

	/// Drops everything between the first two ISPs and the last two, in the middle.
	pub fn partition(&self) -> Result<()> {
		let (left, right) = (r#"{ "ispA", "ispB" }"#, r#"{ "ispC", "ispD" }"#);
		let rules = format!(
			"table inet partition {{\n chain forward {{\n  type filter hook forward priority 0; policy accept\n  \
			 iifname {left} oifname {right} drop\n  iifname {right} oifname {left} drop\n }}\n}}\n"
		);
		self.net.run("nft", &["-f", "-"], &rules).map(drop)
	}

	/// Ends [`Self::partition`].
	pub fn heal(&self) -> Result<()> {
		self.net.run("nft", &["delete", "table", "inet", "partition"], "").map(drop)
	}
}

/// Joins two namespaces by a veth pair and gives each end its addresses.
fn wire(
	a: &Namespace,
	a_name: &str,
	a_addresses: &[&str],
	b: &Namespace,
	b_name: &str,
	b_addresses: &[&str],
) -> Result<()> {
	a.ip([format!("link add {a_name} type veth peer name {b_name} netns {}", b.name())])?;
	for (namespace, name, addresses) in [(a, a_name, a_addresses), (b, b_name, b_addresses)] {
		let addresses = addresses.iter().map(|address| {
			let dad = if address.contains(':') { " nodad" } else { "" };
			format!("addr add {address} dev {name}{dad}")
		});
		namespace.ip(addresses.chain([format!("link set {name} up")]))?;
	}
	Ok(())
}

/// The host's end of a line to an ISP.
struct HostLink(String);

impl HostLink {
	fn add(name: String, address: Ipv4Addr, isp: &Namespace, isp_address: Ipv4Addr) -> Result<Self> {
		let ip = |line: String| run(Command::new("ip").args(line.split(' ')), "").map(drop);
		ip(format!("link add {name} type veth peer name host netns {}", isp.name()))?;
		let this = Self(name);
		ip(format!("addr add {address}/30 dev {}", this.0))?;
		ip(format!("link set {} up", this.0))?;
		isp.ip([format!("addr add {isp_address}/30 dev host"), "link set host up".to_owned()])?;
		Ok(this)
	}
}

impl Drop for HostLink {
	fn drop(&mut self) {
		// It is gone already when its namespace was deleted from outside.
		let _ = run(Command::new("ip").args(["link", "del", &self.0]), "");
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::collections::HashSet;

	#[test]
	fn addresses_are_of_testing_ranges_and_unique() {
		let mut seen = HashSet::new();
		for site in Site::ALL {
			for address in
				[site.net_address(), site.isp_address(), site.isp_subscriber_address(), site.gateway_address()]
			{
				assert!(matches!(address.octets(), [198, 18, ..]));
				assert!(seen.insert(address));
			}
			for address in [site.gateway_lan_address(), site.home_address()] {
				assert!(matches!(address.octets(), [203, 0, 113, _]));
				assert!(seen.insert(address));
			}
		}
	}

	#[test]
	fn every_attack_has_a_fresh_source() {
		let sources: HashSet<_> = (0..2048).map(attacker).collect();
		assert_eq!(sources.len(), 2048);
		assert!(sources.iter().all(|a| *a == ATTACKER || (72..80).contains(&a.octets()[2])));
	}

	#[test]
	fn sites_are_named_after_the_local_preset() {
		assert_eq!(Site::A.home_secret(), "//Alice//home");
		assert_eq!(Site::D.isp_secret(), "//Dave");
		assert_eq!(Site::D.letter(), 'D');
		assert_eq!(Site::D.home_networks()[0], "203.0.113.128/27");
	}
}
