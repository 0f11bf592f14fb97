//! Whose fault, may it be retried, which answer the client gets.
//!
//! [`Cause`] is the one table: every way in which an exchange can fail has one row, from which
//! the status, the `Proxy-Status` error token (RFC 9209 §2.3), the counter's label and the
//! sentence for people are taken. A cause travels with its source error; only telemetry prints
//! whole chains.

use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;

/// Whose fault a failure is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The client sent something we refuse, or left.
    Client,
    /// We could not (limits, bugs, disks).
    Edge,
    /// The origin refused, lied, stalled or broke off.
    Origin,
}

/// How far a request had gone when it failed: whether it may be sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing of the request was sent: always retryable.
    Unsent,
    /// The request was sent, nothing of a response was received: retryable if idempotent.
    Sent,
    /// Part of a response was received: never sent again as it was.
    Answered,
}

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident: $fault:ident, $status:ident, $token:literal, $label:literal, $title:literal;)*) => {
        /// Every way in which an exchange can fail.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        pub enum Cause { $($(#[$doc])* $name,)* }

        impl Cause {
            /// Every row of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Whose fault it is.
            pub const fn fault(self) -> Fault { match self { $(Self::$name => Fault::$fault,)* } }

            /// What the client is told.
            pub const fn status(self) -> StatusCode { match self { $(Self::$name => StatusCode::$status,)* } }

            /// Error type of `Proxy-Status` (RFC 9209 §2.3).
            pub const fn proxy_status(self) -> &'static str { match self { $(Self::$name => $token,)* } }

            /// Label value of counters and the `error` field of the access log.
            pub const fn label(self) -> &'static str { match self { $(Self::$name => $label,)* } }

            /// One sentence for people: the `title` of the problem document.
            pub const fn title(self) -> &'static str { match self { $(Self::$name => $title,)* } }
        }
    };
}

causes! {
    /// Request line, field or chunk that RFC 9112 does not allow.
    Malformed: Client, BAD_REQUEST, "http_request_error", "malformed", "The request is not valid HTTP.";
    /// Contradicting or repeated message lengths.
    Framing: Client, BAD_REQUEST, "http_request_error", "framing", "The length of the request body is ambiguous.";
    /// A transfer coding other than chunked.
    TransferCoding: Client, NOT_IMPLEMENTED, "http_request_error", "transfer_coding", "Only the chunked transfer coding is supported.";
    /// No host, several hosts, or an invalid one.
    Host: Client, BAD_REQUEST, "http_request_error", "host", "The Host of the request is missing or invalid.";
    /// No site answers for this host.
    UnknownHost: Client, MISDIRECTED_REQUEST, "destination_not_found", "unknown_host", "No site is configured for this host.";
    /// Method refused (`CONNECT`, `TRACE`).
    Method: Client, METHOD_NOT_ALLOWED, "http_request_denied", "method", "This method is not allowed here.";
    /// An upgrade that is not supported.
    Upgrade: Client, NOT_IMPLEMENTED, "http_upgrade_failed", "upgrade", "This protocol upgrade is not supported.";
    /// Request line longer than the limit.
    TargetTooLong: Client, URI_TOO_LONG, "http_request_error", "target_too_long", "The request target is too long.";
    /// Head larger, or with more fields, than the limit.
    HeadTooLarge: Client, REQUEST_HEADER_FIELDS_TOO_LARGE, "http_request_error", "head_too_large", "The request header section is too large.";
    /// Body larger than the limit.
    BodyTooLarge: Client, PAYLOAD_TOO_LARGE, "http_request_error", "body_too_large", "The request body is too large.";
    /// The head did not arrive in time.
    HeadTimeout: Client, REQUEST_TIMEOUT, "connection_read_timeout", "head_timeout", "The request did not arrive in time.";
    /// The body stalled.
    BodyTimeout: Client, REQUEST_TIMEOUT, "connection_read_timeout", "body_timeout", "The request body did not arrive in time.";
    /// The client went away.
    ClientGone: Client, BAD_REQUEST, "connection_terminated", "client_gone", "The client closed the connection.";
    /// The client kept the origin waiting while other requests waited for it.
    ClientSlow: Client, REQUEST_TIMEOUT, "connection_write_timeout", "client_slow", "The client took the response too slowly while others waited for the origin.";
    /// HTTP version not supported.
    Version: Client, HTTP_VERSION_NOT_SUPPORTED, "http_request_error", "version", "This HTTP version is not supported.";
    /// An expectation other than 100-continue.
    Expectation: Client, EXPECTATION_FAILED, "http_request_error", "expectation", "This expectation cannot be met.";
    /// The request was here before (RFC 8586).
    Loop: Client, LOOP_DETECTED, "proxy_loop_detected", "loop", "This request has come through this node before.";
    /// A filter or rule refused the request.
    Refused: Client, FORBIDDEN, "http_request_denied", "refused", "The request was refused by a rule of this site.";
    /// `only-if-cached` and nothing usable is stored.
    OnlyIfCached: Client, GATEWAY_TIMEOUT, "http_request_denied", "only_if_cached", "Nothing usable is stored, and the request forbids asking the origin.";
    /// A limit of ours was reached.
    Overloaded: Edge, SERVICE_UNAVAILABLE, "connection_limit_reached", "overloaded", "This node is at its limit.";
    /// A stored body could not be read to its end.
    StoredBodyLost: Edge, BAD_GATEWAY, "proxy_internal_error", "stored_body_lost", "A stored response could not be read.";
    /// A reader fell behind and the bytes are gone.
    FellBehind: Edge, BAD_GATEWAY, "proxy_internal_error", "fell_behind", "The transfer was too slow to be kept.";
    /// A mistake of ours.
    Internal: Edge, INTERNAL_SERVER_ERROR, "proxy_internal_error", "internal", "This node made a mistake.";
    /// The node is draining.
    Draining: Edge, SERVICE_UNAVAILABLE, "proxy_internal_response", "draining", "This node is shutting down.";
    /// The origin's name has no address.
    OriginDns: Origin, BAD_GATEWAY, "dns_error", "origin_dns", "The origin's name could not be resolved.";
    /// No answer about the origin's name in time.
    OriginDnsTimeout: Origin, GATEWAY_TIMEOUT, "dns_timeout", "origin_dns_timeout", "The origin's name was not resolved in time.";
    /// Connection refused.
    OriginRefused: Origin, BAD_GATEWAY, "connection_refused", "origin_refused", "The origin refused the connection.";
    /// Connection not established in time.
    OriginConnectTimeout: Origin, GATEWAY_TIMEOUT, "connection_timeout", "origin_connect_timeout", "The origin did not accept the connection in time.";
    /// Any other trouble with connecting.
    OriginUnreachable: Origin, BAD_GATEWAY, "destination_ip_unroutable", "origin_unreachable", "The origin could not be reached.";
    /// The TLS handshake with the origin failed.
    OriginTls: Origin, BAD_GATEWAY, "tls_protocol_error", "origin_tls", "The TLS handshake with the origin failed.";
    /// The TLS handshake with the origin did not end in time.
    OriginTlsTimeout: Origin, GATEWAY_TIMEOUT, "connection_timeout", "origin_tls_timeout", "The TLS handshake with the origin took too long.";
    /// The origin's certificate is not acceptable.
    OriginCertificate: Origin, BAD_GATEWAY, "tls_certificate_error", "origin_certificate", "The origin's certificate was not accepted.";
    /// No response head in time.
    OriginResponseTimeout: Origin, GATEWAY_TIMEOUT, "http_response_timeout", "origin_response_timeout", "The origin did not answer in time.";
    /// The response body stalled.
    OriginBodyTimeout: Origin, GATEWAY_TIMEOUT, "http_response_timeout", "origin_body_timeout", "The origin stopped sending.";
    /// The response as a whole took too long.
    OriginWholeTimeout: Origin, GATEWAY_TIMEOUT, "http_response_timeout", "origin_whole_timeout", "The origin took too long for its whole response.";
    /// The connection broke before the response was complete.
    OriginBroke: Origin, BAD_GATEWAY, "http_response_incomplete", "origin_broke", "The origin broke off its response.";
    /// The response is not valid HTTP.
    OriginMalformed: Origin, BAD_GATEWAY, "http_protocol_error", "origin_malformed", "The origin's response is not valid HTTP.";
    /// No origin of the pool may be used.
    NoOrigin: Origin, SERVICE_UNAVAILABLE, "destination_unavailable", "no_origin", "No origin of this site is available.";
    /// The pool's connection limit and its queue are full.
    OriginBusy: Origin, SERVICE_UNAVAILABLE, "connection_limit_reached", "origin_busy", "The origin's connection limit is reached.";
}

/// A failure: its cause and where it came from.
#[derive(Debug)]
pub struct Error {
    /// The row of the table.
    pub cause: Cause,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure without a deeper source.
    pub const fn new(cause: Cause) -> Self {
        Self { cause, source: None }
    }

    /// A failure with its source.
    pub fn with(cause: Cause, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { cause, source: Some(source.into()) }
    }

    /// The whole chain in one line, for logs.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut next = self.source();
        while let Some(source) = next {
            line.push_str(": ");
            line.push_str(&source.to_string());
            next = source.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cause.title())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self::new(cause)
    }
}

impl Cause {
    /// A number that stands for the cause where words of the edge may not go (the cache).
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The cause behind a [`Cause::code`].
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_comes_back_from_its_code_and_has_a_label_of_its_own() {
        let mut labels = std::collections::HashSet::new();
        for cause in Cause::ALL {
            assert_eq!(Cause::from_code(cause.code()), Some(*cause));
            assert!(labels.insert(cause.label()), "{} is used twice", cause.label());
        }
    }
}
