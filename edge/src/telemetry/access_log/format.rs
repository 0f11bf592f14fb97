//! A journal as one line of JSON.
//!
//! Every line has every member, in the same order; what is not known is `null`. Members that
//! come from the network are escaped and cut (see [`super::escape`]), so a line has a longest
//! length whatever a client sends.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Version;

use super::escape;
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
pub fn line(out: &mut Vec<u8>, journal: &Journal, site: &str, duration: Duration) {
    out.extend_from_slice(b"{\"time\":\"");
    rfc3339_ms(out, journal.started_wall);
    out.extend_from_slice(b"\",\"client\":");
    match journal.client {
        Some(client) => put(out, format_args!("\"{client}\"")),
        None => out.extend_from_slice(b"null"),
    }
    put(out, format_args!(",\"connection\":{}", journal.connection));
    put(out, format_args!(",\"scheme\":\"{}\"", journal.scheme));
    member(out, "method", Some(journal.method.as_str().as_bytes()), NAME_BYTES_MAX);
    member(out, "host", Some(journal.host.as_bytes()), NAME_BYTES_MAX);
    member(out, "target", Some(journal.target.as_bytes()), TARGET_BYTES_MAX);
    let (protocol, status) = (protocol(journal.version), journal.status.as_u16());
    put(out, format_args!(",\"protocol\":\"{protocol}\",\"status\":{status}"));
    put(out, format_args!(",\"bytes\":{}", journal.body_bytes));
    put(out, format_args!(",\"duration_ms\":{:.3}", ms(duration)));
    match journal.ttfb {
        Some(ttfb) => put(out, format_args!(",\"ttfb_ms\":{:.3}", ms(ttfb))),
        None => out.extend_from_slice(b",\"ttfb_ms\":null"),
    }
    put(out, format_args!(",\"cache\":\"{}\"", journal.cache.name()));
    let detail = Some(journal.detail.as_bytes()).filter(|detail| !detail.is_empty());
    member(out, "detail", detail, NAME_BYTES_MAX);
    member(out, "site", Some(site.as_bytes()), NAME_BYTES_MAX);
    member(out, "origin", journal.origin.as_deref().map(str::as_bytes), NAME_BYTES_MAX);
    let error = journal.error.map(|cause| cause.label().as_bytes());
    member(out, "error", error, NAME_BYTES_MAX);
    let delivery = journal.delivery.map(|delivery| delivery_name(delivery).as_bytes());
    member(out, "delivery", delivery, NAME_BYTES_MAX);
    let user_agent = journal.user_agent.as_ref().map(http::HeaderValue::as_bytes);
    member(out, "user_agent", user_agent, USER_AGENT_BYTES_MAX);
    let referer = journal.referer.as_ref().map(http::HeaderValue::as_bytes);
    member(out, "referer", referer, REFERER_BYTES_MAX);
    out.extend_from_slice(b"}\n");
}

fn member(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>, bytes_max: usize) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    escape::optional(out, value, bytes_max);
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes every write");
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
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
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let ms = since.subsec_millis();
    put(
        out,
        format_args!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"),
    );
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
