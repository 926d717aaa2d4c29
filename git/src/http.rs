//! How we speak HTTP: with the system's TLS roots, or SSL_CERT_FILE's; answers of every status are the caller's to read, and redirects
//! the caller's to follow.

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What every HTTP client of ours begins with; connecting has 10 s. Time limits beyond that are the caller's.
pub fn config(user_agent: &str) -> ConfigBuilder<AgentScope> {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .user_agent(user_agent)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
}
