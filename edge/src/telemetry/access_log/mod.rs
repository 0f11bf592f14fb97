//! One JSON line per exchange, never at the expense of an exchange.
//!
//! A data core formats its line straight into a buffer that it hardly shares with anyone (one per
//! thread, bounded), and goes on. One thread of its own (`writer`) swaps full buffers for empty
//! ones and writes them. If the target is slower than the traffic, the buffers fill and further
//! lines are dropped and counted; nothing waits. Lines of one core are in order, lines of
//! different cores are in order only by their `time`.
//!
//! Knows nothing of HTTP: [`mod@format`] turns a journal into a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use super::metrics::thread_slot;

pub mod escape;
pub mod format;
mod writer;

use writer::Shared;

/// Bytes of lines that one thread may have waiting; lines beyond are dropped and counted.
pub const WAITING_BYTES_MAX: usize = 1 << 20;

/// Where lines go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, appended to; made with mode 0640 if there is none.
    File(PathBuf),
}

impl Target {
    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        let file = match self {
            // A descriptor of our own: whole buffers, no lock and no line buffering of `Stdout`.
            Self::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            Self::File(path) => {
                OpenOptions::new().append(true).create(true).mode(0o640).open(path)?
            }
        };
        Ok(Box::new(file))
    }
}

/// What the access log lost, for metrics; outlives a log that is replaced by a reload.
#[derive(Debug, Default)]
pub struct Losses {
    dropped: AtomicU64,
    errors: AtomicU64,
}

impl Losses {
    /// Lines lost.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Writes or opens that failed.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }
}

/// Lines of one thread that wait for the writer.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    lines: u64,
}

/// An access log: shared by all cores, with a writer thread of its own.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
}

impl AccessLog {
    /// Opens the target and starts the writer. `threads` is how many threads write lines.
    pub fn start(target: Target, threads: usize, losses: Arc<Losses>) -> io::Result<Self> {
        Self::start_with(Box::new(move || target.open()), threads, losses)
    }

    fn start_with(open: writer::Open, threads: usize, losses: Arc<Losses>) -> io::Result<Self> {
        let waiting = (0..threads.clamp(1, 256)).map(|_| Mutex::default()).collect();
        let shared = Arc::new(Shared::new(waiting, losses));
        let sink = open()?;
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer::run(&writer, sink, &*open))?;
        shared.wakes(thread.thread().clone());
        Ok(Self { shared })
    }

    /// Adds the line that `format` appends, with its line feed. Never waits for the target.
    pub fn line(&self, format: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = self.shared.waiting[thread_slot() % self.shared.waiting.len()].lock();
        let before = waiting.bytes.len();
        if before >= WAITING_BYTES_MAX || self.shared.is_closed() {
            drop(waiting);
            self.shared.losses.dropped.fetch_add(1, Relaxed);
            return;
        }
        format(&mut waiting.bytes);
        if waiting.bytes.len() > WAITING_BYTES_MAX {
            waiting.bytes.truncate(before);
            drop(waiting);
            self.shared.losses.dropped.fetch_add(1, Relaxed);
            return;
        }
        waiting.lines += 1;
        let urgent = before < WAITING_BYTES_MAX / 2 && waiting.bytes.len() >= WAITING_BYTES_MAX / 2;
        drop(waiting);
        self.shared.wake(urgent);
    }

    /// Opens the target anew once the lines so far are written (after a rotation). If that
    /// fails, the open one stays in use and the failure is counted and logged.
    pub fn reopen(&self) {
        self.shared.ask_reopen();
    }

    /// Writes what waits and ends the writer; `false` if that took longer than `limit` (the
    /// thread is then left to the end of the process). Lines that come later are dropped.
    pub fn shutdown(&self, limit: Duration) -> bool {
        self.shared.close();
        self.shared.wait_ended(limit)
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[cfg(test)]
mod tests;
