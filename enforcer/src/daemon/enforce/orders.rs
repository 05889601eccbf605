//! What the actor is told to do, and where it is told.

use super::{Due, EnforceError, Flow};
use crate::{
	core::{
		frame::{Cursor, Frame, Heartbeat, Verified},
		snapshot::Proven,
	},
	daemon::control::{Answer, Request},
};
use ringfence_primitives::Decision;
use std::future::pending;
use tokio::sync::{mpsc, oneshot, watch};

pub(super) enum Order {
	Due(oneshot::Sender<Due>),
	Cursor(oneshot::Sender<Cursor>),
	Apply(Box<Frame>, oneshot::Sender<Result<Flow, EnforceError>>),
	Heartbeat(Box<Heartbeat>, oneshot::Sender<Result<Flow, EnforceError>>),
	Pruned(oneshot::Sender<()>),
	Begin(Box<Proven>, oneshot::Sender<Result<(), EnforceError>>),
	Page(Vec<Decision>, oneshot::Sender<Result<(), EnforceError>>),
	End(u64, oneshot::Sender<Result<(), EnforceError>>),
	Abandon(oneshot::Sender<()>),
	Person(Request, oneshot::Sender<Answer>),
}

/// Where orders are given. Each method waits until its order is carried out.
#[derive(Clone, Debug)]
pub struct Enforcer {
	pub(super) orders: mpsc::Sender<Order>,
	pub(super) wanted: watch::Receiver<u64>,
}

impl Enforcer {
	/// None: the actor is gone.
	async fn put<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
		let (reply, answer) = oneshot::channel();
		self.orders.send(order(reply)).await.ok()?;
		answer.await.ok()
	}

	async fn put_result<T>(
		&self,
		order: impl FnOnce(oneshot::Sender<Result<T, EnforceError>>) -> Order,
	) -> Result<T, EnforceError> {
		self.put(order).await.unwrap_or(Err(EnforceError::Stopped))
	}

	/// What is to be fetched next. Never comes back once the actor is gone.
	pub async fn due(&self) -> Due {
		match self.put(Order::Due).await {
			Some(due) => due,
			None => pending().await,
		}
	}

	/// How far the change log was applied. Never comes back once the actor is gone.
	pub async fn cursor(&self) -> Cursor {
		match self.put(Order::Cursor).await {
			Some(cursor) => cursor,
			None => pending().await,
		}
	}

	/// Applies what is new in `frame`.
	pub async fn apply(&self, frame: Verified<Frame>) -> Result<Flow, EnforceError> {
		self.put_result(|reply| Order::Apply(Box::new(frame.into_inner()), reply)).await
	}

	/// Compares the digest, if there is one and both are at the same entry.
	pub async fn heartbeat(&self, heartbeat: Verified<Heartbeat>) -> Result<Flow, EnforceError> {
		self.put_result(|reply| Order::Heartbeat(Box::new(heartbeat.into_inner()), reply)).await
	}

	/// The log no longer reaches back to the entry that is due.
	pub async fn pruned(&self) {
		self.put(Order::Pruned).await;
	}

	/// Begins a snapshot. One that was begun before is given up.
	pub async fn begin(&self, proven: Proven) -> Result<(), EnforceError> {
		self.put_result(|reply| Order::Begin(Box::new(proven), reply)).await
	}

	/// Takes in its next page.
	pub async fn page(&self, decisions: Vec<Decision>) -> Result<(), EnforceError> {
		self.put_result(|reply| Order::Page(decisions, reply)).await
	}

	/// Compares it, of which the server says that it has `count` decisions, with what the chain proves, and puts it in
	/// force. After an error everything is as it was before.
	pub async fn end(&self, count: u64) -> Result<(), EnforceError> {
		self.put_result(|reply| Order::End(count, reply)).await
	}

	/// Gives the snapshot up, if one was begun.
	pub async fn abandon(&self) {
		self.put(Order::Abandon).await;
	}

	/// Answers a person.
	pub async fn ask(&self, request: Request) -> Answer {
		let stopped = || Answer::Failed { cause: EnforceError::Stopped.to_string() };
		self.put(|reply| Order::Person(request, reply)).await.unwrap_or_else(stopped)
	}

	/// Changes each time when a heartbeat with digest is wanted at once.
	pub fn wanted(&self) -> watch::Receiver<u64> {
		self.wanted.clone()
	}
}
