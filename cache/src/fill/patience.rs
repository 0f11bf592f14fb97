//! How long a fill waits for a busy disk before it goes on without it.
//!
//! A fill's readers stall as long as its disk does, so one long wait ends it. But a disk that is
//! slow all along, and moves, is worth waiting for: what does not reach it has to be fetched again
//! for everybody who comes later. So what was waited is forgotten as bytes arrive.
//!
//! Knows no disk and no clock: lengths and waits are arguments.

use std::time::Duration;

/// The longest stall that a fill allows its disk.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// A disk that takes this much per second is slow, not stuck.
const BYTES_PER_S_MIN: u64 = 16 * 1024 * 1024;

/// What is left of a fill's patience; once it is nothing, that stays.
#[derive(Debug)]
pub(super) struct Patience {
    left: Duration,
    credited: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { left: WAIT_MAX, credited: 0 }
    }
}

impl Patience {
    /// How long may be waited now, after so many bytes of the body.
    pub(super) fn left(&mut self, received: u64) -> Duration {
        let credit_ms = received.saturating_sub(self.credited) * 1000 / BYTES_PER_S_MIN;
        if credit_ms > 0 && !self.is_over() {
            self.credited = received;
            let credit = Duration::from_millis(credit_ms);
            self.left = self.left.saturating_add(credit).min(WAIT_MAX);
        }
        self.left
    }

    /// So long was waited.
    pub(super) fn waited(&mut self, wait: Duration) {
        self.left = self.left.saturating_sub(wait);
    }

    /// The fill goes on without the disk.
    pub(super) const fn is_over(&self) -> bool {
        self.left.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE_BYTES: u64 = 64 * 1024;

    /// How many pieces are waited for, each so long, of a body of 10,000.
    fn waited_for(wait: Duration) -> u64 {
        let mut patience = Patience::default();
        (1..=10_000)
            .take_while(|piece| {
                let left = patience.left(piece * PIECE_BYTES);
                patience.waited(wait.min(left));
                !patience.is_over()
            })
            .count() as u64
    }

    #[test]
    fn a_disk_that_is_slow_but_moves_is_waited_for_all_the_way() {
        // 64 KiB in 3 ms are 20 MiB a second.
        assert_eq!(waited_for(Duration::from_millis(3)), 10_000);
    }

    #[test]
    fn a_disk_that_crawls_is_given_up_after_a_second_and_for_good() {
        // 64 KiB in 100 ms are less than 1 MiB a second.
        assert!((9..12).contains(&waited_for(Duration::from_millis(100))));
        let mut patience = Patience::default();
        let left = patience.left(PIECE_BYTES);
        patience.waited(left);
        assert!(patience.is_over() && patience.left(1 << 40).is_zero());
    }
}
