//! TLS: handshakes with a deadline, certificates by name, H2 or H1 by ALPN.
//!
//! rustls with the aws-lc-rs provider, given explicitly: with two providers in a process rustls
//! refuses to guess. TLS 1.2 and 1.3; sessions resume by tickets whose keys rotate and live in
//! this process. The [`Acceptor`] is shared by all workers; [`Acceptor::replace`] swaps the
//! certificates for later handshakes and touches nothing that is open.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::{Protocol, TlsFacts};
use crate::journal::{COUNTERS, Counters};

mod certificates;

#[cfg(test)]
mod tests;

pub use certificates::{CertificateError, CertificateStore};

/// ALPN names, in our order of preference (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Does handshakes. Cheap to clone; clones share the certificates.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    resolver: Arc<Resolver>,
    handshake: Duration,
}

impl Acceptor {
    /// An acceptor whose handshakes take no longer than `handshake_ms`.
    pub fn new(store: CertificateStore, handshake_ms: u64) -> Result<Self, rustls::Error> {
        let resolver = Arc::new(Resolver(ArcSwap::from_pointee(store)));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&resolver) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        Ok(Self {
            config: Arc::new(config),
            resolver,
            handshake: Duration::from_millis(handshake_ms),
        })
    }

    /// The same with another deadline for handshakes, in milliseconds.
    #[must_use]
    pub fn within(mut self, handshake_ms: u64) -> Self {
        self.handshake = Duration::from_millis(handshake_ms);
        self
    }

    /// Uses other certificates from the next handshake on.
    pub fn replace(&self, store: CertificateStore) {
        self.resolver.0.store(Arc::new(store));
    }

    /// One handshake: the stream, what is known of it, and the protocol that ALPN chose.
    pub async fn accept<IO>(&self, io: IO) -> io::Result<(TlsStream<IO>, TlsFacts, Protocol)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = TlsAcceptor::from(Arc::clone(&self.config)).accept(io);
        let stream = match tokio::time::timeout(self.handshake, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                Counters::bump(&COUNTERS.handshakes_failed);
                return Err(error);
            }
            Err(_) => {
                Counters::bump(&COUNTERS.handshakes_failed);
                Counters::bump(&COUNTERS.client_deadlines);
                return Err(io::ErrorKind::TimedOut.into());
            }
        };
        let (_, session) = stream.get_ref();
        let protocol = match session.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        let facts = TlsFacts {
            server_name: session.server_name().map(str::to_owned),
            version: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLS", // not among the versions that we offer
            },
            cipher: session.negotiated_cipher_suite().map_or_else(String::new, |suite| {
                let name = format!("{:?}", suite.suite());
                name.replacen("TLS13_", "TLS_", 1) // rustls' own prefix, not IANA's
            }),
        };
        Ok((stream, facts, protocol))
    }
}

#[derive(Debug)]
struct Resolver(ArcSwap<CertificateStore>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().choose(&hello)
    }
}
