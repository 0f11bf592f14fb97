//! Records in pages: a slot number of four bytes instead of a pointer, no allocation per record,
//! no copying when it grows.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Record;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// Slots per page: growth costs at most this many empty ones per shard.
const PAGE_SLOTS: usize = 16;

/// One place.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Option<Record>,
    /// The next older variant of the same key; of a free entry, the next free one.
    pub(super) next: u32,
    /// Chosen by a lookup since the clock's hand passed.
    used: AtomicBool,
}

/// Bytes of one place.
pub(super) const ENTRY_BYTES: usize = size_of::<Entry>();

impl Entry {
    /// Marks the record as useful.
    pub(super) fn touch(&self) {
        // A plain store would make every hit write to the cache line.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Takes the mark; says whether it was there.
    pub(super) fn untouch(&mut self) -> bool {
        std::mem::take(self.used.get_mut())
    }
}

/// The places of one shard.
#[derive(Debug)]
pub(super) struct Slab {
    pages: Vec<Box<[Entry]>>,
    free: u32,
}

impl Slab {
    pub(super) const fn new() -> Self {
        Self { pages: Vec::new(), free: NONE }
    }

    /// Slot numbers are below this.
    pub(super) fn end(&self) -> u32 {
        (self.pages.len() * PAGE_SLOTS) as u32
    }

    pub(super) fn entry(&self, slot: u32) -> &Entry {
        let slot = slot as usize;
        &self.pages[slot / PAGE_SLOTS][slot % PAGE_SLOTS]
    }

    pub(super) fn entry_mut(&mut self, slot: u32) -> &mut Entry {
        let slot = slot as usize;
        &mut self.pages[slot / PAGE_SLOTS][slot % PAGE_SLOTS]
    }

    /// The record in a slot that tables or chains name.
    pub(super) fn record(&self, slot: u32) -> &Record {
        self.entry(slot).record.as_ref().expect("tables and chains name occupied slots")
    }

    /// Puts a record into a free slot.
    pub(super) fn insert(&mut self, record: Record, next: u32) -> u32 {
        if self.free == NONE {
            self.grow();
        }
        let slot = self.free;
        let entry = self.entry_mut(slot);
        let free = entry.next;
        *entry = Entry { record: Some(record), next, used: AtomicBool::new(false) };
        self.free = free;
        slot
    }

    /// Empties a slot.
    pub(super) fn remove(&mut self, slot: u32) -> Record {
        let free = self.free;
        let entry = self.entry_mut(slot);
        let record = entry.record.take().expect("tables and chains name occupied slots");
        entry.next = free;
        self.free = slot;
        record
    }

    fn grow(&mut self) {
        let first = self.end();
        assert!(first < NONE - PAGE_SLOTS as u32, "memory runs out long before slot numbers");
        let last = first + PAGE_SLOTS as u32 - 1;
        let vacant = |slot| Entry {
            record: None,
            next: if slot == last { NONE } else { slot + 1 },
            used: AtomicBool::new(false),
        };
        self.pages.push((first..=last).map(vacant).collect());
        self.free = first;
    }
}
