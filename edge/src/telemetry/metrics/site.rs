//! The numbers of one site: what every exchange moves when it is over.
//!
//! Each thread adds to a shard of its own, so that cores do not pull one cache line from each
//! other; a scrape sums the shards. An exchange costs five additions: bytes, and a bucket and a
//! sum for both latencies. The number of requests is the count of durations: one fact, kept once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_cache::Millis;

use super::histogram::{Distribution, Histogram};
use crate::journal::{CacheOutcome, SiteIndex};
use crate::telemetry::ratio::{History, Ratio, Totals, Window};

const OUTCOMES: usize = CacheOutcome::ALL.len();

/// What one thread counted of one outcome.
#[derive(Debug, Default)]
struct Cells {
    bytes: AtomicU64,
    ttfb: Histogram,
    duration: Histogram,
}

/// What one thread counted; aligned so that two shards never share a pair of cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard([Cells; OUTCOMES]);

/// Numbers of one site.
#[derive(Debug)]
pub struct SiteMetrics {
    name: Arc<str>,
    index: SiteIndex,
    shards: Box<[Shard]>,
    history: Mutex<History>,
}

impl SiteMetrics {
    pub(super) fn new(name: Arc<str>, index: SiteIndex, shards: usize, now: Millis) -> Self {
        Self {
            name,
            index,
            shards: (0..shards.max(1)).map(|_| Shard::default()).collect(),
            history: Mutex::new(History::starting(now)),
        }
    }

    /// The label value.
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What a journal says to mean this site; the same for the life of the process.
    pub const fn index(&self) -> SiteIndex {
        self.index
    }

    /// Counts an exchange that is over. `ttfb` is `None` if no response began.
    pub fn record(
        &self,
        outcome: CacheOutcome,
        body_bytes: u64,
        ttfb: Option<Duration>,
        duration: Duration,
    ) {
        let cells = &self.shards[thread_slot() % self.shards.len()].0[outcome as usize];
        cells.bytes.fetch_add(body_bytes, Relaxed);
        if let Some(ttfb) = ttfb {
            cells.ttfb.observe(ttfb);
        }
        cells.duration.observe(duration);
    }

    /// Exchanges with this outcome so far.
    pub fn requests(&self, outcome: CacheOutcome) -> u64 {
        self.cells(outcome).map(|cells| cells.duration.count()).sum()
    }

    /// Body bytes of exchanges with this outcome so far.
    pub fn bytes(&self, outcome: CacheOutcome) -> u64 {
        self.cells(outcome).map(|cells| cells.bytes.load(Relaxed)).sum()
    }

    /// Times to the first byte.
    pub fn ttfb(&self, outcome: CacheOutcome) -> Distribution {
        let mut sum = Distribution::default();
        self.cells(outcome).for_each(|cells| cells.ttfb.add_to(&mut sum));
        sum
    }

    /// Durations.
    pub fn duration(&self, outcome: CacheOutcome) -> Distribution {
        let mut sum = Distribution::default();
        self.cells(outcome).for_each(|cells| cells.duration.add_to(&mut sum));
        sum
    }

    /// The hit ratios of a window that ends now.
    pub fn ratio(&self, now: Millis, window: Window) -> Ratio {
        let totals = self.totals();
        self.history.lock().ratio(now, totals, window)
    }

    pub(super) fn tick(&self, now: Millis) {
        let totals = self.totals();
        self.history.lock().tick(now, totals);
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for outcome in CacheOutcome::ALL.into_iter().filter(|outcome| outcome.counts()) {
            let (requests, bytes) = (self.requests(outcome), self.bytes(outcome));
            totals.requests += requests;
            totals.bytes += bytes;
            if outcome.is_hit() {
                totals.hits += requests;
                totals.hit_bytes += bytes;
            }
        }
        totals
    }

    fn cells(&self, outcome: CacheOutcome) -> impl Iterator<Item = &Cells> {
        self.shards.iter().map(move |shard| &shard.0[outcome as usize])
    }
}

/// A small number of the calling thread, in the order in which threads first counted something.
pub(crate) fn thread_slot() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLOT: usize = NEXT.fetch_add(1, Relaxed);
    }
    SLOT.with(|slot| *slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_its_own_place_in_the_table() {
        for (place, outcome) in CacheOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
        }
    }

    #[test]
    fn threads_count_apart_and_are_summed() {
        let site = SiteMetrics::new("shop".into(), SiteIndex(2), 3, Millis(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let (fast, slow) = (Duration::from_micros(80), Duration::from_millis(2));
                        site.record(CacheOutcome::Hit, 10, Some(fast), slow);
                        site.record(CacheOutcome::Error, 0, None, slow);
                    }
                });
            }
        });
        assert_eq!(site.requests(CacheOutcome::Hit), 8000);
        assert_eq!(site.bytes(CacheOutcome::Hit), 80_000);
        assert_eq!(site.ttfb(CacheOutcome::Hit).count(), 8000);
        assert_eq!(site.ttfb(CacheOutcome::Error).count(), 0);
        assert_eq!(site.duration(CacheOutcome::Error).count(), 8000);
    }

    #[test]
    fn errors_and_answers_of_our_own_take_no_part_in_the_ratio() {
        let site = SiteMetrics::new("shop".into(), SiteIndex(2), 1, Millis(0));
        let brief = Duration::from_millis(1);
        for outcome in CacheOutcome::ALL {
            site.record(outcome, 100, None, brief);
        }
        // hit, stale, revalidated, collapsed of those and miss, pass.
        let ratio = site.ratio(Millis(10), Window::Minute);
        assert!((ratio.requests - 4.0 / 6.0).abs() < 1e-9);
        assert!((ratio.bytes - 4.0 / 6.0).abs() < 1e-9);
    }
}
