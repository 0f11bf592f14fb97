//! 4 · Ask the cache.
//!
//! The four verbs are the cache's own; the exchange calls them. What stands here is what a verdict
//! leads to, and what a request must fulfil before it may change what is stored.

pub mod purge_method;
pub mod ramp;
pub mod way;

pub use way::Way;
