//! The one writer of this process. Whatever wants to write queues up here; whoever waits when the disk is free again is
//! written in one transaction with all the others (group commit), and is answered only once that is committed. One sync to
//! disk then serves hundreds of callers, and no two connections of ours ever fight for SQLite's one write lock.
//!
//! A transaction that fails (a full disk, a read-only one, an I/O error) answers all its callers with [`WriteFailed`] and
//! leaves nothing behind; the next one begins on a fresh connection.

use super::database::{BEGIN_WRITE, discard, reconnect};
use super::messages::{self, Push};
use super::time::nanos;
use crate::ports::{Clock, Lane, Pushed};
use futures::future::BoxFuture;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteConnectOptions;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot};

/// Callers in one transaction at most.
const BATCH_CALLERS: usize = 512;

/// Bytes of message bodies in one transaction at most, but for a single message that is larger.
const BATCH_BYTES: usize = 8 << 20;

/// Callers that may wait for the writer; more wait for a place among these.
const WAITING_CALLERS: usize = 2048;

/// Nothing was written; why.
#[derive(Debug, Clone)]
pub(super) struct WriteFailed(pub(super) String);

impl WriteFailed {
    fn closed() -> Self {
        Self("the database is closed".to_owned())
    }
}

/// Wakes those of this process who wait for a message.
#[derive(Default)]
pub(super) struct Wakers([Notify; 3]);

impl Wakers {
    pub(super) fn of(&self, lane: Lane) -> &Notify {
        let [deliveries, runs, launches] = &self.0;
        match lane {
            Lane::Deliveries => deliveries,
            Lane::Runs => runs,
            Lane::Launches => launches,
        }
    }
}

/// Anything that writes within the common transaction.
trait Job: Send {
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> BoxFuture<'c, Result<(), sqlx::Error>>;
    fn answer(self: Box<Self>, failure: Option<&WriteFailed>, wakers: &Wakers);
}

struct Task<W, T> {
    work: Option<W>,
    result: Option<T>,
    wake: Option<Lane>,
    reply: oneshot::Sender<Result<T, WriteFailed>>,
}

impl<W, T> Job for Task<W, T>
where
    W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send,
    T: Send,
{
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> BoxFuture<'c, Result<(), sqlx::Error>> {
        Box::pin(async move {
            if let Some(work) = self.work.take() {
                self.result = Some(work(connection).await?);
            }
            Ok(())
        })
    }

    fn answer(self: Box<Self>, failure: Option<&WriteFailed>, wakers: &Wakers) {
        let outcome = match (failure, self.result) {
            (None, Some(result)) => Ok(result),
            (Some(failure), _) => Err(failure.clone()),
            (None, None) => Err(WriteFailed("it was not run".to_owned())),
        };
        if let (Ok(_), Some(lane)) = (&outcome, self.wake) {
            wakers.of(lane).notify_waiters();
        }
        // A caller that went away has no use for the answer; what it wanted is written.
        drop(self.reply.send(outcome));
    }
}

enum Order {
    Push(Push, oneshot::Sender<Result<Pushed, WriteFailed>>),
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// A handle to the writer.
#[derive(Clone)]
pub(super) struct Writer {
    orders: mpsc::Sender<Order>,
}

impl Writer {
    /// Starts the writer on a connection of its own. It ends when closed, or when its last handle is gone.
    pub(super) fn start(
        connection: SqliteConnection,
        options: SqliteConnectOptions,
        position: i64,
        wakers: Arc<Wakers>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (orders, receiver) = mpsc::channel(WAITING_CALLERS);
        let state = State { connection: Some(connection), options, position, wakers, clock };
        tokio::spawn(state.serve(receiver));
        Self { orders }
    }

    /// Pushes a message; the answer comes once it is on disk.
    pub(super) async fn push(&self, push: Push) -> Result<Pushed, WriteFailed> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Push(push, reply)).await.map_err(|_| WriteFailed::closed())?;
        answer.await.unwrap_or_else(|_| Err(WriteFailed::closed()))
    }

    /// Runs `work` within a transaction; the answer comes once it is on disk. `wake`: whose waiters may find something new.
    pub(super) async fn run<W, T>(&self, wake: Option<Lane>, work: W) -> Result<T, WriteFailed>
    where
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Task { work: Some(work), result: None, wake, reply };
        self.orders.send(Order::Job(Box::new(task))).await.map_err(|_| WriteFailed::closed())?;
        answer.await.unwrap_or_else(|_| Err(WriteFailed::closed()))
    }

    /// Ends the writer after what was ordered before.
    pub(super) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.orders.send(Order::Close(reply)).await.is_ok() {
            // An error means that it had ended already.
            drop(closed.await);
        }
    }
}

/// Lets the compiler see a closure as work for [`Writer::run`].
pub(super) fn work<W, T>(work: W) -> W
where
    W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
{
    work
}

#[derive(Default)]
struct Batch {
    pushes: Vec<Push>,
    replies: Vec<oneshot::Sender<Result<Pushed, WriteFailed>>>,
    jobs: Vec<Box<dyn Job>>,
    bytes: usize,
    close: Option<oneshot::Sender<()>>,
}

impl Batch {
    fn add(&mut self, order: Order) {
        match order {
            Order::Push(push, reply) => {
                self.bytes += push.body.len();
                self.pushes.push(push);
                self.replies.push(reply);
            }
            Order::Job(job) => self.jobs.push(job),
            Order::Close(reply) => self.close = Some(reply),
        }
    }

    fn is_full(&self) -> bool {
        self.close.is_some()
            || self.bytes >= BATCH_BYTES
            || self.pushes.len() + self.jobs.len() >= BATCH_CALLERS
    }
}

struct State {
    connection: Option<SqliteConnection>,
    options: SqliteConnectOptions,
    position: i64,
    wakers: Arc<Wakers>,
    clock: Arc<dyn Clock>,
}

impl State {
    async fn serve(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(first) = orders.recv().await {
            let mut batch = Batch::default();
            batch.add(first);
            while !batch.is_full() {
                match orders.try_recv() {
                    Ok(order) => batch.add(order),
                    Err(_) => break,
                }
            }
            let closing = batch.close.take();
            self.handle(batch).await;
            if let Some(reply) = closing {
                orders.close();
                if let Some(connection) = self.connection.take() {
                    discard(connection).await;
                }
                let _ = reply.send(());
                return;
            }
        }
        if let Some(connection) = self.connection.take() {
            discard(connection).await;
        }
    }

    async fn handle(&mut self, mut batch: Batch) {
        if batch.pushes.is_empty() && batch.jobs.is_empty() {
            return;
        }
        let lanes: Vec<Lane> =
            Lane::ALL.into_iter().filter(|lane| batch.pushes.iter().any(|push| push.lane == *lane)).collect();
        match self.commit(&mut batch).await {
            Ok(pushed) => {
                for lane in lanes {
                    self.wakers.of(lane).notify_waiters();
                }
                for (reply, pushed) in batch.replies.into_iter().zip(pushed) {
                    drop(reply.send(Ok(pushed)));
                }
                for job in batch.jobs {
                    job.answer(None, &self.wakers);
                }
            }
            Err(failure) => {
                tracing::error!(error = %failure.0, callers = batch.replies.len() + batch.jobs.len(), "a write to the database failed");
                for reply in batch.replies {
                    drop(reply.send(Err(failure.clone())));
                }
                for job in batch.jobs {
                    job.answer(Some(&failure), &self.wakers);
                }
            }
        }
    }

    async fn commit(&mut self, batch: &mut Batch) -> Result<Vec<Pushed>, WriteFailed> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => reconnect(&self.options).await?,
        };
        match self.transact(&mut connection, batch).await {
            Ok(pushed) => {
                self.connection = Some(connection);
                Ok(pushed)
            }
            Err(error) => {
                // SQLite may or may not have rolled back by itself: a new connection has no such doubts.
                discard(connection).await;
                Err(WriteFailed(error.to_string()))
            }
        }
    }

    async fn transact(
        &mut self,
        connection: &mut SqliteConnection,
        batch: &mut Batch,
    ) -> Result<Vec<Pushed>, sqlx::Error> {
        sqlx::query(BEGIN_WRITE).execute(&mut *connection).await?;
        let pushes = std::mem::take(&mut batch.pushes);
        let now = nanos(self.clock.now());
        let pushed = messages::insert(connection, pushes, now, &mut self.position).await?;
        for job in &mut batch.jobs {
            job.run(connection).await?;
        }
        sqlx::query("COMMIT").execute(&mut *connection).await?;
        Ok(pushed)
    }
}
