//! `If-Range` (RFC 9110 §13.1.5): a range is useful only while the client's part and ours are of
//! the same bytes. The comparison is therefore strong; in doubt the whole is sent.

use http::HeaderMap;
use http::header::{DATE, HeaderName, IF_RANGE, LAST_MODIFIED};

use crate::policy::date::DateField;
use crate::policy::validation::EntityTag;

/// A `Last-Modified` is a strong validator only when it is so much older than `Date` that a
/// second change in the same second, or a skewed clock, is unlikely (§8.8.2.2), in seconds.
const STRONG_DATE_S: u64 = 60;

/// Whether the `Range` of a request may be used on a stored or received representation: true
/// without `If-Range`, or when its validator is strongly the same.
pub fn if_range_holds(request: &HeaderMap, response: &HeaderMap) -> bool {
    let mut lines = request.get_all(IF_RANGE).iter();
    let Some(line) = lines.next() else { return true };
    if lines.next().is_some() {
        return false;
    }
    if let Some(wanted) = EntityTag::of(line) {
        return EntityTag::of_head(response).is_some_and(|tag| tag.strong_eq(&wanted));
    }
    let single = |headers: &HeaderMap, name: HeaderName| DateField::of(headers, name).single();
    let Some(wanted) = single(request, IF_RANGE) else { return false };
    let (Some(modified), Some(date)) = (single(response, LAST_MODIFIED), single(response, DATE))
    else {
        return false;
    };
    wanted == modified && modified.saturating_add(STRONG_DATE_S) <= date
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::policy::date;

    fn holds(if_range: &[&str], etag: &str, age_of_change_s: u64) -> bool {
        let mut request = HeaderMap::new();
        for value in if_range {
            request.append(IF_RANGE, HeaderValue::from_str(value).expect("test value"));
        }
        let mut response = HeaderMap::new();
        response.insert("etag", HeaderValue::from_str(etag).expect("test value"));
        response.insert(LAST_MODIFIED, date::format(784_111_777));
        response.insert(DATE, date::format(784_111_777 + age_of_change_s));
        if_range_holds(&request, &response)
    }

    #[test]
    fn r9110_13_1_5_tags_are_compared_strongly() {
        assert!(holds(&[], "\"a\"", 0));
        assert!(holds(&["\"a\""], "\"a\"", 0));
        assert!(!holds(&["\"b\""], "\"a\"", 0));
        assert!(!holds(&["W/\"a\""], "W/\"a\"", 0));
        assert!(!holds(&["\"a\""], "W/\"a\"", 0));
        assert!(!holds(&["a"], "a", 0));
        assert!(!holds(&["\"a\"", "\"a\""], "\"a\"", 0));
        assert!(!holds(&["\"a\", \"b\""], "\"a\"", 0));
        assert!(!holds(&["*"], "\"a\"", 0));
    }

    #[test]
    fn r9110_13_1_5_dates_must_be_the_same_and_strong() {
        let changed = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert!(holds(&[changed], "\"a\"", 60));
        assert!(!holds(&[changed], "\"a\"", 59));
        assert!(!holds(&["Sun, 06 Nov 1994 08:49:38 GMT"], "\"a\"", 60));
        assert!(!holds(&["yesterday"], "\"a\"", 60));
    }
}
