//! A pool: the origins of a site and what all cores know of them together.
//!
//! Health, places and addresses are shared and outlive a reload; connections are not here but on
//! the core that made them (`Connections`). An attempt at an origin is an [`Attempt`]: it
//! holds the place under `in_flight_max`, and it tells health and the observer exactly once how it
//! ended, also when it is merely dropped.
//!
//! Reading order: [`connect`] (with [`tls`]), [`http1`] (with [`upload`], [`interim`], [`meter`]),
//! [`head`], [`body`], [`reuse`].
//!
//! Knows nothing of sites, caches or clients.

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use selvedge_cache::Millis;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::address::{OriginAddress, OriginHost};
use super::balance::{Balance, Candidate, Candidates, RoundRobin, Standing};
use super::config::{OriginConfig, PoolConfig, wait};
use super::health::Health;
use super::observe::{OriginName, OriginObserver, OriginStatus};
use super::resolve::{Lookup, Resolver, SystemLookup};
use crate::error::{Cause, Error};

pub mod attempt;
pub mod body;
pub mod connect;
pub mod head;
pub mod http1;
pub mod interim;
pub mod meter;
pub mod reuse;
pub mod takers;
pub mod tls;
pub mod upload;

pub use attempt::Attempt;
use takers::{STALLED_MS, Takers};

/// Most requests that a pool can give to one origin at once.
const IN_FLIGHT_CEILING: usize = 1 << 20;

/// Why a pool cannot be made: one sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// There is nothing to balance over.
    #[error("the pool {0:?} has no origin")]
    Empty(String),
    /// A bound that leaves no room.
    #[error("the pool {0:?} may send no request: {1} is 0")]
    Zero(String, &'static str),
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// The origins of a site, shared by all cores.
pub struct Pool {
    id: u64,
    config: PoolConfig,
    origins: Vec<Origin>,
    balance: Box<dyn Balance>,
    observer: Arc<dyn OriginObserver>,
    tls: Option<Arc<ClientConfig>>,
    epoch: Instant,
    entropy: AtomicU64,
}

/// One origin as all cores know it.
#[derive(Debug)]
pub struct Origin {
    pub(super) name: Arc<str>,
    pub(super) config: OriginConfig,
    /// The Host it is sent; `None`: what the client said.
    pub(super) host: Option<HeaderValue>,
    pub(super) health: Health,
    pub(super) resolver: Option<Arc<Resolver>>,
    pub(super) server_name: Option<ServerName<'static>>,
    /// Open connections, over all cores; each connection's task holds one count.
    pub(super) connections: Arc<AtomicUsize>,
    places: Arc<Semaphore>,
    places_max: usize,
    queued: AtomicUsize,
    pub(super) takers: Arc<Takers>,
}

/// Between two looks for a place that may be taken back, at least.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Pool {
    /// A pool that balances in turn and asks the system for addresses.
    pub fn new(
        config: PoolConfig,
        observer: Arc<dyn OriginObserver>,
    ) -> Result<Arc<Self>, PoolError> {
        Self::with_lookup(config, observer, Arc::new(SystemLookup))
    }

    /// As [`Pool::new`], with another way to ask for addresses.
    pub fn with_lookup(
        config: PoolConfig,
        observer: Arc<dyn OriginObserver>,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Arc<Self>, PoolError> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        check(&config)?;
        let tls = if config.origins.iter().any(|origin| origin.address.is_tls()) {
            Some(tls::client_config(&config.trust)?)
        } else {
            None
        };
        let make = |origin: &OriginConfig| Origin::new(origin.clone(), &config, &lookup);
        let origins = config.origins.iter().map(make).collect::<Result<_, _>>()?;
        Ok(Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            config,
            origins,
            balance: Box::<RoundRobin>::default(),
            observer,
            tls,
            epoch: Instant::now(),
            entropy: AtomicU64::new(RandomState::new().hash_one(())),
        }))
    }

    /// What it was told. Equal configurations mean the same pool.
    pub fn config(&self) -> &PoolConfig {
        &self.config
    }

    /// Number of the pool in this process; connections are kept under it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Each origin at this moment, in the order of the configuration.
    pub fn origins(&self) -> Vec<OriginStatus> {
        let now = self.now();
        self.origins.iter().map(|origin| origin.status(now)).collect()
    }

    pub(super) fn origin(&self, index: usize) -> &Origin {
        &self.origins[index]
    }

    pub(super) fn observer(&self) -> &dyn OriginObserver {
        &*self.observer
    }

    pub(super) fn name_of(&self, index: usize) -> OriginName<'_> {
        OriginName { pool: &self.config.name, index, origin: &self.origins[index].name }
    }

    pub(super) fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.clone()
    }

    pub(super) fn now(&self) -> Millis {
        Millis(self.epoch.elapsed().as_millis() as u64)
    }

    /// An evenly spread number (the SplitMix64 sequence), for jitter.
    pub(super) fn entropy(&self) -> u64 {
        let step = 0x9E37_79B9_7F4A_7C15_u64;
        let mut z = self.entropy.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Chooses an origin that this request has not tried; `true` beside it: as its trial.
    /// A `preferred` origin is taken if it is well. A request that `has_fallback` is given none
    /// that is left alone.
    pub(super) fn pick(
        &self,
        tried: &[usize],
        may_risk: bool,
        preferred: Option<usize>,
        has_fallback: bool,
    ) -> Option<(usize, bool)> {
        let now = self.now();
        if let Some(index) = preferred.filter(|index| !tried.contains(index))
            && let Some(origin) = self.origins.get(index)
            && origin.health.standing(now) == Standing::Healthy
        {
            return Some((index, false));
        }
        let mut candidates: Candidates = self
            .origins
            .iter()
            .enumerate()
            .map(|(index, origin)| Candidate {
                index,
                standing: origin.health.standing(now),
                in_flight: origin.in_flight(),
                tried: tried.contains(&index),
            })
            .collect();
        loop {
            let index = self.balance.pick(&candidates, may_risk)?;
            if has_fallback && candidates[index].standing == Standing::Ejected {
                return None;
            }
            if candidates[index].standing != Standing::TrialDue {
                return Some((index, false));
            }
            if self.origins[index].health.begin_trial(now) {
                return Some((index, true));
            }
            // Another core took the trial between the two looks.
            candidates[index].standing = Standing::Ejected;
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("name", &self.config.name).field("id", &self.id).finish()
    }
}

// === impl Origin ===

impl Origin {
    fn new(
        config: OriginConfig,
        pool: &PoolConfig,
        lookup: &Arc<dyn Lookup>,
    ) -> Result<Self, PoolError> {
        let resolver = match &config.address {
            OriginAddress::Net { host: OriginHost::Name(name), port, .. } => {
                let patience_ms = pool.deadlines.resolve_ms;
                Some(Resolver::new(name.clone(), *port, patience_ms, lookup.clone()))
            }
            _ => None,
        };
        let places_max = pool.limits.in_flight_max.min(IN_FLIGHT_CEILING);
        Ok(Self {
            name: config.address.to_string().into(),
            host: host_for(&config.address, pool),
            health: Health::new(pool.health),
            resolver,
            server_name: tls::server_name(&config)?,
            connections: Arc::default(),
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
            queued: AtomicUsize::new(0),
            takers: Arc::default(),
            config,
        })
    }

    /// A place among the requests that the origin is given at once; waits for one if it must, and
    /// takes it from a response that nobody takes.
    pub(super) async fn place(&self, pool: &Pool) -> Result<OwnedSemaphorePermit, Error> {
        let config = &pool.config;
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let _queued = Queued::enter(&self.queued, config.limits.queue_max)?;
        let late = Instant::now() + wait(config.deadlines.queue_ms);
        let mut free = pin!(self.places.clone().acquire_owned());
        loop {
            let now = pool.now();
            let look_again = match self.takers.take_back(now) {
                Ok(place) => return Ok(place),
                Err(None) => Duration::from_millis(STALLED_MS),
                Err(Some(due)) => Duration::from_millis(due.since_ms(now)).max(LOOK_AGAIN),
            };
            if let Ok(free) = timeout_at(late.min(Instant::now() + look_again), &mut free).await {
                return free.map_err(|closed| Error::with(Cause::Internal, closed));
            }
            if Instant::now() >= late {
                let waited = format!("no place within {} ms", config.deadlines.queue_ms);
                return Err(Error::with(Cause::OriginBusy, waited));
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.places_max - self.places.available_permits().min(self.places_max)
    }

    fn status(&self, now: Millis) -> OriginStatus {
        OriginStatus {
            name: self.name.clone(),
            healthy: self.health.standing(now) == Standing::Healthy,
            in_flight: self.in_flight(),
            queued: self.queued.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
            ejections: self.health.ejections(),
        }
    }
}

/// A certificate vouches for a name: an `https://` origin given by name is asked under that name.
fn host_for(address: &OriginAddress, pool: &PoolConfig) -> Option<HeaderValue> {
    if let Some(host) = &pool.host {
        return Some(host.clone());
    }
    match address {
        OriginAddress::Net { tls: true, host: OriginHost::Name(_), .. } => {
            address.authority().and_then(|authority| HeaderValue::try_from(authority).ok())
        }
        _ => None,
    }
}

fn check(config: &PoolConfig) -> Result<(), PoolError> {
    let name = || config.name.clone();
    if config.origins.is_empty() {
        return Err(PoolError::Empty(name()));
    }
    let (limits, deadlines) = (&config.limits, &config.deadlines);
    let bounds = [
        ("in_flight_max", limits.in_flight_max as u64),
        ("head_bytes_max", limits.head_bytes_max as u64),
        ("fields_max", limits.fields_max as u64),
        ("attempts_max", u64::from(config.retry.attempts_max)),
        ("resolve_ms", deadlines.resolve_ms),
        ("connect_ms", deadlines.connect_ms),
        ("tls_ms", deadlines.tls_ms),
        ("response_ms", deadlines.response_ms),
        ("body_ms", deadlines.body_ms),
        ("whole_ms", deadlines.whole_ms),
        ("total_ms", deadlines.total_ms),
    ];
    match bounds.iter().find(|(_, value)| *value == 0) {
        Some((bound, _)) => Err(PoolError::Zero(name(), bound)),
        None => Ok(()),
    }
}

/// One request in the queue for a place; leaves it when dropped.
struct Queued<'a>(&'a AtomicUsize);

impl<'a> Queued<'a> {
    fn enter(queued: &'a AtomicUsize, queue_max: usize) -> Result<Self, Error> {
        let entered = Self(queued);
        if queued.fetch_add(1, Ordering::Relaxed) < queue_max {
            return Ok(entered);
        }
        Err(Error::with(Cause::OriginBusy, format!("{queue_max} requests wait already")))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_origin_by_name_is_sent_its_own_host() {
        let host = |text: &str, fixed: Option<&'static str>| {
            let address: OriginAddress = text.parse().expect(text);
            let mut config = PoolConfig::new("shop", [address.clone()]);
            config.host = fixed.map(HeaderValue::from_static);
            host_for(&address, &config).map(|host| host.to_str().expect("text").to_owned())
        };
        assert_eq!(host("https://a.example", None).as_deref(), Some("a.example"));
        assert_eq!(host("https://a.example:8443", None).as_deref(), Some("a.example:8443"));
        assert_eq!(host("https://10.0.0.1", None), None);
        assert_eq!(host("http://a.example", None), None);
        assert_eq!(host("http://a.example", Some("b")).as_deref(), Some("b"));
    }
}
