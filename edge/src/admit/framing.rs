//! How long is the body? Contradicting answers are refused (RFC 9112 §6.3).
//!
//! Request smuggling lives on two readers that disagree about this, so nothing is repaired:
//! repeated, listed, signed or contradicting lengths end the connection. The gate feeds fields as
//! it meets them; `admit` does the same with what the H2 codec let through.

use http::Version;

use crate::error::Cause;

/// Longest believed `Content-Length`: the largest integer that every implementation can hold.
const CONTENT_LENGTH_MAX: u64 = 1 << 53;

/// What the head said about the length of the body so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Framing {
    content_length: Option<u64>,
    chunked: bool,
}

/// The answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BodyLength {
    /// None, or `Content-Length: 0`.
    Empty,
    /// This many bytes, never 0.
    Exact(u64),
    /// The chunked coding.
    Chunked,
}

/// Fields that speak about framing, and look-alikes that some readers take for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FramingField {
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// The same with `_` for `-`: CGI-like readers cannot tell them apart.
    LookAlike,
}

impl FramingField {
    /// Recognises a field name in any case.
    #[inline]
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let (known, field): (&[u8], _) = match name.len() {
            14 => (b"content-length", Self::ContentLength),
            17 => (b"transfer-encoding", Self::TransferEncoding),
            _ => return None,
        };
        if name.eq_ignore_ascii_case(known) {
            return Some(field);
        }
        let alike = name.iter().zip(known).all(|(have, want)| {
            have.eq_ignore_ascii_case(want) || (*have == b'_' && *want == b'-')
        });
        alike.then_some(Self::LookAlike)
    }
}

impl Framing {
    /// Takes one field into account; `value` is trimmed.
    pub(super) fn take(
        &mut self,
        field: FramingField,
        value: &[u8],
        version: Version,
    ) -> Result<(), Cause> {
        match field {
            FramingField::LookAlike => Err(Cause::Framing),
            FramingField::ContentLength => {
                if self.chunked || self.content_length.is_some() {
                    return Err(Cause::Framing);
                }
                self.content_length = Some(parse_content_length(value)?);
                Ok(())
            }
            FramingField::TransferEncoding => {
                if self.chunked || self.content_length.is_some() || version != Version::HTTP_11 {
                    return Err(Cause::Framing);
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Cause::TransferCoding);
                }
                self.chunked = true;
                Ok(())
            }
        }
    }

    /// The length that follows when the head is complete.
    pub(super) fn body(self) -> BodyLength {
        match (self.chunked, self.content_length) {
            (true, _) => BodyLength::Chunked,
            (false, None | Some(0)) => BodyLength::Empty,
            (false, Some(bytes)) => BodyLength::Exact(bytes),
        }
    }

    /// The declared length, if one was declared.
    pub(super) fn content_length(self) -> Option<u64> {
        self.content_length
    }
}

/// Digits only, no sign, no list, at most 2^53.
fn parse_content_length(value: &[u8]) -> Result<u64, Cause> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Cause::Framing);
    }
    let length = value.iter().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0'));
    if length > CONTENT_LENGTH_MAX { Err(Cause::Framing) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_length_is_digits_up_to_two_to_the_53() {
        assert_eq!(parse_content_length(b"0"), Ok(0));
        assert_eq!(parse_content_length(b"007"), Ok(7));
        assert_eq!(parse_content_length(b"9007199254740992"), Ok(1 << 53));
        for bad in ["", "+1", "-1", "1,1", "1 1", "0x10", "9007199254740993", "1e3"] {
            assert_eq!(parse_content_length(bad.as_bytes()), Err(Cause::Framing), "{bad}");
        }
        assert!(parse_content_length(b"99999999999999999999").is_err());
    }

    #[test]
    fn look_alikes_are_recognised() {
        assert_eq!(FramingField::of(b"Content-LENGTH"), Some(FramingField::ContentLength));
        assert_eq!(FramingField::of(b"content_length"), Some(FramingField::LookAlike));
        assert_eq!(FramingField::of(b"Transfer_Encoding"), Some(FramingField::LookAlike));
        assert_eq!(FramingField::of(b"transfer-encodin"), None);
        assert_eq!(FramingField::of(b"content-lengta"), None);
    }
}
