//! From a name to a connection: the address is looked up once, looked at, and that very address connected to.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use cloud_code_model::network::{Verdict, is_address};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::address::{Reach, reach};

/// For the resolver, and for each address.
const PATIENCE: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 6;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// All of its addresses are private ones, which this host may not have.
    #[error("it has a private address")]
    Private,
    #[error("its address could not be looked up: {0}")]
    Lookup(io::Error),
    #[error("it does not answer: {0}")]
    Connect(io::Error),
}

/// Connects to a host that the list lets through in this measure.
pub(super) async fn dial(host: &str, port: u16, verdict: Verdict) -> Result<TcpStream, DialError> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let found = timeout(PATIENCE, lookup_host((host, port))).await.map_err(late).flatten();
    let farthest = match verdict {
        Verdict::Refused => return Err(DialError::Private),
        Verdict::Public => Reach::Public,
        // An operator who writes an address means it; a name may come to mean this machine, or its metadata, by another's hand.
        Verdict::Named if is_address(host) => Reach::Local,
        Verdict::Named => Reach::Private,
    };
    let addresses: Vec<SocketAddr> = found.map_err(DialError::Lookup)?.collect();
    let good = addresses.iter().filter(|address| reach(address.ip()) <= farthest).take(MAX_ADDRESSES);
    let mut failure = DialError::Private;
    for address in good {
        match timeout(PATIENCE, TcpStream::connect(address)).await.map_err(late).flatten() {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = DialError::Connect(error),
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn loopback_is_only_for_those_who_wrote_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for (host, verdict) in [
            ("localhost", Verdict::Named),
            ("localhost", Verdict::Public),
            ("127.0.0.1", Verdict::Public),
            ("127.0.0.1", Verdict::Refused),
        ] {
            assert!(matches!(dial(host, port, verdict).await, Err(DialError::Private)), "{host} {verdict:?}");
        }
        dial("127.0.0.1", port, Verdict::Named).await.unwrap();
        drop(listener);
        assert!(matches!(dial("127.0.0.1", port, Verdict::Named).await, Err(DialError::Connect(_))));
    }
}
