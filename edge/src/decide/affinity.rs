//! What requests are told apart by when the site's origins are chosen by hash.
//!
//! Requests of one affinity go to the same origin. The numbers are a promise: nodes of a fleet,
//! also of different versions, must send the same request to the same origin
//! (`affinities_are_the_same_in_every_version`).

use std::fmt;

use http::header::{COOKIE, HeaderMap, HeaderName};
use selvedge_cache::CacheKey;

use crate::admit::Admitted;

/// The part of a request that counts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Affinity {
    /// What the cache would file it under: each object is fetched from one origin.
    #[default]
    Key,
    /// The client's address, as far as it is believed.
    Client,
    /// A field; requests without it go anywhere.
    Header(HeaderName),
    /// A cookie; requests without it go anywhere.
    Cookie(String),
}

impl Affinity {
    /// An evenly spread number; `None` when the request lacks what counts.
    pub fn of(&self, key: &CacheKey, admitted: &Admitted) -> Option<u64> {
        match self {
            Self::Key => Some(number(&key.0)),
            Self::Client => {
                admitted.client.map(|ip| number(ip.to_canonical().to_string().as_bytes()))
            }
            Self::Header(name) => admitted.headers.get(name).map(|value| number(value.as_bytes())),
            Self::Cookie(name) => {
                cookie(&admitted.headers, name).map(|value| number(value.as_bytes()))
            }
        }
    }
}

/// As it is configured: `cookie:session`.
impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("key"),
            Self::Client => f.write_str("client"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

/// The value of a cookie (RFC 6265 §4.2.1); the first, when there are several.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim())
}

/// The first eight bytes of the BLAKE3 hash.
pub fn number(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    let first = hash.as_bytes().first_chunk().expect("a BLAKE3 hash has 32 bytes");
    u64::from_le_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "xsid=1; sid2=2".parse().expect("a value"));
        headers.append(COOKIE, " sid = three ;sid=4".parse().expect("a value"));
        assert_eq!(cookie(&headers, "sid"), Some("three"));
        assert_eq!(cookie(&headers, "sid3"), None);
    }

    #[test]
    fn affinities_are_the_same_in_every_version() {
        // The published test vector of BLAKE3 for no input begins with af 13 49 b9 f5 f9 a1 a6.
        assert_eq!(number(b""), 0xa6a1_f9f5_b949_13af);
    }
}
