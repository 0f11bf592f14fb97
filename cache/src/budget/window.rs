//! How much of a body a client is handed at once, and the bytes that know their permit.
//!
//! A client that reads nothing keeps one piece in memory. While there is room that is a whole
//! chunk, which costs the fewest system calls; as windows fill up, pieces become smaller, so that
//! many slow clients fit: with 256 MiB of memory more than six thousand.

use bytes::Bytes;

use super::{Budget, Class, Permit};
use crate::store::CHUNK_BYTES;

/// A piece under some pressure, in bytes.
const SMALL_BYTES: usize = 16 * 1024;
/// The smallest piece, in bytes.
pub const PIECE_BYTES_MIN: usize = 4 * 1024;

/// The next piece, in bytes, when windows hold `used` of `limit`.
pub const fn piece_bytes(used: usize, limit: usize) -> usize {
    if used < limit / 8 {
        CHUNK_BYTES
    } else if used < limit / 4 {
        SMALL_BYTES
    } else {
        PIECE_BYTES_MIN
    }
}

impl Budget {
    /// How much a client may be handed at once now, in bytes.
    pub fn piece_bytes(&self) -> usize {
        piece_bytes(self.used_bytes(Class::Windows), self.limit_bytes(Class::Windows))
    }
}

/// The bytes with their permit: it is given back when the last of them has left.
pub fn held(bytes: Bytes, mut permit: Permit) -> Bytes {
    permit.resize(bytes.len());
    Bytes::from_owner(Held { bytes, _permit: permit })
}

struct Held {
    bytes: Bytes,
    _permit: Permit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A piece of a larger value: the value itself when it is to be handed out whole, a copy of the
/// right size otherwise, so that a small piece does not keep a large value.
pub fn cut(value: &Bytes, from: usize, to: usize) -> Bytes {
    if to - from > SMALL_BYTES {
        value.slice(from..to)
    } else {
        Bytes::copy_from_slice(&value[from..to])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_shrink_as_windows_fill_and_the_last_slice_gives_the_permit_back() {
        let budget = Budget::new(16 << 20);
        assert_eq!(budget.piece_bytes(), CHUNK_BYTES);
        let permit = budget.take(Class::Windows, 300 << 10).expect("room");
        assert_eq!(budget.piece_bytes(), SMALL_BYTES);
        let more = budget.take(Class::Windows, 300 << 10).expect("room");
        assert_eq!(budget.piece_bytes(), PIECE_BYTES_MIN);
        drop(more);
        let mut piece = held(Bytes::from_static(b"some bytes"), permit);
        assert_eq!(budget.used_bytes(Class::Windows), 10);
        let rest = piece.split_off(4);
        drop(piece);
        assert_eq!(budget.used_bytes(Class::Windows), 10);
        drop(rest);
        assert_eq!(budget.used_bytes(Class::Windows), 0);
    }
}
