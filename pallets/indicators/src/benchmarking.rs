//! Benchmarks of the worst case of each call.

use super::*;
use crate::{
	endings::{stretch, MAX_SKIPPED, PER_DISPUTE, STRETCH},
	files::{File, Files},
};
use alloc::vec::Vec;
use frame_benchmarking::v2::*;
use frame_support::{
	traits::{EnsureOrigin, Get, Time},
	BoundedVec,
};
use frame_system::RawOrigin;
use ringfence_primitives::{call::MAX_BATCH, *};

/// Any time but that of a chain without a clock.
const LATER: Millis = 1_000_000_000;

/// So long after an ending that there are more empty stretches than a block may skip.
const MUCH_LATER: Millis = 2 * MAX_SKIPPED as Millis * STRETCH;

/// `count` ISPs in all. Where the chain begins with more, these are all there are.
fn isps<T: Config>(count: u32) -> Vec<T::AccountId> {
	for index in T::Members::isp_count()..count {
		T::Members::add_isp(&account("voter", index, 0));
	}
	T::Members::isps()
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

/// The largest indicator: a flow with every field. It names two networks to compare with those protected, and is filed by
/// its source. It is wide where the source is a /32, and not where it is a /48.
fn flow(index: u32, source: u8) -> Indicator {
	let [a, b, c, d] = index.to_be_bytes();
	let prefix = Address::V6([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
	let host = Address::V6([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, a, b, c, d, 2]);
	Indicator::Flow(FlowSignature {
		protocol: Some(6),
		source: Some(Network::new(prefix, source).expect("canonical")),
		destination: Some(Network::host(host)),
		source_ports: PortRange::new(1, 2),
		destination_ports: PortRange::new(3, 4),
		tcp_flags: TcpFlags::new(0x12, 0x02),
		icmp: None,
		packet_length: LengthRange::new(40, 60),
	})
}

fn subject(index: u32) -> Indicator {
	flow(index, 32)
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

/// A log that is full, so that each of the next `appends` forgets an entry.
fn fill_log<T: Config>(appends: u32) {
	let oldest = 1u64;
	let seq = T::LogRetention::get();
	for seq in (oldest..).take(appends as usize) {
		let entry = Change { seq, at: 0, previous: [0; 32], kind: ChangeKind::Revoked(subject(0)) };
		ChangeLog::<T>::insert(keys::LogNumber::from(seq), entry);
	}
	Head::<T>::put(LogHead { seq, hash: [1; 32], oldest });
}

fn all<AccountId: Clone>(isps: &[AccountId], vote: Vote) -> Vec<(AccountId, Vote)> {
	isps.iter().map(|isp| (isp.clone(), vote)).collect()
}

/// Puts [`subject`] number `index` on record. Returns its name.
fn put<T: Config>(
	index: u32,
	reporter: &T::AccountId,
	status: Status,
	votes: Vec<(T::AccountId, Vote)>,
	dispute: Dispute<T::AccountId, T::MaxIsps>,
) -> IndicatorId {
	let indicator = subject(index);
	let id = indicator.id();
	let record = Record {
		terms: terms(),
		reporter: reporter.clone(),
		status,
		proposed_at: 0,
		ends_at: T::Clock::now().saturating_add(LATER),
		confidence: terms().confidence,
		votes: BoundedVec::truncate_from(votes),
		dispute,
		page: 0,
		indicator,
	};
	let mut sitting = crate::sitting::Sitting::<T>::open();
	if record.is_enforced() {
		sitting.active.one_more();
		sitting.digest.change().add(&record.decision());
	}
	sitting.records.one_more();
	Pallet::<T>::index_named(&id, &record.indicator);
	Pallet::<T>::enter(&mut sitting, &id, record);
	sitting.close();
	id
}

/// Files so many other names for an ending at `at` that there is room for one more on their page.
fn crowd<T: Config>(file: File, at: Millis) {
	let mut files = Files::<T>::default();
	for index in 1..PAGE {
		files.add(file, stretch(at), subject(u32::MAX - index).id());
	}
	files.close();
}

/// Puts a proposal on record that lacks one approval, of the last of `isps`, and would lack just one rejection. Returns its
/// name.
fn almost<T: Config>(index: u32, isps: &[T::AccountId]) -> IndicatorId {
	let approvals = (isps.len() * 2).div_ceil(3) - 1;
	let rejections = isps.len().div_ceil(3) - 1;
	let (approvers, others) = isps.split_at(approvals);
	let votes = [all(approvers, Vote::Approve), all(&others[..rejections], Vote::Reject)].concat();
	put::<T>(index, &isps[0], Status::Proposed, votes, Dispute::None)
}

/// Puts a disputed indicator on record that everybody has approved, and that everybody but the last of `isps` has voted on
/// again: one more rejection revokes it. Returns its name.
fn doomed<T: Config>(index: u32, isps: &[T::AccountId]) -> IndicatorId {
	let rejections = isps.len() / 2;
	let mut votes = all(&isps[..isps.len() - 1], Vote::Approve);
	for (_, vote) in votes.iter_mut().take(rejections) {
		*vote = Vote::Reject;
	}
	let dispute = Dispute::Open {
		by: isps[isps.len() - 1].clone(),
		until: T::Clock::now().saturating_add(LATER - STRETCH),
		before: BoundedVec::truncate_from(all(isps, Vote::Approve)),
	};
	put::<T>(index, &isps[0], Status::Active { since: 0 }, votes, dispute)
}

fn ballot(id: IndicatorId, vote: Vote) -> Ballot {
	Ballot { id, terms: terms().hash(), vote }
}

fn batch<T>(count: u32, item: impl Fn(u32) -> T) -> BoundedVec<T, frame_support::traits::ConstU32<MAX_BATCH>> {
	BoundedVec::truncate_from((0..count).map(item).collect())
}

#[benchmarks]
mod benches {
	use super::*;

	#[benchmark]
	fn report(n: Linear<1, { T::MaxIsps::get() }>) {
		let who = isps::<T>(n)[0].clone();
		protect_all::<T>();
		fill_log::<T>(1);
		crowd::<T>(File::Awaiting, T::Clock::now().saturating_add(Settings::<T>::get().voting_period));
		let id = subject(1).id();

		#[extrinsic_call]
		_(RawOrigin::Signed(who), subject(1), terms());

		assert!(Records::<T>::contains_key(id));
	}

	#[benchmark]
	fn report_provisionally(n: Linear<1, { T::MaxIsps::get() }>) {
		let who = isps::<T>(n)[0].clone();
		// More than any register asks for.
		for _ in 0..100 {
			T::Members::note(&who, Deed::Confirmed);
		}
		protect_all::<T>();
		fill_log::<T>(1);
		let lifetime = Settings::<T>::get().provisional_lifetime.min(Pallet::<T>::millis(&terms()));
		crowd::<T>(File::Awaiting, T::Clock::now().saturating_add(lifetime));
		let indicator = flow(1, 48);
		let id = indicator.id();

		#[extrinsic_call]
		_(RawOrigin::Signed(who), indicator, terms());

		assert!(Records::<T>::get(id).is_some_and(|record| record.is_enforced()));
	}

	#[benchmark]
	fn vote(n: Linear<1, { T::MaxIsps::get() }>) {
		let isps = isps::<T>(n);
		fill_log::<T>(1);
		protect_all::<T>();
		crowd::<T>(File::Awaiting, T::Clock::now().saturating_add(LATER - STRETCH));
		let id = doomed::<T>(1, &isps);
		let last = isps[isps.len() - 1].clone();

		#[extrinsic_call]
		_(RawOrigin::Signed(last), id, terms().hash(), Vote::Reject, None);

		assert!(!Records::<T>::contains_key(id));
	}

	#[benchmark]
	fn withdraw() {
		let isps = isps::<T>(T::MaxIsps::get());
		fill_log::<T>(1);
		crowd::<T>(File::Awaiting, T::Clock::now().saturating_add(LATER - STRETCH));
		let id = doomed::<T>(1, &isps);

		#[extrinsic_call]
		_(RawOrigin::Signed(isps[0].clone()), id);

		assert!(!Records::<T>::contains_key(id));
	}

	#[benchmark]
	fn dispute(n: Linear<1, { T::MaxIsps::get() }>) {
		let isps = isps::<T>(n.max(2));
		let votes = all(&isps, Vote::Approve);
		crowd::<T>(File::Decided, T::Clock::now().saturating_add(LATER));
		crowd::<T>(File::Awaiting, T::Clock::now().saturating_add(Settings::<T>::get().voting_period));
		let id = put::<T>(1, &isps[0], Status::Active { since: 0 }, votes, Dispute::None);

		#[extrinsic_call]
		_(RawOrigin::Signed(isps[1].clone()), id);

		assert!(Records::<T>::get(id).is_some_and(|record| record.is_disputed()));
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
		fill_log::<T>(1);
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
		fill_log::<T>(1);
		protect_all::<T>();
		let origin = T::Governance::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
		let network = ProtectedNetworks::<T>::get()[0];

		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, network);

		assert!(!ProtectedNetworks::<T>::get().contains(&network));
		Ok(())
	}

	#[benchmark]
	fn set_parameters() -> Result<(), BenchmarkError> {
		let origin = T::Governance::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
		let parameters = Parameters { open_cap: 12_345, ..T::InitialParameters::get() };

		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, parameters);

		assert_eq!(Settings::<T>::get(), parameters);
		Ok(())
	}

	#[benchmark]
	fn report_batch(i: Linear<1, MAX_BATCH>) {
		let who = isps::<T>(T::MaxIsps::get())[0].clone();
		protect_all::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(who), terms(), batch(i, subject));

		assert_eq!(RecordCount::<T>::get(), i);
	}

	#[benchmark]
	fn vote_batch(i: Linear<1, MAX_BATCH>) {
		let isps = isps::<T>(T::MaxIsps::get());
		fill_log::<T>(i);
		protect_all::<T>();
		let before = ActiveCount::<T>::get();
		let ballots = batch(i, |index| ballot(almost::<T>(index, &isps), Vote::Approve));

		#[extrinsic_call]
		_(RawOrigin::Signed(isps[isps.len() - 1].clone()), ballots, None);

		assert_eq!(ActiveCount::<T>::get(), before + i);
	}

	#[benchmark]
	fn overturn_batch(i: Linear<1, MAX_BATCH>) {
		let isps = isps::<T>(T::MaxIsps::get());
		fill_log::<T>(i);
		let ballots = batch(i, |index| ballot(doomed::<T>(index, &isps), Vote::Reject));

		#[extrinsic_call]
		vote_batch(RawOrigin::Signed(isps[isps.len() - 1].clone()), ballots, None);

		assert_eq!(RecordCount::<T>::get(), 0);
	}

	/// Votes that decide nothing, in disputes in which nearly everybody has voted twice: an ISP that has approved says now
	/// that it saw the indicator, too.
	#[benchmark]
	fn cast_batch(i: Linear<1, MAX_BATCH>) {
		let isps = isps::<T>(T::MaxIsps::get());
		protect_all::<T>();
		let ballots = batch(i, |index| ballot(doomed::<T>(index, &isps), Vote::Sighting));

		#[extrinsic_call]
		vote_batch(RawOrigin::Signed(isps[isps.len() - 2].clone()), ballots, None);

		assert_eq!(ProposedCount::<T>::get(), i);
	}

	#[benchmark]
	fn deeds(d: Linear<0, 4_096>, n: Linear<1, { T::MaxIsps::get() }>) {
		let isps = isps::<T>(n);

		#[block]
		{
			for index in 0..d {
				T::Members::note(&isps[(index % n) as usize], Deed::Misjudged);
			}
		}
	}

	#[benchmark]
	fn pages(p: Linear<0, { 3 * MAX_BATCH + 1 }>) {
		let name = |number: u32| subject(number).id();
		let full: Page = BoundedVec::truncate_from((0..PAGE).map(name).collect());
		for stretch in 0..p.into() {
			Awaiting::<T>::insert(stretch, 0, full.clone());
		}
		let last = name(PAGE - 1);

		#[block]
		{
			let mut files = Files::<T>::default();
			for stretch in 0..p.into() {
				files.take(File::Awaiting, stretch, 0, &last);
			}
			files.close();
		}

		assert!((0..p.into()).all(|stretch| !Awaiting::<T>::get(stretch, 0).contains(&last)));
	}

	/// Records that are as large as a disputed one and cost a member's counts as a provisional one does: more than any does.
	#[benchmark]
	fn end_due(n: Linear<0, { T::MaxEndingsPerBlock::get() }>) {
		fill_log::<T>(n);
		let isps = isps::<T>(T::MaxIsps::get());
		let due = T::Clock::now().saturating_add(LATER);
		for index in 0..n {
			let votes = all(&isps, Vote::Approve);
			let before = BoundedVec::truncate_from(votes.clone());
			let contested = Dispute::Open { by: isps[1].clone(), until: due, before };
			put::<T>(index, &isps[0], Status::Provisional { since: 0 }, votes, contested);
		}
		NextEndings::<T>::put(stretch(due));
		let ended;

		#[block]
		{
			ended = Pallet::<T>::end_due(due.saturating_add(MUCH_LATER));
		}

		assert_eq!(ended.records, n);
	}

	#[benchmark]
	fn settle_due(n: Linear<0, { T::MaxEndingsPerBlock::get().div_ceil(PER_DISPUTE) }>) {
		let isps = isps::<T>(T::MaxIsps::get());
		fill_log::<T>(n);
		for index in 0..n {
			doomed::<T>(index, &isps);
		}
		for id in Records::<T>::iter_keys().collect::<Vec<_>>() {
			Records::<T>::mutate(id, |record| {
				if let Some(record) = record {
					record.votes = BoundedVec::truncate_from(all(&isps, Vote::Reject));
				}
			});
		}
		let due = T::Clock::now().saturating_add(LATER - STRETCH);
		NextEndings::<T>::put(stretch(due));
		let ended;

		#[block]
		{
			ended = Pallet::<T>::end_due(due.saturating_add(MUCH_LATER));
		}

		assert_eq!(ended.disputes, n);
	}
}
