//! Making stored responses unusable: selectors, the live map, watermarks.
//!
//! A purge is an entry in an ordered ledger (kept by `purge-api`). Here is its live form: a map
//! from *scope* to the highest position that selects it. Every stored response carries the
//! position that was in force when its fetch was **sent**; a lookup asks whether a later entry
//! selects the response. That is O(tags + path depth) probes whatever is cached, and no
//! structure maps a tag to objects.
//!
//! Positions, not clocks. Invalidation by unsafe methods (RFC 9111 §4.4) has a counter of its
//! own ([`local`]): it is not in the ledger and not durable.

pub mod live;
pub mod local;
pub mod sample;
pub mod scope;
pub mod watermark;

pub use live::{Live, Marks, PurgeState};
pub use local::{Local, LocalMark};
pub use sample::{Sample, Selection, Wanted};
pub use scope::{Probed, Scope, ScopeHash, TargetScopes};
pub use watermark::{LedgerId, Position, Watermark};

/// How strong an invalidation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Mode {
    /// The bytes are never used again, not even as the base of a conditional request.
    Hard,
    /// The response counts as stale from the moment of the purge.
    Soft,
}

/// One entry of the ledger as the cache understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// The scopes that it selects (one, or one per tag).
    pub scopes: Vec<ScopeHash>,
    /// Hard or soft.
    pub mode: Mode,
    /// Place in the ledger.
    pub position: Position,
    /// When the purge was accepted, on the internal timeline: a soft purge makes stale from here.
    pub accepted: crate::Millis,
}
