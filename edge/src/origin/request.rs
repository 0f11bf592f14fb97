//! A request as an origin gets it.
//!
//! The forwarded head is made anew and never copied: framing is ours alone, one Host, nothing that
//! belonged to the client's connection (RFC 9110 §7.6.1). The caller has done most of this; doing
//! it again here means that no path into an origin can forget it. An attempt may be repeated, so
//! what does not change between attempts is a [`Template`].

use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
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
    /// The request for one attempt.
    pub(super) fn request(&self, host: Option<&HeaderValue>, upload: Upload) -> Request<Upload> {
        let mut headers = self.headers.clone();
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
