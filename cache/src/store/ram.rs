//! A store without bounds and without a disk: for simulations and tests of what stands above.

use std::collections::HashMap;
use std::future::ready;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{BoxFuture, Health, Presence, Store, StoreKey, Tier, TierStats};

/// Keeps everything until it is forgotten.
#[derive(Debug, Default)]
pub struct RamStore(Mutex<HashMap<StoreKey, Bytes>>);

impl RamStore {
    /// Every key that is held, sorted.
    pub fn keys(&self) -> Vec<StoreKey> {
        let mut keys: Vec<_> = self.0.lock().keys().copied().collect();
        keys.sort_unstable();
        keys
    }
}

impl Store for RamStore {
    fn peek(&self, key: StoreKey) -> Option<Bytes> {
        self.0.lock().get(&key).cloned()
    }

    fn get(&self, key: StoreKey) -> BoxFuture<'_, Option<(Bytes, Tier)>> {
        Box::pin(ready(self.peek(key).map(|value| (value, Tier::Memory))))
    }

    fn read(&self, key: StoreKey) -> BoxFuture<'_, Option<Bytes>> {
        Box::pin(ready(self.peek(key)))
    }

    fn put(&self, key: StoreKey, value: Bytes) {
        self.0.lock().insert(key, value);
    }

    fn room(&self, _: usize) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

    fn presence(&self, key: StoreKey) -> Presence {
        if self.0.lock().contains_key(&key) { Presence::Memory } else { Presence::Absent }
    }

    fn forget(&self, key: StoreKey) {
        self.0.lock().remove(&key);
    }

    fn health(&self) -> Health {
        Health::MemoryOnly
    }

    fn stats(&self, tier: Tier) -> Option<TierStats> {
        let held = self.0.lock();
        (tier == Tier::Memory).then(|| TierStats {
            bytes: held.values().map(|value| value.len() as u64).sum(),
            entries: held.len() as u64,
            ..TierStats::default()
        })
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
}
