//! The same key to the same origin: weighted rendezvous hashing with bounded loads.
//!
//! Each member draws a number from the key and itself; the least, by weight, owns the key. When a
//! member comes or goes only its own keys move, and each key has an order of owners, so what a
//! member cannot take goes to the same next one every time (Thaler and Ravishankar, *Using
//! name-based mappings to increase hit rates*; the bound: Mirrokni and others, *Consistent Hashing
//! with Bounded Loads*).
//!
//! A member is told by its place in the pool, and every number here is an integer: nodes of a
//! fleet with the same list of origins agree, across machines and versions. That is a promise
//! (`the_owners_of_keys_are_the_same_in_every_version`).

use super::{Loads, Tier};

/// The owner of a key among the members, of which there is at least one. A member with more than
/// `bound_percent` of its fair share in hand is passed over, unless all have.
pub fn owner(tier: &Tier, key: u64, bound_percent: u32, loads: &impl Loads) -> usize {
    let first = least(tier, key, loads, |_| true).unwrap_or(0);
    if bound_percent == 0 {
        return first;
    }
    let in_flight = loads.total() as u64 + 1;
    let weight = |place: &u16| u64::from(loads.weight(usize::from(*place)));
    let weights = if tier.is_even() {
        tier.members().first().map_or(0, weight) * tier.members().len() as u64
    } else {
        tier.members().iter().map(weight).sum()
    };
    let has_room = |index: usize| {
        let fair = in_flight * u64::from(loads.weight(index)) * u64::from(bound_percent);
        let most = fair.div_ceil(100 * weights.max(1)).max(1);
        (loads.in_flight(index) as u64) < most
    };
    if has_room(first) {
        return first;
    }
    least(tier, key, loads, has_room).unwrap_or(first)
}

/// The member with the least draw among those that `may` have it.
fn least(tier: &Tier, key: u64, loads: &impl Loads, may: impl Fn(usize) -> bool) -> Option<usize> {
    let even = tier.is_even();
    let mut best: Option<(u64, usize)> = None;
    for place in tier.members() {
        let index = usize::from(*place);
        if !may(index) {
            continue;
        }
        let drawn = mixed(key, index as u64);
        let draw = if even {
            drawn
        } else {
            let weight = loads.weight(index).max(1);
            // -log2(1-d) is above d, so most members are out before their logarithm is known.
            if best.is_some_and(|(least, _)| drawn >> 16 >= (least + 1) * u64::from(weight)) {
                continue;
            }
            weighted(drawn, weight)
        };
        if best.is_none_or(|(least, _)| draw < least) {
            best = Some((draw, index));
        }
    }
    best.map(|(_, index)| index)
}

/// An evenly spread number from a key and a member (the finaliser of SplitMix64).
fn mixed(key: u64, member: u64) -> u64 {
    let mut z = key ^ (member + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// -ln(u)/weight for `u` in (0, 1] is exponentially distributed, and the least of several falls to
/// each in proportion to its weight. Here with the logarithm to base 2 in fixed point.
fn weighted(drawn: u64, weight: u32) -> u64 {
    // Small draws are to win, so the draw itself is taken from 1.
    minus_log2(!drawn) / u64::from(weight)
}

/// -log2(x / 2⁶⁴) with 48 bits behind the point: whole steps by leading zeros, parts from a table.
fn minus_log2(x: u64) -> u64 {
    let x = x.max(1);
    let zeros = x.leading_zeros();
    // 1 ≤ mantissa < 2: the first bit is the 1, the next eight choose the row.
    let mantissa = x << zeros;
    let row = ((mantissa >> 55) & 0xFF) as usize;
    let (low, high) = (LOG2[row], LOG2[row + 1]);
    let between = (mantissa << 9) >> 32;
    let log2 = low + (((high - low) * between) >> 32);
    // x = 2^(63 - zeros) · mantissa, hence -log2(x/2⁶⁴) = 1 + zeros - log2(mantissa).
    (u64::from(1 + zeros) << 48) - (log2 << (48 - FRACTION_BITS))
}

/// Bits of a logarithm behind the point; with straight lines between 256 rows the share of a
/// member is off by less than a hundred-thousandth.
const FRACTION_BITS: u32 = 30;

/// log2(1 + row/256).
const LOG2: [u64; 257] = {
    let mut table = [0; 257];
    let mut row = 0;
    while row < 256 {
        let mut mantissa = (256 + row as u128) << 55;
        let mut bit = 0;
        // One bit of the logarithm per squaring.
        while bit < FRACTION_BITS {
            let square = (mantissa * mantissa) >> 63;
            let is_two = square >> 64 != 0;
            table[row] = (table[row] << 1) | is_two as u64;
            mantissa = if is_two { square >> 1 } else { square };
            bit += 1;
        }
        row += 1;
    }
    table[256] = 1 << FRACTION_BITS;
    table
};
