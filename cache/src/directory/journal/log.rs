//! The two kinds of files, as they are written.
//!
//! Only whole frames: what a failed write left is cut off again, as a torn frame hides all that
//! follows it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::super::Record;
use super::super::codec::{self, Header, Kind};
use super::super::recover::{Recovered, path_of};
use crate::invalidate::LedgerId;

/// Bytes of a snapshot that are written at once.
const PIECE_BYTES: usize = 256 * 1024;
/// A log shorter than this is not worth a snapshot (tests do not write so much).
const LOG_BYTES_MIN: u64 = if cfg!(test) { 64 << 10 } else { 16 << 20 };
/// A log this many times as long as the snapshot before it is.
const LOG_FACTOR: u64 = 2;

/// The log that is being written.
pub(super) struct Log {
    pub(super) file: File,
    pub(super) ledger: LedgerId,
    pub(super) epoch: u64,
    pub(super) generation: u64,
    pub(super) bytes: u64,
    pub(super) snapshot_bytes: u64,
}

impl Log {
    /// Continues the newest log, or begins one.
    pub(super) fn open(dir: &Path, ledger: LedgerId, recovered: &Recovered) -> io::Result<Self> {
        let Recovered { epoch, generation, snapshot_bytes, .. } = *recovered;
        if let Some((path, bytes)) = &recovered.log {
            let file = OpenOptions::new().append(true).open(path)?;
            return Ok(Self { file, ledger, epoch, generation, bytes: *bytes, snapshot_bytes });
        }
        let mut log = Self::begin(dir, ledger, epoch, generation.max(1))?;
        log.snapshot_bytes = snapshot_bytes;
        Ok(log)
    }

    pub(super) fn begin(
        dir: &Path,
        ledger: LedgerId,
        epoch: u64,
        generation: u64,
    ) -> io::Result<Self> {
        let header = Header { kind: Kind::Log, generation, ledger, epoch }.encode();
        let path = path_of(dir, generation, Kind::Log);
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.set_len(0)?;
        file.write_all(&header)?;
        let bytes = header.len() as u64;
        Ok(Self { file, ledger, epoch, generation, bytes, snapshot_bytes: 0 })
    }

    /// Appends whole frames; after an error nothing of them stays.
    pub(super) fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(frames) {
            // A torn frame in the middle would hide all that follows it.
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += frames.len() as u64;
        Ok(())
    }

    pub(super) fn wants_snapshot(&self) -> bool {
        self.bytes > LOG_BYTES_MIN.max(LOG_FACTOR * self.snapshot_bytes)
    }
}

/// A snapshot that is being written; the first error is kept for the end.
pub(super) struct SnapshotFile {
    pub(super) file: File,
    piece: Vec<u8>,
    count: u64,
    pub(super) bytes: u64,
    error: Option<io::Error>,
}

impl SnapshotFile {
    pub(super) fn begin(path: &Path, header: Header) -> io::Result<Self> {
        let piece = header.encode().to_vec();
        Ok(Self { file: File::create(path)?, piece, count: 0, bytes: 0, error: None })
    }

    pub(super) fn add(&mut self, record: &Record) {
        codec::put(&mut self.piece, record);
        self.count += 1;
    }

    pub(super) fn write_if_large(&mut self) {
        if self.piece.len() >= PIECE_BYTES {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.error.is_none() {
            self.error = self.file.write_all(&self.piece).err();
        }
        self.bytes += self.piece.len() as u64;
        self.piece.clear();
    }

    pub(super) fn finish(mut self) -> io::Result<u64> {
        codec::end(&mut self.piece, self.count);
        self.write();
        match self.error {
            Some(error) => Err(error),
            None => self.file.sync_all().map(|()| self.bytes),
        }
    }
}
