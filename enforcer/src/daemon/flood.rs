//! Keeps a flood out of the log: each kind of line is written so many times a minute and no more, and what was left out is
//! told once a minute.
//!
//! A kind of line is a place in the source. Whoever makes the enforcer write one of them again and again, by alerts, by
//! changes or by lies, cannot hide the others behind it, nor fill the disk.

use super::now_ms;
use crate::core::report::Bucket;
use ringfence_primitives::Millis;
use std::{
	collections::HashMap,
	fmt::Debug,
	sync::{Arc, Mutex, MutexGuard, PoisonError},
	time::Duration,
};
use tracing::{
	callsite::Identifier,
	field::{Field, Visit},
	warn, Event, Subscriber,
};
use tracing_subscriber::layer::{Context, Layer};

/// Lines of a kind a minute, all at once if it must be.
pub const PER_MINUTE: u32 = 1_200;
/// How often it is told what was left out.
const TELL: Duration = Duration::from_secs(60);
/// Bytes of a line's message that are remembered.
const MESSAGE: usize = 80;

struct Kind {
	bucket: Bucket,
	left_out: u64,
	message: String,
}

/// What was left out. There are no more entries than places in the source that log.
#[derive(Clone, Default)]
pub struct Held(Arc<Mutex<HashMap<Identifier, Kind>>>);

impl Held {
	fn lock(&self) -> MutexGuard<'_, HashMap<Identifier, Kind>> {
		// Every change leaves a table that makes sense.
		self.0.lock().unwrap_or_else(PoisonError::into_inner)
	}

	/// The messages that were left out since the last time, and how often each.
	pub fn take(&self) -> Vec<(String, u64)> {
		let mut kinds = self.lock();
		let left_out = kinds.values_mut().filter(|kind| kind.left_out > 0);
		left_out.map(|kind| (kind.message.clone(), std::mem::take(&mut kind.left_out))).collect()
	}
}

/// The layer of the log that leaves lines out.
pub struct Limit {
	per_minute: u32,
	held: Held,
}

impl Limit {
	/// Lets `per_minute` lines of a kind through, 0: all, and says what it left out.
	pub fn new(per_minute: u32) -> (Self, Held) {
		let held = Held::default();
		(Self { per_minute, held: held.clone() }, held)
	}

	fn passes(&self, event: &Event<'_>, now: Millis) -> bool {
		if self.per_minute == 0 {
			return true;
		}
		let mut kinds = self.held.lock();
		let kind = kinds.entry(event.metadata().callsite()).or_insert_with(|| Kind {
			bucket: Bucket::new(self.per_minute),
			left_out: 0,
			message: String::new(),
		});
		if kind.bucket.take(now) {
			return true;
		}
		kind.left_out += 1;
		if kind.message.is_empty() {
			event.record(&mut Message(&mut kind.message));
		}
		false
	}
}

/// Finds the message among the fields.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
	fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
		if field.name() == "message" {
			*self.0 = format!("{value:?}").chars().take(MESSAGE).collect();
		}
	}
}

impl<S: Subscriber> Layer<S> for Limit {
	fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
		self.passes(event, now_ms())
	}
}

/// Says once a minute what was left out. Never ends: for a thread of its own.
pub fn tell(held: &Held) -> ! {
	loop {
		std::thread::sleep(TELL);
		for (message, lines) in held.take() {
			warn!(at = now_ms(), lines, of = message, "lines left out");
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::io::{self, Write};
	use tracing::info;
	use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt};

	#[derive(Clone, Default)]
	struct Log(Arc<Mutex<Vec<u8>>>);

	impl Write for Log {
		fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
			self.0.lock().unwrap().extend(bytes);
			Ok(bytes.len())
		}

		fn flush(&mut self) -> io::Result<()> {
			Ok(())
		}
	}

	impl<'a> MakeWriter<'a> for Log {
		type Writer = Self;

		fn make_writer(&'a self) -> Self {
			self.clone()
		}
	}

	#[test]
	fn a_flood_of_one_kind_hides_no_other() {
		let (limit, held) = Limit::new(5);
		let log = Log::default();
		let writer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(log.clone());
		let subscriber = tracing_subscriber::registry().with(limit).with(writer);
		tracing::subscriber::with_default(subscriber, || {
			for i in 0..100 {
				info!(i, "drowned");
			}
			info!("still heard");
		});
		let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
		assert_eq!(text.matches("drowned").count(), 5, "{text}");
		assert_eq!(text.matches("still heard").count(), 1, "{text}");
		assert_eq!(held.take(), vec![("drowned".to_owned(), 95)]);
		assert!(held.take().is_empty(), "told once");
	}
}
