//! Facts about a connection: addresses, protocol, TLS, times.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// TCP or QUIC.
    Ip(SocketAddr),
    /// A Unix socket.
    Unix,
}

impl Peer {
    /// The address, when there is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip().to_canonical()),
            Self::Unix => None,
        }
    }
}

/// Protocol of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP/1.x.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What the TLS handshake yielded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFacts {
    /// Server name that the client asked for.
    pub server_name: Option<String>,
    /// For example `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite by its IANA name.
    pub cipher: String,
}

/// One accepted connection.
#[derive(Debug)]
pub struct Connection {
    /// Number of the connection in this process.
    pub id: u64,
    /// The other end.
    pub peer: Peer,
    /// Our end, as text (`127.0.0.1:8080`, `unix:/run/x.sock`).
    pub local: String,
    /// H1 or H2.
    pub protocol: Protocol,
    /// Set on TLS connections.
    pub tls: Option<TlsFacts>,
    /// When it was accepted.
    pub accepted: Instant,
}

impl Connection {
    /// Number for the next connection.
    pub fn next_id() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// `https` or `http`.
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}
