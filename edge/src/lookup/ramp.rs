//! How fast stale responses of one site are refreshed behind their readers' backs.
//!
//! A soft purge of everything makes every response stale at once. Each reader is answered at once
//! (RFC 5861 §3), and each would send a question to the origin: as many in a second as there are
//! popular responses. So questions that nobody waits for take a token first; without one the
//! response stays stale for now, and its next reader asks again. Questions that somebody waits
//! for never need one: those are held by the origin's own bounds.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use selvedge_cache::Millis;
use selvedge_cache::bucket::Bucket;

/// Questions that may be sent at once are those of a tenth of a second.
const BURSTS_PER_S: u32 = 10;

/// The rate of one site, shared by all cores.
#[derive(Debug)]
pub struct Ramp {
    bucket: Mutex<(u32, Bucket)>,
    started: AtomicU64,
    deferred: AtomicU64,
}

impl Ramp {
    /// A ramp with a full bucket.
    pub fn new(per_s: u32) -> Self {
        let bucket = Mutex::new((per_s, full(per_s, Millis(0))));
        Self { bucket, started: AtomicU64::new(0), deferred: AtomicU64::new(0) }
    }

    /// Brings another rate in force: a reload.
    pub fn change(&self, per_s: u32) {
        let mut bucket = self.bucket.lock();
        if bucket.0 != per_s {
            *bucket = (per_s, full(per_s, Millis(0)));
        }
    }

    /// Gives the right to one question, if `wanted` (asked while there is a token) says that it is
    /// needed: somebody else may be asking already.
    pub fn start<T>(&self, now: Millis, wanted: impl FnOnce() -> Option<T>) -> Option<T> {
        let before = self.bucket.lock().1;
        if before.peek(now).is_err() {
            self.deferred.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let wanted = wanted()?;
        // Another core may have been faster; what was wanted is given up then.
        if self.bucket.lock().1.take(now).is_err() {
            self.deferred.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.started.fetch_add(1, Ordering::Relaxed);
        Some(wanted)
    }

    /// Questions that were started, and times that one was put off.
    pub fn totals(&self) -> (u64, u64) {
        (self.started.load(Ordering::Relaxed), self.deferred.load(Ordering::Relaxed))
    }
}

const fn full(per_s: u32, now: Millis) -> Bucket {
    let burst = per_s.div_ceil(BURSTS_PER_S);
    Bucket::full(per_s, burst, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_at_the_rate_and_cost_nothing_when_nobody_needs_them() {
        let ramp = Ramp::new(20);
        for _ in 0..10 {
            assert_eq!(ramp.start(Millis(0), || None::<()>), None);
        }
        let started = (0..100).filter(|_| ramp.start(Millis(0), || Some(())).is_some()).count();
        assert_eq!(started, 2);
        let later = (1..=10_000).filter(|at| ramp.start(Millis(*at), || Some(())).is_some());
        assert_eq!(later.count(), 200);
        assert_eq!(ramp.totals().0, 202);
        assert!(ramp.totals().1 >= 98);
    }

    #[test]
    fn a_changed_rate_begins_anew_and_the_same_one_does_not() {
        let ramp = Ramp::new(1);
        assert!(ramp.start(Millis(0), || Some(())).is_some());
        ramp.change(1);
        assert!(ramp.start(Millis(0), || Some(())).is_none());
        ramp.change(2);
        assert!(ramp.start(Millis(0), || Some(())).is_some());
    }
}
