//! Opening a ledger that a process left behind, however it ended.

use std::io;

use selvedge_cache::invalidate::{LedgerId, Position};

use super::disk::{LogDir, LogFile};
use super::frame::{HEADER_BYTES, Header};
use super::log::{COMMIT_BYTES_MAX, Index, Log, NAME, NEW, Tail};
use super::scan::{Found, Point, Scan};

/// Name under which a damaged ledger is kept for people to look at; only the last one is kept.
pub const ASIDE: &str = "purges.ledger.damaged";

/// What was found when a ledger was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// There was none: a new ledger begins.
    New,
    /// The ledger continues.
    Continued {
        /// Entries in the file.
        entries: u64,
        /// Bytes of an unfinished record that were cut; its purge was never acknowledged.
        cut_bytes: u64,
    },
    /// The ledger could not be trusted. A new one begins; whatever was stored under the old
    /// id is unusable.
    SetAside {
        /// What was wrong.
        why: String,
    },
}

impl Log {
    /// Opens the ledger in `dir`, or begins one. `fresh` draws the identity of a new ledger.
    pub fn open(
        dir: Box<dyn LogDir>,
        fresh: impl FnOnce() -> io::Result<LedgerId>,
    ) -> io::Result<(Self, Note)> {
        let Some(file) = dir.open(NAME)? else {
            return Ok((Self::begin(dir, fresh()?)?, Note::New));
        };
        match check(&*file)? {
            Ok(Checked { header, tail, end, index }) => {
                let cut_bytes = file.bytes()? - end;
                settle(&*file, end, cut_bytes)?;
                dir.sync()?;
                let entries = tail.position.0 - header.floor.0;
                let log = Self::over(dir, file, header, tail, end, index);
                Ok((log, Note::Continued { entries, cut_bytes }))
            }
            Err(why) => {
                drop(file);
                let ledger = fresh()?;
                dir.rename(NAME, ASIDE)?;
                Ok((Self::begin(dir, ledger)?, Note::SetAside { why }))
            }
        }
    }

    fn begin(dir: Box<dyn LogDir>, ledger: LedgerId) -> io::Result<Self> {
        let header = Header { ledger, floor: Position(0), floor_digest: [0; 32] };
        let file = dir.create(NEW)?;
        file.write_all_at(&header.encode(), 0)?;
        file.sync()?;
        dir.rename(NEW, NAME)?;
        dir.sync()?;
        let tail = Tail { position: header.floor, digest: header.floor_digest };
        Ok(Self::over(dir, file, header, tail, HEADER_BYTES as u64, Index::default()))
    }
}

struct Checked {
    header: Header,
    tail: Tail,
    end: u64,
    index: Index,
}

/// Reads the whole file; the inner error says what is damaged.
fn check(file: &dyn LogFile) -> io::Result<Result<Checked, String>> {
    let len = file.bytes()?;
    let mut bytes = [0; HEADER_BYTES];
    let mut have = 0;
    while have < HEADER_BYTES {
        match file.read_at(&mut bytes[have..], have as u64)? {
            0 => return Ok(Err("it is shorter than its header".to_owned())),
            got => have += got,
        }
    }
    let header = match Header::decode(&bytes) {
        Ok(header) => header,
        Err(why) => return Ok(Err(why.to_owned())),
    };
    let mut index = Index::default();
    let mut tail = Tail { position: header.floor, digest: header.floor_digest };
    let start = Point { position: header.floor, digest: Some(header.floor_digest) };
    let mut scan = Scan::new(file, HEADER_BYTES as u64, len, start);
    loop {
        match scan.advance()? {
            Found::Entry(entry, offset) => {
                index.note(entry.position, offset);
                tail = Tail { position: entry.position, digest: entry.digest };
            }
            Found::End | Found::Torn => {
                return Ok(Ok(Checked { header, tail, end: scan.at(), index }));
            }
            Found::Damaged(why) => return Ok(Err(why)),
        }
    }
}

/// Cuts what was never finished and makes the rest durable.
///
/// The records of the last commit may stand in the page cache only, and the process before may
/// have met an `fsync` error about them, after which another `fsync` proves nothing. Written
/// again they are dirty again, and this `fsync` speaks for them.
fn settle(file: &dyn LogFile, end: u64, cut_bytes: u64) -> io::Result<()> {
    if cut_bytes > 0 {
        file.cut(end)?;
    }
    let from = end.saturating_sub(COMMIT_BYTES_MAX as u64);
    let mut bytes = vec![0; (end - from) as usize];
    let mut have = 0;
    while have < bytes.len() {
        match file.read_at(&mut bytes[have..], from + have as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            got => have += got,
        }
    }
    file.write_all_at(&bytes, from)?;
    file.sync()
}
