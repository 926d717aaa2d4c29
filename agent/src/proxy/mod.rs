//! The way out of a container that has no network: an allow-list proxy, in a container of its own.
//!
//! The two share nothing but a volume with a Unix socket. The proxy (`cloud-code-agent proxy`) listens on it, takes `CONNECT`
//! and plain HTTP requests, looks names up by itself and lets through what its list allows. In the job's container, which
//! has no interface but its own loopback, the agent listens on loopback and passes each connection to the socket
//! ([`forward`]). So there is no gateway to knock at, no resolver to tunnel through, and no address to guess.

mod request;

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{collections::BTreeSet, fs, sync::Arc, sync::Mutex};

use cloud_code_model::network::AllowList;
use request::{Request, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Where the agent listens in the job's container; `HTTP_PROXY` names it.
pub(crate) const ADDRESS: &str = "127.0.0.1:3128";

/// Most bytes of a request's head.
const MAX_HEAD: usize = 64 * 1024;

/// Most hosts that are remembered as refused.
const MAX_REFUSED: usize = 200;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the proxy until it is killed: `CLOUD_CODE_PROXY_FOLDER` is the folder for `socket` and the list `refused.txt`,
/// `CLOUD_CODE_PROXY_ALLOW` has the patterns with commas.
pub fn main() -> ExitCode {
    let folder =
        std::env::var_os("CLOUD_CODE_PROXY_FOLDER").map_or_else(|| PathBuf::from("/proxy"), PathBuf::from);
    let patterns = std::env::var("CLOUD_CODE_PROXY_ALLOW").unwrap_or_default();
    let ran = AllowList::parse(patterns.split(','))
        .map_err(io::Error::other)
        .and_then(|allow| Ok((allow, tokio::runtime::Builder::new_current_thread().enable_all().build()?)))
        .and_then(|(allow, runtime)| runtime.block_on(serve(&folder, allow)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed too.
            let _ = writeln!(io::stderr(), "cloud-code-agent proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Proxy {
    allow: AllowList,
    refused: Mutex<BTreeSet<String>>,
    list: PathBuf,
}

async fn serve(folder: &Path, allow: AllowList) -> io::Result<()> {
    let socket = folder.join("socket");
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Under another name first: whoever finds it may use it.
    let new = folder.join("socket.new");
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o666))?;
    fs::rename(&new, &socket)?;
    let proxy = Arc::new(Proxy { allow, refused: Mutex::default(), list: folder.join("refused.txt") });
    loop {
        let (client, _) = listener.accept().await?;
        let proxy = Arc::clone(&proxy);
        tokio::spawn(async move {
            // A connection that breaks is its two ends' business.
            let _ = proxy.answer(client).await;
        });
    }
}

impl Proxy {
    async fn answer(&self, mut client: UnixStream) -> io::Result<()> {
        let head = tokio::time::timeout(HEAD_TIMEOUT, read_head(&mut client)).await;
        let Ok(Ok((head, rest))) = head else {
            return reply(&mut client, "400 Bad Request", "the request has no head that can be read").await;
        };
        let Some(request) = Request::parse(&head) else {
            return reply(&mut client, "400 Bad Request", "only CONNECT and http:// are understood here")
                .await;
        };
        let Target { host, port } = &request.target;
        if !self.allow.allows(host, *port) {
            self.refuse(host, *port);
            let told = format!(
                "{host}:{port} is not allowed for this job. Whoever runs this server can add it to NETWORK_ALLOW."
            );
            return reply(&mut client, "403 Forbidden", &told).await;
        }
        let mut server = match connect(host, *port).await {
            Ok(server) => server,
            Err(error) => {
                return reply(&mut client, "502 Bad Gateway", &format!("{host}:{port}: {error}")).await;
            }
        };
        match request.forwarded {
            None => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
            Some(head) => server.write_all(&head).await?,
        }
        server.write_all(&rest).await?;
        copy_bidirectional(&mut client, &mut server).await?;
        Ok(())
    }

    /// Remembers a host for the report, once.
    fn refuse(&self, host: &str, port: u16) {
        let Ok(mut refused) = self.refused.lock() else { return };
        let host: String = host.chars().filter(|c| !c.is_control()).take(255).collect();
        if refused.len() < MAX_REFUSED && refused.insert(format!("{host}:{port}")) {
            let lines = refused.iter().map(|host| format!("{host}\n")).collect::<String>();
            // The list is a courtesy; that the host is refused does not hang on it.
            let _ = fs::write(&self.list, lines);
        }
    }
}

async fn reply(client: &mut UnixStream, status: &str, text: &str) -> io::Result<()> {
    let reply = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}\n",
        text.len() + 1
    );
    client.write_all(reply.as_bytes()).await?;
    client.shutdown().await
}

/// Reads to the end of a request's head; what came after it is given apart.
async fn read_head(client: &mut UnixStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::with_capacity(1024);
    let mut looked = 0;
    loop {
        if let Some(at) = head[looked..].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let rest = head.split_off(looked + at + 4);
            return Ok((head, rest));
        }
        looked = head.len().saturating_sub(3);
        if head.len() > MAX_HEAD || client.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// Connects to a host's first address that answers. Whatever its name says, this machine itself and its cloud's metadata are
/// no hosts of the outside.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    let mut last = io::Error::other("it has no address that may be reached");
    for address in addresses.into_iter().filter(|address| is_outside(address.ip())) {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

fn is_outside(address: IpAddr) -> bool {
    let address = address.to_canonical();
    !address.is_loopback()
        && !address.is_unspecified()
        && !address.is_multicast()
        && match address {
            IpAddr::V4(address) => !address.is_link_local() && !address.is_broadcast(),
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        }
}

/// Passes connections to `ADDRESS` on to the proxy's socket, for ever; the error is that there can be no listener.
pub(crate) async fn forward(listener: TcpListener, socket: PathBuf) -> io::Result<std::convert::Infallible> {
    loop {
        let (mut client, _) = listener.accept().await?;
        let socket = socket.clone();
        tokio::spawn(async move {
            if let Ok(mut proxy) = UnixStream::connect(&socket).await {
                // A connection that breaks is its two ends' business.
                let _ = copy_bidirectional(&mut client, &mut proxy).await;
            }
        });
    }
}

/// The hosts that were refused so far.
pub(crate) fn refused(socket: &Path) -> Vec<String> {
    let list = fs::read_to_string(socket.with_file_name("refused.txt")).unwrap_or_default();
    list.lines().take(MAX_REFUSED).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn this_machine_and_its_metadata_are_not_outside() {
        for inside in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "169.254.169.254",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
        ] {
            assert!(!is_outside(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["10.0.0.1", "1.1.1.1", "2606:4700::1111"] {
            assert!(is_outside(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn what_is_not_allowed_is_refused_and_remembered() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ask = async |request: &str| {
            let mut stream = loop {
                match UnixStream::connect(folder.path().join("socket")).await {
                    Ok(stream) => break stream,
                    Err(_) => tokio::task::yield_now().await,
                }
            };
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer.lines().next().unwrap().to_owned()
        };
        let allow = AllowList::parse(["localhost:1", "127.0.0.1:1", "never.invalid"]).unwrap();
        runtime.block_on(async {
            let asked = async {
                for (request, expected) in [
                    ("CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", "403 Forbidden"),
                    ("CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n", "403 Forbidden"),
                    ("GET http://evil.example/x HTTP/1.1\r\n\r\n", "403 Forbidden"),
                    ("GET /x HTTP/1.1\r\nHost: never.invalid\r\n\r\n", "400 Bad Request"),
                    ("CONNECT localhost:1 HTTP/1.1\r\n\r\n", "502 Bad Gateway"),
                    ("CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n", "502 Bad Gateway"),
                    ("CONNECT never.invalid:443 HTTP/1.1\r\n\r\n", "502 Bad Gateway"),
                    ("nonsense\r\n\r\n", "400 Bad Request"),
                ] {
                    assert_eq!(ask(request).await, format!("HTTP/1.1 {expected}"), "{request}");
                }
            };
            tokio::select! {
                ended = serve(folder.path(), allow) => panic!("{ended:?}"),
                () = asked => {}
            }
        });
        assert_eq!(
            refused(&folder.path().join("socket")),
            ["169.254.169.254:80", "evil.example:443", "evil.example:80"]
        );
    }
}
