//! `Range` (RFC 9110 §14): which bytes of the content a request asks for, and how they are told.
//!
//! A set of ranges that is not valid is ignored, as the RFC asks. So is one that nobody needs:
//! more than [`RANGES_MAX`] ranges, or together as long as the content. Ranges that touch are
//! joined, so an answer is never longer than the content and a few part heads.

use http::header::HeaderValue;
use smallvec::SmallVec;

/// Ranges in one request; with more of them the field is ignored.
pub const RANGES_MAX: usize = 16;

/// Some bytes of the content, first and last one (both inclusive).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// First byte.
    pub start: u64,
    /// Last byte; never before `start`.
    pub end: u64,
}

impl Part {
    /// Number of bytes; at least one.
    pub const fn length(self) -> u64 {
        // A part lies in a content of a `u64` length, so it never spans all of `u64`.
        self.end - self.start + 1
    }

    /// `Content-Range` of this part of a content of `length` bytes.
    pub fn content_range(self, length: u64) -> HeaderValue {
        let text = format!("bytes {}-{}/{length}", self.start, self.end);
        HeaderValue::try_from(text).expect("digits are visible ASCII")
    }
}

/// `Content-Range` of a 416.
pub fn unsatisfied_range(length: u64) -> HeaderValue {
    HeaderValue::try_from(format!("bytes */{length}")).expect("digits are visible ASCII")
}

/// Parts in the order in which they are sent.
pub type Parts = SmallVec<[Part; 4]>;

/// What a `Range` field selects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Selection {
    /// The field does not count: all of it.
    Whole,
    /// One part.
    One(Part),
    /// Several that do not touch.
    Several(Parts),
    /// Nothing of what was asked for exists.
    Nothing,
}

/// Reads the value of a `Range` field for a content of `length` bytes.
pub fn select(value: &[u8], length: u64) -> Selection {
    let Some(specs) = parse(value) else { return Selection::Whole };
    let mut parts: Parts = specs.iter().filter_map(|spec| spec.within(length)).collect();
    if parts.is_empty() {
        return Selection::Nothing;
    }
    join(&mut parts);
    match parts[..] {
        [one] => Selection::One(one),
        _ if parts.iter().map(|part| part.length()).sum::<u64>() >= length => Selection::Whole,
        _ => Selection::Several(parts),
    }
}

/// One `range-spec` (§14.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Spec {
    /// `first-last` and `first-`.
    From(u64, Option<u64>),
    /// `-count`.
    Last(u64),
}

impl Spec {
    fn within(self, length: u64) -> Option<Part> {
        let last = length.checked_sub(1)?;
        match self {
            Self::From(start, end) => {
                (start <= last).then(|| Part { start, end: end.unwrap_or(last).min(last) })
            }
            Self::Last(0) => None,
            Self::Last(count) => Some(Part { start: length.saturating_sub(count), end: last }),
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let dash = text.iter().position(|byte| *byte == b'-')?;
        let (first, last) = (&text[..dash], &text[dash + 1..]);
        match (first.is_empty(), last.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Last(number(last)?)),
            (false, true) => Some(Self::From(number(first)?, None)),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }
}

/// The ranges, if the field is valid, in bytes, and not too long.
fn parse(value: &[u8]) -> Option<SmallVec<[Spec; 4]>> {
    let equals = value.iter().position(|byte| *byte == b'=')?;
    if !value[..equals].eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut specs = SmallVec::new();
    for element in value[equals + 1..].split(|byte| *byte == b',') {
        let element = element.trim_ascii();
        if element.is_empty() {
            continue; // A list may have empty elements (§5.6.1.2).
        }
        if specs.len() == RANGES_MAX {
            return None;
        }
        specs.push(Spec::parse(element)?);
    }
    (!specs.is_empty()).then_some(specs)
}

/// Digits only; what does not fit is as far as can be.
fn number(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, add))
}

/// Joins parts that overlap or touch. Where none do, the order of the request is kept (§15.3.7.2).
fn join(parts: &mut Parts) {
    let mut sorted = parts.clone();
    sorted.sort_unstable_by_key(|part| part.start);
    sorted.dedup_by(|next, before| {
        let touches = next.start <= before.end.saturating_add(1);
        if touches {
            before.end = before.end.max(next.end);
        }
        touches
    });
    if sorted.len() < parts.len() {
        *parts = sorted;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(start: u64, end: u64) -> Selection {
        Selection::One(Part { start, end })
    }

    fn several(parts: &[(u64, u64)]) -> Selection {
        Selection::Several(parts.iter().map(|&(start, end)| Part { start, end }).collect())
    }

    #[test]
    fn single_ranges() {
        for (range, selected) in [
            ("bytes=0-0", one(0, 0)),
            ("bytes=0-", one(0, 99)),
            ("bytes=10-19", one(10, 19)),
            ("bytes=90-200", one(90, 99)),
            ("bytes=-1", one(99, 99)),
            ("bytes=-1000", one(0, 99)),
            ("BYTES= 0-0", one(0, 0)),
            ("bytes=, 5-6 ,", one(5, 6)),
            ("bytes=0-99999999999999999999999", one(0, 99)),
            ("bytes=100-", Selection::Nothing),
            ("bytes=99999999999999999999999-", Selection::Nothing),
            ("bytes=-0", Selection::Nothing),
            ("bytes=100-200,-0", Selection::Nothing),
        ] {
            assert_eq!(select(range.as_bytes(), 100), selected, "{range}");
        }
    }

    #[test]
    fn what_is_not_valid_is_ignored() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=1-0",
            "bytes=0-1-2",
            "bytes=+1-2",
            "bytes=0x1-2",
            "bytes=--1",
            "items=0-1",
            "bytes=0-1;2-3",
            "bytes=0 - 1",
            "bytes=0-1,x",
            "bytes 0-1/100",
            "bytes =0-1",
        ] {
            assert_eq!(select(range.as_bytes(), 100), Selection::Whole, "{range}");
        }
    }

    #[test]
    fn several_ranges_are_joined_bounded_and_kept_in_order() {
        assert_eq!(select(b"bytes=50-59,0-9", 100), several(&[(50, 59), (0, 9)]));
        assert_eq!(select(b"bytes=0-9,10-19", 100), one(0, 19));
        assert_eq!(select(b"bytes=50-59,5-14,0-9", 100), several(&[(0, 14), (50, 59)]));
        assert_eq!(select(b"bytes=0-9,200-300", 100), one(0, 9));
        assert_eq!(select(b"bytes=0-,0-,0-", 100), one(0, 99));
        let many = |count: u64| {
            let ranges: Vec<_> = (0..count).map(|at| format!("{}-{}", at * 4, at * 4)).collect();
            select(format!("bytes={}", ranges.join(",")).as_bytes(), 100)
        };
        assert!(matches!(many(16), Selection::Several(parts) if parts.len() == 16));
        assert_eq!(many(17), Selection::Whole);
    }

    #[test]
    fn an_empty_content_satisfies_nothing() {
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(select(range.as_bytes(), 0), Selection::Nothing, "{range}");
        }
    }

    proptest! {
        /// Whatever is asked for: parts lie within the content, do not touch, and together are
        /// shorter than it.
        #[test]
        fn parts_are_within_apart_and_fewer_bytes_than_the_content(
            specs in proptest::collection::vec((any::<Option<u8>>(), any::<Option<u8>>()), 1..20),
            length in 0_u64..300,
        ) {
            let text = |number: &Option<u8>| number.map(|n| n.to_string()).unwrap_or_default();
            let specs: Vec<_> =
                specs.iter().map(|(a, b)| format!("{}-{}", text(a), text(b))).collect();
            let selected = select(format!("bytes={}", specs.join(",")).as_bytes(), length);
            let parts = match selected {
                Selection::One(part) => Parts::from_slice(&[part]),
                Selection::Several(parts) => {
                    prop_assert!(parts.len() > 1);
                    parts
                }
                Selection::Whole | Selection::Nothing => Parts::new(),
            };
            let mut covered = vec![false; length as usize];
            for part in &parts {
                prop_assert!(part.start <= part.end && part.end < length);
                for byte in part.start..=part.end {
                    prop_assert!(!std::mem::replace(&mut covered[byte as usize], true));
                }
            }
        }
    }
}
