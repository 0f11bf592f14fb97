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
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use selvedge_cache::Millis;
use tokio::time::{Instant, timeout};

use super::adaptive::Adaptive;
use super::address::{OriginAddress, OriginHost};
use super::balance::{Member, PeakEwma, Standing};
use super::budget::Budget;
use super::config::{OriginConfig, OriginLimits, PoolConfig, wait};
use super::health::{Event, Health, Rule};
use super::observe::{OriginName, OriginObserver, OriginStatus};
use super::quantile::Latencies;
use super::resolve::{Lookup, Resolver, SystemLookup};
use crate::error::Error;

pub mod attempt;
pub mod body;
pub mod checks;
pub mod connect;
pub mod head;
pub mod http1;
pub mod interim;
pub mod meter;
pub mod pick;
pub mod places;
pub mod reuse;
pub mod takers;
pub mod tls;
pub mod upload;

pub use attempt::Attempt;
use pick::Picker;
use places::{Place, Places, Urgency};
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
    picker: Picker,
    /// Attempts between their choice and their end, over all origins.
    under_way: AtomicUsize,
    budget: Arc<Budget>,
    latencies: Latencies,
    observer: Arc<dyn OriginObserver>,
    tls: Option<Arc<ClientConfig>>,
    epoch: Instant,
    entropy: AtomicU64,
    /// Somebody runs the checks of this pool.
    is_watched: AtomicBool,
}

/// One origin as all cores know it.
#[derive(Debug)]
pub struct Origin {
    pub(super) name: Arc<str>,
    pub(super) config: OriginConfig,
    /// The Host it is sent; `None`: what the client said.
    pub(super) host: Option<HeaderValue>,
    pub(super) health: Health,
    /// Recent time to a response head.
    pub(super) latency: PeakEwma,
    pub(super) resolver: Option<Arc<Resolver>>,
    pub(super) server_name: Option<ServerName<'static>>,
    /// Open connections, over all cores; each connection's task holds one count.
    pub(super) connections: Arc<AtomicUsize>,
    places: Arc<Places>,
    /// How many places there should be, where that is found out.
    adaptive: Option<Mutex<Adaptive>>,
    pub(super) takers: Arc<Takers>,
}

/// Between two looks for a place that may be taken back, at least.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Pool {
    /// A pool that asks the system for addresses.
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
        let pool = Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            config,
            origins,
            picker: Picker::new(),
            under_way: AtomicUsize::new(0),
            budget: Arc::default(),
            latencies: Latencies::default(),
            observer,
            tls,
            epoch: Instant::now(),
            entropy: AtomicU64::new(RandomState::new().hash_one(())),
            is_watched: AtomicBool::new(false),
        });
        pool.refresh();
        Ok(pool)
    }

    /// What it was told. Equal configurations mean the same pool.
    pub fn config(&self) -> &PoolConfig {
        &self.config
    }

    /// Takes over what another pool knows of the same origins: health and what the operator said.
    /// For a reload that changes something else.
    pub fn inherit(&self, old: &Self) {
        for origin in &self.origins {
            let same = |other: &&Origin| other.config.address == origin.config.address;
            if let Some(known) = old.origins.iter().find(same) {
                origin.health.inherit(&known.health);
            }
        }
        self.refresh();
    }

    /// The operator says what is to become of an origin. `None` when the pool has none of that
    /// name, else whether anything changed.
    pub fn rule(&self, origin: &str, rule: Rule) -> Option<bool> {
        let index = self.origins.iter().position(|known| &*known.name == origin)?;
        let event = self.origins[index].health.ruled(rule, self.now());
        let changed = event.is_some();
        self.tell(index, event);
        Some(changed)
    }

    /// Passes an event on, and chooses anew among whom it left.
    pub(super) fn tell(&self, index: usize, event: Option<Event>) {
        if let Some(event) = event {
            self.refresh();
            self.observer.health_changed(self.name_of(index), &event);
        }
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

    /// What its origins are called, in the order of the configuration.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.origins.iter().map(|origin| &origin.name)
    }

    pub(super) fn origin(&self, index: usize) -> &Origin {
        &self.origins[index]
    }

    /// How much may go out once more.
    pub(in crate::origin) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Times to a response head, over all origins.
    pub(in crate::origin) fn latencies(&self) -> &Latencies {
        &self.latencies
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
        let bounds = pool.limits.adaptive();
        let adaptive = bounds.map(|bounds| (Adaptive::new(&bounds), bounds));
        Ok(Self {
            name: config.address.to_string().into(),
            host: host_for(&config.address, pool),
            health: Health::new(pool.health),
            latency: PeakEwma::default(),
            resolver,
            server_name: tls::server_name(&config)?,
            connections: Arc::default(),
            places: Places::new(
                adaptive.as_ref().map_or(places_max, |(found, bounds)| found.limit(bounds)),
            ),
            adaptive: adaptive.map(|(found, _)| Mutex::new(found)),
            takers: Arc::default(),
            config,
        })
    }

    /// A place among the requests that the origin is given at once; waits for one if it must, and
    /// meanwhile takes one back for the line from a response that nobody takes.
    pub(super) async fn place(&self, pool: &Pool, urgency: Urgency) -> Result<Place, Error> {
        let config = &pool.config;
        let patience = wait(config.deadlines.queue_ms);
        let mut place = pin!(self.places.take(urgency, config.limits.queue_max, patience));
        let mut look_again = Duration::ZERO;
        loop {
            if let Ok(place) = timeout(look_again, &mut place).await {
                return place;
            }
            let now = pool.now();
            look_again = match self.takers.take_back(now) {
                Ok(_passed_on) => LOOK_AGAIN,
                Err(None) => Duration::from_millis(STALLED_MS),
                Err(Some(due)) => Duration::from_millis(due.since_ms(now)).max(LOOK_AGAIN),
            };
        }
    }

    /// An answer came, or none did: there may be another number of places from now on.
    fn learn(&self, (took_us, overloaded): (u64, bool), limits: &OriginLimits, now: Millis) {
        let (Some(adaptive), Some(bounds)) = (&self.adaptive, limits.adaptive()) else { return };
        let in_flight = self.places.in_use();
        let limit = adaptive.lock().observe(&bounds, (took_us, overloaded), in_flight, now);
        self.places.set_limit(limit);
    }

    /// Requests in hand and in the queue for a place.
    fn load(&self) -> usize {
        self.places.in_use() + self.places.waiting()
    }

    /// What the roster is told.
    fn member(&self, now: Millis) -> Member {
        let standing = self.health.standing(now);
        Member {
            weight: self.config.weight,
            tier: self.config.tier,
            is_well: standing == Standing::Healthy,
            is_in: standing != Standing::Out,
        }
    }

    fn status(&self, now: Millis) -> OriginStatus {
        OriginStatus {
            name: self.name.clone(),
            healthy: self.health.standing(now) == Standing::Healthy,
            rule: self.health.rule(),
            last: self.health.last().map(|(at, event)| (now.since_ms(at), event)),
            latency_us: self.latency.expected_us(now),
            in_flight: self.places.in_use(),
            limit: self.places.limit(),
            queued: self.places.waiting(),
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
