//! What moves bytes: the chain's RPC, the kernel's firewall, what sensors write, the disk and the command line.

pub mod actions;
pub mod capture;
pub mod chain;
pub mod cli;
pub mod config;
pub mod control;
pub mod dial;
pub mod enforce;
pub mod evidence;
pub mod firewall;
pub mod flood;
pub mod household;
pub mod inbox;
pub mod key;
pub mod keyring;
pub mod listen;
pub mod notify;
pub mod observe;
pub mod own;
pub mod people;
pub mod popular;
pub mod replay;
pub mod reports;
pub mod run;
pub mod seen;
pub mod sense;
pub mod sessions;
pub mod show;
pub mod state;
pub mod status;
pub mod store;
pub mod submit;
pub mod tail;
pub mod tier;
pub mod tray;
pub mod user;
pub mod vote;
pub mod watch;

use codec::DecodeAll;
use rand_core::{OsRng, TryRngCore, UnwrapErr};
use ringfence_primitives::{envelope::Letter, AccountBytes, Millis};
use std::{
	hash::{BuildHasher, RandomState},
	sync::{Mutex, MutexGuard, PoisonError},
	time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Unix time in milliseconds; 0 on a clock that stands before 1970.
pub fn now_ms() -> Millis {
	millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A time in milliseconds; the longest there is, where it is longer.
fn millis(time: Duration) -> Millis {
	time.as_millis().try_into().unwrap_or(Millis::MAX)
}

/// What a lock keeps, also after somebody panicked who held it: only for what every step leaves in a state that makes sense.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
	mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that nobody guesses by chance. Not for secrets: the standard library seeds its hash maps with it.
fn random() -> u64 {
	RandomState::new().hash_one(())
}

/// Random numbers for secrets, from the operating system. Linux hands them out without fail once it has started up.
fn secrets() -> UnwrapErr<OsRng> {
	OsRng.unwrap_err()
}

/// The letter to `member` that the node wrote as `text`; None if it is none.
fn letter(text: &str, member: &AccountBytes) -> Option<Letter> {
	let bytes = crate::core::hex::decode(text).ok()?;
	Letter::decode_all(&mut &bytes[..]).ok().filter(|letter| letter.to == *member)
}

/// The beginning of a text that an outsider wrote, for a log line.
fn excerpt(text: &str) -> String {
	const CHARACTERS: usize = 160;
	match text.char_indices().nth(CHARACTERS) {
		Some((end, _)) => format!("{}…", &text[..end]),
		None => text.to_owned(),
	}
}
