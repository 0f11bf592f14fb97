//! How much of what origins are sent may be sent a second time.
//!
//! When origins are slow or failing, every request that is repeated is load on top of the load
//! that they cannot carry, and all nodes repeat at once. So what goes out again (retries at
//! another origin, hedges) is bounded by a share of the requests that are live right now. A few
//! are always allowed, or a quiet site could never try again.
//!
//! Pure counting; what a retry is, is decided in [`retry`](super::retry).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Extra requests that are allowed however few are live.
const EXTRA_MIN: usize = 10;

/// Live requests of a pool, and those of them that are being repeated.
#[derive(Debug, Default)]
pub struct Budget {
    live: AtomicUsize,
    extra: AtomicUsize,
}

/// One request that is live, until it is dropped.
#[derive(Debug)]
pub struct Live(Arc<Budget>);

/// One request that is being repeated, until it is dropped.
#[derive(Debug)]
pub struct Extra(Arc<Budget>);

/// Whether one more may be repeated.
pub const fn allows(live: usize, extra: usize, percent: u32) -> bool {
    extra < EXTRA_MIN || extra.saturating_mul(100) < live.saturating_mul(percent as usize)
}

impl Budget {
    /// A request begins.
    pub fn enter(self: &Arc<Self>) -> Live {
        self.live.fetch_add(1, Ordering::Relaxed);
        Live(Arc::clone(self))
    }

    /// A request wants to go out once more; `None` when too many do.
    pub fn extra(self: &Arc<Self>, percent: u32) -> Option<Extra> {
        let entered = Extra(Arc::clone(self));
        let before = self.extra.fetch_add(1, Ordering::Relaxed);
        allows(self.live.load(Ordering::Relaxed), before, percent).then_some(entered)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Extra {
    fn drop(&mut self) {
        self.0.extra.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_site_may_try_again_and_a_storm_has_an_end() {
        assert!(allows(1, 0, 20) && allows(0, EXTRA_MIN - 1, 0));
        assert!(!allows(10, EXTRA_MIN, 20));
        assert!(allows(1_000, 199, 20) && !allows(1_000, 200, 20));
        assert!(!allows(usize::MAX, usize::MAX, 100));
    }

    #[test]
    fn what_is_over_is_counted_no_more() {
        let budget = Arc::<Budget>::default();
        let live: Vec<_> = (0..100).map(|_| budget.enter()).collect();
        let extra: Vec<_> = (0..40).filter_map(|_| budget.extra(20)).collect();
        assert_eq!(extra.len(), 20);
        drop(extra);
        assert!(budget.extra(20).is_some());
        drop(live);
        assert_eq!(
            (budget.live.load(Ordering::Relaxed), budget.extra.load(Ordering::Relaxed)),
            (0, 0)
        );
    }
}
