//! The numbers of one origin of one site: requests sent, by how they ended.

use metrics::Counter;

use crate::origin::OriginOutcome;

/// Cached handles of one (site, origin).
#[derive(Debug)]
pub struct OriginMetrics([Counter; OriginOutcome::ALL.len()]);

impl OriginMetrics {
    pub(super) fn new(handle: impl FnMut(OriginOutcome) -> Counter) -> Self {
        Self(OriginOutcome::ALL.map(handle))
    }

    /// Counts one request that was sent (or could not be).
    pub fn record(&self, outcome: OriginOutcome) {
        self.0[outcome as usize].increment(1);
    }
}
