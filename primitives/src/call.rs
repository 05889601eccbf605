//! The calls that an enforcer makes, encoded without the runtime's metadata.
//!
//! The pallet and call numbers are pinned here; a test of the runtime compares them with the real ones.

use crate::{
	envelope::{AnswerToken, Envelope, EnvelopeKey, Sealed},
	AccountBytes, After, Ballot, Digest, Indicator, IndicatorId, Terms,
};
use alloc::vec::Vec;
use codec::Encode;

/// Number of the tiers pallet in the runtime.
pub const TIERS: u8 = 10;
const SET_ENVELOPE_KEY: u8 = 10;

/// Number of the indicators pallet in the runtime.
pub const INDICATORS: u8 = 11;
const REPORT: u8 = 0;
const VOTE: u8 = 1;
const WITHDRAW: u8 = 2;
const REPORT_PROVISIONALLY: u8 = 5;
const DISPUTE: u8 = 6;
const REPORT_BATCH: u8 = 7;
const VOTE_BATCH: u8 = 8;

/// Number of the envelopes pallet in the runtime.
pub const ENVELOPES: u8 = 12;
const SEND: u8 = 0;
const ANSWER: u8 = 1;
const SET_WHITELIST: u8 = 2;
const ANNOUNCE: u8 = 3;

/// Items that one batch may have.
pub const MAX_BATCH: u32 = 512;

/// Items of a batch that finds room in a block beside others. Before a batch is carried out, a block sets aside the most that
/// each item could weigh, which is several times what it does: a full batch waits for a block that is nearly empty.
pub const GOOD_BATCH: usize = 128;

/// Answers that one call may give.
pub const MAX_ANSWERS: u32 = 256;

/// `Tiers::set_envelope_key(key)`.
pub fn set_envelope_key(key: &EnvelopeKey) -> Vec<u8> {
	(TIERS, SET_ENVELOPE_KEY, key).encode()
}

/// `Indicators::report(indicator, terms)`.
pub fn report(indicator: &Indicator, terms: &Terms) -> Vec<u8> {
	(INDICATORS, REPORT, indicator, terms).encode()
}

/// `Indicators::report_provisionally(indicator, terms)`.
pub fn report_provisionally(indicator: &Indicator, terms: &Terms) -> Vec<u8> {
	(INDICATORS, REPORT_PROVISIONALLY, indicator, terms).encode()
}

/// `Indicators::report_batch(terms, indicators)`, at most [`MAX_BATCH`] of them.
pub fn report_batch(terms: &Terms, indicators: &[Indicator]) -> Vec<u8> {
	(INDICATORS, REPORT_BATCH, terms, indicators).encode()
}

/// `Indicators::vote(id, terms, vote, after)`.
pub fn vote(Ballot { id, terms, vote }: Ballot, after: Option<After>) -> Vec<u8> {
	(INDICATORS, VOTE, id, terms, vote, after).encode()
}

/// `Indicators::vote_batch(ballots, after)`, at most [`MAX_BATCH`] of them.
pub fn vote_batch(ballots: &[Ballot], after: Option<After>) -> Vec<u8> {
	(INDICATORS, VOTE_BATCH, ballots, after).encode()
}

/// `Indicators::withdraw(id)`.
pub fn withdraw(id: &IndicatorId) -> Vec<u8> {
	(INDICATORS, WITHDRAW, id).encode()
}

/// `Indicators::dispute(id)`.
pub fn dispute(id: &IndicatorId) -> Vec<u8> {
	(INDICATORS, DISPUTE, id).encode()
}

/// `Envelopes::send(to, envelope)`.
pub fn send(to: &AccountBytes, envelope: &Envelope) -> Vec<u8> {
	(ENVELOPES, SEND, to, envelope).encode()
}

/// `Envelopes::answer(answers)`: names of envelopes and what is said to them, at most [`MAX_ANSWERS`].
pub fn answer(answers: &[(Digest, AnswerToken)]) -> Vec<u8> {
	(ENVELOPES, ANSWER, answers).encode()
}

/// `Envelopes::set_whitelist(envelope)`.
pub fn set_whitelist(envelope: &Envelope) -> Vec<u8> {
	(ENVELOPES, SET_WHITELIST, envelope).encode()
}

/// `Envelopes::announce(sealed)`.
pub fn announce(sealed: &Sealed) -> Vec<u8> {
	(ENVELOPES, ANNOUNCE, sealed).encode()
}
