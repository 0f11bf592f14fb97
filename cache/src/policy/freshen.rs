//! Updating a stored response from a newer head (RFC 9111 §3.2, §4.3.4, §4.3.5).
//!
//! Every field of the new head replaces all stored lines of its name, and what it does not name
//! stays. Not taken over: connection fields, and the fields that describe the stored bytes
//! themselves (`Content-Length`, `Content-Encoding`, `Content-Range`), because the bytes do not
//! change with the head. `Age` and `Date` are of one message: the old ones always go.
//!
//! The rules of storing are then asked anew of the merged head, so that a 304 may also end a
//! response's life in the store.

use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, LAST_MODIFIED, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, StatusCode};

use super::date;
use super::storable::storable;
use super::tags::Tags;
use super::validation::EntityTag;
use super::{MethodClass, NotStorable, Options, OriginResponse, RequestFacts, Storable};

/// The stored response that is updated.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// Its status, which stays.
    pub status: StatusCode,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// Hashes of its tags so far: the union is kept.
    pub tags: &'a [u64],
    /// It already had more tags than we keep.
    pub tags_overflow: bool,
}

/// The outcome: the head to answer with in any case, and whether it may be stored.
#[derive(Clone, Debug)]
pub struct Freshened {
    /// The merged head.
    pub headers: HeaderMap,
    /// The new record, or why the stored response must go.
    pub storable: Result<Storable, NotStorable>,
}

/// Updates `base` with the fields of `update`, a 304 or a 200 to HEAD that was found to be about
/// it. `request` are the facts of the validation request.
pub fn freshen(
    request: &RequestFacts,
    base: &Base<'_>,
    update: &OriginResponse<'_>,
    options: &Options,
) -> Freshened {
    let headers = merge(base.headers, update.headers);
    let response = OriginResponse { status: base.status, headers: &headers, ..*update };
    // The stored bytes came from a GET, whatever method brought the new head.
    let request = RequestFacts { method: MethodClass::Get, ..*request };
    let storable = storable(&request, &response, options).map(|mut new| {
        let tags = Tags { hashes: new.tags, overflow: new.tags_overflow };
        let tags = tags.union(base.tags, base.tags_overflow, options.tags_max);
        (new.tags, new.tags_overflow) = (tags.hashes, tags.overflow);
        new
    });
    Freshened { headers, storable }
}

/// The stored head with the fields of a newer one (§3.2).
pub fn merge(stored: &HeaderMap, update: &HeaderMap) -> HeaderMap {
    let mut merged = stored.clone();
    merged.remove(AGE);
    merged.remove(DATE);
    for name in update.keys().filter(|name| !excepted(name)) {
        merged.remove(name);
        for value in update.get_all(name) {
            merged.append(name.clone(), value.clone());
        }
    }
    merged
}

/// Fields that a newer head does not change (§3.1, §3.2).
fn excepted(name: &HeaderName) -> bool {
    [
        CONTENT_LENGTH,
        CONTENT_ENCODING,
        CONTENT_RANGE,
        CONNECTION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ]
    .contains(name)
        || matches!(name.as_str(), "keep-alive")
        || name.as_str().starts_with("proxy-")
}

/// What a response to a forwarded HEAD says about a stored response (§4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadEffect {
    /// It is about the same bytes: [`freshen`] with it.
    Update,
    /// It is about others: the stored response is to be validated before its next use.
    MarkStale,
    /// It says nothing.
    Nothing,
}

/// Compares a response to HEAD with a stored response to GET. Stricter than §4.3.5 in one point:
/// a head without any validator does not confirm a response that has one.
pub fn head_effect(
    stored: &Base<'_>,
    stored_length: Option<u64>,
    status: StatusCode,
    head: &HeaderMap,
) -> HeadEffect {
    match status.as_u16() {
        200 if stored.status == StatusCode::OK => {}
        404 | 410 if stored.status.is_success() => return HeadEffect::MarkStale,
        _ => return HeadEffect::Nothing,
    }
    let tag = EntityTag::of_head(head);
    let stored_tag = EntityTag::of_head(stored.headers);
    let tags_agree = match (tag, stored_tag) {
        (Some(new), Some(old)) => new == old,
        (None, None) => true,
        _ => false,
    };
    let modified = |headers: &HeaderMap| headers.get(LAST_MODIFIED).and_then(date::parse);
    let dates_agree = modified(head) == modified(stored.headers);
    let length = head.get(CONTENT_LENGTH).map(|v| v.to_str().ok().and_then(|v| v.parse().ok()));
    let lengths_agree = match length {
        Some(new) => new.is_some() && new == stored_length,
        None => true,
    };
    if tags_agree && dates_agree && lengths_agree {
        HeadEffect::Update
    } else {
        HeadEffect::MarkStale
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::Millis;
    use crate::invalidate::scope::tag_hash;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn base<'a>(headers: &'a HeaderMap, tags: &'a [u64]) -> Base<'a> {
        Base { status: StatusCode::OK, headers, tags, tags_overflow: false }
    }

    fn freshened(stored: &HeaderMap, update: &HeaderMap, tags: &[u64]) -> Freshened {
        let update = OriginResponse {
            status: StatusCode::NOT_MODIFIED,
            headers: update,
            requested: Millis(5_000_000),
            received: Millis(5_000_000),
        };
        freshen(&RequestFacts::default(), &base(stored, tags), &update, &Options::default())
    }

    #[test]
    fn s3_2_all_lines_of_a_name_are_replaced_and_the_rest_stays() {
        let stored = map(&[("link", "a"), ("link", "b"), ("x", "1"), ("etag", "\"e\"")]);
        let merged = merge(&stored, &map(&[("link", "c"), ("y", "2"), ("etag", "\"f\"")]));
        assert_eq!(merged, map(&[("link", "c"), ("x", "1"), ("y", "2"), ("etag", "\"f\"")]));
    }

    #[test]
    fn s3_2_fields_of_the_bytes_and_of_the_connection_are_not_taken() {
        let stored = map(&[("content-length", "5"), ("content-encoding", "gzip")]);
        let update = map(&[
            ("content-length", "9"),
            ("content-encoding", "br"),
            ("content-range", "bytes 0-1/9"),
            ("transfer-encoding", "chunked"),
            ("connection", "x"),
            ("keep-alive", "1"),
            ("proxy-authenticate", "Basic"),
        ]);
        assert_eq!(merge(&stored, &update), stored);
    }

    #[test]
    fn s4_3_4_old_age_and_date_are_gone() {
        let stored = map(&[
            ("age", "100"),
            ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("cache-control", "max-age=60"),
        ]);
        let got = freshened(&stored, &HeaderMap::new(), &[]);
        assert!(!got.headers.contains_key("age") && !got.headers.contains_key("date"));
        let fresh = got.storable.expect("storable").fresh;
        assert_eq!((fresh.age_s, fresh.lifetime_s), (0, 60));
        let got = freshened(&stored, &map(&[("age", "7")]), &[]);
        assert_eq!(got.storable.expect("storable").fresh.age_s, 7);
    }

    #[test]
    fn s4_3_4_a_304_can_forbid_to_store() {
        let stored = map(&[("cache-control", "max-age=60"), ("etag", "\"e\"")]);
        let got = freshened(&stored, &map(&[("cache-control", "no-store")]), &[]);
        assert_eq!(got.storable, Err(NotStorable::NoStore));
    }

    #[test]
    fn tags_after_a_304_are_the_union() {
        let stored = map(&[("cache-control", "max-age=60"), ("cache-tag", "a")]);
        let old = [tag_hash("a"), tag_hash("old")];
        let got = freshened(&stored, &map(&[("cache-tag", "b")]), &old);
        let tags = got.storable.expect("storable").tags;
        assert!(["a", "b", "old"].iter().all(|tag| tags.contains(&tag_hash(tag))));
        assert_eq!(tags.len(), 3);
    }

    #[test]
    fn s4_3_5_head_updates_what_it_agrees_with() {
        let stored = map(&[("etag", "\"a\"")]);
        let bare = HeaderMap::new();
        let effect = |stored: &HeaderMap, status: u16, head: &[(&'static str, &'static str)]| {
            let status = StatusCode::from_u16(status).expect("a code");
            head_effect(&base(stored, &[]), Some(5), status, &map(head))
        };
        use HeadEffect::{MarkStale, Nothing, Update};
        assert_eq!(effect(&stored, 200, &[("etag", "\"a\""), ("content-length", "5")]), Update);
        assert_eq!(effect(&bare, 200, &[]), Update);
        assert_eq!(effect(&stored, 200, &[]), MarkStale);
        assert_eq!(effect(&stored, 200, &[("etag", "\"b\"")]), MarkStale);
        assert_eq!(effect(&bare, 200, &[("content-length", "6")]), MarkStale);
        assert_eq!(effect(&bare, 200, &[("content-length", "x")]), MarkStale);
        assert_eq!(effect(&bare, 410, &[]), MarkStale);
        assert_eq!(effect(&bare, 503, &[]), Nothing);
    }
}
