//! The ledger: an append-only, totally ordered, durable log of purges.
//!
//! Entries are selectors as they were written; what they select is derived from them, into the
//! live map ([`selvedge_cache::invalidate::Live`]). An entry is *in force* when it is on stable
//! storage **and** in the live map, in ledger order; only then is it acknowledged. Positions are
//! never reused: no fetch ever carried one as its watermark that was not in force.
//!
//! The ledger knows neither HTTP nor other nodes, and not what an entry does to a stored response.
//!
//! Reading order: [`entry`], [`frame`] (bytes), [`disk`] (what is needed of a file system),
//! [`scan`], [`recover`], [`log`] (append and rewrite), `keeper` (the thread), [`repeat`].

pub mod disk;
pub mod entry;
#[cfg(test)]
mod faulty;
pub mod frame;
mod keeper;
pub mod log;
pub mod recover;
pub mod repeat;
pub mod scan;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use selvedge_cache::invalidate::{LedgerId, Live, Position};
use tokio::sync::oneshot;

pub use entry::{Entry, NewEntry};
pub use recover::Note;

use disk::{HeapDir, LogDir, RealDir};
use keeper::{Command, Keeper, Waiting};
use log::Log;
use repeat::Repeats;

use crate::selector::KeyRules;

/// Most purges that wait for the thread; one more is refused.
pub const QUEUE_MAX: usize = 4096;

/// Bounds of a ledger. Beyond one of them the older half of the entries is compacted away, and
/// what was fetched before counts as purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest file, in bytes.
    pub file_bytes_max: u64,
    /// Most scopes in the live map, at about 64 bytes each.
    pub scopes_max: usize,
}

impl Limits {
    /// For a ledger on disk.
    pub const DISK: Self = Self { file_bytes_max: 1024 * 1024 * 1024, scopes_max: 1_000_000 };
    /// For a ledger in memory.
    pub const MEMORY: Self = Self { file_bytes_max: 16 * 1024 * 1024, scopes_max: 1_000_000 };
}

/// A purge in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place.
    pub position: Position,
    /// A retry of a purge that was in force already.
    pub repeated: bool,
}

/// Why a purge is not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// [`QUEUE_MAX`] purges wait already.
    #[error("too many purges wait for the ledger")]
    Busy,
    /// The ledger was closed, or its thread died.
    #[error("the ledger is closed")]
    Stopped,
    /// It was not made durable. It may be in force later all the same.
    #[error("the purge was not made durable: {0}")]
    Disk(String),
    /// The idempotency key was used for another purge.
    #[error("this idempotency key was used for another purge")]
    KeyReused,
    /// Longer than a record can be.
    #[error("the purge is too long for the ledger")]
    TooLong,
}

/// An open ledger, what it is worth, and its live form.
#[derive(Debug)]
pub struct Opened {
    /// The ledger; its thread runs.
    pub ledger: Arc<Ledger>,
    /// Its live form, with every entry of the file in force.
    pub live: Arc<Live>,
    /// What was found.
    pub note: Note,
}

/// Numbers for the status page and for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerStatus {
    /// Identity.
    pub ledger: LedgerId,
    /// Highest position in force.
    pub position: Position,
    /// Entries up to here are gone.
    pub floor: Position,
    /// Length of the file, in bytes.
    pub bytes: u64,
    /// Commits, each with one `fsync`.
    pub commits: u64,
    /// Commits that failed.
    pub failures: u64,
    /// Scopes in the live map.
    pub scopes: usize,
    /// Purges are taken now.
    pub is_healthy: bool,
    /// Purges outlive the process: the ledger is on a disk.
    pub is_durable: bool,
}

/// Numbers that the thread publishes.
#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicU64,
    commits: AtomicU64,
    failures: AtomicU64,
    is_poisoned: AtomicBool,
}

/// The handle of a ledger. Dropping it ends the thread once the queue is empty.
#[derive(Debug)]
pub struct Ledger {
    commands: SyncSender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
    live: Arc<Live>,
    shared: Arc<Shared>,
    is_durable: bool,
}

impl Ledger {
    /// Opens the ledger in a directory, or begins one. Fails with `WouldBlock` when another
    /// process holds it. Reads the whole file: call it before the node serves.
    pub fn open(dir: &Path, rules: Arc<dyn KeyRules>, limits: Limits) -> io::Result<Opened> {
        let dir = RealDir::open(dir)?;
        Self::start(Box::new(dir), random_id, rules, limits)
    }

    /// A ledger for a node without a disk: it lasts for the life of the process.
    pub fn memory(rules: Arc<dyn KeyRules>, limits: Limits) -> io::Result<Opened> {
        Self::start(Box::new(HeapDir::default()), random_id, rules, limits)
    }

    /// Opens a ledger in whatever is like a directory; `fresh` draws the identity of a new one.
    pub fn start(
        dir: Box<dyn LogDir>,
        fresh: impl FnOnce() -> io::Result<LedgerId>,
        rules: Arc<dyn KeyRules>,
        limits: Limits,
    ) -> io::Result<Opened> {
        let is_durable = dir.is_durable();
        let (log, note) = Log::open(dir, fresh)?;
        match &note {
            Note::SetAside { why } => tracing::error!(
                %why, kept_as = recover::ASIDE,
                "the purge ledger is damaged: a new one begins, all stored responses are unusable"
            ),
            Note::Continued { cut_bytes, .. } if *cut_bytes > 0 => {
                tracing::warn!(cut_bytes, "an unfinished purge was cut off the ledger");
            }
            Note::Continued { .. } | Note::New => {}
        }
        let live = Arc::new(Live::new(log.ledger(), log.floor()));
        let mut repeats = Repeats::default();
        log.replay(|entry| {
            live.apply(&entry.invalidation(&[&*rules]));
            repeats.remember(entry);
        })?;
        let shared = Arc::new(Shared::default());
        shared.bytes.store(log.bytes(), Ordering::Relaxed);
        let (commands, inbox) = sync_channel(QUEUE_MAX);
        let keeper = Keeper {
            log,
            live: Arc::clone(&live),
            rules: (rules, None),
            repeats,
            limits,
            shared: Arc::clone(&shared),
            mends_failed: 0,
        };
        let thread = std::thread::Builder::new()
            .name("purge-ledger".to_owned())
            .spawn(move || keeper.run(&inbox))?;
        let thread = Mutex::new(Some(thread));
        let live_too = Arc::clone(&live);
        let ledger = Arc::new(Self { commands, thread, live: live_too, shared, is_durable });
        Ok(Opened { ledger, live, note })
    }

    /// Appends a purge. Resolves when it is on stable storage and in force, or with the reason
    /// why not. Dropping the future does not take the purge back.
    pub async fn append(&self, purge: NewEntry) -> Result<Appended, AppendError> {
        let text_bytes = purge.to_text().len();
        if text_bytes > frame::TEXT_BYTES_MAX {
            return Err(AppendError::TooLong);
        }
        let (reply, answer) = oneshot::channel();
        match self.commands.try_send(Command::Append(Waiting { purge, text_bytes, reply })) {
            Ok(()) => answer.await.map_err(|_| AppendError::Stopped)?,
            Err(TrySendError::Full(_)) => Err(AppendError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(AppendError::Stopped),
        }
    }

    /// The entries after a position, in order, at most `count_max`.
    pub async fn page(&self, after: Position, count_max: usize) -> io::Result<Vec<Entry>> {
        self.ask(|reply| Command::Page { after, count_max, reply }).await
    }

    /// One entry; `None` when it is not in force, or compacted away.
    pub async fn entry(&self, position: Position) -> io::Result<Option<Entry>> {
        let Some(before) = position.0.checked_sub(1) else { return Ok(None) };
        let page = self.page(Position(before), 1).await?;
        Ok(page.into_iter().find(|entry| entry.position == position))
    }

    /// Forgets the entries up to `oldest_watermark`, the lowest position that any stored
    /// response or fetch in flight still carries; gives the floor, which moves only when at least
    /// half of the entries go. Durable when it returns.
    pub async fn compact(&self, oldest_watermark: Position) -> io::Result<Position> {
        self.ask(|reply| Command::Compact { floor: oldest_watermark, reply }).await
    }

    /// Derives the live map anew because key rules, host aliases or site names change. Call it
    /// **before** the new rules take effect: until the next call, purges select under both.
    pub async fn change_rules(&self, rules: Arc<dyn KeyRules>) -> io::Result<()> {
        self.ask(|reply| Command::Rules { rules, reply }).await
    }

    /// The live form.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Whether purges outlive the process: `false` for a node without a disk, whose cache is as
    /// empty after a restart as its ledger.
    pub const fn is_durable(&self) -> bool {
        self.is_durable
    }

    /// Numbers for people.
    pub fn status(&self) -> LedgerStatus {
        let is_running = self.thread.lock().as_ref().is_some_and(|thread| !thread.is_finished());
        LedgerStatus {
            ledger: self.live.ledger(),
            position: self.live.position(),
            floor: self.live.floor(),
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            commits: self.shared.commits.load(Ordering::Relaxed),
            failures: self.shared.failures.load(Ordering::Relaxed),
            scopes: self.live.scopes(),
            is_healthy: is_running && !self.shared.is_poisoned.load(Ordering::Relaxed),
            is_durable: self.is_durable,
        }
    }

    /// Ends the thread after what waits already, and gives the directory free. Blocks for as
    /// long as one commit takes; later purges are refused.
    pub fn close(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        // A full queue is served by a living thread, so the send ends; a dead one fails it.
        let _ = self.commands.send(Command::Stop);
        if thread.join().is_err() {
            tracing::error!("the thread of the purge ledger had died");
        }
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<io::Result<T>>) -> Command,
    ) -> io::Result<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.try_send(command(reply)).map_err(|why| match why {
            TrySendError::Full(_) => {
                io::Error::new(io::ErrorKind::WouldBlock, "the ledger is busy")
            }
            TrySendError::Disconnected(_) => closed(),
        })?;
        answer.await.map_err(|_| closed())?
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the ledger is closed")
}

/// An identity that no other ledger has.
fn random_id() -> io::Result<LedgerId> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(LedgerId(u64::from_le_bytes(bytes).max(1)))
}
