//! The enforcer: turns what the chain decided into firewall state, and what a sensor saw into reports.
//!
//! [`core`] decides and touches nothing: no socket, no file, no clock. [`daemon`] moves bytes between the chain, the
//! kernel, the sensors and the disk. To follow one indicator to dropped packets, read on the way out [`daemon::capture`] and
//! [`daemon::watch`] for what is seen in packets, [`daemon::tail`], [`daemon::listen`] and [`core::alert`] for what other programs
//! say; then [`core::rules`], [`core::report`], [`core::evidence`], [`daemon::reports`], [`core::extrinsic`] and
//! [`daemon::submit`]; and on the way back [`daemon::sessions`], [`core::frame`] (which asks [`core::finality`] and
//! [`core::proof`]), [`daemon::enforce`], [`daemon::store`], [`core::policy`] and [`daemon::firewall`]. [`daemon::run`] ties them
//! together.
//!
//! A household's report makes a detour, sealed, through its provider: [`daemon::household`], [`core::envelope`],
//! [`daemon::inbox`] and [`core::inbox`]. Whoever begins with nothing takes in a [`core::snapshot`]. People ask at
//! [`daemon::control`], and look at [`daemon::observe`].

pub mod core;
pub mod daemon;
