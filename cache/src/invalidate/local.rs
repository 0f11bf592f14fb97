//! Local invalidation by unsafe methods (RFC 9111 §4.4, RFC 9875 §3): bounded, volatile, outside
//! the ledger.
//!
//! A fixed array of slots indexed by scope hash holds the highest counter per slot. Nothing is
//! evicted, so nothing is forgotten; a collision invalidates one response in 65,536 too many.
//! Groups share the slots with URLs, each hashed with the host it belongs to. Whatever cannot be
//! told exactly (tags that a record does not keep, groups beyond the bound of one answer)
//! invalidates more, never less.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{ScopeHash, TargetScopes};

const SLOTS: usize = 65_536;

/// The slots and their counter.
#[derive(Debug)]
pub struct Local {
    counter: AtomicU64,
    /// Counter of the last invalidation of a group: before it no group need be looked at.
    groups: AtomicU64,
    urls_total: AtomicU64,
    groups_total: AtomicU64,
    slots: Box<[AtomicU64]>,
}

/// One invalidation among the others of its scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalMark {
    /// Its own number.
    pub at: u64,
    /// The number of the last one before it; 0 if there was none. (It may be higher than `at` when
    /// two meet.)
    pub last: u64,
}

impl Default for Local {
    fn default() -> Self {
        Self {
            counter: AtomicU64::new(0),
            groups: AtomicU64::new(0),
            urls_total: AtomicU64::new(0),
            groups_total: AtomicU64::new(0),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Local {
    /// The counter now; a fetch that is sent carries it.
    pub fn counter(&self) -> u64 {
        self.counter.load(Ordering::Acquire)
    }

    /// Invalidates whatever was fetched for this URL before now.
    pub fn invalidate(&self, url: ScopeHash) -> LocalMark {
        self.urls_total.fetch_add(1, Ordering::Relaxed);
        self.raise(url)
    }

    /// Invalidates whatever of a host carries one of these tags (RFC 9875 §3); `all` invalidates
    /// whatever of it carries any tag.
    pub fn invalidate_groups(&self, target: &TargetScopes<'_>, tags: &[u64], all: bool) {
        let mut last = 0;
        for tag in tags {
            last = self.raise(target.group(*tag)).at;
        }
        if all {
            last = self.raise(target.all_groups()).at;
        }
        // The slots first: who sees the mark sees what it stands for.
        self.groups.fetch_max(last, Ordering::AcqRel);
        self.groups_total.fetch_add((tags.len() + usize::from(all)) as u64, Ordering::Relaxed);
    }

    /// Whether a response on `target` with `tags`, fetched under counter `sent`, was invalidated
    /// since. The hash of the URL is worked out only if anything was.
    pub fn selects(
        &self,
        target: &TargetScopes<'_>,
        tags: &[u64],
        tags_overflow: bool,
        sent: u64,
    ) -> bool {
        if sent >= self.counter() {
            return false;
        }
        let is_raised = |scope| self.slot(scope).load(Ordering::Acquire) > sent;
        if is_raised(target.url()) {
            return true;
        }
        let has_tags = tags_overflow || !tags.is_empty();
        has_tags
            && self.groups.load(Ordering::Acquire) > sent
            && (tags_overflow
                || is_raised(target.all_groups())
                || tags.iter().any(|tag| is_raised(target.group(*tag))))
    }

    /// How many URLs and how many groups were invalidated.
    pub fn totals(&self) -> (u64, u64) {
        (self.urls_total.load(Ordering::Relaxed), self.groups_total.load(Ordering::Relaxed))
    }

    fn raise(&self, scope: ScopeHash) -> LocalMark {
        let at = self.counter.fetch_add(1, Ordering::AcqRel) + 1;
        let last = self.slot(scope).fetch_max(at, Ordering::AcqRel);
        LocalMark { at, last }
    }

    fn slot(&self, scope: ScopeHash) -> &AtomicU64 {
        &self.slots[scope.0 as usize % SLOTS]
    }
}

#[cfg(test)]
mod tests {
    use super::super::scope::tag_hash;
    use super::*;

    fn target(path: &'static str) -> TargetScopes<'static> {
        TargetScopes { site: "s", host: "h", path, query: None }
    }

    #[test]
    fn only_what_was_fetched_before_is_invalidated() {
        let local = Local::default();
        let before = local.counter();
        let mark = local.invalidate(target("/a").url());
        assert_eq!(mark, LocalMark { at: before + 1, last: 0 });
        assert!(local.selects(&target("/a"), &[], false, before));
        assert!(!local.selects(&target("/a"), &[], false, local.counter()));
        assert!(!local.selects(&target("/b"), &[], false, before));
        let second = local.invalidate(target("/a").url());
        assert_eq!(second, LocalMark { at: before + 2, last: before + 1 });
    }

    #[test]
    fn a_group_is_invalidated_on_its_own_host() {
        let local = Local::default();
        let tags = ["x", "y"].map(tag_hash);
        local.invalidate_groups(&target("/form"), &tags[..1], false);
        assert!(local.selects(&target("/a"), &tags, false, 0));
        assert!(!local.selects(&target("/a"), &tags[1..], false, 0));
        assert!(!local.selects(&target("/a"), &tags, false, local.counter()));
        let elsewhere = TargetScopes { host: "other", ..target("/a") };
        assert!(!local.selects(&elsewhere, &tags, false, 0));
        assert_eq!(local.totals(), (0, 1));
    }

    #[test]
    fn what_cannot_be_told_exactly_selects_more() {
        let local = Local::default();
        assert!(!local.selects(&target("/a"), &[], true, 0));
        local.invalidate_groups(&target("/form"), &[tag_hash("x")], false);
        assert!(local.selects(&target("/a"), &[], true, 0), "its tags are not all known");
        assert!(!local.selects(&target("/a"), &[], false, 0));
        local.invalidate_groups(&target("/form"), &[], true);
        assert!(local.selects(&target("/a"), &[tag_hash("z")], false, 0), "too many were named");
        assert!(!local.selects(&target("/a"), &[], false, 0));
    }
}
