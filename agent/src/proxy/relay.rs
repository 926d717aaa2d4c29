//! The job's end of its way out: a listener on the container's own loopback, which passes each connection on to the proxy's socket.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloud_code_model::network::PROXY_PORT;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::ProxyError;

/// Connections at once: as many as the proxy takes.
const CONNECTIONS: usize = 256;
/// The proxy's container is started right after ours, and comes back when it dies.
const START: Duration = Duration::from_secs(30);
/// Between two tries of reaching a proxy that does not listen yet, which sends no signal when it does.
const LOOK: Duration = Duration::from_millis(10);
/// After a failed accept, e.g. for want of file descriptors: it would fail again at once.
const BREATH: Duration = Duration::from_millis(100);
/// What a program is told whose proxy is not there.
const GONE: &[u8] =
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: 42\r\nConnection: close\r\n\r\n\
      the job's network proxy does not answer.\r\n";

/// Listens where the job's programs look for their proxy.
pub(crate) async fn listen() -> Result<TcpListener, ProxyError> {
    let at = (Ipv4Addr::LOCALHOST, PROXY_PORT);
    let failed = |source| ProxyError::Listen { at: format!("{}:{}", at.0, at.1), source };
    TcpListener::bind(at).await.map_err(failed)
}

/// A way to the proxy.
#[derive(Debug)]
pub(crate) struct Relay {
    socket: PathBuf,
    patience: Duration,
    used: AtomicBool,
}

impl Relay {
    /// To this socket.
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket, patience: START, used: AtomicBool::new(false) }
    }

    /// A connection to the proxy. Where nobody has asked for one yet, a proxy that does not listen yet is not waited for: `None`.
    pub(crate) async fn last_connection(&self) -> io::Result<Option<UnixStream>> {
        if self.used.load(Ordering::Relaxed) {
            return Ok(Some(connected(&self.socket).await));
        }
        match UnixStream::connect(&self.socket).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn pass_on(&self, mut client: TcpStream) -> io::Result<()> {
        self.used.store(true, Ordering::Relaxed);
        client.set_nodelay(true)?;
        let Ok(mut proxy) = timeout(self.patience, connected(&self.socket)).await else {
            return client.write_all(GONE).await;
        };
        // The proxy ends what nothing goes through any more.
        copy_bidirectional(&mut client, &mut proxy).await.map(drop)
    }
}

/// Passes connections on for ever. Whoever connects before the proxy listens waits for it.
pub(crate) async fn serve(listener: TcpListener, relay: Arc<Relay>) -> Infallible {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Only ever closed by us, and it never is.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { continue };
        match listener.accept().await {
            Ok((client, _)) => {
                let relay = Arc::clone(&relay);
                tokio::spawn(async move {
                    // Either side went away: nobody is left to tell.
                    let _ = relay.pass_on(client).await;
                    drop(place);
                });
            }
            Err(_) => sleep(BREATH).await,
        }
    }
}

/// A connection to the proxy, as soon as it listens.
async fn connected(socket: &Path) -> UnixStream {
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => return stream,
            Err(_) => sleep(LOOK).await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn a_connection_waits_for_the_proxy_and_both_ways_end_by_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("proxy");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let relay = Arc::new(Relay::new(socket.clone()));
        let asking = async {
            assert!(relay.last_connection().await.unwrap().is_none());
            let mut early = TcpStream::connect(address).await.unwrap();
            early.write_all(b"question").await.unwrap();
            early.shutdown().await.unwrap();
            // It is there only now.
            let proxy = UnixListener::bind(&socket).unwrap();
            let (mut stream, _) = proxy.accept().await.unwrap();
            let mut got = Vec::new();
            stream.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"question");
            stream.write_all(b"answer").await.unwrap();
            drop(stream);
            got.clear();
            early.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"answer");
        };
        tokio::select! {
            () = asking => {}
            never = serve(listener, Arc::clone(&relay)) => match never {},
        }
    }

    #[tokio::test]
    async fn a_proxy_that_never_comes_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asking = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut got = String::new();
            stream.read_to_string(&mut got).await.unwrap();
            assert!(got.starts_with("HTTP/1.1 502 "), "{got}");
            let (head, body) = got.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{got}");
        };
        let relay = Relay { patience: Duration::from_millis(50), ..Relay::new(dir.path().join("none")) };
        tokio::select! {
            () = asking => {}
            never = serve(listener, Arc::new(relay)) => match never {},
        }
    }
}
