//! Packets in, findings out: what a gateway sees of an attack by itself.
//!
//! [`packet`] reads frames, [`engine`] tells which side of the home they are on and whether their sender is proven, and hands
//! them to the detectors in [`detect`], one file each. What a flood looks like, [`learn`] turns into the narrowest flow
//! signature that covers it. Nothing here touches a socket, a file or a clock: frames and times come in, [`Finding`]s go out.
//!
//! # Security considerations
//!
//! Whoever can send a packet past the gateway writes every byte that is read here. So nothing panics on any frame, all memory
//! is taken at the start and never grows, and every table hashes with a secret key of its own: nobody outside can aim at its
//! slots. **An address is evidence against its owner only where a handshake proves that the packets are its own**
//! ([`Finding::spoofable`]); against a flood of forged sources there is only what its packets look like.

pub mod detect;
pub mod dialogue;
pub mod engine;
pub mod finding;
pub mod handshake;
pub mod learn;
pub mod packet;
pub mod sketch;

pub use engine::Engine;
pub use finding::{Finding, Sample};
pub use packet::{Link, Packet};
