//! The ledger's file: append, make durable, read, rewrite.
//!
//! Without threads and without the live map. The one hard rule is about `fsync`: when it fails,
//! the kernel may have dropped the pages and the next call may claim success, so it is never
//! asked again about the same file. The file counts as *poisoned*; everything durable and
//! everything in doubt is written into a new file ([`Log::rewrite`]), which takes its name. The
//! same operation compacts.

use std::io;

use selvedge_cache::invalidate::{LedgerId, Position};

use super::disk::{LogDir, LogFile};
use super::entry::{Digest, Entry, NewEntry};
use super::frame::{HEADER_BYTES, Header, Record};
use super::scan::{Found, Point, Scan};

/// Name of the ledger's file.
pub const NAME: &str = "purges.ledger";
/// The file that is being written to take its place.
pub const NEW: &str = "purges.ledger.new";
/// Most bytes that one commit appends; so many at the end of a file can be in doubt.
pub const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Every so many entries the offset of one is remembered.
const INDEX_STRIDE: u64 = 64;

/// The open file.
pub struct Log {
    pub(super) dir: Box<dyn LogDir>,
    pub(super) file: Box<dyn LogFile>,
    pub(super) header: Header,
    /// The last durable entry.
    pub(super) tail: Tail,
    /// Offset behind the last durable entry.
    pub(super) end: u64,
    pub(super) index: Index,
    /// Appended, but `fsync` failed; their positions are taken.
    doubts: Vec<Entry>,
    poisoned: bool,
}

/// Position and digest of the last durable entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Position.
    pub position: Position,
    /// Digest.
    pub digest: Digest,
}

/// Why a batch was not made durable.
#[derive(Debug)]
pub enum AppendFailure {
    /// Nothing was appended; the file is as it was.
    Refused(io::Error),
    /// The entries may or may not be in the file; they come back with the next rewrite.
    InDoubt(io::Error, Vec<Entry>),
}

impl Log {
    /// A log over a file that was checked.
    pub(super) fn over(
        dir: Box<dyn LogDir>,
        file: Box<dyn LogFile>,
        header: Header,
        tail: Tail,
        end: u64,
        index: Index,
    ) -> Self {
        Self { dir, file, header, tail, end, index, doubts: Vec::new(), poisoned: false }
    }

    /// Identity of the ledger.
    pub fn ledger(&self) -> LedgerId {
        self.header.ledger
    }

    /// Entries up to here are gone.
    pub fn floor(&self) -> Position {
        self.header.floor
    }

    /// The last durable entry.
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// Length of the durable part, in bytes.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// Whether the file must be written anew before anything is appended.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Whether at least half of the entries would go: so that an entry is copied once or twice in
    /// its life, however often somebody asks for a compaction.
    pub fn is_worth_rewriting(&self, floor: Position) -> bool {
        let floor = floor.clamp(self.header.floor, self.tail.position);
        let gone = floor.0 - self.header.floor.0;
        gone > 0 && gone * 2 >= self.tail.position.0 - self.header.floor.0
    }

    /// Appends `batch` and makes it durable with one `fsync`.
    pub fn append(&mut self, batch: &[NewEntry]) -> Result<Vec<Entry>, AppendFailure> {
        assert!(!self.poisoned, "the keeper rewrites a poisoned file before it appends");
        let mut tail = self.tail;
        let mut bytes = Vec::new();
        let mut index = Index::default();
        let mut entries = Vec::with_capacity(batch.len());
        for purge in batch {
            let offset = self.end + bytes.len() as u64;
            let entry = tail.follow(purge, &mut bytes);
            index.note(entry.position, offset);
            entries.push(entry);
        }
        if let Err(why) = self.file.write_all_at(&bytes, self.end) {
            return Err(match self.file.cut(self.end) {
                Ok(()) => AppendFailure::Refused(why),
                Err(_) => self.doubt(why, entries),
            });
        }
        if let Err(why) = self.file.sync() {
            return Err(self.doubt(why, entries));
        }
        self.tail = tail;
        self.end += bytes.len() as u64;
        self.index.0.append(&mut index.0);
        Ok(entries)
    }

    fn doubt(&mut self, why: io::Error, entries: Vec<Entry>) -> AppendFailure {
        self.poisoned = true;
        self.doubts.clone_from(&entries);
        AppendFailure::InDoubt(why, entries)
    }

    /// Writes a new file that begins behind `floor` and holds every later entry and those in
    /// doubt, which are then durable and returned. When it fails the log is as poisoned as before.
    pub fn rewrite(&mut self, floor: Position) -> io::Result<Vec<Entry>> {
        let floor = floor.clamp(self.header.floor, self.tail.position);
        let floor_digest = self.digest_at(floor)?;
        let header = Header { ledger: self.header.ledger, floor, floor_digest };
        let file = self.dir.create(NEW)?;
        let mut out = Copy { file: &*file, at: 0, bytes: header.encode().to_vec() };
        let mut index = Index::default();
        let mut tail = Tail { position: floor, digest: floor_digest };
        let mut scan = self.scan_after(floor, Some(floor_digest))?;
        while let Some(entry) = entry_of(scan.advance()?)? {
            index.note(entry.position, out.offset());
            entry_again(&mut tail, &entry, &mut out)?;
        }
        debug_assert_eq!(tail, self.tail, "the copy ends where the original does");
        out.flush()?;
        let (durable_tail, durable_end) = (tail, out.at);
        let mut doubts_index = Index::default();
        for entry in &self.doubts {
            doubts_index.note(entry.position, out.offset());
            entry_again(&mut tail, entry, &mut out)?;
        }
        out.flush()?;
        let end = out.at;
        file.sync()?;
        self.dir.rename(NEW, NAME)?;
        // The name leads to the new file now, whether the next call succeeds or not.
        (self.file, self.header, self.index) = (file, header, index);
        (self.tail, self.end) = (durable_tail, durable_end);
        self.poisoned = true;
        self.dir.sync()?;
        self.poisoned = false;
        (self.tail, self.end) = (tail, end);
        self.index.0.append(&mut doubts_index.0);
        Ok(std::mem::take(&mut self.doubts))
    }

    /// The durable entries after `after`, at most `count_max` and about `bytes_max` of text.
    pub fn page(
        &self,
        after: Position,
        count_max: usize,
        bytes_max: usize,
    ) -> io::Result<Vec<Entry>> {
        let mut scan = self.scan_after(after.max(self.header.floor), None)?;
        let from = scan.at();
        let mut entries = Vec::new();
        while entries.len() < count_max && scan.at() - from < bytes_max as u64 {
            let Some(entry) = entry_of(scan.advance()?)? else { break };
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Calls `each` with every durable entry, in order.
    pub fn replay(&self, mut each: impl FnMut(&Entry)) -> io::Result<()> {
        let mut scan = self.scan_after(self.header.floor, Some(self.header.floor_digest))?;
        while let Some(entry) = entry_of(scan.advance()?)? {
            each(&entry);
        }
        Ok(())
    }

    fn digest_at(&self, position: Position) -> io::Result<Digest> {
        if position == self.header.floor {
            return Ok(self.header.floor_digest);
        }
        let before = Position(position.0 - 1);
        let entry = self.page(before, 1, usize::MAX)?.pop();
        Ok(entry.ok_or_else(|| damaged("the entry at the new floor is missing"))?.digest)
    }

    /// A reader that stands behind `after`, which is not below the floor.
    fn scan_after(&self, after: Position, digest: Option<Digest>) -> io::Result<Scan<'_>> {
        let (before, offset) = self.index.at_or_below(after, self.header.floor);
        let start = Point { position: before, digest: digest.filter(|_| before == after) };
        let mut scan = Scan::new(&*self.file, offset, self.end, start);
        while scan.point().position < after {
            if entry_of(scan.advance()?)?.is_none() {
                break;
            }
        }
        Ok(scan)
    }
}

impl Tail {
    /// Encodes `purge` as the entry after this tail, and moves the tail to it.
    fn follow(&mut self, purge: &NewEntry, out: &mut Vec<u8>) -> Entry {
        let text = purge.to_text();
        let position = Position(self.position.0 + 1);
        let mut record =
            Record { position, accepted: purge.accepted, digest: self.digest, text: &text };
        record.digest = record.chain(&self.digest);
        record.encode(out);
        *self = Self { position, digest: record.digest };
        Entry { position, purge: purge.clone(), digest: record.digest }
    }
}

fn entry_again(tail: &mut Tail, entry: &Entry, out: &mut Copy<'_>) -> io::Result<()> {
    let again = tail.follow(&entry.purge, &mut out.bytes);
    if again != *entry {
        return Err(damaged("an entry changed while it was copied"));
    }
    if out.bytes.len() >= COPY_BYTES { out.flush() } else { Ok(()) }
}

/// The entry that was found; `None` at the end. Inside the durable part nothing else may be.
pub(super) fn entry_of(found: Found) -> io::Result<Option<Entry>> {
    match found {
        Found::Entry(entry, _) => Ok(Some(entry)),
        Found::End => Ok(None),
        Found::Torn => Err(damaged("a record ends before its end")),
        Found::Damaged(why) => Err(damaged(&why)),
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the purge ledger is damaged: {why}"))
}

const COPY_BYTES: usize = 1024 * 1024;

/// Bytes on their way into a new file.
struct Copy<'f> {
    file: &'f dyn LogFile,
    at: u64,
    bytes: Vec<u8>,
}

impl Copy<'_> {
    fn offset(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.bytes, self.at)?;
        self.at += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }
}

/// Offsets of every 64th entry: enough to find any with a short read, at 16 bytes for 64 entries.
#[derive(Debug, Default)]
pub struct Index(Vec<(Position, u64)>);

impl Index {
    /// Remembers where an entry stands; entries come in order.
    pub fn note(&mut self, position: Position, offset: u64) {
        if position.0.is_multiple_of(INDEX_STRIDE) {
            self.0.push((position, offset));
        }
    }

    /// A position at or below `after`, and the offset at which the entry behind it begins.
    fn at_or_below(&self, after: Position, floor: Position) -> (Position, u64) {
        let count = self.0.partition_point(|(position, _)| position.0 <= after.0 + 1);
        match count.checked_sub(1).map(|last| self.0[last]) {
            Some((position, offset)) => (Position(position.0 - 1), offset),
            None => (floor, HEADER_BYTES as u64),
        }
    }
}
