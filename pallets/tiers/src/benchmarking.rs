//! Benchmarks of the worst case of each call.

use super::*;
use alloc::vec::Vec;
use frame_benchmarking::v2::*;
use frame_support::traits::Get;
use frame_system::RawOrigin;

/// A register with a leader and as many ISPs as fit, less `free`.
fn fill<T: Config>(free: u32) -> (T::AccountId, Vec<T::AccountId>) {
	let members: Vec<T::AccountId> =
		(0..T::MaxIsps::get().saturating_sub(free)).map(|index| account("isp", index, 0)).collect();
	for old in Isps::<T>::take() {
		Members::<T>::remove(old);
	}
	for member in &members {
		Pallet::<T>::insert(member, Role::Isp).expect("the register has room");
	}
	let leader = members[0].clone();
	Leader::<T>::put(&leader);
	(leader, members)
}

#[benchmarks]
mod benches {
	use super::*;

	#[benchmark]
	fn admit() {
		let (leader, _) = fill::<T>(1);
		let new: T::AccountId = account("new", 0, 0);

		#[extrinsic_call]
		_(RawOrigin::Signed(leader), new.clone(), Role::Isp);

		assert_eq!(Pallet::<T>::active_role(&new), Some(Role::Isp));
	}

	#[benchmark]
	fn enrol() {
		let (_, isps) = fill::<T>(0);
		let former: T::AccountId = account("former", 0, 0);
		let orphan: T::AccountId = account("orphan", 0, 0);
		// The dearest path: a subscriber whose ISP is gone is taken over.
		Pallet::<T>::insert(&orphan, Role::Subscriber { isp: former }).expect("nobody has this account");

		#[extrinsic_call]
		_(RawOrigin::Signed(isps[1].clone()), orphan.clone());

		assert_eq!(Pallet::<T>::active_role(&orphan), Some(Role::Subscriber { isp: isps[1].clone() }));
	}

	#[benchmark]
	fn suspend() {
		let (leader, isps) = fill::<T>(0);
		let last = isps[isps.len() - 1].clone();

		#[extrinsic_call]
		_(RawOrigin::Signed(leader), last.clone());

		assert_eq!(Pallet::<T>::active_role(&last), None);
	}

	#[benchmark]
	fn reinstate() {
		let (leader, isps) = fill::<T>(0);
		let last = isps[isps.len() - 1].clone();
		Pallet::<T>::do_suspend(&last).expect("an active ISP beside others");

		#[extrinsic_call]
		_(RawOrigin::Signed(leader), last.clone());

		assert_eq!(Pallet::<T>::active_role(&last), Some(Role::Isp));
	}

	#[benchmark]
	fn remove() {
		let (leader, isps) = fill::<T>(0);
		let last = isps[isps.len() - 1].clone();

		#[extrinsic_call]
		_(RawOrigin::Signed(leader), last.clone());

		assert_eq!(Pallet::<T>::active_role(&last), None);
	}

	#[benchmark]
	fn check_member() {
		let (_, isps) = fill::<T>(0);
		let subscriber: T::AccountId = account("subscriber", 0, 0);
		Pallet::<T>::do_enrol(&isps[1], &subscriber).expect("an active ISP enrols a new account");
		let granted;

		#[block]
		{
			let role = Pallet::<T>::active_role(&subscriber).expect("an active member");
			granted = Pallet::<T>::quota_left(&subscriber, &role) > 0 && Pallet::<T>::debit(&subscriber, &role);
		}

		assert!(granted);
	}
}
