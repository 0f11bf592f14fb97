//! A journal as one line of JSON.
//!
//! Every line has every member, in the same order; what is not known is `null`. Members that
//! come from the network are escaped and cut (see [`super::escape`]), so a line has a longest
//! length whatever a client sends.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Version;

use super::escape;
use crate::error::Cause;
use crate::journal::{Delivery, Journal};

/// Longest `target`, in bytes before escaping.
pub const TARGET_BYTES_MAX: usize = 4096;
/// Longest `user_agent`.
pub const USER_AGENT_BYTES_MAX: usize = 1024;
/// Longest `referer`.
pub const REFERER_BYTES_MAX: usize = 2048;
/// Longest `host`, `method`, `site` and `origin`.
pub const NAME_BYTES_MAX: usize = 256;

/// Appends the line, with its line feed, of an exchange of `site` that took `duration`.
///
/// Every hit pays for this, so numbers and dates are written digit by digit: the machinery of
/// `format!` would cost as much as the lookup.
pub fn line(out: &mut Vec<u8>, journal: &Journal, site: &str, duration: Duration) {
    out.reserve(LINE_BYTES);
    out.extend_from_slice(b"{\"time\":\"");
    rfc3339_ms(out, journal.started_wall);
    out.extend_from_slice(b"\",\"client\":");
    client(out, journal.client);
    out.extend_from_slice(b",\"connection\":");
    decimal(out, journal.connection);
    out.extend_from_slice(b",\"scheme\":\"");
    out.extend_from_slice(journal.scheme.as_bytes());
    out.extend_from_slice(b"\",\"method\":");
    escape::string(out, journal.method.as_str().as_bytes(), NAME_BYTES_MAX);
    out.extend_from_slice(b",\"host\":");
    escape::string(out, journal.host.as_bytes(), NAME_BYTES_MAX);
    out.extend_from_slice(b",\"target\":");
    escape::string(out, journal.target.as_bytes(), TARGET_BYTES_MAX);
    out.extend_from_slice(b",\"protocol\":\"");
    out.extend_from_slice(protocol(journal.version).as_bytes());
    out.extend_from_slice(b"\",\"status\":");
    out.extend_from_slice(journal.status.as_str().as_bytes());
    out.extend_from_slice(b",\"bytes\":");
    decimal(out, journal.body_bytes);
    out.extend_from_slice(b",\"duration_ms\":");
    milliseconds(out, duration);
    out.extend_from_slice(b",\"ttfb_ms\":");
    match journal.ttfb {
        Some(ttfb) => milliseconds(out, ttfb),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"cache\":\"");
    out.extend_from_slice(journal.cache.name().as_bytes());
    out.extend_from_slice(b"\",\"detail\":");
    word(out, Some(journal.detail).filter(|detail| !detail.is_empty()));
    out.extend_from_slice(b",\"site\":");
    escape::string(out, site.as_bytes(), NAME_BYTES_MAX);
    out.extend_from_slice(b",\"origin\":");
    escape::optional(out, journal.origin.as_deref().map(str::as_bytes), NAME_BYTES_MAX);
    out.extend_from_slice(b",\"error\":");
    word(out, journal.error.map(Cause::label));
    out.extend_from_slice(b",\"delivery\":");
    word(out, journal.delivery.map(delivery_name));
    out.extend_from_slice(b",\"user_agent\":");
    let user_agent = journal.user_agent.as_ref().map(http::HeaderValue::as_bytes);
    escape::optional(out, user_agent, USER_AGENT_BYTES_MAX);
    out.extend_from_slice(b",\"referer\":");
    let referer = journal.referer.as_ref().map(http::HeaderValue::as_bytes);
    escape::optional(out, referer, REFERER_BYTES_MAX);
    out.extend_from_slice(b"}\n");
}

/// Room that is made at once for a line, in bytes; nearly all are shorter.
const LINE_BYTES: usize = 512;

fn client(out: &mut Vec<u8>, address: Option<IpAddr>) {
    match address {
        None => out.extend_from_slice(b"null"),
        Some(IpAddr::V4(address)) => {
            out.push(b'"');
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                decimal(out, octet.into());
            }
            out.push(b'"');
        }
        Some(IpAddr::V6(address)) => {
            write!(out, "\"{address}\"").expect("a Vec takes every write");
        }
    }
}

/// Appends a word of our own, which needs no escaping.
fn word(out: &mut Vec<u8>, word: Option<&'static str>) {
    match word {
        None => out.extend_from_slice(b"null"),
        Some(word) => {
            out.push(b'"');
            out.extend_from_slice(word.as_bytes());
            out.push(b'"');
        }
    }
}

/// Appends a whole number.
fn decimal(out: &mut Vec<u8>, value: u64) {
    if let digit @ 0..=9 = value {
        out.push(b'0' + digit as u8);
        return;
    }
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends the last `DIGITS` digits, with leading zeros.
fn padded<const DIGITS: usize>(out: &mut Vec<u8>, value: u64) {
    let mut digits = [b'0'; DIGITS];
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits);
}

/// Appends milliseconds with three decimals, rounded to the nearest.
fn milliseconds(out: &mut Vec<u8>, duration: Duration) {
    let us = duration.saturating_add(Duration::from_nanos(500)).as_micros();
    let us = u64::try_from(us).unwrap_or(u64::MAX);
    decimal(out, us / 1000);
    out.push(b'.');
    padded::<3>(out, us % 1000);
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

const fn delivery_name(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Complete => "complete",
        Delivery::ClientGone => "client_gone",
        Delivery::Cut => "cut",
    }
}

/// Appends UTC as `2026-11-24T13:26:00.123Z` (RFC 3339 §5.6).
pub fn rfc3339_ms(out: &mut Vec<u8>, at: SystemTime) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    decimal(out, year); // four digits until the year 9999
    for (before, number) in [
        (b'-', month),
        (b'-', day),
        (b'T', second / 3600),
        (b':', second / 60 % 60),
        (b':', second % 60),
    ] {
        out.push(before);
        padded::<2>(out, number);
    }
    out.push(b'.');
    padded::<3>(out, since.subsec_millis().into());
    out.push(b'Z');
}

/// Year, month and day of a day counted from 1970-01-01. The year is taken to begin in March, so
/// that the leap day is its last; 400 years have 146,097 days.
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_based = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_based + 2) / 5 + 1;
    let month = if march_based < 10 { march_based + 3 } else { march_based - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Instant;

    use http::{HeaderValue, Method, StatusCode};

    use super::*;
    use crate::error::Cause;
    use crate::journal::{CacheOutcome, SiteIndex};

    /// A journal of a hit.
    pub(crate) fn journal() -> Journal {
        Journal {
            started: Instant::now(),
            started_wall: UNIX_EPOCH + Duration::from_millis(1_795_613_160_123),
            connection: 7,
            client: Some([192, 0, 2, 1].into()),
            scheme: "https",
            method: Method::GET,
            version: Version::HTTP_2,
            host: "shop.example".into(),
            target: "/a?b=1".into(),
            site: SiteIndex(1),
            status: StatusCode::OK,
            cache: CacheOutcome::Hit,
            detail: "FRESH",
            error: None,
            error_chain: None,
            origin: None,
            ttfb: Some(Duration::from_micros(450)),
            body_bytes: 1024,
            delivery: Some(Delivery::Complete),
            user_agent: None,
            referer: None,
        }
    }

    fn written(journal: &Journal) -> String {
        let mut out = Vec::new();
        line(&mut out, journal, "shop", Duration::from_micros(1234));
        String::from_utf8(out).expect("a line is UTF-8")
    }

    #[test]
    fn a_hit_is_this_line() {
        assert_eq!(
            written(&journal()),
            concat!(
                r#"{"time":"2026-11-25T13:26:00.123Z","client":"192.0.2.1","connection":7,"#,
                r#""scheme":"https","method":"GET","host":"shop.example","target":"/a?b=1","#,
                r#""protocol":"HTTP/2","status":200,"bytes":1024,"duration_ms":1.234,"#,
                r#""ttfb_ms":0.450,"cache":"hit","detail":"FRESH","site":"shop","origin":null,"#,
                r#""error":null,"delivery":"complete","user_agent":null,"referer":null}"#,
                "\n"
            )
        );
    }

    #[test]
    fn hostile_strings_make_one_bounded_line_of_valid_json() {
        let mut journal = journal();
        journal.target = format!("/\u{1b}\n\"{}", "\u{1}".repeat(100_000));
        journal.host = "\"},{\"".repeat(10_000);
        journal.method = Method::from_bytes(&[b'M'; 1000]).expect("a token is a method");
        journal.user_agent = HeaderValue::from_bytes(&[0xff; 8000]).ok();
        journal.referer = HeaderValue::from_bytes(&[b'"'; 8000]).ok();
        journal.client = None;
        journal.error = Some(Cause::ClientGone);
        let text = written(&journal);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.len() < 40_000, "{}", text.len());
        let value: serde_json::Value = serde_json::from_str(&text).expect("a line is JSON");
        assert_eq!(value["error"], "client_gone");
        assert!(value["client"].is_null());
    }

    #[test]
    fn dates_agree_with_the_calendar() {
        // Compared with httpdate for each tenth of a day or so over two centuries.
        for seconds in (0..6_500_000_000_u64).step_by(8_641 * 97) {
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            let mut out = Vec::new();
            rfc3339_ms(&mut out, at);
            let ours = String::from_utf8(out).expect("digits");
            let theirs = httpdate::fmt_http_date(at); // Sun, 06 Nov 1994 08:49:37 GMT
            assert_eq!(ours[..4], theirs[12..16], "{ours} {theirs}");
            assert_eq!(ours[8..10], theirs[5..7], "{ours} {theirs}");
            assert_eq!(ours[11..19], theirs[17..25], "{ours} {theirs}");
        }
    }
}
