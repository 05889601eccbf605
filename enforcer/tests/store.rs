//! The active set on disk: what is read is what was written, whatever happened in between.

use proptest::prelude::*;
use ringfence_enforcer::{
	core::{frame::Cursor, overrides::Overrides},
	daemon::{
		control::Filter,
		state::Durable,
		store::{self, Store, StoreError},
	},
};
use ringfence_primitives::{
	Action, ActiveDigest, Change, ChangeKind, Confidence, Decision, Digest, Direction, Indicator, IndicatorId, Network,
	Severity, ThreatClass,
};
use std::{collections::BTreeMap, path::Path};

const NOW: u64 = 1_800_000_000_000;

fn host(number: u32) -> Indicator {
	let [_, a, b, c] = number.to_be_bytes();
	format!("198.{a}.{b}.{c}").parse::<Network>().unwrap().into()
}

fn decision(number: u32, minutes: u64) -> Decision {
	Decision {
		indicator: host(number),
		direction: Direction::Both,
		action: Action::Drop,
		threat: ThreatClass::Botnet,
		severity: Severity::High,
		confidence: Confidence::MAX,
		expires_at: NOW + minutes * 60_000,
	}
}

/// A change log that is written as it goes.
struct Log {
	previous: Digest,
	seq: u64,
}

impl Log {
	fn new() -> Self {
		Self { previous: [0; 32], seq: 0 }
	}

	fn next(&mut self, kind: ChangeKind) -> Change {
		self.seq += 1;
		let change = Change { seq: self.seq, at: NOW + self.seq, previous: self.previous, kind };
		self.previous = change.hash();
		change
	}
}

fn open(directory: &Path) -> Store {
	let (store, damage) = Store::open(directory).unwrap();
	assert!(damage.is_none(), "{damage:?}");
	store
}

fn all(store: &Store) -> BTreeMap<IndicatorId, Decision> {
	let mut walk = store.walk(None);
	let mut found = Vec::new();
	while let Some(decision) = walk.next().unwrap() {
		found.push((decision.indicator.id(), decision));
	}
	assert!(found.is_sorted_by(|(one, _), (other, _)| one < other), "in the order of names, none twice");
	let found: BTreeMap<_, _> = found.into_iter().collect();
	assert_eq!(*store.digest(), found.values().collect::<ActiveDigest>());
	assert_eq!(store.count(), found.len() as u64);
	for (id, decision) in &found {
		assert_eq!(store.get(id).unwrap().as_ref(), Some(decision));
	}
	found
}

/// A store with hosts 0 to `n`, all but the last ten in the base.
fn filled(directory: &Path, n: u32) -> (Store, Log) {
	let (mut store, mut log) = (open(directory), Log::new());
	for number in 0..n {
		if number + 10 == n {
			store.compact().unwrap();
		}
		store.record(&log.next(ChangeKind::Activated(decision(number, 60)))).unwrap();
	}
	store.commit(Durable::Yes).unwrap();
	(store, log)
}

#[test]
fn an_empty_directory_is_an_empty_set() {
	let directory = tempfile::tempdir().unwrap();
	let store = open(directory.path());
	assert!(all(&store).is_empty());
	assert_eq!(store.cursor(), Cursor::START);
	assert!(!store.is_unsaved());
	assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "looking writes nothing");
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
	let directory = tempfile::tempdir().unwrap();
	let (mut store, mut log) = filled(directory.path(), 1_000);
	store.record(&log.next(ChangeKind::Extended(decision(3, 90)))).unwrap();
	store.record(&log.next(ChangeKind::Revoked(host(4)))).unwrap();
	store.record(&log.next(ChangeKind::Expired(host(5)))).unwrap();
	store.record(&log.next(ChangeKind::Expired(host(5_000)))).unwrap();
	store.record(&log.next(ChangeKind::Protected("203.0.113.0/24".parse().unwrap()))).unwrap();
	store.put_tier(decision(2_000, 10)).unwrap();
	store.put_tier(decision(2_001, 20)).unwrap();
	store.set_backfill(Some(7));
	store.commit(Durable::No).unwrap();
	let before = (all(&store), store.cursor(), store.clock(), store.tier().clone(), store.protected().clone());
	assert_eq!((before.0.len(), before.1.seq), (998, 1_005));
	for compacted in [false, true] {
		if compacted {
			store.compact().unwrap();
		}
		drop(store);
		store = open(directory.path());
		let after = (all(&store), store.cursor(), store.clock(), store.tier().clone(), store.protected().clone());
		assert_eq!(after, before);
		assert_eq!(store.backfill(), Some(7));
	}
	assert_eq!(store.expire_tier(NOW + 600_000), [host(2_000)]);
	assert_eq!(store.tier().len(), 1);
}

#[test]
fn what_was_not_committed_is_not_there() {
	let directory = tempfile::tempdir().unwrap();
	let (mut store, mut log) = filled(directory.path(), 20);
	store.record(&log.next(ChangeKind::Revoked(host(1)))).unwrap();
	assert!(store.is_unsaved());
	drop(store);
	let store = open(directory.path());
	assert_eq!((store.cursor().seq, store.count()), (20, 20));
}

#[test]
fn a_replacement_counts_from_its_installation_on() {
	let directory = tempfile::tempdir().unwrap();
	let (mut store, _) = filled(directory.path(), 20);
	store.put_tier(decision(500, 10)).unwrap();
	let mut wanted: Vec<Decision> = (10..3_000).map(|number| decision(number, 30)).collect();
	wanted.sort_by_key(|decision| decision.indicator.id());
	let digest: ActiveDigest = wanted.iter().collect();
	let cursor = Cursor { seq: 77, hash: Some([7; 32]) };
	let protected: Vec<Network> = vec!["203.0.113.0/24".parse().unwrap()];

	let mut given_up = store.replacement(cursor, None, &digest, &protected).unwrap();
	given_up.push(&wanted[0]).unwrap();
	drop(given_up);
	assert_eq!((all(&store).len(), store.cursor().seq), (20, 20));

	let mut builder = store.replacement(cursor, Some(5), &digest, &protected).unwrap();
	wanted.iter().for_each(|decision| builder.push(decision).unwrap());
	assert_eq!((builder.count(), builder.digest()), (2_990, Some(&digest)));
	// While it is being written, the provider goes on.
	store.put_tier(decision(501, 10)).unwrap();
	store.remove_tier(&host(500).id());
	store.install(builder).unwrap();
	store.commit(Durable::Yes).unwrap();
	for _ in 0..2 {
		assert_eq!(all(&store).len(), 2_990);
		assert_eq!((store.cursor(), store.backfill()), (cursor, Some(5)));
		assert!(store.protected().iter().eq(&protected));
		assert_eq!(store.tier().keys().copied().collect::<Vec<_>>(), [host(501).id()]);
		drop(store);
		store = open(directory.path());
	}
}

#[test]
fn decisions_that_do_not_ascend_are_refused() {
	let directory = tempfile::tempdir().unwrap();
	let store = open(directory.path());
	let mut builder = store.replacement(Cursor::START, None, &ActiveDigest::default(), &[]).unwrap();
	let mut two = [decision(1, 1), decision(2, 1)];
	two.sort_by_key(|decision| decision.indicator.id());
	builder.push(&two[1]).unwrap();
	for late in &two {
		assert!(matches!(builder.push(late), Err(StoreError::Order(1))), "twice, or too late");
	}
}

#[test]
fn a_damaged_base_is_dropped_and_a_damaged_log_cut() {
	let directory = tempfile::tempdir().unwrap();
	let (base, log) = (directory.path().join("active.base"), directory.path().join("active.log"));
	drop(filled(directory.path(), 500));
	let flip = |path: &Path, at: usize| {
		let mut bytes = std::fs::read(path).unwrap();
		bytes[at] ^= 1;
		std::fs::write(path, bytes).unwrap();
	};
	let length = |path: &Path| std::fs::metadata(path).unwrap().len() as usize;
	flip(&log, length(&log) - 1);
	assert_eq!(open(directory.path()).cursor().seq, 490);
	assert_eq!(length(&log), 16, "cut");
	flip(&base, length(&base) / 2);
	let (store, damage) = Store::open(directory.path()).unwrap();
	assert!(matches!(damage, Some(StoreError::Corrupt { .. })));
	assert_eq!((store.cursor(), store.count()), (Cursor::START, 0));
	assert!(!base.exists() && !log.exists());
}

#[test]
fn a_log_that_outlived_its_base_is_not_read() {
	let directory = tempfile::tempdir().unwrap();
	let log = directory.path().join("active.log");
	let (mut store, _) = filled(directory.path(), 100);
	let old = std::fs::read(&log).unwrap();
	store.compact().unwrap();
	drop(store);
	// The process died between the two renames.
	std::fs::write(&log, old).unwrap();
	std::fs::write(directory.path().join("active.new"), "half of a base").unwrap();
	let mut store = open(directory.path());
	assert_eq!(all(&store).len(), 100);
	assert!(!directory.path().join("active.new").exists());
	store.put_tier(decision(7, 7)).unwrap();
	store.commit(Durable::Yes).unwrap();
	drop(store);
	assert_eq!(open(directory.path()).tier().len(), 1);
}

#[test]
fn reading_without_a_daemon_answers_and_changes_nothing() {
	let directory = tempfile::tempdir().unwrap();
	drop(filled(directory.path(), 700));
	let log = directory.path().join("active.log");
	let torn = [std::fs::read(&log).unwrap(), vec![1, 2, 3]].concat();
	std::fs::write(&log, &torn).unwrap();
	let reader = store::read_only(directory.path()).unwrap();
	assert_eq!(reader.why(&"198.0.0.7".parse().unwrap(), NOW).unwrap().len(), 1);
	assert!(reader.why(&"198.0.0.7".parse().unwrap(), NOW + 3_600_000).unwrap().is_empty(), "over");
	assert!(reader.why(&"203.0.113.7".parse().unwrap(), NOW).unwrap().is_empty());
	assert_eq!(std::fs::read(&log).unwrap(), torn);
}

#[test]
fn a_list_is_told_in_pages() {
	let directory = tempfile::tempdir().unwrap();
	let (store, _) = filled(directory.path(), 250);
	let (mut after, mut told) = (None, Vec::new());
	loop {
		let page = store.list(&Overrides::default(), after, 100, &Filter::default(), NOW).unwrap();
		assert_eq!(page.total, 250);
		told.extend(page.blocks.into_iter().map(|block| block.id));
		after = page.next;
		if after.is_none() {
			break;
		}
	}
	assert_eq!(told, all(&store).into_keys().collect::<Vec<_>>());
	let within = Filter { within: Some("198.0.0.0/30".parse().unwrap()), ..Filter::default() };
	let page = store.list(&Overrides::default(), None, 100, &within, NOW).unwrap();
	assert_eq!((page.blocks.len(), page.next), (4, None));
}

#[derive(Clone, Debug)]
enum Step {
	Change(u8, u32),
	Commit(bool),
	Compact,
}

fn any_step() -> impl Strategy<Value = Step> {
	prop_oneof![
		12 => (0_u8..3, 0_u32..40).prop_map(|(verb, number)| Step::Change(verb, number)),
		3 => any::<bool>().prop_map(Step::Commit),
		1 => Just(Step::Compact),
	]
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(128))]

	/// Wherever a file ends after a crash, what is read is the set as it was at some place in the log, or nothing.
	#[test]
	fn a_file_that_ends_anywhere_leaves_an_earlier_set(
		steps in proptest::collection::vec(any_step(), 1..60),
		of_base in any::<bool>(),
		cut in any::<prop::sample::Index>(),
	) {
		let directory = tempfile::tempdir().unwrap();
		let (mut store, mut log) = (open(directory.path()), Log::new());
		let mut model = BTreeMap::new();
		let mut sets = vec![model.clone()];
		for (index, step) in steps.into_iter().enumerate() {
			match step {
				Step::Change(0, number) | Step::Change(1, number) => {
					let decision = decision(number, index as u64 + 1);
					model.insert(decision.indicator.id(), decision.clone());
					store.record(&log.next(ChangeKind::Activated(decision))).unwrap();
					sets.push(model.clone());
				}
				Step::Change(_, number) => {
					model.remove(&host(number).id());
					store.record(&log.next(ChangeKind::Revoked(host(number)))).unwrap();
					sets.push(model.clone());
				}
				Step::Commit(durable) => store.commit(if durable { Durable::Yes } else { Durable::No }).unwrap(),
				Step::Compact => store.compact().unwrap(),
			}
			prop_assert_eq!(&all(&store), &model);
		}
		store.commit(Durable::Yes).unwrap();
		drop(store);
		prop_assert_eq!(&all(&open(directory.path())), &model);

		let path = directory.path().join(if of_base { "active.base" } else { "active.log" });
		if let Ok(bytes) = std::fs::read(&path) {
			std::fs::write(&path, &bytes[..cut.index(bytes.len())]).unwrap();
		}
		let (mut store, damage) = Store::open(directory.path()).unwrap();
		let seq = usize::try_from(store.cursor().seq).unwrap();
		prop_assert_eq!(&all(&store), &sets[seq]);
		prop_assert!(damage.is_none() || seq == 0);
		// And it can be written again.
		store.put_tier(decision(1, 1)).unwrap();
		store.commit(Durable::Yes).unwrap();
		drop(store);
		let (store, damage) = Store::open(directory.path()).unwrap();
		prop_assert!(damage.is_none());
		prop_assert_eq!((store.tier().len(), store.cursor().seq as usize), (1, seq));
	}
}

/// Runs `work` in a directory on a disk of 256 KiB of its own, which goes with the thread. Root is needed.
fn on_a_small_disk(work: impl FnOnce(&Path) + Send + 'static) {
	// SAFETY: takes nothing and always succeeds.
	if unsafe { libc::geteuid() } != 0 {
		let required = std::env::var("RINGFENCE_REQUIRE_ROOT_TESTS").is_ok_and(|value| value == "1");
		assert!(!required, "root is needed");
		eprintln!("skipped: root is needed");
		return;
	}
	let thread = std::thread::spawn(move || {
		let directory = tempfile::tempdir().unwrap();
		let path = std::ffi::CString::new(directory.path().to_str().unwrap()).unwrap();
		// SAFETY: every pointer is to a string that ends with a zero and outlives the call; only this thread's mounts
		// change, since they are made private first.
		unsafe {
			assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0, "{}", std::io::Error::last_os_error());
			let private = libc::MS_REC | libc::MS_PRIVATE;
			let root = c"/".as_ptr();
			assert_eq!(libc::mount(std::ptr::null(), root, std::ptr::null(), private, std::ptr::null()), 0);
			let (kind, options) = (c"tmpfs".as_ptr(), c"size=256k".as_ptr().cast());
			assert_eq!(libc::mount(kind, path.as_ptr(), kind, 0, options), 0, "{}", std::io::Error::last_os_error());
		}
		work(directory.path());
		// SAFETY: as above. The directory can be removed only when nothing is mounted on it.
		unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
	});
	thread.join().unwrap();
}

#[test]
fn a_full_disk_leaves_the_old_set_and_takes_the_new_one_later() {
	on_a_small_disk(|directory| {
		let (mut store, mut log) = filled(directory, 1_000);
		let ballast = directory.join("ballast");
		let written = std::fs::write(&ballast, vec![0; 1 << 20]);
		assert!(written.is_err(), "the disk is full");
		for number in 1_000..3_000 {
			store.record(&log.next(ChangeKind::Activated(decision(number, 60)))).unwrap();
		}
		assert!(matches!(store.commit(Durable::Yes), Err(StoreError::Io { .. })));
		assert!(store.compact().is_err());
		assert!(store.is_unsaved());
		assert_eq!(all(&store).len(), 3_000, "in memory it is all there");
		let on_disk = store::read_only(directory).unwrap();
		assert_eq!(on_disk.cursor().seq, 1_000);
		std::fs::remove_file(&ballast).unwrap();
		store.commit(Durable::Yes).unwrap();
		assert!(!store.is_unsaved());
		drop(store);
		assert_eq!(all(&open(directory)).len(), 3_000);
	});
}
