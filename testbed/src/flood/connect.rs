//! What takes a real conversation: requests over HTTP, and attempts to log in, over ordinary sockets.

use super::{send::name, Exit, Generator, Kind, Plan, Refusal, MAX_DURATION, SECOND};
use crate::{error::Result, interrupted};
use serde::Serialize;
use std::{
	io::{self, Read, Write},
	net::{SocketAddr, TcpStream},
	sync::atomic::{AtomicU64, Ordering},
	thread,
	time::{Duration, Instant},
};

/// Connections at a time.
const WORKERS: u64 = 32;
/// How long a connection may take to come about.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the other side is listened to each time.
const LISTEN: Duration = Duration::from_millis(300);
/// Bytes that are read of what it says.
const ENOUGH: usize = 64 << 10;

/// What was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Connected {
	/// What, as it is named on the command line.
	pub kind: String,
	/// Connections that came about and on which the whole was said.
	pub connections: u64,
	/// Connections that did not, or broke off.
	pub failed: u64,
	/// Bytes that were answered.
	pub answered: u64,
	/// From the first to the last.
	pub seconds: f64,
	/// Connections a second.
	pub rate: f64,
}

/// Makes as many connections to the target as the plan has packets, at its rate, with the address that the namespace has;
/// at most `duration`, of which [`MAX_DURATION`] is the limit. The kind is one that connects.
pub fn connect(exit: &Exit, plan: &Plan, seed: u64, duration: Duration) -> Result<Connected> {
	if duration > MAX_DURATION {
		let (given, most) = (duration.as_secs(), MAX_DURATION.as_secs());
		return Err(Refusal::Limit { what: "seconds", given, most }.into());
	}
	plan.check()?;
	let mut writers = Vec::new();
	for worker in 0..WORKERS {
		writers.push(Generator::new(plan.clone(), seed.wrapping_add(worker))?);
	}
	let address = SocketAddr::from((plan.target, plan.port.or(plan.kind.port()).unwrap_or(80)));
	let gap = SECOND.checked_div(plan.rate).unwrap_or(0);
	let [next, connections, failed, answered] = [const { AtomicU64::new(0) }; 4];
	let start = Instant::now();
	let work = |mut writer: Generator| {
		while !interrupted() {
			let turn = next.fetch_add(1, Ordering::Relaxed);
			let due = Duration::from_nanos(turn.saturating_mul(gap));
			if turn >= plan.packets || due >= duration || start.elapsed() >= duration {
				return;
			}
			while !interrupted() && start.elapsed() < due {
				thread::sleep(due.saturating_sub(start.elapsed()).min(LISTEN));
			}
			match converse(address, plan.kind, turn, &mut writer) {
				Ok(heard) => {
					connections.fetch_add(1, Ordering::Relaxed);
					answered.fetch_add(heard, Ordering::Relaxed);
				}
				// That the target fails under attack is what this is about.
				Err(_) => {
					failed.fetch_add(1, Ordering::Relaxed);
				}
			}
		}
	};
	exit.within(|| {
		thread::scope(|scope| {
			for writer in writers {
				scope.spawn(|| work(writer));
			}
		});
	})?;
	let seconds = start.elapsed().as_secs_f64();
	let [connections, failed, answered] = [connections, failed, answered].map(AtomicU64::into_inner);
	let rate = connections as f64 / seconds.max(1e-6);
	Ok(Connected { kind: name(plan.kind), connections, failed, answered, seconds, rate })
}

/// One conversation; how many bytes the other side said.
fn converse(address: SocketAddr, kind: Kind, turn: u64, writer: &mut Generator) -> io::Result<u64> {
	let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
	stream.set_read_timeout(Some(LISTEN))?;
	stream.set_write_timeout(Some(PATIENCE))?;
	let mut heard = 0;
	match kind {
		Kind::Telnet => {
			heard += listen(&mut stream)?;
			stream.write_all(format!("user{turn}\r\n").as_bytes())?;
			heard += listen(&mut stream)?;
			stream.write_all(format!("word{turn}\r\n").as_bytes())?;
		}
		Kind::Ssh => {
			heard += listen(&mut stream)?;
			stream.write_all(b"SSH-2.0-Go\r\n")?;
		}
		_ => stream.write_all(&writer.http_request())?,
	}
	Ok(heard + listen(&mut stream)?)
}

/// Bytes that the other side says now; none when it waits for us to speak.
fn listen(stream: &mut TcpStream) -> io::Result<u64> {
	let mut buffer = vec![0; ENOUGH];
	match stream.read(&mut buffer) {
		Ok(length) => Ok(length as u64),
		Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(0),
		Err(error) => Err(error),
	}
}
