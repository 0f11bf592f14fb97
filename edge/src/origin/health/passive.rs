//! Health from outcomes: an origin that fails again and again is left alone for a while.
//!
//! A machine of three states. *Trusted*: requests flow, consecutive failures are counted.
//! *Ejected* until a point in time: no requests (unless all are ejected). *Trial*: the time is
//! over and exactly one request is let through; its outcome decides. Each ejection lasts twice as
//! long as the one before, up to a bound, with jitter so that many nodes do not come back at once.
//!
//! The time-out is forgotten only by a longer run of successes, not by the first one: an origin
//! that works once after each trial must not be trusted as if nothing had been.
//!
//! No clock and no randomness of its own: both are arguments. Knows nothing of requests.

use selvedge_cache::Millis;

use crate::origin::balance::Standing;

/// Successes in a row after which past ejections are forgotten.
const SUCCESSES_TO_FORGET: u32 = 16;

/// When an origin is ejected, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PassiveConfig {
    /// Consecutive failures that eject; 0 never ejects.
    pub failures_to_eject: u32,
    /// Length of the first ejection, in milliseconds.
    pub eject_base_ms: u64,
    /// Longest ejection before jitter, in milliseconds.
    pub eject_max_ms: u64,
    /// A response of 500 and above counts as a failure.
    pub count_server_errors: bool,
    /// Most origins, in percent of the pool, that are ejected for standing out among the others;
    /// 0 compares nobody.
    pub outliers_percent: u32,
    /// How often they are compared, in milliseconds.
    pub interval_ms: u64,
}

impl Default for PassiveConfig {
    fn default() -> Self {
        Self {
            failures_to_eject: 3,
            eject_base_ms: 2_000,
            eject_max_ms: 60_000,
            count_server_errors: false,
            outliers_percent: 0,
            interval_ms: 10_000,
        }
    }
}

/// What the rest of the world should be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It was trusted and is now ejected, or failed its trial; until then.
    Ejected {
        /// When its trial is due.
        until: Millis,
    },
    /// It passed its trial.
    Recovered,
}

/// The health of one origin.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Passive {
    state: State,
    failures: u32,
    successes: u32,
    ejections: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Trusted,
    Ejected {
        until: Millis,
    },
    Trial,
}

impl Passive {
    /// What a balancer should think of the origin at `now`.
    pub fn standing(&self, now: Millis) -> Standing {
        match self.state {
            State::Trusted => Standing::Healthy,
            State::Ejected { until } if now >= until => Standing::TrialDue,
            State::Ejected { .. } | State::Trial => Standing::Ejected,
        }
    }

    /// Takes the one trial if it is due; the caller then owes an outcome or
    /// [`Passive::trial_abandoned`].
    pub fn begin_trial(&mut self, now: Millis) -> bool {
        let due = self.standing(now) == Standing::TrialDue;
        if due {
            self.state = State::Trial;
        }
        due
    }

    /// The trial ended without an outcome (the client left): another request may be it.
    pub fn trial_abandoned(&mut self, now: Millis) {
        if self.state == State::Trial {
            self.state = State::Ejected { until: now };
        }
    }

    /// A request succeeded, as far as health goes.
    pub fn success(&mut self) -> Option<Change> {
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
        if self.successes >= SUCCESSES_TO_FORGET {
            self.ejections = 0;
        }
        // A success while ejected is news as good as a trial: panic mode lets such requests through.
        let recovered = self.state != State::Trusted;
        self.state = State::Trusted;
        recovered.then_some(Change::Recovered)
    }

    /// A request failed by the origin's fault. `entropy`: any evenly spread number.
    pub fn failure(&mut self, config: &PassiveConfig, now: Millis, entropy: u64) -> Option<Change> {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        let ejects = match self.state {
            State::Trusted => {
                config.failures_to_eject > 0 && self.failures >= config.failures_to_eject
            }
            State::Trial => true,
            // Late outcomes of requests that were under way, or panic mode: they tell nothing new
            // and must not push the trial away without end.
            State::Ejected { .. } => false,
        };
        if !ejects {
            return None;
        }
        let until = now.plus_ms(ejection_ms(config, self.ejections, entropy));
        self.ejections = self.ejections.saturating_add(1);
        self.state = State::Ejected { until };
        Some(Change::Ejected { until })
    }

    /// It stands out among the others, without having failed often enough by itself.
    pub fn eject(&mut self, config: &PassiveConfig, now: Millis, entropy: u64) -> Option<Change> {
        if self.state != State::Trusted {
            return None;
        }
        let until = now.plus_ms(ejection_ms(config, self.ejections, entropy));
        (self.successes, self.ejections) = (0, self.ejections.saturating_add(1));
        self.state = State::Ejected { until };
        Some(Change::Ejected { until })
    }

    /// When its trial is due, if it is ejected.
    pub fn trial_due(&self) -> Option<Millis> {
        match self.state {
            State::Ejected { until } => Some(until),
            State::Trusted | State::Trial => None,
        }
    }

    /// Nothing bad is remembered: a further success changes nothing.
    pub fn is_pristine(&self) -> bool {
        self.state == State::Trusted && self.failures == 0 && self.ejections == 0
    }

    /// Ejections since the origin was last well for a while.
    pub fn ejections(&self) -> u32 {
        self.ejections
    }
}

/// Doubles with each ejection before it, up to the bound; plus up to a quarter of jitter.
fn ejection_ms(config: &PassiveConfig, before: u32, entropy: u64) -> u64 {
    let factor = 1_u64.checked_shl(before.min(63)).unwrap_or(u64::MAX);
    let plain = config.eject_base_ms.saturating_mul(factor).min(config.eject_max_ms);
    plain.saturating_add(entropy % (plain / 4 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: PassiveConfig = PassiveConfig {
        failures_to_eject: 3,
        eject_base_ms: 1_000,
        eject_max_ms: 8_000,
        count_server_errors: false,
        outliers_percent: 0,
        interval_ms: 10_000,
    };

    fn ejected_until(change: Option<Change>) -> u64 {
        match change {
            Some(Change::Ejected { until }) => until.0,
            other => panic!("not ejected: {other:?}"),
        }
    }

    #[test]
    fn consecutive_failures_eject_and_a_success_between_forgives() {
        let mut health = Passive::default();
        assert_eq!(health.failure(&CONFIG, Millis(0), 0), None);
        assert_eq!(health.failure(&CONFIG, Millis(1), 0), None);
        assert_eq!(health.success(), None);
        assert_eq!(health.failure(&CONFIG, Millis(2), 0), None);
        assert_eq!(health.failure(&CONFIG, Millis(3), 0), None);
        assert_eq!(ejected_until(health.failure(&CONFIG, Millis(4), 0)), 1_004);
        assert_eq!(health.standing(Millis(1_003)), Standing::Ejected);
        assert_eq!(health.standing(Millis(1_004)), Standing::TrialDue);
    }

    #[test]
    fn exactly_one_trial_is_given_and_its_failure_doubles_the_time() {
        let mut health = Passive::default();
        let mut now = Millis(0);
        let mut lengths = Vec::new();
        for _ in 0..3 {
            health.failure(&CONFIG, now, 0);
        }
        now = Millis(1_000);
        for _ in 0..5 {
            assert!(health.begin_trial(now));
            assert!(!health.begin_trial(now), "a second trial");
            let until = ejected_until(health.failure(&CONFIG, now, 0));
            lengths.push(until - now.0);
            now = Millis(until);
        }
        assert_eq!(lengths, [2_000, 4_000, 8_000, 8_000, 8_000]);
    }

    #[test]
    fn a_passed_trial_recovers_but_is_not_forgotten_at_once() {
        let mut health = Passive::default();
        for _ in 0..3 {
            health.failure(&CONFIG, Millis(0), 0);
        }
        assert!(health.begin_trial(Millis(1_000)));
        assert_eq!(health.success(), Some(Change::Recovered));
        assert!(!health.is_pristine());
        for _ in 0..2 {
            health.failure(&CONFIG, Millis(2_000), 0);
        }
        assert_eq!(ejected_until(health.failure(&CONFIG, Millis(2_000), 0)), 4_000);
        health.begin_trial(Millis(4_000));
        for _ in 0..SUCCESSES_TO_FORGET {
            health.success();
        }
        assert!(health.is_pristine());
    }

    #[test]
    fn late_failures_do_not_push_the_trial_away_and_an_abandoned_trial_is_due_again() {
        let mut health = Passive::default();
        for _ in 0..3 {
            health.failure(&CONFIG, Millis(0), 0);
        }
        assert_eq!(health.failure(&CONFIG, Millis(900), 0), None);
        assert!(health.begin_trial(Millis(1_000)));
        health.trial_abandoned(Millis(1_500));
        assert_eq!(health.standing(Millis(1_500)), Standing::TrialDue);
    }

    #[test]
    fn jitter_and_doubling_are_bounded_whatever_the_numbers() {
        let huge = PassiveConfig { eject_base_ms: u64::MAX, eject_max_ms: u64::MAX, ..CONFIG };
        assert_eq!(ejection_ms(&huge, 500, u64::MAX), u64::MAX);
        assert!((8_000..=10_000).contains(&ejection_ms(&CONFIG, 40, u64::MAX)));
        let never = PassiveConfig { failures_to_eject: 0, ..CONFIG };
        let mut health = Passive::default();
        for _ in 0..100 {
            assert_eq!(health.failure(&never, Millis(0), 0), None);
        }
    }
}
