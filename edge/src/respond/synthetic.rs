//! Every response that we make ourselves, in one table.
//!
//! A [`Notice`] is a row: status, title, token. Failures take theirs from [`Cause`]; the two
//! refusals that a stored response can give rise to (412, 416) stand beside them. All become an
//! RFC 9457 problem document or a small HTML page, by the request's `Accept`, never stored.
//! `Cache-Status` is added by [`cache_status`](super::cache_status), framing by the codec; a `HEAD` request
//! gets the same head, and its caller leaves the content out.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use selvedge_cache::range::ContentRange;
use serde::Serialize;

use super::negotiate::{self, Form};
use crate::error::{Cause, Error};

/// `Proxy-Status` (RFC 9209).
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Longest `detail` sentence, in bytes.
const DETAIL_BYTES_MAX: usize = 512;

/// Methods of `Allow` with 405: `CONNECT` and `TRACE` are what we refuse.
const ALLOWED: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// What the response is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The exchange failed.
    Failure(Cause),
    /// A precondition does not hold for the stored response (RFC 9110 §15.5.13).
    PreconditionFailed,
    /// No range lies within the content (RFC 9110 §15.5.17), which has this many bytes.
    RangeNotSatisfiable {
        /// Length of the content, in bytes.
        length: u64,
    },
}

impl Notice {
    /// The status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Failure(cause) => cause.status(),
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::RangeNotSatisfiable { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
        }
    }

    /// The `title`: the same sentence for every occurrence.
    const fn title(self) -> &'static str {
        match self {
            Self::Failure(cause) => cause.title(),
            Self::PreconditionFailed => "A precondition of the request does not hold.",
            Self::RangeNotSatisfiable { .. } => "The requested range lies outside of the content.",
        }
    }

    /// The token in `type`, as in counters and the access log.
    const fn label(self) -> &'static str {
        match self {
            Self::Failure(cause) => cause.label(),
            Self::PreconditionFailed => "precondition_failed",
            Self::RangeNotSatisfiable { .. } => "range_not_satisfiable",
        }
    }

    /// Seconds after which a client may try again; given with every 503.
    const fn retry_after_s(self) -> Option<u32> {
        match self {
            Self::Failure(Cause::Overloaded | Cause::OriginBusy) => Some(2),
            Self::Failure(Cause::Draining) => Some(1),
            Self::Failure(Cause::NoOrigin) => Some(10),
            Self::Failure(cause) if matches!(cause.status(), StatusCode::SERVICE_UNAVAILABLE) => {
                Some(5)
            }
            _ => None,
        }
    }
}

impl From<Cause> for Notice {
    fn from(cause: Cause) -> Self {
        Self::Failure(cause)
    }
}

impl From<&Error> for Notice {
    fn from(error: &Error) -> Self {
        Self::Failure(error.cause)
    }
}

/// The response: status, fields, content. `detail` is a sentence about this occurrence (never an
/// error chain: those are for the log); it may contain what the client sent.
pub fn respond(
    notice: impl Into<Notice>,
    detail: Option<&str>,
    request: &HeaderMap,
) -> (StatusCode, HeaderMap, Bytes) {
    let notice = notice.into();
    let detail = detail.map(|detail| &detail[..detail.floor_char_boundary(DETAIL_BYTES_MAX)]);
    let form = negotiate::preferred(request);
    let content = match form {
        Form::Json => problem(notice, detail),
        Form::Html => page(notice, detail),
    };
    let mut headers = HeaderMap::with_capacity(10);
    fields(&mut headers, notice, form);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    (notice.status(), headers, Bytes::from(content))
}

fn fields(headers: &mut HeaderMap, notice: Notice, form: Form) {
    headers.insert(
        CONTENT_TYPE,
        match form {
            Form::Json => HeaderValue::from_static("application/problem+json"),
            Form::Html => HeaderValue::from_static("text/html; charset=utf-8"),
        },
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if form == Form::Html {
        let nothing = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
        headers.insert(CONTENT_SECURITY_POLICY, nothing);
    }
    if let Some(seconds) = notice.retry_after_s() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    match notice {
        Notice::Failure(cause) => {
            let status = format!("selvedge; error={}", cause.proxy_status());
            let status = HeaderValue::try_from(status).expect("tokens of the table are visible");
            headers.insert(PROXY_STATUS, status);
            if cause.status() == StatusCode::METHOD_NOT_ALLOWED {
                headers.insert(ALLOW, ALLOWED);
            }
        }
        Notice::PreconditionFailed => {}
        Notice::RangeNotSatisfiable { length } => {
            headers.insert(CONTENT_RANGE, ContentRange::Unsatisfied { length }.to_value());
        }
    }
}

/// RFC 9457 §3.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

fn problem(notice: Notice, detail: Option<&str>) -> Vec<u8> {
    let problem = Problem {
        kind: format!("urn:selvedge:problem:{}", notice.label()),
        title: notice.title(),
        status: notice.status().as_u16(),
        detail,
    };
    let mut json = serde_json::to_vec(&problem).expect("strings can always be written as JSON");
    json.push(b'\n');
    json
}

fn page(notice: Notice, detail: Option<&str>) -> Vec<u8> {
    let status = notice.status();
    let (code, phrase) = (status.as_u16(), status.canonical_reason().unwrap_or(""));
    let mut page = String::with_capacity(768);
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{code} {phrase}</title>\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;margin:10vh auto;max-width:36rem;\
         padding:0 1rem}}code{{color:#777}}</style></head>\n\
         <body><h1>{code} {phrase}</h1>\n<p>{}</p>\n",
        notice.title(),
    )
    .expect("writing to a String cannot fail");
    if let Some(detail) = detail {
        writeln!(page, "<p>{}</p>", escaped(detail)).expect("writing to a String cannot fail");
    }
    writeln!(page, "<p><code>selvedge · {}</code></p></body>\n</html>", notice.label())
        .expect("writing to a String cannot fail");
    page.into_bytes()
}

/// Text that cannot leave its HTML element.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 32);
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;

    use super::*;

    fn html() -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("text/html"))])
    }

    fn every_notice() -> impl Iterator<Item = Notice> {
        let beside = [Notice::PreconditionFailed, Notice::RangeNotSatisfiable { length: 7 }];
        Cause::ALL.iter().copied().map(Notice::Failure).chain(beside)
    }

    #[test]
    fn the_whole_table_makes_honest_documents() {
        for notice in every_notice() {
            let (status, headers, content) = respond(notice, Some("It was so."), &HeaderMap::new());
            assert!(status.is_client_error() || status.is_server_error(), "{notice:?}");
            assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
            assert_eq!(headers[CACHE_CONTROL], "no-store");
            assert_eq!(headers[CONTENT_LENGTH], content.len().to_string());
            let document: serde_json::Value = serde_json::from_slice(&content).expect("JSON");
            assert_eq!(document["status"], status.as_u16());
            assert_eq!(document["title"], notice.title());
            assert_eq!(document["detail"], "It was so.");
            let kind = document["type"].as_str().expect("a string");
            assert_eq!(kind, format!("urn:selvedge:problem:{}", notice.label()));

            let retry = headers.contains_key(RETRY_AFTER);
            assert_eq!(retry, status == StatusCode::SERVICE_UNAVAILABLE, "{notice:?}");
            let allow = headers.contains_key(ALLOW);
            assert_eq!(allow, status == StatusCode::METHOD_NOT_ALLOWED, "{notice:?}");
            if let Notice::Failure(cause) = notice {
                let expected = format!("selvedge; error={}", cause.proxy_status());
                assert_eq!(headers[PROXY_STATUS], expected);
            }

            let (same, headers, content) = respond(notice, None, &html());
            assert_eq!(same, status);
            assert_eq!(headers[CONTENT_TYPE], "text/html; charset=utf-8");
            assert_eq!(headers[CONTENT_LENGTH], content.len().to_string());
            let page = std::str::from_utf8(&content).expect("text");
            assert!(page.contains(notice.title()) && page.contains(notice.label()), "{page}");
        }
    }

    #[test]
    fn what_a_client_sent_cannot_leave_its_place() {
        let hostile = "Host \"<script>alert('1')</script>\" & \u{1}";
        let (_, _, content) = respond(Cause::UnknownHost, Some(hostile), &html());
        let page = std::str::from_utf8(&content).expect("text");
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)"), "{page}");
        let (_, _, content) = respond(Cause::UnknownHost, Some(hostile), &HeaderMap::new());
        let document: serde_json::Value = serde_json::from_slice(&content).expect("JSON");
        assert_eq!(document["detail"], hostile);
    }

    #[test]
    fn a_long_detail_is_cut() {
        let (_, _, content) = respond(Cause::Host, Some(&"é".repeat(9000)), &HeaderMap::new());
        assert!(content.len() < DETAIL_BYTES_MAX + 300);
    }

    #[test]
    fn a_range_outside_tells_the_length() {
        let notice = Notice::RangeNotSatisfiable { length: 1234 };
        let (status, headers, _) = respond(notice, None, &HeaderMap::new());
        assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(headers[CONTENT_RANGE], "bytes */1234");
        assert!(!headers.contains_key(PROXY_STATUS));
    }
}
