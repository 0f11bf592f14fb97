//! HTTP dates (RFC 9110 §5.6.7) as whole seconds since the Unix epoch.
//!
//! All three forms are read, strictly: a weekday that fits the day, two digits where two belong,
//! `GMT`. Only the case of names is open (RFC 9111 §4.2: they are matched without regard to it).
//! What is malformed is refused, never guessed; callers then do what the clause of the field says
//! (`Expires` → already expired, `If-Modified-Since` → ignored, `Date` → absent).
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
    let mut buffer = [0; TEXT_BYTES_MAX];
    let time = httpdate::parse_http_date(in_usual_case(text, &mut buffer)?).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// The longest date: `Wednesday, 06-Nov-94 08:49:37 GMT`, and room to be refused as too long by
/// the parser itself.
const TEXT_BYTES_MAX: usize = 40;

/// Brings names into the case in which the grammar writes them (`Sun`, `Nov`, `GMT`), so that the
/// strict parser reads them in any (RFC 9111 §4.2). `None` if it is too long for a date.
fn in_usual_case<'a>(text: &str, buffer: &'a mut [u8; TEXT_BYTES_MAX]) -> Option<&'a str> {
    let out = buffer.get_mut(..text.len())?;
    out.copy_from_slice(text.as_bytes());
    for word in out.split_mut(|byte| !byte.is_ascii_alphabetic()) {
        if word.eq_ignore_ascii_case(b"GMT") {
            word.make_ascii_uppercase();
        } else if let [first, rest @ ..] = word {
            first.make_ascii_uppercase();
            rest.make_ascii_lowercase();
        }
    }
    std::str::from_utf8(out).ok()
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
            "Sun, 06 Nov 1994 08:49:37 G\u{212a}T",
        ] {
            assert_eq!(parse_str(text), None, "{text}");
        }
    }

    #[test]
    fn s4_2_names_in_dates_are_read_in_any_case() {
        for text in [
            "Thu, 18 Aug 2050 02:01:18 gMT",
            "THU, 18 Aug 2050 02:01:18 GMT",
            "Thu, 18 AUG 2050 02:01:18 GMT",
            "tHURSDAY, 18-aug-50 02:01:18 gmt",
            "thu aUG 18 02:01:18 2050",
        ] {
            assert_eq!(parse_str(text), Some(2_544_400_878), "{text}");
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
