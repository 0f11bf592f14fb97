//! 2 · Is this request well formed and welcome?
//!
//! [`gate`] stands under the H1 codec and lets only strict messages through. [`admit`] then turns
//! what any codec read into an [`Admitted`]: one host, one path, end-to-end fields, a believed
//! client address. Only this folder can make one, so later phases need not ask again.
//!
//! Knows the message and the peer. Knows nothing of sites, rules, cache or origins.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderMap};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Method, Version};
use ipnet::IpNet;

use crate::accept::{Connection, HeadLimits, Interim, Received, RequestBody};
use crate::error::{Cause, Error};

mod access;
pub mod cdn_loop;
pub mod forwarded;
mod framing;
pub mod gate;
mod limits;
mod normalize;
mod syntax;

pub use cdn_loop::CdnLoop;
pub use forwarded::{Forwarded, Outbound};
pub use gate::Gate;

use normalize::host::HostPort;

/// What admission is told.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Networks whose `X-Forwarded-*` and `Forwarded` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Sizes and counts of a head, applied to what H2 decoded.
    pub limits: HeadLimits,
    /// How a request is known that was here before.
    pub cdn_loop: CdnLoop,
}

/// A change of protocol that the client asked for (RFC 9110 §7.8). It is a fact, not a promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Upgrade {
    /// RFC 6455.
    WebSocket,
}

/// A request that is well formed, normalised and allowed to be asked.
///
/// Host and path have one form, used for the key and for the origin alike. The fields are
/// end-to-end only: no `Host` (see [`host`](Self::host)), no `Connection` and what it named, no
/// `Transfer-Encoding`, no `Expect`, no `X-Forwarded-*` or `Forwarded` (see [`Outbound`]).
#[derive(Debug)]
pub struct Admitted {
    /// Method: anything but `CONNECT` and `TRACE`.
    pub method: Method,
    /// Version that the client spoke.
    pub version: Version,
    /// `http` or `https`, by the connection.
    pub scheme: &'static str,
    /// The clean fields.
    pub headers: HeaderMap,
    /// The content.
    pub body: RequestBody,
    /// Whether there is, or may be, content.
    pub has_body: bool,
    /// Declared length of the content in bytes.
    pub content_length: Option<u64>,
    /// The connection it came on.
    pub connection: Arc<Connection>,
    /// The way to send 1xx responses.
    pub interim: Interim,
    /// The client's address as far as it is believed; `None` on Unix sockets.
    pub client: Option<IpAddr>,
    /// What a trusted proxy told us, when the peer is one.
    pub forwarded: Option<Box<Forwarded>>,
    /// Whether the request carried any forwarding field, believed or not: such a request never
    /// counts as local.
    pub was_forwarded: bool,
    /// The change of protocol that was asked for.
    pub upgrade: Option<Upgrade>,
    /// The client can take trailers.
    pub takes_trailers: bool,
    host: Authority,
    target: PathAndQuery,
}

impl Admitted {
    /// Lower-case host, with the port when it is not the scheme's own.
    pub fn host(&self) -> &str {
        self.host.as_str()
    }

    /// The host without a port; brackets included for IPv6.
    pub fn host_name(&self) -> &str {
        self.host.host()
    }

    /// The port that the client means.
    pub fn port(&self) -> u16 {
        self.host.port_u16().unwrap_or(if self.scheme == "https" { 443 } else { 80 })
    }

    /// The authority, for building URIs.
    pub fn authority(&self) -> &Authority {
        &self.host
    }

    /// Normalised path: begins with `/`, or is `*`.
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// The query without `?`, exactly as sent; `None` when there is no `?`.
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }

    /// Path and query as they go to the origin.
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }

    /// Puts another target in place: a filter rewrote it.
    pub fn retarget(&mut self, path: &str, query: Option<&str>) -> Result<(), Cause> {
        let text = match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let target = PathAndQuery::try_from(text).map_err(|_| Cause::Malformed)?;
        self.target = normal_target(&target)?;
        Ok(())
    }

    /// What the origin is told about the client.
    pub fn outbound(&self) -> Outbound<'_> {
        Outbound {
            peer: self.connection.peer.ip(),
            forwarded: self.forwarded.as_deref(),
            scheme: self.scheme,
            host: self.host(),
            version: self.version,
        }
    }
}

/// A path and query in the one form that keys, purges and origins see.
pub fn normal_target(target: &PathAndQuery) -> Result<PathAndQuery, Cause> {
    if !syntax::is_path_and_query(target.as_str().as_bytes()) {
        return Err(Cause::Malformed);
    }
    normalize::path::normalise(target)
}

/// A host in the one form that keys, purges and origins see.
pub fn normal_host(authority: &[u8], scheme: &str) -> Result<String, Cause> {
    normalize::host::HostPort::normalise_bytes(authority, scheme).map(|host| host.to_string())
}

/// A request that was not admitted: why, and what is needed to answer and to log it.
#[derive(Debug)]
pub struct Rejected {
    /// The reason.
    pub error: Error,
    /// The head as it was received (fields may have been cleaned in part).
    pub head: Parts,
    /// The content, unread.
    pub body: RequestBody,
    /// The connection it came on.
    pub connection: Arc<Connection>,
}

/// Admits a request, or says why not.
pub fn admit(received: Received, config: &Config) -> Result<Admitted, Box<Rejected>> {
    let Received { mut head, body, connection, interim } = received;
    match examine(&mut head, &connection, config) {
        Ok(checked) => {
            let content_length = checked.findings.framing.content_length();
            Ok(Admitted {
                method: head.method,
                version: head.version,
                scheme: connection.scheme(),
                headers: head.headers,
                has_body: !body.is_empty() || content_length.is_some_and(|bytes| bytes > 0),
                body,
                content_length,
                connection,
                interim,
                client: checked.client,
                forwarded: checked.forwarded,
                was_forwarded: checked.findings.was_forwarded,
                upgrade: checked.findings.upgrade,
                takes_trailers: checked.findings.takes_trailers,
                host: checked.host,
                target: checked.target,
            })
        }
        Err(cause) => Err(Box::new(Rejected { error: Error::new(cause), head, body, connection })),
    }
}

/// What the examination yields.
struct Checked {
    host: Authority,
    target: PathAndQuery,
    findings: normalize::fields::Findings,
    client: Option<IpAddr>,
    forwarded: Option<Box<Forwarded>>,
}

/// The whole decision, without moving the request. The order is from cheap and certain to costly.
fn examine(head: &mut Parts, connection: &Connection, config: &Config) -> Result<Checked, Cause> {
    access::check_method(&head.method)?;
    if head.version >= Version::HTTP_2 {
        limits::check(head, &config.limits)?;
    }
    let host = host_of(head, connection.scheme())?;
    let target = target_of(head)?;
    if config.cdn_loop.closes(&head.headers) {
        return Err(Cause::Loop);
    }
    let peer = connection.peer.ip();
    let believed =
        peer.is_some_and(|address| forwarded::is_trusted(&config.trusted_proxies, address));
    let forwarded = if believed { Forwarded::read(&head.headers).map(Box::new) } else { None };
    let client = forwarded.as_ref().and_then(|told| told.client(&config.trusted_proxies)).or(peer);
    let findings = normalize::fields::clean(&mut head.headers, head.version, &head.method)?;
    Ok(Checked { host, target, findings, client, forwarded })
}

/// The host: the target's authority if it has one, else `Host`. On H2 both must agree when both
/// are there (RFC 9113 §8.3.1); on H1 the authority wins (RFC 9112 §3.2.2).
fn host_of(head: &Parts, scheme: &'static str) -> Result<Authority, Cause> {
    let mut fields = head.headers.get_all(header::HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Cause::Host);
    }
    match (head.uri.authority(), field) {
        (Some(authority), field) => {
            let host = HostPort::normalise(authority, scheme)?;
            if let Some(field) = field
                && head.version >= Version::HTTP_2
                && HostPort::normalise_bytes(field.as_bytes(), scheme)? != host
            {
                return Err(Cause::Host);
            }
            Ok(host)
        }
        (None, Some(field)) => same_host(field.as_bytes(), scheme),
        (None, None) => Err(Cause::Host),
    }
}

/// The host of a `Host` field. Most requests of a thread name the host that the one before named,
/// in its one form: the last is kept, and shared.
fn same_host(field: &[u8], scheme: &'static str) -> Result<Authority, Cause> {
    thread_local! {
        static LAST: RefCell<Option<(Authority, &'static str)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| {
        if let Some((host, of)) = last
            && host.as_str().as_bytes() == field
            && *of == scheme
        {
            return Ok(host.clone());
        }
        let host = HostPort::normalise_bytes(field, scheme)?;
        *last = Some((host.clone(), scheme));
        Ok(host)
    })
}

/// Path and query: `/…`, or `*` for `OPTIONS` (RFC 9112 §3.2.4).
fn target_of(head: &Parts) -> Result<PathAndQuery, Cause> {
    let target = head.uri.path_and_query().ok_or(Cause::Malformed)?;
    if target.as_str() == "*" && head.method != Method::OPTIONS {
        return Err(Cause::Malformed);
    }
    if !syntax::is_path_and_query(target.as_str().as_bytes()) {
        return Err(Cause::Malformed);
    }
    normalize::path::normalise(target)
}

#[cfg(test)]
mod tests;
