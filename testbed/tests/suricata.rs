//! A real Suricata sees a real attack, and tells a real enforcer of it.
//!
//! Needs root, and Suricata, which `scripts/suricata` installs. Without the one the test is skipped, or fails where that is not
//! allowed; without the other it is skipped.

mod common;

use common::{step, story};
use futures::future::try_join_all;
use ringfence_testbed::{
	chain::{activates, final_change, within},
	demo::Attack,
	gateways::dropped,
	netns::run,
	process::{Line, Process},
	traffic::RATE,
	Error, Options, Result, Site, Testbed, PATIENCE,
};
use std::{
	fs,
	io::{self, Read, Write},
	net::{SocketAddr, TcpListener, TcpStream},
	process::Command,
	thread,
	time::Duration,
};

/// The port that the home's service listens on.
const SERVICE: u16 = 8080;
/// The number of the only rule.
const SIGNATURE: u64 = 9_000_001;
/// What it looks for, behind a handshake.
const REQUEST: &[u8] = b"GET /cgi-bin/.%2e/.%2e/bin/sh HTTP/1.1\r\nHost: home\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

fn failed(what: &str) -> impl FnOnce(io::Error) -> Error + '_ {
	move |source| Error::Io { what: what.to_owned(), source }
}

/// Starts Suricata on the gateway's interface towards the home; it writes to the enforcer's socket.
fn suricata(testbed: &Testbed, site: Site) -> Result<Process> {
	let folder = testbed.work.folder("suricata")?;
	let (config, rules) = (folder.join("suricata.yaml"), folder.join("local.rules"));
	let text = format!(
		"%YAML 1.1\n---\n\
		vars:\n  address-groups:\n    HOME_NET: any\n    EXTERNAL_NET: any\n\
		outputs:\n  - eve-log:\n      enabled: yes\n      filetype: unix_stream\n      filename: {}\n      types: [alert]\n\
		af-packet:\n  - interface: lan\n    threads: 1\n    cluster-id: 99\n    cluster-type: cluster_flow\n\
		logging:\n  default-log-level: notice\n  outputs:\n    - console:\n        enabled: yes\n\
		unix-command:\n  enabled: no\nstats:\n  enabled: no\n",
		testbed.gateway(site).socket.display(),
	);
	fs::write(&config, text).map_err(failed("Suricata's configuration"))?;
	let rule = format!(
		"alert tcp any any -> any any (msg:\"LOCAL request for a shell\"; flow:established,to_server; content:\"/bin/sh\"; \
		priority:1; sid:{SIGNATURE}; rev:1;)\n"
	);
	fs::write(&rules, rule).map_err(failed("Suricata's rules"))?;
	// It talks on its standard output. Checksums are the network card's work, and a veth pair has none.
	let mut command = testbed.gateway_namespace(site).command("sh");
	command.args(["-c", "exec suricata \"$@\" >&2", "sh", "--af-packet=lan", "-k", "none", "-c"]).arg(&config);
	command.arg("-S").arg(&rules).arg("-l").arg(&folder);
	Process::start("suricata", command, testbed.work.log("suricata"))
}

/// One request from the attacker to a service in the home, and its answer: a completed handshake, and a payload.
fn request(testbed: &Testbed, attack: &Attack, site: Site) -> Result<()> {
	let place = &testbed.topology.places[site.index()];
	let (_, home) = place.home.as_ref().expect("the testbed has homes");
	let address = SocketAddr::from((site.home_address(), SERVICE));
	let listener = home.within(|| TcpListener::bind(address))?.map_err(failed("the home's service"))?;
	let service = thread::spawn(move || -> io::Result<()> {
		let (mut stream, _) = listener.accept()?;
		stream.set_read_timeout(Some(PATIENCE))?;
		stream.read_exact(&mut vec![0; REQUEST.len()])?;
		stream.write_all(ANSWER)
	});
	let connect = || TcpStream::connect_timeout(&address, PATIENCE);
	let mut stream = testbed.topology.attacker.within(connect)?.map_err(failed("connecting to the home"))?;
	let source = stream.local_addr().map_err(failed("the attacker's address"))?;
	assert_eq!(source.ip(), attack.source, "the request comes from where the packets come from");
	let mut exchange = || -> io::Result<()> {
		stream.set_read_timeout(Some(PATIENCE))?;
		stream.write_all(REQUEST)?;
		stream.read_exact(&mut vec![0; ANSWER.len()])
	};
	exchange().map_err(failed("the request"))?;
	service.join().expect("the service does not panic").map_err(failed("the answer"))
}

/// Waits until so many more of the attacker's packets were dropped at a gateway.
async fn drops(testbed: &Testbed, site: Site) -> Result<()> {
	let namespace = testbed.gateway_namespace(site);
	let before = dropped(namespace)?;
	while dropped(namespace)? < before + RATE / 10 {
		// That packets are dropped is no event that could be waited for.
		tokio::time::sleep(Duration::from_millis(20)).await;
	}
	Ok(())
}

#[test]
fn what_suricata_sees_at_one_home_is_dropped_at_all() {
	if run(Command::new("suricata").arg("-V"), "").is_err() {
		return println!("skipped: Suricata is not installed; scripts/suricata installs it");
	}
	story(async {
		let testbed = Testbed::start(Options::FULL, &step).await?;
		let household = testbed.gateway(Site::A);
		let attack = Attack::start(&testbed, 0, Site::A, &Site::ALL).await?;

		println!("Suricata watches the home of A");
		let sensor = suricata(&testbed, Site::A)?;
		sensor.journal().wait("its start", PATIENCE, |line| line.text.contains("Engine started")).await?;
		let connected = |line: &Line| line.is("a sensor connected");
		household.process.journal().wait("Suricata at its socket", PATIENCE, connected).await?;

		println!("the attacker asks a service there for a shell");
		let from = testbed.chain().log_head().await?.seq + 1;
		let mut pushes = testbed.chain().changes(from).await?;
		request(&testbed, &attack, Site::A)?;
		let seen = household.wait("alert", &attack.id_hex, PATIENCE).await?;
		assert_eq!(seen.number("signature"), Some(SIGNATURE), "{}", seen.text);

		println!("the ISPs agree, and every gateway drops it");
		let activated = final_change(&mut pushes, |change| activates(change, &attack.id));
		within(PATIENCE, "the activation to become final", activated).await?;
		let enforced = |site: &Site| testbed.gateway(*site).wait_enforced("activated", &attack.id_hex, PATIENCE);
		try_join_all(Site::ALL.iter().map(enforced)).await?;
		for site in Site::ALL {
			testbed.home(site).blocked(&attack.sender, PATIENCE).await?;
			within(PATIENCE, "dropped packets", drops(&testbed, site)).await?;
		}
		drop(sensor);
		testbed.finish();
		Ok(())
	});
}
