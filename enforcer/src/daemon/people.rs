//! What the command line asks: the enforcer that runs, or what the last one left behind.

use super::{
	config::{Config, Mode},
	control::{self, Answer, ControlError, Exempt, Request, Source, State, Why, MAX_REASONS},
	now_ms, own,
	state::{self, StateError},
	store::{self, Reader, StoreError},
};
use crate::core::{overrides::Verdict, own::Own};
use ringfence_primitives::{Address, Millis, Network};
use std::collections::BTreeSet;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
	/// The socket.
	#[error("control socket: {0}")]
	Control(#[from] ControlError),
	/// The state directory.
	#[error("state-dir: {0}")]
	State(#[from] StateError),
	/// What the last enforcer left.
	#[error("state-dir: {0}")]
	Store(#[from] StoreError),
	/// One runs, but has no socket: it is starting, or older than this program.
	#[error("the enforcer that is running does not listen: is it just starting?")]
	Deaf,
	/// Only one that runs can do this.
	#[error("the enforcer is not running")]
	NotRunning,
}

/// Who has answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
	/// An enforcer that runs.
	Running,
	/// Nobody: it is what the last one left behind.
	Left,
}

/// Asks, and waits for the answer.
pub fn ask(config: &Config, request: &Request) -> Result<(Answer, Origin), PeopleError> {
	if let Some(answer) = control::ask(&config.state_dir, request)? {
		return Ok((answer, Origin::Running));
	}
	if state::is_running(&config.state_dir)? {
		return Err(PeopleError::Deaf);
	}
	left(config, request).map(|answer| (answer, Origin::Left))
}

/// Answers from the disk.
fn left(config: &Config, request: &Request) -> Result<Answer, PeopleError> {
	let now = now_ms();
	Ok(match request {
		Request::Why { address } => {
			let reader = store::read_only(&config.state_dir)?;
			let now = reader.now();
			let (own, _) = own::watch(config.endpoints.clone(), config.uplink.clone());
			let own = own.borrow().clone();
			let exempt = exempt(config, &own, &reader, address, now);
			let blocks = reader.why(address, now)?;
			// A wide block that overlaps something protected is not in force.
			let protected = config.protected.iter().chain(own.iter().map(|own| &own.network)).chain(reader.protected());
			let effective = |block: &control::Block| match block.network {
				Some(network) => !protected.clone().any(|other| other.overlaps(&network)),
				None => true,
			};
			let state = match &exempt {
				Some((state, _)) => *state,
				None if blocks.iter().any(effective) => State::Blocked,
				None => State::Free,
			};
			Answer::Why(Why {
				address: *address,
				state,
				exempt: exempt.map(|(_, exempt)| exempt),
				clipped: blocks.len() >= MAX_REASONS,
				blocks,
				enforced: config.enforce && config.mode == Mode::Enforce,
			})
		}
		Request::List { after, limit, filter } => {
			Answer::List(store::read_only(&config.state_dir)?.list(*after, *limit, filter, now)?)
		}
		Request::Overrides => {
			let reader = store::read_only(&config.state_dir)?;
			Answer::Overrides(reader.household().iter().filter(|wish| wish.in_force(now)).copied().collect())
		}
		_ => return Err(PeopleError::NotRunning),
	})
}

/// What lets `address` through: networks that the owner protects first, then those that the chain does.
fn exempt(
	config: &Config,
	own: &BTreeSet<Own>,
	left: &Reader,
	address: &Address,
	now: Millis,
) -> Option<(State, Exempt)> {
	let host = Network::host(*address);
	let listed = |list: &[Network]| list.iter().find(|network| network.contains(&host)).copied();
	let by_owner = |state, network, what: &str| (state, Exempt { network, source: Source::Owner, what: what.into() });
	if let Some(network) = listed(&config.protected) {
		return Some(by_owner(State::Protected, network, "protected by the configuration"));
	}
	if let Some(own) = own.iter().find(|own| own.network.contains(&host)) {
		return Some(by_owner(State::Protected, own.network, &own.what.to_string()));
	}
	if let Some(network) = left.protected().iter().find(|network| network.contains(&host)) {
		let what = "protected by the chain".into();
		return Some((State::Protected, Exempt { network: *network, source: Source::Chain, what }));
	}
	if let Some(wish) = left.household().over(address, now).filter(|wish| wish.verdict == Verdict::Allow) {
		let what = "allowed by the household".into();
		return Some((State::Allowed, Exempt { network: wish.network, source: Source::Household, what }));
	}
	listed(&config.allow).map(|network| by_owner(State::Allowed, network, "allowed by the configuration"))
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::core::{
		overrides::{self, Override, Overrides},
		own::Kind,
	};
	use crate::daemon::{state::Durable, store::Store};
	use ringfence_primitives::{Change, ChangeKind};

	fn config(directory: &std::path::Path) -> Config {
		let text = format!(
			"state-dir = {directory:?}\nchain.endpoints = [\"ws://[::1]:1\"]\n[policy]\nprotected = [\"192.0.2.0/24\"]\n\
			allow = [\"198.51.100.0/24\", \"192.0.2.7\"]\n"
		);
		Config::parse(&text).unwrap()
	}

	#[test]
	fn what_must_not_be_blocked_goes_before_what_is_allowed() {
		let directory = tempfile::tempdir().unwrap();
		let config = config(directory.path());
		let own = BTreeSet::from([Own::host(Kind::Gateway, "203.0.113.1".parse().unwrap())]);
		let mut household = Overrides::default();
		for (network, verdict, until) in [
			("203.0.113.0/24", Verdict::Allow, None),
			("198.51.100.0/25", Verdict::Block, None),
			("203.0.112.1", Verdict::Allow, Some(5)),
		] {
			household.set(Override { network: network.parse().unwrap(), verdict, since: 0, until }).unwrap();
		}
		std::fs::write(directory.path().join(overrides::FILE), household.encode()).unwrap();
		protect(directory.path(), "203.0.113.64/26");
		let left = store::read_only(directory.path()).unwrap();
		let found = |address: &str| {
			exempt(&config, &own, &left, &address.parse().unwrap(), 5).map(|(state, e)| (state, e.source))
		};
		assert_eq!(found("192.0.2.7"), Some((State::Protected, Source::Owner)));
		assert_eq!(found("203.0.113.1"), Some((State::Protected, Source::Owner)));
		assert_eq!(found("203.0.113.65"), Some((State::Protected, Source::Chain)));
		assert_eq!(found("203.0.113.2"), Some((State::Allowed, Source::Household)));
		assert_eq!(found("198.51.100.1"), Some((State::Allowed, Source::Owner)));
		assert_eq!(found("203.0.112.1"), None, "it is over");
		assert_eq!(found("::1"), None);
	}

	/// The chain protects `network`, as the last enforcer learned.
	fn protect(directory: &std::path::Path, network: &str) {
		let (mut store, _) = Store::open(directory).unwrap();
		let kind = ChangeKind::Protected(network.parse().unwrap());
		store.record(&Change { seq: 1, at: 0, previous: [0; 32], kind }).unwrap();
		store.commit(Durable::Yes).unwrap();
	}

	#[test]
	fn what_the_chain_protects_is_known_where_no_enforcer_runs() {
		let directory = tempfile::tempdir().unwrap();
		let config = config(directory.path());
		let mut household = Overrides::default();
		let network = "203.0.113.0/24".parse().unwrap();
		household.set(Override { network, verdict: Verdict::Block, since: 0, until: None }).unwrap();
		std::fs::write(directory.path().join(overrides::FILE), household.encode()).unwrap();
		let state = |address: &str| match ask(&config, &Request::Why { address: address.parse().unwrap() }) {
			Ok((Answer::Why(why), Origin::Left)) => (why.state, why.exempt.map(|exempt| exempt.source)),
			other => panic!("{other:?}"),
		};
		assert_eq!(state("203.0.113.9"), (State::Blocked, None));
		protect(directory.path(), "203.0.113.64/26");
		assert_eq!(state("203.0.113.65"), (State::Protected, Some(Source::Chain)));
		assert_eq!(state("203.0.113.9"), (State::Free, None), "the block is too wide to be in force");
	}

	#[test]
	fn only_an_enforcer_that_runs_changes_anything() {
		let directory = tempfile::tempdir().unwrap();
		let config = config(directory.path());
		let network: Network = "203.0.113.9".parse().unwrap();
		for request in [
			Request::Block { network, for_ms: None },
			Request::Allow { network, for_ms: None, dispute: false },
			Request::Forget { network },
			Request::Verify,
			Request::Contacts,
			Request::History,
			Request::Metrics,
		] {
			assert!(matches!(ask(&config, &request), Err(PeopleError::NotRunning)), "{request:?}");
		}
		let lock = state::Journal::open(directory.path()).unwrap();
		assert!(matches!(ask(&config, &Request::Verify), Err(PeopleError::Deaf)));
		drop(lock);
	}
}
