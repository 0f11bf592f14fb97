//! Work beside the traffic: counting purges, estimating them, sweeping the directory.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use selvedge_cache::cache::Cache;
use selvedge_cache::directory::Swept;
use selvedge_cache::invalidate::{Mode, ScopeHash, Selection, Wanted};
use selvedge_cache::store::{Part, Presence, StoreKey};
use selvedge_purge_api::api::{Estimate, PurgeWatch};
use selvedge_purge_api::selector::What;
use selvedge_purge_api::{Selector, SelectorKind};

use super::Shared;
use super::rules::WorldRules;
use crate::origin::Rule;
use crate::telemetry::Telemetry;
use crate::upkeep::admin::origins::{OriginRules, Unknown};

/// Records looked at per step of the sweep, and the pause between two steps: a directory of a
/// million records is walked in about five minutes and costs little.
const SWEEP_STEP: usize = 2048;
const SWEEP_PAUSE: Duration = Duration::from_millis(500);

/// Counts a purge that is in force.
pub(super) fn count_purge(
    telemetry: &Telemetry,
    selector: SelectorKind,
    mode: Mode,
    took: Duration,
) {
    telemetry.metrics().purges().applied(selector, mode, took);
}

/// Counts purges of the admin plane.
#[derive(Debug)]
pub struct Watch(pub Arc<Telemetry>);

impl PurgeWatch for Watch {
    fn purged(&self, selector: SelectorKind, mode: Mode, took: Duration) {
        count_purge(&self.0, selector, mode, took);
    }

    fn refused(&self, status: u16) {
        self.0.metrics().purges().refused(status);
    }
}

/// Counts what a purge would select.
#[derive(Debug)]
pub struct Counting(pub Arc<Shared>);

impl Estimate for Counting {
    fn estimate<'a>(
        &'a self,
        selector: &'a Selector,
        scopes: Vec<ScopeHash>,
    ) -> Pin<Box<dyn Future<Output = Selection> + Send + 'a>> {
        let wanted = match (&selector.what, &selector.site) {
            // The keys of a URL are known: nothing has to be searched.
            (What::Url(url), site) => {
                let rules = WorldRules(self.0.world.load_full());
                let keys = rules.keys(url, site.as_deref());
                let found = self.0.cache.count_keys(&keys);
                return Box::pin(std::future::ready(found));
            }
            (What::Everything, None) => Wanted::Everything,
            (What::Tag(_) | What::Tags(_), None) => Wanted::Tags,
            _ => Wanted::Target,
        };
        let cache = Arc::clone(&self.0.cache);
        let counted = tokio::task::spawn_blocking(move || cache.count(&scopes, wanted));
        Box::pin(async { counted.await.unwrap_or_default() })
    }
}

/// Carries out what the operator says of origins.
#[derive(Debug)]
pub struct Operated(pub Arc<Shared>);

impl OriginRules for Operated {
    fn rule(&self, site: &str, origin: &str, rule: Rule) -> Result<bool, Unknown> {
        let world = self.0.world.load();
        let site = world.sites.iter().find(|known| &*known.name == site).ok_or(Unknown::Site)?;
        let pool = world.pool(site);
        pool.rule(origin, rule)
            .ok_or_else(|| Unknown::Origin(pool.names().map(ToString::to_string).collect()))
    }
}

/// Walks the directory for ever: records whose bytes are gone are dropped.
pub async fn sweep(cache: Arc<Cache>) {
    loop {
        tokio::time::sleep(SWEEP_PAUSE).await;
        cache.directory.sweep(SWEEP_STEP, |record| {
            let head = StoreKey { object: record.head, part: Part::Head };
            if cache.store.presence(head) == Presence::Absent { Swept::Drop } else { Swept::Keep }
        });
    }
}
