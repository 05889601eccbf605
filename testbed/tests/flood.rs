//! The attack generator on a real wire: what is sent arrives, and nothing is sent anywhere else; and an honest visitor beside.
//!
//! Needs root. Every test has namespaces of its own.

mod common;

use common::story;
use ringfence_testbed::{
	flood::{connect::connect, send::send, Exit, Kind, Plan, Refusal, Sources},
	netns::{run, Namespace, Tag},
	traffic::{Server, Transport, Visitor, ANSWER},
	Error, Result, PATIENCE,
};
use serde_json::Value;
use std::{
	net::Ipv4Addr,
	process::Command,
	time::{Duration, Instant},
};
use tokio::time::sleep;

const BOT: Ipv4Addr = Ipv4Addr::new(198, 18, 99, 1);
const HOME: Ipv4Addr = Ipv4Addr::new(198, 18, 99, 2);
const MINUTE: Duration = Duration::from_secs(60);

/// A bot and a home, and the wire between them.
struct Wire {
	bot: Namespace,
	home: Namespace,
	tag: Tag,
}

impl Wire {
	fn new() -> Result<Self> {
		let tag = Tag::next();
		let bot = Namespace::create(&tag.name("bot"), false)?;
		let home = Namespace::create(&tag.name("home"), false)?;
		bot.ip([format!("link add out type veth peer name in netns {}", home.name())])?;
		bot.ip([format!("addr add {BOT}/24 dev out"), "link set out up".to_owned()])?;
		home.ip([format!("addr add {HOME}/24 dev in"), "link set in up".to_owned()])?;
		bot.ip([format!("route add default via {HOME}")])?;
		Ok(Self { bot, home, tag })
	}

	fn exit(&self) -> Result<Exit> {
		Exit::open(self.bot.name(), "out", HOME)
	}
}

/// A counter of an interface.
fn count(namespace: &Namespace, device: &str, way: &str, what: &str) -> Result<u64> {
	let text = namespace.run("ip", &["-j", "-s", "link", "show", "dev", device], "")?;
	let all: Value = serde_json::from_str(&text).expect("ip speaks JSON");
	Ok(all[0]["stats64"][way][what].as_u64().expect("a counter"))
}

/// Why a way out was refused.
fn refusal(exit: Result<Exit>) -> Refusal {
	match exit {
		Err(Error::Flood(refusal)) => refusal,
		Err(other) => panic!("{other}"),
		Ok(_) => panic!("it was allowed"),
	}
}

#[test]
fn a_hundred_and_fifty_thousand_packets_arrive() {
	story(async {
		let wire = Wire::new()?;
		let exit = wire.exit()?;
		for (kind, rate) in [(Kind::Syn, 0), (Kind::Udp, 150_000)] {
			let (before, dropped) =
				(count(&wire.home, "in", "rx", "packets")?, count(&wire.bot, "out", "tx", "dropped")?);
			let plan = Plan { packets: 150_000, rate, payload: Some(32), ..Plan::new(kind, HOME) };
			let sent = send(&exit, &plan, 1, MINUTE)?;
			println!("{}", serde_json::to_string(&sent).expect("plain numbers"));
			assert_eq!((sent.packets, sent.distinct), (150_000, 150_000));
			let arrived = count(&wire.home, "in", "rx", "packets")? - before;
			// What found no room on the wire is counted there; the generator sends it again where it is told.
			let dropped = count(&wire.bot, "out", "tx", "dropped")? - dropped;
			assert!(arrived + dropped >= 150_000, "{arrived} arrived, {dropped} dropped");
		}
		Ok(())
	});
}

#[test]
fn a_run_ends_with_its_time_and_keeps_its_pace() {
	story(async {
		let wire = Wire::new()?;
		let plan = Plan { packets: 1_000_000, rate: 1_000, ..Plan::new(Kind::Icmp, HOME) };
		let sent = send(&wire.exit()?, &plan, 1, Duration::from_secs(1))?;
		// A busy machine may be late, but never early.
		assert!((1..=1_001).contains(&sent.packets), "{sent:?}");
		// More than are made ahead: they come again.
		let plan = Plan { packets: 300_000, rate: 0, ..Plan::new(Kind::Vse, HOME) };
		let sent = send(&wire.exit()?, &plan, 1, MINUTE)?;
		assert_eq!((sent.packets, sent.distinct), (300_000, 1 << 18));
		let refused = send(&wire.exit()?, &plan, 1, Duration::from_secs(601));
		assert!(matches!(refused, Err(Error::Flood(Refusal::Limit { what: "seconds", .. }))), "{refused:?}");
		Ok(())
	});
}

#[test]
fn no_way_leads_to_the_machines_own_network() {
	story(async {
		let wire = Wire::new()?;
		let own = std::process::id();
		// A wire to where this test runs.
		wire.bot.ip([format!("link add host type veth peer name {} netns {own}", wire.tag.name("x"))])?;
		wire.bot.ip(["link set host up", "route add 198.18.98.0/24 dev host"])?;
		let beyond = Ipv4Addr::new(198, 18, 98, 1);
		assert_eq!(refusal(Exit::open(wire.bot.name(), "host", beyond)), Refusal::LeadsHome("host".into()));

		// That network itself, under the name of a testbed's.
		let name = wire.tag.name("own");
		run(Command::new("ip").args(["netns", "attach", &name, &own.to_string()]), "")?;
		let refused = Exit::open(&name, "lo", Ipv4Addr::LOCALHOST);
		run(Command::new("ip").args(["netns", "del", &name]), "")?;
		assert_eq!(refusal(refused), Refusal::OwnNetwork(name));

		let other = Refusal::OtherWay { target: beyond, device: "out".into(), through: "host".into() };
		assert_eq!(refusal(Exit::open(wire.bot.name(), "out", beyond)), other);
		assert_eq!(refusal(Exit::loopback(HOME)), Refusal::NotLoopback(HOME));
		Ok(())
	});
}

#[test]
fn the_loopback_takes_only_what_stays_there() {
	story(async {
		let target = Ipv4Addr::new(127, 0, 0, 9);
		let exit = Exit::loopback(target)?;
		let plan = Plan { rate: 0, port: Some(9), ..Plan::new(Kind::Udp, target) };
		let refused = send(&exit, &plan, 1, MINUTE);
		assert!(matches!(refused, Err(Error::Flood(Refusal::NotLoopback(_)))), "{refused:?}");
		let within = Sources::Network(Ipv4Addr::LOCALHOST, 8);
		let refused = send(&exit, &Plan { kind: Kind::Mirai, sources: within.clone(), ..plan.clone() }, 1, MINUTE);
		assert!(matches!(refused, Err(Error::Flood(Refusal::NotLoopback(_)))), "{refused:?}");
		let sent = send(&exit, &Plan { sources: within, ..plan }, 1, MINUTE)?;
		assert_eq!(sent.packets, 1_000);
		Ok(())
	});
}

#[test]
fn requests_and_logins_are_real_connections() {
	story(async {
		let wire = Wire::new()?;
		let server = Server::start(&wire.home, HOME, 80)?;
		let exit = wire.exit()?;
		for (kind, packets) in [(Kind::Http, 200), (Kind::Telnet, 32), (Kind::Ssh, 32)] {
			let before = server.asked();
			let plan = Plan { packets, rate: 0, port: Some(80), ..Plan::new(kind, HOME) };
			let made = connect(&exit, &plan, 1, MINUTE)?;
			println!("{}", serde_json::to_string(&made).expect("plain numbers"));
			assert_eq!((made.connections, made.failed), (packets, 0));
			assert!(server.asked() >= before + packets);
			assert!(made.answered > 0, "{made:?}");
		}
		let nobody = Plan { packets: 4, rate: 0, port: Some(81), ..Plan::new(Kind::Http, HOME) };
		let made = connect(&exit, &nobody, 1, MINUTE)?;
		assert_eq!((made.connections, made.failed), (0, 4));
		Ok(())
	});
}

#[test]
fn an_honest_visitor_counts_what_it_gets() {
	const RULES: &str = "table inet wall {\n chain input {\n  type filter hook input priority 0\n  drop\n }\n}\n";
	story(async {
		let wire = Wire::new()?;
		let _server = Server::start(&wire.home, HOME, 80)?;
		for transport in [Transport::Tcp, Transport::Udp] {
			let visitor = Visitor::start(&wire.bot, BOT, (HOME, 80), transport, 200)?;
			visitor.served(50, PATIENCE).await?;
			let windows = visitor.windows();
			assert!(windows.iter().all(|window| window.bytes == window.answered * ANSWER as u64), "{windows:?}");

			wire.home.run("nft", &["-f", "-"], RULES)?;
			let start = Instant::now();
			let walled = windows.len() + 1;
			while !visitor.windows().iter().skip(walled).any(|window| window.asked > 0 && window.answered == 0) {
				assert!(start.elapsed() < PATIENCE, "{transport:?}: {:?}", visitor.windows());
				sleep(Duration::from_millis(10)).await;
			}
			wire.home.run("nft", &["delete", "table", "inet", "wall"], "")?;
			visitor.served(50, PATIENCE).await?;
		}
		Ok(())
	});
}
