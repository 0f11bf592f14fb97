//! Who takes the responses of an origin, and who has kept it waiting for long.
//!
//! A response that a client does not take holds a place at the origin and a connection to it: a
//! thousand slow clients would hold all of them, and everybody else would be told that the origin is
//! busy. So a place is only lent. While another request waits for one, the response whose taker has
//! asked for nothing for the longest time, and for [`STALLED_MS`] at least, is broken off: its place
//! goes to the one that waits. While nobody waits, slow clients may be as slow as they like.
//!
//! Knows nothing of clients: a taker is whoever reads the content, and its silence is not the
//! origin's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use selvedge_cache::Millis;
use tokio::task::AbortHandle;

use super::places::Place;
use crate::journal::{COUNTERS, Counters};

/// A taker that has been silent for so long, in milliseconds, may lose its place to one that waits.
pub const STALLED_MS: u64 = 3_000;

/// It waits for the origin, not the origin for it.
const ASKING: u64 = u64::MAX;

/// Everybody who takes a response of one origin.
#[derive(Debug, Default)]
pub struct Takers {
    listed: Mutex<Listed>,
}

#[derive(Debug, Default)]
struct Listed {
    next: u64,
    takers: HashMap<u64, Arc<Taker>, foldhash::fast::RandomState>,
}

/// One that takes a response.
#[derive(Debug)]
struct Taker {
    silent_since_ms: AtomicU64,
    revoked: AtomicBool,
    place: Mutex<Option<Place>>,
    connection: AbortHandle,
}

/// A place that is lent to a taker; dropping it gives it back.
#[derive(Debug)]
pub struct Lent {
    number: u64,
    taker: Arc<Taker>,
    takers: Arc<Takers>,
}

impl Takers {
    /// Lends a place; `connection` is the task that is ended when it is taken back.
    pub fn lend(
        self: &Arc<Self>,
        place: Option<Place>,
        connection: AbortHandle,
        now: Millis,
    ) -> Lent {
        let taker = Arc::new(Taker {
            silent_since_ms: AtomicU64::new(now.0),
            revoked: AtomicBool::new(false),
            place: Mutex::new(place),
            connection,
        });
        let mut listed = self.listed.lock();
        let number = listed.next;
        listed.next += 1;
        listed.takers.insert(number, Arc::clone(&taker));
        Lent { number, taker, takers: Arc::clone(self) }
    }

    /// The place of the taker that has been silent for the longest time, if that is long enough;
    /// otherwise when one may be, at the earliest.
    pub fn take_back(&self, now: Millis) -> Result<Place, Option<Millis>> {
        let listed = self.listed.lock();
        loop {
            let silent = |taker: &&Arc<Taker>| taker.silent_since_ms.load(Ordering::Acquire);
            let longest = listed
                .takers
                .values()
                .filter(|taker| !taker.revoked.load(Ordering::Acquire) && silent(taker) != ASKING)
                .min_by_key(silent);
            let Some(taker) = longest else { return Err(None) };
            let due = Millis(silent(&taker).saturating_add(STALLED_MS));
            if due > now {
                return Err(Some(due));
            }
            // Before the connection ends: its end must not look like the end of the content.
            taker.revoked.store(true, Ordering::SeqCst);
            taker.connection.abort();
            if let Some(place) = taker.place.lock().take() {
                Counters::bump(&COUNTERS.places_taken_back);
                return Ok(place);
            }
        }
    }
}

impl Lent {
    /// The taker asks for more: from now on it waits for the origin.
    pub fn asks(&self) {
        self.taker.silent_since_ms.store(ASKING, Ordering::Release);
    }

    /// The taker got something.
    pub fn got(&self, now: Millis) {
        self.taker.silent_since_ms.store(now.0, Ordering::Release);
    }

    /// The place was taken back: whatever the connection says now is not the origin's doing.
    pub fn is_revoked(&self) -> bool {
        self.taker.revoked.load(Ordering::SeqCst)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.takers.listed.lock().takers.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::origin::pool::places::{Places, Urgency};

    #[tokio::test]
    async fn the_longest_silent_taker_loses_its_place_and_only_after_its_time() {
        let places = Places::new(3);
        let takers = Arc::<Takers>::default();
        let lend = async |now| {
            let place = places.take(Urgency::Alone, 0, Duration::ZERO).await.expect("a place");
            let connection = tokio::spawn(std::future::pending::<()>()).abort_handle();
            takers.lend(Some(place), connection, Millis(now))
        };
        let (asking, silent, lately) = (lend(0).await, lend(100).await, lend(200).await);
        asking.asks();
        assert_eq!(takers.take_back(Millis(100 + STALLED_MS - 1)).err(), Some(Some(Millis(3_100))));
        let place = takers.take_back(Millis(100 + STALLED_MS)).expect("its time is over");
        assert!(silent.is_revoked() && !lately.is_revoked() && !asking.is_revoked());
        lately.got(Millis(5_000));
        assert_eq!(takers.take_back(Millis(6_000)).err(), Some(Some(Millis(8_000))));
        drop(lately);
        assert_eq!(takers.take_back(Millis(60_000)).err(), Some(None), "the origin is waited for");
        drop((place, silent));
        assert_eq!(places.in_use(), 1);
    }
}
