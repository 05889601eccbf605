//! What stands between an enforcer and its node: a relay that lies, and one that counts.

use crate::{
	error::{Context, Result},
	netns::Namespace,
};
use jsonrpsee::{
	core::{
		client::{ClientT, Error as RpcError, SubscriptionClientT},
		params::ArrayParams,
		SubscriptionResult,
	},
	server::{Server, ServerHandle},
	types::ErrorObjectOwned,
	ws_client::{WsClient, WsClientBuilder},
	PendingSubscriptionSink, RpcModule, SubscriptionMessage,
};
use serde_json::Value;
use std::{
	future::pending,
	net::Ipv4Addr,
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc, Mutex, MutexGuard, PoisonError,
	},
};
use tokio::{
	io::{AsyncReadExt, AsyncWriteExt},
	net::{
		tcp::{OwnedReadHalf, OwnedWriteHalf},
		TcpListener, TcpStream,
	},
	task::JoinSet,
};

const METHODS: [&str; 7] = [
	"chain_getBlockHash",
	"ringfence_genesis",
	"ringfence_handoffs",
	"ringfence_heartbeat",
	"ringfence_status",
	"state_getRuntimeVersion",
	"system_accountNextIndex",
];
const SUBSCRIPTIONS: [[&str; 3]; 2] = [
	["ringfence_subscribeChanges", "ringfence_changes", "ringfence_unsubscribeChanges"],
	["ringfence_subscribeSnapshot", "ringfence_snapshot", "ringfence_unsubscribeSnapshot"],
];

/// What is done to an answer or an item of a subscription.
pub type Alteration = fn(&mut Value);

/// How a relay treats what its node says.
#[derive(Clone, Copy)]
pub enum Lie {
	/// It passes it on.
	Truth,
	/// It alters every answer and every item. Those that hold nothing of interest the function leaves alone.
	Alter(Alteration),
	/// It gives the first proof of where the chain stands again and again, and no changes.
	Repeat,
	/// It proves where the chain stands, and sends no changes.
	Withhold,
	/// It says nothing.
	Silence,
}

struct Upstream {
	client: WsClient,
	lie: Mutex<Lie>,
	/// The first heartbeat that went through, with the digest and without.
	first: Mutex<[Option<Value>; 2]>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
	// What is kept is set in one step.
	mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refusal(error: RpcError) -> ErrorObjectOwned {
	match error {
		RpcError::Call(refusal) => refusal,
		error => ErrorObjectOwned::owned(-32_000, error.to_string(), None::<()>),
	}
}

fn params(values: Vec<Value>) -> ArrayParams {
	let mut params = ArrayParams::new();
	for value in values {
		// A JSON value is always one.
		let _ = params.insert(value);
	}
	params
}

impl Upstream {
	fn lie(&self) -> Lie {
		*lock(&self.lie)
	}

	async fn answer(&self, method: &'static str, arguments: Vec<Value>) -> Result<Value, ErrorObjectOwned> {
		let lie = self.lie();
		if let Lie::Silence = lie {
			return pending().await;
		}
		let is_heartbeat = method == "ringfence_heartbeat";
		let kind = usize::from(arguments.first() == Some(&Value::Bool(true)));
		let first = lock(&self.first)[kind].clone();
		if let (Lie::Repeat, true, Some(first)) = (lie, is_heartbeat, first) {
			return Ok(first);
		}
		let mut answer = self.client.request::<Value, _>(method, params(arguments)).await.map_err(refusal)?;
		if is_heartbeat {
			lock(&self.first)[kind].get_or_insert_with(|| answer.clone());
		}
		if let Lie::Alter(alter) = lie {
			alter(&mut answer);
		}
		Ok(answer)
	}

	async fn pipe(
		&self,
		[subscribe, _, unsubscribe]: [&'static str; 3],
		arguments: Vec<Value>,
		pending: PendingSubscriptionSink,
	) -> SubscriptionResult {
		let items = self.client.subscribe::<Value, _>(subscribe, params(arguments), unsubscribe).await;
		let mut items = match items {
			Ok(items) => items,
			Err(error) => {
				pending.reject(refusal(error)).await;
				return Ok(());
			}
		};
		let sink = pending.accept().await?;
		loop {
			let mut item = tokio::select! {
				() = sink.closed() => return Ok(()),
				item = items.next() => match item {
					Some(Ok(item)) => item,
					_ => return Ok(()),
				},
			};
			match self.lie() {
				Lie::Truth => {}
				Lie::Alter(alter) => alter(&mut item),
				Lie::Repeat | Lie::Withhold | Lie::Silence => continue,
			}
			if sink.send(SubscriptionMessage::from_json(&item)?).await.is_err() {
				return Ok(());
			}
		}
	}
}

/// A relay that passes on what an enforcer asks of a node, as it likes. It ends when dropped.
pub struct Liar {
	/// Its endpoint.
	pub url: String,
	upstream: Arc<Upstream>,
	_server: ServerHandle,
}

impl Liar {
	/// One before the node at `url`, which speaks the truth at first.
	pub async fn start(url: &str) -> Result<Self> {
		let client = WsClientBuilder::default().build(url).await.context("connecting the relay")?;
		let upstream = Arc::new(Upstream { client, lie: Mutex::new(Lie::Truth), first: Mutex::default() });
		let mut module = RpcModule::new(upstream.clone());
		for method in METHODS {
			module
				.register_async_method(method, move |params, upstream, _| async move {
					let arguments: Vec<Value> = params.parse().unwrap_or_default();
					upstream.answer(method, arguments).await
				})
				.map_err(RpcError::from)
				.context("setting the relay up")?;
		}
		for names in SUBSCRIPTIONS {
			let [subscribe, item, unsubscribe] = names;
			module
				.register_subscription(subscribe, item, unsubscribe, move |params, pending, upstream, _| async move {
					let arguments: Vec<Value> = params.parse().unwrap_or_default();
					upstream.pipe(names, arguments, pending).await
				})
				.map_err(RpcError::from)
				.context("setting the relay up")?;
		}
		let server = Server::builder().build((Ipv4Addr::LOCALHOST, 0)).await.context("starting the relay")?;
		let address = server.local_addr().context("starting the relay")?;
		Ok(Self { url: format!("ws://{address}"), upstream, _server: server.start(module) })
	}

	/// From now on it treats what the node says like this.
	pub fn tell(&self, lie: Lie) {
		*lock(&self.upstream.lie) = lie;
	}
}

/// Bytes that went through a [`Counter`], without the headers of TCP and IP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bytes {
	/// From the enforcer to the node.
	pub up: u64,
	/// From the node to the enforcer.
	pub down: u64,
}

impl Bytes {
	/// Both ways.
	pub const fn total(&self) -> u64 {
		self.up + self.down
	}
}

/// A relay that counts bytes. It ends when dropped.
pub struct Counter {
	/// Its endpoint.
	pub url: String,
	bytes: Arc<[AtomicU64; 2]>,
	_tasks: JoinSet<()>,
}

impl Counter {
	/// One before the node at `address`, `host:port`.
	pub async fn start(address: &str) -> Result<Self> {
		Self::over(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("starting the relay")?, address)
	}

	/// One that listens on the loopback of `namespace`, where the node at `address` could not be reached otherwise.
	pub fn within(namespace: &Namespace, address: &str) -> Result<Self> {
		let bind = || {
			let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
			listener.set_nonblocking(true)?;
			Ok::<_, std::io::Error>(listener)
		};
		// A socket stays where it was made, whoever reads from it.
		let listener = namespace.within(bind)?.context("starting the relay")?;
		Self::over(TcpListener::from_std(listener).context("starting the relay")?, address)
	}

	fn over(listener: TcpListener, address: &str) -> Result<Self> {
		let url = format!("ws://{}", listener.local_addr().context("starting the relay")?);
		let bytes = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
		let (address, counted, mut tasks) = (address.to_owned(), bytes.clone(), JoinSet::new());
		tasks.spawn(async move {
			let mut connections = JoinSet::new();
			while let Ok((near, _)) = listener.accept().await {
				let Ok(far) = TcpStream::connect(&address).await else { continue };
				// Small messages go on as they come.
				let _ = (near.set_nodelay(true), far.set_nodelay(true));
				let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
				connections.spawn(carry(near_read, far_write, counted.clone(), 0));
				connections.spawn(carry(far_read, near_write, counted.clone(), 1));
			}
		});
		Ok(Self { url, bytes, _tasks: tasks })
	}

	/// What went through so far.
	pub fn bytes(&self) -> Bytes {
		let [up, down] = &*self.bytes;
		Bytes { up: up.load(Ordering::Relaxed), down: down.load(Ordering::Relaxed) }
	}
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, bytes: Arc<[AtomicU64; 2]>, way: usize) {
	let mut buffer = vec![0; 16 * 1024];
	while let Ok(length @ 1..) = from.read(&mut buffer).await {
		bytes[way].fetch_add(length as u64, Ordering::Relaxed);
		if to.write_all(&buffer[..length]).await.is_err() {
			return;
		}
	}
	// Dropping the other half closes it as well.
}
