//! A bound on log events: so many per second, and how many were left out.
//!
//! An origin that is down fails every exchange; a log line for each would cost more than the
//! failures. Pure: the second is an argument. Under a race a few events more may pass; none is
//! lost from the count of suppressed ones.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Lets a number of events per second pass.
#[derive(Debug)]
pub struct Throttle {
    per_second_max: u32,
    /// The second (upper 32 bits) and how many events came in it.
    state: AtomicU64,
    suppressed: AtomicU64,
}

impl Throttle {
    /// Lets `per_second_max` events pass in each second.
    pub const fn new(per_second_max: u32) -> Self {
        Self { per_second_max, state: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    /// `Some(events suppressed since the last that passed)` if an event may pass in `second`.
    pub fn admit(&self, second: u64) -> Option<u64> {
        let second = second << 32;
        let fresh = |state: u64| if state >> 32 == second >> 32 { state } else { second };
        let before = self
            .state
            .fetch_update(Relaxed, Relaxed, |state| {
                // Saturates at the bound: the count can never run into the second.
                let state = fresh(state);
                (state as u32 <= self.per_second_max).then(|| state + 1)
            })
            .map_or(u32::MAX, |state| fresh(state) as u32);
        if before < self.per_second_max {
            Some(self.suppressed.swap(0, Relaxed))
        } else {
            self.suppressed.fetch_add(1, Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_number_and_the_rest_is_told_later() {
        let throttle = Throttle::new(3);
        let passed = (0..10).filter(|_| throttle.admit(0).is_some()).count();
        assert_eq!(passed, 3);
        assert_eq!(throttle.admit(5), Some(7));
        assert_eq!(throttle.admit(5), Some(0));
        assert_eq!(throttle.admit(5), Some(0));
        assert_eq!(throttle.admit(5), None);
        assert_eq!(throttle.admit(6), Some(1));
    }
}
