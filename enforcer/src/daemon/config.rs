//! The configuration file. `ringfence.toml`, beside this crate's manifest, documents every key.
//!
//! Keys that nobody knows are refused, so a slip of the pen cannot turn a protection off. What comes out of
//! [`Config::parse`] is checked: every number is in its range and every part that another one needs is there.

use super::{
	household::Provider,
	listen::{Access, Kind},
	millis, observe,
};
use crate::core::{
	alert::{judge::Judge, Format},
	hex,
	inbox::InboxPolicy,
	report::Settings,
	rules::{Rule, Rules, Verdict},
	vet::VettingPolicy,
};
use ringfence_primitives::{
	AccountBytes, Action, Confidence, Digest, Direction, Lifetime, Network, PacketRate, Severity, ThreatClass, Tlp,
};
use serde::Deserialize;
use std::{
	io,
	net::SocketAddr,
	ops::RangeInclusive,
	path::{Path, PathBuf},
	time::Duration,
};

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
	/// The file could not be read.
	#[error("{0}")]
	Read(#[from] io::Error),
	/// Not TOML, an unknown key, a missing one, or a value of the wrong kind. The text names line and key.
	#[error("{0}")]
	Syntax(#[from] toml::de::Error),
	/// A value that makes no sense.
	#[error("{key}: {cause}")]
	Value {
		/// Its key, with the table's name.
		key: &'static str,
		/// What is wrong.
		cause: String,
	},
}

fn invalid(key: &'static str, cause: impl ToString) -> ConfigError {
	ConfigError::Value { key, cause: cause.to_string() }
}

/// A checked configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
	/// Where all that is remembered is kept.
	pub state_dir: PathBuf,
	/// Websocket addresses of nodes, tried in turn.
	pub endpoints: Vec<String>,
	/// The only chain that is accepted.
	pub genesis: Option<Digest>,
	/// How often the chain is asked to prove that nothing was kept back.
	pub heartbeat: Duration,
	/// Time without a proof after which protection counts as stale.
	pub stale_after: Duration,
	/// The certificate authorities that a `wss` server is checked against, a PEM file. None: the system's.
	pub roots: Option<PathBuf>,
	/// SHA-256 of the only certificate (DER) that a `wss` server may show.
	pub pin: Option<Digest>,
	/// The secret of the account that reports and votes.
	pub key_file: Option<PathBuf>,
	/// The member that it acts for; none: the account itself is the member.
	pub member: Option<AccountBytes>,
	/// The provider that findings are sealed for. None: they are reported openly.
	pub subscriber: Option<Provider>,
	/// Whether the firewall is programmed. If not, netlink is not touched at all.
	pub enforce: bool,
	/// What becomes of packets that match.
	pub mode: Mode,
	/// Whether only what the owner's list names may come in.
	pub whitelist_mode: bool,
	/// The interfaces towards the Internet. Empty: those with a default route.
	pub uplink: Vec<String>,
	/// Where Prometheus finds the metrics: a loopback address. None: nowhere.
	pub metrics: Option<SocketAddr>,
	/// Where the household finds its page: a loopback or LAN address. None: nowhere.
	pub page: Option<SocketAddr>,
	/// Networks that must never be blocked, whatever the chain says.
	pub protected: Vec<Network>,
	/// Peers that are let through even if a wider network is blocked.
	pub allow: Vec<Network>,
	/// What turns what sensors see into findings, by the owner's rules.
	pub sensor: Option<Judge>,
	/// Other programs that see something. Where there are any, so is `sensor`.
	pub alerts: Vec<Source>,
	/// How findings become reports.
	pub reporting: Settings,
	/// Whether reports are to be acted on before they are confirmed.
	pub provisional: bool,
	/// When to vote without a person.
	pub vetting: Option<VettingPolicy>,
	/// When to make subscribers' reports the own without a person.
	pub inbox: Option<InboxPolicy>,
}

/// What the firewall does with packets that match.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
	/// What was decided.
	#[default]
	Enforce,
	/// Nothing, but they are counted.
	Canary,
	/// The kernel is left alone: decisions are kept and logged, no more.
	DryRun,
}

impl Mode {
	/// The name in the configuration.
	pub const fn name(self) -> &'static str {
		match self {
			Self::Enforce => "enforce",
			Self::Canary => "canary",
			Self::DryRun => "dry-run",
		}
	}
}

/// Another program, and where it says what it sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
	/// How it writes.
	pub format: Format,
	/// Where it writes.
	pub place: Place,
}

/// Where another program writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
	/// To a file, which is followed.
	File(PathBuf),
	/// To a socket that the enforcer makes.
	Socket(PathBuf, Kind, Access),
}

impl Place {
	/// The path of either.
	pub fn path(&self) -> &Path {
		match self {
			Self::File(path) | Self::Socket(path, ..) => path,
		}
	}

	/// The key that names it.
	pub const fn key(&self) -> &'static str {
		match self {
			Self::File(_) => "alerts.path",
			Self::Socket(..) => "alerts.socket",
		}
	}
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawConfig {
	state_dir: PathBuf,
	chain: RawChain,
	account: Option<RawAccount>,
	subscriber: Option<RawSubscriber>,
	#[serde(default)]
	firewall: RawFirewall,
	#[serde(default)]
	policy: RawPolicy,
	#[serde(default)]
	observe: RawObserve,
	sensor: Option<RawSensor>,
	#[serde(default)]
	alerts: Vec<RawSource>,
	#[serde(default)]
	rules: Vec<RawRule>,
	#[serde(default)]
	reporting: RawReporting,
	vetting: Option<RawVetting>,
	inbox: Option<RawInbox>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawChain {
	endpoints: Vec<String>,
	genesis: Option<String>,
	#[serde(default = "half_hour", with = "humantime_serde")]
	heartbeat: Duration,
	#[serde(default, with = "humantime_serde")]
	stale_after: Option<Duration>,
	roots: Option<PathBuf>,
	pin: Option<String>,
}

fn half_hour() -> Duration {
	Duration::from_secs(30 * 60)
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawAccount {
	key_file: PathBuf,
	member: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawSubscriber {
	provider: String,
	provider_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawFirewall {
	enforce: bool,
	mode: Mode,
	whitelist_mode: bool,
	uplink: Vec<String>,
}

impl Default for RawFirewall {
	fn default() -> Self {
		Self { enforce: true, mode: Mode::Enforce, whitelist_mode: false, uplink: Vec::new() }
	}
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawObserve {
	listen: Option<SocketAddr>,
	page: Option<SocketAddr>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawPolicy {
	protected: Vec<Network>,
	allow: Vec<Network>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawSensor {
	home: Vec<Network>,
	#[serde(default = "medium")]
	max_severity: u8,
}

fn medium() -> u8 {
	2
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawSource {
	format: Format,
	path: Option<PathBuf>,
	socket: Option<PathBuf>,
	socket_type: Option<Kind>,
	socket_mode: Option<Access>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawRule {
	category: Option<String>,
	signature_ids: Vec<RawIds>,
	detectors: Vec<String>,
	source: Option<Format>,
	min_severity: Option<Severity>,
	ignore: bool,
	threat: Option<ThreatClass>,
	severity: Option<Severity>,
	action: Option<RawAction>,
	#[serde(with = "humantime_serde")]
	lifetime: Option<Duration>,
	established: bool,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "the number of a signature, or a range \"FIRST-LAST\"")]
enum RawIds {
	One(u64),
	Range(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawReporting {
	#[serde(with = "humantime_serde")]
	lifetime: Duration,
	per_minute: u32,
	#[serde(with = "humantime_serde")]
	repeat_after: Duration,
	confidence: u8,
	spoofable_confidence: u8,
	tlp: Tlp,
	action: RawAction,
	direction: Direction,
	provisional: bool,
}

impl Default for RawReporting {
	fn default() -> Self {
		Self {
			lifetime: Duration::from_secs(24 * 3_600),
			per_minute: 30,
			repeat_after: Duration::from_secs(600),
			confidence: 80,
			spoofable_confidence: 30,
			tlp: Tlp::Green,
			action: RawAction::Drop,
			direction: Direction::Both,
			provisional: false,
		}
	}
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawAction {
	Drop,
	Watch,
	RateLimit(u32),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawVetting {
	approve_min_confidence: u8,
	approve_min_severity: Severity,
	widest_v4: u8,
	widest_v6: u8,
	reject_overlap: bool,
}

impl Default for RawVetting {
	fn default() -> Self {
		Self {
			approve_min_confidence: 50,
			approve_min_severity: Severity::Low,
			widest_v4: 24,
			widest_v6: 48,
			reject_overlap: true,
		}
	}
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawInbox {
	promote_min_confidence: u8,
	promote_min_severity: Severity,
	per_minute: u32,
	per_household: u32,
	#[serde(with = "humantime_serde")]
	answer_every: Duration,
}

impl Default for RawInbox {
	fn default() -> Self {
		Self {
			promote_min_confidence: 70,
			promote_min_severity: Severity::Medium,
			per_minute: 600,
			per_household: 30,
			answer_every: Duration::from_secs(60),
		}
	}
}

impl Config {
	/// Reads and checks the file.
	pub fn load(path: &Path) -> Result<Self, ConfigError> {
		Self::parse(&std::fs::read_to_string(path)?)
	}

	/// Checks the text of a file.
	pub fn parse(text: &str) -> Result<Self, ConfigError> {
		let raw: RawConfig = toml::from_str(text)?;
		check_endpoints(&raw.chain.endpoints)?;
		let genesis = raw.chain.genesis.as_deref().map(hex::digest).transpose();
		let genesis = genesis.map_err(|e| invalid("chain.genesis", e))?;
		let pin = raw.chain.pin.as_deref().map(hex::digest).transpose().map_err(|e| invalid("chain.pin", e))?;
		let stale_after = check_pace(raw.chain.heartbeat, raw.chain.stale_after)?;
		check_encryption(&raw.chain, pin)?;
		check_uplink(&raw.firewall.uplink)?;
		let RawObserve { listen: metrics, page } = raw.observe;
		check_observers(metrics, page)?;
		if raw.firewall.whitelist_mode {
			if raw.subscriber.is_none() {
				return Err(invalid("firewall.whitelist-mode", "the list is a household owner's: needs [subscriber]"));
			}
			if raw.firewall.uplink.is_empty() {
				return Err(invalid("firewall.whitelist-mode", "needs firewall.uplink: where the Internet is"));
			}
		}
		if raw.state_dir.as_os_str().is_empty() {
			return Err(invalid("state-dir", "empty"));
		}
		if raw.account.is_none() {
			if !raw.alerts.is_empty() {
				return Err(invalid("alerts", "reports are signed: needs [account]"));
			}
			if raw.vetting.is_some() {
				return Err(invalid("vetting", "votes are signed: needs [account]"));
			}
			if raw.subscriber.is_some() {
				return Err(invalid("subscriber", "envelopes are signed: needs [account]"));
			}
			if raw.inbox.is_some() {
				return Err(invalid("inbox", "envelopes are opened with the account's secret: needs [account]"));
			}
		}
		let member = raw.account.as_ref().and_then(|account| account.member.as_deref());
		let member = member.map(hex::digest).transpose().map_err(|e| invalid("account.member", e))?;
		let subscriber = raw.subscriber.map(|subscriber| subscriber.checked(member)).transpose()?;
		if subscriber.is_some() {
			if raw.vetting.is_some() || raw.inbox.is_some() {
				return Err(invalid("subscriber", "who has a provider is none: not beside [vetting] or [inbox]"));
			}
			if raw.reporting.provisional {
				return Err(invalid("reporting.provisional", "only an ISP's reports are: not beside [subscriber]"));
			}
		}
		if raw.sensor.is_none() {
			for (key, used) in [("alerts", !raw.alerts.is_empty()), ("rules", !raw.rules.is_empty())] {
				if used {
					return Err(invalid(key, "who is attacked? Needs [sensor]"));
				}
			}
		}
		let exempt = raw.policy.protected.iter().chain(&raw.policy.allow).copied().collect();
		let rules = checked_rules(raw.rules)?;
		Ok(Self {
			sensor: raw.sensor.map(|sensor| sensor.checked(exempt, rules)).transpose()?,
			alerts: checked_sources(raw.alerts)?,
			provisional: raw.reporting.provisional,
			reporting: raw.reporting.checked()?,
			vetting: raw.vetting.map(RawVetting::checked).transpose()?,
			inbox: raw.inbox.map(RawInbox::checked).transpose()?,
			member,
			subscriber,
			state_dir: raw.state_dir,
			endpoints: raw.chain.endpoints,
			genesis,
			heartbeat: raw.chain.heartbeat,
			stale_after,
			roots: raw.chain.roots,
			pin,
			key_file: raw.account.map(|account| account.key_file),
			enforce: raw.firewall.enforce,
			mode: raw.firewall.mode,
			whitelist_mode: raw.firewall.whitelist_mode,
			uplink: raw.firewall.uplink,
			metrics,
			page,
			protected: raw.policy.protected,
			allow: raw.policy.allow,
		})
	}
}

fn check_endpoints(endpoints: &[String]) -> Result<(), ConfigError> {
	if endpoints.is_empty() {
		return Err(invalid("chain.endpoints", "at least one is needed"));
	}
	for endpoint in endpoints {
		let host = endpoint.strip_prefix("ws://").or_else(|| endpoint.strip_prefix("wss://"));
		if host.is_none_or(|host| host.is_empty() || host.starts_with('/') || host.contains(char::is_whitespace)) {
			return Err(invalid("chain.endpoints", format!("{endpoint:?} is not ws://host:port or wss://host:port")));
		}
	}
	Ok(())
}

/// Slack of the default over two heartbeats.
const STALE_SLACK: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// Uplinks at most.
const MAX_UPLINKS: usize = 8;
/// Longest name of an interface: IFNAMSIZ less its zero.
const MAX_INTERFACE: usize = 15;

/// The time after which protection is stale.
fn check_pace(heartbeat: Duration, stale_after: Option<Duration>) -> Result<Duration, ConfigError> {
	if !(Duration::from_secs(10)..=DAY).contains(&heartbeat) {
		return Err(invalid("chain.heartbeat", "10s to 1day"));
	}
	match stale_after {
		None => Ok(heartbeat * 2 + STALE_SLACK),
		Some(after) if after > heartbeat && after <= DAY * 7 => Ok(after),
		Some(_) => Err(invalid("chain.stale-after", "longer than chain.heartbeat, 7days at most")),
	}
}

/// What says how a server proves itself makes no sense where none does.
fn check_encryption(chain: &RawChain, pin: Option<Digest>) -> Result<(), ConfigError> {
	let encrypted = chain.endpoints.iter().any(|endpoint| endpoint.starts_with("wss://"));
	let only = |key| invalid(key, "only wss:// endpoints show a certificate, and there is none");
	match (encrypted, &chain.roots, pin) {
		(false, Some(_), _) => Err(only("chain.roots")),
		(false, None, Some(_)) => Err(only("chain.pin")),
		(true, Some(roots), _) if roots.file_name().is_none() => Err(invalid("chain.roots", "not a file's name")),
		_ => Ok(()),
	}
}

fn check_uplink(uplink: &[String]) -> Result<(), ConfigError> {
	let is_name = |name: &String| {
		let odd = |c: char| c == '/' || c == '"' || c == ':' || !c.is_ascii_graphic();
		(1..=MAX_INTERFACE).contains(&name.len()) && !matches!(name.as_str(), "." | ".." | "lo") && !name.contains(odd)
	};
	if uplink.len() > MAX_UPLINKS {
		return Err(invalid("firewall.uplink", format!("more than {MAX_UPLINKS} interfaces")));
	}
	match uplink.iter().find(|name| !is_name(name)) {
		Some(name) => Err(invalid("firewall.uplink", format!("{name:?} is no interface towards the Internet"))),
		None => Ok(()),
	}
}

/// Nothing of it reaches beyond the LAN.
fn check_observers(metrics: Option<SocketAddr>, page: Option<SocketAddr>) -> Result<(), ConfigError> {
	if metrics.is_some_and(|address| !address.ip().is_loopback()) {
		return Err(invalid("observe.listen", "a loopback address: metrics are not for the network"));
	}
	if page.is_some_and(|address| !observe::is_local(address.ip())) {
		return Err(invalid("observe.page", "a loopback or LAN address: the page is not for the Internet"));
	}
	for (key, address) in [("observe.listen", metrics), ("observe.page", page)] {
		if address.is_some_and(|address| address.port() == 0) {
			return Err(invalid(key, "port 0 is none"));
		}
	}
	if metrics.is_some() && metrics == page {
		return Err(invalid("observe.page", "the same as observe.listen"));
	}
	Ok(())
}

impl RawSensor {
	fn checked(self, exempt: Vec<Network>, rules: Rules) -> Result<Judge, ConfigError> {
		if self.home.is_empty() {
			return Err(invalid("sensor.home", "without an own network no alert has an attacker"));
		}
		if self.max_severity == 0 {
			return Err(invalid("sensor.max-severity", "severities begin at 1"));
		}
		Ok(Judge { home: self.home, exempt, max_severity: self.max_severity, rules })
	}
}

/// Sources of alerts at most: each file takes a thread.
const MAX_SOURCES: usize = 16;
/// Rules at most: each is asked about every alert.
const MAX_RULES: usize = 256;

fn checked_sources(raw: Vec<RawSource>) -> Result<Vec<Source>, ConfigError> {
	if raw.len() > MAX_SOURCES {
		return Err(invalid("alerts", format!("more than {MAX_SOURCES}")));
	}
	let sources = raw.into_iter().map(RawSource::checked).collect::<Result<Vec<_>, _>>()?;
	for (at, Source { place, .. }) in sources.iter().enumerate() {
		if sources.iter().take(at).any(|earlier| earlier.place.path() == place.path()) {
			return Err(invalid(place.key(), format!("{} twice", place.path().display())));
		}
	}
	Ok(sources)
}

impl RawSource {
	fn checked(self) -> Result<Source, ConfigError> {
		let place = match (self.path, self.socket) {
			(Some(path), None) => {
				if self.socket_type.is_some() || self.socket_mode.is_some() {
					return Err(invalid("alerts.path", "socket-type and socket-mode are those of a socket"));
				}
				Place::File(path)
			}
			(None, Some(path)) => {
				Place::Socket(path, self.socket_type.unwrap_or_default(), self.socket_mode.unwrap_or_default())
			}
			_ => return Err(invalid("alerts", "each needs either a path or a socket")),
		};
		if place.path().file_name().is_none() {
			return Err(invalid(place.key(), "not a file's name"));
		}
		Ok(Source { format: self.format, place })
	}
}

fn checked_rules(raw: Vec<RawRule>) -> Result<Rules, ConfigError> {
	if raw.len() > MAX_RULES {
		return Err(invalid("rules", format!("more than {MAX_RULES}")));
	}
	let numbered = (1..).zip(raw).map(|(number, rule): (usize, RawRule)| {
		rule.checked().map_err(|cause| invalid("rules", format!("number {number}: {cause}")))
	});
	numbered.collect::<Result<Vec<_>, _>>().map(Rules)
}

impl RawRule {
	/// The rule; what is wrong with it.
	fn checked(self) -> Result<Rule, String> {
		let asked = self.lifetime.is_some();
		let verdict = Verdict {
			threat: self.threat,
			severity: self.severity,
			action: self.action.map(RawAction::checked).transpose()?,
			lifetime: self.lifetime.and_then(lifetime),
			established: self.established,
		};
		if asked && verdict.lifetime.is_none() {
			return Err(format!("lifetime: {LIFETIMES}"));
		}
		if self.ignore != (verdict == Verdict::default()) {
			return Err("either ignore, or any of threat, severity, action, lifetime and established".into());
		}
		Ok(Rule {
			category: self.category,
			signature_ids: self.signature_ids.iter().map(RawIds::checked).collect::<Result<_, _>>()?,
			detectors: self.detectors,
			source: self.source,
			min_severity: self.min_severity,
			verdict: (!self.ignore).then_some(verdict),
		})
	}
}

impl RawIds {
	fn checked(&self) -> Result<RangeInclusive<u64>, String> {
		match self {
			Self::One(id) => Ok(*id..=*id),
			Self::Range(text) => text
				.split_once('-')
				.and_then(|(first, last)| Some((first.trim().parse::<u64>().ok()?, last.trim().parse::<u64>().ok()?)))
				.filter(|(first, last)| first <= last)
				.map(|(first, last)| first..=last)
				.ok_or_else(|| format!("signature-ids: {text:?} is no range FIRST-LAST")),
		}
	}
}

impl RawAction {
	fn checked(self) -> Result<Action, &'static str> {
		match self {
			Self::Drop => Ok(Action::Drop),
			Self::Watch => Ok(Action::Watch),
			Self::RateLimit(rate) => {
				PacketRate::new(rate).map(Action::RateLimit).ok_or("a rate is 1 to 10000000 packets a second")
			}
		}
	}
}

/// What [`lifetime`] takes.
pub const LIFETIMES: &str = "whole seconds, 1min to 30days";

/// None if it is not one of the [`LIFETIMES`].
pub fn lifetime(duration: Duration) -> Option<Lifetime> {
	let whole = duration.subsec_nanos() == 0;
	u32::try_from(duration.as_secs()).ok().filter(|_| whole).and_then(Lifetime::new)
}

fn confidence(key: &'static str, percent: u8) -> Result<Confidence, ConfigError> {
	Confidence::new(percent).ok_or_else(|| invalid(key, "0 to 100"))
}

impl RawSubscriber {
	fn checked(self, member: Option<AccountBytes>) -> Result<Provider, ConfigError> {
		let account = hex::digest(&self.provider).map_err(|e| invalid("subscriber.provider", e))?;
		if member == Some(account) {
			return Err(invalid("subscriber.provider", "nobody is its own provider"));
		}
		let key = hex::digest(&self.provider_key).map_err(|e| invalid("subscriber.provider-key", e))?;
		if key == [0; 32] {
			return Err(invalid("subscriber.provider-key", "zeros are no key"));
		}
		Ok(Provider { account, key })
	}
}

impl RawReporting {
	fn checked(self) -> Result<Settings, ConfigError> {
		if !(1..=10_000).contains(&self.per_minute) {
			return Err(invalid("reporting.per-minute", "1 to 10000"));
		}
		if !(Duration::from_secs(1)..=Duration::from_secs(30 * 86_400)).contains(&self.repeat_after) {
			return Err(invalid("reporting.repeat-after", "1s to 30days"));
		}
		let action = self.action.checked().map_err(|cause| invalid("reporting.action", cause))?;
		Ok(Settings {
			confidence: confidence("reporting.confidence", self.confidence)?,
			spoofable_confidence: confidence("reporting.spoofable-confidence", self.spoofable_confidence)?,
			lifetime: lifetime(self.lifetime).ok_or_else(|| invalid("reporting.lifetime", LIFETIMES))?,
			tlp: self.tlp,
			action,
			direction: self.direction,
			per_minute: self.per_minute,
			repeat_after: millis(self.repeat_after),
		})
	}
}

impl RawVetting {
	fn checked(self) -> Result<VettingPolicy, ConfigError> {
		if self.widest_v4 > 32 {
			return Err(invalid("vetting.widest-v4", "a prefix length, 0 to 32"));
		}
		if self.widest_v6 > 128 {
			return Err(invalid("vetting.widest-v6", "a prefix length, 0 to 128"));
		}
		Ok(VettingPolicy {
			approve_min_confidence: confidence("vetting.approve-min-confidence", self.approve_min_confidence)?,
			approve_min_severity: self.approve_min_severity,
			widest_v4: self.widest_v4,
			widest_v6: self.widest_v6,
			reject_overlap: self.reject_overlap,
		})
	}
}

impl RawInbox {
	fn checked(self) -> Result<InboxPolicy, ConfigError> {
		if !(1..=10_000).contains(&self.per_minute) {
			return Err(invalid("inbox.per-minute", "1 to 10000"));
		}
		if !(1..=self.per_minute).contains(&self.per_household) {
			return Err(invalid("inbox.per-household", "1 to inbox.per-minute"));
		}
		if !(Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&self.answer_every) {
			return Err(invalid("inbox.answer-every", "1s to 1h"));
		}
		Ok(InboxPolicy {
			promote_min_confidence: confidence("inbox.promote-min-confidence", self.promote_min_confidence)?,
			promote_min_severity: self.promote_min_severity,
			per_minute: self.per_minute,
			per_household: self.per_household,
			answer_every: millis(self.answer_every),
		})
	}
}
