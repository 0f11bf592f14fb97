//! Parts of a health check, as people write them.

use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;

use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::unit::short;

/// Reads a path with or without a query.
pub fn path(text: &str) -> Result<String, Wrong> {
    match text.parse::<PathAndQuery>() {
        Ok(parsed) if text.starts_with('/') && parsed.as_str() == text => Ok(text.to_owned()),
        _ => Err(Wrong::new(
            format!("\"{}\" is no path", short(text)),
            "write \"/healthz\"; it begins with a slash and has no blanks",
        )),
    }
}

/// Reads `200` or `200-399`.
pub fn statuses(text: &str) -> Result<(u16, u16), Wrong> {
    let number = |digits: &str| {
        let digits = digits.trim();
        let number: Option<u16> = (digits.len() == 3).then(|| digits.parse().ok()).flatten();
        number.filter(|status| (100..=599).contains(status))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(Wrong::new(
            format!("\"{}\" is no status and no range of them", short(text)),
            "write \"200\" or \"200-399\"",
        )),
    }
}

/// Reads `Name: value`.
pub fn field(text: &str) -> Result<(HeaderName, HeaderValue), Wrong> {
    let parsed = text.split_once(':').and_then(|(name, value)| {
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value.trim()).ok()?))
    });
    parsed.ok_or_else(|| {
        Wrong::new(format!("\"{}\" is no field", short(text)), "write \"X-Ready: yes\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_asked_or_found_is_refused() {
        assert!(path("/ok?a=b").is_ok());
        for text in ["", "ok", "/a b", "http://a/", "/a#b"] {
            assert!(path(text).is_err(), "{text}");
        }
        assert_eq!((statuses("204"), statuses("200-399")), (Ok((204, 204)), Ok((200, 399))));
        for text in ["", "20", "2000", "600", "300-200", "200-", "ok"] {
            assert!(statuses(text).is_err(), "{text}");
        }
        assert!(field("X-Ready: yes").is_ok());
        for text in ["", "X-Ready", ": yes", "a b: c", "a: b\0c"] {
            assert!(field(text).is_err(), "{text:?}");
        }
    }
}
