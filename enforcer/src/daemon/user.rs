//! Makes the superuser who types a command the user that the service runs as.
//!
//! The service runs as a user of its own, and everything in its state directory is that user's. A command that root runs on
//! the same directory would leave root's files there, with a mode that keeps the service out: it could not start again.
//!
//! # Security considerations
//!
//! The directory is named by the configuration, which root wrote. The change is for good: all user and group ids change,
//! what remains of root's power is listed ([`Keep`]), and no program started from here can win any back.

use std::{
	io,
	os::unix::fs::MetadataExt,
	path::{Path, PathBuf},
};

/// `CAP_DAC_READ_SEARCH`, `CAP_NET_ADMIN` and `CAP_NET_RAW` in `<linux/capability.h>`.
const READ_SEARCH: u32 = 1 << 2;
const NET_ADMIN: u32 = 1 << 12;
const NET_RAW: u32 = 1 << 13;
/// `_LINUX_CAPABILITY_VERSION_3`: two sets of 32.
const VERSION: u32 = 0x2008_0522;

/// What is kept of the superuser's power, where it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
	/// The firewall and packet sockets: for the daemon.
	Service,
	/// Also reading any file: the superuser may name files of his own on the command line.
	Person,
}

impl Keep {
	const fn capabilities(self) -> u32 {
		match self {
			Self::Service => NET_ADMIN | NET_RAW,
			Self::Person => NET_ADMIN | NET_RAW | READ_SEARCH,
		}
	}
}

/// Why root could not become the service's user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
	/// The state directory could not be looked at.
	#[error("{}: {source}", .path.display())]
	Directory {
		/// The directory.
		path: PathBuf,
		/// Why.
		source: io::Error,
	},
	/// The system refused a step.
	#[error("cannot become user {uid}, who owns the state directory: {step}: {source}")]
	Refused {
		/// The user.
		uid: u32,
		/// The system call.
		step: &'static str,
		/// Why.
		source: io::Error,
	},
}

/// If this process is root's and `directory` is somebody else's: becomes that user, with the directory's group and no other,
/// and keeps only `keep` of root. Otherwise, or where there is no directory yet, nothing changes.
///
/// To be called while the process has one thread: capabilities are each thread's own.
pub fn step_down(directory: &Path, keep: Keep) -> Result<(), UserError> {
	// SAFETY: geteuid takes nothing and cannot fail.
	if unsafe { libc::geteuid() } != 0 {
		return Ok(());
	}
	let (uid, gid) = match std::fs::metadata(directory) {
		Ok(metadata) => (metadata.uid(), metadata.gid()),
		Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
		Err(source) => return Err(UserError::Directory { path: directory.into(), source }),
	};
	if uid == 0 {
		return Ok(());
	}
	become_user(uid, gid, keep).map_err(|(step, source)| UserError::Refused { uid, step, source })
}

/// The header of `capget` and `capset`.
#[repr(C)]
struct Header {
	version: u32,
	/// 0: the calling thread.
	pid: libc::c_int,
}

/// One of the two sets of 32 capabilities.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Set {
	effective: u32,
	permitted: u32,
	inheritable: u32,
}

fn become_user(uid: u32, gid: u32, keep: Keep) -> Result<(), (&'static str, io::Error)> {
	let checked = |step, result: libc::c_long| match result {
		0 => Ok(()),
		_ => Err((step, io::Error::last_os_error())),
	};
	let [none, one]: [libc::c_ulong; 2] = [0, 1];
	let mut header = Header { version: VERSION, pid: 0 };
	let mut sets = [Set::default(); 2];
	// SAFETY: the calls take integers, or pointers to the two structures above, which outlive them and have the layout of
	// the kernel's interface of this version; an empty list of groups is never read.
	unsafe {
		// Without this, the change of user would take all capabilities away.
		checked("prctl(PR_SET_KEEPCAPS)", libc::prctl(libc::PR_SET_KEEPCAPS, one, none, none, none).into())?;
		checked("setgroups", libc::setgroups(0, std::ptr::null()).into())?;
		checked("setresgid", libc::setresgid(gid, gid, gid).into())?;
		checked("setresuid", libc::setresuid(uid, uid, uid).into())?;
		// In a container root may have less than it seems.
		checked("capget", libc::syscall(libc::SYS_capget, &mut header, sets.as_mut_ptr()))?;
		let kept = sets[0].permitted & keep.capabilities();
		sets = [Set { effective: kept, permitted: kept, inheritable: 0 }, Set::default()];
		checked("capset", libc::syscall(libc::SYS_capset, &mut header, sets.as_ptr()))?;
		checked("prctl(PR_SET_NO_NEW_PRIVS)", libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, none, none, none).into())
	}
}
