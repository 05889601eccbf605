//! The command line.

use super::{
	actions::{self, ActionError, Recipient, Subject},
	config::{self, Config, ConfigError},
	firewall::{Exempt, Firewall, FirewallError},
	key, now_ms,
	run::{self, RunError},
	state::{self, Journal, StateError},
	status::{self, StatusError},
	tail::directory_of,
};
use crate::core::{
	hex::{self, HexError},
	list,
	report::Settings,
};
use clap::{Parser, Subcommand, ValueEnum};
use ringfence_primitives::{
	Action, Confidence, Digest, Direction, Lifetime, Note, Severity, Terms, ThreatClass, Tlp, Transport,
};
use serde::de::{
	value::{Error as ValueError, StrDeserializer},
	DeserializeOwned,
};
use std::{
	ffi::CString,
	io::{self, IsTerminal, Write},
	os::unix::ffi::OsStrExt,
	path::{Path, PathBuf},
	process::ExitCode,
};
use tracing_subscriber::EnvFilter;

/// Keeps the kernel's firewall in step with what the members of a Ringfence chain decided, and reports to them.
#[derive(Parser)]
#[command(name = "ringfence-enforcer", version, after_help = EXIT_CODES)]
struct Cli {
	#[command(subcommand)]
	command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  fine
  1  the configuration or the environment is at fault; the message says how
  2  the command line is at fault
  3  status: the enforcer is not running
  4  status: the enforcer is running but not connected, or behind the chain";

const FAULT: u8 = 1;
const NOT_RUNNING: u8 = 3;
const STALE: u8 = 4;

#[derive(Subcommand)]
enum Command {
	/// Run until SIGTERM or SIGINT; the firewall stays in force after that.
	Run {
		#[command(flatten)]
		config: ConfigFile,
		/// How to write the log, to standard error. RUST_LOG sets the level; the default is info.
		#[arg(long, value_enum, default_value_t = LogFormat::Json)]
		log_format: LogFormat,
	},
	/// Validate everything that can be validated without touching anything: file, key, directories.
	Check {
		#[command(flatten)]
		config: ConfigFile,
	},
	/// Show what a running enforcer is doing, and what its firewall has done.
	Status {
		#[command(flatten)]
		config: ConfigFile,
		/// Print JSON.
		#[arg(long)]
		json: bool,
	},
	/// Remove the firewall's table and forget the chain: nothing is blocked any more. The enforcer must not be running.
	Flush {
		#[command(flatten)]
		config: ConfigFile,
	},
	/// An ISP: what subscribers sent that is left to a person, and what to do about it.
	Inbox {
		#[command(subcommand)]
		command: InboxCommand,
	},
	/// Print the public key that envelopes to this account's key file are sealed to.
	EnvelopeKey {
		#[command(flatten)]
		config: ConfigFile,
		/// Name it, or another KEY of the member's, on the chain; needs the owner's key.
		#[arg(long, value_name = "KEY", num_args = 0..=1, value_parser = digest)]
		set: Option<Option<Digest>>,
	},
	/// An ISP: the key that its subscribers read its announcements with.
	TierKey {
		#[command(subcommand)]
		command: TierKeyCommand,
	},
	/// A household: which networks may come in.
	Whitelist {
		#[command(subcommand)]
		command: WhitelistCommand,
	},
	/// An ISP or a researcher: report everything on a list, in the open.
	Report {
		#[command(flatten)]
		config: ConfigFile,
		#[command(flatten)]
		terms: ListTerms,
		/// The protocol of lines `ADDRESS:PORT` that name none: tcp, udp, sctp.
		#[arg(long, value_parser = transport)]
		protocol: Option<Transport>,
		/// An address, a network or `PROTOCOL ADDRESS:PORT` a line, 100,000 at most; what follows a # or a ; is left out.
		/// - is the standard input.
		#[arg(value_name = "FILE")]
		file: PathBuf,
	},
	/// Say that an indicator should not be active: a household to its ISP, sealed, everybody else in the open.
	Dispute {
		#[command(flatten)]
		config: ConfigFile,
		/// 0xID, or the indicator as it was reported: an address, a network or `PROTOCOL ADDRESS:PORT`.
		#[arg(value_name = "ID_OR_ADDRESS")]
		subject: Subject,
	},
}

/// What a list is reported under. What is not given is as [reporting] says.
#[derive(clap::Args)]
struct ListTerms {
	/// What it is known for: scan, brute-force, exploit, malware, botnet, command-and-control, denial-of-service,
	/// amplification, phishing, spam, other.
	#[arg(long, default_value = "other", value_parser = named::<ThreatClass>)]
	threat: ThreatClass,
	/// low, medium, high, critical.
	#[arg(long, default_value = "medium", value_parser = named::<Severity>)]
	severity: Severity,
	/// Percent.
	#[arg(long, value_parser = confidence)]
	confidence: Option<Confidence>,
	/// For how long the indicators are to be active, such as 12h: 1min to 30days.
	#[arg(long, value_parser = lifetime)]
	lifetime: Option<Lifetime>,
	/// What is to be done.
	#[arg(long, value_enum)]
	action: Option<ListAction>,
	/// Which packets are meant: inbound (from the peer), outbound (to it), both.
	#[arg(long, value_parser = named::<Direction>)]
	direction: Option<Direction>,
	/// Who may be told: clear, green, amber, amber+strict.
	#[arg(long, value_parser = named::<Tlp>)]
	tlp: Option<Tlp>,
	/// A remark for those who vote, of 128 bytes at most: everybody can read it.
	#[arg(long, default_value = "", hide_default_value = true, value_parser = note)]
	note: Note,
}

impl ListTerms {
	fn terms(self, settings: &Settings) -> Terms {
		let action = self.action.map(|action| match action {
			ListAction::Drop => Action::Drop,
			ListAction::Watch => Action::Watch,
		});
		Terms {
			threat: self.threat,
			severity: self.severity,
			confidence: self.confidence.unwrap_or(settings.confidence),
			direction: self.direction.unwrap_or(settings.direction),
			action: action.unwrap_or(settings.action),
			tlp: self.tlp.unwrap_or(settings.tlp),
			lifetime: self.lifetime.unwrap_or(settings.lifetime),
			evidence: None,
			note: self.note,
		}
	}
}

#[derive(Clone, Copy, ValueEnum)]
enum ListAction {
	/// Drop the packets.
	Drop,
	/// Only count them.
	Watch,
}

#[derive(Subcommand)]
enum InboxCommand {
	/// List the letters.
	List {
		#[command(flatten)]
		config: ConfigFile,
	},
	/// Do nothing about a letter, and tell the household so.
	Dismiss {
		#[command(flatten)]
		letter: LetterName,
	},
	/// Do what a letter asks for, for the own subscribers only.
	Act {
		#[command(flatten)]
		letter: LetterName,
	},
	/// Report, or dispute, what a letter is about, as the ISP's own word.
	Promote {
		#[command(flatten)]
		letter: LetterName,
	},
}

#[derive(clap::Args)]
struct LetterName {
	#[command(flatten)]
	config: ConfigFile,
	/// The letter, as `inbox list` names it.
	#[arg(value_name = "HASH", value_parser = digest)]
	hash: Digest,
}

#[derive(Subcommand)]
enum TierKeyCommand {
	/// Make a new key and send it to these subscribers: whoever is left out reads nothing more.
	New {
		#[command(flatten)]
		config: ConfigFile,
		/// Its number, where earlier keys were lost with the state directory. The default is one more than the last.
		#[arg(long)]
		number: Option<u32>,
		/// 0xMEMBER, or 0xMEMBER:0xKEY to trust nobody for its envelope key.
		#[arg(value_name = "SUBSCRIBER")]
		recipients: Vec<Recipient>,
	},
	/// Send the newest key to these subscribers.
	Send {
		#[command(flatten)]
		config: ConfigFile,
		/// 0xMEMBER, or 0xMEMBER:0xKEY to trust nobody for its envelope key.
		#[arg(value_name = "SUBSCRIBER", required = true)]
		recipients: Vec<Recipient>,
	},
}

#[derive(Subcommand)]
enum WhitelistCommand {
	/// Tell the own gateway; needs the owner's key.
	Set {
		#[command(flatten)]
		config: ConfigFile,
		/// One network a line, 48 at most; what follows a # is left out.
		#[arg(value_name = "FILE")]
		file: PathBuf,
		/// The gateway's envelope key. The default is the one that the chain names.
		#[arg(long, value_name = "KEY", value_parser = digest)]
		gateway_key: Option<Digest>,
	},
	/// Show the list that this gateway has received.
	Show {
		#[command(flatten)]
		config: ConfigFile,
	},
}

fn digest(text: &str) -> Result<Digest, HexError> {
	hex::digest(text)
}

/// What the configuration writes in the same words.
fn named<T: DeserializeOwned>(text: &str) -> Result<T, ValueError> {
	T::deserialize(StrDeserializer::new(text))
}

fn transport(text: &str) -> Result<Transport, &'static str> {
	list::transport(text).ok_or("tcp, udp or sctp")
}

fn confidence(text: &str) -> Result<Confidence, &'static str> {
	text.parse().ok().and_then(Confidence::new).ok_or("0 to 100")
}

fn lifetime(text: &str) -> Result<Lifetime, &'static str> {
	let duration = humantime_serde::re::humantime::parse_duration(text).ok();
	duration.and_then(config::lifetime).ok_or(config::LIFETIMES)
}

fn note(text: &str) -> Result<Note, &'static str> {
	let note = Note::truncated(text);
	if note.as_str() != text {
		return Err("128 bytes at most, without control characters");
	}
	Ok(note)
}

#[derive(clap::Args)]
struct ConfigFile {
	/// The configuration file.
	#[arg(long, value_name = "FILE")]
	config: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
	/// Lines for people.
	Text,
	/// One JSON object a line.
	Json,
}

/// What a command failed on.
#[derive(Debug, thiserror::Error)]
enum CliError {
	#[error("{}: {source}", .path.display())]
	Config { path: PathBuf, source: ConfigError },
	#[error("{}", .0.join("\n"))]
	Environment(Vec<String>),
	#[error(transparent)]
	Run(#[from] RunError),
	#[error("state-dir: {0}")]
	State(#[from] StateError),
	#[error(transparent)]
	Status(#[from] StatusError),
	#[error("firewall: {0}")]
	Firewall(#[from] FirewallError),
	#[error(transparent)]
	Action(#[from] ActionError),
}

/// Does what the command line says.
pub fn main() -> ExitCode {
	let result = match Cli::parse().command {
		Command::Run { config, log_format } => run(&config, log_format),
		Command::Check { config } => check(&config),
		Command::Status { config, json } => show_status(&config, json),
		Command::Flush { config } => flush(&config),
		Command::Inbox { command } => match command {
			InboxCommand::List { config } => act(&config, actions::inbox_list),
			InboxCommand::Dismiss { letter } => letter.act(actions::inbox_dismiss),
			InboxCommand::Act { letter } => letter.act(actions::inbox_act),
			InboxCommand::Promote { letter } => letter.act(actions::inbox_promote),
		},
		Command::EnvelopeKey { config, set: None } => act(&config, actions::envelope_key),
		Command::EnvelopeKey { config, set: Some(key) } => act(&config, |c| actions::set_envelope_key(c, key)),
		Command::TierKey { command } => match command {
			TierKeyCommand::New { config, number, recipients } => {
				act(&config, |c| actions::tier_key_new(c, number, &recipients))
			}
			TierKeyCommand::Send { config, recipients } => act(&config, |c| actions::tier_key_send(c, &recipients)),
		},
		Command::Whitelist { command } => match command {
			WhitelistCommand::Set { config, file, gateway_key } => {
				act(&config, |c| actions::whitelist_set(c, &file, gateway_key))
			}
			WhitelistCommand::Show { config } => act(&config, actions::whitelist_show),
		},
		Command::Report { config, terms, protocol, file } => act(&config, |config| {
			let terms = terms.terms(&config.reporting);
			actions::report_list(config, &file, protocol, &terms, &mut tell)
		}),
		Command::Dispute { config, subject } => act(&config, |config| actions::dispute(config, &subject)),
	};
	result.unwrap_or_else(|error| {
		// Nobody is left to tell where standard error is gone.
		let _ = writeln!(io::stderr(), "ringfence-enforcer: {error}");
		ExitCode::from(FAULT)
	})
}

impl ConfigFile {
	fn load(&self) -> Result<Config, CliError> {
		Config::load(&self.config).map_err(|source| CliError::Config { path: self.config.clone(), source })
	}
}

/// Does one thing and prints what came of it.
fn act(file: &ConfigFile, action: impl FnOnce(&Config) -> Result<String, ActionError>) -> Result<ExitCode, CliError> {
	say(action(&file.load()?)?);
	Ok(ExitCode::SUCCESS)
}

impl LetterName {
	fn act(self, action: fn(&Config, &Digest) -> Result<String, ActionError>) -> Result<ExitCode, CliError> {
		act(&self.config, |config| action(config, &self.hash))
	}
}

fn say(text: impl std::fmt::Display) {
	// A reader that has gone, such as `head`, wants no more.
	let _ = writeln!(io::stdout(), "{text}");
}

/// Says how far something is.
fn tell(text: &str) {
	// Nobody is left to tell where standard error is gone.
	let _ = writeln!(io::stderr(), "{text}");
}

fn run(config: &ConfigFile, log_format: LogFormat) -> Result<ExitCode, CliError> {
	let config = config.load()?;
	let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,jsonrpsee=warn"));
	let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
	match log_format {
		LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).init(),
		LogFormat::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
	}
	run::run(config)?;
	Ok(ExitCode::SUCCESS)
}

fn check(file: &ConfigFile) -> Result<ExitCode, CliError> {
	let faults = environment_faults(&file.load()?);
	if !faults.is_empty() {
		return Err(CliError::Environment(faults));
	}
	say(format_args!("{}: fine", file.config.display()));
	Ok(ExitCode::SUCCESS)
}

/// What would keep `run` from starting, each with its key. Changes nothing.
fn environment_faults(config: &Config) -> Vec<String> {
	let mut faults = Vec::new();
	if let Some(Err(error)) = config.key_file.as_deref().map(key::load) {
		faults.push(format!("account.key-file: {error}"));
	}
	// What is missing is made, if the nearest directory that exists allows it.
	let existing = config.state_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
	if let Err(error) = accessible_directory(existing, libc::W_OK | libc::X_OK) {
		faults.push(format!("state-dir: {}: {error}", existing.display()));
	}
	if let Some(eve) = &config.eve {
		let directory = directory_of(&eve.path);
		if let Err(error) = accessible_directory(&directory, libc::R_OK | libc::X_OK) {
			faults.push(format!("eve.path: {}: {error}", directory.display()));
		} else if eve.path.exists() {
			let fault = match access(&eve.path, libc::R_OK) {
				Ok(()) if !eve.path.is_file() => Some("not a regular file".into()),
				Ok(()) => None,
				Err(error) => Some(error.to_string()),
			};
			faults.extend(fault.map(|fault| format!("eve.path: {}: {fault}", eve.path.display())));
		}
	}
	faults
}

fn accessible_directory(path: &Path, mode: libc::c_int) -> io::Result<()> {
	if !std::fs::metadata(path)?.is_dir() {
		return Err(io::ErrorKind::NotADirectory.into());
	}
	access(path, mode)
}

fn access(path: &Path, mode: libc::c_int) -> io::Result<()> {
	let path = CString::new(path.as_os_str().as_bytes())?;
	// SAFETY: the string ends with a zero and outlives the call, which keeps no reference to it.
	match unsafe { libc::access(path.as_ptr(), mode) } {
		0 => Ok(()),
		_ => Err(io::Error::last_os_error()),
	}
}

fn show_status(file: &ConfigFile, json: bool) -> Result<ExitCode, CliError> {
	let config = file.load()?;
	if !state::is_running(&config.state_dir)? {
		say(if json { r#"{"running":false}"# } else { "not running" });
		return Ok(ExitCode::from(NOT_RUNNING));
	}
	let status = status::read(&status::path(&config.state_dir))?;
	let stale = status.stale(now_ms());
	if json {
		// Numbers and text always serialize, to an object.
		let mut value = serde_json::to_value(&status).unwrap_or_default();
		value["running"] = true.into();
		value["stale"] = stale.into();
		say(value);
	} else {
		say(format_args!("running    {}\n{status}", stale.map_or("and up to date".into(), |why| format!("but {why}"))));
	}
	Ok(if stale.is_some() { ExitCode::from(STALE) } else { ExitCode::SUCCESS })
}

fn flush(file: &ConfigFile) -> Result<ExitCode, CliError> {
	let config = file.load()?;
	let journal = Journal::open(&config.state_dir)?;
	if config.enforce {
		// Opening gets hold of the table whatever state it is in: one that is not ours by its mark is replaced first.
		let (firewall, _) = Firewall::open(journal.state.token, &Exempt::default())?;
		firewall.remove()?;
	}
	journal.forget()?;
	say("nothing is blocked any more");
	Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn the_command_line_is_consistent() {
		use clap::CommandFactory;
		Cli::command().debug_assert();
	}

	/// The terms that a command line asks for, with the shipped defaults.
	fn terms(options: &[&str]) -> Result<Terms, clap::Error> {
		let config = Config::parse("state-dir = \"s\"\nchain.endpoints = [\"ws://[::1]:1\"]\n").unwrap();
		let words = ["ringfence-enforcer", "report", "--config", "c"].iter().chain(options).chain(&["-"]);
		match Cli::try_parse_from(words)?.command {
			Command::Report { terms, file, .. } => {
				assert_eq!(file, Path::new("-"));
				Ok(terms.terms(&config.reporting))
			}
			_ => panic!("another command"),
		}
	}

	#[test]
	fn a_list_is_reported_as_the_configuration_says_unless_told_otherwise() {
		let plain = terms(&[]).unwrap();
		assert_eq!((plain.threat, plain.severity, plain.confidence.get()), (ThreatClass::Other, Severity::Medium, 80));
		assert_eq!((plain.action, plain.direction, plain.tlp), (Action::Drop, Direction::Both, Tlp::Green));
		assert_eq!((plain.lifetime.get(), plain.evidence, plain.note.as_str()), (86_400, None, ""));
		let options = "--threat botnet --severity critical --confidence 100 --lifetime 90min --action watch \
			--direction outbound --tlp amber+strict --note Mirai";
		let told = terms(&options.split_whitespace().collect::<Vec<_>>()).unwrap();
		assert_eq!((told.threat, told.severity, told.confidence.get()), (ThreatClass::Botnet, Severity::Critical, 100));
		assert_eq!((told.action, told.direction, told.tlp), (Action::Watch, Direction::Outbound, Tlp::AmberStrict));
		assert_eq!((told.lifetime.get(), told.note.as_str()), (5_400, "Mirai"));
	}

	#[test]
	fn terms_out_of_their_bounds_are_refused() {
		let long = "n".repeat(129);
		for (option, value) in [
			("--threat", "virus"),
			("--severity", "fatal"),
			("--confidence", "101"),
			("--lifetime", "59s"),
			("--lifetime", "31days"),
			("--lifetime", "60500ms"),
			("--lifetime", "3600"),
			("--action", "rate-limit"),
			("--direction", "in"),
			("--tlp", "red"),
			("--note", "two\nlines"),
			("--note", &long),
			("--protocol", "icmp"),
		] {
			assert!(terms(&[option, value]).is_err(), "{option} {value}");
		}
	}

	#[test]
	fn faults_of_the_environment_name_their_key() {
		let directory = tempfile::tempdir().unwrap();
		let path = |name: &str| directory.path().join(name).display().to_string();
		let text = format!(
			"state-dir = {:?}\nchain.endpoints = [\"ws://[::1]:1\"]\naccount.key-file = {:?}\n\
			eve = {{ path = {:?}, home = [\"203.0.113.0/24\"] }}\n",
			path("file/state"),
			path("key"),
			path("missing/eve.json"),
		);
		let config = Config::parse(&text).unwrap();
		std::fs::write(path("file"), "").unwrap();
		let faults = environment_faults(&config);
		let keys: Vec<_> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
		assert_eq!(keys, ["account.key-file", "state-dir", "eve.path"], "{faults:?}");
		assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "a check touches nothing");
	}
}
