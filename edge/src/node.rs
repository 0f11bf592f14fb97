//! The running node: what all cores share, what belongs to one core, and the world of sites.
//!
//! [`World`] is one immutable value behind an `ArcSwap`; an exchange keeps the one it began with,
//! a reload builds a new one beside it. Pools, health, cache, ledger and listeners live outside
//! of it and survive.
//!
//! With `exchange.rs` the only file that joins folders.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use selvedge_cache::cache::Cache;
use selvedge_cache::invalidate::Mode;
use selvedge_purge_api::{Ledger, SelectorKind};

use crate::admit;
use crate::decide::{Site, Sites};
use crate::journal::SiteIndex;
use crate::lookup::ramp::Ramp;
use crate::origin::{Connections, Pool};
use crate::telemetry::Telemetry;

mod build;
mod explain;
mod front;
mod gauges;
mod reload;
mod rules;
mod run;
mod status;
mod storage;
mod upkeep;

pub use build::{BuildError, world};
pub use run::{Addresses, Node, StartError};

/// What all cores share.
#[derive(Debug)]
pub struct Shared {
    /// Sites, rules, pools by site: swapped by reload.
    pub world: ArcSwap<World>,
    /// The cache.
    pub cache: Arc<Cache>,
    /// Purges.
    pub ledger: Arc<Ledger>,
    /// Numbers and log lines.
    pub telemetry: Arc<Telemetry>,
}

impl Shared {
    /// Counts a purge that did not come through the admin plane.
    pub fn purged(&self, selector: SelectorKind, mode: Mode, took: Duration, done: bool) {
        if done {
            upkeep::count_purge(&self.telemetry, selector, mode, took);
        }
    }
}

/// What a request is judged by.
#[derive(Debug)]
pub struct World {
    /// What admission is told.
    pub admission: admit::Config,
    /// Sites by host.
    pub sites: Sites,
    /// Pools by site.
    pub pools: HashMap<SiteIndex, Arc<Pool>>,
    /// How fast each site refreshes what is stale; kept by reloads.
    pub ramps: HashMap<SiteIndex, Arc<Ramp>>,
    /// Whether any site has filters, which may read journals.
    pub has_filters: bool,
}

impl World {
    /// The ramp of a site of this world.
    pub fn ramp(&self, site: &Site) -> &Ramp {
        self.ramps.get(&site.index).expect("a world has a ramp for each of its sites")
    }

    /// Lets the pools check their origins. Needs a runtime that lives as long as the node.
    pub fn watch(&self) {
        self.pools.values().for_each(Pool::watch);
    }

    /// The pool of a site of this world.
    pub fn pool(&self, site: &Site) -> &Arc<Pool> {
        self.pools.get(&site.index).expect("a world has a pool for each of its sites")
    }
}

/// What belongs to one core.
#[derive(Debug)]
pub struct Worker {
    /// Idle connections to origins.
    pub connections: Connections,
}
