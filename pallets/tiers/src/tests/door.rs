//! The transaction extensions: whose transactions come in, and how many.

use crate::{mock::*, CheckMember, Deed, MortalOnly, Parameters, Quotas, Refusal, Role, WeightInfo as _};
use frame_support::{
	assert_ok,
	dispatch::{DispatchInfo, GetDispatchInfo},
	weights::Weight,
};
use sp_runtime::{
	generic::Era,
	traits::{DispatchTransaction, TransactionExtension},
	transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidityError, ValidTransaction},
};

type Door = CheckMember<Test>;
type Entrance = Result<(), TransactionValidityError>;

fn call() -> RuntimeCall {
	RuntimeCall::System(frame_system::Call::remark { remark: vec![] })
}

/// A call of so many items.
fn batch(items: usize) -> RuntimeCall {
	RuntimeCall::System(frame_system::Call::remark_with_event { remark: vec![0; items] })
}

fn rotation() -> RuntimeCall {
	RuntimeCall::Tiers(crate::Call::rotate { account: 102 })
}

fn revocation() -> RuntimeCall {
	RuntimeCall::Tiers(crate::Call::revoke_delegate { account: 25 })
}

fn info() -> DispatchInfo {
	call().get_dispatch_info()
}

fn knock(origin: RuntimeOrigin) -> Result<ValidTransaction, TransactionValidityError> {
	Door::default()
		.validate_only(origin, &call(), &info(), 0, TransactionSource::External, 0)
		.map(|(validity, ..)| validity)
}

fn enter_with(who: u64, call: RuntimeCall) -> Entrance {
	Door::default().validate_and_prepare(origin(who), &call, &info(), 0, 0).map(|_| ())
}

fn enter(who: u64) -> Entrance {
	enter_with(who, call())
}

fn priority_of(who: u64) -> u64 {
	knock(origin(who)).unwrap().priority
}

fn exhausted() -> TransactionValidityError {
	InvalidTransaction::ExhaustsResources.into()
}

fn barred() -> Entrance {
	Err(Refusal::NotActiveMember.into())
}

#[test]
fn members_come_in_by_role() {
	on_chain(|| {
		let isp = knock(origin(2)).unwrap();
		assert_eq!((isp.priority, priority_of(90), priority_of(20)), (3_001_020, 2_001_020, 1_001_020));
		assert!(isp.propagate && isp.longevity <= 64);
		assert!(isp.provides.is_empty() && isp.requires.is_empty());
	});
}

#[test]
fn what_has_to_come_after_something_else_waits_in_the_pool_and_no_block_takes_it() {
	on_chain(|| {
		let call = RuntimeCall::System(frame_system::Call::set_heap_pages { pages: 1 });
		let source = TransactionSource::External;
		let (validity, ..) = Door::default().validate_only(origin(2), &call, &info(), 0, source, 0).unwrap();
		assert_eq!(validity.requires, [[2]]);
		assert_eq!(enter_with(2, call), Err(InvalidTransaction::Future.into()));
	});
}

#[test]
fn strangers_the_suspended_and_the_unsigned_stay_out() {
	on_chain(|| {
		let refused = Err(Refusal::NotActiveMember.into());
		assert_eq!(knock(origin(77)), refused);
		assert_eq!(knock(RuntimeOrigin::none()), Err(Refusal::Unsigned.into()));
		assert_ok!(Tiers::suspend(origin(LEADER), 2));
		assert_eq!(knock(origin(2)), refused);
		assert_eq!(knock(origin(20)), refused);
		assert_eq!(enter(20), barred());
	});
}

#[test]
fn a_spent_quota_shuts_the_door_until_the_next_window() {
	on_chain(|| {
		for _ in 0..10 {
			assert_ok!(enter(20));
		}
		assert_eq!(enter(20), Err(exhausted()));
		assert_eq!(knock(origin(20)), Err(exhausted()));
		assert_ok!(enter(10));

		System::set_block_number(9);
		assert_eq!(enter(20), Err(exhausted()));
		System::set_block_number(10);
		assert_ok!(enter(20));
		assert_eq!(Tiers::quota_left(&20, &Role::Subscriber { isp: 2 }), 9);
	});
}

#[test]
fn a_batch_takes_as_many_items_as_it_holds() {
	on_chain(|| {
		assert_ok!(enter_with(20, batch(4)));
		assert_ok!(enter_with(20, batch(4)));
		assert_eq!(enter_with(20, batch(3)), Err(exhausted()), "two are left");
		assert_ok!(enter_with(20, batch(2)));
		assert_eq!(enter(20), Err(exhausted()));
	});
}

#[test]
fn an_empty_batch_takes_one_item() {
	on_chain(|| {
		assert_ok!(enter_with(20, batch(0)));
		assert_eq!(Tiers::spent(&20), 1);
	});
}

#[test]
fn a_batch_that_no_window_could_hold_is_refused_for_good() {
	on_chain(|| {
		assert_ok!(enter(20));
		assert_eq!(enter_with(20, batch(10)), Err(exhausted()), "the next window has room");
		assert_eq!(enter_with(20, batch(11)), Err(Refusal::TooMuchAtOnce.into()));
		let custom = TransactionValidityError::Invalid(InvalidTransaction::Custom(4));
		assert_eq!(TransactionValidityError::from(Refusal::TooMuchAtOnce), custom);
	});
}

#[test]
fn preparing_debits_even_when_validation_was_earlier() {
	on_chain(|| {
		// The pool validated two batches of a subscriber, each of which fits its quota of ten: the second does not fit
		// the block.
		let validate = || {
			Door::default().validate_only(origin(20), &batch(6), &info(), 0, TransactionSource::External, 0).unwrap()
		};
		let (_, first, signed) = validate();
		let (_, second, _) = validate();
		let prepare = |val| Door::default().prepare(val, &signed, &batch(6), &info(), 0);
		assert_ok!(prepare(first));
		assert_eq!(prepare(second), Err(exhausted()));
		assert_eq!(Tiers::spent(&20), 6, "what is refused is not counted");
	});
}

#[test]
fn who_floods_queues_behind_the_quiet() {
	on_chain(|| {
		assert_ok!(enter_with(2, batch(300)));
		assert_eq!((priority_of(2), priority_of(3)), (3_000_520, 3_001_020));
		assert_ok!(enter_with(2, batch(299)));
		assert!(priority_of(2) > priority_of(90), "roles still come first");
	});
}

#[test]
fn an_alert_goes_before_a_list_until_its_member_has_said_much_more() {
	on_chain(|| {
		let list = |who| {
			let entrance =
				Door::default().validate_only(origin(who), &batch(2), &info(), 0, TransactionSource::External, 0);
			entrance.unwrap().0.priority
		};
		assert!(priority_of(2) > list(3));
		assert_ok!(enter_with(2, batch(13)));
		assert!(priority_of(2) < list(3), "of a quota of 600");
	});
}

#[test]
fn quotas_follow_trust_and_parameters() {
	on_chain(|| {
		for _ in 0..10 {
			Tiers::note(&2, Deed::FalsePositive);
		}
		assert_eq!(enter_with(2, batch(61)), Err(Refusal::TooMuchAtOnce.into()));
		assert_ok!(enter_with(2, batch(60)));
		assert_eq!(enter(2), Err(exhausted()));
		let quotas = Quotas { isp: 700, subscriber: 10, researcher: 20 };
		assert_ok!(Tiers::set_parameters(origin(LEADER), Parameters { quotas }));
		assert_ok!(enter_with(2, batch(10)));
		assert_eq!(enter(2), Err(exhausted()));
	});
}

#[test]
fn delegates_come_in_as_their_member_and_leave_a_tenth_to_the_owner() {
	on_chain(|| {
		assert_ok!(Tiers::delegate(origin(2), 25, true, false));
		assert_eq!(enter_with(25, batch(541)), Err(Refusal::TooMuchAtOnce.into()));
		assert_ok!(enter_with(25, batch(540)));
		assert_eq!(enter(25), Err(exhausted()));
		assert_eq!(Tiers::spent(&2), 540, "a member has one quota, however many keys");
		assert_ok!(enter_with(2, revocation()));
		assert_ok!(Tiers::revoke_delegate(origin(2), 25));
		assert_eq!(enter(25), barred());
		assert_ok!(enter_with(2, batch(59)));
		assert_eq!(enter(2), Err(exhausted()));
	});
}

#[test]
fn a_key_that_was_replaced_stays_out_and_the_new_one_goes_on_with_the_same_quota() {
	on_chain(|| {
		assert_ok!(enter_with(2, batch(600)));
		assert_ok!(Tiers::rotate(origin(2), 102));
		assert_eq!(enter(2), barred());
		assert_eq!(enter(102), Err(exhausted()));
		System::set_block_number(10);
		assert_ok!(enter(102));
	});
}

#[test]
fn the_owner_of_a_suspended_member_comes_in_to_secure_its_keys_and_for_nothing_else() {
	on_chain(|| {
		assert_ok!(Tiers::delegate(origin(2), 25, true, true));
		assert_ok!(Tiers::suspend(origin(LEADER), 2));
		for _ in 0..5 {
			assert_ok!(enter_with(2, rotation()));
			assert_ok!(enter_with(2, revocation()));
		}
		assert_eq!(enter_with(2, rotation()), Err(exhausted()), "and only so often");
		assert_ok!(enter_with(20, rotation()));
		assert_eq!(enter_with(25, rotation()), barred(), "a delegate is not its owner");
		assert_eq!(enter_with(77, rotation()), barred());
		assert_eq!(enter(2), barred());
		assert_ok!(Tiers::remove(origin(LEADER), 2));
		assert_eq!(enter_with(2, rotation()), barred());
	});
}

#[test]
fn what_is_bound_to_fail_stays_out_and_costs_no_quota() {
	on_chain(|| {
		let call = RuntimeCall::System(frame_system::Call::remark { remark: vec![1] });
		assert_eq!(enter_with(20, call), Err(InvalidTransaction::Custom(16).into()));
		assert_eq!(Tiers::spent(&20), 0);
	});
}

#[test]
fn the_door_weighs_what_the_screen_does() {
	let weight = TransactionExtension::<RuntimeCall>::weight(&Door::default(), &call());
	assert_eq!(weight, <()>::check_member() + Weight::from_parts(5, 0));
}

#[test]
fn immortal_transactions_stay_out() {
	on_chain(|| {
		let knock = |era: Era| {
			MortalOnly::<Test>::from(era)
				.validate_only(origin(2), &call(), &info(), 0, TransactionSource::External, 0)
				.map(|(validity, ..)| validity.longevity)
		};
		assert_eq!(knock(Era::Immortal), Err(Refusal::Immortal.into()));
		System::set_block_number(17);
		frame_system::BlockHash::<Test>::insert(16, <Test as frame_system::Config>::Hash::default());
		assert!(knock(Era::mortal(64, 16)).unwrap() <= 64);
	});
}
