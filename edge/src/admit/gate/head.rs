//! One line of a request head at a time, and what the lines mean together (RFC 9112 §3, §5).

use http::Version;

use super::super::framing::{BodyLength, Framing, FramingField};
use super::super::normalize::host::HostPort;
use super::super::syntax;
use crate::error::Cause;

/// What the lines so far have said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    version: Version,
    fields: usize,
    hosts: usize,
    framing: Framing,
}

impl Head {
    /// Reads the request line, without its CRLF.
    pub(super) fn request_line(line: &[u8]) -> Result<Self, Cause> {
        let mut parts = line.splitn(3, |&byte| byte == b' ');
        let (Some(method), Some(target), Some(version)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(Cause::Malformed);
        };
        if !syntax::is_token(method) || target.is_empty() {
            return Err(Cause::Malformed);
        }
        let version = match version {
            b"HTTP/1.1" => Version::HTTP_11,
            b"HTTP/1.0" => Version::HTTP_10,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Cause::Version);
            }
            _ => return Err(Cause::Malformed),
        };
        check_target(method, target)?;
        Ok(Self { version, fields: 0, hosts: 0, framing: Framing::default() })
    }

    /// Reads one field line, without its CRLF (RFC 9112 §5.1): no folding, no space before `:`.
    pub(super) fn field_line(&mut self, line: &[u8], fields_max: usize) -> Result<(), Cause> {
        self.fields += 1;
        if self.fields > fields_max {
            return Err(Cause::HeadTooLarge);
        }
        let (name, value) = split_field(line)?;
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                if self.hosts > 1 {
                    return Err(Cause::Host);
                }
                HostPort::parse(value).map(|_| ())
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                // RFC 9110 §10.1.1: an HTTP/1.0 client does not know what it says.
                let known = value.eq_ignore_ascii_case(b"100-continue");
                if known || self.version == Version::HTTP_10 {
                    Ok(())
                } else {
                    Err(Cause::Expectation)
                }
            }
            _ => match FramingField::of(name) {
                Some(field) => self.framing.take(field, value, self.version),
                None => Ok(()),
            },
        }
    }

    /// The head is complete: how long is the body?
    pub(super) fn end(self) -> Result<BodyLength, Cause> {
        if self.hosts == 0 && self.version == Version::HTTP_11 {
            return Err(Cause::Host);
        }
        Ok(self.framing.body())
    }
}

/// A trailer line: a field that must not speak about framing or routing (RFC 9110 §6.5.1).
pub(super) fn check_trailer_line(line: &[u8]) -> Result<(), Cause> {
    let (name, _) = split_field(line)?;
    if FramingField::of(name).is_some() || name.eq_ignore_ascii_case(b"host") {
        return Err(Cause::Framing);
    }
    Ok(())
}

/// Name and trimmed value of a field line.
fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Cause> {
    let colon = memchr::memchr(b':', line).ok_or(Cause::Malformed)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !syntax::is_token(name) || !syntax::is_field_value(value) {
        return Err(Cause::Malformed);
    }
    Ok((name, syntax::trim(value)))
}

/// Origin-form, absolute-form of `http` or `https`, or `*` for `OPTIONS` (RFC 9112 §3.2).
fn check_target(method: &[u8], target: &[u8]) -> Result<(), Cause> {
    if method == b"CONNECT" {
        return Err(Cause::Method);
    }
    match target {
        [b'/', ..] => check_path(target),
        b"*" if method == b"OPTIONS" => Ok(()),
        _ => {
            let rest = strip_scheme(target).ok_or(Cause::Malformed)?;
            let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
            HostPort::parse(&rest[..end])?;
            check_path(&rest[end..])
        }
    }
}

fn check_path(path: &[u8]) -> Result<(), Cause> {
    if syntax::is_path_and_query(path) { Ok(()) } else { Err(Cause::Malformed) }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}
