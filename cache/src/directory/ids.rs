//! Object ids: never reused, and each says in which shard its record is.
//!
//! `boot epoch << 40 | counter << 6 | shard`. The shard bits let an object id (all that the
//! store knows when it evicts a head) find its record without a second map over all objects;
//! they cost nothing. The counter has 34 bits: 20 days at ten thousand fills a second. It then
//! runs over into the epoch, which is why a boot claims two epochs and the journal claims
//! further ones long before they are reached.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::CacheKey;

/// Shards of the directory.
pub(super) const SHARDS: usize = 64;

const SHARD_BITS: u32 = SHARDS.trailing_zeros();
const EPOCH_SHIFT: u32 = 40;

/// Epochs below this are used; the top bit of an id stays free for the store's own values.
pub(super) const EPOCHS_MAX: u64 = 1 << 23;

/// The counter of ids.
#[derive(Debug)]
pub(super) struct ObjectIds(AtomicU64);

impl ObjectIds {
    /// Ids of an epoch that no other process has used or will use.
    pub(super) const fn new(epoch: u64) -> Self {
        // Id 0 is never given out.
        Self(AtomicU64::new((epoch << EPOCH_SHIFT) + (1 << SHARD_BITS)))
    }

    /// The next id, for a record in `shard`.
    pub(super) fn next(&self, shard: usize) -> u64 {
        self.0.fetch_add(1 << SHARD_BITS, Ordering::Relaxed) | shard as u64
    }

    /// The epoch of the next id.
    pub(super) fn epoch(&self) -> u64 {
        epoch_of(self.0.load(Ordering::Relaxed))
    }
}

/// The epoch in which an id was made.
pub(super) const fn epoch_of(object: u64) -> u64 {
    object >> EPOCH_SHIFT
}

/// The shard that an id names.
pub(super) const fn shard_hint(object: u64) -> usize {
    object as usize % SHARDS
}

/// The shard of a key: bits that the tables inside a shard use neither as tag nor as bucket.
pub(super) fn shard_of(key: &CacheKey) -> usize {
    (key.hash64() >> 48) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_name_their_shard_and_epoch() {
        let ids = ObjectIds::new(5);
        let (first, second) = (ids.next(63), ids.next(63));
        assert_ne!(first, second);
        assert_eq!((shard_hint(first), epoch_of(first)), (63, 5));
        assert!(ObjectIds::new(6).next(0) > ids.next(63));
    }
}
