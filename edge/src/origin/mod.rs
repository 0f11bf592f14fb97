//! 5 · Fetch or validate.
//!
//! A request goes to a [`Pool`] and comes back as an [`OriginReply`] or an [`OriginFailure`]. What
//! all cores know together (health, places, addresses) lives in the pool and survives a reload;
//! idle connections live in [`Connections`], one per core. Every decision — which origin
//! ([`balance`]), is it well ([`health`]), once more ([`retry`]), which address ([`resolve`]) — is a
//! pure function or a machine with time as an argument; [`send`] is the loop that asks them.
//!
//! Knows nothing of sites, rules, cache keys or clients: it is given a request that is already
//! what the origin shall see.
//!
//! Reading order: [`address`], [`config`], [`request`], [`send`], then [`balance`], [`health`],
//! [`retry`], [`resolve`], [`pool`], [`observe`].

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, StatusCode, Version};

use crate::error::{Error, Stage};

pub mod adaptive;
pub mod address;
pub mod balance;
pub mod budget;
pub mod config;
pub mod fill;
pub mod health;
pub mod hedge;
pub mod observe;
pub mod pool;
pub mod quantile;
pub mod request;
pub mod resolve;
pub mod retry;
pub mod send;

#[cfg(test)]
mod tests;

pub use address::{AddressError, Flaw, OriginAddress};
pub use balance::BalanceConfig;
pub use config::{OriginConfig, OriginDeadlines, OriginLimits, PoolConfig, Trust};
pub use health::check::CheckConfig;
pub use health::passive::PassiveConfig;
pub use health::{Event, Rule};
pub use observe::{OriginName, OriginObserver, OriginOutcome, OriginStatus, Repeat, Unobserved};
pub use pool::body::OriginBody;
pub use pool::upload::Outbound;
pub use pool::{Pool, PoolError};
pub use request::OutboundRequest;
pub use retry::RetryConfig;
pub use send::Connections;

/// The head of a final response, and its content to be read.
#[derive(Debug)]
pub struct OriginReply {
    /// 200 to 599.
    pub status: StatusCode,
    /// Version that the origin spoke.
    pub version: Version,
    /// End-to-end fields; lengths are checked and said once.
    pub headers: HeaderMap,
    /// The content; ends without an error only when it is whole.
    pub body: OriginBody,
    /// Which origin answered.
    pub origin: Arc<str>,
    /// When the request was handed to the connection (`request_time` of RFC 9111 §4.2.3).
    pub requested: Instant,
    /// When the head was complete (`response_time` of RFC 9111 §4.2.3).
    pub received: Instant,
}

/// No response head could be had.
#[derive(Debug)]
pub struct OriginFailure {
    /// Why; of the last attempt.
    pub error: Error,
    /// How far the last attempt went.
    pub stage: Stage,
    /// Which origin was asked last.
    pub origin: Option<Arc<str>>,
}

impl OriginFailure {
    fn unsent(error: Error) -> Self {
        Self { error, stage: Stage::Unsent, origin: None }
    }
}
