//! Missing bytes of a stored response: how to ask for them, and whether an answer fits.
//!
//! Bytes of two answers may be put together only when both are of the same representation
//! (RFC 9110 §15.3.7.3, RFC 9111 §3.4): the same strong validator. [`Representation`] is that
//! proof for what is stored, [`Missing`] asks for a part of it, and [`Missing::splice`] is the
//! one place that says yes to an answer. Whoever asks is told a reason when it is no, and must
//! then show its readers that bytes are lacking: to splice in doubt is to serve wrong bytes.
//!
//! Knows nothing of who asks, how the request is sent and where the bytes go.

use http::header::{CONTENT_ENCODING, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use http::{StatusCode, header};

use super::{ByteRange, ContentRange};
use crate::policy::validation::EntityTag;

/// Which bytes two answers must both be of: a strong entity tag, and the length of the whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Representation {
    tag: HeaderValue,
    encoding: Option<HeaderValue>,
    length: u64,
}

impl Representation {
    /// Of a response of `length` bytes in all; `None` without one well-formed strong tag. A date is
    /// not enough: two versions of one second have the same (§8.8.2.2).
    pub fn of(headers: &HeaderMap, length: u64) -> Option<Self> {
        EntityTag::of_head(headers).filter(|tag| !tag.weak)?;
        let encoding = headers.get(CONTENT_ENCODING).cloned();
        Some(Self { tag: headers.get(ETAG)?.clone(), encoding, length })
    }

    /// Length of the whole, in bytes.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The part `first..=last`; `None` when it is not inside.
    pub fn missing(&self, range: ByteRange) -> Option<Missing> {
        let inside = range.first <= range.last && range.last < self.length;
        inside.then(|| Missing { of: self.clone(), range })
    }
}

/// Some bytes of a representation that are to be had again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    of: Representation,
    range: ByteRange,
}

/// What an answer is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Splice {
    /// Its content is these bytes of the representation. It begins where it was asked to, but may
    /// end earlier (§15.3.7): the rest is still missing.
    Part(ByteRange),
    /// It must not be put together with what is stored.
    Refused(Unfit),
}

/// Why an answer cannot fill the gap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// Not a 206: the origin has no ranges, has another version, or failed.
    Status,
    /// A 206 without the tag of what is stored, or with another.
    Changed,
    /// A 206 whose `Content-Range` is absent, broken, or not of the bytes asked for.
    Range,
}

impl Unfit {
    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Changed => "changed",
            Self::Range => "range",
        }
    }
}

impl Missing {
    /// The bytes asked for.
    pub const fn range(&self) -> ByteRange {
        self.range
    }

    /// Makes a request one for these bytes alone: `Range` and `If-Range`, in place of the client's
    /// range and conditions.
    pub fn ask(&self, request: &mut HeaderMap) {
        for name in [
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            header::IF_MODIFIED_SINCE,
            header::IF_UNMODIFIED_SINCE,
        ] {
            request.remove(name);
        }
        let ByteRange { first, last } = self.range;
        let range = HeaderValue::try_from(format!("bytes={first}-{last}"));
        request.insert(RANGE, range.expect("digits and punctuation"));
        request.insert(IF_RANGE, self.of.tag.clone());
    }

    /// Whether the content of an answer may stand where the bytes are missing.
    pub fn splice(&self, status: StatusCode, headers: &HeaderMap) -> Splice {
        if status != StatusCode::PARTIAL_CONTENT {
            return Splice::Refused(Unfit::Status);
        }
        let ours = EntityTag::of(&self.of.tag);
        let same = match (ours, EntityTag::of_head(headers)) {
            (Some(ours), Some(theirs)) => ours.strong_eq(&theirs),
            _ => false,
        };
        // With If-Range the answer may leave out fields that we have (§15.3.7): a coding that it
        // does name must be ours.
        let coded = headers.get(CONTENT_ENCODING);
        if !same || coded.is_some_and(|coding| Some(coding) != self.of.encoding.as_ref()) {
            return Splice::Refused(Unfit::Changed);
        }
        match ContentRange::of(headers) {
            Some(ContentRange::Part { range, length: Some(length) })
                if length == self.of.length
                    && range.first == self.range.first
                    && range.last <= self.range.last =>
            {
                Splice::Part(range)
            }
            _ => Splice::Refused(Unfit::Range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn gap() -> Missing {
        let whole = Representation::of(&head(&[("etag", "\"v1\"")]), 1_000).expect("a strong tag");
        whole.missing(ByteRange { first: 100, last: 899 }).expect("inside")
    }

    #[test]
    fn r9111_3_4_without_a_strong_tag_nothing_can_be_put_together() {
        for fields in [
            &[][..],
            &[("etag", "W/\"v1\"")],
            &[("etag", "v1")],
            &[("etag", "\"v1\""), ("etag", "\"v1\"")],
            &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")],
        ] {
            assert_eq!(Representation::of(&head(fields), 1_000), None, "{fields:?}");
        }
        let whole = Representation::of(&head(&[("etag", "\"v1\"")]), 10).expect("a strong tag");
        assert_eq!(whole.missing(ByteRange { first: 4, last: 10 }), None);
    }

    #[test]
    fn r9110_13_1_5_the_request_is_for_the_bytes_of_this_version_only() {
        let mut request = head(&[("range", "bytes=0-0"), ("if-none-match", "\"v0\""), ("x", "y")]);
        gap().ask(&mut request);
        let wanted = [("range", "bytes=100-899"), ("if-range", "\"v1\""), ("x", "y")];
        assert_eq!(request, head(&wanted));
    }

    #[test]
    fn r9110_15_3_7_3_only_the_same_bytes_of_the_same_version_are_spliced() {
        let fits = ("content-range", "bytes 100-899/1000");
        let says = |status: u16, fields: &[(&'static str, &'static str)]| {
            let status = StatusCode::from_u16(status).expect("a status");
            gap().splice(status, &head(fields))
        };
        let (part, refused) = (Splice::Part, Splice::Refused);
        let same = ("etag", "\"v1\"");
        assert_eq!(says(206, &[same, fits]), part(ByteRange { first: 100, last: 899 }));
        // A shorter part is a part.
        let shorter = ("content-range", "bytes 100-499/1000");
        assert_eq!(says(206, &[same, shorter]), part(ByteRange { first: 100, last: 499 }));
        assert_eq!(says(200, &[same]), refused(Unfit::Status));
        assert_eq!(says(416, &[("content-range", "bytes */1000")]), refused(Unfit::Status));
        for other in [("etag", "\"v2\""), ("etag", "W/\"v1\""), ("x", "y")] {
            assert_eq!(says(206, &[other, fits]), refused(Unfit::Changed), "{other:?}");
        }
        let coded = ("content-encoding", "gzip");
        assert_eq!(says(206, &[same, fits, coded]), refused(Unfit::Changed));
        for range in [
            "bytes 100-899/*",
            "bytes 100-899/1001",
            "bytes 99-899/1000",
            "bytes 101-899/1000",
            "bytes 100-900/1000",
            "bytes 100-899",
            "bytes */1000",
        ] {
            assert_eq!(
                says(206, &[same, ("content-range", range)]),
                refused(Unfit::Range),
                "{range}"
            );
        }
        assert_eq!(says(206, &[same]), refused(Unfit::Range));
        assert_eq!(says(206, &[same, fits, fits]), refused(Unfit::Range));
    }
}
