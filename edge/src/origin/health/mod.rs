//! Is this origin well? One answer for all cores.
//!
//! Three voices. The operator's ([`Rule`]) is heard before all others. Checks that the node makes
//! by itself ([`check`]) say up or down. Outcomes of requests ([`passive`], [`outlier`]) eject for a
//! while and let one trial through. An origin is chosen while none of them objects.
//!
//! The machine of [`passive`] stands behind a lock that is held for a few instructions. Most
//! requests succeed at an origin that has always been well: for them one atomic says that there is
//! nothing to learn, and the lock is not touched.
//!
//! Knows outcomes and verdicts, and nothing of how they came about.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;
use selvedge_cache::Millis;

pub mod check;
pub mod outlier;
pub mod passive;

use super::balance::Standing;
use outlier::Window;
use passive::{Change, Passive, PassiveConfig};

/// What the operator says of an origin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Rule {
    /// Use it, if it is well.
    #[default]
    Enabled = 0,
    /// Nothing new: what is under way ends, and what is bound to it (a sticky client) still comes.
    Draining = 1,
    /// Nothing at all, even when no other is left.
    Disabled = 2,
}

impl Rule {
    /// Every rule with its name.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Enabled, "enabled"), (Self::Draining, "draining"), (Self::Disabled, "disabled")];

    /// As status and log name it.
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// What happened to the health of an origin: told to log, metrics and status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Left alone for a while.
    Ejected {
        /// How long, in milliseconds.
        for_ms: u64,
        /// Why.
        why: Why,
    },
    /// Its trial, or a request that was risked all the same, succeeded.
    Recovered,
    /// As many checks in a row failed as `fall` says; what the last one found.
    Down(String),
    /// As many checks in a row passed as `rise` says.
    Up,
    /// The operator spoke.
    Ruled(Rule),
}

/// Why an origin was ejected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Failures in a row.
    Failures,
    /// The trial after an ejection failed.
    Trial,
    /// It fails far more often than the others.
    SuccessRate,
    /// It is far slower than the others.
    Latency,
}

impl Why {
    /// Label value and word in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::Trial => "trial",
            Self::SuccessRate => "success_rate",
            Self::Latency => "latency",
        }
    }
}

impl Event {
    /// Every label that an event can have.
    pub const NAMES: [&'static str; 8] = [
        "failures",
        "trial",
        "success_rate",
        "latency",
        "recovered",
        "check_failed",
        "check_passed",
        "operator",
    ];

    /// The `event` label.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ejected { why, .. } => why.name(),
            Self::Recovered => "recovered",
            Self::Down(_) => "check_failed",
            Self::Up => "check_passed",
            Self::Ruled(_) => "operator",
        }
    }

    /// The origin may be chosen again, as far as this event goes.
    pub const fn is_good(&self) -> bool {
        matches!(self, Self::Recovered | Self::Up | Self::Ruled(Rule::Enabled))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ejected { for_ms, why: Why::Failures } => {
                write!(f, "failed several times in a row, left alone for {for_ms} ms")
            }
            Self::Ejected { for_ms, why: Why::Trial } => {
                write!(f, "failed its trial, left alone for {for_ms} ms")
            }
            Self::Ejected { for_ms, why: Why::SuccessRate } => {
                write!(f, "fails far more often than the others, left alone for {for_ms} ms")
            }
            Self::Ejected { for_ms, why: Why::Latency } => {
                write!(f, "is far slower than the others, left alone for {for_ms} ms")
            }
            Self::Recovered => f.write_str("answers again"),
            Self::Down(found) => write!(f, "its health check fails: {found}"),
            Self::Up => f.write_str("its health check passes again"),
            Self::Ruled(rule) => write!(f, "{} by the operator", rule.name()),
        }
    }
}

/// The health of one origin, shared by all cores.
#[derive(Debug)]
pub struct Health {
    config: PassiveConfig,
    machine: Mutex<Passive>,
    /// Nothing bad is remembered. Only ever a hint: a stale `true` skips one success.
    pristine: AtomicBool,
    /// Checks say that it is down.
    is_down: AtomicBool,
    rule: AtomicU8,
    /// Since when it is back, while it may be warming; `u64::MAX` when it never was away.
    back_since: AtomicU64,
    /// Outcomes since the pool was last compared.
    pub(super) window: Window,
    last: Mutex<Option<(Millis, Event)>>,
}

impl Health {
    /// An origin of which nothing is known is trusted.
    pub fn new(config: PassiveConfig) -> Self {
        Self {
            config,
            machine: Mutex::default(),
            pristine: AtomicBool::new(true),
            is_down: AtomicBool::new(false),
            rule: AtomicU8::new(Rule::Enabled as u8),
            back_since: AtomicU64::new(u64::MAX),
            window: Window::default(),
            last: Mutex::default(),
        }
    }

    /// What was known of the same origin before a reload.
    pub fn inherit(&self, old: &Self) {
        let mut machine = self.machine.lock();
        machine.clone_from(&old.machine.lock());
        self.pristine.store(machine.is_pristine(), Ordering::Release);
        self.is_down.store(old.is_down.load(Ordering::Acquire), Ordering::Release);
        self.rule.store(old.rule.load(Ordering::Acquire), Ordering::Release);
        self.last.lock().clone_from(&old.last.lock());
    }

    /// What a balancer should think of it at `now`.
    pub fn standing(&self, now: Millis) -> Standing {
        if self.rule() == Rule::Enabled { self.by_itself(now) } else { Standing::Out }
    }

    /// What the operator says.
    pub fn rule(&self) -> Rule {
        match self.rule.load(Ordering::Acquire) {
            0 => Rule::Enabled,
            1 => Rule::Draining,
            _ => Rule::Disabled,
        }
    }

    /// Checks say that it is down.
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Acquire)
    }

    /// Whether it takes a request that is bound to it.
    pub fn serves_bound(&self, now: Millis) -> bool {
        self.rule() != Rule::Disabled && self.by_itself(now) == Standing::Healthy
    }

    fn by_itself(&self, now: Millis) -> Standing {
        if self.is_down() {
            return Standing::Ejected;
        }
        if self.pristine.load(Ordering::Acquire) {
            return Standing::Healthy;
        }
        self.machine.lock().standing(now)
    }

    /// When its trial is due, if it is ejected and nothing else stands against it.
    pub fn trial_due(&self) -> Option<Millis> {
        let waits = self.rule() == Rule::Enabled && !self.is_down();
        if waits { self.machine.lock().trial_due() } else { None }
    }

    /// Since when it is back.
    pub fn warm_since(&self) -> Option<Millis> {
        let since = self.back_since.load(Ordering::Acquire);
        (since != u64::MAX).then_some(Millis(since))
    }

    /// Takes the one trial if it is due. Whoever gets `true` owes [`Health::succeeded`],
    /// [`Health::failed`] or [`Health::trial_abandoned`].
    pub fn begin_trial(&self, now: Millis) -> bool {
        !self.pristine.load(Ordering::Acquire) && self.machine.lock().begin_trial(now)
    }

    /// The trial ended without an outcome.
    pub fn trial_abandoned(&self, now: Millis) {
        self.machine.lock().trial_abandoned(now);
    }

    /// A request succeeded.
    pub fn succeeded(&self, now: Millis) -> Option<Event> {
        if self.pristine.load(Ordering::Acquire) {
            return None;
        }
        let change = {
            let mut machine = self.machine.lock();
            let change = machine.success();
            self.pristine.store(machine.is_pristine(), Ordering::Release);
            change
        };
        self.told(change, Why::Failures, now)
    }

    /// A request failed by the origin's fault; `trial`: it was the one that decides.
    pub fn failed(&self, trial: bool, now: Millis, entropy: u64) -> Option<Event> {
        let why = if trial { Why::Trial } else { Why::Failures };
        self.change(why, now, |machine, config| machine.failure(config, now, entropy))
    }

    /// It stands out among the others.
    pub fn stands_out(&self, why: Why, now: Millis, entropy: u64) -> Option<Event> {
        self.change(why, now, |machine, config| machine.eject(config, now, entropy))
    }

    fn change(
        &self,
        why: Why,
        now: Millis,
        by: impl FnOnce(&mut Passive, &PassiveConfig) -> Option<Change>,
    ) -> Option<Event> {
        let change = {
            let mut machine = self.machine.lock();
            let change = by(&mut machine, &self.config);
            self.pristine.store(machine.is_pristine(), Ordering::Release);
            change
        };
        self.told(change, why, now)
    }

    /// A check changed its mind about the origin; `found`: what is wrong, or nothing.
    pub fn checked(&self, found: Option<String>, now: Millis) -> Option<Event> {
        let down = found.is_some();
        if self.is_down.swap(down, Ordering::AcqRel) == down {
            return None;
        }
        Some(self.remember(found.map_or(Event::Up, Event::Down), now))
    }

    /// The operator speaks; `None` when nothing changes. An origin that is enabled is trusted
    /// again, whatever was held against it.
    pub fn ruled(&self, rule: Rule, now: Millis) -> Option<Event> {
        let mut changed = self.rule.swap(rule as u8, Ordering::AcqRel) != rule as u8;
        if rule == Rule::Enabled {
            let mut machine = self.machine.lock();
            changed |= self.is_down.swap(false, Ordering::AcqRel) || !machine.is_pristine();
            *machine = Passive::default();
            self.pristine.store(true, Ordering::Release);
        }
        changed.then(|| self.remember(Event::Ruled(rule), now))
    }

    fn told(&self, change: Option<Change>, why: Why, now: Millis) -> Option<Event> {
        let event = match change? {
            Change::Ejected { until } => Event::Ejected { for_ms: until.since_ms(now), why },
            Change::Recovered => Event::Recovered,
        };
        Some(self.remember(event, now))
    }

    fn remember(&self, event: Event, now: Millis) -> Event {
        if event.is_good() {
            self.back_since.store(now.0, Ordering::Release);
        }
        *self.last.lock() = Some((now, event.clone()));
        event
    }

    /// The last event and when it was.
    pub fn last(&self) -> Option<(Millis, Event)> {
        self.last.lock().clone()
    }

    /// Ejections since it was last well for a while.
    pub fn ejections(&self) -> u32 {
        self.machine.lock().ejections()
    }

    /// Whether responses of 500 and above are failures.
    pub fn counts_server_errors(&self) -> bool {
        self.config.count_server_errors
    }

    /// Most origins that may be ejected for standing out, in percent of the pool.
    pub fn outliers_percent(&self) -> u32 {
        self.config.outliers_percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_heard_first_then_checks_then_outcomes() {
        let health = Health::new(PassiveConfig::default());
        let now = Millis(5);
        assert_eq!(health.standing(now), Standing::Healthy);
        assert_eq!(health.checked(None, now), None);
        assert_eq!(health.checked(Some("503".into()), now), Some(Event::Down("503".into())));
        assert_eq!((health.standing(now), health.serves_bound(now)), (Standing::Ejected, false));
        assert_eq!(health.ruled(Rule::Disabled, now), Some(Event::Ruled(Rule::Disabled)));
        assert_eq!(health.ruled(Rule::Disabled, now), None);
        assert_eq!(health.checked(None, now), Some(Event::Up));
        assert_eq!((health.standing(now), health.serves_bound(now)), (Standing::Out, false));
        health.ruled(Rule::Draining, now);
        assert_eq!((health.standing(now), health.serves_bound(now)), (Standing::Out, true));
        assert_eq!(health.ruled(Rule::Enabled, Millis(9)), Some(Event::Ruled(Rule::Enabled)));
        assert_eq!(health.standing(now), Standing::Healthy);
        assert_eq!(health.warm_since(), Some(Millis(9)));
    }

    #[test]
    fn a_reload_keeps_what_is_known() {
        let old = Health::new(PassiveConfig::default());
        for _ in 0..3 {
            old.failed(false, Millis(0), 0);
        }
        old.ruled(Rule::Draining, Millis(1));
        let new = Health::new(PassiveConfig::default());
        new.inherit(&old);
        assert_eq!((new.rule(), new.standing(Millis(1))), (Rule::Draining, Standing::Out));
        assert_eq!(new.by_itself(Millis(2)), Standing::Ejected);
        new.ruled(Rule::Enabled, Millis(2));
        assert_eq!(new.standing(Millis(2)), Standing::Healthy, "the operator forgives");
        assert_eq!(new.ruled(Rule::Enabled, Millis(2)), None);
    }

    #[test]
    fn every_event_has_a_label() {
        let all = [
            Event::Recovered,
            Event::Down(String::new()),
            Event::Up,
            Event::Ruled(Rule::Enabled),
            Event::Ejected { for_ms: 1, why: Why::Failures },
            Event::Ejected { for_ms: 1, why: Why::Trial },
            Event::Ejected { for_ms: 1, why: Why::SuccessRate },
            Event::Ejected { for_ms: 1, why: Why::Latency },
        ];
        assert!(all.iter().all(|event| Event::NAMES.contains(&event.name())));
        assert!(Rule::ALL.iter().all(|(rule, name)| rule.name() == *name));
    }
}
