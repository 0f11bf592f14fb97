//! The two memory tiers in the room that they share.
//!
//! Who may hold how much is decided by [`Shares`](crate::budget::share::Shares) from what both hold;
//! here it is noticed that one has moved, and both are resized: first the one that shrinks. The
//! engine locks and evicts shard by shard, so that happens on a thread of its own, one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;

use super::memory::{MemoryTier, OnEvicted};
use super::{Part, StoreKey, TierStats};
use crate::budget::{Budget, Class};

/// Heads and bodies in memory.
#[derive(Debug)]
pub(super) struct Room {
    heads: MemoryTier,
    bodies: MemoryTier,
    budget: Budget,
    /// What heads and bodies held when the limits were set.
    then: (AtomicUsize, AtomicUsize),
    dividing: AtomicBool,
}

impl Room {
    pub(super) fn new(budget: &Budget, on_evicted: Option<OnEvicted>) -> Arc<Self> {
        Arc::new(Self {
            heads: MemoryTier::new(Class::Heads, budget, on_evicted),
            bodies: MemoryTier::new(Class::Bodies, budget, None),
            budget: budget.clone(),
            then: Default::default(),
            dividing: AtomicBool::new(false),
        })
    }

    /// The tier of a value.
    pub(super) const fn tier(&self, key: StoreKey) -> &MemoryTier {
        match key.part {
            Part::Head => &self.heads,
            Part::Chunk(_) => &self.bodies,
        }
    }

    /// Keeps a value.
    pub(super) fn put(self: &Arc<Self>, key: StoreKey, value: Bytes) {
        self.tier(key).put(key, value);
        if self.has_moved() && !self.dividing.swap(true, Ordering::AcqRel) {
            let room = Arc::clone(self);
            let spawned = std::thread::Builder::new().name("memory".into()).spawn(move || {
                room.divide();
                room.dividing.store(false, Ordering::Release);
            });
            if let Err(error) = spawned {
                tracing::warn!(%error, "the memory tiers keep their sizes");
                self.dividing.store(false, Ordering::Release);
            }
        }
    }

    /// Both together.
    pub(super) fn stats(&self) -> TierStats {
        self.heads.stats().and(self.bodies.stats())
    }

    fn has_moved(&self) -> bool {
        let shares = self.budget.shares();
        shares.moved(self.then.0.load(Ordering::Relaxed), self.heads.used_bytes())
            || shares.moved(self.then.1.load(Ordering::Relaxed), self.bodies.used_bytes())
    }

    fn divide(&self) {
        let (heads, bodies) = (self.heads.used_bytes(), self.bodies.used_bytes());
        let (heads_max, bodies_max) = self.budget.shares().limits(heads, bodies);
        let mut turns = [(&self.heads, heads, heads_max), (&self.bodies, bodies, bodies_max)];
        // Who holds more than it may goes first.
        turns.sort_by_key(|(_, used, max)| used <= max);
        for (tier, _, max) in turns {
            tier.resize(max);
        }
        self.then.0.store(self.heads.used_bytes(), Ordering::Relaxed);
        self.then.1.store(self.bodies.used_bytes(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(room: &Arc<Room>, part: impl Fn(u32) -> Part, bytes: usize) {
        for number in 0..(bytes >> 14) as u32 {
            let key = StoreKey { object: u64::from(number) + 1, part: part(number) };
            room.put(key, Bytes::from(vec![0; 1 << 14]));
            while room.dividing.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn room_that_heads_do_not_use_is_for_bodies_until_heads_need_it() {
        const MIB: usize = 1 << 20;
        let budget = Budget::new(32 * MIB);
        let room = Room::new(&budget, None);
        fill(&room, Part::Chunk, 30 * MIB);
        let alone = room.bodies.used_bytes();
        assert!(alone > 15 * MIB, "bodies alone hold {alone} of 18 MiB");
        fill(&room, |_| Part::Head, 30 * MIB);
        let (heads, bodies) = (room.heads.used_bytes(), room.bodies.used_bytes());
        assert!(heads > 11 * MIB, "heads hold {heads} of their 12 MiB");
        assert!(heads + bodies <= 18 * MIB, "{heads} + {bodies}");
        assert_eq!(budget.used_bytes(Class::Bodies), bodies);
    }
}
