//! Looks for what the gateway itself cannot do without ([`crate::core::own`]), again and again: addresses and routers change
//! with every dial-in, and the names of time servers and nodes lead elsewhere tomorrow.
//!
//! # Security considerations
//!
//! What is read here was written by the operating system, by root, or by whoever hands out addresses on the uplink; names
//! are looked up at the gateway's resolver, which may lie. See [`crate::core::own`] for what each of them can reach. Files
//! are read up to [`MAX_FILE`], a name counts for [`MAX_ADDRESSES`] addresses at most, and all names together for
//! [`MAX_NAMED`].

use super::now_ms;
use crate::core::own::{
	host_of, interface, resolvers, routable, routes_v4, routes_v6, time_servers, DefaultRoute, Kind, Own, TimeFile,
	MAX_OWN,
};
use if_addrs::IfAddr;
use ringfence_primitives::Address;
use std::{
	collections::{BTreeMap, BTreeSet},
	fs::File,
	future::Future,
	io::Read,
	net::IpAddr,
	sync::Arc,
	time::Duration,
};
use tokio::{
	net::lookup_host,
	sync::watch,
	time::{interval, timeout, Instant, MissedTickBehavior},
};
use tracing::{info, warn};

/// How often the machine is looked at: a few small files, some tens of microseconds.
const LOOK: Duration = Duration::from_secs(5);
/// How often names are looked up.
const RESOLVE: Duration = Duration::from_secs(300);
/// The least time between two look-ups, however often addresses change.
const RESOLVE_LEAST: Duration = Duration::from_secs(30);
/// Time for the look-up of one name.
const PATIENCE: Duration = Duration::from_secs(5);
/// For how long the address behind a name counts after it was last seen: a time daemon keeps to what it found first.
const KEPT: Duration = Duration::from_secs(86_400);
/// Addresses of one name at most.
const MAX_ADDRESSES: usize = 16;
/// Addresses of all names at most: the oldest go first.
const MAX_NAMED: usize = 128;
/// Bytes of a file that are read.
const MAX_FILE: u64 = 1 << 20;

/// Where name servers are listed: what programs use, and what stands behind a resolver on this machine.
const RESOLVERS: [&str; 5] = [
	"/etc/resolv.conf",
	"/run/systemd/resolve/resolv.conf",
	"/run/NetworkManager/no-stub-resolv.conf",
	"/tmp/resolv.conf.d/resolv.conf.auto",
	"/tmp/resolv.conf.auto",
];
/// Where time servers are listed.
const TIME_FILES: [(TimeFile, &str); 7] = [
	(TimeFile::Timesyncd, "/etc/systemd/timesyncd.conf"),
	(TimeFile::Ntp, "/etc/chrony/chrony.conf"),
	(TimeFile::Ntp, "/etc/chrony.conf"),
	(TimeFile::Ntp, "/etc/ntp.conf"),
	(TimeFile::Ntp, "/etc/ntpsec/ntp.conf"),
	(TimeFile::Ntp, "/etc/openntpd/ntpd.conf"),
	(TimeFile::Uci, "/etc/config/system"),
];

/// What is found.
type Found = BTreeSet<Own>;

/// What is found now, without names; from then on whatever changes, for as long as the future is polled. It never ends.
///
/// `endpoints` are the nodes' addresses. `uplink` are the interfaces towards the Internet; empty: those with a default route.
pub fn watch(
	endpoints: Vec<String>,
	uplink: Vec<String>,
) -> (watch::Receiver<Arc<Found>>, impl Future<Output = ()> + Send) {
	let mut lookout = Lookout { endpoints, uplink, named: BTreeMap::new() };
	let mut seen = lookout.look();
	let (sender, receiver) = watch::channel(Arc::new(seen.own.clone()));
	let task = async move {
		let mut looks = interval(LOOK);
		looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
		let mut resolved_at: Option<Instant> = None;
		let mut changed = false;
		loop {
			looks.tick().await;
			let now_seen = lookout.look();
			changed |= now_seen != seen;
			seen = now_seen;
			let due = resolved_at.is_none_or(|at| {
				let least = if changed { RESOLVE_LEAST } else { RESOLVE };
				at.elapsed() >= least
			});
			if due {
				lookout.resolve(&seen.names).await;
				(resolved_at, changed) = (Some(Instant::now()), false);
			}
			let all = lookout.with_named(&seen.own);
			sender.send_if_modified(|known| {
				let is_new = **known != all;
				if is_new {
					info!(at = now_ms(), networks = all.len(), "what this gateway needs is protected");
					*known = Arc::new(all);
				}
				is_new
			});
		}
	};
	(receiver, task)
}

/// What one look has found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Seen {
	own: Found,
	/// Names that are to be looked up.
	names: BTreeSet<(Kind, String)>,
}

impl Seen {
	fn add(&mut self, own: Own) {
		if self.own.len() < MAX_OWN {
			self.own.insert(own);
		}
	}

	/// A host that is written as an address or as a name.
	fn add_host(&mut self, what: Kind, host: &str) {
		match host.parse::<IpAddr>() {
			Ok(address) => routable(address).into_iter().for_each(|address| self.add(Own::host(what, address))),
			Err(_) => {
				self.names.insert((what, host.into()));
			}
		}
	}
}

struct Lookout {
	endpoints: Vec<String>,
	uplink: Vec<String>,
	/// What names led to, and when that was last so.
	named: BTreeMap<(Kind, Address), Instant>,
}

impl Lookout {
	/// Looks at the machine. What cannot be read is not there: a container may lack any of it.
	fn look(&self) -> Seen {
		let mut seen = Seen::default();
		let (v4, v6) = (text("/proc/net/route"), text("/proc/net/ipv6_route"));
		let routes: Vec<DefaultRoute> = routes_v4(&v4).chain(routes_v6(&v6)).collect();
		let is_uplink = |name: &str| match self.uplink.is_empty() {
			true => routes.iter().any(|route| route.interface == name),
			false => self.uplink.iter().any(|uplink| uplink == name),
		};
		match if_addrs::get_if_addrs() {
			Ok(interfaces) => {
				for found in interfaces {
					let prefix = match &found.addr {
						IfAddr::V4(v4) => v4.prefixlen,
						IfAddr::V6(v6) => v6.prefixlen,
					};
					interface(found.ip(), prefix, is_uplink(&found.name)).for_each(|own| seen.add(own));
				}
			}
			Err(cause) => warn!(at = now_ms(), %cause, "own addresses cannot be read"),
		}
		for gateway in routes.iter().filter_map(|route| route.gateway) {
			seen.add(Own::host(Kind::Gateway, gateway));
		}
		for path in RESOLVERS {
			resolvers(&text(path)).for_each(|address| seen.add(Own::host(Kind::Resolver, address)));
		}
		for (host, _) in self.endpoints.iter().filter_map(|endpoint| host_of(endpoint)) {
			seen.add_host(Kind::Node, host);
		}
		for (file, path) in TIME_FILES {
			let text = text(path);
			time_servers(file, &text).into_iter().for_each(|host| seen.add_host(Kind::Time, host));
		}
		seen
	}

	/// Looks the names up, one after the other.
	async fn resolve(&mut self, names: &BTreeSet<(Kind, String)>) {
		for (what, name) in names {
			// The port is of no matter, but the system's resolver wants one.
			let Ok(Ok(addresses)) = timeout(PATIENCE, lookup_host((name.as_str(), 0))).await else { continue };
			let addresses = addresses.filter_map(|address| routable(address.ip())).take(MAX_ADDRESSES);
			self.learn(*what, addresses, Instant::now());
		}
	}

	fn learn(&mut self, what: Kind, addresses: impl Iterator<Item = Address>, now: Instant) {
		self.named.extend(addresses.map(|address| ((what, address), now)));
		self.named.retain(|_, last| now.saturating_duration_since(*last) < KEPT);
		while self.named.len() > MAX_NAMED {
			let oldest = self.named.iter().min_by_key(|(_, last)| **last).map(|(key, _)| *key);
			let Some(oldest) = oldest else { break };
			self.named.remove(&oldest);
		}
	}

	fn with_named(&self, own: &Found) -> Found {
		let room = MAX_OWN.saturating_sub(own.len());
		let named = self.named.keys().map(|(what, address)| Own::host(*what, *address)).take(room);
		own.iter().copied().chain(named).collect()
	}
}

/// The content of a file as far as it is wanted; nothing where it cannot be read.
fn text(path: &str) -> String {
	let mut bytes = Vec::new();
	// What was read before an error is as good as any.
	let _ = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
	String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
	use super::*;
	use ringfence_primitives::Network;

	fn lookout(endpoints: &[&str]) -> Lookout {
		let endpoints = endpoints.iter().map(ToString::to_string).collect();
		Lookout { endpoints, uplink: Vec::new(), named: BTreeMap::new() }
	}

	#[test]
	fn every_address_of_this_machine_is_found() {
		let seen = lookout(&[]).look();
		for interface in if_addrs::get_if_addrs().unwrap() {
			let Some(address) = routable(interface.ip()) else { continue };
			assert!(seen.own.contains(&Own::host(Kind::Address, address)), "{address}");
		}
	}

	#[test]
	fn nodes_are_found_by_address_or_to_be_looked_up_by_name() {
		let seen = lookout(&["ws://192.0.2.7:9944", "wss://node.example", "ws://127.0.0.1:9944"]).look();
		assert!(seen.own.contains(&Own::host(Kind::Node, "192.0.2.7".parse().unwrap())));
		assert!(seen.names.contains(&(Kind::Node, "node.example".into())));
		let loopback: Network = "127.0.0.0/8".parse().unwrap();
		assert!(!seen.own.iter().any(|own| own.network.overlaps(&loopback)));
	}

	#[test]
	fn what_a_name_led_to_counts_for_a_day() {
		let mut lookout = lookout(&[]);
		let address = |last: u8| Address::V4([192, 0, 2, last]);
		let (now, day) = (Instant::now(), KEPT);
		lookout.learn(Kind::Time, [address(1), address(2)].into_iter(), now);
		lookout.learn(Kind::Time, [address(2)].into_iter(), now + day / 2);
		lookout.learn(Kind::Time, [address(3)].into_iter(), now + day);
		let own = lookout.with_named(&Found::new());
		assert_eq!(own, Found::from([2, 3].map(|last| Own::host(Kind::Time, address(last)))));
	}

	#[test]
	fn a_resolver_cannot_protect_all_the_world() {
		let mut lookout = lookout(&[]);
		let now = Instant::now();
		for round in 0..=255 {
			let addresses = (0..=255).map(|last| Address::V4([192, 0, round, last]));
			lookout.learn(Kind::Node, addresses.take(MAX_ADDRESSES), now + Duration::from_secs(round.into()));
		}
		assert_eq!(lookout.named.len(), MAX_NAMED);
		assert!(lookout.named.contains_key(&(Kind::Node, Address::V4([192, 0, 255, 0]))), "the newest stay");
		let full: Found =
			(0..MAX_OWN).map(|i| Own::host(Kind::Lan, Address::V4([10, 0, (i >> 8) as u8, i as u8]))).collect();
		assert_eq!(lookout.with_named(&full), full);
	}

	#[test]
	fn what_cannot_be_read_is_empty() {
		assert_eq!(text("/nonexistent"), "");
		assert_eq!(text("/"), "");
	}

	#[test]
	fn the_first_look_needs_no_network() {
		let (receiver, task) = watch(vec!["ws://192.0.2.7:9944".into()], Vec::new());
		assert!(receiver.borrow().contains(&Own::host(Kind::Node, "192.0.2.7".parse().unwrap())));
		drop(task);
	}
}
