//! Numbers across folders: what a scrape reads, and what pools report.

use std::sync::Arc;

use selvedge_cache::budget::Budget;
use selvedge_cache::repair::Repairs;
use selvedge_cache::store::{Health, Tier, TierStats};
use selvedge_purge_api::ledger::LedgerStatus;

use super::Shared;
use crate::origin::{Event, OriginName, OriginObserver, OriginOutcome, Repeat};
use crate::telemetry::metrics::{Gauges, Metrics, OriginMetrics};

/// Reads gauges from the running node.
#[derive(Debug)]
pub struct NodeGauges(pub Arc<Shared>);

impl Gauges for NodeGauges {
    fn tier(&self, tier: Tier) -> Option<TierStats> {
        let mut stats = self.0.cache.store.stats(tier)?;
        if tier == Tier::Disk {
            // The engine does not count; every response that the directory knows is there, or on
            // its way.
            stats.entries = self.0.cache.directory.len() as u64;
        }
        Some(stats)
    }

    fn disk_health(&self) -> Health {
        self.0.cache.store.health()
    }

    fn fills_in_flight(&self) -> u64 {
        self.0.cache.fills.in_flight() as u64
    }

    fn repairs(&self) -> &Repairs {
        &self.0.cache.repairs
    }

    fn budget(&self) -> &Budget {
        &self.0.cache.budget
    }

    fn ledger(&self) -> LedgerStatus {
        self.0.ledger.status()
    }

    fn invalidations(&self) -> (u64, u64) {
        self.0.cache.local.totals()
    }

    fn tags_overflowed(&self) -> u64 {
        self.0.cache.tags_overflowed()
    }

    fn refreshes(&self, each: &mut dyn FnMut(&str, u64, u64)) {
        let world = self.0.world.load();
        for site in world.sites.iter() {
            let (started, deferred) = world.ramp(site).totals();
            each(&site.name, started, deferred);
        }
    }

    fn origins(&self, each: &mut dyn FnMut(&str, &str, bool)) {
        let world = self.0.world.load();
        for site in world.sites.iter() {
            for origin in world.pool(site).origins() {
                each(&site.name, &origin.name, origin.healthy);
            }
        }
    }
}

/// Counts what happens at the origins of one pool.
#[derive(Debug)]
pub struct Observer(Vec<Arc<OriginMetrics>>);

impl Observer {
    /// Handles for the origins of a pool, in its order.
    pub fn new(metrics: &Arc<Metrics>, site: &str, origins: impl Iterator<Item = String>) -> Self {
        Self(origins.map(|origin| metrics.origin(site, &origin)).collect())
    }
}

impl OriginObserver for Observer {
    fn finished(&self, origin: OriginName<'_>, outcome: OriginOutcome) {
        if let Some(handles) = self.0.get(origin.index) {
            handles.record(outcome);
        }
    }

    fn repeated(&self, origin: OriginName<'_>, repeat: Repeat) {
        if let Some(handles) = self.0.get(origin.index) {
            handles.repeated(repeat);
        }
    }

    fn health_changed(&self, origin: OriginName<'_>, event: &Event) {
        if let Some(handles) = self.0.get(origin.index) {
            handles.event(event);
        }
        let (site, origin) = (origin.pool, origin.origin);
        if event.is_good() {
            tracing::info!(site, origin, "the origin {event}");
        } else {
            tracing::warn!(site, origin, "the origin {event}");
        }
    }
}
