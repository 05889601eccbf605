//! Benchmarks of the worst case of each call.

use super::*;
use alloc::vec::Vec;
use frame_benchmarking::v2::*;
use frame_support::{
	traits::{EnsureOrigin, Get, Time},
	BoundedVec,
};
use frame_system::RawOrigin;
use ringfence_primitives::*;

/// As many ISPs as can be.
fn isps<T: Config>() -> Vec<T::AccountId> {
	let accounts: Vec<T::AccountId> = (0..T::MaxIsps::get()).map(|index| account("voter", index, 0)).collect();
	for isp in &accounts {
		T::Members::add_isp(isp);
	}
	accounts.into_iter().filter(|isp| T::Members::voice(isp) == Some(Voice::Isp)).collect()
}

/// Protects as many networks as can be, none of which overlaps [`subject`].
fn protect_all<T: Config>() {
	let networks: Vec<Network> = (0..T::MaxProtected::get())
		.map(|index| {
			let [_, _, high, low] = index.to_be_bytes();
			Network::host(Address::V4([10, high, low, 1]))
		})
		.collect();
	ProtectedNetworks::<T>::put(BoundedVec::truncate_from(networks));
}

/// The largest indicator: a flow with every field. It names two networks to compare with those protected, and is wide.
fn subject(index: u32) -> Indicator {
	let [a, b, c, d] = index.to_be_bytes();
	let v6 = |last: u8| Network::host(Address::V6([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, a, b, c, d, last]));
	Indicator::Flow(FlowSignature {
		protocol: Some(6),
		source: Some(
			Network::new(Address::V6([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 32)
				.expect("canonical"),
		),
		destination: Some(v6(2)),
		source_ports: PortRange::new(1, 2),
		destination_ports: PortRange::new(3, 4),
		tcp_flags: TcpFlags::new(0x12, 0x02),
		icmp: None,
		packet_length: LengthRange::new(40, 60),
	})
}

fn terms() -> Terms {
	Terms {
		threat: ThreatClass::DenialOfService,
		severity: Severity::Critical,
		confidence: Confidence::MAX,
		direction: Direction::Both,
		action: Action::RateLimit(PacketRate::MAX),
		tlp: Tlp::Amber,
		lifetime: Lifetime::MIN,
		evidence: Some([1; 32]),
		note: Note::truncated(&"n".repeat(note::MAX_LEN as usize)),
	}
}

/// A log that is full, so that each append forgets an entry.
fn fill_log<T: Config>() {
	let oldest = 1u64;
	let seq = T::LogRetention::get();
	let entry = Change { seq: oldest, at: 0, previous: [0; 32], kind: ChangeKind::Revoked(subject(0)) };
	ChangeLog::<T>::insert(oldest, entry);
	Head::<T>::put(LogHead { seq, hash: [1; 32], oldest });
}

/// A wide proposal that lacks one approval of two thirds. Returns its name and who has not voted.
fn almost<T: Config>() -> (IndicatorId, T::AccountId) {
	let voters = isps::<T>();
	let indicator = subject(1);
	let id = indicator.id();
	Pallet::<T>::do_report(voters[0].clone(), indicator, terms()).expect("an ISP reports something new");
	let missing = (T::Members::isps().len() * 2).div_ceil(3) - 1;
	for voter in &voters[1..missing] {
		Pallet::<T>::do_vote(voter.clone(), id, terms().hash(), Vote::Approve).expect("an ISP that has not voted");
	}
	assert_eq!(Records::<T>::get(id).map(|record| record.status), Some(Status::Proposed));
	(id, voters[missing].clone())
}

#[benchmarks]
mod benches {
	use super::*;

	#[benchmark]
	fn report() {
		let who = isps::<T>()[0].clone();
		protect_all::<T>();
		let id = subject(1).id();

		#[extrinsic_call]
		_(RawOrigin::Signed(who), subject(1), terms());

		assert!(Records::<T>::contains_key(id));
	}

	#[benchmark]
	fn vote() {
		fill_log::<T>();
		let (id, last) = almost::<T>();
		protect_all::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(last), id, terms().hash(), Vote::Approve);

		assert!(matches!(Records::<T>::get(id).map(|record| record.status), Some(Status::Active { .. })));
	}

	#[benchmark]
	fn withdraw() {
		fill_log::<T>();
		let (id, last) = almost::<T>();
		Pallet::<T>::do_vote(last, id, terms().hash(), Vote::Approve).expect("the deciding vote");
		let reporter = Records::<T>::get(id).expect("it is active").reporter;

		#[extrinsic_call]
		_(RawOrigin::Signed(reporter), id);

		assert!(!Records::<T>::contains_key(id));
	}

	#[benchmark]
	fn ensure_blockable() {
		protect_all::<T>();
		let indicator = subject(1);
		let blockable;

		#[block]
		{
			blockable = Pallet::<T>::ensure_blockable(&indicator);
		}

		assert!(blockable.is_ok());
	}

	#[benchmark]
	fn protect() -> Result<(), BenchmarkError> {
		fill_log::<T>();
		protect_all::<T>();
		ProtectedNetworks::<T>::mutate(|networks| networks.pop());
		let origin = T::Governance::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
		let network = Network::host(Address::V4([203, 0, 113, 1]));

		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, network);

		assert!(ProtectedNetworks::<T>::get().contains(&network));
		Ok(())
	}

	#[benchmark]
	fn unprotect() -> Result<(), BenchmarkError> {
		fill_log::<T>();
		protect_all::<T>();
		let origin = T::Governance::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
		let network = ProtectedNetworks::<T>::get()[0];

		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, network);

		assert!(!ProtectedNetworks::<T>::get().contains(&network));
		Ok(())
	}

	#[benchmark]
	fn end_due(n: Linear<0, { T::MaxEndingsPerBlock::get() }>) {
		fill_log::<T>();
		// Any time but that of a chain without a clock.
		let now = T::Clock::now().saturating_add(1_000_000);
		let reporter = isps::<T>()[0].clone();
		for index in 0..n {
			let indicator = subject(index);
			let id = indicator.id();
			Pallet::<T>::file_ending(&id, now);
			Records::<T>::insert(
				id,
				Record {
					indicator,
					terms: terms(),
					reporter: reporter.clone(),
					isp: Some(reporter.clone()),
					status: Status::Active { since: 0 },
					proposed_at: 0,
					ends_at: now,
					votes: BoundedVec::new(),
				},
			);
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
