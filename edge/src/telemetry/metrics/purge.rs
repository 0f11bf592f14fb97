//! The numbers of purges: how many, of which kind, and how long until they were in force.

use std::time::Duration;

use metrics::Counter;
use selvedge_cache::invalidate::Mode;
use selvedge_purge_api::SelectorKind;

use super::histogram::{Distribution, Histogram};

/// Counters and latency of purges.
#[derive(Debug)]
pub struct PurgeMetrics {
    accepted: [[Counter; 2]; SelectorKind::ALL.len()],
    refused: [Counter; REFUSALS.len() + 1],
    apply: Histogram,
}

/// Statuses that are counted by name; others are counted together.
const REFUSALS: [u16; 13] = [400, 401, 403, 404, 405, 408, 410, 413, 415, 421, 422, 429, 503];

impl PurgeMetrics {
    pub(super) fn new(
        handle: impl Fn(&[&str]) -> Counter,
        refused: impl Fn(&str) -> Counter,
    ) -> Self {
        let accepted = SelectorKind::ALL
            .map(|selector| ["hard", "soft"].map(|mode| handle(&[selector.name(), mode])));
        let refused = std::array::from_fn(|at| match REFUSALS.get(at) {
            Some(status) => refused(&status.to_string()),
            None => refused("other"),
        });
        Self { accepted, refused, apply: Histogram::default() }
    }

    /// Counts a request that was refused with this status.
    pub fn refused(&self, status: u16) {
        let at = REFUSALS.iter().position(|known| *known == status).unwrap_or(REFUSALS.len());
        self.refused[at].increment(1);
    }

    /// Counts a purge that is in force, `took` after it was accepted.
    pub fn applied(&self, selector: SelectorKind, mode: Mode, took: Duration) {
        let mode = match mode {
            Mode::Hard => 0,
            Mode::Soft => 1,
        };
        self.accepted[selector as usize][mode].increment(1);
        self.apply.observe(took);
    }

    pub(super) fn apply(&self) -> Distribution {
        let mut sum = Distribution::default();
        self.apply.add_to(&mut sum);
        sum
    }
}
