//! The choice of an origin for one attempt, and what a choice is made from.
//!
//! [`balance`](crate::origin::balance) decides; here it is given what the pool knows: standings,
//! requests in hand, latencies, the clock and randomness. The roster is made anew whenever a
//! standing changes, so that a choice among well origins asks nobody's health.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use selvedge_cache::Millis;

use super::Pool;
use super::places::Urgency;
use crate::origin::balance::{self, Ask, Loads, Member, Roster, Standing, ramp};

/// What changes when an origin falls ill or recovers.
#[derive(Debug)]
pub struct Picker {
    roster: ArcSwap<Roster>,
    /// One at a time makes a roster, from what is so after it was asked for.
    making: Mutex<()>,
    /// When the next trial of an ejected origin is due, in milliseconds of the pool's clock.
    trial_at: AtomicU64,
    /// Until when some origin is warming up.
    warming_until: AtomicU64,
    turn: AtomicUsize,
}

/// What a request brings to the choice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// Origins that had it already.
    pub tried: &'a [usize],
    /// It could be sent again elsewhere, so it may be the trial of an ejected origin.
    pub may_risk: bool,
    /// Taken if it is well.
    pub preferred: Option<usize>,
    /// Something stands in for a failure: it is given no origin that is left alone.
    pub has_fallback: bool,
    /// What it is told apart by when origins are chosen by hash.
    pub affinity: Option<u64>,
    /// How it waits for a place.
    pub urgency: Urgency,
}

impl Picker {
    pub(super) fn new() -> Self {
        Self {
            roster: ArcSwap::default(),
            making: Mutex::default(),
            trial_at: AtomicU64::new(u64::MAX),
            warming_until: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
        }
    }
}

/// The origins as a policy asks for them.
struct Now<'a>(&'a Pool, Millis);

impl Loads for Now<'_> {
    fn in_flight(&self, index: usize) -> usize {
        self.0.origins[index].load()
    }

    fn total(&self) -> usize {
        self.0.under_way.load(Ordering::Relaxed)
    }

    fn latency_us(&self, index: usize) -> u64 {
        self.0.origins[index].latency.expected_us(self.1)
    }

    fn weight(&self, index: usize) -> u32 {
        self.0.origins[index].config.weight
    }
}

impl Pool {
    /// Chooses an origin that this request has not tried; `true` beside it: as its trial.
    pub(in crate::origin) fn pick(&self, wish: Wish<'_>) -> Option<(usize, bool)> {
        let now = self.now();
        if let Some(index) = wish.preferred.filter(|index| !wish.tried.contains(index))
            && let Some(origin) = self.origins.get(index)
            && origin.health.serves_bound(now)
        {
            return Some((index, false));
        }
        if wish.may_risk
            && now.0 >= self.picker.trial_at.load(Ordering::Acquire)
            && let Some(index) = self.trial(wish.tried, now)
        {
            return Some((index, true));
        }
        let roster = self.picker.roster.load();
        let ask = Ask {
            random: self.entropy(),
            turn: self.picker.turn.fetch_add(1, Ordering::Relaxed),
            key: wish.affinity,
        };
        let config = &self.config.balance;
        let loads = Now(self, now);
        let among_well = roster.tiers(self.entropy()).find_map(|tier| {
            balance::choose(config, tier, wish.tried, &loads, ask).map(|i| (i, tier))
        });
        if let Some((index, tier)) = among_well {
            // In a panic a tier has members that are not well.
            if wish.has_fallback && self.origins[index].health.standing(now) == Standing::Ejected {
                return None;
            }
            if !self.warms(index, now) {
                return Some((index, false));
            }
            let others = wish.tried.iter().copied().chain([index]).collect::<Vec<_>>();
            let other = balance::choose(config, tier, &others, &loads, ask);
            return Some((other.unwrap_or(index), false));
        }
        if wish.has_fallback {
            return None;
        }
        let index = balance::choose(config, roster.everyone(), wish.tried, &loads, ask)?;
        let trial = self.origins[index].health.begin_trial(now);
        if trial {
            self.refresh();
        }
        Some((index, trial))
    }

    /// The origin whose trial is due, if this request is the first to take it.
    fn trial(&self, tried: &[usize], now: Millis) -> Option<usize> {
        let due = self.origins.iter().enumerate().find(|(index, origin)| {
            !tried.contains(index)
                && origin.health.standing(now) == Standing::TrialDue
                && origin.health.begin_trial(now)
        });
        let (index, _) = due?;
        self.refresh();
        Some(index)
    }

    /// Whether a warming origin leaves this request to another.
    fn warms(&self, index: usize, now: Millis) -> bool {
        if now.0 >= self.picker.warming_until.load(Ordering::Relaxed) {
            return false;
        }
        let slow_start_ms = self.config.balance.slow_start_ms;
        let since = self.origins[index].health.warm_since();
        since.is_some_and(|since| !ramp::takes(since, now, slow_start_ms, self.entropy()))
    }

    /// Makes the roster anew: somebody's standing has changed.
    pub(in crate::origin) fn refresh(&self) {
        let _one = self.picker.making.lock();
        let now = self.now();
        let members: Vec<Member> = self.origins.iter().map(|origin| origin.member(now)).collect();
        let roster = Roster::new(&members, self.config.balance.panic_percent);
        self.picker.roster.store(Arc::new(roster));
        let due = self.origins.iter().filter_map(|origin| origin.health.trial_due());
        let due = due.map(|at| at.0).min().unwrap_or(u64::MAX);
        self.picker.trial_at.store(due, Ordering::Release);
        let slow_start_ms = self.config.balance.slow_start_ms;
        let warm = self.origins.iter().filter_map(|origin| origin.health.warm_since());
        let warm = warm.map(|since| since.plus_ms(slow_start_ms).0).max().unwrap_or(0);
        self.picker.warming_until.store(warm, Ordering::Relaxed);
    }
}
