//! What is left to a person: `inbox.jsonl` in the state directory, one letter a line, and `answers.jsonl`, what the person's
//! commands want answered.
//!
//! The daemon and the commands `inbox …` share these files under one lock. Answers go through the daemon, because an answer
//! that followed an act at once would tell everybody which letter the act was about.

use super::{
	household::LETTER_AGE,
	now_ms,
	state::{self, StateError},
};
use crate::core::{envelope::AnswerKey, hex};
use ringfence_primitives::{
	envelope::{AnswerToken, Body, Outcome},
	AccountBytes, Digest, Millis,
};
use serde::{Deserialize, Serialize};
use std::{
	collections::HashSet,
	fs::{File, OpenOptions},
	io,
	os::unix::fs::OpenOptionsExt,
	path::{Path, PathBuf},
};

const LETTERS: &str = "inbox.jsonl";
const ANSWERS: &str = "answers.jsonl";
const LOCK: &str = "inbox.lock";
/// Letters that are kept at most.
pub const CAPACITY: usize = 10_000;
/// Milliseconds between two looks for room in a full tray.
const LOOK_AGAIN: Millis = 60_000;

/// Why a letter is not kept, or not found.
#[derive(Debug, thiserror::Error)]
pub enum TrayError {
	/// The files.
	#[error(transparent)]
	State(#[from] StateError),
	/// There is no more room.
	#[error("{CAPACITY} letters wait for a person already")]
	Full,
	/// No letter of that name is there.
	#[error("no letter {} is left to a person", hex::encode(.0))]
	NotFound(Digest),
}

/// A letter that is left to a person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Item {
	/// The letter's name on the chain.
	#[serde(with = "hex::serde_digest")]
	pub letter: Digest,
	/// The subscriber that sent it.
	#[serde(with = "hex::serde_digest")]
	pub from: AccountBytes,
	/// When it came.
	pub at: Millis,
	/// What it says.
	#[serde(with = "body")]
	pub body: Body,
	/// [`AnswerKey`].
	#[serde(with = "hex::serde_digest")]
	pub answer_key: [u8; 32],
}

impl Item {
	/// The answer that says `outcome`.
	pub fn answer(&self, outcome: Outcome) -> Answer {
		Answer { letter: self.letter, token: AnswerKey::from_bytes(self.answer_key).token(outcome) }
	}
}

mod body {
	use super::{hex, Body};
	use codec::{DecodeAll, Encode};
	use serde::{de::Error, Deserialize, Deserializer, Serializer};

	pub fn serialize<S: Serializer>(body: &Body, serializer: S) -> Result<S::Ok, S::Error> {
		serializer.serialize_str(&hex::encode(&body.encode()))
	}

	pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Body, D::Error> {
		let bytes = hex::decode(&String::deserialize(deserializer)?).map_err(D::Error::custom)?;
		Body::decode_all(&mut &bytes[..]).map_err(D::Error::custom)
	}
}

/// An answer that waits to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Answer {
	/// The letter's name on the chain.
	#[serde(with = "hex::serde_digest")]
	pub letter: Digest,
	/// What the chain is told.
	#[serde(with = "hex::serde_digest")]
	pub token: AnswerToken,
}

/// The files.
#[derive(Debug)]
pub struct Tray {
	directory: PathBuf,
	/// All letters that are there, and perhaps some that a command has taken out meanwhile.
	names: HashSet<Digest>,
	/// When a full tray was last looked through for letters to drop.
	looked: Millis,
}

impl Tray {
	/// The tray in `directory`, without what is too old to be answered.
	pub fn open(directory: &Path) -> Result<Self, TrayError> {
		let mut tray = Self { directory: directory.into(), names: HashSet::new(), looked: 0 };
		tray.tidy()?;
		Ok(tray)
	}

	fn lock(&self) -> Result<File, StateError> {
		let path = self.directory.join(LOCK);
		let open = || -> io::Result<File> {
			let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
			file.lock()?;
			Ok(file)
		};
		open().map_err(state::at(&path))
	}

	/// Drops what is too old, and lines that make no sense, such as one that was cut short by a power cut.
	fn tidy(&mut self) -> Result<(), TrayError> {
		let _lock = self.lock()?;
		let now = now_ms();
		let path = self.directory.join(LETTERS);
		let mut items: Vec<Item> = state::read_lines(&path)?;
		items.retain(|item| now.saturating_sub(item.at) < LETTER_AGE);
		state::replace_lines(&path, &items)?;
		self.names = items.iter().map(|item| item.letter).collect();
		Ok(())
	}

	/// Whether the letter is there, or was a short while ago.
	pub fn holds(&self, letter: &Digest) -> bool {
		self.names.contains(letter)
	}

	/// The letters that are there, oldest first.
	pub fn items(&self) -> Result<Vec<Item>, TrayError> {
		let _lock = self.lock()?;
		Ok(state::read_lines(&self.directory.join(LETTERS))?)
	}

	/// Leaves a letter to a person.
	pub fn add(&mut self, item: &Item) -> Result<(), TrayError> {
		if self.names.len() >= CAPACITY {
			// Reading ten thousand letters for each one that does not fit would be a gift to whoever floods.
			if now_ms().saturating_sub(self.looked) < LOOK_AGAIN {
				return Err(TrayError::Full);
			}
			self.looked = now_ms();
			self.tidy()?;
			if self.names.len() >= CAPACITY {
				return Err(TrayError::Full);
			}
		}
		let _lock = self.lock()?;
		state::append(&self.directory.join(LETTERS), &state::line(item))?;
		self.names.insert(item.letter);
		Ok(())
	}

	/// The letter of this name.
	pub fn find(&self, letter: &Digest) -> Result<Item, TrayError> {
		self.items()?.into_iter().find(|item| item.letter == *letter).ok_or(TrayError::NotFound(*letter))
	}

	/// Takes a letter out, to be answered with `outcome` by the daemon in its own time.
	pub fn settle(&mut self, letter: &Digest, outcome: Outcome) -> Result<(), TrayError> {
		let _lock = self.lock()?;
		let path = self.directory.join(LETTERS);
		let mut items: Vec<Item> = state::read_lines(&path)?;
		let place = items.iter().position(|item| item.letter == *letter).ok_or(TrayError::NotFound(*letter))?;
		// The answer first: after a crash in between, the letter is still there to be settled again.
		state::append(&self.directory.join(ANSWERS), &state::line(&items[place].answer(outcome)))?;
		items.remove(place);
		state::replace_lines(&path, &items)?;
		self.names.remove(letter);
		Ok(())
	}

	/// Takes out the answers that commands have left.
	pub fn take_answers(&mut self) -> Result<Vec<Answer>, TrayError> {
		let path = self.directory.join(ANSWERS);
		if !path.exists() {
			return Ok(Vec::new());
		}
		let _lock = self.lock()?;
		let answers: Vec<Answer> = state::read_lines(&path)?;
		std::fs::remove_file(&path).map_err(state::at(&path))?;
		answers.iter().for_each(|answer| {
			self.names.remove(&answer.letter);
		});
		Ok(answers)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::io::Write;

	fn item(number: u8) -> Item {
		Item {
			letter: [number; 32],
			from: [1; 32],
			at: now_ms(),
			body: Body::Dispute([number; 32]),
			answer_key: [9; 32],
		}
	}

	#[test]
	fn letters_are_kept_until_a_person_settles_them() {
		let directory = tempfile::tempdir().unwrap();
		let mut tray = Tray::open(directory.path()).unwrap();
		let (one, two) = (item(1), item(2));
		tray.add(&one).unwrap();
		tray.add(&two).unwrap();
		let mut command = Tray::open(directory.path()).unwrap();
		assert_eq!(command.items().unwrap(), [one.clone(), two.clone()]);
		command.settle(&one.letter, Outcome::Dismissed).unwrap();
		assert!(matches!(command.settle(&one.letter, Outcome::Dismissed), Err(TrayError::NotFound(_))));
		assert_eq!(tray.items().unwrap(), [two]);
		assert!(tray.holds(&one.letter), "until the answer goes out");
		let token = AnswerKey::from_bytes([9; 32]).token(Outcome::Dismissed);
		assert_eq!(tray.take_answers().unwrap(), [Answer { letter: one.letter, token }]);
		assert!(!tray.holds(&one.letter));
		assert!(tray.take_answers().unwrap().is_empty());
	}

	#[test]
	fn what_is_too_old_or_makes_no_sense_goes_at_the_next_start() {
		let directory = tempfile::tempdir().unwrap();
		let mut tray = Tray::open(directory.path()).unwrap();
		let fresh = item(2);
		tray.add(&Item { at: now_ms() - LETTER_AGE, ..item(1) }).unwrap();
		tray.add(&fresh).unwrap();
		let path = directory.path().join(LETTERS);
		OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"letter\":\"0x").unwrap();
		let tray = Tray::open(directory.path()).unwrap();
		assert_eq!(tray.items().unwrap(), [fresh]);
		assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
	}

	#[test]
	fn a_full_tray_takes_no_more() {
		let directory = tempfile::tempdir().unwrap();
		let mut tray = Tray::open(directory.path()).unwrap();
		let items: Vec<Item> = (0..CAPACITY as u64)
			.map(|number| {
				let mut letter = [0; 32];
				letter[..8].copy_from_slice(&number.to_le_bytes());
				Item { letter, ..item(0) }
			})
			.collect();
		state::replace_lines(&directory.path().join(LETTERS), &items).unwrap();
		assert!(tray.add(&item(3)).is_ok(), "what this process knows of is not full");
		let mut tray = Tray::open(directory.path()).unwrap();
		assert!(matches!(tray.add(&item(4)), Err(TrayError::Full)));
		tray.settle(&item(3).letter, Outcome::Promoted).unwrap();
		tray.settle(&items[0].letter, Outcome::Promoted).unwrap();
		assert!(tray.add(&item(4)).is_ok());
	}
}
