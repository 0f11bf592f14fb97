//! Slow start: an origin that comes back has cold caches and few threads, and gets its share bit
//! by bit.
//!
//! Not another weight, but a coin: when the balancer has chosen an origin that is still warming,
//! the coin says whether it gets the request or another origin does. So it works alike under every
//! policy.

use selvedge_cache::Millis;

/// Least share while warming, in percent: an origin that gets nothing never warms.
const SHARE_PERCENT_MIN: u64 = 5;

/// Whether an origin that is back since `since` takes a request that it was chosen for.
pub fn takes(since: Millis, now: Millis, slow_start_ms: u64, random: u64) -> bool {
    let elapsed_ms = now.since_ms(since);
    if elapsed_ms >= slow_start_ms {
        return true;
    }
    let percent = (elapsed_ms.saturating_mul(100) / slow_start_ms).max(SHARE_PERCENT_MIN);
    (random >> 32) * 100 < percent << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_with_time_and_is_never_nothing() {
        let mut random = 1_u64;
        let mut share = |ms: u64| {
            let mut takers = 0;
            for _ in 0..10_000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                takers += u32::from(takes(Millis(1_000), Millis(1_000 + ms), 10_000, random));
            }
            takers / 100
        };
        assert!((3..=7).contains(&share(0)));
        assert!((27..=33).contains(&share(3_000)));
        assert!((77..=83).contains(&share(8_000)));
        assert_eq!(share(10_000), 100);
    }
}
