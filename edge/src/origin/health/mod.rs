//! Is this origin well? One answer for all cores.
//!
//! The machine of [`passive`] stands behind a lock that is held for a few instructions. Most
//! requests succeed at an origin that has always been well: for them one atomic says that there is
//! nothing to learn, and the lock is not touched.
//!
//! Knows the outcomes of requests and nothing of how they came about.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use selvedge_cache::Millis;

pub mod passive;

use super::balance::Standing;
use passive::{Change, Passive, PassiveConfig};

/// The health of one origin, shared by all cores.
#[derive(Debug)]
pub struct Health {
    config: PassiveConfig,
    machine: Mutex<Passive>,
    /// Nothing bad is remembered. Only ever a hint: a stale `true` skips one success.
    pristine: AtomicBool,
}

impl Health {
    /// An origin of which nothing is known is trusted.
    pub fn new(config: PassiveConfig) -> Self {
        Self { config, machine: Mutex::default(), pristine: AtomicBool::new(true) }
    }

    /// What a balancer should think of it at `now`.
    pub fn standing(&self, now: Millis) -> Standing {
        if self.pristine.load(Ordering::Acquire) {
            return Standing::Healthy;
        }
        self.machine.lock().standing(now)
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
    pub fn succeeded(&self) -> Option<Change> {
        if self.pristine.load(Ordering::Acquire) {
            return None;
        }
        let mut machine = self.machine.lock();
        let change = machine.success();
        self.pristine.store(machine.is_pristine(), Ordering::Release);
        change
    }

    /// A request failed by the origin's fault.
    pub fn failed(&self, now: Millis, entropy: u64) -> Option<Change> {
        let mut machine = self.machine.lock();
        let change = machine.failure(&self.config, now, entropy);
        self.pristine.store(machine.is_pristine(), Ordering::Release);
        change
    }

    /// Ejections since it was last well for a while.
    pub fn ejections(&self) -> u32 {
        self.machine.lock().ejections()
    }

    /// Whether responses of 500 and above are failures.
    pub fn counts_server_errors(&self) -> bool {
        self.config.count_server_errors
    }
}
