//! The numbers of purges: how many, of which kind, and how long until they were in force.

use std::time::Duration;

use metrics::Counter;
use selvedge_cache::invalidate::Mode;

use super::histogram::{Distribution, Histogram};

/// What a purge selected by: the `selector` label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selector {
    /// One URL.
    Url,
    /// A path prefix.
    Prefix,
    /// One tag or several.
    Tag,
    /// A host.
    Host,
    /// A site.
    Site,
    /// Everything.
    Everything,
}

impl Selector {
    /// Every selector.
    pub const ALL: [Self; 6] =
        [Self::Url, Self::Prefix, Self::Tag, Self::Host, Self::Site, Self::Everything];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Prefix => "prefix",
            Self::Tag => "tag",
            Self::Host => "host",
            Self::Site => "site",
            Self::Everything => "everything",
        }
    }
}

/// Counters and latency of purges.
#[derive(Debug)]
pub struct PurgeMetrics {
    accepted: [[Counter; 2]; Selector::ALL.len()],
    apply: Histogram,
}

impl PurgeMetrics {
    pub(super) fn new(handle: impl Fn(&[&str]) -> Counter) -> Self {
        let accepted = Selector::ALL
            .map(|selector| ["hard", "soft"].map(|mode| handle(&[selector.name(), mode])));
        Self { accepted, apply: Histogram::default() }
    }

    /// Counts a purge that is in force, `took` after it was accepted.
    pub fn applied(&self, selector: Selector, mode: Mode, took: Duration) {
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
