//! Time inside the cache: one monotonic timeline in milliseconds.
//!
//! Zero is the Unix epoch *as the wall clock believed when the process started*; from then on
//! the timeline follows the monotonic clock. So a stepped wall clock never ages a response,
//! and a value written to disk means the same after a restart.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A point on the internal timeline, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The end of time: later than every real point.
    pub const MAX: Self = Self(u64::MAX);

    /// This point moved later by `ms`; saturates.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// This point moved later by whole seconds; saturates.
    #[must_use]
    pub const fn plus_s(self, seconds: u64) -> Self {
        self.plus_ms(seconds.saturating_mul(1000))
    }

    /// Milliseconds from `earlier` to this point; zero if `earlier` is later.
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since the Unix epoch, as `Date` and `Expires` count them.
    pub const fn unix_s(self) -> u64 {
        self.0 / 1000
    }
}

/// Where the cache reads the time.
pub trait Clock: Send + Sync {
    /// The present point on the internal timeline.
    fn now(&self) -> Millis;
}

/// The real clock: anchored to the wall once, monotonic from then on.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    started_at: Millis,
}

impl SystemClock {
    /// Anchors the timeline to the wall clock of this moment.
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at: Millis(wall.as_millis() as u64) }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        self.started_at.plus_ms(self.started.elapsed().as_millis() as u64)
    }
}

/// A clock that tests turn by hand.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `now` until it is moved.
    pub const fn at(now: Millis) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Lets `ms` milliseconds pass.
    pub fn pass_ms(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}
