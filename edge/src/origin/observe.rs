//! What others may learn of origins: outcomes as they happen, and a status on request.
//!
//! Telemetry stands behind this folder and is not imported; it hands in an [`OriginObserver`] and
//! turns calls into numbers. An origin is told by its index, so that handles can be cached.

use http::StatusCode;

use super::health::{Event, Rule};
use super::retry::Decision;
use crate::error::Cause;

/// How one attempt at an origin ended: the `outcome` label.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum OriginOutcome {
    /// 1xx that ended the exchange (101), 2xx, and 3xx but for 304.
    Ok,
    /// 304: the stored response still holds.
    NotModified,
    /// 4xx.
    ClientError,
    /// 5xx.
    ServerError,
    /// No connection: name, address, TLS.
    Connect,
    /// A deadline passed.
    Timeout,
    /// Broke off or was not HTTP.
    Broken,
    /// Not sent: no origin available, or its queue was full.
    Refused,
    /// Given up for a reason on our side or the client's: a broken upload, or nobody wanted the
    /// answer any more.
    Abandoned,
}

impl OriginOutcome {
    /// Every outcome.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::NotModified,
        Self::ClientError,
        Self::ServerError,
        Self::Connect,
        Self::Timeout,
        Self::Broken,
        Self::Refused,
        Self::Abandoned,
    ];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotModified => "not_modified",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
        }
    }

    /// The outcome of a response.
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            304 => Self::NotModified,
            400..=499 => Self::ClientError,
            500.. => Self::ServerError,
            _ => Self::Ok,
        }
    }

    /// The outcome of a failure.
    pub const fn of_failure(cause: Cause) -> Self {
        match cause {
            Cause::OriginDns
            | Cause::OriginRefused
            | Cause::OriginUnreachable
            | Cause::OriginTls
            | Cause::OriginCertificate => Self::Connect,
            Cause::OriginDnsTimeout
            | Cause::OriginConnectTimeout
            | Cause::OriginTlsTimeout
            | Cause::OriginWholeTimeout
            | Cause::OriginResponseTimeout
            | Cause::OriginBodyTimeout => Self::Timeout,
            Cause::OriginBroke | Cause::OriginMalformed => Self::Broken,
            Cause::NoOrigin | Cause::OriginBusy => Self::Refused,
            _ => Self::Abandoned,
        }
    }

    /// Whether a whole response came, of whatever status.
    pub const fn is_answer(self) -> bool {
        matches!(self, Self::Ok | Self::NotModified | Self::ClientError | Self::ServerError)
    }
}

/// Why a request goes out once more, or does not: the `kind` label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// To the same origin: the kept connection was stale.
    Fresh,
    /// To another origin, after this one failed.
    Retry,
    /// To this origin, beside another one that is late.
    Hedge,
    /// Not: too many do already.
    Refused,
}

impl Repeat {
    /// Every kind with its label value.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Fresh, "fresh"),
        (Self::Retry, "retry"),
        (Self::Hedge, "hedge"),
        (Self::Refused, "refused"),
    ];

    /// What a decision amounts to.
    pub(super) const fn of(decision: Decision) -> Option<Self> {
        match decision {
            Decision::GiveUp => None,
            Decision::Fresh => Some(Self::Fresh),
            Decision::Next { .. } => Some(Self::Retry),
            Decision::Spent => Some(Self::Refused),
        }
    }
}

/// Told of what happens at the origins of one pool. Called on any core; must not block.
pub trait OriginObserver: Send + Sync {
    /// An attempt ended. Exactly one call per attempt, at the end of its response's content.
    fn finished(&self, origin: OriginName<'_>, outcome: OriginOutcome) {
        let _ = (origin, outcome);
    }

    /// Something happened to the health of an origin.
    fn health_changed(&self, origin: OriginName<'_>, event: &Event) {
        let _ = (origin, event);
    }

    /// A connection was made (not reused).
    fn connected(&self, origin: OriginName<'_>) {
        let _ = origin;
    }

    /// A request goes out once more: to this origin, after it to another, or beside the first.
    fn repeated(&self, origin: OriginName<'_>, repeat: Repeat) {
        let _ = (origin, repeat);
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
    /// It may be chosen.
    pub healthy: bool,
    /// What the operator says.
    pub rule: Rule,
    /// The last event of its health, and how many milliseconds ago it was.
    pub last: Option<(u64, Event)>,
    /// Recent time to a response head, in microseconds; 0 when nothing is known.
    pub latency_us: u64,
    /// Requests it has in hand, over all cores.
    pub in_flight: usize,
    /// Requests that it is given at once, over all cores.
    pub limit: usize,
    /// Requests that wait for a place, over all cores.
    pub queued: usize,
    /// Open connections, idle ones included, over all cores.
    pub connections: usize,
    /// Ejections since it was last well for a while.
    pub ejections: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;

    #[test]
    fn every_failure_of_an_origin_has_an_outcome_of_its_own_kind() {
        for cause in Cause::ALL {
            let abandoned = OriginOutcome::of_failure(*cause) == OriginOutcome::Abandoned;
            assert_eq!(abandoned, cause.fault() != Fault::Origin, "{cause:?}");
        }
        for (place, outcome) in OriginOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
        }
    }
}
