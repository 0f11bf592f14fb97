//! One goes to the origin, the others wait: the table of fills in flight.
//!
//! A fill is listed from the moment its permit is given until its response is in the directory
//! (or came to nothing). A request may join a fill only if the caller's check admits it: the
//! response, as far as it is known, fits the request's selecting fields, and no purge that the
//! request must honour came after the fetch was sent.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::progress::{Fill, FillHead, Seated, Waiter};
use crate::CacheKey;
use crate::invalidate::{Position, Watermark};
use crate::range::RangeSpec;

const SHARDS: usize = 64;

/// Fills in flight for one cache key (its variants, and refetches after purges). Beyond, a request
/// goes to the origin alone.
pub const FILLS_PER_KEY_MAX: usize = 64;

/// Requests that wait behind or read from one fill; beyond, a request goes alone.
pub const READERS_PER_FILL_MAX: usize = 100_000;

/// What a fill is for, as far as it is known before the head arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FillKey {
    /// The cache key.
    pub key: CacheKey,
    /// Hash of the selecting fields under the `Vary` last seen for this key; 0 if none was seen.
    pub selected: u64,
    /// The bytes that the origin is asked for; `None`: all.
    pub asked: Option<RangeSpec>,
}

/// What a request may know of a fill before it joins.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// What the fill was started for.
    pub key: &'a FillKey,
    /// Set once the fetch was sent.
    pub sent: Option<Watermark>,
    /// Set once the head arrived.
    pub head: Option<&'a FillHead>,
    /// Number of the first body chunk that is still in its window.
    pub starts_at: u32,
}

/// A fill in flight, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InFlight {
    /// The request that asks could join it.
    pub admits: bool,
    /// The fetch was sent, under this watermark.
    pub sent: Option<Watermark>,
    /// Status of the response, once its head arrived.
    pub status: Option<http::StatusCode>,
    /// Length that the origin declared, in bytes.
    pub length: Option<u64>,
    /// Bytes of the body that arrived.
    pub received_bytes: u64,
    /// Requests that wait for it or read from it.
    pub readers: usize,
}

/// The right to fetch, or a place in the queue.
#[derive(Debug)]
pub enum Join {
    /// This request's fetch fills the cache.
    Lead(Arc<Fill>, Waiter),
    /// Another request's fetch is under way.
    Follow(Waiter),
    /// A bound was reached: go to the origin without the cache.
    Alone,
}

type Shard = Mutex<HashMap<CacheKey, SmallVec<[Arc<Fill>; 1]>, foldhash::fast::RandomState>>;

/// Fills in flight. Shared by all cores.
#[derive(Debug)]
pub struct Fills {
    shards: [Shard; SHARDS],
    in_flight: AtomicUsize,
}

impl Default for Fills {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Shard::default()), in_flight: AtomicUsize::new(0) }
    }
}

impl Fills {
    /// How many fills are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The lowest position under which a fetch in flight was sent; those that were not sent yet
    /// do not count.
    pub fn oldest_sent(&self) -> Option<Position> {
        let of_shard = |shard: &Shard| {
            let shard = shard.lock();
            shard.values().flatten().filter_map(|fill| fill.sent_under()).min()
        };
        self.shards.iter().filter_map(of_shard).min()
    }

    /// Joins a fill that `admits`, or starts one.
    pub fn join(&self, key: FillKey, admits: impl Fn(&Candidate<'_>) -> bool) -> Join {
        let mut shard = self.shard(&key.key).lock();
        let listed = shard.entry(key.key).or_default();
        for fill in listed.iter() {
            match fill.join_if(&admits, READERS_PER_FILL_MAX) {
                Seated::Here(waiter) => return Join::Follow(waiter),
                Seated::Full => return Join::Alone,
                Seated::NotAdmitted => {}
            }
        }
        if listed.len() >= FILLS_PER_KEY_MAX {
            return Join::Alone;
        }
        let fill = Arc::new(Fill::new(key));
        let waiter = Waiter::attach(&fill);
        listed.push(Arc::clone(&fill));
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Join::Lead(fill, waiter)
    }

    /// Starts a fill unless one for the same variant is in flight: background revalidation.
    pub fn lead_quietly(
        &self,
        key: FillKey,
        admits: impl Fn(&Candidate<'_>) -> bool,
    ) -> Option<Arc<Fill>> {
        let mut shard = self.shard(&key.key).lock();
        let listed = shard.entry(key.key).or_default();
        if listed.len() >= FILLS_PER_KEY_MAX || listed.iter().any(|fill| fill.admits(&admits)) {
            return None;
        }
        let fill = Arc::new(Fill::new(key));
        listed.push(Arc::clone(&fill));
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(fill)
    }

    /// What is in flight for a key, and whether `admits` would let a request join it.
    pub fn listed(&self, key: &CacheKey, admits: impl Fn(&Candidate<'_>) -> bool) -> Vec<InFlight> {
        let shard = self.shard(key).lock();
        shard.get(key).into_iter().flatten().map(|fill| fill.in_flight(&admits)).collect()
    }

    /// Takes a fill off the list: later requests do not find it.
    pub(super) fn remove(&self, fill: &Arc<Fill>) {
        let key = fill.key().key;
        let mut shard = self.shard(&key).lock();
        let Some(listed) = shard.get_mut(&key) else { return };
        let before = listed.len();
        listed.retain(|other| !Arc::ptr_eq(other, fill));
        if listed.len() < before {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        if listed.is_empty() {
            shard.remove(&key);
        }
    }

    fn shard(&self, key: &CacheKey) -> &Shard {
        &self.shards[key.hash64() as usize % SHARDS]
    }
}
