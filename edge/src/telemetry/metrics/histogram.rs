//! Latency distributions in fixed buckets of atomics.
//!
//! The exporter's own histograms keep every sample until the next drain: memory that grows with
//! traffic, and a clock read per sample. Ours are an array: two additions per observation, no
//! memory that grows, nothing to drain. Durations are kept in nanoseconds, exposed in seconds.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets, in nanoseconds, with the text of their `le` label.
pub const BOUNDS: [(u64, &str); 18] = [
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5"),
    (10_000_000_000, "10"),
    (30_000_000_000, "30"),
    (60_000_000_000, "60"),
];

/// Buckets with the last one, which has no bound.
const BUCKETS: usize = BOUNDS.len() + 1;

/// A histogram that many threads may move.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum_ns: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Adds one observation.
    pub fn observe(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // Hits end in the first buckets, so the search from the left is the short one.
        let bucket = BOUNDS.iter().position(|(bound, _)| ns <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
    }

    /// Observations so far.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }

    /// Adds what was observed here to `into`.
    pub fn add_to(&self, into: &mut Distribution) {
        for (sum, bucket) in into.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Relaxed);
        }
        into.sum_ns = into.sum_ns.wrapping_add(self.sum_ns.load(Relaxed));
    }
}

/// What one or several histograms held at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    buckets: [u64; BUCKETS],
    sum_ns: u64,
}

impl Distribution {
    /// Observations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Sum of the observations, in seconds.
    pub fn sum_s(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// The `le` label and the cumulative count of each bucket, the unbounded one last.
    pub fn cumulative(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let bounds = BOUNDS.iter().map(|(_, le)| *le).chain(["+Inf"]);
        bounds.zip(&self.buckets).scan(0, |sum, (le, count)| {
            *sum += count;
            Some((le, *sum))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_grow_and_their_text_says_the_same_number() {
        assert!(BOUNDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (ns, le) in BOUNDS {
            let seconds: f64 = le.parse().expect("a label of the table is a number");
            assert!((seconds - ns as f64 / 1e9).abs() < 1e-12, "{le}");
        }
    }

    #[test]
    fn an_observation_on_a_bound_belongs_to_that_bucket() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_micros(100));
        histogram.observe(Duration::from_nanos(100_001));
        histogram.observe(Duration::from_hours(1));
        let mut seen = Distribution::default();
        histogram.add_to(&mut seen);
        let cumulative: Vec<_> = seen.cumulative().collect();
        assert_eq!(cumulative[0], ("0.0001", 1));
        assert_eq!(cumulative[1], ("0.00025", 2));
        assert_eq!(cumulative[17], ("60", 2));
        assert_eq!(cumulative[18], ("+Inf", 3));
        assert_eq!(histogram.count(), 3);
        assert!((seen.sum_s() - 3_600.000_200_001).abs() < 1e-9);
    }
}
