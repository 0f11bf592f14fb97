//! Work beside the traffic: counting purges, estimating them, sweeping the directory.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use selvedge_cache::cache::Sweeper;
use selvedge_cache::invalidate::{Mode, Position, ScopeHash, Selection, Wanted};
use selvedge_purge_api::api::{Estimate, PurgeWatch};
use selvedge_purge_api::ledger::LedgerStatus;
use selvedge_purge_api::selector::What;
use selvedge_purge_api::{Ledger, Selector, SelectorKind};

use super::Shared;
use super::rules::WorldRules;
use crate::origin::Rule;
use crate::telemetry::Telemetry;
use crate::upkeep::admin::origins::{OriginRules, Unknown};

/// Records looked at per step of the sweep, and the pause between two steps: a directory of a
/// million records is walked in about five minutes and costs little.
const SWEEP_STEP: usize = 2048;
const SWEEP_PAUSE: Duration = Duration::from_millis(500);
/// The newest purges that stay in the ledger whatever is stored: the audit trail, and what a retry
/// with the same idempotency key is compared with.
const ENTRIES_KEPT: u64 = 10_000;

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
                let rules = WorldRules::of(self.0.world.load_full(), &self.0.cache);
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

/// Walks the directory for ever: what can never be used again is taken out, and after each round
/// the ledger forgets the purges that nothing is left to be selected by.
pub async fn sweep(shared: Arc<Shared>) {
    let mut sweeper = Sweeper::default();
    loop {
        tokio::time::sleep(SWEEP_PAUSE).await;
        let step = sweeper.step(&shared.cache, SWEEP_STEP);
        shared.telemetry.metrics().purges().swept(step.purged, step.lost);
        if let Some(oldest) = step.oldest {
            compact(&shared.ledger, oldest, ENTRIES_KEPT).await;
        }
    }
}

/// Lets the ledger forget what is older than everything, but not the last `kept` entries.
async fn compact(ledger: &Ledger, oldest: Position, kept: u64) {
    let LedgerStatus { position, floor, .. } = ledger.status();
    let wanted = oldest.min(Position(position.0.saturating_sub(kept)));
    if wanted <= floor {
        return;
    }
    match ledger.compact(wanted).await {
        // Too little would go to be worth it.
        Ok(reached) if reached == floor => {}
        Ok(reached) => tracing::info!(floor = reached.0, "the purge ledger forgot old purges"),
        Err(why) => tracing::warn!(%why, "the purge ledger cannot be compacted"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use selvedge_cache::Millis;
    use selvedge_purge_api::ledger::{Limits, NewEntry};
    use selvedge_purge_api::selector::{PlainRules, Selector, What};

    use super::*;

    #[tokio::test]
    async fn the_ledger_forgets_what_is_older_than_everything_but_keeps_its_newest() {
        let ledger = Ledger::memory(Arc::new(PlainRules), Limits::MEMORY).expect("opens").ledger;
        for tag in 0..10 {
            let entry = NewEntry {
                accepted: Millis(1),
                mode: Mode::Hard,
                selector: Selector { what: What::Tag(tag.to_string()), site: None },
                who: "test".to_owned(),
                from: None,
                idempotency_key: None,
            };
            ledger.append(entry).await.expect("in force");
        }
        // The oldest response was fetched under 3: too little would go.
        compact(&ledger, Position(3), 2).await;
        assert_eq!(ledger.status().floor, Position(0));
        compact(&ledger, Position(10), 2).await;
        assert_eq!(ledger.status().floor, Position(8));
        assert_eq!(ledger.page(Position(0), 99).await.expect("reads").len(), 2);
        assert_eq!(ledger.status().scopes, 2);
    }
}
