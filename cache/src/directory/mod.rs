//! The directory: cache key → what is stored under it and where; the authority.
//!
//! RAM, in 64 shards by hash, each behind its own lock. No lock is held across an await, and no
//! two at once: every call takes one shard, works in memory and lets it go. A [`Record`] is
//! small because there are many; heads and bodies are in the store under immutable ids.
//!
//! Each change is told to the [`journal`] (if there is one) while the shard is locked, so that
//! the changes of one record are written in the order in which they happened.
//!
//! Knows nothing of HTTP, of freshness or of purges: who publishes or sweeps brings the
//! judgement. Never frees bytes in the store: it returns the records that nobody can reach any
//! more, and the caller forgets what they name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;

use crate::CacheKey;
use crate::budget::{Budget, Class};
use crate::invalidate::Position;

pub(crate) mod files;
pub mod journal;
pub mod record;
pub mod shard;

mod codec;
mod ids;
mod recover;
mod slab;

pub use journal::{JournalTroubles, Journalled, Persistence};
pub use record::{Record, Varied};
pub use recover::{Recovered, recover};
pub use shard::{RECORD_BYTES, VARIANTS_MAX};

use ids::{ObjectIds, SHARDS};
use shard::{Change, Shard};

/// Slots looked at while a shard is locked for a sweep or a snapshot.
const WALK_SLOTS: u32 = 128;

/// Records that are no longer reachable: forget what they name (but see [`Published`]).
pub type Freed = SmallVec<[Record; 1]>;

/// What became of a published record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is a new variant.
    Added,
    /// It took the place of the variant with the same selecting fields.
    Replaced,
    /// It is a new variant, and the oldest of its key had to go ([`VARIANTS_MAX`]).
    Crowded,
    /// The stored variant was fetched later: the new record was not taken.
    Refused,
}

/// Answer of [`Directory::publish`].
#[derive(Debug)]
pub struct Published {
    /// What became of the record.
    pub outcome: Outcome,
    /// What is no longer reachable: the replaced variant, evicted records, or the refused record
    /// itself. A replaced variant may share its body id with the new record.
    pub freed: Freed,
}

/// What a sweep does with a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Swept {
    /// Nothing; a change that was made to it is kept, but not journalled (a new `checked` stamp
    /// is worth nothing after a restart).
    Keep,
    /// The record was changed: journal it.
    Amended,
    /// Take it out.
    Drop,
}

/// Answer of [`Directory::sweep`].
#[derive(Debug, Default)]
pub struct Sweep {
    /// Records that were taken out.
    pub dropped: Vec<Record>,
    /// Records that were looked at.
    pub seen: usize,
    /// The sweep came to the end of the last shard; the next one begins anew.
    pub round_done: bool,
}

/// Step of an export.
enum Export<'a> {
    /// A record; its shard is locked.
    Record(&'a Record),
    /// No lock is held: time to write.
    Unlocked,
}

/// The directory. Shared by all cores.
#[derive(Debug)]
pub struct Directory {
    shards: Box<[RwLock<Shard>]>,
    ids: Arc<ObjectIds>,
    budget: Budget,
    len: AtomicUsize,
    bytes: AtomicUsize,
    evictions: AtomicU64,
    /// Where the sweep goes on: shard and slot.
    cursor: Mutex<(usize, u32)>,
    journal: Option<journal::Feed>,
}

impl Directory {
    /// An empty directory that lives in memory only, and whose ids nobody else keeps.
    pub fn in_memory(budget: &Budget) -> Arc<Self> {
        Arc::new(Self::new(budget, Arc::new(ObjectIds::new(1)), None))
    }

    /// The directory of a cache directory (which must be locked by [`crate::store::Tiered`]),
    /// with what it knew before. Blocks while it reads. An error means that no ids could be
    /// claimed: the disk tier must not be used either.
    pub fn open(budget: &Budget, persistence: Persistence) -> std::io::Result<Journalled> {
        journal::open(budget, persistence)
    }

    fn new(budget: &Budget, ids: Arc<ObjectIds>, journal: Option<journal::Feed>) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::new(Shard::new())).collect(),
            ids,
            budget: budget.clone(),
            len: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
            cursor: Mutex::new((0, 0)),
            journal,
        }
    }

    /// A new object id for a head or body that belongs to `key`.
    pub fn allocate(&self, key: &CacheKey) -> u64 {
        self.ids.next(ids::shard_of(key))
    }

    /// The first variant, newest first, that `fits`; cloned, and marked as used.
    pub fn find(&self, key: &CacheKey, mut fits: impl FnMut(&Record) -> bool) -> Option<Record> {
        self.find_map(key, |record| fits(record).then(|| record.clone()))
    }

    /// The first answer that `look` gives to a variant, newest first; that variant is marked as
    /// used. For callers that need less than a clone. `look` must not call the directory.
    pub fn find_map<R>(
        &self,
        key: &CacheKey,
        mut look: impl FnMut(&Record) -> Option<R>,
    ) -> Option<R> {
        let shard = self.shard(key).read();
        let (slot, answer) =
            shard.variants(key).find_map(|(slot, record)| Some((slot, look(record)?)))?;
        shard.touch(slot);
        Some(answer)
    }

    /// Every variant of a key, newest first.
    pub fn variants(&self, key: &CacheKey) -> SmallVec<[Record; 1]> {
        self.shard(key).read().variants(key).map(|(_, record)| record.clone()).collect()
    }

    /// Makes a record reachable. The variant with the same selecting fields is replaced unless
    /// it was fetched later (its `sent` is higher; among equals: its `local`, then when it was
    /// received) and `purged` does not say that it is no good any more.
    pub fn publish(&self, record: Record, purged: impl FnOnce(&Record) -> bool) -> Published {
        self.change(ids::shard_of(&record.key), |shard, limit_bytes| {
            let mut freed = Freed::new();
            let outcome =
                shard.publish(record, limit_bytes, purged, &mut freed, |change| self.note(change));
            let expected = usize::from(outcome != Outcome::Added);
            let evicted = freed.len().saturating_sub(expected) as u64;
            self.evictions.fetch_add(evicted, Ordering::Relaxed);
            Published { outcome, freed }
        })
    }

    /// Changes the record of `key` with this head, and journals it; `None` if there is none. The
    /// change may give it another head (from [`Directory::allocate`]), which makes it the newest of
    /// its key; never another key.
    pub fn amend<R>(
        &self,
        key: &CacheKey,
        head: u64,
        change: impl FnOnce(&mut Record) -> R,
    ) -> Option<R> {
        self.change(ids::shard_of(key), |shard, _| {
            let slot = shard.slot_of(head).filter(|slot| shard.record(*slot).key == *key)?;
            Some(shard.amend(slot, change, |change| self.note(change)))
        })
    }

    /// Takes the record of `key` with this head out.
    pub fn forget(&self, key: &CacheKey, head: u64) -> Option<Record> {
        self.take_out(ids::shard_of(key), head, |record| record.key == *key)
    }

    /// Takes the record with this head out, whatever its key: for the store, when the last copy
    /// of a head is evicted.
    pub fn forget_object(&self, head: u64) -> Option<Record> {
        let hint = ids::shard_hint(head);
        self.take_out(hint, head, |_| true).or_else(|| {
            // Only an id that was not made by `allocate` is elsewhere.
            let others = (0..SHARDS).filter(|shard| *shard != hint);
            let shard =
                others.into_iter().find(|shard| self.shards[*shard].read().slot_of(head).is_some());
            self.take_out(shard?, head, |_| true)
        })
    }

    /// Looks at about `steps` slots from where the last sweep ended. `judge` must not call the
    /// directory. A shard is locked for at most 128 slots at a time.
    pub fn sweep(&self, steps: usize, mut judge: impl FnMut(&mut Record) -> Swept) -> Sweep {
        let mut cursor = self.cursor.lock();
        let mut sweep = Sweep::default();
        let mut left = u32::try_from(steps).unwrap_or(u32::MAX);
        while left > 0 && !sweep.round_done {
            let (shard, start) = *cursor;
            let hold = left.min(WALK_SLOTS);
            left -= hold;
            let go_on = self.change(shard, |shard, _| {
                let (occupied, go_on) = shard.walk(start, hold);
                let occupied: SmallVec<[u32; WALK_SLOTS as usize]> = occupied.collect();
                for slot in occupied {
                    sweep.seen += 1;
                    self.sweep_one(shard, slot, &mut judge, &mut sweep.dropped);
                }
                go_on
            });
            *cursor = match go_on {
                Some(slot) => (shard, slot),
                None if shard + 1 < SHARDS => (shard + 1, 0),
                None => {
                    sweep.round_done = true;
                    (0, 0)
                }
            };
        }
        sweep
    }

    fn sweep_one(
        &self,
        shard: &mut Shard,
        slot: u32,
        judge: &mut impl FnMut(&mut Record) -> Swept,
        dropped: &mut Vec<Record>,
    ) {
        match shard.restamp(slot, judge) {
            Swept::Keep => {}
            Swept::Amended => self.note(Change::Put(shard.record(slot))),
            Swept::Drop => {
                let record = shard.remove(slot);
                self.note(Change::Gone(record.head));
                dropped.push(record);
            }
        }
    }

    /// Stamps a record as compared with the ledger up to `position`. Not journalled: the stamp is
    /// worth nothing after a restart.
    pub fn stamp(&self, key: &CacheKey, head: u64, position: Position) {
        self.change(ids::shard_of(key), |shard, _| {
            if let Some(slot) = shard.slot_of(head).filter(|slot| shard.record(*slot).key == *key) {
                shard.restamp(slot, |record| {
                    record.checked = record.checked.max(position);
                    Swept::Keep
                });
            }
        });
    }

    /// Shows every record to `see`, a few per lock; changes under way may or may not be seen.
    pub fn each(&self, mut see: impl FnMut(&Record)) {
        self.export(|shown| {
            if let Export::Record(record) = shown {
                see(record);
            }
        });
    }

    /// Records held.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// RAM held, in bytes: slots, tables, tags and `Vary`.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Records that had to go because [`Class::Directory`] was full.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// Trouble of the journal; `None` without one.
    pub fn journal_troubles(&self) -> Option<JournalTroubles> {
        self.journal.as_ref().map(journal::Feed::troubles)
    }

    /// Journals whatever is still on its way and ends the journal. Blocks; for a clean stop.
    pub fn close(&self) {
        if let Some(journal) = &self.journal {
            journal.close();
        }
    }

    /// Shows every record, a few per lock; changes under way may or may not be seen.
    fn export(&self, mut show: impl FnMut(Export<'_>)) {
        for shard in &self.shards {
            let mut start = Some(0);
            while let Some(from) = start {
                let shard = shard.read();
                let (occupied, go_on) = shard.walk(from, WALK_SLOTS);
                occupied.for_each(|slot| show(Export::Record(shard.record(slot))));
                start = go_on;
                drop(shard);
                show(Export::Unlocked);
            }
        }
    }

    fn take_out(
        &self,
        shard: usize,
        head: u64,
        is_it: impl FnOnce(&Record) -> bool,
    ) -> Option<Record> {
        self.change(shard, |shard, _| {
            let slot = shard.slot_of(head)?;
            if !is_it(shard.record(slot)) {
                return None;
            }
            let record = shard.remove(slot);
            self.note(Change::Gone(head));
            Some(record)
        })
    }

    /// Works on a locked shard and keeps the sums.
    fn change<R>(&self, shard: usize, work: impl FnOnce(&mut Shard, usize) -> R) -> R {
        let limit_bytes = self.budget.limit_bytes(Class::Directory) / SHARDS;
        let mut shard = self.shards[shard].write();
        let (len, bytes) = (shard.len, shard.bytes);
        let result = work(&mut shard, limit_bytes);
        // Wrapping additions of differences: the sums never go below what is held.
        self.len.fetch_add(shard.len.wrapping_sub(len), Ordering::Relaxed);
        let more = shard.bytes.wrapping_sub(bytes);
        let sum = self.bytes.fetch_add(more, Ordering::Relaxed).wrapping_add(more);
        drop(shard);
        self.budget.report(Class::Directory, sum);
        result
    }

    fn note(&self, change: Change<'_>) {
        if let Some(journal) = &self.journal {
            journal.note(change);
        }
    }

    fn shard(&self, key: &CacheKey) -> &RwLock<Shard> {
        &self.shards[ids::shard_of(key)]
    }
}

#[cfg(test)]
mod tests;
