//! Which origin gets this attempt.
//!
//! Two steps. The [`Roster`] says who may be chosen at all: it is made anew when an origin falls
//! ill, recovers or is taken out by the operator, which is rare, and read by every request, which
//! is not. Then a [`Policy`] chooses among the members of one tier: in turn, at random, the less
//! busy or the quicker of two, or by a hash. No policy looks at more members than it needs, so the
//! choice costs about the same among three and among a hundred (but for [`hash`], which asks all).
//!
//! When to choose which stands in `docs/operate/origins.md`.
//!
//! Knows nothing of connections, requests or why an origin is unwell; time and randomness are
//! arguments.

use smallvec::SmallVec;

pub mod hash;
pub mod latency;
pub mod ramp;
pub mod roster;
pub mod two;

pub use latency::PeakEwma;
pub use roster::{Member, Roster, Tier};

/// What health and the operator say of an origin at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Use it.
    Healthy,
    /// Leave it alone.
    Ejected,
    /// Its time-out is over and nobody tries it yet: one request may.
    TrialDue,
    /// The operator took it out: never use it, whatever the others are like.
    Out,
}

/// How the origin of an attempt is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Policy {
    /// Of two drawn at random the one that promises the shorter wait: its recent time to a
    /// response head, quick to rise and slow to fall, times the requests it has in hand.
    #[default]
    Quickest,
    /// Of two drawn at random the one with fewer requests in hand.
    LeastRequests,
    /// Each in turn, evenly spread by weight.
    Turns,
    /// At random, by weight.
    Random,
    /// The same key to the same origin, as far as it is there and not overloaded.
    Hash,
}

/// Everything a pool is told about balancing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BalanceConfig {
    /// How to choose.
    pub policy: Policy,
    /// Share of a tier, in percent, below which its members are used whether well or not: a
    /// crowd on a few would fell those too. 0: only when none at all is well.
    pub panic_percent: u32,
    /// How long an origin that comes back takes to its full share, in milliseconds; 0: none.
    pub slow_start_ms: u64,
    /// [`Policy::Hash`]: the most an origin may have in hand, in percent of its fair share; what
    /// is beyond goes to the key's next origin. 0: no bound.
    pub hash_bound_percent: u32,
}

impl Default for BalanceConfig {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            panic_percent: 0,
            slow_start_ms: 0,
            hash_bound_percent: 150,
        }
    }
}

/// What a policy may ask of the members, by their place in the pool.
pub trait Loads {
    /// Requests in hand or waiting for a place.
    fn in_flight(&self, index: usize) -> usize;
    /// Requests in hand or waiting for a place, over all members.
    fn total(&self) -> usize;
    /// Expected time to a response head, in microseconds; 0: nothing is known yet.
    fn latency_us(&self, index: usize) -> u64;
    /// Share of the load that it should have, relative to the others.
    fn weight(&self, index: usize) -> u32;
}

/// What the choice hangs on besides the members.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// An evenly spread number.
    pub random: u64,
    /// Counts the choices of this pool.
    pub turn: usize,
    /// What the request is told apart by, for [`Policy::Hash`]; `None` takes one at random.
    pub key: Option<u64>,
}

/// Places in the pool; pools are small.
pub type Places = SmallVec<[u16; 8]>;

/// Chooses among the members of a tier that are not in `tried`; `None` when all are.
pub fn choose(
    config: &BalanceConfig,
    tier: &Tier,
    tried: &[usize],
    loads: &impl Loads,
    ask: Ask,
) -> Option<usize> {
    if tier.members().is_empty() {
        return None;
    }
    if tried.is_empty() {
        return Some(among(config, tier, loads, ask));
    }
    let left = tier.without(tried);
    (!left.members().is_empty()).then(|| among(config, &left, loads, ask))
}

/// Chooses among members, of which there is at least one.
fn among(config: &BalanceConfig, tier: &Tier, loads: &impl Loads, ask: Ask) -> usize {
    match (config.policy, ask.key) {
        (Policy::Turns, _) => tier.turn(ask.turn),
        (Policy::Random, _) | (Policy::Hash, None) => tier.draw(ask.random),
        (Policy::LeastRequests, _) => {
            two::better(tier, ask.random, |index| two::busyness(loads, index))
        }
        (Policy::Quickest, _) => two::better(tier, ask.random, |index| two::wait(loads, index)),
        (Policy::Hash, Some(key)) => hash::owner(tier, key, config.hash_bound_percent, loads),
    }
}

#[cfg(test)]
mod tests;
