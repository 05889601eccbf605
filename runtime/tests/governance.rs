//! The leader, the council, and how one becomes the other.

mod common;

use codec::Encode;
use common::*;
use frame_support::{assert_err, assert_noop, assert_ok};
use frame_system::Error as SystemError;
use pallet_tiers::{Error, Leader, Members, Parameters, Quotas, Role, Settings};
use ringfence_primitives::Network;
use ringfence_runtime::{
	configs::{MOTIONS_EACH, NOT_ON_COUNCIL},
	presets, *,
};
use sp_runtime::{
	traits::Dispatchable,
	transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidityError},
	DispatchError,
};

fn network() -> Network {
	"198.51.100.0/24".parse().unwrap()
}

fn tiers_parameters() -> Parameters {
	Parameters { quotas: Quotas { isp: 700, subscriber: 7, researcher: 70 } }
}

fn indicators_parameters() -> pallet_indicators::Parameters {
	pallet_indicators::Parameters { voting_period: 60_000, ..pallet_indicators::Settings::<Runtime>::get() }
}

/// Everything that is governed, in an order in which each succeeds.
fn governed() -> Vec<RuntimeCall> {
	let upgrade = Box::new(SystemCall::authorize_upgrade { code_hash: Hash::repeat_byte(9) }.into());
	let revive = pallet_grandpa::Call::<Runtime>::note_stalled { delay: 100, best_finalized_block_number: 0 };
	let researcher = account("//Researcher");
	vec![
		TiersCall::admit { account: account("//Eve"), role: Role::Isp }.into(),
		TiersCall::suspend { account: account("//Eve") }.into(),
		TiersCall::reinstate { account: account("//Eve") }.into(),
		TiersCall::remove { account: account("//Eve") }.into(),
		TiersCall::suspend { account: researcher.clone() }.into(),
		TiersCall::remove { account: researcher }.into(),
		TiersCall::set_parameters { parameters: tiers_parameters() }.into(),
		TiersCall::govern { call: upgrade }.into(),
		TiersCall::govern { call: Box::new(revive.into()) }.into(),
		IndicatorsCall::protect { network: network() }.into(),
		IndicatorsCall::unprotect { network: network() }.into(),
		IndicatorsCall::set_parameters { parameters: indicators_parameters() }.into(),
	]
}

/// A chain of four ISPs that govern together.
fn consortium(test: impl FnOnce()) {
	chain(presets::LOCAL).execute_with(|| {
		System::set_block_number(1);
		assert_ok!(call("//Alice", TiersCall::hand_over {}));
		test();
		assert_eq!(council(), Tiers::council(), "the council is out of step");
	});
}

#[test]
fn the_leader_governs_alone_and_the_council_not_at_all() {
	chain(presets::LOCAL).execute_with(|| {
		System::set_block_number(1);
		for governed in governed() {
			assert!(call("//Bob", governed.clone()).is_err(), "{governed:?}");
			assert_err!(Motion::put("//Alice", governed.clone()).map(|_| ()), SystemError::<Runtime>::CallFiltered);
			assert_ok!(call("//Alice", governed));
		}
		assert_err!(call("//Bob", TiersCall::hand_over {}), Error::<Runtime>::NotLeader);
	});
}

#[test]
fn a_leader_hands_over_to_somebody() {
	chain(presets::DEV).execute_with(|| {
		System::set_block_number(1);
		assert_noop!(call("//Alice", TiersCall::hand_over {}), Error::<Runtime>::NobodyToHandTo);
	});
}

#[test]
fn after_the_hand_over_the_leader_can_do_nothing() {
	consortium(|| {
		assert_err!(call("//Alice", TiersCall::hand_over {}), Error::<Runtime>::NotLeader);
		// As itself, as the chain, and with everything that the council offers to one alone.
		for governed in governed() {
			assert!(call("//Alice", governed.clone()).is_err(), "{governed:?}");
			assert!(governed.clone().dispatch(RuntimeOrigin::root()).is_err(), "{governed:?}");
			let (proposal, length_bound) = (Box::new(governed.clone()), governed.encoded_size() as u32);
			assert_err!(
				call("//Alice", CouncilCall::execute { proposal, length_bound }),
				SystemError::<Runtime>::CallFiltered
			);
			for threshold in [0, 1, 2, 4] {
				assert_err!(
					Motion::put_with_threshold("//Alice", threshold, governed.clone()).map(|_| ()),
					SystemError::<Runtime>::CallFiltered
				);
			}
		}
		let members = vec![account("//Alice")];
		let alone = CouncilCall::set_members { new_members: members, prime: None, old_count: 4 };
		assert_err!(call("//Alice", alone), SystemError::<Runtime>::CallFiltered);
		for direct in [
			SystemCall::authorize_upgrade { code_hash: Hash::repeat_byte(9) },
			SystemCall::kill_storage { keys: vec![] },
			SystemCall::set_storage { items: vec![] },
			SystemCall::kill_prefix { prefix: vec![], subkeys: 0 },
		] {
			assert_err!(call("//Alice", direct), SystemError::<Runtime>::CallFiltered);
		}
		assert_eq!(Leader::<Runtime>::get(), None);
		assert!(System::authorized_upgrade().is_none());
		assert_eq!(Tiers::active_role(&account("//Eve")), None);
	});
}

#[test]
fn two_thirds_of_the_isps_decide_everything_that_is_governed() {
	consortium(|| {
		for governed in governed() {
			let motion = Motion::put("//Bob", governed.clone()).unwrap();
			assert_ok!(motion.vote("//Bob", true));
			assert_ok!(motion.vote("//Charlie", true));
			let early = pallet_collective::Error::<Runtime, configs::CouncilInstance>::TooEarly;
			assert_err!(motion.close("//Bob"), early);
			assert_ok!(motion.vote("//Dave", true));
			// An ISP that is admitted meanwhile makes two thirds a greater number.
			if council().len() == 5 {
				assert_ok!(motion.vote("//Alice", true));
			}
			assert_eq!(motion.close("//Dave"), Ok(Some(Ok(()))), "{governed:?}");
		}
		assert_eq!(Settings::<Runtime>::get(), tiers_parameters());
		assert!(System::authorized_upgrade().is_some());
		assert!(pallet_grandpa::Stalled::<Runtime>::exists());
		assert_eq!(Members::<Runtime>::get(account("//Researcher")), None);
	});
}

#[test]
fn who_does_not_vote_votes_no() {
	consortium(|| {
		let motion = Motion::put("//Bob", IndicatorsCall::protect { network: network() }).unwrap();
		assert_ok!(motion.vote("//Bob", true));
		assert_ok!(motion.vote("//Alice", false));
		System::set_block_number(System::block_number() + 172_800);
		assert_eq!(motion.close("//Charlie"), Ok(None));
		assert!(!pallet_indicators::ProtectedNetworks::<Runtime>::get().contains(&network()));
	});
}

#[test]
fn governance_makes_no_other_call_as_the_chain() {
	consortium(|| {
		for call in [
			SystemCall::kill_storage { keys: vec![] },
			SystemCall::set_storage { items: vec![] },
			SystemCall::authorize_upgrade_without_checks { code_hash: Hash::repeat_byte(9) },
			SystemCall::remark { remark: vec![] },
		] {
			let moved = TiersCall::govern { call: Box::new(call.into()) };
			assert_err!(decide(&["//Alice", "//Bob", "//Charlie"], moved), Error::<Runtime>::NotGoverned);
		}
		let moved = TiersCall::govern { call: Box::new(SystemCall::set_code { code: vec![1] }.into()) };
		assert!(Motion::put("//Alice", moved).is_err(), "too heavy even to be put");
	});
}

#[test]
fn nobody_fills_the_council_with_motions() {
	consortium(|| {
		let protect =
			|number: u8| IndicatorsCall::protect { network: format!("198.51.{number}.0/24").parse().unwrap() };
		let motions: Vec<Motion> =
			(0..MOTIONS_EACH as u8).map(|number| Motion::put("//Bob", protect(number)).unwrap()).collect();
		assert_err!(Motion::put("//Bob", protect(9)).map(|_| ()), DispatchError::Exhausted);
		// Another key of the same ISP is the same ISP.
		assert_ok!(call("//Bob", TiersCall::rotate { account: account("//Bob//new") }));
		assert_err!(Motion::put("//Bob//new", protect(9)).map(|_| ()), DispatchError::Exhausted);
		assert_ok!(Motion::put("//Charlie", protect(9)));
		// One that is closed makes room for another.
		for isp in ["//Alice", "//Charlie", "//Dave"] {
			assert_ok!(motions[0].vote(isp, false));
		}
		assert_eq!(motions[0].close("//Alice"), Ok(None));
		assert_ok!(Motion::put("//Bob//new", protect(8)));
	});
}

#[test]
fn the_council_follows_membership() {
	consortium(|| {
		let rest = ["//Alice", "//Charlie", "//Dave"];
		assert_ok!(decide(&rest, TiersCall::admit { account: account("//Eve"), role: Role::Isp }));
		assert_eq!(council().len(), 5);
		assert!(council().contains(&account("//Eve")));

		// A vote of a key that is replaced counts no more, and the key has no other.
		let motion = Motion::put("//Bob", IndicatorsCall::protect { network: network() }).unwrap();
		assert_ok!(motion.vote("//Bob", true));
		assert_ok!(call("//Bob", TiersCall::rotate { account: account("//Bob//new") }));
		assert!(council().contains(&account("//Bob//new")) && !council().contains(&account("//Bob")));
		assert!(motion.vote("//Bob", true).is_err());
		assert_ok!(motion.vote("//Bob//new", true));

		let rest = ["//Alice", "//Charlie", "//Dave", "//Eve"];
		assert_ok!(decide(&rest, TiersCall::suspend { account: account("//Bob") }));
		assert_eq!(council().len(), 4);
		assert!(motion.vote("//Bob//new", false).is_err());
		assert!(Motion::put("//Bob//new", TiersCall::reinstate { account: account("//Bob") }).is_err());

		assert_ok!(decide(&rest, TiersCall::reinstate { account: account("//Bob") }));
		assert!(council().contains(&account("//Bob//new")));
		assert_ok!(decide(&rest, TiersCall::remove { account: account("//Bob") }));
		assert_eq!(council().len(), 4);
	});
}

#[test]
fn those_who_finalize_do_not_leave_faster_than_the_chain_can_bear() {
	consortium(|| {
		let suspend = |uri: &str| TiersCall::suspend { account: account(uri) };
		assert_ok!(decide(&["//Alice", "//Bob", "//Charlie"], suspend("//Dave")));
		assert_err!(decide(&["//Alice", "//Bob"], suspend("//Charlie")), Error::<Runtime>::TooManyLeaving);
		next_session();
		assert_err!(decide(&["//Alice", "//Bob"], suspend("//Charlie")), Error::<Runtime>::TooManyLeaving);
		next_session();
		assert_eq!(Session::validators().len(), 3);
		assert_ok!(decide(&["//Alice", "//Bob"], suspend("//Charlie")));
		next_session();
		next_session();
		assert_ok!(decide(&["//Alice", "//Bob"], suspend("//Bob")));
		assert_err!(decide_alone(suspend("//Alice")), Error::<Runtime>::LastIsp);
		next_session();
		next_session();
		assert_eq!(Session::validators(), vec![account("//Alice")]);
	});
}

/// A council of one needs no vote: what came of its motion.
fn decide_alone(moved: TiersCall) -> sp_runtime::DispatchResult {
	System::reset_events();
	Motion::put("//Alice", moved).map(|_| ())?;
	System::events()
		.into_iter()
		.find_map(|record| match record.event {
			RuntimeEvent::Council(pallet_collective::Event::Executed { result, .. }) => Some(result),
			_ => None,
		})
		.expect("it is executed at once")
}

#[test]
fn only_isps_reach_the_council() {
	consortium(|| {
		System::set_block_number(0);
		let proposal: RuntimeCall = IndicatorsCall::protect { network: network() }.into();
		let length_bound = proposal.encoded_size() as u32;
		let propose = CouncilCall::propose { threshold: 3, proposal: Box::new(proposal), length_bound };
		let door = |uri: &str| {
			let transaction = signed(uri, 0, propose.clone());
			Executive::validate_transaction(TransactionSource::External, transaction, System::block_hash(0)).map(|_| ())
		};
		assert_ok!(door("//Bob"));
		let refused = Err(TransactionValidityError::Invalid(InvalidTransaction::Custom(NOT_ON_COUNCIL)));
		assert_eq!(door("//Bob//home"), refused);
		assert_eq!(door("//Researcher"), refused);
		System::set_block_number(1);
	});
}

#[test]
fn a_runtime_that_governance_let_in_is_brought_by_anybody_and_no_other_is() {
	consortium(|| {
		let bring = |code: u8| call("//Dave//home", SystemCall::apply_authorized_upgrade { code: vec![code] });
		assert_err!(bring(1), SystemError::<Runtime>::NothingAuthorized);
		let code_hash = Hash::from(sp_io::hashing::blake2_256(&[1]));
		let authorize = Box::new(SystemCall::authorize_upgrade { code_hash }.into());
		assert_ok!(decide(&["//Alice", "//Bob", "//Charlie"], TiersCall::govern { call: authorize }));
		assert_err!(bring(2), SystemError::<Runtime>::Unauthorized);
		assert!(System::authorized_upgrade().is_some());
	});
}
