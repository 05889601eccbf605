//! The way to a node: its name, TCP, TLS where the endpoint begins with `wss`, and a window on what is read.
//!
//! # Security considerations
//!
//! Nothing that a node says is believed because of the way it came: blocks and changes are verified. TLS hides what is
//! asked and keeps strangers from cutting or stalling the connection unseen. Whoever answers is controlled by the network;
//! a certificate must lead to a root (the system's, or those of `chain.roots`), or be the very one that `chain.pin` names.
//! Redirections are not followed: they could lead from `wss` to `ws`. Every step is under one time-out, and what was read
//! but taken by nobody is bounded by [`WINDOW`]: beyond it the socket is not read, and TCP holds the sender back.

use jsonrpsee::{
	core::client::{Client, Error as RpcError},
	ws_client::{PingConfig, WsClientBuilder},
};
use ringfence_primitives::Digest;
use sp_crypto_hashing::sha2_256;
use std::{
	fmt, io,
	path::{Path, PathBuf},
	pin::Pin,
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc, Mutex, MutexGuard, PoisonError,
	},
	task::{ready, Context, Poll, Waker},
	time::Duration,
};
use tokio::{
	io::{AsyncRead, AsyncWrite, ReadBuf},
	net::TcpStream,
	time::timeout,
};
use tokio_rustls::{
	client::TlsStream,
	rustls::{
		self,
		client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
		crypto::{ring, verify_tls12_signature, verify_tls13_signature, CryptoProvider},
		pki_types::{pem::PemObject, CertificateDer, ServerName, UnixTime},
		CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
	},
	TlsConnector,
};

/// A node answers within milliseconds; one that does not within this long is as good as gone.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Time for one of a name's addresses: one that swallows packets must not use up that of the others.
const TIMEOUT_ADDRESS: Duration = Duration::from_secs(4);
/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;
/// Notices a link that died silently, and keeps the translations of a home router alive: the shortest that are usual
/// for TCP are minutes. A ping and its answer are 8 bytes and four packets, so that a day of them stays under 0.1 MB.
const PING: Duration = Duration::from_secs(240);
/// 256 of the largest changes with justification and proof, as hexadecimal JSON, are under half of it.
pub const MAX_MESSAGE: u32 = 4 * 1024 * 1024;
/// Bytes that are read before somebody takes an item. More than one message, whatever small ones lie in front of it.
const WINDOW: usize = 2 * MAX_MESSAGE as usize;
/// Items that wait unread in each subscription. The window closes earlier, unless they are small: then the subscription is
/// lost, and a new one goes on where the enforcer stands.
const BUFFER: usize = 64;
/// Requests without an answer. Nothing here asks for more than a handful at a time.
const MAX_REQUESTS: usize = 64;

/// Why the roots cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
	/// The file with roots.
	#[error("{}: {cause}", .path.display())]
	Roots {
		/// The file.
		path: PathBuf,
		/// Why.
		cause: String,
	},
	/// The library refuses its own defaults.
	#[error("TLS: {0}")]
	Tls(#[from] rustls::Error),
}

/// Why a node cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
	/// Not `ws://host:port` or `wss://host:port`.
	#[error("{0:?} is no endpoint")]
	Endpoint(String),
	/// Its name is not known, or none of its addresses answers.
	#[error("{host}: {source}")]
	Host {
		/// The name.
		host: String,
		/// Why; of the last address.
		source: io::Error,
	},
	/// The socket, or the TLS handshake.
	#[error(transparent)]
	Io(#[from] io::Error),
	/// No certificates to check against.
	#[error(transparent)]
	Tls(#[from] TlsError),
	/// The websocket handshake.
	#[error(transparent)]
	Websocket(#[from] RpcError),
	/// The time for all of it is over.
	#[error("no connection within {} s", .0.as_secs_f32())]
	TimedOut(Duration),
}

/// Bytes over all connections since the start, TLS included, the headers of TCP and IP not.
#[derive(Debug, Default)]
pub struct Meter {
	received: AtomicU64,
	sent: AtomicU64,
}

impl Meter {
	/// Bytes received.
	pub fn received(&self) -> u64 {
		self.received.load(Ordering::Relaxed)
	}

	/// Bytes sent.
	pub fn sent(&self) -> u64 {
		self.sent.load(Ordering::Relaxed)
	}
}

/// Whom a `wss` endpoint must be.
#[derive(Clone)]
enum Trust {
	/// Whoever a root of the system's vouches for. They are read at each connection, so that their updates count and no
	/// memory holds them meanwhile.
	System,
	/// Whoever a root of the file vouches for, or the one whose certificate is pinned.
	Own(Arc<ClientConfig>),
}

/// Reaches nodes.
#[derive(Clone)]
pub struct Dialer {
	trust: Trust,
	meter: Arc<Meter>,
}

impl fmt::Debug for Dialer {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.debug_struct("Dialer").field("meter", &self.meter).finish_non_exhaustive()
	}
}

impl Dialer {
	/// `pin` is the SHA-256 of the only certificate that is accepted, which then needs no root. Else `roots` names a PEM
	/// file with the certificates to trust instead of the system's.
	pub fn new(roots: Option<&Path>, pin: Option<Digest>) -> Result<Self, TlsError> {
		let trust = match (pin, roots) {
			(Some(pin), _) => Trust::Own(Arc::new(pinned(pin)?)),
			(None, Some(path)) => Trust::Own(Arc::new(rooted(read_roots(path)?)?)),
			(None, None) => Trust::System,
		};
		Ok(Self { trust, meter: Arc::default() })
	}

	/// What went over its connections.
	pub fn meter(&self) -> Arc<Meter> {
		self.meter.clone()
	}

	/// A client of the node at `endpoint`, and the window that opens further with each [`Window::open`].
	pub async fn dial(&self, endpoint: &str) -> Result<(Client, Arc<Window>), DialError> {
		self.dial_within(endpoint, TIMEOUT).await
	}

	async fn dial_within(&self, endpoint: &str, limit: Duration) -> Result<(Client, Arc<Window>), DialError> {
		timeout(limit, self.connect(endpoint)).await.unwrap_or(Err(DialError::TimedOut(limit)))
	}

	async fn connect(&self, endpoint: &str) -> Result<(Client, Arc<Window>), DialError> {
		let Address { secure, host, port } =
			Address::parse(endpoint).ok_or_else(|| DialError::Endpoint(endpoint.into()))?;
		let tcp = Metered { tcp: tcp(host, port).await?, meter: self.meter.clone() };
		let wire = match secure {
			false => Wire::Plain(tcp),
			true => {
				let name = ServerName::try_from(host.to_owned()).map_err(|_| DialError::Endpoint(endpoint.into()))?;
				let connector = TlsConnector::from(self.tls().await?);
				Wire::Tls(Box::new(connector.connect(name, tcp).await?))
			}
		};
		let window = Arc::new(Window::default());
		let client = WsClientBuilder::new()
			.request_timeout(TIMEOUT)
			.enable_ws_ping(PingConfig::new().ping_interval(PING).inactive_limit(PING + 2 * TIMEOUT))
			.max_request_size(MAX_MESSAGE)
			.max_response_size(MAX_MESSAGE)
			.max_concurrent_requests(MAX_REQUESTS)
			.max_buffer_capacity_per_subscription(BUFFER)
			.build_with_stream(endpoint, Stream { wire, window: window.clone() })
			.await?;
		Ok((client, window))
	}

	async fn tls(&self) -> Result<Arc<ClientConfig>, DialError> {
		match &self.trust {
			Trust::Own(config) => Ok(config.clone()),
			Trust::System => {
				let load = || rooted(rustls_native_certs::load_native_certs().certs);
				// Some hundred files are read.
				let config = tokio::task::spawn_blocking(load).await.map_err(io::Error::other)?;
				Ok(Arc::new(config?))
			}
		}
	}
}

/// Connects to the first address of `host` that answers.
async fn tcp(host: &str, port: u16) -> Result<TcpStream, DialError> {
	let name = |source| DialError::Host { host: host.into(), source };
	let mut failure = io::Error::from(io::ErrorKind::NotFound);
	for address in tokio::net::lookup_host((host, port)).await.map_err(name)?.take(MAX_ADDRESSES) {
		match timeout(TIMEOUT_ADDRESS, TcpStream::connect(address)).await {
			Ok(Ok(stream)) => {
				// Small requests must not wait for each other.
				stream.set_nodelay(true)?;
				return Ok(stream);
			}
			Ok(Err(error)) => failure = error,
			Err(_) => failure = io::ErrorKind::TimedOut.into(),
		}
	}
	Err(name(failure))
}

/// Where an endpoint leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Address<'a> {
	secure: bool,
	host: &'a str,
	port: u16,
}

impl<'a> Address<'a> {
	fn parse(endpoint: &'a str) -> Option<Self> {
		let (secure, rest) = match (endpoint.strip_prefix("ws://"), endpoint.strip_prefix("wss://")) {
			(Some(rest), _) => (false, rest),
			(None, Some(rest)) => (true, rest),
			(None, None) => return None,
		};
		let authority = rest.split(['/', '?', '#']).next()?;
		// A name and a password are left to the websocket's handshake.
		let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
		let (host, port) = match authority.strip_prefix('[') {
			Some(rest) => {
				let (host, port) = rest.split_once(']')?;
				(host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
			}
			None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
		};
		let default = if secure { 443 } else { 80 };
		let port = port.map_or(Some(default), |port| port.parse().ok())?;
		(!host.is_empty()).then_some(Self { secure, host, port })
	}
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
	let failed = |cause: String| TlsError::Roots { path: path.into(), cause };
	let certificates = CertificateDer::pem_file_iter(path).map_err(|e| failed(e.to_string()))?;
	let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|e| failed(e.to_string()))?;
	match certificates.is_empty() {
		true => Err(failed("no certificate in it".into())),
		false => Ok(certificates),
	}
}

fn provider() -> Arc<CryptoProvider> {
	Arc::new(ring::default_provider())
}

/// Trusts whom `certificates` vouch for. With none, nobody is trusted, and the handshake says so.
fn rooted(certificates: Vec<CertificateDer<'static>>) -> Result<ClientConfig, TlsError> {
	let mut roots = RootCertStore::empty();
	roots.add_parsable_certificates(certificates);
	let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
	Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Trusts the server whose certificate has this SHA-256.
fn pinned(pin: Digest) -> Result<ClientConfig, TlsError> {
	let provider = provider();
	let verifier = Arc::new(Pinned { pin, provider: provider.clone() });
	let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
	Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Accepts one certificate, whatever its name and dates: its owner chose it. That the server has its key is checked as
/// ever.
#[derive(Debug)]
struct Pinned {
	pin: Digest,
	provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
	fn verify_server_cert(
		&self,
		end_entity: &CertificateDer<'_>,
		_intermediates: &[CertificateDer<'_>],
		_server_name: &ServerName<'_>,
		_ocsp_response: &[u8],
		_now: UnixTime,
	) -> Result<ServerCertVerified, rustls::Error> {
		match sha2_256(end_entity) == self.pin {
			true => Ok(ServerCertVerified::assertion()),
			false => Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
		}
	}

	fn verify_tls12_signature(
		&self,
		message: &[u8],
		cert: &CertificateDer<'_>,
		dss: &DigitallySignedStruct,
	) -> Result<HandshakeSignatureValid, rustls::Error> {
		verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
	}

	fn verify_tls13_signature(
		&self,
		message: &[u8],
		cert: &CertificateDer<'_>,
		dss: &DigitallySignedStruct,
	) -> Result<HandshakeSignatureValid, rustls::Error> {
		verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
	}

	fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
		self.provider.signature_verification_algorithms.supported_schemes()
	}
}

/// How much a connection may read ahead of those who take what it brings.
#[derive(Debug, Default)]
pub struct Window(Mutex<Ahead>);

#[derive(Debug, Default)]
struct Ahead {
	/// Bytes read since somebody last took something.
	bytes: usize,
	/// The reader that waits.
	waker: Option<Waker>,
}

impl Window {
	fn lock(&self) -> MutexGuard<'_, Ahead> {
		// A number and a waker: there is nothing to leave half-done.
		self.0.lock().unwrap_or_else(PoisonError::into_inner)
	}

	/// Somebody took an item: read on.
	pub fn open(&self) {
		let waker = {
			let mut ahead = self.lock();
			ahead.bytes = 0;
			ahead.waker.take()
		};
		if let Some(waker) = waker {
			waker.wake();
		}
	}

	fn poll(&self, cx: &Context<'_>) -> Poll<()> {
		let mut ahead = self.lock();
		if ahead.bytes < WINDOW {
			return Poll::Ready(());
		}
		ahead.waker = Some(cx.waker().clone());
		Poll::Pending
	}

	fn count(&self, bytes: usize) {
		let mut ahead = self.lock();
		ahead.bytes = ahead.bytes.saturating_add(bytes);
	}
}

/// TCP, counted.
struct Metered {
	tcp: TcpStream,
	meter: Arc<Meter>,
}

impl AsyncRead for Metered {
	fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
		let before = buf.filled().len();
		let result = ready!(Pin::new(&mut self.tcp).poll_read(cx, buf));
		self.meter.received.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
		Poll::Ready(result)
	}
}

impl AsyncWrite for Metered {
	fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
		let result = ready!(Pin::new(&mut self.tcp).poll_write(cx, buf));
		if let Ok(written) = &result {
			self.meter.sent.fetch_add(*written as u64, Ordering::Relaxed);
		}
		Poll::Ready(result)
	}

	fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
		Pin::new(&mut self.tcp).poll_flush(cx)
	}

	fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
		Pin::new(&mut self.tcp).poll_shutdown(cx)
	}
}

enum Wire {
	Plain(Metered),
	Tls(Box<TlsStream<Metered>>),
}

/// What the websocket runs over.
struct Stream {
	wire: Wire,
	window: Arc<Window>,
}

impl AsyncRead for Stream {
	fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
		ready!(self.window.poll(cx));
		let before = buf.filled().len();
		let result = ready!(match &mut self.wire {
			Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
			Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
		});
		self.window.count(buf.filled().len() - before);
		Poll::Ready(result)
	}
}

impl AsyncWrite for Stream {
	fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
		match &mut self.wire {
			Wire::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
			Wire::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
		}
	}

	fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
		match &mut self.wire {
			Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
			Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
		}
	}

	fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
		match &mut self.wire {
			Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
			Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::sync::atomic::AtomicBool;
	use tokio::{
		io::{AsyncReadExt, AsyncWriteExt},
		net::TcpListener,
	};

	#[test]
	fn endpoints_lead_somewhere_or_are_none() {
		let address = |secure, host, port| Some(Address { secure, host, port });
		assert_eq!(Address::parse("ws://127.0.0.1:9944"), address(false, "127.0.0.1", 9944));
		assert_eq!(Address::parse("wss://node.example/rpc?x"), address(true, "node.example", 443));
		assert_eq!(Address::parse("ws://node.example"), address(false, "node.example", 80));
		assert_eq!(Address::parse("wss://[2001:db8::1]:9944/"), address(true, "2001:db8::1", 9944));
		assert_eq!(Address::parse("ws://[2001:db8::1]"), address(false, "2001:db8::1", 80));
		assert_eq!(Address::parse("ws://me:secret@node.example:1"), address(false, "node.example", 1));
		for nonsense in
			["", "http://a", "ws://", "ws://:9944", "ws://a:b", "ws://a:99999", "ws://[::1", "ws://[::1]9944"]
		{
			assert_eq!(Address::parse(nonsense), None, "{nonsense}");
		}
	}

	#[test]
	fn roots_are_read_from_a_file_that_has_some() {
		let directory = tempfile::tempdir().unwrap();
		let path = directory.path().join("roots.pem");
		assert!(matches!(Dialer::new(Some(&path), None), Err(TlsError::Roots { .. })), "missing");
		std::fs::write(&path, "nothing of the kind").unwrap();
		assert!(matches!(Dialer::new(Some(&path), None), Err(TlsError::Roots { .. })), "empty");
		assert!(Dialer::new(Some(&path), Some([1; 32])).is_ok(), "a pin needs no roots");
	}

	#[test]
	fn only_the_pinned_certificate_is_accepted() {
		let certificate = CertificateDer::from(vec![1, 2, 3]);
		let verifier = Pinned { pin: sha2_256(&[1, 2, 3]), provider: provider() };
		let name = ServerName::try_from("node.example").unwrap();
		let verify = |certificate| verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now());
		assert!(verify(&certificate).is_ok());
		assert!(verify(&CertificateDer::from(vec![1, 2])).is_err());
		assert!(!verifier.supported_verify_schemes().is_empty());
	}

	#[tokio::test]
	async fn a_server_that_says_nothing_is_not_waited_for_in_vain() {
		// It takes the connection, and never answers the handshake.
		let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
		let endpoint = format!("ws://{}", listener.local_addr().unwrap());
		let dialler = Dialer::new(None, None).unwrap();
		let dialled = dialler.dial_within(&endpoint, Duration::from_millis(50)).await;
		assert!(matches!(dialled, Err(DialError::TimedOut(_))), "{:?}", dialled.err());
	}

	#[tokio::test]
	async fn what_nobody_takes_holds_the_sender_back() {
		let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
		let address = listener.local_addr().unwrap();
		let flooding = Arc::new(AtomicBool::new(true));
		let flood = {
			let flooding = flooding.clone();
			tokio::spawn(async move {
				let (mut socket, _) = listener.accept().await.unwrap();
				while flooding.load(Ordering::Relaxed) && socket.write_all(&[0; 65_536]).await.is_ok() {}
			})
		};
		let meter = Arc::<Meter>::default();
		let window = Arc::<Window>::default();
		let tcp = Metered { tcp: TcpStream::connect(address).await.unwrap(), meter: meter.clone() };
		let mut stream = Stream { wire: Wire::Plain(tcp), window: window.clone() };
		let mut buffer = vec![0; 65_536];
		let mut read = 0;
		while read < WINDOW {
			read += stream.read(&mut buffer).await.unwrap();
		}
		assert!(read < WINDOW + buffer.len());
		assert_eq!(meter.received(), read as u64);
		// Closed: nothing is read, though there is plenty.
		assert!(timeout(Duration::from_millis(50), stream.read(&mut buffer)).await.is_err());
		assert_eq!(meter.received(), read as u64);
		// Taking something opens it, also for a reader that waits already.
		let waiting = tokio::spawn(async move { stream.read(&mut [0; 1_024]).await });
		tokio::task::yield_now().await;
		window.open();
		assert!(waiting.await.unwrap().unwrap() > 0);
		flooding.store(false, Ordering::Relaxed);
		flood.abort();
	}
}
