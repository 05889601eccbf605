//! Keeps connections responsive across a cut of the wire.
//!
//! TCP doubles its pause after each lost packet, up to two minutes. When the networks of two providers are parted for a
//! minute and joined again, the connections between their validators would stay silent for up to another minute, and
//! finality with them. The network backends offer no setting for it, so a task looks through the process's own sockets
//! and sets the options on each that is TCP.

use std::{
	ffi::{c_int, c_uint},
	io,
	time::Duration,
};

/// `TCP_RTO_MAX_MS` of Linux 6.15 and later: the longest pause between two attempts.
const TCP_RTO_MAX_MS: c_int = 44;

/// The longest pause where the kernel can bound it (a second is the least it takes): the connection resumes within this
/// time of the wire's return.
const RTO_MAX: Duration = Duration::from_secs(1);

/// With a bounded pause a connection may outlive a cut of this length. A longer one begins with a new connection.
const PATIENT: Duration = Duration::from_secs(300);

/// Elsewhere a silent connection is given up after this time, and the node dials anew.
const IMPATIENT: Duration = Duration::from_secs(6);

/// How often new connections are looked for.
const LOOK: Duration = Duration::from_secs(2);

/// Looks after connections for as long as the node runs.
pub async fn keep_responsive() {
	let mut looks = tokio::time::interval(LOOK);
	loop {
		looks.tick().await;
		if let Err(cause) = look() {
			log::warn!(target: "ringfence", "Connections cannot be looked after: {cause}");
			return;
		}
	}
}

fn look() -> io::Result<()> {
	for entry in std::fs::read_dir("/proc/self/fd")? {
		// A descriptor that was closed since the folder was read, or that is no socket, refuses the options: no harm.
		let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse::<c_int>().ok()) else { continue };
		if is_tcp(fd) {
			let bounded = set(fd, TCP_RTO_MAX_MS, RTO_MAX);
			set(fd, libc::TCP_USER_TIMEOUT, if bounded { PATIENT } else { IMPATIENT });
		}
	}
	Ok(())
}

fn is_tcp(fd: c_int) -> bool {
	let mut protocol: c_int = 0;
	let mut size = size_of::<c_int>() as libc::socklen_t;
	// SAFETY: the pointers are to a live `c_int` and its size; a descriptor that is no socket yields an error.
	let result =
		unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL, (&raw mut protocol).cast(), &raw mut size) };
	result == 0 && protocol == libc::IPPROTO_TCP
}

/// Whether the kernel took the option.
fn set(fd: c_int, option: c_int, value: Duration) -> bool {
	let millis = value.as_millis() as c_uint;
	let size = size_of::<c_uint>() as libc::socklen_t;
	// SAFETY: the pointer is to a live `c_uint` of the size that is given.
	unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, option, (&raw const millis).cast(), size) == 0 }
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::{
		net::{TcpListener, TcpStream},
		os::fd::AsRawFd,
	};

	fn user_timeout(fd: c_int) -> c_uint {
		let mut value: c_uint = 0;
		let mut size = size_of::<c_uint>() as libc::socklen_t;
		// SAFETY: as above.
		let result = unsafe {
			libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, (&raw mut value).cast(), &raw mut size)
		};
		assert_eq!(result, 0);
		value
	}

	#[test]
	fn connections_are_found_and_set() {
		let listener = TcpListener::bind("127.0.0.1:0").unwrap();
		let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
		let file = std::fs::File::open("/dev/null").unwrap();
		assert!(is_tcp(stream.as_raw_fd()) && !is_tcp(file.as_raw_fd()) && !is_tcp(-1));
		assert_eq!(user_timeout(stream.as_raw_fd()), 0);
		look().unwrap();
		let expected = [PATIENT, IMPATIENT].map(|d| d.as_millis() as c_uint);
		assert!(expected.contains(&user_timeout(stream.as_raw_fd())));
		assert!(expected.contains(&user_timeout(listener.as_raw_fd())), "what is accepted inherits it");
	}
}
