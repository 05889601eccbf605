//! Sealing and opening of what goes between a household and its provider.
//!
//! An envelope is HPKE (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. The chain tells who signed
//! the transaction that carries it; the seal binds that sender, the recipient and the chain, so an envelope that somebody
//! else copies opens for nobody. Who says something decides how that is known ([`Sender`]):
//!
//! ```text
//! provider to subscriber      authenticated mode, the provider's key      the subscriber pins that key
//! subscriber to provider      base mode                                   the chain's word: a subscriber need have no key
//! owner to own gateway        base mode                                   the record on the chain, see is_on_record
//! ```
//!
//! No octet names the mode. It is part of what the keys are derived from, and the recipient knows it from the direction, so
//! nobody can choose another.
//!
//! ```text
//! envelope = encapsulated key, 32 bytes ‖ ciphertext of the padded message ‖ tag, 16 bytes     1,024 bytes, always
//!     info = "ringfence/1" ‖ genesis hash          associated data = sender ‖ recipient
//! sealed   = number of the tier key, u32 LE ‖ nonce, 12 bytes ‖ ciphertext ‖ tag, 16 bytes       512 bytes, always
//!                                                  associated data = provider ‖ number
//! ```
//!
//! # Security considerations
//!
//! - Everything that is opened comes from other members through nodes that may lie. Nothing here panics on it, and no
//!   refusal tells the sender anything.
//! - Wrong key, other sender, other chain, and any change of any bit are one error: they cannot be told apart.
//! - [`open`] limits the age, [`Seen`] remembers what was opened within that age: together they refuse replays.
//! - In base mode anybody can seal. Whoever hands the letter over, a node that may lie, is believed about who signed it and
//!   about what is on record.
//! - In authenticated mode only the two ends can seal. So who gets a recipient's key can tell it things in its provider's
//!   name.
//! - There is no forward secrecy for the recipient: who gets its key reads what was sent to it. `rotate` it with
//!   `Tiers::set_envelope_key`.

use super::blake2_256;
use chacha20poly1305::{
	aead::{Aead as _, KeyInit, Payload},
	ChaCha20Poly1305, Key, Nonce,
};
use codec::{DecodeAll, Encode};
use hpke::{
	aead, kdf,
	kem::{Kem as _, X25519HkdfSha256},
	Deserializable, OpModeR, OpModeS, Serializable,
};
use rand_core::CryptoRng;
use ringfence_primitives::{
	envelope::{
		name, pad, unpad, AnswerToken, Envelope, EnvelopeKey, Message, Outcome, Sealed, TierChange, TierKey,
		WhitelistRecord, ENVELOPE_LEN, MAX_SEALED_LEN,
	},
	AccountBytes, Digest, Millis,
};
use std::collections::{HashSet, VecDeque};
use thiserror::Error;

type Kem = X25519HkdfSha256;
type PrivateKey = <Kem as hpke::Kem>::PrivateKey;
type PublicKey = <Kem as hpke::Kem>::PublicKey;
type EncappedKey = <Kem as hpke::Kem>::EncappedKey;

const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
const NONCE_LEN: usize = 12;
const NUMBER_LEN: usize = 4;
const OUTCOMES: [Outcome; 3] = [Outcome::Dismissed, Outcome::Tier1, Outcome::Promoted];

/// Bytes of a padded message: 976.
const MESSAGE_LEN: usize = ENVELOPE_LEN as usize - KEY_LEN - TAG_LEN;
/// Bytes of a padded tier change: 480.
const CHANGE_LEN: usize = MAX_SEALED_LEN as usize - NUMBER_LEN - NONCE_LEN - TAG_LEN;

/// How far ahead of the recipient's clock a sender's may be: two minutes. Households' clocks drift.
pub const MAX_AHEAD: Millis = 120_000;

/// What ties an envelope to one chain and one pair of members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
	/// The chain.
	pub genesis: Digest,
	/// Who sends: the member, whichever key signs.
	pub from: AccountBytes,
	/// Who receives; the sender itself for a whitelist.
	pub to: AccountBytes,
}

impl Context {
	fn info(&self) -> Vec<u8> {
		[b"ringfence/1".as_slice(), &self.genesis].concat()
	}

	fn associated(&self) -> Vec<u8> {
		[self.from, self.to].concat()
	}
}

/// How the recipient of an envelope knows who sealed it. The direction decides it, on both sides; the envelope has no say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender<K> {
	/// By the sender's key, HPKE's authenticated mode: whoever seals has the secret, whoever opens expects the public half.
	Known(K),
	/// By the signature under the transaction, HPKE's base mode.
	Signed,
}

/// A member's keys: what is sealed to it is opened with them, and what it seals as [`Sender::Known`] is sealed with them.
#[derive(Clone)]
pub struct Keypair {
	private: PrivateKey,
	public: PublicKey,
}

impl Keypair {
	/// The keys that belong to an account's seed, so that a gateway keeps one secret only.
	pub fn from_seed(seed: [u8; 32]) -> Self {
		let material = blake2_256(&[b"ringfence envelope".as_slice(), &seed].concat());
		let (private, public) = Kem::derive_keypair(&material);
		Self { private, public }
	}

	/// What others seal to: the argument of `Tiers::set_envelope_key`.
	pub fn public(&self) -> EnvelopeKey {
		self.public.to_bytes().into()
	}
}

/// What only the two ends of one envelope know. It hides what an answer says from everybody else.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerKey([u8; 32]);

impl AnswerKey {
	/// What the chain is told.
	pub fn token(&self, outcome: Outcome) -> AnswerToken {
		blake2_256(&(self.0, outcome).encode())
	}

	/// What the chain was told; none if it was no answer to this envelope.
	pub fn read(&self, token: &AnswerToken) -> Option<Outcome> {
		OUTCOMES.into_iter().find(|outcome| self.token(*outcome) == *token)
	}

	/// For the state file of whoever waits for the answer.
	pub const fn to_bytes(&self) -> [u8; 32] {
		self.0
	}

	/// Undoes [`Self::to_bytes`].
	pub const fn from_bytes(bytes: [u8; 32]) -> Self {
		Self(bytes)
	}
}

impl std::fmt::Debug for AnswerKey {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		f.write_str("AnswerKey")
	}
}

/// Why something was not sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SealError {
	/// The recipient's key is none that anything can be sealed to.
	#[error("the recipient's envelope key is no X25519 key")]
	BadKey,
	/// The message does not fit.
	#[error("the message is longer than an envelope holds")]
	TooLong,
}

/// Why an envelope was not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
	/// It has not the length of an envelope.
	#[error("an envelope has {ENVELOPE_LEN} bytes, not {0}")]
	Size(usize),
	/// It is not sealed to this key, or not by this sender, or not for this chain, or was changed.
	#[error("the envelope is not sealed to this key by this sender")]
	WrongKey,
	/// What was sealed is no message.
	#[error("the envelope holds no message")]
	Malformed,
	/// It was sealed too long ago.
	#[error("the envelope was sealed {age} ms ago")]
	Stale {
		/// Milliseconds since.
		age: Millis,
	},
	/// It says that it was sealed later than now.
	#[error("the envelope was sealed {ahead} ms from now")]
	FromFuture {
		/// Milliseconds from now.
		ahead: Millis,
	},
}

/// Seals `message` to the recipient's key, padded, so that every envelope looks the same. `rng` is the operating system's.
pub fn seal<R: CryptoRng>(
	rng: &mut R,
	recipient: &EnvelopeKey,
	sender: Sender<&Keypair>,
	context: &Context,
	message: &Message,
) -> Result<(Envelope, AnswerKey), SealError> {
	let padded = pad(&message.encode(), MESSAGE_LEN).ok_or(SealError::TooLong)?;
	let recipient = PublicKey::from_bytes(recipient).map_err(|_| SealError::BadKey)?;
	let mode = match sender {
		Sender::Known(Keypair { private, public }) => OpModeS::Auth((private.clone(), public.clone())),
		Sender::Signed => OpModeS::Base,
	};
	// Fails for points of low order, of which the shared secret would be zero.
	let (encapped, mut sender) =
		hpke::setup_sender::<aead::ChaCha20Poly1305, kdf::HkdfSha256, Kem, R>(&mode, &recipient, &context.info(), rng)
			.map_err(|_| SealError::BadKey)?;
	let ciphertext = sender.seal(&padded, &context.associated()).map_err(|_| SealError::TooLong)?;
	let mut key = [0; 32];
	sender.export(b"answer", &mut key).map_err(|_| SealError::TooLong)?;
	let bytes = [encapped.to_bytes().as_slice(), &ciphertext].concat();
	Ok((Envelope::try_from(bytes).map_err(|_| SealError::TooLong)?, AnswerKey(key)))
}

/// Opens an envelope of `sender` that was sealed at most `max_age` milliseconds before `now`. Ask [`Seen`] as well.
pub fn open(
	keypair: &Keypair,
	sender: Sender<&EnvelopeKey>,
	context: &Context,
	envelope: &[u8],
	now: Millis,
	max_age: Millis,
) -> Result<(Message, AnswerKey), OpenError> {
	if envelope.len() != ENVELOPE_LEN as usize {
		return Err(OpenError::Size(envelope.len()));
	}
	let (encapped, ciphertext) = envelope.split_at(KEY_LEN);
	let encapped = EncappedKey::from_bytes(encapped).map_err(|_| OpenError::WrongKey)?;
	let mode = match sender {
		Sender::Known(key) => OpModeR::Auth(PublicKey::from_bytes(key).map_err(|_| OpenError::WrongKey)?),
		Sender::Signed => OpModeR::Base,
	};
	let mut recipient = hpke::setup_receiver::<aead::ChaCha20Poly1305, kdf::HkdfSha256, Kem>(
		&mode,
		&keypair.private,
		&encapped,
		&context.info(),
	)
	.map_err(|_| OpenError::WrongKey)?;
	let padded = recipient.open(ciphertext, &context.associated()).map_err(|_| OpenError::WrongKey)?;
	let message = unpad(&padded).ok_or(OpenError::Malformed)?;
	let message = Message::decode_all(&mut &message[..]).map_err(|_| OpenError::Malformed)?;
	let age = now.saturating_sub(message.at);
	if age > max_age {
		return Err(OpenError::Stale { age });
	}
	let ahead = message.at.saturating_sub(now);
	if ahead > MAX_AHEAD {
		return Err(OpenError::FromFuture { ahead });
	}
	let mut key = [0; 32];
	recipient.export(b"answer", &mut key).map_err(|_| OpenError::WrongKey)?;
	Ok((message, AnswerKey(key)))
}

/// Remembers which envelopes were opened, each until it would be refused for its age.
///
/// When it is full, the oldest are forgotten first: forgetting one early lets its own sender, and nobody else, have it
/// opened twice.
#[derive(Debug)]
pub struct Seen {
	capacity: usize,
	max_age: Millis,
	order: VecDeque<(Millis, Digest)>,
	names: HashSet<Digest>,
}

impl Seen {
	/// Remembers at most `capacity` (at least one) envelopes of the age that [`open`] allows.
	pub fn new(capacity: usize, max_age: Millis) -> Self {
		Self { capacity: capacity.max(1), max_age, order: VecDeque::new(), names: HashSet::new() }
	}

	/// Whether the letter called `name` comes for the first time.
	pub fn first(&mut self, name: Digest, now: Millis) -> bool {
		// What came at its earliest, from a clock that runs ahead, is refused for its age no later than this.
		let kept = self.max_age.saturating_add(MAX_AHEAD);
		while let Some((at, oldest)) = self.order.front().copied() {
			if now.saturating_sub(at) <= kept {
				break;
			}
			self.order.pop_front();
			self.names.remove(&oldest);
		}
		if !self.names.insert(name) {
			return false;
		}
		if self.order.len() >= self.capacity {
			if let Some((_, oldest)) = self.order.pop_front() {
				self.names.remove(&oldest);
			}
		}
		self.order.push_back((now, name));
		true
	}
}

/// Whether `envelope` is the owner's whitelist that the chain has on record. Check before it is opened.
pub fn is_on_record(record: &WhitelistRecord, envelope: &[u8]) -> bool {
	envelope.len() == ENVELOPE_LEN as usize && name(envelope) == record.hash
}

/// Why a word of a provider to its subscribers was not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TierError {
	/// It has not the length of one.
	#[error("a sealed tier change has {MAX_SEALED_LEN} bytes, not {0}")]
	Size(usize),
	/// None of the keys has the number that it names.
	#[error("tier key {0} is not known here")]
	UnknownKey(u32),
	/// It is sealed with another key, or by another provider, or was changed.
	#[error("the tier change is not sealed with this key by this provider")]
	WrongKey,
	/// What was sealed is no tier change.
	#[error("the sealed text holds no tier change")]
	Malformed,
}

/// A new secret for a tier.
pub fn tier_key<R: CryptoRng>(number: u32, rng: &mut R) -> TierKey {
	let mut secret = [0; 32];
	rng.fill_bytes(&mut secret);
	TierKey { number, secret }
}

/// Seals a word of `isp` to all of its subscribers. Nonces are random: a key serves for 2^32 words at most.
pub fn seal_tier<R: CryptoRng>(
	key: &TierKey,
	isp: &AccountBytes,
	change: &TierChange,
	rng: &mut R,
) -> Result<Sealed, SealError> {
	let padded = pad(&change.encode(), CHANGE_LEN).ok_or(SealError::TooLong)?;
	let number = key.number.to_le_bytes();
	let mut nonce = [0; NONCE_LEN];
	rng.fill_bytes(&mut nonce);
	let ciphertext = ChaCha20Poly1305::new(Key::from_slice(&key.secret))
		.encrypt(Nonce::from_slice(&nonce), Payload { msg: &padded, aad: &tier_associated(isp, number) })
		.map_err(|_| SealError::TooLong)?;
	Sealed::try_from([number.as_slice(), &nonce, &ciphertext].concat()).map_err(|_| SealError::TooLong)
}

/// Opens a word of `isp` to its subscribers with the one of `keys` that it names.
pub fn open_tier(keys: &[TierKey], isp: &AccountBytes, sealed: &[u8]) -> Result<TierChange, TierError> {
	let size = TierError::Size(sealed.len());
	if sealed.len() != MAX_SEALED_LEN as usize {
		return Err(size);
	}
	let (number, rest) = sealed.split_first_chunk::<NUMBER_LEN>().ok_or(size)?;
	let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>().ok_or(size)?;
	let wanted = u32::from_le_bytes(*number);
	let key = keys.iter().find(|key| key.number == wanted).ok_or(TierError::UnknownKey(wanted))?;
	let padded = ChaCha20Poly1305::new(Key::from_slice(&key.secret))
		.decrypt(Nonce::from_slice(nonce), Payload { msg: ciphertext, aad: &tier_associated(isp, *number) })
		.map_err(|_| TierError::WrongKey)?;
	let change = unpad(&padded).ok_or(TierError::Malformed)?;
	TierChange::decode_all(&mut &change[..]).map_err(|_| TierError::Malformed)
}

fn tier_associated(isp: &AccountBytes, number: [u8; NUMBER_LEN]) -> Vec<u8> {
	[isp.as_slice(), &number].concat()
}

#[cfg(test)]
mod tests {
	use super::*;
	use codec::Decode;
	use proptest::prelude::*;
	use rand_core::RngCore;
	use ringfence_primitives::{envelope::Body, Decision, Indicator, Network};

	const NOW: Millis = 1_000_000_000;
	const MAX_AGE: Millis = 600_000;

	/// Counts and hashes: the same noise every time.
	struct Noise(u64);

	impl RngCore for Noise {
		fn next_u32(&mut self) -> u32 {
			self.next_u64() as u32
		}
		fn next_u64(&mut self) -> u64 {
			self.0 += 1;
			u64::from_le_bytes(*blake2_256(&self.0.to_le_bytes()).first_chunk().unwrap())
		}
		fn fill_bytes(&mut self, bytes: &mut [u8]) {
			for chunk in bytes.chunks_mut(8) {
				chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
			}
		}
	}

	impl CryptoRng for Noise {}

	fn isp() -> Keypair {
		Keypair::from_seed([1; 32])
	}

	fn context() -> Context {
		Context { genesis: [7; 32], from: [11; 32], to: [1; 32] }
	}

	fn message() -> Message {
		Message { at: NOW, body: Body::Dispute([5; 32]) }
	}

	fn sealed() -> Envelope {
		seal(&mut Noise(0), &isp().public(), Sender::Signed, &context(), &message()).unwrap().0
	}

	fn opened(keypair: &Keypair, context: &Context, envelope: &[u8]) -> Result<Message, OpenError> {
		open(keypair, Sender::Signed, context, envelope, NOW, MAX_AGE).map(|(message, _)| message)
	}

	#[test]
	fn the_recipient_reads_what_the_sender_sealed() {
		assert_eq!(opened(&isp(), &context(), &sealed()), Ok(message()));
	}

	#[test]
	fn the_format_is_pinned() {
		assert_eq!(
			crate::core::hex::encode(&isp().public()),
			"0x815d07c9b2bf5565c470703077f3455dc396278a9e8820227344128f2cee3840"
		);
		assert_eq!(
			crate::core::hex::encode(&blake2_256(&sealed())),
			"0x0ff7613a2e5c635d21d888429e5e2c38b3d51888a08583af5a9b45446605fdd3"
		);
		assert_eq!(
			crate::core::hex::encode(&blake2_256(&tier_letter(Sender::Known(&isp())))),
			"0xe973950c55c101e779baeab7f012614e47433f3f67222cb3569d08ba0fb7de6d"
		);
	}

	#[test]
	fn every_envelope_has_the_same_size_and_none_looks_like_another() {
		let lists = Body::Whitelist(vec![Network::host("2001:db8::1".parse().unwrap()); 48].try_into().unwrap());
		let longest = Message { at: Millis::MAX, body: lists };
		let (long, _) = seal(&mut Noise(0), &isp().public(), Sender::Signed, &context(), &longest).unwrap();
		assert_eq!((long.len(), sealed().len()), (1_024, 1_024));
		let mut rng = Noise(0);
		let first = seal(&mut rng, &isp().public(), Sender::Signed, &context(), &message()).unwrap().0;
		let second = seal(&mut rng, &isp().public(), Sender::Signed, &context(), &message()).unwrap().0;
		assert!(first.iter().zip(&second).filter(|(a, b)| a == b).count() < 64);
	}

	#[test]
	fn nobody_else_reads_it() {
		let other = Keypair::from_seed([2; 32]);
		assert_ne!(other.public(), isp().public());
		assert_eq!(opened(&other, &context(), &sealed()), Err(OpenError::WrongKey));
	}

	#[test]
	fn a_copy_under_another_name_opens_for_nobody() {
		for context in [
			Context { from: [12; 32], ..context() },
			Context { to: [2; 32], ..context() },
			Context { genesis: [8; 32], ..context() },
			Context { from: context().to, to: context().from, ..context() },
		] {
			assert_eq!(opened(&isp(), &context, &sealed()), Err(OpenError::WrongKey));
		}
	}

	fn household() -> Keypair {
		Keypair::from_seed([3; 32])
	}

	/// From the provider to a household.
	fn back() -> Context {
		Context { from: context().to, to: context().from, ..context() }
	}

	fn tier_letter(sender: Sender<&Keypair>) -> Envelope {
		let [_, key] = keys();
		let message = Message { at: NOW, body: Body::TierKey(key) };
		seal(&mut Noise(0), &household().public(), sender, &back(), &message).unwrap().0
	}

	/// Opened as what the provider tells.
	fn told(context: &Context, envelope: &[u8]) -> Result<Body, OpenError> {
		let pinned = isp().public();
		open(&household(), Sender::Known(&pinned), context, envelope, NOW, MAX_AGE).map(|(message, _)| message.body)
	}

	#[test]
	fn a_tier_key_is_taken_from_the_pinned_provider_only() {
		let [_, key] = keys();
		assert_eq!(told(&back(), &tier_letter(Sender::Known(&isp()))), Ok(Body::TierKey(key)));
		for forger in [Keypair::from_seed([2; 32]), Keypair::from_seed([4; 32])] {
			assert_eq!(told(&back(), &tier_letter(Sender::Known(&forger))), Err(OpenError::WrongKey));
		}
		assert_eq!(
			told(&back(), &tier_letter(Sender::Signed)),
			Err(OpenError::WrongKey),
			"anybody could have sealed it"
		);
	}

	#[test]
	fn an_envelope_does_not_choose_how_its_sender_is_known() {
		let letter = tier_letter(Sender::Known(&isp()));
		assert_eq!(opened(&household(), &back(), &letter), Err(OpenError::WrongKey), "authenticated, opened as signed");
		let report =
			seal(&mut Noise(0), &isp().public(), Sender::Known(&household()), &context(), &message()).unwrap().0;
		assert_eq!(opened(&isp(), &context(), &report), Err(OpenError::WrongKey), "nobody is asked for a key here");
	}

	#[test]
	fn an_authenticated_copy_under_another_name_opens_for_nobody() {
		let letter = tier_letter(Sender::Known(&isp()));
		for context in [
			Context { from: [12; 32], ..back() },
			Context { to: [2; 32], ..back() },
			Context { genesis: [8; 32], ..back() },
			context(),
		] {
			assert_eq!(told(&context, &letter), Err(OpenError::WrongKey));
		}
	}

	#[test]
	fn nothing_is_opened_against_a_key_that_everybody_knows() {
		let letter = tier_letter(Sender::Known(&isp()));
		let mut one = [0; 32];
		one[0] = 1;
		for pinned in [[0; 32], one] {
			let opened = open(&household(), Sender::Known(&pinned), &back(), &letter, NOW, MAX_AGE);
			assert_eq!(opened, Err(OpenError::WrongKey));
		}
	}

	#[test]
	fn any_changed_bit_is_noticed() {
		let letter = tier_letter(Sender::Known(&isp())).into_inner();
		for octet in 0..letter.len() {
			let mut changed = letter.clone();
			changed[octet] ^= 1 << (octet % 8);
			assert_eq!(told(&back(), &changed), Err(OpenError::WrongKey), "octet {octet}, authenticated");
		}
		let envelope = sealed().into_inner();
		for bit in 0..envelope.len() * 8 {
			let mut changed = envelope.clone();
			changed[bit / 8] ^= 1 << (bit % 8);
			assert_eq!(opened(&isp(), &context(), &changed), Err(OpenError::WrongKey), "bit {bit}");
		}
	}

	#[test]
	fn truncated_and_oversized_ones_are_refused() {
		let envelope = sealed().into_inner();
		for len in [0, 1, 31, 32, 47, 48, 1_023] {
			assert_eq!(opened(&isp(), &context(), &envelope[..len]), Err(OpenError::Size(len)));
		}
		let longer = [&envelope[..], &[0]].concat();
		assert_eq!(opened(&isp(), &context(), &longer), Err(OpenError::Size(1_025)));
	}

	#[test]
	fn zeros_and_noise_are_refused() {
		assert_eq!(opened(&isp(), &context(), &[0; 1_024]), Err(OpenError::WrongKey));
		assert_eq!(opened(&isp(), &context(), &[0xff; 1_024]), Err(OpenError::WrongKey));
	}

	#[test]
	fn nothing_is_sealed_to_a_key_that_everybody_knows() {
		let mut one = [0; 32];
		one[0] = 1;
		for low_order in [[0; 32], one] {
			assert_eq!(
				seal(&mut Noise(0), &low_order, Sender::Signed, &context(), &message()).map(|_| ()),
				Err(SealError::BadKey)
			);
		}
	}

	/// Seals any bytes of the size of a padded message, as a sender could that does not use [`seal`].
	fn seal_padded(padded: &[u8]) -> Vec<u8> {
		let recipient = PublicKey::from_bytes(&isp().public()).unwrap();
		let (encapped, mut sender) = hpke::setup_sender::<aead::ChaCha20Poly1305, kdf::HkdfSha256, Kem, _>(
			&OpModeS::Base,
			&recipient,
			&context().info(),
			&mut Noise(0),
		)
		.unwrap();
		[encapped.to_bytes().as_slice(), &sender.seal(padded, &context().associated()).unwrap()].concat()
	}

	#[test]
	fn what_is_sealed_but_is_no_message_is_refused() {
		let encoded = message().encode();
		assert_eq!(opened(&isp(), &context(), &seal_padded(&pad(&encoded, 976).unwrap())), Ok(message()));
		let trailing = [&encoded[..], &[0]].concat();
		for nonsense in [b"nonsense".as_slice(), &encoded[..encoded.len() - 1], &trailing, &[]] {
			let envelope = seal_padded(&pad(nonsense, 976).unwrap());
			assert_eq!(opened(&isp(), &context(), &envelope), Err(OpenError::Malformed));
		}
		let overrun = [&[0xff, 0xff][..], &[0; 974]].concat();
		assert_eq!(opened(&isp(), &context(), &seal_padded(&overrun)), Err(OpenError::Malformed));
		let mut channel = pad(&encoded, 976).unwrap();
		channel[975] = 1;
		assert_eq!(opened(&isp(), &context(), &seal_padded(&channel)), Err(OpenError::Malformed), "padding is zeros");
	}

	#[test]
	fn old_ones_and_those_from_the_future_are_refused() {
		let at = |now| open(&isp(), Sender::Signed, &context(), &sealed(), now, MAX_AGE).map(|(message, _)| message);
		assert_eq!(at(NOW + MAX_AGE), Ok(message()));
		assert_eq!(at(NOW + MAX_AGE + 1), Err(OpenError::Stale { age: MAX_AGE + 1 }));
		assert_eq!(at(NOW - MAX_AHEAD), Ok(message()));
		assert_eq!(at(NOW - MAX_AHEAD - 1), Err(OpenError::FromFuture { ahead: MAX_AHEAD + 1 }));
		assert_eq!(
			open(&isp(), Sender::Signed, &context(), &sealed(), Millis::MAX, Millis::MAX).map(|(m, _)| m),
			Ok(message())
		);
	}

	#[test]
	fn an_answer_speaks_to_the_two_ends_only() {
		let (envelope, sender) = seal(&mut Noise(0), &isp().public(), Sender::Signed, &context(), &message()).unwrap();
		let (_, recipient) = open(&isp(), Sender::Signed, &context(), &envelope, NOW, MAX_AGE).unwrap();
		for outcome in OUTCOMES {
			assert_eq!(sender.read(&recipient.token(outcome)), Some(outcome));
		}
		let (_, other) = seal(&mut Noise(9), &isp().public(), Sender::Signed, &context(), &message()).unwrap();
		assert_eq!(other.read(&recipient.token(Outcome::Promoted)), None);
		assert_eq!(sender.read(&[0; 32]), None);
		assert_eq!(AnswerKey::from_bytes(sender.to_bytes()), sender);
	}

	#[test]
	fn a_replay_is_noticed_for_as_long_as_it_would_be_opened() {
		let mut seen = Seen::new(10, MAX_AGE);
		assert!(seen.first([1; 32], NOW));
		assert!(!seen.first([1; 32], NOW));
		assert!(seen.first([2; 32], NOW));
		// Sealed by a clock that ran ahead as far as it may, it is too old only after this.
		assert!(!seen.first([1; 32], NOW + MAX_AGE + MAX_AHEAD));
		assert!(seen.first([1; 32], NOW + MAX_AGE + MAX_AHEAD + 1));
		assert!(!seen.first([1; 32], 0), "a clock that is set back forgets nothing");
	}

	#[test]
	fn the_memory_of_replays_is_bounded() {
		let mut seen = Seen::new(3, MAX_AGE);
		for n in 0..100u8 {
			assert!(seen.first([n; 32], NOW));
			assert!(seen.order.len() <= 3 && seen.names.len() == seen.order.len());
		}
		assert!(!seen.first([98; 32], NOW));
		assert!(seen.first([0; 32], NOW), "the oldest was forgotten");
	}

	#[test]
	fn a_whitelist_is_the_one_on_record_or_none() {
		let envelope = sealed();
		let record = WhitelistRecord { hash: blake2_256(&envelope), number: 1, block: 1, index: 1 };
		assert!(is_on_record(&record, &envelope));
		assert!(!is_on_record(&record, &envelope[..1_023]));
		let mut changed = envelope.clone().into_inner();
		changed[500] ^= 1;
		assert!(!is_on_record(&record, &changed));
		let short = WhitelistRecord { hash: blake2_256(b"short"), ..record };
		assert!(!is_on_record(&short, b"short"));
	}

	fn keys() -> [TierKey; 2] {
		let mut rng = Noise(3);
		[tier_key(1, &mut rng), tier_key(2, &mut rng)]
	}

	fn unblock() -> TierChange {
		TierChange::Unblock(Indicator::Host("198.18.0.1".parse().unwrap()))
	}

	fn word() -> Sealed {
		seal_tier(&keys()[1], &[1; 32], &unblock(), &mut Noise(0)).unwrap()
	}

	#[test]
	fn subscribers_read_their_providers_word() {
		assert_eq!(open_tier(&keys(), &[1; 32], &word()), Ok(unblock()));
		let [old, new] = keys();
		let earlier = seal_tier(&old, &[1; 32], &unblock(), &mut Noise(0)).unwrap();
		assert_eq!(open_tier(&[new, old], &[1; 32], &earlier), Ok(unblock()), "whichever key of theirs it names");
	}

	#[test]
	fn every_word_has_the_same_size() {
		let decision = Decision {
			indicator: Indicator::Host("2001:db8::1".parse().unwrap()),
			direction: ringfence_primitives::Direction::Both,
			action: ringfence_primitives::Action::Drop,
			threat: ringfence_primitives::ThreatClass::Scan,
			severity: ringfence_primitives::Severity::High,
			confidence: ringfence_primitives::Confidence::MAX,
			expires_at: Millis::MAX,
		};
		let block = seal_tier(&keys()[0], &[1; 32], &TierChange::Block(decision), &mut Noise(0)).unwrap();
		assert_eq!((block.len(), word().len()), (512, 512));
	}

	#[test]
	fn others_do_not_read_it_nor_speak_in_its_name() {
		let [old, new] = keys();
		assert_eq!(open_tier(std::slice::from_ref(&old), &[1; 32], &word()), Err(TierError::UnknownKey(2)));
		assert_eq!(open_tier(&[], &[1; 32], &word()), Err(TierError::UnknownKey(2)));
		let other = TierKey { number: 2, ..old };
		assert_eq!(open_tier(&[other], &[1; 32], &word()), Err(TierError::WrongKey));
		assert_eq!(open_tier(&[new], &[2; 32], &word()), Err(TierError::WrongKey), "another provider's copy");
	}

	#[test]
	fn a_changed_or_truncated_word_is_noticed() {
		let word = word().into_inner();
		for bit in 0..word.len() * 8 {
			let mut changed = word.clone();
			changed[bit / 8] ^= 1 << (bit % 8);
			let refusal = open_tier(&keys(), &[1; 32], &changed).unwrap_err();
			let named_another = bit < 32;
			assert_eq!(matches!(refusal, TierError::UnknownKey(_)), named_another, "bit {bit}");
			assert_eq!(refusal == TierError::WrongKey, !named_another, "bit {bit}");
		}
		for len in [0, 3, 15, 16, 31, 511] {
			assert_eq!(open_tier(&keys(), &[1; 32], &word[..len]), Err(TierError::Size(len)));
		}
		assert_eq!(open_tier(&keys(), &[1; 32], &[&word[..], &[0]].concat()), Err(TierError::Size(513)));
	}

	#[test]
	fn secrets_are_not_shown() {
		let (_, key) = seal(&mut Noise(0), &isp().public(), Sender::Signed, &context(), &message()).unwrap();
		assert_eq!(format!("{key:?} {:?}", keys()[0]), "AnswerKey TierKey(1)");
	}

	prop_compose! {
		fn any_report()(octets: [u8; 4], lifetime in 60..2_592_000u32, evidence: Option<[u8; 32]>, note: String) -> Body {
			use ringfence_primitives::*;
			let terms = Terms {
				threat: ThreatClass::Botnet,
				severity: Severity::High,
				confidence: Confidence::MAX,
				direction: Direction::Both,
				action: Action::Drop,
				tlp: Tlp::Green,
				lifetime: Lifetime::new(lifetime).unwrap(),
				evidence,
				note: Note::truncated(&note),
			};
			Body::Report(Indicator::Host(Address::V4(octets)), terms)
		}
	}

	fn any_body() -> impl Strategy<Value = Body> {
		let network = (any::<[u8; 16]>(), 1..=128u8).prop_map(|(octets, prefix)| {
			let address = ringfence_primitives::Address::V6(octets);
			Network::new(address.masked(prefix), prefix).unwrap_or_else(|_| "2001:db8::/48".parse().unwrap())
		});
		prop_oneof![
			any_report(),
			any::<[u8; 32]>().prop_map(Body::Dispute),
			(any::<u32>(), any::<[u8; 32]>()).prop_map(|(number, secret)| Body::TierKey(TierKey { number, secret })),
			proptest::collection::vec(network, 0..=48).prop_map(|list| Body::Whitelist(list.try_into().unwrap())),
		]
	}

	proptest! {
		#[test]
		fn any_message_goes_round(body in any_body(), at: Millis, seed: [u8; 32], noise: u64, from: [u8; 32]) {
			let keypair = Keypair::from_seed(seed);
			let context = Context { from, ..context() };
			let message = Message { at, body };
			let pinned = isp().public();
			for (by, of) in [(Sender::Known(&isp()), Sender::Known(&pinned)), (Sender::Signed, Sender::Signed)] {
				let (envelope, sender) = seal(&mut Noise(noise >> 1), &keypair.public(), by, &context, &message).unwrap();
				let (read, recipient) = open(&keypair, of, &context, &envelope, at, 0).unwrap();
				prop_assert_eq!(&read, &message);
				prop_assert_eq!(sender, recipient);
			}
		}

		#[test]
		fn no_bytes_make_it_panic(
			bytes in proptest::collection::vec(any::<u8>(), 0..1_100),
			full in proptest::collection::vec(any::<u8>(), 1_024),
		) {
			prop_assert!(opened(&isp(), &context(), &bytes).is_err());
			prop_assert!(opened(&isp(), &context(), &full).is_err());
			prop_assert!(told(&back(), &full).is_err());
			prop_assert!(open_tier(&keys(), &[1; 32], &bytes).is_err());
			prop_assert!(open_tier(&keys(), &[1; 32], &full[..512]).is_err());
			// What a sender may seal on purpose.
			let _ = opened(&isp(), &context(), &seal_padded(&full[..976]));
			let _ = Message::decode(&mut &full[..]);
		}
	}
}
