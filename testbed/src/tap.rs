//! A tap on a line: how many packets of one protocol strangers have sent to a home, and when the last one came.

use crate::{
	error::{Context, Result},
	netns::Namespace,
	now_ms,
	traffic::Worker,
};
use std::{
	ffi::CString,
	io,
	net::{Ipv4Addr, UdpSocket},
	os::fd::{AsRawFd, FromRawFd, OwnedFd},
	sync::{Arc, Mutex, PoisonError},
	time::Duration,
};

/// Bytes of an IPv4 header without options.
const HEADER: usize = 20;
/// How long it waits for a packet before it looks whether it is to stop.
const PAUSE: Duration = Duration::from_millis(100);

/// What has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
	/// Packets.
	pub packets: u64,
	/// When the newest one was seen, in Unix milliseconds.
	pub last_at: i64,
}

/// Hears what arrives at an interface, before any firewall does, until dropped.
pub struct Tap {
	arrived: Arc<Mutex<Arrived>>,
	_worker: Worker,
}

impl Tap {
	/// Counts packets of IP `protocol` to `target` that arrive at `device` in `namespace` from anybody but `known`.
	pub fn start(
		namespace: &Namespace,
		device: &str,
		target: Ipv4Addr,
		protocol: u8,
		known: &[Ipv4Addr],
	) -> Result<Self> {
		let what = || format!("listening at {device} of {}", namespace.name());
		let socket = namespace.within(|| open(device))?.context(what())?;
		socket.set_read_timeout(Some(PAUSE)).context("a read timeout")?;
		let arrived = Arc::new(Mutex::new(Arrived::default()));
		let (shared, known) = (arrived.clone(), known.to_vec());
		let worker = Worker::start(move || {
			let mut header = [0; HEADER];
			// Nothing in time, or no whole header.
			let Ok(HEADER) = socket.recv(&mut header) else { return };
			let [.., seen, _, _, a, b, c, d, e, f, g, h] = header;
			let (source, destination) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
			if seen == protocol && destination == target && !known.contains(&source) {
				let mut arrived = shared.lock().unwrap_or_else(PoisonError::into_inner);
				*arrived = Arrived { packets: arrived.packets + 1, last_at: now_ms() };
			}
		});
		Ok(Self { arrived, _worker: worker })
	}

	/// What has arrived so far.
	pub fn arrived(&self) -> Arrived {
		*self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

/// A socket for the IPv4 packets that arrive at `device` in the calling thread's namespace, from their IP header on. It is no
/// UDP socket, but what is read from it comes packet by packet as well.
fn open(device: &str) -> io::Result<UdpSocket> {
	let name = CString::new(device)?;
	// SAFETY: the name ends with a zero and outlives the call.
	let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
	if index == 0 {
		return Err(io::Error::last_os_error());
	}
	// SAFETY: no pointers are passed.
	let descriptor = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
	if descriptor < 0 {
		return Err(io::Error::last_os_error());
	}
	// SAFETY: the kernel has just given it to us, and nobody else knows it.
	let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
	// SAFETY: a socket address is plain numbers, for which zero is a value.
	let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
	address.sll_family = libc::AF_PACKET as libc::c_ushort;
	address.sll_protocol = (libc::ETH_P_IP as u16).to_be();
	address.sll_ifindex = index as libc::c_int;
	// SAFETY: the address outlives the call, with its own size.
	let bound = unsafe {
		libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as libc::socklen_t)
	};
	if bound != 0 {
		return Err(io::Error::last_os_error());
	}
	Ok(socket.into())
}
