//! The page for the household: protected or not, how fresh, what was blocked, which device, why, and a way to let a peer
//! through all the same. And whether a device of its own does harm, as a sensor found.
//!
//! `/` is one document with a style sheet, a script and an icon, all in the binary. The script asks for `/api/summary`
//! (whoever can connect may see it) and, with the code, for `/api/household`, `/api/why`, `/api/allow` and `/api/forget`.
//!
//! # Security considerations
//!
//! Anybody on the local network may ask. Who in the household talks to whom, which device does harm (how many do is told to
//! all), how busy the line is, and every change, is behind a code of
//! 128 bits, in a file that only the daemon's user reads. It travels in a header, never in a cookie: a browser attaches it
//! to no request of another site. A name that an outsider has point here (DNS rebinding) is refused by its Host; what
//! another site sends, by its Origin. The page speaks plain HTTP: whoever can read the local network's traffic can
//! read the code, and should then be kept from it by serving the page on loopback only, behind an SSH tunnel.

use super::{
	devices,
	history::{Event, History},
	http::{self, json, refusal, reply, Reply},
	is_local, Ask,
};
use crate::{
	core::{blake2_256, overrides::Override},
	daemon::{
		config::Mode,
		control::{Answer, Block, Contact, Request as Wish, State, Why},
		now_ms, secrets,
		state::{self, Durable, StateError},
		status::{Board, SensorStatus, Status, Suspect},
	},
};
use hyper::{
	body::Incoming,
	header::{self, HeaderMap, HeaderName},
	Method, Request, StatusCode,
};
use rand_core::RngCore;
use ringfence_primitives::{Address, Digest, Millis, Network};
use serde::{Deserialize, Serialize};
use std::{
	collections::{BTreeMap, BTreeSet, HashMap},
	fs::File,
	io::{self, Read},
	net::{IpAddr, SocketAddr},
	path::Path,
	sync::Arc,
	time::Duration,
};
use subtle::ConstantTimeEq;
use tokio::{
	net::TcpListener,
	time::{timeout_at, Instant},
};

/// The file with the code, in the state directory.
pub const CODE_FILE: &str = "page-token";
/// Octets of the code's file that are read.
const CODE_LIMIT: u64 = 256;
/// Digits of a code: 128 bits.
const CODE_DIGITS: usize = 32;
/// Contacts that are shown, the newest ones.
const CONTACTS: usize = 128;
/// Peers of which the reason is looked up for one view.
const PEERS: usize = 24;
/// Time for looking up reasons.
const PATIENCE: Duration = Duration::from_secs(2);
/// Milliseconds for which a device that did harm is shown, after it was last seen to.
const SUSPECTED: Millis = 24 * 60 * 60 * 1_000;
/// How long a peer may be let through for, unless it is for good.
const LEAST: Millis = 60_000;
const MOST: Millis = 366 * 24 * 60 * 60 * 1_000;
/// The widest networks that can be let through from the page: who means more writes it into the configuration.
const WIDEST: (u8, u8) = (24, 48);

const PAGE: &str = include_str!("assets/page.html");
const STYLE: &str = include_str!("assets/page.css");
const SCRIPT: &str = include_str!("assets/page.js");
const ICON: &str = include_str!("assets/icon.svg");

/// The code in `state_dir`; made where there is none, or none that is long enough.
pub fn code(state_dir: &Path) -> Result<String, StateError> {
	let path = state_dir.join(CODE_FILE);
	match read_code(&path) {
		Ok(Some(code)) => return Ok(code),
		Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(state::at(&path)(error)),
		_ => {}
	}
	let mut bytes = [0; CODE_DIGITS / 2];
	secrets().fill_bytes(&mut bytes);
	let code: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
	state::replace(&path, format!("{code}\n").as_bytes(), Durable::Yes)?;
	Ok(code)
}

fn read_code(path: &Path) -> io::Result<Option<String>> {
	let mut text = String::new();
	File::open(path)?.take(CODE_LIMIT).read_to_string(&mut text)?;
	let code = text.trim();
	let good = code.len() >= CODE_DIGITS && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
	Ok(good.then(|| code.to_owned()))
}

/// The page's address with the code in its fragment, which browsers send to nobody. None where there is no page, or its
/// code cannot be read.
pub fn link(page: Option<SocketAddr>, state_dir: &Path) -> Option<String> {
	let code = read_code(&state_dir.join(CODE_FILE)).ok()??;
	Some(format!("http://{}/#code={code}", page?))
}

/// How things stand, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shield {
	/// What the chain blocks is blocked, and it was heard of lately.
	Protected,
	/// It is blocked, but there may be news that did not get here.
	Stale,
	/// It is only looked at.
	Watching,
	/// Nothing is blocked.
	Off,
}

/// How things stand by `status`, and why, if not well.
pub fn shield(status: &Status, mode: Mode, now: Millis) -> (Shield, Option<String>) {
	if !status.enforcing {
		return (Shield::Off, Some("enforcing is switched off in the configuration".into()));
	}
	match mode {
		Mode::Canary => return (Shield::Watching, Some("canary mode: packets are counted, none is dropped".into())),
		Mode::DryRun => return (Shield::Watching, Some("dry run: the firewall is not touched".into())),
		Mode::Enforce => {}
	}
	if status.firewall.is_none() {
		return (Shield::Off, Some("the firewall is not in place".into()));
	}
	match status.stale(now) {
		Some(cause) => (Shield::Stale, Some(cause.into())),
		None => (Shield::Protected, None),
	}
}

/// `/api/summary`: what everybody may see.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Summary {
	version: String,
	/// The daemon's clock, so that ages are right in a browser whose own clock is not.
	now: Millis,
	shield: Shield,
	cause: Option<String>,
	/// When a block was last proven final, and its number.
	checked_at: Option<Millis>,
	block: Option<u32>,
	/// Decisions in force. None: nothing is enforced.
	active: Option<u64>,
	/// Devices of the home that do harm. Which, only the household is told.
	suspects: usize,
	from: Millis,
	step_ms: Millis,
	inbound: Vec<u64>,
	outbound: Vec<u64>,
}

/// `/api/household`: what the household may see.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct View {
	suspects: Vec<Accused>,
	/// None: nothing is captured here.
	sensors: Option<Watched>,
	devices: Vec<Device>,
	overrides: Vec<Override>,
	events: Vec<Event>,
	/// What could not be asked for, and why.
	trouble: Option<String>,
}

/// A device that tried to reach a blocked peer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Device {
	address: Address,
	name: Option<String>,
	/// Newest first.
	contacts: Vec<Attempt>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Attempt {
	peer: Address,
	last: Millis,
	/// What happens to its packets now. None: not looked up.
	state: Option<State>,
	/// The block that was met, if it still is in force.
	block: Option<Block>,
}

/// A device of the home that does harm.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Accused {
	/// None: what was found does not name one.
	address: Option<Address>,
	name: Option<String>,
	/// What was found, newest first.
	signs: Vec<Suspect>,
}

/// The devices that did harm lately, the one that was seen last first.
fn accused(suspects: &[Suspect], now: Millis, names: &HashMap<Address, String>) -> Vec<Accused> {
	let mut accused: Vec<Accused> = Vec::new();
	// The newest is the last. There are sixteen at most.
	for suspect in suspects.iter().rev().filter(|suspect| now.saturating_sub(suspect.at) < SUSPECTED) {
		let address = device(&suspect.what);
		match accused.iter_mut().find(|known| known.address == address) {
			Some(known) => known.signs.push(suspect.clone()),
			None => {
				let name = address.and_then(|address| names.get(&address).cloned());
				accused.push(Accused { address, name, signs: vec![suspect.clone()] });
			}
		}
	}
	accused
}

/// The device that the words for an indicator name: an address, or that from which a flow comes.
fn device(what: &str) -> Option<Address> {
	let source = what.split(' ').skip_while(|word| *word != "from").nth(1);
	let network: Network = source.unwrap_or(what).parse().ok()?;
	(network.prefix() == network.address().bits()).then(|| network.address())
}

/// What the sensors look at, on all interfaces together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Watched {
	interfaces: usize,
	/// Those of them that are not there.
	away: usize,
	packets_per_second: u64,
	/// One packet in so many is looked at, where it is fewest.
	sampling: u32,
}

impl Watched {
	/// None: nothing is captured.
	fn of(sensors: &[SensorStatus]) -> Option<Self> {
		let sampling = sensors.iter().map(|sensor| sensor.sampling).max()?.max(1);
		Some(Self {
			interfaces: sensors.len(),
			away: sensors.iter().filter(|sensor| !sensor.listening).count(),
			packets_per_second: sensors.iter().map(|sensor| sensor.packets_per_second).fold(0, u64::saturating_add),
			sampling,
		})
	}
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Allow {
	network: Network,
	for_ms: Option<Millis>,
	dispute: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Forget {
	network: Network,
}

/// Answers browsers on `listener` for ever. `code` is what opens more than the summary.
pub async fn serve(
	listener: TcpListener,
	code: &str,
	mode: Mode,
	board: Arc<Board>,
	history: Arc<History>,
	desk: impl Ask,
) {
	let page = Arc::new(Page { code: blake2_256(code.as_bytes()), mode, board, history, desk });
	http::serve(listener, move |request| {
		let page = page.clone();
		async move { page.answer(request).await.unwrap_or_else(|refused| *refused) }
	})
	.await;
}

struct Page<A> {
	/// Its hash: comparing hashes says nothing about the length of what was compared.
	code: Digest,
	mode: Mode,
	board: Arc<Board>,
	history: Arc<History>,
	desk: A,
}

fn refuse<T>(status: StatusCode, cause: impl ToString) -> Result<T, Box<Reply>> {
	Err(Box::new(refusal(status, cause)))
}

/// The value of a header that must not come twice.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
	let mut values = headers.get_all(name).iter();
	let value = values.next()?.to_str().ok()?;
	values.next().is_none().then_some(value)
}

/// Whether the browser was sent here by an address, not by a name that somebody else may have pointed here.
fn is_addressed(host: &str) -> bool {
	let bare = || host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse::<IpAddr>();
	match host.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| bare()) {
		Ok(address) => is_local(address),
		Err(_) => host.split_once(':').map_or(host, |(name, _)| name) == "localhost",
	}
}

impl<A: Ask> Page<A> {
	async fn answer(&self, request: Request<Incoming>) -> Result<Reply, Box<Reply>> {
		let headers = request.headers();
		let Some(host) = single(headers, header::HOST).filter(|host| is_addressed(host)) else {
			return refuse(StatusCode::MISDIRECTED_REQUEST, "ask for this page by its address, not by a name");
		};
		if headers.contains_key(header::ORIGIN)
			&& single(headers, header::ORIGIN) != Some(format!("http://{host}").as_str())
		{
			return refuse(StatusCode::FORBIDDEN, "asked by another site");
		}
		let (path, query) = (request.uri().path().to_owned(), request.uri().query().map(str::to_owned));
		let wanted = match path.as_str() {
			"/" | "/page.css" | "/page.js" | "/icon.svg" | "/api/summary" | "/api/household" | "/api/why" => {
				Method::GET
			}
			"/api/allow" | "/api/forget" => Method::POST,
			_ => return refuse(StatusCode::NOT_FOUND, "there is no such thing here"),
		};
		if request.method() != wanted {
			return refuse(StatusCode::METHOD_NOT_ALLOWED, format!("{wanted} only"));
		}
		match path.as_str() {
			"/" => return Ok(reply(StatusCode::OK, "text/html; charset=utf-8", PAGE)),
			"/page.css" => return Ok(reply(StatusCode::OK, "text/css; charset=utf-8", STYLE)),
			"/page.js" => return Ok(reply(StatusCode::OK, "text/javascript; charset=utf-8", SCRIPT)),
			"/icon.svg" => return Ok(reply(StatusCode::OK, "image/svg+xml", ICON)),
			"/api/summary" => return Ok(json(StatusCode::OK, &self.summary())),
			_ => {}
		}
		if !self.knows_code(headers) {
			return refuse(StatusCode::UNAUTHORIZED, "this takes the code: `ringfence-enforcer status` shows it");
		}
		match path.as_str() {
			"/api/household" => Ok(json(StatusCode::OK, &self.household().await)),
			"/api/why" => self.why(query).await,
			_ if single(headers, header::CONTENT_TYPE) != Some("application/json") => {
				refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "JSON only")
			}
			_ => self.change(path, request).await,
		}
	}

	fn knows_code(&self, headers: &HeaderMap) -> bool {
		let given = single(headers, header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
		given.is_some_and(|given| bool::from(blake2_256(given.as_bytes())[..].ct_eq(&self.code[..])))
	}

	fn summary(&self) -> Summary {
		let now = now_ms();
		let status = self.board.snapshot();
		let (shield, cause) = shield(&status, self.mode, now);
		let day = self.history.view(now);
		Summary {
			suspects: accused(&status.suspects, now, &HashMap::new()).len(),
			version: status.version,
			now,
			shield,
			cause,
			checked_at: status.proven.as_ref().map(|proven| proven.at),
			block: status.proven.as_ref().map(|proven| proven.number),
			active: status.active,
			from: day.from,
			step_ms: day.step_ms,
			inbound: day.inbound,
			outbound: day.outbound,
		}
	}

	async fn household(&self) -> View {
		let mut trouble = None;
		let mut contacts = match self.desk.put(Wish::Contacts).await {
			Answer::Contacts(contacts) => contacts,
			other => {
				trouble = Some(cause(other));
				Vec::new()
			}
		};
		let overrides = match self.desk.put(Wish::Overrides).await {
			Answer::Overrides(overrides) => overrides,
			other => {
				trouble = Some(cause(other));
				Vec::new()
			}
		};
		contacts.sort_unstable_by_key(|contact| std::cmp::Reverse(contact.last));
		contacts.truncate(CONTACTS);
		let reasons = self.reasons(&contacts).await;
		let names = devices::names();
		let mut devices: Vec<Device> = Vec::new();
		for Contact { device: address, peer, last } in contacts {
			let why = reasons.get(&peer);
			let block = why.and_then(|why| why.blocks.iter().max_by_key(|block| block.severity).cloned());
			let attempt = Attempt { peer, last, state: why.map(|why| why.state), block };
			// A household has tens of devices, and there are at most 128 contacts.
			match devices.iter_mut().find(|device| device.address == address) {
				Some(device) => device.contacts.push(attempt),
				None => {
					let name = names.get(&address).cloned();
					devices.push(Device { address, name, contacts: vec![attempt] });
				}
			}
		}
		let (now, Status { suspects, sensors, .. }) = (now_ms(), self.board.snapshot());
		View {
			suspects: accused(&suspects, now, &names),
			sensors: Watched::of(&sensors),
			devices,
			overrides,
			events: self.history.view(now).events,
			trouble,
		}
	}

	/// Why the newest of the peers are blocked, as far as that is known in time.
	async fn reasons(&self, contacts: &[Contact]) -> BTreeMap<Address, Why> {
		let deadline = Instant::now() + PATIENCE;
		let (mut asked, mut reasons) = (BTreeSet::new(), BTreeMap::new());
		for &Contact { peer, .. } in contacts {
			if asked.len() >= PEERS {
				break;
			}
			if !asked.insert(peer) {
				continue;
			}
			match timeout_at(deadline, self.desk.put(Wish::Why { address: peer })).await {
				Ok(Answer::Why(why)) => {
					reasons.insert(peer, why);
				}
				Ok(_) => {}
				Err(_) => break,
			}
		}
		reasons
	}

	async fn why(&self, query: Option<String>) -> Result<Reply, Box<Reply>> {
		// A browser writes the colons of an IPv6 address as they are, or as %3A.
		let text = query.and_then(|query| Some(query.strip_prefix("address=")?.replace("%3A", ":")));
		let Some(address) = text.and_then(|text| text.parse().ok()) else {
			return refuse(StatusCode::BAD_REQUEST, "this is no address, such as 203.0.113.9");
		};
		match self.desk.put(Wish::Why { address }).await {
			Answer::Why(why) => Ok(json(StatusCode::OK, &why)),
			other => told(other),
		}
	}

	async fn change(&self, path: String, request: Request<Incoming>) -> Result<Reply, Box<Reply>> {
		let Some(body) = http::body(request).await else {
			return refuse(StatusCode::PAYLOAD_TOO_LARGE, "too long, or it broke off");
		};
		let wish = match path.as_str() {
			"/api/allow" => serde_json::from_slice(&body).map(|Allow { network, for_ms, dispute }| Wish::Allow {
				network,
				for_ms,
				dispute,
			}),
			_ => serde_json::from_slice(&body).map(|Forget { network }| Wish::Forget { network }),
		};
		let wish = match wish {
			Ok(wish) => wish,
			Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
		};
		if let Wish::Allow { network, for_ms, .. } = &wish {
			let widest = if network.address().bits() == 32 { WIDEST.0 } else { WIDEST.1 };
			if network.prefix() < widest {
				return refuse(StatusCode::BAD_REQUEST, "too wide a network: allow it in the configuration");
			}
			if for_ms.is_some_and(|ms| !(LEAST..=MOST).contains(&ms)) {
				return refuse(StatusCode::BAD_REQUEST, "from a minute to a year, or for good");
			}
		}
		told(self.desk.put(wish).await)
	}
}

/// What the enforcer said, to the person who asked.
fn told(answer: Answer) -> Result<Reply, Box<Reply>> {
	match answer {
		Answer::Refused { cause } => refuse(StatusCode::CONFLICT, cause),
		Answer::Failed { cause } => refuse(StatusCode::SERVICE_UNAVAILABLE, cause),
		other => Ok(json(StatusCode::OK, &other)),
	}
}

/// Why there is no answer of the kind that was asked for.
fn cause(answer: Answer) -> String {
	match answer {
		Answer::Refused { cause } | Answer::Failed { cause } => cause,
		_ => "the enforcer answered something else".into(),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::daemon::{firewall::Counters, status::Proven};
	use std::os::unix::fs::PermissionsExt;

	#[test]
	fn the_code_is_made_once_for_the_owner_alone() {
		let directory = tempfile::tempdir().unwrap();
		let page = Some("192.168.1.1:8400".parse().unwrap());
		assert_eq!(link(page, directory.path()), None);
		let first = code(directory.path()).unwrap();
		assert_eq!(first.len(), CODE_DIGITS);
		assert_eq!(code(directory.path()).unwrap(), first);
		assert_eq!(link(page, directory.path()), Some(format!("http://192.168.1.1:8400/#code={first}")));
		assert_eq!(link(None, directory.path()), None);
		let path = directory.path().join(CODE_FILE);
		assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
		std::fs::write(&path, "short\n").unwrap();
		assert_ne!(code(directory.path()).unwrap(), "short");
	}

	#[test]
	fn only_addresses_and_localhost_are_hosts() {
		for host in ["127.0.0.1:8400", "192.168.1.1", "[::1]:8400", "[fd00::1]", "localhost:8400", "localhost"] {
			assert!(is_addressed(host), "{host}");
		}
		for host in
			["", "evil.example:8400", "127.0.0.1.evil.example", "203.0.113.1:8400", "localhost.", "user@evil.example"]
		{
			assert!(!is_addressed(host), "{host}");
		}
	}

	#[test]
	fn what_is_found_of_one_device_is_told_together_for_a_day() {
		let suspect = |what: &str, detector: &str, at| Suspect {
			what: what.into(),
			detector: detector.into(),
			note: "a note".into(),
			at,
		};
		let suspects = [
			suspect("192.168.1.7", "mirai", 1_000),
			suspect("192.168.1.23", "outbound-flood", 2_000),
			suspect("fd00::7", "beacon", 3_000),
			suspect("flow proto 17 from 192.168.1.23/32 sport 1-9 to 203.0.113.9/32", "outbound-flood", 4_000),
		];
		let address = |text: &str| text.parse::<Address>().ok();
		let names = HashMap::from([(address("192.168.1.23").unwrap(), "camera".to_owned())]);
		let told = accused(&suspects, SUSPECTED + 1_000, &names);
		let devices: Vec<_> = told.iter().map(|device| (device.address, device.signs.len())).collect();
		assert_eq!(devices, [(address("192.168.1.23"), 2), (address("fd00::7"), 1)], "the first was a day ago");
		assert_eq!(told.iter().map(|device| device.name.as_deref()).collect::<Vec<_>>(), [Some("camera"), None]);
		assert_eq!(told[0].signs[0].at, 4_000, "the newest first");
	}

	#[test]
	fn a_device_is_only_named_where_what_was_found_names_one() {
		for (what, named) in [
			("192.168.1.23", Some("192.168.1.23")),
			("flow proto 6 from fd00::7/128 to 2001:db8::1/128", Some("fd00::7")),
			("flow proto 6 from 192.168.1.0/24", None),
			("flow proto 6 to 203.0.113.9/32", None),
			("tcp 203.0.113.9:23", None),
			("flow from", None),
			("", None),
		] {
			assert_eq!(device(what), named.map(|text| text.parse().unwrap()), "{what}");
		}
	}

	#[test]
	fn what_is_looked_at_is_added_up() {
		assert_eq!(Watched::of(&[]), None);
		let sensor = |listening, packets_per_second, sampling| SensorStatus {
			listening,
			packets_per_second,
			sampling,
			..SensorStatus::default()
		};
		let watched = Watched::of(&[sensor(true, 1_000, 4), sensor(true, 200, 1), sensor(false, 0, 0)]);
		assert_eq!(watched, Some(Watched { interfaces: 3, away: 1, packets_per_second: 1_200, sampling: 4 }));
		let away = Watched::of(&[sensor(false, 0, 0)]);
		assert_eq!(away, Some(Watched { interfaces: 1, away: 1, packets_per_second: 0, sampling: 1 }));
	}

	#[test]
	fn the_shield_says_what_holds() {
		let mut status = Status::default();
		assert_eq!(shield(&status, Mode::Enforce, 0).0, Shield::Off);
		status.enforcing = true;
		assert_eq!(shield(&status, Mode::Enforce, 0).0, Shield::Off, "no table");
		assert_eq!(shield(&status, Mode::DryRun, 0).0, Shield::Watching);
		status.firewall = Some(Counters::default());
		assert_eq!(shield(&status, Mode::Canary, 0).0, Shield::Watching);
		assert_eq!(shield(&status, Mode::Enforce, 0).0, Shield::Stale, "no node");
		status.endpoint = Some("ws://127.0.0.1:9944".into());
		status.stale_after = 1_000;
		status.proven = Some(Proven { number: 1, at: 5_000, chain_at: None, log_seq: 0, set: 0 });
		assert_eq!(shield(&status, Mode::Enforce, 5_500), (Shield::Protected, None));
		assert_eq!(shield(&status, Mode::Enforce, 500_000).0, Shield::Stale);
	}
}
