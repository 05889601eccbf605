//! HTTP/1.1 within bounds: one request a connection, few connections, small requests, short times.
//!
//! # Security considerations
//!
//! Everything that arrives here is chosen by whoever can connect. Whatever he does, he holds at most
//! [`PER_PEER`] of [`CONNECTIONS`] connections, each for [`WHOLE`] at most, and each costs at most [`BUFFER`] octets.

use crate::daemon::lock;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
	body::{Bytes, Incoming},
	header::{self, HeaderValue},
	server::conn::http1,
	service::service_fn,
	Request, Response, StatusCode,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use std::{
	collections::HashMap,
	convert::Infallible,
	future::Future,
	net::IpAddr,
	sync::{Arc, Mutex},
	time::Duration,
};
use tokio::{net::TcpListener, time::timeout};

/// Connections at a time.
const CONNECTIONS: usize = 64;
/// Connections at a time from one address. A browser makes six.
const PER_PEER: usize = 16;
/// Octets of a request's head, and of what is buffered of anything.
const BUFFER: usize = 16 * 1024;
/// Headers of a request. Browsers send about twenty.
const HEADERS: usize = 64;
/// Octets of a request's body.
const BODY: usize = 1_024;
/// Time for the head of the request.
const HEAD: Duration = Duration::from_secs(5);
/// Time for everything.
const WHOLE: Duration = Duration::from_secs(20);
/// Pause after a failed accept: the process may be out of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// What goes back.
pub(super) type Reply = Response<Full<Bytes>>;

/// What holds for every answer: it runs nothing and loads nothing but what this server gave, is shown in nobody's frame,
/// told to nobody, and kept nowhere.
const ALWAYS: [(&str, &str); 7] = [
	(
		"content-security-policy",
		"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
		 form-action 'none'; frame-ancestors 'none'",
	),
	("x-content-type-options", "nosniff"),
	("referrer-policy", "no-referrer"),
	("cache-control", "no-store"),
	("cross-origin-resource-policy", "same-origin"),
	("cross-origin-opener-policy", "same-origin"),
	("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

/// An answer of the given kind.
pub(super) fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
	let mut reply = Response::new(Full::new(body.into()));
	*reply.status_mut() = status;
	let headers = reply.headers_mut();
	headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
	for (name, value) in ALWAYS {
		headers.insert(name, HeaderValue::from_static(value));
	}
	reply
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Reply {
	// Numbers, text and lists of them always serialize.
	reply(status, "application/json", serde_json::to_vec(body).unwrap_or_default())
}

/// A refusal, with its cause.
pub(super) fn refusal(status: StatusCode, cause: impl ToString) -> Reply {
	#[derive(Serialize)]
	struct Refusal {
		cause: String,
	}
	json(status, &Refusal { cause: cause.to_string() })
}

/// The body of `request`; None where it is longer than allowed, or breaks off.
pub(super) async fn body(request: Request<Incoming>) -> Option<Bytes> {
	Some(Limited::new(request.into_body(), BODY).collect().await.ok()?.to_bytes())
}

/// How many connections there are, by peer.
type Guests = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One connection's place among the others.
struct Seat(Guests, IpAddr);

impl Seat {
	fn take(guests: &Guests, peer: IpAddr) -> Option<Self> {
		let mut seats = lock(guests);
		if seats.values().sum::<usize>() >= CONNECTIONS || seats.get(&peer).is_some_and(|taken| *taken >= PER_PEER) {
			return None;
		}
		*seats.entry(peer).or_default() += 1;
		Some(Self(guests.clone(), peer))
	}
}

impl Drop for Seat {
	fn drop(&mut self) {
		let mut seats = lock(&self.0);
		if let Some(taken) = seats.get_mut(&self.1) {
			*taken -= 1;
			if *taken == 0 {
				seats.remove(&self.1);
			}
		}
	}
}

/// Answers requests for ever. Peers that are not [local](super::is_local), and those beyond the bounds, are hung up on.
pub(super) async fn serve<H, F>(listener: TcpListener, handle: H)
where
	H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
	F: Future<Output = Reply> + Send + 'static,
{
	let guests = Guests::default();
	loop {
		let Ok((stream, peer)) = listener.accept().await else {
			tokio::time::sleep(BREATH).await;
			continue;
		};
		let peer = peer.ip().to_canonical();
		if !super::is_local(peer) {
			continue;
		}
		let Some(seat) = Seat::take(&guests, peer) else { continue };
		let handle = handle.clone();
		tokio::spawn(async move {
			let service = service_fn(move |request| {
				let reply = handle(request);
				async move { Ok::<_, Infallible>(reply.await) }
			});
			let connection = http1::Builder::new()
				.timer(TokioTimer::new())
				.header_read_timeout(HEAD)
				.keep_alive(false)
				.max_headers(HEADERS)
				.max_buf_size(BUFFER)
				.serve_connection(TokioIo::new(stream), service);
			// Whether it broke off or took too long: nobody waits for the answer any more.
			let _ = timeout(WHOLE, connection).await;
			drop(seat);
		});
	}
}
