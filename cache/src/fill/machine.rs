//! The state of one fill, without I/O, wakers or locks.
//!
//! One writer appends, any number of readers read at offsets of their own. Whole chunks go to
//! the store as they fill up and stay in a window of RAM for a while; readers behind the window
//! are sent to the store. The end is *good* only when the received length is the declared one:
//! any other end is visible to every reader.
//!
//! Invariants, checked by the tests below against random schedules:
//! - a reader that sees [`Read::End`] has seen exactly the bytes that were written, in order;
//! - after a bad end no reader ever sees [`Read::End`];
//! - the window never holds more than [`WINDOW_CHUNKS`] whole chunks and one partial.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::FailureCode;
use crate::store::{CHUNK_BYTES, INLINE_BYTES_MAX};

/// Whole chunks that stay in RAM behind the writer: half a MiB per fill.
pub const WINDOW_CHUNKS: usize = 8;

/// Bodies up to this length stay whole in the window until the end: they are stored inline.
const WHOLE_BYTES_MAX: u64 = INLINE_BYTES_MAX as u64;

/// What a reader finds at its offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Bytes from here on.
    Data(Bytes),
    /// The bytes left the window: read the chunk from the store and skip into it.
    Stored {
        /// Chunk number.
        chunk: u32,
        /// Bytes to skip in it.
        skip: usize,
    },
    /// Nothing yet.
    Wait,
    /// The body is complete and this is its end.
    End,
    /// The body broke off.
    Failed(FailureCode),
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Good,
    Bad(FailureCode),
}

/// Body bytes between one writer and many readers.
#[derive(Debug)]
pub struct Machine {
    declared: Option<u64>,
    received: u64,
    /// Whole chunks, the first of them being number `first`.
    window: VecDeque<Bytes>,
    first: u32,
    /// Pieces of the chunk that is not whole yet.
    tail: Vec<Bytes>,
    tail_bytes: usize,
    end: End,
}

impl Machine {
    /// Nothing received yet; `declared` is the length that the origin announced.
    pub const fn new(declared: Option<u64>) -> Self {
        Self {
            declared,
            received: 0,
            window: VecDeque::new(),
            first: 0,
            tail: Vec::new(),
            tail_bytes: 0,
            end: End::Open,
        }
    }

    /// Bytes received so far.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// The length that the origin announced.
    pub const fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// Number of the first chunk that is still in the window.
    pub const fn starts_at(&self) -> u32 {
        self.first
    }

    /// Whether the body has ended, well or not.
    pub fn ended(&self) -> bool {
        self.end != End::Open
    }

    /// Appends bytes; gives back the chunks that became whole, for the store. More bytes than
    /// declared end the body badly.
    pub fn append(&mut self, data: Bytes, excess: FailureCode) -> Vec<(u32, Bytes)> {
        debug_assert!(!self.ended(), "nothing is written after the end");
        if self.declared.is_some_and(|length| self.received + data.len() as u64 > length) {
            self.end = End::Bad(excess);
            return Vec::new();
        }
        self.received += data.len() as u64;
        let mut rest = data;
        let mut whole = Vec::new();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(CHUNK_BYTES - self.tail_bytes));
            self.tail_bytes += piece.len();
            self.keep(piece);
            if self.tail_bytes == CHUNK_BYTES {
                let chunk = self.close_chunk();
                whole.push(chunk);
            }
        }
        self.trim();
        whole
    }

    /// The writer says that the body is complete. A short body ends badly. Gives back the last,
    /// partial chunk of a body that is stored in chunks.
    pub fn finish(&mut self, short: FailureCode) -> Option<(u32, Bytes)> {
        if self.ended() {
            return None;
        }
        if self.declared.is_some_and(|length| length != self.received) {
            self.end = End::Bad(short);
            return None;
        }
        self.end = End::Good;
        (self.received > WHOLE_BYTES_MAX && self.tail_bytes > 0).then(|| self.close_chunk())
    }

    /// The body broke off. An end that was reached stays.
    pub fn fail(&mut self, code: FailureCode) {
        if !self.ended() {
            self.end = End::Bad(code);
        }
    }

    /// Whether the body ended well.
    pub fn complete(&self) -> bool {
        self.end == End::Good
    }

    /// The chunk that is not whole, when nothing more comes: as it is.
    pub fn last_chunk(&self) -> Option<(u32, Bytes)> {
        if self.tail_bytes == 0 {
            return None;
        }
        let mut joined = Vec::with_capacity(self.tail_bytes);
        self.tail.iter().for_each(|piece| joined.extend_from_slice(piece));
        Some((self.first + self.window.len() as u32, joined.into()))
    }

    /// All bytes of a short complete body, in pieces, for the inline form.
    pub fn whole(&self) -> Option<Vec<Bytes>> {
        (self.complete() && self.received <= WHOLE_BYTES_MAX)
            .then(|| self.window.iter().chain(&self.tail).cloned().collect())
    }

    /// What stands at `offset`.
    pub fn read(&self, offset: u64) -> Read {
        if offset < self.received {
            let chunk = (offset / CHUNK_BYTES as u64) as u32;
            let skip = (offset % CHUNK_BYTES as u64) as usize;
            if chunk < self.first {
                return Read::Stored { chunk, skip };
            }
            return match self.window.get((chunk - self.first) as usize) {
                Some(whole) => Read::Data(whole.slice(skip..)),
                None => self.read_tail(skip),
            };
        }
        match self.end {
            End::Open => Read::Wait,
            End::Good => Read::End,
            End::Bad(code) => Read::Failed(code),
        }
    }

    fn read_tail(&self, mut skip: usize) -> Read {
        for piece in &self.tail {
            if skip < piece.len() {
                return Read::Data(piece.slice(skip..));
            }
            skip -= piece.len();
        }
        Read::Wait
    }

    /// Puts a piece at the end of the tail, copied out of the reader's big buffer: a kept slice
    /// would pin all of it. Pieces are joined so that each is at least twice as long as the next:
    /// an origin that sends byte by byte costs neither a list nor a walk of 65,472.
    fn keep(&mut self, piece: Bytes) {
        let mut joined = piece.len();
        let mut from = self.tail.len();
        while from > 0 && self.tail[from - 1].len() < 2 * joined {
            from -= 1;
            joined += self.tail[from].len();
        }
        if from == self.tail.len() {
            self.tail.push(Bytes::copy_from_slice(&piece));
            return;
        }
        let mut bytes = Vec::with_capacity(joined);
        self.tail.drain(from..).for_each(|earlier| bytes.extend_from_slice(&earlier));
        bytes.extend_from_slice(&piece);
        self.tail.push(bytes.into());
    }

    fn close_chunk(&mut self) -> (u32, Bytes) {
        let bytes = if self.tail.len() == 1 {
            self.tail.pop().expect("one piece")
        } else {
            let mut joined = BytesMut::with_capacity(self.tail_bytes);
            self.tail.drain(..).for_each(|piece| joined.extend_from_slice(&piece));
            joined.freeze()
        };
        self.tail_bytes = 0;
        let number = self.first + self.window.len() as u32;
        self.window.push_back(bytes.clone());
        (number, bytes)
    }

    /// Drops the oldest chunks beyond the window; they are in the store by now.
    fn trim(&mut self) {
        if self.received <= WHOLE_BYTES_MAX {
            return;
        }
        while self.window.len() > WINDOW_CHUNKS {
            self.window.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const SHORT: FailureCode = FailureCode(1);
    const EXCESS: FailureCode = FailureCode(2);

    fn body(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 % 251) as u8).collect()
    }

    /// Reads to the end with a store that keeps every chunk.
    fn read_all(machine: &Machine, store: &HashMap<u32, Bytes>) -> Result<Vec<u8>, FailureCode> {
        let mut seen = Vec::new();
        loop {
            match machine.read(seen.len() as u64) {
                Read::Data(bytes) => seen.extend_from_slice(&bytes),
                Read::Stored { chunk, skip } => seen.extend_from_slice(&store[&chunk][skip..]),
                Read::End => return Ok(seen),
                Read::Failed(code) => return Err(code),
                Read::Wait => panic!("a body that ended lets nobody wait"),
            }
        }
    }

    proptest! {
        #[test]
        fn every_reader_sees_the_body_or_a_failure(
            length in 0_usize..700_000,
            pieces in prop::collection::vec(1_usize..90_000, 1..40),
            declared in prop::option::of(Just(())),
        ) {
            let body = body(length);
            let mut machine = Machine::new(declared.map(|()| length as u64));
            let mut store = HashMap::new();
            let mut rest = Bytes::from(body.clone());
            for size in pieces.iter().cycle() {
                if rest.is_empty() { break }
                let piece = rest.split_to((*size).min(rest.len()));
                store.extend(machine.append(piece, EXCESS));
                prop_assert!(machine.window.len() <= WINDOW_CHUNKS.max(1));
            }
            store.extend(machine.finish(SHORT));
            prop_assert_eq!(read_all(&machine, &store), Ok(body.clone()));
            if let Some(whole) = machine.whole() {
                prop_assert_eq!(whole.concat(), body);
            } else {
                prop_assert_eq!(store.len(), length.div_ceil(CHUNK_BYTES));
            }
        }

        #[test]
        fn a_wrong_length_never_ends_cleanly(declared in 0_u64..200_000, real in 0_usize..200_000) {
            prop_assume!(declared != real as u64);
            let mut machine = Machine::new(Some(declared));
            let mut store: HashMap<u32, Bytes> = machine.append(body(real).into(), EXCESS).into_iter().collect();
            store.extend(machine.finish(SHORT));
            prop_assert!(!machine.complete() && machine.whole().is_none());
            prop_assert!(read_all(&machine, &store).is_err());
        }
    }

    #[test]
    fn a_body_that_comes_byte_by_byte_is_kept_in_few_pieces() {
        let body = body(CHUNK_BYTES - 1);
        let mut machine = Machine::new(None);
        for (at, byte) in body.iter().enumerate() {
            machine.append(Bytes::copy_from_slice(&[*byte]), EXCESS);
            assert_eq!(machine.read(at as u64), Read::Data(Bytes::copy_from_slice(&[*byte])));
            assert!(machine.tail.len() <= 17);
        }
        machine.finish(SHORT);
        assert_eq!(machine.whole().expect("short and complete").concat(), body);
    }

    #[test]
    fn a_failure_shows_after_the_bytes_that_came() {
        let mut machine = Machine::new(None);
        machine.append(Bytes::from_static(b"abc"), EXCESS);
        assert_eq!(machine.read(3), Read::Wait);
        machine.fail(FailureCode(9));
        assert_eq!(machine.read(1), Read::Data(Bytes::from_static(b"bc")));
        assert_eq!(machine.read(3), Read::Failed(FailureCode(9)));
        machine.finish(SHORT);
        assert!(!machine.complete(), "a bad end stays bad");
    }
}
