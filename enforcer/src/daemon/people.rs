//! What the command line asks: the enforcer that runs, or what the last one left behind.

use super::{
	config::{Config, Mode},
	control::{self, Answer, ControlError, Exempt, Request, Source, State, Why, MAX_REASONS},
	now_ms, own,
	state::{self, StateError},
	store::{self, StoreError},
};
use crate::core::{
	overrides::{Overrides, Verdict},
	own::Own,
};
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
			let (own, _) = own::watch(config.endpoints.clone(), config.uplink.clone());
			let exempt = exempt(config, &own.borrow(), reader.household(), address, now);
			let blocks = reader.why(address, now)?;
			let state = match &exempt {
				Some((state, _)) => *state,
				None if blocks.is_empty() => State::Free,
				None => State::Blocked,
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

/// What lets `address` through, as far as can be told without the chain: protected networks first.
fn exempt(
	config: &Config,
	own: &BTreeSet<Own>,
	household: &Overrides,
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
	if let Some(wish) = household.over(address, now).filter(|wish| wish.verdict == Verdict::Allow) {
		let what = "allowed by the household".into();
		return Some((State::Allowed, Exempt { network: wish.network, source: Source::Household, what }));
	}
	listed(&config.allow).map(|network| by_owner(State::Allowed, network, "allowed by the configuration"))
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::core::{overrides::Override, own::Kind};

	fn config(directory: &std::path::Path) -> Config {
		let text = format!(
			"state-dir = {directory:?}\nchain.endpoints = [\"ws://[::1]:1\"]\n[policy]\nprotected = [\"192.0.2.0/24\"]\n\
			allow = [\"198.51.100.0/24\", \"192.0.2.7\"]\n"
		);
		Config::parse(&text).unwrap()
	}

	#[test]
	fn what_must_not_be_blocked_goes_before_what_is_allowed() {
		let config = config(std::path::Path::new("/s"));
		let own = BTreeSet::from([Own::host(Kind::Gateway, "203.0.113.1".parse().unwrap())]);
		let mut household = Overrides::default();
		for (network, verdict, until) in [
			("203.0.113.0/24", Verdict::Allow, None),
			("198.51.100.0/25", Verdict::Block, None),
			("203.0.112.1", Verdict::Allow, Some(5)),
		] {
			household.set(Override { network: network.parse().unwrap(), verdict, since: 0, until }).unwrap();
		}
		let found = |address: &str| {
			exempt(&config, &own, &household, &address.parse().unwrap(), 5).map(|(state, e)| (state, e.source))
		};
		assert_eq!(found("192.0.2.7"), Some((State::Protected, Source::Owner)));
		assert_eq!(found("203.0.113.1"), Some((State::Protected, Source::Owner)));
		assert_eq!(found("203.0.113.2"), Some((State::Allowed, Source::Household)));
		assert_eq!(found("198.51.100.1"), Some((State::Allowed, Source::Owner)));
		assert_eq!(found("203.0.112.1"), None, "it is over");
		assert_eq!(found("::1"), None);
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
