//! Refusals, as problem documents (RFC 9457).

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

/// A refusal: its status, what is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Status of the response.
    pub status: StatusCode,
    /// A short sentence, the same for every problem of its kind.
    pub title: &'static str,
    /// A sentence about this one, which says what to do.
    pub detail: String,
    /// Name of the field that is wrong, in the body or the head.
    pub field: Option<String>,
    /// When to try again, in seconds.
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem that concerns no single field.
    pub fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        let retry_after_s = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { status, title, detail: detail.into(), field: None, retry_after_s }
    }

    /// Names the field.
    #[must_use]
    pub fn about(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    /// Says when to try again; whole seconds, rounded up.
    #[must_use]
    pub fn again_in_ms(mut self, wait_ms: u64) -> Self {
        self.retry_after_s = Some(wait_ms.div_ceil(1000).max(1));
        self
    }

    /// The response.
    pub fn into_response(self) -> Response<Bytes> {
        let mut document = json!({
            "type": "about:blank",
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(field) = self.field {
            document["field"] = field.into();
        }
        let mut response = answer(self.status, &document);
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"selvedge\"");
            response.headers_mut().insert(http::header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// A JSON response that nobody may store.
pub fn answer(status: StatusCode, document: &Value) -> Response<Bytes> {
    let mut body = document.to_string();
    body.push('\n');
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
