//! One stored response, as the directory remembers it.

use std::sync::Arc;

use crate::invalidate::Position;
use crate::policy::Fresh;
use crate::range::Parts;
use crate::store::CHUNK_BYTES;
use crate::variant::Vary;
use crate::{CacheKey, Millis};

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
    /// Object id of the body chunks; equals `head` when the body is inline. Of a body in parts: the
    /// object that came last.
    pub body: u64,
    /// Body length in bytes: of all of it, also when only parts are stored.
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
    /// What is stored of the body, when that came in parts (RFC 9111 §3.3).
    pub parts: Option<Arc<Parts>>,
    /// Length of the stored head value without the inline body.
    pub head_bytes: u32,
}

impl Record {
    /// Bytes of the body that are stored.
    pub fn stored_bytes(&self) -> u64 {
        self.parts.as_ref().map_or(self.length, |parts| parts.bytes())
    }

    /// The chunks of its body: object id and number.
    pub fn chunks(&self) -> impl Iterator<Item = (u64, u32)> {
        let whole = (self.parts.is_none() && !self.inline).then_some((self.body, 0, self.length));
        let pieces = self.parts.iter().flat_map(|parts| parts.pieces());
        let pieces = pieces.map(|piece| (piece.object, piece.offset, piece.range.len()));
        whole.into_iter().chain(pieces).flat_map(|(object, offset, bytes)| {
            let end = (offset + bytes).div_ceil(CHUNK_BYTES as u64);
            (offset / CHUNK_BYTES as u64..end).map(move |chunk| (object, chunk as u32))
        })
    }

    /// Whether both answer the same requests.
    pub fn is_same_variant(&self, other: &Self) -> bool {
        match (&self.varied, &other.varied) {
            (None, None) => true,
            (Some(a), Some(b)) => a.selected == b.selected,
            _ => false,
        }
    }
}
