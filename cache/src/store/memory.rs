//! The memory tier: S3-FIFO by bytes, filled only by us.
//!
//! One instance keeps heads (with inline bodies), another keeps chunks, so that a scan over
//! large bodies never pushes heads out. A value heavier than an eighth of a shard is not kept
//! at all: it would push out everything else in its shard.
//!
//! Knows nothing of disks. Whoever wants to know that a head left memory gives a callback.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use foyer::{Cache, CacheBuilder, Event, EventListener, S3FifoConfig};

use super::slot::{Mix, Slot};
use super::{Part, StoreKey, TierStats};
use crate::budget::{Budget, Class};

/// RAM that the engine keeps for one entry besides the value, in bytes: record, index, queue and
/// ghost entry (measured at 178 for a 32-byte key, plus the ghost's hash and the `Bytes` header).
pub const ENTRY_BYTES: usize = 224;

/// A shard holds at least this many bytes, so that small memories have few shards.
const SHARD_BYTES_MIN: usize = 2 << 20;

/// More shards than this gain nothing on the machines we run on.
const SHARDS_MAX: usize = 32;

/// A value may weigh this part of a shard.
const SHARD_PART: usize = 8;

/// Heaviest value kept among the heads, in bytes: an inline body and a head as long.
const HEAD_BYTES_MAX: usize = 2 * super::INLINE_BYTES_MAX + ENTRY_BYTES;

/// Called with the object id of a head that left memory by eviction (or was too heavy to enter).
pub type OnEvicted = Arc<dyn Fn(u64) + Send + Sync>;

/// Values of one class in memory.
pub struct MemoryTier {
    cache: Cache<Slot, Bytes, Mix>,
    counts: Arc<Counts>,
    budget: Budget,
    class: Class,
    weight_max: usize,
}

/// What the listener moves.
struct Counts {
    bytes: AtomicUsize,
    evictions: AtomicU64,
    on_evicted: Option<OnEvicted>,
}

impl MemoryTier {
    /// A tier of the size that `budget` gives to `class` ([`Class::Heads`] or [`Class::Bodies`]).
    pub fn new(class: Class, budget: &Budget, on_evicted: Option<OnEvicted>) -> Self {
        let bytes_max = budget.limit_bytes(class);
        // What it is never denied decides what it can take at all.
        let (heads_bytes, bodies_bytes) = budget.shares().guaranteed();
        let (least_bytes, heaviest) = match class {
            Class::Heads => (heads_bytes, HEAD_BYTES_MAX),
            _ => (bodies_bytes, usize::MAX),
        };
        let shards = (least_bytes / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        let weight_max = heaviest.min(least_bytes / shards / SHARD_PART);
        let counts = Arc::new(Counts {
            bytes: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
            on_evicted,
        });
        let cache = CacheBuilder::new(bytes_max.max(1))
            .with_name(class.name())
            .with_shards(shards)
            .with_eviction_config(S3FifoConfig::default())
            .with_hash_builder(Mix)
            .with_weighter(|_, value: &Bytes| weight(value))
            .with_event_listener(Arc::new(Listener(counts.clone())))
            .build();
        Self { cache, counts, budget: budget.clone(), class, weight_max }
    }

    /// The value, if it is here.
    pub fn get(&self, key: StoreKey) -> Option<Bytes> {
        self.cache.get(&Slot::from(key)).map(|entry| entry.value().clone())
    }

    /// Whether the value is here; does not count as a use.
    pub fn contains(&self, key: StoreKey) -> bool {
        self.cache.contains(&Slot::from(key))
    }

    /// Keeps a value; returns whether it was light enough.
    pub fn put(&self, key: StoreKey, value: Bytes) -> bool {
        let weight = weight(&value);
        if weight > self.weight_max {
            if key.part == Part::Head {
                self.counts.evicted(key.object);
            }
            return false;
        }
        self.counts.bytes.fetch_add(weight, Ordering::Relaxed);
        drop(self.cache.insert(Slot::from(key), value));
        self.report();
        true
    }

    /// Frees the value.
    pub fn forget(&self, key: StoreKey) {
        if self.cache.remove(&Slot::from(key)).is_some() {
            self.report();
        }
    }

    /// Bytes held.
    pub fn used_bytes(&self) -> usize {
        self.counts.bytes.load(Ordering::Relaxed)
    }

    /// Makes it hold at most `bytes`; what is over is evicted. Takes a while: not for a data thread.
    pub fn resize(&self, bytes: usize) {
        if let Err(error) = self.cache.resize(bytes.max(1)) {
            tracing::warn!(class = self.class.name(), %error, "memory tier keeps its size");
            return;
        }
        self.budget.set_limit(self.class, bytes);
        self.report();
    }

    /// Bytes held (values and what the engine keeps around them), values, evictions.
    pub fn stats(&self) -> TierStats {
        TierStats {
            bytes: self.counts.bytes.load(Ordering::Relaxed) as u64,
            entries: self.cache.entries() as u64,
            evictions: self.counts.evictions.load(Ordering::Relaxed),
            errors: Default::default(),
        }
    }

    fn report(&self) {
        self.budget.report(self.class, self.counts.bytes.load(Ordering::Relaxed));
    }
}

impl fmt::Debug for MemoryTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTier")
            .field("class", &self.class)
            .field("stats", &self.stats())
            .finish()
    }
}

impl Counts {
    fn evicted(&self, object: u64) {
        if let Some(callback) = &self.on_evicted {
            callback(object);
        }
    }
}

/// What a value costs, in bytes.
fn weight(value: &Bytes) -> usize {
    value.len() + ENTRY_BYTES
}

/// Hears of every value that leaves; called without a lock held.
struct Listener(Arc<Counts>);

impl EventListener for Listener {
    type Key = Slot;
    type Value = Bytes;

    fn on_leave(&self, reason: Event, key: &Slot, value: &Bytes) {
        self.0.bytes.fetch_sub(weight(value), Ordering::Relaxed);
        if reason == Event::Evict {
            self.0.evictions.fetch_add(1, Ordering::Relaxed);
            if let Some(object) = key.head() {
                self.0.evicted(object);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    fn head(object: u64) -> StoreKey {
        StoreKey { object, part: Part::Head }
    }

    fn tier(memory_bytes: usize, evicted: &Arc<Mutex<Vec<u64>>>) -> (MemoryTier, Budget) {
        let budget = Budget::new(memory_bytes);
        let evicted = evicted.clone();
        let tell: OnEvicted = Arc::new(move |object| evicted.lock().push(object));
        (MemoryTier::new(Class::Heads, &budget, Some(tell)), budget)
    }

    #[test]
    fn a_full_tier_stays_within_its_share_and_names_the_heads_that_left() {
        let evicted = Arc::default();
        let (tier, budget) = tier(4 << 20, &evicted);
        for object in 0..2_000 {
            assert!(tier.put(head(object), Bytes::from(vec![0; 4_000])));
        }
        let stats = tier.stats();
        assert!(stats.bytes as usize <= budget.limit_bytes(Class::Heads));
        assert_eq!(stats.bytes, stats.entries * (4_000 + ENTRY_BYTES as u64));
        assert_eq!(budget.used_bytes(Class::Heads) as u64, stats.bytes);
        let evicted = evicted.lock();
        assert_eq!(stats.evictions as usize, evicted.len());
        assert_eq!(evicted.len() as u64 + stats.entries, 2_000);
        assert!(evicted.iter().all(|object| tier.get(head(*object)).is_none()));
    }

    #[test]
    fn a_value_that_is_too_heavy_does_not_enter_and_is_told_at_once() {
        let evicted = Arc::default();
        let (tier, _) = tier(64 << 20, &evicted);
        assert!(!tier.put(head(1), Bytes::from(vec![0; HEAD_BYTES_MAX])));
        assert_eq!(*evicted.lock(), [1]);
        assert_eq!(tier.stats().bytes, 0);
    }

    #[test]
    fn a_forgotten_value_is_gone_and_is_not_an_eviction() {
        let evicted = Arc::default();
        let (tier, budget) = tier(1 << 20, &evicted);
        tier.put(head(1), Bytes::from_static(b"v"));
        tier.forget(head(1));
        assert!(!tier.contains(head(1)));
        assert_eq!(budget.used_bytes(Class::Heads), 0);
        assert!(evicted.lock().is_empty());
    }
}
