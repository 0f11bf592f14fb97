//! How long answers take that are slow but not the slowest: the 95th percentile, for hedging.
//!
//! Buckets that grow by an eighth each, all of which lose half of their counts now and then, so
//! that old days are forgotten. An answer costs one increment.

use std::sync::atomic::{AtomicU32, Ordering};

/// Buckets per doubling.
const STEPS: u64 = 8;
/// Doublings: from 1 µs to over an hour.
const DOUBLINGS: u64 = 32;
/// Answers after which all counts are halved.
const HALVE_AT: u32 = 4096;
/// Answers below which nothing is said.
const SAMPLES_MIN: u32 = 64;

/// Times to a response head.
#[derive(Debug)]
pub struct Latencies {
    buckets: Box<[AtomicU32]>,
    seen: AtomicU32,
}

impl Default for Latencies {
    fn default() -> Self {
        let buckets = (0..STEPS * DOUBLINGS).map(|_| AtomicU32::new(0)).collect();
        Self { buckets, seen: AtomicU32::new(0) }
    }
}

impl Latencies {
    /// An answer took this long.
    pub fn observe(&self, us: u64) {
        self.buckets[bucket(us)].fetch_add(1, Ordering::Relaxed);
        if self.seen.fetch_add(1, Ordering::Relaxed) + 1 == HALVE_AT {
            self.seen.store(HALVE_AT / 2, Ordering::Relaxed);
            for bucket in &self.buckets {
                // What is counted in between may be lost: these are estimates.
                bucket.store(bucket.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
            }
        }
    }

    /// At most this long in `percent` of cases, in microseconds; `None` while too little is known.
    pub fn at(&self, percent: u32) -> Option<u64> {
        if self.seen.load(Ordering::Relaxed) < SAMPLES_MIN {
            return None;
        }
        let counts: Vec<u64> =
            self.buckets.iter().map(|count| u64::from(count.load(Ordering::Relaxed))).collect();
        let wanted = (counts.iter().sum::<u64>() * u64::from(percent)).div_ceil(100).max(1);
        let mut below = 0;
        let reached = counts.iter().position(|count| {
            below += count;
            below >= wanted
        });
        reached.map(|place| upper_us(place as u64))
    }
}

/// The bucket of a time: its power of two, and which eighth of the way to the next one.
fn bucket(us: u64) -> usize {
    let us = us.clamp(1, u64::from(u32::MAX));
    let power = u64::from(us.ilog2());
    let eighth = ((us << 3) >> power) & (STEPS - 1);
    (power * STEPS + eighth) as usize
}

/// The end of a bucket, in microseconds.
fn upper_us(place: u64) -> u64 {
    let (power, eighth) = (place / STEPS, place % STEPS);
    ((STEPS + eighth + 1) << power) / STEPS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_ends_within_an_eighth_of_what_it_holds(us in 1_u64..=u64::from(u32::MAX)) {
            let end = upper_us(bucket(us) as u64);
            prop_assert!(end >= us && end <= us + us / 8 + 1, "{us} ends at {end}");
        }
    }

    #[test]
    fn the_slow_twentieth_is_found_and_old_days_are_forgotten() {
        let seen = Latencies::default();
        assert_eq!(seen.at(95), None);
        for n in 0..2_000_u64 {
            seen.observe(if n % 50 == 0 { 900_000 } else { 10_000 });
        }
        let usual = seen.at(95).expect("enough");
        assert!((10_000..=11_300).contains(&usual), "{usual}");
        assert!(seen.at(99).expect("enough") >= 900_000);
        for _ in 0..40_000 {
            seen.observe(100_000);
        }
        assert!(seen.at(50).expect("enough") >= 100_000);
    }
}
