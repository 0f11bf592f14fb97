//! `Content-Range` (RFC 9110 §14.4): written for our answers, read strictly from origins'.

use http::HeaderMap;
use http::header::{CONTENT_RANGE, HeaderValue};

use super::ByteRange;

/// A `Content-Range` in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContentRange {
    /// `bytes first-last/length`; the length is `None` when the sender did not know it (`*`).
    Part {
        /// The bytes enclosed.
        range: ByteRange,
        /// Length of the whole representation.
        length: Option<u64>,
    },
    /// `bytes */length`, as 416 carries it.
    Unsatisfied {
        /// Length of the whole representation.
        length: u64,
    },
}

impl ContentRange {
    /// Reads the field of a head: one line, nothing inconsistent (§14.4: an invalid range must
    /// not be recombined with anything).
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(CONTENT_RANGE).iter();
        let line = lines.next()?;
        if lines.next().is_some() { None } else { Self::parse(line.as_bytes()) }
    }

    /// Reads one value.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (unit, rest) = value.split_at_checked(6)?;
        if !unit.eq_ignore_ascii_case(b"bytes ") {
            return None;
        }
        let slash = rest.iter().position(|b| *b == b'/')?;
        let (range, length) = (&rest[..slash], &rest[slash + 1..]);
        if range == b"*" {
            return Some(Self::Unsatisfied { length: number(length)? });
        }
        let dash = range.iter().position(|b| *b == b'-')?;
        let range = ByteRange { first: number(&range[..dash])?, last: number(&range[dash + 1..])? };
        let length = if length == b"*" { None } else { Some(number(length)?) };
        let end = length.unwrap_or(u64::MAX);
        (range.first <= range.last && range.last < end).then_some(Self::Part { range, length })
    }

    /// Writes the field.
    pub fn to_value(&self) -> HeaderValue {
        let text = match self {
            Self::Part { range, length: Some(length) } => {
                format!("bytes {}-{}/{length}", range.first, range.last)
            }
            Self::Part { range, length: None } => format!("bytes {}-{}/*", range.first, range.last),
            Self::Unsatisfied { length } => format!("bytes */{length}"),
        };
        HeaderValue::try_from(text).expect("digits and punctuation")
    }
}

/// Digits that fit; a length that does not fit cannot be trusted.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r9110_14_4_what_is_written_is_read() {
        let range = ByteRange { first: 4, last: 9 };
        for (value, text) in [
            (ContentRange::Part { range, length: Some(10) }, "bytes 4-9/10"),
            (ContentRange::Part { range, length: None }, "bytes 4-9/*"),
            (ContentRange::Unsatisfied { length: 10 }, "bytes */10"),
        ] {
            assert_eq!(value.to_value(), text);
            assert_eq!(ContentRange::parse(text.as_bytes()), Some(value));
        }
    }

    #[test]
    fn r9110_14_4_invalid_ranges_are_refused() {
        for text in [
            "",
            "bytes",
            "bytes 4-9",
            "bytes 9-4/10",
            "bytes 4-10/10",
            "bytes 4-9/",
            "bytes -9/10",
            "bytes */*",
            "bytes=4-9/10",
            "items 4-9/10",
            "bytes 4-9/99999999999999999999",
            "bytes 4 -9/10",
            "bytes 4-9/10 ",
            "bytes 0-18446744073709551615/*",
        ] {
            assert_eq!(ContentRange::parse(text.as_bytes()), None, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.append(CONTENT_RANGE, HeaderValue::from_static("bytes 4-9/10"));
        assert!(ContentRange::of(&headers).is_some());
        headers.append(CONTENT_RANGE, HeaderValue::from_static("bytes 4-9/10"));
        assert_eq!(ContentRange::of(&headers), None);
    }

    proptest::proptest! {
        #[test]
        fn the_parser_never_panics(bytes in proptest::collection::vec(0u8.., 0..60)) {
            ContentRange::parse(&bytes);
            let mut value = b"bytes ".to_vec();
            value.extend(bytes);
            if let Some(ContentRange::Part { range, .. }) = ContentRange::parse(&value) {
                proptest::prop_assert!(range.len() > 0);
            }
        }
    }
}
