//! Retries that must not purge twice.
//!
//! A client that got no answer sends the purge again with the same idempotency key. When new
//! content was published in between, a second purge would throw it away; so the answer repeats
//! the first position. The last [`KEYS_MAX`] keys are remembered, over restarts too (they stand
//! in the ledger); an older retry purges again, which is always allowed.

use std::collections::{HashMap, VecDeque};

use selvedge_cache::invalidate::Position;

use super::entry::{Entry, NewEntry};

/// Most idempotency keys that are remembered.
pub const KEYS_MAX: usize = 16_384;

/// Who asked, and the key: two callers may choose the same one.
type Key = (String, String);

/// The keys seen last.
#[derive(Debug, Default)]
pub struct Repeats {
    entries: HashMap<Key, (Position, NewEntry)>,
    order: VecDeque<Key>,
}

/// What is known of a purge with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: it is new, or has no key.
    New,
    /// It was appended at this position.
    Before(Position),
    /// The key was used for another purge.
    Other,
}

impl Repeats {
    /// Whether this purge came before.
    pub fn seen(&self, purge: &NewEntry) -> Seen {
        match key(purge).and_then(|key| self.entries.get(&key)) {
            None => Seen::New,
            Some((position, first)) if first.asks_the_same(purge) => Seen::Before(*position),
            Some(_) => Seen::Other,
        }
    }

    /// Remembers an entry.
    pub fn remember(&mut self, entry: &Entry) {
        let Some(key) = key(&entry.purge) else { return };
        let value = (entry.position, entry.purge.clone());
        if self.entries.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > KEYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

fn key(purge: &NewEntry) -> Option<Key> {
    Some((purge.who.clone(), purge.idempotency_key.clone()?))
}
