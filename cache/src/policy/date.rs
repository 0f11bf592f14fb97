//! HTTP dates (RFC 9110 §5.6.7) as whole seconds since the Unix epoch.
//!
//! All three forms are read, strictly: names in their exact case, a weekday that fits the day,
//! `GMT`. What is malformed is refused, never guessed; callers then do what the clause of the
//! field says (`Expires` → already expired, `If-Modified-Since` → ignored, `Date` → absent).
//! Years before 1970 and leap seconds are refused as well: nothing useful was dated by them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{AsHeaderName, HeaderMap, HeaderValue};

/// The last second of the year 9999: four digits are all the format has.
const UNIX_S_MAX: u64 = 253_402_300_799;

/// Reads one field value.
pub fn parse(value: &HeaderValue) -> Option<u64> {
    parse_str(value.to_str().ok()?)
}

/// Reads a date from text.
pub fn parse_str(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(text).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Writes an IMF-fixdate; later years than 9999 are shown as its end.
pub fn format(unix_s: u64) -> HeaderValue {
    let time: SystemTime = UNIX_EPOCH + Duration::from_secs(unix_s.min(UNIX_S_MAX));
    HeaderValue::try_from(httpdate::fmt_http_date(time)).expect("a date is visible ASCII")
}

/// A date field that may have come in several lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DateField {
    /// No line.
    Absent,
    /// At least one line is no date.
    Invalid,
    /// All lines are dates; normally both are the same.
    Valid {
        /// The earliest.
        earliest: u64,
        /// The latest.
        latest: u64,
    },
}

impl DateField {
    /// Reads all lines of a field.
    pub fn of(headers: &HeaderMap, name: impl AsHeaderName) -> Self {
        headers.get_all(name).iter().fold(Self::Absent, |seen, line| match (seen, parse(line)) {
            (Self::Absent, Some(at)) => Self::Valid { earliest: at, latest: at },
            (Self::Valid { earliest, latest }, Some(at)) => {
                Self::Valid { earliest: earliest.min(at), latest: latest.max(at) }
            }
            _ => Self::Invalid,
        })
    }

    /// The date, when there is one and only one.
    pub const fn single(self) -> Option<u64> {
        match self {
            Self::Valid { earliest, latest } if earliest == latest => Some(earliest),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r9110_5_6_7_three_forms_are_read() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_str(text), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn r9110_5_6_7_malformed_dates_are_refused() {
        for text in [
            "",
            "0",
            "-1",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 +0000",
            "Thu, 18 Aug 2050 02:01:18 gMT",
            "THU, 18 Aug 2050 02:01:18 GMT",
            "Thu, 18 AUG 2050 02:01:18 GMT",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Wed, 18 Aug 2050 02:01:18 GMT",
            "Thu, 31 Feb 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 24:01:18 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_str(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for at in [0, 784_111_777, UNIX_S_MAX, u64::MAX] {
            assert_eq!(parse(&format(at)), Some(at.min(UNIX_S_MAX)));
        }
    }

    #[test]
    fn several_lines_show_their_span_and_one_bad_line_spoils_all() {
        let mut headers = HeaderMap::new();
        assert_eq!(DateField::of(&headers, "expires"), DateField::Absent);
        headers.append("expires", format(10));
        assert_eq!(DateField::of(&headers, "expires").single(), Some(10));
        headers.append("expires", format(20));
        let span = DateField::Valid { earliest: 10, latest: 20 };
        assert_eq!(DateField::of(&headers, "expires"), span);
        assert_eq!(span.single(), None);
        headers.append("expires", HeaderValue::from_static("0"));
        assert_eq!(DateField::of(&headers, "expires"), DateField::Invalid);
    }

    proptest::proptest! {
        #[test]
        fn the_parser_never_panics(bytes in proptest::collection::vec(0u8.., 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                parse(&value);
            }
        }

        #[test]
        fn near_dates_never_panic(text in "[MTWFS][a-z]{2,8},? ?[0-9]{1,2}[- ][A-Z][a-z]{2}[- ][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT") {
            parse_str(&text);
        }
    }
}
