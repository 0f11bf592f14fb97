//! How quick an origin has been lately: an average that believes bad news at once.
//!
//! A plain average needs many slow answers before it warns. This one jumps to the peak and then
//! decays towards what is seen (after Twitter's Finagle, *peak EWMA*). Without news it decays
//! too, so that an origin that was slow once is asked again.
//!
//! One atomic word: value and time together, so that cores need no lock. A lost race loses one
//! observation.

use std::sync::atomic::{AtomicU64, Ordering};

use selvedge_cache::Millis;

/// Time in which an old value loses all but a third of its say, in milliseconds.
const DECAY_MS: f64 = 10_000.0;
/// Time without news in which half of a value is forgotten, in milliseconds.
const FORGET_MS: u64 = 30_000;

/// Recent time to a response head; starts knowing nothing.
#[derive(Debug, Default)]
pub struct PeakEwma {
    /// Microseconds in the upper half (0: unknown), milliseconds of the pool's clock in the lower.
    word: AtomicU64,
}

impl PeakEwma {
    /// An answer took this long.
    pub fn observe(&self, took_us: u64, now: Millis) {
        let word = self.word.load(Ordering::Relaxed);
        self.word.store(observed(word, took_us, now), Ordering::Relaxed);
    }

    /// An attempt failed after this long: it must not make the origin look quicker than it is.
    pub fn observe_failure(&self, took_us: u64, now: Millis) {
        self.observe(took_us.max(self.expected_us(now)), now);
    }

    /// Microseconds that an answer is expected to take; 0 when nothing is known.
    pub fn expected_us(&self, now: Millis) -> u64 {
        expected(self.word.load(Ordering::Relaxed), now)
    }
}

const fn split(word: u64) -> (u64, u32) {
    (word >> 32, word as u32)
}

/// Milliseconds between a remembered point and now; the clock is kept to 32 bits and may wrap.
const fn since(then: u32, now: Millis) -> u64 {
    (now.0 as u32).wrapping_sub(then) as u64
}

fn observed(word: u64, took_us: u64, now: Millis) -> u64 {
    let took_us = took_us.clamp(1, u64::from(u32::MAX));
    let (old, then) = split(word);
    let new = if took_us >= old {
        took_us
    } else {
        let keep = (-(since(then, now) as f64 + 1.0) / DECAY_MS).exp();
        // At least a hundredth of each answer counts, however dense they come.
        let keep = keep.min(0.99);
        (old as f64 * keep + took_us as f64 * (1.0 - keep)) as u64
    };
    (new.max(1) << 32) | u64::from(now.0 as u32)
}

fn expected(word: u64, now: Millis) -> u64 {
    let (us, then) = split(word);
    if us == 0 {
        return 0;
    }
    let halvings = (since(then, now) / FORGET_MS).min(63);
    (us >> halvings).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_news_is_believed_at_once_and_good_news_slowly() {
        let seen = PeakEwma::default();
        assert_eq!(seen.expected_us(Millis(0)), 0);
        seen.observe(1_000, Millis(0));
        assert_eq!(seen.expected_us(Millis(0)), 1_000);
        seen.observe(50_000, Millis(1));
        assert_eq!(seen.expected_us(Millis(1)), 50_000);
        seen.observe(1_000, Millis(2));
        assert!(seen.expected_us(Millis(2)) > 40_000);
        for ms in 3..1_000 {
            seen.observe(1_000, Millis(ms));
        }
        assert!(seen.expected_us(Millis(1_000)) < 2_000, "{}", seen.expected_us(Millis(1_000)));
    }

    #[test]
    fn a_slow_origin_is_asked_again_some_day() {
        let seen = PeakEwma::default();
        seen.observe(8_000_000, Millis(0));
        assert_eq!(seen.expected_us(Millis(FORGET_MS - 1)), 8_000_000);
        assert_eq!(seen.expected_us(Millis(3 * FORGET_MS)), 1_000_000);
        assert_eq!(seen.expected_us(Millis(u64::from(u32::MAX))), 1);
    }

    #[test]
    fn an_origin_that_fails_fast_does_not_look_quick() {
        let seen = PeakEwma::default();
        seen.observe(20_000, Millis(0));
        seen.observe_failure(10, Millis(1));
        assert_eq!(seen.expected_us(Millis(1)), 20_000);
        seen.observe_failure(90_000, Millis(2));
        assert_eq!(seen.expected_us(Millis(2)), 90_000);
        seen.observe(u64::MAX, Millis(3));
        assert_eq!(seen.expected_us(Millis(3)), u64::from(u32::MAX));
    }
}
