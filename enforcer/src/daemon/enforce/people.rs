//! What people ask and say: answers, and the household's own word.

use super::{EnforceError, Enforcement};
use crate::{
	core::overrides::{self, Override, Overrides, Verdict},
	daemon::{
		config::Mode,
		control::{self, Agreement, Answer, Exempt, Request, Source, Why},
		firewall, now_ms,
		state::{self, Durable, StateError},
		store::{self, StoreError},
	},
};
use ringfence_primitives::{Address, Indicator, Millis, Network};
use tracing::{error, info};

impl Enforcement {
	/// Answers a person.
	pub fn answer(&mut self, request: Request) -> Answer {
		let failed = |cause: EnforceError| Answer::Failed { cause: cause.to_string() };
		match request {
			Request::Why { address } => self.why(&address).map_or_else(failed, Answer::Why),
			Request::List { after, limit, filter } => {
				let page = self.store.list(&self.household, after, limit, &filter, self.now());
				page.map_or_else(|cause| failed(cause.into()), Answer::List)
			}
			Request::Allow { network, for_ms, .. } => self.say(network, Verdict::Allow, for_ms),
			Request::Block { network, for_ms } => match self.protector(&network) {
				Some(Exempt { network, what, .. }) => {
					Answer::Refused { cause: format!("it overlaps {network}, {what}") }
				}
				None => self.say(network, Verdict::Block, for_ms),
			},
			Request::Forget { network } => self.unsay(network).unwrap_or_else(failed),
			Request::Overrides => Answer::Overrides(self.household.iter().copied().collect()),
			Request::Verify => self.verified(Agreement::Unknown),
			Request::Contacts => self.contacts().map_or_else(failed, Answer::Contacts),
			Request::History | Request::Metrics | Request::Sensors => {
				Answer::Failed { cause: "not a matter of the firewall".into() }
			}
		}
	}

	/// The first protected network that `network` overlaps, in words.
	fn protector(&self, network: &Network) -> Option<Exempt> {
		let exempt = |network: &Network, source, what: String| Exempt { network: *network, source, what };
		let configured = self.setup.protected.iter().filter(|other| other.overlaps(network));
		let own = self.setup.own.as_ref().and_then(|own| {
			let own = own.borrow();
			let found = own.iter().find(|own| own.network.overlaps(network));
			found.map(|own| exempt(&own.network, Source::Owner, own.what.to_string()))
		});
		let mut learned = self.store.protected().iter().filter(|other| other.overlaps(network));
		let mut configured =
			configured.map(|other| exempt(other, Source::Owner, "protected by the configuration".into()));
		own.or_else(|| configured.next())
			.or_else(|| learned.next().map(|other| exempt(other, Source::Chain, "protected by the chain".into())))
	}

	fn why(&self, address: &Address) -> Result<Why, EnforceError> {
		let (now, host) = (self.now(), Network::host(*address));
		let household = self.household.blocked(now).filter(|wish| wish.network.contains(&host));
		let mut blocks: Vec<control::Block> = household.map(control::Block::of_override).collect();
		blocks.truncate(control::MAX_REASONS);
		let (more, clipped) = self.store.about(address, now, control::MAX_REASONS - blocks.len())?;
		blocks.extend(more);
		let exempt = |network, source, what: &str| Exempt { network, source, what: what.into() };
		let allowed = || {
			let wish = self.household.allowed(now).find(|wish| wish.network.contains(&host));
			let wish = wish.map(|wish| exempt(wish.network, Source::Household, "allowed by the household"));
			let configured = || self.setup.allowed.iter().find(|network| network.contains(&host));
			wish.or_else(|| configured().map(|n| exempt(*n, Source::Owner, "allowed by the configuration")))
		};
		let (state, exempt) = match (self.protector(&host), allowed()) {
			(Some(protected), _) => (control::State::Protected, Some(protected)),
			(None, Some(allowed)) => (control::State::Allowed, Some(allowed)),
			(None, None) => {
				// A wide block that overlaps something protected is not in force.
				let effective = |block: &control::Block| {
					let overlaps = |network: Network| self.policy.protected().any(|other| other.overlaps(&network));
					!block.network.is_some_and(overlaps)
				};
				let listed = self.setup.whitelist.as_ref().and_then(|list| list.borrow().clone());
				let off_list = listed.is_some_and(|list| !list.iter().any(|network| network.contains(&host)));
				let state = match (blocks.iter().any(effective), off_list) {
					(true, _) => control::State::Blocked,
					(false, true) => control::State::OffList,
					(false, false) => control::State::Free,
				};
				(state, None)
			}
		};
		let enforced = self.setup.mode == Mode::Enforce && self.firewall.is_some();
		Ok(Why { address: *address, state, exempt, blocks, clipped, enforced })
	}

	pub(super) fn write_household(&self) -> Result<(), StateError> {
		let path = self.setup.directory.join(overrides::FILE);
		state::replace(&path, &self.household.encode(), Durable::Yes)
	}

	/// Takes the household's word, writes it down, and does it.
	fn say(&mut self, network: Network, verdict: Verdict, for_ms: Option<Millis>) -> Answer {
		let now = self.now();
		let set = Override { network, verdict, since: now, until: for_ms.map(|ms| now.saturating_add(ms)) };
		let before = self.household.clone();
		let replaced = match self.household.set(set) {
			Ok(replaced) => replaced,
			Err(cause) => return Answer::Refused { cause: cause.to_string() },
		};
		if let Err(cause) = self.write_household() {
			self.household = before;
			return Answer::Failed { cause: cause.to_string() };
		}
		info!(at = now_ms(), %network, %verdict, for_ms, "the household's word");
		let followed = self.follow_household(&[Some(set), replaced]);
		match self.mind(followed) {
			Ok(()) => Answer::Set { set, replaced, disputed: Vec::new() },
			Err(cause) => Answer::Failed { cause: cause.to_string() },
		}
	}

	fn unsay(&mut self, network: Network) -> Result<Answer, EnforceError> {
		let before = self.household.clone();
		let was = self.household.forget(&network);
		if was.is_some() {
			if let Err(cause) = self.write_household() {
				self.household = before;
				return Err(cause.into());
			}
			info!(at = now_ms(), %network, "the household's word is taken back");
			let followed = self.follow_household(&[was]);
			self.mind(followed)?;
		}
		Ok(Answer::Forgotten { network, was })
	}

	/// Brings the firewall in line after these words came or went.
	fn follow_household(&mut self, wishes: &[Option<Override>]) -> Result<(), EnforceError> {
		let wishes = || wishes.iter().flatten();
		if wishes().any(|wish| wish.verdict == Verdict::Allow) {
			self.reconfigure()?;
		}
		if let Some(wish) = wishes().find(|wish| wish.verdict == Verdict::Block) {
			let decided = self.settle(&Indicator::from(wish.network))?;
			if let Some(cause) = self.command(&[decided.command])?.remove(&0) {
				error!(at = now_ms(), network = %wish.network, cause, "not enforced");
			}
			self.remember_lists();
		}
		Ok(())
	}

	fn contacts(&mut self) -> Result<Vec<control::Contact>, EnforceError> {
		let Some(firewall) = &mut self.firewall else { return Ok(Vec::new()) };
		let now = now_ms();
		let contact = |contact: firewall::Contact| control::Contact {
			device: contact.device,
			peer: contact.peer,
			last: now.saturating_sub(contact.last_ms_ago),
		};
		Ok(firewall.contacts()?.into_iter().map(contact).collect())
	}
}

/// The household's own word. A file that makes no sense is put aside.
pub(super) fn open_household(directory: &std::path::Path) -> Result<Overrides, EnforceError> {
	match store::read_overrides(directory) {
		Err(cause @ StoreError::Corrupt { .. }) => {
			error!(at = now_ms(), %cause, "put aside");
			let path = directory.join(overrides::FILE);
			let aside = path.with_extension("json.corrupt");
			std::fs::rename(&path, aside).map_err(|source| StoreError::Io { path, source })?;
			Ok(Overrides::default())
		}
		household => Ok(household?),
	}
}
