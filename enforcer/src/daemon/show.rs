//! Answers as text for people: short sentences and tables.

use super::{
	control::{Agreement, Answer, Block, Contact, Disputed, Page, Source, State, Verified, Why},
	observe::history::{Event, Outcome, View},
	status::{SensorStatus, Suspect},
};
use crate::core::overrides::{Override, Verdict};
use humantime_serde::re::humantime::format_duration;
use ringfence_primitives::{Millis, Network};
use std::{fmt::Write, time::Duration};

/// Decisions of the last day that are shown. JSON has all that are kept.
const EVENTS: usize = 20;

/// The answer at `now`, without a line end. What was refused or failed is its cause.
pub fn show(answer: &Answer, now: Millis) -> String {
	let text = match answer {
		Answer::Why(why) => show_why(why, now),
		Answer::List(page) => show_list(page, now),
		Answer::Set { set, replaced, disputed } => show_set(set, replaced.as_ref(), disputed, now),
		Answer::Forgotten { network, was: Some(was) } => {
			format!("{}: no longer {}", plain(network), participle(was.verdict))
		}
		Answer::Forgotten { network, was: None } => {
			format!("{}: neither allowed nor blocked by the household", plain(network))
		}
		Answer::Overrides(overrides) if overrides.is_empty() => "none".into(),
		Answer::Overrides(overrides) => show_overrides(overrides, now),
		Answer::Verified(verified) => show_verified(verified),
		Answer::Contacts(contacts) if contacts.is_empty() => {
			"no device of the home has tried to reach a blocked peer".into()
		}
		Answer::Contacts(contacts) => show_contacts(contacts, now),
		Answer::History(view) => show_history(view, now),
		Answer::Metrics(text) => text.clone(),
		Answer::Sensors { interfaces, suspects } => show_sensors(interfaces, suspects, now),
		Answer::Refused { cause } | Answer::Failed { cause } => cause.clone(),
	};
	text.trim_end().to_owned()
}

/// The blocks of a page. Without any: nothing.
pub fn show_list(page: &Page, now: Millis) -> String {
	blocks_table(&page.blocks, now)
}

fn show_why(why: &Why, now: Millis) -> String {
	let Why { address, state, exempt, blocks, clipped, enforced } = why;
	let mut text = match state {
		State::Blocked if *enforced => format!("{address} is blocked"),
		State::Blocked => format!("{address} would be blocked, but nothing is dropped in this mode"),
		State::Allowed => format!("{address} is let through"),
		State::Protected => format!("{address} is never blocked"),
		State::Free => format!("{address} is not blocked"),
		State::OffList => format!("{address} may not come in: it is not on the owner's list"),
	};
	if let Some(exempt) = exempt {
		// A string takes every write.
		let _ = write!(text, ": {} is {}", plain(&exempt.network), exempt.what);
	}
	if !blocks.is_empty() {
		let heading = match (exempt, state) {
			(Some(_), _) => "but for that it would be blocked by",
			(None, State::Free | State::OffList) => "not in force, since it overlaps what is never blocked:",
			(None, _) => "by",
		};
		let _ = write!(text, "\n{heading}\n{}", blocks_table(blocks, now));
		if *clipped {
			text.push_str("… and more\n");
		}
	}
	text
}

fn show_sensors(interfaces: &[SensorStatus], suspects: &[Suspect], now: Millis) -> String {
	if interfaces.is_empty() {
		return "nothing is captured here: see [capture] in the configuration".into();
	}
	let mut text = format!(
		"{:<15} {:>10} {:>10} {:>8} {:>12} {:>10} {:>10} {:>9} {:>8}\n",
		"INTERFACE", "PACKETS/S", "MBIT/S", "LOOKED", "FRAMES", "LEFT OUT", "DROPPED", "MALFORMED", "FINDINGS"
	);
	for sensor in interfaces {
		let looked = match sensor.listening {
			true => format!("1 in {}", sensor.sampling.max(1)),
			false => "away".into(),
		};
		// A string takes every write.
		let _ = writeln!(
			text,
			"{:<15} {:>10} {:>10.1} {:>8} {:>12} {:>10} {:>10} {:>9} {:>8}",
			sensor.interface,
			sensor.packets_per_second,
			sensor.bits_per_second as f64 / 1e6,
			looked,
			sensor.frames,
			sensor.skipped,
			sensor.dropped,
			sensor.malformed,
			sensor.findings
		);
	}
	for Suspect { what, detector, note, at } in suspects {
		let age = Duration::from_secs(now.saturating_sub(*at) / 1_000);
		let _ = writeln!(text, "suspect: {what}: {detector}, {note}, {} ago", format_duration(age));
	}
	text
}

fn show_set(set: &Override, replaced: Option<&Override>, disputed: &[Disputed], now: Millis) -> String {
	let mut text = format!("{}: {} {}", plain(&set.network), participle(set.verdict), lasting(set.until, now));
	if let Some(replaced) = replaced {
		let _ = write!(text, " (before: {} {})", participle(replaced.verdict), lasting(replaced.until, now));
	}
	for Disputed { target, .. } in disputed {
		let _ = write!(text, "\n{target}: a dispute is on its way");
	}
	text
}

fn show_overrides(overrides: &[Override], now: Millis) -> String {
	let rows = overrides.iter().map(|wish| [plain(&wish.network), wish.verdict.to_string(), left(wish.until, now)]);
	table(["NETWORK", "WISH", "FOR"], rows)
}

fn show_verified(verified: &Verified) -> String {
	let Verified { seq, entries, digest, missing, healed } = verified;
	let chain = match digest {
		Agreement::Same => "the same as the chain's",
		Agreement::Differs => "not the chain's: it is being fetched anew",
		Agreement::Unknown => "not compared: no node has proved the chain's in time",
	};
	let kernel = match (missing, healed) {
		(0, _) => "complete".to_owned(),
		(missing, healed) if missing == healed => format!("lacked {missing}: mended"),
		(missing, healed) => format!("lacked {missing}: {healed} mended"),
	};
	format!("change   {seq}\nblocks   {entries}, {chain}\nkernel   {kernel}")
}

fn show_contacts(contacts: &[Contact], now: Millis) -> String {
	let rows = contacts.iter().map(|contact| {
		let ago = format!("{} ago", span(now.saturating_sub(contact.last)));
		[contact.device.to_string(), contact.peer.to_string(), ago]
	});
	table(["DEVICE", "PEER", "LAST"], rows)
}

fn show_history(view: &View, now: Millis) -> String {
	let mut text = format!(
		"dropped in the last day: {} packets inbound, {} outbound\n",
		view.dropped.inbound, view.dropped.outbound
	);
	let rows = view.events.iter().take(EVENTS).map(|event| {
		let Event { at, verb, what, reason, outcome, .. } = event;
		let outcome = match outcome {
			Outcome::Enforced => "enforced".into(),
			Outcome::PassedOver(cause) => format!("passed over: {cause}"),
			Outcome::Failed(cause) => format!("failed: {cause}"),
		};
		let reason = reason.as_ref().map_or("-".into(), |reason| format!("{}, {}", reason.threat, reason.severity));
		[format!("{} ago", span(now.saturating_sub(*at))), verb.clone(), what.clone(), reason, outcome]
	});
	text.push_str(&table(["WHEN", "DECISION", "ABOUT", "BECAUSE", "OUTCOME"], rows));
	text
}

fn blocks_table(blocks: &[Block], now: Millis) -> String {
	let dash = || "-".to_owned();
	let rows = blocks.iter().map(|block| {
		let threat = block.threat.map_or_else(dash, |threat| threat.to_string());
		let severity = block.severity.map_or_else(dash, |severity| severity.to_string());
		let confidence = block.confidence.map_or_else(dash, |percent| format!("{percent} %"));
		[
			block.target.clone(),
			by(block.source).into(),
			block.action.clone(),
			block.direction.to_string(),
			threat,
			severity,
			confidence,
			left(block.expires_at, now),
		]
	});
	table(["WHAT", "BY", "ACTION", "DIRECTION", "THREAT", "SEVERITY", "SURE", "FOR"], rows)
}

fn by(source: Source) -> &'static str {
	match source {
		Source::Chain => "all providers",
		Source::Tier => "your provider",
		Source::Household => "you",
		Source::Owner => "the configuration",
	}
}

fn participle(verdict: Verdict) -> &'static str {
	match verdict {
		Verdict::Allow => "allowed",
		Verdict::Block => "blocked",
	}
}

/// A single address without its prefix.
fn plain(network: &Network) -> String {
	match network.prefix() == network.address().bits() {
		true => network.address().to_string(),
		false => network.to_string(),
	}
}

/// How long it is until `until`.
fn left(until: Option<Millis>, now: Millis) -> String {
	match until {
		None => "for good".into(),
		Some(until) if until <= now => "over".into(),
		Some(until) => span(until - now),
	}
}

/// The same in a sentence.
fn lasting(until: Option<Millis>, now: Millis) -> String {
	match until {
		Some(until) if until > now => format!("for {}", left(Some(until), now)),
		until => left(until, now),
	}
}

/// A time in its two greatest units: nobody counts the seconds of a week.
fn span(ms: Millis) -> String {
	let seconds = (ms / 1_000).max(1);
	let coarse = match seconds {
		0..3_600 => seconds,
		3_600..86_400 => seconds - seconds % 60,
		_ => seconds - seconds % 3_600,
	};
	format_duration(Duration::from_secs(coarse)).to_string()
}

/// Columns as wide as they must be, with a heading; nothing where there are no rows.
fn table<const N: usize>(heading: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
	let rows: Vec<[String; N]> = rows.collect();
	if rows.is_empty() {
		return String::new();
	}
	let all = || std::iter::once(heading).chain(rows.iter().map(|row| row.each_ref().map(String::as_str)));
	let mut widths = [0_usize; N];
	for row in all() {
		for (width, cell) in widths.iter_mut().zip(row) {
			*width = (*width).max(cell.chars().count());
		}
	}
	let mut text = String::new();
	for row in all() {
		let mut line = String::new();
		for (width, cell) in widths.iter().zip(row) {
			// A string takes every write.
			let _ = write!(line, "{cell:width$}  ");
		}
		text.push_str(line.trim_end());
		text.push('\n');
	}
	text
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::daemon::control::Exempt;

	const NOW: Millis = 1_800_000_000_000;

	fn wish(text: &str, verdict: Verdict, until: Option<Millis>) -> Override {
		Override { network: text.parse().unwrap(), verdict, since: NOW, until }
	}

	fn why(state: State) -> Why {
		let blocks = vec![Block::of_override(&wish("203.0.113.0/24", Verdict::Block, Some(NOW + 90_000)))];
		let address = "203.0.113.9".parse().unwrap();
		Why { address, state, exempt: None, blocks, clipped: false, enforced: true }
	}

	#[test]
	fn a_blocked_address_says_by_whom_and_for_how_long() {
		let text = show(&Answer::Why(why(State::Blocked)), NOW);
		let lines: Vec<&str> = text.lines().collect();
		assert_eq!(lines[0], "203.0.113.9 is blocked");
		assert!(lines[2].starts_with("WHAT"), "{text}");
		assert!(lines[3].starts_with("203.0.113.0/24  you  drop"), "{text}");
		assert!(lines[3].ends_with("1m 30s"), "{text}");
		let canary = Why { enforced: false, ..why(State::Blocked) };
		assert!(show(&Answer::Why(canary), NOW).contains("would be blocked"));
	}

	#[test]
	fn what_lets_an_address_through_is_named() {
		let network = "203.0.113.9".parse().unwrap();
		let exempt = Some(Exempt { network, source: Source::Owner, what: "allowed by the configuration".into() });
		let text = show(&Answer::Why(Why { exempt, clipped: true, ..why(State::Allowed) }), NOW);
		assert!(
			text.starts_with("203.0.113.9 is let through: 203.0.113.9 is allowed by the configuration\nbut for that")
		);
		assert!(text.ends_with("… and more"), "{text}");
	}

	#[test]
	fn wishes_are_said_back() {
		let set = wish("203.0.113.9", Verdict::Allow, Some(NOW + 7 * 86_400_000));
		let replaced = Some(wish("203.0.113.9", Verdict::Block, None));
		let disputed = vec![Disputed { target: "203.0.113.0/24".into(), id: [1; 32] }];
		let text = show(&Answer::Set { set, replaced, disputed }, NOW);
		let expected =
			"203.0.113.9: allowed for 7days (before: blocked for good)\n203.0.113.0/24: a dispute is on its way";
		assert_eq!(text, expected);
		let forgotten = Answer::Forgotten { network: set.network, was: Some(set) };
		assert_eq!(show(&forgotten, NOW), "203.0.113.9: no longer allowed");
	}

	#[test]
	fn columns_are_as_wide_as_their_widest_cell() {
		let overrides = vec![wish("2001:db8::/32", Verdict::Allow, None), wish("192.0.2.1", Verdict::Block, Some(NOW))];
		let text = show(&Answer::Overrides(overrides), NOW);
		let expected = "NETWORK        WISH   FOR\n2001:db8::/32  allow  for good\n192.0.2.1      block  over";
		assert_eq!(text, expected);
		assert_eq!(show(&Answer::Overrides(Vec::new()), NOW), "none");
	}

	#[test]
	fn a_comparison_says_what_was_mended() {
		let verified =
			|digest, missing, healed| Answer::Verified(Verified { seq: 7, entries: 9, digest, missing, healed });
		assert!(show(&verified(Agreement::Same, 0, 0), NOW).ends_with("complete"));
		assert!(show(&verified(Agreement::Same, 3, 3), NOW).ends_with("lacked 3: mended"));
		assert!(show(&verified(Agreement::Differs, 3, 1), NOW).contains("fetched anew"));
		assert!(show(&verified(Agreement::Unknown, 3, 1), NOW).ends_with("lacked 3: 1 mended"));
	}

	#[test]
	fn times_are_told_in_two_units() {
		assert_eq!(span(0), "1s");
		assert_eq!(span(61_999), "1m 1s");
		assert_eq!(span(7_261_000), "2h 1m");
		assert_eq!(span(90_061_000), "1day 1h");
	}
}
