//! How many purges one caller may ask for: a token bucket each.
//!
//! A script that runs wild must not fill the ledger or push others out of its queue. Callers are
//! few where there are tokens; where there are none, addresses are bounded in number, and those
//! beyond share one bucket.

use std::collections::HashMap;

use parking_lot::Mutex;
use selvedge_cache::Millis;
use selvedge_cache::bucket::Bucket;

/// Most callers with a bucket of their own.
pub const CALLERS_MAX: usize = 1024;
/// Purges per second of one caller when nothing else is configured.
pub const PER_SECOND_DEFAULT: u32 = 1000;
/// A burst is the purges of this many seconds.
const BURST_S: u32 = 2;

/// The buckets of all callers.
#[derive(Debug)]
pub struct Rates(Mutex<Buckets>);

#[derive(Debug)]
struct Buckets {
    per_s: u32,
    own: HashMap<String, Bucket>,
    others: Option<Bucket>,
}

impl Default for Rates {
    fn default() -> Self {
        Self(Mutex::new(Buckets { per_s: PER_SECOND_DEFAULT, own: HashMap::new(), others: None }))
    }
}

impl Rates {
    /// Brings another rate in force; everybody begins with a full bucket.
    pub fn change(&self, per_s: u32) {
        let mut buckets = self.0.lock();
        if buckets.per_s != per_s {
            *buckets = Buckets { per_s, own: HashMap::new(), others: None };
        }
    }

    /// Takes one from the bucket of `who`; the error is how long to wait, in milliseconds.
    pub fn take(&self, who: &str, now: Millis) -> Result<(), u64> {
        let mut buckets = self.0.lock();
        let full = Bucket::full(buckets.per_s, buckets.per_s.saturating_mul(BURST_S), now);
        if let Some(bucket) = buckets.own.get_mut(who) {
            return bucket.take(now);
        }
        if buckets.own.len() >= CALLERS_MAX {
            // Who has been quiet is forgotten: a full bucket is what it would begin with.
            buckets.own.retain(|_, bucket| !bucket.is_full(now));
        }
        if buckets.own.len() >= CALLERS_MAX {
            return buckets.others.get_or_insert(full).take(now);
        }
        buckets.own.entry(who.to_owned()).or_insert(full).take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_who_runs_wild_leaves_the_others_theirs() {
        let rates = Rates::default();
        rates.change(2);
        let taken = (0..100).filter(|_| rates.take("wild", Millis(0)).is_ok()).count();
        assert_eq!(taken, 4);
        assert_eq!(rates.take("wild", Millis(0)), Err(500));
        assert_eq!(rates.take("calm", Millis(0)), Ok(()));
        assert_eq!(rates.take("wild", Millis(500)), Ok(()));
    }

    #[test]
    fn callers_beyond_the_bound_share_a_bucket() {
        let rates = Rates::default();
        rates.change(1);
        for caller in 0..CALLERS_MAX {
            assert_eq!(rates.take(&caller.to_string(), Millis(0)), Ok(()));
        }
        let strangers = ["a", "b", "c"].map(|who| rates.take(who, Millis(0)).is_ok());
        assert_eq!(strangers, [true, true, false]);
        assert_eq!(rates.take("d", Millis(60_000)), Ok(()), "the quiet ones are forgotten");
        assert_eq!(rates.0.lock().own.len(), 1);
    }
}
