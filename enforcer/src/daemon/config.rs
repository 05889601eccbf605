//! The configuration file. `ringfence.toml`, beside this crate's manifest, documents every key.
//!
//! Keys that nobody knows are refused, so a slip of the pen cannot turn a protection off. What comes out of
//! [`Config::parse`] is checked: every number is in its range and every part that another one needs is there.

use super::{
	capture::{self, MAX_INTERFACES},
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
	vet::{Bounds, Origin, VettingPolicy},
};
use ringfence_primitives::{
	AccountBytes, Action, Confidence, Digest, Direction, Lifetime, Network, PacketRate, Severity, ThreatClass, Tlp,
};
use ringfence_sensor::engine;
use serde::Deserialize;
use std::{
	collections::BTreeMap,
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
	/// The interfaces whose packets are looked at. Where there are any, so is `sensor`.
	pub capture: Option<capture::Settings>,
	/// How the own detectors look at them.
	pub detectors: engine::Settings,
	/// How findings become reports.
	pub reporting: Settings,
	/// Whether reports are to be acted on before they are confirmed.
	pub provisional: bool,
	/// When to vote without a person.
	pub vetting: Option<VettingPolicy>,
	/// Lists of what many depend on: files, with a `*` in the name for many.
	pub popular: Vec<PathBuf>,
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
	capture: Option<RawCapture>,
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
	#[serde(default = "heartbeat", with = "humantime_serde")]
	heartbeat: Duration,
	#[serde(default, with = "humantime_serde")]
	stale_after: Option<Duration>,
	roots: Option<PathBuf>,
	pin: Option<String>,
}

/// How often a node is asked for a proof when nothing is configured.
pub const HEARTBEAT: Duration = Duration::from_secs(30 * 60);

fn heartbeat() -> Duration {
	HEARTBEAT
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
	#[serde(default)]
	detectors: BTreeMap<String, BTreeMap<String, RawNumber>>,
}

/// A number of a detector, or whether it looks at all.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "a whole number, or `enabled = false`")]
enum RawNumber {
	Flag(bool),
	Number(u64),
}

fn medium() -> u8 {
	2
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawCapture {
	interfaces: Vec<String>,
	#[serde(default = "four")]
	memory_mib: u32,
	#[serde(default = "half")]
	cpu_percent: u32,
	#[serde(default = "headers")]
	snap_length: u32,
}

fn four() -> u32 {
	4
}

fn half() -> u32 {
	50
}

/// Every header, the question of a DNS packet and the greeting of a server.
fn headers() -> u32 {
	512
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
	approve_min_trust: u16,
	approve_min_witnesses: u32,
	#[serde(with = "humantime_serde")]
	seen_within: Duration,
	widest_v4: u8,
	widest_v6: u8,
	widest_destination_v4: u8,
	widest_destination_v6: u8,
	reject_overlap: bool,
	popular: Vec<PathBuf>,
	origin: Vec<RawOrigin>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawOrigin {
	member: String,
	networks: Vec<Network>,
}

impl Default for RawVetting {
	fn default() -> Self {
		Self {
			approve_min_confidence: 50,
			approve_min_severity: Severity::Low,
			approve_min_trust: 700,
			approve_min_witnesses: 2,
			seen_within: Duration::from_secs(3_600),
			widest_v4: 24,
			widest_v6: 48,
			widest_destination_v4: 24,
			widest_destination_v6: 48,
			reject_overlap: true,
			popular: Vec::new(),
			origin: Vec::new(),
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
	defended: Vec<RawOrigin>,
}

impl Default for RawInbox {
	fn default() -> Self {
		Self {
			promote_min_confidence: 70,
			promote_min_severity: Severity::Medium,
			per_minute: 600,
			per_household: 30,
			answer_every: Duration::from_secs(60),
			defended: Vec::new(),
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
			if raw.capture.is_some() {
				return Err(invalid("capture", "what is found is reported, and reports are signed: needs [account]"));
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
		let popular = raw.vetting.as_ref().map(|vetting| vetting.popular.clone()).unwrap_or_default();
		if raw.sensor.is_none() {
			let used = [
				("alerts", !raw.alerts.is_empty()),
				("capture", raw.capture.is_some()),
				("rules", !raw.rules.is_empty()),
			];
			for (key, used) in used {
				if used {
					return Err(invalid(key, "who is attacked? Needs [sensor]"));
				}
			}
		}
		let exempt = raw.policy.protected.iter().chain(&raw.policy.allow).copied().collect();
		let rules = checked_rules(raw.rules)?;
		Ok(Self {
			detectors: raw.sensor.as_ref().map(RawSensor::detectors).transpose()?.unwrap_or_default(),
			sensor: raw.sensor.map(|sensor| sensor.checked(exempt, rules)).transpose()?,
			alerts: checked_sources(raw.alerts)?,
			capture: raw.capture.map(RawCapture::checked).transpose()?,
			provisional: raw.reporting.provisional,
			reporting: raw.reporting.checked()?,
			vetting: raw.vetting.map(RawVetting::checked).transpose()?,
			popular,
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
/// Networks in all tables `vetting.origin` at most, and in all tables `inbox.defended`: each is held against every flow.
const MAX_ORIGINATED: usize = 16_384;
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

/// Whether it can be an interface's name, and is not the loopback's.
fn is_interface(name: &str) -> bool {
	let odd = |c: char| c == '/' || c == '"' || c == ':' || !c.is_ascii_graphic();
	(1..=MAX_INTERFACE).contains(&name.len()) && !matches!(name, "." | ".." | "lo") && !name.contains(odd)
}

fn check_uplink(uplink: &[String]) -> Result<(), ConfigError> {
	if uplink.len() > MAX_UPLINKS {
		return Err(invalid("firewall.uplink", format!("more than {MAX_UPLINKS} interfaces")));
	}
	match uplink.iter().find(|name| !is_interface(name)) {
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
	/// How the detectors are set. They are told from numbers out of bounds here.
	fn detectors(&self) -> Result<engine::Settings, ConfigError> {
		const KEY: &str = "sensor.detectors";
		let mut settings = engine::Settings { home: self.home.clone(), ..engine::Settings::default() };
		for (name, given) in &self.detectors {
			let mut detector = engine::DetectorSettings::default();
			for (key, value) in given {
				match (key.as_str(), *value) {
					("enabled", RawNumber::Flag(enabled)) => detector.enabled = enabled,
					(_, RawNumber::Number(number)) => {
						detector.values.insert(key.clone(), number);
					}
					(_, RawNumber::Flag(_)) => return Err(invalid(KEY, format!("{name}.{key}: a whole number"))),
				}
			}
			settings.detectors.insert(name.clone(), detector);
		}
		settings.check().map_err(|cause| invalid(KEY, cause))?;
		Ok(settings)
	}

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

impl RawCapture {
	fn checked(self) -> Result<capture::Settings, ConfigError> {
		const KEY: &str = "capture.interfaces";
		let interfaces = self.interfaces;
		if !(1..=MAX_INTERFACES).contains(&interfaces.len()) {
			return Err(invalid(KEY, format!("1 to {MAX_INTERFACES} interfaces")));
		}
		if let Some(name) = interfaces.iter().find(|name| !is_interface(name)) {
			return Err(invalid(KEY, format!("{name:?} is no interface that attacks come through")));
		}
		if let Some(name) =
			interfaces.iter().enumerate().find_map(|(i, name)| interfaces[..i].contains(name).then_some(name))
		{
			return Err(invalid(KEY, format!("{name:?} twice")));
		}
		if !(1..=256).contains(&self.memory_mib) {
			return Err(invalid("capture.memory-mib", "1 to 256"));
		}
		if !(1..=100).contains(&self.cpu_percent) {
			return Err(invalid("capture.cpu-percent", "1 to 100"));
		}
		if !(96..=65_535).contains(&self.snap_length) {
			return Err(invalid("capture.snap-length", "96 to 65535"));
		}
		let memory = self.memory_mib as usize * 1_024 * 1_024;
		let (cpu_percent, snap_length) = (self.cpu_percent, self.snap_length);
		Ok(capture::Settings { interfaces, memory, cpu_percent, snap_length })
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
		if !(24..=32).contains(&self.widest_destination_v4) {
			return Err(invalid("vetting.widest-destination-v4", "a prefix length, 24 to 32"));
		}
		if !(48..=128).contains(&self.widest_destination_v6) {
			return Err(invalid("vetting.widest-destination-v6", "a prefix length, 48 to 128"));
		}
		if self.approve_min_trust > 1_000 {
			return Err(invalid("vetting.approve-min-trust", "0 to 1000"));
		}
		if !(1..=64).contains(&self.approve_min_witnesses) {
			return Err(invalid("vetting.approve-min-witnesses", "1 to 64"));
		}
		if !(Duration::from_secs(1)..=DAY).contains(&self.seen_within) {
			return Err(invalid("vetting.seen-within", "1s to 1day"));
		}
		if self.popular.iter().any(|path| path.file_name().is_none()) {
			return Err(invalid("vetting.popular", "not a file's name"));
		}
		Ok(VettingPolicy {
			bounds: Bounds {
				min_confidence: confidence("vetting.approve-min-confidence", self.approve_min_confidence)?,
				min_severity: self.approve_min_severity,
				widest_v4: self.widest_v4,
				widest_v6: self.widest_v6,
				reject_overlap: self.reject_overlap,
			},
			min_trust: self.approve_min_trust,
			min_witnesses: self.approve_min_witnesses,
			seen_within: millis(self.seen_within),
			destination_v4: self.widest_destination_v4,
			destination_v6: self.widest_destination_v6,
			origins: origins("vetting.origin", self.origin)?,
		})
	}
}

/// Whose networks are whose, in the table `key`. One that is named for two members would be nobody's.
fn origins(key: &'static str, raw: Vec<RawOrigin>) -> Result<Vec<Origin>, ConfigError> {
	let mut owners: BTreeMap<Network, AccountBytes> = BTreeMap::new();
	let mut origins = Vec::with_capacity(raw.len());
	for RawOrigin { member, networks } in raw {
		let member = hex::digest(&member).map_err(|e| invalid(key, format!("member: {e}")))?;
		for network in &networks {
			if owners.insert(*network, member).is_some_and(|owner| owner != member) {
				return Err(invalid(key, format!("{network} is named for two members")));
			}
		}
		if owners.len() > MAX_ORIGINATED {
			return Err(invalid(key, format!("more than {MAX_ORIGINATED} in all")));
		}
		origins.push(Origin { member, networks });
	}
	Ok(origins)
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
			defended: origins("inbox.defended", self.defended)?,
		})
	}
}
