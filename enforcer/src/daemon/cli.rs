//! The command line.

use super::{
	actions::{self, ActionError, Recipient, Subject},
	config::{self, Config, ConfigError, Place},
	control::{Agreement, Answer, Filter, Request, Source, State, Verified, MAX_PAGE, OVERRIDE_MS},
	evidence::Archive,
	firewall::{Firewall, FirewallError, Local},
	flood::{self, Limit},
	key, now_ms, observe,
	people::{self, Origin, PeopleError},
	popular,
	replay::{self, ReplayError},
	run::{self, RunError},
	show,
	state::{self, Journal, StateError},
	status::{self, StatusError},
	tail::directory_of,
	user::{self, Keep, UserError},
};
use crate::core::{
	hex::{self, HexError},
	list::{self, Layout},
	report::Settings,
};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;
use ringfence_primitives::{
	Action, Address, Confidence, Digest, Direction, Lifetime, Millis, Network, Note, Severity, Terms, ThreatClass, Tlp,
	Transport,
};
use serde::de::{
	value::{Error as ValueError, StrDeserializer},
	DeserializeOwned,
};
use std::{
	ffi::CString,
	io::{self, IsTerminal, Write},
	os::unix::{ffi::OsStrExt, fs::FileTypeExt},
	path::{Path, PathBuf},
	process::ExitCode,
};
use tracing_subscriber::{fmt, layer::SubscriberExt, util::SubscriberInitExt, EnvFilter};

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
  3  the enforcer is not running, and this needs one that is
  4  status: the enforcer is running but not connected, or behind the chain
  5  refused: it cannot be done, such as blocking what must never be blocked
  6  verify: something differed; what could be mended is
  7  verify: no node has proved the chain's digest in time
  10 why: the address is blocked";

/// Where the configuration is.
const DEFAULT_CONFIG: &str = "/etc/ringfence/ringfence.toml";
/// Its name, also in completions.
const PROGRAM: &str = "ringfence-enforcer";

const FAULT: u8 = 1;
const NOT_RUNNING: u8 = 3;
const STALE: u8 = 4;
const REFUSED: u8 = 5;
const DIFFERS: u8 = 6;
const UNKNOWN: u8 = 7;
const BLOCKED: u8 = 10;

#[derive(Subcommand)]
enum Command {
	/// Run until SIGTERM or SIGINT; the firewall stays in force after that.
	Run {
		#[command(flatten)]
		config: ConfigFile,
		/// How to write the log, to standard error. RUST_LOG sets the level; the default is info.
		#[arg(long, value_enum, default_value_t = LogFormat::Json)]
		log_format: LogFormat,
		/// Lines of one kind a minute at most; what is left out is counted. 0: no limit.
		#[arg(long, value_name = "LINES", default_value_t = flood::PER_MINUTE)]
		log_limit: u32,
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
	/// List what is blocked: by the chain, by the own provider, by the household.
	List {
		#[command(flatten)]
		asking: Asking,
		/// Only what overlaps this address or network.
		#[arg(long, value_name = "NETWORK")]
		within: Option<Network>,
		/// Only what these have decided: chain, tier, household.
		#[arg(long, value_parser = named::<Source>)]
		source: Option<Source>,
		/// Blocks at most; 0: all. With --json each is an object on a line of its own.
		#[arg(long, value_name = "BLOCKS", default_value_t = 100)]
		limit: u64,
	},
	/// Say what happens to an address' packets, and why.
	Why {
		#[command(flatten)]
		asking: Asking,
		/// The address.
		address: Address,
	},
	/// Let a peer through, whatever others say. It takes effect at once.
	Allow {
		#[command(flatten)]
		asking: Asking,
		/// An address or a network.
		#[arg(value_name = "ADDRESS")]
		network: Network,
		/// For how long, such as 7d. The default is until it is forgotten.
		#[arg(long = "for", value_name = "TIME", value_parser = override_ms)]
		for_ms: Option<Millis>,
		/// Also tell those who decided to block it that they are wrong: a household its provider, sealed, everybody else in
		/// the open. For one address; needs [account].
		#[arg(long)]
		dispute: bool,
	},
	/// Keep a peer out, in both directions. It takes effect at once. What the home needs is refused: its own addresses and
	/// networks, its router, name servers, time servers and nodes.
	Block {
		#[command(flatten)]
		asking: Asking,
		/// An address or a network.
		#[arg(value_name = "ADDRESS")]
		network: Network,
		/// For how long, such as 7d. The default is until it is forgotten.
		#[arg(long = "for", value_name = "TIME", value_parser = override_ms)]
		for_ms: Option<Millis>,
	},
	/// Take back what `allow` or `block` said about exactly this address or network.
	Forget {
		#[command(flatten)]
		asking: Asking,
		/// An address or a network.
		#[arg(value_name = "ADDRESS")]
		network: Network,
	},
	/// List what `allow` and `block` have said.
	Overrides {
		#[command(flatten)]
		asking: Asking,
	},
	/// Compare what is remembered with the chain, and the kernel with what is remembered; mend what differs.
	Verify {
		#[command(flatten)]
		asking: Asking,
	},
	/// List which device of the home tried to reach a blocked peer.
	Contacts {
		#[command(flatten)]
		asking: Asking,
	},
	/// Show the last day: what was dropped, and what was decided.
	History {
		#[command(flatten)]
		asking: Asking,
	},
	/// Print the metrics of a running enforcer as Prometheus reads them.
	Metrics {
		#[command(flatten)]
		config: ConfigFile,
	},
	/// Show what is captured, by interface, and which devices of the home do harm.
	Sensors {
		#[command(flatten)]
		asking: Asking,
		/// Again every second, until interrupted.
		#[arg(long)]
		watch: bool,
	},
	/// Run the detectors over recorded packets, and print what they find. Nothing is reported.
	Replay {
		/// A pcap or pcapng file.
		#[arg(value_name = "FILE")]
		file: PathBuf,
		/// The networks that are defended. Without any: those in [sensor] of the configuration.
		#[arg(long, value_name = "NETWORK")]
		home: Vec<Network>,
		/// The configuration file, for [sensor]; without it and with --home, detectors are as they are by themselves.
		#[arg(long, value_name = "FILE")]
		config: Option<PathBuf>,
		/// Print JSON.
		#[arg(long)]
		json: bool,
	},
	/// Print the evidence that a report names by its hash, as it was kept.
	Evidence {
		#[command(flatten)]
		config: ConfigFile,
		/// The hash, as in the report.
		#[arg(value_name = "HASH", value_parser = digest)]
		hash: Digest,
	},
	/// Print the completions for a shell.
	Completions {
		/// The shell.
		shell: Shell,
	},
	/// Print the manual page, as man reads it.
	Man,
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
		/// How the list is written.
		#[arg(long, value_enum, default_value_t)]
		format: ListFormat,
		/// The list is CSV, and this is the name of the column, by its header.
		#[arg(long, value_name = "NAME", conflicts_with = "format")]
		column: Option<String>,
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

#[derive(Clone, Copy, Default, ValueEnum)]
enum ListFormat {
	/// One indicator a line.
	#[default]
	Plain,
	/// Comma-separated values: the first field that looks like an indicator.
	Csv,
	/// Addresses, services and URLs mixed with names and paths, which are skipped; ADDRESS:PORT is TCP.
	Trails,
	/// fail2ban's log, or what `fail2ban-client get JAIL banip` prints.
	Fail2ban,
	/// What `cscli decisions list` prints with -o json or -o raw.
	Crowdsec,
}

impl ListFormat {
	fn layout(self, column: Option<String>) -> Layout {
		match self {
			_ if column.is_some() => Layout::Csv { column },
			Self::Plain => Layout::Plain,
			Self::Csv => Layout::Csv { column },
			Self::Trails => Layout::Trails,
			Self::Fail2ban => Layout::Fail2ban,
			Self::Crowdsec => Layout::Crowdsec,
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

fn override_ms(text: &str) -> Result<Millis, &'static str> {
	let duration = humantime_serde::re::humantime::parse_duration(text).ok();
	let ms = duration.and_then(|duration| Millis::try_from(duration.as_millis()).ok());
	ms.filter(|ms| OVERRIDE_MS.contains(ms)).ok_or("a time such as 12h or 7d: 1 second to 10 years")
}

#[derive(clap::Args)]
struct ConfigFile {
	/// The configuration file.
	#[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
	config: PathBuf,
}

/// How a question is asked and its answer printed.
#[derive(clap::Args)]
struct Asking {
	#[command(flatten)]
	config: ConfigFile,
	/// Print JSON.
	#[arg(long)]
	json: bool,
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
	#[error(transparent)]
	People(#[from] PeopleError),
	#[error(transparent)]
	User(#[from] UserError),
	#[error("{0}")]
	Refused(String),
	#[error("{0}")]
	Failed(String),
	#[error(transparent)]
	Replay(#[from] ReplayError),
	#[error("cannot make the manual page: {0}")]
	Man(io::Error),
}

impl CliError {
	const fn code(&self) -> u8 {
		match self {
			Self::People(PeopleError::NotRunning) => NOT_RUNNING,
			Self::Refused(_) => REFUSED,
			_ => FAULT,
		}
	}
}

/// Does what the command line says.
pub fn main() -> ExitCode {
	let result = match Cli::parse().command {
		Command::Run { config, log_format, log_limit } => run(&config, log_format, log_limit),
		Command::Check { config } => check(&config),
		Command::Status { config, json } => show_status(&config, json),
		Command::List { asking, within, source, limit } => list(&asking, Filter { within, source }, limit),
		Command::Why { asking, address } => put(&asking, &Request::Why { address }),
		Command::Allow { asking, network, for_ms, dispute } => {
			put(&asking, &Request::Allow { network, for_ms, dispute })
		}
		Command::Block { asking, network, for_ms } => put(&asking, &Request::Block { network, for_ms }),
		Command::Forget { asking, network } => put(&asking, &Request::Forget { network }),
		Command::Overrides { asking } => put(&asking, &Request::Overrides),
		Command::Verify { asking } => put(&asking, &Request::Verify),
		Command::Contacts { asking } => put(&asking, &Request::Contacts),
		Command::History { asking } => put(&asking, &Request::History),
		Command::Metrics { config } => put(&Asking { config, json: false }, &Request::Metrics),
		Command::Sensors { asking, watch } => sensors(&asking, watch),
		Command::Replay { file, home, config, json } => replay_file(&file, &home, config, json),
		Command::Evidence { config, hash } => evidence(&config, &hash),
		Command::Completions { shell } => completions(shell),
		Command::Man => man(),
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
		Command::Report { config, terms, protocol, format, column, file } => act(&config, |config| {
			let terms = terms.terms(&config.reporting);
			actions::report_list(config, &file, &format.layout(column), protocol, &terms, &mut tell)
		}),
		Command::Dispute { config, subject } => act(&config, |config| actions::dispute(config, &subject)),
	};
	result.unwrap_or_else(|error| {
		// Nobody is left to tell where standard error is gone.
		let _ = writeln!(io::stderr(), "{PROGRAM}: {error}");
		ExitCode::from(error.code())
	})
}

impl ConfigFile {
	/// Reads the file and becomes the user that the state belongs to.
	fn load(&self) -> Result<Config, CliError> {
		self.load_to(Keep::Person)
	}

	fn load_to(&self, keep: Keep) -> Result<Config, CliError> {
		let config =
			Config::load(&self.config).map_err(|source| CliError::Config { path: self.config.clone(), source })?;
		user::step_down(&config.state_dir, keep)?;
		Ok(config)
	}
}

/// Asks one thing and prints the answer.
fn put(asking: &Asking, request: &Request) -> Result<ExitCode, CliError> {
	let answer = ask(&asking.config.load()?, request, true)?;
	match asking.json {
		true => say(json(&answer)),
		false => say(show::show(&answer, now_ms())),
	}
	Ok(code(&answer))
}

/// The answer. `first`: the person has not been told yet who gives it.
fn ask(config: &Config, request: &Request, first: bool) -> Result<Answer, CliError> {
	let (answer, origin) = people::ask(config, request)?;
	if first && origin == Origin::Left {
		tell("the enforcer is not running: this is what it left behind");
	}
	match answer {
		Answer::Refused { cause } => Err(CliError::Refused(cause)),
		Answer::Failed { cause } => Err(CliError::Failed(cause)),
		answer => Ok(answer),
	}
}

/// The answer without the word that says to what.
fn json(answer: &Answer) -> serde_json::Value {
	// Numbers and text always serialize, to an object with one key.
	match serde_json::to_value(answer).unwrap_or_default() {
		serde_json::Value::Object(object) => object.into_iter().next().map(|(_, value)| value).unwrap_or_default(),
		value => value,
	}
}

fn code(answer: &Answer) -> ExitCode {
	ExitCode::from(match answer {
		Answer::Why(why) if why.state == State::Blocked => BLOCKED,
		Answer::Verified(Verified { digest, missing, .. }) => match (digest, missing) {
			(Agreement::Differs, _) | (_, 1..) => DIFFERS,
			(Agreement::Unknown, 0) => UNKNOWN,
			(Agreement::Same, 0) => 0,
		},
		_ => 0,
	})
}

/// Prints a page after the other.
fn list(asking: &Asking, filter: Filter, limit: u64) -> Result<ExitCode, CliError> {
	let config = asking.config.load()?;
	let mut room = if limit == 0 { u64::MAX } else { limit };
	let (mut after, mut told) = (None, false);
	loop {
		// At most MAX_PAGE, so it fits.
		let limit = room.min(MAX_PAGE.into()) as u16;
		let mut page = match ask(&config, &Request::List { after, limit, filter }, after.is_none())? {
			Answer::List(page) => page,
			other => return Err(CliError::Failed(format!("the enforcer answered something else: {}", json(&other)))),
		};
		// The first page brings the tier's and the household's along, however many they are.
		let brought = page.blocks.len();
		page.blocks.truncate(usize::try_from(room).unwrap_or(usize::MAX));
		let clipped = page.blocks.len() < brought;
		room = room.saturating_sub(page.blocks.len() as u64);
		if asking.json {
			for block in &page.blocks {
				// Numbers and text always serialize.
				say(serde_json::to_string(block).unwrap_or_default());
			}
		} else if !page.blocks.is_empty() {
			say(show::show_list(&page, now_ms()).trim_end());
			told = true;
		}
		match page.next {
			Some(next) if room > 0 => after = Some(next),
			next => {
				if !asking.json && !told {
					say("nothing");
				} else if clipped || next.is_some() {
					tell(&format!("… of {} blocks in all: --limit 0 lists them", page.total));
				}
				return Ok(ExitCode::SUCCESS);
			}
		}
	}
}

fn sensors(asking: &Asking, watch: bool) -> Result<ExitCode, CliError> {
	loop {
		let code = put(asking, &Request::Sensors)?;
		if !watch {
			return Ok(code);
		}
		std::thread::sleep(std::time::Duration::from_secs(1));
	}
}

fn replay_file(file: &Path, home: &[Network], config: Option<PathBuf>, json: bool) -> Result<ExitCode, CliError> {
	// The file of the gateway itself only matters where nothing else says what the home is.
	let config = config.or_else(|| home.is_empty().then(|| DEFAULT_CONFIG.into()));
	let mut settings = match config {
		Some(path) => Config::load(&path).map_err(|source| CliError::Config { path, source })?.detectors,
		None => ringfence_sensor::engine::Settings::default(),
	};
	settings.home = replay::home(home, &settings.home);
	let replay = replay::replay(file, &settings)?;
	match json {
		true => say(replay.json()),
		false => say(replay.text()),
	}
	replay.broken.map_or(Ok(ExitCode::SUCCESS), |cause| Err(cause.into()))
}

fn evidence(config: &ConfigFile, hash: &Digest) -> Result<ExitCode, CliError> {
	let config = config.load()?;
	match Archive::new(&config.state_dir).find(hash)? {
		Some(line) => say(line),
		None => return Err(CliError::Refused("no evidence of this hash is kept here: it may be too old".into())),
	}
	Ok(ExitCode::SUCCESS)
}

fn completions(shell: Shell) -> Result<ExitCode, CliError> {
	let mut script = Vec::new();
	clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut script);
	// A reader that has gone wants no more.
	let _ = io::stdout().write_all(&script);
	Ok(ExitCode::SUCCESS)
}

fn man() -> Result<ExitCode, CliError> {
	let page = manual().map_err(CliError::Man)?;
	// A reader that has gone wants no more.
	let _ = io::stdout().write_all(&page);
	Ok(ExitCode::SUCCESS)
}

/// One page with every command, as `man` reads it.
fn manual() -> io::Result<Vec<u8>> {
	let mut command = Cli::command();
	command.set_bin_name(PROGRAM);
	command.build();
	let man = Man::new(command.clone()).manual("Ringfence");
	let mut page = Vec::new();
	man.render_title(&mut page)?;
	man.render_name_section(&mut page)?;
	man.render_synopsis_section(&mut page)?;
	man.render_description_section(&mut page)?;
	writeln!(page, ".SH COMMANDS")?;
	for subcommand in command.get_subcommands_mut() {
		describe(subcommand, &mut page)?;
	}
	writeln!(page, ".SH EXIT STATUS\n.nf")?;
	for line in EXIT_CODES.lines().skip(1) {
		verbatim(line, &mut page)?;
	}
	writeln!(page, ".fi\n.SH FILES\n.I /etc/ringfence/ringfence.toml\n.br\n.I /var/lib/ringfence")?;
	man.render_version_section(&mut page)?;
	Ok(page)
}

/// The help of a command, or of all commands under it.
fn describe(command: &mut clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
	if command.get_name() == "help" {
		return Ok(());
	}
	if command.has_subcommands() {
		return command.get_subcommands_mut().try_for_each(|subcommand| describe(subcommand, page));
	}
	let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
	writeln!(page, ".SS {}\n.nf", name.replace('-', "\\-"))?;
	for line in command.render_long_help().to_string().lines() {
		verbatim(line, page)?;
	}
	writeln!(page, ".fi")
}

/// A line of text that roff is to leave as it is.
fn verbatim(line: &str, page: &mut Vec<u8>) -> io::Result<()> {
	let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
	writeln!(page, "{guard}{}", line.replace('\\', "\\e").replace('-', "\\-"))
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

fn run(config: &ConfigFile, log_format: LogFormat, log_limit: u32) -> Result<ExitCode, CliError> {
	let config = config.load_to(Keep::Service)?;
	let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,jsonrpsee=warn"));
	let (limit, held) = Limit::new(log_limit);
	let log = tracing_subscriber::registry().with(filter).with(limit);
	let lines = fmt::layer().with_writer(io::stderr);
	match log_format {
		LogFormat::Text => log.with(lines.with_ansi(io::stderr().is_terminal())).init(),
		LogFormat::Json => {
			log.with(lines.json().flatten_event(true).with_current_span(false).with_span_list(false)).init();
		}
	}
	std::thread::spawn(move || flood::tell(&held));
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
	if let Some(roots) = &config.roots {
		if let Err(error) = access(roots, libc::R_OK) {
			faults.push(format!("chain.roots: {}: {error}", roots.display()));
		}
	}
	if let Err(error) = popular::read(&config.popular) {
		faults.push(format!("vetting.popular: {error}"));
	}
	// What is missing is made, if the nearest directory that exists allows it.
	let existing = config.state_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
	if let Err(error) = accessible_directory(existing, libc::W_OK | libc::X_OK) {
		faults.push(format!("state-dir: {}: {error}", existing.display()));
	}
	for source in &config.alerts {
		let (place, key) = (source.place.path(), source.place.key());
		let directory = directory_of(place);
		let mode = match source.place {
			Place::File(_) => libc::R_OK | libc::X_OK,
			Place::Socket(..) => libc::W_OK | libc::X_OK,
		};
		if let Err(error) = accessible_directory(&directory, mode) {
			faults.push(format!("{key}: {}: {error}", directory.display()));
		} else if place.exists() {
			let fault: Option<String> = match &source.place {
				Place::File(path) if !path.is_file() => Some("not a regular file".into()),
				Place::File(path) => access(path, libc::R_OK).err().map(|error| error.to_string()),
				Place::Socket(path, ..) => {
					let other = std::fs::metadata(path).is_ok_and(|found| !found.file_type().is_socket());
					other.then(|| "something else has this name".into())
				}
			};
			faults.extend(fault.map(|fault| format!("{key}: {}: {fault}", place.display())));
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
		if let Some(link) = observe::link(config.page, &config.state_dir) {
			say(format_args!("page       {link}"));
		}
	}
	Ok(if stale.is_some() { ExitCode::from(STALE) } else { ExitCode::SUCCESS })
}

fn flush(file: &ConfigFile) -> Result<ExitCode, CliError> {
	let config = file.load()?;
	let journal = Journal::open(&config.state_dir)?;
	if config.enforce {
		// Opening gets hold of the table whatever state it is in: one that is not ours by its mark is replaced first.
		let (firewall, _) = Firewall::open(journal.state.token, &Local::default())?;
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
		Cli::command().debug_assert();
	}

	#[test]
	fn the_manual_and_the_completions_name_every_command() {
		let manual = String::from_utf8(manual().unwrap()).unwrap();
		assert!(manual.starts_with(".ie") || manual.starts_with(".TH"), "{manual}");
		let mut bash = Vec::new();
		clap_complete::generate(Shell::Bash, &mut Cli::command(), PROGRAM, &mut bash);
		let bash = String::from_utf8(bash).unwrap();
		for command in Cli::command().get_subcommands() {
			let name = command.get_name();
			assert!(manual.contains(&format!("enforcer {name}").replace('-', "\\-")), "{name}");
			assert!(bash.contains(name), "{name}");
		}
		for line in manual.lines() {
			assert!(!line.starts_with('\''), "{line}");
		}
		assert!(manual.contains("10 why: the address is blocked"));
	}

	#[test]
	fn wishes_are_for_a_time_or_for_good() {
		let parse = |words: &str| Cli::try_parse_from(words.split(' ')).map(|cli| cli.command);
		let week = 7 * 86_400_000;
		assert!(matches!(
			parse("x allow 203.0.113.9 --for 7d --dispute").unwrap(),
			Command::Allow { for_ms: Some(ms), dispute: true, asking: Asking { json: false, .. }, .. } if ms == week
		));
		assert!(matches!(
			parse("x block 2001:db8::/32 --json").unwrap(),
			Command::Block { for_ms: None, asking: Asking { json: true, .. }, .. }
		));
		assert!(matches!(
			parse("x list --source tier --within 192.0.2.0/24").unwrap(),
			Command::List { source: Some(Source::Tier), within: Some(_), limit: 100, .. }
		));
		for words in
			["allow 203.0.113.9 --for 1ms", "allow 203.0.113.9/24", "why 203.0.113.0/24", "block", "list --source x"]
		{
			assert!(parse(&format!("x {words}")).is_err(), "{words}");
		}
	}

	#[test]
	fn exit_codes_tell_what_is_found() {
		let verified =
			|digest, missing| Answer::Verified(Verified { seq: 1, entries: 1, digest, missing, healed: missing });
		let is =
			|answer: &Answer, expected: u8| format!("{:?}", code(answer)) == format!("{:?}", ExitCode::from(expected));
		assert!(is(&verified(Agreement::Same, 0), 0));
		assert!(is(&verified(Agreement::Same, 1), DIFFERS));
		assert!(is(&verified(Agreement::Differs, 0), DIFFERS));
		assert!(is(&verified(Agreement::Unknown, 0), UNKNOWN));
		assert_eq!(json(&verified(Agreement::Same, 0))["digest"], "same");
		assert_eq!(CliError::from(PeopleError::NotRunning).code(), NOT_RUNNING);
		assert_eq!(CliError::Refused(String::new()).code(), REFUSED);
		assert_eq!(CliError::from(PeopleError::Deaf).code(), FAULT);
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
			("--format", "xml"),
		] {
			assert!(terms(&[option, value]).is_err(), "{option} {value}");
		}
	}

	#[test]
	fn a_column_makes_a_list_csv() {
		let layout = |options: &[&str]| {
			let words = ["ringfence-enforcer", "report", "--config", "c"].iter().chain(options).chain(&["-"]);
			match Cli::try_parse_from(words).map(|cli| cli.command) {
				Ok(Command::Report { format, column, .. }) => Ok(format.layout(column)),
				Ok(_) => panic!("another command"),
				Err(error) => Err(error.kind()),
			}
		};
		assert_eq!(layout(&[]), Ok(Layout::Plain));
		assert_eq!(layout(&["--format", "csv"]), Ok(Layout::Csv { column: None }));
		assert_eq!(layout(&["--format", "crowdsec"]), Ok(Layout::Crowdsec));
		assert_eq!(layout(&["--column", "ip"]), Ok(Layout::Csv { column: Some("ip".into()) }));
		let both = layout(&["--format", "trails", "--column", "ip"]);
		assert_eq!(both, Err(clap::error::ErrorKind::ArgumentConflict));
	}

	#[test]
	fn faults_of_the_environment_name_their_key() {
		let directory = tempfile::tempdir().unwrap();
		let path = |name: &str| directory.path().join(name).display().to_string();
		let text = format!(
			"state-dir = {:?}\nchain.endpoints = [\"ws://[::1]:1\"]\naccount.key-file = {:?}\n\
			sensor.home = [\"203.0.113.0/24\"]\nalerts = [{{ format = \"eve\", path = {:?} }}]\n",
			path("file/state"),
			path("key"),
			path("missing/eve.json"),
		);
		let config = Config::parse(&text).unwrap();
		std::fs::write(path("file"), "").unwrap();
		let faults = environment_faults(&config);
		let keys: Vec<_> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
		assert_eq!(keys, ["account.key-file", "state-dir", "alerts.path"], "{faults:?}");
		assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "a check touches nothing");
	}
}
