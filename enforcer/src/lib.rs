//! The enforcer: turns what the chain decided into firewall state, and what a sensor saw into reports.
//!
//! [`core`] decides and touches nothing: no socket, no file, no clock. [`daemon`] moves bytes between the chain, the
//! kernel, the sensor's log and the disk. To follow one indicator from alert to dropped packet, read [`daemon::tail`],
//! [`core::eve`], [`core::report`], [`core::extrinsic`] and [`daemon::submit`] on the way out, and [`daemon::chain`],
//! [`core::frame`] (which asks [`core::finality`] and [`core::proof`]), [`core::policy`] and [`daemon::firewall`] on the
//! way back; [`daemon::run`] ties them together. A household's report makes a detour, sealed, through its provider:
//! [`daemon::household`], [`core::envelope`], [`daemon::inbox`] and [`core::inbox`]. People ask at [`daemon::control`].

pub mod core;
pub mod daemon;
