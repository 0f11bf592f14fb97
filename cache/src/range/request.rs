//! `Range: bytes=…` (RFC 9110 §14.1.2, §14.2): strict syntax, bounded number, resolved against a
//! length.

use http::HeaderMap;
use http::header::{HeaderValue, RANGE};
use smallvec::SmallVec;

use super::{ByteRange, ByteRanges};

/// One range as asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeSpec {
    /// `first-last`; `last` is `None` in `first-`. `first <= last`.
    From {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte, inclusive.
        last: Option<u64>,
    },
    /// `-length`: the last `length` bytes.
    Suffix {
        /// In bytes.
        length: u64,
    },
}

/// The ranges of one request, at least one, in the order asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RangeSet(SmallVec<[RangeSpec; 2]>);

/// What the ranges are for a representation of known length.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolved {
    /// Serve these, in this order: apart from each other, together no more than the whole. One
    /// range is answered as it is, several as `multipart/byteranges`.
    Satisfiable(ByteRanges),
    /// 416 with `Content-Range: bytes */length`.
    NotSatisfiable,
    /// Answer as if `Range` were absent.
    Ignored,
}

/// Reads `Range`; `None` when it is absent or to be ignored: another unit, broken syntax, several
/// lines, or more than `ranges_max` ranges.
pub fn parse(request: &HeaderMap, ranges_max: usize) -> Option<RangeSet> {
    let mut lines = request.get_all(RANGE).iter();
    let line = lines.next()?;
    if lines.next().is_some() {
        return None;
    }
    parse_value(line.as_bytes(), ranges_max)
}

/// Reads one value of `Range`.
pub fn parse_value(value: &[u8], ranges_max: usize) -> Option<RangeSet> {
    let (unit, set) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut ranges = SmallVec::new();
    // Empty members are legal in a list (§5.6.1).
    for member in set.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|m| !m.is_empty()) {
        if ranges.len() == ranges_max {
            return None;
        }
        ranges.push(spec(member)?);
    }
    (!ranges.is_empty()).then_some(RangeSet(ranges))
}

fn spec(member: &[u8]) -> Option<RangeSpec> {
    let dash = member.iter().position(|b| *b == b'-')?;
    let (first, last) = (&member[..dash], &member[dash + 1..]);
    match (first.is_empty(), last.is_empty()) {
        (true, true) => None,
        (true, false) => Some(RangeSpec::Suffix { length: number(last)? }),
        (false, true) => Some(RangeSpec::From { first: number(first)?, last: None }),
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(RangeSpec::From { first, last: Some(last) })
        }
    }
}

/// Digits only; what does not fit saturates, which is behind the end of everything.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().all(u8::is_ascii_digit).then(|| {
        digits
            .iter()
            .fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
}

impl RangeSet {
    /// The ranges as asked for.
    pub fn specs(&self) -> &[RangeSpec] {
        &self.0
    }

    /// The one range, when there is one.
    pub fn single(&self) -> Option<RangeSpec> {
        match self.0.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// Cuts the ranges to a representation of `length` bytes. Ranges that overlap or touch become
    /// one (§14.2 allows it), so that the answer is never longer than the representation. Where
    /// none do, the order asked for is kept (§15.3.7.2); otherwise they are sorted.
    pub fn resolve(&self, length: u64) -> Resolved {
        let asked: ByteRanges = self.0.iter().filter_map(|spec| spec.resolve(length)).collect();
        if asked.is_empty() {
            // An empty representation has no last bytes, but asking for them is no mistake.
            let suffix = |spec: &RangeSpec| matches!(spec, RangeSpec::Suffix { length: 1.. });
            let harmless = length == 0 && self.0.iter().any(suffix);
            return if harmless { Resolved::Ignored } else { Resolved::NotSatisfiable };
        }
        let mut apart = asked.clone();
        apart.sort_unstable_by_key(|range| range.first);
        apart.dedup_by(|next, before| {
            let touches = next.first <= before.last.saturating_add(1);
            if touches {
                before.last = before.last.max(next.last);
            }
            touches
        });
        Resolved::Satisfiable(if apart.len() == asked.len() { asked } else { apart })
    }
}

impl RangeSpec {
    /// Whether, whatever the length is, all bytes of `other` are among these.
    pub fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::From { first, last }, Self::From { first: from, last: to }) => {
                first <= from && last.is_none_or(|last| to.is_some_and(|to| to <= last))
            }
            (Self::Suffix { length }, Self::Suffix { length: wanted }) => wanted <= length,
            _ => false,
        }
    }

    /// `Range` for this range alone.
    pub fn to_value(self) -> HeaderValue {
        let text = match self {
            Self::From { first, last: Some(last) } => format!("bytes={first}-{last}"),
            Self::From { first, last: None } => format!("bytes={first}-"),
            Self::Suffix { length } => format!("bytes=-{length}"),
        };
        HeaderValue::try_from(text).expect("digits and punctuation")
    }

    fn resolve(self, length: u64) -> Option<ByteRange> {
        let end = length.checked_sub(1)?;
        let (first, last) = match self {
            Self::From { first, last } => (first, last.map_or(end, |last| last.min(end))),
            Self::Suffix { length: 0 } => return None,
            Self::Suffix { length: wanted } => (length.saturating_sub(wanted), end),
        };
        (first <= end).then_some(ByteRange { first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(value: &str, length: u64) -> Option<Resolved> {
        parse_value(value.as_bytes(), 4).map(|set| set.resolve(length))
    }

    #[expect(clippy::unnecessary_wraps, reason = "compared with what `resolve` gives")]
    fn satisfiable(ranges: &[(u64, u64)]) -> Option<Resolved> {
        let ranges = ranges.iter().map(|(first, last)| ByteRange { first: *first, last: *last });
        Some(Resolved::Satisfiable(ranges.collect()))
    }

    #[test]
    fn r9110_14_1_2_ranges_are_cut_to_the_length() {
        assert_eq!(resolve("bytes=0-1", 11), satisfiable(&[(0, 1)]));
        assert_eq!(resolve("bytes=1-", 11), satisfiable(&[(1, 10)]));
        assert_eq!(resolve("bytes=-1", 11), satisfiable(&[(10, 10)]));
        assert_eq!(resolve("Bytes=-100", 11), satisfiable(&[(0, 10)]));
        assert_eq!(resolve("bytes=5-99999999999999999999999", 11), satisfiable(&[(5, 10)]));
        assert_eq!(resolve("bytes=0-0, -1 ,", 11), satisfiable(&[(0, 0), (10, 10)]));
        assert_eq!(resolve("bytes=0-", u64::MAX), satisfiable(&[(0, u64::MAX - 1)]));
    }

    #[test]
    fn r9110_14_2_overlapping_ranges_become_one() {
        assert_eq!(resolve("bytes=5-8,0-3,2-4", 11), satisfiable(&[(0, 8)]));
        assert_eq!(resolve("bytes=0-,0-,0-,0-", 11), satisfiable(&[(0, 10)]));
        assert_eq!(resolve("bytes=0-3,4-5", 11), satisfiable(&[(0, 5)]));
        assert_eq!(resolve("bytes=8-8,2-4,0-3", 11), satisfiable(&[(0, 4), (8, 8)]));
    }

    #[test]
    fn r9110_15_3_7_2_ranges_apart_keep_the_order_asked_for() {
        assert_eq!(resolve("bytes=8-9,0-1", 11), satisfiable(&[(8, 9), (0, 1)]));
        assert_eq!(resolve("bytes=8-9,20-30,0-1", 11), satisfiable(&[(8, 9), (0, 1)]));
    }

    #[test]
    fn r9110_15_5_17_nothing_in_reach_is_416() {
        assert_eq!(resolve("bytes=11-", 11), Some(Resolved::NotSatisfiable));
        assert_eq!(resolve("bytes=-0", 11), Some(Resolved::NotSatisfiable));
        assert_eq!(resolve("bytes=0-", 0), Some(Resolved::NotSatisfiable));
        assert_eq!(resolve("bytes=-5", 0), Some(Resolved::Ignored));
        assert_eq!(resolve("bytes=99-,0-0", 11), satisfiable(&[(0, 0)]));
        assert_eq!(resolve("bytes=99999999999999999999999-", 11), Some(Resolved::NotSatisfiable));
        assert_eq!(resolve("bytes=11-20,-0", 11), Some(Resolved::NotSatisfiable));
    }

    #[test]
    fn r9110_14_1_2_what_one_range_covers_holds_for_every_length() {
        let texts =
            ["bytes=0-", "bytes=2-", "bytes=0-5", "bytes=2-5", "bytes=3-4", "bytes=-2", "bytes=-4"];
        let spec = |text: &str| parse_value(text.as_bytes(), 1).and_then(|set| set.single());
        for (outer, inner) in texts.iter().flat_map(|a| texts.iter().map(move |b| (*a, *b))) {
            let (a, b) = spec(outer).zip(spec(inner)).expect("well-formed");
            assert_eq!(
                (a.to_value(), b.to_value()),
                (outer.parse().expect("fine"), inner.parse().expect("fine"))
            );
            let inside = |length: u64| match (a.resolve(length), b.resolve(length)) {
                (Some(a), Some(b)) => a.first <= b.first && b.last <= a.last,
                (_, b) => b.is_none(),
            };
            assert!(!a.covers(b) || (0..12).all(inside), "{outer} {inner}");
        }
        let covers = |a, b| spec(a).zip(spec(b)).is_some_and(|(a, b)| a.covers(b));
        assert!(covers("bytes=0-", "bytes=3-4") && covers("bytes=-4", "bytes=-2"));
    }

    #[test]
    fn r9110_14_2_what_cannot_be_read_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=2-1",
            "bytes=a-b",
            "bytes=1",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=0x1-2",
            "bytes=--1",
            "bytes 0-1/11",
            "bytes=0 - 1",
            "bytes =0-1",
            "bytes=0 -1",
            "bytes=0-1;x",
            "items=0-1",
            "bytes=0-1,2-1",
            "bytes=0-0,2-2,4-4,6-6,8-8",
        ] {
            assert_eq!(resolve(value, 11), None, "{value}");
        }
        let mut request = HeaderMap::new();
        assert_eq!(parse(&request, 1), None);
        request.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        assert!(parse(&request, 1).and_then(|set| set.single()).is_some());
        request.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        assert_eq!(parse(&request, 1), None);
    }

    proptest::proptest! {
        #[test]
        fn an_answer_is_never_longer_than_the_whole(
            value in "bytes=([0-9]{0,3}-[0-9]{0,3},? ?){1,6}",
            length in 0u64..300,
        ) {
            if let Some(Resolved::Satisfiable(ranges)) = resolve(&value, length) {
                proptest::prop_assert!(!ranges.is_empty());
                proptest::prop_assert!(ranges.iter().all(|r| r.first <= r.last && r.last < length));
                let mut sorted = ranges.clone();
                sorted.sort_unstable_by_key(|range| range.first);
                proptest::prop_assert!(sorted.windows(2).all(|w| w[0].last + 1 < w[1].first));
                proptest::prop_assert!(ranges.iter().map(ByteRange::len).sum::<u64>() <= length);
            }
        }

        #[test]
        fn the_parser_never_panics(bytes in proptest::collection::vec(0u8.., 0..60), length: u64) {
            let mut value = b"bytes=".to_vec();
            value.extend(bytes);
            if let Some(set) = parse_value(&value, 8) {
                set.resolve(length);
            }
        }
    }
}
