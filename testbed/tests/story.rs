//! The story, end to end, with real nodes, real enforcers and the real kernel.
//!
//! Needs root. Without it each test says that it was skipped, and fails where `RINGFENCE_REQUIRE_ROOT_TESTS=1`.

mod common;

use codec::{Compact, Decode, Encode};
use common::{step, story};
use ringfence_enforcer::{
	core::{blake2_256, hex},
	daemon::key::Keys,
};
use ringfence_primitives::Indicator;
use ringfence_testbed::{
	chain::{next, within, Chain},
	demo::{Alert, Attack},
	gateways::dropped,
	loopback::key,
	process::Line,
	Error, Options, Result, Site, Testbed, PATIENCE,
};
use serde_json::Value;
use sp_core::{crypto::Ss58Codec, Pair};
use std::{
	collections::HashSet,
	fs,
	net::Ipv4Addr,
	sync::{
		atomic::{AtomicBool, Ordering},
		Arc,
	},
	thread,
	time::{Duration, Instant},
};
use tokio::time::sleep;

/// Packets of the attack that ought to arrive in the time in which a block is checked.
const WATCHED: u64 = 200;

/// Waits until so many more packets were sent.
async fn send_more(attack: &Attack) {
	let until = attack.sender.sent() + WATCHED;
	while attack.sender.sent() < until {
		sleep(Duration::from_millis(5)).await;
	}
}

/// None of the attack's packets arrives at these homes, and their gateways count what they drop.
async fn assert_dropped(testbed: &Testbed, attack: &Attack, homes: &[Site]) -> Result<()> {
	let look = || {
		let each = homes.iter().map(|&site| {
			Ok((testbed.home(site).flow(attack.source).packets, dropped(testbed.gateway_namespace(site))?))
		});
		each.collect::<Result<Vec<_>>>()
	};
	let before = look()?;
	send_more(attack).await;
	for ((site, before), after) in homes.iter().zip(before).zip(look()?) {
		assert_eq!(before.0, after.0, "packets arrived at home {}", site.letter());
		assert!(
			after.1 >= before.1 + WATCHED / 2,
			"gateway {} counted {} drops, then {}",
			site.letter(),
			before.1,
			after.1
		);
	}
	Ok(())
}

/// What the chain tells of the indicator begins with the ISP: nothing leads to the home whose sensor saw it.
async fn nothing_names_the_household(testbed: &Testbed, attack: &Attack) -> Result<()> {
	let dossier = testbed.chain().indicator(&attack.id).await?;
	let account = |secret: &str| key(secret).map(|pair| pair.public());
	let (provider, household) = (account(&Site::A.isp_secret())?, account(&Site::A.home_secret())?);
	assert_eq!(dossier["reporter"], provider.to_ss58check(), "{dossier}");
	let text = dossier.to_string().to_lowercase();
	for name in [household.to_ss58check(), hex::encode(&household.0)] {
		assert!(!text.contains(name.trim_start_matches("0x").to_lowercase().as_str()), "{name} is in {dossier}");
	}
	Ok(())
}

/// A frame from the beginning of the log holds every entry, and what it takes to check them: the header hashes to the
/// block, the justification is about that block, and the proof begins at the header's state root.
async fn frames_hold_their_proof(chain: &Chain) -> Result<()> {
	let head = chain.log_head().await?.seq;
	let mut pushes = chain.changes(0).await?;
	let item = within(PATIENCE, "the log from its beginning", next(&mut pushes)).await?;
	let bytes = |value: &Value| hex::decode(value.as_str().expect("a string")).expect("hexadecimal");
	let all = |field: &str| item[field].as_array().expect("a list").iter().map(bytes).collect::<Vec<_>>();
	let (header, justification) = (bytes(&item["header"]), bytes(&item["justification"]));
	let block = bytes(&item["block"]["hash"]);

	assert_eq!(item["from"], 1);
	assert_eq!(all("changes").len() as u64, head);
	assert_eq!(blake2_256(&header).to_vec(), block, "the header is the block's");
	// A justification begins with the round, 8 octets, and the hash of the block that it makes final.
	assert_eq!(justification[8..40], block, "the justification is about it");
	// A header begins with the parent's hash, the number in 1 to 4 octets, and the state root.
	let number = Compact::<u32>::decode(&mut &header[32..]).expect("a number");
	let root = &header[32 + number.encoded_size()..][..32];
	assert!(all("proof").iter().any(|node| blake2_256(node) == root), "the proof begins at the state root");
	Ok(())
}

#[test]
fn one_alert_stops_the_attacker_everywhere_whoever_dies_meanwhile() {
	story(async {
		let mut testbed = Testbed::start(Options::FULL, &step).await?;
		// So far every gateway has taken over as a whole.
		let begun = testbed.chain().log_head().await?.seq;

		println!("an alert at A stops the attacker at every home");
		let first = Attack::start(&testbed, 0, Site::A, &Site::ALL).await?;
		println!("{}", first.alert(&testbed, &Site::ALL).await?.render(false));
		assert_dropped(&testbed, &first, &Site::ALL).await?;

		nothing_names_the_household(&testbed, &first).await?;
		frames_hold_their_proof(testbed.chain()).await?;

		println!("B's enforcer dies: what was blocked stays blocked, what is decided meanwhile waits for it");
		testbed.gateways[Site::B.index()].process.kill();
		let second = Attack::start(&testbed, 1, Site::A, &Site::ALL).await?;
		second.alert(&testbed, &[Site::A, Site::C, Site::D]).await?;
		testbed.home(Site::B).flowing(&second.sender, PATIENCE).await?;
		assert_dropped(&testbed, &first, &[Site::B]).await?;

		println!("it comes back: nothing is lost, nothing is applied twice");
		testbed.gateways[Site::B.index()].process.restart()?;
		testbed.gateway(Site::B).wait_enforced("activated", &second.id_hex, PATIENCE).await?;
		testbed.home(Site::B).blocked(&second.sender, PATIENCE).await?;
		let head = testbed.chain().log_head().await?.seq;
		for gateway in &testbed.gateways {
			let expected: Vec<_> = (begun + 1..=head).collect();
			assert_eq!(gateway.applied(), expected, "changes applied at gateway {}", gateway.site.letter());
		}

		println!("validator D dies: the other three go on");
		testbed.validators[Site::D.index()].process.kill();
		let rest = [Site::A, Site::B, Site::C];
		let third = Attack::start(&testbed, 2, Site::A, &rest).await?;
		println!("{}", third.alert(&testbed, &rest).await?.render(false));
		assert_dropped(&testbed, &third, &rest).await?;

		println!("withdrawn, the packets flow again; the others stay blocked");
		println!("{}", third.withdraw(&testbed, &rest).await?.render(false));
		assert_dropped(&testbed, &second, &rest).await?;
		first.withdraw(&testbed, &rest).await?;
		testbed.finish();
		Ok(())
	});
}

#[test]
fn garbage_and_protected_addresses_block_nothing() {
	story(async {
		let testbed = Testbed::start(Options::FULL, &step).await?;
		let before = testbed.chain().log_head().await?.seq;
		let gateway = testbed.gateway(Site::A);

		let flow = r#"{"timestamp":"2026-01-01T00:00:00.000000+0000","event_type":"flow","src_ip":"198.18.66.66","dest_ip":"203.0.113.42"}"#;
		let alert = Alert::about(Ipv4Addr::new(198, 18, 66, 66), Site::A.home_address())?.line;
		let half = &alert[..alert.len() / 2];
		let nowhere = alert.replace("198.18.66.66", "198.18.66.666");
		let long = "x".repeat(100_000);
		for line in [
			"",
			"{",
			"null",
			"not JSON",
			"\u{0}\u{7}\u{1b}[31m",
			r#"{"event_type":"alert"}"#,
			flow,
			half,
			nowhere.as_str(),
			long.as_str(),
		] {
			gateway.alert(line)?;
		}

		// Private networks are protected: the chain's door refuses what the ISP makes of the envelope.
		let inner = Ipv4Addr::new(10, 1, 2, 3);
		gateway.alert(&Alert::about(inner, Site::A.home_address())?.line)?;
		let id = hex::encode(&Indicator::Host(inner.into()).id());
		testbed.vetter(Site::A).wait("refused", &id, PATIENCE).await?;

		// The sensor is none the worse for it, and this is the only change that came of all these lines.
		let attack = Attack::start(&testbed, 1, Site::A, &Site::ALL).await?;
		attack.alert(&testbed, &Site::ALL).await?;
		assert_eq!(testbed.chain().log_head().await?.seq, before + 1);
		let status = testbed.chain().status().await?;
		assert_eq!((status.active, status.proposed), (1, 0), "one indicator is active, and nothing awaits votes");
		assert!(
			!gateway.process.journal().all(|line| line.is("skipped")).is_empty(),
			"garbage is skipped, and said to be"
		);
		for site in Site::ALL {
			let table =
				testbed.gateway_namespace(site).run("nft", &["-j", "list", "table", "inet", "ringfence"], "")?;
			assert!(table.contains(&attack.source.to_string()), "gateway {} blocks the attacker", site.letter());
			assert!(!table.contains("10.1.2.3"), "gateway {} blocks a protected address", site.letter());
			assert!(!table.contains("198.18.66.66"), "gateway {} acts on garbage", site.letter());
		}
		testbed.finish();
		Ok(())
	});
}

#[test]
fn what_an_isp_does_for_its_own_homes_stays_among_them() {
	story(async {
		let testbed = Testbed::start(Options::FULL, &step).await?;
		let before = testbed.chain().log_head().await?.seq;
		let (household, provider) = (testbed.gateway(Site::A), testbed.vetter(Site::A));
		let (isp, gateway) = (&testbed.topology.places[Site::A.index()].isp, testbed.gateway_namespace(Site::A));
		let home = Keys::of(&Site::A.home_secret()).expect("a secret");
		let (member, opens) = (hex::encode(&home.account.public().0), hex::encode(&home.envelope.public()));

		println!("ISP A sends its subscriber the key of its tier");
		println!("{}", provider.run(isp, &["tier-key", "new", &format!("{member}:{opens}")])?);
		let logged = |message: &'static str| move |line: &Line| line.is(message);
		household.process.journal().wait("the tier key", PATIENCE, logged("tier key")).await?;

		println!("an alert that proves little is left to a person, who acts on it for the own subscribers");
		let attack = Attack::start(&testbed, 1, Site::A, &Site::ALL).await?;
		household.alert(&Alert::about(attack.source, Site::A.home_address())?.unproven().line)?;
		let left = provider.process.journal().wait("a letter", PATIENCE, logged("left to a person")).await?;
		let letter = left.get("id").expect("the name of the letter");
		let list = provider.run(isp, &["inbox", "list"])?;
		assert!(list.contains(letter) && list.contains(&attack.source.to_string()), "{list}");
		println!("{}", provider.run(isp, &["inbox", "act", letter])?);
		household.wait_enforced("activated for the tier", &attack.id_hex, PATIENCE).await?;
		testbed.home(Site::A).blocked(&attack.sender, PATIENCE).await?;
		assert_dropped(&testbed, &attack, &[Site::A]).await?;

		println!("nobody else does, or learns what it is about");
		for site in [Site::B, Site::C, Site::D] {
			testbed.home(site).flowing(&attack.sender, PATIENCE).await?;
			let latest = testbed.gateway(site).applied().into_iter().max().unwrap_or_default();
			assert!(latest <= before, "gateway {} has nothing to do", site.letter());
		}
		let status = testbed.chain().status().await?;
		assert_eq!((status.active, status.proposed), (0, 0), "nothing is active, and nothing awaits votes");
		assert_eq!(testbed.chain().log_head().await?.seq, before + 1, "one sealed entry");
		assert!(testbed.chain().indicator(&attack.id).await?.is_null());

		println!("the household is answered");
		let recipient = key(&Site::A.isp_secret())?.public().0;
		let mut heads = testbed.chain().best_heads().await?;
		let answered = async {
			while testbed.chain().letter(&recipient, letter).await?["answer"].is_null() {
				next(&mut heads).await?;
			}
			Ok::<_, Error>(())
		};
		within(PATIENCE, "the answer", answered).await?;

		println!("the owner tells the gateway who may come in");
		let file = testbed.work.path().join("whitelist");
		fs::write(&file, "198.18.72.9 # a friend\n").expect("a file in the testbed's folder");
		let path = file.display().to_string();
		household.run(gateway, &["whitelist", "set", &path, "--gateway-key", &opens])?;
		household.process.journal().wait("the whitelist", PATIENCE, logged("whitelist")).await?;
		let shown = household.run(gateway, &["whitelist", "show"])?;
		assert!(shown.contains("198.18.72.9"), "{shown}");
		testbed.finish();
		Ok(())
	});
}

/// Threads that leave nobody else an idle processor, until dropped.
struct Load(Arc<AtomicBool>);

impl Load {
	fn start(threads: usize) -> Self {
		let stop = Arc::new(AtomicBool::new(false));
		for _ in 0..threads {
			let stop = stop.clone();
			thread::spawn(move || {
				while !stop.load(Ordering::Relaxed) {
					std::hint::spin_loop();
				}
			});
		}
		Self(stop)
	}
}

impl Drop for Load {
	fn drop(&mut self) {
		self.0.store(true, Ordering::Relaxed);
	}
}

#[test]
fn finality_survives_a_start_under_load_and_a_partition() {
	story(async {
		let options = Options { vetting: false, gateways: false, ..Options::FULL };
		let load = Load::start(4);
		let testbed = Testbed::start(options, &step).await?;
		drop(load);
		let height = testbed.await_finality(10).await?;

		testbed.topology.partition()?;
		println!("two against two for a minute, from block {height}");
		// What is already under way may still become final.
		sleep(Duration::from_secs(10)).await;
		let frozen = finals(&testbed).await?;
		sleep(Duration::from_secs(50)).await;
		assert_eq!(finals(&testbed).await?, frozen, "neither half can make a block final");
		let mut bests = Vec::new();
		for chain in &testbed.chains {
			bests.push(chain.status().await?.best.number);
		}
		println!("final {frozen:?}, best {bests:?}");

		testbed.topology.heal()?;
		let healed = Instant::now();
		let next = frozen.iter().max().copied().unwrap_or(0) + 1;
		let height = testbed.await_finality(next).await?;
		let took = healed.elapsed();
		println!("block {height} is final everywhere {:.1} s after the wire was mended", took.as_secs_f64());
		assert!(took <= Duration::from_secs(10), "finality took {took:?} to resume");

		// It goes on, past what both halves had built, and all tell the same chain.
		let beyond = bests.iter().max().copied().unwrap_or(0) + 5;
		testbed.await_finality(beyond).await?;
		let mut hashes = HashSet::new();
		for chain in &testbed.chains {
			hashes.insert(chain.block_hash(beyond).await?);
		}
		assert_eq!(hashes.len(), 1, "all four have the same block {beyond}");
		testbed.finish();
		Ok(())
	});
}

async fn finals(testbed: &Testbed) -> Result<Vec<u32>, Error> {
	let mut numbers = Vec::new();
	for chain in &testbed.chains {
		numbers.push(chain.status().await?.finalized.number);
	}
	Ok(numbers)
}

#[test]
fn both_network_backends_carry_one_chain() {
	story(async {
		let options = Options { vetting: false, gateways: false, libp2p: 2, ..Options::FULL };
		let testbed = Testbed::start(options, &step).await?;
		// Finality takes three of the four, so at least one of each kind.
		testbed.await_finality(20).await?;
		for chain in &testbed.chains {
			assert_eq!(chain.status().await?.peers, 3, "every node is connected to every other");
		}
		testbed.finish();
		Ok(())
	});
}

#[test]
fn a_node_is_soon_ready_on_the_raw_specification() {
	story(async {
		let options = Options { validators: 1, vetting: false, gateways: false, ..Options::FULL };
		let testbed = Testbed::start(options, &step).await?;
		let ready = testbed.ready_after[0];
		println!("RPC ready {:.2} s after start", ready.as_secs_f64());
		// 5 s on a quiet machine is the aim; this bound only catches a start that compiles the runtime several times.
		assert!(ready < Duration::from_secs(30), "RPC was ready after {ready:?}");
		testbed.finish();
		Ok(())
	});
}
