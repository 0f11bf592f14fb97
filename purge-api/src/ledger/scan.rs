//! Reading records one after another, and judging how a file ends.
//!
//! kill -9 leaves the short beginning of a record at the end of the file, and nothing after it:
//! that was never acknowledged and is cut. Zeros up to the end are space that was never written.
//! Everything else that is not a whole record that continues the chain may have been an
//! acknowledged purge: the file is damaged, and whoever opens it must start a new ledger.

use std::io;

use selvedge_cache::invalidate::Position;

use super::disk::LogFile;
use super::entry::{Digest, Entry, NewEntry};
use super::frame::{Decoded, decode};

const READ_BYTES: usize = 64 * 1024;

/// A point in a ledger: the last entry before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its position.
    pub position: Position,
    /// Digest up to and with it; `None` when it is not known and the chain is not checked.
    pub digest: Option<Digest>,
}

/// What stands at the reader's place.
#[derive(Debug)]
pub enum Found {
    /// An entry, and the offset at which its record begins.
    Entry(Entry, u64),
    /// The end of the file, cleanly.
    End,
    /// The beginning of a record that was never finished.
    Torn,
    /// Bytes that may have been an acknowledged purge.
    Damaged(String),
}

/// A reader over the records of a file.
pub struct Scan<'f> {
    file: &'f dyn LogFile,
    at: u64,
    end: u64,
    before: Point,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl<'f> Scan<'f> {
    /// Reads records from the offset `at` up to `end`, the first of which follows `before`.
    pub fn new(file: &'f dyn LogFile, at: u64, end: u64, before: Point) -> Self {
        Self { file, at, end, before, buffer: Vec::new(), buffer_at: at }
    }

    /// Where the reader stands: the end of the last whole record.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// The last entry that was read.
    pub const fn point(&self) -> Point {
        self.before
    }

    /// The next entry, or how the file ends.
    pub fn advance(&mut self) -> io::Result<Found> {
        loop {
            let from = (self.at - self.buffer_at) as usize;
            let left = self.end - self.at;
            match decode(&self.buffer[from..]) {
                Decoded::Short(_) if left == 0 => return Ok(Found::End),
                Decoded::Short(need) if need as u64 > left => return Ok(Found::Torn),
                Decoded::Short(need) => self.fill(need)?,
                Decoded::Damaged(why) => {
                    let unwritten = self.rest_is_zero()?;
                    return Ok(if unwritten { Found::Torn } else { self.damaged(why) });
                }
                Decoded::Whole(record, len) => {
                    if record.position.0 != self.before.position.0 + 1 {
                        return Ok(self.damaged("a position is missing or repeated"));
                    }
                    if self
                        .before
                        .digest
                        .is_some_and(|before| record.chain(&before) != record.digest)
                    {
                        return Ok(self.damaged("the running digest does not continue"));
                    }
                    let purge = match NewEntry::from_text(record.accepted, record.text) {
                        Ok(purge) => purge,
                        Err(why) => return Ok(self.damaged(&why)),
                    };
                    let entry = Entry { position: record.position, purge, digest: record.digest };
                    let digest = self.before.digest.map(|_| entry.digest);
                    self.before = Point { position: entry.position, digest };
                    let offset = self.at;
                    self.at += len as u64;
                    return Ok(Found::Entry(entry, offset));
                }
            }
        }
    }

    fn damaged(&self, why: &str) -> Found {
        Found::Damaged(format!(
            "{why} (offset {}, after position {})",
            self.at, self.before.position.0
        ))
    }

    /// Makes at least `need` bytes from the reader's place available; the file has them.
    fn fill(&mut self, need: usize) -> io::Result<()> {
        let want = need.max(READ_BYTES).min((self.end - self.at) as usize);
        self.buffer.drain(..(self.at - self.buffer_at) as usize);
        self.buffer_at = self.at;
        let mut have = self.buffer.len();
        self.buffer.resize(want.max(have), 0);
        while have < self.buffer.len() {
            let got = self.file.read_at(&mut self.buffer[have..], self.at + have as u64)?;
            if got == 0 {
                self.buffer.truncate(have);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the ledger was cut"));
            }
            have += got;
        }
        Ok(())
    }

    fn rest_is_zero(&self) -> io::Result<bool> {
        let mut piece = vec![0; READ_BYTES];
        let mut at = self.at;
        while at < self.end {
            let got = self.file.read_at(&mut piece, at)?;
            if got == 0 || piece[..got].iter().any(|byte| *byte != 0) {
                return Ok(got == 0);
            }
            at += got as u64;
        }
        Ok(true)
    }
}
