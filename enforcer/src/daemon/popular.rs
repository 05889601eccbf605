//! The files of popular addresses.

use super::now_ms;
use crate::core::popular::{Popular, PopularError, MAX_FILE};
use std::{
	fs::{self, File},
	io::{self, Read},
	path::{Path, PathBuf},
};
use tracing::info;

/// Files that all names together may mean.
const MAX_FILES: usize = 1_024;

/// Why the lists cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListsError {
	/// The operating system.
	#[error("{}: {source}", .path.display())]
	Io {
		/// The file or directory.
		path: PathBuf,
		/// What went wrong.
		source: io::Error,
	},
	/// A name with a `*` that no file has.
	#[error("{}: there is no such file", .0.display())]
	Missing(PathBuf),
	/// Too many files.
	#[error("more than {} files", MAX_FILES)]
	TooMany,
	/// A file that is too long.
	#[error("{}: longer than {} bytes", .0.display(), MAX_FILE)]
	TooLong(PathBuf),
	/// A file that is no list.
	#[error("{}: {source}", .path.display())]
	List {
		/// The file.
		path: PathBuf,
		/// What is wrong with it.
		source: PopularError,
	},
}

/// Reads the lists that `names` mean: files, where one `*` in the last part stands for any characters.
pub fn read(names: &[PathBuf]) -> Result<Popular, ListsError> {
	let mut popular = Popular::default();
	let mut files = Vec::new();
	for name in names {
		files.extend(meant(name)?);
		if files.len() > MAX_FILES {
			return Err(ListsError::TooMany);
		}
	}
	for path in files {
		let text = text(&path)?;
		let counts = popular.add(&text).map_err(|source| ListsError::List { path: path.clone(), source })?;
		info!(at = now_ms(), path = %path.display(), read = counts.read, skipped = counts.skipped, "popular addresses");
	}
	Ok(popular)
}

/// The files that a name means, in order.
fn meant(name: &Path) -> Result<Vec<PathBuf>, ListsError> {
	let pattern = name.file_name().and_then(|last| last.to_str()).and_then(|last| last.split_once('*'));
	let Some((before, after)) = pattern else { return Ok(vec![name.to_owned()]) };
	let directory = match name.parent() {
		Some(parent) if !parent.as_os_str().is_empty() => parent,
		_ => Path::new("."),
	};
	let failed = |source| ListsError::Io { path: directory.to_owned(), source };
	let mut files = Vec::new();
	for entry in fs::read_dir(directory).map_err(failed)? {
		let last = entry.map_err(failed)?.file_name();
		let Some(last) = last.to_str() else { continue };
		if last.strip_prefix(before).is_some_and(|rest| rest.ends_with(after)) {
			files.push(directory.join(last));
		}
	}
	if files.is_empty() {
		return Err(ListsError::Missing(name.to_owned()));
	}
	files.sort();
	Ok(files)
}

fn text(path: &Path) -> Result<String, ListsError> {
	let failed = |source| ListsError::Io { path: path.to_owned(), source };
	let file = File::open(path).map_err(failed)?;
	let mut text = String::new();
	file.take(MAX_FILE.saturating_add(1)).read_to_string(&mut text).map_err(failed)?;
	match u64::try_from(text.len()) {
		Ok(length) if length <= MAX_FILE => Ok(text),
		_ => Err(ListsError::TooLong(path.to_owned())),
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	const LIST: &str = r#"{"name":"one","type":"cidr","list":["104.16.0.0/13","example.net"]}"#;

	#[test]
	fn a_star_means_every_file_that_fits() {
		let directory = tempfile::tempdir().unwrap();
		let other = LIST.replace("104.16", "104.24");
		for (name, text) in [("a.json", LIST), ("b.json", other.as_str()), ("c.txt", "no list")] {
			fs::write(directory.path().join(name), text).unwrap();
		}
		let read = |name: &str| read(&[directory.path().join(name)]);
		assert_eq!(read("*.json").unwrap().len(), 2);
		assert_eq!(read("a.json").unwrap().len(), 1);
		assert!(matches!(read("d*.json"), Err(ListsError::Missing(_))));
		assert!(matches!(read("d.json"), Err(ListsError::Io { .. })));
		assert!(matches!(read("*"), Err(ListsError::List { .. })));
		let message = read("c.txt").unwrap_err().to_string();
		assert!(message.contains("c.txt: not a MISP warning list"), "{message}");
	}

	#[test]
	fn real_lists_are_read() {
		let Some(data) = std::env::var_os("RINGFENCE_DATA") else {
			eprintln!("SKIPPED: RINGFENCE_DATA is not set, no real lists to read");
			return;
		};
		let popular = read(&[Path::new(&data).join("warninglists/*.json")]).unwrap();
		for text in ["104.16.1.1", "151.101.1.1", "2606:4700::/32", "192.168.0.0/16"] {
			assert!(popular.overlap(&text.parse().unwrap()).is_some(), "{text}");
		}
		assert!(popular.overlap(&"185.220.101.1".parse().unwrap()).is_none());
	}
}
