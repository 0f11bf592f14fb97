//! The better of two drawn at random.
//!
//! Looking at all and taking the least loaded sends a herd to whoever was last seen idle: between
//! two looks nothing has changed. Two drawn at random are enough to keep the longest queue short
//! (Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*), and no herd forms.

use super::{Loads, Tier};

/// Cost of an origin of which no answer has been seen, per request in hand, in microseconds: it
/// is tried at once when idle, and not flooded before its first answer.
const UNKNOWN_US: u64 = 1_000_000;

/// The cheaper of two; the first when they cost the same.
pub fn better(tier: &Tier, random: u64, cost: impl Fn(usize) -> u64) -> usize {
    let (one, other) = tier.draw_two(random);
    if one == other || cost(one) <= cost(other) { one } else { other }
}

/// Requests in hand, this one included, by weight.
pub fn busyness(loads: &impl Loads, index: usize) -> u64 {
    (loads.in_flight(index) as u64 + 1) * SCALE / u64::from(loads.weight(index).max(1))
}

/// The wait to be expected: time to a head, times requests in hand, by weight.
pub fn wait(loads: &impl Loads, index: usize) -> u64 {
    let in_flight = loads.in_flight(index) as u64;
    let cost = match loads.latency_us(index) {
        0 => UNKNOWN_US.saturating_mul(in_flight),
        us => us.saturating_mul(in_flight + 1),
    };
    cost.saturating_mul(SCALE) / u64::from(loads.weight(index).max(1))
}

/// Keeps weights from rounding small costs to nothing.
const SCALE: u64 = 1 << 10;
