//! Benchmarks of the worst case of each call.

use super::*;
use alloc::vec::Vec;
use frame_benchmarking::v2::*;
use frame_support::{
	traits::{Get, Time},
	BoundedVec,
};
use frame_system::RawOrigin;
use ringfence_primitives::{
	call::MAX_ANSWERS,
	envelope::{name, Envelope, EnvelopeRecord, Sealed, ENVELOPE_LEN, MAX_SEALED_LEN},
	Digest,
};

/// An ISP and a subscriber of it.
fn tier<T: Config>() -> (T::AccountId, T::AccountId) {
	let (isp, subscriber) = (account("isp", 0, 0), account("subscriber", 0, 0));
	T::Tiers::add_tier(&isp, &subscriber);
	(isp, subscriber)
}

fn envelope(seed: u8) -> Envelope {
	BoundedVec::truncate_from(alloc::vec![seed; ENVELOPE_LEN as usize])
}

fn letter(expires_at: u64) -> EnvelopeRecord {
	EnvelopeRecord { block: 1, index: 1, expires_at, answer: None }
}

fn digest(index: u32) -> Digest {
	name(&index.to_le_bytes())
}

#[benchmarks]
mod benches {
	use super::*;

	#[benchmark]
	fn send() {
		let (isp, subscriber) = tier::<T>();
		// Neither the mailbox nor the correspondence is new.
		Pallet::<T>::do_send(subscriber.clone(), isp.clone(), envelope(1)).expect("a subscriber writes to its ISP");
		let mailbox = Pallet::<T>::mailbox(&isp);

		#[extrinsic_call]
		_(RawOrigin::Signed(subscriber), isp, envelope(2));

		assert_eq!(Open::<T>::get(mailbox), 2);
	}

	#[benchmark]
	fn answer(n: Linear<1, { MAX_ANSWERS }>) {
		let (isp, _) = tier::<T>();
		let mailbox = Pallet::<T>::mailbox(&isp);
		let answers: Vec<(Digest, Digest)> = (0..n).map(|index| (digest(index), [7; 32])).collect();
		for (hash, _) in &answers {
			Letters::<T>::insert(mailbox, hash, letter(1));
		}

		#[extrinsic_call]
		_(RawOrigin::Signed(isp), BoundedVec::truncate_from(answers));

		assert_eq!(Letters::<T>::iter_prefix_values(mailbox).filter(|l| l.answer.is_some()).count(), n as usize);
	}

	#[benchmark]
	fn set_whitelist() {
		let (_, subscriber) = tier::<T>();
		Pallet::<T>::do_set_whitelist(subscriber.clone(), envelope(1)).expect("an owner sets its whitelist");
		let mailbox = Pallet::<T>::mailbox(&subscriber);

		#[extrinsic_call]
		_(RawOrigin::Signed(subscriber), envelope(2));

		assert_eq!(Whitelists::<T>::get(mailbox).map(|record| record.number), Some(2));
	}

	#[benchmark]
	fn announce() {
		let (isp, _) = tier::<T>();
		T::Log::fill();
		let sealed = Sealed::truncate_from(alloc::vec![1; MAX_SEALED_LEN as usize]);

		#[extrinsic_call]
		_(RawOrigin::Signed(isp.clone()), sealed);

		assert_eq!(Announcements::<T>::get(isp).1, 1);
	}

	#[benchmark]
	fn end_due(n: Linear<0, { T::MaxEndingsPerBlock::get() }>) {
		// Any time but that of a chain without a clock.
		let now = T::Clock::now().saturating_add(1_000_000);
		for index in 0..n {
			// Each in a mailbox of its own, which is the most that can be touched.
			let (mailbox, hash) = (digest(index), digest(index));
			Letters::<T>::insert(mailbox, hash, letter(now));
			Open::<T>::insert(mailbox, 2);
			Pallet::<T>::file_ending(mailbox, hash, now);
		}
		NextEndings::<T>::put(now / endings::STRETCH);
		let ended;

		#[block]
		{
			ended = Pallet::<T>::end_due(now.saturating_add(100 * endings::STRETCH));
		}

		assert_eq!(ended, n);
	}
}
