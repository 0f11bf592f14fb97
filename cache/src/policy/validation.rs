//! Validators: asking the origin whether a stored response still holds (RFC 9111 §4.3), reading
//! its answer, and answering a client's own conditions from the store (RFC 9110 §13).
//!
//! Only a well-formed entity tag is a validator; a malformed one is passed on as it came, never
//! sent to ask with, and good for one thing: a client that gives back the same bytes in
//! `If-None-Match` has what we have. A cache may ignore `If-Match` and `If-Unmodified-Since`
//! (RFC 9110 §13.1.1, §13.1.4); but who sends them with a range must not get bytes of another
//! version, so they are heeded.

use http::header::{
    AsHeaderName, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use http::{Method, StatusCode};

use super::date::{self, DateField};
use crate::Millis;

/// Entity tags sent in one `If-None-Match`: more stored responses than this are not offered.
pub const TAGS_OFFERED_MAX: usize = 16;

// === Entity tags (RFC 9110 §8.8.3) ===

/// A well-formed entity tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag<'a> {
    /// Prefixed with `W/`.
    pub weak: bool,
    /// Between the quotes.
    pub opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// Reads one field value.
    pub fn of(value: &'a HeaderValue) -> Option<Self> {
        let (tag, after) = Self::first(value.as_bytes().trim_ascii())?;
        after.is_empty().then_some(tag)
    }

    /// The tag of a response; `None` when it has none, a malformed one or several.
    pub fn of_head(headers: &'a HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(ETAG).iter();
        let first = Self::of(lines.next()?)?;
        lines.next().is_none().then_some(first)
    }

    /// A tag at the start of `bytes`, and what follows it.
    fn first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, quoted) = match bytes {
            [b'W', b'/', quoted @ ..] => (true, quoted),
            quoted => (false, quoted),
        };
        let [b'"', inner @ ..] = quoted else { return None };
        let end = inner.iter().position(|b| *b == b'"')?;
        // etagc: no white space, no control bytes; obs-text is allowed.
        let fine = inner[..end].iter().all(|b| !matches!(b, 0..=b' ' | 0x7f));
        fine.then(|| (Self { weak, opaque: &inner[..end] }, &inner[end + 1..]))
    }

    /// Strong comparison (§8.8.3.2).
    pub fn strong_eq(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison (§8.8.3.2).
    pub fn weak_eq(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }
}

/// Whether any tag in the lines of a list field satisfies `wanted`. `*` alone satisfies always: it
/// is "any current representation". Members that are no entity tags match nothing.
fn any_tag(
    headers: &HeaderMap,
    name: &HeaderName,
    wanted: impl Fn(&EntityTag<'_>) -> bool,
) -> bool {
    headers.get_all(name).iter().any(|line| {
        let mut left = line.as_bytes().trim_ascii();
        if left == b"*" {
            return true;
        }
        while !left.is_empty() {
            if let Some((tag, after)) = EntityTag::first(left) {
                let ended = matches!(after.trim_ascii_start(), [] | [b',', ..]);
                if ended && wanted(&tag) {
                    return true;
                }
                left = after;
            }
            let comma = left.iter().position(|b| *b == b',');
            left = comma.map_or(&[][..], |at| left[at + 1..].trim_ascii_start());
        }
        false
    })
}

/// Whether a client gives back, byte by byte, the tag of an origin that forgets the quotes.
fn same_malformed_tag(request: &HeaderMap, response: &HeaderMap) -> bool {
    let Some(held) = sole(response, ETAG).map(|tag| tag.as_bytes().trim_ascii()) else {
        return false;
    };
    let mut members = request
        .get_all(IF_NONE_MATCH)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
    !held.is_empty() && members.any(|member| member == held)
}

// === Asking the origin ===

/// The condition fields of a validation request (RFC 9111 §4.3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditional {
    /// `If-None-Match`: the tags of all stored responses offered.
    pub if_none_match: Option<HeaderValue>,
    /// `If-Modified-Since`: the `Last-Modified` of the one stored response offered.
    pub if_modified_since: Option<HeaderValue>,
}

impl Conditional {
    /// Offers stored responses, most recent first.
    pub fn from_stored(heads: &[&HeaderMap]) -> Self {
        let tagged = heads.iter().take(TAGS_OFFERED_MAX).filter_map(|head| {
            EntityTag::of_head(head)?;
            head.get(ETAG)
        });
        let tags: Vec<&HeaderValue> = tagged.collect();
        let if_none_match = match tags.as_slice() {
            [] => None,
            [one] => Some((*one).clone()),
            several => {
                let bytes: Vec<&[u8]> = several.iter().map(|tag| tag.as_bytes()).collect();
                HeaderValue::from_bytes(&bytes.join(&b", "[..])).ok()
            }
        };
        let if_modified_since = match heads {
            [one] => sole(one, LAST_MODIFIED).filter(|date| date::parse(date).is_some()).cloned(),
            _ => None,
        };
        Self { if_none_match, if_modified_since }
    }

    /// Nothing to ask with: the request is a plain one.
    pub const fn is_empty(&self) -> bool {
        self.if_none_match.is_none() && self.if_modified_since.is_none()
    }

    /// Puts the conditions into a request in place of the client's own conditions and range: the
    /// answer must speak of the whole stored response.
    pub fn apply(&self, request: &mut HeaderMap) {
        for name in
            [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE, RANGE]
        {
            request.remove(name);
        }
        if let Some(tags) = &self.if_none_match {
            request.insert(IF_NONE_MATCH, tags.clone());
        }
        if let Some(date) = &self.if_modified_since {
            request.insert(IF_MODIFIED_SINCE, date.clone());
        }
    }
}

/// What an answer to a validation request means (RFC 9111 §4.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidationReply {
    /// 304: freshen the stored response with this index among those offered.
    NotModified {
        /// Index into the offered heads.
        base: usize,
    },
    /// A full response: use it, and let it replace the stored one.
    Full,
    /// 500, 502, 503 or 504: use it, or act as if the origin had not answered (RFC 5861 §4).
    ServerError,
    /// A 304 that speaks of none of the offered responses: it updates nothing (§4.3.4), and the
    /// request is to be asked once more without conditions.
    Contradiction,
}

/// Reads the answer to a validation request that was made with `sent` from `offered`.
pub fn read_reply(
    status: StatusCode,
    headers: &HeaderMap,
    sent: &Conditional,
    offered: &[&HeaderMap],
) -> ValidationReply {
    match status.as_u16() {
        304 if sent.is_empty() => ValidationReply::Contradiction,
        304 => match selected_for_update(headers, offered) {
            Some(base) => ValidationReply::NotModified { base },
            None => ValidationReply::Contradiction,
        },
        500 | 502 | 503 | 504 => ValidationReply::ServerError,
        _ => ValidationReply::Full,
    }
}

/// §4.3.4: which stored response a 304 is about.
fn selected_for_update(headers: &HeaderMap, offered: &[&HeaderMap]) -> Option<usize> {
    if headers.contains_key(ETAG) {
        let new = EntityTag::of_head(headers)?;
        let same =
            |old: EntityTag<'_>| if new.weak { new.weak_eq(&old) } else { new.strong_eq(&old) };
        return offered.iter().position(|head| EntityTag::of_head(head).is_some_and(same));
    }
    let [one] = offered else { return None };
    let same_date = match (headers.get(LAST_MODIFIED), one.get(LAST_MODIFIED)) {
        (Some(new), Some(old)) => {
            new == old || date::parse(new).is_some_and(|n| date::parse(old) == Some(n))
        }
        _ => true,
    };
    same_date.then_some(0)
}

// === Answering a client ===

/// A stored response as conditions see it.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// When it was received: stands in for a missing `Date`.
    pub received: Millis,
}

/// What a client's conditions make of a usable stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Answer with the stored response.
    Proceed,
    /// Answer 304.
    NotModified,
    /// Answer 412.
    Failed,
}

/// Evaluates a client's conditions in the order of RFC 9110 §13.2.2. For GET and HEAD only.
pub fn evaluate(method: &Method, request: &HeaderMap, stored: &Stored<'_>) -> Precondition {
    // §13.2.1: conditions count only where the answer would otherwise be a success.
    if !stored.status.is_success() || !matches!(*method, Method::GET | Method::HEAD) {
        return Precondition::Proceed;
    }
    if !guards_hold(request, stored) {
        return Precondition::Failed;
    }
    let same = if request.contains_key(IF_NONE_MATCH) {
        // §13.1.3: `If-Modified-Since` is not looked at beside it.
        let etag = EntityTag::of_head(stored.headers);
        any_tag(request, &IF_NONE_MATCH, |tag| etag.is_some_and(|etag| tag.weak_eq(&etag)))
            || (etag.is_none() && same_malformed_tag(request, stored.headers))
    } else {
        sole_date(request, IF_MODIFIED_SINCE).is_some_and(|since| last_changed(stored) <= since)
    };
    if same { Precondition::NotModified } else { Precondition::Proceed }
}

/// `If-Match` by strong comparison, else `If-Unmodified-Since`, which is to be ignored where no
/// modification date is known (RFC 9110 §13.1.1, §13.1.4).
fn guards_hold(request: &HeaderMap, stored: &Stored<'_>) -> bool {
    if request.contains_key(IF_MATCH) {
        let etag = EntityTag::of_head(stored.headers);
        return any_tag(request, &IF_MATCH, |tag| etag.is_some_and(|etag| tag.strong_eq(&etag)));
    }
    let Some(since) = sole_date(request, IF_UNMODIFIED_SINCE) else { return true };
    sole_date(stored.headers, LAST_MODIFIED).is_none_or(|modified| modified <= since)
}

/// RFC 9111 §4.3.2: `Last-Modified`, else `Date`, else the time of receipt.
fn last_changed(stored: &Stored<'_>) -> u64 {
    let field = |name: HeaderName| DateField::of(stored.headers, name).single();
    field(LAST_MODIFIED).or_else(|| field(http::header::DATE)).unwrap_or(stored.received.unix_s())
}

/// The value of a field that stands once. Of two, neither counts: they are no lists.
fn sole(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    lines.next().is_none().then_some(first)
}

/// The date of a field that stands once and is valid.
fn sole_date(headers: &HeaderMap, name: impl AsHeaderName) -> Option<u64> {
    date::parse(sole(headers, name)?)
}

#[cfg(test)]
#[path = "validation_tests.rs"]
mod tests;
