//! The rules of vetting once more, as plainly as they can be said: maps, loops and fractions, no storage, no counters.
//! `random` holds the pallet against it.

use crate::{mock::*, Deed, Dispute, Members, Parameters, RecordOf, Status, Voice};
use ringfence_primitives::*;
use std::collections::{BTreeMap, BTreeSet};

/// What the chain knows of an indicator.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
	pub indicator: Indicator,
	pub terms: Terms,
	pub reporter: u64,
	pub status: Status,
	pub proposed_at: u64,
	pub ends_at: u64,
	pub confidence: u8,
	pub votes: BTreeMap<u64, Vote>,
	pub quarrel: Quarrel,
}

/// Whether an active indicator is or was disputed.
#[derive(Clone, PartialEq, Debug)]
pub enum Quarrel {
	Never,
	Now { by: u64, until: u64, before: BTreeMap<u64, Vote> },
	Over,
}

impl From<RecordOf<Test>> for Entry {
	fn from(record: RecordOf<Test>) -> Self {
		Self {
			indicator: record.indicator,
			terms: record.terms,
			reporter: record.reporter,
			status: record.status,
			proposed_at: record.proposed_at,
			ends_at: record.ends_at,
			confidence: record.confidence.get(),
			votes: record.votes.into_iter().collect(),
			quarrel: match record.dispute {
				Dispute::None => Quarrel::Never,
				Dispute::Open { by, until, before } => Quarrel::Now { by, until, before: before.into_iter().collect() },
				Dispute::Settled => Quarrel::Over,
			},
		}
	}
}

impl Entry {
	pub fn enforced(&self) -> bool {
		matches!(self.status, Status::Provisional { .. } | Status::Active { .. })
	}

	pub fn open(&self) -> bool {
		matches!(self.status, Status::Proposed | Status::Provisional { .. })
	}

	pub fn quarrelled(&self) -> bool {
		matches!(self.quarrel, Quarrel::Now { .. })
	}

	fn due(&self) -> u64 {
		match self.quarrel {
			Quarrel::Now { until, .. } => until,
			_ => self.ends_at,
		}
	}

	/// Whether it is quarrelled about and the quarrel ends before its life does.
	fn survives(&self) -> bool {
		self.quarrelled() && self.due() < self.ends_at
	}

	fn yes(&self) -> usize {
		self.votes.values().filter(|vote| **vote != Vote::Reject).count()
	}

	fn no(&self) -> usize {
		self.votes.len() - self.yes()
	}

	/// What sightings of others make of the reporter's confidence.
	fn sure(&self) -> u8 {
		let mut sure = self.terms.confidence.get();
		for (isp, vote) in &self.votes {
			if *vote == Vote::Sighting && *isp != self.reporter {
				sure += (100 - sure) / 2;
			}
		}
		sure
	}

	pub fn decision(&self) -> Decision {
		Decision {
			indicator: self.indicator.clone(),
			direction: self.terms.direction,
			action: self.terms.action,
			threat: self.terms.threat,
			severity: self.terms.severity,
			confidence: Confidence::new(self.confidence).unwrap(),
			expires_at: self.ends_at,
		}
	}

	/// Whether the address is the indicator, or in it, or may be the source of it.
	pub fn is_about(&self, address: Address) -> bool {
		let network = match &self.indicator {
			Indicator::Flow(flow) => flow.source,
			other => other.networks().next(),
		};
		network.is_some_and(|network| network.contains(&Network::host(address)))
	}
}

/// A chain, as far as vetting goes. Whatever may be refused returns whether it was accepted, and changes nothing if not.
pub struct Model {
	pub now: u64,
	pub isps: BTreeSet<u64>,
	pub settings: Parameters,
	pub protected: BTreeSet<Network>,
	pub entries: BTreeMap<IndicatorId, Entry>,
	pub ledger: BTreeMap<(u64, Deed), u32>,
}

impl Model {
	fn note(&mut self, member: u64, deed: Deed) {
		*self.ledger.entry((member, deed)).or_default() += 1;
	}

	fn may_be_blocked(&self, indicator: &Indicator) -> bool {
		!indicator.networks().any(|n| self.protected.iter().any(|p| p.overlaps(&n)))
	}

	/// The member that may report, if `who` acts for one.
	pub fn speaker(who: u64) -> Option<(u64, Voice)> {
		Register::speaker(&who, Scope::Report).filter(|(_, voice)| *voice != Voice::Subscriber)
	}

	fn own(&self, member: u64, which: impl Fn(&Entry) -> bool) -> u32 {
		self.entries.values().filter(|entry| entry.reporter == member && which(entry)).count() as u32
	}

	pub fn report(&mut self, who: u64, indicator: &Indicator, terms: &Terms) -> bool {
		let Some((member, voice)) = Self::speaker(who) else { return false };
		if !self.may_be_blocked(indicator) {
			return false;
		}
		let id = indicator.id();
		let Some(mut entry) = self.entries.get(&id).cloned() else {
			return self.open(member, voice, indicator, terms, false);
		};
		if voice != Voice::Isp {
			return false;
		}
		match entry.status {
			Status::Rejected => false,
			Status::Proposed | Status::Provisional { .. } => {
				let accepted = entry.reporter != member
					&& terms.cover(&entry.terms)
					&& entry.votes.get(&member) != Some(&Vote::Sighting);
				if accepted {
					self.note(member, Deed::Reported);
					self.note(member, Deed::Sighted);
					self.cast(id, member, Vote::Sighting);
				}
				accepted
			}
			Status::Active { .. } => {
				let voted = u64::from(entry.terms.lifetime.get()) * 1_000;
				let ends_at = self.now + voted.min(u64::from(terms.lifetime.get()) * 1_000);
				let accepted = !entry.quarrelled() && ends_at >= entry.ends_at && ends_at - entry.ends_at >= voted / 10;
				if accepted {
					self.note(member, Deed::Reported);
					entry.votes.retain(|isp, _| self.isps.contains(isp));
					entry.ends_at = ends_at;
					entry.confidence = entry.sure();
					self.entries.insert(id, entry);
				}
				accepted
			}
		}
	}

	pub fn report_provisionally(&mut self, who: u64, indicator: &Indicator, terms: &Terms) -> bool {
		let Some((member, Voice::Isp)) = Self::speaker(who) else { return false };
		let trusted = self.ledger.get(&(member, Deed::Confirmed)).is_some_and(|times| *times >= GOOD);
		trusted
			&& !indicator.is_wide()
			&& self.may_be_blocked(indicator)
			&& !self.entries.contains_key(&indicator.id())
			&& self.own(member, |entry| matches!(entry.status, Status::Provisional { .. }))
				< self.settings.provisional_cap
			&& self.open(member, Voice::Isp, indicator, terms, true)
	}

	fn open(&mut self, member: u64, voice: Voice, indicator: &Indicator, terms: &Terms, at_once: bool) -> bool {
		if self.own(member, Entry::open) >= self.settings.open_cap {
			return false;
		}
		let now = self.now;
		let lifetime = u64::from(terms.lifetime.get()) * 1_000;
		let (status, ends_at) = if at_once {
			(Status::Provisional { since: now }, now + lifetime.min(self.settings.provisional_lifetime))
		} else {
			(Status::Proposed, now + self.settings.voting_period)
		};
		let id = indicator.id();
		let entry = Entry {
			indicator: indicator.clone(),
			terms: terms.clone(),
			reporter: member,
			status,
			proposed_at: now,
			ends_at,
			confidence: terms.confidence.get(),
			votes: BTreeMap::new(),
			quarrel: Quarrel::Never,
		};
		self.entries.insert(id, entry);
		self.note(member, Deed::Reported);
		if voice == Voice::Isp {
			self.cast(id, member, Vote::Approve);
		}
		true
	}

	pub fn vote(&mut self, who: u64, id: IndicatorId, terms: Digest, vote: Vote) -> bool {
		let Some((isp, Voice::Isp)) = Register::speaker(&who, Scope::Vet) else { return false };
		let Some(entry) = self.entries.get(&id) else { return false };
		let accepted = entry.terms.hash() == terms
			&& entry.status != Status::Rejected
			&& (vote == Vote::Reject || self.may_be_blocked(&entry.indicator))
			&& entry.votes.get(&isp) != Some(&vote);
		if accepted {
			self.note(isp, if vote == Vote::Sighting { Deed::Sighted } else { Deed::Voted });
			self.cast(id, isp, vote);
		}
		accepted
	}

	/// Enters a vote and does what the votes say.
	fn cast(&mut self, id: IndicatorId, isp: u64, vote: Vote) {
		let mut entry = self.entries[&id].clone();
		entry.votes.retain(|isp, _| self.isps.contains(isp));
		entry.votes.insert(isp, vote);
		self.entries.insert(id, entry.clone());

		let (yes, no, all) = (entry.yes(), entry.no(), self.isps.len());
		let carried = 2 * yes > all && (!entry.indicator.is_wide() || 3 * yes >= 2 * all);
		if entry.open() && carried {
			self.judge(&entry, Deed::Confirmed);
			entry.status = Status::Active { since: self.now };
			entry.ends_at = self.now + u64::from(entry.terms.lifetime.get()) * 1_000;
			entry.confidence = entry.sure();
			self.entries.insert(id, entry);
		} else if entry.open() && no > 0 && 3 * no >= all {
			self.judge(&entry, Deed::Rejected);
			entry.status = Status::Rejected;
			entry.ends_at = self.now + self.settings.voting_period;
			self.entries.insert(id, entry);
		} else if !entry.open() && 2 * no > all {
			self.judge(&entry, Deed::FalsePositive);
			self.entries.remove(&id);
		} else if entry.quarrelled() && carried {
			self.settle(id, true);
		}
	}

	/// Tells the ledger: `deed` of the reporter, and of the others who was right.
	fn judge(&mut self, entry: &Entry, deed: Deed) {
		let bad = deed != Deed::Confirmed;
		self.note(entry.reporter, deed);
		let mut said: BTreeMap<u64, Vote> = entry.votes.clone();
		if let Quarrel::Now { before, .. } = &entry.quarrel {
			// Who approved first has approved, whatever it says now.
			said.extend(before.iter().filter(|(_, vote)| **vote != Vote::Reject));
		}
		said.remove(&entry.reporter);
		for (isp, vote) in said {
			match (vote != Vote::Reject, bad) {
				(true, true) | (false, false) => self.note(isp, Deed::Misjudged),
				(false, true) => self.note(isp, Deed::Judged),
				(true, false) => {}
			}
		}
	}

	/// Ends a dispute that does not revoke.
	fn settle(&mut self, id: IndicatorId, lost: bool) {
		let mut entry = self.entries[&id].clone();
		let Quarrel::Now { by, before, .. } = entry.quarrel else { panic!("no dispute to settle") };
		if lost {
			self.note(by, Deed::DisputeLost);
		}
		for (isp, vote) in before {
			if vote != Vote::Reject && self.isps.contains(&isp) {
				entry.votes.entry(isp).or_insert(vote);
			}
		}
		entry.quarrel = Quarrel::Over;
		self.entries.insert(id, entry);
	}

	pub fn withdraw(&mut self, who: u64, id: IndicatorId) -> bool {
		let Some((member, _)) = Register::speaker(&who, Scope::Report) else { return false };
		let Some(entry) = self.entries.get(&id) else { return false };
		let accepted = entry.reporter == member && entry.status != Status::Rejected;
		if accepted {
			match entry.status {
				Status::Provisional { .. } => self.note(member, Deed::LapsedProvisional),
				Status::Active { .. } if entry.quarrelled() => self.note(member, Deed::Rejected),
				_ => {}
			}
			self.entries.remove(&id);
		}
		accepted
	}

	pub fn dispute(&mut self, who: u64, id: IndicatorId) -> bool {
		let Some((by, voice)) = Self::speaker(who) else { return false };
		let until = self.now + self.settings.voting_period;
		let Some(entry) = self.entries.get_mut(&id) else { return false };
		let accepted =
			entry.reporter != by && matches!(entry.status, Status::Active { .. }) && entry.quarrel == Quarrel::Never;
		if accepted {
			let before = std::mem::take(&mut entry.votes);
			entry.quarrel = Quarrel::Now { by, until: until.min(entry.ends_at), before };
			self.note(by, Deed::Disputed);
			if voice == Voice::Isp {
				self.cast(id, by, Vote::Reject);
			}
		}
		accepted
	}

	/// Time passes, to `now`.
	pub fn pass(&mut self, now: u64) {
		self.now = now;
		while let Some(id) = self.entries.iter().find(|(_, e)| e.due() / 10_000 < now / 10_000).map(|(id, _)| *id) {
			let mut entry = self.entries[&id].clone();
			if entry.survives() {
				entry.votes.retain(|isp, _| self.isps.contains(isp));
				self.entries.insert(id, entry.clone());
				let Quarrel::Now { before, .. } = &entry.quarrel else { panic!("no dispute to settle") };
				let stands = |isp: &u64| self.isps.contains(isp) && !entry.votes.contains_key(isp);
				let silent = before.iter().filter(|&(isp, vote)| *vote != Vote::Reject && stands(isp)).count();
				if entry.no() > entry.yes() + silent {
					self.judge(&entry, Deed::FalsePositive);
					self.entries.remove(&id);
				} else {
					self.settle(id, entry.yes() > entry.no());
				}
				continue;
			}
			match entry.status {
				Status::Proposed => self.note(entry.reporter, Deed::Lapsed),
				Status::Provisional { .. } => self.note(entry.reporter, Deed::LapsedProvisional),
				Status::Active { .. } | Status::Rejected => {}
			}
			self.entries.remove(&id);
		}
	}
}
