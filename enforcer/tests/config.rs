//! The configuration file: the sample that ships, and every way to get one wrong.

use ringfence_enforcer::{
	core::{
		alert::Format,
		rules::{Rule, Verdict},
	},
	daemon::{
		config::{Config, ConfigError, Mode, Place, Source},
		household::Provider,
		listen::{Access, Kind},
	},
};
use ringfence_primitives::{Action, Direction, Lifetime, Network, Severity, ThreatClass, Tlp};
use ringfence_sensor::detect::ALL;
use std::time::Duration;

const SAMPLE: &str = include_str!("../ringfence.toml");

/// The least that a configuration needs.
const MINIMAL: &str = "state-dir = \"/s\"\n[chain]\nendpoints = [\"ws://h:1\"]\n";

fn network(text: &str) -> Network {
	text.parse().unwrap()
}

/// The sample as a household would have it.
fn household() -> String {
	let (rest, _) = SAMPLE.split_once("# When an ISP votes by itself.").unwrap();
	rest.replace("#[subscriber]", "[subscriber]").replace("#provider", "provider")
}

fn sample_with(from: &str, to: &str) -> Result<Config, ConfigError> {
	assert!(SAMPLE.contains(from), "the sample has no {from}");
	Config::parse(&SAMPLE.replacen(from, to, 1))
}

/// The message for the sample with `from` replaced by `to`.
fn refusal(from: &str, to: &str) -> String {
	match sample_with(from, to) {
		Ok(_) => panic!("{to} was accepted"),
		Err(error) => error.to_string(),
	}
}

#[test]
fn the_sample_is_what_it_says() {
	let config = Config::parse(SAMPLE).unwrap();
	assert_eq!(config.state_dir.to_str(), Some("/var/lib/ringfence"));
	assert_eq!(config.endpoints, ["ws://127.0.0.1:9944"]);
	assert_eq!(config.genesis, None);
	assert_eq!(config.key_file.unwrap().to_str(), Some("/etc/ringfence/key"));
	assert_eq!((config.member, config.subscriber), (None, None));
	assert!(config.enforce && !config.whitelist_mode);
	assert_eq!((config.mode, config.uplink), (Mode::Enforce, vec!["eth0".to_owned()]));
	assert_eq!(config.metrics, Some("127.0.0.1:9100".parse().unwrap()));
	assert_eq!(config.page, Some("127.0.0.1:8400".parse().unwrap()));
	assert_eq!((config.roots, config.pin), (None, None));
	assert_eq!(config.protected, [network("192.0.2.0/24")]);
	assert_eq!(config.allow, [network("198.51.100.7")]);
	let sensor = config.sensor.unwrap();
	assert_eq!(sensor.home, [network("203.0.113.0/24")]);
	assert_eq!(sensor.exempt.len(), 2, "what is never blocked here is never reported");
	assert_eq!(sensor.max_severity, 2);
	let rule = Rule {
		signature_ids: vec![2_002_911..=2_002_911, 2_003_068..=2_003_099],
		source: Some(Format::Fast),
		verdict: Some(Verdict {
			threat: Some(ThreatClass::BruteForce),
			severity: Some(Severity::High),
			action: Some(Action::Drop),
			lifetime: Lifetime::new(604_800),
			established: true,
		}),
		..Rule::default()
	};
	assert_eq!(sensor.rules.0, [rule]);
	let file = Place::File("/var/log/suricata/eve.json".into());
	assert_eq!(config.alerts, [Source { format: Format::Eve, place: file }]);
	let capture = config.capture.unwrap();
	assert_eq!((capture.interfaces, capture.memory), (vec!["eth0".to_owned()], 4 << 20));
	assert_eq!((capture.cpu_percent, capture.snap_length), (50, 512));
	let vetting = config.vetting.unwrap();
	let bounds = vetting.bounds;
	assert_eq!((bounds.widest_v4, bounds.widest_v6, bounds.reject_overlap), (24, 48, true));
	assert_eq!((bounds.min_confidence.get(), bounds.min_severity), (50, Severity::Low));
	assert_eq!((vetting.min_trust, vetting.min_witnesses, vetting.seen_within), (700, 2, 3_600_000));
	assert_eq!((vetting.destination_v4, vetting.destination_v6), (24, 48));
	assert!(vetting.origins.is_empty() && config.popular.is_empty());
	let inbox = config.inbox.unwrap();
	assert_eq!((inbox.promote_min_confidence.get(), inbox.promote_min_severity), (70, Severity::Medium));
	assert_eq!((inbox.per_minute, inbox.per_household, inbox.answer_every), (600, 30, 60_000));
}

#[test]
fn the_sample_has_a_households_part() {
	let config = Config::parse(&household()).unwrap();
	assert_eq!(config.subscriber, Some(Provider { account: [1; 32], key: [2; 32] }));
	assert!(config.vetting.is_none() && config.inbox.is_none() && !config.provisional);
}

#[test]
fn the_sample_shows_the_defaults() {
	let sample = Config::parse(SAMPLE).unwrap();
	let minimal = Config::parse(MINIMAL).unwrap();
	assert_eq!(minimal.reporting, sample.reporting);
	assert_eq!((minimal.reporting.lifetime.get(), minimal.reporting.repeat_after), (86_400, 600_000));
	assert_eq!((minimal.reporting.tlp, minimal.reporting.direction), (Tlp::Green, Direction::Both));
	assert_eq!((minimal.heartbeat, minimal.stale_after), (sample.heartbeat, sample.stale_after));
	assert_eq!((minimal.heartbeat.as_secs(), minimal.stale_after.as_secs()), (1_800, 3_660));
	assert_eq!((minimal.mode, minimal.whitelist_mode), (sample.mode, sample.whitelist_mode));
	assert!(minimal.uplink.is_empty() && minimal.metrics.is_none() && minimal.page.is_none());
	assert!(minimal.enforce && minimal.protected.is_empty() && minimal.allow.is_empty());
	assert!(minimal.key_file.is_none() && minimal.sensor.is_none() && minimal.vetting.is_none());
	assert!(minimal.alerts.is_empty() && minimal.capture.is_none());
	assert!(minimal.member.is_none() && minimal.subscriber.is_none() && minimal.inbox.is_none());
	assert!(!minimal.provisional && !sample.provisional);
	let sensor = "[account]\nkey-file = \"/k\"\n[sensor]\nhome = [\"203.0.113.0/24\"]\n";
	let capture = Config::parse(&format!("{MINIMAL}{sensor}[capture]\ninterfaces = [\"eth0\"]\n")).unwrap();
	assert_eq!(capture.capture, sample.capture);
	let member =
		format!("{MINIMAL}[account]\nkey-file = \"/k\"\n[vetting]\n[inbox]\n[sensor]\nhome = [\"203.0.113.0/24\"]\n");
	let member = Config::parse(&member).unwrap();
	assert_eq!(member.vetting, sample.vetting);
	assert_eq!(member.inbox, sample.inbox);
	assert_eq!(member.sensor.unwrap().max_severity, 2);
}

#[test]
fn values_are_read_as_they_are_meant() {
	let genesis = format!("genesis = \"0x{}\"", "ab".repeat(32));
	let config =
		sample_with("#genesis = \"0x0000000000000000000000000000000000000000000000000000000000000000\"", &genesis);
	assert_eq!(config.unwrap().genesis, Some([0xab; 32]));
	let member = format!("key-file = \"/k\"\nmember = \"0x{}\"", "cd".repeat(32));
	let config = sample_with("key-file = \"/etc/ringfence/key\"", &member).unwrap();
	assert_eq!(config.member, Some([0xcd; 32]));
	assert!(sample_with("provisional = false", "provisional = true").unwrap().provisional);
	let config = sample_with("action = \"drop\"\n# Packets", "action = { rate-limit = 100 }\n# Packets").unwrap();
	assert!(matches!(config.reporting.action, Action::RateLimit(rate) if rate.get() == 100));
	let config = sample_with("action = \"drop\"\n# Packets", "action = \"watch\"\n# Packets").unwrap();
	assert_eq!(config.reporting.action, Action::Watch);
	assert!(!sample_with("enforce = true", "enforce = false").unwrap().enforce);
	assert_eq!(sample_with("\"ws://127.0.0.1:9944\"", "\"wss://a\", \"ws://b:1\"").unwrap().endpoints.len(), 2);
	for (text, mode) in [("canary", Mode::Canary), ("dry-run", Mode::DryRun)] {
		let config = sample_with("mode = \"enforce\"", &format!("mode = \"{text}\"")).unwrap();
		assert_eq!((config.mode, config.mode.name()), (mode, text));
	}
	let config = sample_with("stale-after = \"61min\"\n", "").unwrap();
	assert_eq!(config.stale_after, Duration::from_secs(3_660));
	let config = sample_with("\"127.0.0.1:8400\"", "\"192.168.1.1:8400\"").unwrap();
	assert_eq!(config.page, Some("192.168.1.1:8400".parse().unwrap()));
}

#[test]
fn whose_networks_are_whose_is_read_and_checked() {
	let origin = |rest: &str| {
		let tables =
			"#[[vetting.origin]]\n#member = \"0x0303030303030303030303030303030303030303030303030303030303030303\"\n\
		              #networks = [\"198.18.0.0/15\", \"2001:db8::/32\"]\n";
		assert!(SAMPLE.contains(tables));
		let text = SAMPLE.replace(tables, &format!("{}{rest}", tables.replace('#', "")));
		Config::parse(&text).map(|config| config.vetting.unwrap().origins).map_err(|error| error.to_string())
	};
	let origins = origin("").unwrap();
	assert_eq!(origins.len(), 1);
	assert_eq!((origins[0].member, origins[0].networks.len()), ([3; 32], 2));
	let table = |member: &str, network: &str| {
		format!("[[vetting.origin]]\nmember = \"0x{}\"\nnetworks = [\"{network}\"]\n", member.repeat(32))
	};
	assert_eq!(origin(&table("04", "198.18.0.0/16")).unwrap().len(), 2, "a part of it may be another's");
	assert!(origin(&table("03", "198.18.0.0/15")).is_ok());
	let twice = origin(&table("04", "198.18.0.0/15")).unwrap_err();
	assert!(twice.starts_with("vetting.origin: 198.18.0.0/15 is named for two members"), "{twice}");
	assert!(origin(&table("0", "198.19.0.0/16")).unwrap_err().starts_with("vetting.origin: member: "));
	assert!(origin("surprise = 1\n").unwrap_err().contains("unknown field `surprise`"));
}

#[test]
fn who_may_have_floods_to_itself_stopped_is_read_and_checked() {
	let defended = |rest: &str| {
		let text = format!("{MINIMAL}[account]\nkey-file = \"/k\"\n[inbox]\n{rest}");
		Config::parse(&text).map(|config| config.inbox.unwrap().defended).map_err(|error| error.to_string())
	};
	assert!(defended("").unwrap().is_empty(), "without the table a person decides");
	let (_, shown) = SAMPLE.split_once("#[[inbox.defended]]").unwrap();
	let households = defended(&format!("[[inbox.defended]]{}", shown.replace('#', ""))).unwrap();
	assert_eq!(households.len(), 1);
	assert_eq!((households[0].member, &households[0].networks[..]), ([4; 32], &[network("198.18.4.0/27")][..]));

	let table = |member: &str, network: &str| {
		format!("[[inbox.defended]]\nmember = \"0x{}\"\nnetworks = [\"{network}\"]\n", member.repeat(32))
	};
	let one = table("04", "203.0.113.64/27");
	assert_eq!(defended(&(one.clone() + &table("05", "203.0.113.96/27"))).unwrap().len(), 2);
	let twice = defended(&(one + &table("05", "203.0.113.64/27"))).unwrap_err();
	assert!(twice.starts_with("inbox.defended: 203.0.113.64/27 is named for two members"), "{twice}");
	let short = defended(&table("0", "203.0.113.64/27")).unwrap_err();
	assert!(short.starts_with("inbox.defended: member: "), "{short}");
	assert!(defended(&(table("04", "203.0.113.64/27") + "surprise = 1\n")).unwrap_err().contains("unknown field"));
	assert!(defended("[[inbox.defended]]\nnetworks = []\n").unwrap_err().contains("missing field `member`"));
}

/// A configuration with a sensor, and `rest` after it.
fn with_sensor(rest: &str) -> Result<Config, String> {
	let text = format!("{MINIMAL}[sensor]\nhome = [\"203.0.113.0/24\"]\n{rest}");
	Config::parse(&text).map_err(|error| error.to_string())
}

#[test]
fn every_detector_is_set_by_its_name_and_within_its_bounds() {
	let untouched = with_sensor("").unwrap().detectors;
	assert_eq!((untouched.home, untouched.detectors.len()), (vec![network("203.0.113.0/24")], 0));
	for (about, _) in ALL {
		let with = |line: &str| with_sensor(&format!("[sensor.detectors.{}]\n{line}\n", about.name));
		let refusal = |line: &str| match with(line) {
			Ok(_) => panic!("{}: {line} was accepted", about.name),
			Err(message) => message,
		};
		assert!(!with("enabled = false").unwrap().detectors.detectors[about.name].enabled, "{}", about.name);
		assert!(with("enabled = true").unwrap().detectors.detectors[about.name].enabled, "{}", about.name);
		for setting in about.settings {
			for value in [setting.default, setting.least, setting.most] {
				let config = with(&format!("{} = {value}", setting.name)).unwrap();
				let detector = &config.detectors.detectors[about.name];
				assert_eq!((detector.enabled, detector.values[setting.name]), (true, value), "{}", about.name);
			}
			for value in [setting.least.checked_sub(1), setting.most.checked_add(1)].into_iter().flatten() {
				let message = refusal(&format!("{} = {value}", setting.name));
				let expected = format!("sensor.detectors: {}: {} is {}", about.name, setting.name, setting.least);
				assert!(message.starts_with(&expected), "{message}");
			}
		}
		for (line, expected) in [
			("surprise = 1", format!("sensor.detectors: {} has no setting \"surprise\"", about.name)),
			("enabled = 1", format!("sensor.detectors: {} has no setting \"enabled\"", about.name)),
			("surprise = true", format!("sensor.detectors: {}.surprise: a whole number", about.name)),
		] {
			let message = refusal(line);
			assert!(message.starts_with(&expected), "{message}");
		}
	}
	if ALL.iter().any(|(about, _)| about.name == "syn-flood") {
		let (_, shown) = SAMPLE.split_once("#[sensor.detectors.syn-flood]").unwrap();
		let (shown, _) = shown.split_once("\n\n").unwrap();
		let config = with_sensor(&format!("[sensor.detectors.syn-flood]{}", shown.replace('#', ""))).unwrap();
		assert!(!config.detectors.detectors["syn-flood"].enabled, "as the sample shows it");
	}
}

#[test]
fn a_detector_that_nobody_knows_is_refused_by_name() {
	for line in ["rate = 1", "enabled = false", ""] {
		let message = with_sensor(&format!("[sensor.detectors.telepathy]\n{line}\n")).unwrap_err();
		assert!(message.starts_with("sensor.detectors: there is no detector \"telepathy\""), "{line}: {message}");
	}
	let message = with_sensor("[sensor.detectors.telepathy]\nloud = true\n").unwrap_err();
	assert!(message.starts_with("sensor.detectors: telepathy.loud: a whole number"), "{message}");
	for value in ["-1", "0.5", "\"many\"", "[1]"] {
		let message = with_sensor(&format!("[sensor.detectors.telepathy]\nrate = {value}\n")).unwrap_err();
		assert!(message.contains("a whole number, or `enabled = false`"), "{value}: {message}");
	}
	let homeless = Config::parse(&format!("{MINIMAL}[sensor.detectors.telepathy]\nenabled = false\n"));
	assert!(homeless.unwrap_err().to_string().contains("missing field `home`"));
}

#[test]
fn how_a_server_proves_itself_is_said_where_one_does() {
	let chain = |endpoint: &str, key: &str| {
		let text = MINIMAL.replace("ws://h:1", endpoint) + key;
		Config::parse(&text).map_err(|error| error.to_string())
	};
	let pin = format!("pin = \"0x{}\"\n", "ab".repeat(32));
	assert_eq!(chain("wss://h", &pin).unwrap().pin, Some([0xab; 32]));
	let roots = chain("wss://h", "roots = \"/r.pem\"\n").unwrap().roots.unwrap();
	assert_eq!(roots.to_str(), Some("/r.pem"));
	assert!(chain("ws://h", &pin).unwrap_err().starts_with("chain.pin: "));
	assert!(chain("ws://h", "roots = \"/r.pem\"\n").unwrap_err().starts_with("chain.roots: "));
	assert!(chain("wss://h", "roots = \"/\"\n").unwrap_err().starts_with("chain.roots: "));
	assert!(chain("wss://h", "pin = \"0xab\"\n").unwrap_err().starts_with("chain.pin: "));
}

#[test]
fn a_whitelist_needs_an_owner_and_a_door() {
	let on = household().replace("whitelist-mode = false", "whitelist-mode = true");
	assert!(Config::parse(&on).unwrap().whitelist_mode);
	let message = Config::parse(&on.replace("uplink = [\"eth0\"]\n", "")).unwrap_err().to_string();
	assert!(message.starts_with("firewall.whitelist-mode: "), "{message}");
	let message = refusal("whitelist-mode = false", "whitelist-mode = true");
	assert!(message.starts_with("firewall.whitelist-mode: "), "{message}");
}

#[test]
fn unknown_keys_are_refused_by_name() {
	for table in [
		"[chain]",
		"[account]",
		"[firewall]",
		"[observe]",
		"[policy]",
		"[sensor]",
		"[[alerts]]",
		"[[rules]]",
		"[capture]",
		"[reporting]",
		"[vetting]",
		"[inbox]",
	] {
		let message = refusal(&format!("{table}\n"), &format!("{table}\nsurprise = 1\n"));
		assert!(message.contains("unknown field") && message.contains("surprise"), "{table}: {message}");
	}
	let text = household().replace("[subscriber]\n", "[subscriber]\nsurprise = 1\n");
	let message = Config::parse(&text).unwrap_err().to_string();
	assert!(message.contains("unknown field") && message.contains("surprise"), "{message}");
	let message = refusal("state-dir", "surprise = 1\nstate-dir");
	assert!(message.contains("unknown field") && message.contains("surprise"), "{message}");
}

#[test]
fn missing_keys_are_refused_by_name() {
	for (text, key) in [
		("[chain]\nendpoints = [\"ws://h:1\"]\n".to_owned(), "state-dir"),
		("state-dir = \"/s\"\n".to_owned(), "chain"),
		("state-dir = \"/s\"\n[chain]\n".to_owned(), "endpoints"),
		(format!("{MINIMAL}[account]\n"), "key-file"),
		(format!("{MINIMAL}[capture]\n"), "interfaces"),
		(format!("{MINIMAL}[account]\nkey-file = \"/k\"\n[sensor]\n"), "home"),
		(format!("{MINIMAL}[account]\nkey-file = \"/k\"\n[[alerts]]\npath = \"/e\"\n"), "format"),
		(format!("{MINIMAL}[account]\nkey-file = \"/k\"\n[subscriber]\nprovider-key = \"0x\"\n"), "provider"),
		(format!("{MINIMAL}[account]\nkey-file = \"/k\"\n[subscriber]\nprovider = \"0x\"\n"), "provider-key"),
	] {
		let message = Config::parse(&text).unwrap_err().to_string();
		assert!(message.contains(&format!("missing field `{key}`")), "{key}: {message}");
	}
}

#[test]
fn values_that_make_no_sense_are_refused_by_key() {
	for (from, to, key) in [
		("state-dir = \"/var/lib/ringfence\"", "state-dir = \"\"", "state-dir"),
		("[\"ws://127.0.0.1:9944\"]", "[]", "chain.endpoints"),
		("ws://127.0.0.1:9944", "http://127.0.0.1:9944", "chain.endpoints"),
		("ws://127.0.0.1:9944", "ws://", "chain.endpoints"),
		("ws://127.0.0.1:9944", "ws://a b", "chain.endpoints"),
		("#genesis = \"0x00", "genesis = \"0x", "chain.genesis"),
		("#genesis = \"0x", "genesis = \"", "chain.genesis"),
		("heartbeat = \"30min\"", "heartbeat = \"9s\"", "chain.heartbeat"),
		("heartbeat = \"30min\"", "heartbeat = \"25h\"", "chain.heartbeat"),
		("stale-after = \"61min\"", "stale-after = \"30min\"", "chain.stale-after"),
		("stale-after = \"61min\"", "stale-after = \"8days\"", "chain.stale-after"),
		("[\"eth0\"]", "[\"lo\"]", "firewall.uplink"),
		("[\"eth0\"]", "[\"\"]", "firewall.uplink"),
		("[\"eth0\"]", "[\"../eth0\"]", "firewall.uplink"),
		("[\"eth0\"]", "[\"interface0123456\"]", "firewall.uplink"),
		("[\"eth0\"]", "[\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\"]", "firewall.uplink"),
		("\"127.0.0.1:9100\"", "\"192.168.1.1:9100\"", "observe.listen"),
		("\"127.0.0.1:9100\"", "\"127.0.0.1:0\"", "observe.listen"),
		("\"127.0.0.1:8400\"", "\"0.0.0.0:8400\"", "observe.page"),
		("\"127.0.0.1:8400\"", "\"203.0.113.1:8400\"", "observe.page"),
		("\"127.0.0.1:8400\"", "\"127.0.0.1:9100\"", "observe.page"),
		("home = [\"203.0.113.0/24\"]", "home = []", "sensor.home"),
		("max-severity = 2", "max-severity = 0", "sensor.max-severity"),
		("path = \"/var/log/suricata/eve.json\"", "path = \"/\"", "alerts.path"),
		("path = \"/var/log/suricata/eve.json\"", "socket = \"/\"", "alerts.socket"),
		("path = \"/var/log/suricata/eve.json\"", "", "alerts: each needs either a path or a socket"),
		("path = \"/var/log/suricata/eve.json\"", "path = \"/e\"\nsocket = \"/s\"", "alerts: each needs either"),
		("path = \"/var/log/suricata/eve.json\"", "path = \"/e\"\nsocket-mode = \"0600\"", "alerts.path"),
		(
			"path = \"/var/log",
			"path = \"/e\"\n[[alerts]]\nformat = \"fast\"\npath = \"/e\"\n#",
			"alerts.path: /e twice",
		),
		("\"2003068-2003099\"", "\"2003099-2003068\"", "rules: number 1: signature-ids"),
		("\"2003068-2003099\"", "\"all\"", "rules: number 1: signature-ids"),
		("#ignore = true", "ignore = true", "rules: number 1: either ignore"),
		("[[rules]]", "[[rules]]\nsource = \"eve\"\n[[rules]]", "rules: number 1: either ignore"),
		("action = \"drop\"\nlifetime", "action = { rate-limit = 0 }\nlifetime", "rules: number 1: a rate"),
		("lifetime = \"7days\"", "lifetime = \"31days\"", "rules: number 1: lifetime"),
		("interfaces = [\"eth0\"]", "interfaces = []", "capture.interfaces"),
		("interfaces = [\"eth0\"]", "interfaces = [\"lo\"]", "capture.interfaces"),
		("interfaces = [\"eth0\"]", "interfaces = [\"a\", \"b\", \"a\"]", "capture.interfaces"),
		(
			"interfaces = [\"eth0\"]",
			"interfaces = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\"]",
			"capture.interfaces",
		),
		("memory-mib = 4", "memory-mib = 0", "capture.memory-mib"),
		("memory-mib = 4", "memory-mib = 257", "capture.memory-mib"),
		("cpu-percent = 50", "cpu-percent = 0", "capture.cpu-percent"),
		("cpu-percent = 50", "cpu-percent = 101", "capture.cpu-percent"),
		("snap-length = 512", "snap-length = 95", "capture.snap-length"),
		("snap-length = 512", "snap-length = 65536", "capture.snap-length"),
		("lifetime = \"24h\"", "lifetime = \"59s\"", "reporting.lifetime"),
		("lifetime = \"24h\"", "lifetime = \"31days\"", "reporting.lifetime"),
		("lifetime = \"24h\"", "lifetime = \"60s 1ms\"", "reporting.lifetime"),
		("per-minute = 30", "per-minute = 0", "reporting.per-minute"),
		("per-minute = 30", "per-minute = 10001", "reporting.per-minute"),
		("repeat-after = \"10m\"", "repeat-after = \"999ms\"", "reporting.repeat-after"),
		("repeat-after = \"10m\"", "repeat-after = \"31days\"", "reporting.repeat-after"),
		("\nconfidence = 80", "\nconfidence = 101", "reporting.confidence"),
		("spoofable-confidence = 30", "spoofable-confidence = 101", "reporting.spoofable-confidence"),
		("action = \"drop\"\n# Packets", "action = { rate-limit = 0 }\n# Packets", "reporting.action"),
		("approve-min-confidence = 50", "approve-min-confidence = 101", "vetting.approve-min-confidence"),
		("widest-v4 = 24", "widest-v4 = 33", "vetting.widest-v4"),
		("widest-v6 = 48", "widest-v6 = 129", "vetting.widest-v6"),
		("widest-destination-v4 = 24", "widest-destination-v4 = 23", "vetting.widest-destination-v4"),
		("widest-destination-v4 = 24", "widest-destination-v4 = 33", "vetting.widest-destination-v4"),
		("widest-destination-v6 = 48", "widest-destination-v6 = 47", "vetting.widest-destination-v6"),
		("widest-destination-v6 = 48", "widest-destination-v6 = 129", "vetting.widest-destination-v6"),
		("approve-min-trust = 700", "approve-min-trust = 1001", "vetting.approve-min-trust"),
		("approve-min-witnesses = 2", "approve-min-witnesses = 0", "vetting.approve-min-witnesses"),
		("approve-min-witnesses = 2", "approve-min-witnesses = 65", "vetting.approve-min-witnesses"),
		("seen-within = \"1h\"", "seen-within = \"0s\"", "vetting.seen-within"),
		("seen-within = \"1h\"", "seen-within = \"25h\"", "vetting.seen-within"),
		("popular = []", "popular = [\"/etc/..\"]", "vetting.popular"),
		("promote-min-confidence = 70", "promote-min-confidence = 101", "inbox.promote-min-confidence"),
		("per-minute = 600", "per-minute = 0", "inbox.per-minute"),
		("per-minute = 600", "per-minute = 10001", "inbox.per-minute"),
		("per-household = 30", "per-household = 0", "inbox.per-household"),
		("per-household = 30", "per-household = 601", "inbox.per-household"),
		("answer-every = \"60s\"", "answer-every = \"999ms\"", "inbox.answer-every"),
		("answer-every = \"60s\"", "answer-every = \"2h\"", "inbox.answer-every"),
		("#member = \"0x00", "member = \"0x", "account.member"),
		("[account]", "[sensor.unused]", "unused"),
	] {
		let message = refusal(from, to);
		assert!(message.contains(key), "{to}: {message}");
	}
}

#[test]
fn values_of_the_wrong_kind_are_refused_with_their_line() {
	for (from, to) in [
		("\"192.0.2.0/24\"", "\"192.0.2.1/24\""),
		("\"198.51.100.7\"", "\"example.net\""),
		("\"203.0.113.0/24\"", "\"203.0.113.0/33\""),
		("max-severity = 2", "max-severity = 256"),
		("format = \"eve\"", "format = \"syslog\""),
		("[2002911, \"2003068-2003099\"]", "[true]"),
		("severity = \"high\"", "severity = \"dire\""),
		("lifetime = \"24h\"", "lifetime = 24"),
		("lifetime = \"24h\"", "lifetime = \"soon\""),
		("tlp = \"green\"", "tlp = \"red\""),
		("action = \"drop\"", "action = \"explode\""),
		("direction = \"both\"", "direction = \"sideways\""),
		("approve-min-severity = \"low\"", "approve-min-severity = \"dire\""),
		("enforce = true", "enforce = \"yes\""),
		("mode = \"enforce\"", "mode = \"half\""),
		("heartbeat = \"30min\"", "heartbeat = 15"),
		("\"127.0.0.1:8400\"", "\"localhost:8400\""),
	] {
		let message = refusal(from, to);
		assert!(message.contains(to), "{to}: {message}");
	}
}

#[test]
fn what_signs_needs_an_account() {
	let alerts =
		format!("{MINIMAL}[sensor]\nhome = [\"203.0.113.0/24\"]\n[[alerts]]\nformat = \"eve\"\npath = \"/e\"\n");
	assert!(Config::parse(&alerts).unwrap_err().to_string().starts_with("alerts: "));
	let capture = with_sensor("[capture]\ninterfaces = [\"eth0\"]\n").unwrap_err();
	assert!(capture.starts_with("capture: "), "what is found would go nowhere: {capture}");
	let vetting = format!("{MINIMAL}[vetting]\n");
	assert!(Config::parse(&vetting).unwrap_err().to_string().starts_with("vetting: "));
	let inbox = format!("{MINIMAL}[inbox]\n");
	assert!(Config::parse(&inbox).unwrap_err().to_string().starts_with("inbox: "));
	let key = "0x".to_owned() + &"02".repeat(32);
	let subscriber = format!("{MINIMAL}[subscriber]\nprovider = \"{key}\"\nprovider-key = \"{key}\"\n");
	assert!(Config::parse(&subscriber).unwrap_err().to_string().starts_with("subscriber: "));
}

#[test]
fn a_household_is_no_provider() {
	let with = |from: &str, to: &str| {
		let text = household();
		assert!(text.contains(from), "the sample has no {from}");
		Config::parse(&text.replace(from, to)).unwrap_err().to_string()
	};
	for table in ["[vetting]", "[inbox]"] {
		let message = Config::parse(&format!("{}\n{table}\n", household())).unwrap_err().to_string();
		assert!(message.starts_with("subscriber: "), "{table}: {message}");
	}
	let message = with("provisional = false", "provisional = true");
	assert!(message.starts_with("reporting.provisional: "), "{message}");
	let itself = format!("member = \"0x{}\"", "01".repeat(32));
	let zeros = "#member = \"0x0000000000000000000000000000000000000000000000000000000000000000\"";
	assert!(with(zeros, &itself).starts_with("subscriber.provider: "));
	assert!(with("\"0x0101", "\"0x01").starts_with("subscriber.provider: "));
	assert!(with("\"0x0202", "\"0x02").starts_with("subscriber.provider-key: "));
	assert!(with(&"02".repeat(32), &"00".repeat(32)).starts_with("subscriber.provider-key: "));
}

#[test]
fn what_sees_and_what_is_known_better_needs_a_home() {
	for table in [
		"[[alerts]]\nformat = \"eve\"\npath = \"/e\"\n",
		"[[rules]]\nignore = true\n",
		"[capture]\ninterfaces = [\"eth0\"]\n",
	] {
		let text = format!("{MINIMAL}[account]\nkey-file = \"/k\"\n{table}");
		let message = Config::parse(&text).unwrap_err().to_string();
		assert!(message.contains("[sensor]"), "{table}: {message}");
	}
}

#[test]
fn sockets_are_made_for_whoever_writes_alerts() {
	let socket = |rest: &str| {
		let config =
			sample_with("path = \"/var/log/suricata/eve.json\"", &format!("socket = \"/run/s\"\n{rest}")).unwrap();
		config.alerts.into_iter().next().unwrap().place
	};
	let expected = |kind, access| Place::Socket("/run/s".into(), kind, access);
	assert_eq!(socket(""), expected(Kind::Stream, Access::Group));
	assert_eq!(socket("socket-type = \"datagram\"\nsocket-mode = \"0600\""), expected(Kind::Datagram, Access::Owner));
}

#[test]
fn a_rule_without_conditions_is_about_everything() {
	let config = sample_with("[[rules]]", "[[rules]]\nignore = true\n[[rules]]").unwrap();
	assert_eq!(config.sensor.unwrap().rules.0[0], Rule::default());
}
