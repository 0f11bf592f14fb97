//! `Cache-Status` (RFC 9211): how the cache handled the request, in the words of the standard.
//!
//! [`Provenance`] is what is known; its value is taken from a small table of the thread where it
//! is one that nearly every hit has, or written into a buffer on the stack and copied once. The
//! `detail` tokens are those of the verdict, which the access log and `explain` print too.

use std::cell::RefCell;

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use selvedge_cache::policy::Cause;
use smallvec::SmallVec;

use super::fields::Recent;

/// The field.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Longest `key` that is shown in `Cache-Status`, in bytes.
const KEY_BYTES_MAX: usize = 512;

/// Why a request went forward (RFC 9211 §2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forward {
    /// The cache took no part.
    Bypass,
    /// The method's semantics need the origin.
    Method,
    /// Nothing is stored for the URI.
    UriMiss,
    /// Something is stored for the URI, but no variant fits.
    VaryMiss,
    /// Nothing usable is stored, for whichever of the two reasons.
    Miss,
    /// A fresh response is stored, but the request's fields forbid its use.
    Request,
    /// What is stored is stale.
    Stale,
    /// Only part of what is needed is stored.
    Partial,
}

impl Forward {
    /// Why a verdict with this cause goes to the origin; `None` for those that are answered from
    /// the cache. Whether something else is stored for the URI ([`Forward::VaryMiss`]) is not in
    /// the cause.
    pub const fn because(cause: Cause) -> Option<Self> {
        match cause {
            Cause::Fresh | Cause::WithinSwr | Cause::MaxStale => None,
            Cause::Expired | Cause::NoCache | Cause::SoftPurged => Some(Self::Stale),
            Cause::RequestNoCache
            | Cause::RequestMaxAge
            | Cause::RequestMinFresh
            | Cause::RequestBody
            | Cause::Authorization => Some(Self::Request),
            // What was purged for good is not there; the mark of an answer that may not be
            // stored is no answer.
            Cause::NothingStored | Cause::HardPurged | Cause::Invalidated | Cause::HitForMiss => {
                Some(Self::UriMiss)
            }
            Cause::Method => Some(Self::Method),
            Cause::Partial => Some(Self::Partial),
        }
    }

    /// The token.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// How the cache handled a request: one member of `Cache-Status`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Provenance<'a> {
    /// Why it went forward; `None` is a hit (the two exclude each other, RFC 9211 §2.1), unless
    /// `own` is set.
    pub forward: Option<Forward>,
    /// Neither hit nor forwarded: we made the response ourselves.
    pub own: bool,
    /// Status of the origin's response, when it differs from ours or tells something (304).
    pub forward_status: Option<StatusCode>,
    /// Freshness left, in seconds; negative once stale.
    pub ttl_s: Option<i64>,
    /// The forwarded response was stored.
    pub stored: bool,
    /// The request joined one that was already forwarded.
    pub collapsed: bool,
    /// The cache key, for those who may ask for it.
    pub key: Option<&'a str>,
    /// Reason token of the verdict; must be a token of ours (`""` for none).
    pub detail: &'static str,
}

impl Provenance<'_> {
    /// The member as a field value.
    pub fn value(&self) -> HeaderValue {
        match *self {
            // What nearly every hit says; the same second of the same age comes again and again.
            Self {
                forward: None, own: false, ttl_s: Some(ttl_s), key: None, detail: "", ..
            } => HIT_TTL.with_borrow_mut(|table| table.get(ttl_s, || self.written())),
            _ => self.written(),
        }
    }

    fn written(&self) -> HeaderValue {
        let mut out = Text::new();
        out.extend_from_slice(b"selvedge");
        match self.forward {
            None if self.own => {}
            None => out.extend_from_slice(b"; hit"),
            Some(forward) => {
                out.extend_from_slice(b"; fwd=");
                out.extend_from_slice(forward.token().as_bytes());
                if let Some(status) = self.forward_status {
                    out.extend_from_slice(b"; fwd-status=");
                    out.extend_from_slice(status.as_str().as_bytes());
                }
            }
        }
        if let Some(ttl_s) = self.ttl_s {
            out.extend_from_slice(b"; ttl=");
            integer(&mut out, ttl_s);
        }
        // Both speak of the forwarded request (RFC 9211 §2.5, §2.6).
        if self.forward.is_some() {
            if self.stored {
                out.extend_from_slice(b"; stored");
            }
            if self.collapsed {
                out.extend_from_slice(b"; collapsed");
            }
        }
        if let Some(key) = self.key {
            out.extend_from_slice(b"; key=");
            string(&mut out, key);
        }
        if !self.detail.is_empty() {
            debug_assert!(is_token(self.detail), "{:?} is no token (RFC 9651 §3.3.4)", self.detail);
            out.extend_from_slice(b"; detail=");
            out.extend_from_slice(self.detail.as_bytes());
        }
        HeaderValue::from_bytes(&out).expect("tokens, digits and an escaped string are visible")
    }
}

/// Adds our member behind those of caches nearer to the origin (RFC 9211 §2).
pub fn add_cache_status(headers: &mut HeaderMap, provenance: &Provenance<'_>) {
    headers.append(CACHE_STATUS, provenance.value());
}

fn is_token(text: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*')
        && text.bytes().all(rest)
}

/// A value that is being written; the usual ones fit on the stack.
type Text = SmallVec<[u8; 128]>;

fn integer(out: &mut Text, value: i64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// A string of RFC 9651 §3.3.3: what it cannot hold is percent-encoded.
fn string(out: &mut Text, value: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push(b'"');
    for byte in value.bytes().take(KEY_BYTES_MAX) {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'%', high, low]);
            }
        }
    }
    out.push(b'"');
}

thread_local! {
    static HIT_TTL: RefCell<Recent> = const { RefCell::new(Recent::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_says_what_is_left() {
        let hit = |ttl_s| Provenance { ttl_s: Some(ttl_s), ..Provenance::default() };
        assert_eq!(hit(59).value(), "selvedge; hit; ttl=59");
        assert_eq!(hit(59).value(), "selvedge; hit; ttl=59");
        // Another number in the same place of the table.
        assert_eq!(hit(59 + 64).value(), "selvedge; hit; ttl=123");
        assert_eq!(hit(-5).value(), "selvedge; hit; ttl=-5");
        assert_eq!(hit(i64::MIN).value(), "selvedge; hit; ttl=-9223372036854775808");
        let stale = Provenance { detail: "STALE-WHILE-REVALIDATE", ..hit(-1) };
        assert_eq!(stale.value(), "selvedge; hit; ttl=-1; detail=STALE-WHILE-REVALIDATE");
    }

    #[test]
    fn a_forwarded_request_says_why_and_what_became_of_it() {
        let stale = Provenance {
            forward: Some(Forward::Stale),
            forward_status: Some(StatusCode::NOT_MODIFIED),
            ttl_s: Some(60),
            stored: true,
            collapsed: true,
            detail: "EXPIRED",
            ..Provenance::default()
        };
        assert_eq!(
            stale.value(),
            "selvedge; fwd=stale; fwd-status=304; ttl=60; stored; collapsed; detail=EXPIRED"
        );
        let own = Provenance { own: true, detail: "method", ..Provenance::default() };
        assert_eq!(own.value(), "selvedge; detail=method");
        // `stored` and `collapsed` mean nothing on a hit.
        let hit = Provenance { stored: true, collapsed: true, ..Provenance::default() };
        assert_eq!(hit.value(), "selvedge; hit");
    }

    #[test]
    fn a_key_cannot_break_out_of_its_string() {
        let key = "https://a/\"; hit\\\r\né";
        let member = Provenance { key: Some(key), ..Provenance::default() };
        assert_eq!(member.value(), "selvedge; hit; key=\"https://a/\\\"; hit\\\\%0D%0A%C3%A9\"");
        let long = "x".repeat(100_000);
        let member = Provenance { key: Some(&long), ..Provenance::default() };
        assert!(member.value().len() < KEY_BYTES_MAX + 64);
    }

    #[test]
    fn every_reason_that_we_print_is_a_token() {
        let causes = crate::error::Cause::ALL.iter().map(|cause| cause.label());
        let tokens = ["STALE-WHILE-REVALIDATE", "NO-STORE", "FRESH"];
        assert!(causes.chain(tokens).all(is_token));
        assert!(!is_token("1x") && !is_token("a b") && !is_token("") && !is_token("a\r\n"));
    }

    #[test]
    fn upstream_members_stay_before_ours() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_STATUS, HeaderValue::from_static("parent; hit"));
        add_cache_status(&mut headers, &Provenance::default());
        let all: Vec<_> = headers.get_all(CACHE_STATUS).iter().collect();
        assert_eq!(all, ["parent; hit", "selvedge; hit"]);
    }
}
