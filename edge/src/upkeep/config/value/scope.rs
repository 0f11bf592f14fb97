//! Names, secrets and what tokens allow.

use std::fmt;

use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::unit::short;

/// Longest name, in bytes: it is part of labels and log lines.
const NAME_BYTES_MAX: usize = 64;

/// What a token allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// To read status, metrics and the audit trail.
    Read,
    /// To purge anything.
    Purge,
    /// To purge within one site.
    PurgeSite(String),
    /// To take origins out and put them back, and to read.
    Operate,
}

impl Scope {
    /// Reads a scope.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        match text {
            "read" => Ok(Self::Read),
            "purge" => Ok(Self::Purge),
            "operate" => Ok(Self::Operate),
            _ => match text.strip_prefix("purge:") {
                Some(site) => name(site).map(Self::PurgeSite),
                None => Err(Wrong::new(
                    format!("\"{}\" is no scope", short(text)),
                    "write \"read\", \"purge\", \"purge:SITE\" or \"operate\"",
                )),
            },
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => f.write_str("read"),
            Self::Purge => f.write_str("purge"),
            Self::PurgeSite(site) => write!(f, "purge:{site}"),
            Self::Operate => f.write_str("operate"),
        }
    }
}

/// A name of ours: letters, digits, `.`, `_`, `-`.
pub fn name(text: &str) -> Result<String, Wrong> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(allowed) {
        return Err(Wrong::new(
            format!("\"{}\" is no name", short(text)),
            format!("write 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` or `-`, as in \"shop\""),
        ));
    }
    Ok(text.to_owned())
}

/// The name of a field that may speak in place of `Cache-Control`.
pub fn field_name(text: &str) -> Result<http::HeaderName, Wrong> {
    let name = http::HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        let message = format!("\"{}\" is no field name", short(text));
        Wrong::new(message, "write a name such as \"CDN-Cache-Control\"")
    })?;
    if name == http::header::CACHE_CONTROL || name == http::header::EXPIRES {
        let message = format!("\"{name}\" is what targeted fields stand in place of");
        return Err(Wrong::new(message, "leave it out: it counts when no targeted field does"));
    }
    Ok(name)
}

/// The name of an environment variable.
pub fn variable(text: &str) -> Result<String, Wrong> {
    let fits = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    if text.is_empty() || text.as_bytes()[0].is_ascii_digit() || !text.bytes().all(fits) {
        // The text is not repeated: it may be the secret itself.
        return Err(Wrong::new(
            "this is no name of a variable",
            "write \"SHOP_PURGE_TOKEN\", not the token itself",
        ));
    }
    Ok(text.to_owned())
}

/// 32 bytes in hexadecimal digits.
pub fn sha256(text: &str) -> Result<[u8; 32], Wrong> {
    let mut hash = [0; 32];
    let digits = text.as_bytes();
    // Again the text is not repeated.
    let wrong = || {
        Wrong::new(
            "this is no SHA-256",
            "write the 64 hexadecimal digits of: printf %s \"$TOKEN\" | sha256sum",
        )
    };
    if digits.len() != 64 {
        return Err(wrong());
    }
    let value = |c: u8| char::from(c).to_digit(16).ok_or_else(wrong);
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (value(pair[0])? * 16 + value(pair[1])?) as u8;
    }
    Ok(hash)
}
