//! The numbers of purges: how many, of which kind, and how long until they were in force.

use std::time::Duration;

use metrics::Counter;
use selvedge_cache::invalidate::Mode;
use selvedge_purge_api::SelectorKind;

use super::histogram::{Distribution, Histogram};
use super::table::{self, Metric};

/// Counters and latency of purges, and what the sweep takes out behind them.
#[derive(Debug)]
pub struct PurgeMetrics {
    purged: Counter,
    lost: Counter,
    accepted: [[Counter; 2]; SelectorKind::ALL.len()],
    refused: [Counter; REFUSALS.len() + 1],
    apply: Histogram,
}

/// Statuses that are counted by name; others are counted together.
const REFUSALS: [u16; 13] = [400, 401, 403, 404, 405, 408, 410, 413, 415, 421, 422, 429, 503];

impl PurgeMetrics {
    pub(super) fn new(handle: impl Fn(Metric, &[&str]) -> Counter) -> Self {
        let accepted = SelectorKind::ALL.map(|selector| {
            ["hard", "soft"].map(|mode| handle(table::PURGES, &[selector.name(), mode]))
        });
        let refused = std::array::from_fn(|at| match REFUSALS.get(at) {
            Some(status) => handle(table::PURGES_REFUSED, &[&status.to_string()]),
            None => handle(table::PURGES_REFUSED, &["other"]),
        });
        let [purged, lost] = ["purged", "lost"].map(|reason| handle(table::SWEPT, &[reason]));
        Self { purged, lost, accepted, refused, apply: Histogram::default() }
    }

    /// Counts a request that was refused with this status.
    pub fn refused(&self, status: u16) {
        let at = REFUSALS.iter().position(|known| *known == status).unwrap_or(REFUSALS.len());
        self.refused[at].increment(1);
    }

    /// Counts stored responses that the sweep took out.
    pub fn swept(&self, purged: usize, lost: usize) {
        self.purged.increment(purged as u64);
        self.lost.increment(lost as u64);
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
