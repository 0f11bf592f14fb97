//! One stored response, as the directory remembers it.

use std::sync::Arc;

use crate::invalidate::Position;
use crate::policy::Fresh;
use crate::variant::Vary;
use crate::{CacheKey, Millis};

/// The length of a body whose end was not seen.
pub const LENGTH_UNKNOWN: u64 = u64::MAX;

/// The `Vary` of a stored response and the selecting field values that it was stored for.
#[derive(Debug, PartialEq, Eq)]
pub struct Varied {
    /// The selecting field names.
    pub vary: Vary,
    /// Hash over the normalised selecting fields of the request that was sent.
    pub selected: [u8; 32],
    /// A second hash, made of the one language that the response is in
    /// ([`crate::variant::language`]).
    pub language: Option<[u8; 32]>,
}

/// One stored response (one variant).
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Whose variant this is.
    pub key: CacheKey,
    /// Object id of the head (and of the inline body). A 304 gives a new head id.
    pub head: u64,
    /// Object id of the body chunks; equals `head` when the body is inline.
    pub body: u64,
    /// Body length in bytes.
    pub length: u64,
    /// All that is needed to judge freshness.
    pub fresh: Fresh,
    /// Position in force when the fetch of the bytes was sent: never rises.
    pub sent: Position,
    /// Position up to which the record has been compared with the ledger (the sweep re-stamps).
    pub checked: Position,
    /// Position in force when the last validation was sent; at least `sent`.
    pub validated: Position,
    /// Counter of local invalidations when the fetch was sent (not durable: 0 after a restart).
    pub local: u64,
    /// A soft purge made the response stale at this point; [`Millis::MAX`] if none did.
    pub stale_since: Millis,
    /// Hashes of its tags; union over the parts and validations.
    pub tags: Box<[u64]>,
    /// More tags than we keep: every tag purge selects it.
    pub tags_overflow: bool,
    /// Set when the response varies.
    pub varied: Option<Arc<Varied>>,
    /// The body stands behind the head as one value.
    pub inline: bool,
    /// Length of the stored head value without the inline body.
    pub head_bytes: u32,
}
