//! Who the client really is, and what we tell the origin about it.
//!
//! `X-Forwarded-*` and `Forwarded` (RFC 7239) are claims. They are believed only from peers in
//! `trusted_proxies`; from anybody else they are thrown away and written anew. In a believed chain
//! the client is the right-most address that is not itself a trusted proxy: everything left of it
//! was written by somebody we do not know.
//!
//! `X-Forwarded-For` is preferred over `Forwarded` when both came. A trusted proxy must therefore
//! write, or remove, both.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

/// `X-Forwarded-For`.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Longest chain of addresses that is read and passed on; older ones, on the left, are dropped.
const HOPS_MAX: usize = 16;

/// The name under which this node appears in `Via` and as `by` (RFC 9110 §7.6.3).
const PSEUDONYM: &str = "selvedge";

/// What a trusted proxy told us.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Forwarded {
    /// Addresses from the client's side to ours, without the peer itself.
    pub hops: Vec<IpAddr>,
    /// `http` or `https`, as the client spoke to the first proxy that said so.
    pub scheme: Option<&'static str>,
    /// The host that the client asked the proxy for, if it is a plain one.
    pub host: Option<String>,
}

impl Forwarded {
    /// Reads the fields of a trusted peer; `None` when there are none.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let mut hops = Vec::new();
        for value in headers.get_all(X_FORWARDED_FOR) {
            push_hops(&mut hops, value.as_bytes().split(|&b| b == b',').map(parse_node));
        }
        let mut scheme = last(headers, &X_FORWARDED_PROTO).and_then(parse_scheme);
        let mut host = last(headers, &X_FORWARDED_HOST).and_then(parse_host);
        let by_standard = hops.is_empty();
        for value in headers.get_all(header::FORWARDED) {
            for element in value.as_bytes().split(|&b| b == b',') {
                for pair in element.split(|&b| b == b';') {
                    let Some(at) = memchr::memchr(b'=', pair) else { continue };
                    let (name, value) = (pair[..at].trim_ascii(), unquote(&pair[at + 1..]));
                    if by_standard && name.eq_ignore_ascii_case(b"for") {
                        push_hops(&mut hops, std::iter::once(parse_node(value)));
                    } else if scheme.is_none() && name.eq_ignore_ascii_case(b"proto") {
                        scheme = parse_scheme(value);
                    } else if host.is_none() && name.eq_ignore_ascii_case(b"host") {
                        host = parse_host(value);
                    }
                }
            }
        }
        let found = !hops.is_empty() || scheme.is_some() || host.is_some();
        found.then_some(Self { hops, scheme, host })
    }

    /// The client: the right-most hop that is not a trusted proxy, else the left-most.
    pub(super) fn client(&self, trusted: &[IpNet]) -> Option<IpAddr> {
        let stranger = self.hops.iter().rev().find(|hop| !is_trusted(trusted, **hop));
        stranger.or(self.hops.first()).copied()
    }
}

/// Whether `address` lies in one of the networks.
pub(super) fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// An unreadable hop (`unknown`, an obfuscated name) hides everything to its left: nobody can say
/// whether those addresses were claimed by a proxy of ours.
fn push_hops(hops: &mut Vec<IpAddr>, found: impl Iterator<Item = Option<IpAddr>>) {
    for hop in found {
        match hop {
            Some(hop) => hops.push(hop),
            None => hops.clear(),
        }
        if hops.len() > HOPS_MAX {
            hops.remove(0);
        }
    }
}

fn last<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let value = headers.get_all(name).iter().next_back()?.as_bytes();
    Some(value.rsplit(|&byte| byte == b',').next().unwrap_or(value).trim_ascii())
}

fn unquote(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn parse_node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(unquote(text)).ok()?;
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .or_else(|| {
            let inner = text.strip_prefix('[')?.strip_suffix(']')?;
            inner.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6)
        })?;
    Some(address.to_canonical())
}

fn parse_scheme(text: &[u8]) -> Option<&'static str> {
    if text.eq_ignore_ascii_case(b"https") {
        Some("https")
    } else if text.eq_ignore_ascii_case(b"http") {
        Some("http")
    } else {
        None
    }
}

fn parse_host(text: &[u8]) -> Option<String> {
    super::normalize::host::HostPort::parse(text).ok()?;
    std::str::from_utf8(text).ok().map(str::to_ascii_lowercase)
}

/// What the origin is told; borrowed from the admitted request.
#[derive(Clone, Copy, Debug)]
pub struct Outbound<'a> {
    /// Address at the other end of the client's connection; `None` on Unix sockets.
    pub peer: Option<IpAddr>,
    /// What a trusted peer told us.
    pub forwarded: Option<&'a Forwarded>,
    /// Scheme of the client's connection.
    pub scheme: &'a str,
    /// The admitted host.
    pub host: &'a str,
    /// Version of the client's request, for `Via`.
    pub version: Version,
}

impl Outbound<'_> {
    /// Writes `X-Forwarded-For`, `-Proto`, `-Host`, `Forwarded` and one more `Via` into the
    /// request for the origin. Existing `Via` entries are kept: they are how loops are found.
    pub fn write(&self, headers: &mut HeaderMap) {
        let hops = self.forwarded.map_or(&[][..], |told| &told.hops);
        let scheme = self.forwarded.and_then(|told| told.scheme).unwrap_or(self.scheme);
        let host = self.forwarded.and_then(|told| told.host.as_deref()).unwrap_or(self.host);
        let mut for_list = String::new();
        let mut standard = String::new();
        for hop in hops.iter().chain(&self.peer) {
            let separator = if for_list.is_empty() { "" } else { ", " };
            let _ = write!(for_list, "{separator}{hop}");
            let _ = match hop {
                IpAddr::V4(address) => write!(standard, "{separator}for={address}"),
                IpAddr::V6(address) => write!(standard, "{separator}for=\"[{address}]\""),
            };
        }
        if for_list.is_empty() {
            standard.push_str("for=unknown");
            headers.remove(X_FORWARDED_FOR);
        } else {
            headers.insert(X_FORWARDED_FOR, text(for_list));
        }
        let _ = write!(standard, ";host=\"{host}\";proto={scheme};by=_{PSEUDONYM}");
        headers.insert(header::FORWARDED, text(standard));
        headers.insert(X_FORWARDED_HOST, text(host.to_owned()));
        let scheme = if scheme == "https" { "https" } else { "http" };
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
        headers.append(header::VIA, via(self.version));
    }
}

/// Our entry in `Via`, for requests and responses alike, with the version in which the message
/// was received. HTTP/2 has no minor version, so 0 stands for it (RFC 9110 §2.5, §7.6.3).
pub const fn via(received: Version) -> HeaderValue {
    HeaderValue::from_static(match received {
        Version::HTTP_09 | Version::HTTP_10 => "1.0 selvedge",
        Version::HTTP_2 => "2.0 selvedge",
        Version::HTTP_3 => "3.0 selvedge",
        _ => "1.1 selvedge",
    })
}

fn text(value: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes::Bytes::from(value))
        .expect("addresses and checked hosts are valid field values")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn trusted() -> Vec<IpNet> {
        ["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse().expect("network")).to_vec()
    }

    fn client(pairs: &[(&'static str, &'static str)]) -> Option<String> {
        Forwarded::read(&fields(pairs))?.client(&trusted()).map(|address| address.to_string())
    }

    #[test]
    fn the_client_is_the_right_most_stranger() {
        for (pairs, want) in [
            (&[("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.1")][..], Some("1.2.3.4")),
            (&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.2.3.4")], Some("1.2.3.4")),
            (&[("x-forwarded-for", "10.0.0.2, 10.0.0.1")], Some("10.0.0.2")),
            (&[("x-forwarded-for", "6.6.6.6, junk, 10.0.0.1")], Some("10.0.0.1")),
            (&[("x-forwarded-for", "1.2.3.4:99")], Some("1.2.3.4")),
            (
                &[("forwarded", "for=6.6.6.6, For=\"[2001:470::1]:4711\";proto=https")],
                Some("2001:470::1"),
            ),
            (&[("forwarded", "for=unknown")], None),
            (&[("x-forwarded-proto", "https")], None),
            (&[], None),
        ] {
            assert_eq!(client(pairs).as_deref(), want, "{pairs:?}");
        }
    }

    #[test]
    fn scheme_and_host_come_from_either_form() {
        let told = Forwarded::read(&fields(&[("forwarded", "proto=HTTPS;host=\"A.test:81\"")]));
        let told = told.expect("something was told");
        assert_eq!((told.scheme, told.host.as_deref()), (Some("https"), Some("a.test:81")));
        assert_eq!(Forwarded::read(&fields(&[("x-forwarded-host", "a b")])), None);
    }

    #[test]
    fn long_chains_keep_their_right_end() {
        let many = vec!["9.9.9.9"; 40].join(",") + ",8.8.8.8";
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, many.parse().expect("value"));
        let told = Forwarded::read(&headers).expect("hops");
        assert_eq!(told.hops.len(), HOPS_MAX);
        assert_eq!(told.hops.last().map(ToString::to_string).as_deref(), Some("8.8.8.8"));
    }

    #[test]
    fn the_origin_is_told_what_we_believe() {
        let told = Forwarded {
            hops: vec!["1.2.3.4".parse().expect("address")],
            scheme: Some("https"),
            host: None,
        };
        let mut headers = fields(&[("via", "1.0 fred"), ("x-forwarded-proto", "spoofed")]);
        Outbound {
            peer: Some("2001:db8::7".parse().expect("address")),
            forwarded: Some(&told),
            scheme: "http",
            host: "a.test:81",
            version: Version::HTTP_11,
        }
        .write(&mut headers);
        let get = |name: &str| {
            headers.get_all(name).iter().map(|v| v.to_str().expect("text")).collect::<Vec<_>>()
        };
        assert_eq!(get("x-forwarded-for"), ["1.2.3.4, 2001:db8::7"]);
        assert_eq!(get("x-forwarded-proto"), ["https"]);
        assert_eq!(get("x-forwarded-host"), ["a.test:81"]);
        assert_eq!(get("via"), ["1.0 fred", "1.1 selvedge"]);
        assert_eq!(
            get("forwarded"),
            ["for=1.2.3.4, for=\"[2001:db8::7]\";host=\"a.test:81\";proto=https;by=_selvedge"]
        );
    }
}
