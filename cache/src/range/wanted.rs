//! What a request needs of a representation of which only parts are there.
//!
//! RFC 9111 §3.3: an incomplete response answers only a request for ranges wholly inside it. A
//! request for several ranges of which some are missing needs the whole: it is not answered from
//! a body that still arrives.

use http::HeaderMap;
use http::header::{HeaderValue, IF_RANGE};

use super::{ByteRange, Parts, RangeSpec, Resolved, parse};
use crate::policy::MethodClass;
use crate::policy::validation::EntityTag;

/// Ranges in one request; with more of them the field is ignored.
pub const RANGES_MAX: usize = 16;

/// The bytes that `parts` of a representation of `length` bytes lack for a request, from the first
/// to the last; `None` if it can be answered.
pub fn lacking(
    method: MethodClass,
    request: &HeaderMap,
    parts: &Parts,
    length: u64,
) -> Option<ByteRange> {
    let whole = ByteRange { first: 0, last: length.checked_sub(1)? };
    let asked = (method == MethodClass::Get).then(|| parse(request, RANGES_MAX)).flatten();
    let Some(asked) = asked.filter(|_| same_as_clients(request, parts.tag.as_ref())) else {
        return parts.missing(whole);
    };
    match asked.resolve(length) {
        Resolved::Satisfiable(ranges) => match ranges[..] {
            [one] => parts.missing(one),
            ref several => several
                .iter()
                .any(|range| parts.missing(*range).is_some())
                .then(|| parts.missing(whole))
                .flatten(),
        },
        // 416, with the length.
        Resolved::NotSatisfiable => None,
        Resolved::Ignored => parts.missing(whole),
    }
}

/// The same for a body that still arrives: several ranges of it are answered with all of it.
pub fn lacking_on_arrival(
    method: MethodClass,
    request: &HeaderMap,
    parts: &Parts,
    length: u64,
) -> Option<ByteRange> {
    lacking(method, request, parts, length).or_else(|| {
        let asked = parse(request, RANGES_MAX)?.resolve(length);
        let several = matches!(asked, Resolved::Satisfiable(ranges) if ranges.len() > 1);
        let whole = ByteRange { first: 0, last: length.checked_sub(1)? };
        several.then(|| parts.missing(whole)).flatten()
    })
}

/// `If-Range` against the strong tag of the parts; a date is not compared, so the whole is sent
/// (RFC 9110 §13.1.5 allows to take it as false).
fn same_as_clients(request: &HeaderMap, tag: Option<&HeaderValue>) -> bool {
    let mut lines = request.get_all(IF_RANGE).iter();
    let Some(line) = lines.next() else { return true };
    let wanted = EntityTag::of(line).filter(|_| lines.next().is_none());
    let ours = tag.and_then(EntityTag::of);
    wanted.zip(ours).is_some_and(|(wanted, ours)| wanted.strong_eq(&ours))
}

/// The one range of a request that an origin could be asked for as it is.
pub fn forwardable(method: MethodClass, request: &HeaderMap) -> Option<RangeSpec> {
    (method == MethodClass::Get).then(|| parse(request, 1)).flatten()?.single()
}

#[cfg(test)]
mod tests {
    use super::super::Piece;
    use super::*;

    fn head(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                let name = http::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect()
    }

    fn lacks(fields: &[(&'static str, &'static str)]) -> Option<(u64, u64)> {
        let piece =
            |object, first, last| Piece { range: ByteRange { first, last }, object, offset: 0 };
        let parts = Parts::new(Some(HeaderValue::from_static("\"v1\"")), piece(1, 10, 19));
        let parts = parts.with(piece(2, 40, 49));
        lacking(MethodClass::Get, &head(fields), &parts, 100).map(|range| (range.first, range.last))
    }

    #[test]
    fn s3_3_only_ranges_inside_are_answered() {
        assert_eq!(lacks(&[("range", "bytes=10-19")]), None);
        assert_eq!(lacks(&[("range", "bytes=12-13, 45-46")]), None);
        assert_eq!(lacks(&[("range", "bytes=100-")]), None, "416 needs only the length");
        assert_eq!(lacks(&[("range", "bytes=10-20")]), Some((20, 20)));
        assert_eq!(lacks(&[("range", "bytes=15-45")]), Some((20, 39)));
        assert_eq!(lacks(&[("range", "bytes=-60")]), Some((50, 99)));
        // Several of which one is missing, a broken one, none: the whole.
        for fields in [&[("range", "bytes=12-13, 0-1")][..], &[("range", "bytes=b-a")], &[]] {
            assert_eq!(lacks(fields), Some((0, 99)), "{fields:?}");
        }
    }

    #[test]
    fn r9110_13_1_5_if_range_of_another_version_needs_the_whole() {
        let range = ("range", "bytes=10-19");
        assert_eq!(lacks(&[range, ("if-range", "\"v1\"")]), None);
        for other in ["\"v2\"", "W/\"v1\"", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(lacks(&[range, ("if-range", other)]), Some((0, 99)), "{other}");
        }
    }

    #[test]
    fn s3_3_a_head_is_not_answered_by_a_part() {
        let piece = Piece { range: ByteRange { first: 0, last: 9 }, object: 1, offset: 0 };
        let parts = Parts::new(None, piece);
        let asked = head(&[("range", "bytes=0-1")]);
        assert!(lacking(MethodClass::Head, &asked, &parts, 20).is_some());
        assert!(lacking(MethodClass::Head, &asked, &parts, 10).is_none(), "nothing is missing");
    }
}
