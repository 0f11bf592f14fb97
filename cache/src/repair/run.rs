//! A run of lost chunks on its way back: which bytes to ask for, and chunks out of pieces. No I/O.

use bytes::{Bytes, BytesMut};

use crate::range::ByteRange;
use crate::store::CHUNK_BYTES;

/// The last chunk of a run that begins at the lost chunk `first`: up to the chunk `last` that is
/// wanted, over neighbours that are lost, too, and at most `chunks_max` long.
pub fn end_of_run(first: u32, last: u32, chunks_max: u32, is_lost: impl Fn(u32) -> bool) -> u32 {
    let furthest = last.min(first.saturating_add(chunks_max.max(1) - 1)).max(first);
    (first..furthest).find(|chunk| !is_lost(chunk + 1)).unwrap_or(furthest)
}

/// More came than was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Excess;

/// Whole chunks of one body, in order, out of pieces of any length.
#[derive(Debug)]
pub struct Run {
    /// Of the body, in bytes.
    length: u64,
    /// The chunk that is being put together.
    next: u32,
    last: u32,
    tail: BytesMut,
}

impl Run {
    /// The chunks `first..=last` of a body of `length` bytes.
    pub fn new(first: u32, last: u32, length: u64) -> Self {
        debug_assert!(first <= last && u64::from(last) * (CHUNK_BYTES as u64) < length);
        Self { length, next: first, last, tail: BytesMut::new() }
    }

    /// The bytes that are still to come.
    pub fn range(&self) -> ByteRange {
        let start = |chunk: u32| u64::from(chunk) * CHUNK_BYTES as u64;
        ByteRange {
            first: start(self.next) + self.tail.len() as u64,
            last: (start(self.last) + CHUNK_BYTES as u64).min(self.length) - 1,
        }
    }

    /// Whether all chunks are here.
    pub const fn is_done(&self) -> bool {
        self.next > self.last
    }

    /// Number of the chunk that comes next.
    pub const fn next(&self) -> u32 {
        self.next
    }

    /// Appends a piece; gives the chunks that it completed.
    pub fn append(&mut self, mut piece: &[u8]) -> Result<Vec<(u32, Bytes)>, Excess> {
        let mut whole = Vec::new();
        while !piece.is_empty() {
            if self.is_done() {
                return Err(Excess);
            }
            let start = u64::from(self.next) * CHUNK_BYTES as u64;
            let size = (self.length - start).min(CHUNK_BYTES as u64) as usize;
            if self.tail.is_empty() {
                self.tail.reserve(size);
            }
            let (now, later) = piece.split_at(piece.len().min(size - self.tail.len()));
            self.tail.extend_from_slice(now);
            piece = later;
            if self.tail.len() == size {
                whole.push((self.next, std::mem::take(&mut self.tail).freeze()));
                self.next += 1;
            }
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_its_bound_at_what_is_wanted_or_before_what_is_there() {
        assert_eq!(end_of_run(3, 9, 4, |_| true), 6);
        assert_eq!(end_of_run(3, 5, 4, |_| true), 5);
        assert_eq!(end_of_run(3, 9, 4, |chunk| chunk != 5), 4);
        assert_eq!(end_of_run(3, 9, 0, |_| true), 3);
        assert_eq!(end_of_run(3, 3, 9, |_| true), 3);
        assert_eq!(end_of_run(u32::MAX, u32::MAX, 9, |_| true), u32::MAX);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(32))]
        #[test]
        fn chunks_are_the_bytes_of_the_body_however_they_come(
            (first, count) in (0u32..4, 1u32..4),
            rest in 1usize..CHUNK_BYTES,
            cuts in proptest::collection::vec(1usize..90_000, 1..20),
        ) {
            let body: Vec<u8> = (0..4 * CHUNK_BYTES + rest).map(|at| (at / 7) as u8).collect();
            let mut run = Run::new(first, (first + count - 1).min(4), body.len() as u64);
            let asked = run.range();
            let mut left = &body[asked.first as usize..=asked.last as usize];
            let mut whole = Vec::new();
            let mut cuts = cuts.iter().cycle();
            while !left.is_empty() {
                proptest::prop_assert!(!run.is_done());
                let piece = *cuts.next().expect("it never ends");
                let (now, later) = left.split_at(piece.min(left.len()));
                whole.extend(run.append(now).expect("no more than was asked for"));
                left = later;
            }
            proptest::prop_assert!(run.is_done());
            proptest::prop_assert_eq!(run.append(b"x"), Err(Excess));
            for (chunk, bytes) in whole {
                let start = chunk as usize * CHUNK_BYTES;
                proptest::prop_assert_eq!(&bytes[..], &body[start..start + bytes.len()]);
                proptest::prop_assert!(bytes.len() == CHUNK_BYTES || chunk == 4);
            }
        }
    }
}
