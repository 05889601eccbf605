//! The calls that an enforcer makes, encoded without the runtime's metadata.
//!
//! The pallet and call numbers are pinned here; a test of the runtime compares them with the real ones.

use crate::{Digest, Indicator, IndicatorId, Terms, Vote};
use alloc::vec::Vec;
use codec::Encode;

/// Number of the indicators pallet in the runtime.
pub const INDICATORS: u8 = 11;
const REPORT: u8 = 0;
const VOTE: u8 = 1;
const WITHDRAW: u8 = 2;

/// `Indicators::report(indicator, terms)`.
pub fn report(indicator: &Indicator, terms: &Terms) -> Vec<u8> {
	(INDICATORS, REPORT, indicator, terms).encode()
}

/// `Indicators::vote(id, terms, vote)`; `terms` is [`Terms::hash`].
pub fn vote(id: &IndicatorId, terms: &Digest, vote: Vote) -> Vec<u8> {
	(INDICATORS, VOTE, id, terms, vote).encode()
}

/// `Indicators::withdraw(id)`.
pub fn withdraw(id: &IndicatorId) -> Vec<u8> {
	(INDICATORS, WITHDRAW, id).encode()
}
