//! HTTP caching rules and tiered storage: the library under the edge node.
//!
//! Four verbs: **lookup**, **fill**, **freshen**, **invalidate**. The directory is the
//! authority over what is stored and where; the store holds bytes by immutable key and
//! knows no HTTP; the policy is RFC 9111 as pure functions with time as an argument.
//!
//! This crate knows no sockets, no server, no metrics library and no configuration syntax.
//!
//! Reading order: [`key`], [`policy`], [`variant`], [`range`], [`invalidate`],
//! [`directory`], [`store`], [`fill`], [`repair`], and [`cache`] which joins them.

pub mod bucket;
pub mod budget;
pub mod cache;
pub mod clock;
pub mod directory;
pub mod fill;
pub mod head;
pub mod invalidate;
pub mod key;
pub mod policy;
pub mod range;
pub mod reader;
pub mod repair;
pub mod store;
pub mod variant;

pub use clock::{Clock, Millis};
pub use key::CacheKey;
