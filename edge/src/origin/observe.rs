//! What others may learn of origins: outcomes as they happen, and a status on request.
//!
//! Telemetry stands behind this folder and is not imported; it hands in an [`OriginObserver`] and
//! turns calls into numbers. An origin is told by its index, so that handles can be cached.

use crate::error::Cause;

/// How one attempt at an origin ended. Bounded: a label value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum OriginOutcome {
    /// A complete response below 500.
    Ok,
    /// A complete response of 500 or above.
    ServerError,
    /// A failure.
    Failed(Cause),
    /// Given up by us before it ended, because nobody wanted it any more.
    Abandoned,
}

impl OriginOutcome {
    /// The label value `outcome`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ServerError => "server_error",
            Self::Failed(cause) => cause.label(),
            Self::Abandoned => "abandoned",
        }
    }

    /// Every outcome: causes of all faults are among them, because a client's broken upload ends
    /// an attempt too.
    pub fn all() -> impl Iterator<Item = Self> {
        let fixed = [Self::Ok, Self::ServerError, Self::Abandoned];
        fixed.into_iter().chain(Cause::ALL.iter().copied().map(Self::Failed))
    }
}

/// Told of what happens at the origins of one pool. Called on any core; must not block.
pub trait OriginObserver: Send + Sync {
    /// An attempt ended. Exactly one call per attempt, at the end of its response's content.
    fn finished(&self, origin: OriginName<'_>, outcome: OriginOutcome) {
        let _ = (origin, outcome);
    }

    /// An origin was ejected or recovered.
    fn health_changed(&self, origin: OriginName<'_>, healthy: bool) {
        let _ = (origin, healthy);
    }

    /// A connection was made (not reused).
    fn connected(&self, origin: OriginName<'_>) {
        let _ = origin;
    }

    /// A request is sent again, to this origin or after it to another.
    fn retried(&self, origin: OriginName<'_>, cause: Cause) {
        let _ = (origin, cause);
    }
}

/// Which origin an observer is told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OriginName<'a> {
    /// Name of the pool.
    pub pool: &'a str,
    /// Place in the pool.
    pub index: usize,
    /// Its address as people write it.
    pub origin: &'a str,
}

/// Observes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl OriginObserver for Unobserved {}

/// One origin at this moment, for status and metrics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OriginStatus {
    /// Its address as people write it.
    pub name: std::sync::Arc<str>,
    /// It is not ejected.
    pub healthy: bool,
    /// Requests it has in hand, over all cores.
    pub in_flight: usize,
    /// Requests that wait for a place, over all cores.
    pub queued: usize,
    /// Open connections, idle ones included, over all cores.
    pub connections: usize,
    /// Ejections since it was last well for a while.
    pub ejections: u32,
}
