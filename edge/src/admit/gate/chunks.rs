//! The chunked coding, byte by byte (RFC 9112 §7.1).
//!
//! Accepted: `1*16HEXDIG [ ";" ext ] CRLF data CRLF … 0 CRLF trailers CRLF`. Not accepted: spaces
//! before the extension, bare CR or LF anywhere, more than [`EXTENSION_BYTES_MAX`] of extensions
//! in one body. Trailer lines are checked whole, so they wait in the buffer until they are.

use super::head::check_trailer_line;
use crate::accept::HeadLimits;
use crate::error::Cause;

/// Most digits of a chunk size: what fits 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;
/// All chunk extensions of one body together, `;` included, in bytes.
const EXTENSION_BYTES_MAX: usize = 16 * 1024 - 1;
/// The whole trailer section, in bytes.
const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Number of trailer fields.
const TRAILER_FIELDS_MAX: usize = 64;

/// Where in the coding the next byte stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
}

/// Reader of one chunked body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunks {
    at: At,
    digits: u8,
    /// While in `Size`: the number so far. While in `Data`: what is left.
    size: u64,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailer_fields: usize,
    /// How far the unreleased bytes were searched for the end of a trailer line.
    searched: usize,
}

/// What became of the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// So many bytes are good; the rest, if any, is an incomplete trailer line.
    Good(usize),
    /// So many bytes are good and end the body.
    End(usize),
    /// So many bytes are good and the next one breaks a rule.
    Broken(usize, Cause),
}

impl Chunks {
    pub(super) const fn new() -> Self {
        Self {
            at: At::Size,
            digits: 0,
            size: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            trailer_fields: 0,
            searched: 0,
        }
    }

    /// Reads on. `bytes` begins where the last good byte ended.
    pub(super) fn advance(&mut self, bytes: &[u8], limits: &HeadLimits) -> Progress {
        let mut good = 0;
        while good < bytes.len() {
            match self.at {
                At::Data => {
                    let left = usize::try_from(self.size).unwrap_or(usize::MAX);
                    let taken = left.min(bytes.len() - good);
                    self.size -= taken as u64;
                    good += taken;
                    if self.size == 0 {
                        self.at = At::DataCr;
                    }
                }
                At::Trailers => match self.trailer_line(&bytes[good..], limits) {
                    Ok(None) => return Progress::Good(good),
                    Ok(Some(2)) => return Progress::End(good + 2),
                    Ok(Some(line)) => good += line,
                    Err(cause) => return Progress::Broken(good, cause),
                },
                _ => match self.step(bytes[good]) {
                    Ok(()) => good += 1,
                    Err(cause) => return Progress::Broken(good, cause),
                },
            }
        }
        Progress::Good(good)
    }

    /// One byte of the coding's own syntax.
    fn step(&mut self, byte: u8) -> Result<(), Cause> {
        self.at = match (self.at, byte) {
            (At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if self.digits == SIZE_DIGITS_MAX {
                    return Err(Cause::Framing);
                }
                let digit = (byte as char).to_digit(16).expect("matched as a hex digit");
                self.digits += 1;
                self.size = self.size << 4 | u64::from(digit);
                At::Size
            }
            (At::Size, b'\r') if self.digits > 0 => At::SizeLf,
            (At::Size, b';') if self.digits > 0 => {
                self.count_extension_byte()?;
                At::Extension
            }
            (At::Extension, b'\r') => At::SizeLf,
            (At::Extension, b'\t' | b' '..=0x7e | 0x80..=0xff) => {
                self.count_extension_byte()?;
                At::Extension
            }
            (At::SizeLf, b'\n') => {
                self.digits = 0;
                if self.size == 0 { At::Trailers } else { At::Data }
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size,
            _ => return Err(Cause::Malformed),
        };
        Ok(())
    }

    fn count_extension_byte(&mut self) -> Result<(), Cause> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX { Err(Cause::Malformed) } else { Ok(()) }
    }

    /// Length of the next trailer line with its CRLF (2 is the empty line that ends the section),
    /// or `None` while it is incomplete.
    fn trailer_line(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Cause> {
        let Some(found) = memchr::memchr(b'\n', &bytes[self.searched..]) else {
            self.searched = bytes.len();
            let too_long = self.trailer_bytes + bytes.len() >= TRAILER_BYTES_MAX;
            return if too_long { Err(Cause::HeadTooLarge) } else { Ok(None) };
        };
        let end = self.searched + found + 1;
        self.searched = 0;
        self.trailer_bytes += end;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(Cause::HeadTooLarge);
        }
        let line = bytes[..end].strip_suffix(b"\r\n").ok_or(Cause::Malformed)?;
        if !line.is_empty() {
            self.trailer_fields += 1;
            if self.trailer_fields > TRAILER_FIELDS_MAX.min(limits.fields_max) {
                return Err(Cause::HeadTooLarge);
            }
            check_trailer_line(line)?;
        }
        Ok(Some(end))
    }
}
