//! A request as an origin gets it.
//!
//! The forwarded head is made anew and never copied: framing is ours alone, one Host, nothing that
//! belonged to the client's connection (RFC 9110 §7.6.1). The caller has done most of this; doing
//! it again here means that no path into an origin can forget it. An attempt may be repeated, so
//! what does not change between attempts is a template.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use http_body::Body as _;

use super::pool::head::remove_hop_by_hop;
use super::pool::upload::{Outbound, Upload};

/// A request to send.
#[derive(Debug)]
pub struct OutboundRequest {
    /// Any but CONNECT.
    pub method: Method,
    /// The client's Host; an origin may be asked under another (`PoolConfig::host`, `https://`
    /// origins given by name).
    pub host: HeaderValue,
    /// What is asked for, in origin form.
    pub target: PathAndQuery,
    /// End-to-end fields. Framing, Host and hop-by-hop fields in it are ignored.
    pub headers: HeaderMap,
    /// The content.
    pub body: Outbound,
    /// The origin to try first, by its place in the pool; `None` leaves it to the balancer.
    pub preferred: Option<usize>,
    /// A stale response can stand in for a failure: an origin that is known to be unwell is not
    /// waited for, unless this request is its trial.
    pub has_fallback: bool,
    /// What the request is told apart by, where the pool chooses by hash; an evenly spread number.
    pub affinity: Option<u64>,
    /// Others may wait for the same answer: it gets a place before a request that goes alone.
    pub is_shared: bool,
}

/// What all attempts have in common.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) method: Method,
    target: Uri,
    headers: HeaderMap,
}

impl OutboundRequest {
    /// The head for every attempt, and the content for one.
    pub(super) fn into_template(self) -> (Template, Option<Outbound>) {
        let mut fields = self.headers;
        remove_hop_by_hop(&mut fields);
        for name in [HOST, CONTENT_LENGTH, EXPECT, HeaderName::from_static("trailer")] {
            fields.remove(name);
        }
        // Host first: RFC 9110 §7.2 asks for it, and logs are easier to read.
        let mut headers = HeaderMap::with_capacity(fields.len() + 2);
        headers.insert(HOST, self.host);
        headers.extend(fields);
        let template = Template { method: self.method, target: self.target.into(), headers };
        (template, Some(self.body))
    }
}

impl Template {
    /// The request for one attempt; `last`: the connection shall not serve another one.
    pub(super) fn request(
        &self,
        host: Option<&HeaderValue>,
        last: bool,
        upload: Upload,
    ) -> Request<Upload> {
        let mut headers = self.headers.clone();
        if last {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(host) = host {
            headers.insert(HOST, host.clone());
        }
        // RFC 9110 §8.6: these methods say that they have no content.
        let says_so = matches!(self.method, Method::POST | Method::PUT | Method::PATCH);
        if upload.is_end_stream() {
            if says_so {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
        } else if let Some(length) = upload.size_hint().exact() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        } else {
            // Said explicitly: for GET the codec would take unknown content for none.
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let mut request = Request::new(upload);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::BodyExt;
    use tokio::time::Instant;

    fn made(method: Method, headers: &[(&str, &str)], body: Outbound) -> Request<Upload> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            map.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let (template, content) = OutboundRequest {
            method,
            host: HeaderValue::from_static("shop.example"),
            target: PathAndQuery::from_static("/a?b=%23"),
            headers: map,
            body,
            preferred: None,
            has_fallback: false,
            affinity: None,
            is_shared: false,
        }
        .into_template();
        let (upload, _) = Upload::new(content.expect("content"), Instant::now());
        template.request(None, false, upload)
    }

    fn shown(request: &Request<Upload>) -> Vec<String> {
        let field = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        };
        request.headers().iter().map(field).collect()
    }

    #[test]
    fn the_head_is_made_anew() {
        let request = made(
            Method::GET,
            &[
                ("host", "evil.example"),
                ("connection", "x-one, host"),
                ("x-one", "1"),
                ("content-length", "7"),
                ("transfer-encoding", "chunked"),
                ("te", "trailers"),
                ("expect", "100-continue"),
                ("upgrade", "h2c"),
                ("http2-settings", "a"),
                ("accept", "a"),
                ("accept", "b"),
            ],
            Outbound::Empty,
        );
        assert_eq!(request.uri(), "/a?b=%23");
        assert_eq!(shown(&request), ["host: shop.example", "accept: a", "accept: b"]);
    }

    #[test]
    fn framing_is_said_once_and_by_us() {
        let full = |text: &'static str| {
            let body = http_body_util::Full::new(Bytes::from_static(text.as_bytes()));
            Outbound::stream(body.map_err(|never| match never {}))
        };
        let lying = [("content-length", "99")];
        let sized = made(Method::PUT, &lying, full("four"));
        assert_eq!(shown(&sized), ["host: shop.example", "content-length: 4"]);
        let empty = made(Method::POST, &lying, full(""));
        assert_eq!(shown(&empty), ["host: shop.example", "content-length: 0"]);
        let stream = futures_util::stream::iter([Ok(http_body::Frame::data(Bytes::new()))]);
        let unknown = Outbound::stream(http_body_util::StreamBody::new(stream));
        let chunked = made(Method::GET, &lying, unknown);
        assert_eq!(shown(&chunked), ["host: shop.example", "transfer-encoding: chunked"]);
    }
}
