//! The numbers of the node, and the page that Prometheus reads.
//!
//! Three kinds of source, one table ([`table`]). What every exchange moves lies in sharded cells
//! of our own ([`SiteMetrics`]) and is summed when asked for. What is rare goes through cached counter
//! handles of the `metrics` facade, which a filter or a service beside the node may use as well
//! ([`Metrics::install`]). What others hold is read at the moment of the scrape: [`Gauges`] and
//! the counters of the journal.
//!
//! Knows no sockets: the admin surface serves [`Metrics::render`], and the control runtime runs
//! [`upkeep`].

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use foldhash::HashMap;
use metrics::{Counter, Key, KeyName, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;
use selvedge_cache::Millis;
use selvedge_cache::budget::Budget;
use selvedge_cache::repair::Repairs;
use selvedge_cache::store::{Health, Tier, TierStats};
use selvedge_purge_api::ledger::LedgerStatus;

use super::access_log::Losses;
use super::labels::{self, NO_SITE, ORIGINS_MAX, OTHER, Refused, SITES_MAX};
use crate::error::Cause;
use crate::journal::SiteIndex;

pub mod exposition;
pub mod histogram;
mod origin;
mod purge;
mod render;
mod site;
pub mod table;

pub use origin::OriginMetrics;
pub use purge::PurgeMetrics;
pub use site::SiteMetrics;
pub(crate) use site::thread_slot;

use table::{Kind, Metric, TABLE};

/// What others hold and a scrape reads.
pub trait Gauges: Send + Sync {
    /// Numbers of a tier of the store; `None` if there is no such tier.
    fn tier(&self, tier: Tier) -> Option<TierStats>;

    /// The state of the disk tier.
    fn disk_health(&self) -> Health;

    /// Fills that are under way.
    fn fills_in_flight(&self) -> u64;

    /// Repairs of stored bodies.
    fn repairs(&self) -> &Repairs;

    /// The memory budget.
    fn budget(&self) -> &Budget;

    /// The purge ledger.
    fn ledger(&self) -> LedgerStatus;

    /// How many URLs and how many groups unsafe requests invalidated.
    fn invalidations(&self) -> (u64, u64);

    /// Responses with more tags than are kept.
    fn tags_overflowed(&self) -> u64;

    /// Calls `each` with a site, refreshes started and refreshes put off.
    fn refreshes(&self, each: &mut dyn FnMut(&str, u64, u64));

    /// Calls `each` with site, origin, and whether it may be chosen.
    fn origins(&self, each: &mut dyn FnMut(&str, &str, bool));
}

/// Site and origin, as label values.
type OriginKey = (Arc<str>, Arc<str>);

/// All numbers of a process; shared.
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    started: Instant,
    shards: usize,
    sites: Box<[OnceLock<Arc<SiteMetrics>>]>,
    site_indices: Mutex<HashMap<Arc<str>, SiteIndex>>,
    origins: Mutex<HashMap<OriginKey, Arc<OriginMetrics>>>,
    errors: Box<[Counter]>,
    purges: PurgeMetrics,
    losses: Arc<Losses>,
    refused: Refused,
    gauges: OnceLock<Arc<dyn Gauges>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("shards", &self.shards).finish_non_exhaustive()
    }
}

impl Metrics {
    /// Numbers at zero. `threads` is how many threads count exchanges: each gets cells of its own
    /// (more threads than that share).
    pub fn new(threads: usize) -> Arc<Self> {
        let bounds = histogram::BOUNDS.map(|(ns, _)| ns as f64 / 1e9);
        // Only for histograms of outside code: ours are not in the exporter.
        let recorder = PrometheusBuilder::new()
            .set_buckets(&bounds)
            .expect("the table of bounds is not empty")
            .build_recorder();
        for row in TABLE {
            describe(&recorder, row);
        }
        let handle = recorder.handle();
        let errors =
            Cause::ALL.iter().map(|cause| register(&recorder, table::ERRORS, &[cause.label()]));
        let metrics = Self {
            errors: errors.collect(),
            purges: PurgeMetrics::new(|row, values| register(&recorder, row, values)),
            recorder: Arc::new(recorder),
            handle,
            started: Instant::now(),
            shards: threads.clamp(1, 256),
            sites: (0..SITES_MAX).map(|_| OnceLock::new()).collect(),
            site_indices: Mutex::default(),
            origins: Mutex::default(),
            losses: Arc::default(),
            refused: Refused::default(),
            gauges: OnceLock::new(),
        };
        metrics.site(NO_SITE);
        Arc::new(metrics)
    }

    /// Makes the macros of the `metrics` crate record here, for filters and services of the
    /// embedder. Once per process: `false` if another recorder is in place.
    pub fn install(&self) -> bool {
        metrics::set_global_recorder(Arc::clone(&self.recorder)).is_ok()
    }

    /// Where gauges are read from; the first call counts.
    pub fn attach(&self, gauges: Arc<dyn Gauges>) {
        let _already_attached = self.gauges.set(gauges);
    }

    /// The numbers of a site by its configured name; the same object for the life of the process,
    /// across reloads. For start and reload, not for requests.
    pub fn site(&self, name: &str) -> Arc<SiteMetrics> {
        let name = labels::bounded(name);
        let mut indices = self.site_indices.lock();
        let index = if let Some(index) = indices.get(name) {
            *index
        } else if indices.len() < SITES_MAX - 1 || name == OTHER {
            // The last place is kept for `other`.
            let place = if name == OTHER { SITES_MAX - 1 } else { next_place(&indices) };
            let index = SiteIndex(place as u32);
            indices.insert(name.into(), index);
            index
        } else {
            self.refused.bump();
            SiteIndex(SITES_MAX as u32 - 1)
        };
        let place = &self.sites[index.0 as usize];
        let name = if index.0 as usize == SITES_MAX - 1 { OTHER } else { name };
        Arc::clone(place.get_or_init(|| {
            Arc::new(SiteMetrics::new(name.into(), index, self.shards, self.now()))
        }))
    }

    /// The numbers of the site that a journal names; those of `-` for an index never given out.
    pub fn site_at(&self, index: SiteIndex) -> &Arc<SiteMetrics> {
        self.sites
            .get(index.0 as usize)
            .and_then(OnceLock::get)
            .or_else(|| self.sites[0].get())
            .expect("the site `-` is made with the table")
    }

    /// The handles of an origin of a site. For start, reload and pools, which keep them.
    pub fn origin(&self, site: &str, origin: &str) -> Arc<OriginMetrics> {
        let mut origins = self.origins.lock();
        let (site, mut origin) = (labels::bounded(site), labels::bounded(origin));
        let mut key = (Arc::from(site), Arc::from(origin));
        if origins.len() >= ORIGINS_MAX && !origins.contains_key(&key) {
            self.refused.bump();
            origin = OTHER;
            key = (Arc::from(OTHER), Arc::from(OTHER));
        }
        let site = Arc::clone(&key.0);
        Arc::clone(origins.entry(key).or_insert_with(|| {
            Arc::new(OriginMetrics::new(|row, last| {
                register(&self.recorder, row, &[&*site, origin, last])
            }))
        }))
    }

    /// Counts a failure.
    pub fn error(&self, cause: Cause) {
        self.errors[cause as usize].increment(1);
    }

    /// The numbers of purges.
    pub const fn purges(&self) -> &PurgeMetrics {
        &self.purges
    }

    /// What the access log counts.
    pub const fn losses(&self) -> &Arc<Losses> {
        &self.losses
    }

    /// Every site that was ever named, `-` first.
    pub fn sites(&self) -> impl Iterator<Item = &Arc<SiteMetrics>> {
        self.sites.iter().filter_map(OnceLock::get)
    }

    /// The point of the timeline that [`SiteMetrics::ratio`] is asked with.
    pub fn now(&self) -> Millis {
        Millis(self.started.elapsed().as_millis() as u64)
    }

    /// Keeps a reading of every site's counters for the ratios; see [`upkeep`].
    pub fn tick(&self, now: Millis) {
        self.sites().for_each(|site| site.tick(now));
    }

    /// The page of `/metrics`.
    pub fn render(&self) -> String {
        render::page(self, self.now())
    }
}

/// Ticks the ratios once a second and drains the exporter every five, for ever. One task of the
/// control runtime; without it the exporter keeps every sample of outside histograms.
pub async fn upkeep(metrics: Arc<Metrics>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for ticks in 1_u64.. {
        second.tick().await;
        metrics.tick(metrics.now());
        if ticks.is_multiple_of(EXPORTER_UPKEEP_TICKS) {
            metrics.handle.run_upkeep();
        }
    }
}

/// Seconds between two drains of the exporter.
const EXPORTER_UPKEEP_TICKS: u64 = 5;

/// Index 0 is `-`; `other` has the last place and may already be among the names.
fn next_place(indices: &HashMap<Arc<str>, SiteIndex>) -> usize {
    indices.len() - usize::from(indices.contains_key(OTHER))
}

fn describe(recorder: &PrometheusRecorder, row: &Metric) {
    if row.kind == Kind::Counter {
        let meaning = SharedString::const_str(row.meaning);
        recorder.describe_counter(KeyName::from_const_str(row.name), None, meaning);
    }
}

/// A handle of a counter of the table.
fn register(recorder: &PrometheusRecorder, row: Metric, values: &[&str]) -> Counter {
    debug_assert_eq!(row.kind, Kind::Counter);
    debug_assert_eq!(row.labels.len(), values.len(), "{}", row.name);
    let labels = row.labels.iter().zip(values);
    let labels: Vec<_> = labels.map(|(key, value)| Label::new(*key, (*value).to_owned())).collect();
    let key = Key::from_parts(row.name, labels);
    recorder.register_counter(&key, &Metadata::new("selvedge", Level::INFO, None))
}

#[cfg(test)]
mod tests;
