//! A steady stream of packets from the attacker to every home, and what of it arrives.

use crate::{
	error::{Context, Error, Result},
	netns::Namespace,
	now_ms,
};
use std::{
	collections::HashMap,
	io,
	net::{Ipv4Addr, SocketAddr, UdpSocket},
	sync::{
		atomic::{AtomicBool, AtomicU64, Ordering},
		Arc, Mutex, PoisonError,
	},
	thread::{self, JoinHandle},
	time::{Duration, Instant},
};
use tokio::time::sleep;

/// Packets a second to each home.
pub const RATE: u64 = 1000;
/// The port that homes listen on.
const PORT: u16 = 7777;
/// This many packets missed in a row (a fifth of a second) are a block, not a hiccup of a busy machine.
const BLOCKED_AFTER: u64 = RATE / 5;

/// A thread that ends when dropped.
struct Worker {
	stop: Arc<AtomicBool>,
	thread: Option<JoinHandle<()>>,
}

impl Worker {
	fn start(mut step: impl FnMut() + Send + 'static) -> Self {
		let stop = Arc::new(AtomicBool::new(false));
		let seen = stop.clone();
		let thread = thread::spawn(move || {
			while !seen.load(Ordering::Relaxed) {
				step();
			}
		});
		Self { stop, thread: Some(thread) }
	}
}

impl Drop for Worker {
	fn drop(&mut self) {
		self.stop.store(true, Ordering::Relaxed);
		if let Some(thread) = self.thread.take() {
			// A panic of the worker has been printed already.
			let _ = thread.join();
		}
	}
}

fn socket(namespace: &Namespace, address: Ipv4Addr, port: u16) -> Result<UdpSocket> {
	namespace.within(|| UdpSocket::bind((address, port)))?.context(format!("binding to {address}"))
}

/// The attacker: [`RATE`] packets a second to each target, numbered and stamped, until dropped.
pub struct Sender {
	/// Where the packets come from.
	pub source: Ipv4Addr,
	sent: Arc<AtomicU64>,
	_worker: Worker,
}

impl Sender {
	/// Starts sending from `source`, an address of `namespace`.
	pub fn start(namespace: &Namespace, source: Ipv4Addr, targets: &[Ipv4Addr]) -> Result<Self> {
		let socket = socket(namespace, source, 0)?;
		let targets: Vec<SocketAddr> = targets.iter().map(|target| (*target, PORT).into()).collect();
		let sent = Arc::new(AtomicU64::new(0));
		let number = sent.clone();
		let start = Instant::now();
		let worker = Worker::start(move || {
			let n = number.load(Ordering::Relaxed);
			let due = start + Duration::from_micros(n * 1_000_000 / RATE);
			thread::sleep(due.saturating_duration_since(Instant::now()));
			let mut packet = [0; 16];
			packet[..8].copy_from_slice(&n.to_le_bytes());
			packet[8..].copy_from_slice(&now_ms().to_le_bytes());
			for target in &targets {
				// A lost packet is what this is about.
				let _ = socket.send_to(&packet, target);
			}
			number.store(n + 1, Ordering::Relaxed);
		});
		Ok(Self { source, sent, _worker: worker })
	}

	/// Packets sent to each target so far.
	pub fn sent(&self) -> u64 {
		self.sent.load(Ordering::Relaxed)
	}
}

/// What has arrived from one source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
	/// Packets.
	pub packets: u64,
	/// The newest one's number.
	pub last: u64,
	/// When it arrived, in Unix milliseconds.
	pub last_at: i64,
	/// When the first packet after the newest block arrived.
	pub resumed_at: Option<i64>,
}

/// A home: counts what arrives, by source, until dropped.
pub struct Receiver {
	flows: Arc<Mutex<HashMap<Ipv4Addr, Flow>>>,
	_worker: Worker,
}

impl Receiver {
	/// Starts listening on `address` in `namespace`.
	pub fn start(namespace: &Namespace, address: Ipv4Addr) -> Result<Self> {
		let socket = socket(namespace, address, PORT)?;
		socket.set_read_timeout(Some(Duration::from_millis(100))).context("a read timeout")?;
		let flows = Arc::new(Mutex::new(HashMap::<Ipv4Addr, Flow>::new()));
		let shared = flows.clone();
		let worker = Worker::start(move || {
			let mut packet = [0; 16];
			let (source, number) = match socket.recv_from(&mut packet) {
				Ok((16, SocketAddr::V4(source))) => {
					let (number, _) = packet.split_at(8);
					// The first half of 16 bytes is 8.
					(*source.ip(), u64::from_le_bytes(number.try_into().unwrap_or_default()))
				}
				Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
					eprintln!("a home cannot receive: {error}");
					thread::sleep(Duration::from_millis(100));
					return;
				}
				_ => return,
			};
			let at = now_ms();
			let mut flows = shared.lock().unwrap_or_else(PoisonError::into_inner);
			let flow = flows.entry(source).or_default();
			if flow.packets > 0 && number > flow.last + BLOCKED_AFTER {
				flow.resumed_at = Some(at);
			}
			*flow = Flow { packets: flow.packets + 1, last: number, last_at: at, resumed_at: flow.resumed_at };
		});
		Ok(Self { flows, _worker: worker })
	}

	/// What has arrived from `source`.
	pub fn flow(&self, source: Ipv4Addr) -> Flow {
		self.flows.lock().unwrap_or_else(PoisonError::into_inner).get(&source).copied().unwrap_or_default()
	}

	/// Waits until packets of `sender` arrive.
	pub async fn flowing(&self, sender: &Sender, within: Duration) -> Result<Flow> {
		let before = self.flow(sender.source).packets;
		self.until(sender, "packets to arrive", within, |flow| flow.packets > before + RATE / 20).await
	}

	/// Waits until the packets of `sender` have stopped arriving: a fifth of a second's worth in a row is missing.
	pub async fn blocked(&self, sender: &Sender, within: Duration) -> Result<Flow> {
		self.until(sender, "packets to stop", within, |flow| sender.sent() > flow.last + 1 + BLOCKED_AFTER).await
	}

	/// Waits until packets arrive again that were seen blocked after `since`.
	pub async fn resumed(&self, sender: &Sender, since: i64, within: Duration) -> Result<i64> {
		let resumed = |flow: &Flow| flow.resumed_at.is_some_and(|at| at >= since);
		let flow = self.until(sender, "packets to arrive again", within, resumed).await?;
		Ok(flow.resumed_at.unwrap_or(flow.last_at))
	}

	/// Looks every 5 ms: that packets stay away is no event. What is measured comes from the packets, not from the looking.
	async fn until(&self, sender: &Sender, what: &str, within: Duration, test: impl Fn(&Flow) -> bool) -> Result<Flow> {
		let start = Instant::now();
		loop {
			let flow = self.flow(sender.source);
			if test(&flow) {
				return Ok(flow);
			}
			if start.elapsed() > within {
				let what = format!("{what}, from {} ({} sent; {flow:?})", sender.source, sender.sent());
				return Err(Error::Deadline { what, within, log: String::new() });
			}
			sleep(Duration::from_millis(5)).await;
		}
	}
}
