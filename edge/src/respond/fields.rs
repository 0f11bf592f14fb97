//! Fields that say how the response came to be: `Age`, `Via`, `Cache-Status`, `Date`; and the
//! removal of those that were meant for us alone.
//!
//! On the hit path each value is either prebuilt, or taken from a small table of the thread (an
//! `Age` of 17 is asked for by many responses), or written into a buffer on the stack and copied
//! once. Nothing here reads a clock.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use http::header::{AGE, DATE, HeaderMap, HeaderName, HeaderValue, VIA};
use http::{StatusCode, Version};
use selvedge_cache::policy::Cause;
use smallvec::SmallVec;

/// `Cache-Status` (RFC 9211).
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Fields that an origin addresses to this edge: removed on the way out unless the site keeps
/// them. `CDN-Cache-Control` is not among them: it speaks to every CDN on the path.
pub static EDGE_FIELDS: [HeaderName; 5] = [
    HeaderName::from_static("selvedge-cache-control"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("cache-groups"),
];

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
            | Cause::Authorization => Some(Self::Request),
            Cause::NothingStored => Some(Self::UriMiss),
            Cause::HardPurged | Cause::Invalidated => Some(Self::Miss),
            Cause::Method => Some(Self::Method),
            Cause::RequestBody | Cause::HitForMiss => Some(Self::Bypass),
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

/// Sets `Age` (RFC 9111 §5.1), in seconds.
pub fn set_age(headers: &mut HeaderMap, age_s: u64) {
    // RFC 9111 §1.2.2: recipients may fail beyond 2^31; say that instead.
    let age_s = age_s.min(1 << 31).cast_signed();
    let value = AGES.with_borrow_mut(|table| table.get(age_s, || HeaderValue::from(age_s)));
    headers.insert(AGE, value);
}

/// Adds ourselves to `Via` (RFC 9110 §7.6.3); `received` is the version in which the message
/// came to us.
pub fn add_via(headers: &mut HeaderMap, received: Version) {
    headers.append(VIA, via(received));
}

/// Our entry in `Via`, for requests and responses alike.
pub const fn via(received: Version) -> HeaderValue {
    match received {
        Version::HTTP_09 | Version::HTTP_10 => HeaderValue::from_static("1.0 selvedge"),
        Version::HTTP_2 => HeaderValue::from_static("2 selvedge"),
        Version::HTTP_3 => HeaderValue::from_static("3 selvedge"),
        _ => HeaderValue::from_static("1.1 selvedge"),
    }
}

/// Adds `Date` if the response has none: the moment it was received (or made), in seconds since
/// the Unix epoch (RFC 9110 §6.6.1).
pub fn ensure_date(headers: &mut HeaderMap, unix_s: u64) {
    if !headers.contains_key(DATE) {
        headers.insert(DATE, date(unix_s));
    }
}

/// An HTTP-date; the last one of each thread is kept.
pub fn date(unix_s: u64) -> HeaderValue {
    thread_local! {
        static LAST: RefCell<Option<(u64, HeaderValue)>> = const { RefCell::new(None) };
    }
    // The last second of the year 9999: later dates cannot be written.
    let unix_s = unix_s.min(253_402_300_799);
    LAST.with_borrow_mut(|last| match last {
        Some((second, value)) if *second == unix_s => value.clone(),
        _ => {
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix_s));
            let value = HeaderValue::try_from(text).expect("a date is visible ASCII");
            *last = Some((unix_s, value.clone()));
            value
        }
    })
}

/// Removes what was meant for us. Best done when a response is stored, so that hits find nothing
/// to remove.
pub fn remove_edge_fields(headers: &mut HeaderMap) {
    for name in &EDGE_FIELDS {
        headers.remove(name);
    }
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

/// Values by number, the last few of one thread: direct-mapped, so a lookup is one comparison.
struct Recent([Option<(i64, HeaderValue)>; RECENT as usize]);

const RECENT: i64 = 64;

impl Recent {
    const fn new() -> Self {
        Self([const { None }; RECENT as usize])
    }

    fn get(&mut self, number: i64, make: impl FnOnce() -> HeaderValue) -> HeaderValue {
        let slot = &mut self.0[number.rem_euclid(RECENT) as usize];
        match slot {
            Some((held, value)) if *held == number => value.clone(),
            _ => {
                let value = make();
                *slot = Some((number, value.clone()));
                value
            }
        }
    }
}

thread_local! {
    static AGES: RefCell<Recent> = const { RefCell::new(Recent::new()) };
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
    fn upstream_members_stay_before_ours() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_STATUS, HeaderValue::from_static("parent; hit"));
        headers.insert(VIA, HeaderValue::from_static("1.1 parent"));
        add_cache_status(&mut headers, &Provenance::default());
        add_via(&mut headers, Version::HTTP_2);
        let all: Vec<_> = headers.get_all(CACHE_STATUS).iter().collect();
        assert_eq!(all, ["parent; hit", "selvedge; hit"]);
        let all: Vec<_> = headers.get_all(VIA).iter().collect();
        assert_eq!(all, ["1.1 parent", "2 selvedge"]);
    }

    #[test]
    fn age_and_date_are_exact_and_bounded() {
        let mut headers = HeaderMap::new();
        for age_s in [0, 63, 64, 128, 1 << 31] {
            set_age(&mut headers, age_s);
            assert_eq!(headers[AGE], age_s.to_string());
        }
        set_age(&mut headers, u64::MAX);
        assert_eq!(headers[AGE], "2147483648");
        ensure_date(&mut headers, 784_111_777);
        assert_eq!(headers[DATE], "Sun, 06 Nov 1994 08:49:37 GMT");
        ensure_date(&mut headers, 0);
        assert_eq!(headers[DATE], "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn what_was_meant_for_us_is_removed_and_nothing_else() {
        let mut headers = HeaderMap::new();
        for name in &EDGE_FIELDS {
            headers.append(name, HeaderValue::from_static("a"));
            headers.append(name, HeaderValue::from_static("b"));
        }
        headers.insert("cdn-cache-control", HeaderValue::from_static("max-age=9"));
        remove_edge_fields(&mut headers);
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key("cdn-cache-control"));
    }
}
