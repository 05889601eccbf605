//! `wss`: whom an endpoint must be, with a real handshake.
//!
//! The certificate and key are made for this test:
//! `openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt`, and `openssl req -new -x509 -days 36500`
//! with `basicConstraints=critical,CA:FALSE` and `subjectAltName=DNS:localhost,IP:127.0.0.1`.

use jsonrpsee::{server::Server, RpcModule};
use ringfence_enforcer::daemon::{
	chain::{ChainError, Connection},
	dial::{DialError, Dialer},
};
use std::{net::Ipv4Addr, path::Path, sync::Arc};
use tokio::{
	io::copy_bidirectional,
	net::{TcpListener, TcpStream},
};
use tokio_rustls::{
	rustls::{
		crypto::ring,
		pki_types::{pem::PemObject, CertificateDer, PrivateKeyDer},
		ServerConfig,
	},
	TlsAcceptor,
};

const CERTIFICATE: &[u8] = include_bytes!("fixtures/tls-cert.pem");
const KEY: &[u8] = include_bytes!("fixtures/tls-key.pem");
const GENESIS: [u8; 32] = [0x11; 32];

fn certificate() -> CertificateDer<'static> {
	CertificateDer::from_pem_slice(CERTIFICATE).unwrap()
}

/// A node behind a proxy that speaks TLS; the proxy's port.
async fn node() -> u16 {
	let mut module = RpcModule::new(());
	module.register_method("chain_getBlockHash", |_, _, _| format!("0x{}", "11".repeat(32))).unwrap();
	let server = Server::builder().build((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
	let address = server.local_addr().unwrap();
	// It runs until the test ends.
	tokio::spawn(server.start(module).stopped());
	let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
		.with_safe_default_protocol_versions()
		.unwrap()
		.with_no_client_auth()
		.with_single_cert(vec![certificate()], PrivateKeyDer::from_pem_slice(KEY).unwrap())
		.unwrap();
	let acceptor = TlsAcceptor::from(Arc::new(config));
	let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
	let port = listener.local_addr().unwrap().port();
	tokio::spawn(async move {
		while let Ok((near, _)) = listener.accept().await {
			let acceptor = acceptor.clone();
			tokio::spawn(async move {
				// A client that does not trust the certificate breaks off here.
				let Ok(mut near) = acceptor.accept(near).await else { return };
				let mut far = TcpStream::connect(address).await.unwrap();
				let _ = copy_bidirectional(&mut near, &mut far).await;
			});
		}
	});
	port
}

async fn open(dialer: &Dialer, host: &str, port: u16) -> Result<Connection, ChainError> {
	Connection::open(dialer, &format!("wss://{host}:{port}"), None).await
}

fn is_refused(result: Result<Connection, ChainError>) -> bool {
	matches!(result, Err(ChainError::Dial(DialError::Io(_))))
}

fn roots() -> Dialer {
	let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls-cert.pem");
	Dialer::new(Some(&path), None).unwrap()
}

#[tokio::test]
async fn a_node_that_the_roots_vouch_for_is_reached() {
	let (port, dialer) = (node().await, roots());
	let connection = open(&dialer, "localhost", port).await.unwrap();
	assert_eq!(connection.genesis, GENESIS);
	assert!(open(&dialer, "127.0.0.1", port).await.is_ok());
	assert!(dialer.meter().received() > 0 && dialer.meter().sent() > 0);
}

#[tokio::test]
async fn a_node_of_another_chain_is_refused() {
	let (port, dialer) = (node().await, roots());
	let opened = Connection::open(&dialer, &format!("wss://localhost:{port}"), Some([0x22; 32])).await;
	assert!(matches!(opened, Err(ChainError::WrongChain { .. })));
}

#[tokio::test]
async fn a_node_that_nobody_vouches_for_is_refused() {
	let port = node().await;
	assert!(is_refused(open(&Dialer::new(None, None).unwrap(), "localhost", port).await));
}

#[tokio::test]
async fn only_the_pinned_certificate_opens_the_connection() {
	let port = node().await;
	let pin = sp_crypto_hashing::sha2_256(&certificate());
	let pinned = Dialer::new(None, Some(pin)).unwrap();
	assert_eq!(open(&pinned, "localhost", port).await.unwrap().genesis, GENESIS);
	let other = Dialer::new(None, Some([1; 32])).unwrap();
	assert!(is_refused(open(&other, "localhost", port).await));
}
