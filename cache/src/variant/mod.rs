//! Variants: which stored response fits the selecting header fields (RFC 9111 §4.1).
//!
//! The names in `Vary` select; their values in a request, normalised so that equal meaning gives
//! equal bytes, are hashed together with the key. Two requests with the same hash may be answered
//! by the same stored response. Normalising is careful: where a value cannot be read, or a field
//! is unknown, only white space that cannot carry meaning is dropped.
//!
//! [`vary`] reads the names, [`normalize`] the values; [`language`] is the one place where a
//! response's own `Content-Language` may stand in for the request's preference; [`search`] is
//! about the query, which is part of the key and not of the variant, but folds by the same idea.

use http::{HeaderMap, HeaderName};

use crate::CacheKey;

pub mod language;
pub mod normalize;
pub mod search;
pub mod vary;

pub use vary::Vary;

/// Changes when the encoding or a normalisation changes: old variants are then never found.
const ENCODING_VERSION: u8 = 1;

/// The variant key: the cache key and the normalised selecting fields of a request. A field that
/// is absent and one that is present but empty differ.
pub fn selected_hash(key: &CacheKey, vary: &Vary, request: &HeaderMap) -> [u8; 32] {
    hash(key, vary, |name, out| normalize::selecting_value(name, request, out))
}

/// Hashes key, names and values. `value` appends the normalised value of one name and says
/// whether the field is there at all.
fn hash(
    key: &CacheKey,
    vary: &Vary,
    mut value: impl FnMut(&HeaderName, &mut normalize::Buffer) -> bool,
) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[ENCODING_VERSION]);
    hasher.update(&key.0);
    let mut buffer = normalize::Buffer::new();
    for name in &vary.0 {
        buffer.clear();
        let present = value(name, &mut buffer);
        part(&mut hasher, name.as_str().as_bytes());
        hasher.update(&[u8::from(present)]);
        part(&mut hasher, &buffer);
    }
    *hasher.finalize().as_bytes()
}

fn part(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u32).to_le_bytes());
    hasher.update(bytes);
}
