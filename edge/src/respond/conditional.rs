//! What a client gets of a stored response: all, part, or only the news that nothing changed.
//!
//! [`shape`] puts together what the library makes of the request's preconditions (RFC 9110
//! §13.2.2) and of its `Range` (§14.2); [`reshape`] turns the stored head into that answer's head.
//! Pure. Only for answers from the cache to `GET` and `HEAD`: other methods are the origin's.

use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, LAST_MODIFIED, TRAILER,
};
use http::{Method, StatusCode};
use selvedge_cache::policy::validation::{Precondition, Stored, evaluate};
use selvedge_cache::range::{self, ByteRange, ByteRanges, ContentRange, Resolved, if_range_holds};

use super::multipart::Multipart;

pub use selvedge_cache::range::wanted::RANGES_MAX;

/// How a stored response is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// As it is.
    Full,
    /// 304: the client's copy still holds.
    NotModified,
    /// 412.
    PreconditionFailed,
    /// 206 with one part.
    Partial(ByteRange),
    /// 206 with several parts (`multipart/byteranges`).
    Parts(ByteRanges),
    /// 416.
    Unsatisfiable,
}

/// Decides how a stored response is answered. `length` is that of its content; while it is not
/// known, `Range` does not count.
pub fn shape(
    method: &Method,
    request: &HeaderMap,
    stored: &Stored<'_>,
    length: Option<u64>,
) -> Shape {
    match evaluate(method, request, stored) {
        Precondition::Proceed => {}
        Precondition::Failed => return Shape::PreconditionFailed,
        Precondition::NotModified => return Shape::NotModified,
    }
    // §14.2: ranges are defined for GET, and for what would be a 200.
    if *method != Method::GET || stored.status != StatusCode::OK {
        return Shape::Full;
    }
    let (Some(asked), Some(length)) = (range::parse(request, RANGES_MAX), length) else {
        return Shape::Full;
    };
    if !if_range_holds(request, stored.headers) {
        return Shape::Full;
    }
    match asked.resolve(length) {
        Resolved::Satisfiable(ranges) => match ranges[..] {
            [one] => Shape::Partial(one),
            _ => Shape::Parts(ranges),
        },
        Resolved::NotSatisfiable => Shape::Unsatisfiable,
        Resolved::Ignored => Shape::Full,
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
        (Shape::Partial(range), Some(length)) => {
            let content_range = ContentRange::Part { range: *range, length: Some(length) };
            *status = StatusCode::PARTIAL_CONTENT;
            headers.insert(CONTENT_RANGE, content_range.to_value());
            headers.insert(CONTENT_LENGTH, HeaderValue::from(range.len()));
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

/// Leaves what a 304 carries (§15.4.5): everything but what describes the bytes that the client
/// has. Type and language stay: a validation may have changed them, and only a 304 that has them
/// guides the update of the caches behind us (RFC 9111 §3.2). `Last-Modified` stays only where
/// there is no `ETag`.
fn remove_content_fields(headers: &mut HeaderMap) {
    const DESCRIBES_CONTENT: [HeaderName; 4] =
        [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, TRAILER];
    for name in DESCRIBES_CONTENT {
        headers.remove(name);
    }
    if headers.contains_key(ETAG) {
        headers.remove(LAST_MODIFIED);
    }
}

#[cfg(test)]
mod tests;
