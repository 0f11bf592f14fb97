//! A request that has been here already (RFC 8586).
//!
//! Two caches that are each other's origin hand one request to and fro for as long as both have
//! connections; collapsed with itself it waits for its own answer. Each node therefore adds an
//! entry to `CDN-Loop`, and refuses what carries its own. The entry has a random number of this
//! process beside the name that all nodes share: a shield behind an edge of the same fleet is no
//! loop. Clients are never shown the number, so they cannot make a request look like a loop to
//! others; and a chain of too many nodes of ours is refused wherever it was made up.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The field.
pub const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// The name that all nodes share: the `cdn-id` of our entries.
const NAME: &str = "selvedge";

/// Entries of our name in one request; one more is refused. An edge, a shield and a second shield
/// are three.
const PASSES_MAX: usize = 8;

/// How this node knows itself again. Kept across reloads.
#[derive(Clone, PartialEq, Eq)]
pub struct CdnLoop {
    /// `selvedge;node=0123456789abcdef`.
    entry: HeaderValue,
}

impl Default for CdnLoop {
    fn default() -> Self {
        Self::new(RandomState::new().hash_one(NAME))
    }
}

impl CdnLoop {
    /// A node of this number.
    pub fn new(node: u64) -> Self {
        let entry = HeaderValue::try_from(format!("{NAME};node={node:016x}"))
            .expect("letters, digits, `;` and `=` are a valid field value");
        Self { entry }
    }

    /// Whether a request with these fields was here before, or at too many nodes like this one.
    pub fn closes(&self, headers: &HeaderMap) -> bool {
        let mut passes = 0;
        for line in headers.get_all(&CDN_LOOP) {
            for entry in line.as_bytes().split(|&byte| byte == b',') {
                let entry = entry.trim_ascii();
                if entry == self.entry.as_bytes() {
                    return true;
                }
                let name = entry.split(|&byte| byte == b';').next().unwrap_or(entry);
                passes += usize::from(name.trim_ascii().eq_ignore_ascii_case(NAME.as_bytes()));
            }
        }
        passes > PASSES_MAX
    }

    /// Adds this node's entry; those of others stay as they are (RFC 8586 §2).
    pub fn add(&self, headers: &mut HeaderMap) {
        headers.append(CDN_LOOP, self.entry.clone());
    }
}

impl fmt::Debug for CdnLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CdnLoop(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[&str]) -> HeaderMap {
        let line = |line: &&str| (CDN_LOOP, line.parse().expect("a value"));
        lines.iter().map(line).collect()
    }

    #[test]
    fn a_node_knows_its_own_entry_among_others_and_nobody_elses() {
        let (here, there) = (CdnLoop::new(7), CdnLoop::new(8));
        let mut headers = fields(&["other.example; a=\"b\", third"]);
        assert!(!here.closes(&headers));
        here.add(&mut headers);
        assert!(here.closes(&headers) && !there.closes(&headers));
        assert!(here.closes(&fields(&["x,selvedge;node=0000000000000007 , y"])));
        assert!(!here.closes(&fields(&["selvedge", "selvedge;node=7", ",,;", ""])));
    }

    #[test]
    fn a_chain_of_nodes_has_an_end() {
        let mut headers = HeaderMap::new();
        for node in 0..PASSES_MAX as u64 {
            CdnLoop::new(node).add(&mut headers);
        }
        assert!(!CdnLoop::new(99).closes(&headers));
        headers.append(CDN_LOOP, HeaderValue::from_static("Selvedge"));
        assert!(CdnLoop::new(99).closes(&headers));
    }
}
