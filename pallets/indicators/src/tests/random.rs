//! Random sequences of all calls, with time passing and ISPs coming and going. After every step the chain says what the
//! model says, the invariants hold, refusals have changed nothing, and replaying the log gives exactly the active set.

use super::model::{Entry, Model};
use crate::{
	mock::*, ActiveCount, Deed, Digest, Event, Head, Members, OpenCount, Parameters, ProposedCount, ProtectedNetworks,
	ProvisionalCount, Records, Settings, Status, Voice,
};
use frame_support::{assert_storage_noop, dispatch::DispatchResultWithPostInfo, storage::with_storage_layer};
use proptest::prelude::*;
use ringfence_primitives::*;
use sp_runtime::{DispatchError, DispatchResult};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
enum Step {
	Report(u64, u8, u8),
	ReportProvisionally(u64, u8, u8),
	ReportBatch(u64, Vec<u8>, u8),
	Vote(u64, (u8, u8)),
	VoteBatch(u64, Vec<(u8, u8)>),
	Withdraw(u64, u8),
	Dispute(u64, u8),
	Protect(u64, u8, bool),
	Set(u64, u64, u64, u32, u32),
	Pass(u64),
	Isps(Vec<u64>),
}

fn who() -> impl Strategy<Value = u64> {
	prop_oneof![
		12 => 1..6u64,
		2 => Just(RESEARCHER),
		1 => Just(201),
		1 => Just(77),
		1 => (1..6u64).prop_map(reporting),
		1 => (1..6u64).prop_map(vetting),
	]
}

const SUBJECTS: u8 = 7;

/// Hosts, networks, a service and a flow that overlap one another.
fn subject(index: u8) -> Indicator {
	match index {
		0 => indicator("198.18.0.1"),
		1 => indicator("198.18.0.0/24"),
		2 => indicator("198.18.0.0/16"),
		3 => indicator("2001:db8::1"),
		4 => endpoint("198.18.0.1"),
		5 => flow("198.18.0.0/24"),
		_ => indicator("198.19.0.7"),
	}
}

/// Terms of which some cover others.
fn asked(index: u8) -> Terms {
	match index {
		0 => terms(),
		1 => lasting(86_400),
		2 => Terms { confidence: Confidence::new(30).unwrap(), ..lasting(120) },
		_ => Terms { action: Action::Watch, ..terms() },
	}
}

fn ballot((index, vote): (u8, u8)) -> Ballot {
	let id = subject(index).id();
	// Now and then about terms that nobody asked for.
	let terms = Records::<Test>::get(id).filter(|_| vote < 9).map_or([9; 32], |record| record.terms.hash());
	let vote = [Vote::Approve, Vote::Sighting, Vote::Reject, Vote::Approve][usize::from(vote) % 4];
	Ballot { id, terms, vote }
}

fn step() -> impl Strategy<Value = Step> {
	let items = || proptest::collection::vec((0..SUBJECTS, 0..10u8), 0..6);
	prop_oneof![
		5 => (who(), 0..SUBJECTS, 0..4u8).prop_map(|(o, i, t)| Step::Report(o, i, t)),
		3 => (1..3u64, 0..SUBJECTS, 0..4u8).prop_map(|(o, i, t)| Step::ReportProvisionally(o, i, t)),
		1 => (who(), 0..SUBJECTS, 0..4u8).prop_map(|(o, i, t)| Step::ReportProvisionally(o, i, t)),
		2 => (who(), proptest::collection::vec(0..SUBJECTS, 0..6), 0..4u8)
			.prop_map(|(o, i, t)| Step::ReportBatch(o, i, t)),
		12 => (who(), (0..SUBJECTS, 0..10u8)).prop_map(|(o, b)| Step::Vote(o, b)),
		4 => (who(), items()).prop_map(|(o, b)| Step::VoteBatch(o, b)),
		1 => (who(), 0..SUBJECTS).prop_map(|(o, i)| Step::Withdraw(o, i)),
		4 => (who(), 0..SUBJECTS).prop_map(|(o, i)| Step::Dispute(o, i)),
		1 => (1..3u64, 0..SUBJECTS, any::<bool>()).prop_map(|(o, i, p)| Step::Protect(o, i, p)),
		1 => (1..3u64, MINUTE - 1..2 * HOUR, MINUTE - 1..11 * MINUTE, 0..4u32, 0..8u32)
			.prop_map(|(o, v, l, p, c)| Step::Set(o, v, l, p, c)),
		3 => (1..HOUR / 2).prop_map(Step::Pass),
		1 => proptest::sample::subsequence(vec![1, 2, 3, 4, 5], 1..=5).prop_map(Step::Isps),
	]
}

/// Takes the step on the chain. Of a batch, returns how many items were done and how many failed.
fn take(step: &Step) -> Result<Option<(u32, u32)>, DispatchError> {
	let single = |result: DispatchResult| result.map(|()| None);
	let batch = |result: DispatchResultWithPostInfo| -> Result<Option<(u32, u32)>, DispatchError> {
		result.map_err(|refused| refused.error)?;
		match System::events().pop().map(|record| record.event) {
			Some(RuntimeEvent::Indicators(Event::BatchDone { done, failed, .. })) => Ok(Some((done, failed))),
			other => panic!("a batch ends with {other:?}"),
		}
	};
	match step {
		Step::Report(o, i, t) => single(Indicators::report(origin(*o), subject(*i), asked(*t))),
		Step::ReportProvisionally(o, i, t) => {
			single(Indicators::report_provisionally(origin(*o), subject(*i), asked(*t)))
		}
		Step::ReportBatch(o, items, t) => {
			let items: Vec<Indicator> = items.iter().map(|i| subject(*i)).collect();
			batch(Indicators::report_batch(origin(*o), asked(*t), items.try_into().unwrap()))
		}
		Step::Vote(o, b) => {
			let Ballot { id, terms, vote } = ballot(*b);
			single(Indicators::vote(origin(*o), id, terms, vote, None))
		}
		Step::VoteBatch(o, items) => {
			let ballots: Vec<Ballot> = items.iter().copied().map(ballot).collect();
			batch(Indicators::vote_batch(origin(*o), ballots.try_into().unwrap(), None))
		}
		Step::Withdraw(o, i) => single(Indicators::withdraw(origin(*o), subject(*i).id())),
		Step::Dispute(o, i) => single(Indicators::dispute(origin(*o), subject(*i).id())),
		Step::Protect(o, i, protect) => {
			let network = subject(*i).networks().next().unwrap();
			single(if *protect {
				Indicators::protect(origin(*o), network)
			} else {
				Indicators::unprotect(origin(*o), network)
			})
		}
		Step::Set(o, v, l, p, c) => single(Indicators::set_parameters(origin(*o), parameters(*v, *l, *p, *c))),
		Step::Pass(_) | Step::Isps(_) => Ok(None),
	}
}

fn parameters(voting_period: u64, provisional_lifetime: u64, provisional_cap: u32, open_cap: u32) -> Parameters {
	Parameters { voting_period, provisional_lifetime, provisional_cap, open_cap }
}

/// What the model says of the step: as [`take`], None for a refusal. Call before it is taken: ballots are about the terms on
/// record.
fn expect(model: &mut Model, step: &Step) -> Option<Option<(u32, u32)>> {
	let single = |accepted: bool| accepted.then_some(None);
	match step {
		Step::Report(o, i, t) => single(model.report(*o, &subject(*i), &asked(*t))),
		Step::ReportProvisionally(o, i, t) => single(model.report_provisionally(*o, &subject(*i), &asked(*t))),
		Step::ReportBatch(o, items, t) => {
			let known = Model::speaker(*o).is_some();
			let done = |model: &mut Model| {
				items.iter().map(|i| model.report(*o, &subject(*i), &asked(*t))).filter(|done| *done).count()
			};
			(known && !items.is_empty()).then(|| tally(done(model), items.len()))
		}
		Step::Vote(o, b) => {
			let Ballot { id, terms, vote } = ballot(*b);
			single(model.vote(*o, id, terms, vote))
		}
		Step::VoteBatch(o, items) => {
			let ballots: Vec<Ballot> = items.iter().copied().map(ballot).collect();
			let done = |model: &mut Model| {
				ballots.iter().map(|b| model.vote(*o, b.id, b.terms, b.vote)).filter(|done| *done).count()
			};
			let known = matches!(Register::speaker(o, Scope::Vet), Some((_, Voice::Isp)));
			(known && !items.is_empty()).then(|| tally(done(model), items.len()))
		}
		Step::Withdraw(o, i) => single(model.withdraw(*o, subject(*i).id())),
		Step::Dispute(o, i) => single(model.dispute(*o, subject(*i).id())),
		Step::Protect(o, i, protect) => {
			let network = subject(*i).networks().next().unwrap();
			single(
				*o == 1
					&& if *protect {
						model.protected.len() < 4 && model.protected.insert(network)
					} else {
						model.protected.remove(&network)
					},
			)
		}
		Step::Set(o, v, l, p, c) => {
			let accepted = *o == 1 && *v >= MINUTE && (MINUTE..=10 * MINUTE).contains(l) && *p > 0 && *c > 0;
			if accepted {
				model.settings = parameters(*v, *l, *p, *c);
			}
			single(accepted)
		}
		Step::Pass(_) | Step::Isps(_) => single(true),
	}
}

fn tally(done: usize, items: usize) -> Option<(u32, u32)> {
	Some((done as u32, (items - done) as u32))
}

/// What an enforcer that hears every change takes to be active.
#[derive(Default)]
struct Listener {
	heard: u64,
	told: BTreeMap<Indicator, Decision>,
}

impl Listener {
	fn listen(&mut self) {
		let head = Head::<Test>::get();
		for seq in self.heard + 1..=head.seq {
			match entry(seq).expect("no step makes more changes than the log keeps").kind {
				ChangeKind::Activated(d) => {
					assert!(self.told.insert(d.indicator.clone(), d).is_none(), "activated what was active")
				}
				ChangeKind::Extended(d) => {
					assert!(self.told.insert(d.indicator.clone(), d).is_some(), "extended what was not active")
				}
				ChangeKind::Revoked(i) | ChangeKind::Expired(i) => {
					assert!(self.told.remove(&i).is_some(), "ended what was not active")
				}
				ChangeKind::Protected(_) | ChangeKind::Unprotected(_) | ChangeKind::Tier1(..) => {}
			}
		}
		self.heard = head.seq;
	}
}

/// The chain says what the model says.
fn agree(model: &Model) {
	let entries: BTreeMap<IndicatorId, Entry> =
		Records::<Test>::iter().map(|(id, record)| (id, Entry::from(record))).collect();
	assert_eq!(entries, model.entries);
	assert_eq!(Ledger::get(), model.ledger);
	assert_eq!(Settings::<Test>::get(), model.settings);
	assert_eq!(ProtectedNetworks::<Test>::get().iter().copied().collect::<BTreeSet<Network>>(), model.protected);

	let count = |which: &dyn Fn(&Entry) -> bool| model.entries.values().filter(|entry| which(entry)).count() as u32;
	assert_eq!(ActiveCount::<Test>::get(), count(&Entry::enforced));
	assert_eq!(ProposedCount::<Test>::get(), count(&|entry| entry.open() || entry.quarrelled()));
	for member in [1, 2, 3, 4, 5, RESEARCHER] {
		assert_eq!(OpenCount::<Test>::get(member), count(&|entry| entry.reporter == member && entry.open()));
		let provisional =
			|entry: &Entry| entry.reporter == member && matches!(entry.status, Status::Provisional { .. });
		assert_eq!(ProvisionalCount::<Test>::get(member), count(&provisional));
		let pending = |entry: &Entry| (entry.open() || entry.quarrelled()) && !entry.votes.contains_key(&member);
		assert_eq!(Indicators::pending(&member, None, 99).0.len() as u32, count(&pending));
	}
	for address in ["198.18.0.1", "2001:db8::1"] {
		let address = address.parse().unwrap();
		assert_eq!(Indicators::about(address, 99).len() as u32, count(&|entry| entry.is_about(address)));
	}

	let decisions = model.entries.values().filter(|entry| entry.enforced()).map(Entry::decision).collect::<Vec<_>>();
	assert_eq!(Digest::<Test>::get(), decisions.iter().collect::<ActiveDigest>());
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(48))]

	#[test]
	fn any_sequence_keeps_to_the_model(steps in proptest::collection::vec(step(), 50..250)) {
		on_chain(|| {
			trust(&[1, 2]);
			let mut model = Model {
				now: START,
				isps: Isps::get().into_iter().collect(),
				settings: Initial::get(),
				protected: ProtectedNetworks::<Test>::get().into_iter().collect(),
				entries: BTreeMap::new(),
				ledger: [((1, Deed::Confirmed), GOOD), ((2, Deed::Confirmed), GOOD)].into(),
			};
			let mut listener = Listener::default();
			listener.listen();
			for step in steps {
				System::reset_events();
				let expected = expect(&mut model, &step);
				match &step {
					Step::Pass(millis) => for _ in 0..8 {
						pass(millis / 8);
						// A chain whose blocks come in time: no stretch is ever overdue.
						(0..16).for_each(|_| pass(0));
						model.pass(Now::get());
					},
					Step::Isps(isps) => {
						Isps::set(isps);
						model.isps = isps.iter().copied().collect();
					},
					_ => {},
				}
				let run = || with_storage_layer(|| take(&step));
				match expected {
					Some(expected) => assert_eq!(run(), Ok(expected), "{step:?}"),
					None => {
						assert_storage_noop!(if run().is_ok() {
							panic!("accepted {step:?}");
						});
					},
				}
				Indicators::do_try_state().unwrap();
				agree(&model);
				listener.listen();
				let told: Vec<Decision> = listener.told.values().cloned().collect();
				let mut active = in_force();
				active.sort_by(|a, b| a.indicator.cmp(&b.indicator));
				assert_eq!(told, active);
			}
		});
	}
}
