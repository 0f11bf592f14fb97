//! What the directory knew before the restart.
//!
//! The newest snapshot, then the logs from its generation on. A log may end in the middle of a
//! frame (the process was killed, the power failed): the torn tail is cut off. Anything else
//! that is wrong means that the files are not to be believed: they are set aside as
//! `.damaged-N` and the directory begins empty, as it does under another ledger, whose purge
//! positions do not compare with the recorded ones.
//!
//! A record that should have been forgotten can come back (its last event was cut off); it then
//! names its own old bytes, as ids are never reused, and its position in the ledger is compared
//! as always.
//!
//! Epochs: the file `epoch` holds the first one that nobody has claimed. It is replaced, and
//! synced, before any id of the claimed epochs is given out. Should it be lost, epochs made
//! from the wall clock are beyond any that were counted up.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::codec::{self, Event, HEADER_BYTES, Header, Kind, Unreadable};
use super::{Record, files, ids};
use crate::Millis;
use crate::invalidate::LedgerId;

/// Damaged files kept for inspection; further ones are removed.
const DAMAGED_MAX: usize = 8;

/// Epochs claimed at a time: ids may run over into the second while the journal claims more.
pub(super) const EPOCHS_CLAIMED: u64 = 2;

/// 2026-01-01, in seconds since 1970.
const WALL_ORIGIN_S: u64 = 1_767_225_600;
/// One epoch per 256 s of wall clock: more than two starts in that time do not happen for long.
const WALL_EPOCH_S: u64 = 256;
/// A clock that is wrong by decades must not use up all epochs.
const WALL_EPOCHS_MAX: u64 = ids::EPOCHS_MAX / 2;

/// What was found.
#[derive(Debug)]
pub struct Recovered {
    /// The records, in no order.
    pub records: Vec<Record>,
    /// The boot epoch, claimed for this process alone.
    pub epoch: u64,
    /// What was not as it should be, for the log.
    pub note: Option<String>,
    /// Generation of the newest file that was used; 0 without any.
    pub(super) generation: u64,
    /// The newest log and its length: it is continued.
    pub(super) log: Option<(PathBuf, u64)>,
    /// Length of the newest snapshot.
    pub(super) snapshot_bytes: u64,
}

/// Reads what is in `dir`, cuts torn tails, sets damaged files aside and claims an epoch. An
/// error means that no epoch could be claimed.
pub fn recover(dir: &Path, ledger: LedgerId) -> io::Result<Recovered> {
    let wall_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    recover_at(dir, ledger, wall_s)
}

pub(super) fn recover_at(dir: &Path, ledger: LedgerId, wall_s: u64) -> io::Result<Recovered> {
    let files = list(dir)?;
    let mut epoch_seen = 0;
    let (found, note) = match read_all(&files, ledger, &mut epoch_seen) {
        Ok(found) => found,
        Err(trouble) => {
            clear(&files, &trouble)?;
            (Found::default(), Some(format!("{trouble}; beginning empty")))
        }
    };
    let epoch = claim_epoch(dir, epoch_seen, wall_s)?;
    Ok(Recovered {
        records: found.records.into_values().map(|record| resumed(record, wall_s)).collect(),
        epoch,
        note,
        generation: found.generation,
        log: found.log,
        snapshot_bytes: found.snapshot_bytes,
    })
}

/// A record as this process may believe it.
fn resumed(mut record: Record, wall_s: u64) -> Record {
    // Compared with the ledger under the key rules of another process: compared anew.
    record.checked = record.sent;
    let now = Millis(wall_s.saturating_mul(1000).saturating_add(999));
    if record.fresh.received > now {
        // The wall clock went back in between: its age cannot be told, so it counts as stale.
        record.fresh.received = now;
        record.stale_since = Millis(0);
    }
    record
}

/// Why the files are not used.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the purge ledger is not the one of the recorded directory")]
    OtherLedger,
    #[error("{} is {why}", .path.display())]
    Bad { path: PathBuf, why: &'static str },
    #[error("cannot read {}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

#[derive(Default)]
struct Found {
    records: HashMap<u64, Record>,
    generation: u64,
    log: Option<(PathBuf, u64)>,
    snapshot_bytes: u64,
}

/// One file of the directory.
#[derive(Debug)]
struct Listed {
    generation: u64,
    kind: Kind,
    path: PathBuf,
}

/// Path of a file.
pub(super) fn path_of(dir: &Path, generation: u64, kind: Kind) -> PathBuf {
    dir.join(format!("directory-{generation:08}.{}", extension(kind)))
}

const fn extension(kind: Kind) -> &'static str {
    match kind {
        Kind::Snapshot => "snapshot",
        Kind::Log => "log",
    }
}

/// The files, by generation, each snapshot before the log of its generation. Half-made
/// snapshots are removed.
fn list(dir: &Path) -> io::Result<Vec<Listed>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some((generation, kind)) =
            name.strip_prefix("directory-").and_then(|name| name.split_once('.'))
        else {
            continue;
        };
        let Ok(generation) = generation.parse() else { continue };
        let kind = match kind {
            "snapshot" => Kind::Snapshot,
            "log" => Kind::Log,
            "snapshot.new" => {
                fs::remove_file(&path)?;
                continue;
            }
            _ => continue,
        };
        files.push(Listed { generation, kind, path });
    }
    files.sort_by_key(|file| (file.generation, file.kind == Kind::Log));
    Ok(files)
}

fn read_all(
    files: &[Listed],
    ledger: LedgerId,
    epoch_seen: &mut u64,
) -> Result<(Found, Option<String>), Trouble> {
    let mut found = Found::default();
    let mut notes = Vec::new();
    let snapshot = files.iter().rposition(|file| file.kind == Kind::Snapshot);
    // Logs older than the snapshot are in it.
    let used = &files[snapshot.unwrap_or(0)..];
    let mut expected = used
        .first()
        .map_or(1, |first| if first.kind == Kind::Snapshot { first.generation } else { 1 });
    for (index, file) in used.iter().enumerate() {
        let mut reader = Reader::open(&file.path)?;
        let header = match reader.header() {
            Ok(header) => header,
            // A log whose making was interrupted: nothing was in it yet.
            Err(Unreadable::Short) if file.kind == Kind::Log && index + 1 == used.len() => {
                fs::remove_file(&file.path).map_err(|error| io_trouble(&file.path, error))?;
                continue;
            }
            Err(why) => return Err(bad(&file.path, why)),
        };
        *epoch_seen = header.epoch.max(*epoch_seen);
        if header.ledger != ledger {
            return Err(Trouble::OtherLedger);
        }
        let right = header.kind == file.kind && header.generation == file.generation;
        if !right || file.generation != expected {
            return Err(Trouble::Bad { path: file.path.clone(), why: "out of order" });
        }
        match file.kind {
            Kind::Snapshot => {
                read_snapshot(&mut reader, &mut found, epoch_seen)?;
                found.snapshot_bytes = reader.at;
                found.generation = file.generation;
            }
            Kind::Log => {
                let torn = read_log(&mut reader, &mut found, epoch_seen)?;
                if torn > 0 {
                    cut(&file.path, reader.at)?;
                    notes.push(format!("cut {torn} torn bytes off {}", file.path.display()));
                }
                found.log = Some((file.path.clone(), reader.at));
                found.generation = file.generation;
                expected += 1;
            }
        }
    }
    Ok((found, (!notes.is_empty()).then(|| notes.join("; "))))
}

fn read_snapshot(
    reader: &mut Reader,
    found: &mut Found,
    epoch_seen: &mut u64,
) -> Result<(), Trouble> {
    loop {
        match reader.event()? {
            Some(Ok(Event::End(count))) if count == found.records.len() as u64 => return Ok(()),
            Some(Ok(Event::Put(record))) => apply_put(*record, found, epoch_seen),
            Some(Err(why)) => return Err(bad(&reader.path, why)),
            Some(Ok(_)) | None => return Err(bad(&reader.path, Unreadable::Damaged)),
        }
    }
}

/// Applies what is whole; returns how many bytes follow that are not.
fn read_log(reader: &mut Reader, found: &mut Found, epoch_seen: &mut u64) -> Result<u64, Trouble> {
    loop {
        match reader.event()? {
            None => return Ok(0),
            Some(Ok(Event::Put(record))) => apply_put(*record, found, epoch_seen),
            Some(Ok(Event::Gone(head))) => {
                found.records.remove(&head);
            }
            Some(Ok(Event::End(_)) | Err(_)) => return reader.left(),
        }
    }
}

fn apply_put(record: Record, found: &mut Found, epoch_seen: &mut u64) {
    let epoch = ids::epoch_of(record.head.max(record.body));
    *epoch_seen = epoch.max(*epoch_seen);
    found.records.insert(record.head, record);
}

fn bad(path: &Path, why: Unreadable) -> Trouble {
    let why = match why {
        Unreadable::Short | Unreadable::Damaged => "damaged",
        Unreadable::Foreign => "not a file of this version",
    };
    Trouble::Bad { path: path.to_owned(), why }
}

fn io_trouble(path: &Path, error: io::Error) -> Trouble {
    Trouble::Io { path: path.to_owned(), error }
}

fn cut(path: &Path, length: u64) -> Result<(), Trouble> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| file.set_len(length))
        .map_err(|error| io_trouble(path, error))
}

/// Makes room for new files: removes those of another ledger, sets others aside.
fn clear(files: &[Listed], trouble: &Trouble) -> io::Result<()> {
    for Listed { path, .. } in files {
        let aside = (1..=DAMAGED_MAX)
            .map(|number| {
                let mut name = path.clone().into_os_string();
                name.push(format!(".damaged-{number}"));
                PathBuf::from(name)
            })
            .find(|aside| !aside.exists());
        let keep = !matches!(trouble, Trouble::OtherLedger);
        let done = match aside.filter(|_| keep) {
            Some(aside) => fs::rename(path, aside),
            None => fs::remove_file(path),
        };
        if let Err(error) = done
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
    }
    Ok(())
}

/// Claims [`EPOCHS_CLAIMED`] epochs beyond all that were seen or recorded.
fn claim_epoch(dir: &Path, seen: u64, wall_s: u64) -> io::Result<u64> {
    let from_wall = (wall_s.saturating_sub(WALL_ORIGIN_S) / WALL_EPOCH_S).min(WALL_EPOCHS_MAX);
    let recorded = read_epoch(dir);
    let after_seen = if seen == 0 { 1 } else { seen + EPOCHS_CLAIMED };
    let epoch = match recorded {
        Some(unclaimed) => unclaimed.max(after_seen),
        None => from_wall.max(after_seen),
    };
    write_epoch(dir, epoch + EPOCHS_CLAIMED)?;
    Ok(epoch)
}

fn read_epoch(dir: &Path) -> Option<u64> {
    let bytes = fs::read(dir.join("epoch")).ok()?;
    let (epoch, crc) = (bytes.first_chunk::<8>()?, bytes.get(8..)?);
    (crc == crc32fast::hash(epoch).to_le_bytes()).then(|| u64::from_le_bytes(*epoch))
}

/// Records that epochs below `unclaimed` are taken; durable when it returns.
pub(super) fn write_epoch(dir: &Path, unclaimed: u64) -> io::Result<()> {
    if unclaimed > ids::EPOCHS_MAX {
        return Err(io::Error::other("object ids are used up; empty the cache directory"));
    }
    let epoch = unclaimed.to_le_bytes();
    let content = [&epoch[..], &crc32fast::hash(&epoch).to_le_bytes()].concat();
    files::replace(&dir.join("epoch"), &content)
}

/// Reads events from a file, a piece at a time.
struct Reader {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    start: usize,
    /// Bytes of the file that were understood.
    at: u64,
    ended: bool,
}

impl Reader {
    const PIECE_BYTES: usize = 256 * 1024;

    fn open(path: &Path) -> Result<Self, Trouble> {
        let file = File::open(path).map_err(|error| io_trouble(path, error))?;
        let path = path.to_owned();
        Ok(Self { path, file, buffer: Vec::new(), start: 0, at: 0, ended: false })
    }

    fn header(&mut self) -> Result<Header, Unreadable> {
        while self.buffer.len() < HEADER_BYTES && !self.ended {
            self.fill().map_err(|_| Unreadable::Damaged)?;
        }
        let header = Header::decode(&self.buffer)?;
        self.advance(HEADER_BYTES);
        Ok(header)
    }

    /// The next event; `None` at a clean end of the file.
    fn event(&mut self) -> Result<Option<Result<Event, Unreadable>>, Trouble> {
        loop {
            match codec::next(&self.buffer[self.start..]) {
                Ok((event, length)) => {
                    self.advance(length);
                    return Ok(Some(Ok(event)));
                }
                Err(Unreadable::Short) if !self.ended => {
                    self.fill().map_err(|error| io_trouble(&self.path, error))?;
                }
                Err(Unreadable::Short) if self.start == self.buffer.len() => return Ok(None),
                Err(why) => return Ok(Some(Err(why))),
            }
        }
    }

    /// Bytes of the file after what was understood.
    fn left(&self) -> Result<u64, Trouble> {
        let meta = self.file.metadata().map_err(|error| io_trouble(&self.path, error))?;
        Ok(meta.len().saturating_sub(self.at))
    }

    fn advance(&mut self, length: usize) {
        self.start += length;
        self.at += length as u64;
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let limit = Self::PIECE_BYTES as u64;
        let read = (&mut self.file).take(limit).read_to_end(&mut self.buffer)?;
        self.ended = read == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
