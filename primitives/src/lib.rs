//! Types that the Ringfence runtime and its enforcers share.
//!
//! An enforcer needs this crate, and no other part of the chain, to read what the chain decided: [`Indicator`] says what
//! is bad, [`Terms`] what to do about it, [`Change`] is one entry of the change log, and [`keys`] finds the log in the state.
//!
//! # Canonical form
//!
//! One thing has one encoding. Decoding refuses what is not canonical (a network with host bits, an IPv4 address dressed
//! up as IPv6, a full-length network that ought to be a host, a range that runs backwards), so two members cannot get
//! the same peer voted on twice under two names, and [`Indicator::id`] can be the hash of the encoding.
//!
//! # Security considerations
//!
//! Every type here is decoded from input that a member, an RPC server or a file controls. Decoding allocates at most a
//! note of [`note::MAX_LEN`] bytes, never panics, and refuses with the cause.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod address;
pub mod call;
pub mod change;
pub mod digest;
pub mod dossier;
pub mod envelope;
pub mod flow;
pub mod indicator;
pub mod keys;
pub mod note;
pub mod proposal;
pub mod terms;

pub use address::{Address, AddressError, Network};
pub use change::{Change, ChangeKind, Decision, LogHead};
pub use digest::ActiveDigest;
pub use dossier::{Contribution, Deed, Dossier, MemberInfo, MemberRole, Standing};
pub use flow::{FlowSignature, IcmpMatch, LengthRange, PortRange, TcpFlags};
pub use indicator::{Endpoint, Indicator, IndicatorId, Transport};
pub use note::Note;
pub use proposal::{After, Backing, Ballot, Proposal, Scope, Shown, Vote};
pub use terms::{Action, Confidence, Direction, Lifetime, PacketRate, Severity, Terms, ThreatClass, Tlp};

/// A public account on the chain: an sr25519 public key, as bytes.
pub type AccountBytes = [u8; 32];

/// A BLAKE2b-256 digest.
pub type Digest = [u8; 32];

/// Milliseconds since the Unix epoch, by the chain's clock.
pub type Millis = u64;

/// Implements the SCALE traits that a validating `Decode` cannot derive.
///
/// `$raw` is the derived twin of the type, with the same fields; `$check` turns it into the type or says why not.
macro_rules! decode_checked {
	($type:ty, $raw:ty, $check:expr) => {
		impl codec::Decode for $type {
			fn decode<I: codec::Input>(input: &mut I) -> Result<Self, codec::Error> {
				let raw = <$raw as codec::Decode>::decode(input)?;
				let check: fn($raw) -> Result<$type, &'static str> = $check;
				check(raw).map_err(codec::Error::from)
			}
		}
		impl codec::DecodeWithMemTracking for $type {}
	};
}
pub(crate) use decode_checked;
