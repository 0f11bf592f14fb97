//! Local invalidation by unsafe methods (RFC 9111 §4.4): bounded, volatile, outside the ledger.
//!
//! A fixed array of slots indexed by scope hash holds the highest counter per slot. Nothing is
//! evicted, so nothing is forgotten; a collision invalidates one response in 65,536 too many.

use std::sync::atomic::{AtomicU64, Ordering};

use super::ScopeHash;

const SLOTS: usize = 65_536;

/// The slots and their counter.
#[derive(Debug)]
pub struct Local {
    counter: AtomicU64,
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
        Self { counter: AtomicU64::new(0), slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Local {
    /// The counter now; a fetch that is sent carries it.
    pub fn counter(&self) -> u64 {
        self.counter.load(Ordering::Acquire)
    }

    /// Invalidates whatever was fetched for `scope` before now.
    pub fn invalidate(&self, scope: ScopeHash) -> LocalMark {
        let at = self.counter.fetch_add(1, Ordering::AcqRel) + 1;
        let last = self.slot(scope).fetch_max(at, Ordering::AcqRel);
        LocalMark { at, last }
    }

    /// Whether a response for `scope` fetched under counter `sent` was invalidated since.
    pub fn selects(&self, scope: ScopeHash, sent: u64) -> bool {
        sent < self.counter() && self.slot(scope).load(Ordering::Acquire) > sent
    }

    fn slot(&self, scope: ScopeHash) -> &AtomicU64 {
        &self.slots[scope.0 as usize % SLOTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_fetched_before_is_invalidated() {
        let local = Local::default();
        let before = local.counter();
        assert_eq!(local.invalidate(ScopeHash(9)), LocalMark { at: before + 1, last: 0 });
        assert!(local.selects(ScopeHash(9), before));
        assert!(!local.selects(ScopeHash(9), local.counter()));
        assert!(!local.selects(ScopeHash(10), before));
        let second = local.invalidate(ScopeHash(9));
        assert_eq!(second, LocalMark { at: before + 2, last: before + 1 });
    }
}
