//! Taking stored responses out again: selectors, the ledger, and the HTTP surface over both.
//!
//! A purge is a promise. `200` means: the purge is on stable storage, and no request that
//! arrives later on this node is answered with bytes fetched before it. The crate keeps the
//! first half of the promise and puts entries in force in order; what "in force" does to a
//! stored response is told by [`selvedge_cache::invalidate`].
//!
//! Knows no sockets, no server and no metrics library: requests come in as values, counters go
//! out through [`api::PurgeWatch`].
//!
//! Reading order: [`selector`], [`ledger`], [`auth`], [`api`], [`handlers`].

pub mod api;
pub mod auth;
pub mod handlers;
pub mod hosts;
pub mod ledger;
pub mod openapi;
pub mod problem;
pub mod rate;
pub mod selector;

pub use handlers::PurgeApi;
pub use ledger::Ledger;
pub use selector::{KeyRules, Selector, SelectorKind};
