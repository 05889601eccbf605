//! The state directory and the key file.

use ringfence_enforcer::daemon::{
	key::{self, KeyError, Keys},
	state::{genesis, is_running, Journal, Memory, State, StateError},
};
use sp_core::{sr25519, Pair};
use std::{
	fs::Permissions,
	os::unix::fs::PermissionsExt,
	path::{Path, PathBuf},
};

fn mode(path: &Path) -> u32 {
	std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_missing_directory_is_made_for_the_owner_alone() {
	let parent = tempfile::tempdir().unwrap();
	let directory = parent.path().join("a/b");
	let mut journal = Journal::open(&directory).unwrap();
	assert_eq!(mode(&directory), 0o700);
	assert_eq!(journal.state.genesis, None);
	journal.save().unwrap();
	assert_eq!(mode(&directory.join("state.json")), 0o600);
}

#[test]
fn state_is_read_as_it_was_written() {
	let directory = tempfile::tempdir().unwrap();
	let mut journal = Journal::open(directory.path()).unwrap();
	journal.state.genesis = Some([7; 32]);
	journal.state.lists = Some([8; 32]);
	journal.save().unwrap();
	let written = journal.state.clone();
	assert_eq!(genesis(directory.path()).unwrap(), Some([7; 32]), "beside the enforcer that holds the lock");
	drop(journal);
	let memory = Memory::new(Journal::open(directory.path()).unwrap());
	assert_eq!(memory.read(State::clone), written);
	memory.change(State::remark).unwrap();
	let changed = memory.read(State::clone);
	assert_ne!(changed.token, written.token);
	assert_eq!((changed.genesis, changed.lists), (Some([7; 32]), None));
	drop(memory);
	let journal = Journal::open(directory.path()).unwrap();
	assert_eq!(journal.state, changed);
	assert!(journal.corrupt.is_none());
}

#[test]
fn each_fresh_state_has_its_own_mark() {
	let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
	let token = |directory: &Path| Journal::open(directory).unwrap().state.token;
	assert_ne!(token(one.path()), token(other.path()));
}

#[test]
fn a_state_that_makes_no_sense_is_put_aside() {
	for text in [
		"",
		"{",
		"null",
		"{\"version\":1}",
		"{\"version\":1,\"token\":\"00\"}",
		"{\"version\":2,\"seq\":1,\"token\":\"00\"}",
	] {
		let directory = tempfile::tempdir().unwrap();
		std::fs::write(directory.path().join("state.json"), text).unwrap();
		let journal = Journal::open(directory.path()).unwrap();
		assert!(journal.corrupt.is_some(), "{text:?}");
		assert_eq!(journal.state.genesis, None, "{text:?}");
		let kept = std::fs::read_to_string(directory.path().join("state.json.corrupt")).unwrap();
		assert_eq!(kept, text);
		assert!(!directory.path().join("state.json").exists());
	}
}

#[test]
fn one_enforcer_at_a_time() {
	let directory = tempfile::tempdir().unwrap();
	assert!(!is_running(directory.path()).unwrap());
	let journal = Journal::open(directory.path()).unwrap();
	assert!(is_running(directory.path()).unwrap());
	assert!(matches!(Journal::open(directory.path()), Err(StateError::Locked(_))));
	drop(journal);
	assert!(!is_running(directory.path()).unwrap());
	Journal::open(directory.path()).unwrap();
}

#[test]
fn what_is_forgotten_is_gone() {
	let directory = tempfile::tempdir().unwrap();
	let mut journal = Journal::open(directory.path()).unwrap();
	journal.state.genesis = Some([7; 32]);
	journal.save().unwrap();
	for name in ["active.base", "active.log", "overrides.json"] {
		std::fs::write(directory.path().join(name), "").unwrap();
	}
	journal.forget().unwrap();
	assert_eq!(Journal::open(directory.path()).unwrap().state.genesis, None);
	assert!(!directory.path().join("active.base").exists() && !directory.path().join("active.log").exists());
	assert!(directory.path().join("overrides.json").exists(), "the household's own word stays");
	Journal::open(directory.path()).unwrap().forget().unwrap();
}

/// A key file with this content and mode, and the directory that it lies in.
fn key_file(content: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
	let directory = tempfile::tempdir().unwrap();
	let path = directory.path().join("key");
	std::fs::write(&path, content).unwrap();
	std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
	(directory, path)
}

#[test]
fn keys_are_phrases_seeds_and_paths() {
	let alice = sr25519::Pair::from_string("//Alice", None).unwrap().public();
	let phrase = "bottom drive obey lake curtain smoke basket hold race lonely fit walk//Alice";
	let seed = "0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a";
	for content in ["//Alice", "//Alice\n", "  //Alice  \n\n", phrase, seed] {
		let (_directory, path) = key_file(content, 0o600);
		assert_eq!(key::load(&path).unwrap().public(), alice, "{content:?}");
	}
	let (_directory, path) = key_file("//Alice", 0o400);
	assert!(key::load(&path).is_ok());
}

#[test]
fn one_secret_signs_and_opens_envelopes() {
	let public = |secret: &str| Keys::of(secret).unwrap().envelope.public();
	let phrase = "bottom drive obey lake curtain smoke basket hold race lonely fit walk//Alice";
	let seed = "0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a";
	assert_eq!(public("//Alice"), public(phrase));
	assert_eq!(public("//Alice"), public(seed));
	assert_ne!(public("//Alice"), public("//Bob"));
	assert_eq!(public("//Alice/0"), public("//Alice/0"), "where no seed is left as well");
	assert_ne!(public("//Alice/0"), public("//Alice"));
	let (_directory, path) = key_file("//Alice", 0o600);
	assert_eq!(key::load_all(&path).unwrap().envelope.public(), public("//Alice"));
}

#[test]
fn a_key_that_others_may_read_is_refused() {
	for mode in [0o640, 0o604, 0o660, 0o644, 0o700, 0o4600, 0o200, 0o000] {
		let (_directory, path) = key_file("//Alice", mode);
		match key::load(&path) {
			Err(KeyError::Mode { mode: found, .. }) => assert_eq!(found, mode),
			// Whoever is not root cannot open what has no permission to read at all.
			Err(KeyError::Io { .. }) if mode & 0o400 == 0 => {}
			other => panic!("mode {mode:o}: {:?}", other.map(|_| "accepted")),
		}
	}
}

#[test]
fn what_holds_no_secret_is_refused_without_telling_it() {
	let cases = [
		"",
		"\n",
		"//Alice\n//Bob\n",
		"bottom drive obey lake",
		"0x1234",
		"\u{0}",
		"bottom drive obey lake curtain smoke basket hold race lonely fit wolk",
	];
	for content in cases {
		let (_directory, path) = key_file(content, 0o600);
		let error = key::load(&path).err().unwrap();
		assert!(matches!(error, KeyError::Content(_)), "{content:?}: {error}");
		assert!(!error.to_string().contains("bottom"));
	}
	let (directory, _) = key_file("", 0o600);
	assert!(matches!(key::load(directory.path()), Err(KeyError::NotAFile(_))));
	assert!(matches!(key::load(&directory.path().join("missing")), Err(KeyError::Io { .. })));
}
