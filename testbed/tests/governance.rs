//! Who validates and who decides, on real nodes that run on: ISPs join and leave, strangers stay outside, the council
//! upgrades the runtime, and a validator that speaks with two tongues is suspended.
//!
//! The nodes share the loopback, so none of this takes root.

mod common;

use codec::{Decode, Encode};
use common::{skip, tell};
use ringfence_enforcer::core::blake2_256;
use ringfence_primitives::{
	call, Action, Confidence, Direction, Indicator, Lifetime, Note, Severity, Terms, ThreatClass, Tlp,
};
use ringfence_runtime::{AccountId, Hash, RuntimeCall, SessionKeys, SESSION_BLOCKS};
use ringfence_testbed::{
	chain::{next, value_key, within},
	loopback::{key, Loopback, Part},
	Error, Result, Site, PATIENCE,
};
use sp_core::{sr25519, Pair};
use sp_runtime::Weight;
use std::{future::Future, net::Ipv4Addr, time::Duration};

/// Two sessions are two minutes; on a busy machine slots are missed.
const SESSIONS: Duration = Duration::from_secs(300);
/// Blocks after which everybody has had a turn, and then some.
const TURNS: u32 = 20;

fn account(pair: &sr25519::Pair) -> AccountId {
	pair.public().0.into()
}

fn isp(site: Site) -> Result<sr25519::Pair> {
	key(&site.isp_secret())
}

async fn name_node(network: &Loopback, owner: &sr25519::Pair, peer: Vec<u8>) -> Result<u32> {
	let node: pallet_tiers::NodeId = peer.try_into().expect("a peer id is short");
	let nodes = vec![node].try_into().expect("one is not too many");
	network.call("naming a node", owner, RuntimeCall::Tiers(pallet_tiers::Call::set_nodes { nodes })).await
}

/// Looks at every new best block of the first node until `done`; the block's number.
async fn at_block<F: Future<Output = Result<bool>>>(
	network: &Loopback,
	what: &str,
	limit: Duration,
	done: impl Fn() -> F,
) -> Result<u32> {
	let mut heads = network.chain(Site::A).best_heads().await?;
	let look = async {
		loop {
			let number = next(&mut heads).await?.number;
			if done().await? {
				return Ok::<_, Error>(number);
			}
		}
	};
	within(limit, what, look).await.map_err(|error| network.nodes[0].explain(error))
}

/// The first block from now on that `author` made.
async fn first_block_by(network: &Loopback, author: [u8; 32]) -> Result<u32> {
	let chain = network.chain(Site::A);
	let mut heads = chain.best_heads().await?;
	let look = async {
		loop {
			let head = next(&mut heads).await?;
			if chain.author(&head).await? == Some(author) {
				return Ok::<_, Error>(head.number);
			}
		}
	};
	within(SESSIONS, "a block by the new validator", look).await
}

/// The block from which on `author` has no turn any more.
async fn last_turn_of(network: &Loopback, author: [u8; 32]) -> Result<u32> {
	let gone = || async { Ok::<_, Error>(!network.chain(Site::A).authorities().await?.contains(&author)) };
	at_block(network, "a validator to leave the set", SESSIONS, gone).await
}

fn assert_refused(result: Result<u32>, what: &str) {
	assert!(matches!(result, Err(Error::Refused { .. } | Error::Rpc { .. })), "{what} ought to be refused: {result:?}");
}

#[test]
fn an_isp_joins_and_leaves_at_run_time_and_a_stranger_gets_no_blocks() {
	tell(async {
		let mut network = Loopback::start().await?;
		let (leader, eve) = (isp(Site::A)?, key("//Eve")?);

		println!("every ISP names its node, which closes the network");
		for site in Site::ALL {
			name_node(&network, &isp(site)?, network.nodes[site.index()].peer.clone()).await?;
		}
		network.await_progress(5).await?;
		let stranger = network.add("stranger", Part::Guest).await?;
		network.await_progress(TURNS).await?;
		let status = network.nodes[stranger].chain.status().await?;
		assert_eq!((status.best.number, status.finalized.number), (0, 0), "a stranger has the genesis block only");

		println!("a fifth ISP is admitted, names its node, starts it and sets its keys");
		let role = pallet_tiers::Role::Isp;
		let admit = RuntimeCall::Tiers(pallet_tiers::Call::admit { account: account(&eve), role });
		network.call("admitting an ISP", &leader, admit).await?;
		name_node(&network, &eve, network.next_peer()).await?;
		let height = network.await_progress(2).await?;
		let place = network.add("newcomer", Part::Newcomer).await?;
		let newcomer = &network.nodes[place];
		let caught_up = within(PATIENCE, "the newcomer to catch up", newcomer.chain.final_block(height)).await;
		caught_up.map_err(|error| newcomer.explain(error))?;
		let (keys, proof) = newcomer.chain.rotate_keys(&eve.public().0).await?;
		let keys = SessionKeys::decode(&mut &keys[..]).expect("session keys");
		let author = <[u8; 32]>::decode(&mut &keys.aura.encode()[..]).expect("a public key");
		let set_keys = RuntimeCall::Session(pallet_session::Call::set_keys { keys, proof });
		let since = network.call("setting session keys", &eve, set_keys).await?;

		let first = first_block_by(&network, author).await?;
		println!("keys set in block {since}, first block made is {first}");
		assert!(first <= since + 2 * SESSION_BLOCKS + TURNS, "it validates within two sessions");
		network.await_progress(TURNS).await?;

		println!("it is suspended, and leaves in the same way");
		let suspend = RuntimeCall::Tiers(pallet_tiers::Call::suspend { account: account(&eve) });
		let since = network.call("suspending an ISP", &leader, suspend).await?;
		let last = last_turn_of(&network, author).await?;
		assert!(last <= since + 2 * SESSION_BLOCKS + TURNS, "it is out within two sessions");
		network.await_progress(TURNS).await?;
		let (first, newcomer) = (network.chain(Site::A), &network.nodes[place].chain);
		let apart =
			|| async { Ok::<_, Error>(newcomer.status().await?.peers == 0 && first.status().await?.peers == 3) };
		at_block(&network, "its node to be cut off", PATIENCE, apart).await?;
		let status = network.nodes[stranger].chain.status().await?;
		assert_eq!(status.best.number, 0, "the stranger still has nothing");
		network.finish();
		Ok(())
	});
}

/// Has the council decide `proposal`, its motion number `index`, with the votes of three of the four.
async fn carry(network: &Loopback, index: u32, proposal: RuntimeCall) -> Result<u32> {
	let (length_bound, proposal_hash) = (proposal.encoded_size() as u32, Hash::from(blake2_256(&proposal.encode())));
	let ayes = [Site::A, Site::B, Site::C];
	let motion = Box::new(proposal);
	let propose =
		RuntimeCall::Council(pallet_collective::Call::propose { threshold: 3, proposal: motion, length_bound });
	network.call("proposing a motion", &isp(ayes[0])?, propose).await?;
	for site in ayes {
		let vote =
			RuntimeCall::Council(pallet_collective::Call::vote { proposal: proposal_hash, index, approve: true });
		network.call("voting for a motion", &isp(site)?, vote).await?;
	}
	// Ten milliseconds: more than any decision takes, and little of a block.
	let proposal_weight_bound = Weight::from_parts(10_000_000_000, 1_000_000);
	let close = RuntimeCall::Council(pallet_collective::Call::close {
		proposal_hash,
		index,
		proposal_weight_bound,
		length_bound,
	});
	network.call("closing a motion", &isp(Site::D)?, close).await
}

fn terms() -> Terms {
	Terms {
		threat: ThreatClass::Scan,
		severity: Severity::Medium,
		confidence: Confidence::new(80).expect("in range"),
		direction: Direction::Both,
		action: Action::Drop,
		tlp: Tlp::Green,
		lifetime: Lifetime::new(3_600).expect("in range"),
		evidence: None,
		note: Note::default(),
	}
}

#[test]
fn the_council_upgrades_the_running_chain_and_the_leader_cannot() {
	let Some(code) = ringfence_runtime::rehearsal_wasm() else {
		return skip("needs the rehearsal runtime: build with RINGFENCE_REHEARSAL=1, as scripts/lib.sh does");
	};
	tell(async {
		let network = Loopback::start().await?;
		let leader = isp(Site::A)?;
		let code_hash = Hash::from(blake2_256(code));
		let authorize = || {
			let call = Box::new(RuntimeCall::System(frame_system::Call::authorize_upgrade { code_hash }));
			RuntimeCall::Tiers(pallet_tiers::Call::govern { call })
		};
		let storage_version = async || {
			let status = network.chain(Site::A).status().await?;
			let hash = network.chain(Site::A).block_hash(status.finalized.number).await?.unwrap_or_default();
			let key = value_key("Tiers", ":__STORAGE_VERSION__:");
			Ok::<_, Error>(network.chain(Site::A).storage_at::<u16>(&key, &hash).await?.unwrap_or_default())
		};

		println!("the leader hands over; from then on it is one ISP among four");
		let hand_over = RuntimeCall::Tiers(pallet_tiers::Call::hand_over {});
		network.call("handing over", &leader, hand_over).await?;
		assert_refused(
			network.call("an upgrade by the leader", &leader, authorize()).await,
			"an upgrade by the leader",
		);

		println!("three of the four authorize the upgrade, and it is applied");
		let (before, stored) = (network.chain(Site::A).spec_version().await?, storage_version().await?);
		carry(&network, 0, authorize()).await?;
		let apply = RuntimeCall::System(frame_system::Call::apply_authorized_upgrade { code: code.to_vec() });
		let block = network.call("applying the upgrade", &leader, apply).await?;
		network.await_finality(block + TURNS).await?;
		for node in &network.nodes {
			assert_eq!(node.chain.spec_version().await?, before + 1, "the runtime that {} runs", node.name);
		}
		assert_eq!(storage_version().await?, stored + 1, "the migration has run");

		println!("and the chain goes on, with the new runtime");
		let indicator = Indicator::Host(Ipv4Addr::new(198, 18, 77, 7).into());
		network.call_encoded("a report", &isp(Site::B)?, &call::report(&indicator, &terms())).await?;
		let dossier = network.chain(Site::C).indicator(&indicator.id()).await?;
		assert!(dossier.is_object(), "{dossier}");
		network.await_progress(TURNS).await?;
		network.finish();
		Ok(())
	});
}

#[test]
fn an_isp_whose_validator_runs_twice_is_suspended() {
	tell(async {
		let mut network = Loopback::start().await?;
		let dave = isp(Site::D)?.public().0;
		let dossier = network.chain(Site::A).member(&dave).await?;
		assert_eq!(dossier["active"], true, "{dossier}");

		println!("a second node starts with D's keys");
		network.add("twin", Part::Validator(Site::D)).await?;
		let suspended = || async { Ok::<_, Error>(network.chain(Site::A).member(&dave).await?["active"] == false) };
		let block = at_block(&network, "D to be suspended", SESSIONS, suspended).await?;
		println!("D is suspended in block {block}");

		let last = last_turn_of(&network, dave).await?;
		assert!(last <= block + 2 * SESSION_BLOCKS + TURNS, "it is out within two sessions");
		network.await_progress(TURNS).await?;
		for site in [Site::A, Site::B, Site::C] {
			let dossier = network.chain(Site::A).member(&isp(site)?.public().0).await?;
			assert_eq!(dossier["active"], true, "the others are not harmed: {dossier}");
		}
		network.finish();
		Ok(())
	});
}
