//! The answer to a message that never became a request.

use std::time::SystemTime;

use crate::error::Cause;

/// A small problem document (RFC 9457) with `Proxy-Status` (RFC 9209), after which the connection
/// closes; and the length of its content. The titles in the table of causes need no escaping.
pub(super) fn response(cause: Cause, now: SystemTime) -> (Vec<u8>, u64) {
    let status = cause.status();
    let body = format!(
        "{{\"type\":\"about:blank\",\"title\":\"{}\",\"status\":{},\"cause\":\"{}\"}}\n",
        cause.title(),
        status.as_u16(),
        cause.label(),
    );
    let allow = if cause == Cause::Method {
        "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
    } else {
        ""
    };
    let answer = format!(
        "HTTP/1.1 {} {}\r\n\
         content-type: application/problem+json\r\n\
         content-length: {}\r\n\
         cache-control: no-store\r\n\
         proxy-status: selvedge; error={}\r\n\
         {allow}\
         date: {}\r\n\
         connection: close\r\n\r\n{body}",
        status.as_str(),
        status.canonical_reason().unwrap_or("Refused"),
        body.len(),
        cause.proxy_status(),
        httpdate::fmt_http_date(now),
    );
    (answer.into_bytes(), body.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_gives_a_whole_response() {
        for &cause in Cause::ALL {
            let (answer, bytes) = response(cause, SystemTime::UNIX_EPOCH);
            let text = String::from_utf8(answer).expect("text");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
            assert!(head.starts_with(&format!("HTTP/1.1 {} ", cause.status().as_str())));
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
            assert_eq!(body.len() as u64, bytes);
            let problem: serde_json::Value = serde_json::from_str(body).expect("JSON");
            assert_eq!(problem["title"], cause.title());
        }
    }
}
