//! Byte ranges as pure functions (RFC 9110 §14).
//!
//! [`request`] parses `Range` and resolves it against a length; [`if_range`] decides whether a
//! range may be used at all; [`content_range`] writes and reads `Content-Range`; [`missing`] asks an
//! origin for bytes that are lacking and says whether its answer may be spliced; [`received`] reads
//! what a 206 brings, [`parts`] keeps the list of what is there, and [`wanted`] compares it with what
//! a request needs. A `Range` that
//! cannot be read is ignored, as §14.2 allows, and so is one that asks for more than the whole:
//! a range request never costs more than a plain one.

use smallvec::SmallVec;

pub mod content_range;
pub mod if_range;
pub mod missing;
pub mod parts;
pub mod received;
pub mod request;
pub mod wanted;

pub use content_range::ContentRange;
pub use if_range::if_range_holds;
pub use missing::{Missing, Representation, Splice, Unfit};
pub use parts::{Parts, Piece};
pub use received::{Received, Trust};
pub use request::{RangeSet, RangeSpec, Resolved, parse};

/// Ranges of one representation, apart from each other.
pub type ByteRanges = SmallVec<[ByteRange; 2]>;

/// Bytes `first..=last` of a representation; `first <= last < length`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte, inclusive.
    pub last: u64,
}

impl ByteRange {
    /// Number of bytes; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub const fn len(&self) -> u64 {
        // `last < length <= u64::MAX`, so this does not overflow.
        self.last - self.first + 1
    }
}
