//! Absolute URLs as purges write them.
//!
//! Splitting only; what the parts mean for a key is the business of [`super::KeyRules`]. A
//! fragment is refused rather than cut: whoever writes one means something that no cache knows.

use super::TEXT_BYTES_MAX;

/// An absolute `http` or `https` URL (RFC 3986 §4.3), split, not normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsoluteUrl<'a> {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host and port as written; never empty, no userinfo.
    pub authority: &'a str,
    /// Path as written; `/` when there was none.
    pub path: &'a str,
    /// Query without `?`; `None` when there is none.
    pub query: Option<&'a str>,
}

impl<'a> AbsoluteUrl<'a> {
    /// Splits `text`, or says in a sentence why it is no absolute URL.
    pub fn parse(text: &'a str) -> Result<Self, &'static str> {
        if text.len() > TEXT_BYTES_MAX {
            return Err("Longer than 8192 bytes.");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("Contains a byte that must be percent-encoded.");
        }
        if text.contains('#') {
            return Err("A fragment is never sent to a server; leave it away.");
        }
        let (scheme, rest) = text.split_once("://").ok_or(RELATIVE)?;
        let scheme = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => "http",
            _ if scheme.eq_ignore_ascii_case("https") => "https",
            _ => return Err("The scheme must be http or https."),
        };
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        if authority.is_empty() {
            return Err("The host is missing.");
        }
        if authority.contains('@') {
            return Err("User information does not belong into a URL of a cache.");
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Ok(Self { scheme, authority, path: if path.is_empty() { "/" } else { path }, query })
    }
}

const RELATIVE: &str = "Must be absolute: http://HOST/PATH or https://HOST/PATH.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_at_the_first_slash_or_question_mark() {
        let url = AbsoluteUrl::parse("HTTPS://h:1/a/b?c=/d?e").expect("absolute");
        let parts = (url.scheme, url.authority, url.path, url.query);
        assert_eq!(parts, ("https", "h:1", "/a/b", Some("c=/d?e")));
        let bare = AbsoluteUrl::parse("http://h?x").expect("absolute");
        assert_eq!((bare.authority, bare.path, bare.query), ("h", "/", Some("x")));
    }

    #[test]
    fn what_is_not_absolute_or_not_http_is_refused() {
        for text in ["", "/a", "h/a", "ftp://h/", "http:///a", "http://h/ä", "http://h/a b"] {
            assert!(AbsoluteUrl::parse(text).is_err(), "{text}");
        }
    }
}
