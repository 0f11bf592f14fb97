//! Parts of a representation that are stored while the rest is not (RFC 9111 §3.3, §3.4).
//!
//! Each answer of the origin stays the object that it was; a list of pieces says which bytes of
//! the representation lie where. Combining is list work: no byte is copied, and pieces need not
//! begin or end at chunks. The list is sorted, its pieces do not overlap, and there are at most
//! [`PARTS_MAX`] of them: beyond, the shortest goes, which costs a fetch and never an answer.
//!
//! Does not know whether two answers may be combined: that is [`super::missing`]'s to say.

use http::header::HeaderValue;
use smallvec::SmallVec;

use super::ByteRange;

/// Pieces kept of one response. Who wants what is not there is better off with the whole then.
pub const PARTS_MAX: usize = 16;

/// Consecutive bytes of a representation that lie in one object of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Which bytes of the representation.
    pub range: ByteRange,
    /// The object that holds them.
    pub object: u64,
    /// Where the first of them stands in the object, in bytes.
    pub offset: u64,
}

/// What is stored of a representation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parts {
    /// Its entity tag, when that is a strong one: without it nothing can be added.
    pub tag: Option<HeaderValue>,
    pieces: Box<[Piece]>,
}

/// The pieces that make up a range, in order.
pub type Cut = SmallVec<[Piece; 2]>;

impl Piece {
    /// The bytes of it within `range`.
    fn within(&self, range: ByteRange) -> Option<Self> {
        let first = self.range.first.max(range.first);
        let last = self.range.last.min(range.last);
        (first <= last).then(|| Self {
            range: ByteRange { first, last },
            object: self.object,
            offset: self.offset + (first - self.range.first),
        })
    }
}

impl Parts {
    /// One piece.
    pub fn new(tag: Option<HeaderValue>, piece: Piece) -> Self {
        Self { tag, pieces: Box::new([piece]) }
    }

    /// A list that was written down; `None` if it is not one of ours.
    pub fn from_pieces(tag: Option<HeaderValue>, pieces: Vec<Piece>) -> Option<Self> {
        let fine = |piece: &Piece| {
            piece.range.first <= piece.range.last
                && piece.range.last < u64::MAX
                && piece.offset.checked_add(piece.range.last).is_some()
        };
        let apart = pieces.windows(2).all(|pair| pair[0].range.last < pair[1].range.first);
        let bounded = (1..=PARTS_MAX).contains(&pieces.len());
        (bounded && apart && pieces.iter().all(fine))
            .then(|| Self { tag, pieces: pieces.into_boxed_slice() })
    }

    /// The pieces, in the order of their bytes; at least one.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Whether no further piece has room.
    pub const fn is_full(&self) -> bool {
        self.pieces.len() >= PARTS_MAX
    }

    /// Bytes stored.
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.range.len()).sum()
    }

    /// The same with another piece, which takes the place of what it covers.
    #[must_use]
    pub fn with(&self, new: Piece) -> Self {
        let mut pieces: Vec<Piece> = Vec::with_capacity(self.pieces.len() + 2);
        for old in &self.pieces {
            if new.range.first > 0 {
                pieces.extend(old.within(ByteRange { first: 0, last: new.range.first - 1 }));
            }
            let behind = ByteRange { first: new.range.last.saturating_add(1), last: u64::MAX };
            pieces.extend(old.within(behind));
        }
        pieces.push(new);
        pieces.sort_unstable_by_key(|piece| piece.range.first);
        while pieces.len() > PARTS_MAX {
            let others = pieces.iter().enumerate().filter(|(_, piece)| **piece != new);
            let shortest = others.min_by_key(|(_, piece)| piece.range.len()).map(|(at, _)| at);
            pieces.remove(shortest.expect("there are more than one"));
        }
        Self { tag: self.tag.clone(), pieces: pieces.into_boxed_slice() }
    }

    /// The same without what lies in `object` from byte `received` on: that never came. `None` if
    /// nothing is left.
    pub fn without_rest(&self, object: u64, received: u64) -> Option<Self> {
        let kept = self.pieces.iter().filter_map(|piece| {
            if piece.object != object {
                return Some(*piece);
            }
            let bytes = received.checked_sub(piece.offset)?.min(piece.range.len());
            let last = piece.range.first + bytes.checked_sub(1)?;
            piece.within(ByteRange { first: piece.range.first, last })
        });
        Self::from_pieces(self.tag.clone(), kept.collect())
    }

    /// The pieces of `range`; `None` if some of it is missing.
    pub fn cut(&self, range: ByteRange) -> Option<Cut> {
        let cut: Cut = self.pieces.iter().filter_map(|piece| piece.within(range)).collect();
        let bytes: u64 = cut.iter().map(|piece| piece.range.len()).sum();
        (bytes == range.len()).then_some(cut)
    }

    /// From the first to the last byte of `range` that is missing; `None` if nothing is.
    pub fn missing(&self, range: ByteRange) -> Option<ByteRange> {
        let (mut first, mut last) = (range.first, range.last);
        for piece in &self.pieces {
            if piece.range.first <= first && first <= piece.range.last {
                first = piece.range.last.saturating_add(1);
            }
        }
        for piece in self.pieces.iter().rev() {
            if piece.range.first <= last && last <= piece.range.last {
                last = piece.range.first.checked_sub(1)?;
            }
        }
        (first <= last).then_some(ByteRange { first, last })
    }

    /// What is left when only some chunks of `chunk_bytes` can still be read; `None` if nothing
    /// is. Of more pieces than are kept the longest stay.
    pub fn readable(&self, chunk_bytes: u64, is_there: impl Fn(u64, u64) -> bool) -> Option<Self> {
        let mut runs: Vec<Piece> = Vec::new();
        for piece in &self.pieces {
            let end = piece.offset + piece.range.len();
            for chunk in piece.offset / chunk_bytes..=(end - 1) / chunk_bytes {
                if !is_there(piece.object, chunk) {
                    continue;
                }
                let start = (chunk * chunk_bytes).max(piece.offset);
                let stop = ((chunk + 1) * chunk_bytes).min(end);
                let at = |offset: u64| piece.range.first + (offset - piece.offset);
                let run = ByteRange { first: at(start), last: at(stop - 1) };
                match runs.last_mut() {
                    Some(before)
                        if before.object == piece.object
                            && before.range.last + 1 == run.first
                            && before.offset + before.range.len() == start =>
                    {
                        before.range.last = run.last;
                    }
                    _ => runs.push(Piece { range: run, object: piece.object, offset: start }),
                }
            }
        }
        if runs.len() > PARTS_MAX {
            runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.range.len()));
            runs.truncate(PARTS_MAX);
            runs.sort_unstable_by_key(|run| run.range.first);
        }
        Self::from_pieces(self.tag.clone(), runs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The byte at `at` of the representation, as each object holds it: the objects agree, as
    /// those of one strong validator do.
    const LENGTH: u64 = 400;

    fn piece(object: u64, first: u64, last: u64) -> Piece {
        Piece { range: ByteRange { first, last }, object, offset: 0 }
    }

    /// For each byte of the representation: which object holds it, and where.
    fn map(parts: &Parts) -> Vec<Option<(u64, u64)>> {
        let mut map = vec![None; LENGTH as usize];
        for piece in parts.pieces() {
            for at in piece.range.first..=piece.range.last {
                assert_eq!(map[at as usize], None, "pieces overlap");
                map[at as usize] = Some((piece.object, piece.offset + at - piece.range.first));
            }
        }
        map
    }

    fn arrivals() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let range = (0..LENGTH, 1..80_u64)
            .prop_map(|(first, bytes)| (first, (first + bytes - 1).min(LENGTH - 1)));
        prop::collection::vec(range, 1..40)
    }

    fn gathered(arrivals: &[(u64, u64)]) -> Parts {
        let mut numbered =
            arrivals.iter().zip(1..).map(|((first, last), n)| piece(n, *first, *last));
        let parts = Parts::new(None, numbered.next().expect("at least one"));
        numbered.fold(parts, |parts, piece| parts.with(piece))
    }

    proptest! {
        #[test]
        fn s3_4_every_byte_comes_from_where_it_was_received(arrivals in arrivals()) {
            let parts = gathered(&arrivals);
            prop_assert!(parts.pieces().len() <= PARTS_MAX);
            prop_assert!(Parts::from_pieces(None, parts.pieces().to_vec()) == Some(parts.clone()));
            for (at, found) in map(&parts).iter().enumerate() {
                if let Some((object, offset)) = found {
                    let (first, last) = arrivals[*object as usize - 1];
                    prop_assert!((first..=last).contains(&(at as u64)));
                    prop_assert_eq!(*offset, at as u64 - first, "another byte of the object");
                }
            }
            // The newest is never the one that goes.
            let (first, last) = arrivals[arrivals.len() - 1];
            let newest = ByteRange { first, last };
            prop_assert!(parts.cut(newest).is_some());
            if arrivals.len() <= PARTS_MAX / 2 {
                let held = map(&parts);
                for (first, last) in arrivals {
                    prop_assert!((first..=last).all(|at| held[at as usize].is_some()));
                }
            }
        }

        #[test]
        fn s3_3_a_range_is_given_out_only_when_all_of_it_is_there(
            arrivals in arrivals(), first in 0..LENGTH, bytes in 1..LENGTH,
        ) {
            let parts = gathered(&arrivals);
            let range = ByteRange { first, last: (first + bytes - 1).min(LENGTH - 1) };
            let held = map(&parts);
            let absent: Vec<u64> =
                (range.first..=range.last).filter(|at| held[*at as usize].is_none()).collect();
            let hull = absent.first().zip(absent.last());
            let hull = hull.map(|(first, last)| ByteRange { first: *first, last: *last });
            prop_assert_eq!(parts.missing(range), hull);
            prop_assert_eq!(parts.cut(range).is_some(), hull.is_none());
            if let Some(cut) = parts.cut(range) {
                let mut next = range.first;
                for piece in cut {
                    prop_assert_eq!(piece.range.first, next);
                    prop_assert_eq!(held[next as usize], Some((piece.object, piece.offset)));
                    next = piece.range.last + 1;
                }
                prop_assert_eq!(next, range.last + 1);
            }
        }

        #[test]
        fn what_is_left_after_an_eviction_is_what_can_be_read(
            arrivals in arrivals(), gone in prop::collection::hash_set((1..40_u64, 0..8_u64), 0..60),
        ) {
            let parts = gathered(&arrivals);
            let there = |object: u64, chunk: u64| !gone.contains(&(object, chunk));
            let expected: Vec<_> = map(&parts)
                .into_iter()
                .map(|found| found.filter(|(object, offset)| there(*object, offset / 10)))
                .collect();
            match parts.readable(10, there) {
                None => prop_assert!(expected.iter().all(Option::is_none)),
                Some(left) => {
                    let left_map = map(&left);
                    let kept = left_map.iter().zip(&expected);
                    prop_assert!(kept.clone().all(|(left, all)| left.is_none() || left == all));
                    if !left.is_full() {
                        prop_assert_eq!(left_map, expected);
                    }
                }
            }
        }

        #[test]
        fn what_never_came_is_not_there(arrivals in arrivals(), received in 0..80_u64) {
            let parts = gathered(&arrivals);
            let last = arrivals.len() as u64;
            let kept = parts.without_rest(last, received);
            let expected: Vec<_> = map(&parts)
                .into_iter()
                .map(|found| found.filter(|(object, at)| *object != last || *at < received))
                .collect();
            prop_assert_eq!(kept.as_ref().map_or(vec![None; LENGTH as usize], map), expected);
        }
    }

    #[test]
    fn a_list_that_is_not_ours_is_refused() {
        let read = |pieces: Vec<Piece>| Parts::from_pieces(None, pieces);
        assert!(read(vec![piece(1, 0, 4), piece(2, 5, 9)]).is_some());
        assert_eq!(read(vec![]), None);
        assert_eq!(read(vec![piece(1, 0, 5), piece(2, 5, 9)]), None);
        assert_eq!(read(vec![piece(2, 5, 9), piece(1, 0, 4)]), None);
        assert_eq!(read(vec![piece(1, 5, 4)]), None);
        assert_eq!(read(vec![piece(1, 0, u64::MAX)]), None);
        assert_eq!(read(vec![Piece { offset: u64::MAX, ..piece(1, 1, 2) }]), None);
        assert_eq!(read((0..=PARTS_MAX as u64).map(|n| piece(n, n, n)).collect()), None);
    }
}
