//! The enforcers: at every home gateway one that senses, reports to its ISP and drops; at every ISP one that opens what its
//! own homes send, reports it as its own, and votes on what the others report.

use crate::{
	error::{Context, Error, Result},
	netns::{run, Namespace},
	process::{binary, Line, Process, WorkDir},
	topology::{Place, Site},
};
use ringfence_enforcer::{core::hex, daemon::key::Keys};
use serde_json::Value;
use sp_core::Pair;
use std::{
	fs,
	io::Write,
	os::unix::fs::OpenOptionsExt,
	path::{Path, PathBuf},
	sync::Arc,
	time::Duration,
};

/// One enforcer.
pub struct Enforcer {
	/// Where it is.
	pub site: Site,
	/// The daemon.
	pub process: Process,
	/// Its configuration, for `ringfence-enforcer status`.
	pub config: PathBuf,
	/// The EVE file that its sensor reads.
	pub eve: PathBuf,
	/// The socket that a gateway's sensor listens on for EVE.
	pub socket: PathBuf,
}

impl Enforcer {
	/// Starts the enforcer of a home gateway. `captures`: it looks at the packets of its uplink itself.
	pub fn gateway(place: &Place, namespace: &Namespace, captures: bool, work: &WorkDir) -> Result<Self> {
		let site = place.site;
		let endpoint = format!("ws://{}:9944", site.isp_subscriber_address());
		let provider = keys(&site.isp_secret())?;
		let capture = if captures { "[capture]\ninterfaces = [\"wan\"]\n\n" } else { "" };
		let rest = format!(
			"[sensor]\nhome = {:?}\n\n[[alerts]]\nformat = \"eve\"\npath = \"{{eve}}\"\n\n[[alerts]]\nformat = \"eve\"\n\
			 socket = \"{{socket}}\"\n\n{capture}[reporting]\nlifetime = \"1h\"\nper-minute = 600\n\n\
			 [subscriber]\nprovider = \"{}\"\nprovider-key = \"{}\"\n",
			site.home_networks(),
			hex::encode(&provider.account.public().0),
			hex::encode(&provider.envelope.public()),
		);
		Self::start(site, "gateway", namespace, &endpoint, &site.home_secret(), &rest, work)
	}

	/// Starts the enforcer of an ISP, which promotes, vets and votes, and leaves the firewall alone. `provisional`: what it
	/// promotes acts before the others have voted. Every ISP knows which networks are the others'.
	pub fn vetter(place: &Place, provisional: bool, work: &WorkDir) -> Result<Self> {
		let origins = Site::ALL
			.into_iter()
			.map(|site| networks("vetting.origin", &site.isp_secret(), site))
			.collect::<Result<String>>()?;
		let defended = networks("inbox.defended", &place.site.home_secret(), place.site)?;
		let rest = format!(
			"[firewall]\nenforce = false\n\n\
			[vetting]\napprove-min-confidence = 50\napprove-min-severity = \"low\"\n\n{origins}\
			[inbox]\npromote-min-confidence = 50\npromote-min-severity = \"low\"\nper-household = 600\nanswer-every = \"5s\"\n\n{defended}\
			[reporting]\nlifetime = \"1h\"\nper-minute = 600\nprovisional = {provisional}\n"
		);
		let secret = place.site.isp_secret();
		Self::start(place.site, "isp", &place.isp, "ws://127.0.0.1:9944", &secret, &rest, work)
	}

	fn start(
		site: Site,
		role: &str,
		namespace: &Namespace,
		endpoint: &str,
		secret: &str,
		rest: &str,
		work: &WorkDir,
	) -> Result<Self> {
		let name = format!("{role}-{}", site.letter());
		let folder = work.folder(&name)?;
		let (key, eve, config) = (folder.join("key"), folder.join("eve.json"), folder.join("ringfence.toml"));
		write(&key, secret)?;
		write(&eve, "")?;
		let socket = folder.join("eve.sock");
		let rest = rest.replace("{eve}", &eve.display().to_string());
		let rest = rest.replace("{socket}", &socket.display().to_string());
		let text = format!(
			"state-dir = \"{}\"\n\n[chain]\nendpoints = [\"{endpoint}\"]\n\n[account]\nkey-file = \"{}\"\n\n{rest}",
			work.folder(&format!("{name}/state"))?.display(),
			key.display(),
		);
		write(&config, &text)?;
		let mut command = namespace.command(binary("ringfence-enforcer")?);
		command.args(["run", "--log-format", "json", "--config"]).arg(&config);
		Ok(Self { site, process: Process::start(&name, command, work.log(&name))?, config, eve, socket })
	}

	/// Runs a command of the same program with the same configuration, in `namespace`, to its end; what it says.
	pub fn run(&self, namespace: &Namespace, words: &[&str]) -> Result<String> {
		let mut command = namespace.command(binary("ringfence-enforcer")?);
		run(command.args(words).arg("--config").arg(&self.config), "")
	}

	/// Appends a line to the EVE file, as Suricata would: in one write.
	pub fn alert(&self, line: &str) -> Result<()> {
		let append = || fs::OpenOptions::new().append(true).open(&self.eve)?.write_all(format!("{line}\n").as_bytes());
		append().context(format!("writing to {}", self.eve.display()))
	}

	/// Its first log line `message` about the indicator `id`, once it is there.
	pub async fn wait(&self, message: &str, id: &str, within: Duration) -> Result<Arc<Line>> {
		let what = format!("\"{message}\" about {id}");
		self.process.journal().wait(&what, within, |line| line.is_about(message, id)).await
	}

	/// Its first log line `message` about the call of this name, for the indicator `id`, once it is there.
	pub async fn wait_call(&self, message: &str, call: &str, id: &str, within: Duration) -> Result<Arc<Line>> {
		let what = format!("\"{message}\", {call}, about {id}");
		let test = |line: &Line| line.is_about(message, id) && line.get("call") == Some(call);
		self.process.journal().wait(&what, within, test).await
	}

	/// Its first log line that the indicator `id` was `change`d in the firewall, once it is there.
	pub async fn wait_enforced(&self, change: &str, id: &str, within: Duration) -> Result<Arc<Line>> {
		let what = format!("\"enforced\", {change}, about {id}");
		let test = |line: &Line| line.is_about("enforced", id) && line.get("change") == Some(change);
		self.process.journal().wait(&what, within, test).await
	}

	/// The numbers of the changes that it applied, in order; one applied twice is there twice.
	pub fn applied(&self) -> Vec<u64> {
		self.process.journal().all(|line| line.is("enforced")).iter().filter_map(|line| line.number("seq")).collect()
	}
}

fn keys(secret: &str) -> Result<Keys> {
	Keys::of(secret).ok_or_else(|| Error::Malformed { what: format!("the secret {secret}"), cause: "no key".into() })
}

/// An entry of the configuration's `table`: the home networks of `site` are those of the member with this secret.
fn networks(table: &str, secret: &str, site: Site) -> Result<String> {
	let member = hex::encode(&keys(secret)?.account.public().0);
	Ok(format!("[[{table}]]\nmember = \"{member}\"\nnetworks = {:?}\n\n", site.home_networks()))
}

/// A counter of the firewall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
	/// Its name.
	pub name: String,
	/// Packets counted.
	pub packets: u64,
	/// Their bytes.
	pub bytes: u64,
}

/// The counters of Ringfence's table in a namespace, as nft reads them.
pub fn counters(namespace: &Namespace) -> Result<Vec<Counter>> {
	let text = namespace.run("nft", &["-j", "list", "counters", "table", "inet", "ringfence"], "")?;
	let malformed = |cause: &str| Error::Malformed { what: "nft's list of counters".into(), cause: cause.to_owned() };
	let json: Value = serde_json::from_str(&text).map_err(|error| malformed(&error.to_string()))?;
	let objects = json["nftables"].as_array().ok_or_else(|| malformed("no array"))?;
	let counter = |object: &Value| {
		let counter = object.get("counter")?;
		Some(Counter {
			name: counter["name"].as_str()?.to_owned(),
			packets: counter["packets"].as_u64()?,
			bytes: counter["bytes"].as_u64()?,
		})
	};
	Ok(objects.iter().filter_map(counter).collect())
}

/// Packets that Ringfence has dropped in a namespace.
pub fn dropped(namespace: &Namespace) -> Result<u64> {
	Ok(counters(namespace)?.iter().filter(|counter| counter.name.starts_with("dropped")).map(|c| c.packets).sum())
}

/// Writes a file that only its owner can read: one of them holds a key.
fn write(path: &Path, text: &str) -> Result<()> {
	let create = || {
		fs::OpenOptions::new()
			.write(true)
			.create(true)
			.truncate(true)
			.mode(0o600)
			.open(path)?
			.write_all(text.as_bytes())
	};
	create().context(format!("writing {}", path.display()))
}
