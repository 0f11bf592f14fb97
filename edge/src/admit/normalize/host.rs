//! Which host is meant: `uri-host [ ":" port ]` (RFC 9110 §7.2), checked and brought to one form.
//!
//! The form is lower case, IPv6 literals as RFC 5952 writes them, and no port when it is the
//! scheme's own. User information, percent-encoding, zone identifiers and empty ports are refused:
//! each has been read differently by two programs in one chain.

use std::net::Ipv6Addr;

use http::uri::Authority;

use super::super::syntax;
use crate::error::Cause;

/// Longest host with its port, in bytes: a DNS name has at most 253.
const HOST_BYTES_MAX: usize = 261;

/// A checked `host[:port]`, borrowed from where it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::admit) struct HostPort<'a> {
    /// Name or address, brackets included.
    name: &'a [u8],
    /// Set for IP literals.
    literal: Option<Ipv6Addr>,
    /// The port as digits, if it was named, and as a number.
    port: Option<(&'a [u8], u16)>,
}

impl<'a> HostPort<'a> {
    /// Checks `text`; any breach is [`Cause::Host`].
    pub(in crate::admit) fn parse(text: &'a [u8]) -> Result<Self, Cause> {
        if text.len() > HOST_BYTES_MAX {
            return Err(Cause::Host);
        }
        if text.first() == Some(&b'[') {
            let end = memchr::memchr(b']', text).ok_or(Cause::Host)?;
            let inner = std::str::from_utf8(&text[1..end]).map_err(|_| Cause::Host)?;
            let literal = inner.parse::<Ipv6Addr>().map_err(|_| Cause::Host)?;
            let port = match &text[end + 1..] {
                [] => None,
                [b':', digits @ ..] => Some(parse_port(digits)?),
                _ => return Err(Cause::Host),
            };
            return Ok(Self { name: &text[..=end], literal: Some(literal), port });
        }
        let (name, port) = match memchr::memchr(b':', text) {
            Some(at) => (&text[..at], Some(parse_port(&text[at + 1..])?)),
            None => (text, None),
        };
        if !syntax::is_registered_name(name) {
            return Err(Cause::Host);
        }
        Ok(Self { name, literal: None, port })
    }

    /// The one form of it under `scheme`; `None` when the text already has it.
    fn rewritten(&self, scheme: &str) -> Option<String> {
        let default = if scheme == "https" { 443 } else { 80 };
        let port = self.port.filter(|&(_, number)| number != default);
        let clean_port = match (self.port, port) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((digits, _)), Some(_)) => digits.len() == 1 || digits[0] != b'0',
        };
        let literal = self.literal.map(|address| format!("[{address}]"));
        let clean_name = match &literal {
            Some(text) => text.as_bytes() == self.name,
            None => !self.name.iter().any(u8::is_ascii_uppercase),
        };
        if clean_port && clean_name {
            return None;
        }
        let mut text =
            literal.unwrap_or_else(|| String::from_utf8_lossy(self.name).to_ascii_lowercase());
        if let Some((_, number)) = port {
            text.push(':');
            text.push_str(&number.to_string());
        }
        Some(text)
    }

    /// Brings an authority to its one form, sharing its memory when nothing changes.
    pub(in crate::admit) fn normalise(
        authority: &'a Authority,
        scheme: &str,
    ) -> Result<Authority, Cause> {
        match Self::parse(authority.as_str().as_bytes())?.rewritten(scheme) {
            None => Ok(authority.clone()),
            Some(text) => {
                Authority::from_maybe_shared(bytes::Bytes::from(text)).map_err(|_| Cause::Host)
            }
        }
    }

    /// The same for the value of a `Host` field.
    pub(in crate::admit) fn normalise_bytes(
        text: &'a [u8],
        scheme: &str,
    ) -> Result<Authority, Cause> {
        match Self::parse(text)?.rewritten(scheme) {
            None => Authority::try_from(text).map_err(|_| Cause::Host),
            Some(text) => {
                Authority::from_maybe_shared(bytes::Bytes::from(text)).map_err(|_| Cause::Host)
            }
        }
    }
}

fn parse_port(digits: &[u8]) -> Result<(&[u8], u16), Cause> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Cause::Host);
    }
    let number = digits.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    let number = u16::try_from(number).map_err(|_| Cause::Host)?;
    Ok((digits, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str, scheme: &str) -> Result<String, Cause> {
        HostPort::normalise_bytes(text.as_bytes(), scheme).map(|host| host.as_str().to_owned())
    }

    #[test]
    fn hosts_have_one_form() {
        for (text, scheme, want) in [
            ("example.com", "http", "example.com"),
            ("EXAMPLE.com:80", "http", "example.com"),
            ("example.com:443", "https", "example.com"),
            ("example.com:443", "http", "example.com:443"),
            ("example.com:0080", "http", "example.com"),
            ("example.com:08080", "http", "example.com:8080"),
            ("127.0.0.1:8080", "http", "127.0.0.1:8080"),
            ("[::1]", "http", "[::1]"),
            ("[0:0::0001]:80", "http", "[::1]"),
            ("[2001:DB8::A]:8443", "https", "[2001:db8::a]:8443"),
            ("under_score.test", "http", "under_score.test"),
        ] {
            assert_eq!(form(text, scheme).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn odd_hosts_are_refused() {
        let long = "a".repeat(300);
        for text in [
            "",
            ":80",
            "a:",
            "a:65536",
            "a:999999",
            "a:-1",
            "a:8a",
            "u@a",
            "u:p@a",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a%2e",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "a:80:80",
            "a\\b",
            "a\"b",
            "a\u{e4}",
            "a\0",
            "[127.0.0.1]",
            &long,
        ] {
            assert_eq!(form(text, "http"), Err(Cause::Host), "{text:?}");
        }
    }
}
