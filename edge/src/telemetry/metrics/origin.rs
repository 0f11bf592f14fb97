//! The numbers of one origin of one site: requests sent by how they ended, events of its health.

use metrics::Counter;

use super::table::{self, Metric};
use crate::origin::{Event, OriginOutcome, Repeat};

/// Cached handles of one (site, origin).
#[derive(Debug)]
pub struct OriginMetrics {
    outcomes: [Counter; OriginOutcome::ALL.len()],
    events: [Counter; Event::NAMES.len()],
    repeats: [Counter; Repeat::ALL.len()],
}

impl OriginMetrics {
    /// `handle` makes the counter of a row for one value of its last label.
    pub(super) fn new(mut handle: impl FnMut(Metric, &'static str) -> Counter) -> Self {
        Self {
            outcomes: OriginOutcome::ALL
                .map(|outcome| handle(table::ORIGIN_REQUESTS, outcome.name())),
            repeats: Repeat::ALL.map(|(_, kind)| handle(table::ORIGIN_REPEATS, kind)),
            events: Event::NAMES.map(|event| handle(table::ORIGIN_EVENTS, event)),
        }
    }

    /// Counts a request that goes out once more.
    pub fn repeated(&self, repeat: Repeat) {
        self.repeats[repeat as usize].increment(1);
    }

    /// Counts an event of its health.
    pub fn event(&self, event: &Event) {
        if let Some(place) = Event::NAMES.iter().position(|name| *name == event.name()) {
            self.events[place].increment(1);
        }
    }

    /// Counts one request that was sent (or could not be).
    pub fn record(&self, outcome: OriginOutcome) {
        self.outcomes[outcome as usize].increment(1);
    }
}
