//! Fields that say how the response came to be: `Age`, `Via`, `Date` (`Cache-Status` has a room of
//! its own, [`cache_status`](super::cache_status)); and the removal of those meant for us alone.
//!
//! On the hit path each value is either prebuilt, or taken from a small table of the thread (an
//! `Age` of 17 is asked for by many responses), or written into a buffer on the stack and copied
//! once. Nothing here reads a clock.

use std::cell::RefCell;

use http::Version;
use http::header::{AGE, DATE, HeaderMap, HeaderName, HeaderValue, VIA};

use crate::admit::forwarded::via;

/// Fields that an origin addresses to this edge: removed on the way out unless the site keeps
/// them. `CDN-Cache-Control` is not among them: it speaks to every CDN on the path.
pub static EDGE_FIELDS: [HeaderName; 5] = [
    HeaderName::from_static("selvedge-cache-control"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("cache-groups"),
];

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
    LAST.with_borrow_mut(|last| match last {
        Some((second, value)) if *second == unix_s => value.clone(),
        _ => {
            let value = selvedge_cache::policy::date::format(unix_s);
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

/// Values by number, the last few of one thread: direct-mapped, so a lookup is one comparison.
pub(super) struct Recent([Option<(i64, HeaderValue)>; RECENT as usize]);

const RECENT: i64 = 64;

impl Recent {
    pub(super) const fn new() -> Self {
        Self([const { None }; RECENT as usize])
    }

    pub(super) fn get(&mut self, number: i64, make: impl FnOnce() -> HeaderValue) -> HeaderValue {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_entries_stay_before_ours() {
        let mut headers = HeaderMap::new();
        headers.insert(VIA, HeaderValue::from_static("1.1 parent"));
        add_via(&mut headers, Version::HTTP_2);
        let all: Vec<_> = headers.get_all(VIA).iter().collect();
        assert_eq!(all, ["1.1 parent", "2.0 selvedge"]);
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
