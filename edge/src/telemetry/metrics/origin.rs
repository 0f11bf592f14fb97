//! The numbers of one origin of one site: requests sent, by how they ended.

use http::StatusCode;
use metrics::Counter;

use crate::error::Cause;

/// How one request to an origin ended: the `outcome` label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
    /// Given up for a reason on our side or the client's.
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
            Cause::OriginConnectTimeout
            | Cause::OriginResponseTimeout
            | Cause::OriginBodyTimeout => Self::Timeout,
            Cause::OriginBroke | Cause::OriginMalformed => Self::Broken,
            Cause::NoOrigin | Cause::OriginBusy => Self::Refused,
            _ => Self::Abandoned,
        }
    }
}

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
