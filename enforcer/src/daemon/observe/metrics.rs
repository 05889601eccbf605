//! The metrics, in Prometheus' text format (0.0.4): `GET /metrics`.
//!
//! Every family is rendered from one [`Status`], so its numbers agree with each other. `docs/grafana/ringfence.json` shows
//! them; a test compares the names.
//!
//! # Security considerations
//!
//! Any local program may read them; they say nothing about who in the household talks to whom. The texts in labels are
//! the configuration's.

use super::http::{self, refusal, reply, Reply};
use crate::daemon::{
	now_ms,
	status::{Board, SensorStatus, Status},
};
use hyper::{body::Incoming, Method, Request, StatusCode};
use ringfence_primitives::Millis;
use std::{
	fmt::{Display, Write},
	future::ready,
	sync::Arc,
};
use tokio::net::TcpListener;

/// What is captured, by interface.
fn sensors(t: &mut Text, status: &Status) {
	type Value = fn(&SensorStatus) -> u64;
	let families: [(Kind, &str, &str, Value); 7] = [
		(Kind::Gauge, "ringfence_sensor_listening", "Whether the interface is there.", |s| s.listening.into()),
		(Kind::Gauge, "ringfence_sensor_sampling", "One packet in so many is looked at.", |s| s.sampling.into()),
		(Kind::Counter, "ringfence_sensor_frames_total", "Frames that came.", |s| s.frames),
		(Kind::Counter, "ringfence_sensor_bytes_total", "Their octets.", |s| s.bytes),
		(Kind::Counter, "ringfence_sensor_dropped_total", "Frames that the kernel had no room for.", |s| s.dropped),
		(Kind::Counter, "ringfence_sensor_malformed_total", "Frames that made no sense.", |s| s.malformed),
		(Kind::Counter, "ringfence_sensor_findings_total", "Findings.", |s| s.findings),
	];
	let labels: Vec<_> = status.sensors.iter().map(|sensor| [("interface", sensor.interface.as_str())]).collect();
	for (kind, name, help, value) in families {
		let values = status.sensors.iter().zip(&labels).map(|(sensor, labels)| (&labels[..], value(sensor)));
		t.family(kind, name, help, values);
	}
}

/// A constant of this system, such as the octets of a page of memory; 0 where it has none.
fn system(name: libc::c_int) -> u64 {
	// SAFETY: takes a number, touches no memory.
	u64::try_from(unsafe { libc::sysconf(name) }).unwrap_or(0)
}

#[derive(Clone, Copy)]
enum Kind {
	/// It goes up and down.
	Gauge,
	/// It only grows, while the process lives.
	Counter,
}

/// The text so far.
#[derive(Default)]
struct Text(String);

impl Text {
	/// One family, with a value for each set of labels. A family without values is left out.
	fn family<'a, V: Display>(
		&mut self,
		kind: Kind,
		name: &str,
		help: &str,
		values: impl IntoIterator<Item = (&'a [(&'a str, &'a str)], V)>,
	) {
		let mut values = values.into_iter().peekable();
		if values.peek().is_none() {
			return;
		}
		let kind = match kind {
			Kind::Gauge => "gauge",
			Kind::Counter => "counter",
		};
		// Writing to a string cannot fail.
		let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
		for (labels, value) in values {
			self.0.push_str(name);
			for (index, (label, text)) in labels.iter().enumerate() {
				self.0.push_str(if index == 0 { "{" } else { "," });
				let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
				let _ = write!(self.0, "{label}=\"{text}\"");
			}
			let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
		}
	}

	fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
		self.family(Kind::Gauge, name, help, [(&[][..], value)]);
	}

	fn counter(&mut self, name: &str, help: &str, value: impl Display) {
		self.family(Kind::Counter, name, help, [(&[][..], value)]);
	}

	/// One family with one label.
	fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
		let labels: Vec<_> = values.iter().map(|(text, value)| ([(label, *text)], *value)).collect();
		self.family(Kind::Counter, name, help, labels.iter().map(|(labels, value)| (&labels[..], *value)));
	}
}

/// Milliseconds as seconds, exactly.
fn seconds(ms: Millis) -> String {
	format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// An endpoint's address without a user's name and password.
fn endpoint(url: &str) -> String {
	let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
	let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
	let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
	format!("{scheme}://{host}{path}")
}

/// The metrics of one snapshot at `now`, Unix time in milliseconds.
pub fn render(status: &Status, now: Millis) -> String {
	let mut text = Text::default();
	let t = &mut text;
	let labels = [("version", status.version.as_str())];
	t.family(Kind::Gauge, "ringfence_enforcer_build_info", "The version that runs.", [(&labels[..], 1)]);
	t.gauge(
		"ringfence_enforcer_start_time_seconds",
		"When it started, Unix time in seconds.",
		seconds(status.started_at),
	);
	t.gauge(
		"ringfence_enforcer_enforcing",
		"Whether the firewall is programmed (1) or not (0).",
		u8::from(status.enforcing && status.firewall.is_some()),
	);
	t.gauge("ringfence_enforcer_connected", "Whether a node is connected.", u8::from(status.endpoint.is_some()));
	t.gauge(
		"ringfence_enforcer_stale",
		"Whether what is enforced may be out of date.",
		u8::from(status.stale(now).is_some()),
	);
	if let Some(active) = status.active {
		t.gauge("ringfence_enforcer_decisions", "Decisions in force, the own provider's included.", active);
	}
	t.gauge(
		"ringfence_enforcer_store_failing",
		"Whether the store cannot be written.",
		u8::from(status.store.is_some()),
	);
	t.gauge("ringfence_enforcer_applied_change", "The last entry of the chain's log that was applied.", status.seq);
	if let Some(proven) = &status.proven {
		t.gauge("ringfence_enforcer_proven_block", "The newest block proven final.", proven.number);
		t.gauge(
			"ringfence_enforcer_proven_timestamp_seconds",
			"When that was proven here, Unix time in seconds.",
			seconds(proven.at),
		);
		t.gauge("ringfence_enforcer_proven_change", "The newest entry of the log in that block.", proven.log_seq);
		t.gauge("ringfence_enforcer_authority_set", "The set of validators that proved it.", proven.set);
	}
	let nodes: Vec<_> = status.endpoints.iter().map(|node| (endpoint(&node.url), node)).collect();
	let by_node: Vec<_> = nodes.iter().map(|(url, node)| ([("endpoint", url.as_str())], *node)).collect();
	t.family(
		Kind::Counter,
		"ringfence_enforcer_endpoint_failures_total",
		"Times that the node could not be reached, broke off or was silent.",
		by_node.iter().map(|(labels, node)| (&labels[..], node.failures)),
	);
	t.family(
		Kind::Counter,
		"ringfence_enforcer_endpoint_lies_total",
		"Times that the node told something that is proven wrong.",
		by_node.iter().map(|(labels, node)| (&labels[..], node.lies)),
	);
	t.counters(
		"ringfence_enforcer_traffic_bytes_total",
		"Bytes exchanged with nodes.",
		"direction",
		&[("received", status.traffic.received), ("sent", status.traffic.sent)],
	);
	let counts = &status.counts;
	sensors(t, status);
	t.gauge("ringfence_enforcer_reports_waiting", "Reports that wait for a node.", status.reports_waiting);
	t.counter("ringfence_enforcer_heartbeats_total", "Proofs that the chain lives.", counts.heartbeats);
	t.counter("ringfence_enforcer_handoffs_total", "Changes of the set of validators followed.", counts.handoffs);
	t.counters(
		"ringfence_enforcer_changes_total",
		"Entries of the chain's log, by what became of them.",
		"outcome",
		&[("enforced", counts.enforced), ("passed-over", counts.passed_over), ("failed", counts.failed)],
	);
	t.counters(
		"ringfence_enforcer_alerts_total",
		"What the sensor wrote, by what became of it.",
		"outcome",
		&[
			("reported", counts.alerts),
			("suppressed", counts.suppressed),
			("ignored", counts.ignored),
			("skipped", counts.skipped),
		],
	);
	t.counters(
		"ringfence_enforcer_transactions_total",
		"Transactions, by how far they got.",
		"outcome",
		&[("submitted", counts.submitted), ("included", counts.included), ("refused", counts.refused)],
	);
	t.counters(
		"ringfence_enforcer_proposals_total",
		"Proposals, by who votes on them.",
		"outcome",
		&[("voted", counts.votes), ("undecided", counts.undecided)],
	);
	t.counters(
		"ringfence_enforcer_letters_total",
		"Sealed letters, by what became of them.",
		"outcome",
		&[
			("opened", counts.letters),
			("unreadable", counts.unreadable),
			("promoted", counts.promoted),
			("left", counts.left),
			("answered", counts.answered),
		],
	);
	if let Some(firewall) = &status.firewall {
		let sides = [
			("dropped", firewall.dropped),
			("limited", firewall.limited),
			("watched", firewall.watched),
			("spared", firewall.spared),
		];
		let mut both: Vec<_> = sides
			.iter()
			.flat_map(|(verdict, sides)| {
				[("inbound", sides.inbound), ("outbound", sides.outbound)]
					.map(|(direction, count)| ([("verdict", *verdict), ("direction", direction)], count))
			})
			.collect();
		// The whitelist is about who may come in.
		both.push(([("verdict", "barred"), ("direction", "inbound")], firewall.barred));
		t.family(
			Kind::Counter,
			"ringfence_enforcer_packets_total",
			"Packets that a rule met since the table was built.",
			both.iter().map(|(labels, count)| (&labels[..], count.packets)),
		);
		t.family(
			Kind::Counter,
			"ringfence_enforcer_bytes_total",
			"Their bytes, IP headers included.",
			both.iter().map(|(labels, count)| (&labels[..], count.bytes)),
		);
	}
	text.0
}

/// What the kernel says about this process, under the names that all exporters use.
fn process() -> String {
	let mut text = Text::default();
	let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
	if let Some(pages) = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()) {
		let bytes = pages.saturating_mul(system(libc::_SC_PAGESIZE));
		text.gauge("process_resident_memory_bytes", "Memory in use.", bytes);
	}
	let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
	// The name, in brackets, may hold anything; behind it, user and system time are the 12th and 13th field.
	let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_ascii_whitespace().skip(11).take(2));
	let ticks: Vec<u64> = fields.into_iter().flatten().filter_map(|ticks| ticks.parse().ok()).collect();
	if let ([user, kernel], per_second @ 1..) = (&ticks[..], system(libc::_SC_CLK_TCK)) {
		let ms = user.saturating_add(*kernel).saturating_mul(1_000) / per_second;
		text.counter("process_cpu_seconds_total", "Processor time spent.", seconds(ms));
	}
	text.0
}

/// Answers Prometheus for ever.
pub async fn serve(listener: TcpListener, board: Arc<Board>) {
	http::serve(listener, move |request| ready(answer(&request, &board))).await;
}

fn answer(request: &Request<Incoming>, board: &Board) -> Reply {
	match (request.uri().path(), request.method()) {
		("/metrics", &Method::GET) => {
			let text = render(&board.snapshot(), now_ms()) + &process();
			reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
		}
		("/metrics", _) => refusal(StatusCode::METHOD_NOT_ALLOWED, "GET only"),
		_ => refusal(StatusCode::NOT_FOUND, "the metrics are at /metrics"),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::daemon::{
		firewall::Counters,
		status::{Endpoint, Proven},
	};
	use std::collections::BTreeSet;

	fn full() -> Status {
		Status {
			version: "1.2.3".into(),
			started_at: 1_700_000_000_123,
			enforcing: true,
			endpoint: Some("ws://127.0.0.1:9944".into()),
			endpoints: vec![Endpoint {
				url: "wss://me:secret@node.example:443/\"rpc\"".into(),
				failures: 2,
				lies: 1,
				retry_at: None,
				cause: None,
			}],
			proven: Some(Proven { number: 7, at: 1_700_000_001_000, chain_at: None, log_seq: 5, set: 3 }),
			active: Some(104_233),
			firewall: Some(Counters::default()),
			sensors: vec![SensorStatus {
				interface: "eth\"0".into(),
				listening: true,
				frames: 1_000,
				bytes: 60_000,
				sampling: 2,
				findings: 3,
				..SensorStatus::default()
			}],
			reports_waiting: 4,
			..Status::default()
		}
	}

	/// Names of the families, each of which must have HELP, TYPE and a value.
	fn families(text: &str) -> BTreeSet<&str> {
		let named = |prefix: &'static str| {
			text.lines().filter_map(move |line| line.strip_prefix(prefix)?.split(' ').next()).collect::<BTreeSet<_>>()
		};
		let valued: BTreeSet<&str> = text
			.lines()
			.filter(|line| !line.starts_with('#'))
			.filter_map(|line| line.split(['{', ' ']).next())
			.collect();
		assert_eq!(named("# HELP "), valued);
		assert_eq!(named("# TYPE "), valued);
		valued
	}

	#[test]
	fn every_line_is_what_prometheus_reads() {
		let text = render(&full(), 1_700_000_002_000) + &process();
		for line in text.lines().filter(|line| !line.starts_with('#')) {
			let (name, value) = line.rsplit_once(' ').unwrap();
			assert!(value.parse::<f64>().is_ok(), "{line}");
			let known = ["ringfence_enforcer_", "ringfence_sensor_", "process_"];
			assert!(known.iter().any(|prefix| name.starts_with(prefix)), "{line}");
			let plain = name.split('{').next().unwrap();
			assert!(plain.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
		}
		assert!(text.contains("# TYPE ringfence_enforcer_packets_total counter\n"));
		assert!(text.contains("ringfence_enforcer_start_time_seconds 1700000000.123\n"));
		assert!(families(&text).contains("process_resident_memory_bytes"));
	}

	#[test]
	fn counters_end_in_total_and_nothing_else_does() {
		let text = render(&full(), 0) + &process();
		for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
			let (name, kind) = line.split_once(' ').unwrap();
			assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
		}
	}

	#[test]
	fn labels_are_escaped_and_passwords_left_out() {
		let text = render(&full(), 0);
		assert!(
			text.contains(r#"ringfence_enforcer_endpoint_lies_total{endpoint="wss://node.example:443/\"rpc\""} 1"#),
			"{text}"
		);
		assert!(!text.contains("secret"));
	}

	#[test]
	fn each_interface_that_is_looked_at_has_its_counts() {
		let mut status = full();
		status.sensors.push(SensorStatus { interface: "ppp0".into(), ..SensorStatus::default() });
		let text = render(&status, 0);
		for line in [
			r#"ringfence_sensor_listening{interface="eth\"0"} 1"#,
			r#"ringfence_sensor_listening{interface="ppp0"} 0"#,
			r#"ringfence_sensor_sampling{interface="eth\"0"} 2"#,
			r#"ringfence_sensor_frames_total{interface="eth\"0"} 1000"#,
			r#"ringfence_sensor_bytes_total{interface="eth\"0"} 60000"#,
			r#"ringfence_sensor_findings_total{interface="eth\"0"} 3"#,
			r#"ringfence_sensor_findings_total{interface="ppp0"} 0"#,
			"ringfence_enforcer_reports_waiting 4",
		] {
			assert!(text.lines().any(|told| told == line), "{line}: {text}");
		}
	}

	#[test]
	fn nothing_known_yet_is_left_out_or_zero() {
		let text = render(&Status::default(), 0);
		assert!(text.contains("ringfence_enforcer_enforcing 0\n"));
		assert!(text.contains("ringfence_enforcer_stale 1\n"));
		assert!(!text.contains("ringfence_enforcer_packets_total"));
		assert!(!text.contains("ringfence_enforcer_proven"));
		assert!(!text.contains("ringfence_sensor_"));
	}

	#[test]
	fn the_dashboard_asks_for_nothing_that_is_not_there() {
		let text = render(&full(), 0) + &process();
		let known = families(&text);
		let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/grafana/ringfence.json");
		let dashboard: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
		let mut asked = BTreeSet::new();
		for panel in dashboard["panels"].as_array().unwrap() {
			for target in panel["targets"].as_array().into_iter().flatten() {
				let words = target["expr"].as_str().unwrap().split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
				asked.extend(
					words.filter(|w| w.starts_with("ringfence_") || w.starts_with("process_")).map(String::from),
				);
			}
		}
		assert!(asked.len() > 10, "{asked:?}");
		for name in &asked {
			assert!(known.contains(name.as_str()), "{name}");
		}
	}
}
