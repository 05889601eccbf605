//! Decisions of programs that read logs: fail2ban's bans and CrowdSec's decisions.
//!
//! fail2ban: lines of its log (`… fail2ban.actions [PID]: NOTICE  [JAIL] Ban ADDRESS`, `Restore Ban`, `Unban`), or what
//! `fail2ban-client get JAIL banip` prints, with times or without. CrowdSec: `cscli decisions list` as JSON (`-o json`) or
//! CSV (`-o raw`), the answers of the local API (`/v1/decisions`) and of its stream (`new` and `deleted`).
//!
//! # Security considerations
//!
//! What was banned is whatever address a service wrote into its log, which may be forged where the service speaks UDP; so
//! these are proven only where the owner's rules say so. A line of fail2ban's log may quote what an attacker sent; only the
//! beginning of a line is believed to be fail2ban's own.

use super::{text, AlertError, Format};
use crate::core::{blake2_256, csv, evidence::Evidence, hex};
use ringfence_primitives::{Digest, Network};
use serde::Deserialize;
use serde_json::Value;

/// Somebody was decided about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
	/// Which program says so.
	pub format: Format,
	/// The host or network.
	pub network: Network,
	/// Who decided: the jail's program, `crowdsec`, `cscli`, `CAPI`, `lists`, …
	pub origin: String,
	/// Why: the jail, or the scenario.
	pub scenario: String,
	/// What is to be done: `ban`, `captcha`, …
	pub remedy: String,
	/// Seconds for which it still holds; none where it is not said, or for ever.
	pub duration: Option<u64>,
	/// Whether it is over: lifted, deleted or expired.
	pub over: bool,
	/// Whether it is only tried out.
	pub simulated: bool,
	/// BLAKE2b-256 of the line or document that says so.
	pub evidence: Digest,
}

impl Decision {
	/// What shows it: who decided what, and the hash of the line or document that says so.
	pub fn evidence(&self) -> Evidence {
		let Self { network, origin, scenario, remedy, .. } = self;
		let text = format!("{origin} {scenario} {remedy} {network} (line {})", hex::encode(&self.evidence));
		Evidence::of_line(self.format.name(), &text, 0)
	}
}

type Decisions = Vec<Result<Decision, AlertError>>;

/// Reads one line of fail2ban's. Empty: it is about something else.
pub fn fail2ban(line: &[u8]) -> Result<Decisions, AlertError> {
	let said = text(line)?;
	let ban = |scenario: &str, subject: &str, over: bool, duration: Option<u64>| -> Result<Decision, AlertError> {
		Ok(Decision {
			format: Format::Fail2ban,
			network: subject.parse().map_err(|_| AlertError::Address("what is banned"))?,
			origin: Format::Fail2ban.name().to_owned(),
			scenario: scenario.to_owned(),
			remedy: BAN.to_owned(),
			duration,
			over,
			simulated: false,
			evidence: blake2_256(line),
		})
	};
	let words: Vec<_> = said.split_whitespace().collect();
	if words.first().is_some_and(|word| word.parse::<Network>().is_ok()) {
		// With times: ADDRESS DAY TIME + SECONDS = DAY TIME, where the seconds are -1 for ever.
		return Ok(match words[..] {
			[subject, _, _, "+", seconds, "=", _, _] => vec![ban("", subject, false, seconds.parse().ok())],
			_ => words.iter().copied().map(|subject| ban("", subject, false, None)).collect(),
		});
	}
	Ok(deed(said).map(|(jail, subject, over)| ban(jail, subject, over, None)).into_iter().collect())
}

/// The jail, who it is about and whether it lets go, of a line of the log; none of a line about something else.
fn deed(said: &str) -> Option<(&str, &str, bool)> {
	let own = said.get(said.find("fail2ban.")?..)?.strip_prefix("fail2ban.actions")?;
	let (_process, said) = own.split_once(": ")?;
	let (_level, said) = said.trim_start().split_once(char::is_whitespace)?;
	let (jail, said) = said.trim_start().strip_prefix('[')?.split_once(']')?;
	let mut words = said.split_whitespace();
	match (words.next(), words.next(), words.next(), words.next()) {
		(Some("Ban"), Some(subject), None, _) | (Some("Restore"), Some("Ban"), Some(subject), None) => {
			Some((jail, subject, false))
		}
		(Some("Unban"), Some(subject), None, _) => Some((jail, subject, true)),
		_ => None,
	}
}

/// The remedy that keeps somebody out.
pub const BAN: &str = "ban";

#[derive(Deserialize)]
struct RawDecision {
	#[serde(default)]
	duration: String,
	#[serde(default)]
	origin: String,
	#[serde(default)]
	scenario: String,
	scope: String,
	value: String,
	#[serde(rename = "type")]
	remedy: String,
	#[serde(default)]
	simulated: bool,
}

/// Reads one line of CSV, or a whole JSON document. Empty: a header, or no decisions.
pub fn crowdsec(bytes: &[u8]) -> Result<Decisions, AlertError> {
	documents(text(bytes)?, blake2_256(bytes))
}

/// The same without a limit of its own, for documents that are read whole; `evidence` is their digest.
pub fn documents(said: &str, evidence: Digest) -> Result<Decisions, AlertError> {
	if said.is_empty() || said.starts_with(HEADER) {
		return Ok(Vec::new());
	}
	if !(said.starts_with(['{', '[']) || said == "null") {
		return row(said).map(|raw| vec![raw.checked(evidence)]);
	}
	let mut decisions = Vec::new();
	let mut take = |value: Value, deleted: bool| {
		let raw = serde_json::from_value::<RawDecision>(value).map_err(AlertError::from);
		decisions.push(
			raw.and_then(|raw| raw.checked(evidence))
				.map(|decision| Decision { over: decision.over || deleted, ..decision }),
		);
	};
	match serde_json::from_str::<Value>(said)? {
		// `cscli` lists alerts, each with its decisions; the local API lists decisions.
		Value::Array(items) => {
			for mut item in items {
				match item.get_mut("decisions").map(Value::take) {
					Some(own) => list(own)?.into_iter().for_each(|item| take(item, false)),
					None => take(item, false),
				}
			}
		}
		Value::Object(mut stream) if stream.contains_key("new") || stream.contains_key("deleted") => {
			for (key, deleted) in [("new", false), ("deleted", true)] {
				list(stream.remove(key).unwrap_or_default())?.into_iter().for_each(|item| take(item, deleted));
			}
		}
		Value::Object(mut alert) => match alert.remove("decisions") {
			Some(own) => list(own)?.into_iter().for_each(|item| take(item, false)),
			None => take(Value::Object(alert), false),
		},
		_ => {}
	}
	Ok(decisions)
}

/// A list; where there is nothing, the API says null.
fn list(value: Value) -> Result<Vec<Value>, AlertError> {
	match value {
		Value::Array(items) => Ok(items),
		Value::Null => Ok(Vec::new()),
		_ => Err(AlertError::Malformed("the list of decisions")),
	}
}

/// What `cscli decisions list -o raw` begins with.
const HEADER: &str = "id,source,ip,reason,action,";

/// A line of `id,source,ip,reason,action,country,as,events_count,expiration,simulated,alert_id`, where `ip` is `Scope:Value`.
fn row(said: &str) -> Result<RawDecision, AlertError> {
	let mut fields = csv::fields(said).into_iter();
	let mut next = |name| fields.next().ok_or(AlertError::Missing(name));
	let _id = next("the id")?;
	let origin = next("the source")?;
	let subject = next("the ip")?;
	let (scope, value) = subject.split_once(':').ok_or(AlertError::Malformed("the ip"))?;
	let (scenario, remedy) = (next("the reason")?, next("the action")?);
	// Older versions do not quote the name of the network, which may have commas in it.
	let duration = fields.find(|field| seconds(field).is_some()).ok_or(AlertError::Missing("the expiration"))?;
	let simulated = fields.next().as_deref() == Some("true");
	Ok(RawDecision { duration, origin, scenario, scope: scope.into(), value: value.into(), remedy, simulated })
}

impl RawDecision {
	fn checked(self, evidence: Digest) -> Result<Decision, AlertError> {
		if !["ip", "range"].iter().any(|known| self.scope.eq_ignore_ascii_case(known)) {
			return Err(AlertError::Scope);
		}
		let duration = seconds(&self.duration);
		Ok(Decision {
			format: Format::Crowdsec,
			network: self.value.parse().map_err(|_| AlertError::Address("the decision's value"))?,
			origin: self.origin,
			scenario: self.scenario,
			remedy: self.remedy,
			duration: duration.and_then(|seconds| u64::try_from(seconds).ok()),
			over: duration.is_some_and(|seconds| seconds <= 0),
			simulated: self.simulated,
			evidence,
		})
	}
}

/// The whole seconds of a duration as Go writes it: `3h59m57.9s`, `-12m0s`, `850ms`. Less than one is none.
fn seconds(text: &str) -> Option<i64> {
	let (sign, mut rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
	if rest.is_empty() {
		return None;
	}
	let mut total = 0_i64;
	while !rest.is_empty() {
		let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
		let (number, behind) = rest.split_at(end);
		let unit_end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
		let (unit, behind) = behind.split_at(unit_end);
		let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
		if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
			return None;
		}
		let whole: i64 = whole.parse().ok()?;
		let scale = match unit {
			"h" => 3_600,
			"m" => 60,
			"s" => 1,
			"ms" | "us" | "µs" | "μs" | "ns" => 0,
			_ => return None,
		};
		total = total.checked_add(whole.checked_mul(scale)?)?;
		rest = behind;
	}
	Some(sign * total)
}

#[cfg(test)]
mod tests {
	use super::*;

	fn all(read: Result<Decisions, AlertError>) -> Vec<Decision> {
		read.unwrap().into_iter().map(Result::unwrap).collect()
	}

	/// Who, why, for how long, and whether it is over.
	fn told(decisions: &[Decision]) -> Vec<(String, &str, Option<u64>, bool)> {
		decisions.iter().map(|d| (d.network.to_string(), d.scenario.as_str(), d.duration, d.over)).collect()
	}

	fn entry(
		network: &str,
		why: &'static str,
		seconds: Option<u64>,
		over: bool,
	) -> (String, &'static str, Option<u64>, bool) {
		(network.to_owned(), why, seconds, over)
	}

	#[test]
	fn fail2bans_log_tells_who_is_banned_and_who_no_longer_is() {
		let said = |text: &str| {
			let line = format!("2026-03-01 12:00:00,351 fail2ban.actions        [35842]: NOTICE  {text}");
			all(fail2ban(line.as_bytes()))
		};
		assert_eq!(told(&said("[sshd] Ban 198.18.66.66")), [entry("198.18.66.66/32", "sshd", None, false)]);
		assert_eq!(
			told(&said("[sshd] Restore Ban 2001:db8:66::66")),
			[entry("2001:db8:66::66/128", "sshd", None, false)]
		);
		assert_eq!(
			told(&said("[nginx-http-auth] Unban 198.18.66.66")),
			[entry("198.18.66.66/32", "nginx-http-auth", None, true)]
		);
		assert_eq!(said("[sshd] 198.18.66.66 already banned"), []);
		assert_eq!(said("[sshd] Flush ticket(s) with nftables"), []);
		let old = all(fail2ban(b"2012-03-01 12:00:00,351 fail2ban.actions: WARNING [ssh] Ban 198.18.66.66"));
		assert_eq!((old[0].scenario.as_str(), old[0].remedy.as_str()), ("ssh", BAN));
		let syslog = all(fail2ban(b"Mar  1 12:00:00 gw fail2ban.actions[99]: NOTICE [sshd] Ban 198.18.66.66"));
		assert_eq!(syslog.len(), 1);
	}

	#[test]
	fn what_an_attacker_got_into_fail2bans_log_bans_nobody() {
		for line in [
			"2026-03-01 12:00:00,351 fail2ban.filter [1]: INFO [sshd] Found 198.18.66.66 - 2026-03-01 12:00:00",
			"2026-03-01 12:00:00,351 fail2ban.filter [1]: INFO fail2ban.actions [1]: NOTICE [sshd] Ban 192.0.2.1",
			"2026-03-01 12:00:00,351 fail2ban.actions [1]: ERROR Failed to execute ban: NOTICE [sshd] Ban 192.0.2.1",
			"2026-03-01 12:00:00,351 fail2ban.actions [1]: NOTICE [sshd] Ban 192.0.2.1 or not",
			"",
		] {
			assert_eq!(all(fail2ban(line.as_bytes())), [], "{line}");
		}
	}

	#[test]
	fn exports_of_fail2ban_are_read() {
		let timed = all(fail2ban(b"198.18.66.66 \t2026-01-25 09:04:39 + 600 = 2026-01-25 09:14:39"));
		assert_eq!(told(&timed), [entry("198.18.66.66/32", "", Some(600), false)]);
		let forever = all(fail2ban(b"198.18.66.66 \t2026-01-25 09:04:39 + -1 = 9999-12-31 23:59:59"));
		assert_eq!(told(&forever), [entry("198.18.66.66/32", "", None, false)]);
		let listed = all(fail2ban(b"198.18.66.66 2001:db8:66::66\n"));
		assert_eq!(listed.len(), 2);
		let mixed = fail2ban(b"198.18.66.66 somebody").unwrap();
		assert!(mixed[0].is_ok() && matches!(mixed[1], Err(AlertError::Address("what is banned"))));
	}

	const ONE: &str = r#"{"duration":"3h59m57.9s","id":1,"origin":"crowdsec","scenario":"crowdsecurity/ssh-bf","scope":"Ip","simulated":false,"type":"ban","value":"198.18.66.66"}"#;

	#[test]
	fn crowdsecs_json_is_read_in_each_of_its_shapes() {
		let expected = [entry("198.18.66.66/32", "crowdsecurity/ssh-bf", Some(14_397), false)];
		for shape in [
			ONE.to_owned(),
			format!("[{ONE}]"),
			format!(r#"[{{"id":7,"events":[],"decisions":[{ONE}]}},{{"id":8,"decisions":null}}]"#),
			format!(r#"{{"id":7,"decisions":[{ONE}]}}"#),
			format!(r#"{{"new":[{ONE}],"deleted":null}}"#),
		] {
			assert_eq!(told(&all(crowdsec(shape.as_bytes()))), expected, "{shape}");
		}
		let deleted = all(crowdsec(format!(r#"{{"deleted":[{ONE}]}}"#).as_bytes()));
		assert!(deleted[0].over);
		for nothing in ["", "null", "[]", r#"{"new":null,"deleted":[]}"#] {
			assert_eq!(all(crowdsec(nothing.as_bytes())), [], "{nothing}");
		}
	}

	#[test]
	fn crowdsecs_csv_is_read_whether_or_not_names_are_quoted() {
		let header = "id,source,ip,reason,action,country,as,events_count,expiration,simulated,alert_id\n";
		assert_eq!(all(crowdsec(header.as_bytes())), []);
		for name in ["64500 EXAMPLE", "\"64500 EXAMPLE, Inc\"", "64500 EXAMPLE, Inc", ""] {
			let line = format!("1,crowdsec,Range:198.18.64.0/18,crowdsecurity/ssh-bf,ban,ZZ,{name},5,3h,true,1");
			let read = all(crowdsec(line.as_bytes()));
			assert_eq!(told(&read), [entry("198.18.64.0/18", "crowdsecurity/ssh-bf", Some(10_800), false)], "{name}");
			assert!(read[0].simulated && read[0].origin == "crowdsec" && read[0].remedy == "ban");
		}
		let six = all(crowdsec(b"2,cscli,Ip:2001:db8:66::66,manual,captcha,ZZ,,0,24h,false,2"));
		assert_eq!((six[0].network.to_string().as_str(), six[0].remedy.as_str()), ("2001:db8:66::66/128", "captcha"));
	}

	#[test]
	fn each_decision_is_refused_by_itself() {
		let country = ONE.replace("\"Ip\"", "\"Country\"").replace("198.18.66.66", "ZZ");
		let nowhere = ONE.replace("198.18.66.66", "198.18.66.666");
		let bare = ONE.replace("\"value\"", "\"values\"");
		let read = crowdsec(format!("[{country},{nowhere},{bare},{ONE}]").as_bytes()).unwrap();
		assert!(matches!(read[0], Err(AlertError::Scope)));
		assert!(matches!(read[1], Err(AlertError::Address("the decision's value"))));
		assert!(matches!(&read[2], Err(AlertError::Json(cause)) if cause.to_string().contains("value")));
		assert!(read[3].is_ok());
	}

	#[test]
	fn what_is_no_decision_is_refused_with_the_cause() {
		let refused = |text: &str| crowdsec(text.as_bytes()).unwrap_err().to_string();
		assert!(refused("{").contains("not a record of this format"));
		assert_eq!(refused(r#"{"new":7}"#), "the list of decisions makes no sense");
		assert_eq!(refused("1,crowdsec"), "the ip is missing");
		assert_eq!(refused("1,crowdsec,198.18.66.66,x,ban,ZZ,,5,3h,false,1"), "the ip makes no sense");
		assert_eq!(refused("1,crowdsec,Ip:198.18.66.66,x,ban,ZZ,,5"), "the expiration is missing");
	}

	#[test]
	fn durations_are_read_as_go_writes_them() {
		for (text, expected) in [
			("3h59m57.9s", Some(14_397)),
			("24h", Some(86_400)),
			("-12m0.5s", Some(-720)),
			("850ms", Some(0)),
			("1m2µs", Some(60)),
			("", None),
			("-", None),
			("5", None),
			("false", None),
			("1.2.3s", None),
			("3 h", None),
			("9223372036854775807h", None),
		] {
			assert_eq!(seconds(text), expected, "{text}");
		}
	}
}
