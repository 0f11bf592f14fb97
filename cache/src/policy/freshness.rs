//! How long a response is fresh, and how old it already is (RFC 9111 §4.2).
//!
//! Lifetime: `s-maxage`, else `max-age`, else `Expires − Date`, else a guess from
//! `Last-Modified`, else what the site set. Age: the larger of what `Date` and `Age` say, the
//! time the response was under way included. All in whole seconds, saturating; a missing or
//! invalid `Date` is the time of receipt.

use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};

use super::date::{self, DateField};
use super::directive::delta_seconds;
use super::targeted::Effective;
use super::{Options, OriginResponse};

/// Where a lifetime came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// `s-maxage` (§5.2.2.10).
    SMaxAge,
    /// `max-age` (§5.2.2.1).
    MaxAge,
    /// `Expires` against `Date` (§5.3).
    Expires,
    /// Guessed from `Last-Modified` (§4.2.2).
    Heuristic,
    /// The site's default.
    Default,
    /// The site says it in place of the response.
    Override,
    /// Nothing gives one: stale at once.
    None,
}

impl Source {
    /// The response named it (§4.2.1).
    pub const fn is_explicit(self) -> bool {
        matches!(self, Self::SMaxAge | Self::MaxAge | Self::Expires)
    }

    /// The site's operator set it.
    pub const fn is_sites(self) -> bool {
        matches!(self, Self::Default | Self::Override)
    }

    /// The word for people: what was read, or whose decision it was.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SMaxAge => "s-maxage",
            Self::MaxAge => "max-age",
            Self::Expires => "expires",
            Self::Heuristic => "heuristic",
            Self::Default => "default",
            Self::Override => "override",
            Self::None => "none",
        }
    }
}

/// A freshness lifetime.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetime {
    /// In seconds.
    pub seconds: u32,
    /// Where it came from.
    pub source: Source,
}

/// `freshness_lifetime` (§4.2.1).
pub fn lifetime(
    response: &OriginResponse<'_>,
    effective: &Effective,
    options: &Options,
) -> Lifetime {
    let directives = &effective.directives;
    if let Some(seconds) = options.ttl_override_s {
        return Lifetime { seconds, source: Source::Override };
    }
    if let Some(seconds) = directives.s_maxage_s {
        return Lifetime { seconds, source: Source::SMaxAge };
    }
    if let Some(seconds) = directives.max_age_s {
        return Lifetime { seconds, source: Source::MaxAge };
    }
    if !effective.targeted
        && let Some(seconds) = expires(response)
    {
        return Lifetime { seconds, source: Source::Expires };
    }
    if (cacheable_by_default(response.status) || directives.public)
        && let Some(seconds) = heuristic(response, options)
    {
        return Lifetime { seconds, source: Source::Heuristic };
    }
    let good = options.default_for_any_status
        || (cacheable_by_default(response.status) && response.status.as_u16() < 400);
    if good && options.default_ttl_s > 0 {
        return Lifetime { seconds: options.default_ttl_s, source: Source::Default };
    }
    Lifetime { seconds: 0, source: Source::None }
}

/// `Expires − Date` (§4.2.1, §5.3). Invalid, `0` above all, is in the past; of several lines the
/// earliest counts, against the latest `Date`.
fn expires(response: &OriginResponse<'_>) -> Option<u32> {
    match DateField::of(response.headers, EXPIRES) {
        DateField::Absent => None,
        DateField::Invalid => Some(0),
        DateField::Valid { earliest, .. } => {
            Some(saturated(earliest.saturating_sub(date_latest(response))))
        }
    }
}

/// A tenth of the time since the last modification, capped by the site (§4.2.2).
fn heuristic(response: &OriginResponse<'_>, options: &Options) -> Option<u32> {
    let modified = DateField::of(response.headers, LAST_MODIFIED).single()?;
    let unchanged_s = date_latest(response).saturating_sub(modified);
    let seconds = saturated(unchanged_s / 10).min(options.heuristic_max_s);
    (seconds > 0).then_some(seconds)
}

/// `corrected_initial_age` (§4.2.3), in seconds.
pub fn initial_age(response: &OriginResponse<'_>) -> u32 {
    let received = response.received.unix_s();
    let date = match DateField::of(response.headers, DATE) {
        DateField::Valid { earliest, .. } => earliest,
        DateField::Absent | DateField::Invalid => received,
    };
    let apparent_age = received.saturating_sub(date);
    let response_delay = response.received.since_ms(response.requested) / 1000;
    let corrected_age = u64::from(age_value(response.headers)).saturating_add(response_delay);
    saturated(apparent_age.max(corrected_age))
}

/// The `Age` field (§5.1): the first member counts, what is no number is ignored.
pub fn age_value(headers: &HeaderMap) -> u32 {
    let first = headers.get(AGE).and_then(|line| line.as_bytes().split(|b| *b == b',').next());
    first.and_then(|member| delta_seconds(member.trim_ascii())).unwrap_or(0)
}

/// `Date`, or the time of receipt (RFC 9110 §6.6.1).
pub fn date_latest(response: &OriginResponse<'_>) -> u64 {
    match DateField::of(response.headers, DATE) {
        DateField::Valid { latest, .. } => latest,
        DateField::Absent | DateField::Invalid => response.received.unix_s(),
    }
}

/// Statuses whose responses may be guessed fresh (RFC 9110 §15.1), 206 apart.
pub const fn cacheable_by_default(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

fn saturated(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Whether a field holds one valid date: a usable `Last-Modified`.
pub fn has_last_modified(headers: &HeaderMap) -> bool {
    headers.get(LAST_MODIFIED).and_then(date::parse).is_some()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::Millis;

    /// Noon of some day, in Unix seconds; `{±n}` in a value is an HTTP date n seconds from it.
    const NOW: u64 = 1_800_000_000;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            let value = match value.strip_prefix('@') {
                Some(offset) => {
                    let offset: i64 = offset.parse().expect("an offset");
                    date::format(NOW.saturating_add_signed(offset))
                }
                None => HeaderValue::from_str(value).expect("test value"),
            };
            map.append(*name, value);
        }
        map
    }

    fn ask<T>(fields: &[(&'static str, &str)], f: impl FnOnce(&OriginResponse<'_>) -> T) -> T {
        let headers = headers(fields);
        f(&OriginResponse {
            status: StatusCode::OK,
            headers: &headers,
            requested: Millis(NOW * 1000 - 4000),
            received: Millis(NOW * 1000),
        })
    }

    fn life(fields: &[(&'static str, &str)]) -> (u32, Source) {
        let options = Options::default();
        let got = ask(fields, |r| lifetime(r, &Effective::of(r.headers, &options), &options));
        (got.seconds, got.source)
    }

    #[test]
    fn s4_2_1_the_order_of_sources() {
        use Source::{Expires, Heuristic, MaxAge, None, SMaxAge};
        type Row = (&'static [(&'static str, &'static str)], (u32, Source));
        let table: &[Row] = &[
            (&[("cache-control", "max-age=1, s-maxage=3600")], (3600, SMaxAge)),
            (&[("cache-control", "max-age=9"), ("expires", "@-10")], (9, MaxAge)),
            (&[("cache-control", "max-age=0"), ("expires", "@10")], (0, MaxAge)),
            (&[("cache-control", "s-maxage=x, max-age=9")], (0, SMaxAge)),
            (&[("cdn-cache-control", "max-age=5"), ("expires", "@99")], (5, MaxAge)),
            (&[("cdn-cache-control", "public"), ("expires", "@99")], (0, None)),
            (&[("expires", "@10")], (10, Expires)),
            (&[("last-modified", "@-1000")], (100, Heuristic)),
            (&[], (0, None)),
        ];
        for (fields, want) in table {
            assert_eq!(life(fields), *want, "{fields:?}");
        }
    }

    #[test]
    fn s5_3_expires_counts_from_date() {
        assert_eq!(life(&[("date", "@-5"), ("expires", "@5")]).0, 10);
        assert_eq!(life(&[("date", "@400"), ("expires", "@300")]).0, 0);
        assert_eq!(life(&[("date", "foo"), ("expires", "@10")]).0, 10);
        assert_eq!(life(&[("expires", "0")]), (0, Source::Expires));
        assert_eq!(life(&[("expires", "@10"), ("expires", "@20")]).0, 10);
        assert_eq!(life(&[("expires", "@10"), ("expires", "soon")]).0, 0);
    }

    #[test]
    fn s4_2_2_a_guess_is_a_tenth_capped_and_only_where_allowed() {
        assert_eq!(life(&[("date", "@0"), ("last-modified", "@-86400")]).0, 8640);
        assert_eq!(life(&[("last-modified", "@-99999999")]).0, 24 * 3600);
        assert_eq!(life(&[("last-modified", "@10")]), (0, Source::None));
        assert_eq!(life(&[("last-modified", "yesterday")]), (0, Source::None));
        for (status, want) in [(200, true), (201, false), (404, true), (502, false), (599, false)] {
            assert_eq!(cacheable_by_default(StatusCode::from_u16(status).expect("code")), want);
        }
    }

    #[test]
    fn option_default_ttl_is_for_good_responses_that_say_nothing() {
        let options = Options { default_ttl_s: 7, ..Options::default() };
        let of = |status: StatusCode, fields: &[(&'static str, &str)]| {
            ask(fields, |r| {
                let response = OriginResponse { status, ..*r };
                lifetime(&response, &Effective::of(r.headers, &options), &options).seconds
            })
        };
        assert_eq!(of(StatusCode::OK, &[]), 7);
        assert_eq!(of(StatusCode::NOT_FOUND, &[]), 0);
        assert_eq!(of(StatusCode::OK, &[("cache-control", "max-age=0")]), 0);
        assert_eq!(of(StatusCode::CREATED, &[]), 0);
    }

    #[test]
    fn s4_2_3_age_is_the_larger_of_both_and_includes_the_delay() {
        let age = |fields: &[(&'static str, &str)]| ask(fields, initial_age);
        assert_eq!(age(&[]), 4);
        assert_eq!(age(&[("date", "@-100")]), 100);
        assert_eq!(age(&[("date", "@100")]), 4);
        assert_eq!(age(&[("date", "@-10"), ("age", "25")]), 29);
        assert_eq!(age(&[("date", "@-7200"), ("date", "@0")]), 7200);
    }

    #[test]
    fn s5_1_the_first_age_counts_and_odd_ones_do_not() {
        let age = |fields: &[(&'static str, &str)]| age_value(&headers(fields));
        assert_eq!(age(&[("age", "7200, 0")]), 7200);
        assert_eq!(age(&[("age", "0,7200")]), 0);
        assert_eq!(age(&[("age", "7200"), ("age", "0")]), 7200);
        assert_eq!(age(&[("age", "99999999999999")]), u32::MAX);
        for odd in ["abc", "-7200", "7200.0", "7200;a=1", "", "+5"] {
            assert_eq!(age(&[("age", odd)]), 0, "{odd}");
        }
    }
}
