//! Tags of a response: names given by the origin, to purge many responses together.
//!
//! `Surrogate-Key` (separated by spaces), `Cache-Tag` (by commas), `Cache-Groups` (RFC 9875, a
//! structured list of strings): one name space. Kept as hashes. A tag that is not kept would be a
//! purge that never selects, so whatever cannot be kept raises `overflow`, and then every tag
//! purge selects the response.

use http::{HeaderMap, HeaderValue};
use sfv::{BareItem, List, ListEntry, Parser};

use crate::invalidate::scope::tag_hash;

/// Longer tags are not kept, in bytes: no tool would type them back.
pub const TAG_BYTES_MAX: usize = 1024;

/// What a head says of its tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// Hashes, sorted and unique.
    pub hashes: Vec<u64>,
    /// There were tags that are not in `hashes`.
    pub overflow: bool,
}

impl Tags {
    /// Reads all three fields; keeps at most `tags_max`.
    pub fn of(headers: &HeaderMap, tags_max: usize) -> Self {
        let mut tags = Self::default();
        for line in headers.get_all("surrogate-key") {
            line.as_bytes().split(u8::is_ascii_whitespace).for_each(|t| tags.add(t, tags_max));
        }
        for line in headers.get_all("cache-tag") {
            line.as_bytes().split(|b| *b == b',').for_each(|t| tags.add(t, tags_max));
        }
        for group in groups(headers, "cache-groups") {
            tags.add(group.as_bytes(), tags_max);
        }
        tags
    }

    fn add(&mut self, tag: &[u8], tags_max: usize) {
        let tag = tag.trim_ascii();
        if tag.is_empty() {
            return;
        }
        match std::str::from_utf8(tag) {
            Ok(tag) if tag.len() <= TAG_BYTES_MAX => self.insert(tag_hash(tag), tags_max),
            _ => self.overflow = true,
        }
    }

    fn insert(&mut self, hash: u64, tags_max: usize) {
        let Err(at) = self.hashes.binary_search(&hash) else { return };
        if self.hashes.len() < tags_max {
            self.hashes.insert(at, hash);
        } else {
            self.overflow = true;
        }
    }

    /// Adds the tags of an older head of the same response: after a 304 the union holds, since a
    /// purge of a tag that the bytes were fetched under must still select them.
    #[must_use]
    pub fn union(mut self, older: &[u64], older_overflow: bool, tags_max: usize) -> Self {
        for hash in older {
            self.insert(*hash, tags_max);
        }
        self.overflow |= older_overflow;
        self
    }
}

/// The strings of a structured list; a field that cannot be parsed is ignored, as are members
/// that are no strings (RFC 9875 §2, RFC 9651 §4.2).
pub(super) fn groups(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let Ok(list) = Parser::new(&lines.join(&b", "[..])).parse::<List>() else {
        return Vec::new();
    };
    list.into_iter()
        .filter_map(|entry| match entry {
            ListEntry::Item(item) => match item.bare_item {
                BareItem::String(text) => Some(text.as_str().to_owned()),
                _ => None,
            },
            ListEntry::InnerList(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&'static str, &'static [u8])], tags_max: usize) -> Tags {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value).expect("test value"));
        }
        Tags::of(&headers, tags_max)
    }

    fn hashes(tags: &[&str]) -> Vec<u64> {
        let mut hashes: Vec<u64> = tags.iter().map(|tag| tag_hash(tag)).collect();
        hashes.sort_unstable();
        hashes
    }

    #[test]
    fn three_fields_are_one_name_space() {
        let got = read(
            &[
                ("surrogate-key", b"a  b"),
                ("cache-tag", b"b, c d ,"),
                ("cache-groups", b"\"e\", \"f, g\";x=1"),
                ("surrogate-key", b"h"),
            ],
            128,
        );
        assert_eq!(got.hashes, hashes(&["a", "b", "c d", "e", "f, g", "h"]));
        assert!(!got.overflow);
    }

    #[test]
    fn r9875_a_broken_list_is_ignored_and_so_are_members_that_are_no_strings() {
        assert_eq!(read(&[("cache-groups", b"\"a\", ?")], 9), Tags::default());
        assert_eq!(read(&[("cache-groups", b"a, 1, (\"b\"), \"c\"")], 9).hashes, hashes(&["c"]));
    }

    #[test]
    fn what_is_not_kept_is_admitted() {
        let got = read(&[("surrogate-key", b"a b c a b c")], 3);
        assert_eq!((got.hashes.len(), got.overflow), (3, false));
        let got = read(&[("surrogate-key", b"a b c d")], 3);
        assert_eq!((got.hashes.len(), got.overflow), (3, true));
        assert!(read(&[("cache-tag", b"caf\xe9")], 3).overflow);
        let mut headers = HeaderMap::new();
        let long = "x".repeat(TAG_BYTES_MAX + 1);
        headers.insert("cache-tag", HeaderValue::from_str(&long).expect("letters"));
        assert!(Tags::of(&headers, 3).overflow);
    }

    #[test]
    fn tags_after_a_304_are_the_union() {
        let got = read(&[("cache-tag", b"a,b")], 3).union(&hashes(&["b", "c"]), false, 3);
        assert_eq!((got.hashes, got.overflow), (hashes(&["a", "b", "c"]), false));
        let got = read(&[("cache-tag", b"a")], 1).union(&hashes(&["b"]), false, 1);
        assert!(got.overflow);
        assert!(Tags::default().union(&[], true, 1).overflow);
    }
}
