//! Walking what is stored, a piece at a time: what can never be used again goes, and how far back
//! the ledger must remember.
//!
//! A record gives away its tags, not its URL. So the sweep takes out what a hard purge by tag or of
//! everything selects, what stands below the ledger's floor, and what has lost its bytes. What a
//! purge by URL, prefix, host or site selects is never used either, and leaves when it is evicted,
//! or when the URL is asked for again.
//!
//! Chunks of a large body stay until they are evicted: somebody whose download began before the
//! purge may still read them.

use super::Cache;
use crate::directory::Swept;
use crate::invalidate::Position;
use crate::store::{Part, Presence, StoreKey};

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Records looked at.
    pub seen: usize,
    /// Records taken out because their bytes were gone.
    pub lost: usize,
    /// Records taken out because a purge selects them.
    pub purged: usize,
    /// At the end of a round: the lowest position under which anything that is stored or under way
    /// was fetched. The ledger may forget the entries up to it; what a fetch brings that began
    /// meanwhile counts on none of them.
    pub oldest: Option<Position>,
}

/// A walk that goes on for ever.
#[derive(Debug, Default)]
pub struct Sweeper {
    /// The lowest position seen in this round; `None` between two.
    oldest: Option<Position>,
}

impl Sweeper {
    /// Looks at about `slots` places of the directory.
    pub fn step(&mut self, cache: &Cache, slots: usize) -> Step {
        // What is published while we walk may land behind us. It was sent after this moment, or
        // it is in flight at this moment.
        let mut oldest = self.oldest.unwrap_or_else(|| cache.oldest_under_way());
        let mut step = Step::default();
        let swept = cache.directory.sweep(slots, |record| {
            let head = StoreKey { object: record.head, part: Part::Head };
            let since = cache.live.compared(record.sent, record.checked);
            if cache.store.presence(head) == Presence::Absent {
                step.lost += 1;
                Swept::Drop
            } else if cache.live.forbids_by_tags(&record.tags, since) {
                step.purged += 1;
                Swept::Drop
            } else {
                oldest = oldest.min(record.sent);
                Swept::Keep
            }
        });
        step.seen = swept.seen;
        for record in &swept.dropped {
            cache.store.forget(StoreKey { object: record.head, part: Part::Head });
        }
        self.oldest = (!swept.round_done).then_some(oldest);
        step.oldest = swept.round_done.then_some(oldest);
        step
    }
}

impl Cache {
    /// The lowest position that a fetch in flight, or one that is sent now, counts on.
    fn oldest_under_way(&self) -> Position {
        // The position first: a fetch that is sent later has at least this one.
        let now = self.live.position();
        self.fills.oldest_sent().map_or(now, |sent| sent.min(now))
    }
}
