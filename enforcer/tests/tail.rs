//! Following a file through everything that happens to log files.

use ringfence_enforcer::{
	core::alert::MAX_LINE,
	daemon::tail::{LineError, Tail, TailError},
};
use std::{
	fs::{File, OpenOptions},
	io::Write,
	path::PathBuf,
};
use tempfile::TempDir;

/// A log in a directory of its own.
struct Log {
	directory: TempDir,
}

type Lines = Vec<Result<String, LineError>>;

impl Log {
	fn new() -> Self {
		Self { directory: tempfile::tempdir().unwrap() }
	}

	fn with(text: &str) -> Self {
		let log = Self::new();
		log.write(text);
		log
	}

	fn path(&self) -> PathBuf {
		self.directory.path().join("eve.json")
	}

	fn handle(&self) -> File {
		OpenOptions::new().create(true).append(true).open(self.path()).unwrap()
	}

	fn write(&self, text: impl AsRef<[u8]>) {
		self.handle().write_all(text.as_ref()).unwrap();
	}

	fn rename(&self, to: &str) {
		std::fs::rename(self.path(), self.directory.path().join(to)).unwrap();
	}

	fn follow(&self) -> Tail {
		Tail::open(&self.path()).unwrap()
	}
}

fn read(tail: &mut Tail) -> Lines {
	let mut lines = Lines::new();
	tail.read(&mut |line| lines.push(line.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))).unwrap();
	lines
}

fn ok(lines: &[&str]) -> Lines {
	lines.iter().map(|&line| Ok(line.to_owned())).collect()
}

#[test]
fn following_starts_at_the_end() {
	let log = Log::with("old\n");
	let mut tail = log.follow();
	assert_eq!(read(&mut tail), ok(&[]));
	log.write("new\nnewer\n");
	tail.wait().unwrap();
	assert_eq!(read(&mut tail), ok(&["new", "newer"]));
	assert_eq!(read(&mut tail), ok(&[]));
}

#[test]
fn a_line_that_is_being_written_at_the_start_is_read_whole() {
	let log = Log::with("old\nhal");
	let mut tail = log.follow();
	log.write("f\n");
	assert_eq!(read(&mut tail), ok(&["half"]));
}

#[test]
fn half_lines_wait_for_their_end() {
	let log = Log::with("");
	let mut tail = log.follow();
	log.write("ha");
	tail.wait().unwrap();
	assert_eq!(read(&mut tail), ok(&[]));
	log.write("lf\nnext");
	tail.wait().unwrap();
	assert_eq!(read(&mut tail), ok(&["half"]));
}

#[test]
fn a_file_that_appears_later_is_read_from_its_beginning() {
	let log = Log::new();
	let mut tail = log.follow();
	assert_eq!(read(&mut tail), ok(&[]));
	log.write("first\n");
	tail.wait().unwrap();
	assert_eq!(read(&mut tail), ok(&["first"]));
}

#[test]
fn rotation_loses_no_line() {
	let log = Log::with("old\n");
	let mut tail = log.follow();
	let mut writer = log.handle();
	writer.write_all(b"one\n").unwrap();
	log.rename("eve.json.1");
	writer.write_all(b"two\n").unwrap();
	log.write("three\n");
	tail.wait().unwrap();
	assert_eq!(read(&mut tail), ok(&["one", "two", "three"]));
	log.write("four\n");
	assert_eq!(read(&mut tail), ok(&["four"]));
}

#[test]
fn a_renamed_file_is_read_until_its_successor_is_in_use() {
	let log = Log::with("");
	let mut tail = log.follow();
	let mut writer = log.handle();
	log.rename("eve.json.1");
	// logrotate's `create`: the new file is there before the writer has been told.
	log.write("");
	writer.write_all(b"late\n").unwrap();
	assert_eq!(read(&mut tail), ok(&["late"]));
	writer.write_all(b"later\n").unwrap();
	assert_eq!(read(&mut tail), ok(&["later"]));
	log.write("new\n");
	assert_eq!(read(&mut tail), ok(&["new"]));
}

#[test]
fn a_file_that_was_removed_and_made_anew_is_followed() {
	let log = Log::with("");
	let mut tail = log.follow();
	log.write("one\n");
	std::fs::remove_file(log.path()).unwrap();
	assert_eq!(read(&mut tail), ok(&["one"]));
	log.write("two\n");
	tail.wait().unwrap();
	assert_eq!(read(&mut tail), ok(&["two"]));
}

#[test]
fn a_line_cut_off_by_rotation_is_reported() {
	let log = Log::with("");
	let mut tail = log.follow();
	log.write("cut o");
	log.rename("eve.json.1");
	log.write("whole\n");
	assert_eq!(read(&mut tail), [Err(LineError::CutOff), Ok("whole".to_owned())]);
}

#[test]
fn truncation_starts_over() {
	let log = Log::with("");
	let mut tail = log.follow();
	log.write("one\nhalf");
	assert_eq!(read(&mut tail), ok(&["one"]));
	log.handle().set_len(0).unwrap();
	log.write("two\n");
	tail.wait().unwrap();
	assert_eq!(read(&mut tail), [Err(LineError::CutOff), Ok("two".to_owned())]);
}

#[test]
fn garbage_is_delivered_as_it_is() {
	let log = Log::with("");
	let mut tail = log.follow();
	log.write([&b"\xff\xfe\0"[..], b"\n\n{\n"].concat());
	assert_eq!(read(&mut tail), ok(&["\u{fffd}\u{fffd}\0", "", "{"]));
}

#[test]
fn a_huge_line_is_reported_once_and_skipped() {
	let log = Log::with("");
	let mut tail = log.follow();
	let block = vec![b'a'; 1_000_000];
	for _ in 0..20 {
		log.write(&block);
	}
	assert_eq!(read(&mut tail), [Err(LineError::TooLong)]);
	log.write(&block);
	assert_eq!(read(&mut tail), ok(&[]));
	log.write("\nnext\n");
	assert_eq!(read(&mut tail), ok(&["next"]));
	log.write(vec![b'b'; MAX_LINE]);
	log.write("\n");
	assert_eq!(read(&mut tail), ok(&[&"b".repeat(MAX_LINE)]));
}

#[test]
fn a_huge_line_that_is_being_written_at_the_start_is_skipped() {
	let log = Log::new();
	log.write(vec![b'a'; MAX_LINE + 1]);
	let mut tail = log.follow();
	log.write("a\nnext\n");
	assert_eq!(read(&mut tail), ok(&["next"]));
}

#[test]
fn what_is_no_file_is_refused() {
	let log = Log::new();
	std::fs::create_dir(log.path()).unwrap();
	assert!(matches!(Tail::open(&log.path()), Err(TailError::NotAFile(_))));
	let missing = log.directory.path().join("missing/eve.json");
	assert!(matches!(Tail::open(&missing), Err(TailError::Io { .. })));
}

#[test]
fn a_directory_that_goes_away_is_noticed() {
	let log = Log::new();
	let directory = log.directory.path().join("suricata");
	std::fs::create_dir(&directory).unwrap();
	let mut tail = Tail::open(&directory.join("eve.json")).unwrap();
	std::fs::remove_dir(&directory).unwrap();
	assert!(matches!(tail.wait(), Err(TailError::Gone(_))));
}
