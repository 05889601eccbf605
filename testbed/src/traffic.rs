//! A steady stream of packets from the attacker to every home, and what of it arrives; and an honest visitor of a home, and
//! how well it is served meanwhile.

use crate::{
	error::{Context, Error, Result},
	netns::Namespace,
	now_ms,
};
use std::{
	collections::HashMap,
	io::{self, Read, Write},
	net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
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
pub(crate) struct Worker {
	stop: Arc<AtomicBool>,
	thread: Option<JoinHandle<()>>,
}

impl Worker {
	/// One that takes one `step` after the other; each has to end soon.
	pub(crate) fn start(mut step: impl FnMut() + Send + 'static) -> Self {
		Self::start_while(move || {
			step();
			true
		})
	}

	/// One that also ends when `step` says that it is done, by `false`.
	fn start_while(mut step: impl FnMut() -> bool + Send + 'static) -> Self {
		let stop = Arc::new(AtomicBool::new(false));
		let seen = stop.clone();
		let thread = thread::spawn(move || while !seen.load(Ordering::Relaxed) && step() {});
		Self { stop, thread: Some(thread) }
	}

	fn is_done(&self) -> bool {
		self.thread.as_ref().is_none_or(JoinHandle::is_finished)
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

/// Bytes of a request.
pub const REQUEST: usize = 32;
/// Bytes of its answer.
pub const ANSWER: usize = 1_024;
/// What goodput is counted by.
pub const WINDOW: Duration = Duration::from_millis(100);
/// The most connections that a server serves at a time.
const CONNECTIONS: usize = 256;
/// Windows that a visitor keeps: an hour of them.
const WINDOWS: usize = 36_000;
/// How long a visitor waits for an answer, and a server for a request before it looks whether it is to stop.
const ANSWERED_WITHIN: Duration = Duration::from_millis(200);

/// How a visitor talks to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
	/// One connection, made anew when it breaks.
	Tcp,
	/// Datagrams.
	Udp,
}

/// A server in a home: it answers whatever it is sent with [`ANSWER`] bytes, over TCP and UDP, until dropped.
pub struct Server {
	asked: Arc<AtomicU64>,
	_workers: [Worker; 2],
}

impl Server {
	/// Starts listening on `address` and `port` in `namespace`.
	pub fn start(namespace: &Namespace, address: Ipv4Addr, port: u16) -> Result<Self> {
		let datagrams = socket(namespace, address, port)?;
		datagrams.set_read_timeout(Some(ANSWERED_WITHIN)).context("a read timeout")?;
		let listener =
			namespace.within(|| TcpListener::bind((address, port)))?.context(format!("listening on {address}"))?;
		listener.set_nonblocking(true).context("a listener that does not block")?;
		let asked = Arc::new(AtomicU64::new(0));

		let count = asked.clone();
		let by_datagram = Worker::start(move || {
			let mut request = [0; 2_048];
			// Nothing in time, or an answer that is lost: the visitor asks again.
			let Ok((_, visitor)) = datagrams.recv_from(&mut request) else { return };
			count.fetch_add(1, Ordering::Relaxed);
			let _ = datagrams.send_to(&[0; ANSWER], visitor);
		});

		let count = asked.clone();
		let mut connections: Vec<Worker> = Vec::new();
		let by_connection = Worker::start(move || {
			connections.retain(|worker| !worker.is_done());
			match listener.accept() {
				Ok((stream, _)) if connections.len() < CONNECTIONS => {
					connections.extend(serve(stream, count.clone()));
				}
				// It is closed at once.
				Ok(_) => {}
				// A listener with a timeout would be an event to wait for; the standard library has none.
				Err(_) => thread::sleep(Duration::from_millis(1)),
			}
		});
		Ok(Self { asked, _workers: [by_datagram, by_connection] })
	}

	/// Requests that reached it so far.
	pub fn asked(&self) -> u64 {
		self.asked.load(Ordering::Relaxed)
	}
}

/// Answers one visitor until it goes; none where the connection is broken already.
fn serve(mut stream: TcpStream, count: Arc<AtomicU64>) -> Option<Worker> {
	stream.set_nonblocking(false).ok()?;
	stream.set_read_timeout(Some(ANSWERED_WITHIN)).ok()?;
	stream.set_write_timeout(Some(ANSWERED_WITHIN)).ok()?;
	Some(Worker::start_while(move || {
		let mut request = [0; 2_048];
		match stream.read(&mut request) {
			Ok(0) => false,
			Ok(_) => {
				count.fetch_add(1, Ordering::Relaxed);
				stream.write_all(&[0; ANSWER]).is_ok()
			}
			Err(error) => is_pause(&error),
		}
	}))
}

fn is_pause(error: &io::Error) -> bool {
	matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// What a visitor saw in [`WINDOW`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
	/// Requests.
	pub asked: u64,
	/// Whole answers.
	pub answered: u64,
	/// Bytes of answers: the goodput.
	pub bytes: u64,
}

/// An honest visitor: so many requests a second to a server, one after the other, until dropped.
pub struct Visitor {
	windows: Arc<Mutex<Vec<Window>>>,
	start: Instant,
	_worker: Worker,
}

impl Visitor {
	/// Starts asking from `source`, an address of `namespace`, `rate` times a second.
	pub fn start(
		namespace: &Namespace,
		source: Ipv4Addr,
		server: (Ipv4Addr, u16),
		transport: Transport,
		rate: u64,
	) -> Result<Self> {
		let windows = Arc::new(Mutex::new(Vec::<Window>::new()));
		let start = Instant::now();
		let gap = Duration::from_secs(1) / u32::try_from(rate.max(1)).unwrap_or(u32::MAX);
		let shared = windows.clone();
		let note = move |change: &dyn Fn(&mut Window)| {
			let now = (start.elapsed().as_millis() / WINDOW.as_millis()) as usize;
			let mut windows = shared.lock().unwrap_or_else(PoisonError::into_inner);
			if now < WINDOWS {
				let length = windows.len().max(now + 1);
				windows.resize(length, Window::default());
				if let Some(window) = windows.get_mut(now) {
					change(window);
				}
			}
		};
		// A thread that lives in the namespace: connections are made anew there.
		let worker = namespace.within(|| {
			let (mut line, mut due) = (Line::new(source, server, transport), start);
			Worker::start(move || {
				thread::sleep(due.saturating_duration_since(Instant::now()));
				// Late requests are not made up for: that would be a flood.
				due = (due + gap).max(Instant::now());
				note(&|window| window.asked += 1);
				let bytes = line.ask() as u64;
				let whole = u64::from(bytes == ANSWER as u64);
				note(&|window| {
					window.answered += whole;
					window.bytes += bytes;
				});
			})
		})?;
		Ok(Self { windows, start, _worker: worker })
	}

	/// What it saw in each window since it began, in order; the last one may not be over.
	pub fn windows(&self) -> Vec<Window> {
		let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner).clone();
		let now = (self.start.elapsed().as_millis() / WINDOW.as_millis()) as usize;
		// Windows in which nothing happened at all, up to now.
		let length = windows.len().max(now.min(WINDOWS));
		windows.resize(length, Window::default());
		windows
	}

	/// Waits until it has been answered `more` times from now on.
	pub async fn served(&self, more: u64, within: Duration) -> Result<()> {
		let answered = || self.windows().iter().map(|window| window.answered).sum::<u64>();
		let (start, before) = (Instant::now(), answered());
		while answered() < before + more {
			if start.elapsed() > within {
				let what = format!("{more} answers to an honest visitor, of which {} came", answered() - before);
				return Err(Error::Deadline { what, within, log: String::new() });
			}
			sleep(Duration::from_millis(5)).await;
		}
		Ok(())
	}
}

/// A visitor's way to its server.
enum Line {
	Tcp { server: SocketAddr, stream: Option<TcpStream> },
	Udp { source: SocketAddr, server: SocketAddr, socket: Option<UdpSocket> },
}

impl Line {
	fn new(source: Ipv4Addr, server: (Ipv4Addr, u16), transport: Transport) -> Self {
		match transport {
			Transport::Tcp => Self::Tcp { server: server.into(), stream: None },
			Transport::Udp => Self::Udp { source: (source, 0).into(), server: server.into(), socket: None },
		}
	}

	/// Bytes of the answer; none where there was none in time. Then the next question begins anew, so that no late answer
	/// is taken for another's.
	fn ask(&mut self) -> usize {
		match self {
			Self::Tcp { server, stream } => {
				let answer = stream.take().map_or_else(|| connect(server), Ok).and_then(|mut stream| {
					stream.write_all(&[0; REQUEST])?;
					stream.read_exact(&mut [0; ANSWER])?;
					Ok(stream)
				});
				*stream = answer.ok();
				stream.as_ref().map_or(0, |_| ANSWER)
			}
			Self::Udp { source, server, socket } => {
				let answer = socket.take().map_or_else(|| bind(source, server), Ok).and_then(|socket| {
					socket.send(&[0; REQUEST])?;
					let length = socket.recv(&mut [0; ANSWER])?;
					Ok((socket, length))
				});
				let Ok((kept, length)) = answer else { return 0 };
				*socket = Some(kept);
				length
			}
		}
	}
}

fn connect(server: &SocketAddr) -> io::Result<TcpStream> {
	let stream = TcpStream::connect_timeout(server, ANSWERED_WITHIN)?;
	stream.set_read_timeout(Some(ANSWERED_WITHIN))?;
	stream.set_write_timeout(Some(ANSWERED_WITHIN))?;
	stream.set_nodelay(true)?;
	Ok(stream)
}

fn bind(source: &SocketAddr, server: &SocketAddr) -> io::Result<UdpSocket> {
	let socket = UdpSocket::bind(source)?;
	socket.connect(server)?;
	socket.set_read_timeout(Some(ANSWERED_WITHIN))?;
	Ok(socket)
}
