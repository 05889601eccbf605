//! Where frames may be sent. Decided before one is made.

use super::Link;
use crate::{
	error::{Context, Error, Result},
	netns::{self, run, DIRECTORY},
};
use serde_json::Value;
use std::{
	fs::File,
	io,
	net::{Ipv4Addr, UdpSocket},
	os::{
		fd::{AsRawFd, FromRawFd, OwnedFd},
		unix::fs::MetadataExt,
	},
	path::Path,
	process::Command,
	thread,
	time::{Duration, Instant},
};

/// How long the next hop may take to say its Ethernet address.
const NEIGHBOUR: Duration = Duration::from_secs(3);
/// The attribute of a request for a namespace's number that names it by a descriptor.
const NETNSA_FD: u16 = 3;

/// Why nothing is sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
	/// The namespace is the machine's own.
	#[error("{0} is the machine's own network, or the one that this program was started in")]
	OwnNetwork(String),
	/// The namespace is somebody's.
	#[error("no testbed made a network namespace of the name {0:?}")]
	Foreign(String),
	/// The interface may be a real one.
	#[error("{device} is of the kind {kind:?}; only veth, dummy and lo lead nowhere")]
	Device {
		/// Its name.
		device: String,
		/// As the kernel says.
		kind: String,
	},
	/// The other end of the veth is in the machine's own network.
	#[error("the other end of {0} lies in the machine's own network")]
	LeadsHome(String),
	/// The kernel would take another way.
	#[error("{target} is reached through {through}, not through {device}")]
	OtherWay {
		/// Where to.
		target: Ipv4Addr,
		/// The interface that was named.
		device: String,
		/// The one that its route names.
		through: String,
	},
	/// To the loopback, or from it, an address of another network.
	#[error("{0} is not an address of the loopback, 127.0.0.0/8")]
	NotLoopback(Ipv4Addr),
	/// Too much.
	#[error("{given} {what} are too many, the most is {most}")]
	Limit {
		/// Of what.
		what: &'static str,
		/// As asked for.
		given: u64,
		/// As allowed.
		most: u64,
	},
	/// Something of which there must be one at least.
	#[error("there are no {0}")]
	Nothing(&'static str),
}

/// What is known about a way out.
#[derive(Clone, Debug)]
pub struct Facts {
	/// The namespace, by name; none when it is the one that this program runs in.
	pub namespace: Option<String>,
	/// Whether that is the machine's own, or the one that this program was started in, under whatever name.
	pub own: bool,
	/// The interface.
	pub device: String,
	/// Its kind, as the kernel names it; `lo` for the loopback.
	pub kind: String,
	/// Whether its other end lies in the machine's own network.
	pub leads_home: bool,
	/// Where frames are to go.
	pub target: Ipv4Addr,
	/// The interface that its route names.
	pub through: String,
}

/// Whether frames may be sent there. Nothing else decides.
pub fn decide(facts: &Facts) -> Result<(), Refusal> {
	let device = facts.device.clone();
	match &facts.namespace {
		None if facts.kind != "lo" => return Err(Refusal::OwnNetwork(device)),
		None if !facts.target.is_loopback() => return Err(Refusal::NotLoopback(facts.target)),
		None => {}
		Some(name) => {
			is_testbeds(name)?;
			if facts.own {
				return Err(Refusal::OwnNetwork(name.clone()));
			}
		}
	}
	match facts.kind.as_str() {
		"lo" | "dummy" => {}
		"veth" if facts.leads_home => return Err(Refusal::LeadsHome(device)),
		"veth" => {}
		kind => return Err(Refusal::Device { device, kind: kind.to_owned() }),
	}
	if facts.through != facts.device {
		return Err(Refusal::OtherWay { target: facts.target, device, through: facts.through.clone() });
	}
	Ok(())
}

/// Whether a testbed made the namespace of this name, by the name. One with a slash could be a path to anything.
fn is_testbeds(name: &str) -> Result<(), Refusal> {
	match netns::owner(name) {
		Some(_) if !name.contains('/') => Ok(()),
		_ => Err(Refusal::Foreign(name.to_owned())),
	}
}

/// A way out that [`decide`] has allowed, and a socket that knows no other.
pub struct Exit {
	socket: OwnedFd,
	device: i32,
	link: Link,
	namespace: Option<(String, File)>,
}

impl Exit {
	/// Through an interface of a testbed's namespace, towards `target`. Needs root.
	pub fn open(namespace: &str, device: &str, target: Ipv4Addr) -> Result<Self> {
		is_testbeds(namespace)?;
		let path = Path::new(DIRECTORY).join(namespace);
		let file = File::open(&path).context(format!("opening namespace {namespace}"))?;
		// Opened from here: once inside, the words would mean something else.
		let homes = homes()?;
		let (socket, index, link) =
			netns::within(&file, namespace, || leave(Some(namespace), &homes, device, target))??;
		Ok(Self { socket, device: index, link, namespace: Some((namespace.to_owned(), file)) })
	}

	/// Through the loopback of the network that this program runs in. Needs root.
	pub fn loopback(target: Ipv4Addr) -> Result<Self> {
		// Before anybody is asked about a route.
		if !target.is_loopback() {
			return Err(Refusal::NotLoopback(target).into());
		}
		let (socket, device, link) = leave(None, &homes()?, "lo", target)?;
		Ok(Self { socket, device, link, namespace: None })
	}

	/// The Ethernet addresses of frames that go this way.
	pub fn link(&self) -> Link {
		self.link
	}

	/// Whether this leads to the loopback of the network that this program runs in: every frame has to stay there.
	pub fn is_loopback(&self) -> bool {
		self.namespace.is_none()
	}

	/// The socket for frames.
	pub(super) fn socket(&self) -> &OwnedFd {
		&self.socket
	}

	/// The interface's number, in its namespace.
	pub(super) fn device(&self) -> i32 {
		self.device
	}

	/// Does `work` where this begins: sockets that it opens belong to the namespace.
	pub(super) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
		match &self.namespace {
			Some((name, file)) => netns::within(file, name, work),
			None => Ok(work()),
		}
	}
}

/// The networks that nothing may reach: the machine's own, and the one that this program was started in.
fn homes() -> Result<Vec<File>> {
	let own = File::open("/proc/self/ns/net").context("opening this program's own namespace")?;
	// In a container the first process may be another user's: then what this was started in is all there is to protect.
	Ok([own].into_iter().chain(File::open("/proc/1/ns/net")).collect())
}

/// Gathers the facts from within the namespace, has them decided, and opens a socket: with it the interface's number and
/// the Ethernet addresses to use.
fn leave(namespace: Option<&str>, homes: &[File], device: &str, target: Ipv4Addr) -> Result<(OwnedFd, i32, Link)> {
	let here =
		File::open("/proc/thread-self/ns/net").and_then(|file| identity(&file)).context("looking where this is")?;
	let mut own = false;
	for home in homes {
		own |= identity(home).context("looking at the machine's own network")? == here;
	}
	let shown = ip(&["-j", "-d", "link", "show", "dev", device])?;
	let index = shown["ifindex"].as_i64().and_then(|index| i32::try_from(index).ok());
	let address = shown["address"].as_str().and_then(ethernet);
	let (Some(index), Some(address)) = (index, address) else {
		return Err(malformed(format!("what ip says about {device}"), &shown));
	};
	let kind = match shown["linkinfo"]["info_kind"].as_str() {
		Some(kind) => kind,
		None if shown["link_type"] == "loopback" => "lo",
		None => "real",
	};
	let leads_home = match shown["link_netnsid"].as_i64() {
		Some(number) => {
			let mut leads = false;
			for home in homes {
				leads |= i64::from(number_of(home).context("asking for a namespace's number")?) == number;
			}
			leads
		}
		// A veth whose other end is here says its name; of one that says nothing, nothing is known.
		None => kind == "veth" && shown["link"].as_str().is_none(),
	};
	// Without a route there is no way, which is for `decide` to say.
	let route = ip(&["-j", "route", "get", &target.to_string()]).unwrap_or_default();
	let facts = Facts {
		namespace: namespace.map(str::to_owned),
		own,
		device: device.to_owned(),
		kind: kind.to_owned(),
		leads_home,
		target,
		through: route["dev"].as_str().unwrap_or("no interface").to_owned(),
	};
	decide(&facts)?;
	let destination = match kind {
		"veth" => {
			let hop = route["gateway"].as_str().map_or(Ok(target), |hop| hop.parse::<Ipv4Addr>());
			neighbour(device, hop.map_err(|_| malformed(format!("the route to {target}"), &route))?)?
		}
		_ => [0; 6],
	};
	Ok((packet_socket().context("opening a packet socket")?, index, Link { source: address, destination }))
}

/// What `ip` says about one thing, in the namespace of the calling thread.
fn ip(arguments: &[&str]) -> Result<Value> {
	let text = run(Command::new("ip").args(arguments), "")?;
	let all: Value = serde_json::from_str(&text)
		.map_err(|error| Error::Malformed { what: format!("ip {}", arguments.join(" ")), cause: error.to_string() })?;
	Ok(all.get(0).cloned().unwrap_or_default())
}

fn malformed(what: String, value: &Value) -> Error {
	Error::Malformed { what, cause: format!("{value} is not understood") }
}

fn identity(namespace: &File) -> io::Result<(u64, u64)> {
	let metadata = namespace.metadata()?;
	Ok((metadata.dev(), metadata.ino()))
}

fn ethernet(text: &str) -> Option<[u8; 6]> {
	let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
	bytes?.try_into().ok()
}

/// The next hop's Ethernet address: the kernel is made to ask for it, by a datagram to the hop itself.
fn neighbour(device: &str, hop: Ipv4Addr) -> Result<[u8; 6]> {
	const DISCARD: u16 = 9;
	let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("a socket")?;
	let start = Instant::now();
	loop {
		// It fails when the hop has not answered so far; then the next one asks again.
		let _ = socket.send_to(&[], (hop, DISCARD));
		let known = ip(&["-j", "neigh", "show", "to", &hop.to_string(), "dev", device])?;
		if let Some(address) = known["lladdr"].as_str().and_then(ethernet) {
			return Ok(address);
		}
		if start.elapsed() > NEIGHBOUR {
			let what = format!("the Ethernet address of {hop}");
			return Err(Error::Deadline { what, within: NEIGHBOUR, log: String::new() });
		}
		// That a neighbour is known is no event that a program like this could wait for.
		thread::sleep(Duration::from_millis(10));
	}
}

fn owned(descriptor: i32) -> io::Result<OwnedFd> {
	if descriptor < 0 {
		return Err(io::Error::last_os_error());
	}
	// SAFETY: the kernel has just given it to us, and nobody else knows it.
	Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// A socket that sends frames and receives none, past the queues of the interface.
fn packet_socket() -> io::Result<OwnedFd> {
	// SAFETY: no pointers are passed.
	let socket = owned(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
	let on: libc::c_int = 1;
	// SAFETY: the value is an int that outlives the call, with its own size.
	let set = unsafe {
		libc::setsockopt(
			socket.as_raw_fd(),
			libc::SOL_PACKET,
			libc::PACKET_QDISC_BYPASS,
			(&raw const on).cast(),
			size_of::<libc::c_int>() as libc::socklen_t,
		)
	};
	if set != 0 {
		return Err(io::Error::last_os_error());
	}
	Ok(socket)
}

/// The number that the calling thread's namespace knows another one by; -1 where it knows none.
fn number_of(namespace: &File) -> io::Result<i32> {
	const LENGTH: u32 = 28;
	// A netlink header (length, type, flags, sequence, port), the family (padded), and one attribute: a descriptor.
	let mut request = LENGTH.to_ne_bytes().to_vec();
	request.extend_from_slice(&libc::RTM_GETNSID.to_ne_bytes());
	request.extend_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
	request.extend_from_slice(&[0; 12]);
	request.extend_from_slice(&8_u16.to_ne_bytes());
	request.extend_from_slice(&NETNSA_FD.to_ne_bytes());
	request.extend_from_slice(&namespace.as_raw_fd().to_ne_bytes());

	// SAFETY: no pointers are passed.
	let socket =
		owned(unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) })?;
	// SAFETY: the buffer is as long as is said.
	if unsafe { libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) } < 0 {
		return Err(io::Error::last_os_error());
	}
	let mut answer = [0_u8; 256];
	// SAFETY: the buffer is as long as is said.
	let length = unsafe { libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0) };
	if length < 0 {
		return Err(io::Error::last_os_error());
	}
	// The first attribute of the answer is the number.
	let is_answer = length >= 28 && answer[4..6] == libc::RTM_NEWNSID.to_ne_bytes();
	let [.., a, b, c, d] = answer[..28] else { return Err(io::ErrorKind::InvalidData.into()) };
	if is_answer {
		Ok(i32::from_ne_bytes([a, b, c, d]))
	} else {
		Err(io::ErrorKind::InvalidData.into())
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn allowed() -> Facts {
		Facts {
			namespace: Some("rf1a-attacker".into()),
			own: false,
			device: "net".into(),
			kind: "veth".into(),
			leads_home: false,
			target: Ipv4Addr::new(203, 0, 113, 42),
			through: "net".into(),
		}
	}

	fn loopback(target: Ipv4Addr) -> Facts {
		let (device, through) = ("lo".into(), "lo".into());
		Facts { namespace: None, own: true, device, kind: "lo".into(), leads_home: false, target, through }
	}

	#[test]
	fn a_testbeds_namespace_and_the_loopback_are_allowed() {
		assert_eq!(decide(&allowed()), Ok(()));
		assert_eq!(decide(&Facts { kind: "dummy".into(), ..allowed() }), Ok(()));
		assert_eq!(decide(&loopback(Ipv4Addr::LOCALHOST)), Ok(()));
		assert_eq!(decide(&loopback(Ipv4Addr::new(127, 9, 9, 9))), Ok(()));
	}

	#[test]
	fn the_machines_own_network_is_refused_under_any_name() {
		let refused = decide(&Facts { own: true, ..allowed() });
		assert_eq!(refused, Err(Refusal::OwnNetwork("rf1a-attacker".into())));
		let refused = decide(&Facts { namespace: None, ..allowed() });
		assert_eq!(refused, Err(Refusal::OwnNetwork("net".into())));
	}

	#[test]
	fn namespaces_that_no_testbed_made_are_refused() {
		for name in ["", "red", "rf", "rf-x", "cni-1234", "rf1-../../../proc/1/ns/net", "/proc/1/ns/net"] {
			let refused = decide(&Facts { namespace: Some(name.into()), ..allowed() });
			assert_eq!(refused, Err(Refusal::Foreign(name.into())));
		}
	}

	#[test]
	fn interfaces_that_may_lead_out_are_refused() {
		for kind in ["real", "wireguard", "macvlan", "ipvlan", "tun", "bridge", "vlan", "bond", "gre", ""] {
			let refused = decide(&Facts { kind: kind.into(), ..allowed() });
			assert_eq!(refused, Err(Refusal::Device { device: "net".into(), kind: kind.into() }));
		}
		let refused = decide(&Facts { leads_home: true, ..allowed() });
		assert_eq!(refused, Err(Refusal::LeadsHome("net".into())));
		let refused = decide(&Facts { through: "eth0".into(), ..allowed() });
		assert!(matches!(refused, Err(Refusal::OtherWay { .. })), "{refused:?}");
	}

	#[test]
	fn the_loopback_leads_to_the_loopback_only() {
		let outside = Ipv4Addr::new(203, 0, 113, 1);
		assert_eq!(decide(&loopback(outside)), Err(Refusal::NotLoopback(outside)));
		assert!(matches!(Exit::loopback(outside), Err(Error::Flood(Refusal::NotLoopback(_)))));
		let elsewhere = Exit::open("red", "eth0", outside);
		assert!(matches!(elsewhere, Err(Error::Flood(Refusal::Foreign(_)))));
	}

	#[test]
	fn ethernet_addresses_are_read() {
		assert_eq!(ethernet("be:b0:64:d8:9a:2e"), Some([0xbe, 0xb0, 0x64, 0xd8, 0x9a, 0x2e]));
		for text in ["", "be:b0", "be:b0:64:d8:9a:2e:00", "xx:b0:64:d8:9a:2e"] {
			assert_eq!(ethernet(text), None, "{text}");
		}
	}
}
