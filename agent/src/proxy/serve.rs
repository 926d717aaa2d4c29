//! Connections: one request each, an answer or a relay, and an end.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cloud_code_model::network::{AllowList, Verdict};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::BLOCKED_PATH;
use super::blocked::Blocked;
use super::dial::{DialError, dial};
use super::head::{self, Ask, Refusal};

/// Bytes of a request's head.
const MAX_HEAD: usize = 32 * 1024;
/// The same once one side has ended.
const HALF_CLOSED: Duration = Duration::from_secs(30);
/// After a failed accept, e.g. for want of file descriptors: it would fail again at once.
const BREATH: Duration = Duration::from_millis(100);
/// Bytes in hand for each direction of a relay.
const BUFFER: usize = 16 * 1024;

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at once; more wait until one is closed.
    pub(super) connections: usize,
    /// From a connection's beginning to the end of its head.
    pub(super) head: Duration,
    /// Without a byte either way.
    pub(super) idle: Duration,
}

struct Proxy {
    limits: Limits,
    allow: AllowList,
    blocked: RefCell<Blocked>,
}

/// Serves for ever.
pub(super) async fn serve(listener: UnixListener, allow: AllowList, limits: Limits) -> Infallible {
    let proxy = Rc::new(Proxy { limits, allow, blocked: RefCell::default() });
    let places = Arc::new(Semaphore::new(limits.connections));
    let accept = async {
        loop {
            // Only ever closed by us, and it never is.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { continue };
            match listener.accept().await {
                Ok((client, _)) => {
                    let proxy = Rc::clone(&proxy);
                    tokio::task::spawn_local(async move {
                        // Either side went away: nobody is left to tell.
                        let _ = proxy.handle(client).await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        }
    };
    LocalSet::new().run_until(accept).await
}

impl Proxy {
    async fn handle(&self, mut client: UnixStream) -> io::Result<()> {
        let (ask, rest) = match timeout(self.limits.head, read_head(&mut client)).await {
            Err(_) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Ok(Ok(Err(Refusal(status, why)))) => return answer(&mut client, status, why).await,
            Ok(Ok(Ok(found))) => found,
        };
        match ask {
            Ask::Own { path } => self.own(&mut client, &path).await,
            Ask::Tunnel { host, port } => {
                let Some(mut there) = self.connect(&mut client, &host, port).await? else { return Ok(()) };
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
                there.write_all(&rest).await?;
                relay(client, there, self.limits.idle).await;
                Ok(())
            }
            Ask::Forward { host, port, head } => {
                let Some(mut there) = self.connect(&mut client, &host, port).await? else { return Ok(()) };
                there.write_all(&head).await?;
                there.write_all(&rest).await?;
                relay(client, there, self.limits.idle).await;
                Ok(())
            }
        }
    }

    async fn own(&self, client: &mut UnixStream, path: &str) -> io::Result<()> {
        if path == BLOCKED_PATH {
            let text = self.blocked.borrow().text();
            return answer(client, 200, &text).await;
        }
        answer(
            client,
            404,
            "this is the proxy of a Cloud Code job; send it CONNECT, or requests for http://HOST/",
        )
        .await
    }

    /// The connection, or an answer that says why there is none.
    async fn connect(&self, client: &mut UnixStream, host: &str, port: u16) -> io::Result<Option<TcpStream>> {
        let verdict = self.allow.verdict(host, port);
        if verdict == Verdict::Refused {
            self.note(host, port);
            let why = format!(
                "{host}:{port} is not among the hosts that this job may reach; allow it with the job's `network` or the server's NETWORK_ALLOW"
            );
            answer(client, 403, &why).await?;
            return Ok(None);
        }
        match dial(host, port, verdict).await {
            Ok(there) => {
                there.set_nodelay(true)?;
                Ok(Some(there))
            }
            Err(error @ DialError::Private) => {
                self.note(host, port);
                let why = format!(
                    "{host}:{port}: {error}; only the server's NETWORK_ALLOW opens one, by the host's full name"
                );
                answer(client, 403, &why).await?;
                Ok(None)
            }
            Err(error) => {
                answer(client, 502, &format!("{host}:{port}: {error}")).await?;
                Ok(None)
            }
        }
    }

    fn note(&self, host: &str, port: u16) {
        let mut blocked = self.blocked.borrow_mut();
        if blocked.note(host, port) {
            // A closed standard error is no reason to stop.
            let _ = writeln!(io::stderr(), "refused {}", blocked.last());
        }
    }
}

/// The head, and what came with it of the bytes behind it.
async fn read_head(client: &mut UnixStream) -> io::Result<Result<(Ask, Vec<u8>), Refusal>> {
    let mut bytes = Vec::with_capacity(2048);
    loop {
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match head::read(&bytes) {
            Ok(Some((ask, length))) => return Ok(Ok((ask, bytes.split_off(length)))),
            Ok(None) if bytes.len() < MAX_HEAD => {}
            Ok(None) => return Ok(Err(Refusal(431, "the head is too long"))),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
}

async fn answer(client: &mut UnixStream, status: u16, text: &str) -> io::Result<()> {
    let name = match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        431 => "Request Header Fields Too Large",
        _ => "Bad Gateway",
    };
    let text = text.trim_end();
    let head = format!(
        "HTTP/1.1 {status} {name}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}\n",
        text.len() + 1
    );
    client.write_all(head.as_bytes()).await?;
    client.shutdown().await?;
    // What is still on its way here would make the close a reset, and cut the answer off: it is read, for a moment.
    let mut sink = [0; 1024];
    let drained = async { while client.read(&mut sink).await.is_ok_and(|read| read > 0) {} };
    let _ = timeout(Duration::from_secs(2), drained).await;
    Ok(())
}

/// Copies both ways until both sides have ended, one of them fails, or nothing has moved for too long.
async fn relay(client: UnixStream, there: TcpStream, idle: Duration) {
    let life = Life { moved: Cell::new(Instant::now()), patience: Cell::new(idle) };
    let (client_read, client_write) = client.into_split();
    let (there_read, there_write) = there.into_split();
    let both =
        async { tokio::try_join!(life.copy(client_read, there_write), life.copy(there_read, client_write)) };
    tokio::select! {
        _ = both => {}
        () = life.over() => {}
    }
}

struct Life {
    moved: Cell<Instant>,
    patience: Cell<Duration>,
}

impl Life {
    async fn copy(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = from.read(&mut buffer).await?;
            self.moved.set(Instant::now());
            if read == 0 {
                self.patience.set(self.patience.get().min(HALF_CLOSED));
                return to.shutdown().await;
            }
            to.write_all(&buffer[..read]).await?;
            self.moved.set(Instant::now());
        }
    }

    async fn over(&self) {
        loop {
            // Looked at again now and then: the patience becomes shorter when a side ends.
            let end = self.moved.get() + self.patience.get();
            let now = Instant::now();
            if end <= now {
                return;
            }
            sleep_until(end.min(now + HALF_CLOSED)).await;
        }
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
