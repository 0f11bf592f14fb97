//! The cache key: which requests may be answered by the same stored response, before `Vary`.
//!
//! A key is a blake3 hash over a versioned, length-prefixed encoding, never a joined string:
//! no choice of host, path or query can be mistaken for another.

use std::fmt;

/// Changes when the encoding below changes, so that old keys are never found by new code.
const ENCODING_VERSION: u8 = 1;

/// Encodings up to this length stay on the stack, in bytes.
const STACK_BYTES: usize = 512;

/// 32-byte hash of (site identity, scheme, host, path, query) as the site normalises them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey(pub [u8; 32]);

/// What goes into a [`CacheKey`]; all parts are already normalised.
#[derive(Clone, Copy, Debug)]
pub struct KeyParts<'a> {
    /// The configured name of the site: tenants never share stored responses.
    pub site: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Lower-case host, with the port when it is not the scheme's default.
    pub host: &'a str,
    /// Path, beginning with `/`.
    pub path: &'a str,
    /// Query without `?`; `None` when there is none (`/a` and `/a?` differ).
    pub query: Option<&'a str>,
}

impl CacheKey {
    /// Hashes the parts.
    pub fn of(parts: &KeyParts<'_>) -> Self {
        // Encoded in one piece and hashed in one go: for the usual hundred bytes the many small
        // updates of a streaming hasher cost more than the hash.
        let query = parts.query.unwrap_or("");
        let texts = [parts.site, parts.scheme, parts.host, parts.path, query];
        let bytes = 2 + texts.iter().map(|text| 4 + text.len()).sum::<usize>();
        let (mut small, mut large);
        let out: &mut [u8] = if bytes <= STACK_BYTES {
            small = [0; STACK_BYTES];
            &mut small[..bytes]
        } else {
            large = vec![0; bytes];
            &mut large
        };
        out[0] = ENCODING_VERSION;
        out[1] = u8::from(parts.query.is_some());
        let mut at = 2;
        for text in texts {
            out[at..at + 4].copy_from_slice(&(text.len() as u32).to_le_bytes());
            out[at + 4..at + 4 + text.len()].copy_from_slice(text.as_bytes());
            at += 4 + text.len();
        }
        Self(*blake3::hash(out).as_bytes())
    }

    /// A well-mixed 64-bit part of the key, for tables.
    pub fn hash64(&self) -> u64 {
        u64::from_le_bytes(self.0[..8].try_into().expect("a key has 32 bytes"))
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..8] {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…")
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str, query: Option<&str>) -> CacheKey {
        CacheKey::of(&KeyParts { site: "s", scheme: "http", host: "h", path, query })
    }

    /// Stored objects are found again by keys that another version wrote: the encoding is fixed.
    #[test]
    fn a_key_is_the_hash_of_its_length_prefixed_parts() {
        let long = format!("/{}", "x".repeat(2 * STACK_BYTES));
        for (path, query) in [("/a", None), ("/a", Some("b=c")), (long.as_str(), Some(""))] {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&[ENCODING_VERSION, u8::from(query.is_some())]);
            for part in ["s", "http", "h", path, query.unwrap_or("")] {
                hasher.update(&(part.len() as u32).to_le_bytes());
                hasher.update(part.as_bytes());
            }
            assert_eq!(key(path, query).0, *hasher.finalize().as_bytes());
        }
    }

    #[test]
    fn parts_cannot_run_into_each_other() {
        assert_ne!(key("/a", Some("b")), key("/ab", Some("")));
        assert_ne!(key("/a", None), key("/a", Some("")));
        assert_eq!(key("/a", Some("b")), key("/a", Some("b")));
    }
}
