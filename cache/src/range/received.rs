//! A 206 of the origin: which bytes it brings (RFC 9110 §15.3.7).
//!
//! Only what is said without doubt counts: one range with a known length of the whole, and a
//! content of just that many bytes. Of a 206 whose content has another length than its
//! `Content-Range` says, one of the two is wrong; a site may choose to believe the octets
//! ([`Trust::Octets`]).

use http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::{ByteRange, ContentRange};

/// What to believe when content and `Content-Range` differ in length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Trust {
    /// Neither: such an answer is not stored.
    #[default]
    Neither,
    /// The octets: they count from the first position on, and where the range claims to reach the
    /// end of the representation, that ends with them.
    Octets,
}

/// The bytes that an answer brings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// Which bytes of the representation.
    pub range: ByteRange,
    /// Length of the whole, in bytes.
    pub length: u64,
    /// `Content-Range` as it was sent.
    pub as_sent: HeaderValue,
}

impl Received {
    /// Of a 206 with this head; `content` is the length of its content, where it is known
    /// beforehand. `None`: it cannot be stored.
    pub fn of(headers: &HeaderMap, content: Option<u64>, trust: Trust) -> Option<Self> {
        let multipart = headers.get(CONTENT_TYPE).is_some_and(|kind| {
            let start = kind.as_bytes().trim_ascii_start().get(..20);
            start.is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/byteranges"))
        });
        let ContentRange::Part { mut range, length: Some(mut length) } = ContentRange::of(headers)?
        else {
            return None;
        };
        if multipart {
            return None;
        }
        if let Some(content) = content.filter(|content| *content != range.len()) {
            if trust == Trust::Neither {
                return None;
            }
            let last = range.first.checked_add(content.checked_sub(1)?)?;
            if range.last + 1 == length {
                length = last.checked_add(1)?;
            }
            if last >= length {
                return None;
            }
            range.last = last;
        }
        let as_sent = headers.get(CONTENT_RANGE)?.clone();
        Some(Self { range, length, as_sent })
    }

    /// Whether nothing is missing: then it stands for a 200.
    pub const fn is_whole(&self) -> bool {
        self.range.first == 0 && self.range.last + 1 == self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_range: &str, content: Option<u64>, trust: Trust) -> Option<(u64, u64, u64)> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_RANGE, HeaderValue::from_str(content_range).expect("test value"));
        Received::of(&headers, content, trust)
            .map(|received| (received.range.first, received.range.last, received.length))
    }

    #[test]
    fn r9110_15_3_7_only_what_is_beyond_doubt_is_a_part() {
        for trust in [Trust::Neither, Trust::Octets] {
            assert_eq!(read("bytes 4-9/10", Some(6), trust), Some((4, 9, 10)));
            assert_eq!(read("bytes 4-9/10", None, trust), Some((4, 9, 10)));
            assert_eq!(read("bytes 4-9/*", Some(6), trust), None);
            assert_eq!(read("bytes */10", Some(6), trust), None);
            assert_eq!(read("bytes 4-10/10", Some(7), trust), None);
            assert_eq!(read("bytes 4-9/10", Some(0), trust), None);
        }
        let mut headers = HeaderMap::new();
        assert_eq!(Received::of(&headers, None, Trust::Octets), None);
        headers.insert(CONTENT_RANGE, HeaderValue::from_static("bytes 4-9/10"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("Multipart/ByteRanges; boundary=x"));
        assert_eq!(Received::of(&headers, Some(6), Trust::Octets), None);
    }

    #[test]
    fn octets_count_from_the_first_position_when_a_site_trusts_them() {
        assert_eq!(read("bytes 4-9/10", Some(5), Trust::Neither), None);
        // It claimed to reach the end: the end is where the octets end.
        assert_eq!(read("bytes 4-9/10", Some(5), Trust::Octets), Some((4, 8, 9)));
        assert_eq!(read("bytes 4-9/10", Some(8), Trust::Octets), Some((4, 11, 12)));
        assert_eq!(read("bytes 4-7/10", Some(3), Trust::Octets), Some((4, 6, 10)));
        assert_eq!(read("bytes 4-7/10", Some(6), Trust::Octets), Some((4, 9, 10)));
        // More than there can be.
        assert_eq!(read("bytes 4-7/10", Some(7), Trust::Octets), None);
    }

    #[test]
    fn a_part_that_is_everything_is_the_whole() {
        let mut headers = HeaderMap::new();
        for (value, whole) in
            [("bytes 0-9/10", true), ("bytes 0-8/10", false), ("bytes 1-9/10", false)]
        {
            headers.insert(CONTENT_RANGE, HeaderValue::from_static(value));
            let received = Received::of(&headers, None, Trust::Neither).expect("a part");
            assert_eq!(received.is_whole(), whole, "{value}");
        }
    }
}
