//! One shard: records by key and by head id, and the clock that makes room.
//!
//! Two tables of four-byte slot numbers over one slab. The variants of a key are a chain through
//! the slab, newest first, so that a lookup that takes the first fit takes the newest. Nothing
//! is allocated per record besides its own tags and `Vary`.
//!
//! Bytes are counted, not measured: a place in the slab, its share of both tables, and what the
//! record owns. Above the limit the clock's hand goes round and takes the first record that no
//! lookup has chosen since it last passed.

use hashbrown::HashTable;

use super::slab::{ENTRY_BYTES, NONE, Slab};
use super::{Freed, Outcome, Record};
use crate::CacheKey;
use crate::range::Parts;

/// Variants kept per key; beyond, the oldest goes. A lookup looks at each of them.
pub const VARIANTS_MAX: usize = 64;

/// Share of a record in both tables: five bytes per bucket, at worst 7/16 of them in use.
const TABLES_BYTES: usize = 23;

/// Head of an allocation, in bytes.
const ALLOCATION_BYTES: usize = 16;

/// Bytes of a record without tags and `Vary`.
pub const RECORD_BYTES: usize = ENTRY_BYTES + TABLES_BYTES;

/// RAM that a record costs, in bytes.
pub fn cost_bytes(record: &Record) -> usize {
    let tags = match record.tags.len() {
        0 => 0,
        tags => ALLOCATION_BYTES + 8 * tags,
    };
    let varied = record.varied.as_ref().map_or(0, |varied| {
        let names = size_of::<http::HeaderName>() * varied.vary.0.len();
        2 * ALLOCATION_BYTES + size_of::<super::Varied>() + names
    });
    let parts = record.parts.as_ref().map_or(0, |parts| {
        let tag = parts.tag.as_ref().map_or(0, |tag| ALLOCATION_BYTES + tag.len());
        2 * ALLOCATION_BYTES + size_of::<Parts>() + tag + size_of_val(parts.pieces())
    });
    RECORD_BYTES + tags + varied + parts
}

/// What changed, in the order in which it must be replayed.
#[derive(Debug)]
pub(super) enum Change<'a> {
    /// A record appeared, or has other content.
    Put(&'a Record),
    /// The record with this head is gone.
    Gone(u64),
}

/// The records whose keys fall into one part of the hash space.
#[derive(Debug)]
pub(super) struct Shard {
    slab: Slab,
    by_key: HashTable<u32>,
    by_head: HashTable<u32>,
    hand: u32,
    pub(super) len: usize,
    pub(super) bytes: usize,
}

impl Shard {
    pub(super) const fn new() -> Self {
        Self {
            slab: Slab::new(),
            by_key: HashTable::new(),
            by_head: HashTable::new(),
            hand: 0,
            len: 0,
            bytes: 0,
        }
    }

    /// The variants of a key, newest first.
    pub(super) fn variants(&self, key: &CacheKey) -> impl Iterator<Item = (u32, &Record)> {
        let slot = self.first(key);
        std::iter::successors((slot != NONE).then_some(slot), |slot| {
            Some(self.slab.entry(*slot).next).filter(|next| *next != NONE)
        })
        .map(|slot| (slot, self.slab.record(slot)))
    }

    /// Marks a record as useful.
    pub(super) fn touch(&self, slot: u32) {
        self.slab.entry(slot).touch();
    }

    /// Adds or replaces a variant; see [`super::Directory::publish`].
    pub(super) fn publish(
        &mut self,
        record: Record,
        limit_bytes: usize,
        purged: impl FnOnce(&Record) -> bool,
        freed: &mut Freed,
        mut note: impl FnMut(Change<'_>),
    ) -> Outcome {
        let key = record.key;
        let same = self.variants(&key).find(|(_, stored)| stored.is_same_variant(&record));
        let mut outcome = Outcome::Added;
        let mut goes = NONE;
        if let Some((slot, stored)) = same {
            // Among fetches of one position the one that was answered last tells best.
            let order = |record: &Record| (record.sent, record.local, record.fresh.received);
            if order(stored) > order(&record) && !purged(stored) {
                freed.push(record);
                return Outcome::Refused;
            }
            outcome = Outcome::Replaced;
            goes = slot;
        } else if let Some((oldest, _)) = self.variants(&key).nth(VARIANTS_MAX - 1) {
            outcome = Outcome::Crowded;
            goes = oldest;
        }
        note(Change::Put(&record));
        if goes != NONE {
            let gone = self.remove(goes);
            // Replaying a record of the same head: the new one has taken its place already.
            if gone.head != record.head {
                note(Change::Gone(gone.head));
            }
            freed.push(gone);
        }
        let slot = self.insert(record);
        while self.bytes > limit_bytes && self.len > 1 {
            let gone = self.evict(slot);
            note(Change::Gone(gone.head));
            freed.push(gone);
        }
        outcome
    }

    /// Lets `change` at a record; the key stays what it was.
    pub(super) fn amend<R>(
        &mut self,
        slot: u32,
        change: impl FnOnce(&mut Record) -> R,
        mut note: impl FnMut(Change<'_>),
    ) -> R {
        let head = self.slab.record(slot).head;
        let result = self.restamp(slot, change);
        note(Change::Put(self.slab.record(slot)));
        if self.slab.record(slot).head != head {
            note(Change::Gone(head));
            self.put_first(slot);
        }
        result
    }

    /// Makes a variant the newest of its key: a response with a new head is the most recent one
    /// (RFC 9111 §4), and so it will be when the journal is replayed.
    fn put_first(&mut self, slot: u32) {
        let key = self.slab.record(slot).key;
        let first = self.first(&key);
        if first == slot {
            return;
        }
        self.unchain(slot);
        self.slab.entry_mut(slot).next = first;
        let listed = self.by_key.find_mut(key.hash64(), |listed| *listed == first);
        *listed.expect("it was found a moment ago") = slot;
    }

    /// The same, without telling anybody.
    pub(super) fn restamp<R>(&mut self, slot: u32, change: impl FnOnce(&mut Record) -> R) -> R {
        let record =
            self.slab.entry_mut(slot).record.as_mut().expect("the caller names an occupied slot");
        let (key, head, cost) = (record.key, record.head, cost_bytes(record));
        let result = change(record);
        debug_assert_eq!(record.key, key, "a record keeps its key");
        record.key = key;
        let (new_head, new_cost) = (record.head, cost_bytes(record));
        self.bytes = self.bytes - cost + new_cost;
        if new_head != head {
            self.unlist_head(slot, head);
            self.list_head(slot, new_head);
        }
        result
    }

    /// Takes a record out.
    pub(super) fn remove(&mut self, slot: u32) -> Record {
        self.unchain(slot);
        let record = self.slab.remove(slot);
        self.unlist_head(slot, record.head);
        self.len -= 1;
        self.bytes -= cost_bytes(&record);
        record
    }

    /// The slot of the record with this head.
    pub(super) fn slot_of(&self, head: u64) -> Option<u32> {
        self.by_head.find(hash_of(head), |slot| self.slab.record(*slot).head == head).copied()
    }

    /// The occupied slots from `start`, looking at no more than `steps` slots; and where to go
    /// on, `None` at the end of the shard.
    pub(super) fn walk(&self, start: u32, steps: u32) -> (impl Iterator<Item = u32>, Option<u32>) {
        let end = self.slab.end();
        let stop = start.saturating_add(steps).min(end);
        let occupied = (start..stop).filter(|slot| self.slab.entry(*slot).record.is_some());
        (occupied, (stop < end).then_some(stop))
    }

    pub(super) fn record(&self, slot: u32) -> &Record {
        self.slab.record(slot)
    }

    fn first(&self, key: &CacheKey) -> u32 {
        let same = |slot: &u32| self.slab.record(*slot).key == *key;
        self.by_key.find(key.hash64(), same).copied().unwrap_or(NONE)
    }

    fn insert(&mut self, record: Record) -> u32 {
        let (key, head) = (record.key, record.head);
        let (first, cost) = (self.first(&key), cost_bytes(&record));
        let slot = self.slab.insert(record, first);
        let slab = &self.slab;
        if first == NONE {
            self.by_key.insert_unique(key.hash64(), slot, |slot| slab.record(*slot).key.hash64());
        } else {
            *self
                .by_key
                .find_mut(key.hash64(), |listed| *listed == first)
                .expect("it was found a moment ago") = slot;
        }
        self.list_head(slot, head);
        self.len += 1;
        self.bytes += cost;
        slot
    }

    fn unchain(&mut self, slot: u32) {
        let key = self.slab.record(slot).key;
        let next = self.slab.entry(slot).next;
        let first = self.first(&key);
        if first != slot {
            let mut before = first;
            while self.slab.entry(before).next != slot {
                before = self.slab.entry(before).next;
            }
            self.slab.entry_mut(before).next = next;
        } else if next != NONE {
            *self
                .by_key
                .find_mut(key.hash64(), |listed| *listed == slot)
                .expect("the first of a chain is listed") = next;
        } else if let Ok(listed) = self.by_key.find_entry(key.hash64(), |listed| *listed == slot) {
            listed.remove();
        }
    }

    fn list_head(&mut self, slot: u32, head: u64) {
        let slab = &self.slab;
        self.by_head.insert_unique(hash_of(head), slot, |slot| hash_of(slab.record(*slot).head));
    }

    fn unlist_head(&mut self, slot: u32, head: u64) {
        if let Ok(listed) = self.by_head.find_entry(hash_of(head), |listed| *listed == slot) {
            listed.remove();
        }
    }

    /// Takes the first record (other than `spared`) that was not used since the hand last passed:
    /// at most two rounds. There are at least two records.
    fn evict(&mut self, spared: u32) -> Record {
        loop {
            let slot = self.hand;
            self.hand = if slot + 1 >= self.slab.end() { 0 } else { slot + 1 };
            let entry = self.slab.entry_mut(slot);
            if entry.record.is_some() && slot != spared && !entry.untouch() {
                return self.remove(slot);
            }
        }
    }
}

/// Ids are a counter: one multiplication spreads it over bucket and tag bits.
fn hash_of(head: u64) -> u64 {
    let product = u128::from(head) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The target is 200 bytes; the tables' share is the worst case of their load.
    #[test]
    fn a_record_without_tags_costs_no_more_than_200_bytes() {
        const { assert!(RECORD_BYTES <= 200) }
        assert_eq!(ENTRY_BYTES, size_of::<Record>() + 8);
    }
}
