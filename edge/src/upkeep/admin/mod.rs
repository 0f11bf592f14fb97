//! The admin plane: health, metrics, status, purges, over HTTP/1.1 on the control runtime.
//!
//! Operators and their tools speak here, and nobody else should: without a token the listener is
//! bound to loopback or a Unix socket only ([`check_exposure`]). All the same every request is
//! bounded in size and time, and a stuck client cannot keep others out.
//!
//! Knows no cache, no pools and no sites: numbers come from a [`StatusSource`], reasons from an
//! [`explain::Explain`], purges go to [`selvedge_purge_api::PurgeApi`], what is said of origins to
//! [`origins::OriginRules`].
//!
//! Reading order: [`listener`] (connections), `routes`, [`explain`], `openapi`, `page`.

pub mod explain;
pub mod listener;
mod openapi;
pub mod origins;
mod page;
mod routes;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use selvedge_cache::Clock;
use selvedge_purge_api::PurgeApi;
use selvedge_purge_api::auth::Tokens;
use serde_json::Value;

pub use listener::AdminListener;

/// Whether this node wants traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// Not yet: recovering, binding.
    Starting,
    /// Yes.
    Ready,
    /// Not any more: open exchanges are finishing.
    Draining,
}

/// Where the numbers come from.
pub trait StatusSource: Send + Sync {
    /// What `/v1/status` tells: an object of sites, origins, tiers and ratios. The ledger's
    /// numbers are added under `purges`.
    fn status(&self) -> Value;

    /// What `/readyz` tells.
    fn readiness(&self) -> Readiness;
}

/// What the admin plane stands on.
pub struct AdminSources {
    /// The purge surface; its tokens guard the other routes too.
    pub purges: PurgeApi,
    /// Renders the metrics in the Prometheus text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Status and readiness.
    pub status: Box<dyn StatusSource>,
    /// Carries out what the operator says of origins.
    pub origins: Box<dyn origins::OriginRules>,
    /// Who says why.
    pub explain: Box<dyn explain::Explain>,
    /// Time, for the audit trail.
    pub clock: Arc<dyn Clock>,
}

/// Whether the admin plane may be reached under `addr`; the error says why not and what to do.
pub fn check_exposure(addr: SocketAddr, tokens: &Tokens) -> Result<(), String> {
    if addr.ip().to_canonical().is_loopback() || !tokens.is_empty() {
        return Ok(());
    }
    Err(format!(
        "--admin {addr} can be reached from other machines, and no token is configured: whoever \
         reaches it could purge everything. Configure a token, or use 127.0.0.1:PORT, [::1]:PORT \
         or unix:/PATH"
    ))
}
