//! Work beside the traffic: counting purges, estimating them, sweeping the directory.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use selvedge_cache::cache::Cache;
use selvedge_cache::directory::Swept;
use selvedge_cache::invalidate::{Mode, ScopeHash};
use selvedge_cache::store::{Part, Presence, StoreKey};
use selvedge_purge_api::SelectorKind;
use selvedge_purge_api::api::{Estimate, Estimated, PurgeWatch};

use super::Shared;
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
        tracing::debug!(status, "a purge was refused");
    }
}

/// Counts what tag scopes would select; other scopes need the URL of a record, which is not kept.
#[derive(Debug)]
pub struct Counting(pub Arc<Shared>);

impl Estimate for Counting {
    fn estimate(
        &self,
        scopes: Vec<ScopeHash>,
    ) -> Pin<Box<dyn Future<Output = Estimated> + Send + '_>> {
        Box::pin(async move {
            let cache = Arc::clone(&self.0.cache);
            let counted = tokio::task::spawn_blocking(move || cache.estimate(&scopes)).await;
            counted.map_or_else(
                |_| Estimated::default(),
                |(responses, bytes, is_complete)| Estimated { responses, bytes, is_complete },
            )
        })
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
