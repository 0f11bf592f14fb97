//! Typed facts about one exchange, and the counters that accept and admit move.
//!
//! Each phase adds what it knows; telemetry reads it once, when the exchange is over (also when
//! the client left). Strings are taken from the request only where a log line needs them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Version};

use crate::error::Cause;

/// The `cache` label: where the answer came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum CacheOutcome {
    /// Fresh from the cache.
    Hit,
    /// Stale from the cache, within its allowance.
    Stale,
    /// The origin confirmed the stored response (304).
    Revalidated,
    /// Fetched from the origin and stored, or storable.
    Miss,
    /// Joined a fetch that another request had started.
    Collapsed,
    /// The cache took no part.
    Pass,
    /// Made by the node itself (redirects, health answers, refusals by rule).
    Synthetic,
    /// The exchange failed.
    Error,
}

impl CacheOutcome {
    /// Every outcome, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Hit,
        Self::Stale,
        Self::Revalidated,
        Self::Miss,
        Self::Collapsed,
        Self::Pass,
        Self::Synthetic,
        Self::Error,
    ];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Pass => "pass",
            Self::Synthetic => "synthetic",
            Self::Error => "error",
        }
    }

    /// Counts as a hit in `selvedge_hit_ratio`.
    pub const fn is_hit(self) -> bool {
        matches!(self, Self::Hit | Self::Stale | Self::Revalidated | Self::Collapsed)
    }

    /// Takes part in `selvedge_hit_ratio` at all.
    pub const fn counts(self) -> bool {
        self.is_hit() || matches!(self, Self::Miss | Self::Pass)
    }
}

/// Identity of a site in tables of metrics: index into the names given at start or reload; 0 is
/// the name `-`, for requests that no site answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct SiteIndex(pub u32);

/// How the delivery of a response ended, as far as the codec can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// Everything was handed to the transport.
    Complete,
    /// The client left or stalled beyond a deadline.
    ClientGone,
    /// The body ended with an error and was cut visibly.
    Cut,
}

/// What is known of one exchange.
#[derive(Debug)]
pub struct Journal {
    /// When the head was complete.
    pub started: Instant,
    /// Wall clock of the same moment.
    pub started_wall: std::time::SystemTime,
    /// Number of the connection in this process.
    pub connection: u64,
    /// Address of the client, as far as it is believed; `None` on Unix sockets.
    pub client: Option<IpAddr>,
    /// `http` or `https`, as the client spoke.
    pub scheme: &'static str,
    /// Method.
    pub method: Method,
    /// HTTP version of the client.
    pub version: Version,
    /// Host as admitted (or as sent, when it was refused).
    pub host: String,
    /// Path and query as sent.
    pub target: String,
    /// The site.
    pub site: SiteIndex,
    /// Final status.
    pub status: StatusCode,
    /// Where the answer came from.
    pub cache: CacheOutcome,
    /// Reason token of the verdict or failure.
    pub detail: &'static str,
    /// What failed, if something did.
    pub error: Option<Cause>,
    /// Chain of the failure, for the log.
    pub error_chain: Option<String>,
    /// Origin that was asked last, `None` if none.
    pub origin: Option<Arc<str>>,
    /// Time to the first byte of the final response.
    pub ttfb: Option<Duration>,
    /// Body bytes handed to the transport.
    pub body_bytes: u64,
    /// How the delivery ended; `None` while it runs.
    pub delivery: Option<Delivery>,
    /// `User-Agent` and `Referer`, kept only when an access log is on.
    pub user_agent: Option<http::HeaderValue>,
    /// See `user_agent`.
    pub referer: Option<http::HeaderValue>,
}

/// Counters of accept, admit and origin: folders that stand before telemetry and may not import it.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub connections_accepted: AtomicU64,
    /// Connections open now.
    pub connections_open: AtomicU64,
    /// Connections refused because the ceiling was reached.
    pub connections_refused: AtomicU64,
    /// Accept calls that failed (EMFILE and the like).
    pub accept_errors: AtomicU64,
    /// TLS handshakes that failed.
    pub handshakes_failed: AtomicU64,
    /// Connections closed because an idle, head, body or write deadline passed.
    pub client_deadlines: AtomicU64,
    /// H1 messages refused by the gate.
    pub gate_refusals: AtomicU64,
    /// H2 connections ended for flooding.
    pub floods: AtomicU64,
    /// Interim responses relayed to clients.
    pub interim_sent: AtomicU64,
    /// Places at origins that were taken from slow clients.
    pub places_taken_back: AtomicU64,
}

impl Counters {
    /// Adds one.
    pub fn bump(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The process-wide counters.
pub static COUNTERS: Counters = Counters {
    connections_accepted: AtomicU64::new(0),
    connections_open: AtomicU64::new(0),
    connections_refused: AtomicU64::new(0),
    accept_errors: AtomicU64::new(0),
    handshakes_failed: AtomicU64::new(0),
    client_deadlines: AtomicU64::new(0),
    gate_refusals: AtomicU64::new(0),
    floods: AtomicU64::new(0),
    interim_sent: AtomicU64::new(0),
    places_taken_back: AtomicU64::new(0),
};
