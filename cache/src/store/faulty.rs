//! A store that fails on demand: what stands above must live with every answer it gives.
//!
//! Faults are told beforehand by call number (the first call is 1) and kind of call, so that a
//! test or a seed repeats exactly. Real stores fail by saying "absent", by losing a put, by
//! being slow and by being out of use; so does this one, and nothing else.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{BoxFuture, Health, Presence, Store, StoreKey, Tier, TierStats};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The n-th `get` (in memory or not) is a miss.
    MissGet(u64),
    /// Every n-th `get` is a miss.
    MissEveryGet(u64),
    /// The n-th `put` is lost.
    LosePut(u64),
    /// Every `put` from the n-th on is lost.
    LosePutsFrom(u64),
    /// Every `get` takes this long (tokio time).
    SlowGet(Duration),
    /// Every `room` takes this long (tokio time).
    SlowRoom(Duration),
    /// `peek` and memory presence say "not here": everything must come by `get`.
    NoMemory,
    /// Health is [`Health::Bypassed`].
    Bypassed,
}

/// `inner` with faults.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    faults: Mutex<Vec<Fault>>,
    gets: AtomicU64,
    puts: AtomicU64,
}

impl<S: Store> Faulty<S> {
    /// Wraps a store; without faults it behaves like it.
    pub fn new(inner: S, faults: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            inner,
            faults: Mutex::new(faults.into_iter().collect()),
            gets: AtomicU64::new(0),
            puts: AtomicU64::new(0),
        }
    }

    /// The wrapped store.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Calls of `get` and `put` so far.
    pub fn calls(&self) -> (u64, u64) {
        (self.gets.load(Ordering::SeqCst), self.puts.load(Ordering::SeqCst))
    }

    /// Adds a fault from now on; call numbers count from the beginning.
    pub fn add(&self, fault: Fault) {
        self.faults.lock().push(fault);
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.faults.lock().clear();
    }

    fn any(&self, test: impl Fn(&Fault) -> bool) -> bool {
        self.faults.lock().iter().any(test)
    }

    fn delay(&self, of: impl Fn(&Fault) -> Option<Duration>) -> Option<Duration> {
        self.faults.lock().iter().find_map(of)
    }
}

impl<S: Store> Store for Faulty<S> {
    fn peek(&self, key: StoreKey) -> Option<Bytes> {
        if self.any(|fault| *fault == Fault::NoMemory) { None } else { self.inner.peek(key) }
    }

    fn get(&self, key: StoreKey) -> BoxFuture<'_, Option<(Bytes, Tier)>> {
        let call = self.gets.fetch_add(1, Ordering::SeqCst) + 1;
        let misses = self.any(|fault| match fault {
            Fault::MissGet(nth) => *nth == call,
            Fault::MissEveryGet(nth) => call.is_multiple_of(*nth),
            _ => false,
        });
        let delay = self.delay(|fault| match fault {
            Fault::SlowGet(delay) => Some(*delay),
            _ => None,
        });
        Box::pin(async move {
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            if misses { None } else { self.inner.get(key).await }
        })
    }

    fn read(&self, key: StoreKey) -> BoxFuture<'_, Option<Bytes>> {
        self.inner.read(key)
    }

    fn put(&self, key: StoreKey, value: Bytes) {
        let call = self.puts.fetch_add(1, Ordering::SeqCst) + 1;
        let lost = self.any(|fault| match fault {
            Fault::LosePut(nth) => *nth == call,
            Fault::LosePutsFrom(nth) => *nth <= call,
            _ => false,
        });
        if !lost {
            self.inner.put(key, value);
        }
    }

    fn room(&self, bytes: usize) -> BoxFuture<'_, ()> {
        let delay = self.delay(|fault| match fault {
            Fault::SlowRoom(delay) => Some(*delay),
            _ => None,
        });
        Box::pin(async move {
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            self.inner.room(bytes).await;
        })
    }

    fn presence(&self, key: StoreKey) -> Presence {
        match self.inner.presence(key) {
            Presence::Memory if self.any(|fault| *fault == Fault::NoMemory) => Presence::Disk,
            presence => presence,
        }
    }

    fn forget(&self, key: StoreKey) {
        self.inner.forget(key);
    }

    fn health(&self) -> Health {
        if self.any(|fault| *fault == Fault::Bypassed) {
            Health::Bypassed
        } else {
            self.inner.health()
        }
    }

    fn stats(&self, tier: Tier) -> Option<TierStats> {
        self.inner.stats(tier)
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Part, RamStore};
    use super::*;

    const KEY: StoreKey = StoreKey { object: 1, part: Part::Head };

    #[tokio::test(start_paused = true)]
    async fn faults_come_at_the_calls_they_were_told_for() {
        let faults = [Fault::LosePut(1), Fault::MissGet(2), Fault::SlowGet(Duration::from_secs(3))];
        let store = Faulty::new(RamStore::default(), faults);
        store.put(KEY, Bytes::from_static(b"lost"));
        assert_eq!(store.presence(KEY), Presence::Absent);
        store.put(KEY, Bytes::from_static(b"kept"));
        let before = tokio::time::Instant::now();
        assert!(store.get(KEY).await.is_some());
        assert_eq!(before.elapsed(), Duration::from_secs(3));
        assert!(store.get(KEY).await.is_none());
        assert!(store.get(KEY).await.is_some());
        store.heal();
        store.add(Fault::NoMemory);
        assert_eq!((store.peek(KEY), store.presence(KEY)), (None, Presence::Disk));
    }
}
