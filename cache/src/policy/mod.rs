//! RFC 9111 as pure functions: values in, decision out, `now` given.
//!
//! Two moments. When a response arrives, [`storable`](storable::storable) reads its fields once
//! and yields [`Storable`], whose [`Fresh`] is the compact record of everything that later
//! lookups need. When a request arrives, [`judge`](reuse::judge) compares [`RequestFacts`],
//! `Fresh` and the purges in nanoseconds and says what to do and why.
//!
//! Knows no I/O, no storage, no configuration files.

use http::{HeaderMap, Method, StatusCode};

use crate::Millis;
use crate::variant::Vary;

pub mod cache_control;
pub mod date;
pub mod directive;
pub mod freshen;
pub mod freshness;
pub mod invalidation;
pub mod outlook;
pub mod reuse;
pub mod rules;
mod second_opinion;
pub mod storable;
pub mod tags;
pub mod targeted;
pub mod validation;

/// What a site may change of the rules. The defaults are the RFC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Lifetime, in seconds, of responses that say nothing and cannot be guessed; 0 = none.
    pub default_ttl_s: u32,
    /// The default counts for every status, also for errors ([`rules`]).
    pub default_for_any_status: bool,
    /// Stated lifetimes are raised to this, in seconds.
    pub ttl_min_s: u32,
    /// Stated lifetimes are cut to this, in seconds; not below `ttl_min_s`.
    pub ttl_max_s: u32,
    /// In place of the lifetime that a response states, in seconds ([`rules`]).
    pub ttl_override_s: Option<u32>,
    /// `stale-while-revalidate` for responses that do not name one, in seconds.
    pub default_swr_s: u32,
    /// `stale-if-error` for responses that do not name one, in seconds.
    pub default_sie_s: u32,
    /// Upper bound of a heuristic lifetime, in seconds (RFC 9111 §4.2.2 suggests care).
    pub heuristic_max_s: u32,
    /// Ignore `Cache-Control` of requests, as CDNs do.
    pub ignore_request_cache_control: bool,
    /// Targeted fields that speak to us, first match wins (RFC 9213), lower case.
    pub targeted_fields: Vec<http::HeaderName>,
    /// The name that a `Surrogate-Control` target must have to speak to us, as sent in
    /// `Surrogate-Capability` (W3C Edge Architecture).
    pub surrogate_name: String,
    /// Obey `stale-while-revalidate`/`stale-if-error` that stand beside `s-maxage`. RFC 9111
    /// §5.2.2.10 reads `s-maxage` as `proxy-revalidate`; many origins mean it otherwise.
    pub stale_beside_s_maxage: bool,
    /// Ask the origin for the one range that a client asks for, instead of for the whole.
    pub forward_ranges: bool,
    /// What to believe of a 206 whose content is not as long as its `Content-Range` says.
    pub trust: crate::range::Trust,
    /// A stored response whose `Content-Language` is the one language that a request prefers
    /// answers it, whatever else the request would accept (§4.1; [`crate::variant::language`]).
    pub select_by_language: bool,
    /// What becomes of `Set-Cookie` (§7.3).
    pub cookies: CookieRule,
    /// At most this many tags are kept per response; beyond, every tag purge selects it.
    pub tags_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            default_ttl_s: 0,
            default_for_any_status: false,
            ttl_min_s: 0,
            ttl_max_s: u32::MAX,
            ttl_override_s: None,
            default_swr_s: 0,
            default_sie_s: 0,
            heuristic_max_s: 24 * 3600,
            ignore_request_cache_control: false,
            targeted_fields: ["selvedge-cache-control", "cdn-cache-control", "surrogate-control"]
                .into_iter()
                .map(http::HeaderName::from_static)
                .collect(),
            surrogate_name: "selvedge".to_owned(),
            stale_beside_s_maxage: false,
            forward_ranges: false,
            trust: crate::range::Trust::Neither,
            select_by_language: true,
            cookies: CookieRule::Default,
            tags_max: 128,
        }
    }
}

impl Options {
    /// A stated lifetime within the site's bounds, in seconds.
    pub fn bounded_s(&self, lifetime_s: u32) -> u32 {
        lifetime_s.max(self.ttl_min_s).min(self.ttl_max_s)
    }
}

/// What a site does with responses that set cookies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CookieRule {
    /// Stored if they state their lifetime (§7.3), never by a guess.
    #[default]
    Default,
    /// Judged and stored without `Set-Cookie`, which then reaches nobody. One that may not be
    /// stored goes to its client as it is.
    Strip,
    /// Not stored.
    Refuse,
}

/// Methods as the cache sees them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MethodClass {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`.
    Head,
    /// Safe, but not stored: `OPTIONS`, `TRACE`.
    OtherSafe,
    /// Everything else, unknown methods included: invalidates on success.
    Unsafe,
}

impl MethodClass {
    /// Classifies a method (RFC 9110 §9.2.1).
    pub fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::OPTIONS | Method::TRACE => Self::OtherSafe,
            _ => Self::Unsafe,
        }
    }
}

/// What the rules need to know of a request; made once by [`cache_control::request_facts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// Method class.
    pub method: MethodClass,
    /// `Cache-Control: no-cache`, or `Pragma: no-cache` without `Cache-Control`.
    pub no_cache: bool,
    /// `no-store`.
    pub no_store: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
    /// `max-age`, in seconds.
    pub max_age_s: Option<u32>,
    /// `min-fresh`, in seconds.
    pub min_fresh_s: Option<u32>,
    /// `max-stale`, in seconds; `u32::MAX` without a value.
    pub max_stale_s: Option<u32>,
    /// `stale-if-error` of the request, in seconds (RFC 5861 §4).
    pub stale_if_error_s: Option<u32>,
    /// An `Authorization` field is present.
    pub authorization: bool,
    /// The request has content.
    pub has_body: bool,
}

/// Facts of a stored response that decide its reuse: 32 bytes, copied freely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// When the response (or its last validation) was received.
    pub received: Millis,
    /// `corrected_initial_age` at that moment, in seconds (RFC 9111 §4.2.3).
    pub age_s: u32,
    /// Freshness lifetime, in seconds (§4.2.1); saturated.
    pub lifetime_s: u32,
    /// `stale-while-revalidate`, in seconds after the lifetime.
    pub swr_s: u32,
    /// `stale-if-error`, in seconds after the lifetime.
    pub sie_s: u32,
    /// Bits of [`flag`].
    pub flags: u16,
    /// Final status code of the stored response.
    pub status: u16,
}

/// Bits of [`Fresh::flags`].
pub mod flag {
    /// `no-cache` without fields: validate before every use.
    pub const NO_CACHE: u16 = 1;
    /// `must-revalidate`, or `proxy-revalidate`, or `s-maxage`: never stale without validation.
    pub const MUST_REVALIDATE: u16 = 1 << 1;
    /// The lifetime was guessed (§4.2.2).
    pub const HEURISTIC: u16 = 1 << 2;
    /// Has a strong `ETag`.
    pub const ETAG_STRONG: u16 = 1 << 3;
    /// Has a weak `ETag`.
    pub const ETAG_WEAK: u16 = 1 << 4;
    /// Has a `Last-Modified`.
    pub const LAST_MODIFIED: u16 = 1 << 5;
    /// May be used for requests with `Authorization` (§3.5).
    pub const SHARED_AUTHORIZED: u16 = 1 << 6;
    /// `immutable` (RFC 8246).
    pub const IMMUTABLE: u16 = 1 << 7;
    /// Carries fields that speak to this cache alone: they are removed on the way out.
    pub const EDGE_FIELDS: u16 = 1 << 9;
    /// Has explicit freshness (`max-age`, `s-maxage`, `Expires`, targeted).
    pub const EXPLICIT: u16 = 1 << 8;
}

impl Fresh {
    /// Whether a flag is set.
    pub const fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Current age in seconds (§4.2.3).
    pub const fn age_at(&self, now: Millis) -> u64 {
        (self.age_s as u64).saturating_add(now.since_ms(self.received) / 1000)
    }

    /// Seconds of freshness left; negative once stale.
    pub const fn ttl_at(&self, now: Millis) -> i64 {
        // An age is below 2^32 + 2^64 / 1000 seconds: the sign bit is free.
        self.lifetime_s as i64 - self.age_at(now).cast_signed()
    }
}

/// An origin response as `storable` reads it.
#[derive(Clone, Copy, Debug)]
pub struct OriginResponse<'a> {
    /// Final status.
    pub status: StatusCode,
    /// Fields, hop-by-hop already removed.
    pub headers: &'a HeaderMap,
    /// When the request was sent.
    pub requested: Millis,
    /// When the head was received.
    pub received: Millis,
}

/// Proof that a response may be stored: only [`storable::storable`] makes one, and a fill cannot
/// keep bytes without it.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::manual_non_exhaustive,
    reason = "the private field is the proof, inside the crate too"
)]
pub struct Storable {
    /// The compact record.
    pub fresh: Fresh,
    /// Selecting field names.
    pub vary: Vary,
    /// Tag hashes (see [`crate::invalidate::scope::tag_hash`]).
    pub tags: Vec<u64>,
    /// There were more tags than we keep.
    pub tags_overflow: bool,
    /// Names of fields that must not be stored (`no-cache="…"`, `private="…"`).
    pub omitted_fields: Vec<http::HeaderName>,
    pub(crate) _proof: (),
}

/// Why a response is not stored: the `detail` of `Cache-Status`, the log and `explain`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum NotStorable {
    /// The request method is not understood by the cache.
    Method,
    /// 1xx, 206, 304, 416 or a status we do not store.
    Status,
    /// `no-store` in the response.
    NoStore,
    /// `no-store` in the request.
    RequestNoStore,
    /// `private` in the response.
    Private,
    /// The request was authorised and the response does not allow sharing (§3.5).
    Authorization,
    /// `Vary: *`.
    VaryStar,
    /// No explicit freshness, none can be guessed, and no validator to make it useful.
    NoFreshness,
    /// `Set-Cookie` without explicit freshness.
    SetCookie,
    /// The head is larger than we store.
    TooLarge,
    /// Fields contradict each other; the safe reading was taken.
    Contradictory,
}

impl NotStorable {
    /// One token for logs and `Cache-Status`.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Method => "METHOD",
            Self::Status => "STATUS",
            Self::NoStore => "NO-STORE",
            Self::RequestNoStore => "REQUEST-NO-STORE",
            Self::Private => "PRIVATE",
            Self::Authorization => "AUTHORIZATION",
            Self::VaryStar => "VARY-STAR",
            Self::NoFreshness => "NO-FRESHNESS",
            Self::SetCookie => "SET-COOKIE",
            Self::TooLarge => "TOO-LARGE",
            Self::Contradictory => "CONTRADICTORY",
        }
    }
}

/// What to do with a request, given what is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Answer from the stored response.
    Fresh,
    /// Answer from the stored response although it is stale; `refresh` asks for a background fill.
    Stale {
        /// Start a background validation (`stale-while-revalidate`).
        refresh: bool,
    },
    /// Ask the origin first, with the stored response as the base of a conditional request.
    Validate,
    /// Nothing usable is stored: fetch.
    Absent,
    /// `only-if-cached` and nothing usable: 504.
    Unsatisfied,
    /// The cache takes no part.
    Bypass,
}

impl Verdict {
    /// One word for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale { refresh: true } => "stale, refreshed in the background",
            Self::Stale { refresh: false } => "stale",
            Self::Validate => "validate",
            Self::Absent => "absent",
            Self::Unsatisfied => "unsatisfied",
            Self::Bypass => "bypass",
        }
    }
}

/// Why: one cause, as data. `Cache-Status`, the access log and `explain` print the same words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Age below lifetime.
    Fresh,
    /// Within `stale-while-revalidate`.
    WithinSwr,
    /// Request `max-stale` allows it.
    MaxStale,
    /// Age at or above lifetime.
    Expired,
    /// Response `no-cache`.
    NoCache,
    /// Request `no-cache` (or `Pragma`).
    RequestNoCache,
    /// Request `max-age` is below the age.
    RequestMaxAge,
    /// Request `min-fresh` is above what is left.
    RequestMinFresh,
    /// A soft purge made it stale.
    SoftPurged,
    /// A hard purge selects it.
    HardPurged,
    /// An unsafe method invalidated it.
    Invalidated,
    /// Authorisation forbids reuse (§3.5).
    Authorization,
    /// Only parts of what is needed are stored (RFC 9111 §3.3).
    Partial,
    /// Nothing stored under the key fits.
    NothingStored,
    /// The method is not answered from the cache.
    Method,
    /// The request has content.
    RequestBody,
    /// The URL was uncacheable lately (hit-for-miss).
    HitForMiss,
}

impl Cause {
    /// One token for logs and `Cache-Status; detail`.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Fresh => "FRESH",
            Self::WithinSwr => "STALE-WHILE-REVALIDATE",
            Self::MaxStale => "MAX-STALE",
            Self::Expired => "EXPIRED",
            Self::NoCache => "NO-CACHE",
            Self::RequestNoCache => "REQUEST-NO-CACHE",
            Self::RequestMaxAge => "REQUEST-MAX-AGE",
            Self::RequestMinFresh => "REQUEST-MIN-FRESH",
            Self::SoftPurged => "SOFT-PURGED",
            Self::HardPurged => "PURGED",
            Self::Invalidated => "INVALIDATED",
            Self::Authorization => "AUTHORIZATION",
            Self::Partial => "PARTIAL",
            Self::NothingStored => "NOTHING-STORED",
            Self::Method => "METHOD",
            Self::RequestBody => "REQUEST-BODY",
            Self::HitForMiss => "HIT-FOR-MISS",
        }
    }
}

/// A verdict with its reasons.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// What to do.
    pub verdict: Verdict,
    /// Why.
    pub cause: Cause,
    /// Current age in seconds, when something is stored.
    pub age_s: Option<u64>,
    /// Seconds of freshness left (negative once stale), when something is stored.
    pub ttl_s: Option<i64>,
    /// What the ledger said of it.
    pub purges: crate::invalidate::PurgeState,
}
