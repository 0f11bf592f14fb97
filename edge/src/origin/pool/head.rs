//! Is this head a response that may be believed, and what of it goes further?
//!
//! hyper's parser has accepted the syntax. What it lets through or merges silently is judged here,
//! because a cache that reads a message otherwise than its neighbour serves one client's bytes to
//! another (RFC 9112 §11.1). Then everything that belongs to this one connection is removed
//! (RFC 9110 §7.6.1), so that what is stored and sent on is the message alone.
//!
//! Pure: a head in, a judgement out.

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HOST, SET_COOKIE,
    TRAILER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use smallvec::SmallVec;

use crate::hop::{HOP_BY_HOP, is_irremovable};

/// Fields that must not arrive behind the content (RFC 9110 §6.5.1).
const NEVER_TRAILERS: [HeaderName; 7] =
    [CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HOST, SET_COOKIE, TRAILER];

/// Why a head is not believed: a sentence for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unbelievable(pub &'static str);

/// Judges the head of a final response and removes what belongs to the connection.
pub fn judge(
    status: StatusCode,
    version: Version,
    headers: &mut HeaderMap,
) -> Result<(), Unbelievable> {
    match status.as_u16() {
        101 => return Err(Unbelievable("101 answers a request that asked for no upgrade")),
        200..=599 => {}
        _ => return Err(Unbelievable("the status code is outside of 200 to 599")),
    }
    check_transfer_encoding(version, headers)?;
    merge_content_length(status, headers)?;
    remove_hop_by_hop(headers);
    Ok(())
}

/// Removes what belongs to the connection from the head of an interim response.
pub fn clean_interim(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    headers.remove(CONTENT_LENGTH);
}

/// Removes what may not stand in a trailer section.
pub fn clean_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    for name in &NEVER_TRAILERS {
        trailers.remove(name);
    }
}

/// Removes the fields that `Connection` names, and those that are hop-by-hop by definition.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let mut named: SmallVec<[HeaderName; 4]> = SmallVec::new();
    for value in headers.get_all(CONNECTION) {
        for token in value.as_bytes().split(|b| *b == b',') {
            if let Ok(name) = HeaderName::from_bytes(token.trim_ascii())
                && !is_irremovable(&name)
            {
                named.push(name);
            }
        }
    }
    headers.remove(CONNECTION);
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Codings that we know and have not asked for (no `TE` is sent): their bytes are not the content,
/// and passing them on as if they were would be the wrong bytes (RFC 9112 §7.2).
const CODINGS: [&str; 5] = ["gzip", "x-gzip", "deflate", "compress", "x-compress"];

/// `chunked` alone is undone by the parser and `identity` means nothing. One word that is no
/// coding at all cannot be undone by anybody: the content is what comes until the origin closes
/// (§6.3), and the parser never uses that connection again. What looks like a list, or like
/// `chunked` in disguise, is read in two ways by two readers and is refused.
fn check_transfer_encoding(version: Version, headers: &HeaderMap) -> Result<(), Unbelievable> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(first) = codings.next() else { return Ok(()) };
    if headers.contains_key(CONTENT_LENGTH) {
        return Err(Unbelievable("both Transfer-Encoding and Content-Length"));
    }
    if version < Version::HTTP_11 {
        return Err(Unbelievable("Transfer-Encoding in HTTP/1.0"));
    }
    if codings.next().is_some() || !first.to_str().is_ok_and(|coding| is_readable(coding.trim())) {
        return Err(Unbelievable("a Transfer-Encoding that we cannot undo"));
    }
    Ok(())
}

fn is_readable(coding: &str) -> bool {
    if coding.eq_ignore_ascii_case("chunked") {
        return true;
    }
    let is_word = !coding.is_empty()
        && coding.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    is_word
        && !coding.to_ascii_lowercase().contains("chunk")
        && !CODINGS.iter().any(|known| known.eq_ignore_ascii_case(coding))
}

/// One length, said once. Repeated equal values are merged (RFC 9112 §6.3); a 204 has no content
/// and no length (RFC 9110 §8.6).
fn merge_content_length(status: StatusCode, headers: &mut HeaderMap) -> Result<(), Unbelievable> {
    let mut lines = 0_usize;
    let mut length: Option<u64> = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        lines += 1;
        for part in value.as_bytes().split(|b| *b == b',') {
            lines += usize::from(part.len() != value.len());
            let part = digits(part.trim_ascii())
                .ok_or(Unbelievable("a Content-Length that is not a number"))?;
            if length.is_some_and(|length| length != part) {
                return Err(Unbelievable("contradicting Content-Length fields"));
            }
            length = Some(part);
        }
    }
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
    } else if let Some(length) = length
        && lines > 1
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(())
}

fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn judged(status: u16, fields: &[(&str, &str)]) -> Result<HeaderMap, Unbelievable> {
        let mut headers = map(fields);
        let status = StatusCode::from_u16(status).expect("a status");
        judge(status, Version::HTTP_11, &mut headers).map(|()| headers)
    }

    #[test]
    fn contradictions_are_not_believed() {
        for fields in [
            &[("content-length", "3"), ("transfer-encoding", "chunked")][..],
            &[("content-length", "3"), ("content-length", "4")],
            &[("content-length", "3, 4")],
            &[("content-length", "+3")],
            &[("content-length", "")],
            &[("content-length", "99999999999999999999999")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "gzip")],
            &[("transfer-encoding", "xchunked")],
            &[("transfer-encoding", "chunked;a")],
            &[("transfer-encoding", "foo, chunked")],
            &[("transfer-encoding", "chunked, foo")],
            &[("transfer-encoding", "foo;q=1")],
            &[("transfer-encoding", "")],
        ] {
            assert!(judged(200, fields).is_err(), "{fields:?}");
        }
        for status in [100, 101, 199, 600, 999] {
            assert!(judged(status, &[]).is_err(), "{status}");
        }
        let mut old = map(&[("transfer-encoding", "chunked")]);
        assert!(judge(StatusCode::OK, Version::HTTP_10, &mut old).is_err());
    }

    #[test]
    fn a_word_that_is_no_coding_goes_and_the_content_ends_with_the_connection() {
        assert!(judged(200, &[("transfer-encoding", "no-such")]).expect("believed").is_empty());
    }

    #[test]
    fn equal_lengths_become_one_and_a_204_has_none() {
        for fields in
            [&[("content-length", "3"), ("content-length", "3")][..], &[("content-length", "3 ,3")]]
        {
            let headers = judged(200, fields).expect("believed");
            let all: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(all, ["3"]);
        }
        assert!(judged(204, &[("content-length", "0")]).expect("believed").is_empty());
    }

    #[test]
    fn what_belongs_to_the_connection_is_removed() {
        let headers = judged(
            200,
            &[
                ("connection", "close, X-One"),
                ("connection", "x-two,, bad name"),
                ("x-one", "1"),
                ("x-two", "2"),
                ("keep-alive", "timeout=5"),
                ("transfer-encoding", "Chunked"),
                ("upgrade", "h2c"),
                ("x-kept", "3"),
            ],
        )
        .expect("believed");
        assert_eq!(headers, map(&[("x-kept", "3")]));
    }

    #[test]
    fn connection_cannot_name_away_what_everyone_must_see() {
        let fields = [("cache-control", "private"), ("vary", "cookie"), ("content-length", "0")];
        let mut sent = vec![("connection", "Cache-Control, Vary, content-length")];
        sent.extend(fields);
        assert_eq!(judged(200, &sent).expect("believed"), map(&fields));
    }

    #[test]
    fn trailers_carry_no_framing_and_no_rules() {
        let mut trailers = map(&[
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("set-cookie", "a=b"),
            ("cache-control", "public"),
            ("x-checksum", "1"),
        ]);
        clean_trailers(&mut trailers);
        assert_eq!(trailers, map(&[("x-checksum", "1")]));
    }
}
