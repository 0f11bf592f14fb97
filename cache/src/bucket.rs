//! A token bucket: how often something may happen, with time as an argument.
//!
//! Tokens come in at a steady rate up to a bound, and each event takes one. Millionths are
//! counted, so that a rate of one per second loses nothing between calls a millisecond apart.

use crate::Millis;

const MICRO: u64 = 1_000_000;

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    per_s: u64,
    burst: u64,
    micros: u64,
    at: Millis,
}

impl Bucket {
    /// A full bucket: `burst` events at once, then `per_s` in each second.
    pub const fn full(per_s: u32, burst: u32, now: Millis) -> Self {
        let (per_s, burst) = (per_s as u64, burst as u64);
        Self { per_s, burst, micros: burst * MICRO, at: now }
    }

    /// Takes a token; the error is how long until there is one, in milliseconds ([`u64::MAX`]
    /// when there never is).
    pub const fn take(&mut self, now: Millis) -> Result<(), u64> {
        self.refill(now);
        if self.micros >= MICRO {
            self.micros -= MICRO;
            return Ok(());
        }
        if self.per_s == 0 || self.burst == 0 {
            return Err(u64::MAX);
        }
        Err((MICRO - self.micros).div_ceil(self.per_s * 1000))
    }

    /// Whether a token is there, without taking it.
    pub const fn peek(mut self, now: Millis) -> Result<(), u64> {
        self.take(now)
    }

    /// Whether the bucket is full: nothing was taken for as long as it takes to fill.
    pub const fn is_full(&mut self, now: Millis) -> bool {
        self.refill(now);
        self.micros == self.burst * MICRO
    }

    const fn refill(&mut self, now: Millis) {
        let passed_ms = now.since_ms(self.at);
        let filled = self.micros.saturating_add(passed_ms.saturating_mul(self.per_s * 1000));
        let full = self.burst * MICRO;
        self.micros = if filled < full { filled } else { full };
        if now.0 > self.at.0 {
            self.at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::full(2, 3, Millis(0));
        assert_eq!([(); 3].map(|()| bucket.take(Millis(0))), [Ok(()); 3]);
        assert_eq!(bucket.take(Millis(0)), Err(500));
        assert_eq!(bucket.take(Millis(499)), Err(1));
        assert_eq!(bucket.take(Millis(500)), Ok(()));
        assert!(!bucket.is_full(Millis(1_999)));
        assert!(bucket.is_full(Millis(2_000)));
        // However long it lies there.
        let all = [(); 4].map(|()| bucket.take(Millis(u64::MAX)).is_ok());
        assert_eq!(all, [true, true, true, false]);
    }

    #[test]
    fn a_slow_rate_loses_nothing_between_close_calls() {
        let mut bucket = Bucket::full(1, 1, Millis(0));
        let taken = (0..=10_000).filter(|at| bucket.take(Millis(*at)).is_ok()).count();
        assert_eq!(taken, 11);
    }

    #[test]
    fn an_earlier_time_gives_nothing_and_nothing_comes_without_a_rate() {
        let mut bucket = Bucket::full(1, 1, Millis(5_000));
        assert_eq!(bucket.take(Millis(5_000)), Ok(()));
        assert_eq!(bucket.take(Millis(0)), Err(1_000));
        assert_eq!(Bucket::full(0, 0, Millis(0)).take(Millis(9)), Err(u64::MAX));
    }
}
