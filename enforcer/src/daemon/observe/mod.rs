//! What people and machines may look at: metrics for Prometheus on loopback, and a page for the household.
//!
//! Both render what [`Board`] and [`History`] hold; nothing here decides anything. The page can also carry a person's
//! wish to the enforcer (let this peer through), the same way as the command line does: through [`Ask`].
//!
//! # Security considerations
//!
//! Anybody on the local network may connect to the page, any local program to the metrics, and any web site may make a
//! browser in the house send requests to either. Hence [`http`] bounds connections, sizes and times, and [`page`] checks
//! who is asked (Host), who asks (Origin) and whether he knows the code. Neither server listens on an address that the
//! internet could reach. A server that cannot start is told in the log and tried again: protection never waits for it.

mod devices;
pub mod history;
mod http;
pub mod metrics;
pub mod page;

pub use self::{history::History, page::link};

use super::{
	config::Mode,
	control::{Answer, Desk, Request},
	now_ms,
	status::Board,
};
use std::{
	future::{pending, Future},
	net::{IpAddr, SocketAddr},
	path::PathBuf,
	sync::Arc,
	time::Duration,
};
use tokio::net::TcpListener;
use tracing::{info, warn};

/// Time between two attempts to listen: the address of an interface that is not up yet comes later.
const RETRY: Duration = Duration::from_secs(5);

/// Where the page's wishes go. The daemon's is [`Desk`].
pub trait Ask: Clone + Send + Sync + 'static {
	/// Puts one request to the enforcer and waits, in bounded time, for what it says.
	fn put(&self, request: Request) -> impl Future<Output = Answer> + Send;
}

impl Ask for Desk {
	async fn put(&self, request: Request) -> Answer {
		self.ask(request).await
	}
}

/// What is shown, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
	/// Where the metrics are. None: nowhere. Loopback only.
	pub metrics: Option<SocketAddr>,
	/// Where the page is. None: nowhere. Loopback or a local network only.
	pub page: Option<SocketAddr>,
	/// Whether the firewall drops anything.
	pub mode: Mode,
	/// Where the code for the page is kept.
	pub state_dir: PathBuf,
}

/// Whether only machines nearby can have `address`: loopback, private (RFC 1918), link-local, or unique local (RFC 4193).
pub fn is_local(address: IpAddr) -> bool {
	match address.to_canonical() {
		IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
		IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
	}
}

/// Serves both for ever.
pub async fn serve(settings: Settings, board: Arc<Board>, history: Arc<History>, desk: impl Ask) {
	let Settings { metrics, page, mode, state_dir } = settings;
	let metrics = async {
		let Some(address) = metrics.filter(|address| address.ip().to_canonical().is_loopback()) else { return };
		metrics::serve(listen("metrics", address).await, board.clone()).await;
	};
	let page = async {
		let Some(address) = page.filter(|address| is_local(address.ip())) else { return };
		let code = loop {
			match page::code(&state_dir) {
				Ok(code) => break code,
				Err(cause) => warn!(at = now_ms(), %cause, "no code for the page"),
			}
			tokio::time::sleep(RETRY).await;
		};
		page::serve(listen("page", address).await, &code, mode, board.clone(), history, desk).await;
	};
	tokio::join!(metrics, page);
	pending().await
}

/// Listens on `address` as soon as that can be done.
async fn listen(what: &'static str, address: SocketAddr) -> TcpListener {
	let mut told = false;
	loop {
		match TcpListener::bind(address).await {
			Ok(listener) => {
				info!(at = now_ms(), what, %address, "listening");
				return listener;
			}
			Err(cause) if !told => warn!(at = now_ms(), what, %address, %cause, "cannot listen yet"),
			Err(_) => {}
		}
		told = true;
		tokio::time::sleep(RETRY).await;
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn only_addresses_of_the_neighbourhood_are_local() {
		for local in ["127.0.0.1", "10.1.2.3", "192.168.1.1", "172.31.0.1", "169.254.1.1", "::1", "fe80::1", "fd00::1"]
		{
			assert!(is_local(local.parse().unwrap()), "{local}");
		}
		for wide in ["0.0.0.0", "::", "203.0.113.1", "100.64.0.1", "172.32.0.1", "2001:db8::1", "::ffff:203.0.113.1"] {
			assert!(!is_local(wide.parse().unwrap()), "{wide}");
		}
		assert!(is_local("::ffff:192.168.1.1".parse().unwrap()));
	}
}
