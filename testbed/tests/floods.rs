//! The story of a flood, end to end: packets in forged names, from three homes to the fourth. Its gateway learns what they look
//! like, its ISP says so, the others believe it of its own networks, and the flood ends at the gateways where it begins.
//!
//! Needs root. Without it the test says that it was skipped, and fails where `RINGFENCE_REQUIRE_ROOT_TESTS=1`.

mod common;

use common::{step, story};
use ringfence_enforcer::core::hex;
use ringfence_primitives::{Action, ChangeKind, FlowSignature, Indicator, Network};
use ringfence_testbed::{
	flood::{send::send, Exit, Plan},
	gateways::dropped,
	siege::{Guests, Siege, BOTS, FLOODS, RATE},
	traffic::{Visitor, WINDOW},
	Options, Result, Site, Testbed, PATIENCE,
};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Answers to each honest visitor in the quiet time before a flood, which it is measured by.
const BEFORE: u64 = 150;
/// A flood lasts until so many packets are sent, 10 seconds' worth, and no shorter than it takes to see that it is stopped.
const WHOLE: u64 = 10 * BOTS * RATE;
/// Packets of the flood that ought to arrive in the time in which a block is checked.
const WATCHED: u64 = BOTS * RATE;
/// Packets of a bot whose gateway stops nothing.
const STRAY: u64 = 2_000;
/// What honest visitors get during the whole flood, of what they got before.
const GOODPUT: f64 = 0.95;

const BOTS_AT: [Site; 3] = [Site::B, Site::C, Site::D];

/// Packets of the flood on the line of home A, those in the home, and what each bot's gateway has dropped.
fn look(testbed: &Testbed, siege: &Siege) -> Result<([u64; 2], Vec<u64>)> {
	let arrived = [&siege.line, &siege.inside].map(|tap| tap.arrived().packets);
	Ok((arrived, BOTS_AT.iter().map(|site| dropped(testbed.gateway_namespace(*site))).collect::<Result<_>>()?))
}

/// The bots go on, nothing of it arrives, and their own gateways count what they drop.
async fn assert_stopped_near_the_source(testbed: &Testbed, siege: &Siege) -> Result<()> {
	let before = look(testbed, siege)?;
	siege.sends(siege.sent() + WATCHED).await?;
	let after = look(testbed, siege)?;
	assert_eq!(before.0, after.0, "packets arrived on the line of home A, or in it");
	for ((site, before), after) in BOTS_AT.iter().zip(before.1).zip(after.1) {
		// A third of them is this gateway's.
		let least = before + WATCHED / BOTS / 2;
		assert!(after >= least, "gateway {} counted {before} drops, then {after}", site.letter());
	}
	Ok(())
}

/// What comes from where no gateway stops it reaches the line, and ends at the home's own gateway.
async fn assert_stopped_at_the_door(testbed: &Testbed, siege: &Siege) -> Result<()> {
	let victim = siege.victim.home_address();
	let door = testbed.gateway_namespace(siege.victim);
	let (line, inside, before) = (siege.line.arrived(), siege.inside.arrived(), dropped(door)?);
	let exit = Exit::open(testbed.topology.attacker.name(), "net", victim)?;
	let plan = Plan { packets: STRAY, rate: RATE, ..Plan::new(siege.flood.kind, victim) };
	let sent = send(&exit, &plan, 1_000, PATIENCE)?;
	let start = Instant::now();
	loop {
		let (arrived, drops) = (siege.line.arrived().packets - line.packets, dropped(door)? - before);
		if arrived >= sent.packets / 2 && drops >= sent.packets / 2 {
			break;
		}
		assert!(start.elapsed() < PATIENCE, "of {} packets {arrived} arrived, {drops} were dropped", sent.packets);
		sleep(Duration::from_millis(20)).await;
	}
	assert_eq!(siege.inside.arrived(), inside, "packets came in");
	Ok(())
}

/// The windows that visitors have had so far.
fn marks(guests: &Guests) -> Vec<usize> {
	guests.visitors.iter().map(|visitor| visitor.windows().len()).collect()
}

/// Bytes of answers a second, from one mark to another.
fn goodput(visitor: &Visitor, from: usize, to: usize) -> f64 {
	let windows = visitor.windows();
	let own = windows.get(from..to).expect("marks in order");
	let bytes: u64 = own.iter().map(|window| window.bytes).sum();
	bytes as f64 / (own.len() as f64 * WINDOW.as_secs_f64())
}

/// What the chain and the household's gateway said meanwhile is about flows to home A and nobody else: no forged name was
/// taken for an attacker's.
async fn assert_nobody_was_named(testbed: &Testbed, begun: u64) -> Result<()> {
	let chain = testbed.chain();
	let head = chain.log_head().await?.seq;
	let status = chain.status().await?;
	let home = Network::host(Site::A.home_address().into());
	let mut active = 0;
	for change in chain.changes_at(begun + 1..=head, &hex::encode(&status.best.hash)).await? {
		let (ChangeKind::Activated(decision) | ChangeKind::Extended(decision)) = &change.kind else { continue };
		let Indicator::Flow(FlowSignature { source: None, destination, .. }) = decision.indicator else {
			panic!("{} was decided on", decision.indicator);
		};
		assert_eq!(destination, Some(home), "{}", decision.indicator);
		active += u32::from(matches!(change.kind, ChangeKind::Activated(_)));
	}
	assert!(active >= FLOODS.len() as u32, "{active} flows were activated");
	assert_eq!(status.active, active, "nothing else is active");
	for alert in testbed.gateway(Site::A).process.journal().all(|line| line.is("alert")) {
		assert!(alert.get("indicator").is_some_and(|text| text.starts_with("flow ")), "{}", alert.text);
	}
	Ok(())
}

#[test]
fn a_flood_in_forged_names_ends_where_it_begins_and_honest_visitors_notice_nothing() {
	story(async {
		let testbed = Testbed::start(Options { capture: Some(Site::A), ..Options::FULL }, &step).await?;
		let begun = testbed.chain().log_head().await?.seq;
		let guests = Guests::start(&testbed).await?;
		for flood in FLOODS {
			println!("\n{}: from homes B, C and D to home A", flood.detector);
			let quiet = marks(&guests);
			guests.served(BEFORE).await?;

			let start = marks(&guests);
			let siege = Siege::start(&testbed, flood, Site::A).await?;
			let defence = siege.follow(&testbed).await?;
			let stopped = marks(&guests);
			println!("{}", defence.timeline.render(false));
			assert!(siege.line.arrived().packets > 0, "the flood reached home A");
			assert_eq!(defence.decision.action, Action::Drop, "{}", defence.decision.indicator);

			assert_stopped_near_the_source(&testbed, &siege).await?;
			assert_stopped_at_the_door(&testbed, &siege).await?;
			siege.sends(WHOLE).await?;
			let end = marks(&guests);
			drop(siege);

			for (at, visitor) in guests.visitors.iter().enumerate() {
				let before = goodput(visitor, quiet[at], start[at]);
				let (whole, after) = (goodput(visitor, start[at], end[at]), goodput(visitor, stopped[at], end[at]));
				println!("  visitor {at}: {before:.0} B/s before, {whole:.0} during the flood, {after:.0} once it was stopped");
				assert!(whole >= GOODPUT * before && after >= GOODPUT * before, "honest visitor {at} was served less");
			}
		}
		assert_nobody_was_named(&testbed, begun).await?;
		drop(guests);
		testbed.finish();
		Ok(())
	});
}
