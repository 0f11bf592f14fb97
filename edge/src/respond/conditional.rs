//! What a client gets of a stored response: all, part, or only the news that nothing changed.
//!
//! [`shape`] evaluates the preconditions of the request (RFC 9110 §13.2.2, in that order) and its
//! `Range` against the stored head; [`reshape`] turns the stored head into that answer's head.
//! Pure. Only for answers from the cache to `GET` and `HEAD`: other methods are the origin's.

use std::time::{Duration, SystemTime};

use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG,
    HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, TRAILER,
};
use http::{Method, StatusCode};

use super::multipart::Multipart;
use super::range::{self, Part, Parts, Selection};

/// How a stored response is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// As it is.
    Full,
    /// 304: the client's copy still holds.
    NotModified,
    /// 412.
    PreconditionFailed,
    /// 206 with one part, both ends inclusive.
    Partial {
        /// First byte.
        start: u64,
        /// Last byte.
        end: u64,
    },
    /// 206 with several parts (`multipart/byteranges`).
    Parts(Parts),
    /// 416.
    Unsatisfiable,
}

/// Decides how a response that is stored with `status` and `stored` fields is answered. `length`
/// is that of its content; while it is not known, `Range` does not count.
pub fn shape(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    stored: &HeaderMap,
    length: Option<u64>,
) -> Shape {
    let is_get = *method == Method::GET;
    // §13.2.1: preconditions only count where the answer without them were 2xx.
    if !status.is_success() || !(is_get || *method == Method::HEAD) {
        return Shape::Full;
    }
    match precondition(request, stored) {
        Precondition::Holds => {}
        Precondition::Failed => return Shape::PreconditionFailed,
        Precondition::Unchanged => return Shape::NotModified,
    }
    // §14.2: ranges are defined for GET, and for what would be a 200.
    let (Some(wanted), Some(length)) = (sole(request, &RANGE), length) else {
        return Shape::Full;
    };
    if !is_get || status != StatusCode::OK || !if_range_holds(request, stored) {
        return Shape::Full;
    }
    match range::select(wanted.as_bytes(), length) {
        Selection::Whole => Shape::Full,
        Selection::One(Part { start, end }) => Shape::Partial { start, end },
        Selection::Several(parts) => Shape::Parts(parts),
        Selection::Nothing => Shape::Unsatisfiable,
    }
}

/// Turns the stored head into the head of the answer; gives back the framing of a multipart
/// content. `unique` is a random number. A 412 or 416 is not made from the stored head but by
/// [`synthetic`](super::synthetic), so these leave it as it is.
pub fn reshape(
    shape: &Shape,
    status: &mut StatusCode,
    headers: &mut HeaderMap,
    length: Option<u64>,
    unique: impl FnOnce() -> u128,
) -> Option<Multipart> {
    match (shape, length) {
        (Shape::NotModified, _) => {
            *status = StatusCode::NOT_MODIFIED;
            remove_content_fields(headers);
            None
        }
        (Shape::Partial { start, end }, Some(length)) => {
            let part = Part { start: *start, end: *end };
            *status = StatusCode::PARTIAL_CONTENT;
            headers.insert(CONTENT_RANGE, part.content_range(length));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(part.length()));
            None
        }
        (Shape::Parts(parts), Some(length)) => {
            let multipart = Multipart::new(parts, length, headers.get(CONTENT_TYPE), unique());
            *status = StatusCode::PARTIAL_CONTENT;
            headers.insert(CONTENT_TYPE, multipart.content_type());
            headers.insert(CONTENT_LENGTH, HeaderValue::from(multipart.content_length()));
            Some(multipart)
        }
        _ => None,
    }
}

/// Leaves what a 304 carries (§15.4.5): everything but what describes the content. It keeps
/// `Last-Modified` only where there is no `ETag`.
fn remove_content_fields(headers: &mut HeaderMap) {
    const DESCRIBES_CONTENT: [HeaderName; 6] =
        [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, TRAILER];
    for name in DESCRIBES_CONTENT {
        headers.remove(name);
    }
    if headers.contains_key(ETAG) {
        headers.remove(LAST_MODIFIED);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Precondition {
    Holds,
    Failed,
    Unchanged,
}

/// §13.2.2. A cache may ignore the first two (§13.1.1, §13.1.4); but who sends them with a range
/// must not get bytes of another version, so we do not.
fn precondition(request: &HeaderMap, stored: &HeaderMap) -> Precondition {
    if request.contains_key(IF_MATCH) {
        if !any_tag_matches(request, &IF_MATCH, stored, Comparison::Strong) {
            return Precondition::Failed;
        }
    } else if let Some(limit) = sole_date(request, &IF_UNMODIFIED_SINCE)
        && let Some(modified) = sole_date(stored, &LAST_MODIFIED)
        && modified > limit
    {
        return Precondition::Failed;
    }
    if request.contains_key(IF_NONE_MATCH) {
        if any_tag_matches(request, &IF_NONE_MATCH, stored, Comparison::Weak) {
            return Precondition::Unchanged;
        }
    } else if let Some(since) = sole_date(request, &IF_MODIFIED_SINCE) {
        // RFC 9111 §4.3.2: without `Last-Modified` a cache uses `Date`.
        let modified = sole_date(stored, &LAST_MODIFIED).or_else(|| sole_date(stored, &DATE));
        if modified.is_some_and(|modified| modified <= since) {
            return Precondition::Unchanged;
        }
    }
    Precondition::Holds
}

/// §13.1.5; an absent field holds.
fn if_range_holds(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let Some(validator) = sole(request, &IF_RANGE) else {
        return !request.contains_key(IF_RANGE);
    };
    let validator = validator.as_bytes();
    if validator.starts_with(b"\"") || validator.starts_with(b"W/") {
        let tag = stored.get(ETAG).map(HeaderValue::as_bytes);
        return tag.is_some_and(|tag| matches(validator, tag, Comparison::Strong));
    }
    // A date must be exactly the one we hold, and a strong validator (§8.8.2.2): a second
    // version can not have been made within the same second.
    let wanted = sole_date(request, &IF_RANGE);
    let (modified, sent) = (sole_date(stored, &LAST_MODIFIED), sole_date(stored, &DATE));
    let (Some(wanted), Some(modified), Some(sent)) = (wanted, modified, sent) else {
        return false;
    };
    wanted == modified && modified + Duration::from_secs(1) <= sent
}

/// How entity tags are compared (§8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comparison {
    Strong,
    Weak,
}

fn any_tag_matches(
    request: &HeaderMap,
    name: &HeaderName,
    stored: &HeaderMap,
    comparison: Comparison,
) -> bool {
    let tag = stored.get(ETAG).map(HeaderValue::as_bytes);
    request.get_all(name).iter().any(|line| {
        let line = line.as_bytes().trim_ascii();
        // `*` is "any current representation": the stored one.
        line == b"*"
            || tag.is_some_and(|tag| tags(line).any(|asked| matches(asked, tag, comparison)))
    })
}

fn matches(asked: &[u8], tag: &[u8], comparison: Comparison) -> bool {
    match comparison {
        // A strong tag is a quoted string; what some origins send unquoted is never strong.
        Comparison::Strong => asked.starts_with(b"\"") && asked == tag,
        Comparison::Weak => opaque(asked) == opaque(tag),
    }
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The elements of a list of entity tags. A comma inside quotes belongs to the tag; there are no
/// escapes. What is not quoted counts up to the next comma.
fn tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    })
    .map(<[u8]>::trim_ascii)
    .filter(|tag| !tag.is_empty())
}

/// The value of a field that stands once. Of two, neither counts: they are no lists.
fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    Some(line)
}

/// The date of a field that stands once and is valid; otherwise it does not count.
fn sole_date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(sole(headers, name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests;
