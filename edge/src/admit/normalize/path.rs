//! One form for each path, the same in the cache key and towards the origin (RFC 3986 §6.2.2).
//!
//! Percent-encodings are written in upper case, encoded unreserved characters are decoded, then
//! dot segments are removed; nothing else changes. `%2F` stays `%2F` and `//` stays `//`, because
//! servers do tell them apart. Broken escapes (`%zz`) stay as they are: they are somebody's bytes.
//! The query is never touched. Encoded control bytes stay encoded, and raw ones never come here.

use bytes::Bytes;
use http::uri::PathAndQuery;

use crate::error::Cause;

/// Brings path and query to one form, sharing the memory when nothing changes.
pub(in crate::admit) fn normalise(target: &PathAndQuery) -> Result<PathAndQuery, Cause> {
    let path = target.path();
    let rootless = !target.as_str().starts_with('/') && target.as_str() != "*";
    if !rootless && is_normal(path.as_bytes()) {
        return Ok(target.clone());
    }
    let mut text = remove_dot_segments(&decode(path.as_bytes()));
    if let Some(query) = target.query() {
        text.push(b'?');
        text.extend_from_slice(query.as_bytes());
    }
    PathAndQuery::from_maybe_shared(Bytes::from(text)).map_err(|_| Cause::Malformed)
}

/// Whether there is certainly nothing to do: no escapes and no segment that begins with a dot.
fn is_normal(path: &[u8]) -> bool {
    memchr::memchr2_iter(b'%', b'.', path)
        .all(|at| path[at] == b'.' && at.checked_sub(1).is_some_and(|before| path[before] != b'/'))
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn hex(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

/// Decodes what needs no encoding and upper-cases the rest. A byte that would complete a broken
/// escape before it (`%%32%65` → `%2e`) stays encoded: else the next reader sees another path.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut decodable_from = 0;
    let mut at = 0;
    while at < path.len() {
        let escape =
            if let [b'%', high, low, ..] = path[at..] { hex(high).zip(hex(low)) } else { None };
        if let Some((high, low)) = escape {
            let byte = high << 4 | low;
            if is_unreserved(byte) && out.len() >= decodable_from {
                out.push(byte);
            } else {
                out.push(b'%');
                out.extend(path[at + 1..at + 3].iter().map(u8::to_ascii_uppercase));
            }
            at += 3;
        } else {
            out.push(path[at]);
            if path[at] == b'%' {
                decodable_from = out.len() + 2;
            }
            at += 1;
        }
    }
    out
}

/// RFC 3986 §5.2.4 for absolute paths: `..` at the root stays at the root.
fn remove_dot_segments(path: &[u8]) -> Vec<u8> {
    if path == b"*" {
        return path.to_vec();
    }
    let mut out: Vec<u8> = Vec::with_capacity(path.len() + 1);
    let mut segments = path.strip_prefix(b"/").unwrap_or(path).split(|&byte| byte == b'/');
    let mut next = segments.next();
    while let Some(segment) = next {
        next = segments.next();
        let last = next.is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    let parent = memchr::memrchr(b'/', &out).unwrap_or(0);
                    out.truncate(parent);
                }
                if last {
                    out.push(b'/');
                }
            }
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form(target: &str) -> String {
        let target = PathAndQuery::try_from(target).expect("a target of the test");
        normalise(&target).expect("normalises").as_str().to_owned()
    }

    #[test]
    fn paths_have_one_form() {
        for (target, want) in [
            ("/", "/"),
            ("*", "*"),
            ("?a=1", "/?a=1"),
            ("/a/b.html", "/a/b.html"),
            ("/a?", "/a?"),
            ("/%7Euser/%61", "/~user/a"),
            ("/a%2fb", "/a%2Fb"),
            ("/a//b", "/a//b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/%2e./b", "/b"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a//../b", "/a/b"),
            ("/%zz/%4", "/%zz/%4"),
            ("/%", "/%"),
            ("/%00%0a", "/%00%0A"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/%25%32%65", "/%252e"),
            ("/%%32%65%%32e/x", "/%%32e%%32e/x"),
            ("/%4%31%41", "/%4%31A"),
            ("/a?x=../%7e&y=%2f", "/a?x=../%7e&y=%2f"),
            ("/a/%2e%2e?x=../", "/?x=../"),
        ] {
            assert_eq!(form(target), want, "{target}");
        }
    }

    #[test]
    fn unchanged_paths_share_their_memory() {
        let bytes = Bytes::from_static(b"/static/app.min.js?v=1");
        let target = PathAndQuery::from_maybe_shared(bytes).expect("valid");
        let same = normalise(&target).expect("normalises");
        assert_eq!(same.as_str().as_ptr(), target.as_str().as_ptr());
    }

    proptest! {
        #[test]
        fn no_dot_segment_survives(path in "(/(\\.|%2e|%2E|a|%|2|%41){0,4}){0,6}") {
            let target = if path.is_empty() { "/".to_owned() } else { path };
            let once = form(&target);
            prop_assert!(once.starts_with('/'));
            prop_assert_eq!(form(&once), once.clone());
            prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."));
        }
    }
}
