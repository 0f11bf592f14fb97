//! What is remembered of fills that came to nothing: hit-for-miss.
//!
//! A URL whose response was not storable must not serialise its next requests behind one
//! another. Its key is remembered for a while, and requests for it go to the origin at once.
//! It holds no bytes and makes no promise; a purge of the URL forgets it.
//!
//! A fixed table of slots indexed by key: two keys that share a slot overwrite each other, which
//! costs a wait, never an answer.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::invalidate::Position;
use crate::{CacheKey, Millis};

const SLOTS: usize = 32_768;

/// How long a key stays uncacheable without being asked again, in milliseconds.
pub const REMEMBER_MS: u64 = 10_000;

/// The same after an error of the origin, in milliseconds: it may be over in a moment, and what it
/// answers then should be stored.
pub const REMEMBER_ERROR_MS: u64 = 1_000;

/// Keys whose last response was not storable.
#[derive(Debug)]
pub struct HitForMiss {
    slots: Box<[Slot]>,
}

#[derive(Debug, Default)]
struct Slot {
    tag: AtomicU64,
    until: AtomicU64,
    position: AtomicU64,
}

impl Default for HitForMiss {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| Slot::default()).collect() }
    }
}

impl HitForMiss {
    /// Remembers until then that a response for `key`, fetched under `position`, was not storable.
    pub fn remember(&self, key: &CacheKey, position: Position, until: Millis) {
        let (slot, tag) = self.slot(key);
        slot.until.store(0, Ordering::Release);
        slot.tag.store(tag, Ordering::Release);
        slot.position.store(position.0, Ordering::Release);
        slot.until.store(until.0, Ordering::Release);
    }

    /// The position under which `key` turned out uncacheable, if that is still remembered. The
    /// caller forgets it when a later purge selects the URL.
    pub fn recall(&self, key: &CacheKey, now: Millis) -> Option<Position> {
        let (slot, tag) = self.slot(key);
        (slot.until.load(Ordering::Acquire) > now.0 && slot.tag.load(Ordering::Acquire) == tag)
            .then(|| Position(slot.position.load(Ordering::Acquire)))
    }

    /// A response for `key` was storable after all.
    pub fn forget(&self, key: &CacheKey) {
        let (slot, tag) = self.slot(key);
        if slot.tag.load(Ordering::Acquire) == tag {
            slot.until.store(0, Ordering::Release);
        }
    }

    fn slot(&self, key: &CacheKey) -> (&Slot, u64) {
        let tag = u64::from_le_bytes(key.0[8..16].try_into().expect("a key has 32 bytes"));
        (&self.slots[key.hash64() as usize % SLOTS], tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_for_a_while_and_can_be_forgotten() {
        let memory = HitForMiss::default();
        let (key, other) = (CacheKey([1; 32]), CacheKey([2; 32]));
        memory.remember(&key, Position(4), Millis(1 + REMEMBER_MS));
        assert_eq!(memory.recall(&key, Millis(2)), Some(Position(4)));
        assert_eq!(memory.recall(&other, Millis(2)), None);
        assert_eq!(memory.recall(&key, Millis(1 + REMEMBER_MS)), None);
        memory.remember(&key, Position(4), Millis(1 + REMEMBER_MS));
        memory.forget(&key);
        assert_eq!(memory.recall(&key, Millis(2)), None);
    }
}
