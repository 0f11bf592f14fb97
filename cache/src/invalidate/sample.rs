//! What a purge would select, told without an index from scopes to responses.
//!
//! Records keep their tags, not their URL: a million URLs would cost more than the promise needs.
//! To count what a host, a prefix or a site selects, the scopes of a bounded sample are kept: of
//! the keys with the lowest hashes, which are as good as drawn by lot. As long as fewer responses
//! are stored than the sample holds, it is all of them and counts are exact.
//!
//! A request pays two loads to find out that its key is not wanted or is known already.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{ScopeHash, TargetScopes};
use crate::CacheKey;

/// Keys that are kept at least, once there are as many; up to twice as many in between.
/// At most 2.3 MiB, when every path is 32 segments deep; usually a tenth.
pub const SAMPLE_MIN: usize = 2048;

/// Bits that remember which keys were noted, 8 KiB of them: one load instead of a lock.
const SEEN_WORDS: usize = 1024;

/// What a selection comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Stored responses.
    pub responses: u64,
    /// Their content, in bytes.
    pub bytes: u64,
    /// Every stored response was judged; otherwise the numbers are extended from those that were.
    pub is_exact: bool,
}

/// The scopes of one key.
#[derive(Debug)]
struct Kept {
    site: u64,
    scopes: Box<[ScopeHash]>,
}

/// The sample. Shared by all cores.
#[derive(Debug)]
pub struct Sample {
    /// Keys with a hash below this are wanted.
    below: AtomicU64,
    seen: Box<[AtomicU64]>,
    kept: Mutex<BTreeMap<(u64, CacheKey), Kept>>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            below: AtomicU64::new(u64::MAX),
            seen: (0..SEEN_WORDS).map(|_| AtomicU64::new(0)).collect(),
            kept: Mutex::default(),
        }
    }
}

impl Sample {
    /// Takes a key into the sample if it belongs there. `is_stored` is asked about all that are in
    /// it when room is needed, once in at least [`SAMPLE_MIN`] calls that take one in.
    pub fn note(
        &self,
        key: &CacheKey,
        target: &TargetScopes<'_>,
        is_stored: impl Fn(&CacheKey) -> bool,
    ) {
        let hash = key.hash64();
        if hash >= self.below.load(Ordering::Relaxed) {
            return;
        }
        // Not the bits that choose a shard or decide whether the key is wanted.
        let (word, bit) = (hash as usize / 64 % SEEN_WORDS, 1 << (hash % 64));
        if self.seen[word].load(Ordering::Relaxed) & bit != 0 {
            return;
        }
        self.seen[word].fetch_or(bit, Ordering::Relaxed);
        let mut scopes = Vec::new();
        target.each(&[], |scope| scopes.push(scope));
        let kept = Kept { site: super::scope::site_hash(target.site), scopes: scopes.into() };
        let known: Vec<_> = {
            let mut all = self.kept.lock();
            all.insert((hash, *key), kept);
            if all.len() < 2 * SAMPLE_MIN {
                return;
            }
            all.keys().copied().collect()
        };
        // Not under our lock: who counts holds the directory's and asks for ours.
        let gone: Vec<_> = known.iter().filter(|(_, key)| !is_stored(key)).collect();
        let mut all = self.kept.lock();
        for key in gone {
            all.remove(key);
        }
        self.cut(&mut all);
    }

    /// Leaves the lowest hashes; when few are left, any is wanted again.
    fn cut(&self, all: &mut BTreeMap<(u64, CacheKey), Kept>) {
        while all.len() > SAMPLE_MIN {
            let (last, _) = all.pop_last().expect("it is longer than nothing");
            self.below.store(last.0, Ordering::Relaxed);
        }
        if all.len() < SAMPLE_MIN / 2 {
            self.below.store(u64::MAX, Ordering::Relaxed);
            self.seen.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
    }

    /// Begins to count what `scopes` select; every stored response is to be shown to it.
    pub fn count<'a>(&'a self, scopes: &'a [ScopeHash], wanted: Wanted) -> Count<'a> {
        Count { sample: self, scopes, wanted, sure: (0, 0), likely: (0, 0), judged: 0, others: 0 }
    }
}

/// What kind of scopes are counted: decides which responses can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All responses.
    Everything,
    /// Tags of all sites: records know them.
    Tags,
    /// What needs the URL or the site of a response.
    Target,
}

/// A count under way.
#[derive(Debug)]
pub struct Count<'a> {
    sample: &'a Sample,
    scopes: &'a [ScopeHash],
    wanted: Wanted,
    sure: (u64, u64),
    likely: (u64, u64),
    judged: u64,
    others: u64,
}

impl Count<'_> {
    /// Judges one stored response.
    pub fn see(&mut self, key: &CacheKey, tags: &[u64], tags_overflow: bool, bytes: u64) {
        let is_selected = match self.wanted {
            Wanted::Everything => true,
            Wanted::Tags => {
                tags_overflow
                    || tags.iter().any(|tag| self.scopes.contains(&ScopeHash::of_tag(*tag)))
            }
            Wanted::Target => {
                let kept = self.sample.kept.lock();
                let Some(kept) = kept.get(&(key.hash64(), *key)) else {
                    self.others += 1;
                    return;
                };
                self.judged += 1;
                let by_tag =
                    |tag: &u64| self.scopes.contains(&ScopeHash::of_tag_at(*tag, kept.site));
                if kept.scopes.iter().any(|scope| self.scopes.contains(scope))
                    || tags.iter().any(by_tag)
                {
                    self.likely.0 += 1;
                    self.likely.1 += bytes;
                }
                return;
            }
        };
        if is_selected {
            self.sure.0 += 1;
            self.sure.1 += bytes;
        }
    }

    /// What it came to.
    pub fn done(self) -> Selection {
        let extend = |number: u64| {
            let all = u128::from(self.judged + self.others);
            let extended = u128::from(number) * all / u128::from(self.judged.max(1));
            u64::try_from(extended).unwrap_or(u64::MAX)
        };
        Selection {
            responses: self.sure.0 + extend(self.likely.0),
            bytes: self.sure.1 + extend(self.likely.1),
            is_exact: self.others == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::*;
    use crate::key::KeyParts;

    fn key(path: &str) -> CacheKey {
        CacheKey::of(&KeyParts { site: "s", scheme: "http", host: "h", path, query: None })
    }

    fn noted(count: usize) -> (Sample, Vec<CacheKey>) {
        let sample = Sample::default();
        let keys = (0..count).map(|n| {
            let path = format!("/{}/{n}", if n % 4 == 0 { "in" } else { "out" });
            let key = key(&path);
            let target = TargetScopes { site: "s", host: "h", path: &path, query: None };
            sample.note(&key, &target, |_| true);
            key
        });
        let keys = keys.collect();
        (sample, keys)
    }

    fn select(sample: &Sample, keys: &[CacheKey], scope: &Scope<'_>) -> Selection {
        let scopes = [ScopeHash::of(scope, None)];
        let mut count = sample.count(&scopes, Wanted::Target);
        for key in keys {
            count.see(key, &[], false, 10);
        }
        count.done()
    }

    #[test]
    fn few_responses_are_counted_exactly() {
        // Two keys in a thousand share a bit of `seen` and are not noted: few enough keys here.
        let (sample, keys) = noted(40);
        let all = select(&sample, &keys, &Scope::Host("h"));
        assert_eq!(all, Selection { responses: 40, bytes: 400, is_exact: true });
        let some = select(&sample, &keys, &Scope::Prefix("h", "/in"));
        assert_eq!((some.responses, some.bytes), (10, 100));
    }

    #[test]
    fn many_are_estimated_from_a_bounded_sample() {
        let (sample, keys) = noted(100_000);
        let kept = sample.kept.lock().len();
        assert!((SAMPLE_MIN / 2..2 * SAMPLE_MIN).contains(&kept), "{kept}");
        let some = select(&sample, &keys, &Scope::Prefix("h", "/in"));
        assert!(!some.is_exact);
        // A quarter, give or take four standard deviations.
        assert!((20_000..30_000).contains(&some.responses), "{some:?}");
        assert_eq!(select(&sample, &keys, &Scope::Host("other")).responses, 0);
    }

    #[test]
    fn what_is_not_stored_any_more_makes_room() {
        let sample = Sample::default();
        for n in 0..10 * SAMPLE_MIN {
            let path = format!("/{n}");
            let target = TargetScopes { site: "s", host: "h", path: &path, query: None };
            sample.note(&key(&path), &target, |_| false);
        }
        assert!(sample.kept.lock().len() < 2 * SAMPLE_MIN);
        assert_eq!(sample.below.load(Ordering::Relaxed), u64::MAX, "any key is wanted again");
    }
}
