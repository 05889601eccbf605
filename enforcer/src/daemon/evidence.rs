//! The evidence that is kept: `evidence.jsonl` in the state directory, a record a line, and the one before it,
//! `evidence.old.jsonl`. A report names the hash of its record; whoever audits asks for it here.

use super::state::{self, StateError};
use crate::core::{blake2_256, evidence::Record};
use ringfence_primitives::Digest;
use std::{
	fs::File,
	io::{self, BufRead, BufReader},
	path::{Path, PathBuf},
};

const FILE: &str = "evidence.jsonl";
const OLD: &str = "evidence.old.jsonl";
/// Bytes of a file at which the next is begun. Both together hold some ten thousand records.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// The files.
#[derive(Debug)]
pub struct Archive {
	directory: PathBuf,
}

impl Archive {
	/// Those in `directory`.
	pub fn new(directory: &Path) -> Self {
		Self { directory: directory.into() }
	}

	/// Keeps a record.
	pub fn keep(&self, record: &Record) -> Result<(), StateError> {
		let path = self.directory.join(FILE);
		if path.metadata().is_ok_and(|file| file.len() >= MAX_BYTES) {
			std::fs::rename(&path, self.directory.join(OLD)).map_err(state::at(&path))?;
		}
		state::append(&path, &record.line())
	}

	/// The line whose hash is `digest`, as it was kept.
	pub fn find(&self, digest: &Digest) -> Result<Option<String>, StateError> {
		for name in [FILE, OLD] {
			let path = self.directory.join(name);
			let file = match File::open(&path) {
				Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
				file => file.map_err(state::at(&path))?,
			};
			for line in BufReader::new(file).lines() {
				let line = line.map_err(state::at(&path))?;
				if blake2_256(line.as_bytes()) == *digest {
					return Ok(Some(line));
				}
			}
		}
		Ok(None)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::core::evidence::Evidence;
	use ringfence_primitives::Indicator;

	fn record(host: u32, text: &str) -> Record {
		let indicator = Indicator::Host(std::net::Ipv4Addr::from(host).into());
		Record::new(&indicator, &Evidence::of_line("suricata", text, 5), u64::from(host))
	}

	#[test]
	fn what_a_report_names_is_found_again() {
		let directory = tempfile::tempdir().unwrap();
		let archive = Archive::new(directory.path());
		assert_eq!(archive.find(&[1; 32]).unwrap(), None);
		let records: Vec<_> = (1..50).map(|host| record(host, "alert")).collect();
		records.iter().for_each(|record| archive.keep(record).unwrap());
		for record in &records {
			assert_eq!(archive.find(&record.digest()).unwrap(), Some(record.line()));
		}
		assert_eq!(archive.find(&record(99, "alert").digest()).unwrap(), None);
	}

	#[test]
	fn the_files_have_a_bound_and_the_newest_stay() {
		let directory = tempfile::tempdir().unwrap();
		let archive = Archive::new(directory.path());
		std::fs::write(directory.path().join(FILE), "x".repeat(MAX_BYTES as usize)).unwrap();
		archive.keep(&record(1, "alert")).unwrap();
		assert!(directory.path().join(FILE).metadata().unwrap().len() < 1_000);
		std::fs::write(directory.path().join(FILE), "y".repeat(MAX_BYTES as usize)).unwrap();
		archive.keep(&record(2, "alert")).unwrap();
		let total: u64 = [FILE, OLD].map(|name| directory.path().join(name).metadata().unwrap().len()).iter().sum();
		assert!(total < MAX_BYTES + 1_000);
		assert!(archive.find(&record(2, "alert").digest()).unwrap().is_some());
	}
}
