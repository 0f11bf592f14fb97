//! What a pool is told: its origins, and the bound of every wait and every number.
//!
//! The configuration is also the pool's identity: two equal configurations mean the same pool, so
//! a reload that changes nothing keeps connections, health and counters.

use std::path::PathBuf;
use std::time::Duration;

use super::adaptive::AdaptiveConfig;
use super::address::OriginAddress;
use super::balance::BalanceConfig;
use super::health::check::CheckConfig;
use super::health::passive::PassiveConfig;
use super::retry::RetryConfig;

/// Longest wait that is told apart from a longer one: ten years, in milliseconds. Keeps points in
/// time representable whatever a file says.
const WAIT_MS_MAX: u64 = 10 * 365 * 24 * 3_600 * 1_000;

/// A deadline as the length of a wait.
pub(super) fn wait(ms: u64) -> Duration {
    Duration::from_millis(ms.min(WAIT_MS_MAX))
}

/// Everything about one pool.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PoolConfig {
    /// Name for logs, metrics and status; the site's name.
    pub name: String,
    /// The origins, in the order they were written. At least one.
    pub origins: Vec<OriginConfig>,
    /// Bounds of waits.
    pub deadlines: OriginDeadlines,
    /// Bounds of numbers and sizes.
    pub limits: OriginLimits,
    /// What may be sent twice.
    pub retry: RetryConfig,
    /// Which origin an attempt goes to.
    pub balance: BalanceConfig,
    /// When an origin is left alone for a while.
    pub health: PassiveConfig,
    /// How origins are asked whether they are well; `None`: not at all.
    pub check: Option<CheckConfig>,
    /// Whom `https://` origins must be vouched for by.
    pub trust: Trust,
    /// The Host that every origin is sent, whatever the client said (`origin_host`).
    pub host: Option<http::HeaderValue>,
}

impl PoolConfig {
    /// A pool of these origins with defaults for the rest.
    pub fn new(name: impl Into<String>, origins: impl IntoIterator<Item = OriginAddress>) -> Self {
        Self {
            name: name.into(),
            origins: origins.into_iter().map(OriginConfig::from).collect(),
            deadlines: OriginDeadlines::default(),
            limits: OriginLimits::default(),
            retry: RetryConfig::default(),
            balance: BalanceConfig::default(),
            health: PassiveConfig::default(),
            check: None,
            trust: Trust::default(),
            host: None,
        }
    }
}

/// One origin.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OriginConfig {
    /// Where it listens.
    pub address: OriginAddress,
    /// The name its certificate must carry and that SNI asks for, if it is not the address's.
    pub tls_name: Option<String>,
    /// Share of its tier's load, relative to the others; at least 1.
    pub weight: u32,
    /// 0 is asked first; the next ones take what the ones before cannot carry.
    pub tier: u8,
}

impl From<OriginAddress> for OriginConfig {
    fn from(address: OriginAddress) -> Self {
        Self { address, tls_name: None, weight: 1, tier: 0 }
    }
}

/// Whom certificates of `https://` origins must be vouched for by.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Trust {
    /// The authorities that the administrator of this machine trusts.
    #[default]
    System,
    /// Only the authorities in this PEM file.
    File(PathBuf),
}

/// Deadlines toward the origin; each guards one wait, all in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OriginDeadlines {
    /// Waiting for a free place under `OriginLimits::in_flight_max`.
    pub queue_ms: u64,
    /// Asking for the addresses of a name, when none is known yet.
    pub resolve_ms: u64,
    /// TCP (or Unix) connect, over all addresses of the name together.
    pub connect_ms: u64,
    /// TLS handshake.
    pub tls_ms: u64,
    /// From the last byte of the request that was sent to the end of the response head. A head
    /// that drips in does not extend it; a client that is slow to send its body does.
    pub response_ms: u64,
    /// Between two pieces of a response body.
    pub body_ms: u64,
    /// From the request to the last byte of its response.
    pub whole_ms: u64,
    /// From the first attempt to a response head, over all attempts: no attempt starts later.
    pub total_ms: u64,
    /// An idle kept-alive connection.
    pub idle_ms: u64,
}

impl Default for OriginDeadlines {
    fn default() -> Self {
        Self {
            queue_ms: 5_000,
            resolve_ms: 5_000,
            connect_ms: 5_000,
            tls_ms: 5_000,
            response_ms: 60_000,
            body_ms: 30_000,
            whole_ms: 3_600_000,
            total_ms: 120_000,
            idle_ms: 60_000,
        }
    }
}

/// Bounds of numbers and sizes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OriginLimits {
    /// Requests that one origin is given at once, over all cores. Idle connections do not count:
    /// the sockets of one origin are at most this and `idle_max` per core.
    pub in_flight_max: usize,
    /// Between which numbers the requests that one origin is given at once are found out by its
    /// latency; `None`: `in_flight_max` holds.
    pub in_flight_min: Option<usize>,
    /// Requests that may wait for a place; beyond it they fail at once with `OriginBusy`.
    pub queue_max: usize,
    /// Idle connections that each core keeps to one origin; 0 keeps none.
    pub idle_max: usize,
    /// A connection older than this, in milliseconds, is not kept for another request.
    pub lifetime_ms: u64,
    /// Whole response head, in bytes. Also bounds the trailer section.
    pub head_bytes_max: usize,
    /// Fields in a response head.
    pub fields_max: usize,
    /// Interim (1xx) responses before the final one.
    pub interim_max: u32,
    /// Buffer that a connection reads into, in bytes; at least `head_bytes_max`.
    pub read_bytes_max: usize,
}

impl Default for OriginLimits {
    fn default() -> Self {
        Self {
            in_flight_max: 1024,
            in_flight_min: None,
            queue_max: 4096,
            idle_max: 256,
            lifetime_ms: 3_600_000,
            head_bytes_max: 64 * 1024,
            fields_max: 256,
            interim_max: 32,
            read_bytes_max: 64 * 1024,
        }
    }
}

impl OriginLimits {
    /// Bounds within which the number of places is found out; `None` when it is fixed.
    pub fn adaptive(&self) -> Option<AdaptiveConfig> {
        self.in_flight_min.map(|min| AdaptiveConfig { min, max: self.in_flight_max.max(min) })
    }
}
