//! Random sequences of all calls, with time passing and members coming and going, against a model that states the rules
//! with plain maps: it and the chain agree on every outcome and on all that is on record, and refusals change nothing.

use crate::{endings::STRETCH, mock::*, Error, Event, Letters, NextEndings, Whitelists};
use frame_support::{assert_storage_noop, storage::transactional::with_storage_layer, BoundedVec};
use proptest::prelude::*;
use ringfence_primitives::{envelope::name, Digest};
use sp_runtime::{DispatchError, DispatchResult};
use std::collections::BTreeMap;

type E = Error<Test>;

#[derive(Debug, Clone)]
enum Step {
	Send(u64, u64, u8),
	Answer(u64, Vec<(u64, u64, u8)>, u8),
	SetWhitelist(u64, u8),
	Announce(u64, u8),
	Pass(u64),
	Leave(Vec<u64>),
}

fn member() -> impl Strategy<Value = u64> {
	prop_oneof![Just(1u64), Just(2), 11..13u64, Just(21), Just(RESEARCHER), Just(77)]
}

fn key() -> impl Strategy<Value = u64> {
	prop_oneof![3 => member(), 1 => member().prop_map(|m| m + 1_000), 1 => member().prop_map(|m| m + 2_000)]
}

/// Mostly from a subscriber to its ISP or back.
fn ends() -> impl Strategy<Value = (u64, u64)> {
	let own = prop_oneof![Just((11u64, 1u64)), Just((12, 1)), Just((21, 2)), Just((1, 11)), Just((2, 21))];
	prop_oneof![
		4 => own,
		1 => Just((1_011, 1)),
		1 => Just((2_001, 12)),
		1 => (key(), member()),
	]
}

fn step() -> impl Strategy<Value = Step> {
	let letter = (ends(), 0..6u8).prop_map(|((from, to), seed)| (from % 1_000, to, seed));
	prop_oneof![
		8 => (ends(), 0..6u8).prop_map(|((from, to), seed)| Step::Send(from, to, seed)),
		4 => (key(), proptest::collection::vec(letter, 0..4), any::<u8>()).prop_map(|(k, l, a)| Step::Answer(k, l, a)),
		2 => (key(), 0..6u8).prop_map(|(k, seed)| Step::SetWhitelist(k, seed)),
		2 => (key(), any::<u8>()).prop_map(|(k, seed)| Step::Announce(k, seed)),
		3 => (1..LIFETIME).prop_map(Step::Pass),
		1 => proptest::sample::subsequence(vec![1, 2, 11, 12, 21], 0..3).prop_map(Step::Leave),
	]
}

/// The rules, once more.
#[derive(Default)]
struct Model {
	now: u64,
	gone: Vec<u64>,
	/// By recipient and name: until when, and the answer.
	letters: BTreeMap<(u64, Digest), (u64, Option<Digest>)>,
	/// By hour and ends.
	sends: BTreeMap<(u64, u64, u64), u32>,
	/// By hour and ISP.
	announcements: BTreeMap<(u64, u64), u32>,
	whitelists: BTreeMap<u64, (Digest, u32)>,
	/// What an answer says to each item.
	said: Vec<Event<Test>>,
}

impl Model {
	fn active(&self, member: u64) -> bool {
		!self.gone.contains(&member)
	}

	fn subscriber(&self, member: u64) -> bool {
		[11, 12, 21].contains(&member) && self.active(member) && self.active(member / 10)
	}

	fn isp(&self, member: u64) -> bool {
		[1, 2].contains(&member) && self.active(member)
	}

	fn correspondent(&self, key: u64) -> Result<u64, E> {
		let (kind, member) = (key / 1_000, key % 1_000);
		let may = (kind != 2 && self.subscriber(member)) || (kind != 1 && self.isp(member));
		may.then_some(member).ok_or(E::NotCorrespondent)
	}

	fn count_send(&mut self, from: u64, to: u64) -> Result<(), E> {
		let sent = self.sends.entry((self.now / HOUR, from, to)).or_default();
		if *sent == 3 {
			return Err(E::TooManySent);
		}
		*sent += 1;
		Ok(())
	}

	fn apply(&mut self, step: &Step) -> Result<(), E> {
		match step {
			Step::Send(key, to, seed) => {
				let from = self.correspondent(*key)?;
				let own = (self.subscriber(from) && from / 10 == *to) || (self.subscriber(*to) && *to / 10 == from);
				let letter = (*to, named(from, *to, *seed));
				if !own {
					return Err(E::NotYourTier);
				}
				if self.letters.contains_key(&letter) {
					return Err(E::AlreadySent);
				}
				let sent = self.sends.get(&(self.now / HOUR, from, *to)) == Some(&3);
				if !sent && self.letters.keys().filter(|(mailbox, _)| mailbox == to).count() == 5 {
					return Err(E::MailboxFull);
				}
				self.count_send(from, *to)?;
				self.letters.insert(letter, (self.now + LIFETIME, None));
			}
			Step::Answer(key, letters, answer) => {
				let member = self.correspondent(*key)?;
				if letters.is_empty() {
					return Err(E::EmptyBatch);
				}
				for (index, (from, to, seed)) in (0..).zip(letters) {
					let hash = named(*from, *to, *seed);
					self.said.push(match self.letters.get_mut(&(member, hash)) {
						None => Event::ItemFailed { index, error: E::NotFound.into() },
						Some((_, Some(_))) => Event::ItemFailed { index, error: E::AlreadyAnswered.into() },
						Some((_, open)) => {
							*open = Some([*answer; 32]);
							Event::Answered { hash }
						}
					});
				}
			}
			Step::SetWhitelist(key, seed) => {
				if !self.subscriber(*key) {
					return Err(E::NotOwner);
				}
				let hash = name(&envelope(*seed));
				let (present, number) = self.whitelists.get(key).copied().unwrap_or_default();
				if present == hash {
					return Err(E::AlreadySent);
				}
				self.count_send(*key, *key)?;
				self.whitelists.insert(*key, (hash, number + 1));
			}
			Step::Announce(key, _) => {
				let member = key % 1_000;
				if key / 1_000 == 1 || !self.isp(member) {
					return Err(E::NotIsp);
				}
				let made = self.announcements.entry((self.now / HOUR, member)).or_default();
				if *made == 2 {
					return Err(E::TooManyAnnounced);
				}
				*made += 1;
			}
			Step::Pass(millis) => {
				self.now += millis;
				let now = self.now;
				self.letters.retain(|_, (until, _)| *until / STRETCH >= now / STRETCH);
			}
			Step::Leave(gone) => self.gone = gone.clone(),
		}
		Ok(())
	}
}

fn run(step: &Step) -> DispatchResult {
	match step {
		Step::Send(key, to, seed) => Envelopes::send(origin(*key), *to, envelope(*seed)),
		Step::Answer(key, letters, answer) => {
			let answers = letters.iter().map(|(from, to, seed)| (named(*from, *to, *seed), [*answer; 32])).collect();
			Envelopes::answer(origin(*key), BoundedVec::truncate_from(answers))
		}
		Step::SetWhitelist(key, seed) => Envelopes::set_whitelist(origin(*key), envelope(*seed)),
		Step::Announce(key, seed) => Envelopes::announce(origin(*key), sealed(*seed)),
		Step::Pass(millis) => {
			pass(*millis);
			// Blocks in which nothing happens, until all that is due has been worked off.
			while NextEndings::<Test>::get() < Now::get() / STRETCH {
				pass(0);
			}
			Ok(())
		}
		Step::Leave(gone) => {
			Gone::set(gone);
			Ok(())
		}
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn any_sequence_does_what_the_rules_say(steps in proptest::collection::vec(step(), 1..200)) {
		on_chain(|| {
			let mut model = Model { now: START, ..Default::default() };
			for step in &steps {
				System::reset_events();
				let done = with_storage_layer(|| run(step));
				assert_eq!(done, model.apply(step).map_err(DispatchError::from), "{step:?}");
				if done.is_err() {
					assert_storage_noop!(assert!(with_storage_layer(|| run(step)).is_err()));
				}
				if matches!(step, Step::Answer(..)) {
					assert_eq!(events(), std::mem::take(&mut model.said));
				}
				Envelopes::do_try_state().unwrap();

				assert_eq!(Letters::<Test>::iter().count(), model.letters.len());
				for ((to, hash), (until, answer)) in &model.letters {
					let record = Envelopes::record(to, hash).unwrap();
					assert_eq!((record.expires_at, record.answer), (*until, *answer));
				}
				assert_eq!(Whitelists::<Test>::iter().count(), model.whitelists.len());
				for (owner, (hash, number)) in &model.whitelists {
					let record = Envelopes::whitelist(owner).unwrap();
					assert_eq!((record.hash, record.number), (*hash, *number));
				}
			}
		});
	}
}
