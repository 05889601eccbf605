//! The page and the metrics, over real sockets and in a real browser: what is served, to whom, and what is refused.
//!
//! The servers are the daemon's own, over a real board and history. What the firewall would answer comes from a desk that
//! keeps its overrides as the daemon does; the last test asks the whole daemon.

use ringfence_enforcer::{
	core::overrides::{Override, Overrides, Verdict},
	daemon::{
		config::Mode,
		control::{Answer, Block, Contact, Request, Source, State, Why},
		firewall::{Count, Counters, Sides},
		now_ms,
		observe::{
			history::{Event, History, Outcome},
			metrics, page, Ask,
		},
		status::{Board, Proven, SensorStatus, Status, Suspect},
	},
};
use ringfence_primitives::{
	Action, Address, ChangeKind, Confidence, Decision, Direction, Indicator, Millis, Network, Severity, ThreatClass,
};
use std::{
	io::{Read, Write},
	net::{SocketAddr, TcpStream},
	path::{Path, PathBuf},
	process::{Child, Command, Stdio},
	sync::{Arc, Mutex},
	time::{Duration, Instant},
};
use tokio::{net::TcpListener, runtime::Runtime};

const CODE: &str = "0123456789abcdef0123456789abcdef";
const HOUR: Millis = 3_600_000;
/// Longer than any answer takes, or any client is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers as the enforcer does that blocks three peers.
#[derive(Clone, Default)]
struct Home(Arc<Mutex<Overrides>>);

fn decision(peer: &str, threat: ThreatClass, severity: Severity) -> Decision {
	Decision {
		indicator: Indicator::Host(peer.parse().unwrap()),
		direction: Direction::Both,
		action: Action::Drop,
		threat,
		severity,
		confidence: Confidence::new(90).unwrap(),
		expires_at: now_ms() + 6 * HOUR,
	}
}

fn blocked() -> [Decision; 3] {
	[
		decision("203.0.113.9", ThreatClass::CommandAndControl, Severity::Critical),
		decision("198.51.100.20", ThreatClass::Scan, Severity::Medium),
		decision("2001:db8::bad", ThreatClass::Botnet, Severity::High),
	]
}

impl Ask for Home {
	async fn put(&self, request: Request) -> Answer {
		let now = now_ms();
		let mut overrides = self.0.lock().unwrap();
		match request {
			Request::Why { address } => {
				let peer = Indicator::Host(address);
				let found = blocked().into_iter().filter(|decision| decision.indicator == peer);
				let blocks: Vec<_> = found.map(|decision| Block::of(&decision, Source::Chain)).collect();
				let state = match (overrides.over(&address, now), &blocks[..]) {
					(Some(_), _) => State::Allowed,
					(None, []) => State::Free,
					(None, _) => State::Blocked,
				};
				Answer::Why(Why { address, state, exempt: None, blocks, clipped: false, enforced: true })
			}
			Request::Contacts => {
				let contact = |device: &str, peer: &str, ago| Contact {
					device: device.parse().unwrap(),
					peer: peer.parse().unwrap(),
					last: now - ago,
				};
				Answer::Contacts(vec![
					contact("192.168.1.23", "203.0.113.9", 100_000),
					contact("192.168.1.23", "198.51.100.20", HOUR),
					contact("fd00::aaaa:bbbb:cccc:dddd", "2001:db8::bad", 3 * HOUR),
				])
			}
			Request::Overrides => Answer::Overrides(overrides.iter().copied().collect()),
			Request::Allow { network, .. } if network.address().bits() == 128 => {
				Answer::Refused { cause: "too many overrides".into() }
			}
			Request::Allow { network, for_ms, .. } => {
				let set = Override { network, verdict: Verdict::Allow, since: now, until: for_ms.map(|ms| now + ms) };
				let replaced = overrides.set(set).unwrap();
				Answer::Set { set, replaced, disputed: Vec::new() }
			}
			Request::Forget { network } => Answer::Forgotten { network, was: overrides.forget(&network) },
			other => panic!("the page does not ask for {other:?}"),
		}
	}
}

/// A device that does harm, with a remark that an attacker has a hand in.
fn suspect(what: &str, detector: &str, at: Millis) -> Suspect {
	Suspect { what: what.into(), detector: detector.into(), note: format!("{what}: <b>3 calls</b>"), at }
}

/// Both servers, on a runtime of their own.
struct Servers {
	page: SocketAddr,
	metrics: SocketAddr,
	home: Home,
	_runtime: Runtime,
	_directory: tempfile::TempDir,
}

fn servers() -> Servers {
	let directory = tempfile::tempdir().unwrap();
	let side = |packets| Count { packets, bytes: packets * 60 };
	let counters = |inbound, outbound| Counters {
		dropped: Sides { inbound: side(inbound), outbound: side(outbound) },
		..Counters::default()
	};
	let history = History::open(directory.path());
	let now = now_ms();
	history.count(now - 3 * HOUR, &counters(0, 0));
	history.count(now - 2 * HOUR, &counters(1_000, 2));
	history.count(now, &counters(1_234, 5));
	for (seq, decision) in (1..).zip(blocked()) {
		let kind = ChangeKind::Activated(decision);
		history.note(Event::of(now - HOUR, seq, "activated", &kind, Outcome::Enforced).unwrap());
	}
	let refused = Outcome::PassedOver("<img src=x onerror=alert(1)>".into());
	let [one, ..] = blocked();
	history.note(Event::of(now - HOUR, 9, "extended", &ChangeKind::Extended(one), refused).unwrap());
	let board = Board::new(Status {
		version: "0.0.0".into(),
		started_at: now - 9 * HOUR,
		enforcing: true,
		endpoint: Some("ws://127.0.0.1:9944".into()),
		seq: 9,
		active: Some(104_233),
		proven: Some(Proven { number: 12_345, at: now - 200_000, chain_at: None, log_seq: 9, set: 0 }),
		stale_after: HOUR,
		firewall: Some(counters(1_234, 5)),
		sensors: vec![SensorStatus {
			interface: "eth0".into(),
			listening: true,
			packets_per_second: 1_200,
			sampling: 4,
			frames: 50_000,
			..SensorStatus::default()
		}],
		suspects: vec![
			suspect("192.168.1.77", "mirai", now - 25 * HOUR),
			suspect("192.168.1.23", "beacon", now - 100_000),
			suspect("192.168.1.23", "outbound-flood", now - 90_000),
		],
		reports_waiting: 3,
		..Status::default()
	});
	let runtime = Runtime::new().unwrap();
	let listen = || {
		let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
		(listener.local_addr().unwrap(), listener)
	};
	let ((page, page_listener), (metrics, metrics_listener)) = (listen(), listen());
	let home = Home::default();
	runtime.spawn(metrics::serve(metrics_listener, board.clone()));
	let desk = home.clone();
	runtime.spawn(async move { page::serve(page_listener, CODE, Mode::Enforce, board, history, desk).await });
	Servers { page, metrics, home, _runtime: runtime, _directory: directory }
}

/// Sends `request` as it is and reads to the end; what was read before the server hung up.
fn raw(server: SocketAddr, request: &str) -> String {
	let mut stream = TcpStream::connect(server).unwrap();
	stream.set_read_timeout(Some(PATIENCE)).unwrap();
	// A server that has read enough may hang up before all is written.
	let _ = stream.write_all(request.as_bytes());
	let mut reply = Vec::new();
	let _ = stream.read_to_end(&mut reply);
	String::from_utf8(reply).unwrap()
}

fn get(server: SocketAddr, path: &str, headers: &str) -> String {
	raw(server, &format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n{headers}\r\n"))
}

fn post(server: SocketAddr, path: &str, headers: &str, body: &str) -> String {
	let length = body.len();
	let head = format!("POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Length: {length}\r\n{headers}\r\n");
	raw(server, &(head + body))
}

fn with_code() -> String {
	format!("Authorization: Bearer {CODE}\r\n")
}

fn as_json() -> String {
	with_code() + "Content-Type: application/json\r\n"
}

fn status(reply: &str) -> u16 {
	reply.split(' ').nth(1).unwrap_or_else(|| panic!("{reply:?}")).parse().unwrap()
}

#[test]
fn the_page_comes_whole_and_runs_nothing_else() {
	let Servers { page, .. } = &servers();
	for path in ["/", "/page.css", "/page.js", "/icon.svg", "/api/summary", "/nothing"] {
		let reply = get(*page, path, "");
		assert_eq!(status(&reply), if path == "/nothing" { 404 } else { 200 }, "{path}");
		assert!(reply.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{path}");
		assert!(reply.contains("x-content-type-options: nosniff"), "{path}");
		assert!(reply.contains("frame-ancestors 'none'"), "{path}");
		assert!(!reply.contains("set-cookie"), "{path}");
	}
	let document = get(*page, "/", "");
	assert!(!document.contains("style=") && !document.contains("onclick="), "the policy forbids what is inline");
}

#[test]
fn a_name_that_somebody_pointed_here_is_refused() {
	let Servers { page, .. } = &servers();
	let ask = |host: &str| status(&raw(*page, &format!("GET /api/summary HTTP/1.1\r\n{host}\r\n")));
	assert_eq!(ask("Host: 127.0.0.1\r\n"), 200);
	assert_eq!(ask(&format!("Host: localhost:{}\r\n", page.port())), 200);
	assert_eq!(ask(&format!("Host: evil.example:{}\r\n", page.port())), 421);
	assert_eq!(ask("Host: 203.0.113.9\r\n"), 421);
	assert_eq!(ask("Host: 127.0.0.1\r\nHost: evil.example\r\n"), 421);
	assert_eq!(ask(""), 421);
}

#[test]
fn another_site_gets_nothing() {
	let Servers { page, .. } = &servers();
	for origin in ["http://evil.example", "null", "https://127.0.0.1"] {
		let headers = format!("{}Origin: {origin}\r\n", as_json());
		assert_eq!(status(&get(*page, "/api/household", &headers)), 403, "{origin}");
		let allow = r#"{"network":"203.0.113.9","for-ms":null,"dispute":false}"#;
		assert_eq!(status(&post(*page, "/api/allow", &headers, allow)), 403, "{origin}");
	}
	let own = format!("{}Origin: http://{page}\r\n", with_code());
	assert_eq!(status(&get(*page, "/api/household", &own)), 200);
}

#[test]
fn without_the_code_only_the_summary_is_told() {
	let Servers { page, home, .. } = &servers();
	let summary = get(*page, "/api/summary", "");
	assert!(summary.contains(r#""shield":"protected""#), "{summary}");
	assert!(summary.contains(r#""suspects":1"#), "that a device does harm everybody may know: {summary}");
	for secret in ["192.168.1.23", "203.0.113.9", "beacon", "packets-per-second"] {
		assert!(!summary.contains(secret), "{secret}: {summary}");
	}
	let wrong = ["", "Authorization: Bearer \r\n", "Authorization: Bearer 0123\r\n", "Authorization: Basic 0123\r\n"];
	for headers in wrong {
		assert_eq!(status(&get(*page, "/api/household", headers)), 401, "{headers}");
		assert_eq!(status(&get(*page, "/api/why?address=203.0.113.9", headers)), 401, "{headers}");
		let headers = format!("{headers}Content-Type: application/json\r\n");
		assert_eq!(status(&post(*page, "/api/allow", &headers, r#"{"network":"203.0.113.9"}"#)), 401, "{headers}");
		assert_eq!(status(&post(*page, "/api/forget", &headers, r#"{"network":"203.0.113.9"}"#)), 401, "{headers}");
	}
	assert_eq!(home.0.lock().unwrap().iter().count(), 0);
}

#[test]
fn with_the_code_a_peer_is_explained_let_through_and_blocked_again() {
	let Servers { page, home, .. } = &servers();
	let why = get(*page, "/api/why?address=203.0.113.9", &with_code());
	assert!(why.contains(r#""state":"blocked""#) && why.contains("command-and-control"), "{why}");
	assert!(get(*page, "/api/why?address=2001%3Adb8%3A%3Abad", &with_code()).contains("botnet"));

	let allow = r#"{"network":"203.0.113.9","for-ms":604800000,"dispute":true}"#;
	let set = post(*page, "/api/allow", &as_json(), allow);
	assert_eq!(status(&set), 200, "{set}");
	let peer: Address = "203.0.113.9".parse().unwrap();
	let until = home.0.lock().unwrap().over(&peer, now_ms()).unwrap().until.unwrap();
	assert!((now_ms() + 6 * 24 * HOUR..=now_ms() + 7 * 24 * HOUR).contains(&until));
	let household = get(*page, "/api/household", &with_code());
	assert!(household.contains(r#""verdict":"allow""#) && household.contains(r#""state":"allowed""#), "{household}");

	assert_eq!(status(&post(*page, "/api/forget", &as_json(), r#"{"network":"203.0.113.9/32"}"#)), 200);
	assert_eq!(home.0.lock().unwrap().get(&Network::host(peer)), None);
}

#[test]
fn with_the_code_the_household_learns_which_of_its_devices_does_harm_and_what_is_looked_at() {
	let Servers { page, .. } = &servers();
	let reply = get(*page, "/api/household", &with_code());
	let (_, body) = reply.split_once("\r\n\r\n").unwrap();
	let view: serde_json::Value = serde_json::from_str(body).unwrap();
	let suspects = view["suspects"].as_array().unwrap();
	assert_eq!(suspects.len(), 1, "what is a day old is not told any more: {suspects:?}");
	assert_eq!(suspects[0]["address"], "192.168.1.23");
	let signs: Vec<_> = suspects[0]["signs"].as_array().unwrap().iter().map(|sign| sign["detector"].clone()).collect();
	assert_eq!(signs, ["outbound-flood", "beacon"]);
	let sensors = &view["sensors"];
	assert_eq!((sensors["packets-per-second"].as_u64(), sensors["sampling"].as_u64()), (Some(1_200), Some(4)));
	assert_eq!((sensors["interfaces"].as_u64(), sensors["away"].as_u64()), (Some(1), Some(0)));
}

#[test]
fn what_makes_no_sense_is_refused() {
	let Servers { page, home, .. } = &servers();
	let allow = |body: &str| status(&post(*page, "/api/allow", &as_json(), body));
	for body in [
		"",
		"{",
		"[]",
		r#"{"network":"nonsense","for-ms":null,"dispute":false}"#,
		r#"{"network":"0.0.0.0/0","for-ms":null,"dispute":false}"#,
		r#"{"network":"203.0.0.0/16","for-ms":null,"dispute":false}"#,
		r#"{"network":"2001:db8::/32","for-ms":null,"dispute":false}"#,
		r#"{"network":"203.0.113.9","for-ms":0,"dispute":false}"#,
		r#"{"network":"203.0.113.9","for-ms":18446744073709551615,"dispute":false}"#,
		r#"{"network":"203.0.113.9","for-ms":null,"dispute":false,"surplus":1}"#,
	] {
		assert_eq!(allow(body), 400, "{body}");
	}
	assert_eq!(allow(r#"{"network":"2001:db8::bad","for-ms":null,"dispute":false}"#), 409, "the enforcer's own word");
	assert_eq!(allow(&" ".repeat(2_000)), 413);
	let plain = with_code() + "Content-Type: text/plain\r\n";
	assert_eq!(status(&post(*page, "/api/forget", &plain, r#"{"network":"203.0.113.9"}"#)), 415);
	assert_eq!(status(&post(*page, "/", "", "")), 405);
	assert_eq!(status(&get(*page, "/api/allow", &with_code())), 405);
	assert_eq!(status(&get(*page, "/../../etc/passwd", "")), 404);
	for query in ["", "?", "?address=", "?address=nonsense", "?peer=203.0.113.9"] {
		assert_eq!(status(&get(*page, &format!("/api/why{query}"), &with_code())), 400, "{query}");
	}
	assert_eq!(home.0.lock().unwrap().iter().count(), 0);
}

#[test]
fn requests_are_bounded() {
	let Servers { page, .. } = &servers();
	let long = format!("X-Long: {}\r\n", "x".repeat(64 * 1024));
	let reply = get(*page, "/", &long);
	assert!(reply.is_empty() || status(&reply) == 431, "{reply:.80}");
	let reply = get(*page, "/", &"X-Many: 1\r\n".repeat(200));
	assert!(reply.is_empty() || status(&reply) == 431, "{reply:.80}");
	assert_eq!(status(&get(*page, "/", "")), 200);
}

#[test]
fn a_client_that_says_nothing_is_hung_up_on() {
	let Servers { page, .. } = &servers();
	let began = Instant::now();
	raw(*page, "GET / HTTP/1.1\r\nHost: ");
	assert!(began.elapsed() < PATIENCE);
}

#[test]
fn one_peer_does_not_take_every_connection() {
	let Servers { page, .. } = &servers();
	let silent: Vec<_> = (0..40).map(|_| TcpStream::connect(page).unwrap()).collect();
	let open = |stream: &&TcpStream| {
		let mut stream: &TcpStream = stream;
		stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
		matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
	};
	// Those beyond the bound were closed at once; the others wait for a request.
	assert_eq!(silent.iter().rev().take(24).filter(open).count(), 0);
	drop(silent);
	let began = Instant::now();
	while get(*page, "/", "").is_empty() {
		assert!(began.elapsed() < PATIENCE, "their places are not given to others");
	}
}

#[test]
fn the_metrics_are_text_for_prometheus() {
	let Servers { metrics, .. } = &servers();
	let reply = get(*metrics, "/metrics", "");
	assert_eq!(status(&reply), 200);
	assert!(reply.contains("content-type: text/plain; version=0.0.4"), "{reply:.400}");
	assert!(reply.contains("\nringfence_enforcer_decisions 104233\n"), "{reply}");
	assert!(reply.contains("\nringfence_enforcer_reports_waiting 3\n"), "{reply}");
	assert!(reply.contains("\nringfence_sensor_frames_total{interface=\"eth0\"} 50000\n"), "{reply}");
	assert!(!reply.contains("192.168.1.23"), "{reply}");
	assert!(
		reply.contains("ringfence_enforcer_packets_total{verdict=\"dropped\",direction=\"inbound\"} 1234\n"),
		"{reply}"
	);
	assert_eq!(status(&get(*metrics, "/", "")), 404);
	assert_eq!(status(&post(*metrics, "/metrics", "", "")), 405);
}

/// What the browser's test needs: the script's packages and a Chromium. None: it is not there, and need not be.
fn browser() -> Option<PathBuf> {
	let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/page");
	let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
	let is_there = folder.join("node_modules/playwright-core").exists()
		&& (std::env::var_os("CHROMIUM").is_some() || chromium.iter().any(|path| Path::new(path).exists()));
	assert!(is_there || std::env::var_os("CI").is_none(), "no browser: scripts/setup installs it");
	is_there.then_some(folder)
}

#[test]
fn a_household_finds_its_way_in_a_real_browser() {
	let Some(folder) = browser() else {
		eprintln!("skipped: no Chromium, or no packages for scripts/page; scripts/setup installs both");
		return;
	};
	let Servers { page, .. } = &servers();
	// Beside the build: target/page.
	let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../page");
	let looked = Command::new("node")
		.arg(folder.join("look.mjs"))
		.args([format!("http://{page}"), CODE.into()])
		.arg(&shots)
		.status()
		.unwrap();
	assert!(looked.success(), "see above; screenshots in {}", shots.display());
}

/// Ends the daemon with the test.
struct Daemon(Child);

impl Drop for Daemon {
	fn drop(&mut self) {
		let _ = self.0.kill();
		let _ = self.0.wait();
	}
}

/// A port that nobody uses at the moment.
fn free_port() -> u16 {
	std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn the_daemon_serves_both_before_it_has_met_a_node() {
	let directory = tempfile::tempdir().unwrap();
	let state = directory.path().join("state");
	let (metrics, page) = (free_port(), free_port());
	let config = directory.path().join("ringfence.toml");
	let text = format!(
		"state-dir = {state:?}\n[chain]\nendpoints = [\"ws://127.0.0.1:1\"]\n[firewall]\nenforce = false\n\
		 [observe]\nlisten = \"127.0.0.1:{metrics}\"\npage = \"127.0.0.1:{page}\"\n"
	);
	std::fs::write(&config, text).unwrap();
	let mut daemon = Command::new(env!("CARGO_BIN_EXE_ringfence-enforcer"));
	daemon.args(["run", "--config"]).arg(&config).stderr(Stdio::null());
	let mut daemon = Daemon(daemon.spawn().unwrap());
	let page = SocketAddr::from(([127, 0, 0, 1], page));
	let metrics = SocketAddr::from(([127, 0, 0, 1], metrics));
	let began = Instant::now();
	while TcpStream::connect(page).is_err() || TcpStream::connect(metrics).is_err() {
		assert!(began.elapsed() < PATIENCE && daemon.0.try_wait().unwrap().is_none(), "it does not serve");
		std::thread::yield_now();
	}
	let summary = get(page, "/api/summary", "");
	assert!(summary.contains(r#""shield":"off""#) && summary.contains("switched off"), "{summary}");
	assert!(get(metrics, "/metrics", "").contains("\nringfence_enforcer_enforcing 0\n"));

	let link = page::link(Some(page), &state).unwrap();
	let code = link.strip_prefix(&format!("http://{page}/#code=")).unwrap();
	let reply = get(page, "/api/household", &format!("Authorization: Bearer {code}\r\n"));
	assert_eq!(status(&reply), 200, "{reply}");
}
