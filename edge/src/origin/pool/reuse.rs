//! Idle connections of one core.
//!
//! A connection stays on the core that made it, so this needs no lock. The newest is taken first:
//! the ones below it grow old and are closed when traffic is low. Every connection has a point in
//! time at which it must be gone, whether by idleness or by age; [`IdleSet::next_expiry`] says when
//! to look again.
//!
//! Sans-I/O: what a connection is, and whether it still lives, are the caller's.

use hashbrown::HashMap;
use selvedge_cache::Millis;

/// Which connections may stand for each other.
pub type ReuseKey = (u64, usize);

/// Idle connections, newest last.
#[derive(Debug)]
pub struct IdleSet<C> {
    by_origin: HashMap<ReuseKey, Vec<Idle<C>>, foldhash::fast::RandomState>,
}

#[derive(Debug)]
struct Idle<C> {
    connection: C,
    expires: Millis,
}

impl<C> Default for IdleSet<C> {
    fn default() -> Self {
        Self { by_origin: HashMap::default() }
    }
}

impl<C> IdleSet<C> {
    /// Keeps a connection until `expires`. What has to go for it (the oldest, or itself when
    /// `idle_max` is 0) is given back to be closed.
    pub fn put(
        &mut self,
        key: ReuseKey,
        connection: C,
        expires: Millis,
        idle_max: usize,
    ) -> Option<C> {
        if idle_max == 0 {
            return Some(connection);
        }
        let idle = self.by_origin.entry(key).or_default();
        idle.push(Idle { connection, expires });
        (idle.len() > idle_max).then(|| idle.remove(0).connection)
    }

    /// The newest connection that is `usable`; those found dead on the way are dropped.
    pub fn take(&mut self, key: ReuseKey, now: Millis, usable: impl Fn(&C) -> bool) -> Option<C> {
        let idle = self.by_origin.get_mut(&key)?;
        while let Some(Idle { connection, expires }) = idle.pop() {
            if now < expires && usable(&connection) {
                return Some(connection);
            }
        }
        self.by_origin.remove(&key);
        None
    }

    /// Drops what is over its time or no longer `usable`.
    pub fn sweep(&mut self, now: Millis, usable: impl Fn(&C) -> bool) {
        self.by_origin.retain(|_, idle| {
            idle.retain(|idle| now < idle.expires && usable(&idle.connection));
            !idle.is_empty()
        });
    }

    /// When the next connection is over its time; `None` if none is kept.
    pub fn next_expiry(&self) -> Option<Millis> {
        self.by_origin.values().flatten().map(|idle| idle.expires).min()
    }

    /// Connections kept.
    pub fn len(&self) -> usize {
        self.by_origin.values().map(Vec::len).sum()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ReuseKey = (1, 0);

    #[test]
    fn the_newest_is_taken_first_and_the_dead_are_dropped() {
        let mut set = IdleSet::default();
        for connection in ["old", "mid", "new"] {
            assert_eq!(set.put(KEY, connection, Millis(100), 8), None);
        }
        assert_eq!(set.take(KEY, Millis(1), |c| *c != "new"), Some("mid"));
        assert_eq!(set.take((2, 0), Millis(1), |_| true), None);
        assert_eq!(set.take(KEY, Millis(100), |_| true), None, "over its time");
        assert!(set.is_empty());
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut set = IdleSet::default();
        assert_eq!(set.put(KEY, 1, Millis(100), 2), None);
        assert_eq!(set.put(KEY, 2, Millis(100), 2), None);
        assert_eq!(set.put(KEY, 3, Millis(100), 2), Some(1));
        assert_eq!(set.put(KEY, 4, Millis(100), 0), Some(4));
        assert_eq!(set.len(), 2);
    }

    #[test]
    fn a_sweep_leaves_what_has_time_left() {
        let mut set = IdleSet::default();
        set.put(KEY, 1, Millis(10), 8);
        set.put(KEY, 2, Millis(20), 8);
        set.put((1, 1), 3, Millis(15), 8);
        assert_eq!(set.next_expiry(), Some(Millis(10)));
        set.sweep(Millis(15), |_| true);
        assert_eq!(set.len(), 1);
        assert_eq!(set.next_expiry(), Some(Millis(20)));
        set.sweep(Millis(16), |_| false);
        assert_eq!(set.next_expiry(), None);
    }
}
