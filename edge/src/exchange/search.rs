//! `No-Vary-Search`: requests that differ only in what a response does not depend on are looked up
//! together, and what comes is kept where they look.

use http::HeaderMap;
use selvedge_cache::cache::Found;
use selvedge_cache::fill::Kept;
use selvedge_cache::invalidate::Watermark;
use selvedge_cache::variant::search::SearchVariance;

use super::Exchange;
use super::fetch::Job;

impl Exchange {
    /// Looks up under the folded key, if the path has one, and under the URL's own second: not
    /// every response of a path need say the same.
    pub(super) fn search(&mut self) -> Found {
        let cache = &self.shared.cache;
        let parts = self.plan.key_parts(self.admitted.scheme, self.admitted.host());
        let wanted = self.plan.site.cache.no_vary_search;
        self.plan.folded = cache.searches.folded(&parts).filter(|_| wanted).map(Box::new);
        let found = cache.lookup(&self.request());
        if found.record.is_some() || self.plan.folded.is_none() {
            return found;
        }
        let folded = self.plan.folded.take();
        let own = self.shared.cache.lookup(&self.request());
        if own.record.is_some() {
            return own;
        }
        self.plan.folded = folded;
        found
    }
}

impl Job {
    /// Where a response is kept that was fetched under `sent`.
    pub(super) fn kept(&self, headers: &HeaderMap, sent: Watermark) -> Kept {
        let said = SearchVariance::of(headers).filter(|_| self.plan.site.cache.no_vary_search);
        let folded = said.and_then(|variance| {
            let cache = &self.shared.cache;
            let parts = self.plan.key_parts(self.scheme, &self.host);
            let (in_force, now) = (cache.watermark(), cache.clock.now());
            cache.searches.learn(&parts, variance, sent, in_force, now)
        });
        let key = folded.map_or(self.plan.key, |folded| folded.key);
        let narrower = self.plan.folded.as_ref().is_some_and(|looked| looked.key != key);
        Kept { key, narrower }
    }
}
