//! The transaction extensions: whose transactions come in, and how many.

use crate::{mock::*, CheckMember, MortalOnly, Refusal};
use frame_support::{
	assert_ok,
	dispatch::{DispatchInfo, GetDispatchInfo},
};
use sp_runtime::{
	generic::Era,
	traits::DispatchTransaction,
	transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidityError, ValidTransaction},
};

fn call() -> RuntimeCall {
	RuntimeCall::System(frame_system::Call::remark { remark: vec![] })
}

fn info() -> DispatchInfo {
	call().get_dispatch_info()
}

fn knock(origin: RuntimeOrigin) -> Result<ValidTransaction, TransactionValidityError> {
	CheckMember::<Test>::default()
		.validate_only(origin, &call(), &info(), 0, TransactionSource::External, 0)
		.map(|(validity, ..)| validity)
}

fn enter(who: u64) -> Result<(), TransactionValidityError> {
	CheckMember::<Test>::default().validate_and_prepare(RuntimeOrigin::signed(who), &call(), &info(), 0, 0).map(|_| ())
}

fn exhausted() -> TransactionValidityError {
	InvalidTransaction::ExhaustsResources.into()
}

#[test]
fn members_come_in_by_role() {
	on_chain(|| {
		let isp = knock(RuntimeOrigin::signed(2)).unwrap();
		let researcher = knock(RuntimeOrigin::signed(90)).unwrap();
		let subscriber = knock(RuntimeOrigin::signed(20)).unwrap();
		assert!(isp.priority > researcher.priority && researcher.priority > subscriber.priority);
		assert!(isp.propagate && isp.longevity <= 64);
		assert_eq!((isp.provides, isp.requires), (vec![vec![1]], vec![vec![2]]));
	});
}

#[test]
fn strangers_the_suspended_and_the_unsigned_stay_out() {
	on_chain(|| {
		let refused = Err(Refusal::NotActiveMember.into());
		assert_eq!(knock(RuntimeOrigin::signed(77)), refused);
		assert_eq!(knock(RuntimeOrigin::none()), Err(Refusal::Unsigned.into()));
		assert_ok!(Tiers::suspend(RuntimeOrigin::signed(LEADER), 2));
		assert_eq!(knock(RuntimeOrigin::signed(2)), refused);
		assert_eq!(knock(RuntimeOrigin::signed(20)), refused);
		assert_eq!(enter(20), Err(Refusal::NotActiveMember.into()));
	});
}

#[test]
fn a_spent_quota_shuts_the_door_until_the_next_window() {
	on_chain(|| {
		for _ in 0..3 {
			assert_ok!(enter(2));
		}
		assert_eq!(enter(2), Err(exhausted()));
		assert_eq!(knock(RuntimeOrigin::signed(2)), Err(exhausted()));
		assert_ok!(enter(20));
		assert_eq!(enter(20), Err(exhausted()));
		assert_ok!(enter(3));

		System::set_block_number(9);
		assert_eq!(enter(2), Err(exhausted()));
		System::set_block_number(10);
		assert_ok!(enter(2));
		assert_eq!(Tiers::quota_left(&2, &crate::Role::Isp), 2);
	});
}

#[test]
fn preparing_debits_even_when_validation_was_earlier() {
	on_chain(|| {
		// The pool validated two transactions of a subscriber whose quota is one: the second does not fit the block.
		let validate = || {
			CheckMember::<Test>::default()
				.validate_only(RuntimeOrigin::signed(20), &call(), &info(), 0, TransactionSource::External, 0)
				.unwrap()
		};
		let (_, first, origin) = validate();
		let (_, second, _) = validate();
		let prepare = |val| {
			use sp_runtime::traits::TransactionExtension;
			CheckMember::<Test>::default().prepare(val, &origin, &call(), &info(), 0)
		};
		assert_ok!(prepare(first));
		assert_eq!(prepare(second), Err(exhausted()));
	});
}

#[test]
fn what_is_bound_to_fail_stays_out_and_costs_no_quota() {
	on_chain(|| {
		let call = RuntimeCall::System(frame_system::Call::remark { remark: vec![1] });
		let knock =
			CheckMember::<Test>::default().validate_and_prepare(RuntimeOrigin::signed(20), &call, &info(), 0, 0);
		assert_eq!(knock.map(|_| ()), Err(InvalidTransaction::Custom(16).into()));
		assert_ok!(enter(20));
	});
}

#[test]
fn immortal_transactions_stay_out() {
	on_chain(|| {
		let knock = |era: Era| {
			MortalOnly::<Test>::from(era)
				.validate_only(RuntimeOrigin::signed(2), &call(), &info(), 0, TransactionSource::External, 0)
				.map(|(validity, ..)| validity.longevity)
		};
		assert_eq!(knock(Era::Immortal), Err(Refusal::Immortal.into()));
		System::set_block_number(17);
		frame_system::BlockHash::<Test>::insert(16, <Test as frame_system::Config>::Hash::default());
		assert!(knock(Era::mortal(64, 16)).unwrap() <= 64);
	});
}
