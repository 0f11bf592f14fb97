//! The directory's memory across restarts: an append-only log and, now and then, a snapshot.
//!
//! Shards put changes into a bounded channel and never wait; one thread of its own writes them
//! in batches. If the channel is full the change is left out and the journal is *dirty*: the
//! thread makes a snapshot, which makes up for everything. So it does when the log has grown to
//! a multiple of the last snapshot, and after a write has failed.
//!
//! A snapshot of generation *g* is written while the log of generation *g* is already growing.
//! It may show a record before or after a change that is in that log: the changes of one record
//! are replayed in their order, so the last one decides either way; and if one was left out,
//! those that came before it are not in that log. Only when the snapshot is
//! whole, synced and renamed are older files removed.
//!
//! Not synced: batches (a directory that is a second old after a loss of power is as good as
//! any, see `recover` beside this file). Synced: snapshots, epochs, and the log at a clean stop.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

mod log;

use self::log::{Log, SnapshotFile};
use super::codec::{self, Header, Kind};
use super::ids::ObjectIds;
use super::recover::{self, EPOCHS_CLAIMED, path_of, write_epoch};
use super::shard::Change;
use super::{Directory, Export, Record, files};
use crate::budget::Budget;
use crate::invalidate::LedgerId;

/// Changes that may wait for the thread: some three megabytes.
const CHANGES_MAX: usize = 16_384;
/// Changes written at once.
const BATCH_MAX: usize = 1_024;
/// Pause after a failed write.
const RETRY: Duration = Duration::from_secs(10);
/// How often the thread looks around when nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// Where the directory is kept.
#[derive(Clone, Debug)]
pub struct Persistence {
    /// The cache directory; its lock is held.
    pub dir: PathBuf,
    /// The ledger that positions in records belong to.
    pub ledger: LedgerId,
}

/// A directory with a journal.
#[derive(Debug)]
pub struct Journalled {
    /// The directory, with its recovered records.
    pub directory: Arc<Directory>,
    /// Records that came back.
    pub warm: usize,
    /// What was not as it should be, for the log.
    pub note: Option<String>,
}

/// Trouble of a journal, counted since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalTroubles {
    /// Changes that found the channel full: a snapshot made up for them.
    pub left_out: u64,
    /// Writes that failed.
    pub failures: u64,
}

/// What a shard says to the thread.
enum Message {
    Put(Box<Record>),
    Gone(u64),
    /// Write what came before, sync, and end.
    Close,
}

/// The shards' end.
#[derive(Debug)]
pub(super) struct Feed {
    changes: SyncSender<Message>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// A change was left out.
    dirty: AtomicBool,
    left_out: AtomicU64,
    failures: AtomicU64,
}

impl Feed {
    /// Puts a change into the channel, or leaves it out and asks for a snapshot.
    pub(super) fn note(&self, change: Change<'_>) {
        let message = match change {
            Change::Put(record) => Message::Put(Box::new(record.clone())),
            Change::Gone(head) => Message::Gone(head),
        };
        if let Err(TrySendError::Full(_)) = self.changes.try_send(message) {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
            self.shared.dirty.store(true, Ordering::Release);
        }
    }

    /// Ends the thread and waits for it.
    pub(super) fn close(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        // If the thread has ended already there is nobody to tell.
        let _ = self.changes.send(Message::Close);
        if thread.join().is_err() {
            tracing::error!("the directory's journal thread died");
        }
    }

    /// What was counted.
    pub(super) fn troubles(&self) -> JournalTroubles {
        JournalTroubles {
            left_out: self.shared.left_out.load(Ordering::Relaxed),
            failures: self.shared.failures.load(Ordering::Relaxed),
        }
    }
}

/// Recovers a directory and starts its journal.
pub(super) fn open(budget: &Budget, persistence: Persistence) -> io::Result<Journalled> {
    let Persistence { dir, ledger } = persistence;
    let mut recovered = recover::recover(&dir, ledger)?;
    let ids = Arc::new(ObjectIds::new(recovered.epoch));
    let (changes, receiver) = sync_channel(CHANGES_MAX);
    let shared = Arc::new(Shared::default());
    let log = Log::open(&dir, ledger, &recovered)?;
    let thread = Mutex::new(None);
    let feed = Feed { changes, shared: shared.clone(), thread };

    // Filled before the journal is attached: what came from the files need not go back.
    let mut directory = Directory::new(budget, ids.clone(), None);
    // In the order of their making, so that the newest variant is found first.
    recovered.records.sort_unstable_by_key(|record| record.head);
    for record in std::mem::take(&mut recovered.records) {
        directory.publish(record, |_| false);
    }
    let warm = directory.len();
    directory.journal = Some(feed);
    let directory = Arc::new(directory);
    let writer = JournalWriter {
        log,
        dir,
        directory: Arc::downgrade(&directory),
        ids,
        shared,
        unclaimed_epoch: recovered.epoch + EPOCHS_CLAIMED,
        retry_at: None,
        snapshot_at: None,
        closing: false,
        batch: Vec::new(),
    };
    let handle = std::thread::Builder::new()
        .name("directory-journal".to_owned())
        .spawn(move || writer.run(&receiver))?;
    if let Some(feed) = &directory.journal {
        *feed.thread.lock() = Some(handle);
    }
    Ok(Journalled { directory, warm, note: recovered.note })
}

/// The thread.
struct JournalWriter {
    log: Log,
    dir: PathBuf,
    directory: Weak<Directory>,
    ids: Arc<ObjectIds>,
    shared: Arc<Shared>,
    /// The first epoch that is not claimed.
    unclaimed_epoch: u64,
    /// A write failed: nothing is written until then, and then a snapshot is made.
    retry_at: Option<Instant>,
    /// When the last snapshot was begun.
    snapshot_at: Option<Instant>,
    /// [`Message::Close`] has come.
    closing: bool,
    batch: Vec<u8>,
}

impl JournalWriter {
    fn run(mut self, changes: &Receiver<Message>) {
        while !self.closing {
            let first = match changes.recv_timeout(TICK) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.write_batch(first.into_iter().chain(changes.try_iter()));
            self.claim_epochs();
            if self.due() {
                self.snapshot(changes);
            }
        }
        // What was left out until the very end has no later chance.
        if self.retry_at.is_some() || self.shared.dirty.load(Ordering::Acquire) {
            self.snapshot(changes);
        }
        if let Err(error) = self.log.file.sync_all() {
            self.failed("sync", &error);
        }
    }

    /// Writes up to a batch.
    fn write_batch(&mut self, messages: impl Iterator<Item = Message>) {
        self.batch.clear();
        for message in messages.take(BATCH_MAX) {
            match message {
                Message::Put(record) => codec::put(&mut self.batch, &record),
                Message::Gone(head) => codec::gone(&mut self.batch, head),
                Message::Close => {
                    self.closing = true;
                    break;
                }
            }
        }
        // While retrying, changes are left to the snapshot that is to come.
        if self.retry_at.is_none()
            && !self.batch.is_empty()
            && let Err(error) = self.log.append(&self.batch)
        {
            self.failed("write", &error);
        }
    }

    fn due(&self) -> bool {
        if let Some(at) = self.retry_at {
            return Instant::now() >= at;
        }
        let lately = self.snapshot_at.is_some_and(|begun| begun.elapsed() < RETRY);
        let dirty = self.shared.dirty.load(Ordering::Acquire);
        (dirty && !lately) || self.log.wants_snapshot()
    }

    /// Begins a new generation. Changes that come meanwhile go to its log.
    fn snapshot(&mut self, changes: &Receiver<Message>) {
        let Some(directory) = self.directory.upgrade() else { return };
        // In this order. A change that is left out from here on asks for another snapshot; those
        // that waited when an earlier one was left out are written before, not after what the
        // snapshot shows: replayed after it, they would undo what was left out.
        self.shared.dirty.store(false, Ordering::Release);
        for _ in 0..CHANGES_MAX.div_ceil(BATCH_MAX) {
            self.write_batch(changes.try_iter());
        }
        self.retry_at = None;
        self.snapshot_at = Some(Instant::now());
        let Log { ledger, epoch, generation, .. } = self.log;
        let generation = generation + 1;
        let aside = path_of(&self.dir, generation, Kind::Snapshot).with_extension("snapshot.new");
        let header = Header { kind: Kind::Snapshot, generation, ledger, epoch };
        match self.try_snapshot(&directory, changes, header, &aside) {
            Ok(()) => self.remove_older(),
            Err(error) => {
                // It may be what fills the disk.
                let _ = fs::remove_file(&aside);
                self.failed("snapshot", &error);
            }
        }
    }

    fn try_snapshot(
        &mut self,
        directory: &Directory,
        changes: &Receiver<Message>,
        header: Header,
        aside: &Path,
    ) -> io::Result<()> {
        let Header { ledger, epoch, generation, .. } = header;
        self.log = Log::begin(&self.dir, ledger, epoch, generation)?;
        let mut snapshot = SnapshotFile::begin(aside, header)?;
        directory.export(|step| match step {
            Export::Record(record) => snapshot.add(record),
            Export::Unlocked => {
                snapshot.write_if_large();
                if !self.closing {
                    self.write_batch(changes.try_iter());
                }
            }
        });
        self.log.snapshot_bytes = snapshot.finish()?;
        let path = path_of(&self.dir, generation, Kind::Snapshot);
        fs::rename(aside, &path)?;
        files::sync_dir_of(&path)
    }

    /// Removes the files of older generations; what cannot be removed is tried again next time.
    fn remove_older(&self) {
        for generation in (1..self.log.generation).rev() {
            let log = fs::remove_file(path_of(&self.dir, generation, Kind::Log));
            let snapshot = fs::remove_file(path_of(&self.dir, generation, Kind::Snapshot));
            if log.is_err() && snapshot.is_err() {
                break;
            }
        }
    }

    /// Claims further epochs while the present one is not the last claimed.
    fn claim_epochs(&mut self) {
        let wanted = self.ids.epoch() + EPOCHS_CLAIMED;
        if wanted <= self.unclaimed_epoch {
            return;
        }
        match write_epoch(&self.dir, wanted) {
            Ok(()) => self.unclaimed_epoch = wanted,
            Err(error) => self.failed("epoch", &error),
        }
    }

    /// One line per failure; failures are at least [`RETRY`] apart.
    fn failed(&mut self, what: &str, error: &io::Error) {
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        self.retry_at = Some(Instant::now() + RETRY);
        tracing::error!(dir = %self.dir.display(), what, %error, "cannot journal the directory");
    }
}

#[cfg(test)]
mod tests;
