//! The fields of a request after admission: end-to-end fields only, each valid.
//!
//! One pass classifies every field by name; what must go is collected and removed afterwards, so
//! that an ordinary request costs one walk and no allocation. Removed are: hop-by-hop fields and
//! whatever `Connection` names (RFC 9110 §7.6.1), except fields that nobody may remove that way;
//! `Proxy-*`; fields by which a client claims another identity, URL or method; and
//! `Host`, which lives on as the admitted host.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Version};
use smallvec::SmallVec;

use super::super::Upgrade;
use super::super::framing::{Framing, FramingField};
use super::super::syntax;
use crate::error::Cause;
use crate::hop::{HOP_BY_HOP, is_irremovable};

/// What the walk found besides what it removed.
#[derive(Debug, Default)]
pub(in crate::admit) struct Findings {
    /// Body length as declared.
    pub(in crate::admit) framing: Framing,
    /// A protocol change that the client asked for and that we know.
    pub(in crate::admit) upgrade: Option<Upgrade>,
    /// Some field said that the request was forwarded.
    pub(in crate::admit) was_forwarded: bool,
    /// The client can take trailers (`TE: trailers`).
    pub(in crate::admit) takes_trailers: bool,
}

/// What becomes of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Keep,
    Host,
    Drop,
    Connection,
    ContentLength,
    TransferEncoding,
    Te,
    Expect,
    Upgrade,
    Forwarding,
    Cookie,
}

fn fate(name: &HeaderName) -> Fate {
    match *name {
        header::CONNECTION => Fate::Connection,
        header::CONTENT_LENGTH => Fate::ContentLength,
        header::TRANSFER_ENCODING => Fate::TransferEncoding,
        header::TE => Fate::Te,
        header::EXPECT => Fate::Expect,
        header::UPGRADE => Fate::Upgrade,
        header::FORWARDED => Fate::Forwarding,
        header::COOKIE => Fate::Cookie,
        header::HOST => Fate::Host,
        _ if HOP_BY_HOP.contains(name) => Fate::Drop,
        _ => fate_by_text(name.as_str()),
    }
}

fn fate_by_text(name: &str) -> Fate {
    match name.as_bytes()[0] {
        b'x' => match name {
            "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-forwarded-port"
            | "x-forwarded-server" | "x-forwarded-scheme" | "x-forwarded-ssl"
            | "x-forwarded-prefix" | "x-forwarded" | "x-real-ip" => Fate::Forwarding,
            "x-original-url"
            | "x-rewrite-url"
            | "x-host"
            | "x-original-host"
            | "x-http-method-override"
            | "x-http-method"
            | "x-method-override" => Fate::Drop,
            _ => Fate::Keep,
        },
        b'p' if name.starts_with("proxy-") || name == "proxy" => Fate::Drop,
        _ => Fate::Keep,
    }
}

/// Checks and cleans the fields of one request.
pub(in crate::admit) fn clean(
    headers: &mut HeaderMap,
    version: Version,
    method: &Method,
) -> Result<Findings, Cause> {
    let mut findings = Findings::default();
    let mut dropped: SmallVec<[HeaderName; 8]> = SmallVec::new();
    let mut upgrade_named = false;
    let mut websocket = false;
    let mut te_named = false;
    let mut cookies = 0_usize;
    let mut padded = false;
    let mut host = false;
    for (name, value) in &*headers {
        let bytes = value.as_bytes();
        if let [b' ' | b'\t', ..] | [.., b' ' | b'\t'] = bytes {
            padded = true;
        }
        let fate = fate(name);
        if fate == Fate::Keep {
            if FramingField::of(name.as_str().as_bytes()).is_some() {
                return Err(Cause::Framing);
            }
            continue;
        }
        let bytes = syntax::trim(bytes);
        match fate {
            Fate::Keep => {}
            Fate::Host => host = true,
            Fate::Drop => dropped.push(name.clone()),
            Fate::Forwarding => {
                findings.was_forwarded = true;
                dropped.push(name.clone());
            }
            Fate::ContentLength => {
                findings.framing.take(FramingField::ContentLength, bytes, version)?;
            }
            Fate::TransferEncoding => {
                findings.framing.take(FramingField::TransferEncoding, bytes, version)?;
                dropped.push(name.clone());
            }
            Fate::Te => {
                te_named = true;
                findings.takes_trailers |=
                    tokens(bytes).any(|t| t.eq_ignore_ascii_case(b"trailers"));
            }
            Fate::Expect => {
                if version != Version::HTTP_10 && !bytes.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Cause::Expectation);
                }
                // The codec answers it, and our own request carries its own expectation.
                dropped.push(name.clone());
            }
            Fate::Upgrade => {
                websocket |= tokens(bytes).any(|t| t.eq_ignore_ascii_case(b"websocket"));
                dropped.push(name.clone());
            }
            Fate::Cookie => cookies += 1,
            Fate::Connection => {
                if version >= Version::HTTP_2 {
                    return Err(Cause::Malformed); // RFC 9113 §8.2.2
                }
                dropped.push(name.clone());
                for token in tokens(bytes) {
                    upgrade_named |= token.eq_ignore_ascii_case(b"upgrade");
                    if token.eq_ignore_ascii_case(b"close")
                        || token.eq_ignore_ascii_case(b"keep-alive")
                    {
                        continue;
                    }
                    let named = HeaderName::from_bytes(token).map_err(|_| Cause::Malformed)?;
                    if !is_irremovable(&named) && headers.contains_key(&named) {
                        dropped.push(named);
                    }
                }
            }
        }
    }
    if websocket && upgrade_named && version == Version::HTTP_11 && *method == Method::GET {
        findings.upgrade = Some(Upgrade::WebSocket);
    }
    if host {
        headers.remove(header::HOST);
    }
    for name in &dropped {
        headers.remove(name);
    }
    if te_named {
        if findings.takes_trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        } else {
            headers.remove(header::TE);
        }
    }
    if padded {
        trim_values(headers);
    }
    if cookies > 1 {
        join_cookies(headers);
    }
    Ok(findings)
}

/// The members of a comma-separated list, trimmed, empty ones left out (RFC 9110 §5.6.1.2).
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(syntax::trim).filter(|token| !token.is_empty())
}

/// H2 lets values begin and end with spaces; RFC 9110 §5.5 excludes them from the value.
fn trim_values(headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        let trimmed = syntax::trim(value.as_bytes());
        if trimmed.len() != value.len() {
            *value = HeaderValue::from_bytes(trimmed).expect("part of a valid value is valid");
        }
    }
}

/// H2 clients may send each cookie pair on its own (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut joined = Vec::new();
    for crumb in headers.get_all(header::COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(crumb.as_bytes());
    }
    let joined = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined))
        .expect("valid values joined by `; ` are valid");
    headers.insert(header::COOKIE, joined);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(version: Version, fields: &[(&str, &str)]) -> Result<(HeaderMap, Findings), Cause> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).expect("name"),
                HeaderValue::from_bytes(value.as_bytes()).expect("value"),
            );
        }
        let findings = clean(&mut headers, version, &Method::GET)?;
        Ok((headers, findings))
    }

    fn left(version: Version, fields: &[(&str, &str)]) -> Vec<String> {
        let (headers, _) = cleaned(version, fields).expect("clean");
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn hop_by_hop_fields_and_what_connection_names_fall_away() {
        let fields = [
            ("connection", "close, X-Secret, Content-Length,, authorization, host"),
            ("x-secret", "1"),
            ("content-length", "5"),
            ("authorization", "Basic x"),
            ("keep-alive", "1"),
            ("proxy-connection", "x"),
            ("proxy", "httpoxy"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMA"),
            ("te", "gzip"),
            ("host", "a"),
            ("x-original-url", "/admin"),
            ("x-rewrite-url", "/admin"),
            ("x-host", "b"),
            ("x-http-method-override", "DELETE"),
            ("accept", "*/*"),
        ];
        assert_eq!(
            left(Version::HTTP_11, &fields),
            ["accept: */*", "authorization: Basic x", "content-length: 5"]
        );
    }

    #[test]
    fn trailers_are_the_only_te_that_passes() {
        assert_eq!(left(Version::HTTP_11, &[("te", "gzip, Trailers")]), ["te: trailers"]);
        let (_, findings) = cleaned(Version::HTTP_11, &[("te", "trailers")]).expect("clean");
        assert!(findings.takes_trailers);
    }

    #[test]
    fn websocket_is_noted_only_with_connection_upgrade() {
        let ask = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        let (headers, findings) = cleaned(Version::HTTP_11, &ask).expect("clean");
        assert_eq!(findings.upgrade, Some(Upgrade::WebSocket));
        assert!(headers.is_empty());
        for (version, fields) in [
            (Version::HTTP_11, &ask[1..]),
            (Version::HTTP_10, &ask[..]),
            (Version::HTTP_11, &[("connection", "upgrade"), ("upgrade", "h2c")][..]),
        ] {
            assert_eq!(cleaned(version, fields).expect("clean").1.upgrade, None);
        }
    }

    #[test]
    fn forwarding_fields_are_noticed_and_removed() {
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"] {
            let (headers, findings) =
                cleaned(Version::HTTP_2, &[(name, "1.2.3.4")]).expect("clean");
            assert!(findings.was_forwarded && headers.is_empty(), "{name}");
        }
    }

    #[test]
    fn cookie_crumbs_are_joined_and_values_trimmed() {
        let fields = [("cookie", "a=1"), ("cookie", "b=2"), ("accept", " \ttext/html ")];
        assert_eq!(left(Version::HTTP_2, &fields), ["accept: text/html", "cookie: a=1; b=2"]);
    }

    #[test]
    fn odd_framing_is_refused_on_every_version() {
        for (fields, cause) in [
            (&[("content-length", "1"), ("content-length", "1")][..], Cause::Framing),
            (&[("content-length", "+1")], Cause::Framing),
            (&[("content_length", "1")], Cause::Framing),
            (&[("transfer_encoding", "chunked")], Cause::Framing),
            (&[("transfer-encoding", "chunked")], Cause::Framing),
            (&[("connection", "close")], Cause::Malformed),
            (&[("expect", "tea")], Cause::Expectation),
        ] {
            assert_eq!(cleaned(Version::HTTP_2, fields).map(|_| ()), Err(cause), "{fields:?}");
        }
    }
}
