//! Benchmarks of the worst case of each call.

use super::*;
use alloc::{boxed::Box, vec, vec::Vec};
use frame_benchmarking::v2::*;
use frame_support::{
	traits::{ConstU32, Get},
	BoundedVec,
};
use frame_system::RawOrigin;

/// A register with a leader and as many ISPs as fit, less `free`.
fn fill<T: Config>(free: u32) -> (T::AccountId, Vec<T::AccountId>) {
	let members: Vec<T::AccountId> =
		(0..T::MaxIsps::get().saturating_sub(free)).map(|index| account("isp", index, 0)).collect();
	for old in Isps::<T>::take() {
		Pallet::<T>::forget(&old);
	}
	for member in &members {
		Pallet::<T>::insert(member, Role::Isp).expect("the register has room");
	}
	let leader = members[0].clone();
	Leader::<T>::put(&leader);
	(leader, members)
}

/// The last of them, with as many delegates and nodes as it may have.
fn equip<T: Config>(isps: &[T::AccountId]) -> T::AccountId {
	let last = isps[isps.len() - 1].clone();
	name_delegates::<T>(&last, T::MaxDelegates::get());
	Nodes::<T>::insert(&last, nodes());
	EnvelopeKeys::<T>::insert(&last, [1; 32]);
	last
}

fn name_delegates<T: Config>(member: &T::AccountId, number: u32) {
	for index in 0..number {
		let delegate: T::AccountId = account("delegate", index, 0);
		Pallet::<T>::do_delegate(member, &delegate, true, true).expect("a new key and a free place");
	}
}

/// A subscriber: whether it may act takes a look at its ISP as well.
fn subscribe<T: Config>(isp: &T::AccountId) -> T::AccountId {
	let subscriber: T::AccountId = account("subscriber", 0, 0);
	Pallet::<T>::do_enrol(isp, &subscriber).expect("an active ISP enrols a new account");
	subscriber
}

fn nodes() -> BoundedVec<NodeId, ConstU32<MAX_NODES>> {
	let node = NodeId::truncate_from(vec![1; 64]);
	BoundedVec::truncate_from(vec![node; MAX_NODES as usize])
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
		let new: T::AccountId = account("new", 0, 0);

		#[extrinsic_call]
		_(RawOrigin::Signed(isps[1].clone()), new.clone());

		assert_eq!(Pallet::<T>::active_role(&new), Some(Role::Subscriber { isp: isps[1].clone() }));
	}

	#[benchmark]
	fn suspend() {
		let (leader, isps) = fill::<T>(0);
		let last = equip::<T>(&isps);

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
		let last = equip::<T>(&isps);

		#[extrinsic_call]
		_(RawOrigin::Signed(leader), last.clone());

		assert_eq!(Pallet::<T>::signer(&last), None);
	}

	#[benchmark]
	fn hand_over() {
		let (leader, _) = fill::<T>(0);

		#[extrinsic_call]
		_(RawOrigin::Signed(leader));

		assert_eq!(Leader::<T>::get(), None);
	}

	#[benchmark]
	fn delegate() {
		let (_, isps) = fill::<T>(0);
		let subscriber = subscribe::<T>(&isps[1]);
		name_delegates::<T>(&subscriber, T::MaxDelegates::get().saturating_sub(1));
		let new: T::AccountId = account("new", 0, 0);

		#[extrinsic_call]
		_(RawOrigin::Signed(subscriber.clone()), new.clone(), true, true);

		assert_eq!(Pallet::<T>::signer(&new).map(|signer| signer.member), Some(subscriber));
	}

	#[benchmark]
	fn revoke_delegate() {
		let (_, isps) = fill::<T>(0);
		let last = equip::<T>(&isps);
		let hot_key: T::AccountId = account("delegate", 0, 0);

		#[extrinsic_call]
		_(RawOrigin::Signed(last), hot_key.clone());

		assert_eq!(Pallet::<T>::signer(&hot_key), None);
	}

	#[benchmark]
	fn rotate() {
		let (_, isps) = fill::<T>(0);
		let last = isps[isps.len() - 1].clone();
		let new: T::AccountId = account("new", 0, 0);

		#[extrinsic_call]
		_(RawOrigin::Signed(last.clone()), new.clone());

		assert_eq!(Owners::<T>::get(&last), Some(new));
	}

	#[benchmark]
	fn set_nodes() {
		let (_, isps) = fill::<T>(0);
		let last = isps[isps.len() - 1].clone();

		#[extrinsic_call]
		_(RawOrigin::Signed(last.clone()), nodes());

		assert_eq!(Pallet::<T>::nodes_of(&last).len(), MAX_NODES as usize);
	}

	#[benchmark]
	fn set_envelope_key() {
		let (_, isps) = fill::<T>(0);
		let subscriber = subscribe::<T>(&isps[1]);

		#[extrinsic_call]
		_(RawOrigin::Signed(subscriber.clone()), [1; 32]);

		assert_eq!(EnvelopeKeys::<T>::get(&subscriber), Some([1; 32]));
	}

	#[benchmark]
	fn set_parameters() {
		let (leader, _) = fill::<T>(0);
		let parameters = Parameters { quotas: Quotas { isp: u32::MAX, subscriber: 1, researcher: 1 } };

		#[extrinsic_call]
		_(RawOrigin::Signed(leader), parameters);

		assert_eq!(Settings::<T>::get(), parameters);
	}

	#[benchmark]
	fn govern() {
		let (leader, _) = fill::<T>(0);
		let upgrade = frame_system::Call::<T>::authorize_upgrade { code_hash: Default::default() };
		let call: Box<<T as Config>::RuntimeCall> = Box::new(upgrade.into());

		#[extrinsic_call]
		_(RawOrigin::Signed(leader), call);

		assert!(frame_system::Pallet::<T>::authorized_upgrade().is_some());
	}

	#[benchmark]
	fn check_member() {
		let (_, isps) = fill::<T>(0);
		let subscriber = subscribe::<T>(&isps[1]);
		name_delegates::<T>(&subscriber, 1);
		let hot_key: T::AccountId = account("delegate", 0, 0);
		Pallet::<T>::note(&subscriber, Deed::Confirmed);
		let granted;

		#[block]
		{
			let pass = Pallet::<T>::pass(&hot_key, false).expect("a delegate of an active member");
			granted = Pallet::<T>::debit(&pass.member, 1, pass.allowance);
		}

		assert!(granted);
	}
}
